//! `verify --boot`: the image's kernel boots, and a program of ours tries in
//! the guest what its configuration promises.
//!
//! ```text
//! image -> plan (table) -> a folder with program, list and module -> run -> answers -> rows
//! ```
//!
//! The guest's root is that folder, over 9p; the program is
//! [`stage1_builder_guest::probe`].

mod module;
mod rows;
mod table;

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;
use stage1_builder_guest::probe::{self, Answer};

use crate::content;
use crate::report::{Fault, Reporter};
use crate::settings::{Arch, Series, Settings};
use crate::vm::{self, End, Ending, Limits, Streams};

use super::super::run;
use super::super::{
    Error, KernelChoice, MountSpec, Ran, RunRequest, ShareKind, VolumeKind, VolumeSpec,
};
use super::{Check, Image};
use rows::Seen;
use table::Planned;

const BOOT: &str = "boot";
/// How long all checks together may take; under emulation, with every
/// debugging feature on, they take a minute or two.
const PATIENCE: Duration = Duration::from_secs(600);
/// Lines of the console that a failure shows.
const LAST_LINES: usize = 12;

/// How an image is booted.
pub struct Booting<'a> {
    /// What runs the machine: accelerator, hypervisor, time for the boot. The
    /// rest of it is not looked at.
    pub machine: RunRequest,
    /// Where kernels lie that were taken out of their images.
    pub settings: &'a Settings,
    /// Hears how it goes.
    pub reporter: &'a dyn Reporter,
}

/// Boots the image that was read from `file`, and gives a row for each kind of
/// thing that was tried.
pub(super) fn checks(
    image: &Image,
    file: &Path,
    booting: &Booting<'_>,
) -> Result<Vec<Check>, Error> {
    let Some(release) = &image.release else {
        return Ok(vec![Check::skipped(BOOT, "there is no kernel that says its release")]);
    };
    let Some(config) = image.config() else {
        return Ok(vec![Check::skipped(BOOT, "there is no config that says what to expect")]);
    };
    let Some(series) = Series::of_release(release) else {
        return Ok(vec![Check::skipped(BOOT, format!("{release} is of no known series"))]);
    };
    let Some(arch) = image.arch() else {
        return Ok(vec![Check::skipped(BOOT, "it does not say for which architecture it is")]);
    };
    let probe = content::guest_program(content::PROBE, arch);
    let probe = probe.ok_or(vm::Error::NoProgram { arch })?.bytes;
    let plan = table::plan(&config, series).map_err(|problem| Error::Usage {
        problem: format!("config/checks.toml: {problem}"),
        hint: "please report this".to_owned(),
    })?;
    let scratch = tempfile::tempdir().map_err(Error::Write)?;
    booting.reporter.detail("compiling a module against the image's headers");
    let module = module::make(image, scratch.path());
    let folders = Folders::fill(scratch.path(), probe, &plan, module.as_ref().ok())?;
    booting.reporter.detail(format!("booting {release}"));
    let (ran, said) = boot(file, arch, &folders, booting)?;
    let answers: Vec<Answer> = said.lines().filter_map(Answer::from_line).collect();
    let ended = how_it_ended(&ran.outcome.end)?;
    let seen = Seen {
        image,
        series,
        plan: &plan,
        answers: &answers,
        module: module.map(drop),
        ended: ended.as_deref(),
    };
    let booted = booted(&ran, file, ended.as_deref(), &answers);
    // Where nothing was told, one row says it all.
    let rows = if answers.is_empty() { Vec::new() } else { seen.rows() };
    Ok([booted].into_iter().chain(rows).collect())
}

/// What the guest sees.
struct Folders {
    root: PathBuf,
    shown: PathBuf,
}

impl Folders {
    fn fill(
        scratch: &Path,
        program: &[u8],
        plan: &[Planned],
        module: Option<&PathBuf>,
    ) -> Result<Self, Error> {
        let folders = Self { root: scratch.join("root"), shown: scratch.join("shown") };
        let Self { root, shown } = &folders;
        let list: String = plan
            .iter()
            .filter(|one| one.not.is_none())
            .filter(|one| module.is_some() || (one.group, &*one.name) != ("kernel", "module"))
            .map(|one| format!("{} {}\n", one.group, one.name))
            .collect();
        let fill = || -> io::Result<()> {
            fs::create_dir(root)?;
            fs::create_dir(shown)?;
            fs::write(root.join("probe"), program)?;
            fs::set_permissions(root.join("probe"), PermissionsExt::from_mode(0o755))?;
            fs::write(shown.join(probe::LIST), list)?;
            if let Some(module) = module {
                fs::copy(module, shown.join(probe::MODULE))?;
            }
            Ok(())
        };
        fill().map_err(Error::Write)?;
        Ok(folders)
    }
}

/// Runs the program on the image's kernel; what it said comes along.
fn boot(
    file: &Path,
    arch: Arch,
    folders: &Folders,
    booting: &Booting<'_>,
) -> Result<(Ran, String), Error> {
    let mut settings = booting.settings.clone();
    settings.arch = arch;
    let name = "checks".to_owned();
    let command = Some(booting.machine.limits.command.unwrap_or(PATIENCE));
    let list = format!("{}/{}", probe::FOLDER, probe::LIST);
    let request = RunRequest {
        kernel: KernelChoice::Image(std::path::absolute(file).map_err(Error::Write)?),
        image: Some(folders.root.display().to_string()),
        exec: Some(b"/probe".to_vec()),
        args: vec![list.into_bytes()],
        volumes: vec![VolumeSpec {
            name: name.clone(),
            kind: VolumeKind::Host(folders.shown.clone()),
            read_only: true,
        }],
        mounts: vec![MountSpec { volume: name, target: probe::FOLDER.to_owned() }],
        // Which is what one of the checks is about.
        share: Some(ShareKind::NineP),
        limits: Limits { command, ..booting.machine.limits },
        ..booting.machine.clone()
    };
    let said = Said::default();
    let mut streams = Streams { stdout: Some(Box::new(said.clone())), ..Streams::default() };
    let ran = run(&request, &settings, &mut streams, booting.reporter)?;
    Ok((ran, said.text()))
}

/// Takes what the guest says.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What kept the program from its end, if anything did.
fn how_it_ended(end: &End) -> Result<Option<String>, Error> {
    Ok(Some(match end {
        End::Command(Ending::Code(0)) => return Ok(None),
        End::Command(Ending::Code(code)) => format!("the checks ended with code {code}"),
        End::Command(Ending::Signal(signal)) => format!("signal {signal} ended the checks"),
        End::NotStarted(_, text) => text.clone(),
        End::NoBoot(why) => format!("the guest did not boot: {why}"),
        End::Panic(line) => format!("the kernel gave up: {line}"),
        End::TimedOut(limit) => {
            format!("the checks did not end within {} s", limit.as_secs_f32())
        }
        End::Lost(why) => format!("the VM was lost: {why}"),
        End::NoReader => "nobody took the answers".to_owned(),
        End::Interrupted(signal) => {
            let problem = format!("stopped by {signal}");
            return Err(Error::Run { problem, hint: None, fault: Fault::from(*signal) });
        }
    }))
}

fn booted(ran: &Ran, file: &Path, ended: Option<&str>, answers: &[Answer]) -> Check {
    let release = ran.outcome.release.as_deref().unwrap_or("the kernel");
    let accel = ran.machine.accel.as_str();
    let Some(why) = ended else {
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f32();
        let (boot, checks) = (seconds(ran.outcome.boot), seconds(ran.outcome.command));
        return Check::ok(
            BOOT,
            format!("{release} under {accel}: up in {boot:.1} s, tried in {checks:.1} s"),
        );
    };
    let last =
        answers.last().map(|one| format!("the last answer was of {} {}", one.group, one.name));
    let console = ran.outcome.console.lines().filter(|line| !line.trim().is_empty());
    let mut console: Vec<String> = console.map(|line| format!("| {}", line.trim_end())).collect();
    let console = console.split_off(console.len().saturating_sub(LAST_LINES));
    let hint = format!(
        "hint: stage1-builder run --console --stage1-path {} -- true shows all that the kernel says",
        file.display()
    );
    let details = [why.to_owned()].into_iter().chain(last).chain(console).chain([hint]).collect();
    Check::of(BOOT, details, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_small() {
        let probe = content::guest_program(content::PROBE, Arch::X86_64).unwrap().bytes;
        assert!(probe.len() < 1_500_000, "{}", probe.len());
    }
}
