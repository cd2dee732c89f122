//! Whether a path of the machine that built an image is in it.

use std::path::{Path, PathBuf};

use regex::bytes::Regex;

use crate::compile::OBJECT_FOLDER;
use crate::content::{Content, Node};
use crate::settings::Settings;

use super::{Check, Image};

const NAME: &str = "host-paths";
/// How many places are told.
const MOST: usize = 10;

/// Folders of this machine that no image may name.
#[derive(Debug, Clone, Default)]
pub struct HostPaths(Vec<PathBuf>);

impl HostPaths {
    /// The folders in which builds with these settings happen.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let folders = [Some(&settings.cache_dir), settings.build_dir.as_ref()];
        let real = |path: &PathBuf| {
            let absolute = std::path::absolute(path).ok();
            [absolute, fs_err::canonicalize(path).ok()]
        };
        let mut paths: Vec<PathBuf> =
            folders.into_iter().flatten().flat_map(real).flatten().collect();
        // A folder as short as /tmp stands in scripts of the kernel's own.
        paths.retain(|path| path.components().count() > 2);
        paths.sort_unstable();
        paths.dedup();
        Self(paths)
    }
}

/// Looks through names, links, files and the kernel for this host's folders,
/// and for what any host's workspace looks like.
pub(super) fn check(image: &Image, host: &HostPaths) -> Check {
    let Some(pattern) = pattern(&host.0) else {
        return Check::skipped(NAME, "the folders are too many to search for");
    };
    let mut found = Vec::new();
    let mut look = |path: &str, bytes: &[u8]| {
        if let Some(what) = pattern.find(bytes) {
            found.push(format!("{path} has '{}'", String::from_utf8_lossy(what.as_bytes())));
        }
    };
    for (path, node) in image.whole.rootfs.iter() {
        look(path, path.as_bytes());
        match node {
            Node::File { content: Content::Bytes(bytes), .. } => look(path, bytes),
            Node::Symlink { target } => look(path, target.as_bytes()),
            _ => {}
        }
    }
    if let Some(kernel) = &image.vmlinux {
        look("the uncompressed kernel", kernel);
    }
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Check::of(NAME, found, "no file names a folder of the machine that built it")
}

/// An absolute path to an object folder or a workspace of ours, on whichever
/// machine, and the folders given.
fn pattern(folders: &[PathBuf]) -> Option<Regex> {
    let literal = |path: &PathBuf| regex::escape(&Path::to_string_lossy(path));
    let objects = format!("(?:/[A-Za-z0-9_.+@-]+)+/{}", regex::escape(OBJECT_FOLDER));
    let workspace = "(?:/[A-Za-z0-9_.+@-]+)+/work-v[0-9]+/[0-9a-f]{16}-".to_owned();
    let all: Vec<String> = folders.iter().map(literal).chain([objects, workspace]).collect();
    Regex::new(&format!("(?-u:{})", all.join("|"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_of_any_machine_are_known() {
        let pattern = pattern(&[PathBuf::from("/home/me/(builds)")]).unwrap();
        for leak in [
            "# 1 \"/var/ci/linux/stage1-objects/include\"",
            "DW_AT_comp_dir /srv/cache/work-v1/0123456789abcdef-x86_64-0/linux",
            "cc -I/home/me/(builds)/x",
        ] {
            assert!(pattern.is_match(leak.as_bytes()), "{leak}");
        }
        for fine in ["../stage1-objects/x", "work-v1", "/home/me", "/tmp/x.o"] {
            assert!(!pattern.is_match(fine.as_bytes()), "{fine}");
        }
    }
}
