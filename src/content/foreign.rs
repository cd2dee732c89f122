//! Kernels that others have built, as the same tree that our own have.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::tree::{add_boot_names, add_files};
use super::{
    CONFIG, Candidate, Error, KERNEL, MODULES, Node, Rootfs, release_of, restarts, stage1,
};
use crate::kconfig::DotConfig;
use crate::settings::{Arch, KernelVersion, RktVersion};

/// A kernel that is finished, whoever built it, with what there is beside it.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// The bzImage.
    pub image: PathBuf,
    /// Its configuration, if it is known.
    pub config: Option<PathBuf>,
    /// Folders of modules (`""`), of what they are compiled against
    /// (`"source"`) and of API headers (`"include"`): where they belong below
    /// `/lib/modules/<release>`. Of what several bring, the first one's counts.
    pub parts: Vec<(PathBuf, &'static str)>,
    /// The uncompressed kernel, as it came along.
    pub vmlinux: Option<PathBuf>,
}

/// What is Debian's in a folder that its packages were laid into:
///
/// | package | brings | which comes to |
/// |---|---|---|
/// | `linux-image-<release>` | kernel, configuration, modules | their places |
/// | `linux-headers-<release>`, `-common`, `linux-kbuild-…` | headers, Makefiles and tools | `source` |
/// | `linux-libc-dev` | the API headers | `include` |
///
/// Debian has the headers in two folders of `/usr/src`, which no guest would
/// see; together they are what a build in one folder would have left.
///
/// # Errors
/// When the folder can't be read.
pub fn debians(root: &Path, release: &str) -> Result<Foreign, Error> {
    let headers = root.join("usr/src").join(format!("linux-headers-{release}"));
    let mut parts = Vec::new();
    for (folder, start) in [("usr/src", "linux-headers-"), ("usr/lib", "linux-kbuild-")] {
        for entry in fs::read_dir(root.join(folder)).map_err(Error::Read)? {
            let path = entry.map_err(Error::Read)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(start) && path != headers && path.is_dir() {
                parts.push((path, "source"));
            }
        }
    }
    parts.sort_unstable();
    let api = root.join("usr/include");
    // Its Makefile only includes that of all flavours.
    parts.extend([
        (modules_in(root, release), ""),
        (headers.clone(), "source"),
        (api.join("x86_64-linux-gnu"), "include"),
        (api, "include"),
    ]);
    parts.retain(|(path, _)| path.is_dir());
    let vmlinux = headers.join("vmlinux");
    let vmlinux = vmlinux.is_file().then_some(vmlinux);
    Ok(Foreign { parts, vmlinux, ..Foreign::debians_boot(root, release) })
}

/// Where a root has the modules of a release: Debian moves them to `/usr`.
#[must_use]
pub fn modules_in(root: &Path, release: &str) -> PathBuf {
    let places = ["lib/modules", MODULES].map(|place| root.join(place).join(release));
    let [usual, usr] = places;
    if usr.join("kernel").is_dir() { usr } else { usual }
}

impl Foreign {
    /// The kernel and its configuration alone, of Debian's packages.
    #[must_use]
    pub fn debians_boot(root: &Path, release: &str) -> Self {
        let boot = |name: &str| root.join("boot").join(format!("{name}-{release}"));
        Self { image: boot("vmlinuz"), config: Some(boot("config")), ..Self::default() }
    }

    /// The tree of its image.
    ///
    /// # Errors
    /// When a file can't be read, or the kernel does not say that it is
    /// `release`.
    pub fn tree(&self, release: &str, provenance: &[u8]) -> Result<Rootfs, Error> {
        super::kernel_image::check_release(&self.image, release)?;
        let base = format!("{MODULES}/{release}");
        let mut tree = Rootfs::new();
        tree.insert_path(KERNEL, &self.image, false)?;
        if let Some(config) = &self.config {
            tree.insert_path(CONFIG, config, false)?;
            tree.insert_path(&format!("{base}/config"), config, false)?;
        }
        tree.insert_bytes(&format!("{base}/provenance.json"), provenance.to_vec(), false)?;
        if let Some(vmlinux) = &self.vmlinux {
            tree.insert_path(&format!("{base}/vmlinux"), vmlinux, false)?;
            tree.insert_symlink(&format!("{base}/vmlinux-{release}"), "vmlinux")?;
        }
        self.add_parts(&base, &mut tree)?;
        add_boot_names(release, &mut tree)?;
        tree.remove_dangling_links();
        Ok(tree)
    }

    fn add_parts(&self, base: &str, tree: &mut Rootfs) -> Result<(), Error> {
        for (folder, below) in &self.parts {
            let mut part = Rootfs::new();
            add_files(folder, &mut part, |path| Some(path.to_owned()))?;
            for (path, node) in part.iter().filter(|(path, node)| belongs(path, node)) {
                let path = match *below {
                    "" => format!("{base}/{path}"),
                    below => format!("{base}/{below}/{path}"),
                };
                if tree.get(&path).is_none() {
                    tree.insert(&path, node.clone())?;
                }
            }
        }
        if tree.get(&format!("{base}/source")).is_some() {
            tree.insert_symlink(&format!("{base}/build"), "source")?;
        }
        Ok(())
    }

    /// Refuses a kernel that rkt could not boot. `vmlinux` is the kernel,
    /// uncompressed.
    ///
    /// # Errors
    /// [`Error::NotForRkt`] with all that is lacking.
    pub fn check_bootable(
        &self,
        version: &KernelVersion,
        vmlinux: Option<&[u8]>,
    ) -> Result<(), Error> {
        let config = self.config.as_deref().map(DotConfig::load).transpose();
        let config = config.map_err(Error::Config)?;
        let release = release_of(&self.image)?;
        let restarts = vmlinux.map(restarts).transpose()?.unwrap_or(false);
        let (folder, config) = (release.as_str(), config.as_ref().into());
        Candidate { release: folder, folder, version, config, restarts }.check()
    }
}

/// Adds what a stage1 has besides the kernel.
///
/// # Errors
/// As [`stage1::check`].
pub fn add_stage1(upstream: RktVersion, arch: Arch, tree: &mut Rootfs) -> Result<(), Error> {
    stage1::add_programs(upstream, arch, tree)
}

/// Whether what is in such a folder belongs to it. At the top are links from
/// folder to folder, as the host has them, and things with another place.
fn belongs(path: &str, node: &Node) -> bool {
    let link = matches!(node, Node::Symlink { .. }) && !path.contains('/');
    let elsewhere = path == "vmlinux" || path.starts_with("x86_64-linux-gnu");
    let left_by_a_build =
        path.starts_with(".git/") || path.ends_with(".cmd") || path.ends_with(".o");
    !link && !elsewhere && !left_by_a_build
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What Debian's packages lay out, as small as it can be.
    fn packages(root: &Path) {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x310].copy_from_slice(b"6.1.0-56-amd64 (");
        write(root, "boot/vmlinuz-6.1.0-56-amd64", &image);
        write(root, "boot/config-6.1.0-56-amd64", b"CONFIG_VIRTIO_PCI=m\n");
        for name in ["modules.dep", "kernel/net/9p/9pnet.ko"] {
            write(root, &format!("lib/modules/6.1.0-56-amd64/{name}"), name.as_bytes());
        }
        let arch = "usr/src/linux-headers-6.1.0-56-amd64";
        let common = "usr/src/linux-headers-6.1.0-56-common";
        for name in ["Makefile", ".config", "include/generated/autoconf.h", "vmlinux"] {
            write(root, &format!("{arch}/{name}"), b"of this flavour");
        }
        for name in ["Makefile", "include/linux/kernel.h"] {
            write(root, &format!("{common}/{name}"), b"of all");
        }
        write(root, "usr/lib/linux-kbuild-6.1/scripts/mod/modpost", b"tool");
        for folder in [arch, common] {
            let link = root.join(folder).join("scripts");
            fs::os::unix::fs::symlink("../../lib/linux-kbuild-6.1/scripts", link).unwrap();
        }
        write(root, "usr/include/linux/version.h", b"");
        write(root, "usr/include/x86_64-linux-gnu/asm/unistd.h", b"");
        let build = root.join("lib/modules/6.1.0-56-amd64/build");
        fs::os::unix::fs::symlink(format!("/{arch}"), build).unwrap();
    }

    #[test]
    fn debians_packages_become_the_tree_that_ours_have() {
        let folder = tempfile::tempdir().unwrap();
        packages(folder.path());
        let found = debians(folder.path(), "6.1.0-56-amd64").unwrap();
        let tree = found.tree("6.1.0-56-amd64", b"{}").unwrap();
        let base = "usr/lib/modules/6.1.0-56-amd64";
        for path in [
            "boot/vmlinuz-6.1.0-56-amd64",
            &format!("{base}/modules.dep"),
            &format!("{base}/kernel/net/9p/9pnet.ko"),
            &format!("{base}/build/scripts/mod/modpost"),
            &format!("{base}/build/include/generated/autoconf.h"),
            &format!("{base}/source/include/linux/kernel.h"),
            &format!("{base}/source/.config"),
            &format!("{base}/include/linux/version.h"),
            &format!("{base}/include/asm/unistd.h"),
            &format!("{base}/vmlinux-6.1.0-56-amd64"),
        ] {
            assert!(matches!(tree.resolve(path), Some(Node::File { .. })), "{path}");
        }
        let Some(Node::File { content, .. }) = tree.get(&format!("{base}/source/Makefile")) else {
            panic!("no Makefile");
        };
        let common = folder.path().join("usr/src/linux-headers-6.1.0-56-common/Makefile");
        assert_eq!(*content, super::super::Content::Path(common));
        assert!(tree.get(&format!("{base}/source/vmlinux")).is_none());
    }

    #[test]
    fn rkt_gets_no_kernel_of_debians() {
        let folder = tempfile::tempdir().unwrap();
        packages(folder.path());
        let found = debians(folder.path(), "6.1.0-56-amd64").unwrap();
        let version = KernelVersion::new(6, 1, 192);
        let error = found.check_bootable(&version, Some(b"x")).unwrap_err();
        let text = error.to_string();
        for lack in ["no reboot change", "not 6.1.192 and a suffix", "CONFIG_9P_FS=y is not"] {
            assert!(text.contains(lack), "{text}");
        }
    }
}
