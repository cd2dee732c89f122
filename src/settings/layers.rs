//! The five layers, one over the other.
//!
//! Inside a file, `${NAME}` of a setting is its value as far as known where
//! the line stands, and flags and environment are known from the start. So
//! `S1B_OUT_DIR=out/${S1B_KERNEL_VERSION}` follows the version that will be
//! built. In the shell's idiom `X="${X:-default}"` the layers below the file
//! don't count, else the line could never have an effect.
//! Other names are the file's own; then `DIR`, the project folder, as the
//! original had it; then the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::error::did_you_mean;
use super::syntax::{self, Assignment, Piece};
use super::table::{self, BuiltIn, SETTINGS};
use super::{Error, Key, Position, Setting};

/// Variables for this project's own tests, which are no settings.
const TEST_PREFIX: &str = "S1B_TEST_";
/// Longest value, in bytes: lines that double each other's values stay small.
const LONGEST_VALUE: usize = 64 * 1024;

/// Everything that settings are made from, read but not understood.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The project folder, which the built-in relative paths are relative to.
    pub project_dir: PathBuf,
    /// Path and text of `builder-config`, if there is one.
    pub builder_config: Option<(PathBuf, String)>,
    /// Path and text of `.config`, if there is one.
    pub dot_config: Option<(PathBuf, String)>,
    /// The process's environment, as far as it is text.
    pub environment: BTreeMap<String, String>,
    /// What the command line gave.
    pub flags: BTreeMap<Key, String>,
    /// The process's current directory, absolute.
    pub current_dir: PathBuf,
    /// The processors that the process may use; `None` counts as one.
    pub available_parallelism: Option<NonZeroUsize>,
}

impl Sources {
    /// Reads the two files of `project_dir`, the environment and what else
    /// the host says. Files that aren't there are left out.
    ///
    /// # Errors
    /// When a file, the current directory or a setting in the environment
    /// can't be read as text.
    pub fn from_host(project_dir: &Path, flags: BTreeMap<Key, String>) -> Result<Self, Error> {
        let current_dir = std::env::current_dir().map_err(Error::Read)?;
        let same = fs_err::canonicalize(project_dir).map_err(Error::Read)?
            == fs_err::canonicalize(&current_dir).map_err(Error::Read)?;
        // The same folder under the same name: so paths stay as short as typed.
        let project_dir = if same { current_dir.clone() } else { project_dir.to_owned() };
        let read = |name| read(&anchored(&project_dir, Path::new(name), &current_dir));
        Ok(Self {
            builder_config: read("builder-config")?,
            dot_config: read(".config")?,
            environment: environment(std::env::vars_os())?,
            flags,
            available_parallelism: std::thread::available_parallelism().ok(),
            project_dir,
            current_dir,
        })
    }

    /// The folder that a relative path of this origin is relative to.
    pub(super) fn base<'a>(&'a self, origin: &'a Origin) -> &'a Path {
        match origin {
            Origin::BuiltIn => &self.project_dir,
            Origin::File { path, .. } => path.parent().unwrap_or(&self.project_dir),
            Origin::Environment | Origin::Flag => &self.current_dir,
        }
    }
}

/// `path` as seen from the current directory, when it was meant from `base`;
/// as short as it was typed where that is the same.
pub(super) fn anchored(base: &Path, path: &Path, current_dir: &Path) -> PathBuf {
    if current_dir.join(base) == current_dir { path.to_owned() } else { base.join(path) }
}

fn read(path: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Read(error)),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let at = String::from_utf8_lossy(good).chars().fold(Position::START, Position::after);
            let instead = Some("save the file as UTF-8".to_owned());
            let problem = "not UTF-8".to_owned();
            Err(Error::Line { file: path.to_owned(), at, problem, instead })
        }
    }
}

/// The variables that are text. Those that aren't can only be other
/// programs' own, unless their names are ours.
fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut texts = BTreeMap::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let ours = name.starts_with("S1B_") || Key::named(&name).is_some();
        match value.into_string() {
            Ok(value) => drop(texts.insert(name, value)),
            Err(_) if ours => return Err(Error::NotText { name }),
            Err(_) => {}
        }
    }
    Ok(texts)
}

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
                let nearest = table::nearest_name(name);
                return Err(Error::UnknownVariable { name: name.clone(), nearest });
            }
        }
    }
    let flags = sources.flags.iter();
    overrides.extend(flags.map(|(&key, text)| (key, given(key, text, Origin::Flag))));
    Ok(overrides)
}

fn given(key: Key, text: &str, origin: Origin) -> Given {
    Given { setting: key.setting(), text: text.to_owned(), origin }
}

/// What is known while the files are read.
struct Scope<'a> {
    sources: &'a Sources,
    given: Vec<Given>,
    overrides: BTreeMap<Key, Given>,
    /// Names of the files that are no settings.
    locals: BTreeMap<String, String>,
}

impl Scope<'_> {
    fn read(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let line = |at, problem, instead| Error::Line {
            file: path.to_owned(),
            at,
            problem,
            instead: Some(instead),
        };
        let assignments =
            syntax::parse(text).map_err(|error| line(error.at, error.problem, error.instead))?;
        for Assignment { name, at, value } in &assignments {
            check_name(name).map_err(|fix| line(*at, fix.problem, fix.instead))?;
            let place = Place { path, name, at: *at };
            let value = self
                .expand(value, &place)
                .map_err(|(at, fix)| line(at, fix.problem, fix.instead))?;
            match Key::named(name) {
                Some(key) => {
                    let origin = Origin::File { path: path.to_owned(), line: at.line };
                    self.given[key as usize] = given(key, &value, origin);
                }
                None => drop(self.locals.insert(name.clone(), value)),
            }
        }
        Ok(())
    }

    fn expand(&self, pieces: &[Piece], place: &Place) -> Result<String, (Position, Fix)> {
        let mut value = String::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => value.push_str(text),
                Piece::Variable { name, default, at } => {
                    let place = Place { at: *at, ..*place };
                    value.push_str(&self.variable(name, default.as_deref(), &place)?);
                }
            }
            if value.len() > LONGEST_VALUE {
                let problem = format!("a value of more than {LONGEST_VALUE} bytes");
                return Err((
                    place.at,
                    Fix { problem, instead: "write a shorter value".to_owned() },
                ));
            }
        }
        Ok(value)
    }

    /// As in a shell, an empty value calls for the default, too.
    fn variable(
        &self,
        name: &str,
        default: Option<&[Piece]>,
        place: &Place,
    ) -> Result<String, (Position, Fix)> {
        if name.starts_with("S1B_") {
            check_name(name).map_err(|fix| (place.at, fix))?;
        }
        // `X="${X:-default}"` is a default for whoever sets nothing: that a
        // lower layer has one as well must not make the line void.
        let own = name == place.name && default.is_some_and(|default| !default.is_empty());
        let value = if own { self.lookup_above(name, place.path) } else { self.lookup(name) };
        match (value, default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => self.expand(default, place),
            (None, None) => {
                let problem = format!("{name} is not set");
                let instead = format!("write ${{{name}:-}} if it may be empty");
                Err((place.at, Fix { problem, instead }))
            }
        }
    }

    /// Without the layers below the file at `path`.
    fn lookup_above(&self, name: &str, path: &Path) -> Option<String> {
        let in_this_file = |given: &Given| matches!(&given.origin, Origin::File { path: file, .. } if file == path);
        match Key::named(name) {
            Some(key) if self.overrides.contains_key(&key) => self.lookup(name),
            Some(key) if !in_this_file(&self.given[key as usize]) => None,
            _ => self.lookup(name),
        }
    }

    fn lookup(&self, name: &str) -> Option<String> {
        if let Some(key) = Key::named(name) {
            let given = self.overrides.get(&key).unwrap_or(&self.given[key as usize]);
            let nobody_set_it = given.text.is_empty() && given.origin == Origin::BuiltIn;
            return (!nobody_set_it).then(|| given.text.clone());
        }
        if let Some(local) = self.locals.get(name) {
            return Some(local.clone());
        }
        if name == "DIR" {
            let folder = self.sources.current_dir.join(&self.sources.project_dir);
            return Some(folder.to_string_lossy().into_owned());
        }
        self.sources.environment.get(name).cloned()
    }
}

/// Where an expansion stands.
struct Place<'a> {
    path: &'a Path,
    /// The name that the line assigns to.
    name: &'a str,
    at: Position,
}

/// What is wrong with a line, and what mends it.
struct Fix {
    problem: String,
    instead: String,
}

/// Refuses names that are no settings but were meant as ones.
fn check_name(name: &str) -> Result<(), Fix> {
    if Key::named(name).is_some() {
        return Ok(());
    }
    let nearest = table::nearest_name(name);
    // A local variable one letter away from a setting is a slip.
    let slip =
        nearest.is_some_and(|known| strsim::levenshtein(&name.to_ascii_uppercase(), known) <= 1);
    if name.starts_with("S1B_") || (slip && !name.eq_ignore_ascii_case("DEBUG")) {
        let problem = format!("unknown setting '{name}'");
        return Err(Fix { problem, instead: did_you_mean(name, nearest) });
    }
    if name.starts_with("CONFIG_") {
        let problem = format!("'{name}' is a symbol of the kernel's configuration");
        let instead = "keep the kernel's own in config/linux-X.Y.config; this file has settings";
        return Err(Fix { problem, instead: instead.to_owned() });
    }
    Ok(())
}
