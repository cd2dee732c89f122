//! Answers of servers that count for a while: which release is the newest.
//! A file each, in `<downloads>/resolved/`, named by the question.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::kept;

use super::Error;

/// The form of the files; others are as if absent.
const FORMAT: u32 = 1;
/// How long an answer counts without asking again.
pub(super) const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remembered<T> {
    format: u32,
    /// Seconds since 1970.
    at: u64,
    /// What the answer depends on, in one line.
    question: String,
    pub(super) resolved: T,
}

/// The folder of all answers.
pub(super) fn folder(downloads: &Path) -> PathBuf {
    downloads.join("resolved")
}

fn path(question: &str, downloads: &Path) -> PathBuf {
    let name = Digest::sha256(question.as_bytes());
    folder(downloads).join(format!("{}.json", &name.hex()[..32]))
}

/// The last answer and its age.
pub(super) fn last<T: DeserializeOwned>(question: &str, downloads: &Path) -> Option<(Duration, T)> {
    let found: Remembered<T> = kept::read(&path(question, downloads))?;
    // A clock that was set back makes an answer of the future: not fresh.
    let age = Duration::from_secs(now().checked_sub(found.at)?);
    let counts = found.format == FORMAT && found.question == question;
    counts.then_some((age, found.resolved))
}

/// Keeps an answer.
pub(super) fn keep<T: Serialize>(
    question: String,
    resolved: T,
    downloads: &Path,
) -> Result<(), Error> {
    let path = path(&question, downloads);
    let answer = Remembered { format: FORMAT, at: now(), question, resolved };
    Ok(kept::write(&path, &answer)?)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
