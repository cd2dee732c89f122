//! The way through a tree's files: blocks around symbols, `source` lines.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use super::expr::Expr;
use super::parse::{Entry, EntryKind, File, PropertyKind, Source, Variable, parse};
use super::tree::{Choice, Definition, LARGEST_TEXT, Place, Selector, Term, Terms, Tree};

/// Files within files; the kernel's own tree needs about ten.
const DEEPEST_FILE: usize = 64;
/// Blocks (`if`, `menu`, `choice`) within blocks.
const DEEPEST_BLOCK: usize = 256;
/// 6.12 reads 1,606.
const MOST_FILES: usize = 20_000;
/// The largest real one has less than 150 KB.
const LARGEST_FILE: u64 = 4 << 20;

/// Fills `tree` from the top file, whose bytes are `top`, and all that it
/// names; `root` is the tree's canonical path.
pub(super) fn walk(root: PathBuf, top: &[u8], tree: Tree) -> Tree {
    let mut walk = Walk { root, tree, blocks: Vec::new(), open: Vec::new() };
    walk.file("Kconfig", parse(&String::from_utf8_lossy(top)));
    walk.tree
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
