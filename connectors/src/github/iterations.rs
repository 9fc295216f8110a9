//! Iterations of a project: when they are, which were made anew under other ids, and which GitHub has forgotten.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::SprintState;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

/// Longer iterations end here: their end would leave the calendar.
pub(super) const MAX_DAYS: u32 = 36_500;

/// Iterations by their native ids.
pub(super) type Iterations = BTreeMap<Box<str>, Iteration>;

/// The native id that an iteration has now, and the one under which it goes on.
pub(super) type Renewed = BTreeMap<Box<str>, Box<str>>;

/// An iteration: a sprint of fixed dates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Iteration {
    #[serde(default)]
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) title: Box<str>,
    /// `YYYY-MM-DD`.
    #[serde(default)]
    pub(super) start_date: Box<str>,
    /// In days.
    #[serde(default)]
    pub(super) duration: u32,
    /// GitHub does not list it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

impl Iteration {
    /// The start of its first day and of the day after its last, by UTC.
    pub(super) fn span(&self) -> Option<(Millis, Millis)> {
        let start = Millis::parse(&format!("{}T00:00:00Z", self.start_date))?;
        Some((start, start.plus(i64::from(self.duration.min(MAX_DAYS)) * DAY)))
    }

    /// Whether another iteration is this one made anew: it has the same title and begins before this one ends.
    pub(super) fn is_renewed_as(&self, other: &Self) -> bool {
        let spans = self.span().zip(other.span());
        self.title == other.title
            && spans.is_some_and(|((start, end), (begin, finish))| begin < end && start < finish || start == begin)
    }

    /// GitHub keeps no state: the dates say it.
    pub(super) fn state(&self, now: Millis) -> SprintState {
        match self.span() {
            Some((start, _)) if now < start => SprintState::Future,
            Some((_, end)) if now >= end => SprintState::Closed,
            Some(_) => SprintState::Active,
            None => SprintState::Future,
        }
    }
}

/// What an iteration field lists: its completed iterations and the others. A list that did not come is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configuration<'a>([Option<&'a Vec<Value>>; 2]);

impl<'a> Configuration<'a> {
    /// Reads a configuration of any shape.
    pub(super) fn of(configuration: &'a Value) -> Self {
        Self(["completedIterations", "iterations"].map(|list| configuration[list].as_array()))
    }

    /// Whether every iteration is listed by its id: then one that is not listed does not exist any more.
    pub(super) fn is_whole(self) -> bool {
        self.0.iter().all(|list| list.is_some_and(|rows| rows.iter().all(|row| id_of(row).is_some())))
    }

    /// The iterations by their own ids. One that cannot be understood is there all the same.
    pub(super) fn listed(self) -> impl Iterator<Item = (&'a str, Option<Iteration>)> {
        let all = self.0.into_iter().flatten().flatten();
        all.filter_map(|iteration| Some((iteration, id_of(iteration)?))).map(|(iteration, id)| {
            let read = Iteration::deserialize(iteration);
            (id, read.inspect_err(|error| warn!(id, %error, "an iteration cannot be read")).ok())
        })
    }
}

fn id_of(iteration: &Value) -> Option<&str> {
    iteration["id"].as_str().filter(|id| !id.is_empty())
}

/// The iterations of this field, and which of them were made anew. Without the whole list nothing is known to have ended.
pub(super) fn renewed(
    listed: Option<(&str, Configuration<'_>)>,
    known: Option<(&Iterations, &Renewed)>,
) -> (Iterations, Renewed) {
    let (mut all, mut renewed) = known.map(|(all, renewed)| (all.clone(), renewed.clone())).unwrap_or_default();
    let Some((field, configuration)) = listed else {
        return (all, renewed);
    };
    let listed: BTreeMap<Box<str>, Option<Iteration>> =
        configuration.listed().map(|(id, iteration)| (sprint_id(field, id), iteration)).collect();
    let stands_for: BTreeSet<Box<str>> = listed.keys().map(|id| renewed.get(id).unwrap_or(id).clone()).collect();
    let mut vanished: Vec<Box<str>> = all.keys().filter(|id| !stands_for.contains(*id)).cloned().collect();
    for (id, iteration) in listed {
        let fresh = !all.contains_key(&id) && !renewed.contains_key(&id);
        if let Some(iteration) = iteration.as_ref().filter(|_| fresh) {
            let before = vanished.iter().position(|old| all.get(old).is_some_and(|old| old.is_renewed_as(iteration)));
            renewed.extend(before.map(|at| (id.clone(), vanished.swap_remove(at))));
        }
        let id = renewed.get(&id).unwrap_or(&id).clone();
        match iteration {
            Some(iteration) => drop(all.insert(id, iteration)),
            None => all.entry(id).or_default().gone = false,
        }
    }
    for id in vanished.into_iter().filter(|_| configuration.is_whole()) {
        all.entry(id).and_modify(|iteration| iteration.gone = true);
    }
    (all, renewed)
}

/// An iteration's id is unique only within its field.
pub(super) fn sprint_id(field: &str, iteration: &str) -> Box<str> {
    format!("{field}:{iteration}").into()
}
