//! Which version a request means.

use stage1_builder::report;
use stage1_builder::source::{self, Error};

use super::stage::{RELEASES, SUMS, Stage};

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
fn an_answer_that_turned_out_wrong_is_forgotten() {
    let stage = Stage::new();
    stage.resolve("stable").unwrap();
    stage.with(|options| stage.fetch_with("6.18.3", &options).unwrap_err());
    stage.mirror.put("/releases.json", RELEASES.replace("6.18.3", "6.18.2"));
    assert_eq!(stage.resolve("stable").unwrap(), "6.18.2");
}
