//! Tidying up: what lies in the store, what of it may go, and its removal.
//!
//! Nothing that is in use is touched: each thing has its lock, or is held by
//! who uses it ([`Hold`]), and is removed by its holder alone.

mod choice;
mod items;

use std::time::SystemTime;

use fs_err as fs;

use super::{Error, Store};
use crate::fsutil::{self, Hold, Lock};
use choice::choose;
use items::{Guard, items};

pub use choice::Limits;

/// A part of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Verified archives, and downloads that are not whole.
    Downloads,
    /// Source trees with their objects.
    Workspaces,
    /// Finished images.
    Images,
    /// Kernels taken out of their images to be booted.
    Kernels,
    /// Container images.
    Containers,
    /// Toolchains of archives.
    Toolchains,
    /// What was found out about this host.
    Host,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Downloads,
        Self::Workspaces,
        Self::Images,
        Self::Kernels,
        Self::Containers,
        Self::Toolchains,
        Self::Host,
    ];

    /// As users read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Workspaces => "workspaces",
            Self::Images => "images",
            Self::Kernels => "kernels",
            Self::Containers => "containers",
            Self::Toolchains => "toolchains",
            Self::Host => "host",
        }
    }
}

/// One thing in the store.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it belongs.
    pub bucket: Bucket,
    /// As the user should read it.
    pub name: String,
    /// Bytes on the disk.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// Whether somebody uses it now.
    pub in_use: bool,
    /// Whether it serves nobody any more.
    pub garbage: bool,
    /// Whether it is a note of a few bytes, which counts for no number and
    /// goes by its age alone.
    pub note: bool,
    paths: Vec<std::path::PathBuf>,
    guard: Guard,
}

/// What tidying up did, or would do.
#[derive(Debug, Default)]
pub struct Tidied {
    /// What went.
    pub removed: Vec<Item>,
    /// What stayed.
    pub left: Vec<Item>,
}

impl Tidied {
    /// Bytes that were freed.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.removed.iter().map(|item| item.size).sum()
    }
}

/// Removes what the limits leave no room for, and what serves nobody. With
/// `dry`, only says what that is.
///
/// # Errors
/// When something that nobody uses can't be removed.
pub fn tidy(store: &Store, limits: &Limits, dry: bool) -> Result<Tidied, Error> {
    if !dry {
        sweep(store);
    }
    let items = items(store);
    let going = choose(&items, limits, SystemTime::now());
    let mut tidied = Tidied::default();
    for (item, goes) in items.into_iter().zip(going) {
        match goes && (dry || remove(&item)?) {
            true => tidied.removed.push(item),
            false => tidied.left.push(item),
        }
    }
    Ok(tidied)
}

/// Removes a thing, unless somebody uses it.
fn remove(item: &Item) -> Result<bool, Error> {
    let removing = || Error::io(format!("can't remove {}", item.name));
    let Some(held) = item.guard.take().map_err(removing())? else { return Ok(false) };
    for path in &item.paths {
        fsutil::remove_all(path).map_err(removing())?;
    }
    if let Guard::Locks(locks) = &item.guard {
        // Who waits for one sees that it is gone, and makes its own.
        locks.iter().try_for_each(|lock| fsutil::remove_all(lock)).map_err(removing())?;
    }
    drop(held);
    Ok(true)
}

/// Removes what killed processes left under temporary names, and locks that
/// nobody holds.
fn sweep(store: &Store) {
    // Its locks are those of whole workspaces, which go with them.
    fsutil::sweep(&store.workspaces());
    let containers = store.containers();
    let folders = [
        store.images().root,
        store.kernels(),
        store.host(),
        store.toolchains(),
        containers.join("images"),
        containers.join("blobs/sha256"),
        containers.join("names"),
    ];
    let downloads = fs::read_dir(store.downloads()).into_iter().flatten().flatten();
    for folder in folders.into_iter().chain(downloads.map(|entry| entry.path())) {
        fsutil::sweep(&folder);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // Removed while it is held, so that who waits for it sees that.
            if path.extension().is_some_and(|extension| extension == "lock")
                && let Ok(Some(_held)) = Lock::try_acquire(&path)
            {
                _ = fs::remove_file(&path);
            }
        }
    }
}

/// What keeps a thing from being removed while we remove it.
enum Held {
    Locks(#[expect(dead_code, reason = "held, not read")] Vec<Lock>),
    Hold(#[expect(dead_code, reason = "held, not read")] Option<Hold>),
}

impl Guard {
    /// Whether somebody has it now. What can't be found out counts as taken.
    fn is_taken(&self) -> bool {
        let there = match self {
            Self::Locks(paths) => paths.iter().any(|path| path.exists()),
            Self::Hold(path) => path.exists(),
        };
        there && !matches!(self.take(), Ok(Some(_)))
    }

    /// Takes it for ourselves; `None` if somebody has it.
    fn take(&self) -> std::io::Result<Option<Held>> {
        match self {
            Self::Locks(paths) => {
                let locks = paths.iter().map(|path| Lock::try_acquire(path));
                let locks: Option<Vec<Lock>> = locks.collect::<Result<_, _>>()?;
                Ok(locks.map(Held::Locks))
            }
            Self::Hold(path) => {
                let hold = Hold::alone(path)?;
                let gone = hold.is_none() && !path.exists();
                Ok((hold.is_some() || gone).then_some(Held::Hold(hold)))
            }
        }
    }
}
