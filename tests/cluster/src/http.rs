//! The little HTTP that tests speak with servers on loopback: a request a connection, and a receiver of webhooks.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// Asks a server at an address such as `127.0.0.1:9090`.
///
/// # Errors
/// When there is no answer.
pub fn get(address: &str, path: &str) -> io::Result<Reply> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// Sends JSON to a server.
///
/// # Errors
/// When there is no answer.
pub fn post(address: &str, path: &str, body: &Value) -> io::Result<Reply> {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    exchange(address, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

/// The server closes the connection after its answer: that is the end of it in HTTP/1.0.
fn exchange(address: &str, request: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Reply { status, body: body.to_owned() })
}

/// Takes webhooks on a loopback port, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// Starts to listen.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn listen() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let webhook = Self { url, bodies: Arc::default() };
        let bodies = Arc::clone(&webhook.bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who sends half a request sends it again.
                bodies.lock().unwrap().extend(take(stream).ok());
            }
        });
        webhook
    }

    /// Where to send to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What came so far.
    ///
    /// # Panics
    /// When a test panicked in here before.
    #[must_use]
    pub fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

/// Reads a request with a body of JSON, and thanks for it.
fn take(stream: TcpStream) -> io::Result<Value> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > "\r\n".len() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer)?;
    Ok(serde_json::from_slice(&body)?)
}

#[test]
fn what_is_posted_is_received() {
    let webhook = Webhook::listen();
    let address = webhook.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let body = serde_json::json!({"text": "Zürich"});
    assert_eq!(post(&address, "/", &body).unwrap().status, 200);
    assert_eq!(webhook.bodies(), [body]);
}
