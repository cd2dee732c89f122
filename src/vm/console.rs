//! What the kernel says: kept, watched, and shown on request.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::run::{Happening, SharedWriter};

/// Bytes of the console that are kept: a guest that floods it costs no more.
const KEPT: usize = 256 << 10;
/// The longest line that is looked at.
const LINE: usize = 4096;

/// What a kernel says when there is no going on (`kernel/panic.c`,
/// `kernel/watchdog.c`, `kernel/hung_task.c`, `kernel/rcu/tree_stall.h`; 4.4
/// to 6.12).
const FATAL: [&str; 5] = [
    "Kernel panic - not syncing",
    "BUG: soft lockup",
    "BUG: hard lockup",
    "self-detected stall on CPU",
    " detected stalls on CPU",
];
/// What it says when it has killed a process for want of memory
/// (`mm/oom_kill.c`; the second before 5.0).
const OUT_OF_MEMORY: [&str; 2] = ["Out of memory: Killed process", "Out of memory: Kill process"];

/// The console's last bytes, and what was found in it.
#[derive(Debug, Default)]
pub(super) struct Console {
    tail: VecDeque<u8>,
    /// The line that was read last, as far as it goes.
    line: Vec<u8>,
    fatal: Option<String>,
    out_of_memory: bool,
}

impl Console {
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<String> {
        let excess = (self.tail.len() + bytes.len()).saturating_sub(KEPT);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let mut found = None;
        for &byte in bytes {
            if byte == b'\n' {
                found = found.or(self.look());
                self.line.clear();
            } else if self.line.len() < LINE {
                self.line.push(byte);
            }
        }
        found
    }

    /// The line's text, if it is the first that is the end.
    fn look(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line);
        self.out_of_memory |= OUT_OF_MEMORY.iter().any(|text| line.contains(text));
        if self.fatal.is_some() || !FATAL.iter().any(|text| line.contains(text)) {
            return None;
        }
        self.fatal = Some(plain(without_time(line.trim())));
        self.fatal.clone()
    }

    /// What was kept, as text that no terminal obeys.
    pub(super) fn text(&self) -> String {
        let (one, other) = self.tail.as_slices();
        plain(&String::from_utf8_lossy(&[one, other].concat()))
    }
}

/// Without the kernel's time stamp.
fn without_time(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.') => rest,
        _ => line,
    }
}

/// What somebody in the guest says, as text that no terminal obeys.
pub(super) fn said(bytes: &[u8]) -> String {
    plain(&String::from_utf8_lossy(bytes))
}

/// Without escape sequences' first bytes and carriage returns.
fn plain(text: &str) -> String {
    let visible = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(visible).collect()
}

/// The console of one machine, fed by several devices.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Console>>);

impl Watch {
    /// Reads a device on a thread until it ends.
    pub(super) fn follow(
        &self,
        mut device: impl Read + Send + 'static,
        shown: Option<SharedWriter>,
        tell: Sender<Happening>,
    ) {
        let console = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = device.read(&mut bytes)
                && count > 0
            {
                if let Some(shown) = &shown {
                    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    // Nobody to show it to is no reason to stop watching.
                    _ = shown.write_all(&bytes[..count]).and_then(|()| shown.flush());
                }
                let found =
                    console.lock().unwrap_or_else(PoisonError::into_inner).take(&bytes[..count]);
                if let Some(line) = found {
                    _ = tell.send(Happening::Fatal(line));
                }
            }
        });
    }

    fn get(&self) -> std::sync::MutexGuard<'_, Console> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was kept.
    pub(super) fn text(&self) -> String {
        self.get().text()
    }

    /// The line by which the kernel gave up.
    pub(super) fn fatal(&self) -> Option<String> {
        self.get().fatal.clone()
    }

    /// Whether the guest had too little memory.
    pub(super) fn out_of_memory(&self) -> bool {
        self.get().out_of_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_moves_no_cursor() {
        assert_eq!(said(b"no \x1b[2Juser\r 'x'\xff\n"), "no [2Juser 'x'\u{fffd}\n");
    }

    #[test]
    fn the_first_fatal_line_is_found_however_it_comes() {
        let mut console = Console::default();
        let said = b"[    0.5] fine\n[   12.345678] Kernel panic - not syncing: VFS\r\nKernel panic - not syncing: x\n";
        let found: Vec<_> = said.chunks(3).filter_map(|chunk| console.take(chunk)).collect();
        assert_eq!(found, ["Kernel panic - not syncing: VFS"]);
        let lockup = b"[ 30.1] NMI watchdog: BUG: soft lockup - CPU#0 stuck for 22s!\n";
        assert!(Console::default().take(lockup).unwrap().starts_with("NMI watchdog"));
        let stall = b"[ 99.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n";
        assert!(Console::default().take(stall).unwrap().starts_with("rcu: INFO"));
        assert_eq!(Console::default().take(b"no Kernel panic here\n"), None);
    }

    #[test]
    fn a_flood_costs_no_memory_and_no_terminal_obeys() {
        let mut console = Console::default();
        for _ in 0..100 {
            console.take(&[b'x'; 10_000]);
        }
        console.take(b"\x1b[2Jlast\n");
        assert!(console.text().len() <= KEPT);
        assert!(console.text().ends_with("[2Jlast\n"));
        assert!(console.line.len() <= LINE);
    }

    #[test]
    fn want_of_memory_is_seen() {
        let mut console = Console::default();
        console.take(b"[1.0] Out of memory: Killed process 42 (x)\n");
        assert!(console.out_of_memory);
    }
}
