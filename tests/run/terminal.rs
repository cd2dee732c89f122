//! A terminal of the caller's becomes the command's.

use super::bench::Bench;

/// Runs its arguments on a terminal of 33 rows and 101 columns and does what
/// the steps on its stdin say; at last the exit code, how many tenths of a
/// second it took to end, and whether the terminal is as it was.
const TERMINAL: &str = r#"
import fcntl, os, select, struct, subprocess, sys, termios, time
master, slave = os.openpty()
def resize(rows, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
resize(33, 101)
before = termios.tcgetattr(slave)
def control():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
child = subprocess.Popen(sys.argv[2:], stdin=slave, stdout=slave, stderr=slave, preexec_fn=control)
seen = b''
def expect(text):
    global seen
    end = time.time() + 100
    while text.encode() not in seen:
        if not select.select([master], [], [], max(0, end - time.time()))[0]:
            sys.exit('never ' + text + ' in ' + repr(seen))
        seen += os.read(master, 4096)
    seen = seen.split(text.encode(), 1)[1]
for step in sys.argv[1].split(','):
    what, _, value = step.partition(' ')
    if what == 'see':
        expect(value)
    elif what == 'size':
        resize(*map(int, value.split('x')))
    else:
        os.write(master, bytes.fromhex(value))
asked = time.time()
code = child.wait()
print(code, int(time.time() - asked), termios.tcgetattr(slave) == before)
"#;

/// In the guest: says what it hears. Signals come over a pipe: a handler
/// alone could come just before a read and wait for it.
const HEARS: &str = r#"
import os, select, signal
heard, hear = os.pipe()
os.set_blocking(hear, False)
signal.set_wakeup_fd(hear)
for number in (signal.SIGWINCH, signal.SIGINT):
    signal.signal(number, lambda *_: None)
def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\n').encode())
def size():
    say('size', '%dx%d' % (os.get_terminal_size().lines, os.get_terminal_size().columns))
size()
say(os.ttyname(0), os.ttyname(2), os.tcgetpgrp(0) == os.getpgrp(), os.environ['TERM'])
while True:
    ready = select.select([0, heard], [], [])[0]
    if heard in ready:
        for number in os.read(heard, 100):
            size() if number == signal.SIGWINCH else say('interrupted')
    elif not (line := os.read(0, 1000)):
        break
    else:
        say('got', line.decode().strip())
"#;

fn on_a_terminal(steps: &str, options: &str) -> Option<super::bench::Said> {
    let bench = Bench::new()?;
    bench.write("terminal", TERMINAL);
    bench.write("hears", HEARS);
    Some(bench.shell(&format!(
        "TERM=vt100 /usr/bin/python3 terminal '{steps}' \"$S1B\" run --kernel $KERNEL {options} -- \
         /usr/bin/python3 hears; code=$?; gone; left; exit $code"
    )))
}

#[test]
fn ctrl_c_ends_the_run_within_a_second() {
    let steps =
        "see size 33x101,see /dev/pts/0 /dev/pts/0 True vt100,type 6869 0d,see got hi,type 03";
    let Some(said) = on_a_terminal(steps, "") else { return };
    said.is(0, &[]).says("130 0 True\n");
}

#[test]
fn interactive_gives_ctrl_c_and_sizes_to_the_program() {
    let steps = "see size 33x101,see True,size 44x120,see size 44x120,type 03,see interrupted,\
                 type 61 0d,see got a,type 04";
    let Some(said) = on_a_terminal(steps, "--interactive") else { return };
    let text = said.is(0, &[]).text();
    assert!(text.starts_with("0 ") && text.ends_with("True\n"), "{text}");
}
