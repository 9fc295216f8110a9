//! The `items` stream: the items of our projects that changed, with their whole histories.
//!
//! GitHub cannot list changed items, so each run lists all of them with few fields (a point for a hundred) and compares them
//! with what is remembered of each ([`Fingerprints`]). [`ItemCursor`] is the cursor. A fingerprint moves only with the page that
//! holds the record, so a crash in the middle of a sweep loses nothing. An item that could not be read whole keeps its old
//! fingerprint and is requested again.
//!
//! - An issue that is in several projects belongs to the first of them, in the order of the configuration.
//! - An item that is archived while open is hidden, as on GitHub's own boards; one that is finished is only put away.
//! - A pull request that closes an issue belongs to that issue and is not a task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord};
use contextcore_core::model::time::DAY;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::api::{self, Answer, Api, FetchOutcome, ItemsPage, Kind, List, Sizes};
use super::fingerprints::{Fingerprint, Fingerprints, Short};
use super::session::{CONVERTED, GitHub, ITEMS, MOMENT, SiteContext};
use super::wire::{RecordText, RepositoryName as NameWithOwner, Rows};
use crate::cursor::{self, PageInfo};

/// Changed items of one page of records.
const BATCH: usize = 100;
/// Requests of the sweep in one page of records, when hardly anything changed.
const SWEEPS: usize = 40;

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
}

/// An item as the sweep lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) id: Box<str>,
    #[serde(rename = "type", default)]
    kind: Box<str>,
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    updated_at: Box<str>,
    content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    id: Option<Box<str>>,
    #[serde(default, alias = "pullState")]
    state: Box<str>,
    #[serde(default)]
    updated_at: Box<str>,
    repository: Option<NameWithOwner>,
    /// What may change without `updatedAt`: compared as text.
    parent: Option<serde_json::Value>,
    issue_dependencies_summary: Option<serde_json::Value>,
    sub_issues_summary: Option<serde_json::Value>,
    /// Issues that a pull request closes.
    #[serde(default)]
    closing_issues_references: Rows<serde::de::IgnoredAny>,
}

impl Content {
    fn closes(&self) -> bool {
        self.closing_issues_references.total_count.is_some_and(|issues| issues > 0)
    }
}

impl Row {
    /// The native id of its task.
    pub(super) fn native_id(&self) -> &str {
        self.content_id().unwrap_or(&self.id)
    }

    fn content_id(&self) -> Option<&str> {
        self.content.as_ref()?.id.as_deref()
    }

    /// Whether it is hidden.
    pub(super) fn is_put_away(&self) -> bool {
        let finished = self.content.as_ref().is_some_and(|content| matches!(&*content.state, "CLOSED" | "MERGED"));
        self.is_archived && !finished
    }

    /// Whether GitHub counts it although it is no task: a hidden item, or an issue's own pull request.
    pub(super) fn is_no_task(&self) -> bool {
        self.is_put_away() || self.content.as_ref().is_some_and(Content::closes)
    }

    /// Whether it is open and something blocks it, or did.
    fn is_blocked(&self) -> bool {
        let content = self.content.as_ref().filter(|content| &*content.state == "OPEN");
        let summary = content.and_then(|content| content.issue_dependencies_summary.as_ref());
        summary.and_then(|summary| summary["totalBlockedBy"].as_u64()).is_some_and(|blockers| blockers > 0)
    }

    /// The id of the issue that it wraps, and its repository.
    fn issue(&self) -> Option<(&str, &str)> {
        let content = self.content.as_ref().filter(|_| &*self.kind == "ISSUE")?;
        Some((content.id.as_deref()?, &content.repository.as_ref()?.name_with_owner))
    }

    fn content(&self) -> Short {
        self.content_id().map_or(Short::NONE, |id| Short::of(&[id]))
    }

    /// A hash of how it looks: any change of it gives another one.
    fn look(&self) -> Short {
        let archived = if self.is_archived { "archived" } else { "" };
        let Some(content) = &self.content else { return Short::of(&[&self.updated_at, &self.kind, archived]) };
        let beside = [&content.parent, &content.issue_dependencies_summary, &content.sub_issues_summary];
        let beside = beside.map(|value| value.as_ref().map(ToString::to_string).unwrap_or_default());
        let mut parts = vec![&*self.updated_at, &*self.kind, archived, self.native_id()];
        parts.extend([&*content.updated_at, &*content.state]);
        parts.extend(beside.iter().map(String::as_str));
        parts.extend(content.closes().then_some("closes"));
        Short::of(&parts)
    }

    /// Whether it changed so recently that it may change again without looking different.
    fn is_fresh(&self, now: Millis) -> bool {
        let times = [Some(&self.updated_at), self.content.as_ref().map(|content| &content.updated_at)];
        let latest = times.into_iter().flatten().filter_map(|time| Millis::parse(time)).max();
        latest.is_some_and(|latest| latest.plus(MOMENT) >= now)
    }

    /// How its record is requested.
    fn kind(&self) -> Kind {
        match &*self.kind {
            "ISSUE" if self.content.is_some() => Kind::IssueItems,
            "PULL_REQUEST" if self.content.is_some() => Kind::PullRequestItems,
            _ => Kind::OtherItems,
        }
    }
}

/// An item to be given.
#[derive(Debug)]
struct ChangedItem {
    project: Box<str>,
    row: Row,
    fresh: bool,
}

impl ItemCursor {
    /// The sweep under way, or a new one. What hidden projects held is remembered until they are visible again.
    fn begin(&mut self, projects: &[&str], lost: &[&str], now: Millis) -> Sweep {
        self.projects.retain(|id, _| projects.contains(&&**id) || lost.contains(&&**id));
        let going = self.sweep.take().filter(|sweep| sweep.left.iter().all(|id| projects.contains(&&**id)));
        if let Some(sweep) = going.filter(|sweep| !sweep.left.is_empty()) {
            return sweep;
        }
        self.sizes = self.sizes.relaxed();
        let due = self.blocked_read.is_none_or(|last| last.plus(DAY) <= now);
        let left = projects.iter().map(|id| (*id).into()).collect();
        let mut sweep = Sweep { left, blocked: due.then_some(now), ..Sweep::default() };
        self.enter(&mut sweep);
        sweep
    }

    /// Begins with the project at the head.
    fn enter(&mut self, sweep: &mut Sweep) {
        (sweep.after, sweep.hidden, sweep.again) = (None, 0, false);
        if let Some(project) = sweep.left.front() {
            let tracked = self.projects.entry(project.clone()).or_default();
            (tracked.sweep, tracked.other_items) = (tracked.sweep.wrapping_add(1), 0);
        }
    }

    /// Takes a row. Whether it is to be given: when it changed, or with `anyhow` when it is blocked.
    fn take(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, anyhow: bool) -> bool {
        let Some(tracked) = self.projects.get_mut(project) else { return false };
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
            return false;
        }
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
        give
    }

    /// Remembers the draft that an item wraps. Returns the draft that became the issue which the item wraps now.
    fn convert(&mut self, project: &str, row: &Row) -> Option<Box<str>> {
        let drafts = &mut self.projects.get_mut(project)?.drafts;
        match (&*row.kind, row.content_id()) {
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
    warnings: Vec<String>,
    /// How many items GitHub counts in a project, by the last page.
    counted: Option<(Box<str>, u64)>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::NotFound`] when a project vanishes during the sweep.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let order: Vec<&str> = live.reference.projects.iter().map(|project| &*project.id).collect();
    let mut cursor: ItemCursor = cursor::read(stored, ITEMS);
    let lost: Vec<&str> = live.reference.lost.iter().map(|project| &*project.id).collect();
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
        warnings: Vec::new(),
        counted: None,
    };
    poll.gather().await?;
    let records = poll.records().await?;
    let Poll { order, mut cursor, sweep, issues, warnings, counted, .. } = poll;
    github.note_issues(live, issues);
    let more = !sweep.left.is_empty();
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
    Ok(Page { records, cursor: cursor::write(&cursor, ITEMS)?, more, total, warnings, ..Page::default() })
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
            let (rows, hidden) = page(self.api, &project, &mut self.sweep.after, &mut self.cursor.sizes).await?;
            self.warnings.extend(hidden);
            self.counted = rows.total_count.map(|total| (project.clone(), total));
            self.sweep.hidden += (rows.nodes.len() - rows.iter().count()) as u64;
            let anyhow = self.sweep.blocked.is_some();
            for row in rows.iter() {
                self.converted.extend(self.cursor.convert(&project, row));
                let issue = row.issue().filter(|_| !row.is_put_away());
                self.issues.extend(issue.map(|(id, repository)| (id.into(), repository.into())));
                if self.cursor.take(&project, row, &home.1, anyhow) {
                    let fresh = row.is_fresh(now);
                    self.changes.push(ChangedItem { project: project.clone(), row: row.clone(), fresh });
                }
            }
            elsewhere = Some(home);
            if !rows.page_info.has_next_page {
                self.cursor.end(&mut self.sweep, rows.total_count);
            }
            if self.changes.len() >= BATCH {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whole records of what changed. An item that could not be read keeps its old fingerprint.
    async fn records(&mut self) -> Result<Vec<RawRecord>> {
        let converted = |id: Box<str>| RawRecord { stream: CONVERTED, native_id: id.into(), json: "{}".to_owned() };
        let mut records: Vec<RawRecord> = std::mem::take(&mut self.converted).into_iter().map(converted).collect();
        let mut changes = std::mem::take(&mut self.changes);
        changes.dedup_by(|a, b| a.row.id == b.row.id);
        for kind in [Kind::IssueItems, Kind::PullRequestItems, Kind::OtherItems] {
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
                let record = whole(self.api, ITEMS, id, Some(&change.project), &node).await?;
                self.cursor.settle(change);
                Ok(Some(record))
            }
            FetchOutcome::Hidden(why) => {
                self.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}"));
                self.cursor.settle(change);
                Ok(None)
            }
            FetchOutcome::Gone => Ok(None),
            FetchOutcome::Torn => {
                self.warnings.push(format!("{id} could not be read whole, the next run asks for it again"));
                Ok(None)
            }
        }
    }
}

/// The next page of a project's items, and a warning when some are missing on it. `after` moves on. The page is made smaller
/// until GitHub answers it.
pub(super) async fn page(
    api: &Api,
    project: &str,
    after: &mut Option<Box<str>>,
    sizes: &mut Sizes,
) -> Result<(Rows<Row>, Option<String>)> {
    loop {
        let answer = api.items::<Row>(project, after.as_deref(), sizes.sweep).await;
        let torn = matches!(&answer, Ok(answer) if is_torn(answer));
        match answer {
            Err(error) if api::is_too_much(&error) && sizes.sweep > 1 => sizes.sweep = sizes.sweep.div_ceil(2),
            Ok(_) if torn && sizes.sweep > 1 => sizes.sweep = sizes.sweep.div_ceil(2),
            Err(error) => return Err(error),
            Ok(Answer { data, errors }) => {
                let Some(ItemsPage { mut items }) = data else {
                    let text = errors.first().map(api::GraphError::text).unwrap_or_default();
                    return Err(Error::new(ErrorKind::NotFound, format!("the project is not there any more: {text}"))
                        .with("project", project));
                };
                items.page_info.step(after, project)?;
                // A row of which a part failed would look as if it had no such part. The next sweep lists it again.
                let failed = errors.iter().filter(|error| !error.is_forbidden() && !error.is_not_found());
                for index in failed.filter_map(api::GraphError::item) {
                    items.nodes.get_mut(index).map(Option::take);
                }
                let text = errors.first().map(api::GraphError::text);
                return Ok((items, text.map(|text| format!("some items of a project are incomplete: {text}"))));
            }
        }
        info!(rows = sizes.sweep, "listing fewer items at once");
    }
}

/// A page on which rows are null for another reason than permission.
fn is_torn(answer: &Answer<Option<ItemsPage<Row>>>) -> bool {
    let Some(page) = &answer.data else { return false };
    let nulls = page.items.nodes.iter().filter(|row| row.is_none()).count();
    let hidden = answer.errors.iter().filter(|error| error.is_forbidden() || error.is_not_found()).count();
    nulls > 0 && nulls == page.items.nodes.len() && hidden < nulls
}

/// A record with its whole history: what did not fit into the node is fetched.
///
/// # Errors
/// As the session's: a record without the rest of its history is not given.
pub(super) async fn whole(
    api: &Api,
    stream: &'static str,
    native_id: &str,
    project: Option<&str>,
    node: &RawValue,
) -> Result<RawRecord> {
    let outline = Outline::of(node);
    let events = match outline.events {
        Some(after) => api.rest_of(List::Events, native_id, after).await?,
        None => Vec::new(),
    };
    let comments = match outline.comments {
        Some(after) => rest_of_comments(api, native_id, after).await?,
        None => Vec::new(),
    };
    let record = RecordText { project, node, events: &events, comments: &comments };
    let json = serde_json::to_string(&record)
        .map_err(|error| Error::new(ErrorKind::Internal, "write a record").caused_by(error))?;
    Ok(RawRecord { stream, native_id: native_id.to_owned(), json })
}

/// The comments of an issue after this cursor. Where they are refused, the issue is given with its first page.
async fn rest_of_comments(api: &Api, id: &str, after: Box<str>) -> Result<Vec<Box<RawValue>>> {
    match api.rest_of(List::Comments, id, after).await {
        Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound) => {
            warn!(issue = id, error = error.full(), "not all comments can be read");
            Ok(Vec::new())
        }
        rows => rows,
    }
}

/// Where the lists of an issue continue after what its node holds.
#[derive(Debug, Default)]
struct Outline {
    events: Option<Box<str>>,
    comments: Option<Box<str>>,
}

impl Outline {
    fn of(node: &RawValue) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Part {
            timeline_items: Info,
            comments: Info,
            content: Option<Lists>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Lists {
            timeline_items: Info,
            comments: Info,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Info {
            page_info: PageInfo,
        }
        let part: Part = serde_json::from_str(node.get()).unwrap_or_default();
        let own = Lists { timeline_items: part.timeline_items, comments: part.comments };
        let lists = part.content.unwrap_or(own);
        let next = |info: Info| info.page_info.next().map(Box::from);
        Self { events: next(lists.timeline_items), comments: next(lists.comments) }
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
            if cursor.take("P", &row, &BTreeSet::new(), anyhow) {
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
