//! What surrounds the issues: cycles as sprints, projects and initiatives as epics, attachments as activities.

use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::{
    Artifact, Change, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, TaskKey, TaskType,
};
use contextcore_core::{Millis, Result};

use super::super::mapping;
use super::super::wire::{Attachment, Cycle, Initiative, Project};
use super::context::Context;
use crate::rewind::{Timeline, blank, date, lacks};

/// A cycle as a sprint. One past its end that was not completed yet is still running: Linear is about to roll its issues over.
pub(super) fn sprint(context: &Context<'_>, cycle: &Cycle) -> Observation {
    let state = match (cycle.completed_at, cycle.is_future) {
        (Some(_), _) => SprintState::Closed,
        (None, true) => SprintState::Future,
        (None, false) => SprintState::Active,
    };
    let text = |text: &Option<Box<str>>| text.as_deref().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let native_id = cycle.inherited_from.as_ref().map_or(&cycle.id, |original| &original.id).to_string();
    let team = cycle.team.as_ref().and_then(|team| context.reference.team_key(&team.id));
    let facts = SprintFacts {
        name: text(&cycle.name).unwrap_or_else(|| format!("Cycle {}", cycle.number)),
        goal: text(&cycle.description),
        project: team.map(str::to_owned),
        state,
        start: cycle.starts_at,
        end: cycle.ends_at,
        completed: cycle.completed_at,
        exact: true,
    };
    Observation::Sprint { native_id, facts }
}

/// What projects and initiatives have in common: no history but the moments when they were started, completed and cancelled.
struct Epic<'a> {
    id: &'a str,
    key: String,
    url: &'a str,
    project: String,
    native_type: &'static str,
    title: &'a str,
    status: (Status, SmolStr),
    priority: Option<f64>,
    owner: Option<String>,
    creator: Option<String>,
    parent: Option<&'a str>,
    due: Option<&'a str>,
    created: Option<Millis>,
    updated: Millis,
    /// When it was started, completed and cancelled.
    reached: [Option<Millis>; 3],
    /// When it went into the bin.
    trashed: Option<Millis>,
}

pub(super) fn project(context: &Context<'_>, project: &Project) -> Result<Observation> {
    let (name, kind) = project.status.as_ref().map_or(("", ""), |status| (&*status.name, &*status.kind));
    let initiatives = project.initiatives.iter().flat_map(|initiatives| &initiatives.nodes);
    let trashed = project.trashed == Some(true);
    observe(
        context,
        &Epic {
            id: &project.id,
            key: project.slug_id.to_string(),
            url: &project.url,
            project: context.home(project.teams.iter().flat_map(|teams| &teams.nodes)),
            native_type: "Project",
            title: &project.name,
            status: (mapping::project(kind), name.into()),
            priority: project.priority,
            owner: context.one_of(project.lead.as_ref()),
            creator: context.one_of(project.creator.as_ref()),
            parent: initiatives.map(|initiative| &*initiative.id).min(),
            due: project.target_date.as_deref(),
            created: project.created_at,
            updated: project.updated_at,
            reached: [project.started_at, project.completed_at, project.canceled_at],
            trashed: trashed.then_some(project.archived_at.unwrap_or(project.updated_at)),
        },
    )
}

pub(super) fn initiative(context: &Context<'_>, initiative: &Initiative) -> Result<Observation> {
    let key = initiative.identifier.as_deref().filter(|key| !key.is_empty()).unwrap_or(&initiative.slug_id);
    let trashed = initiative.trashed == Some(true);
    observe(
        context,
        &Epic {
            id: &initiative.id,
            key: key.to_owned(),
            url: &initiative.url,
            project: context.home(initiative.teams()),
            native_type: "Initiative",
            title: &initiative.name,
            status: (mapping::initiative(&initiative.status), SmolStr::new(&initiative.status)),
            priority: None,
            owner: context.one_of(initiative.owner.as_ref()),
            creator: context.one_of(initiative.creator.as_ref()),
            parent: initiative.parent_initiative.as_ref().map(|parent| &*parent.id),
            due: initiative.target_date.as_deref(),
            created: initiative.created_at,
            updated: initiative.updated_at,
            reached: [initiative.started_at, initiative.completed_at, initiative.canceled_at],
            trashed: trashed.then_some(initiative.archived_at.unwrap_or(initiative.updated_at)),
        },
    )
}

fn observe(context: &Context<'_>, epic: &Epic<'_>) -> Result<Observation> {
    let created = epic.created.ok_or_else(|| lacks("createdAt"))?;
    let mut timeline = Timeline::new(TaskKey::new(&context.settings.source, epic.id), created);
    let present = Facts {
        task_type: TaskType::Epic,
        native_type: epic.native_type.into(),
        title: epic.title.into(),
        status: epic.status.0,
        native_status: epic.status.1.clone(),
        priority: epic.priority.and_then(mapping::priority),
        assignee: epic.owner.as_deref().map(SmolStr::new),
        parent: epic.parent.map(|id| ParentRef { native_id: id.into(), key: None }),
        due: epic.due.and_then(date),
        ..blank(&epic.key, Some(&epic.project))
    };
    epic_history(&mut timeline, epic, &present);
    let task = TaskObservation {
        native_id: epic.id.to_owned(),
        url: epic.url.to_owned(),
        reporter: epic.creator.clone(),
        updated: epic.updated,
        history: timeline.into_events(),
        present,
        blockers: Vec::new(),
    };
    Ok(Observation::Task(Box::new(task)))
}

/// The events of an epic. One that was ever started, completed or cancelled is taken to have begun on the backlog, as most do:
/// Linear keeps no history of it.
fn epic_history(timeline: &mut Timeline, epic: &Epic<'_>, present: &Facts) {
    const STATUSES: [(Status, &str); 3] =
        [(Status::InProgress, "In Progress"), (Status::Done, "Completed"), (Status::Cancelled, "Canceled")];
    let backlog = || Facts { status: Status::Backlog, native_status: "Backlog".into(), ..present.clone() };
    match epic.reached.iter().any(Option::is_some) {
        true => timeline.assume(epic.creator.clone(), backlog()),
        false => timeline.create(epic.creator.clone(), present.clone()),
    }
    for (at, (status, usual)) in epic.reached.iter().zip(STATUSES) {
        let Some(at) = at else { continue };
        let native = if present.status == status { present.native_status.clone() } else { usual.into() };
        timeline.push(status.as_str(), *at, None, Change::Status { status, native });
    }
    if let Some(at) = epic.trashed {
        timeline.push(&format!("trashed:{}", at.0), at, None, Change::Deleted);
    }
}

/// An attachment that leads to a pull request or a commit.
pub(super) fn activity(context: &Context<'_>, attachment: &Attachment) -> Option<Observation> {
    let (kind, reference) = mapping::artifact(&attachment.url)?;
    let artifact = Artifact {
        kind: kind.to_owned(),
        reference,
        url: attachment.url.to_string(),
        summary: attachment.title.to_string(),
    };
    Some(Observation::Activity(Box::new(Activity {
        native_id: format!("attachment:{}", attachment.id),
        at: attachment.created_at.unwrap_or(attachment.updated_at),
        actor: context.one_of(attachment.creator.as_ref()),
        artifact,
        tasks: attachment.issue.iter().map(|issue| issue.id.to_string()).collect(),
        mentions: vec![attachment.title.to_string()],
        author: None,
    })))
}
