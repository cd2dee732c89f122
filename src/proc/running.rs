//! A program that runs beside us.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use super::tail::Tail;

/// A program that was started; killed with its process group when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    stderr: Arc<Mutex<Tail>>,
    ended: Option<ExitStatus>,
}

impl Running {
    pub(super) fn new(mut child: Child, command: String) -> Self {
        let stderr = Arc::new(Mutex::new(Tail::default()));
        drop(child.stdout.take());
        if let Some(stream) = child.stderr.take() {
            let tail = Arc::clone(&stderr);
            std::thread::spawn(move || keep(stream, &tail));
        }
        Self { child, command, stderr, ended: None }
    }

    /// The command line.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its status, if it has ended.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        if self.ended.is_none() {
            let start = |source| Error::Start { command: self.command.clone(), source };
            self.ended = self.child.try_wait().map_err(start)?;
        }
        Ok(self.ended)
    }

    /// Waits for its end, at most so long.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>, Error> {
        let end = Instant::now() + within;
        let mut pause = Duration::from_micros(200);
        loop {
            let status = self.status()?;
            if status.is_some() || Instant::now() >= end {
                return Ok(status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(super::TICK);
        }
    }

    /// Kills it and all that it started, at once.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let group = rustix::process::Pid::from_child(&self.child);
            // It may be gone already.
            _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }

    /// The last lines that it wrote to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone().text()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(stream: impl Read, tail: &Mutex<Tail>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        tail.lock().unwrap_or_else(PoisonError::into_inner).push_bytes(&line);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn it_runs_beside_us_and_dies_with_its_children() {
        let mut program =
            Program::new("sh").args(["-c", "echo up >&2; sleep 100 & wait"]).start().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while program.stderr() != "up" {
            assert!(Instant::now() < end, "{}", program.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(program.status().unwrap(), None);
        program.kill();
        assert!(program.status().unwrap().is_some());
    }

    #[test]
    fn a_descriptor_is_inherited_under_its_number() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let script = format!("echo hello >&{}", theirs.as_raw_fd());
        let mut program =
            Program::new("bash").args(["-c", &script]).inherit(theirs.into()).start().unwrap();
        let mut line = String::new();
        BufReader::new(ours).read_line(&mut line).unwrap();
        assert_eq!(line, "hello\n");
        assert!(program.wait(Duration::from_secs(20)).unwrap().unwrap().success());
    }
}
