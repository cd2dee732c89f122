//! A layout as a folder, of an archive of ours.

use std::io::Read;
use std::path::Path;

use crate::pack::Error;
use crate::pack::layout::{put_in_place, unpack_archive};

/// What is in a layout's folder.
pub const NAMES: &[&str] = &["blobs", "index.json", "oci-layout"];

/// Lays an archive out as a folder at `into`, in place of a layout that was
/// there before.
///
/// # Errors
/// When `into` is something else or can't be written, or the archive is
/// damaged.
pub fn unpack(archive: impl Read, into: &Path) -> Result<(), Error> {
    put_in_place(into, NAMES, |top| unpack_archive(archive, top))
}
