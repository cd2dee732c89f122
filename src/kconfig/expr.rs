//! Expressions of Kconfig files: reading and writing them.

use std::fmt;

use super::lex::Token;

/// How deep parentheses and `!` may nest before an expression is left
/// unread; real ones stay below ten.
const DEEPEST: usize = 64;

/// What an expression compares or asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    /// A symbol or a bare constant (`y`, `10`), or a macro call.
    Name(String),
    /// A quoted constant.
    Text(String),
}

/// The sign of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn from_sign(sign: &str) -> Option<Self> {
        Some(match sign {
            "=" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// An expression. "And" and "or" hold all of their operands in one list, so
/// that a long line doesn't nest deeply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    Operand(Operand),
    Not(Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Compare(Operand, Comparison, Operand),
    /// What could not be read, as it stands there.
    Unread(String),
}

impl Expr {
    /// Reads a whole token list as an expression.
    pub(super) fn parse(tokens: &[Token]) -> Self {
        let mut reader = Reader { tokens, at: 0 };
        match reader.any(0) {
            Some(expr) if reader.at == tokens.len() => expr,
            _ => Self::Unread(as_written(tokens)),
        }
    }

    /// The operands of a top-level "and": each is a condition of its own.
    pub(super) fn into_terms(self) -> Vec<Self> {
        match self {
            Self::All(terms) => terms,
            other => vec![other],
        }
    }

    /// `depends on self if condition` means `self || !condition` (the
    /// conditional dependencies that newer Kconfig has).
    pub(super) fn unless_not(self, condition: Option<Self>) -> Self {
        match condition {
            Some(condition) => Self::Any(vec![Self::Not(Box::new(condition)), self]),
            None => self,
        }
    }

    fn is_compound(&self) -> bool {
        matches!(self, Self::All(_) | Self::Any(_))
    }
}

struct Reader<'tokens> {
    tokens: &'tokens [Token],
    at: usize,
}

impl Reader<'_> {
    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(there)) if *there == sign);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Option<Expr> {
        let first = self.all(depth)?;
        let mut operands = vec![first];
        while self.take_sign("||") {
            operands.push(self.all(depth)?);
        }
        Some(if operands.len() == 1 { operands.remove(0) } else { Expr::Any(operands) })
    }

    fn all(&mut self, depth: usize) -> Option<Expr> {
        let mut operands = Vec::new();
        loop {
            match self.one(depth)? {
                // "(A && B) && C" has the three terms A, B and C.
                Expr::All(inner) => operands.extend(inner),
                other => operands.push(other),
            }
            if !self.take_sign("&&") {
                break;
            }
        }
        Some(if operands.len() == 1 { operands.remove(0) } else { Expr::All(operands) })
    }

    fn one(&mut self, depth: usize) -> Option<Expr> {
        if depth > DEEPEST {
            return None;
        }
        if self.take_sign("!") {
            return Some(Expr::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take_sign("(") {
            let inner = self.any(depth + 1)?;
            return self.take_sign(")").then_some(inner);
        }
        let left = self.operand()?;
        let sign = match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) => Comparison::from_sign(sign),
            _ => None,
        };
        match sign {
            Some(comparison) => {
                self.at += 1;
                Some(Expr::Compare(left, comparison, self.operand()?))
            }
            None => Some(Expr::Operand(left)),
        }
    }

    fn operand(&mut self) -> Option<Operand> {
        let operand = match self.tokens.get(self.at)? {
            Token::Word(name) => Operand::Name(name.clone()),
            Token::Text(text) => Operand::Text(text.clone()),
            Token::Sign(_) | Token::Other(_) => return None,
        };
        self.at += 1;
        Some(operand)
    }
}

fn as_written(tokens: &[Token]) -> String {
    let one = |token: &Token| match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::Other(character) => character.to_string(),
    };
    tokens.iter().map(one).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, operands: &[Self], sign: &str| {
            for (index, operand) in operands.iter().enumerate() {
                if index > 0 {
                    f.write_str(sign)?;
                }
                if operand.is_compound() { write!(f, "({operand})")? } else { operand.fmt(f)? }
            }
            Ok(())
        };
        match self {
            Self::Operand(operand) => operand.fmt(f),
            Self::Not(inner) if inner.is_compound() => write!(f, "!({inner})"),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::All(operands) => joined(f, operands, " && "),
            Self::Any(operands) => joined(f, operands, " || "),
            Self::Compare(left, comparison, right) => {
                write!(f, "{left} {} {right}", comparison.sign())
            }
            Self::Unread(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokens;
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Expr {
        Expr::parse(&tokens(text))
    }

    #[test]
    fn and_binds_closer_than_or_and_is_shown_with_the_parentheses_that_it_needs() {
        for (text, shown) in [
            ("A&&B||C", "(A && B) || C"),
            ("A && (B || !(C && D))", "A && (B || !(C && D))"),
            ("(A && B) && C", "A && B && C"),
            ("!A=\"x\"", "!A = \"x\""),
            ("X86_64 || (((NR_CPUS >= 32)))", "X86_64 || NR_CPUS >= 32"),
        ] {
            assert_eq!(parse(text).to_string(), shown);
        }
    }

    #[test]
    fn terms_are_the_operands_of_and() {
        let terms = parse("A && (B && C) && (D || E)").into_terms();
        assert_eq!(
            terms.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["A", "B", "C", "D || E"]
        );
    }

    #[test]
    fn nonsense_stays_as_it_is() {
        for text in ["", "A &&", "(A", "A B", "&& A", "A = = B", "%"] {
            assert!(matches!(parse(text), Expr::Unread(_)), "{text}");
        }
        assert!(matches!(parse(&"(".repeat(100_000)), Expr::Unread(_)));
        assert!(matches!(parse(&"!".repeat(100_000)), Expr::Unread(_)));
        assert!(matches!(parse(&"A && ".repeat(100_000)), Expr::Unread(_)));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(text in "[AB!&|()=\" ]{0,40}") {
            let expr = parse(&text);
            if !matches!(expr, Expr::Unread(_)) {
                prop_assert_eq!(parse(&expr.to_string()), expr);
            }
        }
    }
}
