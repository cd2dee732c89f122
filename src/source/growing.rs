//! A file that is read while it is being written.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fs_err as fs;

use crate::proc::interrupt;

/// How often a reader looks whether there is more.
const TICK: Duration = Duration::from_millis(10);

/// A file that grows until somebody says that it does no more.
pub(super) struct Growing {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Growing {
    /// The file at `path`, which need not be there yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), ended: Arc::default() }
    }

    /// Reads from the beginning, and waits at the end for more.
    pub(super) fn reader(&self) -> Reader {
        Reader { path: self.path.clone(), ended: Arc::clone(&self.ended), file: None }
    }
}

/// Nothing is waited for after it.
impl Drop for Growing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// See [`Growing::reader`]. A file that is begun anew is an error.
pub(super) struct Reader {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    file: Option<fs::File>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked first: what was written before that is seen below.
            let ended = self.ended.load(Ordering::Acquire);
            match self.piece(buffer)? {
                0 if ended => return Ok(0),
                0 => {}
                count => return Ok(count),
            }
            if interrupt::requested().is_some() {
                return Err(io::Error::other("asked to stop"));
            }
            std::thread::sleep(TICK);
        }
    }
}

impl Reader {
    /// What has come; 0 if there is nothing new.
    fn piece(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match fs::File::open(&self.path) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            },
        };
        let count = file.read(buffer)?;
        if count == 0 && !is_at(file, &self.path) {
            return Err(io::Error::other("the file was begun anew"));
        }
        Ok(count)
    }
}

fn is_at(file: &fs::File, path: &Path) -> bool {
    let number = |found: std::fs::Metadata| (found.dev(), found.ino());
    let open = file.metadata().map(number).ok();
    open.is_some() && open == fs::metadata(path).map(number).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_comes_while_it_is_read_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let growing = Growing::new(&path);
        let mut reader = growing.reader();
        let follower = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        std::thread::sleep(TICK);
        let mut file = fs::File::create(&path).unwrap();
        for number in 0..20 {
            write!(file, "{number} ").unwrap();
            std::thread::sleep(TICK / 4);
        }
        drop(growing);
        let text = follower.join().unwrap().unwrap();
        assert_eq!(text, (0..20).map(|number| format!("{number} ")).collect::<String>());
    }

    #[test]
    fn a_file_in_the_place_of_the_first_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "first").unwrap();
        let growing = Growing::new(&path);
        let mut reader = growing.reader();
        let mut start = [0; 5];
        reader.read_exact(&mut start).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "second").unwrap();
        drop(growing);
        assert!(reader.read(&mut start).is_err());
    }

    #[test]
    fn a_file_that_never_comes_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Growing::new(&folder.path().join("absent")).reader();
        assert_eq!(reader.read(&mut [0; 5]).unwrap(), 0);
    }
}
