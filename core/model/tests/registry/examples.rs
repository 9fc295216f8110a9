//! An example of each attribute. Texts have to be listed; numbers and flags follow from the type.

use contextcore_model::semconv::{Attribute, Type};
use serde_json::{Value, json};

/// Texts, by the name of the attribute.
const TEXTS: &[(&str, &str)] = &[
    ("project.id", "commerce-platform"),
    ("project.name", "Commerce Platform"),
    ("business.criticality", "critical"),
    ("business.owner", "commerce-team"),
    ("business.value", "revenue-primary"),
    ("risk.priority", "P1"),
    ("design.doc", "https://docs.acme.example/checkout"),
    ("source.name", "acme-jira"),
    ("source.tool", "jira"),
    ("replay", "backfill"),
    ("contextcore.role", "task"),
    ("task.id", "PROJ-123"),
    ("task.key_native_id", "10042"),
    ("task.type", "story"),
    ("task.native_type", "User Story"),
    ("task.title", "Implement checkout flow"),
    ("task.status", "in_progress"),
    ("task.status.old", "todo"),
    ("task.native_status", "Ready for QA"),
    ("task.priority", "high"),
    ("task.assignee", "Ada"),
    ("task.reporter", "Grace"),
    ("task.parent_id", "EPIC-42"),
    ("task.root_id", "EPIC-42"),
    ("task.epic", "EPIC-42"),
    ("task.url", "https://acme.example/browse/PROJ-123"),
    ("task.due_date", "2026-12-24"),
    ("task.waits_for", "PROJ-120, PROJ-121"),
    ("task.holds_up", "PROJ-130"),
    ("task.blocked_reason", "waiting for the vendor"),
    ("task.attr", "core"),
    ("task.last_commit_sha", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
    ("task.reviewer", "Grace"),
    ("phase.status", "in_review"),
    ("phase.next", "done"),
    ("sprint.id", "12"),
    ("sprint.name", "Sprint 12"),
    ("sprint.goal", "Checkout works end to end"),
    ("sprint.state", "active"),
    ("sprint.start_date", "2026-11-23T09:00:00Z"),
    ("sprint.end_date", "2026-12-04T17:00:00Z"),
    ("reason", "waiting for the vendor"),
    ("from", "3"),
    ("to", "5"),
    ("actor", "Ada"),
    ("text", "Add the checkout endpoint"),
    ("link.type", "blocked_by"),
    ("epic.id", "EPIC-42"),
    ("epic.title", "Checkout"),
    ("quantile", "0.85"),
    ("context", "commerce/checkout-service"),
    ("priority", "P1"),
    ("type", "security"),
    ("risk.id", "gateway-timeout"),
    ("risk.title", "Payment gateway timeout"),
    ("risk.owner", "commerce-team"),
    ("risk.mitigation", "Circuit breaker with fallback"),
    ("design.kind", "adr"),
    ("design.place", "docs/adr/001-event-driven-checkout.md"),
    ("guidance.kind", "constraint"),
    ("guidance.id", "no-breaking-api"),
    ("guidance.text", "No breaking changes of /v1"),
    ("context.name", "checkout-service"),
    ("context.action", "changed"),
    ("context.field_manager", "kubectl-client-side-apply"),
    ("context.digest.before", "5f2c1d9e0b7a4c38"),
    ("context.digest.after", "a81e6f0374b2d95c"),
    ("context.spec.before", "{\"project\":{\"id\":\"commerce-platform\"}}"),
    ("context.spec.after", "{\"project\":{\"id\":\"commerce-platform\",\"epic\":\"EPIC-42\"}}"),
    ("result", "ok"),
    ("kind", "PrometheusRule"),
    ("state", "applied"),
    ("signal", "traces"),
];
/// Lists of texts.
const LISTS: &[(&str, &[&str])] = &[
    ("risk.type", &["availability", "security"]),
    ("design.adr", &["docs/adr/001-event-driven-checkout.md"]),
    ("guidance.constraints", &["no-breaking-api"]),
    ("context.changed_paths", &["spec.requirements.availability"]),
    ("task.labels", &["checkout", "backend"]),
    ("task.blocked_by", &["PROJ-120"]),
    ("blocked_by", &["PROJ-120"]),
];

fn find<T: Copy>(list: &[(&str, T)], name: &str) -> T {
    let found = list.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    found.unwrap_or_else(|| panic!("`{name}` has no example: add one to core/model/tests/registry/examples.rs"))
}

/// A list of examples of its type.
pub(crate) fn example(attribute: &Attribute) -> Value {
    match attribute.kind {
        Type::Text => json!([find(TEXTS, attribute.name)]),
        Type::Texts => json!([find(LISTS, attribute.name)]),
        Type::Int if attribute.name.ends_with("_at") => json!([1_764_190_266]),
        Type::Int => json!([2]),
        Type::Double if attribute.name.ends_with("_s") => json!([86_400.5]),
        Type::Double if attribute.name.contains("latency") => json!([0.25]),
        Type::Double if attribute.name.contains("availability") => json!([99.95]),
        Type::Double => json!([3.5]),
        Type::Bool => json!([true]),
    }
}
