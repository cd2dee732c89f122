//! Checks of the archive: its entries, and whether writing it again gives it.

use crate::pack::aci::{Entry, Kind};
use crate::report::text::grouped;

use super::{Check, Image};

pub(super) const STRUCTURE: &str = "structure";

/// Links of the parent's root that a folder of the same name would hide.
const LINKS: [&str; 5] = ["bin", "lib", "lib64", "sbin", "usr/lib"];

/// How many lines a check says of one kind of trouble.
const MOST: usize = 5;

/// Entries as every image of ours has them: sorted, of nobody, of one time,
/// of two modes; and nothing that changes the parent's folders.
pub(super) fn structure(image: &Image) -> Check {
    let entries = &image.whole.entries;
    let mut wrong = image.whole.refused.clone();
    wrong.truncate(MOST);
    let links = if image.manifest().is_some() { LINKS.as_slice() } else { &[] };
    let epoch = image.whole.epoch;
    wrong.extend(entries.iter().filter_map(|entry| oddity(entry, epoch, links)).take(MOST));
    let unsorted = entries.windows(2).find(|pair| pair[0].path >= pair[1].path);
    wrong.extend(unsorted.map(|pair| format!("'{}' stands after it is due", pair[1].path)));
    let count = image.whole.rootfs.len().max(entries.len());
    let what = if entries.is_empty() { "files and folders" } else { "entries" };
    Check::of(STRUCTURE, wrong, format!("{} {what}", grouped(count as u64)))
}

fn oddity(entry: &Entry, epoch: u64, links: &[&str]) -> Option<String> {
    let Entry { path, kind, mode, owner, mtime, .. } = entry;
    let fitting: &[u32] = match kind {
        Kind::Dir => &[0o755],
        Kind::Symlink(_) => &[0o777],
        _ => &[0o644, 0o755],
    };
    let said = if links.contains(&path.as_str()) && *kind == Kind::Dir {
        "is a folder, which hides the parent's link".to_owned()
    } else if *owner != (0, 0) {
        format!("belongs to {}:{}, not 0:0", owner.0, owner.1)
    } else if !fitting.contains(mode) {
        format!("has mode {mode:o}")
    } else if *mtime != epoch {
        format!("is of time {mtime}, others of {epoch}")
    } else {
        return None;
    };
    Some(format!("'{path}' {said}"))
}

/// The same tree, manifest and time, written once more, must be the same
/// image. One by somebody else's program need not be.
pub(super) fn determinism(image: &Image) -> Check {
    const NAME: &str = "determinism";
    let whole = &image.whole;
    if !whole.refused.is_empty() {
        return Check::skipped(NAME, "the tree could not be read as a whole");
    }
    match whole.again() {
        Ok(None) => Check::skipped(NAME, "there is no archive to write again"),
        Ok(Some(again)) if again == whole.id => {
            Check::ok(NAME, "written again from its own tree, it has the same id")
        }
        Ok(Some(again)) => Check::failed(NAME, format!("written again it is {}", again.appc())),
        Err(error) => Check::failed(NAME, crate::report::text::chain(&error)),
    }
}
