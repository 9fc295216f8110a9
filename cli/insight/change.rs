//! Reports what became of an insight: an answer, a review, a handoff that is taken over.
//!
//! With a whole id and a project that is named, the change is written at once, except what a person answers. Else the insight is looked up: by the beginning of its
//! id, for its project, and whether the change is allowed.

use contextcore_core::model::insight::{AuthorKind, InsightAction, identity, lifecycle};
use contextcore_core::model::operation::{InsightUpdate, Operation};
use contextcore_core::model::printable;
use contextcore_core::query::InsightView;
use serde_json::json;

use super::{emit, fields, source};
use crate::app::Context;
use crate::args::{self, Answer, Change, Place, ReadPlace, Speaker};
use crate::failure::{Exit, Failure, Outcome};
use crate::project::{self, NamedBy, Project};
use crate::record::{Done, Recorded, record};
use crate::{lanes, output, person};

/// Reports an action with its reason.
pub(super) async fn run(context: &Context, command: &str, action: &str, change: Change) -> Outcome {
    let json = context.is_json(command)?;
    let Change { id, words, reason, by, evidence, speaker, place } = change;
    let evidence =
        evidence.iter().map(|text| fields::support(text)).collect::<Result<_, _>>().map_err(Failure::usage)?;
    let update = InsightUpdate {
        id,
        action: action.to_owned(),
        text: words.or(reason),
        evidence,
        ..spoken(emit::identified(speaker), by.or_else(|| place.actor.clone()))
    };
    report(context, json, update, &place, true).await
}

/// Answers a question. A person answers, unless an agent is named; `--by` names a person whatever the environment says.
pub(super) async fn answer(context: &Context, command: &str, answer: Answer) -> Outcome {
    let json = context.is_json(command)?;
    let Answer { id, text, by, speaker, place } = answer;
    let by = by.or_else(|| place.actor.clone());
    let speaker = if by.is_some() { speaker } else { emit::identified(speaker) };
    // A person picks a question from the list of all projects, and wants to know that it was right.
    let at_once = place.project.is_some() || speaker.agent.is_some();
    let update =
        InsightUpdate { id, action: InsightAction::Answer.to_string(), text: Some(text), ..spoken(speaker, by) };
    report(context, json, update, &place, at_once).await
}

/// Who does it: the agent, else the person.
pub(super) fn spoken(speaker: Speaker, by: Option<String>) -> InsightUpdate {
    let by = by.or_else(|| speaker.agent.is_none().then(person::name));
    InsightUpdate { by, agent: speaker.agent, session: speaker.session, ..InsightUpdate::default() }
}

async fn report(context: &Context, json: bool, update: InsightUpdate, place: &Place, at_once: bool) -> Outcome {
    let (mut update, cut) = fields::change(update).map_err(Failure::usage)?;
    let (id, project) = subject(context, &update, place, at_once).await?;
    update.id = id;
    let recorded = write(&project, place, vec![(Operation::InsightUpdate(Box::new(update.clone())), None)])?;
    emit::warn(&cut);
    let is_suggestion = update.action == InsightAction::Answer.as_str() && update.agent.is_some();
    if is_suggestion {
        let agent = update.agent.as_deref().unwrap_or_default();
        output::note(&format!(
            "recorded as a suggestion, because the agent `{}` answers; a person answers with --by NAME",
            printable::one_line(agent)
        ));
    }
    let view = json!({
        "id": update.id, "action": update.action, "project": project.name, "by": update.by, "agent": update.agent,
        "lane": recorded.lane.name(), "writer": recorded.writer, "seq": recorded.seq,
    });
    output::print_compact(json, &view, |_| format!("{} {} ({})\n", update.action, update.id, project.described()))?;
    Ok(Exit::Done)
}

/// Writes changes into the spool of a project.
pub(super) fn write(project: &Project, place: &args::Place, changes: Vec<Done>) -> Result<Recorded, Failure> {
    let state = lanes::state_dir(place.state.as_deref())?;
    record(&state, project, place, changes)
}

/// The whole id of the insight that is changed, and its project.
async fn subject(
    context: &Context,
    update: &InsightUpdate,
    place: &Place,
    at_once: bool,
) -> Result<(String, Project), Failure> {
    let named = project::named(place.project.as_deref())?;
    let is_whole = identity::is_id(&update.id);
    if let (true, Some(project)) = (is_whole && at_once, &named) {
        return Ok((update.id.clone(), project.clone()));
    }
    let read = ReadPlace { project: place.project.clone(), state: place.state.clone(), ..ReadPlace::default() };
    let looked_up = source::open(context, &read).await?.insight(&update.id, place.project.as_deref()).await;
    match (looked_up, named) {
        (Ok(view), named) => {
            allow(&view, update, place)?;
            Ok((view.insight.id.clone(), of_insight(&view, named)))
        }
        (Err(failure), Some(project)) if is_whole && failure.exit == Exit::Usage => {
            say_unknown(update);
            Ok((update.id.clone(), project))
        }
        (Err(failure), None) if is_whole && failure.exit == Exit::Usage => {
            say_unknown(update);
            let state = lanes::state_dir(place.state.as_deref())?;
            Ok((update.id.clone(), project::find(context, None, &state)?))
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Says that nothing is known of an insight here, where it was looked up: it may be on its way from another machine.
fn say_unknown(update: &InsightUpdate) {
    let id = printable::one_line(&update.id);
    output::note(&format!("`{id}` is not known here; what is recorded of it counts once it is"));
}

/// The project of an insight, which is also the one to report to.
pub(super) fn of_insight(view: &InsightView, named: Option<Project>) -> Project {
    let name = view.insight.project.clone();
    named.filter(|project| project.name == name).unwrap_or(Project { name, by: NamedBy::Subject })
}

/// Whether what is recorded goes to a service, which knows whose token came with it.
pub(super) fn is_sent_to_service(place: &Place) -> bool {
    let endpoint =
        place.endpoint.clone().or_else(|| lanes::variable("OTEL_EXPORTER_OTLP_ENDPOINT")).unwrap_or_default();
    endpoint.contains("+ops://")
}

/// Fails if nothing would become of a change.
pub(super) fn allow(view: &InsightView, update: &InsightUpdate, place: &Place) -> Result<(), Failure> {
    let insight = &view.insight;
    let action: InsightAction = update.action.parse().map_err(Failure::usage)?;
    let allowed = lifecycle::after(insight.insight_type, insight.status, action, update.agent.is_none());
    let allowed =
        allowed.map(drop).and_then(|()| match action == InsightAction::Confirm && is_own(view, update, place) {
            true => Err("who reported an insight cannot confirm it".to_owned()),
            false => Ok(()),
        });
    allowed.map_err(|why| Failure::usage(format!("{}: {why}; nothing was recorded", insight.id)))
}

/// Whether who makes a change on this machine reported the insight on it, too. Whom a token stands for, the service knows.
fn is_own(view: &InsightView, update: &InsightUpdate, place: &Place) -> bool {
    let author = &view.insight.author;
    let is_local = view.entries.first().is_none_or(|entry| entry.origin.is_none()) && !is_sent_to_service(place);
    let (kind, who) = match &update.agent {
        Some(agent) => (AuthorKind::Agent, Some(agent)),
        None => (AuthorKind::Human, update.by.as_ref()),
    };
    is_local && author.kind == kind && who.is_some() && author.id.as_ref() == who
}
