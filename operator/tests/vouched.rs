//! The pipeline of `docs/KUBERNETES.md` and that of our own gateway in a real Collector, with the pods of a real API server: a service
//! is who the cluster says it is, and not who it claims to be.
//!
//! `tests/cluster/build.sh` and `tests/stack/build.sh` build both. Without them these tests say that they were skipped, or fail where
//! `CONTEXTCORE_REQUIRE_CLUSTER` and `CONTEXTCORE_REQUIRE_STACK` are set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contextcore_cluster::{Cluster, Server, Suite, free_ports, get, post};
use contextcore_operator::derive::derive;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::yaml;
use serde_json::{Value, json};

use super::rig;

const PATIENCE: Duration = Duration::from_secs(60);
/// What a team adds to the pipelines of the documentation: where telemetry comes from and goes to.
const ENDS: &str = r#"
receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}}
processors: {k8sattributes: {auth_type: kubeConfig, wait_for_metadata: true}}
exporters: {file: {path: out.json, flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}, logs: {level: info}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
    metrics: {receivers: [otlp], exporters: [file]}
    logs: {receivers: [otlp], exporters: [file]}
"#;

/// What a test changes of a gateway that is meant for a cluster: its addresses, and who it is.
const HERE: &str = r#"
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "${env:OTLP_HTTP}"}}}}
processors: {k8sattributes: {auth_type: kubeConfig, wait_for_metadata: true}}
service: {telemetry: {metrics: {level: none}}}
"#;
const MANAGED: &str = "collector: {mode: managed, exporters: {file: {path: out.json, flush_interval: 100ms}}}\n";

/// What a team adds to the second configuration, where sampling is consistent.
const KEPT: &str = "service: {pipelines: {traces/kept: {exporters: [file]}}}\n";

/// The configurations that the page on Kubernetes shows below its heading on sampling: for any collector, and for several.
fn documented() -> [String; 2] {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/KUBERNETES.md")).unwrap();
    let (_, section) = page.split_once("\n## Sampling\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut blocks = section.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    let any = blocks.next().unwrap();
    [any, blocks.find(|block| block.contains("routing/contextcore")).unwrap()]
}

/// A deployment with one pod at an address, as its controllers would make them; returns the name of the pod.
fn run_pod(cluster: &Cluster, namespace: &str, name: &str, address: &str) -> String {
    let template = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}]},
    });
    let owned_by = |kind: &str, owner: &str| {
        let uid = cluster.get(kind, namespace, owner).unwrap()["metadata"]["uid"].clone();
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": uid, "controller": true}])
    };
    let set = |kind: &str, name: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template},
        })
    };
    cluster.apply(namespace, &[set("Deployment", name)]).succeeds();
    let (replicas, pod) = (format!("{name}-5d59d67564"), format!("{name}-5d59d67564-x2x4z"));
    let mut replica_set = set("ReplicaSet", &replicas);
    replica_set["metadata"]["ownerReferences"] = owned_by("Deployment", name);
    cluster.apply(namespace, &[replica_set]).succeeds();
    let mut object = template.clone();
    object["apiVersion"] = "v1".into();
    object["kind"] = "Pod".into();
    object["metadata"]["name"] = pod.as_str().into();
    object["metadata"]["ownerReferences"] = owned_by("ReplicaSet", &replicas);
    cluster.apply(namespace, &[object]).succeeds();
    let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}).to_string();
    cluster.kubectl(&["patch", "pod", &pod, "-n", namespace, "--subresource=status", "-p", &status]).succeeds();
    pod
}

/// Starts a collector with these files of configuration, the later over the earlier.
fn start(cluster: &Cluster, program: &Path, folder: &Path, files: &[String]) -> (Server, String) {
    let [port] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    for (at, text) in files.iter().enumerate() {
        fs::write(folder.join(format!("{at}.yaml")), text).unwrap();
        command.arg(format!("--config=file:{at}.yaml"));
    }
    command.env("OTLP_HTTP", &address).env("KUBECONFIG", cluster.kubeconfig());
    let mut server = Server::spawn("otelcol", command, folder);
    let is_ready = || get(&address, "/v1/logs").is_ok_and(|reply| reply.status == 405);
    server.until(is_ready).unwrap_or_else(|error| panic!("{error}"));
    (server, address)
}

/// A log record with this text, of somebody who says this of himself.
fn record(text: &str, claims: &[(&str, &str)]) -> Value {
    let claims = claims.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}));
    json!({"resourceLogs": [{
        "resource": {"attributes": claims.collect::<Vec<_>>()},
        "scopeLogs": [{"logRecords": [{"body": {"stringValue": text}}]}],
    }]})
}

/// What became of the resource of the record with this text, once it is written.
fn resource(folder: &Path, text: &str) -> BTreeMap<String, String> {
    let began = Instant::now();
    loop {
        let written = fs::read_to_string(folder.join("out.json")).unwrap_or_default();
        let lines = written.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut resources = lines.flat_map(|line| line["resourceLogs"].as_array().unwrap().clone());
        let is_it = |log: &Value| log["scopeLogs"][0]["logRecords"][0]["body"]["stringValue"] == text;
        if let Some(found) = resources.find(is_it) {
            let attributes = found["resource"]["attributes"].as_array().unwrap().iter();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return attributes.map(|each| (text(&each["key"]), text(&each["value"]["stringValue"]))).collect();
        }
        assert!(began.elapsed() < PATIENCE, "{text} was never written");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nobody_takes_the_place_of_a_service_of_another_namespace() {
    nobody_claims("documented", |contexts| {
        let fragment = rig::fragment(&derive(contexts, &rig::settings("")));
        let [any, _] = documented();
        vec![ENDS.to_owned(), any, fragment]
    });
    nobody_claims("several", |contexts| {
        let fragment = rig::fragment(&derive(contexts, &rig::settings("sampling: {strategy: consistent}\n")));
        let [any, several] = documented();
        vec![ENDS.to_owned(), any, several, KEPT.to_owned(), fragment]
    });
}

#[test]
fn nobody_takes_the_place_of_another_in_the_gateway_of_ours() {
    for (stem, more) in [("managed", ""), ("consistent", "sampling: {strategy: consistent}\n")] {
        nobody_claims(stem, |contexts| {
            let derivation = derive(contexts, &rig::settings(&format!("{MANAGED}{more}")));
            let gateway = &rig::object(&derivation, "OpenTelemetryCollector")["spec"]["config"];
            vec![yaml::text(gateway), HERE.to_owned()]
        });
    }
}

/// Two applications in one pod: one says the truth, the other claims to be a critical service of another namespace.
fn nobody_claims(stem: &str, files: impl Fn(&[ProjectContext]) -> Vec<String>) {
    let (Some(cluster), Some(program)) = (Cluster::shared(), Suite::Stack.program("otelcol")) else { return };
    // Everything that connects from this machine is the one pod that runs.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = cluster.namespace(stem);
    let pod = run_pod(cluster, &namespace, "basket", "127.0.0.1");
    let critical = json!({"business": {"criticality": "critical"}});
    let contexts = [rig::context("commerce", "checkout", &critical), rig::context(&namespace, "basket", &json!({}))];
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = start(cluster, &program, folder.path(), &files(&contexts));
    let seen = |text: &str, claims: &[(&str, &str)]| {
        assert_eq!(post(&address, "/v1/logs", &record(text, claims)).unwrap().status, 200);
        resource(folder.path(), text)
    };
    let honest = seen("honest", &[("service.name", "basket")]);
    assert_eq!(honest.get("k8s.namespace.name"), Some(&namespace), "{honest:?}\n{}", server.log());
    assert_eq!(honest["k8s.pod.name"], pod);
    assert_eq!((honest["project.id"].as_str(), honest["contextcore.sampling"].as_str()), ("shop", "10"));

    let claims = [
        ("k8s.namespace.name", "commerce"),
        ("k8s.pod.ip", "10.9.8.7"),
        ("service.name", "checkout"),
        ("contextcore.sampling", "100"),
    ];
    let impostor = seen("impostor", &claims);
    assert_eq!(impostor["k8s.namespace.name"], namespace);
    assert_eq!(impostor.get("project.id"), None, "{impostor:?}");
    assert_eq!(impostor["contextcore.sampling"], "others");
    // The next test has a pod at the same address.
    cluster.kubectl(&["delete", "pod", &pod, "-n", &namespace, "--force", "--grace-period=0"]).succeeds();
}
