//! Copies of images outside of the store, and what they were when we last
//! looked.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{Error, ImageStore, Record, check};
use crate::digest::{Algorithm, Digest, DigestWriter};
use crate::fsutil::AtomicFile;
use crate::settings::Format;
use crate::{kept, listing, pack};

/// Bytes of a copy that are read, hashed and written together.
const COPIED_AT_ONCE: usize = 1 << 18;

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
    /// Sees to it that `target` is this image, and says whether that took a
    /// copy: a file for an ACI, a folder for the others. What is there and is
    /// not the image, even an empty file, is replaced; a folder only if it
    /// looks like one of ours.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the image in the store is; when the target
    /// can't be written.
    pub fn place(&self, key: &Digest, record: &Record, target: &Path) -> Result<bool, Error> {
        let _held = self.hold(key);
        match record.format {
            Format::Aci => self.place_file(key, record, target),
            Format::Oci | Format::Dir if self.is_laid_out(key, target) => Ok(false),
            Format::Oci | Format::Dir => {
                self.verify(key, record)?;
                self.unpack(key, record.format, target)?;
                self.set_laid_out(key, target)?;
                Ok(true)
            }
        }
    }

    fn unpack(&self, key: &Digest, format: Format, target: &Path) -> Result<(), Error> {
        let file =
            fs::File::open(self.file(key, format)).map_err(Error::io("can't read an image"))?;
        match format {
            Format::Oci => pack::oci::unpack(file, target)?,
            Format::Aci | Format::Dir => pack::unpack_files(file, target)?,
        }
        Ok(())
    }

    fn place_file(&self, key: &Digest, record: &Record, target: &Path) -> Result<bool, Error> {
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
        let from = self.file(key, record.format);
        let reading = Error::io(format!("can't read {}", from.display()));
        let bytes = fs::File::open(&from).map_err(reading)?;
        let mut bytes = BufReader::with_capacity(COPIED_AT_ONCE, bytes);
        let mut to = DigestWriter::new(Algorithm::Sha256, copy.as_file());
        let copying = Error::io(format!("can't copy {} to {}", from.display(), target.display()));
        io::copy(&mut bytes, &mut to).map_err(copying)?;
        check::is_same(&from, &record.file, to.finish().1)?;
        copy.commit().map_err(doing())?;
        self.remember(key, &mut placed, target).map_err(doing())?;
        Ok(true)
    }

    fn remember(&self, key: &Digest, placed: &mut Placed, target: &Path) -> io::Result<()> {
        let Some(stamp) = stamp_of(target) else { return Ok(()) };
        placed.0.retain(|old| old.path != stamp.path);
        placed.0.push(stamp);
        kept::write(&self.folder(key).join("placed.json"), placed)
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
        kept::write(&self.folder(key).join("laid-out.json"), &known).map_err(doing())
    }

    fn recalled<T: serde::de::DeserializeOwned + Default>(&self, key: &Digest, name: &str) -> T {
        kept::read(&self.folder(key).join(name)).unwrap_or_default()
    }
}

/// A digest of the folder and all that is in it, by what `stat` says.
fn layout_stamp(folder: &Path) -> io::Result<Digest> {
    let top = listing::Listed { path: PathBuf::new(), stamp: listing::Stamp::of(folder)? };
    let below = listing::everything(folder, &|_| true)?;
    Ok(listing::stamp(&[vec![top], below].concat()))
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

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing {
    //! What is tried with records. See [`crate::fuzzing`].

    /// What is known of copies.
    pub(in crate::store) fn records(bytes: &[u8]) {
        crate::fuzzing::record::<super::Placed>(bytes);
        crate::fuzzing::record::<super::LaidOut>(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::images::tests::{record, stored};
    use super::*;

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
