//! What stands where in an archive, decided on paper before anything is
//! created.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::tree::{Links, relative_path};
use super::UnpackError;

pub(super) fn why_not(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Link => "it is a hard link",
        tar::EntryType::Char | tar::EntryType::Block => "it is a device",
        tar::EntryType::Fifo => "it is a named pipe",
        tar::EntryType::GNUSparse => "it is a sparse file",
        _ => "it is neither a file nor a folder nor a link",
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Folder,
    File,
    Link,
    HardLink,
}

/// What stands where, decided on paper before anything is created.
#[derive(Default)]
pub(super) struct Layout {
    top: Option<OsString>,
    seen: HashMap<PathBuf, Class>,
    pub(super) links: Links,
    /// Further names of files, and which.
    pub(super) hard_links: Vec<(PathBuf, PathBuf)>,
}

/// Two names at the top, or one that is no folder.
#[derive(Debug, PartialEq)]
pub(super) struct Tops(OsString, OsString);

impl Tops {
    pub(super) fn error(self, archive: &str) -> UnpackError {
        UnpackError::SeveralTops {
            archive: archive.to_owned(),
            first: self.0.to_string_lossy().into_owned(),
            second: self.1.to_string_lossy().into_owned(),
        }
    }
}

impl Layout {
    /// The path below the one top folder; `None` for that folder itself.
    pub(super) fn strip_top(&mut self, path: &Path, class: Class) -> Result<Option<PathBuf>, Tops> {
        let mut parts = path.iter();
        let Some(first) = parts.next() else { return Ok(None) };
        let top = self.top.get_or_insert_with(|| first.to_owned());
        let rest = parts.as_path();
        let alone = rest.as_os_str().is_empty();
        if top != first || (alone && class != Class::Folder) {
            return Err(Tops(top.clone(), first.to_owned()));
        }
        Ok((!alone).then(|| rest.to_owned()))
    }

    /// A further name of a file that stands before it.
    pub(super) fn link_hard(&mut self, path: &Path, target: &[u8]) -> Result<(), &'static str> {
        let target = relative_path(target)?;
        let top = self.top.as_deref().unwrap_or_default();
        let file = target
            .strip_prefix(top)
            .ok()
            .filter(|file| matches!(self.seen.get(*file), Some(Class::File | Class::HardLink)));
        let file = file.ok_or("it is a hard link to no file before it")?;
        self.hard_links.push((path.to_owned(), file.to_owned()));
        Ok(())
    }

    /// Takes the path in, and tells which folders must be created for it,
    /// outermost first.
    pub(super) fn admit(
        &mut self,
        path: &Path,
        class: Class,
    ) -> Result<Vec<PathBuf>, &'static str> {
        match self.seen.get(path) {
            // An archive may say a folder again; there is nothing to mix up.
            Some(Class::Folder) if class == Class::Folder => return Ok(Vec::new()),
            Some(_) => return Err("it stands there twice"),
            None => {}
        }
        let mut new = Vec::new();
        for folder in path.ancestors().skip(1).take_while(|path| !path.as_os_str().is_empty()) {
            match self.seen.get(folder) {
                Some(Class::Folder) => break,
                Some(_) => return Err("it lies below a file or link"),
                None => new.push(folder.to_owned()),
            }
        }
        new.reverse();
        if class == Class::Folder {
            new.push(path.to_owned());
        }
        self.seen.extend(new.iter().map(|folder| (folder.clone(), Class::Folder)));
        self.seen.insert(path.to_owned(), class);
        Ok(new)
    }
}
