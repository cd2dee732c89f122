//! What is tried in the guest: the table of `config/checks.toml`, and what of
//! it an image's configuration promises.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::kconfig::{DotConfig, Tristate};
use crate::settings::Series;

/// The table, as committed.
const TABLE: &str = include_str!("../../../../config/checks.toml");

/// Groups in the order in which they are shown.
pub(super) const GROUPS: [&str; 7] =
    ["kernel", "filesystem", "controller", "namespace", "bpf-program", "bpf-map", "btf"];
/// The table of symbols that no check is about.
#[cfg(test)]
const WITHOUT: &str = "without-check";

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    config: Vec<String>,
    since: Option<String>,
}

/// A check of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) group: &'static str,
    pub(super) name: String,
    /// The symbols that bring it.
    pub(super) config: Vec<String>,
    /// Why it is not tried, if it is not.
    pub(super) not: Option<Not>,
}

/// Why a check is not tried. The order is that in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Not {
    /// The series is older than it.
    Yet(Series),
    /// A symbol is a module.
    Module(String),
    /// A symbol is off.
    Off(String),
}

/// Every check, with those that this kernel does not promise marked.
///
/// # Errors
/// When the table is malformed, which a test would have told.
pub(super) fn plan(config: &DotConfig, series: Series) -> Result<Vec<Planned>, String> {
    let mut tables: BTreeMap<String, toml::Value> =
        toml::from_str(TABLE).map_err(|error| error.to_string())?;
    let mut planned = Vec::new();
    for group in GROUPS {
        let table = tables.remove(group).ok_or_else(|| format!("no table {group}"))?;
        let entries: BTreeMap<String, Entry> =
            table.try_into().map_err(|error: toml::de::Error| format!("{group}: {error}"))?;
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|(name, entry)| Ok((since(&entry)?, name, entry)))
            .collect::<Result<_, String>>()?;
        entries.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        planned.extend(entries.into_iter().map(|(since, name, entry)| {
            let not = not(&entry, since, config, series);
            Planned { group, name, config: entry.config, not }
        }));
    }
    Ok(planned)
}

fn since(entry: &Entry) -> Result<Option<Series>, String> {
    let parsed = |text: &String| text.parse().map_err(|_| format!("{text} is no series"));
    entry.since.as_ref().map(parsed).transpose()
}

fn not(entry: &Entry, since: Option<Series>, config: &DotConfig, series: Series) -> Option<Not> {
    if let Some(since) = since.filter(|since| series < *since) {
        return Some(Not::Yet(since));
    }
    entry.config.iter().find_map(|names| {
        let values = names.split('|').map(|name| config.tristate(name));
        let shown = || format!("CONFIG_{}", names.replace('|', " or CONFIG_"));
        match values.max() {
            Some(Tristate::Yes) => None,
            Some(Tristate::Module) => Some(Not::Module(shown())),
            _ => Some(Not::Off(shown())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stage1_builder_guest::probe;

    fn planned(config: &str, series: Series) -> Vec<Planned> {
        plan(&DotConfig::parse("config", config).unwrap(), series).unwrap()
    }

    const NEW: Series = Series { major: 6, minor: 12 };

    #[test]
    fn the_guest_knows_every_check() {
        for Planned { group, name, .. } in planned("", NEW) {
            assert!(probe::knows(group, &name), "{group} {name}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_promise_is_not_tried() {
        let config = "CONFIG_EXT4_FS=y\nCONFIG_BLK_DEV_LOOP=y\nCONFIG_OVERLAY_FS=m\n\
                      CONFIG_AUTOFS4_FS=y\nCONFIG_DEBUG_INFO_BTF=y\n";
        let old = planned(config, Series { major: 4, minor: 9 });
        let not = |name: &str| {
            let found = old.iter().find(|planned| planned.name == name);
            found.unwrap_or_else(|| panic!("{name}")).not.clone()
        };
        assert_eq!((not("ext4"), not("autofs")), (None, None));
        assert_eq!(not("overlay"), Some(Not::Module("CONFIG_OVERLAY_FS".to_owned())));
        assert_eq!(not("fuse"), Some(Not::Off("CONFIG_FUSE_FS".to_owned())));
        assert_eq!(not("vmlinux"), Some(Not::Yet(Series { major: 5, minor: 4 })));
    }

    /// Lines of a part of a fragment that turn something on.
    fn symbols<'t>(text: &'t str, parts: &[&str]) -> Vec<&'t str> {
        let mut inside = parts.is_empty();
        let mut found = Vec::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("# ---- ") {
                inside = parts.iter().any(|part| title.starts_with(part));
            }
            let symbol = line.strip_prefix("CONFIG_").and_then(|line| line.strip_suffix("=y"));
            found.extend(symbol.filter(|_| inside));
        }
        found
    }

    #[test]
    fn no_symbol_of_the_promised_kinds_is_forgotten() {
        let tables: BTreeMap<String, toml::Table> = toml::from_str(TABLE).unwrap();
        let mut known: Vec<&str> = tables[WITHOUT].keys().map(String::as_str).collect();
        let planned = planned("", NEW);
        let named = planned.iter().flat_map(|planned| &planned.config);
        known.extend(named.flat_map(|names| names.split('|')));
        let base = include_str!("../../../../config/base.config");
        let parts = symbols(base, &["namespaces", "control groups", "file systems"]);
        assert!(parts.len() > 40, "the parts of base.config have other names: {parts:?}");
        let features = [
            include_str!("../../../../config/features/bpf.config"),
            include_str!("../../../../config/features/btf.config"),
            include_str!("../../../../config/features/filesystems.config"),
        ];
        let asked = features.iter().flat_map(|text| symbols(text, &[])).chain(parts);
        let forgotten: Vec<&str> = asked.filter(|symbol| !known.contains(symbol)).collect();
        assert!(forgotten.is_empty(), "neither a check nor {WITHOUT}: {forgotten:?}");
    }
}
