//! What can be done with a machine beside running its command: entering it,
//! debugging it, keeping it.

use super::bench::Bench;

/// A run is listed, entered by the beginning of its name, and what runs there
/// has its own streams and exit code, and the first command's environment.
#[test]
fn a_machine_that_runs_can_be_entered() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#""$S1B" run --kernel $KERNEL --uuid-file-save=uuid --environment=MARK=here --working-dir=/usr -- sleep 100 &
        wait_for '[ -n "$("$S1B" enter)" ]'
        wait_for '"$S1B" enter $(cat uuid) -- true 2>/dev/null'
        "$S1B" enter | grep -q "$(cat uuid).*6\.12.*sleep 100" && echo listed
        short=$(cut -c1-8 uuid)
        echo fed | "$S1B" enter $short -- sh -c 'cat; echo error >&2; echo $MARK $PWD; exit 9' 2>err
        echo $?; cat err
        head -c 3000000 /dev/urandom >data
        "$S1B" enter $short -- cat <data | cmp - data && echo same
        "$S1B" enter $short --user=nobody --working-dir=/tmp -- sh -c 'id -un; pwd'
        "$S1B" enter $short -- no-such-program 2>&1 | head -1
        "$S1B" enter $short -- sh -c 'kill -9 $$'; echo $?
        kill $!; wait $!; echo $?; gone
        "$S1B" enter $short -- true; echo $?"#,
    );
    said.is(0, &["there is no running VM"]).says(
        "listed\nfed\nhere /usr\n9\nerror\nsame\nnobody\n/tmp\n\
         error: no-such-program: not found\n137\n143\n4\n",
    );
}

/// With a debugger's port nothing runs until somebody says so, and no limit
/// counts.
#[test]
fn a_debugger_is_waited_for() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#""$S1B" run --kernel $KERNEL --gdb=34567 --boot-timeout=1 --timeout=1 -- echo through &
        sleep 2; kill -0 $! && echo waits
        # The remote protocol's "continue": the checksum is that of the letter.
        exec 3<>/dev/tcp/127.0.0.1/34567; printf '+$c#63' >&3
        wait $!; echo $?"#,
    );
    said.is(0, &[]).says("waits\nthrough\n0\n");
}

/// What a run that failed leaves can be run again by hand. The kernel gives up
/// a moment after the command spoke: whoever passes its words on has been heard.
#[test]
fn a_run_that_failed_is_kept_and_can_be_repeated() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.shell(
        r#"run --keep -- sh -c 'echo again; sleep 1; echo c >/proc/sysrq-trigger' >out; echo $?
        kept=$(echo runtime/stage1-builder/kept-*); ls $kept
        grep -c "sysrq triggered crash" $kept/console.log
        run --keep -- true; ls -d runtime/stage1-builder/*/ | wc -l
        sed -n 's/^\(qemu-system.*\)/\1/p' stderr | tail -1 >repeat
        timeout 60 sh repeat </dev/null >by-hand 2>&1
        grep -c "^again" by-hand; grep -c "sysrq triggered crash" by-hand"#,
    );
    said.is(0, &["kept ", "this repeats the run:"])
        .says("122\nconsole.log\ninitramfs.cpio\nrun.json\n1\n1\n1\n1\n");
}

/// Where the host has the virtiofsd that can do it (`./test` sees to one: Debian
/// 12 has none), shares go over it, and the host is as safe as over 9p.
#[test]
fn folders_are_shared_over_virtiofs_where_there_is_one() {
    let Some(bench) = Bench::new() else { return };
    let daemon = std::env::var("S1B_TEST_VIRTIOFSD").unwrap_or_else(|_| "virtiofsd".to_owned());
    let Some(daemon) = stage1_builder::proc::find(&daemon) else {
        return super::not_run::not_run("run over virtiofs", "there is no virtiofsd in Rust here");
    };
    let said = bench.shell_with(
        r#"mkdir here; echo host >here/file
        run --share=virtiofs --virtiofsd=$DAEMON --volume=v,kind=host,source=here --mount=volume=v,target=/v \
            --volume=r,kind=host,source=here,readOnly=true --mount=volume=r,target=/r -- sh -c '
            cat /r/file; echo guest >/v/new; echo no >/r/new2; grep -c "/r virtiofs" /proc/mounts; grep -c "/v 9p" /proc/mounts
            mkdir /x && mount -t virtiofs root /x && ! touch /x/etc/s1b-was-here'
        cat here/new; ls here; ls /etc/s1b-was-here"#,
        |program| program.env("DAEMON", daemon),
    );
    said.says("host\n1\n1\nguest\nfile\nnew\n");
}
