//! Storing one page: new events, quarantined records, ids seen, and the cursor that covers them, in one transaction.

use super::job::Job;
use crate::ingest::connector::{Cursor, Page, RawRecord, SourceSession, Stream};
use crate::model::diff;
use crate::model::error::{Error, Result};
use crate::model::observation::{Observation, TaskObservation};
use crate::model::{SprintFacts, SprintRecord, SprintState};
use crate::progress::Update;
use crate::store::{Quarantined, Transaction};

/// A record and what it says.
pub(super) type Normalised = (RawRecord, Result<Vec<Observation>>);

impl Job<'_> {
    /// Stores one page as one transaction.
    pub(super) fn store_page(&mut self, session: &dyn SourceSession, stream: &Stream, page: Page) -> Result<()> {
        self.report.warnings.extend(page.warnings);
        if let Some(total) = page.total {
            self.progress.event(self.name(), Update::Total(total));
            self.store_tool_count(total)?;
        }
        let records: Vec<Normalised> = page
            .records
            .into_iter()
            .map(|record| {
                let observations = session.normalise(&record);
                (record, observations)
            })
            .collect();
        let (count, before) = (records.len() as u64, self.report.changes);
        let mut transaction = self.store.begin()?;
        self.load_page(&mut transaction, &records)?;
        for (record, observations) in records {
            match observations {
                Ok(observations) => self.store_record(&mut transaction, &record, observations)?,
                Err(error) => self.quarantine(&mut transaction, record, &error)?,
            }
        }
        self.attach_activities(&mut transaction)?;
        self.update_blocked_time(&mut transaction)?;
        self.mark_unsealed(&mut transaction, self.report.changes > before)?;
        let pass = self.store.source_status(self.name())?.pass + 1;
        for id in &page.seen {
            transaction.put_seen(&self.key(id), pass)?;
        }
        // A finished pass starts again next time. Any other stream continues from here.
        let cursor: Option<&Cursor> = (page.more || !stream.complete).then_some(&page.cursor);
        transaction.put_cursor(self.name(), stream.name, cursor)?;
        if !self.dry_run {
            transaction.commit()?;
        }
        self.report.records += count;
        self.progress.event(self.name(), Update::Page { records: count, changes: self.report.changes - before });
        Ok(())
    }

    fn store_tool_count(&self, total: u64) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let mut status = self.store.source_status(self.name())?;
        status.tool_count = Some(total);
        let mut transaction = self.store.begin()?;
        transaction.put_source_status(self.name(), &status)?;
        transaction.commit().map(drop)
    }

    fn store_record(
        &mut self,
        to: &mut Transaction<'_>,
        record: &RawRecord,
        observations: Vec<Observation>,
    ) -> Result<()> {
        for observation in observations {
            match observation {
                Observation::Task(seen) => self.store_task(to, *seen)?,
                Observation::Sprint { native_id, facts } => self.store_sprint(to, &native_id, facts)?,
                Observation::Activity(activity) => self.match_activity(to, &activity)?,
                Observation::Gone { native_id } => self.mark_deleted(to, &native_id)?,
            }
        }
        to.put_quarantined(self.name(), &record.native_id, None)
    }

    fn store_task(&mut self, to: &mut Transaction<'_>, seen: TaskObservation) -> Result<()> {
        let key = self.key(&seen.native_id);
        let known = to.task(&key)?;
        let known = known.as_deref();
        self.mark_linked(&key, known);
        let derives = self.source.config.derive_status;
        let Some(mut delta) = diff::diff(&key, known, seen, derives, to.seq(), self.run.now) else { return Ok(()) };
        self.report.changes += delta.added as u64;
        self.report.repaired += delta.repaired as u64;
        self.attach_pending(to, &key, known, &mut delta.record)?;
        to.put_task(&key, known, &delta.record, true)
    }

    fn store_sprint(&mut self, to: &mut Transaction<'_>, native_id: &str, facts: SprintFacts) -> Result<()> {
        let key = self.key(native_id);
        let known = to.sprint(&key)?;
        let (next, journal) = next_sprint(known.as_ref(), facts, to.seq());
        if known.as_ref() != Some(&next) {
            self.report.changes += 1;
            to.put_sprint(&key, &next, journal)?;
        }
        Ok(())
    }

    fn quarantine(&mut self, to: &mut Transaction<'_>, record: RawRecord, error: &Error) -> Result<()> {
        tracing::warn!(source = self.name(), record = %record.native_id, reason = %error, "quarantined a record");
        self.report.set_aside += 1;
        let quarantined = Quarantined {
            source: self.name().to_owned(),
            native_id: record.native_id.clone(),
            reason: error.full(),
            at: self.run.now,
            json: record.json,
        };
        to.put_quarantined(self.name(), &record.native_id, Some(quarantined))
    }
}

/// The sprint to store, and whether to journal it: it is exported when it started, and when it closed.
fn next_sprint(known: Option<&SprintRecord>, facts: SprintFacts, seq: u64) -> (SprintRecord, bool) {
    let started = facts.state != SprintState::Future && facts.start.is_some();
    let closed = facts.state == SprintState::Closed && started;
    let (old_start, old_close) = known.map_or((None, None), |known| (known.started_seq, known.closed_seq));
    let started_seq = old_start.or(started.then_some(seq));
    let closed_seq = old_close.or(closed.then_some(seq));
    let journal = (started_seq, closed_seq) != (old_start, old_close);
    (SprintRecord { facts, started_seq, closed_seq }, journal)
}
