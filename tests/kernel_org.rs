//! The `kernel.org` provider against a mirror on the loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mirror.rs"]
mod mirror;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use mirror::{Fault, Mirror, Signer};
use stage1_builder::digest::Digest;
use stage1_builder::http;
use stage1_builder::proc::Program;
use stage1_builder::report::{self, Collected, Event};
use stage1_builder::source::{
    self, Error, Options, Patience, Provider, Resolved, Source, Verified,
};

const RELEASES: &str = r#"{"latest_stable": {"version": "6.18.3"}, "releases": [
    {"version": "6.19-rc4", "moniker": "mainline"},
    {"version": "6.18.3", "moniker": "stable"},
    {"version": "6.12.3", "moniker": "longterm"},
    {"version": "6.6.119", "moniker": "longterm"}]}"#;
const ARCHIVE: &str = "/v6.x/linux-6.12.3.tar.xz";
const SIGNATURE: &str = "/v6.x/linux-6.12.3.tar.sign";
const SUMS: &str = "/v6.x/sha256sums.asc";
const KEYS: [&str; 5] = [
    "e3n9xnm94c5apezqnj1pmrfuaoyfm8cf",
    "pf113mfnx1f3eb1yiwhsipa91xfc7o4x",
    "7j1cnb5wfkj3ts7cgy4xz1gwsz9xs5mj",
    "whrjzpz87r1omsrki9ayp167cdgjnefs",
    "ew8uiogxwri7d3fuioqgt7u1d5sngorx",
];

fn tar(version: &str) -> Vec<u8> {
    // Bytes that don't compress, so that there is a middle to break at.
    let noise = (0u64..40_000).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let noise: Vec<u8> = noise.collect();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("Makefile", b"VERSION = 6\n".as_slice()), ("noise", &noise)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("linux-{version}/{name}");
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A mirror with 6.12.3 on it, and an empty store.
struct Stage {
    mirror: Mirror,
    folder: tempfile::TempDir,
    archive: Vec<u8>,
    reporter: Collected,
    base: String,
    releases: String,
    snapshots: String,
    wkd: String,
    keyring: PathBuf,
    signer: Signer,
}

impl Stage {
    fn new() -> Self {
        let (mirror, folder) = (Mirror::start(), tempfile::tempdir().unwrap());
        let signer = Signer::new();
        let tar = tar("6.12.3");
        let archive = xz(&tar);
        mirror.put("/releases.json", RELEASES);
        mirror.put(ARCHIVE, archive.clone());
        mirror.put(SIGNATURE, signer.detached(&tar));
        let keyring = folder.path().join("keyring.asc");
        fs::write(&keyring, signer.armored_key()).unwrap();
        Self {
            base: mirror.url(""),
            releases: mirror.url("/releases.json"),
            snapshots: mirror.url("/snapshots"),
            wkd: mirror.url("/hu"),
            archive,
            reporter: Collected::default(),
            keyring,
            signer,
            mirror,
            folder,
        }
    }

    fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    fn with<T>(&self, act: impl FnOnce(Options) -> T) -> T {
        let (downloads, state) = (self.downloads(), self.folder.path().join("apt"));
        act(Options {
            sources: &[Provider::KernelOrg],
            kernel_org_url: &self.base,
            releases_url: &self.releases,
            snapshot_url: &self.snapshots,
            wkd_url: &self.wkd,
            keyring: Some(&self.keyring),
            sha256: None,
            insecure_source: false,
            downloads: &downloads,
            state: &state,
            local: None,
            refresh: false,
            patience: Patience {
                contact: Duration::from_secs(2),
                stall: Duration::from_millis(500),
                backoff: Duration::from_millis(10),
                attempts: 3,
            },
        })
    }

    fn resolve(&self, request: &str) -> Result<String, Error> {
        let request = request.parse().unwrap();
        let resolved = self.with(|options| source::resolve(request, &options, &self.reporter));
        resolved.map(|found| found.version.to_string())
    }

    fn fetch(&self) -> Result<Source, Error> {
        self.with(|options| self.fetch_with("6.12.3", &options))
    }

    fn fetch_with(&self, version: &str, options: &Options) -> Result<Source, Error> {
        let version = version.parse().unwrap();
        let resolved = Resolved { version, provider: Provider::KernelOrg, package: None };
        source::fetch(&resolved, options, &self.reporter)
    }

    fn by_signer(&self) -> Verified {
        Verified::OpenPgp { fingerprint: self.signer.fingerprint.clone() }
    }

    /// What lies in the archives' folder, without locks.
    fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.downloads().join("kernel.org")) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }

    fn said(&self, text: &str) -> bool {
        self.reporter.events().iter().any(|event| match event {
            Event::Note(said) | Event::Warning(said) => said.contains(text),
            _ => false,
        })
    }

    #[track_caller]
    fn expect_whole(&self, source: &Source) {
        let Source::Tarball(archive) = source else { panic!("no tarball") };
        assert!(fs::read(&archive.path).unwrap() == self.archive);
        assert_eq!(*source.digest(), Digest::sha256(&self.archive));
        assert_eq!(self.left(), ["linux-6.12.3.tar.xz", "linux-6.12.3.tar.xz.json"]);
    }
}

#[test]
fn a_good_archive_is_fetched_once_and_then_there_without_network() {
    let stage = Stage::new();
    let source = stage.fetch().unwrap();
    stage.expect_whole(&source);
    assert_eq!(source.provenance().verified, stage.by_signer());
    assert_eq!(source.provenance().name, "linux-6.12.3.tar.xz");
    let requests = stage.mirror.requests().len();
    let started = Instant::now();
    assert_eq!(stage.resolve("6.12.3").unwrap(), "6.12.3");
    assert_eq!(stage.fetch().unwrap(), source);
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(stage.mirror.requests().len(), requests);
    let text = serde_json::to_string(source.provenance()).unwrap();
    assert!(!text.contains("127.0.0.1") && !text.contains("/"), "{text}");
}

#[test]
fn two_fetches_at_once_do_the_work_once() {
    let stage = Stage::new();
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| stage.fetch()), scope.spawn(|| stage.fetch())];
        for one in both {
            stage.expect_whole(&one.join().unwrap().unwrap());
        }
    });
    assert_eq!(stage.mirror.gets(ARCHIVE), 1);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let stage = Stage::new();
    stage.mirror.fault(ARCHIVE, Fault::BreakAt(100_000));
    stage.mirror.fault(ARCHIVE, Fault::StallAt(50_000));
    stage.mirror.fault(ARCHIVE, Fault::Status(503));
    stage.expect_whole(&stage.fetch().unwrap());
    let line = format!("GET {ARCHIVE} bytes=150000-");
    assert!(stage.mirror.requests().contains(&line), "{:?}", stage.mirror.requests());
    assert!(stage.said("going on at 100000 bytes"));
}

#[test]
fn a_later_run_goes_on_with_the_partial_file() {
    let stage = Stage::new();
    stage.mirror.fault(ARCHIVE, Fault::BreakAt(100_000));
    for _ in 0..3 {
        stage.mirror.fault(ARCHIVE, Fault::BreakAt(0));
    }
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, Error::Http(http::Error::BrokeOff { done: 100_000, .. })), "{error:?}");
    assert_eq!(error.fault(), report::Fault::Network);
    assert!(error.hint().is_some());
    stage.expect_whole(&stage.fetch().unwrap());
    assert!(stage.mirror.requests().contains(&format!("GET {ARCHIVE} bytes=100000-")));
}

#[test]
fn a_file_that_changed_between_its_parts_is_fetched_from_the_beginning() {
    let stage = Stage::new();
    let older = xz(&[7; 400_000]).repeat(200);
    stage.mirror.put(ARCHIVE, older);
    stage.mirror.fault(ARCHIVE, Fault::BreakAt(10_000));
    for _ in 0..2 {
        stage.mirror.fault(ARCHIVE, Fault::Status(500));
    }
    stage.with(|mut options| {
        options.patience.attempts = 2;
        stage.fetch_with("6.12.3", &options).unwrap_err();
    });
    stage.mirror.put(ARCHIVE, stage.archive.clone());
    stage.expect_whole(&stage.fetch().unwrap());
    let last = format!("GET {ARCHIVE} bytes=10000-");
    assert_eq!(stage.mirror.requests().last(), Some(&last), "asked for the rest, got the whole");
}

#[test]
fn a_truncated_or_altered_archive_is_fetched_once_more() {
    for altered in [true, false] {
        let stage = Stage::new();
        let mut bytes = stage.archive.clone();
        if altered {
            bytes = xz(&tar("6.12.4"));
        } else {
            bytes.truncate(bytes.len() / 2);
        }
        stage.mirror.fault(ARCHIVE, Fault::Instead(bytes));
        stage.expect_whole(&stage.fetch().unwrap());
        assert!(stage.said("fetching it once more"));
        assert_eq!(stage.mirror.gets(ARCHIVE), 2);
    }
}

#[test]
fn what_is_altered_twice_is_an_error_and_nothing_is_left() {
    for bytes in [xz(&tar("6.12.4")), xz(&tar("6.12.3"))[..1000].to_vec()] {
        let stage = Stage::new();
        stage.mirror.put(ARCHIVE, bytes);
        let error = stage.fetch().unwrap_err();
        assert!(matches!(error, Error::Altered { .. }), "{error:?}");
        assert_eq!(error.fault(), report::Fault::Verification);
        assert_eq!(stage.mirror.gets(ARCHIVE), 2);
        assert!(stage.left().is_empty(), "{:?}", stage.left());
    }
}

/// What a server may do to an answer; each is drawn by a number.
fn misdeed(number: u64, archive: &[u8]) -> Fault {
    let length = archive.len();
    let place = usize::try_from(number >> 8).unwrap() % length;
    let mut flipped = archive.to_vec();
    flipped[place] ^= 1;
    match number % 9 {
        0 | 1 => Fault::BreakAt(place),
        2 => Fault::Status([500, 502, 503, 429, 404][place % 5]),
        3 => Fault::Instead(flipped),
        4 => Fault::Instead(archive[..place].to_vec()),
        5 => Fault::Announce(place),
        6 => Fault::Announce(length + 1 + place),
        7 => Fault::Disguised(flipped),
        _ => Fault::RangeLater(1 + place % 9),
    }
}

#[test]
fn whatever_a_server_does_it_is_the_right_archive_or_an_error_and_the_next_run_has_it() {
    let stage = Stage::new();
    let (mut number, mut ends) = (0x2545_f491_4f6c_dd1d_u64, [0; 2]);
    let mut draw = || {
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        number >> 16
    };
    for round in 0..100 {
        _ = fs::remove_dir_all(stage.downloads());
        stage.mirror.put(ARCHIVE, stage.archive.clone());
        let faults: Vec<Fault> =
            (0..=draw() % 5).map(|_| misdeed(draw(), &stage.archive)).collect();
        faults.iter().for_each(|fault| stage.mirror.fault(ARCHIVE, fault.clone()));
        if round % 20 == 7 {
            stage.mirror.fault(ARCHIVE, Fault::StallAt(100_000));
        }
        match stage.fetch() {
            Ok(source) => stage.expect_whole(&source),
            Err(error) => {
                use report::Fault::{Archive, Network, NotFound, Verification};
                let known = [Archive, Network, NotFound, Verification].contains(&error.fault());
                assert!(known && error.hint().is_some(), "{round}: {error:?}");
                ends[1] += 1;
            }
        }
        stage.mirror.put(ARCHIVE, stage.archive.clone());
        stage.expect_whole(&stage.fetch().unwrap());
        ends[0] += 1;
    }
    assert!(ends[0] == 100 && (10..90).contains(&ends[1]), "{ends:?}");
}

#[test]
fn a_part_of_another_file_under_the_same_name_is_found_by_the_signature() {
    let stage = Stage::new();
    let mut other = stage.archive.clone();
    let last = other.len() - 1_000;
    other[last] ^= 1;
    stage.mirror.fault(ARCHIVE, Fault::BreakAt(100_000));
    stage.mirror.fault(ARCHIVE, Fault::Disguised(other));
    stage.expect_whole(&stage.fetch().unwrap());
    assert!(stage.said("fetching it once more"));
    // One that says itself that it is another part is not even taken.
    let stage = Stage::new();
    stage.mirror.fault(ARCHIVE, Fault::BreakAt(100_000));
    stage.mirror.fault(ARCHIVE, Fault::RangeLater(5));
    stage.expect_whole(&stage.fetch().unwrap());
    assert!(stage.said("changed since the first part"));
}

#[test]
fn a_signature_by_another_key_is_refused_before_the_download() {
    let stage = Stage::new();
    let other = Signer::new();
    stage.mirror.put(SIGNATURE, other.detached(&tar("6.12.3")));
    let error = stage.fetch().unwrap_err();
    let Error::KeyNotPinned { key, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*key, other.fingerprint);
    assert_eq!(error.fault(), report::Fault::Verification);
    assert_eq!(stage.mirror.gets(ARCHIVE), 0);
}

#[test]
fn a_key_of_the_directory_that_is_not_pinned_does_not_count() {
    let stage = Stage::new();
    for name in KEYS {
        stage.mirror.put(&format!("/hu/{name}"), stage.signer.binary_key());
    }
    let fetch = || {
        stage.with(|mut options| {
            options.keyring = None;
            stage.fetch_with("6.12.3", &options)
        })
    };
    let error = fetch().unwrap_err();
    let Error::KeyNotPinned { key, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*key, stage.signer.fingerprint);
    assert_eq!(stage.left(), ["keys"]);
    // Nor does the one of the checksums.
    let sum = Digest::sha256(&stage.archive);
    stage.mirror.remove(SIGNATURE);
    stage.mirror.put(SUMS, stage.signer.clear(&format!("{}  linux-6.12.3.tar.xz\n", sum.hex())));
    assert!(matches!(fetch().unwrap_err(), Error::KeyNotPinned { .. }));
}

#[test]
fn what_the_users_keyring_vouched_for_does_not_count_without_it() {
    let stage = Stage::new();
    stage.fetch().unwrap();
    let error = stage.with(|mut options| {
        options.keyring = None;
        stage.fetch_with("6.12.3", &options).unwrap_err()
    });
    assert!(matches!(error, Error::NoKeys { .. }), "{error:?}");
    assert_eq!(error.fault(), report::Fault::Network);
}

#[test]
fn the_signed_checksums_serve_when_there_is_no_signature() {
    let stage = Stage::new();
    stage.mirror.remove(SIGNATURE);
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, Error::NoSignature { .. }), "{error:?}");
    assert_eq!(error.fault(), report::Fault::Verification);
    assert!(error.hint().unwrap().contains("--insecure-options=source"));
    let list = |sum: &Digest| format!("{}  linux-6.12.3.tar.xz\n", sum.hex());
    let sums = stage.signer.clear(&list(&Digest::sha256(&stage.archive)));
    // A line after what is signed does not count.
    let forged =
        [stage.signer.clear("nothing\n"), list(&Digest::sha256(b"x")).into_bytes()].concat();
    stage.mirror.put(SUMS, forged);
    assert!(stage.fetch().is_err());
    stage.mirror.put(SUMS, sums);
    let source = stage.fetch().unwrap();
    stage.expect_whole(&source);
    let fingerprint = stage.signer.fingerprint.clone();
    assert_eq!(source.provenance().verified, Verified::SignedChecksum { fingerprint });
}

#[test]
fn a_checksum_of_the_users_takes_the_signatures_place() {
    let stage = Stage::new();
    stage.mirror.remove(SIGNATURE);
    let fetch = |digest: Digest| {
        stage.with(|options| {
            stage.fetch_with("6.12.3", &Options { sha256: Some(&digest), ..options })
        })
    };
    assert!(matches!(fetch(Digest::sha256(b"other")), Err(Error::Altered { .. })));
    let source = fetch(Digest::sha256(&stage.archive)).unwrap();
    assert_eq!(source.provenance().verified, Verified::Checksum);
}

#[test]
fn verification_can_be_turned_off_and_that_is_said_and_kept() {
    let stage = Stage::new();
    stage.mirror.remove(SIGNATURE);
    let insecure = |insecure: bool| {
        stage.with(|mut options| {
            options.insecure_source = insecure;
            stage.fetch_with("6.12.3", &options)
        })
    };
    let source = insecure(true).unwrap();
    assert_eq!(source.provenance().verified, Verified::Unverified);
    assert!(stage.said("not verified"));
    assert!(matches!(insecure(false), Err(Error::NoSignature { .. })));
    // With a signature, what is there is verified without a second download.
    stage.mirror.put(SIGNATURE, stage.signer.detached(&tar("6.12.3")));
    assert_eq!(insecure(false).unwrap().provenance().verified, stage.by_signer());
    assert_eq!(stage.mirror.gets(ARCHIVE), 1);
}

#[test]
fn a_page_instead_of_the_archive_is_told_as_such() {
    let stage = Stage::new();
    stage.mirror.put(ARCHIVE, "<!DOCTYPE html><html>please log in</html>");
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, Error::NotAnArchive { .. }), "{error:?}");
    assert!(error.to_string().contains("<!DOCTYPE html>"));
    assert_eq!(error.fault(), report::Fault::Network);
    assert_eq!(stage.mirror.gets(ARCHIVE), 1);
    assert!(stage.left().is_empty(), "{:?}", stage.left());
}

#[test]
fn an_archive_that_is_gone_is_not_found() {
    let stage = Stage::new();
    stage.mirror.remove(ARCHIVE);
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, Error::Http(http::Error::Status { status: 404, .. })), "{error:?}");
    assert_eq!(error.fault(), report::Fault::NotFound);
    assert!(stage.left().is_empty());
}

#[test]
fn a_folder_that_can_not_be_written_is_told() {
    let stage = Stage::new();
    // A file where the folder should be: also root can't write there.
    fs::write(stage.downloads(), "").unwrap();
    let error = stage.fetch().unwrap_err();
    assert_eq!(error.fault(), report::Fault::Storage, "{error:?}");
    assert!(error.to_string().contains("downloads"), "{error}");
}

#[test]
fn each_request_finds_its_version() {
    let stage = Stage::new();
    stage.mirror.put("/v4.x/sha256sums.asc", "0  linux-4.4.9.tar.xz\n0  linux-4.4.302.tar.xz\n");
    stage.mirror.put("/v5.x/", "<a href=\"linux-5.1.21.tar.xz\">linux-5.1.21.tar.xz</a>");
    stage.mirror.put("/snapshots/linux-6.13-rc4.tar.gz", "x");
    for (request, expected) in [
        ("6.12.3", "6.12.3"),
        ("6.12", "6.12.3"),
        ("stable", "6.18.3"),
        ("longterm", "6.12.3"),
        ("mainline", "6.19-rc4"),
        ("4.4", "4.4.302"),
        ("5.1", "5.1.21"),
        ("6.13-rc4", "6.13-rc4"),
    ] {
        assert_eq!(stage.resolve(request).unwrap(), expected, "{request}");
    }
    let requests = stage.mirror.requests().len();
    assert_eq!(stage.resolve("4.4").unwrap(), "4.4.302");
    assert_eq!(stage.mirror.requests().len(), requests, "remembered");
    assert!(stage.said("is taken from kernel.org"));
}

#[test]
fn a_mirror_without_the_release_list_still_has_its_series() {
    let mut stage = Stage::new();
    stage.releases = stage.mirror.url("/absent.json");
    stage.mirror.put(SUMS, "0  linux-6.12.3.tar.xz\n");
    assert_eq!(stage.resolve("6.12").unwrap(), "6.12.3");
    let error = stage.resolve("stable").unwrap_err();
    assert!(matches!(error, Error::Nobody { .. }), "{error:?}");
}

#[test]
fn a_refresh_looks_again() {
    let stage = Stage::new();
    assert_eq!(stage.resolve("stable").unwrap(), "6.18.3");
    stage.mirror.put("/releases.json", RELEASES.replace("6.18.3", "6.18.4"));
    assert_eq!(stage.resolve("stable").unwrap(), "6.18.3");
    let again = stage.with(|mut options| {
        options.refresh = true;
        source::resolve("stable".parse().unwrap(), &options, &stage.reporter).unwrap()
    });
    assert_eq!(again.version.to_string(), "6.18.4");
    assert_eq!(stage.resolve("stable").unwrap(), "6.18.4");
}

#[test]
fn an_unknown_version_is_not_found() {
    let stage = Stage::new();
    for request in ["6.12.99", "6.99", "9.1"] {
        let error = stage.resolve(request).unwrap_err();
        assert_eq!(error.fault(), report::Fault::NotFound, "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("no source has Linux {request}")), "{text}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_candidate_without_a_signature_is_refused_and_with_one_taken() {
    let stage = Stage::new();
    let tar = tar("6.13-rc4");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    stage.mirror.put("/snapshots/linux-6.13-rc4.tar.gz", encoder.finish().unwrap());
    let fetch = || stage.with(|options| stage.fetch_with("6.13-rc4", &options));
    assert!(matches!(fetch(), Err(Error::NoSignature { .. })));
    stage.mirror.put("/snapshots/linux-6.13-rc4.tar.sign", stage.signer.detached(&tar));
    assert_eq!(fetch().unwrap().provenance().verified, stage.by_signer());
}

/// A server that takes connections and never says a word.
fn silent_server() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_host_that_can_not_be_reached_costs_no_more_than_its_time() {
    let (_listener, silent) = silent_server();
    // A port that nobody listens on, a name that nobody has, an address that
    // answers nothing, a server that accepts and stays silent.
    let hosts =
        ["http://127.0.0.1:1", "http://no-such-host.invalid", "http://192.0.2.1", silent.as_str()];
    for host in hosts {
        let mut stage = Stage::new();
        stage.base = host.to_owned();
        stage.releases = format!("{host}/releases.json");
        for request in ["6.12.3", "6.12", "stable"] {
            let started = Instant::now();
            let error = stage.resolve(request).unwrap_err();
            let elapsed = started.elapsed();
            assert!(elapsed < Duration::from_millis(3000), "{host} {request}: {elapsed:?}");
            assert_eq!(error.fault(), report::Fault::Network, "{host}: {error:?}");
            assert!(error.to_string().contains(host), "{error}");
            assert!(error.hint().unwrap().contains("debian"), "{host}");
        }
        assert!(!Path::new(&stage.downloads()).join("resolved").exists());
    }
}

#[test]
fn the_default_patience_is_five_seconds() {
    assert_eq!(Patience::default().contact, Duration::from_secs(5));
}

#[test]
fn who_is_offline_works_with_the_last_answer_and_what_is_there() {
    let stage = Stage::new();
    stage.resolve("6.12").unwrap();
    let kept = fs::read_dir(stage.downloads().join("resolved")).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(kept.path()).unwrap();
    // Without the digest, which would tell that it was changed.
    let text = &text[..text.rfind('"').and_then(|end| text[..end].rfind('"')).unwrap()];
    let answer: serde_json::Value = serde_json::from_str(text).unwrap();
    let two_days_ago = answer["at"].as_u64().unwrap() - 2 * 24 * 60 * 60;
    let line = format!("\"at\": {}", answer["at"]);
    fs::write(kept.path(), text.replace(&line, &format!("\"at\": {two_days_ago}"))).unwrap();
    stage.mirror.fault("/releases.json", Fault::Status(503));
    assert!(stage.resolve("6.12").is_err(), "the archive is not there");
    stage.fetch().unwrap();
    stage.mirror.remove("/releases.json");
    assert_eq!(stage.resolve("6.12").unwrap(), "6.12.3");
    assert!(stage.said("2 days ago"));
}

#[test]
fn an_answer_that_turned_out_wrong_is_forgotten() {
    let stage = Stage::new();
    stage.resolve("stable").unwrap();
    stage.with(|options| stage.fetch_with("6.18.3", &options).unwrap_err());
    stage.mirror.put("/releases.json", RELEASES.replace("6.18.3", "6.18.2"));
    assert_eq!(stage.resolve("stable").unwrap(), "6.18.2");
}

/// The disk has lost a bit since the archive was verified: it is found before
/// a tree is made of it, named, and the archive fetched again. What comes of
/// that tree, which is no kernel's, does not matter here.
#[test]
fn an_archive_that_was_damaged_since_is_fetched_again() {
    let stage = Stage::new();
    let project = stage.folder.path();
    let build = |more: &[&str]| {
        Program::new(env!("CARGO_BIN_EXE_stage1-builder"))
            .args(["build", "6.12.3", "--kernel-sources", "kernel.org"])
            .args(["--kernel-org-url", &stage.base, "--kernel-org-wkd-url", &stage.wkd])
            .arg("--keyring")
            .arg(&stage.keyring)
            .args(more)
            .env("S1B_CACHE_DIR", project.join("cache"))
            .dir(project)
            .output()
            .unwrap()
    };
    let plan = build(&["--dry-run"]);
    assert!(plan.status.success(), "{}", plan.stderr);
    let archive = project.join("cache/downloads-v1/kernel.org/linux-6.12.3.tar.xz");
    let mut bytes = fs::read(&archive).unwrap();
    assert!(bytes == stage.archive);
    bytes[100_000] ^= 4;
    fs::write(&archive, bytes).unwrap();
    let said = build(&[]).stderr;
    assert!(said.contains("linux-6.12.3.tar.xz is damaged: it has sha256:"), "{said}");
    assert!(said.contains("making it again") && said.contains("unpack"), "{said}");
    assert!(fs::read(&archive).unwrap() == stage.archive, "{said}");
}
