//! What an archive is checked against, and the check.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::http::{self, Client, Method};
use crate::proc::interrupt;
use crate::report::{Event, Reporter, Stage, Unit};

use super::super::ahead::Ahead;
use super::super::gpg::{self, Verdict};
use super::super::growing::Growing;
use super::super::keys::{self, CHECKSUM_SIGNERS, Keys, RELEASE_SIGNERS};
use super::super::releases::checksum_of;
use super::super::{Error, Options, Provenance, Provider, Verified, decompress, download};
use super::Place;
use super::passing::feed_tar;

/// What an archive is checked against, had before the archive itself.
pub(in crate::source) enum Proof {
    /// Nothing, as the user insists.
    None,
    /// A checksum that the user gave.
    Given(Digest),
    /// A signed checksum, and by whom.
    Listed(Digest, String),
    /// A signature in a file, its URL, and the keys that count.
    Signature { file: PathBuf, url: String, keys: Keys },
}

/// What was found out of an archive while it came.
#[derive(Default)]
pub(super) struct Followed {
    /// Who signed it, if that is clear already.
    pub(super) signers: Option<Vec<String>>,
    /// Its tree, if it is wanted and could be unpacked.
    pub(super) tree: Option<Ahead>,
}

/// Downloads, and has gpgv and who wants the tree read along: the archive is
/// verified and unpacked a moment after it is whole.
pub(super) fn followed(
    partial: &Path,
    place: &Place,
    proof: &Proof,
    ahead: Option<&Path>,
    download: impl FnOnce() -> Result<(), Error>,
) -> Result<Followed, Error> {
    let signed = match proof {
        Proof::Signature { file, keys, .. } => Some((file, keys)),
        _ => None,
    };
    if signed.is_none() && ahead.is_none() {
        return download().map(|()| Followed::default());
    }
    let growing = Growing::new(partial);
    let reader = growing.reader();
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut tree = None;
            let mut use_tar = |tar: &mut dyn Read| {
                // Whatever is wrong with it, unpacking the whole archive says better.
                tree = ahead.and_then(|folder| Ahead::unpack(tar, &place.name, folder).ok());
            };
            let signers = match signed {
                Some((signature, keys)) => {
                    match verdict(&keys.files, signature, || reader, use_tar, |_| {}) {
                        Ok(Ok(Verdict::Good(signers))) => Some(signers),
                        // Whatever else it is, a check of the whole file says better.
                        _ => None,
                    }
                }
                None => {
                    if let Ok((_, mut tar)) = decompress::decoder(reader) {
                        use_tar(&mut tar);
                    }
                    None
                }
            };
            Followed { signers, tree }
        });
        let downloaded = download();
        drop(growing);
        let followed = follower.join();
        downloaded?;
        // What was not heard out says nothing against the archive.
        interrupt::requested().map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))?;
        Ok(followed.unwrap_or_default())
    })
}

/// Verifies a whole download; the inner error says how it was altered. Who
/// signed it may be known already.
pub(super) fn check(
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
        |_| {},
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
/// result; what is wrong with the program is an error. `use_tar` may read it,
/// too; `progress` is told how many bytes of it have passed.
fn verdict<R: Read + Send + 'static>(
    keyrings: &[PathBuf],
    signature: &Path,
    archive: impl FnOnce() -> R + Send,
    use_tar: impl FnOnce(&mut dyn Read) + Send,
    progress: impl FnMut(u64) + Send,
) -> Result<Result<Verdict, io::Error>, Error> {
    let mut broken = None;
    let feed = |stdin: &mut dyn Write| {
        broken = feed_tar(archive(), stdin, use_tar, progress)?;
        Ok(())
    };
    let verdict = gpg::detached(keyrings, signature, feed)?;
    Ok(broken.map_or(Ok(verdict), Err))
}

/// Gets what the archive will be checked against: an archive that can't be
/// verified is not even downloaded.
pub(in crate::source) fn proof(
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
    download::persist(client.patience, reporter, || client.small(url, client.patience.contact))
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
