use crate::report::Fault;
use crate::{compile, container, content, kconfig, pack, settings, source, store, vm};

/// A failure of any room. It is told as the room tells it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the room's own error")]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Unpack(#[from] source::UnpackError),
    #[error(transparent)]
    Patch(#[from] source::PatchError),
    /// The patch of one of our own fixes.
    #[error("the fix '{id}' does not fit this source, which seems to need it")]
    Fix { id: String, why: String, source: Box<source::PatchError> },
    #[error(transparent)]
    Kconfig(#[from] kconfig::Error),
    #[error(transparent)]
    Compile(#[from] compile::Error),
    #[error(transparent)]
    Content(#[from] content::Error),
    #[error(transparent)]
    Pack(#[from] pack::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Container(#[from] container::Error),
    #[error(transparent)]
    Vm(#[from] vm::Error),
    /// Something that the user named is not there, or not what it should be.
    #[error("{what} {}: {why}", path.display())]
    Missing { what: &'static str, path: std::path::PathBuf, why: String, hint: String },
    /// An image that is none, or is damaged, or no place for what is in it.
    #[error("can't take the kernel out of {}", path.display())]
    Image { path: std::path::PathBuf, source: container::Error },
    /// An image's file that can't be read.
    #[error("can't read the image {}", path.display())]
    Unreadable { path: std::path::PathBuf, source: pack::Error },
    /// The store has no image that fits.
    #[error("no image in the store is {asked}")]
    NoImage { asked: String, hint: String },
    /// A run that did not end with the command's own end.
    #[error("{problem}")]
    Run { problem: String, hint: Option<String>, fault: Fault },
    /// The command line asks for what can't be.
    #[error("{problem}")]
    Usage { problem: String, hint: String },
    /// The package manager failed.
    #[error("{command}: {status}: {said}")]
    Install { command: String, status: std::process::ExitStatus, said: String },
    /// A file that the user asked for can't be written.
    #[error("can't write what was asked for")]
    Write(#[source] std::io::Error),
    /// The result can't be written.
    #[error("can't write to stdout")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Settings(error) => error.fault(),
            Self::Source(error) => error.fault(),
            Self::Unpack(error) => error.fault(),
            Self::Patch(error) => error.fault(),
            Self::Fix { source, .. } => source.fault(),
            Self::Kconfig(error) => error.fault(),
            Self::Compile(error) => error.fault(),
            Self::Content(error) => error.fault(),
            Self::Pack(error) | Self::Unreadable { source: error, .. } => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Container(error) | Self::Image { source: error, .. } => error.fault(),
            Self::Vm(error) => error.fault(),
            Self::Missing { .. } | Self::NoImage { .. } => Fault::NotFound,
            Self::Run { fault, .. } => *fault,
            Self::Usage { .. } => Fault::Usage,
            Self::Install { .. } => Fault::MissingTools,
            Self::Write(_) | Self::Output(_) => Fault::Storage,
        }
    }

    /// The command or change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Unpack(error) => error.hint(),
            Self::Patch(error) => error.hint(),
            Self::Fix { why, .. } => Some(format!(
                "{why}: change that in the source as newer ones have it, and build it with --source FOLDER"
            )),
            Self::Kconfig(error) => error.hint(),
            Self::Compile(error) => error.hint(),
            Self::Content(error) => error.hint(),
            Self::Pack(error) => error.hint(),
            Self::Unreadable { source, .. } => source.hint().or_else(|| {
                Some("name the file of an image, or the id of one in the store".into())
            }),
            Self::Store(error) => error.hint(),
            Self::Container(error) => error.hint(),
            Self::Image { source, .. } => source.hint().or_else(|| {
                Some("build or fetch the image anew, or name another with --stage1-path".into())
            }),
            Self::Vm(error) => error.hint(),
            Self::Missing { hint, .. } | Self::NoImage { hint, .. } => Some(hint.clone()),
            Self::Run { hint, .. } => hint.clone(),
            Self::Usage { hint, .. } => Some(hint.clone()),
            Self::Install { .. } => {
                Some("check the package sources, then run the command by hand".into())
            }
            Self::Write(_) => Some("name a place that you may write to, with room".into()),
            Self::Output(_) => None,
        }
    }
}
