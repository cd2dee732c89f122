use proptest::prelude::*;

use super::*;

/// A file's assignments without their places, as this format writes them.
fn write(assignments: &[Assignment]) -> String {
    assignments.iter().map(|a| format!("{}=\"{}\"\n", a.name, pieces(&a.value))).collect()
}

fn pieces(value: &[Piece]) -> String {
    value.iter().map(piece).collect()
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Literal(text) => {
            let escape = |c: char| if "\\\"$`".contains(c) { format!("\\{c}") } else { c.into() };
            text.chars().map(escape).collect()
        }
        Piece::Variable { name, default: None, .. } => format!("${{{name}}}"),
        Piece::Variable { name, default: Some(default), .. } => {
            format!("${{{name}:-\"{}\"}}", pieces(default))
        }
    }
}

fn one(text: &str) -> String {
    match parse(text).unwrap().as_slice() {
        [assignment] => pieces(&assignment.value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_form_of_a_value() {
    for (text, value) in [
        ("A=b", "b"),
        ("A=", ""),
        ("A=\"\"", ""),
        ("  A=b  # comment", "b"),
        ("A= # comment", ""),
        ("A=b#c", "b#c"),
        ("A='$b \\ \"'", "\\$b \\\\ \\\""),
        ("A=\"b \\\" \\\\ \\$c\"", "b \\\" \\\\ \\$c"),
        ("A=b'c'\"d\"", "bcd"),
        ("A=$B/c", "${B}/c"),
        ("A=${B}c", "${B}c"),
        ("A=${B:-c d}", "${B:-\"c d\"}"),
        ("A=${B:-'}'}", "${B:-\"}\"}"),
        ("A=\"${B:-\\}}\"", "${B:-\"}\"}"),
        ("A=\"${B:-\"4.16\"}\"", "${B:-\"4.16\"}"),
        ("A=\"${B:-${C}/d}\"", "${B:-\"${C}/d\"}"),
        ("A=~/b", "${HOME}/b"),
        ("A=b~", "b~"),
        ("A='~me'", "~me"),
        ("A=${B:-~/c}", "${B:-\"${HOME}/c\"}"),
        ("A=\"b\\\nc\"", "bc"),
        ("A=\"\nb\n\"", "\nb\n"),
        ("export A=b", "b"),
        ("readonly A=b", "b"),
        ("export=b", "b"),
        ("#!/bin/sh\n\nA=b\n", "b"),
        ("\u{feff}A=b", "b"),
        ("# ü\r\nA='b\r\nc'\r\n", "b\nc"),
        ("A=käse", "käse"),
    ] {
        assert_eq!(one(text), value, "{text}");
    }
}

#[test]
fn each_refusal_has_its_place_and_says_what_to_write() {
    for (text, line, column, problem, instead) in [
        ("A=$(date)", 1, 3, "a command substitution", "write the value itself"),
        ("\nA=\"x$(nproc --all)\"", 2, 5, "a command substitution", "leave the setting out"),
        ("A=`pwd`", 1, 3, "a command substitution", "${DIR}"),
        ("A=\"`x`\"", 1, 4, "a command substitution", "write the value itself"),
        (
            "A=\"${B:-'c'}\"",
            1,
            9,
            "a single quote in a default inside double quotes",
            "leave the single quotes out",
        ),
        ("A=~}", 1, 3, "'~' outside of quotes", "NAME='…'"),
        ("A=~me/b", 1, 3, "'~' outside of quotes", "NAME='…'"),
        ("A=b:~/c", 1, 5, "'~' outside of quotes", "NAME='…'"),
        ("A=${B:-\\\n~}", 2, 1, "'~' outside of quotes", "NAME='…'"),
        ("A=${B:-<(c)}", 1, 8, "'<' outside of quotes", "NAME='…'"),
        ("A=b; c", 1, 4, "';' outside of quotes", "NAME='…'"),
        ("A=b&&c", 1, 4, "'&' outside of quotes", "in quotes"),
        ("ü=1", 1, 1, "not a NAME=value", "write one NAME=value a line"),
        ("A=ü b", 1, 5, "a second word after the value", "A='…'"),
        ("A= b", 1, 4, "a second word after the value", "A='…'"),
        ("A=b\u{a0}c", 1, 4, "a second word after the value", "A='…'"),
        ("A=b C=d", 1, 5, "a second word after the value", "one NAME=value a line"),
        ("A =b", 1, 2, "a blank after A", "write A= without the blank"),
        ("A=(b c)", 1, 3, "an array", "A=\"first second\""),
        ("A[0]=b", 1, 2, "an array", "A=\"first second\""),
        ("A+=b", 1, 2, "'+='", "write A=\"${A} more\""),
        ("A=b\\ c", 1, 4, "a backslash outside of quotes", "NAME='…'"),
        ("A=\"\\n\"", 1, 4, "unknown escape '\\n'", "single quotes"),
        ("\tsource x", 1, 2, "'source' is not a NAME=value", "nothing in it is executed"),
        (". x", 1, 1, "not a NAME=value", "nothing in it is executed"),
        ("export A", 1, 8, "'A' is not a NAME=value", "NAME=value"),
        ("A=1\n  if true", 2, 3, "'if' is not a NAME=value", "NAME=value"),
        ("A='b\nc", 1, 3, "' without its closing '", "close it with '"),
        ("A=\"b", 1, 3, "\" without its closing \"", "close it with \""),
        ("A=x${B", 1, 4, "'${' without its '}'", "close it with }"),
        ("A=x${B:-c\nd}", 1, 4, "'${' without its '}'", "close it with }"),
        ("A=${B%.*}", 1, 6, "unknown form of expansion", "${NAME:-default}"),
        ("A=${B:=c}", 1, 6, "unknown form of expansion", "${NAME:-default}"),
        ("A=${#B}", 1, 5, "unknown form of expansion", "${NAME:-default}"),
        ("A=${}", 1, 3, "'$' without a name", "${NAME}"),
        ("A=$1", 1, 3, "'$' without a name", "${NAME}"),
        ("A=\"5$\"", 1, 5, "'$' without a name", "single quotes"),
        ("A=b\rB=c", 1, 4, "control character U+000D", "remove"),
        ("A=\0", 1, 3, "control character U+0000", "remove"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!((error.at.line, error.at.column), (line, column), "{text}: {error:?}");
        assert_eq!(error.problem, problem, "{text}");
        assert!(error.instead.contains(instead), "{text}: {}", error.instead);
    }
}

#[test]
fn nesting_has_an_end() {
    let text = format!("A={}", "${B:-".repeat(100_000));
    assert!(parse(&text).unwrap_err().problem.contains("nested too deep"));
    let nested = |depth| format!("A={}{}", "${B:-".repeat(depth), "}".repeat(depth));
    assert!(parse(&nested(DEPTH)).is_ok());
    assert!(parse(&nested(DEPTH + 1)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn what_is_accepted_is_written_and_read_back_equal(
        text in r#"([AB]=|[ab ${}:"'\\\n#~-]|\$\{A:-|\}){0,24}"#,
    ) {
        if let Ok(assignments) = parse(&text) {
            let written = write(&assignments);
            let again = parse(&written)
                .map_err(|error| TestCaseError::fail(format!("{written}: {error:?}")))?;
            prop_assert_eq!(write(&again), written);
            prop_assert_eq!(again.len(), assignments.len());
        }
    }

    #[test]
    fn a_quoted_value_is_read_as_itself(value in r"[^\p{Cc}]*(\n[^\p{Cc}]*)?") {
        let text = format!("A={}", quote(&value));
        let expected: Vec<_> =
            (!value.is_empty()).then_some(Piece::Literal(value)).into_iter().collect();
        prop_assert_eq!(&parse(&text).unwrap()[0].value, &expected);
    }
}
