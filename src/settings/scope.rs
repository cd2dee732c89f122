//! What the lines of the files see while they are read.
//!
//! `${NAME}` of a setting is its value as far as known where the line stands,
//! and flags and environment are known from the start. So
//! `S1B_OUT_DIR=out/${S1B_KERNEL_VERSION}` follows the version that will be
//! built. In the shell's idiom `X="${X:-default}"` the layers below the file
//! don't count, else the line could never have an effect. Other names are the
//! files' own; then `DIR`, the project folder, as the original had it; then
//! the environment.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::did_you_mean;
use super::layers::given;
use super::syntax::{self, Assignment, Piece};
use super::{Error, Given, Key, Origin, Position, Sources, nearest_name};

/// Longest value, in bytes: lines that double each other's values stay small.
const LONGEST_VALUE: usize = 64 * 1024;

/// What is known while the files are read.
pub(super) struct Scope<'a> {
    pub(super) sources: &'a Sources,
    /// The value of every setting so far, at the index of its key.
    pub(super) given: Vec<Given>,
    /// What is over the files.
    pub(super) overrides: BTreeMap<Key, Given>,
    /// Names of the files that are no settings.
    pub(super) locals: BTreeMap<String, String>,
}

impl Scope<'_> {
    /// Lays a file over what is known.
    pub(super) fn read(&mut self, path: &Path, text: &str) -> Result<(), Error> {
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
    let nearest = nearest_name(name);
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
