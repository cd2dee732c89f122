//! Kernels that others have built: Debian's packages through apt, and files
//! of a user's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::{self, Program};

#[path = "support/cache.rs"]
mod cache;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
use not_run::not_run;
use support::{builder, outcome};

/// Network and apt's lists are what a host can lack.
const LACKING: [i32; 2] = [4, 5];

fn tool(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let program = builder(folder).env("S1B_CACHE_DIR", cache::shared_cache()).args(words);
    outcome(program)
}

/// The image of Debian's 6.1 as plain files; none, and said, where the host
/// can't have it.
fn debians(folder: &Path) -> Option<()> {
    if proc::find("apt-get").is_none() {
        not_run("Debian's kernel", "there is no apt on this host");
        return None;
    }
    let (code, _, stderr) =
        tool(folder, &["build", "--prebuilt", "debian:6.1", "--format", "oci,dir"]);
    if LACKING.contains(&code) {
        not_run("Debian's kernel", &stderr);
        return None;
    }
    assert_eq!(code, 0, "{stderr}");
    Some(())
}

/// The one folder in `aci-files` with an end of its name, or without one.
fn image(folder: &Path, oci: bool) -> String {
    let entries = fs::read_dir(folder.join("aci-files")).unwrap().flatten();
    let mut names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.find(|name| name.ends_with(".oci") == oci).unwrap()
}

/// One image, and all that can be seen of it: what is in it, that rkt does not
/// get it, that it boots with its own modules; and the same kernel as a file.
#[test]
fn debians_kernel_is_packaged_refused_for_rkt_and_boots_with_its_modules() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if debians(folder).is_none() {
        return;
    }
    let name = image(folder, false);
    let release = name.strip_prefix("linux-").unwrap();
    assert!(release.starts_with("6.1.") && release.ends_with("-amd64"), "{release}");
    let files = folder.join("aci-files").join(&name);
    let modules = files.join("usr/lib/modules").join(release);
    for path in
        ["modules.dep", "kernel/fs/9p/9p.ko", "build/Module.symvers", "build/scripts/mod/modpost"]
    {
        assert!(modules.join(path).is_file(), "{path}");
    }
    let provenance = fs::read(modules.join("provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_slice(&provenance).unwrap();
    let packages = provenance["prebuilt"].as_array().unwrap();
    assert!(packages.len() >= 4, "{provenance}");
    for package in packages {
        assert_eq!(package["verified"]["by"], "distribution-archive", "{package}");
        assert_eq!(package["digest"].as_str().unwrap().len(), "sha256:".len() + 64, "{package}");
    }

    let (code, _, stderr) = tool(folder, &["build", "--prebuilt", "debian:6.1", "--format", "aci"]);
    assert_eq!(code, 11, "{stderr}");
    for lack in ["no reboot change", "CONFIG_NET_9P_VIRTIO=y is not built in", "and a suffix"] {
        assert!(stderr.contains(lack), "{stderr}");
    }

    boots(folder, release);
    own(folder, &files, release);
}

/// The host's own root over 9p, a module that was not loaded, and headers.
fn boots(folder: &Path, release: &str) {
    let script = "uname -r; modprobe dummy && grep -c ^dummy /proc/modules; \
                  tr -d '\"' </lib/modules/$(uname -r)/build/include/generated/utsrelease.h | cut -d' ' -f3";
    let run = ["run", "--kernel", "debian:6.1", "--accel", "tcg", "--timeout", "2m", "--"];
    let (code, stdout, stderr) = tool(folder, &[&run[..], &["sh", "-c", script]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout, format!("{release}\n1\n{release}\n"), "{stderr}");
}

/// The same files as if they were a user's: the lists of modules are made
/// anew and are the same.
fn own(folder: &Path, files: &Path, release: &str) {
    let given = folder.join("given");
    let modules = files.join("usr/lib/modules").join(release);
    Program::new("cp").arg("-a").args([&modules, &given]).run().unwrap();
    for entry in fs::read_dir(&given).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("modules.") && !name.contains("builtin") && name != "modules.order" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::remove_file(given.join("modules.builtin.bin")).unwrap();
    fs::remove_file(given.join("modules.builtin.alias.bin")).unwrap();
    let kernel = files.join("boot/vmlinuz");
    let build = |headers: &str, format: &str| {
        let words = ["build", "--kernel-image", kernel.to_str().unwrap(), "--headers", headers];
        let more = ["--modules", given.to_str().unwrap(), "--format", format, "--out-dir", "own"];
        tool(folder, &[&words[..], &more].concat())
    };
    let headers = modules.join("source");
    let (code, stdout, stderr) = build(headers.to_str().unwrap(), "dir");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(&format!("own/linux-{release} with id sha256-")), "{stdout}");
    let made = folder.join("own").join(format!("linux-{release}/usr/lib/modules/{release}"));
    let read = |folder: &Path| fs::read(folder.join("modules.dep")).unwrap();
    assert_eq!(read(&made), read(&modules));
    assert!(made.join("build/Module.symvers").is_file());
    assert!(!given.join("modules.dep").exists(), "what is the user's is only read");

    let (code, _, stderr) = build(headers.to_str().unwrap(), "aci");
    assert!(code == 11 && stderr.contains("no reboot change"), "{code}: {stderr}");
    let (code, _, stderr) = build("/proc", "dir");
    assert!(code == 4 && stderr.contains("neither a Makefile nor"), "{code}: {stderr}");
}

#[test]
fn what_is_no_kernel_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text"), "no kernel").unwrap();
    for (words, code, said) in [
        (&["build", "--prebuilt", "debian:newest"][..], 2, "is no kernel of Debian's"),
        (&["build", "6.1", "--prebuilt", "debian:6.1"], 2, "cannot be used with"),
        (&["build", "--prebuilt", "debian:6.1", "--vmlinux", "debug"], 2, "there is none"),
        (&["build", "--prebuilt", "debian:6.1", "--arch", "arm64"], 2, "is for x86_64"),
        (&["build", "--kernel-image", "text"], 11, "is not a bzImage"),
        (&["build", "--kernel-image", "absent"], 4, "the kernel absent"),
        (&["run", "--kernel", "debian:x", "--", "true"], 2, "--kernel=debian:6.1"),
    ] {
        let program = builder(folder).env("S1B_CACHE_DIR", folder.join("cache")).args(words);
        let (found, _, stderr) = outcome(program);
        assert!(found == code && stderr.contains(said), "{words:?}: {found}: {stderr}");
    }
}
