//! `enter`: a further command in a running VM.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use clap::Args;
use stage1_builder::pipeline::Error;
use stage1_builder::vm::{self, Command, Visit};

use super::output::{self, Unbuffered};
use super::run::{fault, on_a_terminal, problem, terminal};

/// `enter`.
#[derive(Debug, Args)]
pub(super) struct Enter {
    /// The run's name, or its beginning; left out: list those that run
    #[arg(value_name = "UUID")]
    uuid: Option<String>,
    /// The command [default: /bin/sh]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// The user, by name or number, with or without a :GROUP [default: as the run's command]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The folder to run in [default: as the run's command]
    #[arg(long, value_name = "FOLDER")]
    working_dir: Option<String>,
}

pub(super) fn run(enter: &Enter) -> Result<ExitCode, Error> {
    let Some(uuid) = &enter.uuid else { return list() };
    let size = on_a_terminal().then(terminal::size).flatten();
    let shell = || vec![b"/bin/sh".to_vec()];
    let args: Vec<_> = enter.command.iter().cloned().map(OsString::into_vec).collect();
    let command = Command {
        args: if args.is_empty() { shell() } else { args },
        user: enter.user.clone().unwrap_or_default(),
        dir: enter.working_dir.clone().unwrap_or_default().into_bytes(),
        terminal: size,
        ..Command::default()
    };
    let visit = Visit {
        stdin: Box::new(std::io::stdin()),
        stdout: Box::new(Unbuffered::stdout()),
        stderr: Box::new(Unbuffered::stderr()),
        requests: Some(terminal::requests(size.is_some())),
    };
    let raw = size.map(|_| terminal::Raw::new()).transpose();
    let end = vm::enter(uuid, &command, visit)?;
    drop(raw);
    match problem(&end) {
        None => Ok(ExitCode::from(end.exit_code())),
        Some((problem, hint, _)) => Err(Error::Run { problem, hint, fault: fault(&end) }),
    }
}

/// Those that run: name, process, kernel, command.
fn list() -> Result<ExitCode, Error> {
    for run in vm::running() {
        let line = format!("{}  {:>7}  {}  {}", run.uuid, run.pid, run.kernel, run.command);
        output::result(&line).map_err(Error::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}
