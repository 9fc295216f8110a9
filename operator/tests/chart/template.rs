//! What the chart renders: goldens of nine sets of values, the plain YAML of deploy/kubernetes, and what it refuses.

use std::fs;
use std::path::PathBuf;

use contextcore_operator::settings::Settings;
use serde_json::Value;

use super::helm::{Helm, object, objects};
use super::{chart, fresh, repository};

/// The sets of values, from `values/` beside this file.
pub(super) const SETS: [&str; 9] =
    ["blueprint", "postgres", "serve", "sync", "sync-only", "hardened", "watched", "operators", "dashboards"];
/// Namespace of the goldens.
pub(super) const NAMESPACE: &str = "contextcore";

/// The file with the values of a set, and the golden.
fn files(set: &str) -> (PathBuf, PathBuf) {
    let folder = repository().join("operator/tests/chart");
    (folder.join(format!("values/{set}.yaml")), folder.join(format!("golden/{set}.yaml")))
}

/// What a set renders.
pub(super) fn rendered(helm: &Helm, set: &str) -> String {
    helm.template(NAMESPACE, &["--values", files(set).0.to_str().unwrap()]).unwrap()
}

#[test]
fn the_chart_has_no_lint() {
    let Some(helm) = Helm::find() else { return };
    for set in SETS {
        let (values, _) = files(set);
        let (chart, values) = (chart(), values.to_str().unwrap().to_owned());
        helm.run(&["lint", "--strict", chart.to_str().unwrap(), "--values", &values]).unwrap();
    }
}

#[test]
fn each_set_of_values_renders_what_was_reviewed() {
    let Some(helm) = Helm::find() else { return };
    for set in SETS {
        fresh(&files(set).1, &rendered(&helm, set));
    }
}

#[test]
fn the_line_of_the_blueprint_is_one_of_them() {
    let Some(helm) = Helm::find() else { return };
    let line = ["--set", "grafana.url=http://grafana:3000", "--set", "dashboards.autoProvision=true"];
    assert_eq!(helm.template(NAMESPACE, &line).unwrap(), rendered(&helm, "blueprint"));
}

/// Routes in each namespace need rights there, and none beside Alertmanager.
#[test]
fn rights_on_routes_are_where_the_routes_are() {
    let Some(helm) = Helm::find() else { return };
    let places = |arguments: &[&str]| {
        let own = ["--set", "controller.settings.routing.perNamespace=true"];
        let all = objects(&helm.template(NAMESPACE, &[&own, arguments].concat()).unwrap());
        let roles = all.into_iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")));
        let with_routes = roles.filter(|role| role["rules"].to_string().contains("alertmanagerconfigs"));
        with_routes.map(|role| role["metadata"]["namespace"].as_str().unwrap_or("all").to_owned()).collect::<Vec<_>>()
    };
    let watched = files("watched").0;
    let watched = ["--values", watched.to_str().unwrap()];
    assert_eq!(places(&watched), ["commerce", "search"]);
    assert_eq!(places(&[&watched[..], &["--set", "controller.watchNamespaces={}"]].concat()), ["all"]);
    assert_eq!(places(&[]), Vec::<String>::new(), "without channels there is no routing");
}

/// Plain YAML for those without Helm: what the chart renders, less what only Helm reads.
#[test]
fn the_plain_yaml_is_what_the_chart_renders() {
    let Some(helm) = Helm::find() else { return };
    let folder = repository().join("deploy/kubernetes");
    for mode in ["serve", "sync"] {
        let values = folder.join(format!("{mode}.values.yaml"));
        let text = helm.template(NAMESPACE, &["--values", values.to_str().unwrap()]).unwrap();
        let of_helm =
            ["# Source: ", "helm.sh/chart: ", "app.kubernetes.io/managed-by: Helm", "helm.sh/resource-policy"];
        let lines = text.lines().filter(|line| !of_helm.iter().any(|part| line.trim_start().starts_with(part)));
        let body: String = lines.map(|line| format!("{line}\n")).collect();
        let body = body.replace("  annotations:\nspec:", "spec:");
        let head = format!("# Rendered from deploy/helm/contextcore with {mode}.values.yaml: change those.\n");
        fresh(&folder.join(format!("{mode}.yaml")), &format!("{head}{body}"));
        assert!(objects(&body).len() > 5);
    }
}

/// A typo is refused by the name of its key, a wrong value by where it is.
#[test]
fn what_is_wrong_is_refused_by_name() {
    let Some(helm) = Helm::find() else { return };
    for (set, wanted) in [
        ("dashboards.autoProvison=true", "at '/dashboards': additional properties 'autoProvison' not allowed"),
        ("controler.enabled=false", "at '': additional properties 'controler' not allowed"),
        ("controller.replcas=3", "at '/controller': additional properties 'replcas' not allowed"),
        ("controller.settings.chanels=x", "at '/controller/settings': additional properties 'chanels' not allowed"),
        ("controller.settings.sampling.other=0.1", "additional properties 'other' not allowed"),
        ("config.exprt.history=1d", "at '/config': additional properties 'exprt' not allowed"),
        ("config.store.pth=/x", "additional properties 'pth' not allowed"),
        ("config.store.postgres.schma=x", "additional properties 'schma' not allowed"),
        ("replicas=2", "replicas: a store on a volume has one owner"),
        ("resources.limts.memory=1Gi", "at '/resources': additional properties 'limts' not allowed"),
        ("securityContext.runAsUsr=1", "at '/securityContext': additional properties 'runAsUsr' not allowed"),
        ("tolerations[0].ky=x", "at '/tolerations/0': additional properties 'ky' not allowed"),
        ("env[0].name=A,env[0].valueFrm.x=1", "at '/env/0': additional properties 'valueFrm' not allowed"),
        ("extraVolumes[0].name=a,extraVolumes[0].configMp.name=b", "'configMp' not allowed"),
        ("networkPolicy.from[0].podSelektor.x=y", "at '/networkPolicy/from/0'"),
        ("persistence.sise=2Gi", "at '/persistence': additional properties 'sise' not allowed"),
        ("persistence.size=big", "at '/persistence/size'"),
        ("sync.schedule=", "at '/sync/schedule'"),
        ("controller.settings.derivation.criticl.traceSampling=1", "additional properties 'criticl' not allowed"),
        ("mode=server", "at '/mode': value must be one of 'serve', 'sync'"),
        ("controller.replicas=two", "at '/controller/replicas': got string, want integer"),
        ("image.digest=latest", "at '/image/digest'"),
        ("serviceMonitor.interval=often", "at '/serviceMonitor/interval'"),
        ("podAnnotations.a=1", "at '/podAnnotations/a': got number, want string"),
        ("config.sources[0].kind=jirra", "at '/config/sources/0"),
        ("dashboards.autoProvision=true", "grafana.url: dashboards.autoProvision needs the address of Grafana"),
        ("mode=sync,persistence.enabled=false", "persistence.enabled: `mode: sync` needs a volume"),
        ("config.listen=127.0.0.1:9464", "config.listen: 127.0.0.1:9464 cannot be reached from outside the pod"),
        ("config.webhooks.listen=localhost:1", "config.webhooks.listen: localhost:1 cannot be reached"),
        ("controller.settings.namespace=other", "controller.settings.namespace: other is not the namespace"),
    ] {
        let refusal = helm.template(NAMESPACE, &["--set", set]).expect_err(set);
        assert!(refusal.contains(wanted), "{set}: {refusal}");
    }
}

/// What the controller would refuse when it starts is refused before it is installed.
#[test]
fn settings_that_the_controller_refuses_are_refused() {
    let Some(helm) = Helm::find() else { return };
    for (set, wanted) in [
        ("channels.a.webhookConfig[0].url=x", "'webhookConfig' not allowed"),
        ("channels.a.webhookConfigs=x", "at '/controller/settings/channels/a/webhookConfigs'"),
        ("channels.-a.webhookConfigs[0].url=x", "invalid propertyName '-a'"),
        ("limits.default.maxTraceSampling=2", "at '/controller/settings/limits/default/maxTraceSampling'"),
        ("limits.default.minMetricsInterval=soon", "at '/controller/settings/limits/default/minMetricsInterval'"),
        ("limits.default.channels[0]=a b", "at '/controller/settings/limits/default/channels/0'"),
        ("limits.namespaces.A.maxTraceSampling=1", "invalid propertyName 'A'"),
        ("derivation.low.metricsInterval=0s", "at '/controller/settings/derivation/low/metricsInterval'"),
        ("sampling.others=5", "at '/controller/settings/sampling/others'"),
        ("sampling.decisionWait=soon", "at '/controller/settings/sampling/decisionWait'"),
        ("sampling.decisionWait=0s", "at '/controller/settings/sampling/decisionWait'"),
        ("sampling.numTraces=0", "at '/controller/settings/sampling/numTraces'"),
        ("collector.mode=attach", "at '/controller/settings/collector': missing property 'name'"),
        ("collector.mode=managed", "at '/controller/settings/collector': missing property 'exporters'"),
        ("collector.replicas=0", "at '/controller/settings/collector/replicas'"),
        ("prometheus.retention=long", "at '/controller/settings/prometheus/retention'"),
        ("prometheus.retention=0d", "at '/controller/settings/prometheus/retention'"),
        ("prometheus.url=prom", "at '/controller/settings/prometheus/url'"),
        ("prometheus.compat=2", "at '/controller/settings/prometheus': missing property 'buckets'"),
        ("grafana.mode=url", "at '/controller/settings/grafana': missing property 'url'"),
        ("grafana.url=grafana", "at '/controller/settings/grafana/url'"),
        ("grafana.folderUid=a b", "at '/controller/settings/grafana/folderUid'"),
        ("grafana.tokenSecret.name=a", "missing property 'key'"),
        ("runbookBaseUrl=docs", "at '/controller/settings/runbookBaseUrl'"),
        ("alerts.absent=soon", "at '/controller/settings/alerts/absent'"),
        ("objectLabels.release=a b", "at '/controller/settings/objectLabels/release'"),
        ("routing.namespace=A", "at '/controller/settings/routing/namespace'"),
        ("projects.shop.namespaces[0]=a/b", "at '/controller/settings/projects/shop/namespaces/0'"),
    ] {
        let all = format!("controller.settings.{set}");
        let refusal = helm.template(NAMESPACE, &["--set", &all]).expect_err(set);
        assert!(refusal.contains(wanted), "{set}: {refusal}");
    }
    let watched = helm.template(NAMESPACE, &["--set", "controller.watchNamespaces[0]=Foo Bar"]).unwrap_err();
    assert!(watched.contains("at '/controller/watchNamespaces/0'"), "{watched}");
    for good in [
        "collector.mode=attach,controller.settings.collector.name=otel",
        "collector.mode=managed,controller.settings.collector.exporters.otlp.endpoint=x",
        "grafana.mode=url,controller.settings.grafana.apiUrl=http://g",
        "grafana.mode=url,dashboards.autoProvision=true,grafana.url=http://g",
        "prometheus.compat=2,controller.settings.prometheus.buckets={1,2}",
        "sampling.decisionWait=1.5s,controller.settings.objectLabels.release=",
        "channels.Team/B.webhookConfigs[0].url=x,controller.settings.limits.default.maxAudit=standard",
    ] {
        helm.template(NAMESPACE, &["--set", &format!("controller.settings.{good}")]).unwrap();
    }
}

#[test]
fn quantities_may_be_numbers_and_parts_may_be_dropped() {
    let Some(helm) = Helm::find() else { return };
    for set in ["resources.limits.cpu=1", "resources.limits.memory=null", "controller.affinity=null", "global.x=1"] {
        helm.template(NAMESPACE, &["--set", set]).unwrap();
    }
}

/// The Job of these values.
fn job(helm: &Helm, arguments: &[&str]) -> Value {
    let base = ["--set", "grafana.url=http://g", "--set", "dashboards.autoProvision=true"];
    let all = objects(&helm.template(NAMESPACE, &[&base, arguments].concat()).unwrap());
    all.into_iter().find(|object| object["kind"] == "Job").unwrap()
}

/// A Job cannot change, so whatever changes in it changes its name.
#[test]
fn the_name_of_the_job_is_that_of_its_work() {
    let Some(helm) = Helm::find() else { return };
    let name = |arguments: &[&str]| job(&helm, arguments)["metadata"]["name"].as_str().unwrap().to_owned();
    let first = name(&[]);
    assert_eq!(first, name(&["--set", "controller.replicas=3"]));
    let shape = regex::Regex::new("^contextcore-dashboards-[0-9a-f]{8}$").unwrap();
    assert!(shape.is_match(&first), "{first}");
    for other in ["dashboards.folder=X", "image.tag=v2", "grafana.tokenSecret=t", "resources.limits.cpu=1"] {
        let same = other.starts_with("resources");
        assert_eq!(first == name(&["--set", other]), same, "{other}");
    }
}

#[test]
fn the_job_logs_in_as_the_values_say_and_stays_under_argo() {
    let Some(helm) = Helm::find() else { return };
    let env =
        |arguments: &[&str]| job(&helm, arguments)["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    let token = env(&["--set", "grafana.tokenSecret=t,grafana.adminSecret=a"]);
    assert!(token.contains("GRAFANA_TOKEN") && !token.contains("PASSWORD") && !token.contains("optional"), "{token}");
    let admin = env(&["--set", "grafana.adminSecret=a"]);
    assert!(admin.contains("GRAFANA_PASSWORD") && admin.contains("\"a\"") && !admin.contains("optional"), "{admin}");
    let found = env(&[]);
    assert!(found.contains("contextcore-grafana") && found.contains("\"optional\":true"), "{found}");
    assert_eq!(job(&helm, &[])["spec"]["ttlSecondsAfterFinished"], 3600);
    let argo = job(&helm, &["--api-versions", "argoproj.io/v1alpha1"]);
    assert_eq!(argo["spec"].get("ttlSecondsAfterFinished"), None);
}

/// The settings that a set of values gives the controller are settings.
#[test]
fn the_settings_are_read_by_the_controller() {
    let Some(helm) = Helm::find() else { return };
    let mut instances = Vec::new();
    for set in SETS.iter().filter(|set| **set != "sync-only") {
        let all = objects(&rendered(&helm, set));
        let text = object(&all, "ConfigMap", "contextcore-controller")["data"]["settings.yaml"].as_str().unwrap();
        let settings = Settings::parse(set, text).unwrap();
        assert_eq!((settings.instance.as_str(), settings.namespace.as_str()), ("contextcore", NAMESPACE));
        instances.push((*set, settings.grafana.url, settings.channels.len()));
    }
    assert!(instances.contains(&("blueprint", Some("http://grafana:3000".to_owned()), 0)), "{instances:?}");
    assert!(instances.contains(&("watched", None, 1)), "{instances:?}");
    let elsewhere = helm.template("elsewhere", &[]).unwrap();
    assert!(elsewhere.contains("instance: elsewhere.contextcore\n"), "two releases of one name are two instances");
}

/// Numbers and texts reach the configuration as they were written.
#[test]
fn the_configuration_is_as_it_was_given() {
    let Some(helm) = Helm::find() else { return };
    let text = "config:\n  sources:\n    - {name: a, kind: github, url: 'https://api.github.com', projects: ['012', 'yes', '1e3'], \
                auth: {app: {id: 1234567890, installation: 98765432, private_key: {env: K}}}}\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    fs::write(&file, text).unwrap();
    let given: Value = serde_saphyr::from_str(text).unwrap();
    let all = objects(&helm.template(NAMESPACE, &["--values", file.to_str().unwrap()]).unwrap());
    let written = object(&all, "ConfigMap", "contextcore")["data"]["contextcore.yaml"].as_str().unwrap();
    let read: Value = serde_saphyr::from_str(written).unwrap();
    assert_eq!(read["sources"], given["config"]["sources"], "{written}");
    assert_eq!(read["projects_file"], "/etc/contextcore/projects");
    assert!(written.contains("1234567890") && !written.contains("e+"), "{written}");
}
