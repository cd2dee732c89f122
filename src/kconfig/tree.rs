//! All symbols of a source tree, from the top `Kconfig` down.
//!
//! Nothing is executed: a macro call such as `$(cc-option,…)` stays a text
//! whose value is not known. No path leads out of the tree, and depth and
//! number of files are bounded, so that a broken tree costs an explanation,
//! never the program.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use super::expr::{Expr, Operand};
use super::lex::macro_length;
use super::parse::{Entry, EntryKind, File, Kind, PropertyKind, Source, Variable, parse};
use super::{Error, Tristate};
use crate::settings::Arch;

/// Files within files; the kernel's own tree needs about ten.
const DEEPEST_FILE: usize = 64;
/// Blocks (`if`, `menu`, `choice`) within blocks.
const DEEPEST_BLOCK: usize = 256;
/// 6.12 reads about 1,500.
const MOST_FILES: usize = 20_000;
/// The largest real one has less than 150 KB.
const LARGEST_FILE: u64 = 4 << 20;
/// A macro that expands to more is left alone.
const LARGEST_TEXT: usize = 16 << 10;

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

/// A condition, and where it is written.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) expr: Expr,
    pub(super) place: Place,
}

type Terms = Vec<Arc<Term>>;

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
        let mut walk = Walk { root, tree: Self::empty(arch), blocks: Vec::new(), open: Vec::new() };
        walk.file("Kconfig", parse(&String::from_utf8_lossy(&top)));
        Ok(walk.tree)
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
        super::features::nearest(name, defined.map(|(name, _)| &**name))
    }

    /// The text with its `$(NAME)` and `$NAME` replaced; `None` when one of
    /// them is not known without running something.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        self.expand_at(text, 0)
    }

    fn expand_at(&self, text: &str, depth: usize) -> Option<String> {
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
            result.push_str(&self.expand_at(value, depth + 1)?);
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

/// What an open `if`, `menu` or `choice` adds to everything inside, together
/// with the blocks around it.
#[derive(Debug, Clone, Default)]
struct Block {
    depends: Terms,
    visible: Terms,
    choice: Option<usize>,
}

struct Walk {
    root: PathBuf,
    tree: Tree,
    blocks: Vec<Block>,
    /// The files that are being read, the outermost first.
    open: Vec<Arc<str>>,
}

impl Walk {
    fn file(&mut self, path: &str, file: File) {
        self.tree.files += 1;
        let name: Arc<str> = path.into();
        self.open.push(name.clone());
        self.tree.odd.extend(file.odd.iter().map(|&line| Place { file: name.clone(), line }));
        let outside = self.blocks.len();
        for entry in file.entries {
            let place = Place { file: name.clone(), line: entry.line };
            // A block may not end a block of the file around it.
            if entry.kind == EntryKind::End && self.blocks.len() > outside {
                self.blocks.pop();
            }
            self.entry(entry, place);
        }
        self.blocks.truncate(outside);
        self.open.pop();
    }

    fn entry(&mut self, entry: Entry, place: Place) {
        match entry.kind {
            EntryKind::Symbol(ref name) => self.symbol(name, &entry, place),
            EntryKind::If(ref condition) => {
                let mut block = self.block();
                block.depends.extend(terms(condition, &place));
                self.open(block, place);
            }
            EntryKind::Menu | EntryKind::Choice => self.menu(&entry, place),
            EntryKind::Source(source) => self.source(&source, place),
            EntryKind::Variable(variable) => self.variable(variable),
            EntryKind::Comment | EntryKind::End => {}
        }
    }

    fn block(&self) -> Block {
        self.blocks.last().cloned().unwrap_or_default()
    }

    fn open(&mut self, block: Block, place: Place) {
        if self.blocks.len() < DEEPEST_BLOCK {
            self.blocks.push(block);
        } else {
            self.tree.unread.push((place, "blocks are nested too deeply".to_owned()));
        }
    }

    fn menu(&mut self, entry: &Entry, place: Place) {
        let mut block = self.block();
        let choice = entry.kind == EntryKind::Choice;
        for property in &entry.properties {
            let at = Place { file: place.file.clone(), line: property.line };
            match &property.kind {
                PropertyKind::Depends(expr) => block.depends.extend(terms(expr, &at)),
                PropertyKind::Visible(expr) => block.visible.extend(terms(expr, &at)),
                PropertyKind::Prompt(_, Some(expr)) if choice => {
                    block.visible.extend(terms(expr, &at));
                }
                _ => {}
            }
        }
        if choice {
            block.choice = Some(self.tree.choices.len());
            self.tree.choices.push(Choice { place: place.clone(), members: Vec::new() });
        }
        self.open(block, place);
    }

    fn symbol(&mut self, name: &str, entry: &Entry, place: Place) {
        let block = self.block();
        let name: Arc<str> = name.into();
        if let Some(choice) = block.choice {
            self.tree.choices[choice].members.push(name.clone());
        }
        let mut definition = Definition {
            place: place.clone(),
            kind: None,
            prompt: None,
            depends: block.depends,
            visible: block.visible,
            defaults: Vec::new(),
            ranges: Vec::new(),
            choice: block.choice,
        };
        let mut environment = None;
        for property in &entry.properties {
            let at = Place { file: place.file.clone(), line: property.line };
            match &property.kind {
                PropertyKind::Environment(variable) => environment = Some(variable.clone()),
                other => definition.add(other, &at),
            }
        }
        self.selects(&name, entry, &definition);
        let symbol = self.tree.symbols.entry(name).or_default();
        symbol.environment = environment.or(symbol.environment.take());
        symbol.definitions.push(definition);
    }

    fn selects(&mut self, by: &Arc<str>, entry: &Entry, definition: &Definition) {
        for property in &entry.properties {
            let (PropertyKind::Select(target, condition) | PropertyKind::Imply(target, condition)) =
                &property.kind
            else {
                continue;
            };
            let selector = Selector {
                by: by.clone(),
                place: Place { file: definition.place.file.clone(), line: property.line },
                condition: condition.clone(),
                depends: definition.depends.clone(),
            };
            let symbol = self.tree.symbols.entry(target.as_str().into()).or_default();
            match property.kind {
                PropertyKind::Select(..) => symbol.selectors.push(selector),
                _ => symbol.implied_by.push(selector),
            }
        }
    }

    fn variable(&mut self, variable: Variable) {
        let known = self.tree.variables.entry(variable.name).or_default();
        if !variable.append {
            known.clear();
        } else if !known.is_empty() {
            known.push(' ');
        }
        if known.len() + variable.value.len() <= LARGEST_TEXT {
            known.push_str(&variable.value);
        }
    }

    fn source(&mut self, source: &Source, place: Place) {
        let file = self.locate(source, &place).and_then(|path| Ok((self.load(&path)?, path)));
        match file {
            Ok((Some(file), path)) => self.file(&path, file),
            Ok((None, _)) if source.optional => {}
            Ok((None, path)) => self.tree.unread.push((place, format!("{path} is not there"))),
            Err(why) => self.tree.unread.push((place, why)),
        }
    }

    /// The path from the top of the tree that a `source` line means.
    fn locate(&self, source: &Source, place: &Place) -> Result<String, String> {
        let written = &source.path;
        let expanded =
            self.tree.expand(written).ok_or_else(|| format!("{written} has an unknown macro"))?;
        let folder = match Path::new(&*place.file).parent() {
            Some(folder) if source.relative => folder,
            _ => Path::new(""),
        };
        normal(&folder.join(expanded)).ok_or_else(|| format!("{written} leads out of the tree"))
    }

    fn load(&self, path: &str) -> Result<Option<File>, String> {
        if self.open.iter().any(|open| &**open == path) {
            return Err(format!("{path} includes itself"));
        }
        if self.open.len() >= DEEPEST_FILE || self.tree.files >= MOST_FILES {
            return Err(format!("{path} is one file too many"));
        }
        let Ok(real) = fs::canonicalize(self.root.join(path)) else { return Ok(None) };
        if !real.starts_with(&self.root) {
            return Err(format!("{path} leads out of the tree"));
        }
        let metadata = fs::metadata(&real).map_err(|error| error.to_string())?;
        if !metadata.is_file() || metadata.len() > LARGEST_FILE {
            return Err(format!("{path} is no ordinary file of a sane size"));
        }
        let bytes = fs::read(&real).map_err(|error| error.to_string())?;
        Ok(Some(parse(&String::from_utf8_lossy(&bytes))))
    }
}

impl Definition {
    fn add(&mut self, property: &PropertyKind, place: &Place) {
        match property {
            PropertyKind::Type(kind) => self.kind = Some(*kind),
            PropertyKind::Prompt(text, condition) => {
                self.prompt = Some((text.clone(), condition.clone()));
            }
            PropertyKind::Default(value, condition) => {
                self.defaults.push((value.clone(), condition.clone()));
            }
            PropertyKind::Depends(expr) => self.depends.extend(terms(expr, place)),
            PropertyKind::Visible(expr) => self.visible.extend(terms(expr, place)),
            PropertyKind::Range(low, high, condition) => {
                self.ranges.push((low.clone(), high.clone(), condition.clone()));
            }
            PropertyKind::Select(..) | PropertyKind::Imply(..) | PropertyKind::Environment(_) => {}
        }
    }
}

fn terms<'expr>(expr: &'expr Expr, place: &'expr Place) -> impl Iterator<Item = Arc<Term>> {
    let terms = expr.clone().into_terms();
    terms.into_iter().map(|expr| Arc::new(Term { expr, place: place.clone() }))
}

/// The path without `.` and `..`; `None` when it leaves the tree.
fn normal(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => _ = parts.pop()?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
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
