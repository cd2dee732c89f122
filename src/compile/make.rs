//! Runs make on a kernel tree: whole log, steps as they come, first error.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Error;
use super::failure::Finder;
use super::progress::Step;
use crate::fsutil::Lock;
use crate::proc::{self, Program};
use crate::report::Reporter;

/// The environment of compiler launchers that is passed on.
const LAUNCHERS: [&str; 5] = ["CCACHE_", "SCCACHE_", "DISTCC_", "ICECC_", "XDG_CACHE_HOME"];
/// It rewrites absolute paths, and breaks what makes builds equal: hundreds
/// of paths then leak into a kernel.
const NEVER: &str = "CCACHE_BASEDIR";

/// How make is run for one object folder.
#[derive(Debug)]
pub(super) struct Make<'a> {
    pub(super) tree: &'a Path,
    pub(super) objects: PathBuf,
    pub(super) variables: Vec<(String, String)>,
    pub(super) jobs: NonZeroUsize,
    pub(super) launcher: bool,
    /// A folder of programs that goes before those of `PATH`. They are called
    /// by their names alone, so that no path of theirs reaches the output.
    pub(super) tools: Option<PathBuf>,
    pub(super) epoch: u64,
    pub(super) lock: &'a Lock,
    pub(super) log: &'a Path,
}

impl Make<'_> {
    /// Makes `targets`, with `extra` variables beside the others. Each step
    /// that kbuild announces goes to `on_step`; the command line and every
    /// line that make says go to the log and to `reporter`.
    pub(super) fn run(
        &self,
        targets: &[&str],
        extra: &[(&str, &str)],
        reporter: &dyn Reporter,
        mut on_step: impl FnMut(Step<'_>),
    ) -> Result<(), Error> {
        let mut log = fs::OpenOptions::new().create(true).append(true).open(self.log);
        let mut finder = Finder::default();
        let arguments = self.arguments(targets, extra);
        let mut log_line = |line: &[u8]| {
            let written = log.as_mut().map(|file| file.write_all(&[line, b"\n"].concat()));
            if let Ok(Err(error)) = written {
                log = Err(error);
            }
        };
        log_line(format!("$ {}", self.told(&arguments, reporter)).as_bytes());
        // One pipe for both streams keeps an error beside its step. make gives
        // its stdin to one job at a time only, so the lock also goes along as
        // 9; not with a launcher, which may leave a daemon behind that holds it.
        let shell =
            if self.launcher { r#"exec "$0" "$@" 2>&1"# } else { r#"exec "$0" "$@" 2>&1 9<&0"# };
        let program =
            self.in_place(Program::new("sh").args(["-c", shell, "make"]))?.args(&arguments);
        let status = program.stream(|_, line| {
            log_line(line);
            let line = String::from_utf8_lossy(line);
            finder.push(&line);
            reporter.output(&*line);
            if let Some(step) = Step::parse(&line) {
                on_step(step);
            }
        });
        let status = status.map_err(stopped)?;
        log.map_err(|error| Error::files("can't write the build's log", error))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Make {
            targets: targets.join(" "),
            failure: Box::new(finder.finish()),
            log: self.log.to_owned(),
        })
    }

    /// The last line that a quiet target prints.
    pub(super) fn ask(&self, target: &str, reporter: &dyn Reporter) -> Result<String, Error> {
        let mut arguments = vec!["-s".to_owned()];
        arguments.extend(self.arguments(&[target], &[]));
        self.told(&arguments, reporter);
        let program = self.in_place(Program::new("make"))?.args(arguments);
        let output = program.output().map_err(stopped)?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().chain(output.stderr.lines()).for_each(|line| reporter.output(line));
        if !output.status.success() {
            let mut finder = Finder::default();
            text.lines().chain(output.stderr.lines()).for_each(|line| finder.push(line));
            let failure = Box::new(finder.finish());
            let log = self.log.to_owned();
            return Err(Error::Make { targets: target.to_owned(), failure, log });
        }
        Ok(text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned())
    }

    /// The command line, which is also a detail.
    fn told(&self, arguments: &[String], reporter: &dyn Reporter) -> String {
        let command = Program::new("make").args(arguments).to_string();
        let tools = self.tools.as_ref();
        let path = tools.map(|folder| format!("PATH={}:\"$PATH\" ", folder.display()));
        let command = path.unwrap_or_default() + &command;
        reporter.detail(format!("in {}: {command}", self.tree.display()));
        command
    }

    /// In the tree, holding the lock, with the launcher's environment.
    fn in_place(&self, program: Program) -> Result<Program, Error> {
        let lock = self.lock.inheritable();
        let lock = lock.map_err(|error| Error::files("can't pass the lock on to make", error))?;
        let program =
            program.dir(self.tree).stdin(lock).env("SOURCE_DATE_EPOCH", self.epoch.to_string());
        let program = match &self.tools {
            Some(folder) => program.env("PATH", before_the_path(folder)),
            None => program,
        };
        let passed = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            let launchers = LAUNCHERS.iter().any(|prefix| name.starts_with(prefix));
            self.launcher && launchers && name != NEVER
        });
        Ok(passed.fold(program, |program, (name, value)| program.env(name, value)))
    }

    fn arguments(&self, targets: &[&str], extra: &[(&str, &str)]) -> Vec<String> {
        let mut arguments =
            vec![format!("-j{}", self.jobs), format!("O={}", self.objects.display())];
        arguments.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.extend(extra.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.extend(targets.iter().map(|&target| target.to_owned()));
        arguments
    }
}

/// `PATH` with a folder before the others.
fn before_the_path(folder: &Path) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

fn stopped(error: proc::Error) -> Error {
    match error.signal() {
        Some(signal) => Error::Stopped { signal },
        None => error.into(),
    }
}
