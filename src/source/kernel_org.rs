//! kernel.org and its mirrors.
//!
//! Releases lie under `<base>/v<major>.x/linux-<version>.tar.xz`, with
//! `linux-<version>.tar.sign` (over the uncompressed tar) and a signed
//! `sha256sums.asc` beside. Release candidates are snapshots of the git
//! server, which nobody signs.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::digest::Digest;
use crate::fsutil;
use crate::report::{Event, Reporter, Stage, Unit, text};
use crate::settings::{KernelRequest, KernelVersion, Series};

use super::download::{discard, download, forget};
use super::gpg::{self, Verdict};
use super::growing::Growing;
use super::keys::{self, CHECKSUM_SIGNERS, Keys, RELEASE_SIGNERS};
use super::releases::{Listed, Releases, checksum_of, newest_named};
use super::{Archive, Error, Options, Provenance, Provider, Verified, decompress, record};
use crate::http::{self, Client, Method};

/// Where a version's files are. A pure value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The archive's file name.
    name: String,
    /// The archive.
    url: String,
    /// Detached signatures of the uncompressed tar, the first that is there.
    signatures: Vec<String>,
    /// The folder's signed checksums, if it has them.
    sums: Option<String>,
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

/// What an archive is checked against, had before the archive itself.
enum Proof {
    /// Nothing, as the user insists.
    None,
    /// A checksum that the user gave.
    Given(Digest),
    /// A signed checksum, and by whom.
    Listed(Digest, String),
    /// A signature in a file, its URL, and the keys that count.
    Signature { file: PathBuf, url: String, keys: Keys },
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
    let provenance = acquire(&client, &place, &path, &proof, reporter)?;
    record::keep(&path, version, provenance, options.keyring)
}

/// Brings the archive to `path`, verified. What is not what was signed is
/// deleted and fetched once more.
fn acquire(
    client: &Client,
    place: &Place,
    path: &Path,
    proof: &Proof,
    reporter: &dyn Reporter,
) -> Result<Provenance, Error> {
    let partial = record::partial_path(path);
    // An archive without a record that counts is verified anew.
    if path.exists() && !partial.exists() {
        fs::rename(path, &partial)?;
        reporter.started(Stage::Verify, &place.name);
        if let Ok(provenance) = check(&partial, place, proof, None, reporter)? {
            return commit(&partial, path, provenance);
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
        let signers = followed(&partial, proof, fetch)?;
        match check(&partial, place, proof, signers, reporter) {
            Ok(Ok(provenance)) => return commit(&partial, path, provenance),
            Ok(Err(reason)) => altered = reason,
            Err(error) => {
                discard(&partial)?;
                return Err(error);
            }
        }
        discard(&partial)?;
    }
    Err(Error::Altered { archive: place.url.clone(), reason: altered })
}

/// Downloads, and has gpgv read along: the archive is verified a moment after
/// it is whole. Gives who signed it, if that is clear already.
fn followed(
    partial: &Path,
    proof: &Proof,
    download: impl FnOnce() -> Result<(), Error>,
) -> Result<Option<Vec<String>>, Error> {
    let Proof::Signature { file: signature, keys, .. } = proof else {
        return download().map(|()| None);
    };
    let growing = Growing::new(partial);
    let reader = growing.reader();
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || verdict(&keys.files, signature, || reader, |_| {}));
        let downloaded = download();
        drop(growing);
        let followed = follower.join();
        downloaded?;
        // Whatever else was found, a check of the whole file says better.
        Ok(match followed {
            Ok(Ok(Ok(Verdict::Good(signers)))) => Some(signers),
            _ => None,
        })
    })
}

fn commit(partial: &Path, path: &Path, provenance: Provenance) -> Result<Provenance, Error> {
    fs::rename(partial, path)?;
    fsutil::sync_dir(fsutil::parent(path))?;
    forget(partial)?;
    Ok(provenance)
}

/// Verifies a whole download; the inner error says how it was altered. Who
/// signed it may be known already.
fn check(
    file: &Path,
    place: &Place,
    proof: &Proof,
    signers: Option<Vec<String>>,
    reporter: &dyn Reporter,
) -> Result<Result<Provenance, String>, Error> {
    let digest = Digest::sha256_of_file(file)?;
    let compare = |wanted: &Digest, verified: Verified| {
        if *wanted == digest { Ok(verified) } else { Err(format!("has {digest}, not {wanted}")) }
    };
    let result = match proof {
        Proof::None => {
            reporter.warning(format!("{}: not verified (--insecure-options=source)", place.name));
            Ok(Verified::Unverified)
        }
        Proof::Given(wanted) => compare(wanted, Verified::Checksum),
        Proof::Listed(wanted, fingerprint) => {
            compare(wanted, Verified::SignedChecksum { fingerprint: fingerprint.clone() })
        }
        Proof::Signature { file: signature, url, keys } => {
            let known = signers.map(|signers| Ok(Verdict::Good(signers)));
            let verdict = known.map_or_else(|| read_whole(file, signature, keys, reporter), Ok)?;
            signed(verdict, url, keys)?
        }
    };
    Ok(result.map(|verified| {
        reporter.finished(Stage::Verify, verified.to_string());
        let name = place.name.clone();
        Provenance { provider: Provider::KernelOrg, name, digest, verified, revision: None }
    }))
}

/// What gpgv says of a file, which is here as a whole.
fn read_whole(
    file: &Path,
    signature: &Path,
    keys: &Keys,
    reporter: &dyn Reporter,
) -> Result<Result<Verdict, io::Error>, Error> {
    let file = fs::File::open(file)?.into_parts().0;
    verdict(
        &keys.files,
        signature,
        || file,
        |done| {
            let (stage, unit, current) = (Stage::Verify, Unit::Bytes, String::new());
            reporter.event(Event::Progress { stage, done, total: None, unit, current });
        },
    )
}

/// Whether one of the keys has signed it; the inner error says how it was
/// altered.
fn signed(
    verdict: Result<Verdict, io::Error>,
    url: &str,
    keys: &Keys,
) -> Result<Result<Verified, String>, Error> {
    match verdict {
        Err(error) => Ok(Err(format!("can't be decompressed ({error})"))),
        Ok(Verdict::Bad) => Ok(Err("its signature is of other bytes".to_owned())),
        Ok(Verdict::Good(signers)) => match keys.accepted(&signers) {
            Some(fingerprint) => Ok(Ok(Verified::OpenPgp { fingerprint })),
            None => Err(not_pinned(url, signers.join(", "))),
        },
        Ok(Verdict::Unknown(key)) => Err(not_pinned(url, key)),
        Ok(Verdict::Refused(reason)) => {
            Err(Error::SignatureRefused { signature: url.to_owned(), reason })
        }
    }
}

fn not_pinned(url: &str, key: String) -> Error {
    Error::KeyNotPinned { signature: url.to_owned(), key }
}

/// Has gpgv read the uncompressed tar. What is wrong with the archive is a
/// result; what is wrong with the program is an error. `progress` is told how
/// many bytes of the tar have passed.
fn verdict<R: Read + Send + 'static>(
    keyrings: &[PathBuf],
    signature: &Path,
    archive: impl FnOnce() -> R + Send,
    progress: impl FnMut(u64) + Send,
) -> Result<Result<Verdict, io::Error>, Error> {
    let mut broken = None;
    let feed = |stdin: &mut dyn Write| {
        broken = feed_tar(archive(), stdin, progress)?;
        Ok(())
    };
    let verdict = gpg::detached(keyrings, signature, feed)?;
    Ok(broken.map_or(Ok(verdict), Err))
}

/// Writes the uncompressed tar. What is wrong with the archive is a result;
/// what is wrong with the program at the other end is an error.
fn feed_tar(
    archive: impl Read + Send + 'static,
    stdin: &mut dyn Write,
    mut progress: impl FnMut(u64),
) -> io::Result<Option<io::Error>> {
    let (_, mut tar) = match decompress::decoder(archive) {
        Ok(decoder) => decoder,
        Err(error) => return Ok(Some(error)),
    };
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let count = match tar.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) => return Ok(Some(error)),
        };
        stdin.write_all(&buffer[..count])?;
        done += count as u64;
        progress(done);
    }
}

/// Gets what the archive will be checked against: an archive that can't be
/// verified is not even downloaded.
fn proof(
    client: &Client,
    place: &Place,
    options: &Options,
    scratch: &Path,
    reporter: &dyn Reporter,
) -> Result<Proof, Error> {
    if let Some(digest) = options.sha256 {
        return Ok(Proof::Given(digest.clone()));
    }
    if options.insecure_source {
        return Ok(Proof::None);
    }
    if crate::proc::find("gpgv").is_none() {
        let program = "gpgv".to_owned();
        return Err(crate::proc::Error::NotFound { program }.into());
    }
    let mut tried = Vec::new();
    for url in &place.signatures {
        match persistently(client, url, reporter) {
            Ok(content) => {
                return signature(client, url, &content, options, scratch, reporter);
            }
            Err(error) if error.says_absent() => tried.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    if let Some(url) = &place.sums {
        match persistently(client, url, reporter) {
            Ok(content) => match signed_sum(client, url, &content, place, options, reporter)? {
                Some(proof) => return Ok(proof),
                None => tried.push(format!("{url}: does not list it")),
            },
            Err(error) if error.says_absent() => tried.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    // Where there is no archive either, that is what the user should know.
    let url = place.url.clone();
    match client.open(Method::Head, &url, &[], client.patience.contact)?.status().as_u16() {
        status @ (404 | 410) => Err(http::Error::Status { url, status }.into()),
        _ => Err(Error::NoSignature { archive: url, tried }),
    }
}

/// A small file, with as many attempts as a download has.
fn persistently(client: &Client, url: &str, reporter: &dyn Reporter) -> Result<Vec<u8>, Error> {
    super::download::persist(client.patience, reporter, || {
        client.small(url, client.patience.contact)
    })
}

/// Keeps a detached signature for later. Whether its key is known at all is
/// told by trying it on nothing: then it is bad, which is fine here.
fn signature(
    client: &Client,
    url: &str,
    content: &[u8],
    options: &Options,
    scratch: &Path,
    reporter: &dyn Reporter,
) -> Result<Proof, Error> {
    let file = scratch.join("signature");
    fs::write(&file, content)?;
    let ask = |keys: &Keys| Ok((gpg::detached(&keys.files, &file, |_| Ok(()))?, ()));
    let (keys, verdict, ()) = keys::ask(client, &RELEASE_SIGNERS, options, reporter, ask)?;
    match verdict {
        Verdict::Good(_) | Verdict::Bad => Ok(Proof::Signature { file, url: url.to_owned(), keys }),
        Verdict::Unknown(key) => Err(not_pinned(url, key)),
        Verdict::Refused(reason) => {
            Err(Error::SignatureRefused { signature: url.to_owned(), reason })
        }
    }
}

fn signed_sum(
    client: &Client,
    url: &str,
    content: &[u8],
    place: &Place,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Option<Proof>, Error> {
    let ask = |keys: &Keys| gpg::clear_signed(&keys.files, content);
    let (keys, verdict, text) = keys::ask(client, &CHECKSUM_SIGNERS, options, reporter, ask)?;
    let signers = match verdict {
        Verdict::Good(signers) => signers,
        Verdict::Unknown(key) => return Err(not_pinned(url, key)),
        Verdict::Bad => {
            let reason = "the checksums were altered".to_owned();
            return Err(Error::SignatureRefused { signature: url.to_owned(), reason });
        }
        Verdict::Refused(reason) => {
            return Err(Error::SignatureRefused { signature: url.to_owned(), reason });
        }
    };
    let fingerprint = keys.accepted(&signers).ok_or_else(|| not_pinned(url, signers.join(", ")))?;
    Ok(checksum_of(&text, &place.name).map(|digest| Proof::Listed(digest, fingerprint)))
}
