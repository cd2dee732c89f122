//! Laying layers over each other.
//!
//! A layer is a tar archive whose entries replace those of the layers below;
//! `.wh.NAME` removes a name and `.wh..wh..opq` all that lower layers have in
//! a folder (OCI image specification, "Image Layer Filesystem Changeset").
//! Neither touches what the same layer brings, whatever stands first.
//!
//! Nothing is ever written to the host's tree: paths lead through an
//! in-memory one, whose symlinks are followed as a process inside of it would
//! (`/` and `..` end at its root).

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read};

use super::squashfs::{Writer, can_keep};
use super::tar::{Archive, Entry, Kind as TarKind, Source};
use super::tree::{Attributes, Id, Kind, Meta, Names, Tree};
use super::{Error, Limits};
use crate::proc::interrupt;

/// The longest path, and the longest target of a symlink (`PATH_MAX`).
const MOST_PATH: usize = 4095;
/// The longest name (`NAME_MAX`).
const MOST_NAME: usize = 255;
/// Symlinks followed in one path, as in the kernel (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;
/// Bytes of names, targets and attributes that are kept in memory.
const MOST_METADATA: usize = 1 << 30;
/// The biggest value of an attribute (`XATTR_SIZE_MAX`).
const MOST_VALUE: usize = 64 << 10;

/// A device's number has 12 bits and 20.
const MOST_MAJOR: u32 = 0xfff;
const MOST_MINOR: u32 = 0xf_ffff;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs kept for itself.
const RESERVED: &[u8] = b".wh..wh.";

/// What a name that begins with `.wh.` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whiteouts {
    /// That a lower layer's file is gone.
    Obeyed,
    /// Nothing, as in archives that are no layers.
    Plain,
}

/// A root filesystem that layers are laid into.
pub(super) struct Unpacker {
    tree: Tree,
    writer: Writer,
    limits: Limits,
    whiteouts: Whiteouts,
    /// Names that the current layer has set.
    fresh: HashSet<(Id, Box<[u8]>)>,
    entries: u64,
    bytes: u64,
    metadata: usize,
    /// Attributes that squashfs can't keep.
    pub(super) dropped: u64,
}

impl Unpacker {
    pub(super) fn new(writer: Writer, limits: Limits, whiteouts: Whiteouts) -> Self {
        Self {
            tree: Tree::new(),
            writer,
            limits,
            whiteouts,
            fresh: HashSet::new(),
            entries: 0,
            bytes: 0,
            metadata: 0,
            dropped: 0,
        }
    }

    /// Lays a layer, a plain tar archive, over what is there, and reads it to
    /// its last byte. `visit` gets each entry first: it may read its bytes or
    /// change its path, and says whether it belongs into the tree.
    pub(super) fn apply<R: Read>(
        &mut self,
        from: &mut R,
        what: &str,
        mut visit: impl FnMut(&mut Entry, &mut dyn Read) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.fresh.clear();
        let bounded = Bounded { inner: from, left: self.limits.bytes - self.bytes, over: false };
        let mut archive = Archive::new(bounded);
        let result = self.entries(&mut archive, what, &mut visit);
        let mut bounded = archive.into_inner();
        let result = result.and_then(|()| {
            let rest = io::copy(&mut bounded, &mut io::sink());
            rest.map(drop).map_err(|source| Error::damaged(what, source))
        });
        if bounded.over {
            return Err(Error::too_many_bytes(what, self.limits.bytes));
        }
        self.bytes = self.limits.bytes - bounded.left;
        result
    }

    /// Adds one entry that is in no archive.
    pub(super) fn add(
        &mut self,
        entry: Entry,
        bytes: &mut dyn Read,
        what: &str,
    ) -> Result<(), Error> {
        self.count(&entry, what)?;
        self.entry(entry, bytes, what)
    }

    /// Writes what has become of the tree. The file is not synced.
    pub(super) fn finish(self) -> io::Result<std::fs::File> {
        self.writer.finish(&self.tree)
    }

    /// The same; gives the tree, too, by which the files' bytes are found.
    pub(super) fn finish_with_tree(self) -> io::Result<(std::fs::File, Tree)> {
        let file = self.writer.finish(&self.tree)?;
        Ok((file, self.tree))
    }

    /// Removes what is none of these paths, above or below one (appc's
    /// `pathWhitelist`).
    pub(super) fn keep_only(&mut self, paths: &[String]) {
        let wanted: HashSet<Vec<u8>> = paths.iter().map(|path| joined(path.as_bytes())).collect();
        let above: HashSet<Vec<u8>> = wanted.iter().flat_map(|path| parents(path)).collect();
        let mut left = vec![(Tree::ROOT, Vec::new())];
        while let Some((folder, path)) = left.pop() {
            let names = self.tree.names(folder).cloned().unwrap_or_default();
            for (name, id) in names {
                let mut below = path.clone();
                below.extend_from_slice(b"/");
                below.extend_from_slice(&name);
                if above.contains(&below) || wanted.contains(&below) {
                    left.push((id, below));
                } else {
                    self.tree.unlink(folder, &name);
                }
            }
        }
    }

    fn entries(
        &mut self,
        archive: &mut Archive<impl Source>,
        what: &str,
        visit: &mut impl FnMut(&mut Entry, &mut dyn Read) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let damaged = |source| Error::damaged(what, source);
        while let Some(mut entry) = archive.next_entry().map_err(damaged)? {
            if let Some(signal) = interrupt::requested() {
                return Err(Error::Interrupted(signal));
            }
            if visit(&mut entry, archive)? {
                self.count(&entry, what)?;
                self.entry(entry, archive, what)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, entry: &Entry, what: &str) -> Result<(), Error> {
        self.one_more(what)?;
        let attributes: usize = entry.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.metadata += entry.path.len() + entry.target.len() + attributes;
        if self.metadata > MOST_METADATA {
            return Err(Error::too_many_bytes(what, MOST_METADATA as u64));
        }
        Ok(())
    }

    fn one_more(&mut self, what: &str) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            let limit = format!("{} files", self.limits.entries);
            return Err(Error::TooBig { what: what.to_owned(), limit });
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry, bytes: &mut dyn Read, what: &str) -> Result<(), Error> {
        let refuse = |reason| refused(what, &entry.path, reason);
        let mut names = plain(&entry.path).map_err(refuse)?;
        let Some(name) = names.pop() else {
            // The root's own entry; it can be nothing but a folder.
            self.describe(Tree::ROOT, &entry, what)?;
            return Ok(());
        };
        if let Some(hidden) = name.strip_prefix(WHITEOUT)
            && self.whiteouts == Whiteouts::Obeyed
        {
            return self.whiteout(&names, name, hidden).map_err(refuse);
        }
        let folder = self.folder(&names, what)?.map_err(refuse)?;
        if entry.kind == TarKind::Hardlink {
            let id = self.linked(&entry.target).map_err(refuse)?;
            self.place(folder, name, id);
            return Ok(());
        }
        let there = self.tree.child(folder, name);
        let kept =
            there.filter(|&id| entry.kind == TarKind::Directory && self.tree.names(id).is_some());
        let id = match kept {
            Some(id) => id,
            None => {
                let kind = self.kind(&entry, bytes, what)?;
                self.tree.add(kind, Meta::IMPLIED)
            }
        };
        self.describe(id, &entry, what)?;
        self.place(folder, name, id);
        Ok(())
    }

    /// What a new file is, its bytes stored.
    fn kind(&mut self, entry: &Entry, bytes: &mut dyn Read, what: &str) -> Result<Kind, Error> {
        let refuse = |reason| refused(what, &entry.path, reason);
        Ok(match entry.kind {
            TarKind::Directory => Kind::Directory(Names::new()),
            TarKind::File => {
                let mut tracked = Tracked { inner: bytes, failed: false };
                match self.writer.store(&mut tracked) {
                    Ok(extent) => Kind::File(extent),
                    Err(error) if tracked.failed => return Err(Error::damaged(what, error)),
                    Err(error) => return Err(Error::Io(error)),
                }
            }
            TarKind::Symlink if entry.target.is_empty() => return Err(refuse("leads nowhere")),
            TarKind::Symlink if entry.target.len() > MOST_PATH => {
                return Err(refuse("has a target that is too long"));
            }
            TarKind::Symlink => Kind::Symlink(entry.target.as_slice().into()),
            TarKind::Character { major, minor } | TarKind::Block { major, minor }
                if major > MOST_MAJOR || minor > MOST_MINOR =>
            {
                return Err(refuse("has a device number that is too big"));
            }
            TarKind::Character { major, minor } => Kind::Character { major, minor },
            TarKind::Block { major, minor } => Kind::Block { major, minor },
            TarKind::Fifo => Kind::Fifo,
            TarKind::Hardlink => return Err(refuse("is a hard link to nothing")),
        })
    }

    fn describe(&mut self, id: Id, entry: &Entry, what: &str) -> Result<(), Error> {
        let owner = |number: u64| {
            let wrong = |_| refused(what, &entry.path, "has an owner of more than 32 bits");
            u32::try_from(number).map_err(wrong)
        };
        self.tree.get_mut(id).meta = Meta {
            mode: (entry.mode & 0o7777) as u16,
            uid: owner(entry.uid)?,
            gid: owner(entry.gid)?,
            mtime: u32::try_from(entry.mtime).unwrap_or(u32::MAX),
        };
        let keep = |(name, value): &(&Vec<u8>, &Vec<u8>)| {
            can_keep(name) && name.len() <= MOST_NAME && value.len() <= MOST_VALUE
        };
        let kept: Attributes = (entry.attributes.iter().filter(keep))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.dropped += (entry.attributes.len() - kept.len()) as u64;
        self.tree.set_attributes(id, kept);
        Ok(())
    }

    fn place(&mut self, folder: Id, name: &[u8], id: Id) {
        self.tree.link(folder, name, id);
        self.fresh.insert((folder, name.into()));
    }

    /// The folder at a path; those that are absent are made, and what is in
    /// the way of one gives way to it.
    fn folder(&mut self, names: &[&[u8]], what: &str) -> Result<Result<Id, &'static str>, Error> {
        let mut way = Way::new(names);
        while let Some(name) = way.next() {
            match way.step(&self.tree, &name) {
                Ok(Step::Went) => {}
                Ok(Step::Missing) => {
                    self.one_more(what)?;
                    let id = self.tree.add(Kind::Directory(Names::new()), Meta::IMPLIED);
                    self.place(way.here(), &name, id);
                    way.stack.push(id);
                }
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(way.here()))
    }

    /// The folder at a path, if there is one.
    fn known_folder(&self, names: &[&[u8]]) -> Result<Option<Id>, &'static str> {
        let mut way = Way::new(names);
        while let Some(name) = way.next() {
            if let Step::Missing = way.step(&self.tree, &name)? {
                return Ok(None);
            }
        }
        Ok(Some(way.here()))
    }

    /// What a hard link is one to.
    fn linked(&self, target: &[u8]) -> Result<Id, &'static str> {
        let mut names = plain(target)?;
        let name = names.pop().ok_or("is a hard link to a folder")?;
        let folder = self.known_folder(&names)?.ok_or("is a hard link to nothing")?;
        let id = self.tree.child(folder, name).ok_or("is a hard link to nothing")?;
        match self.tree.names(id) {
            Some(_) => Err("is a hard link to a folder"),
            None => Ok(id),
        }
    }

    fn whiteout(
        &mut self,
        names: &[&[u8]],
        name: &[u8],
        hidden: &[u8],
    ) -> Result<(), &'static str> {
        let Some(folder) = self.known_folder(names)? else { return Ok(()) };
        if name == OPAQUE {
            let names: Vec<Box<[u8]>> =
                self.tree.names(folder).into_iter().flatten().map(|(n, _)| n.clone()).collect();
            names.iter().for_each(|name| self.hide(folder, name));
        } else if !name.starts_with(RESERVED) {
            self.hide(folder, hidden);
        }
        Ok(())
    }

    /// Takes away what lower layers have at and below a name.
    fn hide(&mut self, folder: Id, name: &[u8]) {
        let Some(id) = self.tree.child(folder, name) else { return };
        let mut found: Vec<(Id, Box<[u8]>, Id)> = vec![(folder, name.into(), id)];
        let mut next = 0;
        while let Some(&(_, _, id)) = found.get(next) {
            let below = self.tree.names(id).into_iter().flatten();
            let below: Vec<_> = below.map(|(name, &child)| (id, name.clone(), child)).collect();
            found.extend(below);
            next += 1;
        }
        // From the leaves up: a folder stays if something new is in it.
        for (folder, name, id) in found.into_iter().rev() {
            let in_use = self.tree.names(id).is_some_and(|names| !names.is_empty());
            if !in_use && !self.fresh.contains(&(folder, name.clone())) {
                self.tree.unlink(folder, &name);
            }
        }
    }
}

/// Where a step on a way has led.
enum Step {
    Went,
    /// There is no folder of that name.
    Missing,
}

/// A walk through a tree from its root, following symlinks.
struct Way {
    /// The folders from the root to where we are.
    stack: Vec<Id>,
    /// Names still to be gone.
    left: VecDeque<Box<[u8]>>,
    links: u32,
}

impl Way {
    fn new(names: &[&[u8]]) -> Self {
        let left = names.iter().map(|&name| name.into()).collect();
        Self { stack: vec![Tree::ROOT], left, links: 0 }
    }

    fn next(&mut self) -> Option<Box<[u8]>> {
        self.left.pop_front()
    }

    fn here(&self) -> Id {
        self.stack.last().copied().unwrap_or(Tree::ROOT)
    }

    fn step(&mut self, tree: &Tree, name: &[u8]) -> Result<Step, &'static str> {
        match name {
            b"" | b"." => return Ok(Step::Went),
            b".." => {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                return Ok(Step::Went);
            }
            _ => {}
        }
        let Some(id) = tree.child(self.here(), name) else { return Ok(Step::Missing) };
        match &tree.get(id).kind {
            Kind::Directory(_) => self.stack.push(id),
            Kind::Symlink(target) => self.follow(target)?,
            _ => return Ok(Step::Missing),
        }
        Ok(Step::Went)
    }

    fn follow(&mut self, target: &[u8]) -> Result<(), &'static str> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err("leads through too many symlinks");
        }
        if target.starts_with(b"/") {
            self.stack.truncate(1);
        }
        for name in target.split(|&byte| byte == b'/').rev() {
            self.left.push_front(name.into());
        }
        Ok(())
    }
}

/// A path's names. A leading slash means the image's root.
fn plain(path: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if path.len() > MOST_PATH {
        return Err("is too long");
    }
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let names: Vec<&[u8]> = names.collect();
    if names.contains(&&b".."[..]) {
        return Err("leaves its folder");
    }
    if path.contains(&0) {
        return Err("has a null byte");
    }
    if names.iter().any(|name| name.len() > MOST_NAME) {
        return Err("has a name that is too long");
    }
    Ok(names)
}

/// A path as `/a/b`.
fn joined(path: &[u8]) -> Vec<u8> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.flat_map(|name| [b"/", name].concat()).collect()
}

/// The paths above `/a/b`.
fn parents(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0);
    slashes.map(|(at, _)| path[..at].to_vec()).collect()
}

fn refused(what: &str, path: &[u8], reason: &'static str) -> Error {
    let shown = String::from_utf8_lossy(path).escape_debug().take(200).collect();
    Error::Path { what: what.to_owned(), path: shown, reason }
}

/// A reader that ends with an error behind its limit.
struct Bounded<'a, R> {
    inner: &'a mut R,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested().is_some() {
            return Err(io::Error::other("asked to stop"));
        }
        let count = self.inner.read(into)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.over = true;
                return Err(io::Error::other("too big"));
            }
        }
        Ok(count)
    }
}

impl<R: Read> Source for Bounded<'_, R> {}

/// Tells an archive's errors from the disk's.
struct Tracked<'a> {
    inner: &'a mut dyn Read,
    failed: bool,
}

impl Read for Tracked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(into);
        self.failed |= result.is_err();
        result
    }
}

#[cfg(test)]
mod tests;
