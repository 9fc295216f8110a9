//! `contextcore serve` in an installation, and HTTP to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Installation, LIMIT, Ran, Running};

pub(crate) struct Service {
    pub(crate) run: Running,
    port: u16,
}

impl Service {
    /// Starts `serve` on a free port, which it writes into the configuration.
    pub(crate) fn start(home: &Installation) -> Self {
        Self::start_with(home, &["serve"])
    }

    pub(crate) fn start_with(home: &Installation, arguments: &[&str]) -> Self {
        Self::start_by(home, |home| home.command(arguments))
    }

    /// Starts it by another command.
    pub(crate) fn start_by(home: &Installation, command: impl FnOnce(&Installation) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = home.config_text();
        let others: String = text.split_inclusive('\n').filter(|line| !line.starts_with("listen:")).collect();
        home.write(&format!("listen: 127.0.0.1:{port}\n{others}"));
        Self { run: Running::spawn(command(home)), port }
    }

    /// A connection on which nothing was sent; none when it is refused.
    pub(crate) fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()
    }

    /// The same service as it answers on another port.
    pub(crate) fn request_at(
        port: u16,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Option<(String, String)> {
        exchange(port, method, path, headers, body)
    }

    /// Status line and body of a GET; none while nothing listens.
    pub(crate) fn get(&self, path: &str) -> Option<(String, String)> {
        self.request("GET", path, "", b"")
    }

    /// Status line and body of a request, sent with these header lines; none while nothing listens.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(String, String)> {
        exchange(self.port, method, path, headers, body)
    }

    /// Waits until a page answers with this status; returns its body.
    pub(crate) fn until(&mut self, path: &str, status: &str) -> String {
        let begun = Instant::now();
        loop {
            match self.get(path) {
                Some((got, body)) if got.contains(status) => return body,
                got => assert!(begun.elapsed() < LIMIT && self.run.is_running(), "{path} is not {status}: {got:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it, which must succeed within ten seconds.
    pub(crate) fn stop(self) -> Ran {
        let begun = Instant::now();
        self.run.signal("TERM");
        let ran = self.run.wait(LIMIT).expect(0);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}: {}", begun.elapsed(), ran.err);
        ran
    }
}

fn exchange(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    // A refusal may come before everything was read, and reset the connection.
    let _cut_off = stream.write_all(body);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}
