//! Whatever people write into a context, its dashboard is sound: queries are parsed and name only what was meant, and texts show
//! as they are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod sample;

use std::collections::BTreeSet;

use contextcore_dashboards::model::{Dashboard, Target};
use contextcore_dashboards::service::{self, Folder, Service};
use contextcore_model::config::ServiceContext;
use contextcore_model::config::project::{Constraint, Criticality, Design, Guidance, Risk, Slo, Target as Workload};
use promql_parser::parser;
use proptest::prelude::*;

/// Texts with all that means something in a query, in Markdown or to Grafana.
fn hostile() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a",
        " ",
        "\"",
        "\\",
        "}",
        "{",
        "|",
        "$project",
        "${__from}",
        "[[x]]",
        "<b>",
        "](javascript:x)",
        "`",
        "\n",
        "&lt;",
        "é",
        "\" or true or \"",
    ]);
    prop::collection::vec(parts, 1..6).prop_map(|parts| parts.concat())
}

/// The variables of Grafana in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    text.split('$').skip(1).map(|rest| name(rest.trim_start_matches('{'))).collect()
}

fn context(text: &str) -> ServiceContext {
    let own = || text.to_owned();
    ServiceContext {
        targets: vec![Workload { service: Some(own()), ..Workload::default() }],
        slos: vec![Slo { name: own(), objective: own(), window: own(), ..Slo::default() }],
        risks: vec![Risk { risk: own(), mitigation: Some(own()), owner: Some(own()), ..Risk::default() }],
        design: Design { adr: Some(own()), doc: Some(format!("https://docs.example/{text}")), ..Design::default() },
        guidance: Guidance {
            constraints: vec![Constraint { id: own(), rule: own(), ..Constraint::default() }],
            ..Guidance::default()
        },
        ..ServiceContext::default()
    }
}

fn dashboard(text: &str) -> Dashboard {
    let context = context(text);
    service::dashboard(&Service {
        namespace: text,
        name: text,
        project: text,
        project_name: Some(text),
        criticality: Criticality::Low,
        owner: Some(text),
        value: Some(text),
        rules: text,
        runbook: Some(&format!("https://runbooks.example/{text}")),
        context: &context,
    })
}

/// Checks that no text of a context became more than a text.
fn check(dashboard: &Dashboard) -> Result<(), TestCaseError> {
    let ours: BTreeSet<String> =
        ["prometheus", "tempo", "loki", "lookback", "__url_time_range"].map(str::to_owned).into();
    let known = |text: &str| variables(text).is_subset(&ours) && !text.contains("[[");
    for panel in dashboard.all_panels() {
        let content = panel.options["content"].as_str().unwrap_or_default();
        prop_assert!(known(content) && !content.contains('<') && !content.contains("](javascript"), "{}", content);
        for target in &panel.targets {
            let query = target.query().unwrap_or_default();
            prop_assert!(known(query), "{}", query);
            match target {
                Target::Prometheus(_) => {
                    let parsed = parser::parse(&query.replace("$lookback", "6h"));
                    prop_assert!(parsed.is_ok(), "{}: {:?}", query, parsed.err());
                }
                Target::Tempo(_) => {
                    let outside = query.replace(r"\\", "").replace(r#"\""#, "");
                    let outside: String = outside.split('"').step_by(2).collect();
                    prop_assert_eq!(outside.matches("resource.").count(), 2, "{}", query);
                    prop_assert!(!query.contains('\n'), "{}", query);
                }
                Target::Loki(_) | Target::Panel(_) => {}
            }
        }
    }
    for link in &dashboard.links {
        prop_assert!(known(&link.url) && link.url.chars().all(|c| c.is_ascii_graphic()), "{}", link.url);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn texts_of_a_context_stay_texts(text in hostile()) {
        check(&dashboard(&text))?;
    }
}

#[test]
fn the_dashboard_of_a_service_says_what_its_context_says() {
    let context = sample::context();
    let dashboard = service::dashboard(&sample::service(&context));
    assert_eq!(dashboard.title, "checkout-service (commerce)");
    assert_eq!(dashboard.uid.len(), "cc-svc-".len() + 12);
    assert_eq!(dashboard.uid, service::uid("commerce", "checkout-service"), "whatever the context says");
    for tag in ["contextcore-service", "critical", "revenue-primary", "commerce-team"] {
        assert!(dashboard.tags.iter().any(|known| known == tag), "{tag}: {:?}", dashboard.tags);
    }
    let titles: Vec<&str> = dashboard.links.iter().map(|link| link.title).collect();
    assert_eq!(
        titles,
        ["Project Details", "Project Portfolio Overview", "Runbook", "Decision record", "Design", "API contract"]
    );
    let json = dashboard.to_json();
    for part in [
        "var-project=commerce-platform",
        "service=\\\"checkout-service\\\"",
        "**P1** Card numbers leak",
        "https://docs.example/adr/2",
    ] {
        assert!(json.contains(part), "{part}");
    }
}

#[test]
fn folders_are_named_after_the_one_they_are_in() {
    assert_eq!(Folder::ALL.map(|folder| folder.uid("cc")), ["cc-featured", "cc-services", "cc-archive"]);
}

#[test]
fn every_query_of_every_dashboard_is_promql() {
    let values = [("$lookback", "6h"), ("$__range", "14d"), ("$__rate_interval", "5m"), ("$__interval", "1m")];
    for (name, dashboard) in sample::all() {
        for target in dashboard.all_panels().flat_map(|panel| &panel.targets) {
            let Target::Prometheus(target) = target else { continue };
            let query = values.iter().fold(target.expr.clone(), |query, (name, value)| query.replace(name, value));
            assert!(parser::parse(&query).is_ok(), "{name}: {query}: {:?}", parser::parse(&query).err());
        }
    }
}
