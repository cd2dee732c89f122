//! Who may vouch for an archive.

use std::io::Write;

use stage1_builder::digest::Digest;
use stage1_builder::report;
use stage1_builder::source::{Error, Options, Verified};

use super::mirror::Signer;
use super::stage::{ARCHIVE, SIGNATURE, SUMS, Stage, tar};

/// The names of the pinned signers in the Web Key Directory.
const KEYS: [&str; 5] = [
    "e3n9xnm94c5apezqnj1pmrfuaoyfm8cf",
    "pf113mfnx1f3eb1yiwhsipa91xfc7o4x",
    "7j1cnb5wfkj3ts7cgy4xz1gwsz9xs5mj",
    "whrjzpz87r1omsrki9ayp167cdgjnefs",
    "ew8uiogxwri7d3fuioqgt7u1d5sngorx",
];

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
