//! The base configuration and the features that come with the program.
//!
//! To add a feature: a file in `config/features/` and an entry in
//! [`FEATURES`].

use std::collections::BTreeSet;

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
    /// The features that it makes no sense without.
    pub needs: &'static [&'static str],
    text: &'static str,
}

const ON: bool = true;
const OFF: bool = false;

/// A feature of every series: its file lies under its name.
macro_rules! feature {
    ($name:literal, $default:ident, needs [$($needs:literal),*], $summary:literal) => {
        Feature {
            name: $name,
            summary: $summary,
            since: Series::OLDEST,
            default: $default,
            needs: &[$($needs),*],
            text: include_str!(concat!("../../config/features/", $name, ".config")),
        }
    };
}

/// Every feature, by name. A later one's lines override an earlier one's.
pub const FEATURES: &[Feature] = &[
    feature!("bpf", ON, needs["tracing"], "BPF programs of every kind but those of `btf`"),
    Feature {
        // DEBUG_INFO_BTF: commit e83b9f55448a ("kbuild: add ability to
        // generate BTF type info for vmlinux"), 5.2.
        since: Series { major: 5, minor: 2 },
        ..feature!(
            "btf",
            ON,
            needs["bpf"],
            "type information for BPF (CO-RE, fentry, BPF LSM); needs `pahole`"
        )
    },
    feature!("debug", OFF, needs [], "the kernel's checks of itself: locks, lists, memory; slow"),
    feature!("filesystems", OFF, needs [], "btrfs, f2fs, xfs, vfat, iso9660, NFS; device mapper"),
    feature!("kasan", OFF, needs [], "the address sanitizer; slow, and needs an eighth of the memory"),
    feature!("netfilter", ON, needs [], "iptables, ipset and nft"),
    feature!("network", ON, needs [], "bridges, veth and their like; traffic control; what `ss` asks"),
    feature!("systemd", ON, needs [], "what systemd uses where it is there; version 1 of control groups"),
    feature!("tracing", ON, needs [], "perf, ftrace, kprobes, uprobes"),
];

const BASE: &str = include_str!("../../config/base.config");

impl Feature {
    fn fragment(&self) -> Result<Fragment, Error> {
        Fragment::parse(&format!("features/{}.config", self.name), self.text)
    }

    /// Itself and what it needs. One step is enough to ask each of those in
    /// turn; features don't need each other in a circle.
    fn with_needs(&self) -> Vec<&'static str> {
        let deeper = |name: &&str| FEATURES.iter().find(|one| one.name == *name);
        let needs = self.needs.iter().filter_map(deeper).flat_map(Self::with_needs);
        needs.chain([self.name]).collect()
    }

    /// Whether this version can have it when `off` are turned off.
    fn possible(&self, version: &KernelVersion, off: &[&'static Self]) -> Result<(), Error> {
        let (name, since) = (self.name, self.since);
        if version.series() < since {
            return Err(Error::FeatureTooNew { name, since, version: *version });
        }
        let lacks =
            self.with_needs().into_iter().find(|one| off.iter().any(|off| off.name == *one));
        match lacks {
            Some(lacks) if lacks == name => Err(Error::FeatureTwice { name }),
            Some(needs) => Err(Error::FeatureNeeds { name, needs }),
            None => Ok(()),
        }
    }
}

/// The base that stands under every configuration of our own.
pub(super) fn base() -> Result<Fragment, Error> {
    Fragment::parse("base.config", BASE)
}

/// The fragments of the features that are on. Those that are on by default
/// count only where `defaults` says so and the series has them; one that is
/// asked for and that the series lacks is an error. What a feature needs comes
/// with it, unless it was turned off: then the feature goes, too, or is an
/// error if it was asked for.
pub(super) fn chosen(
    version: &KernelVersion,
    enabled: &[String],
    disabled: &[String],
    defaults: bool,
) -> Result<Vec<Fragment>, Error> {
    let off = disabled.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut on = BTreeSet::new();
    for name in enabled {
        let feature = find(name)?;
        feature.possible(version, &off)?;
        on.extend(feature.with_needs());
    }
    if defaults {
        let possible = FEATURES.iter().filter(|one| one.default);
        let possible = possible.filter(|one| one.possible(version, &off).is_ok());
        on.extend(possible.flat_map(Feature::with_needs));
    }
    FEATURES.iter().filter(|one| on.contains(one.name)).map(Feature::fragment).collect()
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
        assert!(base().unwrap().requests().len() > 150);
        for feature in FEATURES {
            assert!(!feature.fragment().unwrap().requests().is_empty());
        }
        assert!(FEATURES.is_sorted_by_key(|feature| feature.name));
    }

    #[test]
    fn what_is_on_by_default() {
        let wanted = ["bpf", "btf", "netfilter", "network", "systemd", "tracing"];
        let files = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("features/{name}.config")).collect()
        };
        assert_eq!(names("6.12", &[], &[]).unwrap(), files(&wanted));
        assert_eq!(names("5.2", &["btf"], &[]).unwrap(), files(&wanted));
        let without: Vec<_> = wanted.into_iter().filter(|name| *name != "btf").collect();
        for version in ["4.4.60", "5.1.21"] {
            assert_eq!(names(version, &[], &[]).unwrap(), files(&without));
        }
        assert_eq!(names("6.12", &[], &["btf"]).unwrap(), files(&without));
        assert_eq!(names("4.4.60", &["kasan"], &["btf"]).unwrap().len(), without.len() + 1);
    }

    #[test]
    fn what_a_feature_needs_comes_and_goes_with_it() {
        let left = names("6.12", &[], &["tracing"]).unwrap();
        assert!(!left.iter().any(|name| name.contains("bpf") || name.contains("btf")), "{left:?}");
        let version = "6.12".parse().unwrap();
        let alone = chosen(&version, &["btf".to_owned()], &[], false).unwrap();
        let alone: Vec<_> = alone.iter().map(Fragment::name).collect();
        assert_eq!(alone, ["bpf", "btf", "tracing"].map(|name| format!("features/{name}.config")));
    }

    #[test]
    fn wrong_choices_are_refused() {
        let refused = |version, enabled: &[&str], disabled: &[&str]| {
            let error = names(version, enabled, disabled).unwrap_err();
            format!("{error} / {}", error.hint().unwrap_or_default())
        };
        assert!(refused("6.12", &["bft"], &[]).starts_with(
            "there is no feature 'bft' / did you mean 'btf'? features: bpf, btf, debug"
        ));
        assert!(
            refused("6.12", &[], &["quantum"]).starts_with("there is no feature 'quantum' / fe")
        );
        assert_eq!(
            refused("6.12", &["btf"], &["tracing"]),
            "feature 'btf' needs 'tracing', which is turned off / leave out '-tracing', or 'btf'"
        );
        assert!(refused("4.9.229", &["btf"], &[]).starts_with("feature 'btf' needs Linux 5.2"));
        assert!(refused("6.12", &["btf"], &["btf"]).starts_with("feature 'btf' is both"));
    }
}
