//! The kernel that a request means, ready to boot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::report::Reporter;
use crate::settings::Settings;
use crate::store::{BootKernel, Record, Store};
use crate::vm;

use super::super::{Error, image};
use super::request::{KernelChoice, RunRequest};

/// A kernel and what goes with it.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) kernel: vm::Kernel,
    /// A squashfs with the kernel's folder of modules and headers.
    pub(super) modules: Option<PathBuf>,
    /// Where in it that folder is.
    pub(super) modules_folder: String,
}

pub(super) fn provide(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Provided, Error> {
    let file = match &request.kernel {
        KernelChoice::File(path) => return file(path),
        KernelChoice::Image(path) => path.clone(),
        KernelChoice::Settings => built(request, settings, store, reporter)?,
        KernelChoice::Named { name, labels } => named(store, name, labels)?,
        KernelChoice::Id(id) => by_id(store, id)?,
    };
    let boot = store.kernels().get_or_make(&file, reporter)?;
    Ok(from_store(boot))
}

fn from_store(boot: BootKernel) -> Provided {
    Provided {
        kernel: vm::Kernel {
            file: boot.kernel,
            release: Some(boot.release.clone()),
            virtio_console: true,
        },
        modules: Some(boot.modules),
        modules_folder: boot.release,
    }
}

/// A kernel's file as the user has it, with nothing beside it.
fn file(path: &Path) -> Result<Provided, Error> {
    let missing = |why: String| Error::Missing {
        what: "the kernel",
        path: path.to_owned(),
        why,
        hint: "--kernel takes a version (6.12) or the path of a bzImage or vmlinux".to_owned(),
    };
    let found = vm::KernelFile::read(path).map_err(|error| missing(error.to_string()))?;
    let file = fs_err::canonicalize(path).map_err(|error| missing(error.to_string()))?;
    let kernel = vm::Kernel { file, release: found.release, virtio_console: true };
    Ok(Provided { kernel, modules: None, modules_folder: String::new() })
}

/// The settings' kernel. Where it can't be planned (no compiler, no source),
/// the newest that fits of those in the store does as well, and is said.
fn built(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<PathBuf, Error> {
    match image(settings, request.refresh, reporter) {
        Ok((file, _)) => Ok(file),
        Err(error) => {
            let fits = |record: &Record| {
                record.name == settings.image_name && settings.kernel.fits(&record.kernel)
            };
            let (file, record) = best(store, fits).ok_or(error)?;
            let id = record.id.short();
            reporter.note(format!("taking {} ({id}) as it is in the store", record.kernel));
            Ok(file)
        }
    }
}

fn named(
    store: &Store,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<PathBuf, Error> {
    let fits = |record: &Record| {
        let has = |(label, value): (&String, &String)| record.labels.get(label) == Some(value);
        record.name == name && labels.iter().all(has)
    };
    let asked = labels.iter().map(|(label, value)| format!(",{label}={value}"));
    let missing = || {
        let version = labels.get("kernelversion").map_or("VERSION", String::as_str);
        Error::NoImage {
            asked: format!("{name}{}", asked.collect::<String>()),
            hint: format!("build it: stage1-builder build {version}"),
        }
    };
    best(store, fits).map(|(file, _)| file).ok_or_else(missing)
}

fn by_id(store: &Store, id: &str) -> Result<PathBuf, Error> {
    let digits = id.strip_prefix("sha512-").or_else(|| id.strip_prefix("sha512:")).unwrap_or(id);
    // rkt's own least: a few digits fit too much.
    let fits = |record: &Record| digits.len() >= 8 && record.id.hex().starts_with(digits);
    let missing = || Error::NoImage {
        asked: id.to_owned(),
        hint: "give at least eight digits of an image that is in the store".to_owned(),
    };
    best(store, fits).map(|(file, _)| file).ok_or_else(missing)
}

/// Of those that fit: the newest kernel, and of equals what came last.
fn best(store: &Store, fits: impl Fn(&Record) -> bool) -> Option<(PathBuf, Record)> {
    let fitting = store.images().all().into_iter().filter(|found| fits(&found.record));
    let best = fitting.max_by_key(|found| (found.record.version(), found.made));
    best.map(|found| (found.file, found.record))
}
