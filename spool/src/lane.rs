//! A lane: the operations for one destination, the store of the helper that drains them, its lock and its socket.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::destination::{Destination, Headers, NOWHERE, RECEIVED};

/// Longer paths do not fit a socket on every system.
const LONGEST_PATH: usize = 100;

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

    /// One question to whoever drains it: one JSON object a line each way.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub fn ask(&self, request: &Value, timeout: Duration) -> io::Result<Value> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(timeout.max(Duration::from_millis(10))))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(io::Error::from)
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let path = self.socket();
        if path.as_os_str().len() <= LONGEST_PATH {
            return UnixStream::connect(&path);
        }
        let directory = File::open(self.path())?;
        // The same file under a short name.
        let name = path.file_name().unwrap_or_default();
        UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
    }

    /// Gives whoever drains it the headers that its backend needs. False when they are not those of this lane.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub fn deliver(&self, headers: &Headers, timeout: Duration) -> io::Result<bool> {
        let answer = self.ask(&json!({"v": 1, "cmd": "headers", "headers": headers.0}), timeout)?;
        Ok(answer["ok"] == true)
    }

    /// Which helper listens now: its socket is made anew with each.
    pub fn listener(&self) -> Option<(u64, i64, i64)> {
        let meta = fs::symlink_metadata(self.socket()).ok()?;
        Some((meta.ino(), meta.ctime(), meta.ctime_nsec()))
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

/// Writes where a lane goes, unless it says so already. What is there and cannot be read, such as a file that the power failed
/// on, is written anew. The file is durable before it gets its name.
pub(crate) fn describe(lane: &LaneDir, to: &Destination) -> io::Result<()> {
    if matches!(lane.destination(), Ok(Some(_))) {
        return Ok(());
    }
    let path = lane.path().join(DESCRIPTION);
    let draft = lane.path().join(format!(".{DESCRIPTION}.{}.{:016x}.tmp", std::process::id(), rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(&serde_json::to_vec(to)?).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&draft, &path)) {
        drop(fs::remove_file(&draft));
        return Err(error);
    }
    File::open(lane.path())?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDir;

    #[test]
    fn a_lane_whose_file_cannot_be_read_says_again_where_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let headers = Headers::default();
        let to = Destination::new("http://tempo:4317", None, None, &headers).unwrap();
        let lane = state.lane_to(Some((&to, &headers))).unwrap();
        for broken in ["", "{\"v\":1,\"endp", "[]"] {
            fs::write(lane.path().join(DESCRIPTION), broken).unwrap();
            assert!(lane.destination().is_err(), "{broken:?}");
            assert_eq!(state.lane_to(Some((&to, &headers))).unwrap().destination().unwrap(), Some(to.clone()));
        }
        let names = fs::read_dir(lane.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with(".tmp")).count(), 0);
    }
}
