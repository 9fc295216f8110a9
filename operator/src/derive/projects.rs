//! What the sync service reads of the contexts (`projects_file`): `projects[]` of its configuration file and more, one entry a
//! context. Entries of one project agree on what the project is.
//!
//! They are spread over 16 ConfigMaps by a hash of the context, since one would overflow with a few long guidances.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::object::Object;
use super::plan::Plan;
use super::portfolio::Portfolio;
use crate::resource::{AgentGuidance, Risk, Target};
use crate::settings::Settings;
use crate::yaml;

/// Guidance of a context that fits. What is over is cut, least binding first.
const MAX_GUIDANCE_BYTES: usize = 16 * 1024;

/// The entry of a context.
#[derive(Clone, Debug)]
pub(crate) struct ProjectEntry {
    pub(crate) value: Value,
    /// Name of its file, `<namespace>.<name>.yaml`, and the ConfigMap it is in.
    file: String,
    shard: char,
}

/// The entry of an accepted context.
pub(crate) fn entry(plan: &Plan, portfolio: &Portfolio) -> ProjectEntry {
    let subject = &plan.subject;
    let (spec, whole) = (subject.spec(), portfolio.of(plan));
    let place = format!("{}/{}", subject.namespace, subject.name);
    let mut value = json!({
        "id": spec.project.id,
        "criticality": whole.criticality,
        "context": {"namespace": subject.namespace, "name": subject.name, "criticality": plan.policy.criticality},
        "targets": targets(plan),
    });
    let optional = [
        ("name", json!(whole.name)),
        ("owner", json!(whole.owner)),
        ("value", json!(whole.value)),
        ("epic", json!(whole.epic)),
        ("include", json!(spec.project.include)),
        ("repositories", json!(spec.project.repositories)),
        ("requirements", json!(spec.requirements)),
        ("slos", json!(slos(plan))),
        ("risks", Value::Array(spec.risks.iter().map(risk).collect())),
        ("design", json!(spec.design)),
        ("guidance", json!(spec.agent_guidance.as_ref().map(|guidance| fitted(guidance).0))),
    ];
    for (name, part) in optional {
        let is_empty = part.is_null() || part.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            value[name] = part;
        }
    }
    let shard = blake3::hash(place.as_bytes()).to_hex().chars().next().unwrap_or('0');
    ProjectEntry { value, file: format!("{}.{}.yaml", subject.namespace, subject.name), shard }
}

/// The ConfigMaps that hold entries.
pub(crate) fn objects(entries: &[ProjectEntry], settings: &Settings) -> Vec<Object> {
    let mut shards: BTreeMap<char, Map<String, Value>> = BTreeMap::new();
    for entry in entries {
        let text = yaml::text(&json!({"projects": [entry.value]}));
        shards.entry(entry.shard).or_default().insert(entry.file.clone(), Value::String(text));
    }
    let object =
        |(shard, data)| Object::config_map(&settings.namespace, &format!("contextcore-projects-{shard}"), data);
    shards.into_iter().map(object).collect()
}

/// What of the guidance of a context is cut: nothing, or words for it.
pub(crate) fn cut(plan: &Plan) -> Option<String> {
    let cut = fitted(plan.subject.spec().agent_guidance.as_ref()?).1;
    (!cut.is_empty()).then(|| {
        format!("spec.agentGuidance is over {} KiB: left out are {}", MAX_GUIDANCE_BYTES / 1024, cut.join(", "))
    })
}

fn slos(plan: &Plan) -> Vec<crate::resource::SloStatus> {
    let sli = plan.subject.sli().profile;
    plan.objectives.slos.iter().map(|slo| slo.status(plan.objectives.window, sli.as_str())).collect()
}

fn targets(plan: &Plan) -> Value {
    let subject = &plan.subject;
    let service = |target: &Target| {
        let mut value = json!(target);
        value["service"] = target.service.as_deref().or(target.name.as_deref()).unwrap_or(subject.name).into();
        value
    };
    match subject.spec().targets.as_slice() {
        [] => json!([{"name": subject.name, "service": subject.name}]),
        targets => Value::Array(targets.iter().map(service).collect()),
    }
}

/// A risk with the id it has everywhere.
fn risk(risk: &Risk) -> Value {
    let mut value = json!(risk);
    let id = || blake3::hash(risk.risk.as_bytes()).to_hex().as_str()[..8].to_owned();
    value["id"] = risk.id.clone().unwrap_or_else(id).into();
    value
}

/// What fits of a guidance, and names of what does not. Constraints bind, so they come first.
fn fitted(guidance: &AgentGuidance) -> (Value, Vec<String>) {
    let (mut kept, mut cut, mut size) = (Map::new(), Vec::new(), 0);
    let mut fits = |value: &Value| {
        size += value.to_string().len();
        size <= MAX_GUIDANCE_BYTES
    };
    if let Some(focus) = &guidance.focus {
        let focus = json!(focus);
        if fits(&focus) {
            kept.insert("focus".to_owned(), focus);
        } else {
            cut.push("focus".to_owned());
        }
    }
    let lists = [
        ("constraints", json!(guidance.constraints)),
        ("preferences", json!(guidance.preferences)),
        ("questions", json!(guidance.questions)),
        ("context", json!(guidance.context)),
    ];
    for (name, list) in lists {
        let Value::Array(items) = list else { continue };
        let (inside, outside): (Vec<_>, Vec<_>) = items.into_iter().enumerate().partition(|(_, item)| fits(item));
        cut.extend(outside.iter().map(|(at, _)| format!("{name}[{at}]")));
        if !inside.is_empty() {
            kept.insert(name.to_owned(), inside.into_iter().map(|(_, item)| item).collect());
        }
    }
    (Value::Object(kept), cut)
}
