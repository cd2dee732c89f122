//! The `kernel.org` provider against a mirror on the loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mirror.rs"]
mod mirror;
mod stage;

mod ahead;
mod damage;
mod download;
mod offline;
mod trust;
mod versions;
