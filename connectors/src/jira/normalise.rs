//! From Jira's records to the common model: pure, and the place where every reading of Jira's habits is written down.
//!
//! [`issue`] is the way in. A task's history is told backwards: Jira has no created-event, so the facts of today are taken
//! back change by change (each tells what was before it) until the facts of the first day remain; then the changes are told
//! forwards again as dated facts. One function, [`Reader::set`], says what a change means for either direction, so the two
//! passes cannot disagree.
//!
//! - Ids decide, names are for people: statuses, types and people go by id where the history tells one, and a thing that is
//!   still the same id today bears its name of today, so that a renaming is no change.
//! - The blocked flag is Jira's Flagged field, or a label that is configured to mean it.

use std::collections::BTreeSet;

use contextcore_core::model::diff;
use contextcore_core::model::observation::{Observation, TaskObservation};
use contextcore_core::model::time::HOUR;
use contextcore_core::model::{
    Blocker, Change, Event, EventId, Facts, ParentRef, SmolStr, SprintFacts, SprintState, Status, TaskKey,
};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::Deserialize;

use super::mapping::{self, Mapping, StatusName};
use super::reference::{Board, Category, Field, Reference};
use super::settings::Settings;
use super::wire::{self, History, Issue, Item, Record, SprintRecord, Who};

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

/// Reads a record of the `issues` stream.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it is not such a record, or lacks its id, its key, its creation or the time of a change.
pub(super) fn issue(context: &Context<'_>, json: &str) -> Result<Read> {
    let record: Record = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let mut reader = Reader::new(context, &record)?;
    let history = reader.history(&record)?;
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
/// [`ErrorKind::Protocol`] when it is not such a record.
pub(super) fn sprint(context: &Context<'_>, json: &str) -> Result<Read> {
    let record: SprintRecord = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let home = record.sprint.origin_board_id.unwrap_or(record.board);
    let project = context.reference.project_of_board(home).or_else(|| context.reference.project_of_board(record.board));
    Ok(Read { observations: vec![observe_sprint(&record.sprint, project)], unknown: BTreeSet::new() })
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Protocol, format!("the record has an unexpected shape: {error}"))
}

fn lacks(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the record lacks a readable {what}"))
}

fn browse<'a>(context: &'a Context<'_>) -> &'a str {
    context.reference.browse.as_deref().unwrap_or(&context.settings.url)
}

/// What a field change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Status,
    Resolution,
    Sprint,
    Parent,
    Assignee,
    Points,
    Hours,
    Flag,
    Link,
    Priority,
    Type,
    Labels,
    Title,
    Due,
    Key,
}

/// The role of a field that every Jira has.
fn system_role(name: &str) -> Option<Role> {
    const ROLES: [(&str, Role); 13] = [
        ("status", Role::Status),
        ("resolution", Role::Resolution),
        ("assignee", Role::Assignee),
        ("priority", Role::Priority),
        ("issuetype", Role::Type),
        ("labels", Role::Labels),
        ("summary", Role::Title),
        ("duedate", Role::Due),
        ("parent", Role::Parent),
        ("issueparentassociation", Role::Parent),
        ("link", Role::Link),
        ("key", Role::Key),
        ("timeoriginalestimate", Role::Hours),
    ];
    ROLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, role)| *role)
}

/// One side of a change: what the field was, or became.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    id: &'a str,
    text: &'a str,
}

impl<'a> Side<'a> {
    fn before(item: &'a Item) -> Self {
        Self { id: item.from.as_deref().unwrap_or_default(), text: item.from_string.as_deref().unwrap_or_default() }
    }

    fn after(item: &'a Item) -> Self {
        Self { id: item.to.as_deref().unwrap_or_default(), text: item.to_string.as_deref().unwrap_or_default() }
    }

    fn is_empty(self) -> bool {
        self.id.is_empty() && self.text.is_empty()
    }

    /// The text, else the id.
    fn shown(self) -> &'a str {
        if self.text.is_empty() { self.id } else { self.text }
    }
}

/// Changes with what they are about.
type Told<'a> = Vec<(Role, &'a Item)>;

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
            points: points_field(context, record, &project_of(name)),
            resolution: resolution_in_history(record),
            present: State { facts: blank(name), status_id: Box::default(), given_up: false, flagged: None },
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
            self.set_status(&mut state, Side { id, text: &status.name });
        }
        if let Some(kind) = &fields.issuetype {
            self.set_type(&mut state, Side { id: kind.id.as_deref().unwrap_or_default(), text: &kind.name });
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
        facts.sprints = sprint_ids(self.custom(self.context.reference.fields.sprint.as_ref().map(|field| &*field.id)));
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
        let items = record.histories.iter().flat_map(|history| &history.items);
        let mut parents = items.filter(|item| self.role(item) == Some(Role::Parent)).map(Side::after);
        let told = parents.find(|side| side.text == key && !side.id.is_empty()).map(|side| side.id.to_owned());
        Some(ParentRef { native_id: told.unwrap_or_else(|| key.clone()).into(), key: Some(key.into()) })
    }

    fn present_flag(&self) -> Option<SmolStr> {
        #[derive(Deserialize)]
        struct Choice {
            #[serde(default)]
            value: SmolStr,
        }
        let value = self.custom(self.context.reference.fields.flagged.as_ref().map(|field| &*field.id))?;
        let choices: Vec<Choice> = serde_json::from_str(value).ok()?;
        choices.into_iter().next().map(|choice| choice.value)
    }

    /// What raises the blocked flag.
    fn impediment(&self, state: &State) -> Option<SmolStr> {
        let label = || {
            self.context
                .settings
                .blocking_label(&state.facts.labels)
                .map(|label| SmolStr::from(format!("label {label}")))
        };
        state.flagged.clone().or_else(label)
    }

    /// What a change is about, if it is about anything we tell. Ids go before names, which are translated; but pseudo fields
    /// have no id, and Data Center tells none at all.
    fn role(&self, item: &Item) -> Option<Role> {
        let role = match item.field_id.as_deref() {
            Some(id) if id.starts_with("customfield_") => self.custom_role(&|field| *field.id == *id),
            Some(id) => system_role(id),
            None => system_role(&item.field).or_else(|| self.custom_role(&|field| field.is_named(&item.field))),
        };
        role.filter(|role| *role != Role::Hours || self.points.is_none())
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

    /// Takes one side of a change into the state.
    fn set(&mut self, state: &mut State, role: Role, side: Side<'_>) {
        let facts = &mut state.facts;
        match role {
            Role::Status => self.set_status(state, side),
            Role::Type => self.set_type(state, side),
            Role::Resolution => state.given_up = mapping::gives_up(side.text),
            Role::Sprint => facts.sprints = list(side.id),
            Role::Parent => facts.parent = parent(side),
            Role::Assignee => facts.assignee = self.person(side),
            Role::Points => facts.estimate = number(side.shown()),
            Role::Hours => facts.estimate = number(side.shown()).map(hours),
            Role::Flag => state.flagged = (!side.is_empty()).then(|| flag_value(side)),
            Role::Priority => facts.priority = self.priority(side),
            Role::Labels => facts.labels = sorted(side.text.split_whitespace()),
            Role::Title => facts.title = side.text.into(),
            Role::Due => facts.due = date(side.id).or_else(|| date(side.text)),
            Role::Key => {
                facts.key = side.shown().into();
                facts.project = project_of(&facts.key).into();
            }
            Role::Link => {}
        }
    }

    /// The status of one side of a change, under the resolution in force.
    fn set_status(&mut self, state: &mut State, side: Side<'_>) {
        let today =
            self.issue.fields.status.as_ref().filter(|status| status.id.as_deref().is_some_and(|id| id == side.id));
        let category =
            today.and_then(|status| status.status_category.as_ref()).map(|category| Category::of(&category.key));
        let named = StatusName { id: side.id, name: side.text, category };
        let (status, known) = self.context.mapping.status(self.context.settings, named, state.given_up);
        if !known {
            self.unknown.insert(format!("status:{}", side.shown()));
        }
        state.status_id = side.id.into();
        state.facts.status = status;
        state.facts.native_status =
            today.map_or_else(|| side.shown().to_owned(), |status| status.name.to_string()).into();
    }

    fn set_type(&mut self, state: &mut State, side: Side<'_>) {
        let today =
            self.issue.fields.issuetype.as_ref().filter(|kind| kind.id.as_deref().is_some_and(|id| id == side.id));
        let (level, subtask) = today.map_or((None, false), |kind| (kind.hierarchy_level, kind.subtask));
        let untranslated = today.and_then(|kind| kind.untranslated_name.as_deref()).unwrap_or(side.text);
        let configured = self.context.settings.task_type(side.text);
        let (task_type, explained) = match configured.or_else(|| self.context.mapping.type_by_id(side.id)) {
            Some(task_type) => (task_type, true),
            None => mapping::type_of(self.context.settings, [side.id, side.text, untranslated], level, subtask),
        };
        if !explained {
            self.unknown.insert(format!("type:{}", side.shown()));
        }
        state.facts.task_type = task_type;
        state.facts.native_type = today.map_or_else(|| side.shown().to_owned(), |kind| kind.name.to_string()).into();
    }

    /// Somebody who still has the task bears the name of today.
    fn person(&self, side: Side<'_>) -> Option<SmolStr> {
        let same = |who: &&Who| !side.id.is_empty() && who.id.as_deref() == Some(side.id);
        let today = self.issue.fields.assignee.as_ref().filter(same).map(|who| SmolStr::new(&who.name));
        today.or_else(|| (!side.is_empty()).then(|| side.shown().into()))
    }

    fn priority(&self, side: Side<'_>) -> Option<SmolStr> {
        let same = |named: &&wire::Named| !side.id.is_empty() && named.id.as_deref() == Some(side.id);
        let today = self.issue.fields.priority.as_ref().filter(same).map(|named| &*named.name);
        mapping::priority(today.unwrap_or(side.text)).map(Into::into)
    }

    /// The dated facts, oldest first.
    fn history(&mut self, record: &Record) -> Result<Vec<Event>> {
        let told = self.as_of_the_search(in_order(&record.histories)?);
        let mut state = self.present.clone();
        for (_, history) in told.iter().rev() {
            self.take_back(&mut state, history);
        }
        state.facts.flag = self.impediment(&state);
        let mut entries = vec![self.first(&state)];
        for (at, history) in told {
            self.tell(&mut state, at, history, &mut entries);
        }
        self.comments(&mut entries)?;
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    /// The history without what happened since the search that gave the issue: that is asked for first, and may lag behind
    /// besides, so the facts of today do not have it yet. Told with them it would look undone at once. The issue has changed
    /// since, so it is read again, and then both agree.
    ///
    /// A change may be dated a few milliseconds after the issue's own date, so only one that today's facts contradict counts
    /// as later.
    fn as_of_the_search<'h>(&mut self, mut told: Vec<(Millis, &'h History)>) -> Vec<(Millis, &'h History)> {
        let Some(updated) = self.issue.fields.updated else { return told };
        let certain = told.partition_point(|(at, _)| *at <= updated);
        while told.len() > certain && !self.leads_to_today(&told[certain..]) {
            told.pop();
        }
        told
    }

    /// Whether these changes leave the facts of today as they are.
    fn leads_to_today(&mut self, told: &[(Millis, &History)]) -> bool {
        let mut state = self.present.clone();
        for (_, history) in told {
            let (resolution, others) = self.by_resolution(history);
            let decided = !resolution.is_empty();
            for (role, item) in resolution.into_iter().chain(others) {
                self.set(&mut state, role, Side::after(item));
            }
            if decided {
                self.judge_again(&mut state);
            }
        }
        state.facts.flag = self.impediment(&state);
        diff::changes(&self.present.facts, &state.facts).is_empty()
    }

    /// The creation, with the facts of the first day.
    fn first(&self, state: &State) -> Event {
        let fields = &self.issue.fields;
        let actor = fields.creator.as_ref().or(fields.reporter.as_ref()).map(|who| who.name.to_string());
        self.entry("created", self.created, actor, Change::Created(Box::new(state.facts.clone())))
    }

    /// A fact; nothing happens to a task before it exists.
    fn entry(&self, origin: &str, at: Millis, actor: Option<String>, what: Change) -> Event {
        Event { id: EventId::of(&self.key, origin), at: at.max(self.created), actor, observed: false, change: what }
    }

    /// Takes the changes of one act back: the resolution first, so that the status before the act is judged under the
    /// resolution before it.
    fn take_back(&mut self, state: &mut State, history: &History) {
        let (resolution, others) = self.by_resolution(history);
        let judge_again = !resolution.is_empty();
        for (role, item) in resolution.into_iter().rev().chain(others.into_iter().rev()) {
            self.set(state, role, Side::before(item));
        }
        if judge_again {
            self.judge_again(state);
        }
    }

    /// Tells the changes of one act.
    fn tell(&mut self, state: &mut State, at: Millis, history: &History, entries: &mut Vec<Event>) {
        let (resolution, others) = self.by_resolution(history);
        let decided_with_status = others.iter().any(|(role, _)| *role == Role::Status);
        for (role, item) in resolution {
            let before = state.facts.status;
            self.set(state, role, Side::after(item));
            if !decided_with_status {
                self.judge_again(state);
            }
            if before != state.facts.status {
                let what = status_of(state);
                self.push(entries, at, history, item, "", what);
            }
        }
        for (role, item) in others {
            self.tell_item(state, at, history, (role, item), entries);
        }
    }

    fn tell_item(
        &mut self,
        state: &mut State,
        at: Millis,
        history: &History,
        (role, item): (Role, &Item),
        entries: &mut Vec<Event>,
    ) {
        let parent_before = state.facts.parent.as_ref().map(|parent| parent.native_id.clone());
        self.set(state, role, Side::after(item));
        // Cloud writes the same act in its old and its new form.
        let repeated =
            role == Role::Parent && parent_before == state.facts.parent.as_ref().map(|parent| parent.native_id.clone());
        if let Some(what) = what(role, state, item).filter(|_| !repeated) {
            self.push(entries, at, history, item, "", what);
        }
        let raised = self.impediment(state);
        let what = match (&state.facts.flag, &raised) {
            (None, Some(reason)) => Some(Change::Blocked(Some(reason.clone()))),
            (Some(_), None) => Some(Change::Unblocked),
            _ => None,
        };
        if let Some(what) = what {
            state.facts.flag = raised;
            let suffix = if role == Role::Flag { "" } else { ":blocked" };
            self.push(entries, at, history, item, suffix, what);
        }
    }

    fn push(&self, entries: &mut Vec<Event>, at: Millis, history: &History, item: &Item, suffix: &str, what: Change) {
        let id = history.id.as_deref().unwrap_or_default();
        let origin = format!("{id}:{}{suffix}", item.n.unwrap_or_default());
        let actor = history.author.as_ref().map(ToString::to_string);
        entries.push(self.entry(&origin, at, actor, what));
    }

    /// The changes that are told, those of the resolution apart.
    fn by_resolution<'h>(&self, history: &'h History) -> (Told<'h>, Told<'h>) {
        let told = history.items.iter().filter_map(|item| Some((self.role(item)?, item)));
        told.partition(|(role, _)| *role == Role::Resolution)
    }

    /// The status anew, after the resolution changed.
    fn judge_again(&mut self, state: &mut State) {
        let native = std::mem::take(&mut state.facts.native_status);
        let id = std::mem::take(&mut state.status_id);
        self.set_status(state, Side { id: &id, text: &native });
    }

    fn comments(&self, entries: &mut Vec<Event>) -> Result<()> {
        let privacy = self.context.settings.comments;
        if !privacy.is_told() {
            return Ok(());
        }
        for comment in self.issue.fields.comment.iter().flat_map(|comments| &comments.comments) {
            let id = comment.id.as_deref().ok_or_else(|| lacks("comment id"))?;
            let at = comment.created.ok_or_else(|| lacks("comment date").with("comment", id))?;
            let actor = comment.author.as_ref().map(|who| who.name.to_string());
            let text = if privacy.has_texts() { comment.text() } else { None };
            entries.push(self.entry(&format!("comment:{id}"), at, actor, Change::Commented(text)));
        }
        Ok(())
    }
}

/// The dated fact a change is, after it was taken into the state.
fn what(role: Role, state: &State, item: &Item) -> Option<Change> {
    let facts = &state.facts;
    Some(match role {
        Role::Status => status_of(state),
        Role::Sprint => Change::Sprints(facts.sprints.clone()),
        Role::Parent => Change::Parent(facts.parent.clone()),
        Role::Assignee => Change::Assigned(facts.assignee.clone()),
        Role::Points | Role::Hours => Change::Estimated(facts.estimate),
        Role::Priority => Change::Prioritised(facts.priority.clone()),
        Role::Type => Change::Typed { task_type: facts.task_type, native: facts.native_type.clone() },
        Role::Labels => Change::Labelled(facts.labels.clone()),
        Role::Title => Change::Titled(facts.title.clone()),
        Role::Due => Change::Due(facts.due.clone()),
        Role::Key => Change::Moved { key: facts.key.clone(), project: facts.project.clone() },
        Role::Link => return linked(item),
        // The flag is told with the labels, since either may raise it; the resolution with the status.
        Role::Flag | Role::Resolution => return None,
    })
}

fn status_of(state: &State) -> Change {
    Change::Status { status: state.facts.status, native: state.facts.native_status.clone() }
}

/// A link made or removed. The history has only text, in which the inward words say that the other one blocks this one.
fn linked(item: &Item) -> Option<Change> {
    let after = Side::after(item);
    let added = !after.is_empty();
    let side = if added { after } else { Side::before(item) };
    let text = side.text.strip_prefix("This issue ").unwrap_or(side.text);
    let blocker = is_blocked_by(text).then(|| side.id.to_owned()).filter(|key| !key.is_empty());
    (!side.is_empty()).then(|| Change::Linked { text: text.to_owned(), blocker, added })
}

/// The inward words of a link by which the other issue blocks this one.
const BLOCKED_BY: &str = "is blocked by";

fn is_blocked_by(text: &str) -> bool {
    text.to_lowercase().contains(BLOCKED_BY)
}

/// Tasks that block this one: the inward ends of links that say "is blocked by".
fn blockers(context: &Context<'_>, issue: &Issue) -> Vec<Blocker> {
    let links = issue.fields.issuelinks.iter().flatten().filter(|link| is_blocked_by(&link.kind.inward));
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
    let category = status.status_category.as_ref().map(|category| Category::of(&category.key));
    let named = StatusName { id: status.id.as_deref().unwrap_or_default(), name: &status.name, category };
    context.mapping.status(context.settings, named, false).0.is_finished()
}

/// The acts in the order they happened, each once. Several can share a moment; their ids count upwards.
fn in_order(histories: &[History]) -> Result<Vec<(Millis, &History)>> {
    let dated = histories.iter().map(|history| {
        let id = history.id.as_deref().ok_or_else(|| lacks("history id"))?;
        let at = history.created.ok_or_else(|| lacks("history date").with("history", id))?;
        Ok((at, history))
    });
    let mut told = dated.collect::<Result<Vec<_>>>()?;
    let number = |history: &History| history.id.as_deref().and_then(|id| id.parse::<u64>().ok());
    told.sort_by(|(a_at, a), (b_at, b)| (a_at, number(a), &a.id).cmp(&(b_at, number(b), &b.id)));
    told.dedup_by(|(_, a), (_, b)| a.id == b.id);
    Ok(told)
}

/// The field an issue's estimate is in: the first candidate that has a value or a history here, else the first one.
fn points_field(context: &Context<'_>, record: &Record, project: &str) -> Option<Box<str>> {
    let first = context.reference.points_for(project).next()?;
    let known = |id: &str| context.reference.fields.points.iter().find(|field| *field.id == *id);
    let changed = |id: &str| {
        let mut items = record.histories.iter().flat_map(|history| &history.items);
        items.any(|item| match item.field_id.as_deref() {
            Some(field) => field == id,
            None => known(id).is_some_and(|field| field.is_named(&item.field)),
        })
    };
    let mut candidates = context.reference.points_for(project);
    let used = candidates.find(|id| record.issue.custom.contains_key(*id) || changed(id));
    Some(used.unwrap_or(first).into())
}

/// Today's resolution as the history wrote it, else as the issue shows it.
fn resolution_in_history(record: &Record) -> Option<SmolStr> {
    let today = record.issue.fields.resolution.as_ref()?;
    let items = record.histories.iter().flat_map(|history| &history.items);
    let mut same = items.filter(|item| {
        item.field_id.as_deref() == Some("resolution") && item.to.is_some() && item.to.as_deref() == today.id.as_deref()
    });
    Some(same.find_map(|item| item.to_string.clone()).unwrap_or_else(|| SmolStr::new(&today.name)))
}

/// Facts before anything is known of the task but its key.
fn blank(key: &str) -> Facts {
    Facts {
        key: key.into(),
        project: project_of(key).into(),
        task_type: contextcore_core::model::TaskType::Task,
        native_type: SmolStr::default(),
        title: SmolStr::default(),
        status: Status::Todo,
        native_status: SmolStr::default(),
        flag: None,
        priority: None,
        assignee: None,
        labels: Vec::new(),
        estimate: None,
        parent: None,
        sprints: Vec::new(),
        due: None,
        blocked_by_links: None,
    }
}

/// `PROJ` of `PROJ-123`.
fn project_of(key: &str) -> String {
    key.rsplit_once('-').map_or(key, |(project, _)| project).to_owned()
}

fn parent(side: Side<'_>) -> Option<ParentRef> {
    let key = (!side.text.is_empty()).then(|| side.text.into());
    (!side.is_empty())
        .then(|| ParentRef { native_id: if side.id.is_empty() { side.text } else { side.id }.into(), key })
}

fn flag_value(side: Side<'_>) -> SmolStr {
    if side.text.is_empty() { SmolStr::new_static("Impediment") } else { side.text.into() }
}

/// `7, 9` as a list.
fn list(ids: &str) -> Vec<SmolStr> {
    ids.split(',').map(str::trim).filter(|id| !id.is_empty()).map(SmolStr::new).collect()
}

fn sorted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<SmolStr> {
    words.collect::<BTreeSet<_>>().into_iter().map(SmolStr::new).collect()
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds as hours.
fn hours(seconds: f64) -> f64 {
    seconds * 1_000.0 / f64::from(i32::try_from(HOUR).unwrap_or(i32::MAX))
}

/// The date a text begins with, `YYYY-MM-DD`.
fn date(text: &str) -> Option<SmolStr> {
    let date = text.get(..10)?;
    date.parse::<jiff::civil::Date>().ok().map(|_| date.into())
}

/// An element of the sprint field: an object, or on old servers a text such as `…Sprint@1f[id=7,state=CLOSED,…]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SprintValue {
    Sprint(wire::Sprint),
    Text(String),
}

fn sprint_values(value: Option<&str>) -> Vec<SprintValue> {
    value.and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default()
}

/// The ids in the sprint field.
fn sprint_ids(value: Option<&str>) -> Vec<SmolStr> {
    let id = |value| match value {
        SprintValue::Sprint(sprint) => Some(SmolStr::from(sprint.id.to_string())),
        SprintValue::Text(text) => {
            let (_, rest) = text.split_once("[id=").or_else(|| text.split_once(",id="))?;
            Some(rest.split([',', ']']).next()?.into())
        }
    };
    sprint_values(value).into_iter().filter_map(id).collect()
}

/// Sprints that no board of ours lists: all that is known of them is what their issues say.
fn sprints_of(context: &Context<'_>, issue: &Issue) -> Vec<Observation> {
    let Some(field) = &context.reference.fields.sprint else { return Vec::new() };
    let listed = |board: u64| {
        let board_of_ours = context.reference.boards.get(&board);
        board_of_ours.is_some_and(Board::may_have_sprints) && !context.unreadable.contains(&board)
    };
    let values = sprint_values(issue.custom.get(&field.id).map(|value| value.get()));
    let unlisted = values.into_iter().filter_map(|value| match value {
        SprintValue::Sprint(sprint) if !sprint.origin_board_id.is_some_and(listed) => Some(sprint),
        _ => None,
    });
    let project =
        |sprint: &wire::Sprint| sprint.origin_board_id.and_then(|board| context.reference.project_of_board(board));
    unlisted.map(|sprint| observe_sprint(&sprint, project(&sprint))).collect()
}

fn observe_sprint(sprint: &wire::Sprint, project: Option<&str>) -> Observation {
    let state = match sprint.state.to_ascii_lowercase().as_str() {
        "active" => SprintState::Active,
        "closed" => SprintState::Closed,
        _ => SprintState::Future,
    };
    Observation::Sprint {
        native_id: sprint.id.to_string(),
        facts: SprintFacts {
            name: sprint.name.to_string(),
            goal: sprint.goal.as_deref().filter(|goal| !goal.trim().is_empty()).map(str::to_owned),
            project: project.map(str::to_owned),
            state,
            start: sprint.start_date,
            end: sprint.end_date,
            completed: sprint.complete_date,
            exact: true,
        },
    }
}

#[cfg(test)]
mod tests;
