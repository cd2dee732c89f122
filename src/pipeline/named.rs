//! The image that a user means: a file, or one in the store.

use std::path::{Path, PathBuf};

use crate::store::{Found, Store};

use super::Error;

/// The file of an image: a path, or an id (`sha512-…`, at least eight of its
/// digits) of one in the store.
///
/// # Errors
/// When there is neither.
pub fn image_file(store: &Store, named: &str) -> Result<PathBuf, Error> {
    let path = Path::new(named);
    if path.exists() {
        return Ok(path.to_owned());
    }
    if let Some(found) = by_id(store, named) {
        return Ok(found.file);
    }
    Err(Error::NoImage {
        asked: format!("'{named}', and there is no such file"),
        hint: "name an image's file, or give at least eight digits of the id of one in the store"
            .to_owned(),
    })
}

/// What came last of those whose id begins so.
pub(super) fn by_id(store: &Store, id: &str) -> Option<Found> {
    let digits = id.strip_prefix("sha512-").or_else(|| id.strip_prefix("sha512:")).unwrap_or(id);
    // A few digits fit too much.
    let fits = |found: &Found| digits.len() >= 8 && found.record.id.hex().starts_with(digits);
    store.images().all().into_iter().filter(fits).max_by_key(|found| found.made)
}
