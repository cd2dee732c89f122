//! `doctor`: a line for each thing that was looked at.

use std::process::ExitCode;

use clap::Args;
use stage1_builder::pipeline::Error;
use stage1_builder::pipeline::doctor::{self, Area, Diagnosis, Line, State};
use stage1_builder::report::{Fault, Reporter};

use super::args::{Global, SettingFlags};
use super::output;
use super::table::{self, Form, Paint, painted};

/// `doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Don't boot a kernel of the store to see whether KVM works
    #[arg(long)]
    no_boot: bool,
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    #[command(flatten)]
    settings: SettingFlags<false>,
}

pub(super) fn run(global: &Global, asked: &Doctor) -> Result<ExitCode, Error> {
    let settings = asked.settings.load(global, None)?;
    let reporter = output::reporter(global, settings.debug);
    let reporter: &dyn Reporter = reporter.as_ref();
    let diagnosis = doctor::doctor(&settings, !asked.no_boot, reporter)?;
    let quiet = global.quiet;
    table::print(asked.format, &diagnosis, |diagnosis| shown(diagnosis, quiet))?;
    Ok(table::ended(diagnosis.can_build && diagnosis.can_run, Fault::MissingTools))
}

fn shown(diagnosis: &Diagnosis, quiet: bool) -> String {
    let areas = [(Area::Build, "to build"), (Area::Run, "to run"), (Area::Host, "for both")];
    let longest = diagnosis.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (area, title) in areas {
        let counts = |line: &&Line| line.area == area && !(quiet && line.state == State::Ok);
        let lines: Vec<&Line> = diagnosis.lines.iter().filter(counts).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{}\n", painted(Paint::Bold, title)));
            text.extend(lines.into_iter().map(|line| row(line, longest)));
        }
    }
    if quiet { text } else { text + &end(diagnosis) }
}

/// The mark's column is padded before it is painted; that of the names is as
/// wide as the longest of them.
fn row(line: &Line, longest: usize) -> String {
    let (paint, mark) = match line.state {
        State::Ok => (Paint::Green, "ok"),
        State::Warning => (Paint::Yellow, "warning"),
        State::Missing => (Paint::Red, "MISSING"),
    };
    let mark = painted(paint, &format!("{mark:<7}"));
    let mend = line.mend.as_ref().map(|mend| format!("{:11}{:longest$} mend: {mend}\n", "", ""));
    format!("  {mark}  {:<longest$} {}\n{}", line.name, line.detail, mend.unwrap_or_default())
}

fn end(diagnosis: &Diagnosis) -> String {
    let verdict = |can| if can { "would work" } else { "would not work" };
    let (build, run) = (verdict(diagnosis.can_build), verdict(diagnosis.can_run));
    format!("\na build {build}, a run {run}\n")
}
