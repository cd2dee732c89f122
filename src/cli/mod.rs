//! What is typed, what is meant, and what is printed.

mod args;
mod build;
mod config;
mod output;

use std::process::ExitCode;

use clap::Parser;
use stage1_builder::proc::interrupt;

use args::{Arguments, Verb};

/// The whole program: parses, runs the verb, prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::install();
    let result = match &arguments.verb {
        Verb::Build(build) => build::run(&arguments.global, build),
        Verb::Config(config) => config::run(&arguments.global, config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&error),
    }
}
