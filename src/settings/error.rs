use std::path::PathBuf;

use super::{Key, Origin, Position};
use crate::report::Fault;

/// A setting, or a file of settings, that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line of a settings file.
    #[error("{}:{}:{}: {problem}", file.display(), at.line, at.column)]
    Line {
        /// The file.
        file: PathBuf,
        /// The place in it.
        at: Position,
        /// What is wrong there.
        problem: String,
        /// What to write instead.
        instead: Option<String>,
    },
    /// A variable of the environment that looks like a setting and is none.
    #[error("environment: unknown setting '{name}'")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The setting that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A variable of the environment that is not UTF-8.
    #[error("environment: the value of {name} is not UTF-8")]
    NotText {
        /// The variable.
        name: String,
    },
    /// A value that its setting can't have.
    #[error("{origin}: {}: {problem}", named(*key, origin))]
    Value {
        /// The setting.
        key: Key,
        /// Who gave the value.
        origin: Origin,
        /// What is wrong with it; names the value.
        problem: String,
        /// What to write instead.
        instead: Option<String>,
    },
    /// The release string that a version and the suffix make is too long.
    #[error("the kernel release '{release}' has {} characters, more than {limit}", release.len())]
    ReleaseTooLong {
        /// Version and suffix.
        release: String,
        /// What `uname -r` can hold.
        limit: usize,
    },
    /// `SOURCE_DATE_EPOCH` is no date.
    #[error("environment: SOURCE_DATE_EPOCH: '{0}' is not a number of seconds since 1970")]
    SourceDateEpoch(String),
    /// There is no folder for the cache.
    #[error("can't tell where the cache is: neither XDG_CACHE_HOME nor HOME is set")]
    NoCacheFolder,
    /// A settings file, or a folder, that can't be read.
    #[error("can't read the settings")]
    Read(#[source] std::io::Error),
}

/// A setting under the name by which its origin calls it.
fn named(key: Key, origin: &Origin) -> String {
    match origin {
        Origin::Flag => format!("--{}", key.setting().flag),
        _ => key.name().to_owned(),
    }
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Value { origin: Origin::Flag, .. } => Fault::Usage,
            _ => Fault::Settings,
        }
    }

    /// One line: what mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Line { instead, .. } | Self::Value { instead, .. } => instead.clone(),
            Self::UnknownVariable { name, nearest } => Some(did_you_mean(name, *nearest)),
            Self::NotText { name } => Some(format!("unset {name}, or set it to UTF-8 text")),
            Self::ReleaseTooLong { .. } => {
                Some("set a shorter S1B_KERNEL_VERSION_SUFFIX".to_owned())
            }
            Self::SourceDateEpoch(_) => {
                Some("unset SOURCE_DATE_EPOCH, or set it to digits".to_owned())
            }
            Self::NoCacheFolder => Some("set S1B_CACHE_DIR or --cache-dir".to_owned()),
            Self::Read(_) => None,
        }
    }
}

/// What to do about an unknown setting.
pub(super) fn did_you_mean(name: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => {
            format!("'stage1-builder config' lists every setting; remove {name} or rename it")
        }
    }
}
