//! What was exported of a task, kept in the store: exported is final.
//!
//! A mapping that changes, a title that is corrected or an event that arrives late changes what a timeline folds into, and
//! with it what a span with a known id would hold. So what an anchor holds is fixed before it is first sent, and what ended
//! is noted once the backend acknowledged it: the same id always means the same bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::error::Result;
use crate::model::ids::SpanId;
use crate::model::time::Millis;
use crate::model::{SmolStr, TaskKey};
use crate::store::own::EXPORTED_SPRINTS;
use crate::store::{Store, Transaction};

/// What was exported of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    /// What all its anchors hold; `None` until the first is sent.
    pub(crate) identity: Option<Identity>,
    /// Its anchors.
    pub(crate) anchors: Vec<FixedAnchor>,
    /// When the exported phases began: their ids follow from that.
    pub(crate) phases: Vec<Millis>,
    /// The exported completions: the ordinal in their ids, and when they happened.
    pub(crate) finishes: Vec<(u32, Millis)>,
}

/// What all anchors of a task hold. Titles are subject to privacy whenever they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) key: SmolStr,
    pub(crate) title: String,
    pub(crate) task_type: String,
    /// The project whose resource they are under.
    pub(crate) project_id: String,
    pub(crate) created: Millis,
}

/// An exported anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FixedAnchor {
    /// The ordinal in its id.
    pub(crate) ordinal: u64,
    /// The lineage it stands for.
    pub(crate) lineage: u64,
    /// The parent task's anchor.
    pub(crate) parent: Option<SpanBytes>,
    /// The task's previous anchor: the root of its trace and its span id.
    pub(crate) former: Option<(SmolStr, SpanBytes)>,
}

/// A span id as it is stored.
pub(crate) type SpanBytes = [u8; 8];

/// Ordinals from here on belong to anchors whose own ordinal another lineage already has.
const SHIFTED: u64 = 1 << 40;

impl Exported {
    /// The exported anchor with this ordinal.
    pub(crate) fn anchor(&self, ordinal: u64) -> Option<&FixedAnchor> {
        self.anchors.iter().find(|anchor| anchor.ordinal == ordinal)
    }

    /// The ordinal of the anchor of a lineage, whose own is `own` and follows from its place in the timeline. That place moves
    /// when an event arrives late, and the lineage changes with a mapping. An ordinal that was exported keeps its lineage;
    /// another lineage at that place gets the ordinal it had before, or one that follows from itself.
    pub(crate) fn ordinal(&self, own: u64, lineage: u64, taken: &[u64]) -> u64 {
        let is_free = |ordinal: u64| !taken.contains(&ordinal);
        match self.anchor(own) {
            Some(anchor) if anchor.lineage == lineage && is_free(own) => own,
            None if is_free(own) && !self.anchors.iter().any(|a| a.lineage == lineage && is_free(a.ordinal)) => own,
            _ => {
                let before = self.anchors.iter().find(|a| a.lineage == lineage && is_free(a.ordinal));
                let mut ordinal = before.map_or(SHIFTED + (lineage >> 32), |anchor| anchor.ordinal);
                while !is_free(ordinal) || self.anchor(ordinal).is_some_and(|anchor| anchor.lineage != lineage) {
                    ordinal += 1;
                }
                ordinal
            }
        }
    }

    /// The newest exported completion: its ordinal, and when it happened.
    pub(crate) fn newest_finish(&self) -> Option<(u32, Millis)> {
        self.finishes.iter().max().copied()
    }
}

/// The ordinal of a completion that its timeline counts as number `cycle`, after the `newest` one exported: the next free
/// one, since a mapping may take earlier completions away. `None` when it is not newer, so that its number may be taken.
pub(crate) fn next_cycle(newest: Option<(u32, Millis)>, cycle: u32, at: Millis) -> Option<u32> {
    match newest {
        Some((_, newest)) if at <= newest => None,
        Some((last, _)) => Some(cycle.max(last + 1)),
        None => Some(cycle),
    }
}

/// The sprints of a source whose spans were exported. One that is reopened and closes again has no other span.
pub(super) struct ExportedSprints {
    ids: BTreeSet<String>,
    is_saved: bool,
}

impl ExportedSprints {
    /// Reads them. Before they were noted, spans were exported of all that had closed up to `done`.
    pub(super) fn read(store: &Store, source: &str, done: u64) -> Result<Self> {
        if let Some(ids) = store.exported_sprints(source)? {
            return Ok(Self { ids, is_saved: true });
        }
        let sprints = store.sprints(Some(source))?.into_iter();
        let closed = sprints.filter(|(_, sprint)| sprint.closed_seq.is_some_and(|seq| seq <= done));
        Ok(Self { ids: closed.map(|(key, _)| key.native_id.to_string()).collect(), is_saved: false })
    }

    /// Whether the span of a sprint was exported.
    pub(super) fn has(&self, key: &TaskKey) -> bool {
        self.ids.contains(key.native_id.as_str())
    }

    /// Notes that it is.
    pub(super) fn note(&mut self, key: &TaskKey) {
        self.is_saved &= !self.ids.insert(key.native_id.to_string());
    }

    /// Stores them, unless they are.
    pub(super) fn save(&mut self, to: &mut Transaction<'_>, source: &str) -> Result<()> {
        if !self.is_saved {
            to.put_metadata(EXPORTED_SPRINTS, source, &self.ids)?;
            self.is_saved = true;
        }
        Ok(())
    }
}

/// Takes over what another engine exported of tasks that are those of `source` now: what ended is not exported again under other
/// ids. Anchors are not taken over, because they belong to the traces of the other engine.
pub(crate) fn inherit(to: &Store, source: &str, from: &Store) -> Result<()> {
    let mut theirs = from.all_exported::<Exported>();
    loop {
        let some = theirs.by_ref().take(AT_ONCE).collect::<Result<Vec<_>>>()?;
        if some.is_empty() {
            return Ok(());
        }
        let mut transaction = to.begin()?;
        for (key, Exported { phases, finishes, .. }) in some {
            let key = TaskKey::new(source, key.native_id);
            let mut ours: Exported = to.exported(&key)?.unwrap_or_default();
            let new: Vec<Millis> = phases.into_iter().filter(|from| !ours.phases.contains(from)).collect();
            ours.phases.extend(new);
            let new: Vec<_> = finishes.into_iter().filter(|finish| !ours.finishes.contains(finish)).collect();
            ours.finishes.extend(new);
            transaction.put_exported(&key, &ours)?;
        }
        transaction.commit()?;
    }
}

/// Tasks taken over in one transaction.
const AT_ONCE: usize = 1_000;

impl FixedAnchor {
    pub(crate) fn parent(&self) -> Option<SpanId> {
        self.parent.map(SpanId)
    }

    /// The previous anchor, of a task of this source.
    pub(crate) fn former(&self, source: &str) -> Option<(TaskKey, SpanId)> {
        self.former.as_ref().map(|(root, span)| (TaskKey::new(source, root.as_str()), SpanId(*span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(anchors: &[(u64, u64)]) -> Exported {
        let anchor = |(ordinal, lineage): &(u64, u64)| FixedAnchor {
            ordinal: *ordinal,
            lineage: *lineage,
            parent: None,
            former: None,
        };
        Exported { anchors: anchors.iter().map(anchor).collect(), ..Exported::default() }
    }

    #[test]
    fn an_exported_ordinal_keeps_its_lineage() {
        assert_eq!(Exported::default().ordinal(1, 77, &[0]), 1);
        let two = exported(&[(0, 70), (1, 71)]);
        assert_eq!(two.ordinal(0, 70, &[]), 0);
        assert_eq!(two.ordinal(2, 99, &[0, 1]), 2, "a new one at the end");
        // A late event puts 80 between them: it gets another ordinal, and 71 keeps its own.
        let between = two.ordinal(1, 80 << 32, &[0]);
        assert_eq!(between, SHIFTED + 80);
        assert_eq!(two.ordinal(2, 71, &[0, between]), 1);
        // Back to the first lineage: another period, another anchor.
        assert_eq!(two.ordinal(2, 70, &[0, 1]), 2);
    }

    #[test]
    fn completions_are_exported_once() {
        assert_eq!(next_cycle(None, 1, Millis(100)), Some(1));
        let newest = Some((1, Millis(100)));
        assert_eq!(next_cycle(newest, 1, Millis(100)), None);
        assert_eq!(next_cycle(newest, 1, Millis(50)), None, "an older one, found late");
        assert_eq!(next_cycle(newest, 2, Millis(200)), Some(2));
        assert_eq!(next_cycle(newest, 1, Millis(200)), Some(2), "a mapping took the first one away");
    }
}
