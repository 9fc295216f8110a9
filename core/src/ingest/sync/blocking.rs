//! Where links block: a task's facts say when it waited, and they follow its blockers.
//!
//! At the end of a page every task it told of is looked at, and every task that waits for one of those. So a blocker may be
//! heard before or after the task it holds up, and the facts are the same.

use std::collections::BTreeSet;

use super::Job;
use crate::model::error::Result;
use crate::model::timeline;
use crate::model::{TaskKey, TaskRecord};
use crate::model::{blocking, interval, link};
use crate::store::Transaction;
use crate::store::footprint::names_ever;

impl Job<'_> {
    /// Takes note that a page told of a task, if that may change who waits: where links block, or where they did.
    pub(super) fn note_told(&mut self, key: &TaskKey, known: Option<&TaskRecord>) {
        if self.source.config.blocked.links || known.is_some_and(is_laid) {
            self.told.insert(key.clone());
        }
    }

    /// Lays waiting over the tasks that a page told of and over those that wait for them.
    pub(super) fn lay_waits(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        let told = std::mem::take(&mut self.told);
        let mut tasks: BTreeSet<TaskKey> = told.iter().cloned().collect();
        if self.source.config.blocked.links {
            for key in &told {
                let Some(record) = to.task(key)? else { continue };
                for name in names_ever(&record).into_iter().chain([key.native_id.as_str()]) {
                    tasks.extend(to.waiters(&key.source, name)?);
                }
            }
        }
        tasks.into_iter().try_for_each(|key| self.lay_on(to, &key))
    }

    fn lay_on(&mut self, to: &mut Transaction<'_>, key: &TaskKey) -> Result<()> {
        let Some(known) = to.task(key)? else { return Ok(()) };
        let Some((_, created)) = timeline::first(&known.timeline) else { return Ok(()) };
        let links = self.source.config.blocked.links;
        let linked =
            links && (!known.blockers.is_empty() || interval::blocking_links(&known.timeline).next().is_some());
        if !linked && !is_laid(&known) {
            return Ok(());
        }
        let events = if linked {
            let find = |id: Option<&str>, name: &str| find(to, key, id, name);
            blocking::events(key, created, &blocking::blocker_histories(&known, self.run.now, find)?)
        } else {
            Vec::new()
        };
        let mut next: TaskRecord = known.clone();
        self.report.changes += blocking::recompute(&mut next.timeline, events, to.seq());
        if next != known { to.put_task(key, Some(&known), &next, true) } else { Ok(()) }
    }
}

/// Whether waiting was laid over a task.
fn is_laid(record: &TaskRecord) -> bool {
    record.timeline.iter().any(|stored| stored.event.change.is_from_links())
}

/// What is known of the task that a link means, if we hold it.
fn find(to: &Transaction<'_>, of: &TaskKey, id: Option<&str>, name: &str) -> Result<Option<blocking::LinkedTask>> {
    let named = || Ok(to.named(&name.to_uppercase())?.into_iter().collect());
    link::target(&of.source, id, named, |key| {
        let Some(record) = to.task(&key)? else { return Ok(None) };
        let state = timeline::last(&record.timeline);
        Ok(state.map(|state| (state.facts.key.clone(), interval::unfinished(&record.timeline))))
    })
}
