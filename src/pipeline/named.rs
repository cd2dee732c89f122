//! The image that a user means: a file, or one in the store.

use std::path::{Path, PathBuf};

use crate::settings::Format;
use crate::store::{self, Store};

use super::Error;

/// The file of an ACI: a path, or an id (`sha512-…`, at least eight of its
/// digits) of one in the store.
///
/// # Errors
/// When there is neither, several ids begin so, or the image is no ACI.
pub fn image_file(store: &Store, named: &str) -> Result<PathBuf, Error> {
    let path = Path::new(named);
    if path.exists() {
        return Ok(path.to_owned());
    }
    match store.images().by_id(named).map(|found| found.into_iter().next()) {
        Ok(Some(found)) if found.record.format == Format::Aci => Ok(found.file),
        Ok(Some(found)) => Err(Error::Usage {
            problem: format!("{named} is of the format {}; an ACI is wanted", found.record.format),
            hint: "stage1-builder images lists the formats, images verify checks all of them"
                .to_owned(),
        }),
        Ok(None) | Err(store::Error::NoImage { .. }) => Err(Error::NoImage {
            asked: format!("'{named}', and there is no such file"),
            hint:
                "name an image's file, or give at least eight digits of the id of one in the store"
                    .to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}
