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

use std::collections::BTreeSet;

use contextcore_core::model::observation::{Activity, Observation, TaskObservation};
use contextcore_core::model::time::MINUTE;
use contextcore_core::model::{
    Artifact, Blocker, Change, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, TaskKey, TaskType,
};
use contextcore_core::{Millis, Result};

use super::mapping::{self, Shape};
use super::reference::Reference;
use super::rows;
use super::settings::Settings;
use super::wire::{
    Act, Attachment, Cycle, Initiative, Issue, IssueRecord, Link, OneOf, Project, Record, Ref, Span, StateValue,
    TeamRef,
};
use crate::chain::{self, Link as Edge};
use crate::rewind::{self, Occasion, Rewind, Side, Timeline, blank, date, lacks, unreadable};

/// An act and the span it began are at most so far apart: acts of one person within minutes are merged into one.
const TOLERANCE: i64 = 10 * MINUTE;
/// The status of an issue that was made into a project.
const CONVERTED: &str = "Converted to project";

/// What a record is read with.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) reference: &'a Reference,
}

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
        Record::Issue(record) => issue(context, *record),
        Record::Cycle(cycle) => Ok(sprint(context, &cycle).into()),
        Record::Project(project) => self::project(context, &project).map(Read::from),
        Record::Initiative(initiative) => self::initiative(context, &initiative).map(Read::from),
        Record::Attachment(attachment) => {
            let observations = activity(context, &attachment).into_iter().collect();
            Ok(Read { observations, ..Read::default() })
        }
    }
}

/// What the ids in a record mean.
impl Context<'_> {
    /// A state: its common status and its name. One that is not listed goes by its id, as work not yet begun.
    fn state<'s>(&self, id: &str, shown: impl IntoIterator<Item = &'s StateValue>) -> (Status, SmolStr) {
        if let Some(known) = self.reference.states.get(id) {
            let mapped = mapping::state(self.settings, id, &known.name, &known.kind);
            return (mapped.status, SmolStr::new(&known.name));
        }
        let shown = shown.into_iter().find(|state| state.id.as_deref() == Some(id));
        let word = |text: Option<&Box<str>>| text.map(ToString::to_string);
        let name = word(shown.and_then(|state| state.name.as_ref())).unwrap_or_else(|| id.to_owned());
        let kind = word(shown.and_then(|state| state.kind.as_ref())).unwrap_or_default();
        (mapping::state(self.settings, id, &name, &kind).status, name.into())
    }

    fn person(&self, id: &str) -> String {
        self.reference.users.get(id).map_or(id, |name| name).to_owned()
    }

    /// Somebody by id, else by the name that was shown.
    fn one_of(&self, who: Option<&OneOf>) -> Option<String> {
        let who = who?;
        who.id.as_deref().map(|id| self.person(id)).or_else(|| who.name.as_ref().map(ToString::to_string))
    }

    fn label(&self, id: &str) -> String {
        self.reference.labels.get(id).map_or(id, |name| name).to_owned()
    }

    fn milestone(&self, id: &str) -> String {
        format!("milestone:{}", self.reference.milestones.get(id).map_or(id, |name| name))
    }

    fn team(&self, team: &TeamRef) -> Option<String> {
        let listed = team.id.as_deref().and_then(|id| self.reference.team_key(id));
        listed.or(team.key.as_deref()).map(str::to_owned)
    }

    /// The team that something of several teams is counted under: of those that are read the first by name, else the workspace.
    fn home<'t>(&self, teams: impl Iterator<Item = &'t TeamRef>) -> String {
        let mut keys: Vec<String> = teams.filter_map(|team| self.team(team)).collect();
        keys.sort_by_key(|key| (!self.settings.wants(key), key.clone()));
        keys.into_iter().next().unwrap_or_else(|| self.reference.organization.url_key.to_string())
    }
}

/// A value before and after a change.
#[derive(Debug, Clone, Copy)]
struct Swap<T> {
    from: T,
    to: T,
}

impl<T: Copy> Swap<T> {
    fn side(self, side: Side) -> T {
        match side {
            Side::Before => self.from,
            Side::After => self.to,
        }
    }
}

type Id<'a> = Option<&'a str>;
type Ids<'a> = Option<&'a [Box<str>]>;

/// A change of one field.
#[derive(Debug, Clone, Copy)]
enum FieldChange<'a> {
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
    fn link(self) -> Option<Edge> {
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

    /// The name of the field: part of the ids of events, never to be changed.
    const fn field(self) -> &'static str {
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
fn changes_of(act: &Act) -> Vec<FieldChange<'_>> {
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
fn state_change(act: &Act) -> Option<Swap<Option<Box<str>>>> {
    let shown = |state: &'_ Option<StateValue>| state.as_ref().and_then(|state| state.id.clone());
    let from = act.from_state_id.clone().or_else(|| shown(&act.from_state));
    let to = act.to_state_id.clone().or_else(|| shown(&act.to_state));
    (from != to && to.is_some()).then_some(Swap { from, to })
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
fn issue(context: &Context<'_>, record: IssueRecord) -> Result<Read> {
    let (issue, mut acts, spans, links, comments) = assemble(record);
    acts.retain(Act::is_dated);
    let id = issue.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| lacks("id"))?;
    let name = issue.identifier.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| lacks("identifier"))?;
    let created = issue.created_at.ok_or_else(|| lacks("createdAt"))?;
    let mut timeline = Timeline::new(TaskKey::new(&context.settings.source, id), created);
    let mut reader = Reader {
        context,
        issue: &issue,
        has_parts: issue.children.as_ref().is_some_and(|children| !children.nodes.is_empty()),
        former: issue.previous_identifiers.iter().flatten().map(|key| &**key).collect(),
        shown: issue
            .state
            .iter()
            .chain(acts.iter().flat_map(|act| act.from_state.iter().chain(&act.to_state)))
            .collect(),
    };
    let acts = in_order(&acts)?;
    let (states, disputes) = states(context, &acts, spans);
    let present = reader.present(name, acts.iter().any(|(_, act)| act.to_converted_project_id.is_some()));
    let creator = issue.creator.as_ref().map(|who| context.person(&who.id));
    let steps = reader.steps(&acts, &states);
    reader.replay(&present, &steps, creator.clone(), &mut timeline);
    acts.iter().for_each(|(at, act)| reader.links(*at, act, &mut timeline));
    reader.deletions(&acts, present.facts.status.is_finished(), &mut timeline);
    for comment in &comments {
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
        blockers: links.iter().filter_map(|link| blocker(context, link)).collect(),
    };
    Ok(Read { observations: vec![Observation::Task(Box::new(task))], disputes })
}

fn url(context: &Context<'_>, identifier: &str) -> String {
    format!("https://linear.app/{}/issue/{identifier}", context.reference.organization.url_key)
}

type Parts = (Issue, Vec<Act>, Vec<Span>, Vec<Link>, Vec<super::wire::Comment>);

/// The issue and its whole lists: what came with it, and the rests.
fn assemble(record: IssueRecord) -> Parts {
    fn join<T>(first: Option<super::wire::Connection<T>>, rest: Vec<T>) -> Vec<T> {
        first.into_iter().flat_map(|page| page.nodes).chain(rest).collect()
    }
    let IssueRecord { mut issue, history, spans, links, comments } = record;
    let history = join(issue.history.take(), history);
    let spans = join(issue.state_history.take(), spans);
    let links = join(issue.inverse_relations.take(), links);
    let comments = join(issue.comments.take(), comments);
    (issue, history, spans, links, comments)
}

/// The acts in the order they happened, each once. They come newest first: of those of one moment the last is the earliest.
fn in_order(acts: &[Act]) -> Result<Vec<(Millis, &Act)>> {
    rewind::in_order(acts.iter().rev(), "history", |act| act.id.as_deref(), |act| act.created_at)
}

/// A state that was entered.
#[derive(Debug, Clone, PartialEq)]
struct Entered {
    at: Millis,
    origin: String,
    actor: Option<String>,
    from: Option<String>,
    to: String,
}

/// The states entered after the first, oldest first, and how many state changes of the history the spans contradict.
fn states(context: &Context<'_>, acts: &[(Millis, &Act)], mut spans: Vec<Span>) -> (Vec<Entered>, u64) {
    spans.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
    spans.dedup_by(|a, b| a.id == b.id);
    let mut sequence: Vec<Entered> = acts.iter().filter_map(|(at, act)| entered(context, *at, act)).collect();
    let link = |entered: &Entered| {
        let (from, to) = (entered.from.clone().unwrap_or_default(), entered.to.clone());
        Some(Edge { field: "state".to_owned(), from, to })
    };
    chain::order(&mut sequence, |entered| entered.at, link, |_| None);
    spans.chunk_by_mut(|a, b| a.started_at == b.started_at).for_each(|spans| order_spans(spans, &sequence));
    let Some(first) = spans.first() else { return (sequence, 0) };
    // What lies before the first span comes from the history.
    let reach = first.started_at.plus(-TOLERANCE);
    let early = sequence.iter().position(|entered| entered.at >= reach).unwrap_or(sequence.len());
    let mut late = sequence.split_off(early);
    let mut before = sequence.last().map(|entered| entered.to.clone());
    for (n, span) in spans.iter().enumerate() {
        let to = span.state_id.to_string();
        let is_first = n == 0 && before.is_none();
        let act = (!is_first).then(|| nearest(&late, span)).flatten().map(|at| late.remove(at));
        if let Some(act) = &act {
            sequence.extend(passed_through(&mut late, act, before.as_deref()));
            before = sequence.last().map(|entered| entered.to.clone()).or(before);
        }
        if !is_first && before.as_ref() != Some(&to) {
            let (origin, actor) =
                act.map_or_else(|| (format!("span:{}", span.id), None), |act| (act.origin, act.actor));
            sequence.push(Entered { at: span.started_at, origin, actor, from: before.clone(), to: to.clone() });
        }
        before = Some(to);
    }
    (sequence, late.len() as u64)
}

/// Orders the spans of one moment as the acts of that moment, which are in order, led from one to the next.
fn order_spans(spans: &mut [Span], acts: &[Entered]) {
    let Some(moment) = spans.first().map(|span| span.started_at).filter(|_| spans.len() > 1) else { return };
    let acts: Vec<&Entered> = acts.iter().filter(|entered| entered.at == moment).collect();
    let first = acts.first().and_then(|entered| entered.from.as_deref());
    let states = first.into_iter().chain(acts.iter().map(|entered| entered.to.as_str()));
    // The state before the first act is among the spans only where the issue was created in that moment.
    let states: Vec<&str> = states.skip(usize::from(acts.len() >= spans.len())).collect();
    let mut ordered = 0;
    for state in states {
        if let Some(at) = spans[ordered..].iter().position(|span| &*span.state_id == state) {
            spans[ordered..=ordered + at].rotate_right(1);
            ordered += 1;
        }
    }
}

/// The states that were passed through in the moment of an act, if acts of that moment lead from the state before to it: Linear
/// keeps no span without a length.
fn passed_through(acts: &mut Vec<Entered>, to: &Entered, before: Option<&str>) -> Vec<Entered> {
    let mut left = acts.clone();
    let mut passed: Vec<Entered> = Vec::new();
    loop {
        let from = passed.last().map_or(&to.from, |entered| &entered.from);
        if from.as_deref() == before {
            *acts = left;
            passed.reverse();
            return passed;
        }
        let leads = |entered: &Entered| entered.at == to.at && Some(&entered.to) == from.as_ref();
        match left.iter().rposition(leads) {
            Some(at) => passed.push(left.remove(at)),
            None => return Vec::new(),
        }
    }
}

fn entered(context: &Context<'_>, at: Millis, act: &Act) -> Option<Entered> {
    let Swap { from, to } = state_change(act)?;
    let origin = act.id.as_deref().unwrap_or_default().to_owned();
    Some(Entered { at, origin, actor: actor(context, act), from: from.map(Into::into), to: to?.into() })
}

/// The act that most likely began this span.
fn nearest(acts: &[Entered], span: &Span) -> Option<usize> {
    let distance = |entered: &Entered| (entered.at.0 - span.started_at.0).abs();
    let near = acts.iter().enumerate().filter(|(_, entered)| entered.to == *span.state_id);
    let near = near.filter(|(_, entered)| distance(entered) <= TOLERANCE);
    near.min_by_key(|(_, entered)| distance(entered)).map(|(at, _)| at)
}

/// Who did it: a person, else the integration or automation that did.
fn actor(context: &Context<'_>, act: &Act) -> Option<String> {
    let person = act.actor_id.as_deref().or(act.actor.as_ref().map(|who| &*who.id));
    let bot = || act.bot_actor.as_ref()?.name.as_ref().map(ToString::to_string);
    person.map(|id| context.person(id)).or_else(bot)
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
        self.derive(state);
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

/// What a change is about, in the words of [`FieldChange::field`]: part of the ids of events, never to be changed.
const fn word(what: &Change) -> &'static str {
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

/// The other end of a link, when it blocks this issue.
fn blocker(context: &Context<'_>, link: &Link) -> Option<Blocker> {
    let other = link.issue.as_ref().filter(|_| &*link.kind == "blocks" && link.archived_at.is_none())?;
    let state = other.state.as_ref();
    let finished =
        state.and_then(|state| state.id.as_deref()).is_some_and(|id| context.state(id, state).0.is_finished());
    Some(Blocker { native_id: Some(other.id.to_string()), key: other.identifier.to_string(), finished })
}

/// A cycle as a sprint. One past its end that was not completed yet is still running: Linear is about to roll its issues over.
fn sprint(context: &Context<'_>, cycle: &Cycle) -> Observation {
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

fn project(context: &Context<'_>, project: &Project) -> Result<Observation> {
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

fn initiative(context: &Context<'_>, initiative: &Initiative) -> Result<Observation> {
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

/// The events of an epic. One that was ever started, completed or cancelled began on the backlog, as all do.
fn epic_history(timeline: &mut Timeline, epic: &Epic<'_>, present: &Facts) {
    const STATUSES: [(Status, &str); 3] =
        [(Status::InProgress, "In Progress"), (Status::Done, "Completed"), (Status::Cancelled, "Canceled")];
    let first = match epic.reached.iter().any(Option::is_some) {
        true => Facts { status: Status::Backlog, native_status: "Backlog".into(), ..present.clone() },
        false => present.clone(),
    };
    timeline.create(epic.creator.clone(), first);
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
fn activity(context: &Context<'_>, attachment: &Attachment) -> Option<Observation> {
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
    })))
}

#[cfg(test)]
mod tests;
