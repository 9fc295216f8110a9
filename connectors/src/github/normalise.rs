//! From GitHub's records to the common model: pure, and the place where every reading of GitHub's habits is written down.
//!
//! [`task`] is the entry point. GitHub lists what happened and no first values: [`crate::rewind`] finds them. [`State`] is what the
//! events are about, and [`Reader::facts`] says what a state means. One function, [`Reader::set`], says what an event does in
//! either direction, so the two passes cannot disagree.
//!
//! - A project's Status has events, with the names its options had then. All other fields of a project have none: the value has
//!   the date it was last set, which becomes an observed event of that moment; what it was before is unknown.
//! - A closed issue is finished whatever its column says. An open one in a finished column counts as finished too (people
//!   forget to close), unless it was reopened since.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::model::diff;
use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::{
    Artifact, Blocker, Change, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, TaskKey, TaskType,
};
use contextcore_core::{Error, ErrorKind, Millis, Result};

use super::mapping::{self, TypeSigns};
use super::reference::{DUE_FIELDS, ESTIMATE_FIELDS, Field, PRIORITY_FIELDS, Project, Reference};
use super::settings::Settings;
use super::sprints;
use super::wire::{
    Content, Draft, FieldValue, Issue, Item, LinkedPull, Login, Node, PullRequest, Record, Rows, TimelineItem,
};
use crate::chain::{self, Link};
use crate::rewind::{self, Occasion, Rewind, Side, Timeline, date, lacks, unreadable};

/// What a record is read with.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) reference: &'a Reference,
}

impl Context<'_> {
    fn project(&self, id: Option<&str>) -> Option<&Project> {
        self.reference.projects.iter().find(|project| Some(&*project.id) == id)
    }
}

/// Reads a record of the streams of tasks.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it is not such a record, or lacks the time of its creation or of an event.
pub(super) fn task(context: &Context<'_>, json: &str) -> Result<Vec<Observation>> {
    let mut record: Record = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    record.complete();
    let project = context.project(record.project.as_deref());
    if record.project.is_some() && project.is_none() {
        return Err(Error::new(ErrorKind::Protocol, "the record is of a project that is not read any more"));
    }
    let mut observations = match &record.node {
        Node::Issue(issue) => of_issue(context, project, issue, None, &record),
        Node::ProjectV2Item(item) => match &item.content {
            Some(Content::Issue(issue)) => of_issue(context, project, issue, Some(item), &record),
            Some(Content::PullRequest(pull)) => Ok(vec![of_pull_request(context, project, pull, item)?]),
            Some(Content::DraftIssue(draft)) => Ok(vec![of_draft(context, project, draft, item)?]),
            None => Ok(vec![of_hidden(context, project, item)?]),
        },
    }?;
    if record.archived {
        observations.extend(gone(&observations));
    }
    Ok(observations)
}

/// What was archived while open is gone, as it stands now.
fn gone(observations: &[Observation]) -> Option<Observation> {
    observations.iter().find_map(|observation| match observation {
        Observation::Task(task) => Some(Observation::Gone { native_id: task.native_id.clone() }),
        _ => None,
    })
}

/// Reads a record of the `sprints` stream.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it is not such a record.
pub(super) fn sprint(json: &str) -> Result<Vec<Observation>> {
    let record: sprints::Record = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let span = record.iteration.span();
    let facts = SprintFacts {
        name: record.iteration.title.to_string(),
        goal: None,
        project: Some(record.project),
        state: record.state,
        start: span.map(|(start, _)| start),
        end: span.map(|(_, end)| end),
        completed: span.map(|(_, end)| end).filter(|_| record.state == SprintState::Closed),
        exact: false,
    };
    Ok(vec![Observation::Sprint { native_id: record.id.into(), facts }])
}

fn of_issue(
    context: &Context<'_>,
    project: Option<&Project>,
    issue: &Issue,
    item: Option<&Item>,
    record: &Record,
) -> Result<Vec<Observation>> {
    let today = State::of_issue(project, issue, item);
    let mut events = in_order(issue.timeline_items.iter().chain(&record.events))?;
    chain::order(&mut events, |(at, _)| *at, |(_, event)| link(event), |field| today.value(project, field));
    let written = issue.created_at.or_else(|| item?.created_at).ok_or_else(|| lacks("createdAt"))?;
    let was_draft = events.iter().any(|(_, event)| &*event.kind == "ConvertedFromDraftEvent" && about(project, event));
    let drafted = item.and_then(|item| item.created_at).filter(|_| was_draft);
    let created = drafted.map_or(written, |drafted| drafted.min(written));
    let mut reader = Reader::new(context, project, &issue.id, created, today);
    reader.key = format!("{}#{}", issue.repository.name_with_owner, issue.number);
    reader.place = Place::of(issue);
    let steps = reader.steps(&events, issue, item)?;
    let (mut timeline, end) = reader.history(Login::of(issue.author.as_ref()), &steps);
    for comment in issue.comments.iter().chain(&record.comments) {
        let (actor, text) = (Login::of(comment.author.as_ref()), || comment.body_text.clone());
        timeline.comment(context.settings.comments, &comment.id, comment.created_at, actor, text);
    }
    let updated = issue.updated_at.max(item.and_then(|item| item.updated_at)).unwrap_or(created);
    let task = TaskObservation {
        native_id: issue.id.to_string(),
        url: issue.url.to_string(),
        reporter: Login::of(issue.author.as_ref()),
        updated,
        history: timeline.into_events(),
        present: reader.present(&end),
        blockers: issue.blocked_by.iter().filter_map(blocker).collect(),
    };
    let mut observations = vec![Observation::Task(Box::new(task))];
    let linked = issue.closed_by_pull_requests_references.iter().flat_map(|pulls| pulls.iter());
    observations.extend(linked.flat_map(|pull| activities_of(pull, &issue.id)));
    Ok(observations)
}

/// A pull request is a task only while it closes no issue.
fn of_pull_request(
    context: &Context<'_>,
    project: Option<&Project>,
    pull: &PullRequest,
    item: &Item,
) -> Result<Observation> {
    let closes = pull.closing_issues_references.as_ref().and_then(|issues| issues.total_count).unwrap_or(0);
    if closes > 0 {
        return Ok(Observation::Gone { native_id: pull.id.to_string() });
    }
    let created = pull.created_at.or(item.created_at).ok_or_else(|| lacks("createdAt"))?;
    let mut state = State {
        title: pull.title.to_string(),
        labels: names(pull.labels.as_ref()),
        milestone: pull.milestone.as_ref().map(|milestone| milestone.title.to_string()),
        assignees: logins(&pull.assignees),
        repository: pull.repository.name_with_owner.to_string(),
        stage: Some(if pull.is_draft { "Draft" } else { "Open" }),
        ..State::of_values(project, item)
    };
    let ended = match &*pull.state {
        "MERGED" => Some(("COMPLETED", pull.merged_at)),
        "CLOSED" => Some(("NOT_PLANNED", pull.closed_at)),
        _ => None,
    };
    state.closed = ended.map(|(reason, _)| reason.to_owned());
    let mut reader = Reader::new(context, project, &pull.id, created, state);
    reader.key = format!("{}#{}", pull.repository.name_with_owner, pull.number);
    reader.kind = Some("Pull request");
    let mut steps = reader.value_steps(item);
    steps.extend(ended.and_then(|(reason, at)| Some(Step::close(at?, reason))));
    steps.sort_by_key(|step| step.at);
    let updated = pull.updated_at.max(item.updated_at).unwrap_or(created);
    Ok(reader.observe(Login::of(pull.author.as_ref()), pull.url.to_string(), updated, &steps))
}

fn of_draft(context: &Context<'_>, project: Option<&Project>, draft: &Draft, item: &Item) -> Result<Observation> {
    let created = draft.created_at.or(item.created_at).ok_or_else(|| lacks("createdAt"))?;
    let state = State {
        title: draft.title.to_string(),
        assignees: logins(&draft.assignees),
        ..State::of_values(project, item)
    };
    let mut reader = Reader::new(context, project, &draft.id, created, state);
    reader.key = key_of_item(project, item, "draft");
    reader.kind = Some("Draft issue");
    let updated = draft.updated_at.max(item.updated_at).unwrap_or(created);
    let steps = reader.value_steps(item);
    Ok(reader.observe(Login::of(draft.creator.as_ref()), url_of(project), updated, &steps))
}

/// An item whose content the token may not see: it stands in its column all the same.
fn of_hidden(context: &Context<'_>, project: Option<&Project>, item: &Item) -> Result<Observation> {
    let created = item.created_at.ok_or_else(|| lacks("createdAt"))?;
    let state = State { title: "(hidden)".to_owned(), ..State::of_values(project, item) };
    let mut reader = Reader::new(context, project, &item.id, created, state);
    reader.key = key_of_item(project, item, "item");
    reader.kind = Some("Hidden");
    let steps = reader.value_steps(item);
    Ok(reader.observe(None, url_of(project), item.updated_at.unwrap_or(created), &steps))
}

fn url_of(project: Option<&Project>) -> String {
    project.map(|project| project.url.to_string()).unwrap_or_default()
}

/// What people can call an item that has no number: `acme/1#draft-4711`.
fn key_of_item(project: Option<&Project>, item: &Item, what: &str) -> String {
    let project = project.map(|project| project.name.to_string()).unwrap_or_default();
    format!("{project}#{what}-{}", item.full_database_id.as_deref().unwrap_or(&item.id))
}

/// The events in the order they happened, each once. What has neither id nor date is of a kind that is not read.
fn in_order<'a>(events: impl Iterator<Item = &'a TimelineItem>) -> Result<Vec<(Millis, &'a TimelineItem)>> {
    let known = events.filter(|event| event.id.is_some() || event.created_at.is_some());
    rewind::in_order(known, "event", |event| event.id.as_deref(), |event| event.created_at)
}

/// What an event does to a value, for the order of events of one second. [`State::value`] knows the same names of values.
fn link(event: &TimelineItem) -> Option<Link> {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let id = |issue: &Option<super::wire::IssueRef>| issue.as_ref()?.id.as_deref().map(str::to_owned);
    let (on, off) = (|| "on".to_owned(), String::new);
    let (field, from, to) = match &*event.kind {
        "LabeledEvent" => (format!("label:{}", name(&event.label)?), off(), on()),
        "UnlabeledEvent" => (format!("label:{}", name(&event.label)?), on(), off()),
        "AssignedEvent" => (format!("assignee:{}", Login::of(event.assignee.as_ref())?), off(), on()),
        "UnassignedEvent" => (format!("assignee:{}", Login::of(event.assignee.as_ref())?), on(), off()),
        "MilestonedEvent" => ("milestone".to_owned(), off(), text(&event.milestone_title)),
        "DemilestonedEvent" => ("milestone".to_owned(), text(&event.milestone_title), off()),
        "ParentIssueAddedEvent" => ("parent".to_owned(), off(), id(&event.parent)?),
        "ParentIssueRemovedEvent" => ("parent".to_owned(), id(&event.parent)?, off()),
        "ProjectV2ItemStatusChangedEvent" => {
            (format!("column:{}", event.project.as_ref()?.id), text(&event.previous_status), text(&event.status))
        }
        "ClosedEvent" => ("closed".to_owned(), off(), on()),
        "ReopenedEvent" => ("closed".to_owned(), on(), off()),
        "RenamedTitleEvent" => ("title".to_owned(), text(&event.previous_title), text(&event.current_title)),
        "IssueTypeAddedEvent" => ("type".to_owned(), off(), name(&event.issue_type)?),
        "IssueTypeRemovedEvent" => ("type".to_owned(), name(&event.issue_type)?, off()),
        "IssueTypeChangedEvent" => ("type".to_owned(), name(&event.prev_issue_type)?, name(&event.issue_type)?),
        "IssueFieldAddedEvent" => {
            (format!("field:{}", name(&event.issue_field)?.to_lowercase()), off(), text(&event.value))
        }
        "IssueFieldChangedEvent" => (
            format!("field:{}", name(&event.issue_field)?.to_lowercase()),
            text(&event.previous_value),
            text(&event.new_value),
        ),
        _ => return None,
    };
    Some(Link { field, from, to })
}

/// Whether an event of a project is about this one.
fn about(project: Option<&Project>, event: &TimelineItem) -> bool {
    let named = event.project.as_ref().map(|project| &*project.id);
    project.is_some_and(|project| named == Some(&*project.id))
}

fn names(labels: Option<&Rows<super::wire::Named>>) -> BTreeSet<String> {
    labels.iter().flat_map(|labels| labels.iter()).map(|label| label.name.to_string()).collect()
}

fn logins(people: &Rows<Login>) -> Vec<String> {
    people.iter().filter_map(|who| Login::of(Some(who))).collect()
}

fn blocker(issue: &super::wire::IssueRef) -> Option<Blocker> {
    let finished = issue.state.as_deref() == Some("CLOSED");
    Some(Blocker { native_id: issue.id.as_ref().map(ToString::to_string), key: issue.key()?, finished })
}

/// A linked pull request, and that it was merged: what people do that belongs to this issue.
fn activities_of(pull: &LinkedPull, issue: &str) -> Vec<Observation> {
    let key = format!("{}#{}", pull.repository.name_with_owner, pull.number);
    let of = |native_id: String, at: Millis, kind: &str| {
        Observation::Activity(Box::new(Activity {
            native_id,
            at,
            actor: Login::of(pull.author.as_ref()),
            artifact: Artifact {
                kind: kind.to_owned(),
                reference: key.clone(),
                url: pull.url.to_string(),
                summary: pull.title.to_string(),
            },
            tasks: vec![issue.to_owned()],
            mentions: vec![pull.head_ref_name.to_string(), pull.title.to_string()],
        }))
    };
    let mut activities = vec![of(format!("pull:{}", pull.id), pull.created_at, "pull_request")];
    activities.extend(pull.merged_at.map(|at| of(format!("pull:{}:merged", pull.id), at, "merged")));
    activities
}

/// Everything that events are about, at one moment.
#[derive(Debug, Clone, Default)]
struct State {
    title: String,
    labels: BTreeSet<String>,
    milestone: Option<String>,
    /// In the order they were assigned, as far as it is known.
    assignees: Vec<String>,
    /// The name of the status option; empty for none.
    column: String,
    /// GitHub's reason while it is closed.
    closed: Option<String>,
    /// It was reopened, and its column did not change since.
    reopened: bool,
    /// Where a pull request stands that has no column.
    stage: Option<&'static str>,
    issue_type: Option<String>,
    parent: Option<ParentRef>,
    repository: String,
    /// Values of the organisation's issue fields, by name in lower case.
    issue_fields: BTreeMap<String, String>,
    /// Values of the project's own fields.
    own: BTreeMap<Own, String>,
}

/// The fields of a project that have no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Own {
    Estimate,
    Size,
    Iteration,
    Priority,
    Kind,
    Due,
}

/// How an issue lies among others; of this there is no history.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    has_grandparent: bool,
    has_children: bool,
    has_grandchildren: bool,
}

impl Place {
    fn of(issue: &Issue) -> Self {
        Self {
            has_grandparent: issue.parent.as_ref().is_some_and(|parent| parent.parent.is_some()),
            has_children: issue.sub_issues.iter().next().is_some(),
            has_grandchildren: issue.sub_issues.iter().any(|child| child.sub_issues_summary.total > 0),
        }
    }
}

impl State {
    /// The state of today.
    fn of_issue(project: Option<&Project>, issue: &Issue, item: Option<&Item>) -> Self {
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

    /// What a value is, by the name that [`link`] gives it.
    fn value(&self, project: Option<&Project>, field: &str) -> Option<String> {
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
    fn of_values(project: Option<&Project>, item: &Item) -> Self {
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

fn parent(issue: &super::wire::IssueRef) -> Option<ParentRef> {
    Some(ParentRef { native_id: SmolStr::new(issue.id.as_ref()?), key: issue.key().map(Into::into) })
}

/// What a field of a project is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Status,
    Own(Own),
}

fn role(project: Option<&Project>, value: &FieldValue) -> Option<Role> {
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

fn text_of(project: Option<&Project>, value: &FieldValue, own: Own) -> Option<String> {
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

/// Something that happened, dated: an event, or a value that was set.
#[derive(Debug, Clone)]
struct Step<'a> {
    at: Millis,
    /// Unique within the task.
    origin: String,
    actor: Option<String>,
    observed: bool,
    change: FieldChange<'a>,
}

#[derive(Debug, Clone)]
enum FieldChange<'a> {
    TimelineItem(&'a TimelineItem),
    /// A field of the project was set to what it is now.
    Own(Own, String),
    /// The status was set; what it was before, and after.
    Column(String, String),
    /// It was closed for this reason, without an event that says so.
    Closed(&'a str),
}

impl<'a> Step<'a> {
    fn close(at: Millis, reason: &'a str) -> Self {
        let change = FieldChange::Closed(reason);
        Self { at, origin: format!("closed:{}", at.0), actor: None, observed: false, change }
    }
}

/// Reads one task.
struct Reader<'a> {
    context: &'a Context<'a>,
    project: Option<&'a Project>,
    id: TaskKey,
    created: Millis,
    today: State,
    /// The facts before the next step.
    known: Option<Facts>,
    key: String,
    /// GitHub's name for the type, where it is not that of an issue.
    kind: Option<&'static str>,
    place: Place,
}

impl<'a> Reader<'a> {
    fn new(
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
        }
    }

    /// The steps of an issue, oldest first.
    fn steps(
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
    fn value_steps<'s>(&self, item: &Item) -> Vec<Step<'s>> {
        let mut steps: Vec<Step<'s>> =
            self.unlisted_column(&[], item).into_iter().chain(self.own_steps(item)).collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// The closing of an issue that is closed although its events do not lead there.
    fn unlisted_close(&self, steps: &[Step<'a>], issue: &'a Issue) -> Option<Step<'a>> {
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
    fn unlisted_column<'s>(&self, steps: &[Step<'_>], item: &Item) -> Option<Step<'s>> {
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
    fn own_steps<'s>(&self, item: &Item) -> Vec<Step<'s>> {
        let steps = item.field_values.iter().filter_map(|value| {
            let Role::Own(own) = role(self.project, value)? else { return None };
            let (text, at) = (text_of(self.project, value, own)?, value.updated_at?.max(self.created));
            let field = value.field.as_ref()?.id.as_deref()?;
            let origin = format!("value:{field}:{}", at.0);
            Some(Step { at, origin, actor: None, observed: true, change: FieldChange::Own(own, text) })
        });
        steps.collect()
    }

    fn status_name(&self, name: Option<&str>) -> String {
        let name = name.unwrap_or_default();
        self.project.map_or(name, |project| project.status_today(name)).to_owned()
    }

    /// A task without events of its own.
    fn observe(mut self, author: Option<String>, url: String, updated: Millis, steps: &[Step<'a>]) -> Observation {
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
    fn history(&mut self, author: Option<String>, steps: &[Step<'a>]) -> (Timeline, State) {
        let mut timeline = Timeline::new(self.id.clone(), self.created);
        let today = self.today.clone();
        let end = self.replay(&today, steps, author, &mut timeline);
        (timeline, end)
    }

    /// The facts of today. Of several assignees the first counts, and only the history says who that is.
    fn present(&self, end: &State) -> Facts {
        let mut today = State { reopened: end.reopened, ..self.today.clone() };
        let set = |people: &[String]| people.iter().cloned().collect::<BTreeSet<_>>();
        if set(&end.assignees) == set(&today.assignees) {
            today.assignees.clone_from(&end.assignees);
        }
        self.facts(&today)
    }

    /// A closed issue is finished; else its column says.
    fn status(&self, state: &State) -> (Status, String) {
        let settings = self.context.settings;
        let column = self.status_name(Some(&state.column));
        let shown = |other: &str| if column.is_empty() { other.to_owned() } else { column.clone() };
        if let Some(reason) = &state.closed {
            return (mapping::closed_status(reason), shown(mapping::CLOSED));
        }
        if let Some(stage) = state.stage.filter(|_| column.is_empty()) {
            let usual = if stage == "Draft" { Status::InProgress } else { Status::InReview };
            return (settings.rules.status(&[stage]).unwrap_or(usual), stage.to_owned());
        }
        let status = mapping::map_status(settings, self.project, &column).status;
        let status = if status.is_finished() && state.reopened { Status::Todo } else { status };
        (status, shown(mapping::OPEN))
    }

    fn task_type(&self, state: &State) -> (TaskType, String) {
        let signs = TypeSigns {
            issue_type: state.issue_type.as_deref().or(self.kind),
            field: state.own.get(&Own::Kind).map(String::as_str),
            has_parent: state.parent.is_some(),
            has_grandparent: state.parent.is_some() && self.place.has_grandparent,
            has_children: self.place.has_children,
            has_grandchildren: self.place.has_grandchildren,
        };
        mapping::task_type(self.context.settings, &signs, state.labels.iter())
    }

    /// Takes one side of an event into the state.
    fn set(&self, state: &mut State, event: &TimelineItem, side: Side) {
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
    fn beside(&self, change: &FieldChange<'_>, changes: &[Change]) -> Option<Change> {
        let FieldChange::TimelineItem(event) = change else { return None };
        let linked = |text: String, blocker, added| Some(Change::Linked { text, blocker, added });
        match &*event.kind {
            "BlockedByAddedEvent" | "BlockedByRemovedEvent" => {
                let key = event.blocking_issue.as_ref()?.key()?;
                linked(format!("is blocked by {key}"), Some(key), &*event.kind == "BlockedByAddedEvent")
            }
            "ConnectedEvent" | "DisconnectedEvent" => {
                let pull =
                    [&event.source, &event.subject].into_iter().flatten().find_map(super::wire::IssueRef::key)?;
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
        let settings = self.context.settings;
        let (status, native_status) = self.status(state);
        let (task_type, native_type) = self.task_type(state);
        let milestone = state.milestone.iter().map(|title| format!("milestone:{title}"));
        let labels: BTreeSet<String> = state.labels.iter().cloned().chain(milestone).collect();
        let by_label = || state.labels.iter().find_map(|label| mapping::priority_of_label(label));
        let priority = state.own.get(&Own::Priority).or_else(|| issue_field(state, &PRIORITY_FIELDS));
        Facts {
            key: self.key.clone().into(),
            project: self.project.map_or_else(|| state.repository.clone(), |project| project.name.to_string()).into(),
            task_type,
            native_type: native_type.into(),
            title: state.title.clone().into(),
            status,
            native_status: native_status.into(),
            flag: settings.rules.blocking_label(&state.labels).map(|label| format!("label {label}").into()),
            priority: priority.and_then(|name| mapping::priority(name)).or_else(by_label).map(Into::into),
            assignee: state.assignees.first().map(SmolStr::new),
            labels: labels.into_iter().map(SmolStr::from).collect(),
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

fn text(text: &Option<Box<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn name(named: &Option<super::wire::Named>) -> Option<String> {
    named.as_ref().map(|named| named.name.to_string())
}

fn set_label(state: &mut State, event: &TimelineItem, on: bool) {
    let Some(label) = name(&event.label) else { return };
    if on {
        state.labels.insert(label);
    } else {
        state.labels.remove(&label);
    }
}

fn set_assignee(state: &mut State, event: &TimelineItem, on: bool) {
    let Some(who) = Login::of(event.assignee.as_ref()) else { return };
    state.assignees.retain(|other| *other != who);
    if on {
        state.assignees.push(who);
    }
}

fn set_field(state: &mut State, event: &TimelineItem, value: Option<String>) {
    let Some(field) = name(&event.issue_field) else { return };
    let field = field.to_lowercase();
    match value {
        Some(value) => drop(state.issue_fields.insert(field, value)),
        None => drop(state.issue_fields.remove(&field)),
    }
}

/// The value of the first of these fields of the organisation that has one.
fn issue_field<'a>(state: &'a State, names: &[&str]) -> Option<&'a String> {
    names.iter().find_map(|name| state.issue_fields.get(&name.to_lowercase()))
}

fn estimate(state: &State) -> Option<f64> {
    let number = |text: &String| text.parse().ok().filter(|number: &f64| number.is_finite());
    let own = state.own.get(&Own::Estimate).and_then(number);
    let size = || state.own.get(&Own::Size).and_then(|size| mapping::points_of_size(size));
    let given = || issue_field(state, &ESTIMATE_FIELDS).and_then(|text| mapping::points_of_size(text));
    own.or_else(size).or_else(given)
}

/// What distinguishes the events of one step: part of their ids, never to be changed.
const fn word(what: &Change) -> &'static str {
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

#[cfg(test)]
mod tests;
