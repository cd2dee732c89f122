//! Writing an archive of a layout while its layer is made.
//!
//! The layer's blob stands first. Its name is its digest, which is known when
//! it is whole; so its header is written last, into a gap of a block.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::documents::{About, Documents, Layer};
use super::layout::BLOBS;
use crate::content::Form;
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::pack::archive::{Archived, Shape, header};
use crate::pack::{Error, Packed, WriteOptions};
use crate::settings::Compression;

const BLOCK: u64 = 512;

/// What the layer's archive has for itself.
pub(in crate::pack) fn shape(options: &WriteOptions) -> Shape {
    let compression = match options.compression {
        Compression::None => Compression::None,
        Compression::Gzip | Compression::Xz => Compression::Gzip,
    };
    Shape {
        form: Form::Plain,
        prefix: "",
        algorithm: Algorithm::Sha256,
        compression,
        epoch: options.epoch,
    }
}

/// Writes what stands before the layer's bytes.
pub(in crate::pack) fn begin(to: &mut File, epoch: u64) -> Result<(), Error> {
    let mut folders = Vec::new();
    for folder in ["blobs/", "blobs/sha256/"] {
        folders.extend_from_slice(&entry(tar::EntryType::Directory, folder, 0, epoch)?);
    }
    folders.extend_from_slice(&[0; BLOCK as usize]);
    to.write_all(&folders).map_err(Error::Write)
}

/// Completes the archive behind the layer's bytes, and gives the image.
pub(in crate::pack) fn finish(
    to: &mut File,
    about: &About,
    archived: &Archived,
    options: &WriteOptions,
) -> Result<Packed, Error> {
    let (diff_id, tar_size) = &archived.plain;
    let (digest, size) = &archived.written;
    let compression = shape(options).compression;
    let layer = Layer { diff_id, digest, size: *size, compression };
    let documents = Documents::new(about, &layer, options.epoch)?;
    let file_size = complete(to, &documents, &layer, options.epoch)?;
    to.rewind().map_err(Error::Write)?;
    let mut reader = DigestReader::new(Algorithm::Sha256, to);
    io::copy(&mut reader, &mut io::sink()).map_err(Error::Write)?;
    Ok(Packed {
        id: Digest::sha256(&documents.config),
        file: reader.finish(),
        tar_size: *tar_size,
        file_size,
    })
}

fn complete(
    to: &mut File,
    documents: &Documents,
    layer: &Layer<'_>,
    epoch: u64,
) -> Result<u64, Error> {
    let padding = |size: u64| vec![0; (size.next_multiple_of(BLOCK) - size) as usize];
    let mut rest = padding(layer.size);
    let blob = |bytes: &[u8]| format!("{BLOBS}/{}", Digest::sha256(bytes).hex());
    for (name, bytes) in [
        (blob(&documents.config), documents.config.as_slice()),
        (blob(&documents.manifest), &documents.manifest),
        ("index.json".to_owned(), &documents.index),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
    ] {
        let size = bytes.len() as u64;
        rest.extend_from_slice(&entry(tar::EntryType::Regular, &name, size, epoch)?);
        rest.extend_from_slice(bytes);
        rest.extend_from_slice(&padding(size));
    }
    rest.resize(rest.len() + 2 * BLOCK as usize, 0);
    to.write_all(&rest).map_err(Error::Write)?;
    let end = to.stream_position().map_err(Error::Write)?;
    let name = format!("{BLOBS}/{}", layer.digest.hex());
    let first = entry(tar::EntryType::Regular, &name, layer.size, epoch)?;
    to.seek(SeekFrom::Start(2 * BLOCK)).map_err(Error::Write)?;
    to.write_all(&first).map_err(Error::Write)?;
    Ok(end)
}

/// One header; every name here fits in it.
fn entry(kind: tar::EntryType, name: &str, size: u64, epoch: u64) -> Result<[u8; 512], Error> {
    let mode = if kind == tar::EntryType::Directory { 0o755 } else { 0o644 };
    let mut header = header(kind, mode, size, epoch);
    header.set_path(name).map_err(Error::Write)?;
    header.set_cksum();
    Ok(*header.as_bytes())
}
