//! Merging what many writers reported: every report is kept, and the timeline is folded from all of them.
//!
//! Reports are gathered from the records of a page, so that each task is written once, in the transaction that moves the
//! cursor past them. A report that comes twice counts once.

use super::job::Job;
use crate::model::TaskKey;
use crate::model::error::Result;
use crate::model::observation::Operations;
use crate::model::operation;
use crate::model::reported::{self, Report, SprintReport};
use crate::store::Transaction;

impl Job<'_> {
    /// Takes what a record reports of a task.
    pub(super) fn gather(&mut self, operations: Operations<Report>) {
        let key = self.key(&operation::native_id(&operations.project, &operations.id));
        match self.work.reports.get_mut(&key) {
            Some(known) => known.reports.extend(operations.reports),
            None => drop(self.work.reports.insert(key, operations)),
        }
    }

    /// Takes what a record reports of a sprint.
    pub(super) fn gather_of_sprint(&mut self, operations: Operations<SprintReport>) {
        let key = self.key(&operation::native_id(&operations.project, &operations.id));
        match self.work.sprint_reports.get_mut(&key) {
            Some(known) => known.reports.extend(operations.reports),
            None => drop(self.work.sprint_reports.insert(key, operations)),
        }
    }

    /// Stores what was gathered.
    pub(super) fn store_reports(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        for (key, operations) in std::mem::take(&mut self.work.sprint_reports) {
            self.store_sprint_reports(to, &key, operations)?;
        }
        for (key, operations) in std::mem::take(&mut self.work.reports) {
            self.store_task_reports(to, &key, operations)?;
        }
        Ok(())
    }

    fn store_task_reports(
        &mut self,
        to: &mut Transaction<'_>,
        key: &TaskKey,
        Operations { project, id, reports }: Operations<Report>,
    ) -> Result<()> {
        let mut all = to.reported(false, key)?;
        if !reported::add(&mut all, reports) {
            return Ok(());
        }
        to.put_reported(false, key, &all)?;
        let known = to.task(key)?;
        let known = known.as_deref();
        self.mark_linked(key, known);
        let derives = self.source.config.derive_status;
        let Some(merged) = reported::merge(key, (&project, &id), known, &all, derives, to.seq()) else { return Ok(()) };
        self.report.changes += merged.added as u64;
        let mut record = merged.record;
        self.attach_pending(to, key, known, &mut record)?;
        if known != Some(&record) { to.put_task(key, known, &record, true) } else { Ok(()) }
    }

    fn store_sprint_reports(
        &mut self,
        to: &mut Transaction<'_>,
        key: &TaskKey,
        Operations { project, id, reports }: Operations<SprintReport>,
    ) -> Result<()> {
        let mut all = to.reported(true, key)?;
        if !reported::add(&mut all, reports) {
            return Ok(());
        }
        to.put_reported(true, key, &all)?;
        self.store_sprint(to, &key.native_id, reported::sprint(&project, &id, &all))
    }
}
