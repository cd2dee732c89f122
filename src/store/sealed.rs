//! Folders whose files are known by their digests, so that a change of one is
//! found.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::Error;
use crate::digest::Digest;
use crate::fsutil;

/// The list beside the files.
const LIST: &str = "files.json";

/// Lists the files that are in a folder.
///
/// # Errors
/// When they can't be read, or the list can't be written.
pub fn seal(folder: &Path) -> Result<(), Error> {
    let doing = || Error::io(format!("can't seal {}", folder.display()));
    let mut list = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(doing())? {
        let entry = entry.map_err(doing())?;
        let digest = Digest::sha256_of_file(&entry.path()).map_err(doing())?;
        list.insert(entry.file_name().to_string_lossy().into_owned(), digest);
    }
    let bytes = serde_json::to_vec(&list).map_err(|error| doing()(error.into()))?;
    fsutil::write_atomic(&folder.join(LIST), &bytes).map_err(doing())
}

/// Checks the files that a folder's list names. One without a list is of
/// before there were any, and passes.
///
/// # Errors
/// [`Error::Damaged`] with the first file that is not as it was.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    let Ok(list) = fs::read(folder.join(LIST)) else { return Ok(()) };
    let list: BTreeMap<String, Digest> = serde_json::from_slice(&list).unwrap_or_default();
    for (name, expected) in list {
        super::check::same(&folder.join(name), &expected)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kernel"), "kernel").unwrap();
        check(folder.path()).unwrap();
        seal(folder.path()).unwrap();
        check(folder.path()).unwrap();
        fs::write(folder.path().join("kernel"), "kernfl").unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("/kernel is damaged"), "{error}");
    }
}
