//! The image that a user means: a file, or one in the store.

use std::path::{Path, PathBuf};

use crate::store::{self, Store};

use super::Error;

/// The file of an image: a path, or an id (`sha512-…`, at least eight of its
/// digits) of one in the store.
///
/// # Errors
/// When there is neither, or several ids begin so.
pub fn image_file(store: &Store, named: &str) -> Result<PathBuf, Error> {
    let path = Path::new(named);
    if path.exists() {
        return Ok(path.to_owned());
    }
    match store.images().by_id(named).map(|found| found.into_iter().next()) {
        Ok(Some(found)) => Ok(found.file),
        Ok(None) | Err(store::Error::NoImage { .. }) => Err(Error::NoImage {
            asked: format!("'{named}', and there is no such file"),
            hint:
                "name an image's file, or give at least eight digits of the id of one in the store"
                    .to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}
