//! Objectives of Sloth and OpenSLO as contexts: what they become, that promtool accepts the rules and fires them, and what is refused.

use std::path::Path;

use contextcore_operator::derive::derive;
use contextcore_operator::import::{Imported, import};
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{Input, read_with};
use contextcore_operator::yaml;
use serde_json::{Value, json};

use super::promtool;

const CASES: [&str; 4] = ["sloth", "sloth-resource", "openslo", "openslo-alpha"];

fn case(name: &str) -> Input {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/slo/{name}.yaml"));
    Input { file: format!("{name}.yaml"), text: std::fs::read_to_string(path).unwrap() }
}

fn imported(text: &str) -> Result<Imported, Vec<String>> {
    import(&[Input { file: "slo.yaml".to_owned(), text: text.to_owned() }])
}

fn contexts(imported: Imported) -> Vec<ProjectContext> {
    read_with(&[], imported.contexts).unwrap()
}

/// The groups of all rules that follow from contexts.
fn groups(contexts: &[ProjectContext]) -> Value {
    let objects = derive(contexts, &Settings::default()).objects;
    let rules = objects.iter().filter(|object| object["kind"] == "PrometheusRule");
    let groups: Vec<Value> = rules.flat_map(|object| object["spec"]["groups"].as_array().unwrap().clone()).collect();
    json!({"groups": groups})
}

#[test]
fn objectives_of_others_become_contexts_whose_rules_are_accepted() {
    for name in CASES {
        let imported = import(&[case(name)]).unwrap();
        let notes = imported.notes.join("\n");
        let contexts = contexts(imported);
        let text = yaml::stream(&contexts.iter().map(|context| json!(context)).collect::<Vec<_>>());
        insta::assert_snapshot!(format!("import-{name}"), format!("{text}---\n{notes}\n"));
        let rules = groups(&contexts);
        promtool::run(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"], &[("rules.yaml", &rules)]);
    }
}

/// Half of the requests of each fail; the good ones of the third have no series at all.
#[test]
fn what_was_imported_pages_as_its_own_rules_did() {
    for (name, slo, series) in [
        (
            "sloth",
            "myservice",
            vec![("http_request_duration_seconds_count{job=\"myservice\",code=\"500\"}", "0+60x200")],
        ),
        ("openslo", "search", vec![("http_requests_total{app=\"search\",code=\"500\"}", "0+60x200")]),
        (
            "openslo-alpha",
            "my-service",
            vec![("http_request_duration_seconds_count{job=\"myservice\",code=\"500\"}", "0+60x200")],
        ),
    ] {
        let rules = groups(&contexts(import(&[case(name)]).unwrap()));
        let input: Vec<Value> =
            series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
        let query = format!(
            "max by (service) (ALERTS{{alertname=\"ContextCoreErrorBudgetBurn\",alertstate=\"firing\",service=\"{slo}\"}})"
        );
        let expected = json!([{"labels": format!("{{service=\"{slo}\"}}"), "value": 1}]);
        let tests = json!({
            "rule_files": ["rules.yaml"], "evaluation_interval": "30s",
            "tests": [{"interval": "30s", "input_series": input,
                "promql_expr_test": [{"expr": query, "eval_time": "10m", "exp_samples": expected}]}],
        });
        promtool::run(&["test", "rules", "test.yaml"], &[("rules.yaml", &rules), ("test.yaml", &tests)]);
    }
}

#[test]
fn what_cannot_be_carried_over_says_where_and_what_to_write() {
    let sloth =
        |sli: &str| format!("version: prometheus/v1\nservice: a\nslos:\n- name: b\n  objective: 99\n  sli: {sli}\n");
    let events =
        |query: &str| format!("{{events: {{error_query: '{query}', total_query: 'rate(x[{{{{.window}}}}])'}}}}");
    let openslo = |spec: &str| format!("apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: a}}\nspec: {spec}\n");
    for (text, line) in [
        ("a: 1\n".to_owned(), "slo.yaml: has no objectives of Sloth"),
        ("a: [\n".to_owned(), "slo.yaml:1: is not valid YAML"),
        ("version: prometheus/v1\nslos: []\n".to_owned(), "slo.yaml:1: service: is missing"),
        ("version: prometheus/v1\nservice: a\n".to_owned(), "slo.yaml:1: slos: is empty"),
        (sloth("{raw: {error_ratio_query: x}}"), "slo.yaml:6: slos[0].sli.raw: is a ratio alone"),
        (sloth("{plugin: {id: p}}"), "slo.yaml:6: slos[0].sli.plugin: runs in Sloth only"),
        (sloth("{events: {total_query: x}}"), "slo.yaml:6: slos[0].sli.events: needs `error_query`"),
        (sloth(&events("rate(x[5m]) + rate(x[1h])")), "slo.yaml:6: slos[0].sli.events: must be over a window"),
        (sloth(&events("sum(rate(x[5m])")), "slo.yaml:4: spec.requirements.sli.errors: is not PromQL"),
        (
            sloth(&events("rate(x[5m])")).replace("objective: 99", "objective: 100"),
            "slo.yaml:4: spec.requirements.availability: ",
        ),
        (openslo("{service: s, objectives: []}"), "slo.yaml:4: spec.objectives: is empty"),
        (openslo("{objectives: [{target: 0.9}]}"), "slo.yaml:4: spec.service: is missing"),
        (
            openslo("{service: s, budgetingMethod: Timeslices, objectives: [{target: 0.9}]}"),
            "slo.yaml:4: spec.budgetingMethod: Timeslices counts time slices",
        ),
        (
            openslo("{service: s, timeWindow: [{duration: 90d}], objectives: [{target: 0.9}]}"),
            "slo.yaml:4: spec.timeWindow: is none of 7d, 28d and 30d",
        ),
        (
            openslo("{service: s, timeWindow: [{duration: 1M, isRolling: false}], objectives: [{target: 0.9}]}"),
            "slo.yaml:4: spec.timeWindow: follows the calendar",
        ),
        (
            openslo("{service: s, indicatorRef: none, objectives: [{target: 0.9}]}"),
            "slo.yaml:4: spec.indicatorRef: none is in none of the files",
        ),
        (
            openslo("{service: s, indicator: {spec: {thresholdMetric: {}}}, objectives: [{target: 0.9}]}"),
            "slo.yaml:4: spec.indicator: has no `ratioMetric`",
        ),
        (openslo("{service: s, objectives: [{target: 99.9}]}"), "slo.yaml:4: spec.objectives[0]: needs a `target`"),
        (
            openslo(
                "{service: s, objectives: [{target: 0.9}], indicator: {spec: {ratioMetric: {total: {metricSource: {type: Datadog}}}}}}",
            ),
            "slo.yaml:4: spec.indicator: `total` is of Datadog",
        ),
    ] {
        let lines = imported(&text).unwrap_err();
        assert!(lines[0].starts_with(line), "{lines:?} instead of {line}\n{text}");
    }
}
