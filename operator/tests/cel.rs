//! Every rule of the definition, in process: what the API server refuses is refused here with the same message, and what it
//! admits is admitted. The API server judges the same tables in [`super::server`].

use contextcore_operator::validate::{Input, check_update, read};
use serde_json::{Value, json};

/// A context with this spec besides the project.
pub(crate) fn context(parts: &Value) -> Value {
    let mut spec = json!({"project": {"id": "shop"}});
    for (key, value) in parts.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "contextcore.io/v1", "kind": "ProjectContext", "metadata": {"name": "a", "namespace": "n"}, "spec": spec})
}

/// What is wrong with it: one text, empty when nothing is.
fn problems(object: &Value) -> String {
    let input = Input { file: "f".to_owned(), text: contextcore_operator::yaml::text(object) };
    read(&[input]).err().unwrap_or_default().join("\n")
}

/// What breaks a rule, and a part of the rule's message.
pub(crate) fn refused() -> Vec<(Value, &'static str)> {
    let guidance = |list: &str, items: Value| json!({"agentGuidance": {list: items}});
    let sli = |sli: Value| json!({"requirements": {"availability": "99", "sli": sli}});
    vec![
        (json!({"requirements": {"availability": "99.9", "errorRate": "0.1"}}), "write one of them"),
        (json!({"requirements": {"availability": "0"}}), "availability is a percentage between 0 and 100"),
        (json!({"requirements": {"availability": "0.000"}}), "availability is a percentage between 0 and 100"),
        (json!({"requirements": {"availability": "100"}}), "write one such as \"99.95\""),
        (json!({"requirements": {"errorRate": "0"}}), "errorRate is a percentage between 0 and 100"),
        (json!({"requirements": {"latencyP50": "0ms"}}), "latencyP50 must be above 0"),
        (json!({"requirements": {"latencyP90": "0.0s"}}), "latencyP90 must be above 0"),
        (json!({"requirements": {"latencyP95": "61s"}}), "at most 60s"),
        (json!({"requirements": {"latencyP99": "60001ms"}}), "at most 60s"),
        (json!({"requirements": {"latencyP99": "999999999s"}}), "at most 60s"),
        (json!({"observability": {"metricsInterval": "9999999m"}}), "between 1s and 10m"),
        (json!({"requirements": {"latencyP50": "2s", "latencyP90": "1s"}}), "latencyP50 is above latencyP90"),
        (json!({"requirements": {"latencyP50": "2s", "latencyP95": "1s"}}), "latencyP50 is above latencyP95"),
        (json!({"requirements": {"latencyP50": "201ms", "latencyP99": "0.2s"}}), "latencyP50 is above latencyP99"),
        (json!({"requirements": {"latencyP90": "2s", "latencyP95": "1s"}}), "latencyP90 is above latencyP95"),
        (json!({"requirements": {"latencyP90": "2s", "latencyP99": "1s"}}), "latencyP90 is above latencyP99"),
        (json!({"requirements": {"latencyP95": "1s", "latencyP99": "999ms"}}), "swap or correct them"),
        (json!({"requirements": {"throughput": "0rps"}}), "throughput must be above 0"),
        (json!({"requirements": {"throughput": "00.0rpm"}}), "throughput must be above 0"),
        (sli(json!({"profile": "custom"})), "needs `total`"),
        (sli(json!({"total": "sum(rate(a[{{window}}]))"})), "belong to profile custom"),
        (sli(json!({"profile": "istio", "errors": "sum(rate(a[{{window}}]))"})), "belong to profile custom"),
        (sli(json!({"profile": "otel-rpc", "latency": "sum(rate(a[{{window}}]))"})), "leave all three out"),
        (sli(json!({"profile": "custom", "total": "sum(rate(a[5m]))"})), "total must contain {{window}}"),
        (
            sli(json!({"profile": "custom", "total": "rate(a[{{window}}])", "errors": "rate(b[1m])"})),
            "errors must contain {{window}}",
        ),
        (
            sli(json!({"profile": "custom", "total": "rate(a[{{window}}])", "latency": "rate(b[1m])"})),
            "latency must contain {{window}}",
        ),
        (
            sli(json!({"profile": "custom", "total": "rate(a[{{window}}])", "matchers": "{a=\"b\"}"})),
            "matchers do not apply to profile custom",
        ),
        (json!({"risks": [{"risk": "a"}, {"risk": "b"}, {"risk": "a"}]}), "the same risk is listed twice"),
        (json!({"risks": [{"risk": "a", "id": "x"}, {"risk": "b", "id": "x"}]}), "two risks have the same id"),
        (json!({"targets": [{"kind": "Job"}]}), "write exactly one of them"),
        (
            json!({"targets": [{"kind": "Job", "name": "a", "selector": {"matchLabels": {"a": "b"}}}]}),
            "write exactly one of them",
        ),
        (
            json!({"targets": [{"kind": "Job", "name": "a"}, {"kind": "Job", "name": "a", "service": "b"}]}),
            "two targets have the same kind and name",
        ),
        (json!({"observability": {"metricsInterval": "0s"}}), "between 1s and 10m"),
        (json!({"observability": {"metricsInterval": "11m"}}), "between 1s and 10m"),
        (
            json!({"observability": {"metricsInterval": "3m"}, "requirements": {"availability": "99"}}),
            "write 2m or less",
        ),
        (
            guidance("constraints", json!([{"id": "a", "rule": "x"}, {"id": "a", "rule": "y"}])),
            "two constraints have the same id",
        ),
        (
            guidance("preferences", json!([{"id": "a", "preference": "x"}, {"id": "a", "preference": "y"}])),
            "two preferences have the same id",
        ),
        (
            guidance("questions", json!([{"id": "a", "question": "x"}, {"id": "a", "question": "y"}])),
            "two questions have the same id",
        ),
        (guidance("constraints", json!([{"id": "a", "rule": "x", "scope": "src/../etc"}])), "write it without `..`"),
        (guidance("constraints", json!([{"id": "a", "rule": "x", "scope": "../etc"}])), "write it without `..`"),
        (guidance("constraints", json!([{"id": "a", "rule": "x", "scope": "src/.."}])), "write it without `..`"),
    ]
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_message() {
    let cases = refused();
    assert!(cases.len() >= 39, "{}", cases.len());
    for (parts, wanted) in cases {
        let found = problems(&context(&parts));
        assert!(found.contains(wanted), "{parts}\nwanted: {wanted}\nfound: {found}");
        assert!(found.starts_with("f:") && found.contains(" spec"), "no field: {found}");
    }
}

#[test]
fn a_name_must_fit_a_label() {
    let mut object = context(&json!({}));
    object["metadata"]["name"] = "a".repeat(64).into();
    assert!(problems(&object).contains("longer than 63 characters"), "{}", problems(&object));
    object["metadata"]["name"] = "a".repeat(63).into();
    assert_eq!(problems(&object), "");
}

/// What keeps the rules.
pub(crate) fn admitted() -> Vec<Value> {
    vec![
        json!({}),
        json!({"requirements": {}}),
        json!({"requirements": {"availability": "0.00001"}}),
        json!({"requirements": {"availability": "99.99999", "window": "7d", "minBadEvents": 0}}),
        json!({"requirements": {"errorRate": "99.9"}}),
        json!({"requirements": {"latencyP50": "1s", "latencyP90": "1s", "latencyP95": "1000ms", "latencyP99": "60s"}}),
        json!({"requirements": {"latencyP99": "0.5ms", "throughput": "0.1rpm"}}),
        json!({"requirements": {"sli": {"matchers": "{service_name=\"x\"}", "histogram": "native"}}}),
        json!({"requirements": {"sli": {"profile": "custom", "total": "rate(a[{{window}}])"}}}),
        json!({"risks": [{"risk": "a", "id": "x"}, {"risk": "b", "id": "y", "type": "data-integrity", "due": "2027-01-31"}]}),
        json!({"targets": [{"kind": "Job", "name": "a"}, {"kind": "CronJob", "name": "a"}]}),
        json!({"targets": [{"kind": "Job", "selector": {"matchLabels": {"a": "b"}}, "service": "x"}]}),
        json!({"observability": {"metricsInterval": "10m", "traceSampling": 0, "alertChannels": ["a", "b"]}}),
        json!({"observability": {"metricsInterval": "2m", "traceSampling": 1}, "requirements": {"availability": "99"}}),
        json!({"observability": {"disableAlerts": {"until": "2027-01-31", "reason": "migration"}, "annotate": "None"}}),
        json!({"agentGuidance": {"constraints": [{"id": "a", "rule": "x", "scope": "src/..hidden/**", "severity": "blocking"}]}}),
        json!({"design": {"adr": "docs/adr/1.md", "adrs": ["a", "b"], "doc": "https://a/b", "apiContract": "http://a"}}),
    ]
}

#[test]
fn what_keeps_the_rules_is_admitted() {
    for parts in admitted() {
        assert_eq!(problems(&context(&parts)), "", "{parts}");
    }
}

/// What does not fit the schema, and a part of what we say to that.
pub(crate) fn misfits() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"project": {"id": "Shop"}}), "spec.project.id: `Shop` does not fit"),
        (json!({"project": {"id": "a".repeat(64)}}), "spec.project.id: has 64 characters"),
        (json!({"project": {}}), "spec.project.id: is missing"),
        (json!({"business": {"criticality": "highest"}}), "`highest` is none of critical, high, medium, low"),
        (json!({"business": {"owner": "x\" or true"}}), "spec.business.owner: `x\" or true` does not fit"),
        (json!({"business": {"owner": "-x"}}), "spec.business.owner: `-x` does not fit"),
        (json!({"requirements": {"availability": 99.9}}), "put it in quotes, \"99.9\""),
        (json!({"requirements": {"availability": "99.999999"}}), "spec.requirements.availability: has 9 characters"),
        (json!({"requirements": {"latencyP99": "1m"}}), "write one such as \"200ms\""),
        (json!({"requirements": {"window": "14d"}}), "`14d` is none of 7d, 28d, 30d"),
        (json!({"requirements": {"minBadEvents": 1001}}), "1001 is not between 0 and 1000"),
        (
            json!({"requirements": {"sli": {"profile": "sloth"}}}),
            "`sloth` is none of otel-http, otel-rpc, istio, custom",
        ),
        (json!({"targets": [{"kind": "Rollout", "name": "a"}]}), "spec.targets[0].kind: `Rollout` is none of"),
        (
            json!({"targets": [{"kind": "Job", "name": "{{ query }}"}]}),
            "spec.targets[0].name: `{{ query }}` does not fit",
        ),
        (
            json!({"observability": {"traceSampling": 1.1}}),
            "spec.observability.traceSampling: 1.1 is not between 0 and 1",
        ),
        (json!({"observability": {"alertChannels": ["a", "a"]}}), "\"a\" is listed twice"),
        (
            json!({"observability": {"alertChannels": ["a,b"]}}),
            "spec.observability.alertChannels[0]: `a,b` does not fit",
        ),
        (json!({"observability": {"metricInterval": "1s"}}), "did you mean metricsInterval?"),
        (json!({"design": {"doc": "ftp://x"}}), "spec.design.doc: `ftp://x` does not fit"),
        (json!({"risks": [{"risk": "a", "priority": "P0"}]}), "`P0` is none of P1, P2, P3, P4"),
        (json!({"riks": []}), "spec.riks: unknown key `riks`: did you mean risks?"),
    ]
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    for (parts, wanted) in misfits() {
        let found = problems(&context(&parts));
        assert!(found.contains(wanted), "{parts}\nwanted: {wanted}\nfound: {found}");
    }
}

#[test]
fn the_project_of_a_context_cannot_change() {
    let old = context(&json!({}));
    let mut new = old.clone();
    assert_eq!(check_update(&new, &old), Ok(()));
    new["spec"]["project"]["id"] = "other".into();
    let error = check_update(&new, &old).unwrap_err().join("\n");
    assert!(error.contains("spec.project") && error.contains("create a new ProjectContext"), "{error}");
}
