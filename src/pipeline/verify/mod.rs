//! `verify`: whether an image is what it must be, check by check.
//!
//! `Image::load` reads the image once; every check is a pure function of
//! what was read (`checks`) or of the archive (`archive`). `boot` is about what
//! the kernel does when it runs.

mod archive;
mod boot;
pub(super) mod checks;
mod image;
mod paths;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::pack::{self, Said};
use crate::report::Fault;

use super::Error;

pub use boot::Booting;
pub(super) use image::Image;
pub use paths::HostPaths;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it must be.
    Ok,
    /// Not as it must be.
    Failed,
    /// What it looks at is not there, which another check tells.
    Skipped,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which does not change.
    pub name: &'static str,
    /// What became of it.
    pub status: Status,
    /// What was found, or what is wrong; one line each.
    pub details: Vec<String>,
    /// What it is about one by one, of checks that try many things of a kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// One of the things that a check has tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub status: Status,
    /// What was seen, what the kernel said, or why it was not tried.
    pub detail: String,
    /// The symbols that should have brought it, without `CONFIG_`.
    pub config: Vec<String>,
}

impl Check {
    fn new(name: &'static str, status: Status, details: Vec<String>) -> Self {
        Self { name, status, details, items: Vec::new() }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, vec![detail.into()])
    }

    fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Failed, vec![detail.into()])
    }

    fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Status::Skipped, vec![why.into()])
    }

    /// Failed with every line of `wrong`; with none of them, ok.
    fn of(name: &'static str, wrong: Vec<String>, good: impl Into<String>) -> Self {
        match wrong.is_empty() {
            true => Self::ok(name, good),
            false => Self::new(name, Status::Failed, wrong),
        }
    }
}

/// What was found of an image.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The image's file.
    pub file: PathBuf,
    /// Its id, if it could be read to the end.
    pub id: Option<String>,
    /// Whether no check failed.
    pub ok: bool,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

/// Verifies the image in a file. `host` are the paths of this machine that no
/// image may hold. With `booting`, its kernel boots, too.
///
/// # Errors
/// When the file can't be read at all, or no machine started; what is wrong
/// with an image is part of the verdict.
pub fn verify(
    file: &Path,
    host: &HostPaths,
    booting: Option<&Booting<'_>>,
) -> Result<Verdict, Error> {
    let (id, checks) = match Image::load(file) {
        Ok(image) => {
            let mut checks = run(&image, host);
            if let Some(booting) = booting {
                checks.extend(boot::checks(&image, file, booting)?);
            }
            (Some(image.id()), checks)
        }
        Err(error) if error.fault() == Fault::Archive => (None, vec![unreadable(&error)]),
        Err(source) => return Err(Error::Unreadable { path: file.to_owned(), source }),
    };
    let ok = checks.iter().all(|check| check.status != Status::Failed);
    Ok(Verdict { file: file.to_owned(), id, ok, checks })
}

fn unreadable(error: &pack::Error) -> Check {
    Check::failed(archive::STRUCTURE, crate::report::text::chain(error))
}

/// All of an ACI's checks; of another image those that it can be held to.
fn run(image: &Image, host: &HostPaths) -> Vec<Check> {
    let said = match &image.whole.said {
        Said::Aci(manifest) => Some(checks::manifest(image, manifest)),
        Said::Oci(said) => Some(checks::annotations(image, said)),
        Said::Files => None,
    };
    let of_rkt = |check: fn(&Image) -> Check| image.manifest().is_some().then(|| check(image));
    let rows = [
        Some(archive::structure(image)),
        said,
        Some(checks::kernel(image)),
        Some(checks::release(image)),
        Some(checks::configuration(image)),
        of_rkt(checks::bootable),
        Some(checks::headers(image)),
        of_rkt(checks::guest_program),
        Some(checks::provenance(image)),
        Some(paths::check(image, host)),
        Some(archive::determinism(image)),
    ];
    rows.into_iter().flatten().collect()
}
