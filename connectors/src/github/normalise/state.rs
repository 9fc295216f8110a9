//! Everything that the events of a task are about, at one moment.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::model::{ParentRef, SmolStr};

use super::super::connection::Rows;
use super::super::mapping;
use super::super::reference::{ESTIMATE_FIELDS, Field, Project};
use super::super::wire::{FieldValue, Issue, IssueRef, Item, Login, Named, TimelineItem};

pub(super) fn names(labels: Option<&Rows<Named>>) -> BTreeSet<String> {
    labels.iter().flat_map(|labels| labels.iter()).map(|label| label.name.to_string()).collect()
}

pub(super) fn logins(people: &Rows<Login>) -> Vec<String> {
    people.iter().filter_map(|who| Login::of(Some(who))).collect()
}

/// Everything that events are about, at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) title: String,
    pub(super) labels: BTreeSet<String>,
    pub(super) milestone: Option<String>,
    /// In the order they were assigned, as far as it is known.
    pub(super) assignees: Vec<String>,
    /// The name of the status option; empty for none.
    pub(super) column: String,
    /// GitHub's reason while it is closed.
    pub(super) closed: Option<String>,
    /// It was reopened, and its column did not change since.
    pub(super) reopened: bool,
    /// Where a pull request stands that has no column.
    pub(super) stage: Option<&'static str>,
    pub(super) issue_type: Option<String>,
    pub(super) parent: Option<ParentRef>,
    pub(super) repository: String,
    /// Values of the organisation's issue fields, by name in lower case.
    pub(super) issue_fields: BTreeMap<String, String>,
    /// Values of the project's own fields.
    pub(super) own: BTreeMap<Own, String>,
}

/// The fields of a project that have no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Own {
    Estimate,
    Size,
    Iteration,
    Priority,
    Kind,
    Due,
}

/// How an issue lies among others; of this there is no history.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) has_grandparent: bool,
    pub(super) has_children: bool,
    pub(super) has_grandchildren: bool,
}

impl Place {
    pub(super) fn of(issue: &Issue) -> Self {
        Self {
            has_grandparent: issue.parent.as_ref().is_some_and(|parent| parent.parent.is_some()),
            has_children: issue.sub_issues.iter().next().is_some(),
            has_grandchildren: issue.sub_issues.iter().any(|child| child.sub_issues_summary.total > 0),
        }
    }
}

impl State {
    /// The state of today.
    pub(super) fn of_issue(project: Option<&Project>, issue: &Issue, item: Option<&Item>) -> Self {
        let closed =
            (&*issue.state == "CLOSED").then(|| issue.state_reason.as_deref().unwrap_or("COMPLETED").to_owned());
        let values = issue.issue_field_values.iter().flat_map(|values| values.iter());
        let issue_fields = values.filter_map(|value| {
            let name = value.field.as_ref()?.name.to_lowercase();
            let number = || value.number.map(|number| number.to_string());
            let text = value.selected.as_ref().or(value.date.as_ref()).map(ToString::to_string);
            Some((name, text.or_else(number)?))
        });
        Self {
            title: issue.title.to_string(),
            labels: names(issue.labels.as_ref()),
            milestone: issue.milestone.as_ref().map(|milestone| milestone.title.to_string()),
            assignees: logins(&issue.assignees),
            closed,
            issue_type: issue.issue_type.as_ref().map(|kind| kind.name.to_string()),
            parent: issue.parent.as_ref().and_then(parent),
            repository: issue.repository.name_with_owner.to_string(),
            issue_fields: issue_fields.collect(),
            ..item.map(|item| Self::of_values(project, item)).unwrap_or_default()
        }
    }

    /// What a value is, by the name that `link` gives it.
    pub(super) fn value(&self, project: Option<&Project>, field: &str) -> Option<String> {
        let on = |on: bool| Some(if on { "on".to_owned() } else { String::new() });
        match field.split_once(':') {
            Some(("label", label)) => on(self.labels.contains(label)),
            Some(("assignee", who)) => on(self.assignees.iter().any(|other| other == who)),
            Some(("column", id)) => project.filter(|project| &*project.id == id).map(|_| self.column.clone()),
            Some((_, field)) => Some(self.issue_fields.get(field).cloned().unwrap_or_default()),
            None => match field {
                "milestone" => Some(self.milestone.clone().unwrap_or_default()),
                "parent" => Some(self.parent.as_ref().map(|parent| parent.native_id.to_string()).unwrap_or_default()),
                "closed" => on(self.closed.is_some()),
                "title" => Some(self.title.clone()),
                _ => Some(self.issue_type.clone().unwrap_or_default()),
            },
        }
    }

    /// What the values of an item say, and nothing else.
    pub(super) fn of_values(project: Option<&Project>, item: &Item) -> Self {
        let mut state = Self::default();
        for value in item.field_values.iter() {
            match role(project, value) {
                Some(Role::Status) => state.column = value.name.as_deref().unwrap_or_default().to_owned(),
                Some(Role::Own(own)) => {
                    state.own.extend(text_of(project, value, own).map(|text| (own, text)));
                }
                None => {}
            }
        }
        state
    }
}

pub(super) fn parent(issue: &IssueRef) -> Option<ParentRef> {
    Some(ParentRef { native_id: SmolStr::new(issue.id.as_ref()?), key: issue.key().map(Into::into) })
}

/// What a field of a project is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Status,
    Own(Own),
}

pub(super) fn role(project: Option<&Project>, value: &FieldValue) -> Option<Role> {
    let id = value.field.as_ref()?.id.as_deref()?;
    let fields = &project?.fields;
    let is = |field: &Option<Field>| field.as_ref().is_some_and(|field| &*field.id == id);
    let own = [
        (&fields.estimate, Own::Estimate),
        (&fields.size, Own::Size),
        (&fields.iteration, Own::Iteration),
        (&fields.priority, Own::Priority),
        (&fields.kind, Own::Kind),
        (&fields.due, Own::Due),
    ];
    if is(&fields.status) {
        return Some(Role::Status);
    }
    own.into_iter().find(|(field, _)| is(field)).map(|(_, own)| Role::Own(own))
}

pub(super) fn text_of(project: Option<&Project>, value: &FieldValue, own: Own) -> Option<String> {
    match own {
        Own::Estimate => value.number.map(|number| number.to_string()),
        Own::Iteration => {
            let field = value.field.as_ref()?.id.as_deref()?;
            Some(project?.sprint(field, value.iteration_id.as_deref()?).into())
        }
        Own::Due => value.date.as_deref().map(str::to_owned),
        Own::Size | Own::Priority | Own::Kind => value.name.as_deref().map(str::to_owned),
    }
}

pub(super) fn text(text: &Option<Box<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

pub(super) fn name(named: &Option<Named>) -> Option<String> {
    named.as_ref().map(|named| named.name.to_string())
}

pub(super) fn set_label(state: &mut State, event: &TimelineItem, on: bool) {
    let Some(label) = name(&event.label) else { return };
    if on {
        state.labels.insert(label);
    } else {
        state.labels.remove(&label);
    }
}

pub(super) fn set_assignee(state: &mut State, event: &TimelineItem, on: bool) {
    let Some(who) = Login::of(event.assignee.as_ref()) else { return };
    state.assignees.retain(|other| *other != who);
    if on {
        state.assignees.push(who);
    }
}

pub(super) fn set_field(state: &mut State, event: &TimelineItem, value: Option<String>) {
    let Some(field) = name(&event.issue_field) else { return };
    let field = field.to_lowercase();
    match value {
        Some(value) => drop(state.issue_fields.insert(field, value)),
        None => drop(state.issue_fields.remove(&field)),
    }
}

/// The value of the first of these fields of the organisation that has one.
pub(super) fn issue_field<'a>(state: &'a State, names: &[&str]) -> Option<&'a String> {
    if state.issue_fields.is_empty() {
        return None;
    }
    names.iter().find_map(|name| state.issue_fields.get(&name.to_lowercase()))
}

pub(super) fn estimate(state: &State) -> Option<f64> {
    let number = |text: &String| text.parse().ok().filter(|number: &f64| number.is_finite());
    let own = state.own.get(&Own::Estimate).and_then(number);
    let size = || state.own.get(&Own::Size).and_then(|size| mapping::points_of_size(size));
    let given = || issue_field(state, &ESTIMATE_FIELDS).and_then(|text| mapping::points_of_size(text));
    own.or_else(size).or_else(given)
}
