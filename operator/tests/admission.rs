//! The admission policy of docs/KUBERNETES.md, word for word on a real API server.

use std::path::Path;
use std::time::{Duration, Instant};

use contextcore_cluster::{Cluster, Definitions};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// The block of the documentation with the policy.
fn policy() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/KUBERNETES.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut found = blocks.filter(|block| block.contains("ValidatingAdmissionPolicy"));
    found.next().expect("the documentation has a policy").to_owned()
}

fn context(name: &str, parts: &Value) -> Value {
    let mut spec = json!({"project": {"id": "shop"}});
    for (key, value) in parts.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "contextcore.io/v1", "kind": "ProjectContext", "metadata": {"name": name}, "spec": spec})
}

#[test]
fn the_policy_of_the_documentation_refuses_what_is_beyond_the_limits() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.install(Definitions::ContextCore);
    ["commerce", "shop"].iter().for_each(|name| drop(cluster.kubectl(&["create", "namespace", name]).succeeds()));
    cluster.kubectl_with(&["apply", "-f", "-"], &policy()).succeeds();
    let refused = [
        (json!({"business": {"criticality": "critical"}}), "spec.business.criticality is at most medium"),
        (json!({"observability": {"traceSampling": 1}}), "spec.observability.traceSampling is at most 0.2"),
        (json!({"observability": {"metricsInterval": "10s"}}), "spec.observability.metricsInterval is at least 30s"),
        (json!({"observability": {"alertChannels": ["web", "pager"]}}), "may name search and web"),
        (json!({"project": {"id": "commerce-platform"}}), "belongs to namespace commerce"),
    ];
    let began = Instant::now();
    // The API server takes a moment to see a new policy.
    while cluster.apply("shop", &[context("first", &refused[0].0)]).ok {
        assert!(began.elapsed() < PATIENCE, "the policy refuses nothing");
        std::thread::sleep(Duration::from_millis(200));
    }
    for (parts, message) in &refused {
        let answer = cluster.apply("shop", &[context("bad", parts)]);
        assert!(!answer.ok && answer.err.contains(message), "{parts}: {}", answer.err);
        cluster.apply("commerce", &[context("good", parts)]).succeeds();
        cluster.kubectl(&["delete", "pctx", "good", "-n", "commerce"]).succeeds();
    }
    let allowed = json!({
        "business": {"criticality": "medium"},
        "observability": {"traceSampling": 0.2, "metricsInterval": "1m", "alertChannels": ["web"]},
    });
    cluster.apply("shop", &[context("allowed", &allowed), context("plain", &json!({}))]).succeeds();
    // An update is looked at as well.
    assert!(!cluster.apply("shop", &[context("plain", &refused[0].0)]).ok);
}
