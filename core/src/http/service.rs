//! A client for the user's own services (Grafana, Tempo, Loki, Prometheus). It sends one request at a time, without
//! retries or rate limits. An error status is a reply like any other, because the caller knows what it means.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use serde_json::Value;

use super::client::Credential;
use super::config::{Auth, SessionConfig};
use super::verdict::PlainDialect;
use super::{client, redact};
use crate::config::{HeaderValue as Configured, Resolve};
use crate::model::error::{Error, ErrorKind, Result};

/// The most time one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 32 << 20;

/// A service at an address, with one credential.
pub struct Service {
    name: &'static str,
    client: reqwest::Client,
    base: reqwest::Url,
    credential: Credential,
    headers: HeaderMap,
}

/// A service's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body as text, with secrets masked.
    pub body: String,
    /// The target of a redirect.
    pub location: Option<String>,
}

impl Reply {
    /// Whether the status is a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The service's message, on one line.
    pub fn message(&self) -> String {
        let json = self.json();
        let message = ["message", "error"].iter().find_map(|key| json.get(key)?.as_str());
        redact::excerpt(message.unwrap_or(&self.body))
    }
}

impl Service {
    /// A service called `name` at an address, which may have a path. Sends nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unusable address, CA file or secret.
    pub fn new(name: &'static str, url: &str, auth: Auth, ca_file: Option<&Path>) -> Result<Self> {
        let mut config = SessionConfig::new(url, auth, &[], PlainDialect);
        config.tls_ca_file = ca_file.map(Path::to_owned);
        config.timeout = TIMEOUT;
        let base = client::base(&config.base_url).map_err(|error| error.with("service", name))?;
        let credential = Credential::new(&config.auth).map_err(|error| error.with("service", name))?;
        Ok(Self { name, client: client::build(&config, &base)?, base, credential, headers: HeaderMap::new() })
    }

    /// Adds a header to every request. A value that was read from elsewhere is masked like a secret.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the value cannot be read or cannot be a header value.
    pub fn with_header(mut self, name: HeaderName, value: &Configured) -> Result<Self> {
        let text = value.resolve()?;
        let unfit = |_| Error::new(ErrorKind::Config, "a character that no HTTP header may hold").with("header", &name);
        let mut header = HeaderValue::from_str(text.expose()).map_err(unfit)?;
        header.set_sensitive(true);
        self.headers.insert(name, header);
        if matches!(value, Configured::Ref(_)) {
            self.credential.known.add(text.expose());
        }
        Ok(self)
    }

    /// The address.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is no answer. An error status is not an error here.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply> {
        let url = client::address(&self.base, path, query)?;
        self.exchange(self.client.get(url)).await
    }

    /// Sends JSON to `path`.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub async fn send(&self, method: Method, path: &str, headers: HeaderMap, body: &Value) -> Result<Reply> {
        let url = client::address(&self.base, path, &[])?;
        let request = self.client.request(method, url).headers(headers).header(CONTENT_TYPE, "application/json");
        self.exchange(request.body(body.to_string())).await
    }

    /// Sends a text of this type to `path`.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub async fn post_text(&self, path: &str, content_type: &'static str, body: String) -> Result<Reply> {
        let url = client::address(&self.base, path, &[])?;
        self.exchange(self.client.post(url).header(CONTENT_TYPE, content_type).body(body)).await
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply> {
        let request = request.headers(self.headers.clone());
        let request = match self.credential.header.clone() {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let location = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let location = location.map(|place| self.credential.known.mask(place).into_owned());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                let text = "the answer exceeds the size limit";
                return Err(Error::new(ErrorKind::Protocol, text).with("service", self.name));
            }
        }
        let body = String::from_utf8_lossy(&self.credential.known.mask_bytes(&body)).into_owned();
        Ok(Reply { status: response.status().as_u16(), body, location })
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let text = if error.is_timeout() { "no answer in time" } else { "reach the service" };
        Error::new(ErrorKind::Unavailable, format!("{text}: is it running there?"))
            .with("service", self.name)
            .with("url", self.url())
            .caused_by(error.without_url())
    }
}
