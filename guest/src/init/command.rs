//! The command: found, started as its user, awaited.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, Signal};

use crate::orders::Command;
use crate::wire::{Ending, Failure, Kind};

use super::enter;
use super::exec;
use super::ports::Control;
use super::problem::{Explain, Problem};
use super::reaper::Reaper;
use super::streams::{self, Ends};
use super::terminal;
use super::users::{self, User};

/// Where programs are looked for when the container does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that was started.
pub(super) struct Started {
    pub(super) listener: Listener,
    pub(super) ended: Receiver<Ending>,
    pub(super) ends: Ends,
}

/// A command's ear for what the host says.
pub(super) struct Listener {
    pid: Pid,
    /// The master of its terminal, if it has one.
    master: Option<std::fs::File>,
}

impl Listener {
    /// Passes on a signal or a size; all else is not for it.
    pub(super) fn hear(&self, kind: Kind, bytes: &[u8]) {
        match (kind, bytes, &self.master) {
            (Kind::Signal, [number], _) => {
                if let Some(signal) = Signal::from_named_raw(i32::from(*number)) {
                    _ = rustix::process::kill_process_group(self.pid, signal);
                }
            }
            (Kind::Size, [a, b, c, d], Some(master)) => {
                let size = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
                _ = terminal::resize(master, size);
            }
            _ => {}
        }
    }
}

/// Runs the command to its end and tells the host all about it.
pub(super) fn run(
    command: &Command,
    ports: streams::Ports,
    control: &Arc<Control>,
) -> Result<(), Problem> {
    let reaper = Arc::new(Reaper::default());
    let started = start(command, &reaper)?;
    control.send(Kind::Started, b"");
    let pumps = streams::connect(started.ends, ports);
    obey(control, started.listener)?;
    Reaper::watch(&reaper);
    enter::serve(command.clone(), Arc::clone(&reaper));
    let ending = started.ended.recv().or_init("the command got lost")?;
    // As with a container's first process: all others end with it.
    Reaper::kill_all();
    pumps.drain();
    rustix::fs::sync();
    control.send(Kind::Ended, &ending.to_bytes());
    Ok(())
}

/// Finds the program and starts it.
pub(super) fn start(command: &Command, reaper: &Reaper) -> Result<Started, Problem> {
    let user = users::resolve(&command.user, &command.groups)?;
    let env = environment(command, &user);
    let dir = folder(&command.dir)?;
    let name = command.args.first().map(|name| OsStr::from_bytes(name)).unwrap_or_default();
    let program = find(name, &env, &dir)?;
    let mut process = process::Command::new(&program);
    process.current_dir(&dir);
    let ends = streams::prepare(&mut process, command.terminal, &user)?;
    become_user(&mut process, &user, command.terminal.is_some());
    exec::plainly(&mut process, &program, &command.args, env)
        .or_init(format_args!("can't run {}", program.display()))?;
    let (pid, ended) = reaper.spawn(&mut process).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Failure::NotFound,
            _ => Failure::NotExecutable,
        };
        Problem::new(kind, format_args!("can't run {}: {}", program.display(), why(&error)))
    })?;
    drop(process);
    let listener = Listener { pid, master: ends.master() };
    Ok(Started { listener, ended, ends })
}

/// The program is there; when the kernel does not find it, it is what it
/// names that is absent.
fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "its interpreter is absent".to_owned(),
        _ => error.to_string(),
    }
}

fn environment(command: &Command, user: &User) -> Vec<(OsString, OsString)> {
    let pair = |entry: &Vec<u8>| {
        let at = entry.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&entry[..at]), text(&entry[at + 1..])))
    };
    let mut env: Vec<_> = command.env.iter().filter_map(pair).collect();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", &user.home)] {
        if !env.iter().any(|(found, _)| found == name) {
            env.push((name.into(), value.into()));
        }
    }
    env
}

fn folder(dir: &[u8]) -> Result<PathBuf, Problem> {
    let dir = Path::new(OsStr::from_bytes(dir));
    let dir = if dir.as_os_str().is_empty() { Path::new("/") } else { dir };
    let made = std::fs::create_dir_all(dir);
    // A file system that can't be written to has it, or does not.
    if !dir.is_dir() {
        made.or_init(format_args!("can't go into {}", dir.display()))?;
    }
    Ok(dir.to_owned())
}

/// The program's path: as `execvp` finds it, but in the container's `PATH`.
fn find(name: &OsStr, env: &[(OsString, OsString)], dir: &Path) -> Result<PathBuf, Problem> {
    let shown = name.to_string_lossy();
    let absent = || Problem::new(Failure::NotFound, format_args!("{shown}: not found"));
    let refused =
        || Problem::new(Failure::NotExecutable, format_args!("{shown}: can't be executed"));
    let is = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some(found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.is_empty() {
        return Err(absent());
    }
    if name.as_bytes().contains(&b'/') {
        let path = dir.join(name);
        return match is(&path) {
            Some(true) => Ok(path),
            Some(false) => Err(refused()),
            None => Err(absent()),
        };
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let mut any = false;
    for folder in std::env::split_paths(path.unwrap_or_default()) {
        let path = dir.join(folder).join(name);
        match is(&path) {
            Some(true) => return Ok(path),
            Some(false) if path.is_file() => any = true,
            _ => {}
        }
    }
    Err(if any { refused() } else { absent() })
}

#[expect(unsafe_code, reason = "there is no other way to act between fork and exec")]
fn become_user(process: &mut process::Command, user: &User, terminal: bool) {
    let groups: Vec<Gid> = user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    // SAFETY: system calls only, on values that were made before the fork.
    unsafe {
        process.pre_exec(move || {
            rustix::process::setsid()?;
            if terminal {
                terminal::control()?;
            }
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_gid(gid)?;
            rustix::thread::set_thread_uid(uid)?;
            Ok(())
        });
    }
}

/// Follows what the host says while the command runs.
fn obey(control: &Control, listener: Listener) -> Result<(), Problem> {
    let mut port = control.reader().or_init("can't read the control port")?;
    std::thread::spawn(move || {
        while let Ok(Some(frame)) = crate::wire::read_frame(&mut port) {
            listener.hear(frame.kind, &frame.bytes);
        }
    });
    Ok(())
}
