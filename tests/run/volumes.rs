//! Folders of the host, and folders in memory, in the container.

use super::bench::Bench;

/// In the guest. Nothing is said where a check holds.
const WORK: &str = r#"
import ctypes, errno, mmap, os, stat, subprocess, sys, time
os.chdir('/data')
def check(name, found, wanted):
    if found != wanted:
        print('wrong', name, found, wanted)
def refused(name, act):
    try:
        act()
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
check('host file', open('from-host').read(), 'host\n')
open('file', 'w').write('text')
os.chmod('file', 0o640)
check('mode', stat.S_IMODE(os.stat('file').st_mode), 0o640)
os.symlink('file', 'link')
check('symlink', (os.readlink('link'), open('link').read()), ('file', 'text'))
os.link('file', 'hard')
check('links', os.stat('file').st_nlink, 2)
os.setxattr('file', 'user.note', b'two\nlines\0')
check('xattr', os.getxattr('file', 'user.note'), b'two\nlines\0')
check('xattrs', os.listxattr('file'), ['user.note'])
with open('mapped', 'wb+') as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as map:
        map[4090:4100] = b'0123456789'
        map.flush()
with open('held', 'w+') as file:
    file.write('still here')
    file.flush()
    os.unlink('held')
    file.seek(0)
    check('unlinked', file.read(), 'still here')
check('gone', os.path.exists('held'), False)
open('new', 'w').write('new')
open('old', 'w').write('old')
os.rename('new', 'old')
check('renamed', (open('old').read(), os.path.exists('new')), ('new', False))
with open('sparse', 'wb') as file:
    file.seek(1 << 30)
    file.write(b'end')
check('sparse', os.stat('sparse').st_size, (1 << 30) + 3)
subprocess.run(['cp', '/bin/busybox', 'busybox'], check=True)
check('exec', subprocess.run(['./busybox', 'echo', 'ran'], capture_output=True).stdout, b'ran\n')
check('listed', len(os.listdir('many')), 500)
names = 'name with, comma \u00fc'
open(names, 'w').close()
check('read', open('/fixed/from-host').read(), 'host\n')
for name, act in [
    ('write', lambda: open('/fixed/new', 'w')),
    ('append', lambda: open('/fixed/from-host', 'a')),
    ('remove', lambda: os.unlink('/fixed/from-host')),
    ('chmod', lambda: os.chmod('/fixed/from-host', 0o777)),
    ('same, elsewhere', lambda: open('/again/new', 'w')),
]:
    check('read-only ' + name, refused(name, act), 'EROFS')
# Root in the guest can mount, but not what the host did not give.
libc = ctypes.CDLL(None, use_errno=True)
libc.mount(b'none', b'/fixed', None, 32, None)
check('remounted', refused('', lambda: open('/fixed/new', 'w')) != 'done', True)
found = os.stat('/data/below')
check('empty', (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o1770, 5, 6))
open('/data/below/in-memory', 'w').write('x')
check('the same memory', open('/mnt/in-memory').read(), 'x')
ages = []
for _ in range(20):
    open('dated', 'w').write('by the host')
    ages.append(time.time_ns() - os.stat('dated').st_mtime_ns)
os.unlink('dated')
check('of the past', [age for age in ages if not 0 <= age < 5_000_000_000], [])
os.sync()
print('worked')
"#;

#[test]
fn files_of_the_host_behave_as_files() {
    let Some(bench) = Bench::new() else { return };
    bench.write("work", WORK);
    bench.write("host,folder/from-host", "host\n");
    bench.write("fixed/from-host", "host\n");
    for number in 0..500 {
        bench.write(&format!("host,folder/many/{number}"), "");
    }
    let said = bench.shell(
        r#"ln -s host,folder source
        run --volume=data,kind=host,source=source --mount=volume=data,target=/data \
            --volume=fixed,kind=host,source=fixed,readOnly=true --mount=volume=fixed,target=/fixed \
            --mount=volume=fixed,target=/again \
            --mount=target=/data/below,volume=memory --mount=volume=memory,target=/mnt \
            --volume=memory,kind=empty,mode=1770,uid=5,gid=6 -- /usr/bin/python3 work || exit
        cd host,folder
        stat -c '%a %u %h' file; cat file; readlink link; cat old
        head -c 4100 mapped | tail -c 10; echo; cmp busybox /bin/busybox
        /usr/bin/python3 -c 'import os; print(os.getxattr("file", "user.note"))'
        echo "blocks $(($(stat -c %b sparse) < 100))"; ls ../fixed
        ls; ls below"#,
    );
    let user = rustix::process::geteuid().as_raw();
    said.is(0, &[]).says(&format!(
        "worked\n640 {user} 2\ntextfile\nnew0123456789\nb'two\\nlines\\x00'\nblocks 1\nfrom-host\n\
         below\nbusybox\nfile\nfrom-host\nhard\nlink\nmany\nmapped\nname with, comma ü\nold\nsparse\n"
    ));
}

/// A path in the container leads where it leads in the container.
#[test]
fn a_target_behind_a_symlink_stays_in_the_container() {
    let Some(bench) = Bench::new() else { return };
    bench.busybox("root");
    bench.write("folder/file", "volume\n");
    let said = bench.shell(
        r#"ln -s ../../../../../..$BENCH root/out; ln -s /deep/down root/in
        run --volume=v,kind=host,source=folder --mount=volume=v,target=/out/a \
            --mount=volume=v,target=/in/b ./root -- sh -c "cat $BENCH/a/file /deep/down/b/file"
        ls root; ls -d a deep root/deep"#,
    );
    said.has(&["volume", "bin", "in", "out"]);
    assert_eq!(said.text(), "volume\nvolume\nbin\nin\nout\n");
    assert_eq!(said.stderr.matches("No such file").count(), 3, "{}", said.stderr);
}

#[test]
fn volumes_that_make_no_sense_are_refused_before_anything_starts() {
    let bench = Bench::without_kernel();
    bench.write("file", "");
    for (options, code, parts) in [
        (
            "--volume=v,kind=host,source=/none",
            4,
            ["the volume's source /none", "hint: a volume is"],
        ),
        ("--volume=v,kind=host,source=file", 4, ["file: it is not a folder", "hint: a volume is"]),
        ("--volume=v,kind=nfs", 2, ["kind 'nfs'", "hint: --volume="]),
        ("--mount=volume=v,target=relative", 2, ["absolute", "hint: --mount="]),
        ("--volume=v,kind=empty", 2, ["'v' is mounted nowhere", "hint: --mount=volume=v,target="]),
        ("--mount=volume=v,target=/v", 2, ["volume 'v' that is not there", "hint: --volume=v,"]),
    ] {
        // No kernel is looked for, or even built, for what can't be run.
        let said = bench.shell(&format!("S1B_CACHE_DIR=$BENCH/cache run {options} -- true"));
        said.fails(code, &parts);
    }
    assert!(!bench.path("cache").exists());
}
