//! Images of kernels: what boots, and a root filesystem with the rest.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use walkdir::WalkDir;

use super::layer::{Unpacker, Whiteouts};
use super::parts::same;
use super::reference::{Reference, Root, Streamed};
use super::squashfs::{self, Writer};
use super::tar::{Archive, Entry, Kind};
use super::tree::{Attributes, Tree};
use super::{Error, Options, aci, archive, layout, ready};
use crate::content;
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::listing;
use crate::source::decompress;

/// Where the kernel is: in a stage1 of either kind, in an OCI image, in plain
/// files.
const KERNELS: [&[u8]; 3] = [b"kernel_image", b"bzImage", b"boot/vmlinuz"];

/// Where modules folders are; in what we make, where a stage1 has them.
const MODULES: [&[u8]; 2] = [b"usr/lib/modules", b"lib/modules"];

/// How names of archives end.
const ARCHIVES: [&str; 10] = [
    ".aci", ".tar", ".tgz", ".tar.gz", ".txz", ".tar.xz", ".tzst", ".tar.zst", ".tbz2", ".tar.bz2",
];

/// An image of a kernel, whichever form it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelImage {
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Packed(Reference),
    Folder(PathBuf),
}

impl KernelImage {
    /// The image in a file or folder: an ACI or one that is laid out, a
    /// layout of OCI or an archive of one, plain files or an archive of them.
    ///
    /// # Errors
    /// When nothing is there, or a registry is meant.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let text = path.to_string_lossy();
        let form = match Root::parse(&text)? {
            Root::Directory(path) if path.join("manifest").is_file() => {
                Form::Folder(path.join("rootfs"))
            }
            Root::Directory(path) => Form::Folder(path),
            Root::Image(Reference::Registry(_)) => {
                return Err(Error::NotThere { path: path.to_owned() });
            }
            Root::Image(reference) => Form::Packed(reference),
        };
        Ok(Self { form })
    }

    /// Whether a path is an image's and no kernel's own: a folder, or a file
    /// that is a tar archive, compressed or not, whatever it is called. What
    /// is called as archives are is meant as one, damaged or absent.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let named = ARCHIVES.iter().any(|ending| name.ends_with(ending));
        path.is_dir() || named || is_archive(path).unwrap_or(false)
    }

    /// What tells the image from others, and a change of it: the digest of a
    /// file or of a layout's index; of plain files, of what `stat` says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn digest(&self) -> io::Result<Digest> {
        match &self.form {
            Form::Packed(Reference::Aci(path) | Reference::Archive { path, .. }) => {
                Digest::sha256_of_file(path)
            }
            Form::Packed(Reference::OciLayout { path, tag }) => {
                let index = fs::read(path.join("index.json"))?;
                Ok(Digest::sha256(&[index, tag.clone().unwrap_or_default().into_bytes()].concat()))
            }
            Form::Packed(Reference::Registry(_)) => Err(io::ErrorKind::Unsupported.into()),
            Form::Folder(path) => Ok(listing::stamp(&listing::everything(path, &|_| true)?)),
        }
    }

    /// Writes what is in the image, but for the kernel, to an empty file as
    /// squashfs, with the modules folder where a stage1 has it. The kernel
    /// goes to `kernel`; of several layers' kernels the last one is the
    /// image's. The file is not synced.
    ///
    /// # Errors
    /// When the image is damaged or is none, the file can't be written, or
    /// `kernel` fails.
    pub fn unpack(
        &self,
        file: File,
        options: &Options,
        kernel: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> Result<Unpacked, Error> {
        let mut visit = |entry: &mut Entry, bytes: &mut dyn Read| arrange(entry, bytes, kernel);
        let (file, tree) = match &self.form {
            Form::Packed(Reference::Aci(path)) => aci::stage1_rootfs(path, file, &mut visit),
            Form::Packed(reference) => layers(reference, file, options, &mut visit),
            Form::Folder(path) => folder(path, file, options, &mut visit),
        }?;
        Ok(Unpacked { file, tree })
    }
}

/// Whether it begins with the header of a member, by the header's checksum.
fn is_archive(path: &Path) -> io::Result<bool> {
    let (_, bytes) = decompress::reader(fs::File::open(path)?.into_parts().0)?;
    Ok(Archive::new(Streamed(BufReader::new(bytes))).has_a_member())
}

/// What was in an image of a kernel, as squashfs.
pub struct Unpacked {
    file: File,
    tree: Tree,
}

impl Unpacked {
    /// The squashfs. It is not synced.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The bytes of a file of the modules folder of `release`; none if it is
    /// not there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn module_file(&self, release: &str, path: &str) -> io::Result<Option<Vec<u8>>> {
        let path = format!("{}/{release}/{path}", content::STAGE1_MODULES);
        let extent = self.tree.extent(&path);
        extent.map(|extent| squashfs::read(&self.file, extent)).transpose()
    }
}

/// What is done with each entry; whether it belongs into the squashfs.
type Visit<'a> = dyn FnMut(&mut Entry, &mut dyn Read) -> Result<bool, Error> + 'a;

fn arrange(
    entry: &mut Entry,
    bytes: &mut dyn Read,
    kernel: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> Result<bool, Error> {
    entry.path = plain(&entry.path);
    if entry.kind == Kind::File && KERNELS.contains(&entry.path.as_slice()) {
        kernel(bytes)?;
        return Ok(false);
    }
    entry.path = in_stage1(&entry.path);
    if entry.kind == Kind::Hardlink {
        entry.target = in_stage1(&plain(&entry.target));
    }
    Ok(true)
}

/// Without `./`, a leading slash and one at the end.
fn plain(path: &[u8]) -> Vec<u8> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.collect::<Vec<_>>().join(&b'/')
}

fn in_stage1(path: &[u8]) -> Vec<u8> {
    let below = MODULES.iter().find_map(|modules| path.strip_prefix(*modules));
    match below.filter(|below| below.is_empty() || below.starts_with(b"/")) {
        Some(below) => [content::STAGE1_MODULES.as_bytes(), below].concat(),
        None => path.to_owned(),
    }
}

/// The layers of an OCI image, or one by docker, each checked on the way.
fn layers(
    reference: &Reference,
    file: File,
    options: &Options,
    visit: &mut Visit<'_>,
) -> Result<(File, Tree), Error> {
    let found = match reference {
        Reference::OciLayout { path, tag } => {
            layout::find_in_folder(path, tag.as_deref(), options)?
        }
        Reference::Archive { path, tag } => match archive::find(path, tag.as_deref(), options) {
            Err(Error::NotAnImage { .. }) => return files(path, file, options, visit),
            found => found?,
        },
        Reference::Aci(path) => return Err(Error::NotThere { path: path.clone() }),
        Reference::Registry(name) => return Err(Error::NotHere { name: name.to_string() }),
    };
    let mut unpacker = Unpacker::new(Writer::new(file)?, options.limits, Whiteouts::Obeyed);
    for layer in ready(&found, options)? {
        if let Some(digest) = layer.digest {
            layer.section.verify(digest, layer.what)?;
        }
        let (_, plain) = decompress::decoder(layer.section.reader())
            .map_err(|source| Error::damaged(layer.what, source))?;
        let mut plain = DigestReader::new(Algorithm::Sha256, plain);
        unpacker.apply(&mut plain, layer.what, &mut *visit)?;
        same(layer.diff_id, plain.finish(), &format!("{}, unpacked", layer.what))?;
    }
    Ok(unpacker.finish_with_tree()?)
}

/// Plain files in an archive.
fn files(
    path: &Path,
    file: File,
    options: &Options,
    visit: &mut Visit<'_>,
) -> Result<(File, Tree), Error> {
    let what = path.display().to_string();
    let (_, mut plain) = decompress::reader(fs::File::open(path)?.into_parts().0)
        .map_err(|source| Error::damaged(&what, source))?;
    let mut unpacker = Unpacker::new(Writer::new(file)?, options.limits, Whiteouts::Plain);
    unpacker.apply(&mut plain, &what, &mut *visit)?;
    Ok(unpacker.finish_with_tree()?)
}

/// Plain files.
fn folder(
    root: &Path,
    file: File,
    options: &Options,
    visit: &mut Visit<'_>,
) -> Result<(File, Tree), Error> {
    let what = root.display().to_string();
    let mut unpacker = Unpacker::new(Writer::new(file)?, options.limits, Whiteouts::Plain);
    for found in WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let found = found.map_err(io::Error::from)?;
        let Some(mut entry) = described(root, found.path())? else { continue };
        let mut bytes: Box<dyn Read> = match entry.kind {
            Kind::File => Box::new(fs::File::open(found.path())?),
            _ => Box::new(io::empty()),
        };
        if visit(&mut entry, &mut bytes)? {
            unpacker.add(entry, &mut bytes, &what)?;
        }
    }
    Ok(unpacker.finish_with_tree()?)
}

/// A file as an archive would say it; none for sockets and their like.
fn described(root: &Path, path: &Path) -> Result<Option<Entry>, Error> {
    let metadata = fs::symlink_metadata(path)?;
    let (kind, target) = match metadata.file_type() {
        kind if kind.is_dir() => (Kind::Directory, Vec::new()),
        kind if kind.is_file() => (Kind::File, Vec::new()),
        kind if kind.is_symlink() => {
            (Kind::Symlink, fs::read_link(path)?.as_os_str().as_bytes().to_vec())
        }
        _ => return Ok(None),
    };
    let path = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes().to_vec();
    Ok(Some(Entry {
        path,
        kind,
        target,
        size: metadata.len(),
        mode: metadata.mode(),
        // Root's in the guest, whoever laid them out here.
        uid: 0,
        gid: 0,
        mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        attributes: Attributes::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_kernels_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let is_at = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            KernelImage::is_at(&path)
        };
        let gzipped = |bytes: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut gzip, bytes).unwrap();
            gzip.finish().unwrap()
        };
        // Of the oldest kind, which has no magic number.
        let mut header = tar::Header::new_old();
        header.set_path("file").unwrap();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        let archive = [header.as_bytes().as_slice(), &[0; 1024]].concat();
        assert!(is_at("plain", &archive) && is_at("packed", &gzipped(&archive)));
        // What kind of member it is, is for whoever reads it to say.
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_cksum();
        assert!(is_at("sparse", header.as_bytes()));
        assert!(
            KernelImage::is_at(folder.path()) && is_at("cut.aci", b"") && is_at("x.tar.gz", b"")
        );
        // `Image.gz` is a kernel of arm64.
        assert!(!is_at("Image.gz", &gzipped(&[0; 1024])) && !is_at("vmlinuz.tar.old", &[1; 1024]));
        assert!(!is_at("empty", b"") && !KernelImage::is_at(&folder.path().join("absent")));
    }

    #[test]
    fn modules_come_to_lie_where_a_stage1_has_them() {
        for (path, placed) in [
            ("usr/lib/modules/6.12/build", "usr/lib64/modules/6.12/build"),
            ("lib/modules", "usr/lib64/modules"),
            ("usr/lib64/modules/x", "usr/lib64/modules/x"),
            ("usr/lib/modules-extra/x", "usr/lib/modules-extra/x"),
        ] {
            assert_eq!(in_stage1(path.as_bytes()), placed.as_bytes());
        }
        assert_eq!(plain(b"./usr//lib/"), b"usr/lib");
    }
}
