//! From a source tree and a configuration to a kernel, its headers and what
//! else an image holds.

use std::path::PathBuf;

use crate::settings::{Arch, KernelVersion};

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
    /// The bootable image, `arch/x86/boot/bzImage` in the object folder.
    pub image: PathBuf,
    /// Where `headers_install` put the API headers: the folder that holds
    /// `linux/`, `asm/` and so on.
    pub api_headers: PathBuf,
    /// Seconds since 1970 that stand for this source everywhere.
    pub epoch: u64,
}
