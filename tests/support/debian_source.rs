//! Kernel sources out of this host's apt.

use super::cache::shared_cache;
use super::support::{builder, outcome};

/// What a host can lack: a source of this series in apt's lists, a way to the
/// archive.
const LACKING: [i32; 2] = [4, 5];

/// Sees to it that the shared cache has Debian's source of this series, or
/// gives the reason why this host can't have it.
pub(crate) fn debian_has(series: &str) -> Result<(), String> {
    if stage1_builder::proc::find("apt-get").is_none() {
        return Err("there is no apt on this host".to_owned());
    }
    let project = tempfile::tempdir().expect("a temporary folder");
    let plan = builder(project.path()).env("S1B_CACHE_DIR", shared_cache()).args([
        "build",
        series,
        "--kernel-sources",
        "debian",
        "--dry-run",
    ]);
    let (code, _, stderr) = outcome(plan);
    if LACKING.contains(&code) {
        let error = stderr.lines().skip_while(|line| !line.starts_with("error:"));
        let error = error.take_while(|line| !line.starts_with("hint:")).map(str::trim);
        return Err(error.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(code, 0, "{stderr}");
    Ok(())
}
