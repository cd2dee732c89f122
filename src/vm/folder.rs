//! The private folder of a run.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::fsutil::Lock;

use super::Error;

/// A run's folder, removed with all that is in it when dropped, unless it is
/// kept.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    uuid: String,
    _lock: Lock,
    keep: bool,
}

impl RunFolder {
    /// Makes a new one, and sweeps those of killed runs.
    ///
    /// # Errors
    /// When the folders can't be made, or the one above is not ours.
    pub fn create() -> Result<Self, Error> {
        let base = base();
        make_private(&base).map_err(Error::folder(&base))?;
        // One at a time: a folder is swept unless its lock is held, and a new
        // one's is not yet for a moment.
        let door = fs::File::open(&base).and_then(|folder| {
            folder.file().lock()?;
            Ok(folder)
        });
        let _door = door.map_err(Error::folder(&base))?;
        sweep(&base);
        let uuid = new_uuid().map_err(Error::folder(&base))?;
        let path = base.join(&uuid);
        let made = || -> std::io::Result<Lock> {
            make_private(&path)?;
            Lock::try_acquire(&path.join("lock"))?
                .ok_or_else(|| std::io::ErrorKind::WouldBlock.into())
        };
        let lock = made().map_err(Error::folder(&path))?;
        Ok(Self { path, uuid, _lock: lock, keep: false })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Leaves it behind, moved to where no sweep comes by; gives its place.
    ///
    /// # Errors
    /// When it can't be moved.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        // The sockets lead nowhere any more.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "sock") {
                _ = fs::remove_file(entry.path());
            }
        }
        let kept = self.path.with_file_name(format!("kept-{}", self.uuid));
        fs::rename(&self.path, &kept).map_err(Error::folder(&kept))?;
        self.keep = true;
        _ = fs::remove_file(kept.join("lock"));
        Ok(kept)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.keep {
            // What can't be removed now is swept by the next run.
            _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Where the folders of all of this user's runs are.
pub(super) fn base() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute()) {
        Some(path) if Path::new(&path).is_dir() => Path::new(&path).join("stage1-builder"),
        _ => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("stage1-builder-{user}"))
        }
    }
}

/// In a folder that everybody may write to, the name alone proves nothing.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    match builder.mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let found = fs::symlink_metadata(path)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if ours && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let text = format!("{} is not a folder of ours alone", path.display());
    Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text))
}

fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let kept = entry.file_name().to_string_lossy().starts_with("kept-");
        let lock = entry.path().join("lock");
        if !kept && matches!(Lock::try_acquire(&lock), Ok(Some(_))) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Random (version 4) as RFC 9562 has it, from the kernel.
fn new_uuid() -> std::io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_do_not_sweep_one_another() {
        let make = || (0..20).map(|_| RunFolder::create().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let folders = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        for folder in folders.collect::<Vec<_>>() {
            assert!(folder.path().join("lock").is_file(), "{}", folder.path().display());
        }
    }

    #[test]
    fn a_folder_goes_with_its_run_and_a_dead_one_is_swept() {
        let folder = RunFolder::create().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let dead = path.with_file_name("dead");
        fs::create_dir_all(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        let other = RunFolder::create().unwrap();
        assert!(path.is_dir() && !dead.exists());
        drop(folder);
        assert!(!path.exists());
        let kept = other.keep().unwrap();
        drop(RunFolder::create().unwrap());
        assert!(kept.is_dir());
        fs::remove_dir_all(kept).unwrap();
    }
}
