//! Activities reach the tasks they belong to: those that are known, and those that appear later.
//!
//! An activity is attached to every task it names. It is also stored under each name it mentions, so that a task that appears
//! under that name later, from whatever source, picks it up in the transaction that stores the task. So the order in which
//! sources are polled never shows. A task of another source is exported through *that* source's journal, whose seal only moves
//! while no sweep of it is half done. What an activity shows of agents is an activity of its own.

use std::collections::BTreeSet;

use super::job::Job;
use crate::model::activity::{self, Attached, StoredActivity};
use crate::model::agents;
use crate::model::error::Result;
use crate::model::observation::Activity;
use crate::model::time::{DAY, Millis};
use crate::model::{TaskKey, TaskRecord};
use crate::store::Transaction;
use crate::store::footprint::names_ever;
use crate::store::own::{DERIVES, EXPIRED, UNSEALED};

/// How long an activity stays stored under the names it mentions, in milliseconds.
const PENDING_FOR: i64 = 400 * DAY;

impl Job<'_> {
    /// Finds the tasks that an activity names. They get it at the end of the page, so that each is written once.
    pub(super) fn match_activity(&mut self, to: &mut Transaction<'_>, activity: &Activity) -> Result<()> {
        if let Some(evidence) = agents::evidence(activity, &self.agents) {
            self.match_one(to, &evidence)?;
        }
        self.match_one(to, activity)
    }

    fn match_one(&mut self, to: &mut Transaction<'_>, activity: &Activity) -> Result<()> {
        let stored = StoredActivity::of(self.name(), activity);
        let recent = stored.at >= self.run.now.plus(-PENDING_FOR);
        let own = activity.tasks.iter().map(|id| self.key(id));
        let mut tasks: BTreeSet<TaskKey> = own.collect();
        for name in activity::names(self.name(), activity) {
            tasks.extend(to.named(&name)?);
            if recent {
                to.put_pending(&name, &stored)?;
            }
        }
        for key in tasks {
            self.work.activities.entry(key).or_default().push(stored.clone());
        }
        Ok(())
    }

    /// Attaches the activities of a page to the tasks that were found for them.
    pub(super) fn attach_activities(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        for (key, activities) in std::mem::take(&mut self.work.activities) {
            let Some(known) = to.task(&key)? else { continue };
            let mut next = TaskRecord::clone(&known);
            if self.attach(to, &key, &mut next, &activities)? {
                to.put_task(&key, Some(&known), &next, true)?;
                if key.source != self.name() {
                    self.other_sources.insert(key.source);
                }
            }
        }
        Ok(())
    }

    /// Attaches to a task that is new, or has a new name, the activities that were stored under that name.
    pub(super) fn attach_pending(
        &mut self,
        to: &Transaction<'_>,
        key: &TaskKey,
        known: Option<&TaskRecord>,
        record: &mut TaskRecord,
    ) -> Result<()> {
        let before = known.map(names_ever).unwrap_or_default();
        let mut names: Vec<String> = names_ever(record).difference(&before).map(|name| name.to_uppercase()).collect();
        if known.is_none() {
            names.push(activity::name_of_id(key));
        }
        for name in names {
            let activities = to.pending(&name)?;
            self.attach(to, key, record, &activities)?;
        }
        Ok(())
    }

    /// Adds activities to a record and counts them. Returns whether any was new.
    pub(super) fn attach(
        &mut self,
        to: &Transaction<'_>,
        key: &TaskKey,
        record: &mut TaskRecord,
        activities: &[StoredActivity],
    ) -> Result<bool> {
        let derives = self.derives(to, &key.source)?;
        let mut new = 0;
        for activity in activities {
            let attached = activity::attach(key, &mut record.timeline, activity, derives, to.seq(), self.run.now);
            new += u64::from(attached != Attached::Known);
            self.report.repaired += u64::from(attached == Attached::Repaired);
        }
        self.report.changes += new;
        Ok(new > 0)
    }

    /// Whether a source derives status from artifacts: ours by its configuration, another by what its last run stored.
    fn derives(&self, to: &Transaction<'_>, source: &str) -> Result<bool> {
        if source == self.name() {
            return Ok(self.source.config.derive_status);
        }
        Ok(to.metadata(DERIVES, source)?.unwrap_or(false))
    }

    /// Stores, for the runs of other sources, whether ours derives.
    pub(super) fn put_derives(&self, to: &mut Transaction<'_>) -> Result<()> {
        to.put_metadata(DERIVES, self.name(), &self.source.config.derive_status)
    }

    /// Stores that the source has changes that must not be exported before its sweep is complete.
    pub(super) fn mark_unsealed(&self, to: &mut Transaction<'_>, changed: bool) -> Result<()> {
        if changed { to.put_metadata(UNSEALED, self.name(), &true) } else { Ok(()) }
    }

    /// Our sweep is complete. Other sources whose tasks it changed are sealed as well, unless a sweep of theirs is half done:
    /// its own end will seal them. Once a day pending activities expire.
    pub(super) fn seal_other_sources(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        if self.store.metadata(UNSEALED, self.name())? == Some(true) {
            to.put_metadata(UNSEALED, self.name(), &false)?;
        }
        for source in self.other_sources.clone() {
            let sealed = self.store.sealed(&source)?;
            let unsealed = self.store.metadata(UNSEALED, &source)?.unwrap_or(false);
            if sealed > 0 && sealed < self.store.head()? && !unsealed {
                to.seal(&source)?;
            }
        }
        self.forget_insights(to)?;
        self.expire_pending(to)
    }

    fn expire_pending(&self, to: &mut Transaction<'_>) -> Result<()> {
        let expired: Option<Millis> = self.store.metadata(EXPIRED, self.name())?;
        if expired.is_some_and(|expired| self.run.now.0 - expired.0 < DAY) {
            return Ok(());
        }
        to.put_metadata(EXPIRED, self.name(), &self.run.now)?;
        to.expire_pending(self.run.now.plus(-PENDING_FOR)).map(drop)
    }
}
