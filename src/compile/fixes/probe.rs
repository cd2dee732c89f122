use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::compile::Error;
use crate::source::Pristine;

/// A question to one file of the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Raw")]
pub(super) struct Probe {
    file: String,
    question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
enum Question {
    Exists(bool),
    Contains(String),
    Lacks(String),
    Matches(String),
}

/// As the table has it: a file and one of the questions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    file: String,
    exists: Option<bool>,
    contains: Option<String>,
    lacks: Option<String>,
    matches: Option<String>,
}

impl TryFrom<Raw> for Probe {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw { file, exists, contains, lacks, matches } = raw;
        let question = match (exists, contains, lacks, matches) {
            (Some(exists), None, None, None) => Question::Exists(exists),
            (None, Some(text), None, None) => Question::Contains(text),
            (None, None, Some(text), None) => Question::Lacks(text),
            (None, None, None, Some(text)) => {
                Regex::new(&text).map_err(|error| error.to_string())?;
                Question::Matches(text)
            }
            _ => return Err(format!("{file}: a probe asks exactly one question")),
        };
        Ok(Self { file, question })
    }
}

impl Probe {
    /// Whether it asks about this file.
    #[cfg(test)]
    pub(super) fn is_of(&self, file: &str) -> bool {
        self.file == file
    }

    /// Whether it holds in the tree as it was before any patch: a fix must not
    /// be gone because it was applied. A file that is not there neither contains
    /// nor lacks anything: the series then never had what the fix is for.
    pub(super) fn holds(&self, tree: &Pristine<'_>) -> Result<bool, Error> {
        let found = tree.read(&self.file);
        let found = found.map_err(|error| Error::files("can't probe the source", error))?;
        if let Question::Exists(wanted) = self.question {
            return Ok(found.is_some() == wanted);
        }
        let Some(bytes) = found else { return Ok(false) };
        let text = String::from_utf8_lossy(&bytes);
        Ok(match &self.question {
            Question::Exists(_) => true,
            Question::Contains(part) => text.contains(part),
            Question::Lacks(part) => !text.contains(part),
            Question::Matches(regex) => {
                let regex =
                    Regex::new(regex).map_err(|error| Error::Fixes { text: error.to_string() })?;
                text.lines().any(|line| regex.is_match(line))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;

    use super::*;

    fn holds(tree: &Path, probe: &str) -> bool {
        let nothing_touched = tree.join("none");
        let tree = Pristine::of(tree, &nothing_touched).unwrap();
        toml::from_str::<Probe>(probe).unwrap().holds(&tree).unwrap()
    }

    #[test]
    fn each_question_has_its_answer() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("a"), b"one\nlong y; \xff\n").unwrap();
        for (probe, answer) in [
            ("file='a'\nexists=true", true),
            ("file='a'\nexists=false", false),
            ("file='b'\nexists=false", true),
            ("file='a'\ncontains='long y'", true),
            ("file='a'\ncontains='long z'", false),
            ("file='a'\nlacks='long z'", true),
            ("file='a'\nlacks='one'", false),
            ("file='a'\nmatches='^long \\w;'", true),
            ("file='a'\nmatches='^y'", false),
            ("file='b'\nlacks='one'", false),
            ("file='b'\nmatches='.'", false),
        ] {
            assert_eq!(holds(tree.path(), probe), answer, "{probe}");
        }
    }

    #[test]
    fn a_probe_without_one_question_is_refused() {
        for probe in ["file='a'", "file='a'\nlacks='x'\ncontains='y'", "file='a'\nmatches='('"] {
            assert!(toml::from_str::<Probe>(probe).is_err(), "{probe}");
        }
    }
}
