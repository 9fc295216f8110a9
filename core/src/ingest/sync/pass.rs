//! What a complete pass means: a task missing from two passes in a row is gone; a project missing as a whole is not.
//!
//! Absence from an incremental query means nothing, and one absence from a complete pass may be the tool's index lagging.
//! When everything (or most) of a project is missing at once, the likelier story is a lost permission: nothing is closed,
//! and the run ends with a [`ErrorKind::Coverage`] error after everything else was done.

use std::collections::BTreeMap;

use super::Job;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{Change, Event, EventId, SmolStr, StoredEvent, TaskKey, TaskRecord};
use crate::store::Transaction;

/// Passes in a row a task must be missing from before it counts as gone.
const ABSENCES: u32 = 2;
/// Missing more than this share of a project at once, and more than [`FEW`], is a lost permission rather than deletions.
const LOST_PERCENT: usize = 50;
const FEW: usize = 10;
/// Tasks changed per transaction.
const CHUNK: usize = 500;

/// The live tasks of one native project, as a finished pass left them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Census {
    seen: usize,
    missing: Vec<TaskKey>,
}

impl Census {
    /// Whether so much is missing that a lost permission is the likelier story.
    fn is_lost(&self) -> bool {
        let (missing, all) = (self.missing.len(), self.seen + self.missing.len());
        (self.seen == 0 && missing > 1) || (missing > FEW && missing * 100 > all * LOST_PERCENT)
    }
}

impl Job<'_> {
    /// Ends a complete pass: counts absences, marks what is gone, and clears the absences of what was seen again.
    pub(super) fn close_pass(&mut self) -> Result<()> {
        let mut status = self.store.source_status(self.name())?;
        status.pass += 1;
        let (census, back) = self.census(status.pass)?;
        let config = &self.source.config;
        let wanted: Vec<&String> = config.scopes().collect();
        // A project that the configuration does not name any more was taken out on purpose.
        let in_scope = |project: &SmolStr| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == project);
        let (lost, stored): (Vec<_>, Vec<_>) =
            census.into_iter().partition(|(project, census)| in_scope(project) && census.is_lost());
        let missing: Vec<TaskKey> = stored.into_iter().flat_map(|(_, census)| census.missing).collect();
        for chunk in missing.chunks(CHUNK) {
            self.in_transaction(chunk, |job, transaction, key, record| job.note_absence(transaction, key, record))?;
        }
        for chunk in back.chunks(CHUNK) {
            self.in_transaction(chunk, |_, transaction, key, record| {
                transaction.put_task(key, Some(&record), &TaskRecord { absences: 0, ..record.clone() }, false)
            })?;
        }
        if lost.is_empty() {
            status.last_complete = Some(self.run.now);
        }
        let mut transaction = self.store.begin()?;
        transaction.put_source_status(self.name(), &status)?;
        transaction.commit()?;
        if lost.is_empty() { Ok(()) } else { Err(lost_error(&lost)) }
    }

    /// Counts the live tasks by native project, seen or missing; also names those seen again after an absence.
    fn census(&self, pass: u64) -> Result<(BTreeMap<SmolStr, Census>, Vec<TaskKey>)> {
        let mut projects: BTreeMap<SmolStr, Census> = BTreeMap::new();
        let mut back = Vec::new();
        let marks = self.store.begin()?;
        for item in self.store.tasks(Some(self.name())) {
            let (key, record) = item?;
            let Some(state) = timeline::last(&record.timeline).filter(|state| state.deleted.is_none()) else {
                continue;
            };
            let census = projects.entry(state.facts.project.clone()).or_default();
            if marks.seen(&key)? == Some(pass) {
                census.seen += 1;
                if record.absences > 0 {
                    back.push(key);
                }
            } else {
                census.missing.push(key);
            }
        }
        Ok((projects, back))
    }

    fn in_transaction(
        &mut self,
        keys: &[TaskKey],
        mut change: impl FnMut(&mut Self, &mut Transaction<'_>, &TaskKey, TaskRecord) -> Result<()>,
    ) -> Result<()> {
        let store = self.store;
        let mut transaction = store.begin()?;
        for key in keys {
            if let Some(record) = transaction.task(key)? {
                self.note_told(key, Some(&record));
                change(self, &mut transaction, key, record)?;
            }
        }
        self.lay_waits(&mut transaction)?;
        transaction.commit().map(drop)
    }

    /// The tool said that a task is no more: there is nothing to wait for.
    pub(super) fn take_gone(&mut self, to: &mut Transaction<'_>, native_id: &str) -> Result<()> {
        let key = TaskKey::new(self.name(), native_id);
        let Some(record) = to.task(&key)? else { return Ok(()) };
        if timeline::last(&record.timeline).is_none_or(|state| state.deleted.is_some()) {
            return Ok(());
        }
        let next = deleted(&key, &record, to.seq(), self.run.now);
        self.report.changes += 1;
        self.note_told(&key, Some(&record));
        to.put_task(&key, Some(&record), &next, true)
    }

    fn note_absence(&mut self, to: &mut Transaction<'_>, key: &TaskKey, record: TaskRecord) -> Result<()> {
        let (next, gone) = absent(key, &record, to.seq(), self.run.now);
        self.report.changes += u64::from(gone);
        to.put_task(key, Some(&record), &next, gone)
    }
}

/// The record after one more absence, and whether the task is gone now.
fn absent(key: &TaskKey, record: &TaskRecord, seq: u64, now: Millis) -> (TaskRecord, bool) {
    let absences = record.absences + 1;
    let gone = absences >= ABSENCES;
    let next = if gone { deleted(key, record, seq, now) } else { record.clone() };
    (TaskRecord { absences, ..next }, gone)
}

/// The record of a task that is gone as of now.
fn deleted(key: &TaskKey, record: &TaskRecord, seq: u64, now: Millis) -> TaskRecord {
    let mut next = record.clone();
    let at = next.timeline.last().map_or(now, |last| last.event.at.max(now));
    let id = EventId::of(key, &format!("deleted:{}", at.0));
    next.timeline
        .push(StoredEvent { event: Event { id, at, actor: None, observed: true, change: Change::Deleted }, seq });
    next
}

/// A project that is configured, was read once and is not found any more is told at once, not only by the next complete pass.
pub(super) fn nothing_lost(lost: Vec<String>) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let text = "a project is out of sight, so nothing of it was closed; give the token access again, or take it out of `projects`";
    Err(Error::new(ErrorKind::Coverage, text).with("missing", lost.join("; ")))
}

fn lost_error(lost: &[(SmolStr, Census)]) -> Error {
    let names: Vec<String> = lost
        .iter()
        .map(|(project, census)| {
            format!("{project}: {} of {}", census.missing.len(), census.missing.len() + census.seen)
        })
        .collect();
    Error::new(
        ErrorKind::Coverage,
        "tasks vanished all at once, so nothing was closed; check that the token may still see the project, or take it out \
         of `projects`",
    )
    .with("missing", names.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::model::samples::{facts, stored};

    fn census(seen: usize, missing: usize) -> Census {
        let missing = (0..missing).map(|n| TaskKey::new("jira", n.to_string())).collect();
        Census { seen, missing }
    }

    #[test]
    fn a_whole_project_missing_is_a_lost_permission_and_a_few_tasks_are_deletions() {
        assert!(census(0, 2).is_lost());
        assert!(census(10, 11).is_lost());
        assert!(!census(0, 1).is_lost());
        assert!(!census(3, 3).is_lost());
        assert!(!census(100, 40).is_lost());
    }

    #[test]
    fn gone_means_missing_from_two_passes_in_a_row() {
        let key = TaskKey::new("jira", "1");
        let record = TaskRecord {
            url: String::new(),
            reporter: None,
            updated: Millis(0),
            blockers: vec![],
            absences: 0,
            timeline: vec![stored(0, Change::Created(Box::new(facts(Status::Todo))))],
        };
        let (once, gone) = absent(&key, &record, 7, Millis(50));
        assert!(!gone && once.timeline.len() == 1);
        let (twice, gone) = absent(&key, &once, 8, Millis(60));
        assert!(gone);
        assert_eq!(timeline::last(&twice.timeline).unwrap().deleted, Some(Millis(60)));
    }
}
