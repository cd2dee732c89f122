//! An image in memory: its tree as it could be written again, and what of its
//! archive has no place in a tree.

use std::io;
use std::path::Path;

use super::{Entry, Kind, Summary, read_file};
use crate::content::{Content, Node, Rootfs};
use crate::pack::Error;

/// An image that was read as a whole.
#[derive(Debug)]
pub struct Whole {
    /// Manifest and id.
    pub summary: Summary,
    /// All that a tree can hold, with its bytes.
    pub rootfs: Rootfs,
    /// Every entry in the archive's order, the root itself included.
    pub entries: Vec<Entry>,
    /// What the tree could not take: devices, hard links, a path that stands
    /// twice. One line each.
    pub refused: Vec<String>,
}

impl Whole {
    /// Reads the image in a file.
    ///
    /// # Errors
    /// When it can't be read, is damaged or no image.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut contents = Contents::default();
        let summary = read_file(path, |entry, bytes| contents.take(entry, bytes));
        let summary = summary.map_err(Contents::damaged)?;
        let Contents { rootfs, entries, refused } = contents;
        Ok(Self { summary, rootfs, entries, refused })
    }

    /// The time that all entries have: the first one's.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.mtime)
    }
}

/// What is in an archive, as it comes.
#[derive(Debug, Default)]
pub(in crate::pack) struct Contents {
    pub(in crate::pack) rootfs: Rootfs,
    pub(in crate::pack) entries: Vec<Entry>,
    pub(in crate::pack) refused: Vec<String>,
}

impl Contents {
    /// Takes an entry with its bytes.
    pub(in crate::pack) fn take(
        &mut self,
        entry: &Entry,
        bytes: &mut dyn io::Read,
    ) -> io::Result<()> {
        self.entries.push(entry.clone());
        if entry.path.is_empty() {
            return Ok(());
        }
        let added = match node(entry, bytes)? {
            Some(node) => self.rootfs.insert(&entry.path, node).map_err(|error| error.to_string()),
            None => Err(format!("'{}' is neither file, folder nor symlink", entry.path)),
        };
        self.refused.extend(added.err());
        Ok(())
    }

    /// All that a visit does here is to read the archive.
    pub(in crate::pack) fn damaged(error: Error) -> Error {
        match error {
            Error::Visit(error) => Error::Damaged(error),
            other => other,
        }
    }
}

fn node(entry: &Entry, bytes: &mut dyn io::Read) -> io::Result<Option<Node>> {
    Ok(match &entry.kind {
        Kind::Dir => Some(Node::Dir),
        Kind::Symlink(target) => Some(Node::Symlink { target: target.clone() }),
        Kind::Hardlink(_) | Kind::Special => None,
        Kind::File => {
            let mut content = Vec::new();
            bytes.read_to_end(&mut content)?;
            let executable = entry.mode & 0o111 != 0;
            Some(Node::File { content: Content::Bytes(content.into()), executable })
        }
    })
}
