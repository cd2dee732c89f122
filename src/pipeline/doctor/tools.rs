//! What a build calls.

use crate::compile::{self, Manager, Missing, install_command};
use crate::proc;
use crate::report::text;
use crate::settings::{ProviderName, Settings};
use crate::store::Store;

use super::super::{Error, toolchain, tools};
use super::{Area, Line};

/// Every program and header that a build with these settings needs, and the
/// programs of the providers.
pub(super) fn look(settings: &Settings) -> Result<Vec<Line>, Error> {
    let needs = tools::survey(settings)?;
    let mut lines: Vec<Line> = std::thread::scope(|scope| {
        let ask = |(need, present): &'_ (Missing, bool)| line(need, *present);
        let threads: Vec<_> = needs.iter().map(|one| scope.spawn(move || ask(one))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    lines.extend(archive(settings));
    if settings.kernel_sources.contains(&ProviderName::Debian) && settings.source.is_none() {
        lines.push(apt(settings.kernel_sources.len() == 1));
    }
    Ok(lines)
}

fn line(need: &Missing, present: bool) -> Line {
    if !present {
        let detail = format!("not there; it {}", need.why);
        return Line::missing(Area::Build, &need.name, detail, installs(need));
    }
    let header = need.name.ends_with(".h");
    let detail = if header { "found by the compiler".to_owned() } else { version(&need.name) };
    Line::ok(Area::Build, &need.name, detail)
}

/// The toolchain that the settings name: what its compiler says, or when it
/// comes.
fn archive(settings: &Settings) -> Option<Line> {
    let name = settings.toolchain?.to_string();
    Some(match toolchain::here(settings, &Store::new(&settings.cache_dir)) {
        Ok(Some(tools)) => {
            let compiler = tools.bin().join(format!("{}gcc", tools.prefix));
            match compile::version_line(&compiler) {
                Ok(said) => Line::ok(Area::Build, &name, said),
                Err(error) => {
                    let mend = "name another toolchain, or a compiler of this host with --cc";
                    Line::missing(Area::Build, &name, text::chain(&error), mend)
                }
            }
        }
        Ok(None) => Line::ok(Area::Build, &name, "not fetched yet; the first build with it does"),
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            Line::missing(Area::Build, &name, text::chain(&error), mend)
        }
    })
}

/// What a program says of itself; where it says nothing, where it is.
pub(super) fn version(program: &str) -> String {
    let said = compile::first_line(program, "--version").unwrap_or_default();
    let said = said.trim_matches(['*', ' ']).to_owned();
    let place = || proc::find(program).map(|path| path.display().to_string()).unwrap_or_default();
    let version = said.chars().any(|character| character.is_ascii_digit());
    if version && said.len() < 100 { said } else { place() }
}

/// The command that installs it here.
pub(super) fn installs(need: &Missing) -> String {
    let manager = Manager::of_this_host();
    let command = manager.and_then(|manager| install_command(std::slice::from_ref(need), manager));
    command.unwrap_or_else(|| format!("put {} into PATH, or name another", need.name))
}

/// Debian's sources come through apt; where it is absent, the others do.
fn apt(alone: bool) -> Line {
    const NAME: &str = "apt";
    match ["apt-get", "apt-cache"].iter().all(|program| proc::find(program).is_some()) {
        true => Line::ok(Area::Build, NAME, version("apt-get")),
        false => {
            let detail = "not there; Debian's kernels come through it";
            let mend = "S1B_KERNEL_SOURCES=kernel.org takes kernels from there alone";
            let line = if alone { Line::missing } else { Line::warning };
            line(Area::Build, NAME, detail.to_owned(), mend.to_owned())
        }
    }
}
