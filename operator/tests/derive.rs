//! What follows from contexts: golden objects, and what holds between contexts.

use super::rig::{self, SETTINGS, context, contexts, object, settings};
use contextcore_operator::derive::{Derivation, derive};
use contextcore_operator::resource::{Criticality, ProjectContext};
use contextcore_operator::settings::Settings;
use contextcore_operator::yaml;
use serde_json::{Value, json};

const BLUEPRINT: &str = include_str!("cases/blueprint.yaml");

fn derived(text: &str, settings: &Settings) -> Derivation {
    derive(&contexts(text), settings)
}

/// The objects and statuses of a derivation as one text.
fn golden(derivation: &Derivation) -> String {
    let statuses = derivation.outcomes.iter().map(|outcome| json!({"status": outcome.status, "notes": outcome.notes}));
    let all: Vec<Value> = derivation.objects.iter().cloned().chain(statuses).collect();
    yaml::stream(&all)
}

#[test]
fn the_blueprint_with_default_settings() {
    insta::assert_snapshot!("blueprint", golden(&derived(BLUEPRINT, &Settings::default())));
}

#[test]
fn the_blueprint_with_everything_set() {
    insta::assert_snapshot!("blueprint-all", golden(&derived(BLUEPRINT, &settings(SETTINGS))));
}

#[test]
fn action_5_of_the_blueprint_says_what_is_derived() {
    let derivation = derived(include_str!("cases/blueprint-action-5.yaml"), &Settings::default());
    let derived = derivation.outcomes[0].status.derived.clone().unwrap();
    assert_eq!((derived.trace_sampling, derived.metrics_interval.as_str()), (1.0, "10s"));
    assert_eq!(derived.alert_channels, ["commerce-oncall", "executive-dashboard"]);
    let rules = derivation.outcomes[0].status.conditions.iter().find(|found| found.kind == "RulesReady").unwrap();
    assert_eq!((rules.status.as_str(), rules.reason.as_str()), ("True", "NoRequirements"));
}

#[test]
fn an_alert_says_that_a_budget_is_of_less_than_its_period() {
    let spec = json!({"requirements": {"availability": "99.9"}});
    let described = |prometheus: &str| {
        let derivation = derive(&[context("search", "api", &spec)], &settings(&format!("prometheus: {prometheus}\n")));
        object(&derivation, "PrometheusRule").to_string()
    };
    assert!(described("{retention: 15d}").contains("Budget left of the 15d that Prometheus keeps: {{"));
    for kept in ["{}", "{retention: 30d}", "{retention: 1y}", "{retention: 4w3d}"] {
        assert!(described(kept).contains("over 30d. Budget left: {{"), "{kept}");
    }
    assert!(described("{retention: 4w1d12h}").contains("of the 4w1d12h that"));
}

#[test]
fn each_criticality() {
    for criticality in Criticality::ALL {
        let spec = json!({
            "business": {"criticality": criticality, "owner": "search-team"},
            "requirements": {"availability": "99.9"},
        });
        let derivation = derive(&[context("search", "api", &spec)], &Settings::default());
        insta::assert_snapshot!(format!("criticality-{criticality}"), golden(&derivation));
    }
}

#[test]
fn each_profile() {
    let custom = json!({
        "profile": "custom",
        "total": "rate(requests_total[{{window}}]) # all",
        "errors": "rate(requests_total{code=\"500\"}[{{window}}])",
        "latency": "rate(duration_seconds_bucket[{{window}}])",
    });
    let excluded = json!({"matchers": "{http_route!=\"/healthz\",http_route!~\"/debug/.*\"}"});
    for (name, sli) in [
        ("otel-http", json!({})),
        ("otel-http-native", json!({"histogram": "native"})),
        ("otel-http-excluding", excluded),
        ("otel-http-matchers", json!({"matchers": "service_name=\"a\\\"b\""})),
        ("otel-rpc", json!({"profile": "otel-rpc"})),
        ("istio", json!({"profile": "istio"})),
        ("istio-native", json!({"profile": "istio", "histogram": "native"})),
        ("custom", custom),
    ] {
        let spec =
            json!({"requirements": {"availability": "99.9", "latencyP95": "300ms", "throughput": "90rpm", "sli": sli}});
        let derivation = derive(&[context("shop", "cart", &spec)], &Settings::default());
        insta::assert_snapshot!(format!("profile-{name}"), yaml::text(object(&derivation, "PrometheusRule")));
    }
}

#[test]
fn several_targets_are_one_group_of_services() {
    let spec = json!({
        "targets": [{"kind": "Deployment", "name": "a"}, {"kind": "StatefulSet", "name": "b", "service": "b.v2"}],
        "requirements": {"errorRate": "0.1", "window": "28d"},
        "observability": {"scrape": {"port": "web"}},
    });
    let derivation = derive(&[context("shop", "cart", &spec)], &Settings::default());
    insta::assert_snapshot!("several-targets", golden(&derivation));
}

#[test]
fn boundaries_are_used_where_prometheus_cannot_interpolate() {
    let settings = settings("prometheus: {compat: 2, buckets: [0.005, 0.1, 0.25, 1, 10]}");
    let of = |limit: &str, sli: Value| {
        let spec = json!({"requirements": {"latencyP99": limit, "sli": sli}});
        derive(&[context("n", "a", &spec)], &settings)
    };
    let found = of("200ms", json!({}));
    let text = yaml::text(object(&found, "PrometheusRule"));
    assert!(text.contains(r#"le=~"0\\.1""#) && !text.contains("histogram_fraction"), "{text}");
    assert!(found.outcomes[0].notes.iter().any(|note| note.contains("measured at 0.1s, the boundary below 200ms")));
    let text = yaml::text(object(&of("1s", json!({"profile": "istio"})), "PrometheusRule"));
    assert!(text.contains(r#"le=~"1000(\\.0)?""#), "{text}");
    for (limit, sli, wanted) in [
        ("11s", json!({}), "is above 10s, the last boundary"),
        ("1ms", json!({}), "is below the first boundary"),
        (
            "1s",
            json!({"profile": "custom", "total": "rate(a[{{window}}])", "latency": "rate(b[{{window}}])"}),
            "before Prometheus 3",
        ),
    ] {
        let found = of(limit, sli);
        let condition = &found.outcomes[0].status.conditions[0];
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "InvalidSLI"));
        assert!(
            condition.message.starts_with("spec.requirements.latencyP99 ") && condition.message.contains(wanted),
            "{condition:?}"
        );
    }
}

#[test]
fn multiples_that_can_never_be_reached_are_left_out() {
    let of = |availability: &str, criticality: &str| {
        let spec = json!({"business": {"criticality": criticality}, "requirements": {"availability": availability}});
        derive(&[context("n", "a", &spec)], &Settings::default())
    };
    let alerts = |derivation: &Derivation| rig::alerts(object(derivation, "PrometheusRule")).len();
    // 1 - 0.933 = 0.067: 14.4 times it is 0.96.
    assert_eq!([alerts(&of("93.3", "high")), alerts(&of("93.0", "high")), alerts(&of("50", "high"))], [4, 3, 1]);
    assert_eq!([alerts(&of("99.9", "low")), alerts(&of("0.00001", "high"))], [2, 1]);
    let notes = |derivation: &Derivation| derivation.outcomes[0].notes.join("");
    assert!(notes(&of("50", "high")).contains("availability: the objective is too low for a page, only tickets"));
    assert_eq!([notes(&of("93", "high")), notes(&of("50", "low"))], ["", ""]);
}

#[test]
fn alerts_can_be_disabled_until_a_time() {
    let spec = json!({
        "requirements": {"availability": "99.9"},
        "observability": {"disableAlerts": {"until": "2027-01-31", "reason": "migration"}},
    });
    let derivation = derive(&[context("n", "a", &spec)], &Settings::default());
    for alert in rig::alerts(object(&derivation, "PrometheusRule")) {
        assert!(alert["expr"].as_str().unwrap().ends_with("and on ()\nvector(time()) >= 1801440000"), "{alert}");
    }
}

#[test]
fn a_namespace_is_held_to_its_limits() {
    let settings = settings(
        "limits:\n  default: {maxTraceSampling: 0.2, minMetricsInterval: 30s, maxCriticality: medium, channels: [a, own]}\n  \
         namespaces:\n    vip: {}\n",
    );
    let spec = json!({
        "business": {"criticality": "critical", "owner": "shop-team", "value": "revenue-primary"},
        "requirements": {"availability": "99.9"},
        "observability": {"alertPriority": "P1", "dashboardPlacement": "featured", "traceSampling": 1, "metricsInterval": "1s"},
    });
    let found = derive(&[context("n", "x", &spec), context("vip", "x", &spec)], &settings);
    insta::assert_json_snapshot!("limits", json!([found.outcomes[0].status.derived, found.outcomes[0].notes]));
    let limited = rig::alerts(object(&found, "PrometheusRule"));
    assert!(
        limited.iter().all(|alert| alert["labels"]["criticality"] == "medium" && alert["labels"]["priority"] == "P3")
    );
    assert!(limited.iter().all(|alert| alert["labels"].get("channels").is_none()), "{limited:?}");
    let free = found.outcomes[1].status.derived.clone().unwrap();
    assert_eq!((free.trace_sampling, free.alert_priority.as_str()), (1.0, "P1"));
    assert_eq!(free.alert_channels, ["shop-oncall", "executive-dashboard"]);

    let spec = json!({"observability": {"alertChannels": ["own", "shop-oncall"]}});
    let found = derive(&[context("n", "x", &spec)], &settings);
    let accepted = &found.outcomes[0].status.conditions[0];
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "NotPermitted"));
    assert!(
        accepted.message.contains("shop-oncall may not be used in namespace n: allowed are a, own"),
        "{accepted:?}"
    );
    assert!(found.projects.is_empty());
}

#[test]
fn a_project_of_others_is_refused() {
    let settings = settings("projects: {shop: {namespaces: [commerce]}}");
    let found = derive(&[context("n", "x", &json!({})), context("commerce", "x", &json!({}))], &settings);
    let reasons: Vec<_> = found.outcomes.iter().map(|outcome| outcome.status.conditions[0].reason.clone()).collect();
    assert_eq!(reasons, ["Accepted", "NotPermitted"]);
    assert!(!rig::fragment(&found).contains("\"n\""));
}

/// The context at this age in hours.
fn aged(mut context: ProjectContext, hours: i64) -> ProjectContext {
    let value = json!(format!("2026-01-01T{:02}:00:00Z", 23 - hours));
    context.metadata.creation_timestamp = serde_json::from_value(value).unwrap();
    context
}

#[test]
fn the_older_context_keeps_a_workload() {
    let target =
        |kind: &str, name: &str, service: Value| json!({"targets": [{"kind": kind, "name": name, "service": service}]});
    let selector = |value: &str| json!({"targets": [{"kind": "Job", "selector": {"matchLabels": {"app": value}}, "service": value}]});
    for (a, b, collides) in [
        (target("Deployment", "x", Value::Null), target("Deployment", "x", json!("y")), true),
        (target("Deployment", "x", json!("s")), target("StatefulSet", "y", json!("s")), true),
        (target("Deployment", "x", json!("p")), target("CronJob", "x", json!("q")), false),
        (selector("x"), json!({"targets": [{"kind": "Job", "selector": {"matchLabels": {"app": "x"}}}]}), true),
        (selector("x"), selector("y"), false),
        // Without targets, a context is about the workload of its own name, of whatever kind.
        (json!({}), target("CronJob", "old", json!("z")), true),
        (json!({}), target("CronJob", "z", json!("old")), true),
        (json!({}), json!({}), false),
    ] {
        let (old, young) = (aged(context("n", "old", &a), 9), aged(context("n", "young", &b), 1));
        for all in [[old.clone(), young.clone()], [young.clone(), old.clone()]] {
            let found = derive(&all, &Settings::default());
            let reasons: Vec<_> =
                found.outcomes.iter().map(|outcome| outcome.status.conditions[0].reason.as_str()).collect();
            let second = if collides { "ConflictingTarget" } else { "Accepted" };
            assert_eq!(reasons, ["Accepted", second], "{a} {b}");
        }
        // Elsewhere it is another workload.
        let elsewhere = aged(context("m", "young", &b), 1);
        assert!(derive(&[old, elsewhere], &Settings::default()).outcomes.iter().all(|outcome| outcome.is_accepted()));
    }
}

#[test]
fn contexts_of_one_project_agree_on_what_it_is() {
    let business = |criticality: &str, owner: &str| json!({"business": {"criticality": criticality, "owner": owner}});
    let old = aged(context("b", "old", &business("low", "first")), 9);
    let young = aged(context("a", "young", &business("high", "second")), 1);
    let found = derive(&[young, old], &Settings::default());
    for entry in &found.projects {
        assert_eq!((&entry["criticality"], &entry["owner"]), (&json!("high"), &json!("first")), "{entry}");
    }
    let own: Vec<_> = found.projects.iter().map(|entry| entry["context"]["criticality"].as_str().unwrap()).collect();
    assert_eq!(own, ["high", "low"]);
    let accepted = &found.outcomes[0].status.conditions[0];
    assert_eq!(accepted.reason, "Accepted");
    assert!(accepted.message.contains("project shop has another business.owner (first)"), "{accepted:?}");
    assert_eq!(found.outcomes[1].status.conditions[0].message, "");
}

#[test]
fn the_order_of_contexts_does_not_matter() {
    let mut all: Vec<_> =
        (0..7).map(|n| context("n", &format!("c{n}"), &json!({"requirements": {"availability": "99"}}))).collect();
    let first = derive(&all, &Settings::default());
    all.reverse();
    assert_eq!(derive(&all, &Settings::default()), first);
}

#[test]
fn objects_go_with_their_context_in_a_cluster() {
    let mut one = context("n", "a", &json!({"requirements": {"availability": "99"}}));
    one.metadata.uid = Some("uid-1".to_owned());
    let found = derive(&[one], &Settings::default());
    let owner = &object(&found, "PrometheusRule")["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&json!("uid-1"), &json!(true)));
    let shared = found.objects.iter().filter(|object| object["kind"] == "ConfigMap");
    assert!(shared.into_iter().all(|object| object["metadata"].get("ownerReferences").is_none()));
}

#[test]
fn an_unknown_channel_names_the_nearest() {
    let settings = settings("channels: {commerce-oncall: {webhookConfigs: [{url: x}]}}");
    let of = |spec: Value| derive(&[context("n", "a", &spec)], &settings).outcomes.remove(0);
    let said = of(json!({"observability": {"alertChannels": ["comerce-oncall"]}}));
    let condition = said.status.conditions.iter().find(|found| found.kind == "RoutingReady").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "UnknownChannel"));
    assert!(condition.message.contains("did you mean commerce-oncall?"), "{condition:?}");
    let derived = of(json!({"business": {"owner": "other-team"}}));
    assert!(
        derived.notes.iter().any(|note| note.contains("nobody set up the channels that follow from the owner: other"))
    );
    assert!(derived.status.conditions.iter().all(|found| found.status != "False"), "{derived:?}");
}

#[test]
fn many_projects_need_few_policies() {
    let all: Vec<_> = (0..500)
        .map(|n| {
            let criticality = Criticality::ALL[n % 4];
            context(
                &format!("n{n}"),
                "a",
                &json!({"project": {"id": format!("p{n}")}, "business": {"criticality": criticality}}),
            )
        })
        .collect();
    let text = rig::fragment(&derive(&all, &Settings::default()));
    let (value, policies) = rig::policies(&text);
    assert!(policies.len() <= 8, "{policies:?}");
    assert_eq!(
        value["processors"]["transform/contextcore"]["log_statements"],
        value["processors"]["transform/contextcore"]["trace_statements"]
    );
    // A ConfigMap holds 1 MiB.
    assert!(text.len() < 200_000, "{}", text.len());
}

#[test]
fn a_rate_of_zero_has_no_policy_and_processors_stay_without_contexts() {
    let none = derive(&[context("n", "a", &json!({"observability": {"traceSampling": 0}}))], &Settings::default());
    let text = rig::fragment(&none);
    assert!(text.contains("set(attributes[\"contextcore.sampling\"], \"0\") where"), "{text}");
    assert_eq!(rig::policies(&text).1, ["errors", "audit", "rate-others"]);
    let (value, policies) = rig::policies(&rig::fragment(&derive(&[], &Settings::default())));
    assert_eq!(policies, ["errors", "audit", "rate-others"]);
    assert!(value["processors"]["transform/contextcore"].is_object());
}

#[test]
fn a_collector_can_be_attached_to() {
    let found = derived(BLUEPRINT, &settings("collector: {mode: attach, name: gateway, namespace: otel}"));
    let object = object(&found, "OpenTelemetryCollector");
    assert_eq!((&object["metadata"]["name"], &object["metadata"]["namespace"]), (&json!("gateway"), &json!("otel")));
    let processors = object["spec"]["config"]["processors"].as_object().unwrap();
    assert_eq!(processors.keys().collect::<Vec<_>>(), ["tail_sampling/contextcore", "transform/contextcore"]);
}

#[test]
fn guidance_that_is_too_long_is_cut_and_named() {
    let texts: Vec<_> = (0..20).map(|n| json!({"topic": format!("t{n}"), "content": "x".repeat(2000)})).collect();
    let spec = json!({"agentGuidance": {"context": texts, "constraints": [{"id": "a", "rule": "do not"}]}});
    let found = derive(&[context("n", "a", &spec)], &Settings::default());
    let guidance = &found.projects[0]["guidance"];
    assert!(guidance.to_string().len() <= 17 * 1024, "{}", guidance.to_string().len());
    assert_eq!(guidance["constraints"][0]["id"], "a");
    let note = found.outcomes[0].notes.iter().find(|note| note.contains("over 16 KiB")).unwrap();
    assert!(note.contains("context[19]") && !note.contains("context[0]"), "{note}");
}

/// Nothing that a person writes becomes part of a query, a statement or a template. Values come here without validation, as
/// from a cluster with another definition.
#[test]
fn hostile_values_stay_values() {
    let hostile = "x\" or true or \"a\" == \"a${env:X}{{ query `up` }}\n";
    let spec = json!({
        "project": {"id": hostile},
        "business": {"owner": hostile, "value": hostile},
        "risks": [{"risk": hostile, "priority": "P1", "mitigation": hostile}],
        "targets": [{"kind": "Deployment", "name": hostile, "service": hostile}],
        "requirements": {"availability": "99.9", "latencyP99": "1s"},
        "observability": {"runbook": hostile},
        "design": {"doc": hostile, "adr": hostile},
    });
    let found = derive(&[context("n", "a", &spec)], &settings(SETTINGS));
    assert!(found.outcomes[0].is_accepted(), "{:?}", found.outcomes);
    for rule in rig::rules(object(&found, "PrometheusRule")) {
        promql_parser::parser::parse(rule["expr"].as_str().unwrap()).unwrap();
        let labels = if rule.get("alert").is_some() { &rule["labels"] } else { &Value::Null };
        let texts = [labels, &rule["annotations"]].into_iter().filter_map(Value::as_object).flatten();
        for text in texts.map(|(_, text)| text.as_str().unwrap()) {
            assert!(!text.replace("{{\"{{\"}}", "").contains("{{ query"), "{text}");
        }
    }
    let (value, _) = rig::policies(&rig::fragment(&found));
    for statement in
        value["processors"]["transform/contextcore"]["trace_statements"][0]["statements"].as_array().unwrap()
    {
        let statement = statement.as_str().unwrap();
        assert!(!statement.replace("$$", "").contains('$') && !statement.contains('\n'), "{statement}");
        assert!(!statement.replace("\\\"", "").contains("or true or \""), "{statement}");
    }
}

/// A derivation of a whole platform is a matter of moments, so that a controller can repeat it at every change.
#[test]
fn five_hundred_contexts_are_derived_at_once() {
    let spec = json!({
        "business": {"criticality": "high", "owner": "shop-team"},
        "requirements": {"availability": "99.9", "latencyP95": "200ms", "latencyP99": "1s"},
        "risks": [{"risk": "r", "priority": "P1"}],
    });
    let all: Vec<_> = (0..500).map(|n| context(&format!("n{}", n % 20), &format!("c{n}"), &spec)).collect();
    let began = std::time::Instant::now();
    let found = derive(&all, &settings(SETTINGS));
    assert!(found.outcomes.iter().all(|outcome| outcome.is_accepted()));
    // Far more than it takes, without optimisation and on a busy machine.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    let largest = found.objects.iter().map(|object| object.to_string().len()).max().unwrap();
    assert!(largest < 1_000_000, "{largest}");
}

/// The blueprint with this in the settings.
fn with_grafana(grafana: &str) -> Derivation {
    derived(BLUEPRINT, &settings(&format!("grafana: {grafana}\nnamespace: observability\n")))
}

fn of_kind<'a>(derivation: &'a Derivation, kind: &str) -> Vec<&'a Value> {
    derivation.objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn dashboard_condition(derivation: &Derivation) -> (String, String) {
    let conditions = &derivation.outcomes[0].status.conditions;
    let found = conditions.iter().find(|condition| condition.kind == "DashboardReady").unwrap();
    (found.status.clone(), found.reason.clone())
}

#[test]
fn the_grafana_operator_gets_folders_and_a_dashboard_a_context() {
    let found = with_grafana("{mode: grafana-operator, instanceSelector: {matchLabels: {team: platform}}}");
    let folders: Vec<(&Value, &Value)> = of_kind(&found, "GrafanaFolder")
        .iter()
        .map(|object| (&object["spec"]["uid"], &object["spec"]["title"]))
        .collect();
    let wanted = [
        (json!("contextcore"), json!("ContextCore")),
        (json!("contextcore-featured"), json!("Featured")),
        (json!("contextcore-services"), json!("Services")),
        (json!("contextcore-archive"), json!("Archive")),
    ];
    assert_eq!(folders, wanted.iter().map(|(uid, title)| (uid, title)).collect::<Vec<_>>());
    let dashboards = of_kind(&found, "GrafanaDashboard");
    assert_eq!(dashboards.len(), 1 + 3, "one of the context, three that are shipped");
    let own = dashboards.iter().find(|object| object["metadata"]["name"] == "contextcore-checkout-service").unwrap();
    assert_eq!(own["metadata"]["namespace"], "commerce");
    assert_eq!(own["spec"]["folderUID"], "contextcore-featured", "critical");
    assert_eq!(own["spec"]["instanceSelector"], json!({"matchLabels": {"team": "platform"}}));
    let json: Value = serde_json::from_str(own["spec"]["json"].as_str().unwrap()).unwrap();
    assert!(json["uid"].as_str().unwrap().starts_with("cc-svc-"));
    assert_eq!(json["title"], "checkout-service (commerce)");
    let resources = &found.outcomes[0].status.resources;
    assert!(resources.iter().any(|resource| resource.kind == "GrafanaDashboard"), "{resources:?}");
    assert_eq!(dashboard_condition(&found), ("Unknown".to_owned(), "Pending".to_owned()));
    assert!(found.dashboards.is_empty());
}

#[test]
fn the_sidecar_gets_config_maps_in_our_own_namespace() {
    let found = with_grafana("{mode: sidecar}");
    let maps = of_kind(&found, "ConfigMap");
    let maps: Vec<&&Value> = maps.iter().filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1").collect();
    assert_eq!(maps.len(), 1 + 3);
    assert!(maps.iter().all(|map| map["metadata"]["namespace"] == "observability"));
    let folders: Vec<&Value> = maps.iter().map(|map| &map["metadata"]["annotations"]["grafana_folder"]).collect();
    assert_eq!(folders, ["ContextCore/Featured", "ContextCore", "ContextCore", "ContextCore"]);
    for map in maps {
        assert!(map["metadata"]["annotations"]["contextcore.io/hash"].is_string());
        for (file, text) in map["data"].as_object().unwrap() {
            let json: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            assert_eq!(*file, format!("{}.json", json["uid"].as_str().unwrap()));
        }
    }
}

#[test]
fn a_grafana_with_an_address_gets_dashboards_and_the_cluster_none() {
    let found = with_grafana("{url: 'http://grafana:3000', folderUid: team}");
    let [dashboard] = found.dashboards.as_slice() else { panic!("{:?}", found.dashboards) };
    assert_eq!((dashboard.namespace.as_str(), dashboard.name.as_str()), ("commerce", "checkout-service"));
    assert_eq!((dashboard.folder_uid.as_str(), dashboard.folder_title.as_str()), ("team-featured", "Featured"));
    assert!(dashboard.json["panels"].as_array().unwrap().len() > 10);
    let plain = with_grafana("{mode: none, url: 'http://grafana:3000'}");
    assert_eq!(found.objects, plain.objects);
    assert_eq!(dashboard_condition(&found).1, "Pending");
    assert_eq!((plain.dashboards.len(), dashboard_condition(&plain).1.as_str()), (0, "Disabled"));
}

/// What the operators' own definitions require, and nothing that they do not know: the API server would prune it in silence.
#[test]
fn grafana_kinds_have_only_fields_of_their_definitions() {
    let found = with_grafana("{mode: grafana-operator}");
    for (kind, definition) in [
        ("GrafanaFolder", include_str!("cases/grafana.integreatly.org_grafanafolders.yaml")),
        ("GrafanaDashboard", include_str!("cases/grafana.integreatly.org_grafanadashboards.yaml")),
    ] {
        let definition: Value = serde_saphyr::from_str(definition).unwrap();
        let version = &definition["spec"]["versions"][0];
        let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        for object in of_kind(&found, kind) {
            assert_eq!(object["apiVersion"], format!("grafana.integreatly.org/{}", version["name"].as_str().unwrap()));
            for field in object["spec"].as_object().unwrap().keys() {
                assert!(spec["properties"].get(field).is_some(), "{kind}: there is no {field}");
            }
            for field in spec["required"].as_array().unwrap() {
                assert!(object["spec"].get(field.as_str().unwrap()).is_some(), "{kind}: {field} is missing");
            }
            assert!(object["metadata"]["name"].as_str().unwrap().len() <= 253);
        }
    }
}
