//! A layout as a folder, of an archive of ours.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::pack::Error;
use crate::pack::layout::{put_in_place, unpack_archive};

/// The file that makes a folder a layout.
pub const MARK: &str = "oci-layout";
/// What is in a layout's folder.
pub const NAMES: &[&str] = &["blobs", "index.json", MARK];

/// Lays an archive out as a folder at `into`, in place of a layout that was
/// there before.
///
/// # Errors
/// When `into` is something else or can't be written, or the archive is
/// damaged.
pub fn unpack(archive: impl Read, into: &Path) -> Result<(), Error> {
    put_in_place(into, NAMES, |top| unpack_archive(archive, top))
}

/// The layer's file in a layout of ours.
///
/// # Errors
/// When it is none of ours.
pub fn layer_of(layout: &Path) -> Result<PathBuf, Error> {
    let blob = |digest: &Value| {
        let hex = digest.as_str()?.strip_prefix("sha256:")?;
        Some(layout.join("blobs/sha256").join(hex))
    };
    let index: Value = read(&layout.join("index.json"))?;
    let not = || Error::NotAnImage { why: "it has no image of one layer" };
    let manifest = blob(&index["manifests"][0]["digest"]).ok_or_else(not)?;
    let manifest: Value = read(&manifest)?;
    blob(&manifest["layers"][0]["digest"]).ok_or_else(not)
}

fn read(path: &Path) -> Result<Value, Error> {
    serde_json::from_slice(&fs::read(path).map_err(Error::Read)?).map_err(Error::Manifest)
}
