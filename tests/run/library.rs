//! The library's own door to machines, from another crate's point of view.

use super::bench::Bench;

/// The documented example, as it stands.
#[test]
fn the_example_runs() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"example=$(dirname "$S1B")/examples/on_kernel
        "$example" "$(kernel_file)" sh -c 'uname -r; cat; echo error >&2; exit 5' <<<fed 2>err
        echo $?; cat err"#,
    );
    let stdout = String::from_utf8_lossy(&said.is(0, &[]).stdout).into_owned();
    assert!(stdout.starts_with("6.12.") && stdout.ends_with("\nfed\n5\nerror\n"), "{stdout}");
}

/// The whole pipeline, from another crate: a version becomes an image, and
/// the image runs a command.
#[test]
fn the_example_of_the_pipeline_builds_and_runs() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"example=$(dirname "$S1B")/examples/build_and_run
        S1B_FORMAT=oci,aci "$example" "$KERNEL" sh -c 'uname -r; exit 5'; echo $?
        test -f aci-files/linux-*.oci/index.json && ls aci-files/*.aci"#,
    );
    let stdout = String::from_utf8_lossy(&said.is(0, &[".oci sha256:"]).stdout).into_owned();
    assert!(stdout.starts_with("6.12.") && stdout.contains("\n5\naci-files/stage1-"), "{stdout}");
}
