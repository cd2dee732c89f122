//! The only place that prints a result or an error.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use stage1_builder::pipeline;
use stage1_builder::report::{Lines, Reporter, Terminal, Verbosity};
use stage1_builder::vm::SharedWriter;

use super::args::Global;

/// One line of a result, on stdout. A reader that has gone away is no error.
pub(super) fn result(line: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// How much is said.
pub(super) fn verbosity(global: &Global, debug: bool) -> Verbosity {
    match (global.quiet, if debug { 2 } else { global.verbose }) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        (_, 1) => Verbosity::Verbose,
        _ => Verbosity::Everything,
    }
}

/// The reporter that suits stderr: a screen on a terminal, else plain lines.
pub(super) fn reporter(global: &Global, debug: bool) -> Box<dyn Reporter> {
    let verbosity = verbosity(global, debug);
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !ci {
        Box::new(Terminal::new(verbosity, colors()))
    } else {
        Box::new(Lines::new(io::stderr(), verbosity))
    }
}

fn colors() -> bool {
    io::stderr().is_terminal() && colors_wanted()
}

/// Whether a terminal may be given colours (no-color.org).
pub(super) fn colors_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM") != Some("dumb".into())
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

/// The same of an error for programs.
pub(super) fn described(error: &pipeline::Error) -> serde_json::Value {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    serde_json::json!({
        "code": error.fault().exit_code(),
        "message": error.to_string(),
        "causes": causes.map(ToString::to_string).collect::<Vec<_>>(),
        "hint": error.hint(),
    })
}

/// One of our streams, byte for byte: nothing waits for the end of a line.
pub(super) struct Unbuffered(Option<std::fs::File>);

impl Unbuffered {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self::of(io::stdout())
    }

    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self::of(io::stderr())
    }

    fn of(stream: impl std::os::fd::AsFd) -> Self {
        Self(stream.as_fd().try_clone_to_owned().ok().map(Into::into))
    }
}

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the kernel's console goes: `-` is stderr, all else a file.
pub(super) fn console(path: &Path) -> Result<SharedWriter, pipeline::Error> {
    let writer: Box<dyn Write + Send> = if path == Path::new("-") {
        Box::new(Unbuffered::stderr())
    } else {
        let file = fs_err::OpenOptions::new().create(true).append(true).open(path);
        Box::new(file.map_err(pipeline::Error::Write)?)
    };
    Ok(Arc::new(Mutex::new(writer)))
}

/// Lines of the console that are shown with an error.
const TAIL: usize = 25;

/// The last lines of the console, before the error that they explain.
pub(super) fn console_tail(console: &str) {
    let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return;
    }
    let from = lines.len().saturating_sub(TAIL);
    let mut text = String::from("the console's last lines:\n");
    for line in &lines[from..] {
        text.push_str(&format!("  | {line}\n"));
    }
    _ = io::stderr().lock().write_all(text.as_bytes());
}
