//! The `issues` stream: changed issues with their whole histories.
//!
//! [`IssueCursor`] is the cursor. A sweep lists the ids of what changed, newest first ([`PagedScan`]), and reads the issues that
//! are new. The same request lists links that changed, since a link changes only the issue it starts from, and comments where
//! those are exported. Parents of changed issues are read along: getting a part makes a story of a task.
//! A poll without changes is one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::api::{Answer, ChangedPage, CommentVersion, FEW_TRIES, LinkVersion, ONCE};
use super::histories::{self, FetchedIssues};
use super::paged_scan::PagedScan;
use super::parts::may_be_one;
use super::requests::ChangesRequest;
use super::rows::{Odd, Row};
use super::session::{ISSUES, Linear, SiteContext};
use super::sizes::{self, Sizes};
use super::wire::{Connection, IssueVersion, is_absent};
use crate::cursor;

/// Requests for ids of one page of records, for a sweep that finds hardly anything new.
const SWEEPS: usize = 40;
/// What is said of a row that is of no use.
const NO_ID: &str = "a row of the list of changes has no id; the next complete pass will look for what it was";

/// How far the stream has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct IssueCursor {
    issues: PagedScan,
    links: PagedScan,
    comments: PagedScan,
    /// The configured teams that were read, by key.
    teams: BTreeSet<String>,
    /// Lists of names that could not be read yet when issues were.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    absent: BTreeSet<Box<str>>,
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

    /// Starts again when a list of names can be read that could not be: what was read without it has no such names.
    fn take_lists(&mut self, absent: &BTreeSet<Box<str>>) {
        if !self.absent.is_subset(absent) {
            info!("a list of names can be read now, everything is read again");
            *self = Self::default();
        }
        self.absent.clone_from(absent);
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
    trouble: Trouble,
}

/// What a failed request for ids leads to: a smaller one, then another.
#[derive(Debug)]
struct Trouble {
    /// Rows to ask for at most.
    most: u32,
    /// A request failed, and the tool was seen to serve others.
    probed: bool,
    /// What is listed beside the issues was left out, because of this.
    alone: Option<String>,
    /// The next row cannot be listed: only where the list goes on behind it is asked for.
    skips: bool,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { most: sizes::IDS, probed: false, alone: None, skips: false }
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a sweep that does not end; [`ErrorKind::Rejected`] when none of the
/// configured teams exists.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut cursor: IssueCursor = cursor::read(stored, ISSUES);
    linear.adopt(cursor.sizes.take());
    cursor.take_lists(&live.reference.absent);
    cursor.take_teams(&live.teams);
    cursor.open(linear.settings.comments.is_read(), run.now);
    let warnings = live.missing_teams()?;
    let mut poll = Poll { linear, live: &live, now: run.now, cursor, warnings, trouble: Trouble::default() };
    poll.gather().await?;
    let fetched = poll.read().await?;
    let Poll { mut cursor, mut warnings, .. } = poll;
    cursor.retry.extend(fetched.incomplete.iter().cloned());
    cursor.queue = fetched.postponed.clone();
    cursor.scans().into_iter().for_each(|scan| scan.settle(linear.latest()));
    let live = linear.explain(&live, fetched.names(), run).await?;
    let unreadable = fetched.unreadable();
    let records = fetched.records(linear, &live, ISSUES)?;
    let notes = linear.take_notes();
    warnings.extend(notes.warnings);
    let withheld = notes.withheld;
    let more = cursor.is_open();
    cursor.sizes = Some(linear.sizes().clone());
    let cursor = cursor::write(&cursor, ISSUES)?;
    Ok(Page { records, unreadable, cursor, more, warnings, withheld, ..Page::default() })
}

impl Poll<'_> {
    /// Lists ids until there are enough of them or the sweep has ended.
    async fn gather(&mut self) -> Result<()> {
        for _ in 0..SWEEPS {
            if !self.cursor.has_pages() || self.cursor.queue.len() >= sizes::BATCH {
                break;
            }
            let tries = if self.trouble.probed { ONCE } else { FEW_TRIES };
            match self.linear.api.changed(&self.request(), tries).await {
                Ok(answer) => self.take(answer)?,
                Err(error) => self.recover(error).await?,
            }
        }
        Ok(())
    }

    /// Recovers from a failed request: the sweep starts again where the page cursor was refused; else less is asked for.
    async fn recover(&mut self, error: Error) -> Result<()> {
        let error = match self.cursor.issues.recover(error, self.now) {
            Err(error) if may_be_one(&error) => error,
            done => return done,
        };
        let Trouble { most, probed, alone, skips } = &mut self.trouble;
        let IssueCursor { issues, links, comments, .. } = &self.cursor;
        if !*probed {
            *probed = true;
            return self.linear.probe().await;
        } else if alone.is_none() && (links.is_open() || comments.is_open()) {
            *alone = Some(error.full());
        } else if *most > 1 {
            *most = (*most / 2).max(1);
        } else if issues.is_open() && !*skips {
            *skips = true;
            let text = "an issue cannot be listed among those that changed; the next complete pass will look for it";
            self.warnings.push(format!("{text}: {error}"));
        } else {
            return Err(error);
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
        let beside = self.trouble.alone.is_none();
        ChangesRequest {
            teams: &self.live.teams,
            since: issues.since(),
            first: first.min(self.trouble.most),
            after: issues.after().filter(|_| issues.is_open()),
            all: false,
            skips: self.trouble.skips,
            links: (beside && links.is_open()).then(|| links.after()),
            comments: (beside && comments.is_open()).then(|| comments.after()),
        }
    }

    fn take(&mut self, answer: Answer<ChangedPage>) -> Result<()> {
        self.trouble.most = self.trouble.most.saturating_mul(2);
        self.trouble.skips = false;
        if let Some(reason) = self.trouble.alone.take() {
            self.warnings
                .push(format!("links and comments that changed cannot be listed, the next run tries again: {reason}"));
            for scan in [&mut self.cursor.links, &mut self.cursor.comments] {
                scan.mark_incomplete();
                scan.cut();
            }
        }
        self.warnings.extend(answer.errors.iter().map(|error| {
            format!("the list of changes is incomplete, the same changes will be read again: {}", error.text)
        }));
        let roots = ["issues", "issueRelations", "comments"];
        let hit = roots.map(|root| answer.is_incomplete(root));
        self.cursor.scans().into_iter().zip(hit).filter(|(_, hit)| *hit).for_each(|(scan, _)| scan.mark_incomplete());
        if answer.errors.is_empty() {
            self.note_absent(&answer.data);
        }
        let ChangedPage { issues, issue_relations, comments } = answer.data;
        if self.cursor.issues.is_open() {
            self.take_issues(issues.unwrap_or_default())?;
        }
        self.take_links(issue_relations)?;
        self.take_comments(comments)
    }

    /// A list that was asked for and did not come says nothing about what changed.
    fn note_absent(&mut self, page: &ChangedPage) {
        let ChangedPage { issues, issue_relations, comments } = page;
        let absent = [is_absent(issues.as_ref()), is_absent(issue_relations.as_ref()), is_absent(comments.as_ref())];
        let names = ["issues", "links", "comments"];
        for ((scan, name), _) in self.cursor.scans().into_iter().zip(names).zip(absent).filter(|(_, absent)| *absent) {
            if scan.is_open() {
                scan.mark_incomplete();
                self.warnings
                    .push(format!("the list of {name} that changed did not come, the next run asks for it again"));
            }
        }
    }

    /// Takes issues that changed. One whose time cannot be read is read, so that it is quarantined with the reason.
    fn take_issues(&mut self, page: Connection<Row<IssueVersion>>) -> Result<()> {
        let IssueCursor { issues: scan, queue, .. } = &mut self.cursor;
        for row in page.nodes {
            match row {
                Row::Known(issue) => {
                    if scan.take(&issue.id, issue.updated_at) {
                        queue.insert(issue.id);
                    }
                }
                Row::Odd(Odd { id: Some(id), .. }) => drop(queue.insert(id)),
                Row::Odd(_) => self.warnings.push(NO_ID.to_owned()),
            }
        }
        scan.step(&page.page_info).map(drop)
    }

    /// Takes links that changed. They cannot be filtered: one older than the watermark ends the list. A first sweep reads every
    /// issue with its links anyway, so it only needs the watermark.
    fn take_links(&mut self, page: Option<Connection<Row<LinkVersion>>>) -> Result<()> {
        let IssueCursor { links: scan, queue, .. } = &mut self.cursor;
        let Some(page) = page.filter(|_| scan.is_open()) else {
            scan.cut();
            return Ok(());
        };
        let (first, since) = (scan.is_first(), scan.since());
        let mut old = first;
        for link in page.nodes.into_iter().filter_map(Row::known) {
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

    fn take_comments(&mut self, page: Option<Connection<Row<CommentVersion>>>) -> Result<()> {
        let IssueCursor { comments: scan, queue, .. } = &mut self.cursor;
        let Some(page) = page.filter(|_| scan.is_open()) else {
            scan.cut();
            return Ok(());
        };
        let first = scan.is_first();
        for comment in page.nodes.into_iter().filter_map(Row::known) {
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
                fetched.unreadable.extend(above.unreadable);
                fetched.incomplete.extend(above.incomplete);
                fetched.postponed.extend(above.postponed);
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
