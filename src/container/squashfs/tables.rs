//! From a tree to the tables of an image.

use std::io;

use super::directory::{self, Entry};
use super::inode::{self, Folder, Shape};
use super::metadata::{Place, Stream};
use super::owners::Owners;
use super::xattr::Xattrs;
use crate::container::tree::{Id, Kind, Tree};

/// An inode that has no number yet, which is for those that have no name.
const UNNUMBERED: u32 = 0;

/// Everything of an image but the files' bytes and the superblock.
pub(super) struct Tables<'a> {
    tree: &'a Tree,
    /// Each inode's number, by its place in the tree.
    numbers: Vec<u32>,
    /// How many names each has.
    names: Vec<u32>,
    /// Where each was written.
    places: Vec<Option<Place>>,
    pub(super) inodes: Stream,
    pub(super) directories: Stream,
    pub(super) owners: Owners,
    pub(super) attributes: Xattrs<'a>,
    pub(super) root: Place,
    pub(super) count: u32,
}

impl<'a> Tables<'a> {
    pub(super) fn of(tree: &'a Tree) -> io::Result<Self> {
        let length = tree.len() as usize;
        let mut tables = Self {
            tree,
            numbers: vec![UNNUMBERED; length],
            names: vec![0; length],
            places: vec![None; length],
            inodes: Stream::default(),
            directories: Stream::default(),
            owners: Owners::default(),
            attributes: Xattrs::new(tree.attributes()),
            root: Place { block: 0, offset: 0 },
            count: 0,
        };
        let folders = tree.folders();
        tables.number(&folders);
        // From the leaves up: a folder says where its files' inodes are.
        for &(folder, parent) in folders.iter().rev() {
            tables.root = tables.folder(folder, parent)?;
        }
        let fit = [&tables.inodes, &tables.directories].iter().all(|stream| stream.fits());
        if fit { Ok(tables) } else { Err(too_much("its tables have more than 4 GiB")) }
    }

    /// Files of one folder get numbers in a row: a run of a folder's entries
    /// says them as 16 bits from its first one's.
    fn number(&mut self, folders: &[(Id, Id)]) {
        self.take_number(Tree::ROOT);
        for &(folder, _) in folders {
            for (_, &id) in self.tree.names(folder).into_iter().flatten() {
                self.names[id as usize] += 1;
                if self.numbers[id as usize] == UNNUMBERED {
                    self.take_number(id);
                }
            }
        }
    }

    fn take_number(&mut self, id: Id) {
        self.count += 1;
        self.numbers[id as usize] = self.count;
    }

    /// Writes a folder's files, then what it lists, then its own inode.
    fn folder(&mut self, folder: Id, parent: Id) -> io::Result<Place> {
        let Some(names) = self.tree.names(folder) else {
            return Err(too_much("a folder is none"));
        };
        let mut entries = Vec::with_capacity(names.len());
        let mut folders = 0;
        for (name, &id) in names {
            let place = match self.places[id as usize] {
                Some(place) => place,
                None => self.file(id)?,
            };
            let kind = &self.tree.get(id).kind;
            folders += u32::from(matches!(kind, Kind::Directory(_)));
            let number = self.numbers[id as usize];
            entries.push(Entry { name, place, number, kind: inode::basic_kind(kind) });
        }
        let listing = directory::write(&mut self.directories, &entries);
        let parent = match folder {
            // The root's own parent is a number that no inode has.
            Tree::ROOT => self.count + 1,
            _ => self.numbers[parent as usize],
        };
        let shape = Shape::Folder(Folder { listing, links: folders + 2, parent });
        self.inode(folder, &shape)
    }

    fn file(&mut self, id: Id) -> io::Result<Place> {
        let names = self.names[id as usize];
        self.inode(id, &Shape::Other { links: names })
    }

    fn inode(&mut self, id: Id, shape: &Shape) -> io::Result<Place> {
        let file = self.tree.get(id);
        let (Some(uid), Some(gid)) =
            (self.owners.number(file.meta.uid), self.owners.number(file.meta.gid))
        else {
            return Err(too_much("it has more than 65,535 owners"));
        };
        let place = self.inodes.place();
        let head = inode::Head {
            mode: file.meta.mode,
            owners: (uid, gid),
            mtime: file.meta.mtime,
            number: self.numbers[id as usize],
            attributes: file.attributes.map(|set| self.attributes.number(set)),
        };
        inode::write(&mut self.inodes, &head, &file.kind, shape);
        self.places[id as usize] = Some(place);
        Ok(place)
    }
}

fn too_much(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
