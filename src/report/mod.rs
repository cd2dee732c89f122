//! What is going on, said through one door.
//!
//! Rooms emit [`Event`]s and never print; the terminal, a plain log and the
//! tests are [`Reporter`]s that consume them.

mod fault;
mod json;
mod lines;
mod terminal;
pub mod text;

pub use fault::Fault;
pub use json::Json;
pub use lines::{Lines, Verbosity};
pub use terminal::Terminal;

/// A step of the work, in the order in which steps happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Finding out which version is meant and who has it.
    Resolve,
    /// Downloading the source.
    Fetch,
    /// Checking signatures and checksums.
    Verify,
    /// Unpacking the source tree.
    Unpack,
    /// Applying patches.
    Patch,
    /// Writing and checking the `.config`.
    Configure,
    /// Running make.
    Compile,
    /// Installing the headers.
    Headers,
    /// Writing the image.
    Pack,
}

impl Stage {
    /// The word that the user reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Patch => "patch",
            Self::Configure => "configure",
            Self::Compile => "compile",
            Self::Headers => "headers",
            Self::Pack => "pack",
        }
    }
}

/// What a [`Event::Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Object files compiled.
    Objects,
    /// Files.
    Files,
}

/// How many units there are in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Nobody counted these; shown with a `~`.
    About(u64),
    /// Counted, or told by who has them.
    Exact(u64),
}

impl Total {
    /// The number.
    #[must_use]
    pub fn count(self) -> u64 {
        let (Self::About(count) | Self::Exact(count)) = self;
        count
    }

    /// What is expected once `done` are done: an estimate can be too low, and
    /// a count that is exceeded was none.
    #[must_use]
    pub fn at_least(self, done: u64) -> Self {
        if done > self.count() { Self::About(done) } else { self }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A stage begins; `detail` says with what (a version, a path, a URL).
    Started {
        /// Which stage.
        stage: Stage,
        /// With what.
        detail: String,
    },
    /// How far a stage is. Cheap to emit often; reporters thin it out.
    Progress {
        /// Which stage.
        stage: Stage,
        /// Units done so far.
        done: u64,
        /// Units in all, when known.
        total: Option<Total>,
        /// What is counted.
        unit: Unit,
        /// The file in hand, or an empty string.
        current: String,
    },
    /// A stage ended well; `detail` says with what result.
    Finished {
        /// Which stage.
        stage: Stage,
        /// The result, in a few words.
        detail: String,
    },
    /// Something the user should know: which provider and why not those
    /// before it, a patch that was already in, a check that was turned off.
    Note(String),
    /// Something the user should act on, though the work goes on.
    Warning(String),
    /// For `-v`: commands run, fixes probed, values found.
    Detail(String),
    /// For `-vv`: a line that another program said.
    Output(String),
}

/// Takes events. The one trait with several forms: terminal, plain lines,
/// silent, and the collecting one of the tests.
pub trait Reporter: Sync {
    /// Called from any thread.
    fn event(&self, event: Event);
}

impl dyn Reporter + '_ {
    /// Says that `stage` begins.
    pub fn started(&self, stage: Stage, detail: impl Into<String>) {
        self.event(Event::Started { stage, detail: detail.into() });
    }

    /// Says that `stage` ended well.
    pub fn finished(&self, stage: Stage, detail: impl Into<String>) {
        self.event(Event::Finished { stage, detail: detail.into() });
    }

    /// Says something that the user should know.
    pub fn note(&self, text: impl Into<String>) {
        self.event(Event::Note(text.into()));
    }

    /// Says something that the user should act on.
    pub fn warning(&self, text: impl Into<String>) {
        self.event(Event::Warning(text.into()));
    }

    /// Says something for `-v`.
    pub fn detail(&self, text: impl Into<String>) {
        self.event(Event::Detail(text.into()));
    }

    /// Hands a line of another program on, for `-vv`.
    pub fn output(&self, line: impl Into<String>) {
        self.event(Event::Output(line.into()));
    }
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}

/// Keeps everything, for tests and for callers that look afterwards.
#[derive(Debug, Default)]
pub struct Collected(std::sync::Mutex<Vec<Event>>);

impl Collected {
    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Reporter for Collected {
    fn event(&self, event: Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }
}
