//! Every rule of the delivery policy against a real server, over both protocols.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use contextcore_fakes::otlp::{Collector, Fault, Handle, Options, PointValue, Signal as FakeSignal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::*;
use crate::model::error::{Error, ErrorKind, Retry};
use crate::model::time::Millis;

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];
/// Long enough that a slow machine is not mistaken for a wait.
const AMBIGUOUS_WAIT: Duration = Duration::from_secs(1);

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![attribute("service.name", "contextcore")], ..Resource::default() })
}

fn traces(count: u8) -> Batch {
    trace_request(count).into()
}

fn trace_request(count: u8) -> ExportTraceServiceRequest {
    let span = |n: u8| Span {
        trace_id: vec![1; 16],
        span_id: vec![n + 1; 8],
        name: format!("span {n}"),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![attribute("task.id", "PROJ-1")],
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() };
    let resource_spans =
        vec![ResourceSpans { resource: resource(), scope_spans: vec![scope], ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn logs(count: u8) -> Batch {
    let record =
        |n: u8| LogRecord { time_unix_nano: u64::from(n) + 1, event_name: format!("log {n}"), ..LogRecord::default() };
    let scope = ScopeLogs { log_records: (0..count).map(record).collect(), ..ScopeLogs::default() };
    let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs: vec![scope], ..ResourceLogs::default() }];
    Batch::from(ExportLogsServiceRequest { resource_logs })
}

fn metrics(count: u8) -> Batch {
    let point = |n: u8| NumberDataPoint {
        time_unix_nano: u64::from(n) + 1,
        value: Some(number_data_point::Value::AsInt(n.into())),
        ..NumberDataPoint::default()
    };
    let gauge = Gauge { data_points: (0..count).map(point).collect() };
    let metric = Metric { name: "task.count".to_owned(), data: Some(Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource_metrics =
        vec![ResourceMetrics { resource: resource(), scope_metrics: vec![scope], ..ResourceMetrics::default() }];
    Batch::from(ExportMetricsServiceRequest { resource_metrics })
}

fn batch(signal: Signal, count: u8) -> Batch {
    match signal {
        Signal::Traces => traces(count),
        Signal::Logs => logs(count),
        Signal::Metrics => metrics(count),
    }
}

async fn collector() -> Handle {
    Collector::start(Options::default()).await.unwrap()
}

fn target(collector: &Handle, protocol: Protocol) -> OtlpTarget {
    let url = match protocol {
        Protocol::Grpc => collector.grpc_url(),
        Protocol::HttpProtobuf => collector.http_url(),
    };
    OtlpTarget { timeout: Duration::from_secs(10), ..OtlpTarget::new(url, protocol) }
}

/// A delivery with waits short enough for a test.
fn delivery(collector: &Handle, protocol: Protocol, signal: Signal, stop: &CancellationToken) -> Delivery {
    let policy = RetryPolicy {
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_millis(40),
        ambiguous_wait: AMBIGUOUS_WAIT,
        stop_grace: Duration::from_millis(100),
        ..RetryPolicy::default()
    };
    Delivery::with_policy(connect(&target(collector, protocol), signal).unwrap(), stop.clone(), policy)
}

/// Delivers one batch of `count` items through `faults`, one per request.
async fn through(
    protocol: Protocol,
    signal: Signal,
    count: u8,
    faults: impl IntoIterator<Item = Fault>,
) -> (Result<Delivered>, Handle) {
    let collector = collector().await;
    collector.script(faults);
    let delivery = delivery(&collector, protocol, signal, &CancellationToken::new());
    let done = delivery.deliver(batch(signal, count), &mut ProgressDeadline::default()).await;
    (done, collector)
}

fn stored(collector: &Handle) -> u64 {
    let counts = collector.counts();
    counts.spans + counts.logs + counts.points
}

/// The time between the first two requests.
fn gap(collector: &Handle) -> Duration {
    let requests = collector.requests();
    requests[1].at - requests[0].at
}

#[tokio::test]
async fn every_signal_arrives_whole_over_both_protocols_plain_and_compressed() {
    for (protocol, gzip) in BOTH.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)]) {
        let collector = collector().await;
        let target = OtlpTarget { gzip, ..target(&collector, protocol) };
        for signal in Signal::ALL {
            let sink = connect(&target, signal).unwrap();
            assert_eq!(sink.export(&batch(signal, 3)).await.unwrap(), Outcome::Accepted);
        }
        let spans = collector.spans();
        assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["span 0", "span 1", "span 2"]);
        assert_eq!(spans[1].trace_id, "01".repeat(16));
        assert_eq!(spans[1].span_id, "02".repeat(8));
        assert_eq!(spans[1].attributes["task.id"], "PROJ-1");
        assert_eq!(spans[1].resource["service.name"], "contextcore");
        assert_eq!(collector.logs()[2].event_name, "log 2");
        assert_eq!(collector.points()[2].value, PointValue::Int(2));
        let encoding = if protocol == Protocol::Grpc { "grpc-encoding" } else { "content-encoding" };
        for request in collector.requests() {
            assert_eq!(request.headers.get(encoding).is_some_and(|value| value == "gzip"), gzip, "{request:?}");
        }
    }
}

#[tokio::test]
async fn configured_headers_and_a_path_prefix_are_used() {
    let collector = collector().await;
    for protocol in BOTH {
        let mut target = target(&collector, protocol);
        target.headers = vec![("X-Scope-OrgID".to_owned(), "acme".to_owned())];
        if protocol == Protocol::HttpProtobuf {
            target.url.push_str("/api/v1/otlp/");
        }
        connect(&target, Signal::Metrics).unwrap().export(&metrics(1)).await.unwrap();
    }
    let requests = collector.requests();
    assert!(requests.iter().all(|request| request.headers["x-scope-orgid"] == "acme"));
    assert_eq!(requests[1].path, "/api/v1/otlp/v1/metrics");
}

#[tokio::test]
async fn transient_failures_are_retried_and_stored_once() {
    for protocol in BOTH {
        let busy = |http, grpc| Fault::refuse(http, grpc, "busy", None);
        let faults = [
            Fault::unavailable(None),
            busy(502, Code::Aborted),
            busy(504, Code::DeadlineExceeded),
            busy(429, Code::Cancelled),
            Fault::rate_limited(None),
        ];
        let (done, collector) = through(protocol, Signal::Logs, 4, faults).await;
        assert_eq!(done.unwrap(), Delivered { accepted: 4, retries: 5, ..Delivered::default() });
        assert_eq!(stored(&collector), 4);
    }
}

#[tokio::test]
async fn a_requested_wait_is_kept() {
    let asked = Duration::from_secs(1);
    for protocol in BOTH {
        let (done, collector) = through(protocol, Signal::Traces, 1, [Fault::rate_limited(Some(asked))]).await;
        assert_eq!(done.unwrap().retries, 1);
        assert!(gap(&collector) >= asked, "{:?}", gap(&collector));
    }
}

#[tokio::test]
async fn ambiguous_traces_wait_and_ambiguous_logs_do_not() {
    for protocol in BOTH {
        let (done, collector) = through(protocol, Signal::Traces, 2, [Fault::StoreThenDrop]).await;
        assert_eq!(done.unwrap().accepted, 2);
        assert!(gap(&collector) >= AMBIGUOUS_WAIT, "{:?}", gap(&collector));
        assert_eq!(stored(&collector), 4, "the fault stored them, then the retry did");
        let (done, collector) = through(protocol, Signal::Logs, 2, [Fault::StoreThenDrop]).await;
        assert_eq!(done.unwrap().retries, 1);
        assert!(gap(&collector) < AMBIGUOUS_WAIT, "{:?}", gap(&collector));
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_ambiguous() {
    for protocol in BOTH {
        let collector = collector().await;
        collector.script([Fault::Slow(Duration::from_secs(60))]);
        let hasty = OtlpTarget { timeout: Duration::from_millis(300), ..target(&collector, protocol) };
        let error = connect(&hasty, Signal::Traces).unwrap().export(&traces(1)).await.unwrap_err();
        assert_eq!((error.context("ambiguous"), error.retry()), (Some("true"), Retry::Backoff), "{error}");
        assert_eq!(error.context("answer"), Some("no answer within 300ms"));
    }
}

#[tokio::test]
async fn a_broken_connection_is_ambiguous_and_a_refused_one_is_not() {
    for protocol in BOTH {
        let collector = collector().await;
        let sink = connect(&target(&collector, protocol), Signal::Traces).unwrap();
        collector.script([Fault::Drop]);
        let broken = sink.export(&traces(1)).await.unwrap_err();
        assert_eq!(broken.context("ambiguous"), Some("true"), "{broken}");
        assert_eq!(broken.retry(), Retry::Backoff);
        collector.refuse_for(Duration::from_secs(60)).await;
        // The first may still fail on the connection that was just broken.
        drop(sink.export(&traces(1)).await);
        let refused = sink.export(&traces(1)).await.unwrap_err();
        assert_eq!(refused.context("ambiguous"), None, "{refused}");
        assert_eq!(refused.retry(), Retry::Backoff);
        assert_eq!(refused.kind(), ErrorKind::Export);
        assert!(refused.context("answer").unwrap().starts_with("no connection: "), "{refused}");
    }
}

#[tokio::test]
async fn a_backend_that_recovers_gets_everything() {
    for protocol in BOTH {
        let collector = collector().await;
        collector.refuse_for(Duration::from_millis(200)).await;
        let delivery = delivery(&collector, protocol, Signal::Traces, &CancellationToken::new());
        let done = delivery.deliver(traces(5), &mut ProgressDeadline::default()).await.unwrap();
        assert_eq!(done.accepted, 5);
        assert!(done.retries > 0);
        assert_eq!(stored(&collector), 5);
    }
}

#[tokio::test]
async fn a_partial_success_is_counted_and_not_sent_again() {
    for protocol in BOTH {
        for signal in Signal::ALL {
            let fault = Fault::Partial { rejected: 2, reason: "trace_too_large".to_owned() };
            let (done, collector) = through(protocol, signal, 5, [fault]).await;
            let done = done.unwrap();
            assert_eq!((done.accepted, done.rejected, done.retries), (3, 2, 0));
            assert_eq!((done.dead[0].items, done.dead[0].reason.as_str()), (2, "trace_too_large"));
            assert_eq!(collector.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_warning_without_rejections_loses_nothing() {
    let fault = Fault::Partial { rejected: 0, reason: "deprecated".to_owned() };
    let (done, _collector) = through(Protocol::Grpc, Signal::Traces, 3, [fault]).await;
    assert_eq!(done.unwrap(), Delivered { accepted: 3, ..Delivered::default() });
}

#[tokio::test]
async fn a_permanent_rejection_becomes_a_dead_letter_with_a_hint() {
    let text =
        "entry for stream '{}' has timestamp too old: 2025-01-01T00:00:00Z, oldest acceptable timestamp is: 2026";
    for protocol in BOTH {
        let (done, collector) = through(protocol, Signal::Logs, 3, [Fault::bad_request(text)]).await;
        let done = done.unwrap();
        assert_eq!((done.accepted, done.rejected, done.retries), (0, 3, 0));
        assert!(done.dead[0].reason.ends_with(text), "{:?}", done.dead);
        assert!(done.dead[0].hint.as_ref().unwrap().contains("reject_old_samples"));
        assert_eq!((done.dead[0].signal, done.dead[0].items), (Signal::Logs, 3));
        assert_eq!(collector.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_server_error_is_tried_four_times_before_the_dead_letter() {
    for protocol in BOTH {
        let too_old = || Fault::server_error("too old sample");
        let (done, collector) = through(protocol, Signal::Metrics, 2, std::iter::repeat_with(too_old).take(9)).await;
        let done = done.unwrap();
        assert_eq!((done.accepted, done.rejected, done.retries), (0, 2, 3));
        assert!(done.dead[0].hint.as_ref().unwrap().contains("out_of_order_time_window"));
        assert_eq!(collector.requests().len(), 4);
        let (done, _collector) = through(protocol, Signal::Metrics, 2, std::iter::repeat_with(too_old).take(3)).await;
        assert_eq!(done.unwrap(), Delivered { accepted: 2, retries: 3, ..Delivered::default() });
    }
}

#[tokio::test]
async fn a_known_server_error_that_lasted_once_is_not_retried() {
    let collector = collector().await;
    let delivery = delivery(&collector, Protocol::HttpProtobuf, Signal::Metrics, &CancellationToken::new());
    let mut retries = Vec::new();
    for text in ["too old sample", "too old sample"] {
        collector.always(FakeSignal::Metrics, Some(Fault::server_error(text)));
        retries.push(delivery.deliver(metrics(1), &mut ProgressDeadline::default()).await.unwrap().retries);
    }
    assert_eq!(retries, [3, 0]);
    collector.always(FakeSignal::Metrics, None);
    collector.script(std::iter::repeat_with(|| Fault::server_error("disk full")).take(3));
    assert_eq!(delivery.deliver(metrics(1), &mut ProgressDeadline::default()).await.unwrap().retries, 3);
}

#[tokio::test]
async fn a_batch_too_large_is_halved_until_it_fits() {
    for protocol in BOTH {
        let options = Options { max_message: traces(3).encoded_len(), ..Options::default() };
        let collector = Collector::start(options).await.unwrap();
        let mut request = trace_request(8);
        request.resource_spans[0].scope_spans[0].spans[4].name = "giant".repeat(200);
        let batch = Batch::from(request);
        let delivery = delivery(&collector, protocol, Signal::Traces, &CancellationToken::new());
        let done = delivery.deliver(batch, &mut ProgressDeadline::default()).await.unwrap();
        assert_eq!((done.accepted, done.rejected, done.retries), (7, 1, 0));
        assert!(done.dead[0].reason.contains("larger than max"), "{:?}", done.dead);
        let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
        assert_eq!(names, ["span 0", "span 1", "span 2", "span 3", "span 5", "span 6", "span 7"]);
        assert!(collector.spans().iter().all(|span| span.resource["service.name"] == "contextcore"));
    }
}

#[tokio::test]
async fn a_wrong_address_or_credential_fails_at_once_without_dead_letters() {
    let stops = [
        Fault::unauthenticated(),
        Fault::refuse(403, Code::PermissionDenied, "no", None),
        Fault::refuse(404, Code::Unimplemented, "404 page not found", None),
        Fault::refuse(302, Code::NotFound, "elsewhere", None),
    ];
    for protocol in BOTH {
        for fault in &stops {
            let (done, collector) = through(protocol, Signal::Metrics, 2, [fault.clone()]).await;
            let error = done.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Export, Retry::Never), "{error}");
            assert_eq!(collector.requests().len(), 1, "{fault:?}");
        }
    }
}

/// An ill backend: refuses everything in this way until a moment, and from then on each batch with a log record of this
/// name. Keeps the names of the records it accepted.
struct Ill {
    refuses: fn() -> answer::Refusal,
    until: tokio::time::Instant,
    poison: Option<&'static str>,
    accepted: std::sync::Mutex<Vec<String>>,
}

impl Ill {
    fn start(refuses: fn() -> answer::Refusal, seconds: u64, poison: Option<&'static str>) -> std::sync::Arc<Self> {
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        std::sync::Arc::new(Self { refuses, until, poison, accepted: std::sync::Mutex::default() })
    }

    fn names(request: &[u8]) -> Vec<String> {
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        scopes.flat_map(|scope| scope.log_records).map(|record| record.event_name).collect()
    }
}

#[async_trait]
impl Sink for Ill {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        let names = Self::names(&batch.encode());
        let is_poisoned = names.iter().any(|name| self.poison.is_some_and(|poison| name == poison));
        if is_poisoned || tokio::time::Instant::now() < self.until {
            return Err((self.refuses)().into_error(batch.signal(), "http://ill"));
        }
        self.accepted.lock().unwrap().extend(names);
        Ok(Outcome::Accepted)
    }

    fn describe(&self) -> String {
        "ill".to_owned()
    }
}

/// Refusals that a proxy or an ill backend may give to anything.
const UNNAMED: [fn() -> answer::Refusal; 10] = [
    || answer::http(500, b"internal server error", None, Millis(0)),
    || answer::http(400, b"Bad Request", None, Millis(0)),
    || answer::http(422, b"", None, Millis(0)),
    || answer::http(413, b"Request Entity Too Large", None, Millis(0)),
    || answer::grpc(Code::Internal, "context canceled", &[]),
    || answer::grpc(Code::InvalidArgument, "invalid", &[]),
    || answer::grpc(Code::ResourceExhausted, "out of memory", &[]),
    || answer::http(500, b"duplicate key value violates unique constraint \"tokens_pkey\"", None, Millis(0)),
    || answer::http(500, b"index out of bounds", None, Millis(0)),
    || answer::grpc(Code::Internal, "runtime error: index out of bounds", &[]),
];

/// Refusals of a backend that is full or busy, with whatever code.
const LIMITED: [fn() -> answer::Refusal; 7] = [
    || answer::http(500, b"max active series", None, Millis(0)),
    || answer::http(400, b"per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)", None, Millis(0)),
    || answer::http(400, b"Maximum active stream limit exceeded", None, Millis(0)),
    || answer::http(422, b"Per stream rate limit exceeded (limit: 3MB/sec)", None, Millis(0)),
    || answer::grpc(Code::FailedPrecondition, LIVE_TRACES, &[]),
    || answer::grpc(Code::ResourceExhausted, LIVE_TRACES, &[]),
    || answer::grpc(Code::Internal, LIVE_TRACES, &[]),
];
const LIVE_TRACES: &str = "LIVE_TRACES_EXCEEDED: max live traces exceeded for tenant single-tenant: 10000";

#[tokio::test(start_paused = true)]
async fn nothing_is_rejected_because_the_backend_was_ill() {
    for (place, refuses) in UNNAMED.into_iter().chain(LIMITED).enumerate() {
        for seconds in [20, 3_600] {
            let ill = Ill::start(refuses, seconds, None);
            let delivery = Delivery::new(Box::new(ill.clone()), CancellationToken::new());
            let mut deadline = ProgressDeadline::unlimited();
            let done = loop {
                match delivery.deliver(logs(100), &mut deadline).await {
                    Ok(done) => break done,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Export, "left to the next export"),
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
            };
            assert_eq!((done.accepted, done.dead.len()), (100, 0), "{place} {seconds}");
            let mut accepted = ill.accepted.lock().unwrap().clone();
            accepted.sort();
            accepted.dedup();
            assert_eq!(accepted.len(), 100);
            assert_eq!(*delivery.trouble().borrow(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_stays_ill_ends_the_run_and_everything_stays() {
    for refuses in UNNAMED.into_iter().chain(LIMITED) {
        for count in [1, 100] {
            let ill = Ill::start(refuses, 1_000_000, None);
            let delivery = Delivery::new(Box::new(ill), CancellationToken::new());
            let error = delivery.deliver(logs(count), &mut ProgressDeadline::default()).await.unwrap_err();
            assert!(error.context("gave_up_after").is_some(), "{error}");
            assert_eq!(delivery.trouble().borrow().as_ref().unwrap().next, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_refused_while_others_are_taken_is_rejected_alone() {
    for (place, refuses) in UNNAMED.into_iter().enumerate() {
        for poison in ["log 0", "log 57", "log 99"] {
            let ill = Ill::start(refuses, 0, Some(poison));
            let delivery = Delivery::new(Box::new(ill.clone()), CancellationToken::new());
            let done = delivery.deliver(logs(100), &mut ProgressDeadline::default()).await.unwrap();
            assert_eq!((done.accepted, done.rejected), (99, 1), "{place} {poison}");
            assert_eq!(Ill::names(&done.dead[0].request), [poison], "the letter holds the record");
            assert_eq!(Batch::decode(Signal::Logs, &done.dead[0].request).items(), 1);
            assert_eq!(ill.accepted.lock().unwrap().len(), 99, "no record twice");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_above_a_limit_waits_even_while_others_are_accepted() {
    for (place, refuses) in LIMITED.into_iter().enumerate() {
        let ill = Ill::start(refuses, 0, Some("log 57"));
        let delivery = Delivery::new(Box::new(ill.clone()), CancellationToken::new());
        let mut deadline = ProgressDeadline::default();
        let accepted = delivery.deliver(logs(10), &mut deadline).await.unwrap();
        assert_eq!(accepted.accepted, 10);
        let error = delivery.deliver(logs(100), &mut deadline).await.unwrap_err();
        assert!(error.context("gave_up_after").is_some(), "{place}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_leaves_a_lone_refused_record_to_the_next_export() {
    let ill = Ill::start(UNNAMED[1], 0, Some("log 0"));
    let delivery = Delivery::new(Box::new(ill), CancellationToken::new());
    let mut deadline = ProgressDeadline::unlimited();
    delivery.deliver(logs(1), &mut deadline).await.unwrap_err();
    let done = delivery.deliver(logs(2), &mut deadline).await.unwrap();
    assert_eq!((done.accepted, done.rejected), (1, 1), "with another one, it is clear which is wrong");
}

#[tokio::test]
async fn an_answer_that_is_not_one_of_otlp_is_no_acceptance() {
    let frame = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Bytes::from([&[0], length.as_slice(), message].concat())
    };
    let any = |status, content_type, body| Fault::Answer { status, content_type, body };
    let large = Bytes::from(vec![b'x'; 100_000]);
    let grpc = [
        any(200, Some("application/grpc"), frame(&large)),
        any(200, Some("application/grpc"), frame(b"plain text")),
        any(200, Some("application/grpc"), Bytes::new()),
        any(200, Some("text/html"), Bytes::from_static(b"<html></html>")),
    ];
    let http = [
        any(200, Some("application/x-protobuf"), large),
        any(200, Some("application/x-protobuf"), Bytes::from_static(b"plain text")),
        any(299, None, Bytes::new()),
        any(200, None, Bytes::from_static(b"ok")),
    ];
    for (protocol, faults) in BOTH.into_iter().zip([grpc, http]) {
        for fault in faults.into_iter().chain([Fault::login_page()]) {
            let collector = collector().await;
            collector.script([fault.clone()]);
            let sink = connect(&target(&collector, protocol), Signal::Logs).unwrap();
            let error = sink.export(&logs(4)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Export, "{fault:?}");
            let verdict = answer::Verdict::of(&error);
            assert!(!matches!(verdict, answer::Verdict::Split | answer::Verdict::DeadLetter), "{fault:?}: {error}");
            assert_eq!(stored(&collector), 0);
        }
    }
}

#[tokio::test]
async fn the_other_protocol_on_a_port_gets_a_hint() {
    let collector = collector().await;
    let crossed = [
        (OtlpTarget::new(collector.http_url(), Protocol::Grpc), "this port speaks HTTP: set `protocol: http/protobuf`"),
        (OtlpTarget::new(collector.grpc_url(), Protocol::HttpProtobuf), "this port speaks gRPC: set `protocol: grpc`"),
    ];
    for (target, hint) in crossed {
        for signal in Signal::ALL {
            let error = connect(&target, signal).unwrap().export(&batch(signal, 1)).await.unwrap_err();
            assert!(error.full().contains(hint), "{}", error.full());
            assert_eq!(error.retry(), Retry::Never);
        }
    }
}

/// A web server that closes the connection at the first words of HTTP/2, so that its answer to them is lost.
#[tokio::test]
async fn a_web_server_that_hangs_up_gets_the_hint_as_well() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0; 4];
            if stream.read_exact(&mut first).await.is_ok() && first == *b"GET " {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    };
    let sink = connect(&OtlpTarget::new(url, Protocol::Grpc), Signal::Logs).unwrap();
    let one = logs(1);
    let error = tokio::select! {
        () = serving => unreachable!("it serves for good"),
        sent = sink.export(&one) => sent.unwrap_err(),
    };
    assert!(error.full().contains("this port speaks HTTP"), "{}", error.full());
}

/// Fails this many times, then accepts everything.
struct Flaky(AtomicU32);

#[async_trait]
impl Sink for Flaky {
    async fn export(&self, _batch: &Batch) -> Result<Outcome> {
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
        if spent {
            Ok(Outcome::Accepted)
        } else {
            Err(Error::new(ErrorKind::Export, "busy").with_retry(Retry::Backoff))
        }
    }

    fn describe(&self) -> String {
        "flaky".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_passes_and_is_renewed_by_progress() {
    let flaky = std::sync::Arc::new(Flaky(AtomicU32::new(0)));
    let delivery = Delivery::new(Box::new(flaky.clone()), CancellationToken::new());
    let mut deadline = ProgressDeadline::new(Duration::from_secs(20));
    let begun = tokio::time::Instant::now();
    for _ in 0..6 {
        flaky.0.store(4, Ordering::Relaxed);
        assert_eq!(delivery.deliver(logs(1), &mut deadline).await.unwrap().retries, 4);
    }
    assert!(begun.elapsed() > Duration::from_secs(40), "together they took longer than the deadline");
    flaky.0.store(u32::MAX, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    let error = delivery.deliver(logs(1), &mut deadline).await.unwrap_err();
    assert!(begun.elapsed() <= Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!((error.kind(), error.context("gave_up_after")), (ErrorKind::Export, Some("20s without progress")));
    assert!(matches!(error.retry(), Retry::After(_)), "{error}");
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_started() {
    let collector = collector().await;
    for seconds in [3_600, 315_360_000, u64::MAX] {
        for protocol in BOTH {
            collector.script([Fault::rate_limited(Some(Duration::from_secs(seconds)))]);
            let delivery = delivery(&collector, protocol, Signal::Logs, &CancellationToken::new());
            let error = delivery.deliver(logs(1), &mut ProgressDeadline::default()).await.unwrap_err();
            assert_eq!(error.retry(), Retry::After(Duration::from_secs(900)), "asked again after a quarter of an hour");
            assert!(delivery.trouble().borrow().as_ref().unwrap().reason.contains("RATE_LIMITED"));
        }
    }
}

#[tokio::test]
async fn a_stop_ends_waits_at_once_and_requests_after_the_grace() {
    for protocol in BOTH {
        for fault in [Fault::rate_limited(Some(Duration::from_secs(60))), Fault::Slow(Duration::from_secs(60))] {
            let (collector, stop) = (collector().await, CancellationToken::new());
            collector.script([fault.clone()]);
            let slow = OtlpTarget { timeout: Duration::from_secs(60), ..target(&collector, protocol) };
            let policy = RetryPolicy { stop_grace: Duration::from_millis(100), ..RetryPolicy::default() };
            let delivery = Delivery::with_policy(connect(&slow, Signal::Traces).unwrap(), stop.clone(), policy);
            let mut deadline = ProgressDeadline::unlimited();
            let stopping = async {
                assert!(collector.wait(Duration::from_secs(5), |counts| counts.requests == 1).await);
                tokio::time::sleep(Duration::from_millis(50)).await;
                stop.cancel();
                Instant::now()
            };
            let (done, asked) = tokio::join!(delivery.deliver(traces(1), &mut deadline), stopping);
            assert_eq!(done.unwrap_err().kind(), ErrorKind::Cancelled, "{fault:?}");
            assert!(asked.elapsed() < Duration::from_secs(10), "{fault:?}");
            assert_eq!(delivery.deliver(traces(1), &mut deadline).await.unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(collector.requests().len(), 1, "nothing is sent after a stop");
        }
    }
}

#[tokio::test]
async fn a_request_in_flight_at_a_stop_may_still_finish() {
    let (collector, stop) = (collector().await, CancellationToken::new());
    collector.script([Fault::Slow(Duration::from_millis(150))]);
    let policy = RetryPolicy::default();
    let sink = connect(&target(&collector, Protocol::Grpc), Signal::Traces).unwrap();
    let delivery = Delivery::with_policy(sink, stop.clone(), policy);
    let stopping = async {
        collector.wait(Duration::from_secs(5), |counts| counts.requests == 1).await;
        stop.cancel();
    };
    let mut deadline = ProgressDeadline::default();
    let (done, ()) = tokio::join!(delivery.deliver(traces(1), &mut deadline), stopping);
    assert_eq!(done.unwrap().accepted, 1);
}

#[tokio::test]
async fn unusable_targets_are_config_errors_that_say_why() {
    let target = |url: &str, protocol| OtlpTarget::new(url, protocol);
    let bad = [
        (target("localhost:4317", Protocol::Grpc), "scheme"),
        (target("not a url", Protocol::Grpc), "not a URL"),
        (target("ftp://host:1", Protocol::Grpc), "http or https"),
        (target("http://host:4318/otlp", Protocol::Grpc), "gRPC has no path"),
        (target("http://user:hunter2@host:4318", Protocol::HttpProtobuf), "credentials"),
        (target("http://host:4318/?a=b", Protocol::HttpProtobuf), "query"),
    ];
    for (target, why) in bad {
        let error = connect(&target, Signal::Traces).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.full().contains(why) && !error.full().contains("hunter2"), "{}", error.full());
    }
    let mut header = target("http://host:4318", Protocol::HttpProtobuf);
    header.headers = vec![("authorization".to_owned(), "hunter2\n".to_owned())];
    let error = connect(&header, Signal::Traces).err().unwrap().full();
    assert!(error.contains("authorization") && !error.contains("hunter2"), "{error}");
    assert!(!format!("{header:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_counting_sink_accepts_and_counts_everything() {
    let sink = std::sync::Arc::new(CountingSink::default());
    let delivery = Delivery::new(Box::new(sink.clone()), CancellationToken::new());
    delivery.deliver(traces(3), &mut ProgressDeadline::default()).await.unwrap();
    delivery.deliver(metrics(4), &mut ProgressDeadline::default()).await.unwrap();
    assert_eq!(Signal::ALL.map(|signal| sink.count(signal)), [3, 0, 4]);
}
