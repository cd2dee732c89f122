//! Programs that nobody here wrote, in guests on the host's own root: what
//! people run kernels for.
//!
//! Of tools with a state in the kernel it is not the exit code that counts
//! but what they see: packets that were counted, files that were opened.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use fs_err as fs;
use stage1_builder::proc::Program;

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/guest.rs"]
#[expect(dead_code, reason = "these tests need no image file")]
mod guest;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
use guest::Guest;
use support::outcome;

#[test]
fn programs_work_on_6_1() {
    all_on("6.1");
}

#[test]
fn programs_work_on_6_12() {
    all_on("6.12");
}

fn all_on(series: &str) {
    let Some(guest) = Guest::on(series, "programs") else { return };
    small_tools(&guest);
    packet_filters(&guest);
    git(&guest);
    headers_of_the_kernel(&guest);
    bpftrace(&guest);
    bcc(&guest);
    faults_of_a_module(&guest);
}

/// busybox serves and gets a file; strace sees what cat does.
fn small_tools(guest: &Guest) {
    const SCRIPT: &str = r#"
busybox uname -r
mkdir /tmp/served
echo over loopback >/tmp/served/file
busybox httpd -p 127.0.0.1:8080 -h /tmp/served
busybox wget -q -O - http://127.0.0.1:8080/file
strace -f -o /tmp/trace sh -c 'cat /tmp/served/file; exit 3' || echo "exit $?"
grep -o 'openat(.*served/file", O_RDONLY) = 3' /tmp/trace
grep -o 'exit_group(3)' /tmp/trace
"#;
    let said = guest.script(&[], SCRIPT);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("-kinvolk-v1"), "{said}");
    let open = r#"openat(AT_FDCWD, "/tmp/served/file", O_RDONLY) = 3"#;
    let rest = ["over loopback", "over loopback", "exit 3", open, "exit_group(3)"];
    assert_eq!(lines[1..], rest);
}

/// The same filters in three languages; two pings are two requests and two
/// replies.
fn packet_filters(guest: &Guest) {
    const SCRIPT: &str = r#"
export PATH=$PATH:/usr/sbin:/sbin
two_pings() { ping -q -c 2 -i 0.2 127.0.0.1 >/dev/null; }
for iptables in iptables-legacy iptables-nft; do
    $iptables -A INPUT -i lo -p icmp -m comment --comment pings -j ACCEPT
    $iptables -A OUTPUT -p tcp -m multiport --dports 7,9 -m conntrack --ctstate NEW \
        -j REJECT --reject-with tcp-reset
    $iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1 --dport 80 -j REDIRECT --to-ports 8080
    $iptables -t nat -A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE
    $iptables -t mangle -A PREROUTING -j MARK --set-mark 7
    two_pings
    $iptables -t filter -L INPUT -v -x -n | grep pings
    for table in filter nat mangle; do $iptables -t $table -F; done
done
nft -f - <<NFT
table inet check {
    chain in {
        type filter hook input priority 0
        ct state invalid counter drop
        tcp dport { 22, 80 } limit rate 10/second log prefix "new " counter reject
        icmp type echo-request counter
    }
}
NFT
two_pings
nft list chain inet check in | grep echo-request
"#;
    let said = guest.script(&[], SCRIPT);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    for line in &lines[..2] {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..3], ["4", "336", "ACCEPT"], "{said}");
    }
    assert_eq!(lines[2..], ["icmp type echo-request counter packets 2 bytes 168"]);
}

/// In a folder of the host that may be written to, and in the root; what the
/// guest made there is sound for the host's own git.
fn git(guest: &Guest) {
    const SCRIPT: &str = r#"
export HOME=/tmp
git config --global --add safe.directory '*'
git config --global user.email guest@localhost
git config --global user.name guest
git init -q -b main /repo/one
cd /repo/one
for n in $(seq 100); do mkdir -p d$n; echo $n >d$n/file; done
ln -s d1/file link
chmod +x d2/file
git add .
git commit -qm first
git mv d1/file d1/moved
echo more >>d3/file
rm d4/file
git status --short
git commit -qam second
git clone -q /repo/one /repo/two
git clone -q /repo/one /root-clone
for folder in one two; do git -C /repo/$folder status --short; git -C /repo/$folder fsck; done
git -C /root-clone status --short
git -C /repo/two gc -q
git -C /root-clone rev-list --count HEAD
stat -c %a /root-clone/d2/file
"#;
    let repo = guest.folder().join("repo");
    fs::create_dir(&repo).unwrap();
    let volume = format!("--volume=repo,kind=host,source={}", repo.display());
    let said = guest.script(&[&volume, "--mount=volume=repo,target=/repo"], SCRIPT);
    let changes = "R  d1/file -> d1/moved\n M d3/file\n D d4/file\n2\n755\n";
    assert_eq!(said, changes);
    for clone in ["one", "two"] {
        let on_host = |args: &[&str]| {
            let git = Program::new("git").args(["-c", "safe.directory=*", "-C"]);
            let said = git.arg(repo.join(clone)).args(args).run().unwrap();
            String::from_utf8(said).unwrap()
        };
        assert_eq!(on_host(&["status", "--short"]), "", "{clone}");
        assert_eq!(on_host(&["log", "--format=%s"]), "second\nfirst\n", "{clone}");
        on_host(&["fsck", "--strict"]);
    }
}

/// A C program by the kernel's own user API, as the document has it.
fn headers_of_the_kernel(guest: &Guest) {
    const SCRIPT: &str = r#"
export C_INCLUDE_PATH=/lib/modules/$(uname -r)/include
cat >/tmp/program.c <<'C'
#include <linux/version.h>
#include <linux/bpf.h>
#include <stdio.h>
int main(void)
{
	printf("%d.%d.%d %zu\n", LINUX_VERSION_CODE >> 16, (LINUX_VERSION_CODE >> 8) & 255,
	       LINUX_VERSION_CODE & 255, sizeof(struct bpf_insn));
}
C
gcc -H -o /tmp/program /tmp/program.c 2>/tmp/headers
/tmp/program
uname -r
grep -o '/.*/linux/bpf.h' /tmp/headers
"#;
    let said = guest.script(&[], SCRIPT);
    let lines: Vec<&str> = said.lines().collect();
    let release = lines[1];
    let version = release.split('-').next().unwrap();
    assert_eq!(lines[0], format!("{version} 8"));
    assert_eq!(lines[2], format!("/lib/modules/{release}/include/linux/bpf.h"));
}

/// A tracepoint, a function's entry by kprobe, and a function's arguments by
/// the kernel's type information.
fn bpftrace(guest: &Guest) {
    const SCRIPT: &str = r#"
echo content >/tmp/a-file
bpftrace -e 'tracepoint:syscalls:sys_enter_openat /comm == "cat"/ {
    printf("tracepoint %s %s\n", comm, str(args->filename)); }' -c '/bin/cat /tmp/a-file'
bpftrace -e 'kprobe:vfs_open /comm == "cat"/ { @[comm] = count(); }
    kfunc:vfs_open /comm == "cat"/ {
    printf("kfunc %s %s\n", comm, str(args->path->dentry->d_name.name)); }' \
    -c '/bin/cat /tmp/a-file'
"#;
    let said = guest.script(&[], SCRIPT);
    for wanted in ["tracepoint cat /tmp/a-file", "kfunc cat a-file"] {
        assert!(said.lines().any(|line| line == wanted), "{wanted}:\n{said}");
    }
    let count = said.lines().find_map(|line| line.strip_prefix("@[cat]: "));
    assert!(count.unwrap().parse::<u32>().unwrap() > 0, "{said}");
}

/// opensnoop compiles against the image's headers, which are the only ones:
/// without them, it finds none.
fn bcc(guest: &Guest) {
    const SCRIPT: &str = r#"
export PATH=$PATH:/usr/sbin:/sbin
test ! -e /sys/kernel/kheaders.tar.xz
echo content >/tmp/a-file
{ opensnoop-bpfcc -d 5 >/tmp/seen 2>/tmp/said || cat /tmp/said; touch /tmp/done; } &
# It waits for files that are opened, beyond its time if there are none.
until [ -e /tmp/done ]; do cat /tmp/a-file >/dev/null; sleep 1; done
grep -o -m1 'cat .*/tmp/a-file' /tmp/seen
umount /lib/modules/$(uname -r)
opensnoop-bpfcc -d 1 2>&1 | grep -o -m1 'Unable to find kernel headers'
"#;
    let said = guest.script(&[], SCRIPT);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    // Columns: COMM FD ERR PATH.
    let columns: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(columns, ["cat", "3", "0", "/tmp/a-file"]);
    assert_eq!(lines[1], "Unable to find kernel headers");
}

/// A module that is built in the guest, and what it does to the kernel: the run
/// ends by what the console says, long before a limit.
fn faults_of_a_module(guest: &Guest) {
    const SOURCE: &str = r#"
#include <linux/kthread.h>
#include <linux/module.h>
static char *what = "oops";
module_param(what, charp, 0);
static int work(void *unused)
{
	if (what[0] == 'o')
		*(volatile int *)8 = 1;
	preempt_disable();
	for (;;)
		cpu_relax();
	return 0;
}
static int __init start(void) { return PTR_ERR_OR_ZERO(kthread_run(work, NULL, "faulty")); }
module_init(start);
MODULE_LICENSE("GPL");
"#;
    let folder = guest.folder().join("module");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("faults.c"), SOURCE).unwrap();
    fs::write(folder.join("Makefile"), "obj-m := faults.o\n").unwrap();
    let volume = format!("--volume=m,kind=host,source={}", folder.display());
    let volume = [volume.as_str(), "--mount=volume=m,target=/m"];
    let said = guest.script(
        &[&volume[..], &["--memory=2G"]].concat(),
        "make -C /lib/modules/$(uname -r)/build M=/m modules >/tmp/said 2>&1 || cat /tmp/said; \
         grep -i 'clock skew' /tmp/said || true",
    );
    assert_eq!(said, "", "a guest whose clock is the host's has no files of the future");
    let lockup = ["BUG: soft lockup", "[faulty:"];
    for (what, told) in
        [("oops", &["Kernel panic - not syncing: Fatal exception"][..]), ("lockup", &lockup)]
    {
        let script = format!("/sbin/insmod /m/faults.ko what={what}; sleep 1000");
        let run = guest.run().args(volume).args(["--kernel-arg=watchdog_thresh=5"]);
        let (code, _, stderr) = outcome(run.args(["--", "/bin/sh", "-c", &script]));
        assert_eq!(code, 122, "{what}: {stderr}");
        assert!(told.iter().all(|text| stderr.contains(text)), "{what}: {stderr}");
    }
}
