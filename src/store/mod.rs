//! What is kept between builds, and who may touch it.
//!
//! ```text
//! <cache>/
//!   downloads-v1/                 verified archives (laid out by `source`)
//!   apt-v1/                       apt's private state (laid out by `source`)
//!   work-v1/<source>-<arch>-<n>/  a workspace: one source tree and its objects
//!     linux/                      the patched tree, objects in linux/stage1-objects/
//!     source.json                 which source that is; written after linux/ is whole
//!     pristine/                   originals of the files that patches touched
//!     kernel.json                 the kernel key that the objects are finished for
//!     build.log                   everything that make said
//!   work-v1/<source>-<arch>.objects.json   how many objects its whole builds had
//!   work-v1/.s1b-tmp-<...>/linux/ a tree that is unpacked while its archive comes (by `source`)
//!   work-v1/<...>.lock            held by the builder that uses the workspace
//!   work-v1/<...>.make.lock       held by it, make and the compilers
//!   images-v1/<key>/              one image, renamed in as one; its date is its last use
//!     image.aci                   its only file: the ACI itself,
//!     image.oci.tar               or the archive of an OCI layout,
//!     image.tar.gz                or plain files
//!     record.json                 format, id, name, labels, digest of the file
//!     placed.json, laid-out.json  what its copies elsewhere had for stamps
//!   images-v1/<kernel key>.lock   held while images of that kernel are being made
//!   kernels-v1/<file's digest>/   a kernel and its folder, taken out of an image to be booted
//!     module-<n>-<name>.ko        what a guest loads first, of a kernel with such modules
//!     files.json                  the digests of the files there
//!   kernels-v1/<digest>.vmlinux   the kernel proper of a bzImage of the user's own
//!   toolchains-v1/<archive>-<digest>/   a toolchain, unpacked, and beside it
//!   toolchains-v1/<...>.json      the record that makes it count (both laid out by `source`)
//!   host-v1/kvm.json              whether guests run under KVM on this host
//!   containers-v1/                container images (laid out by `container`)
//! ```
//!
//! What is in use is known by a lock: a workspace, or a download under way,
//! by the lock beside it; an image, a kernel under a machine, an unpacked
//! container, a toolchain and an archive that is read by a shared lock on the
//! file or folder itself ([`crate::fsutil::Hold`]). [`tidy`] removes nothing without
//! having taken that lock for itself.
//!
//! Every image is checked against its record before it stands at its place,
//! is written to elsewhere or opened to be booted, and every archive before it is unpacked.
//! What has other bytes than it was made with is named and removed, and
//! `pipeline` makes or fetches it again. Records hold their own digest
//! ([`crate::kept`]); a damaged one counts as absent.
//!
//! A folder's name carries the version of its layout: a newer layout gets a
//! new name, and never misreads an old one. Everything becomes visible by a
//! rename; what a killed process left under a temporary name is swept by the
//! next one that holds the lock. What a killed builder left running keeps the
//! second lock of its workspace until it is done.

mod check;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gc;
mod images;
mod placed;
mod sealed;
mod workspace;

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::fsutil::{self, Hold};
use crate::pack;
use crate::proc::interrupt;
use crate::report::{Fault, text};

pub use check::{Checked, archive as check_archive, check};
pub use gc::{Bucket, Item, Limits, Tidied, tidy};
pub use images::{Found, ImageStore, NewImage, Record};
pub use sealed::seal;
pub use workspace::{SourceStamp, Workspace, source_tree, source_trees};

/// Something in the store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed; names the path.
        source: io::Error,
    },
    /// An image that can't be written to its place.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// A file of the store has other bytes than it was made with.
    #[error("{} is damaged: it has {found}, and was made with {expected}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it was made with.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// A record that can't be read any more, and all that it told of.
    #[error("{} is damaged: what it told of must be made again", path.display())]
    DamagedRecord {
        /// The record.
        path: PathBuf,
    },
    /// No image has an id that begins so.
    #[error("no image in the store is {id}")]
    NoImage {
        /// What was asked for.
        id: String,
    },
    /// Several ids begin so.
    #[error("{} images have an id that begins with {id}: {}", ids.len(), ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// The ids.
        ids: Vec<String>,
    },
    /// It can't be removed as long as somebody uses it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },
    /// Asked to stop while waiting for another process.
    #[error("stopped by {0} while waiting for another build")]
    Interrupted(interrupt::Signal),
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| match (source.kind(), interrupt::requested()) {
            (io::ErrorKind::Interrupted, Some(signal)) => Self::Interrupted(signal),
            _ => Self::Io { doing, source },
        }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::InUse { .. } => Fault::Storage,
            Self::Pack(error) => error.fault(),
            Self::Damaged { .. } | Self::DamagedRecord { .. } => Fault::Archive,
            Self::NoImage { .. } | Self::Ambiguous { .. } => Fault::NotFound,
            Self::Interrupted(signal) => (*signal).into(),
        }
    }

    /// The change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => text::storage_hint(source),
            Self::Pack(error) => error.hint(),
            Self::Damaged { .. } | Self::DamagedRecord { .. } => Some(
                "stage1-builder images verify --repair removes what is damaged; it is made again \
                 when it is asked for"
                    .to_owned(),
            ),
            Self::NoImage { .. } => Some(
                "give at least eight digits of an id that `stage1-builder images` lists".to_owned(),
            ),
            Self::Ambiguous { .. } => Some("give more of the digits".to_owned()),
            Self::InUse { .. } => Some("try again when it has ended".to_owned()),
            Self::Interrupted(_) => None,
        }
    }
}

/// The store's root folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// A store in `root`; nothing is created until it is needed.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where verified archives lie.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads-v1")
    }

    /// Where apt keeps the lists that we refresh ourselves.
    #[must_use]
    pub fn apt_state(&self) -> PathBuf {
        self.root.join("apt-v1")
    }

    /// Where workspaces lie, unless the user names a folder.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("work-v1")
    }

    /// Where container images lie.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers-v1")
    }

    /// Where kernels lie, taken out of their images to be booted.
    #[must_use]
    pub fn kernels(&self) -> PathBuf {
        self.root.join("kernels-v1")
    }

    /// Where toolchains lie, unpacked.
    #[must_use]
    pub fn toolchains(&self) -> PathBuf {
        self.root.join("toolchains-v1")
    }

    /// What was found out about this host.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.root.join("host-v1")
    }

    /// Removes the kernel that was taken out of an image's file to be booted,
    /// if there is one and nobody runs on it.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget_kernel(&self, file: &Digest) -> Result<(), Error> {
        match discard(&self.kernels().join(file.hex())) {
            // Whoever runs on it has it as long as that takes.
            Err(Error::InUse { .. }) => Ok(()),
            other => other,
        }
    }

    /// The finished images.
    #[must_use]
    pub fn images(&self) -> ImageStore {
        ImageStore::new(self.root.join("images-v1"))
    }
}

/// Removes a file or folder that nobody uses.
fn discard(path: &Path) -> Result<(), Error> {
    let removing = || Error::io(format!("can't remove {}", path.display()));
    let alone = Hold::alone(path).map_err(removing())?;
    if alone.is_none() && path.exists() {
        return Err(Error::InUse { path: path.to_owned() });
    }
    fsutil::remove_all(path).map_err(removing())
}
