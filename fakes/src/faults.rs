//! A script of faults for a fake, of whatever vendor: which requests, and what goes wrong with them.
//!
//! ```
//! use contextcore_fakes::faults::{Fault, Faults, When};
//!
//! let faults = Faults::default();
//! faults.on("POST */search/jql", When::Nth(2), Fault::rate_limited(Some(1)));
//! faults.on("*/changelog/*", When::Every(3), Fault::Reset);
//! assert_eq!(faults.fired(), 0);
//! ```

use crate::lock;
use crate::message::Reply;
use bytes::Bytes;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The script. Clones share it, so rules can be added while the fake runs.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Rule>,
    fired: usize,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    when: When,
    fault: Fault,
    seen: usize,
}

/// Which of the requests that match a pattern are hit, counted from 1 since the rule was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    Nth(usize),
    Range(RangeInclusive<usize>),
    /// Every so many: `Every(3)` hits the 3rd, the 6th and so on.
    Every(usize),
    /// From this one on.
    From(usize),
}

/// What goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// An answer of our own instead of the vendor's.
    Status { code: u16, headers: Vec<(String, String)>, body: String },
    /// 429 with an optional `Retry-After` in seconds, and the header that says when the limit resets.
    RateLimited { retry_after: Option<u64>, reset: Reset, reason: Option<String> },
    /// A gateway's HTML page.
    Html(u16),
    /// Silence for so long, then the connection drops.
    Timeout(Duration),
    /// The connection drops at once.
    Reset,
    /// The body breaks off after so many bytes: short of the announced length, or within a chunk.
    Truncate { bytes: usize, chunked: bool },
    /// 200 with something that is not JSON.
    NotJson,
    /// The page token of the request is given out again.
    RepeatToken,
    /// The answer an anonymous caller would get where those are let in: 200 and nothing in it.
    AnonymousEmpty,
    /// The right answer, but late.
    Delay(Duration),
    /// The right answer with its body changed.
    Rewrite(Arc<dyn Fn(&str) -> String + Send + Sync>),
    /// The right answer, then this: changes the world between two requests.
    After(Arc<dyn Fn() + Send + Sync>),
}

/// The form of the header that says when a rate limit resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// No such header.
    None,
    /// `X-RateLimit-Reset` as an ISO time with seconds, so many seconds from now.
    Iso(u64),
    /// The same without seconds (`2026-03-26T16:00Z`), as seen in the wild.
    IsoMinutes(u64),
    /// Epoch seconds.
    Epoch(u64),
}

/// Faults that only the vendor's own code can commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    RepeatToken,
    AnonymousEmpty,
}

impl Faults {
    /// Adds a rule. `pattern` is matched against the whole path without context path and query; `*` stands for anything.
    /// With a method in front (`POST */search/jql`) only that method counts. Of several rules due at once the first wins;
    /// every matching rule counts the request.
    pub fn on(&self, pattern: &str, when: When, fault: Fault) -> &Self {
        let pattern = pattern.to_owned();
        lock(&self.0).rules.push(Rule { pattern, when, fault, seen: 0 });
        self
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.0).rules.clear();
    }

    /// How many faults have been committed.
    pub fn fired(&self) -> usize {
        lock(&self.0).fired
    }

    /// Counts a request and gives the fault that is due.
    pub(crate) fn due(&self, method: &str, path: &str) -> Option<Fault> {
        let script = &mut *lock(&self.0);
        let mut due = None;
        for rule in script.rules.iter_mut().filter(|rule| rule.matches(method, path)) {
            rule.seen += 1;
            if due.is_none() && rule.when.hits(rule.seen) {
                due = Some(rule.fault.clone());
            }
        }
        script.fired += usize::from(due.is_some());
        due
    }
}

impl Rule {
    fn matches(&self, method: &str, path: &str) -> bool {
        match self.pattern.split_once(' ') {
            Some((wanted, pattern)) => wanted.eq_ignore_ascii_case(method) && glob(pattern, path),
            None => glob(&self.pattern, path),
        }
    }
}

impl When {
    fn hits(&self, count: usize) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(nth) => count == *nth,
            Self::Range(range) => range.contains(&count),
            Self::Every(step) => *step > 0 && count.is_multiple_of(*step),
            Self::From(first) => count >= *first,
        }
    }
}

impl Fault {
    /// A plain status with a JSON body.
    pub fn status(code: u16, body: &str) -> Self {
        Self::Status { code, headers: vec![], body: body.to_owned() }
    }

    /// 429, with or without `Retry-After`.
    pub fn rate_limited(retry_after: Option<u64>) -> Self {
        Self::RateLimited { retry_after, reset: Reset::None, reason: None }
    }

    /// The token stopped working.
    pub fn unauthorized() -> Self {
        Self::status(401, r#"{"message":"Client must be authenticated to access this resource.","status-code":401}"#)
    }

    /// Too many failed logins: a person must solve a captcha.
    pub fn forbidden() -> Self {
        let headers = vec![("X-Seraph-LoginReason".to_owned(), "AUTHENTICATION_DENIED".to_owned())];
        let body = r#"{"message":"Forbidden","status-code":403}"#.to_owned();
        Self::Status { code: 403, headers, body }
    }

    /// 503, with or without `Retry-After`.
    pub fn unavailable(retry_after: Option<u64>) -> Self {
        let headers = retry_after.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
        let body = r#"{"errorMessages":["The service is temporarily unavailable."],"errors":{}}"#.to_owned();
        Self::Status { code: 503, headers: headers.into_iter().collect(), body }
    }

    /// Runs `change` after the request has been answered.
    pub fn after(change: impl Fn() + Send + Sync + 'static) -> Self {
        Self::After(Arc::new(change))
    }

    /// The right answer with this done to its body.
    pub fn rewrite(change: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::Rewrite(Arc::new(change))
    }

    /// The answer of the faults that have one of their own.
    pub(crate) fn reply(self, now: i64) -> Reply {
        match self {
            Self::Status { code, headers, body } => Reply { headers, ..Reply::json(code, body) },
            Self::RateLimited { retry_after, reset, reason } => limited(retry_after, reset, reason, now),
            Self::Html(code) => Reply::html(code, &page(code)),
            Self::NotJson => {
                Reply::json(200, Bytes::from_static(b"<!DOCTYPE html><html><body>Please sign in</body></html>"))
            }
            // The others change a real answer; the server does that.
            _ => Reply::json(500, Bytes::new()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Status { code, .. } => return write!(f, "Status({code})"),
            Self::Html(code) => return write!(f, "Html({code})"),
            Self::RateLimited { retry_after, .. } => return write!(f, "RateLimited({retry_after:?})"),
            Self::Truncate { bytes, .. } => return write!(f, "Truncate({bytes})"),
            Self::Timeout(_) => "Timeout",
            Self::Reset => "Reset",
            Self::NotJson => "NotJson",
            Self::RepeatToken => "RepeatToken",
            Self::AnonymousEmpty => "AnonymousEmpty",
            Self::Delay(_) => "Delay",
            Self::Rewrite(_) => "Rewrite",
            Self::After(_) => "After",
        };
        f.write_str(name)
    }
}

fn limited(retry_after: Option<u64>, reset: Reset, reason: Option<String>, now: i64) -> Reply {
    let body = r#"{"errorMessages":["Rate limit exceeded."],"errors":{}}"#;
    let at = |seconds: u64| crate::world::timestamp(now + seconds as i64 * 1_000);
    let reset = match reset {
        Reset::None => None,
        Reset::Iso(seconds) => Some(at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        Reset::IsoMinutes(seconds) => Some(at(seconds).strftime("%Y-%m-%dT%H:%MZ").to_string()),
        Reset::Epoch(seconds) => Some(at(seconds).as_second().to_string()),
    };
    let headers = [
        ("Retry-After", retry_after.map(|seconds| seconds.to_string())),
        ("X-RateLimit-Limit", Some("350".to_owned())),
        ("X-RateLimit-Remaining", Some("0".to_owned())),
        ("X-RateLimit-Reset", reset),
        ("RateLimit-Reason", reason),
    ];
    let present = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Reply { headers: present.collect(), ..Reply::json(429, body) }
}

fn page(code: u16) -> String {
    let title = http::StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    format!(
        "<html>\r\n<head><title>{code} {title}</title></head>\r\n<body>\r\n<h1>{code} {title}</h1>\r\n</body>\r\n</html>\r\n"
    )
}

/// Whether the pattern fits the whole text; `*` stands for anything, `/` included.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    rest.is_empty() || ends.into_iter().any(|at| glob(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_whole_path() {
        assert!(glob("*/search/jql", "/rest/api/3/search/jql"));
        assert!(!glob("*/search", "/rest/api/3/search/jql"));
        assert!(glob("*/board/*/sprint", "/rest/agile/1.0/board/7/sprint"));
        assert!(glob("*", ""));
    }

    #[test]
    fn rules_count_their_own_matches() {
        let faults = Faults::default();
        faults.on("GET */a", When::Nth(2), Fault::Reset).on("*", When::Every(3), Fault::NotJson);
        let due: Vec<_> = ["/a", "/b", "/a", "/a", "/b", "/a"]
            .map(|path| faults.due("GET", path).map(|fault| format!("{fault:?}")))
            .into();
        let reset = Some("Reset".to_owned());
        assert_eq!(due, [None, None, reset, None, None, Some("NotJson".to_owned())]);
        assert_eq!(faults.fired(), 2);
        assert!(faults.due("POST", "/a").is_none());
    }

    #[test]
    fn a_rate_limit_says_when_it_ends() {
        let reset = Reset::IsoMinutes(90);
        let reply =
            Fault::RateLimited { retry_after: Some(7), reset, reason: Some("jira-burst-based".into()) }.reply(0);
        assert_eq!(reply.status, 429);
        let header = |name: &str| reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("Retry-After"), Some("7"));
        assert_eq!(header("X-RateLimit-Reset"), Some("1970-01-01T00:01Z"));
        assert_eq!(header("RateLimit-Reason"), Some("jira-burst-based"));
        let bare = Fault::rate_limited(None).reply(0);
        assert!(bare.headers.iter().all(|(name, _)| name != "Retry-After" && name != "X-RateLimit-Reset"));
    }
}
