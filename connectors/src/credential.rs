//! The credential of a source: read again at the start of each run, so that a rotated token works without a restart.

use std::sync::Mutex;

use contextcore_core::config::{KeyProblems, Resolve, SecretRef};
use contextcore_core::{Error, ErrorKind, Result, Secret, lock};
use schemars::JsonSchema;
use serde::Deserialize;

/// A token alone, as `auth: {token: …}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["token"]))]
pub(crate) struct TokenAuth {
    /// The token.
    #[schemars(required)]
    pub(crate) token: Option<SecretRef>,
}

/// Reports a token that is missing.
pub(crate) fn require_token(token: Option<&SecretRef>, problems: &mut KeyProblems<'_>) {
    if token.is_none() {
        problems.add("auth.token", "is missing: add `auth: {token: {env: NAME}}`, or {file: PATH}");
    }
}

/// Reports keys of `fields` that mean nothing to a tool.
pub(crate) fn require_known_fields<'a>(
    fields: impl IntoIterator<Item = &'a String>,
    known: &[&str],
    problems: &mut KeyProblems<'_>,
) {
    for unknown in fields.into_iter().filter(|name| !known.contains(&name.as_str())) {
        problems.add(&format!("fields.{unknown}"), format!("`{unknown}` is none of {}", known.join(", ")));
    }
}

/// Where a secret is, and what it was when it was last read.
pub(crate) struct Credential {
    reference: SecretRef,
    used: Mutex<Option<Secret>>,
}

impl Credential {
    pub(crate) fn new(reference: SecretRef) -> Self {
        Self { reference, used: Mutex::default() }
    }

    /// The credential of a source whose configuration was checked to have one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is none.
    pub(crate) fn of(reference: Option<SecretRef>, source: &str) -> Result<Self> {
        let missing =
            || Error::new(ErrorKind::Config, "the source has no credential: add `auth`").with("source", source);
        reference.map(Self::new).ok_or_else(missing)
    }

    /// Reads the secret, and hands it to `apply` when it is another than the one that was applied last.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the secret cannot be read; else as `apply`.
    pub(crate) fn refresh(&self, apply: impl FnOnce(&Secret) -> Result<()>) -> Result<()> {
        let secret = self.reference.resolve()?;
        let mut used = lock(&self.used);
        if used.as_ref() != Some(&secret) {
            apply(&secret)?;
            *used = Some(secret);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_applied_again_only_when_it_changed_or_was_not_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let credential = Credential::new(SecretRef::File(path.clone()));
        assert_eq!(credential.refresh(|_| Ok(())).unwrap_err().kind(), ErrorKind::Config, "there is no file");
        let mut applied = Vec::new();
        for text in ["one", "one\n", "two"] {
            std::fs::write(&path, text).unwrap();
            let apply = |secret: &Secret| {
                applied.push(secret.expose().to_owned());
                Ok(())
            };
            credential.refresh(apply).unwrap();
        }
        assert_eq!(applied, ["one", "two"]);
        std::fs::write(&path, "three").unwrap();
        let refused = |_: &Secret| Err(Error::new(ErrorKind::Config, "unusable"));
        assert!(credential.refresh(refused).is_err() && credential.refresh(refused).is_err());
    }
}
