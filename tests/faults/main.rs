//! What goes wrong around us: processes are killed, disks are full, bytes
//! flip. `docs/reliability.md` has the count.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a seed and what was hit are worth a line")]

#[path = "../support/little_build.rs"]
mod little_build;
#[path = "../support/mirror.rs"]
#[expect(dead_code, reason = "the tests of kernel.org are those where the server misbehaves")]
mod mirror;
#[path = "../support/not_run.rs"]
mod not_run;
#[path = "../support/mod.rs"]
mod support;

mod flipped;
mod full_disk;
mod kills;
mod toy;
