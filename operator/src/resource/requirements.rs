//! What a service promises: `spec.requirements`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rule;
use super::terms::{Histogram, Profile, Window};

const PERCENT: &str = r"^\d{1,2}(\.\d{1,5})?$";
const DURATION: &str = r"^\d+(\.\d+)?(ms|s)$";
const THROUGHPUT: &str = r"^\d+(\.\d+)?(rps|rpm)$";
const PERCENTILES: [&str; 4] = ["latencyP50", "latencyP90", "latencyP95", "latencyP99"];

/// What the service promises. Each of availability, error rate and latencies becomes an objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Requirements {
    /// Share of requests that succeed, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = PERCENT), extend("example" = "99.95"))]
    pub availability: Option<String>,
    /// Share of requests that may fail, in percent; instead of availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = PERCENT), extend("example" = "0.05"))]
    pub error_rate: Option<String>,
    /// Half of the requests are answered within this time.
    #[serde(rename = "latencyP50", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = DURATION), extend("example" = "50ms"))]
    pub latency_p50: Option<String>,
    /// 90 % of the requests are answered within this time.
    #[serde(rename = "latencyP90", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = DURATION), extend("example" = "100ms"))]
    pub latency_p90: Option<String>,
    /// 95 % of the requests are answered within this time.
    #[serde(rename = "latencyP95", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = DURATION), extend("example" = "150ms"))]
    pub latency_p95: Option<String>,
    /// 99 % of the requests are answered within this time.
    #[serde(rename = "latencyP99", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = DURATION), extend("example" = "200ms"))]
    pub latency_p99: Option<String>,
    /// Traffic to expect. Less than half of it for half an hour makes a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = THROUGHPUT), extend("example" = "100rps"))]
    pub throughput: Option<String>,
    /// The period of the objectives.
    #[serde(default)]
    pub window: Window,
    /// How many requests must have failed before an alert. It keeps services with little traffic silent.
    #[serde(default = "min_bad_events")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_bad_events: u32,
    /// Where the numbers come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sli: Option<Sli>,
}

const fn min_bad_events() -> u32 {
    5
}

/// Where the numbers of objectives come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = sli_rules()))]
pub struct Sli {
    /// The instrumentation.
    #[serde(default)]
    pub profile: Profile,
    /// Label matchers in PromQL, such as `{service_name="checkout"}`. They replace those of the profile; matchers that only
    /// exclude, such as `{http_route!="/healthz"}`, are added to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("example" = "{http_route!=\"/healthz\"}"))]
    pub matchers: Option<String>,
    /// How Prometheus stores the durations.
    #[serde(default)]
    pub histogram: Histogram,
    /// PromQL: rate of failed requests over `{{window}}` (profile custom).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000), extend("example" = "sum(rate(failures_total[{{window}}]))"))]
    pub errors: Option<String>,
    /// PromQL: rate of all requests over `{{window}}` (profile custom).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000), extend("example" = "sum(rate(requests_total[{{window}}]))"))]
    pub total: Option<String>,
    /// PromQL: rate of the buckets (classic, by `le`) or of the histogram (native) of durations in seconds over `{{window}}`
    /// (profile custom).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000), extend("example" = "sum by (le) (rate(duration_seconds_bucket[{{window}}]))"))]
    pub latency: Option<String>,
}

fn rules() -> Vec<Value> {
    let mut rules = vec![
        rule(
            "!(has(self.availability) && has(self.errorRate))",
            "availability and errorRate are the same objective: write one of them",
        ),
        rule(
            "!has(self.throughput) || !self.throughput.matches('^0+([.]0+)?r')",
            "throughput must be above 0: write the traffic to expect, such as 100rps",
        ),
    ];
    for field in ["availability", "errorRate"] {
        rules.push(rule(
            &format!("!has(self.{field}) || (double(self.{field}) > 0.0 && double(self.{field}) < 100.0)"),
            &format!("{field} is a percentage between 0 and 100, both excluded: write one such as \"99.95\" (availability) or \"0.05\" (errorRate)"),
        ));
    }
    for field in PERCENTILES {
        rules.push(rule(
            &format!("!has(self.{field}) || (duration(self.{field}) > duration('0s') && duration(self.{field}) <= duration('60s'))"),
            &format!("{field} must be above 0 and at most 60s"),
        ));
    }
    for (at, low) in PERCENTILES.iter().enumerate() {
        for high in &PERCENTILES[at + 1..] {
            rules.push(rule(
                &format!("!has(self.{low}) || !has(self.{high}) || duration(self.{low}) <= duration(self.{high})"),
                &format!("{low} is above {high}: a higher percentile is never faster; swap or correct them"),
            ));
        }
    }
    rules
}

fn sli_rules() -> Vec<Value> {
    let mut rules = vec![
        rule(
            "self.profile == 'custom' ? has(self.total) : !(has(self.total) || has(self.errors) || has(self.latency))",
            "errors, total and latency belong to profile custom, and that needs `total`: write `profile: custom` with it, or leave all three out",
        ),
        rule(
            "self.profile != 'custom' || !has(self.matchers)",
            "matchers do not apply to profile custom: write them into errors, total and latency",
        ),
    ];
    for field in ["errors", "total", "latency"] {
        rules.push(rule(
            &format!("!has(self.{field}) || self.{field}.contains('{{{{window}}}}')"),
            &format!("{field} must contain {{{{window}}}}, which is replaced by each window, as in rate(requests_total[{{{{window}}}}])"),
        ));
    }
    rules
}
