//! Reading secrets where a reference says they are, at the moment they are needed.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use contextcore_model::config::{HeaderValue, SecretRef};

use super::bounded;
use super::env::Env;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::secret::Secret;

/// No secret is larger.
const MAX_SECRET: u64 = 64 << 10;

/// The files of which a warning was logged: a service reads them at every poll.
static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

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
        SecretRef::File(path) => read_file(path).map_err(|cause| {
            let text = "read the secret's file: write it, make it readable to this user, or correct the path";
            Error::new(ErrorKind::Config, text).with("path", path.display()).caused_by(cause)
        })?,
    };
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Config, format!("the secret at {reference} is empty"))),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

/// The text of a secret's file. Warns once of one that every user can read.
fn read_file(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(bounded::read(path, MAX_SECRET)?);
    if is_world_readable(path)
        && let Some(mut warned) = WARNED.lock().ok()
        && warned.insert(path.to_owned())
    {
        tracing::warn!(path = %path.display(), "every user of this machine can read this secret: chmod 600, or 400 where it is mounted");
    }
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
}

fn is_world_readable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
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
    fn a_secret_file_is_a_small_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |path: &Path| resolve_from(&SecretRef::File(path.to_owned()), &Env::fixed([]));
        std::fs::write(&path, "x".repeat(64 << 10)).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
        assert!(read(&path).unwrap_err().full().contains("larger than 64 KiB"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).unwrap_err().full().contains("not text"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::fs::write(&path, "s3cret").unwrap();
        assert_eq!(read(&link).unwrap().expose(), "s3cret", "mounted secrets are links");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for odd in [dir.path(), &pipe, Path::new("/dev/zero")] {
            assert!(read(odd).unwrap_err().full().contains("not a regular file"), "{}", odd.display());
        }
    }

    #[test]
    fn a_secret_that_every_user_can_read_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_world_readable(file.path()), open, "{mode:o}");
        }
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
