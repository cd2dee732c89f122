//! What is tried with Kconfig files and configurations. See
//! [`crate::fuzzing`].

use std::collections::BTreeMap;

use fs_err as fs;

use super::dotconfig::Value;
use super::expr::Expr;
use super::lex::tokens;
use super::parse::{self, EntryKind, PropertyKind};
use super::{DotConfig, Fragment, Tree, fragments};
use crate::fuzzing::{folder, texts};
use crate::settings::{Arch, KernelVersion};

const NO_FEATURES: (&[String], &[String]) = (&[], &[]);

/// A tree's top Kconfig file and another, a finished configuration and a
/// fragment: all of the tree is read or told as unread, and every symbol and
/// every request can be explained.
pub fn kconfig(bytes: &[u8]) {
    let [top, other, config, fragment] = texts(bytes);
    expressions(&top);
    let tree = folder();
    let written = fs::write(tree.path().join("Kconfig"), &top)
        .and_then(|()| fs::create_dir(tree.path().join("d")))
        .and_then(|()| fs::write(tree.path().join("d/Kconfig"), &other));
    assert!(written.is_ok());
    let Ok(tree) = Tree::read(tree.path(), Arch::X86_64) else { return };
    let config = DotConfig::parse(".config", &config).unwrap_or_default();
    let names: Vec<&str> = tree.symbols.keys().map(|name| &**name).collect();
    for name in names {
        let explained = tree.explain(name, &config);
        assert_eq!(explained.is_some(), tree.symbol(name).is_some());
        assert!(explained.is_none_or(|explained| !format!("{explained}").is_empty()));
        assert!(tree.symbol(name).is_none() || tree.nearest(name) == Some(name));
    }
    let version = KernelVersion::new(6, 12, 0);
    let fragment = Fragment::parse("fragment", &fragment).map(|found| vec![found]);
    let plan = fragments(&version, NO_FEATURES, Some(("full", "")), fragment.unwrap_or_default());
    for finding in plan.iter().flat_map(|plan| plan.findings(&tree, Arch::X86_64, &config)) {
        assert!(!finding.to_string().is_empty());
    }
}

/// An expression that was read is the same when it is shown and read again.
fn expressions(text: &str) {
    for property in parse::parse(text).entries.iter().flat_map(|entry| &entry.properties) {
        if let PropertyKind::Depends(expr) | PropertyKind::Visible(expr) = &property.kind
            && !is_unread(expr)
        {
            let shown = expr.to_string();
            // Of a text, the escapes and quotes are not shown.
            if !shown.contains(['"', '\\', '$']) {
                assert_eq!(Expr::parse(&tokens(&shown)), *expr, "{shown}");
            }
        }
    }
    let ends = |kind: &EntryKind| matches!(kind, EntryKind::End);
    let entries = parse::parse(text).entries;
    assert!(entries.iter().filter(|entry| ends(&entry.kind)).count() <= text.lines().count());
}

fn is_unread(expr: &Expr) -> bool {
    match expr {
        Expr::Unread(_) => true,
        Expr::Not(inner) => is_unread(inner),
        Expr::All(all) | Expr::Any(all) => all.iter().any(is_unread),
        Expr::Operand(_) | Expr::Compare(..) => false,
    }
}

/// A `.config`, taken as one, as a fragment and as a full configuration: each
/// symbol has the last value that a line gives it, and what is written for
/// `make` says the same.
pub fn dotconfig(bytes: &[u8]) {
    let [text, above] = texts(bytes);
    let Ok(config) = DotConfig::parse(".config", &text) else {
        // A fragment has the same lines.
        assert!(Fragment::parse("fragment", &text).is_err());
        return;
    };
    let written: String = config.iter().map(|(name, value)| value.line(name)).collect();
    assert_eq!(DotConfig::parse("written", &written).as_ref().ok(), Some(&config));
    let above = Fragment::parse("above", &above);
    let version = KernelVersion::new(6, 12, 0);
    let extra = above.ok().into_iter().collect();
    let Ok(plan) = fragments(&version, NO_FEATURES, Some(("full", &text)), extra) else { return };
    let seed = DotConfig::parse("seed", &plan.seed("-suffix"));
    let seed = seed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(seed.get("LOCALVERSION"), Some(&Value::Text("-suffix".to_owned())));
    let mut wanted: BTreeMap<&str, &Value> = config.iter().collect();
    if plan.layers().len() > 1 {
        return;
    }
    for name in ["LOCALVERSION", "LOCALVERSION_AUTO"] {
        wanted.insert(name, seed.get(name).unwrap_or(&Value::NO));
    }
    assert_eq!(seed.iter().collect::<BTreeMap<_, _>>(), wanted);
}
