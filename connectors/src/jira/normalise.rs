//! From Jira's records to the common model: pure, and the place where every reading of Jira's habits is written down.
//!
//! [`issue`] is the entry point. Jira lists changes, each with the value before it, and no first values: [`crate::rewind`] finds
//! them. One function, [`Reader::set`], says what a change means in either direction, so the two passes cannot disagree.
//!
//! - Ids decide, names are for people: statuses, types and people go by id where the history has one. A thing with the same id
//!   as today has today's name, so that a renaming is no change.
//! - The blocked flag is Jira's Flagged field, or a label that is configured to mean it.

mod acts;
mod change;
mod present;
mod sprint;

use std::collections::BTreeSet;

use contextcore_core::model::diff;
use contextcore_core::model::observation::{Observation, TaskObservation};
use contextcore_core::model::{Blocker, Change, Event, Facts, ParentRef, SmolStr, TaskKey};
use contextcore_core::{Millis, Result};

use super::fields::Field;
use super::history::{History, Item};
use super::mapping::{self, Mapping, StatusName};
use super::people::Who;
use super::reference::{Category, Reference};
use super::settings::Settings;
use super::sprint_field;
use super::wire::{self, Issue, Record, SprintRecord};
use crate::chain;
use crate::rewind::{Rewind, Side, Timeline, blank, date, lacks, number, project_of, unreadable};

use acts::{Act, ends, in_order, inherited};
use change::{Role, Value, change_of, flag_in, flag_value, hours, list, parent, sorted, status_of, system_role};
use present::{points_field, resolution_in_history};
use sprint::observe_sprint;

/// What a record is read with.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) reference: &'a Reference,
    pub(super) mapping: &'a Mapping,
    /// Boards whose sprints could not be listed, so that their sprints are only known from issues.
    pub(super) unreadable: &'a BTreeSet<u64>,
}

/// What a record says, and what in it the reference data does not know (`status:10020`).
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) observations: Vec<Observation>,
    pub(super) unknown: BTreeSet<String>,
}

/// Parses a record of the `issues` stream.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Protocol`] when it is not such a record.
pub(super) fn record(json: &str) -> Result<Record> {
    serde_json::from_str(json).map_err(|error| unreadable(&error))
}

/// Reads a record of the `issues` stream.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Protocol`] when it lacks its id, its key, its creation or the time of a change.
pub(super) fn issue(context: &Context<'_>, record: &Record) -> Result<Read> {
    let mut reader = Reader::new(context, record)?;
    let history = reader.history(record)?;
    let fields = &record.issue.fields;
    let task = TaskObservation {
        native_id: reader.key.native_id.to_string(),
        url: format!("{}/browse/{}", browse(context), reader.present.facts.key),
        reporter: fields.reporter.as_ref().map(|who| who.name.to_string()),
        updated: fields.updated.unwrap_or(reader.created),
        history,
        blockers: blockers(context, &record.issue),
        present: reader.present.facts.clone(),
    };
    let mut observations = sprints_of(context, &record.issue);
    observations.push(Observation::Task(Box::new(task)));
    Ok(Read { observations, unknown: reader.unknown })
}

/// Reads a record of the `sprints` stream.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Protocol`] when it is not such a record.
pub(super) fn sprint(context: &Context<'_>, json: &str) -> Result<Read> {
    let record: SprintRecord = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let observation = match &record {
        SprintRecord::Sprint { sprint, board } => {
            let boards = [sprint.origin_board_id, *board];
            let mut projects = boards.into_iter().flatten().filter_map(|id| context.reference.project_of_board(id));
            observe_sprint(sprint, projects.next())
        }
        SprintRecord::Deleted { deleted } => Observation::SprintGone { native_id: deleted.to_string() },
    };
    Ok(Read { observations: vec![observation], unknown: BTreeSet::new() })
}

fn browse<'a>(context: &'a Context<'_>) -> &'a str {
    context.reference.browse.as_deref().unwrap_or(&context.settings.url)
}

/// Changes with what they are about.
type Changes<'a> = Vec<(Role, &'a Item)>;

/// The facts of a task at one moment, with what lies behind them.
#[derive(Debug, Clone)]
struct State {
    facts: Facts,
    status_id: Box<str>,
    /// The resolution in force means that the work was given up.
    given_up: bool,
    /// The flag field's value.
    flagged: Option<SmolStr>,
}

/// Reads one issue.
struct Reader<'a> {
    context: &'a Context<'a>,
    issue: &'a Issue,
    key: TaskKey,
    created: Millis,
    /// The field this issue's estimate is in; `None` where the site has none and hours count.
    points: Option<Box<str>>,
    /// Today's resolution in the history's words, which are not translated.
    resolution: Option<SmolStr>,
    present: State,
    unknown: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn new(context: &'a Context<'a>, record: &'a Record) -> Result<Self> {
        let issue = &record.issue;
        let id = issue.id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| lacks("id"))?;
        let name = issue.key.as_deref().filter(|key| !key.is_empty()).ok_or_else(|| lacks("key"))?;
        let created = issue.fields.created.ok_or_else(|| lacks("fields.created"))?;
        let mut reader = Self {
            context,
            issue,
            key: TaskKey::new(&context.settings.source, id),
            created,
            points: points_field(context.reference, record, project_of(name)),
            resolution: resolution_in_history(record),
            present: State { facts: blank(name, None), status_id: Box::default(), given_up: false, flagged: None },
            unknown: BTreeSet::new(),
        };
        reader.present = reader.read_present(record);
        Ok(reader)
    }

    /// The facts of today.
    fn read_present(&mut self, record: &Record) -> State {
        let fields = &record.issue.fields;
        let mut state = self.present.clone();
        state.given_up = self.resolution.as_deref().is_some_and(mapping::gives_up);
        if let Some(project) = fields.project.as_ref().and_then(|project| project.key.as_deref()) {
            state.facts.project = project.into();
        }
        if let Some(status) = &fields.status {
            let id = status.id.as_deref().unwrap_or_default();
            self.set_status(&mut state, Value { id, text: &status.name });
        }
        if let Some(kind) = &fields.issuetype {
            self.set_type(&mut state, Value { id: kind.id.as_deref().unwrap_or_default(), text: &kind.name });
        }
        let facts = &mut state.facts;
        facts.title = fields.summary.as_deref().unwrap_or_default().into();
        facts.priority =
            fields.priority.as_ref().and_then(|priority| mapping::priority(&priority.name)).map(Into::into);
        facts.assignee = fields.assignee.as_ref().map(|who| SmolStr::new(&who.name));
        facts.labels = sorted(fields.labels.iter().flatten().map(|label| &**label));
        facts.due = fields.duedate.as_deref().and_then(date);
        facts.estimate = self.present_estimate();
        facts.parent = self.present_parent(record);
        facts.sprints = sprint_field::ids(self.context.reference, self.issue);
        state.flagged = self.present_flag();
        state.facts.flag = self.impediment(&state);
        state
    }

    /// A custom field's value as Jira wrote it.
    fn custom(&self, id: Option<&str>) -> Option<&'a str> {
        self.issue.custom.get(id?).map(|value| value.get())
    }

    fn present_estimate(&self) -> Option<f64> {
        match &self.points {
            Some(field) => self.custom(Some(field)).and_then(|value| number(value.trim_matches('"'))),
            None => self.issue.fields.timeoriginalestimate.map(hours),
        }
    }

    /// The parent field, else one of the fields that name a parent by its key; then its id is looked for in the history.
    fn present_parent(&self, record: &Record) -> Option<ParentRef> {
        if let Some(parent) = &self.issue.fields.parent
            && let Some(id) = &parent.id
        {
            return Some(ParentRef { native_id: SmolStr::new(id), key: parent.key.as_deref().map(SmolStr::new) });
        }
        let mut fields = self.context.reference.fields.parent_keys();
        let key: String = fields.find_map(|field| serde_json::from_str(self.custom(Some(&field.id))?).ok())?;
        let items = record.histories.iter().flat_map(|history| history.items.iter());
        let mut parents =
            items.filter(|item| self.role(item) == Some(Role::Parent)).map(|item| Value::of(item, Side::After));
        let known = parents.find(|value| value.text == key && !value.id.is_empty()).map(|value| value.id.to_owned());
        Some(ParentRef { native_id: known.unwrap_or_else(|| key.clone()).into(), key: Some(key.into()) })
    }

    fn present_flag(&self) -> Option<SmolStr> {
        let value = self.custom(self.context.reference.fields.flagged.as_ref().map(|field| &*field.id))?;
        flag_in(&serde_json::from_str(value).ok()?)
    }

    /// What raises the blocked flag.
    fn impediment(&self, state: &State) -> Option<SmolStr> {
        let label = || {
            self.context
                .settings
                .rules
                .blocking_label(&state.facts.labels)
                .map(|label| SmolStr::from(format!("label {label}")))
        };
        state.flagged.clone().or_else(label)
    }

    /// What a change is about, if it is about anything that is read. Ids go before names, which are translated; but pseudo
    /// fields have no id, and Data Center sends none at all.
    fn role(&self, item: &Item) -> Option<Role> {
        let role = match item.field_id.as_deref() {
            Some(id) if id.starts_with("customfield_") => self.custom_role(&|field| *field.id == *id),
            Some(id) => system_role(id),
            None => system_role(&item.field).or_else(|| self.custom_role(&|field| field.is_named(&item.field))),
        };
        role.filter(|role| match role {
            Role::Hours => self.points.is_none(),
            Role::Sprint => self.context.reference.is_sprint(item),
            _ => true,
        })
    }

    /// The role of one of the discovered fields. Of those that may hold points, only this issue's counts.
    fn custom_role(&self, is_it: &dyn Fn(&Field) -> bool) -> Option<Role> {
        let fields = &self.context.reference.fields;
        let ours = |field: &&Field| Some(&field.id) == self.points.as_ref();
        let single = [(&fields.sprint, Role::Sprint), (&fields.flagged, Role::Flag)];
        let single = single.into_iter().filter_map(|(field, role)| Some((field.as_ref()?, role)));
        let points = fields.points.iter().filter(ours).map(|field| (field, Role::Points));
        let parents = fields.parent_keys().map(|field| (field, Role::Parent));
        points.chain(single).chain(parents).find(|(field, _)| is_it(field)).map(|(_, role)| role)
    }

    /// Takes a value of a field into the state.
    fn set(&mut self, state: &mut State, role: Role, value: Value<'_>) {
        let facts = &mut state.facts;
        match role {
            Role::Status => self.set_status(state, value),
            Role::Type => self.set_type(state, value),
            Role::Resolution => state.given_up = mapping::gives_up(value.text),
            Role::Sprint => facts.sprints = list(value.id),
            Role::Parent => facts.parent = parent(value),
            Role::Assignee => facts.assignee = self.person(value),
            Role::Points => facts.estimate = number(value.shown()),
            Role::Hours => facts.estimate = number(value.shown()).map(hours),
            Role::Flag => state.flagged = flag_value(value),
            Role::Priority => facts.priority = self.priority(value),
            Role::Labels => facts.labels = sorted(value.text.split_whitespace()),
            Role::Title => facts.title = value.text.into(),
            Role::Due => facts.due = date(value.id).or_else(|| date(value.text)),
            Role::Key => {
                facts.key = value.shown().into();
                facts.project = project_of(&facts.key).into();
            }
            Role::Link => {}
        }
    }

    /// The status of a value, under the resolution in force.
    fn set_status(&mut self, state: &mut State, value: Value<'_>) {
        let today =
            self.issue.fields.status.as_ref().filter(|status| status.id.as_deref().is_some_and(|id| id == value.id));
        let category =
            today.and_then(|status| status.status_category.as_ref()).and_then(|category| Category::of(&category.key));
        let named = StatusName { id: value.id, name: value.text, category };
        let (status, known) = self.context.mapping.status(self.context.settings, named, state.given_up);
        if !known {
            self.unknown.insert(format!("status:{}", value.shown()));
        }
        state.status_id = value.id.into();
        state.facts.status = status;
        state.facts.native_status =
            today.map_or_else(|| value.shown().to_owned(), |status| status.name.to_string()).into();
    }

    fn set_type(&mut self, state: &mut State, value: Value<'_>) {
        let today =
            self.issue.fields.issuetype.as_ref().filter(|kind| kind.id.as_deref().is_some_and(|id| id == value.id));
        let (level, subtask) = today.map_or((None, false), |kind| (kind.hierarchy_level, kind.subtask));
        let untranslated = today.and_then(|kind| kind.untranslated_name.as_deref()).unwrap_or(value.text);
        let configured = self.context.settings.rules.task_type(value.text);
        let (task_type, explained) = match configured.or_else(|| self.context.mapping.type_by_id(value.id)) {
            Some(task_type) => (task_type, true),
            None => mapping::type_of(self.context.settings, [value.id, value.text, untranslated], level, subtask),
        };
        if !explained {
            self.unknown.insert(format!("type:{}", value.shown()));
        }
        state.facts.task_type = task_type;
        state.facts.native_type = today.map_or_else(|| value.shown().to_owned(), |kind| kind.name.to_string()).into();
    }

    /// A person's name. Somebody who still has the task has today's name.
    fn person(&self, value: Value<'_>) -> Option<SmolStr> {
        let same = |who: &&Who| !value.id.is_empty() && who.id.as_deref() == Some(value.id);
        let today = self.issue.fields.assignee.as_ref().filter(same).map(|who| SmolStr::new(&who.name));
        today.or_else(|| (!value.is_empty()).then(|| value.shown().into()))
    }

    fn priority(&self, value: Value<'_>) -> Option<SmolStr> {
        let same = |named: &&wire::Named| !value.id.is_empty() && named.id.as_deref() == Some(value.id);
        let today = self.issue.fields.priority.as_ref().filter(same).map(|named| &*named.name);
        mapping::priority(today.unwrap_or(value.text)).map(Into::into)
    }

    /// The dated events, oldest first.
    fn history(&mut self, record: &'a Record) -> Result<Vec<Event>> {
        // What happened to the parent before a sub-task was made is part of its first values.
        let inherited = inherited(record, &self.present.facts.sprints);
        let inherited = inherited.iter().filter(|act| act.created.is_none_or(|at| at > self.created));
        let acts = self.as_of_the_search(in_order(record.histories.iter().chain(inherited))?);
        let mut timeline = Timeline::new(self.key.clone(), self.created);
        let fields = &self.issue.fields;
        let creator = fields.creator.as_ref().or(fields.reporter.as_ref()).map(|who| who.name.to_string());
        let present = self.present.clone();
        self.replay(&present, &acts, creator, &mut timeline);
        self.comments(&mut timeline);
        Ok(timeline.into_events())
    }

    /// The acts without those after the search that gave the issue. The issue is requested before its history, and search may
    /// lag behind besides, so today's facts do not have those acts yet, and would look like their undoing. The issue has changed
    /// since, so it is read again, and then both agree.
    ///
    /// An act may be dated a few milliseconds after the issue's own date, so only one that today's facts contradict counts
    /// as later.
    fn as_of_the_search<'h>(&mut self, mut acts: Vec<(Millis, &'h History)>) -> Vec<(Millis, &'h History)> {
        let Some(updated) = self.issue.fields.updated else { return acts };
        let certain = acts.partition_point(|(at, _)| *at <= updated);
        while acts.len() > certain && !self.leads_to_today(&acts[certain..]) {
            acts.pop();
        }
        acts
    }

    /// Whether these acts leave the facts of today as they are.
    fn leads_to_today(&mut self, acts: &[(Millis, &History)]) -> bool {
        let mut state = self.present.clone();
        acts.iter().for_each(|(_, act)| self.set_all(&mut state, act, Side::After));
        diff::changes(&self.present.facts, &state.facts).is_empty()
    }

    /// Takes one side of all changes of an act into the state: the resolution first, so that the status is judged under the
    /// resolution of the same side.
    fn set_all(&mut self, state: &mut State, act: &History, side: Side) {
        let (mut resolution, mut others) = self.by_resolution(act);
        if side == Side::Before {
            resolution.reverse();
            others.reverse();
        }
        let judge_again = !resolution.is_empty();
        for (role, item) in resolution.into_iter().chain(others) {
            self.set(state, role, Value::of(item, side));
        }
        if judge_again {
            self.judge_again(state);
        }
        state.facts.flag = self.impediment(state);
    }

    fn redo_item(&mut self, state: &mut State, act: Act<'_>, (role, item): (Role, &Item), timeline: &mut Timeline) {
        let parent_before = state.facts.parent.as_ref().map(|parent| parent.native_id.clone());
        self.set(state, role, Value::of(item, Side::After));
        // Cloud writes the same act in its old and its new form.
        let repeated =
            role == Role::Parent && parent_before == state.facts.parent.as_ref().map(|parent| parent.native_id.clone());
        if let Some(change) =
            change_of(&self.context.reference.blocking, role, &state.facts, item).filter(|_| !repeated)
        {
            act.push(timeline, item, "", change);
        }
        let raised = self.impediment(state);
        let change = match (&state.facts.flag, &raised) {
            (None, Some(reason)) => Some(Change::Blocked(Some(reason.clone()))),
            (Some(_), None) => Some(Change::Unblocked),
            _ => None,
        };
        if let Some(change) = change {
            state.facts.flag = raised;
            let suffix = if role == Role::Flag { "" } else { ":blocked" };
            act.push(timeline, item, suffix, change);
        }
    }

    /// The changes of an act that are read, those of the resolution apart.
    fn by_resolution<'h>(&self, act: &'h History) -> (Changes<'h>, Changes<'h>) {
        let changes = act.items.iter().filter_map(|item| Some((self.role(item)?, item)));
        let (resolution, mut others): (Changes<'h>, Changes<'h>) =
            changes.partition(|(role, _)| *role == Role::Resolution);
        chain::join(&mut others, |(role, item)| (*role == Role::Status).then(|| ends(item)).flatten());
        (resolution, others)
    }

    /// The status anew, after the resolution changed.
    fn judge_again(&mut self, state: &mut State) {
        let native = std::mem::take(&mut state.facts.native_status);
        let id = std::mem::take(&mut state.status_id);
        self.set_status(state, Value { id: &id, text: &native });
    }

    fn comments(&self, timeline: &mut Timeline) {
        let privacy = self.context.settings.comments;
        for comment in self.issue.fields.comment.iter().flat_map(|comments| &comments.comments.kept) {
            if let (Some(id), Some(at), true) = (&comment.id, comment.created, privacy.is_read()) {
                let actor = comment.author.as_ref().map(|who| who.name.to_string());
                timeline.comment(privacy, id, at, actor, || comment.text());
            }
        }
    }
}

impl<'a> Rewind for Reader<'a> {
    type State = State;
    type Step = (Millis, &'a History);

    fn facts(&self, state: &State) -> Facts {
        state.facts.clone()
    }

    fn undo(&mut self, state: &mut State, (_, act): &Self::Step) {
        self.set_all(state, act, Side::Before);
    }

    fn redo(&mut self, state: &mut State, &(at, history): &Self::Step, timeline: &mut Timeline) {
        let act = Act { at, history };
        let (resolution, others) = self.by_resolution(history);
        let decided_with_status = others.iter().any(|(role, _)| *role == Role::Status);
        for (role, item) in resolution {
            let before = state.facts.status;
            self.set(state, role, Value::of(item, Side::After));
            if !decided_with_status {
                self.judge_again(state);
            }
            if before != state.facts.status {
                act.push(timeline, item, "", status_of(&state.facts));
            }
        }
        for change in others {
            self.redo_item(state, act, change, timeline);
        }
    }
}

/// Tasks that block this one: the inward ends of links that mean it.
fn blockers(context: &Context<'_>, issue: &Issue) -> Vec<Blocker> {
    let links = issue.fields.issuelinks.iter().flatten().filter(|link| context.reference.blocking.has(&link.kind));
    let blocking = links.filter_map(|link| link.inward_issue.as_ref());
    blocking
        .filter_map(|other| {
            let finished = other.fields.status.as_ref().is_some_and(|status| is_finished(context, status));
            let native_id = other.id.as_ref().map(ToString::to_string);
            Some(Blocker { native_id, key: other.key.as_ref()?.to_string(), finished })
        })
        .collect()
}

fn is_finished(context: &Context<'_>, status: &wire::StatusValue) -> bool {
    let category = status.status_category.as_ref().and_then(|category| Category::of(&category.key));
    let named = StatusName { id: status.id.as_deref().unwrap_or_default(), name: &status.name, category };
    context.mapping.status(context.settings, named, false).0.is_finished()
}

/// Sprints that no board of ours lists.
fn sprints_of(context: &Context<'_>, issue: &Issue) -> Vec<Observation> {
    let unlisted = sprint_field::unlisted(context.reference, context.unreadable, issue);
    let project =
        |sprint: &wire::Sprint| sprint.origin_board_id.and_then(|board| context.reference.project_of_board(board));
    unlisted.iter().map(|sprint| observe_sprint(sprint, project(sprint))).collect()
}

#[cfg(test)]
mod tests;
