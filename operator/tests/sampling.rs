//! The sampling fragment in the hands of the real thing: an OpenTelemetry Collector keeps of 10,000 traces what it shall.
//!
//! `tests/stack/build.sh` builds it. Without it these tests say that they were skipped, or fail where `CONTEXTCORE_REQUIRE_STACK`
//! is set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use contextcore_cluster::{Server, Suite, free_ports, get, post};
use contextcore_operator::derive::derive;
use contextcore_operator::resource::ProjectContext;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{property, rig};

/// A collector that receives on a given port, and writes what passes into files.
const AROUND: &str = r#"
receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}}
exporters:
  file/traces: {path: traces.json, flush_interval: 100ms}
  file/others: {path: others.json}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    metrics: {receivers: [otlp], processors: [transform/contextcore], exporters: [file/others]}
    logs: {receivers: [otlp], processors: [transform/contextcore], exporters: [file/others]}
"#;
/// Its pipelines of traces, which name our processors.
const TRACES: &str = "    traces: {receivers: [otlp], processors: [transform/contextcore, tail_sampling/contextcore], exporters: [file/traces]}\n";
const SETTINGS: &str = "sampling: {decisionWait: 1s}\n";
/// How long a decision may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Traces in a request.
const BATCH: usize = 250;

/// A running collector.
pub(crate) struct Collector {
    server: Server,
    address: String,
    folder: TempDir,
}

impl Collector {
    /// None: there is no collector, and the test has to return.
    fn start(contexts: &[ProjectContext]) -> Option<Self> {
        Self::start_with(contexts, SETTINGS, TRACES)
    }

    /// The same with these settings, and the pipelines of traces that a team has configured.
    pub(crate) fn start_with(contexts: &[ProjectContext], settings: &str, traces: &str) -> Option<Self> {
        let program = Suite::Stack.program("otelcol")?;
        let folder = tempfile::tempdir().unwrap();
        let fragment = rig::fragment(&derive(contexts, &rig::settings(settings)));
        fs::write(folder.path().join("base.yaml"), [AROUND, traces].concat()).unwrap();
        fs::write(folder.path().join("contextcore.yaml"), fragment).unwrap();
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["--config=file:base.yaml", "--config=file:contextcore.yaml"]).env("OTLP_HTTP", &address);
        let mut server = Server::spawn("otelcol", command, folder.path());
        // A GET is no export: 405 says that it listens.
        let is_ready = || get(&address, "/v1/traces").is_ok_and(|reply| reply.status == 405);
        server.until(is_ready).unwrap_or_else(|error| panic!("{error}"));
        Some(Self { server, address, folder })
    }

    pub(crate) fn send(&self, path: &str, body: &Value) {
        let reply = post(&self.address, path, body).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// Waits until it has decided about a trace that is sent now, and so about all before.
    fn decide(&self) {
        let last = Kind { has_failed: true, ..Kind::new("last", "shop", "none", 1) };
        last.requests().flatten().for_each(|request| self.send("/v1/traces", &request));
        let began = Instant::now();
        let is_written =
            || fs::read_to_string(self.folder.path().join("traces.json")).unwrap().contains(&last.trace(0));
        while !is_written() {
            assert!(began.elapsed() < PATIENCE, "{}", self.server.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops it, whereupon it decides what is still undecided; returns what it kept, and what it logged.
    pub(crate) fn stop(self) -> Output {
        let log = self.server.stop();
        let spans = lines(self.folder.path(), "traces.json").iter().flat_map(spans).collect();
        Output { spans, others: lines(self.folder.path(), "others.json"), log }
    }
}

fn lines(folder: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a collector let pass.
pub(crate) struct Output {
    pub(crate) spans: Vec<Span>,
    others: Vec<Value>,
    pub(crate) log: String,
}

/// A span as the collector wrote it.
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) name: String,
    /// Its `tracestate`.
    pub(crate) state: String,
    pub(crate) resource: BTreeMap<String, String>,
}

fn spans(request: &Value) -> Vec<Span> {
    let of_resource = |resource: &Value| {
        let attributes = attributes(&resource["resource"]);
        let spans =
            resource["scopeSpans"].as_array().unwrap().iter().flat_map(|scope| scope["spans"].as_array().unwrap());
        let span = |span: &Value| Span {
            trace: span["traceId"].as_str().unwrap().to_owned(),
            name: span["name"].as_str().unwrap().to_owned(),
            state: span["traceState"].as_str().unwrap_or_default().to_owned(),
            resource: attributes.clone(),
        };
        spans.map(span).collect::<Vec<_>>()
    };
    request["resourceSpans"].as_array().unwrap().iter().flat_map(of_resource).collect()
}

fn attributes(holder: &Value) -> BTreeMap<String, String> {
    let pair = |attribute: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&attribute["key"]), text(&attribute["value"]["stringValue"]))
    };
    holder["attributes"].as_array().unwrap().iter().map(pair).collect()
}

/// Requests of one kind: where they arrive, and what the spans say.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) service: (&'static str, &'static str),
    /// The service that is called; the same one where a trace stays in a service.
    pub(crate) calls: (&'static str, &'static str),
    pub(crate) count: usize,
    pub(crate) method: &'static str,
    pub(crate) has_failed: bool,
    /// What the application says of sampling: in `tracestate`, and in OpenTracing's attribute.
    pub(crate) state: &'static str,
    pub(crate) priority: bool,
}

impl Kind {
    pub(crate) const fn new(name: &'static str, namespace: &'static str, service: &'static str, count: usize) -> Self {
        let service = (namespace, service);
        Self { name, service, calls: service, count, method: "GET", has_failed: false, state: "", priority: false }
    }

    /// A 128-bit id, always the same: a share that is right today is right tomorrow.
    fn trace(&self, number: usize) -> String {
        blake3::hash(format!("{} {number}", self.name).as_bytes()).to_hex()[..32].to_owned()
    }

    /// Three spans of a trace. The last comes in a later request than the others.
    fn spans(&self, number: usize) -> [Value; 3] {
        let trace = self.trace(number);
        let span = |id: &str, parent: &str, name: &str| {
            let priority = self.priority.then(|| attribute("sampling.priority", "1"));
            json!({
                "traceId": trace, "spanId": format!("{id}{}", &trace[..14]), "name": name, "kind": 2,
                "traceState": self.state, "attributes": Vec::from_iter(priority),
                "parentSpanId": if parent.is_empty() { String::new() } else { format!("{parent}{}", &trace[..14]) },
                "startTimeUnixNano": "1795000000000000000", "endTimeUnixNano": "1795000000100000000",
            })
        };
        let mut root = span("01", "", self.name);
        root["attributes"].as_array_mut().unwrap().push(attribute("http.request.method", self.method));
        if self.has_failed {
            root["status"] = json!({"code": 2});
        }
        [root, span("02", "01", self.name), span("03", "02", self.name)]
    }

    /// The requests of an exporter: what each service sends of some traces.
    pub(crate) fn requests(&self) -> impl Iterator<Item = [Value; 2]> {
        let numbers: Vec<usize> = (0..self.count).collect();
        let requests = numbers.chunks(BATCH).map(|batch| {
            let spans: Vec<[Value; 3]> = batch.iter().map(|number| self.spans(*number)).collect();
            let of = |at: usize| spans.iter().map(|spans| spans[at].clone()).collect::<Vec<_>>();
            let first = json!([resource_spans(self.service, &of(0)), resource_spans(self.calls, &of(1))]);
            [json!({"resourceSpans": first}), json!({"resourceSpans": [resource_spans(self.calls, &of(2))]})]
        });
        requests.collect::<Vec<_>>().into_iter()
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Who sends, with claims that it may not make.
fn resource((namespace, service): (&str, &str)) -> Value {
    json!({"attributes": [
        attribute("k8s.namespace.name", namespace),
        attribute("service.name", service),
        attribute("project.id", "claimed"),
        attribute("contextcore.sampling", "100"),
        attribute("contextcore.audit", "extended"),
    ]})
}

fn resource_spans(service: (&str, &str), spans: &[Value]) -> Value {
    json!({"resource": resource(service), "scopeSpans": [{"spans": spans}]})
}

pub(crate) fn rate(name: &str, rate: f64) -> ProjectContext {
    rig::context("shop", name, &json!({"observability": {"traceSampling": rate}}))
}

/// 10,000 traces, and the share of each kind that shall be kept.
fn kinds() -> Vec<(Kind, f64)> {
    let shop = |name, service, count| Kind::new(name, "shop", service, count);
    vec![
        (shop("all", "all", 1_000), 1.0),
        (shop("half", "half", 2_000), 0.5),
        (shop("tenth", "tenth", 2_000), 0.1),
        (shop("hundredth", "hundredth", 2_000), 0.01),
        (shop("none", "none", 800), 0.0),
        (Kind { has_failed: true, ..shop("error", "none", 200) }, 1.0),
        (Kind { method: "POST", ..shop("write", "none", 300) }, 0.0),
        (shop("audited-read", "audited", 300), 0.0),
        (Kind { method: "DELETE", ..shop("audited-write", "audited", 200) }, 1.0),
        (Kind { calls: ("shop", "half"), ..shop("crossing", "tenth", 200) }, 0.5),
        (Kind::new("other", "elsewhere", "half", 1_000), 0.05),
    ]
}

/// What the collector says of a service, whatever the service claimed.
fn vouched(resource: &BTreeMap<String, String>) -> (&str, &str, &str) {
    let get = |key| resource.get(key).map_or("", String::as_str);
    (get("project.id"), get("contextcore.sampling"), get("contextcore.audit"))
}

/// The contexts of those services.
pub(crate) fn services() -> Vec<ProjectContext> {
    let rates = [("all", 1.0), ("half", 0.5), ("tenth", 0.1), ("hundredth", 0.01), ("none", 0.0)];
    let audited = json!({"observability": {"traceSampling": 0}, "risks": [{"risk": "fraud", "priority": "P1"}]});
    let rated = rates.map(|(name, share)| rate(name, share)).into_iter();
    rated.chain([rig::context("shop", "audited", &audited)]).collect()
}

#[test]
fn ten_thousand_traces_are_kept_at_the_rates_of_their_services() {
    let kinds = kinds();
    assert_eq!(kinds.iter().map(|(kind, _)| kind.count).sum::<usize>(), 10_000);
    let Some(collector) = Collector::start(&services()) else { return };
    let (first, last): (Vec<_>, Vec<_>) = kinds.iter().flat_map(|(kind, _)| kind.requests()).map(Into::into).unzip();
    first.iter().chain(&last).for_each(|request| collector.send("/v1/traces", request));
    collector.decide();
    let kept = collector.stop();

    let mut by_kind: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for span in &kept.spans {
        *by_kind.entry(&span.name).or_default().entry(&span.trace).or_default() += 1;
    }
    for (kind, share) in kinds {
        let traces = by_kind.remove(kind.name).unwrap_or_default();
        assert!(traces.values().all(|spans| *spans == 3), "{}: a trace is not whole", kind.name);
        let (count, kept) = (kind.count as f64, traces.len() as f64);
        let deviation = (count * share * (1.0 - share)).sqrt();
        println!("{}: {kept} of {count}, {share} asked for, sigma {deviation:.1}", kind.name);
        assert!((kept - count * share).abs() <= 3.0 * deviation, "{}: {kept} of {count} at {share}", kind.name);
    }
    kept.spans.iter().for_each(says_whose_it_is);
}

/// What a service claims itself is overwritten.
pub(crate) fn says_whose_it_is(span: &Span) {
    let wanted = match (span.resource["k8s.namespace.name"].as_str(), span.resource["service.name"].as_str()) {
        ("shop", "all") => ("shop", "100", ""),
        ("shop", "half") => ("shop", "50", ""),
        ("shop", "tenth") => ("shop", "10", ""),
        ("shop", "hundredth") => ("shop", "1", ""),
        ("shop", "none") => ("shop", "0", ""),
        ("shop", "audited") => ("shop", "0", "extended"),
        _ => ("claimed", "others", ""),
    };
    assert_eq!(vouched(&span.resource), wanted, "{:?}", span.resource);
}

/// A trace of a service, as a request.
fn one(service: (&str, &str), number: usize) -> Value {
    let spans = Kind::new("one", "", "", 1).spans(number);
    json!({"resourceSpans": [resource_spans(service, &spans[..1])]})
}

#[test]
fn without_any_context_it_starts_and_keeps_the_share_of_others() {
    let Some(collector) = Collector::start(&[]) else { return };
    let kind = Kind::new("other", "elsewhere", "half", 2_000);
    kind.requests().for_each(|[first, _]| collector.send("/v1/traces", &first));
    let kept = collector.stop();
    let roots = kept.spans.len() / 2;
    assert!((71..=129).contains(&roots), "{roots} of 2,000 at 5 %");
    assert!(kept.spans.iter().all(|span| vouched(&span.resource) == ("claimed", "others", "")));
}

/// Names that the definition refuses. Should one get past it, it must not become part of a statement.
const HOSTILE: [&str; 8] = [
    "x\" or true or \"a\" == \"a",
    "${env:HOME}",
    "$${env:HOME}",
    "a\\",
    "a\nb: [",
    "{{ query `up` }}",
    "*who",
    "\u{2028}'# x",
];

#[test]
fn no_name_becomes_part_of_a_statement() {
    let context = |(at, name): (usize, &&str)| {
        let spec = json!({
            "targets": [{"kind": "Deployment", "name": "a", "service": name}],
            "observability": {"traceSampling": 1},
        });
        let mut context = rig::context(&format!("n{at}"), "a", &spec);
        context.spec.project.id = (*name).to_owned();
        context
    };
    let Some(collector) = Collector::start(&HOSTILE.iter().enumerate().map(context).collect::<Vec<_>>()) else {
        return;
    };
    for (at, name) in HOSTILE.iter().enumerate() {
        collector.send("/v1/traces", &one((&format!("n{at}"), name), at));
    }
    // They change nothing for others, of which 5 % are kept: none of these.
    let innocent: Vec<usize> = (100..110).collect();
    innocent.iter().for_each(|number| collector.send("/v1/traces", &one(("n0", "a"), *number)));
    let kept = collector.stop();
    let mut projects: Vec<_> = kept.spans.iter().map(|span| vouched(&span.resource)).collect();
    let mut wanted = HOSTILE.map(|name| (name, "100", ""));
    projects.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(projects, wanted, "{}", kept.log);
}

#[test]
fn records_and_metrics_say_whose_they_are() {
    let Some(collector) = Collector::start(&[rate("half", 0.5)]) else { return };
    let resource = resource(("shop", "half"));
    let record = json!({"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}], "resource": resource});
    collector.send("/v1/logs", &json!({"resourceLogs": [record]}));
    let points = json!({"dataPoints": [{"asInt": "1", "timeUnixNano": "1795000000000000000"}]});
    let metric = json!({"scopeMetrics": [{"metrics": [{"name": "m", "gauge": points}]}], "resource": resource});
    collector.send("/v1/metrics", &json!({"resourceMetrics": [metric]}));
    let kept = collector.stop();
    let resources: Vec<BTreeMap<String, String>> = kept
        .others
        .iter()
        .flat_map(|line| ["resourceLogs", "resourceMetrics"].map(|key| &line[key][0]["resource"]))
        .filter(|resource| resource.is_object())
        .map(attributes)
        .collect();
    assert_eq!(resources.len(), 2);
    assert!(resources.iter().all(|resource| vouched(resource) == ("shop", "50", "")), "{resources:?}");
}

#[test]
fn the_fragment_of_any_contexts_starts() {
    let contexts = property::contexts(100);
    assert!(contexts.len() >= 20, "{}", contexts.len());
    let Some(collector) = Collector::start(&contexts) else { return };
    let shares: [f64; 5] = [0.3, 0.07, 1e-7, 0.999_999, 0.123_456_789];
    let Some(other) = Collector::start(&shares.map(|share| rate(&format!("a{}", share.to_bits()), share))) else {
        return;
    };
    for collector in [collector, other] {
        let log = collector.stop().log;
        assert!(!log.contains("error"), "{log}");
    }
}
