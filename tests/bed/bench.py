#!/usr/bin/env python3
"""Copies the same files from nginx into SeaweedFS with longshore and with rclone, in turn, and prints medians and ratios.

    make bench                      # builds a release, starts nginx and SeaweedFS, runs this
    python3 tests/bed/bench.py BED  # BED: the test bed's folder, with venv/ and www/

Both do the same work over the same loopback: GET each file over http, PUT it into a bucket. Longshore also hashes each body,
checks it, writes a receipt for every hundred, and keeps its queue. Whole processes are timed, one warm-up and five counted
runs each, A B A B; machines are noisy, so read the ratios and not the seconds.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

SETS = {"small: 2,000 x 50 KiB": (2000, 50 * 1024), "large: 4 x 256 MiB": (4, 256 * 1024 * 1024)}
RUNS = 5
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


def make(www, count, size):
    folder = www / f"bench-{count}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:05}.bin" for number in range(count)]
    for name in names:
        path = folder / name
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(os.urandom(min(size, 1 << 20)) * max(1, size >> 20) if size > 1 << 20 else os.urandom(size))
    return folder.name, names


def timed(command, env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def longshore(work, folder, names):
    run = work / uuid.uuid4().hex
    run.mkdir()
    (run / "teams.toml").write_text("[bench]\n")
    (run / "urls.txt").write_text("".join(f"http://127.0.0.1:8088/{folder}/{name}\n" for name in names))
    (run / "longshore.toml").write_text(
        f'[store]\nurl = "s3://bench/{run.name}"\nendpoint_url = "http://127.0.0.1:8333"\n'
        '[sources.http]\nallow_networks = ["127.0.0.0/8"]\n'
        "[limits.per_host]\nrequests_per_second = 100000\nin_flight = 128\n[limits.per_team]\nrequests_per_second = 100000\n"
        '[admin]\nlisten = ""\n'
    )
    binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "longshore"
    command = [str(binary), "--config", str(run / "longshore.toml"), "import", str(run / "urls.txt"), "--team", "bench"]
    return timed(command + ["--format", "urls", "--id", "bench"], os.environ | KEYS)


def rclone(bed, folder, names):
    env = {key: value for key, value in os.environ.items() if key != "AWS_CA_BUNDLE"} | {
        "RCLONE_CONFIG_SRC_TYPE": "http",
        "RCLONE_CONFIG_SRC_URL": f"http://127.0.0.1:8088/{folder}/",
        "RCLONE_CONFIG_DST_TYPE": "s3",
        "RCLONE_CONFIG_DST_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_DST_ACCESS_KEY_ID": "test",
        "RCLONE_CONFIG_DST_SECRET_ACCESS_KEY": "test",
        "RCLONE_CONFIG_DST_ENDPOINT": "http://127.0.0.1:8333",
    }
    transfers = "32" if len(names) > 100 else "4"
    command = [str(bed / "venv/bin/rclone"), "copy", "src:", f"dst:bench/{uuid.uuid4().hex}", "--transfers", transfers]
    return timed(command + ["--s3-chunk-size", "16Mi", "--s3-no-check-bucket", "--checkers", "32"], env)


def main():
    bed = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        for title, (count, size) in SETS.items():
            folder, names = make(bed / "www", count, size)
            ours, theirs = [], []
            for number in range(RUNS + 1):
                pair = longshore(pathlib.Path(work), folder, names), rclone(bed, folder, names)
                if number > 0:
                    ours.append(pair[0])
                    theirs.append(pair[1])
            print(title)
            for index, figure in enumerate(("wall s", "cpu s")):
                mine, other = [run[index] for run in ours], [run[index] for run in theirs]
                ratios = [a / b for a, b in zip(mine, other)]
                print(
                    f"  {figure:7} longshore {statistics.median(mine):6.2f}  rclone {statistics.median(other):6.2f}"
                    f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                )


if __name__ == "__main__":
    main()
