//! How host and guest speak: frames on virtio-serial ports.
//!
//! Every port carries frames of a kind (one byte), a length (four bytes,
//! little-endian) and that many bytes. The three streams of the command have
//! a port each, so that none waits for another; a [`Kind::End`] frame is
//! their end, which a port itself has not. All else goes over [`CONTROL`].
//! A port is read by one thread and written by one thread, and never polled:
//! old guests lose wake-ups on a port that is both polled and written.

use std::io::{self, Read, Write};

/// The port of signals, sizes, and what became of the command.
pub const CONTROL: &str = "s1b.control";
/// The port of the command's standard input.
pub const STDIN: &str = "s1b.stdin";
/// The port of the command's standard output; of its terminal, if it has one.
pub const STDOUT: &str = "s1b.stdout";
/// The port of the command's standard error.
pub const STDERR: &str = "s1b.stderr";
/// The port of further commands in a running guest.
pub const ENTER: &str = "s1b.enter";

/// The word on the kernel's command line that says that nobody is at the other
/// end of the ports: a person runs QEMU by hand.
pub const ALONE: &str = "s1b.alone";

/// The most bytes of one frame. Half of what a pipe holds, and what the
/// guest's kernel takes in one write (`port_fops_write` in
/// `drivers/char/virtio_console.c`), with its head.
pub const MOST: usize = (32 << 10) - HEAD;
/// Bytes of a frame's head.
pub const HEAD: usize = 5;
/// The most bytes of a frame that is no stream's: orders fit with room.
const LIMIT: usize = 16 << 20;

/// Whether a kernel's command line says that nobody is there.
#[must_use]
pub fn is_alone(parameters: &str) -> bool {
    parameters.split_whitespace().any(|word| word == ALONE)
}

/// Which of a session's streams a frame on [`ENTER`] belongs to.
pub mod stream {
    /// Standard input.
    pub const STDIN: u8 = 0;
    /// Standard output.
    pub const STDOUT: u8 = 1;
    /// Standard error.
    pub const STDERR: u8 = 2;
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Guest to host, first of all: init runs. The kernel's release.
    Hello = 1,
    /// Guest to host: the command runs.
    Started = 2,
    /// Guest to host: the command ended. See [`Ending`].
    Ended = 3,
    /// Guest to host: there will be no command. A [`Failure`].
    Failed = 4,
    /// Host to guest, the answer to [`Kind::Hello`]: nanoseconds since 1970,
    /// eight bytes. A guest's own clock begins with a whole second.
    Clock = 15,
    /// Host to guest: a signal's number for the command.
    Signal = 16,
    /// Host to guest: rows and columns of the terminal, two bytes each.
    Size = 17,
    /// Either way: bytes of a stream.
    Data = 32,
    /// Either way: the end of a stream.
    End = 33,
    /// Host to guest on [`ENTER`]: run a further command.
    Enter = 48,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Hello,
            Self::Started,
            Self::Ended,
            Self::Failed,
            Self::Clock,
            Self::Signal,
            Self::Size,
            Self::Data,
            Self::End,
            Self::Enter,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Writes a frame in one call, so that frames of several threads don't mix
/// where the writer is whole in one call.
///
/// # Errors
/// The writer's.
pub fn write_frame(to: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.extend_from_slice(&head(kind, bytes.len()));
    frame.extend_from_slice(bytes);
    to.write_all(&frame)
}

/// A frame's head.
#[must_use]
pub fn head(kind: Kind, length: usize) -> [u8; HEAD] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [kind as u8, length[0], length[1], length[2], length[3]]
}

/// Reads a frame; `None` at the end of the stream between two frames.
///
/// # Errors
/// The reader's; a frame that is cut, unknown or too long.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let Some((kind, length)) = read_head(from)? else { return Ok(None) };
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(Frame { kind, bytes }))
}

/// Reads a frame's head; `None` at the end of the stream.
///
/// # Errors
/// The reader's; a head that is cut, or of an unknown or too long frame.
pub fn read_head(from: &mut impl Read) -> io::Result<Option<(Kind, usize)>> {
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let kind = Kind::from_byte(head[0]).filter(|_| length <= LIMIT);
    let kind = kind.ok_or_else(|| {
        let text = format!("frame of kind {} and {length} bytes", head[0]);
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    Ok(Some((kind, length)))
}

/// Carries a stream: all that a reader gives, as frames, and its end. A reader
/// that fails has ended, too: a terminal's master does so.
///
/// # Errors
/// When the port does not take it.
pub fn send_stream(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut frame = vec![0; HEAD + MOST];
    loop {
        let count = match from.read(&mut frame[HEAD..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let kind = if count == 0 { Kind::End } else { Kind::Data };
        frame[..HEAD].copy_from_slice(&head(kind, count));
        to.write_all(&frame[..HEAD + count])?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Takes a stream from a port to its end, or until the port breaks off, which
/// others notice. Whole frames only: when this fails, the next call goes on
/// with the next frame.
///
/// (By hand: `io::copy` may splice from a port, frame or not.)
///
/// # Errors
/// When the writer does not take it.
pub fn receive_stream(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0; MOST];
    while let Ok(Some((kind, length))) = read_head(from) {
        let Some(bytes) = bytes.get_mut(..length) else { return Ok(()) };
        if from.read_exact(bytes).is_err() || kind == Kind::End {
            return Ok(());
        }
        to.write_all(bytes)?;
        to.flush()?;
    }
    Ok(())
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Ending {
    /// As bytes of a [`Kind::Ended`] frame.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Code(code) => [0, code],
            Self::Signal(signal) => [1, signal],
        }
    }

    /// From the bytes of a frame.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0, code] => Some(Self::Code(*code)),
            [1, signal] => Some(Self::Signal(*signal)),
            _ => None,
        }
    }
}

/// Why there is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// No such program in the container.
    NotFound = 1,
    /// It is there and can't be executed.
    NotExecutable = 2,
    /// No such user or group in the container.
    NoUser = 3,
    /// The root file system, a volume or a kernel's file system can't be
    /// mounted.
    Mount = 4,
    /// Anything else that init could not do.
    Init = 5,
}

impl Failure {
    /// From the first byte of a [`Kind::Failed`] frame; the rest is text.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let all = [Self::NotFound, Self::NotExecutable, Self::NoUser, Self::Mount, Self::Init];
        all.into_iter().find(|failure| *failure as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_one_by_one() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, Kind::Hello, b"6.12.0").unwrap();
        write_frame(&mut bytes, Kind::End, b"").unwrap();
        let mut from = bytes.as_slice();
        let hello = read_frame(&mut from).unwrap().unwrap();
        assert_eq!(hello, Frame { kind: Kind::Hello, bytes: b"6.12.0".to_vec() });
        assert_eq!(read_frame(&mut from).unwrap().unwrap().kind, Kind::End);
        assert_eq!(read_frame(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let cut = [Kind::Data as u8, 4, 0, 0, 0, b'x'];
        assert!(read_frame(&mut cut.as_slice()).is_err());
        assert!(read_frame(&mut [Kind::Data as u8, 4].as_slice()).is_err());
        assert!(read_frame(&mut [0, 0, 0, 0, 0].as_slice()).is_err());
        assert!(read_frame(&mut [Kind::Data as u8, 255, 255, 255, 255].as_slice()).is_err());
    }

    #[test]
    fn a_stream_arrives_whole_with_its_end() {
        let sent: Vec<u8> = (0..100_000).map(|n: u32| n.to_le_bytes()[0]).collect();
        let mut port = Vec::new();
        send_stream(&mut sent.as_slice(), &mut port).unwrap();
        port.extend_from_slice(b"what is behind the end");
        let (mut from, mut received) = (port.as_slice(), Vec::new());
        receive_stream(&mut from, &mut received).unwrap();
        assert!(received == sent);
        assert_eq!(from, b"what is behind the end");
    }

    #[test]
    fn what_a_writer_does_not_take_is_passed_over_frame_by_frame() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut port = Vec::new();
        send_stream(&mut vec![1; 2 * MOST].as_slice(), &mut port).unwrap();
        let mut from = port.as_slice();
        receive_stream(&mut from, &mut Full).unwrap_err();
        receive_stream(&mut from, &mut io::sink()).unwrap();
        assert!(from.is_empty());
    }

    #[test]
    fn endings_and_failures_come_back() {
        for ending in [Ending::Code(0), Ending::Code(255), Ending::Signal(9)] {
            assert_eq!(Ending::from_bytes(&ending.to_bytes()), Some(ending));
        }
        assert_eq!(Ending::from_bytes(b"x"), None);
        assert_eq!(Failure::from_byte(Failure::Mount as u8), Some(Failure::Mount));
        assert_eq!(Failure::from_byte(0), None);
    }
}
