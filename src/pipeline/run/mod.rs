//! From a request to run something to what became of it.
//!
//! ```text
//! request -> kernel (store, build) + root (host, image) -> Machine -> Outcome
//! ```

mod accel;
mod boot;
mod command;
pub(super) mod kernel;
mod machine;
mod request;
mod root;
mod via;
mod volumes;

use std::path::PathBuf;

use crate::fsutil::Hold;
use crate::proc;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::store::Store;
use crate::vm::{self, Accel, End, Finding, Machine, Outcome, RunFolder, Streams};

use super::Error;

pub use request::{KernelChoice, MountSpec, RunRequest, ShareKind, VolumeKind, VolumeSpec};

/// What became of a run, and what it left.
#[derive(Debug)]
pub struct Ran {
    /// What became of it.
    pub outcome: Outcome,
    /// The machine, as it was at last.
    pub machine: Machine,
    /// The folder that was kept.
    pub kept: Option<PathBuf>,
}

/// Finds out what machine the request means, building or fetching what it
/// needs.
///
/// # Errors
/// When the kernel or the root can't be had.
pub fn plan_run(
    request: &RunRequest,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Machine, Error> {
    planned(request, settings, reporter).map(|(machine, _)| machine)
}

/// The machine, and what keeps its files in the store while it runs.
fn planned(
    request: &RunRequest,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<(Machine, Vec<Hold>), Error> {
    let store = Store::new(&settings.cache_dir);
    let settings = &of_guest(request, settings);
    let arch = settings.arch;
    let (root, root_held) = root::provide(request, settings, &store, reporter)?;
    machine::check(request, arch, &root)?;
    let mut kernel = kernel::provide(request, settings, &store, reporter)?;
    let held = root_held.into_iter().chain(kernel.held.take()).collect();
    let accel = match request.accel {
        Some(accel) => accel,
        None => accel::choose(arch, &Finding::new(&store.host(), request.qemu_for(arch))),
    };
    let via = via::choose(request, &kernel.kernel, reporter);
    Ok((machine::assemble(request, arch, kernel, root, accel, via)?, held))
}

/// The settings for the guest's architecture, if its kernel tells another one
/// than they do.
fn of_guest(request: &RunRequest, settings: &Settings) -> Settings {
    let store = Store::new(&settings.cache_dir);
    let arch = kernel::arch(&request.kernel, &store).unwrap_or(settings.arch);
    let mut settings = settings.clone();
    settings.arch = arch;
    settings
}

/// Runs what is asked for.
///
/// # Errors
/// When the machine can't be put together or started. What becomes of it
/// then is an [`Outcome`].
pub fn run(
    request: &RunRequest,
    settings: &Settings,
    streams: &mut Streams,
    reporter: &dyn Reporter,
) -> Result<Ran, Error> {
    let qemu = request.qemu_for(of_guest(request, settings).arch);
    if proc::find(qemu).is_none() {
        let program = qemu.to_owned();
        return Err(vm::Error::Qemu(proc::Error::NotFound { program }).into());
    }
    let (mut machine, _held) = planned(request, settings, reporter)?;
    let folder = RunFolder::create()?;
    if let Some(path) = &request.uuid_file {
        fs_err::write(path, format!("{}\n", folder.uuid())).map_err(Error::Write)?;
    }
    let outcome = match request.accel {
        Some(_) => vm::run(&machine, &folder, streams)?,
        None => {
            let finding = Finding::new(&Store::new(&settings.cache_dir).host(), qemu);
            accel::run(request, &mut machine, &folder, streams, &finding, reporter)?
        }
    };
    let silent = outcome.console.trim().is_empty();
    if let (End::NoBoot(why), Accel::Kvm, true) = (&outcome.end, machine.accel, silent) {
        return Err(vm::Error::Kvm { why: why.clone() }.into());
    }
    let failed = !matches!(outcome.end, End::Command(_));
    let kept = if request.keep && failed { Some(keep(folder, &outcome)?) } else { None };
    Ok(Ran { outcome, machine, kept })
}

/// Leaves the run's folder behind, and in it what the kernel said.
fn keep(folder: RunFolder, outcome: &Outcome) -> Result<PathBuf, Error> {
    let log = folder.path().join("console.log");
    fs_err::write(log, &outcome.console).map_err(Error::Write)?;
    Ok(folder.keep()?)
}
