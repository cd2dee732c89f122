//! From layers to one root filesystem.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::images::Record;
use super::layer::{Unpacker, Whiteouts};
use super::parts::{Found, Section, same};
use super::squashfs::Writer;
use super::{Error, Options};
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::report::{Event, Reporter, Stage, Total, Unit};
use crate::source::decompress;

/// A layer that is here.
pub(super) struct Ready<'a> {
    pub(super) what: &'a str,
    pub(super) section: Section,
    /// The digest of the section's bytes, unless they were checked before.
    pub(super) digest: Option<&'a Digest>,
    pub(super) diff_id: &'a Digest,
}

/// Bytes between two reports.
const STEP: u64 = 1 << 20;

/// How far the reading of a file is, told from outside of its decompressor.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    done: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
}

impl Watched {
    pub(super) fn reader<R>(&self, inner: R) -> WatchedReader<R> {
        WatchedReader { inner, done: Arc::clone(&self.done) }
    }

    /// Says how far it is, if that has changed much. `before` are the bytes
    /// of what was read before this file.
    pub(super) fn report(&self, before: u64, total: u64, name: &str, reporter: &dyn Reporter) {
        let done = self.done.load(Ordering::Relaxed);
        if done < self.told.load(Ordering::Relaxed) + STEP {
            return;
        }
        self.told.store(done, Ordering::Relaxed);
        reporter.event(Event::Progress {
            stage: Stage::Unpack,
            done: before + done,
            total: Some(Total::Exact(total)),
            unit: Unit::Bytes,
            current: name.to_owned(),
        });
    }
}

/// Counts what passes.
pub(super) struct WatchedReader<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for WatchedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Lays all layers over each other into an empty file.
pub(super) fn unpack(
    found: &Found,
    layers: &[Ready],
    file: File,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(File, Record), Error> {
    reporter.started(Stage::Unpack, found.name.clone());
    let mut unpacker = Unpacker::new(Writer::new(file)?, options.limits, Whiteouts::Obeyed);
    let total = layers.iter().map(|layer| layer.section.length).sum();
    let mut before = 0;
    for layer in layers {
        if let Some(digest) = layer.digest {
            layer.section.verify(digest, layer.what)?;
        }
        let watched = Watched::default();
        let report = || watched.report(before, total, &found.name, reporter);
        apply(&mut unpacker, layer, &watched, report)?;
        before += layer.section.length;
    }
    tell_dropped(&unpacker, &found.name, reporter);
    let record =
        Record { id: found.id.clone(), name: None, size: 0, process: found.config.process() };
    let file = unpacker.finish()?;
    let size = crate::report::text::bytes(file.metadata()?.len());
    reporter.finished(Stage::Unpack, format!("{}, {size}", found.name));
    Ok((file, record))
}

fn apply(
    unpacker: &mut Unpacker,
    layer: &Ready,
    watched: &Watched,
    report: impl Fn(),
) -> Result<(), Error> {
    let (_, plain) = decompress::decoder(watched.reader(layer.section.reader()))
        .map_err(|source| Error::damaged(layer.what, source))?;
    let mut plain = DigestReader::new(Algorithm::Sha256, plain);
    unpacker.apply(&mut plain, layer.what, |_, _| {
        report();
        Ok(true)
    })?;
    same(layer.diff_id, plain.finish(), &format!("{}, unpacked", layer.what))
}

/// Access control lists are rare in images, and their want is better said.
pub(super) fn tell_dropped(unpacker: &Unpacker, name: &str, reporter: &dyn Reporter) {
    if unpacker.dropped > 0 {
        reporter.warning(format!(
            "{name}: {} extended attributes can't be kept (of another namespace than user, \
             trusted and security, or too big)",
            unpacker.dropped
        ));
    }
}
