//! The error type for everything that can fail outside the program.
//!
//! An error answers three questions: what kind of failure it was ([`ErrorKind`], also the metric label, and mapped to
//! an exit code), whether another try makes sense ([`Retry`]), and what it was about (context pairs). Messages are
//! lowercase fragments that fit after "failed to". [`std::fmt::Display`] does not include the source; [`Error::full`]
//! does.

use std::fmt;
use std::time::Duration;

use crate::printable;

/// The kind of failure, as a small closed set: it labels metrics (`error.type`) and decides exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The configuration is wrong: unknown key, literal secret, missing value. Exit code 2.
    Config,
    /// The credential was refused, or a login page was returned instead of data.
    Auth,
    /// The credential is valid but lacks permission.
    Permission,
    /// The requested object does not exist, or is hidden from this credential.
    NotFound,
    /// The vendor rejected the request itself (bad query, unknown project, stale page token).
    Rejected,
    /// The vendor removed the endpoint: an upgrade is needed.
    Gone,
    /// The rate limit did not clear within the longest wait we accept.
    RateLimited,
    /// No answer, a broken connection, or a 5xx.
    Unavailable,
    /// An answer that its API does not allow (not JSON, truncated, a repeated page token).
    Protocol,
    /// The local store cannot be used: locked, corrupt, full, read-only, written by a newer version.
    Store,
    /// The telemetry backend rejected or did not accept the data. Exit code 4.
    Export,
    /// A whole project disappeared at once: closing its tasks would report a deletion that did not happen.
    Coverage,
    /// Stopped on request.
    Cancelled,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// The label used in metrics, logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Store => "store",
            Self::Export => "export",
            Self::Coverage => "coverage",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It fails again until a person changes something.
    Never,
    /// With the caller's own backoff.
    Backoff,
    /// Not before this long from now, as the other side asked.
    After(Duration),
}

/// An error with its kind, whether to retry, and what it was about.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    context: Vec<Pair>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A context pair.
#[derive(Debug)]
struct Pair {
    key: &'static str,
    value: String,
    /// Whether it is for people too, and not only for programs.
    is_printed: bool,
}

/// The result of everything that can fail outside the program.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that a retry cannot fix.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Never, message: message.into(), context: Vec::new(), source: None }
    }

    /// Sets when another try makes sense.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Adds a context pair. Never pass a secret: context is printed.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push(Pair { key, value: value.to_string(), is_printed: true });
        self
    }

    /// Adds a context pair that only programs read: [`Error::context`] returns it, and nothing prints it.
    #[must_use]
    pub fn tagged(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push(Pair { key, value: value.to_string(), is_printed: false });
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without context and causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same request may succeed later.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The value of a context pair, if it is set.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.context.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
    }

    /// The error with every cause, on one line; safe to print, whatever a tool answered.
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let part = error.to_string();
            if !part.is_empty() && !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = error.source();
        }
        printable::one_line(&text).into_owned()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let printed = self.context.iter().filter(|pair| pair.is_printed);
        let pairs: Vec<String> = printed.map(|Pair { key, value, .. }| format!("{key}={value}")).collect();
        if !pairs.is_empty() {
            write!(f, " ({})", pairs.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_shows_the_context_and_full_adds_the_causes() {
        let error = Error::new(ErrorKind::Store, "open the store")
            .with("path", "/data")
            .tagged("code", 7)
            .caused_by(std::io::Error::other("disk on fire"));
        assert_eq!(error.context("code"), Some("7"));
        assert_eq!(error.to_string(), "open the store (path=/data)");
        assert_eq!(error.full(), "open the store (path=/data): disk on fire");
    }
}
