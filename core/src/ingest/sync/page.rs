//! Storing one page: new events, quarantined records, ids seen, and the cursor that covers them, in one transaction.

use super::job::Job;
use crate::ingest::connector::{Page, RawRecord, SourceSession, Stream, Unreadable};
use crate::model::diff;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::observation::{Observation, TaskObservation};
use crate::progress::Update;
use crate::store::{Quarantined, Transaction};

/// A record and what it says.
pub(super) type Normalised = (RawRecord, Result<Vec<Observation>>);

impl Job<'_> {
    /// Stores one page of a stream as one transaction.
    pub(super) fn store_page(&mut self, session: &dyn SourceSession, stream: &Stream, page: Page) -> Result<()> {
        // A finished pass starts again next time. Any other stream continues from here.
        let cursor = (page.more || !stream.complete).then(|| page.cursor.clone());
        self.store_records(session, page, |job, to, page| {
            let pass = job.store.source_status(job.name())?.pass + 1;
            for id in &page.seen {
                to.put_seen(&job.key(id), pass)?;
            }
            to.put_cursor(job.name(), stream.name, cursor.as_ref())
        })
    }

    /// Stores the records of a page, and what `also` adds to the same transaction.
    pub(super) fn store_records(
        &mut self,
        session: &dyn SourceSession,
        mut page: Page,
        also: impl FnOnce(&Self, &mut Transaction<'_>, &Page) -> Result<()>,
    ) -> Result<()> {
        self.report.warnings.append(&mut page.warnings);
        self.out_of_scope += page.out_of_scope;
        if let Some(total) = page.total {
            self.progress.event(self.name(), Update::Total(total));
            self.store_tool_count(total)?;
        }
        let records: Vec<Normalised> = std::mem::take(&mut page.records)
            .into_iter()
            .map(|record| {
                let observations = session.normalise(&record);
                (record, observations)
            })
            .collect();
        self.doubt(&records, &page.unreadable);
        let (count, before) = (records.len() as u64, self.report.changes);
        let mut transaction = self.store.begin()?;
        self.load_page(&mut transaction, &records)?;
        for (record, observations) in records {
            match observations {
                Ok(observations) => self.store_record(&mut transaction, &record, observations)?,
                Err(error) => self.quarantine(&mut transaction, &record.native_id, error.full(), record.json)?,
            }
        }
        for Unreadable { native_id, reason } in std::mem::take(&mut page.unreadable) {
            self.quarantine(&mut transaction, &native_id, reason, String::new())?;
        }
        if let Some(open) = &page.open_sprints {
            self.end_deleted_sprints(&mut transaction, &open.iter().map(String::as_str).collect())?;
        }
        self.attach_activities(&mut transaction)?;
        self.update_blocked_time(&mut transaction)?;
        self.mark_unsealed(&mut transaction, self.report.changes > before)?;
        also(self, &mut transaction, &page)?;
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
                Observation::SprintGone { native_id } => self.end_deleted_sprint(to, &native_id)?,
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

    fn quarantine(&mut self, to: &mut Transaction<'_>, native_id: &str, reason: String, json: String) -> Result<()> {
        let unreadable = json.is_empty();
        tracing::warn!(source = self.name(), record = native_id, %reason, unreadable, "quarantined a record");
        if unreadable {
            self.report.unreadable += 1;
        } else {
            self.report.set_aside += 1;
        }
        let (source, native_id, at) = (self.name().to_owned(), native_id.to_owned(), self.run.now);
        to.put_quarantined(
            &source,
            &native_id.clone(),
            Some(Quarantined { source: source.clone(), native_id, reason, at, json }),
        )
    }

    /// When most of a page is of no use, the tool or our understanding of it has changed: the run ends with an error, after
    /// everything else was done.
    fn doubt(&mut self, records: &[Normalised], unreadable: &[Unreadable]) {
        let refused = records.iter().find_map(|(_, observations)| observations.as_ref().err());
        let failed = unreadable.len() + records.iter().filter(|(_, observations)| observations.is_err()).count();
        let all = unreadable.len() + records.len();
        let Some(reason) = refused.map(Error::full).or_else(|| unreadable.first().map(|one| one.reason.clone())) else {
            return;
        };
        if failed >= DOUBTFUL_FROM && failed * 2 > all && self.doubtful.is_none() {
            let text = "more than half of the records on a page could not be read; they are kept by id and read again";
            self.doubtful = Some(
                Error::new(ErrorKind::Coverage, text).with("failed", failed).with("records", all).with("first", reason),
            );
        }
    }
}

/// A page with fewer failed records than this says nothing about the others.
const DOUBTFUL_FROM: usize = 2;
