//! What lies in the store.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use walkdir::WalkDir;

use super::super::{Found, Store};
use super::{Bucket, Item};

/// What was taken out of an image that is not in the store may be of one that
/// lies elsewhere, and be asked for again soon.
const SOON: Duration = Duration::from_secs(24 * 60 * 60);

/// What tells that a thing is in use.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    /// Locks beside it, held by who works on it.
    Locks(Vec<PathBuf>),
    /// A lock on the file or folder itself, shared by those who use it.
    Hold(PathBuf),
}

/// Everything in the store.
pub(super) fn items(store: &Store) -> Vec<Item> {
    let images: Vec<Found> = store.images().all();
    let mut items = downloads(store);
    items.extend(workspaces(store));
    items.extend(self::images(store, &images));
    items.extend(kernels(store, &images));
    items.extend(containers(store));
    items.extend(toolchains(store));
    items.extend(host(store));
    items
}

fn item(bucket: Bucket, name: String, paths: Vec<PathBuf>, guard: Guard) -> Item {
    Item {
        bucket,
        name,
        size: paths.iter().map(|path| size(path)).sum(),
        used: used(&paths),
        in_use: guard.is_taken(),
        garbage: false,
        note: false,
        paths,
        guard,
    }
}

fn note(bucket: Bucket, name: String, path: PathBuf) -> Item {
    Item { note: true, ..item(bucket, name, vec![path.clone()], Guard::Hold(path)) }
}

/// Digits of a digest that tell it from others.
const DIGITS: usize = 12;

fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}

/// Archives with what is beside them, and downloads under way.
fn downloads(store: &Store) -> Vec<Item> {
    let mut items = Vec::new();
    for folder in entries(&store.downloads()).filter(|path| path.is_dir()) {
        let provider = name(&folder);
        for path in entries(&folder) {
            let file = name(&path);
            let hidden = file.strip_prefix('.');
            let beside = |suffix: &str| folder.join(format!("{file}{suffix}"));
            if let Some(archive) = hidden.and_then(|file| file.strip_suffix(".partial")) {
                let lock = folder.join(format!(".{archive}.lock"));
                let paths = vec![path.clone(), beside(".json")];
                let shown = format!("{provider}/{archive} (not whole)");
                items.push(item(Bucket::Downloads, shown, paths, Guard::Locks(vec![lock])));
            } else if hidden.is_none() && !file.ends_with(".json") {
                let paths = vec![beside(".json"), path.clone()];
                let shown = format!("{provider}/{file}");
                items.push(item(Bucket::Downloads, shown, paths, Guard::Hold(path)));
            } else if hidden.is_none() && !path.with_extension("").is_file() {
                // An answer that is remembered, or what was found out of a
                // source of the user's.
                let shown = format!("{provider}/{file}");
                items.push(note(Bucket::Downloads, shown, path));
            }
        }
    }
    items
}

/// Trees with their objects.
fn workspaces(store: &Store) -> Vec<Item> {
    let folders = entries(&store.workspaces()).filter(|path| path.is_dir());
    let item = |path: PathBuf| {
        let lock = |end: &str| path.with_file_name(format!("{}{end}", name(&path)));
        let locks = vec![lock(".lock"), lock(".make.lock")];
        item(Bucket::Workspaces, name(&path), vec![path], Guard::Locks(locks))
    };
    folders.map(item).collect()
}

fn images(store: &Store, whole: &[Found]) -> Vec<Item> {
    let images = store.images();
    let item = |key: crate::digest::Digest| {
        let folder = images.folder(&key);
        let found = whole.iter().find(|found| found.key == key);
        let shown = match found {
            Some(Found { record, .. }) => {
                format!("{} {} {}", short(record.id.hex()), record.format, record.release)
            }
            None => format!("{} (not whole)", short(key.hex())),
        };
        let one = item(Bucket::Images, shown, vec![folder.clone()], Guard::Hold(folder));
        Item { used: found.map_or(one.used, |found| found.used), garbage: found.is_none(), ..one }
    };
    images.keys().into_iter().map(item).collect()
}

/// Kernels that were taken out of images. Those of images that are gone are
/// of no use.
fn kernels(store: &Store, images: &[Found]) -> Vec<Item> {
    let known: HashSet<&str> = images.iter().map(|found| found.record.file.hex()).collect();
    let folder = store.kernels();
    let of = entries(&folder).filter(|path| path.extension().is_none_or(|end| end != "lock"));
    let item = |path: PathBuf| {
        let digest = name(&path);
        let shown = match images.iter().find(|found| found.record.file.hex() == digest) {
            Some(Found { record, .. }) => format!("of {} {}", record.format, record.release),
            None => format!("of an image elsewhere, {}", short(&digest)),
        };
        let one = item(Bucket::Kernels, shown, vec![path.clone()], Guard::Hold(path));
        let age = SystemTime::now().duration_since(one.used).unwrap_or_default();
        Item { garbage: age > SOON && !known.contains(digest.as_str()), ..one }
    };
    of.map(item).collect()
}

/// Unpacked images, and the blobs that they were unpacked of.
fn containers(store: &Store) -> Vec<Item> {
    let folder = store.containers();
    let visible = |path: &PathBuf| {
        !name(path).starts_with('.') && path.extension().is_none_or(|end| end != "lock")
    };
    let unpacked = entries(&folder.join("images")).filter(visible).map(|path| {
        let lock = path.with_file_name(format!("{}.lock", name(&path)));
        let one = item(
            Bucket::Containers,
            short(&name(&path)).to_owned(),
            vec![path.clone()],
            Guard::Hold(path.clone()),
        );
        Item { in_use: one.in_use || Guard::Locks(vec![lock]).is_taken(), ..one }
    });
    let blobs = entries(&folder.join("blobs/sha256")).filter(visible).map(|path| {
        let digest = name(&path);
        let lock = path.with_file_name(format!("{}.lock", digest.trim_end_matches(".part")));
        item(
            Bucket::Containers,
            format!("blob {}", short(&digest)),
            vec![path],
            Guard::Locks(vec![lock]),
        )
    });
    let names = entries(&folder.join("names")).filter(visible);
    let names = names.map(|path| note(Bucket::Containers, format!("name {}", name(&path)), path));
    unpacked.chain(blobs).chain(names).collect()
}

/// Toolchains with their records. What is not whole, because it is under way
/// or its process was killed, is guarded by the lock of the archive that it
/// comes from.
fn toolchains(store: &Store) -> Vec<Item> {
    let folders = entries(&store.toolchains()).filter(|path| path.is_dir());
    let item = |path: PathBuf| {
        let file = name(&path);
        let shown = file.trim_start_matches('.').trim_end_matches(".unpacking");
        let record = path.with_file_name(format!("{file}.json"));
        if record.is_file() {
            let paths = vec![record, path.clone()];
            return item(Bucket::Toolchains, shown.to_owned(), paths, Guard::Hold(path));
        }
        let archive = shown.rsplit_once('-').map_or(shown, |(archive, _)| archive);
        let lock = store.downloads().join(format!("crosstool/.{archive}.tar.xz.lock"));
        let shown = format!("{archive} (not whole)");
        let one = item(Bucket::Toolchains, shown, vec![path], Guard::Locks(vec![lock]));
        Item { garbage: true, ..one }
    };
    folders.map(item).collect()
}

fn host(store: &Store) -> Vec<Item> {
    let files = entries(&store.host()).filter(|path| !name(path).ends_with(".lock"));
    files.map(|path| note(Bucket::Host, name(&path), path)).collect()
}

/// What is in a folder, sorted; a folder that is not there has nothing.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| !name(path).starts_with(crate::fsutil::TEMPORARY));
    paths.sort_unstable();
    paths.into_iter()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Bytes on the disk, of a file or a folder with all that is in it.
fn size(path: &Path) -> u64 {
    let blocks = |entry: walkdir::DirEntry| entry.metadata().map_or(0, |found| found.blocks());
    WalkDir::new(path).into_iter().flatten().map(blocks).sum::<u64>() * 512
}

/// When the youngest of the files or folders was last read or written; of a
/// folder only itself counts, and it is read by anybody who lists it.
fn used(paths: &[PathBuf]) -> SystemTime {
    let time = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        let read = found.accessed().ok().filter(|_| found.is_file());
        found.modified().ok().max(read)
    };
    paths.iter().filter_map(time).max().unwrap_or(SystemTime::UNIX_EPOCH)
}
