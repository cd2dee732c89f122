//! Blobs of registries, kept under their digest: what is there is whole and
//! is what its name says.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use super::Error;
use super::manifest::Descriptor;
use super::parts::{Section, check, only_sha256};
use super::registry::Registry;
use crate::digest::Digest;
use crate::fsutil::{self, Lock};
use crate::http::{self, Pieces, broke_off, header};
use crate::proc::interrupt;
use crate::report::{Event, Reporter, Stage, Total, Unit};

/// How many layers are fetched at once.
const AT_ONCE: usize = 3;
/// Bytes asked of a server at once.
const CHUNK: usize = 128 << 10;

/// The blobs of a store.
#[derive(Debug)]
pub(super) struct Blobs {
    root: PathBuf,
}

/// How far several downloads are together.
struct Progress<'a> {
    done: AtomicU64,
    total: u64,
    name: &'a str,
    reporter: &'a dyn Reporter,
}

impl Progress<'_> {
    fn add(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        self.reporter.event(Event::Progress {
            stage: Stage::Fetch,
            done: done.min(self.total),
            total: Some(Total::Exact(self.total)),
            unit: Unit::Bytes,
            current: self.name.to_owned(),
        });
    }
}

impl Blobs {
    pub(super) fn new(folder: &Path) -> Self {
        Self { root: folder.join("blobs/sha256") }
    }

    /// A blob that is there, of the length that was said.
    pub(super) fn get(&self, descriptor: &Descriptor) -> Option<Section> {
        let section = Section::of_file(&self.path(&descriptor.digest)).ok()?;
        (section.length == descriptor.size).then_some(section)
    }

    /// Whether a blob is there with every byte: one that was damaged since is
    /// fetched again.
    pub(super) fn has(&self, descriptor: &Descriptor) -> bool {
        let whole = |section: Section| section.verify(&descriptor.digest, "").is_ok();
        self.get(descriptor).is_some_and(whole)
    }

    /// A document that is there, verified.
    pub(super) fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        let section = Section::of_file(&self.path(digest)).ok()?;
        let bytes = section.document("").ok()?;
        check(digest, &bytes, "").ok().map(|()| bytes)
    }

    /// Keeps a document whose digest was checked.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        Ok(fsutil::write_atomic(&self.path(digest), bytes)?)
    }

    /// Fetches those of these blobs that are absent, a few at once.
    pub(super) fn fetch(
        &self,
        registry: &Registry,
        wanted: &[&Descriptor],
        name: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let total = wanted.iter().map(|blob| blob.size).sum();
        let progress = Progress { done: AtomicU64::new(0), total, name, reporter };
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> Result<(), Error> {
            while let Some(blob) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.fetch_one(registry, blob, name, &progress);
                if result.is_err() {
                    // The others end with the blob that they have in hand.
                    next.store(wanted.len(), Ordering::Relaxed);
                }
                result?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            let ends = threads.into_iter().filter_map(|thread| thread.join().ok());
            ends.collect::<Vec<_>>().into_iter().collect()
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    fn fetch_one(
        &self,
        registry: &Registry,
        blob: &Descriptor,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        let what = format!("{name}: {}", blob.digest);
        only_sha256(&blob.digest, &what)?;
        let (path, partial) = (self.path(&blob.digest), self.root.join(partial_name(blob)));
        let waiting =
            || progress.reporter.note(format!("waiting for another run that fetches {what}"));
        let lock = self.root.join(format!("{}.lock", blob.digest.hex()));
        let _lock = Lock::acquire(&lock, waiting, || interrupt::requested().is_some())
            .map_err(interrupted)?;
        if self.has(blob) {
            progress.add(blob.size);
            return Ok(());
        }
        let resumed = length(&partial) > 0;
        let mut result = download(registry, blob, &partial, &what, progress);
        if resumed && matches!(result, Err(Error::Altered { .. } | Error::Length { .. })) {
            // The part of an earlier run may have been what was wrong.
            result = download(registry, blob, &partial, &what, progress);
        }
        result?;
        fs::rename(&partial, &path)?;
        Ok(fsutil::sync_dir(&self.root)?)
    }
}

/// An error of a lock, or the request to stop that caused it.
pub(super) fn interrupted(error: std::io::Error) -> Error {
    match interrupt::requested() {
        Some(signal) => Error::Interrupted(signal),
        None => error.into(),
    }
}

fn partial_name(blob: &Descriptor) -> String {
    format!("{}.part", blob.digest.hex())
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Makes `partial` the whole blob, verified and synced; what turns out to be
/// something else is removed.
fn download(
    registry: &Registry,
    blob: &Descriptor,
    partial: &Path,
    what: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let grown = std::cell::Cell::new(length(partial));
    let progressed = || {
        let now = length(partial);
        grown.replace(now) < now
    };
    let attempt = || attempt(registry, blob, partial, what, progress);
    let result = registry
        .persist(attempt, progressed)
        .and_then(|()| Section::of_file(partial)?.verify(&blob.digest, what));
    if let Err(Error::Altered { .. } | Error::Length { .. }) = result {
        fsutil::remove_all(partial)?;
    }
    result
}

fn attempt(
    registry: &Registry,
    blob: &Descriptor,
    partial: &Path,
    what: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let have = length(partial);
    if have == blob.size && have > 0 {
        return Ok(());
    }
    let range = (have > 0).then(|| ("range", format!("bytes={have}-")));
    let url = registry.blob_url(&blob.digest);
    let response = registry.get(&url, &Vec::from_iter(range))?;
    let start = header(response.headers(), "content-range").and_then(first_byte);
    let (file, mut done) = match response.status().as_u16() {
        206 if start == Some(have) => (fs::OpenOptions::new().append(true).open(partial)?, have),
        200 => (fs::File::create(partial)?, 0),
        // What is there is of no use; the next attempt begins anew.
        status @ (206 | 416) => {
            fsutil::remove_all(partial)?;
            let source = std::io::Error::other(format!("status {status}"));
            return Err(broke_off(&url, 0, source).into());
        }
        status => return Err(registry.refused(&url, status)),
    };
    progress.add(done);
    let mut file = file;
    let mut pieces = Pieces::of(response, registry.patience().stall);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = pieces.read(&mut buffer).map_err(|source| broke_off(&url, done, source))?;
        if count == 0 {
            break;
        }
        done += count as u64;
        if done > blob.size {
            return Err(Error::Length { what: what.to_owned(), expected: blob.size });
        }
        file.write_all(&buffer[..count])?;
        progress.add(count as u64);
    }
    file.sync_all()?;
    match done == blob.size {
        true => Ok(()),
        false => {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            Err(http::broke_off(&url, done, source).into())
        }
    }
}

/// The first byte of `bytes 5-9/10`.
fn first_byte(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
