//! From GitHub's records to the common model: pure, and the place where every reading of GitHub's habits is written down.
//!
//! [`task`] is the entry point. GitHub lists what happened and no first values: [`crate::rewind`] finds them. [`State`] is what the
//! events are about, and [`Reader`] says what a state means and what an event does to it.
//!
//! - A project's Status has events, with the names its options had then. All other fields of a project have none: the value has
//!   the date it was last set, which becomes an observed event of that moment; what it was before is unknown.
//! - A closed issue is finished whatever its column says. An open one in a finished column counts as finished too (people
//!   forget to close), unless it was reopened since.

use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::{Artifact, Blocker, SprintFacts, SprintState};
use contextcore_core::{Error, ErrorKind, Millis, Result};

use super::reference::Project;
use super::sprints;
use super::wire::{Content, Draft, Issue, IssueRef, Item, LinkedPull, Login, Node, PullRequest, Record};
use crate::chain;
use crate::rewind::{lacks, unreadable};
use order::{about, in_order, link};
use reader::{Reader, Step};
use state::{Place, State, logins, names};

mod meanings;
mod mended;
mod order;
mod reader;
mod state;

pub(super) use reader::Context;

/// What a record says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) observations: Vec<Observation>,
    /// Entries of its history that cannot be read.
    pub(super) left_out: usize,
}

impl Read {
    /// The key of its task.
    pub(super) fn key(&self) -> Option<&str> {
        self.observations.iter().find_map(|observation| match observation {
            Observation::Task(task) => Some(task.present.key.as_str()),
            _ => None,
        })
    }
}

/// Reads a record of the streams of tasks. Entries of its history that cannot be read are left out.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it is not such a record, or lacks the time of its creation or of an event.
pub(super) fn task(context: &Context<'_>, json: &str) -> Result<Read> {
    let (record, left_out) = mended::record(json).map_err(|error| unreadable(&error))?;
    Ok(Read { observations: observations(context, record)?, left_out })
}

fn observations(context: &Context<'_>, mut record: Record) -> Result<Vec<Observation>> {
    if let Some(list) = mended::absent_list(&record) {
        return Err(lacks(list));
    }
    record.complete();
    context.transfers.rename_record(&mut record);
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

fn blocker(issue: &IssueRef) -> Option<Blocker> {
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
            author: pull.author.as_ref().map(Login::author),
        }))
    };
    let mut activities = vec![of(format!("pull:{}", pull.id), pull.created_at, "pull_request")];
    activities.extend(pull.merged_at.map(|at| of(format!("pull:{}:merged", pull.id), at, "merged")));
    activities
}

#[cfg(test)]
mod tests;
