//! Asks the three servers, each in its own language, and reads what they answer.
//!
//! [`Tempo`] speaks TraceQL, [`Loki`] LogQL, [`Prometheus`] PromQL. Times are epoch milliseconds.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use prost::Message;
use serde_json::Value;

/// A half-open interval that a query is about, in epoch milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// A client for requests to this machine.
#[expect(clippy::disallowed_methods, reason = "the tests ask servers on loopback, without the product's own client")]
pub(crate) fn client() -> Result<reqwest::Client> {
    // Somebody else may have installed one: any does, there is no TLS on loopback.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(60)).build()?)
}

pub(crate) async fn get(client: &reqwest::Client, url: &str, query: &[(&str, String)]) -> Result<String> {
    let answer = client.get(url).query(query).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url} {query:?}: {status} {text}");
    Ok(text)
}

async fn get_json(client: &reqwest::Client, url: &str, query: &[(&str, String)]) -> Result<Value> {
    let text = get(client, url, query).await?;
    serde_json::from_str(&text).with_context(|| format!("{url} answers no JSON: {text}"))
}

/// Asks with the parameters in the body, as Grafana asks Prometheus: a query that names hundreds of projects fits no URL.
async fn post_json(client: &reqwest::Client, url: &str, query: &[(&str, String)]) -> Result<Value> {
    let form = reqwest::Url::parse_with_params(url, query)?.query().unwrap_or_default().to_owned();
    let asked = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = asked.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url} {query:?}: {status} {text}");
    serde_json::from_str(&text).with_context(|| format!("{url} answers no JSON: {text}"))
}

pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as text; empty when there is none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Sums a counter over all its series on a `/metrics` page; one that was never counted is 0.
fn counter(page: &str, name: &str) -> f64 {
    let series = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A span as Tempo finds it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// 16 hex digits.
    pub(crate) span_id: String,
    /// Only in an answer by id; empty for a root.
    pub(crate) parent_id: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The name of the root of its trace. Only in a search answer.
    pub(crate) root_name: String,
}

impl Span {
    /// An attribute; empty when it has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Tempo's query API.
pub(crate) struct Tempo {
    client: reqwest::Client,
    base: String,
}

impl Tempo {
    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    pub(crate) fn new(client: reqwest::Client, base: String) -> Self {
        Self { client, base }
    }

    /// Every span that a TraceQL query selects in a range.
    pub(crate) async fn search(&self, query: &str, range: Range) -> Result<Vec<Span>> {
        self.search_limited(query, range, 100_000).await
    }

    /// The same, from at most `limit` traces.
    pub(crate) async fn search_limited(&self, query: &str, range: Range, limit: usize) -> Result<Vec<Span>> {
        self.search_as(query, range, limit, 100_000).await
    }

    /// The same, and at most `spans` spans of a trace.
    pub(crate) async fn search_as(&self, query: &str, range: Range, limit: usize, spans: usize) -> Result<Vec<Span>> {
        let parameters = [
            ("q", query.to_owned()),
            ("start", range.from.div_euclid(1_000).to_string()),
            ("end", (range.to.div_euclid(1_000) + 1).to_string()),
            ("limit", limit.to_string()),
            ("spss", spans.to_string()),
        ];
        let answer = get_json(&self.client, &format!("{}/api/search", self.base), &parameters).await?;
        Ok(items(&answer["traces"]).iter().flat_map(found).collect())
    }

    /// The value of each series of a TraceQL metrics query over a whole range, by the value of its one label.
    pub(crate) async fn metric(&self, query: &str, range: Range) -> Result<BTreeMap<String, f64>> {
        let parameters = [
            ("q", query.to_owned()),
            ("start", range.from.div_euclid(1_000).to_string()),
            ("end", (range.to.div_euclid(1_000) + 1).to_string()),
        ];
        let answer = get_json(&self.client, &format!("{}/api/metrics/query", self.base), &parameters).await?;
        let series = items(&answer["series"]).iter();
        Ok(series
            .map(|series| {
                let label = items(&series["labels"]).first().map(|label| any_value(&label["value"]));
                (label.unwrap_or_default(), series["value"].as_f64().unwrap_or(0.0))
            })
            .collect())
    }

    /// A TraceQL metrics query every `step` seconds.
    pub(crate) async fn metric_range(&self, query: &str, range: Range, step: i64) -> Result<Vec<Sample>> {
        let parameters = [
            ("q", query.to_owned()),
            ("start", range.from.div_euclid(1_000).to_string()),
            ("end", range.to.div_euclid(1_000).to_string()),
            ("step", format!("{step}s")),
        ];
        let answer = get_json(&self.client, &format!("{}/api/metrics/query_range", self.base), &parameters).await?;
        let one = |series: &Value| {
            let labels = attributes(&series["labels"]);
            let points = items(&series["samples"]).iter();
            let sample = |point: &Value| Sample {
                labels: labels.clone(),
                at: nanos(&point["timestampMs"]),
                value: point["value"].as_f64().unwrap_or(0.0),
            };
            points.map(sample).collect::<Vec<_>>()
        };
        Ok(items(&answer["series"]).iter().flat_map(one).collect())
    }

    /// Every span of a trace.
    pub(crate) async fn trace(&self, trace_id: &str) -> Result<Vec<Span>> {
        let answer = get_json(&self.client, &format!("{}/api/v2/traces/{trace_id}", self.base), &[]).await?;
        let resources = items(&answer["trace"]["resourceSpans"]).iter();
        let scopes = resources.flat_map(|resource| items(&resource["scopeSpans"]));
        Ok(scopes.flat_map(|scope| items(&scope["spans"])).map(whole).collect())
    }

    /// Cuts what is in memory into a block, at once.
    pub(crate) async fn flush(&self) -> Result<()> {
        get(&self.client, &format!("{}/flush", self.base), &[]).await.map(drop)
    }

    /// One of Tempo's own counters.
    pub(crate) async fn counter(&self, name: &str) -> Result<f64> {
        Ok(counter(&get(&self.client, &format!("{}/metrics", self.base), &[]).await?, name))
    }
}

/// The spans of one trace in a search answer. What a group was made `by` counts as an attribute of its spans.
fn found(trace: &Value) -> Vec<Span> {
    let root_name = text(&trace["rootTraceName"]);
    let one = |span: &Value, group: &BTreeMap<String, String>| {
        let start = nanos(&span["startTimeUnixNano"]);
        let mut all = group.clone();
        all.extend(attributes(&span["attributes"]));
        Span {
            span_id: format!("{:0>16}", text(&span["spanID"])),
            start: start / 1_000_000,
            end: (start + nanos(&span["durationNanos"])) / 1_000_000,
            attributes: all,
            root_name: root_name.clone(),
            parent_id: String::new(),
        }
    };
    let sets = items(&trace["spanSets"]).iter();
    let spans = sets.flat_map(|set| {
        let group = attributes(&set["attributes"]);
        items(&set["spans"]).iter().map(|span| one(span, &group)).collect::<Vec<_>>()
    });
    spans.collect()
}

/// A span in an answer by id.
fn whole(span: &Value) -> Span {
    Span {
        span_id: hex(&span["spanId"]),
        parent_id: hex(&span["parentSpanId"]),
        start: nanos(&span["startTimeUnixNano"]) / 1_000_000,
        end: nanos(&span["endTimeUnixNano"]) / 1_000_000,
        attributes: attributes(&span["attributes"]),
        root_name: String::new(),
    }
}

pub(crate) fn attributes(list: &Value) -> BTreeMap<String, String> {
    items(list).iter().map(|one| (text(&one["key"]), any_value(&one["value"]))).collect()
}

/// A value of any type as text.
fn any_value(value: &Value) -> String {
    value.as_object().and_then(|typed| typed.values().next()).map(text).unwrap_or_default()
}

pub(crate) fn nanos(value: &Value) -> i64 {
    text(value).parse().unwrap_or(0)
}

/// Ids come in base64 in JSON by id.
fn hex(id: &Value) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text(id)).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value with its labels, at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) at: i64,
    pub(crate) value: f64,
}

impl Sample {
    /// A label; empty when it has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Samples of an answer in the form that Prometheus and Loki share.
fn samples(answer: &Value) -> Vec<Sample> {
    let series = items(&answer["data"]["result"]).iter();
    series
        .flat_map(|series| {
            let labels: BTreeMap<String, String> = series["metric"]
                .as_object()
                .map(|labels| labels.iter().map(|(name, value)| (name.clone(), text(value))).collect())
                .unwrap_or_default();
            let single = series.get("value").into_iter();
            let all: Vec<&Value> = single.chain(items(&series["values"])).collect();
            all.into_iter().map(move |pair| Sample {
                labels: labels.clone(),
                at: (pair[0].as_f64().unwrap_or(0.0) * 1_000.0).round() as i64,
                value: text(&pair[1]).parse().unwrap_or(f64::NAN),
            })
        })
        .collect()
}

/// Epoch milliseconds as seconds with a fraction, exactly.
fn seconds(at: i64) -> String {
    format!("{}.{:03}", at.div_euclid(1_000), at.rem_euclid(1_000))
}

/// Loki's query API.
pub(crate) struct Loki {
    client: reqwest::Client,
    base: String,
}

impl Loki {
    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    pub(crate) fn new(client: reqwest::Client, base: String) -> Self {
        Self { client, base }
    }

    /// A LogQL query that gives numbers, at one moment.
    pub(crate) async fn instant(&self, query: &str, at: i64) -> Result<Vec<Sample>> {
        let parameters = [("query", query.to_owned()), ("time", format!("{at}000000"))];
        Ok(samples(&get_json(&self.client, &format!("{}/loki/api/v1/query", self.base), &parameters).await?))
    }

    /// The lines that a LogQL query selects, newest first.
    pub(crate) async fn lines(&self, query: &str, range: Range) -> Result<Vec<Line>> {
        Ok(self.range(query, range, 3_600, 5_000).await?.0)
    }

    /// At most `limit` lines of a LogQL query, newest first, or, if it gives numbers, those at every `step` seconds.
    pub(crate) async fn range(
        &self,
        query: &str,
        range: Range,
        step: i64,
        limit: usize,
    ) -> Result<(Vec<Line>, Vec<Sample>)> {
        let parameters = [
            ("query", query.to_owned()),
            ("start", format!("{}000000", range.from)),
            ("end", format!("{}000000", range.to)),
            ("step", format!("{step}s")),
            ("limit", limit.to_string()),
        ];
        let answer = get_json(&self.client, &format!("{}/loki/api/v1/query_range", self.base), &parameters).await?;
        match answer["data"]["resultType"].as_str() {
            Some("streams") => Ok((items(&answer["data"]["result"]).iter().flat_map(lines_of).collect(), Vec::new())),
            _ => Ok((Vec::new(), samples(&answer))),
        }
    }

    /// One of Loki's own counters.
    pub(crate) async fn counter(&self, name: &str) -> Result<f64> {
        Ok(counter(&get(&self.client, &format!("{}/metrics", self.base), &[]).await?, name))
    }
}

/// The lines of one stream.
fn lines_of(stream: &Value) -> Vec<Line> {
    let labels = stream["stream"].as_object().into_iter().flatten();
    let labels: BTreeMap<String, String> = labels.map(|(name, value)| (name.clone(), text(value))).collect();
    let line = |pair: &Value| Line { at: nanos(&pair[0]) / 1_000_000, labels: labels.clone(), text: text(&pair[1]) };
    items(&stream["values"]).iter().map(line).collect()
}

/// A log record.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: i64,
    /// Labels and structured metadata.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) text: String,
}

/// Prometheus's query API.
pub(crate) struct Prometheus {
    client: reqwest::Client,
    base: String,
}

impl Prometheus {
    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    pub(crate) fn new(client: reqwest::Client, base: String) -> Self {
        Self { client, base }
    }

    /// Gives it a sample of now.
    pub(crate) async fn send_now(&self) -> Result<()> {
        let time_unix_nano = contextcore_core::clock::now().as_nanos();
        let point = NumberDataPoint { time_unix_nano, ..NumberDataPoint::default() };
        let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
        let metrics = vec![Metric { name: "present".to_owned(), data, ..Metric::default() }];
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        self.send(&ExportMetricsServiceRequest { resource_metrics }).await
    }

    /// Sends it metrics.
    pub(crate) async fn send(&self, request: &ExportMetricsServiceRequest) -> Result<()> {
        let url = format!("{}/api/v1/otlp/v1/metrics", self.base);
        let sent = self.client.post(url).header("content-type", "application/x-protobuf").body(request.encode_to_vec());
        let answer = sent.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "metrics were refused: {status} {}", answer.text().await?);
        Ok(())
    }

    /// A PromQL query at one moment.
    pub(crate) async fn instant(&self, query: &str, at: i64) -> Result<Vec<Sample>> {
        let parameters = [("query", query.to_owned()), ("time", seconds(at))];
        Ok(samples(&post_json(&self.client, &format!("{}/api/v1/query", self.base), &parameters).await?))
    }

    /// A PromQL query at `from`, every `step` seconds, up to and including `to`.
    pub(crate) async fn range(&self, query: &str, from: i64, to: i64, step: i64) -> Result<Vec<Sample>> {
        let parameters =
            [("query", query.to_owned()), ("start", seconds(from)), ("end", seconds(to)), ("step", step.to_string())];
        Ok(samples(&post_json(&self.client, &format!("{}/api/v1/query_range", self.base), &parameters).await?))
    }

    /// The values of a label, of some series or of all.
    pub(crate) async fn label_values(&self, label: &str, series: Option<&str>, range: Range) -> Result<Vec<String>> {
        let mut parameters = vec![("start", seconds(range.from)), ("end", seconds(range.to))];
        parameters.extend(series.map(|series| ("match[]", series.to_owned())));
        let url = format!("{}/api/v1/label/{label}/values", self.base);
        Ok(items(&get_json(&self.client, &url, &parameters).await?["data"]).iter().map(text).collect())
    }

    /// One of Prometheus's own counters.
    pub(crate) async fn counter(&self, name: &str) -> Result<f64> {
        Ok(counter(&get(&self.client, &format!("{}/metrics", self.base), &[]).await?, name))
    }
}
