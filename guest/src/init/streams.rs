//! Between the command's streams and the ports.

use std::fs::File;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::wire;

use super::problem::{Explain, Problem};
use super::users::User;
use super::{ports, terminal};

/// What a pipe holds: enough that neither side waits for each frame.
const PIPE: usize = 1 << 20;
/// How long the streams may take to end when every process is dead.
const DRAIN: Duration = Duration::from_secs(5);

/// The three ports.
pub(super) struct Ports {
    stdin: File,
    stdout: File,
    stderr: Option<File>,
}

impl Ports {
    /// Opens them; a terminal has no stderr of its own.
    pub(super) fn open(terminal: bool) -> Result<Self, Problem> {
        Ok(Self {
            stdin: ports::open(wire::STDIN)?,
            stdout: ports::open(wire::STDOUT)?,
            stderr: if terminal { None } else { Some(ports::open(wire::STDERR)?) },
        })
    }
}

/// Our ends of the command's streams.
pub(super) enum Ends {
    Terminal(File),
    Pipes { stdin: File, stdout: File, stderr: File },
}

impl Ends {
    /// The terminal's master, for its size.
    pub(super) fn master(&self) -> Option<File> {
        match self {
            Self::Terminal(master) => master.try_clone().ok(),
            Self::Pipes { .. } => None,
        }
    }
}

/// Gives the command its streams: three pipes, or a terminal.
pub(super) fn prepare(
    process: &mut process::Command,
    size: Option<(u16, u16)>,
    user: &User,
) -> Result<Ends, Problem> {
    let doing = "can't make the command's streams";
    if let Some(size) = size {
        let (master, slave) = terminal::open(size, user).or_init(doing)?;
        let again = || slave.try_clone().or_init(doing);
        process.stdin(again()?).stdout(again()?).stderr(again()?);
        return Ok(Ends::Terminal(master));
    }
    let pair = || pipe(user).or_init(doing);
    let ((theirs_in, stdin), (stdout, theirs_out), (stderr, theirs_err)) =
        (pair()?, pair()?, pair()?);
    process.stdin(theirs_in).stdout(theirs_out).stderr(theirs_err);
    Ok(Ends::Pipes { stdin, stdout, stderr })
}

/// A pipe that is the user's, so that it can be opened by way of
/// `/dev/stdout`, too: its read end and its write end.
fn pipe(user: &User) -> io::Result<(File, File)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // A small guest may refuse; then it is as large as the kernel makes it.
    _ = fcntl_setpipe_size(&write, PIPE);
    rustix::fs::fchown(&write, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    Ok((File::from(read), File::from(write)))
}

/// The threads that carry what the command writes.
pub(super) struct Pumps {
    ended: Receiver<()>,
    count: usize,
    /// How many of them wait for the host this moment.
    writing: Arc<AtomicUsize>,
}

impl Pumps {
    /// Waits until all that was written has been handed to the host, however
    /// slowly it takes it; not for a stream that somebody holds open in vain.
    pub(super) fn drain(self) {
        let mut left = self.count;
        while left > 0 {
            match self.ended.recv_timeout(DRAIN) {
                Ok(()) => left -= 1,
                Err(_) if self.writing.load(Ordering::SeqCst) > 0 => {}
                Err(_) => return,
            }
        }
    }
}

/// Starts to carry.
pub(super) fn connect(ends: Ends, ports: Ports) -> Pumps {
    let (send, ended) = channel();
    let mut count = 0;
    let writing = Arc::new(AtomicUsize::new(0));
    let mut pump = |from: File, to: File| {
        let (send, writing) = (send.clone(), Arc::clone(&writing));
        count += 1;
        std::thread::spawn(move || {
            outward(from, to, &writing);
            _ = send.send(());
        });
    };
    match ends {
        Ends::Terminal(master) => {
            if let Ok(input) = master.try_clone() {
                std::thread::spawn(move || inward(ports.stdin, input, true));
            }
            pump(master, ports.stdout);
        }
        Ends::Pipes { stdin, stdout, stderr } => {
            std::thread::spawn(move || inward(ports.stdin, stdin, false));
            pump(stdout, ports.stdout);
            if let Some(port) = ports.stderr {
                pump(stderr, port);
            }
        }
    }
    Pumps { ended, count, writing }
}

/// From a pipe to a port.
fn outward(mut from: File, to: File, writing: &AtomicUsize) {
    let mut to = Watched { port: to, writing };
    _ = wire::send_stream(&mut from, &mut to);
    // Not closed: what the host has not taken yet would be lost.
    std::mem::forget(to.port);
}

/// A port of which it is known whether it waits for the host.
struct Watched<'a> {
    port: File,
    writing: &'a AtomicUsize,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writing.fetch_add(1, Ordering::SeqCst);
        let written = self.port.write(bytes);
        self.writing.fetch_sub(1, Ordering::SeqCst);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.port.flush()
    }
}

/// From a port to a pipe. What a command does not read any more is read all
/// the same, and dropped: the host must not hang on it.
fn inward(from: File, mut to: File, terminal: bool) {
    // No larger than what a port gives at once: frames' bytes go past it.
    let mut from = io::BufReader::with_capacity(4 << 10, from);
    if wire::receive_stream(&mut from, &mut to).is_err() {
        drop(to);
        _ = wire::receive_stream(&mut from, &mut io::sink());
    } else if terminal {
        // A terminal has no end but the one that its user types: the first
        // ends a line that has none, the second the input.
        _ = to.write_all(&[END_OF_TRANSMISSION; 2]);
    }
}

/// What Ctrl-D types.
const END_OF_TRANSMISSION: u8 = 4;
