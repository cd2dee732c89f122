//! The only place that prints a result or an error.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use stage1_builder::pipeline;
use stage1_builder::report::{Lines, Reporter, Terminal, Verbosity};

use super::args::Global;

/// One line of a result, on stdout. A reader that has gone away is no error.
pub(super) fn result(line: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The reporter that suits stderr: a screen on a terminal, else plain lines.
pub(super) fn reporter(global: &Global, debug: bool) -> Box<dyn Reporter> {
    let verbosity = match (global.quiet, if debug { 2 } else { global.verbose }) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        (_, 1) => Verbosity::Verbose,
        _ => Verbosity::Everything,
    };
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !ci {
        Box::new(Terminal::new(verbosity, colors()))
    } else {
        Box::new(Lines::new(io::stderr(), verbosity))
    }
}

fn colors() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM") != Some("dumb".into())
}

/// The chain of causes, a hint, and the exit code of the fault.
pub(super) fn failure(error: &pipeline::Error) -> ExitCode {
    let (red, bold, off) =
        if colors() { ("\x1b[31;1m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{red}error:{off} {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("{bold}hint:{off} {hint}\n"));
    }
    // There is nobody to tell that stderr is gone.
    _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(error.fault().exit_code())
}
