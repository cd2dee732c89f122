//! What a run needs: QEMU, KVM if it is to be quick, a quicker way to folders.

use crate::content;
use crate::proc;
use crate::report::{Reporter, text};
use crate::settings::{Arch, Settings};
use crate::store::{Found, Store};
use crate::vm::{self, Accel, End, Ending, Finding, Kvm, Streams};

use super::super::run::{self, KernelChoice, RunRequest};
use super::tools::version;
use super::{Area, Line};

pub(super) fn look(settings: &Settings, boot: bool, reporter: &dyn Reporter) -> Vec<Line> {
    let (request, qemu) = (RunRequest::default(), settings.arch.qemu());
    if proc::find(qemu).is_none() {
        let mend = match settings.arch {
            Arch::X86_64 => "apt-get install qemu-system-x86 (dnf: qemu-system-x86-core)",
            Arch::Arm64 => "apt-get install qemu-system-arm (dnf: qemu-system-aarch64-core)",
        };
        return vec![Line::missing(Area::Run, "qemu", format!("there is no {qemu}"), mend)];
    }
    let mut lines = vec![Line::ok(Area::Run, "qemu", version(qemu))];
    if settings.arch.is_host() {
        let finding = Finding::new(&Store::new(&settings.cache_dir).host(), qemu);
        let proof = if boot { prove(settings, &finding, reporter) } else { None };
        lines.push(kvm(&finding.get()));
        lines.extend(proof);
    } else {
        lines.push(programs(settings.arch));
    }
    lines.push(virtiofsd(&request.virtiofsd));
    lines.push(user_namespaces());
    lines
}

/// Whether this binary has what runs in a guest of another architecture.
fn programs(arch: Arch) -> Line {
    const NAME: &str = "guest programs";
    match content::guest_program(content::INIT, arch) {
        Some(_) => Line::ok(Area::Run, NAME, format!("there for {arch}; its guests are emulated")),
        None => Line::missing(
            Area::Run,
            NAME,
            format!("this stage1-builder was built without those for {arch}"),
            content::HOW_TO_HAVE_PROGRAMS,
        ),
    }
}

/// Usable, merely there, denied or absent: each has another cure.
fn kvm(kvm: &Kvm) -> Line {
    const NAME: &str = "kvm";
    let slow = "guests are emulated, many times slower";
    match kvm {
        Kvm::Usable => Line::ok(Area::Run, NAME, "usable: a guest ran under it"),
        Kvm::Untried => Line::warning(
            Area::Run,
            NAME,
            "/dev/kvm opens; no guest was tried yet",
            "stage1-builder run -- true, which tries it",
        ),
        Kvm::Unusable(why) => Line::warning(
            Area::Run,
            NAME,
            format!("/dev/kvm is there, and guests don't run on it: {slow}; {}", first_line(why)),
            "turn nested virtualisation on, on the machine that this one runs on",
        ),
        Kvm::Denied => Line::warning(
            Area::Run,
            NAME,
            format!("/dev/kvm may not be opened: {slow}"),
            "sudo usermod -aG kvm $USER, then log in again",
        ),
        Kvm::Absent => Line::warning(
            Area::Run,
            NAME,
            format!("there is no /dev/kvm: {slow}"),
            "sudo modprobe kvm_intel || sudo modprobe kvm_amd; or turn virtualisation on in the \
             firmware",
        ),
    }
}

/// QEMU's last words can be many.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Boots the newest image of the store, where that tells something new.
fn prove(settings: &Settings, finding: &Finding, reporter: &dyn Reporter) -> Option<Line> {
    if finding.get() != Kvm::Untried {
        return None;
    }
    let images = Store::new(&settings.cache_dir).images().all();
    let fits = |image: &Found| run::kernel::is_for(image, settings.arch);
    let image = images.into_iter().filter(fits).max_by_key(|image| image.made)?;
    reporter.note(format!("booting {} to see whether KVM works", image.record.release));
    let request = RunRequest {
        kernel: KernelChoice::Image(image.file),
        args: vec![b"/bin/true".to_vec()],
        ..RunRequest::default()
    };
    let mut streams = Streams {
        stdin: None,
        stdout: None,
        stderr: None,
        console: None,
        interruptible: true,
        requests: None,
        started: None,
    };
    Some(told(run::run(&request, settings, &mut streams, reporter)))
}

fn told(ran: Result<run::Ran, super::super::Error>) -> Line {
    const NAME: &str = "boot";
    let mend = "stage1-builder run --console - -- true shows what the kernel says";
    match ran {
        Ok(ran) if matches!(ran.outcome.end, End::Command(Ending::Code(0))) => {
            let time = ran.outcome.boot.map(text::duration).unwrap_or_default();
            let how = if ran.machine.accel == Accel::Kvm { "under KVM" } else { "emulated" };
            let release = ran.outcome.release.unwrap_or_default();
            Line::ok(Area::Run, NAME, format!("{release} booted {how} in {time}"))
        }
        Ok(ran) => Line::missing(Area::Run, NAME, format!("{:?}", ran.outcome.end), mend),
        Err(error) => Line::missing(Area::Run, NAME, text::chain(&error), mend),
    }
}

fn virtiofsd(program: &str) -> Line {
    const NAME: &str = "virtiofsd";
    let mend = "apt-get install virtiofsd (Debian 13, Ubuntu 23.10), or cargo install virtiofsd";
    let found = proc::find(program).or_else(|| proc::find("/usr/libexec/virtiofsd"));
    let Some(path) = found.map(|path| path.display().to_string()) else {
        let detail = "not there; folders are shared over 9p, which is slower";
        return Line::warning(Area::Run, NAME, detail, mend);
    };
    match vm::virtiofsd_serves(&path) {
        true => Line::ok(Area::Run, NAME, version(&path)),
        false => Line::warning(
            Area::Run,
            NAME,
            format!("{path} is the old one in C; folders are shared over 9p, which is slower"),
            mend,
        ),
    }
}

/// Nothing of ours asks for one; who wonders why another tool of the kind does
/// not work finds it here.
fn user_namespaces() -> Line {
    const NAME: &str = "user namespaces";
    let value = |path: &str| {
        let text = fs_err::read_to_string(format!("/proc/sys/{path}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let root = rustix::process::geteuid().is_root();
    let none = value("user/max_user_namespaces") == Some(0);
    let for_root = value("kernel/unprivileged_userns_clone") == Some(0)
        || value("kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    let detail = match none || (for_root && !root) {
        true => "not allowed, and not needed",
        false => "allowed, and not needed",
    };
    Line::ok(Area::Run, NAME, detail)
}
