"""Speed and size, each as a ratio measured in one run against something else.

    python bench.py          (make bench builds what it needs first)

Exit 1 if a bound is missed. Nothing here is part of make test: tests are not timed.
"""
import glob
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import boto3
import botocore.config

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(ROOT, "build", "drawbridge")
ENV = dict(os.environ, AWS_ACCESS_KEY_ID="AKIABENCH", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1", AWS_REGION="us-east-1",
           AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true")
os.environ.update(ENV)
missed = []


def row(what, value, bound, ok):
    print(f"{what:66s} {value:>16s}   {bound:22s} {'ok' if ok else 'MISSED'}", flush=True)
    if not ok:
        missed.append(what)


class Sandbox:
    def __init__(self, *args):
        self.p = subprocess.Popen([BINARY, "sandbox", "--listen", "127.0.0.1:0", "--speed", "0", "--config", "examples/hello/drawbridge.yaml", *args], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.endpoint = json.loads(self.p.stdout.readline())["endpoint"]
        self.client = lambda s: boto3.client(s, endpoint_url=self.endpoint, config=botocore.config.Config(retries={"max_attempts": 1}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(20)

    def advance(self, seconds):
        urllib.request.urlopen(urllib.request.Request(self.endpoint + "/_sim/advance", json.dumps({"seconds": seconds}).encode(), {"Content-Type": "application/json"}, method="POST")).read()

    def ledger(self):
        return json.load(urllib.request.urlopen(self.endpoint + "/_sim/ledger"))

    def calls(self, without=("sqs:SendMessage", "sqs:SendMessageBatch", "sqs:GetQueueUrl", "lambda:Invoke")):
        return sum(n for k, n in self.ledger()["calls"].items() if k not in without)


def paths():
    with Sandbox() as s:
        queue = s.client("sqs").get_queue_url(QueueName="drawbridge-events")["QueueUrl"]
        s.client("sqs").send_message(QueueUrl=queue, MessageBody='{"job":"hello","id":"cold"}')
        s.advance(400)
        l = s.ledger()
        last = max(e["available"] for e in l["endpoints"] if e["type"] == "interface")
        lag = l["tasks"][0]["created"] - last - 20  # the settle time
        row("cold path: last endpoint available to RunTask, less the settle time", f"{lag:.1f} s", "at most 5 s", lag <= 5)
        before = s.ledger()["calls"]
        s.client("lambda").invoke(FunctionName="drawbridge-launcher", Payload=b'{"job":"hello","id":"warm"}')
        after = s.ledger()["calls"]
        made = {k: n - before.get(k, 0) for k, n in after.items() if n > before.get(k, 0) and k != "lambda:Invoke"}
        until = sum(made.values()) - made.get("dynamodb:PutItem", 0)  # the record comes after the task has started
        row(f"warm path: calls from the event to the started task", f"{until} calls", "at most 3", until <= 3)


def thousand():
    with Sandbox() as s:
        sqs = s.client("sqs")
        queue = sqs.get_queue_url(QueueName="drawbridge-events")["QueueUrl"]
        for i in range(0, 1000, 10):
            sqs.send_message_batch(QueueUrl=queue, Entries=[{"Id": str(j), "MessageBody": json.dumps({"job": "hello", "id": f"r{i + j}"})} for j in range(10)])
        s.advance(1800)
        l = s.ledger()
        groups = {t["group"] for t in l["tasks"] if t["exit_code"] == 0}
        row("a thousand events in one second: tasks, each once", f"{len(groups)} of {len(l['tasks'])}", "1000 of 1000", len(groups) == len(l["tasks"]) == 1000)
        row("a thousand events: stacks", str(l["calls"]["cloudformation:CreateStack"]), "1", l["calls"]["cloudformation:CreateStack"] == 1)
        seconds = {}
        for t in l["tasks"]:
            seconds[round(t["created"], 3)] = seconds.get(round(t["created"], 3), 0) + 1
        row("a thousand events: most RunTask calls at one instant, a second apart", str(max(seconds.values())), "at most 20", max(seconds.values()) <= 20)
        per = s.calls(without=("sqs:SendMessageBatch", "sqs:GetQueueUrl")) / 1000
        row("a thousand events: calls a run", f"{per:.2f}", "at most 5", per <= 5)


class Runtime(http.server.BaseHTTPRequestHandler):
    """A Lambda Runtime API that hands out one event and notes the answer."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"job":"nope","id":"1"}'
        if self.server.served:
            self.server.answered.wait(30)
            time.sleep(60)
        self.server.served = True
        self.send_response(200)
        for k, v in (("Lambda-Runtime-Aws-Request-Id", "1"), ("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60000)), ("Content-Length", str(len(body))),
                     ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:drawbridge-launcher")):
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.at = time.perf_counter()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answered.set()

    def log_message(self, *_):
        pass


HANDLER = '''
import os, urllib.request
import boto3
clients = [boto3.client(s) for s in ("cloudformation", "dynamodb", "ec2", "ecs", "lambda", "scheduler", "sqs")]
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
r = urllib.request.urlopen(base + "next")
urllib.request.urlopen(urllib.request.Request(base + r.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", b"{}", method="POST"))
'''


def first_answer(command, env):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    server.served, server.answered = False, threading.Event()
    server.handle_error = lambda *_: None  # a process that is killed resets its connection
    threading.Thread(target=server.serve_forever, daemon=True).start()
    began = time.perf_counter()
    p = subprocess.Popen(command, env=dict(env, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{server.server_port}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ok = server.answered.wait(30)
    with open(f"/proc/{p.pid}/status") if os.path.exists(f"/proc/{p.pid}/status") else open(os.devnull) as f:
        peak = next((int(line.split()[1]) for line in f if line.startswith("VmHWM")), 0)
    p.kill()
    p.wait()
    server.shutdown()
    if not ok:
        sys.exit(f"bench: {command} gave no answer")
    return server.at - began, peak


def cold_start():
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    ours = [os.path.join(ROOT, "dist", arch, "launcher", "bootstrap")]
    env = dict(ENV, DRAWBRIDGE_CONFIG=os.path.join(ROOT, "examples/hello/drawbridge.yaml"), AWS_LAMBDA_FUNCTION_NAME="drawbridge-launcher")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
        f.write(HANDLER)
        f.flush()
        theirs = [sys.executable, f.name]
        times, peaks = [], []
        for i in range(9):
            a, b = first_answer(ours, env), first_answer(theirs, env)
            if i > 0:  # the first pair warms the file cache
                times.append(b[0] / a[0])
                # The Python process may have ended when its peak is read; then the pair says nothing about memory.
                if a[1] and b[1]:
                    peaks.append(b[1] / a[1])
    speed = statistics.median(times)
    row("launcher: boto3's time to the first answer over ours (median of 8)", f"{speed:.1f} x", "at least 20 x", speed >= 20)
    memory = statistics.median(peaks) if peaks else 0
    row("launcher: boto3's peak memory over ours", f"{memory:.1f} x", "at least 2 x", memory >= 2)
    for z in sorted(glob.glob(os.path.join(ROOT, "dist", "*.zip"))):
        size = os.path.getsize(z) / 1e6
        row(f"{os.path.basename(z)}", f"{size:.1f} MB", "at most 10 MB", size <= 10)


def simulate():
    with tempfile.TemporaryDirectory() as d:
        def trace(n, name):
            path = os.path.join(d, name + ".csv")
            with open(path, "w") as f:
                f.write("arrival_epoch_s,duration_s\n" + "".join(f"{1700000000 + i * 977},{(i * 37) % 900}\n" for i in range(n)))
            return path

        def took(path):
            best = 1e9
            for _ in range(3):
                began = time.perf_counter()
                subprocess.run([BINARY, "simulate", "--trace", path, "-o", "json"], stdout=subprocess.DEVNULL, check=True)
                best = min(best, time.perf_counter() - began)
            return best
        small, large = took(trace(25000, "small")), took(trace(200000, "large"))
        row("simulate: time of 200,000 arrivals over 25,000 (8 x the arrivals)", f"{large / small:.1f} x", "at most 10 x", large / small <= 10)
        row("simulate: 200,000 arrivals", f"{large:.2f} s", "at most 5 s", large <= 5)


def decisions():
    out = subprocess.run(["go", "test", "./scheduler", "-run", "^$", "-bench", "Decide", "-benchtime", "2000x", "-count", "3"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("keep", "ahead"):
        took = min(float(line.split()[2]) for line in out.splitlines() if line.startswith(f"BenchmarkDecide/{name}"))
        row(f"decide: {name}, with a price on waiting", f"{took / 1000:.1f} us", "at most 20 us", took <= 20000)


def deletions():
    out = subprocess.run(["go", "test", "./internal/mirror", "-run", "^$", "-bench", "Deletions", "-benchtime", "3x"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ratio = float(next(line for line in out.splitlines() if line.startswith("BenchmarkDeletions")).split()[-2])
    row("mirror: 2,500 deletions over HTTP, of git push --mirror", f"{ratio:.2f} x", "at most 1.5 x", ratio <= 1.5)


def policies():
    p = subprocess.run(["go", "test", "./internal/replay", "-count", "1", "-run", "TestPolicyTable", "-v"], cwd=ROOT, capture_output=True, text=True, env=dict(ENV, DRAWBRIDGE_TABLE="1"))
    print()
    for line in p.stdout.splitlines():
        if "table_test.go" in line:
            print(line.split(": ", 1)[1])
    row("policies, by recorded arrivals", "", "each row it has to reach", p.returncode == 0)


def main():
    print("measured in this run; ratios are against the thing named\n")
    for part in (paths, thousand, cold_start, simulate, decisions, deletions, policies):
        part()
    if missed:
        sys.exit(f"bench: {len(missed)} bounds missed")


if __name__ == "__main__":
    main()
