//! `images` and `images show`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stage1_builder::pipeline::Error;
use stage1_builder::report::text;
use stage1_builder::store::{Found, Store};

use crate::cli::output;
use crate::cli::table::{self, Form};

/// Digits of an id that tell it from others.
const DIGITS: usize = 12;

pub(super) fn list(store: &Store, format: Form) -> Result<(), Error> {
    let mut images = store.images().all();
    images.sort_by(|a, b| b.made.cmp(&a.made).then_with(|| a.key.cmp(&b.key)));
    let text = match format {
        Form::Json => format!("{:#}", images.iter().map(in_json).collect::<Value>()),
        Form::Table if images.is_empty() => return Ok(()),
        Form::Table => table(&images),
    };
    output::result(text.trim_end()).map_err(Error::Output)
}

pub(super) fn show(store: &Store, id: &str, format: Form) -> Result<(), Error> {
    let images = store.images().by_id(id)?;
    let text = match format {
        Form::Json => format!("{:#}", images.iter().map(in_json).collect::<Value>()),
        Form::Table => images.iter().map(lines).collect::<Vec<_>>().join("\n"),
    };
    output::result(text.trim_end()).map_err(Error::Output)
}

fn in_json(image: &Found) -> Value {
    let record = &image.record;
    json!({
        "id": record.id.appc(),
        "format": record.format,
        "name": record.name,
        "labels": record.labels,
        "kernel": record.kernel,
        "release": record.release,
        "size": record.size,
        "sha256": record.file.hex(),
        "made": date(image.made),
        "used": date(image.used),
        "source": record.source,
        "key": image.key,
        "file": image.file,
    })
}

fn lines(image: &Found) -> String {
    let record = &image.record;
    let labels: Vec<String> =
        record.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let rows = [
        ("id", record.id.appc()),
        ("format", record.format.to_string()),
        ("name", record.name.clone()),
        ("labels", labels.join(" ")),
        ("kernel", record.kernel.clone()),
        ("uname -r", record.release.clone()),
        ("from", unless_empty(&record.source)),
        ("made", date(image.made)),
        ("last used", date(image.used)),
        ("size", format!("{} ({} bytes)", text::bytes(record.size), text::grouped(record.size))),
        ("file", image.file.display().to_string()),
        ("sha256", record.file.hex().to_owned()),
        ("key", image.key.to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

fn table(images: &[Found]) -> String {
    let head = ["ID", "FORMAT", "KERNEL", "SIZE", "MADE", "NAME", "FROM"].map(str::to_owned);
    let mut rows: Vec<[String; 7]> = std::iter::once(head).chain(images.iter().map(row)).collect();
    // Numbers stand at the right.
    let width = rows.iter().map(|row| row[3].len()).max().unwrap_or_default();
    rows.iter_mut().for_each(|row| row[3] = format!("{:>width$}", row[3]));
    table::columns(&rows)
}

fn row(image: &Found) -> [String; 7] {
    let record = &image.record;
    [
        record.id.hex()[..DIGITS].to_owned(),
        record.format.to_string(),
        record.release.clone(),
        text::bytes(record.size),
        date(image.made)[..16].replace('T', " "),
        reference(image),
        unless_empty(&record.source),
    ]
}

/// Name and labels as `run --stage1-name` takes them. What every image here
/// has (linux, this processor) is left out.
fn reference(image: &Found) -> String {
    let labels = &image.record.labels;
    let version = labels.get("version").map(|version| format!(":{version}")).unwrap_or_default();
    let others = labels
        .iter()
        .filter(|(name, value)| {
            *name != "version"
                && !matches!((name.as_str(), value.as_str()), ("os", "linux") | ("arch", "amd64"))
        })
        .map(|(name, value)| format!(",{name}={value}"));
    format!("{}{version}{}", image.record.name, others.collect::<String>())
}

fn unless_empty(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// As RFC 3339 writes it, to the second.
pub(super) fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.unwrap_or_default().to_string()
}
