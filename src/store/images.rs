use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::Digest;
use crate::digest::{Algorithm, Hasher};
use crate::fsutil::{self, AtomicFile, AtomicFolder, Lock};
use crate::listing;
use crate::proc::interrupt;

/// What is known of a finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The App Container image id.
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
}

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// Its file.
    pub file: PathBuf,
    /// What is known of it.
    pub record: Record,
    /// When it came into the store.
    pub made: std::time::SystemTime,
}

/// Finished images by key.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

/// Copies of an image outside of the store that were whole when we last
/// looked, by what `stat` says of them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Placed(Vec<Stamp>);

/// Folders in which an image was laid out, and what all that is in them had
/// for stamps then. They are the user's to change.
#[derive(Debug, Default, Serialize, Deserialize)]
struct LaidOut(BTreeMap<PathBuf, Digest>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl ImageStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The record of a finished image; `None` unless its file is there.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<Record> {
        let record: Record =
            serde_json::from_slice(&fs::read(self.folder(key).join("record.json")).ok()?).ok()?;
        let size = fs::metadata(self.file(key)).ok()?.len();
        (size == record.size).then_some(record)
    }

    /// Every image that is there and whole, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Found> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| self.found(&entry.file_name().to_string_lossy())).collect()
    }

    fn found(&self, name: &str) -> Option<Found> {
        let key = Digest::from_hex(Algorithm::Sha256, name)?;
        let record = self.get(&key)?;
        let made = fs::metadata(self.folder(&key).join("record.json")).ok()?.modified().ok()?;
        Some(Found { key: name.to_owned(), file: self.file(&key), record, made })
    }

    /// The image's file.
    #[must_use]
    pub fn file(&self, key: &Digest) -> PathBuf {
        self.folder(key).join("image.aci")
    }

    /// Waits until nobody else makes this image; `waiting` is called once if
    /// that takes a wait.
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
    pub fn start(&self, key: &Digest) -> Result<NewImage, Error> {
        let doing = || Error::io("can't start an image");
        let folder = AtomicFolder::create(&self.root).map_err(doing())?;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("image.aci"))
            .map_err(doing())?;
        Ok(NewImage { folder, target: self.folder(key), file: file.into_parts().0 })
    }

    /// Sees to it that `target` is this image, and says whether that took a
    /// copy. A file there that is not, even an empty one, is replaced.
    ///
    /// # Errors
    /// When the target can't be written.
    pub fn place(&self, key: &Digest, record: &Record, target: &Path) -> Result<bool, Error> {
        let doing = || Error::io(format!("can't write {}", target.display()));
        let mut placed = self.placed(key);
        if let Some(stamp) = stamp_of(target) {
            if placed.0.contains(&stamp) {
                return Ok(false);
            }
            if stamp.size == record.size
                && Digest::sha256_of_file(target).map_err(doing())? == record.file
            {
                self.remember(key, &mut placed, target).map_err(doing())?;
                return Ok(false);
            }
        }
        let mut copy = AtomicFile::create(target).map_err(doing())?;
        let mut from = fs::File::open(self.file(key)).map_err(doing())?;
        io::copy(&mut from, copy.as_file()).map_err(doing())?;
        copy.commit().map_err(doing())?;
        self.remember(key, &mut placed, target).map_err(doing())?;
        Ok(true)
    }

    fn remember(&self, key: &Digest, placed: &mut Placed, target: &Path) -> io::Result<()> {
        let Some(stamp) = stamp_of(target) else { return Ok(()) };
        placed.0.retain(|old| old.path != stamp.path);
        placed.0.push(stamp);
        fsutil::write_atomic(&self.folder(key).join("placed.json"), &serde_json::to_vec(placed)?)
    }

    fn placed(&self, key: &Digest) -> Placed {
        self.recalled(key, "placed.json")
    }

    /// Whether `folder` is this image as [`ImageStore::set_laid_out`] saw it
    /// there: nothing in it was changed, added or removed.
    #[must_use]
    pub fn is_laid_out(&self, key: &Digest, folder: &Path) -> bool {
        let known: LaidOut = self.recalled(key, "laid-out.json");
        let stamp = || layout_stamp(folder).ok();
        let path = std::path::absolute(folder).ok();
        path.and_then(|path| known.0.get(&path).cloned()).is_some_and(|old| stamp() == Some(old))
    }

    /// Records that `folder` is this image, laid out.
    ///
    /// # Errors
    /// When it can't be read, or the record can't be written.
    pub fn set_laid_out(&self, key: &Digest, folder: &Path) -> Result<(), Error> {
        let doing = || Error::io(format!("can't remember {}", folder.display()));
        let mut known: LaidOut = self.recalled(key, "laid-out.json");
        let path = std::path::absolute(folder).map_err(doing())?;
        known.0.insert(path, layout_stamp(folder).map_err(doing())?);
        let bytes = serde_json::to_vec(&known).map_err(|error| doing()(error.into()))?;
        fsutil::write_atomic(&self.folder(key).join("laid-out.json"), &bytes).map_err(doing())
    }

    fn recalled<T: serde::de::DeserializeOwned + Default>(&self, key: &Digest, name: &str) -> T {
        let bytes = fs::read(self.folder(key).join(name)).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn folder(&self, key: &Digest) -> PathBuf {
        self.root.join(key.hex())
    }
}

/// A digest of the folder and all that is in it, by what `stat` says.
fn layout_stamp(folder: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    listing::Stamp::of(folder)?.hash_into(&mut hasher);
    for found in listing::everything(folder, &|_| true)? {
        hasher.update(found.path.as_os_str().as_encoded_bytes());
        hasher.update(&[0]);
        found.stamp.hash_into(&mut hasher);
    }
    Ok(hasher.finish())
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let path = std::path::absolute(path).ok()?;
    let metadata = fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    Some(Stamp {
        path,
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
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
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| doing()(error.into()))?;
        fsutil::write_atomic(&self.folder.path().join("record.json"), &bytes).map_err(doing())?;
        // Only a damaged image is ever replaced: a whole one is not made again.
        fsutil::remove_all(&self.target).map_err(doing())?;
        self.folder.commit(&self.target).map_err(doing())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn record(bytes: &[u8]) -> Record {
        Record {
            id: Digest::sha256(b"id"),
            file: Digest::sha256(bytes),
            size: bytes.len() as u64,
            name: "example.com/kernel".into(),
            kernel: "6.12.1".into(),
            release: "6.12.1-test".into(),
            labels: BTreeMap::new(),
        }
    }

    fn stored(bytes: &[u8]) -> (tempfile::TempDir, ImageStore, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::new(folder.path().join("images"));
        let key = Digest::sha256(b"key");
        let mut image = store.start(&key).unwrap();
        image.file().write_all(bytes).unwrap();
        image.commit(&record(bytes)).unwrap();
        (folder, store, key)
    }

    #[test]
    fn an_image_is_whole_or_absent() {
        let (_folder, store, key) = stored(b"image");
        assert_eq!(store.get(&key), Some(record(b"image")));
        fs::write(store.file(&key), b"ima").unwrap();
        assert_eq!(store.get(&key), None, "a truncated file is no image");
        drop(store.start(&Digest::sha256(b"other")).unwrap());
        assert_eq!(fs::read_dir(&store.root).unwrap().count(), 1);
    }

    #[test]
    fn a_wrong_target_is_replaced_and_a_right_one_left_alone() {
        let (folder, store, key) = stored(b"image");
        let target = folder.path().join("out/a.aci");
        let place = || store.place(&key, &record(b"image"), &target).unwrap();
        assert!(place());
        assert!(!place());
        for wrong in [&b""[..], b"IMAGE"] {
            fs::write(&target, wrong).unwrap();
            assert!(place(), "{wrong:?} stood there");
            assert_eq!(fs::read(&target).unwrap(), b"image");
        }
        fs::write(&target, b"image").unwrap();
        assert!(!place(), "equal bytes that somebody else wrote");
    }

    #[test]
    fn a_layout_is_known_until_anything_in_it_changes() {
        let (folder, store, key) = stored(b"image");
        let into = folder.path().join("layout");
        fs::create_dir_all(into.join("rootfs")).unwrap();
        fs::write(into.join("rootfs/file"), "one").unwrap();
        let known = || store.is_laid_out(&key, &into);
        assert!(!known());
        let changes: [fn(&Path); 5] = [
            |into| fs::write(into.join("rootfs/file"), "two").unwrap(),
            |into| fs::write(into.join("rootfs/new"), "").unwrap(),
            |into| fs::remove_file(into.join("rootfs/new")).unwrap(),
            |into| fs::write(into.join("notes"), "mine").unwrap(),
            |into| fs::remove_dir_all(into).unwrap(),
        ];
        for change in changes {
            store.set_laid_out(&key, &into).unwrap();
            assert!(known());
            change(&into);
            assert!(!known());
        }
    }
}
