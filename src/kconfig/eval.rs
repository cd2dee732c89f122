//! The value of expressions in a finished configuration.

use std::cmp::Ordering;

use super::dotconfig::{Value, number};
use super::expr::{Comparison, Expr, Operand};
use super::tree::{Selector, Term, Tree};
use super::tristate::{all, any};
use super::{DotConfig, Tristate};

/// A tree's symbols with the values of a finished `.config`.
///
/// Where a value depends on what a macro call would have printed, it is
/// `None`: nothing is run to find out.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) tree: &'a Tree,
    pub(super) config: &'a DotConfig,
}

impl Scene<'_> {
    pub(super) fn expr(&self, expr: &Expr) -> Option<Tristate> {
        match expr {
            Expr::Operand(operand) => self.operand(operand),
            Expr::Not(inner) => self.expr(inner).map(Tristate::negated),
            Expr::All(operands) => all(operands.iter().map(|operand| self.expr(operand))),
            Expr::Any(operands) => any(operands.iter().map(|operand| self.expr(operand))),
            Expr::Compare(left, comparison, right) => {
                let holds = holds(*comparison, &self.text(left)?, &self.text(right)?);
                Some(if holds { Tristate::Yes } else { Tristate::No })
            }
            Expr::Unread(_) => None,
        }
    }

    /// A condition that may be absent, which is `y`.
    pub(super) fn condition(&self, condition: Option<&Expr>) -> Option<Tristate> {
        condition.map_or(Some(Tristate::Yes), |expr| self.expr(expr))
    }

    pub(super) fn terms<'t>(
        &self,
        terms: impl IntoIterator<Item = &'t std::sync::Arc<Term>>,
    ) -> Option<Tristate> {
        all(terms.into_iter().map(|term| self.expr(&term.expr)))
    }

    /// To what a `select` or `imply` raises its symbol.
    pub(super) fn selector(&self, selector: &Selector) -> Option<Tristate> {
        let by = self.symbol(&selector.by);
        let condition = self.condition(selector.condition.as_ref());
        all([by, condition, self.terms(&selector.depends)].into_iter())
    }

    fn operand(&self, operand: &Operand) -> Option<Tristate> {
        match operand {
            Operand::Name(name) if name.contains('$') => self.constant(&self.tree.expand(name)?),
            Operand::Name(name) => self.symbol(name),
            Operand::Text(text) => self.constant(&self.tree.expand(text)?),
        }
    }

    /// A constant other than y and m counts as n. Without module support a
    /// bare `m` is n: Kconfig reads it as `m && MODULES`.
    fn constant(&self, text: &str) -> Option<Tristate> {
        let value = Tristate::from_letter(text).unwrap_or(Tristate::No);
        let demoted = value == Tristate::Module && !self.config.built_in("MODULES");
        Some(if demoted { Tristate::No } else { value })
    }

    /// The value of a symbol as a condition; names that nobody defines, and
    /// symbols that are no tristates, count as n.
    pub(super) fn symbol(&self, name: &str) -> Option<Tristate> {
        match (self.config.get(name), Tristate::from_letter(name)) {
            (None, Some(_)) => self.constant(name),
            _ => Some(self.config.tristate(name)),
        }
    }

    /// The value of an operand in a comparison. An undefined name stands for
    /// its own text there.
    fn text(&self, operand: &Operand) -> Option<String> {
        let name = match operand {
            Operand::Text(text) => return self.tree.expand(text),
            Operand::Name(name) if name.contains('$') => return self.tree.expand(name),
            Operand::Name(name) => name,
        };
        if let Some(value) = self.config.get(name) {
            return Some(value.plain().to_owned());
        }
        let Some(symbol) = self.tree.symbol(name) else { return Some(name.clone()) };
        match &symbol.environment {
            Some(variable) => self.tree.variables.get(variable).cloned(),
            None => Some(symbol.absent().map_or("", Tristate::letter).to_owned()),
        }
    }

    /// The value of a symbol as the `.config` has it, with what it is where
    /// the `.config` doesn't name it.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let absent = || self.tree.symbol(name)?.absent().map(Value::Tristate);
        self.config.get(name).cloned().or_else(absent)
    }

    /// The number that bounds a range.
    pub(super) fn bound(&self, operand: &Operand) -> Option<i128> {
        number(&self.text(operand)?)
    }
}

fn holds(comparison: Comparison, left: &str, right: &str) -> bool {
    let order = order(left, right);
    match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Unequal => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }
}

/// Numbers as numbers, tristates as tristates, all else as text.
fn order(left: &str, right: &str) -> Ordering {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left.cmp(&right);
    }
    match (Tristate::from_letter(left), Tristate::from_letter(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}
