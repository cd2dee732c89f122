//! The `debian` provider against this host's apt. Skipped, with the reason
//! said, where there is no apt or it lists no kernel source.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::{self, Program};
use stage1_builder::report::Collected;
use stage1_builder::source::{self, Options, Patience, Provider};

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
use not_run::not_run;

fn options<'a>(downloads: &'a Path, state: &'a Path) -> Options<'a> {
    Options {
        sources: &[Provider::Debian],
        kernel_org_url: source::KERNEL_ORG_URL,
        releases_url: source::RELEASES_URL,
        snapshot_url: source::SNAPSHOT_URL,
        wkd_url: source::WKD_URL,
        keyring: None,
        sha256: None,
        insecure_source: false,
        downloads,
        state,
        own: None,
        refresh: false,
        ahead: None,
        patience: Patience::default(),
    }
}

/// A series that this host's apt lists; `None`, and said, if there is none.
fn listed_series() -> Option<String> {
    let found = find_series();
    found.map_err(|reason| not_run("debian provider", &reason)).ok()
}

fn find_series() -> Result<String, String> {
    if proc::find("apt-get").is_none() || proc::find("apt-cache").is_none() {
        return Err("no apt-get on this host".to_owned());
    }
    let names = Program::new("apt-cache").args(["pkgnames", "linux-source-"]).run();
    let names = String::from_utf8(names.map_err(|error| error.to_string())?).unwrap();
    let series = names.lines().filter_map(|name| name.strip_prefix("linux-source-"));
    let series = series.filter(|text| text.parse::<stage1_builder::settings::Series>().is_ok());
    series.min().map(str::to_owned).ok_or_else(|| "apt lists no linux-source package".to_owned())
}

#[test]
fn a_series_is_fetched_through_apt_and_then_there() {
    let Some(series) = listed_series() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (downloads, state) = (folder.path().join("downloads"), folder.path().join("apt"));
    let options = options(&downloads, &state);
    let reporter = Collected::default();
    let resolved = source::resolve(series.parse().unwrap(), &options, &reporter).unwrap();
    assert_eq!(resolved.version.series().to_string(), series);
    assert_eq!(resolved.provider, Provider::Debian);

    let unknown = format!("{series}.99999").parse().unwrap();
    let error = source::resolve(unknown, &options, &reporter).unwrap_err();
    assert_eq!(error.fault(), stage1_builder::report::Fault::NotFound, "{error}");

    let source = match source::fetch(&resolved, &options, &reporter) {
        Err(error) if error.fault() == stage1_builder::report::Fault::Network => {
            not_run("debian provider", &error.to_string());
            return;
        }
        other => other.unwrap(),
    };
    assert_eq!(source.version(), resolved.version);
    let source::Source::Tarball(archive) = &source else { panic!("no tarball") };
    assert_eq!(source::local::version(&archive.path).unwrap(), resolved.version);
    let exact = stage1_builder::settings::KernelRequest::Exact(resolved.version);
    assert_eq!(source::resolve(exact, &options, &reporter).unwrap(), resolved);
    assert_eq!(source::fetch(&resolved, &options, &reporter).unwrap(), source);

    let names = fs::read_dir(downloads.join("debian")).unwrap().flatten();
    let left = names.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    assert_eq!(left.count(), 2, "the tarball and its record");
}

/// How the tests that need a source of Debian's learn that there is none.
#[test]
fn a_series_that_no_archive_has_is_a_reason_not_to_run() {
    let reason = debian_source::debian_has("6.99").unwrap_err();
    assert!(reason.starts_with("error:") && reason.contains("6.99"), "{reason}");
}

/// The names and dates of the system's own lists.
fn system_lists() -> Vec<(std::ffi::OsString, std::time::SystemTime)> {
    let entries = fs::read_dir("/var/lib/apt/lists").map(|found| found.flatten().collect());
    let entries: Vec<fs::DirEntry> = entries.unwrap_or_default();
    let dated = |entry: &fs::DirEntry| (entry.file_name(), entry.metadata().unwrap().modified());
    let mut dated: Vec<_> = entries.iter().map(dated).map(|(a, b)| (a, b.unwrap())).collect();
    dated.sort();
    dated
}

#[test]
fn lists_of_our_own_are_fetched_without_touching_the_systems() {
    let Some(series) = listed_series() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (downloads, state) = (folder.path().join("downloads"), folder.path().join("apt"));
    let options = Options { refresh: true, ..options(&downloads, &state) };
    let before = system_lists();
    let resolved =
        source::resolve(series.parse().unwrap(), &options, &Collected::default()).unwrap();
    assert_eq!(resolved.version.series().to_string(), series);
    assert_eq!(system_lists(), before);
    if !state.join("updated").exists() {
        not_run("debian provider", "the archive can't be reached");
        return;
    }
    let own = fs::read_dir(state.join("lists")).unwrap().flatten();
    let has_packages = |name: std::ffi::OsString| name.to_string_lossy().contains("_Packages");
    assert!(own.map(|entry| entry.file_name()).any(has_packages));
}
