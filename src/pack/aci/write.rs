//! Writing an image: one pass from the tree to the file, no copy of it in
//! memory.

use std::io::Write;

use super::Manifest;
use crate::content::{Form, Rootfs};
use crate::digest::Algorithm;
use crate::pack::archive::{Archive, Archived, Shape};
use crate::pack::pass::Pass;
use crate::pack::{Error, Packed, WriteOptions};
use crate::report::Reporter;

/// Writes an image (`manifest` and `rootfs/…`) of all that is in `rootfs` to
/// `to`.
///
/// # Errors
/// When a file can't be read, changes while it is read or holds a forbidden
/// byte string, and when `to` refuses.
pub fn write(
    manifest: &Manifest,
    rootfs: &Rootfs,
    options: &WriteOptions,
    to: &mut impl Write,
    reporter: &dyn Reporter,
) -> Result<Packed, Error> {
    let mut pass = Pass::new(vec![(shape(Form::Whole, options), to)], options, reporter)?;
    for archive in pass.archives() {
        begin(archive, manifest)?;
    }
    let archived = pass.write(rootfs)?;
    archived.into_iter().next().map(packed).ok_or(Error::NotAnImage { why: "nothing was written" })
}

/// What an image's archive has for itself.
pub(in crate::pack) fn shape(form: Form, options: &WriteOptions) -> Shape {
    Shape {
        form,
        prefix: "rootfs/",
        algorithm: Algorithm::Sha512,
        compression: options.compression,
        epoch: options.epoch,
    }
}

/// Writes what stands before the tree.
pub(in crate::pack) fn begin<W: Write>(
    archive: &mut Archive<W>,
    manifest: &Manifest,
) -> Result<(), Error> {
    let bytes = manifest.to_json()?;
    let size = bytes.len() as u64;
    archive.file("manifest", false, size, bytes.as_slice()).map_err(Error::Write)?;
    archive.folder("rootfs")
}

/// The image that an archive is.
pub(in crate::pack) fn packed(archived: Archived) -> Packed {
    let Archived { plain: (id, tar_size), written: (file, file_size) } = archived;
    Packed { id, file, tar_size, file_size }
}
