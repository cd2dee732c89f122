//! The one tree of a finished kernel, of which every format is made.

use super::{Error, Form, MODULES, Rootfs, kernel_modules, stage1};
use crate::compile::KernelArtifacts;
use crate::settings::{RktVersion, Vmlinux};

/// The kernel in a tree: where vimto looks for it in an image.
pub const KERNEL: &str = "boot/vmlinuz";
/// Its configuration.
pub const CONFIG: &str = "boot/config";

/// What a tree is to have besides the kernel and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The bytes of `provenance.json`.
    pub provenance: &'a [u8],
    /// What rkt needs, for a stage1 of this release.
    pub stage1: Option<RktVersion>,
    /// The uncompressed kernel.
    pub vmlinux: Vmlinux,
}

/// The tree of a finished build:
///
/// | path | is |
/// |---|---|
/// | `boot/vmlinuz`, `boot/config` | the kernel and its configuration |
/// | `boot/vmlinuz-<release>` and so on | links, under the names that programs look for |
/// | `usr/lib/modules/<release>` | what [`kernel_modules`] says |
/// | `usr/lib64` | what a stage1 has for itself |
///
/// # Errors
/// When a piece of the build is absent, or the kernel lacks what rkt needs of
/// it although a stage1 is wanted.
pub fn kernel_tree(artifacts: &KernelArtifacts, wanted: &Wanted<'_>) -> Result<Rootfs, Error> {
    let mut tree = kernel_modules(artifacts, wanted.provenance, wanted.vmlinux)?;
    tree.insert_path(KERNEL, &artifacts.image, false)?;
    tree.insert_path(CONFIG, artifacts.build.join(".config"), false)?;
    add_boot_names(&artifacts.release, &mut tree)?;
    if let Some(upstream) = wanted.stage1 {
        stage1::add(artifacts, upstream, &mut tree)?;
    }
    Ok(tree)
}

/// Where bpftool, perf, libbpf and scripts of distributions look first.
fn add_boot_names(release: &str, tree: &mut Rootfs) -> Result<(), Error> {
    let modules = format!("{MODULES}/{release}");
    let mut link =
        |name: &str, target: &str| tree.insert_symlink(&format!("boot/{name}-{release}"), target);
    link("vmlinuz", "vmlinuz")?;
    link("config", "config")?;
    link("System.map", &format!("../{modules}/System.map"))?;
    if tree.get(&format!("{modules}/vmlinux")).is_some() {
        tree.insert_symlink(&format!("boot/vmlinux-{release}"), &format!("../{modules}/vmlinux"))?;
    }
    Ok(())
}

/// The tree of a stage1 image alone, under its own names.
///
/// # Errors
/// As [`kernel_tree`], and when the upstream release is unknown.
pub(super) fn stage1_tree(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    provenance: &[u8],
) -> Result<Rootfs, Error> {
    let wanted = Wanted { provenance, stage1: Some(upstream), vmlinux: Vmlinux::None };
    kernel_tree(artifacts, &wanted)?.placed(Form::stage1(upstream)?)
}
