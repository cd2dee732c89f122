//! `config`: every setting, its value, its origin.

use stage1_builder::pipeline::Error;
use stage1_builder::settings::{Given, Settings, reference_markdown};

use super::args::{Config, ConfigOutput, Global};
use super::output;

pub(super) fn run(global: &Global, config: &Config) -> Result<(), Error> {
    let text = match config.output {
        ConfigOutput::Markdown => reference_markdown(),
        ConfigOutput::Json => json(&config.settings.load(global, None)?),
        ConfigOutput::Table => table(&config.settings.load(global, None)?),
    };
    output::result(text.trim_end()).map_err(Error::Output)
}

fn json(settings: &Settings) -> String {
    let row = |given: &Given| {
        let value = serde_json::json!({ "value": given.text, "origin": given.origin.to_string() });
        (given.setting.name.to_owned(), value)
    };
    let rows: serde_json::Map<_, _> = settings.origins().iter().map(row).collect();
    format!("{:#}", serde_json::Value::Object(rows))
}

fn table(settings: &Settings) -> String {
    let width = |text: fn(&Given) -> &str| {
        settings.origins().iter().map(|given| text(given).len()).max().unwrap_or_default()
    };
    let (names, values) = (width(|given| given.setting.name), width(|given| &given.text).min(48));
    let row = |given: &Given| {
        let value = if given.text.is_empty() { "-" } else { &given.text };
        format!("{:<names$}  {value:<values$}  {}\n", given.setting.name, given.origin)
    };
    settings.origins().iter().map(row).collect()
}
