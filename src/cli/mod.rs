//! What is typed, what is meant, and what is printed.

mod args;
mod build;
mod config;
mod config_kernel;
mod diff;
mod doctor;
mod enter;
mod foreign;
mod images;
mod kernels;
mod output;
mod run;
mod shell;
mod stored;
mod table;
mod verify;

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
        Verb::Diff(diff) => diff::run(&arguments.global, diff),
        Verb::ConfigKernel(asked) => config_kernel::run(&arguments.global, asked),
        Verb::Kernels(asked) => kernels::run(&arguments.global, asked),
        Verb::Doctor(asked) => doctor::run(&arguments.global, asked),
        Verb::Completions(asked) => shell::completions(asked),
        Verb::Man(asked) => shell::man(asked),
        Verb::Verify(verify) => verify::run(&arguments.global, verify),
        Verb::Images(images) => images::run(&arguments.global, images).map(|()| ExitCode::SUCCESS),
        Verb::Run(run) => run::run(&arguments.global, run),
    };
    match result {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}
