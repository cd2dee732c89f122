//! From fragments to a kernel's `.config`, checked symbol by symbol.
//!
//! A configuration is the series' own Kconfig defaults with fragments on top:
//! `config/base.config` (or a user's full `config/linux-X.Y[.Z].config` in
//! its place), the features that are on, and what fixes for old sources ask.
//! [`fragments`] plans the layers, [`Plan::seed`] is the text for `make
//! olddefconfig`, and [`Plan::check`] compares every request with what came
//! out. Kconfig drops what it can't satisfy without a word; here each such
//! symbol is named together with the false conditions, or with the symbol
//! that forces it, and the line of the tree that says so.
//!
//! For that, [`Tree`] reads the tree's Kconfig files itself. It runs nothing;
//! conditions that hang on a compiler test stay unknown, and the values of
//! symbols are those of the finished `.config`.
//!
//! Nothing lies on disk that is this room's own: fragments are compiled in,
//! trees are only read.

mod check;
mod dotconfig;
mod eval;
mod explain;
mod expr;
mod features;
mod fragment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lex;
mod parse;
mod plan;
mod reasons;
mod rkt;
mod tree;
mod tristate;
mod walk;

#[cfg(test)]
mod tests;

pub use check::{Finding, Severity, What};
pub use dotconfig::{DotConfig, Value};
pub use explain::{Condition, DefinedAt, Explanation, SelectedBy, explain};
pub use features::{FEATURES, Feature};
pub use fragment::{Fragment, Request};
pub use parse::Kind;
pub use plan::{Plan, find_user_config, fragments};
pub use reasons::Reason;
pub use rkt::{Need, RKT_BUILT_IN, missing_for_rkt};
pub use tree::{Place, Tree};
pub use tristate::Tristate;

use crate::report::Fault;
use crate::settings::{KernelVersion, Series};

/// What can go wrong in this room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that can't be read.
    #[error("can't read {what}")]
    Read {
        /// Which kind of file.
        what: &'static str,
        /// Says the path.
        source: std::io::Error,
    },
    /// A line of a fragment or a `.config` that is none.
    #[error("{file}:{line}: {wrong}")]
    Line {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        wrong: String,
    },
    /// A feature that there isn't.
    #[error("there is no feature '{name}'")]
    UnknownFeature {
        /// As typed.
        name: String,
        /// The one likely meant.
        nearest: Option<&'static str>,
    },
    /// A feature that the series lacks.
    #[error("feature '{name}' needs Linux {since} or newer, and this is {version}")]
    FeatureTooNew {
        /// The feature.
        name: &'static str,
        /// The first series that has it.
        since: Series,
        /// The version asked for.
        version: KernelVersion,
    },
    /// A feature that is on and off at once.
    #[error("feature '{name}' is both turned on and turned off")]
    FeatureTwice {
        /// The feature.
        name: &'static str,
    },
    /// A feature that is on without what it needs.
    #[error("feature '{name}' needs '{needs}', which is turned off")]
    FeatureNeeds {
        /// The feature.
        name: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A symbol that the tree doesn't define.
    #[error("the tree defines no symbol '{name}'")]
    UnknownSymbol {
        /// As typed, without `CONFIG_`.
        name: String,
        /// The one likely meant.
        nearest: Option<String>,
    },
    /// The configuration did not come out as asked. One line a finding.
    #[error("the configuration of Linux {version} did not come out as asked:{}", lines(.findings))]
    Refused {
        /// The version.
        version: KernelVersion,
        /// All findings, errors first.
        findings: Vec<Finding>,
    },
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

impl Error {
    fn line(file: &str, line: usize, wrong: impl Into<String>) -> Self {
        Self::Line { file: file.to_owned(), line, wrong: wrong.into() }
    }

    /// The kind of failure.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Fault::NotFound
            }
            Self::Read { .. } => Fault::Storage,
            Self::UnknownFeature { .. }
            | Self::FeatureTooNew { .. }
            | Self::FeatureTwice { .. }
            | Self::FeatureNeeds { .. } => Fault::Settings,
            Self::Line { .. } | Self::UnknownSymbol { .. } | Self::Refused { .. } => Fault::Kconfig,
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFeature { nearest, .. } => {
                let names: Vec<_> = FEATURES.iter().map(|feature| feature.name).collect();
                let names = names.join(", ");
                Some(match nearest {
                    Some(nearest) => format!("did you mean '{nearest}'? features: {names}"),
                    None => format!("features: {names}"),
                })
            }
            Self::FeatureTooNew { name, .. } => Some(format!("leave '{name}' out of --features")),
            Self::FeatureTwice { name } => Some(format!("either '{name}' or '-{name}'")),
            Self::FeatureNeeds { name, needs } => {
                Some(format!("leave out '-{needs}', or '{name}'"))
            }
            Self::UnknownSymbol { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean '{nearest}'?"))
            }
            Self::Refused { findings, .. } => Some(hint_for(findings)),
            Self::Read { .. } | Self::Line { .. } => None,
        }
    }
}

fn hint_for(findings: &[Finding]) -> String {
    let needs_pahole = |finding: &Finding| match &finding.what {
        What::Differs { reasons, .. } => reasons.iter().any(|reason| {
            matches!(reason, Reason::Unmet { terms, .. }
                if terms.iter().any(|term| term.contains("PAHOLE")))
        }),
        _ => false,
    };
    if findings.iter().any(needs_pahole) {
        return "install a newer pahole (package pahole or dwarves), or add --features -btf".into();
    }
    let rkt = |finding: &Finding| matches!(finding.what, What::MissingForRkt { .. });
    if findings.iter().any(rkt) {
        return "set what is named to y in the configuration, with what it depends on".into();
    }
    "ask for what is false as well, or leave the symbol out; a '#: since A.B' line above it says \
     that older series lack it"
        .into()
}
