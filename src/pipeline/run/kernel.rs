//! The kernel that a request means, ready to boot.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::content;
use crate::digest::Digest;
use crate::report::{Fault, Reporter};
use crate::settings::{Arch, KernelVersion, Settings};
use crate::store::{Found, Store};
use crate::vm;

use super::super::{Error, in_store, plan};
use super::boot;
use super::request::{KernelChoice, RunRequest};

/// A kernel and what goes with it.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) kernel: vm::Kernel,
    /// A squashfs of the kernel's image, with its modules and headers.
    pub(super) modules: Option<PathBuf>,
}

pub(super) fn provide(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Provided, Error> {
    let image = match &request.kernel {
        KernelChoice::File(path) => return file(path, store),
        KernelChoice::Image(path) => Image::of_file(path)?,
        KernelChoice::Settings => built(request, settings, store, reporter)?,
        KernelChoice::Named { name, labels } => named(store, name, labels)?,
        KernelChoice::Id(id) => by_id(store, id)?,
    };
    let boot = boot::provide(&store.kernels(), &image.file, &image.digest, reporter)?;
    let kernel = vm::Kernel {
        file: boot.kernel,
        release: Some(boot.release.clone()),
        virtio_console: true,
        virtiofs: knows_virtiofs(&boot.release),
    };
    Ok(Provided { kernel, modules: Some(boot.image) })
}

/// Ours do from the series on that has it (`fs/fuse/virtio_fs.c`, a62a8ef9d97d).
fn knows_virtiofs(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(4))
}

/// The file of an image.
struct Image {
    file: PathBuf,
    /// SHA-256 of the file.
    digest: Digest,
}

impl Image {
    fn of_file(path: &Path) -> Result<Self, Error> {
        let digest = Digest::sha256_of_file(path).map_err(|error| Error::Missing {
            what: "the image",
            path: path.to_owned(),
            why: error.to_string(),
            hint: "--stage1-path takes the file of an image, stage1-kvm-....aci".to_owned(),
        })?;
        Ok(Self { file: path.to_owned(), digest })
    }
}

impl From<Found> for Image {
    fn from(found: Found) -> Self {
        Self { file: found.file, digest: found.record.file }
    }
}

/// A kernel's file as the user has it, with nothing beside it.
fn file(path: &Path, store: &Store) -> Result<Provided, Error> {
    let missing = |why: String| Error::Missing {
        what: "the kernel",
        path: path.to_owned(),
        why,
        hint: "--kernel takes a version (6.12) or the path of a bzImage or vmlinux".to_owned(),
    };
    let file = fs_err::canonicalize(path).map_err(|error| missing(error.to_string()))?;
    let mut head = Vec::new();
    let read = fs_err::File::open(&file).and_then(|file| file.take(64).read_to_end(&mut head));
    read.map_err(|error| missing(error.to_string()))?;
    let release = match form(&head).map_err(missing)? {
        Form::Vmlinux => None,
        Form::BzImage => {
            Some(content::release_of(&file).map_err(|error| missing(error.to_string()))?)
        }
    };
    let file = if release.is_some() { boot::quickest(&store.kernels(), file) } else { file };
    let kernel = vm::Kernel { file, release, virtio_console: true, virtiofs: false };
    Ok(Provided { kernel, modules: None })
}

/// What QEMU can boot.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    BzImage,
    Vmlinux,
}

/// What a kernel's first bytes say of it; if it is none for an x86-64 guest,
/// why. What is no other kernel for sure passes for a bzImage, which has more
/// to say of itself.
fn form(head: &[u8]) -> Result<Form, String> {
    let other = |arch| format!("it is a kernel for {arch}, and guests are {}", Arch::X86_64);
    match head {
        // e_machine (include/uapi/linux/elf-em.h): EM_X86_64, EM_AARCH64.
        [0x7f, b'E', b'L', b'F', ..] => match head.get(18..20) {
            Some([62, 0]) => Ok(Form::Vmlinux),
            Some([183, 0]) => Err(other("arm64")),
            _ => Err(other("another processor")),
        },
        // Documentation/arch/arm64/booting.rst
        _ if head.get(56..60) == Some(b"ARM\x64") => Err(other("arm64")),
        _ => Ok(Form::BzImage),
    }
}

/// The settings' kernel. Where it can't be had (no compiler, no source), the
/// newest that fits of those in the store does as well, and is said.
fn built(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Image, Error> {
    let made = plan(settings, store, request.refresh, reporter).and_then(|plan| {
        let record = in_store(settings, store, &plan, reporter)?;
        Ok(Image { file: store.images().file(&plan.image_key), digest: record.file })
    });
    made.or_else(|error| {
        let absent = [Fault::NotFound, Fault::Network, Fault::MissingTools];
        if !absent.contains(&error.fault()) {
            return Err(error);
        }
        let why = error.to_string();
        let fits = |found: &Found| {
            found.record.name == settings.image_name
                && version(found).is_some_and(|version| settings.kernel.fits(&version))
        };
        let found = best(store, fits).ok_or(error)?;
        reporter.note(format!("taking {} as it is in the store: {why}", found.record.kernel));
        Ok(found.into())
    })
}

fn named(store: &Store, name: &str, labels: &BTreeMap<String, String>) -> Result<Image, Error> {
    let fits = |found: &Found| {
        let has =
            |(label, value): (&String, &String)| found.record.labels.get(label) == Some(value);
        found.record.name == name && labels.iter().all(has)
    };
    let missing = || {
        let asked = labels.iter().map(|(label, value)| format!(",{label}={value}"));
        let version = labels.get("kernelversion").map_or("VERSION", String::as_str);
        Error::NoImage {
            asked: format!("{name}{}", asked.collect::<String>()),
            hint: format!("build it: stage1-builder build {version}"),
        }
    };
    best(store, fits).map(Image::from).ok_or_else(missing)
}

fn by_id(store: &Store, id: &str) -> Result<Image, Error> {
    let missing = || Error::NoImage {
        asked: id.to_owned(),
        hint: "give at least eight digits of an image that is in the store".to_owned(),
    };
    super::super::named::by_id(store, id).map(Image::from).ok_or_else(missing)
}

/// Of those that fit: the newest kernel, and of equals what came last.
fn best(store: &Store, fits: impl Fn(&Found) -> bool) -> Option<Found> {
    let fitting = store.images().all().into_iter().filter(|found| fits(found));
    fitting.max_by_key(|found| (version(found), found.made))
}

fn version(found: &Found) -> Option<KernelVersion> {
    found.record.kernel.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_for_another_processor_is_known_by_its_head() {
        let elf = |machine: u8| {
            let mut head = b"\x7fELF\x02\x01\x01".to_vec();
            head.resize(64, 0);
            head[18] = machine;
            form(&head)
        };
        assert_eq!(elf(62), Ok(Form::Vmlinux));
        assert!(elf(183).unwrap_err().contains("for arm64, and guests are x86_64"));
        assert!(elf(40).unwrap_err().contains("another processor"));
        let mut image = b"MZ".to_vec();
        image.resize(56, 0);
        assert_eq!(form(&image), Ok(Form::BzImage));
        image.extend(b"ARMd");
        assert!(form(&image).unwrap_err().contains("arm64"));
    }
}
