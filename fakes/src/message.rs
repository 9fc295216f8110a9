//! Requests and answers as every fake sees them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};

/// A request and how it was answered: one line of a fake's log.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As sent, with the query.
    pub target: String,
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// The status answered; 0 when the connection was dropped without one.
    pub status: u16,
    /// When it came, by the fake's clock, in epoch milliseconds.
    pub at: i64,
}

impl Request {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A request on its way to a vendor.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: http::Method,
    /// Decoded segments, the configured prefix taken off.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `http://127.0.0.1:PORT/prefix`.
    pub(crate) base: Arc<str>,
}

impl Call {
    /// The first value of a query parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A vendor's answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "application/json;charset=UTF-8", headers: vec![], body: body.into() }
    }

    pub(crate) fn html(status: u16, body: &str) -> Self {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Self { status, content_type: "text/html;charset=UTF-8", headers: vec![], body }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
