//! What will be asked of a kernel's configuration, layer upon layer.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use super::dotconfig::Value;
use super::fragment::{Fragment, Request};
use super::{Error, features};
use crate::settings::KernelVersion;

/// The layers of a configuration, the lowest first. Serialised (names and
/// lines), it is what a build's key needs to know of the configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    version: KernelVersion,
    /// The lowest layer is a user's full configuration.
    full: bool,
    layers: Vec<Fragment>,
}

/// Plans the configuration of `version`.
///
/// `features` are the names turned on and those turned off. A
/// `user_config` (name and text of a full configuration) takes the base's
/// place; it says itself what is on, so no feature comes in on top of it by
/// default. `extra` comes last, such as what the fixes for old sources ask.
/// A later layer overrides the earlier ones, symbol by symbol.
///
/// # Errors
/// For a feature that is unknown, that the series lacks, or that is both on
/// and off; for a line of the user's configuration that can't be read.
pub fn fragments(
    version: &KernelVersion,
    features: (&[String], &[String]),
    user_config: Option<(&str, &str)>,
    extra: Vec<Fragment>,
) -> Result<Plan, Error> {
    let full = user_config.is_some();
    let mut layers = vec![match user_config {
        Some((name, text)) => Fragment::parse_full(name, text)?,
        None => features::base()?,
    }];
    layers.extend(features::chosen(version, features.0, features.1, !full)?);
    layers.extend(extra);
    Ok(Plan { version: *version, full, layers })
}

/// The user's full configuration for `version` in `folder`, if there is one:
/// `linux-X.Y.Z.config` (`linux-X.Y-rcN.config`), else `linux-X.Y.config`.
/// Gives its name and text.
///
/// # Errors
/// [`Error::Read`] when one is there and can't be read.
pub fn find_user_config(
    folder: &Path,
    version: &KernelVersion,
) -> Result<Option<(String, String)>, Error> {
    for stem in [version.to_string(), version.series().to_string()] {
        let name = format!("linux-{stem}.config");
        match fs::read(folder.join(&name)) {
            Ok(text) => return Ok(Some((name, String::from_utf8_lossy(&text).into_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(Error::Read { what: "the user's kernel configuration", source });
            }
        }
    }
    Ok(None)
}

/// A request that no later layer overrides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effective<'plan> {
    pub(super) layer: usize,
    pub(super) fragment: &'plan str,
    pub(super) request: &'plan Request,
}

impl Plan {
    /// The version that it is for.
    #[must_use]
    pub fn version(&self) -> &KernelVersion {
        &self.version
    }

    /// Whether a user's full configuration takes the base's place.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// With more layers on top.
    #[must_use]
    pub fn with(mut self, extra: impl IntoIterator<Item = Fragment>) -> Self {
        self.layers.extend(extra);
        self
    }

    /// What `above`, laid on top, would take from the layers so far: a line
    /// for each symbol that one of them wants otherwise.
    #[must_use]
    pub fn overridden_by(&self, above: &Fragment) -> Vec<String> {
        let asked = self.effective();
        let against = |new: &Request| {
            let old = asked.iter().find(|one| one.request.name == new.name)?;
            let (name, by) = (&new.name, above.name());
            let Request { value, line, .. } = old.request;
            (value != &new.value).then(|| {
                format!("{name}: {by} needs {}, not {value} [{}:{line}]", new.value, old.fragment)
            })
        };
        above.requests().iter().filter_map(against).collect()
    }

    /// How many symbols are asked for.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.effective().len()
    }

    /// Whether a symbol (without `CONFIG_`) is asked to be built in.
    #[must_use]
    pub fn asks_for(&self, symbol: &str) -> bool {
        let asked =
            |one: &Effective<'_>| one.request.name == symbol && one.request.value.plain() == "y";
        self.effective().iter().any(asked)
    }

    /// The layers, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Fragment] {
        &self.layers
    }

    /// The text to lie as `.config` before `make olddefconfig`: each symbol
    /// once, as the last layer that names it wants it. `suffix` (one line,
    /// such as `-kinvolk-v1`) becomes the kernel's `LOCALVERSION`.
    #[must_use]
    pub fn seed(&self, suffix: &str) -> String {
        let mut text = String::new();
        let mut layer = None;
        for effective in self.effective() {
            if layer.replace(effective.layer) != Some(effective.layer) {
                text.push_str(&format!("# {}\n", effective.fragment.replace(['\n', '\r'], " ")));
            }
            text.push_str(&effective.request.value.line(&effective.request.name));
        }
        let suffix = suffix.chars().filter(|character| !character.is_control()).collect();
        text.push_str("# version suffix\n");
        text.push_str(&Value::Text(suffix).line("LOCALVERSION"));
        // Else a git tree adds its commit to the release.
        text.push_str(&Value::NO.line("LOCALVERSION_AUTO"));
        text
    }

    /// What is asked after all overriding, in the order of the layers. A
    /// block of alternatives of which a later layer names one is gone: what
    /// that layer says of the name is all that counts.
    pub(super) fn effective(&self) -> Vec<Effective<'_>> {
        let all = || {
            self.layers.iter().enumerate().flat_map(|(layer, fragment)| {
                let name = fragment.name();
                let effective = move |request| Effective { layer, fragment: name, request };
                let asked = |request: &&Request| request.notes.asked(&self.version);
                fragment.requests().iter().filter(asked).map(effective)
            })
        };
        let mut last: HashMap<&str, (usize, usize)> = HashMap::new();
        for one in all() {
            last.insert(&one.request.name, (one.layer, one.request.line));
        }
        let overridden =
            |one: &Effective<'_>| last[one.request.name.as_str()] != (one.layer, one.request.line);
        let block = |one: &Effective<'_>| one.request.notes.any.map(|line| (one.layer, line));
        let gone: BTreeSet<_> = all().filter(overridden).filter_map(|one| block(&one)).collect();
        all()
            .filter(|one| !overridden(one) && block(one).is_none_or(|block| !gone.contains(&block)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(name: &str, text: &str) -> Fragment {
        Fragment::parse(name, text).unwrap()
    }

    fn plan(layers: Vec<Fragment>) -> Plan {
        Plan { version: KernelVersion::new(6, 12, 0), full: false, layers }
    }

    #[test]
    fn the_seed_names_each_symbol_once_and_the_last_layer_wins() {
        let plan = plan(vec![
            fragment("one", "CONFIG_A=y\nCONFIG_B=1\n\n#: any\nCONFIG_C=y\nCONFIG_D=y\n"),
            fragment("two", "# CONFIG_A is not set\nCONFIG_E=\"a\\\"b\"\nCONFIG_D=m\n"),
        ]);
        assert_eq!(
            plan.seed("-v\n1"),
            "# one\nCONFIG_B=1\n# two\n# CONFIG_A is not set\nCONFIG_E=\"a\\\"b\"\nCONFIG_D=m\n\
             # version suffix\nCONFIG_LOCALVERSION=\"-v1\"\n# CONFIG_LOCALVERSION_AUTO is not set\n"
        );
    }

    #[test]
    fn what_is_from_a_later_series_is_not_asked() {
        let of = |version: &str| {
            let layers =
                vec![fragment("one", "#: from 5.4\nCONFIG_A=y\n\n# CONFIG_B is not set\n")];
            let plan = Plan { version: version.parse().unwrap(), full: false, layers };
            (plan.asks_for("A"), plan.requests())
        };
        assert_eq!(of("4.19.108"), (false, 1));
        assert_eq!(of("5.4"), (true, 2));
    }

    #[test]
    fn what_a_layer_above_takes_away_is_told() {
        let plan = plan(vec![fragment("one", "CONFIG_A=y\nCONFIG_B=1\n# CONFIG_C is not set\n")]);
        let above = fragment("fix x", "# CONFIG_A is not set\nCONFIG_B=1\nCONFIG_D=y\n");
        assert_eq!(plan.overridden_by(&above), ["A: fix x needs n, not y [one:1]"]);
    }

    #[test]
    fn a_users_full_configuration_takes_the_bases_place() {
        let version = KernelVersion::new(6, 12, 3);
        let on = vec!["btf".to_owned()];
        let names = |plan: Plan| {
            plan.layers().iter().map(|layer| layer.name().to_owned()).collect::<Vec<_>>()
        };
        let own = fragments(&version, (&[], &[]), None, vec![fragment("fix", "")]).unwrap();
        assert!(!own.is_full());
        let own = names(own);
        assert_eq!(
            (own.first().unwrap().as_str(), own.last().unwrap().as_str()),
            ("base.config", "fix")
        );
        assert!(own.contains(&"features/btf.config".to_owned()));
        let full = Some(("linux-6.12.config", "CONFIG_A=y\nCONFIG_LOCALVERSION=\"-mine\"\n"));
        let users = fragments(&version, (&[], &[]), full, vec![]).unwrap();
        assert!(users.is_full() && !users.seed("-x").contains("mine"));
        assert_eq!(names(users), ["linux-6.12.config"]);
        let users = fragments(&version, (&on, &[]), full, vec![]).unwrap();
        let on = ["bpf", "btf", "tracing"].map(|name| format!("features/{name}.config"));
        let users = names(users);
        assert_eq!((users[0].as_str(), &users[1..]), ("linux-6.12.config", on.as_slice()));
    }

    #[test]
    fn the_configuration_of_the_release_comes_before_that_of_the_series() {
        let folder = tempfile::tempdir().unwrap();
        let found = |version: &str| {
            let found = find_user_config(folder.path(), &version.parse().unwrap()).unwrap();
            found.map(|(name, _)| name)
        };
        assert_eq!(found("6.12.3"), None);
        for name in ["linux-6.12.config", "linux-6.12.3.config", "linux-6.13-rc4.config"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(found("6.12.3").unwrap(), "linux-6.12.3.config");
        assert_eq!(found("6.12.0").unwrap(), "linux-6.12.config");
        assert_eq!(found("6.13-rc4").unwrap(), "linux-6.13-rc4.config");
        assert_eq!(found("6.13.0"), None);
    }

    #[test]
    fn what_is_serialised_tells_every_text_apart() {
        let text = |layers| serde_json::to_string(&plan(layers)).unwrap();
        let one = text(vec![fragment("one", "CONFIG_A=y\n")]);
        assert!(one.contains("CONFIG_A=y") && one.contains("one") && one.contains("6.12.0"));
        assert_ne!(one, text(vec![fragment("one", "CONFIG_A=m\n")]));
        assert_ne!(one, text(vec![fragment("two", "CONFIG_A=y\n")]));
        // A better comment is no reason to build again.
        assert_eq!(one, text(vec![fragment("one", "# why\n#: soft\nCONFIG_A=y\n")]));
    }
}
