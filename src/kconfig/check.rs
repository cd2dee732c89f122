//! What was asked against what came out.

use std::collections::BTreeMap;
use std::fmt;

use super::dotconfig::Value;
use super::eval::Scene;
use super::fragment::Request;
use super::plan::{Effective, Plan};
use super::reasons::{Reason, list};
use super::rkt::{Need, missing_for_rkt};
use super::tree::{Place, Symbol, Tree};
use super::{DotConfig, Error};
use crate::settings::Arch;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look; the build goes on.
    Warning,
    /// The build stops.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub what: What,
}

/// The kinds of findings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A symbol has another value than was asked for.
    Differs {
        /// The symbol, without `CONFIG_`.
        symbol: String,
        /// What was asked.
        asked: Value,
        /// What came out; `None` for a text or number that isn't set.
        got: Option<Value>,
        /// Why.
        reasons: Vec<Reason>,
        /// Fragment and line that ask.
        asked_in: (String, usize),
    },
    /// The tree does not define the symbol.
    Unknown {
        /// The symbol, without `CONFIG_`.
        symbol: String,
        /// What was asked.
        asked: Value,
        /// A name that is defined and looks like it.
        nearest: Option<String>,
        /// Fragment and line that ask.
        asked_in: (String, usize),
    },
    /// A user's full configuration sets symbols that the tree does not
    /// define: it was made for another series.
    Outdated {
        /// The configuration's name.
        file: String,
        /// The symbols, without `CONFIG_`.
        symbols: Vec<String>,
    },
    /// rkt's guest needs a symbol built in that isn't.
    MissingForRkt {
        /// The need.
        need: &'static Need,
        /// What the first of its symbols is.
        got: Option<Value>,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// A Kconfig file could not be read: explanations may lack something.
    Unread {
        /// The line that names it.
        at: Place,
        /// What was wrong.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.what)
    }
}

/// A value that isn't set, as a text.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { symbol, asked, got, reasons, asked_in: (file, line) } => {
                write!(f, "{symbol}: asked {asked}, got {}", shown(got.as_ref()))?;
                because(f, reasons)?;
                write!(f, " [{file}:{line}]")
            }
            Self::Unknown { symbol, asked, nearest, asked_in: (file, line) } => {
                write!(f, "{symbol}: asked {asked}, unknown in this tree")?;
                if let Some(nearest) = nearest {
                    write!(f, " -- did you mean {nearest}?")?;
                }
                write!(f, " [{file}:{line}]")
            }
            Self::Outdated { file, symbols } => {
                let names = list(symbols.iter().map(String::as_str));
                write!(f, "{file}: unknown in this tree: {names}")
            }
            Self::MissingForRkt { need, got, reasons } => {
                write!(f, "{}: rkt needs y ({}), got ", need.any_of.join(" or "), need.purpose)?;
                f.write_str(&shown(got.as_ref()))?;
                because(f, reasons)
            }
            Self::Unread { at, why } => write!(f, "{at}: not read: {why}"),
        }
    }
}

fn because(f: &mut fmt::Formatter<'_>, reasons: &[Reason]) -> fmt::Result {
    for (index, reason) in reasons.iter().enumerate() {
        write!(f, "{}{reason}", if index == 0 { " -- " } else { " | " })?;
    }
    Ok(())
}

impl Plan {
    /// Compares what was asked with `result`, the `.config` that
    /// `olddefconfig` made of the seed in the source whose Kconfig files are
    /// `tree`. Gives the warnings.
    ///
    /// Of a user's full configuration, only what a user can set counts, and
    /// what differs is a warning; what rkt needs built in is an error in
    /// every case.
    ///
    /// # Errors
    /// [`Error::Refused`] with all findings if one of them is an error.
    pub fn check(
        &self,
        tree: &Tree,
        arch: Arch,
        result: &DotConfig,
    ) -> Result<Vec<Finding>, Error> {
        let findings = self.findings(tree, arch, result);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(Error::Refused { version: *self.version(), findings });
        }
        Ok(findings)
    }

    /// All findings, errors first.
    #[must_use]
    pub fn findings(&self, tree: &Tree, arch: Arch, result: &DotConfig) -> Vec<Finding> {
        let scene = Scene { tree, config: result };
        let mut findings = Vec::new();
        let mut blocks: BTreeMap<(usize, usize), Block> = BTreeMap::new();
        for effective in self.effective() {
            let notes = &effective.request.notes;
            if notes.arch.is_some_and(|only| only != arch) {
                continue;
            }
            let found = self.request(scene, arch, &effective);
            match notes.any {
                Some(line) => {
                    let block = blocks.entry((effective.layer, line)).or_default();
                    block.required |= notes.required(self.version(), arch);
                    block.satisfied |= found.is_none();
                    block.findings.extend(found);
                }
                None => findings.extend(found),
            }
        }
        findings.extend(blocks.into_values().flat_map(Block::into_findings));
        for finding in &mut findings {
            if let What::Unknown { symbol, nearest, .. } = &mut finding.what {
                *nearest = tree.nearest(symbol).map(ToOwned::to_owned);
            }
        }
        findings.extend(rkt(scene, &findings));
        findings.extend(self.outdated(tree));
        findings.extend(unread(tree));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    fn request(&self, scene: Scene<'_>, arch: Arch, one: &Effective<'_>) -> Option<Finding> {
        let request = one.request;
        let gentle = self.is_full() && one.layer == 0;
        let required = request.notes.required(self.version(), arch);
        let severity = match gentle || request.notes.soft || !required {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let asked_in = (one.fragment.to_owned(), request.line);
        let (symbol, asked) = (request.name.clone(), request.value.clone());
        let Some(definition) = scene.tree.symbol(&symbol) else {
            // The nearest name is looked for later: most of these are names
            // of other series in a block whose other name is there.
            let what = What::Unknown { symbol, asked, nearest: None, asked_in };
            // In such a block an absent name is never "as asked".
            let counts = required || request.notes.any.is_some();
            return (counts && !gentle).then_some(Finding { severity, what });
        };
        let got = scene.value(&symbol);
        let not_a_users_business = gentle && !definition.has_prompt();
        if not_a_users_business || same(&asked, got.as_ref(), definition) {
            return None;
        }
        let reasons = scene.reasons(&symbol, definition, &asked);
        Some(Finding { severity, what: What::Differs { symbol, asked, got, reasons, asked_in } })
    }

    /// What a user's full configuration sets and the tree doesn't define: one
    /// finding, because a file from another series has a hundred of them.
    fn outdated(&self, tree: &Tree) -> Option<Finding> {
        let users = |one: &Effective<'_>| self.is_full() && one.layer == 0;
        let gone = |request: &Request| {
            let sets = !request.is_off() && !request.value.plain().is_empty();
            sets && tree.symbol(&request.name).is_none()
        };
        let effective = self.effective().into_iter();
        let symbols: Vec<_> = effective
            .filter(|one| users(one) && gone(one.request))
            .map(|one| one.request.name.clone())
            .collect();
        if symbols.is_empty() {
            return None;
        }
        let file = self.layers().first()?.name().to_owned();
        Some(Finding { severity: Severity::Warning, what: What::Outdated { file, symbols } })
    }
}

/// Alternatives of which one is enough.
#[derive(Default)]
struct Block {
    required: bool,
    satisfied: bool,
    findings: Vec<Finding>,
}

impl Block {
    fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        // Where none of the names needs to exist, only a dropped one counts.
        let unknown = |finding: &Finding| matches!(finding.what, What::Unknown { .. });
        findings.retain(|finding| !self.satisfied && (self.required || !unknown(finding)));
        findings
    }
}

/// Whether a value is what was asked for. `n` for a text or number is how a
/// `.config` says that it isn't set, and numbers are compared as such.
fn same(asked: &Value, got: Option<&Value>, symbol: &Symbol) -> bool {
    let Some(got) = got else { return asked == &Value::NO || asked.plain().is_empty() };
    let numbers = || {
        let number = |value: &Value| super::dotconfig::number(value.plain());
        symbol.absent().is_none() && number(asked).is_some() && number(asked) == number(got)
    };
    asked == got || numbers()
}

/// What rkt lacks, beyond what `already` says of the same symbols.
fn rkt(scene: Scene<'_>, already: &[Finding]) -> Vec<Finding> {
    let said = |need: &Need| {
        already.iter().any(|finding| match &finding.what {
            What::Differs { symbol, .. } | What::Unknown { symbol, .. } => {
                finding.severity == Severity::Error && need.any_of.contains(&symbol.as_str())
            }
            _ => false,
        })
    };
    let finding = |need: &'static Need| {
        let name = need.any_of.iter().find(|name| scene.tree.symbol(name).is_some());
        let reasons =
            name.and_then(|name| Some(scene.reasons(name, scene.tree.symbol(name)?, &Value::YES)));
        let what = What::MissingForRkt {
            need,
            got: name.and_then(|name| scene.value(name)),
            // A user's configuration may just not have asked.
            reasons: reasons
                .into_iter()
                .flatten()
                .filter(|reason| !matches!(reason, Reason::Open { .. }))
                .collect(),
        };
        Finding { severity: Severity::Error, what }
    };
    let missing = missing_for_rkt(scene.config).into_iter();
    missing.filter(|need| !said(need)).map(finding).collect()
}

fn unread(tree: &Tree) -> Vec<Finding> {
    tree.unread
        .iter()
        .map(|(at, why)| Finding {
            severity: Severity::Warning,
            what: What::Unread { at: at.clone(), why: why.clone() },
        })
        .collect()
}
