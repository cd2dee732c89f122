//! One pass over a tree, of which any number of archives are made.
//!
//! Each file is read once, whatever the number of archives, but for the few
//! that are too big to be held: those are read once for each.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;

use fs_err as fs;

use super::archive::{Archive, Archived, Shape};
use super::{Error, WriteOptions};
use crate::content::scan::{Needles, Scanned};
use crate::content::{Content, Node, Rootfs};
use crate::proc::interrupt;
use crate::report::{Event, Reporter, Stage, Total, Unit};

/// Files up to this size are held in memory. Of a kernel's 8,000 headers none
/// is bigger.
const MOST_HELD: u64 = 1 << 20;

/// Threads beyond these gain nothing that reading could keep up with, and
/// cost a megabyte and a half each.
const MOST_THREADS: usize = 16;

/// Threads for each of several archives.
pub(super) fn threads(options: &WriteOptions, archives: usize) -> NonZero<usize> {
    let given = options.threads.or_else(|| std::thread::available_parallelism().ok());
    let most = given.map_or(1, NonZero::get).min(MOST_THREADS);
    NonZero::new(most.div_ceil(archives.max(1))).unwrap_or(NonZero::<usize>::MIN)
}

/// Archives that are written together.
pub(super) struct Pass<'a, W: Write> {
    archives: Vec<Archive<W>>,
    needles: Needles,
    /// A file's bytes.
    held: Vec<u8>,
    /// For the search in files that are not held.
    buffer: Vec<u8>,
    reporter: &'a dyn Reporter,
}

impl<'a, W: Write> Pass<'a, W> {
    /// Begins archives of these shapes.
    pub(super) fn new(
        shapes: Vec<(Shape, W)>,
        options: &WriteOptions,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let threads = threads(options, shapes.len());
        let begin = |(shape, to)| Archive::new(shape, threads, to);
        Ok(Self {
            archives: shapes.into_iter().map(begin).collect::<Result<_, _>>()?,
            needles: Needles::new(&options.forbidden).map_err(Error::Forbidden)?,
            held: Vec::new(),
            buffer: Vec::new(),
            reporter,
        })
    }

    /// The archives, for what stands before the tree.
    pub(super) fn archives(&mut self) -> &mut [Archive<W>] {
        &mut self.archives
    }

    /// Writes the whole tree to all of them, and ends them.
    pub(super) fn write(mut self, tree: &Rootfs) -> Result<Vec<Archived>, Error> {
        let total = Some(Total::Exact(tree.len() as u64));
        for (done, (path, node)) in (1..).zip(tree.iter()) {
            if let Some(signal) = interrupt::requested() {
                return Err(Error::Interrupted(signal));
            }
            self.node(path, node)?;
            let (stage, unit, current) = (Stage::Pack, Unit::Files, path.to_owned());
            self.reporter.event(Event::Progress { stage, done, total, unit, current });
        }
        self.archives.into_iter().map(Archive::finish).collect()
    }

    fn node(&mut self, path: &str, node: &Node) -> Result<(), Error> {
        self.check(path, path.as_bytes())?;
        match node {
            Node::Dir => self.each(path, |archive, path| archive.folder(path)),
            Node::Symlink { target } => {
                self.check(path, target.as_bytes())?;
                self.each(path, |archive, path| archive.link(path, target))
            }
            Node::File { content: Content::Bytes(bytes), executable } => {
                self.check(path, bytes)?;
                self.each(path, |archive, path| bytes_of(archive, path, *executable, bytes))
            }
            Node::File { content: Content::Path(from), executable } => {
                self.file(path, from, *executable)
            }
        }
    }

    fn each(
        &mut self,
        path: &str,
        mut add: impl FnMut(&mut Archive<W>, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for archive in &mut self.archives {
            if let Some(path) = archive.place(path) {
                add(archive, &path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, from: &Path, executable: bool) -> Result<(), Error> {
        if self.archives.iter().all(|archive| archive.place(path).is_none()) {
            return Ok(());
        }
        let file = fs::File::open(from).map_err(Error::Read)?;
        let metadata = file.metadata().map_err(Error::Read)?;
        if !metadata.is_file() {
            return Err(Error::Changed { path: from.to_owned() });
        }
        match metadata.len() {
            size @ ..=MOST_HELD => self.held(path, from, file, size, executable),
            size => self.streamed(path, from, size, executable),
        }
    }

    fn held(
        &mut self,
        path: &str,
        from: &Path,
        file: fs::File,
        size: u64,
        executable: bool,
    ) -> Result<(), Error> {
        let mut held = std::mem::take(&mut self.held);
        held.clear();
        // One byte more than there should be, so that growth shows.
        file.take(size + 1).read_to_end(&mut held).map_err(Error::Read)?;
        if held.len() as u64 != size {
            return Err(Error::Changed { path: from.to_owned() });
        }
        self.check(path, &held)?;
        self.each(path, |archive, path| bytes_of(archive, path, executable, &held))?;
        self.held = held;
        Ok(())
    }

    fn streamed(
        &mut self,
        path: &str,
        from: &Path,
        size: u64,
        executable: bool,
    ) -> Result<(), Error> {
        let (needles, buffer) = (&self.needles, &mut self.buffer);
        for archive in &mut self.archives {
            let Some(to) = archive.place(path) else { continue };
            let file = fs::File::open(from).map_err(Error::Read)?;
            let mut scanned = Scanned::new(file.take(size + 1), needles, buffer);
            let copy = |source| Error::Copy { path: from.to_owned(), source };
            archive.file(&to, executable, size, (&mut scanned).take(size)).map_err(copy)?;
            let after = scanned.read(&mut [0]).map_err(Error::Read)?;
            if scanned.count() != size || after != 0 {
                return Err(Error::Changed { path: from.to_owned() });
            }
            if let Some(found) = scanned.found() {
                return Err(leak(path, found));
            }
        }
        Ok(())
    }

    fn check(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.needles.find(bytes).map_or(Ok(()), |found| Err(leak(path, found)))
    }
}

fn bytes_of<W: Write>(
    archive: &mut Archive<W>,
    path: &str,
    executable: bool,
    bytes: &[u8],
) -> Result<(), Error> {
    archive.file(path, executable, bytes.len() as u64, bytes).map_err(Error::Write)
}

fn leak(path: &str, found: &[u8]) -> Error {
    Error::Leak { path: path.to_owned(), found: String::from_utf8_lossy(found).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_and_bounded() {
        let of = |threads, archives| {
            let options = WriteOptions { threads: NonZero::new(threads), ..Default::default() };
            self::threads(&options, archives).get()
        };
        assert_eq!((of(1, 3), of(2, 2), of(3, 2), of(100, 1), of(100, 2)), (1, 1, 2, 16, 8));
    }
}
