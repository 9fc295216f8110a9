//! What people did reaches the tasks it belongs to: those known by now, and those that come later.
//!
//! A deed is attached to every task it names, and it also waits under each name, for a task that appears under it (from
//! whatever source) takes what waits there in the transaction that keeps it. So the order in which sources are heard never
//! shows. A task of another source is told by *that* source's journal, whose seal only moves while no sweep of it is half
//! done.

use std::collections::BTreeSet;

use super::Job;
use crate::model::activity::{self, Attached, StoredActivity};
use crate::model::error::Result;
use crate::model::observation::Activity;
use crate::model::time::{DAY, Millis};
use crate::model::{TaskKey, TaskRecord};
use crate::store::Transaction;
use crate::store::footprint::names_ever;

/// How long a deed waits for a task of the name it mentions.
const PATIENCE: i64 = 400 * DAY;
/// The group of notes that says whether a source derives status from artifacts.
const DERIVES: &str = "derives";
/// The group of notes that says whether a source has changes that its seal does not cover yet.
const OPEN: &str = "open";
/// The group of notes that says when what waited too long was last forgotten.
const SWEPT: &str = "waiting";

impl Job<'_> {
    /// Finds the tasks an activity names; they get it at the end of the page, so that each is written once.
    pub(super) fn take_activity(&mut self, to: &mut Transaction<'_>, activity: &Activity) -> Result<()> {
        let stored = StoredActivity::of(self.name(), activity);
        let waits = stored.at >= self.run.now.plus(-PATIENCE);
        let own = activity.tasks.iter().map(|id| TaskKey::new(self.name(), id.as_str()));
        let mut tasks: BTreeSet<TaskKey> = own.collect();
        for name in activity::names(self.name(), activity) {
            tasks.extend(to.named(&name)?);
            if waits {
                to.put_waiting(&name, &stored)?;
            }
        }
        for key in tasks {
            self.activities.entry(key).or_default().push(stored.clone());
        }
        Ok(())
    }

    /// Gives the tasks that were found what was done for them.
    pub(super) fn attach_deeds(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        for (key, activities) in std::mem::take(&mut self.activities) {
            let Some(known) = to.task(&key)? else { continue };
            let mut next = known.clone();
            if self.attach(to, &key, &mut next, &activities)? {
                to.put_task(&key, Some(&known), &next, true)?;
                if key.source != self.name() {
                    self.touched.insert(key.source);
                }
            }
        }
        Ok(())
    }

    /// Gives a task that is new, or has a new name, what waited for it.
    pub(super) fn attach_waiting(
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
            let activities = to.waiting(&name)?;
            self.attach(to, key, record, &activities)?;
        }
        Ok(())
    }

    /// Adds deeds to a record and counts them. Says whether any was new.
    fn attach(
        &mut self,
        to: &Transaction<'_>,
        key: &TaskKey,
        record: &mut TaskRecord,
        activities: &[StoredActivity],
    ) -> Result<bool> {
        let derives = self.derives(&key.source)?;
        let mut new = 0;
        for activity in activities {
            let attached = activity::attach(key, &mut record.timeline, activity, derives, to.seq(), self.run.now);
            new += u64::from(attached != Attached::Known);
            self.report.repaired += u64::from(attached == Attached::Repaired);
        }
        self.report.changes += new;
        Ok(new > 0)
    }

    /// Whether a source derives status from artifacts: our own by its configuration, another by what its last run noted.
    fn derives(&self, source: &str) -> Result<bool> {
        if source == self.name() {
            return Ok(self.source.config.derive_status);
        }
        Ok(self.store.metadata(DERIVES, source)?.unwrap_or(false))
    }

    /// Notes for other sources' runs whether ours derives.
    pub(super) fn note_derives(&self, to: &mut Transaction<'_>) -> Result<()> {
        to.put_metadata(DERIVES, self.name(), &self.source.config.derive_status)
    }

    /// Notes that the source has changes which must not be shown before its sweep is through.
    pub(super) fn note_open(&self, to: &mut Transaction<'_>, changed: bool) -> Result<()> {
        if changed { to.put_metadata(OPEN, self.name(), &true) } else { Ok(()) }
    }

    /// Our sweep is through. Other sources whose tasks it changed may be told as well, unless a sweep of theirs is half done
    /// (its own end will seal them); and once a day what waited too long is forgotten.
    pub(super) fn seal_touched(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        if self.store.metadata(OPEN, self.name())? == Some(true) {
            to.put_metadata(OPEN, self.name(), &false)?;
        }
        for source in std::mem::take(&mut self.touched) {
            let sealed = self.store.sealed(&source)?;
            let open = self.store.metadata(OPEN, &source)?.unwrap_or(false);
            if sealed > 0 && sealed < self.store.head()? && !open {
                to.seal(&source)?;
            }
        }
        self.forget_waiting(to)
    }

    fn forget_waiting(&self, to: &mut Transaction<'_>) -> Result<()> {
        let swept: Option<Millis> = self.store.metadata(SWEPT, self.name())?;
        if swept.is_some_and(|swept| self.run.now.0 - swept.0 < DAY) {
            return Ok(());
        }
        to.put_metadata(SWEPT, self.name(), &self.run.now)?;
        to.forget_waiting(self.run.now.plus(-PATIENCE)).map(drop)
    }
}
