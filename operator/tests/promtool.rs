//! The rules in the hands of the real thing: `promtool check rules` on all that is rendered, and `promtool test rules` on what
//! happens to a service, minute by minute.
//!
//! `tests/stack/build.sh` builds promtool. Without it these tests say that they were skipped, or fail where
//! `CONTEXTCORE_REQUIRE_STACK` is set.

use std::fs;
use std::process::Command;

use contextcore_cluster::Suite;
use contextcore_operator::derive::derive;
use contextcore_operator::settings::Settings;
use contextcore_operator::yaml;
use serde_json::{Value, json};

use super::property;
use super::rig::{self, context};

const PAGE: &str = "ContextCoreErrorBudgetBurn";
const TICKET: &str = "ContextCoreErrorBudgetBurnTicket";

/// Runs promtool in a directory with these files.
pub(crate) fn run(arguments: &[&str], files: &[(&str, &Value)]) {
    let Some(promtool) = Suite::Stack.program("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), yaml::text(content)).unwrap();
    }
    let output = Command::new(promtool).args(arguments).current_dir(folder.path()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

/// The groups of the golden objects, from the snapshots that a person reviewed.
#[test]
fn every_golden_rule_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let body = text.splitn(3, "---\n").nth(2).unwrap_or_default();
        let documents: Vec<Value> = serde_saphyr::from_multiple(body).unwrap_or_default();
        for document in documents.iter().filter(|document| document["kind"] == "PrometheusRule") {
            count += 1;
            run(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"], &[("rules.yaml", &document["spec"])]);
        }
    }
    assert!(count >= 14, "{count}");
}

#[test]
fn the_rules_of_any_contexts_are_accepted() {
    let contexts = property::contexts(200);
    let derivation = derive(&contexts, &rig::settings(rig::SETTINGS));
    let rules = derivation.objects.iter().filter(|object| object["kind"] == "PrometheusRule");
    let groups: Vec<Value> = rules.flat_map(|object| object["spec"]["groups"].as_array().unwrap().clone()).collect();
    assert!(groups.len() >= 40, "{}", groups.len());
    run(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"], &[("rules.yaml", &json!({"groups": groups}))]);
}

/// A context in the hands of `promtool test rules`.
struct Scenario {
    rules: Value,
    tests: Vec<Value>,
}

impl Scenario {
    /// Service `shop/cart` with these requirements, critical.
    fn new(requirements: Value) -> Self {
        Self::with(requirements, false)
    }

    fn with(requirements: Value, with_period: bool) -> Self {
        let spec = json!({"business": {"criticality": "critical", "owner": "shop-team"}, "requirements": requirements});
        let derivation = derive(&[context("shop", "cart", &spec)], &Settings::default());
        let mut rules = rig::object(&derivation, "PrometheusRule")["spec"].clone();
        // What an alert says is compared word for word, which is for the golden objects. The sums over the whole period take
        // most of the time, and no alert reads them.
        let groups = rules["groups"].as_array_mut().unwrap();
        groups.retain(|group| with_period || !group["name"].as_str().unwrap().ends_with("-period"));
        for group in rules["groups"].as_array_mut().unwrap() {
            for rule in group["rules"].as_array_mut().unwrap() {
                rule.as_object_mut().unwrap().remove("annotations");
            }
        }
        Self { rules, tests: Vec::new() }
    }

    /// What is to be at some times: alert, slo, and the long windows on which it fires.
    fn test(mut self, name: &str, series: &[(String, String)], expected: &[(&str, &str, &[&str])]) -> Self {
        self.add(name, series, expected, "availability");
        self
    }

    fn add(&mut self, name: &str, series: &[(String, String)], expected: &[(&str, &str, &[&str])], slo: &str) {
        let input: Vec<Value> =
            series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
        let checks: Vec<Value> = expected
            .iter()
            .map(|(time, alert, windows)| {
                let alerts: Vec<Value> = windows.iter().map(|window| labels(alert, window, slo)).collect();
                json!({"eval_time": time, "alertname": alert, "exp_alerts": alerts})
            })
            .collect();
        self.tests.push(json!({"name": name, "interval": "30s", "input_series": input, "alert_rule_test": checks}));
    }

    /// Runs all tests.
    fn run(self) {
        let tests = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": self.tests});
        run(&["test", "rules", "test.yaml"], &[("rules.yaml", &self.rules), ("test.yaml", &tests)]);
    }
}

fn labels(alert: &str, window: &str, slo: &str) -> Value {
    let severity = if alert == PAGE { "critical" } else { "warning" };
    json!({"exp_labels": {
        "project": "shop", "namespace": "shop", "service": "cart", "slo": slo, "owner": "shop-team",
        "criticality": "critical", "priority": "P1", "channels": ",shop-oncall,",
        "severity": severity, "long_window": window,
    }})
}

/// Requests with this status, as a counter with a value every 30 s.
fn requests(status: &str, values: &str) -> (String, String) {
    let series = format!(
        "http_server_request_duration_seconds_count{{job=\"shop/cart\",http_response_status_code=\"{status}\"}}"
    );
    (series, values.to_owned())
}

/// One classic bucket.
fn bucket(le: &str, values: &str) -> (String, String) {
    (format!("http_server_request_duration_seconds_bucket{{job=\"shop/cart\",le=\"{le}\"}}"), values.to_owned())
}

/// An hour of 10 requests a second, then two hours in which all fail.
fn outage() -> [(String, String); 2] {
    [requests("200", "0+300x120 36000+0x240"), requests("500", "0+0x120 0+300x240")]
}

#[test]
fn an_outage_pages_within_three_minutes() {
    for availability in ["99.9", "99.95", "99.99"] {
        Scenario::new(json!({"availability": availability}))
            .test("an outage", &outage(), &[("60m", PAGE, &[]), ("63m", PAGE, &["1h"])])
            .run();
    }
    // At 99.5 % the ratio over an hour needs 4.3 minutes, and the alert another.
    Scenario::new(json!({"availability": "99.5"}))
        .test("an outage", &outage(), &[("62m", PAGE, &[]), ("67m", PAGE, &["1h"])])
        .run();
}

#[test]
fn the_page_ends_after_the_outage() {
    let series =
        [requests("200", "0+300x120 36000+0x20 36000+300x400"), requests("500", "0+0x120 0+300x20 6000+0x400")];
    Scenario::new(json!({"availability": "99.9"}))
        .test(
            "ten minutes of outage",
            &series,
            &[("69m", PAGE, &["1h"]), ("75m", PAGE, &["1h", "6h"]), ("100m", PAGE, &["6h"]), ("150m", PAGE, &[])],
        )
        .run();
}

#[test]
fn little_or_no_traffic_is_silent() {
    Scenario::new(json!({"availability": "99.95"}))
        .test(
            "one of three requests fails",
            &[requests("200", "0 1 2 2+0x2000"), requests("500", "0 0 1 1+0x2000")],
            &[("5m", PAGE, &[]), ("30m", PAGE, &[]), ("2h", TICKET, &[]), ("8h", TICKET, &[])],
        )
        .test("no traffic", &[requests("200", "7+0x600")], &[("4h", PAGE, &[]), ("4h", TICKET, &[])])
        .test(
            "no series",
            &[("up{job=\"x\"}".to_owned(), "1+0x600".to_owned())],
            &[("4h", PAGE, &[]), ("4h", TICKET, &[])],
        )
        .test("no error yet", &[requests("200", "0+300x2000")], &[("12h", PAGE, &[]), ("12h", TICKET, &[])])
        .run();
}

#[test]
fn a_young_series_pages_nobody_early() {
    // 0.4 % of the requests of a new service fail: eight times the budget of 99.95 %, which is for the pages of six hours.
    let series = [requests("200", "0+298.8x1500"), requests("500", "0+1.2x1500")];
    Scenario::new(json!({"availability": "99.95"}))
        .test(
            "a young service",
            &series,
            &[
                ("12m", PAGE, &[]),
                ("1h", PAGE, &[]),
                ("4h", PAGE, &[]),
                ("1h", TICKET, &[]),
                // By then it is no longer young, and the budget really burns.
                ("6h", PAGE, &["6h"]),
            ],
        )
        .run();
}

#[test]
fn a_slow_burn_is_a_ticket_and_no_page() {
    // 0.2 % for a day and more: four times the budget.
    let series = [requests("200", "0+299.4x3200"), requests("500", "0+0.6x3200")];
    Scenario::new(json!({"availability": "99.95"}))
        .test("four times the budget", &series, &[("26h", PAGE, &[]), ("26h", TICKET, &["1d", "3d"])])
        .run();
}

#[test]
fn a_slow_trickle_of_failures_is_a_ticket() {
    // Two requests a minute, of which four in a thousand fail: never many at once, and four times the budget.
    let series = [requests("200", "0+0.996x3200"), requests("500", "0+0.004x3200")];
    Scenario::new(json!({"availability": "99.9"}))
        .test("a trickle", &series, &[("26h", PAGE, &[]), ("26h", TICKET, &["1d", "3d"])])
        .run();
}

#[test]
fn other_periods_have_their_own_factors() {
    // 0.13 % of 99.99 %: 13 times the budget is below 13.44, the quick page of 28 days, and above 3.36, that of 7 days.
    let series = [requests("200", "0+2996.1x1200"), requests("500", "0+3.9x1200")];
    Scenario::new(json!({"availability": "99.99", "window": "28d"}))
        .test("28 days", &series, &[("3h", PAGE, &["6h"])])
        .run();
    Scenario::new(json!({"availability": "99.99", "window": "7d"}))
        .test("7 days", &series, &[("3h", PAGE, &["1h", "6h"])])
        .run();
    let series = [requests("200", "0+2995.8x1200"), requests("500", "0+4.2x1200")];
    Scenario::new(json!({"availability": "99.99", "window": "28d"}))
        .test("28 days, 14 times", &series, &[("3h", PAGE, &["1h", "6h"])])
        .run();
    // A week has one ticket, and it never alerts a service that meets its objective: 0.95 times the budget.
    let series = [requests("200", "0+2999.715x3200"), requests("500", "0+0.285x3200")];
    Scenario::new(json!({"availability": "99.99", "window": "7d"}))
        .test("within the objective", &series, &[("26h", PAGE, &[]), ("26h", TICKET, &[])])
        .run();
    let series = [requests("200", "0+2999.4x3200"), requests("500", "0+0.6x3200")];
    Scenario::new(json!({"availability": "99.99", "window": "7d"}))
        .test("twice the budget", &series, &[("26h", PAGE, &["6h"]), ("26h", TICKET, &["1d"])])
        .run();
}

/// 10 requests a second; in the second hour all of them take between 0.25 s and 0.5 s.
fn slow_hour() -> Vec<(String, String)> {
    let (fast, all) = ("0+300x120 36000+0x240", "0+300x360");
    let mut series: Vec<_> = [("0.1", fast), ("0.25", fast), ("0.5", all), ("+Inf", all)]
        .into_iter()
        .map(|(le, values)| bucket(le, values))
        .collect();
    series.push(requests("200", all));
    series
}

#[test]
fn slow_requests_page_with_classic_histograms() {
    let mut scenario = Scenario::new(json!({"latencyP99": "200ms"}));
    // 1 % may be slow, so the ratio over an hour needs 9 minutes to be 14.4 times that.
    let checks: &[(&str, &str, &[&str])] = &[("60m", PAGE, &[]), ("65m", PAGE, &[]), ("72m", PAGE, &["1h"])];
    scenario.add("a slow hour", &slow_hour(), checks, "latency_p99");
    scenario.run();
}

#[test]
fn an_idle_night_silences_no_latency_alert() {
    // Ten hours without requests, then slow ones: NaN of the idle windows must not reach the sums.
    let (fast, all) = ("0+300x20 6000+0x1600", "0+300x20 6000+0x1200 6000+300x400");
    let mut series: Vec<_> = [("0.1", fast), ("0.25", fast), ("0.5", all), ("+Inf", all)]
        .into_iter()
        .map(|(le, values)| bucket(le, values))
        .collect();
    series.push(requests("200", all));
    let mut scenario = Scenario::new(json!({"latencyP99": "200ms"}));
    let checks: &[(&str, &str, &[&str])] = &[("9h", PAGE, &[]), ("9h", TICKET, &[]), ("650m", PAGE, &["1h", "6h"])];
    scenario.add("an idle night", &series, checks, "latency_p99");
    let has_value = |time: &str| json!({"expr": "count(contextcore:sli_bad:rate5m) and count(contextcore:sli_bad:rate5m == contextcore:sli_bad:rate5m)", "eval_time": time, "exp_samples": [{"labels": "{}", "value": 1}]});
    scenario.tests[0]["promql_expr_test"] = json!([has_value("5h"), has_value("9h"), has_value("11h")]);
    scenario.run();
}

#[test]
fn slow_requests_page_with_native_histograms() {
    // Schema 0: bucket 0 is (0.5, 1], bucket -3 is (0.0625, 0.125]. All fast for an hour, then all slow.
    let fast = "{{schema:0 sum:30 count:300 offset:-3 buckets:[300]}}";
    let both =
        |slow: u32| format!("{{{{schema:0 sum:9 count:{} offset:-3 buckets:[36000 0 0 {slow}]}}}}", 36_000 + slow);
    let mut values = format!("{{{{schema:0 sum:0 count:0 offset:-3 buckets:[0]}}}}+{fast}x120");
    for step in 1..=60_u32 {
        values = format!("{values} {}", both(step * 300));
    }
    let series = [(
        "http_server_request_duration_seconds{job=\"shop/cart\",http_response_status_code=\"200\"}".to_owned(),
        values,
    )];
    let sli = json!({"histogram": "native"});
    let mut scenario = Scenario::new(json!({"latencyP99": "200ms", "sli": sli}));
    let checks: &[(&str, &str, &[&str])] = &[("60m", PAGE, &[]), ("72m", PAGE, &["1h"])];
    scenario.add("a slow hour", &series, checks, "latency_p99");
    scenario.run();
}

#[test]
fn failures_page_with_native_histograms() {
    let growing = |from: u32, steps: u32| {
        let histogram = |count: u32| format!("{{{{schema:0 sum:{count} count:{count} offset:-3 buckets:[{count}]}}}}");
        (0..=steps).map(|step| histogram(from + step * 300)).collect::<Vec<_>>().join(" ")
    };
    let series = |status: &str| {
        format!("http_server_request_duration_seconds{{job=\"shop/cart\",http_response_status_code=\"{status}\"}}")
    };
    let idle = |count: u32, times: usize| {
        vec![format!("{{{{schema:0 sum:{count} count:{count} offset:-3 buckets:[{count}]}}}}"); times].join(" ")
    };
    let input = [
        (series("200"), format!("{} {}", growing(0, 120), idle(36_000, 60))),
        (series("500"), format!("{} {}", idle(0, 121), growing(300, 59))),
    ];
    Scenario::new(json!({"availability": "99.9", "sli": {"histogram": "native"}}))
        .test("an outage", &input, &[("60m", PAGE, &[]), ("64m", PAGE, &["1h"])])
        .run();
}

/// What the recordings of the dashboards are, for 10 requests a second of which 0.05 % fail: exactly the budget of 99.95 %.
#[test]
fn budget_and_burn_are_recorded() {
    let mut scenario = Scenario::with(json!({"availability": "99.95", "window": "7d"}), true);
    let series = [requests("200", "0+299.85x1000"), requests("500", "0+0.15x1000")];
    scenario.add("on budget", &series, &[], "availability");
    let own = "namespace=\"shop\", project=\"shop\", service=\"cart\", slo=\"availability\"";
    let value = |metric: &str, more: &str, value: f64| {
        let expr = format!("round({metric}{{{own}{more}}}, 0.000001)");
        json!({"expr": expr, "eval_time": "8h", "exp_samples": [{"labels": format!("{{{own}{more}}}"), "value": value}]})
    };
    scenario.tests[0]["promql_expr_test"] = json!([
        value("contextcore:slo_objective:ratio", "", 0.9995),
        value("contextcore:sli_total:rate5m", "", 10.0),
        value("contextcore:sli_error:ratio_rate1h", "", 0.0005),
        value("contextcore:sli_error:ratio_rate6h", "", 0.0005),
        value("contextcore:slo_burn_rate:ratio", ", window=\"6h\"", 1.0),
        value("contextcore:slo_error:ratio_period", ", window=\"7d\"", 0.0005),
        value("contextcore:slo_error_budget_remaining:ratio", ", window=\"7d\"", 0.0),
    ]);
    scenario.run();
}

/// Half of 10 requests a second for half an hour makes a ticket, and so does the end of all series, for a day.
#[test]
fn too_little_traffic_and_none_at_all_make_a_ticket() {
    const BELOW: &str = "ContextCoreThroughputBelow";
    for sli in [
        json!({}),
        json!({"profile": "custom", "total": "rate(http_server_request_duration_seconds_count[{{window}}]) # all"}),
    ] {
        let mut scenario = Scenario::new(json!({"throughput": "10rps", "sli": sli}));
        let test = |name: &str, values: &str, fires: &[(&str, bool)]| {
            let mut expected = labels(BELOW, "", "throughput");
            let of_alert = expected["exp_labels"].as_object_mut().unwrap();
            of_alert.remove("long_window");
            let check = |(time, fires): &(&str, bool)| {
                let alerts: Vec<&Value> = fires.then_some(&expected).into_iter().collect();
                json!({"eval_time": time, "alertname": BELOW, "exp_alerts": alerts})
            };
            let (series, values) = requests("200", values);
            let checks: Vec<Value> = fires.iter().map(check).collect();
            json!({"name": name, "interval": "30s", "input_series": [{"series": series, "values": values}], "alert_rule_test": checks})
        };
        scenario.tests = vec![
            test("enough", "0+300x400", &[("60m", false), ("3h", false)]),
            test("less than half", "0+300x120 36000+120x200", &[("60m", false), ("70m", false), ("100m", true)]),
            test("idle", "0+300x120 36000+0x200", &[("70m", false), ("100m", true)]),
            test(
                "the series end",
                "0+300x120 _x4000",
                &[("60m", false), ("70m", false), ("105m", true), ("20h", true), ("27h", false)],
            ),
            test("nothing ever", "_x400", &[("2h", false)]),
        ];
        scenario.run();
    }
}

/// Annotations are templates, and only ours have actions.
#[test]
fn annotations_are_expanded() {
    let spec = json!({
        "business": {"criticality": "critical"},
        "requirements": {"availability": "99.9"},
        "risks": [{"risk": "{{ query `up` }} \"x\"", "priority": "P1"}],
    });
    let derivation = derive(&[context("shop", "cart", &spec)], &Settings::default());
    let rules = rig::object(&derivation, "PrometheusRule")["spec"].clone();
    let series: Vec<Value> =
        outage().iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let mut expected = labels(PAGE, "1h", "availability");
    let labels = expected["exp_labels"].as_object_mut().unwrap();
    labels.retain(|name, _| name != "owner" && name != "channels");
    expected["exp_annotations"] = json!({
        "summary": "cart: availability budget burns 14.4× (2 % in 1 h)",
        "description": "Objective: 99.9 % over 30d. Budget left: -734.5%. Criticality: critical. Risk P1: {{ query `up` }} \"x\".",
    });
    let tests = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [{
        "interval": "30s",
        "input_series": series,
        "alert_rule_test": [{"eval_time": "63m", "alertname": PAGE, "exp_alerts": [expected]}],
    }]});
    run(&["test", "rules", "test.yaml"], &[("rules.yaml", &rules), ("test.yaml", &tests)]);
}

/// Names of labels as UTF-8 has them, and regular expressions, as far as they are admitted.
#[test]
fn any_matchers_that_are_admitted_are_accepted() {
    let mut groups = Vec::new();
    for (at, matchers) in [
        r#"{"http.route"!="/healthz"}"#,
        r#"{"a=\"b\"} or vector(1) # "="x", "é"=~"a|b"}"#,
        r#"{"quote\"d"!~"x"}"#,
        r#"{'single.quoted'='x', `back.quoted`!="y"}"#,
        r#"{http_route=~"/users/{id}|(?i)[[:alpha:]]\\d{2,3}"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let sli = json!({"matchers": matchers});
        let spec =
            json!({"requirements": {"availability": "99.9", "latencyP99": "1s", "throughput": "10rps", "sli": sli}});
        let derivation = derive(&[context("shop", &format!("cart-{at}"), &spec)], &Settings::default());
        assert!(derivation.outcomes[0].is_accepted(), "{matchers}: {:?}", derivation.outcomes[0].status.conditions);
        groups.extend(rig::object(&derivation, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone());
    }
    run(&["check", "rules", "rules.yaml"], &[("rules.yaml", &json!({"groups": groups}))]);
    for matchers in [r#"{a=~"b{1001}"}"#, r#"{a=~"\\u0061"}"#, r#"{""="x"}"#, r#"{a!~"(?x)b"}"#] {
        let spec = json!({"requirements": {"availability": "99.9", "sli": {"matchers": matchers}}});
        let derivation = derive(&[context("shop", "cart", &spec)], &Settings::default());
        assert!(!derivation.outcomes[0].is_accepted(), "{matchers}");
    }
}

/// Whatever people write, the rules and the templates of their annotations are read.
#[test]
fn hostile_texts_are_accepted_as_texts() {
    let hostile = "x\" or vector(1) # {{ query `up` }} {{ end }} \\ ${env:X} '%q\n\u{2028}é";
    let spec = json!({
        "business": {"criticality": "critical", "owner": hostile, "value": hostile},
        "risks": [{"risk": hostile, "priority": "P1", "mitigation": hostile}],
        "targets": [{"kind": "Deployment", "name": hostile}, {"kind": "Job", "name": "{{"}],
        "requirements": {"availability": "99.9", "latencyP99": "1s", "throughput": "10rps"},
        "observability": {"runbook": hostile},
        "design": {"doc": hostile, "adr": hostile},
    });
    for name in ["cart", "{{ $labels.x }}"] {
        let derivation = derive(&[context("shop", name, &spec)], &rig::settings(rig::SETTINGS));
        let rules = &rig::object(&derivation, "PrometheusRule")["spec"];
        run(&["check", "rules", "rules.yaml"], &[("rules.yaml", rules)]);
    }
}
