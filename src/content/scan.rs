//! Looking for byte strings in what passes by.

use std::io::{self, Read};

use regex::bytes::Regex;

/// How much is looked through at once. Most headers are smaller.
const PIECE: usize = 256 * 1024;

/// Byte strings to look for. Empty ones are never found.
#[derive(Debug)]
pub(crate) struct Needles {
    pattern: Option<Regex>,
    longest: usize,
}

impl Needles {
    /// Makes a searcher for all of them at once.
    ///
    /// # Errors
    /// When they are too many or too long for one search.
    pub(crate) fn new<N: AsRef<[u8]>>(needles: &[N]) -> Result<Self, regex::Error> {
        let wanted: Vec<&[u8]> =
            needles.iter().map(AsRef::as_ref).filter(|needle| !needle.is_empty()).collect();
        let literal = |needle: &&[u8]| -> String {
            needle.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        };
        let pattern = match wanted.is_empty() {
            true => None,
            false => {
                let alternatives: Vec<String> = wanted.iter().map(literal).collect();
                Some(Regex::new(&format!("(?-u:{})", alternatives.join("|")))?)
            }
        };
        Ok(Self { pattern, longest: wanted.iter().map(|needle| needle.len()).max().unwrap_or(0) })
    }

    /// Where the first of them begins in `bytes`.
    pub(crate) fn position(&self, bytes: &[u8]) -> Option<usize> {
        self.pattern.as_ref()?.find(bytes).map(|found| found.start())
    }

    /// The first of them in `bytes`.
    pub(crate) fn find<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.pattern.as_ref()?.find(bytes).map(|found| found.as_bytes())
    }
}

/// Passes a reader's bytes on and looks through them, over the borders of
/// pieces, too. The buffer is the caller's, so that thousands of small files
/// share one.
pub(crate) struct Scanned<'a, R> {
    inner: R,
    needles: &'a Needles,
    buffer: &'a mut Vec<u8>,
    start: usize,
    end: usize,
    found: Option<Vec<u8>>,
    count: u64,
}

impl<'a, R: Read> Scanned<'a, R> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: R, needles: &'a Needles, buffer: &'a mut Vec<u8>) -> Self {
        buffer.resize(PIECE.max(needles.longest * 2), 0);
        Self { inner, needles, buffer, start: 0, end: 0, found: None, count: 0 }
    }

    /// What was found first so far, if anything.
    pub(crate) fn found(&self) -> Option<&[u8]> {
        self.found.as_deref()
    }

    /// How many bytes the reader gave so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Keeps the end of the last piece, where a needle may begin, and reads
    /// the next one behind it. 0 bytes is the end.
    fn refill(&mut self) -> io::Result<usize> {
        let kept = self.needles.longest.saturating_sub(1).min(self.end);
        self.buffer.copy_within(self.end - kept..self.end, 0);
        let mut end = kept;
        while end < self.buffer.len() {
            match self.inner.read(&mut self.buffer[end..]) {
                Ok(0) => break,
                Ok(count) => end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.start, self.end) = (kept, end);
        self.count += (end - kept) as u64;
        if self.found.is_none() {
            self.found = self.needles.find(&self.buffer[..end]).map(<[u8]>::to_vec);
        }
        Ok(end - kept)
    }
}

impl<R: Read> Read for Scanned<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && self.refill()? == 0 {
            return Ok(0);
        }
        let count = into.len().min(self.end - self.start);
        into[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}

/// Whether a needle stands anywhere in what `inner` gives; reads no further
/// than the first.
///
/// # Errors
/// When it can't be read.
pub(crate) fn contains(inner: impl Read, needles: &Needles) -> io::Result<bool> {
    let mut buffer = Vec::new();
    let mut scanned = Scanned::new(inner, needles, &mut buffer);
    while scanned.refill()? > 0 {
        if scanned.found().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_needle_across_every_border_is_found() {
        let needles = Needles::new(&["/home/someone/work", ""]).unwrap();
        for start in PIECE - 20..PIECE + 3 {
            let mut bytes = vec![b'/'; 2 * PIECE];
            bytes[start..start + 18].copy_from_slice(b"/home/someone/work");
            let mut buffer = Vec::new();
            let mut scanned = Scanned::new(bytes.as_slice(), &needles, &mut buffer);
            let mut out = Vec::new();
            scanned.read_to_end(&mut out).unwrap();
            assert_eq!(scanned.found(), Some(&b"/home/someone/work"[..]), "{start}");
            assert_eq!(scanned.count(), out.len() as u64);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn bytes_are_literal() {
        let needles = Needles::new(&[&b"a.c"[..], &b"\xff\n"[..]]).unwrap();
        assert_eq!(needles.find(b"abc"), None);
        assert_eq!(needles.find(b"xa.c"), Some(&b"a.c"[..]));
        assert_eq!(needles.find(b"\xfe\xff\n"), Some(&b"\xff\n"[..]));
        assert_eq!(Needles::new(&[""]).unwrap().find(b"abc"), None);
    }

    proptest! {
        #[test]
        fn as_a_plain_search(hay in "[ab]{0,60}", needle in "[ab]{1,6}") {
            let needles = Needles::new(&[&needle]).unwrap();
            prop_assert_eq!(contains(hay.as_bytes(), &needles).unwrap(), hay.contains(&needle));
        }
    }
}
