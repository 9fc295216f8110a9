//! The status of a context: what [`crate::derive`] knows of it, together with what became of its objects. Pure: the newest status
//! and what was seen before go in, what to write comes out.

use super::results::{ObjectState, SharedConditions, Verdict};
use super::sli::Finding;
use crate::derive::Outcome;
use crate::resource::{Condition, MOST_CHANNELS, MOST_RESOURCES, ProjectContextStatus};

/// The conditions besides Ready, in the order in which the first False one makes Ready false.
const ORDER: [&str; 6] = ["Accepted", "RulesReady", "SamplingReady", "DashboardReady", "RoutingReady", "SLIResolved"];
/// Reasons of an Unknown that somebody chose: they do not keep a context from being ready.
const CHOSEN: [&str; 3] = ["NotAttached", "Disabled", "NotChecked"];

/// What is known of a context besides what was derived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// How its own objects are, each with its name.
    pub(crate) objects: Vec<(String, ObjectState)>,
    /// What the Prometheus operator says of its rules.
    pub(crate) bindings: Option<String>,
    pub(crate) shared: SharedConditions,
    pub(crate) finding: Option<Finding>,
    pub(crate) digest: Option<String>,
    /// The spec, as it is kept for when the next one is not accepted.
    pub(crate) spec: Option<String>,
    /// Which of its workloads an older context has.
    pub(crate) conflict: Option<String>,
    /// What to say of the series until they were looked for.
    pub(crate) waits: Option<Verdict>,
}

/// The whole status of an accepted context.
pub(crate) fn accepted(outcome: &Outcome, known: Known) -> ProjectContextStatus {
    let mut status = outcome.status.clone();
    let generation = status.observed_generation;
    let derived = |kind: &str| status.conditions.iter().find(|condition| condition.kind == kind).cloned();
    let mut conditions: Vec<Condition> = Vec::new();
    for kind in ORDER {
        let verdict = match kind {
            "Accepted" => taken(&known.objects).or_else(|| known.conflict.clone().map(conflicting)),
            "RulesReady" => Some(rules(derived(kind).as_ref(), &known)),
            "SamplingReady" => known.shared.sampling.clone(),
            "DashboardReady" => dashboard(&known.objects)
                .or_else(|| known.shared.dashboard.clone())
                .or_else(|| Some(Verdict::new("Unknown", "Disabled", "the settings name no Grafana to provision"))),
            // What follows from the context alone comes first: an unknown channel is unknown wherever routes are applied.
            "RoutingReady" if derived(kind).is_some_and(|found| found.reason != "Pending") => None,
            "RoutingReady" => known.shared.routing.clone(),
            _ => Some(
                known
                    .finding
                    .as_ref()
                    .map(Finding::verdict)
                    .or_else(|| known.waits.clone())
                    .unwrap_or_else(not_checked),
            ),
        };
        let condition = verdict.map(|verdict| verdict.into_condition(kind, generation)).or_else(|| derived(kind));
        conditions.push(condition.unwrap_or_else(|| pending().into_condition(kind, generation)));
    }
    let is_taken = conditions.first().is_some_and(|condition| condition.status != "True");
    conditions.push(ready(&conditions).into_condition("Ready", generation));
    status.conditions = conditions;
    fit(&mut status);
    status.spec_digest = known.digest.filter(|_| !is_taken);
    status.accepted_spec = known.spec.filter(|_| !is_taken);
    status
}

/// With the spec that was accepted last, while the newest is not: only so is it known later whether anything changed.
pub(crate) fn with_last_accepted(mut new: ProjectContextStatus, old: &ProjectContextStatus) -> ProjectContextStatus {
    if new.spec_digest.is_none() {
        new.spec_digest.clone_from(&old.spec_digest);
        new.accepted_spec.clone_from(&old.accepted_spec);
    }
    new
}

/// Cuts what the definition does not take, and says so: a status with more would not be written at all.
fn fit(status: &mut ProjectContextStatus) {
    let mut cut = Vec::new();
    if status.resources.len() > MOST_RESOURCES {
        cut.push(format!("{MOST_RESOURCES} of {} objects", status.resources.len()));
        status.resources.truncate(MOST_RESOURCES);
    }
    if let Some(derived) = status.derived.as_mut().filter(|derived| derived.alert_channels.len() > MOST_CHANNELS) {
        cut.push(format!("{MOST_CHANNELS} of {} channels", derived.alert_channels.len()));
        derived.alert_channels.truncate(MOST_CHANNELS);
    }
    let accepted = status.conditions.iter_mut().find(|condition| condition.kind == "Accepted");
    if let (Some(accepted), false) = (accepted, cut.is_empty()) {
        let note = format!("the status names {} only", cut.join(" and "));
        let parts: Vec<&str> = [accepted.message.as_str(), &note].into_iter().filter(|part| !part.is_empty()).collect();
        accepted.message = parts.join("; ");
    }
}

/// The status of a context that was refused. Its last good outputs stay, and so does what was said about them, unless they go.
pub(crate) fn refused(outcome: &Outcome, old: &ProjectContextStatus, keeps: bool) -> ProjectContextStatus {
    let mut status = if keeps { old.clone() } else { ProjectContextStatus::default() };
    status.observed_generation = outcome.status.observed_generation;
    if !keeps {
        status.spec_digest.clone_from(&old.spec_digest);
    }
    for condition in &outcome.status.conditions {
        match status.conditions.iter_mut().find(|known| known.kind == condition.kind) {
            Some(known) => known.clone_from(condition),
            None => status.conditions.push(condition.clone()),
        }
    }
    status
}

/// The status to write: with the times of what did not change. `None`: it is written already.
pub(crate) fn to_write(
    old: &ProjectContextStatus,
    mut new: ProjectContextStatus,
    now: &str,
) -> Option<ProjectContextStatus> {
    for condition in &mut new.conditions {
        let before = old.conditions.iter().find(|known| known.kind == condition.kind);
        let kept = before
            .filter(|known| known.status == condition.status)
            .and_then(|known| known.last_transition_time.clone());
        condition.last_transition_time = Some(kept.unwrap_or_else(|| now.to_owned()));
    }
    (*old != new).then_some(new)
}

fn pending() -> Verdict {
    Verdict::new("Unknown", "Pending", "not applied yet")
}

fn not_checked() -> Verdict {
    Verdict::new("Unknown", "NotChecked", "the settings have no `prometheus.url` to look for the series")
}

fn taken(objects: &[(String, ObjectState)]) -> Option<Verdict> {
    objects.iter().find_map(|(_, state)| match state {
        ObjectState::Taken(message) => Some(Verdict::new("False", "NameTaken", message.clone())),
        _ => None,
    })
}

fn conflicting(message: String) -> Verdict {
    Verdict::new("False", "ConflictingTarget", message)
}

fn is_dashboard(name: &str) -> bool {
    name.starts_with("GrafanaDashboard ")
}

/// What is wrong with the dashboard of the context, where it is an object of the cluster.
fn dashboard(objects: &[(String, ObjectState)]) -> Option<Verdict> {
    match &objects.iter().find(|(name, _)| is_dashboard(name))?.1 {
        ObjectState::NotInstalled(message) => Some(Verdict::new("False", "KindNotInstalled", message.clone())),
        ObjectState::Failed(message) | ObjectState::Taken(message) => {
            Some(Verdict::new("False", "ApplyFailed", message.clone()))
        }
        ObjectState::Pending => Some(pending()),
        ObjectState::Applied => None,
    }
}

/// Whether the objects of the context are in the cluster.
fn rules(derived: Option<&Condition>, known: &Known) -> Verdict {
    for (name, state) in known.objects.iter().filter(|(name, _)| !is_dashboard(name)) {
        match state {
            ObjectState::NotInstalled(message) => return Verdict::new("False", "KindNotInstalled", message.clone()),
            ObjectState::Failed(message) => return Verdict::new("False", "ApplyFailed", message.clone()),
            ObjectState::Taken(message) => {
                return Verdict::new("False", "ApplyFailed", format!("{name} was not written: {message}"));
            }
            ObjectState::Pending => return pending(),
            ObjectState::Applied => {}
        }
    }
    match derived {
        Some(condition) if condition.reason == "NoRequirements" => {
            Verdict::new("True", "NoRequirements", condition.message.clone())
        }
        Some(condition) if condition.status == "False" => {
            Verdict::new("False", "ObjectiveTooLow", condition.message.clone())
        }
        _ => Verdict::new("True", "Applied", known.bindings.clone().unwrap_or_default()),
    }
}

/// Whether everything is, and what is not.
fn ready(conditions: &[Condition]) -> Verdict {
    let copy = |condition: &Condition, status| Verdict {
        status,
        reason: reason(&condition.reason),
        message: format!("{}: {}", condition.kind, condition.message),
    };
    if let Some(condition) = conditions.iter().find(|condition| condition.status == "False") {
        let mut verdict = copy(condition, "False");
        if condition.kind == "Accepted" {
            verdict.message.clone_from(&condition.message);
        }
        return verdict;
    }
    let waits = |condition: &&Condition| condition.status == "Unknown" && !CHOSEN.contains(&condition.reason.as_str());
    match conditions.iter().find(waits) {
        Some(condition) => copy(condition, "Unknown"),
        None => Verdict::new("True", "Ready", ""),
    }
}

/// The reasons of conditions that there are.
const REASONS: [&str; 18] = [
    "InvalidSLI",
    "InvalidSpec",
    "NotPermitted",
    "ConflictingTarget",
    "NameTaken",
    "Pending",
    "KindNotInstalled",
    "ApplyFailed",
    "ObjectiveTooLow",
    "CollectorNotFound",
    "NotAttached",
    "GrafanaUnreachable",
    "Unauthorized",
    "UnknownChannel",
    "NoSeries",
    "NoBucketAtThreshold",
    "Disabled",
    "NotChecked",
];

fn reason(text: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == text).unwrap_or("NotReady")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resource::Criticality;

    fn outcome(rules_reason: &str) -> Outcome {
        let condition = |kind: &str, status: &str, reason: &str| Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: Some(3),
            last_transition_time: None,
        };
        let rules_status = if rules_reason == "NoRequirements" { "True" } else { "Unknown" };
        Outcome {
            namespace: "shop".into(),
            name: "a".into(),
            criticality: Criticality::High,
            status: ProjectContextStatus {
                observed_generation: Some(3),
                conditions: vec![
                    condition("Accepted", "True", "Accepted"),
                    condition("RulesReady", rules_status, rules_reason),
                    condition("RoutingReady", "Unknown", "Disabled"),
                    condition("Ready", "Unknown", "Pending"),
                ],
                ..ProjectContextStatus::default()
            },
            notes: Vec::new(),
        }
    }

    fn known(state: ObjectState) -> Known {
        let sampling = Verdict::new("Unknown", "NotAttached", "nobody reads it");
        Known {
            objects: vec![("PrometheusRule shop/contextcore-a".into(), state)],
            shared: SharedConditions { sampling: Some(sampling), ..SharedConditions::default() },
            digest: Some("d".into()),
            ..Known::default()
        }
    }

    fn found(status: &ProjectContextStatus, kind: &str) -> (String, String) {
        let found = status.conditions.iter().find(|condition| condition.kind == kind).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    fn pair(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn a_context_is_ready_when_all_is_applied_or_off_by_choice() {
        let status = accepted(&outcome("Pending"), known(ObjectState::Applied));
        assert_eq!(found(&status, "RulesReady"), pair("True", "Applied"));
        assert_eq!(found(&status, "DashboardReady"), pair("Unknown", "Disabled"));
        assert_eq!(found(&status, "SLIResolved"), pair("Unknown", "NotChecked"));
        assert_eq!(found(&status, "Ready"), pair("True", "Ready"));
        assert_eq!(status.conditions.len(), 7);
        assert_eq!(status.spec_digest.as_deref(), Some("d"));
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    }

    #[test]
    fn the_first_false_condition_is_the_reason_of_ready() {
        for (state, kind, reason) in [
            (ObjectState::NotInstalled("m".into()), "RulesReady", "KindNotInstalled"),
            (ObjectState::Failed("m".into()), "RulesReady", "ApplyFailed"),
            (ObjectState::Taken("m".into()), "Accepted", "NameTaken"),
        ] {
            let status = accepted(&outcome("Pending"), known(state));
            assert_eq!(found(&status, kind), pair("False", reason));
            assert_eq!(found(&status, "Ready"), pair("False", reason));
        }
        let status = accepted(&outcome("Pending"), known(ObjectState::Pending));
        assert_eq!(found(&status, "Ready"), pair("Unknown", "Pending"));
    }

    #[test]
    fn a_taken_name_does_not_lose_what_was_accepted() {
        let old = ProjectContextStatus { spec_digest: Some("before".into()), ..ProjectContextStatus::default() };
        let taken = accepted(&outcome("Pending"), known(ObjectState::Taken("m".into())));
        assert_eq!(with_last_accepted(taken, &old).spec_digest.as_deref(), Some("before"));
        let applied = accepted(&outcome("Pending"), known(ObjectState::Applied));
        assert_eq!(with_last_accepted(applied, &old).spec_digest.as_deref(), Some("d"));
    }

    #[test]
    fn every_reason_that_ready_repeats_is_known() {
        for reason in REASONS {
            assert_eq!(super::reason(reason), reason);
        }
    }

    #[test]
    fn a_refused_context_keeps_what_was_said_of_its_outputs() {
        let mut old = accepted(&outcome("Pending"), known(ObjectState::Applied));
        old.slo_count = Some(2);
        let mut refusal = outcome("Pending");
        refusal.status.conditions.retain(|condition| matches!(condition.kind.as_str(), "Accepted" | "Ready"));
        refusal.status.conditions.iter_mut().for_each(|condition| condition.status = "False".into());
        let status = refused(&refusal, &old, true);
        assert_eq!(found(&status, "Accepted").0, "False");
        assert_eq!(found(&status, "RulesReady"), pair("True", "Applied"));
        assert_eq!(status.slo_count, Some(2));
        let status = refused(&refusal, &old, false);
        assert_eq!((status.conditions.len(), status.slo_count), (2, None));
    }

    #[test]
    fn a_time_moves_only_with_its_status() {
        let old = to_write(
            &ProjectContextStatus::default(),
            accepted(&outcome("Pending"), known(ObjectState::Applied)),
            "t1",
        );
        let old = old.unwrap();
        assert_eq!(to_write(&old, accepted(&outcome("Pending"), known(ObjectState::Applied)), "t2"), None);
        let new = to_write(&old, accepted(&outcome("Pending"), known(ObjectState::Failed("x".into()))), "t2").unwrap();
        for condition in &new.conditions {
            let moved = matches!(condition.kind.as_str(), "RulesReady" | "Ready");
            assert_eq!(
                condition.last_transition_time.as_deref(),
                Some(if moved { "t2" } else { "t1" }),
                "{condition:?}"
            );
        }
    }

    proptest! {
        /// Whatever the objects are like: writing twice is never needed, and Ready is True only when nothing is False.
        #[test]
        fn a_status_that_was_written_is_not_written_again(states in proptest::collection::vec(0..5_u8, 0..4)) {
            let objects = states.iter().map(|state| ("o".to_owned(), match state {
                0 => ObjectState::Applied,
                1 => ObjectState::NotInstalled("n".into()),
                2 => ObjectState::Taken("t".into()),
                3 => ObjectState::Failed("f".into()),
                _ => ObjectState::Pending,
            }));
            let known = Known { objects: objects.collect(), ..known(ObjectState::Applied) };
            let status = || accepted(&outcome("Pending"), known.clone());
            let written = to_write(&ProjectContextStatus::default(), status(), "t1").unwrap();
            prop_assert_eq!(to_write(&written, status(), "t2"), None);
            let all_good = states.iter().all(|state| *state == 0);
            prop_assert_eq!(found(&written, "Ready").0 == "True", all_good);
        }
    }

    #[test]
    fn what_the_definition_does_not_take_is_cut_and_said() {
        let conditions = vec![Verdict::new("True", "Accepted", "a note").into_condition("Accepted", None)];
        let mut status = ProjectContextStatus { conditions, ..ProjectContextStatus::default() };
        let resource = |at: usize| crate::resource::ResourceReference {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: format!("d{at}"),
        };
        status.resources = (0..300).map(resource).collect();
        fit(&mut status);
        assert_eq!(status.resources.len(), MOST_RESOURCES);
        assert_eq!(status.conditions[0].message, "a note; the status names 256 of 300 objects only");
        status.resources.truncate(32);
        let before = status.clone();
        fit(&mut status);
        assert_eq!(status, before);
    }
}
