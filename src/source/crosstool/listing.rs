//! Which releases a mirror has, and which of them is the newest.

use std::time::Duration;

use super::super::{Error, Options, answer};
use super::{ToolchainPlace, host, toolchain_here};
use crate::http::Client;
use crate::report::{Reporter, Stage};
use crate::settings::{GccVersion, ToolchainRequest};

/// So many releases are told to who asked for another.
const NEAR: usize = 5;

/// The release that is meant. Only where that is open is the mirror asked,
/// once a day.
pub(super) fn resolve(
    place: &ToolchainPlace<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<GccVersion, Error> {
    if let Some(version) = place.request.exact() {
        return Ok(version);
    }
    let remembered = remembered(place, options);
    if let Some((age, version)) = remembered
        && age < answer::FRESH
        && !options.refresh
    {
        return Ok(version);
    }
    reporter.started(Stage::Resolve, place.request.to_string());
    let asked = newest(place, options);
    // For who works offline with what is there, and does not ask to look again.
    if let (Err(error), Some((_, version)), false) = (&asked, remembered, options.refresh)
        && error.lets_the_next_try()
        && toolchain_here(place, options)?.is_some()
    {
        reporter.warning(format!("gcc {version} was the newest when it could be asked for"));
        return Ok(version);
    }
    let version = asked?;
    answer::keep(question(place), version.to_string(), options.downloads)?;
    reporter.finished(Stage::Resolve, format!("gcc {version}"));
    Ok(version)
}

/// The release that is remembered, however long ago.
pub(super) fn last_known(place: &ToolchainPlace<'_>, options: &Options) -> Option<GccVersion> {
    remembered(place, options).map(|(_, version)| version)
}

fn newest(place: &ToolchainPlace<'_>, options: &Options) -> Result<GccVersion, Error> {
    let client = Client::new(options.patience);
    let listed = client.text(&index(place)?, options.patience.contact)?;
    let fitting = versions_listed(&listed).filter(|version| place.request.fits(*version));
    fitting.max().ok_or_else(|| no_such(place.request, index(place), &listed))
}

/// The list of releases.
fn index(place: &ToolchainPlace<'_>) -> Result<String, Error> {
    Ok(format!("{}/{}/", place.url.trim_end_matches('/'), host()?))
}

/// That there is no such release, with those that there are if the mirror
/// tells.
pub(super) fn unknown(
    request: ToolchainRequest,
    client: &Client,
    place: &ToolchainPlace<'_>,
    options: &Options,
) -> Error {
    let listed = index(place).and_then(|url| Ok(client.text(&url, options.patience.contact)?));
    no_such(request, index(place), &listed.unwrap_or_default())
}

fn no_such(request: ToolchainRequest, index: Result<String, Error>, listed: &str) -> Error {
    match index {
        Ok(place) => Error::NoToolchain { request, place, near: near(request, listed) },
        Err(error) => error,
    }
}

/// The releases nearest to what was asked for: of the same first number, else
/// of the nearest ones; the newest first.
fn near(request: ToolchainRequest, listed: &str) -> Vec<ToolchainRequest> {
    let mut versions: Vec<GccVersion> = versions_listed(listed).collect();
    versions.sort_unstable_by_key(|version| {
        (version.major.abs_diff(request.major()), std::cmp::Reverse(*version))
    });
    versions.dedup();
    versions.truncate(NEAR);
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(ToolchainRequest::from).collect()
}

/// The releases that a folder's listing names: whatever stands in it as
/// `X.Y.Z/`.
pub(in crate::source) fn versions_listed(text: &str) -> impl Iterator<Item = GccVersion> {
    let outside = |c: char| !c.is_ascii_digit() && c != '.' && c != '/';
    text.split(outside).filter_map(|word| word.strip_suffix('/')?.parse().ok())
}

/// What an answer depends on, in one line.
fn question(place: &ToolchainPlace<'_>) -> String {
    format!("{} at {}", place.request, place.url)
}

/// The newest of several, as it was when the mirror was asked.
fn remembered(place: &ToolchainPlace<'_>, options: &Options) -> Option<(Duration, GccVersion)> {
    let (age, version): (_, String) = answer::last(&question(place), options.downloads)?;
    Some((age, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HTML: &str = "<html><title>Index of /pub/tools/crosstool/files/bin/x86_64/</title>\n\
        <a href=\"../\">../</a>\n\
        <a href=\"4.9.0/\">4.9.0/</a>      05-Jun-2014 04:25       -\n\
        <a href=\"9.5.0/\">9.5.0/</a>      27-May-2022 10:12       -\n\
        <a href=\"13.2.0/\">13.2.0/</a>    05-Aug-2023 23:12       -\n\
        <a href=\"13.10.0/\">13.10.0/</a>  13-Jun-2025 09:14       -\n\
        <a href=\"14.1.0/\">14.1.0/</a>    26-Jun-2024 11:00       -\n\
        <a href=\"sha256sums.asc\">sha256sums.asc</a>\n";

    fn near_to(text: &str) -> Vec<String> {
        near(text.parse().unwrap(), HTML).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listing_names_releases_and_the_newest_is_so_by_number() {
        let mut found: Vec<String> = versions_listed(HTML).map(|one| one.to_string()).collect();
        found.dedup();
        assert_eq!(found, ["4.9.0", "9.5.0", "13.2.0", "13.10.0", "14.1.0"]);
        let request: ToolchainRequest = "kernel.org:gcc-13".parse().unwrap();
        let newest = versions_listed(HTML).filter(|one| request.fits(*one)).max();
        assert_eq!(newest.unwrap().to_string(), "13.10.0");
    }

    #[test]
    fn who_asks_for_what_is_not_there_is_told_what_is() {
        let names = ["14.1.0", "13.10.0", "13.2.0", "9.5.0", "4.9.0"];
        let names = names.map(|name| format!("kernel.org:gcc-{name}"));
        assert_eq!(near_to("kernel.org:gcc-13.9"), names);
        assert!(near("kernel.org:gcc-13.9".parse().unwrap(), "").is_empty());
    }

    proptest! {
        #[test]
        fn any_listing_is_looked_through(listed in "(href=\"|[0-9.]{1,6}|/|é|.){0,40}") {
            for version in versions_listed(&listed) {
                let named = format!("{version}/");
                prop_assert!(listed.contains(&named));
            }
        }
    }
}
