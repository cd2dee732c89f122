//! rkt's rendering of an image over those that it depends on, by its rules:
//! the image itself comes first, then its dependencies; the first that has a
//! path owns it, a folder's mode and owner included; a regular file is opened
//! without truncation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::pack::aci::{self, Entry, Kind};

/// A rendered root: on disk, but for the owners, which only root could set.
pub(crate) struct Rendered {
    pub(crate) root: PathBuf,
    /// Owner and the number of the image that gave it, by path.
    owned: BTreeMap<String, ((u64, u64), usize)>,
}

impl Rendered {
    /// Renders `images`, the one that depends on the others first.
    pub(crate) fn new(images: &[&Path], root: PathBuf) -> Self {
        fs::create_dir_all(&root).unwrap();
        let mut rendered = Self { root, owned: BTreeMap::new() };
        for (number, image) in images.iter().enumerate() {
            let before = rendered.owned.clone();
            aci::read_file(image, |entry, bytes| {
                if !before.contains_key(&entry.path) {
                    rendered.extract(entry, bytes)?;
                    rendered.owned.insert(entry.path.clone(), (entry.owner, number));
                }
                Ok(())
            })
            .unwrap();
        }
        rendered
    }

    fn extract(&self, entry: &Entry, bytes: &mut dyn io::Read) -> io::Result<()> {
        let path = self.root.join(&entry.path);
        fs::create_dir_all(path.parent().unwrap())?;
        match &entry.kind {
            Kind::Dir => fs::create_dir_all(&path)?,
            Kind::Symlink(target) => return fs::os::unix::fs::symlink(target, &path),
            Kind::File => {
                let open = fs::OpenOptions::new().write(true).create(true).truncate(false).clone();
                io::copy(bytes, &mut open.open(&path)?)?;
            }
            Kind::Hardlink(_) | Kind::Special => panic!("{}", entry.path),
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(entry.mode))
    }

    /// The link's target, or mode and owner.
    pub(crate) fn what(&self, path: &str) -> String {
        let found = fs::symlink_metadata(self.root.join(path)).unwrap();
        let ((user, group), _) = self.owned[path];
        if found.is_symlink() {
            return format!("-> {}", fs::read_link(self.root.join(path)).unwrap().display());
        }
        let kind = if found.is_dir() { "folder" } else { "file" };
        format!("{kind} {:o} {user}:{group}", found.permissions().mode() & 0o7777)
    }

    /// The paths that the image with this number gave.
    pub(crate) fn given_by(&self, number: usize) -> impl Iterator<Item = &str> {
        self.owned.iter().filter(move |(_, (_, by))| *by == number).map(|(path, _)| path.as_str())
    }
}
