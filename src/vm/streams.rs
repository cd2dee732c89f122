//! Between our streams and the guest's ports.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use stage1_builder_guest::wire::{self, HEAD, Kind, MOST};

use super::run::Happening;

/// Carries what the command writes, on a thread, until its end.
pub(super) fn outward(port: UnixStream, mut to: Box<dyn Write + Send>, tell: Sender<Happening>) {
    std::thread::spawn(move || {
        let mut port = io::BufReader::with_capacity(128 << 10, port);
        let end = carry(&mut port, &mut to);
        _ = tell.send(Happening::StreamEnded(end));
    });
}

/// `Err` only when nobody takes what the command writes.
fn carry(port: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0; MOST];
    // A port that breaks off is a machine that is lost, which others notice.
    while let Ok(Some((kind, length))) = wire::read_head(port) {
        let Some(bytes) = bytes.get_mut(..length) else { return Ok(()) };
        if port.read_exact(bytes).is_err() || kind == Kind::End {
            break;
        }
        to.write_all(bytes)?;
        to.flush()?;
    }
    Ok(())
}

/// Carries our input to the command, on a thread, until its end. The thread
/// may outlive the run: nothing can take it off a read.
pub(super) fn inward(
    mut from: Box<dyn Read + Send>,
    mut port: UnixStream,
    typed: Option<Sender<Happening>>,
) {
    std::thread::spawn(move || {
        let mut frame = vec![0; HEAD + MOST];
        loop {
            let count = match from.read(&mut frame[HEAD..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // As an input that has ended: the command can't wait for it.
                Err(_) => 0,
            };
            let kind = if count == 0 { Kind::End } else { Kind::Data };
            frame[..HEAD].copy_from_slice(&wire::head(kind, count));
            if let Some(tell) = &typed
                && frame[HEAD..HEAD + count].contains(&INTERRUPT)
            {
                _ = tell.send(Happening::Typed);
            }
            if port.write_all(&frame[..HEAD + count]).is_err() || count == 0 {
                return;
            }
        }
    });
}

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;
