//! The only place that knows the order of things.
//!
//! [`build`] reads as the data flows. What is already there is found by key
//! ([`key`]) before anything is done, so that a build with nothing to do
//! takes milliseconds and no network.
//!
//! `examples/build_and_run.rs` shows how another crate uses it; it is compiled
//! and run by the tests, as is `examples/on_kernel.rs`, which needs no more
//! than [`crate::vm`].

mod config_kernel;
pub mod diff;
pub mod doctor;
mod error;
mod export;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod images;
mod kernel;
pub mod kernels;
pub mod key;
mod named;
mod plan;
mod planned;
mod provenance;
mod run;
mod toolchain;
mod tools;
pub mod verify;

use std::path::PathBuf;

use crate::pack;
use crate::report::Reporter;
use crate::settings::{Format, Settings};
use crate::store::{Record, Store};

pub use config_kernel::{Asked, KernelConfig, Origin, Why, config_kernel, why};
pub use error::Error;
pub use export::export;
pub use foreign::{ForeignKernel, ForeignPlan, OwnKernel, build_foreign, plan_foreign};
pub use named::image_file;
pub use plan::{BuildPlan, plan};
pub use planned::PlannedImage;
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
/// its place: an image for each of the settings' formats, in their order.
///
/// # Errors
/// Those of every room.
pub fn build(
    settings: &Settings,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<Built>, Error> {
    check_aci_dir(settings, &settings.formats)?;
    let store = Store::new(&settings.cache_dir);
    images::healing(reporter, || {
        let plan = plan::plan_for_work(settings, &store, refresh, reporter)?;
        let records = images::in_store(settings, &store, &plan, &settings.formats, reporter)?;
        images::place(settings, &store, &plan.of(&settings.formats), records, reporter)
    })
}

/// Whether what is laid out can be: worth asking before anything is done.
fn check_aci_dir(settings: &Settings, formats: &[Format]) -> Result<(), Error> {
    let Some(folder) = &settings.aci_dir else { return Ok(()) };
    if !formats.contains(&Format::Aci) {
        return Err(Error::Usage {
            problem: "S1B_ACI_DIR is for an ACI, and S1B_FORMAT asks for none".to_owned(),
            hint: "add aci to --format, or leave --aci-dir out".to_owned(),
        });
    }
    Ok(pack::check_replaceable(folder)?)
}
