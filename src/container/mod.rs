//! Container images: from a name as typed to a root filesystem that a guest
//! can mount, and what the image says of its process.
//!
//! ```text
//! Root::parse -> Reference -> Found (name, configuration, layers) -> Container
//! ```
//!
//! An image becomes one read-only squashfs file with its true owners, modes,
//! times, links, devices and extended attributes. That takes no root and no
//! other program: layers are read as streams, their names are kept in memory,
//! their bytes go straight into the squashfs, and nothing of an image is ever
//! written to a path that the image names.
//!
//! ```text
//! <folder>/
//!   blobs/sha256/<hex>         of registries: manifests, configurations, layers
//!   blobs/sha256/<hex>.part    a download that is not whole; the next run goes on with it
//!   blobs/sha256/<hex>.lock    held while that blob is fetched
//!   names/<hash>.json          what a name was resolved to, for one architecture
//!   images/<key>/              rootfs.squashfs and image.json, renamed in as one
//!   images/<key>.lock          held while that image is made
//! ```
//!
//! What always holds: a blob is whole and is what its name says. Every layer
//! is checked twice, as it was sent (its digest) and as it was packed (its
//! diff id, in the configuration). An image's key is the digest of its
//! configuration, which names all of its layers, and the version of what we
//! make of it; so whoever made it first made it for all. What a killed run
//! left under `images/.s1b-tmp-<key>` is swept by the next that has the lock.

mod aci;
mod archive;
mod blobs;
mod credentials;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod images;
mod kernel;
mod layer;
mod layout;
mod manifest;
mod parts;
mod process;
mod reference;
mod registry;
mod squashfs;
mod tar;
mod tree;
mod unpack;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use kernel::{KernelImage, Unpacked};
pub use process::{MountPoint, Process};
pub use reference::{Reference, RegistryName, Root};

use crate::digest::Digest;
use crate::http::Patience;
use crate::report::Reporter;
use crate::settings::Arch;
use blobs::Blobs;
use images::Slot;
use manifest::Descriptor;
use parts::{Found, Place};
use unpack::Ready;

/// When a registry is asked; in rkt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Not at all: what is not in the store is an error.
    Never,
    /// Only for what is not in the store.
    #[default]
    New,
    /// Always; what has not changed is not fetched again.
    Update,
}

/// How much an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all of its layers' plain archives together.
    pub bytes: u64,
    /// Entries of all of its layers together.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB and two million entries: several times the biggest images that
    /// people run, and still less than a disk and a gigabyte of memory.
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 2_000_000 }
    }
}

/// What the room needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The folder that is laid out as above.
    pub folder: &'a Path,
    /// The machine that the image is for.
    pub arch: Arch,
    /// When a registry is asked.
    pub pull: PullPolicy,
    /// Speak HTTP without encryption to registries that know nothing else.
    /// Those on this machine may always do so.
    pub insecure_http: bool,
    /// Take any certificate.
    pub insecure_tls: bool,
    /// The file of names and passwords; `None` for docker's own.
    pub credentials: Option<&'a Path>,
    /// How much an image may be.
    pub limits: Limits,
    /// How long to wait for servers.
    pub patience: Patience,
}

/// An image, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The image's id: the digest of its configuration, or an ACI's own.
    pub id: Digest,
    /// As the user should read it.
    pub name: String,
    /// The root filesystem, a squashfs file in the store. Read only.
    pub rootfs: PathBuf,
    /// What the image says of its process.
    pub process: Process,
}

/// Brings an image into the store, if it is not there, and unpacks it.
///
/// # Errors
/// When it can't be found, fetched, verified, understood or written; then
/// there is nothing of it but blobs that are whole.
pub fn provide(
    reference: &Reference,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Container, Error> {
    let found = match reference {
        Reference::Registry(name) => registry::find(name, options, reporter)?,
        Reference::OciLayout { path, tag } => {
            layout::find_in_folder(path, tag.as_deref(), options)?
        }
        Reference::Archive { path, tag } => archive::find(path, tag.as_deref(), options)?,
        Reference::Aci(path) => return aci::provide(path, options, reporter),
    };
    let slot = Slot::of(options.folder, &found.id)?;
    let record = slot.get_or_make(&found.name, reporter, |file| {
        if let Reference::Registry(name) = reference {
            registry::fetch(name, &remote(&found), options, reporter)?;
        }
        let ready = ready(&found, options)?;
        unpack::unpack(&found, &ready, file, options, reporter)
    })?;
    let rootfs = slot.rootfs();
    Ok(Container { id: record.id, name: found.name, rootfs, process: record.process })
}

/// The layers that are in a registry.
fn remote(found: &Found) -> Vec<&Descriptor> {
    let remote = found.layers.iter().filter_map(|layer| match &layer.place {
        Place::Remote(descriptor) => Some(descriptor),
        Place::Here(..) => None,
    });
    remote.collect()
}

/// The layers as they lie in files.
fn ready<'a>(found: &'a Found, options: &Options) -> Result<Vec<Ready<'a>>, Error> {
    let blobs = Blobs::new(options.folder);
    let ready = found.layers.iter().map(|layer| {
        let (section, digest) = match &layer.place {
            Place::Here(section, digest) => (section.clone(), digest.as_ref()),
            // Checked when it was fetched; the diff id finds what a disk lost.
            Place::Remote(descriptor) => {
                let absent = || Error::NotHere { name: layer.what.clone() };
                (blobs.get(descriptor).ok_or_else(absent)?, None)
            }
        };
        Ok(Ready { what: &layer.what, section, digest, diff_id: &layer.diff_id })
    });
    ready.collect()
}
