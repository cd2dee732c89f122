//! Our own terminal, while the command has it.

use std::io;
use std::sync::mpsc::{Receiver, channel};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
use stage1_builder::vm::Request;

/// Rows and columns.
pub(in crate::cli) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know its size says 0.
    let or = |value, default| if value == 0 { default } else { value };
    Some((or(size.ws_row, 24), or(size.ws_col, 80)))
}

/// Signals and sizes for the command, as they come.
pub(in crate::cli) fn requests(terminal: bool) -> Receiver<Request> {
    let (send, receive) = channel();
    let wanted = [SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH];
    if let Ok(mut signals) = signal_hook::iterator::Signals::new(wanted) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let request = match (signal, terminal) {
                    (SIGWINCH, true) => size().map(|(rows, columns)| Request::Size(rows, columns)),
                    (SIGWINCH, false) => None,
                    (signal, _) => u8::try_from(signal).ok().map(Request::Signal),
                };
                if request.is_some_and(|request| send.send(request).is_err()) {
                    return;
                }
            }
        });
    }
    receive
}

/// Everything that is typed goes to the command, until this is dropped.
pub(in crate::cli) struct Raw(Termios);

impl Raw {
    pub(in crate::cli) fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
