//! Between our streams and the guest's ports.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use stage1_builder_guest::wire;

use super::run::Happening;

/// Carries what the command writes, on a thread, until its end.
pub(super) fn outward(port: UnixStream, mut to: Box<dyn Write + Send>, tell: Sender<Happening>) {
    std::thread::spawn(move || {
        let mut port = io::BufReader::with_capacity(128 << 10, port);
        _ = tell.send(Happening::StreamEnded(wire::receive_stream(&mut port, &mut to)));
    });
}

/// Carries our input to the command, on a thread, until its end. The thread
/// may outlive the run: nothing can take it off a read.
pub(super) fn inward(
    from: Box<dyn Read + Send>,
    mut port: UnixStream,
    typed: Option<Sender<Happening>>,
) {
    // A port that takes no more is a machine that is gone, which others notice.
    std::thread::spawn(move || wire::send_stream(&mut Keyboard { from, typed }, &mut port));
}

/// Our input, which tells when Ctrl-C is typed, if anybody wants to know.
struct Keyboard {
    from: Box<dyn Read + Send>,
    typed: Option<Sender<Happening>>,
}

impl Read for Keyboard {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        if let Some(tell) = &self.typed
            && into[..count].contains(&INTERRUPT)
        {
            _ = tell.send(Happening::Typed);
        }
        Ok(count)
    }
}

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;
