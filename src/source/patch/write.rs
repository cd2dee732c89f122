//! What is to be done on disk, as a list, and doing it.
//!
//! The order is what makes a kill at any point harmless: the originals, then
//! the journal that names them, and only then the tree.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::PatchError;
use super::originals::{Found, Journal, Original, Originals, on_disk};
use super::parse::Mode;
use super::series::{Changed, Failure, Node, folders};
use crate::digest::Digest;
use crate::fsutil::{parent, remove_all, sync_dir, write_atomic};

/// A file's name until it is whole. Always the same, so that the next run
/// finds what a killed one left.
const TEMPORARY: &str = ".s1b-tmp-patch";

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Write a file among the originals, durably.
    Keep { path: PathBuf, content: Vec<u8> },
    /// Remove what a killed run left, or a file that is no longer there.
    Remove(PathBuf),
    /// Remove a folder if nothing is in it.
    RemoveEmpty(PathBuf),
    /// Write a file or link of the tree.
    Write { path: PathBuf, node: Node },
    /// Change whether a file is executable.
    SetMode { path: PathBuf, mode: Mode },
}

/// The way from the tree as it is to the pristine one with `changed`.
pub(super) fn plan(originals: &Originals<'_>, changed: &Changed) -> Result<Vec<Step>, PatchError> {
    let (mut steps, journal) = keep(originals, changed)?;
    let mut wanted = Vec::new();
    for path in journal.originals.keys() {
        let node = match changed.get(path) {
            Some(node) => node.clone(),
            None => originals.node(path).map_err(internal)?,
        };
        wanted.push((path.as_str(), node));
    }
    steps.extend(leftovers(originals.tree, &journal)?);
    let mut writes = Vec::new();
    for (path, node) in wanted {
        let place = originals.tree.join(path);
        let found = match real_folder(originals.tree, path) {
            true => on_disk(&place)?,
            false => Found::Nothing,
        };
        match (found, node) {
            (Found::Node(_), None) => steps.push(Step::Remove(place)),
            (Found::Node(old), Some(new)) if old == new => {}
            (Found::Node(old), Some(new))
                if old.content == new.content
                    && old.mode != Mode::Symlink
                    && new.mode != Mode::Symlink =>
            {
                writes.push(Step::SetMode { path: place, mode: new.mode });
            }
            (_, Some(node)) => writes.push(Step::Write { path: place, node }),
            (_, None) => {}
        }
    }
    steps.extend(new_folders(originals.tree, &journal));
    steps.append(&mut writes);
    Ok(steps)
}

/// The originals of paths that are touched for the first time, and the
/// journal with them.
fn keep(originals: &Originals<'_>, changed: &Changed) -> Result<(Vec<Step>, Journal), PatchError> {
    let mut steps = Vec::new();
    let mut journal = originals.journal.clone();
    for path in changed.keys().filter(|path| !originals.journal.originals.contains_key(*path)) {
        let original = match originals.node(path).map_err(internal)? {
            None => Original::Absent { since: originals.absent_since(path) },
            Some(node) => {
                let digest = Digest::sha256(&node.content);
                let path = originals.kept_path(&digest);
                steps.push(Step::Keep { path, content: node.content.to_vec() });
                Original::Present { digest, mode: node.mode }
            }
        };
        journal.originals.insert(path.clone(), original);
    }
    if journal != originals.journal {
        let path = Journal::path(originals.folder);
        steps.push(Step::Keep { path, content: journal.to_bytes()? });
    }
    Ok((steps, journal))
}

/// Every path of the journal has been looked at before.
fn internal(failure: Failure) -> PatchError {
    failure.of("a patch of before")
}

/// Whether a path's folder is a folder, not through a link.
fn real_folder(tree: &Path, path: &str) -> bool {
    folders(path)
        .all(|folder| fs::symlink_metadata(tree.join(folder)).is_ok_and(|found| found.is_dir()))
}

fn leftovers(tree: &Path, journal: &Journal) -> Result<Vec<Step>, PatchError> {
    let mut steps = Vec::new();
    let real = journal.originals.keys().filter(|path| real_folder(tree, path));
    let parents: BTreeSet<PathBuf> = real.map(|path| parent(&tree.join(path)).to_owned()).collect();
    for folder in parents {
        let path = folder.join(TEMPORARY);
        if !matches!(on_disk(&path)?, Found::Nothing) {
            steps.push(Step::Remove(path));
        }
    }
    Ok(steps)
}

/// The folders that patches have created, innermost first.
fn new_folders(tree: &Path, journal: &Journal) -> Vec<Step> {
    let mut all = BTreeSet::new();
    for (path, original) in &journal.originals {
        let Original::Absent { since } = original else { continue };
        all.extend(folders(path).filter(|folder| folder.len() >= since.len()));
    }
    let exists = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let paths = all.into_iter().rev().map(|folder| tree.join(folder)).filter(exists);
    paths.map(Step::RemoveEmpty).collect()
}

impl Step {
    /// Does it.
    pub(super) fn act(&self) -> io::Result<()> {
        match self {
            Self::Keep { path, content } => write_atomic(path, content),
            Self::Remove(path) => {
                fs::remove_file(path)?;
                sync_dir(parent(path))
            }
            Self::RemoveEmpty(path) => match fs::remove_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                other => other,
            },
            Self::Write { path, node } => {
                fs::create_dir_all(parent(path))?;
                let temporary = write_temporary(path, node)?;
                fs::rename(temporary, path)?;
                sync_dir(parent(path))
            }
            Self::SetMode { path, mode } => fs::set_permissions(path, permissions(*mode)),
        }
    }

    /// Does it only so far that a kill within leaves the most behind.
    #[cfg(test)]
    pub(super) fn act_half(&self) -> io::Result<()> {
        match self {
            Self::Write { path, node } => {
                fs::create_dir_all(parent(path))?;
                write_temporary(path, node).map(drop)
            }
            _ => Ok(()),
        }
    }
}

fn permissions(mode: Mode) -> std::fs::Permissions {
    PermissionsExt::from_mode(if mode == Mode::Executable { 0o755 } else { 0o644 })
}

fn write_temporary(path: &Path, node: &Node) -> io::Result<PathBuf> {
    let temporary = path.with_file_name(TEMPORARY);
    remove_all(&temporary)?;
    if node.mode == Mode::Symlink {
        let target = std::ffi::OsStr::from_bytes(&node.content);
        fs_err::os::unix::fs::symlink(target, &temporary)?;
    } else {
        let mut file = fs::File::create_new(&temporary)?;
        file.write_all(&node.content)?;
        file.set_permissions(permissions(node.mode))?;
        file.sync_all()?;
    }
    Ok(temporary)
}
