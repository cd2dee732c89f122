//! A kernel's source that the user names: a path, or a state of a repository.

use std::fmt;
use std::path::{Path, PathBuf};

use super::value::{Wrong, path};

/// A kernel's source of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnSource {
    /// A folder or tarball.
    Path(PathBuf),
    /// What a git repository has.
    Git(GitSource),
}

/// A state of a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// Where it is: a URL, git's own `host:path`, or a folder.
    pub repository: String,
    /// Which state: a tag, a branch, a commit's id.
    pub reference: String,
}

impl GitSource {
    /// The folder that the repository is, if it is one of this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        let path = self.repository.strip_prefix("file://").unwrap_or(&self.repository);
        (!is_remote(path)).then(|| Path::new(path))
    }
}

impl fmt::Display for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repository, self.reference)
    }
}

/// Whether a repository is a URL or `host:path`, as git tells them from paths
/// (git-fetch(1), GIT URLS): by `://`, or a colon before any slash.
fn is_remote(text: &str) -> bool {
    text.contains("://") || text.split('/').next().is_some_and(|first| first.contains(':'))
}

/// The ends of archives' names.
const ARCHIVES: [&str; 8] =
    [".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst", ".txz", ".tgz", ".tbz2"];

/// `PATH`, `REPOSITORY#REFERENCE`, or a repository's URL.
pub(super) fn own_source(text: &str) -> Result<OwnSource, Wrong> {
    let (repository, reference) = match text.rsplit_once('#') {
        Some((repository, reference)) => (repository, Some(reference)),
        None => (text, None),
    };
    if reference.is_none() && !is_remote(text) {
        return path(text).map(OwnSource::Path);
    }
    let reference = reference.unwrap_or("HEAD");
    // Git takes a word that begins so for an option.
    if [repository, reference].iter().any(|word| word.is_empty() || word.starts_with('-')) {
        return Err(Wrong::new(
            "no state of a git repository is named so",
            "write it as URL#REFERENCE, for example https://example.org/linux.git#v6.12.3",
        ));
    }
    if !is_remote(repository) {
        path(repository)?;
    }
    if ARCHIVES.iter().any(|end| repository.ends_with(end)) && is_remote(repository) {
        return Err(Wrong::new(
            "a tarball is not fetched from a URL; this one would be taken for a git repository",
            "fetch it first, and name the file here and its checksum in S1B_SOURCE_SHA256",
        ));
    }
    let (repository, reference) = (repository.to_owned(), reference.to_owned());
    Ok(OwnSource::Git(GitSource { repository, reference }))
}
