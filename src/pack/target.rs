//! Images of one tree, written together.

use std::fs::File;

use super::aci::{self, Manifest};
use super::archive::Shape;
use super::pass::Pass;
use super::{Error, Packed, WriteOptions, oci};
use crate::content::{Form, Rootfs};
use crate::digest::Algorithm;
use crate::report::Reporter;
use crate::settings::Compression;

/// An image to be written, with what its format says of it.
#[derive(Debug)]
pub enum Kind {
    /// An App Container Image.
    Aci {
        /// What it says of itself.
        manifest: Manifest,
        /// Where the tree's files are in it.
        form: Form,
    },
    /// An OCI image.
    Oci(oci::About),
    /// Plain files.
    Dir,
}

/// An image to be written, and the empty file that it goes to.
#[derive(Debug)]
pub struct Target<'a> {
    /// The image.
    pub kind: Kind,
    /// The file.
    pub to: &'a mut File,
}

impl Kind {
    fn shape(&self, options: &WriteOptions) -> Shape {
        match self {
            Self::Aci { form, .. } => aci::shape(*form, options),
            Self::Oci(_) => oci::shape(options),
            Self::Dir => Shape {
                form: Form::Plain,
                prefix: "",
                algorithm: Algorithm::Sha256,
                compression: Compression::Gzip,
                epoch: options.epoch,
            },
        }
    }
}

/// Writes images of one tree (of [`crate::content::kernel_tree`]) in one pass
/// over it; gives them in the order of the targets.
///
/// # Errors
/// When a file can't be read, changes while it is read or holds a forbidden
/// byte string, and when an image's file can't be written.
pub fn write_all(
    tree: &Rootfs,
    targets: &mut [Target<'_>],
    options: &WriteOptions,
    reporter: &dyn Reporter,
) -> Result<Vec<Packed>, Error> {
    let (kinds, mut files): (Vec<&Kind>, Vec<&mut File>) =
        targets.iter_mut().map(|target| (&target.kind, &mut *target.to)).unzip();
    for (kind, to) in kinds.iter().zip(&mut files) {
        if let Kind::Oci(_) = kind {
            oci::begin(to, options.epoch)?;
        }
    }
    let shapes = kinds.iter().map(|kind| kind.shape(options)).zip(files).collect();
    let mut pass = Pass::new(shapes, options, reporter)?;
    for (kind, archive) in kinds.iter().zip(pass.archives()) {
        if let Kind::Aci { manifest, .. } = kind {
            aci::begin(archive, manifest)?;
        }
    }
    let archived = pass.write(tree)?;
    let finished = targets.iter_mut().zip(archived);
    finished
        .map(|(Target { kind, to }, archived)| match kind {
            Kind::Aci { .. } | Kind::Dir => Ok(aci::packed(archived)),
            Kind::Oci(about) => oci::finish(to, about, &archived, options),
        })
        .collect()
}
