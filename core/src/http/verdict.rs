//! What an answer means: the default reading of statuses, and the trait by which a connector adds its vendor's habits.
//!
//! Read [`Answer`] and [`Verdict`] first. Everything here is pure; the session acts on verdicts.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use super::quota::Quota;
use super::{limits, redact};
use crate::model::error::{Error, ErrorKind};
use crate::model::time::Millis;

/// One vendor's habits: limits in unusual places, errors in a 200. Core names no vendor, so connectors provide them.
///
/// - It sees every complete answer, whatever the status, before the default reading.
/// - It is pure: no I/O and no clock; [`Answer::now`] is the time.
/// - `None` leaves the answer to [`default_verdict`].
/// - Texts from the body that go into an [`Error`] pass through [`redact::excerpt`].
pub trait Dialect: Send + Sync {
    /// What this answer means, if it is special.
    fn verdict(&self, answer: &Answer<'_>) -> Option<Verdict>;

    /// The vendor's quotas in this answer. Requests are held back before a quota runs out.
    fn quotas(&self, _: &Answer<'_>) -> Vec<Quota> {
        Vec::new()
    }
}

/// The dialect without habits: every answer gets the default reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDialect;

impl Dialect for PlainDialect {
    fn verdict(&self, _: &Answer<'_>) -> Option<Verdict> {
        None
    }
}

/// An answer as a [`Dialect`] sees it. `Debug` shows neither headers nor body.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The media type without parameters (`application/json`), in its original case; empty when absent.
    pub content_type: &'a str,
    /// The first 64 KiB of the decoded body, with the session's own secrets masked. A larger body is cut.
    pub body: &'a [u8],
    /// The vendor's clock when it sent a `Date`, else ours. Reset times are compared with it.
    pub now: Millis,
}

impl<'a> Answer<'a> {
    /// An answer; the content type is taken from the headers.
    pub fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a [u8], now: Millis) -> Self {
        let content_type = limits::text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim_end();
        Self { status, headers, content_type, body, now }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        limits::text(self.headers, name)
    }

    /// The body as JSON, if it is JSON and not cut.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body).ok()
    }

    /// Whether the text is anywhere in the body: a cheap first look, before a large answer is parsed a second time.
    pub fn mentions(&self, text: &str) -> bool {
        memchr::memmem::find(self.body, text.as_bytes()).is_some()
    }

    /// Whether this is a web page: a login form, a proxy's error. Decided by the content type or the beginning of the
    /// body.
    pub fn is_html(&self) -> bool {
        let begins = self.body.trim_ascii_start();
        let tag = |tag: &str| begins.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag.as_bytes()));
        self.content_type.eq_ignore_ascii_case("text/html") || tag("<!doctype html") || tag("<html")
    }

    /// The vendor's error message, printable: from `errorMessages`, `errors`, `message` or `error` of a JSON body, or
    /// the title of a page.
    pub fn message(&self) -> Option<String> {
        let text = match self.json() {
            Some(value) => json_messages(&value).join("; "),
            None if self.is_html() => page_title(&String::from_utf8_lossy(self.body)).unwrap_or_default(),
            None => String::new(),
        };
        Some(redact::excerpt(&text)).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What to do with an answer.
#[derive(Debug)]
pub enum Verdict {
    /// Accept it as the requested data, whatever the status.
    Accept,
    /// Retry, after the requested time or with our own backoff.
    Retry {
        /// How long the vendor asked us to wait.
        after: Option<Duration>,
        /// What to pause.
        scope: Scope,
    },
    /// Fail without another try.
    Fail(Error),
}

/// What a limit applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Requests of the same bucket.
    Bucket,
    /// Every request of the session.
    All,
}

/// What an answer means by its status alone. A [`Dialect`] may call it to change only a detail.
pub fn default_verdict(answer: &Answer<'_>) -> Verdict {
    let fail = |kind, text| Verdict::Fail(Error::new(kind, with_message(text, answer)));
    match answer.status.as_u16() {
        200..=299 if answer.is_html() => fail(ErrorKind::Auth, "a login page came instead of data"),
        200..=299 => Verdict::Accept,
        300..=399 => fail(ErrorKind::Auth, "a redirect came instead of data, probably to a login page"),
        401 => fail(ErrorKind::Auth, "the credential was refused"),
        403 if captcha(answer) => {
            fail(ErrorKind::Auth, "the account is locked until a person solves the captcha in a browser")
        }
        403 => fail(ErrorKind::Permission, "the credential may not do this"),
        404 => fail(ErrorKind::NotFound, "not found, or hidden from this credential"),
        410 => fail(ErrorKind::Gone, "the endpoint was removed, an upgrade is needed"),
        408 | 425 | 429 | 500..=599 => Verdict::Retry { after: requested_wait(answer), scope: Scope::Bucket },
        _ => fail(ErrorKind::Rejected, "the request was refused"),
    }
}

/// Too many failed passwords, as the Seraph login filter reports it.
fn captcha(answer: &Answer<'_>) -> bool {
    answer.header("x-seraph-loginreason").is_some_and(|reason| reason.contains("AUTHENTICATION_DENIED"))
}

/// `Retry-After`; else for a 429 the reset, unless calls are left, because then another limit applies. Servers send the
/// reset with every answer, so on a 5xx it means nothing.
fn requested_wait(answer: &Answer<'_>) -> Option<Duration> {
    let reset = || {
        let spent = limits::remaining(answer.headers).unwrap_or(0) == 0;
        let counts = answer.status == StatusCode::TOO_MANY_REQUESTS && spent;
        let names = ["x-ratelimit-reset", "ratelimit-reset"];
        names.iter().filter(|_| counts).find_map(|name| limits::reset_after(answer.headers, name, answer.now))
    };
    limits::retry_after(answer.headers, answer.now).or_else(reset)
}

/// The error for an answer to be retried when the tries are used up. Whatever the status, only a 429 and a requested wait are
/// limits: all else is a failing server.
pub(super) fn spent(answer: &Answer<'_>, after: Option<Duration>) -> Error {
    let (kind, text) = match answer.status.as_u16() {
        408 | 425 | 500..=599 => (ErrorKind::Unavailable, "the server failed"),
        429 => (ErrorKind::RateLimited, "rate limited"),
        _ if after.is_none() => (ErrorKind::Unavailable, "the server failed"),
        _ => (ErrorKind::RateLimited, "rate limited"),
    };
    Error::new(kind, with_message(text, answer))
}

fn with_message(text: &str, answer: &Answer<'_>) -> String {
    answer.message().map_or_else(|| text.to_owned(), |message| format!("{text}: {message}"))
}

/// The messages of an error body, in the usual shapes: `errorMessages` with `errors` as a map, GraphQL's `errors` as a
/// list, or a single `message` or `error`.
fn json_messages(value: &Value) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    texts.extend(value["errorMessages"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    match &value["errors"] {
        Value::Object(fields) => texts.extend(fields.iter().map(|(field, text)| match text.as_str() {
            Some(text) => format!("{field}: {text}"),
            None => format!("{field}: {text}"),
        })),
        Value::Array(errors) => {
            texts.extend(
                errors.iter().filter_map(|error| error["message"].as_str().or(error.as_str())).map(str::to_owned),
            );
        }
        _ => {}
    }
    if texts.is_empty() {
        texts.extend(["message", "error"].iter().find_map(|key| value[*key].as_str()).map(str::to_owned));
    }
    texts.retain(|text| !text.is_empty());
    texts
}

fn page_title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(page[start..end].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_774_540_800_000); // 2026-03-26T16:00:00Z

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(parse).collect()
    }

    fn read(status: u16, pairs: &[(&str, &str)], body: &str) -> Verdict {
        default_verdict(&Answer::new(StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes(), NOW))
    }

    #[test]
    fn each_status_has_its_kind_and_is_never_retried() {
        use ErrorKind::{Auth, Gone, NotFound, Permission, Rejected};
        let table = [
            (301, Auth),
            (302, Auth),
            (400, Rejected),
            (401, Auth),
            (403, Permission),
            (404, NotFound),
            (405, Rejected),
            (409, Rejected),
            (410, Gone),
            (413, Rejected),
            (414, Rejected),
            (422, Rejected),
        ];
        for (status, kind) in table {
            let Verdict::Fail(error) = read(status, &[], "") else { panic!("{status} should fail") };
            assert_eq!((error.kind(), error.retry()), (kind, crate::Retry::Never), "{status}");
        }
    }

    #[test]
    fn transient_statuses_are_retried() {
        for status in [408, 425, 429, 500, 502, 503, 504, 522] {
            let verdict = read(status, &[], "");
            assert!(matches!(verdict, Verdict::Retry { after: None, scope: Scope::Bucket }), "{status}: {verdict:?}");
        }
        assert!(matches!(read(200, &[], "{}"), Verdict::Accept));
    }

    #[test]
    fn retry_after_takes_precedence_and_the_reset_counts_only_on_429() {
        let reset = ("X-RateLimit-Reset", "2026-03-26T16:01Z");
        type Case<'a> = (u16, &'a [(&'a str, &'a str)], Option<u64>);
        let cases: [Case<'_>; 7] = [
            (429, &[("Retry-After", "5"), reset], Some(5)),
            (429, &[reset], Some(60)),
            (429, &[reset, ("X-RateLimit-Remaining", "0")], Some(60)),
            (429, &[reset, ("X-RateLimit-Remaining", "800")], None),
            (429, &[("Retry-After", "0"), reset], Some(60)),
            (503, &[("Retry-After", "Thu, 26 Mar 2026 16:00:09 GMT")], Some(9)),
            (502, &[reset], None),
        ];
        for (status, pairs, want) in cases {
            let Verdict::Retry { after, .. } = read(status, pairs, "") else { panic!("{status} should retry") };
            assert_eq!(after.map(|wait| wait.as_secs()), want, "{status} {pairs:?}");
        }
    }

    #[test]
    fn a_web_page_is_an_auth_error() {
        let html = "<!DOCTYPE html><html><head><TITLE lang=en> Log in </TITLE></head></html>";
        for pairs in [&[("Content-Type", "text/html; charset=utf-8")][..], &[]] {
            let Verdict::Fail(error) = read(200, pairs, html) else { panic!("a page is not data") };
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Auth, "a login page came instead of data: Log in")
            );
        }
    }

    #[test]
    fn a_locked_account_says_what_to_do() {
        let Verdict::Fail(error) = read(403, &[("X-Seraph-LoginReason", "AUTHENTICATION_DENIED")], "") else {
            panic!()
        };
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.to_string().contains("captcha"), "{error}");
    }

    #[test]
    fn errors_quote_the_vendors_message() {
        let table = [
            (r#"{"errorMessages":["bad JQL"],"errors":{"jql":"no such field"}}"#, ": bad JQL; jql: no such field"),
            (r#"{"errors":[{"message":"unknown project"},"and more"]}"#, ": unknown project; and more"),
            (r#"{"code":400,"message":"nope"}"#, ": nope"),
            (r#"{"error":"invalid"}"#, ": invalid"),
            (r#"{"errorMessages":[]}"#, ""),
            ("<html><title>Bad gateway</title>", ": Bad gateway"),
            ("plain", ""),
        ];
        for (body, want) in table {
            let Verdict::Fail(error) = read(400, &[], body) else { panic!("{body}") };
            assert_eq!(error.to_string(), format!("the request was refused{want}"));
        }
    }

    #[test]
    fn debug_of_an_answer_shows_neither_headers_nor_body() {
        let headers = headers(&[("Set-Cookie", "session=s3cret"), ("Content-Type", "text/plain")]);
        let text = format!("{:?}", Answer::new(StatusCode::OK, &headers, b"s3cret", NOW));
        assert!(!text.contains("s3cret") && text.contains("text/plain"), "{text}");
    }
}
