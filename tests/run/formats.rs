//! Kernels in images of every format.

use super::bench::Bench;

/// Builds the kernel's image in each format, of the workspace that the cache
/// has.
const BUILD: &str = r#""$S1B" -q build "$KERNEL" --format aci,oci,dir >built"#;

#[test]
fn each_format_boots_from_wherever_it_lies() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(&format!(
        r#"{BUILD}
        oci=$(echo aci-files/linux-*.oci) dir=${{oci%.oci}}
        skopeo --insecure-policy copy -q oci:$oci oci-archive:archive.tar
        "$S1B" images export "$(sed -n 's/.*linux-[0-9.]* with id //p' built | tail -1)" files.tar.gz >&2
        for image in aci-files/*.aci $oci $dir archive.tar files.tar.gz; do
            "$S1B" -q run --kernel ./$image -- sh -c '
                uname -r; test -f /lib/modules/$(uname -r)/build/Makefile && echo headers'
        done"#
    ));
    let stdout = String::from_utf8_lossy(&said.is(0, &[]).stdout).into_owned();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{stdout}");
    assert!(lines.chunks(2).all(|run| run == [lines[0], "headers"]), "{stdout}");
}

/// With a store that has the OCI image and no workspace, `--kernel` finds it.
#[test]
fn a_version_finds_its_image_in_whichever_format() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(&format!(
        r#"{BUILD}
        shared=$S1B_CACHE_DIR
        export S1B_CACHE_DIR=$BENCH/cache
        mkdir -p cache/images-v1 && ln -s "$shared/downloads-v1" "$shared/apt-v1" cache/
        cp -r "$(dirname "$(S1B_CACHE_DIR=$shared "$S1B" images show --format json \
            "$(sed -n 's/.*\.oci with id //p' built)" | sed -n 's/.*"file": "\(.*\)",/\1/p' | head -1)")" cache/images-v1/
        "$S1B" run --kernel "$KERNEL" -- uname -r
        "$S1B" run --stage1-name "kinvolk.io/aci/rkt/stage1-kvm" -- uname -r
        "$S1B" run --stage1-hash "$(sed -n 's/.*\.oci with id //p' built)" -- uname -r
        ls cache"#
    ));
    let stdout = String::from_utf8_lossy(&said.is(0, &[]).stdout).into_owned();
    let runs: Vec<&str> = stdout.lines().take(3).collect();
    assert!(runs.iter().all(|run| run.starts_with("6.12.") && *run == runs[0]), "{stdout}");
    assert!(!stdout.contains("work-v1"), "nothing was built: {stdout}");
}

#[test]
fn what_a_machine_runs_on_stays_while_it_runs() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(&format!(
        r#"{BUILD}
        export S1B_CACHE_DIR=$BENCH/cache
        image=$(echo aci-files/linux-*.oci)
        mkfifo door
        "$S1B" -q run --accel=tcg --stage1-path $image -- cat <door >said &
        exec 3>door
        wait_for '[ "$(ls cache/kernels-v1 2>/dev/null | grep -vc lock)" = 1 ]'
        wait_for '[ -n "$(machines)" ]'
        "$S1B" images gc --max-size 0 --format json
        ls cache/kernels-v1/*/ | grep -c kernel >&2
        echo fed >&3; exec 3>&-; wait $!; cat said >&2
        "$S1B" images gc --max-size 0 --format json | grep '"kernels"' -A 5
        ls cache/kernels-v1 >&2"#
    ));
    let stdout = String::from_utf8_lossy(&said.is(0, &["1\nfed\n"]).stdout).into_owned();
    let count = |text: &str| stdout.matches(text).count();
    assert!(count("\"in_use\": 1") == 1 && count("\"removed\": 1") == 1, "{stdout}");
}
