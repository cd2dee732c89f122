//! What an image's file is compressed with.

use crate::settings::Compression;
use std::io::{self, BufRead, Read, Write};
use std::num::NonZero;

use liblzma::stream::{Check, MtStreamBuilder};

use super::gzip::Gzip;

/// Bytes of input in an xz block. Fixed, so that the output does not depend
/// on the number of threads.
const XZ_BLOCK: u64 = 8 << 20;
/// xz's own default.
const XZ_PRESET: u32 = 6;

/// A writer that compresses; [`Compressor::finish`] ends it.
pub(super) enum Compressor<W: Write> {
    None(W),
    Gzip(Gzip<W>),
    Xz(liblzma::write::XzEncoder<W>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(kind: Compression, to: W, threads: NonZero<usize>) -> io::Result<Self> {
        Ok(match kind {
            Compression::None => Self::None(to),
            Compression::Gzip => Self::Gzip(Gzip::new(to, threads)?),
            Compression::Xz => {
                let stream = MtStreamBuilder::new()
                    .threads(u32::try_from(threads.get()).unwrap_or(1))
                    .block_size(XZ_BLOCK)
                    .preset(XZ_PRESET)
                    .check(Check::Crc64)
                    .encoder()?;
                Self::Xz(liblzma::write::XzEncoder::new_stream(to, stream))
            }
        })
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(to) => Ok(to),
            Self::Gzip(gzip) => gzip.finish(),
            Self::Xz(xz) => xz.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(to) => to.write(bytes),
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Xz(xz) => xz.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(to) => to.flush(),
            Self::Gzip(gzip) => gzip.flush(),
            Self::Xz(xz) => xz.flush(),
        }
    }
}

/// A reader of what `from` holds uncompressed, by its magic number: gzip,
/// bzip2, xz, and else plain tar, as rkt does.
pub(super) fn decompressed<'a>(mut from: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = from.fill_buf()?;
    Ok(if start.starts_with(b"\x1f\x8b") {
        Box::new(NothingBehind(flate2::bufread::GzDecoder::new(from)))
    } else if start.starts_with(b"BZh") {
        Box::new(bzip2::bufread::MultiBzDecoder::new(from))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(liblzma::bufread::XzDecoder::new(from))
    } else {
        Box::new(from)
    })
}

/// Fails on bytes behind a gzip member, as Go's reader in rkt does.
struct NothingBehind<R: BufRead>(flate2::bufread::GzDecoder<R>);

impl<R: BufRead> Read for NothingBehind<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(into)?;
        if count == 0 && !into.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            let text = "there are bytes behind the gzip stream";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back() {
        let bytes = b"tar or not".repeat(100_000);
        for &kind in Compression::ALL {
            let two = NonZero::new(2).unwrap();
            let mut to = Compressor::new(kind, Vec::new(), two).unwrap();
            to.write_all(&bytes).unwrap();
            let packed = to.finish().unwrap();
            let mut back = Vec::new();
            decompressed(packed.as_slice()).unwrap().read_to_end(&mut back).unwrap();
            assert_eq!(back, bytes, "{kind}");
        }
    }

    #[test]
    fn xz_does_not_depend_on_threads() {
        let bytes = b"some text ".repeat(2 << 20);
        let packed = |threads| {
            let threads = NonZero::new(threads).unwrap();
            let mut to = Compressor::new(Compression::Xz, Vec::new(), threads).unwrap();
            to.write_all(&bytes).unwrap();
            to.finish().unwrap()
        };
        assert_eq!(packed(1), packed(2));
    }

    #[test]
    fn bytes_behind_gzip_are_refused() {
        let mut to = Compressor::new(Compression::Gzip, Vec::new(), NonZero::<usize>::MIN).unwrap();
        to.write_all(b"x").unwrap();
        let mut packed = to.finish().unwrap();
        packed.push(0);
        assert!(decompressed(packed.as_slice()).unwrap().read_to_end(&mut Vec::new()).is_err());
    }
}
