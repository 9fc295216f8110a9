//! Requests of agents over the Model Context Protocol as telemetry: a span, a log record `mcp.call` and the histogram
//! `mcp.server.operation.duration`, by the conventions for GenAI. What was asked is in none of them.
//!
//! Unlike the history of tasks this is of the moment, so nothing of it is stored: what a backend does not take within a moment is
//! dropped. Add calls to [`Calls`], and [`Calls::flush`] now and then.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::exposition;
use super::otlp::{self, Batch, Delivery, OtlpTarget, ProgressDeadline, Signal};
use crate::config::{Config, OtlpConfig};
use crate::lock;
use crate::model::config::GenAi;
use crate::model::error::Result;
use crate::model::semconv as names;
use crate::model::time::Millis;

/// How many calls wait to be sent; then the oldest are dropped.
const WAITING: usize = 2_000;
/// How long a backend is tried for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The buckets that the conventions advise, in seconds.
const BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// The method of calls of tools.
const TOOLS: &str = "tools/call";
/// Calling a tool, as an operation of the conventions for GenAI.
const EXECUTE_TOOL: &str = "execute_tool";

/// A request for something that ended: a call of a tool, or a resource or prompt that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method: `tools/call`, `resources/read` or `prompts/get`.
    pub method: &'static str,
    /// The tool, the kind of the resource, or the prompt; one of those that there are, or `unknown`.
    pub tool: String,
    /// The project, if one was meant.
    pub project: Option<String>,
    /// Who asked.
    pub agent: String,
    /// How long the answer is.
    pub bytes: usize,
    /// The same in tokens.
    pub tokens: usize,
    /// How many insights are in the answer, where insights were read.
    pub insights: Option<usize>,
    /// When it began.
    pub begun: Millis,
    /// How long it took.
    pub took: Duration,
    /// What kind of problem it ended with, if it did.
    pub error: Option<&'static str>,
    /// The span of the caller, as W3C `traceparent`.
    pub parent: Option<String>,
}

/// The calls of this process.
#[derive(Debug)]
pub struct Calls {
    /// `pipe` or `tcp`.
    transport: &'static str,
    /// What distinguishes this process from others.
    instance: String,
    since: Millis,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Call>,
    durations: BTreeMap<Kind, Durations>,
}

/// What is measured together: the method, the tool, and the kind of problem.
type Kind = (&'static str, String, Option<&'static str>);

#[derive(Debug, Clone, Default)]
struct Durations {
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Calls {
    /// No calls yet, of a process that speaks over `pipe` or `tcp`. `random` distinguishes it from other processes.
    pub fn new(transport: &'static str, random: u64, now: Millis) -> Self {
        Self { transport, instance: format!("{random:016x}"), since: now, state: Mutex::default() }
    }

    /// Adds a call.
    pub fn add(&self, call: Call) {
        let mut state = lock(&self.state);
        let seconds = call.took.as_secs_f64();
        // Without the attribute for it, one name more would be the same series again.
        let name = if call.method == TOOLS { call.tool.clone() } else { String::new() };
        let durations = state.durations.entry((call.method, name, call.error)).or_default();
        durations.buckets[BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len())] += 1;
        durations.sum += seconds;
        if state.waiting.len() >= WAITING {
            state.waiting.remove(0);
        }
        state.waiting.push(call);
    }

    /// The metric in the form that Prometheus scrapes.
    pub fn exposition(&self, now: Millis) -> String {
        let metric = self.metric(now);
        if lock(&self.state).durations.is_empty() { String::new() } else { exposition::text(&[metric]) }
    }

    /// Sends what was added since the last time to wherever the configuration sends each signal.
    pub async fn flush(&self, config: &Config, now: Millis) {
        let calls = std::mem::take(&mut lock(&self.state).waiting);
        if calls.is_empty() {
            return;
        }
        let requests = [
            (Signal::Traces, self.spans(&calls, config.semconv.gen_ai).encode_to_vec()),
            (Signal::Logs, self.records(&calls, config.semconv.gen_ai).encode_to_vec()),
            (Signal::Metrics, self.metrics(now).encode_to_vec()),
        ];
        for (signal, request) in requests {
            let sent = tokio::time::timeout(PATIENCE, send(&config.export.otlp, signal, &request)).await;
            if let Ok(Err(error)) = sent {
                tracing::debug!("{signal} of calls of agents are lost: {}", error.full());
            }
        }
    }

    fn resource(&self) -> Option<Resource> {
        let attributes =
            vec![text(names::SERVICE_NAME, "contextcore"), text(names::SERVICE_INSTANCE_ID, &self.instance)];
        Some(Resource { attributes, ..Resource::default() })
    }

    fn attributes(&self, call: &Call, gen_ai: GenAi) -> Vec<KeyValue> {
        let mut all = vec![
            text(names::MCP_METHOD_NAME, call.method),
            text(names::NETWORK_TRANSPORT, self.transport),
            text(names::AGENT_ID, &call.agent),
            number(names::MCP_CALL_BYTES, call.bytes),
            number(names::MCP_CALL_TOKENS, call.tokens),
        ];
        if gen_ai.is_written() {
            all.extend(conventions(call));
        }
        all.extend(call.project.as_ref().map(|project| text(names::PROJECT_ID, project)));
        all.extend(call.error.map(|kind| text(names::ERROR_TYPE, kind)));
        all
    }

    fn spans(&self, calls: &[Call], gen_ai: GenAi) -> ExportTraceServiceRequest {
        let spans = calls.iter().enumerate().map(|(place, call)| self.span(place, call, gen_ai)).collect();
        let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: self.resource(), scope_spans, ..ResourceSpans::default() }],
        }
    }

    fn span(&self, place: usize, call: &Call, gen_ai: GenAi) -> Span {
        let (trace_id, parent_span_id) =
            call.parent.as_deref().and_then(parent).unwrap_or_else(|| (self.id(place, call), Vec::new()));
        let begun = nanoseconds(call.begun);
        let status = call.error.map(|kind| Status { message: kind.to_owned(), code: StatusCode::Error.into() });
        Span {
            trace_id,
            span_id: self.id(place, call)[..8].to_vec(),
            parent_span_id,
            name: span_name(call, gen_ai),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: begun,
            end_time_unix_nano: begun + u64::try_from(call.took.as_nanos()).unwrap_or(0),
            attributes: self.attributes(call, gen_ai),
            status,
            ..Span::default()
        }
    }

    /// An id that no other call has.
    fn id(&self, place: usize, call: &Call) -> Vec<u8> {
        let seed = format!("mcp.call\0{}\0{}\0{}\0{place}", self.instance, call.begun.0, call.took.as_nanos());
        blake3::hash(seed.as_bytes()).as_bytes()[..16].to_vec()
    }

    fn records(&self, calls: &[Call], gen_ai: GenAi) -> ExportLogsServiceRequest {
        let record = |(place, call): (usize, &Call)| {
            let span = self.span(place, call, gen_ai);
            let outcome = call.error.unwrap_or("ok");
            let milliseconds = usize::try_from(call.took.as_millis()).unwrap_or(usize::MAX);
            let mut attributes = self.attributes(call, gen_ai);
            attributes.push(text(names::EVENT_NAME, names::MCP_CALL));
            attributes.push(text(names::MCP_CALL_OUTCOME, outcome));
            attributes.push(number(names::MCP_CALL_DURATION, milliseconds));
            LogRecord {
                time_unix_nano: span.end_time_unix_nano,
                observed_time_unix_nano: span.end_time_unix_nano,
                severity_number: SeverityNumber::Info.into(),
                severity_text: "INFO".to_owned(),
                event_name: names::MCP_CALL.to_owned(),
                body: Some(any(&format!("{} {}: {outcome}", call.agent, humanize(call)))),
                attributes,
                trace_id: span.trace_id,
                span_id: span.span_id,
                ..LogRecord::default()
            }
        };
        let log_records = calls.iter().enumerate().map(record).collect();
        let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }];
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs { resource: self.resource(), scope_logs, ..ResourceLogs::default() }],
        }
    }

    fn metrics(&self, now: Millis) -> ExportMetricsServiceRequest {
        let scope_metrics =
            vec![ScopeMetrics { scope: scope(), metrics: vec![self.metric(now)], ..ScopeMetrics::default() }];
        let resource = self.resource();
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
        }
    }

    fn metric(&self, now: Millis) -> Metric {
        let metric = names::M_MCP_DURATION;
        let point = |((method, name, error), durations): (&Kind, &Durations)| {
            let mut attributes = vec![text(names::MCP_METHOD_NAME, method)];
            attributes.extend(tool(method, name));
            attributes.push(text(names::NETWORK_TRANSPORT, self.transport));
            attributes.extend(error.map(|kind| text(names::ERROR_TYPE, kind)));
            HistogramDataPoint {
                attributes,
                start_time_unix_nano: nanoseconds(self.since),
                time_unix_nano: nanoseconds(now),
                count: durations.buckets.iter().sum(),
                sum: Some(durations.sum),
                bucket_counts: durations.buckets.to_vec(),
                explicit_bounds: BOUNDS.to_vec(),
                ..HistogramDataPoint::default()
            }
        };
        let data_points = lock(&self.state).durations.iter().map(point).collect();
        Metric {
            name: metric.name.to_owned(),
            description: metric.about.to_owned(),
            unit: metric.unit.to_owned(),
            data: Some(Data::Histogram(Histogram { data_points, aggregation_temporality: 2 })),
            ..Metric::default()
        }
    }
}

async fn send(config: &OtlpConfig, signal: Signal, request: &[u8]) -> Result<()> {
    let Some(target) = OtlpTarget::of(config, signal)? else { return Ok(()) };
    let delivery = Delivery::new(otlp::connect(&target, signal)?, CancellationToken::new());
    delivery.deliver(Batch::decode(signal, request), &mut ProgressDeadline::new(PATIENCE)).await.map(drop)
}

/// The attribute that names a tool, if it is one.
fn tool(method: &str, name: &str) -> Option<KeyValue> {
    (method == TOOLS).then(|| text(names::GEN_AI_TOOL_NAME, name))
}

/// The name of a call's span: that of the conventions for MCP, and of those for GenAI where a tool read insights, so that what shows
/// agents and their memory finds it.
fn span_name(call: &Call, gen_ai: GenAi) -> String {
    let reads_insights = call.method == TOOLS && call.insights.is_some() && gen_ai.is_written();
    let begin = if reads_insights { EXECUTE_TOOL } else { call.method };
    format!("{begin} {}", call.tool)
}

/// What the conventions for GenAI say of a call: a tool that was executed, and a memory that was read. Never the texts.
fn conventions(call: &Call) -> Vec<KeyValue> {
    let tool = tool(call.method, &call.tool);
    let operation = tool.as_ref().map(|_| text(names::GEN_AI_OPERATION_NAME, EXECUTE_TOOL));
    let memory = call.insights.map(|count| {
        [text(names::GEN_AI_MEMORY_STORE_ID, "contextcore"), number(names::GEN_AI_MEMORY_RECORD_COUNT, count)]
    });
    tool.into_iter().chain(operation).chain(memory.into_iter().flatten()).collect()
}

fn humanize(call: &Call) -> String {
    let verb = if call.method == TOOLS { "called" } else { "read" };
    format!("{verb} {}", call.tool)
}

/// The ids of trace and span in a `traceparent`.
fn parent(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, _flags, ..] = parts[..] else { return None };
    let bytes = |hex: &str, length: usize| {
        let is_fit = hex.len() == 2 * length && hex.is_ascii() && hex.bytes().any(|digit| digit != b'0');
        let byte = |place: usize| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).ok();
        if is_fit { (0..length).map(byte).collect::<Option<Vec<u8>>>() } else { None }
    };
    if version == "ff" { None } else { Some((bytes(trace, 16)?, bytes(span, 8)?)) }
}

fn nanoseconds(at: Millis) -> u64 {
    u64::try_from(at.0).unwrap_or(0) * 1_000_000
}

fn any(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn number(key: &str, value: usize) -> KeyValue {
    let value = AnyValue { value: Some(Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX))) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "contextcore.mcp".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: &str, error: Option<&'static str>) -> Call {
        Call {
            method: TOOLS,
            tool: tool.into(),
            project: Some("shop".into()),
            agent: "ci".into(),
            bytes: 300,
            tokens: 100,
            insights: None,
            begun: Millis(1_795_000_000_000),
            took: Duration::from_millis(30),
            error,
            parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        }
    }

    #[test]
    fn a_call_is_a_span_of_its_caller_a_record_and_a_duration() {
        let calls = Calls::new("tcp", 7, Millis(1_795_000_000_000));
        calls.add(call("get_task", None));
        calls.add(call("get_task", Some("not_found")));
        let all = std::mem::take(&mut lock(&calls.state).waiting);
        let span = &calls.spans(&all, GenAi::default()).resource_spans[0].scope_spans[0].spans[1];
        assert_eq!(span.name, "tools/call get_task");
        assert_eq!((span.trace_id[0], span.parent_span_id[0], span.kind), (0x0a, 0xb7, 2));
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 30_000_000);
        assert!(span.attributes.iter().any(|attribute| attribute.key == "error.type"));
        let record = &calls.records(&all, GenAi::default()).resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.event_name.as_str(), record.trace_id.len()), ("mcp.call", 16));
        let read = Call { method: "resources/read", ..call("task", None) };
        assert_eq!(
            (calls.span(0, &read, GenAi::Off).name.as_str(), humanize(&read).as_str()),
            ("resources/read task", "read task")
        );
        assert!(
            calls.attributes(&read, GenAi::default()).iter().all(|attribute| attribute.key != names::GEN_AI_TOOL_NAME)
        );
        let found = Call { insights: Some(3), ..call("find_insights", None) };
        let name = |gen_ai| calls.span(0, &found, gen_ai).name;
        assert_eq!(
            (&*name(GenAi::default()), &*name(GenAi::Off)),
            ("execute_tool find_insights", "tools/call find_insights")
        );
        let text = calls.exposition(Millis(1_795_000_001_000));
        let line = "mcp_server_operation_duration_seconds_bucket{mcp_method_name=\"tools/call\",gen_ai_tool_name=\"get_task\",\
                    network_transport=\"tcp\",le=\"0.05\"} 1";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_read_of_insights_is_one_of_a_memory_unless_that_is_off() {
        let calls = Calls::new("tcp", 7, Millis(1_795_000_000_000));
        let read = Call { insights: Some(3), ..call("find_insights", None) };
        let names = |call: &Call, gen_ai| -> Vec<String> {
            let all = calls.attributes(call, gen_ai).into_iter().map(|attribute| attribute.key);
            all.filter(|name| name.starts_with("gen_ai.")).collect()
        };
        let of_a_memory =
            [names::GEN_AI_MEMORY_STORE_ID, names::GEN_AI_MEMORY_RECORD_COUNT].map(|name| name.to_string());
        let found = names(&read, GenAi::default());
        assert_eq!(found[..2], [names::GEN_AI_TOOL_NAME, names::GEN_AI_OPERATION_NAME].map(|name| name.to_string()));
        assert_eq!(found[2..], of_a_memory);
        assert_eq!(names(&Call { method: "resources/read", ..read.clone() }, GenAi::default()), of_a_memory);
        assert_eq!(names(&call("find_tasks", None), GenAi::default()), found[..2]);
        assert_eq!(names(&read, GenAi::Off), [""; 0]);
    }

    #[test]
    fn what_is_no_parent_begins_a_trace() {
        for text in ["", "00-0-0-00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "é"] {
            assert_eq!(parent(text), None, "{text}");
        }
        assert_eq!(parent("00-00000000000000000000000000000000-b7ad6b7169203331-01"), None);
    }
}
