//! `diff`: what tells one image from another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::content::{Content, Node, STAGE1_MODULES as MODULES};
use crate::kconfig::{DotConfig, Value};

use super::Error;
use super::verify::Image;

/// One of the two images.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Its file.
    pub file: PathBuf,
    /// Its id.
    pub id: String,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes of all that is in it, uncompressed.
    pub content_size: u64,
}

/// Something that one side has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Only<T> {
    /// Which.
    pub name: String,
    /// What it is there.
    pub value: T,
}

/// Something that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed<T> {
    /// Which.
    pub name: String,
    /// On the first side.
    pub before: T,
    /// On the second side.
    pub after: T,
}

/// What two maps have not in common, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes<T> {
    /// Only the second has it.
    pub added: Vec<Only<T>>,
    /// Only the first has it.
    pub removed: Vec<Only<T>>,
    /// Both have it, and not the same.
    pub changed: Vec<Changed<T>>,
    /// How many are the same.
    pub same: usize,
}

/// All that tells the second image from the first.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Whether they are the same image, however compressed.
    pub equal: bool,
    /// The first image.
    pub before: Side,
    /// The second image.
    pub after: Side,
    /// Labels, and what the provenance says of versions, tools and source.
    pub versions: Changes<String>,
    /// Symbols of the kernel's configuration that are on or have a value.
    pub config: Changes<String>,
    /// Files, links and folders, with their bytes. In names, `<release>`
    /// stands for each image's own.
    pub files: Changes<u64>,
}

/// Compares two images.
///
/// # Errors
/// When one of them can't be read.
pub fn diff(before: &Path, after: &Path) -> Result<Difference, Error> {
    let (first, second) = (load(before)?, load(after)?);
    let (left, right) = (side(before, &first)?, side(after, &second)?);
    Ok(Difference {
        equal: left.id == right.id,
        versions: changes(&versions(&first), &versions(&second), Clone::clone),
        config: changes(&symbols(&first), &symbols(&second), Clone::clone),
        files: changes(&files(&first), &files(&second), Item::size),
        before: left,
        after: right,
    })
}

fn load(file: &Path) -> Result<Image, Error> {
    Image::load(file).map_err(|source| Error::Unreadable { path: file.to_owned(), source })
}

fn side(file: &Path, image: &Image) -> Result<Side, Error> {
    let size = fs_err::metadata(file).map_err(crate::pack::Error::Read)?.len();
    let content_size = files(image).values().map(Item::size).sum();
    Ok(Side { file: file.to_owned(), id: image.id(), size, content_size })
}

/// Compares by what it is, tells what `shown` makes of it.
fn changes<T: PartialEq, S>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    shown: impl Fn(&T) -> S,
) -> Changes<S> {
    let mut changes =
        Changes { added: Vec::new(), removed: Vec::new(), changed: Vec::new(), same: 0 };
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let owned = name.clone();
        match (before.get(name), after.get(name)) {
            (Some(old), Some(new)) if old == new => changes.same += 1,
            (Some(old), Some(new)) => {
                changes.changed.push(Changed { name: owned, before: shown(old), after: shown(new) })
            }
            (Some(old), None) => changes.removed.push(Only { name: owned, value: shown(old) }),
            (None, Some(new)) => changes.added.push(Only { name: owned, value: shown(new) }),
            (None, None) => {}
        }
    }
    changes
}

/// Every symbol that is on or has a value. One that is off and one that the
/// series does not know are the same to who runs the kernel.
fn symbols(image: &Image) -> BTreeMap<String, String> {
    let config: DotConfig = image.config().unwrap_or_default();
    let on = config.iter().filter(|(_, value)| **value != Value::NO);
    on.map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

/// Name, labels, and each value of the provenance under its path in it. The
/// numbers that a tool's version was read as say what its words say.
fn versions(image: &Image) -> BTreeMap<String, String> {
    let manifest = &image.whole.summary.manifest;
    let mut versions = BTreeMap::from([("name".to_owned(), manifest.name.clone())]);
    for label in &manifest.labels {
        versions.insert(format!("label.{}", label.name), label.value.clone());
    }
    if let Some(provenance) = image.provenance() {
        flatten(String::new(), &provenance, &mut versions);
    }
    let numbers = |name: &str| name.starts_with("toolchain.") && name.contains(".version.");
    versions.retain(|name, _| !numbers(name) && name != "key" && name != "format");
    versions
}

fn flatten(name: String, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
    use serde_json::Value;
    let below = |key: &str| match name.is_empty() {
        true => key.to_owned(),
        false => format!("{name}.{key}"),
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| flatten(below(key), value, into));
        }
        // What has a name of its own is known by it, whatever its place.
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
            let own = ["id", "name"].iter().find_map(|key| item.get(key)?.as_str());
            let key = own.map_or_else(|| index.to_string(), str::to_owned);
            flatten(below(&key), item, into);
        }),
        Value::Null => {}
        Value::String(text) => _ = into.insert(name, text.clone()),
        other => _ = into.insert(name, other.to_string()),
    }
}

/// What stands at a path.
#[derive(Debug, PartialEq)]
enum Item<'a> {
    Folder,
    Link(&'a str),
    File(&'a [u8], bool),
}

impl Item<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::File(bytes, _) => bytes.len() as u64,
            Self::Folder | Self::Link(_) => 0,
        }
    }
}

fn files(image: &Image) -> BTreeMap<String, Item<'_>> {
    let folder = image.base();
    let named = |path: &str| match folder.as_deref().and_then(|base| path.strip_prefix(base)) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{MODULES}/<release>{rest}")
        }
        _ => path.to_owned(),
    };
    let item = |node| match node {
        &Node::Dir => Item::Folder,
        Node::Symlink { target } => Item::Link(target),
        Node::File { content: Content::Bytes(bytes), executable } => Item::File(bytes, *executable),
        // An image that was read has its bytes with it.
        Node::File { executable, .. } => Item::File(&[], *executable),
    };
    image.whole.rootfs.iter().map(|(path, node)| (named(path), item(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_not_what_is_changed() {
        let map = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let (before, after) =
            (map(&[("a", 1), ("b", 2), ("c", 3)]), map(&[("b", 2), ("c", 4), ("d", 5)]));
        let changes = changes(&before, &after, |value| *value);
        assert_eq!(changes.added, [Only { name: "d".into(), value: 5 }]);
        assert_eq!(changes.removed, [Only { name: "a".into(), value: 1 }]);
        assert_eq!(changes.changed, [Changed { name: "c".into(), before: 3, after: 4 }]);
        assert_eq!(changes.same, 1);
    }

    #[test]
    fn patches_are_known_by_their_names_and_not_by_their_places() {
        let json = serde_json::json!({
            "kernel": {"version": "6.12.1", "epoch": 7},
            "patches": [{"name": "a.patch", "outcome": "applied"}],
            "insecure_options": ["source"],
        });
        let mut flat = BTreeMap::new();
        flatten(String::new(), &json, &mut flat);
        let keys: Vec<_> = flat.keys().map(String::as_str).collect();
        let expected = [
            "insecure_options.0",
            "kernel.epoch",
            "kernel.version",
            "patches.a.patch.name",
            "patches.a.patch.outcome",
        ];
        assert_eq!(keys, expected);
        assert_eq!(flat["kernel.epoch"], "7");
    }
}
