//! The chart on a real API server: every object is accepted, pods fit the restricted standard, a release lives through install,
//! upgrade, rollback and uninstall, and the controller's account may do what it needs and nothing else.
//!
//! No controller manager runs there, so nothing starts pods or aggregates roles.

use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use contextcore_cluster::{Answer, Cluster, Definitions, Suite};
use serde_json::{Value, json};

use super::helm::{Helm, objects};
use super::template::{NAMESPACE, SETS, rendered};
use super::{chart, repository};

/// The shared server with all definitions, and the namespaces that the sets of values name.
fn prepared() -> Option<(&'static Cluster, Helm)> {
    static ONCE: Once = Once::new();
    let (helm, cluster) = (Helm::find()?, Cluster::shared()?);
    ONCE.call_once(|| {
        Definitions::ALL.iter().for_each(|definitions| cluster.install(*definitions));
        let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let names = [NAMESPACE, "commerce", "search", "monitoring", "observability"];
        cluster.apply("default", &names.map(namespace)).succeeds();
    });
    Some((cluster, helm))
}

#[test]
fn every_object_is_accepted() {
    let Some((cluster, helm)) = prepared() else { return };
    let accepted = |text: &str| {
        let lines = cluster.kubectl_with(&["apply", "--server-side", "--dry-run=server", "-f", "-"], text).succeeds();
        assert_eq!(lines.lines().count(), objects(text).len(), "{lines}");
    };
    for set in SETS {
        accepted(&rendered(&helm, set));
    }
    for file in ["serve.yaml", "sync.yaml"] {
        accepted(&fs::read_to_string(repository().join("deploy/kubernetes").join(file)).unwrap());
    }
}

/// The pods that an object makes, as pods.
fn pod(object: &Value) -> Option<Value> {
    let spec = &object["spec"];
    let template = match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "Job" => &spec["template"],
        "CronJob" => &spec["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    let mut pod = template.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = object["metadata"]["name"].clone();
    Some(pod)
}

#[test]
fn every_pod_fits_the_restricted_standard() {
    let Some((cluster, helm)) = prepared() else { return };
    let namespace = cluster.namespace("restricted");
    cluster.kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]).succeeds();
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "platform"}, "value": 1000,
    });
    cluster.apply(&namespace, &[class]).succeeds();
    let create = |pod: &Value| {
        let arguments = ["create", "--dry-run=server", "--namespace", &namespace, "-f", "-"];
        cluster.kubectl_with(&arguments, &pod.to_string())
    };
    let mut count = 0;
    for set in SETS {
        for pod in objects(&rendered(&helm, set)).iter().filter_map(pod) {
            create(&pod).succeeds();
            count += 1;
        }
    }
    assert!(count >= 17, "{count}");
    let weak = helm.template(NAMESPACE, &["--set", "securityContext.allowPrivilegeEscalation=true"]).unwrap();
    let refusal = create(&objects(&weak).iter().find_map(pod).unwrap()).fails();
    assert!(refusal.contains("allowPrivilegeEscalation"), "{refusal}");
}

/// Releases called `contextcore` in a namespace.
struct Releases<'a> {
    cluster: &'a Cluster,
    helm: PathBuf,
    namespace: String,
}

impl<'a> Releases<'a> {
    fn new(cluster: &'a Cluster, stem: &str) -> Option<Self> {
        Some(Self { cluster, helm: Suite::Cluster.program("helm")?, namespace: cluster.namespace(stem) })
    }

    fn run(&self, command: &[&str]) -> Answer {
        let place = ["--namespace", &self.namespace];
        self.cluster.run(&self.helm, &[command, &place[..]].concat())
    }

    /// `install` or `upgrade` with these values.
    fn apply(&self, verb: &str, set: &str) -> Answer {
        let chart = chart();
        self.run(&[verb, "contextcore", chart.to_str().unwrap(), "--set", set])
    }

    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, &self.namespace, name)
    }

    fn replicas(&self) -> Value {
        self.get("deployment", "contextcore-controller").unwrap()["spec"]["replicas"].clone()
    }

    /// Which object the store's claim is.
    fn claim(&self) -> Value {
        self.get("persistentvolumeclaim", "contextcore").unwrap()["metadata"]["uid"].clone()
    }

    /// Whether there is a StatefulSet, and whether there is a CronJob.
    fn modes(&self) -> (bool, bool) {
        (self.get("statefulset", "contextcore").is_some(), self.get("cronjob", "contextcore").is_some())
    }

    fn jobs(&self) -> Vec<String> {
        let text = self.cluster.kubectl(&["get", "jobs", "--namespace", &self.namespace, "-o", "name"]).succeeds();
        text.lines().map(str::to_owned).collect()
    }
}

const SOURCE: &str = "config.sources[0].name=t,config.sources[0].kind=file,config.sources[0].path=/t";

/// On a server that knows no definition but those of Kubernetes.
#[test]
fn a_release_is_installed_upgraded_rolled_back_and_removed() {
    let Some(cluster) = Cluster::start() else { return };
    let Some(releases) = Releases::new(&cluster, "release") else { return };
    releases.apply("install", SOURCE).succeeds();
    assert_eq!((releases.replicas(), releases.modes()), (json!(2), (true, false)));
    let claim = releases.claim();
    cluster.kubectl(&["get", "projectcontexts", "--all-namespaces"]).succeeds();

    releases.apply("upgrade", &format!("{SOURCE},controller.replicas=1,mode=sync")).succeeds();
    assert_eq!((releases.replicas(), releases.modes()), (json!(1), (false, true)));
    assert!(releases.get("poddisruptionbudget", "contextcore-controller").is_none());
    assert_eq!(releases.claim(), claim, "both modes use one claim");

    releases.run(&["rollback", "contextcore", "1"]).succeeds();
    assert_eq!((releases.replicas(), releases.modes()), (json!(2), (true, false)));

    releases.run(&["uninstall", "contextcore"]).succeeds();
    assert_eq!((releases.get("deployment", "contextcore-controller"), releases.modes()), (None, (false, false)));
    assert_eq!(releases.claim(), claim, "the store stays");
    cluster.kubectl(&["get", "crd", "projectcontexts.contextcore.io"]).succeeds();

    releases.apply("install", SOURCE).succeeds();
    assert_eq!(releases.claim(), claim, "a new release finds the store again");
}

#[test]
fn a_typo_installs_nothing() {
    let Some((cluster, _)) = prepared() else { return };
    let Some(releases) = Releases::new(cluster, "typo") else { return };
    let refusal = releases.apply("install", "dashboards.autoProvison=true").fails();
    assert!(refusal.contains("additional properties 'autoProvison' not allowed"), "{refusal}");
    assert!(releases.get("serviceaccount", "contextcore").is_none());
}

/// What the notes of a release say about its login to Grafana, before and after the secret is there.
#[test]
fn the_notes_say_what_to_create_until_it_exists() {
    let Some((cluster, _)) = prepared() else { return };
    let Some(releases) = Releases::new(cluster, "notes") else { return };
    let line = "grafana.url=http://grafana:3000,dashboards.autoProvision=true";
    let notes = releases.apply("install", line).succeeds();
    let namespace = &releases.namespace;
    for part in [
        "SOURCES: none".to_owned(),
        format!("kubectl --namespace {namespace} create secret generic grafana-token --from-literal=token="),
        "It finds no secret contextcore-grafana".to_owned(),
        "helm show crds CHART | kubectl apply --server-side".to_owned(),
        format!("contextcore controller prune --namespace {namespace} --settings-config-map contextcore-controller"),
        format!("http://contextcore.{namespace}:9464/metrics"),
    ] {
        assert!(notes.contains(&part), "{part}: {notes}");
    }
    let first = releases.jobs();
    let secret = ["create", "secret", "generic", "grafana-token", "--from-literal=token=x", "--namespace", namespace];
    cluster.kubectl(&secret).succeeds();
    let notes = releases.apply("upgrade", &format!("{line},grafana.tokenSecret=grafana-token")).succeeds();
    assert!(notes.contains("It logs in with the secret grafana-token"), "{notes}");
    let second = releases.jobs();
    // The same once more: a Job that has not changed is no obstacle.
    releases.apply("upgrade", &format!("{line},grafana.tokenSecret=grafana-token,controller.replicas=1")).succeeds();
    assert_eq!(releases.jobs(), second);
    assert!(first.len() == 1 && second.len() == 1 && first != second, "{first:?} {second:?}");
}

/// Asks the server what the controller's account may do: verb, resource, namespace (empty: all), and the answer.
fn check(releases: &Releases<'_>, cases: &[(&str, &str, &str, bool)]) {
    let account = format!("--as=system:serviceaccount:{}:contextcore-controller", releases.namespace);
    for (verb, resource, namespace, wanted) in cases {
        let place = match *namespace {
            "" => vec!["--all-namespaces"],
            "." => vec!["--namespace", &releases.namespace],
            other => vec!["--namespace", other],
        };
        // A resource and its part: `projectcontexts/status`. A part that is a name (`leases/x`) stays as it is.
        let (resource, part) = match resource.split_once("/status") {
            Some((resource, _)) => (resource, "--subresource=status"),
            None => (*resource, "--subresource="),
        };
        let question = ["auth", "can-i", verb, resource, part, &account];
        let answer = releases.cluster.kubectl(&[&question, &place[..]].concat());
        assert_eq!(answer.out.trim() == "yes", *wanted, "{verb} {resource} in {namespace:?}: {answer:?}");
    }
}

#[test]
fn the_controller_may_do_what_it_needs_and_nothing_else() {
    let Some((cluster, _)) = prepared() else { return };
    let Some(releases) = Releases::new(cluster, "roles") else { return };
    releases.apply("install", "controller.settings.env.enabled=false").succeeds();
    check(
        &releases,
        &[
            ("watch", "projectcontexts.contextcore.io", "", true),
            ("patch", "projectcontexts.contextcore.io/status", "", true),
            ("patch", "projectcontexts.contextcore.io", "", false),
            ("create", "prometheusrules.monitoring.coreos.com", "", true),
            ("create", "events.events.k8s.io", "", true),
            ("list", "customresourcedefinitions.apiextensions.k8s.io", "", true),
            ("create", "configmaps", ".", true),
            ("create", "configmaps", "", false),
            ("update", "leases.coordination.k8s.io/contextcore-controller", ".", true),
            ("update", "leases.coordination.k8s.io/other", ".", false),
            ("patch", "deployments.apps", "", false),
            ("get", "secrets", ".", false),
            ("create", "alertmanagerconfigs.monitoring.coreos.com", "monitoring", false),
            ("patch", "opentelemetrycollectors.opentelemetry.io", ".", false),
        ],
    );
    let watched = repository().join("operator/tests/chart/values/watched.yaml");
    let chart = chart();
    let upgrade = ["upgrade", "contextcore", chart.to_str().unwrap(), "--values", watched.to_str().unwrap()];
    releases.run(&upgrade).succeeds();
    check(
        &releases,
        &[
            ("watch", "projectcontexts.contextcore.io", "", false),
            ("watch", "projectcontexts.contextcore.io", "commerce", true),
            ("create", "prometheusrules.monitoring.coreos.com", "search", true),
            ("create", "prometheusrules.monitoring.coreos.com", "monitoring", false),
            ("create", "alertmanagerconfigs.monitoring.coreos.com", "monitoring", true),
            ("list", "customresourcedefinitions.apiextensions.k8s.io", "", true),
        ],
    );
}
