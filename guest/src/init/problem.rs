//! What init could not do.

use std::fmt;

use crate::wire::Failure;

/// Why there will be no command.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Failure,
    text: String,
}

impl Problem {
    pub(super) fn new(kind: Failure, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }

    /// As the host reads it: the kind, then the text.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[self.kind as u8], self.text.as_bytes()].concat()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For results: what was tried when it failed.
pub(super) trait Explain<T> {
    /// A file system could not be brought to its place.
    fn or_mount(self, doing: impl fmt::Display) -> Result<T, Problem>;
    /// Anything else.
    fn or_init(self, doing: impl fmt::Display) -> Result<T, Problem>;
}

impl<T, E: fmt::Display> Explain<T> for Result<T, E> {
    fn or_mount(self, doing: impl fmt::Display) -> Result<T, Problem> {
        self.map_err(|error| Problem::new(Failure::Mount, format_args!("{doing}: {error}")))
    }

    fn or_init(self, doing: impl fmt::Display) -> Result<T, Problem> {
        self.map_err(|error| Problem::new(Failure::Init, format_args!("{doing}: {error}")))
    }
}
