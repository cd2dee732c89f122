#!/usr/bin/env python3
"""What a build costs besides make when one option of its configuration changes.

    benches/again.py VERSION SYMBOL...      # names without CONFIG_

Builds the kernel of that version first, unless it is finished in the cache
(S1B_CACHE_DIR). Then once more with each symbol, which must not have been
built with before. When make ran, the kernel's scheduler tells: needs perf and
the right to trace the whole system (root).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOOL = shutil.which(os.environ.get("STAGE1_BUILDER", "stage1-builder"))
EVENT = re.compile(r"\s*.+?\s+(\d+)\s+([\d.]+):\s+sched:sched_process_(exec|exit):(.*)")


def build(version, folder):
    return [TOOL, "-q", "-C", folder, "build", version, "--out-dir", os.path.join(folder, "out")]


def lives(trace):
    """Program, first and last second of each process that began and ended."""
    fields = ["perf", "script", "-i", trace, "-F", "comm,pid,time,event,trace"]
    began, lives = {}, []
    text = subprocess.run(fields, check=True, capture_output=True, text=True).stdout
    for pid, time, what, rest in filter(None, map(parsed, text.splitlines())):
        if what == "exec":
            path = rest.split("filename=")[1].split(" pid=")[0]
            began.setdefault(pid, (path, time))
        elif pid in began:
            lives.append((*began.pop(pid), time))
    return lives


def parsed(line):
    found = EVENT.match(line)
    if not found:
        return None
    pid, time, what, rest = found.groups()
    if what == "exit":
        # The thread that ends, not its process.
        pid = re.search(r"pid=(\d+)", rest)[1]
    return pid, float(time), what, rest


def union(spans):
    """Calls that are not inside of another, and their seconds together."""
    calls, seconds, end = 0, 0.0, 0.0
    for first, last in sorted(spans):
        if first > end:
            calls += 1
        seconds += max(0.0, last - max(first, end))
        end = max(end, last)
    return calls, seconds


def measured(command):
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        events = ["-e", "sched:sched_process_exec", "-e", "sched:sched_process_exit"]
        record = ["perf", "record", "-q", "-a", *events, "-o", trace, "--"]
        subprocess.run(record + command, check=True, stdout=subprocess.DEVNULL)
        every = lives(trace)
    own = [last - first for path, first, last in every if path == TOOL]
    calls, make = union([(first, last) for path, first, last in every
                         if os.path.basename(path) == "make"])
    return max(own), calls, make


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
    options = parser.parse_args()
    if not TOOL or not shutil.which("perf"):
        sys.exit("needs stage1-builder (STAGE1_BUILDER names another) and perf: apt-get install linux-perf")
    with tempfile.TemporaryDirectory() as folder:
        base = build(options.version, folder)
        subprocess.run(base, check=True, stdout=subprocess.DEVNULL)
        print("| one symbol more | s | calls of make | s | besides |")
        print("|---|---|---|---|---|")
        for symbol in options.symbols:
            wall, calls, make = measured(base + ["--config-item", f"CONFIG_{symbol}=y"])
            print(f"| {symbol} | {wall:.2f} | {calls} | {make:.2f} | {wall - make:.2f} |", flush=True)


if __name__ == "__main__":
    main()
