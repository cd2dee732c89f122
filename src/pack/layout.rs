//! Images laid out as folders: an ACI as `manifest` and `rootfs/`, for a user
//! who looks at it or changes it (`S1B_ACI_DIR`), and plain files
//! (`--format dir`).

use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, renameat_with, utimensat};
use std::os::unix::fs::PermissionsExt;

use super::Error;
use super::aci::{Manifest, Whole};
use super::compression::decompressed;
use crate::content::{Content, Node, Rootfs};
use crate::fsutil;
use crate::proc::interrupt;

/// Lays an image out at `into`, in place of one that was laid out there
/// before. Modes and times are as in the packed image; owners are the
/// caller's.
///
/// The folder appears whole or not at all. Anything but an earlier layout or
/// an empty folder at `into` is left alone.
///
/// # Errors
/// When `into` is something else, or can't be written.
pub fn write_dir(
    manifest: &Manifest,
    rootfs: &Rootfs,
    epoch: u64,
    into: &Path,
) -> Result<(), Error> {
    put_in_place(into, ACI, |top| lay_out(manifest, rootfs, epoch, top))
}

/// What is in the folder of an ACI.
const ACI: &[&str] = &["manifest", "rootfs"];
/// What is in a folder of plain files.
const FILES: &[&str] = &["boot", "usr"];

/// Lays the plain files of an archive of ours out at `into`, in place of such
/// files that were there before.
///
/// # Errors
/// When `into` is something else or can't be written, or the archive is
/// damaged.
pub fn unpack_files(archive: impl Read, into: &Path) -> Result<(), Error> {
    put_in_place(into, FILES, |top| {
        let plain = decompressed(BufReader::new(archive)).map_err(Error::Damaged)?;
        unpack_archive(plain, top)
    })
}

/// Makes a folder by `fill` and puts it at `into`, whole or not at all. What
/// is there now may have these names in it and no others.
pub(super) fn put_in_place(
    into: &Path,
    names: &[&str],
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    check_names(into, names)?;
    let folder = fsutil::parent(into);
    let temporary = fsutil::AtomicFolder::create(folder).map_err(Error::Write)?;
    let top = temporary.path().join("image");
    fill(&top)?;
    exchange(&top, into).map_err(Error::Write)
    // What was there before goes with the temporary folder.
}

/// Unpacks an archive of ours with its modes and times; owners are the
/// caller's.
pub(super) fn unpack_archive(archive: impl Read, top: &Path) -> Result<(), Error> {
    fs::create_dir_all(top).map_err(Error::Write)?;
    let mut archive = tar::Archive::new(archive);
    let (mut folders, mut epoch) = (vec![top.to_owned()], 0);
    for entry in archive.entries().map_err(Error::Damaged)? {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        let mut entry = entry.map_err(Error::Damaged)?;
        epoch = entry.header().mtime().map_err(Error::Damaged)?;
        entry.set_preserve_permissions(true);
        let path = entry.path().map_err(Error::Damaged)?.into_owned();
        if !entry.unpack_in(top).map_err(Error::Write)? {
            return Err(Error::Escape { path: path.display().to_string() });
        }
        let path = below(top, &path);
        match entry.header().entry_type() {
            tar::EntryType::Directory => folders.push(path),
            _ => set_time(&path, epoch)?,
        }
    }
    folders.iter().rev().try_for_each(|folder| set_time(folder, epoch))
}

/// Where an entry was unpacked: what an archive has as `/x`, lies at `x`.
fn below(top: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    names.fold(top.to_owned(), |path, name| path.join(name))
}

/// Lays a packed image out at `into`, as [`write_dir`] does with one that is
/// not packed yet.
///
/// # Errors
/// When the image can't be read; as [`write_dir`].
pub fn lay_out_image(image: &Path, into: &Path) -> Result<(), Error> {
    let whole = Whole::load(image)?;
    if let Some(refused) = whole.refused.first() {
        return Err(Error::Visit(io::Error::other(refused.clone())));
    }
    write_dir(&whole.summary.manifest, &whole.rootfs, whole.epoch(), into)
}

/// Whether `into` may be replaced by a layout: it is absent, empty or an
/// earlier one. Worth asking before a kernel is compiled.
///
/// # Errors
/// When it holds something else, or can't be read.
pub fn check_replaceable(into: &Path) -> Result<(), Error> {
    check_names(into, ACI)
}

fn check_names(into: &Path, names: &[&str]) -> Result<(), Error> {
    let entries = match fs::read_dir(into) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::Read(error)),
    };
    for entry in entries {
        let name = entry.map_err(Error::Read)?.file_name();
        if !names.iter().any(|known| name == *known) {
            let (path, found) = (into.to_owned(), name.to_string_lossy().into_owned());
            return Err(Error::Foreign { path, found });
        }
    }
    Ok(())
}

fn lay_out(manifest: &Manifest, rootfs: &Rootfs, epoch: u64, top: &Path) -> Result<(), Error> {
    let root = top.join("rootfs");
    let mut folders: Vec<PathBuf> = vec![top.to_owned(), root.clone()];
    fs::create_dir_all(&root).map_err(Error::Write)?;
    put_file(&top.join("manifest"), &Content::Bytes(manifest.to_json()?.into()), false, epoch)?;
    for (path, node) in rootfs.iter() {
        let path = root.join(path);
        match node {
            Node::Dir => {
                fs::create_dir(&path).map_err(Error::Write)?;
                folders.push(path);
            }
            Node::File { content, executable } => put_file(&path, content, *executable, epoch)?,
            Node::Symlink { target } => {
                fs::os::unix::fs::symlink(target, &path).map_err(Error::Write)?;
                set_time(&path, epoch)?;
            }
        }
    }
    // Children first: each new one changes its folder's time.
    for folder in folders.iter().rev() {
        fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).map_err(Error::Write)?;
        set_time(folder, epoch)?;
    }
    Ok(())
}

fn put_file(path: &Path, content: &Content, executable: bool, epoch: u64) -> Result<(), Error> {
    match content {
        Content::Bytes(bytes) => fs::write(path, bytes).map_err(Error::Write)?,
        Content::Path(from) => {
            fs::copy(from, path).map_err(Error::Write)?;
        }
    }
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(Error::Write)?;
    set_time(path, epoch)
}

fn set_time(path: &Path, epoch: u64) -> Result<(), Error> {
    let when = Timespec { tv_sec: i64::try_from(epoch).unwrap_or(i64::MAX), tv_nsec: 0 };
    let times = Timestamps { last_access: when, last_modification: when };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Error::Write(io::Error::from(errno)))
}

/// Puts `new` at `target`; what was there is at `new` afterwards.
fn exchange(new: &Path, target: &Path) -> io::Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return fs::rename(new, target);
    }
    match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // A file system that can't exchange: for a moment there is none.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::rename(target, new.with_extension("old"))?;
            fs::rename(new, target)
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::UPSTREAMS;
    use crate::pack::aci::DEFAULT_NAME;
    use crate::settings::{Arch, KernelVersion};
    use std::time::{Duration, SystemTime};

    fn image() -> (Manifest, Rootfs) {
        let kernel = KernelVersion::new(4, 9, 6);
        let upstream = UPSTREAMS[0].version;
        let manifest = Manifest::stage1_kvm(DEFAULT_NAME, upstream, &kernel, Arch::X86_64).unwrap();
        let mut rootfs = Rootfs::new();
        rootfs.insert_bytes("usr/bin/tool", b"#!".as_slice(), true).unwrap();
        rootfs.insert_symlink("bin", "usr/bin").unwrap();
        (manifest, rootfs)
    }

    #[test]
    fn no_name_in_an_archive_is_one_of_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let (beside, into) = (folder.path().join("beside"), folder.path().join("into"));
        fs::write(&beside, "as it was").unwrap();
        let written = fs::metadata(&beside).unwrap().modified().unwrap();
        let mut header = tar::Header::new_gnu();
        let name = beside.to_str().unwrap();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_mtime(5);
        header.set_size(1);
        header.set_cksum();
        let mut archive = tar::Builder::new(Vec::new());
        archive.append(&header, &b"x"[..]).unwrap();
        unpack_archive(archive.into_inner().unwrap().as_slice(), &into).unwrap();
        assert_eq!(fs::read_to_string(&beside).unwrap(), "as it was");
        assert_eq!(fs::metadata(&beside).unwrap().modified().unwrap(), written);
        let laid = fs::metadata(below(&into, &beside)).unwrap();
        assert_eq!(laid.modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    }

    #[test]
    fn a_layout_replaces_a_layout_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("aci");
        let (manifest, mut rootfs) = image();
        rootfs.insert_bytes("old", b"".as_slice(), false).unwrap();
        write_dir(&manifest, &rootfs, 1_000_000_000, &into).unwrap();
        let (manifest, rootfs) = image();
        write_dir(&manifest, &rootfs, 1_000_000_000, &into).unwrap();
        assert!(!into.join("rootfs/old").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let tool = fs::metadata(into.join("rootfs/bin/tool")).unwrap();
        assert_eq!(tool.permissions().mode() & 0o7777, 0o755);
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for path in ["", "manifest", "rootfs", "rootfs/usr", "rootfs/usr/bin/tool"] {
            assert_eq!(fs::metadata(into.join(path)).unwrap().modified().unwrap(), when, "{path}");
        }
    }

    #[test]
    fn a_folder_of_the_users_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
        let (manifest, rootfs) = image();
        let error = write_dir(&manifest, &rootfs, 0, folder.path()).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert!(folder.path().join("thesis.tex").exists());
    }
}
