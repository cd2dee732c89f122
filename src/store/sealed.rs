//! Folders whose files are known by their digests, so that a change of one is
//! found.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::Error;
use crate::digest::Digest;
use crate::kept;

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
    kept::write(&folder.join(LIST), &list).map_err(doing())
}

/// Checks the files that a folder's list names. One without a list is of
/// before there were any, and passes.
///
/// # Errors
/// [`Error::Damaged`] with the first file that is not as it was,
/// [`Error::DamagedRecord`] when that can't be told any more.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    let path = folder.join(LIST);
    if !path.exists() {
        return Ok(());
    }
    let list: Option<BTreeMap<String, Digest>> = kept::read(&path);
    let list = list.ok_or(Error::DamagedRecord { path })?;
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
        let list = folder.path().join(LIST);
        let flipped = fs::read_to_string(&list).unwrap().replace("kernel", "kerneL");
        fs::write(list, flipped).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("/files.json is damaged"), "{error}");
    }
}
