//! Being asked to stop by SIGINT, SIGTERM or SIGHUP.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// What asked us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        })
    }
}

impl Signal {
    /// Its number, the same on every Linux.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

/// Starts to take SIGINT, SIGTERM and, unless somebody has had it ignored
/// (nohup), SIGHUP as requests. Once; later calls do
/// nothing. Gives whether the requests are taken.
pub fn install() -> bool {
    *INSTALLED.get_or_init(|| {
        let mut taken = vec![SIGINT, SIGTERM];
        if !hang_up_is_ignored() {
            taken.push(SIGHUP);
        }
        let Ok(mut signals) = signal_hook::iterator::Signals::new(taken) else {
            return false;
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                _ = SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                COUNT.fetch_add(1, Ordering::SeqCst);
            }
        });
        true
    })
}

/// Whether SIGHUP was ignored when we were started (proc(5): `SigIgn`, bit 0).
fn hang_up_is_ignored() -> bool {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// The first request since the start, if any.
#[must_use]
pub fn requested() -> Option<Signal> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        SIGTERM => Some(Signal::Terminate),
        SIGHUP => Some(Signal::HangUp),
        _ => Some(Signal::Interrupt),
    }
}

/// How many requests there were.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}
