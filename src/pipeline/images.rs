//! From a plan to finished images in the store, and from there to their
//! places.

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::report::{Reporter, Stage, text};
use crate::settings::{Format, Insecure, Settings};
use crate::store::{self, NewImage, Record, Store};
use crate::{content, pack};

use super::kernel;
use super::plan::BuildPlan;
use super::planned::{PlannedImage, Subject};
use super::{Built, Error};

/// The images of these formats in the store; those that are not there are
/// built, in one pass over the kernel's tree.
pub(super) fn in_store(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    formats: &[Format],
    reporter: &dyn Reporter,
) -> Result<Vec<Record>, Error> {
    let wanted = plan.of(formats);
    let make = |missing: &[&PlannedImage]| make(settings, store, plan, missing, reporter);
    let name = plan.version.to_string();
    all_in_store(store, &plan.kernel_key, &wanted, &name, reporter, make)
}

/// The images in the store; `make` makes those that are not there. Nobody
/// else makes images of the kernel meanwhile: images of one kernel in several
/// formats cost one compile.
pub(super) fn all_in_store(
    store: &Store,
    kernel_key: &Digest,
    wanted: &[&PlannedImage],
    name: &str,
    reporter: &dyn Reporter,
    make: impl FnOnce(&[&PlannedImage]) -> Result<(), Error>,
) -> Result<Vec<Record>, Error> {
    if let Some(records) = all_of(store, wanted) {
        return Ok(records);
    }
    let _lock = store.images().lock(kernel_key, || {
        reporter.note("another process builds the same kernel: waiting for it");
    })?;
    let missing: Vec<&PlannedImage> =
        wanted.iter().copied().filter(|image| store.images().get(&image.key).is_none()).collect();
    if !missing.is_empty() {
        make(&missing)?;
    }
    let gone = || Error::NoImage {
        asked: format!("the kernel {name}"),
        hint: "it was removed in the meantime; build it again".to_owned(),
    };
    all_of(store, wanted).ok_or_else(gone)
}

/// The images' records, if all of them are there; and that they were used.
fn all_of(store: &Store, wanted: &[&PlannedImage]) -> Option<Vec<Record>> {
    let images = store.images();
    let record = |image: &&PlannedImage| {
        let _held = images.hold(&image.key)?;
        images.get(&image.key)
    };
    wanted.iter().map(record).collect()
}

fn make(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    images: &[&PlannedImage],
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let kernel = kernel::make(settings, store, plan, reporter)?;
    let stage1 = images.iter().any(|image| image.format == Format::Aci);
    let wanted = content::Wanted {
        provenance: &kernel.provenance,
        stage1: stage1.then_some(settings.upstream),
        any_config: settings.insecure.contains(&Insecure::Kconfig),
        vmlinux: settings.vmlinux,
    };
    let tree = content::kernel_tree(&kernel.artifacts, &wanted)?;
    let packing = Packing {
        subject: Subject {
            name: &settings.image_name,
            version: plan.version,
            release: &kernel.artifacts.release,
            arch: settings.arch,
            upstream: settings.upstream,
            source: plan.source.provenance(),
        },
        options: pack::WriteOptions {
            epoch: kernel.artifacts.epoch,
            compression: settings.compression,
            forbidden: kernel.forbidden(),
            threads: Some(settings.jobs),
        },
    };
    // Nobody is to wait for the disk: it takes what make wrote while we pack.
    std::thread::scope(|scope| {
        let recorded = scope.spawn(|| kernel.record(&plan.kernel_key));
        pack_all(store, &tree, images, &packing, reporter)?;
        recorded.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How a tree becomes images.
pub(super) struct Packing<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) options: pack::WriteOptions,
}

/// Makes images of a tree, in one pass over it, and keeps them.
pub(super) fn pack_all(
    store: &Store,
    tree: &content::Rootfs,
    images: &[&PlannedImage],
    packing: &Packing<'_>,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let names: Vec<&str> = images.iter().map(|image| image.file.as_str()).collect();
    reporter.started(Stage::Pack, names.join(", "));
    let start = |image: &&PlannedImage| store.images().start(&image.key, image.format);
    let mut new = images.iter().map(start).collect::<Result<Vec<NewImage>, _>>()?;
    let target = |(image, new): (&&PlannedImage, _)| -> Result<pack::Target<'_>, Error> {
        Ok(pack::Target { kind: packing.subject.kind(image.format)?, to: NewImage::file(new) })
    };
    let mut targets = images.iter().zip(&mut new).map(target).collect::<Result<Vec<_>, _>>()?;
    let packed = pack::write_all(tree, &mut targets, &packing.options, reporter)?;
    let mut size = 0;
    for ((image, packed), new) in images.iter().zip(packed).zip(new) {
        size += packed.file_size;
        new.commit(&packing.subject.record(image.format, packed)?)?;
    }
    let (files, size) = (text::grouped(tree.len() as u64), text::bytes(size));
    reporter.finished(Stage::Pack, format!("{files} files, {size}"));
    Ok(())
}

/// Brings the images to their places.
pub(super) fn place(
    settings: &Settings,
    store: &Store,
    images: &[&PlannedImage],
    records: Vec<Record>,
    reporter: &dyn Reporter,
) -> Result<Vec<Built>, Error> {
    let place = |(image, record): (&&PlannedImage, Record)| {
        let path = settings.out_dir.join(&image.file);
        let placed = store.images().place(&image.key, &record, &path);
        if sound(store, &image.key, placed)? {
            reporter.detail(format!("wrote {}", path.display()));
        }
        if image.format == Format::Aci
            && let Some(folder) = &settings.aci_dir
        {
            lay_out(store, image, &record, folder, reporter)?;
        }
        Ok(Built { path, record })
    };
    images.iter().zip(records).map(place).collect()
}

/// What came of the use of an image; if that is that it is damaged, it is
/// removed, so that [`healing`] builds it again.
pub(super) fn sound<T>(
    store: &Store,
    key: &Digest,
    result: Result<T, store::Error>,
) -> Result<T, Error> {
    if let Err(store::Error::Damaged { .. }) = &result {
        store.images().remove(key)?;
    }
    Ok(result?)
}

/// How many files of the store may turn out to be damaged in one build: the
/// archive, and an image of each format.
const DAMAGED: usize = 4;

/// Does something; if a file of the store turns out to be damaged on the way
/// and was removed, does it once more, which builds or fetches that again.
pub(super) fn healing<T>(
    reporter: &dyn Reporter,
    mut act: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    for _ in 0..DAMAGED {
        match act() {
            Err(Error::Store(error @ store::Error::Damaged { .. })) => {
                reporter.warning(format!("{error}; making it again"));
            }
            other => return other,
        }
    }
    act()
}

/// Lays an ACI out, unless it lies there as it was laid out before. A folder
/// that is there proves nothing: it is the user's to change.
fn lay_out(
    store: &Store,
    image: &PlannedImage,
    record: &Record,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let (images, key) = (store.images(), &image.key);
    if images.is_laid_out(key, folder) {
        return Ok(());
    }
    sound(store, key, images.verify(key, record))?;
    let file: PathBuf = images.file(key, image.format);
    pack::lay_out_image(&file, folder)?;
    images.set_laid_out(key, folder)?;
    reporter.detail(format!("laid the image out in {}", folder.display()));
    Ok(())
}
