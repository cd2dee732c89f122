//! Which of kernel.org's own compilers is meant.

use std::fmt;
use std::str::FromStr;

use super::value::Wrong;
use super::version::number;

/// Who has toolchains, as it stands before the colon.
const KERNEL_ORG: &str = "kernel.org:";

/// A release of gcc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GccVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl fmt::Display for GccVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for GccVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match *numbers(text).as_deref().unwrap_or_default() {
            [major, minor, patch] if major > 0 => Ok(Self { major, minor, patch }),
            _ => Err(format!("'{text}' is not a release of gcc (X.Y.Z)")),
        }
    }
}

/// A toolchain as it is asked for: `kernel.org:gcc-13.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ToolchainRequest {
    major: u32,
    minor: Option<u32>,
    patch: Option<u32>,
}

impl ToolchainRequest {
    /// The release, if it is clear without asking anybody. Since gcc 5 a
    /// release is `X.Y.0`, and what counts up is `Y`
    /// (<https://gcc.gnu.org/develop.html#num_scheme>).
    #[must_use]
    pub fn exact(&self) -> Option<GccVersion> {
        let patch = self.patch.or((self.major >= 5).then_some(0))?;
        Some(GccVersion { major: self.major, minor: self.minor?, patch })
    }

    /// Whether a release can be what is meant.
    #[must_use]
    pub fn fits(&self, version: GccVersion) -> bool {
        self.major == version.major
            && self.minor.is_none_or(|minor| minor == version.minor)
            && self.patch.is_none_or(|patch| patch == version.patch)
    }

    /// The first number of the version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }
}

impl From<GccVersion> for ToolchainRequest {
    fn from(GccVersion { major, minor, patch }: GccVersion) -> Self {
        Self { major, minor: Some(minor), patch: Some(patch) }
    }
}

impl fmt::Display for ToolchainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KERNEL_ORG}gcc-{}", self.major)?;
        [self.minor, self.patch].into_iter().flatten().try_for_each(|part| write!(f, ".{part}"))
    }
}

impl FromStr for ToolchainRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let version = text.strip_prefix(KERNEL_ORG).and_then(|name| name.strip_prefix("gcc-"));
        let (major, minor, patch) = match *version.and_then(numbers).as_deref().unwrap_or_default()
        {
            [major] => (major, None, None),
            [major, minor] => (major, Some(minor), None),
            [major, minor, patch] => (major, Some(minor), Some(patch)),
            _ => (0, None, None),
        };
        match major {
            0 => Err(format!("'{text}' is not a toolchain")),
            _ => Ok(Self { major, minor, patch }),
        }
    }
}

/// A setting's text; a command of the host's is no toolchain.
pub(super) fn toolchain(text: &str) -> Result<ToolchainRequest, Wrong> {
    text.parse().map_err(|problem| {
        let bare = text.rsplit(':').next().unwrap_or_default();
        let version = bare.strip_prefix("gcc-").unwrap_or(bare);
        let meant = format!("{KERNEL_ORG}gcc-{version}");
        let instead = match meant.parse::<ToolchainRequest>() {
            Ok(_) => format!("write {meant}; a compiler of this host is chosen with --cc"),
            Err(_) => "write kernel.org:gcc-13.2.0, kernel.org:gcc-13.2 or, for the newest of \
                       them, kernel.org:gcc-13"
                .to_owned(),
        };
        Wrong::new(problem, instead)
    })
}

/// Numbers with points between them.
fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(text: &str) -> ToolchainRequest {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_is_exact_since_gcc_5_and_older_ones_with_three_numbers() {
        for (text, exact) in [
            ("kernel.org:gcc-13.2.0", Some("13.2.0")),
            ("kernel.org:gcc-13.2", Some("13.2.0")),
            ("kernel.org:gcc-13", None),
            ("kernel.org:gcc-4.9", None),
            ("kernel.org:gcc-4.9.4", Some("4.9.4")),
        ] {
            let found = request(text).exact().map(|version| version.to_string());
            assert_eq!(found.as_deref(), exact, "{text}");
            assert_eq!(request(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_meant_fits() {
        let version = |text: &str| text.parse::<GccVersion>().unwrap();
        assert!(request("kernel.org:gcc-13").fits(version("13.4.0")));
        assert!(request("kernel.org:gcc-4.9").fits(version("4.9.4")));
        assert!(!request("kernel.org:gcc-4.9").fits(version("4.8.0")));
        assert!(!request("kernel.org:gcc-13.2.1").fits(version("13.2.0")));
        assert!(version("9.5.0") < version("10.1.0"));
    }

    #[test]
    fn other_forms_are_refused_and_the_right_one_is_shown() {
        let hint = |text: &str| toolchain(text).unwrap_err().instead.unwrap();
        for (text, wanted) in [
            ("gcc-13", "write kernel.org:gcc-13;"),
            ("kernel.org:13.2", "write kernel.org:gcc-13.2;"),
            ("korg:gcc-13.2", "write kernel.org:gcc-13.2;"),
            ("kernel.org:clang-16", "write kernel.org:gcc-13.2.0,"),
            ("kernel.org:gcc-", "write kernel.org:gcc-13.2.0,"),
            ("kernel.org:gcc-0.1", "write kernel.org:gcc-13.2.0,"),
            ("kernel.org:gcc-013", "write kernel.org:gcc-13.2.0,"),
            ("kernel.org:gcc-1.2.3.4", "write kernel.org:gcc-13.2.0,"),
            ("kernel.org:gcc-13.2/..", "write kernel.org:gcc-13.2.0,"),
        ] {
            assert!(hint(text).starts_with(wanted), "{text}: {}", hint(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_has_one_spelling(text in "(kernel\\.org:)?(gcc-)?[0-9.]{0,8}|.{0,20}") {
            if let Ok(found) = toolchain(&text) {
                prop_assert_eq!(found.to_string(), text);
                prop_assert!(found.exact().is_none_or(|version| found.fits(version)));
            }
        }
    }
}
