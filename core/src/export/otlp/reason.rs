//! Why a backend permanently rejected items, as a small closed set: it labels `contextcore.export.rejected`
//! (`error.type`). The backend's message goes in, a [`Reason`] comes out; the message itself is in the dead letters.
//! Pure.

/// Why a backend permanently rejected items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Older than the backend accepts.
    TooOld,
    /// Older than the newest of its stream or series by more than the backend allows.
    OutOfOrder,
    /// Ahead of the backend's clock.
    TooNew,
    /// A message, trace, line or value above a size limit.
    TooLarge,
    /// More per time than the backend accepts.
    RateLimited,
    /// More streams, series or live traces than the backend keeps.
    LimitReached,
    /// Another value is already stored for that moment.
    Duplicate,
    /// The backend calls the items invalid, or a feature they need is off.
    Invalid,
    /// Anything else.
    Other,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::TooOld,
        Self::OutOfOrder,
        Self::TooNew,
        Self::TooLarge,
        Self::RateLimited,
        Self::LimitReached,
        Self::Duplicate,
        Self::Invalid,
        Self::Other,
    ];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::OutOfOrder => "out_of_order",
            Self::TooNew => "too_new",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::LimitReached => "limit_reached",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }

    /// The reason behind a backend's message, which includes the code.
    ///
    /// The messages are those that Tempo, Loki and Prometheus answered when tried, or that are in their sources;
    /// Mimir's are from its error catalogue.
    pub fn of(message: &str) -> Self {
        let message = message.to_ascii_lowercase().replace('-', " ");
        let named = PATTERNS.iter().find(|(_, needles)| needles.iter().any(|needle| message.contains(needle)));
        named.map_or_else(|| Self::of_code(&message), |(reason, _)| *reason)
    }

    /// Whether the message says that the items themselves are at fault, so that sending others helps and sending these again
    /// does not. What a proxy or an ill backend could also say of anything, such as "too large" or "invalid", does not count,
    /// and of a server error only what Prometheus says with one. A limit says nothing of the items: it can clear.
    pub fn names_items(message: &str) -> bool {
        let reason = Self::of(message);
        let message = message.to_ascii_lowercase();
        let contains = |needles: &[&str]| needles.iter().any(|needle| message.contains(needle));
        if SERVER_ERRORS.iter().any(|code| message.starts_with(code)) {
            return matches!(reason, Self::TooOld | Self::OutOfOrder) && contains(&["too old", "out of order"]);
        }
        match reason {
            Self::TooOld => !message.contains("out of bounds") || contains(SAMPLE_OUT_OF_BOUNDS),
            Self::OutOfOrder | Self::TooNew | Self::Duplicate => true,
            Self::TooLarge => contains(ITEM_TOO_LARGE),
            Self::RateLimited | Self::LimitReached | Self::Invalid | Self::Other => false,
        }
    }

    /// Whether the message is about a limit: the same items are accepted once there is room, or after the limit was raised.
    pub fn can_clear(message: &str) -> bool {
        matches!(Self::of(message), Self::RateLimited | Self::LimitReached)
    }

    /// The reason for a code without a known message.
    fn of_code(message: &str) -> Self {
        let wrong = ["http 400", "http 422", "grpc invalid_argument", "grpc failed_precondition"];
        if wrong.iter().any(|code| message.starts_with(code)) { Self::Invalid } else { Self::Other }
    }
}

/// Parts of messages, in lower case and with spaces for hyphens. The first match counts: Loki's "too far behind" also
/// names the oldest timestamp it accepts.
const PATTERNS: &[(Reason, &[&str])] = &[
    (
        Reason::RateLimited,
        &["rate limit", "rate_limited", "too many requests", "max ingestion rate", "max request rate"],
    ),
    (Reason::OutOfOrder, &["too far behind", "out of order"]),
    (Reason::TooOld, &["too old", "out of bounds"]),
    (Reason::TooNew, &["too new", "too far in future", "too far in the future"]),
    (Reason::Duplicate, &["duplicate sample", "duplicate timestamp"]),
    (
        Reason::LimitReached,
        &["live_traces", "live traces", "stream limit", "series limit", "max series", "max active series"],
    ),
    (
        Reason::TooLarge,
        &[
            "too_large",
            "too large",
            "larger than max",
            "max size of trace",
            "max entry size",
            "line size",
            "line too long",
            "value too long",
            "name too long",
        ],
    ),
    (Reason::Invalid, &["structured metadata", "invalid", "disallowed"]),
];

/// How messages of servers begin that failed themselves, in lower case.
const SERVER_ERRORS: &[&str] = &["http 5", "grpc internal", "grpc unknown"];

/// Prometheus says no more than this. A program that failed names what was out of bounds, such as an index.
const SAMPLE_OUT_OF_BOUNDS: &[&str] = &[": out of bounds", "sample out of bounds", "timestamp out of bounds"];

/// Parts of messages about one trace, line or value that is too large, in lower case.
const ITEM_TOO_LARGE: &[&str] = &[
    "trace_too_large",
    "trace too large",
    "trace is too large",
    "max size of trace",
    "max entry size",
    "line size",
    "line too long",
    "value too long",
    "name too long",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of the backends, as seen or from their sources.
    const REFUSALS: &[(Reason, &str)] = &[
        (
            Reason::TooOld,
            "HTTP 400: entry for stream '{service_name=\"contextcore\"}' has timestamp too old: 2026-01-01T00:00:00Z, oldest \
             acceptable timestamp is: 2026-11-15T00:00:00Z",
        ),
        (
            Reason::OutOfOrder,
            "HTTP 400: entry with timestamp 2026-11-22 07:33:30 ignored, reason: 'entry too far behind, entry timestamp is: \
             2026-11-22T07:33:30Z, oldest acceptable timestamp is: 2026-11-22T08:33:30Z'",
        ),
        (Reason::TooNew, "HTTP 400: entry for stream '{}' has timestamp too new: 2026-11-22T20:00:00Z"),
        (Reason::Invalid, "HTTP 400: stream '{}' includes structured metadata, but this feature is disallowed"),
        (Reason::TooLarge, "HTTP 400: Max entry size '262144' bytes exceeded for stream '{}'"),
        (Reason::LimitReached, "HTTP 429: Maximum active stream limit exceeded, reduce the number of active streams"),
        (Reason::RateLimited, "HTTP 429: Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest"),
        (Reason::TooOld, "HTTP 400: out of bounds"),
        (Reason::TooOld, "HTTP 500: too old sample"),
        (Reason::OutOfOrder, "HTTP 400: out of order sample"),
        (Reason::Duplicate, "HTTP 400: duplicate sample for timestamp"),
        (Reason::TooOld, "HTTP 400: the sample has been rejected (err-mimir-sample-timestamp-too-old)"),
        (Reason::OutOfOrder, "HTTP 400: the sample has been rejected (err-mimir-sample-out-of-order)"),
        (Reason::Duplicate, "HTTP 400: err-mimir-sample-duplicate-timestamp"),
        (
            Reason::TooNew,
            "HTTP 400: received a sample whose timestamp is too far in the future (err-mimir-too-far-in-future)",
        ),
        (Reason::LimitReached, "HTTP 400: per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)"),
        (Reason::RateLimited, "HTTP 429: the request has been rejected (err-mimir-tenant-max-ingestion-rate)"),
        (Reason::TooLarge, "gRPC RESOURCE_EXHAUSTED: received message larger than max (5700049 vs. 4194304)"),
        (Reason::TooLarge, "HTTP 400: http: request body too large"),
        (Reason::TooLarge, "TRACE_TOO_LARGE: max size of trace (5000000) exceeded while adding 288 bytes"),
        (Reason::LimitReached, "LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant single-tenant: 10000"),
        (
            Reason::RateLimited,
            "gRPC RESOURCE_EXHAUSTED: RATE_LIMITED: ingestion rate limit (local: 30000000 bytes/s, global: 0 bytes/s) exceeded",
        ),
        (Reason::Invalid, "HTTP 400: trace ids must be 128 bit"),
        (Reason::Invalid, "gRPC INVALID_ARGUMENT: trace ids must be 128 bit"),
        (Reason::Other, "gRPC INTERNAL: context canceled"),
        (Reason::Other, "HTTP 500: internal server error"),
        (Reason::Other, "some were not to our taste"),
        (Reason::Other, ""),
    ];

    #[test]
    fn messages_of_backends_have_their_reasons() {
        for (reason, message) in REFUSALS {
            assert_eq!(Reason::of(message), *reason, "{message}");
        }
        assert!(Reason::ALL.iter().all(|reason| REFUSALS.iter().any(|(named, _)| named == reason)));
    }

    #[test]
    fn only_messages_about_the_items_themselves_name_them() {
        for message in [
            "HTTP 400: entry for stream has timestamp too old",
            "HTTP 500: too old sample",
            "HTTP 400: duplicate sample for timestamp",
            "gRPC RESOURCE_EXHAUSTED: TRACE_TOO_LARGE: max size of trace (5000000) exceeded",
            "HTTP 400: Max entry size '262144' bytes exceeded for stream",
            "HTTP 400: out of bounds",
            "HTTP 400: err-mimir-sample-duplicate-timestamp",
            "HTTP 500: out of order sample",
            "gRPC INTERNAL: too old sample",
        ] {
            assert!(Reason::names_items(message), "{message}");
        }
        for message in [
            "HTTP 500: internal server error",
            "HTTP 400: Bad Request",
            "HTTP 400: Request Header Or Cookie Too Large",
            "HTTP 413: Request Entity Too Large",
            "gRPC INVALID_ARGUMENT: invalid tenant",
            "HTTP 400: includes structured metadata, but this feature is disallowed",
            "HTTP 429: too many requests",
            "HTTP 500: duplicate key value violates unique constraint \"tokens_pkey\"",
            "HTTP 500: duplicate sample for timestamp",
            "HTTP 500: index out of bounds",
            "HTTP 500: out of bounds",
            "HTTP 502: timestamp too new",
            "HTTP 503: Max entry size '262144' bytes exceeded for stream",
            "gRPC INTERNAL: runtime error: index out of bounds",
            "gRPC UNKNOWN: duplicate sample for timestamp",
            "HTTP 400: index out of bounds",
            "HTTP 400: duplicate key value violates unique constraint",
        ] {
            assert!(!Reason::names_items(message), "{message}");
        }
        for message in LIMITS {
            assert!(!Reason::names_items(message), "{message}");
        }
    }

    #[test]
    fn only_limits_can_clear() {
        for message in LIMITS {
            assert!(Reason::can_clear(message), "{message}");
        }
        for (reason, message) in REFUSALS {
            let is_limit = matches!(reason, Reason::RateLimited | Reason::LimitReached);
            assert_eq!(Reason::can_clear(message), is_limit, "{message}");
        }
    }

    /// What backends answer that are full or busy, with codes that a server in front may have changed.
    const LIMITS: [&str; 8] = [
        "HTTP 500: max active series",
        "HTTP 400: per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)",
        "HTTP 400: the metric has too many series: per-metric series limit of 20000 exceeded (err-mimir-max-series-per-metric)",
        "HTTP 400: Maximum active stream limit exceeded, reduce the number of active streams",
        "HTTP 400: the request has been rejected (err-mimir-tenant-max-ingestion-rate)",
        "gRPC FAILED_PRECONDITION: LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant single-tenant: 10000",
        "gRPC RESOURCE_EXHAUSTED: LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant single-tenant: 10000",
        "HTTP 429: Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest",
    ];
}
