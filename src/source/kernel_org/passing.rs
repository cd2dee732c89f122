//! One uncompressed tar for two readers: it is decompressed once.

use std::io::{self, BufReader, Read, Write};

use super::super::decompress;

/// Bytes of the tar that are passed on at once.
const PIECE: usize = 256 << 10;

/// Writes the uncompressed tar, as `use_tar` reads it, and what it leaves
/// unread. What is wrong with the archive is a result; what is wrong with the
/// program at the other end is an error.
pub(super) fn feed_tar(
    archive: impl Read + Send + 'static,
    stdin: &mut dyn Write,
    use_tar: impl FnOnce(&mut dyn Read),
    progress: impl FnMut(u64),
) -> io::Result<Option<io::Error>> {
    let tar = match decompress::decoder(archive) {
        Ok((_, tar)) => tar,
        Err(error) => return Ok(Some(error)),
    };
    let passing = Passing { tar, to: stdin, progress, done: 0, broken: None };
    let mut passing = BufReader::with_capacity(PIECE, passing);
    use_tar(&mut passing);
    // What goes wrong, `broken` knows.
    _ = io::copy(&mut passing, &mut io::sink());
    match passing.into_inner().broken {
        None => Ok(None),
        Some(Broken::Archive(error)) => Ok(Some(error)),
        Some(Broken::Program(error)) => Err(error),
    }
}

/// A tar that is written to `to` as it is read.
struct Passing<'a, P> {
    tar: Box<dyn Read + Send>,
    to: &'a mut dyn Write,
    progress: P,
    done: u64,
    /// What ended it too early. Nothing comes after it.
    broken: Option<Broken>,
}

enum Broken {
    Archive(io::Error),
    Program(io::Error),
}

impl<P: FnMut(u64)> Read for Passing<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.broken.is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = match self.tar.read(buffer) {
            Ok(count) => count,
            Err(error) => {
                self.broken = Some(Broken::Archive(error));
                return self.read(buffer);
            }
        };
        if let Err(error) = self.to.write_all(&buffer[..count]) {
            self.broken = Some(Broken::Program(error));
            return self.read(buffer);
        }
        self.done += count as u64;
        (self.progress)(self.done);
        Ok(count)
    }
}
