//! The only place that knows the order of things.
//!
//! [`build`] reads as the data flows. What is already there is found by key
//! ([`key`]) before anything is done, so that a build with nothing to do
//! takes milliseconds and no network.

mod config_kernel;
pub mod diff;
pub mod doctor;
mod error;
mod kernel;
pub mod kernels;
pub mod key;
mod named;
mod plan;
mod provenance;
mod run;
mod tools;
pub mod verify;

use std::path::{Path, PathBuf};

use crate::report::{Reporter, Stage, text};
use crate::settings::{Insecure, Settings};
use crate::store::{Record, Store};
use crate::{content, pack};

pub use config_kernel::{Asked, KernelConfig, Origin, Why, config_kernel, why};
pub use error::Error;
pub use named::image_file;
pub use plan::{BuildPlan, plan};
pub use provenance::Provenance;
pub use run::{
    KernelChoice, MountSpec, Ran, RunRequest, ShareKind, VolumeKind, VolumeSpec, plan_run, run,
};
pub use tools::provide as provide_tools;

/// A finished image, at its place.
#[derive(Debug, Clone)]
pub struct Built {
    /// Where it is, as short as the user's own setting has it.
    pub path: PathBuf,
    /// What is known of it.
    pub record: Record,
}

/// Builds what the settings say, or finds that it is there, and brings it to
/// its place.
///
/// # Errors
/// Those of every room.
pub fn build(settings: &Settings, refresh: bool, reporter: &dyn Reporter) -> Result<Built, Error> {
    if let Some(folder) = &settings.aci_dir {
        pack::check_replaceable(folder)?;
    }
    let store = Store::new(&settings.cache_dir);
    let plan = plan(settings, &store, refresh, reporter)?;
    let record = in_store(settings, &store, &plan, reporter)?;
    place(settings, &store, &plan, record, reporter)
}

/// The image of what the settings say, in the store; built if it is not there.
fn in_store(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    reporter: &dyn Reporter,
) -> Result<Record, Error> {
    if let Some(record) = store.images().get(&plan.image_key) {
        return Ok(record);
    }
    let _lock = store.images().lock(&plan.image_key, || {
        reporter.note("another process builds the same image: waiting for it");
    })?;
    match store.images().get(&plan.image_key) {
        Some(record) => Ok(record),
        None => make(settings, store, plan, reporter),
    }
}

fn make(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    reporter: &dyn Reporter,
) -> Result<Record, Error> {
    let kernel = kernel::make(settings, store, plan, reporter)?;
    let any_config = settings.insecure.contains(&Insecure::Kconfig);
    let rootfs =
        content::stage1_kvm(&kernel.artifacts, settings.upstream, &kernel.provenance, any_config)?;
    let manifest = pack::aci::Manifest::stage1_kvm(
        &settings.image_name,
        settings.upstream,
        &plan.version,
        settings.arch,
    )?;
    reporter.started(Stage::Pack, plan.file_name());
    let mut image = store.images().start(&plan.image_key)?;
    let options = pack::aci::WriteOptions {
        epoch: kernel.artifacts.epoch,
        compression: settings.compression,
        forbidden: kernel.forbidden(),
        threads: Some(settings.jobs),
    };
    let packed = pack::aci::write(&manifest, &rootfs, &options, image.file(), reporter)?;
    let record = Record {
        id: packed.id,
        file: packed.file,
        size: packed.file_size,
        name: settings.image_name.clone(),
        kernel: plan.version.to_string(),
        release: kernel.artifacts.release.clone(),
        labels: manifest.labels.iter().cloned().map(|label| (label.name, label.value)).collect(),
    };
    image.commit(&record)?;
    let size = text::bytes(record.size);
    reporter.finished(Stage::Pack, format!("{} files, {size}", text::grouped(rootfs.len() as u64)));
    Ok(record)
}

fn place(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    record: Record,
    reporter: &dyn Reporter,
) -> Result<Built, Error> {
    let path = settings.out_dir.join(plan.file_name());
    if store.images().place(&plan.image_key, &record, &path)? {
        reporter.detail(format!("wrote {}", path.display()));
    }
    if let Some(folder) = &settings.aci_dir {
        lay_out(store, plan, folder, reporter)?;
    }
    Ok(Built { path, record })
}

/// Lays the image out, unless it lies there as it was laid out before. A
/// folder that is there proves nothing: it is the user's to change.
fn lay_out(
    store: &Store,
    plan: &BuildPlan,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let (images, key) = (store.images(), &plan.image_key);
    if images.is_laid_out(key, folder) {
        return Ok(());
    }
    pack::lay_out_image(&images.file(key), folder)?;
    images.set_laid_out(key, folder)?;
    reporter.detail(format!("laid the image out in {}", folder.display()));
    Ok(())
}
