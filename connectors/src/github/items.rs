//! The `items` stream: the items of our projects that changed, with their whole histories.
//!
//! GitHub cannot list changed items, so each run lists all of them with few fields (a point for a hundred) and compares them
//! with what is remembered of each ([`Fingerprints`]). [`ItemCursor`] is the cursor. A fingerprint moves only with the page that
//! holds the record, so a crash in the middle of a sweep loses nothing. An item that GitHub cannot serve is named with the page.
//!
//! - An issue that is in several projects belongs to the first of them, in the order of the configuration.
//! - An item that is archived while open is gone, as on GitHub's own boards, unless another project or a configured repository
//!   shows it; one that is finished is only put away.
//! - A pull request that closes an issue belongs to that issue and is not a task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Unreadable};
use contextcore_core::model::time::DAY;
use contextcore_core::{Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::answer::FetchOutcome;
use super::api::Api;
use super::batch::{Kind, Sizes};
use super::features::Missing;
use super::fingerprints::{Fingerprint, Fingerprints, Short};
use super::records::{About, Completed, complete, unreadable};
use super::rows::{self, Row};
use super::session::{CONVERTED, GitHub, ITEMS, SiteContext};
use crate::cursor;

/// Changed items of one page of records.
const BATCH: usize = 100;
/// Requests of the sweep in one page of records, when hardly anything changed.
const SWEEPS: usize = 40;
/// Kinds of items, in the order they are requested.
const KINDS: [Kind; 3] = [Kind::IssueItems, Kind::PullRequestItems, Kind::OtherItems];

/// How far the stream has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ItemCursor {
    /// By the node id of the project.
    projects: BTreeMap<Box<str>, ProjectCursor>,
    sizes: Sizes,
    /// When issues that something blocks were last read whether they looked changed or not.
    blocked_read: Option<Millis>,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
    /// What the server did not know when the items were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
}

/// How far one project has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ProjectCursor {
    #[serde(rename = "marks")]
    fingerprints: Fingerprints,
    /// Drafts by the item that wraps them, since an item stays when its draft becomes an issue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    drafts: BTreeMap<Box<str>, Box<str>>,
    /// The number of the last sweep, modulo 256.
    sweep: u8,
    /// How many items the last sweep saw fewer than GitHub counts, twice in a row: then it will again.
    gap: u64,
    /// Items of the last sweep that GitHub counts and that are no tasks of this project.
    #[serde(rename = "aside", skip_serializing_if = "is_zero")]
    other_items: u64,
    /// How many tasks GitHub counts in it, by the last sweep that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One sweep over all projects.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Sweep {
    /// The projects that are still to be listed, the current one first.
    left: VecDeque<Box<str>>,
    /// The page cursor in the current one.
    after: Option<Box<str>>,
    /// Items of the current one that were hidden altogether.
    hidden: u64,
    /// The current one is listed for the second time, because items moved between the pages.
    again: bool,
    /// Since when this sweep reads blocked issues whether they look changed or not: one blocker in place of another changes no
    /// count, and perhaps no date.
    blocked: Option<Millis>,
    /// Items that were put away while open since the last sweep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    put_away: Vec<PutAway>,
}

/// An item that was put away while open.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PutAway {
    project: Box<str>,
    item: Box<str>,
    native_id: Box<str>,
    kind: Kind,
    repository: Option<Box<str>>,
}

/// An item to be given.
#[derive(Debug)]
struct ChangedItem {
    project: Box<str>,
    row: Row,
    fresh: bool,
}

/// What is to be done about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    Given,
    /// It was put away while open.
    PutAway,
}

impl ItemCursor {
    /// The sweep under way, or a new one. What hidden projects held is remembered until they are visible again.
    fn begin(&mut self, projects: &[&str], lost: &[&str], now: Millis) -> Sweep {
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
    fn relearn(&mut self, now: Missing, before: impl FnOnce() -> Missing) {
        if self.missing.take().unwrap_or_else(before).has_shrunk_to(&now) {
            info!("the server has learnt something, reading all items again");
            self.projects.values_mut().for_each(|tracked| tracked.fingerprints.forget_looks());
        }
        self.missing = Some(now);
    }

    /// Begins with the project at the head.
    fn enter(&mut self, sweep: &mut Sweep) {
        (sweep.after, sweep.hidden, sweep.again) = (None, 0, false);
        if let Some(project) = sweep.left.front() {
            let tracked = self.projects.entry(project.clone()).or_default();
            (tracked.sweep, tracked.other_items) = (tracked.sweep.wrapping_add(1), 0);
        }
    }

    /// Notes that an item is there though it cannot be listed. Whether it is known.
    fn touch(&mut self, project: &str, item: &str) -> bool {
        let Some(tracked) = self.projects.get_mut(project) else { return false };
        let (item, sweep) = (Short::of(&[item]), tracked.sweep);
        let Some(known) = tracked.fingerprints.get(&item).copied() else { return false };
        tracked.fingerprints.set(item, Fingerprint { sweep, ..known });
        true
    }

    /// Takes a row. What is to be done about it: with `anyhow` a blocked one is given even if it did not change.
    fn take(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, anyhow: bool) -> Taken {
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
    fn put_away(&self, sweep: &mut Sweep, repositories: &BTreeSet<String>) -> Vec<PutAway> {
        let shown: BTreeSet<Short> =
            self.projects.values().flat_map(|tracked| tracked.fingerprints.contents()).collect();
        let some = sweep.put_away.split_off(sweep.put_away.len().saturating_sub(BATCH));
        let is_shown = |one: &PutAway| {
            let listed = one.repository.as_deref().is_some_and(|name| repositories.contains(&name.to_lowercase()));
            listed || shown.contains(&Short::of(&[&one.native_id]))
        };
        some.into_iter().filter(|one| !is_shown(one)).collect()
    }

    /// Remembers the draft that an item wraps. Returns the draft that became the issue which the item wraps now.
    fn convert(&mut self, project: &str, row: &Row) -> Option<Box<str>> {
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
    fn settle(&mut self, change: &ChangedItem) {
        let Some(tracked) = self.projects.get_mut(&change.project) else { return };
        let item = Short::of(&[&change.row.id]);
        // A fresh row is given once more.
        let look = if change.fresh { Short::NONE } else { change.row.look() };
        let sweep = tracked.sweep;
        tracked.fingerprints.set(item, Fingerprint { content: change.row.content(), look, sweep });
    }

    /// Ends a project, or lists it again when fewer items were seen than GitHub counts and the gap is new. Whether it ended.
    fn end(&mut self, sweep: &mut Sweep, total: Option<u64>) -> bool {
        let Some(project) = sweep.left.front().cloned() else { return true };
        let tracked = self.projects.entry(project.clone()).or_default();
        let seen = tracked.fingerprints.seen(tracked.sweep) as u64 + sweep.hidden;
        let gap = total.unwrap_or(seen).saturating_sub(seen);
        if gap > 0 && gap != tracked.gap && !sweep.again {
            info!(%project, seen, ?total, "items moved while they were listed, listing them again");
            (sweep.after, sweep.hidden, sweep.again) = (None, 0, true);
            return false;
        }
        tracked.gap = gap;
        tracked.tasks = total.map(|total| total.saturating_sub(tracked.other_items));
        tracked.fingerprints.forget_absent(tracked.sweep);
        let ProjectCursor { fingerprints, drafts, .. } = tracked;
        drafts.retain(|item, _| fingerprints.get(&Short::of(&[item])).is_some());
        sweep.left.pop_front();
        if sweep.left.is_empty() {
            self.blocked_read = sweep.blocked.or(self.blocked_read);
        }
        self.enter(sweep);
        true
    }

    /// How many tasks GitHub counts in these projects, if that is known of each. For one that was never listed to its end,
    /// `counted` is the count of the last page.
    fn tasks(&self, order: &[&str], counted: Option<&(Box<str>, u64)>) -> Option<u64> {
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
    fn before(&self, order: &[&str], lost: &[&str], project: &str) -> BTreeSet<Short> {
        let before = order.iter().take_while(|id| **id != project).chain(lost);
        before.filter_map(|id| self.projects.get(*id)).flat_map(|tracked| tracked.fingerprints.contents()).collect()
    }
}

/// One poll of the stream.
struct Poll<'a> {
    api: &'a Api,
    order: Vec<&'a str>,
    /// Hidden projects: their issues stay theirs.
    lost: Vec<&'a str>,
    cursor: ItemCursor,
    sweep: Sweep,
    changes: Vec<ChangedItem>,
    /// Drafts that became issues.
    converted: Vec<Box<str>>,
    /// Issues that were listed, each with the name of its repository.
    issues: Vec<(Box<str>, Box<str>)>,
    /// Items that GitHub cannot serve.
    unreadable: Vec<Unreadable>,
    warnings: Vec<String>,
    /// How many items GitHub counts in a project, by the last page.
    counted: Option<(Box<str>, u64)>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`contextcore_core::ErrorKind::NotFound`] when a project vanishes during the sweep.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let order: Vec<&str> = live.reference.projects.iter().map(|project| &*project.id).collect();
    let mut cursor: ItemCursor = cursor::read(stored, ITEMS);
    let lost: Vec<&str> = live.reference.lost.iter().map(|project| &*project.id).collect();
    let known_before = || if live.reference.reduced == Some(true) { Missing::all() } else { Missing::default() };
    cursor.relearn(github.api.missing(), known_before);
    let sweep = cursor.begin(&order, &lost, github.api.now());
    let mut poll = Poll {
        api: &github.api,
        order,
        lost,
        cursor,
        sweep,
        changes: Vec::new(),
        converted: Vec::new(),
        issues: Vec::new(),
        unreadable: Vec::new(),
        warnings: Vec::new(),
        counted: None,
    };
    poll.gather().await?;
    let mut records = poll.records().await?;
    if poll.sweep.left.is_empty() {
        let names = live.repositories.iter().map(|repository| repository.name.to_string().to_lowercase());
        records.extend(poll.put_away(&names.collect()).await?);
    }
    let Poll { order, mut cursor, sweep, issues, unreadable, warnings, counted, .. } = poll;
    github.note_issues(live, issues);
    let more = !sweep.left.is_empty() || !sweep.put_away.is_empty();
    let known = cursor.tasks(&order, None);
    if !more {
        let all = cursor.projects.values().flat_map(|tracked| tracked.fingerprints.contents()).collect();
        github.note_members(all, known);
    }
    // With repositories, the `repositories` stream gives the count. Until it has one, that of the items shows the progress.
    let total = match known {
        Some(tasks) => (live.repositories.is_empty() && live.lost().is_empty()).then_some(tasks),
        None => cursor.tasks(&order, counted.as_ref()),
    };
    cursor.sweep = more.then_some(sweep);
    let cursor = cursor::write(&cursor, ITEMS)?;
    Ok(Page { records, unreadable, cursor, more, total, warnings, ..Page::default() })
}

impl Poll<'_> {
    /// Lists items until there are enough for a page.
    async fn gather(&mut self) -> Result<()> {
        let mut elsewhere: Option<(Box<str>, BTreeSet<Short>)> = None;
        for _ in 0..SWEEPS {
            let Some(project) = self.sweep.left.front().cloned() else { return Ok(()) };
            let home = elsewhere.take().filter(|(known, _)| *known == project);
            let home = home.unwrap_or_else(|| (project.clone(), self.cursor.before(&self.order, &self.lost, &project)));
            let now = self.api.now();
            let listed = rows::page(self.api, &project, &mut self.sweep.after, &mut self.cursor.sizes).await?;
            self.warnings.extend(listed.warnings);
            self.counted = listed.total.map(|total| (project.clone(), total));
            self.sweep.hidden += listed.hidden;
            for bad in &listed.bad {
                let is_known = bad.item.as_deref().is_some_and(|item| self.cursor.touch(&project, item));
                self.sweep.hidden += u64::from(!is_known);
                match bad.unreadable() {
                    Some(unreadable) => self.unreadable.push(unreadable),
                    None => self.warnings.push(format!("an item of a project cannot be listed: {}", bad.reason())),
                }
            }
            for row in &listed.rows {
                self.row(&project, row, &home.1, now);
            }
            elsewhere = Some(home);
            if !listed.more {
                self.cursor.end(&mut self.sweep, listed.total);
            }
            if self.changes.len() >= BATCH {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes a row of a project.
    fn row(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, now: Millis) {
        self.converted.extend(self.cursor.convert(project, row));
        let issue = row.issue().filter(|_| !row.is_put_away());
        self.issues.extend(issue.map(|(id, repository)| (id.into(), repository.into())));
        match self.cursor.take(project, row, elsewhere, self.sweep.blocked.is_some()) {
            Taken::Given => {
                let fresh = row.is_fresh(now);
                self.changes.push(ChangedItem { project: project.into(), row: row.clone(), fresh });
            }
            Taken::PutAway => self.sweep.put_away.push(PutAway {
                project: project.into(),
                item: row.id.clone(),
                native_id: row.native_id().into(),
                kind: row.kind(),
                repository: row.issue().map(|(_, repository)| repository.into()),
            }),
            Taken::Nothing => {}
        }
    }

    /// Whole records of what was put away: as it was then, and gone.
    async fn put_away(&mut self, repositories: &BTreeSet<String>) -> Result<Vec<RawRecord>> {
        let some = self.cursor.put_away(&mut self.sweep, repositories);
        let mut records = Vec::new();
        for kind in KINDS {
            let by_id: BTreeMap<Box<str>, &PutAway> =
                some.iter().filter(|one| one.kind == kind).map(|one| (one.item.clone(), one)).collect();
            let ids: Vec<Box<str>> = by_id.keys().cloned().collect();
            for (id, outcome) in self.api.nodes(kind, &ids, &mut self.cursor.sizes).await? {
                let (Some(one), FetchOutcome::Whole(node)) = (by_id.get(&id), outcome) else { continue };
                let about =
                    About { stream: ITEMS, native_id: &one.native_id, project: Some(&one.project), archived: true };
                if let Completed::Record(record) = complete(self.api, about, &node).await? {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// Whole records of what changed.
    async fn records(&mut self) -> Result<Vec<RawRecord>> {
        let converted = |id: Box<str>| RawRecord { stream: CONVERTED, native_id: id.into(), json: "{}".to_owned() };
        let mut records: Vec<RawRecord> = std::mem::take(&mut self.converted).into_iter().map(converted).collect();
        let mut changes = std::mem::take(&mut self.changes);
        changes.dedup_by(|a, b| a.row.id == b.row.id);
        for kind in KINDS {
            let wanted: Vec<&ChangedItem> = changes.iter().filter(|change| change.row.kind() == kind).collect();
            let ids: Vec<Box<str>> = wanted.iter().map(|change| change.row.id.clone()).collect();
            let outcomes = self.api.nodes(kind, &ids, &mut self.cursor.sizes).await?;
            let by_id: BTreeMap<&str, &ChangedItem> = wanted.iter().map(|change| (&*change.row.id, *change)).collect();
            for (id, outcome) in outcomes {
                if let Some(change) = by_id.get(&*id) {
                    records.extend(self.record(change, outcome).await?);
                }
            }
        }
        Ok(records)
    }

    async fn record(&mut self, change: &ChangedItem, outcome: FetchOutcome) -> Result<Option<RawRecord>> {
        let id = change.row.native_id();
        match outcome {
            FetchOutcome::Whole(node) => {
                let about = About { stream: ITEMS, native_id: id, project: Some(&change.project), archived: false };
                let completed = complete(self.api, about, &node).await?;
                self.cursor.settle(change);
                match completed {
                    Completed::Record(record) => return Ok(Some(record)),
                    Completed::Unreadable(unreadable) => self.unreadable.push(unreadable),
                }
            }
            FetchOutcome::Hidden(why) => {
                self.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}"));
                self.cursor.settle(change);
            }
            FetchOutcome::Gone => {}
            FetchOutcome::Torn(reason) => {
                self.unreadable.push(unreadable(id, &reason));
                self.cursor.settle(change);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<ItemCursor>(include_str!("fixtures/cursors.json"), "items");
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
