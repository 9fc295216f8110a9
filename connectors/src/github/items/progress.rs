//! How far the items of our projects have been read: what each looked like, and the sweep under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contextcore_core::Millis;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::super::batch::{Kind, Sizes};
use super::super::features::Missing;
use super::super::fingerprints::{Fingerprint, Fingerprints, Short};
use super::super::place::Place;
use super::super::rows::Row;
use super::super::transfers::Transfers;

/// Changed items of one page of records.
pub(super) const BATCH: usize = 100;

/// How far the stream has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ItemCursor {
    /// By the node id of the project.
    pub(super) projects: BTreeMap<Box<str>, ProjectCursor>,
    pub(super) sizes: Sizes,
    /// When issues that something blocks were last read whether they looked changed or not.
    pub(super) blocked_read: Option<Millis>,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<Sweep>,
    /// Issues that were transferred.
    #[serde(skip_serializing_if = "Transfers::is_empty")]
    pub(super) transfers: Transfers,
    /// What the server did not know when the items were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<Missing>,
}

/// How far one project has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ProjectCursor {
    #[serde(rename = "marks")]
    pub(super) fingerprints: Fingerprints,
    /// Drafts by the item that wraps them, since an item stays when its draft becomes an issue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) drafts: BTreeMap<Box<str>, Box<str>>,
    /// The issue that each item wrapped first. An item stays when its issue is transferred to another repository.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    issues: BTreeMap<Short, Box<str>>,
    /// The number of the last sweep, modulo 256.
    pub(super) sweep: u8,
    /// How many items the last sweep saw fewer than GitHub counts, twice in a row: then it will again.
    pub(super) gap: u64,
    /// Items of the last sweep that GitHub counts and that are no tasks of this project.
    #[serde(rename = "aside", skip_serializing_if = "is_zero")]
    pub(super) other_items: u64,
    /// How many tasks GitHub counts in it, by the last sweep that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tasks: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One sweep over all projects.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sweep {
    /// The projects that are still to be listed, the current one first.
    pub(super) left: VecDeque<Box<str>>,
    /// The place in the current one.
    #[serde(flatten)]
    pub(super) place: Place,
    /// Items of the current one that were hidden altogether.
    pub(super) hidden: u64,
    /// The current one is listed for the second time, because items moved between the pages.
    pub(super) again: bool,
    /// Since when this sweep reads blocked issues whether they look changed or not: one blocker in place of another changes no
    /// count, and perhaps no date.
    pub(super) blocked: Option<Millis>,
    /// Records of this sweep were given before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_given: bool,
    /// Items that were put away while open since the last sweep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) put_away: Vec<PutAway>,
}

/// An item that was put away while open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PutAway {
    pub(super) project: Box<str>,
    pub(super) item: Box<str>,
    pub(super) native_id: Box<str>,
    pub(super) kind: Kind,
    pub(super) repository: Option<Box<str>>,
}

/// An item to be given.
#[derive(Debug)]
pub(super) struct ChangedItem {
    pub(super) project: Box<str>,
    pub(super) row: Row,
    pub(super) fresh: bool,
}

/// What is to be done about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    Given,
    /// It was put away while open.
    PutAway,
}

impl ItemCursor {
    /// The sweep under way, or a new one. What hidden projects held is remembered until they are visible again.
    pub(super) fn begin(&mut self, projects: &[&str], lost: &[&str], now: Millis) -> Sweep {
        self.projects.retain(|id, _| projects.contains(&&**id) || lost.contains(&&**id));
        let going = self.sweep.take().filter(|sweep| sweep.left.iter().all(|id| projects.contains(&&**id)));
        if let Some(sweep) = going.filter(|sweep| !sweep.left.is_empty() || !sweep.put_away.is_empty()) {
            return sweep;
        }
        self.sizes = self.sizes.relaxed();
        let due = self.blocked_read.is_none_or(|last| last.plus(DAY) <= now);
        let left = projects.iter().map(|id| (*id).into()).collect();
        let mut sweep = Sweep { left, blocked: due.then_some(now), ..Sweep::default() };
        self.enter(&mut sweep);
        sweep
    }

    /// Forgets how items looked when the server has learnt something since: all are given again, with more in them. `before` is
    /// what an earlier version knew of that.
    pub(super) fn relearn(&mut self, now: Missing, before: impl FnOnce() -> Missing) {
        if self.missing.take().unwrap_or_else(before).has_shrunk_to(&now) {
            info!("the server has learnt something, reading all items again");
            self.give_again();
        }
        self.missing = Some(now);
    }

    /// Begins with the project at the head.
    pub(super) fn enter(&mut self, sweep: &mut Sweep) {
        (sweep.place, sweep.hidden, sweep.again) = (Place::default(), 0, false);
        if let Some(project) = sweep.left.front() {
            let tracked = self.projects.entry(project.clone()).or_default();
            (tracked.sweep, tracked.other_items) = (tracked.sweep.wrapping_add(1), 0);
        }
    }

    /// Notes that an item is there though it cannot be listed. Whether it is known.
    pub(super) fn touch(&mut self, project: &str, item: &str) -> bool {
        let Some(tracked) = self.projects.get_mut(project) else { return false };
        let (item, sweep) = (Short::of(&[item]), tracked.sweep);
        let Some(known) = tracked.fingerprints.get(&item).copied() else { return false };
        tracked.fingerprints.set(item, Fingerprint { sweep, ..known });
        true
    }

    /// Takes a row. What is to be done about it: with `anyhow` a blocked one is given even if it did not change.
    pub(super) fn take(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, anyhow: bool) -> Taken {
        let Some(tracked) = self.projects.get_mut(project) else { return Taken::Nothing };
        let (item, content, sweep) = (Short::of(&[&row.id]), row.content(), tracked.sweep);
        let known = tracked.fingerprints.get(&item).copied();
        let hidden_now = content == Short::NONE && known.is_some_and(|known| known.content != Short::NONE);
        let is_met_first = known.is_none_or(|known| known.sweep != sweep);
        let wraps = known.filter(|_| hidden_now).map_or(content, |known| known.content);
        let is_ours = wraps == Short::NONE || !elsewhere.contains(&wraps);
        tracked.other_items += u64::from(is_met_first && (row.is_no_task() || !is_ours));
        let mut fingerprint = known.unwrap_or(Fingerprint { content, look: Short::NONE, sweep });
        fingerprint.sweep = sweep;
        if hidden_now {
            // Its task stays as it was until the complete pass has missed it.
            tracked.fingerprints.set(item, fingerprint);
            return Taken::Nothing;
        }
        // What was put away before stays so, whatever else changes about it.
        let was_put_away = known.is_some_and(|known| known.content == Short::NONE && known.look != Short::NONE);
        fingerprint.content = content;
        let look = row.look();
        let give = is_ours && !row.is_put_away() && (fingerprint.look != look || (anyhow && row.is_blocked()));
        if row.is_put_away() {
            // It does not belong here any more: another project may show it.
            (fingerprint.content, fingerprint.look) = (Short::NONE, look);
        } else if !is_ours {
            fingerprint.look = Short::NONE;
        }
        tracked.fingerprints.set(item, fingerprint);
        match (give, row.is_put_away() && content != Short::NONE && is_ours && !was_put_away) {
            (true, _) => Taken::Given,
            (_, true) => Taken::PutAway,
            _ => Taken::Nothing,
        }
    }

    /// Items that were put away and that nothing else of ours shows. Some of them, when they are many.
    pub(super) fn put_away(&self, sweep: &mut Sweep, repositories: &BTreeSet<String>) -> Vec<PutAway> {
        let shown: BTreeSet<Short> =
            self.projects.values().flat_map(|tracked| tracked.fingerprints.contents()).collect();
        let some = sweep.put_away.split_off(sweep.put_away.len().saturating_sub(BATCH));
        let is_shown = |one: &PutAway| {
            let listed = one.repository.as_deref().is_some_and(|name| repositories.contains(&name.to_lowercase()));
            listed || shown.contains(&Short::of(&[&one.native_id]))
        };
        some.into_iter().filter(|one| !is_shown(one)).collect()
    }

    /// Remembers the issue that an item wrapped first. Whether it is known now to have been transferred since.
    pub(super) fn follow(&mut self, project: &str, row: &Row) -> bool {
        let issue = row.content_id().filter(|_| &*row.item_type == "ISSUE");
        let Some((tracked, id)) = self.projects.get_mut(project).zip(issue) else { return false };
        let first = tracked.issues.entry(Short::of(&[&row.id])).or_insert_with(|| id.into());
        self.transfers.note(id, first)
    }

    /// Gives all items again in the next sweep: what was given in this one may refer to an issue by an id that was news later.
    pub(super) fn give_again(&mut self) {
        self.projects.values_mut().for_each(|tracked| tracked.fingerprints.forget_looks());
    }

    /// Remembers the draft that an item wraps. Returns the draft that became the issue which the item wraps now.
    pub(super) fn convert(&mut self, project: &str, row: &Row) -> Option<Box<str>> {
        let drafts = &mut self.projects.get_mut(project)?.drafts;
        match (&*row.item_type, row.content_id()) {
            ("DRAFT_ISSUE", Some(draft)) => {
                drafts.insert(row.id.clone(), draft.into());
                None
            }
            ("ISSUE", Some(_)) => drafts.remove(&row.id),
            _ => None,
        }
    }

    /// Remembers that a row was given, or that there is nothing to give.
    pub(super) fn settle(&mut self, change: &ChangedItem) {
        let Some(tracked) = self.projects.get_mut(&change.project) else { return };
        let item = Short::of(&[&change.row.id]);
        // A fresh row is given once more.
        let look = if change.fresh { Short::NONE } else { change.row.look() };
        let sweep = tracked.sweep;
        tracked.fingerprints.set(item, Fingerprint { content: change.row.content(), look, sweep });
    }

    /// Ends a project, or lists it again when fewer items were seen than GitHub counts and the gap is new. Whether it ended.
    pub(super) fn end(&mut self, sweep: &mut Sweep, total: Option<u64>) -> bool {
        let Some(project) = sweep.left.front().cloned() else { return true };
        let tracked = self.projects.entry(project.clone()).or_default();
        let seen = tracked.fingerprints.seen(tracked.sweep) as u64 + sweep.hidden;
        let gap = total.unwrap_or(seen).saturating_sub(seen);
        if gap > 0 && gap != tracked.gap && !sweep.again {
            info!(%project, seen, ?total, "items moved while they were listed, listing them again");
            (sweep.place, sweep.hidden, sweep.again) = (Place::default(), 0, true);
            return false;
        }
        tracked.gap = gap;
        tracked.tasks = total.map(|total| total.saturating_sub(tracked.other_items));
        tracked.fingerprints.forget_absent(tracked.sweep);
        let ProjectCursor { fingerprints, drafts, issues, .. } = tracked;
        drafts.retain(|item, _| fingerprints.get(&Short::of(&[item])).is_some());
        issues.retain(|item, _| fingerprints.get(item).is_some());
        sweep.left.pop_front();
        if sweep.left.is_empty() {
            self.blocked_read = sweep.blocked.or(self.blocked_read);
        }
        self.enter(sweep);
        true
    }

    /// How many tasks GitHub counts in these projects, if that is known of each. For one that was never listed to its end,
    /// `counted` is the count of the last page.
    pub(super) fn tasks(&self, order: &[&str], counted: Option<&(Box<str>, u64)>) -> Option<u64> {
        let tasks = |id: &&str| {
            let tracked = self.projects.get(*id)?;
            let present = counted
                .filter(|(project, _)| **project == **id)
                .map(|(_, total)| total.saturating_sub(tracked.other_items));
            tracked.tasks.or(present)
        };
        order.iter().map(tasks).sum()
    }

    /// What the projects before this one hold, and the hidden ones.
    pub(super) fn before(&self, order: &[&str], lost: &[&str], project: &str) -> BTreeSet<Short> {
        let before = order.iter().take_while(|id| **id != project).chain(lost);
        before.filter_map(|id| self.projects.get(*id)).flat_map(|tracked| tracked.fingerprints.contents()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        crate::cursor::golden::assert_unchanged::<ItemCursor>(include_str!("../fixtures/cursors.json"), "items");
    }

    const NOW: Millis = Millis(1_800_000_000_000);

    fn row(number: u32, blockers: u32) -> Row {
        let json = serde_json::json!({
            "id": format!("PVTI_{number}"), "type": "ISSUE", "updatedAt": "2026-03-01T10:00:00Z",
            "content": {"id": format!("I_{number}"), "state": "OPEN", "updatedAt": "2026-03-01T10:00:00Z",
                "issueDependenciesSummary": {"blockedBy": blockers, "totalBlockedBy": blockers}},
        });
        serde_json::from_value(json).unwrap()
    }

    /// A sweep at a moment over two issues of which one is blocked. Returns those that are to be given, by their number of blockers.
    fn sweep(cursor: &mut ItemCursor, now: Millis) -> Vec<u32> {
        let mut sweep = cursor.begin(&["P"], &[], now);
        let anyhow = sweep.blocked.is_some();
        let mut given = Vec::new();
        for blockers in [0, 1] {
            let row = row(blockers, blockers);
            if cursor.take("P", &row, &BTreeSet::new(), anyhow) == Taken::Given {
                cursor.settle(&ChangedItem { project: "P".into(), row, fresh: false });
                given.push(blockers);
            }
        }
        assert!(cursor.end(&mut sweep, Some(2)));
        given
    }

    #[test]
    fn a_blocked_issue_is_read_daily_even_if_it_looks_unchanged() {
        let mut cursor = ItemCursor::default();
        assert_eq!(sweep(&mut cursor, NOW), [0, 1]);
        assert!(sweep(&mut cursor, NOW.plus(DAY - 1)).is_empty());
        assert_eq!(sweep(&mut cursor, NOW.plus(DAY)), [1]);
        assert!(sweep(&mut cursor, NOW.plus(DAY + 1)).is_empty());
    }
}
