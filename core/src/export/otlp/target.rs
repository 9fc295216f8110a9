//! Where and how to send OTLP: the target, and the checks of its address and headers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::config::{OtlpConfig, Resolve};
use crate::http::redact::KnownSecrets;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::signal::{Protocol, Signal};

pub(super) const USER_AGENT: &str = concat!("contextcore/", env!("CARGO_PKG_VERSION"));

/// Where and how to send OTLP.
#[derive(Clone)]
pub struct OtlpTarget {
    /// `http://` or `https://`, without credentials, e.g. `http://127.0.0.1:4317`.
    pub url: String,
    pub protocol: Protocol,
    /// Headers of every request. The values may be secret and are never printed.
    pub headers: Vec<(String, String)>,
    /// A PEM file with a private CA to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest time for one request.
    pub timeout: Duration,
    /// Whether to compress requests.
    pub gzip: bool,
}

impl OtlpTarget {
    /// The target of `signal`, with its headers read now; `None` when the signal is not sent.
    ///
    /// # Errors
    /// As [`Resolve::resolve`].
    pub fn of(config: &OtlpConfig, signal: Signal) -> Result<Option<Self>> {
        let Some(target) = config.targets.get(&signal) else { return Ok(None) };
        let mut to = Self::new(target.url.clone(), target.protocol);
        for (name, value) in &config.headers {
            to.headers.push((name.clone(), value.resolve()?.expose().to_owned()));
        }
        to.ca_file.clone_from(&config.ca_file);
        Ok(Some(to))
    }

    /// A target without headers, private CA or compression, and with 30 s per request.
    pub fn new(url: impl Into<String>, protocol: Protocol) -> Self {
        let timeout = Duration::from_secs(30);
        Self { url: url.into(), protocol, headers: Vec::new(), ca_file: None, timeout, gzip: false }
    }
}

impl fmt::Debug for OtlpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("OtlpTarget")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish()
    }
}

/// The header values that a backend might quote in its answers, whole and without their scheme (`Basic`, `Bearer`).
pub(super) fn known_secrets(target: &OtlpTarget) -> KnownSecrets {
    let forms = |value: &str| [value.to_owned(), value.rsplit(' ').next().unwrap_or_default().to_owned()];
    KnownSecrets::new(target.headers.iter().flat_map(|(_, value)| forms(value.trim())))
}

/// Parses a target's URL, and rejects what would silently not work.
pub(super) fn parse_url(target: &OtlpTarget) -> Result<Uri> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("use the OTLP endpoint: {why}"));
    let url: Uri =
        target.url.trim().parse().map_err(|error: http::uri::InvalidUri| refuse("it is not a URL").caused_by(error))?;
    // The URL is named only once it is known to hold no credential.
    let authority =
        url.authority().ok_or_else(|| refuse("it needs a scheme and a host, e.g. http://127.0.0.1:4317"))?;
    if authority.as_str().contains('@') {
        return Err(refuse("credentials belong in `headers`, not in the URL"));
    }
    let named = |why: &str| refuse(why).with("url", &url);
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(named("its scheme must be http or https"));
    }
    if target.protocol == Protocol::Grpc && !matches!(url.path(), "" | "/") {
        return Err(named("gRPC has no path; with one, the protocol is http/protobuf"));
    }
    if url.query().is_some() {
        return Err(named("it must not have a query"));
    }
    Ok(url)
}

/// Parses the configured headers. Values are marked sensitive, so that no debug output shows them.
pub(super) fn parse_headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let refuse =
            |what: &str| Error::new(ErrorKind::Config, format!("use an OTLP header: {what}")).with("header", name);
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("its name is not a header name"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| refuse("its value has characters a header cannot hold"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}
