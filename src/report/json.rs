//! Events for programs: one JSON object a line.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Event, Reporter, Stage, Total, Unit, Verbosity};

/// Progress is told at most so often for each stage.
const PAUSE: Duration = Duration::from_millis(200);

/// One JSON object a line. `event` says which kind, `time` the seconds since
/// the beginning; docs/commands.md has the fields, which don't change.
pub struct Json<W> {
    state: Mutex<State<W>>,
    verbosity: Verbosity,
    begun: Instant,
}

struct State<W> {
    out: W,
    told: HashMap<Stage, Instant>,
}

impl<W: Write + Send> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W, verbosity: Verbosity) -> Self {
        let state = State { out, told: HashMap::new() };
        Self { state: Mutex::new(state), verbosity, begun: Instant::now() }
    }

    /// Writes an object of another kind, such as the result.
    pub fn write(&self, kind: &str, fields: Value) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(self.begun, kind, fields);
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&self, event: Event) {
        if !counts(&event, self.verbosity) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Progress { stage, .. } = event
            && !state.due(stage)
        {
            return;
        }
        let (kind, fields) = described(event);
        state.write(self.begun, kind, fields);
    }
}

impl<W: Write> State<W> {
    fn due(&mut self, stage: Stage) -> bool {
        let now = Instant::now();
        let due = self.told.get(&stage).is_none_or(|told| now.duration_since(*told) >= PAUSE);
        if due {
            self.told.insert(stage, now);
        }
        due
    }

    fn write(&mut self, begun: Instant, kind: &str, fields: Value) {
        let time = begun.elapsed().as_millis();
        let mut line = json!({ "event": kind, "time": time as f64 / 1000.0 });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        // There is nobody to tell that the reader is gone.
        _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// As the plain lines have it: quiet leaves warnings.
fn counts(event: &Event, verbosity: Verbosity) -> bool {
    let least = match event {
        Event::Warning(_) => Verbosity::Quiet,
        Event::Detail(_) => Verbosity::Verbose,
        Event::Output(_) => Verbosity::Everything,
        _ => Verbosity::Normal,
    };
    verbosity >= least
}

fn described(event: Event) -> (&'static str, Value) {
    let text = |text: String| json!({ "text": text });
    match event {
        Event::Started { stage, detail } => {
            ("started", json!({ "stage": stage.label(), "detail": detail }))
        }
        Event::Finished { stage, detail } => {
            ("finished", json!({ "stage": stage.label(), "detail": detail }))
        }
        Event::Progress { stage, done, total, unit, current } => (
            "progress",
            json!({
                "stage": stage.label(),
                "done": done,
                "total": total.map(Total::count),
                "exact": matches!(total, Some(Total::Exact(_))),
                "unit": unit_name(unit),
                "current": current,
            }),
        ),
        Event::Note(note) => ("note", text(note)),
        Event::Warning(warning) => ("warning", text(warning)),
        Event::Detail(detail) => ("detail", text(detail)),
        Event::Output(line) => ("output", text(line)),
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Objects => "objects",
        Unit::Files => "files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: impl IntoIterator<Item = Event>, verbosity: Verbosity) -> Vec<Value> {
        let json = Json::new(Vec::new(), verbosity);
        events.into_iter().for_each(|event| json.event(event));
        json.write("result", json!({ "id": "x" }));
        let bytes = json.state.into_inner().unwrap().out;
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn kinds(lines: &[Value]) -> Vec<&str> {
        lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
    }

    #[test]
    fn each_line_is_an_object_and_the_last_is_the_result() {
        let progress = |done| Event::Progress {
            stage: Stage::Compile,
            done,
            total: Some(Total::About(1000)),
            unit: Unit::Objects,
            current: "CC a\"\n.o".into(),
        };
        let start = Event::Started { stage: Stage::Compile, detail: "6.12.1".into() };
        let lines = lines([start].into_iter().chain((0..1000).map(progress)), Verbosity::Normal);
        let kinds = kinds(&lines);
        assert_eq!((kinds[0], kinds[1], *kinds.last().unwrap()), ("started", "progress", "result"));
        assert!(kinds.len() < 20, "progress is thinned out: {}", kinds.len());
        let wanted = json!({"stage": "compile", "done": 0, "total": 1000, "exact": false,
            "unit": "objects", "current": "CC a\"\n.o"});
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(&lines[1][name], value, "{name}");
        }
        assert!(lines.iter().all(|line| line["time"].is_number()));
    }

    #[test]
    fn verbosity_is_that_of_the_lines() {
        let events = || {
            let said = [Event::Note("n".into()), Event::Warning("w".into())];
            said.into_iter().chain([Event::Detail("d".into()), Event::Output("o".into())])
        };
        assert_eq!(kinds(&lines(events(), Verbosity::Quiet)), ["warning", "result"]);
        assert_eq!(kinds(&lines(events(), Verbosity::Normal)), ["note", "warning", "result"]);
        let all = ["note", "warning", "detail", "output", "result"];
        assert_eq!(kinds(&lines(events(), Verbosity::Everything)), all);
    }
}
