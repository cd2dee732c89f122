//! Reading tar archives as layers are: ustar, GNU and PAX.
//!
//! The headers' fields are taken apart by the `tar` crate; what stands
//! between them is read here, because its reader ends PAX records at the
//! first line feed (which the value of a file capability may well hold) and
//! takes names of any length into memory.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::tree::Attributes;

const BLOCK: usize = 512;
/// The longest extended header: long names and attributes are kilobytes.
const MOST_EXTENDED: u64 = 1 << 20;
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";

/// Where an archive's bytes come from.
pub(super) trait Source: Read {
    /// Leaves out bytes that nobody wants.
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Source for BufReader<File> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.seek_relative(i64::try_from(count).map_err(|_| damaged("a size is too big"))?)
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    /// To the path in [`Entry::target`].
    Hardlink,
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// One entry. Its bytes are read from the [`Archive`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Where a link leads to.
    pub(super) target: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds since 1970; what is before counts as 1970.
    pub(super) mtime: u64,
    pub(super) attributes: Attributes,
}

/// What extended headers say of the next entry.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<u64>,
    attributes: Attributes,
}

/// An archive that is read from front to back.
pub(super) struct Archive<R> {
    from: R,
    /// Bytes of the current entry that nobody has read, and the padding.
    left: u64,
    padding: u64,
    at: u64,
}

impl<R: Source> Archive<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0, at: 0 }
    }

    /// Bytes from the archive's start to what is read next.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Where the archive comes from, read up to [`Archive::position`].
    pub(super) fn into_inner(self) -> R {
        self.from
    }

    /// Whether a header comes next, whatever it is a header of.
    pub(super) fn has_a_member(&mut self) -> bool {
        self.header().is_ok_and(|header| header.is_some())
    }

    /// The next entry, or `None` at the archive's end.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            let rest = self.left + self.padding;
            self.from.skip(rest)?;
            self.at += rest;
            (self.left, self.padding) = (0, 0);
            let Some(block) = self.header()? else { return Ok(None) };
            let header = tar::Header::from_byte_slice(&block);
            let kind = header.entry_type().as_byte();
            match kind {
                b'x' => self
                    .records(header.entry_size()?)?
                    .into_iter()
                    .try_for_each(|record| extended.take(&record.0, record.1))?,
                b'L' => extended.path = Some(self.long_name(header.entry_size()?)?),
                b'K' => extended.target = Some(self.long_name(header.entry_size()?)?),
                // Said of all entries: comments, in practice. And a label.
                b'g' | b'V' => self.begin(header.entry_size()?)?,
                _ => return self.entry(header, extended).map(Some),
            }
        }
    }

    fn begin(&mut self, size: u64) -> io::Result<()> {
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        self.padding = padded.ok_or_else(|| damaged("a size is too big"))? - size;
        self.left = size;
        Ok(())
    }

    /// A header's block; `None` for a block of zeros or the file's end.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.at += BLOCK as u64;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let stated = tar::Header::from_byte_slice(&block).cksum()?;
        if stated == checksum(&block) { Ok(Some(block)) } else { Err(damaged("a wrong checksum")) }
    }

    fn whole(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MOST_EXTENDED {
            return Err(damaged("an extended header of more than 1 MiB"));
        }
        self.begin(size)?;
        let mut bytes = vec![0; size as usize];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.whole(size)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn records(&mut self, size: u64) -> io::Result<Vec<Record>> {
        records(&self.whole(size)?)
    }

    fn entry(&mut self, header: &tar::Header, extended: Extended) -> io::Result<Entry> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = kind_of(header, path.ends_with(b"/"))?;
        // Only files have bytes, whatever a link's or folder's size says.
        let size = match kind {
            Kind::File => extended.size.map_or_else(|| header.entry_size(), Ok)?,
            _ => 0,
        };
        self.begin(size)?;
        let own = || header.link_name_bytes().unwrap_or_default().into_owned();
        Ok(Entry {
            path,
            kind,
            target: extended.target.unwrap_or_else(own),
            size,
            mode: header.mode()?,
            uid: extended.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extended.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: extended.mtime.map_or_else(|| header.mtime().map(not_before_1970), Ok)?,
            attributes: extended.attributes,
        })
    }
}

/// The bytes of the current entry.
impl<R: Source> Read for Archive<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        // Some decompressors take an empty buffer for an error.
        if most == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut into[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        self.at += count as u64;
        Ok(count)
    }
}

impl Extended {
    fn take(&mut self, key: &[u8], value: Vec<u8>) -> io::Result<()> {
        match key {
            b"path" => self.path = Some(value),
            b"linkpath" => self.target = Some(value),
            b"size" => self.size = Some(number(&value)?),
            b"uid" => self.uid = Some(number(&value)?),
            b"gid" => self.gid = Some(number(&value)?),
            b"mtime" => self.mtime = Some(seconds(&value)?),
            _ if key.starts_with(SPARSE) => return Err(damaged("a sparse file, in tar's sense")),
            _ => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                    self.attributes.insert(name.to_vec(), value);
                }
            }
        }
        Ok(())
    }
}

type Record = (Vec<u8>, Vec<u8>);

/// The records of a PAX header: `<length> <key>=<value>\n`, where the length
/// counts itself (POSIX pax, "pax Extended Header").
fn records(mut bytes: &[u8]) -> io::Result<Vec<Record>> {
    let wrong = || damaged("a malformed extended header");
    let mut records = Vec::new();
    while !bytes.is_empty() && bytes[0] != 0 {
        let space = bytes.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
        let length = number(&bytes[..space])? as usize;
        let record = bytes.get(space + 1..length).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(records)
}

fn number(text: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("a number that is none"))
}

/// Whole seconds of a decimal fraction.
fn seconds(text: &[u8]) -> io::Result<u64> {
    let whole = text.split(|&byte| byte == b'.').next().unwrap_or_default();
    if whole.starts_with(b"-") { Ok(0) } else { number(whole) }
}

/// The base-256 form of a time is signed.
fn not_before_1970(time: u64) -> u64 {
    u64::try_from(time.cast_signed()).unwrap_or(0)
}

fn kind_of(header: &tar::Header, slash: bool) -> io::Result<Kind> {
    let device = || -> io::Result<(u32, u32)> {
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    Ok(match header.entry_type().as_byte() {
        // Before POSIX, a folder was told by its name.
        0 | b'0' if slash => Kind::Directory,
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' => device().map(|(major, minor)| Kind::Character { major, minor })?,
        b'4' => device().map(|(major, minor)| Kind::Block { major, minor })?,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => return Err(damaged("a sparse file, in tar's sense")),
        other => return Err(damaged(&format!("an entry of the unknown kind {other}"))),
    })
}

/// The sum of a header's bytes, its own field taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Source for &[u8] {}

    fn header(path: &str, kind: u8, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.set_cksum();
        header
    }

    fn add(to: &mut Vec<u8>, path: &str, kind: u8, bytes: &[u8]) {
        to.extend(header(path, kind, bytes.len() as u64).as_bytes());
        to.extend(bytes);
        to.resize(to.len().next_multiple_of(BLOCK), 0);
    }

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let mut length = rest.len() + 1;
        while length.to_string().len() + rest.len() != length {
            length = length.to_string().len() + rest.len();
        }
        [length.to_string().as_bytes(), &rest].concat()
    }

    #[test]
    fn extended_headers_say_more_than_fits() {
        let capability = b"\x01\0\0\x02\x0a\x0a\0";
        let long = "d/".repeat(90) + "file";
        let said = [
            record("path", long.as_bytes()),
            record("uid", b"4000000000"),
            record("mtime", b"1500000000.25"),
            record("SCHILY.xattr.security.capability", capability),
        ];
        let mut bytes = Vec::new();
        add(&mut bytes, "pax_global_header", b'g', &record("comment", b"x"));
        add(&mut bytes, "x", b'x', &said.concat());
        add(&mut bytes, "short", b'0', b"content");
        add(&mut bytes, "long", b'L', b"another name\0");
        add(&mut bytes, "short", b'5', b"");
        let mut archive = Archive::new(bytes.as_slice());
        let entry = archive.next_entry().unwrap().unwrap();
        assert_eq!((entry.path, entry.kind), (long.into_bytes(), Kind::File));
        assert_eq!((entry.uid, entry.gid, entry.mtime), (4_000_000_000, 8, 1_500_000_000));
        assert_eq!(entry.attributes[&b"security.capability"[..]], capability);
        let mut content = String::new();
        archive.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        let entry = archive.next_entry().unwrap().unwrap();
        assert_eq!((entry.path, entry.kind), (b"another name".to_vec(), Kind::Directory));
        assert!(entry.attributes.is_empty(), "said of one entry only");
        assert_eq!(archive.next_entry().unwrap(), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |bytes: &[u8]| Archive::new(bytes).next_entry().unwrap_err().to_string();
        let mut sparse = Vec::new();
        add(&mut sparse, "x", b'x', &record("GNU.sparse.major", b"1"));
        assert!(refused(&sparse).contains("sparse"));
        let mut long = Vec::new();
        long.extend(header("x", b'L', 8 << 30).as_bytes());
        assert!(refused(&long).contains("1 MiB"));
        let mut endless = Vec::new();
        add(&mut endless, "x", b'x', &record("size", u64::MAX.to_string().as_bytes()));
        add(&mut endless, "x", b'0', b"");
        assert!(refused(&endless).contains("too big"));
        let mut wrong = header("x", b'0', 0).as_bytes().to_vec();
        wrong[0] ^= 1;
        assert!(refused(&wrong).contains("checksum"));
        let mut cut = Vec::new();
        add(&mut cut, "x", b'0', b"abc");
        let mut archive = Archive::new(&cut[..600]);
        archive.next_entry().unwrap();
        assert!(archive.next_entry().is_err(), "the padding is missing");
    }

    proptest! {
        #[test]
        fn damage_is_an_error_and_never_a_panic(
            at in 0usize..4096, byte: u8, keep in 0usize..4096, text in ".{0,40}"
        ) {
            let mut bytes = Vec::new();
            add(&mut bytes, "x", b'x', &[record("path", text.as_bytes()), vec![byte; 3]].concat());
            add(&mut bytes, "file", b'0', text.as_bytes());
            let end = bytes.len();
            bytes[at.min(end - 1)] = byte;
            let mut archive = Archive::new(&bytes[..keep.min(end)]);
            while let Ok(Some(_)) = archive.next_entry() {}
        }
    }
}
