use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {wanted}")]
pub struct NotAVersion {
    text: String,
    wanted: &'static str,
}

const KERNEL_FORMS: &str = "a kernel version (X.Y, X.Y.Z or X.Y-rcN)";
const REQUEST_FORMS: &str =
    "a kernel version (X.Y, X.Y.Z, X.Y-rcN, 'stable', 'longterm' or 'mainline')";

/// A series of kernel releases: `6.12` is 6.12.0 and all of its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl Series {
    /// The oldest one that anything here is for.
    pub const OLDEST: Self = Self { major: 4, minor: 4 };

    /// That of a release as `uname -r` says it, such as `6.1.0-56-amd64`;
    /// `None` where none is in it.
    #[must_use]
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(['.', '-', '+']).map_while(|part| part.parse().ok());
        Some(Self { major: numbers.next()?, minor: numbers.next()? })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Series {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let error = || NotAVersion { text: text.to_owned(), wanted: "a kernel series (X.Y)" };
        let (major, minor) = text.split_once('.').ok_or_else(error)?;
        Ok(Self {
            major: number(major).filter(|&n| n > 0).ok_or_else(error)?,
            minor: number(minor).ok_or_else(error)?,
        })
    }
}

/// One exact kernel release. Candidates sort before their release.
///
/// Shown as `X.Y.Z` (with `.0` for the first release of a series) or
/// `X.Y-rcN`: the form that names, labels and files carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelVersion {
    series: Series,
    /// Update number; 0 for the first release and for candidates.
    patch: u32,
    candidate: Option<u32>,
}

impl KernelVersion {
    /// The release `X.Y.Z`.
    #[must_use]
    pub fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { series: Series { major, minor }, patch, candidate: None }
    }

    /// A version that no kernel reaches, for what counts "since" some series.
    #[must_use]
    pub const fn newest() -> Self {
        Self { series: Series { major: u32::MAX, minor: 0 }, patch: 0, candidate: None }
    }

    /// The release candidate `X.Y-rcN`.
    #[must_use]
    pub fn release_candidate(major: u32, minor: u32, candidate: u32) -> Self {
        Self { series: Series { major, minor }, patch: 0, candidate: Some(candidate) }
    }

    /// The series that it belongs to.
    #[must_use]
    pub fn series(&self) -> Series {
        self.series
    }

    /// The update number, 0 for the first release.
    #[must_use]
    pub fn patch(&self) -> u32 {
        self.patch
    }

    /// The number of the release candidate, if it is one.
    #[must_use]
    pub fn candidate(&self) -> Option<u32> {
        self.candidate
    }

    /// What the kernel itself says before its `LOCALVERSION`: `6.12.0`,
    /// `6.12.3`, `6.13.0-rc4` (the top Makefile's `KERNELVERSION`).
    #[must_use]
    pub fn release(&self) -> String {
        let base = format!("{}.{}", self.series, self.patch);
        match self.candidate {
            Some(candidate) => format!("{base}-rc{candidate}"),
            None => base,
        }
    }

    /// The version in the tarball's name: `6.12` for the first release,
    /// `6.12.3`, `6.13-rc4`.
    #[must_use]
    pub fn tarball(&self) -> String {
        match (self.patch, self.candidate) {
            (_, Some(candidate)) => format!("{}-rc{candidate}", self.series),
            (0, None) => self.series.to_string(),
            (patch, None) => format!("{}.{patch}", self.series),
        }
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.candidate {
            Some(candidate) => write!(f, "{}-rc{candidate}", self.series),
            None => write!(f, "{}.{}", self.series, self.patch),
        }
    }
}

impl Ord for KernelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key =
            |version: &Self| (version.series, version.patch, version.candidate.unwrap_or(u32::MAX));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for KernelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An exact version; `X.Y` is read as the first release of the series.
/// [`KernelRequest`] is the form that users type, where `X.Y` is the series.
impl FromStr for KernelVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let error = || NotAVersion { text: text.to_owned(), wanted: KERNEL_FORMS };
        let (base, candidate) = match text.split_once("-rc") {
            Some((base, rc)) => (base, Some(number(rc).filter(|&n| n > 0).ok_or_else(error)?)),
            None => (text, None),
        };
        let (series, patch) = match base.match_indices('.').nth(1) {
            Some((dot, _)) => (&base[..dot], number(&base[dot + 1..]).ok_or_else(error)?),
            None => (base, 0),
        };
        if candidate.is_some() && patch != 0 {
            return Err(error());
        }
        Ok(Self { series: series.parse().map_err(|_| error())?, patch, candidate })
    }
}

impl serde::Serialize for KernelVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for KernelVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which kernel the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelRequest {
    /// `X.Y.Z`, `X.Y.0` or `X.Y-rcN`.
    Exact(KernelVersion),
    /// `X.Y`: the newest release of the series.
    Series(Series),
    /// The newest stable release.
    Stable,
    /// The newest release of the newest long-term series.
    Longterm,
    /// The newest release or candidate of Linus Torvalds's tree.
    Mainline,
}

impl KernelRequest {
    /// Whether this version can be what is asked for; of a word for whatever
    /// is newest today, every version can.
    #[must_use]
    pub fn fits(&self, version: &KernelVersion) -> bool {
        match self {
            Self::Exact(exact) => exact == version,
            Self::Series(series) => *series == version.series(),
            Self::Stable | Self::Longterm | Self::Mainline => true,
        }
    }
}

impl fmt::Display for KernelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => version.fmt(f),
            Self::Series(series) => series.fmt(f),
            Self::Stable => f.write_str("stable"),
            Self::Longterm => f.write_str("longterm"),
            Self::Mainline => f.write_str("mainline"),
        }
    }
}

impl FromStr for KernelRequest {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let error = |_| NotAVersion { text: text.to_owned(), wanted: REQUEST_FORMS };
        // A leading v is how tags are written.
        let bare = text.strip_prefix('v').unwrap_or(text);
        match text {
            "stable" => Ok(Self::Stable),
            "longterm" => Ok(Self::Longterm),
            "mainline" => Ok(Self::Mainline),
            _ => bare
                .parse()
                .map(Self::Series)
                .or_else(|_| bare.parse().map(Self::Exact))
                .map_err(error),
        }
    }
}

/// A release of rkt, whose stage1-kvm image ours depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RktVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl fmt::Display for RktVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for RktVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let error = || NotAVersion { text: text.to_owned(), wanted: "an rkt version (X.Y.Z)" };
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(error()),
        }
    }
}

/// Digits only, no sign, no leading zero: what `u32::from_str` takes and we
/// don't would make two spellings of one version.
pub(super) fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KernelVersion {
        text.parse().unwrap()
    }

    #[test]
    fn each_form_has_its_release_and_its_tarball() {
        for (text, shown, release, tarball) in [
            ("6.12", "6.12.0", "6.12.0", "6.12"),
            ("6.12.0", "6.12.0", "6.12.0", "6.12"),
            ("4.9.229", "4.9.229", "4.9.229", "4.9.229"),
            ("6.13-rc4", "6.13-rc4", "6.13.0-rc4", "6.13-rc4"),
        ] {
            let version = version(text);
            assert_eq!(version.to_string(), shown);
            assert_eq!(version.release(), release);
            assert_eq!(version.tarball(), tarball);
        }
    }

    #[test]
    fn the_series_is_in_every_kind_of_release() {
        for (release, major, minor) in [
            ("6.12.117-kinvolk-v1", 6, 12),
            ("6.1.0-56-amd64", 6, 1),
            ("6.13.0-rc4+", 6, 13),
            ("4.4.178", 4, 4),
        ] {
            assert_eq!(Series::of_release(release), Some(Series { major, minor }), "{release}");
        }
        assert_eq!(Series::of_release("next-20260101"), None);
    }

    #[test]
    fn candidates_come_before_their_release_and_numbers_are_numbers() {
        let sorted = ["4.4.45", "4.9.6", "4.9.229", "4.19", "6.13-rc2", "6.13-rc10", "6.13"];
        assert!(sorted.windows(2).all(|pair| version(pair[0]) < version(pair[1])));
    }

    #[test]
    fn a_request_tells_a_series_from_its_first_release() {
        let series = Series { major: 6, minor: 12 };
        assert_eq!("6.12".parse(), Ok(KernelRequest::Series(series)));
        assert_eq!("v6.12".parse(), Ok(KernelRequest::Series(series)));
        assert_eq!("6.12.0".parse(), Ok(KernelRequest::Exact(KernelVersion::new(6, 12, 0))));
        let candidate = KernelVersion::release_candidate(6, 13, 2);
        assert_eq!("6.13-rc2".parse(), Ok(KernelRequest::Exact(candidate)));
        assert_eq!("stable".parse(), Ok(KernelRequest::Stable));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "6", "6.", ".12", "6.12.", "6.12.3.4", "6.12-rc", "6.12.3-rc1", "06.1"] {
            assert!(text.parse::<KernelRequest>().is_err(), "{text}");
        }
        for text in ["6.12-rc0", "6.+1", "0.1", "latest", "6.12-rc1x", " 6.12"] {
            assert!(text.parse::<KernelRequest>().is_err(), "{text}");
        }
        assert!("1.30".parse::<RktVersion>().is_err());
    }
}
