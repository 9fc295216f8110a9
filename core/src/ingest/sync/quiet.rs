//! What a poll without news costs: pages that change nothing are not stored, and a run that has nothing to export does not say so.
//!
//! What can be decided only with what other sources write too is stored as any other page: an omission costs calls of the store, never
//! a wrong result. A page that is passed over leaves its cursor for the result of the run, so that the next one continues there.

use std::collections::BTreeSet;

use super::job::Job;
use super::sprints::is_stored;
use crate::ingest::connector::{Page, SourceSession, Stream};
use crate::model::error::Result;
use crate::model::observation::Observation;
use crate::model::time::{DAY, Millis};
use crate::model::{SprintFacts, SprintState, TaskKey};
use crate::progress::Update;
use crate::store::own::{EXPIRED, FORGOTTEN, UNSEALED};

impl Job<'_> {
    /// Whether nothing but its cursor would be stored of a page of changes.
    pub(super) fn is_quiet(&self, session: &dyn SourceSession, stream: &Stream, page: &Page) -> Result<bool> {
        if stream.complete || !page.seen.is_empty() || !page.unreadable.is_empty() {
            return Ok(false);
        }
        let Some(sprints) = self.only_sprints(session, page) else { return Ok(false) };
        let is_counted = match page.total {
            Some(total) => self.store.source_status(self.name())?.tool_count == Some(total),
            None => true,
        };
        Ok(is_counted && self.are_stored(sprints)? && self.none_ended(page)?)
    }

    /// The sprints of a page without anything else.
    fn only_sprints(&self, session: &dyn SourceSession, page: &Page) -> Option<Vec<(TaskKey, SprintFacts)>> {
        let mut sprints = Vec::new();
        for record in &page.records {
            for observation in session.normalise(record).ok()? {
                let Observation::Sprint { native_id, facts } = observation else { return None };
                sprints.push((self.key(&native_id), facts));
            }
        }
        Some(sprints)
    }

    /// Whether all of these sprints are stored as they are, and no record of theirs is in quarantine.
    fn are_stored(&self, sprints: Vec<(TaskKey, SprintFacts)>) -> Result<bool> {
        if sprints.is_empty() {
            return Ok(true);
        }
        if !self.store.quarantined_records(Some(self.name()))?.is_empty() {
            return Ok(false);
        }
        let deleted = self.store.deleted_sprints(self.name())?;
        let (keys, facts): (Vec<TaskKey>, Vec<SprintFacts>) = sprints.into_iter().unzip();
        let known = self.store.sprints_of(&keys)?;
        let mut all = keys.iter().zip(known).zip(facts);
        Ok(all
            .all(|((key, known), facts)| !deleted.contains(key.native_id.as_str()) && is_stored(known.as_ref(), facts)))
    }

    /// Whether no sprint has ended that is missing from the open ones that the page lists.
    fn none_ended(&self, page: &Page) -> Result<bool> {
        let Some(open) = &page.open_sprints else { return Ok(true) };
        let open: BTreeSet<&str> = open.iter().map(String::as_str).collect();
        let stored = self.store.sprints(Some(self.name()))?;
        let mut missing = stored.iter().filter(|(key, _)| !open.contains(key.native_id.as_str()));
        Ok(missing.all(|(_, sprint)| sprint.facts.state == SprintState::Closed))
    }

    /// Goes on after a page that changes nothing.
    pub(super) fn pass_over(&mut self, stream: &Stream, mut page: Page) -> Result<()> {
        self.report.warnings.append(&mut page.warnings);
        self.withhold(&page.withheld);
        self.out_of_scope += page.out_of_scope;
        self.nameless |= page.nameless;
        if let Some(total) = page.total {
            self.progress.event(self.name(), Update::Total(total));
        }
        let records = page.records.len() as u64;
        self.report.records += records;
        self.progress.event(self.name(), Update::Page { records, changes: 0 });
        if self.store.cursor(self.name(), stream.name)?.as_ref() == Some(&page.cursor) {
            self.moved.remove(stream.name);
        } else {
            self.moved.insert(stream.name, page.cursor);
        }
        Ok(())
    }

    /// Whether there is nothing to export, and nothing to tidy up, after a run.
    pub(super) fn has_nothing_to_finish(&self) -> Result<bool> {
        let (store, name) = (self.store, self.name());
        if self.report.changes > 0 || !self.other_sources.is_empty() || self.is_upkeep_due()? {
            return Ok(false);
        }
        if store.metadata(UNSEALED, name)? == Some(true) {
            return Ok(false);
        }
        // Mostly all of it was exported and is gone, which one call says.
        Ok(!store.has_journal_after(name, 0)? || !store.has_journal_after(name, store.sealed(name)?)?)
    }

    fn is_upkeep_due(&self) -> Result<bool> {
        let is_old = |last: Option<Millis>| last.is_some_and(|last| self.run.now.0 - last.0 >= DAY);
        let expired: Option<Millis> = self.store.metadata(EXPIRED, self.name())?;
        Ok(expired.is_none() || is_old(expired) || is_old(self.store.metadata(FORGOTTEN, self.name())?))
    }
}
