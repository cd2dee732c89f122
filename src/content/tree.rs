//! The one tree of a finished kernel, of which every format is made.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use walkdir::WalkDir;

use super::rootfs::text;
use super::{Error, Form, MODULES, Node, Rootfs, STAGE1_MODULES, kernel_modules, stage1};
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
    /// Whether a stage1 may have a configuration that rkt could not boot.
    pub any_config: bool,
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
        stage1::add(artifacts, upstream, wanted.any_config, &mut tree)?;
    }
    Ok(tree)
}

/// Where bpftool, perf, libbpf and scripts of distributions look first.
pub(super) fn add_boot_names(release: &str, tree: &mut Rootfs) -> Result<(), Error> {
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
    any_config: bool,
) -> Result<Rootfs, Error> {
    let stage1 = Some(upstream);
    let wanted = Wanted { provenance, stage1, any_config, vmlinux: Vmlinux::None };
    kernel_tree(artifacts, &wanted)?.placed(Form::stage1(upstream)?)
}

/// The tree of plain files that lie in a folder.
///
/// # Errors
/// When they can't be read, or one is nothing that a tree has.
pub fn tree_of_files(folder: &Path) -> Result<Rootfs, Error> {
    let mut tree = Rootfs::new();
    add_files(folder, &mut tree, |path| Some(path.to_owned()))?;
    Ok(tree)
}

/// The tree that a stage1 image was made of, whose root lies in a folder.
///
/// # Errors
/// As [`tree_of_files`].
pub fn tree_of_stage1(folder: &Path, release: &str) -> Result<Rootfs, Error> {
    let mut tree = Rootfs::new();
    add_files(folder, &mut tree, |path| match path.strip_prefix(STAGE1_MODULES) {
        Some(below) => Some(format!("{MODULES}{below}")),
        None if ["kernel_image", "bzImage"].contains(&path) => Some(KERNEL.to_owned()),
        None => None,
    })?;
    let config = folder.join(STAGE1_MODULES).join(release).join("config");
    tree.insert_path(CONFIG, config, false)?;
    add_boot_names(release, &mut tree)?;
    Ok(tree)
}

pub(super) fn add_files(
    folder: &Path,
    tree: &mut Rootfs,
    place: impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    for found in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let found = found.map_err(|error| Error::Read(error.into()))?;
        let Some(path) = place(text(found.path().strip_prefix(folder).unwrap_or(found.path()))?)
        else {
            continue;
        };
        let metadata = found.metadata().map_err(|error| Error::Read(error.into()))?;
        if metadata.is_symlink() {
            let target = fs::read_link(found.path()).map_err(Error::Read)?;
            tree.insert_symlink(&path, text(&target)?)?;
        } else if metadata.is_dir() {
            tree.insert(&path, Node::Dir)?;
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            tree.insert_path(&path, found.path(), executable)?;
        }
    }
    Ok(())
}
