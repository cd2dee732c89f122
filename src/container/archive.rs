//! Images in tar archives: what `docker save` writes, of old and of new
//! kind, and archives of OCI's layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use serde::Deserialize;

use super::layout::{self, Files};
use super::parts::{Found, Place, Section, check};
use super::tar::{self, Kind};
use super::{Error, Options};
use crate::digest::{Algorithm, Digest};
use crate::proc::interrupt;
use crate::source::decompress::{self, Compression};

/// An archive of an image has a few files for each layer.
const MOST_MEMBERS: usize = 100_000;
/// Links in archives lead straight to their file.
const MOST_LINKS: u32 = 8;
/// Where blobs lie whose digest is their name.
const BLOBS: &str = "blobs/sha256/";

/// Where each file of an archive is.
#[derive(Debug)]
pub(super) struct Index {
    file: Arc<File>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    Bytes { start: u64, length: u64 },
    Link(String),
}

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Finds the image in an archive.
pub(super) fn find(path: &Path, tag: Option<&str>, options: &Options) -> Result<Found, Error> {
    if !path.exists() {
        return Err(Error::NotThere { path: path.to_owned() });
    }
    let not = |reason: &str| Error::NotAnImage { path: path.to_owned(), reason: reason.to_owned() };
    let index = Index::open(path, options)?;
    if let Some(section) = index.section("manifest.json") {
        let what = format!("{}: manifest.json", path.display());
        return saved(&index, &section.document(&what)?, path, tag, options);
    }
    if index.section("index.json").is_some() {
        return layout::find(&Files::Archive(index), path, tag, options);
    }
    Err(not("it has neither a manifest.json nor an index.json"))
}

impl Index {
    /// Looks through an archive. One that is compressed is first unpacked to
    /// a file without a name.
    fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let what = path.display().to_string();
        let file = plain(path, options)?;
        let file = Arc::new(file);
        let clone = file.try_clone()?;
        let mut archive = tar::Archive::new(BufReader::new(clone));
        let mut members = BTreeMap::new();
        let not = |source: io::Error| Error::NotAnImage {
            path: path.to_owned(),
            reason: source.to_string(),
        };
        while let Some(entry) = archive.next_entry().map_err(not)? {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            let target = String::from_utf8_lossy(&entry.target).into_owned();
            let member = match entry.kind {
                Kind::File => Member::Bytes { start: archive.position(), length: entry.size },
                Kind::Symlink => Member::Link(beside(&name, &target)),
                Kind::Hardlink => Member::Link(normal(&target)),
                _ => continue,
            };
            members.insert(normal(&name), member);
            if members.len() > MOST_MEMBERS {
                let limit = format!("{MOST_MEMBERS} files");
                return Err(Error::TooBig { what, limit });
            }
        }
        Ok(Self { file, members })
    }

    /// A file of the archive.
    pub(super) fn section(&self, name: &str) -> Option<Section> {
        let mut name = normal(name);
        for _ in 0..MOST_LINKS {
            match self.members.get(&name)? {
                &Member::Bytes { start, length } => {
                    return Some(Section::new(Arc::clone(&self.file), start, length));
                }
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

fn plain(path: &Path, options: &Options) -> Result<File, Error> {
    let what = path.display().to_string();
    let open = || fs::File::open(path).map(|file| file.into_parts().0);
    let (compression, mut reader) =
        decompress::reader(open()?).map_err(|source| Error::damaged(&what, source))?;
    if compression == Compression::None {
        return Ok(open()?);
    }
    fs::create_dir_all(options.folder)?;
    let mut spool = tempfile::tempfile_in(options.folder)?;
    let mut left = options.limits.bytes;
    let mut buffer = vec![0; 256 << 10];
    loop {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        let count = reader.read(&mut buffer).map_err(|source| Error::damaged(&what, source))?;
        if count == 0 {
            break;
        }
        left = left
            .checked_sub(count as u64)
            .ok_or_else(|| Error::too_many_bytes(&what, options.limits.bytes))?;
        spool.write_all(&buffer[..count])?;
    }
    spool.rewind()?;
    Ok(spool)
}

/// Without `.`, doubled slashes and a leading one; `..` takes a name away.
fn normal(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// A symlink's target, from the archive's root.
fn beside(link: &str, target: &str) -> String {
    match (target.starts_with('/'), link.rsplit_once('/')) {
        (false, Some((folder, _))) => normal(&format!("{folder}/{target}")),
        _ => normal(target),
    }
}

/// The image of an archive by `docker save`.
fn saved(
    index: &Index,
    manifest: &[u8],
    path: &Path,
    tag: Option<&str>,
    options: &Options,
) -> Result<Found, Error> {
    let name = path.display().to_string();
    let malformed = |error| Error::malformed(&format!("{name}: manifest.json"), error);
    let images: Vec<Saved> = serde_json::from_slice(manifest).map_err(malformed)?;
    let image = chosen(&images, tag, &name)?;
    let shown = match (tag, image.repo_tags.as_deref()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some([tag, ..])) => tag.clone(),
        _ => name.clone(),
    };
    let section = |member: &str| {
        let missing = || Error::malformed(&name, format!("it has no '{member}'"));
        index.section(member).ok_or_else(missing)
    };
    let config = section(&image.config)?.document(&shown)?;
    if let Some(digest) = named_digest(&image.config) {
        check(&digest, &config, &format!("{shown}: its configuration"))?;
    }
    let place = |layer: &String| Ok(Place::Here(section(layer)?, blob_digest(layer)));
    let places: Result<Vec<Place>, Error> = image.layers.iter().flatten().map(place).collect();
    Found::new(&shown, &config, places?, options.arch)
}

fn chosen<'a>(images: &'a [Saved], tag: Option<&str>, name: &str) -> Result<&'a Saved, Error> {
    let tags = images.iter().flat_map(|image| image.repo_tags.iter().flatten().cloned()).collect();
    let no = |reason: String| Err(Error::NoTag { name: name.to_owned(), reason, offered: tags });
    let Some(tag) = tag else {
        return match images {
            [image] => Ok(image),
            _ => no(format!("holds {} images", images.len())),
        };
    };
    let is_it = |found: &String| found == tag || found.rsplit_once(':').is_some_and(|f| f.1 == tag);
    let found = images.iter().find(|image| image.repo_tags.iter().flatten().any(is_it));
    match found {
        Some(image) => Ok(image),
        None => no(format!("has no image '{tag}'")),
    }
}

/// The digest that a configuration's name says: `<hex>.json`, or a blob's.
fn named_digest(name: &str) -> Option<Digest> {
    let hex = name.strip_suffix(".json").unwrap_or(name);
    Digest::from_hex(Algorithm::Sha256, hex.strip_prefix(BLOBS).unwrap_or(hex))
}

fn blob_digest(name: &str) -> Option<Digest> {
    Digest::from_hex(Algorithm::Sha256, name.strip_prefix(BLOBS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_through_links() {
        assert_eq!(normal("./a//b/../c"), "a/c");
        assert_eq!(beside("id/layer.tar", "../other/layer.tar"), "other/layer.tar");
        assert_eq!(beside("layer.tar", "other"), "other");
    }

    #[test]
    fn a_tag_is_chosen_or_what_there_is_is_named() {
        let saved = |tags: &[&str]| Saved {
            config: tags.join(" "),
            repo_tags: Some(tags.iter().map(|&tag| tag.to_owned()).collect()),
            layers: None,
        };
        let images = [saved(&["a:1", "b:2"]), saved(&["c:3"])];
        assert_eq!(chosen(&images, Some("b:2"), "x").unwrap().config, "a:1 b:2");
        assert_eq!(chosen(&images, Some("3"), "x").unwrap().config, "c:3");
        assert_eq!(chosen(&images[1..], None, "x").unwrap().config, "c:3");
        let error = chosen(&images, None, "x").unwrap_err().to_string();
        assert_eq!(error, "x: holds 2 images; it has a:1, b:2, c:3");
    }
}
