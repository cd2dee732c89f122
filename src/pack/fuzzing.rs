//! What is tried with images that are laid out. See [`crate::fuzzing`].

use std::io::BufReader;

use fs_err as fs;

use super::compression::decompressed;
use super::layout::unpack_archive;
use super::oci;
use crate::fuzzing::{folder, summed};

/// An archive of files or of an OCI layout, in whatever compression: nothing
/// is written beside its folder, and no blob of it lies elsewhere.
pub fn image_folder(bytes: &[u8]) {
    let top = folder();
    let (beside, into) = (top.path().join("beside"), top.path().join("into"));
    let archive = summed(bytes);
    assert!(fs::write(&beside, "as it was").is_ok());
    if let Ok(plain) = decompressed(BufReader::new(&archive[..])) {
        _ = unpack_archive(plain, &into);
    }
    assert_eq!(fs::read(&beside).ok().as_deref(), Some(&b"as it was"[..]));
    assert!(fs::read_dir(top.path()).is_ok_and(|names| names.count() <= 2));
    if let Ok(layer) = oci::layer_of(&into) {
        assert_eq!(layer.parent(), Some(into.join("blobs/sha256").as_path()));
    }
}
