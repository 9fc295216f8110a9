//! What an act of a history changed, field by field.

use contextcore_core::model::Change;

use super::super::wire::{Act, Ref, StateValue};
use crate::chain::Link as Edge;
use crate::rewind::Side;

/// A value before and after a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swap<T> {
    pub(super) from: T,
    pub(super) to: T,
}

impl<T: Copy> Swap<T> {
    pub(super) fn side(self, side: Side) -> T {
        match side {
            Side::Before => self.from,
            Side::After => self.to,
        }
    }
}

pub(super) type Id<'a> = Option<&'a str>;
pub(super) type Ids<'a> = Option<&'a [Box<str>]>;

/// A change of one field.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldChange<'a> {
    State(Swap<Id<'a>>),
    Assignee(Swap<Id<'a>>),
    Cycle(Swap<Id<'a>>),
    Estimate(Swap<Option<f64>>),
    Priority(Swap<Option<f64>>),
    Parent(Swap<Id<'a>>),
    Project(Swap<Id<'a>>),
    Milestone(Swap<Id<'a>>),
    Team(Swap<Id<'a>>),
    Title(Swap<Id<'a>>),
    Due(Swap<Id<'a>>),
    Labels { added: Ids<'a>, removed: Ids<'a> },
    Converted,
}

impl FieldChange<'_> {
    /// What it does to its value; none for a change of several values, and for states, which are in order.
    pub(super) fn link(self) -> Option<Edge> {
        let link = |from: Option<String>, to: Option<String>| {
            let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
            Some(Edge { field: self.field().to_owned(), from, to })
        };
        match self {
            Self::Assignee(swap)
            | Self::Cycle(swap)
            | Self::Parent(swap)
            | Self::Project(swap)
            | Self::Milestone(swap)
            | Self::Team(swap)
            | Self::Title(swap)
            | Self::Due(swap) => link(swap.from.map(str::to_owned), swap.to.map(str::to_owned)),
            Self::Estimate(swap) | Self::Priority(swap) => {
                link(swap.from.map(|number| number.to_string()), swap.to.map(|number| number.to_string()))
            }
            Self::State(_) | Self::Labels { .. } | Self::Converted => None,
        }
    }

    /// Whether other facts follow from its value: the status, the type, the parent, the labels and the flag.
    pub(super) const fn is_derived_from(self) -> bool {
        use FieldChange::{Assignee, Cycle, Due, Estimate, Priority, Team, Title};
        !matches!(self, Assignee(_) | Cycle(_) | Due(_) | Estimate(_) | Priority(_) | Team(_) | Title(_))
    }

    /// The name of the field: part of the ids of events, never to be changed.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Assignee(_) => "assignee",
            Self::Cycle(_) => "cycle",
            Self::Estimate(_) => "estimate",
            Self::Priority(_) => "priority",
            Self::Parent(_) => "parent",
            Self::Project(_) => "project",
            Self::Milestone(_) => "milestone",
            Self::Team(_) => "team",
            Self::Title(_) => "title",
            Self::Due(_) => "due",
            Self::Labels { .. } => "labels",
            Self::Converted => "converted",
        }
    }
}

/// The changes of one act, the state's apart.
pub(super) fn changes_of(act: &Act) -> Vec<FieldChange<'_>> {
    fn ids<'a>(from: &'a Option<Box<str>>, to: &'a Option<Box<str>>) -> Option<Swap<Id<'a>>> {
        (from != to).then_some(Swap { from: from.as_deref(), to: to.as_deref() })
    }
    fn refs<'a>(from: &'a Option<Ref>, to: &'a Option<Ref>) -> Option<Swap<Id<'a>>> {
        let id = |side: &'a Option<Ref>| side.as_ref().map(|side| &*side.id);
        (from != to).then_some(Swap { from: id(from), to: id(to) })
    }
    let numbers = |from: Option<f64>, to: Option<f64>| (from != to).then_some(Swap { from, to });
    let (added, removed) = (act.added_label_ids.as_deref(), act.removed_label_ids.as_deref());
    let relabelled = [added, removed].into_iter().flatten().any(|ids| !ids.is_empty());
    let changes = [
        ids(&act.from_team_id, &act.to_team_id).map(FieldChange::Team),
        ids(&act.from_assignee_id, &act.to_assignee_id).map(FieldChange::Assignee),
        ids(&act.from_cycle_id, &act.to_cycle_id).map(FieldChange::Cycle),
        numbers(act.from_estimate, act.to_estimate).map(FieldChange::Estimate),
        numbers(act.from_priority, act.to_priority).map(FieldChange::Priority),
        ids(&act.from_parent_id, &act.to_parent_id).map(FieldChange::Parent),
        ids(&act.from_project_id, &act.to_project_id).map(FieldChange::Project),
        refs(&act.from_project_milestone, &act.to_project_milestone).map(FieldChange::Milestone),
        ids(&act.from_title, &act.to_title).map(FieldChange::Title),
        ids(&act.from_due_date, &act.to_due_date).map(FieldChange::Due),
        relabelled.then_some(FieldChange::Labels { added, removed }),
        act.to_converted_project_id.is_some().then_some(FieldChange::Converted),
    ];
    changes.into_iter().flatten().collect()
}

/// The state change of one act: the state before, if it is known, and after.
pub(super) fn state_change(act: &Act) -> Option<Swap<Option<Box<str>>>> {
    let shown = |state: &'_ Option<StateValue>| state.as_ref().and_then(|state| state.id.clone());
    let from = act.from_state_id.clone().or_else(|| shown(&act.from_state));
    let to = act.to_state_id.clone().or_else(|| shown(&act.to_state));
    (from != to && to.is_some()).then_some(Swap { from, to })
}

/// What a change is about, in the words of [`FieldChange::field`]: part of the ids of events, never to be changed.
pub(super) const fn word(what: &Change) -> &'static str {
    match what {
        Change::Status { .. } => "state",
        Change::Assigned(_) => "assignee",
        Change::Sprints(_) => "cycle",
        Change::Estimated(_) => "estimate",
        Change::Prioritised(_) => "priority",
        Change::Parent(_) => "parent",
        Change::Moved { .. } => "team",
        Change::Titled(_) => "title",
        Change::Due(_) => "due",
        Change::Labelled(_) => "labels",
        Change::Typed { .. } => "type",
        Change::Blocked(_) => "blocked",
        Change::Unblocked => "unblocked",
        _ => "other",
    }
}
