//! Which releases there are: `releases.json`, `sha256sums.asc` and folder
//! listings. All pure; a loader gives the text.

use serde::Deserialize;

use crate::digest::{Algorithm, Digest};
use crate::settings::{KernelRequest, KernelVersion, Series};

/// What we read of kernel.org's `releases.json`; the rest is ignored.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Releases {
    latest_stable: LatestStable,
    releases: Vec<Release>,
}

#[derive(Debug, Clone, Deserialize)]
struct LatestStable {
    version: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Release {
    /// `mainline`, `stable`, `longterm` or `linux-next`.
    moniker: String,
    version: String,
    /// Whether there will be no further release.
    iseol: Option<bool>,
    released: Option<Released>,
}

#[derive(Debug, Clone, Deserialize)]
struct Released {
    /// `2026-01-08`.
    isodate: String,
}

/// A release as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) version: KernelVersion,
    pub(super) moniker: String,
    pub(super) released: Option<String>,
    pub(super) end_of_life: Option<bool>,
}

impl Listed {
    /// A release that the folder has and the list has not.
    pub(super) fn unlisted(version: KernelVersion) -> Self {
        Self { version, moniker: String::new(), released: None, end_of_life: None }
    }
}

impl Releases {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The version meant; `None` for a series that is not listed (any more)
    /// and for exact versions, which the file can't speak of.
    pub(super) fn find(&self, request: KernelRequest) -> Option<KernelVersion> {
        match request {
            KernelRequest::Exact(_) => None,
            // The newest release: a candidate is none.
            KernelRequest::Series(series) => self
                .all()
                .map(|(_, version)| version)
                .filter(|version| version.series() == series && version.candidate().is_none())
                .max(),
            KernelRequest::Stable => self.latest_stable.version.parse().ok(),
            KernelRequest::Longterm => self.newest("longterm"),
            KernelRequest::Mainline => self.newest("mainline"),
        }
    }

    /// Every release that a request can mean.
    pub(super) fn fitting(&self, request: Option<KernelRequest>) -> Vec<Listed> {
        let listed = self.releases.iter().filter_map(|release| {
            Some(Listed {
                version: release.version.parse().ok()?,
                moniker: release.moniker.clone(),
                released: release.released.as_ref().map(|date| date.isodate.clone()),
                end_of_life: release.iseol,
            })
        });
        let fits = |listed: &Listed| match request {
            None => true,
            Some(request @ (KernelRequest::Exact(_) | KernelRequest::Series(_))) => {
                request.fits(&listed.version)
            }
            Some(word) => self.find(word) == Some(listed.version),
        };
        listed.filter(fits).collect()
    }

    fn newest(&self, moniker: &str) -> Option<KernelVersion> {
        self.all().filter(|(found, _)| *found == moniker).map(|(_, version)| version).max()
    }

    /// All but what has no version of our kind (`next-20260101`).
    fn all(&self) -> impl Iterator<Item = (&str, KernelVersion)> {
        self.releases
            .iter()
            .filter_map(|release| Some((release.moniker.as_str(), release.version.parse().ok()?)))
    }
}

/// The newest release of a series that a folder's `sha256sums.asc` or HTML
/// listing names: any `linux-<version>.tar.xz` in the text counts.
pub(super) fn newest_named(text: &str, series: Series) -> Option<KernelVersion> {
    versions_named(text).filter(|version| version.series() == series).max()
}

fn versions_named(text: &str) -> impl Iterator<Item = KernelVersion> {
    text.match_indices("linux-").filter_map(|(start, prefix)| {
        let rest = &text[start + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
        rest[..end.unwrap_or(rest.len())].strip_suffix(".tar.xz")?.parse().ok()
    })
}

/// The SHA-256 that a `sha256sums.asc` has for a file.
pub(super) fn checksum_of(sums: &str, file: &str) -> Option<Digest> {
    sums.lines().find_map(|line| {
        let (hex, name) = line.split_once(char::is_whitespace)?;
        let named = name.trim_start().trim_start_matches('*') == file;
        named.then(|| Digest::from_hex(Algorithm::Sha256, hex)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = r#"{
        "latest_stable": {"version": "6.18.3"},
        "releases": [
            {"iseol": false, "version": "6.19-rc4", "moniker": "mainline", "pgp": null},
            {"iseol": false, "version": "6.18.3", "moniker": "stable"},
            {"iseol": true, "version": "6.17.13", "moniker": "stable"},
            {"iseol": false, "version": "6.12.63", "moniker": "longterm"},
            {"iseol": false, "version": "6.6.119", "moniker": "longterm"},
            {"iseol": false, "version": "next-20260108", "moniker": "linux-next"}
        ]}"#;

    #[test]
    fn each_request_has_its_release() {
        let releases = Releases::parse(JSON).unwrap();
        for (request, expected) in [
            ("stable", Some("6.18.3")),
            ("longterm", Some("6.12.63")),
            ("mainline", Some("6.19-rc4")),
            ("6.12", Some("6.12.63")),
            ("6.17", Some("6.17.13")),
            // Only candidates so far, and no longer listed.
            ("6.19", None),
            ("4.4", None),
            ("6.12.3", None),
        ] {
            let found = releases.find(request.parse().unwrap());
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{request}");
        }
        assert!(Releases::parse("<html>").is_err());
    }

    #[test]
    fn the_newest_of_a_folder_is_found_in_both_of_its_lists() {
        let sums = "\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

0000000000000000000000000000000000000000000000000000000000000001  linux-4.4.9.tar.xz
0000000000000000000000000000000000000000000000000000000000000002  linux-4.4.302.tar.gz
0000000000000000000000000000000000000000000000000000000000000003  linux-4.4.302.tar.xz
0000000000000000000000000000000000000000000000000000000000000004  linux-4.40.1.tar.xz
0000000000000000000000000000000000000000000000000000000000000005  patch-4.4.303.xz
";
        let html = r#"<a href="linux-4.4.tar.xz">linux-4.4.tar.xz</a> 10-Jan-2016
            <a href="linux-4.4.302.tar.xz">linux-4.4.302.tar.xz</a>
            <a href="linux-4.4.302.tar.sign">linux-4.4.302.tar.sign</a>"#;
        let series = Series { major: 4, minor: 4 };
        for text in [sums, html] {
            assert_eq!(newest_named(text, series), Some(KernelVersion::new(4, 4, 302)));
        }
        assert_eq!(newest_named(sums, Series { major: 4, minor: 5 }), None);
        let digest = checksum_of(sums, "linux-4.4.302.tar.xz").unwrap();
        assert!(digest.hex().ends_with('3'));
        assert_eq!(checksum_of(sums, "linux-4.4.30"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in "(linux-|[0-9.é]{1,4}|\\.tar\\.xz|.){0,40}") {
            _ = newest_named(&text, Series { major: 4, minor: 4 });
            _ = checksum_of(&text, "linux-4.4.tar.xz");
        }
    }
}
