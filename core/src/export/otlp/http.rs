//! OTLP over HTTP with protobuf bodies.

use std::io::Write;
use std::time::Duration;

use ::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Uri};
use async_trait::async_trait;
use bytes::Bytes;

use super::answer::{self, Refusal, Verdict};
use super::batch::Batch;
use super::sink::{self, Outcome, Sink, outcome};
use super::target::{self, OtlpTarget};
use crate::clock;
use crate::http::redact::KnownSecrets;
use crate::http::tls;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::signal::Signal;
use crate::simulated;

/// The most bytes of an answer we read. A success is a few bytes, an error a sentence.
const MAX_ANSWER: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Sends one signal by HTTP.
pub(super) struct HttpSink {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    known: KnownSecrets,
    timeout: Duration,
    gzip: bool,
    signal: Signal,
}

impl HttpSink {
    /// A sink for `signal` under `url`.
    pub(super) fn new(target: &OtlpTarget, url: &Uri, configured: HeaderMap, signal: Signal) -> Result<Self> {
        Ok(Self {
            client: client(target, url)?,
            url: signal_url(url, signal),
            headers: headers(configured, target.gzip),
            known: target::known_secrets(target),
            timeout: target.timeout,
            gzip: target.gzip,
            signal,
        })
    }

    async fn send(&self, body: Bytes) -> Result<Outcome, Refusal> {
        let request = self.client.post(&self.url).headers(self.headers.clone()).timeout(self.timeout).body(body);
        let mut response = simulated::send(request).await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = read(&mut response).await.map_err(|error| self.broken(&error))?;
        if status.is_success() {
            return success(&headers, &body, &self.known);
        }
        let body = self.known.mask_bytes(&body);
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let mut refusal = answer::http(status.as_u16(), &body, header(RETRY_AFTER), clock::now());
        if let Some(place) = header(LOCATION).filter(|_| status.is_redirection()) {
            let place = self.known.mask(place);
            refusal.answer = answer::one_line(&format!("{} redirects to {place}", refusal.answer));
        }
        Err(refusal)
    }

    /// What a request without an answer means. Only a connection that was never made proves that nothing was stored.
    fn broken(&self, error: &reqwest::Error) -> Refusal {
        if error.is_timeout() && !error.is_connect() {
            return answer::timed_out(self.timeout);
        }
        // The error's own text repeats the URL.
        let cause = std::error::Error::source(error).unwrap_or(error);
        answer::no_answer(cause, !error.is_connect())
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        let body = encode(batch, self.gzip).map_err(|error| {
            Error::new(ErrorKind::Internal, "compress a batch").with("endpoint", &self.url).caused_by(error)
        })?;
        self.send(body).await.map_err(|refusal| refusal.into_error(self.signal, &self.url))
    }

    fn describe(&self) -> String {
        format!("otlp/http {}", self.url)
    }
}

/// The client for `url`. The caller limits the time of requests.
pub(super) fn client(target: &OtlpTarget, url: &Uri) -> Result<reqwest::Client> {
    let builder = tls::client_builder(target.ca_file.as_deref())?;
    // A redirect would turn the POST into a GET, so it is not followed, and stops the export.
    let builder = tls::suited_to(builder, url.scheme_str().unwrap_or_default(), url.host())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10).min(target.timeout));
    let refused = |error: reqwest::Error| {
        Error::new(ErrorKind::Config, "set up the OTLP client").with("url", url).caused_by(error)
    };
    builder.build().map_err(refused)
}

/// The address of one signal: `/v1/<signal>` after the base, unless the base already ends so.
fn signal_url(base: &Uri, signal: Signal) -> String {
    let base = base.to_string();
    let base = base.trim_end_matches('/');
    let path = format!("/v1/{}", signal.as_str());
    if base.ends_with(&path) { base.to_owned() } else { format!("{base}{path}") }
}

/// The configured headers and ours. Ours take precedence where the protocol depends on them.
pub(super) fn headers(mut headers: HeaderMap, gzip: bool) -> HeaderMap {
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(target::USER_AGENT));
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(ACCEPT, PROTOBUF);
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}

fn encode(batch: &Batch, gzip: bool) -> std::io::Result<Bytes> {
    let plain = batch.encode();
    if !gzip {
        return Ok(plain);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain)?;
    encoder.finish().map(Bytes::from)
}

async fn read(response: &mut reqwest::Response) -> reqwest::Result<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]);
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(body.into())
}

/// Reads a 2xx. Loki and Prometheus answer without a body; a web page means that this is not an OTLP endpoint.
fn success(headers: &HeaderMap, body: &Bytes, known: &KnownSecrets) -> Result<Outcome, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-protobuf") {
        return Ok(outcome(sink::partial(body.clone()), known));
    }
    if kind.starts_with("application/json") {
        return Ok(outcome(json_partial(body), known));
    }
    if kind.starts_with("text/html") {
        let answer = "a web page instead of an OTLP answer: check the address".to_owned();
        return Err(Refusal { verdict: Verdict::Stop, answer, after: None, ambiguous: false });
    }
    Ok(Outcome::Accepted)
}

/// `partialSuccess` of a JSON answer, which some backends send whatever was requested. 64-bit numbers are strings
/// there.
fn json_partial(body: &[u8]) -> Option<(i64, String)> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let rejected =
        ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"].iter().find_map(|name| partial.get(name));
    let rejected = rejected.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
    let reason = partial.get("errorMessage").and_then(|text| text.as_str()).unwrap_or_default();
    Some((rejected.unwrap_or(0), reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(kind: &'static str, body: &'static str) -> Result<Outcome, Refusal> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        success(&headers, &Bytes::from_static(body.as_bytes()), &KnownSecrets::new([]))
    }

    #[test]
    fn a_web_page_is_not_an_acceptance() {
        let refusal = answered("text/html; charset=utf-8", "<html>log in</html>").unwrap_err();
        assert_eq!(refusal.verdict, Verdict::Stop);
    }

    #[test]
    fn answers_without_a_body_or_in_json_are_read() {
        assert_eq!(success(&HeaderMap::new(), &Bytes::new(), &KnownSecrets::new([])).unwrap(), Outcome::Accepted);
        assert_eq!(answered("application/json", "{}").unwrap(), Outcome::Accepted);
        let partial = r#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too big"}}"#;
        let expected = Outcome::Partial { rejected: 3, reason: "too big".to_owned() };
        assert_eq!(answered("application/json", partial).unwrap(), expected);
    }

    #[test]
    fn the_path_of_the_signal_is_appended_once() {
        for (base, url) in [
            ("http://tempo:4318", "http://tempo:4318/v1/traces"),
            ("http://tempo:4318/", "http://tempo:4318/v1/traces"),
            ("https://host/otlp", "https://host/otlp/v1/traces"),
            ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
        ] {
            assert_eq!(signal_url(&Uri::from_static(base), Signal::Traces), url);
        }
    }
}
