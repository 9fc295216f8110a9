//! References to secrets: where a secret is, read only when it is needed.
//!
//! The file never holds a secret itself, so the parsed configuration can be logged, compared and passed about without
//! care.

use std::fmt;
use std::path::PathBuf;

use crate::secret::Secret;

/// Where a secret is. `Debug` and `Display` show this reference only.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file; a relative one is taken from the working directory. Fits mounted secrets.
    File(PathBuf),
    /// There is none: the source reads a file, and needs no credential.
    Nowhere,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{env: {name}}}"),
            Self::File(path) => write!(f, "{{file: {}}}", path.display()),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a header: given in the open, or a reference. Never printed, since either may be sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// Written in the file or in `OTEL_EXPORTER_OTLP_HEADERS`.
    Given(Secret),
    /// To be read when the first request is built.
    Ref(SecretRef),
}
