use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, Reporter, Stage, Total, text};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings only.
    Quiet,
    /// Stages, notes, milestones.
    #[default]
    Normal,
    /// And details: make's command lines, values found.
    Verbose,
    /// And everything that make says.
    Everything,
}

/// How long nothing may be said while a stage goes on.
const SILENCE: Duration = Duration::from_secs(30);

/// Plain lines, one a fact: for logs, pipes and CI. Progress is a line at
/// every tenth of the way, and at least one in half a minute.
pub struct Lines<W> {
    state: Mutex<State<W>>,
    verbosity: Verbosity,
}

struct State<W> {
    out: W,
    running: HashMap<Stage, Running>,
}

struct Running {
    since: Instant,
    tenth: u64,
    said: Instant,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `out`.
    pub fn new(out: W, verbosity: Verbosity) -> Self {
        let state = State { out, running: HashMap::new() };
        Self { state: Mutex::new(state), verbosity }
    }
}

impl<W: Write + Send> Reporter for Lines<W> {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = state.line(event, self.verbosity) {
            // There is nobody to tell that stderr is gone.
            _ = writeln!(state.out, "{line}");
        }
    }
}

impl<W> State<W> {
    fn line(&mut self, event: Event, verbosity: Verbosity) -> Option<String> {
        let normal = verbosity >= Verbosity::Normal;
        match event {
            Event::Started { stage, detail } => {
                let now = Instant::now();
                self.running.insert(stage, Running { since: now, tenth: 0, said: now });
                normal.then(|| format!("{:<10} {detail}", stage.label()))
            }
            Event::Progress { stage, done, total, unit, .. } => {
                let due = self.running.get_mut(&stage).is_some_and(|r| r.due(done, total));
                (normal && due)
                    .then(|| format!("{:<10} {}", stage.label(), text::progress(done, total, unit)))
            }
            Event::Finished { stage, detail } => {
                let since = self.running.remove(&stage).map(|running| running.since.elapsed());
                let time = since.map(text::duration).unwrap_or_default();
                normal.then(|| format!("{:<10} done in {time}: {detail}", stage.label()))
            }
            Event::Note(text) => normal.then(|| format!("note: {text}")),
            Event::Warning(text) => Some(format!("warning: {text}")),
            Event::Detail(text) => (verbosity >= Verbosity::Verbose).then(|| format!("  {text}")),
            Event::Output(line) => (verbosity >= Verbosity::Everything).then_some(line),
        }
    }
}

impl Running {
    fn due(&mut self, done: u64, total: Option<Total>) -> bool {
        let total = total.map(Total::count).filter(|&total| total > 0);
        let tenth = total.map_or(0, |total| done * 10 / total);
        let due = tenth > self.tenth || self.said.elapsed() >= SILENCE;
        if due {
            (self.tenth, self.said) = (tenth, Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;

    fn said(events: impl IntoIterator<Item = Event>, verbosity: Verbosity) -> String {
        let lines = Lines::new(Vec::new(), verbosity);
        events.into_iter().for_each(|event| lines.event(event));
        String::from_utf8(lines.state.into_inner().unwrap().out).unwrap()
    }

    fn compiled(done: u64) -> Event {
        let (stage, current) = (Stage::Compile, "a.o".to_owned());
        let total = Some(Total::About(1000));
        Event::Progress { stage, done, total, unit: Unit::Objects, current }
    }

    #[test]
    fn progress_is_ten_lines_however_often_it_comes() {
        let start = Event::Started { stage: Stage::Compile, detail: "6.12.1".into() };
        let text = said([start].into_iter().chain((0..=1000).map(compiled)), Verbosity::Normal);
        assert_eq!(text.lines().count(), 11, "{text}");
        assert!(text.contains("compile    500 of ~1,000 objects"), "{text}");
    }

    #[test]
    fn quiet_leaves_warnings_only() {
        let events = || {
            let said = [Event::Note("n".into()), Event::Warning("w".into())];
            said.into_iter().chain([Event::Detail("d".into()), Event::Output("o".into())])
        };
        assert_eq!(said(events(), Verbosity::Quiet), "warning: w\n");
        assert_eq!(said(events(), Verbosity::Normal), "note: n\nwarning: w\n");
        assert_eq!(said(events(), Verbosity::Verbose), "note: n\nwarning: w\n  d\n");
        assert_eq!(said(events(), Verbosity::Everything), "note: n\nwarning: w\n  d\no\n");
    }
}
