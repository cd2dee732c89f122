//! Every orphan of the guest ends here.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::wire::Ending;

/// Starts programs and hears of their ends.
///
/// The lock is held while one is started: a program that can't be executed is
/// a child for a moment, and must not be reaped under its parent's hands.
#[derive(Debug, Default)]
pub(super) struct Reaper(Mutex<HashMap<Pid, Sender<Ending>>>);

impl Reaper {
    /// Starts a program; its ending comes over the channel.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Pid, Receiver<Ending>)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let (send, ended) = channel();
        waiting.insert(pid, send);
        Ok((pid, ended))
    }

    /// Reaps on a thread, for ever.
    pub(super) fn watch(reaper: &Arc<Self>) {
        let reaper = Arc::clone(reaper);
        std::thread::spawn(move || {
            loop {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                if rustix::process::waitid(WaitId::All, options).is_err() {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                reaper.reap();
            }
        });
    }

    fn reap(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
            let ending = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ending::Code(byte(code)),
                (None, Some(signal)) => Ending::Signal(byte(signal)),
                (None, None) => continue,
            };
            if let Some(send) = waiting.remove(&pid) {
                _ = send.send(ending);
            }
        }
    }

    /// Kills every process but init, all at once (`kill(-1)`).
    pub(super) fn kill_all() {
        _ = rustix::process::kill_process_group(Pid::INIT, Signal::KILL);
    }
}
