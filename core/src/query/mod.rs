//! What people see of tasks and sprints: the objects of the `tasks`, `sprints` and `show` commands. Only reads.
//!
//! Read [`Viewer`] first: it makes a [`TaskView`] or [`SprintView`] of what the store keeps, at one moment. Every number in
//! them follows from timelines through [`crate::model::timeline`], [`crate::model::sprint`] and [`crate::model::totals`]; what is added here is the
//! neighbourhood: parents, blockers, sprints, children. Printing is left to the command line.

mod events;
mod filter;
mod natural;
mod sprint;
mod task;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub use events::{EventKind, EventView};
pub use filter::{SprintFilter, StatusFilter, TaskFilter};
pub use sprint::{DayView, SprintView};
pub use task::{Subtasks, TaskView};

use crate::config::Config;
use crate::export::lineage::{Lineage, TimelineCache};
use crate::model::error::Result;
use crate::model::interval::{self, Interval};
use crate::model::link;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{ParentRef, SmolStr, SprintRecord, TaskKey, TaskRecord};
use crate::store::Store;

/// Looks at a store at one moment. Remembers what it read of neighbours, so make a new one for each question.
pub struct Viewer<'a> {
    store: &'a Store,
    config: &'a Config,
    now: Millis,
    cache: TimelineCache<'a>,
    neighbours: RefCell<HashMap<TaskKey, Option<Rc<Neighbour>>>>,
    sprints: RefCell<HashMap<TaskKey, Option<Rc<SprintRecord>>>>,
}

/// What others need to know of a task: little enough to remember for many.
#[derive(Debug)]
struct Neighbour {
    /// The key people say now.
    id: SmolStr,
    parent: Option<ParentRef>,
    /// When it was there and unfinished.
    unfinished: Vec<Interval>,
}

impl Neighbour {
    fn of(record: &TaskRecord) -> Option<Self> {
        let state = timeline::last(&record.timeline)?;
        let facts = std::sync::Arc::unwrap_or_clone(state.facts);
        Some(Self { id: facts.key, parent: facts.parent, unfinished: interval::unfinished(&record.timeline) })
    }
}

impl<'a> Viewer<'a> {
    /// A look at `store` at `now`; projects, tools and the meaning of links come from `config`.
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

    /// The project a native project belongs to: the one of the portfolio that includes it, else itself.
    pub fn project_id(&self, source: &str, project: &str) -> String {
        self.config.project_of(source, project).map_or_else(|| project.to_owned(), |known| known.id.clone())
    }

    /// The tool behind a source; `None` when the configuration no longer has the source.
    fn tool(&self, source: &str) -> Option<String> {
        self.config.source(source).map(|source| source.kind.clone())
    }

    /// Whether an open "is blocked by" link counts as blocked in this source.
    fn links_block(&self, source: &str) -> bool {
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

    fn sprint_record(&self, key: &TaskKey) -> Result<Option<Rc<SprintRecord>>> {
        if let Some(known) = self.sprints.borrow().get(key) {
            return Ok(known.clone());
        }
        let found = self.store.sprint(key)?.map(Rc::new);
        self.sprints.borrow_mut().insert(key.clone(), found.clone());
        Ok(found)
    }

    /// The key people say for a parent: its own if we know it, else the one the tool told, else its native id.
    fn parent_id(&self, source: &str, parent: &ParentRef) -> Result<SmolStr> {
        let known = self.neighbour(&TaskKey::new(source, &*parent.native_id))?;
        let told = || parent.key.clone().unwrap_or_else(|| parent.native_id.clone());
        Ok(known.map_or_else(told, |known| known.id.clone()))
    }

    /// The key people say for the root of a task: the nearest epic among itself and its ancestors, else the topmost ancestor.
    fn root_id(&self, key: &TaskKey) -> Result<SmolStr> {
        let chain = Lineage::at(&self.cache, key, interval::FOREVER)?.chain;
        let root = chain.last().unwrap_or(key);
        if let Some(known) = self.neighbour(root)? {
            return Ok(known.id.clone());
        }
        // A root we do not hold is known by what its child says of it.
        let child = chain.iter().rev().nth(1).map(|child| self.neighbour(child)).transpose()?.flatten();
        let told = child.as_ref().and_then(|child| child.parent.as_ref());
        told.map_or_else(|| Ok(root.native_id.clone()), |parent| self.parent_id(&root.source, parent))
    }

    /// The task a link means, if we hold it: by its native id when the tool told it, else by its key in the same source.
    fn linked_task(&self, source: &str, native_id: Option<&str>, id: &str) -> Result<Option<Rc<Neighbour>>> {
        link::target(source, native_id, || self.store.named(id), |key| self.neighbour(&key))
    }
}
