//! Child processes that serve: started with a log file, waited for, killed when dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to become ready, on a busy machine.
const START: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// How much of a log is shown.
const TAIL: usize = 30;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server that writes `NAME.log` into a folder and works in it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(name: &'static str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        command.current_dir(folder).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name, child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a question about it is answered with yes.
    ///
    /// # Errors
    /// When it ends before, or is not ready in two minutes; with the end of its log.
    pub fn until(&mut self, is_ready: impl Fn() -> bool) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < START {
            if let Some(end) = self.child.try_wait().unwrap() {
                return Err(format!("{} ended with {end}\n{}", self.name, self.tail()));
            }
            if is_ready() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("{} is not ready after {} s\n{}", self.name, START.as_secs(), self.tail()))
    }

    /// Asks it to end, waits until it has, and returns what it wrote.
    ///
    /// # Panics
    /// When it does not end in two minutes.
    #[must_use]
    pub fn stop(mut self) -> String {
        // Not reaped yet, so the number is still the child's.
        let status = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(status.success(), "{} ended before\n{}", self.name, self.tail());
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < START, "{} does not end\n{}", self.name, self.tail());
            std::thread::sleep(PAUSE);
        }
        self.log()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Free loopback ports. All are held at once, so that they differ.
///
/// # Panics
/// When the system has none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
