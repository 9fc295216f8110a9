//! What a backend's answer means: codes and texts in, a [`Verdict`] out. Pure.
//!
//! The tables follow the OTLP specification (<https://opentelemetry.io/docs/specs/otlp/#failures>) and, where backends
//! differ, what was measured: Prometheus answers 500 to a sample that is too old, Loki 400 to a batch of which it
//! stored the good lines, Tempo's receiver RESOURCE_EXHAUSTED to a message that is too large. [`Refusal`] carries a
//! verdict into the crate's [`Error`]; [`Verdict::of`] reads it back.

use std::error::Error as StdError;
use std::time::Duration;

use prost::Message;
use tonic::Code;

use super::reason::Reason;
use crate::http::limits::parse_retry_after;
use crate::http::tls;
use crate::model::error::{Error, ErrorKind, Retry};
use crate::model::signal::{Protocol, Signal};
use crate::model::time::Millis;

/// What to do with a batch that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send the same again later.
    Retry,
    /// Send the same again a few times, then in parts. Some backends report permanent failures this way.
    RetryBounded,
    /// Send it in two halves: the request is too large.
    Split,
    /// Permanently refused: as a whole when the answer names the items, else the part that stays refused while the backend
    /// takes others.
    DeadLetter,
    /// Stop, so that nothing is lost: our address or credential is wrong, not the items.
    Stop,
}

impl Verdict {
    const ALL: [Self; 5] = [Self::Retry, Self::RetryBounded, Self::Split, Self::DeadLetter, Self::Stop];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::RetryBounded => "retry_bounded",
            Self::Split => "split",
            Self::DeadLetter => "dead_letter",
            Self::Stop => "stop",
        }
    }

    /// The verdict in an error of a sink. Without one, the error's [`Retry`] decides.
    pub(super) fn of(error: &Error) -> Self {
        let named = error.context("verdict").and_then(|name| Self::ALL.into_iter().find(|v| v.as_str() == name));
        named.unwrap_or(if error.retry() == Retry::Never { Self::Stop } else { Self::Retry })
    }
}

/// A request that was not accepted, before it becomes an [`Error`].
#[derive(Debug)]
pub(super) struct Refusal {
    /// What to do about it.
    pub(super) verdict: Verdict,
    /// The answer for people: code and text, on one line.
    pub(super) answer: String,
    /// How long the backend asked us to wait.
    pub(super) after: Option<Duration>,
    /// Whether the backend may have stored the items anyway.
    pub(super) ambiguous: bool,
    /// Whether the answer is ours and says what to do: it is the message then.
    pub(super) is_advice: bool,
}

impl Refusal {
    /// A refusal that stops the export, with what to do about it.
    pub(super) fn stop(answer: impl Into<String>) -> Self {
        Self { verdict: Verdict::Stop, answer: answer.into(), after: None, ambiguous: false, is_advice: false }
    }

    /// Converts it to the crate's error: kind [`ErrorKind::Export`], with `endpoint` and `answer`, and for programs
    /// `verdict` and, if so, `ambiguous`.
    pub(super) fn into_error(self, signal: Signal, endpoint: &str) -> Error {
        let retry = match (self.verdict, self.after) {
            (Verdict::Retry | Verdict::RetryBounded, Some(after)) => Retry::After(after),
            (Verdict::Retry | Verdict::RetryBounded, None) => Retry::Backoff,
            _ => Retry::Never,
        };
        let what_to_do = match self.verdict {
            Verdict::Stop => {
                ": the backend rejected the request, check the address and the headers under `export.otlp`"
            }
            _ => "",
        };
        let what_to_do = if self.is_advice { format!(": {}", self.answer) } else { what_to_do.to_owned() };
        let error = Error::new(ErrorKind::Export, format!("export {}{what_to_do}", signal.as_str()))
            .with_retry(retry)
            .with("endpoint", endpoint)
            .tagged("verdict", self.verdict.as_str());
        let is_said = self.is_advice;
        let error = if is_said { error.tagged("answer", self.answer) } else { error.with("answer", self.answer) };
        if self.ambiguous { error.tagged("ambiguous", true) } else { error }
    }
}

/// What a gRPC status of the server means.
pub(super) fn grpc(code: Code, text: &str, details: &[u8]) -> Refusal {
    let after = retry_delay(details);
    let answer = format!("gRPC {}: {}", grpc_name(code), one_line(text));
    Refusal {
        verdict: grpc_verdict(code, text, after),
        answer,
        after,
        ambiguous: grpc_ambiguous(code),
        is_advice: false,
    }
}

fn grpc_verdict(code: Code, text: &str, after: Option<Duration>) -> Verdict {
    match code {
        Code::ResourceExhausted | Code::OutOfRange if is_too_large(text) => Verdict::Split,
        // Without RetryInfo the specification calls it permanent. But quotas and limits clear, and lost data does not
        // come back.
        Code::ResourceExhausted if after.is_some() => Verdict::Retry,
        _ if mentions_items(code) && Reason::can_clear(text) => Verdict::Retry,
        Code::ResourceExhausted | Code::Internal | Code::Unknown => Verdict::RetryBounded,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => Verdict::Retry,
        Code::OutOfRange | Code::DataLoss => Verdict::Retry,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists => Verdict::DeadLetter,
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFound | Code::Unimplemented | Code::Ok => {
            Verdict::Stop
        }
    }
}

/// Whether a code may be about what was sent, and not about the address or the credential.
const fn mentions_items(code: Code) -> bool {
    use Code::{AlreadyExists, FailedPrecondition, Internal, InvalidArgument, ResourceExhausted, Unknown};
    matches!(code, ResourceExhausted | FailedPrecondition | InvalidArgument | AlreadyExists | Internal | Unknown)
}

/// Whether something behind the server may have stored the items although it reports a failure.
const fn grpc_ambiguous(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, Unknown};
    matches!(code, DeadlineExceeded | Cancelled | Aborted | DataLoss | Internal | Unknown)
}

/// What an HTTP status other than a success means. `body` is a protobuf `google.rpc.Status`, as OTLP requires, or any
/// text; `retry_after` is the header of that name.
pub(super) fn http(status: u16, body: &[u8], retry_after: Option<&str>, now: Millis) -> Refusal {
    let decoded = RpcStatus::decode(body).ok().filter(|status| !status.message.is_empty());
    let text = decoded.as_ref().map_or_else(|| String::from_utf8_lossy(body).into_owned(), |s| s.message.clone());
    let after = retry_after.and_then(|value| parse_retry_after(value, now)).or_else(|| decoded?.retry_delay());
    let answer = format!("HTTP {status}: {}", one_line(&text)).trim_end_matches(": ").to_owned();
    Refusal {
        verdict: http_verdict(status, &text),
        answer,
        after,
        ambiguous: matches!(status, 408 | 500 | 502 | 504..),
        is_advice: false,
    }
}

fn http_verdict(status: u16, text: &str) -> Verdict {
    match status {
        413 => Verdict::Split,
        400 if is_too_large(text) => Verdict::Split,
        408 | 425 | 429 | 502 | 503 | 504 => Verdict::Retry,
        // Nothing about the items: the credential, the address, the headers, the contract with the vendor.
        401..=407 | 410 | 411 | 414 | 415 | 426 | 431 | 451 | 501 | 505 | 511 => Verdict::Stop,
        // Whatever the code, a limit clears or is raised.
        400.. if Reason::can_clear(text) => Verdict::Retry,
        500.. => Verdict::RetryBounded,
        400.. => Verdict::DeadLetter,
        // A redirect or an informational answer: this is not an OTLP endpoint.
        _ => Verdict::Stop,
    }
}

/// What a request without an answer means. `sent` is false only when the connection was never made, which proves that
/// nothing was stored. An untrusted certificate is a configuration error: waiting does not fix it.
pub(super) fn no_answer(cause: &(dyn StdError + 'static), sent: bool) -> Refusal {
    let what = if sent { "the connection broke" } else { "no connection" };
    let causes = texts(cause);
    let what = tls::certificate_advice(&causes).unwrap_or(what);
    let answer = one_line(&format!("{what}: {causes}"));
    // The prefix of all certificate errors of rustls. The `io::Error` around them hides the type from the chain.
    let untrusted = answer.contains("invalid peer certificate");
    let verdict = if untrusted { Verdict::Stop } else { Verdict::Retry };
    Refusal { verdict, answer, after: None, ambiguous: sent && !untrusted, is_advice: false }
}

/// The port speaks `spoken` and not the configured protocol: the commonest first mistake.
pub(super) fn other_protocol(spoken: Protocol) -> Refusal {
    let advice = match spoken {
        Protocol::HttpProtobuf => {
            "this port speaks HTTP: set `protocol: http/protobuf` (usually port 4318), or use the gRPC port (usually 4317)"
        }
        Protocol::Grpc => {
            "this port speaks gRPC: set `protocol: grpc` (usually port 4317), or use the HTTP port (usually 4318)"
        }
    };
    Refusal { is_advice: true, ..Refusal::stop(advice) }
}

/// Whether a gRPC call failed because the other side speaks HTTP: an answer in HTTP/1 is a frame of an impossible size,
/// TLS did not agree on HTTP/2, or a web server answered in HTTP/2 that there is no such page.
pub(super) fn speaks_http(texts: &str) -> bool {
    const NO_SUCH_PAGE: [&str; 5] = ["400", "404", "405", "415", "505"];
    let mapped = texts.split_once("mapped from HTTP status code ").map(|(_, code)| code.trim_start());
    let is_page = mapped.is_some_and(|code| NO_SUCH_PAGE.iter().any(|page| code.starts_with(page)));
    is_page || ["frame with invalid size", "HTTP/2 was not negotiated"].iter().any(|text| texts.contains(text))
}

/// Whether an HTTP request failed because the other side speaks gRPC: its HTTP/2 frames are no answer in HTTP/1.
pub(super) fn speaks_grpc(texts: &str) -> bool {
    texts.contains("invalid HTTP ") && texts.contains(" parsed")
}

/// The texts of an error and of its causes.
pub(super) fn texts(cause: &(dyn StdError + 'static)) -> String {
    let mut causes: Vec<String> = chain(cause).map(ToString::to_string).collect();
    causes.dedup();
    causes.join(": ")
}

/// No answer in time; the request may have arrived.
pub(super) fn timed_out(after: Duration) -> Refusal {
    Refusal {
        verdict: Verdict::Retry,
        answer: format!("no answer within {after:?}"),
        after: None,
        ambiguous: true,
        is_advice: false,
    }
}

/// An error and its chain of causes.
pub(super) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The setting to look at when a backend rejects items of `signal` with `text`.
///
/// The texts are those of Loki, Prometheus 2.42 and Tempo, as measured; Mimir's are from its error catalogue.
pub fn hint(signal: Signal, text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let fits = |(of, needle, _): &&(Signal, &str, &str)| *of == signal && text.contains(needle);
    HINTS.iter().find(fits).map(|(_, _, hint)| *hint)
}

/// The signal, a part of the rejection (lower case), and the setting behind it. The first match counts.
const HINTS: &[(Signal, &str, &str)] = &[
    (
        Signal::Logs,
        "timestamp too old",
        "Loki: set limits_config.reject_old_samples: false (or a longer reject_old_samples_max_age)",
    ),
    (Signal::Logs, "too far behind", LOKI_WINDOW),
    (Signal::Logs, "out of order", LOKI_WINDOW),
    (
        Signal::Logs,
        "timestamp too new",
        "the clocks disagree: Loki takes nothing further ahead than limits_config.creation_grace_period",
    ),
    (
        Signal::Logs,
        "structured metadata",
        "Loki: set limits_config.allow_structured_metadata: true, with schema v13 and the tsdb index",
    ),
    (Signal::Logs, "line size", "Loki: raise limits_config.max_line_size"),
    (Signal::Logs, "stream limit", "Loki: raise limits_config.max_global_streams_per_user"),
    (Signal::Metrics, "err-mimir-sample-timestamp-too-old", MIMIR_WINDOW),
    (Signal::Metrics, "err-mimir-sample-out-of-order", MIMIR_WINDOW),
    (
        Signal::Metrics,
        "too old",
        "Prometheus: storage.tsdb.out_of_order_time_window does not reach that far back (before version 3 the answer is 500): raise it above export.history (10080h covers 400 days)",
    ),
    (Signal::Metrics, "per-metric series limit", "Mimir: raise limits.max_global_series_per_metric"),
    (Signal::Metrics, "series limit", "Mimir: raise limits.max_global_series_per_user"),
    (Signal::Metrics, "max active series", "Mimir: raise limits.max_global_series_per_user"),
    (Signal::Metrics, "out of bounds", PROMETHEUS_WINDOW),
    (Signal::Metrics, "out of order", PROMETHEUS_WINDOW),
    (
        Signal::Metrics,
        "duplicate sample",
        "another value was already stored for that moment: was the history exported before with other settings?",
    ),
    (Signal::Traces, "too large", "Tempo: raise overrides.defaults.global.max_bytes_per_trace"),
    (Signal::Traces, "live_traces", "Tempo: raise overrides.defaults.ingestion.max_traces_per_user"),
    (Signal::Traces, "live traces", "Tempo: raise overrides.defaults.ingestion.max_traces_per_user"),
    (Signal::Traces, "rate limit", "Tempo: raise overrides.defaults.ingestion.rate_limit_bytes"),
];
const LOKI_WINDOW: &str = "Loki: a stream takes lines up to half of ingester.max_chunk_age behind its newest; 20160h allows the 400 days of export.history";
const PROMETHEUS_WINDOW: &str =
    "Prometheus: set storage.tsdb.out_of_order_time_window above export.history (10080h covers 400 days)";
const MIMIR_WINDOW: &str = "Mimir: set limits.out_of_order_time_window above export.history (10080h covers 400 days)";

/// Go's gRPC reports "received message larger than max", Rust's "decoded message length too large", Tempo over HTTP
/// "request body too large".
fn is_too_large(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["message larger than max", "message length too large", "body too large"].iter().any(|part| text.contains(part))
}

/// The longest text of a backend we quote, in characters.
const MAX_TEXT: usize = 300;

/// `text` on one line, without control characters, cut at [`MAX_TEXT`].
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn grpc_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The delay in the `google.rpc.RetryInfo` of an encoded `google.rpc.Status`.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    RpcStatus::decode(details).ok()?.retry_delay()
}

/// The fields we read of `google.rpc.Status` (googleapis `google/rpc/status.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo` (`google/rpc/error_details.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RpcStatus {
    fn retry_delay(&self) -> Option<Duration> {
        let info = self.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
        let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
        let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
        Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos)).filter(|delay| !delay.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_have_the_verdicts_of_the_contract() {
        use Verdict::{DeadLetter, Retry, RetryBounded, Split, Stop};
        let table = [
            (Stop, &[301, 302, 304, 401, 402, 403, 404, 405, 407, 410, 415, 426, 431, 501, 511][..]),
            (Retry, &[408, 425, 429, 502, 503, 504]),
            (RetryBounded, &[500, 507, 520, 599]),
            (DeadLetter, &[400, 409, 422]),
            (Split, &[413]),
        ];
        for (verdict, statuses) in table {
            for status in statuses {
                assert_eq!(http(*status, b"text", None, Millis(0)).verdict, verdict, "{status}");
            }
        }
        // Tempo, to 48 MB (measured).
        assert_eq!(http(400, b"http: request body too large", None, Millis(0)).verdict, Split);
    }

    #[test]
    fn grpc_codes_have_the_verdicts_of_the_contract() {
        use Verdict::{DeadLetter, Retry, RetryBounded, Split, Stop};
        let table = [
            (Retry, &[Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::Cancelled, Code::DataLoss][..]),
            (RetryBounded, &[Code::Internal, Code::Unknown, Code::ResourceExhausted]),
            (DeadLetter, &[Code::InvalidArgument, Code::FailedPrecondition, Code::AlreadyExists]),
            (Stop, &[Code::Unauthenticated, Code::PermissionDenied, Code::NotFound, Code::Unimplemented]),
        ];
        for (verdict, codes) in table {
            for code in codes {
                assert_eq!(grpc(*code, "text", &[]).verdict, verdict, "{code:?}");
            }
        }
        let exhausted = |text| grpc(Code::ResourceExhausted, text, &[]).verdict;
        assert_eq!(exhausted("received message larger than max (5700049 vs. 4194304)"), Split);
        assert_eq!(exhausted("RATE_LIMITED: ingestion rate limit (local: 30000000 bytes/s)"), Retry);
        let tonic = "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
        assert_eq!(grpc(Code::OutOfRange, tonic, &[]).verdict, Split);
    }

    #[test]
    fn failures_are_ambiguous_unless_nothing_can_have_been_stored() {
        for (status, ambiguous) in [(429, false), (503, false), (400, false), (500, true), (502, true), (504, true)] {
            assert_eq!(http(status, b"", None, Millis(0)).ambiguous, ambiguous, "{status}");
        }
        for (code, ambiguous) in [
            (Code::Unavailable, false),
            (Code::ResourceExhausted, false),
            (Code::DeadlineExceeded, true),
            (Code::Cancelled, true),
        ] {
            assert_eq!(grpc(code, "", &[]).ambiguous, ambiguous, "{code:?}");
        }
    }

    /// An encoded `google.rpc.Status` with a `RetryInfo` of this delay.
    fn retry_info(seconds: i64, nanos: i32) -> Vec<u8> {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
        RpcStatus { message: "slow".to_owned(), details: vec![any] }.encode_to_vec()
    }

    #[test]
    fn absurd_delays_in_a_retry_info_are_read_without_overflow() {
        let after = |seconds, nanos| grpc(Code::Unavailable, "slow", &retry_info(seconds, nanos)).after;
        assert_eq!(after(i64::MAX, i32::MAX).map(|wait| wait.as_secs()), Some(i64::MAX.unsigned_abs()));
        assert_eq!(after(2, i32::MAX), Some(Duration::new(2, 999_999_999)));
        assert_eq!(after(2, -1), Some(Duration::from_secs(2)));
        assert_eq!((after(i64::MIN, i32::MIN), after(-1, 5), after(0, 0)), (None, None, None));
        assert_eq!(grpc(Code::Unavailable, "slow", b"\xff\xff garbage").after, None);
    }

    #[test]
    fn the_wrong_protocol_is_recognised_by_what_each_side_makes_of_the_other() {
        for text in [
            "transport error: http2 error: connection error detected: frame with invalid size",
            "HTTP/2 was not negotiated.",
            "grpc-status header missing, mapped from HTTP status code 404",
        ] {
            assert!(speaks_http(text), "{text}");
        }
        for text in ["tcp connect error", "grpc-status header missing, mapped from HTTP status code 503", "reset"] {
            assert!(!speaks_http(text), "{text}");
        }
        assert!(speaks_grpc("error sending request: invalid HTTP version parsed"));
        assert!(!speaks_grpc("connection closed before message completed"));
        let error = other_protocol(Protocol::HttpProtobuf).into_error(Signal::Logs, "http://host:4318");
        assert_eq!(
            error.full(),
            "export logs: this port speaks HTTP: set `protocol: http/protobuf` (usually port 4318), or use the gRPC port \
             (usually 4317) (endpoint=http://host:4318)",
            "what to do is the message, and the only advice"
        );
        assert!(error.context("answer").is_some_and(|answer| answer.starts_with("this port speaks HTTP")));
    }

    #[test]
    fn a_retry_info_of_another_encoder_is_read() {
        // google.rpc.Status{code: 8, message: "slow", details: [RetryInfo{retry_delay: 5.5 s}]}, spelled out by hand.
        let mut bytes = vec![0x08, 8, 0x12, 4];
        bytes.extend(b"slow");
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let retry_info = [0x0a, 8, 0x08, 5, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        bytes.extend([
            0x1a,
            u8::try_from(url.len() + retry_info.len() + 4).unwrap(),
            0x0a,
            u8::try_from(url.len()).unwrap(),
        ]);
        bytes.extend(url);
        bytes.extend([0x12, u8::try_from(retry_info.len()).unwrap()]);
        bytes.extend(retry_info);
        let refusal = grpc(Code::ResourceExhausted, "slow", &bytes);
        assert_eq!((refusal.verdict, refusal.after), (Verdict::Retry, Some(Duration::from_millis(5_500))));
        // The same as a body of HTTP 429, where the header takes precedence.
        let refusal = http(429, &bytes, None, Millis(0));
        assert_eq!((refusal.answer.as_str(), refusal.after), ("HTTP 429: slow", Some(Duration::from_millis(5_500))));
        assert_eq!(http(429, &bytes, Some("7"), Millis(0)).after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Millis::parse("2026-11-22T10:00:00Z").unwrap();
        let after = |value| http(503, b"", Some(value), now).after;
        assert_eq!(after("5"), Some(Duration::from_secs(5)));
        assert_eq!(after("Sun, 22 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sun, 22 Nov 2026 09:00:00 GMT"), None, "a time that is past asks for nothing");
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn backend_texts_become_one_short_line() {
        let long = format!("first\n\tsecond \u{1b}[31m{}", "é".repeat(1_000));
        let line = http(500, long.as_bytes(), None, Millis(0)).answer;
        assert!(line.starts_with("HTTP 500: first second [31mé"), "{line}");
        assert!(line.ends_with('…') && line.chars().count() <= MAX_TEXT + "HTTP 500: …".len(), "{line}");
        assert_eq!(http(503, b"", None, Millis(0)).answer, "HTTP 503");
    }

    #[test]
    fn hints_name_the_setting_behind_measured_rejections() {
        let table = [
            (Signal::Logs, "entry for stream has timestamp too old", "reject_old_samples"),
            (Signal::Logs, "entry too far behind, entry timestamp is", "max_chunk_age"),
            (Signal::Metrics, "HTTP 400: out of bounds", "out_of_order_time_window"),
            (Signal::Metrics, "HTTP 500: too old sample", "out_of_order_time_window"),
            (Signal::Metrics, "err-mimir-sample-timestamp-too-old", "Mimir"),
            (Signal::Traces, "TRACE_TOO_LARGE: trace is too large", "max_bytes_per_trace"),
        ];
        for (signal, text, setting) in table {
            assert!(hint(signal, text).is_some_and(|hint| hint.contains(setting)), "{text}");
        }
        assert_eq!(hint(Signal::Traces, "timestamp too old"), None);
    }

    #[test]
    fn a_verdict_survives_the_error_that_carries_it() {
        for verdict in Verdict::ALL {
            let refusal = Refusal { verdict, answer: String::new(), after: None, ambiguous: true, is_advice: false };
            let error = refusal.into_error(Signal::Logs, "http://host");
            assert_eq!(Verdict::of(&error), verdict);
            assert!(!error.full().contains("verdict") && !error.full().contains("ambiguous"), "{}", error.full());
        }
        let foreign = Error::new(ErrorKind::Export, "write a file");
        assert_eq!(Verdict::of(&foreign), Verdict::Stop);
        assert_eq!(Verdict::of(&foreign.with_retry(Retry::Backoff)), Verdict::Retry);
    }
}
