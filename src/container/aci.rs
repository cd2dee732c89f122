//! App Container Images (appc specification 0.8): one archive with a manifest
//! and a root filesystem.

use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::images::{Record, Slot};
use super::layer::{Unpacker, Whiteouts};
use super::parts::Section;
use super::process::{MountPoint, Process};
use super::squashfs::Writer;
use super::tar::{Entry, Kind};
use super::tree::Tree;
use super::unpack::Watched;
use super::{Container, Error, Limits, Options};
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::pack::aci::{Manifest, NameValue};
use crate::report::{Reporter, Stage};
use crate::settings::Arch;
use crate::source::decompress;

/// A manifest is a few kilobytes.
const MOST_MANIFEST: u64 = 1 << 20;

/// What a manifest says besides what every image's says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct More {
    app: Option<App>,
    path_whitelist: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct App {
    exec: Option<Vec<String>>,
    user: String,
    group: String,
    #[serde(rename = "supplementaryGIDs")]
    supplementary_groups: Option<Vec<u32>>,
    environment: Option<Vec<NameValue>>,
    working_directory: Option<String>,
    mount_points: Option<Vec<Mount>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    name: String,
    path: String,
    #[serde(default)]
    read_only: bool,
}

/// Writes the root filesystem of a stage1 image, as it is without the image
/// below it, to an empty file as squashfs; gives back the file, not synced,
/// and its tree.
/// `visit` says what belongs into it.
///
/// # Errors
/// When the image is damaged or is none, or the file can't be written.
pub(super) fn stage1_rootfs(
    path: &Path,
    file: std::fs::File,
    visit: &mut dyn FnMut(&mut Entry, &mut dyn Read) -> Result<bool, Error>,
) -> Result<(std::fs::File, Tree), Error> {
    let what = path.display().to_string();
    let section = Section::of_file(path)?;
    let (_, mut plain) =
        decompress::decoder(section.reader()).map_err(|source| Error::damaged(&what, source))?;
    let mut unpacker = Unpacker::new(Writer::new(file)?, Limits::default(), Whiteouts::Plain);
    let mut manifest = None;
    unpacker.apply(&mut plain, &what, |entry, bytes| {
        Ok(sort_out(entry, bytes, &mut manifest, &what)? && visit(entry, bytes)?)
    })?;
    Ok(unpacker.finish_with_tree()?)
}

/// The unpacked image of a file.
pub(super) fn provide(
    path: &Path,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Container, Error> {
    if !path.exists() {
        return Err(Error::NotThere { path: path.to_owned() });
    }
    let name = path.display().to_string();
    // The file's digest is cheaper to have than the image's id, which is that
    // of what the file holds uncompressed.
    let slot = Slot::of(options.folder, &Digest::sha256_of_file(path)?)?;
    let record = slot.get_or_make(&name, reporter, |file| {
        reporter.started(Stage::Unpack, name.clone());
        let made = unpack(path, &name, file, options, reporter)?;
        reporter.finished(Stage::Unpack, name.clone());
        Ok(made)
    })?;
    let name = record.name.clone().unwrap_or(name);
    Ok(Container { id: record.id, name, rootfs: slot.rootfs(), process: record.process })
}

pub(super) fn unpack(
    path: &Path,
    what: &str,
    file: std::fs::File,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(std::fs::File, Record), Error> {
    let damaged = |source| Error::damaged(what, source);
    let watched = Watched::default();
    let section = Section::of_file(path)?;
    let total = section.length;
    let (_, plain) = decompress::decoder(watched.reader(section.reader())).map_err(damaged)?;
    let mut plain = DigestReader::new(Algorithm::Sha512, plain);
    let mut unpacker = Unpacker::new(Writer::new(file)?, options.limits, Whiteouts::Plain);
    let mut manifest = None;
    unpacker.apply(&mut plain, what, |entry, bytes| {
        watched.report(0, total, what, reporter);
        sort_out(entry, bytes, &mut manifest, what)
    })?;
    let id = plain.finish();
    let not = |reason: &str| Error::NotAnImage { path: path.to_owned(), reason: reason.to_owned() };
    let bytes = manifest.ok_or_else(|| not("it has no manifest"))?;
    let (manifest, more) = understood(&bytes, what, options.arch)?;
    if let Some(paths) = more.path_whitelist.as_ref().filter(|paths| !paths.is_empty()) {
        unpacker.keep_only(paths);
    }
    super::unpack::tell_dropped(&unpacker, what, reporter);
    let process = more.app.map(process).unwrap_or_default();
    let record = Record { id, name: Some(manifest.name), size: 0, process };
    Ok((unpacker.finish()?, record))
}

/// Takes the manifest out, and `rootfs/` off the other paths.
fn sort_out(
    entry: &mut Entry,
    bytes: &mut dyn Read,
    manifest: &mut Option<Vec<u8>>,
    what: &str,
) -> Result<bool, Error> {
    let path = without_dots(&entry.path);
    if path == b"manifest" && entry.kind == Kind::File {
        let mut content = Vec::new();
        let read = bytes.take(MOST_MANIFEST).read_to_end(&mut content);
        read.map_err(|source: io::Error| Error::damaged(what, source))?;
        if manifest.replace(content).is_some() {
            return Err(Error::malformed(what, "it has two manifests"));
        }
        return Ok(false);
    }
    if path.is_empty() {
        return Ok(false);
    }
    let outside = || Error::malformed(what, "it has more than a manifest and a rootfs");
    entry.path = below_rootfs(&entry.path).ok_or_else(outside)?;
    if entry.kind == Kind::Hardlink {
        entry.target = below_rootfs(&entry.target).ok_or_else(outside)?;
    }
    Ok(true)
}

fn without_dots(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    if path == b"." { b"" } else { path }
}

fn below_rootfs(path: &[u8]) -> Option<Vec<u8>> {
    match without_dots(path).strip_prefix(b"rootfs")? {
        rest @ ([] | [b'/', ..]) => Some(rest.to_vec()),
        _ => None,
    }
}

fn understood(bytes: &[u8], what: &str, arch: Arch) -> Result<(Manifest, More), Error> {
    let manifest = Manifest::from_json(bytes).map_err(|error| Error::malformed(what, error))?;
    let more: More =
        serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))?;
    if let Some(parent) = manifest.dependencies.first() {
        let reason = format!("it is laid over the image {}", parent.image_name);
        return Err(Error::Unsupported { what: what.to_owned(), reason });
    }
    let said = |label, wanted: &str| manifest.label(label).is_none_or(|found| found == wanted);
    if !said("os", "linux") || !said("arch", arch.appc()) {
        let label = |name| manifest.label(name).unwrap_or("any");
        let offered = vec![format!("{}/{}", label("os"), label("arch"))];
        let (name, wanted) = (manifest.name, format!("linux/{}", arch.appc()));
        return Err(Error::NoPlatform { name, wanted, offered });
    }
    Ok((manifest, more))
}

fn process(app: App) -> Process {
    let mount = |mount: Mount| MountPoint {
        name: mount.name,
        path: mount.path,
        read_only: mount.read_only,
    };
    let variables = app.environment.unwrap_or_default().into_iter();
    let user = match app.group.as_str() {
        "" => app.user,
        group => format!("{}:{group}", app.user),
    };
    Process {
        entrypoint: app.exec.unwrap_or_default(),
        command: Vec::new(),
        env: variables.map(|pair| (pair.name, pair.value)).collect(),
        working_dir: app.working_directory.filter(|folder| !folder.is_empty()),
        user,
        groups: app.supplementary_groups.unwrap_or_default(),
        mounts: app.mount_points.unwrap_or_default().into_iter().map(mount).collect(),
        stop_signal: None,
    }
}
