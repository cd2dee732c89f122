//! Reading an image that anybody may have made.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use fs_err as fs;

use super::Manifest;
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::pack::Error;
use crate::pack::compression::decompressed;

/// A manifest is a few kilobytes; what is bigger is not one.
const MOST_MANIFEST: u64 = 1 << 20;
/// No image of a kernel is near; what is bigger is a decompression bomb.
const MOST_TAR: u64 = 16 << 30;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link and its target.
    Symlink(String),
    /// A hard link and the path in the archive that it is one to.
    Hardlink(String),
    /// A device or a named pipe.
    Special,
}

/// One entry of an image, below `rootfs/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the root filesystem, without `rootfs/`: relative, with no
    /// `.` or `..`. Empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// The permission bits, set-user-id and its kind included.
    pub mode: u32,
    /// The owner's numbers.
    pub owner: (u64, u64),
    /// Seconds since 1970.
    pub mtime: u64,
}

/// What an image is as a whole.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its id: the SHA-512 of the uncompressed archive.
    pub id: Digest,
    /// Bytes of the uncompressed archive.
    pub tar_size: u64,
}

/// An entry as the archive gives it.
type Member<'e, 'a> = tar::Entry<'e, DigestReader<Limited<Box<dyn Read + 'a>>>>;

/// Reads the image in a file; see [`read`].
///
/// # Errors
/// As [`read`], and when the file can't be opened.
pub fn read_file(
    path: &Path,
    visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Summary, Error> {
    read(BufReader::new(fs::File::open(path).map_err(Error::Read)?), visit)
}

/// Reads an image in one pass and shows each entry of its root filesystem
/// with its bytes, in the archive's order; the bytes need not be read.
///
/// # Errors
/// When it is damaged, is no image, holds paths that leave it, or `visit`
/// fails.
pub fn read(
    from: impl BufRead,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Summary, Error> {
    let mut manifest = None;
    let (id, tar_size) = entries(from, Algorithm::Sha512, |path, entry| {
        if path == "manifest" {
            let bytes = manifest_bytes(entry)?;
            if manifest.replace(Manifest::from_json(&bytes)?).is_some() {
                return Err(not_an_image("it has two manifests"));
            }
        } else if let Some(path) = below_rootfs(path)? {
            let shown = described(path, entry)?;
            visit(&shown, entry).map_err(Error::Visit)?;
        }
        Ok(())
    })?;
    let manifest = manifest.ok_or_else(|| not_an_image("it has no manifest"))?;
    Ok(Summary { manifest, id, tar_size })
}

/// Reads an archive of plain files as [`read`] does an image; gives the
/// SHA-256 of the uncompressed archive.
///
/// # Errors
/// As [`read`].
pub(in crate::pack) fn read_files(
    from: impl BufRead,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Digest, Error> {
    let read = entries(from, Algorithm::Sha256, |path, entry| {
        let shown = described(path, entry)?;
        visit(&shown, entry).map_err(Error::Visit)
    });
    read.map(|(digest, _)| digest)
}

/// Shows each entry with its plain path; gives digest and size of the
/// uncompressed archive.
fn entries<'a>(
    from: impl BufRead + 'a,
    algorithm: Algorithm,
    mut each: impl FnMut(&str, &mut Member<'_, 'a>) -> Result<(), Error>,
) -> Result<(Digest, u64), Error> {
    let plain = decompressed(from).map_err(Error::Damaged)?;
    let digest = DigestReader::new(algorithm, Limited { inner: plain, left: MOST_TAR });
    let mut archive = tar::Archive::new(digest);
    for entry in archive.entries().map_err(Error::Damaged)? {
        let mut entry = entry.map_err(Error::Damaged)?;
        let path = plain_path(&entry.path_bytes())?;
        each(&path, &mut entry)?;
    }
    // Padding behind the archive's end belongs to the id.
    let mut digest = archive.into_inner();
    io::copy(&mut digest, &mut io::sink()).map_err(Error::Damaged)?;
    let size = digest.count();
    Ok((digest.finish(), size))
}

/// The path below `rootfs`, or `None` for the archive's own root.
fn below_rootfs(path: &str) -> Result<Option<&str>, Error> {
    match path.split_once('/').unwrap_or((path, "")) {
        ("rootfs", below) => Ok(Some(below)),
        ("", _) => Ok(None),
        _ => Err(not_an_image("it has more than a manifest and a rootfs")),
    }
}

/// Without `./` and doubled or trailing slashes.
fn plain_path(bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| not_an_image("a name in it is not UTF-8"))?;
    let names: Vec<&str> = text.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if text.starts_with('/') || names.contains(&"..") || text.contains('\0') {
        return Err(Error::Escape { path: text.escape_default().to_string() });
    }
    Ok(names.join("/"))
}

fn manifest_bytes(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    entry.take(MOST_MANIFEST + 1).read_to_end(&mut bytes).map_err(Error::Damaged)?;
    match bytes.len() as u64 > MOST_MANIFEST {
        true => Err(not_an_image("its manifest is too big")),
        false => Ok(bytes),
    }
}

fn described<R: Read>(path: &str, entry: &tar::Entry<'_, R>) -> Result<Entry, Error> {
    let header = entry.header();
    let link = || {
        let target = entry.link_name_bytes().unwrap_or_default();
        String::from_utf8(target.into_owned()).map_err(|_| not_an_image("a link is not UTF-8"))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Dir,
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            Kind::File
        }
        tar::EntryType::Symlink => Kind::Symlink(link()?),
        tar::EntryType::Link => Kind::Hardlink(plain_path(link()?.as_bytes())?),
        _ => Kind::Special,
    };
    Ok(Entry {
        path: path.to_owned(),
        kind,
        size: entry.size(),
        mode: header.mode().map_err(Error::Damaged)? & 0o7777,
        owner: (header.uid().map_err(Error::Damaged)?, header.gid().map_err(Error::Damaged)?),
        mtime: header.mtime().map_err(Error::Damaged)?,
    })
}

fn not_an_image(why: &'static str) -> Error {
    Error::NotAnImage { why }
}

struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it unpacks to more than 16 GiB")
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    const MANIFEST: &[u8] = br#"{"acKind":"ImageManifest","acVersion":"0.8.9","name":"a"}"#;

    fn read_all(bytes: &[u8]) -> Result<Vec<String>, Error> {
        let mut paths = Vec::new();
        read(bytes, |entry, _| {
            paths.push(entry.path.clone());
            Ok(())
        })?;
        Ok(paths)
    }

    #[test]
    fn entries_come_in_order_without_their_prefix() {
        let image = archive(&[("./manifest", MANIFEST), ("rootfs/", b""), ("./rootfs//a/b", b"x")]);
        assert_eq!(read_all(&image).unwrap(), ["", "a/b"]);
    }

    #[test]
    fn paths_that_leave_are_refused() {
        for path in ["rootfs/../x", "/rootfs/x", "..", "other", "manifest/x"] {
            let image = archive(&[("manifest", MANIFEST), (path, b"x")]);
            assert!(read_all(&image).is_err(), "{path}");
        }
        assert!(read_all(&archive(&[("rootfs/x", b"")])).is_err(), "no manifest");
        assert!(read_all(&archive(&[("manifest", MANIFEST), ("manifest", MANIFEST)])).is_err());
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_nothing_but_never_a_panic(
            at in 0usize..4096, byte: u8, keep in 0usize..4096
        ) {
            let mut image = archive(&[("manifest", MANIFEST), ("rootfs/file", &[7; 700])]);
            let end = image.len();
            image[at.min(end - 1)] = byte;
            _ = read_all(&image);
            _ = read_all(&image[..keep.min(end)]);
        }
    }
}
