//! KVM where it is of use, else TCG: found out by trying, once.

use crate::report::Reporter;
use crate::settings::Arch;
use crate::vm::{self, Accel, End, Finding, Kvm, Machine, Outcome, RunFolder, Streams};

use super::machine;
use super::request::RunRequest;

/// How long a guest under KVM may take to its first word, the first time
/// that one runs on this host: it takes well under a second where KVM works.
const PROOF_OF_LIFE: std::time::Duration = std::time::Duration::from_secs(10);

/// What to run a guest of this architecture on, as far as it is known: another
/// one than the host's is always emulated.
pub(super) fn choose(arch: Arch, finding: &Finding) -> Accel {
    match finding.get() {
        _ if !arch.is_host() => Accel::Tcg,
        Kvm::Usable | Kvm::Untried => Accel::Kvm,
        Kvm::Unusable(_) | Kvm::Denied | Kvm::Absent => Accel::Tcg,
    }
}

/// Runs on what was chosen. The first guest under KVM on this host proves that
/// it works, or the run goes on without.
pub(super) fn run(
    request: &RunRequest,
    machine: &mut Machine,
    folder: &RunFolder,
    streams: &mut Streams,
    finding: &Finding,
    reporter: &dyn Reporter,
) -> Result<Outcome, vm::Error> {
    if machine.accel == Accel::Tcg && machine.kind.arch().is_host() {
        say_slow(finding, reporter);
    }
    if machine.accel == Accel::Tcg || finding.get() != Kvm::Untried {
        return vm::run(machine, folder, streams);
    }
    let hello = std::mem::replace(&mut machine.limits.hello, PROOF_OF_LIFE);
    let outcome = vm::run(machine, folder, streams)?;
    machine.limits.hello = hello;
    let End::NoBoot(why) = &outcome.end else {
        if outcome.release.is_some() {
            finding.remember(None);
        }
        return Ok(outcome);
    };
    machine.accel = Accel::Tcg;
    let arch = machine.kind.arch();
    machine.kind = machine::board(request, arch, Accel::Tcg, !machine.modules.is_empty());
    let again = vm::run(machine, folder, streams)?;
    // What boots without KVM and not with it is no fault of its own.
    if again.release.is_some() {
        finding.remember(Some(why));
        say_slow(finding, reporter);
    }
    Ok(again)
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
