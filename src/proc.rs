//! The one door to other programs.
//!
//! A [`Program`] runs in a process group of its own with a minimal
//! environment (`LANG=C.UTF-8`, `PATH`, `HOME`, `TERM`, `TMPDIR`) and an
//! empty stdin. When this process is asked to stop ([`interrupt`]), the
//! group gets SIGTERM, five seconds, and SIGKILL; a second request kills at
//! once. When this process itself is killed, the kernel kills the child.

pub mod interrupt;
mod pump;
mod running;
mod tail;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

pub use running::Running;

use pump::{Chunks, pump};
use tail::Tail;

/// How often a wait looks whether it should give up.
const TICK: Duration = Duration::from_millis(50);

/// A program that could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in `PATH`, or not at its path.
    #[error("{program}: program not found")]
    NotFound {
        /// As it was called.
        program: String,
    },
    /// It could not be started or waited for.
    #[error("{command}: can't be run")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("{command}: {status}{}", indented(.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// Its status.
        status: ExitStatus,
        /// The last lines that it wrote to stderr.
        stderr: String,
    },
    /// This process was asked to stop.
    #[error("{command}: stopped by {signal}")]
    Interrupted {
        /// The command line.
        command: String,
        /// By which signal.
        signal: interrupt::Signal,
    },
}

impl Error {
    /// What kind of failure this is, when it is not the program's own.
    #[must_use]
    pub fn signal(&self) -> Option<interrupt::Signal> {
        match self {
            Self::Interrupted { signal, .. } => Some(*signal),
            _ => None,
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n    {line}")).collect()
}

/// Which of a program's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a program that ended has left.
#[derive(Debug)]
pub struct Output {
    /// Its status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub stderr: String,
}

/// A program to run. Built up, then used once.
#[derive(Debug)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    stdin: Option<std::fs::File>,
    inherited: Vec<OwnedFd>,
}

impl Program {
    /// A program by name (looked up in `PATH`) or path.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let mut env = BTreeMap::from([("LANG".into(), "C.UTF-8".into())]);
        for name in ["PATH", "HOME", "TERM", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                env.insert(name.into(), value);
            }
        }
        Self {
            name: name.as_ref().to_owned(),
            args: Vec::new(),
            env,
            dir: None,
            stdin: None,
            inherited: Vec::new(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Passes our own variable on, if it is set.
    #[must_use]
    pub fn pass_env(self, name: &str) -> Self {
        match std::env::var_os(name) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Passes the proxy variables on, for programs that use the network.
    #[must_use]
    pub fn pass_proxies(self) -> Self {
        let names = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
        let upper = names.map(str::to_ascii_uppercase);
        let names = names.into_iter().chain(upper.iter().map(String::as_str));
        names.fold(self, Self::pass_env)
    }

    /// The folder to run in.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// A file as standard input; also how a child inherits a
    /// [`crate::fsutil::Lock`].
    #[must_use]
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.stdin = Some(file);
        self
    }

    /// A descriptor that the program gets under the same number; ours is
    /// closed when the program has been started.
    #[must_use]
    pub fn inherit(mut self, descriptor: OwnedFd) -> Self {
        self.inherited.push(descriptor);
        self
    }

    /// Starts it, to be watched and ended by the caller. Its standard output
    /// is dropped. The kernel kills it when the thread that called this ends.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(self) -> Result<Running, Error> {
        let command = self.to_string();
        Ok(Running::new(self.spawn(false)?, command))
    }

    /// Runs it; any exit status is a result.
    ///
    /// # Errors
    /// When it can't be started, or we were asked to stop.
    pub fn output(self) -> Result<Output, Error> {
        self.output_fed(|_| Ok(()))
    }

    /// Runs it; an exit status other than 0 is an error with the tail of
    /// stderr. Gives stdout.
    ///
    /// # Errors
    /// When it can't be started, fails, or we were asked to stop.
    pub fn run(self) -> Result<Vec<u8>, Error> {
        let command = self.to_string();
        let output = self.output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Error::Failed { command, status: output.status, stderr: output.stderr })
        }
    }

    /// Runs it with what `feed` writes as its standard input. A program that
    /// stops reading early ends the feed without an error; its status tells.
    ///
    /// # Errors
    /// When it can't be started, `feed` fails for a reason of its own, or we
    /// were asked to stop.
    pub fn output_fed(
        self,
        feed: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    ) -> Result<Output, Error> {
        let command = self.to_string();
        let start_error = |source| Error::Start { command: command.clone(), source };
        let fed = self.stdin.is_none();
        let mut child = self.spawn(fed)?;
        let stdin = child.stdin.take();
        let mut stdout = Vec::new();
        let mut tail = Tail::default();
        let (result, fed) = std::thread::scope(|scope| {
            let feeder = scope.spawn(move || match stdin {
                Some(mut stdin) => feed(&mut stdin),
                None => Ok(()),
            });
            let result = pump(&mut child, &command, Chunks::Raw, |stream, bytes| match stream {
                Stream::Stdout => stdout.extend_from_slice(bytes),
                Stream::Stderr => tail.push_bytes(bytes),
            });
            (result, feeder.join())
        });
        let status = result?;
        match fed {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(start_error(error));
            }
            Err(_) => return Err(start_error(io::Error::other("the feeding thread panicked"))),
            _ => {}
        }
        Ok(Output { status, stdout, stderr: tail.text() })
    }

    /// Runs it and hands over each line of both streams as it comes, without
    /// its line feed.
    ///
    /// # Errors
    /// When it can't be started, or we were asked to stop.
    pub fn stream(self, on_line: impl FnMut(Stream, &[u8])) -> Result<ExitStatus, Error> {
        let command = self.to_string();
        let mut child = self.spawn(false)?;
        pump(&mut child, &command, Chunks::Lines, on_line)
    }

    /// Runs it and hands over both streams in the pieces in which they come.
    /// An exit status other than 0 is an error with the tail of stderr.
    ///
    /// # Errors
    /// When it can't be started, fails, or we were asked to stop.
    pub fn pipe(self, mut on_piece: impl FnMut(Stream, &[u8])) -> Result<(), Error> {
        let command = self.to_string();
        let mut child = self.spawn(false)?;
        let mut tail = Tail::default();
        let status = pump(&mut child, &command, Chunks::Raw, |stream, bytes| {
            if stream == Stream::Stderr {
                tail.push_bytes(bytes);
            }
            on_piece(stream, bytes);
        })?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::Failed { command, status, stderr: tail.text() }),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    #[expect(unsafe_code, reason = "pre_exec is the only way to ask for a parent-death signal")]
    fn spawn(self, piped_stdin: bool) -> Result<Child, Error> {
        let shown = self.to_string();
        let mut command = Command::new(&self.name);
        command.args(&self.args).env_clear().envs(&self.env).process_group(0);
        command.stdin(match self.stdin {
            Some(file) => file.into(),
            None if piped_stdin => Stdio::piped(),
            None => Stdio::null(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let inherited = self.inherited;
        let parent = rustix::process::getpid();
        // SAFETY: prctl(2), getppid(2) and fcntl(2) are async-signal-safe and touch no
        // memory of ours.
        unsafe {
            command.pre_exec(move || {
                for descriptor in &inherited {
                    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
                }
                let signal = Some(rustix::process::Signal::KILL);
                rustix::process::set_parent_process_death_signal(signal)?;
                // Between the fork and here, nobody would have told us.
                match rustix::process::getppid() {
                    Some(found) if found == parent => Ok(()),
                    _ => Err(io::ErrorKind::Interrupted.into()),
                }
            });
        }
        command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if self.dir.as_ref().is_none_or(|dir| dir.is_dir()) => {
                Error::NotFound { program: self.name.to_string_lossy().into_owned() }
            }
            _ => Error::Start { command: shown, source },
        })
    }
}

/// The command line as one could type it.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quoted(&self.name))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The path of a program that `PATH` leads to, or of a path that is one.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs_err::metadata(path);
        metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_command_the_status_and_the_tail_of_stderr() {
        let script = "for i in $(seq 30); do echo line $i >&2; done; exit 3";
        let error = Program::new("sh").args(["-c", script]).run().unwrap_err().to_string();
        assert!(error.starts_with("sh -c 'for i in"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("line 30") && !error.contains("line 10\n"), "{error}");
    }

    #[test]
    fn an_absent_program_is_told_apart() {
        let error = Program::new("s1b-no-such-program").run().unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }

    #[test]
    fn the_environment_is_ours() {
        let env = Program::new("env").env("LOCALVERSION", "").run().unwrap();
        let env = String::from_utf8(env).unwrap();
        let allowed = ["LANG", "PATH", "HOME", "TERM", "TMPDIR", "LOCALVERSION"];
        for line in env.lines() {
            let name = line.split('=').next().unwrap();
            assert!(allowed.contains(&name), "{line}");
        }
        assert!(env.contains("LANG=C.UTF-8"));
    }

    #[test]
    fn lines_come_from_both_streams() {
        let mut lines = Vec::new();
        let status = Program::new("sh")
            .args(["-c", "echo out; echo err >&2; printf rest"])
            .stream(|stream, line| {
                lines.push((stream, String::from_utf8_lossy(line).into_owned()));
            })
            .unwrap();
        assert!(status.success());
        assert!(lines.contains(&(Stream::Stderr, "err".to_owned())));
        assert!(lines.contains(&(Stream::Stdout, "out".to_owned())));
        assert!(lines.contains(&(Stream::Stdout, "rest".to_owned())));
    }

    #[test]
    fn a_feed_reaches_the_program_and_an_early_end_is_no_error() {
        let fed = |program: &str, bytes: usize| {
            Program::new("sh")
                .args(["-c", program])
                .output_fed(move |to| to.write_all(&vec![b'x'; bytes]))
                .unwrap()
        };
        assert_eq!(fed("wc -c", 1 << 20).stdout.trim_ascii(), b"1048576");
        assert_eq!(fed("exit 4", 1 << 20).status.code(), Some(4));
    }

    #[test]
    fn a_daemon_that_holds_the_stream_does_not_hold_us() {
        let start = std::time::Instant::now();
        let output = Program::new("sh").args(["-c", "sleep 30 & echo done"]).output().unwrap();
        assert_eq!(output.stdout, b"done\n");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
