//! What is in an image: an in-memory tree of kernel, headers, units and
//! guest programs.
//!
//! There is one tree for all formats ([`kernel_tree`]); which of its files an
//! image holds, and under which names, is its [`Form`].
//!
//! Nothing is written here. A [`Rootfs`] maps paths to nodes; the bytes of a
//! build's files stay where they are until the image is packed. It only says
//! what matters to an image: kind, bytes, link target and one executable bit;
//! owner, times and exact modes have no place in it, so that they can't
//! differ between two builds.
//!
//! What is checked before a tree is handed on: the kernel says the release
//! that the folder is named after, it has what rkt's init needs built in, it
//! has rkt's reboot change, and every header that users name is there.

mod bootable;
mod foreign;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guest;
mod headers;
mod host_tools;
mod kernel_image;
mod modules;
mod rootfs;
pub(crate) mod scan;
mod stage1;
mod tree;
mod upstream;
mod vmlinux;

use std::io;
use std::path::PathBuf;

pub use bootable::{Candidate, Configuration, Lack};
pub use foreign::{Foreign, add_stage1, debians, modules_in};
pub use form::{Form, STAGE1_MODULES};
pub use guest::{
    BIND_HEADERS, GuestProgram, HOW_TO_HAVE_PROGRAMS, INIT, PROBE, guest_program, guest_programs,
    guest_programs_digest,
};
pub use kernel_image::{REBOOT_TEXT, is_arm64, own_config, release_in, release_of, restarts};
pub use modules::{MODULES, kernel_modules, lacking};
pub use rootfs::{Content, Node, Rootfs};
pub use stage1::{check, stage1_kvm};
pub use tree::{CONFIG, KERNEL, Wanted, kernel_tree, tree_of_files, tree_of_stage1};
pub use upstream::{UPSTREAMS, Upstream};

use crate::report::{Fault, text};
use crate::settings::{Arch, RktVersion};
use crate::{kconfig, proc};

/// Why an image's tree can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that can't be in a tree.
    #[error("'{path}' can't be in the image: {why}")]
    Path {
        /// The path.
        path: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A release of rkt that is not known.
    #[error("no stage1-kvm of rkt {version} is known")]
    Upstream {
        /// Which release.
        version: RktVersion,
    },
    /// A file or folder of the build can't be read.
    #[error("can't read the finished build")]
    Read(#[source] io::Error),
    /// The build lacks something.
    #[error("the finished build has no {path}")]
    Incomplete {
        /// As it would be in the modules folder.
        path: String,
    },
    /// The kernel's file is no bootable image with a version.
    #[error("{} is not a bzImage, or an Image of arm64, that says its version", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// The kernel says another release than its headers' folder.
    #[error("the kernel says it is {found}, its modules folder is for {wanted}")]
    Release {
        /// What it says.
        found: String,
        /// What it should say.
        wanted: String,
    },
    /// A kernel that rkt could not boot, or that would never end.
    #[error("rkt could not boot {release}:{}", lines(.lacks))]
    NotForRkt {
        /// What the kernel says it is.
        release: String,
        /// All that it lacks.
        lacks: Vec<Lack>,
    },
    /// There is no guest program for the architecture.
    #[error("this stage1-builder was built without the programs for {arch}")]
    NoProgram {
        /// Which architecture.
        arch: Arch,
    },
    /// No program that strips.
    #[error("{program}: program not found")]
    NoStrip {
        /// Its name.
        program: String,
    },
    /// Stripping a tool failed.
    #[error("can't strip the build's tools")]
    Strip(#[source] proc::Error),
    /// The folder for temporary files can't be used.
    #[error("can't use a temporary folder")]
    Scratch(#[source] io::Error),
    /// The build's configuration can't be read.
    #[error("can't read the build's configuration")]
    Config(#[source] kconfig::Error),
    /// A search that can't be made.
    #[error("can't search for the texts")]
    Needles(#[source] regex::Error),
}

fn lines(lacks: &[Lack]) -> String {
    lacks.iter().map(|lack| format!("\n  {lack}")).collect()
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Path { .. } | Self::Needles(_) => Fault::Internal,
            Self::Upstream { .. } => Fault::Settings,
            Self::NoProgram { .. } | Self::NoStrip { .. } => Fault::MissingTools,
            Self::Config(error) => error.fault(),
            Self::Read(_) | Self::Scratch(_) => Fault::Storage,
            Self::Strip(error) => error.signal().map_or(Fault::Compile, Fault::from),
            Self::Incomplete { .. }
            | Self::NotAnImage { .. }
            | Self::Release { .. }
            | Self::NotForRkt { .. } => Fault::Compile,
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream { .. } => {
                let known = (UPSTREAMS.first()?.version, UPSTREAMS.last()?.version);
                Some(format!("S1B_UPSTREAM_STAGE1_KVM_VERSION can be {} to {}", known.0, known.1))
            }
            Self::NotForRkt { .. } => Some(
                "build it from its source (stage1-builder build VERSION); as it is, with its \
                 modules, it can be run: stage1-builder run --kernel debian:VERSION, or an image of \
                 build --kernel-image FILE --modules DIR --format oci"
                    .to_owned(),
            ),
            Self::NoProgram { .. } => Some(HOW_TO_HAVE_PROGRAMS.to_owned()),
            Self::NoStrip { .. } => Some("apt-get install binutils".to_owned()),
            Self::Read(error) | Self::Scratch(error) => text::storage_hint(error),
            _ => None,
        }
    }
}
