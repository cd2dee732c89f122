//! Tables for people, JSON for programs.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use serde::Serialize;
use stage1_builder::pipeline::Error;
use stage1_builder::report::Fault;

use super::output;

/// How a verb prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// For programs; docs/commands.md has the fields.
    Json,
}

/// Prints `value` as JSON, or what `table` makes of it.
pub(super) fn print<T: Serialize>(
    form: Form,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Error> {
    let text = match form {
        Form::Table => table(value),
        Form::Json => json(value)?,
    };
    match text.trim_end() {
        "" => Ok(()),
        text => output::result(text).map_err(Error::Output),
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))
}

/// Success, or the exit code of what was found, which is no error of ours.
pub(super) fn ended(ok: bool, otherwise: Fault) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::from(otherwise.exit_code()) }
}

/// Rows in columns, two blanks between them; the last column is not padded.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A line as several of at most so many columns, all but the first a little
/// further in. A word that is longer stays whole.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    const FURTHER: &str = "  ";
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().filter(|last| {
            last.is_empty() || last.chars().count() + 1 + word.chars().count() <= width
        });
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => last.push_str(&format!(" {word}")),
            None => lines.push(format!("{FURTHER}{word}")),
        }
    }
    lines
}

/// A colour of the terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    Green,
    Yellow,
    Red,
    Bold,
}

/// The text in a colour, where stdout is a terminal that has colours.
pub(super) fn painted(paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Green => "32",
        Paint::Yellow => "33",
        Paint::Red => "31;1",
        Paint::Bold => "1",
    };
    match io::stdout().is_terminal() && output::colors_wanted() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(columns(&[row("a", "b"), row("äää", "c")]), "a    b\näää  c\n");
        assert_eq!(columns::<2>(&[]), "");
        assert_eq!(columns(&[row("a", "")]), "a\n");
    }

    #[test]
    fn a_long_line_is_wrapped_between_words() {
        assert_eq!(wrapped("a bb ccc", 8), ["a bb ccc"]);
        assert_eq!(wrapped("a bb ccc dd", 7), ["a bb", "  ccc", "  dd"]);
        assert_eq!(wrapped("0123456789 a", 4), ["0123456789", "  a"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
