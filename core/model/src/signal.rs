//! The signals of OpenTelemetry and the protocols that carry them.

use std::fmt;

/// The three kinds of telemetry. Each is delivered independently.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

impl Signal {
    /// All of them, in the order in which they are exported.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The name in URLs, labels and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The OTLP transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Protocol {
    /// OTLP over gRPC, usually port 4317; the URL has no path.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP as protobuf over HTTP, usually port 4318 or a path of the backend.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}
