//! A reader that gives no more than is granted.
//!
//! A tar is also read before it is verified: what its writer can have us hold
//! in memory or put on the disk is bounded.

use std::cell::Cell;
use std::io::{self, Read};

/// Reads until `left` is used up, and is an error from then on: an end there
/// could be taken for the archive's own.
pub(super) struct Budget<'a, R> {
    inner: R,
    /// Bytes that may still be read. Whoever granted them may grant more.
    left: &'a Cell<u64>,
    /// What is wrong with an archive that asks for more.
    why: &'static str,
}

impl<'a, R> Budget<'a, R> {
    pub(super) fn new(inner: R, left: &'a Cell<u64>, why: &'static str) -> Self {
        Self { inner, left, why }
    }
}

impl<R: Read> Read for Budget<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, self.why));
        }
        let count = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_it_is_an_error_and_not_an_end() {
        let left = Cell::new(3);
        let mut reader = Budget::new(&b"abcdef"[..], &left, "too much");
        let mut bytes = Vec::new();
        let error = reader.read_to_end(&mut bytes).unwrap_err();
        assert_eq!((error.to_string().as_str(), &bytes[..]), ("too much", &b"abc"[..]));
        left.set(u64::MAX);
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcdef");
    }
}
