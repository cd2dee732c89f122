//! `kernels`: what providers have, and what the store has of it.

use std::path::Path;

use stage1_builder::proc::Program;

use super::images::{Parts, in_store};
use super::mirror::Mirror;
use super::support::outcome;
use super::{builder, json};

const RELEASES: &str = r#"{"latest_stable": {"version": "6.18.3"}, "releases": [
    {"iseol": false, "version": "6.19-rc4", "moniker": "mainline",
     "released": {"timestamp": 1767500000, "isodate": "2026-01-04"}},
    {"iseol": false, "version": "6.18.3", "moniker": "stable",
     "released": {"timestamp": 1767400000, "isodate": "2026-01-02"}},
    {"iseol": true, "version": "6.17.13", "moniker": "stable",
     "released": {"timestamp": 1766000000, "isodate": "2025-12-18"}}]}"#;

/// kernel.org alone, at this place.
fn kernels(folder: &Path, base: &str) -> Program {
    builder(folder)
        .env("S1B_KERNEL_SOURCES", "kernel.org")
        .env("S1B_KERNEL_ORG_URL", base)
        .env("S1B_KERNEL_ORG_RELEASES_URL", format!("{base}/releases.json"))
        .arg("kernels")
}

#[test]
fn a_release_comes_with_its_date_its_end_and_what_the_store_has() {
    let mirror = Mirror::start();
    mirror.put("/releases.json", RELEASES);
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::new();
    let image = parts.write("a.aci");
    let id = in_store(&folder.path().join("cache"), &image, "6.17.13");
    let base = mirror.url("");

    let (code, answer) = json(kernels(folder.path(), &base));
    assert_eq!(code, 0);
    let listed = &answer["providers"][0];
    assert_eq!(listed["provider"], "kernel.org");
    assert!(listed["error"].is_null());
    let versions: Vec<_> = listed["kernels"].as_array().unwrap().iter().collect();
    assert_eq!(versions.len(), 3, "{answer:#}");
    assert_eq!(versions[0]["version"], "6.19-rc4");
    let old = &versions[2];
    assert_eq!((&old["version"], &old["moniker"]), (&"6.17.13".into(), &"stable".into()));
    assert_eq!((&old["released"], &old["end_of_life"]), (&"2025-12-18".into(), &true.into()));
    assert_eq!((&old["images"][0], &old["source"]), (&id.into(), &false.into()));

    let (code, stdout, _) = outcome(kernels(folder.path(), &base));
    assert_eq!(code, 0);
    let line = stdout.lines().find(|line| line.contains("6.17.13")).unwrap();
    for part in ["stable", "2025-12-18", "end of life", "here: 1 image"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let (_, stable) = json(kernels(folder.path(), &base).arg("stable"));
    assert_eq!(stable["providers"][0]["kernels"][0]["version"], "6.18.3");
    assert_eq!(stable["providers"][0]["kernels"].as_array().unwrap().len(), 1);
}

#[test]
fn a_series_that_is_not_listed_is_looked_for_and_fixes_go_by_its_version() {
    let mirror = Mirror::start();
    mirror.put("/releases.json", RELEASES);
    mirror.put("/v4.x/sha256sums.asc", "0  linux-4.9.337.tar.xz\n0  linux-4.9.336.tar.xz\n");
    let folder = tempfile::tempdir().unwrap();
    let base = mirror.url("");
    let (code, answer) = json(kernels(folder.path(), &base).args(["4.9", "--fixes"]));
    assert_eq!(code, 0);
    let kernel = &answer["providers"][0]["kernels"][0];
    assert_eq!(kernel["version"], "4.9.337");
    assert!(kernel["moniker"].is_null() && kernel["released"].is_null());
    let fixes = kernel["fixes"].as_array().unwrap();
    assert!(fixes.iter().any(|fix| fix["released"] == "5.11"), "{fixes:?}");
    assert!(fixes.iter().all(|fix| fix["certainty"] == "possible"));

    let (code, _, stderr) = outcome(kernels(folder.path(), &base).arg("--fixes"));
    assert_eq!(code, 2, "of every kernel would be too much: {stderr}");
    assert!(stderr.contains("hint: name one"), "{stderr}");
    let (code, answer) = json(kernels(folder.path(), &base).arg("7.99"));
    assert_eq!(code, 4, "{answer:#}");
}

#[test]
fn who_is_not_reached_is_said_and_the_rest_is_shown() {
    // Nobody listens on the discard port of the loopback.
    let nowhere = "http://127.0.0.1:9";
    let folder = tempfile::tempdir().unwrap();
    let (code, answer) = json(kernels(folder.path(), nowhere));
    assert_eq!(code, 5);
    let error = answer["providers"][0]["error"].as_str().unwrap();
    assert!(error.contains("127.0.0.1:9"), "{error}");

    let parts = Parts::new();
    let image = parts.write("a.aci");
    let id = in_store(&folder.path().join("cache"), &image, "4.9.6");
    let (code, answer) = json(kernels(folder.path(), nowhere));
    assert_eq!(code, 0, "there is something to choose from");
    assert_eq!(answer["others"][0]["version"], "4.9.6");
    assert_eq!(answer["others"][0]["images"][0], id);
    let (_, stdout, _) = outcome(kernels(folder.path(), nowhere).args(["4.9.6", "--fixes"]));
    for part in
        ["not reached: can't reach", "of other sources\n  4.9.6  here: 1 image", "may apply: "]
    {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}
