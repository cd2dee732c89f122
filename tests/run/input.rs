//! What was typed is wrong: one clear error, a hint, no machine.

use super::bench::Bench;

#[test]
fn an_image_that_is_not_there_says_how_to_get_it() {
    let bench = Bench::without_kernel();
    let run = "S1B_CACHE_DIR=$BENCH/cache \"$S1B\" run";
    let name = "kinvolk.io/aci/rkt/stage1-kvm:1.30.0,kernelversion=4.9.6";
    let said = bench.shell(&format!("{run} --stage1-name={name} -- true"));
    said.fails(
        4,
        &[
            "no image in the store",
            "kernelversion=4.9.6",
            "hint: build it: stage1-builder build 4.9.6",
        ],
    );
    bench
        .shell(&format!("{run} --stage1-name=a,b -- true"))
        .fails(2, &["'b' is no label", "hint:"]);
    let said = bench.shell(&format!("{run} --stage1-hash=sha512-0123456789 -- true"));
    said.fails(4, &["no image in the store is sha512-0123456789", "hint:"]);
    bench.shell(&format!("{run} --stage1-path=none.aci -- true")).fails(4, &["none.aci", "hint:"]);
    bench
        .shell(&format!("{run} --kernel=nonsense -- true"))
        .fails(2, &["nonsense", "hint: --kernel="]);
    bench
        .shell(&format!("{run} --kernel=./none -- true"))
        .fails(4, &["the kernel ./none", "hint:"]);
    bench.shell(&format!("{run} ./none -- true")).fails(4, &["./none"]);
    assert!(!bench.path("runtime/stage1-builder").exists());
}

#[test]
fn an_image_that_is_broken_is_refused() {
    let bench = Bench::without_kernel();
    bench.busybox("container/rootfs");
    let run = "S1B_CACHE_DIR=$BENCH/cache \"$S1B\" run";
    bench.write("garbage.aci", "no archive at all".repeat(100));
    bench
        .shell(&format!("{run} --stage1-path=garbage.aci -- true"))
        .fails(8, &["garbage.aci", "damaged", "hint:"]);
    let said = bench.shell(&format!(
        "echo '{{\"acKind\": \"ImageManifest\", \"acVersion\": \"0.8.11\", \"name\": \"x\"}}' >container/manifest
         tar -C container -czf container.aci manifest rootfs
         {run} --stage1-path=container.aci -- true"
    ));
    said.fails(4, &["container.aci", "there is no kernel in it", "hint:"]);
    let said = bench.shell(&format!(
        "head -c 300000 container.aci >cut.aci; {run} --stage1-path=cut.aci -- true"
    ));
    said.fails(8, &["cut.aci", "hint:"]);
    bench.shell("ls -A cache/kernels-v1 | grep -v lock; true").is(0, &[]).says("");
}

#[test]
fn a_kernel_that_is_none_is_refused() {
    let bench = Bench::without_kernel();
    let run = "\"$S1B\" run --accel=tcg";
    bench.write("garbage", "no kernel".repeat(1000));
    bench.shell(&format!("{run} --kernel=./garbage -- true")).fails(4, &["garbage", "hint:"]);
    bench.write("empty", "");
    bench.shell(&format!("{run} --kernel=./empty -- true")).fails(4, &["empty", "hint:"]);
    // Documentation/arch/arm64/booting.rst: "ARM\x64" at 56.
    let mut image = vec![0; 1 << 16];
    image[..4].copy_from_slice(&[0x4d, 0x5a, 0x40, 0xfa]);
    image[56..60].copy_from_slice(b"ARMd");
    bench.write("Image", image);
    let said = bench.shell(&format!("{run} --dry-run --kernel=./Image -- true"));
    said.fails(2, &["the host's own root has no programs for an arm64 guest", "hint:"]);
    let mut vmlinux = b"\x7fELF\x02\x01\x01".to_vec();
    vmlinux.resize(1 << 12, 0);
    // e_machine: EM_AARCH64.
    vmlinux[18..20].copy_from_slice(&183_u16.to_le_bytes());
    bench.write("vmlinux", vmlinux);
    let said = bench.shell(&format!("{run} --kernel=./vmlinux -- true"));
    said.fails(4, &["vmlinux", "arm64", "hint:"]);
}

#[test]
fn the_hypervisor_that_is_missing_is_named_with_the_package() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run --qemu=s1b-no-qemu -- true");
    said.fails(7, &["s1b-no-qemu: program not found", "hint: apt-get install qemu-system-x86"]);
    bench.for_everybody();
    let said =
        bench.shell("mkdir bin; export PATH=$BENCH/bin; \"$S1B\" run --kernel=./kernel -- true");
    said.fails(7, &["qemu-system-x86_64: program not found", "hint: apt-get install"]);
}

/// Where KVM works, asking for it is no error.
#[test]
fn kvm_by_name_is_kvm_or_an_error() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run --accel=kvm --boot-timeout=20 -- uname");
    if said.code != 0 {
        said.fails(121, &["KVM", "hint: leave --accel out"]);
    }
}

#[test]
fn what_rkt_has_and_we_have_not_is_refused_by_name() {
    let bench = Bench::without_kernel();
    let said = bench.shell("run --private-users -- true");
    said.fails(2, &["rkt's option --private-users is not supported", "hint:"]);
    bench.shell("run --caps-retain=CAP_NET_ADMIN -- true").fails(2, &["--caps-retain", "hint:"]);
    bench.shell("run ./a -- b --- ./c").fails(2, &["one image in a machine", "hint:"]);
    bench.shell("run ./a --- ./b").is(2, &["---"]);
    bench.shell("run --no-such -- true").is(2, &["--no-such"]);
    bench.shell("run --net=bridge -- true").fails(2, &["--net=bridge", "hint:"]);
    bench.shell("run --dns=x -- true").fails(2, &["--dns=x", "hint:"]);
    bench.shell("run --memory=1M -- true").is(2, &["64M at least"]);
    bench.shell("run --port=0 -- true").fails(2, &["--port=0", "hint:"]);
    bench.shell("run --environment=x -- true").fails(2, &["no NAME=VALUE", "hint:"]);
}

#[test]
fn no_command_is_an_error_that_says_how() {
    let Some(bench) = Bench::new() else { return };
    bench.shell("run").fails(2, &["no command to run", "hint:", "-- uname -r"]);
}

#[test]
fn a_dry_run_prints_what_would_run_and_quiet_says_nothing() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "run --dry-run --accel=tcg --memory=2G --cpu=3 --net --port=8080:80 --qemu-arg=-name \
           --qemu-arg='my vm' --kernel-arg=quiet2 --volume=v,kind=host,source=/usr \
           --mount=volume=v,target=/v -- true",
    );
    let line = said.is(0, &[]).text();
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in [
        "qemu-system-x86_64 ",
        " -accel tcg ",
        " -smp 3 ",
        " -m 2048M ",
        " -sandbox on",
        " -no-reboot ",
        "hostfwd=tcp:127.0.0.1:8080-:80",
        "path=/,security_model=none,multidevs=remap,readonly=on",
        "path=/usr,security_model=none,multidevs=remap ",
        " -name 'my vm'",
        "quiet2",
        "virtio-rng-pci",
    ] {
        assert!(line.contains(part), "no '{part}' in {line}");
    }
    assert!(!bench.path("runtime/stage1-builder").exists(), "nothing is made");
    let said = bench.shell("run -q --uuid-file-save=uuid -- cat /proc/sys/kernel/osrelease");
    assert!(said.is(0, &[]).text().starts_with("6.12."), "{}", said.text());
    assert_eq!(said.stderr, "");
    assert_eq!(bench.read("uuid").trim().len(), 36);
}
