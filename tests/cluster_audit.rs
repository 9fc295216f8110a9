//! Records of changed contexts, `project.context_changed`, when the controller is killed before the backend has them.

use std::collections::BTreeMap;
use std::time::Duration;

use contextcore_cluster::Cluster;
use contextcore_fakes::otlp::{Collector, Fault, Handle, Log, Options, Signal};
use serde_json::Value;

use crate::cluster_controller::{Process, cluster, context, until};

/// Longer than a controller waits before it takes from a status what the backend has.
const SETTLED: Duration = Duration::from_secs(5);

fn extended(availability: &str) -> Value {
    let mut context = context("a", availability);
    context["spec"]["observability"] = serde_json::json!({"auditLogging": "extended"});
    context
}

/// What the backend has of the context, by what it is about: each copy of each record.
fn records(backend: &Handle) -> BTreeMap<String, Vec<Log>> {
    let mut records: BTreeMap<String, Vec<Log>> = BTreeMap::new();
    for log in backend.logs() {
        if log.body.to_string().contains("ProjectContext shop/a was") {
            let key = format!("{:?}", log.attributes.get("context.digest.after"));
            records.entry(key).or_default().push(log);
        }
    }
    records
}

fn status(cluster: &Cluster) -> Value {
    cluster
        .get("projectcontexts.contextcore.io", "shop", "a")
        .map(|object| object["status"].clone())
        .unwrap_or_default()
}

fn waits(cluster: &Cluster) -> usize {
    status(cluster)["unrecorded"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_backend_does_not_have_outlives_the_controller() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let backend = Collector::start(Options::default()).await.unwrap();
    let [port] = contextcore_cluster::free_ports();
    let start = |name: &str| {
        Process::start_with(&cluster, folder.path(), name, port, &["--otlp-endpoint", &backend.grpc_url()])
    };
    backend.always(Signal::Logs, Some(Fault::unavailable(None)));
    let mut first = start("first");
    for (availability, count) in [("99.9", 1), ("99.5", 2)] {
        cluster.apply("shop", &[extended(availability)]).succeeds();
        until("it is recorded", || first.log().matches("project.context_changed").count() >= count);
    }
    until("the backend refused them", || first.log().contains("wait to be sent again"));
    first.kill();
    assert!(records(&backend).is_empty(), "{:?}", records(&backend));

    // The next one has them of the status, as they were.
    backend.always(Signal::Logs, None);
    let mut second = start("second");
    until("both records arrived", || records(&backend).len() == 2);
    let before = records(&backend);
    let text = format!("{before:?}");
    for part in ["was created", "was changed", "spec.requirements.availability", "99.9", "99.5", "kubectl"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    until("the status is clear", || waits(&cluster) == 0);
    let version = cluster.get("projectcontexts.contextcore.io", "shop", "a").unwrap()["metadata"].clone();
    std::thread::sleep(SETTLED);
    assert_eq!(records(&backend), before, "each is sent once");
    let now = cluster.get("projectcontexts.contextcore.io", "shop", "a").unwrap()["metadata"].clone();
    assert_eq!(now["resourceVersion"], version["resourceVersion"], "nothing changed, and nothing is written");

    // One that is killed before the status says that the backend has it: the same bytes come again, or none.
    cluster.apply("shop", &[extended("99")]).succeeds();
    until("the third record arrived", || records(&backend).len() == 3);
    second.kill();
    let third = start("third");
    until("the third leads", || third.leads());
    until("the status is clear", || waits(&cluster) == 0 && status(&cluster)["observedGeneration"] == 3);
    std::thread::sleep(SETTLED);
    let after = records(&backend);
    assert_eq!(after.len(), 3, "{after:?}");
    for copies in after.values() {
        assert!(copies.len() <= 2 && copies.iter().all(|copy| *copy == copies[0]), "{copies:?}");
    }
}
