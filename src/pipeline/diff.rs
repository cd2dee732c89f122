//! `diff`: what tells one image from another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::content::{Content, KERNEL, MODULES, Node};
use crate::kconfig::{DotConfig, Value};

use crate::pack::Said;
use crate::pack::aci::NameValue;

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

/// Compares two images. Of an ACI and an image of another format, those files
/// are compared that both formats have: the kernel, and its folder.
///
/// # Errors
/// When one of them can't be read.
pub fn diff(before: &Path, after: &Path) -> Result<Difference, Error> {
    let (first, second) = (load(before)?, load(after)?);
    let (left, right) = (side(before, &first)?, side(after, &second)?);
    // An ACI has what rkt needs, and others have links for other programs.
    let across = first.manifest().is_some() != second.manifest().is_some();
    Ok(Difference {
        equal: left.id == right.id,
        versions: changes(&versions(&first), &versions(&second), Clone::clone),
        config: changes(&symbols(&first), &symbols(&second), Clone::clone),
        files: changes(&files(&first, across), &files(&second, across), Item::size),
        before: left,
        after: right,
    })
}

fn load(file: &Path) -> Result<Image, Error> {
    Image::load(file).map_err(|source| Error::Unreadable { path: file.to_owned(), source })
}

fn side(file: &Path, image: &Image) -> Result<Side, Error> {
    let size = size_of(file).map_err(crate::pack::Error::Read)?;
    let content_size = files(image, false).values().map(Item::size).sum();
    Ok(Side { file: file.to_owned(), id: image.id(), size, content_size })
}

/// Bytes of a file, or of all files in a folder.
fn size_of(path: &Path) -> std::io::Result<u64> {
    let files = walkdir::WalkDir::new(path).into_iter();
    let sizes = files.map(|found| -> std::io::Result<u64> {
        let found = found?.metadata()?;
        Ok(if found.is_file() { found.len() } else { 0 })
    });
    sizes.sum()
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
    let mut versions = BTreeMap::new();
    match &image.whole.said {
        Said::Aci(manifest) => {
            versions.insert("name".to_owned(), manifest.name.clone());
            let label = |label: &NameValue| (format!("label.{}", label.name), label.value.clone());
            versions.extend(manifest.labels.iter().map(label));
        }
        Said::Oci(said) => {
            let label =
                |(name, value): (&String, &String)| (format!("label.{name}"), value.clone());
            versions.extend(said.labels.iter().map(label));
        }
        Said::Files => {}
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

/// What is in an image, under names that don't depend on its release; with
/// `across` only what every format has, under names that no format gives.
fn files(image: &Image, across: bool) -> BTreeMap<String, Item<'_>> {
    let (folder, root) = (image.base(), image.modules_root());
    let named = |path: &str| {
        let below = folder.as_deref().and_then(|base| path.strip_prefix(base));
        match below.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) => Some(format!("{}/<release>{rest}", if across { MODULES } else { root })),
            None if !across => Some(path.to_owned()),
            None => (image.kernel_file == Some(path)).then(|| KERNEL.to_owned()),
        }
    };
    let item = |node| match node {
        &Node::Dir => Item::Folder,
        Node::Symlink { target } => Item::Link(target),
        Node::File { content: Content::Bytes(bytes), executable } => Item::File(bytes, *executable),
        // An image that was read has its bytes with it.
        Node::File { executable, .. } => Item::File(&[], *executable),
    };
    let nodes = image.whole.rootfs.iter();
    nodes.filter_map(|(path, node)| Some((named(path)?, item(node)))).collect()
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
