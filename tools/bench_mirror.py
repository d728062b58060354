"""The mirror against git clone --mirror and git push --mirror: the same source, the same target, in the same run.

    python bench_mirror.py          (make bench runs it with the others)
"""
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import boto3
import botocore.config

from bench import BINARY, ENV, ROOT, Sandbox, missed, row

MIRROR = os.path.join(ROOT, "build", "mirror")
KEYS = dict(ENV, AWS_ACCESS_KEY_ID="AKIABENCH", AWS_SECRET_ACCESS_KEY="AKIABENCH", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
STATE = "bench-state"


def git(*args, cwd=None, stdin=None, env=None):
    p = subprocess.run(["git", "-c", "core.fsync=none", "-c", "gc.auto=0", *args], cwd=cwd, input=stdin, env=env or KEYS, capture_output=True)
    if p.returncode:
        sys.exit(f"bench: git {args[:4]}: {p.stderr.decode()[-500:]}")
    return p.stdout.decode().strip()


def history(folder, name, commits, refs, blob=200, blobs=0):
    """A bare repository with so many commits, and so many branches spread over them; blobs are files of 16 MiB that do not compress."""
    path = os.path.join(folder, name + ".git")
    git("init", "-q", "--bare", "--initial-branch=main", path)
    r = random.Random(1)
    p = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=path, stdin=subprocess.PIPE, env=KEYS)
    w = p.stdin.write
    for i in range(commits):
        w(b"commit refs/heads/main\nmark :%d\ncommitter a <a@example.com> %d +0000\ndata 1\nx\n" % (i + 1, 1700000000 + i))
        body = r.randbytes(blob // 2).hex().encode()
        w(b"M 644 inline d%d/f%d\ndata %d\n%s\n" % (i % 50, i % 977, len(body), body))
        if i < blobs:
            body = r.randbytes(16 << 20)
            w(b"M 644 inline big/%d\ndata %d\n" % (i, len(body)))
            w(body)
            w(b"\n")
    for i in range(refs):
        w(b"reset refs/heads/team-%d/branch-%05d\nfrom :%d\n\n" % (i % 9, i, i % commits + 1))
    p.stdin.close()
    if p.wait():
        sys.exit("bench: git fast-import failed")
    git("pack-refs", "--all", cwd=path)
    return path


class Mirrors:
    def __init__(self, sandbox, source, folder):
        self.sandbox, self.source, self.folder = sandbox, source, folder
        config = botocore.config.Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
        self.client = lambda s: boto3.client(s, endpoint_url=sandbox.endpoint, config=config)
        self.client("s3").create_bucket(Bucket=STATE)
        self.n = 0

    def target(self):
        self.n += 1
        name = f"r{self.n}"
        self.client("codecommit").create_repository(repositoryName=name)
        return name

    def plain(self, name, refs):
        """git clone --mirror and git push --mirror to CodeCommit, with the same credential helper; or, where CodeCommit takes no push of so many refs, to a server without limits or passwords."""
        if refs < 4000:
            target = f"{self.sandbox.endpoint}/v1/repos/{self.target()}"
        else:
            git("init", "-q", "--bare", os.path.join(self.folder, "plain.git"))
            target = f"{self.source}/plain.git"
        helper = ["-c", f"credential.helper=!{MIRROR} credential codecommit", "-c", "credential.UseHttpPath=true"]
        with tempfile.TemporaryDirectory() as work:
            began = time.perf_counter()
            subprocess.run(["git", "-c", "core.fsync=none", "clone", "--quiet", "--mirror", f"{self.source}/{name}.git", work + "/c"], env=KEYS, check=True)
            subprocess.run(["git", "-c", "core.fsync=none", *helper, "push", "--quiet", "--mirror", target], cwd=work + "/c", env=dict(KEYS, AWS_ENDPOINT_URL=self.sandbox.endpoint), check=True)
            return time.perf_counter() - began

    def ours(self, name, target, want):
        """Our run: its time, and the peak memory in MB of our own process, without git's."""
        settings = json.dumps({"repositories": {target: {"source": {"url": f"{self.source}/{name}.git"}, "target": {"codecommit": target}}}})
        env = dict(KEYS, AWS_ENDPOINT_URL=self.sandbox.endpoint, DRAWBRIDGE_MIRROR=settings)
        began = time.perf_counter()
        p = subprocess.Popen([MIRROR, "run", "--state", f"s3://{STATE}/m"], env=env, stdout=subprocess.PIPE)
        peak = 0

        def watch():
            nonlocal peak
            while p.poll() is None:
                try:
                    with open(f"/proc/{p.pid}/status") as f:
                        peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith("VmHWM")])
                except (OSError, ProcessLookupError):
                    pass
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        out = p.stdout.read()  # to its end
        took = time.perf_counter() - began
        watcher.join()
        last = json.loads(out.decode().strip().splitlines()[-1])["mirrored"][0]
        if p.returncode or last["status"] != want:
            sys.exit(f"bench: the mirror ended with {p.returncode}: {json.dumps(last)[:1500]}")
        return took, peak / 1000, last


def measure():
    folder = tempfile.mkdtemp(prefix="bench-mirror-", dir=os.path.join(ROOT, "build"))
    server = subprocess.Popen([os.path.join(ROOT, "build", "gitserve"), folder], stdout=subprocess.PIPE, text=True)
    source = server.stdout.readline().strip()
    try:
        with Sandbox() as sandbox:
            rows(Mirrors(sandbox, source, folder), folder)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def rows(m, folder):
    print("\nthe mirror, over git clone --mirror and git push --mirror of the same repository")
    peaks = []
    for name, what, args, runs in (("refs", "10,000 refs, 10,000 commits", dict(commits=10000, refs=10000), 1), ("pack", "a pack of 1 GiB", dict(commits=200, refs=20, blobs=64), 3),
                                   ("code", "20,000 commits", dict(commits=20000, refs=50, blob=2000), 11)):
        path = history(folder, name, **args)
        plain, full = [], []
        for _ in range(runs):
            target = m.target()
            plain.append(m.plain(name, args["refs"]))
            took, peak, _ = m.ours(name, target, "mirrored")
            full.append(took)
            peaks.append(peak)
        base = statistics.median(plain)
        ratio = statistics.median(b / a for a, b in zip(plain, full))
        row(f"mirror: {what}: all of it ({base:.1f} s by git)", f"{ratio:.2f}", "at most 1.1", ratio <= 1.1)
        same = statistics.median(m.ours(name, target, "unchanged")[0] for _ in range(5))
        row(f"mirror: {what}: nothing changed ({same * 1000:.0f} ms)", f"1/{base / same:.0f}", "at most 1/20", same <= base / 20)
        fresh = []
        for i in range(3):
            git("fast-import", "--quiet", cwd=path, stdin=f"commit refs/heads/main\ncommitter a <a@example.com> {1800000000 + i} +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 644 inline new{i}\ndata 1\nx\n".encode())
            took, peak, report = m.ours(name, target, "mirrored")
            fresh.append(took)
            peaks.append(peak)
        one = statistics.median(fresh)
        row(f"mirror: {what}: one new commit ({one * 1000:.0f} ms)", f"1/{base / one:.1f}", "at most 1/5", one <= base / 5)
    row("mirror: peak memory of our own process", f"{max(peaks):.0f} MB", "at most 50 MB", max(peaks) <= 50)


if __name__ == "__main__":
    measure()
    if missed:
        sys.exit(f"bench: {len(missed)} bounds missed")
