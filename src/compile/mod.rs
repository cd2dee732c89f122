//! From a source tree and a configuration to a kernel, its headers and what
//! else an image holds.
//!
//! On disk, in the (private, writable) source tree:
//!
//! ```text
//! <tree>/stage1-objects/           the object folder (make's O=)
//!     .config, vmlinux, System.map, Module.symvers, include/, scripts/ ...
//!     api-headers/include/         what headers_install gave, whole or absent
//!     .stage1-stamp                toolchain and variables of what lies here
//!     .stage1-pahole               pahole without its threads
//!     .stage1-running              while make runs; left by one that was killed
//! ```
//!
//! What always holds:
//!
//! - The object folder is a direct child of the tree. Since 3.16 the kernel's
//!   top makefile then reaches the sources by `..`, on every series, so that
//!   no absolute path gets to the compiler and builds in different folders
//!   come out equal. The few that remain (folders in debugging information,
//!   the host tools) are mapped to `.`.
//! - A folder whose stamp differs from the build at hand is wiped: old
//!   kernels don't notice another compiler.
//! - make and its children hold the work folder's lock as their stdin; it is
//!   not free before the last of them is gone, even if we were killed.

mod depmod;
mod error;
mod failure;
pub mod fixes;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headers;
mod job;
mod make;
mod openssl;
mod pahole;
mod progress;
mod requirements;
mod stamp;
mod toolchain;
mod unfinished;
mod variables;

use std::path::PathBuf;

use crate::settings::{Arch, KernelVersion, Series};

pub use depmod::Depmod;
pub use error::Error;
pub use failure::Failure;
pub use fixes::Fix;
pub use job::{CONFIG_FOLDER, Compiled, Job, OBJECT_FOLDER};
pub use progress::estimated_objects;
pub use requirements::{Manager, Missing, SIGNS, install_command, missing, needs_openssl, survey};
pub use toolchain::{
    Compiler, Family, Tool, ToolVersion, Toolchain, Wanted, cross_prefix, first_line, version_line,
};

/// The first series that can write type information (BTF) of itself:
/// e83b9f55448a, "kbuild: add ability to generate BTF type info for vmlinux".
pub const BTF_SINCE: Series = Series { major: 5, minor: 2 };

/// A finished build: where its pieces lie. All paths are absolute.
#[derive(Debug, Clone)]
pub struct KernelArtifacts {
    /// Which kernel it is.
    pub version: KernelVersion,
    /// For which architecture.
    pub arch: Arch,
    /// What `uname -r` says: `<version><suffix>`.
    pub release: String,
    /// The (patched) source tree.
    pub tree: PathBuf,
    /// The object folder, with `.config`, `System.map`, `Module.symvers`,
    /// `vmlinux`, `include/generated` and the host tools.
    pub build: PathBuf,
    /// The bootable image: `arch/x86/boot/bzImage` in the object folder, or
    /// `arch/arm64/boot/Image`.
    pub image: PathBuf,
    /// Where `headers_install` put the API headers: the folder that holds
    /// `linux/`, `asm/` and so on.
    pub api_headers: PathBuf,
    /// Seconds since 1970 that stand for this source everywhere.
    pub epoch: u64,
}
