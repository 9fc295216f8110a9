//! Reading records again by their ids: what was quarantined or unreadable, and what a complete pass listed and the store lacks.
//!
//! What the tool could not serve is asked for on every run, what we could not understand on every complete pass and after an
//! upgrade. A complete pass ends with the count of [`Listed`]: every id that the tool lists is held, quarantined, unreadable or
//! out of scope. What is nowhere is asked for once more; if it is nowhere still, the run ends with an error.

use std::collections::{BTreeMap, BTreeSet};

use super::allow_blocking;
use super::job::Job;
use crate::ingest::connector::{Page, SourceSession};
use crate::model::TaskKey;
use crate::model::error::{Error, ErrorKind, Result};
use crate::store::{Listed, Quarantined, SourceStatus};

/// Ids asked for at once.
const CHUNK: usize = 50;
/// Ids asked for in one run: more than these are asked for in the next runs.
const PER_RUN: usize = 500;
/// Ids compared with the store at once.
const COMPARED_AT_ONCE: usize = 500;
/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Job<'_> {
    /// Reads again what is due. A failure is a warning: everything else goes on, and the next run tries again.
    pub(super) async fn read_quarantined_again(&mut self, session: &dyn SourceSession, passes: bool) -> Result<()> {
        let status = self.store.source_status(self.name())?;
        let upgraded = status.reread_by != VERSION;
        let mut due = self.store.quarantined_records(Some(self.name()))?;
        // What this run has just found is not asked for twice.
        due.retain(|record| !self.just_quarantined.contains(&record.native_id));
        due.retain(|record| record.is_unreadable() || passes || upgraded);
        due.sort_by_key(|record| record.at);
        due.truncate(PER_RUN);
        let ids = self.understand_again(session, due)?;
        if let Err(error) = self.read_again(session, &ids).await {
            if error.kind() == ErrorKind::Cancelled {
                return Err(error);
            }
            self.report.warnings.push(format!("records that could not be read before were not read again: {error}"));
        } else if upgraded && !self.dry_run {
            self.put_status_now(|status| VERSION.clone_into(&mut status.reread_by))?;
        }
        Ok(())
    }

    /// Understands again what the store has the only copy of. Returns the ids that the tool has to be asked for.
    fn understand_again(&mut self, session: &dyn SourceSession, due: Vec<Quarantined>) -> Result<Vec<String>> {
        let (mut records, mut others) = (Vec::new(), Vec::new());
        for Quarantined { native_id, json, .. } in due {
            match session.kept(&native_id, &json) {
                Some(record) => records.push(record),
                None => others.push(native_id),
            }
        }
        // What still cannot be understood stays as it is.
        records.retain(|record| session.normalise(record).is_ok());
        if !records.is_empty() {
            let page = Page { records, ..Page::default() };
            let _doubt = allow_blocking(|| self.store_records(session, page, |_, _, _| Ok(())))?;
        }
        Ok(others)
    }

    /// Reads records by their ids. An id of which the tool says nothing is forgotten: it is out of scope.
    async fn read_again(&mut self, session: &dyn SourceSession, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(CHUNK) {
            let page = self.or_cancelled(session.read_again(ids)).await?;
            let forgotten: Vec<&String> = unmentioned(ids, &page);
            self.not_ours.extend(forgotten.iter().map(|id| id.to_string()));
            // Whatever is on the page was in doubt before.
            let _doubt = allow_blocking(|| {
                self.store_records(session, page, |job, to, _| {
                    forgotten.into_iter().try_for_each(|id| to.put_quarantined(job.name(), id, None))
                })
            })?;
        }
        Ok(())
    }

    /// Compares what the complete pass listed with what is held, reads what is missing, and stores the result.
    pub(super) async fn account(&mut self, session: &dyn SourceSession) -> Result<()> {
        let (mut listed, mut missing) = self.listed()?;
        if !missing.is_empty() {
            self.read_again(session, &missing).await?;
            (listed, missing) = self.listed()?;
        }
        self.put_status_now(|status| status.listed = Some(listed))?;
        let Some(first) = missing.first() else { return Ok(()) };
        let text = "the tool lists tasks that it gave no record of, even when they were asked for by id";
        Err(Error::new(ErrorKind::Coverage, text).with("missing", missing.len()).with("first", first))
    }

    /// Asks by id for what the complete pass did not list, where it met a row without an id: any of them may be that row. Returns
    /// those that the tool does not find; none where every row had an id.
    pub(super) async fn gone_by_id(&mut self, session: &dyn SourceSession) -> Result<Option<BTreeSet<TaskKey>>> {
        if !self.nameless {
            return Ok(None);
        }
        let (census, _) = self.census(self.store.source_status(self.name())?.pass + 1)?;
        let missing: Vec<TaskKey> = census.into_values().flat_map(|census| census.missing).collect();
        let ids: Vec<String> = missing.iter().take(CHUNK).map(|key| key.native_id.to_string()).collect();
        let gone = match self.or_cancelled(session.read_again(&ids)).await {
            Ok(page) => unmentioned(&ids, &page).into_iter().map(|id| self.key(id)).collect(),
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => {
                self.report.warnings.push(format!("what is not listed could not be asked for by id: {error}"));
                BTreeSet::new()
            }
        };
        Ok(Some(gone))
    }

    /// Counts what became of the ids that the complete pass listed. Also returns those that are nowhere.
    fn listed(&self) -> Result<(Listed, Vec<String>)> {
        let pass = self.store.source_status(self.name())?.pass + 1;
        let quarantined = self.store.quarantined_records(Some(self.name()))?;
        let quarantined: BTreeMap<&str, bool> =
            quarantined.iter().map(|record| (record.native_id.as_str(), record.is_unreadable())).collect();
        let mut count = Listed { listed: self.out_of_scope, out_of_scope: self.out_of_scope, ..Listed::default() };
        let (mut others, mut missing) = (Vec::new(), Vec::new());
        for item in self.store.seen(self.name()) {
            let (key, in_pass) = item?;
            if in_pass != pass {
                continue;
            }
            count.listed += 1;
            match quarantined.get(key.native_id.as_str()) {
                Some(true) => count.unreadable += 1,
                Some(false) => count.set_aside += 1,
                None => others.push(key),
            }
            if others.len() == COMPARED_AT_ONCE {
                self.compare(&mut others, &mut count, &mut missing)?;
            }
        }
        self.compare(&mut others, &mut count, &mut missing)?;
        Ok((count, missing))
    }

    /// Counts which of these tasks are held, and takes them.
    fn compare(&self, keys: &mut Vec<TaskKey>, count: &mut Listed, missing: &mut Vec<String>) -> Result<()> {
        let held = self.store.has_tasks(keys)?;
        for (key, held) in keys.drain(..).zip(held) {
            if held {
                count.held += 1;
            } else if self.not_ours.contains(key.native_id.as_str()) {
                count.out_of_scope += 1;
            } else {
                count.missing += 1;
                missing.push(key.native_id.to_string());
            }
        }
        Ok(())
    }

    fn put_status_now(&self, change: impl FnOnce(&mut SourceStatus)) -> Result<()> {
        let mut transaction = self.store.begin()?;
        self.put_status(&mut transaction, change)?;
        transaction.commit().map(drop)
    }
}

/// The ids that a page says nothing of.
fn unmentioned<'a>(ids: &'a [String], page: &Page) -> Vec<&'a String> {
    let records = page.records.iter().map(|record| &record.native_id);
    let mentioned: BTreeSet<&String> = records.chain(page.unreadable.iter().map(|one| &one.native_id)).collect();
    ids.iter().filter(|id| !mentioned.contains(id)).collect()
}

#[cfg(test)]
mod tests;
