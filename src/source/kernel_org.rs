//! kernel.org and its mirrors.
//!
//! Releases lie under `<base>/v<major>.x/linux-<version>.tar.xz`, with
//! `linux-<version>.tar.sign` (over the uncompressed tar) and a signed
//! `sha256sums.asc` beside. Release candidates are snapshots of the git
//! server, which nobody signs.

mod passing;
mod proof;

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::fsutil;
use crate::proc::interrupt;
use crate::report::{Reporter, Stage, text};
use crate::settings::{KernelRequest, KernelVersion, Series};

use super::ahead::Ahead;
use super::download::{discard, download, forget, is_full};
use super::releases::{Listed, Releases, newest_named};
use super::{Archive, Error, Options, Provenance, Provider, record};
use crate::http::{self, Client, Method};
pub(super) use proof::proof;
use proof::{Followed, Proof, check, followed};

/// Where a version's files are. A pure value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The archive's file name.
    pub(super) name: String,
    /// The archive.
    pub(super) url: String,
    /// Detached signatures of the uncompressed tar, the first that is there.
    pub(super) signatures: Vec<String>,
    /// The folder's signed checksums, if it has them.
    pub(super) sums: Option<String>,
}

impl Place {
    fn of(version: KernelVersion, options: &Options) -> Self {
        let stem = format!("linux-{}.tar", version.tarball());
        if version.candidate().is_some() {
            let folder = options.snapshot_url.trim_end_matches('/');
            // A mirror may sign its snapshots.
            let signatures = vec![format!("{folder}/{stem}.sign"), format!("{folder}/{stem}.asc")];
            let name = format!("{stem}.gz");
            return Self { url: format!("{folder}/{name}"), name, signatures, sums: None };
        }
        let folder = folder_of(version.series(), options);
        let name = format!("{stem}.xz");
        Self {
            url: format!("{folder}/{name}"),
            name,
            signatures: vec![format!("{folder}/{stem}.sign")],
            sums: Some(format!("{folder}/sha256sums.asc")),
        }
    }
}

fn folder_of(series: Series, options: &Options) -> String {
    format!("{}/v{}.x", options.kernel_org_url.trim_end_matches('/'), series.major)
}

/// Finds the exact version that is meant.
///
/// # Errors
/// When there is none, or nobody answers.
pub(super) fn find(
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<KernelVersion, Error> {
    let client = Client::new(options.patience);
    let end = Instant::now() + options.patience.contact;
    match request {
        KernelRequest::Exact(version) => exact(&client, version, options),
        KernelRequest::Series(series) => newest_of(&client, series, options, end, reporter),
        _ => listed(&client, request, options, options.patience.contact)?
            .ok_or_else(|| unknown(request, options.releases_url)),
    }
}

fn unknown(request: KernelRequest, place: &str) -> Error {
    Error::Unknown { request, place: place.to_owned() }
}

fn exact(
    client: &Client,
    version: KernelVersion,
    options: &Options,
) -> Result<KernelVersion, Error> {
    let url = Place::of(version, options).url;
    let response = client.open(Method::Head, &url, &[], options.patience.contact)?;
    match response.status().as_u16() {
        200 => Ok(version),
        404 | 410 => Err(unknown(KernelRequest::Exact(version), &url)),
        status => Err(http::Error::Status { url, status }.into()),
    }
}

fn listed(
    client: &Client,
    request: KernelRequest,
    options: &Options,
    within: Duration,
) -> Result<Option<KernelVersion>, Error> {
    Ok(releases(client, options, within)?.find(request))
}

fn releases(client: &Client, options: &Options, within: Duration) -> Result<Releases, Error> {
    let url = options.releases_url;
    Ok(Releases::parse(&client.text(url, within)?)
        .map_err(|reason| http::Error::Malformed { url: url.to_owned(), reason })?)
}

/// What is listed of what a request can mean; of what is not listed, what the
/// folder has.
///
/// # Errors
/// When nobody answers.
pub(super) fn offers(
    request: Option<KernelRequest>,
    options: &Options,
) -> Result<Vec<Listed>, Error> {
    let client = Client::new(options.patience);
    let contact = options.patience.contact;
    let found = match request {
        None | Some(KernelRequest::Stable | KernelRequest::Longterm | KernelRequest::Mainline) => {
            return Ok(releases(&client, options, contact)?.fitting(request));
        }
        // Half of the time, for the folder is still to be asked.
        Some(_) => releases(&client, options, contact / 2),
    };
    match found {
        Err(error @ Error::Interrupted(_)) => return Err(error),
        Ok(releases) if !releases.fitting(request).is_empty() => {
            return Ok(releases.fitting(request));
        }
        _ => {}
    }
    let version = match request {
        Some(KernelRequest::Exact(version)) => exact(&client, version, options),
        Some(KernelRequest::Series(series)) => {
            newest_in_folder(&client, series, options, contact / 2)
        }
        _ => return Ok(Vec::new()),
    };
    match version {
        Ok(version) => Ok(vec![Listed::unlisted(version)]),
        Err(Error::Unknown { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `releases.json` has the living series; of the others, and on mirrors
/// without the file, the folder is looked through.
fn newest_of(
    client: &Client,
    series: Series,
    options: &Options,
    end: Instant,
    reporter: &dyn Reporter,
) -> Result<KernelVersion, Error> {
    let request = KernelRequest::Series(series);
    // Half of the time, so that a mirror is still asked when the main site,
    // which has the file, can't be reached.
    match listed(client, request, options, options.patience.contact / 2) {
        Ok(Some(version)) => return Ok(version),
        Ok(None) => {}
        Err(error @ Error::Interrupted(_)) => return Err(error),
        Err(error) => reporter.detail(text::chain(&error)),
    }
    let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(200));
    newest_in_folder(client, series, options, left)
}

fn newest_in_folder(
    client: &Client,
    series: Series,
    options: &Options,
    within: Duration,
) -> Result<KernelVersion, Error> {
    let folder = folder_of(series, options);
    for name in ["sha256sums.asc", ""] {
        let url = format!("{folder}/{name}");
        match client.text(&url, within) {
            Ok(text) => {
                if let Some(version) = newest_named(&text, series) {
                    return Ok(version);
                }
            }
            Err(error) if error.says_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(unknown(KernelRequest::Series(series), &format!("{folder}/")))
}

/// Downloads, verifies and keeps a version's archive; or finds it kept.
///
/// # Errors
/// When it can't be fetched or is not what was signed.
pub(super) fn fetch(
    version: KernelVersion,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Archive, Error> {
    if let Some(archive) = record::find(options, Provider::KernelOrg, version)? {
        return Ok(archive);
    }
    let place = Place::of(version, options);
    let path = record::folder(options, Provider::KernelOrg).join(&place.name);
    let _lock = record::lock(&path, reporter)?;
    // Another run may have fetched it while we waited.
    if let Some(archive) = record::find(options, Provider::KernelOrg, version)? {
        return Ok(archive);
    }
    let client = Client::new(options.patience);
    let scratch = tempfile::tempdir()?;
    let proof = proof(&client, &place, options, scratch.path(), reporter)?;
    let (provenance, ahead) = acquire(&client, &place, &path, &proof, options.ahead, reporter)?;
    Ok(Archive { ahead, ..record::keep(&path, version, provenance, options.keyring)? })
}

/// Brings the archive to `path`, verified, and with a folder to do that in
/// unpacks it meanwhile. What is not what was signed is deleted and fetched
/// once more. The caller holds its lock.
pub(super) fn acquire(
    client: &Client,
    place: &Place,
    path: &Path,
    proof: &Proof,
    ahead: Option<&Path>,
    reporter: &dyn Reporter,
) -> Result<(Provenance, Option<Ahead>), Error> {
    let partial = record::partial_path(path);
    // An archive without a record that counts is verified anew.
    if path.exists() && !partial.exists() {
        fs::rename(path, &partial)?;
        reporter.started(Stage::Verify, &place.name);
        if let Ok(provenance) = check(&partial, place, proof, None, reporter)? {
            return Ok((commit(&partial, path, provenance)?, None));
        }
        discard(&partial)?;
    }
    let mut altered = String::new();
    for attempt in 0..2 {
        if attempt > 0 {
            reporter.warning(format!("{}: {altered}; fetching it once more", place.url));
        }
        reporter.started(Stage::Fetch, &place.url);
        let fetch = || {
            download(client, &place.url, &partial, reporter)?;
            reporter.finished(Stage::Fetch, &place.name);
            reporter.started(Stage::Verify, &place.name);
            Ok(())
        };
        let Followed { signers, tree } = match followed(&partial, place, proof, ahead, fetch) {
            // The tree took the room, and is gone by now.
            Err(error) if ahead.is_some() && is_full(&error) => {
                reporter.note(format!("{}; fetching it without unpacking it", text::chain(&error)));
                followed(&partial, place, proof, None, fetch)?
            }
            other => other?,
        };
        match check(&partial, place, proof, signers, reporter) {
            Ok(Ok(provenance)) => return Ok((commit(&partial, path, provenance)?, tree)),
            Ok(Err(reason)) => altered = reason,
            Err(error) => {
                if interrupt::requested().is_none() {
                    discard(&partial)?;
                }
                return Err(error);
            }
        }
        discard(&partial)?;
    }
    Err(Error::Altered { archive: place.url.clone(), reason: altered })
}

fn commit(partial: &Path, path: &Path, provenance: Provenance) -> Result<Provenance, Error> {
    fs::rename(partial, path)?;
    fsutil::sync_dir(fsutil::parent(path))?;
    forget(partial)?;
    Ok(provenance)
}
