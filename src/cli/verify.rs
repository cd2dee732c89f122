//! `verify`: a table of checks.

use std::process::ExitCode;

use clap::Args;
use stage1_builder::pipeline::verify::{self, Check, HostPaths, Status, Verdict};
use stage1_builder::pipeline::{self, Error};
use stage1_builder::report::Fault;
use stage1_builder::store::Store;

use super::args::Global;
use super::stored::Stored;
use super::table::{self, Form, Paint};

/// `verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An image's file, or the id of one in the store (at least eight digits)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    #[command(flatten)]
    stored: Stored,
}

pub(super) fn run(global: &Global, verify: &Verify) -> Result<ExitCode, Error> {
    let settings = verify.stored.settings(global)?;
    let file = pipeline::image_file(&Store::new(&settings.cache_dir), &verify.image)?;
    let verdict = verify::verify(&file, &HostPaths::of(&settings))?;
    let quiet = global.quiet;
    table::print(verify.format, &verdict, |verdict| shown(verdict, quiet))?;
    Ok(table::ended(verdict.ok, Fault::Archive))
}

fn shown(verdict: &Verdict, quiet: bool) -> String {
    let count = |status| verdict.checks.iter().filter(|check| check.status == status).count();
    let id = verdict.id.as_deref().unwrap_or("no id");
    let title = format!("{}\n{id}\n\n", verdict.file.display());
    let rows: String = verdict
        .checks
        .iter()
        .filter(|check| !quiet || check.status == Status::Failed)
        .map(row)
        .collect();
    let total = verdict.checks.len();
    let end = match (count(Status::Failed), count(Status::Skipped)) {
        (0, 0) => format!("all of {total} checks are ok"),
        (failed, 0) => format!("{failed} of {total} checks failed"),
        (failed, skipped) => format!("{failed} of {total} checks failed, {skipped} skipped"),
    };
    if quiet { rows } else { format!("{title}{rows}\n{end}\n") }
}

/// The mark's column is padded before it is painted.
fn row(check: &Check) -> String {
    let (paint, mark) = match check.status {
        Status::Ok => (Paint::Green, "ok"),
        Status::Failed => (Paint::Red, "FAILED"),
        Status::Skipped => (Paint::Yellow, "skipped"),
    };
    let mark = table::painted(paint, &format!("{mark:<7}"));
    let more = format!("\n{:24}", "");
    format!("{mark}  {:<13}  {}\n", check.name, check.details.join(&more))
}
