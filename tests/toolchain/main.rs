//! `--toolchain kernel.org:gcc-X.Y`: fetched, verified, unpacked, built with,
//! and told of. On a mirror of our own, with a compiler in little: scripts
//! under a cross compiler's names that call the host's, and say that they are
//! another release.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a seed and what was hit are worth a line")]

#[path = "../support/little_build.rs"]
mod little_build;
#[path = "../support/mirror.rs"]
#[expect(dead_code, reason = "the tests of kernel.org are those where the server misbehaves")]
mod mirror;
#[path = "../support/mod.rs"]
mod support;
#[path = "../faults/toy.rs"]
#[expect(dead_code, reason = "its builds are those of the tests of faults")]
mod toy;

mod build;
mod refused;
mod shown;
mod stage;
