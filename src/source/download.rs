//! One archive from one URL into one file, going on where it stopped.
//!
//! The file grows under its partial name; `<partial>.json` beside it keeps
//! what the server said of it (ETag or date, and length), so that the rest is
//! asked for with `If-Range` and a file that changed meanwhile is fetched
//! anew. The caller holds the archive's lock.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use crate::fsutil;
use crate::http::{self, Client, Method, Patience, Pieces, broke_off, header};
use crate::kept;
use crate::report::{Event, Reporter, Stage, Total, Unit, text};

use super::Error;
use super::decompress::Compression;
use super::record;

/// What the server said of the file when the download began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    url: String,
    /// A strong ETag or a date (RFC 9110, section 13.1.5), for `If-Range`.
    validator: Option<String>,
    /// The whole file's length in bytes.
    total: Option<u64>,
}

/// Downloads `url` to `partial`, with as many attempts as the client's
/// patience allows. What is there of an earlier attempt is used.
pub(super) fn download(
    client: &Client,
    url: &str,
    partial: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let grown = std::cell::Cell::new(length(partial));
    let progressed = || {
        let now = length(partial);
        grown.replace(now) < now
    };
    retry(client.patience, reporter, progressed, || {
        let result = attempt(client, url, partial, reporter);
        if result.as_ref().is_err_and(hopeless) {
            discard(partial)?;
        }
        result
    })
}

/// Tries until it works, the error is none that passes, or the attempts are
/// used up.
pub(super) fn persist<T>(
    patience: Patience,
    reporter: &dyn Reporter,
    mut act: impl FnMut() -> Result<T, http::Error>,
) -> Result<T, Error> {
    retry(patience, reporter, || false, || Ok(act()?))
}

/// As [`persist`]; an attempt that `progressed` is not counted.
fn retry<T>(
    patience: Patience,
    reporter: &dyn Reporter,
    progressed: impl Fn() -> bool,
    act: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let note = |error: &Error| {
        reporter.note(format!("{}; trying again", text::chain(error)));
    };
    http::retry(patience, act, progressed, transient, note)
}

/// Removes a partial file and what is known of it.
pub(super) fn discard(partial: &Path) -> Result<(), Error> {
    fsutil::remove_all(partial)?;
    Ok(fsutil::remove_all(&origin_path(partial))?)
}

/// Removes what is known of a partial file that was renamed away.
pub(super) fn forget(partial: &Path) -> Result<(), Error> {
    Ok(fsutil::remove_all(&origin_path(partial))?)
}

fn origin_path(partial: &Path) -> PathBuf {
    record::added(partial, "json")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Whether the same request may do better in a moment.
fn transient(error: &Error) -> bool {
    matches!(error, Error::Http(error) if error.is_transient())
}

/// Whether what is there of the file is of no use later.
fn hopeless(error: &Error) -> bool {
    match error {
        Error::NotAnArchive { .. } => true,
        other => is_full(other),
    }
}

/// Whether there is no room for the file, or none for its owner.
pub(super) fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, Error::Io(error) if [StorageFull, QuotaExceeded].contains(&error.kind()))
}

fn attempt(
    client: &Client,
    url: &str,
    partial: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let have = length(partial);
    let known = known_origin(partial, url).filter(|origin| have > 0 && origin.validator.is_some());
    let Some(origin) = known else { return afresh(client, url, partial, reporter) };
    if origin.total == Some(have) {
        return Ok(());
    }
    let validator = origin.validator.clone().unwrap_or_default();
    let headers = [("range", format!("bytes={have}-")), ("if-range", validator)];
    let response = client.open(Method::Get, url, &headers, client.patience.stall)?;
    match response.status().as_u16() {
        206 if continues(response.headers(), &origin, have) => {
            reporter.note(format!("{url}: going on at {have} bytes"));
            let file = fs::OpenOptions::new().append(true).open(partial)?;
            store(client, response, file, &origin, have, reporter)
        }
        // 200: the server has no ranges, or says that the file has changed.
        200 => begin(client, response, url, partial, reporter),
        206 | 416 => {
            reporter.note(format!("{url}: changed since the first part; from the beginning"));
            discard(partial)?;
            afresh(client, url, partial, reporter)
        }
        status => Err(http::Error::Status { url: url.to_owned(), status }.into()),
    }
}

fn known_origin(partial: &Path, url: &str) -> Option<Origin> {
    kept::read(&origin_path(partial)).filter(|origin: &Origin| origin.url == url)
}

/// Whether a 206 answer is the rest of the file that we have the start of.
fn continues(headers: &HeaderMap, origin: &Origin, have: u64) -> bool {
    let range = header(headers, "content-range").and_then(content_range);
    let same = validator(headers).is_none_or(|found| Some(found) == origin.validator);
    same && range.is_some_and(|(start, total)| {
        start == have && (total.is_none() || origin.total.is_none() || total == origin.total)
    })
}

/// Start and whole length of `bytes 5-9/10`, where the length may be `*`.
pub(super) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start, total))
}

/// What `If-Range` may carry: no weak ETag (RFC 9110, section 13.1.5).
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = header(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| header(headers, "last-modified")).map(str::to_owned)
}

fn afresh(
    client: &Client,
    url: &str,
    partial: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let response = client.open(Method::Get, url, &[], client.patience.stall)?;
    match response.status().as_u16() {
        200 => begin(client, response, url, partial, reporter),
        status => Err(http::Error::Status { url: url.to_owned(), status }.into()),
    }
}

/// Stores a whole answer, whatever was there.
fn begin(
    client: &Client,
    response: Response<Body>,
    url: &str,
    partial: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    discard(partial)?;
    let origin = Origin {
        url: url.to_owned(),
        validator: validator(response.headers()),
        total: header(response.headers(), "content-length").and_then(|text| text.parse().ok()),
    };
    kept::write(&origin_path(partial), &origin)?;
    store(client, response, fs::File::create(partial)?, &origin, 0, reporter)
}

/// Writes the answer's body at the file's end. `done` bytes are there.
fn store(
    client: &Client,
    response: Response<Body>,
    mut file: fs::File,
    origin: &Origin,
    mut done: u64,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let mut pieces = Pieces::of(response, client.patience.stall);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = pieces.read(&mut buffer);
        let count = read.map_err(|source| broke_off(&origin.url, done, source))?;
        if done == 0 {
            check_start(&origin.url, &buffer[..count])?;
        }
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])?;
        done += count as u64;
        reporter.event(Event::Progress {
            stage: Stage::Fetch,
            done,
            total: origin.total.map(Total::Exact),
            unit: Unit::Bytes,
            current: origin.url.clone(),
        });
    }
    file.sync_all()?;
    match origin.total {
        Some(total) if total != done => {
            Err(broke_off(&origin.url, done, std::io::ErrorKind::UnexpectedEof.into()).into())
        }
        _ => Ok(()),
    }
}

/// An HTML page with status 200 is what captive portals and broken mirrors
/// give; it is told by its bytes, before all of it is fetched.
fn check_start(url: &str, start: &[u8]) -> Result<(), Error> {
    // A first piece too short to tell is left to the verification.
    let short = (1..6).contains(&start.len());
    if short || Compression::of(start) != Compression::None {
        return Ok(());
    }
    let text = String::from_utf8_lossy(start);
    let shown = text.trim_start().chars().take(40).filter(|c| !c.is_control()).collect();
    Err(Error::NotAnArchive { url: url.to_owned(), start: shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_content_range_has_a_start_and_perhaps_a_length() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for wrong in ["", "bytes */10", "bytes 5/10", "5-9/10", "bytes 5-9/x"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_weak_etag_is_no_validator() {
        let date = "Mon, 01 Jan 2024 00:00:00 GMT";
        let found = validator(&headers(&[("etag", "W/\"1\""), ("last-modified", date)]));
        assert_eq!(found.as_deref(), Some(date));
        assert_eq!(validator(&headers(&[("etag", "\"1\"")])).as_deref(), Some("\"1\""));
        assert_eq!(validator(&headers(&[])), None);
    }

    #[test]
    fn a_part_of_another_file_is_noticed() {
        let origin = Origin {
            url: "http://example.org".into(),
            validator: Some("\"a\"".into()),
            total: Some(10),
        };
        let continued = |etag: &str, range: &str| {
            continues(&headers(&[("etag", etag), ("content-range", range)]), &origin, 5)
        };
        assert!(continued("\"a\"", "bytes 5-9/10"));
        assert!(!continued("\"b\"", "bytes 5-9/10"), "another ETag");
        assert!(!continued("\"a\"", "bytes 5-10/11"), "another length");
        assert!(!continued("\"a\"", "bytes 0-9/10"), "another start");
    }

    #[test]
    fn a_page_is_told_from_an_archive() {
        let error = check_start("http://x", b"<!DOCTYPE html>\n<html>").unwrap_err();
        assert!(error.to_string().contains("starts with '<!DOCTYPE html>"), "{error}");
        assert!(check_start("http://x", b"\xfd7zXZ\0\0").is_ok());
        assert!(check_start("http://x", b"").is_err());
    }
}
