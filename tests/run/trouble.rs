//! Guests that misbehave, and hosts that run out.

use super::bench::Bench;

/// The console is watched and kept in part; a flood of it costs neither
/// memory nor the run.
#[test]
fn a_flood_on_the_console_is_no_trouble() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#""$S1B" run --kernel $KERNEL -- sh -c '
            timeout 3 yes "$(head -c 5000 /dev/zero | tr "\0" x)" >/dev/console; echo over; exit 3' &
        while kill -0 $! 2>/dev/null; do
            most=$(sed -n 's/VmHWM:\s*\([0-9]*\) kB/\1/p' /proc/$!/status) && [ -n "$most" ] && echo $most >most
            sleep 0.1
        done 2>/dev/null
        wait $!; echo $?; echo "small $(($(cat most) < 80000))"; cat most >&2"#,
    );
    said.is(0, &[]).says("over\n3\nsmall 1\n");
}

/// What the console said last is shown, and not more, and nothing in it that
/// a terminal would obey.
#[test]
fn the_consoles_tail_is_short_and_harmless() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"run -- sh -c 'for n in $(seq 300); do printf "line %s \033[31m\r\n" $n; done >/dev/console
            sleep 1; busybox reboot -f' 2>err; echo $?; grep -c "^  | " err; grep -c "line 300" err
        grep -c "line 100 " err; tr -d "\n -~" <err | wc -c; cat err >&2"#,
    );
    said.is(0, &["last lines:"]).says("123\n25\n1\n0\n0\n");
}

#[test]
fn want_of_memory_is_told_with_the_option_that_mends_it() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell("run --memory=128M -- tail /dev/zero");
    said.is(137, &["warning: the guest ran out of memory", "it had 128 MiB", "--memory"]);
}

/// A namespace of its own, so that nothing needs to be unmounted.
#[test]
fn a_full_disk_is_named() {
    let Some(bench) = Bench::new() else { return };
    let image = "image=$(ls $S1B_CACHE_DIR/images-v1/*/*.aci | head -1)";
    let said = bench.shell(&format!(
        r#"{image}; mkdir full; export -f run
        unshare --mount --map-root-user bash -c '
            mount -t tmpfs -o size=64k,mode=0777 full full && head -c 65536 /dev/zero >full/rest
            mkdir full/stage1-builder
            XDG_RUNTIME_DIR=$BENCH/full run -- true; echo $?; ls full/stage1-builder
            export S1B_CACHE_DIR=$BENCH/full
            "$S1B" run --accel=tcg --stage1-path "$1" -- true; echo $?' bash "$image""#
    ));
    said.is(
        0,
        &[
            "can't use the run's folder",
            "No space left",
            "XDG_RUNTIME_DIR",
            "can't take the kernel out of",
            "S1B_CACHE_DIR",
        ],
    );
    said.says("12\n12\n");
}
