//! A kernel taken out of its image, ready to boot.
//!
//! A machine boots a file, and mounts the kernel's folder of modules and
//! headers as a disk: both are laid beside each other in the store, once for
//! each image, under the digest of the image's file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::fsutil::{self, AtomicFolder, Hold, Lock};
use crate::http::Patience;
use crate::proc::interrupt;
use crate::report::Reporter;
use crate::settings::Arch;
use crate::source::decompress;
use crate::{container, content, store, vm};

use super::super::Error;

const KERNEL: &str = "kernel";
const VMLINUX: &str = "vmlinux";
const IMAGE: &str = "image.squashfs";
/// How the modules' files begin that a guest needs: `module-00-virtio.ko`, in
/// the order in which they are loaded.
const MODULE: &str = "module-";

/// What was taken out.
#[derive(Debug)]
pub(super) struct Boot {
    /// What boots quickest: the kernel proper, or its bzImage.
    pub(super) kernel: PathBuf,
    /// All that is in the image, as a squashfs.
    pub(super) image: PathBuf,
    /// `uname -r`.
    pub(super) release: String,
    /// The modules that a guest needs first, in order; none if the kernel
    /// has them built in.
    pub(super) modules: Vec<PathBuf>,
}

/// Where kernels lie that were taken out of their images, and what else that
/// takes.
pub(super) struct Bench<'a> {
    pub(super) store: &'a store::Store,
    pub(super) arch: Arch,
}

/// The kernel of this image, taken out if it is not there yet, and what keeps
/// it there. `check` is asked before an image is opened.
pub(super) fn provide(
    bench: &Bench<'_>,
    image: &container::KernelImage,
    shown: &Path,
    digest: &Digest,
    check: impl FnOnce() -> Result<(), Error>,
    reporter: &dyn Reporter,
) -> Result<(Boot, Hold), Error> {
    let folder = bench.store.kernels();
    let target = folder.join(digest.hex());
    if let Some(held) = held(&target) {
        return Ok(held);
    }
    let doing = || store::Error::io("can't take a kernel out of its image");
    let lock = folder.join(format!("{}.lock", digest.hex()));
    let _lock = Lock::acquire(&lock, || {}, || interrupt::requested().is_some()).map_err(doing())?;
    if let Some(held) = held(&target) {
        return Ok(held);
    }
    check()?;
    reporter.detail(format!("taking the kernel out of {}", shown.display()));
    let making = AtomicFolder::create(&folder).map_err(doing())?;
    take(bench, image, shown, making.path())?;
    // What is there and not whole is of no use.
    fsutil::remove_all(&target).map_err(doing())?;
    making.commit(&target).map_err(doing())?;
    held(&target).ok_or_else(|| Error::Missing {
        what: "the image",
        path: shown.to_owned(),
        why: "its kernel does not say its release".to_owned(),
        hint: "build it anew".to_owned(),
    })
}

/// Writes kernel, unpacked kernel and the rest of the image to a folder.
fn take(
    bench: &Bench<'_>,
    image: &container::KernelImage,
    shown: &Path,
    to: &Path,
) -> Result<(), Error> {
    let doing = || store::Error::io("can't take a kernel out of its image");
    let kernel = to.join(KERNEL);
    let mut write = |bytes: &mut dyn Read| {
        let mut file = fs::File::create(&kernel)?;
        io::copy(bytes, &mut file)?;
        file.sync_all()
    };
    let folder = bench.store.containers();
    let options = container::Options {
        folder: &folder,
        arch: bench.arch,
        pull: container::PullPolicy::Never,
        insecure_http: false,
        insecure_tls: false,
        credentials: None,
        limits: container::Limits::default(),
        patience: Patience::default(),
    };
    let file = create(&to.join(IMAGE)).map_err(doing())?;
    let unpacked = image.unpack(file, &options, &mut write);
    let unpacked = unpacked.map_err(|source| Error::Image { path: shown.to_owned(), source })?;
    unpacked.file().sync_all().map_err(doing())?;
    if !kernel.is_file() {
        return Err(Error::Missing {
            what: "the image",
            path: shown.to_owned(),
            why: "there is no kernel in it".to_owned(),
            hint: "--stage1-path takes an image of a kernel; a container's goes without the option"
                .to_owned(),
        });
    }
    unpack_kernel(&kernel, &to.join(VMLINUX)).map_err(doing())?;
    take_modules(&unpacked, &kernel, shown, to)?;
    Ok(store::seal(to)?)
}

/// Writes the modules that a guest needs before it can see any other file,
/// not compressed: not every kernel can decompress them.
fn take_modules(
    image: &container::Unpacked,
    kernel: &Path,
    shown: &Path,
    to: &Path,
) -> Result<(), Error> {
    let doing = || store::Error::io("can't take a kernel's modules out of its image");
    let Ok(release) = content::release_of(kernel) else { return Ok(()) };
    let read = |path: &str| image.module_file(&release, path).map_err(doing());
    // Kernels of ours have none.
    let Some(dependencies) = read("modules.dep")? else { return Ok(()) };
    let built_in = read("modules.builtin")?.unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let modules = vm::Modules::of(&text(&dependencies), &text(&built_in));
    let missing = |why: String| Error::Missing {
        what: "the kernel",
        path: shown.to_owned(),
        why,
        hint: "its image must have the modules that its modules.dep names; or take a kernel \
               that has them built in"
            .to_owned(),
    };
    if !modules.lacking.is_empty() {
        let lacking = modules.lacking.join(", ");
        return Err(missing(format!("a guest needs of it, built in or as modules: {lacking}")));
    }
    for (at, path) in modules.load.iter().enumerate() {
        let bytes = read(path)?.ok_or_else(|| missing(format!("there is no {path} in it")))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.split_inclusive(".ko").next().unwrap_or(name);
        let plain = plain(bytes).map_err(doing())?;
        fs::write(to.join(format!("{MODULE}{at:02}-{name}")), plain).map_err(doing())?;
    }
    Ok(())
}

/// Without the compression that a file may have.
fn plain(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let (_, mut reader) = decompress::decoder(io::Cursor::new(bytes))?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain)?;
    Ok(plain)
}

/// What lies there, kept from being tidied away.
fn held(target: &Path) -> Option<(Boot, Hold)> {
    let hold = Hold::of(target)?;
    let boot = found(target)?;
    fsutil::touch(target);
    Some((boot, hold))
}

/// What lies there is whole: it came by a rename.
fn found(target: &Path) -> Option<Boot> {
    let (kernel, image) = (target.join(KERNEL), target.join(IMAGE));
    let release = content::release_of(&kernel).ok()?;
    let vmlinux = target.join(VMLINUX);
    let kernel = if vmlinux.is_file() { vmlinux } else { kernel };
    let modules = modules(target);
    image.is_file().then_some(Boot { kernel, image, release, modules })
}

fn modules(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_module =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(MODULE.as_bytes());
    let mut paths: Vec<_> = entries.filter(is_module).map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
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

fn create(path: &Path) -> io::Result<File> {
    let options = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    Ok(options.into_parts().0)
}
