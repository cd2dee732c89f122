//! Writing an image: one pass from the tree to the file, no copy of it in
//! memory.

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::Path;

use fs_err as fs;

use super::Manifest;
use crate::content::scan::{Needles, Scanned};
use crate::content::{Content, Node, Rootfs};
use crate::digest::{Algorithm, DigestWriter};
use crate::pack::compression::Compressor;
use crate::pack::{Error, Packed};
use crate::proc::interrupt;
use crate::report::{Event, Reporter, Stage, Total, Unit};
use crate::settings::Compression;

/// How an image is written.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Every entry's time, in seconds since 1970.
    pub epoch: u64,
    /// The file's compression. The image's id does not depend on it.
    pub compression: Compression,
    /// Byte strings that no file, name or link may hold: the folders of this
    /// machine. Empty ones are passed over.
    pub forbidden: Vec<Vec<u8>>,
    /// Compressing threads; as many as there are processors unless given. The
    /// file does not depend on it.
    pub threads: Option<NonZero<usize>>,
}

/// Writes an image (`manifest` and `rootfs/…`) to `to`.
///
/// # Errors
/// When a file can't be read, changes while it is read or holds a forbidden
/// byte string, and when `to` refuses.
pub fn write(
    manifest: &Manifest,
    rootfs: &Rootfs,
    options: &WriteOptions,
    to: &mut impl Write,
    reporter: &dyn Reporter,
) -> Result<Packed, Error> {
    let threads = options.threads.or_else(|| std::thread::available_parallelism().ok());
    let file = DigestWriter::new(Algorithm::Sha256, Counted { inner: to, count: 0 });
    let compressor =
        Compressor::new(options.compression, file, threads.unwrap_or(NonZero::<usize>::MIN))
            .map_err(Error::Write)?;
    let tar = DigestWriter::new(Algorithm::Sha512, compressor);
    let needles = Needles::new(&options.forbidden).map_err(Error::Forbidden)?;
    let mut archive =
        Archive { tar: tar::Builder::new(tar), epoch: options.epoch, needles, buffer: Vec::new() };
    archive.file("manifest", &Content::Bytes(manifest.to_json()?.into()), false)?;
    archive.folder("rootfs")?;
    let total = Some(Total::Exact(rootfs.len() as u64));
    for (done, (path, node)) in (1..).zip(rootfs.iter()) {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        archive.node(path, node)?;
        let current = path.to_owned();
        let unit = Unit::Files;
        reporter.event(Event::Progress { stage: Stage::Pack, done, total, unit, current });
    }
    let tar = archive.tar.into_inner().map_err(Error::Write)?;
    let tar_size = tar.count();
    let (compressor, id) = tar.finish();
    let file = compressor.finish().map_err(Error::Write)?;
    let (counted, file) = file.finish();
    Ok(Packed { id, file, tar_size, file_size: counted.count })
}

struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    epoch: u64,
    needles: Needles,
    buffer: Vec<u8>,
}

impl<W: Write> Archive<W> {
    fn node(&mut self, path: &str, node: &Node) -> Result<(), Error> {
        self.check(path, path.as_bytes())?;
        let path = format!("rootfs/{path}");
        match node {
            Node::Dir => self.folder(&path),
            Node::File { content, executable } => self.file(&path, content, *executable),
            Node::Symlink { target } => {
                self.check(&path, target.as_bytes())?;
                let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
                self.tar.append_link(&mut header, &path, target).map_err(Error::Write)
            }
        }
    }

    fn folder(&mut self, path: &str) -> Result<(), Error> {
        // rkt takes a folder's mode from the first image that has it: 0755,
        // as upstream's are.
        let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
        let path = format!("{path}/");
        self.tar.append_data(&mut header, path, io::empty()).map_err(Error::Write)
    }

    fn file(&mut self, path: &str, content: &Content, executable: bool) -> Result<(), Error> {
        let mode = if executable { 0o755 } else { 0o644 };
        match content {
            Content::Bytes(bytes) => {
                self.check(path, bytes)?;
                let mut header = self.header(tar::EntryType::Regular, mode, bytes.len() as u64);
                self.tar.append_data(&mut header, path, bytes.as_ref()).map_err(Error::Write)
            }
            Content::Path(from) => self.file_from(path, from, mode),
        }
    }

    fn file_from(&mut self, path: &str, from: &Path, mode: u32) -> Result<(), Error> {
        let file = fs::File::open(from).map_err(Error::Read)?;
        let metadata = file.metadata().map_err(Error::Read)?;
        let size = metadata.len();
        let mut header = self.header(tar::EntryType::Regular, mode, size);
        // One byte more than there should be, so that growth shows.
        let mut scanned = Scanned::new(file.take(size + 1), &self.needles, &mut self.buffer);
        self.tar
            .append_data(&mut header, path, (&mut scanned).take(size))
            .map_err(|source| Error::Copy { path: from.to_owned(), source })?;
        let after = scanned.read(&mut [0]).map_err(Error::Read)?;
        if scanned.count() != size || after != 0 || !metadata.is_file() {
            return Err(Error::Changed { path: from.to_owned() });
        }
        match scanned.found() {
            Some(found) => Err(leak(path, found)),
            None => Ok(()),
        }
    }

    /// Owner 0:0, one time, no names of users: what is the same wherever and
    /// by whomever the image is built.
    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.epoch);
        header.set_size(size);
        header
    }

    fn check(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.needles.find(bytes).map_or(Ok(()), |found| Err(leak(path, found)))
    }
}

fn leak(path: &str, found: &[u8]) -> Error {
    Error::Leak { path: path.to_owned(), found: String::from_utf8_lossy(found).into_owned() }
}
