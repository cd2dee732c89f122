//! `config-kernel`: a kernel's `.config`, or why one symbol is what it is.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use stage1_builder::kconfig::{DotConfig, Value};
use stage1_builder::pipeline::{self, Asked, Error, KernelConfig, Origin, Why};
use stage1_builder::report::Reporter;

use super::args::{Global, SettingFlags};
use super::output;
use super::table::{self, Form};

/// `config-kernel`.
#[derive(Debug, Args)]
pub(super) struct ConfigKernel {
    /// The kernel: X.Y, X.Y.Z, X.Y-rcN, stable, longterm, mainline
    #[arg(value_name = "VERSION")]
    version: Option<String>,
    /// Say of one symbol who asked for it, what came out and why
    #[arg(long, value_name = "SYMBOL")]
    why: Option<String>,
    /// Look again which release is the newest, instead of once a day
    #[arg(long)]
    refresh: bool,
    /// As text, which is the .config itself, or as JSON for programs
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Form,
    #[command(flatten)]
    settings: SettingFlags<false>,
}

/// The JSON of both.
#[derive(Serialize)]
struct Shown<'a> {
    version: String,
    release: &'a str,
    origin: Origin,
    findings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<std::collections::BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a Why>,
}

pub(super) fn run(global: &Global, asked: &ConfigKernel) -> Result<ExitCode, Error> {
    let settings = asked.settings.load(global, asked.version.as_deref())?;
    let reporter = output::reporter(global, settings.debug);
    let reporter: &dyn Reporter = reporter.as_ref();
    let (config, why) = match &asked.why {
        None => (pipeline::config_kernel(&settings, asked.refresh, reporter)?, None),
        Some(symbol) => {
            let (config, why) = pipeline::why(&settings, asked.refresh, symbol, reporter)?;
            (config, Some(why))
        }
    };
    if why.is_none() {
        for finding in &config.findings {
            // Each begins with its severity; to who only looks, all are warnings.
            let what = finding.split_once(": ").map_or(finding.as_str(), |(_, what)| what);
            reporter.warning(what);
        }
    }
    let shown = shown(&config, why.as_ref())?;
    table::print(asked.format, &shown, |_| match &why {
        None => config.text.clone(),
        Some(why) => text(&config, why),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn shown<'a>(config: &'a KernelConfig, why: Option<&'a Why>) -> Result<Shown<'a>, Error> {
    let values = DotConfig::parse(".config", &config.text)?;
    let all = values.iter().map(|(name, value)| (name.to_owned(), value.clone()));
    Ok(Shown {
        version: config.version.to_string(),
        release: &config.release,
        origin: config.origin,
        findings: &config.findings,
        config: why.is_none().then(|| all.collect()),
        why,
    })
}

/// Who asked, then what came out and all that the tree says of it.
fn text(config: &KernelConfig, why: &Why) -> String {
    let line = |asked: &Asked| {
        let Asked { fragment, line, value, overridden } = asked;
        let end = if *overridden { ", overridden" } else { "" };
        format!("  asked for {value} in {fragment}:{line}{end}\n")
    };
    let asked: String = match why.asked.is_empty() {
        true => "  asked for by nobody\n".to_owned(),
        false => why.asked.iter().map(line).collect(),
    };
    let findings: String = why.findings.iter().map(|finding| format!("  {finding}\n")).collect();
    let told = why.explanation.to_string();
    let (first, rest) = told.split_once('\n').unwrap_or((&told, ""));
    format!("Linux {}: {first}\n{asked}{findings}{rest}\n", config.version)
}
