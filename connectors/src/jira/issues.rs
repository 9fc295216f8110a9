//! The `issues` stream: changed issues with their whole histories.
//!
//! [`IssueCursor`] is the cursor. [`crate::scan`] decides what a sweep lists and when the watermark moves; here a sweep is a
//! search, the oldest change first. A poll without changes costs one search.
//!
//! - Search is only eventually consistent, so once a day a sweep looks back a day instead of five minutes.
//! - A page that says its answer is incomplete is read, but the watermark stays.
//! - An issue that cannot be served is named as unreadable and read again by its id, or by its minute where it has none
//!   ([`read_again`]).
//! - Open sprints of boards that we do not list are known from their issues, which do not change when such a sprint is closed.
//!   So they are asked for one by one at the start of a sweep.
//! - The watermark never passes the moment of the run: an issue dated in the future does not hide those of today.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run, Unreadable};
use contextcore_core::model::time::{DAY, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::api::{Inline, Outline, Site, is_about_the_object};
use super::batch::{Batch, Completed, FoundIssue};
use super::histories::Completer;
use super::reference::Reference;
use super::search::{self, Answer, Order, PageRequest, Search};
use super::session::{ISSUES, Jira, SiteContext};
use super::settings::Settings;
use super::unlisted::{self, Around, Stuck};
use super::{jql, site, sprint_field, sprints};
use crate::cursor;
use crate::scan::{IncrementalScan, Sweep};

/// How far before the watermark a sweep begins.
const OVERLAP: i64 = 5 * MINUTE;
/// How far before the watermark versions are remembered: JQL floors the start of a sweep to the minute.
const REMEMBERED: i64 = OVERLAP + MINUTE;
/// How far the daily sweep looks back.
const WIDE_OVERLAP: i64 = DAY;
/// Issues of one page of records: what one call for histories takes.
const BATCH: usize = super::api::IDS_PER_CALL;
/// Search pages of one page of records, for a sweep that finds hardly anything new.
const SEARCHES: usize = 40;
/// Rows that cannot be listed in any form of one page of records; with more of them it is the search that fails.
pub(super) const UNLISTED: usize = 5;
/// Rows requested of Cloud, which sends as many as it likes: about a hundred with our fields.
const ROWS: u64 = 1_000;
/// Rows requested of Data Center, where each brings its history along.
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

/// How far the stream has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct IssueCursor {
    #[serde(flatten)]
    scan: IncrementalScan,
    /// The projects whose past has been read; an empty list means all. A project that was unknown, or is new in the
    /// configuration, is not among them.
    covered: Option<Vec<String>>,
    /// When a sweep last looked back a whole day (or read everything).
    wide_at: Option<Millis>,
    /// Statuses and types that histories name and the site no longer lists, so that they are not looked for again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unlisted: BTreeSet<String>,
    /// Open sprints of boards that we do not list, and whether each was had by itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sprints: BTreeMap<u64, bool>,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<IssueSweep>,
}

/// A sweep under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct IssueSweep {
    #[serde(flatten)]
    listed: Sweep,
    /// The projects of the configuration when it began.
    projects: Vec<String>,
    #[serde(rename = "walk")]
    search: Search,
    wide: bool,
    /// Issues listed.
    seen: u64,
    /// Issues there are, where the site was asked.
    total: Option<u64>,
}

impl IssueCursor {
    /// The sweep under way, or a new one.
    fn sweep(&mut self, projects: &[String], live: &SiteContext, now: Millis) -> IssueSweep {
        if let Some(sweep) = self.sweep.take().filter(|sweep| sweep.projects == projects) {
            return sweep;
        }
        let since = self.since(live, now).filter(|_| self.covers(projects));
        IssueSweep {
            listed: Sweep::default(),
            projects: projects.to_vec(),
            search: Search::new(Order::Changed, projects.to_vec(), since),
            wide: self.is_wide(now),
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
        Some(jql::minute(self.scan.since(overlap)?, live.zone()))
    }

    /// Whether the past of all these projects has been read.
    fn covers(&self, projects: &[String]) -> bool {
        self.covered.as_ref().is_some_and(|covered| {
            covered.is_empty() || (!projects.is_empty() && projects.iter().all(|project| covered.contains(project)))
        })
    }

    /// Remembers the open sprints of these issues that are of boards we do not list.
    fn note_sprints(&mut self, reference: &Reference, batch: &Batch) {
        let is_elsewhere = |board: u64| !reference.boards.contains_key(&board);
        let sprints = batch.issues().flat_map(|issue| sprint_field::of(reference, issue));
        let open = sprints.filter(|sprint| !sprint.is_closed() && sprint.origin_board_id.is_some_and(is_elsewhere));
        open.for_each(|sprint| _ = self.sprints.entry(sprint.id).or_default());
    }

    /// Ends a sweep that was read to its last page.
    fn settle(&mut self, sweep: IssueSweep, now: Millis) {
        let IssueSweep { listed, search, wide, .. } = sweep;
        if !listed.incomplete {
            self.covered = Some(search.projects);
            self.wide_at = if wide { Some(now) } else { self.wide_at };
        }
        self.scan.settle(listed, now, REMEMBERED);
    }
}

/// One poll of the stream.
struct Poll<'a> {
    jira: &'a Jira,
    live: &'a SiteContext,
    /// How far the stream was read before.
    cursor: &'a IssueCursor,
    now: Millis,
    sweep: IssueSweep,
    batch: Batch,
    inline: Vec<(Box<str>, Inline)>,
    unreadable: Vec<Unreadable>,
    warnings: Vec<String>,
    /// Rows that could not be listed.
    unlisted: usize,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`contextcore_core::ErrorKind::Protocol`] for a search that does not end;
/// [`contextcore_core::ErrorKind::Rejected`] when none of the configured projects exists.
pub(super) async fn poll(jira: &Jira, live: &Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut cursor: IssueCursor = cursor::read(stored, ISSUES);
    let mut page = Page::default();
    if cursor.sweep.is_none() {
        sprints::ask_alone(jira, &mut cursor.sprints, &mut page).await?;
    }
    let sweep = cursor.sweep(&jira.settings.projects, live, run.now);
    let first = cursor.scan.watermark.is_none();
    let (batch, inline, unreadable, warnings, unlisted) = Default::default();
    let mut poll =
        Poll { jira, live, cursor: &cursor, now: run.now, sweep, batch, inline, unreadable, warnings, unlisted };
    let last = poll.gather().await?;
    poll.count(last, first).await;
    if last && poll.sweep.seen == 0 && first {
        // An empty site. An anonymous caller gets the same answer, and the token may have expired since the run began.
        site::account(&jira.api, live.site).await?;
    }
    let Poll { sweep, batch, inline, unreadable, warnings, .. } = poll;
    page.warnings.extend(warnings);
    page.unreadable.extend(unreadable);
    let moved_after = cursor.scan.since(OVERLAP);
    complete(jira, live, batch, inline, moved_after, &mut cursor, &mut page).await?;
    (page.total, page.more) = (sweep.total, !last);
    match last {
        true => cursor.settle(sweep, run.now),
        false => cursor.sweep = Some(sweep),
    }
    Ok(Page { cursor: cursor::write(&cursor, ISSUES)?, ..page })
}

/// The cursor that reads every issue again, and knows the open sprints of boards that we do not list.
pub(super) fn restart(stored: &Cursor) -> Option<Cursor> {
    let IssueCursor { sprints, .. } = cursor::read(Some(stored), ISSUES);
    let sprints = Some(sprints).filter(|sprints| !sprints.is_empty())?;
    cursor::write(&IssueCursor { sprints, ..IssueCursor::default() }, ISSUES).ok()
}

/// Completes the issues of a batch and adds them to the page.
async fn complete(
    jira: &Jira,
    live: &Arc<SiteContext>,
    batch: Batch,
    inline: Vec<(Box<str>, Inline)>,
    moved_after: Option<Millis>,
    cursor: &mut IssueCursor,
    page: &mut Page,
) -> Result<()> {
    let live = jira.explain(live, batch.issues()).await?;
    let (reference, site) = (&live.reference, live.site);
    cursor.note_sprints(reference, &batch);
    let completer = Completer { api: &jira.api, settings: &jira.settings, site, reference, no_bulk: jira.no_bulk() };
    let completed = completer.complete(batch, inline, ISSUES, moved_after).await?;
    let Completed { records, unreadable, mentions, warning } = completed;
    page.warnings.extend(warning);
    jira.explain_past(&live, &mentions, &mut cursor.unlisted, &jira.run).await?;
    page.records.extend(records);
    page.unreadable.extend(unreadable);
    Ok(())
}

/// Reads issues by their ids, or by the minute in which one changed that could not be listed. One that is not found, or is in
/// another project, is left out.
///
/// # Errors
/// As the session's, when it is not one issue that fails.
pub(super) async fn read_again(jira: &Jira, live: &Arc<SiteContext>, ids: &[String]) -> Result<Page> {
    let (mut batch, mut inline, mut page) = (Batch::default(), Vec::new(), Page::default());
    let texts = jira.settings.comments.has_texts();
    for id in ids {
        match ask_again(jira, live, id).await {
            Ok(issues) => {
                for json in issues {
                    let (found, _) = FoundIssue::of(json.get(), texts);
                    let found = if live.site == Site::DataCenter {
                        take_inline(found, json.get(), texts, &mut inline)
                    } else {
                        found
                    };
                    batch.add_if(found, |project| jira.settings.wants(project));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_about_the_object(error.kind()) => {
                page.unreadable.push(Unreadable { native_id: id.clone(), reason: error.full() });
            }
            Err(error) => return Err(error),
        }
    }
    // Nobody knows since when it could not be read, so its sub-tasks are read with it.
    let moved_after = Some(Millis(i64::MIN));
    complete(jira, live, batch, inline, moved_after, &mut IssueCursor::default(), &mut page).await?;
    page.records.retain(|record| record.stream == ISSUES);
    Ok(page)
}

/// Asks for an issue by its id, or for all that changed in a minute. Only numbers are ids of issues, and only those may go into an
/// address.
async fn ask_again(jira: &Jira, live: &SiteContext, id: &str) -> Result<Vec<Box<RawValue>>> {
    let fields = requested_fields(&jira.settings, &live.reference);
    if let Some((minute, zone)) = unlisted::minute_of(id).zip(live.zone()) {
        let request = page_request(jira, live);
        let [from, to] = unlisted::bounds(minute, zone);
        return unlisted::again(&jira.api, live.site, &jira.settings.projects, [&from, &to], &request).await;
    }
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Vec::new());
    }
    Ok(vec![jira.api.issue(live.site, id, &fields).await?])
}

/// What a sweep requests of a search page.
fn page_request<'a>(jira: &'a Jira, live: &'a SiteContext) -> PageRequest<'a> {
    let server = live.site == Site::DataCenter;
    let rows = if server { SERVER_ROWS } else { ROWS };
    let mut request = PageRequest::new(requested_fields(&jira.settings, &live.reference), rows);
    request.histories = server;
    request
}

/// Takes the history out of an issue of Data Center. One that cannot be read makes the whole issue an odd one.
fn take_inline(found: FoundIssue, json: &str, texts: bool, inline: &mut Vec<(Box<str>, Inline)>) -> FoundIssue {
    match (&found, serde_json::from_str(json)) {
        (FoundIssue::Issue(issue), Ok(history)) => {
            inline.extend(issue.id.clone().map(|id| (id, history)));
            found
        }
        _ => FoundIssue::odd(json, texts).0,
    }
}

impl Poll<'_> {
    /// Searches until the page of records is full or the sweep has ended. Whether it has ended.
    async fn gather(&mut self) -> Result<bool> {
        let mut request = page_request(self.jira, self.live);
        for _ in 0..SEARCHES {
            let answer = match search::page(&self.jira.api, self.live.site, &self.sweep.search, &mut request).await {
                Ok(answer) => answer,
                Err(error) => match self.recover(error, &request).await? {
                    Some(answer) => answer,
                    None => continue,
                },
            };
            let rows = answer.found.issues.len();
            if self.take(answer)? {
                return Ok(true);
            }
            if self.batch.len() + rows > BATCH {
                break;
            }
        }
        Ok(false)
    }

    /// Recovers from a search that failed: passes the row that cannot be listed, waits, or starts again. The page, if there is one
    /// then.
    async fn recover(&mut self, error: Error, request: &PageRequest<'_>) -> Result<Option<Answer>> {
        let (api, site) = (&self.jira.api, self.live.site);
        if !is_about_the_object(error.kind()) || self.sweep.search.explains(&error) {
            return self.restart(error).map(|()| None);
        }
        if self.pass_unlisted(&error, request).await? {
            return Ok(None);
        }
        match search::patiently(api, site, &self.sweep.search, request, error).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => self.restart(error).map(|()| None),
        }
    }

    /// Passes a row that cannot be listed. Whether there was one.
    async fn pass_unlisted(&mut self, error: &Error, request: &PageRequest<'_>) -> Result<bool> {
        let (Some(zone), true) = (self.live.zone(), self.unlisted < UNLISTED) else { return Ok(false) };
        let overlap = if self.sweep.wide { WIDE_OVERLAP } else { OVERLAP };
        let listed = self.sweep.listed.high.or(self.cursor.scan.since(overlap)).unwrap_or_default();
        let stuck = Stuck { api: &self.jira.api, site: self.live.site, zone, listed, now: self.now };
        let Some(Around { issues, unreadable }) = stuck.pass(&mut self.sweep.search, request, error).await? else {
            return Ok(false);
        };
        self.unlisted += 1;
        self.unreadable.push(unreadable);
        issues.iter().for_each(|json| _ = self.take_issue(json.get()));
        Ok(true)
    }

    /// Starts the sweep again: what it gave so far counts as not seen. The watermark has not moved.
    fn restart(&mut self, refusal: Error) -> Result<()> {
        let warnings = self.sweep.search.recover(refusal)?;
        self.warnings.extend(warnings);
        if self.cursor.covers(&self.sweep.search.projects) {
            self.sweep.search.restart_from(self.cursor.since(self.live, self.now));
        }
        self.batch.clear();
        self.inline.clear();
        self.unreadable.clear();
        let incomplete = self.sweep.listed.incomplete;
        self.sweep.listed = Sweep { incomplete, ..Sweep::default() };
        (self.sweep.seen, self.sweep.total) = (0, None);
        Ok(())
    }

    /// Takes a search page. Whether it was the last one.
    fn take(&mut self, Answer { found, refused }: Answer) -> Result<bool> {
        for warning in &found.warnings {
            self.sweep.listed.incomplete = true;
            self.warnings
                .push(format!("the search answer is incomplete, the same changes will be read again: {warning}"));
        }
        let mut latest = None;
        for json in &found.issues {
            let updated = match &refused {
                None => self.take_issue(json.get()),
                Some(reason) => self.pass_over(json.get(), reason),
            };
            latest = updated.or(latest);
        }
        self.sweep.listed.trim(REMEMBERED);
        match self.live.site {
            Site::Cloud => self.sweep.search.step(&found),
            Site::DataCenter => self.sweep.search.step_rows(&found, latest, self.live.zone()),
        }
    }

    /// Takes an issue, unless this version of it was given before. Returns when it changed.
    fn take_issue(&mut self, json: &str) -> Option<Millis> {
        let texts = self.jira.settings.comments.has_texts();
        let (found, updated) = FoundIssue::of(json, texts);
        if !self.is_new(found.id(), updated) {
            return updated;
        }
        let server = self.live.site == Site::DataCenter;
        let found = if server { take_inline(found, json, texts, &mut self.inline) } else { found };
        self.batch.add(found);
        updated
    }

    /// Names an issue that cannot be served, unless this version of it was named before. Returns when it changed.
    fn pass_over(&mut self, json: &str, reason: &Error) -> Option<Millis> {
        let outline = Outline::of(json);
        let updated = outline.updated();
        if let Some(id) = outline.id.filter(|id| self.is_new(Some(id), updated)) {
            self.unreadable.push(Unreadable { native_id: id.into(), reason: reason.full() });
        }
        updated
    }

    /// Whether this version of an issue was not given before. From now on it was.
    fn is_new(&mut self, id: Option<&str>, updated: Option<Millis>) -> bool {
        if let (Some(id), Some(updated)) = (id, updated) {
            let listed = &mut self.sweep.listed;
            listed.raise(updated);
            if !self.cursor.scan.is_new(listed, id, updated) {
                return false;
            }
            listed.remember(id, updated);
        }
        self.sweep.seen += 1;
        true
    }

    /// Counts the issues of a first sweep, for people only: a long sweep asks the site, and a refusal does not matter.
    async fn count(&mut self, last: bool, first: bool) {
        if !first || self.sweep.total.is_some() {
            return;
        }
        self.sweep.total = match (last, self.live.site) {
            (true, _) => Some(self.sweep.seen),
            (false, Site::Cloud) => self.jira.api.count(&self.sweep.search.jql).await.ok(),
            (false, Site::DataCenter) => None,
        };
    }
}

/// The fields to request.
pub(super) fn requested_fields<'a>(settings: &Settings, reference: &'a Reference) -> BTreeSet<&'a str> {
    let comment = settings.comments.is_read().then_some("comment");
    FIELDS.into_iter().chain(comment).chain(reference.custom_fields()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IssueCursor>(include_str!("fixtures/cursors.json"), "issues");
    }
}
