//! A root filesystem in memory: names and what is known of each file, never
//! the bytes of one.
//!
//! Files stand in one list and folders hold names of them, so a hard link is
//! a second name and nothing refers to itself. Nothing here recurses: how
//! deep a tree is, is said by whoever made the image.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The place of an [`Inode`] in its [`Tree`].
pub(super) type Id = u32;

/// The names of a folder, sorted bytewise as squashfs wants them.
pub(super) type Names = BTreeMap<Box<[u8]>, Id>;

/// Extended attributes: full names with their values.
pub(super) type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where a file's bytes lie in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Byte of the image where the first block lies.
    pub(super) start: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Runs of blocks that are all zero and not stored: first and count.
    pub(super) holes: Vec<(u64, u64)>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory(Names),
    File(Extent),
    Symlink(Box<[u8]>),
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
}

/// Who may do what, and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// Permission bits, with set-user-id and its kind.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u32,
}

impl Meta {
    /// Of folders that no entry describes.
    pub(super) const IMPLIED: Self = Self { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
}

/// A file of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) meta: Meta,
    /// Its set in [`Tree::attributes`], if it has any.
    pub(super) attributes: Option<u32>,
}

/// A root filesystem. The first inode is the root folder; what a later layer
/// has removed stays in the list without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    inodes: Vec<Inode>,
    sets: Vec<Attributes>,
    known: BTreeMap<Attributes, u32>,
}

impl Tree {
    pub(super) const ROOT: Id = 0;

    pub(super) fn new() -> Self {
        let mut tree = Self { inodes: Vec::new(), sets: Vec::new(), known: BTreeMap::new() };
        tree.add(Kind::Directory(Names::new()), Meta::IMPLIED);
        tree
    }

    /// A new file that has no name yet.
    pub(super) fn add(&mut self, kind: Kind, meta: Meta) -> Id {
        let id = self.len();
        self.inodes.push(Inode { kind, meta, attributes: None });
        id
    }

    /// How many inodes there are, with and without a name.
    pub(super) fn len(&self) -> Id {
        // Limits on entries keep this far below.
        Id::try_from(self.inodes.len()).unwrap_or(Id::MAX)
    }

    pub(super) fn get(&self, id: Id) -> &Inode {
        &self.inodes[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Inode {
        &mut self.inodes[id as usize]
    }

    /// The names in a folder; `None` for what is none.
    pub(super) fn names(&self, id: Id) -> Option<&Names> {
        match &self.get(id).kind {
            Kind::Directory(names) => Some(names),
            _ => None,
        }
    }

    pub(super) fn child(&self, folder: Id, name: &[u8]) -> Option<Id> {
        self.names(folder)?.get(name).copied()
    }

    /// Where the bytes of the file at a path lie. No link is followed.
    pub(super) fn extent(&self, path: &str) -> Option<&Extent> {
        let child = |folder, name: &str| self.child(folder, name.as_bytes());
        let id = path.split('/').try_fold(Self::ROOT, child)?;
        match &self.get(id).kind {
            Kind::File(extent) => Some(extent),
            _ => None,
        }
    }

    /// Gives a file a name in a folder, in the place of what has it.
    pub(super) fn link(&mut self, folder: Id, name: &[u8], id: Id) {
        if let Kind::Directory(names) = &mut self.get_mut(folder).kind {
            names.insert(name.into(), id);
        }
    }

    /// Takes a name away.
    pub(super) fn unlink(&mut self, folder: Id, name: &[u8]) {
        if let Kind::Directory(names) = &mut self.get_mut(folder).kind {
            names.remove(name);
        }
    }

    /// Gives a file these attributes; equal sets are kept once.
    pub(super) fn set_attributes(&mut self, id: Id, attributes: Attributes) {
        self.get_mut(id).attributes = match self.known.entry(attributes) {
            Entry::Occupied(known) if known.key().is_empty() => None,
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(place) if place.key().is_empty() => None,
            Entry::Vacant(place) => {
                let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
                self.sets.push(place.key().clone());
                Some(*place.insert(number))
            }
        };
    }

    /// The sets of attributes, by number.
    pub(super) fn attributes(&self) -> &[Attributes] {
        &self.sets
    }

    /// The folders that can be reached, each with the one that holds it: a
    /// folder before those in it, the root (its own holder) first.
    pub(super) fn folders(&self) -> Vec<(Id, Id)> {
        let mut folders = vec![(Self::ROOT, Self::ROOT)];
        let mut next = 0;
        while let Some(&(folder, _)) = folders.get(next) {
            let names = self.names(folder).into_iter().flatten();
            let below = names.map(|(_, &id)| id).filter(|&id| self.names(id).is_some());
            folders.extend(below.map(|id| (id, folder)).collect::<Vec<_>>());
            next += 1;
        }
        folders
    }
}
