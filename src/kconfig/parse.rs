//! One Kconfig file as a list of entries with their properties. Pure; never
//! fails: a line that has no meaning here is noted and passed over, because
//! the kernel's own parser has the last word on what is valid.

use super::expr::{Expr, Operand};
use super::lex::{Token, tokens};

/// The type of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `y` or `n`.
    Bool,
    /// `y`, `m` or `n`.
    Tristate,
    /// Text.
    Text,
    /// A decimal number.
    Integer,
    /// A hexadecimal number.
    Hexadecimal,
}

impl Kind {
    fn from_keyword(word: &str) -> Option<Self> {
        Some(match word {
            // "boolean" until 3.x; some out-of-tree files still have it.
            "bool" | "boolean" | "def_bool" => Self::Bool,
            "tristate" | "def_tristate" => Self::Tristate,
            "string" => Self::Text,
            "int" => Self::Integer,
            "hex" => Self::Hexadecimal,
            _ => return None,
        })
    }

    /// The keyword that declares it.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Tristate => "tristate",
            Self::Text => "string",
            Self::Integer => "int",
            Self::Hexadecimal => "hex",
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// `config` or `menuconfig`.
    Symbol(String),
    Choice,
    Menu,
    /// A `comment`, or the main menu's title: holds properties, no symbol.
    Comment,
    If(Expr),
    /// `endif`, `endmenu` or `endchoice`.
    End,
    Source(Source),
    Variable(Variable),
}

/// `source` and its relatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// As written, unexpanded.
    pub(super) path: String,
    /// From the file's own folder (`rsource`, `orsource`) or from the top.
    pub(super) relative: bool,
    /// May be absent (`osource`, `orsource`).
    pub(super) optional: bool,
}

/// `NAME := value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// `+=`.
    pub(super) append: bool,
}

/// Something that stands under an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PropertyKind {
    Type(Kind),
    Prompt(String, Option<Expr>),
    Default(Expr, Option<Expr>),
    Select(String, Option<Expr>),
    Imply(String, Option<Expr>),
    Depends(Expr),
    Visible(Expr),
    Range(Operand, Operand, Option<Expr>),
    /// The symbol's value is that of an environment variable (until 4.17).
    Environment(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) line: u32,
    pub(super) kind: PropertyKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) kind: EntryKind,
    pub(super) properties: Vec<Property>,
}

/// A file's entries, and the lines that were passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) entries: Vec<Entry>,
    pub(super) odd: Vec<u32>,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> File {
    let mut file = File::default();
    let mut lines = Lines { lines: text.lines().collect(), at: 0 };
    while let Some((number, line)) = lines.logical() {
        if let Some(kind) = variable(&line) {
            file.entries.push(Entry { line: number, kind, properties: Vec::new() });
            continue;
        }
        let words = tokens(&line);
        let Some(Token::Word(keyword)) = words.first() else {
            if !words.is_empty() {
                file.odd.push(number);
            }
            continue;
        };
        if is_help(keyword) {
            lines.skip_help();
        } else if !statement(&mut file, number, keyword, &words[1..]) {
            file.odd.push(number);
        }
    }
    file
}

/// `---help---` until 4.20 or so, any number of dashes in principle.
fn is_help(keyword: &str) -> bool {
    keyword.trim_matches('-') == "help"
}

fn statement(file: &mut File, line: u32, keyword: &str, rest: &[Token]) -> bool {
    if let Some(kind) = entry(keyword, rest) {
        let mut properties = Vec::new();
        // A menu's title is its prompt; its dependencies follow as properties.
        if let (EntryKind::Menu, Some(Token::Text(title))) = (&kind, rest.first()) {
            properties.push(Property { line, kind: PropertyKind::Prompt(title.clone(), None) });
        }
        file.entries.push(Entry { line, kind, properties });
        return true;
    }
    // Keywords that change nothing for a finished .config; a macro call that
    // stands alone is a check by the kernel's own parser.
    let silent = ["modules", "optional", "allnoconfig_y", "transitional"].contains(&keyword);
    if silent || keyword.starts_with("$(") {
        return true;
    }
    let (Some(found), Some(entry)) = (properties(keyword, rest), file.entries.last_mut()) else {
        return false;
    };
    entry.properties.extend(found.into_iter().map(|kind| Property { line, kind }));
    true
}

fn entry(keyword: &str, rest: &[Token]) -> Option<EntryKind> {
    Some(match (keyword, rest) {
        ("config" | "menuconfig", [Token::Word(name), ..]) => EntryKind::Symbol(name.clone()),
        ("choice", _) => EntryKind::Choice,
        ("menu", _) => EntryKind::Menu,
        ("comment" | "mainmenu", _) => EntryKind::Comment,
        ("if", _) => EntryKind::If(Expr::parse(rest)),
        ("endif" | "endmenu" | "endchoice", _) => EntryKind::End,
        (
            "source" | "rsource" | "osource" | "orsource",
            [Token::Text(path) | Token::Word(path), ..],
        ) => EntryKind::Source(Source {
            path: path.clone(),
            relative: keyword.trim_start_matches('o').starts_with('r'),
            optional: keyword.starts_with('o'),
        }),
        _ => return None,
    })
}

fn properties(keyword: &str, rest: &[Token]) -> Option<Vec<PropertyKind>> {
    use PropertyKind::{Default, Depends, Imply, Prompt, Range, Select, Type, Visible};
    if let Some(kind) = Kind::from_keyword(keyword) {
        let mut found = vec![Type(kind)];
        let (value, condition) = split_if(rest);
        if keyword.starts_with("def_") {
            found.push(Default(Expr::parse(value), condition));
        } else if let Some(Token::Text(prompt) | Token::Word(prompt)) = value.first() {
            found.push(Prompt(prompt.clone(), condition));
        }
        return Some(found);
    }
    let (value, condition) = split_if(rest);
    let one = match (keyword, value) {
        ("prompt", [Token::Text(text) | Token::Word(text)]) => Prompt(text.clone(), condition),
        ("default", [_, ..]) => Default(Expr::parse(value), condition),
        ("select", [Token::Word(name)]) => Select(name.clone(), condition),
        ("imply", [Token::Word(name)]) => Imply(name.clone(), condition),
        ("depends", [Token::Word(on), expr @ ..]) if on == "on" => {
            Depends(Expr::parse(expr).unless_not(condition))
        }
        ("visible", []) => Visible(condition?),
        ("range", [low, high]) => Range(operand(low)?, operand(high)?, condition),
        ("option", [Token::Word(what), value @ ..]) => return Some(option(what, value)),
        _ => return None,
    };
    Some(vec![one])
}

/// `option env="NAME"`; the other options change nothing here.
fn option(what: &str, value: &[Token]) -> Vec<PropertyKind> {
    match (what, value) {
        ("env", [Token::Sign("="), Token::Text(name)]) => {
            vec![PropertyKind::Environment(name.clone())]
        }
        _ => Vec::new(),
    }
}

fn operand(token: &Token) -> Option<Operand> {
    match token {
        Token::Word(name) => Some(Operand::Name(name.clone())),
        Token::Text(text) => Some(Operand::Text(text.clone())),
        Token::Sign(_) | Token::Other(_) => None,
    }
}

/// What stands before the `if`, and the condition behind it.
fn split_if(rest: &[Token]) -> (&[Token], Option<Expr>) {
    let is_if = |token: &Token| matches!(token, Token::Word(word) if word == "if");
    match rest.iter().position(is_if) {
        Some(at) => (&rest[..at], Some(Expr::parse(&rest[at + 1..]))),
        None => (rest, None),
    }
}

/// `name = value`, `name := value`, `name += value`; the name may have dashes.
fn variable(line: &str) -> Option<EntryKind> {
    let (left, value) = line.split_once('=')?;
    let name = left.trim_end_matches([':', '+']).trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    Some(EntryKind::Variable(Variable {
        name: name.to_owned(),
        value: value.trim_start().to_owned(),
        append: left.ends_with('+'),
    }))
}

struct Lines<'text> {
    lines: Vec<&'text str>,
    at: usize,
}

impl Lines<'_> {
    /// The next line with its continuations, and the number of its start.
    fn logical(&mut self) -> Option<(u32, String)> {
        let number = u32::try_from(self.at + 1).unwrap_or(u32::MAX);
        let mut line = (*self.lines.get(self.at)?).to_owned();
        self.at += 1;
        while line.ends_with('\\') {
            line.pop();
            let Some(next) = self.lines.get(self.at) else { break };
            line.push_str(next);
            self.at += 1;
        }
        Some((number, line))
    }

    /// Passes over a help text: it ends before the first line that is
    /// indented less than its first one.
    fn skip_help(&mut self) {
        let mut first = None;
        while let Some(line) = self.lines.get(self.at) {
            if !line.trim().is_empty() {
                let indent = indentation(line);
                if indent == 0 || first.is_some_and(|first| indent < first) {
                    break;
                }
                first = first.or(Some(indent));
            }
            self.at += 1;
        }
    }
}

/// Columns before the text; a tab reaches to the next multiple of eight.
fn indentation(line: &str) -> usize {
    let mut columns = 0;
    for byte in line.bytes() {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns = (columns / 8 + 1) * 8,
            _ => break,
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let file = parse(text);
        assert!(file.odd.is_empty(), "{:?}", file.odd);
        let property = |property: &Property| format!("{} {:?}", property.line, property.kind);
        file.entries
            .iter()
            .flat_map(|entry| {
                std::iter::once(format!("{} {:?}", entry.line, entry.kind))
                    .chain(entry.properties.iter().map(property))
            })
            .collect()
    }

    #[test]
    fn help_ends_where_the_indentation_does_and_its_text_means_nothing() {
        let text = "config A\n\tbool \"a\"\n\t---help---\n\n\t  config X\n\t  # select Y\n\n\
                    \t    deeper\n\tdepends on B\nconfig B\n\tbool\n\thelp\nconfig C\n\tbool\n";
        let lines = shown(text);
        assert_eq!(lines[0], "1 Symbol(\"A\")");
        assert!(lines[3].starts_with("9 Depends("), "{lines:?}");
        assert_eq!(lines[4], "10 Symbol(\"B\")");
        assert_eq!(lines[6], "13 Symbol(\"C\")");
    }

    #[test]
    fn continued_lines_are_one() {
        let lines = shown("config A\n\tbool\n\tdepends on B && \\\n\t\tC\n\tselect D if \\\nE\n");
        assert!(lines[2].contains("All([Operand(Name(\"B\")), Operand(Name(\"C\"))])"));
        assert!(lines[3].starts_with("5 Select(\"D\", Some("));
    }

    #[test]
    fn sources_variables_and_checks() {
        let lines = shown(
            "source \"arch/$(SRCARCH)/Kconfig\"\norsource 'x/Kconfig'\ncc-x := $(shell,a = b)\n\
             X += 1\n$(error-if,$(failure,x),no = y)\n",
        );
        assert_eq!(lines.len(), 4);
        assert!(lines[0].contains("relative: false, optional: false"));
        assert!(lines[1].contains("relative: true, optional: true"));
        assert!(lines[2].contains("\"cc-x\"") && lines[2].contains("append: false"));
        assert!(lines[3].contains("append: true"));
    }

    #[test]
    fn lines_without_meaning_are_noted() {
        assert_eq!(parse("bool \"x\"\nconfig A\n\tbool\n\tfrobnicate on\n\t%\n").odd, [1, 4, 5]);
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes: Vec<u8>) {
            parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn no_order_of_statements_panics(
            lines in proptest::collection::vec(
                "(config|menuconfig|if|choice|menu|default|range|depends on|select|visible|option \
                 |help|source|bool|x :|X)?[ \t]*(A|\"|'|\\$\\(|\\)|\\(|&&|!|=|if|\\\\|é)*", 0..12,
            )
        ) {
            parse(&lines.join("\n"));
        }
    }
}
