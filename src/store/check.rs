//! Whether the store's files have the bytes that they were made with.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::images::RECORD;
use super::{Error, Store, discard, sealed};
use crate::digest::Digest;
use crate::report::Silent;
use crate::{fsutil, kept, source};

/// What a check of one thing showed.
#[derive(Debug)]
pub struct Checked {
    /// As the user should read it.
    pub name: String,
    /// What is wrong with it.
    pub result: Result<(), Error>,
    /// What goes if it is repaired.
    paths: Vec<PathBuf>,
}

impl Checked {
    /// Removes the thing, so that it is built or fetched again when somebody
    /// asks for it.
    ///
    /// # Errors
    /// When somebody uses it, or it can't be removed.
    pub fn remove(&self) -> Result<(), Error> {
        self.paths.iter().try_for_each(|path| discard(path))
    }
}

/// The part of a download's record that tells its bytes.
#[derive(Deserialize)]
struct Download {
    archive: String,
    provenance: Provenance,
}

#[derive(Deserialize)]
struct Provenance {
    digest: Digest,
}

/// The part of a toolchain's record that tells what was unpacked.
#[derive(Deserialize)]
struct Toolchain {
    contents: Option<Digest>,
}

/// Reads every image, every kernel that was taken out of one, every toolchain,
/// every verified archive and their records, one after the other.
pub fn check(store: &Store) -> impl Iterator<Item = Checked> + '_ {
    images(store).chain(kernels(store)).chain(toolchains(store)).chain(downloads(store))
}

fn images(store: &Store) -> impl Iterator<Item = Checked> + '_ {
    let images = store.images();
    let mut all: Vec<_> = images.keys().into_iter().map(|key| (images.record(&key), key)).collect();
    all.sort_by_cached_key(|(record, key)| {
        (record.as_ref().map(|record| record.kernel.clone()), key.clone())
    });
    all.into_iter().map(move |(record, key)| {
        let folder = images.folder(&key);
        let (name, result) = match record {
            Some(record) => (
                format!("image {} {}", record.release, record.id.appc()),
                images.verify(&key, &record),
            ),
            None => {
                let path = folder.join(RECORD);
                (format!("image of the key {}", key.hex()), Err(Error::DamagedRecord { path }))
            }
        };
        Checked { name, result, paths: vec![folder] }
    })
}

fn kernels(store: &Store) -> impl Iterator<Item = Checked> + use<> {
    folder(&store.kernels()).filter(|path| path.is_dir()).map(|path| Checked {
        name: format!("kernel {}", path.file_name().unwrap_or_default().display()),
        result: sealed::check(&path),
        paths: vec![path],
    })
}

fn toolchains(store: &Store) -> impl Iterator<Item = Checked> + use<> {
    let records = folder(&store.toolchains())
        .filter(|path| path.extension().is_some_and(|end| end == "json"));
    records.map(|record| {
        let path = record.with_extension("");
        Checked {
            name: format!("toolchain {}", path.file_name().unwrap_or_default().display()),
            result: unpacked(&record, &path),
            // The record first: without it the folder counts for nothing.
            paths: vec![record, path],
        }
    })
}

/// Checks an unpacked toolchain. One whose record has no digest of it is of
/// before there were any, and passes.
fn unpacked(record: &Path, path: &Path) -> Result<(), Error> {
    let known = kept::read::<Toolchain>(record)
        .ok_or_else(|| Error::DamagedRecord { path: record.to_owned() })?;
    let Some(expected) = known.contents else { return Ok(()) };
    let found = source::folder_digest(path, &Silent)
        .map_err(io::Error::other)
        .map_err(Error::io(format!("can't read {}", path.display())))?;
    is_same(path, &expected, found)
}

fn downloads(store: &Store) -> impl Iterator<Item = Checked> + use<> {
    let files = folder(&store.downloads()).flat_map(|provider| folder(&provider));
    let records = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    records.filter_map(|record| {
        let Some(value) = kept::read::<serde_json::Value>(&record) else {
            return Some(Checked {
                name: format!("record {}", record.file_name().unwrap_or_default().display()),
                result: Err(Error::DamagedRecord { path: record.clone() }),
                paths: vec![record],
            });
        };
        // Others tell of answers and of downloads under way.
        let download: Download = serde_json::from_value(value).ok()?;
        let path = record.with_file_name(&download.archive);
        path.is_file().then(|| Checked {
            name: format!("download {}", download.archive),
            result: same(&path, &download.provenance.digest),
            // The record first: without it the archive counts for nothing.
            paths: vec![record, path],
        })
    })
}

/// Checks a file against its digest.
pub(super) fn same(path: &Path, expected: &Digest) -> Result<(), Error> {
    let found = Digest::sha256_of_file(path)
        .map_err(Error::io(format!("can't read {}", path.display())))?;
    is_same(path, expected, found)
}

/// What a file's digest says of the file.
pub(super) fn is_same(path: &Path, expected: &Digest, found: Digest) -> Result<(), Error> {
    match found == *expected {
        true => Ok(()),
        false => Err(Error::Damaged { path: path.to_owned(), expected: expected.clone(), found }),
    }
}

/// Checks an archive before it is used. A damaged one is removed, with its
/// record.
///
/// # Errors
/// [`Error::Damaged`] when it was, and when it can't be read.
pub fn archive(path: &Path, expected: &Digest) -> Result<(), Error> {
    let checked = same(path, expected);
    if let Err(Error::Damaged { .. }) = checked {
        let mut record = path.as_os_str().to_owned();
        record.push(".json");
        let removing = || Error::io(format!("can't remove {}", path.display()));
        fsutil::remove_all(Path::new(&record)).map_err(removing())?;
        fsutil::remove_all(path).map_err(removing())?;
    }
    checked
}

fn folder(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths.into_iter()
}
