//! The tarballs of the folder that `./test --kernels` was given.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "which of many it is, is worth a line")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Proves something on each; by default there is none. One that fails doesn't
/// keep the others from being tried.
pub(crate) fn each(prove: impl Fn(&Path)) {
    let Some(folder) = std::env::var_os("S1B_TEST_SOURCES") else { return };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut tarballs: Vec<PathBuf> = files.filter(|path| is_tarball(path)).collect();
    tarballs.sort();
    assert!(!tarballs.is_empty(), "no tarball in the folder of S1B_TEST_SOURCES");
    tarballs.retain(|tarball| {
        println!("{}", tarball.display());
        catch_unwind(AssertUnwindSafe(|| prove(tarball))).is_err()
    });
    assert!(tarballs.is_empty(), "failed: {tarballs:#?}");
}

fn is_tarball(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".tar") || name.ends_with(".tgz")
}
