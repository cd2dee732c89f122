//! `images`: what is in the store, and what becomes of it.

mod gc;
mod list;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stage1_builder::pipeline::{self, Error};
use stage1_builder::settings::{Format, Settings};
use stage1_builder::store::Store;

use super::args::Global;
use super::output;
use super::stored::Stored;
use super::table::Form;

/// `images`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Images {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    stored: Stored,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All that is known of an image
    Show(Show),
    /// Remove images
    Rm(Rm),
    /// Write an image to a file or folder
    Export(Export),
    /// Remove what serves nobody, and what the limits leave no room for
    Gc(gc::Gc),
    /// Read everything, and say what is damaged
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
struct List {
    /// As a table for people, or as JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

#[derive(Debug, Args)]
struct Show {
    /// The image's id, or its first eight digits or more
    #[arg(value_name = "ID")]
    id: String,
    /// As lines for people, or as JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
}

#[derive(Debug, Args)]
struct Rm {
    /// Ids, or their first eight digits or more
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
struct Export {
    /// The image's id, or its first eight digits or more
    #[arg(value_name = "ID")]
    id: String,
    /// Where it goes: a folder, or a file (.aci; .tar or .tar.gz for the archive of an OCI layout or of plain files)
    #[arg(value_name = "FILE|FOLDER")]
    to: PathBuf,
    /// The format to write, if not its own: aci, oci, dir
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
}

pub(super) fn run(global: &Global, images: &Images) -> Result<(), Error> {
    let settings = images.stored.settings(global)?;
    let store = Store::new(&settings.cache_dir);
    match &images.what {
        None => list::list(&store, images.list.format),
        Some(What::Show(show)) => list::show(&store, &show.id, show.format),
        Some(What::Rm(rm)) => remove(&store, &rm.ids),
        Some(What::Export(export)) => self::export(global, &settings, &store, export),
        Some(What::Gc(gc)) => gc::run(&store, gc),
        Some(What::Verify(verify)) => verify::run(&store, verify),
    }
}

/// All of them are found before the first one goes.
fn remove(store: &Store, ids: &[String]) -> Result<(), Error> {
    let images = store.images();
    let found = ids.iter().map(|id| images.by_id(id)).collect::<Result<Vec<_>, _>>()?;
    for image in found.iter().flatten() {
        images.remove(&image.key)?;
        store.forget_kernel(&image.record.file)?;
        let line = format!("removed {} {}", image.record.release, image.record.id.appc());
        output::result(&line).map_err(Error::Output)?;
    }
    Ok(())
}

fn export(
    global: &Global,
    settings: &Settings,
    store: &Store,
    export: &Export,
) -> Result<(), Error> {
    let reporter = output::reporter(global, settings.debug);
    let found = store.images().by_id(&export.id)?;
    let same = |image: &&_| of_format(image, export.format);
    let Some(image) = found.iter().find(same).or(found.first()) else { return Ok(()) };
    let to = pipeline::export(store, image, &export.to, export.format, reporter.as_ref())?;
    output::result(&to.display().to_string()).map_err(Error::Output)
}

fn of_format(image: &stage1_builder::store::Found, format: Option<Format>) -> bool {
    format.is_none_or(|format| image.record.format == format)
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error: stage1_builder::settings::UnknownWord| {
        format!("{error} ({})", error.hint())
    })
}
