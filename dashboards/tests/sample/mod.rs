//! The dashboards that the tests look at: those that are shipped, and that of a service with everything in its context.

#![allow(dead_code, reason = "each test uses a part")]

use contextcore_dashboards::dashboards;
use contextcore_dashboards::model::Dashboard;
use contextcore_dashboards::service::{self, Service};
use contextcore_model::config::ServiceContext;
use contextcore_model::config::project::{
    Constraint, Criticality, Design, Focus, Guidance, Requirements, Risk, RiskPriority, Slo, Target,
};

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A context that says everything.
pub(crate) fn context() -> ServiceContext {
    let slo = |name: &str, objective: &str| Slo {
        name: name.to_owned(),
        objective: objective.to_owned(),
        window: "30d".to_owned(),
        error_budget: "0.05".to_owned(),
        sli: "otel-http".to_owned(),
    };
    let risk = |priority, text: &str| Risk {
        risk: text.to_owned(),
        kind: some("security"),
        priority,
        mitigation: some("Tokens instead of card numbers"),
        owner: some("security-team"),
        due: some("2027-01-31"),
        ..Risk::default()
    };
    let constraint =
        Constraint { id: "no-breaking-api".to_owned(), rule: "Keep the API".to_owned(), ..Constraint::default() };
    ServiceContext {
        targets: vec![Target { service: some("checkout-service"), ..Target::default() }],
        requirements: Requirements {
            availability: some("99.95"),
            latency_p99: some("200ms"),
            throughput: some("100rps"),
            ..Requirements::default()
        },
        slos: vec![slo("availability", "99.95"), slo("latency_p99", "99")],
        risks: vec![risk(RiskPriority::P3, "A bank changes its API"), risk(RiskPriority::P1, "Card numbers leak")],
        design: Design {
            adr: some("docs/adr/0001-events.md"),
            adrs: vec!["https://docs.example/adr/2".to_owned()],
            doc: some("https://docs.example/checkout"),
            api_contract: some("https://docs.example/checkout/openapi.yaml"),
        },
        guidance: Guidance {
            constraints: vec![constraint],
            focus: Some(Focus { areas: vec!["src/checkout".to_owned()], ..Focus::default() }),
            ..Guidance::default()
        },
        ..ServiceContext::default()
    }
}

/// A service with this context.
pub(crate) fn service(context: &ServiceContext) -> Service<'_> {
    Service {
        namespace: "commerce",
        name: "checkout-service",
        project: "commerce-platform",
        project_name: Some("Commerce Platform"),
        criticality: Criticality::Critical,
        owner: Some("commerce-team"),
        value: Some("revenue-primary"),
        rules: "checkout-service",
        runbook: Some("https://runbooks.example/checkout"),
        context,
    }
}

/// All of them with their names.
pub(crate) fn all() -> Vec<(&'static str, Dashboard)> {
    let mut all: Vec<(&'static str, Dashboard)> = dashboards().into_iter().collect();
    all.push(("service", service::dashboard(&service(&context()))));
    all
}
