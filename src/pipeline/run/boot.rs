//! A kernel taken out of its image, ready to boot.
//!
//! A machine boots a file, and mounts the kernel's folder of modules and
//! headers as a disk: both are laid beside each other in the store, once for
//! each image, under the digest of the image's file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::fsutil::{self, AtomicFolder, Lock};
use crate::pack::aci;
use crate::proc::interrupt;
use crate::report::Reporter;
use crate::{container, content, store, vm};

use super::super::Error;

const KERNEL: &str = "kernel";
const VMLINUX: &str = "vmlinux";
const IMAGE: &str = "image.squashfs";

/// What was taken out.
#[derive(Debug)]
pub(super) struct Boot {
    /// What boots quickest: the kernel proper, or its bzImage.
    pub(super) kernel: PathBuf,
    /// All that is in the image, as a squashfs.
    pub(super) image: PathBuf,
    /// `uname -r`.
    pub(super) release: String,
}

/// The kernel of this image, taken out if it is not there yet.
pub(super) fn provide(
    folder: &Path,
    image: &Path,
    digest: &Digest,
    reporter: &dyn Reporter,
) -> Result<Boot, Error> {
    let target = folder.join(digest.hex());
    if let Some(boot) = found(&target) {
        return Ok(boot);
    }
    let doing = || store::Error::io("can't take a kernel out of its image");
    let lock = folder.join(format!("{}.lock", digest.hex()));
    let _lock = Lock::acquire(&lock, || {}, || interrupt::requested().is_some()).map_err(doing())?;
    if let Some(boot) = found(&target) {
        return Ok(boot);
    }
    reporter.detail(format!("taking the kernel out of {}", image.display()));
    let making = AtomicFolder::create(folder).map_err(doing())?;
    let kernel = making.path().join(KERNEL);
    take_kernel(image, &kernel)?;
    unpack_kernel(&kernel, &making.path().join(VMLINUX)).map_err(doing())?;
    let file = create(&making.path().join(IMAGE)).map_err(doing())?;
    let file = container::stage1_rootfs(image, file)?;
    file.sync_all().map_err(doing())?;
    making.commit(&target).map_err(doing())?;
    found(&target).ok_or_else(|| Error::Missing {
        what: "the image",
        path: image.to_owned(),
        why: "its kernel does not say its release".to_owned(),
        hint: "build it anew".to_owned(),
    })
}

/// What lies there is whole: it came by a rename.
fn found(target: &Path) -> Option<Boot> {
    let (kernel, image) = (target.join(KERNEL), target.join(IMAGE));
    let release = content::release_of(&kernel).ok()?;
    let vmlinux = target.join(VMLINUX);
    let kernel = if vmlinux.is_file() { vmlinux } else { kernel };
    image.is_file().then_some(Boot { kernel, image, release })
}

/// The kernel proper of a bzImage that the user has, by the file's digest; or
/// the bzImage itself. A store that can't be written to costs a slower boot.
pub(super) fn quickest(folder: &Path, bzimage: PathBuf) -> PathBuf {
    let Ok(digest) = Digest::sha256_of_file(&bzimage) else { return bzimage };
    let vmlinux = folder.join(format!("{}.vmlinux", digest.hex()));
    if !vmlinux.is_file() {
        _ = fs::create_dir_all(folder).and_then(|()| unpack_kernel(&bzimage, &vmlinux));
    }
    if vmlinux.is_file() { vmlinux } else { bzimage }
}

/// Writes the kernel proper beside its bzImage, if it has one that boots.
fn unpack_kernel(bzimage: &Path, to: &Path) -> io::Result<()> {
    match vm::uncompressed(&fs::read(bzimage)?) {
        Some(kernel) => fsutil::write_atomic(to, &kernel),
        None => Ok(()),
    }
}

/// Writes the one file of the image that is its kernel.
fn take_kernel(image: &Path, to: &Path) -> Result<(), Error> {
    let mut taken = false;
    aci::read_file(image, |entry, bytes| {
        // Under either of the names that rkt's releases know.
        if !taken && matches!(entry.path.as_str(), "kernel_image" | "bzImage") {
            let mut file = create(to)?;
            io::copy(bytes, &mut file)?;
            file.sync_all()?;
            taken = true;
        }
        Ok(())
    })
    .map_err(|source| Error::Image { path: image.to_owned(), source })?;
    if taken {
        return Ok(());
    }
    Err(Error::Missing {
        what: "the image",
        path: image.to_owned(),
        why: "there is no kernel in it".to_owned(),
        hint: "--stage1-path takes an image of a kernel; a container's goes without the option"
            .to_owned(),
    })
}

fn create(path: &Path) -> io::Result<File> {
    let options = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    Ok(options.into_parts().0)
}
