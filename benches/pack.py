#!/usr/bin/env python3
"""How an image from a finished build does beside the steps that it replaces.

    benches/pack.py [VERSION] [--rounds N]

Builds the kernel of that version first, unless it is finished in the cache
(S1B_CACHE_DIR). Then, in turn: our image of the finished build, each time from
nothing but the objects; and what a script does with the same tree: rsync it
into a folder, `actool build`, gzip, sha512sum. Needs rsync, appc-spec, gzip
and GNU time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOOL = os.environ.get("STAGE1_BUILDER", "stage1-builder")
# Of images that are nobody else's.
NAME = "example.com/bench"


def run(command, **options):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **options)


def said(command):
    return run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def measured(command, log):
    """Seconds and the most memory (MiB) of a command with its children."""
    start = time.monotonic()
    run(["/usr/bin/time", "-f", "%M", "-o", log] + command, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    took = time.monotonic() - start
    with open(log) as file:
        return took, int(file.read().split()[-1]) / 1024


def forget():
    """Removes our images from the store."""
    images = json.loads(said([TOOL, "images", "--format", "json"]))
    ids = sorted({image["id"] for image in images if image["name"] == NAME})
    if ids:
        run([TOOL, "images", "rm"] + ids, stdout=subprocess.DEVNULL)


def ours(build, formats, log):
    """The image of the finished build, which the store does not have."""
    def once():
        forget()
        return measured(build + ["--format", formats], log)
    return once


def theirs(tree, folder, log):
    """The tree copied, packed, compressed and hashed, each by its program."""
    copy, tar = os.path.join(folder, "copy"), os.path.join(folder, "image.aci")
    script = (f"rm -rf {copy} {tar}*; mkdir {copy} && rsync -a {tree}/ {copy}/ &&"
              f" actool build --no-compression {copy} {tar} && sha512sum {tar} >&2 && gzip -n {tar}")
    return lambda: measured(["sh", "-c", script], log)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", default="6.12")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    missing = [name for name in ["rsync", "actool", "gzip", "/usr/bin/time"] if not shutil.which(name)]
    if missing:
        sys.exit(f"needs {', '.join(missing)}: apt-get install rsync appc-spec gzip time")
    with tempfile.TemporaryDirectory() as folder:
        tree, out = os.path.join(folder, "tree"), os.path.join(folder, "out")
        build = [TOOL, "-q", "-C", folder, "build", options.version, "--image-name", NAME,
                 "--out-dir", out]
        run(build + ["--aci-dir", tree], stdout=subprocess.DEVNULL)
        log = os.path.join(folder, "time")
        commands = {
            "rsync + actool build + sha512sum + gzip": theirs(tree, folder, log),
            "stage1-builder build": ours(build, "aci", log),
            "stage1-builder build --format aci,oci,dir": ours(build, "aci,oci,dir", log),
        }
        for command in commands.values():
            command()  # What is read once is read before.
        times = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(command())
        forget()
        count = sum(len(files) for _, _, files in os.walk(tree))
        size = sum(os.lstat(os.path.join(at, name)).st_size
                   for at, _, files in os.walk(tree) for name in files)
    print(f"\nAn image of {count} files, {size / 1e6:.0f} MB ({options.rounds} rounds)\n")
    print("| | least s | median s | times faster (least) | times faster (median) | MiB |")
    print("|---|---|---|---|---|---|")
    first = [took for took, _ in next(iter(times.values()))]
    for name, rounds in times.items():
        took, memory = [row[0] for row in rounds], max(row[1] for row in rounds)
        least, middle = min(took), statistics.median(took)
        ratios = (min(first) / least, statistics.median(first) / middle)
        print(f"| {name} | {least:.2f} | {middle:.2f} | {ratios[0]:.1f} | {ratios[1]:.1f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
