"""Writes the provenance of a release: which commit its files were made of and how, as an in-toto statement with SLSA's predicate.

    python provenance.py FOLDER VERSION    for a folder with SHA256SUMS

The same commit gives the same bytes: it holds no time of its own. Source of the form: https://slsa.dev/spec/v1.0/provenance
"""
import json
import os
import subprocess
import sys


def git(*args):
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


def main(folder, version):
    subjects = []
    with open(os.path.join(folder, "SHA256SUMS")) as f:
        for line in f:
            digest, name = line.split()
            subjects.append({"name": name, "digest": {"sha256": digest}})
    if not subjects:
        sys.exit(f"{folder}/SHA256SUMS names no file")
    go = subprocess.run(["go", "version"], check=True, capture_output=True, text=True).stdout.split()[2]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "make release",
                "externalParameters": {"VERSION": version},
                "resolvedDependencies": [{"uri": "git+drawbridge", "digest": {"gitCommit": git("rev-parse", "HEAD")}}, {"uri": "go", "name": go}],
            },
            "runDetails": {"builder": {"id": "make release"}},
        },
    }
    with open(os.path.join(folder, "provenance.json"), "w") as f:
        json.dump(statement, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
