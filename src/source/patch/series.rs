//! Patches on paper: what every touched file becomes, before anything is
//! written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hunk::{self, Hunk, Misfit};
use super::originals::Originals;
use super::parse::{Commit, FilePatch, Mode, Operation};
use super::{Outcome, PatchError};

/// A file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The content; a link's is its target.
    pub(super) content: Arc<Vec<u8>>,
    pub(super) mode: Mode,
}

/// Why a patch does not apply, or may not.
#[derive(Debug)]
pub(super) enum Failure {
    /// It would write where it may not: no reason to try it in reverse.
    Path {
        path: String,
        why: String,
    },
    File {
        path: String,
        why: String,
    },
    Hunk {
        path: String,
        misfit: Misfit,
    },
    Other(PatchError),
}

impl Failure {
    fn file(path: &str, why: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), why: why.into() }
    }

    /// The error that names the patch.
    pub(super) fn of(self, patch: &str) -> PatchError {
        let patch = patch.to_owned();
        match self {
            Self::Path { path, why } => PatchError::Path { patch, path, why },
            Self::File { path, why } => PatchError::File { patch, path, why },
            Self::Hunk { path, misfit } => {
                let Misfit { hunk, patch_line, line, expected, found } = misfit;
                PatchError::Hunk { patch, path, hunk, patch_line, line, expected, found }
            }
            Self::Other(error) => error,
        }
    }
}

type Tried<T> = Result<T, Failure>;

/// What the touched files are by now; `None` for one that is not there.
pub(super) type Changed = BTreeMap<String, Option<Node>>;

/// The tree as it is on paper.
#[derive(Clone)]
pub(super) struct State<'a> {
    originals: &'a Originals<'a>,
    pub(super) changed: Changed,
}

impl<'a> State<'a> {
    pub(super) fn new(originals: &'a Originals<'a>) -> Self {
        Self { originals, changed: Changed::new() }
    }

    /// Applies a whole patch, or finds that it is in already.
    pub(super) fn apply(&mut self, commits: &[Commit<'_>]) -> Tried<Outcome> {
        let mut forward = self.clone();
        let failure = match commits.iter().try_for_each(|commit| forward.commit(commit)) {
            Ok(()) => {
                *self = forward;
                return Ok(Outcome::Applied);
            }
            Err(failure @ (Failure::Path { .. } | Failure::Other(_))) => return Err(failure),
            Err(failure) => failure,
        };
        let mut backward = self.clone();
        match commits.iter().rev().try_for_each(|commit| backward.take_back(commit)) {
            Ok(()) => Ok(Outcome::AlreadyIn),
            Err(_) => Err(failure),
        }
    }

    fn commit(&mut self, commit: &[FilePatch<'_>]) -> Tried<()> {
        // Git's parts don't depend on their order: renames and copies are of
        // what was there before, and a renamed file's old name is free.
        let before = self.clone();
        for part in commit {
            if let Operation::Rename { from, .. } = &part.operation {
                before.existing(from)?;
                self.changed.insert(from.clone(), None);
            }
        }
        commit.iter().try_for_each(|part| self.part(part, &before))
    }

    fn part(&mut self, part: &FilePatch<'_>, before: &State<'a>) -> Tried<()> {
        match &part.operation {
            Operation::Modify(path) => {
                let node = self.existing(path)?;
                if part.hunks.is_empty() && part.old_mode.is_some_and(|mode| mode != node.mode) {
                    return Err(Failure::file(path, "has another mode than the patch expects"));
                }
                let node = edited(path, &node, part)?;
                self.set(path, node)
            }
            Operation::Create(path) => {
                let nothing =
                    Node { content: Arc::default(), mode: part.new_mode.unwrap_or(Mode::Regular) };
                self.vacant(path)?;
                let node = edited(path, &nothing, part)?;
                self.set(path, node)
            }
            Operation::Delete(path) => {
                let node = self.existing(path)?;
                if !edited(path, &node, part)?.content.is_empty() {
                    return Err(Failure::file(path, "has lines that the patch does not remove"));
                }
                self.changed.insert(path.clone(), None);
                Ok(())
            }
            Operation::Rename { from, to } | Operation::Copy { from, to } => {
                let node = before.existing(from)?;
                self.vacant(to)?;
                let node = edited(from, &node, part)?;
                self.set(to, node)
            }
        }
    }

    /// The commit in reverse, last part first.
    fn take_back(&mut self, commit: &[FilePatch<'_>]) -> Tried<()> {
        let before = self.clone();
        let (copies, parts): (Vec<FilePatch<'_>>, Vec<FilePatch<'_>>) = commit
            .iter()
            .rev()
            .map(reversed)
            .partition(|part| matches!(part.operation, Operation::Copy { .. }));
        self.commit(&parts)?;
        // A copy is in if what it was made from is still what it was.
        for copy in &copies {
            let Operation::Copy { from, to } = &copy.operation else { continue };
            let source = edited(to, &before.existing(to)?, copy)?;
            if source.content != self.existing(from)?.content {
                return Err(Failure::file(to, "is no copy"));
            }
            self.changed.insert(to.clone(), None);
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Tried<Option<Node>> {
        if let Some(node) = self.changed.get(path) {
            return Ok(node.clone());
        }
        for folder in folders(path) {
            if let Some(Some(_)) = self.changed.get(folder) {
                let why = format!("'{folder}' is a file or link by then");
                return Err(Failure::Path { path: path.to_owned(), why });
            }
        }
        self.originals.node(path)
    }

    fn existing(&self, path: &str) -> Tried<Node> {
        self.get(path)?.ok_or_else(|| Failure::file(path, "does not exist"))
    }

    fn vacant(&self, path: &str) -> Tried<()> {
        if self.get(path)?.is_some() {
            return Err(Failure::file(path, "exists already"));
        }
        let below = format!("{path}/");
        let taken =
            |(name, node): (&String, &Option<Node>)| name.starts_with(&below) && node.is_some();
        if self.changed.range(below.clone()..).next().is_some_and(taken) {
            return Err(Failure::file(path, "is a folder"));
        }
        Ok(())
    }

    fn set(&mut self, path: &str, node: Node) -> Tried<()> {
        if node.mode == Mode::Symlink && !stays_inside(path, &node.content) {
            let why = "it would become a link that leads out".to_owned();
            return Err(Failure::Path { path: path.to_owned(), why });
        }
        self.changed.insert(path.to_owned(), Some(node));
        Ok(())
    }
}

/// The folders above a path, outermost first.
pub(super) fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

/// Whether a link to `target` stays in the tree. Stricter than the letters
/// ask for: `..` only at the front, where it is about real folders, so that
/// no other link can make it lead out.
fn stays_inside(path: &str, target: &[u8]) -> bool {
    let Ok(target) = std::str::from_utf8(target) else { return false };
    let parts = || target.split('/').filter(|part| !part.is_empty() && *part != ".");
    let up = parts().take_while(|part| *part == "..").count();
    let clean = !target.contains(['\0', '\n']) && parts().skip(up).all(|part| part != "..");
    !target.is_empty() && !target.starts_with('/') && clean && up <= folders(path).count()
}

fn edited(path: &str, node: &Node, part: &FilePatch<'_>) -> Tried<Node> {
    let link = |mode: Option<Mode>| mode == Some(Mode::Symlink);
    let stated = [part.old_mode, part.new_mode].into_iter().find(Option::is_some).flatten();
    if (stated.is_some() || !part.hunks.is_empty()) && link(stated) != link(Some(node.mode)) {
        let why = "is a link where the patch has a file, or the other way round";
        return Err(Failure::file(path, why));
    }
    let content = if part.hunks.is_empty() {
        Arc::clone(&node.content)
    } else {
        let result = hunk::apply(&node.content, &part.hunks);
        Arc::new(result.map_err(|misfit| Failure::Hunk { path: path.to_owned(), misfit })?)
    };
    Ok(Node { content, mode: part.new_mode.unwrap_or(node.mode) })
}

/// The part that takes this one back. A copy stays a copy with its hunks
/// reversed: what is to be done with it is not a single file's matter.
fn reversed<'a>(part: &FilePatch<'a>) -> FilePatch<'a> {
    let operation = match part.operation.clone() {
        Operation::Create(path) => Operation::Delete(path),
        Operation::Delete(path) => Operation::Create(path),
        Operation::Rename { from, to } => Operation::Rename { from: to, to: from },
        other => other,
    };
    FilePatch {
        operation,
        old_mode: part.new_mode,
        new_mode: part.old_mode,
        hunks: part.hunks.iter().map(Hunk::reversed).collect(),
    }
}
