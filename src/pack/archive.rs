//! One tar archive that is being written: hashed, compressed, and its file
//! hashed on the way.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::num::NonZero;

use super::Error;
use super::compression::Compressor;
use crate::content::Form;
use crate::digest::{Algorithm, Digest, DigestWriter};
use crate::settings::Compression;

/// What an archive has for itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Which files of the tree are in it.
    pub(super) form: Form,
    /// What stands before each path.
    pub(super) prefix: &'static str,
    /// Of the uncompressed archive's digest.
    pub(super) algorithm: Algorithm,
    pub(super) compression: Compression,
    /// Every entry's time.
    pub(super) epoch: u64,
}

/// What came out.
#[derive(Debug)]
pub(super) struct Archived {
    /// Of the uncompressed archive, and its bytes.
    pub(super) plain: (Digest, u64),
    /// SHA-256 of what was written, and its bytes.
    pub(super) written: (Digest, u64),
}

type Written<W> = DigestWriter<Counted<W>>;

/// The archive.
pub(super) struct Archive<W: Write> {
    tar: tar::Builder<DigestWriter<Compressor<Written<W>>>>,
    shape: Shape,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(shape: Shape, threads: NonZero<usize>, to: W) -> Result<Self, Error> {
        let file = DigestWriter::new(Algorithm::Sha256, Counted { inner: to, count: 0 });
        let compressor = Compressor::new(shape.compression, file, threads).map_err(Error::Write)?;
        let tar = tar::Builder::new(DigestWriter::new(shape.algorithm, compressor));
        Ok(Self { tar, shape })
    }

    /// Where the tree's `path` is in this archive, if it is there.
    pub(super) fn place<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let placed = self.shape.form.place(path)?;
        match self.shape.prefix {
            "" => Some(placed),
            prefix => Some(format!("{prefix}{placed}").into()),
        }
    }

    /// Adds a folder.
    pub(super) fn folder(&mut self, path: &str) -> Result<(), Error> {
        // rkt takes a folder's mode from the first image that has it: 0755,
        // as upstream's are.
        let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
        let path = format!("{path}/");
        self.tar.append_data(&mut header, path, io::empty()).map_err(Error::Write)
    }

    /// Adds a symlink.
    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<(), Error> {
        let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, path, target).map_err(Error::Write)
    }

    /// Adds a file of `size` bytes.
    pub(super) fn file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        bytes: impl Read,
    ) -> io::Result<()> {
        let mode = if executable { 0o755 } else { 0o644 };
        let mut header = self.header(tar::EntryType::Regular, mode, size);
        self.tar.append_data(&mut header, path, bytes)
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<Archived, Error> {
        let tar = self.tar.into_inner().map_err(Error::Write)?;
        let plain_size = tar.count();
        let (compressor, plain) = tar.finish();
        let (counted, written) = compressor.finish().map_err(Error::Write)?.finish();
        Ok(Archived { plain: (plain, plain_size), written: (written, counted.count) })
    }

    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        header(kind, mode, size, self.shape.epoch)
    }
}

/// Owner 0:0, one time, no names of users: what is the same wherever and by
/// whomever the image is built.
pub(super) fn header(kind: tar::EntryType, mode: u32, size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(size);
    header
}

/// Counts what passes.
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
