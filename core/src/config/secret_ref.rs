//! Reading secrets where a reference says they are, at the moment they are needed.

use contextcore_model::config::{HeaderValue, SecretRef};

use super::env::Env;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::secret::Secret;

/// Reading what a reference points at.
pub trait Resolve {
    /// Reads the secret now. A file's trailing newline is dropped, and so is white space around a variable.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the variable is not set, the file cannot be read, or what is there is empty.
    fn resolve(&self) -> Result<Secret>;
}

impl Resolve for SecretRef {
    fn resolve(&self) -> Result<Secret> {
        resolve_from(self, &Env::process())
    }
}

impl Resolve for HeaderValue {
    fn resolve(&self) -> Result<Secret> {
        match self {
            Self::Given(value) => Ok(value.clone()),
            Self::Ref(reference) => reference.resolve(),
        }
    }
}

/// Like [`Resolve::resolve`], with variables taken from `env`.
fn resolve_from(reference: &SecretRef, env: &Env) -> Result<Secret> {
    let text = match reference {
        SecretRef::Env(name) => env.get(name).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("environment variable {name} is not set: export it, or use {{file: PATH}}"),
            )
        })?,
        SecretRef::File(path) => std::fs::read_to_string(path).map_err(|cause| {
            let text = "read the secret's file: write it, make it readable to this user, or correct the path";
            Error::new(ErrorKind::Config, text).with("path", path.display()).caused_by(cause)
        })?,
    };
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Config, format!("the secret at {reference} is empty"))),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variables_and_files_and_trims_them() {
        let env = Env::fixed([("TOKEN", "from-env")]);
        let read = |reference: SecretRef| resolve_from(&reference, &env).map(|secret| secret.expose().to_owned());
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
        let error = resolve_from(&SecretRef::Env("JIRA_TOKEN".into()), &Env::fixed([])).unwrap_err();
        assert_eq!(error.to_string(), "environment variable JIRA_TOKEN is not set: export it, or use {file: PATH}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn debug_shows_the_reference_only() {
        assert_eq!(format!("{:?}", SecretRef::Env("T".into())), "{env: T}");
        assert_eq!(format!("{:?}", HeaderValue::Given(Secret::new("hunter2"))), "Given([redacted])");
    }
}
