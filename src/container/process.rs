//! What an image says of the process that runs in it.

use serde::{Deserialize, Serialize};

/// The process of a container image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The program and its first arguments; what the user gives comes behind.
    pub entrypoint: Vec<String>,
    /// What comes behind the entrypoint unless the user gives something.
    pub command: Vec<String>,
    /// Names and values, in the image's order.
    pub env: Vec<(String, String)>,
    /// The folder to start in, if the image says one.
    pub working_dir: Option<String>,
    /// Empty for root, `uid`, `name`, `uid:gid` or `name:group`; names are
    /// those of the image's own `/etc/passwd` and `/etc/group`. In an ACI it
    /// may be a path whose owner is meant.
    pub user: String,
    /// Supplementary groups' numbers.
    pub groups: Vec<u32>,
    /// Where the image expects volumes.
    pub mounts: Vec<MountPoint>,
    /// By name or number, if the image says one.
    pub stop_signal: Option<String>,
}

/// A place for a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Its name: what an ACI gives it, or for other images `volume-` and the
    /// path with dashes, as rkt has always named them.
    pub name: String,
    /// The path in the root filesystem.
    pub path: String,
    /// Whether the image only reads there.
    pub read_only: bool,
}

impl MountPoint {
    /// The mount point of an image that has only a path.
    pub(super) fn of_path(path: &str) -> Self {
        let words = path.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let name = format!("volume-{}", words.join("-").to_ascii_lowercase());
        Self { name, path: path.to_owned(), read_only: false }
    }
}

/// A variable as images write it.
pub(super) fn variable(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}
