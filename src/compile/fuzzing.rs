//! What is tried with what tools print. See [`crate::fuzzing`].

use std::collections::BTreeSet;

use super::failure::Finder;
use super::progress::Step;
use super::requirements::Manager;
use super::toolchain::{self, ToolVersion};
use crate::fuzzing::{comes_back, texts};

/// make's output, a compiler's version line and `/etc/os-release`: what is
/// told of them is a part of them, and bounded.
pub fn make_output(bytes: &[u8]) {
    let [log, version, os_release] = texts(bytes);
    let mut finder = Finder::default();
    for line in log.lines() {
        finder.push(line);
        if let Some(step) = Step::parse(line) {
            assert!(line.contains(step.verb) && line.contains(step.file) && !step.file.is_empty());
        }
    }
    let failure = finder.finish();
    let said: BTreeSet<&str> = log.lines().map(str::trim_end).collect();
    assert!(failure.lines.len() <= 64);
    assert!(failure.lines.iter().all(|line| said.contains(line.trim_end())));
    assert!(!failure.to_string().is_empty());
    comes_back::<ToolVersion>(&version);
    if !version.is_empty()
        && let Some(found) = toolchain::version_in(&version)
    {
        comes_back::<ToolVersion>(&found.to_string());
    }
    _ = Manager::of_os_release(&os_release);
}
