//! `images verify`.

use clap::Args;
use serde_json::{Value, json};
use stage1_builder::pipeline::Error;
use stage1_builder::report::text;
use stage1_builder::store::{self, Checked, Store};

use crate::cli::output;
use crate::cli::table::Form;

/// `images verify`.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Remove what is damaged: it is built or fetched again when it is asked for
    #[arg(long)]
    repair: bool,
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

pub(super) fn run(store: &Store, verify: &Verify) -> Result<(), Error> {
    let mut first = None;
    let mut rows = Vec::new();
    for checked in store::check(store) {
        if verify.format == Form::Table {
            output::result(&line(&checked, verify.repair)).map_err(Error::Output)?;
        }
        if verify.repair && checked.result.is_err() {
            checked.remove()?;
        }
        rows.push(in_json(&checked, verify.repair));
        if let Err(error) = checked.result {
            first.get_or_insert(error);
        }
    }
    if verify.format == Form::Json {
        output::result(&format!("{:#}", Value::Array(rows))).map_err(Error::Output)?;
    }
    match first {
        Some(error) if !verify.repair => Err(error.into()),
        _ => Ok(()),
    }
}

fn line(checked: &Checked, repair: bool) -> String {
    match &checked.result {
        Ok(()) => format!("ok       {}", checked.name),
        Err(error) => {
            let end = if repair { "; removed" } else { "" };
            format!("damaged  {}\n         {}{end}", checked.name, text::chain(error))
        }
    }
}

fn in_json(checked: &Checked, repair: bool) -> Value {
    let problem = checked.result.as_ref().err().map(|error| text::chain(error));
    json!({
        "name": checked.name,
        "ok": checked.result.is_ok(),
        "problem": problem,
        "removed": repair && checked.result.is_err(),
    })
}
