//! The `items` stream: the items of our projects that changed, with their whole histories.
//!
//! There is no asking for changed items, so each run sweeps all of them lean (a point for a hundred) and compares with what is
//! remembered of each ([`Marks`]). [`Position`] is the cursor. A mark moves only with the page that holds the record, so a
//! crash in the middle of a sweep loses nothing; what could not be had whole keeps its old mark and is asked for again.
//!
//! - An issue that is in several projects belongs to the first of them, in the order of the configuration.
//! - What is archived while open is out of sight, as GitHub's own boards have it; what was finished is only tidied away.
//! - A pull request that closes an issue is that issue's business and no task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord};
use contextcore_core::model::time::DAY;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::api::{self, Answer, Api, Fate, ItemsPage, Kind, List, Sizes};
use super::marks::{Mark, Marks, Short};
use super::session::{CONVERTED, GitHub, ITEMS, MOMENT, SiteContext};
use super::wire::{PageInfo, RecordText, RepositoryName as NameWithOwner, Rows};

/// Changed items of one page of records.
const BATCH: usize = 100;
/// Requests of the sweep in one page of records, when hardly anything changed.
const SWEEPS: usize = 40;

/// Where the stream stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// By the node id of the project.
    projects: BTreeMap<Box<str>, Ledger>,
    sizes: Sizes,
    /// When issues that something blocks were last read whether they looked changed or not.
    blocked_read: Option<Millis>,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// What is known of one project.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Ledger {
    marks: Marks,
    /// Drafts by the item that wraps them, since an item stays when its draft becomes an issue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    drafts: BTreeMap<Box<str>, Box<str>>,
    /// The number of the last sweep, counted round the clock of a byte.
    sweep: u8,
    /// By how many items the last sweep fell short of what GitHub counted, twice in a row: then it will again.
    gap: u64,
    /// Items met in the last sweep that GitHub counts and that are no tasks of this project.
    #[serde(skip_serializing_if = "is_zero")]
    aside: u64,
    /// How many tasks GitHub counts in it, by the last sweep that came to its end.
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
    /// The projects that are still to be swept, the present one first.
    left: VecDeque<Box<str>>,
    /// The place in the present one.
    after: Option<Box<str>>,
    /// Items of the present one that were hidden altogether.
    hidden: u64,
    /// The present one is swept for the second time, because items moved while we paged.
    again: bool,
    /// Since when this sweep reads issues that something blocks whether they look changed or not: that one blocker took the place
    /// of another changes no number, and perhaps no date.
    blocked: Option<Millis>,
}

/// An item as the sweep sees it.
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
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    id: Option<Box<str>>,
    #[serde(default, alias = "pullState")]
    state: Box<str>,
    #[serde(default)]
    updated_at: Box<str>,
    #[serde(default)]
    repository: Option<NameWithOwner>,
    /// What may change without touching `updatedAt`: compared as a text.
    #[serde(default)]
    parent: Option<serde_json::Value>,
    #[serde(default)]
    issue_dependencies_summary: Option<serde_json::Value>,
    #[serde(default)]
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

    /// Whether it is out of sight.
    pub(super) fn is_put_away(&self) -> bool {
        let finished = self.content.as_ref().is_some_and(|content| matches!(&*content.state, "CLOSED" | "MERGED"));
        self.is_archived && !finished
    }

    /// Whether GitHub counts something that is no task: one that is out of sight, or an issue's own pull request.
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

    /// How it looks: any change of it gives another one.
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

    /// Whether it changed so lately that it may change again without looking different.
    fn is_fresh(&self, now: Millis) -> bool {
        let times = [Some(&self.updated_at), self.content.as_ref().map(|content| &content.updated_at)];
        let latest = times.into_iter().flatten().filter_map(|time| Millis::parse(time)).max();
        latest.is_some_and(|latest| latest.plus(MOMENT) >= now)
    }

    /// How its record is asked for.
    fn ask(&self) -> Kind {
        match &*self.kind {
            "ISSUE" if self.content.is_some() => Kind::IssueItems,
            "PULL_REQUEST" if self.content.is_some() => Kind::PullRequestItems,
            _ => Kind::OtherItems,
        }
    }
}

/// An item to be given.
#[derive(Debug)]
struct Change {
    project: Box<str>,
    row: Row,
    fresh: bool,
}

impl Position {
    /// Reads a cursor. One that an older version made is worth a new start, not an error.
    fn of(cursor: Option<&Cursor>) -> Self {
        let Some(cursor) = cursor else { return Self::default() };
        serde_json::from_value(cursor.0.clone()).unwrap_or_else(|error| {
            warn!(%error, "the cursor of items cannot be read, will read everything again");
            Self::default()
        })
    }

    /// The sweep to go on with, or a new one. What projects out of sight held is remembered until they are back.
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
            let ledger = self.projects.entry(project.clone()).or_default();
            (ledger.sweep, ledger.aside) = (ledger.sweep.wrapping_add(1), 0);
        }
    }

    /// Takes in a row: whether it is to be given; `anyhow` if it is blocked, even if it looks as before.
    fn take(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, anyhow: bool) -> bool {
        let Some(ledger) = self.projects.get_mut(project) else { return false };
        let (item, content, sweep) = (Short::of(&[&row.id]), row.content(), ledger.sweep);
        let known = ledger.marks.get(&item).copied();
        let hidden_now = content == Short::NONE && known.is_some_and(|known| known.content != Short::NONE);
        let is_met_first = known.is_none_or(|known| known.sweep != sweep);
        let wraps = known.filter(|_| hidden_now).map_or(content, |known| known.content);
        let at_home = wraps == Short::NONE || !elsewhere.contains(&wraps);
        ledger.aside += u64::from(is_met_first && (row.is_no_task() || !at_home));
        let mut mark = known.unwrap_or(Mark { content, look: Short::NONE, sweep });
        mark.sweep = sweep;
        if hidden_now {
            // Its task stays as it was until the complete pass has missed it.
            ledger.marks.set(item, mark);
            return false;
        }
        mark.content = content;
        let look = row.look();
        let give = at_home && !row.is_put_away() && (mark.look != look || (anyhow && row.is_blocked()));
        if row.is_put_away() {
            // It is not at home here any more: another project may show it.
            (mark.content, mark.look) = (Short::NONE, look);
        } else if !at_home {
            mark.look = Short::NONE;
        }
        ledger.marks.set(item, mark);
        give
    }

    /// Notes the draft that an item wraps. Where it wraps an issue now, the draft became that.
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

    /// Notes that a row was given, or that there is nothing to give.
    fn settle(&mut self, change: &Change) {
        let Some(ledger) = self.projects.get_mut(&change.project) else { return };
        let item = Short::of(&[&change.row.id]);
        // What is fresh is given once more.
        let look = if change.fresh { Short::NONE } else { change.row.look() };
        let sweep = ledger.sweep;
        ledger.marks.set(item, Mark { content: change.row.content(), look, sweep });
    }

    /// Ends a project, or sweeps it again when fewer items were seen than GitHub counts and that is news. Whether it ended.
    fn end(&mut self, sweep: &mut Sweep, total: Option<u64>) -> bool {
        let Some(project) = sweep.left.front().cloned() else { return true };
        let ledger = self.projects.entry(project.clone()).or_default();
        let seen = ledger.marks.seen(ledger.sweep) as u64 + sweep.hidden;
        let gap = total.unwrap_or(seen).saturating_sub(seen);
        if gap > 0 && gap != ledger.gap && !sweep.again {
            info!(%project, seen, ?total, "items moved while they were listed, listing them again");
            (sweep.after, sweep.hidden, sweep.again) = (None, 0, true);
            return false;
        }
        ledger.gap = gap;
        ledger.tasks = total.map(|total| total.saturating_sub(ledger.aside));
        ledger.marks.forget_absent(ledger.sweep);
        let Ledger { marks, drafts, .. } = ledger;
        drafts.retain(|item, _| marks.get(&Short::of(&[item])).is_some());
        sweep.left.pop_front();
        if sweep.left.is_empty() {
            self.blocked_read = sweep.blocked.or(self.blocked_read);
        }
        self.enter(sweep);
        true
    }

    /// How many tasks GitHub counts in these projects, if that is known of each: of one that was never swept to its end, by what
    /// was told of it just now.
    fn tasks(&self, order: &[&str], told: Option<&(Box<str>, u64)>) -> Option<u64> {
        let tasks = |id: &&str| {
            let ledger = self.projects.get(*id)?;
            let present =
                told.filter(|(project, _)| **project == **id).map(|(_, total)| total.saturating_sub(ledger.aside));
            ledger.tasks.or(present)
        };
        order.iter().map(tasks).sum()
    }

    /// What the projects before this one hold, and those out of sight.
    fn before(&self, order: &[&str], lost: &[&str], project: &str) -> BTreeSet<Short> {
        let before = order.iter().take_while(|id| **id != project).chain(lost);
        before.filter_map(|id| self.projects.get(*id)).flat_map(|ledger| ledger.marks.contents()).collect()
    }
}

/// One poll of the stream.
struct Poll<'a> {
    api: &'a Api,
    order: Vec<&'a str>,
    /// Projects out of sight: their issues stay theirs.
    lost: Vec<&'a str>,
    position: Position,
    sweep: Sweep,
    changes: Vec<Change>,
    /// Drafts that became issues.
    converted: Vec<Box<str>>,
    /// Issues that were met, each with the name of its repository.
    issues: Vec<(Box<str>, Box<str>)>,
    warnings: Vec<String>,
    /// How many items GitHub counts in a project, told last.
    told: Option<(Box<str>, u64)>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::NotFound`] when a project vanishes under our hands.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, cursor: Option<&Cursor>) -> Result<Page> {
    let order: Vec<&str> = live.reference.projects.iter().map(|project| &*project.id).collect();
    let mut position = Position::of(cursor);
    let lost: Vec<&str> = live.reference.lost.iter().map(|project| &*project.id).collect();
    let sweep = position.begin(&order, &lost, github.api.now());
    let mut poll = Poll {
        api: &github.api,
        order,
        lost,
        position,
        sweep,
        changes: Vec::new(),
        converted: Vec::new(),
        issues: Vec::new(),
        warnings: Vec::new(),
        told: None,
    };
    poll.gather().await?;
    let records = poll.records().await?;
    let Poll { order, mut position, sweep, issues, warnings, told, .. } = poll;
    github.note_issues(live, issues);
    let more = !sweep.left.is_empty();
    let known = position.tasks(&order, None);
    if !more {
        let all = position.projects.values().flat_map(|ledger| ledger.marks.contents()).collect();
        github.note_members(all, known);
    }
    // With repositories the count is theirs to give; until there is one, that of the items says how far a first sweep is.
    let total = match known {
        Some(tasks) => (live.repositories.is_empty() && live.lost().is_empty()).then_some(tasks),
        None => position.tasks(&order, told.as_ref()),
    };
    position.sweep = more.then_some(sweep);
    Ok(Page { records, seen: Vec::new(), cursor: cursor_of(&position)?, more, total, warnings })
}

fn cursor_of(position: &impl Serialize) -> Result<Cursor> {
    let value = serde_json::to_value(position);
    value.map(Cursor).map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of items").caused_by(error))
}

impl Poll<'_> {
    /// Sweeps on until there is enough for a page.
    async fn gather(&mut self) -> Result<()> {
        let mut elsewhere: Option<(Box<str>, BTreeSet<Short>)> = None;
        for _ in 0..SWEEPS {
            let Some(project) = self.sweep.left.front().cloned() else { return Ok(()) };
            let home = elsewhere.take().filter(|(known, _)| *known == project);
            let home =
                home.unwrap_or_else(|| (project.clone(), self.position.before(&self.order, &self.lost, &project)));
            let now = self.api.now();
            let (rows, hidden) = page(self.api, &project, &mut self.sweep.after, &mut self.position.sizes).await?;
            self.warnings.extend(hidden);
            self.told = rows.total_count.map(|total| (project.clone(), total));
            self.sweep.hidden += (rows.nodes.len() - rows.iter().count()) as u64;
            let anyhow = self.sweep.blocked.is_some();
            for row in rows.iter() {
                self.converted.extend(self.position.convert(&project, row));
                let issue = row.issue().filter(|_| !row.is_put_away());
                self.issues.extend(issue.map(|(id, repository)| (id.into(), repository.into())));
                if self.position.take(&project, row, &home.1, anyhow) {
                    let fresh = row.is_fresh(now);
                    self.changes.push(Change { project: project.clone(), row: row.clone(), fresh });
                }
            }
            elsewhere = Some(home);
            if !rows.page_info.has_next_page {
                self.position.end(&mut self.sweep, rows.total_count);
            }
            if self.changes.len() >= BATCH {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whole records of what changed. What could not be had keeps its old mark.
    async fn records(&mut self) -> Result<Vec<RawRecord>> {
        let converted = |id: Box<str>| RawRecord { stream: CONVERTED, native_id: id.into(), json: "{}".to_owned() };
        let mut records: Vec<RawRecord> = std::mem::take(&mut self.converted).into_iter().map(converted).collect();
        let mut changes = std::mem::take(&mut self.changes);
        changes.dedup_by(|a, b| a.row.id == b.row.id);
        for kind in [Kind::IssueItems, Kind::PullRequestItems, Kind::OtherItems] {
            let wanted: Vec<&Change> = changes.iter().filter(|change| change.row.ask() == kind).collect();
            let ids: Vec<Box<str>> = wanted.iter().map(|change| change.row.id.clone()).collect();
            let fates = self.api.nodes(kind, &ids, &mut self.position.sizes).await?;
            let by_id: BTreeMap<&str, &Change> = wanted.iter().map(|change| (&*change.row.id, *change)).collect();
            for (id, fate) in fates {
                if let Some(change) = by_id.get(&*id) {
                    records.extend(self.record(change, fate).await?);
                }
            }
        }
        Ok(records)
    }

    async fn record(&mut self, change: &Change, fate: Fate) -> Result<Option<RawRecord>> {
        let id = change.row.native_id();
        match fate {
            Fate::Whole(node) => {
                let record = whole(self.api, ITEMS, id, Some(&change.project), &node).await?;
                self.position.settle(change);
                Ok(Some(record))
            }
            Fate::Hidden(why) => {
                self.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}"));
                self.position.settle(change);
                Ok(None)
            }
            Fate::Gone => Ok(None),
            Fate::Torn => {
                self.warnings.push(format!("{id} could not be read whole, the next run asks for it again"));
                Ok(None)
            }
        }
    }
}

/// The next page of a project's items, and what a person should know of those that are missing on it; `after` moves on. It is
/// made smaller until it is answered.
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
                step(&items.page_info, after, project)?;
                // A row of which a part failed would look as if it had none: it is met again by the next sweep.
                let failed = errors.iter().filter(|error| !error.is_forbidden() && !error.is_not_found());
                for index in failed.filter_map(api::GraphError::item) {
                    items.nodes.get_mut(index).map(Option::take);
                }
                let text = errors.first().map(api::GraphError::text);
                return Ok((items, text.map(|text| format!("some items of a project are not told whole: {text}"))));
            }
        }
        info!(rows = sizes.sweep, "will list fewer items at once");
    }
}

/// A page on which rows are null for another reason than permission.
fn is_torn(answer: &Answer<Option<ItemsPage<Row>>>) -> bool {
    let Some(page) = &answer.data else { return false };
    let nulls = page.items.nodes.iter().filter(|row| row.is_none()).count();
    let hidden = answer.errors.iter().filter(|error| error.is_forbidden() || error.is_not_found()).count();
    nulls > 0 && nulls == page.items.nodes.len() && hidden < nulls
}

/// Steps on, and refuses to go in a circle.
pub(super) fn step(info: &PageInfo, after: &mut Option<Box<str>>, what: &str) -> Result<()> {
    if !info.has_next_page {
        return Ok(());
    }
    if info.end_cursor.is_none() || info.end_cursor == *after {
        let text = "a list says that it goes on and gives no new place";
        return Err(Error::new(ErrorKind::Protocol, text).with("list", what));
    }
    after.clone_from(&info.end_cursor);
    Ok(())
}

/// A record with its whole history: what did not fit into the node is fetched.
///
/// # Errors
/// When the rest cannot be had: half a record is none.
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

/// The comments of an issue after this cursor. Where they are refused, the first page must do: the issue matters more.
async fn rest_of_comments(api: &Api, id: &str, after: Box<str>) -> Result<Vec<Box<RawValue>>> {
    match api.rest_of(List::Comments, id, after).await {
        Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound) => {
            warn!(issue = id, error = error.full(), "not all comments can be had");
            Ok(Vec::new())
        }
        rows => rows,
    }
}

/// Where the lists of an issue go on after what its node holds.
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
        let next = |Info { page_info }: Info| page_info.end_cursor.filter(|_| page_info.has_next_page);
        Self { events: next(lists.timeline_items), comments: next(lists.comments) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn row(number: u32, blockers: u32) -> Row {
        let json = serde_json::json!({
            "id": format!("PVTI_{number}"), "type": "ISSUE", "updatedAt": "2026-03-01T10:00:00Z",
            "content": {"id": format!("I_{number}"), "state": "OPEN", "updatedAt": "2026-03-01T10:00:00Z",
                "issueDependenciesSummary": {"blockedBy": blockers, "totalBlockedBy": blockers}},
        });
        serde_json::from_value(json).unwrap()
    }

    /// A sweep at a moment over two issues of which one is blocked; those that are to be given, by their number of blockers.
    fn sweep(position: &mut Position, now: Millis) -> Vec<u32> {
        let mut sweep = position.begin(&["P"], &[], now);
        let anyhow = sweep.blocked.is_some();
        let mut given = Vec::new();
        for blockers in [0, 1] {
            let row = row(blockers, blockers);
            if position.take("P", &row, &BTreeSet::new(), anyhow) {
                position.settle(&Change { project: "P".into(), row, fresh: false });
                given.push(blockers);
            }
        }
        assert!(position.end(&mut sweep, Some(2)));
        given
    }

    #[test]
    fn a_blocked_issue_is_read_daily_though_it_looks_as_before() {
        let mut position = Position::default();
        assert_eq!(sweep(&mut position, NOW), [0, 1]);
        assert!(sweep(&mut position, NOW.plus(DAY - 1)).is_empty());
        assert_eq!(sweep(&mut position, NOW.plus(DAY)), [1]);
        assert!(sweep(&mut position, NOW.plus(DAY + 1)).is_empty());
    }
}
