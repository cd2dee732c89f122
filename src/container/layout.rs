//! Images in OCI's layout (image specification, "Image Layout"): a folder,
//! or an archive of one.

use std::path::{Path, PathBuf};

use super::archive::Index;
use super::manifest::{Descriptor, Document, Manifest, choose, tagged};
use super::parts::{Found, Place, Section, check, only_sha256};
use super::{Error, Options};

/// The file that makes a folder a layout.
pub(super) const MARK: &str = "oci-layout";
/// Indexes may list indexes, to no use.
const MOST_NESTED: u32 = 4;

/// Where a layout's files are.
#[derive(Debug)]
pub(super) enum Files {
    Folder(PathBuf),
    Archive(Index),
}

impl Files {
    fn section(&self, name: &str) -> Result<Option<Section>, Error> {
        match self {
            Self::Folder(folder) => match Section::of_file(&folder.join(name)) {
                Ok(section) => Ok(Some(section)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Archive(index) => Ok(index.section(name)),
        }
    }

    /// A blob, of the length that was said, unverified.
    fn blob(&self, descriptor: &Descriptor, what: &str) -> Result<Section, Error> {
        only_sha256(&descriptor.digest, what)?;
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        let missing = || Error::malformed(what, format!("it has no {name}"));
        let section = self.section(&name)?.ok_or_else(missing)?;
        match section.length == descriptor.size {
            true => Ok(section),
            false => {
                Err(Error::Length { what: format!("{what}: {name}"), expected: descriptor.size })
            }
        }
    }

    /// A blob's bytes, verified.
    fn document(&self, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, Error> {
        let bytes = self.blob(descriptor, what)?.document(what)?;
        check(&descriptor.digest, &bytes, &format!("{what}: {}", descriptor.digest))?;
        Ok(bytes)
    }
}

/// Finds the image in a folder.
pub(super) fn find_in_folder(
    path: &Path,
    tag: Option<&str>,
    options: &Options,
) -> Result<Found, Error> {
    if !path.exists() {
        return Err(Error::NotThere { path: path.to_owned() });
    }
    find(&Files::Folder(path.to_owned()), path, tag, options)
}

/// Finds the image in a layout that is at `path`.
pub(super) fn find(
    files: &Files,
    path: &Path,
    tag: Option<&str>,
    options: &Options,
) -> Result<Found, Error> {
    let name = path.display().to_string();
    let what = format!("{name}: index.json");
    let missing =
        || Error::NotAnImage { path: path.to_owned(), reason: "it has no index.json".to_owned() };
    let index = files.section("index.json")?.ok_or_else(missing)?.document(&what)?;
    let Document::Index(list) = Document::parse(&index, &what)? else {
        return Err(Error::malformed(&what, "it lists no manifests"));
    };
    let entry = tagged(&list, tag, options.arch, &name)?;
    let shown = match entry.tag() {
        Some(tag) => format!("{name}:{tag}"),
        None => name.clone(),
    };
    let manifest = manifest(files, entry.clone(), options, &shown)?;
    let config = files.document(&manifest.config, &shown)?;
    let place = |layer: &Descriptor| {
        Ok(Place::Here(files.blob(layer, &shown)?, Some(layer.digest.clone())))
    };
    let places: Result<Vec<Place>, Error> = manifest.layers.iter().map(place).collect();
    Found::new(&shown, &config, places?, options.arch)
}

fn manifest(
    files: &Files,
    mut entry: Descriptor,
    options: &Options,
    what: &str,
) -> Result<Manifest, Error> {
    for _ in 0..MOST_NESTED {
        match Document::parse(&files.document(&entry, what)?, what)? {
            Document::Manifest(manifest) => return Ok(manifest),
            Document::Index(list) => entry = choose(&list, options.arch, what)?.clone(),
        }
    }
    Err(Error::malformed(what, "its indexes list only indexes"))
}
