//! What is kept of archives and answers, so that the next time nothing is
//! asked and nothing is checked twice.
//!
//! An archive counts only with its record beside it, which is written last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::fsutil::{self, Lock};
use crate::kept;
use crate::proc::interrupt;
use crate::report::Reporter;
use crate::settings::{KernelRequest, KernelVersion};

use super::answer::{self, Remembered};
use super::{Archive, Error, Options, Provenance, Provider, Resolved, Verified, keys};

/// The form of the files below; others are as if absent.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    version: KernelVersion,
    /// The archive's file name.
    archive: String,
    /// Its length in bytes.
    size: u64,
    provenance: Provenance,
    /// The user's keyring that vouched for it, if one did.
    keyring: Option<Digest>,
}

/// The folder of a provider's archives.
pub(super) fn folder(options: &Options, provider: Provider) -> PathBuf {
    options.downloads.join(provider.to_string())
}

fn record_path(archive: &Path) -> PathBuf {
    added(archive, "json")
}

/// `<path>.<extension>`.
pub(super) fn added(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// The name under which an archive grows.
pub(super) fn partial_path(archive: &Path) -> PathBuf {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    archive.with_file_name(format!(".{name}.partial"))
}

/// Waits until nobody else works on the archive.
pub(super) fn lock(archive: &Path, reporter: &dyn Reporter) -> Result<Lock, Error> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let waiting = || reporter.note(format!("waiting for another run that fetches {name}"));
    let path = archive.with_file_name(format!(".{name}.lock"));
    Lock::acquire(&path, waiting, || interrupt::requested().is_some()).map_err(|error| {
        match interrupt::requested() {
            Some(signal) => Error::Interrupted(signal),
            None => Error::Io(error),
        }
    })
}

/// A provider's archive of the version that is there, whole and verified in
/// a way that counts with these options.
pub(super) fn find(
    options: &Options,
    provider: Provider,
    version: KernelVersion,
) -> Result<Option<Archive>, Error> {
    let folder = folder(options, provider);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(None) };
    let keyring = keys::fingerprint_of_file(options.keyring)?;
    let records = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.ends_with(b".json") && !name.starts_with(b".")
    });
    // In order of names, so that two runs choose the same one.
    let mut records: Vec<PathBuf> = records.collect();
    records.sort_unstable();
    Ok(records.iter().rev().find_map(|path| {
        let record = kept::read::<Record>(path).filter(|record| record.format == FORMAT)?;
        let fits = record.version == version && counts(&record, options, keyring.as_ref());
        let archive = folder.join(&record.archive);
        let whole = fs::metadata(&archive).is_ok_and(|found| found.len() == record.size);
        let provenance = record.provenance;
        (fits && whole).then_some(Archive { path: archive, version, provenance, ahead: None })
    }))
}

/// The archive at this very path, if it is there, whole and recorded.
pub(super) fn at(path: &Path) -> Option<Archive> {
    let record =
        kept::read::<Record>(&record_path(path)).filter(|record| record.format == FORMAT)?;
    let whole = fs::metadata(path).is_ok_and(|found| found.len() == record.size);
    let Record { version, provenance, .. } = record;
    whole.then(|| Archive { path: path.to_owned(), version, provenance, ahead: None })
}

/// The archive at this very path, as [`at`], and whether it was signed by a
/// key that counts with these options.
pub(super) fn signed(path: &Path, options: &Options) -> Result<Option<(Archive, bool)>, Error> {
    let Some(archive) = at(path) else { return Ok(None) };
    let keyring = keys::fingerprint_of_file(options.keyring)?;
    let record = kept::read::<Record>(&record_path(path));
    let is_signed = matches!(archive.provenance.verified, Verified::OpenPgp { .. });
    let counts = record.is_some_and(|record| counts(&record, options, keyring.as_ref()));
    Ok(Some((archive, is_signed && counts)))
}

/// The versions of a provider whose archives are there.
pub(super) fn kept(options: &Options, provider: Provider) -> Vec<KernelVersion> {
    let entries = fs::read_dir(folder(options, provider)).into_iter().flatten().flatten();
    let records = entries.filter_map(|entry| kept::read::<Record>(&entry.path()));
    let mut versions: Vec<_> = records.map(|record| record.version).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// Whether a verification of then is one for the options of now.
fn counts(record: &Record, options: &Options, keyring: Option<&Digest>) -> bool {
    if options.sha256.is_some_and(|wanted| *wanted != record.provenance.digest) {
        return false;
    }
    still_counts(&record.provenance.verified, record.keyring.as_ref(), options, keyring)
}

/// Whether this way of verifying, with a keyring of the user's or without,
/// counts with the options of now and their keyring.
pub(super) fn still_counts(
    verified: &Verified,
    by: Option<&Digest>,
    options: &Options,
    keyring: Option<&Digest>,
) -> bool {
    match verified {
        Verified::Unverified => options.insecure_source,
        Verified::Checksum => options.sha256.is_some(),
        Verified::DistributionArchive { .. } | Verified::Local | Verified::Commit => true,
        Verified::OpenPgp { .. } | Verified::SignedChecksum { .. } => by.is_none() || by == keyring,
    }
}

/// Writes the record of an archive that lies whole under its name.
pub(super) fn keep(
    path: &Path,
    version: KernelVersion,
    provenance: Provenance,
    keyring: Option<&Path>,
) -> Result<Archive, Error> {
    let record = Record {
        format: FORMAT,
        version,
        archive: provenance.name.clone(),
        size: fs::metadata(path)?.len(),
        provenance: provenance.clone(),
        keyring: keys::fingerprint_of_file(keyring)?,
    };
    kept::write(&record_path(path), &record)?;
    Ok(Archive { path: path.to_owned(), version, provenance, ahead: None })
}

/// What an answer depends on, in one line.
fn question(request: KernelRequest, options: &Options) -> String {
    let sources: Vec<String> = options.sources.iter().map(ToString::to_string).collect();
    let urls = [options.kernel_org_url, options.releases_url, options.snapshot_url];
    format!("{request} from {} at {}", sources.join(" "), urls.join(" "))
}

/// The answer of less than a day ago.
pub(super) fn remembered(request: KernelRequest, options: &Options) -> Option<Resolved> {
    let (age, resolved) = older(request, options)?;
    (age < answer::FRESH).then_some(resolved)
}

/// The last answer and its age.
pub(super) fn older(request: KernelRequest, options: &Options) -> Option<(Duration, Resolved)> {
    answer::last(&question(request, options), options.downloads)
}

/// Forgets every answer that says so: who was to have it could not give it.
pub(super) fn forget(wrong: &Resolved, options: &Options) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(answer::folder(options.downloads)) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if kept::read::<Remembered<Resolved>>(&path).is_some_and(|found| found.resolved == *wrong) {
            fsutil::remove_all(&path)?;
        }
    }
    Ok(())
}

/// Keeps an answer for a day.
pub(super) fn remember(
    request: KernelRequest,
    options: &Options,
    resolved: &Resolved,
) -> Result<(), Error> {
    answer::keep(question(request, options), resolved, options.downloads)
}
