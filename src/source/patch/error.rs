use std::io;
use std::path::PathBuf;

use crate::proc::interrupt;
use crate::report::{Fault, text};

/// Why patches could not be applied. Whenever the patches are the reason,
/// the tree is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The text is no patch that we understand.
    #[error("{patch}:{line}: {why}")]
    Text {
        /// The patch's name.
        patch: String,
        /// The line in the patch, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// A path that may not be written.
    #[error("{patch}: refused the path '{path}': {why}")]
    Path {
        /// The patch's name.
        patch: String,
        /// The path as the patch says it.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file as a whole is not what the patch is for.
    #[error("{patch} does not apply: {path} {why}")]
    File {
        /// The patch's name.
        patch: String,
        /// The file in the tree.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A hunk has no place in its file.
    #[error(
        "{patch} does not apply: hunk {hunk} (line {patch_line} of the patch) fails at {path}:{line}\n    \
         expected: {expected}\n    found:    {found}"
    )]
    Hunk {
        /// The patch's name.
        patch: String,
        /// The file in the tree.
        path: String,
        /// The hunk's number in that file, from 1.
        hunk: usize,
        /// The line of the hunk's header in the patch, from 1.
        patch_line: usize,
        /// The line in the file, from 1, with the patches before applied.
        line: usize,
        /// What the patch expects on that line.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The folder of originals does not hold what its journal says.
    #[error("{}: the kept originals are damaged: {why}", .path.display())]
    Originals {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The tree or the folder of originals can't be read or written.
    #[error("can't patch the source tree")]
    Storage {
        /// The reason, with the path.
        source: io::Error,
    },
    /// We were asked to stop.
    #[error("patching stopped by {signal}")]
    Interrupted {
        /// By which signal.
        signal: interrupt::Signal,
    },
}

impl PatchError {
    /// The kind of failure.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Path { .. } => Fault::Archive,
            Self::Text { .. } | Self::File { .. } | Self::Hunk { .. } => Fault::Patch,
            Self::Originals { .. } | Self::Storage { .. } => Fault::Storage,
            Self::Interrupted { signal } => (*signal).into(),
        }
    }

    /// The patch that is not for the tree, if that is the reason.
    #[must_use]
    pub fn patch(&self) -> Option<&str> {
        match self {
            Self::File { patch, .. } | Self::Hunk { patch, .. } => Some(patch),
            _ => None,
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { patch, .. } | Self::Hunk { patch, .. } => Some(format!(
                "{patch} is for another version of this file: adapt it, or leave it out"
            )),
            Self::Originals { path, .. } => {
                let folder = crate::fsutil::parent(path).display();
                Some(format!("remove {folder} and the tree it belongs to: it is unpacked anew"))
            }
            Self::Storage { source } => text::storage_hint(source),
            _ => None,
        }
    }
}

impl From<io::Error> for PatchError {
    fn from(source: io::Error) -> Self {
        Self::Storage { source }
    }
}
