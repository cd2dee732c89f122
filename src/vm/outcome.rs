//! What became of a run.

use std::time::Duration;

use stage1_builder_guest::wire::{Ending, Failure};

use crate::proc::interrupt;

/// How a run ended, and what there is to say about it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How.
    pub end: End,
    /// The last of what the kernel said, without what a terminal would obey.
    pub console: String,
    /// From QEMU's start to the command's.
    pub boot: Option<Duration>,
    /// From the command's start to its end.
    pub command: Option<Duration>,
    /// Whether the guest killed a process for want of memory.
    pub out_of_memory: bool,
    /// The guest's `uname -r`, if it came so far.
    pub release: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command ended.
    Command(Ending),
    /// There was no command.
    NotStarted(Failure, String),
    /// Init never spoke; why we gave up.
    NoBoot(String),
    /// The kernel gave up; its line about it.
    Panic(String),
    /// The command took too long.
    TimedOut(Duration),
    /// The machine ended under the command.
    Lost(String),
    /// We were asked to stop.
    Interrupted(interrupt::Signal),
    /// Nobody reads the command's output any more.
    NoReader,
}

impl End {
    /// The exit code that says so: the command's own, or as documented.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        use crate::report::Fault;
        match self {
            Self::Command(Ending::Code(code)) => *code,
            Self::Command(Ending::Signal(signal)) => 128_u8.saturating_add(*signal),
            Self::NotStarted(Failure::NotFound, _) => Fault::CommandNotFound.exit_code(),
            Self::NotStarted(Failure::NotExecutable, _) => Fault::CommandNotExecutable.exit_code(),
            Self::NotStarted(..) => Fault::Guest.exit_code(),
            Self::NoBoot(_) => Fault::NoBoot.exit_code(),
            Self::Panic(_) => Fault::Panic.exit_code(),
            Self::TimedOut(_) => Fault::TimedOut.exit_code(),
            Self::Lost(_) => Fault::Lost.exit_code(),
            Self::Interrupted(signal) => Fault::from(*signal).exit_code(),
            // As a program that SIGPIPE ends.
            Self::NoReader => 141,
        }
    }
}
