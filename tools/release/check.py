"""Makes a release twice with a key that is thrown away, compares its bytes, and unpacks and runs what is in it.

    python check.py            in a clone without changes; builds for about ten minutes on two cores
"""
import glob
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

VERSION = "0.0.1"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
LARGEST = 60 << 20  # of a download of the program, in bytes


def check(ok, what):
    if not ok:
        sys.exit(f"release: {what}")


def run(*command, **more):
    p = subprocess.run(command, capture_output=True, text=True, **more)
    check(p.returncode == 0, f"{' '.join(command)}: {p.stdout}{p.stderr}")
    return p.stdout


def digests(folder):
    names = [p for p in glob.glob(os.path.join(folder, "**"), recursive=True) if os.path.isfile(p)]
    out = {}
    for p in names:
        with open(p, "rb") as f:
            out[os.path.relpath(p, folder)] = hashlib.sha256(f.read()).hexdigest()
    return out


def release(key):
    subprocess.run(["make", "--no-print-directory", "release", "VERSION=" + VERSION, "SIGNING_KEY=" + key], check=True)
    return digests("build/release/files")


def look(folder, work):
    """Unpacks each file, and runs what this machine can run."""
    run("sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS", cwd=folder)
    for name in ("SHA256SUMS", "provenance.json"):
        with open(os.path.join(folder, name)) as f:
            run("ssh-keygen", "-Y", "verify", "-f", os.path.join(work, "signers"), "-I", "release", "-n", "file", "-s", os.path.join(folder, name + ".sig"), stdin=f)
    commit = run("git", "rev-parse", "HEAD").strip()
    ran = 0
    for system in ("linux", "darwin", "windows"):
        for arch in ("amd64", "arm64"):
            into = os.path.join(work, system + arch)
            ending, program = ("zip", "drawbridge.exe") if system == "windows" else ("tar.gz", "drawbridge")
            archive = os.path.join(folder, f"drawbridge_{VERSION}_{system}_{arch}.{ending}")
            check(os.path.getsize(archive) < LARGEST, f"{archive} has {os.path.getsize(archive)} bytes, at most {LARGEST}")
            shutil.unpack_archive(archive, into)
            for more in ("LICENSE", "README.md", "THIRD_PARTY_NOTICES", "man/drawbridge.1.gz", "completions/drawbridge.bash", "completions/drawbridge.zsh", "completions/drawbridge.fish"):
                check(os.path.getsize(os.path.join(into, more)) > 0, f"{system} {arch} holds no {more}")
            path = os.path.join(into, program)
            kind = {"linux": b"\x7fELF", "darwin": b"\xcf\xfa\xed\xfe", "windows": b"MZ"}[system]
            with open(path, "rb") as f:
                check(f.read(4).startswith(kind), f"{path} is not a program for {system}")
            built = run("go", "version", "-m", path)
            check(f"GOOS={system}" in built and f"GOARCH={arch}" in built and commit in built, f"{path} was built from something else: {built}")
            with open(os.path.join(folder, f"drawbridge_{VERSION}_{system}_{arch}.cdx.json")) as f:
                parts = {c["name"] for c in json.load(f)["components"]}
            check({"go.uber.org/zap", "github.com/aws/aws-lambda-go"} <= parts, f"the SBOM of {system} {arch} lacks modules: {sorted(parts)[:9]}")
            if (system, arch) == ("linux", MACHINE):
                works(path, commit)
                ran += 1
    unpacked = os.path.join(work, "deb")
    run("dpkg-deb", "--extract", os.path.join(folder, f"drawbridge_{VERSION}_linux_{MACHINE}.deb"), unpacked)
    works(os.path.join(unpacked, "usr", "bin", "drawbridge"), commit)
    check(os.path.exists(os.path.join(unpacked, "usr/share/man/man1/drawbridge.1.gz")), "the Debian package holds no manual page")
    for name in ("hook", "launcher", "reaper", "webhook"):
        for arch in ("amd64", "arm64"):
            with zipfile.ZipFile(os.path.join(folder, f"{name}-{arch}.zip")) as z, z.open("bootstrap") as f:
                check(f.read(4) == b"\x7fELF" and z.getinfo("bootstrap").external_attr >> 16 & 0o111, f"{name}-{arch}.zip holds no program")
    with tarfile.open(os.path.join(folder, f"drawbridge-mirror_{VERSION}.oci.tar")) as f:
        (index,) = json.load(f.extractfile("index.json"))["manifests"]
        platforms = {m["platform"]["architecture"] for m in json.load(f.extractfile("blobs/" + index["digest"].replace(":", "/")))["manifests"]}
    check(platforms == {"amd64", "arm64"} and index["annotations"]["org.opencontainers.image.ref.name"] == VERSION, f"the mirror's image is for {platforms}, {index}")
    with tarfile.open(os.path.join(folder, f"drawbridge-cdk-{VERSION}.tgz")) as f:
        check(sorted(f.getnames()) == sorted("package/" + n for n in ("LICENSE", "drawbridge.d.ts", "drawbridge.js", "package.json")), f"the package for the CDK holds {f.getnames()}")
        check(json.load(f.extractfile("package/package.json"))["version"] == VERSION, "the package for the CDK is of another version")
    with open(os.path.join(folder, "drawbridge.rb")) as f:
        formula = f.read()
    for system in ("linux", "darwin"):
        for arch in ("amd64", "arm64"):
            name = f"drawbridge_{VERSION}_{system}_{arch}.tar.gz"
            check(f"/v{VERSION}/{name}" in formula and digests(folder)[name] in formula, f"the formula lacks {name}")
    with open(os.path.join(folder, "provenance.json")) as f:
        made = json.load(f)
    check({s["name"]: s["digest"]["sha256"] for s in made["subject"]}.items() <= digests(folder).items(), "the provenance names other files")
    check(commit in json.dumps(made["predicate"]["buildDefinition"]), "the provenance names another commit")
    check(ran == 1, "no program was run")


def works(path, commit):
    """Runs a released program: what it says of itself, a day, and the functions inside it."""
    said = run(path, "version")
    check(said.startswith(f"drawbridge {VERSION} (commit {commit}, "), f"{path} says {said}")
    check("58 % less than always on" in run(path, "demo"), f"{path} plays no demo")


def main():
    check(not run("git", "status", "--porcelain").strip(), "there are changes that are not committed")
    with tempfile.TemporaryDirectory() as work:
        key = os.path.join(work, "key")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throw-away", "-f", key)
        with open(key + ".pub") as f, open(os.path.join(work, "signers"), "w") as out:
            out.write("release " + f.read())
        first = release(key)
        again = release(key)
        check(first == again, f"the second time these differ: {sorted(n for n in first.keys() | again.keys() if first.get(n) != again.get(n))}")
        look("build/release/files", work)
    print(f"{len(first)} files, the same bytes twice, unpacked and run")


if __name__ == "__main__":
    main()
