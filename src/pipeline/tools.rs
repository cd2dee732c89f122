//! What the host must have, before anything is begun.

use crate::compile::{self, Manager, Missing, install_command};
use crate::kconfig;
use crate::proc::{Program, Stream};
use crate::report::Reporter;
use crate::settings::{KernelRequest, KernelVersion, ProviderName, Settings};

use super::Error;
use super::plan::{config, wanted};

/// Stands for `stable` and the like, which are not looked up for this: a
/// recent kernel needs whatever the newest needs.
const NEWEST: KernelVersion = KernelVersion::newest();

/// Sees to it that the host has what a build with these settings needs. With
/// `install`, root and apt, what is missing is installed; else it is an error
/// whose hint is the command.
///
/// # Errors
/// When something is missing and is not, or can't be, installed.
pub fn provide(settings: &Settings, install: bool, reporter: &dyn Reporter) -> Result<(), Error> {
    let missing = missing(settings)?;
    if missing.is_empty() {
        reporter.note("the host has everything that a build needs");
        return Ok(());
    }
    let root = rustix::process::geteuid().is_root();
    if !(install && root && Manager::of_this_host() == Some(Manager::Apt)) {
        return Err(compile::Error::MissingTools(missing).into());
    }
    let Some(command) = install_command(&missing, Manager::Apt) else { return Ok(()) };
    // A fresh container has no package lists.
    run("apt-get update", reporter)?;
    run(&command, reporter)?;
    match self::missing(settings)? {
        rest if rest.is_empty() => Ok(()),
        rest => Err(compile::Error::MissingTools(rest).into()),
    }
}

/// The same for one version, before its source is fetched: everything that
/// is missing is said at once.
pub(super) fn check(
    settings: &Settings,
    version: KernelVersion,
    config: &kconfig::Plan,
) -> Result<(), Error> {
    let missing = missing_for(settings, version, config);
    if missing.is_empty() { Ok(()) } else { Err(compile::Error::MissingTools(missing).into()) }
}

/// All that a build with these settings needs of the host, and whether it is
/// there.
pub(super) fn survey(settings: &Settings) -> Result<Vec<(Missing, bool)>, Error> {
    let version = version(settings);
    Ok(compile::survey(&all(settings, version, &config(settings, &version)?)))
}

fn missing(settings: &Settings) -> Result<Vec<Missing>, Error> {
    let version = version(settings);
    Ok(missing_for(settings, version, &config(settings, &version)?))
}

/// The settings' version, as far as it can be known without asking anybody.
fn version(settings: &Settings) -> KernelVersion {
    match settings.kernel {
        KernelRequest::Exact(version) => version,
        KernelRequest::Series(series) => KernelVersion::new(series.major, series.minor, 0),
        _ => NEWEST,
    }
}

fn missing_for(
    settings: &Settings,
    version: KernelVersion,
    config: &kconfig::Plan,
) -> Vec<Missing> {
    compile::missing(&all(settings, version, config))
}

fn all<'a>(
    settings: &'a Settings,
    version: KernelVersion,
    config: &kconfig::Plan,
) -> compile::Wanted<'a> {
    let remote = settings.source.is_none();
    let signatures = (remote && settings.kernel_sources.contains(&ProviderName::KernelOrg))
        || settings.toolchain.is_some();
    compile::Wanted { signatures, ..wanted(settings, version, config, None) }
}

fn run(command: &str, reporter: &dyn Reporter) -> Result<(), Error> {
    reporter.note(format!("running: {command}"));
    let mut words = command.split_whitespace();
    let program = Program::new(words.next().unwrap_or_default())
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .pass_proxies();
    let mut said = Vec::new();
    let status = program
        .stream(|stream, line| {
            let line = String::from_utf8_lossy(line).into_owned();
            reporter.detail(&line);
            if stream == Stream::Stderr || line.starts_with("E:") {
                said.push(line);
            }
        })
        .map_err(compile::Error::from)?;
    if status.success() {
        return Ok(());
    }
    let said = said.join("; ");
    Err(Error::Install { command: command.to_owned(), status, said })
}
