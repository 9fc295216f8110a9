//! The place of a task in the tree at a moment: its ancestors, its root, and the anchor of its spans.
//!
//! A root is the epic-level ancestor, or without one the topmost. When a task or one of its ancestors gets another
//! parent, a new lineage period begins: the task continues under a new anchor, perhaps in another root's trace, and
//! what was exported before stays valid. [`TimelineCache`] reads each record once; everything else is derived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::exported::{Exported, FixedAnchor, SpanBytes};
use crate::lock;
use crate::model::error::Result;
use crate::model::ids::{self, Role, SpanId, TraceId};
use crate::model::sprint::SprintHistory;
use crate::model::time::Millis;
use crate::model::timeline::{self, TaskHistory};
use crate::model::totals::Rollup;
use crate::model::{Change, Facts, ParentRef, SmolStr, SprintRecord, TaskKey, TaskRecord, TaskType};
use crate::store::{Store, Transaction};

/// The greatest depth of the tree: it ends loops of parents, and no real hierarchy is deeper.
pub(super) const MAX_DEPTH: usize = 32;
/// The number of records kept in memory, of some 5 kB each.
pub(super) const RECORDS: usize = 1_024;
/// The number of folded timelines kept in memory. They hold the facts after every change.
const TASK_HISTORIES: usize = 128;
/// The number of parent states and lineage periods kept in memory, of a few hundred bytes each.
pub(super) const SMALL_VALUES: usize = 4_096;
/// Added to the ordinal of an anchor whose parent is not in the store. If the parent appears later, another anchor
/// begins.
const UNKNOWN_PARENT: u64 = 1 << 32;

/// Reads from the store, each done once: records, and what is derived from them.
pub struct TimelineCache<'a> {
    pub(super) store: &'a Store,
    pub(super) records: Mutex<HashMap<TaskKey, Option<Arc<TaskRecord>>>>,
    task_histories: Mutex<HashMap<TaskKey, Option<Arc<TaskHistory>>>>,
    parent_states: Mutex<HashMap<TaskKey, Arc<[ParentState]>>>,
    periods: Mutex<HashMap<TaskKey, Arc<Vec<LineagePeriod>>>>,
    sprints: Mutex<HashMap<TaskKey, Option<Arc<SprintRecord>>>>,
    sprint_histories: Mutex<HashMap<TaskKey, Option<Arc<SprintHistory>>>>,
    pub(super) exported: Mutex<HashMap<TaskKey, Arc<Exported>>>,
    /// Those of the tasks that were read ahead last.
    pub(super) rollups: Mutex<HashMap<TaskKey, Rollup>>,
    /// The number of the part of each root's history trace that is being filled.
    pub(super) parts: Mutex<HashMap<TaskKey, u32>>,
    /// What was exported since it was last saved.
    unsaved: Mutex<HashMap<TaskKey, Arc<Exported>>>,
}

impl<'a> TimelineCache<'a> {
    /// An empty cache over a store.
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            records: Mutex::default(),
            task_histories: Mutex::default(),
            parent_states: Mutex::default(),
            periods: Mutex::default(),
            sprints: Mutex::default(),
            sprint_histories: Mutex::default(),
            exported: Mutex::default(),
            rollups: Mutex::default(),
            parts: Mutex::default(),
            unsaved: Mutex::default(),
        }
    }

    /// The store underneath.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// A task's record, if it is in the store.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn record(&self, key: &TaskKey) -> Result<Option<Arc<TaskRecord>>> {
        if let Some(record) = lock(&self.records).get(key) {
            return Ok(record.clone());
        }
        let record = self.store.task(key)?.map(Arc::new);
        insert(&self.records, RECORDS, key, &record);
        Ok(record)
    }

    /// What was exported of a task.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn exported(&self, key: &TaskKey) -> Result<Arc<Exported>> {
        let known = lock(&self.unsaved).get(key).cloned().or_else(|| lock(&self.exported).get(key).cloned());
        if let Some(exported) = known {
            return Ok(exported);
        }
        let exported = Arc::new(self.store.exported(key)?.unwrap_or_default());
        insert(&self.exported, SMALL_VALUES, key, &exported);
        Ok(exported)
    }

    /// Changes what was exported of a task. It is not in the store before [`TimelineCache::save_exported`].
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn note_exported(&self, key: &TaskKey, change: impl FnOnce(&mut Exported)) -> Result<Arc<Exported>> {
        let mut exported = Exported::clone(&*self.exported(key)?);
        change(&mut exported);
        let exported = Arc::new(exported);
        lock(&self.unsaved).insert(key.clone(), Arc::clone(&exported));
        Ok(exported)
    }

    /// Whether anything is to be saved.
    pub(crate) fn has_unsaved(&self) -> bool {
        !lock(&self.unsaved).is_empty()
    }

    /// Adds to a transaction what was exported.
    ///
    /// # Errors
    /// Those of encoding it.
    pub(crate) fn save_exported(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        for (key, exported) in lock(&self.unsaved).drain() {
            transaction.put_exported(&key, &*exported)?;
            insert(&self.exported, SMALL_VALUES, &key, &exported);
        }
        Ok(())
    }

    /// A sprint's record, if it is in the store.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn sprint(&self, key: &TaskKey) -> Result<Option<Arc<SprintRecord>>> {
        if let Some(sprint) = lock(&self.sprints).get(key) {
            return Ok(sprint.clone());
        }
        let sprint = self.store.sprint(key)?.map(Arc::new);
        insert(&self.sprints, SMALL_VALUES, key, &sprint);
        Ok(sprint)
    }

    /// The lineage periods of a task, oldest first; none when it is not in the store.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn periods(&self, key: &TaskKey) -> Result<Arc<Vec<LineagePeriod>>> {
        if let Some(periods) = lock(&self.periods).get(key) {
            return Ok(periods.clone());
        }
        let periods = Arc::new(periods(self, key)?);
        insert(&self.periods, SMALL_VALUES, key, &periods);
        Ok(periods)
    }

    /// The parent states of a task, oldest first; none when it is not in the store.
    fn parent_states(&self, key: &TaskKey) -> Result<Arc<[ParentState]>> {
        if let Some(parent_states) = lock(&self.parent_states).get(key) {
            return Ok(parent_states.clone());
        }
        let parent_states: Arc<[ParentState]> =
            self.record(key)?.map(|record| parent_states(&record)).unwrap_or_default().into();
        insert(&self.parent_states, SMALL_VALUES, key, &parent_states);
        Ok(parent_states)
    }

    /// The history of a sprint, from all tasks that were ever in it.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn sprint_history(&self, key: &TaskKey) -> Result<Option<Arc<SprintHistory>>> {
        if let Some(sprint_history) = lock(&self.sprint_histories).get(key) {
            return Ok(sprint_history.clone());
        }
        let sprint_history = self.read_sprint_history(key)?.map(Arc::new);
        insert(&self.sprint_histories, SMALL_VALUES, key, &sprint_history);
        Ok(sprint_history)
    }

    fn read_sprint_history(&self, key: &TaskKey) -> Result<Option<SprintHistory>> {
        let Some(sprint) = self.sprint(key)? else { return Ok(None) };
        let members = self.store.tasks_of(self.store.members(key));
        let records = members.map(|member| Ok(member?.1)).collect::<Result<Vec<TaskRecord>>>()?;
        let timelines = records.iter().map(|record| record.timeline.as_slice());
        Ok(Some(SprintHistory::new(&key.native_id, &sprint.facts, timelines)))
    }

    /// A task's folded timeline, if it is in the store.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn task_history(&self, key: &TaskKey) -> Result<Option<Arc<TaskHistory>>> {
        if let Some(history) = lock(&self.task_histories).get(key) {
            return Ok(history.clone());
        }
        let history = self.record(key)?.and_then(|record| TaskHistory::new(&record.timeline)).map(Arc::new);
        insert(&self.task_histories, TASK_HISTORIES, key, &history);
        Ok(history)
    }

    /// The key that the parent of a task with these facts has at a moment, if it is known.
    pub(super) fn parent_key(&self, key: &TaskKey, facts: &Facts, at: Millis) -> Result<Option<SmolStr>> {
        let Some(parent) = &facts.parent else { return Ok(None) };
        let known = self.facts(&TaskKey::new(key.source.as_str(), parent.native_id.as_str()), at)?;
        Ok(known.map(|facts| facts.key.clone()).or_else(|| parent.key.clone()))
    }

    /// The facts of a task at a moment, if it is in the store.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn facts(&self, key: &TaskKey, at: Millis) -> Result<Option<Arc<Facts>>> {
        Ok(self.task_history(key)?.map(|history| history.at(at).state.facts.clone()))
    }
}

/// Adds a value to a cache. A full cache is cleared first.
fn insert<T: Clone>(cache: &Mutex<HashMap<TaskKey, T>>, room: usize, key: &TaskKey, value: &T) {
    let mut cache = lock(cache);
    if cache.len() >= room {
        cache.clear();
    }
    cache.insert(key.clone(), value.clone());
}

/// What decides a task's place in the tree, from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ParentState {
    from: Millis,
    is_epic: bool,
    parent: Option<SmolStr>,
}

/// The parent states of a task, oldest first. Cheaper than folding its timeline, and needed of all its ancestors too.
fn parent_states(record: &TaskRecord) -> Vec<ParentState> {
    let Some((facts, created)) = timeline::first(&record.timeline) else { return Vec::new() };
    let mut parent_states = vec![ParentState::of(created, facts.task_type, facts.parent.as_ref())];
    for stored in &record.timeline[1..] {
        let Some(mut next) = parent_states.last().cloned() else { break };
        match &stored.event.change {
            Change::Parent(parent) => next.parent = parent.as_ref().map(|parent| parent.native_id.clone()),
            Change::Typed { task_type, .. } => next.is_epic = *task_type == TaskType::Epic,
            _ => continue,
        }
        next.from = stored.event.at;
        // Only the state after all events of one millisecond counts.
        parent_states.pop_if(|last| last.from == next.from);
        parent_states.push(next);
    }
    parent_states
}

impl ParentState {
    fn of(from: Millis, task_type: TaskType, parent: Option<&ParentRef>) -> Self {
        Self { from, is_epic: task_type == TaskType::Epic, parent: parent.map(|parent| parent.native_id.clone()) }
    }

    /// The one in force at a moment; before the creation, the first.
    fn at(parent_states: &[Self], moment: Millis) -> Option<&Self> {
        parent_states.get(parent_states.partition_point(|parent_state| parent_state.from <= moment).max(1) - 1)
    }
}

/// A task's place in the tree at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The task, its parent, and so on up to its root.
    pub chain: Vec<TaskKey>,
    /// The last of the chain is known only as somebody's parent: its own record is not in the store.
    pub root_unknown: bool,
}

impl Lineage {
    /// The lineage of a task at a moment.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn at(cache: &TimelineCache<'_>, key: &TaskKey, at: Millis) -> Result<Self> {
        let mut lineage = Self { chain: Vec::new(), root_unknown: false };
        let mut next = Some(key.clone());
        while let Some(key) = next.take().filter(|key| !lineage.chain.contains(key) && lineage.chain.len() < MAX_DEPTH)
        {
            let parent_states = cache.parent_states(&key)?;
            let parent_state = ParentState::at(&parent_states, at);
            lineage.root_unknown = parent_state.is_none();
            next = parent_state
                .filter(|parent_state| !parent_state.is_epic)
                .and_then(|parent_state| parent_state.parent.as_deref())
                .map(|parent| TaskKey::new(key.source.as_str(), parent));
            lineage.chain.push(key);
        }
        Ok(lineage)
    }

    /// The root: the epic-level ancestor, or the topmost.
    pub fn root(&self) -> &TaskKey {
        // The chain always has at least the task itself.
        &self.chain[self.chain.len() - 1]
    }

    /// The epic above a task; `None` when there is none or the task is the epic.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn epic<'k>(&'k self, cache: &TimelineCache<'_>, at: Millis) -> Result<Option<&'k TaskKey>> {
        let root = self.root();
        let is_epic = ParentState::at(&cache.parent_states(root)?, at).is_some_and(|parent_state| parent_state.is_epic);
        Ok((is_epic && self.chain.len() > 1).then_some(root))
    }
}

/// An interval of a task's history with one lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineagePeriod {
    /// When it began.
    pub from: Millis,
    /// The lineage in it.
    pub lineage: Lineage,
    /// The first part of its root's history trace.
    trace: TraceId,
    /// The ordinal in the id of the task's anchor in it.
    ordinal: u64,
    /// The span id of the task's anchor in it.
    span: SpanId,
}

/// Identifies a lineage: the task, its parent, and so on up to its root, and whether that is known.
fn lineage_hash(lineage: &Lineage) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for key in &lineage.chain {
        hasher.update(key.native_id.as_bytes()).update(&[0]);
    }
    hasher.update(&[u8::from(lineage.root_unknown)]);
    hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The lineage periods of a task, oldest first.
fn periods(cache: &TimelineCache<'_>, key: &TaskKey) -> Result<Vec<LineagePeriod>> {
    let Some(created) = cache.parent_states(key)?.first().map(|first| first.from) else { return Ok(Vec::new()) };
    let exported = cache.exported(key)?;
    let (mut periods, mut taken) = (Vec::<LineagePeriod>::new(), Vec::new());
    let mut next = Some(created);
    while let Some(from) = next {
        let lineage = Lineage::at(cache, key, from)?;
        if periods.last().is_none_or(|last| last.lineage != lineage) {
            let unknown = if lineage.root_unknown { UNKNOWN_PARENT } else { 0 };
            let ordinal = exported.ordinal(periods.len() as u64 + unknown, lineage_hash(&lineage), &taken);
            taken.push(ordinal);
            let (trace, span) = (ids::history_trace(lineage.root(), 1), ids::span(key, Role::Anchor, ordinal));
            periods.push(LineagePeriod { from, trace, ordinal, span, lineage });
        }
        let Some(last) = periods.last() else { break };
        next = next_change(cache, &last.lineage, from)?;
    }
    Ok(periods)
}

/// The next moment after `after` at which a task of the lineage changed its parent or type.
fn next_change(cache: &TimelineCache<'_>, lineage: &Lineage, after: Millis) -> Result<Option<Millis>> {
    let mut next: Option<Millis> = None;
    for key in &lineage.chain {
        let parent_states = cache.parent_states(key)?;
        let next_state = parent_states.iter().skip(1).find(|parent_state| parent_state.from > after);
        next = next_state.map(|parent_state| parent_state.from).into_iter().chain(next).min();
    }
    Ok(next)
}

/// The anchor of a task's spans during one lineage period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The root of its history trace.
    pub root: TaskKey,
    /// The first part of that trace.
    first: TraceId,
    /// The span id.
    pub span: SpanId,
    /// The parent task's anchor, in the same trace.
    pub parent: Option<(TaskKey, SpanId)>,
    /// The task's previous anchor: the root of its trace and its span id.
    pub former: Option<(TaskKey, SpanId)>,
    /// How it is stored once it is exported.
    pub(crate) fixed: FixedAnchor,
}

impl Anchor {
    /// The id of a part of its history trace.
    pub fn trace(&self, part: u32) -> TraceId {
        if part == 1 { self.first } else { ids::history_trace(&self.root, part) }
    }
}

/// The anchor of a task at a moment.
///
/// # Errors
/// Those of reading the store.
pub fn anchor(cache: &TimelineCache<'_>, key: &TaskKey, at: Millis) -> Result<Option<Anchor>> {
    let periods = cache.periods(key)?;
    let place = in_force(&periods, at);
    let Some(LineagePeriod { from, lineage, trace, ordinal, span }) = periods.get(place) else { return Ok(None) };
    let parent = lineage.chain.get(1);
    let fixed = match cache.exported(key)?.anchor(*ordinal) {
        Some(fixed) => fixed.clone(),
        None => {
            let former = place.checked_sub(1).and_then(|place| periods.get(place));
            FixedAnchor {
                ordinal: *ordinal,
                lineage: lineage_hash(lineage),
                parent: parent.map(|parent| parent_anchor(cache, parent, *from)).transpose()?.flatten(),
                former: former.map(|former| (former.lineage.root().native_id.clone(), former.span.0)),
            }
        }
    };
    Ok(Some(Anchor {
        root: lineage.root().clone(),
        first: *trace,
        span: *span,
        parent: parent.cloned().zip(fixed.parent()),
        former: fixed.former(&key.source),
        fixed,
    }))
}

/// The index of the period in force at a moment; before the first, the first.
fn in_force(periods: &[LineagePeriod], at: Millis) -> usize {
    periods.partition_point(|period| period.from <= at).max(1) - 1
}

/// The parent's anchor at a moment. A parent that is not in the store has none, and the task is at the top of its
/// trace.
fn parent_anchor(cache: &TimelineCache<'_>, parent: &TaskKey, at: Millis) -> Result<Option<SpanBytes>> {
    let periods = cache.periods(parent)?;
    Ok(periods.get(in_force(&periods, at)).map(|period| period.span.0))
}

/// Where a task's spans go now: the trace of its root (the part being filled) and its anchor there.
///
/// # Errors
/// Those of reading the store.
pub fn current(cache: &TimelineCache<'_>, key: &TaskKey) -> Result<Option<(TraceId, SpanId)>> {
    let Some(anchor) = anchor(cache, key, Millis(i64::MAX))? else { return Ok(None) };
    let part = cache.part(&anchor.root)?;
    Ok(Some((anchor.trace(part), anchor.span)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{facts, record, stored};
    use crate::model::{ParentRef, Status};

    fn task(
        native_id: &str,
        task_type: TaskType,
        parent: Option<&str>,
        later: &[(i64, Option<&str>)],
    ) -> (TaskKey, TaskRecord) {
        let reference = |id: &str| ParentRef { native_id: id.into(), key: None };
        let first = Facts { task_type, parent: parent.map(reference), ..facts(Status::Todo) };
        let mut timeline = vec![stored(100, Change::Created(Box::new(first)))];
        timeline.extend(later.iter().map(|(at, parent)| stored(*at, Change::Parent(parent.map(reference)))));
        let record = record(timeline);
        (TaskKey::new("jira", native_id), record)
    }

    fn store(tasks: &[(TaskKey, TaskRecord)]) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut transaction = store.begin().unwrap();
        for (key, record) in tasks {
            transaction.put_task(key, None, record, false).unwrap();
        }
        transaction.commit().unwrap();
        (dir, store)
    }

    #[test]
    fn the_root_is_the_epic_and_not_an_initiative_above_it() {
        let (_dir, store) = store(&[
            task("initiative", TaskType::Epic, None, &[]),
            task("epic", TaskType::Epic, Some("initiative"), &[]),
            task("story", TaskType::Story, Some("epic"), &[]),
            task("part", TaskType::Subtask, Some("story"), &[]),
        ]);
        let cache = TimelineCache::new(&store);
        let lineage = Lineage::at(&cache, &TaskKey::new("jira", "part"), Millis(500)).unwrap();
        assert_eq!(
            lineage.chain.iter().map(|key| key.native_id.as_str()).collect::<Vec<_>>(),
            ["part", "story", "epic"]
        );
        let top = Lineage::at(&cache, &TaskKey::new("jira", "epic"), Millis(500)).unwrap();
        assert_eq!(top.root().native_id, "epic");
    }

    #[test]
    fn a_new_parent_begins_a_period_for_all_tasks_below() {
        let (_dir, store) = store(&[
            task("e1", TaskType::Epic, None, &[]),
            task("e2", TaskType::Epic, None, &[]),
            task("story", TaskType::Story, Some("e1"), &[(300, Some("e2"))]),
            task("part", TaskType::Subtask, Some("story"), &[]),
        ]);
        let cache = TimelineCache::new(&store);
        let key = TaskKey::new("jira", "part");
        let roots: Vec<_> =
            periods(&cache, &key).unwrap().iter().map(|e| (e.from.0, e.lineage.root().native_id.clone())).collect();
        assert_eq!(roots, [(100, "e1".into()), (300, "e2".into())]);
        let (old, new) =
            (anchor(&cache, &key, Millis(200)).unwrap().unwrap(), anchor(&cache, &key, Millis(300)).unwrap().unwrap());
        assert_ne!(old.span, new.span);
        assert_eq!(new.former, Some((TaskKey::new("jira", "e1"), old.span)));
    }

    #[test]
    fn an_anchor_changes_once_an_unknown_parent_appears() {
        let story = || task("story", TaskType::Story, Some("e1"), &[]);
        let key = TaskKey::new("jira", "story");
        let (_dir, before) = store(&[story()]);
        let (_dir, after) = store(&[story(), task("e1", TaskType::Epic, None, &[])]);
        let unknown = anchor(&TimelineCache::new(&before), &key, Millis(200)).unwrap().unwrap();
        let known = anchor(&TimelineCache::new(&after), &key, Millis(200)).unwrap().unwrap();
        assert_eq!((unknown.root.native_id.as_str(), unknown.parent), ("e1", None));
        assert_ne!(unknown.span, known.span);
        assert!(known.parent.is_some());
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let (_dir, store) =
            store(&[task("a", TaskType::Task, Some("b"), &[]), task("b", TaskType::Task, Some("a"), &[])]);
        let lineage = Lineage::at(&TimelineCache::new(&store), &TaskKey::new("jira", "a"), Millis(500)).unwrap();
        assert_eq!(lineage.chain.len(), 2);
    }
}
