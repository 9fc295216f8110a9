//! The controller on a real API server. Each test has a namespace, an installation and a Lease of its own.

mod outage;
mod outputs;
mod refusals;
mod shared;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contextcore_cluster::{Cluster, Definitions};
use contextcore_operator::controller::outside::{Outside, Sample};
use contextcore_operator::controller::{ContextChange, End, Options, connect, prune, run};
use contextcore_operator::grafana::{Left, ProvisionError, ServiceDashboard};
use contextcore_operator::settings::Settings;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

const CONTEXTS: &str = "projectcontexts.contextcore.io";
const RULES: &str = "prometheusrules.monitoring.coreos.com";
const COLLECTORS: &str = "opentelemetrycollectors.opentelemetry.io";
/// Longer than the longest pause between two tries of the controller, which is five minutes.
const PATIENCE: Duration = Duration::from_secs(330);

/// Prometheus and the audit, as a test has them.
#[derive(Default)]
struct Fake {
    changes: Mutex<Vec<ContextChange>>,
    /// Answers by a part of the query.
    series: Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
}

#[async_trait]
impl Outside for Fake {
    fn now(&self) -> jiff::Timestamp {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        jiff::Timestamp::from_millisecond(i64::try_from(now.as_millis()).unwrap()).unwrap()
    }

    async fn query(&self, _: &str, promql: &str) -> Result<Vec<Sample>, String> {
        let found = self.series.iter().filter(|(part, _)| promql.contains(part));
        let sample = |(name, value): &(&str, &str)| Sample {
            labels: [((*name).to_owned(), (*value).to_owned())].into(),
            value: 1.0,
        };
        Ok(found.flat_map(|(_, labels)| labels.iter().map(sample)).collect())
    }

    async fn record(&self, changes: Vec<ContextChange>) {
        self.changes.lock().unwrap().extend(changes);
    }

    async fn provision(&self, _: &[ServiceDashboard], _: &Settings) -> Option<Result<Vec<Left>, ProvisionError>> {
        None
    }
}

/// A controller that runs in this process until it is dropped.
struct Controller {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<End, String>>>,
    settings: mpsc::Sender<Result<Settings, Vec<String>>>,
    fake: Arc<Fake>,
    namespace: String,
}

impl Controller {
    fn start(cluster: &Cluster, namespace: &str, settings: &str) -> Self {
        Self::start_as(cluster.kubeconfig(), namespace, settings, Fake::default())
    }

    fn start_as(kubeconfig: PathBuf, namespace: &str, settings: &str, fake: Fake) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (send, updates) = mpsc::channel(1);
        let fake = Arc::new(fake);
        let outside: Arc<dyn Outside> = Arc::clone(&fake) as _;
        let options = Options {
            namespace: namespace.to_owned(),
            watch_namespaces: vec![namespace.to_owned()],
            settings_config_map: None,
            settings: settings_in(namespace, settings),
            listen: "127.0.0.1:0".to_owned(),
            identity: format!("{namespace}-test"),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let target = connect::Target { kubeconfig: Some(kubeconfig), ..connect::Target::default() };
                let (client, _) = connect::connect(&target).await?;
                run(client, options, outside, updates, async { drop(stopped.await) }).await
            })
        });
        Self { stop: Some(stop), thread: Some(thread), settings: send, fake, namespace: namespace.to_owned() }
    }

    fn set(&self, settings: &str) {
        self.settings.blocking_send(Ok(settings_in(&self.namespace, settings))).unwrap();
    }

    fn end(mut self) -> Result<End, String> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Settings of an installation that is called as its namespace.
fn settings_in(namespace: &str, more: &str) -> Settings {
    Settings::parse("s.yaml", &format!("instance: {namespace}\nnamespace: {namespace}\n{more}")).unwrap()
}

fn cluster(stem: &str) -> Option<(&'static Cluster, String)> {
    let cluster = Cluster::shared()?;
    Definitions::ALL.into_iter().for_each(|definitions| cluster.install(definitions));
    Some((cluster, cluster.namespace(stem)))
}

fn context(name: &str, parts: &Value) -> Value {
    let mut spec = json!({"project": {"id": "shop"}, "business": {"criticality": "high", "owner": "shop-team"}});
    for (key, value) in parts.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "contextcore.io/v1", "kind": "ProjectContext", "metadata": {"name": name}, "spec": spec})
}

fn with_rules(name: &str) -> Value {
    context(name, &json!({"requirements": {"availability": "99.9"}}))
}

/// Asks until the answer is there.
#[track_caller]
fn until<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    until_or(|| what.to_owned(), ask)
}

/// The same; the words are asked for when it was in vain.
#[track_caller]
fn until_or<T>(what: impl Fn() -> String, ask: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{}", what());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A condition of a context: status, reason and message.
fn condition(cluster: &Cluster, namespace: &str, name: &str, kind: &str) -> Option<(String, String, String)> {
    let object = cluster.get(CONTEXTS, namespace, name)?;
    let found = object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?.clone();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (found["observedGeneration"] == object["metadata"]["generation"])
        .then(|| (text("status"), text("reason"), text("message")))
}

#[track_caller]
fn until_condition(cluster: &Cluster, namespace: &str, name: &str, kind: &str, wanted: (&str, &str)) -> String {
    until_or(
        || format!("{namespace}/{name}: {kind} becomes {wanted:?}, is {:?}", condition(cluster, namespace, name, kind)),
        || {
            let (status, reason, message) = condition(cluster, namespace, name, kind)?;
            ((status.as_str(), reason.as_str()) == wanted).then_some(message)
        },
    )
}

fn events(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let text = cluster.kubectl(&["get", "events.events.k8s.io", "-n", namespace, "-o", "json"]).succeeds();
    let list: Value = serde_json::from_str(&text).unwrap();
    let text = |event: &Value| format!("{} {}", event["reason"].as_str().unwrap(), event["note"].as_str().unwrap());
    list["items"].as_array().unwrap().iter().map(text).collect()
}

fn block_on<T, F: Future<Output = T>>(cluster: &Cluster, work: impl FnOnce(connect::Client) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = connect::Target { kubeconfig: Some(cluster.kubeconfig()), ..connect::Target::default() };
        let (client, _) = connect::connect(&target).await.unwrap();
        work(client).await
    })
}
