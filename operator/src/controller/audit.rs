//! The audit in a pass: which change of a context a status stands for, and what the status keeps of it until the backend has it
//! ([`super::unrecorded`]).

use std::sync::Arc;

use jiff::Timestamp;

use super::changes::{self, ContextChange};
use super::kinds::Place;
use super::later::Matter;
use super::means::Passes;
use super::passes;
use super::world::{SeenContext, World};
use crate::resource::{ProjectContext, ProjectContextStatus};

impl Passes {
    /// Takes note of the records that statuses keep: another process, or an earlier one, may have left them.
    pub(super) fn see_unrecorded(&self) {
        let mut world = self.world.lock();
        let World { contexts, unrecorded, .. } = &mut *world;
        unrecorded.begin();
        if self.outside.has_backend() {
            for (place, seen) in contexts.iter().filter(|(_, seen)| !seen.status.unrecorded.is_empty()) {
                unrecorded.see(place, &seen.uid, &seen.status.unrecorded);
            }
        }
    }

    /// What changed, if a status is about another spec than the one before.
    pub(super) fn change(
        &self,
        place: &Place,
        seen: &SeenContext,
        new: &ProjectContextStatus,
        context: &ProjectContext,
        now: Timestamp,
    ) -> Option<ContextChange> {
        let digest = new.spec_digest.as_ref().filter(|digest| seen.status.spec_digest.as_ref() != Some(*digest))?;
        let known = self.world.lock().audited.get(place).cloned();
        // A status may be seen later than it was written.
        if known.as_ref().is_some_and(|known| is_of(known, seen) && changes::digest(known) == *digest) {
            return None;
        }
        let old = known.or_else(|| passes::recovered(place, seen));
        let audit = new.derived.as_ref().map(|derived| derived.audit_logging);
        let before = seen.status.spec_digest.clone();
        let change = ContextChange::new(place, old.as_deref(), context, before, audit);
        Some(ContextChange { at: now, uid: seen.uid.clone(), manager: seen.manager.clone(), ..change })
    }

    /// Has a status keep what the backend does not have: the same write moves the digest, so that no change is lost between both.
    pub(super) fn keep(&self, seen: &SeenContext, new: &mut ProjectContextStatus, change: Option<&mut ContextChange>) {
        if !self.outside.has_backend() {
            // Whoever has one again sends them.
            new.unrecorded.clone_from(&seen.status.unrecorded);
            return;
        }
        let accepted = new.accepted_spec.as_ref().map_or(0, String::len);
        let spec = || seen.context.as_ref().map_or(0, |context| changes::length(context));
        new.unrecorded = self.world.lock().unrecorded.keep(&seen.uid, change.as_deref(), || accepted + spec());
        if let Some(change) = change {
            change.is_kept = new.unrecorded.last().is_some_and(|last| *last == change.to_kept());
        }
    }

    /// How many records found no room since the last call.
    pub(super) fn without_room(&self) -> u64 {
        let lost = self.world.lock().unrecorded.take_lost();
        if lost > 0 {
            tracing::error!("{lost} records of changed contexts are lost: more wait than there is room for");
        }
        lost
    }

    /// Remembers what the audit has of a context whose status is written already.
    pub(super) fn settled(&self, place: &Place, seen: &SeenContext, accepted: Option<&Arc<ProjectContext>>) {
        let Some(context) = accepted else { return };
        let mut world = self.world.lock();
        if !world.audited.contains_key(place) && seen.status.spec_digest == Some(changes::digest(context)) {
            world.audited.insert(place.clone(), Arc::clone(context));
        }
    }

    /// Remembers a status that was written. Returns the change if no status keeps it.
    pub(super) fn written(
        &self,
        place: &Place,
        seen: &SeenContext,
        new: &ProjectContextStatus,
        accepted: Option<&Arc<ProjectContext>>,
        change: Option<ContextChange>,
    ) -> Option<ContextChange> {
        let mut world = self.world.lock();
        world.later.settle(&Matter::Status(place.clone()));
        let known = world.contexts.get_mut(place).filter(|known| known.uid == seen.uid);
        let is_there = known.is_some();
        if let Some(known) = known {
            known.status = Arc::new(new.clone());
        }
        let mut change = change?;
        world.audited.insert(place.clone(), Arc::clone(accepted?));
        change.is_kept &= is_there;
        if !change.is_kept {
            return Some(change);
        }
        world.unrecorded.wrote(change);
        None
    }
}

/// Whether it is the same object, and not one that was made anew under its name.
fn is_of(known: &ProjectContext, seen: &SeenContext) -> bool {
    known.metadata.uid.as_ref() == Some(&seen.uid)
}
