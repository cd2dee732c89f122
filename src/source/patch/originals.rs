//! What the touched files were before any patch: the only thing that later
//! runs believe.
//!
//! On disk: `journal.json` with one entry for each path that a patch ever
//! touched, and the originals' contents under their SHA-256. An entry never
//! changes and never goes; it is there, durably, before the file in the tree
//! is first written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::PatchError;
use super::parse::Mode;
use super::series::{Failure, Node, folders};
use crate::digest::Digest;
use crate::kept;

const FORMAT: u32 = 1;
const JOURNAL: &str = "journal.json";

/// What a path was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Original {
    /// Not there; `since` is the outermost folder on its way that wasn't
    /// there either, or the path itself.
    Absent { since: String },
    /// A file or link, its content (target) kept under the digest.
    Present { digest: Digest, mode: Mode },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: u32,
    pub(super) originals: BTreeMap<String, Original>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { format: FORMAT, originals: BTreeMap::new() }
    }
}

impl Journal {
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        kept::to_bytes(self)
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(JOURNAL)
    }

    fn load(folder: &Path) -> Result<Self, PatchError> {
        let path = Self::path(folder);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        match kept::from_bytes::<Self>(&bytes) {
            Ok(journal) if journal.format == FORMAT => Ok(journal),
            Ok(journal) => {
                let why = format!("format {} is not ours ({FORMAT})", journal.format);
                Err(PatchError::Originals { path, why })
            }
            Err(error) => Err(PatchError::Originals { path, why: error.to_string() }),
        }
    }
}

/// The pristine tree, seen through the journal.
pub(super) struct Originals<'a> {
    pub(super) tree: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) journal: Journal,
    absent: BTreeSet<String>,
}

impl<'a> Originals<'a> {
    pub(super) fn load(tree: &'a Path, folder: &'a Path) -> Result<Self, PatchError> {
        let journal = Journal::load(folder)?;
        let since = |original: &Original| match original {
            Original::Absent { since } => Some(since.clone()),
            Original::Present { .. } => None,
        };
        let absent = journal.originals.values().filter_map(since).collect();
        Ok(Self { tree, folder, journal, absent })
    }

    /// The pristine file or link of that path, if there is one.
    pub(super) fn node(&self, path: &str) -> Result<Option<Node>, Failure> {
        let refused = |why: String| Failure::Path { path: path.to_owned(), why };
        for folder in folders(path) {
            if let Some(Original::Present { .. }) = self.journal.originals.get(folder) {
                return Err(refused(format!("'{folder}' is a file or link")));
            }
            if self.is_absent(folder) {
                return Ok(None);
            }
            match fs::symlink_metadata(self.tree.join(folder)) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(refused(format!("it leads through the link '{folder}'")));
                }
                Ok(_) => return Err(refused(format!("'{folder}' is a file"))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Failure::Other(error.into())),
            }
        }
        match self.journal.originals.get(path) {
            Some(Original::Present { digest, mode }) => {
                self.kept(digest, *mode).map(Some).map_err(Failure::Other)
            }
            _ if self.is_absent(path) => Ok(None),
            _ => match on_disk(&self.tree.join(path)) {
                Ok(Found::Node(node)) => Ok(Some(node)),
                Ok(Found::Nothing) => Ok(None),
                Ok(Found::Folder) => {
                    Err(Failure::File { path: path.to_owned(), why: "is a folder".to_owned() })
                }
                Err(error) => Err(Failure::Other(error.into())),
            },
        }
    }

    fn is_absent(&self, path: &str) -> bool {
        let absent = |original: &Original| matches!(original, Original::Absent { .. });
        self.absent.contains(path) || self.journal.originals.get(path).is_some_and(absent)
    }

    /// The outermost thing on the way to an absent path that was absent.
    pub(super) fn absent_since(&self, path: &str) -> String {
        let gone = |folder: &&str| {
            self.is_absent(folder) || fs::symlink_metadata(self.tree.join(folder)).is_err()
        };
        folders(path).find(gone).unwrap_or(path).to_owned()
    }

    pub(super) fn kept_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    fn kept(&self, digest: &Digest, mode: Mode) -> Result<Node, PatchError> {
        let path = self.kept_path(digest);
        let content = fs::read(&path)?;
        if Digest::sha256(&content) != *digest {
            let why = "its content is not that of its digest".to_owned();
            return Err(PatchError::Originals { path, why });
        }
        Ok(Node { content: Arc::new(content), mode })
    }
}

/// What stands at a path.
pub(super) enum Found {
    Nothing,
    Folder,
    Node(Node),
}

/// What stands there; a link is not followed.
pub(super) fn on_disk(path: &Path) -> io::Result<Found> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if is_nothing(&error) => return Ok(Found::Nothing),
        other => other?,
    };
    let (content, mode) = if metadata.is_dir() {
        return Ok(Found::Folder);
    } else if metadata.is_symlink() {
        (fs::read_link(path)?.as_os_str().as_bytes().to_vec(), Mode::Symlink)
    } else if !metadata.is_file() {
        let text = format!("{} is neither a file nor a link", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    } else if metadata.permissions().mode() & 0o100 == 0 {
        (fs::read(path)?, Mode::Regular)
    } else {
        (fs::read(path)?, Mode::Executable)
    };
    Ok(Found::Node(Node { content: Arc::new(content), mode }))
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
