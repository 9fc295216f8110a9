//! Child processes: the binary, and programs that run it. Every child has a time limit and is killed when its handle is dropped.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A child process that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    out: Capture,
    err: Capture,
    name: String,
    since: Instant,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (out, err) = (Capture::of(child.stdout.take().unwrap()), Capture::of(child.stderr.take().unwrap()));
        Self { child, out, err, name, since: Instant::now() }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        // Not reaped yet, so the number is still the child's.
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success(), "{}", self.name);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until stderr contains a text.
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) {
        let read = self.err.wait(limit, |held| held.text.contains(text) || held.ended);
        assert!(read.text.contains(text), "{} never logged `{text}`:\n{}", self.name, read.text);
    }

    /// Waits for the end; one that takes longer than `limit` is killed and fails the test.
    pub(crate) fn wait(mut self, limit: Duration) -> Ran {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let (out, err) = (self.out.wait(left(), |held| held.ended), self.err.wait(left(), |held| held.ended));
        assert!(out.ended && err.ended, "{} took longer than {limit:?}:\n{}\n{}", self.name, out.text, err.text);
        let code = self.child.wait().unwrap().code();
        Ran { code, out: out.text, err: err.text, took: self.since.elapsed(), name: self.name.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The text of a stream so far.
#[derive(Clone, Default)]
struct Output {
    text: String,
    ended: bool,
}

/// Reads a stream to its end on a thread of its own.
struct Capture(Arc<(Mutex<Output>, Condvar)>);

impl Capture {
    fn of(mut stream: impl std::io::Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Output>, Condvar)>::default();
        let (held, changed) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = stream.read(&mut buffer).unwrap_or(0);
                let mut held = held.0.lock().unwrap();
                held.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                held.ended = count == 0;
                changed.1.notify_all();
                if held.ended {
                    return;
                }
            }
        });
        Self(shared)
    }

    /// Waits until `enough` holds or the time is up; returns what was read by then.
    fn wait(&self, limit: Duration, enough: impl Fn(&Output) -> bool) -> Output {
        let (held, changed) = &*self.0;
        let waited = changed.wait_timeout_while(held.lock().unwrap(), limit, |held| !enough(held));
        waited.unwrap().0.clone()
    }
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
    name: String,
}

impl Ran {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.name, self.out, self.err);
        self
    }

    /// Checks that stderr has one error line, with all of these words in it.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let errors = self.errors();
        let [error] = errors.as_slice() else { panic!("not one error line: {}\n{}", self.name, self.err) };
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        self
    }

    /// The error lines of stderr.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.err.lines().filter(|line| line.starts_with("error: ")).collect()
    }

    /// The last line of stderr.
    pub(crate) fn last_error(&self) -> &str {
        self.err.lines().last().unwrap_or_default()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.out))
    }
}

#[test]
fn a_child_that_takes_too_long_is_killed() {
    let mut command = Command::new("sleep");
    command.arg("600");
    let child = Running::spawn(command);
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| child.wait(Duration::from_millis(50))));
    assert!(waited.is_err());
}
