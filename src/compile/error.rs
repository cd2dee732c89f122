use std::io;
use std::path::PathBuf;

use super::failure::Failure;
use super::requirements::{Manager, Missing, install_command};
use crate::proc;
use crate::proc::interrupt::Signal;
use crate::report::{Fault, text};

/// What can go wrong between a source tree and a kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Programs or libraries that the host lacks, all at once.
    #[error("the host lacks what a kernel's build needs:{}", listed(.0))]
    MissingTools(Vec<Missing>),
    /// A tool's answer to `--version` makes no sense.
    #[error("{tool}: no version in its answer '{answer}'")]
    StrangeTool {
        /// The tool, as called.
        tool: String,
        /// The first line of its answer.
        answer: String,
    },
    /// The built-in table of fixes, or a probe in it, is wrong.
    #[error("fixes/fixes.toml: {text}")]
    Fixes {
        /// What is wrong.
        text: String,
    },
    /// The tree calls itself otherwise than the caller does.
    #[error("the kernel would call itself '{found}', not '{wanted}'{}", because(.causes))]
    Release {
        /// `<version><suffix>`.
        wanted: String,
        /// What `make kernelrelease` says.
        found: String,
        /// What in the tree may add to it.
        causes: Vec<String>,
    },
    /// A path that makefiles can't take.
    #[error("{}: make takes no path with '{character}' in it", .path.display())]
    Path {
        /// The source tree.
        path: PathBuf,
        /// What is in the way.
        character: char,
    },
    /// make failed.
    #[error("make {targets} failed: {failure}\nthe whole log is {}", .log.display())]
    Make {
        /// What was to be made.
        targets: String,
        /// The first error.
        failure: Box<Failure>,
        /// The whole log.
        log: PathBuf,
    },
    /// make went well but a piece is not there.
    #[error("make ended well but left no {}; the whole log is {}", .path.display(), .log.display())]
    Absent {
        /// What should be there.
        path: PathBuf,
        /// The whole log.
        log: PathBuf,
    },
    /// A folder or file can't be read or written.
    #[error("{action}")]
    Files {
        /// What was tried, with the path.
        action: String,
        /// The system's reason.
        source: io::Error,
    },
    /// We were asked to stop while make ran.
    #[error("the build was stopped by {signal}; the next one goes on from there")]
    Stopped {
        /// By which signal.
        signal: Signal,
    },
    /// A toolchain that is here whole, and whose programs don't run.
    #[error("{name} does not run on this host")]
    Archive {
        /// As it was asked for.
        name: String,
        /// The reason, with the program's path.
        source: proc::Error,
    },
    /// A program can't be started.
    #[error("can't run a program of the build")]
    Program {
        /// The reason.
        #[from]
        source: proc::Error,
    },
}

fn listed(missing: &[Missing]) -> String {
    missing.iter().map(|one| format!("\n    {}: {}", one.name, one.why)).collect()
}

fn because(causes: &[String]) -> String {
    if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) }
}

impl Error {
    pub(super) fn files(action: impl Into<String>, source: io::Error) -> Self {
        Self::Files { action: action.into(), source }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::MissingTools(_) => Fault::MissingTools,
            Self::StrangeTool { .. } | Self::Absent { .. } => Fault::Compile,
            Self::Release { .. } => Fault::Kconfig,
            Self::Fixes { .. } => Fault::Internal,
            Self::Make { failure, .. } if failure.is_storage() => Fault::Storage,
            Self::Make { .. } => Fault::Compile,
            Self::Path { .. } => Fault::Settings,
            Self::Files { .. } => Fault::Storage,
            Self::Stopped { signal } => (*signal).into(),
            Self::Archive { .. } => Fault::MissingTools,
            Self::Program { source } => source.signal().map_or(Fault::MissingTools, Fault::from),
        }
    }

    /// The command or change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MissingTools(missing) => {
                let names: Vec<&str> = missing.iter().map(|one| one.name.as_str()).collect();
                let names = names.join(", ");
                Some(match Manager::of_this_host() {
                    None => format!("install {names}"),
                    Some(manager) => install_command(missing, manager)
                        .unwrap_or_else(|| format!("name another compiler than {names} with --cc")),
                })
            }
            Self::Release { .. } => Some(
                "remove what adds to the name, or set S1B_KERNEL_VERSION and \
                 S1B_KERNEL_VERSION_SUFFIX to match"
                    .to_owned(),
            ),
            Self::Path { .. } => Some("set S1B_BUILD_DIR to a plainer path".to_owned()),
            Self::Make { failure, log, .. } => Some(match failure.hint() {
                Some(hint) => hint.to_owned(),
                None => format!("less +/error: {}", log.display()),
            }),
            Self::Archive { .. } => Some(
                "take another release with --toolchain, or a compiler of this host with --cc"
                    .to_owned(),
            ),
            Self::Files { source, .. } => text::storage_hint(source),
            _ => None,
        }
    }
}
