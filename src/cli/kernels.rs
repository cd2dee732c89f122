//! `kernels`: a list for each provider.

use std::process::ExitCode;

use clap::Args;
use stage1_builder::pipeline::Error;
use stage1_builder::pipeline::kernels::{self, Answer, Certainty, Kernel, Needed, Offered, Other};
use stage1_builder::report::{Fault, Reporter};
use stage1_builder::settings::KernelRequest;

use super::args::{Global, SettingFlags};
use super::output;
use super::table::{self, Form, Paint, painted};

/// `kernels`.
#[derive(Debug, Args)]
pub(super) struct Kernels {
    /// Only these: X.Y, X.Y.Z, X.Y-rcN, stable, longterm, mainline
    #[arg(value_name = "VERSION", value_parser = request)]
    version: Option<KernelRequest>,
    /// Say which fixes a build would apply, as far as that can be known
    #[arg(long)]
    fixes: bool,
    /// Fetch package lists anew
    #[arg(long)]
    refresh: bool,
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    #[command(flatten)]
    settings: SettingFlags<false>,
}

fn request(text: &str) -> Result<KernelRequest, String> {
    text.parse().map_err(|error: stage1_builder::settings::NotAVersion| error.to_string())
}

pub(super) fn run(global: &Global, asked: &Kernels) -> Result<ExitCode, Error> {
    let settings = asked.settings.load(global, None)?;
    if asked.fixes && asked.version.is_none() && settings.source.is_none() {
        return Err(Error::Usage {
            problem: "--fixes: of which kernel?".to_owned(),
            hint: "name one: stage1-builder kernels 4.9 --fixes; or a source: --source PATH"
                .to_owned(),
        });
    }
    let reporter = output::reporter(global, settings.debug);
    let reporter: &dyn Reporter = reporter.as_ref();
    let answer = kernels::kernels(&settings, asked.version, asked.fixes, asked.refresh, reporter)?;
    table::print(asked.format, &answer, shown)?;
    let providers = &answer.providers;
    let any = providers.iter().any(|one| !one.kernels.is_empty()) || !answer.others.is_empty();
    let silent = providers.iter().all(|one| one.error.is_some());
    Ok(table::ended(any, if silent { Fault::Network } else { Fault::NotFound }))
}

fn shown(answer: &Answer) -> String {
    let mut parts: Vec<String> = answer.providers.iter().map(provider).collect();
    if !answer.others.is_empty() {
        let row = |other: &Other| {
            let here = format!("here: {}", count(&other.images).unwrap_or_default());
            [other.version.to_string(), here]
        };
        let rows: Vec<_> = answer.others.iter().map(row).collect();
        let lines = indented(&table::columns(&rows));
        parts.push(format!("{}\n{lines}", painted(Paint::Bold, "of other sources")));
    }
    let heading = painted(Paint::Bold, "fixes");
    parts.extend(answer.fixes.as_deref().map(|all| format!("{heading}\n{}", fixes(all))));
    parts.join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn count(images: &[String]) -> Option<String> {
    match images.len() {
        0 => None,
        1 => Some("1 image".to_owned()),
        many => Some(format!("{many} images")),
    }
}

fn provider(offered: &Offered) -> String {
    let mut text = format!("{}\n", painted(Paint::Bold, &offered.provider.to_string()));
    if let Some(error) = &offered.error {
        text.push_str(&format!("  {} {error}\n", painted(Paint::Yellow, "not reached:")));
    }
    if offered.kernels.is_empty() && offered.error.is_none() {
        text.push_str("  nothing of that kind\n");
    }
    let rows: Vec<_> = offered.kernels.iter().map(row).collect();
    let lines = table::columns(&rows);
    for (line, kernel) in lines.lines().zip(&offered.kernels) {
        text.push_str(&format!("  {line}\n"));
        text.extend(kernel.fixes.as_deref().map(fixes));
    }
    text
}

fn row(kernel: &Kernel) -> [String; 5] {
    let offer = &kernel.offer;
    let end = match (offer.end_of_life, offer.listed) {
        (Some(true), _) => "end of life",
        (_, false) => "not listed",
        _ => "",
    };
    let package = offer.package.as_ref().map(|one| format!("{} {}", one.name, one.version));
    let moniker = offer.moniker.clone().or(package).unwrap_or_default();
    let source = offer.here.is_some().then(|| "source".to_owned());
    let here: Vec<String> = source.into_iter().chain(count(&kernel.images)).collect();
    let here = if here.is_empty() { String::new() } else { format!("here: {}", here.join(", ")) };
    let released = offer.released.clone().unwrap_or_default();
    [offer.version.to_string(), moniker, released, end.to_owned(), here]
}

fn fixes(fixes: &[Needed]) -> String {
    if fixes.is_empty() {
        return "    no fix is needed with this host's tools\n".to_owned();
    }
    let line = |fix: &Needed| {
        let sure = match fix.certainty {
            Certainty::Sure => "applies",
            Certainty::Possible => "may apply",
        };
        format!("    {sure}: {} (mended in {}): {}\n", fix.id, fix.released, fix.why)
    };
    let mut text: String = fixes.iter().map(line).collect();
    if fixes.iter().any(|fix| fix.certainty == Certainty::Possible) {
        text.push_str("    by the version alone: the source is not unpacked here, and decides\n");
    }
    text
}
