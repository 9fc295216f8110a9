//! A lane: the operations for one destination, the store of the helper that drains them, its lock and its socket.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::destination::{Destination, NOWHERE, RECEIVED};

/// The directory of one destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneDir(PathBuf);

/// Held while a process drains a lane; released when it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl LaneDir {
    /// The lane in this directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether it is the lane of a destination, which a helper can drain.
    pub fn has_destination(&self) -> bool {
        ![NOWHERE, RECEIVED].contains(&self.name().as_str())
    }

    /// The directory of its operations.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// The store of its helper.
    pub fn engine(&self) -> PathBuf {
        self.0.join("engine")
    }

    /// Moves the store of its helper aside, because a service has taken it over. Returns where it is.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn retire_engine(&self) -> io::Result<PathBuf> {
        let free = |number: &u32| !self.retired(*number).exists();
        let retired = self.retired((1..).find(free).unwrap_or(u32::MAX));
        fs::rename(self.engine(), &retired)?;
        Ok(retired)
    }

    fn retired(&self, number: u32) -> PathBuf {
        self.0.join(format!("engine.taken-over.{number}"))
    }

    /// The socket of its helper.
    pub fn socket(&self) -> PathBuf {
        self.0.join("engine.sock")
    }

    /// Where it goes; `None` when nobody said so yet.
    ///
    /// # Errors
    /// When `lane.json` cannot be read.
    pub fn destination(&self) -> io::Result<Option<Destination>> {
        match fs::read(self.0.join(DESCRIPTION)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the lane, to drain it; `None` when another process has it.
    ///
    /// # Errors
    /// When the file of the lock cannot be made.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a process drains it.
    ///
    /// # Errors
    /// When the file of the lock cannot be made.
    pub fn is_drained(&self) -> io::Result<bool> {
        match self.lock_file()?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(self.0.join("engine.lock"))
    }
}

/// The file that says where a lane goes.
const DESCRIPTION: &str = "lane.json";

/// Writes where a lane goes, unless it says so already.
pub(crate) fn describe(lane: &LaneDir, to: &Destination) -> io::Result<()> {
    let path = lane.path().join(DESCRIPTION);
    if path.exists() {
        return Ok(());
    }
    let draft = lane.path().join(format!(".{DESCRIPTION}.{}.{:016x}.tmp", std::process::id(), rand::random::<u64>()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    serde_json::to_writer(&file, to)?;
    fs::rename(&draft, &path)
}
