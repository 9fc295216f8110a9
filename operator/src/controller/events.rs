//! Events: what a person sees in `kubectl describe`. There is one when a condition changes, and none when all stays as it is.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use super::kinds::Place;
use super::trouble;
use crate::resource::{Condition, ProjectContextStatus};

/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) is_warning: bool,
    pub(crate) reason: String,
    pub(crate) note: String,
}

impl Notice {
    pub(crate) fn normal(reason: &str, note: String) -> Self {
        Self { is_warning: false, reason: reason.to_owned(), note }
    }
}

/// What changed between two statuses that a person should see.
pub(crate) fn transitions(old: &ProjectContextStatus, new: &ProjectContextStatus) -> Vec<Notice> {
    let before = |kind: &str| old.conditions.iter().find(|condition| condition.kind == kind);
    let mut notices: Vec<Notice> = Vec::new();
    for condition in new.conditions.iter().filter(|condition| condition.kind != "Ready") {
        notices.extend(notice(before(&condition.kind), condition));
    }
    let ready = new.conditions.iter().find(|condition| condition.kind == "Ready");
    let became = ready.filter(|ready| before("Ready").is_none_or(|old| old.status != ready.status));
    if let Some(ready) = became.filter(|ready| ready.status == "True") {
        notices.push(Notice::normal("Ready", describe(ready)));
    }
    notices
}

fn notice(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    let changed = before.is_none_or(|old| old.status != now.status || old.reason != now.reason);
    match now.status.as_str() {
        "False" if changed => Some(Notice { is_warning: true, reason: now.reason.clone(), note: describe(now) }),
        "True" if before.is_some_and(|old| old.status == "False") => Some(Notice::normal(&now.reason, describe(now))),
        // A context may be accepted with a word to it: that another one of the project says otherwise.
        "True" if now.kind == "Accepted" && !now.message.is_empty() => {
            let news = before.is_none_or(|old| old.message != now.message);
            news.then(|| Notice::normal(&now.reason, describe(now)))
        }
        _ => None,
    }
}

fn describe(condition: &Condition) -> String {
    match condition.message.as_str() {
        "" => format!("{} is {}", condition.kind, condition.status),
        message => format!("{}: {message}", condition.kind),
    }
}

/// Posts an event about a context. One that cannot be posted is logged: the status says the same.
pub(crate) async fn post(client: &Client, about: &Subject, notice: &Notice, now: Timestamp) {
    let api: Api<Event> = Api::namespaced(client.clone(), &about.place.namespace);
    if let Err(error) = api.create(&PostParams::default(), &event(about, notice, now)).await {
        tracing::warn!(context = %about.place, reason = notice.reason, "an Event was not posted: {}", trouble::of_event(&error));
    }
}

/// Which context an event is about, and who says it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) place: Place,
    pub(crate) uid: String,
    /// Name of this process.
    pub(crate) identity: String,
}

fn event(about: &Subject, notice: &Notice, now: Timestamp) -> Event {
    let mut note = notice.note.clone();
    let end = (0..=LONGEST_NOTE.min(note.len())).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    note.truncate(end);
    Event {
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", about.place.name)),
            namespace: Some(about.place.namespace.clone()),
            ..ObjectMeta::default()
        },
        note: Some(note),
        reason: Some(notice.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some("contextcore.io/v1".to_owned()),
            kind: Some("ProjectContext".to_owned()),
            name: Some(about.place.name.clone()),
            namespace: Some(about.place.namespace.clone()),
            uid: Some(about.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("contextcore.io/controller".to_owned()),
        reporting_instance: Some(about.identity.clone()),
        type_: Some(if notice.is_warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[(&str, &str, &str, &str)]) -> ProjectContextStatus {
        let condition = |(kind, status, reason, message): &(&str, &str, &str, &str)| Condition {
            kind: (*kind).into(),
            status: (*status).into(),
            reason: (*reason).into(),
            message: (*message).into(),
            observed_generation: None,
            last_transition_time: None,
        };
        ProjectContextStatus {
            conditions: conditions.iter().map(condition).collect(),
            ..ProjectContextStatus::default()
        }
    }

    fn notes(old: &ProjectContextStatus, new: &ProjectContextStatus) -> Vec<String> {
        let text =
            |notice: Notice| format!("{} {} {}", if notice.is_warning { "W" } else { "N" }, notice.reason, notice.note);
        transitions(old, new).into_iter().map(text).collect()
    }

    #[test]
    fn only_changes_are_events() {
        let good = status(&[
            ("Accepted", "True", "Accepted", ""),
            ("RulesReady", "True", "Applied", ""),
            ("Ready", "True", "Ready", ""),
        ]);
        let bad = status(&[
            ("Accepted", "True", "Accepted", ""),
            ("RulesReady", "False", "ApplyFailed", "grant it"),
            ("Ready", "False", "ApplyFailed", "grant it"),
        ]);
        assert_eq!(notes(&ProjectContextStatus::default(), &good), ["N Ready Ready is True"]);
        assert_eq!(notes(&good, &good), Vec::<String>::new());
        assert_eq!(notes(&good, &bad), ["W ApplyFailed RulesReady: grant it"]);
        assert_eq!(notes(&bad, &bad), Vec::<String>::new());
        assert_eq!(notes(&bad, &good), ["N Applied RulesReady is True", "N Ready Ready is True"]);
    }

    #[test]
    fn a_context_that_says_otherwise_than_an_older_one_gets_one_event() {
        let plain = status(&[("Accepted", "True", "Accepted", "")]);
        let differs = status(&[("Accepted", "True", "Accepted", "project shop has another business.owner")]);
        assert_eq!(notes(&plain, &differs), ["N Accepted Accepted: project shop has another business.owner"]);
        assert_eq!(notes(&differs, &differs), Vec::<String>::new());
    }

    #[test]
    fn a_note_fits() {
        let about =
            Subject { place: Place { namespace: "a".into(), name: "b".into() }, uid: "u".into(), identity: "i".into() };
        let event = event(&about, &Notice::normal("R", "ü".repeat(2000)), Timestamp::UNIX_EPOCH);
        assert!(event.note.unwrap().len() <= LONGEST_NOTE);
    }
}
