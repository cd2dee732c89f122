//! How a run ends, and what its exit code says about it.

use super::bench::Bench;

#[test]
fn the_commands_exit_code_is_ours() {
    let Some(bench) = Bench::new() else { return };
    for code in [1, 255] {
        let said = bench.shell(&format!("run -- sh -c 'exit {code}'"));
        assert_eq!((said.code, said.stderr.as_str()), (code, ""));
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    let Some(bench) = Bench::new() else { return };
    for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143)] {
        let said = bench.shell(&format!("run -- sh -c 'kill -{signal} $$'"));
        assert_eq!((said.code, said.stderr.as_str()), (code, ""), "{signal}");
    }
}

#[test]
fn what_cant_be_executed_is_126() {
    let Some(bench) = Bench::new() else { return };
    bench.shell("run -- /etc").fails(126, &["/etc: can't be executed", "hint:"]);
    let said = bench.shell("echo text >text; run -- ./text");
    said.fails(126, &["text: can't be executed", "hint:"]);
    let said = bench.shell(r"printf '\1\2\3' >data; chmod +x data; run -- ./data");
    said.fails(126, &["data", "Exec format error", "hint:"]);
}

#[test]
fn what_is_not_there_is_127() {
    let Some(bench) = Bench::new() else { return };
    bench.shell("run -- s1b-nobody").fails(127, &["s1b-nobody: not found", "hint:"]);
    let said = bench.shell("printf '#!/no/such\n' >tool; chmod +x tool; run -- ./tool");
    said.fails(127, &["tool", "interpreter is absent", "hint:"]);
}

#[test]
fn both_time_limits_are_kept() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "run --timeout=3 -- sh -c 'trap \"\" TERM INT; echo begun; sleep 1000'; \
         code=$?; gone; left; exit $code",
    );
    said.fails(124, &["within 3 s (--timeout)"]).says("begun\n");
    let said =
        bench.shell("time run --boot-timeout=100ms -- true; code=$?; gone; left; exit $code");
    said.fails(121, &["did not boot", "--boot-timeout", "hint:"]).says("");
}

/// The panic is told at once, by what the kernel said, not when a limit is
/// reached.
#[test]
fn a_kernel_that_gives_up_is_122_with_its_last_lines() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "run -- sh -c 'echo before; date +%s >&2; echo c >/proc/sysrq-trigger; sleep 1000'; \
         code=$?; gone; left; exit $code",
    );
    said.fails(
        122,
        &["sysrq triggered crash", "last lines:", "  | ", "sysrq_handle_crash", "hint:"],
    );
    said.says("before\n");
    let said = bench.shell(
        "run -- sh -c 'echo \"<0>watchdog: BUG: soft lockup - CPU#0 stuck for 26s!\" >/dev/kmsg; \
         sleep 1000'",
    );
    said.fails(122, &["gave up: watchdog: BUG: soft lockup", "hint:"]);
}

#[test]
fn a_machine_that_ends_under_its_command_is_123() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run -- busybox reboot -f; code=$?; gone; left; exit $code");
    said.fails(123, &["the VM was lost", "hint:"]).says("");
    let said = bench.shell(
        "run -- sh -c 'echo begun; sleep 1000' >out & \
         wait_for 'grep -q begun out'; kill -9 $(machines | cut -d/ -f3); wait $!; \
         code=$?; left; exit $code",
    );
    said.fails(123, &["the VM was lost", "hint:"]).says("");
}

/// The command, too, hears of it; one that takes no notice ends all the same.
#[test]
fn we_end_within_a_second_when_asked_to() {
    let Some(bench) = Bench::new() else { return };
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let said = bench.shell(&format!(
            "\"$S1B\" run --kernel $KERNEL -- sh -c \
               'trap \"echo heard\" INT TERM HUP; echo begun; while :; do sleep 0.05; done' >out & \
             wait_for 'grep -q begun out'; before=$(date +%s%N); kill -{signal} $!; wait $!; \
             code=$?; echo $((($(date +%s%N) - before) / 2000000000)); gone; left; cat out; exit $code"
        ));
        said.fails(code, &["stopped by"]).says("0\nbegun\nheard\n");
    }
    let said = bench.shell(
        "\"$S1B\" run --kernel $KERNEL -- sleep 1000 & \
         wait_for '[ -n \"$(machines)\" ]'; kill -INT $!; wait $!; code=$?; gone; left; exit $code",
    );
    said.fails(130, &["stopped by"]).says("");
}

#[test]
fn a_run_that_is_killed_takes_its_machine_along_and_the_next_one_sweeps() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "\"$S1B\" run --kernel $KERNEL -- sh -c 'echo begun; sleep 1000' >out & \
         wait_for 'grep -q begun out'; kill -9 $!; wait $!; echo $?; gone; left | wc -l; \
         run --boot-timeout=1ms -- true; left | wc -l",
    );
    said.is(0, &[]).says("137\n1\n0\n");
}

#[test]
fn eight_runs_side_by_side_are_eight_runs() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        "for n in 1 2 3 4 5 6 7 8; do echo in $n | \
           run --memory=256M -- sh -c \"cat; exit $n\" >out$n & pids=\"$pids $!\"; done; \
         for pid in $pids; do wait $pid; echo -n \"$? \"; done; cat out?; gone; left",
    );
    let all: String = (1..=8).map(|n| format!("in {n}\n")).collect();
    said.is(0, &[]).says(&format!("1 2 3 4 5 6 7 8 {all}"));
}
