//! Unpacked images: made once, by one run at a time, and then only read.

use std::fs::File;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Error;
use super::blobs::interrupted;
use super::process::Process;
use crate::digest::Digest;
use crate::fsutil::{self, Lock};
use crate::kept;
use crate::proc::interrupt;
use crate::report::Reporter;

const ROOTFS: &str = "rootfs.squashfs";
const RECORD: &str = "image.json";
/// Raised whenever the same image would come out with other bytes.
const FORMAT: u32 = 1;

/// What is known of an unpacked image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: Digest,
    /// The name that the image gives itself, if it does.
    pub(super) name: Option<String>,
    /// Bytes of the root filesystem.
    pub(super) size: u64,
    pub(super) process: Process,
}

/// What an unpacked image depends on.
#[derive(Serialize)]
struct Key<'a> {
    format: u32,
    image: &'a Digest,
}

/// The place of one image.
#[derive(Debug)]
pub(super) struct Slot {
    root: PathBuf,
    key: String,
}

impl Slot {
    /// The place of the image with this digest.
    pub(super) fn of(folder: &Path, image: &Digest) -> Result<Self, Error> {
        let key = Key { format: FORMAT, image };
        let key = serde_json::to_vec(&key).map_err(std::io::Error::from)?;
        let key = Digest::sha256(&key).hex().to_owned();
        Ok(Self { root: folder.join("images"), key })
    }

    /// The image, if it is there and whole.
    pub(super) fn get(&self) -> Option<Record> {
        let record: Record = kept::read(&self.folder().join(RECORD))?;
        let size = fs::metadata(self.rootfs()).ok()?.len();
        (size == record.size).then_some(record)
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.folder().join(ROOTFS)
    }

    /// The image, made by `make` if nobody else does it meanwhile. What a
    /// killed run has left is removed.
    pub(super) fn get_or_make(
        &self,
        name: &str,
        reporter: &dyn Reporter,
        make: impl FnOnce(File) -> Result<(File, Record), Error>,
    ) -> Result<Record, Error> {
        if let Some(record) = self.get() {
            return Ok(record);
        }
        let lock = self.root.join(format!("{}.lock", self.key));
        let waiting = || reporter.note(format!("waiting for another run that unpacks {name}"));
        let _lock = Lock::acquire(&lock, waiting, || interrupt::requested().is_some())
            .map_err(interrupted)?;
        if let Some(record) = self.get() {
            return Ok(record);
        }
        let result = self.make(make);
        if result.is_err() {
            fsutil::remove_all(&self.temporary())?;
        }
        result
    }

    fn make(
        &self,
        make: impl FnOnce(File) -> Result<(File, Record), Error>,
    ) -> Result<Record, Error> {
        let temporary = self.temporary();
        fsutil::remove_all(&temporary)?;
        fs::create_dir_all(&temporary)?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(temporary.join(ROOTFS))?;
        let (file, mut record) = make(file.into_parts().0)?;
        file.sync_all()?;
        record.size = file.metadata()?.len();
        kept::write(&temporary.join(RECORD), &record)?;
        // Only a damaged image is ever replaced: a whole one is not made again.
        fsutil::remove_all(&self.folder())?;
        fs::rename(&temporary, self.folder())?;
        fsutil::sync_dir(&self.root)?;
        Ok(record)
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.key)
    }

    fn temporary(&self) -> PathBuf {
        self.root.join(format!(".s1b-tmp-{}", self.key))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::report::Silent;

    fn record() -> Record {
        Record { id: Digest::sha256(b""), name: None, size: 0, process: Process::default() }
    }

    #[test]
    fn an_image_is_made_once_and_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let slot = Slot::of(folder.path(), &Digest::sha256(b"image")).unwrap();
        let make = |mut file: File| {
            file.write_all(b"squashfs").unwrap();
            Ok((file, record()))
        };
        let fail = |mut file: File| {
            file.write_all(b"squ").unwrap();
            Err(Error::NotHere { name: "x".into() })
        };
        slot.get_or_make("x", &Silent, fail).unwrap_err();
        assert_eq!(slot.get(), None);
        let left = fs::read_dir(folder.path().join("images")).unwrap();
        assert_eq!(left.count(), 1, "the lock and nothing else");
        let made = slot.get_or_make("x", &Silent, make).unwrap();
        assert_eq!(made.size, 8);
        assert_eq!(slot.get_or_make("x", &Silent, fail).unwrap(), made);
        fs::write(slot.rootfs(), "squ").unwrap();
        assert_eq!(slot.get(), None, "a truncated image is none");
        slot.get_or_make("x", &Silent, make).unwrap();
        assert_eq!(fs::read(slot.rootfs()).unwrap(), b"squashfs");
    }
}
