//! Fragments: what is asked of a configuration.
//!
//! A fragment is written as a `.config` is, so that the kernel's own tools
//! take it, too. Lines that start with `#:` are notes; they hold for the
//! lines below them up to the next blank line:
//!
//! ```text
//! fragment = { line }
//! line     = "" | comment | note | "CONFIG_NAME=" value | "# CONFIG_NAME is not set"
//! note     = "#:" word { "," word }
//! word     = "since A.B"    an older series may lack the names
//!          | "since A.B on NAME"  so it may on this architecture
//!          | "from A.B"     an older series is not asked at all
//!          | "until A.B"    this series and newer ones may lack them
//!          | "arch NAME"    on other architectures nothing is checked
//!          | "any"          one of the names is enough (a symbol was renamed)
//!          | "soft"         a name that doesn't come out is a warning
//! value    = "y" | "m" | "n" | number | "text"
//! ```
//!
//! Without a note a name must exist in the tree and come out as asked. Where
//! a note says that the series may lack it, its absence is fine, and a name
//! that is there all the same (a backport) and doesn't come out is a warning.

use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use super::dotconfig::{Line, Value};
use super::{Error, Tristate};
use crate::settings::{Arch, KernelVersion, Series};

/// What the `#:` lines above a request say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) from: Option<Series>,
    pub(super) since: Option<Series>,
    /// The same on one architecture, which got the names later.
    pub(super) since_on: Vec<(Series, Arch)>,
    pub(super) until: Option<Series>,
    pub(super) arch: Option<Arch>,
    pub(super) soft: bool,
    /// The line of the block, if one name of it is enough.
    pub(super) any: Option<usize>,
}

impl Notes {
    /// Whether this series is asked at all.
    pub(super) fn asked(&self, version: &KernelVersion) -> bool {
        self.from.is_none_or(|from| version.series() >= from)
    }

    /// Whether the names must exist in this series.
    pub(super) fn required(&self, version: &KernelVersion, arch: Arch) -> bool {
        let series = version.series();
        self.since.is_none_or(|since| series >= since)
            && self.since_on.iter().all(|(since, on)| *on != arch || series >= *since)
            && self.until.is_none_or(|until| series < until)
    }

    fn add(&mut self, note: &str, line: usize) -> Result<(), String> {
        for word in note.split(',') {
            let parts: Vec<_> = word.split_whitespace().collect();
            match parts[..] {
                ["any"] => self.any = Some(line),
                ["soft"] => self.soft = true,
                ["from", series] => self.from = Some(parse(series)?),
                ["since", series] => self.since = Some(parse(series)?),
                ["since", series, "on", arch] => {
                    self.since_on.push((parse(series)?, parse(arch)?));
                }
                ["until", series] => self.until = Some(parse(series)?),
                ["arch", arch] => self.arch = Some(parse(arch)?),
                _ => {
                    let forms =
                        "from A.B, since A.B, since A.B on NAME, until A.B, arch NAME, any or soft";
                    return Err(format!("'{}' is not a note ({forms})", word.trim()));
                }
            }
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// One symbol and the value that it shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The symbol, without `CONFIG_`.
    pub name: String,
    /// The value asked for.
    pub value: Value,
    /// The line of the fragment.
    pub line: usize,
    pub(super) notes: Notes,
}

/// A named list of requests. Serialised, it is its name and its lines without
/// comments and notes: those reach no kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fragment {
    name: String,
    #[serde(skip)]
    text: String,
    #[serde(rename = "text", serialize_with = "as_lines")]
    requests: Vec<Request>,
}

fn as_lines<S: serde::Serializer>(requests: &[Request], to: S) -> Result<S::Ok, S::Error> {
    let line = |request: &Request| request.value.line(&request.name);
    to.serialize_str(&requests.iter().map(line).collect::<String>())
}

impl Fragment {
    /// Reads a fragment; `name` is what errors and findings call it.
    ///
    /// # Errors
    /// [`Error::Line`] for a line outside the grammar, or one that sets
    /// `LOCALVERSION`, which is the business of the version suffix.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let fragment = Self::read(name, text, true)?;
        match fragment.requests.iter().find(|request| is_localversion(&request.name)) {
            Some(request) => {
                let wrong = format!("{} is set from the kernel version suffix", request.name);
                Err(Error::line(name, request.line, wrong))
            }
            None => Ok(fragment),
        }
    }

    /// Reads a user's fragment. Its name is that of the file, without the
    /// folder: what a build's key holds of it must not tell where it lies.
    ///
    /// # Errors
    /// [`Error::Read`] when the file can't be read; else as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { what: "the configuration fragment", source };
        let text = fs::read(path).map_err(read)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Self::parse(&name, &String::from_utf8_lossy(&text))
    }

    /// Reads a user's full configuration: comments of all kinds are just
    /// that, and `LOCALVERSION` is passed over.
    pub(super) fn parse_full(name: &str, text: &str) -> Result<Self, Error> {
        let mut fragment = Self::read(name, text, false)?;
        fragment.requests.retain(|request| !is_localversion(&request.name));
        Ok(fragment)
    }

    fn read(name: &str, text: &str, with_notes: bool) -> Result<Self, Error> {
        let mut requests = Vec::new();
        let mut notes = Notes::default();
        for (index, line) in text.lines().enumerate() {
            let at = index + 1;
            let error = |wrong| Error::line(name, at, wrong);
            match Line::parse(line).map_err(error)? {
                Line::Blank => notes = Notes::default(),
                Line::Comment(comment) => {
                    if let Some(note) = comment.strip_prefix(':').filter(|_| with_notes) {
                        notes.add(note, at).map_err(error)?;
                    }
                }
                Line::Set(symbol, value) => requests.push(Request {
                    name: symbol.to_owned(),
                    value,
                    line: at,
                    notes: notes.clone(),
                }),
            }
        }
        Ok(Self { name: name.to_owned(), text: text.to_owned(), requests })
    }

    /// What findings call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it asks, in the order of its lines.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }
}

impl Request {
    /// Whether the request is for something off.
    pub(super) fn is_off(&self) -> bool {
        self.value == Value::Tristate(Tristate::No)
    }
}

fn is_localversion(name: &str) -> bool {
    name == "LOCALVERSION" || name == "LOCALVERSION_AUTO"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTED: &str = "# words\nCONFIG_A=y\n\n#: since 4.10\n#: until 5.1, soft\n# CONFIG_B is \
                         not set\nCONFIG_C=\"x\"\n\n#: any\nCONFIG_D=1\nCONFIG_E=m\n";

    #[test]
    fn notes_hold_until_the_next_blank_line() {
        let fragment = Fragment::parse("f", NOTED).unwrap();
        let names: Vec<_> = fragment.requests().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "D", "E"]);
        let notes = |index: usize| fragment.requests()[index].notes.clone();
        assert_eq!(notes(0), Notes::default());
        assert!(notes(1).soft && notes(1) == notes(2));
        assert_eq!((notes(1).any, notes(3).any, notes(4).any), (None, Some(9), Some(9)));
        let required = |version: &str| notes(1).required(&version.parse().unwrap(), Arch::X86_64);
        assert!(!required("4.9.229") && required("4.10") && required("5.0.21"));
        assert!(!required("5.1-rc1") && !required("6.12.0"));
    }

    #[test]
    fn an_architecture_may_have_got_a_name_later() {
        let text = "#: since 4.5 on x86_64, since 4.10 on arm64\nCONFIG_A=y\n";
        let fragment = Fragment::parse("f", text).unwrap();
        let required = |version: &str, arch| {
            fragment.requests()[0].notes.required(&version.parse().unwrap(), arch)
        };
        assert!(required("4.9", Arch::X86_64) && !required("4.9", Arch::Arm64));
        assert!(!required("4.4", Arch::X86_64));
        assert!(required("4.10", Arch::Arm64) && required("6.12", Arch::Arm64));
    }

    #[test]
    fn errors_have_the_place_and_what_would_be_right() {
        for (text, wanted) in [
            ("\nCONFIG_A", "f:2: expected CONFIG_NAME=VALUE"),
            ("CONFIG_A=yes", "f:1: yes is not y, m, n"),
            ("#: since 4", "f:1: '4' is not a kernel series"),
            ("#: sice 4.4", "f:1: 'sice 4.4' is not a note (from A.B, since A.B"),
            ("#: any thing", "f:1: 'any thing' is not a note"),
            ("#: since 4.4 on", "f:1: 'since 4.4 on' is not a note"),
            ("#: since 4.4 on mars", "f:1: 'mars' is not an architecture"),
            ("#:", "f:1: '' is not a note"),
            ("CONFIG_LOCALVERSION=\"-x\"", "f:1: LOCALVERSION is set from the"),
        ] {
            let error = Fragment::parse("f", text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_full_configuration_may_say_anything_in_comments() {
        let text = "#: not a note\nCONFIG_LOCALVERSION=\"-x\"\nCONFIG_A=y\n";
        assert_eq!(Fragment::parse_full("f", text).unwrap().requests().len(), 1);
    }

    #[test]
    fn a_users_fragment_goes_by_its_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.config");
        let error = Fragment::load(&path).unwrap_err();
        assert_eq!(error.fault(), crate::report::Fault::NotFound);
        fs::write(&path, "CONFIG_A=y\n").unwrap();
        assert_eq!(Fragment::load(&path).unwrap().name(), "mine.config");
        fs::write(&path, "CONFIG_A\n").unwrap();
        assert!(Fragment::load(&path).unwrap_err().to_string().starts_with("mine.config:1: "));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([#: a-zA-Z0-9_=\".\\\\\n]|CONFIG_|since )*") {
            _ = Fragment::parse("f", &text);
        }
    }
}
