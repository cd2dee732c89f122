//! The format of `builder-config` and `.config`: a small, inert part of the
//! shell's.
//!
//! One `NAME=value` a line, `#` comments, `'literal'` and `"expanded"` quotes,
//! `$NAME`, `${NAME}` and `${NAME:-default}`. The original sourced these files,
//! so whatever is accepted here means what it means to a shell; whatever else
//! a shell would do is refused with what to write instead.

/// A place in a text: both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The place after `character`, which stands here.
    pub(super) fn after(self, character: char) -> Self {
        match character {
            '\n' => Self { line: self.line + 1, column: 1 },
            _ => Self { line: self.line, column: self.column + 1 },
        }
    }
}

/// A text that is not of this format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Position,
    /// What is wrong there.
    pub(super) problem: String,
    /// What to write instead.
    pub(super) instead: String,
}

impl SyntaxError {
    fn new(at: Position, problem: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { at, problem: problem.into(), instead: instead.into() }
    }
}

/// One `NAME=value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) value: Vec<Piece>,
}

/// A piece of a value. Neighbours are never both literal, and no literal is
/// empty: equal values are equal lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Variable { name: String, default: Option<Vec<Piece>>, at: Position },
}

/// How deep quotes and braces may nest; more is no configuration.
const DEPTH: usize = 16;

const ONLY_ASSIGNMENTS: &str =
    "write one NAME=value a line; the file is read as data, nothing in it is executed";

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, SyntaxError> {
    // Editors on Windows: a mark at the start and two characters a line end.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    no_control_characters(&text)?;
    let mut scanner = Scanner { rest: &text, at: Position::START, depth: 0 };
    let mut assignments = Vec::new();
    while scanner.skip_to_content() {
        assignments.push(scanner.assignment()?);
    }
    Ok(assignments)
}

/// A value as this format (and a shell) reads it back.
///
/// Only a text without control characters can stand in a file; line breaks
/// and tabs can.
#[must_use]
pub fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./:,@%=".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    } else if !value.contains('\'') {
        format!("'{value}'")
    } else {
        let escaped = value.chars().flat_map(|c| {
            let backslash = "\\\"$`".contains(c).then_some('\\');
            backslash.into_iter().chain([c])
        });
        format!("\"{}\"", escaped.collect::<String>())
    }
}

fn no_control_characters(text: &str) -> Result<(), SyntaxError> {
    let mut at = Position::START;
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            let problem = format!("control character U+{:04X}", u32::from(character));
            return Err(SyntaxError::new(at, problem, "remove the character"));
        }
        at = at.after(character);
    }
    Ok(())
}

struct Scanner<'a> {
    rest: &'a str,
    at: Position,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) {
        if let Some(character) = self.peek() {
            self.rest = &self.rest[character.len_utf8()..];
            self.at = self.at.after(character);
        }
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let length = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.at = taken.chars().fold(self.at, Position::after);
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Over blanks, empty lines and comments; false at the end of the text.
    fn skip_to_content(&mut self) -> bool {
        loop {
            self.take_while(|c| is_blank(c) || c == '\n');
            match self.peek() {
                Some('#') => self.take_while(|c| c != '\n'),
                content => return content.is_some(),
            };
        }
    }

    /// `[A-Za-z_][A-Za-z0-9_]*`, or nothing.
    fn name(&mut self) -> &'a str {
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
            }
            _ => "",
        }
    }

    fn assignment(&mut self) -> Result<Assignment, SyntaxError> {
        let mut at = self.at;
        let mut name = self.name();
        if matches!(name, "export" | "readonly") && self.peek().is_some_and(is_blank) {
            self.skip_blanks();
            at = self.at;
            name = self.name();
        }
        match self.peek() {
            Some('=') if !name.is_empty() => self.bump(),
            _ => return Err(self.not_an_assignment(name, at)),
        }
        if self.peek() == Some('(') {
            let instead = format!("write the items in quotes: {name}=\"first second\"");
            return Err(SyntaxError::new(self.at, "an array", instead));
        }
        Ok(Assignment { name: name.to_owned(), at, value: self.value(name)? })
    }

    /// Why the text after `name` (which starts at `at`) is no assignment.
    fn not_an_assignment(&self, name: &str, at: Position) -> SyntaxError {
        let after_blanks = self.rest.trim_start_matches(is_blank);
        if name.is_empty() {
            SyntaxError::new(self.at, "not a NAME=value", ONLY_ASSIGNMENTS)
        } else if after_blanks.starts_with('=') {
            let instead = format!("write {name}= without the blank");
            SyntaxError::new(self.at, format!("a blank after {name}"), instead)
        } else if self.rest.starts_with("+=") {
            let instead = format!("write {name}=\"${{{name}}} more\"");
            SyntaxError::new(self.at, "'+='", instead)
        } else if self.rest.starts_with('[') {
            let instead = format!("write the items in quotes: {name}=\"first second\"");
            SyntaxError::new(self.at, "an array", instead)
        } else {
            SyntaxError::new(at, format!("'{name}' is not a NAME=value"), ONLY_ASSIGNMENTS)
        }
    }

    /// What follows `NAME=`, up to the end of the line.
    fn value(&mut self, name: &str) -> Result<Vec<Piece>, SyntaxError> {
        let mut pieces = self.home(&['/', '\n', ' ', '\t'])?;
        loop {
            match self.peek() {
                None | Some('\n') => return Ok(pieces),
                Some('\'') => self.single_quoted(&mut pieces)?,
                Some('"') => self.double_quoted(&mut pieces)?,
                Some('$') => self.variable(&mut pieces, false)?,
                Some(c) if c.is_whitespace() => {
                    self.end_of_line(name)?;
                    return Ok(pieces);
                }
                Some(c) if "\\`;&|<>()".contains(c) => return Err(self.unquoted(c)),
                Some(c) => self.unquoted_literal(&mut pieces, c)?,
            }
        }
    }

    /// A `~` at the start of an unquoted value, and before one of `ends`, is
    /// the variable `HOME`.
    fn home(&mut self, ends: &[char]) -> Result<Vec<Piece>, SyntaxError> {
        let Some(after) = self.rest.strip_prefix('~') else { return Ok(Vec::new()) };
        if !after.is_empty() && !after.starts_with(ends) {
            return Err(self.unquoted('~'));
        }
        let at = self.at;
        self.bump();
        Ok(vec![Piece::Variable { name: "HOME".to_owned(), default: None, at }])
    }

    /// A shell would expand a `~` after a colon, too.
    fn unquoted_literal(&mut self, pieces: &mut Vec<Piece>, c: char) -> Result<(), SyntaxError> {
        self.literal(pieces, c);
        match c == ':' && self.peek() == Some('~') {
            true => Err(self.unquoted('~')),
            false => Ok(()),
        }
    }

    fn end_of_line(&mut self, name: &str) -> Result<(), SyntaxError> {
        self.skip_blanks();
        match self.peek() {
            Some('#') => self.take_while(|c| c != '\n'),
            None | Some('\n') => return Ok(()),
            Some(_) => return Err(self.second_word(name)),
        };
        Ok(())
    }

    fn second_word(&self, name: &str) -> SyntaxError {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(0);
        let instead = if end > 0 && self.rest[end..].starts_with('=') {
            "write one NAME=value a line".to_owned()
        } else {
            format!("put the whole value in quotes: {name}='…'")
        };
        SyntaxError::new(self.at, "a second word after the value", instead)
    }

    fn unquoted(&self, character: char) -> SyntaxError {
        match character {
            '`' => self.command(),
            '\\' => SyntaxError::new(
                self.at,
                "a backslash outside of quotes",
                "put the whole value in quotes: NAME='…'",
            ),
            _ => SyntaxError::new(
                self.at,
                format!("'{character}' outside of quotes"),
                "put the whole value in quotes if it belongs to it: NAME='…'",
            ),
        }
    }

    /// At a command substitution. The two that the original's own
    /// `builder-config` has get an answer of their own.
    fn command(&self) -> SyntaxError {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let instead = if line.contains("nproc") {
            "leave the setting out: all processors that the process may use are the default"
        } else if line.contains("pwd") || line.contains("dirname") {
            "write ${DIR}, which is the project folder without being set"
        } else {
            "write the value itself; commands are not executed"
        };
        SyntaxError::new(self.at, "a command substitution", instead)
    }

    fn literal(&mut self, pieces: &mut Vec<Piece>, character: char) {
        self.bump();
        push_literal(pieces, character.encode_utf8(&mut [0; 4]));
    }

    fn single_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), SyntaxError> {
        let opened = self.at;
        self.bump();
        push_literal(pieces, self.take_while(|c| c != '\''));
        match self.peek() {
            Some(_) => self.bump(),
            None => return Err(unclosed(opened, '\'')),
        }
        Ok(())
    }

    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), SyntaxError> {
        let opened = self.at;
        self.enter()?;
        self.bump();
        loop {
            match self.peek() {
                None => return Err(unclosed(opened, '"')),
                Some('"') => break self.bump(),
                Some('\\') => self.escape(pieces, "\\\"$`")?,
                Some('$') => self.variable(pieces, true)?,
                Some('`') => return Err(self.command()),
                Some(c) => self.literal(pieces, c),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn escape(&mut self, pieces: &mut Vec<Piece>, known: &str) -> Result<(), SyntaxError> {
        let at = self.at;
        self.bump();
        match self.peek() {
            // The line goes on in the next one.
            Some('\n') => self.bump(),
            Some(c) if known.contains(c) => self.literal(pieces, c),
            other => {
                let escaped: String = other.into_iter().collect();
                let problem = format!("unknown escape '\\{escaped}'");
                let instead = "write \\\\ for a backslash, or use single quotes";
                return Err(SyntaxError::new(at, problem, instead));
            }
        }
        Ok(())
    }

    /// At a `$`.
    fn variable(&mut self, pieces: &mut Vec<Piece>, quoted: bool) -> Result<(), SyntaxError> {
        let at = self.at;
        if self.rest.starts_with("$(") {
            return Err(self.command());
        }
        self.bump();
        let (name, default) = match self.peek() {
            Some('{') => self.braces(at, quoted)?,
            _ => (self.name(), None),
        };
        if name.is_empty() {
            let instead = "write ${NAME} for a variable, '$' in single quotes for the character";
            return Err(SyntaxError::new(at, "'$' without a name", instead));
        }
        pieces.push(Piece::Variable { name: name.to_owned(), default, at });
        Ok(())
    }

    /// At the `{` of a `${` that starts at `opened`.
    fn braces(
        &mut self,
        opened: Position,
        quoted: bool,
    ) -> Result<(&'a str, Option<Vec<Piece>>), SyntaxError> {
        self.enter()?;
        self.bump();
        let name = self.name();
        let default = if self.rest.starts_with(":-") && !name.is_empty() {
            self.bump();
            self.bump();
            Some(self.default_value(opened, quoted)?)
        } else {
            None
        };
        match self.peek() {
            Some('}') => self.bump(),
            None | Some('\n') => return Err(unclosed(opened, '{')),
            Some(_) => {
                let instead = "only ${NAME} and ${NAME:-default} are understood; write one of them";
                return Err(SyntaxError::new(self.at, "unknown form of expansion", instead));
            }
        }
        self.depth -= 1;
        Ok((name, default))
    }

    /// What follows the `:-`, up to the `}`.
    fn default_value(&mut self, opened: Position, quoted: bool) -> Result<Vec<Piece>, SyntaxError> {
        let mut pieces = if quoted { Vec::new() } else { self.home(&['/', '}'])? };
        loop {
            match self.peek() {
                None => return Err(unclosed(opened, '{')),
                Some('\n') if !quoted => return Err(unclosed(opened, '{')),
                Some('}') => return Ok(pieces),
                Some('\'') if quoted => return Err(self.single_in_double()),
                Some('\'') => self.single_quoted(&mut pieces)?,
                Some('"') => self.double_quoted(&mut pieces)?,
                Some('\\') => {
                    self.escape(&mut pieces, "\\\"$`}")?;
                    // Where a line goes on, a shell takes it for the start.
                    if !quoted && self.peek() == Some('~') {
                        return Err(self.unquoted('~'));
                    }
                }
                Some('$') => self.variable(&mut pieces, quoted)?,
                Some('`') => return Err(self.command()),
                Some(c) if !quoted && ";&|<>()".contains(c) => return Err(self.unquoted(c)),
                Some(c) if !quoted => self.unquoted_literal(&mut pieces, c)?,
                Some(c) => self.literal(&mut pieces, c),
            }
        }
    }

    /// Shells neither agree what this is nor would users guess it.
    fn single_in_double(&self) -> SyntaxError {
        let instead = "leave the single quotes out, the double ones hold for the default, too";
        SyntaxError::new(self.at, "a single quote in a default inside double quotes", instead)
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH {
            let instead = "give the inner value a name of its own, in a line before";
            return Err(SyntaxError::new(self.at, "quotes or braces nested too deep", instead));
        }
        Ok(())
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn unclosed(opened: Position, bracket: char) -> SyntaxError {
    let (problem, close) = match bracket {
        '{' => ("'${' without its '}'".to_owned(), '}'),
        quote => (format!("{quote} without its closing {quote}"), quote),
    };
    SyntaxError::new(opened, problem, format!("close it with {close}"))
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Literal(literal)) => literal.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}

#[cfg(test)]
mod tests;
