//! The five layers, one over the other, and who gave each value.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::scope::Scope;
use super::table::{BuiltIn, SETTINGS};
use super::{Error, Key, Setting, Sources, nearest_name};

/// Variables for this project's own tests, which are no settings.
const TEST_PREFIX: &str = "S1B_TEST_";

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program itself.
    BuiltIn,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A setting's value as text, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which setting.
    pub setting: &'static Setting,
    /// The value after expansion; empty when there is none.
    pub text: String,
    /// Who gave it.
    pub origin: Origin,
}

/// The value of every setting, at the index of its key.
pub(super) fn merge(sources: &Sources) -> Result<Vec<Given>, Error> {
    let mut scope = Scope {
        given: built_in(sources),
        overrides: overrides(sources)?,
        locals: BTreeMap::new(),
        sources,
    };
    for (path, text) in [&sources.builder_config, &sources.dot_config].into_iter().flatten() {
        scope.read(path, text)?;
    }
    for (key, given) in scope.overrides {
        scope.given[key as usize] = given;
    }
    Ok(scope.given)
}

fn built_in(sources: &Sources) -> Vec<Given> {
    let text = |setting: &Setting| match (setting.default, setting.key) {
        (BuiltIn::Text(text), _) => text.to_owned(),
        (_, Key::Jobs) => sources.available_parallelism.unwrap_or(NonZeroUsize::MIN).to_string(),
        (_, Key::CacheDir) => cache_dir(&sources.environment).unwrap_or_default(),
        _ => String::new(),
    };
    let given = |setting| Given { setting, text: text(setting), origin: Origin::BuiltIn };
    SETTINGS.iter().map(given).collect()
}

/// As the XDG base directory specification has it: a relative
/// `XDG_CACHE_HOME` is to be ignored.
fn cache_dir(environment: &BTreeMap<String, String>) -> Option<String> {
    let absolute = |name| environment.get(name).filter(|path| path.starts_with('/'));
    absolute("XDG_CACHE_HOME")
        .map(|cache| format!("{}/stage1-builder", cache.trim_end_matches('/')))
        .or_else(|| {
            let home = absolute("HOME")?.trim_end_matches('/');
            Some(format!("{home}/.cache/stage1-builder"))
        })
}

/// What is over the files: the environment, and over it the flags.
///
/// An empty variable counts as none, as it did for the original; build
/// services like to pass them.
fn overrides(sources: &Sources) -> Result<BTreeMap<Key, Given>, Error> {
    let mut overrides = BTreeMap::new();
    for (name, text) in &sources.environment {
        match Key::named(name) {
            Some(_) if text.is_empty() => {}
            Some(key) => drop(overrides.insert(key, given(key, text, Origin::Environment))),
            None if !name.starts_with("S1B_") || name.starts_with(TEST_PREFIX) => {}
            None => {
                let nearest = nearest_name(name);
                return Err(Error::UnknownVariable { name: name.clone(), nearest });
            }
        }
    }
    let flags = sources.flags.iter();
    overrides.extend(flags.map(|(&key, text)| (key, given(key, text, Origin::Flag))));
    Ok(overrides)
}

pub(super) fn given(key: Key, text: &str, origin: Origin) -> Given {
    Given { setting: key.setting(), text: text.to_owned(), origin }
}
