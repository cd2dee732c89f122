//! Patches: text -> the tree that is "pristine + patches", whatever it was.
//!
//! [`apply_series`] works on paper first: it reads what the touched files
//! were before any patch (`originals`), applies the patches in memory
//! (`parse`, `hunk`, `series`), and only when all of them apply makes a list
//! of what differs on disk and does it (`write`). So
//!
//! - an error leaves the tree as it was;
//! - one series after another leaves exactly the pristine tree and the last
//!   series, in whatever order they came;
//! - a file whose content does not change is not written, and make does not
//!   compile it again;
//! - killed at any point, the next call comes to the same end.
//!
//! The caller holds the lock for the tree.

mod error;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod hunk;
mod originals;
mod parse;
mod series;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use error::PatchError;

use crate::digest::Digest;
use crate::proc::interrupt;
use crate::report::Reporter;

/// A patch: the text of one or more commits or diffs, taken as by `patch -p1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    name: String,
    text: Vec<u8>,
    digest: Digest,
}

impl Patch {
    /// A patch by the name that messages tell (a path or URL) and its text.
    #[must_use]
    pub fn new(name: impl Into<String>, text: Vec<u8>) -> Self {
        let digest = Digest::sha256(&text);
        Self { name: name.into(), text, digest }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of its text.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// What became of a patch that was no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is applied.
    Applied,
    /// The source had it already: it applies in reverse only.
    AlreadyIn,
}

/// Brings `tree` to the pristine source with exactly these patches, in this
/// order, whatever was applied before by this function.
///
/// `pristine` is a folder outside of the tree, this function's own, where the
/// originals of touched files are kept; it goes with the tree.
///
/// # Errors
/// When a patch can't be read, would write where it may not, or neither
/// applies nor is in already: then nothing has been written. When the tree or
/// the originals can't be read or written, or we were asked to stop: then the
/// next call goes on.
pub fn apply_series(
    tree: &Path,
    pristine: &Path,
    patches: &[Patch],
    reporter: &dyn Reporter,
) -> Result<Vec<(String, Outcome)>, PatchError> {
    let originals = originals::Originals::load(tree, pristine)?;
    let (changed, outcomes) = on_paper(&originals, patches)?;
    for (name, outcome) in &outcomes {
        match outcome {
            Outcome::Applied => reporter.detail(format!("patch {name} applies")),
            Outcome::AlreadyIn => {
                reporter.note(format!("patch {name} is in the source already, passed over"));
            }
        }
    }
    for step in write::plan(&originals, &changed)? {
        if let Some(signal) = interrupt::requested() {
            return Err(PatchError::Interrupted { signal });
        }
        step.act()?;
    }
    Ok(outcomes)
}

/// A tree as it was before any patch, whatever patches are in it now.
pub struct Pristine<'a>(originals::Originals<'a>);

impl<'a> Pristine<'a> {
    /// The tree, with the originals that [`apply_series`] kept in `pristine`;
    /// a folder that is not there has none.
    ///
    /// # Errors
    /// When the originals can't be read.
    pub fn of(tree: &'a Path, pristine: &'a Path) -> Result<Self, PatchError> {
        originals::Originals::load(tree, pristine).map(Self)
    }

    /// What was in the file at this path; `None` if there was none.
    ///
    /// # Errors
    /// When it can't be read, or something else than a file is there.
    pub fn read(&self, path: &str) -> io::Result<Option<Arc<Vec<u8>>>> {
        match self.0.node(path) {
            Ok(node) => Ok(node.map(|node| node.content)),
            Err(failure) => Err(io::Error::other(failure.of(path))),
        }
    }
}

type OnPaper = (series::Changed, Vec<(String, Outcome)>);

fn on_paper(
    originals: &originals::Originals<'_>,
    patches: &[Patch],
) -> Result<OnPaper, PatchError> {
    let mut state = series::State::new(originals);
    let mut outcomes = Vec::new();
    for patch in patches {
        let plain = parse::without_carriage_returns(&patch.text);
        let text = plain.as_deref().unwrap_or(&patch.text);
        let commits = parse::parse(text).map_err(|wrong| named(wrong, patch))?;
        let outcome = state.apply(&commits).map_err(|failure| failure.of(&patch.name))?;
        outcomes.push((patch.name.clone(), outcome));
    }
    Ok((state.changed, outcomes))
}

fn named(wrong: parse::Wrong, patch: &Patch) -> PatchError {
    let patch = patch.name.clone();
    match wrong {
        parse::Wrong::Text { line, why } => PatchError::Text { patch, line, why },
        parse::Wrong::Path { path, why } => PatchError::Path { patch, path, why: why.to_owned() },
    }
}
