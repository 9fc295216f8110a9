//! Storing sprints: as the tool reports them, and the end of those that it deleted.
//!
//! A deleted sprint that had started is closed at the moment we noticed, because its start may have been exported, and no longer
//! listed. One that had not started is forgotten.

use std::collections::BTreeSet;

use super::job::Job;
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::model::{SprintFacts, SprintRecord, SprintState, TaskKey};
use crate::store::Transaction;
use crate::store::own::DELETED_SPRINTS;

impl Job<'_> {
    pub(super) fn store_sprint(&mut self, to: &mut Transaction<'_>, native_id: &str, facts: SprintFacts) -> Result<()> {
        let key = self.key(native_id);
        self.put_deleted_sprint(to, &key, false)?;
        let known = to.sprint(&key)?;
        let (next, journal) = next_sprint(known.as_ref(), facts, to.seq());
        if known.as_ref() != Some(&next) {
            self.report.changes += 1;
            to.put_sprint(&key, &next, journal)?;
        }
        Ok(())
    }

    /// Ends every sprint that is not closed and that the tool has no longer.
    pub(super) fn end_deleted_sprints(&mut self, to: &mut Transaction<'_>, open: &BTreeSet<&str>) -> Result<()> {
        for (key, _) in self.store.sprints(Some(self.name()))? {
            if !open.contains(key.native_id.as_str()) {
                self.end_deleted_sprint(to, &key.native_id)?;
            }
        }
        Ok(())
    }

    /// Ends a sprint that the tool deleted. A closed one stays as it is.
    pub(super) fn end_deleted_sprint(&mut self, to: &mut Transaction<'_>, native_id: &str) -> Result<()> {
        let key = self.key(native_id);
        let Some(known) = to.sprint(&key)?.filter(|known| known.facts.state != SprintState::Closed) else {
            return Ok(());
        };
        self.report.changes += 1;
        if known.started_seq.is_none() {
            return to.remove_sprint(&key);
        }
        let (next, journal) = next_sprint(Some(&known), ended(&known.facts, self.run.now), to.seq());
        to.put_sprint(&key, &next, journal)?;
        self.put_deleted_sprint(to, &key, true)
    }

    /// Stores whether the tool deleted a sprint.
    fn put_deleted_sprint(&self, to: &mut Transaction<'_>, key: &TaskKey, deleted: bool) -> Result<()> {
        let mut all: BTreeSet<String> = to.metadata(DELETED_SPRINTS, self.name())?.unwrap_or_default();
        let changed = if deleted { all.insert(key.native_id.to_string()) } else { all.remove(key.native_id.as_str()) };
        if changed { to.put_metadata(DELETED_SPRINTS, self.name(), &all) } else { Ok(()) }
    }
}

/// Whether a sprint is stored just so.
pub(super) fn is_stored(known: Option<&SprintRecord>, facts: SprintFacts) -> bool {
    // The journal number is only taken by what starts or closes, which is a difference.
    known.is_some_and(|stored| next_sprint(known, facts, 0).0 == *stored)
}

/// The data of a sprint that was deleted by `now`.
fn ended(facts: &SprintFacts, now: Millis) -> SprintFacts {
    SprintFacts {
        state: SprintState::Closed,
        completed: Some(facts.start.map_or(now, |start| start.max(now))),
        ..facts.clone()
    }
}

/// The sprint to store, and whether to journal it: it is exported when it starts, and when it closes.
fn next_sprint(known: Option<&SprintRecord>, facts: SprintFacts, seq: u64) -> (SprintRecord, bool) {
    let next = SprintRecord::next(known, facts, seq);
    let old = known.map_or((None, None), |known| (known.started_seq, known.closed_seq));
    let journal = (next.started_seq, next.closed_seq) != old;
    (next, journal)
}
