//! The program's own metrics (`contextcore.*`), pushed over OTLP through the OpenTelemetry SDK.
//!
//! [`SelfMetrics`] is the pipeline: one observable instrument for each metric, over the newest
//! [`readings`](telemetry::readings). Counters are totals from the store, so they continue across restarts. Each
//! [`SelfMetrics::push`] is one collection and one request; there is no thread of its own. A push that fails is one line in the
//! log, and the next push sends the totals again.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use contextcore_core::config::OtlpConfig;
use contextcore_core::engine::Engine;
use contextcore_core::engine::telemetry::{self, Reading};
use contextcore_core::export::otlp::{self, OtlpTarget, Signal, Transport};
use contextcore_core::model::semconv::{self, Instrument, METRICS, Metric};
use contextcore_core::{Error, ErrorKind, Result, clock, lock};
use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};

use crate::report::RunReport;

/// How long a push may take, with its retries.
const LIMIT: Duration = Duration::from_secs(5);
/// The prefix of the names of these metrics.
const OWN: &str = "contextcore.";
/// What those of the controller in Kubernetes begin with, which is another process.
const CONTROLLER: &str = "contextcore.controller.";

/// The readings that the instruments report.
type Newest = Arc<Mutex<Vec<Reading>>>;

/// The pipeline of these metrics to the backend.
pub(crate) struct SelfMetrics {
    instruments: Instruments,
    exporter: MetricExporter,
}

impl SelfMetrics {
    /// Creates the pipeline without contacting the backend. `None` when metrics are not exported, or, with a warning in the log,
    /// when it cannot be created.
    pub(crate) fn start(config: &OtlpConfig) -> Option<Self> {
        Self::connect(config).inspect_err(warn).ok().flatten()
    }

    fn connect(config: &OtlpConfig) -> Result<Option<Self>> {
        let Some(target) = OtlpTarget::of(config, Signal::Metrics)? else { return Ok(None) };
        Ok(Some(Self { instruments: Instruments::new(), exporter: exporter(&target)? }))
    }

    /// Pushes the current readings, within [`LIMIT`]. A failure is logged.
    pub(crate) async fn push(&self, engine: &Engine) {
        if let Err(error) = self.try_push(engine).await {
            warn(&error);
        }
    }

    async fn try_push(&self, engine: &Engine) -> Result<()> {
        let readings = telemetry::readings(&engine.store, &engine.config(), clock::now())?;
        let metrics = self.instruments.collect(readings)?;
        match tokio::time::timeout(LIMIT, self.exporter.export(&metrics)).await {
            Ok(pushed) => pushed.map_err(failed),
            Err(elapsed) => Err(failed(elapsed)),
        }
    }
}

/// Pushes after a run, unless the run was stopped, was a dry run, or its backend did not accept metrics.
pub(crate) async fn push_after(engine: &Engine, report: &RunReport) {
    if report.dry_run || report.failed(Signal::Metrics) || engine.cancel.is_cancelled() {
        return;
    }
    if let Some(own) = SelfMetrics::start(&engine.config().export.otlp) {
        engine.cancel.run_until_cancelled(own.push(engine)).await;
    }
}

/// The SDK's errors name codes and connections, never headers.
fn failed(cause: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Export, "push our own metrics").caused_by(cause)
}

fn warn(error: &Error) {
    tracing::warn!(error = %error.full(), "our own metrics were not exported");
}

/// The instruments of the SDK and their reader.
struct Instruments {
    newest: Newest,
    reader: Reader,
    /// Holds the instruments.
    _provider: SdkMeterProvider,
}

impl Instruments {
    fn new() -> Self {
        let newest = Newest::default();
        let reader = Reader::default();
        let name = KeyValue::new(semconv::SERVICE_NAME, semconv::SCOPE);
        let resource = Resource::builder_empty().with_attribute(name).build();
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
        let meter = provider.meter(semconv::SCOPE);
        let own = |metric: &&Metric| metric.name.starts_with(OWN) && !metric.name.starts_with(CONTROLLER);
        for metric in METRICS.iter().filter(own) {
            instrument(&meter, metric, Arc::clone(&newest));
        }
        Self { newest, reader, _provider: provider }
    }

    /// The readings as the SDK's metrics.
    fn collect(&self, readings: Vec<Reading>) -> Result<ResourceMetrics> {
        *lock(&self.newest) = readings;
        let mut metrics = ResourceMetrics::default();
        self.reader.collect(&mut metrics).map_err(failed)?;
        Ok(metrics)
    }
}

/// Registers the instrument of a metric. The pipeline owns its callback, so the handle is dropped.
fn instrument(meter: &Meter, metric: &'static Metric, newest: Newest) {
    let observe = move |to: &dyn AsyncInstrument<f64>| {
        for reading in lock(&newest).iter().filter(|reading| reading.metric.name == metric.name) {
            to.observe(reading.value, &attributes(reading));
        }
    };
    let Metric { name, unit, about, .. } = *metric;
    match metric.instrument {
        Instrument::Counter => drop(
            meter.f64_observable_counter(name).with_unit(unit).with_description(about).with_callback(observe).build(),
        ),
        // None of these metrics is a distribution.
        Instrument::Gauge | Instrument::Histogram => drop(
            meter.f64_observable_gauge(name).with_unit(unit).with_description(about).with_callback(observe).build(),
        ),
    }
}

fn attributes(reading: &Reading) -> Vec<KeyValue> {
    reading.attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect()
}

/// A reader that collects on request. The SDK takes ownership of its reader, and this shares it.
#[derive(Debug, Clone, Default)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The exporter to `target`. The configuration already combines `OTEL_EXPORTER_OTLP_*` with the file, so everything that the
/// exporter would look up itself is set here.
fn exporter(target: &OtlpTarget) -> Result<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative);
    let built: Result<_, ExporterBuildError> = match otlp::transport(target)? {
        Transport::Grpc { channel, metadata } => {
            let with_metadata = move |mut request: tonic::Request<()>| {
                *request.metadata_mut() = metadata.clone();
                Ok(request)
            };
            let builder = builder.with_tonic().with_channel(channel).with_interceptor(with_metadata);
            builder.with_protocol(Protocol::Grpc).with_timeout(LIMIT).build()
        }
        Transport::Http { client, headers } => {
            let builder = builder.with_http().with_http_client(FixedHeaders { client, headers });
            builder.with_endpoint(&target.url).with_protocol(Protocol::HttpBinary).with_timeout(LIMIT).build()
        }
    };
    built.map_err(failed)
}

/// A client that sends the configured headers and no others.
#[derive(Debug)]
struct FixedHeaders<C> {
    client: C,
    headers: HeaderMap,
}

#[async_trait]
impl<C: HttpClient> HttpClient for FixedHeaders<C> {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        request.headers_mut().clone_from(&self.headers);
        self.client.send_bytes(request).await
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::config;

    use contextcore_core::progress::Quiet;
    use contextcore_core::store::Store;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};

    use super::*;

    fn reading(metric: Metric, attributes: &[(&'static str, &str)], value: f64) -> Reading {
        Reading {
            metric,
            attributes: attributes.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
            value,
        }
    }

    /// Every point as `name unit kind {attributes} value`.
    fn lines(metrics: &ResourceMetrics) -> Vec<String> {
        let mut lines = Vec::new();
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            let mut line = |kind: &str, attributes: &mut dyn Iterator<Item = &KeyValue>, value: f64| {
                let attributes: Vec<String> = attributes.map(|pair| format!("{}={}", pair.key, pair.value)).collect();
                lines.push(format!("{} {} {kind} {attributes:?} {value}", metric.name(), metric.unit()));
            };
            match metric.data() {
                AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                    assert_eq!((sum.is_monotonic(), sum.temporality()), (true, Temporality::Cumulative));
                    sum.data_points().for_each(|point| line("sum", &mut point.attributes(), point.value()));
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().for_each(|point| line("gauge", &mut point.attributes(), point.value()));
                }
                other => panic!("{other:?}"),
            }
        }
        lines.sort();
        lines
    }

    #[test]
    fn readings_become_points_and_a_removed_one_is_not_exported_again() {
        let instruments = Instruments::new();
        let sent = |value| reading(semconv::M_EXPORT_SENT, &[(semconv::SIGNAL, "logs")], value);
        let backlog = |source, value| reading(semconv::M_JOURNAL_BACKLOG, &[(semconv::SOURCE_NAME, source)], value);
        let first = instruments.collect(vec![sent(100.0), backlog("a", 3.0), backlog("b", 4.0)]).unwrap();
        assert_eq!(
            lines(&first),
            [
                "contextcore.export.sent {item} sum [\"signal=logs\"] 100",
                "contextcore.journal.backlog {change} gauge [\"source.name=a\"] 3",
                "contextcore.journal.backlog {change} gauge [\"source.name=b\"] 4",
            ]
        );
        let names: Vec<String> = first.resource().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(names, ["service.name=contextcore"]);
        let second = instruments.collect(vec![sent(120.0), backlog("b", 0.0)]).unwrap();
        assert_eq!(
            lines(&second),
            [
                "contextcore.export.sent {item} sum [\"signal=logs\"] 120",
                "contextcore.journal.backlog {change} gauge [\"source.name=b\"] 0",
            ]
        );
    }

    #[test]
    fn without_the_metrics_signal_there_is_no_pipeline() {
        let config = config::parse("export: {otlp: {signals: [traces, logs]}}", "x.yaml", &[]).unwrap();
        assert!(SelfMetrics::connect(&config.export.otlp).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_backend_that_never_answers_ends_the_push_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for protocol in ["grpc", "http/protobuf"] {
            let endpoint = format!("{{endpoint: 'http://{}', protocol: {protocol}}}", silent.local_addr().unwrap());
            let config = config::parse(&format!("export: {{otlp: {endpoint}}}"), "x.yaml", &[]).unwrap();
            let store = Store::open(&dir.path().join(&protocol[..4])).unwrap();
            let own = SelfMetrics::start(&config.export.otlp).unwrap();
            let engine = crate::app::engine(config, store, Box::new(Quiet));
            tokio::time::pause();
            let begun = tokio::time::Instant::now();
            let error = own.try_push(&engine).await.unwrap_err();
            assert!(begun.elapsed() <= LIMIT + Duration::from_millis(10), "{protocol}: {:?}", begun.elapsed());
            assert_eq!(error.kind(), ErrorKind::Export);
            tokio::time::resume();
        }
    }
}
