//! From Linear's records to the common model: pure, and the place where every reading of Linear's habits is written down.
//!
//! [`record`] is the entry point. Linear lists changes, each with the value before it, and no first values: [`crate::rewind`]
//! finds them. One function, [`Reader::set`], says what a change means in either direction, and the facts before and after are
//! compared, so the two passes cannot disagree.
//!
//! - States come from the *spans* (`stateHistory`), which are the complete sequence, the first state included. The history says
//!   who, and where the spans do not reach, what. Where they disagree the spans count, and the difference is counted.
//! - One act may change several fields: one event for each, with the origin `act:field`. An act may be added to after it
//!   happened; then the same id comes again and replaces what was known.
//! - Archiving is not deletion; moving to the bin is.

mod change;
mod context;
mod plan;
mod states;

use std::collections::BTreeSet;

use contextcore_core::model::agents::{self, AgentAssisted};
use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::{Blocker, Change, Facts, ParentRef, SmolStr, Status, TaskKey};
use contextcore_core::{Millis, Result};

use super::mapping::{self, Shape};
use super::rows;
use super::wire::{Act, Connection, Issue, IssueRecord, Link, Record, Ref, StateValue};
use crate::chain;
use crate::rewind::{self, Occasion, Rewind, Side, Timeline, blank, date, lacks, unreadable};

use change::{FieldChange, Id, Swap, changes_of, word};
pub(super) use context::Context;
use states::{Entered, actor, states};

/// The status of an issue that was made into a project.
const CONVERTED: &str = "Converted to project";

/// What a record says.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) observations: Vec<Observation>,
    /// How many state changes of its history the spans contradict.
    pub(super) disputes: u64,
}

impl From<Observation> for Read {
    fn from(observation: Observation) -> Self {
        Self { observations: vec![observation], ..Self::default() }
    }
}

/// Reads a record of any stream.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Protocol`] when it is not such a record, or lacks its id, its key or its creation. An entry of
/// its lists that cannot be read costs itself.
pub(super) fn record(context: &Context<'_>, json: &str) -> Result<Read> {
    let record = rows::record(json).map_err(|error| unreadable(&error))?;
    match record {
        Record::Issue(record) => issue(context, &record),
        Record::Cycle(cycle) => Ok(plan::sprint(context, &cycle).into()),
        Record::Project(project) => plan::project(context, &project).map(Read::from),
        Record::Initiative(initiative) => plan::initiative(context, &initiative).map(Read::from),
        Record::Attachment(attachment) => {
            let observations = plan::activity(context, &attachment).into_iter().collect();
            Ok(Read { observations, ..Read::default() })
        }
    }
}

/// A dated change.
#[derive(Debug, Clone)]
struct Step<'a> {
    at: Millis,
    /// What the origins of its events begin with.
    origin: String,
    actor: Option<String>,
    change: FieldChange<'a>,
}

/// The facts of an issue at one moment, with what lies behind them.
#[derive(Debug, Clone)]
struct State {
    facts: Facts,
    state: String,
    labels: BTreeSet<String>,
    milestone: Option<String>,
    parent: Option<String>,
    project: Option<String>,
    converted: bool,
}

/// Reads one issue.
struct Reader<'a> {
    context: &'a Context<'a>,
    issue: &'a Issue,
    has_parts: bool,
    /// Former keys, the oldest first.
    former: Vec<&'a str>,
    /// States that the record itself shows, for those that are not listed.
    shown: Vec<&'a StateValue>,
}

/// Reads a record of an issue.
fn issue(context: &Context<'_>, record: &IssueRecord) -> Result<Read> {
    let issue = &record.issue;
    let acts: Vec<&Act> = whole(&issue.history, &record.history).filter(|act| act.is_dated()).collect();
    let id = issue.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| lacks("id"))?;
    let name = issue.identifier.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| lacks("identifier"))?;
    let created = issue.created_at.ok_or_else(|| lacks("createdAt"))?;
    let mut timeline = Timeline::new(TaskKey::new(&context.settings.source, id), created);
    let mut reader = Reader {
        context,
        issue,
        has_parts: issue.children.as_ref().is_some_and(|children| !children.nodes.is_empty()),
        former: issue.previous_identifiers.iter().flatten().map(|key| &**key).collect(),
        shown: issue
            .state
            .iter()
            .chain(acts.iter().flat_map(|act| act.from_state.iter().chain(&act.to_state)))
            .collect(),
    };
    let acts = in_order(&acts)?;
    let (states, disputes) = states(context, &acts, whole(&issue.state_history, &record.spans).collect());
    let present = reader.present(name, acts.iter().any(|(_, act)| act.to_converted_project_id.is_some()));
    let creator = issue.creator.as_ref().map(|who| context.person(&who.id));
    let steps = reader.steps(&acts, &states);
    reader.replay(&present, &steps, creator.clone(), &mut timeline);
    acts.iter().for_each(|(at, act)| reader.links(*at, act, &mut timeline));
    reader.deletions(&acts, present.facts.status.is_finished(), &mut timeline);
    for comment in whole(&issue.comments, &record.comments) {
        let actor = comment.user.as_ref().map(|who| context.person(&who.id));
        let text = || comment.body.as_ref().map(ToString::to_string);
        timeline.comment(context.settings.comments, &comment.id, comment.created_at, actor, text);
    }
    let task = TaskObservation {
        native_id: id.to_owned(),
        url: issue.url.as_deref().map_or_else(|| url(context, name), str::to_owned),
        reporter: creator,
        updated: issue.updated_at.unwrap_or(created),
        history: timeline.into_events(),
        present: present.facts,
        blockers: whole(&issue.inverse_relations, &record.links).filter_map(|link| blocker(context, link)).collect(),
    };
    let ended = states.last().map(|entered| entered.at).filter(|_| task.present.status.is_finished());
    let delegation = delegation(issue, id, ended);
    Ok(Read { observations: std::iter::once(Observation::Task(Box::new(task))).chain(delegation).collect(), disputes })
}

fn url(context: &Context<'_>, identifier: &str) -> String {
    format!("https://linear.app/{}/issue/{identifier}", context.reference.organization.url_key)
}

/// A whole list: what came with the issue, and the rest.
fn whole<'a, T>(first: &'a Option<Connection<T>>, rest: &'a [T]) -> impl Iterator<Item = &'a T> {
    first.iter().flat_map(|page| &page.nodes).chain(rest)
}

/// The acts in the order they happened, each once. They come newest first: of those of one moment the last is the earliest.
fn in_order<'a>(acts: &[&'a Act]) -> Result<Vec<(Millis, &'a Act)>> {
    rewind::in_order(acts.iter().rev().copied(), "history", |act| act.id.as_deref(), |act| act.created_at)
}

impl<'a> Reader<'a> {
    /// The facts of today.
    fn present(&self, name: &str, converted: bool) -> State {
        let issue = self.issue;
        let id = |field: &Option<Ref>| field.as_ref().map(|other| other.id.to_string());
        let team = issue.team.as_ref().and_then(|team| self.context.reference.team_key(&team.id));
        let shown = issue.labels.iter().flat_map(|labels| &labels.nodes).map(|label| label.id.to_string());
        let listed = issue.label_ids.iter().flatten().map(ToString::to_string);
        let mut state = State {
            facts: blank(name, team),
            state: issue.state.as_ref().and_then(|state| state.id.as_deref()).unwrap_or_default().to_owned(),
            labels: listed.chain(shown).collect(),
            milestone: id(&issue.project_milestone),
            parent: issue.parent.as_ref().map(|parent| parent.id.to_string()),
            project: id(&issue.project),
            converted,
        };
        let facts = &mut state.facts;
        facts.title = issue.title.as_deref().unwrap_or_default().into();
        facts.priority = issue.priority.and_then(mapping::priority);
        facts.assignee = issue.assignee.as_ref().map(|who| self.context.person(&who.id).into());
        facts.estimate = issue.estimate;
        facts.due = issue.due_date.as_deref().and_then(date);
        facts.sprints = self.sprints(issue.cycle.as_ref().map(|cycle| &*cycle.id));
        self.derive(&mut state);
        state
    }

    fn sprints(&self, cycle: Id<'_>) -> Vec<SmolStr> {
        cycle.map(|id| self.context.reference.cycle(id).into()).into_iter().collect()
    }

    /// Derives the facts that follow from the rest of the state.
    fn derive(&self, state: &mut State) {
        let settings = self.context.settings;
        let labels = state.labels.iter().map(|id| self.label(id));
        let labels: BTreeSet<String> =
            labels.chain(state.milestone.iter().map(|id| self.context.milestone(id))).collect();
        let facts = &mut state.facts;
        facts.labels = labels.into_iter().map(SmolStr::from).collect();
        facts.flag = settings.rules.blocking_label(&facts.labels).map(|label| format!("label {label}").into());
        let shape = Shape { labels: &facts.labels, has_parent: state.parent.is_some(), has_parts: self.has_parts };
        (facts.task_type, facts.native_type) = mapping::task_type(settings, shape);
        facts.parent = state.parent.as_ref().or(state.project.as_ref()).map(|id| self.parent(id));
        (facts.status, facts.native_status) = match state.converted {
            true => (Status::Cancelled, SmolStr::new_static(CONVERTED)),
            false => self.context.state(&state.state, self.shown.iter().copied()),
        };
    }

    /// A label's name, by the reference data or as the issue shows it.
    fn label(&self, id: &str) -> String {
        let shown = self.issue.labels.iter().flat_map(|labels| &labels.nodes);
        let shown = shown.into_iter().find(|label| *label.id == *id).map(|label| label.name.to_string());
        shown.filter(|_| !self.context.reference.labels.contains_key(id)).unwrap_or_else(|| self.context.label(id))
    }

    fn parent(&self, id: &str) -> ParentRef {
        let shown = self.issue.parent.as_ref().filter(|parent| *parent.id == *id);
        let key = shown.and_then(|parent| parent.identifier.as_deref()).map(SmolStr::new);
        ParentRef { native_id: id.into(), key }
    }

    /// Takes one side of a change into the state.
    fn set(&self, state: &mut State, change: FieldChange<'_>, side: Side) {
        let owned = |swap: Swap<Id<'_>>| swap.side(side).map(str::to_owned);
        match change {
            FieldChange::State(swap) => state.state = owned(swap).unwrap_or_default(),
            FieldChange::Assignee(swap) => {
                state.facts.assignee = swap.side(side).map(|id| self.context.person(id).into())
            }
            FieldChange::Cycle(swap) => state.facts.sprints = self.sprints(swap.side(side)),
            FieldChange::Estimate(swap) => state.facts.estimate = swap.side(side),
            FieldChange::Priority(swap) => state.facts.priority = swap.side(side).and_then(mapping::priority),
            FieldChange::Parent(swap) => state.parent = owned(swap),
            FieldChange::Project(swap) => state.project = owned(swap),
            FieldChange::Milestone(swap) => state.milestone = owned(swap),
            FieldChange::Title(swap) => state.facts.title = owned(swap).unwrap_or_default().into(),
            FieldChange::Due(swap) => state.facts.due = swap.side(side).and_then(date),
            FieldChange::Team(swap) => self.set_team(state, swap, side),
            FieldChange::Labels { added, removed } => {
                let (come, gone) = if side == Side::After { (added, removed) } else { (removed, added) };
                let gone: BTreeSet<&str> = gone.iter().flat_map(|ids| ids.iter()).map(|id| &**id).collect();
                state.labels.retain(|id| !gone.contains(id.as_str()));
                state.labels.extend(come.iter().flat_map(|ids| ids.iter()).map(ToString::to_string));
            }
            FieldChange::Converted => state.converted = side == Side::After,
        }
        if change.is_derived_from() {
            self.derive(state);
        }
    }

    /// An issue that moves to another team gets another key; the former ones are listed, without saying since when.
    fn set_team(&self, state: &mut State, swap: Swap<Id<'_>>, side: Side) {
        let Some(team) = swap.side(side).and_then(|id| self.context.reference.team_key(id)) else { return };
        let keys: Vec<&str> = self.former.iter().copied().chain(self.issue.identifier.as_deref()).collect();
        let here = keys.iter().position(|key| *key == state.facts.key).unwrap_or(keys.len());
        let ours = |key: &&&str| key.rsplit_once('-').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(team));
        let key = match side {
            Side::Before => keys[..here].iter().rev().find(ours),
            Side::After => keys.iter().skip(here + 1).find(ours),
        };
        if let Some(key) = key {
            state.facts.key = (*key).into();
        }
        state.facts.project = team.into();
    }

    /// Every change, oldest first. Of one moment the state comes last: it is what the others led to.
    fn steps(&self, acts: &[(Millis, &'a Act)], states: &'a [Entered]) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        for (at, act) in acts {
            let origin = act.id.as_deref().unwrap_or_default();
            let actor = actor(self.context, act);
            let step = |change| Step { at: *at, origin: origin.to_owned(), actor: actor.clone(), change };
            steps.extend(changes_of(act).into_iter().map(step));
        }
        steps.extend(states.iter().map(|entered| {
            let Entered { at, origin, actor, from, to } = entered;
            // What came before an unknown is the unknown itself: nothing is guessed.
            let swap = Swap { from: from.as_deref().or(Some(to)), to: Some(to.as_str()) };
            Step { at: *at, origin: origin.clone(), actor: actor.clone(), change: FieldChange::State(swap) }
        }));
        steps.sort_by_key(|step| step.at);
        chain::order(&mut steps, |step| step.at, |step| step.change.link(), |_| None);
        steps
    }

    /// Adds the links that an act made or removed. The codes are not documented: `ab` and `rb` are known to be about blockers,
    /// the others are given as they are. That a blocker was completed (`br`) is no change of this issue.
    fn links(&self, at: Millis, act: &Act, timeline: &mut Timeline) {
        let links = act.relation_changes.iter().flatten().enumerate().filter(|(_, change)| &*change.code != "br");
        for (n, change) in links {
            let blocks = matches!(&*change.code, "ab" | "rb");
            let text = match blocks {
                true => format!("is blocked by {}", change.identifier),
                false => format!("link {} {}", change.code, change.identifier),
            };
            let blocker = blocks.then(|| change.identifier.to_string());
            let linked = Change::Linked { text, blocker, added: !change.code.starts_with('r') };
            let origin = format!("{}:relation:{n}", act.id.as_deref().unwrap_or_default());
            timeline.push(&origin, at, actor(self.context, act), linked);
        }
    }

    /// Adds when it was moved to the bin and restored. Whether Linear shows it in the bin today decides how that ends. What is
    /// archived unfinished ends as well.
    fn deletions(&self, acts: &[(Millis, &Act)], finished: bool, timeline: &mut Timeline) {
        let mut moves: Vec<_> = acts.iter().filter_map(|(at, act)| Some((*at, *act, act.trashed?))).collect();
        let ends_gone = moves.last().is_some_and(|(.., gone)| *gone);
        let is_gone = self.issue.trashed == Some(true);
        if ends_gone && !is_gone {
            moves.pop();
        }
        for (at, act, gone) in moves {
            let change = if gone { Change::Deleted } else { Change::Restored };
            let origin = format!("{}:trashed", act.id.as_deref().unwrap_or_default());
            timeline.push(&origin, at, actor(self.context, act), change);
        }
        if is_gone && !ends_gone {
            let at = self.issue.archived_at.or(self.issue.updated_at).unwrap_or(timeline.created);
            timeline.push(&format!("trashed:{}", at.0), at, None, Change::Deleted);
        }
        if let Some(at) = self.issue.archived_at.filter(|_| !is_gone && !finished) {
            timeline.push(&format!("archived:{}", at.0), at, None, Change::Deleted);
        }
    }
}

impl<'a> Rewind for Reader<'a> {
    type State = State;
    type Step = Step<'a>;

    fn facts(&self, state: &State) -> Facts {
        state.facts.clone()
    }

    fn undo(&mut self, state: &mut State, step: &Step<'a>) {
        self.set(state, step.change, Side::Before);
    }

    /// One event for each field that changed, the first under the field's own name.
    fn redo(&mut self, state: &mut State, step: &Step<'a>, timeline: &mut Timeline) {
        let before = state.facts.clone();
        self.set(state, step.change, Side::After);
        let own = format!("{}:{}", step.origin, step.change.field());
        let occasion = Occasion { at: step.at, actor: step.actor.as_deref(), observed: false };
        timeline.push_changes(occasion, &before, &state.facts, |change| match word(change) {
            word if word == step.change.field() => own.clone(),
            word => format!("{own}:{word}"),
        });
    }
}

/// The agent that an issue is delegated to, as evidence of its last change when that was seen first, or of its end: the history of
/// delegates would cost a tenth more points. One that was taken back before is not known.
fn delegation(issue: &Issue, id: &str, ended: Option<Millis>) -> Option<Observation> {
    let who = issue.delegate.as_ref()?;
    let changed = issue.updated_at.or(issue.created_at)?;
    Some(Observation::Activity(Box::new(Activity {
        native_id: format!("delegate:{id}:{}", who.id),
        at: ended.map_or(changed, |ended| ended.min(changed)),
        actor: None,
        artifact: agents::artifact(AgentAssisted::Delegated, &who.name, issue.url.as_deref().unwrap_or_default()),
        tasks: vec![id.to_owned()],
        mentions: Vec::new(),
        author: None,
    })))
}

/// The other end of a link, when it blocks this issue.
fn blocker(context: &Context<'_>, link: &Link) -> Option<Blocker> {
    let other = link.issue.as_ref().filter(|_| &*link.kind == "blocks" && link.archived_at.is_none())?;
    let state = other.state.as_ref();
    let finished =
        state.and_then(|state| state.id.as_deref()).is_some_and(|id| context.state(id, state).0.is_finished());
    Some(Blocker { native_id: Some(other.id.to_string()), key: other.identifier.to_string(), finished })
}

#[cfg(test)]
mod tests;
