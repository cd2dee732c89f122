use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::http;
use crate::proc::{self, interrupt};
use crate::report::{Fault, text};

/// A container image that could not be found, fetched, verified or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed names no image.
    #[error("'{text}' names no container image: {reason}")]
    Reference {
        /// As typed.
        text: String,
        /// What is wrong in it.
        reason: String,
    },
    /// A path where nothing is.
    #[error("{path}: there is no such file or folder")]
    NotThere {
        /// The path.
        path: PathBuf,
    },
    /// A file that holds no image that we know.
    #[error("{path}: is no container image: {reason}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A tag that an archive or layout has not.
    #[error("{name}: {reason}{}", listed("it has", .offered))]
    NoTag {
        /// The archive or layout, and the tag.
        name: String,
        /// What can't be told.
        reason: String,
        /// The tags that are there.
        offered: Vec<String>,
    },
    /// A registry that has no such image.
    #[error("{registry} has no image {name}")]
    NoImage {
        /// The registry's host.
        registry: String,
        /// Repository and tag or digest.
        name: String,
    },
    /// An image for other machines only.
    #[error("{name} is not for {wanted}{}", listed("it is for", .offered))]
    NoPlatform {
        /// The image.
        name: String,
        /// What was wanted.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// An image that is not here, and must not be fetched.
    #[error("{name} is not in the store, and may not be fetched")]
    NotHere {
        /// The image.
        name: String,
    },
    /// A registry that lets us in only with a password, or not with ours.
    #[error("{registry} gives no access to {name}: {reason}")]
    Denied {
        /// The registry's host.
        registry: String,
        /// The repository.
        name: String,
        /// What it said.
        reason: String,
    },
    /// A password or image that would go through the open network.
    #[error("{url}: unencrypted HTTP to another machine")]
    PlainHttp {
        /// Where it would go.
        url: String,
    },
    /// A file of passwords that can't be used.
    #[error("{path}: can't be used: {reason}")]
    Credentials {
        /// The file or program.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Bytes that are not what they should be.
    #[error("{what}: has the digest {found}, not {expected}")]
    Altered {
        /// Which part of which image.
        what: String,
        /// The digest that it should have.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// A part of another length than was said.
    #[error("{what}: is not {expected} bytes long")]
    Length {
        /// Which part of which image.
        what: String,
        /// The bytes that it should have.
        expected: u64,
    },
    /// A manifest, configuration or list that can't be understood.
    #[error("{what}: can't be understood: {reason}")]
    Malformed {
        /// Which part of which image.
        what: String,
        /// What is wrong in it.
        reason: String,
    },
    /// Something that images may have and we can't do.
    #[error("{what}: {reason}, which is not supported")]
    Unsupported {
        /// Which part of which image.
        what: String,
        /// What it has.
        reason: String,
    },
    /// A layer that can't be read to its end.
    #[error("{what}: damaged")]
    Damaged {
        /// Which part of which image.
        what: String,
        /// Where it breaks.
        source: io::Error,
    },
    /// An entry of a layer that leaves the image, or can't be.
    #[error("{what}: '{path}' {reason}")]
    Path {
        /// Which part of which image.
        what: String,
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than is taken.
    #[error("{what}: has more than {limit}")]
    TooBig {
        /// Which part of which image.
        what: String,
        /// Of what how much is taken.
        limit: String,
    },
    /// A server.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Another program is missing or failed.
    #[error(transparent)]
    Program(#[from] proc::Error),
    /// The file system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// We were asked to stop.
    #[error("stopped by {0}")]
    Interrupted(interrupt::Signal),
}

fn listed(head: &str, words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; {head} {}", words.join(", ")) }
}

impl Error {
    /// More bytes than the limit.
    pub(super) fn too_many_bytes(what: &str, limit: u64) -> Self {
        Self::TooBig { what: what.to_owned(), limit: text::bytes(limit) }
    }

    /// What went wrong while reading a part of an image, which may be that
    /// we are asked to stop.
    pub(super) fn damaged(what: &str, source: io::Error) -> Self {
        match interrupt::requested() {
            Some(signal) => Self::Interrupted(signal),
            None => Self::Damaged { what: what.to_owned(), source },
        }
    }

    pub(super) fn malformed(what: &str, reason: impl ToString) -> Self {
        Self::Malformed { what: what.to_owned(), reason: reason.to_string() }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Reference { .. } => Fault::Usage,
            Self::NotThere { .. }
            | Self::NoTag { .. }
            | Self::NoImage { .. }
            | Self::NoPlatform { .. }
            | Self::NotHere { .. } => Fault::NotFound,
            Self::Denied { .. } | Self::PlainHttp { .. } | Self::Credentials { .. } => {
                Fault::Settings
            }
            Self::Altered { .. } | Self::Length { .. } => Fault::Verification,
            Self::NotAnImage { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. }
            | Self::Path { .. }
            | Self::TooBig { .. } => Fault::Archive,
            Self::Http(error) => error.fault(),
            Self::Program(error) => match error.signal() {
                Some(signal) => signal.into(),
                None => Fault::MissingTools,
            },
            Self::Io(_) => Fault::Storage,
            Self::Interrupted(signal) => (*signal).into(),
        }
    }

    /// The command or change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Reference { .. } => {
                "docker://NAME[:TAG], oci:FOLDER[:TAG], oci-archive:FILE, docker-archive:FILE, or \
                 a path"
            }
            Self::NotThere { .. } => "an image of a registry is written docker://NAME[:TAG]",
            Self::NotAnImage { .. } => {
                "`docker save NAME > FILE` makes one, or `skopeo copy docker://NAME oci:FOLDER`"
            }
            Self::NoTag { .. } => "name one of its tags, as in oci:FOLDER:TAG",
            Self::NoImage { .. } => "check the name and the tag",
            Self::NotHere { .. } => "use --pull-policy=new",
            Self::Denied { registry, .. } => {
                return Some(format!(
                    "check the name; if it is private, `docker login {registry}`"
                ));
            }
            Self::PlainHttp { .. } => {
                "use --insecure-options=http if you trust the network in between"
            }
            Self::Altered { .. } | Self::Length { .. } => {
                "fetch or export the image again, from elsewhere if it stays so"
            }
            Self::Http(error) => return error.hint(),
            Self::Program(proc::Error::NotFound { program }) => {
                return Some(format!("install {program}, which your docker configuration names"));
            }
            Self::Io(error) => return text::storage_hint(error),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
