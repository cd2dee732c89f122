//! `config`: every setting, its value, its origin.

use stage1_builder::pipeline::Error;
use stage1_builder::settings::reference_markdown;

use super::args::{Config, ConfigOutput, Global};
use super::output;

pub(super) fn run(global: &Global, config: &Config) -> Result<(), Error> {
    if config.output == ConfigOutput::Markdown {
        return output::result(reference_markdown().trim_end()).map_err(Error::Output);
    }
    let settings = config.settings.load(global, None)?;
    let text = match config.output {
        ConfigOutput::Json => {
            let rows: serde_json::Map<_, _> = settings
                .origins()
                .map(|row| {
                    let value =
                        serde_json::json!({ "value": row.value, "origin": row.origin.to_string() });
                    (row.name().to_owned(), value)
                })
                .collect();
            format!("{:#}", serde_json::Value::Object(rows))
        }
        _ => settings
            .origins()
            .map(|row| {
                format!("{:<34} {:<40} {}\n", row.name(), row.value.unwrap_or("-"), row.origin)
            })
            .collect(),
    };
    output::result(text.trim_end()).map_err(Error::Output)
}
