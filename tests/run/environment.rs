//! Who the command is, where it runs, and what it finds there.

use super::bench::Bench;

/// Prints facts, one a line, for one boot's worth of checks.
const FACTS: &str = r#"
echo "cwd $PWD"; cat mark; echo "env $ONE $TWO"; echo "name $(hostname)"
echo "path $PATH"; echo "home $HOME"; echo "init $(cat /proc/1/comm)"
while read -r source target kind rest; do echo "mount $target $kind"; done </proc/mounts
echo "hosts $(grep -c "^127.0.0.1.*localhost guest$" /etc/hosts)"
echo "dns $(cat /etc/resolv.conf)"
echo "links $(ls /sys/class/net | tr '\n' ' ')"; cat /sys/class/net/lo/flags
touch /etc/new /usr/bin/new && echo "layer writable"
echo >/run/x; echo >/tmp/x; echo >/dev/shm/x; ls -ld /tmp | cut -c1-10
echo to-stdout >/dev/stdout; echo fd >/dev/fd/1
(sh -c 'sleep 0.1 & exec true'; :) & wait; sleep 0.5
echo "zombies $(grep -ls '^State:.Z' /proc/[0-9]*/status | wc -l)"
ls /proc/self/fd | wc -l
umask
"#;

#[test]
fn the_hosts_root_has_all_that_a_program_expects() {
    let Some(bench) = Bench::new() else { return };
    bench.write("facts", FACTS);
    let said = bench.shell_with(
        "echo here >mark; export ONE=1 TWO=2; \
         run --environment=TWO=two --hostname=guest --dns=192.0.2.1 -- sh facts; \
         code=$?; ls /etc/new /usr/bin/new 2>&1 | grep -c 'No such'; exit $code",
        |program| program.env("HOME", "/root/x").env("PATH", "/usr/bin:/bin:/usr/sbin"),
    );
    said.is(0, &[]);
    let here = format!("cwd {}", bench.path("").display().to_string().trim_end_matches('/'));
    said.has(&[&here, "here", "env 1 two", "name guest", "path /usr/bin:/bin:/usr/sbin"]);
    said.has(&["home /root/x", "init init", "hosts 1", "dns nameserver 192.0.2.1", "links lo "]);
    // IFF_UP | IFF_LOOPBACK; and the last line is the host's, unchanged.
    said.has(&[
        "0x9",
        "layer writable",
        "drwxrwxrwt",
        "to-stdout",
        "fd",
        "zombies 0",
        "0022",
        "4",
        "2",
    ]);
    for mount in [
        "/ overlay",
        "/proc proc",
        "/sys sysfs",
        "/dev devtmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/tmp tmpfs",
        "/run tmpfs",
        "/sys/fs/cgroup cgroup2",
        "/sys/fs/bpf bpf",
        "/sys/kernel/debug debugfs",
        "/sys/kernel/tracing tracefs",
        "/sys/kernel/security securityfs",
    ] {
        said.has(&[&format!("mount {mount}")]);
    }
}

/// The headers of the image are where programs look for them.
#[test]
fn the_kernels_own_headers_are_there_and_cant_be_written_to() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "run -- sh -c 'cd /lib/modules/$(uname -r) && cat source/include/config/kernel.release \
         build/include/config/kernel.release; touch x 2>&1 | grep -o Read-only.*; uname -r'",
    );
    said.is(0, &[]);
    let text = said.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("6.12."), "{text}");
    assert_eq!(lines[1..], [lines[0], "Read-only file system", lines[0]], "{text}");
}

#[test]
fn a_user_of_the_hosts_root_has_a_home_of_its_own() {
    let Some(bench) = Bench::new() else { return };
    let said =
        bench.shell("run --user=nobody -- sh -c 'id -u; id -g; echo $HOME; cat /etc/shadow'");
    said.is(1, &["Permission denied"]).says("65534\n65534\n/nonexistent\n");
}

#[test]
fn ports_lead_in_with_a_network_of_its_own() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("root");
    bench.write("root/www/index.html", "from the guest\n");
    bench.write("client", CLIENT);
    let said = bench.shell(
        "port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); \
           print(s.getsockname()[1])')
         \"$S1B\" run --kernel $KERNEL --net --port=$port:80 ./root -- \
           sh -c 'ls /sys/class/net; cat /etc/resolv.conf; echo up >&2; exec httpd -f -p 80 -h /www' \
           >out 2>err &
         wait_for 'grep -q up err'; /usr/bin/python3 client $port; kill -TERM $!; wait $!; cat out",
    );
    said.is(0, &[]).has(&["from the guest", "eth0", "lo", "nameserver 10.0.2.3"]);
}

/// The server may need a moment after it said that it is up.
const CLIENT: &str = "import sys, time, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen(f'http://127.0.0.1:{sys.argv[1]}/', timeout=10).read().decode())
        break
    except OSError:
        time.sleep(0.1)
";
