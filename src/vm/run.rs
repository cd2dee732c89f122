//! One run, from QEMU's start to its end.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fs_err as fs;
use stage1_builder_guest::wire::{self, Ending, Failure, Kind};

use crate::proc::{Program, Running, interrupt};

use super::arguments::{PORTS, Sockets, Wiring, arguments};
use super::console::{self, Watch};
use super::{End, Error, Machine, Outcome, RunFolder, enter, initramfs, shares, streams};

/// How often a wait looks whether we are asked to stop.
const TICK: Duration = Duration::from_millis(20);
/// What a kernel that gives up has left to say.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long a command that is asked to stop may take.
const GRACE: Duration = Duration::from_millis(700);

/// A writer that several threads have.
pub type SharedWriter = Arc<Mutex<Box<dyn Write + Send>>>;

/// Our side of the command's streams. They are taken when the command has
/// started and not before: a machine that did not boot has used up nothing.
#[derive(Default)]
pub struct Streams {
    /// Its input; none: empty.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Where its output goes; none: dropped.
    pub stdout: Option<Box<dyn Write + Send>>,
    /// Where its errors go; none: dropped.
    pub stderr: Option<Box<dyn Write + Send>>,
    /// Where the kernel's console goes, if anybody wants to see it.
    pub console: Option<SharedWriter>,
    /// Whether the Ctrl-C of the terminal that `stdin` is ends the run.
    pub interruptible: bool,
    /// What the command is to hear of while it runs.
    pub requests: Option<Receiver<Request>>,
    /// Called when the command has started.
    pub started: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// What the command is to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A signal's number.
    Signal(u8),
    /// The terminal has so many rows and columns now.
    Size(u16, u16),
}

impl Request {
    /// As a frame.
    pub(super) fn frame(self) -> (Kind, Vec<u8>) {
        match self {
            Self::Signal(number) => (Kind::Signal, vec![number]),
            Self::Size(rows, columns) => {
                (Kind::Size, [rows.to_le_bytes(), columns.to_le_bytes()].concat())
            }
        }
    }
}

/// What the threads of a run tell the one that decides.
#[derive(Debug)]
pub(super) enum Happening {
    Hello(String),
    Started,
    Ended(Ending),
    Failed(Failure, String),
    /// The control port is closed: QEMU has ended.
    Closed,
    /// The kernel gave up.
    Fatal(String),
    /// A stream ended; with an error when nobody takes it any more.
    StreamEnded(std::io::Result<()>),
    /// Ctrl-C was typed.
    Typed,
    Asked(Request),
}

/// Starts the machine, lets the command run to its end, and ends the machine.
///
/// # Errors
/// When it can't be started. What becomes of it then is the outcome.
pub fn run(machine: &Machine, folder: &RunFolder, streams: &mut Streams) -> Result<Outcome, Error> {
    let initramfs = folder.path().join("initramfs.cpio");
    fs::write(&initramfs, initramfs::archive(machine)?).map_err(Error::folder(&initramfs))?;
    let (tell, hear) = channel();
    let console = Watch::default();
    let daemons = shares::start(folder.path(), &machine.shares)?;
    let (qemu, ports, _door) = start(machine, folder, &initramfs, streams, &console, &tell)?;
    let mut run = Run {
        machine,
        qemu,
        daemons,
        ports,
        streams,
        tell,
        hear,
        console,
        begun: Instant::now(),
        started: None,
        release: None,
        open: if machine.orders.command.terminal.is_some() { 1 } else { 2 },
        kill_at: None,
    };
    let end = run.decide();
    let command = run.started.map(|started| started.elapsed());
    run.qemu.kill();
    Ok(Outcome {
        end: run.explain(end),
        console: run.console.text(),
        boot: run.started.map(|started| started - run.begun),
        command,
        out_of_memory: run.console.out_of_memory(),
        release: run.release,
    })
}

/// One end for us, one for QEMU.
fn pair() -> Result<(UnixStream, OwnedFd), Error> {
    let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket"))?;
    Ok((ours, theirs.into()))
}

/// What it means that nobody takes the command's output.
fn unread(error: &std::io::Error) -> End {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => End::NoReader,
        _ => End::Lost(format!("can't write the command's output: {error}")),
    }
}

/// Our ends of the ports.
struct Ports {
    control: UnixStream,
    stdin: Option<UnixStream>,
    stdout: Option<UnixStream>,
    stderr: Option<UnixStream>,
}

fn start(
    machine: &Machine,
    folder: &RunFolder,
    initramfs: &Path,
    streams: &mut Streams,
    console: &Watch,
    tell: &Sender<Happening>,
) -> Result<(Running, Ports, Option<enter::Open>), Error> {
    let (serial, their_serial) = pair()?;
    let (hvc, their_hvc) = pair()?;
    let pairs = PORTS.iter().map(|_| pair()).collect::<Result<Vec<_>, _>>()?;
    let (mut ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let wiring = Wiring {
        initramfs,
        sockets: Some(Sockets {
            serial: their_serial.as_raw_fd(),
            console: their_hvc.as_raw_fd(),
            ports: std::array::from_fn(|at| theirs[at].as_raw_fd()),
        }),
    };
    let program = Program::new(&machine.qemu).args(arguments(machine, &wiring));
    let inherited = [their_serial, their_hvc].into_iter().chain(theirs);
    let program = inherited.fold(program, Program::inherit);
    let qemu = program.start().map_err(Error::Qemu)?;
    for device in [serial, hvc] {
        console.follow(device, streams.console.clone(), tell.clone());
    }
    let mut take = || ours.remove(0);
    let control = take();
    listen(control.try_clone().map_err(Error::system("read the control port"))?, tell.clone());
    let ports = Ports { control, stdin: Some(take()), stdout: Some(take()), stderr: Some(take()) };
    // A run whose folder has too long a path for a socket goes on without.
    let door = enter::serve(machine, folder, take()).ok();
    Ok((qemu, ports, door))
}

fn forward(requests: Receiver<Request>, tell: Sender<Happening>) {
    std::thread::spawn(move || {
        for request in requests {
            if tell.send(Happening::Asked(request)).is_err() {
                return;
            }
        }
    });
}

/// Hears what init says, on a thread.
fn listen(mut control: UnixStream, tell: Sender<Happening>) {
    std::thread::spawn(move || {
        while let Ok(Some(frame)) = wire::read_frame(&mut control) {
            let happening = match (frame.kind, frame.bytes.as_slice()) {
                (Kind::Hello, release) => Happening::Hello(console::said(release)),
                (Kind::Started, _) => Happening::Started,
                (Kind::Ended, bytes) => match Ending::from_bytes(bytes) {
                    Some(ending) => Happening::Ended(ending),
                    None => break,
                },
                (Kind::Failed, [kind, rest @ ..]) => {
                    let failure = Failure::from_byte(*kind).unwrap_or(Failure::Init);
                    Happening::Failed(failure, console::said(rest))
                }
                _ => continue,
            };
            if tell.send(happening).is_err() {
                return;
            }
        }
        _ = tell.send(Happening::Closed);
    });
}

struct Run<'a> {
    machine: &'a Machine,
    qemu: Running,
    /// Those of virtiofs shares; a guest waits for a dead one for ever.
    daemons: Vec<Running>,
    ports: Ports,
    streams: &'a mut Streams,
    tell: Sender<Happening>,
    hear: Receiver<Happening>,
    console: Watch,
    begun: Instant,
    started: Option<Instant>,
    release: Option<String>,
    /// How many of the command's streams have not ended.
    open: u32,
    /// When the machine is ended whatever happens, and what that means.
    kill_at: Option<(Instant, End)>,
}

impl Run<'_> {
    /// Waits until it is known how the run ends.
    fn decide(&mut self) -> End {
        let mut ending = None;
        loop {
            if let Some(ending) = ending
                && self.open == 0
            {
                return End::Command(ending);
            }
            match self.hear.recv_timeout(TICK) {
                Ok(Happening::Hello(release)) => self.answer(release),
                Ok(Happening::Started) => self.begin(),
                Ok(Happening::Ended(how)) => ending = Some(how),
                Ok(Happening::Failed(failure, text)) => return End::NotStarted(failure, text),
                Ok(Happening::Closed) => return self.closed(ending),
                Ok(Happening::Fatal(line)) => self.kill_soon(LAST_WORDS, End::Panic(line)),
                Ok(Happening::StreamEnded(Err(error))) => return unread(&error),
                Ok(Happening::StreamEnded(Ok(()))) => self.open = self.open.saturating_sub(1),
                Ok(Happening::Typed) => {
                    self.kill_soon(GRACE, End::Interrupted(interrupt::Signal::Interrupt));
                }
                Ok(Happening::Asked(request)) => self.ask(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.closed(ending),
            }
            self.look_at_signals();
            if let Some(end) = self.overdue(ending.is_some()) {
                return end;
            }
        }
    }

    /// The command runs: from here on its streams are used.
    fn begin(&mut self) {
        self.started = Some(Instant::now());
        let streams = &mut *self.streams;
        if let Some(started) = streams.started.take() {
            started();
        }
        if let Some(requests) = streams.requests.take() {
            forward(requests, self.tell.clone());
        }
        let writers = [
            (self.ports.stdout.take(), streams.stdout.take()),
            (self.ports.stderr.take(), streams.stderr.take()),
        ];
        for (port, writer) in writers {
            if let Some(port) = port {
                let writer = writer.unwrap_or_else(|| Box::new(std::io::sink()));
                streams::outward(port, writer, self.tell.clone());
            }
        }
        // Ours stays open: what the guest has not taken yet would be lost.
        if let Some(Ok(port)) = self.ports.stdin.as_ref().map(UnixStream::try_clone) {
            let typed = streams.interruptible.then(|| self.tell.clone());
            let input = streams.stdin.take().unwrap_or_else(|| Box::new(std::io::empty()));
            streams::inward(input, port, typed);
        }
    }

    /// QEMU has ended. What the command said before counts.
    fn closed(&mut self, mut ending: Option<Ending>) -> End {
        loop {
            match self.hear.recv_timeout(LAST_WORDS) {
                Ok(Happening::Ended(how)) => ending = Some(how),
                Ok(Happening::Fatal(line)) => return End::Panic(line),
                Ok(Happening::StreamEnded(Ok(()))) => self.open = self.open.saturating_sub(1),
                Ok(Happening::StreamEnded(Err(error))) => return unread(&error),
                Ok(_) => {}
                // A reader of ours may be slow; its sockets end by themselves.
                Err(_) if self.started.is_some() && self.open > 0 => {
                    self.look_at_signals();
                    if let Some(end) = self.overdue(true) {
                        return end;
                    }
                }
                Err(_) => break,
            }
            if ending.is_some() && self.open == 0 {
                break;
            }
        }
        match ending {
            // As while it ran: what the command came to goes before what was
            // about to happen to it.
            Some(ending) => End::Command(ending),
            None => match self.kill_at.take() {
                Some((_, end)) => end,
                None if self.release.is_none() => End::NoBoot("the machine ended".to_owned()),
                None => End::Lost("the machine ended".to_owned()),
            },
        }
    }

    fn kill_soon(&mut self, within: Duration, end: End) {
        if self.kill_at.is_none() {
            self.kill_at = Some((Instant::now() + within, end));
        }
    }

    /// The guest is there, and wants to know what time it is.
    fn answer(&mut self, release: String) {
        self.release = Some(release);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        self.say(Kind::Clock, &now.to_le_bytes());
    }

    fn ask(&mut self, request: Request) {
        let (kind, bytes) = request.frame();
        self.say(kind, &bytes);
    }

    /// Says something to init; a machine that is gone is noticed by its
    /// closed port.
    fn say(&mut self, kind: Kind, bytes: &[u8]) {
        _ = wire::write_frame(&mut self.ports.control, kind, bytes);
    }

    fn look_at_signals(&mut self) {
        let Some(signal) = interrupt::requested() else { return };
        if matches!(self.kill_at, Some((_, End::Interrupted(_)))) {
            return;
        }
        self.kill_at = Some((Instant::now() + GRACE, End::Interrupted(signal)));
        if self.started.is_some() {
            self.ask(Request::Signal(signal.number()));
        } else {
            self.kill_at = Some((Instant::now(), End::Interrupted(signal)));
        }
    }

    fn overdue(&mut self, ended: bool) -> Option<End> {
        let now = Instant::now();
        for daemon in &mut self.daemons {
            if let Ok(Some(status)) = daemon.status() {
                let said = daemon.stderr();
                return Some(End::Lost(format!("the daemon of a share ended ({status}): {said}")));
            }
        }
        if self.kill_at.as_ref().is_some_and(|(when, _)| now >= *when) {
            return self.kill_at.take().map(|(_, end)| end);
        }
        let limits = &self.machine.limits;
        let after = |limit: Duration| format!("nothing within {:.1} s", limit.as_secs_f32());
        match self.started {
            // A debugger holds the guest as long as it likes.
            _ if self.machine.gdb.is_some() || ended => None,
            None if self.release.is_none() && now > self.begun + limits.hello.min(limits.boot) => {
                Some(End::NoBoot(after(limits.hello.min(limits.boot))))
            }
            None if now > self.begun + limits.boot => Some(End::NoBoot(after(limits.boot))),
            None => None,
            Some(started) => {
                let limit = limits.command.filter(|limit| now > started + *limit)?;
                Some(End::TimedOut(limit))
            }
        }
    }

    /// What QEMU or the console has to add.
    fn explain(&mut self, end: End) -> End {
        let said = self.qemu.stderr();
        match (end, self.console.fatal()) {
            (End::NoBoot(_) | End::Lost(_), Some(line)) => End::Panic(line),
            (End::NoBoot(why), None) if !said.is_empty() => End::NoBoot(format!("{why}: {said}")),
            (End::Lost(why), None) if !said.is_empty() => End::Lost(format!("{why}: {said}")),
            (end, _) => end,
        }
    }
}
