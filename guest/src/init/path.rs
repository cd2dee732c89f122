//! Folders of the container, made and mounted on.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use crate::{in_root, mounting};

use super::problem::{Explain, Problem};

/// The folder at this path, made if absent, reached as the container's
/// processes would, and held open as it was before anything is mounted on it.
pub(super) fn folder(path: &str) -> Result<OwnedFd, Problem> {
    let doing = format!("can't make the folder {path}");
    let root = File::open("/").or_mount(&doing)?;
    let place = in_root::resolve(root.as_fd(), OsStr::new(path)).or_mount(&doing)?;
    place.open().or_mount(&doing)
}

/// Whatever stands at this path in a folder that is the container's: if it is
/// no folder, it gives way to one. For the places of the kernel's own file
/// systems, which a symlink must not lead elsewhere.
pub(super) fn real_folder(path: &str) -> Result<(), Problem> {
    let doing = format!("can't make the folder {path}");
    let found = std::fs::symlink_metadata(path);
    match found {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => std::fs::remove_file(path).or_mount(&doing)?,
        Err(_) => {}
    }
    std::fs::create_dir(path).or_mount(&doing)
}

/// A mount to be made.
pub(super) struct Mounting<'a> {
    pub(super) kind: &'a str,
    pub(super) source: &'a str,
    pub(super) flags: MountFlags,
    pub(super) options: &'a str,
}

/// Mounts on the folder, whatever its path leads to by now.
pub(super) fn mount_on(folder: &OwnedFd, what: &Mounting<'_>) -> rustix::io::Result<()> {
    rustix::process::fchdir(folder)?;
    let options = mounting::options(what.options)?;
    let result = mount(what.source, c".", what.kind, what.flags, options.as_deref());
    rustix::process::chdir(c"/").and(result)
}

/// Shows a folder that is held open at another one, too.
pub(super) fn bind_on(folder: &OwnedFd, source: &OwnedFd) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd;
    rustix::process::fchdir(folder)?;
    let result = mount_bind(format!("/proc/self/fd/{}", source.as_raw_fd()), c".");
    rustix::process::chdir(c"/").and(result)
}

/// Gives the mount that this folder is the top of these flags.
pub(super) fn restrict(folder: &OwnedFd, flags: MountFlags) -> rustix::io::Result<()> {
    rustix::process::fchdir(folder)?;
    let result = mount_remount(c".", MountFlags::BIND | flags, c"");
    rustix::process::chdir(c"/").and(result)
}

/// Holds a folder open without reading it.
pub(super) fn hold(path: impl AsRef<Path>) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path.as_ref(), flags, Mode::empty())
}
