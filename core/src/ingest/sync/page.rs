//! Storing one page: new events, quarantined records, ids seen, and the cursor that covers them, in one transaction.

use super::job::Job;
use crate::ingest::connector::{Page, RawRecord, SourceSession, Stream, Unreadable};
use crate::model::diff;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::observation::{Observation, TaskObservation};
use crate::model::{Change, Event, StoredEvent, TaskRecord};
use crate::progress::Update;
use crate::store::{Quarantined, SourceStatus, Transaction};

/// A record and what it says.
pub(super) type Normalised = (RawRecord, Result<Vec<Observation>>);

impl Job<'_> {
    /// Stores one page of a stream as one transaction.
    pub(super) fn store_page(&mut self, session: &dyn SourceSession, stream: &Stream, page: Page) -> Result<()> {
        // A finished pass starts again next time. Any other stream continues from here.
        let cursor = (page.more || !stream.complete).then(|| page.cursor.clone());
        if self.is_quiet(session, stream, &page)? {
            return self.pass_over(stream, page);
        }
        self.moved.remove(stream.name);
        let doubt = self.store_records(session, page, |job, to, page| {
            let pass = job.store.source_status(job.name())?.pass + 1;
            for id in &page.seen {
                to.put_seen(&job.key(id), pass)?;
            }
            to.put_cursor(job.name(), stream.name, cursor.as_ref())
        })?;
        self.doubtful = self.doubtful.take().or(doubt);
        Ok(())
    }

    /// Stores the records of a page, and what `also` adds to the same transaction. Returns why the page is doubtful, if it is.
    pub(super) fn store_records(
        &mut self,
        session: &dyn SourceSession,
        mut page: Page,
        also: impl FnOnce(&Self, &mut Transaction<'_>, &Page) -> Result<()>,
    ) -> Result<Option<Error>> {
        self.report.warnings.append(&mut page.warnings);
        self.withhold(&page.withheld);
        self.out_of_scope += page.out_of_scope;
        self.nameless |= page.nameless;
        let records = normalise(session, std::mem::take(&mut page.records));
        self.report.warnings.extend(session.remarks());
        let doubt = doubt(&records, &page.unreadable);
        let (count, before) = (records.len() as u64, self.report.changes);
        let mut transaction = self.store.begin()?;
        self.note_start(&mut transaction)?;
        self.load_page(&mut transaction, &records)?;
        if let Some(total) = page.total {
            self.progress.event(self.name(), Update::Total(total));
            self.put_status(&mut transaction, |status| status.tool_count = Some(total))?;
        }
        for (record, observations) in records {
            match observations {
                Ok(observations) => self.store_record(&mut transaction, &record, observations)?,
                Err(error) => {
                    self.quarantine(&mut transaction, &record.native_id, error.full(), record.json()?.into_owned())?
                }
            }
        }
        self.store_rest(&mut transaction, &page)?;
        self.mark_unsealed(&mut transaction, self.report.changes > before)?;
        also(self, &mut transaction, &page)?;
        if !self.dry_run {
            transaction.commit()?;
        }
        self.report.records += count;
        self.progress.event(self.name(), Update::Page { records: count, changes: self.report.changes - before });
        Ok(doubt)
    }

    /// With a list missing that was there before, this run is not exported.
    pub(super) fn withhold(&mut self, lists: &[String]) {
        let Some(first) = lists.first() else { return };
        let text = "the tool refuses a list that it should serve, so this run is not exported; if that lasts for a day, it is left out";
        self.doubtful.get_or_insert_with(|| Error::new(ErrorKind::Permission, text).with("first", first));
    }

    /// Stores what a page holds beside records, and what follows from its records.
    fn store_rest(&mut self, to: &mut Transaction<'_>, page: &Page) -> Result<()> {
        for Unreadable { native_id, reason } in &page.unreadable {
            self.quarantine(to, native_id, reason.clone(), String::new())?;
        }
        if let Some(open) = &page.open_sprints {
            self.end_deleted_sprints(to, &open.iter().map(String::as_str).collect())?;
        }
        self.store_reports(to)?;
        self.store_insights(to)?;
        self.attach_activities(to)?;
        self.update_blocked_time(to)
    }

    /// Changes the status of the source as part of a transaction.
    pub(super) fn put_status(&self, to: &mut Transaction<'_>, change: impl FnOnce(&mut SourceStatus)) -> Result<()> {
        let mut status = to.source_status(self.name())?;
        change(&mut status);
        to.put_source_status(self.name(), &status)
    }

    /// Stores that the run began, with the first that it stores.
    fn note_start(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        if std::mem::replace(&mut self.is_noted, true) {
            return Ok(());
        }
        let began = self.run.now;
        self.put_status(to, |status| status.last_attempt = Some(began))
    }

    fn store_record(
        &mut self,
        to: &mut Transaction<'_>,
        record: &RawRecord,
        observations: Vec<Observation>,
    ) -> Result<()> {
        // What the tool shows and calls gone stays deleted as it was: it is not back each time it is read.
        let gone = observations.iter().any(|observation| matches!(observation, Observation::Gone { .. }));
        for observation in observations {
            match observation {
                Observation::Task(seen) => self.store_task(to, *seen, gone)?,
                Observation::Sprint { native_id, facts } => self.store_sprint(to, &native_id, facts)?,
                Observation::SprintGone { native_id } => self.end_deleted_sprint(to, &native_id)?,
                Observation::Activity(activity) => self.match_activity(to, &activity)?,
                Observation::Gone { native_id } => self.mark_deleted(to, &native_id)?,
                Observation::Operations(operations) => self.gather(*operations),
                Observation::SprintOperations(operations) => self.gather_of_sprint(*operations),
                Observation::Guidance(report) => self.work.guidance.push(*report),
                Observation::Insight(reported) => match self.gather_insight(to, *reported) {
                    Err(error) if error.kind() == ErrorKind::Rejected => {
                        return self.quarantine(to, &record.native_id, error.full(), record.json()?.into_owned());
                    }
                    gathered => gathered?,
                },
            }
        }
        to.put_quarantined(self.name(), &record.native_id, None)
    }

    fn store_task(&mut self, to: &mut Transaction<'_>, mut seen: TaskObservation, gone: bool) -> Result<()> {
        let key = self.key(&seen.native_id);
        let known = to.task(&key)?;
        let known = known.as_deref();
        self.mark_linked(&key, known);
        seen.history.extend(known.filter(|_| gone).and_then(deletion));
        let derives = self.source.config.derive_status;
        let Some(mut delta) = diff::diff(&key, known, seen, derives, to.seq(), self.run.now) else { return Ok(()) };
        self.report.changes += delta.added as u64;
        self.report.repaired += delta.repaired as u64;
        self.attach_pending(to, &key, known, &mut delta.record)?;
        self.adopt(to, &key, known, &mut delta.record)?;
        to.put_task(&key, known, &delta.record, true)
    }

    fn quarantine(&mut self, to: &mut Transaction<'_>, native_id: &str, reason: String, json: String) -> Result<()> {
        let unreadable = json.is_empty();
        tracing::warn!(source = self.name(), record = native_id, %reason, unreadable, "quarantined a record");
        // A complete pass meets again what a stream has met: that is one record.
        let one = u64::from(self.just_quarantined.insert(native_id.to_owned()));
        let count = if unreadable { &mut self.report.unreadable } else { &mut self.report.set_aside };
        *count += one;
        let (source, native_id, at) = (self.name().to_owned(), native_id.to_owned(), self.run.now);
        to.put_quarantined(
            &source,
            &native_id.clone(),
            Some(Quarantined { source: source.clone(), native_id, reason, at, json }),
        )
    }
}

/// The event that deleted a task, if it is deleted.
fn deletion(record: &TaskRecord) -> Option<Event> {
    let turn = |stored: &&StoredEvent| matches!(stored.event.change, Change::Deleted | Change::Restored);
    let last = record.timeline.iter().rfind(turn)?;
    (last.event.change == Change::Deleted).then(|| last.event.clone())
}

fn normalise(session: &dyn SourceSession, records: Vec<RawRecord>) -> Vec<Normalised> {
    let understood = |record: RawRecord| {
        let observations = session.normalise(&record);
        (record, observations)
    };
    records.into_iter().map(understood).collect()
}

/// When most of a page is of no use, the tool or our understanding of it has changed: the run ends with this error, after
/// everything else was done.
fn doubt(records: &[Normalised], unreadable: &[Unreadable]) -> Option<Error> {
    let refused = records.iter().filter_map(|(_, observations)| observations.as_ref().err());
    let mut reasons = refused.map(Error::full).chain(unreadable.iter().map(|one| one.reason.clone()));
    let first = reasons.next()?;
    let (failed, all) = (1 + reasons.count(), unreadable.len() + records.len());
    let text = "more than half of the records on a page could not be read; they are kept by id and read again";
    let error =
        || Error::new(ErrorKind::Coverage, text).with("failed", failed).with("records", all).with("first", first);
    (failed >= DOUBTFUL_FROM && failed * 2 > all).then(error)
}

/// A page with fewer failed records than this says nothing about the others.
const DOUBTFUL_FROM: usize = 2;
