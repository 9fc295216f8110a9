//! One try of a call: sends it, reads the body up to the limit, decides what the answer means, parses it.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::debug;

use super::client::Credential;
use super::config::{Auth, SessionConfig};
use super::mend::mended;
use super::rate_limiter::{BucketLimiter, RateLimiter};
use super::stats::Meter;
use super::verdict::{Answer, Dialect, Scope, Verdict, default_verdict, spent};
use super::{client, limits, rate_limiter, redact, tls};
use crate::clock;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::printable;
use crate::simulated;

/// How much of a body a dialect sees.
const HEAD_BYTES: usize = 64 << 10;

/// A request that can be sent any number of times.
pub(super) struct Call {
    method: Method,
    url: Url,
    body: Option<Bytes>,
    /// Its price in points of the vendor's quota.
    points: u32,
    /// Broken values of the answer are read as nothing.
    mends: bool,
}

impl Call {
    pub(super) fn get(base: &Url, path: &str, query: &[(&str, &str)]) -> Result<Self> {
        Ok(Self { method: Method::GET, url: client::address(base, path, query)?, body: None, points: 0, mends: false })
    }

    pub(super) fn post(base: &Url, path: &str, body: &impl Serialize) -> Result<Self> {
        let unfit = |error| Error::new(ErrorKind::Internal, "write the request body").caused_by(error);
        let body = serde_json::to_vec(body).map_err(unfit)?;
        let url = client::address(base, path, &[])?;
        Ok(Self { method: Method::POST, url, body: Some(body.into()), points: 0, mends: false })
    }

    /// Sets the price.
    pub(super) fn priced(self, points: u32) -> Self {
        Self { points, ..self }
    }

    /// Has broken values of the answer read as nothing.
    pub(super) fn mended(self) -> Self {
        Self { mends: true, ..self }
    }

    /// The path. Logs and errors show no more of the address.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// The keys of the query. Its values may be secret.
    fn query_keys(&self) -> String {
        let keys: Vec<_> = self.url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        keys.join(",")
    }

    /// Adds the path to an error.
    pub(super) fn about(&self, error: Error) -> Error {
        if error.context("path").is_some() { error } else { error.with("path", self.path()) }
    }
}

/// Why a try returned no data.
pub(super) enum AttemptError {
    /// Another try cannot succeed.
    Final(Error),
    /// Another try may succeed.
    Again(Again),
}

/// A failure worth another try.
pub(super) struct Again {
    /// The error to return when the tries are used up.
    pub(super) error: Error,
    /// How long the vendor asked us to wait.
    pub(super) after: Option<Duration>,
    /// What else to pause besides this call.
    pub(super) scope: Option<Scope>,
    /// Whether the answer could not be read.
    pub(super) torn: bool,
    /// Whether the server could not be reached.
    pub(super) unreached: bool,
}

impl Again {
    /// What a person calls the failure.
    pub(super) fn reason(&self) -> String {
        let message = || printable::one_line(self.error.message()).into_owned();
        self.error.context("status").map_or_else(message, |status| format!("HTTP {status}"))
    }

    /// The error for a requested wait above the limit.
    pub(super) fn beyond_max_wait(self, asked: Duration, limit: Duration) -> Error {
        let error = rate_limiter::rate_limited(asked, limit);
        let error = match self.error.context("status") {
            Some(status) => error.with("status", status),
            None => error,
        };
        error.caused_by(self.error)
    }
}

impl From<Again> for AttemptError {
    fn from(again: Again) -> Self {
        Self::Again(again)
    }
}

/// The head of an answer and as much of its body as arrived.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Why the body ended early.
    torn: Option<reqwest::Error>,
}

/// Sends single requests, within the limits of the session.
pub(super) struct Transfer {
    client: Client,
    dialect: Arc<dyn Dialect>,
    credential: Mutex<Arc<Credential>>,
    pub(super) limiter: RateLimiter,
    pub(super) meter: Meter,
    /// Whether the server ever answered.
    reached: AtomicBool,
    /// When it last gave what was asked for.
    served: Mutex<Option<Instant>>,
    body_cap: usize,
}

impl Transfer {
    pub(super) fn new(config: &SessionConfig, base: &Url) -> Result<Self> {
        Ok(Self {
            client: client::build(config, base)?,
            dialect: Arc::clone(&config.dialect),
            credential: Mutex::new(Arc::new(Credential::new(&config.auth)?)),
            limiter: RateLimiter::new(config.buckets, config.in_flight, config.max_wait)?,
            meter: Meter::default(),
            reached: AtomicBool::new(false),
            served: Mutex::default(),
            body_cap: config.body_cap,
        })
    }

    /// Replaces the credential.
    pub(super) fn authorize(&self, auth: &Auth) -> Result<()> {
        let fresh = Arc::new(Credential::new(auth)?);
        *lock(&self.credential) = fresh;
        Ok(())
    }

    fn credential(&self) -> Arc<Credential> {
        lock(&self.credential).clone()
    }

    /// Whether the server ever answered.
    pub(super) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Whether the server gave what was asked for after this moment; without one, ever.
    pub(super) fn has_served_since(&self, moment: Option<Instant>) -> bool {
        lock(&self.served).is_some_and(|served| moment.is_none_or(|moment| served >= moment))
    }

    /// One try, from waiting for the limits to the parsed answer.
    pub(super) async fn attempt<T: DeserializeOwned>(
        &self,
        bucket: &BucketLimiter,
        call: &Call,
    ) -> Result<T, AttemptError> {
        let permit = self.limiter.admit(bucket, call.points, &self.meter).await.map_err(AttemptError::Final)?;
        let started = Instant::now();
        self.meter.request();
        let received = self.exchange(call).await;
        drop(permit);
        self.log(call, started.elapsed(), received.as_ref());
        let received = received?;
        self.reached.store(true, Ordering::Relaxed);
        self.record_headers(&received.headers);
        self.check_verdict(received.status, &received.headers, &received.body)?;
        *lock(&self.served) = Some(Instant::now());
        self.parse(received, call.mends)
    }

    async fn exchange(&self, call: &Call) -> Result<Received, AttemptError> {
        let mut request = self.client.request(call.method.clone(), call.url.clone());
        if let Some((name, value)) = &self.credential().header {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut response = simulated::send(request).await.map_err(|error| self.unreachable(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(announced.min(self.body_cap));
        let torn = match self.read(&mut response, &mut body).await {
            Ok(()) => None,
            Err(Torn::Broken(error)) => Some(error),
            Err(Torn::TooLarge) => return Err(AttemptError::Final(self.too_large(status))),
        };
        Ok(Received { status, headers, body, torn })
    }

    async fn read(&self, response: &mut Response, body: &mut Vec<u8>) -> Result<(), Torn> {
        while let Some(chunk) = response.chunk().await.map_err(Torn::Broken)? {
            self.meter.read(chunk.len());
            if body.len() + chunk.len() > self.body_cap {
                return Err(Torn::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Asks the dialect, then uses the default reading. The body is masked first, so that no message can quote a
    /// secret.
    fn check_verdict(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), AttemptError> {
        let head = self.credential().known.mask_bytes(&body[..body.len().min(HEAD_BYTES)]);
        let now = limits::server_time(headers).unwrap_or_else(clock::now);
        let answer = Answer::new(status, headers, &head, now);
        self.limiter.update_quotas(&self.dialect.quotas(&answer));
        match self.dialect.verdict(&answer).unwrap_or_else(|| default_verdict(&answer)) {
            Verdict::Accept => Ok(()),
            Verdict::Fail(error) => Err(AttemptError::Final(with_status(error, status))),
            Verdict::Retry { after, scope } => {
                // A failing server that does not say for how long holds back this call only, whatever the status it says so with.
                let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
                let mine = !limited && after.is_none() && scope == Scope::Bucket;
                let scope = if mine { None } else { Some(scope) };
                Err(Again {
                    error: with_status(spent(&answer, after), status),
                    after,
                    scope,
                    torn: false,
                    unreached: false,
                }
                .into())
            }
        }
    }

    fn parse<T: DeserializeOwned>(&self, received: Received, mends: bool) -> Result<T, AttemptError> {
        let status = received.status;
        if let Some(error) = received.torn {
            return Err(self.torn(error, status).into());
        }
        let body = if status == StatusCode::NO_CONTENT { b"null" } else { received.body.as_slice() };
        // The body is checked to be UTF-8 once, instead of string by string.
        let parsed = match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        };
        let parsed = match parsed {
            Err(error) if mends && error.is_syntax() => serde_json::from_str(&mended(body)).map_err(|_| error),
            parsed => parsed,
        };
        parsed.map_err(|error| match error.is_data() {
            true => AttemptError::Final(self.misshapen::<T>(&error, body, status)),
            false => self.damaged(&error, body, status).into(),
        })
    }

    /// JSON of an unexpected shape does not change with another request. It is parsed again to find the place.
    fn misshapen<T: DeserializeOwned>(&self, error: &serde_json::Error, body: &[u8], status: StatusCode) -> Error {
        let again: Result<T, _> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body));
        let place = again.err().map(|error| error.path().to_string()).unwrap_or_default();
        let text = format!("the answer has an unexpected shape: {}", self.printable(&error.to_string()));
        with_status(Error::new(ErrorKind::Protocol, text), status).with("at", self.printable(&place))
    }

    /// The answer is not JSON: it may have been damaged on the way.
    fn damaged(&self, error: &serde_json::Error, body: &[u8], status: StatusCode) -> Again {
        let text = format!("the answer is not JSON: {}", self.printable(&error.to_string()));
        let error = with_status(Error::new(ErrorKind::Protocol, text), status).with("bytes", body.len());
        Again { error, after: None, scope: None, torn: true, unreached: false }
    }

    /// A text from outside, short and without secrets.
    fn printable(&self, text: &str) -> String {
        redact::excerpt(&self.credential().known.mask(text))
    }

    fn torn(&self, error: reqwest::Error, status: StatusCode) -> Again {
        let (kind, text) = match error.is_timeout() {
            true => (ErrorKind::Unavailable, "the answer did not end in time"),
            false => (ErrorKind::Protocol, "the answer ended early"),
        };
        let error = with_status(Error::new(kind, text), status).caused_by(self.causes(error));
        Again { error, after: None, scope: None, torn: kind == ErrorKind::Protocol, unreached: false }
    }

    fn unreachable(&self, error: reqwest::Error) -> AttemptError {
        if error.is_builder() {
            return AttemptError::Final(
                Error::new(ErrorKind::Internal, "build the request").caused_by(self.causes(error)),
            );
        }
        if certificate_refused(&error) {
            let causes = self.causes(error);
            let text = tls::certificate_advice(&causes).unwrap_or("the server's certificate is refused");
            return AttemptError::Final(Error::new(ErrorKind::Config, text).caused_by(causes));
        }
        let text = match (error.is_timeout(), error.is_connect()) {
            (_, true) => "the server cannot be reached, check the address",
            (true, _) => "the server did not answer in time",
            _ => "the connection broke",
        };
        let unreached = error.is_connect();
        let error = Error::new(ErrorKind::Unavailable, text).caused_by(self.causes(error));
        Again { error, after: None, scope: None, torn: false, unreached }.into()
    }

    fn too_large(&self, status: StatusCode) -> Error {
        with_status(Error::new(ErrorKind::Protocol, "the answer exceeds the size limit"), status)
            .with("cap", self.body_cap)
    }

    /// The chain of causes, printable. The text of a reqwest error may contain the address with its query, so the
    /// address is removed.
    fn causes(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let mut texts = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            texts.push(error.to_string());
            cause = error.source();
        }
        self.printable(&texts.join(": "))
    }

    fn record_headers(&self, headers: &HeaderMap) {
        self.meter.remaining(limits::remaining(headers));
        if let Some(theirs) = limits::server_time(headers) {
            self.meter.clocks(theirs, clock::now());
        }
    }

    fn log(&self, call: &Call, elapsed: Duration, received: Result<&Received, &AttemptError>) {
        let (method, path, query) = (call.method.as_str(), call.path(), call.query_keys());
        let ms = elapsed.as_millis();
        match received {
            Ok(received) => {
                let (status, bytes) = (received.status.as_u16(), received.body.len());
                debug!(method, path, query, status, ms, bytes, "answered");
            }
            Err(AttemptError::Final(error) | AttemptError::Again(Again { error, .. })) => {
                debug!(method, path, query, ms, error = error.full(), "no answer");
            }
        }
    }
}

/// Why reading a body stopped.
enum Torn {
    Broken(reqwest::Error),
    TooLarge,
}

fn with_status(error: Error, status: StatusCode) -> Error {
    if error.context("status").is_some() { error } else { error.with("status", status.as_u16()) }
}

/// Whether TLS failed because of the server's certificate: retrying would only hide the reason.
fn certificate_refused(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // `io::Error::source` returns the source of the wrapped error and skips the wrapped error itself.
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_certificate_is_found_inside_io_errors() {
        let wrapped = |error| std::io::Error::other(std::io::Error::other(error));
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(certificate_refused(&wrapped(untrusted)));
        assert!(!certificate_refused(&wrapped(rustls::Error::DecryptError)));
    }

    #[test]
    fn a_call_shows_only_the_keys_of_its_query() {
        let base = client::base("https://a.example/x").unwrap();
        let call = Call::get(&base, "/y", &[("token", "s3cret"), ("n", "1")]).unwrap();
        assert_eq!((call.path(), call.query_keys().as_str()), ("/x/y", "token,n"));
    }
}
