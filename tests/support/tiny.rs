//! Configurations that compile in a minute.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::proc::Program;

use super::cache::shared_cache;

/// Debian's source of a series in the shared cache, as a plain tarball.
pub(crate) fn source(series: &str) -> PathBuf {
    let found = Program::new("find")
        .arg(shared_cache().join("downloads-v1"))
        .args(["-name", &format!("linux-source-{series}_*.tar.xz")])
        .run()
        .unwrap();
    PathBuf::from(String::from_utf8(found).unwrap().lines().next().expect("a tarball"))
}

/// What `allnoconfig` makes of `options` in this source for make's `ARCH`;
/// kept under `name`, because it takes an unpacked tree.
pub(crate) fn config(source: &Path, arch: &str, options: &str, name: &str) -> String {
    let kept = shared_cache().join(name);
    if let Ok(text) = fs::read_to_string(&kept)
        && text.ends_with(&format!("# from\n{}", commented(options)))
    {
        return text;
    }
    let folder = tempfile::tempdir().unwrap();
    let (tree, objects) = (folder.path().join("linux"), folder.path().join("objects"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(&objects).unwrap();
    let unpack = Program::new("tar").arg("-xf").arg(source).arg("-C").arg(&tree);
    unpack.arg("--strip-components=1").run().unwrap();
    fs::write(folder.path().join("tiny"), options).unwrap();
    let prefix = if arch == "arm64" { "aarch64-linux-gnu-" } else { "" };
    Program::new("make")
        .args([format!("O={}", objects.display()), format!("ARCH={arch}")])
        .args([format!("CROSS_COMPILE={prefix}"), "allnoconfig".into()])
        .env("KCONFIG_ALLCONFIG", folder.path().join("tiny"))
        .dir(&tree)
        .run()
        .unwrap();
    let text = fs::read_to_string(objects.join(".config")).unwrap();
    let text = format!("{text}# from\n{}", commented(options));
    fs::write(&kept, &text).unwrap();
    text
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}
