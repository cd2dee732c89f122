//! Images of kernels that others have built: nothing is compiled.
//!
//! ```text
//! Debian's packages, or files of the user's -> content::Foreign -> images
//! ```

mod make;
mod plan;

use std::path::PathBuf;

use crate::report::Reporter;
use crate::settings::{Format, Settings};
use crate::source::PrebuiltRequest;
use crate::store::{Found, Store};

use super::images::{self, healing};
use super::{Built, Error, check_aci_dir};

pub use plan::ForeignPlan;

/// A kernel that somebody else has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignKernel {
    /// One of Debian's.
    Debian(PrebuiltRequest),
    /// The user's own.
    Own(OwnKernel),
}

/// A kernel's file of the user's, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKernel {
    /// The bzImage.
    pub image: PathBuf,
    /// A folder that modules are compiled against, or of API headers.
    pub headers: Option<PathBuf>,
    /// The folder of its modules, or a root that has one.
    pub modules: Option<PathBuf>,
}

/// Finds out what there would be images of, fetching packages that are not
/// there.
///
/// # Errors
/// When the kernel can't be had, or is none.
pub fn plan_foreign(
    kernel: &ForeignKernel,
    settings: &Settings,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<ForeignPlan, Error> {
    let store = Store::new(&settings.cache_dir);
    plan::plan(kernel, settings, &store, refresh, reporter)
}

/// Makes the images that the settings ask for, or finds that they are there,
/// and brings them to their places. Unless the user names formats, that is
/// one OCI image: what the project has as its format is for kernels of ours.
///
/// # Errors
/// When the kernel can't be had, is none, or an ACI is asked for and rkt could
/// not boot it.
pub fn build_foreign(
    kernel: &ForeignKernel,
    settings: &Settings,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<Built>, Error> {
    let store = Store::new(&settings.cache_dir);
    healing(reporter, || {
        let plan = plan::plan(kernel, settings, &store, refresh, reporter)?;
        check_aci_dir(settings, &plan.formats)?;
        let records = make::in_store(settings, &store, &plan, &plan.formats, reporter)?;
        images::place(settings, &store, &plan.asked(), records, reporter)
    })
}

/// The image of such a kernel in the store, made if it is not there.
pub(super) fn found(
    kernel: &ForeignKernel,
    settings: &Settings,
    store: &Store,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<Found, Error> {
    let plan = plan::plan(kernel, settings, store, refresh, reporter)?;
    let there = |format: &Format| {
        let image = plan.images.iter().find(|image| image.format == *format)?;
        store.images().found(&image.key)
    };
    if let Some(found) = [Format::Oci, Format::Dir].iter().find_map(there) {
        return Ok(found);
    }
    make::in_store(settings, store, &plan, &[Format::Oci], reporter)?;
    there(&Format::Oci).ok_or_else(|| Error::NoImage {
        asked: format!("the kernel {}", plan.release),
        hint: "it was removed in the meantime; try again".to_owned(),
    })
}
