//! Taking over the store of another engine that exported the work of this source until now: a helper's, once its lane is ours.
//!
//! Reports count once, by writer and number, so that taking over twice changes nothing. What the other engine exported is stored under
//! the journal number 0: it is known, and only a replay sends it. What it had not exported yet is new here.

use tokio_util::sync::CancellationToken;

use super::Options;
use super::insights::{circle, leads_to, replacements};
use super::job::{Job, Source};
use crate::model::error::Result;
use crate::model::guidance::stored::AllGuidance;
use crate::model::insight::{self, InsightRecord, InsightReport, Said};
use crate::model::observation::Operations;
use crate::model::operation;
use crate::model::report::{Report, Reported, SprintReport};
use crate::model::signal::Signal;
use crate::model::{Event, SprintRecord, TaskKey, TaskRecord};
use crate::progress::Quiet;
use crate::store::{GUIDANCE, Item, Quarantined, Store, Transaction};

/// What is taken over in one transaction.
const AT_ONCE: usize = 500;
/// The journal number of what another engine exported.
const EXPORTED: u64 = 0;

/// Takes over everything that was reported, from one store to the one of `source`. Returns how many events and insights were new.
///
/// # Errors
/// When either store cannot be used. What was taken over until then stays.
pub fn inherit(store: &Store, source: &Source, from: &Store) -> Result<u64> {
    let cancel = CancellationToken::new();
    let mut job = Job::new(store, source, &Options::default(), &Quiet, &cancel);
    job.inherit_sprints(from)?;
    job.inherit_tasks(from)?;
    job.inherit_insights(from)?;
    job.inherit_guidance(from)?;
    job.inherit_quarantined(from)?;
    Ok(job.report.changes)
}

impl Job<'_> {
    fn inherit_tasks(&mut self, from: &Store) -> Result<()> {
        self.in_batches(from.all_reported(false), |job, to, (theirs, reports)| {
            job.inherit_task(to, from, &theirs, reports)
        })
    }

    fn inherit_sprints(&mut self, from: &Store) -> Result<()> {
        self.in_batches(from.all_reported(true), |job, to, (theirs, reports)| {
            job.inherit_sprint(to, from, &theirs, reports)
        })
    }

    fn inherit_insights(&mut self, from: &Store) -> Result<()> {
        self.in_batches(from.insights(None), |job, to, record| job.inherit_insight(to, from, record))
    }

    fn in_batches<T>(
        &mut self,
        all: impl Iterator<Item = Result<T>>,
        mut take: impl FnMut(&mut Self, &mut Transaction<'_>, T) -> Result<()>,
    ) -> Result<()> {
        let (store, mut all) = (self.store, all.peekable());
        while all.peek().is_some() {
            let mut transaction = store.begin()?;
            for one in all.by_ref().take(AT_ONCE) {
                take(self, &mut transaction, one?)?;
            }
            self.attach_activities(&mut transaction)?;
            self.update_blocked_time(&mut transaction)?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn wants(&self, project: &str) -> bool {
        let wanted = &self.source.config.projects;
        wanted.is_empty() || wanted.iter().any(|one| one == project)
    }

    fn inherit_task(
        &mut self,
        to: &mut Transaction<'_>,
        from: &Store,
        theirs: &TaskKey,
        reports: Vec<Reported<Report>>,
    ) -> Result<()> {
        let Some((project, id)) = self.wanted_names(theirs) else { return Ok(()) };
        let key = self.key(&theirs.native_id);
        self.store_task_reports(to, &key, Operations { project, id, reports })?;
        let (Some(record), Some(old)) = (to.task(&key)?, from.task(theirs)?) else { return Ok(()) };
        // Spans that ended are noted one by one, so that what counts here is what neither signal needs any more.
        let done = done(from, Signal::Traces, &theirs.source)?.min(done(from, Signal::Logs, &theirs.source)?);
        let marked = with_exported(&record, &old, done, to.seq());
        if marked == *record { Ok(()) } else { to.put_task(&key, Some(&record), &marked, false) }
    }

    fn inherit_sprint(
        &mut self,
        to: &mut Transaction<'_>,
        from: &Store,
        theirs: &TaskKey,
        reports: Vec<Reported<SprintReport>>,
    ) -> Result<()> {
        let Some((project, id)) = self.wanted_names(theirs) else { return Ok(()) };
        let key = self.key(&theirs.native_id);
        self.store_sprint_reports(to, &key, Operations { project, id, reports })?;
        let (Some(record), Some(old)) = (to.sprint(&key)?, from.sprint(theirs)?) else { return Ok(()) };
        let now = to.seq();
        let mark = |ours: Option<u64>, theirs: Option<u64>, done: u64| match ours {
            Some(seq) if seq == now && theirs.is_some_and(|theirs| theirs <= done) => Some(EXPORTED),
            ours => ours,
        };
        // A log record says that it started, and its span that it closed. One that was reopened before that has no span yet.
        let spans = from.exported_sprints(&theirs.source)?;
        let closed = old.closed_seq.filter(|_| spans.is_none_or(|spans| spans.contains(theirs.native_id.as_str())));
        let marked = SprintRecord {
            started_seq: mark(record.started_seq, old.started_seq, done(from, Signal::Logs, &theirs.source)?),
            closed_seq: mark(record.closed_seq, closed, done(from, Signal::Traces, &theirs.source)?),
            ..record
        };
        to.put_sprint(&key, &marked, false)
    }

    fn inherit_insight(&mut self, to: &mut Transaction<'_>, from: &Store, theirs: InsightRecord) -> Result<()> {
        if !self.wants(&theirs.project) {
            return Ok(());
        }
        let known = to.insight(&theirs.project, &theirs.id)?;
        let old = known.as_ref().and_then(insight::fold);
        let done = (done(from, Signal::Traces, &theirs.source)?, done(from, Signal::Logs, &theirs.source)?);
        let theirs_key = (theirs.project.clone(), theirs.id.clone());
        let ours = adopted(theirs, self.name(), done, to.seq());
        let (mut record, reports) = match known {
            Some(known) => (known, ours.reports),
            None => (InsightRecord { reports: Vec::new(), ..ours.clone() }, ours.reports),
        };
        let added = record.add(without_circles(to, &theirs_key, reports)?);
        if added == 0 {
            return Ok(());
        }
        self.report.changes += added as u64;
        to.put_insight(old.as_ref(), &record)?;
        let InsightRecord { project, id, .. } = record;
        to.journal(self.name(), &Item::Insight { project, id })
    }

    fn inherit_guidance(&self, from: &Store) -> Result<()> {
        let mut theirs = from.guidance()?.unproven();
        theirs.0.retain(|project, _| self.wants(project));
        let mut transaction = self.store.begin()?;
        let known: AllGuidance = transaction.metadata(GUIDANCE, "")?.unwrap_or_default();
        let mut all = known.clone();
        all.merge(theirs);
        if all == known {
            return Ok(());
        }
        transaction.put_metadata(GUIDANCE, "", &all)?;
        transaction.commit().map(drop)
    }

    /// What the other engine could not understand. The next run tries it once more: this program may be a newer one.
    fn inherit_quarantined(&self, from: &Store) -> Result<()> {
        let ours = self.store.quarantined_records(Some(self.name()))?;
        let mut new = from.quarantined_records(None)?;
        new.retain(|record| ours.iter().all(|known| known.native_id != record.native_id));
        if new.is_empty() {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for record in new {
            let id = record.native_id.clone();
            let ours = Quarantined { source: self.name().to_owned(), ..record };
            transaction.put_quarantined(self.name(), &id, Some(ours))?;
        }
        self.put_status(&mut transaction, |status| status.reread_by.clear())?;
        transaction.commit().map(drop)
    }

    fn wanted_names(&self, key: &TaskKey) -> Option<(String, String)> {
        operation::names(&key.native_id).filter(|(project, _)| self.wants(project))
    }
}

/// An insight as this source stores it: new, but for what was exported. Its span shows one report, and log records the others.
fn adopted(theirs: InsightRecord, source: &str, (spans, logs): (u64, u64), now: u64) -> InsightRecord {
    let is_exported = theirs.shown().is_some_and(|(shown, _)| shown.journal <= spans);
    let exported_by = is_exported.then(|| theirs.exported_by.clone().unwrap_or_else(|| theirs.source.clone()));
    let mut reports = theirs.reports;
    for report in &mut reports {
        let is_shown =
            theirs.shown.as_ref().is_some_and(|(writer, seq)| (writer, *seq) == (&report.writer, report.seq));
        report.journal = if report.journal <= if is_shown { spans } else { logs } { EXPORTED } else { now };
        report.source = None;
        // A helper's store proves nothing: whoever has a shell can write it.
        (report.origin, report.human) = (None, false);
    }
    InsightRecord { source: source.into(), exported_by, reports, ..theirs }
}

/// Reports of an insight, of which those are refused that would close a circle of insights that replace each other: each of two engines
/// knew one half.
fn without_circles(
    to: &Transaction<'_>,
    (project, id): &(String, String),
    mut reports: Vec<InsightReport>,
) -> Result<Vec<InsightReport>> {
    for report in &mut reports {
        let Said::Superseded { by, insight_type, .. } = &report.said else { continue };
        let next = |one: &str| {
            let record = to.insight(project, one)?;
            Ok(record.map(|record| replacements(&record, *insight_type)).unwrap_or_default())
        };
        if leads_to(by, id, next)? {
            report.refused = Some(circle(by, id));
        }
    }
    Ok(reports)
}

/// How far the other engine had exported a signal of its source.
fn done(from: &Store, signal: Signal, source: &str) -> Result<u64> {
    Ok(from.position(signal, source)?.done)
}

/// A task with the events that the other engine exported marked as such. `now` is the journal number of what is new.
fn with_exported(ours: &TaskRecord, theirs: &TaskRecord, done: u64, now: u64) -> TaskRecord {
    let exported: Vec<&Event> =
        theirs.timeline.iter().filter(|stored| stored.seq <= done).map(|stored| &stored.event).collect();
    // Ids differ, because the source does.
    let is_same =
        |one: &Event, other: &Event| (one.at, &one.actor, &one.change) == (other.at, &other.actor, &other.change);
    let mut marked = ours.clone();
    for stored in marked.timeline.iter_mut().filter(|stored| stored.seq == now) {
        if exported.iter().any(|event| is_same(event, &stored.event)) {
            stored.seq = EXPORTED;
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::insight::InsightType;
    use crate::model::operation::{InsightEmit, InsightUpdate};
    use crate::model::samples::{facts, stored, to};
    use crate::model::time::Millis;
    use crate::model::{Change, Status, StoredEvent};

    fn record(seqs: [u64; 2]) -> TaskRecord {
        let events = [stored(100, Change::Created(Box::new(facts(Status::Todo)))), stored(200, to(Status::Done))];
        let timeline = events.into_iter().zip(seqs).map(|(event, seq)| StoredEvent { seq, ..event }).collect();
        TaskRecord { url: String::new(), reporter: None, updated: Millis(0), blockers: vec![], absences: 0, timeline }
    }

    #[test]
    fn events_that_were_exported_are_old_and_the_others_are_new() {
        let seqs = |done| {
            with_exported(&record([9, 9]), &record([3, 7]), done, 9).timeline.iter().map(|e| e.seq).collect::<Vec<_>>()
        };
        assert_eq!((seqs(2), seqs(3), seqs(7)), (vec![9, 9], vec![EXPORTED, 9], vec![EXPORTED, EXPORTED]));
        let known = with_exported(&record([4, 9]), &record([3, 7]), 7, 9);
        assert_eq!(known.timeline[0].seq, 4, "what this store knew already stays");
    }

    #[test]
    fn an_exported_insight_keeps_its_ids_and_another_is_new() {
        let mut theirs = InsightRecord::new("sdk-laptop", "shop", "ins_7f3c0a9be2d14c55");
        let emit = InsightEmit { id: theirs.id.clone(), insight_type: "lesson".into(), ..InsightEmit::default() };
        let update = InsightUpdate { id: theirs.id.clone(), action: "confirm".into(), ..InsightUpdate::default() };
        for (seq, said) in [(1, Said::Emit(Box::new(emit))), (2, Said::Update(Box::new(update)))] {
            theirs.add([InsightReport { journal: seq, ..InsightReport::new("w", seq, Millis(1), None, said) }]);
        }
        let exported = adopted(theirs.clone(), "sdk", (1, 1), 9);
        assert_eq!((exported.key(), exported.source.as_str()), (theirs.key(), "sdk"));
        assert_eq!(exported.reports.iter().map(|report| report.journal).collect::<Vec<_>>(), [EXPORTED, 9]);
        let new = adopted(theirs, "sdk", (0, 2), 9);
        assert_eq!((new.key().source.as_str(), new.reports[0].journal, new.reports[1].journal), ("sdk", 9, EXPORTED));
    }

    #[test]
    fn a_circle_of_which_each_engine_knew_one_half_is_refused() {
        let [one, other] = ["ins_00000000000000aa", "ins_00000000000000bb"];
        let replaced = |by: &str| {
            let said = Said::Superseded { by: by.into(), insight_type: InsightType::Decision, agent: None };
            InsightReport::new("w", 1, Millis(1), None, said)
        };
        let store = Store::over(std::sync::Arc::new(crate::store::MemoryKv::default())).unwrap();
        let mut to = store.begin().unwrap();
        let mut record = InsightRecord::new("sdk", "shop", one);
        record.add([replaced(other)]);
        to.put_insight(None, &record).unwrap();
        let refused = |id: &str, by: &str| {
            let key = ("shop".to_owned(), id.to_owned());
            without_circles(&to, &key, vec![replaced(by)]).unwrap().remove(0).refused
        };
        let why = format!("{one} cannot replace what replaces it: {other}");
        assert_eq!(refused(other, one), Some(why));
        assert_eq!(refused(other, "ins_00000000000000cc"), None);
    }
}
