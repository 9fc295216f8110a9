//! The registry in Weaver's format `definition/2`.

use contextcore_model::agent_flow::TaskSize;
use contextcore_model::agents::AgentAssisted;
use contextcore_model::semconv::{ATTRIBUTES, Attribute, EVENTS, Instrument, METRICS, On, Type};
use contextcore_model::task::{SprintState, Status, TaskType};
use serde::Serialize;
use serde_json::Value;

use crate::examples::example;

const HEAD: &str =
    "# Generated from core/model/src/semconv.rs: UPDATE_REGISTRY=1 cargo test -p contextcore-model --test registry\n";
const FORMAT: &str = "definition/2";
const SCHEMA_URL: &str = "https://contextcore.io/schemas/0.2.0";
const OPENTELEMETRY: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Nothing is promised before 1.0, except that no name changes its type.
const STABILITY: &str = "development";
const SINCE: &str = "0.1.0";
/// Roles of spans: what each stands for, how it is named, and which attributes it can have.
const ROLES: &[(&str, &str, &str, &[&str])] = &[
    ("anchor", "the fixed span under which a task's spans are placed", "key and title at creation", &["task."]),
    ("phase", "an interval of one status", "the status", &["task.", "phase.", "sprint.id"]),
    ("task", "a finished task, from its creation to its completion", "key and title", &["task.", "sprint.id"]),
    ("completion", "the moment of a completion", "key and `done`", &["task.", "sprint.id"]),
    ("sprint", "a closed sprint", "the sprint's name", &["sprint."]),
    ("snapshot", "an open task at one tick", "key and title", &["task.", "sprint.id"]),
    (
        "insight",
        "a decision, lesson, question or another insight",
        "type and summary",
        &["agent.", "gen_ai.agent.", "gen_ai.conversation.", "task.id"],
    ),
    (
        "insight_snapshot",
        "an insight that waits for somebody at one tick",
        "type and summary",
        &["agent.", "gen_ai.agent.", "gen_ai.conversation.", "task.id"],
    ),
];
/// Kinds of things, what identifies each, and the attributes that describe it.
const ENTITIES: &[(&str, &str, &str, &[&str])] = &[
    ("project", "a body of work with an owner and a value", "project.id", &["project.", "business."]),
    ("task", "a piece of work", "task.id", &["task."]),
    ("sprint", "a planned period of work", "sprint.id", &["sprint."]),
    ("agent", "a program that works on its own", "agent.id", &["agent.name", "agent.session.id"]),
];

#[derive(Serialize)]
struct Annotations {
    since: &'static str,
}

const ANNOTATIONS: Annotations = Annotations { since: SINCE };

#[derive(Serialize)]
struct Dependency {
    schema_url: &'static str,
}

#[derive(Serialize)]
struct Manifest {
    description: &'static str,
    schema_url: &'static str,
    stability: &'static str,
    dependencies: [Dependency; 1],
}

#[derive(Serialize)]
struct Member {
    id: &'static str,
    value: &'static str,
    stability: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Kind {
    Simple(&'static str),
    Enum { members: Vec<Member> },
}

#[derive(Serialize)]
struct Definition {
    key: &'static str,
    r#type: Kind,
    brief: &'static str,
    stability: &'static str,
    examples: Value,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Reference {
    r#ref: &'static str,
    requirement_level: &'static str,
}

#[derive(Serialize)]
struct Name {
    note: &'static str,
}

#[derive(Serialize)]
struct Span {
    r#type: String,
    kind: &'static str,
    name: Name,
    brief: &'static str,
    stability: &'static str,
    attributes: Vec<Reference>,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Event {
    name: &'static str,
    brief: &'static str,
    stability: &'static str,
    attributes: Vec<Reference>,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Metric {
    name: &'static str,
    instrument: &'static str,
    unit: &'static str,
    brief: &'static str,
    stability: &'static str,
    attributes: Vec<Reference>,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Entity {
    r#type: &'static str,
    identity: Vec<Reference>,
    description: Vec<Reference>,
    brief: &'static str,
    stability: &'static str,
    annotations: Annotations,
}

/// A file: its format, and one list under this name.
#[derive(Serialize)]
struct File<T> {
    file_format: &'static str,
    #[serde(flatten)]
    list: std::collections::BTreeMap<&'static str, Vec<T>>,
}

fn file<T: Serialize>(list: &'static str, items: Vec<T>) -> String {
    let file = File { file_format: FORMAT, list: [(list, items)].into() };
    format!("{HEAD}{}", serde_saphyr::to_string(&file).unwrap())
}

/// Attributes of OpenTelemetry's own conventions: referred to, not defined again.
pub(crate) fn is_of_opentelemetry(name: &str) -> bool {
    let namespaces = ["service.", "telemetry.sdk.", "gen_ai.", "k8s.", "network."];
    namespaces.iter().any(|namespace| name.starts_with(namespace))
        || ["error.type", "event.name", "mcp.method.name"].contains(&name)
}

/// The files by name, without their extension.
pub(crate) fn files() -> Vec<(&'static str, String)> {
    vec![
        ("manifest", manifest()),
        ("attributes", file("attributes", ours().map(definition).collect())),
        ("spans", file("spans", ROLES.iter().filter_map(span).collect())),
        ("events", file("events", EVENTS.iter().map(|event| self::event(event.name, event.about)).collect())),
        ("metrics", file("metrics", METRICS.iter().map(metric).collect())),
        ("entities", file("entities", ENTITIES.iter().filter_map(entity).collect())),
    ]
}

fn manifest() -> String {
    let manifest = Manifest {
        description: "Names of contextcore: project work as telemetry",
        schema_url: SCHEMA_URL,
        stability: STABILITY,
        dependencies: [Dependency { schema_url: OPENTELEMETRY }],
    };
    format!("{HEAD}{}", serde_saphyr::to_string(&manifest).unwrap())
}

fn ours() -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().filter(|attribute| !is_of_opentelemetry(attribute.name))
}

fn definition(attribute: &Attribute) -> Definition {
    Definition {
        key: attribute.name,
        r#type: kind(attribute),
        brief: attribute.about,
        stability: STABILITY,
        examples: example(attribute),
        annotations: ANNOTATIONS,
    }
}

fn kind(attribute: &Attribute) -> Kind {
    let members = match attribute.name {
        "task.type" => TaskType::ALL.iter().map(|each| each.as_str()).collect(),
        "task.status" | "task.status.old" | "phase.status" | "phase.next" => {
            Status::ALL.iter().map(|each| each.as_str()).collect()
        }
        "sprint.state" => SprintState::ALL.iter().map(|each| each.as_str()).collect(),
        "task.agent_assisted" => AgentAssisted::ALL.iter().map(|each| each.as_str()).collect(),
        "task.size" => TaskSize::ALL.iter().map(|each| each.as_str()).collect(),
        "task.attr" => return Kind::Simple("template[string]"),
        _ => Vec::new(),
    };
    match (members.is_empty(), attribute.kind) {
        (false, _) => {
            let member = |id| Member { id, value: id, stability: STABILITY };
            Kind::Enum { members: members.into_iter().map(member).collect() }
        }
        (true, Type::Text) => Kind::Simple("string"),
        (true, Type::Texts) => Kind::Simple("string[]"),
        (true, Type::Int) => Kind::Simple("int"),
        (true, Type::Double) => Kind::Simple("double"),
        (true, Type::Bool) => Kind::Simple("boolean"),
    }
}

/// References to the attributes that occur at these places and whose names begin so.
fn references(on: &[On], prefixes: &[&str], required: &[&str]) -> Vec<Reference> {
    let wanted = ATTRIBUTES.iter().filter(|attribute| {
        on.contains(&attribute.on) && prefixes.iter().any(|prefix| attribute.name.starts_with(prefix))
    });
    let reference = |attribute: &Attribute| Reference {
        r#ref: attribute.name,
        requirement_level: if required.contains(&attribute.name) { "required" } else { "recommended" },
    };
    wanted.map(reference).collect()
}

fn span(
    (role, brief, name, prefixes): &(&'static str, &'static str, &'static str, &'static [&'static str]),
) -> Option<Span> {
    let mut prefixes = prefixes.to_vec();
    prefixes.push("contextcore.role");
    let attributes =
        references(&[On::Span], &prefixes, &["contextcore.role", "task.id", "phase.status", "sprint.name"]);
    // A role whose attributes are not in the registry yet is not emitted yet.
    (attributes.len() > 1).then(|| Span {
        r#type: format!("contextcore.{role}"),
        kind: "internal",
        name: Name { note: name },
        brief,
        stability: STABILITY,
        attributes,
        annotations: ANNOTATIONS,
    })
}

fn event(name: &'static str, brief: &'static str) -> Event {
    let subject = match name.split('.').next() {
        Some("sprint") => ["sprint.id", "sprint.name"],
        Some("insight") => ["agent.insight.id", "agent.insight.type"],
        _ => ["task.id", "task.title"],
    };
    let more: &[&str] = match name {
        "task.status_changed" => &["task.status"],
        "task.blocked" => &["reason", "blocked_by"],
        "task.commented" | "task.artifact" => &["text"],
        "insight.updated" => &["agent.insight.status", "agent.insight.action", "agent.insight.refused", "text"],
        "sprint.scope_changed" => &["sprint.scope_change_points"],
        _ if name.ends_with("_changed") || matches!(name, "task.renamed" | "task.retyped" | "task.moved") => {
            &["from", "to"]
        }
        _ => &[],
    };
    let own = ["actor", "observed"].iter().chain(&subject).chain(more).copied().collect::<Vec<_>>();
    let attributes = match name {
        "contextcore.canary" => &[][..],
        "project.context_changed" => &["k8s.namespace.name", "context."],
        _ => &own[..],
    };
    let required = ["task.id", "sprint.id", "agent.insight.id", "k8s.namespace.name", "context.name"];
    let attributes = references(&[On::Span, On::Event], attributes, &required);
    Event { name, brief, stability: STABILITY, attributes, annotations: ANNOTATIONS }
}

fn metric(metric: &contextcore_model::semconv::Metric) -> Metric {
    let of_project = !metric.name.starts_with("contextcore.");
    let names = of_project.then_some("project.id").into_iter().chain(metric.attributes.iter().copied());
    let level = |name: &'static str| Reference {
        r#ref: name,
        requirement_level: if name == "project.id" { "required" } else { "recommended" },
    };
    Metric {
        name: metric.name,
        instrument: match metric.instrument {
            Instrument::Gauge => "gauge",
            Instrument::Counter => "counter",
            Instrument::Histogram => "histogram",
        },
        unit: if metric.unit.is_empty() { "1" } else { metric.unit },
        brief: metric.about,
        stability: STABILITY,
        attributes: names.map(level).collect(),
        annotations: ANNOTATIONS,
    }
}

fn entity(
    (name, brief, id, prefixes): &(&'static str, &'static str, &'static str, &'static [&'static str]),
) -> Option<Entity> {
    let places = [On::Resource, On::Span];
    let mut identity = references(&places, &[id], &[id]);
    identity.retain(|each| each.r#ref == *id);
    let mut description = references(&places, prefixes, &[]);
    description.retain(|each| each.r#ref != *id);
    (!identity.is_empty()).then_some(Entity {
        r#type: name,
        identity,
        description,
        brief,
        stability: STABILITY,
        annotations: ANNOTATIONS,
    })
}
