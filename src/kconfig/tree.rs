//! All symbols of a source tree, from the top `Kconfig` down.
//!
//! Nothing is executed: a macro call such as `$(cc-option,…)` stays a text
//! whose value is not known. No path leads out of the tree, and depth and
//! number of files are bounded, so that a broken tree costs an explanation,
//! never the program.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use serde::{Serialize, Serializer};

use super::expr::{Expr, Operand};
use super::lex::macro_length;
use super::parse::Kind;
use super::walk::walk;
use super::{Error, Tristate};
use crate::settings::Arch;

/// A macro that expands to more is left alone.
pub(super) const LARGEST_TEXT: usize = 16 << 10;
/// A text with more macros in it, and in those, is left alone.
const MOST_EXPANSIONS: u32 = 10_000;

/// A line of a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path from the top of the tree.
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// As it is shown.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A condition, and where it is written.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) expr: Expr,
    pub(super) place: Place,
}

pub(super) type Terms = Vec<Arc<Term>>;

/// One `config NAME` block; a symbol may have several.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) place: Place,
    pub(super) kind: Option<Kind>,
    /// The text, and the condition under which it is shown.
    pub(super) prompt: Option<(String, Option<Expr>)>,
    /// Own dependencies and those of the blocks around; all must hold.
    pub(super) depends: Terms,
    /// What else must hold for the prompt: `visible if` of menus, and the
    /// prompt of the choice that it is a member of.
    pub(super) visible: Terms,
    pub(super) defaults: Vec<(Expr, Option<Expr>)>,
    pub(super) ranges: Vec<(Operand, Operand, Option<Expr>)>,
    /// Index into [`Tree::choices`].
    pub(super) choice: Option<usize>,
}

/// `select` or `imply`, seen from the symbol that it sets.
#[derive(Debug)]
pub(super) struct Selector {
    /// The symbol that selects.
    pub(super) by: Arc<str>,
    pub(super) place: Place,
    pub(super) condition: Option<Expr>,
    /// What the selecting definition depends on.
    pub(super) depends: Terms,
}

#[derive(Debug, Default)]
pub(super) struct Symbol {
    pub(super) definitions: Vec<Definition>,
    pub(super) selectors: Vec<Selector>,
    pub(super) implied_by: Vec<Selector>,
    pub(super) environment: Option<String>,
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) place: Place,
    pub(super) members: Vec<Arc<str>>,
}

/// The symbols of a source tree.
#[derive(Debug)]
pub struct Tree {
    pub(super) symbols: HashMap<Arc<str>, Symbol>,
    pub(super) choices: Vec<Choice>,
    pub(super) variables: HashMap<String, String>,
    /// Files that were named and not read: where, and why.
    pub(super) unread: Vec<(Place, String)>,
    /// Lines that have no meaning to this reader.
    pub(super) odd: Vec<Place>,
    /// How many files were read.
    pub(super) files: usize,
}

impl Tree {
    /// Reads all Kconfig files of the tree at `root` that `arch` uses.
    ///
    /// # Errors
    /// [`Error::Read`] when there is no top `Kconfig`. Files further down
    /// that can't be read are kept as a list for the check to speak of.
    pub fn read(root: &Path, arch: Arch) -> Result<Self, Error> {
        let read = |source| Error::Read { what: "the tree's Kconfig files", source };
        let root = fs::canonicalize(root).map_err(read)?;
        let top = fs::read(root.join("Kconfig")).map_err(read)?;
        Ok(walk(root, &top, Self::empty(arch)))
    }

    fn empty(arch: Arch) -> Self {
        let environment = [
            ("ARCH", arch.kernel()),
            ("SUBARCH", arch.kernel()),
            ("SRCARCH", arch.source_folder()),
            ("srctree", "."),
        ];
        Self {
            symbols: HashMap::new(),
            choices: Vec::new(),
            variables: environment.map(|(name, value)| (name.into(), value.into())).into(),
            unread: Vec::new(),
            odd: Vec::new(),
            files: 0,
        }
    }

    /// How many names the tree defines.
    #[must_use]
    pub fn defined(&self) -> usize {
        self.symbols.values().filter(|symbol| !symbol.definitions.is_empty()).count()
    }

    /// The symbol, if the tree defines it (being selected is not enough).
    pub(super) fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.symbols.get(name).filter(|symbol| !symbol.definitions.is_empty())
    }

    /// The defined name that is nearest to one that isn't defined.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let defined = self.symbols.iter().filter(|(_, symbol)| !symbol.definitions.is_empty());
        crate::nearest::nearest(name, defined.map(|(name, _)| &**name))
    }

    /// The text with its `$(NAME)` and `$NAME` replaced; `None` when one of
    /// them is not known without running something.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        self.expand_at(text, 0, &mut { MOST_EXPANSIONS })
    }

    fn expand_at(&self, text: &str, depth: usize, left: &mut u32) -> Option<String> {
        if !text.contains('$') {
            return Some(text.to_owned());
        }
        let mut result = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            result.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            let (name, length) = variable_at(rest)?;
            let value = self.variables.get(name).filter(|_| depth < 8)?;
            // Macros of macros of nothing grow no text, but take for ever.
            *left = left.checked_sub(1)?;
            result.push_str(&self.expand_at(value, depth + 1, left)?);
            rest = &rest[length..];
            if result.len() > LARGEST_TEXT {
                return None;
            }
        }
        result.push_str(rest);
        Some(result)
    }
}

/// The name behind the `$`, and the length of the whole reference.
fn variable_at(text: &str) -> Option<(&str, usize)> {
    if let Some(length) = macro_length(text) {
        return Some((text[2..length].strip_suffix(')')?, length));
    }
    // `$NAME` until 4.17.
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.bytes().skip(1).take_while(|byte| is_name(byte)).count();
    (length > 0).then(|| (&text[1..=length], length + 1))
}

impl Symbol {
    /// The type; the first definition that has one decides.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.definitions.iter().find_map(|definition| definition.kind)
    }

    /// Whether a user can set it at all.
    pub(super) fn has_prompt(&self) -> bool {
        self.definitions.iter().any(|definition| definition.prompt.is_some())
    }

    /// What it is where a `.config` doesn't name it.
    pub(super) fn absent(&self) -> Option<Tristate> {
        matches!(self.kind(), Some(Kind::Bool | Kind::Tristate) | None).then_some(Tristate::No)
    }
}
