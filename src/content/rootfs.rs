//! The tree of an image, in memory: names and where the bytes are, never the
//! bytes of big files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::Error;

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Here.
    Bytes(Cow<'static, [u8]>),
    /// In a file of the host, read when the image is written.
    Path(PathBuf),
}

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Dir,
    /// A regular file.
    File {
        /// Its bytes.
        content: Content,
        /// Mode 0755 rather than 0644.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: String,
    },
}

/// A sorted map from paths to nodes. Paths are relative, without `.`, `..`
/// and empty components; every parent is present and a folder; no path stands
/// twice (rkt would mix the two files' bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rootfs {
    nodes: BTreeMap<String, Node>,
}

impl Rootfs {
    /// A tree with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, and the folders above it that are absent.
    ///
    /// # Errors
    /// When the path is not of the form above, is taken, or leads through
    /// something that is no folder.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<(), Error> {
        check(path)?;
        for (slash, _) in path.match_indices('/') {
            let parent = &path[..slash];
            let folder = self.nodes.entry(parent.to_owned()).or_insert(Node::Dir);
            if *folder != Node::Dir {
                return Err(refused(path, "a parent of it is not a folder"));
            }
        }
        match self.nodes.entry(path.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(node);
                Ok(())
            }
            // A folder that a file below it brought along is no second one.
            Entry::Occupied(there) if *there.get() == Node::Dir && node == Node::Dir => Ok(()),
            Entry::Occupied(_) => Err(refused(path, "it is there already")),
        }
    }

    /// Adds a file with these bytes.
    ///
    /// # Errors
    /// As [`Rootfs::insert`].
    pub fn insert_bytes(
        &mut self,
        path: &str,
        bytes: impl Into<Cow<'static, [u8]>>,
        executable: bool,
    ) -> Result<(), Error> {
        self.insert(path, Node::File { content: Content::Bytes(bytes.into()), executable })
    }

    /// Adds a file whose bytes are those of a file of the host.
    ///
    /// # Errors
    /// As [`Rootfs::insert`].
    pub fn insert_path(
        &mut self,
        path: &str,
        from: impl Into<PathBuf>,
        executable: bool,
    ) -> Result<(), Error> {
        self.insert(path, Node::File { content: Content::Path(from.into()), executable })
    }

    /// Adds a symlink. The target is taken as it is.
    ///
    /// # Errors
    /// As [`Rootfs::insert`].
    pub fn insert_symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        self.insert(path, Node::Symlink { target: target.to_owned() })
    }

    /// The node at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node that a path leads to when the tree's own relative symlinks
    /// are followed.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<&Node> {
        self.resolve_below(path, 40)
    }

    fn resolve_below(&self, path: &str, links: u32) -> Option<&Node> {
        if let Some(node) = self.nodes.get(path)
            && !matches!(node, Node::Symlink { .. })
        {
            return Some(node);
        }
        // The first link on the way, replaced by what it says.
        let ends = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
        for end in ends {
            if let Some(Node::Symlink { target }) = self.nodes.get(&path[..end]) {
                let parent = path[..end].rsplit_once('/').map_or("", |(parent, _)| parent);
                let joined = lexically_normal(&format!("{parent}/{target}{}", &path[end..]))?;
                return self.resolve_below(&joined, links.checked_sub(1)?);
            }
        }
        None
    }

    /// Removes the symlinks that are absolute or lead to nothing in the tree.
    pub fn remove_dangling_links(&mut self) {
        let dangling = |(path, node): (&String, &Node)| match node {
            Node::Symlink { target } if target.starts_with('/') => Some(path.clone()),
            Node::Symlink { .. } if self.resolve(path).is_none() => Some(path.clone()),
            _ => None,
        };
        let paths: Vec<String> = self.nodes.iter().filter_map(dangling).collect();
        for path in paths {
            self.nodes.remove(&path);
        }
    }

    /// Every path with its node, sorted bytewise: a folder before what is in
    /// it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

fn check(path: &str) -> Result<(), Error> {
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    if !path.split('/').all(plain) || path.contains('\0') {
        return Err(refused(path, "it is not a plain relative path"));
    }
    Ok(())
}

fn refused(path: &str, why: &'static str) -> Error {
    Error::Path { path: path.to_owned(), why }
}

/// `a/b/../c` as `a/c`; `None` when it climbs above its start.
fn lexically_normal(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// A host path as part of a path in the tree.
///
/// # Errors
/// When it is not UTF-8: no file of a kernel is named so.
pub(super) fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Path {
        path: path.to_string_lossy().into_owned(),
        why: "its name is not UTF-8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parents_come_along_and_nothing_stands_twice() {
        let mut rootfs = Rootfs::new();
        rootfs.insert_bytes("usr/lib64/file", b"x".as_slice(), false).unwrap();
        assert_eq!(rootfs.get("usr/lib64"), Some(&Node::Dir));
        rootfs.insert("usr/lib64", Node::Dir).unwrap();
        for path in ["usr/lib64/file", "usr/lib64/file/below", "usr"] {
            assert!(rootfs.insert_bytes(path, b"y".as_slice(), false).is_err(), "{path}");
        }
        assert!(rootfs.insert("usr/lib64/file", Node::Dir).is_err());
    }

    #[test]
    fn paths_that_leave_the_tree_are_refused() {
        for path in ["", "/", "/etc", "a/../b", "..", ".", "a//b", "a/", "./a", "a\0b"] {
            assert!(Rootfs::new().insert(path, Node::Dir).is_err(), "{path:?}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_go() {
        let mut rootfs = Rootfs::new();
        rootfs.insert_bytes("source/arch/x86/include/asm/a.h", b"".as_slice(), false).unwrap();
        for (path, target) in [
            ("build", "source"),
            ("source/include/arch", "../arch"),
            ("source/gone", "../../../elsewhere"),
            ("source/absolute", "/source"),
            ("source/loop", "loop"),
            ("source/absent", "none"),
        ] {
            rootfs.insert_symlink(path, target).unwrap();
        }
        rootfs.remove_dangling_links();
        let links = rootfs.iter().filter(|(_, node)| matches!(node, Node::Symlink { .. }));
        assert_eq!(
            links.map(|(path, _)| path).collect::<Vec<_>>(),
            ["build", "source/include/arch"]
        );
        assert!(rootfs.resolve("build/include/arch/x86/include/asm/a.h").is_some());
        assert!(rootfs.resolve("build/include/arch/x86/include/asm/b.h").is_none());
    }

    proptest! {
        #[test]
        fn parents_stand_before_their_children(
            paths in prop::collection::vec("[a-c.-]{1,3}(/[a-c.-]{1,3}){0,3}", 1..40)
        ) {
            let mut rootfs = Rootfs::new();
            for path in &paths {
                // Some are refused; what is in must still hold.
                _ = rootfs.insert_bytes(path, b"x".as_slice(), false);
            }
            let mut seen = std::collections::BTreeSet::new();
            for (path, _) in rootfs.iter() {
                if let Some((parent, _)) = path.rsplit_once('/') {
                    prop_assert!(seen.contains(parent));
                    prop_assert_eq!(rootfs.get(parent), Some(&Node::Dir));
                }
                prop_assert!(seen.insert(path));
            }
        }
    }
}
