//! Containers that mean ill, and callers that may little.

use super::bench::Bench;

/// In the shell: makes `$1.tar`, as `docker save` would, of the folder `$1`
/// with the configuration `$2`.
const SAVE: &str = r#"
save() {
    tar -C $1 --owner=0 --group=0 -cf layer.tar . || return
    printf '{"architecture": "amd64", "os": "linux", "config": %s, "rootfs":
        {"type": "layers", "diff_ids": ["sha256:%s"]}}' \
        "$2" $(sha256sum layer.tar | cut -d' ' -f1) >config.json
    echo '[{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["layer.tar"]}]' >manifest.json
    tar -cf $1.tar manifest.json config.json layer.tar
}
"#;

/// Every place that init uses leads elsewhere, and a volume is in reach.
#[test]
fn links_and_pipes_in_a_container_lead_init_nowhere() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("root");
    let said = bench.shell(
        r#"mkdir data root/etc; echo kept >data/file; cd root
        ln -s /etc proc; ln -s /data dev; ln -s ../../../../..$BENCH/data tmp; echo file >run
        ln -s / sys; ln -s /data lib; ln -s /data/resolv.conf etc/resolv.conf
        ln -s /data/file etc/hosts; mkdir etc/hostname; mkfifo etc/passwd; ln -s group etc/group
        cp bin/busybox bin/root; chmod u+s bin/root; cd ..
        find root | sort >before
        run --volume=v,kind=host,source=data --mount=volume=v,target=/data --dns=192.0.2.1 \
            --user=7:8 ./root -- sh -c '
            for name in proc dev tmp run sys etc/hosts; do readlink /$name && echo "link $name"; done
            cat /etc/resolv.conf; head -1 /etc/hosts; cat /proc/self/mounts | grep -c " /proc proc"
            stat -L -c %u /proc/self; ls /data; echo x >/tmp/x; echo x >/dev/shm/x; cat /data/file' ||
            exit
        find root | sort | cmp - before; ls data; cat data/file"#,
    );
    said.is(0, &[]);
    said.has(&["nameserver 192.0.2.1", "127.0.0.1\tlocalhost localhost", "1", "7", "kept"]);
    assert!(!said.text().contains("link "), "{}", said.text());
    assert!(said.text().ends_with("file\nkept\n"), "{}", said.text());
}

/// A device node of the image's is the guest's own device at most, and
/// setuid is what it says: in a machine of its own.
#[test]
fn devices_and_setuid_stay_in_the_machine() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("root");
    let said = bench.shell(
        r#"mknod root/zero c 1 5 || mkdir root/zero; mkdir root/set; cp root/bin/busybox root/set/stat
        chmod 4755 root/set/stat
        run --user=7:8 ./root -- sh -c 'test -c /zero && head -c 3 /zero | wc -c; /set/stat -c %a,%u /set/stat'"#,
    );
    match rustix::process::geteuid().as_raw() {
        0 => said.is(0, &[]).has(&["3", "4755,0"]),
        own => said.is(0, &[]).has(&[&format!("4755,{own}")]),
    };
}

#[test]
fn an_archive_of_many_files_and_an_entry_point_that_is_absent() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("image");
    let said = bench.shell(&format!(
        r#"{SAVE}
        cp "$(kernel_file)" kernel; export S1B_CACHE_DIR=$BENCH/cache; mkdir image/many
        (cd image/many && seq 100000 | xargs touch)
        save image '{{"Entrypoint": ["/no/such", "x"], "Cmd": ["y"], "User": "5:6", "Env": ["A=b"]}}'
        KERNEL=./kernel
        run ./image.tar; echo $?
        run --exec=/bin/sh ./image.tar -- -c 'ls /many | wc -l; id -u; id -g; echo $A'"#
    ));
    said.is(0, &["/no/such: not found"]).says("127\n100000\n5\n6\nb\n");
}

/// All that a run needs is the rights of its caller, and the guest's root
/// has no more of the host's files than these.
#[test]
fn a_run_has_the_rights_of_its_caller_only() {
    let Some(bench) = Bench::new() else { return };
    bench.for_everybody();
    let said = bench.shell(
        r#"mkdir theirs ours read tmp; chmod 1777 tmp; echo x >theirs/file; chmod 700 theirs
        echo shown >read/file; chmod 555 read
        as=; [ $(id -u) = 0 ] && { as="setpriv --reuid=65534 --regid=65534 --clear-groups"
            chown 65534 ours; chown -h 65534 runtime; }
        unset XDG_RUNTIME_DIR; export HOME=/nonexistent TMPDIR=$BENCH/tmp S1B_CACHE_DIR=$BENCH/ours/cache
        $as ./stage1-builder run --kernel ./kernel --accel=tcg \
            --volume=read,kind=host,source=read --mount=volume=read,target=/mnt/read \
            --volume=ours,kind=host,source=ours --mount=volume=ours,target=/mnt/ours -- sh -c '
            id -u; cat theirs/file; cat /mnt/read/file; touch /mnt/read/new
            echo made >/mnt/ours/new; chown 7:8 /mnt/ours/new; chmod 4755 /mnt/ours/new; touch /usr/new && echo layer'
        echo $?; stat -c %u ours/new; cat ours/new; ls read; ls -A tmp/stage1-builder-*; gone"#,
    );
    let user = match rustix::process::geteuid().as_raw() {
        0 => 65534,
        own => own,
    };
    said.is(0, &["theirs/file: Permission denied", "/mnt/read/new'"]);
    assert_eq!(said.text(), format!("0\nshown\nlayer\n0\n{user}\nmade\nfile\n"), "{}", said.stderr);
}

/// Init reads so much of it and no more.
#[test]
fn a_list_of_users_without_end_is_no_trouble() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("root");
    bench.write("root/etc/passwd", "x:x:1:1:::\n".repeat(1_000_000));
    bench.shell("run --user=last --memory=192M ./root -- id").fails(120, &["no user 'last'"]);
}
