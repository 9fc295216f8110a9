//! Merging what many writers reported: every report is kept, and the timeline is folded from all of them.
//!
//! Reports are gathered from the records of a page, so that each task is written once, in the transaction that moves the
//! cursor past them. A report that comes twice counts once.

use super::job::Job;
use crate::model::error::Result;
use crate::model::guidance::stored::AllGuidance;
use crate::model::observation::Operations;
use crate::model::operation;
use crate::model::report::{Report, SprintReport};
use crate::model::reported;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{Change, Event, EventId, StoredEvent, TaskKey, TaskRecord};
use crate::store::{GUIDANCE, Transaction};

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
        self.store_guidance(to)
    }

    fn store_guidance(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        let reports = std::mem::take(&mut self.work.guidance);
        if reports.is_empty() {
            return Ok(());
        }
        let mut all: AllGuidance = to.metadata(GUIDANCE, "")?.unwrap_or_default();
        let known = all.clone();
        for report in &reports {
            if !all.fold(report) {
                tracing::warn!(project = report.project, "too much guidance: end some of it, so that more is stored");
            }
        }
        if all == known { Ok(()) } else { to.put_metadata(GUIDANCE, "", &all) }
    }

    pub(super) fn store_task_reports(
        &mut self,
        to: &mut Transaction<'_>,
        key: &TaskKey,
        Operations { project, id, reports }: Operations<Report>,
    ) -> Result<()> {
        if let Some(twin) = self.twin(to, &project, &id)? {
            return self.hand_over(to, key, twin, &reports);
        }
        let known = to.task(key)?;
        let mut all = to.reported(false, key)?;
        if !reported::add(&mut all, reports) {
            return Ok(());
        }
        to.put_reported(false, key, &all)?;
        let known = known.as_deref();
        self.mark_linked(key, known);
        let derives = self.source.config.derive_status;
        let Some(merged) = reported::merge(key, (&project, &id), known, &all, derives, to.seq()) else { return Ok(()) };
        self.report.changes += merged.added as u64;
        let mut record = merged.record;
        restore(key, &mut record, to.seq(), self.run.now);
        self.attach_pending(to, key, known, &mut record)?;
        if known != Some(&record) { to.put_task(key, known, &record, true) } else { Ok(()) }
    }

    pub(super) fn store_sprint_reports(
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

/// A task that was deleted because a tool had it is there again when it is reported of and the tool has it no longer.
fn restore(key: &TaskKey, record: &mut TaskRecord, seq: u64, now: Millis) {
    if timeline::last(&record.timeline).is_none_or(|state| state.deleted.is_none()) {
        return;
    }
    let at = record.timeline.last().map_or(now, |last| last.event.at.max(now));
    let id = EventId::of(key, &format!("restored:{}", at.0));
    let event = Event { id, at, actor: None, observed: true, change: Change::Restored };
    record.timeline.push(StoredEvent { event, seq });
}
