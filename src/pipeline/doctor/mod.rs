//! `doctor`: what the host has and lacks, and the command that mends it.
//!
//! Each area is a function that gives its findings: `tools` what a build
//! calls, `guests` what a run needs, `room` what both need of the disk,
//! the clock and the limits of this process.

mod guests;
mod room;
mod tools;

use serde::Serialize;

use crate::report::Reporter;
use crate::settings::Settings;

use super::Error;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, slower or less well than it could.
    Warning,
    /// Without it, something does not work.
    Missing,
}

/// For what something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Builds.
    Build,
    /// Runs.
    Run,
    /// Both.
    Host,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// For what it is needed.
    pub area: Area,
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// The command or change that mends it.
    pub mend: Option<String>,
}

impl Line {
    fn ok(area: Area, name: &str, detail: impl Into<String>) -> Self {
        Self { area, name: name.to_owned(), state: State::Ok, detail: detail.into(), mend: None }
    }

    fn warning(area: Area, name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { state: State::Warning, mend, ..Self::ok(area, name, detail) }
    }

    fn missing(area: Area, name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Missing, ..Self::warning(area, name, detail, mend) }
    }
}

/// All lines, and what follows from them.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Whether a build would work, as far as the host is concerned.
    pub can_build: bool,
    /// Whether a run would work.
    pub can_run: bool,
    /// Every line, by area.
    pub lines: Vec<Line>,
}

/// Looks at the host. With `boot`, a kernel of the store is booted where
/// nobody knows yet whether guests run under KVM.
///
/// # Errors
/// When the settings ask for a configuration that can't be read.
pub fn doctor(
    settings: &Settings,
    boot: bool,
    reporter: &dyn Reporter,
) -> Result<Diagnosis, Error> {
    let mut lines = tools::look(settings)?;
    lines.extend(guests::look(settings, boot, reporter));
    lines.extend(room::look(settings));
    Ok(diagnosis(lines))
}

fn diagnosis(lines: Vec<Line>) -> Diagnosis {
    let stands = |area| {
        let of_it = |line: &&Line| line.area == area || line.area == Area::Host;
        lines.iter().filter(of_it).all(|line| line.state != State::Missing)
    };
    Diagnosis { can_build: stands(Area::Build), can_run: stands(Area::Run), lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_for_both_is_missing_for_each() {
        let of = |area| {
            let lines = vec![Line::ok(Area::Run, "a", ""), Line::missing(area, "b", "", "")];
            let diagnosis = diagnosis(lines);
            (diagnosis.can_build, diagnosis.can_run)
        };
        assert_eq!(of(Area::Build), (false, true));
        assert_eq!(of(Area::Run), (true, false));
        assert_eq!(of(Area::Host), (false, false));
        let slow = diagnosis(vec![Line::warning(Area::Host, "c", "", "")]);
        assert!(slow.can_build && slow.can_run);
    }
}
