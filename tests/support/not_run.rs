//! Tests that need what a machine can lack.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what was not run must be said")]

use std::io::Write;

use fs_err as fs;

/// Says that a test could not run here, and why. `./test` counts these, and
/// in CI each is a failure.
pub(crate) fn not_run(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test} must run in CI, but: {why}");
    println!("NOT RUN {test}: {why}");
    if let Some(path) = std::env::var_os("S1B_TEST_NOT_RUN") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}
