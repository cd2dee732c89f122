//! Files that are whole or not there, and locks that die with their holder.

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

/// A file under a temp name beside its target; gone unless committed.
pub struct AtomicFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Opens a temp file in the target's folder, which is created if absent.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(target: &Path) -> io::Result<Self> {
        let folder = parent(target);
        fs::create_dir_all(folder)?;
        let file = tempfile::Builder::new()
            .prefix(".s1b-tmp-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("can't write in {}: {error}", folder.display()),
                )
            })?;
        Ok(Self { file, target: target.to_owned() })
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
        let file = open_lock_file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
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
