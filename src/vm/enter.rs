//! Further commands in a running guest: the door, and who knocks.
//!
//! A run listens on a socket in its private folder. Each caller is a session;
//! the sessions share one port into the guest, whose frames begin with the
//! session's number (`guest/src/init/enter.rs`).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use stage1_builder_guest::orders::Command;
use stage1_builder_guest::wire::{self, Ending, Failure, Kind, MOST, stream};

use crate::fsutil::{self, Lock};
use crate::proc::interrupt;

use super::run::Request;
use super::{End, Error, Machine, RunFolder, console, folder};

const SOCKET: &str = "enter.sock";
const RECORD: &str = "run.json";

/// A machine that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningVm {
    /// Its name.
    pub uuid: String,
    /// The process that runs it.
    pub pid: u32,
    /// The kernel's release, or its file.
    pub kernel: String,
    /// What runs in it.
    pub command: String,
    #[serde(skip)]
    path: PathBuf,
}

/// The machines of this user that run, in the order of their names.
#[must_use]
pub fn running() -> Vec<RunningVm> {
    let entries = fs::read_dir(folder::base()).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| running_in(&entry.path())).collect();
    found.sort_by(|one, other| one.uuid.cmp(&other.uuid));
    found
}

fn running_in(path: &Path) -> Option<RunningVm> {
    let record: RunningVm = serde_json::from_slice(&fs::read(path.join(RECORD)).ok()?).ok()?;
    let lock = path.join("lock");
    // A lock that can be had is a dead run's.
    let alive = lock.exists() && matches!(Lock::try_acquire(&lock), Ok(None));
    alive.then(|| RunningVm { path: path.to_owned(), ..record })
}

/// The door of a run, shut when dropped.
#[derive(Debug)]
pub(super) struct Open(UnixListener);

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever waits at it for callers is told so.
        _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// Opens the door of a run.
pub(super) fn serve(
    machine: &Machine,
    folder: &RunFolder,
    port: UnixStream,
) -> Result<Open, Error> {
    let args = machine.orders.command.args.iter().map(|arg| String::from_utf8_lossy(arg));
    let kernel = machine.kernel.release.clone();
    let record = RunningVm {
        uuid: folder.uuid().to_owned(),
        pid: std::process::id(),
        kernel: kernel.unwrap_or_else(|| machine.kernel.file.display().to_string()),
        command: args.collect::<Vec<_>>().join(" "),
        path: PathBuf::new(),
    };
    let path = folder.path().join(RECORD);
    let bytes = serde_json::to_vec(&record).map_err(std::io::Error::from);
    bytes.and_then(|bytes| fsutil::write_atomic(&path, &bytes)).map_err(Error::folder(&path))?;
    let path = folder.path().join(SOCKET);
    // There when a first try under KVM has failed.
    _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(Error::folder(&path))?;
    let from = port.try_clone().map_err(Error::system("read the port of `enter`"))?;
    let door = Arc::new(Door {
        port: Mutex::new(port),
        callers: Mutex::default(),
        last: AtomicU8::new(0),
    });
    let open = Open(listener.try_clone().map_err(Error::folder(&path))?);
    let behind = Arc::clone(&door);
    std::thread::spawn(move || behind.answer(from));
    std::thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            let door = Arc::clone(&door);
            std::thread::spawn(move || door.admit(caller));
        }
    });
    Ok(open)
}

struct Door {
    port: Mutex<UnixStream>,
    /// By session; a session whose caller has gone keeps its number until its
    /// command has ended.
    callers: Mutex<HashMap<u8, Option<UnixStream>>>,
    /// The number that was given last: one is not given again soon.
    last: AtomicU8,
}

impl Door {
    /// From the guest to the callers.
    fn answer(&self, mut from: UnixStream) {
        while let Ok(Some(frame)) = wire::read_frame(&mut from) {
            let Some((number, bytes)) = frame.bytes.split_first() else { continue };
            let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Some(caller)) = callers.get_mut(number)
                && wire::write_frame(caller, frame.kind, bytes).is_err()
            {
                // Gone, or it does not read: it must not hold up the others.
                _ = caller.shutdown(std::net::Shutdown::Both);
            }
            if matches!(frame.kind, Kind::Ended | Kind::Failed) {
                callers.remove(number);
            }
        }
    }

    /// From a caller to the guest, until the caller goes.
    fn admit(&self, mut caller: UnixStream) {
        let Some(number) = self.number(&caller) else { return };
        let mut entered = false;
        while let Ok(Some(frame)) = wire::read_frame(&mut caller) {
            entered |= frame.kind == Kind::Enter;
            self.send(frame.kind, number, &frame.bytes);
        }
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if !entered {
            callers.remove(&number);
        } else if let Some(caller) = callers.get_mut(&number) {
            *caller = None;
            drop(callers);
            self.send(Kind::Signal, number, &[HANGUP]);
        }
    }

    fn number(&self, caller: &UnixStream) -> Option<u8> {
        let caller = caller.try_clone().ok()?;
        caller.set_write_timeout(Some(PATIENCE)).ok()?;
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last.load(Ordering::SeqCst);
        let mut numbers = (1..=u8::MAX).map(|step| last.wrapping_add(step));
        let number = numbers.find(|number| !callers.contains_key(number))?;
        self.last.store(number, Ordering::SeqCst);
        callers.insert(number, Some(caller));
        Some(number)
    }

    fn send(&self, kind: Kind, number: u8, bytes: &[u8]) {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        _ = wire::write_frame(&mut *port, kind, &[&[number], bytes].concat());
    }
}

const HANGUP: u8 = 1;
/// How long a caller may leave its output unread before it is let go.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What a caller of [`enter`] brings.
pub struct Visit {
    /// Its input.
    pub stdin: Box<dyn Read + Send>,
    /// Where the command's output goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where its errors go.
    pub stderr: Box<dyn Write + Send>,
    /// Signals and sizes.
    pub requests: Option<Receiver<Request>>,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").finish_non_exhaustive()
    }
}

/// Runs a further command in a running machine. The beginning of a name is
/// enough if it is the only one that begins so.
///
/// # Errors
/// When there is no such machine, or it can't be spoken to.
pub fn enter(uuid: &str, command: &Command, mut visit: Visit) -> Result<End, Error> {
    let mut named = running().into_iter().filter(|run| run.uuid.starts_with(uuid));
    let (Some(run), None) = (named.next(), named.next()) else {
        return Err(Error::NoSuchRun { uuid: uuid.to_owned() });
    };
    let path = run.path.join(SOCKET);
    let mut door = UnixStream::connect(&path).map_err(Error::folder(&path))?;
    let system = || Error::system("speak with the machine");
    wire::write_frame(&mut door, Kind::Enter, &command.to_bytes()).map_err(system())?;
    let speaker = Arc::new(Mutex::new(door.try_clone().map_err(system())?));
    let (say, tell) = (Arc::clone(&speaker), speaker);
    let stdin = std::mem::replace(&mut visit.stdin, Box::new(std::io::empty()));
    std::thread::spawn(move || speak(stdin, &say));
    if let Some(requests) = visit.requests.take() {
        std::thread::spawn(move || {
            for request in requests {
                let mut door = tell.lock().unwrap_or_else(PoisonError::into_inner);
                let (kind, bytes) = request.frame();
                _ = wire::write_frame(&mut *door, kind, &bytes);
            }
        });
    }
    listen(door, visit)
}

/// Carries the caller's input.
fn speak(mut from: Box<dyn Read + Send>, door: &Mutex<UnixStream>) {
    let mut bytes = vec![0; MOST - 1];
    bytes[0] = stream::STDIN;
    loop {
        let count = from.read(&mut bytes[1..]).unwrap_or(0);
        let kind = if count == 0 { Kind::End } else { Kind::Data };
        let mut door = door.lock().unwrap_or_else(PoisonError::into_inner);
        if wire::write_frame(&mut *door, kind, &bytes[..=count]).is_err() || count == 0 {
            return;
        }
    }
}

fn listen(mut door: UnixStream, mut visit: Visit) -> Result<End, Error> {
    let watched = door.try_clone().map_err(Error::system("speak with the machine"))?;
    std::thread::spawn(move || {
        // A read has no other end than the socket's.
        while interrupt::requested().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        _ = watched.shutdown(std::net::Shutdown::Both);
    });
    while let Ok(Some(frame)) = wire::read_frame(&mut door) {
        match (frame.kind, frame.bytes.as_slice()) {
            (Kind::Data, [which, bytes @ ..]) => {
                let to =
                    if *which == stream::STDERR { &mut visit.stderr } else { &mut visit.stdout };
                if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
                    return Ok(End::NoReader);
                }
            }
            (Kind::Ended, bytes) => {
                return Ok(Ending::from_bytes(bytes)
                    .map_or_else(|| End::Lost("it spoke nonsense".to_owned()), End::Command));
            }
            (Kind::Failed, [kind, text @ ..]) => {
                let failure = Failure::from_byte(*kind).unwrap_or(Failure::Init);
                return Ok(End::NotStarted(failure, console::said(text)));
            }
            _ => {}
        }
    }
    Ok(match interrupt::requested() {
        Some(signal) => End::Interrupted(signal),
        None => End::Lost("the machine ended".to_owned()),
    })
}
