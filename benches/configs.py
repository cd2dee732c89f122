#!/usr/bin/env python3
"""What a configuration costs: CPU seconds and objects, on one source.

    benches/configs.py TREE NAME=CONFIG [NAME=CONFIG ...]

Builds `bzImage` of the kernel's source TREE with each complete configuration
in turn, each in an empty folder with all processors. Processor time is that
of make and of all that it started, user and system. Configurations are `.config` files: ours is
what `stage1-builder config-kernel VERSION` prints; those of others come from
their own scripts. `CROSS_COMPILE` and the like are taken from the environment.
"""

import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make(tree, folder, *targets):
    subprocess.run(["make", "-C", tree, f"O={folder}", f"-j{os.cpu_count()}", *targets], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def build(tree, config):
    """Builds it; CPU seconds, seconds, objects, and the size of the bzImage in MB."""
    with tempfile.TemporaryDirectory(prefix="configs.") as folder:
        shutil.copyfile(config, f"{folder}/.config")
        make(tree, folder, "olddefconfig")
        before, start = processor_seconds(), time.monotonic()
        make(tree, folder, "bzImage")
        wall, used = time.monotonic() - start, processor_seconds() - before
        objects = sum(1 for _ in pathlib.Path(folder).rglob("*.o"))
        image = os.path.getsize(f"{folder}/arch/x86/boot/bzImage") / 1e6
    return used, wall, objects, image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree")
    parser.add_argument("configs", nargs="+", metavar="NAME=CONFIG")
    options = parser.parse_args()
    configs = [given.partition("=") for given in options.configs]
    for name, equals, config in configs:
        if not equals or not os.path.isfile(config):
            sys.exit(f"{name}={config}: not a name and a file")

    print("| configuration | CPU s | ratio | wall s | objects | bzImage |\n|---|---|---|---|---|---|", flush=True)
    first = None
    for name, _, config in configs:
        try:
            used, wall, objects, image = build(options.tree, config)
        except subprocess.CalledProcessError as error:
            print(f"| {name} | failed: {' '.join(error.cmd[4:])} | | | | |", flush=True)
            continue
        first = first or used
        print(f"| {name} | {used:.0f} | {used / first:.2f} | {wall:.0f} | {objects:,} | {image:.1f} MB |", flush=True)


if __name__ == "__main__":
    main()
