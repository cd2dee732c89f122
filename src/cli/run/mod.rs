//! `run`: a command on a kernel.

mod args;
mod request;
mod rkt;
pub(super) mod terminal;
mod volumes;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use stage1_builder::pipeline::{self, Error, Ran, RunRequest};
use stage1_builder::report::{Fault, Reporter};
use stage1_builder::settings::Settings;
use stage1_builder::vm::{self, End, Ending, Streams};

use super::args::Global;
use super::output;

pub(crate) use args::Run;
pub(super) use args::{AccelChoice, time};

pub(super) fn run(global: &Global, run: &Run) -> Result<ExitCode, Error> {
    run.refused.check()?;
    let (settings, request) = request::meant(global, run)?;
    let reporter = output::reporter(global, settings.debug);
    let reporter: &dyn Reporter = reporter.as_ref();
    if run.dry_run {
        let machine = pipeline::plan_run(&request, &settings, reporter)?;
        output::result(&vm::command_line(&machine, Path::new("initramfs.cpio")))
            .map_err(Error::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ran = execute(run, &request, &settings, reporter)?;
    conclude(&ran, &request, reporter)
}

fn execute(
    run: &Run,
    request: &RunRequest,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Ran, Error> {
    let mut streams = Streams {
        stdin: Some(Box::new(std::io::stdin())),
        stdout: Some(Box::new(output::Unbuffered::stdout())),
        stderr: Some(Box::new(output::Unbuffered::stderr())),
        console: run.console.as_deref().map(output::console).transpose()?,
        interruptible: !run.interactive && request.terminal.is_some(),
        requests: Some(terminal::requests(request.terminal.is_some())),
        started: None,
    };
    // Until then, Ctrl-C is ours: a build or a boot can be stopped by it.
    let raw = Arc::new(Mutex::new(None));
    if request.terminal.is_some() {
        let raw = Arc::clone(&raw);
        streams.started = Some(Box::new(move || {
            *raw.lock().unwrap_or_else(PoisonError::into_inner) = terminal::Raw::new().ok();
        }));
    }
    let ran = pipeline::run(request, settings, &mut streams, reporter);
    raw.lock().unwrap_or_else(PoisonError::into_inner).take();
    ran
}

/// The command's own exit code, or why there is none.
fn conclude(ran: &Ran, request: &RunRequest, reporter: &dyn Reporter) -> Result<ExitCode, Error> {
    let outcome = &ran.outcome;
    if let Some(boot) = outcome.boot {
        reporter.detail(format!("booted in {:.2} s", boot.as_secs_f32()));
    }
    if outcome.out_of_memory {
        let memory = request.memory;
        reporter.warning(format!(
            "the guest ran out of memory and killed a process\n  hint: it had {memory} MiB; give it more with --memory"
        ));
    }
    if let Some(kept) = &ran.kept {
        let line = vm::command_line(&ran.machine, &kept.join("initramfs.cpio"));
        let kept = kept.display();
        reporter.note(format!("kept {kept}; this repeats the run:\n{line}"));
    }
    match problem(&outcome.end) {
        None => Ok(ExitCode::from(outcome.end.exit_code())),
        Some((problem, hint, show)) => {
            if show {
                output::console_tail(&outcome.console);
            }
            Err(Error::Run { problem, hint, fault: fault(&outcome.end) })
        }
    }
}

/// What went wrong, what mends it, and whether the console has more to say.
pub(super) fn problem(end: &End) -> Option<(String, Option<String>, bool)> {
    use vm::Failure;
    let hint = |text: &str| Some(text.to_owned());
    Some(match end {
        End::Command(Ending::Code(_) | Ending::Signal(_)) | End::NoReader => return None,
        End::NotStarted(Failure::NotFound, text) => (
            text.clone(),
            hint("the path is that in the container; `-- ls DIR` looks there"),
            false,
        ),
        End::NotStarted(Failure::NotExecutable, text) => (
            text.clone(),
            hint("a command is a program of the guest's kind, or a script with #! and chmod +x"),
            false,
        ),
        End::NotStarted(Failure::NoUser, text) => {
            (text.clone(), hint("give its number: --user=1000:1000"), false)
        }
        End::NotStarted(_, text) => (text.clone(), None, true),
        End::NoBoot(why) => (
            format!("the guest did not boot: {why}"),
            hint("--console shows what the kernel says; --boot-timeout gives it longer"),
            true,
        ),
        End::Panic(line) => (
            format!("the kernel gave up: {line}"),
            hint("--console shows all of it; --gdb waits for a debugger"),
            true,
        ),
        End::TimedOut(limit) => (
            format!("the command did not end within {} s (--timeout)", limit.as_secs_f32()),
            None,
            true,
        ),
        End::Lost(why) => {
            (format!("the VM was lost: {why}"), hint("--keep leaves its folder"), true)
        }
        End::Interrupted(signal) => (format!("stopped by {signal}"), None, false),
    })
}

pub(super) fn fault(end: &End) -> Fault {
    let code = end.exit_code();
    Fault::ALL.into_iter().find(|fault| fault.exit_code() == code).unwrap_or(Fault::Internal)
}

/// Whether our streams are a terminal that the command can have.
pub(super) fn on_a_terminal() -> bool {
    std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal()
}
