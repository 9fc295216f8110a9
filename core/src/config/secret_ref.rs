//! References to secrets: where a secret is, read only when it is needed.
//!
//! The file never holds a secret itself, so the parsed configuration can be logged, compared and passed about without
//! care.

use std::fmt;
use std::path::PathBuf;

use super::Env;
use crate::error::{Error, ErrorKind, Result};
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

impl SecretRef {
    /// Reads the secret now. A file's trailing newline is dropped, and so is white space around a variable.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the variable is not set, the file cannot be read, or what is there is empty.
    pub fn resolve(&self) -> Result<Secret> {
        self.resolve_from(&Env::process())
    }

    /// Like [`Self::resolve`], with variables taken from `env`.
    pub(crate) fn resolve_from(&self, env: &Env) -> Result<Secret> {
        let text = match self {
            Self::Env(name) => env.get(name).ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!("environment variable {name} is not set: export it, or use {{file: PATH}}"),
                )
            })?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|cause| {
                let text = "read the secret's file: write it, make it readable to this user, or correct the path";
                Error::new(ErrorKind::Config, text).with("path", path.display()).caused_by(cause)
            })?,
            Self::Nowhere => {
                let message = "there is no credential: add `auth: {token: {env: NAME}}` and `url` in place of `path`";
                return Err(Error::new(ErrorKind::Config, message));
            }
        };
        match text.trim() {
            "" => Err(Error::new(ErrorKind::Config, format!("the secret at {self} is empty"))),
            secret => Ok(Secret::new(secret.to_owned())),
        }
    }
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

impl HeaderValue {
    /// The value to send.
    ///
    /// # Errors
    /// As [`SecretRef::resolve`].
    pub fn resolve(&self) -> Result<Secret> {
        match self {
            Self::Given(value) => Ok(value.clone()),
            Self::Ref(reference) => reference.resolve(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variables_and_files_and_trims_them() {
        let env = Env::fixed([("TOKEN", "from-env")]);
        let read = |reference: SecretRef| reference.resolve_from(&env).map(|secret| secret.expose().to_owned());
        assert_eq!(read(SecretRef::Env("TOKEN".into())).unwrap(), "from-env");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "from-file\n").unwrap();
        assert_eq!(read(SecretRef::File(path.clone())).unwrap(), "from-file");

        std::fs::write(&path, "\n").unwrap();
        assert_eq!(read(SecretRef::File(path)).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = SecretRef::Env("JIRA_TOKEN".into()).resolve_from(&Env::fixed([])).unwrap_err();
        assert_eq!(error.to_string(), "environment variable JIRA_TOKEN is not set: export it, or use {file: PATH}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn debug_shows_the_reference_only() {
        assert_eq!(format!("{:?}", SecretRef::Env("T".into())), "{env: T}");
        assert_eq!(format!("{:?}", HeaderValue::Given(Secret::new("hunter2"))), "Given([redacted])");
    }
}
