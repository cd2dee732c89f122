//! Why a symbol has the value that it has.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::dotconfig::Value;
use super::eval::Scene;
use super::expr::Expr;
use super::reasons::list;
use super::tree::{Definition, Place, Selector, Term, Tree};
use super::{DotConfig, Error, Tristate};
use crate::settings::Arch;

/// A condition with its value; `None` where it hangs on a macro call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// Where.
    pub place: Place,
    /// What it comes to.
    pub value: Option<Tristate>,
}

/// A symbol that can turn this one on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelectedBy {
    /// Its name.
    pub symbol: String,
    /// The `select` or `imply` line.
    pub place: Place,
    /// The condition behind `if`, if any.
    pub condition: Option<String>,
    /// To what it raises this symbol now.
    pub value: Option<Tristate>,
}

/// One place that defines a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinedAt {
    /// The `config` line.
    pub place: Place,
    /// `bool`, `tristate` and so on, where this place says so.
    pub kind: Option<&'static str>,
    /// The question that a user is asked.
    pub prompt: Option<String>,
    /// When the question is asked, beyond the dependencies.
    pub prompt_if: Vec<Condition>,
    /// All that must hold, the outermost block first.
    pub depends_on: Vec<Condition>,
    /// The defaults: the value, with its condition if it has one.
    pub defaults: Vec<String>,
    /// The place of the choice that it is a member of.
    pub choice: Option<Place>,
}

/// All that the tree and the configuration say about a symbol. Shown, it is
/// the text for a user who asks why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The symbol, without `CONFIG_`.
    pub symbol: String,
    /// Its value; `None` for a text or number that isn't set.
    pub value: Option<Value>,
    /// Where it is defined.
    pub definitions: Vec<DefinedAt>,
    /// What selects it, those at work first.
    pub selected_by: Vec<SelectedBy>,
    /// What implies it, those at work first.
    pub implied_by: Vec<SelectedBy>,
}

/// Explains `symbol` (with or without `CONFIG_`) in the configuration
/// `config` of the tree at `tree`.
///
/// # Errors
/// [`Error::UnknownSymbol`] with the nearest name; [`Error::Read`] when there
/// is no tree.
pub fn explain(
    tree: &Path,
    arch: Arch,
    symbol: &str,
    config: &DotConfig,
) -> Result<Explanation, Error> {
    let tree = Tree::read(tree, arch)?;
    let name = symbol.strip_prefix("CONFIG_").unwrap_or(symbol);
    tree.explain(name, config).ok_or_else(|| Error::UnknownSymbol {
        name: name.to_owned(),
        nearest: tree.nearest(name).map(ToOwned::to_owned),
    })
}

impl Tree {
    /// Explains a symbol (without `CONFIG_`); `None` when the tree doesn't
    /// define it.
    #[must_use]
    pub fn explain(&self, name: &str, config: &DotConfig) -> Option<Explanation> {
        let symbol = self.symbol(name)?;
        let scene = Scene { tree: self, config };
        let definition = |definition| scene.definition(definition);
        Some(Explanation {
            symbol: name.to_owned(),
            value: scene.value(name),
            definitions: symbol.definitions.iter().map(definition).collect(),
            selected_by: scene.selectors(&symbol.selectors),
            implied_by: scene.selectors(&symbol.implied_by),
        })
    }
}

impl Scene<'_> {
    fn definition(&self, definition: &Definition) -> DefinedAt {
        let conditions = |terms: &[std::sync::Arc<Term>]| -> Vec<_> {
            terms.iter().map(|term| self.view(&term.expr, &term.place)).collect()
        };
        let mut prompt_if = conditions(&definition.visible);
        if let Some((_, Some(condition))) = &definition.prompt {
            prompt_if.push(self.view(condition, &definition.place));
        }
        let choice = definition.choice.map(|index| self.tree.choices[index].place.clone());
        DefinedAt {
            place: definition.place.clone(),
            kind: definition.kind.map(super::parse::Kind::keyword),
            prompt: definition.prompt.as_ref().map(|(text, _)| text.clone()),
            prompt_if,
            depends_on: conditions(&definition.depends),
            defaults: definition.defaults.iter().map(default).collect(),
            choice,
        }
    }

    fn view(&self, expr: &Expr, place: &Place) -> Condition {
        Condition { text: expr.to_string(), place: place.clone(), value: self.expr(expr) }
    }

    fn selectors(&self, selectors: &[Selector]) -> Vec<SelectedBy> {
        let view = |selector: &Selector| SelectedBy {
            symbol: selector.by.to_string(),
            place: selector.place.clone(),
            condition: selector.condition.as_ref().map(ToString::to_string),
            value: self.selector(selector),
        };
        let mut views: Vec<_> = selectors.iter().map(view).collect();
        // Those at work first; the sort is stable, so the rest stays in the
        // order of the tree.
        views.sort_by_key(|view| std::cmp::Reverse(view.value));
        views
    }
}

fn default((value, condition): &(Expr, Option<Expr>)) -> String {
    match condition {
        Some(condition) => format!("{value} if {condition}"),
        None => value.to_string(),
    }
}

fn letter(value: Option<Tristate>) -> &'static str {
    value.map_or("?", Tristate::letter)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}  ({})", letter(self.value), self.text, self.place)
    }
}

impl fmt::Display for SelectedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", letter(self.value), self.symbol)?;
        if let Some(condition) = &self.condition {
            write!(f, " if {condition}")?;
        }
        write!(f, "  ({})", self.place)
    }
}

impl fmt::Display for DefinedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.place)?;
        if let Some(kind) = self.kind {
            write!(f, " {kind}")?;
        }
        match &self.prompt {
            Some(prompt) => write!(f, " \"{prompt}\"")?,
            None => f.write_str(" without a prompt")?,
        }
        let mut lines = |title: &str, conditions: &[Condition]| {
            let mut each = conditions.iter();
            each.try_for_each(|condition| write!(f, "\n    {title} {condition}"))
        };
        lines("asked if", &self.prompt_if)?;
        lines("depends on", &self.depends_on)?;
        for default in &self.defaults {
            write!(f, "\n    default {default}")?;
        }
        if let Some(choice) = &self.choice {
            write!(f, "\n    one of the choice at {choice}")?;
        }
        Ok(())
    }
}

/// How many selectors a text names before it counts the rest.
const NAMED: usize = 12;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}", self.symbol)?,
            None => write!(f, "{} is not set", self.symbol)?,
        }
        for definition in &self.definitions {
            write!(f, "\n  {definition}")?;
        }
        for (title, selectors) in
            [("selected by", &self.selected_by), ("implied by", &self.implied_by)]
        {
            for selector in selectors.iter().take(NAMED) {
                write!(f, "\n  {title} {selector}")?;
            }
            if let Some(more) = selectors.len().checked_sub(NAMED).filter(|&more| more > 0) {
                write!(
                    f,
                    "\n  {title} {more} more: {}",
                    list(selectors[NAMED..].iter().map(|one| one.symbol.as_str()))
                )?;
            }
        }
        Ok(())
    }
}
