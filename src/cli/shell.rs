//! `completions` and `man`: what the command line says of itself.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use stage1_builder::pipeline::Error;

use super::args::Arguments;

/// The program's name, as it is typed.
const NAME: &str = "stage1-builder";

/// `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell whose script is printed
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The verb whose page is printed, `images gc` of two words [default: the program's own page]
    #[arg(value_name = "VERB")]
    verb: Vec<String>,
    /// Write every page into this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "verb")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(asked: &Completions) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut Arguments::command(), NAME, &mut script);
    printed(&script)
}

pub(super) fn man(asked: &Man) -> Result<ExitCode, Error> {
    let mut program = Arguments::command();
    program.build();
    if let Some(folder) = &asked.dir {
        return pages(&program, folder).map(|()| ExitCode::SUCCESS).map_err(Error::Write);
    }
    let mut command = &program;
    for verb in &asked.verb {
        command = command.find_subcommand(verb).ok_or_else(|| no_verb(command, verb))?;
    }
    printed(&rendered(command.clone()).map_err(Error::Output)?)
}

fn no_verb(command: &clap::Command, verb: &str) -> Error {
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let of = command.get_display_name().unwrap_or(NAME);
    Error::Usage {
        problem: format!("there is no verb '{verb}' of {of}"),
        hint: match verbs.as_slice() {
            [] => format!("{of} has none"),
            verbs => format!("verbs: {}", verbs.join(", ")),
        },
    }
}

fn rendered(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// A page of the command and of each below it.
fn pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    fs_err::create_dir_all(folder)?;
    // `stage1-builder-images-gc`, as `man stage1-builder images gc` looks for it.
    let name = command.get_display_name().unwrap_or(NAME);
    fs_err::write(folder.join(format!("{name}.1")), rendered(command.clone())?)?;
    let mut verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    verbs.try_for_each(|verb| pages(verb, folder))
}

/// All of it on stdout. A reader that has gone away is no error.
fn printed(bytes: &[u8]) -> Result<ExitCode, Error> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
