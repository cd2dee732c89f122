//! Why a symbol did not come out as asked, in one line.

use std::fmt;

use super::Tristate;
use super::dotconfig::{Value, number};
use super::eval::Scene;
use super::tree::{Definition, Place, Selector, Symbol};

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Dependencies that are `n`.
    Unmet {
        /// The symbol's definition.
        at: Place,
        /// The terms that are false; with `?` those that hang on a macro
        /// call, where no term is known to be false.
        terms: Vec<String>,
    },
    /// Dependencies that are `m`, which allow no `y`.
    Limited {
        /// The symbol's definition.
        at: Place,
        /// The terms that are `m`.
        terms: Vec<String>,
    },
    /// Its prompt is not shown, so its default counts.
    Hidden {
        /// The symbol's definition.
        at: Place,
        /// The conditions of the prompt that are false.
        conditions: Vec<String>,
    },
    /// It has no prompt: only defaults and other symbols set it.
    NoPrompt {
        /// The symbol's definition.
        at: Place,
        /// What could select it.
        selectors: Vec<String>,
    },
    /// Another symbol turns it on.
    Selected {
        /// That symbol.
        by: String,
        /// The `select` line.
        at: Place,
    },
    /// It belongs to a choice that was decided otherwise.
    Choice {
        /// The choice.
        at: Place,
        /// The member that was taken, if one was.
        taken: Option<String>,
    },
    /// A number that is out of bounds.
    Range {
        /// The symbol's definition.
        at: Place,
        /// The smallest that is allowed, as written.
        low: String,
        /// The largest that is allowed, as written.
        high: String,
    },
    /// Nothing in the tree forbids it: something after the seed changed it.
    Open {
        /// The symbol's definition.
        at: Place,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmet { at, terms } => write!(f, "{at}: {}", terms.join("; ")),
            Self::Limited { at, terms } => write!(f, "{at}: only m, as {}", terms.join("; ")),
            Self::Hidden { at, conditions } => {
                write!(f, "{at}: prompt if ({})", conditions.join(") && ("))
            }
            Self::NoPrompt { at, selectors } if selectors.is_empty() => {
                write!(f, "{at}: no prompt, set by its default")
            }
            Self::NoPrompt { at, selectors } => {
                let names = list(selectors.iter().map(String::as_str));
                write!(f, "{at}: no prompt, selected by {names}")
            }
            Self::Selected { by, at } => write!(f, "{at}: selected by {by}"),
            Self::Choice { at, taken: Some(taken) } => write!(f, "{at}: the choice took {taken}"),
            Self::Choice { at, taken: None } => write!(f, "{at}: the choice took no member"),
            Self::Range { at, low, high } => write!(f, "{at}: range {low} to {high}"),
            Self::Open { at } => write!(f, "{at}: free to set, but changed after it was asked"),
        }
    }
}

/// Some names, and how many more there are.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

impl Scene<'_> {
    /// Why the symbol `name`, which is defined as `symbol`, is not as asked.
    pub(super) fn reasons(&self, name: &str, symbol: &Symbol, asked: &Value) -> Vec<Reason> {
        let got = self.config.tristate(name);
        let mut reasons = match asked {
            Value::Tristate(asked) if *asked < got => self.why_on(name, symbol, *asked),
            Value::Tristate(_) => {
                let one = |definition| self.why_off(name, symbol, definition, asked);
                symbol.definitions.iter().map(one).collect()
            }
            Value::Text(_) | Value::Number(_) => {
                let one = |definition| self.why_other(symbol, definition, name, asked);
                symbol.definitions.iter().map(one).collect()
            }
        };
        reasons.dedup();
        reasons
    }

    fn why_on(&self, name: &str, symbol: &Symbol, asked: Tristate) -> Vec<Reason> {
        let selected = |wanted: fn(Option<Tristate>, Tristate) -> bool| -> Vec<_> {
            let at_work = symbol.selectors.iter().filter(|one| wanted(self.selector(one), asked));
            let reason = |selector: &Selector| Reason::Selected {
                by: selector.by.to_string(),
                at: selector.place.clone(),
            };
            at_work.take(3).map(reason).collect()
        };
        let surely = selected(|value, asked| value.is_some_and(|value| value > asked));
        if !surely.is_empty() {
            return surely;
        }
        // Only a definition whose dependencies hold can have set it.
        let holds =
            |definition: &&Definition| self.terms(&definition.depends) != Some(Tristate::No);
        let definitions = symbol.definitions.iter().filter(holds);
        let reasons: Vec<_> = definitions
            .map(|definition| match self.not_askable(symbol, definition) {
                Some(reason) => reason,
                None => self.free(name, definition),
            })
            .collect();
        // A select whose condition is a compiler test is the best guess left.
        let perhaps = selected(|value, _| value.is_none());
        let nothing = reasons.iter().all(|reason| matches!(reason, Reason::Open { .. }));
        if nothing && !perhaps.is_empty() { perhaps } else { reasons }
    }

    fn why_off(
        &self,
        name: &str,
        symbol: &Symbol,
        definition: &Definition,
        asked: &Value,
    ) -> Reason {
        let at = definition.place.clone();
        if let Some(reason) = self.unmet(definition) {
            return reason;
        }
        if let Some(reason) = self.not_askable(symbol, definition) {
            return reason;
        }
        let is_m = |value| value == Some(Tristate::Module);
        let terms = self.terms_where(definition, is_m);
        if *asked == Value::YES && !terms.is_empty() {
            return Reason::Limited { at, terms };
        }
        self.free(name, definition)
    }

    fn why_other(
        &self,
        symbol: &Symbol,
        definition: &Definition,
        name: &str,
        asked: &Value,
    ) -> Reason {
        self.unmet(definition)
            .or_else(|| self.not_askable(symbol, definition))
            .or_else(|| self.out_of_range(definition, number(asked.plain())?))
            .unwrap_or_else(|| self.free(name, definition))
    }

    /// The dependencies that are false; where none is, those that could be.
    fn unmet(&self, definition: &Definition) -> Option<Reason> {
        let at = definition.place.clone();
        let terms = self.terms_where(definition, |value| value == Some(Tristate::No));
        if !terms.is_empty() {
            return Some(Reason::Unmet { at, terms });
        }
        let unknown = self.terms_where(definition, |value| value.is_none());
        let terms: Vec<_> = unknown.into_iter().map(|text| format!("{text} ?")).collect();
        (!terms.is_empty()).then_some(Reason::Unmet { at, terms })
    }

    fn terms_where(
        &self,
        definition: &Definition,
        wanted: impl Fn(Option<Tristate>) -> bool,
    ) -> Vec<String> {
        let mut terms = Vec::new();
        for term in &definition.depends {
            let text = term.expr.to_string();
            // An "if" around and an own "depends on" often say the same.
            if wanted(self.expr(&term.expr)) && !terms.contains(&text) {
                terms.push(text);
            }
        }
        terms
    }

    /// Why no user is asked about it here.
    fn not_askable(&self, symbol: &Symbol, definition: &Definition) -> Option<Reason> {
        let at = definition.place.clone();
        let Some((_, condition)) = &definition.prompt else {
            let mut selectors: Vec<_> = symbol.selectors.iter().collect();
            // Those that are at work first.
            selectors.sort_by_key(|selector| std::cmp::Reverse(self.selector(selector)));
            let selectors = selectors.into_iter().map(|selector| selector.by.to_string());
            return Some(Reason::NoPrompt { at, selectors: selectors.collect() });
        };
        let around = definition.visible.iter().map(|term| &term.expr);
        let conditions: Vec<_> = around
            .chain(condition)
            .filter(|expr| self.expr(expr) == Some(Tristate::No))
            .map(ToString::to_string)
            .collect();
        (!conditions.is_empty()).then_some(Reason::Hidden { at, conditions })
    }

    fn out_of_range(&self, definition: &Definition, asked: i128) -> Option<Reason> {
        let (low, high, _) = definition
            .ranges
            .iter()
            .find(|(_, _, condition)| self.condition(condition.as_ref()) != Some(Tristate::No))?;
        let inside = self.bound(low)? <= asked && asked <= self.bound(high)?;
        let at = definition.place.clone();
        (!inside).then(|| Reason::Range { at, low: low.to_string(), high: high.to_string() })
    }

    /// Nothing forbids it; it may be a choice that took another member.
    fn free(&self, name: &str, definition: &Definition) -> Reason {
        let Some(choice) = definition.choice.map(|index| &self.tree.choices[index]) else {
            return Reason::Open { at: definition.place.clone() };
        };
        let taken = choice.members.iter().find(|member| self.config.built_in(member));
        let taken = taken.map(|member| match &**member == name {
            true => "it, and must take one".to_owned(),
            false => member.to_string(),
        });
        Reason::Choice { at: choice.place.clone(), taken }
    }
}
