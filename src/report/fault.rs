use crate::proc::interrupt::Signal;

/// The kind of a failure, as the exit code tells it.
///
/// Every room's error type says its fault through `fn fault(&self) -> Fault`
/// and the command that mends it through `fn hint(&self) -> Option<String>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Something that should not happen; a bug of ours.
    Internal,
    /// The command line is wrong.
    Usage,
    /// A setting, or a file of settings, is wrong.
    Settings,
    /// A version or file that nobody has.
    NotFound,
    /// Nobody could be reached.
    Network,
    /// A signature, checksum or key is missing or wrong.
    Verification,
    /// Programs that the host lacks.
    MissingTools,
    /// An archive or patch that tries to leave its folder, or is damaged.
    Archive,
    /// A patch that does not apply.
    Patch,
    /// A kernel configuration that did not come out as asked.
    Kconfig,
    /// The compiler, or another program of the build, failed.
    Compile,
    /// Disk full, folder not writable, file system trouble.
    Storage,
    /// What a guest needs besides its kernel is not there: a mount, a user.
    Guest,
    /// A guest that never began.
    NoBoot,
    /// A kernel that gave up under the command.
    Panic,
    /// A VM that ended under the command.
    Lost,
    /// A command that took too long.
    TimedOut,
    /// A command that is there and can't be executed.
    CommandNotExecutable,
    /// A command that the container has not.
    CommandNotFound,
    /// SIGHUP.
    HungUp,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl From<Signal> for Fault {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
            Signal::HangUp => Self::HungUp,
        }
    }
}

impl Fault {
    /// Every fault, in the order of the exit codes.
    pub const ALL: [Self; 22] = [
        Self::Internal,
        Self::Usage,
        Self::Settings,
        Self::NotFound,
        Self::Network,
        Self::Verification,
        Self::MissingTools,
        Self::Archive,
        Self::Patch,
        Self::Kconfig,
        Self::Compile,
        Self::Storage,
        Self::Guest,
        Self::NoBoot,
        Self::Panic,
        Self::Lost,
        Self::TimedOut,
        Self::CommandNotExecutable,
        Self::CommandNotFound,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Settings => 3,
            Self::NotFound => 4,
            Self::Network => 5,
            Self::Verification => 6,
            Self::MissingTools => 7,
            Self::Archive => 8,
            Self::Patch => 9,
            Self::Kconfig => 10,
            Self::Compile => 11,
            Self::Storage => 12,
            Self::Guest => 120,
            Self::NoBoot => 121,
            Self::Panic => 122,
            Self::Lost => 123,
            Self::TimedOut => 124,
            Self::CommandNotExecutable => 126,
            Self::CommandNotFound => 127,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// One line for `--help` and the documentation.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Internal => "an error that should not happen; please report it",
            Self::Usage => "the command line is wrong",
            Self::Settings => "a setting, or a line of a settings file, is wrong",
            Self::NotFound => "no provider has that version, or a named file is missing",
            Self::Network => "the network, or every provider, could not be reached",
            Self::Verification => "a signature, checksum or key is missing or wrong",
            Self::MissingTools => "programs that the host lacks",
            Self::Archive => "an archive or image is damaged, or not what it must be",
            Self::Patch => "a patch does not apply",
            Self::Kconfig => "the kernel configuration did not come out as asked",
            Self::Compile => "the compiler, or another program of the build, failed",
            Self::Storage => "disk full, or a folder that can't be written",
            Self::Guest => "a guest that lacks what was asked for: a mount, a user",
            Self::NoBoot => "a guest that did not boot in time",
            Self::Panic => "a kernel that panicked or locked up",
            Self::Lost => "a VM that ended under the command, or could not be started",
            Self::TimedOut => "a command that took longer than `--timeout`",
            Self::CommandNotExecutable => "a command that can't be executed",
            Self::CommandNotFound => "a command that is not in the container",
            Self::HungUp => "the terminal went away (SIGHUP)",
            Self::Interrupted => "interrupted (SIGINT)",
            Self::Terminated => "terminated (SIGTERM)",
        }
    }
}
