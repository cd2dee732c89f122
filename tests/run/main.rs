//! `run` from outside: the real binary, a real kernel, real programs.
//!
//! Each file is a topic. A boot takes about two seconds under emulation, so
//! checks that can't hide one another share one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/cache.rs"]
mod cache;
#[path = "../support/debian_source.rs"]
mod debian_source;
#[path = "../support/not_run.rs"]
mod not_run;
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod container;
mod ending;
mod environment;
mod formats;
mod hostile;
mod input;
mod library;
mod streams;
mod terminal;
mod trouble;
mod visits;
mod volumes;
