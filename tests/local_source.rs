//! The `local` provider: folders and tarballs of the user's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use stage1_builder::digest::Digest;
use stage1_builder::report::{self, Silent};
use stage1_builder::settings::OwnSource;
use stage1_builder::source::{self, Error, Options, Patience, Provider, Source, Verified};

const MAKEFILE: &str = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\nEXTRAVERSION =\n";

fn fetch(path: &Path, request: &str, store: &Path) -> Result<Source, Error> {
    let own = OwnSource::Path(path.to_owned());
    let options = Options {
        sources: &[],
        kernel_org_url: "",
        releases_url: "",
        snapshot_url: "",
        wkd_url: "",
        keyring: None,
        sha256: None,
        insecure_source: false,
        downloads: store,
        state: store,
        own: Some(&own),
        refresh: false,
        ahead: None,
        patience: Patience::default(),
    };
    let resolved = source::resolve(request.parse().unwrap(), &options, &Silent)?;
    assert_eq!(resolved.provider, Provider::Local);
    source::fetch(&resolved, &options, &Silent)
}

#[test]
fn a_folder_is_only_read_and_its_digest_follows_its_content() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = folder.path().join("my-linux");
    fs::create_dir_all(root.join("kernel")).unwrap();
    fs::write(root.join("Makefile"), MAKEFILE).unwrap();
    fs::write(root.join("kernel/fork.c"), "int x;").unwrap();
    let first = fetch(&root, "6.12", store.path()).unwrap();
    assert_eq!(first.version().to_string(), "6.12.3");
    assert_eq!(first.provenance().verified, Verified::Local);
    assert_eq!(first.provenance().name, "my-linux");
    let Source::Tree(tree) = &first else { panic!("no tree") };
    assert_eq!(tree.files.len(), 2);
    assert_eq!(fetch(&root, "6.12.3", store.path()).unwrap(), first);
    fs::write(root.join("kernel/fork.c"), "int y;").unwrap();
    assert_ne!(fetch(&root, "6.12", store.path()).unwrap().digest(), first.digest());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 2, "nothing is written there");
}

#[test]
fn a_tarball_has_the_digest_of_its_bytes() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(MAKEFILE.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "linux/Makefile", MAKEFILE.as_bytes()).unwrap();
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    let bytes = encoder.finish().unwrap();
    let path = folder.path().join("linux.tgz");
    fs::write(&path, &bytes).unwrap();
    let found = fetch(&path, "stable", store.path()).unwrap();
    assert_eq!(found.version().to_string(), "6.12.3");
    assert_eq!(*found.digest(), Digest::sha256(&bytes));
    let error = fetch(&path, "6.1", store.path()).unwrap_err();
    assert_eq!(error.fault(), report::Fault::Settings);
    assert!(error.hint().unwrap().contains("6.12.3"));
}

#[test]
fn what_is_no_kernel_is_told() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = fetch(folder.path(), "stable", store.path()).unwrap_err();
    assert!(matches!(error, Error::NotASource { .. }), "{error:?}");
    let absent = folder.path().join("absent");
    let error = fetch(&absent, "stable", store.path()).unwrap_err();
    assert_eq!(error.fault(), report::Fault::NotFound);
    assert!(error.to_string().contains("absent"), "{error}");
}

/// With `S1B_TEST_TREES` naming folders (colons between them): how long real
/// trees take.
#[test]
fn real_trees_are_hashed_once() {
    let Some(trees) = std::env::var_os("S1B_TEST_TREES") else {
        println!("skipped: S1B_TEST_TREES is not set");
        return;
    };
    let store = tempfile::tempdir().unwrap();
    for root in std::env::split_paths(&trees) {
        let mut times = Vec::new();
        for _ in 0..2 {
            let started = Instant::now();
            fetch(&root, "stable", store.path()).unwrap();
            times.push(started.elapsed());
        }
        println!("{}: {times:?}", root.display());
        assert!(times[1] < Duration::from_secs(2), "{times:?}");
    }
}
