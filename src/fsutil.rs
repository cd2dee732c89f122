//! Files that are whole or not there, and locks that die with their holder.
//!
//! What is being written has a temporary name, and its writer holds a lock on
//! the file (or folder) itself. So a leftover of a process that was killed is
//! told from the work of one that lives: nobody holds its lock. Whoever writes
//! in a folder removes the leftovers there ([`sweep`]). Where the file system
//! has no locks, nothing is ever taken for a leftover.

use std::fs::TryLockError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Writes `bytes` to `path` so that every reader sees the old file or the
/// whole new one: temp name in the same folder, fsync, rename.
///
/// # Errors
/// When the folder can't be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// How every temporary name begins.
pub const TEMPORARY: &str = ".s1b-tmp-";

/// A file under a temp name beside its target; gone unless committed.
pub struct AtomicFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Opens a temp file in the target's folder, which is created if absent
    /// and swept.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(target: &Path) -> io::Result<Self> {
        let folder = parent(target);
        fs::create_dir_all(folder)?;
        sweep(folder);
        loop {
            let file = temporary(0o644).tempfile_in(folder).map_err(in_folder(folder))?;
            if is_ours(file.as_file(), file.path()) {
                return Ok(Self { file, target: target.to_owned() });
            }
        }
    }

    /// The temp file itself, for reading back or truncating.
    pub fn as_file(&mut self) -> &mut std::fs::File {
        self.file.as_file_mut()
    }

    /// The name it has until it is committed.
    #[must_use]
    pub fn temporary_path(&self) -> &Path {
        self.file.path()
    }

    /// Makes the file whole and visible under its target's name.
    ///
    /// # Errors
    /// When it can't be synced or renamed.
    pub fn commit(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let target = self.target;
        self.file.persist(&target).map_err(|error| {
            let text = format!("can't rename to {}: {}", target.display(), error.error);
            io::Error::new(error.error.kind(), text)
        })?;
        sync_dir(parent(&target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A folder under a temp name; gone with what is in it unless committed.
#[derive(Debug)]
pub struct AtomicFolder {
    folder: tempfile::TempDir,
    _lock: fs::File,
}

impl AtomicFolder {
    /// Makes a temp folder in `folder`, which is created if absent and swept.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        sweep(folder);
        loop {
            let made = temporary(0o777).tempdir_in(folder).map_err(in_folder(folder))?;
            match fs::File::open(made.path()) {
                Ok(lock) if is_ours(lock.file(), made.path()) => {
                    return Ok(Self { folder: made, _lock: lock });
                }
                Ok(_) => {}
                // Swept already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is until it is committed.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the folder visible as `target`, where nothing may be. What is in
    /// it, the caller has synced.
    ///
    /// # Errors
    /// When it can't be renamed.
    pub fn commit(self, target: &Path) -> io::Result<()> {
        fs::rename(self.folder.path(), target)?;
        // There is nothing under the temporary name any more.
        _ = self.folder.keep();
        sync_dir(parent(target))
    }
}

fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

fn in_folder(folder: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        io::Error::new(error.kind(), format!("can't write in {}: {error}", folder.display()))
    }
}

/// Locks what was made at `path`. Whether it is ours: a sweeper may have come
/// between its making and the lock.
fn is_ours(file: &std::fs::File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, path),
        Err(TryLockError::WouldBlock) => false,
        // No locks here; then nobody sweeps here, either.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Whether `path` leads to this very file. A number is not given again while
/// the file is open.
fn is_at(file: &std::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    let open = file.metadata().map(identity);
    open.is_ok_and(|open| fs::symlink_metadata(path).map(identity).is_ok_and(|at| at == open))
}

/// Removes what processes that are gone left in `folder` under temporary
/// names: files and folders whose lock nobody holds. What can't be removed
/// stays; it is nobody's error.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let temporary = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        // Nothing of ours is a link, or a pipe whose opening would wait.
        if temporary && entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_dir()) {
            _ = sweep_one(&entry.path());
        }
    }
}

fn sweep_one(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    // Held until it is removed: its maker, if it has just begun, sees that.
    match file.file().try_lock() {
        Ok(()) if is_at(file.file(), path) => remove_all(path),
        _ => Ok(()),
    }
}

/// The folder that holds `path`; `.` for a bare name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Syncs a folder, so that a rename in it survives a power cut.
///
/// # Errors
/// When the folder can't be opened or synced.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Removes a file or folder and what is in it; absent is fine.
///
/// # Errors
/// When something is there and can't be removed.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Says that a file or folder is in use, as long as it lives: a shared lock on
/// the thing itself, which dies with the process.
#[derive(Debug)]
pub struct Hold {
    _file: fs::File,
}

impl Hold {
    /// Uses what is at `path`; `None` if nothing is, or somebody is about to
    /// remove it.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::File::open(path).ok()?;
        match file.file().try_lock_shared() {
            Ok(()) if is_at(file.file(), path) => Some(Self { _file: file }),
            // No locks here; then nothing is ever taken for unused, either.
            Err(TryLockError::Error(_)) => Some(Self { _file: file }),
            Ok(()) | Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes what is at `path` for ourselves, to remove it; `None` if it is in
    /// use or gone.
    ///
    /// # Errors
    /// When it can't be opened or the file system has no locks.
    pub fn alone(path: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.file().try_lock() {
            Ok(()) => Ok(is_at(file.file(), path).then_some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Notes the time at a file or folder as that of its last use. Where that
/// can't be done, it looks older than it is, which is no error.
pub fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// An exclusive advisory lock on a file; free again when dropped, when the
/// process dies, and not before the last child that inherited it is gone.
#[derive(Debug)]
pub struct Lock {
    file: std::fs::File,
}

impl Lock {
    /// Takes the lock now, or `None` if somebody holds it. The file (and its
    /// folder) is created if absent and stays.
    ///
    /// # Errors
    /// When the file can't be opened or the file system has no locks.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open_lock_file(path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => return Ok(Some(Self { file })),
                // Its last holder removed it in the meantime.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Takes the lock, waiting for it; `waiting` is called once before the
    /// wait, `give_up` is asked several times a second.
    ///
    /// # Errors
    /// As [`Lock::try_acquire`]; [`io::ErrorKind::Interrupted`] when
    /// `give_up` said so.
    pub fn acquire(
        path: &Path,
        waiting: impl FnOnce(),
        give_up: impl Fn() -> bool,
    ) -> io::Result<Self> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(lock);
        }
        waiting();
        loop {
            if give_up() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
        }
    }

    /// A handle for a child's stdin: reads as empty, and keeps the lock held
    /// as long as the child or one of its descendants lives, even if this
    /// process is killed.
    ///
    /// # Errors
    /// When the descriptor can't be duplicated.
    pub fn inheritable(&self) -> io::Result<std::fs::File> {
        self.file.try_clone()
    }
}

fn open_lock_file(path: &Path) -> io::Result<std::fs::File> {
    fs::create_dir_all(parent(path))?;
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(file.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/b");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
        write_atomic(&target, b"whole").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
    }

    /// Run by the tests below in a process of its own: begins a file and a
    /// folder, and is killed.
    #[test]
    fn a_writer_that_is_killed() {
        let Some(folder) = std::env::var_os("S1B_TEST_WRITER") else { return };
        let folder = PathBuf::from(folder);
        let mut file = AtomicFile::create(&folder.join("target")).unwrap();
        file.write_all(b"half").unwrap();
        let begun = AtomicFolder::create(&folder).unwrap();
        fs::write(begun.path().join("file"), "half").unwrap();
        fs::write(folder.join("begun"), "").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60));
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `act` while the writer lives, and kills it (SIGKILL) afterwards.
    fn with_a_writer(folder: &Path, act: impl FnOnce()) {
        let test = "fsutil::tests::a_writer_that_is_killed";
        std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let writer = scope.spawn(move || {
                let script = "\"$0\" --exact \"$1\" & echo $!; read line; kill -KILL $!; wait";
                let program = crate::proc::Program::new("sh").args(["-c", script]);
                program
                    .arg(std::env::current_exe().unwrap())
                    .arg(test)
                    .env("S1B_TEST_WRITER", folder)
                    .output_fed(move |stdin| {
                        _ = stopped.recv();
                        stdin.write_all(b"\n")
                    })
            });
            while !folder.join("begun").exists() {
                assert!(!writer.is_finished(), "{:?}", writer.join());
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            act();
            stop.send(()).unwrap();
            writer.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_what_a_live_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let begun = || names(folder.path()).iter().filter(|n| n.starts_with(TEMPORARY)).count();
        with_a_writer(folder.path(), || {
            assert_eq!(begun(), 2);
            write_atomic(&folder.path().join("other"), b"whole").unwrap();
            assert_eq!(begun(), 2, "its writer lives");
        });
        assert_eq!(begun(), 2, "nobody could tidy up");
        write_atomic(&folder.path().join("other"), b"again").unwrap();
        assert_eq!(names(folder.path()), ["begun", "other"]);
    }

    #[test]
    fn sweepers_and_writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (working, done) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let swept = folder.path();
            scope.spawn(move || {
                while done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    sweep(swept);
                }
            });
            // Gone at the end, or when something below panics.
            let _working = working;
            for number in 0..200 {
                let target = folder.path().join(format!("{}", number % 7));
                let mut file = AtomicFile::create(&target).unwrap();
                file.write_all(b"whole").unwrap();
                file.commit().unwrap();
                let begun = AtomicFolder::create(folder.path()).unwrap();
                fs::write(begun.path().join("file"), "whole").unwrap();
                begun.commit(&folder.path().join(format!("folder {number}"))).unwrap();
            }
        });
        assert_eq!(names(folder.path()).len(), 207);
    }

    #[test]
    fn a_lock_is_held_once_and_freed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::try_acquire(&path).unwrap().unwrap();
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        let inherited = held.inheritable().unwrap();
        drop(held);
        assert!(Lock::try_acquire(&path).unwrap().is_none(), "a child still has it");
        drop(inherited);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }
}
