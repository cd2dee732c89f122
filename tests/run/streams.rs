//! stdin, stdout and stderr: apart, whole, and in nobody's way.

use super::bench::Bench;

#[test]
fn every_byte_passes_both_ways_and_streams_stay_apart() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"head -c 67108864 /dev/urandom >in
        run -- sh -c 'printf "\377err\0" >&2; cat; exit 77' <in >out 2>err
        echo $?
        cmp in out && od -An -tx1 err"#,
    );
    said.is(0, &[]).says("77\n ff 65 72 72 00\n");
}

/// Input that never ends and is never read, and a process that would hold
/// stdout for ever: the run is over when the command is.
#[test]
fn what_the_command_leaves_behind_ends_with_it() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run -- sh -c 'sleep 1000 & echo over' < <(yes); echo $?; gone; left");
    said.is(0, &[]).says("over\n0\n");
}

#[test]
fn closed_streams_are_as_empty_ones() {
    let Some(bench) = Bench::new() else { return };
    bench.shell("run -- wc -c <&-").is(0, &[]).says("0\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run -- yes | head -1; echo ${PIPESTATUS[@]}; gone; left");
    said.is(0, &[]).says("y\n141 0\n");
    assert_eq!(said.stderr, "");
}

#[test]
fn a_stalled_stdout_does_not_hold_up_stderr() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"run -- sh -c 'head -c 20000000 /dev/zero & head -c 8000000 /dev/zero | tr "\0" x >&2
            echo all >&2; wait' 2>err | { wait_for 'tail -c 4 err | grep -q all'; wc -c; }
        echo ${PIPESTATUS[@]}
        wc -c <err"#,
    );
    said.is(0, &[]).says("20000000\n0 0\n8000004\n");
}

/// A reader that is slow gets all of it, however long the command is over.
#[test]
fn a_slow_reader_loses_nothing() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"run -- sh -c 'head -c 3000000 /dev/zero; exit 3' | { sleep 12; wc -c; }; echo ${PIPESTATUS[0]}
        run -- echo lost >/dev/full; echo $?"#,
    );
    said.is(0, &["can't write the command's output"]).says("3000000\n3\n123\n");
}
