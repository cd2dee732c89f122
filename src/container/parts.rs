//! What an image is made of before it is unpacked, and where the bytes are.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;

use super::Error;
use super::manifest::{Config, Descriptor};
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::proc::interrupt;
use crate::settings::Arch;

/// The longest manifest, configuration or list that is taken. Registries
/// refuse longer ones than 4 MiB.
pub(super) const MOST_DOCUMENT: u64 = 8 << 20;
/// More layers than any file system could stack.
const MOST_LAYERS: usize = 1024;

/// An image that was found: everything is known of it, but its layers may
/// still have to be fetched.
#[derive(Debug)]
pub(super) struct Found {
    /// As the user should read it.
    pub(super) name: String,
    pub(super) config: Config,
    /// The configuration's digest. As the configuration has its layers'
    /// digests in it, this is all of the image.
    pub(super) id: Digest,
    /// From the lowest.
    pub(super) layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// As errors name it.
    pub(super) what: String,
    pub(super) place: Place,
    /// The digest of the plain archive.
    pub(super) diff_id: Digest,
}

/// Where a layer is.
#[derive(Debug)]
pub(super) enum Place {
    /// In a file, with its digest if one was said.
    Here(Section, Option<Digest>),
    /// In a registry.
    Remote(Descriptor),
}

impl Found {
    pub(super) fn new(
        name: &str,
        config: &[u8],
        places: Vec<Place>,
        arch: Arch,
    ) -> Result<Self, Error> {
        let id = Digest::sha256(config);
        let config = Config::parse(config, arch, name)?;
        let diff_ids = config.diff_ids().to_vec();
        if diff_ids.len() != places.len() || places.len() > MOST_LAYERS {
            let reason =
                format!("{} layers and {} digests of layers", places.len(), diff_ids.len());
            return Err(Error::malformed(name, reason));
        }
        let layer = |(number, (place, diff_id))| Layer {
            what: format!("{name}: layer {number}"),
            place,
            diff_id,
        };
        let layers = (1..).zip(places.into_iter().zip(diff_ids)).map(layer).collect();
        Ok(Self { name: name.to_owned(), config, id, layers })
    }
}

/// A run of bytes in an open file.
#[derive(Debug, Clone)]
pub(super) struct Section {
    file: Arc<File>,
    start: u64,
    pub(super) length: u64,
}

impl Section {
    pub(super) fn new(file: Arc<File>, start: u64, length: u64) -> Self {
        Self { file, start, length }
    }

    /// All of a file.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?.into_parts().0;
        let length = file.metadata()?.len();
        Ok(Self::new(Arc::new(file), 0, length))
    }

    pub(super) fn reader(&self) -> SectionReader {
        SectionReader { file: Arc::clone(&self.file), at: self.start, left: self.length }
    }

    /// A document's bytes.
    pub(super) fn document(&self, what: &str) -> Result<Vec<u8>, Error> {
        if self.length > MOST_DOCUMENT {
            return Err(Error::too_many_bytes(what, MOST_DOCUMENT));
        }
        let mut bytes = Vec::new();
        let read = self.reader().read_to_end(&mut bytes);
        read.map_err(|source| Error::damaged(what, source))?;
        Ok(bytes)
    }

    /// Checks all of the bytes.
    pub(super) fn verify(&self, expected: &Digest, what: &str) -> Result<(), Error> {
        let from = BufReader::with_capacity(1 << 20, self.reader());
        let mut reader = DigestReader::new(expected.algorithm(), from);
        let read = io::copy(&mut reader, &mut io::sink());
        read.map_err(|source| Error::damaged(what, source))?;
        same(expected, reader.finish(), what)
    }
}

/// Whether a digest is the one that was said.
pub(super) fn same(expected: &Digest, found: Digest, what: &str) -> Result<(), Error> {
    if *expected == found {
        return Ok(());
    }
    Err(Error::Altered { what: what.to_owned(), expected: expected.clone(), found })
}

/// Checks bytes in memory.
pub(super) fn check(expected: &Digest, bytes: &[u8], what: &str) -> Result<(), Error> {
    let mut hasher = crate::digest::Hasher::new(expected.algorithm());
    hasher.update(bytes);
    same(expected, hasher.finish(), what)
}

/// Whether a digest can name a file of ours.
pub(super) fn only_sha256(digest: &Digest, what: &str) -> Result<(), Error> {
    match digest.algorithm() {
        Algorithm::Sha256 => Ok(()),
        Algorithm::Sha512 => {
            let reason = "a digest other than sha256".to_owned();
            Err(Error::Unsupported { what: what.to_owned(), reason })
        }
    }
}

/// Reads a [`Section`]; ends with an error where the file is cut short, and
/// when we are asked to stop.
#[derive(Debug)]
pub(super) struct SectionReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for SectionReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested().is_some() {
            return Err(io::Error::other("asked to stop"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.file.read_at(&mut into[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
