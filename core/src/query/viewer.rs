//! [`Viewer`]: a store at one moment, and what views share when they look up the neighbours of a task.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Config;
use crate::export::lineage::{Lineage, TimelineCache};
use crate::model::error::Result;
use crate::model::interval::{self, Interval};
use crate::model::link;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{ParentRef, SmolStr, SprintRecord, TaskKey, TaskRecord};
use crate::store::Store;

/// A store at one moment. It caches the neighbours it reads, so make a new one for each query.
pub struct Viewer<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a Config,
    pub(super) now: Millis,
    pub(super) cache: TimelineCache<'a>,
    neighbours: RefCell<HashMap<TaskKey, Option<Rc<Neighbour>>>>,
    sprints: RefCell<HashMap<TaskKey, Option<Rc<SprintRecord>>>>,
}

/// The part of a task that its neighbours show: small enough to cache for many tasks.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The key people use now.
    pub(super) id: SmolStr,
    parent: Option<ParentRef>,
    /// When it existed and was unfinished.
    pub(super) unfinished: Vec<Interval>,
}

impl Neighbour {
    fn of(record: &TaskRecord) -> Option<Self> {
        let state = timeline::last(&record.timeline)?;
        let facts = Arc::unwrap_or_clone(state.facts);
        Some(Self { id: facts.key, parent: facts.parent, unfinished: interval::unfinished(&record.timeline) })
    }
}

impl<'a> Viewer<'a> {
    /// A view of `store` at `now`. `config` gives the projects, the tools and the meaning of links.
    pub fn new(store: &'a Store, config: &'a Config, now: Millis) -> Self {
        Self {
            store,
            config,
            now,
            cache: TimelineCache::new(store),
            neighbours: RefCell::default(),
            sprints: RefCell::default(),
        }
    }

    /// The project a native project belongs to: the portfolio project that includes it, else itself.
    pub fn project_id(&self, source: &str, project: &str) -> String {
        self.config.project_of(source, project).map_or_else(|| project.to_owned(), |known| known.id.clone())
    }

    /// The tool behind a source; `None` when the configuration no longer has the source.
    pub(super) fn tool(&self, source: &str) -> Option<String> {
        self.config.source(source).map(|source| source.kind.clone())
    }

    /// Whether an open "is blocked by" link counts as blocked in this source.
    pub(super) fn links_block(&self, source: &str) -> bool {
        self.config.source(source).is_some_and(|source| source.blocked.links)
    }

    fn neighbour(&self, key: &TaskKey) -> Result<Option<Rc<Neighbour>>> {
        if let Some(known) = self.neighbours.borrow().get(key) {
            return Ok(known.clone());
        }
        let found = self.cache.record(key)?.and_then(|record| Neighbour::of(&record)).map(Rc::new);
        self.neighbours.borrow_mut().insert(key.clone(), found.clone());
        Ok(found)
    }

    /// Whether people use this key for a task.
    pub(super) fn is_called(&self, key: &TaskKey, typed: &str) -> Result<bool> {
        let known = self.neighbour(key)?;
        Ok(known.is_some_and(|known| known.id.to_lowercase() == typed.to_lowercase()))
    }

    pub(super) fn sprint_record(&self, key: &TaskKey) -> Result<Option<Rc<SprintRecord>>> {
        if let Some(known) = self.sprints.borrow().get(key) {
            return Ok(known.clone());
        }
        let found = self.store.sprint(key)?.map(Rc::new);
        self.sprints.borrow_mut().insert(key.clone(), found.clone());
        Ok(found)
    }

    /// The key people use for a parent: its own if the store holds it, else the one the tool gave, else its native id.
    pub(super) fn parent_id(&self, source: &str, parent: &ParentRef) -> Result<SmolStr> {
        let known = self.neighbour(&TaskKey::new(source, &*parent.native_id))?;
        let given = || parent.key.clone().unwrap_or_else(|| parent.native_id.clone());
        Ok(known.map_or_else(given, |known| known.id.clone()))
    }

    /// The key people use for the root of a task: the nearest epic among itself and its ancestors, else the topmost ancestor.
    pub(super) fn root_id(&self, key: &TaskKey) -> Result<SmolStr> {
        let chain = Lineage::at(&self.cache, key, interval::FOREVER)?.chain;
        let root = chain.last().unwrap_or(key);
        if let Some(known) = self.neighbour(root)? {
            return Ok(known.id.clone());
        }
        // For a root that the store does not hold, its child has the key.
        let child = chain.iter().rev().nth(1).map(|child| self.neighbour(child)).transpose()?.flatten();
        let parent = child.as_ref().and_then(|child| child.parent.as_ref());
        parent.map_or_else(|| Ok(root.native_id.clone()), |parent| self.parent_id(&root.source, parent))
    }

    /// The task that a link points to, if the store holds it: by its native id when the tool gives one, else by its key in
    /// the same source.
    pub(super) fn linked_task(&self, source: &str, native_id: Option<&str>, id: &str) -> Result<Option<Rc<Neighbour>>> {
        link::target(source, native_id, || self.store.named(id), |key| self.neighbour(&key))
    }
}
