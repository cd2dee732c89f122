//! Why a machine can't be run.

use std::io;
use std::path::{Path, PathBuf};

use crate::content::HOW_TO_HAVE_PROGRAMS;
use crate::proc;
use crate::report::Fault;
use crate::settings::Arch;

/// Why a machine can't be run at all; what becomes of one that runs is an
/// [`super::Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU is absent or can't be started.
    #[error("can't start the machine")]
    Qemu(#[source] proc::Error),
    /// The daemon of a share can't be started.
    #[error("can't start the daemon of a share")]
    Virtiofsd(#[source] proc::Error),
    /// QEMU refused its arguments.
    #[error("QEMU ended before the guest began: {said}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// The run's folder, or a file in it.
    #[error("can't use the run's folder {}", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Sockets, threads, terminals.
    #[error("can't {doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Something that the machine is to be given is absent or wrong.
    #[error("{what} {}: {why}", path.display())]
    Input {
        /// What it was to be.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The accelerator that was asked for by name is of no use here.
    #[error("KVM can't be used: {why}")]
    Kvm {
        /// Why.
        why: String,
    },
    /// This binary has no first process for such a guest.
    #[error("this stage1-builder was built without the programs for {arch} guests")]
    NoProgram {
        /// Which architecture.
        arch: Arch,
    },
    /// No such run.
    #[error("there is no running VM '{uuid}'")]
    NoSuchRun {
        /// As it was asked for.
        uuid: String,
    },
}

impl Error {
    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { path, source }
    }

    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Qemu(proc::Error::NotFound { .. })
            | Self::Virtiofsd(_)
            | Self::NoProgram { .. } => Fault::MissingTools,
            Self::Qemu(_) | Self::Refused { .. } => Fault::Lost,
            Self::Folder { .. } | Self::System { .. } => Fault::Storage,
            Self::Input { .. } | Self::NoSuchRun { .. } => Fault::NotFound,
            Self::Kvm { .. } => Fault::NoBoot,
        }
    }

    /// The command or change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Qemu(proc::Error::NotFound { program }) if program == Arch::Arm64.qemu() => Some(
                "apt-get install qemu-system-arm (dnf install qemu-system-aarch64-core, \
                 pacman -S qemu-system-aarch64, zypper install qemu-arm), or name it with --qemu"
                    .into(),
            ),
            Self::Qemu(proc::Error::NotFound { .. }) => Some(
                "apt-get install qemu-system-x86 (dnf install qemu-system-x86-core, \
                 pacman -S qemu-system-x86, zypper install qemu-x86), or name it with --qemu"
                    .into(),
            ),
            Self::NoProgram { .. } => Some(HOW_TO_HAVE_PROGRAMS.into()),
            Self::Virtiofsd(_) => Some("--share=9p does without it".into()),
            Self::Refused { .. } => {
                Some("--dry-run prints QEMU's command line; run it by hand".into())
            }
            Self::Folder { .. } => Some(
                "set XDG_RUNTIME_DIR (or TMPDIR) to a folder that you may write and that has room"
                    .into(),
            ),
            Self::Kvm { .. } => Some("leave --accel out, and TCG takes its place".into()),
            Self::NoSuchRun { .. } => {
                Some("`stage1-builder enter` without a name lists those that run".into())
            }
            Self::Qemu(_) | Self::System { .. } | Self::Input { .. } => None,
        }
    }
}
