//! Trees that are unpacked while their archives come.

use std::path::Path;

use fs_err as fs;
use stage1_builder::digest::Digest;
use stage1_builder::report::{Event, Fault};
use stage1_builder::source::{self, Error, Options, Source, UnpackError};

use super::mirror;
use super::stage::{ARCHIVE, SIGNATURE, Stage, tar, xz};

fn ahead(source: &Source) -> bool {
    matches!(source, Source::Tarball(archive) if archive.ahead.is_some())
}

/// The tree's Makefile, and whether the tree was there before it was asked for.
fn unpacked(stage: &Stage, source: &Source, into: &Path) -> Result<(String, bool), UnpackError> {
    let unpacked = source::unpack_source(source, into, &stage.reporter)?;
    assert_eq!(unpacked.files, 2);
    let before = stage.reporter.events().iter().any(
        |event| matches!(event, Event::Finished { detail, .. } if detail.contains("while they came")),
    );
    Ok((fs::read_to_string(into.join("Makefile")).unwrap(), before))
}

#[test]
fn a_tree_that_is_wanted_is_there_with_its_archive() {
    let stage = Stage::new();
    // In pieces: the second begins in the middle.
    stage.mirror.fault(ARCHIVE, mirror::Fault::BreakAt(stage.archive.len() / 2));
    let source = stage.fetch().unwrap();
    stage.expect_whole(&source);
    let into = stage.work().join("here");
    let (makefile, before) = unpacked(&stage, &source, &into).unwrap();
    assert_eq!((makefile.as_str(), before), ("VERSION = 6\n", true));
    fs::remove_dir_all(&into).unwrap();
    // It was placed; the archive is still there.
    unpacked(&stage, &source, &into).unwrap();
    drop(source);
    assert_eq!(stage.in_work(), ["here"]);
    assert!(!ahead(&stage.fetch().unwrap()), "nothing comes");
}

#[test]
fn a_checksum_serves_as_well_and_who_does_not_want_a_tree_gets_none() {
    let stage = Stage::new();
    stage.mirror.remove(SIGNATURE);
    let digest = Digest::sha256(&stage.archive);
    let fetched = stage.with(|options| {
        stage.fetch_with("6.12.3", &Options { sha256: Some(&digest), ..options }).unwrap()
    });
    assert!(ahead(&fetched));
    let stage = Stage::new();
    let fetched = stage
        .with(|options| stage.fetch_with("6.12.3", &Options { ahead: None, ..options }).unwrap());
    assert!(!ahead(&fetched));
    assert!(!stage.work().exists());
}

#[test]
fn of_an_altered_archive_no_tree_is_left() {
    let stage = Stage::new();
    stage.mirror.put(ARCHIVE, xz(&tar("6.12.4")));
    assert!(matches!(stage.fetch(), Err(Error::Altered { .. })));
    assert!(stage.in_work().is_empty());
}

#[test]
fn what_can_not_be_unpacked_is_told_when_the_tree_is_asked_for() {
    let stage = Stage::new();
    let mut builder = tar::Builder::new(tar("6.12.3"));
    builder.get_mut().truncate(1024);
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Fifo);
    builder.append_data(&mut header, "linux-6.12.3/pipe", std::io::empty()).unwrap();
    let tar = builder.into_inner().unwrap();
    stage.mirror.put(SIGNATURE, stage.signer.detached(&tar));
    stage.mirror.put(ARCHIVE, xz(&tar));
    let source = stage.fetch().unwrap();
    assert!(!ahead(&source));
    assert!(stage.in_work().is_empty());
    let error = unpacked(&stage, &source, &stage.work().join("here")).unwrap_err();
    assert_eq!(error.fault(), Fault::Archive);
}

#[test]
fn a_folder_that_can_not_be_written_does_not_stop_the_download() {
    let stage = Stage::new();
    fs::write(stage.work(), "a file").unwrap();
    let source = stage.fetch().unwrap();
    stage.expect_whole(&source);
    assert!(!ahead(&source));
}
