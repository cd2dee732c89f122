//! A tree that is unpacked while its archive still comes.
//!
//! Until the archive is whole and verified, the tree lies under a temporary
//! name, where nobody looks; of an archive that turns out to be altered it is
//! removed unseen.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;

use super::budget::Budget;
use super::unpack::{UnpackError, Unpacked, unpack};
use crate::fsutil::{AtomicFolder, parent, sync_dir};
use crate::report::Silent;

/// Bytes of a tar that are unpacked before it is known who made it: twice what
/// the largest kernel has.
const MOST: u64 = 4 << 30;

/// The tree's name in its temporary folder.
const NAME: &str = "linux";

/// An unpacked tree that waits for its place; gone with the last copy of this
/// value unless it was placed.
#[derive(Debug, Clone)]
pub struct Ahead(Arc<Mutex<Option<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    folder: AtomicFolder,
    unpacked: Unpacked,
}

impl Ahead {
    /// Unpacks a tar to a temporary folder in `within`. `name` is the
    /// archive's.
    ///
    /// # Errors
    /// As [`unpack`]'s; then nothing is left.
    pub(super) fn unpack(tar: impl Read, name: &str, within: &Path) -> Result<Self, UnpackError> {
        let folder =
            AtomicFolder::create(within).map_err(|source| UnpackError::Write { source })?;
        let left = Cell::new(MOST);
        let tar = Budget::new(tar, &left, "larger than any kernel's source");
        let unpacked = unpack(tar, name, &folder.path().join(NAME), &Silent)?;
        Ok(Self(Arc::new(Mutex::new(Some(Waiting { folder, unpacked })))))
    }

    /// Brings the tree to its place, if it is still here, nothing is there,
    /// and both are on one file system. Nothing is left under the temporary
    /// name: this value may live until the end of a build.
    pub(super) fn place(&self, at: &Path) -> Option<Unpacked> {
        if fs::symlink_metadata(at).is_ok() {
            return None;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(waiting.as_ref()?.folder.path().join(NAME), at).ok()?;
        let unpacked = waiting.take()?.unpacked;
        // If that fails, so does the record that the tree is whole, beside it.
        _ = sync_dir(parent(at));
        Some(unpacked)
    }

    /// Removes the tree, if it was not placed.
    pub(super) fn discard(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mtime(7);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, b"x".as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_tree_is_placed_once_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (within, at) = (folder.path().join("work"), folder.path().join("linux"));
        let tar = tar(&["linux-1/Makefile", "linux-1/a/b"]);
        let ahead = Ahead::unpack(&tar[..], "linux-1.tar", &within).unwrap();
        assert_eq!(ahead.place(&at), Some(Unpacked { epoch: 7, files: 2 }));
        assert_eq!(fs::read_to_string(at.join("a/b")).unwrap(), "x");
        assert_eq!(names(&within), 0);
        assert_eq!(ahead.place(&at.with_file_name("again")), None);
        drop(ahead);
        assert_eq!(names(&within), 0);
    }

    #[test]
    fn what_nobody_places_is_gone_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let tar = tar(&["linux-1/Makefile"]);
        let ahead = Ahead::unpack(&tar[..], "linux-1.tar", folder.path()).unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert_eq!(ahead.place(&taken), None);
        assert_eq!(names(folder.path()), 2);
        drop(ahead);
        assert_eq!(names(folder.path()), 1);
        let ahead = Ahead::unpack(&tar[..], "linux-1.tar", folder.path()).unwrap();
        ahead.discard();
        assert_eq!(names(folder.path()), 1);
        assert_eq!(ahead.place(&folder.path().join("other")), None);
    }

    #[test]
    fn of_what_can_not_be_unpacked_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let whole = tar(&["linux-1/Makefile", "linux-1/a"]);
        let wrong = tar(&["linux-1/Makefile", "other/a"]);
        for tar in [&whole[..700], &wrong[..]] {
            assert!(Ahead::unpack(tar, "linux-1.tar", folder.path()).is_err());
        }
        assert_eq!(names(folder.path()), 0);
    }
}
