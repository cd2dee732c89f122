//! The three-valued logic of Kconfig.

use std::fmt;

use serde::{Serialize, Serializer};

/// No, module, yes. Ordered, so that "and" is the minimum and "or" the
/// maximum (`Documentation/kbuild/kconfig-language.rst`, "Menu dependencies").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tristate {
    /// Not set.
    No,
    /// Built as a module.
    Module,
    /// Built in.
    Yes,
}

impl Tristate {
    /// What `y`, `m` or `n` stands for.
    #[must_use]
    pub fn from_letter(text: &str) -> Option<Self> {
        match text {
            "y" => Some(Self::Yes),
            "m" => Some(Self::Module),
            "n" => Some(Self::No),
            _ => None,
        }
    }

    /// `y`, `m` or `n`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Yes => "y",
            Self::Module => "m",
            Self::No => "n",
        }
    }

    /// `y` for `n`, `n` for `y`, `m` for `m`.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::Module => Self::Module,
            Self::No => Self::Yes,
        }
    }
}

impl Serialize for Tristate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.letter())
    }
}

impl fmt::Display for Tristate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// "And" where some operands are unknown: one `n` settles it.
pub(super) fn all(operands: impl Iterator<Item = Option<Tristate>>) -> Option<Tristate> {
    let mut result = Some(Tristate::Yes);
    for operand in operands {
        match operand {
            Some(Tristate::No) => return Some(Tristate::No),
            Some(known) => result = result.map(|sofar| sofar.min(known)),
            None => result = None,
        }
    }
    result
}

/// "Or" where some operands are unknown: one `y` settles it.
pub(super) fn any(operands: impl Iterator<Item = Option<Tristate>>) -> Option<Tristate> {
    all(operands.map(|operand| operand.map(Tristate::negated))).map(Tristate::negated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tristate::{Module, No, Yes};

    #[test]
    fn unknown_operands_matter_only_while_nothing_settles_it() {
        assert_eq!(all([Some(Yes), None, Some(No)].into_iter()), Some(No));
        assert_eq!(all([Some(Yes), None].into_iter()), None);
        assert_eq!(all([Some(Yes), Some(Module)].into_iter()), Some(Module));
        assert_eq!(any([Some(No), None, Some(Yes)].into_iter()), Some(Yes));
        assert_eq!(any([Some(No), Some(Module)].into_iter()), Some(Module));
        assert_eq!(any([Some(No), None].into_iter()), None);
        assert_eq!(any(std::iter::empty()), Some(No));
    }
}
