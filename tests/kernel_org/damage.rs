//! Archives that are not what they should be, on the way or since.

use fs_err as fs;
use stage1_builder::proc::Program;
use stage1_builder::report;
use stage1_builder::source::Error;

use super::mirror::Fault;
use super::stage::{ARCHIVE, Stage, tar, xz};

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
            Ok(source) => {
                stage.expect_whole(&source);
                stage.expect_tree(&source);
            }
            Err(error) => {
                use report::Fault::{Archive, Network, NotFound, Verification};
                let known = [Archive, Network, NotFound, Verification].contains(&error.fault());
                assert!(known && error.hint().is_some(), "{round}: {error:?}");
                ends[1] += 1;
            }
        }
        stage.mirror.put(ARCHIVE, stage.archive.clone());
        let source = stage.fetch().unwrap();
        stage.expect_whole(&source);
        stage.expect_tree(&source);
        drop(source);
        assert!(stage.in_work().is_empty(), "{round}: {:?}", stage.in_work());
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
