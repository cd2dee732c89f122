//! Where compiled kernels stay between runs.

use std::path::{Path, PathBuf};

/// Kernels, sources and workspaces that all tests share and that stay between
/// runs: compiling a kernel takes minutes.
pub(crate) fn shared_cache() -> PathBuf {
    let default = || {
        let home = std::env::var_os("HOME").expect("HOME is set");
        Path::new(&home).join(".cache/stage1-builder-test")
    };
    std::env::var_os("S1B_TEST_CACHE").map_or_else(default, PathBuf::from)
}
