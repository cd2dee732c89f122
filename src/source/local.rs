//! A folder or tarball of the user's. It is only read.
//!
//! A folder's files are those that git lists, when it is the top of a git
//! checkout; else all but what a build leaves ([`is_build_product`]). Its
//! digest is over names, kinds, execute bits and contents of these files, so
//! that it is the same wherever and whenever the folder was written.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, DigestReader, Hasher};
use crate::kept;
use crate::listing::{self, Listed, Stamp};
use crate::proc::{self, Program, interrupt};
use crate::report::{Event, Reporter, Stage, Total, Unit};
use crate::settings::{KernelRequest, KernelVersion};

use super::{
    Archive, Error, Options, Provenance, Provider, Revision, Source, Verified, decompress, git,
};

/// The longest top Makefile that is read, in bytes; 6.12's has 72 kB.
const MAKEFILE: u64 = 4 << 20;

/// What a file of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file; whether it may be executed.
    File {
        /// Its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link,
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the tree's top.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// A folder with a kernel tree. Read only; to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTree {
    /// The top folder.
    pub root: PathBuf,
    /// Which kernel it is.
    pub version: KernelVersion,
    /// What belongs to it, sorted by path; folders are not listed.
    pub files: Vec<Entry>,
    /// Where it is from; the digest is of `files` and their contents.
    pub provenance: Provenance,
}

/// The version of a local folder or tarball, by its top Makefile.
///
/// # Errors
/// When it can't be read or is no kernel source.
pub fn version(path: &Path) -> Result<KernelVersion, Error> {
    let found = if fs::metadata(path)?.is_dir() {
        let makefile = fs::read(path.join("Makefile")).unwrap_or_default();
        makefile_version(&String::from_utf8_lossy(&makefile))
    } else {
        tarball_version(path)?
    };
    found.ok_or_else(|| no_makefile(path))
}

pub(super) fn no_makefile(path: &Path) -> Error {
    let reason = "it has no top Makefile with VERSION, PATCHLEVEL and SUBLEVEL".to_owned();
    Error::NotASource { path: path.to_owned(), reason }
}

/// Whether a local source is what was asked for. `stable` and the like are
/// whatever the user has.
///
/// # Errors
/// When it is not.
pub(super) fn check_version(
    path: &Path,
    found: KernelVersion,
    request: KernelRequest,
) -> Result<(), Error> {
    let fits = match request {
        KernelRequest::Exact(version) => version == found,
        KernelRequest::Series(series) => series == found.series(),
        KernelRequest::Stable | KernelRequest::Longterm | KernelRequest::Mainline => true,
    };
    if fits { Ok(()) } else { Err(Error::OtherVersion { path: path.to_owned(), found, request }) }
}

/// The version in a kernel's top Makefile. An `EXTRAVERSION` other than
/// `-rcN` is a suffix of somebody's and no part of the version.
pub(super) fn makefile_version(text: &str) -> Option<KernelVersion> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim))
    };
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    let (major, minor) = (number("VERSION")?, number("PATCHLEVEL")?);
    // A version of 0 is in the Makefiles of many other projects.
    if major == 0 {
        return None;
    }
    let candidate = value("EXTRAVERSION").and_then(|extra| extra.strip_prefix("-rc"));
    let candidate = candidate.and_then(|number| number.parse().ok());
    Some(match candidate.filter(|&number| number > 0) {
        Some(candidate) => KernelVersion::release_candidate(major, minor, candidate),
        None => KernelVersion::new(major, minor, number("SUBLEVEL")?),
    })
}

/// The version in a tarball, which has one folder with everything in it or
/// no such folder; so that `kernel/Makefile` of the latter is passed over.
fn tarball_version(path: &Path) -> Result<Option<KernelVersion>, Error> {
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    let (_, reader) = decompress::reader(fs::File::open(path)?.into_parts().0).map_err(damaged)?;
    let mut tar = tar::Archive::new(reader);
    for entry in tar.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if !is_top_makefile(&entry.path_bytes()) || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        entry.take(MAKEFILE).read_to_end(&mut content).map_err(damaged)?;
        if let Some(version) = makefile_version(&String::from_utf8_lossy(&content)) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

fn is_top_makefile(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let mut parts = name.split(|&byte| byte == b'/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(only), None, None) => only == b"Makefile",
        (Some(_), Some(second), None) => second == b"Makefile",
        _ => false,
    }
}

/// The version as [`version`], without reading a tarball again that has not
/// changed.
pub(super) fn known_version(path: &Path, options: &Options) -> Result<KernelVersion, Error> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotThere { path: path.to_owned() },
        _ => error.into(),
    })?;
    if found.is_dir() {
        return version(path);
    }
    let absolute = fs::canonicalize(path)?;
    match recall(&absolute, &tarball_stamp(&absolute)?, options) {
        Some(known) => Ok(known.version),
        None => version(path),
    }
}

/// A local source, with its digest.
///
/// # Errors
/// When it can't be read or is no kernel source.
pub(super) fn fetch(
    path: &Path,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Source, Error> {
    let root = fs::canonicalize(path)?;
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let provider = Provider::Local;
    if !fs::metadata(&root)?.is_dir() {
        let hash = || Ok(Digest::sha256_of_file(&root)?);
        let Known { version, digest, .. } =
            remembered(&root, tarball_stamp(&root)?, options, hash, |_| None)?;
        let verified = checked(&root, &digest, options)?;
        let provenance = Provenance { provider, name, digest, verified, revision: None };
        return Ok(Source::Tarball(Archive { path: root, version, provenance, ahead: None }));
    }
    if options.sha256.is_some() {
        return Err(Error::FolderChecksum { path: root });
    }
    let found = listed(&root, reporter)?;
    let is_checkout = root.join(".git").exists();
    let heads = if is_checkout { git::heads(&root, version(&root)?) } else { String::new() };
    let stamp = stamped(&listing::stamp(&found), &heads);
    let files: Vec<Entry> = found.into_iter().filter_map(entry).collect();
    let hash = || tree_digest(&root, &files, reporter);
    let revision = |version| is_checkout.then(|| git::of_checkout(&root, version)).flatten();
    let Known { version, digest, revision, .. } =
        remembered(&root, stamp, options, hash, revision)?;
    let verified = Verified::Local;
    let provenance = Provenance { provider, name, digest, verified, revision };
    Ok(Source::Tree(LocalTree { root, version, files, provenance }))
}

/// How a tarball is verified: by its checksum, if one was given.
fn checked(path: &Path, found: &Digest, options: &Options) -> Result<Verified, Error> {
    match options.sha256 {
        None => Ok(Verified::Local),
        Some(wanted) if wanted == found => Ok(Verified::Checksum),
        Some(wanted) => {
            let (path, found, wanted) = (path.to_owned(), found.clone(), wanted.clone());
            Err(Error::Checksum { path, found, wanted })
        }
    }
}

/// The files of a tree, sorted by path.
///
/// # Errors
/// When the folder can't be read.
pub fn files(root: &Path, reporter: &dyn Reporter) -> Result<Vec<Entry>, Error> {
    Ok(listed(root, reporter)?.into_iter().filter_map(entry).collect())
}

/// The files and links of a tree, sorted by path.
fn listed(root: &Path, reporter: &dyn Reporter) -> Result<Vec<Listed>, Error> {
    let listed = match listed_by_git(root) {
        Some(Ok(paths)) => Some(paths),
        Some(Err(error)) if error.signal().is_some() => return Err(error.into()),
        Some(Err(error)) => {
            reporter.detail(format!("git can't list {}: {error}", root.display()));
            None
        }
        None => None,
    };
    // Debian's tarballs have a `.gitignore` that is for Debian's own
    // repository, and ignores the whole kernel.
    let is_kernel = |paths: &Vec<PathBuf>| paths.iter().any(|path| path == Path::new("Makefile"));
    let Some(paths) = listed.filter(is_kernel) else { return walked(root) };
    // What is tracked but gone has no stamp.
    let stamped = |path: PathBuf| {
        let stamp = Stamp::of(&root.join(&path)).ok()?;
        Some(Listed { path, stamp })
    };
    let mut found: Vec<_> = paths.into_iter().filter_map(stamped).filter(is_content).collect();
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // An unmerged file is listed once a side.
    found.dedup();
    Ok(found)
}

/// What git lists as tracked, or new and not ignored; `None` if the folder is
/// not the top of a checkout. Only there: a tree that was unpacked somewhere
/// below another checkout may be ignored as a whole.
fn listed_by_git(root: &Path) -> Option<Result<Vec<PathBuf>, proc::Error>> {
    if !root.join(".git").exists() {
        return None;
    }
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Program::new("git").arg("-C").arg(root).args(list).run();
    Some(output.map(|bytes| {
        let names = bytes.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect()
    }))
}

fn walked(root: &Path) -> Result<Vec<Listed>, Error> {
    let mut found = listing::files(root, &|path| !is_build_product(path))?;
    found.retain(is_content);
    Ok(found)
}

/// No folder (a submodule's, in git's list), socket or the like.
fn is_content(found: &Listed) -> bool {
    matches!(found.stamp.file_type(), FileType::RegularFile | FileType::Symlink)
}

fn entry(found: Listed) -> Option<Entry> {
    let kind = match found.stamp.file_type() {
        FileType::RegularFile => Kind::File { executable: found.stamp.is_executable() },
        FileType::Symlink => Kind::Link,
        _ => return None,
    };
    Some(Entry { path: found.path, kind })
}

/// What a build in the tree or a version control leaves, by its path below
/// the top.
#[must_use]
pub fn is_build_product(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut parts = path.iter().map(OsStrExt::as_bytes);
    let folder = match [(); 5].map(|()| parts.next()) {
        [Some(top), None, ..] => top == b".git",
        [Some(b"include"), Some(second), None, ..] => second == b"config" || second == b"generated",
        [Some(b"arch"), Some(_), Some(b"include"), Some(b"generated"), None] => true,
        _ => false,
    };
    // `.config`, `.config.old`; only at the top is it kbuild's.
    let configuration = name.starts_with(b".config") && name.len() == path.as_os_str().len();
    let command = name.starts_with(b".") && name.ends_with(b".cmd");
    folder || configuration || command || name.ends_with(b".o")
}

fn tarball_stamp(path: &Path) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    Stamp::of(path)?.hash_into(&mut hasher);
    Ok(hasher.finish())
}

/// The stamp of a tree that has a place in a history, too.
fn stamped(files: &Digest, heads: &str) -> Digest {
    if heads.is_empty() {
        return files.clone();
    }
    Digest::sha256(format!("{} {heads}", files.hex()).as_bytes())
}

/// What was found out about a source, and the stamp that it had then.
#[derive(Serialize, Deserialize)]
pub(super) struct Known {
    stamp: Digest,
    version: KernelVersion,
    digest: Digest,
    revision: Option<Revision>,
}

fn known_path(path: &Path, options: &Options) -> PathBuf {
    let name = Digest::sha256(path.as_os_str().as_bytes());
    options.downloads.join("local").join(format!("{}.json", &name.hex()[..32]))
}

fn recall(path: &Path, stamp: &Digest, options: &Options) -> Option<Known> {
    kept::read(&known_path(path, options)).filter(|known: &Known| known.stamp == *stamp)
}

/// What is known of a source with this stamp, or found out now.
fn remembered(
    path: &Path,
    stamp: Digest,
    options: &Options,
    hash: impl FnOnce() -> Result<Digest, Error>,
    revision: impl FnOnce(KernelVersion) -> Option<Revision>,
) -> Result<Known, Error> {
    if let Some(known) = recall(path, &stamp, options) {
        return Ok(known);
    }
    let version = version(path)?;
    let known = Known { stamp, version, digest: hash()?, revision: revision(version) };
    kept::write(&known_path(path, options), &known)?;
    Ok(known)
}

/// The digest of all files and links in a folder, whatever they are for.
///
/// # Errors
/// When they can't be read, or we are asked to stop.
pub fn folder_digest(root: &Path, reporter: &dyn Reporter) -> Result<Digest, Error> {
    let files: Vec<Entry> =
        listing::files(root, &|_| true)?.into_iter().filter_map(entry).collect();
    tree_digest(root, &files, reporter)
}

/// The content's digest. Each file's part is computed by itself, on all
/// cores, and they are put together in order.
fn tree_digest(root: &Path, files: &[Entry], reporter: &dyn Reporter) -> Result<Digest, Error> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Digest)>, Error> {
        let mut parts = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = files.get(index) else { return Ok(parts) };
            if let Some(signal) = interrupt::requested() {
                return Err(Error::Interrupted(signal));
            }
            parts.push((index, content_digest(root, entry)?));
            progress(index, files.len(), reporter);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = |_| Err(std::io::Error::other("a hashing thread panicked").into());
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect()
    });
    let mut parts: Vec<(usize, Digest)> =
        results.into_iter().collect::<Result<Vec<_>, Error>>()?.concat();
    parts.sort_unstable_by_key(|(index, _)| *index);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for (entry, (_, digest)) in files.iter().zip(&parts) {
        hasher.update(line_of(entry, digest).as_slice());
    }
    Ok(hasher.finish())
}

fn progress(index: usize, total: usize, reporter: &dyn Reporter) {
    if index.is_multiple_of(512) {
        reporter.event(Event::Progress {
            stage: Stage::Verify,
            done: index as u64,
            total: Some(Total::Exact(total as u64)),
            unit: Unit::Files,
            current: String::new(),
        });
    }
}

/// One entry in the text that is hashed. A path may hold anything but NUL.
fn line_of(entry: &Entry, digest: &Digest) -> Vec<u8> {
    let kind = match entry.kind {
        Kind::File { executable: false } => "file",
        Kind::File { executable: true } => "executable",
        Kind::Link => "link",
    };
    let head = format!("{kind} {} ", digest.hex());
    [head.as_bytes(), entry.path.as_os_str().as_bytes(), b"\0"].concat()
}

fn content_digest(root: &Path, entry: &Entry) -> Result<Digest, Error> {
    let path = root.join(&entry.path);
    if entry.kind == Kind::Link {
        return Ok(Digest::sha256(fs::read_link(&path)?.as_os_str().as_bytes()));
    }
    let mut reader = DigestReader::new(Algorithm::Sha256, fs::File::open(&path)?);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(reader.finish())
}

#[cfg(test)]
mod tests;
