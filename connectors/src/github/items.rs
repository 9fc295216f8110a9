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

use contextcore_core::connector::{Cursor, Page, RawRecord};
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::api::{self, Answer, Api, Fate, ItemsPage, Kind, Sizes};
use super::marks::{Mark, Marks, Short};
use super::wire::{PageInfo, RecordText, Rows};
use super::{GitHub, ITEMS, Live};

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
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// What is known of one project.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Ledger {
    marks: Marks,
    /// The number of the last sweep, counted round the clock of a byte.
    sweep: u8,
    /// By how many items the last sweep fell short of what GitHub counted, twice in a row: then it will again.
    gap: u64,
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
    /// What may change without touching `updatedAt`: compared as a text.
    #[serde(default)]
    parent: Option<serde_json::Value>,
    #[serde(default)]
    issue_dependencies_summary: Option<serde_json::Value>,
    #[serde(default)]
    sub_issues_summary: Option<serde_json::Value>,
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
        Short::of(&parts)
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

    /// The sweep to go on with, or a new one.
    fn begin(&mut self, projects: &[&str]) -> Sweep {
        self.projects.retain(|id, _| projects.contains(&&**id));
        let going = self.sweep.take().filter(|sweep| sweep.left.iter().all(|id| projects.contains(&&**id)));
        if let Some(sweep) = going.filter(|sweep| !sweep.left.is_empty()) {
            return sweep;
        }
        self.sizes = self.sizes.relaxed();
        let mut sweep = Sweep { left: projects.iter().map(|id| (*id).into()).collect(), ..Sweep::default() };
        self.enter(&mut sweep);
        sweep
    }

    /// Begins with the project at the head.
    fn enter(&mut self, sweep: &mut Sweep) {
        (sweep.after, sweep.hidden, sweep.again) = (None, 0, false);
        if let Some(project) = sweep.left.front() {
            let ledger = self.projects.entry(project.clone()).or_default();
            ledger.sweep = ledger.sweep.wrapping_add(1);
        }
    }

    /// Takes in a row: whether it is to be given.
    fn take(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>) -> bool {
        let Some(ledger) = self.projects.get_mut(project) else { return false };
        let (item, content, sweep) = (Short::of(&[&row.id]), row.content(), ledger.sweep);
        let known = ledger.marks.get(&item).copied();
        let hidden_now = content == Short::NONE && known.is_some_and(|known| known.content != Short::NONE);
        let mut mark = known.unwrap_or(Mark { content, look: Short::NONE, sweep });
        mark.sweep = sweep;
        if hidden_now {
            // Its task stays as it was until the complete pass has missed it.
            ledger.marks.set(item, mark);
            return false;
        }
        mark.content = content;
        let at_home = content == Short::NONE || !elsewhere.contains(&content);
        let look = row.look();
        let give = at_home && !row.is_put_away() && mark.look != look;
        if !at_home {
            mark.look = Short::NONE;
        } else if row.is_put_away() {
            mark.look = look;
        }
        ledger.marks.set(item, mark);
        give
    }

    /// Notes that a row was given, or that there is nothing to give.
    fn settle(&mut self, change: &Change) {
        let Some(ledger) = self.projects.get_mut(&change.project) else { return };
        let item = Short::of(&[&change.row.id]);
        let sweep = ledger.sweep;
        ledger.marks.set(item, Mark { content: change.row.content(), look: change.row.look(), sweep });
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
        ledger.marks.forget_absent(ledger.sweep);
        sweep.left.pop_front();
        self.enter(sweep);
        true
    }

    /// What the projects before this one hold.
    fn before(&self, order: &[&str], project: &str) -> BTreeSet<Short> {
        let before = order.iter().take_while(|id| **id != project);
        before.filter_map(|id| self.projects.get(*id)).flat_map(|ledger| ledger.marks.contents()).collect()
    }
}

/// One poll of the stream.
struct Poll<'a> {
    api: &'a Api,
    order: Vec<&'a str>,
    position: Position,
    sweep: Sweep,
    changes: Vec<Change>,
    warnings: Vec<String>,
    total: Option<u64>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::NotFound`] when a project vanishes under our hands.
pub(super) async fn poll(github: &GitHub, live: &Live, cursor: Option<&Cursor>) -> Result<Page> {
    let order: Vec<&str> = live.reference.projects.iter().map(|project| &*project.id).collect();
    let mut position = Position::of(cursor);
    let sweep = position.begin(&order);
    let mut poll =
        Poll { api: &github.api, order, position, sweep, changes: Vec::new(), warnings: Vec::new(), total: None };
    poll.gather().await?;
    let records = poll.records().await?;
    let Poll { mut position, sweep, warnings, total, .. } = poll;
    let more = !sweep.left.is_empty();
    if !more {
        github.note_members(position.projects.values().flat_map(|ledger| ledger.marks.contents()).collect());
    }
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
            let home = home.unwrap_or_else(|| (project.clone(), self.position.before(&self.order, &project)));
            let rows = page(self.api, &project, &mut self.sweep.after, &mut self.position.sizes).await?;
            self.total = rows.total_count.filter(|_| self.order.len() == 1);
            self.sweep.hidden += (rows.nodes.len() - rows.iter().count()) as u64;
            for row in rows.iter() {
                if self.position.take(&project, row, &home.1) {
                    self.changes.push(Change { project: project.clone(), row: row.clone() });
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
        let mut records = Vec::new();
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

/// The next page of a project's items; `after` moves on. It is made smaller until it is answered, and a place that is not
/// known any more begins the list anew.
pub(super) async fn page(
    api: &Api,
    project: &str,
    after: &mut Option<Box<str>>,
    sizes: &mut Sizes,
) -> Result<Rows<Row>> {
    loop {
        let answer = api.items::<Row>(project, after.as_deref(), sizes.sweep).await;
        let torn = matches!(&answer, Ok(answer) if is_torn(answer));
        match answer {
            Err(error) if api::is_too_much(&error) && sizes.sweep > 1 => sizes.sweep = sizes.sweep.div_ceil(2),
            Ok(_) if torn && sizes.sweep > 1 => sizes.sweep = sizes.sweep.div_ceil(2),
            Err(error) => return Err(error),
            Ok(Answer { data, errors }) => {
                let Some(ItemsPage { items }) = data else {
                    let text = errors.first().map(api::GraphError::text).unwrap_or_default();
                    return Err(Error::new(ErrorKind::NotFound, format!("the project is not there any more: {text}"))
                        .with("project", project));
                };
                step(&items.page_info, after, project)?;
                return Ok(items);
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
    let events = match outline.after.filter(|_| outline.goes_on) {
        Some(after) => api.rest_of_timeline(native_id, after).await?,
        None => Vec::new(),
    };
    let record = RecordText { project, node, events: &events };
    let json = serde_json::to_string(&record)
        .map_err(|error| Error::new(ErrorKind::Internal, "write a record").caused_by(error))?;
    Ok(RawRecord { stream, native_id: native_id.to_owned(), json })
}

/// Whether a history goes on after what the node holds.
#[derive(Debug, Default)]
struct Outline {
    goes_on: bool,
    after: Option<Box<str>>,
}

impl Outline {
    fn of(node: &RawValue) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Part {
            timeline_items: History,
            content: Option<Inner>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Inner {
            timeline_items: History,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct History {
            page_info: PageInfo,
        }
        let part: Part = serde_json::from_str(node.get()).unwrap_or_default();
        let info = part.content.map_or(part.timeline_items, |inner| inner.timeline_items).page_info;
        Self { goes_on: info.has_next_page, after: info.end_cursor }
    }
}
