//! Complete passes: a task missing from two passes in a row is deleted; a project missing as a whole is not.
//!
//! Absence from an incremental query means nothing, and one absence from a complete pass may be the tool's index lagging.
//! When everything (or most) of a project is missing at once, the likelier cause is a lost permission: nothing is closed,
//! and the run ends with an [`ErrorKind::Coverage`] error after everything else was done.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use super::job::Job;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{Change, Event, EventId, SmolStr, StoredEvent, TaskKey, TaskRecord};
use crate::store::Transaction;

/// How many passes in a row must miss a task before it counts as deleted.
const ABSENCES: u32 = 2;
/// Missing more than this share of a project at once, and more than [`FEW`], is a lost permission rather than deletions.
const LOST_PERCENT: usize = 50;
const FEW: usize = 10;
/// Tasks changed per transaction.
const CHUNK: usize = 500;

/// The live tasks of one native project, as a finished pass left them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    seen: usize,
    pub(super) missing: Vec<TaskKey>,
}

impl Census {
    /// Whether so much is missing that a lost permission is the likelier cause.
    fn is_lost(&self) -> bool {
        let (missing, all) = (self.missing.len(), self.seen + self.missing.len());
        (self.seen == 0 && missing > 1) || (missing > FEW && missing * 100 > all * LOST_PERCENT)
    }
}

impl Job<'_> {
    /// Ends a complete pass: counts absences, marks tasks deleted, and clears the absences of those that were seen again.
    ///
    /// With a row among those listed whose id nobody knows, only what is `gone` by its id as well counts as absent.
    pub(super) fn close_pass(&mut self, gone: Option<&BTreeSet<TaskKey>>) -> Result<()> {
        let mut status = self.store.source_status(self.name())?;
        status.pass += 1;
        let (census, back) = self.census(status.pass)?;
        let config = &self.source.config;
        let wanted: Vec<&String> = config.projects.iter().chain(&config.extra_scopes).collect();
        // A project that the configuration does not name any more was removed on purpose.
        let in_scope = |project: &SmolStr| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == project);
        let (lost, stored): (Vec<_>, Vec<_>) =
            census.into_iter().partition(|(project, census)| in_scope(project) && census.is_lost());
        let mut missing: Vec<TaskKey> = stored.into_iter().flat_map(|(_, census)| census.missing).collect();
        missing.retain(|key| gone.is_none_or(|gone| gone.contains(key)));
        for chunk in missing.chunks(CHUNK) {
            self.in_transaction(chunk, |job, transaction, key, record| job.count_absence(transaction, key, record))?;
        }
        for chunk in back.chunks(CHUNK) {
            self.in_transaction(chunk, |_, transaction, key, record| {
                transaction.put_task(key, Some(record), &TaskRecord { absences: 0, ..record.clone() }, false)
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

    /// Counts the live tasks by native project, seen or missing. Also returns those seen again after an absence.
    pub(super) fn census(&self, pass: u64) -> Result<(BTreeMap<SmolStr, Census>, Vec<TaskKey>)> {
        let mut projects: BTreeMap<SmolStr, Census> = BTreeMap::new();
        let mut back = Vec::new();
        let mut seen = self.store.seen(self.name()).peekable();
        for item in self.store.tasks(Some(self.name())) {
            let (key, record) = item?;
            let is_seen = is_seen(&mut seen, &key, pass)?;
            let Some(state) = timeline::last(&record.timeline).filter(|state| state.deleted.is_none()) else {
                continue;
            };
            let census = projects.entry(state.facts.project.clone()).or_default();
            if is_seen {
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
        mut change: impl FnMut(&mut Self, &mut Transaction<'_>, &TaskKey, &TaskRecord) -> Result<()>,
    ) -> Result<()> {
        let store = self.store;
        let mut transaction = store.begin()?;
        self.load_tasks(&mut transaction, keys)?;
        for key in keys {
            if let Some(record) = transaction.task(key)? {
                self.mark_linked(key, Some(&record));
                change(self, &mut transaction, key, &record)?;
            }
        }
        self.update_blocked_time(&mut transaction)?;
        transaction.commit().map(drop)
    }

    /// Marks a task deleted that the tool itself reports as deleted: there is nothing to confirm.
    pub(super) fn mark_deleted(&mut self, to: &mut Transaction<'_>, native_id: &str) -> Result<()> {
        let key = self.key(native_id);
        let Some(record) = to.task(&key)? else { return Ok(()) };
        if timeline::last(&record.timeline).is_none_or(|state| state.deleted.is_some()) {
            return Ok(());
        }
        let next = deleted(&key, &record, to.seq(), self.run.now);
        self.report.changes += 1;
        self.mark_linked(&key, Some(&record));
        to.put_task(&key, Some(&record), &next, true)
    }

    fn count_absence(&mut self, to: &mut Transaction<'_>, key: &TaskKey, record: &TaskRecord) -> Result<()> {
        let (next, gone) = absent(key, record, to.seq(), self.run.now);
        self.report.changes += u64::from(gone);
        to.put_task(key, Some(record), &next, gone)
    }
}

/// Whether this pass saw a task. `seen` is in the order of the tasks, which are asked for one after another.
fn is_seen(
    seen: &mut Peekable<impl Iterator<Item = Result<(TaskKey, u64)>>>,
    key: &TaskKey,
    pass: u64,
) -> Result<bool> {
    while let Some(next) = seen.next_if(|next| next.as_ref().map_or(true, |(seen, _)| seen <= key)) {
        let (seen, in_pass) = next?;
        if seen == *key {
            return Ok(in_pass == pass);
        }
    }
    Ok(false)
}

/// The record after one more absence, and whether the task is deleted now.
fn absent(key: &TaskKey, record: &TaskRecord, seq: u64, now: Millis) -> (TaskRecord, bool) {
    let absences = record.absences + 1;
    let gone = absences >= ABSENCES;
    let next = if gone { deleted(key, record, seq, now) } else { record.clone() };
    (TaskRecord { absences, ..next }, gone)
}

/// The record of a task that is deleted as of now.
pub(super) fn deleted(key: &TaskKey, record: &TaskRecord, seq: u64, now: Millis) -> TaskRecord {
    let mut next = record.clone();
    let at = next.timeline.last().map_or(now, |last| last.event.at.max(now));
    let id = EventId::of(key, &format!("deleted:{}", at.0));
    next.timeline
        .push(StoredEvent { event: Event { id, at, actor: None, observed: true, change: Change::Deleted }, seq });
    next
}

/// Fails when a configured project that was read before is not found any more: at once, not only at the next complete pass.
pub(super) fn nothing_lost(lost: Vec<String>) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let text = "a project is not visible any more, so nothing of it was closed; give the token access again, or remove it from `projects`";
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
        "tasks vanished all at once, so nothing was closed; check that the token may still see the project, or remove it \
         from `projects`",
    )
    .with("missing", names.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::model::samples::{facts, record, stored};

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
    fn seen_ids_are_matched_in_one_walk() {
        let key = |id: &str| TaskKey::new("jira", id);
        let marks = [("0", 7), ("10", 7), ("2", 6), ("3", 7), ("9", 7)];
        let mut seen = marks.map(|(id, pass)| Ok((key(id), pass))).into_iter().peekable();
        let found = ["1", "10", "2", "3", "4"].map(|id| is_seen(&mut seen, &key(id), 7).unwrap());
        assert_eq!(found, [false, true, false, true, false]);
    }

    #[test]
    fn a_task_missing_from_two_passes_in_a_row_is_deleted() {
        let key = TaskKey::new("jira", "1");
        let record = record(vec![stored(0, Change::Created(Box::new(facts(Status::Todo))))]);
        let (once, gone) = absent(&key, &record, 7, Millis(50));
        assert!(!gone && once.timeline.len() == 1);
        let (twice, gone) = absent(&key, &once, 8, Millis(60));
        assert!(gone);
        assert_eq!(timeline::last(&twice.timeline).unwrap().deleted, Some(Millis(60)));
    }
}
