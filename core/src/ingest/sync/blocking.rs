//! Where links block: a task's events say when it was blocked by others, and follow its blockers.
//!
//! At the end of a page every task on it is looked at, and every task that one of those blocks. So a blocker may be polled
//! before or after the task it blocks, and the events are the same.

use std::collections::BTreeSet;

use super::job::Job;
use crate::model::error::Result;
use crate::model::timeline;
use crate::model::{TaskKey, TaskRecord};
use crate::model::{blocking, interval, link};
use crate::store::Transaction;
use crate::store::footprint::names_ever;

impl Job<'_> {
    /// Marks a task on the page, if a change of it may change who is blocked: where links block, or where they did.
    pub(super) fn mark_linked(&mut self, key: &TaskKey, known: Option<&TaskRecord>) {
        if self.source.config.blocked.links || known.is_some_and(has_blocked_events) {
            self.work.linked.insert(key.clone());
        }
    }

    /// Recomputes when the tasks of the page, and the tasks that they block, were blocked by links.
    pub(super) fn update_blocked_time(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        let linked = std::mem::take(&mut self.work.linked);
        if linked.is_empty() {
            return Ok(());
        }
        let mut tasks: BTreeSet<TaskKey> = linked.iter().cloned().collect();
        if self.source.config.blocked.links {
            self.load_dependents(to, &linked)?;
            for key in &linked {
                let Some(record) = to.task(key)? else { continue };
                for name in names_ever(&record).into_iter().chain([key.native_id.as_str()]) {
                    tasks.extend(to.dependents(&key.source, name)?);
                }
            }
        }
        self.load_blockers(to, &tasks)?;
        tasks.into_iter().try_for_each(|key| self.update_blocked_time_of(to, &key))
    }

    fn update_blocked_time_of(&mut self, to: &mut Transaction<'_>, key: &TaskKey) -> Result<()> {
        let Some(known) = to.task(key)? else { return Ok(()) };
        let Some((_, created)) = timeline::first(&known.timeline) else { return Ok(()) };
        let links = self.source.config.blocked.links;
        let linked =
            links && (!known.blockers.is_empty() || interval::blocking_links(&known.timeline).next().is_some());
        if !linked && !has_blocked_events(&known) {
            return Ok(());
        }
        let events = if linked {
            let find = |id: Option<&str>, name: &str| find(to, key, id, name);
            blocking::events(key, created, &blocking::blocker_histories(&known, self.run.now, find)?)
        } else {
            Vec::new()
        };
        let mut next = TaskRecord::clone(&known);
        self.report.changes += blocking::recompute(&mut next.timeline, events, to.seq());
        if next != *known { to.put_task(key, Some(&known), &next, true) } else { Ok(()) }
    }
}

/// Whether a task has events that follow from links.
fn has_blocked_events(record: &TaskRecord) -> bool {
    record.timeline.iter().any(|stored| stored.event.change.is_from_links())
}

/// The key of the task that a link means and when it was unfinished, if we hold it.
fn find(to: &Transaction<'_>, of: &TaskKey, id: Option<&str>, name: &str) -> Result<Option<blocking::LinkedTask>> {
    let named = || Ok(to.named(&name.to_uppercase())?.into_iter().collect());
    link::target(&of.source, id, named, |key| {
        let Some(record) = to.task(&key)? else { return Ok(None) };
        let state = timeline::last(&record.timeline);
        Ok(state.map(|state| (state.facts.key.clone(), interval::unfinished(&record.timeline))))
    })
}
