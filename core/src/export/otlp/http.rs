//! OTLP over HTTP with protobuf bodies.

use std::io::Write;
use std::time::Duration;

use ::http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT,
};
use ::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use async_trait::async_trait;
use bytes::Bytes;

use super::answer::{self, Refusal};
use super::batch::Batch;
use super::sink::{self, Outcome, Sink, outcome};
use super::target::{self, OtlpTarget};
use crate::clock;
use crate::http::redact::KnownSecrets;
use crate::http::tls;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::signal::{Protocol, Signal};
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
        let (body, is_whole) = read(&mut response).await.map_err(|error| self.broken(&error))?;
        if is_grpc(&headers) {
            return Err(answer::other_protocol(Protocol::Grpc));
        }
        if status.is_success() {
            return if is_whole {
                success(status, &headers, &body, &self.known)
            } else {
                Err(no_otlp("it is too large"))
            };
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
        if answer::speaks_grpc(&answer::texts(cause)) {
            return answer::other_protocol(Protocol::Grpc);
        }
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

/// The body, or its beginning, and whether it is whole.
async fn read(response: &mut reqwest::Response) -> reqwest::Result<(Bytes, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body.into(), false));
        }
    }
    Ok((body.into(), true))
}

/// Whether the other side answered in gRPC.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-status") || media_type(headers).starts_with("application/grpc")
}

/// The content type without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An answer that only looks like a success.
fn no_otlp(why: &str) -> Refusal {
    Refusal::stop(format!("the answer is not one of OTLP: {why}"))
}

/// Reads a 2xx. Accepted means an empty body, as from Loki and Prometheus, or a whole OTLP answer. Anything else comes from
/// something that is no OTLP endpoint, such as a login page in front of it.
fn success(status: StatusCode, headers: &HeaderMap, body: &Bytes, known: &KnownSecrets) -> Result<Outcome, Refusal> {
    if !matches!(status.as_u16(), 200 | 202 | 204) {
        return Err(no_otlp(&format!("HTTP {}", status.as_u16())));
    }
    let announced = headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if status == StatusCode::NO_CONTENT && (announced || headers.contains_key(TRANSFER_ENCODING)) {
        return Err(no_otlp("HTTP 204 with a body"));
    }
    let partial = match media_type(headers).as_str() {
        "text/html" => return Err(no_otlp("it is a web page")),
        _ if body.is_empty() => Some(None),
        "application/x-protobuf" | "application/protobuf" => sink::partial(body.clone()),
        "application/json" => json_partial(body),
        "" => return Err(no_otlp("it has no content type")),
        kind => return Err(no_otlp(&format!("its content type is {}", answer::one_line(kind)))),
    };
    partial.map(|partial| outcome(partial, known)).ok_or_else(|| no_otlp("its body cannot be decoded"))
}

/// `partialSuccess` of a JSON answer, which some backends send whatever was requested. 64-bit numbers are strings
/// there. `None` when it is no `Export*ServiceResponse`.
fn json_partial(body: &[u8]) -> Option<Option<(i64, String)>> {
    let answer: JsonAnswer = serde_json::from_slice(body).ok()?;
    let Some(partial) = answer.partial_success else { return Some(None) };
    let rejected = match partial.rejected.unwrap_or_default() {
        serde_json::Value::Null => Some(0),
        value => value.as_i64().or_else(|| value.as_str()?.parse().ok()),
    };
    Some(Some((rejected?, partial.error_message.unwrap_or_default())))
}

/// `Export*ServiceResponse` in JSON.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonAnswer {
    #[serde(rename = "partialSuccess", alias = "partial_success")]
    partial_success: Option<JsonPartial>,
}

/// `Export*PartialSuccess` in JSON.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonPartial {
    #[serde(rename = "rejectedSpans", alias = "rejectedLogRecords", alias = "rejectedDataPoints")]
    rejected: Option<serde_json::Value>,
    #[serde(rename = "errorMessage", alias = "error_message")]
    error_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use ::http::HeaderName;

    use super::*;
    use crate::export::otlp::answer::Verdict;

    fn read_as(status: u16, headers: &[(HeaderName, &'static str)], body: &[u8]) -> Result<Outcome, Refusal> {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let status = StatusCode::from_u16(status).unwrap();
        success(status, &pairs.collect(), &Bytes::copy_from_slice(body), &KnownSecrets::new([]))
    }

    fn answered(kind: &'static str, body: &str) -> Result<Outcome, Refusal> {
        read_as(200, &[(CONTENT_TYPE, kind)], body.as_bytes())
    }

    #[test]
    fn only_an_empty_or_an_otlp_answer_is_an_acceptance() {
        let protobuf = (CONTENT_TYPE, "application/x-protobuf");
        for status in [200, 202, 204] {
            assert_eq!(read_as(status, &[], b"").unwrap(), Outcome::Accepted, "{status}");
        }
        assert_eq!(read_as(200, std::slice::from_ref(&protobuf), b"").unwrap(), Outcome::Accepted);
        assert_eq!(
            read_as(200, &[(CONTENT_TYPE, "Application/X-Protobuf; q=1")], &[0x0a, 0]).unwrap(),
            Outcome::Accepted
        );
        type Case<'a> = (u16, &'a [(HeaderName, &'static str)], &'a [u8]);
        let others: [Case<'_>; 12] = [
            (200, &[(CONTENT_TYPE, "text/html; charset=utf-8")], b"<html>log in</html>"),
            (200, &[(CONTENT_TYPE, "text/html")], b""),
            (200, &[], b"<html>log in</html>"),
            (200, &[(CONTENT_TYPE, "text/plain")], b"ok"),
            (200, std::slice::from_ref(&protobuf), b"\xff\xffgarbage"),
            (200, std::slice::from_ref(&protobuf), b"plain text"),
            (200, &[(CONTENT_TYPE, "application/json")], br#"{"error":"log in first"}"#),
            (200, &[(CONTENT_TYPE, "application/json")], b"[]x"),
            (299, std::slice::from_ref(&protobuf), b""),
            (201, &[], b""),
            (204, &[(CONTENT_LENGTH, "12")], b""),
            (204, &[(TRANSFER_ENCODING, "chunked")], b""),
        ];
        for (status, headers, body) in others {
            let refusal = read_as(status, headers, body).unwrap_err();
            assert_eq!(refusal.verdict, Verdict::Stop, "{status} {headers:?} {}", body.escape_ascii());
        }
    }

    #[test]
    fn partial_success_is_read_from_json_too() {
        assert_eq!(answered("application/json", "{}").unwrap(), Outcome::Accepted);
        assert_eq!(answered("application/json", r#"{"partialSuccess": {}}"#).unwrap(), Outcome::Accepted);
        assert_eq!(answered("application/json", r#"{"partialSuccess": null}"#).unwrap(), Outcome::Accepted);
        let expected = Outcome::Partial { rejected: 3, reason: "too big".to_owned() };
        for name in ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"] {
            let partial = format!(r#"{{"partialSuccess": {{"{name}": "3", "errorMessage": "too big"}}}}"#);
            assert_eq!(answered("application/json", &partial).unwrap(), expected, "{name}");
        }
        assert!(answered("application/json", r#"{"partialSuccess": {"rejectedSpans": "many"}}"#).is_err());
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
