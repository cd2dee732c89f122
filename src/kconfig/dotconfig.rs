//! A finished `.config`: one value for each symbol that it names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use fs_err as fs;
use serde::{Serialize, Serializer};

use super::{Error, Tristate};

/// The value of a symbol, as a `.config` or a fragment writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `y`, `m`, `n`; `# CONFIG_X is not set` is `n`, too.
    Tristate(Tristate),
    /// A quoted text, without its quotes and escapes.
    Text(String),
    /// A decimal or hexadecimal number, as written.
    Number(String),
}

impl Value {
    /// `y`.
    pub const YES: Self = Self::Tristate(Tristate::Yes);
    /// `n`.
    pub const NO: Self = Self::Tristate(Tristate::No);

    /// Reads what stands behind the `=` of a line.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(tristate) = Tristate::from_letter(text) {
            return Some(Self::Tristate(tristate));
        }
        if let Some(rest) = text.strip_prefix('"') {
            return unquote(rest).map(Self::Text);
        }
        number(text).is_some().then(|| Self::Number(text.to_owned()))
    }

    /// The value without quotes, as a comparison in a Kconfig file sees it.
    #[must_use]
    pub fn plain(&self) -> &str {
        match self {
            Self::Tristate(tristate) => tristate.letter(),
            Self::Text(text) | Self::Number(text) => text,
        }
    }

    /// The value as a line of a `.config` for the symbol `name`.
    pub(super) fn line(&self, name: &str) -> String {
        match self {
            Self::Tristate(Tristate::No) => format!("# CONFIG_{name} is not set\n"),
            value => format!("CONFIG_{name}={value}\n"),
        }
    }
}

/// As a `.config` writes it behind the `=`.
/// As a `.config` has it.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tristate(tristate) => tristate.fmt(f),
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }
}

/// The text up to the closing quote, which must be the last character.
fn unquote(text: &str) -> Option<String> {
    let mut result = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(result),
            '\\' => result.push(characters.next()?),
            other => result.push(other),
        }
    }
}

/// The number that a text is in Kconfig: decimal, or hexadecimal with `0x`.
pub(super) fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((digits, 10), |rest| (rest, 16));
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let value = i128::from_str_radix(digits, radix).ok().filter(|_| only_digits)?;
    Some(if negative { -value } else { value })
}

/// One line of a `.config` or a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'text> {
    Blank,
    /// What stands behind the `#`.
    Comment(&'text str),
    Set(&'text str, Value),
}

impl<'text> Line<'text> {
    /// What the line is; an error says what is wrong with it.
    pub(super) fn parse(line: &'text str) -> Result<Self, String> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(Self::Blank);
        }
        if let Some(comment) = line.strip_prefix('#') {
            return Ok(match unset(comment) {
                Some(name) => Self::Set(name, Value::NO),
                None => Self::Comment(comment),
            });
        }
        let (name, value) = line
            .strip_prefix("CONFIG_")
            .and_then(|rest| rest.split_once('='))
            .filter(|(name, _)| is_symbol(name))
            .ok_or("expected CONFIG_NAME=VALUE or '# CONFIG_NAME is not set'")?;
        let value = Value::parse(value)
            .ok_or_else(|| format!("{value} is not y, m, n, a number or a text in quotes"))?;
        Ok(Self::Set(name, value))
    }
}

fn unset(comment: &str) -> Option<&str> {
    let name = comment.strip_prefix(" CONFIG_")?.strip_suffix(" is not set")?;
    is_symbol(name).then_some(name)
}

/// Whether a text can be the name of a symbol.
pub(super) fn is_symbol(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A `.config` as `make olddefconfig` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DotConfig {
    values: BTreeMap<String, Value>,
}

impl DotConfig {
    /// Reads the text of a `.config`; `file` is its name for errors.
    ///
    /// # Errors
    /// [`Error::Line`] for a line that is none of a `.config`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let parsed = Line::parse(line).map_err(|wrong| Error::line(file, number + 1, wrong))?;
            if let Line::Set(name, value) = parsed {
                values.insert(name.to_owned(), value);
            }
        }
        Ok(Self { values })
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`Error::Read`] when it can't be read; as [`DotConfig::parse`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::Read { what: "the .config", source })?;
        Self::parse(&path.display().to_string(), &String::from_utf8_lossy(&text))
    }

    /// Every symbol that the file names, sorted, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a symbol (name without `CONFIG_`), if the file names it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The value of a bool or tristate symbol; absent is `n`.
    #[must_use]
    pub fn tristate(&self, name: &str) -> Tristate {
        match self.get(name) {
            Some(&Value::Tristate(tristate)) => tristate,
            _ => Tristate::No,
        }
    }

    /// Whether a symbol is built in (`y`).
    #[must_use]
    pub fn built_in(&self, name: &str) -> bool {
        self.tristate(name) == Tristate::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_value_is_read() {
        let text = "#\n# Linux/x86 6.12\n#\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n\
                    CONFIG_D=\"a \\\"b\\\" \\\\c\"\nCONFIG_E=42\nCONFIG_F=0xffff\nCONFIG_9P_FS=y\n";
        let config = DotConfig::parse(".config", text).unwrap();
        assert!(config.built_in("A") && config.built_in("9P_FS"));
        assert_eq!(config.tristate("B"), Tristate::Module);
        assert_eq!(config.get("C"), Some(&Value::NO));
        assert_eq!(config.get("D").unwrap().plain(), "a \"b\" \\c");
        assert_eq!(config.get("E").unwrap().plain(), "42");
        assert_eq!(config.get("F"), Some(&Value::Number("0xffff".into())));
        assert_eq!(config.get("G"), None);
    }

    #[test]
    fn other_lines_are_errors_with_their_place() {
        for wrong in ["CONFIG_A", "CONFIG_A=yes", "A=y", "CONFIG_A=\"x", "CONFIG_A=\"x\"y"] {
            let error = DotConfig::parse("f.config", &format!("\n{wrong}\n")).unwrap_err();
            assert!(error.to_string().starts_with("f.config:2: "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_value_comes_back(text in "[^\\n\\r]*") {
            let value = Value::Text(text);
            let line = value.line("X");
            prop_assume!(line.trim().len() + 1 == line.len());
            prop_assert_eq!(Line::parse(&line), Ok(Line::Set("X", value)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            _ = DotConfig::parse("f", &String::from_utf8_lossy(&bytes));
        }
    }
}
