//! From a request to run something to what became of it.
//!
//! ```text
//! request -> kernel (store, build) + root (host, image) -> Machine -> Outcome
//! ```

mod boot;
mod command;
mod kernel;
mod machine;
mod request;
mod root;
mod volumes;

use std::path::PathBuf;

use crate::proc;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::store::Store;
use crate::vm::{self, Accel, End, Finding, Kvm, Machine, Outcome, RunFolder, Streams, Via};

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

/// How long a guest under KVM may take to its first word, the first time
/// that one runs on this host: it takes well under a second where KVM works.
const PROOF_OF_LIFE: std::time::Duration = std::time::Duration::from_secs(10);

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
    let store = Store::new(&settings.cache_dir);
    let root = root::provide(request, settings, &store, reporter)?;
    machine::check(request, &root)?;
    let kernel = kernel::provide(request, settings, &store, reporter)?;
    let accel = match request.accel {
        Some(accel) => accel,
        None => match Finding::new(&store.host(), &request.qemu).get() {
            Kvm::Usable | Kvm::Untried => Accel::Kvm,
            Kvm::Unusable(_) | Kvm::Denied | Kvm::Absent => Accel::Tcg,
        },
    };
    let via = via(request, &kernel.kernel, reporter);
    machine::assemble(request, kernel, root, accel, via)
}

/// How folders are shared: by virtiofs where host and guest have it.
fn via(request: &RunRequest, kernel: &vm::Kernel, reporter: &dyn Reporter) -> Via {
    let program = proc::find(&request.virtiofsd)
        .or_else(|| proc::find("/usr/libexec/virtiofsd"))
        .map(|path| path.display().to_string());
    let virtiofs = |program| Via::Virtiofs { program };
    let (via, why) = match (request.share, program) {
        (Some(ShareKind::NineP), _) => (Via::NineP, "as asked for"),
        (Some(ShareKind::Virtiofs), program) => {
            (virtiofs(program.unwrap_or_else(|| request.virtiofsd.clone())), "as asked for")
        }
        (None, _) if !kernel.virtiofs => (Via::NineP, "the kernel may not know virtiofs"),
        (None, None) => (Via::NineP, "there is no virtiofsd on this host"),
        (None, Some(program)) if vm::virtiofsd_serves(&program) => (virtiofs(program), "quicker"),
        (None, Some(_)) => (Via::NineP, "the host's virtiofsd is not the one in Rust"),
    };
    let name = if via == Via::NineP { "9p" } else { "virtiofs" };
    reporter.detail(format!("folders are shared over {name}: {why}"));
    via
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
    if proc::find(&request.qemu).is_none() {
        let program = request.qemu.clone();
        return Err(vm::Error::Qemu(proc::Error::NotFound { program }).into());
    }
    let mut machine = plan_run(request, settings, reporter)?;
    let finding = Finding::new(&Store::new(&settings.cache_dir).host(), &request.qemu);
    let folder = RunFolder::create()?;
    if let Some(path) = &request.uuid_file {
        fs_err::write(path, format!("{}\n", folder.uuid())).map_err(Error::Output)?;
    }
    let chosen = request.accel.is_some();
    if machine.accel == Accel::Tcg && !chosen {
        say_slow(&finding, reporter);
    }
    let proving = machine.accel == Accel::Kvm && !chosen && finding.get() == Kvm::Untried;
    let mut outcome = attempt(&mut machine, &folder, streams, &finding, proving)?;
    if proving && let End::NoBoot(why) = outcome.end.clone() {
        machine.accel = Accel::Tcg;
        machine.kind = machine::board(request, Accel::Tcg);
        outcome = vm::run(&machine, &folder, streams)?;
        // What boots without KVM and not with it is no fault of its own.
        if outcome.release.is_some() {
            finding.remember(Some(&why));
            say_slow(&finding, reporter);
        }
    }
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
    fs_err::write(log, &outcome.console).map_err(Error::Output)?;
    Ok(folder.keep()?)
}

/// One try; the first one under KVM on this host has to prove that it works.
fn attempt(
    machine: &mut Machine,
    folder: &RunFolder,
    streams: &mut Streams,
    finding: &Finding,
    proving: bool,
) -> Result<Outcome, Error> {
    let limits = machine.limits;
    if proving {
        machine.limits.hello = PROOF_OF_LIFE;
    }
    let outcome = vm::run(machine, folder, streams)?;
    machine.limits = limits;
    if proving && outcome.release.is_some() {
        finding.remember(None);
    }
    Ok(outcome)
}

/// Says once, and loudly, why guests are slow here, and what mends it.
fn say_slow(finding: &Finding, reporter: &dyn Reporter) {
    let (why, mend) = match finding.get() {
        Kvm::Usable | Kvm::Untried => return,
        Kvm::Unusable(why) => (
            format!("/dev/kvm is there, but guests don't run on it ({why})"),
            "nested virtualisation is off or broken on this host; ask whoever runs it",
        ),
        Kvm::Denied => (
            "/dev/kvm may not be opened".to_owned(),
            "sudo usermod -aG kvm $USER, then log in again",
        ),
        Kvm::Absent => (
            "there is no /dev/kvm".to_owned(),
            "turn virtualisation on in the firmware, or nested virtualisation on the host",
        ),
    };
    if finding.tell_once() {
        let slow = "guests run under emulation (TCG), many times slower";
        reporter.warning(format!("{why}: {slow}\n  mend: {mend}\n  (this is said once)"));
    }
}
