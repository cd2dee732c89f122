//! What is typed, what is meant, and what is printed.

mod args;
mod build;
mod config;
mod enter;
mod images;
mod output;
mod run;

use std::process::ExitCode;

use clap::Parser;
use stage1_builder::proc::interrupt;

use args::{Arguments, Verb};

/// The whole program: parses, runs the verb, prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::install();
    let result = match &arguments.verb {
        Verb::Build(build) => build::run(&arguments.global, build).map(|()| ExitCode::SUCCESS),
        Verb::Config(config) => config::run(&arguments.global, config).map(|()| ExitCode::SUCCESS),
        Verb::Enter(enter) => enter::run(enter),
        Verb::Images(images) => images::run(&arguments.global, images).map(|()| ExitCode::SUCCESS),
        Verb::Run(run) => run::run(&arguments.global, run),
    };
    match result {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}
