//! What each release of rkt expects of a stage1-kvm image.
//!
//! From rkt's own sources, tag by tag: `stage1/aci/aci-manifest.in` for the
//! entry points and versions, `stage1/init/kvm/` for the kernel's name.

use super::Error;
use crate::settings::RktVersion;

/// How a release of rkt's stage1-kvm is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// Which release.
    pub version: RktVersion,
    /// The manifest's `acVersion`.
    pub ac_version: &'static str,
    /// The programs that add, remove, start and stop an app are called
    /// `/app<separator>add` and so on.
    pub app_separator: char,
    /// Whether there is a program `/attach`.
    pub attach: bool,
    /// `coreos.com/rkt/stage1/interface-version`.
    pub interface_version: u32,
    /// What the kernel's file is called, at the root. Under the wrong name
    /// nobody notices: the dependency's own kernel boots.
    pub kernel_file: &'static str,
}

/// Every release that can be depended on, oldest first. 1.20.0 is the first
/// with the manifest's present form, 1.30.0 was rkt's last.
pub const UPSTREAMS: &[Upstream] = &[
    upstream(1, 20, 0),
    upstream(1, 21, 0),
    upstream(1, 22, 0),
    upstream(1, 23, 0),
    upstream(1, 24, 0),
    upstream(1, 25, 0),
    upstream(1, 26, 0),
    upstream(1, 27, 0),
    upstream(1, 28, 0),
    upstream(1, 28, 1),
    upstream(1, 29, 0),
    upstream(1, 30, 0),
];

const fn upstream(major: u32, minor: u32, patch: u32) -> Upstream {
    Upstream {
        version: RktVersion { major, minor, patch },
        ac_version: match minor {
            ..24 => "0.8.9",
            24..29 => "0.8.10",
            _ => "0.8.11",
        },
        app_separator: if minor < 23 { '-' } else { '_' },
        attach: minor >= 24,
        interface_version: if minor < 29 { 5 } else { 6 },
        kernel_file: if minor < 27 { "bzImage" } else { "kernel_image" },
    }
}

impl Upstream {
    /// What is known of a release.
    ///
    /// # Errors
    /// When it is none of [`UPSTREAMS`].
    pub fn of(version: RktVersion) -> Result<&'static Self, Error> {
        UPSTREAMS
            .iter()
            .find(|upstream| upstream.version == version)
            .ok_or(Error::Upstream { version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_is_as_its_tag_says() {
        let rows = [
            ("1.20.0", "0.8.9", '-', false, 5, "bzImage"),
            ("1.22.0", "0.8.9", '-', false, 5, "bzImage"),
            ("1.23.0", "0.8.9", '_', false, 5, "bzImage"),
            ("1.24.0", "0.8.10", '_', true, 5, "bzImage"),
            ("1.26.0", "0.8.10", '_', true, 5, "bzImage"),
            ("1.27.0", "0.8.10", '_', true, 5, "kernel_image"),
            ("1.28.1", "0.8.10", '_', true, 5, "kernel_image"),
            ("1.29.0", "0.8.11", '_', true, 6, "kernel_image"),
            ("1.30.0", "0.8.11", '_', true, 6, "kernel_image"),
        ];
        for (text, ac_version, app_separator, attach, interface_version, kernel_file) in rows {
            let version: RktVersion = text.parse().unwrap();
            let expected = Upstream {
                version,
                ac_version,
                app_separator,
                attach,
                interface_version,
                kernel_file,
            };
            assert_eq!(Upstream::of(version).unwrap(), &expected);
        }
    }

    #[test]
    fn others_are_refused_with_the_range() {
        for text in ["1.19.0", "1.31.0", "2.0.0", "1.28.2"] {
            let error = Upstream::of(text.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            let hint = error.hint().unwrap();
            assert!(hint.contains("1.20.0") && hint.contains("1.30.0"), "{hint}");
        }
    }
}
