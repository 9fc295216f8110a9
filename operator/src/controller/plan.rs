//! Decides what to do about one object: what is wanted against what was seen.

use std::time::Duration;

use serde_json::Value;

use super::child::Child;
use super::kinds::Key;
use super::results::{ObjectState, Record};
use super::world::Availability;
use crate::derive::{HASH_ANNOTATION, INSTANCE};

/// What is asked of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) hash: String,
    pub(crate) instance: String,
    /// UID of the context that it goes with.
    pub(crate) owner: Option<String>,
}

impl Wanted {
    /// Of an object that was derived; `None`: it is no kind of ours.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            key: Key::of(object)?,
            hash: text(&metadata["annotations"][HASH_ANNOTATION]),
            instance: text(&metadata["labels"][INSTANCE]),
            owner: metadata["ownerReferences"][0]["uid"].as_str().map(str::to_owned),
        })
    }
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is as wanted.
    Nothing,
    /// It is ours and differs.
    Send,
    /// It was not seen: ours do not have the name, but somebody else's may.
    Create,
    /// It failed lately, or is disputed, or what is there is not known yet.
    Wait,
    /// There is no use in sending it.
    Report(ObjectState),
}

/// Decides. `is_living` says whether a UID is that of a context that exists.
pub(crate) fn step(
    wanted: &Wanted,
    child: Option<&Child>,
    availability: &Availability,
    record: Option<&Record>,
    now: Duration,
    is_living: &dyn Fn(&str) -> bool,
) -> Step {
    match availability {
        Availability::NotInstalled => return Step::Report(ObjectState::NotInstalled(not_installed(&wanted.key))),
        Availability::Failed(message) => return Step::Report(ObjectState::Failed(message.clone())),
        Availability::Pending => return Step::Wait,
        Availability::Ready => {}
    }
    if let Some(child) = child {
        if let Some(message) = taken(wanted, child, is_living) {
            return Step::Report(ObjectState::Taken(message));
        }
        let untouched =
            record.and_then(|record| record.fields.as_ref()).map_or(!child.is_shared, |fields| *fields == child.fields);
        if untouched && child.hash.as_deref() == Some(wanted.hash.as_str()) {
            return Step::Nothing;
        }
    }
    if record.is_some_and(|record| record.hash == wanted.hash && record.not_before > now) {
        return Step::Wait;
    }
    if child.is_some() { Step::Send } else { Step::Create }
}

/// Why an object that exists is not ours to write; `None`: it is.
pub(crate) fn taken(wanted: &Wanted, child: &Child, is_living: &dyn Fn(&str) -> bool) -> Option<String> {
    let key = &wanted.key;
    match child.instance.as_deref() {
        None => return Some(format!("{key} exists and is not ours: rename or delete it, or rename this context")),
        Some(other) if other != wanted.instance => {
            return Some(format!("{key} belongs to installation {other}: give each installation its own contexts"));
        }
        Some(_) => {}
    }
    let owner = wanted.owner.as_ref()?;
    if child.owners.contains(owner) {
        return None;
    }
    Some(if child.owners.iter().any(|owner| is_living(owner)) {
        format!("{key} belongs to another context: rename one of the two")
    } else {
        format!("{key} is left from a context that was deleted: it is removed within seconds")
    })
}

fn not_installed(key: &Key) -> String {
    let name = key.kind.definition().unwrap_or_default();
    format!("{name} is not installed: install the {}; it is noticed at once", key.kind.operator())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kinds::Kind;
    use super::*;

    fn wanted() -> Wanted {
        let key = Key { kind: Kind::PrometheusRule, namespace: "shop".into(), name: "contextcore-a".into() };
        Wanted { key, hash: "h1".into(), instance: "one".into(), owner: Some("u1".into()) }
    }

    fn child() -> Child {
        Child {
            uid: "c".into(),
            version: "5".into(),
            instance: Some("one".into()),
            hash: Some("h1".into()),
            owners: vec!["u1".into()],
            fields: "f".into(),
            is_shared: false,
        }
    }

    fn decide(child: Option<&Child>, record: Option<&Record>) -> Step {
        step(&wanted(), child, &Availability::Ready, record, Duration::ZERO, &|uid| uid == "u2")
    }

    #[test]
    fn what_is_as_wanted_is_left_alone() {
        assert_eq!(decide(Some(&child()), None), Step::Nothing);
    }

    #[test]
    fn what_is_not_there_is_created_and_what_differs_is_sent() {
        assert_eq!(decide(None, None), Step::Create);
        assert_eq!(decide(Some(&Child { hash: Some("h0".into()), ..child() }), None), Step::Send);
        assert_eq!(decide(Some(&Child { hash: None, ..child() }), None), Step::Send);
        assert_eq!(decide(Some(&Child { is_shared: true, ..child() }), None), Step::Send);
    }

    #[test]
    fn only_what_is_ours_is_adopted() {
        let message = |child: &Child| match decide(Some(child), None) {
            Step::Report(ObjectState::Taken(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(message(&Child { instance: None, ..child() }).contains("is not ours"));
        assert!(message(&Child { instance: Some("two".into()), ..child() }).contains("installation two"));
        assert!(message(&Child { owners: vec!["u2".into()], ..child() }).contains("another context"));
        assert!(message(&Child { owners: vec!["gone".into()], ..child() }).contains("deleted"));
    }

    #[test]
    fn a_kind_that_is_missing_or_hidden_is_reported() {
        let ask = |availability| step(&wanted(), None, &availability, None, Duration::ZERO, &|_| false);
        let Step::Report(ObjectState::NotInstalled(message)) = ask(Availability::NotInstalled) else { panic!() };
        assert!(message.contains("prometheusrules.monitoring.coreos.com"), "{message}");
        assert_eq!(ask(Availability::Pending), Step::Wait);
        assert_eq!(ask(Availability::Failed("x".into())), Step::Report(ObjectState::Failed("x".into())));
    }

    proptest! {
        /// Whatever was seen: only ours is written, and what is as wanted and untouched never is.
        #[test]
        fn nothing_of_others_is_written(
            instance in prop_oneof![Just(None), Just(Some("one")), Just(Some("two"))],
            owner in prop_oneof![Just("u1"), Just("u2"), Just("gone")],
            hash in prop_oneof![Just(None), Just(Some("h1")), Just(Some("h0"))],
            is_shared in any::<bool>(),
        ) {
            let child = Child {
                instance: instance.map(Into::into),
                owners: vec![owner.into()],
                hash: hash.map(Into::into),
                is_shared,
                ..child()
            };
            let step = decide(Some(&child), None);
            let ours = instance == Some("one") && owner == "u1";
            prop_assert_eq!(matches!(step, Step::Report(_)), !ours);
            prop_assert_eq!(step == Step::Nothing, ours && hash == Some("h1") && !is_shared);
            prop_assert_ne!(step, Step::Create);
        }
    }
}
