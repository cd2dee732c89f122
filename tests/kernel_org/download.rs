//! Archives that come in one go, in parts, or not at all.

use std::time::{Duration, Instant};

use fs_err as fs;
use stage1_builder::http;
use stage1_builder::report;
use stage1_builder::source::Error;

use super::mirror::Fault;
use super::stage::{ARCHIVE, Stage, xz};

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
