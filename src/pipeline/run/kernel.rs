//! The kernel that a request means, ready to boot.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::container::KernelImage;
use crate::content;
use crate::fsutil::Hold;
use crate::report::{Fault, Reporter};
use crate::settings::{Arch, Format, KernelVersion, Series, Settings};
use crate::store::{self, Found, Store};
use crate::vm;

use super::super::images::{healing, in_store, sound};
use super::super::plan::plan_for_work;
use super::super::planned::PlannedImage;
use super::super::{Error, foreign};
use super::boot::{self, Bench, Boot};
use super::request::{KernelChoice, RunRequest};

/// A kernel and what goes with it.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) kernel: vm::Kernel,
    /// A squashfs of the kernel's image, with its modules and headers.
    pub(super) modules: Option<PathBuf>,
    /// The modules that a guest needs before it sees those, in order.
    pub(super) first: Vec<PathBuf>,
    /// Keeps them in the store.
    pub(super) held: Option<Hold>,
}

/// For which architecture a kernel is, as far as that is known before it is
/// there: a file or a label tells.
pub(super) fn arch(kernel: &KernelChoice, store: &Store) -> Option<Arch> {
    let label = |labels: &BTreeMap<String, String>| labels.get("arch")?.parse().ok();
    match kernel {
        KernelChoice::File(path) => Some(form(&head(path).ok()?).ok()?.arch()),
        KernelChoice::Named { labels, .. } => label(labels),
        KernelChoice::Id(id) => label(&store.images().by_id(id).ok()?.first()?.record.labels),
        KernelChoice::Settings | KernelChoice::Foreign(_) | KernelChoice::Image(_) => None,
    }
}

/// The first bytes of a kernel.
fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    fs_err::File::open(path)?.take(64).read_to_end(&mut head)?;
    Ok(head)
}

pub(super) fn provide(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Provided, Error> {
    let (boot, held) = match &request.kernel {
        KernelChoice::File(path) => return file(path, store),
        KernelChoice::Image(path) => elsewhere(path, settings, store, reporter)?,
        KernelChoice::Settings => built(request, settings, store, reporter)?,
        KernelChoice::Foreign(kernel) => {
            let made = || foreign::found(kernel, settings, store, request.refresh, reporter);
            healing(reporter, || stored(&made()?, settings, store, reporter))?
        }
        KernelChoice::Named { name, labels } => {
            stored(&named(store, name, labels, settings.arch)?, settings, store, reporter)?
        }
        KernelChoice::Id(id) => {
            let found = store.images().by_id(id)?;
            let found = found.first().ok_or_else(|| store::Error::NoImage { id: id.clone() })?;
            stored(found, settings, store, reporter)?
        }
    };
    check_arch(&boot.kernel, settings.arch)?;
    let kernel = vm::Kernel {
        file: boot.kernel,
        release: Some(boot.release.clone()),
        virtio_console: boot.modules.is_empty(),
        virtiofs: match boot.modules.as_slice() {
            [] => knows_virtiofs(&boot.release),
            modules => modules.iter().any(|path| path.to_string_lossy().ends_with("virtiofs.ko")),
        },
    };
    Ok(Provided { kernel, modules: Some(boot.image), first: boot.modules, held: Some(held) })
}

/// Refuses the kernel of another guest than the one that everything else is
/// for.
fn check_arch(kernel: &Path, wanted: Arch) -> Result<(), Error> {
    let missing = |why: String, hint: String| {
        Err(Error::Missing { what: "the kernel", path: kernel.to_owned(), why, hint })
    };
    let head = head(kernel).map_err(store::Error::io("can't read a kernel of the store"))?;
    match form(&head).map(Form::arch) {
        Ok(arch) if arch == wanted => Ok(()),
        Ok(arch) => missing(
            format!("it is for {arch}, and the guest is to be {wanted}"),
            format!("say so: --arch {arch}"),
        ),
        Err(why) => missing(why, "build the image anew".to_owned()),
    }
}

/// Ours do from the series on that has it (`fs/fuse/virtio_fs.c`, a62a8ef9d97d).
fn knows_virtiofs(release: &str) -> bool {
    Series::of_release(release) >= Some(Series { major: 5, minor: 4 })
}

/// The kernel of an image that is not in the store.
fn elsewhere(
    path: &Path,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Boot, Hold), Error> {
    let missing = |why: String| Error::Missing {
        what: "the image",
        path: path.to_owned(),
        why,
        hint: "--stage1-path takes an ACI, an OCI layout or archive, or a folder of plain files"
            .to_owned(),
    };
    if let Err(error) = fs_err::metadata(path) {
        return Err(missing(error.to_string()));
    }
    let image = KernelImage::at(path)?;
    let digest = image.digest().map_err(|error| missing(error.to_string()))?;
    let bench = Bench { store, arch: settings.arch };
    boot::provide(&bench, &image, path, &digest, || Ok(()), reporter)
}

/// The kernel of an image in the store.
fn stored(
    found: &Found,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Boot, Hold), Error> {
    let images = store.images();
    let hold = images.hold(&found.key);
    let check = || Ok(images.verify(&found.key, &found.record)?);
    let image = KernelImage::at(&found.file)?;
    let bench = Bench { store, arch: settings.arch };
    let boot = boot::provide(&bench, &image, &found.file, &found.record.file, check, reporter);
    drop(hold);
    match boot {
        Err(Error::Store(damaged)) => sound(store, &found.key, Err(damaged)),
        other => other,
    }
}

/// A kernel's file as the user has it, with nothing beside it.
fn file(path: &Path, store: &Store) -> Result<Provided, Error> {
    let missing = |why: String| Error::Missing {
        what: "the kernel",
        path: path.to_owned(),
        why,
        hint:
            "--kernel takes a version (6.12), debian:VERSION, or the path of an image, a bzImage, \
               a vmlinux, or an Image of arm64"
                .to_owned(),
    };
    let file = fs_err::canonicalize(path).map_err(|error| missing(error.to_string()))?;
    let head = head(&file).map_err(|error| missing(error.to_string()))?;
    let form = form(&head).map_err(missing)?;
    let release = match form {
        Form::Vmlinux => None,
        Form::BzImage | Form::Arm64Image => {
            Some(content::release_of(&file).map_err(|error| missing(error.to_string()))?)
        }
    };
    let file = if form == Form::BzImage { boot::quickest(&store.kernels(), file) } else { file };
    let kernel = vm::Kernel { file, release, virtio_console: true, virtiofs: false };
    let held = Hold::of(&kernel.file);
    Ok(Provided { kernel, modules: None, first: Vec::new(), held })
}

/// What QEMU can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    BzImage,
    Vmlinux,
    Arm64Image,
}

impl Form {
    fn arch(self) -> Arch {
        match self {
            Self::BzImage | Self::Vmlinux => Arch::X86_64,
            Self::Arm64Image => Arch::Arm64,
        }
    }
}

/// What a kernel's first bytes say of it; if it is none for a guest, why. What
/// is no other kernel for sure passes for a bzImage, which has more to say of
/// itself.
fn form(head: &[u8]) -> Result<Form, String> {
    match head {
        // e_machine (include/uapi/linux/elf-em.h): EM_X86_64, EM_AARCH64.
        [0x7f, b'E', b'L', b'F', ..] => match head.get(18..20) {
            Some([62, 0]) => Ok(Form::Vmlinux),
            Some([183, 0]) => {
                Err("it is a vmlinux of arm64, of which the Image beside it boots".to_owned())
            }
            _ => Err("it is a kernel for another processor than guests have".to_owned()),
        },
        _ if content::is_arm64(head) => Ok(Form::Arm64Image),
        _ => Ok(Form::BzImage),
    }
}

/// The settings' kernel, of an image in whichever format there is one. Where
/// it can't be had (no compiler, no source), the newest that fits of those in
/// the store does as well, and is said.
fn built(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Boot, Hold), Error> {
    healing(reporter, || planned(request, settings, store, reporter)).or_else(|error| {
        let absent = [Fault::NotFound, Fault::Network, Fault::MissingTools];
        if !absent.contains(&error.fault()) {
            return Err(error);
        }
        let why = error.to_string();
        let fits = |found: &Found| {
            found.record.name == settings.image_name
                && is_for(found, settings.arch)
                && version(found).is_some_and(|version| settings.kernel.fits(&version))
        };
        let found = best(store, fits).ok_or(error)?;
        reporter.note(format!("taking {} as it is in the store: {why}", found.record.kernel));
        stored(&found, settings, store, reporter)
    })
}

fn planned(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Boot, Hold), Error> {
    let plan = plan_for_work(settings, store, request.refresh, reporter)?;
    let there = |image: &&PlannedImage| store.images().get(&image.key).is_some();
    let asked = plan.of(&settings.formats);
    let format = asked.iter().copied().chain(&plan.images).find(there).or(asked.first().copied());
    let formats: Vec<Format> = format.map(|image| image.format).into_iter().collect();
    in_store(settings, store, &plan, &formats, reporter)?;
    let found = format.and_then(|image| store.images().found(&image.key));
    let found = found.ok_or_else(|| Error::NoImage {
        asked: format!("the kernel {}", plan.version),
        hint: "it was removed in the meantime; try again".to_owned(),
    })?;
    stored(&found, settings, store, reporter)
}

/// The store's images of all architectures have one name.
pub(in crate::pipeline) fn is_for(found: &Found, arch: Arch) -> bool {
    found.record.labels.get("arch").is_none_or(|label| label == arch.appc())
}

fn named(
    store: &Store,
    name: &str,
    labels: &BTreeMap<String, String>,
    arch: Arch,
) -> Result<Found, Error> {
    let fits = |found: &Found| {
        let has =
            |(label, value): (&String, &String)| found.record.labels.get(label) == Some(value);
        found.record.name == name && is_for(found, arch) && labels.iter().all(has)
    };
    let missing = || {
        let asked = labels.iter().map(|(label, value)| format!(",{label}={value}"));
        let version = labels.get("kernelversion").map_or("VERSION", String::as_str);
        Error::NoImage {
            asked: format!("{name}{}", asked.collect::<String>()),
            hint: format!("build it: stage1-builder build {version}"),
        }
    };
    best(store, fits).ok_or_else(missing)
}

/// Of those that fit: the newest kernel, and of equals what came last.
fn best(store: &Store, fits: impl Fn(&Found) -> bool) -> Option<Found> {
    let fitting = store.images().all().into_iter().filter(|found| fits(found));
    fitting.max_by_key(|found| (version(found), found.made))
}

fn version(found: &Found) -> Option<KernelVersion> {
    found.record.kernel.parse().ok()
}

#[cfg(any(test, fuzzing))]
pub(in crate::pipeline) mod fuzzing {
    //! What is tried with kernels of other people's. See [`crate::fuzzing`].

    /// Whether it is told as a kernel that is not packed.
    pub(in crate::pipeline) fn is_vmlinux(head: &[u8]) -> bool {
        super::form(head) == Ok(super::Form::Vmlinux)
    }
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
        assert!(elf(183).unwrap_err().contains("a vmlinux of arm64"));
        assert!(elf(40).unwrap_err().contains("another processor"));
        let mut image = b"MZ".to_vec();
        image.resize(56, 0);
        assert_eq!(form(&image), Ok(Form::BzImage));
        image.extend(b"ARMd");
        assert_eq!(form(&image).map(Form::arch), Ok(Arch::Arm64));
    }
}
