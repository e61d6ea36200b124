#!/usr/bin/env python3
"""Breaks the program on purpose, one promise at a time, and demands that the named test notices.

    tests/mutations/run.py            applies each patch in a scratch copy, builds it, and runs its test, which must fail
    tests/mutations/run.py --check    only looks whether each patch still applies

A patch begins with `Mutation:` (what is broken) and `Test:` (who must notice). The copy and what is built of it lie in
target/mutants; what cargo has there may be of the last mutation, so nothing else is built with it. With LONGSHORE_PROOF, a
folder, the table is kept there too.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRATCH = ROOT / "target/mutants"
TREE = SCRATCH / "tree"
FAILED = 100  # nextest's exit code when everything was built and a test failed


def patches():
    for path in sorted(HERE.glob("*.patch")):
        head = path.read_text().split("\ndiff --git", 1)[0]
        found = {name: re.search(rf"^{name}: (.+)$", head, re.MULTILINE) for name in ("Mutation", "Test")}
        if not all(found.values()):
            sys.exit(f"{path.name} must begin with `Mutation: …` and `Test: …`")
        yield path, found["Mutation"].group(1), found["Test"].group(1)


def apply(tree, path, *more):
    # The scratch copy lies below the repository and is none of its folders, whose patches git would skip without a word.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(SCRATCH)}
    return subprocess.run(["git", "apply", *more, str(path)], cwd=tree, env=environment).returncode == 0


def copy():
    """The tree as it is, uncommitted changes too, with times kept so that little is built again."""
    TREE.mkdir(parents=True, exist_ok=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    kept = {name.decode() for name in names.split(b"\0") if name and (ROOT / name.decode()).exists()}
    for stale in [path for path in TREE.rglob("*") if path.is_file() and str(path.relative_to(TREE)) not in kept]:
        stale.unlink()
    for name in sorted(kept):
        source, target = ROOT / name, TREE / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def run(tests):
    names = " + ".join(f"test(={test})" for test in tests)
    # All of them are integration tests: nothing else is built.
    asked = ["cargo", "nextest", "run", "--locked", "--features", "testing", "--test", "it"]
    asked += ["--ignore-default-filter", "-E", names]
    environment = os.environ | {"CARGO_TARGET_DIR": str(SCRATCH / "target")}
    environment.pop("LONGSHORE_PROOF", None)
    return subprocess.run(asked, cwd=TREE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    all_patches = list(patches())
    if "--check" in sys.argv:
        stale = [path.name for path, _, _ in all_patches if not apply(ROOT, path, "--check")]
        sys.exit(f"these no longer apply: {', '.join(stale)}" if stale else 0)
    copy()
    whole = run(sorted({test for _, _, test in all_patches}))
    if whole.returncode != 0:
        sys.exit(f"{whole.stdout}\nthe named tests must pass before anything is broken")
    lines, missed = [f"{'mutation':<52} {'caught by'}"], []
    for path, mutation, test in all_patches:
        began = time.monotonic()
        if not apply(TREE, path):
            sys.exit(f"{path.name} no longer applies")
        try:
            ran = run([test])
        finally:
            apply(TREE, path, "-R")
        if ran.returncode not in (0, FAILED):
            sys.exit(f"{ran.stdout}\n{path.name}: it could not be built or run (exit {ran.returncode})")
        if ran.returncode == 0:
            missed.append(mutation)
        lines.append(f"{mutation:<52} {test if ran.returncode else 'NOBODY'}")
        print(f"{lines[-1]}  ({time.monotonic() - began:.0f} s)", flush=True)
    table = "\n".join(lines) + "\n"
    if folder := os.environ.get("LONGSHORE_PROOF"):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        (pathlib.Path(folder) / "mutants.txt").write_text(table)
    sys.exit(f"nobody notices: {'; '.join(missed)}" if missed else 0)


main()
