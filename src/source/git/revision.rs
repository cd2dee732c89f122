//! Where in a history a source is, and how its release tells.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::settings::KernelVersion;

use super::program::git;
use super::reference::Target;

/// A source's place in a history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The commit's id.
    pub commit: String,
    /// What `uname -r` says of it after the version and its suffix, as the
    /// kernel's own `scripts/setlocalversion` would: nothing at the version's
    /// tag, else `-00012-g0123456789ab` for 12 commits after it (or without
    /// the number where nobody knows), and `-dirty` with changes.
    pub mark: String,
}

/// Of a checkout, whose files may be changed; `None` if it has no commit, or
/// git can't tell.
pub(in super::super) fn of_checkout(root: &Path, version: KernelVersion) -> Option<Revision> {
    let commit = ask(root, &["rev-parse", "--verify", "HEAD"])?;
    let mut revision = of_commit(root, &commit, version);
    // Files that git does not know are of the source, too.
    let changed = ask(root, &["--no-optional-locks", "status", "--porcelain"])?;
    if !changed.is_empty() {
        revision.mark.push_str("-dirty");
    }
    Some(revision)
}

/// What a checkout's [`Revision`] depends on, besides its files.
pub(in super::super) fn heads(root: &Path, version: KernelVersion) -> String {
    let asked = |name: &str| ask(root, &["rev-parse", "--quiet", "--verify", name]);
    let ids = [asked("HEAD"), asked(&tag(version))];
    ids.map(Option::unwrap_or_default).join(" ")
}

/// Of a commit in a repository that has its history.
pub(super) fn of_commit(root: &Path, commit: &str, version: KernelVersion) -> Revision {
    let since = format!("{}..{commit}", tag(version));
    let count = ask(root, &["rev-list", "--count", &since, "--"]);
    let of_tag = ask(root, &["merge-base", "--is-ancestor", &tag(version), commit]);
    let mark = match of_tag.and(count).as_deref() {
        Some("0") => String::new(),
        Some(count) => format!("-{count:0>5}{}", short(commit)),
        None => short(commit),
    };
    Revision { commit: commit.to_owned(), mark }
}

/// Of a commit of which only its name is known.
pub(super) fn of_name(target: &Target, version: KernelVersion) -> Revision {
    let commit = target.commit.clone();
    let mark = if target.name == tag(version) { String::new() } else { short(&commit) };
    Revision { commit, mark }
}

fn tag(version: KernelVersion) -> String {
    format!("refs/tags/v{}", version.tarball())
}

fn short(commit: &str) -> String {
    format!("-g{}", commit.get(..12).unwrap_or(commit))
}

fn ask(root: &Path, args: &[&str]) -> Option<String> {
    let output = git().arg("-C").arg(root).args(args).run().ok()?;
    Some(String::from_utf8_lossy(&output).trim().to_owned())
}
