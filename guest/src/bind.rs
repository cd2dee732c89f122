//! Binding the kernel's folder into an app, read-only.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_remount};

use crate::in_root::{self, Place, resolve};

/// Why the headers are not in the app.
#[derive(Debug)]
pub enum Error {
    /// A folder of the call can't be opened.
    Open {
        /// Which.
        path: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The target can't be resolved inside the app.
    Resolve {
        /// The path as the app would say it.
        path: PathBuf,
        /// The app's root.
        root: PathBuf,
        /// Why.
        source: in_root::Error,
    },
    /// A mount call was refused.
    Mount {
        /// What was tried, as in "can't … it".
        doing: &'static str,
        /// The path as the app would say it.
        path: PathBuf,
        /// The app's root.
        root: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, errno } => write!(f, "can't open {}: {errno}", path.display()),
            Self::Resolve { path, root, source } => {
                write!(f, "can't resolve {} in {}: {source}", path.display(), root.display())
            }
            Self::Mount { doing, path, root, errno } => {
                write!(f, "can't {doing} {} in {}: {errno}", path.display(), root.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The folder is bound now.
    Bound,
    /// It was bound already.
    AlreadyBound,
    /// Something else is mounted there, a volume of the user's: left alone.
    Occupied,
}

/// The running kernel's release, as `uname -r` says it.
#[must_use]
pub fn running_release() -> OsString {
    OsString::from_vec(rustix::system::uname().release().to_bytes().to_vec())
}

/// Binds `modules/<release>` to `/lib/modules/<release>` as an app whose root
/// is `root` sees it: read-only, and never outside of `root`.
///
/// Changes the current folder: `mount(2)` takes paths, and `.` is the only
/// one that no symlink can turn elsewhere and that needs no `/proc`.
///
/// # Errors
/// When the folder is absent, the target can't be resolved or made, or the
/// kernel refuses.
pub fn bind_headers(modules: &Path, release: &Path, root: &Path) -> Result<Outcome, Error> {
    let source_path = std::path::absolute(modules).unwrap_or_else(|_| modules.to_owned());
    let source_path = source_path.join(release);
    let source = open_folder(&source_path)?;
    let root_folder = open_folder(root)?;
    let path = Path::new("/lib/modules").join(release);
    let resolve_error =
        |source| Error::Resolve { path: path.clone(), root: root.to_owned(), source };
    let place = resolve(root_folder.as_fd(), path.as_os_str()).map_err(resolve_error)?;
    let before = place.open().map_err(resolve_error)?;
    let mount_error = |doing| {
        let (path, root) = (path.clone(), root.to_owned());
        move |errno| Error::Mount { doing, path, root, errno }
    };
    if is_mount_point(&place, &before) {
        if !same_folder(&source, &before).map_err(mount_error("look at"))? {
            return Ok(Outcome::Occupied);
        }
        protect(&before).map_err(mount_error("make read-only"))?;
        return Ok(Outcome::AlreadyBound);
    }
    enter(before.as_fd()).map_err(mount_error("enter"))?;
    mount_bind(&source_path, c".").map_err(mount_error("mount on"))?;
    let after = place.open().map_err(resolve_error)?;
    protect(&after).map_err(mount_error("make read-only"))?;
    Ok(Outcome::Bound)
}

fn open_folder(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|errno| Error::Open { path: path.to_owned(), errno })
}

fn same_folder(one: &OwnedFd, other: &OwnedFd) -> Result<bool, Errno> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// A folder is a mount point when its parent lies on another mount. The
/// numbers stand in `/proc/self/fdinfo` (`mnt_id`, since Linux 3.15); device
/// numbers don't tell, a bind mount keeps them. Without `/proc` the answer is
/// no, and the worst that follows is a second mount over the first.
fn is_mount_point(place: &Place, folder: &OwnedFd) -> bool {
    let parent = mount_number(place.parent());
    parent.is_some() && parent != mount_number(folder.as_fd())
}

fn mount_number(folder: BorrowedFd<'_>) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", folder.as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

fn enter(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(folder)
}

/// Makes the mount whose root `folder` is read-only. A bind mount takes its
/// flags in a second call only (mount(2), "Creating a bind mount"), and that
/// call must repeat those that are set, or a user namespace's locked ones
/// make it fail. Programs stay allowed: modpost and its kind lie there.
fn protect(folder: &OwnedFd) -> Result<(), Errno> {
    let is = fstatvfs(folder)?.f_flag;
    if is.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let kept = [
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let flags = kept
        .iter()
        .filter(|(found, _)| is.contains(*found))
        .fold(MountFlags::empty(), |flags, (_, flag)| flags | *flag);
    enter(folder.as_fd())?;
    let always = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(c".", flags | always, c"")
}
