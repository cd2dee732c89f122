//! kernel.org's toolchains, as the settings name them.

use std::path::Path;

use crate::kconfig;
use crate::report::Reporter;
use crate::settings::{KernelVersion, Settings};
use crate::source::{self, CrossTools, ToolchainPlace};
use crate::store::Store;

use super::Error;
use super::plan::Places;

/// The toolchain that the settings name, fetched if it is not there.
pub(super) fn fetched(
    settings: &Settings,
    version: KernelVersion,
    config: &kconfig::Plan,
    store: &Store,
    options: &source::Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Option<CrossTools>, Error> {
    let folder = store.toolchains();
    let Some(place) = place(settings, &folder) else { return Ok(None) };
    if source::toolchain_here(&place, options)?.is_none() {
        super::tools::check(settings, version, config)?;
    }
    Ok(Some(source::toolchain(&place, options, reporter)?))
}

/// Where the toolchain that the settings name is, if they name one.
fn place<'a>(settings: &'a Settings, folder: &'a Path) -> Option<ToolchainPlace<'a>> {
    let (arch, url) = (settings.arch, settings.kernel_org_tools_url.as_str());
    settings.toolchain.map(|request| ToolchainPlace { request, arch, url, folder })
}

/// The toolchain that the settings name, if they name one, and it is here;
/// nobody is asked.
pub(super) fn here(settings: &Settings, store: &Store) -> Result<Option<CrossTools>, Error> {
    let folder = store.toolchains();
    let Some(place) = place(settings, &folder) else { return Ok(None) };
    let places = Places::new(settings, store);
    Ok(source::toolchain_here(&place, &places.options(settings, false))?)
}
