#!/usr/bin/env python3
"""How `stage1-builder run` does beside the limit and its peers.

    benches/run.py KERNEL [--rounds N] [boot] [streams] [share] [memory]

Everything is measured in one run, in turn, on the same kernel file and the
same accelerator; what counts are the ratios. The limit is QEMU itself with
that kernel and an init that only restarts. Peers (vmtest, virtme-ng) take
part if they are in PATH. Needs gcc, cpio, busybox-static, git.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOL = os.environ.get("STAGE1_BUILDER", "stage1-builder")

RESTART = """
#include <sys/reboot.h>
int main(void) { reboot(0x01234567); return 1; }
"""

# A bare copy: what comes in at one port goes out at another.
COPY = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
static char buffer[32768];
int main(void) {
    mkdir("/dev", 0755);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    int in = -1, out = -1;
    while (in < 0) { in = open("/dev/vport0p1", O_RDONLY); usleep(1000); }
    while (out < 0) { out = open("/dev/vport0p2", O_WRONLY); usleep(1000); }
    write(out, "R", 1);
    long left = BYTES;
    while (left > 0) {
        long count = read(in, buffer, sizeof buffer);
        if (count <= 0) continue;
        for (long at = 0; at < count;) at += write(out, buffer + at, count - at);
        left -= count;
    }
    for (;;) pause();
}
"""


def initramfs(folder, name, source):
    """An archive whose init is this C program."""
    root = os.path.join(folder, name)
    os.mkdir(root)
    with open(f"{root}.c", "w") as file:
        file.write(source)
    subprocess.run(["gcc", "-static", "-O2", "-o", f"{root}/init", f"{root}.c"], check=True)
    archive = f"{root}.cpio"
    subprocess.run(f"find . | cpio -o -H newc --quiet > {archive}", shell=True, check=True, cwd=root)
    return archive


def qemu(kernel, archive, *more):
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-m", "1024M", "-kernel", kernel, "-initrd", archive,
        "-append", "console=ttyS0 quiet panic=-1 rdinit=/init", *more,
    ]


def seconds(command, codes=(0,), **options):
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode not in codes:
        raise subprocess.CalledProcessError(done.returncode, command)
    return time.monotonic() - start


# Peers take a /dev/kvm that is there for one that works, and fail. They get a
# QEMU that does not know KVM, so that all have the same accelerator.
NO_KVM = """#!/bin/sh
for word do
    shift
    case $word in
        -enable-kvm) continue ;;
        host) word=max ;;
        kvm:tcg | kvm) word=tcg ;;
    esac
    set -- "$@" "$word"
done
exec %s "$@"
"""


def without_kvm(folder):
    """An environment in which QEMU is the one above."""
    path = os.path.join(folder, "qemu-system-x86_64")
    with open(path, "w") as file:
        file.write(NO_KVM % shutil.which("qemu-system-x86_64"))
    os.chmod(path, 0o755)
    return dict(os.environ, PATH=folder + ":" + os.environ["PATH"])


def virtme(kernel, command, environment, *more):
    """virtme-ng fails without a terminal. Where there is no udevd it runs the
    command by way of the console and ends with 255, whatever its exit code:
    a file tells that the command came to its end."""
    with tempfile.TemporaryDirectory(dir="/opt") as proof:
        inner = f"{command} && touch {proof}/done"
        vng = ["vng", "--disable-kvm", *more, f"--rwdir={proof}", "-r", kernel, "--", inner]
        took = seconds(["script", "-qec", shlex.join(vng), "/dev/null"], codes=(0, 255), env=environment)
        if not os.path.exists(f"{proof}/done"):
            raise subprocess.CalledProcessError(255, vng)
        return took


def compare(title, commands, rounds):
    """Each in turn, `rounds` times; the least and the middle, as ratios to the first."""
    times = {name: [] for name in commands}
    for name, command in list(commands.items()):
        try:
            command()  # What is made once is made before.
        except subprocess.CalledProcessError as error:
            print(f"not run: {name}: it fails here (exit code {error.returncode})", file=sys.stderr)
            del commands[name], times[name]
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(command())
    first = next(iter(times))
    print(f"\n{title} ({rounds} rounds)\n")
    print("| | least s | median s | ratio of least | ratio of medians |\n|---|---|---|---|---|")
    for name, measured in times.items():
        least, middle = min(measured), statistics.median(measured)
        ratios = (least / min(times[first]), middle / statistics.median(times[first]))
        print(f"| {name} | {least:.2f} | {middle:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


def boot(kernel, folder, rounds):
    limit = initramfs(folder, "limit", RESTART)
    peers = without_kvm(folder)
    commands = {
        "limit: QEMU, an init that restarts": lambda: seconds(qemu(kernel, limit)),
        "stage1-builder run -- uname -r":
            lambda: seconds([TOOL, "-q", "run", "--accel=tcg", "--kernel", kernel, "--", "uname", "-r"]),
    }
    if shutil.which("vmtest"):
        commands["vmtest"] = lambda: seconds(
            ["vmtest", "-k", kernel, "uname -r"], env=peers)
    if shutil.which("vng"):
        commands["virtme-ng"] = lambda: virtme(kernel, "uname -r", peers)
    compare("From command line to the exit of `uname -r`", commands, rounds)


def streams(kernel, folder, rounds):
    size = 256 << 20
    data = os.path.join(folder, "data")
    with open(data, "wb") as file:
        file.write(os.urandom(size))

    def ours(path):
        with open(path, "rb") as file:
            start = time.monotonic()
            subprocess.run([TOOL, "-q", "run", "--accel=tcg", "--kernel", kernel, "--", "cat"],
                           stdin=file, stdout=subprocess.DEVNULL, check=True)
            return time.monotonic() - start

    archive = initramfs(folder, "copy", COPY.replace("BYTES", str(size)))

    def bare():
        import socket
        pairs = [socket.socketpair() for _ in range(2)]
        fds = [theirs.fileno() for _, theirs in pairs]
        more = ["-device", "virtio-serial-pci"]
        for at, fd in enumerate(fds):
            more += ["-chardev", f"socket,id=c{at},fd={fd}", "-device", f"virtserialport,chardev=c{at}"]
        machine = subprocess.Popen(qemu(kernel, archive, *more), pass_fds=fds,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        into, out = pairs[0][0], pairs[1][0]
        out.recv(1)
        start = time.monotonic()
        feeder = subprocess.Popen(["cat", data], stdout=into.fileno())
        left = size
        while left:
            left -= len(out.recv(min(left, 1 << 20)))
        took = time.monotonic() - start
        feeder.wait()
        machine.kill()
        machine.wait()
        return took

    rates = []
    for _ in range(rounds):
        copied = size / bare() / 1e6
        carried = size / (ours(data) - ours("/dev/null")) / 1e6
        rates.append((copied, carried))
    copied, carried = (max(rate[at] for rate in rates) for at in (0, 1))
    print(f"\nStreams: {size >> 20} MiB through stdin to stdout ({rounds} rounds, best)\n")
    print(f"| | MB/s | ratio |\n|---|---|---|\n| bare virtio-serial copy | {copied:.0f} | 1.00 |")
    print(f"| stage1-builder | {carried:.0f} | {carried / copied:.2f} |")


def share(kernel, folder, rounds):
    tree = os.environ.get("TREE", "")
    if not os.path.isdir(os.path.join(tree, ".git")):
        print("share: TREE=... must name a git work tree", file=sys.stderr)
        return
    inner = f"cd {tree} && git -c safe.directory='*' status >/dev/null && tar cf /dev/null ."
    commands = {}
    for how in ["9p", "virtiofs"]:
        if how == "9p" or shutil.which("virtiofsd"):
            run = [TOOL, "-q", "run", "--accel=tcg", f"--share={how}", "--kernel", kernel, "--",
                   "sh", "-c", inner]
            commands[f"stage1-builder, {how}"] = lambda run=run: seconds(run)
    if shutil.which("vng"):
        peers = without_kvm(folder)
        commands["virtme-ng, 9p"] = lambda: virtme(kernel, inner, peers, "--force-9p")
        if shutil.which("virtiofsd"):
            commands["virtme-ng, virtiofs"] = lambda: virtme(kernel, inner, peers)
    compare("`git status` and `tar cf /dev/null` over a tree", commands, rounds)


def memory(kernel, folder, rounds):
    """What QEMU and the tool have besides the guest's own memory."""
    run = subprocess.Popen([TOOL, "-q", "run", "--accel=tcg", "--memory=128M", "--kernel", kernel, "--",
                            "sh", "-c", "echo; sleep 3"], stdout=subprocess.PIPE)
    run.stdout.readline()
    time.sleep(1)
    children = open(f"/proc/{run.pid}/task/{run.pid}/children").read().split()
    rows = {"stage1-builder": mappings(run.pid, 128 << 10), "QEMU": mappings(int(children[0]), 128 << 10)}
    run.wait()
    print("\nMemory of the host, in MiB, with a guest of 128 MiB\n")
    print("| | its own | the guest's | translated code | files in the page cache |\n|---|---|---|---|---|")
    for name, kinds in rows.items():
        print(f"| {name} | " + " | ".join(f"{kinds[kind] / 1024:.0f}" for kind in KINDS) + " |")


KINDS = ["own", "guest", "code", "files"]


def mappings(process, guest):
    """The proportional memory of a process by kind, in KiB; the guest's is the
    mapping of its size, translated code what may be written and executed."""
    kinds = dict.fromkeys(KINDS, 0)
    for line in open(f"/proc/{process}/smaps"):
        words = line.split()
        if "-" in words[0] and ":" not in words[0]:
            name, rights = (words[5:] or [""])[0], words[1]
            size = int(words[0].split("-")[1], 16) - int(words[0].split("-")[0], 16)
        elif words[0] == "Pss:":
            total = int(words[1])
        elif words[0] == "Anonymous:":
            anonymous = int(words[1])
            kind = "guest" if size == guest << 10 else "code" if "x" in rights else "own"
            kinds[kind] += anonymous
            kinds["files"] += total - anonymous if name.startswith("/") else 0
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel")
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    everything = {"boot": boot, "streams": streams, "share": share, "memory": memory}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.what or ["boot", "streams", "memory"]:
            everything[name](options.kernel, folder, options.rounds)


if __name__ == "__main__":
    main()
