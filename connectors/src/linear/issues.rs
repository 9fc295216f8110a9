//! The `issues` stream: changed issues with their whole histories.
//!
//! [`IssueCursor`] is the cursor. A sweep lists the ids of what changed, newest first ([`PagedScan`]), and reads the issues that
//! are new. The same request lists links that changed, since a link changes only the issue it starts from, and comments where
//! those are exported. Parents of changed issues are read along: getting a part makes a story of a task.
//! A poll without changes is one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::api::{Answer, ChangedPage, ChangesRequest};
use super::histories::{self, FetchedIssues};
use super::paged_scan::PagedScan;
use super::session::{ISSUES, Linear, SiteContext};
use super::sizes::{self, Sizes};
use super::wire::Connection;
use crate::cursor;

/// Requests for ids of one page of records, for a sweep that finds hardly anything new.
const SWEEPS: usize = 40;

/// How far the stream has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct IssueCursor {
    issues: PagedScan,
    links: PagedScan,
    comments: PagedScan,
    /// The configured teams that were read, by key.
    teams: BTreeSet<String>,
    /// The sweep under way reads everything there is.
    everything: bool,
    /// Ids that the sweep has listed and that are still to be read.
    queue: BTreeSet<Box<str>>,
    /// Ids that could not be read whole: the next sweep tries again.
    #[serde(rename = "again")]
    retry: BTreeSet<Box<str>>,
    /// What was learned of how much one request may ask for.
    sizes: Option<Sizes>,
}

impl IssueCursor {
    /// Starts again when a configured team has become visible: what changed in it before is older than the watermark.
    fn take_teams(&mut self, teams: &[String]) {
        let came = teams.iter().any(|team| !self.teams.contains(team));
        if came && !self.teams.is_empty() {
            info!("a team has become visible, everything is read again");
            *self = Self::default();
        }
        self.teams = teams.iter().cloned().collect();
    }

    fn scans(&mut self) -> [&mut PagedScan; 3] {
        [&mut self.issues, &mut self.links, &mut self.comments]
    }

    /// Continues the sweep under way, or begins one.
    fn open(&mut self, comments: bool, now: Millis) {
        if self.is_open() {
            // A sweep whose page cursor is too old starts again.
            self.scans().into_iter().filter(|scan| scan.is_open()).for_each(|scan| scan.open(now));
            return;
        }
        self.everything = self.issues.is_first();
        self.queue = std::mem::take(&mut self.retry);
        self.issues.open(now);
        self.links.open(now);
        if comments {
            self.comments.open(now);
        }
    }

    /// Whether there is something to read or to list.
    fn is_open(&self) -> bool {
        !self.queue.is_empty() || self.has_pages()
    }

    /// Whether any list has pages left.
    fn has_pages(&self) -> bool {
        self.issues.is_open() || self.links.is_open() || self.comments.is_open()
    }
}

/// One poll of the stream.
struct Poll<'a> {
    linear: &'a Linear,
    live: &'a SiteContext,
    now: Millis,
    cursor: IssueCursor,
    warnings: Vec<String>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a sweep that does not end; [`ErrorKind::Rejected`] when none of the
/// configured teams exists.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut cursor: IssueCursor = cursor::read(stored, ISSUES);
    linear.adopt(cursor.sizes.take());
    cursor.take_teams(&live.teams);
    cursor.open(linear.settings.comments.is_read(), run.now);
    let warnings = linear.teams_warning(&live)?;
    let mut poll = Poll { linear, live: &live, now: run.now, cursor, warnings };
    poll.gather().await?;
    let fetched = poll.read().await?;
    let Poll { mut cursor, mut warnings, .. } = poll;
    cursor.retry.extend(fetched.incomplete.iter().cloned());
    cursor.queue = fetched.postponed.clone();
    cursor.scans().into_iter().for_each(PagedScan::settle);
    warnings.extend(fetched.warnings.iter().cloned());
    warnings.extend(linear.take_disputes());
    let live = linear.explain(&live, fetched.names(), run).await?;
    let records = fetched.records(linear, &live, ISSUES)?;
    let more = cursor.is_open();
    cursor.sizes = Some(linear.sizes().clone());
    Ok(Page { records, cursor: cursor::write(&cursor, ISSUES)?, more, warnings, ..Page::default() })
}

impl Poll<'_> {
    /// Lists ids until there are enough of them or the sweep has ended.
    async fn gather(&mut self) -> Result<()> {
        for _ in 0..SWEEPS {
            if !self.cursor.has_pages() || self.cursor.queue.len() >= sizes::BATCH {
                break;
            }
            match self.linear.api.changed(&self.request()).await {
                Ok(answer) => self.take(&answer)?,
                Err(error) => self.cursor.issues.recover(error, self.now)?,
            }
        }
        Ok(())
    }

    /// The next request for ids. The first page of a sweep that will mostly find nothing is a small one.
    fn request(&self) -> ChangesRequest<'_> {
        let IssueCursor { issues, links, comments, .. } = &self.cursor;
        let first = match issues.is_open() {
            false => 1,
            true if issues.is_at_start() && !issues.is_first() => sizes::PROBE,
            true => sizes::IDS,
        };
        ChangesRequest {
            teams: &self.live.teams,
            since: issues.since(),
            first,
            after: issues.after().filter(|_| issues.is_open()),
            all: false,
            links: links.is_open().then(|| links.after()),
            comments: comments.is_open().then(|| comments.after()),
        }
    }

    fn take(&mut self, answer: &Answer<ChangedPage>) -> Result<()> {
        self.warnings.extend(answer.errors.iter().map(|error| {
            format!("the list of changes is incomplete, the same changes will be read again: {}", error.text)
        }));
        if self.cursor.issues.is_open() {
            self.take_issues(answer)?;
        }
        self.take_links(answer)?;
        self.take_comments(answer)
    }

    fn take_issues(&mut self, answer: &Answer<ChangedPage>) -> Result<()> {
        let IssueCursor { issues: scan, queue, .. } = &mut self.cursor;
        if !answer.errors.is_empty() {
            scan.mark_incomplete();
        }
        let nothing = Connection::default();
        let page = answer.data.issues.as_ref().unwrap_or(&nothing);
        for issue in &page.nodes {
            if scan.take(&issue.id, issue.updated_at) {
                queue.insert(issue.id.clone());
            }
        }
        scan.step(&page.page_info).map(drop)
    }

    /// Takes links that changed. They cannot be filtered: one older than the watermark ends the list. A first sweep reads every
    /// issue with its links anyway, so it only needs the watermark.
    fn take_links(&mut self, answer: &Answer<ChangedPage>) -> Result<()> {
        let IssueCursor { links: scan, queue, .. } = &mut self.cursor;
        let Some(page) = answer.data.issue_relations.as_ref().filter(|_| scan.is_open()) else {
            scan.cut();
            return Ok(());
        };
        let (first, since) = (scan.is_first(), scan.since());
        let mut old = first;
        for link in &page.nodes {
            old |= since.is_some_and(|since| link.updated_at < since);
            if !old && scan.take(&link.id, link.updated_at) {
                queue.extend(link.related_issue.as_ref().map(|issue| issue.id.clone()));
            } else if first {
                scan.take(&link.id, link.updated_at);
            }
        }
        if old {
            scan.cut();
            return Ok(());
        }
        scan.step(&page.page_info).map(drop)
    }

    fn take_comments(&mut self, answer: &Answer<ChangedPage>) -> Result<()> {
        let IssueCursor { comments: scan, queue, .. } = &mut self.cursor;
        let Some(page) = answer.data.comments.as_ref().filter(|_| scan.is_open()) else {
            scan.cut();
            return Ok(());
        };
        let first = scan.is_first();
        for comment in &page.nodes {
            if scan.take(&comment.id, comment.updated_at) && !first {
                queue.extend(comment.issue.as_ref().map(|issue| issue.id.clone()));
            }
        }
        if first {
            scan.cut();
            return Ok(());
        }
        scan.step(&page.page_info).map(drop)
    }

    /// Reads what was listed, and unless everything is read anyway, its parents.
    async fn read(&self) -> Result<FetchedIssues> {
        let ids: Vec<Box<str>> = self.cursor.queue.iter().cloned().collect();
        let mut fetched = histories::read(self.linear, &ids).await?;
        let parents = fetched.issues.values().flat_map(|taken| &taken.parents);
        let parents: BTreeSet<Box<str>> = parents.filter(|id| !self.cursor.queue.contains(*id)).cloned().collect();
        if self.cursor.everything || parents.is_empty() {
            return Ok(fetched);
        }
        let ids: Vec<Box<str>> = parents.into_iter().collect();
        match histories::read(self.linear, &ids).await {
            Ok(above) => {
                fetched.issues.extend(above.issues);
                fetched.incomplete.extend(above.incomplete);
                fetched.postponed.extend(above.postponed);
                fetched.warnings.extend(above.warnings);
            }
            Err(error) if error.kind() == ErrorKind::RateLimited => fetched.postponed.extend(ids),
            Err(error) => return Err(error),
        }
        Ok(fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IssueCursor>(include_str!("fixtures/cursors.json"), "issues");
    }
}
