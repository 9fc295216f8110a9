//! The `issues` stream: changed issues with their whole histories.
//!
//! [`Position`] is the cursor. A sweep asks for the ids of what changed, newest first ([`Feed`] says why), and reads those that
//! are news. In the same request it asks for links that changed, since a link changes only the issue it starts from, and for
//! comments where those are told. Parents of changed issues are read along: getting a part makes a story of a task.
//! A poll without changes is one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::api::{ChangedPage, Sweep, Told};
use super::feed::Feed;
use super::histories::{self, Gathered};
use super::session::{ISSUES, Linear, SiteContext};
use super::sizes::{self, Sizes};
use super::wire::Connection;

/// Requests for ids of one page of records, for a sweep that meets hardly anything new.
const SWEEPS: usize = 40;

/// Where the stream stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    issues: Feed,
    links: Feed,
    comments: Feed,
    /// The configured teams that were read, by key.
    teams: BTreeSet<String>,
    /// The sweep under way reads everything there is.
    everything: bool,
    /// Ids that the sweep found and that are still to be read.
    queue: BTreeSet<Box<str>>,
    /// Ids that could not be read whole: the next sweep tries again.
    again: BTreeSet<Box<str>>,
    /// What was learned of how much can be asked for at once.
    sizes: Option<Sizes>,
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

    /// Begins anew when a configured team came into sight: what changed in it before is older than the watermark.
    fn meet(&mut self, teams: &[String]) {
        let came = teams.iter().any(|team| !self.teams.contains(team));
        if came && !self.teams.is_empty() {
            info!("a team came into sight, will read everything again");
            *self = Self::default();
        }
        self.teams = teams.iter().cloned().collect();
    }

    fn into_cursor(self) -> Result<Cursor> {
        let value = serde_json::to_value(self).map(Cursor);
        value.map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of issues").caused_by(error))
    }

    fn feeds(&mut self) -> [&mut Feed; 3] {
        [&mut self.issues, &mut self.links, &mut self.comments]
    }

    /// Goes on with the sweep under way, or begins one.
    fn open(&mut self, comments: bool, now: Millis) {
        if self.is_open() {
            // Only to be told whether its page cursor has aged too much.
            self.feeds().into_iter().filter(|feed| feed.is_open()).for_each(|feed| feed.open(now));
            return;
        }
        self.everything = self.issues.is_first();
        self.queue = std::mem::take(&mut self.again);
        self.issues.open(now);
        self.links.open(now);
        if comments {
            self.comments.open(now);
        }
    }

    /// Whether there is something to read or to ask for.
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
    position: Position,
    warnings: Vec<String>,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a sweep that goes in circles; [`ErrorKind::Rejected`] when none of the
/// configured teams exists.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut position = Position::of(cursor);
    linear.adopt(position.sizes.take());
    position.meet(&live.teams);
    position.open(linear.settings.comments.is_told(), run.now);
    let warnings = linear.teams_warning(&live)?;
    let mut poll = Poll { linear, live: &live, now: run.now, position, warnings };
    poll.gather().await?;
    let gathered = poll.read().await?;
    let Poll { mut position, mut warnings, .. } = poll;
    position.again.extend(gathered.spoilt.iter().cloned());
    position.queue = gathered.left.clone();
    position.feeds().into_iter().for_each(Feed::settle);
    warnings.extend(gathered.warnings.iter().cloned());
    warnings.extend(linear.take_disputes());
    let live = linear.explain(&live, gathered.names(), run).await?;
    let records = gathered.records(linear, &live, ISSUES)?;
    let more = position.is_open();
    position.sizes = Some(linear.sizes().clone());
    Ok(Page { records, seen: Vec::new(), cursor: position.into_cursor()?, more, total: None, warnings })
}

impl Poll<'_> {
    /// Asks for ids until there are enough of them or the sweep is at its end.
    async fn gather(&mut self) -> Result<()> {
        for _ in 0..SWEEPS {
            if !self.position.has_pages() || self.position.queue.len() >= sizes::BATCH {
                break;
            }
            match self.linear.api.changed(&self.sweep()).await {
                Ok(told) => self.take(&told)?,
                Err(error) => self.position.issues.recover(error, self.now)?,
            }
        }
        Ok(())
    }

    /// The next request for ids. The first page of a sweep that will mostly find nothing is a small one.
    fn sweep(&self) -> Sweep<'_> {
        let Position { issues, links, comments, .. } = &self.position;
        let first = match issues.is_open() {
            false => 1,
            true if issues.is_at_start() && !issues.is_first() => sizes::PROBE,
            true => sizes::IDS,
        };
        Sweep {
            teams: &self.live.teams,
            since: issues.since(),
            first,
            after: issues.after().filter(|_| issues.is_open()),
            all: false,
            links: links.is_open().then(|| links.after()),
            comments: comments.is_open().then(|| comments.after()),
        }
    }

    fn take(&mut self, told: &Told<ChangedPage>) -> Result<()> {
        self.warnings.extend(told.troubles.iter().map(|flaw| {
            format!("the list of changes is incomplete, the same changes will be read again: {}", flaw.text)
        }));
        if self.position.issues.is_open() {
            self.take_issues(told)?;
        }
        self.take_links(told)?;
        self.take_comments(told)
    }

    fn take_issues(&mut self, told: &Told<ChangedPage>) -> Result<()> {
        let Position { issues: feed, queue, .. } = &mut self.position;
        if !told.troubles.is_empty() {
            feed.spoil();
        }
        let nothing = Connection::default();
        let page = told.data.issues.as_ref().unwrap_or(&nothing);
        for sight in &page.nodes {
            if feed.take(&sight.id, sight.updated_at) {
                queue.insert(sight.id.clone());
            }
        }
        feed.step(&page.page_info).map(drop)
    }

    /// Links that changed. They cannot be filtered: what is older than the watermark ends the list. At first every issue is
    /// read with its links anyway, and only the watermark is taken.
    fn take_links(&mut self, told: &Told<ChangedPage>) -> Result<()> {
        let Position { links: feed, queue, .. } = &mut self.position;
        let Some(page) = told.data.issue_relations.as_ref().filter(|_| feed.is_open()) else {
            feed.cut();
            return Ok(());
        };
        let (first, since) = (feed.is_first(), feed.since());
        let mut old = first;
        for link in &page.nodes {
            old |= since.is_some_and(|since| link.updated_at < since);
            if !old && feed.take(&link.id, link.updated_at) {
                queue.extend(link.related_issue.as_ref().map(|issue| issue.id.clone()));
            } else if first {
                feed.take(&link.id, link.updated_at);
            }
        }
        if old {
            feed.cut();
            return Ok(());
        }
        feed.step(&page.page_info).map(drop)
    }

    fn take_comments(&mut self, told: &Told<ChangedPage>) -> Result<()> {
        let Position { comments: feed, queue, .. } = &mut self.position;
        let Some(page) = told.data.comments.as_ref().filter(|_| feed.is_open()) else {
            feed.cut();
            return Ok(());
        };
        let first = feed.is_first();
        for comment in &page.nodes {
            if feed.take(&comment.id, comment.updated_at) && !first {
                queue.extend(comment.issue.as_ref().map(|issue| issue.id.clone()));
            }
        }
        if first {
            feed.cut();
            return Ok(());
        }
        feed.step(&page.page_info).map(drop)
    }

    /// Reads what was found, and unless everything is read anyway, the parents of it.
    async fn read(&self) -> Result<Gathered> {
        let ids: Vec<Box<str>> = self.position.queue.iter().cloned().collect();
        let mut gathered = histories::read(self.linear, &ids).await?;
        let parents = gathered.issues.values().flat_map(|taken| &taken.parents);
        let parents: BTreeSet<Box<str>> = parents.filter(|id| !self.position.queue.contains(*id)).cloned().collect();
        if self.position.everything || parents.is_empty() {
            return Ok(gathered);
        }
        // A parent that could not be read is worth another try by itself.
        let ids: Vec<Box<str>> = parents.into_iter().collect();
        match histories::read(self.linear, &ids).await {
            Ok(above) => {
                gathered.issues.extend(above.issues);
                gathered.spoilt.extend(above.spoilt);
                gathered.left.extend(above.left);
                gathered.warnings.extend(above.warnings);
            }
            Err(error) if error.kind() == ErrorKind::RateLimited => gathered.left.extend(ids),
            Err(error) => return Err(error),
        }
        Ok(gathered)
    }
}
