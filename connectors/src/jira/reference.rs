//! Reference data of a site: which field means what, which status is in which category, which boards there are.
//!
//! [`Reference`] is stored between runs. Everything here is pure: it is made of answers that [`super::api`] fetched, and used by
//! [`super::mapping`] and [`super::normalise`]. Fields are in [`super::fields`], boards in [`super::boards`].

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::time::{DAY, HOUR};
use serde::{Deserialize, Serialize};

use super::boards::{Board, Columns};
use super::field_names::FieldNames;
use super::fields::{Field, Fields};
use super::history::Item;
use super::wire::{Issue, IssueType, LinkKind, StatusValue};
use crate::vocabulary;

/// What is known of a site between polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// When it was fetched.
    pub(super) fetched_at: Millis,
    /// Data Center rather than Cloud.
    pub(super) data_center: bool,
    /// The product and its version, for people.
    pub(super) product: String,
    /// Where people look at issues, when that is not where we ask.
    pub(super) browse: Option<String>,
    /// Which field means what.
    pub(super) fields: Fields,
    /// What the fields were called so far.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub(super) field_names: FieldNames,
    /// Statuses by id. One that vanished from the site stays here, with the last category it had.
    pub(super) statuses: BTreeMap<Box<str>, KnownStatus>,
    /// Issue types by id; `None` until a type was met that its name and level do not explain.
    pub(super) types: Option<BTreeMap<Box<str>, KnownType>>,
    /// Types that nothing but what their issues do says are epics.
    #[serde(default)]
    pub(super) epic_types: BTreeSet<Box<str>>,
    /// Types of links by which the inward issue blocks the other one.
    #[serde(default)]
    pub(super) blocking: Blocking,
    /// Boards that may have sprints or explain a status, by id.
    pub(super) boards: BTreeMap<u64, Board>,
    /// Ids that the site does not list (deleted since): they are not looked for again.
    pub(super) missing: BTreeSet<String>,
    /// Since when lists are refused that were read before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Millis>,
    /// Since when lists are refused that were never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<Millis>,
}

/// Types of links that mean blocking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blocking {
    /// Their ids.
    ids: BTreeSet<Box<str>>,
    /// Their inward words, in lower case: histories have nothing else.
    words: BTreeSet<Box<str>>,
}

impl Blocking {
    /// Whether any type of the site is known.
    pub(super) fn is_known(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Whether an inward link of this type means that the other issue blocks this one.
    pub(super) fn has(&self, kind: &LinkKind) -> bool {
        kind.id.as_ref().is_some_and(|id| self.ids.contains(id)) || kind.means_blocking()
    }

    /// Whether the text of a change of links says that the other issue blocks this one.
    pub(super) fn is_said(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        vocabulary::is_blocked_by(&text) || self.words.iter().any(|words| text.contains(&**words))
    }
}

/// Jira's status categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Category {
    /// Not begun; also the category `undefined`.
    New,
    /// Begun.
    Indeterminate,
    /// Finished, one way or another.
    Done,
}

impl Category {
    /// By Jira's key, unless it is that of statuses without a category.
    pub(super) fn of(key: &str) -> Option<Self> {
        match key {
            "done" => Some(Self::Done),
            "indeterminate" => Some(Self::Indeterminate),
            "new" => Some(Self::New),
            _ => None,
        }
    }

    /// The category a status of this name usually is in.
    pub(super) fn named(name: &str) -> Option<Self> {
        use contextcore_core::model::Status::{Backlog, Blocked, Cancelled, Done, InProgress, InReview, Todo};
        Some(match vocabulary::status(name)? {
            Backlog | Todo => Self::New,
            InProgress | InReview | Blocked => Self::Indeterminate,
            Done | Cancelled => Self::Done,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Indeterminate => "indeterminate",
            Self::Done => "done",
        }
    }
}

/// A status of the site's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownStatus {
    pub(super) name: Box<str>,
    pub(super) category: Category,
    /// The one board column it is in, when all boards agree.
    pub(super) column: Option<Box<str>>,
    /// It has no category, and its name does not say which it could be in.
    #[serde(default)]
    pub(super) unplaced: bool,
}

/// An issue type of the site's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownType {
    pub(super) name: Box<str>,
    pub(super) untranslated_name: Option<Box<str>>,
    pub(super) subtask: bool,
    pub(super) hierarchy_level: Option<i32>,
}

impl Reference {
    /// What the site does not report again: statuses and types that it no longer lists, types that were recognised by what
    /// their issues do, and former names of fields.
    pub(super) fn past(self) -> Self {
        let Self { statuses, types, epic_types, fields, mut field_names, .. } = self;
        fields.note_names(&mut field_names);
        Self { statuses, types, epic_types, field_names, ..Self::default() }
    }

    /// Whether the site was read under these settings.
    pub(super) const fn is_known(&self) -> bool {
        self.fetched_at.0 != 0
    }

    /// Whether it is old, or something was met that it does not know and that was not looked for before.
    pub(super) fn is_due(&self, now: Millis, unknown: &BTreeSet<String>) -> bool {
        let age = now.0 - self.fetched_at.0;
        !(0..DAY).contains(&age) || unknown.iter().any(|id| !self.missing.contains(id))
    }

    /// A list did not come whole: everything is asked for again within the hour.
    pub(super) fn ask_again_soon(&mut self, now: Millis) {
        self.fetched_at = self.fetched_at.min(now.plus(HOUR - DAY));
    }

    /// The field that holds the estimate of an issue of this project, best first: the one its board estimates in, then the
    /// discovered ones.
    pub(super) fn points_for<'a>(&'a self, project: &str) -> impl Iterator<Item = &'a str> {
        let board = self.boards.values().filter(|board| board.project.as_deref() == Some(project));
        let named = board.filter_map(|board| board.estimate.as_deref()).next();
        named.into_iter().chain(self.fields.points.iter().map(|field| &*field.id).filter(move |id| Some(*id) != named))
    }

    /// The custom fields to ask for.
    pub(super) fn custom_fields(&self) -> BTreeSet<&str> {
        let boards = self.boards.values().filter_map(|board| board.estimate.as_deref());
        self.fields.all().map(|(_, field)| &*field.id).chain(boards).collect()
    }

    /// Whether this change is one that is read. Data Center sends no field ids, so there today's name decides.
    pub(super) fn reads(&self, item: &Item) -> bool {
        let board = |id: &str| self.boards.values().any(|board| board.estimate.as_deref() == Some(id));
        item.is_known()
            || match item.field_id.as_deref() {
                Some(id) => board(id) || self.fields.all().any(|(_, field)| *field.id == *id),
                None => self.fields.all().any(|(_, field)| field.is_named(&item.field)),
            }
    }

    /// Whether this change may be one that is read, once its issue's history came whole: Cloud's without the field's id may be of
    /// a field that the same history names with it.
    pub(super) fn may_read(&self, item: &Item) -> bool {
        self.reads(item) || (!self.data_center && item.is_custom_without_id())
    }

    /// Whether this is a change of the sprints. Another field may bear the same name, and has no ids.
    pub(super) fn is_sprint(&self, item: &Item) -> bool {
        let Some(sprint) = &self.fields.sprint else { return false };
        match item.field_id.as_deref() {
            Some(id) => *sprint.id == *id,
            None => sprint.is_named(&item.field) && item.has_ids(),
        }
    }

    /// Types of these issues that have no name we know, and whose issues do what only epics do: have an epic name, or are
    /// what an epic link points to. `all` are the issues whose links count.
    pub(super) fn epics_among(&self, all: &[&Issue], unexplained: &[&Issue]) -> BTreeSet<Box<str>> {
        if unexplained.is_empty() {
            return BTreeSet::new();
        }
        let value = |issue: &Issue, field: &Option<Field>| -> Option<String> {
            serde_json::from_str(issue.custom.get(&field.as_ref()?.id)?.get()).ok()
        };
        let targets: BTreeSet<String> = all.iter().filter_map(|issue| value(issue, &self.fields.epic_link)).collect();
        let is_epic = |issue: &&&Issue| {
            value(issue, &self.fields.epic_name).is_some_and(|name| !name.is_empty())
                || issue.key.as_deref().is_some_and(|key| targets.contains(key))
        };
        let types = unexplained.iter().filter(is_epic).filter_map(|issue| issue.fields.issuetype.as_ref()?.id.clone());
        types.collect()
    }

    /// The project of a board.
    pub(super) fn project_of_board(&self, board: u64) -> Option<&str> {
        self.boards.get(&board)?.project.as_deref()
    }

    /// Takes in the statuses of the site; those that vanished keep their last category.
    pub(super) fn learn_statuses(&mut self, answers: Vec<StatusValue>, columns: &Columns) {
        for answer in answers {
            let Some(id) = answer.id else { continue };
            let key = answer.status_category.as_ref().map_or("", |category| &category.key);
            let names = [answer.untranslated_name.as_deref().unwrap_or(&answer.name), &answer.name];
            let by_name = names.iter().find_map(|name| Category::named(name));
            let category = Category::of(key).or(by_name);
            let known = self.statuses.get(&id).filter(|_| columns.incomplete);
            let column = columns.of(&id).or_else(|| known.and_then(|known| known.column.clone()));
            let (unplaced, category) = (category.is_none(), category.unwrap_or(Category::New));
            self.statuses.insert(id, KnownStatus { name: answer.name, category, column, unplaced });
        }
    }

    /// Takes in the types of links of the site.
    pub(super) fn learn_links(&mut self, answers: &[LinkKind]) {
        let blocking = || answers.iter().filter(|kind| kind.means_blocking());
        self.blocking = Blocking {
            ids: blocking().filter_map(|kind| kind.id.clone()).collect(),
            words: blocking()
                .filter(|kind| !kind.inward.is_empty())
                .map(|kind| kind.inward.to_lowercase().into())
                .collect(),
        };
    }

    /// Takes in the issue types of the site; those that vanished stay as they were.
    pub(super) fn learn_types(&mut self, answers: Vec<IssueType>) {
        let known = answers.into_iter().filter_map(|answer| {
            let IssueType { id, name, untranslated_name, subtask, hierarchy_level } = answer;
            Some((id?, KnownType { name, untranslated_name, subtask, hierarchy_level }))
        });
        self.types.get_or_insert_default().extend(known);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::discover;
    use super::super::fields::tests::site_fields;
    use super::super::settings::tests::plain;
    use super::*;

    #[test]
    fn what_is_old_or_unknown_is_fetched_anew_but_what_is_missing_is_not() {
        let reference =
            Reference { fetched_at: Millis(DAY), missing: ["status:1".into()].into(), ..Reference::default() };
        let none = BTreeSet::new();
        assert!(!reference.is_due(Millis(2 * DAY - 1), &none));
        assert!(reference.is_due(Millis(2 * DAY), &none));
        assert!(reference.is_due(Millis(0), &none), "a clock that was turned back");
        assert!(!reference.is_due(Millis(DAY), &["status:1".into()].into()));
        assert!(reference.is_due(Millis(DAY), &["status:2".into()].into()));
    }

    #[test]
    fn the_estimate_of_a_project_is_where_its_board_looks() {
        let mut reference = Reference {
            fields: discover(&plain(), &site_fields(), &BTreeSet::new(), &FieldNames::default()),
            ..Reference::default()
        };
        let board = |estimate: &str| Board {
            name: "Team".into(),
            kind: "scrum".into(),
            project: Some("A".into()),
            estimate: Some(estimate.into()),
            configured: false,
        };
        reference.boards.insert(1, board("customfield_10016"));
        let of = |project: &str| reference.points_for(project).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of("A"), ["customfield_10016", "customfield_10026"]);
        assert_eq!(of("B"), ["customfield_10026", "customfield_10016"]);
    }
}
