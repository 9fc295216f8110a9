//! The `issues` stream: changed issues with their whole histories, and the position that makes sure none is missed.
//!
//! [`Position`] is the cursor. Reading goes in sweeps: a search for everything changed since the watermark, less an overlap,
//! read to its end. Only then does the watermark move, to the latest change seen. Issues inside the overlap whose time of
//! change is known already are neither given nor asked for again, so that a poll without changes costs one search.
//!
//! - Search is only eventually consistent, so once a day a sweep looks back a day instead of five minutes.
//! - A page that says its answer is incomplete is read, but the watermark stays.
//! - The watermark never passes the moment of the run: an issue dated in the future must not hide those of today.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::model::time::{DAY, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Found, Inline, Site};
use super::histories::{Batch, Completer, Taken};
use super::session::{Jira, SiteContext};
use super::walk::{self, Order, Walk, Wish};
use super::{jql, site};

/// How far before the watermark a sweep begins.
const OVERLAP: i64 = 5 * MINUTE;
/// How far the daily sweep looks back.
const WIDE_OVERLAP: i64 = DAY;
/// Issues of one page of records: what one call for histories takes.
const BATCH: usize = super::api::IDS_PER_CALL;
/// Search pages of one page of records, for a sweep that meets hardly anything new.
const SEARCHES: usize = 40;
/// Issues of the overlap that are remembered.
const REMEMBERED: usize = 2_000;
/// Rows wished for: Cloud gives as many of them as it likes, a hundred with our fields.
const ROWS: u64 = 1_000;
/// Rows wished for where each brings its history along.
const SERVER_ROWS: u64 = 100;

/// The fields that every Jira has and that are read.
const FIELDS: [&str; 16] = [
    "summary",
    "issuetype",
    "status",
    "resolution",
    "priority",
    "assignee",
    "reporter",
    "creator",
    "labels",
    "parent",
    "issuelinks",
    "project",
    "created",
    "updated",
    "duedate",
    "timeoriginalestimate",
];

/// Issues and when they were changed, in milliseconds.
type Sights = Vec<(Box<str>, i64)>;

/// Where the stream stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// Everything that changed before this has been read.
    watermark: Option<Millis>,
    /// Of these projects; an empty list means all. A project that was unknown, or is new in the configuration, is not among
    /// them, and its past is still to be read.
    covered: Option<Vec<String>>,
    /// What was seen within the overlap before the watermark.
    recent: Sights,
    /// When a sweep last looked back a whole day (or read everything).
    wide_at: Option<Millis>,
    /// Statuses and types that histories name and the site no longer lists, so that they are not looked for again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unlisted: BTreeSet<String>,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// One reading of everything since the watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sweep {
    /// The projects of the configuration when it began.
    projects: Vec<String>,
    walk: Walk,
    /// The latest change seen.
    high: Option<Millis>,
    /// What was seen within the overlap before that.
    fresh: Sights,
    wide: bool,
    /// Jira said that its answer was incomplete.
    incomplete: bool,
    /// Issues seen.
    seen: u64,
    /// Issues there are, when it was asked.
    total: Option<u64>,
}

impl Position {
    /// Reads a cursor. One that an older version made is worth a new start, not an error.
    fn of(cursor: Option<&Cursor>) -> Self {
        let Some(cursor) = cursor else { return Self::default() };
        serde_json::from_value(cursor.0.clone()).unwrap_or_else(|error| {
            warn!(%error, "the cursor of issues cannot be read, will read everything again");
            Self::default()
        })
    }

    fn into_cursor(self) -> Result<Cursor> {
        let value = serde_json::to_value(self);
        value
            .map(Cursor)
            .map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of issues").caused_by(error))
    }

    /// The sweep to go on with, or a new one.
    fn sweep(&mut self, projects: &[String], live: &SiteContext, now: Millis) -> Sweep {
        if let Some(sweep) = self.sweep.take().filter(|sweep| sweep.projects == projects) {
            return sweep;
        }
        let since = self.since(live, now).filter(|_| self.covers(projects));
        Sweep {
            projects: projects.to_vec(),
            walk: Walk::new(Order::Changed, projects.to_vec(), since),
            high: None,
            fresh: Vec::new(),
            wide: self.is_wide(now),
            incomplete: false,
            seen: 0,
            total: None,
        }
    }

    /// Whether the next sweep looks back a whole day.
    fn is_wide(&self, now: Millis) -> bool {
        self.wide_at.is_none_or(|at| now.0 - at.0 >= WIDE_OVERLAP)
    }

    /// The minute a sweep begins with, as JQL reads it; none at first.
    fn since(&self, live: &SiteContext, now: Millis) -> Option<String> {
        let overlap = if self.is_wide(now) { WIDE_OVERLAP } else { OVERLAP };
        Some(jql::minute(self.watermark?.plus(-overlap), live.zone()))
    }

    /// Whether the past of all these projects has been read.
    fn covers(&self, projects: &[String]) -> bool {
        self.covered.as_ref().is_some_and(|covered| {
            covered.is_empty() || (!projects.is_empty() && projects.iter().all(|project| covered.contains(project)))
        })
    }

    /// The position after a sweep was read to its end.
    fn after(self, sweep: Sweep, now: Millis) -> Self {
        let Self { watermark, mut covered, mut recent, mut wide_at, unlisted, .. } = self;
        recent.retain(|(id, _)| !sweep.fresh.iter().any(|(fresh, _)| fresh == id));
        recent.extend(sweep.fresh);
        let mut watermark = watermark;
        if !sweep.incomplete {
            watermark = watermark.max(sweep.high.map(|high| high.min(now)));
            covered = Some(sweep.walk.projects);
            wide_at = if sweep.wide { Some(now) } else { wide_at };
        }
        remember(&mut recent, watermark);
        Self { watermark, covered, recent, wide_at, unlisted, sweep: None }
    }
}

/// Drops what no sweep will meet again, and the oldest of what is too much.
fn remember(sights: &mut Sights, watermark: Option<Millis>) {
    if let Some(watermark) = watermark {
        let from = watermark.0 - OVERLAP - MINUTE;
        sights.retain(|(_, updated)| *updated >= from);
    }
    if sights.len() > REMEMBERED {
        sights.sort_by_key(|(_, updated)| *updated);
        sights.drain(..sights.len() - REMEMBERED);
    }
}

/// One poll of the stream.
struct Poll<'a> {
    jira: &'a Jira,
    live: &'a SiteContext,
    /// Where the stream stood before.
    position: &'a Position,
    now: Millis,
    sweep: Sweep,
    /// What was given already: ids and the change they were given with.
    known: HashMap<Box<str>, i64>,
    batch: Batch,
    inline: Vec<(Box<str>, Inline)>,
    warnings: Vec<String>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a search that goes in circles; [`ErrorKind::Rejected`] when none of the
/// configured projects exists.
pub(super) async fn poll(jira: &Jira, live: &Arc<SiteContext>, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut position = Position::of(cursor);
    let sweep = position.sweep(&jira.settings.projects, live, run.now);
    let known = position.recent.iter().chain(&sweep.fresh).cloned().collect();
    let mut poll = Poll {
        jira,
        live,
        position: &position,
        now: run.now,
        sweep,
        known,
        batch: Batch::default(),
        inline: Vec::new(),
        warnings: Vec::new(),
    };
    let last = poll.gather().await?;
    poll.count(last, position.watermark.is_none()).await;
    if last && poll.sweep.seen == 0 && position.watermark.is_none() {
        // An empty site. Nobody at all is told the same, and the token may have expired since the run began.
        site::account(&jira.api, live.site).await?;
    }
    let Poll { sweep, batch, inline, warnings, .. } = poll;
    let live = jira.explain(live, batch.issues()).await?;
    let completer = Completer { api: &jira.api, settings: &jira.settings, live: &live, no_bulk: jira.no_bulk() };
    let (records, mentions) = completer.complete(batch, inline).await?;
    jira.explain_past(&live, &mentions, &mut position.unlisted, run).await?;
    let total = sweep.total;
    let position = match last {
        true => position.after(sweep, run.now),
        false => Position { sweep: Some(sweep), ..position },
    };
    Ok(Page { records, seen: Vec::new(), cursor: position.into_cursor()?, more: !last, total, warnings })
}

impl Poll<'_> {
    /// Searches until the page of records is full or the sweep at its end, which it tells.
    async fn gather(&mut self) -> Result<bool> {
        let server = self.live.site == Site::DataCenter;
        let rows = if server { SERVER_ROWS } else { ROWS };
        let mut wish = Wish::new(wished(self.jira, self.live), rows);
        wish.histories = server;
        for _ in 0..SEARCHES {
            let found = match walk::page(&self.jira.api, self.live.site, &self.sweep.walk, &mut wish).await {
                Ok(found) => found,
                Err(error) => {
                    self.begin_again(error)?;
                    continue;
                }
            };
            let rows = found.issues.len();
            if self.take(found)? {
                return Ok(true);
            }
            if self.batch.len() + rows > BATCH {
                break;
            }
        }
        Ok(false)
    }

    /// The sweep is read anew, so what it gave so far counts as not seen. The watermark has not moved.
    fn begin_again(&mut self, refusal: Error) -> Result<()> {
        let warnings = self.sweep.walk.recover(refusal)?;
        self.warnings.extend(warnings);
        if self.position.covers(&self.sweep.walk.projects) {
            self.sweep.walk.begin_from(self.position.since(self.live, self.now));
        }
        self.batch.clear();
        self.inline.clear();
        self.known = self.position.recent.iter().cloned().collect();
        self.sweep = Sweep { high: None, fresh: Vec::new(), seen: 0, total: None, ..self.sweep.clone() };
        Ok(())
    }

    /// Takes a search page in. Whether it was the last.
    fn take(&mut self, found: Found) -> Result<bool> {
        for warning in &found.warnings {
            self.sweep.incomplete = true;
            self.warnings
                .push(format!("the search answer is incomplete, the same changes will be read again: {warning}"));
        }
        let mut latest = None;
        for json in &found.issues {
            latest = self.take_issue(json.get()).or(latest);
        }
        self.forget_old();
        match self.live.site {
            Site::Cloud => self.sweep.walk.step(&found),
            Site::DataCenter => self.sweep.walk.step_rows(&found, latest, self.live.zone()),
        }
    }

    /// Takes an issue in, unless it was given with this very change. When it was changed.
    fn take_issue(&mut self, json: &str) -> Option<Millis> {
        let (taken, updated) = Taken::of(json, self.jira.settings.comments.has_texts());
        if let (Some(id), Some(updated)) = (taken.id(), updated) {
            if self.known.insert(id.into(), updated.0) == Some(updated.0) {
                return Some(updated);
            }
            self.sweep.fresh.push((id.into(), updated.0));
            self.sweep.high = self.sweep.high.max(Some(updated));
        }
        self.sweep.seen += 1;
        let taken = if self.live.site == Site::DataCenter { self.take_inline(taken, json) } else { taken };
        self.batch.add(taken);
        updated
    }

    /// Takes the history out of an issue of Data Center. One that cannot be read makes the whole issue an odd one.
    fn take_inline(&mut self, taken: Taken, json: &str) -> Taken {
        match (&taken, serde_json::from_str(json)) {
            (Taken::Issue(issue), Ok(inline)) => {
                self.inline.extend(issue.id.clone().map(|id| (id, inline)));
                taken
            }
            _ => Taken::odd(json, self.jira.settings.comments.has_texts()).0,
        }
    }

    fn forget_old(&mut self) {
        remember(&mut self.sweep.fresh, self.sweep.high);
    }

    /// How many issues a first sweep will meet: asked when it is long, told by itself when it is short. Only for people, so a
    /// refusal does not matter.
    async fn count(&mut self, last: bool, first: bool) {
        if !first || self.sweep.total.is_some() {
            return;
        }
        self.sweep.total = match (last, self.live.site) {
            (true, _) => Some(self.sweep.seen),
            (false, Site::Cloud) => self.jira.api.count(&self.sweep.walk.jql).await.ok(),
            (false, Site::DataCenter) => None,
        };
    }
}

/// The fields to ask for.
fn wished<'a>(jira: &Jira, live: &'a SiteContext) -> BTreeSet<&'a str> {
    let comment = jira.settings.comments.is_told().then_some("comment");
    FIELDS.into_iter().chain(comment).chain(live.reference.custom_fields()).collect()
}
