//! Decompression of what providers give: xz, gzip, bzip2, zstd or nothing,
//! told by the first bytes and never by the name.
//!
//! Archives of several members (`cat a.xz b.xz`) come out as one stream. A
//! stream that ends in the middle of a member is an error
//! ([`io::ErrorKind::UnexpectedEof`]), never a short success.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

/// How many bytes are read at once from the compressed side.
const BUFFER: usize = 256 << 10;
/// What parallel xz decoding may hold in memory, in bytes. It then uses fewer
/// threads; a single thread never fails for want of memory.
const XZ_MEMORY: u64 = 1 << 30;
/// The largest zstd window taken, as `zstd --long=31` makes it: 2 GiB.
const ZSTD_WINDOW_LOG: u32 = 31;

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// XZ.
    Xz,
    /// Gzip.
    Gzip,
    /// Bzip2.
    Bzip2,
    /// Zstandard.
    Zstd,
    /// None that we know.
    None,
}

impl Compression {
    /// Tells from the first six bytes (or what there is of them).
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            // A frame, or a skippable frame as pzstd writes one first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// As a file's name ends: `xz`, `gz`, `bz2`, `zst`; empty for none.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Gzip => "gz",
            Self::Bzip2 => "bz2",
            Self::Zstd => "zst",
            Self::None => "",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
            Self::None => "uncompressed",
        })
    }
}

/// The uncompressed bytes of an open file, and what it was compressed with.
///
/// # Errors
/// When the file can't be read.
pub fn reader(file: std::fs::File) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    decoder(file)
}

/// The uncompressed bytes of any stream; [`reader`] for what is no file.
///
/// # Errors
/// When the stream can't be read.
pub fn decoder(
    mut stream: impl Read + Send + 'static,
) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    let mut start = Vec::with_capacity(6);
    stream.by_ref().take(6).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(start).chain(stream));
    let reader: Box<dyn Read + Send> = match compression {
        Compression::Xz => Box::new(XzMembers::new(whole)?),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::None => Box::new(whole),
    };
    Ok((compression, reader))
}

/// Decodes one xz member after the other; liblzma's parallel decoder, which
/// is the fast one for archives of several blocks, takes only one.
struct XzMembers<R> {
    /// `None` once the last member has ended.
    member: Option<XzDecoder<R>>,
}

impl<R: BufRead> XzMembers<R> {
    fn new(stream: R) -> io::Result<Self> {
        Ok(Self { member: Some(xz_member(stream)?) })
    }
}

impl<R: BufRead> Read for XzMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let rest = self.member.take().map(XzDecoder::into_inner);
            self.member = rest.map(next_xz_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member after padding, of which the format (.xz file format, section
/// 2.2) allows any number of zero bytes in fours.
fn next_xz_member<R: BufRead>(mut stream: R) -> io::Result<Option<XzDecoder<R>>> {
    loop {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let padding = bytes.iter().take_while(|&&byte| byte == 0).count();
        let more = padding < bytes.len();
        stream.consume(padding);
        if more {
            return xz_member(stream).map(Some);
        }
    }
}

fn xz_member<R: BufRead>(stream: R) -> io::Result<XzDecoder<R>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let decoder = MtStreamBuilder::new()
        .threads(u32::try_from(threads).unwrap_or(1))
        .memlimit_threading(XZ_MEMORY)
        .memlimit_stop(u64::MAX)
        .decoder()?;
    Ok(XzDecoder::new_stream(stream, decoder))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 1).unwrap()
    }

    type Encoder = fn(&[u8]) -> Vec<u8>;
    const ENCODERS: [(Compression, Encoder); 4] = [
        (Compression::Xz, xz),
        (Compression::Gzip, gzip),
        (Compression::Bzip2, bzip2),
        (Compression::Zstd, zstd),
    ];

    fn decoded(bytes: Vec<u8>) -> io::Result<(Compression, Vec<u8>)> {
        let (compression, mut reader) = decoder(io::Cursor::new(bytes))?;
        let mut all = Vec::new();
        reader.read_to_end(&mut all)?;
        Ok((compression, all))
    }

    fn text() -> Vec<u8> {
        (0..40_000u32).flat_map(|n| (n * n).to_le_bytes()).collect()
    }

    #[test]
    fn each_format_is_known_by_its_first_bytes() {
        for (compression, encode) in ENCODERS {
            let (found, bytes) = decoded(encode(&text())).unwrap();
            assert_eq!((found, bytes == text()), (compression, true));
        }
        assert_eq!(decoded(text()).unwrap(), (Compression::None, text()));
        assert_eq!(decoded(Vec::new()).unwrap(), (Compression::None, Vec::new()));
        assert_eq!(decoded(vec![0x1f]).unwrap(), (Compression::None, vec![0x1f]));
    }

    #[test]
    fn members_come_out_as_one_stream() {
        for (compression, encode) in ENCODERS {
            let two = [encode(b"first "), encode(b""), encode(&text())].concat();
            let expected = [b"first ".to_vec(), text()].concat();
            assert!(decoded(two).unwrap().1 == expected, "{compression}");
        }
        let padded = [xz(b"one"), vec![0; 8], xz(b"two"), vec![0; 4]].concat();
        assert_eq!(decoded(padded).unwrap().1, b"onetwo");
    }

    #[test]
    fn an_end_in_the_middle_is_an_error_wherever_it_is() {
        for (compression, encode) in ENCODERS {
            let whole = encode(&text());
            for length in [6, 13, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
                let result = decoded(whole[..length].to_vec());
                assert!(result.is_err(), "{compression} cut to {length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn damage_and_what_follows_the_last_member_are_errors() {
        for (compression, encode) in ENCODERS {
            let mut damaged = encode(&text());
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x55;
            assert!(decoded(damaged).is_err() || compression == Compression::Zstd);
        }
        assert!(decoded([xz(b"one"), b"junk".to_vec()].concat()).is_err());
    }
}
