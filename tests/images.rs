//! `stage1-builder images`: what is in the store, and what becomes of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde_json::Value;
use stage1_builder::digest::Digest;
use stage1_builder::fsutil::{Hold, Lock};
use stage1_builder::settings::Format;
use stage1_builder::store::{Record, Store, seal};

mod support;
use support::{builder, outcome};

/// A store with images of a few bytes each.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("cache").join(name)
    }

    fn store(&self) -> Store {
        Store::new(&self.path(""))
    }

    /// Adds an image whose id begins with these digits; its file and id.
    fn image(&self, digits: &str, kernel: &str, format: Format) -> (PathBuf, String) {
        let bytes = format!("{digits} {kernel}").repeat(1_000).into_bytes();
        let id: Digest = format!("sha256:{digits:0<64}").parse().unwrap();
        let key = Digest::sha256(digits.as_bytes());
        let images = self.store().images();
        let mut new = images.start(&key, format).unwrap();
        new.file().write_all(&bytes).unwrap();
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        new.commit(&Record {
            format,
            id: id.clone(),
            file: Digest::sha256(&bytes),
            size: bytes.len() as u64,
            name: "example.com/kernel".to_owned(),
            kernel: kernel.to_owned(),
            release: format!("{kernel}-test"),
            labels: BTreeMap::from([label("kernelversion", kernel), label("os", "linux")]),
            source: "kernel.org linux.tar.xz".to_owned(),
        })
        .unwrap();
        (images.file(&key, format), id.to_string())
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let run = builder(self.folder.path()).env("S1B_CACHE_DIR", self.path(""));
        outcome(run.arg("images").args(arguments))
    }

    fn well(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.well(&[arguments, &["--format", "json"]].concat())).unwrap()
    }

    /// A file that was last used so many days ago.
    fn old(&self, name: &str, days: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; 10_000]).unwrap();
        age(&path, days);
        path
    }
}

fn age(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
    let times = std::fs::FileTimes::new().set_accessed(time).set_modified(time);
    fs::File::open(path).unwrap().into_parts().0.set_times(times).unwrap();
}

#[test]
fn what_is_there_is_listed_and_shown() {
    let bench = Bench::new();
    assert_eq!(bench.well(&[]), "");
    assert_eq!(bench.json(&[]), Value::Array(Vec::new()));
    bench.image("aaaaaaaa1", "6.12.1", Format::Aci);
    let (file, id) = bench.image("bbbbbbbb2", "4.9.229", Format::Oci);
    let table = bench.well(&[]);
    let line = table.lines().find(|line| line.starts_with("bbbbbbbb2000")).unwrap();
    for part in ["oci", "4.9.229-test", "17.0 kB", "example.com/kernel,kernelversion=4.9.229"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(line.ends_with("kernel.org linux.tar.xz"), "{line}");
    let all = bench.json(&[]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = &bench.json(&["show", "bbbbbbbb"])[0];
    assert!(all.as_array().unwrap().contains(one));
    for (name, value) in [
        ("id", id.replace(':', "-").as_str()),
        ("format", "oci"),
        ("kernel", "4.9.229"),
        ("release", "4.9.229-test"),
        ("source", "kernel.org linux.tar.xz"),
        ("file", file.to_str().unwrap()),
    ] {
        assert_eq!(one[name], value);
    }
    assert!(one["made"].as_str().unwrap().ends_with('Z') && one["size"] == 17_000);
    // As every verb writes it; an OCI digest's colon is taken, too.
    let dashed = id.replace(':', "-");
    assert!([&id, &dashed].iter().all(|id| bench.well(&["show", id]).contains(&dashed)));
}

#[test]
fn an_id_must_be_one() {
    let bench = Bench::new();
    bench.image("aaaaaaaa1", "6.12.1", Format::Aci);
    bench.image("aaaaaaaa2", "6.12.2", Format::Aci);
    for (id, says) in [
        ("aaaaaaaa", "2 images have an id that begins with aaaaaaaa"),
        ("aaaaaaa", "no image in the store is aaaaaaa"),
        ("cccccccc", "no image in the store is cccccccc"),
    ] {
        for verb in [vec!["show", id], vec!["rm", "aaaaaaaa1", id], vec!["export", id, "x"]] {
            let (code, _, stderr) = bench.run(&verb);
            assert!(code == 4 && stderr.contains(says) && stderr.contains("hint:"), "{stderr}");
        }
    }
    assert_eq!(bench.json(&[]).as_array().unwrap().len(), 2, "nothing was removed");
}

#[test]
fn images_are_removed_with_their_kernels_but_not_under_anybody() {
    let bench = Bench::new();
    let (file, _) = bench.image("aaaaaaaa", "6.12.1", Format::Aci);
    bench.image("bbbbbbbb", "6.12.2", Format::Dir);
    let digest = Digest::sha256_of_file(&file).unwrap();
    let kernel = bench.old(&format!("kernels-v1/{}/kernel", digest.hex()), 0);
    let held = Hold::of(file.parent().unwrap()).unwrap();
    let (code, _, stderr) = bench.run(&["rm", "aaaaaaaa"]);
    assert!(code == 12 && stderr.contains("is in use by another process"), "{code} {stderr}");
    drop(held);
    let running = Hold::of(kernel.parent().unwrap()).unwrap();
    let said = bench.well(&["rm", "aaaaaaaa", "bbbbbbbb"]);
    assert_eq!(said.lines().count(), 2);
    assert!(!file.exists() && kernel.exists(), "a machine runs on the kernel");
    drop(running);
    bench.image("aaaaaaaa", "6.12.1", Format::Aci);
    bench.well(&["rm", "aaaaaaaa"]);
    assert!(!kernel.exists());
}

#[test]
fn tidying_goes_over_everything_and_says_what_it_freed() {
    let bench = Bench::new();
    let (first, _) = bench.image("aaaaaaaa", "6.12.1", Format::Aci);
    let (second, _) = bench.image("bbbbbbbb", "6.12.2", Format::Aci);
    for file in [first.parent().unwrap(), &first.with_file_name("record.json")] {
        age(file, 40);
    }
    let archive = bench.old("downloads-v1/kernel.org/linux-4.4.tar.xz", 50);
    bench.old("downloads-v1/kernel.org/linux-4.4.tar.xz.json", 50);
    let partial = bench.old("downloads-v1/kernel.org/.linux-4.9.tar.xz.partial", 50);
    let tree = bench.old("work-v1/0123-x86_64-0/linux/Makefile", 50);
    age(&bench.path("work-v1/0123-x86_64-0"), 50);
    let kernel = bench.old("kernels-v1/0123/kernel", 50);
    age(&bench.path("kernels-v1/0123"), 50);
    let container = bench.old("containers-v1/images/0123/rootfs.squashfs", 50);
    age(&bench.path("containers-v1/images/0123"), 50);
    let blob = bench.old("containers-v1/blobs/sha256/0123", 50);
    let host = bench.old("host-v1/kvm.json", 50);
    let all = [&first, &archive, &partial, &tree, &kernel, &container, &blob, &host, &second];
    let there = || all.iter().filter(|path| path.exists()).count();

    // Nothing is done for show, and without limits little.
    let dry = bench.json(&["gc", "--dry-run", "--older-than", "30d"]);
    assert_eq!((dry["dry_run"].as_bool(), there()), (Some(true), 9));
    assert_eq!(dry["removed"].as_array().unwrap().len(), 8, "{dry:#}");
    let said = bench.well(&["gc"]);
    assert!(!kernel.exists() && there() == 8, "of an image that is gone: {said}");

    // What somebody uses stays.
    let locks = [
        Lock::try_acquire(&bench.path("work-v1/0123-x86_64-0.lock")).unwrap().unwrap(),
        Lock::try_acquire(&bench.path("downloads-v1/kernel.org/.linux-4.9.tar.xz.lock"))
            .unwrap()
            .unwrap(),
    ];
    let holds = [first.parent().unwrap(), container.parent().unwrap(), &archive]
        .map(|path| Hold::of(path).unwrap());
    let some = bench.json(&["gc", "--older-than", "30d"]);
    assert_eq!(some["removed"].as_array().unwrap().len(), 2, "{some:#}");
    assert!(!blob.exists() && !host.exists() && there() == 6);
    for bucket in ["images", "workspaces", "containers"] {
        assert_eq!(some["buckets"][bucket]["in_use"], 1, "{some:#}");
    }
    assert_eq!(some["buckets"]["downloads"]["in_use"], 2, "{some:#}");
    drop((locks, holds));

    let rest = bench.json(&["gc", "--older-than", "30d", "--keep", "1"]);
    assert_eq!(rest["buckets"]["images"]["left"], 1, "the one that was used last");
    assert!(second.exists() && !first.exists() && tree.exists(), "{rest:#}");
    let table = bench.well(&["gc", "--max-size", "0"]);
    assert_eq!(there(), 0, "{table}");
    let total: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert!(total[0] == "total" && total[2] == "kB" && total[3..] == ["0", "B", "0"], "{table}");
    assert!(bench.json(&[]).as_array().unwrap().is_empty());
}

#[test]
fn flipped_bytes_are_found_named_and_taken_out() {
    let bench = Bench::new();
    let (file, id) = bench.image("aaaaaaaa", "6.12.1", Format::Aci);
    bench.image("bbbbbbbb", "6.12.2", Format::Aci);
    let kernel = bench.old("kernels-v1/0123/vmlinux", 0);
    seal(kernel.parent().unwrap()).unwrap();
    let archive = bench.old("downloads-v1/kernel.org/linux-4.4.tar.xz", 0);
    let digest = Digest::sha256_of_file(&archive).unwrap();
    let record = serde_json::json!({"archive": "linux-4.4.tar.xz",
        "provenance": {"digest": digest}});
    fs::write(bench.path("downloads-v1/kernel.org/linux-4.4.tar.xz.json"), record.to_string())
        .unwrap();
    let said = bench.well(&["verify"]);
    assert_eq!(said.lines().filter(|line| line.starts_with("ok  ")).count(), 4, "{said}");
    for path in [&file, &kernel, &archive] {
        let mut bytes = fs::read(path).unwrap();
        bytes[1_234] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }
    let (code, stdout, stderr) = bench.run(&["verify"]);
    assert_eq!(code, 8);
    assert_eq!(stdout.lines().filter(|line| line.starts_with("damaged ")).count(), 3, "{stdout}");
    assert!(
        stdout.contains(&id.replace(':', "-")) && stdout.contains("linux-4.4.tar.xz is damaged"),
        "{stdout}"
    );
    assert!(stderr.contains("images verify --repair"), "{stderr}");
    let repaired = bench.json(&["verify", "--repair"]);
    let removed = repaired.as_array().unwrap().iter().filter(|row| row["removed"] == true);
    assert_eq!(removed.count(), 3, "{repaired:#}");
    assert!(!file.exists() && !kernel.exists() && !archive.exists());
    assert_eq!(bench.well(&["verify"]).lines().count(), 1);
}
