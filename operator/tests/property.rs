//! Whatever the schema and the rules admit renders objects that their readers accept.

use std::fs;

use contextcore_operator::derive::derive;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{Input, read};
use contextcore_operator::yaml;
use promql_parser::parser;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::rig;

/// Optional parts of a mapping.
fn mapping(parts: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let each = parts.into_iter().map(|(key, part)| proptest::option::of(part).prop_map(move |part| (key, part)));
    each.collect::<Vec<_>>()
        .prop_map(|parts| {
            Value::Object(
                parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), part?))).collect::<Map<_, _>>(),
            )
        })
        .boxed()
}

fn text(pattern: &'static str) -> BoxedStrategy<Value> {
    pattern.prop_map(Value::String).boxed()
}

fn one_of(words: &'static [&'static str]) -> BoxedStrategy<Value> {
    proptest::sample::select(words).prop_map(Value::from).boxed()
}

fn prose() -> BoxedStrategy<Value> {
    prop_oneof![
        text("\\PC{1,40}"),
        Just(json!("{{ query `up` }} ${env:HOME} \" or true # x\n---\nkey: 'v'")),
        one_of(&[" ", "\t\n", "\u{a0}"]),
        Just(json!("\\\" `'$1 {{{{ %q \u{2028}")),
    ]
    .boxed()
}

fn list(item: BoxedStrategy<Value>, max: usize) -> BoxedStrategy<Value> {
    proptest::collection::vec(item, 0..max)
        .prop_map(|mut items| {
            let mut seen = Vec::new();
            items.retain(|item| {
                !seen.contains(item) && {
                    seen.push(item.clone());
                    true
                }
            });
            Value::Array(items)
        })
        .boxed()
}

fn sli() -> BoxedStrategy<Value> {
    let instrumented = mapping(vec![
        ("profile", one_of(&["otel-http", "otel-rpc", "istio"])),
        ("histogram", one_of(&["classic", "native"])),
        (
            "matchers",
            one_of(&[
                "{a=\"b\"}",
                "a!~\"x|y\\\\.z\"",
                "{a=\"q\\\"uote\", b=~\".+\"}",
                "{c=\"\"}",
                "{a='b'} # c",
                "{\"http.route\"!=\"/healthz\"}",
                "{\"x\\\"} or up # \"=\"y\"}",
                "a=~\"/{id}\"",
                "a=~\"b{1001}\"",
                "a=~\"\\\\u0061\"",
            ]),
        ),
    ]);
    let custom = proptest::sample::select(vec![
        "rate(a_total[{{window}}])",
        "sum by (x) (rate(a_total{b=\"c\"}[{{window}}])) # comment",
        "rate(a_total[{{window}}]) or\n rate(b_total[{{window}}])",
        "mad_over_time(a_total[{{window}}])",
        "limitk(1, rate(a_total[{{window}}]))",
        "rate(a_total{b=~\"c**\"}[{{window}}])",
        "rate({\"a.b\"}[{{window}}])",
    ]);
    let custom = (custom.clone(), custom, one_of(&["classic", "native"])).prop_map(|(total, errors, histogram)| {
        json!({"profile": "custom", "total": total, "errors": errors, "histogram": histogram,
               "latency": "rate(d_bucket[{{window}}]) # by le"})
    });
    prop_oneof![3 => instrumented, 1 => custom].boxed()
}

fn requirements() -> BoxedStrategy<Value> {
    let latency = || {
        let same = one_of(&["700ms", "0.7s", "0.700s", "1100ms", "1.1s", "2.2s", "2200ms"]);
        prop_oneof![text("[1-9][0-9]{0,3}ms"), text("[1-5][0-9]?(\\.[0-9])?s"), same].boxed()
    };
    mapping(vec![
        ("availability", text("[0-9]{1,2}(\\.[0-9]{1,5})?")),
        ("errorRate", text("[0-9]{1,2}(\\.[0-9]{1,5})?")),
        ("latencyP50", latency()),
        ("latencyP90", latency()),
        ("latencyP99", latency()),
        ("throughput", text("[1-9][0-9]{0,4}(\\.[0-9])?(rps|rpm)")),
        ("window", one_of(&["7d", "28d", "30d"])),
        ("minBadEvents", (0..=1000_u32).prop_map(Value::from).boxed()),
        ("sli", sli()),
    ])
}

fn observability() -> BoxedStrategy<Value> {
    mapping(vec![
        ("traceSampling", (0.0..=1.0_f64).prop_map(Value::from).boxed()),
        ("metricsInterval", text("[1-9][0-9]?s")),
        ("alertChannels", list(text("[a-z][a-z0-9]{0,8}"), 4)),
        ("alertPriority", one_of(&["P1", "P2", "P3", "P4"])),
        ("auditLogging", one_of(&["standard", "extended"])),
        ("runbook", text("https://[a-z]{1,8}/[!-z]{0,20}")),
        (
            "scrape",
            mapping(vec![("path", text("/[!-z]{0,10}"))])
                .prop_map(|mut scrape| {
                    scrape["port"] = "web".into();
                    scrape
                })
                .boxed(),
        ),
        ("disableAlerts", prose().prop_map(|reason| json!({"until": "2027-01-31", "reason": reason})).boxed()),
    ])
}

fn target() -> BoxedStrategy<Value> {
    let kind = one_of(&["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]);
    (kind, text("[a-z]([-a-z0-9.]{0,12}[a-z0-9])?"), proptest::option::of(text("[a-z][a-z0-9_./-]{0,10}[a-z]")))
        .prop_map(|(kind, name, service)| {
            let mut target = json!({"kind": kind, "name": name});
            if let Some(service) = service {
                target["service"] = service;
            }
            target
        })
        .boxed()
}

/// A spec that mostly is admitted.
pub(crate) fn spec() -> BoxedStrategy<Value> {
    let business = mapping(vec![
        ("criticality", one_of(&["critical", "high", "medium", "low"])),
        ("owner", text("[A-Za-z0-9]([-A-Za-z0-9_./]{0,10}[A-Za-z0-9])?")),
        ("value", one_of(&["revenue-primary", "internal", "x.y_z"])),
    ]);
    let risk = (prose(), one_of(&["P1", "P2", "P3", "P4"]), prose())
        .prop_map(|(risk, priority, mitigation)| json!({"risk": risk, "priority": priority, "mitigation": mitigation}))
        .boxed();
    let include =
        (prose(), prose()).prop_map(|(source, project)| json!({"source": source, "project": project})).boxed();
    let design = mapping(vec![("adr", prose()), ("adrs", list(prose(), 3)), ("doc", text("https?://[!-z]{1,20}"))]);
    mapping(vec![
        ("business", business),
        ("requirements", requirements()),
        ("risks", list(risk, 4)),
        ("design", design),
        ("targets", list(target(), 4)),
        ("observability", observability()),
    ])
    .prop_flat_map(move |spec| (Just(spec), "[a-z0-9]([-a-z0-9._]{0,20}[a-z0-9])?", list(include.clone(), 3)))
    .prop_map(|(mut spec, id, include)| {
        spec["project"] = json!({"id": id, "include": include});
        spec
    })
    .boxed()
}

/// Random objects called `case-<number>`, always the same, and whether we admit each.
pub(crate) fn objects(count: usize) -> Vec<(Value, bool)> {
    let mut runner = TestRunner::deterministic();
    let strategy = spec();
    let judged = |at: usize, spec: Value| {
        let object = json!({
            "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
            "metadata": {"name": format!("case-{at}"), "namespace": "n"}, "spec": spec,
        });
        let is_admitted = read(&[Input { file: "f".to_owned(), text: yaml::text(&object) }]).is_ok();
        (object, is_admitted)
    };
    (0..count).map(|at| judged(at, strategy.new_tree(&mut runner).unwrap().current())).collect()
}

/// Those of [`objects`] that we admit, each in a namespace of its own: they would claim each other's workloads.
pub(crate) fn contexts(count: usize) -> Vec<ProjectContext> {
    let admitted = objects(count).into_iter().filter(|(_, is_admitted)| *is_admitted);
    let own = admitted.map(|(mut object, _)| {
        object["metadata"]["namespace"] = object["metadata"]["name"].clone();
        serde_json::from_value(object).unwrap()
    });
    own.collect()
}

/// What is admitted, the sync service reads: one context it could not would be missing from its projects.
#[test]
fn what_is_admitted_is_read_as_projects() {
    let derivation = derive(&contexts(100), &Settings::default());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("contextcore.yaml"), "projects_file: projects.yaml").unwrap();
    fs::write(folder.path().join("projects.yaml"), yaml::text(&json!({"projects": derivation.projects}))).unwrap();
    let config = contextcore_core::config::load(&folder.path().join("contextcore.yaml"), &[]).unwrap();
    let file = config.projects_file.unwrap();
    assert!(file.unusable.is_empty(), "{:#?}", file.unusable);
    let read: usize = config.projects.iter().map(|project| project.contexts.len()).sum();
    assert_eq!(read, derivation.projects.len());
    assert!(read > 15, "{read}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_renders_rules_that_parse(spec in spec(), name in "[a-z][a-z0-9-]{0,20}[a-z]") {
        let object = json!({
            "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
            "metadata": {"name": name, "namespace": "n"}, "spec": spec,
        });
        let read = read(&[Input { file: "f".to_owned(), text: yaml::text(&object) }]);
        prop_assume!(read.is_ok());
        let settings = rig::settings(rig::SETTINGS);
        let found = derive(&read.unwrap(), &settings);
        prop_assert!(found.outcomes[0].is_accepted(), "{:?}", found.outcomes[0].status.conditions);
        for object in found.objects.iter().filter(|object| object["kind"] == "PrometheusRule") {
            for rule in rig::rules(object) {
                let expr = rule["expr"].as_str().unwrap();
                prop_assert!(parser::parse(expr).is_ok(), "{expr}: {:?}", parser::parse(expr));
            }
        }
        // What is written as YAML is read as the same.
        let again: Vec<Value> = serde_saphyr::from_multiple(&yaml::stream(&found.objects)).unwrap();
        prop_assert_eq!(&again, &found.objects);
        let (value, policies) = rig::policies(&rig::fragment(&found));
        prop_assert!(policies.len() <= 4);
        let statements = &value["processors"]["transform/contextcore"]["trace_statements"][0]["statements"];
        prop_assert!(statements.as_array().unwrap().iter().all(|text| !text.as_str().unwrap().replace("$$", "").contains('$')));
    }

    #[test]
    fn derive_never_panics_on_what_deserialises(spec in spec(), junk in prose()) {
        let mut spec = spec;
        spec["requirements"]["latencyP99"] = junk.clone();
        spec["project"]["id"] = junk;
        let context = rig::context("n", "a", &spec);
        let found = derive(&[context], &Settings::default());
        prop_assert_eq!(found.outcomes.len(), 1);
    }
}
