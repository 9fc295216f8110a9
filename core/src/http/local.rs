//! A client for another contextcore process on this machine, through its Unix socket. Commands use it to read a store
//! that `serve` holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::http::tls;
use crate::model::error::{Error, ErrorKind, Result};

/// How long the program may stay silent. Reading a large store takes a while, but one that hangs must not hang its callers.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The longest address of a question. A server reads no longer one.
const LONGEST: usize = 60_000;

/// An error answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind of error.
    pub kind: ErrorKind,
    /// Its whole message.
    pub message: String,
}

/// A client for one Unix socket.
#[derive(Debug)]
pub struct Local {
    client: reqwest::Client,
    socket: PathBuf,
}

impl Local {
    /// A client for the process that listens on `socket`. Sends nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the client cannot be built.
    pub fn new(socket: &Path) -> Result<Self> {
        let builder =
            tls::client_builder(None)?.tls_certs_only([]).no_proxy().unix_socket(socket).read_timeout(TIMEOUT);
        let client = builder
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, "build a client for the socket").caused_by(error))?;
        Ok(Self { client, socket: socket.to_owned() })
    }

    /// Requests `path` with `query`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no process listens; else the error that the process returns.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T> {
        let answer = self.send(path, query).await?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.failed(error))?;
        read(status, &body)
    }

    /// Asks for `path` with `query`, and visits each line of the answer as it arrives.
    ///
    /// # Errors
    /// As [`Local::get`], and what `visit` returns.
    pub async fn lines<E: From<Error>>(
        &self,
        path: &str,
        query: &impl Serialize,
        mut visit: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut answer = self.accepted(path, query).await?;
        let mut partial = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(error))? {
            let mut rest = &chunk[..];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                partial.extend_from_slice(&rest[..end]);
                visit(&partial)?;
                partial.clear();
                rest = &rest[end + 1..];
            }
            partial.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Posts `body` to `path`.
    ///
    /// # Errors
    /// As [`Local::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let request = self.client.post(format!("http://contextcore{path}")).json(body);
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.failed(error))?;
        read(status, &body)
    }

    /// Requests `path`, and visits the bytes of the answer as they arrive.
    ///
    /// # Errors
    /// As [`Local::get`], and what `visit` returns.
    pub async fn bytes<E: From<Error>>(
        &self,
        path: &str,
        mut visit: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut answer = self.accepted(path, &()).await?;
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(error))? {
            visit(&chunk)?;
        }
        Ok(())
    }

    /// The answer to a request, if it is no error.
    async fn accepted(&self, path: &str, query: &impl Serialize) -> Result<reqwest::Response> {
        let answer = self.send(path, query).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|error| self.failed(error))?;
        let refused = read::<serde::de::IgnoredAny>(status, &body);
        refused.and(Err(
            Error::new(ErrorKind::Protocol, "understand the running contextcore").with("status", status.as_u16())
        ))
    }

    async fn send(&self, path: &str, query: &impl Serialize) -> Result<reqwest::Response> {
        let request = self.client.get(format!("http://contextcore{path}")).query(query);
        let request = request.build().map_err(|error| self.failed(error))?;
        if request.url().as_str().len() > LONGEST {
            return Err(too_long());
        }
        self.client.execute(request).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        let message = if error.is_connect() { "nobody answers on the socket" } else { "ask the running contextcore" };
        Error::new(ErrorKind::Unavailable, message).with("socket", self.socket.display()).caused_by(error)
    }
}

fn too_long() -> Error {
    Error::new(ErrorKind::Config, "ask the running contextcore: the question is too long; ask with fewer words")
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T> {
    let strange = |error: serde_json::Error| {
        let message = "read the answer of the running contextcore: is it another version?";
        Error::new(ErrorKind::Protocol, message).with("status", status.as_u16()).caused_by(error)
    };
    if status.is_success() {
        return serde_json::from_slice(body).map_err(strange);
    }
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG) {
        return Err(too_long());
    }
    let Refusal { kind, message } = serde_json::from_slice(body).map_err(strange)?;
    Err(Error::new(kind, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_is_too_long_says_so_whoever_listens() {
        let local = Local::new(Path::new("/nowhere/socket")).unwrap();
        let text = [("text", "é ".repeat(20_000))];
        let error = local.get::<()>("/v1/tasks", &text).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.full().contains("too long"), "{error}");
        let error = read::<()>(StatusCode::PAYLOAD_TOO_LARGE, b"length limit exceeded").unwrap_err();
        assert!(error.full().contains("too long"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_without_a_listener_is_unavailable_and_named() {
        let local = Local::new(Path::new("/no/such.sock")).unwrap();
        let error = local.get::<u8>("/v1/status", &[("a", "b")]).await.unwrap_err();
        assert_eq!((error.kind(), error.context("socket")), (ErrorKind::Unavailable, Some("/no/such.sock")));
    }

    #[test]
    fn an_error_answer_keeps_its_kind() {
        let body = serde_json::to_vec(&Refusal { kind: ErrorKind::NotFound, message: "no such task".into() }).unwrap();
        let error = read::<u8>(StatusCode::NOT_FOUND, &body).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, "no such task".to_owned()));
        assert_eq!(read::<u8>(StatusCode::OK, b"7").unwrap(), 7);
        assert_eq!(read::<u8>(StatusCode::BAD_GATEWAY, b"<html>").unwrap_err().kind(), ErrorKind::Protocol);
    }
}
