//! Being asked to stop by SIGINT or SIGTERM.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

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
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Starts to take SIGINT and SIGTERM as requests. Once; later calls do
/// nothing. Gives whether the requests are taken.
pub fn install() -> bool {
    *INSTALLED.get_or_init(|| {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else {
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

/// The first request since the start, if any.
#[must_use]
pub fn requested() -> Option<Signal> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal_hook::consts::SIGTERM => Some(Signal::Terminate),
        _ => Some(Signal::Interrupt),
    }
}

/// How many requests there were.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}
