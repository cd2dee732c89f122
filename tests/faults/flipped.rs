//! Flipped bits in every kind of file that the store has: never another
//! result, and never one that has to be mended by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::fsutil::remove_all;

use crate::support::{builder, outcome};
use crate::toy::{Given, OPTIONS, Random, Toy, configure, names};

/// Flips in each file.
const FLIPS: u32 = 5;

/// The files of a store that a build reads: all but the source tree with its
/// objects, whose every file make may change, the log, and locks.
fn files(cache: &Path) -> Vec<PathBuf> {
    let read = |name: &PathBuf| {
        let text = name.to_string_lossy();
        let tree = text.contains("/linux/") || text.ends_with(".log") || text.ends_with(".lock");
        cache.join(name).is_file() && !tree
    };
    names(cache).into_iter().filter(read).collect()
}

/// The kind of a file: its name without digests.
fn kind(name: &Path) -> String {
    let digest = |part: &str| part.len() >= 16 && part[..16].bytes().all(|b| b.is_ascii_hexdigit());
    let parts = name.iter().map(|part| part.to_string_lossy());
    let parts = parts.map(|part| if digest(&part) { "…".to_owned() } else { part.into_owned() });
    parts.collect::<Vec<_>>().join("/")
}

/// Takes away what would keep the file from being read.
fn make_it_matter(project: &Path, name: &Path) {
    let text = name.to_string_lossy();
    let gone: &[&str] = if text.starts_with("downloads-v1") {
        &["cache/work-v1", "cache/images-v1", "aci-files"]
    } else if text.starts_with("work-v1") {
        &["cache/images-v1", "aci-files"]
    } else if text.ends_with("placed.json") || text.ends_with("laid-out.json") {
        &[]
    } else {
        &["aci-files"]
    };
    for name in gone {
        remove_all(&project.join(name)).unwrap();
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_store_never_changes_a_result() {
    let (toy, folder) = (Toy::new(), tempfile::tempdir().unwrap());
    let (project, mut random) = (folder.path(), Random::seeded("flipped"));
    let cache = project.join("cache");
    configure(project, OPTIONS[0]);
    let wanted = Given::by(toy.build(project), project);
    let mut kinds = BTreeMap::<String, [u32; 2]>::new();
    for name in files(&cache) {
        for _ in 0..FLIPS {
            let path = cache.join(&name);
            let mut bytes = fs::read(&path).unwrap();
            if bytes.is_empty() {
                break;
            }
            let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let bit = random.below(8);
            bytes[place] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            make_it_matter(project, &name);
            let (code, stdout, stderr) = outcome(toy.build(project));
            let told = format!("bit {bit} of byte {place} of {}: {stderr}", name.display());
            assert_eq!(code, 0, "{told}");
            assert!(Given::of(project, &stdout) == wanted, "another result: {told}");
            assert!(path.is_file(), "it is there again: {told}");
            let count = kinds.entry(kind(&name)).or_default();
            count[0] += 1;
            count[1] += u32::from(stderr.contains("damaged"));
        }
    }
    println!("flips, and how many of them were named: {kinds:#?}");
    for what in ["image.aci", "image.oci.tar", "image.tar.gz", "linux-6.12.3.tar.xz"] {
        let found = kinds.iter().find(|(kind, _)| kind.ends_with(what)).unwrap().1;
        assert_eq!(found, &[FLIPS; 2], "{what}: each is named");
    }
    // A record that no later build asked for is still damaged, and known to be.
    let verify = || builder(project).env("S1B_CACHE_DIR", &cache).args(["images", "verify"]);
    outcome(verify().arg("--repair"));
    let (code, stdout, stderr) = outcome(verify());
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn a_store_that_is_damaged_all_over_is_made_again_in_one_run() {
    let (toy, folder) = (Toy::new(), tempfile::tempdir().unwrap());
    let (project, cache) = (folder.path(), folder.path().join("cache"));
    configure(project, OPTIONS[0]);
    let wanted = Given::by(toy.build(project), project);
    for gone in ["", "work-v1"] {
        for name in files(&cache) {
            let mut bytes = fs::read(cache.join(&name)).unwrap();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            fs::write(cache.join(&name), bytes).unwrap();
        }
        remove_all(&project.join("aci-files")).unwrap();
        if !gone.is_empty() {
            remove_all(&cache.join(gone)).unwrap();
        }
        let verify = builder(project).env("S1B_CACHE_DIR", &cache).args(["images", "verify"]);
        let (code, stdout, _) = outcome(verify);
        assert!(code == 8 && stdout.matches("\ndamaged ").count() >= 4, "{stdout}");
        assert!(Given::by(toy.build(project), project) == wanted);
    }
}
