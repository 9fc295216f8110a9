//! Merging what many writers reported: every report is kept, and the timeline is folded from all of them.
//!
//! Reports are gathered from the records of a page, so that each task is written once, in the transaction that moves the
//! cursor past them. A report that comes twice counts once.

use super::job::Job;
use crate::lock;
use crate::model::TaskKey;
use crate::model::activity::StoredActivity;
use crate::model::error::Result;
use crate::model::guidance::stored::AllGuidance;
use crate::model::observation::Operations;
use crate::model::operation;
use crate::model::report::{Report, Reported, SprintReport};
use crate::model::reported;
use crate::model::timeline::{self, State};
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
        let known = to.task(key)?;
        if known.is_none()
            && let Some(twin) = self.twin(to, &project, &id)?
        {
            let activities: Vec<StoredActivity> = reports.iter().map(|report| self.activity(report)).collect();
            self.work.activities.entry(twin).or_default().extend(activities);
            return Ok(());
        }
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
        self.attach_pending(to, key, known, &mut record)?;
        if known != Some(&record) { to.put_task(key, known, &record, true) } else { Ok(()) }
    }

    /// The task of another source that has this key in the same project of the portfolio, if there is exactly one: what is
    /// reported is work on that one.
    fn twin(&self, to: &Transaction<'_>, project: &str, id: &str) -> Result<Option<TaskKey>> {
        let ours = self.project_id(self.name(), project);
        let mut twins = Vec::new();
        for key in to.named(&id.to_uppercase())? {
            if key.source == self.name() {
                continue;
            }
            let state = to.task(&key)?.and_then(|record| timeline::last(&record.timeline));
            let has_key = |state: &State| state.deleted.is_none() && state.facts.key == id;
            if state.is_some_and(|state| has_key(&state) && self.project_id(&key.source, &state.facts.project) == ours)
            {
                twins.push(key);
            }
        }
        Ok(if twins.len() == 1 { twins.pop() } else { None })
    }

    /// The project of the portfolio that a native project belongs to, or the native project itself.
    fn project_id(&self, source: &str, project: &str) -> String {
        let portfolio = lock(&self.source.portfolio);
        let known = portfolio.iter().find(|known| known.includes(source, project));
        known.map_or(project, |known| &known.id).to_owned()
    }

    fn activity(&self, reported: &Reported<Report>) -> StoredActivity {
        StoredActivity {
            source: self.name().to_owned(),
            native_id: format!("op:{}:{}", reported.writer, reported.seq),
            at: reported.at,
            actor: reported.actor.clone(),
            artifact: reported.report.artifact(),
        }
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
