//! What the events of a task make of its state, step by step, in either direction.
//!
//! One function, [`Reader::set`], says what an event does both forwards and backwards, so the two passes cannot disagree.

use std::cell::RefCell;
use std::collections::BTreeSet;

use contextcore_core::model::diff;
use contextcore_core::model::observation::{Observation, TaskObservation};
use contextcore_core::model::{Change, Facts, SmolStr, Status, TaskKey, TaskType};
use contextcore_core::{Millis, Result};

use super::super::mapping::{self, TypeSigns};
use super::super::reference::{DUE_FIELDS, PRIORITY_FIELDS, Project, Reference};
use super::super::settings::Settings;
use super::super::transfers::Transfers;
use super::super::wire::{Issue, IssueRef, Item, Login, TimelineItem};
use super::meanings::Meanings;
use super::order::about;
use super::state::{
    Own, Place, Role, State, estimate, issue_field, name, parent, role, set_assignee, set_field, set_label, text,
    text_of,
};
use crate::rewind::{Occasion, Rewind, Side, Timeline, date};

/// What a record is read with.
pub(in super::super) struct Context<'a> {
    pub(in super::super) settings: &'a Settings,
    pub(in super::super) reference: &'a Reference,
    pub(in super::super) transfers: &'a Transfers,
}

impl Context<'_> {
    pub(super) fn project(&self, id: Option<&str>) -> Option<&Project> {
        self.reference.projects.iter().find(|project| Some(&*project.id) == id)
    }
}

/// Something that happened, dated: an event, or a value that was set.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    pub(super) at: Millis,
    /// Unique within the task.
    pub(super) origin: String,
    pub(super) actor: Option<String>,
    pub(super) observed: bool,
    pub(super) change: FieldChange<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum FieldChange<'a> {
    TimelineItem(&'a TimelineItem),
    /// A field of the project was set to what it is now.
    Own(Own, String),
    /// The status was set; what it was before, and after.
    Column(String, String),
    /// It was closed for this reason, without an event that says so.
    Closed(&'a str),
}

impl<'a> Step<'a> {
    pub(super) fn close(at: Millis, reason: &'a str) -> Self {
        let change = FieldChange::Closed(reason);
        Self { at, origin: format!("closed:{}", at.0), actor: None, observed: false, change }
    }
}

/// Reads one task.
pub(super) struct Reader<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) project: Option<&'a Project>,
    pub(super) id: TaskKey,
    pub(super) created: Millis,
    pub(super) today: State,
    /// The facts before the next step.
    pub(super) known: Option<Facts>,
    pub(super) key: String,
    /// GitHub's name for the type, where it is not that of an issue.
    pub(super) kind: Option<&'static str>,
    pub(super) place: Place,
    meanings: RefCell<Meanings>,
    /// The native project, where it is the same all the time.
    project_name: Option<SmolStr>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        context: &'a Context<'a>,
        project: Option<&'a Project>,
        native_id: &str,
        created: Millis,
        today: State,
    ) -> Self {
        let id = TaskKey::new(&context.settings.source, native_id);
        Self {
            context,
            project,
            id,
            created,
            today,
            known: None,
            key: String::new(),
            kind: None,
            place: Place::default(),
            meanings: RefCell::default(),
            project_name: project.map(|project| project.name.to_string().into()),
        }
    }

    /// The steps of an issue, oldest first.
    pub(super) fn steps(
        &self,
        events: &[(Millis, &'a TimelineItem)],
        issue: &'a Issue,
        item: Option<&Item>,
    ) -> Result<Vec<Step<'a>>> {
        let ours =
            |event: &TimelineItem| &*event.kind != "ProjectV2ItemStatusChangedEvent" || about(self.project, event);
        let mut steps: Vec<Step<'a>> = Vec::new();
        for (at, event) in events.iter().filter(|(_, event)| ours(event)) {
            let origin = event.id.as_deref().unwrap_or_default().to_owned();
            let actor = Login::of(event.actor.as_ref());
            steps.push(Step { at: *at, origin, actor, observed: false, change: FieldChange::TimelineItem(event) });
        }
        steps.extend(self.unlisted_close(&steps, issue));
        if let Some(item) = item {
            steps.extend(self.unlisted_column(&steps, item));
            steps.extend(self.own_steps(item));
        }
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }

    /// Steps of something that has no events at all.
    pub(super) fn value_steps<'s>(&self, item: &Item) -> Vec<Step<'s>> {
        let mut steps: Vec<Step<'s>> =
            self.unlisted_column(&[], item).into_iter().chain(self.own_steps(item)).collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// The closing of an issue that is closed although its events do not lead there.
    pub(super) fn unlisted_close(&self, steps: &[Step<'a>], issue: &'a Issue) -> Option<Step<'a>> {
        let reason = issue.state_reason.as_deref().unwrap_or("COMPLETED");
        self.today.closed.as_ref()?;
        let last = steps.iter().rev().find_map(|step| match &step.change {
            FieldChange::TimelineItem(event) if matches!(&*event.kind, "ClosedEvent" | "ReopenedEvent") => {
                Some(&*event.kind)
            }
            _ => None,
        });
        (last != Some("ClosedEvent")).then(|| Some(Step::close(issue.closed_at?, reason)))?
    }

    /// The setting of the present status where no event lists it: on an older server, for a draft, or from before there were such
    /// events.
    pub(super) fn unlisted_column<'s>(&self, steps: &[Step<'_>], item: &Item) -> Option<Step<'s>> {
        let field = self.project?.fields.status.as_ref()?;
        let value = item.field_values.iter().find(|value| role(self.project, value) == Some(Role::Status))?;
        let (last, at) = steps
            .iter()
            .rev()
            .find_map(|step| match &step.change {
                FieldChange::TimelineItem(event) if event.status.is_some() => {
                    Some((self.status_name(event.status.as_deref()), step.at))
                }
                _ => None,
            })
            .unwrap_or((String::new(), self.created));
        let today = self.status_name(value.name.as_deref());
        let set = value.updated_at.filter(|_| last != today)?.max(at);
        let origin = format!("value:{}:{}", field.id, set.0);
        Some(Step { at: set, origin, actor: None, observed: true, change: FieldChange::Column(last, today) })
    }

    /// When the fields without a history were set to what they are now.
    pub(super) fn own_steps<'s>(&self, item: &Item) -> Vec<Step<'s>> {
        let steps = item.field_values.iter().filter_map(|value| {
            let Role::Own(own) = role(self.project, value)? else { return None };
            let (text, at) = (text_of(self.project, value, own)?, value.updated_at?.max(self.created));
            let field = value.field.as_ref()?.id.as_deref()?;
            let origin = format!("value:{field}:{}", at.0);
            Some(Step { at, origin, actor: None, observed: true, change: FieldChange::Own(own, text) })
        });
        steps.collect()
    }

    pub(super) fn status_name(&self, name: Option<&str>) -> String {
        let name = name.unwrap_or_default();
        self.project.map_or(name, |project| project.status_today(name)).to_owned()
    }

    /// A task without events of its own.
    pub(super) fn observe(
        mut self,
        author: Option<String>,
        url: String,
        updated: Millis,
        steps: &[Step<'a>],
    ) -> Observation {
        let (timeline, end) = self.history(author.clone(), steps);
        Observation::Task(Box::new(TaskObservation {
            native_id: timeline.key.native_id.to_string(),
            url,
            reporter: author,
            updated,
            history: timeline.into_events(),
            present: self.present(&end),
            blockers: Vec::new(),
        }))
    }

    /// The timeline, and the state it leads to.
    pub(super) fn history(&mut self, author: Option<String>, steps: &[Step<'a>]) -> (Timeline, State) {
        let mut timeline = Timeline::new(self.id.clone(), self.created);
        let today = self.today.clone();
        let end = self.replay(&today, steps, author, &mut timeline);
        (timeline, end)
    }

    /// The facts of today. Of several assignees the first counts, and only the history says who that is.
    pub(super) fn present(&self, end: &State) -> Facts {
        let mut today = State { reopened: end.reopened, ..self.today.clone() };
        let set = |people: &[String]| people.iter().cloned().collect::<BTreeSet<_>>();
        if set(&end.assignees) == set(&today.assignees) {
            today.assignees.clone_from(&end.assignees);
        }
        self.facts(&today)
    }

    /// A closed issue is finished; else its column says.
    pub(super) fn status(&self, state: &State) -> (Status, SmolStr) {
        let settings = self.context.settings;
        let (column, status) = self.meanings.borrow_mut().column(&state.column, || {
            let column = self.status_name(Some(&state.column));
            let status = mapping::map_status(settings, self.project, &column).status;
            (column, status)
        });
        let shown = |other: &'static str| if column.is_empty() { SmolStr::new_static(other) } else { column.clone() };
        if let Some(reason) = &state.closed {
            return (mapping::closed_status(reason), shown(mapping::CLOSED));
        }
        if let Some(stage) = state.stage.filter(|_| column.is_empty()) {
            let usual = if stage == "Draft" { Status::InProgress } else { Status::InReview };
            return (settings.rules.status(&[stage]).unwrap_or(usual), SmolStr::new_static(stage));
        }
        let status = if status.is_finished() && state.reopened { Status::Todo } else { status };
        (status, shown(mapping::OPEN))
    }

    pub(super) fn task_type(&self, state: &State) -> (TaskType, SmolStr) {
        let signs = TypeSigns {
            issue_type: state.issue_type.as_deref().or(self.kind),
            field: state.own.get(&Own::Kind).map(String::as_str),
            has_parent: state.parent.is_some(),
            has_grandparent: state.parent.is_some() && self.place.has_grandparent,
            has_children: self.place.has_children,
            has_grandchildren: self.place.has_grandchildren,
        };
        let look = || mapping::task_type(self.context.settings, &signs, state.labels.iter());
        self.meanings.borrow_mut().task_type(state, look)
    }

    /// Takes one side of an event into the state.
    pub(super) fn set(&self, state: &mut State, event: &TimelineItem, side: Side) {
        let forwards = side == Side::After;
        match &*event.kind {
            "LabeledEvent" => set_label(state, event, forwards),
            "UnlabeledEvent" => set_label(state, event, !forwards),
            "AssignedEvent" => set_assignee(state, event, forwards),
            "UnassignedEvent" => set_assignee(state, event, !forwards),
            "MilestonedEvent" => state.milestone = text(&event.milestone_title).filter(|_| forwards),
            "DemilestonedEvent" => state.milestone = text(&event.milestone_title).filter(|_| !forwards),
            "ParentIssueAddedEvent" => state.parent = event.parent.as_ref().and_then(parent).filter(|_| forwards),
            "ParentIssueRemovedEvent" => state.parent = event.parent.as_ref().and_then(parent).filter(|_| !forwards),
            "ProjectV2ItemStatusChangedEvent" => {
                let name = if forwards { &event.status } else { &event.previous_status };
                state.column = self.status_name(name.as_deref());
                state.reopened = false;
            }
            "ClosedEvent" => {
                let reason = event.state_reason.as_deref().unwrap_or("COMPLETED");
                state.closed = forwards.then(|| reason.to_owned());
                state.reopened = false;
            }
            "ReopenedEvent" => {
                state.closed = (!forwards).then(|| "COMPLETED".to_owned());
                state.reopened = forwards;
            }
            "RenamedTitleEvent" => {
                let title = if forwards { &event.current_title } else { &event.previous_title };
                state.title = text(title).unwrap_or_default();
            }
            "TransferredEvent" => {
                let today = || self.today.repository.clone();
                let from = event.from_repository.as_ref().map(|from| from.name_with_owner.to_string());
                state.repository = if forwards { today() } else { from.unwrap_or_else(today) };
            }
            "IssueTypeAddedEvent" => state.issue_type = name(&event.issue_type).filter(|_| forwards),
            "IssueTypeRemovedEvent" => state.issue_type = name(&event.issue_type).filter(|_| !forwards),
            "IssueTypeChangedEvent" => {
                state.issue_type = name(if forwards { &event.issue_type } else { &event.prev_issue_type });
            }
            "IssueFieldAddedEvent" => set_field(state, event, text(&event.value).filter(|_| forwards)),
            "IssueFieldChangedEvent" => {
                set_field(state, event, text(if forwards { &event.new_value } else { &event.previous_value }));
            }
            // What it was before is in the event that set it.
            "IssueFieldRemovedEvent" if forwards => set_field(state, event, None),
            _ => {}
        }
    }

    /// What a change adds beside the facts it changes.
    pub(super) fn beside(&self, change: &FieldChange<'_>, changes: &[Change]) -> Option<Change> {
        let FieldChange::TimelineItem(event) = change else { return None };
        let linked = |text: String, blocker, added| Some(Change::Linked { text, blocker, added });
        match &*event.kind {
            "BlockedByAddedEvent" | "BlockedByRemovedEvent" => {
                let key = event.blocking_issue.as_ref()?.key()?;
                linked(format!("is blocked by {key}"), Some(key), &*event.kind == "BlockedByAddedEvent")
            }
            "ConnectedEvent" | "DisconnectedEvent" => {
                let pull = [&event.source, &event.subject].into_iter().flatten().find_map(IssueRef::key)?;
                linked(format!("is worked on in {pull}"), None, &*event.kind == "ConnectedEvent")
            }
            "ConvertedFromDraftEvent" if about(self.project, event) => {
                linked("was a draft before".to_owned(), None, true)
            }
            "TransferredEvent" if !changes.iter().any(|what| matches!(what, Change::Moved { .. })) => {
                let project = self.project.map(|project| project.name.to_string());
                let project = project.unwrap_or_else(|| self.today.repository.clone());
                Some(Change::Moved { key: self.key.clone().into(), project: project.into() })
            }
            _ => None,
        }
    }
}

impl<'a> Rewind for Reader<'a> {
    type State = State;
    type Step = Step<'a>;

    /// What a state means.
    fn facts(&self, state: &State) -> Facts {
        let (status, native_status) = self.status(state);
        let (task_type, native_type) = self.task_type(state);
        let mut meanings = self.meanings.borrow_mut();
        let labels = meanings.labels(self.context.settings, state);
        let priority = state.own.get(&Own::Priority).or_else(|| issue_field(state, &PRIORITY_FIELDS));
        Facts {
            key: SmolStr::new(&self.key),
            project: self.project_name.clone().unwrap_or_else(|| SmolStr::new(&state.repository)),
            task_type,
            native_type,
            title: SmolStr::new(&state.title),
            status,
            native_status,
            flag: labels.flag.clone(),
            priority: priority
                .and_then(|name| mapping::priority(name))
                .map(SmolStr::from)
                .or_else(|| labels.priority.clone()),
            assignee: state.assignees.first().map(SmolStr::new),
            labels: labels.shown.clone(),
            estimate: estimate(state),
            parent: state.parent.clone(),
            sprints: state.own.get(&Own::Iteration).map(SmolStr::new).into_iter().collect(),
            due: state.own.get(&Own::Due).or_else(|| issue_field(state, &DUE_FIELDS)).and_then(|due| date(due)),
            blocked_by_links: None,
            progress: None,
            attributes: Vec::new(),
        }
    }

    fn undo(&mut self, state: &mut State, step: &Step<'a>) {
        match &step.change {
            FieldChange::Own(own, _) => drop(state.own.remove(own)),
            FieldChange::Column(before, _) => state.column.clone_from(before),
            FieldChange::Closed(_) => state.closed = None,
            FieldChange::TimelineItem(event) => self.set(state, event, Side::Before),
        }
    }

    fn redo(&mut self, state: &mut State, step: &Step<'a>, timeline: &mut Timeline) {
        let before = self.known.take().unwrap_or_else(|| self.facts(state));
        match &step.change {
            FieldChange::Own(own, text) => drop(state.own.insert(*own, text.clone())),
            FieldChange::Column(_, after) => {
                state.column.clone_from(after);
                state.reopened = false;
            }
            FieldChange::Closed(reason) => state.closed = Some((*reason).to_owned()),
            FieldChange::TimelineItem(event) => self.set(state, event, Side::After),
        }
        let after = self.facts(state);
        let occasion = Occasion { at: step.at, actor: step.actor.as_deref(), observed: step.observed };
        let changes = diff::changes(&before, &after);
        let beside = self.beside(&step.change, &changes);
        for change in changes.into_iter().chain(beside) {
            timeline.push_on(occasion, &format!("{}:{}", step.origin, word(&change)), change);
        }
        self.known = Some(after);
    }
}

/// What distinguishes the events of one step: part of their ids, never to be changed.
pub(super) const fn word(what: &Change) -> &'static str {
    match what {
        Change::Created(_) => "created",
        Change::Status { .. } => "status",
        Change::Blocked(_) => "blocked",
        Change::Unblocked => "unblocked",
        Change::Assigned(_) => "assigned",
        Change::Estimated(_) => "estimated",
        Change::Sprints(_) => "sprints",
        Change::Parent(_) => "parent",
        Change::Titled(_) => "titled",
        Change::Typed { .. } => "typed",
        Change::Prioritised(_) => "prioritised",
        Change::Labelled(_) => "labelled",
        Change::Due(_) => "due",
        Change::Moved { .. } => "moved",
        Change::Commented(_) => "commented",
        Change::Linked { .. } => "linked",
        Change::Artifact(_) | Change::StatusArtifact(_) => "artifact",
        Change::Deleted => "deleted",
        Change::Restored => "restored",
        Change::BlockedByLinks(_) | Change::UnblockedByLinks => "waits",
        Change::Progress(_) => "progress",
        Change::Attributes(_) => "attributes",
    }
}
