//! A line of a Kconfig file as tokens.

/// A token of a logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, a symbol, a number; may hold `$(…)` unexpanded.
    Word(String),
    /// A text in quotes, without them; may hold `$(…)` unexpanded.
    Text(String),
    /// `(`, `)`, `!`, `=`, `!=`, `<`, `<=`, `>`, `>=`, `&&`, `||`, and
    /// any other character by itself.
    Sign(&'static str),
    /// A character that has no meaning here.
    Other(char),
}

/// Longer signs first, so that `!=` is not `!` and `=`.
const SIGNS: [&str; 12] = ["&&", "||", "!=", "<=", ">=", "(", ")", "!", "=", "<", ">", ","];

/// The tokens of a line; a `#` outside quotes ends it.
pub(super) fn tokens(line: &str) -> Vec<Token> {
    let mut result = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => break,
            '"' | '\'' => {
                let (text, length) = quoted(rest, first);
                result.push(Token::Text(text));
                length
            }
            _ => match word_length(rest) {
                0 => sign(rest, first, &mut result),
                length => {
                    result.push(Token::Word(rest[..length].to_owned()));
                    length
                }
            },
        };
        rest = rest[length..].trim_start();
    }
    result
}

fn sign(rest: &str, first: char, result: &mut Vec<Token>) -> usize {
    match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        Some(sign) => {
            result.push(Token::Sign(sign));
            sign.len()
        }
        None => {
            result.push(Token::Other(first));
            first.len_utf8()
        }
    }
}

/// The text behind the opening quote, and the length with both quotes. A
/// quote inside `$(…)` doesn't close it; a missing one is taken as there.
fn quoted(rest: &str, quote: char) -> (String, usize) {
    let mut text = String::new();
    let mut at = 1;
    while let Some(character) = rest[at..].chars().next() {
        let length = character.len_utf8();
        if character == quote {
            return (text, at + length);
        }
        if character == '\\' {
            let escaped = rest[at + length..].chars().next();
            text.extend(escaped);
            at += length + escaped.map_or(0, char::len_utf8);
        } else if let Some(call) = macro_length(&rest[at..]) {
            text.push_str(&rest[at..at + call]);
            at += call;
        } else {
            text.push(character);
            at += length;
        }
    }
    (text, at)
}

/// How many bytes of a word stand at the start: letters, digits, `_-./` and
/// whole macro calls.
fn word_length(rest: &str) -> usize {
    let mut length = 0;
    while let Some(byte) = rest.as_bytes().get(length) {
        length += match byte {
            b'$' => macro_length(&rest[length..]).unwrap_or(1),
            b'_' | b'-' | b'.' | b'/' => 1,
            byte if byte.is_ascii_alphanumeric() => 1,
            _ => break,
        };
    }
    length
}

/// The length of the `$(…)` at the start, with its balanced parentheses; one
/// that is never closed reaches to the end.
pub(super) fn macro_length(rest: &str) -> Option<usize> {
    if !rest.starts_with("$(") {
        return None;
    }
    let mut open = 0_usize;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' if open == 1 => return Some(at + 1),
            b')' => open -= 1,
            _ => {}
        }
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.into())
    }

    fn text(text: &str) -> Token {
        Token::Text(text.into())
    }

    #[test]
    fn signs_words_texts_and_macros_are_told_apart() {
        assert_eq!(
            tokens("  default y if A!=\"x # \\\"y\\\"\" && !(B||C<=0x10) # end"),
            [
                word("default"),
                word("y"),
                word("if"),
                word("A"),
                Token::Sign("!="),
                text("x # \"y\""),
                Token::Sign("&&"),
                Token::Sign("!"),
                Token::Sign("("),
                word("B"),
                Token::Sign("||"),
                word("C"),
                Token::Sign("<="),
                word("0x10"),
                Token::Sign(")"),
            ]
        );
        assert_eq!(
            tokens("def_bool $(cc-option,-fcf(x) -m 'y') && \"$(f,\"q\") z\""),
            [
                word("def_bool"),
                word("$(cc-option,-fcf(x) -m 'y')"),
                Token::Sign("&&"),
                text("$(f,\"q\") z"),
            ]
        );
        assert_eq!(tokens("---help---"), [word("---help---")]);
        assert_eq!(tokens("source \"open"), [word("source"), text("open")]);
    }
}
