//! Finished images by key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::{Algorithm, Digest};
use crate::fsutil::{self, AtomicFolder, Hold, Lock};
use crate::kept;
use crate::proc::interrupt;
use crate::settings::Format;

/// The name of an image's record in its folder.
pub(super) const RECORD: &str = "record.json";

/// What is known of a finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The kind of image. Images of before there were several are ACIs.
    #[serde(default = "aci")]
    pub format: Format,
    /// The image's id.
    pub id: Digest,
    /// The SHA-256 of the file as stored.
    pub file: Digest,
    /// Bytes of the file as stored.
    pub size: u64,
    /// The image's name.
    pub name: String,
    /// The kernel's version.
    pub kernel: String,
    /// The modules folder's name, `uname -r`.
    pub release: String,
    /// The labels of its manifest.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the kernel's source is from; empty where that was not recorded.
    #[serde(default)]
    pub source: String,
}

fn aci() -> Format {
    Format::Aci
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its key.
    pub key: Digest,
    /// Its file.
    pub file: PathBuf,
    /// What is known of it.
    pub record: Record,
    /// When it came into the store.
    pub made: SystemTime,
    /// When it was last asked for.
    pub used: SystemTime,
}

/// Finished images by key.
#[derive(Debug, Clone)]
pub struct ImageStore {
    pub(super) root: PathBuf,
}

impl ImageStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The record of a finished image; `None` unless its file is there and as
    /// long as it was.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<Record> {
        let record = self.record(key)?;
        let size = fs::metadata(self.file(key, record.format)).ok()?.len();
        (size == record.size).then_some(record)
    }

    /// The record of an image, whole or not.
    pub(super) fn record(&self, key: &Digest) -> Option<Record> {
        kept::read(&self.folder(key).join(RECORD))
    }

    /// Every image that is there, in no order. One that is cut short is left
    /// out.
    #[must_use]
    pub fn all(&self) -> Vec<Found> {
        self.keys().iter().filter_map(|key| self.found(key)).collect()
    }

    /// The keys of all that is there, whole or not.
    pub(super) fn keys(&self) -> Vec<Digest> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let key = |entry: fs::DirEntry| {
            Digest::from_hex(Algorithm::Sha256, &entry.file_name().to_string_lossy())
        };
        entries.filter_map(key).collect()
    }

    /// The image of this key.
    #[must_use]
    pub fn found(&self, key: &Digest) -> Option<Found> {
        let record = self.get(key)?;
        let time = |path: PathBuf| fs::metadata(path).ok()?.modified().ok();
        let made = time(self.folder(key).join(RECORD))?;
        let used = time(self.folder(key))?.max(made);
        let file = self.file(key, record.format);
        Some(Found { key: key.clone(), file, record, made, used })
    }

    /// The images whose id begins with these digits, with or without the
    /// algorithm before them. Several have one id if they differ in their
    /// compression alone; the one asked for last comes first.
    ///
    /// # Errors
    /// When there is none, the digits are fewer than eight, or several ids
    /// begin so.
    pub fn by_id(&self, id: &str) -> Result<Vec<Found>, Error> {
        let digits = ["sha512", "sha256"].iter().find_map(|algorithm| {
            id.strip_prefix(algorithm).and_then(|rest| rest.strip_prefix(['-', ':']))
        });
        let digits = digits.unwrap_or(id).to_ascii_lowercase();
        let mut fitting = self.all();
        // A few digits fit too much.
        fitting.retain(|found| digits.len() >= 8 && found.record.id.hex().starts_with(&digits));
        fitting.sort_by_key(|found| std::cmp::Reverse(found.used));
        let mut ids: Vec<&Digest> = fitting.iter().map(|found| &found.record.id).collect();
        ids.sort_unstable();
        ids.dedup();
        match ids.len() {
            0 => Err(Error::NoImage { id: id.to_owned() }),
            1 => Ok(fitting),
            _ => {
                let ids = ids.iter().map(|id| id.to_string()).collect();
                Err(Error::Ambiguous { id: id.to_owned(), ids })
            }
        }
    }

    /// The image's file.
    #[must_use]
    pub fn file(&self, key: &Digest, format: Format) -> PathBuf {
        self.folder(key).join(file_name(format))
    }

    /// Checks that an image's file has the bytes that it was made with.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it has not, and when it can't be read.
    pub fn verify(&self, key: &Digest, record: &Record) -> Result<(), Error> {
        super::check::same(&self.file(key, record.format), &record.file)
    }

    /// Notes that an image was asked for, and keeps it from being tidied away
    /// while the value lives; `None` if it is gone.
    #[must_use]
    pub fn hold(&self, key: &Digest) -> Option<Hold> {
        let hold = Hold::of(&self.folder(key))?;
        fsutil::touch(&self.folder(key));
        Some(hold)
    }

    /// Removes an image.
    ///
    /// # Errors
    /// [`Error::InUse`] when somebody uses it, and when it can't be removed.
    pub fn remove(&self, key: &Digest) -> Result<(), Error> {
        super::discard(&self.folder(key))
    }

    /// Waits until nobody else makes images of this key's kernel; `waiting`
    /// is called once if that takes a wait.
    ///
    /// # Errors
    /// When the lock can't be had, or we are asked to stop.
    pub fn lock(&self, key: &Digest, waiting: impl FnOnce()) -> Result<Lock, Error> {
        let path = self.root.join(format!("{}.lock", key.hex()));
        Lock::acquire(&path, waiting, || interrupt::requested().is_some())
            .map_err(Error::io("can't lock an image"))
    }

    /// A file to write a new image to, gone unless committed.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn start(&self, key: &Digest, format: Format) -> Result<NewImage, Error> {
        let doing = || Error::io("can't start an image");
        let folder = AtomicFolder::create(&self.root).map_err(doing())?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join(file_name(format)))
            .map_err(doing())?;
        Ok(NewImage { folder, target: self.folder(key), file: file.into_parts().0 })
    }

    pub(super) fn folder(&self, key: &Digest) -> PathBuf {
        self.root.join(key.hex())
    }
}

/// The name of an image's file in its folder.
fn file_name(format: Format) -> &'static str {
    match format {
        Format::Aci => "image.aci",
        Format::Oci => "image.oci.tar",
        Format::Dir => "image.tar.gz",
    }
}

/// An image that is being written.
#[derive(Debug)]
pub struct NewImage {
    folder: AtomicFolder,
    target: PathBuf,
    file: std::fs::File,
}

impl NewImage {
    /// The file to write to.
    pub fn file(&mut self) -> &mut std::fs::File {
        &mut self.file
    }

    /// Makes the image visible under its key.
    ///
    /// # Errors
    /// When it can't be synced or renamed.
    pub fn commit(self, record: &Record) -> Result<(), Error> {
        let doing = || Error::io("can't keep the image");
        self.file.sync_all().map_err(doing())?;
        kept::write(&self.folder.path().join(RECORD), record).map_err(doing())?;
        // Only a damaged image is ever replaced: a whole one is not made again.
        fsutil::remove_all(&self.target).map_err(doing())?;
        self.folder.commit(&self.target).map_err(doing())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    pub(in crate::store) fn record(bytes: &[u8]) -> Record {
        Record {
            format: Format::Aci,
            id: Digest::sha256(b"id"),
            file: Digest::sha256(bytes),
            size: bytes.len() as u64,
            name: "example.com/kernel".into(),
            kernel: "6.12.1".into(),
            release: "6.12.1-test".into(),
            labels: BTreeMap::new(),
            source: String::new(),
        }
    }

    pub(in crate::store) fn stored(bytes: &[u8]) -> (tempfile::TempDir, ImageStore, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::new(folder.path().join("images"));
        let key = Digest::sha256(b"key");
        let mut image = store.start(&key, Format::Aci).unwrap();
        image.file().write_all(bytes).unwrap();
        image.commit(&record(bytes)).unwrap();
        (folder, store, key)
    }

    #[test]
    fn images_of_one_kernel_wait_for_each_other_and_others_do_not() {
        let (_folder, store, _) = stored(b"image");
        let (one, other) = (Digest::sha256(b"one"), Digest::sha256(b"other"));
        let held = store.lock(&one, || {}).unwrap();
        drop(store.lock(&other, || panic!("nobody has it")).unwrap());
        let (waits, waited) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(store.lock(&one, || waits.send(()).unwrap()).unwrap()));
            waited.recv().unwrap();
            drop(held);
        });
    }

    #[test]
    fn an_image_is_whole_or_absent() {
        let (_folder, store, key) = stored(b"image");
        assert_eq!(store.get(&key), Some(record(b"image")));
        fs::write(store.file(&key, Format::Aci), b"ima").unwrap();
        assert_eq!(store.get(&key), None, "a truncated file is no image");
        drop(store.start(&Digest::sha256(b"other"), Format::Oci).unwrap());
        assert_eq!(fs::read_dir(&store.root).unwrap().count(), 1);
    }
}
