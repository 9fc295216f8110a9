//! The `activity` stream: what people did in the configured repositories (pull requests, commits, reviews, checks,
//! deployments), for the engine to find the tasks it belongs to.
//!
//! The run knows when something was last pushed and when a pull request changed last, so that a quiet repository is not asked
//! at all. Lists come newest first and are read back to the watermark less an overlap. The end of a check changes neither time,
//! so pull requests whose checks were not done are read again by themselves.
//!
//! What lies behind a row that GitHub cannot even step over is read from the list's other end, the oldest first, once. The row is tried
//! again on every run. Commits come in one order only, and stop there.

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Unreadable};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::answer::{Answer, FetchOutcome, GraphError, is_divisible};
use super::batch::{Kind, Sizes};
use super::calls::{Detail, Work};
use super::connection::Rows;
use super::records::{costs_the_record, unreadable};
use super::rows::Attempt;
use super::session::{ACTIVITY, GitHub, Repository, SiteContext};
use super::settings::RepositoryName;
use crate::cursor;
use progress::{ActivityCursor, ListCursor, ListSweep, RepositoryCursor};
use record::Outline;

mod progress;
mod read;
mod record;

pub(super) use progress::ActivityList;
pub(super) use read::read;
pub(super) use record::complete;

/// Pages of one page of records.
const PAGES: usize = 20;
/// Rows of a page of which only ids and times are asked for.
const MOST_ROWS: u32 = 100;
/// Pull requests that are read again, at most.
const WATCHED: usize = 100;

/// Fetches the next page of records.
///
/// # Errors
/// As the session's, except for lists that GitHub refuses or cannot serve: those are left out with a warning.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>, now: Millis) -> Result<Page> {
    let cursor = cursor::read(stored, ACTIVITY);
    let mut poll = Poll { github, now, cursor, records: Vec::new(), unreadable: Vec::new(), warnings: Vec::new() };
    let mut more = false;
    if github.api.low_for().is_some() {
        poll.warnings.push("few points are left of this hour: a later run reads what people did".to_owned());
    } else {
        for repository in &live.repositories {
            more = more || poll.repository(repository).await?;
        }
    }
    let Poll { cursor, records, unreadable, warnings, .. } = poll;
    Ok(Page { records, unreadable, cursor: cursor::write(&cursor, ACTIVITY)?, more, warnings, ..Page::default() })
}

/// One poll of the stream.
struct Poll<'a> {
    github: &'a GitHub,
    now: Millis,
    cursor: ActivityCursor,
    records: Vec<RawRecord>,
    unreadable: Vec<Unreadable>,
    warnings: Vec<String>,
}

impl Poll<'_> {
    /// Reads the next pages of a repository. Whether there is more.
    async fn repository(&mut self, repository: &Repository) -> Result<bool> {
        let name = repository.name.to_string();
        let mut cursor = self.cursor.repositories.remove(&name).unwrap_or_default();
        let (pulls, pushed) = (repository.activity.pull_requests(), repository.activity.pushed_at);
        let mut more = false;
        if !cursor.pull_requests.is_due(pulls) && !cursor.watched.is_empty() {
            self.read_watched(&mut cursor).await?;
        }
        for (list, activity) in
            [(ActivityList::PullRequests, pulls), (ActivityList::Commits, pushed), (ActivityList::Deployments, pushed)]
        {
            more = more || self.list(&repository.name, list, activity, &mut cursor).await?;
        }
        self.cursor.repositories.insert(name, cursor);
        Ok(more)
    }

    /// Reads the next pages of one list. Whether there is more.
    async fn list(
        &mut self,
        name: &RepositoryName,
        list: ActivityList,
        activity: Option<Millis>,
        cursor: &mut RepositoryCursor,
    ) -> Result<bool> {
        let read = match list {
            ActivityList::PullRequests => &mut cursor.pull_requests,
            ActivityList::Commits => &mut cursor.commits,
            ActivityList::Deployments => &mut cursor.deployments,
        };
        if !read.is_due(activity) {
            return Ok(false);
        }
        let mut resumed = read.sweep.is_some();
        let mut sweep = read.begin(list, activity, self.now);
        for _ in 0..PAGES {
            let begin = sweep.after.clone();
            let page = match self.page(name, list, &mut sweep).await {
                // What failed before fails still. What is new since then is before it.
                Err(error) if costs_the_record(&error) && resumed && read.has_news(activity) => {
                    info!(?list, error = error.full(), "a page fails still, beginning with what is new");
                    resumed = false;
                    read.begun = activity;
                    sweep = sweep.anew();
                    continue;
                }
                Err(error) if costs_the_record(&error) && is_divisible(&error) && sweep.turn(list) => {
                    info!(?list, error = error.full(), "a page cannot be passed, listing from the other end");
                    continue;
                }
                Err(error) if costs_the_record(&error) => {
                    sweep.after = begin;
                    if sweep.is_from_other_end() {
                        sweep.leave_other_end();
                    }
                    self.left_out(name, list, &error, read, sweep.is_read_from_both_ends());
                    read.sweep = Some(sweep).filter(|_| !read.refused);
                    return Ok(false);
                }
                page => page?,
            };
            (read.refused, resumed) = (false, false);
            let outlines: Vec<Outline> = page.iter().map(|node| Outline::of(node)).collect();
            if sweep.is_passing() {
                sweep.pass(begin, outlines.iter().filter_map(Outline::at), page.page_info.has_next_page);
                continue;
            }
            let covered = sweep.covers(outlines.iter().filter_map(Outline::at));
            if list == ActivityList::PullRequests {
                watch(&mut cursor.watched, &outlines);
            }
            for (node, _) in page.iter().zip(&outlines).filter(|(_, outline)| sweep.wants(outline.at())) {
                self.give(list, node).await?;
            }
            if covered || !page.page_info.has_next_page {
                read.settle(&sweep, activity, self.github.api.limit(self.now));
                return Ok(false);
            }
        }
        read.sweep = Some(sweep);
        Ok(true)
    }

    /// Notes that a list is left out in this run. A refusal is said once; it is likely to last.
    fn left_out(
        &mut self,
        name: &RepositoryName,
        list: ActivityList,
        error: &Error,
        read: &mut ListCursor,
        both_ends: bool,
    ) {
        let is_refusal = matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound);
        if !is_refusal && both_ends {
            let text = "are left out, GitHub can list neither them nor what is before or after them";
            self.warnings.push(format!("some {} of {name} {text}: {error}", list.name()));
        } else if !is_refusal {
            self.warnings.push(format!("{} of {name} are left out, GitHub cannot serve them: {error}", list.name()));
        } else if !read.refused {
            self.warnings.push(format!("{} of {name} are left out, the token may not see them: {error}", list.name()));
        }
        read.refused = is_refusal;
    }

    /// Gives a node with all rows of its lists.
    async fn give(&mut self, list: ActivityList, node: &RawValue) -> Result<()> {
        match complete(&self.github.api, list, node, self.now).await? {
            Ok(record) => self.records.push(record),
            Err(unreadable) => self.unreadable.push(unreadable),
        }
        Ok(())
    }

    /// A page of a list, as large as GitHub answers. A row that cannot be listed is stepped over.
    async fn page(
        &mut self,
        name: &RepositoryName,
        list: ActivityList,
        sweep: &mut ListSweep,
    ) -> Result<Rows<Box<RawValue>>> {
        let api = &self.github.api;
        let (size, usual) = match list {
            ActivityList::PullRequests => (&mut self.cursor.sizes.pulls, Sizes::default().pulls),
            ActivityList::Commits | ActivityList::Deployments => (&mut self.cursor.sizes.sweep, Sizes::default().sweep),
        };
        let is_passing = sweep.is_passing();
        let (mut rows, mut attempt) =
            if is_passing { (MOST_ROWS, Attempt::of_ids()) } else { (*size, Attempt::default()) };
        loop {
            let (after, direction) = (sweep.after.as_deref(), sweep.direction());
            let answer: Result<Answer<Work>> = match list {
                ActivityList::PullRequests => api.pull_requests(name, (after, direction), rows, attempt.detail).await,
                ActivityList::Commits => api.commits(name, sweep.until, after, rows, attempt.detail).await,
                ActivityList::Deployments => api.deployments(name, (after, direction), rows, attempt.detail).await,
            };
            match answer.and_then(|answer| whole_rows(answer, list)) {
                Err(error) if is_divisible(&error) && rows > 1 => {
                    api.note_failure(&error);
                    rows = rows.div_ceil(2);
                    info!(?list, rows, error = error.full(), "asking for fewer at once");
                }
                Err(error) if is_divisible(&error) => {
                    api.answers_still(&error).await?;
                    attempt = attempt.next(error)?;
                }
                Err(error) => return Err(error),
                Ok(mut page) => {
                    page.page_info.step(&mut sweep.after, &name.to_string())?;
                    if is_passing {
                        return Ok(page);
                    }
                    let is_whole = attempt.detail == Detail::Whole;
                    // A row that cannot be listed explains why the pages before it had to be small.
                    *size = if is_whole { rows } else { usual };
                    if !is_whole {
                        self.step_over(name, list, &mut page, attempt.reason());
                    }
                    return Ok(page);
                }
            }
        }
    }

    /// Notes a row that could be asked for by its id at most, and takes it off the page.
    fn step_over(&mut self, name: &RepositoryName, list: ActivityList, page: &mut Rows<Box<RawValue>>, reason: &str) {
        let outlines = page.nodes.drain(..).flatten().map(|node| Outline::of(&node));
        match outlines.filter_map(|outline| outline.id.or(outline.oid)).next() {
            Some(id) => self.unreadable.push(unreadable(&id, reason)),
            None => {
                let text = format!("one of the {} of {name} cannot be listed, not even its id: {reason}", list.name());
                self.warnings.push(text);
            }
        }
    }

    /// Reads pull requests again whose checks were not done.
    async fn read_watched(&mut self, cursor: &mut RepositoryCursor) -> Result<()> {
        let watched = std::mem::take(&mut cursor.watched);
        for (id, outcome) in self.github.api.nodes(Kind::PullRequests, &watched, &mut self.cursor.sizes).await? {
            match outcome {
                FetchOutcome::Whole(node) => {
                    if Outline::of(&node).is_unsettled() {
                        cursor.watched.push(id);
                    }
                    self.give(ActivityList::PullRequests, &node).await?;
                }
                FetchOutcome::Torn(reason) => self.unreadable.push(unreadable(&id, &reason)),
                FetchOutcome::Gone | FetchOutcome::Hidden(_) => warn!(%id, "a pull request cannot be read any more"),
            }
        }
        Ok(())
    }
}

/// The rows of a page, unless one is null for another reason than permission.
fn whole_rows(Answer { data, errors }: Answer<Work>, list: ActivityList) -> Result<Rows<Box<RawValue>>> {
    let rows = data.rows(list == ActivityList::Commits);
    // Without an error to explain it, a list that did not come is not an empty one.
    if errors.is_empty() && rows.as_ref().is_none_or(Rows::is_null) {
        return Err(Error::new(ErrorKind::Protocol, format!("the list of {} did not come", list.name())));
    }
    let rows = rows.unwrap_or_default();
    let refused =
        |index: usize| errors.iter().any(|error| error.is_refusal() && error.row().is_none_or(|row| row == index));
    let is_torn = |(index, row): (usize, &Option<Box<RawValue>>)| row.is_none() && !refused(index);
    let failed = |error: &&GraphError| !error.is_refusal() && error.row().is_some();
    if rows.nodes.iter().enumerate().any(is_torn) || errors.iter().any(|error| failed(&error)) {
        let text = errors.iter().find(failed).map_or_else(|| "an empty row".to_owned(), GraphError::text);
        return Err(Error::new(ErrorKind::Protocol, format!("a row of the page failed: {text}")));
    }
    Ok(rows)
}

/// Notes which pull requests are to be read again by themselves.
fn watch(watched: &mut Vec<Box<str>>, listed: &[Outline]) {
    watched.retain(|id| !listed.iter().any(|outline| outline.id.as_ref() == Some(id)));
    watched.extend(listed.iter().filter(|outline| outline.is_unsettled()).filter_map(|outline| outline.id.clone()));
    watched.truncate(WATCHED);
}

#[cfg(test)]
mod tests;
