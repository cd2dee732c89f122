//! `doctor`: what is lacking is named with what mends it.

use std::path::Path;

use fs_err as fs;
use serde_json::Value;

use super::support::outcome;
use super::{builder, json};

fn line<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let lines = diagnosis["lines"].as_array().unwrap();
    lines
        .iter()
        .find(|line| line["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {diagnosis:#}"))
}

#[test]
fn a_host_without_programs_is_told_all_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for name in ["perl", "gzip"] {
        let real = stage1_builder::proc::find(name).unwrap();
        fs::os::unix::fs::symlink(real, programs.join(name)).unwrap();
    }
    let doctor = || builder(folder.path()).env("PATH", &programs).args(["doctor", "--no-boot"]);
    let (code, diagnosis) = json(doctor());
    assert_eq!(code, 7);
    assert_eq!((&diagnosis["can_build"], &diagnosis["can_run"]), (&false.into(), &false.into()));
    for name in ["gcc", "make", "qemu", "pahole"] {
        let line = line(&diagnosis, name);
        assert_eq!(line["state"], "missing");
        assert!(line["mend"].as_str().unwrap().contains(' '), "{line}");
    }
    assert_eq!(line(&diagnosis, "perl")["state"], "ok");
    assert_eq!(line(&diagnosis, "apt")["state"], "warning", "kernel.org is there as well");

    let (code, stdout, _) = outcome(doctor());
    assert_eq!(code, 7);
    assert!(stdout.ends_with("a build would not work, a run would not work\n"), "{stdout}");
    let (_, stdout, _) = outcome(doctor().arg("-q"));
    assert!(stdout.contains("MISSING  gcc") && !stdout.contains("  ok "), "{stdout}");
}

#[test]
fn a_folder_that_can_not_be_written_is_told_with_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = builder(folder.path()).env("S1B_OUT_DIR", "/proc/none");
    let (code, diagnosis) = json(doctor.args(["doctor", "--no-boot"]));
    assert_eq!(code, 7);
    let out = line(&diagnosis, "output folder");
    assert_eq!(out["state"], "missing");
    assert!(out["mend"].as_str().unwrap().contains("S1B_OUT_DIR"), "{out}");
    for name in ["cache folder", "clock", "memory", "limits", "file system"] {
        assert_ne!(line(&diagnosis, name)["state"], "missing", "{name}");
    }
}

#[test]
fn a_clock_before_the_sources_own_date_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("cache/work-v1/0123456789abcdef-x86_64-0");
    fs::create_dir_all(workspace.join("linux")).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let stamp = format!(r#"{{"digest": "{digest}", "epoch": 33000000000}}"#);
    fs::write(workspace.join("source.json"), stamp).unwrap();
    let (code, diagnosis) = json(builder(folder.path()).args(["doctor", "--no-boot"]));
    let clock = line(&diagnosis, "clock");
    assert_eq!((code, &clock["state"]), (7, &"missing".into()), "{clock}");
    assert!(clock["detail"].as_str().unwrap().contains("before 3015-"), "{clock}");
}

#[test]
fn nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    _ = json(builder(folder.path()).args(["doctor", "--no-boot"]));
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(names(folder.path()), 0, "a look makes no folders");
}
