//! From a tree to the file of an image, and back.
//!
//! Same tree, same manifest, same epoch: same bytes, whoever packs where and
//! on how many processors. Entries are sorted, owned by 0:0 and of one time;
//! compression is cut by size alone. An image's id is the digest of the
//! uncompressed archive, so a recompressed image is the same image.
//!
//! Several images come of one pass over the tree ([`write_all`]), each in one
//! file:
//!
//! | format | file |
//! |---|---|
//! | `aci` | the image itself |
//! | `oci` | an archive of the layout, with its one layer first |
//! | `dir` | a tar of the files, gzipped |
//!
//! Nothing here decides where a file goes: [`aci::write`] takes a writer, and
//! callers give it an [`crate::fsutil::AtomicFile`].

pub mod aci;
mod archive;
mod compression;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod layout;
pub mod oci;
mod pass;
mod target;
mod whole;

use std::io;
use std::num::NonZero;
use std::path::PathBuf;

pub use crate::settings::Compression;
pub use layout::{check_replaceable, lay_out_image, unpack_files, write_dir};
pub use target::{Kind, Target, write_all};
pub use whole::{Said, Whole};

use crate::content;
use crate::digest::Digest;
use crate::proc::interrupt;
use crate::report::{Fault, text};

/// How an image is written.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Every entry's time, in seconds since 1970.
    pub epoch: u64,
    /// The file's compression. The image's id does not depend on it.
    pub compression: Compression,
    /// Byte strings that no file, name or link may hold: the folders of this
    /// machine. Empty ones are passed over.
    pub forbidden: Vec<Vec<u8>>,
    /// Compressing threads; as many as there are processors unless given. The
    /// file does not depend on it.
    pub threads: Option<NonZero<usize>>,
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The image's id: of an ACI the SHA-512 of the uncompressed archive, of
    /// an OCI image the SHA-256 of its configuration, of files the SHA-256 of
    /// the uncompressed archive.
    pub id: Digest,
    /// SHA-256 of the file.
    pub file: Digest,
    /// Bytes of the uncompressed archive.
    pub tar_size: u64,
    /// Bytes of the file.
    pub file_size: u64,
}

/// Why an image can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is in it is wrong.
    #[error(transparent)]
    Content(content::Error),
    /// A name that the specification does not allow.
    #[error("'{name}' is not an image name")]
    ImageName {
        /// The name.
        name: String,
    },
    /// A file to be packed, or an image, can't be read.
    #[error("can't read what belongs to the image")]
    Read(#[source] io::Error),
    /// The image can't be written.
    #[error("can't write the image")]
    Write(#[source] io::Error),
    /// A file can't be read, or the image not written, while it is packed.
    #[error("can't pack {}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// We were asked to stop.
    #[error("stopped by {0}")]
    Interrupted(interrupt::Signal),
    /// A file has another size than a moment ago.
    #[error("{} changed while it was packed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file holds a path of this machine.
    #[error("{path} would carry '{found}' into the image")]
    Leak {
        /// The path in the image.
        path: String,
        /// The forbidden byte string.
        found: String,
    },
    /// The forbidden byte strings can't be searched for.
    #[error("can't search for the forbidden texts")]
    Forbidden(#[source] regex::Error),
    /// A manifest that can't be read (or written).
    #[error("the image's manifest is damaged")]
    Manifest(#[source] serde_json::Error),
    /// A manifest of something else.
    #[error("the manifest is of kind '{kind}' and named '{name}', not an image's")]
    NotAManifest {
        /// Its `acKind`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An archive that is no image.
    #[error("not an image: {why}")]
    NotAnImage {
        /// Why.
        why: &'static str,
    },
    /// An archive that can't be unpacked.
    #[error("the image is damaged")]
    Damaged(#[source] io::Error),
    /// A path in an image that leaves it.
    #[error("the image has a path that leaves it: '{path}'")]
    Escape {
        /// The path.
        path: String,
    },
    /// The caller's part of reading failed.
    #[error("can't take the image's files")]
    Visit(#[source] io::Error),
    /// A folder that is not ours to replace.
    #[error("{} is not an image's folder: it has '{found}' in it", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Content(error) => error.fault(),
            Self::ImageName { .. } | Self::Foreign { .. } => Fault::Settings,
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => Fault::NotFound,
            Self::Read(_)
            | Self::Write(_)
            | Self::Copy { .. }
            | Self::Changed { .. }
            | Self::Visit(_) => Fault::Storage,
            Self::Leak { .. } => Fault::Compile,
            Self::Interrupted(signal) => (*signal).into(),
            Self::Forbidden(_) => Fault::Internal,
            Self::Manifest(_)
            | Self::NotAManifest { .. }
            | Self::NotAnImage { .. }
            | Self::Damaged(_)
            | Self::Escape { .. } => Fault::Archive,
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Content(error) => error.hint(),
            Self::ImageName { .. } => {
                Some("lower-case words and digits, joined by one of - . _ ~ /".to_owned())
            }
            Self::Foreign { path, .. } => {
                Some(format!("name a new or empty folder, or move {} away", path.display()))
            }
            Self::Leak { .. } => Some(
                "the build left a path of this machine in that file; build in another folder, or \
                 report it"
                    .to_owned(),
            ),
            Self::Read(error)
            | Self::Write(error)
            | Self::Copy { source: error, .. }
            | Self::Visit(error) => text::storage_hint(error),
            _ => None,
        }
    }
}
