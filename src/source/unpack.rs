//! A tar archive becomes a source tree, whatever the archive says.
//!
//! One thread reads the archive (and thereby decompresses it), others create
//! the files. The tree grows under the name `.<name>.unpacking` beside its
//! destination, is synced, and then renamed: a destination that exists is
//! whole. What a killed run left is removed by the next one.
//!
//! Nothing is written through a link: the folder is new, its folders are made
//! by us, and links are created last, after all of them were followed on
//! paper. Devices, names that lead out and names that stand twice are refused,
//! and so are hard links in a kernel's archive; it has none of them. Those of a
//! toolchain's archive lead to files that stand before them.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

use super::budget::Budget;
use super::tree::{Links, PROGRESS_STEP, WRITERS, path_from, relative_path};
use crate::fsutil::{parent, remove_all, sync_dir};
use crate::proc::interrupt;
use crate::report::{Event, Fault, Reporter, Stage, Unit, text};

mod layout;

use layout::{Class, Layout, why_not};

/// Bytes of content that travel to a writer at once.
const BATCH: usize = 1 << 20;
/// Batches under way; bounds the memory.
const QUEUE: usize = 8;
/// Bytes that may stand between the contents of two files: their headers, and
/// names and their like that are too long for one. They are read to memory.
const HEADERS: u64 = 1 << 20;
/// The longest path that Linux takes (`PATH_MAX`). Every folder of a path is
/// remembered.
const LONGEST: usize = 4096;
/// A file larger than this is written as it is read, not held in memory.
const LARGE: u64 = 4 << 20;

/// Why an archive or a tree could not become a source tree.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive can't be read or decompressed to its end.
    #[error("can't unpack {archive}")]
    Read {
        /// Its name.
        archive: String,
        /// The reason.
        source: io::Error,
    },
    /// An entry that may not be there.
    #[error("{archive}: refused '{entry}': {why}")]
    Refused {
        /// The archive's name.
        archive: String,
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not one folder at the top.
    #[error(
        "{archive}: not a source archive: '{first}' and '{second}' stand at its top, not one folder"
    )]
    SeveralTops {
        /// The archive's name.
        archive: String,
        /// One of the names.
        first: String,
        /// Another.
        second: String,
    },
    /// No `Makefile` at the top of the tree.
    #[error("{archive}: not a source tree: there is no Makefile at its top")]
    NoMakefile {
        /// The archive's or tree's name.
        archive: String,
    },
    /// The destination is there already.
    #[error("{} exists already", .path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The tree can't be written.
    #[error("can't write the source tree")]
    Write {
        /// The reason, with the path.
        source: io::Error,
    },
    /// We were asked to stop.
    #[error("unpacking stopped by {signal}")]
    Interrupted {
        /// By which signal.
        signal: interrupt::Signal,
    },
}

impl UnpackError {
    pub(super) fn refused(archive: &str, entry: &OsStr, why: &'static str) -> Self {
        let entry = entry.to_string_lossy().into_owned();
        Self::Refused { archive: archive.to_owned(), entry, why }
    }

    /// The kind of failure.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Read { .. }
            | Self::Refused { .. }
            | Self::SeveralTops { .. }
            | Self::NoMakefile { .. } => Fault::Archive,
            Self::Exists { .. } | Self::Write { .. } => Fault::Storage,
            Self::Interrupted { signal } => (*signal).into(),
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("the archive is damaged: remove it, to fetch it anew".into()),
            Self::Write { source } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
                    "a kernel's tree needs up to 2 GB: free some space, or set S1B_CACHE_DIR"
                        .into(),
                ),
                io::ErrorKind::AlreadyExists => Some(
                    "kernel trees need a file system that tells upper from lower case: \
                     set S1B_CACHE_DIR to a folder on one"
                        .into(),
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What came out of an archive or a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// When the top `Makefile` was changed, in seconds since 1970: the
    /// source's own date.
    pub epoch: u64,
    /// Regular files and links.
    pub files: u64,
}

/// Unpacks a tar archive to the new folder `destination`, without the
/// archive's own top folder. `name` stands for the archive in messages.
///
/// Modes become 0644 and 0755; times are the archive's, but never later than
/// now, or make would take every target for outdated. The caller holds the
/// lock for `destination`.
///
/// # Errors
/// When the archive is damaged or holds what it may not, the destination
/// exists or can't be written, or we were asked to stop. Nothing is left.
pub fn unpack(
    archive: impl Read,
    name: &str,
    destination: &Path,
    reporter: &dyn Reporter,
) -> Result<Unpacked, UnpackError> {
    let (epoch, files) = unpack_as(Kind::Kernel, archive, name, destination, reporter)?;
    let epoch = epoch.ok_or_else(|| UnpackError::NoMakefile { archive: name.to_owned() })?;
    Ok(Unpacked { epoch, files })
}

/// The same with the archive of a toolchain, which may hold hard links: a
/// compiler has several names.
pub(super) fn unpack_tools(
    archive: impl Read,
    name: &str,
    destination: &Path,
    reporter: &dyn Reporter,
) -> Result<(), UnpackError> {
    unpack_as(Kind::Toolchain, archive, name, destination, reporter).map(drop)
}

/// What an archive is to be, and so what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernel,
    Toolchain,
}

/// Gives the date of the top `Makefile`, which a kernel must have, and the
/// number of files.
fn unpack_as(
    kind: Kind,
    archive: impl Read,
    name: &str,
    destination: &Path,
    reporter: &dyn Reporter,
) -> Result<(Option<u64>, u64), UnpackError> {
    let staging = Staging::create(destination)?;
    reporter.started(Stage::Unpack, name);
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = Mutex::new(Some(receiver));
    let (read, written) = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..WRITERS).map(|_| scope.spawn(|| write_files(&receiver))).collect();
        let reading = Reading {
            kind,
            name,
            staging: &staging,
            reporter,
            layout: Layout::default(),
            sender,
            batch: Vec::new(),
            batched: 0,
            now: SystemTime::now(),
            epoch: None,
            files: 0,
        };
        // Its sender is gone when it ends, and so the writers end.
        let read = reading.all(archive);
        let written = writers.into_iter().map(|writer| match writer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        (read, written.fold(Ok(()), io::Result::and))
    });
    written.map_err(|source| UnpackError::Write { source })?;
    let read = read?;
    staging.create_hard_links(&read.layout.hard_links)?;
    staging.create_links(&read.layout.links, name)?;
    staging.commit()?;
    reporter.finished(Stage::Unpack, format!("{} files", text::grouped(read.files)));
    Ok((read.epoch, read.files))
}

/// An error if we were asked to stop.
pub(super) fn check_interrupt() -> Result<(), UnpackError> {
    interrupt::requested().map_or(Ok(()), |signal| Err(UnpackError::Interrupted { signal }))
}

/// A regular file on its way to the disk.
struct NewFile {
    path: PathBuf,
    executable: bool,
    modified: SystemTime,
    content: Vec<u8>,
}

impl NewFile {
    /// Creates the file with what `content` gives.
    fn write(&self, mut content: impl Read) -> io::Result<u64> {
        let mode = if self.executable { 0o755 } else { 0o644 };
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&self.path)?;
        let count = io::copy(&mut content, &mut file)?;
        // The umask may have taken some of the mode away.
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.set_modified(self.modified)?;
        Ok(count)
    }
}

fn write_files(receiver: &Mutex<Option<Receiver<Vec<NewFile>>>>) -> io::Result<()> {
    loop {
        let batch = match &*receiver.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(receiver) => receiver.recv(),
            None => return Ok(()),
        };
        let Ok(batch) = batch else { return Ok(()) };
        let written = batch.iter().try_for_each(|file| file.write(&file.content[..]).map(drop));
        if written.is_err() {
            // Without a receiver the reading thread's next send fails.
            receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
            return written;
        }
    }
}

/// The thread that reads the archive.
struct Reading<'a> {
    kind: Kind,
    name: &'a str,
    staging: &'a Staging,
    reporter: &'a dyn Reporter,
    layout: Layout,
    sender: SyncSender<Vec<NewFile>>,
    batch: Vec<NewFile>,
    batched: usize,
    now: SystemTime,
    epoch: Option<u64>,
    files: u64,
}

/// What the archive held, when all of it was read.
struct Whole {
    layout: Layout,
    epoch: Option<u64>,
    files: u64,
}

impl Reading<'_> {
    fn all(mut self, archive: impl Read) -> Result<Whole, UnpackError> {
        let left = Cell::new(HEADERS);
        let mut archive = tar::Archive::new(Budget::new(archive, &left, "headers without an end"));
        let entries = archive.entries().map_err(|source| self.read_error(source))?;
        for entry in entries {
            check_interrupt()?;
            let entry = entry.map_err(|source| self.read_error(source))?;
            left.set(u64::MAX);
            self.entry(entry)?;
            left.set(HEADERS);
        }
        left.set(u64::MAX);
        // To the end, where compressed formats keep their checksums.
        io::copy(&mut archive.into_inner(), &mut io::sink())
            .map_err(|source| self.read_error(source))?;
        self.send()?;
        if self.kind == Kind::Kernel && self.epoch.is_none() {
            return Err(UnpackError::NoMakefile { archive: self.name.to_owned() });
        }
        Ok(Whole { layout: self.layout, epoch: self.epoch, files: self.files })
    }

    fn read_error(&self, source: io::Error) -> UnpackError {
        UnpackError::Read { archive: self.name.to_owned(), source }
    }

    fn entry(&mut self, entry: tar::Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let kind = entry.header().entry_type();
        // What `git archive` puts first: the commit's id.
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let refused = |why| UnpackError::refused(self.name, OsStr::new(&path_from(&raw)), why);
        if raw.len() > LONGEST {
            return Err(UnpackError::refused(self.name, OsStr::new("…"), "its name is too long"));
        }
        let class = match kind {
            kind if kind.is_dir() => Class::Folder,
            // In archives of before POSIX a name with a slash at its end is a folder.
            kind if kind.is_file() && raw.ends_with(b"/") => Class::Folder,
            kind if kind.is_file() || kind.is_contiguous() => Class::File,
            kind if kind.is_symlink() => Class::Link,
            kind if kind.is_hard_link() && self.kind == Kind::Toolchain => Class::HardLink,
            kind => return Err(refused(why_not(kind))),
        };
        let path = relative_path(&raw).map_err(refused)?;
        let Some(path) =
            self.layout.strip_top(&path, class).map_err(|tops| tops.error(self.name))?
        else {
            return Ok(());
        };
        if class == Class::HardLink {
            let target = entry.link_name_bytes().unwrap_or_default();
            self.layout.link_hard(&path, &target).map_err(refused)?;
        }
        let new_folders = self.layout.admit(&path, class).map_err(refused)?;
        for folder in new_folders {
            self.staging.create_folder(&folder)?;
        }
        match class {
            Class::Folder => return Ok(()),
            Class::HardLink => {}
            Class::File => self.file(&path, entry)?,
            Class::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let bad = target.is_empty() || target.contains(&0);
                if bad {
                    return Err(refused("it is a link without a proper target"));
                }
                self.layout.links.insert(path.clone(), path_from(&target));
            }
        }
        self.progress(&path);
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        mut entry: tar::Entry<'_, impl Read>,
    ) -> Result<(), UnpackError> {
        let header = entry.header();
        let time = header.mtime().map_err(|source| self.read_error(source))?;
        let mode = header.mode().map_err(|source| self.read_error(source))?;
        if path == Path::new("Makefile") {
            self.epoch = Some(time);
        }
        let modified = UNIX_EPOCH.checked_add(Duration::from_secs(time)).unwrap_or(self.now);
        let mut file = NewFile {
            path: self.staging.path().join(path),
            executable: mode & 0o100 != 0,
            modified: modified.min(self.now),
            content: Vec::new(),
        };
        let size = entry.size();
        if size > LARGE {
            return self.large_file(&file, entry, size);
        }
        // At most LARGE.
        file.content.reserve_exact(usize::try_from(size).unwrap_or(0));
        entry.read_to_end(&mut file.content).map_err(|source| self.read_error(source))?;
        self.check_size(file.content.len() as u64, size)?;
        self.batched += file.content.len();
        self.batch.push(file);
        if self.batched >= BATCH || self.batch.len() >= PROGRESS_STEP {
            self.send()
        } else {
            Ok(())
        }
    }

    /// Straight from the archive to the disk, so that no size that an archive
    /// claims takes memory.
    fn large_file(&self, file: &NewFile, entry: impl Read, size: u64) -> Result<(), UnpackError> {
        let mut broken = None;
        let entry = Interruptible { inner: entry, broken: &mut broken };
        let result = file.write(entry);
        check_interrupt()?;
        match (result, broken) {
            (_, Some(source)) => Err(self.read_error(source)),
            (Err(source), None) => Err(UnpackError::Write { source }),
            (Ok(count), None) => self.check_size(count, size),
        }
    }

    fn check_size(&self, count: u64, size: u64) -> Result<(), UnpackError> {
        if count == size {
            return Ok(());
        }
        Err(self.read_error(io::ErrorKind::UnexpectedEof.into()))
    }

    fn send(&mut self) -> Result<(), UnpackError> {
        self.batched = 0;
        // Fails when the writers have ended early; their error is the one told.
        self.sender
            .send(std::mem::take(&mut self.batch))
            .map_err(|_| UnpackError::Write { source: io::ErrorKind::BrokenPipe.into() })
    }

    fn progress(&mut self, path: &Path) {
        self.files += 1;
        if self.files.is_multiple_of(PROGRESS_STEP as u64) {
            self.reporter.event(Event::Progress {
                stage: Stage::Unpack,
                done: self.files,
                total: None,
                unit: Unit::Files,
                current: path.display().to_string(),
            });
        }
    }
}

/// Tells errors of the reading side from those of the writing side, and ends
/// when we were asked to stop.
struct Interruptible<'a, R> {
    inner: R,
    broken: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Interruptible<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested().is_some() {
            return Ok(0);
        }
        self.inner.read(buffer).or_else(|error| {
            *self.broken = Some(error);
            Ok(0)
        })
    }
}

/// A folder that grows under a name of its own and appears when it is whole.
/// Gone if it is dropped before.
pub(super) struct Staging {
    temporary: PathBuf,
    destination: PathBuf,
}

impl Staging {
    pub(super) fn create(destination: &Path) -> Result<Self, UnpackError> {
        if fs::symlink_metadata(destination).is_ok() {
            return Err(UnpackError::Exists { path: destination.to_owned() });
        }
        let mut name = OsString::from(".");
        name.push(destination.file_name().unwrap_or_default());
        name.push(".unpacking");
        let temporary = destination.with_file_name(name);
        let staging = Self { temporary, destination: destination.to_owned() };
        fs::create_dir_all(parent(destination))
            // What a killed run has left.
            .and_then(|()| remove_all(&staging.temporary))
            .and_then(|()| fs::create_dir(&staging.temporary))
            .map_err(|source| UnpackError::Write { source })?;
        Ok(staging)
    }

    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    pub(super) fn create_folder(&self, path: &Path) -> Result<(), UnpackError> {
        let path = self.temporary.join(path);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o755)))
            .map_err(|source| UnpackError::Write { source })
    }

    /// Creates further names of files, all of which are there.
    fn create_hard_links(&self, links: &[(PathBuf, PathBuf)]) -> Result<(), UnpackError> {
        links
            .iter()
            .try_for_each(|(link, file)| {
                fs::hard_link(self.temporary.join(file), self.temporary.join(link))
            })
            .map_err(|source| UnpackError::Write { source })
    }

    /// Creates the links, unless one of them leads out.
    pub(super) fn create_links(&self, links: &Links, name: &str) -> Result<(), UnpackError> {
        if let Some((link, why)) = links.first_that_leads_out() {
            return Err(UnpackError::refused(name, link.as_os_str(), why));
        }
        for (link, target) in links.iter() {
            fs_err::os::unix::fs::symlink(target, self.temporary.join(link))
                .map_err(|source| UnpackError::Write { source })?;
        }
        Ok(())
    }

    /// Makes it appear.
    pub(super) fn commit(self) -> Result<(), UnpackError> {
        let sync = || -> io::Result<()> {
            // One call for the whole file system: fsync of 90,000 files takes minutes.
            rustix::fs::syncfs(fs::File::open(&self.temporary)?.file())?;
            fs::rename(&self.temporary, &self.destination)?;
            sync_dir(parent(&self.destination))
        };
        sync().map_err(|source| UnpackError::Write { source })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a commit there is nothing under this name. If it can't be
        // removed, the next run does it.
        _ = remove_all(&self.temporary);
    }
}

#[cfg(test)]
mod tests;
