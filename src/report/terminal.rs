use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::Verbosity;
use super::{Event, Reporter, Stage, Total, Unit, text};

/// The screen: a line for each stage that ended, a moving one for each that
/// goes on. Draws on stderr.
pub struct Terminal {
    screen: MultiProgress,
    bars: Mutex<HashMap<Stage, ProgressBar>>,
    verbosity: Verbosity,
    colors: bool,
}

const SPINNER: &str = "{spinner} {prefix:<10} {msg} {elapsed:.dim}";
const BYTES: &str =
    "{spinner} {prefix:<10} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {msg:.dim}";
const COUNT: &str =
    "{spinner} {prefix:<10} [{bar:24}] {human_pos}/{human_len} {elapsed} {wide_msg:.dim}";
/// A count of which nobody knows the end.
const ESTIMATE: &str =
    "{spinner} {prefix:<10} [{bar:24}] {human_pos}/~{human_len} {elapsed} {wide_msg:.dim}";

impl Terminal {
    /// A screen on stderr; `colors` off leaves the text alone.
    #[must_use]
    pub fn new(verbosity: Verbosity, colors: bool) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { screen, bars: Mutex::default(), verbosity, colors }
    }

    fn line(&self, line: &str) {
        // There is nobody to tell that stderr is gone.
        _ = self.screen.println(line);
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn start(&self, stage: Stage, detail: String) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(style(SPINNER));
        bar.set_prefix(stage.label());
        bar.set_message(detail);
        bar.enable_steady_tick(Duration::from_millis(120));
        self.bars().insert(stage, bar);
    }

    fn progress(&self, stage: Stage, done: u64, total: Option<Total>, unit: Unit, current: String) {
        let bars = self.bars();
        let Some(bar) = bars.get(&stage) else { return };
        let Some(total) = total else {
            bar.set_message(text::progress(done, None, unit));
            return;
        };
        if bar.length() != Some(total.count()) {
            bar.set_style(style(template(unit, total)));
            bar.set_length(total.count());
        }
        bar.set_position(done);
        bar.set_message(current);
    }

    fn finish(&self, stage: Stage, detail: &str) {
        if let Some(bar) = self.bars().remove(&stage) {
            let time = self.painted("2", &text::duration(bar.elapsed()));
            bar.finish_and_clear();
            self.screen.remove(&bar);
            self.line(&format!(
                "{} {:<10} {detail} {time}",
                self.painted("32", "✓"),
                stage.label()
            ));
        }
    }

    fn bars(&self) -> std::sync::MutexGuard<'_, HashMap<Stage, ProgressBar>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Terminal {
    fn event(&self, event: Event) {
        match event {
            Event::Started { stage, detail } => self.start(stage, detail),
            Event::Progress { stage, done, total, unit, current } => {
                self.progress(stage, done, total, unit, current);
            }
            Event::Finished { stage, detail } => self.finish(stage, &detail),
            Event::Note(_) if self.verbosity == Verbosity::Quiet => {}
            Event::Note(text) => self.line(&format!("  {text}")),
            Event::Warning(text) => {
                self.line(&format!("{} {text}", self.painted("33;1", "warning:")));
            }
            Event::Detail(text) if self.verbosity >= Verbosity::Verbose => {
                self.line(&self.painted("2", &format!("  {text}")));
            }
            Event::Output(line) if self.verbosity == Verbosity::Everything => self.line(&line),
            Event::Detail(_) | Event::Output(_) => {}
        }
    }
}

/// What stands on the screen when an error ends the work is the error alone.
impl Drop for Terminal {
    fn drop(&mut self) {
        for (_, bar) in self.bars().drain() {
            bar.finish_and_clear();
        }
    }
}

fn template(unit: Unit, total: Total) -> &'static str {
    match (unit, total) {
        (Unit::Bytes, _) => BYTES,
        (_, Total::Exact(_)) => COUNT,
        (_, Total::About(_)) => ESTIMATE,
    }
}

fn style(template: &str) -> ProgressStyle {
    let base =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    base.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [SPINNER, BYTES, COUNT, ESTIMATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
