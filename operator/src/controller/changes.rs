//! What changed between two specs of a context: the record for the audit, and what the change costs.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::kinds::Place;
use crate::resource::{Audit, ChangedValues, Derived, MOST_PATHS, ProjectContext, UnrecordedChange};
use crate::units;

/// A spec in a status is at most this long, in bytes, with guidance for agents.
const LONGEST_STORED: usize = 64 * 1024;

/// A spec that was accepted and differs from the one before: the log record `project.context_changed`.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextChange {
    /// When it was accepted.
    pub at: Timestamp,
    /// UID of the context.
    pub uid: String,
    /// Whether the status of the context keeps it until the backend has it.
    pub is_kept: bool,
    /// Namespace of the context.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Generation of the spec; `None` once the context is gone.
    pub generation: Option<i64>,
    /// Who sent the change: a program, as the API server names it.
    pub manager: Option<String>,
    /// Key paths that differ. Empty when the spec before is not known any more.
    pub paths: Vec<String>,
    /// Digest of the spec before. Absent: there was none.
    pub before: Option<String>,
    /// Digest of the spec now. Absent: the context was deleted.
    pub after: Option<String>,
    /// Both specs, under extended audit only. A long one is without guidance for agents.
    pub values: Option<ChangedValues>,
}

/// Which record of a change it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// UID of the context.
    pub uid: String,
    /// Generation of the spec; `None` once the context is gone.
    pub generation: Option<i64>,
    /// When it was accepted.
    pub at: Timestamp,
}

impl ContextChange {
    /// A change from one spec to the next. Whoever knows says when it was and who sent it.
    pub(crate) fn new(
        place: &Place,
        old: Option<&ProjectContext>,
        new: &ProjectContext,
        before: Option<String>,
        audit: Option<Audit>,
    ) -> Self {
        let (was, is) = (old.map(spec), spec(new));
        let mut paths = match (&was, &before) {
            (Some(was), _) => paths(was, &is),
            (None, None) => paths(&Value::Object(Map::new()), &is),
            // It changed while nobody watched.
            (None, Some(_)) => Vec::new(),
        };
        paths.truncate(MOST_PATHS);
        Self {
            at: Timestamp::default(),
            uid: String::new(),
            is_kept: false,
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            project: new.spec.project.id.clone(),
            generation: new.metadata.generation,
            manager: None,
            paths,
            before,
            after: Some(digest(new)),
            values: if audit == Some(Audit::Extended) { values(old, new) } else { None },
        }
    }

    /// A context that is gone.
    pub(crate) fn deleted(place: &Place, old: &ProjectContext, at: Timestamp) -> Self {
        Self {
            at,
            uid: old.metadata.uid.clone().unwrap_or_default(),
            is_kept: false,
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            project: old.spec.project.id.clone(),
            generation: None,
            manager: None,
            paths: Vec::new(),
            before: Some(digest(old)),
            after: None,
            values: None,
        }
    }

    /// Which record it is.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId { uid: self.uid.clone(), generation: self.generation, at: self.at }
    }

    /// It, as a status keeps it: [`Self::of_kept`] has all that the record has.
    pub(crate) fn to_kept(&self) -> UnrecordedChange {
        UnrecordedChange {
            at: self.at.to_string(),
            project: self.project.clone(),
            generation: self.generation,
            manager: self.manager.clone(),
            paths: self.paths.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            values: self.values.clone(),
        }
    }

    /// What the status of a context keeps. `None`: somebody else wrote it.
    pub(crate) fn of_kept(place: &Place, uid: &str, kept: &UnrecordedChange) -> Option<Self> {
        Some(Self {
            at: kept.at.parse().ok()?,
            uid: uid.to_owned(),
            is_kept: true,
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            project: kept.project.clone(),
            generation: kept.generation,
            manager: kept.manager.clone(),
            paths: kept.paths.clone(),
            before: kept.before.clone(),
            after: kept.after.clone(),
            values: kept.values.clone(),
        })
    }
}

/// Both specs, unless one is too long for a status even without guidance.
fn values(old: Option<&ProjectContext>, new: &ProjectContext) -> Option<ChangedValues> {
    let before = old.map_or_else(|| Value::Null.to_string(), stored);
    let after = stored(new);
    (before.len().max(after.len()) <= LONGEST_STORED).then_some(ChangedValues { before, after })
}

fn spec(context: &ProjectContext) -> Value {
    serde_json::to_value(&context.spec).unwrap_or_default()
}

/// Digest of a spec.
pub(crate) fn digest(context: &ProjectContext) -> String {
    blake3::hash(spec(context).to_string().as_bytes()).to_hex().as_str()[..16].to_owned()
}

/// How long a spec is, in bytes of JSON.
pub(crate) fn length(context: &ProjectContext) -> usize {
    spec(context).to_string().len()
}

/// A spec as its status keeps it.
pub(crate) fn stored(context: &ProjectContext) -> String {
    let mut spec = spec(context);
    let text = spec.to_string();
    if text.len() <= LONGEST_STORED {
        return text;
    }
    // Guidance alone can be as long; rules, sampling and routing do not need it.
    if let Value::Object(map) = &mut spec {
        map.remove("agentGuidance");
    }
    spec.to_string()
}

/// Key paths of `spec` whose values differ; a list is one value.
fn paths(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("spec", old, new, &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Value::Object(was), Value::Object(is)) = (old, new) else {
        found.push(path.to_owned());
        return;
    };
    let mut keys: Vec<&String> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
        compare(&format!("{path}.{key}"), &of(was), &of(is), found);
    }
}

/// How much more a change costs, for a person; `None`: nothing more.
pub(crate) fn cost(old: Option<&Derived>, new: &Derived) -> Option<String> {
    let old = old?;
    let times = |factor: f64| format!("{} times as many", units::brief(factor));
    let mut parts = Vec::new();
    if new.trace_sampling > old.trace_sampling {
        let more = if old.trace_sampling > 0.0 {
            times(new.trace_sampling / old.trace_sampling)
        } else {
            "some instead of no".to_owned()
        };
        parts.push(format!("traceSampling {} -> {}: {more} traces", old.trace_sampling, new.trace_sampling));
    }
    let seconds = |derived: &Derived| units::interval(&derived.metrics_interval).map(f64_of);
    if let (Some(was), Some(is)) = (seconds(old), seconds(new))
        && is < was
    {
        let more = times(was / is);
        parts.push(format!("metricsInterval {} -> {}: {more} samples", old.metrics_interval, new.metrics_interval));
    }
    if new.audit_logging == Audit::Extended && old.audit_logging == Audit::Standard {
        parts.push(
            "auditLogging standard -> extended: every writing request is kept, whatever traceSampling is".to_owned(),
        );
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn f64_of(seconds: u64) -> f64 {
    u32::try_from(seconds).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::{Placement, Priority, Source, Sources};

    fn context(spec: Value) -> ProjectContext {
        serde_json::from_value(json!({
            "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
            "metadata": {"name": "a", "namespace": "shop", "generation": 2}, "spec": spec,
        }))
        .unwrap()
    }

    fn place() -> Place {
        Place { namespace: "shop".into(), name: "a".into() }
    }

    fn derived(sampling: f64, interval: &str) -> Derived {
        let sources = Sources {
            trace_sampling: Source::Spec,
            metrics_interval: Source::Spec,
            alert_priority: Source::Spec,
            alert_channels: Source::Spec,
            dashboard_placement: Source::Spec,
            audit_logging: Source::Spec,
        };
        Derived {
            trace_sampling: sampling,
            metrics_interval: interval.into(),
            alert_priority: Priority::P3,
            alert_channels: Vec::new(),
            dashboard_placement: Placement::Standard,
            audit_logging: Audit::Standard,
            sources,
        }
    }

    #[test]
    fn the_record_names_what_changed_and_values_only_under_extended_audit() {
        let old = context(json!({"project": {"id": "p"}, "business": {"owner": "a", "criticality": "low"}}));
        let new = context(json!({"project": {"id": "p"}, "business": {"owner": "b", "criticality": "low"},
            "risks": [{"risk": "r"}]}));
        let change = ContextChange::new(&place(), Some(&old), &new, Some(digest(&old)), Some(Audit::Standard));
        assert_eq!(change.paths, ["spec.business.owner", "spec.risks"]);
        assert_eq!((change.values.clone(), change.generation), (None, Some(2)));
        assert_ne!(change.before, change.after);
        let change = ContextChange::new(&place(), Some(&old), &new, Some(digest(&old)), Some(Audit::Extended));
        let values = change.values.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&values.before).unwrap()["business"]["owner"], "a");
        assert_eq!(values.after, spec(&new).to_string());
        let change = ContextChange::new(&place(), None, &new, None, None);
        assert_eq!(change.paths, ["spec.business", "spec.project", "spec.risks"]);
        assert_eq!(ContextChange::new(&place(), None, &new, Some("x".into()), None).paths, Vec::<String>::new());
    }

    /// Through the JSON of the API server, to the nanosecond and to the last digit of a number.
    #[test]
    fn what_a_status_keeps_is_the_whole_record() {
        let old = context(json!({"project": {"id": "p"}, "observability": {"traceSampling": 0.1}}));
        let new = context(json!({"project": {"id": "p"}, "observability": {"traceSampling": 0.30000000000000004}}));
        let change = ContextChange::new(&place(), Some(&old), &new, Some(digest(&old)), Some(Audit::Extended));
        let at = Timestamp::from_nanosecond(1_800_000_000_123_456_789).unwrap();
        let change = ContextChange { at, uid: "u".into(), is_kept: true, manager: Some("kubectl".into()), ..change };
        assert_eq!(change.values.as_ref().unwrap().after, spec(&new).to_string());
        let stored = serde_json::to_string(&change.to_kept()).unwrap();
        let kept: UnrecordedChange = serde_json::from_str(&stored).unwrap();
        assert_eq!(ContextChange::of_kept(&place(), "u", &kept), Some(change));
        assert_eq!(ContextChange::of_kept(&place(), "u", &UnrecordedChange::default()), None);
    }

    #[test]
    fn a_long_spec_is_recorded_without_guidance_and_a_longer_one_not_at_all() {
        let guided = |bytes: usize| json!({"context": [{"topic": "t", "content": "x".repeat(bytes)}]});
        let long = context(json!({"project": {"id": "p"}, "agentGuidance": guided(LONGEST_STORED)}));
        let change = ContextChange::new(&place(), None, &long, None, Some(Audit::Extended));
        let values = change.values.unwrap();
        assert_eq!((values.before.as_str(), values.after.as_str()), ("null", r#"{"project":{"id":"p"}}"#));
        let longer = context(json!({"project": {"id": "p"}, "business": {"owner": "x".repeat(LONGEST_STORED)}}));
        assert_eq!(ContextChange::new(&place(), None, &longer, None, Some(Audit::Extended)).values, None);
    }

    #[test]
    fn a_change_that_costs_more_says_how_much() {
        assert_eq!(
            cost(Some(&derived(0.1, "60s")), &derived(1.0, "10s")).as_deref(),
            Some(
                "traceSampling 0.1 -> 1: 10 times as many traces; metricsInterval 60s -> 10s: 6 times as many samples"
            )
        );
        assert_eq!(cost(Some(&derived(1.0, "10s")), &derived(0.1, "60s")), None);
        assert_eq!(cost(None, &derived(1.0, "10s")), None);
        let audited = Derived { audit_logging: Audit::Extended, ..derived(0.1, "60s") };
        let text = cost(Some(&derived(0.1, "60s")), &audited).unwrap();
        assert!(text.starts_with("auditLogging standard -> extended: every writing request"), "{text}");
        assert_eq!(cost(Some(&audited), &derived(0.1, "60s")), None);
        assert!(cost(Some(&derived(0.0, "1m")), &derived(0.5, "60s")).unwrap().contains("some instead of no traces"));
    }
}
