//! An image of any format in memory, whoever made it.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use fs_err as fs;

use super::aci::{self, Contents, Entry, Manifest};
use super::compression::decompressed;
use super::{Error, Kind, Target, WriteOptions, oci, write_all};
use crate::content::{Content, Node, Rootfs, tree_of_files};
use crate::digest::Digest;
use crate::report::Silent;

/// What an image says of itself, by its format.
#[derive(Debug)]
pub enum Said {
    /// An App Container Image.
    Aci(Manifest),
    /// An OCI image.
    Oci(oci::Said),
    /// Plain files.
    Files,
}

/// An image that was read as a whole.
#[derive(Debug)]
pub struct Whole {
    /// Its id, as [`super::Packed`] has it.
    pub id: Digest,
    /// What it says of itself.
    pub said: Said,
    /// All that a tree can hold, with its bytes.
    pub rootfs: Rootfs,
    /// Every entry in the archive's order; none of files in a folder.
    pub entries: Vec<Entry>,
    /// What the tree could not take; one line each.
    pub refused: Vec<String>,
    /// The time of the entries, or of the folder.
    pub epoch: u64,
}

impl Whole {
    /// Reads the image at a path: an ACI, an OCI layout or an archive of one,
    /// plain files or an archive of them.
    ///
    /// # Errors
    /// When it can't be read, is damaged or no image.
    pub fn load(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return match path.join(oci::MARK).is_file() {
                true => layout(path),
                false => folder(path),
            };
        }
        match first_name(path).as_deref() {
            Some("blobs" | "index.json" | oci::MARK) => {
                let laid_out = tempfile::tempdir().map_err(Error::Write)?;
                let into = laid_out.path().join("layout");
                oci::unpack(decompressed(open(path)?).map_err(Error::Damaged)?, &into)?;
                layout(&into)
            }
            Some("boot" | "usr" | "lib") => archive(path, Said::Files, None),
            // What is none says so best there.
            _ => stage1(path),
        }
    }

    /// Writes it again from its own tree, which gives its id if it is one of
    /// ours; none where there is nothing to compare with.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn again(&self) -> Result<Option<Digest>, Error> {
        let options = WriteOptions { epoch: self.epoch, ..WriteOptions::default() };
        let kind = match &self.said {
            Said::Aci(manifest) => {
                let options = WriteOptions { compression: super::Compression::None, ..options };
                let mut sink = io::sink();
                let packed = aci::write(manifest, &self.rootfs, &options, &mut sink, &Silent)?;
                return Ok(Some(packed.id));
            }
            Said::Oci(oci::Said { about: None, .. }) => return Ok(None),
            Said::Oci(oci::Said { about: Some(about), .. }) => Kind::Oci(about.clone()),
            Said::Files if self.entries.is_empty() => return Ok(None),
            Said::Files => Kind::Dir,
        };
        id_of(&self.rootfs, kind, &options).map(Some)
    }
}

fn id_of(rootfs: &Rootfs, kind: Kind, options: &WriteOptions) -> Result<Digest, Error> {
    let mut to = tempfile::tempfile().map_err(Error::Write)?;
    let mut targets = [Target { kind, to: &mut to }];
    let packed = write_all(rootfs, &mut targets, options, &Silent)?;
    packed
        .into_iter()
        .next()
        .map(|packed| packed.id)
        .ok_or(Error::NotAnImage { why: "it is empty" })
}

fn stage1(path: &Path) -> Result<Whole, Error> {
    let whole = aci::Whole::load(path)?;
    let epoch = whole.epoch();
    let aci::Whole { summary, rootfs, entries, refused } = whole;
    let said = Said::Aci(summary.manifest);
    Ok(Whole { id: summary.id, said, rootfs, entries, refused, epoch })
}

/// The files of an archive. Their digest is the id unless there is another.
fn archive(path: &Path, said: Said, id: Option<Digest>) -> Result<Whole, Error> {
    let mut contents = Contents::default();
    let read = aci::read_files(open(path)?, |entry, bytes| contents.take(entry, bytes));
    let digest = read.map_err(Contents::damaged)?;
    let Contents { rootfs, entries, mut refused } = contents;
    if let Said::Oci(said) = &said {
        refused.extend(said.wrong.iter().cloned());
        if said.diff_id.as_ref() != Some(&digest) {
            refused.push("its layer is not the one that its configuration names".to_owned());
        }
    }
    let epoch = entries.first().map_or(0, |entry| entry.mtime);
    Ok(Whole { id: id.unwrap_or(digest), said, rootfs, entries, refused, epoch })
}

fn layout(folder: &Path) -> Result<Whole, Error> {
    let (said, layer, id) = oci::Said::read(folder)?;
    archive(&layer, Said::Oci(said), Some(id))
}

/// Plain files, which have the id that they would have as an archive.
fn folder(path: &Path) -> Result<Whole, Error> {
    let mut rootfs = Rootfs::new();
    for (name, node) in tree_of_files(path).map_err(Error::Content)?.iter() {
        let node = match node {
            Node::File { content: Content::Path(from), executable } => {
                let bytes = fs::read(from).map_err(Error::Read)?;
                Node::File { content: Content::Bytes(bytes.into()), executable: *executable }
            }
            other => other.clone(),
        };
        rootfs.insert(name, node).map_err(Error::Content)?;
    }
    if ["boot", "usr", "lib"].iter().all(|name| rootfs.get(name).is_none()) {
        return Err(Error::NotAnImage { why: "there is neither an OCI layout nor a kernel in it" });
    }
    let modified = fs::metadata(path).and_then(|found| found.modified()).map_err(Error::Read)?;
    let epoch = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let options = WriteOptions { epoch, ..WriteOptions::default() };
    let id = id_of(&rootfs, Kind::Dir, &options)?;
    let (said, entries, refused) = (Said::Files, Vec::new(), Vec::new());
    Ok(Whole { id, said, rootfs, entries, refused, epoch })
}

fn open(path: &Path) -> Result<BufReader<File>, Error> {
    let file = fs::File::open(path).map_err(Error::Read)?;
    Ok(BufReader::new(file.into_parts().0))
}

/// The first name of an archive's first entry; none of what is no archive.
fn first_name(path: &Path) -> Option<String> {
    let plain = decompressed(open(path).ok()?).ok()?;
    let mut archive = tar::Archive::new(plain);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let mut names = name.split('/').filter(|name| !matches!(*name, "" | "."));
    names.next().map(str::to_owned)
}
