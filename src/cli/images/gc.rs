//! `images gc`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use stage1_builder::pipeline::Error;
use stage1_builder::report::text;
use stage1_builder::store::{self, Bucket, Item, Limits, Store, Tidied};

use super::list::date;
use crate::cli::output;
use crate::cli::table::Form;

/// `images gc`.
#[derive(Debug, Args)]
#[command(after_help = "Downloads, workspaces, images, kernels taken out of images, \
                  containers, toolchains and findings on the host are looked at. What is in use \
                  stays. Without limits only what serves nobody goes: what killed processes \
                  left, and kernels of images that are gone.")]
pub(super) struct Gc {
    /// Keep the last NUMBER of each kind, and of the others what --older-than leaves
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,
    /// Remove what was not used for so long: 12h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<Duration>,
    /// Remove what was not used for longest until so much is left: 500M, 10G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

pub(super) fn run(store: &Store, gc: &Gc) -> Result<(), Error> {
    let limits = Limits { keep: gc.keep, older_than: gc.older_than, max_size: gc.max_size };
    let tidied = store::tidy(store, &limits, gc.dry_run)?;
    let text = match gc.format {
        Form::Json => format!("{:#}", in_json(&tidied, gc.dry_run)),
        Form::Table => table(&tidied, gc.dry_run),
    };
    output::result(text.trim_end()).map_err(Error::Output)
}

/// What became of one bucket.
struct Sums {
    removed: (usize, u64),
    left: (usize, u64),
    in_use: usize,
}

fn sums(tidied: &Tidied, bucket: Option<Bucket>) -> Sums {
    let of = |item: &&Item| bucket.is_none_or(|bucket| item.bucket == bucket);
    let sum = |items: &[Item]| {
        let items = items.iter().filter(of);
        (items.clone().count(), items.map(|item| item.size).sum())
    };
    Sums {
        removed: sum(&tidied.removed),
        left: sum(&tidied.left),
        in_use: tidied.left.iter().filter(of).filter(|item| item.in_use).count(),
    }
}

fn table(tidied: &Tidied, dry: bool) -> String {
    let mut text = String::new();
    for item in &tidied.removed {
        let doing = if dry { "would remove" } else { "removed" };
        let (bucket, size) = (item.bucket.as_str(), text::bytes(item.size));
        text.push_str(&format!("{doing}  {bucket:<10}  {size:>9}  {}\n", item.name));
    }
    if !tidied.removed.is_empty() {
        text.push('\n');
    }
    let freed = if dry { "TO FREE" } else { "FREED" };
    text.push_str(&format!("{:<10}  {freed:>9}  {:>9}  IN USE\n", "", "LEFT"));
    let rows = Bucket::ALL.map(|bucket| (bucket.as_str(), sums(tidied, Some(bucket))));
    for (name, sums) in rows.iter().chain(&[("total", sums(tidied, None))]) {
        let (freed, left) = (text::bytes(sums.removed.1), text::bytes(sums.left.1));
        text.push_str(&format!("{name:<10}  {freed:>9}  {left:>9}  {:>6}\n", sums.in_use));
    }
    text
}

fn in_json(tidied: &Tidied, dry: bool) -> Value {
    let bucket = |bucket: Bucket| {
        let sums = sums(tidied, Some(bucket));
        let value = json!({
            "removed": sums.removed.0,
            "freed": sums.removed.1,
            "left": sums.left.0,
            "left_size": sums.left.1,
            "in_use": sums.in_use,
        });
        (bucket.as_str().to_owned(), value)
    };
    let item = |item: &Item| {
        json!({
            "bucket": item.bucket.as_str(),
            "name": item.name,
            "size": item.size,
            "used": date(item.used),
        })
    };
    json!({
        "dry_run": dry,
        "freed": tidied.freed(),
        "buckets": Bucket::ALL.into_iter().map(bucket).collect::<serde_json::Map<_, _>>(),
        "removed": tidied.removed.iter().map(item).collect::<Value>(),
    })
}

/// A time as people say it of things that lie about.
fn age(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        "" => return Err("a time has a unit: 12h, 30d, 8w".to_owned()),
        unit => return Err(format!("'{unit}' is no unit of time (s, m, h, d, w)")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{text}' is no time (12h, 30d)"))?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

/// A size in bytes; `G` are powers of ten, as sizes are shown, and `Gi` of two.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].trim_end_matches(['B', 'b']) {
        "" => 1,
        "K" | "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        unit => return Err(format!("'{unit}' is no unit of size (K, M, G, T, Ki, Mi, Gi, Ti)")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{text}' is no size (500M, 10G)"))?;
    number.checked_mul(unit).ok_or_else(|| "too big".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for wrong in ["", "30", "d", "1y", "-1d", "99999999999999999999d", "999999999999999999w"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("10G"), Ok(10_000_000_000));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("0"), Ok(0));
        for wrong in ["", "G", "1X", "-1", "1.5G", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
