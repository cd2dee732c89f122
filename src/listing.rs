//! What lies in a folder, and what tells that it may have changed: all names
//! and one `stat` each, on all cores. A kernel's tree has 90,000 entries, and
//! asking for them is nearly all that a build with nothing to do costs.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use crate::digest::{Algorithm, Digest, Hasher};

/// Threads at most: they wait for the kernel's locks sooner than for a core.
const THREADS: usize = 8;
/// Bytes for the names that one call gives.
const BUFFER: usize = 32 << 10;

/// What tells that a file may have changed, as git's index has it: size,
/// inode, mode, and both times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u64; 7]);

impl Stamp {
    /// Of whatever is at `path`; of the link itself, if it is one.
    ///
    /// # Errors
    /// When nothing is there, or its folder can't be searched.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::lstat(path).map_err(|errno| named(path, errno))?;
        Ok(Self::new(&found))
    }

    #[expect(clippy::useless_conversion, reason = "the fields' widths differ among processors")]
    fn new(found: &rustix::fs::Stat) -> Self {
        Self([
            found.st_size.cast_unsigned().into(),
            found.st_ino.into(),
            found.st_mode.into(),
            found.st_mtime.cast_unsigned().into(),
            found.st_mtime_nsec.into(),
            found.st_ctime.cast_unsigned().into(),
            found.st_ctime_nsec.into(),
        ])
    }

    /// File, link, folder or something else.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode())
    }

    /// Whether its owner may execute it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode() & 0o100 != 0
    }

    fn mode(&self) -> u32 {
        u32::try_from(self.0[2]).unwrap_or_default()
    }

    /// Adds it to a digest.
    pub fn hash_into(&self, hasher: &mut Hasher) {
        self.0.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    }
}

/// One entry, by its path below the folder that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path.
    pub path: PathBuf,
    /// What `stat` says.
    pub stamp: Stamp,
}

/// What tells that something of these may have changed: a digest of all names
/// and stamps.
#[must_use]
pub fn stamp(listed: &[Listed]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for found in listed {
        hasher.update(found.path.as_os_str().as_bytes());
        hasher.update(&[0]);
        found.stamp.hash_into(&mut hasher);
    }
    hasher.finish()
}

/// Everything below `root` but folders, sorted by path (by its parts, as
/// [`Path`] compares). What `wanted` refuses is left out, a folder with all
/// that is in it. Links are not followed, `root` itself is.
///
/// # Errors
/// When a folder can't be read, naming it.
pub fn files(root: &Path, wanted: &(dyn Fn(&Path) -> bool + Sync)) -> io::Result<Vec<Listed>> {
    let mut listed = everything(root, wanted)?;
    listed.retain(|found| found.stamp.file_type() != FileType::Directory);
    Ok(listed)
}

/// As [`files`], with the folders, each before what is in it.
///
/// # Errors
/// As [`files`].
pub fn everything(root: &Path, wanted: &(dyn Fn(&Path) -> bool + Sync)) -> io::Result<Vec<Listed>> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, open, Mode::empty()).map_err(|errno| named(root, errno))?;
    let walk = Walk { root, top, wanted, state: Mutex::default(), wake: Condvar::new() };
    walk.lock().add(PathBuf::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(THREADS) {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
    let state = walk.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(in_order(state.folders)),
    }
}

/// A folder's entries, each with the number of its folder if it is one.
type Folder = Vec<(Listed, Option<usize>)>;

struct Walk<'a> {
    root: &'a Path,
    top: OwnedFd,
    wanted: &'a (dyn Fn(&Path) -> bool + Sync),
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<(usize, PathBuf)>,
    /// Folders that wait or are being read.
    open: usize,
    folders: Vec<Folder>,
    failed: Option<io::Error>,
}

impl State {
    fn add(&mut self, path: PathBuf) -> usize {
        let number = self.folders.len();
        self.folders.push(Vec::new());
        self.waiting.push((number, path));
        self.open += 1;
        number
    }
}

impl Walk<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buffer = Vec::with_capacity(BUFFER);
        while let Some((number, path)) = self.next() {
            let read = self.read(&path, &mut buffer);
            let mut state = self.lock();
            match read {
                Ok(mut folder) => {
                    for (found, below) in &mut folder {
                        if found.stamp.file_type() == FileType::Directory {
                            *below = Some(state.add(found.path.clone()));
                        }
                    }
                    state.folders[number] = folder;
                }
                Err(errno) => {
                    state.failed = Some(named(&self.root.join(&path), errno));
                    state.waiting.clear();
                }
            }
            state.open -= 1;
            drop(state);
            self.wake.notify_all();
        }
    }

    /// The next folder to read; `None` when there will be no more.
    fn next(&self) -> Option<(usize, PathBuf)> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.open == 0 {
                return None;
            }
            if let Some(next) = state.waiting.pop() {
                return Some(next);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, path: &Path, buffer: &mut Vec<u8>) -> rustix::io::Result<Folder> {
        let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let at = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let folder = rustix::fs::openat(&self.top, at, open, Mode::empty())?;
        let mut entries = RawDir::new(&folder, buffer.spare_capacity_mut());
        let mut listed: Folder = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = below(path, name.to_bytes());
            if !(self.wanted)(&path) {
                continue;
            }
            match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => listed.push((Listed { path, stamp: Stamp::new(&found) }, None)),
                // Gone in the meantime.
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        // Of one folder, so that the bytes' order is that of the names.
        listed.sort_unstable_by(|(a, _), (b, _)| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(listed)
    }
}

fn below(folder: &Path, name: &[u8]) -> PathBuf {
    let folder = folder.as_os_str().as_bytes();
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    if !folder.is_empty() {
        path.extend_from_slice(folder);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// Each folder followed by what is in it: the order of paths by their parts,
/// without comparing any.
fn in_order(mut folders: Vec<Folder>) -> Vec<Listed> {
    let mut listed = Vec::with_capacity(folders.iter().map(Vec::len).sum());
    let top = folders.first_mut().map(std::mem::take).unwrap_or_default();
    let mut open = vec![top.into_iter()];
    while let Some(folder) = open.last_mut() {
        let Some((found, inside)) = folder.next() else {
            open.pop();
            continue;
        };
        listed.push(found);
        if let Some(number) = inside {
            open.push(std::mem::take(&mut folders[number]).into_iter());
        }
    }
    listed
}

fn named(path: &Path, errno: rustix::io::Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("can't read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    fn paths(listed: &[Listed]) -> Vec<&Path> {
        listed.iter().map(|found| found.path.as_path()).collect()
    }

    #[test]
    fn everything_is_there_once_and_in_the_order_of_paths() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["a/x", "a-b", "a/b/c/deep", "a/b-", "z", "empty/"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            if !path.ends_with('/') {
                fs::write(root.join(path), path).unwrap();
            }
        }
        fs::create_dir(root.join("empty")).unwrap();
        fs::os::unix::fs::symlink("a", root.join("link")).unwrap();
        for number in 0..1_000 {
            fs::write(root.join(format!("a/b/c/{number}")), "").unwrap();
        }
        let all = everything(root, &|_| true).unwrap();
        let mut expected: Vec<PathBuf> = walkdir::WalkDir::new(root)
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().to_owned())
            .collect();
        expected.sort();
        assert_eq!(paths(&all), expected);
        let without = files(root, &|path| path != Path::new("a/b/c")).unwrap();
        assert_eq!(paths(&without), ["a/b-", "a/x", "a-b", "link", "z"].map(Path::new));
        for found in all {
            assert_eq!(found.stamp, Stamp::of(&root.join(found.path)).unwrap());
        }
    }

    #[test]
    fn a_folder_that_cant_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        assert!(everything(&gone, &|_| true).unwrap_err().to_string().contains("gone"));
        fs::write(&gone, "").unwrap();
        assert!(everything(&gone, &|_| true).unwrap_err().to_string().contains("gone"));
    }

    #[test]
    fn any_change_to_a_file_changes_its_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        let before = Stamp::of(&path).unwrap();
        assert!(before.file_type() == FileType::RegularFile && !before.is_executable());
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let executable = Stamp::of(&path).unwrap();
        assert!(executable != before && executable.is_executable());
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("other"), "one").unwrap();
        fs::write(&path, "one").unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), before);
    }
}
