//! A container as a folder: who, where, and what of the host it sees.

use super::bench::Bench;

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n";
const GROUP: &str = "root:x:0:\nstaff:x:8:\nwheel:x:10:ann\naudio:x:29:ann\n";

fn with_users() -> Option<Bench> {
    let bench = Bench::new()?;
    bench.busybox("root");
    bench.write("root/etc/passwd", PASSWD);
    bench.write("root/etc/group", GROUP);
    Some(bench)
}

#[test]
fn users_are_the_containers_own() {
    let Some(bench) = with_users() else { return };
    let whoami = "./root -- sh -c 'id -u; id -g; id -G; echo $HOME'";
    let said = bench.shell(&format!("run --user=ann {whoami}"));
    said.is(0, &[]).says("7\n8\n8 10 29\n/home/ann\n");
    let said = bench.shell(&format!("run --user=1000:2000 {whoami}"));
    said.is(0, &[]).says("1000\n2000\n2000\n/\n");
    let said = bench.shell(&format!("run --user=ann --group=audio {whoami}"));
    said.is(0, &[]).says("7\n29\n29\n/home/ann\n");
}

#[test]
fn who_is_not_in_the_container_is_120() {
    let Some(bench) = with_users() else { return };
    bench.shell("run --user=bob ./root -- id").fails(120, &["no user 'bob'", "hint:"]);
    bench.shell("run --group=none ./root -- id").fails(120, &["no group 'none'", "hint:"]);
}

/// Nothing of the caller's is in it, and nothing that it does comes out.
#[test]
fn a_container_is_a_world_of_its_own() {
    let Some(bench) = with_users() else { return };
    let said = bench.shell(
        "export CALLERS=1; run --working-dir=/made/here --environment=A='b c' ./root -- \
           sh -c 'pwd; env; touch /new /tmp/x /run/x; ls /root /home /sys/class/net; hostname'; \
         ls root",
    );
    said.is(0, &["ls: /home: No such file"]);
    said.has(&["/made/here", "A=b c", "HOME=/root", "lo", "localhost", "bin", "etc"]);
    said.has(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    assert!(!said.text().contains("CALLERS"), "{}", said.text());
    assert!(!said.text().contains("new"), "{}", said.text());
}

#[test]
fn the_callers_environment_and_a_root_that_cant_be_written_to_on_request() {
    let Some(bench) = with_users() else { return };
    let said = bench.shell(
        "export CALLERS=1; run --inherit-env --readonly-rootfs ./root -- sh -c \
           'env; touch /new; touch /tmp/x /run/x /dev/shm/x && echo others'",
    );
    said.is(0, &["/new: Read-only file system"]).has(&["CALLERS=1", "others"]);
}

/// Not so much as a folder: everything is made.
#[test]
fn a_container_of_one_file_runs() {
    let Some(bench) = Bench::new() else { return };
    bench.write("root/busybox", fs_err::read("/bin/busybox").unwrap());
    bench.shell("chmod +x root/busybox").is(0, &[]);
    let said = bench.shell(
        "run ./root -- /busybox sh -c 'busybox() { /busybox \"$@\"; }; busybox cat /etc/hostname; \
           busybox ls -a /; echo >/tmp/x'; ls root",
    );
    said.is(0, &[]).has(&["localhost", "dev", "etc", "proc", "run", "sys", "tmp", "busybox"]);
    assert!(said.text().ends_with("\nbusybox\n"), "the folder is as it was: {}", said.text());
}
