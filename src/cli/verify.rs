//! `verify`: a table of checks, and with `--boot` of what the kernel does when
//! it runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use stage1_builder::pipeline::verify::{self, Booting, Check, HostPaths, Status, Verdict};
use stage1_builder::pipeline::{self, Error, RunRequest};
use stage1_builder::report::Fault;
use stage1_builder::store::Store;
use stage1_builder::vm::Limits;

use super::args::Global;
use super::output;
use super::run::{AccelChoice, time};
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
    /// Boot it, too, and try in the guest what its configuration promises
    #[arg(long)]
    boot: bool,
    /// What runs the guest's instructions
    #[arg(long, value_name = "ACCEL", default_value = "auto", requires = "boot")]
    accel: AccelChoice,
    /// QEMU's name or path [default: qemu-system-x86_64, or what the image's architecture has]
    #[arg(long, value_name = "PROGRAM", requires = "boot")]
    qemu: Option<String>,
    /// How long the guest may take to boot
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = time,
        requires = "boot")]
    boot_timeout: Duration,
    #[command(flatten)]
    stored: Stored,
}

impl Verify {
    fn machine(&self) -> RunRequest {
        let boot = self.boot_timeout;
        RunRequest {
            accel: self.accel.meant(),
            qemu: self.qemu.clone(),
            limits: Limits { hello: boot, boot, command: None },
            ..RunRequest::default()
        }
    }
}

/// Columns of what was found; with what stands before, a hundred.
const WIDTH: usize = 76;

pub(super) fn run(global: &Global, verify: &Verify) -> Result<ExitCode, Error> {
    let settings = verify.stored.settings(global)?;
    let file = pipeline::image_file(&Store::new(&settings.cache_dir), &verify.image)?;
    let reporter = output::reporter(global, settings.debug);
    let booting =
        Booting { machine: verify.machine(), settings: &settings, reporter: reporter.as_ref() };
    let booting = verify.boot.then_some(&booting);
    let verdict = verify::verify(&file, &HostPaths::of(&settings), booting)?;
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
    // Lines of a console and commands stay as they are.
    let whole = |line: &str| line.starts_with("| ") || line.starts_with("hint: ");
    let lines = check.details.iter().flat_map(|line| match whole(line) {
        true => vec![line.clone()],
        false => table::wrapped(line, WIDTH),
    });
    let lines: Vec<String> = lines.collect();
    let more = format!("\n{:24}", "");
    format!("{mark}  {:<13}  {}\n", check.name, lines.join(&more))
}
