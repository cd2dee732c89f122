//! The verbs that explain, from outside: the real binary, its tables, its
//! JSON and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/cache.rs"]
mod cache;
#[path = "../support/debian_source.rs"]
mod debian_source;
#[path = "../support/little_build.rs"]
mod little;
#[path = "../support/mirror.rs"]
#[expect(dead_code, reason = "nothing goes wrong on the way here, and nobody signs")]
mod mirror;
#[path = "../support/not_run.rs"]
mod not_run;
#[path = "../support/mod.rs"]
mod support;

mod config_kernel;
mod diff;
mod doctor;
mod images;
mod kernels;
mod messages;
mod screen;
mod shell;
mod verify;

use std::path::Path;

use serde_json::Value;
use stage1_builder::proc::Program;

/// The binary with a cache of its own, and nothing of the developer's.
pub(crate) fn builder(folder: &Path) -> Program {
    support::builder(folder).env("S1B_CACHE_DIR", folder.join("cache"))
}

/// Runs with `--format json`: the exit code and what it printed.
pub(crate) fn json(program: Program) -> (i32, Value) {
    let (code, stdout, stderr) = support::outcome(program.args(["--format", "json"]));
    let value = serde_json::from_str(&stdout);
    (code, value.unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}")))
}
