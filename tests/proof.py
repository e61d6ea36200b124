#!/usr/bin/env python3
"""Writes docs/proof.md from what a run of `make proof` kept: tests/proof.py FOLDER FILE."""

import datetime
import os
import pathlib
import subprocess
import sys

HEAD = """\
# Proof

What `make proof` found. It writes this page; nothing here is written by hand. The checker reads queues, store and the logs of
origins and endpoints, and believes no counter of the program's.

| | |
|---|---|
"""

CHAPTERS = [
    (
        "Simulation",
        "The engine on doubles and paused time; one seed makes every choice: tasks, sources, faults before and after each call, "
        "leases that run out, processes that are killed between any two calls. What is looked at stands in `tests/it/engine/watch.rs`.",
        [f"simulation-{share}" for share in range(1, 5)],
    ),
    (
        "Crash points",
        "The real binary is killed at each named point (`src/ports/crash.rs`), then started again until nothing is left.",
        ["crash-AmqpS3", "crash-SqsS3", "crash-LocalFile"],
    ),
    (
        "Chaos",
        "Three workers on RabbitMQ and S3, with webhooks. They are killed, frozen and stopped at random, the broker is killed and "
        "restarted, the store refuses and breaks connections, sources break in the middle of bodies, endpoints fail.",
        ["chaos"],
    ),
    (
        "One behind a crowd",
        "A team's tasks are queued, then one of another team: it may take 2 s longer than alone. A standard SQS queue without message "
        "groups looks past a hundred messages of a busy team at once, so its small tasks are a hundred.",
        [f"crowd-{setup}" for setup in ("AmqpS3-large", "SqsS3-large", "LocalFile-large")]
        + [f"crowd-{setup}" for setup in ("AmqpS3-small", "SqsS3-small", "FifoS3-small", "LocalFile-small")],
    ),
    ("Mutations", "Each is a patch in `tests/mutations`; with it, the named test fails.", ["mutants"]),
]


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    folder, page = map(pathlib.Path, sys.argv[1:])
    missing = [name for _, _, names in CHAPTERS for name in names if not (folder / f"{name}.txt").exists()]
    if missing:
        sys.exit(f"these tables are missing in {folder}: {', '.join(missing)}; `make proof` makes them all")
    commit = said("git", "rev-parse", "HEAD")
    if said("git", "status", "--porcelain", "--", ".", f":!{page}"):
        commit += ", with changes that are not committed"
    facts = {"commit": commit, "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}", "processors": str(os.cpu_count())}
    text = HEAD + "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    for title, what, names in CHAPTERS:
        tables = "\n".join((folder / f"{name}.txt").read_text().rstrip() for name in names)
        text += f"\n## {title}\n\n{what}\n\n```text\n{tables}\n```\n"
    page.parent.mkdir(exist_ok=True)
    page.write_text(text)


main()
