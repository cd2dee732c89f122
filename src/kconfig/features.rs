//! The base configuration and the features that come with the program.
//!
//! To add a feature: a file in `config/features/` and an entry in
//! [`FEATURES`].

use super::Error;
use super::fragment::Fragment;
use crate::nearest::nearest;
use crate::settings::{KernelVersion, Series};

/// A named fragment that can be turned on and off.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// As `--features` names it.
    pub name: &'static str,
    /// One line for a user who chooses.
    pub summary: &'static str,
    /// The first series that has it.
    pub since: Series,
    /// Whether it is on unless turned off.
    pub default: bool,
    text: &'static str,
}

/// Every feature, by name.
pub const FEATURES: &[Feature] = &[Feature {
    name: "btf",
    summary: "type information for eBPF (CO-RE, fentry, BPF LSM); needs pahole",
    // DEBUG_INFO_BTF: commit e83b9f55448a ("kbuild: add ability to generate
    // BTF type info for vmlinux"), 5.2.
    since: Series { major: 5, minor: 2 },
    default: true,
    text: include_str!("../../config/features/btf.config"),
}];

const BASE: &str = include_str!("../../config/base.config");

impl Feature {
    fn fragment(&self) -> Result<Fragment, Error> {
        Fragment::parse(&format!("features/{}.config", self.name), self.text)
    }

    fn fits(&self, version: &KernelVersion) -> bool {
        version.series() >= self.since
    }
}

/// The base that stands under every configuration of our own.
pub(super) fn base() -> Result<Fragment, Error> {
    Fragment::parse("base.config", BASE)
}

/// The fragments of the features that are on. Those that are on by default
/// count only where `defaults` says so and the series has them; one that is
/// asked for and that the series lacks is an error.
pub(super) fn chosen(
    version: &KernelVersion,
    enabled: &[String],
    disabled: &[String],
    defaults: bool,
) -> Result<Vec<Fragment>, Error> {
    for name in enabled {
        let feature = find(name)?;
        if !feature.fits(version) {
            let (name, since) = (feature.name, feature.since);
            return Err(Error::FeatureTooNew { name, since, version: *version });
        }
    }
    for name in disabled {
        let feature = find(name)?;
        if enabled.contains(name) {
            return Err(Error::FeatureTwice { name: feature.name });
        }
    }
    let among = |names: &[String], feature: &Feature| names.iter().any(|name| name == feature.name);
    FEATURES
        .iter()
        .filter(|feature| {
            let by_default = defaults && feature.default && feature.fits(version);
            among(enabled, feature) || (by_default && !among(disabled, feature))
        })
        .map(Feature::fragment)
        .collect()
}

fn find(name: &str) -> Result<&'static Feature, Error> {
    FEATURES.iter().find(|feature| feature.name == name).ok_or_else(|| Error::UnknownFeature {
        name: name.to_owned(),
        nearest: nearest(name, FEATURES.iter().map(|feature| feature.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: &str, enabled: &[&str], disabled: &[&str]) -> Result<Vec<String>, Error> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let version = version.parse().unwrap();
        let chosen = chosen(&version, &owned(enabled), &owned(disabled), true)?;
        Ok(chosen.iter().map(|fragment| fragment.name().to_owned()).collect())
    }

    #[test]
    fn what_comes_with_the_program_is_valid() {
        assert!(base().unwrap().requests().len() > 200);
        for feature in FEATURES {
            assert!(!feature.fragment().unwrap().requests().is_empty());
        }
        assert!(FEATURES.is_sorted_by_key(|feature| feature.name));
    }

    #[test]
    fn btf_is_on_where_the_series_has_it() {
        assert_eq!(names("5.2", &[], &[]).unwrap(), ["features/btf.config"]);
        assert_eq!(names("5.2", &["btf"], &[]).unwrap(), ["features/btf.config"]);
        assert!(names("5.1.21", &[], &[]).unwrap().is_empty());
        assert!(names("6.12", &[], &["btf"]).unwrap().is_empty());
        assert!(names("4.4.60", &[], &["btf"]).unwrap().is_empty());
    }

    #[test]
    fn wrong_choices_are_refused() {
        let refused = |version, enabled: &[&str], disabled: &[&str]| {
            let error = names(version, enabled, disabled).unwrap_err();
            format!("{error} / {}", error.hint().unwrap_or_default())
        };
        assert_eq!(
            refused("6.12", &["bft"], &[]),
            "there is no feature 'bft' / did you mean 'btf'? features: btf"
        );
        assert_eq!(
            refused("6.12", &[], &["quantum"]),
            "there is no feature 'quantum' / features: btf"
        );
        assert!(refused("4.9.229", &["btf"], &[]).starts_with("feature 'btf' needs Linux 5.2"));
        assert!(refused("6.12", &["btf"], &["btf"]).starts_with("feature 'btf' is both"));
    }
}
