//! How a command ends: the exit codes, and the one place that maps errors to them.

use std::fmt;
use std::process::ExitCode;

use contextcore_core::config::ConfigErrors;
use contextcore_core::model::printable;
use contextcore_core::{Error, ErrorKind};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All done.
    Done,
    /// A bug, or an unusable store.
    Internal,
    /// Wrong usage or configuration.
    Usage,
    /// A source failed; others were still synced.
    Source,
    /// A check found what it looks for.
    Found,
    /// The backend did not accept everything; the rest stays in the journal.
    Backend,
    /// Stopped by SIGINT (Ctrl-C).
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Source | Self::Found => 3,
            Self::Backend => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The exit code for an error of this kind.
    pub(crate) const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Config => Self::Usage,
            ErrorKind::Auth
            | ErrorKind::Permission
            | ErrorKind::NotFound
            | ErrorKind::Rejected
            | ErrorKind::Gone
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::Protocol
            | ErrorKind::Coverage => Self::Source,
            ErrorKind::Export => Self::Backend,
            ErrorKind::Store | ErrorKind::Cancelled | ErrorKind::Internal => Self::Internal,
        }
    }

    /// The code for several results: that of the failure to fix first. A failed store comes before a wrong configuration, that
    /// before a failed source, and last comes a backend, since its export resumes by itself.
    pub(crate) fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().filter(|exit| *exit != Self::Done).min().unwrap_or(Self::Done)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed: its exit code, and the error messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) lines: Vec<String>,
}

/// The result of a command. One that completes can still have an exit code other than 0.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, lines: vec![line.into()] }
    }

    /// A wrong argument or configuration.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self::new(Exit::Usage, line)
    }

    /// The same, with what was asked for at the front of each line.
    pub(crate) fn about(self, subject: &str) -> Self {
        Self { lines: self.lines.into_iter().map(|line| format!("{subject}: {line}")).collect(), ..self }
    }

    /// The reader of stdout closed it (`contextcore tasks | head`), which is no failure.
    pub(crate) fn is_closed_pipe(error: &std::io::Error) -> bool {
        error.kind() == std::io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line break from outside begins no line of ours.
        self.lines.iter().try_for_each(|line| writeln!(f, "error: {}", printable::lines(line).replace('\n', "\n  ")))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::of(error.kind()), error.full())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self { exit: Exit::Usage, lines: errors.lines().collect() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if Self::is_closed_pipe(&error) {
            return Self { exit: Exit::Done, lines: Vec::new() };
        }
        Self::new(Exit::Internal, format!("write the result: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => std::io::Error::from(kind).into(),
            None => Self::new(Exit::Internal, format!("write the result: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let codes = [Exit::Done, Exit::Internal, Exit::Usage, Exit::Source, Exit::Backend].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        assert_eq!(Exit::of(ErrorKind::Config).code(), 2);
        assert_eq!(Exit::of(ErrorKind::Auth).code(), 3);
        assert_eq!(Exit::of(ErrorKind::Coverage).code(), 3);
        assert_eq!(Exit::of(ErrorKind::Export).code(), 4);
        assert_eq!(Exit::of(ErrorKind::Store).code(), 1);
    }

    #[test]
    fn a_failed_source_outranks_a_failed_backend() {
        assert_eq!(Exit::worst([Exit::Backend, Exit::Done, Exit::Source]), Exit::Source);
        assert_eq!(Exit::worst([Exit::Done, Exit::Done]), Exit::Done);
        assert_eq!(Exit::worst([]), Exit::Done);
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error =
            Error::new(ErrorKind::Auth, "log in").with("source", "acme").caused_by(std::io::Error::other("a\nb"));
        assert_eq!(Failure::from(error).to_string(), "error: log in (source=acme): a b\n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.to_string()), (Exit::Done, String::new()));
    }
}
