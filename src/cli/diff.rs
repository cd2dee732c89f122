//! `diff`: two images side by side.

use std::process::ExitCode;

use clap::Args;
use stage1_builder::pipeline::diff::{self, Changes, Difference, Side};
use stage1_builder::pipeline::{self, Error};
use stage1_builder::report::text::{bytes, grouped};
use stage1_builder::store::Store;

use super::args::Global;
use super::stored::Stored;
use super::table::{self, Form, Paint, painted};

/// `diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// An image's file, or the id of one in the store (at least eight digits)
    #[arg(value_name = "BEFORE")]
    before: String,
    /// The other image
    #[arg(value_name = "AFTER")]
    after: String,
    /// As lists for people, or as JSON for programs
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    /// End with code 1 if they are not the same image, as diff does
    #[arg(long)]
    exit_code: bool,
    /// Name every symbol and file, however many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    stored: Stored,
}

/// How many symbols or files of one kind are named unless all are asked for.
const MOST: usize = 20;

/// What diff(1) and `git diff --exit-code` say of what differs.
const DIFFERENT: u8 = 1;

pub(super) fn run(global: &Global, diff: &Diff) -> Result<ExitCode, Error> {
    let store = Store::new(&diff.stored.settings(global)?.cache_dir);
    let before = pipeline::image_file(&store, &diff.before)?;
    let after = pipeline::image_file(&store, &diff.after)?;
    let difference = diff::diff(&before, &after)?;
    if !global.quiet {
        let most = if diff.all { usize::MAX } else { MOST };
        table::print(diff.format, &difference, |difference| shown(difference, most))?;
    }
    let told = diff.exit_code && !difference.equal;
    Ok(if told { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

fn shown(difference: &Difference, most: usize) -> String {
    let Difference { before, after, versions, config, files, .. } = difference;
    let mut text = format!("{}{}", side("-", Paint::Red, before), side("+", Paint::Green, after));
    if difference.equal {
        text.push_str("\nthe same image\n");
        return text;
    }
    let plain = |value: &String| value.clone();
    text.push_str(&section("versions", versions, plain, usize::MAX));
    text.push_str(&section("configuration", config, plain, most));
    text.push_str(&section("files", files, |size| bytes(*size), most));
    let growth = match after.content_size.checked_sub(before.content_size) {
        Some(more) => format!("{} more", bytes(more)),
        None => format!("{} less", bytes(before.content_size - after.content_size)),
    };
    text + &format!("\n{growth} uncompressed\n")
}

fn side(sign: &str, paint: Paint, side: &Side) -> String {
    let Side { file, id, size, content_size } = side;
    let line = format!("{sign} {}", file.display());
    let (size, content) = (bytes(*size), bytes(*content_size));
    format!("{}\n  {id}\n  {size}, {content} uncompressed\n", painted(paint, &line))
}

fn section<T>(
    title: &str,
    changes: &Changes<T>,
    value: impl Fn(&T) -> String,
    most: usize,
) -> String {
    let Changes { added, removed, changed, same } = changes;
    let title = painted(Paint::Bold, title);
    if added.is_empty() && removed.is_empty() && changed.is_empty() {
        return format!("\n{title}: the same\n");
    }
    let counts = [added.len(), removed.len(), changed.len(), *same];
    let [plus, minus, other, same] = counts.map(|count| grouped(count as u64));
    let mut text =
        format!("\n{title}: {plus} added, {minus} removed, {other} changed, {same} the same\n");
    let added = added.iter().map(|one| ("+", Paint::Green, &one.name, value(&one.value)));
    let removed = removed.iter().map(|one| ("-", Paint::Red, &one.name, value(&one.value)));
    let changed = changed.iter().map(|one| {
        let (old, new) = (value(&one.before), value(&one.after));
        let told = if old == new { old } else { format!("{old} -> {new}") };
        ("~", Paint::Yellow, &one.name, told)
    });
    list(&mut text, removed, most);
    list(&mut text, added, most);
    list(&mut text, changed, most);
    text
}

fn list<'a>(
    text: &mut String,
    rows: impl ExactSizeIterator<Item = (&'a str, Paint, &'a String, String)>,
    most: usize,
) {
    let more = rows.len().saturating_sub(most);
    let mut sign = "";
    for (mark, paint, name, value) in rows.take(most) {
        text.push_str(&format!("  {} {name}  {value}\n", painted(paint, mark)));
        sign = mark;
    }
    if more > 0 {
        text.push_str(&format!("  {sign} and {} more (--all)\n", grouped(more as u64)));
    }
}
