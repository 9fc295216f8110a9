//! From found issues to whole records: every issue gets its complete history, or is unreadable.
//!
//! Cloud gives the histories of a thousand issues in a few large pages. Each page is cut down to what is read and written into
//! the records at once ([`super::batch`]); an issue's history may begin on one page and end on the next. A call that fails is made in halves, down to one issue, which is then asked for by itself. Where that kind of call is
//! refused altogether, or fails for one issue after the other whose history comes alone, issues are asked one by one, some at a
//! time. Data Center writes the history into the issue.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use contextcore_core::http::Tries;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use futures::future::join_all;
use tracing::warn;

use super::api::{self, Api, Changelog, Inline, IssueHistories, Site, is_about_the_object};
use super::batch::{Batch, Completed};
use super::comments::Comments;
use super::history::History;
use super::lenient::Entries;
use super::reference::Reference;
use super::settings::Settings;

/// Issues that may fail one after the other before it is the call that fails, and not they.
pub(super) const FAILURES: usize = 3;
/// Tries of a call when it fails for issue after issue.
const PATIENT: Tries = Tries(5);

/// Histories that are asked for at once where each is asked for by itself.
const ALONE_AT_ONCE: usize = 8;
/// Issues in a row whose history comes alone and not by the call for many, after which that call is not made any more.
const ONLY_ALONE: usize = 3;

/// Fetches what belongs to issues beside themselves.
pub(super) struct Completer<'a> {
    pub(super) api: &'a Api,
    pub(super) settings: &'a Settings,
    pub(super) site: Site,
    pub(super) reference: &'a Reference,
    /// The bulk call was refused once; it will not be asked again.
    pub(super) no_bulk: &'a AtomicBool,
}

impl Completer<'_> {
    /// Completes the issues of a batch.
    ///
    /// # Errors
    /// When it is not single issues that fail, but the call for them.
    pub(super) async fn complete(
        &self,
        mut batch: Batch,
        inline: Vec<(Box<str>, Inline)>,
        stream: &'static str,
        moved_after: Option<Millis>,
    ) -> Result<Completed> {
        self.histories(&mut batch, inline).await?;
        if let Some(moment) = moved_after {
            self.followers(&mut batch, moment).await?;
        }
        self.inherit(&mut batch).await?;
        if self.settings.comments.is_read() {
            self.comments(&mut batch).await?;
        }
        self.parents(&mut batch).await?;
        batch.complete(stream)
    }

    /// Fetches the histories of a batch.
    pub(super) async fn histories(&self, batch: &mut Batch, inline: Vec<(Box<str>, Inline)>) -> Result<()> {
        match self.site {
            Site::Cloud => self.cloud_histories(batch).await?,
            Site::DataCenter => self.server_histories(batch, inline).await?,
        }
        batch.name_fields(self.reference);
        Ok(())
    }

    async fn cloud_histories(&self, batch: &mut Batch) -> Result<()> {
        let ids: Vec<Box<str>> = batch.ids().into_iter().map(Into::into).collect();
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        let mut calls: Vec<&[&str]> = ids.chunks(api::IDS_PER_CALL).rev().collect();
        let mut failures = Failures::default();
        // Issues in a row whose history came alone and not by the call for many.
        let mut only_alone = 0;
        while let Some(ids) = calls.pop() {
            if self.no_bulk.load(Ordering::Relaxed) {
                self.one_by_one(batch, ids, &mut failures).await?;
                continue;
            }
            match self.bulk(batch, ids, failures.tries(self.api)).await {
                Ok(()) => {
                    failures.succeeded();
                    only_alone = 0;
                }
                Err(error) if is_call_refused(&error) => {
                    self.go_without_bulk(&error);
                    calls.push(ids);
                }
                Err(error) if !is_about_the_object(error.kind()) => return Err(error),
                Err(_) if ids.len() > 1 => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    calls.extend([second, first]);
                }
                Err(error) => {
                    let given_up = batch.given_up();
                    self.one_by_one(batch, ids, &mut failures).await?;
                    only_alone = if batch.given_up() == given_up { only_alone + 1 } else { 0 };
                    if only_alone == ONLY_ALONE {
                        self.go_without_bulk(&error);
                    }
                }
            }
        }
        Ok(())
    }

    /// From now on each history is asked for by itself, until the site is learned anew.
    fn go_without_bulk(&self, error: &Error) {
        warn!(error = error.full(), "bulk histories are refused, will ask issue by issue");
        self.no_bulk.store(true, Ordering::Relaxed);
    }

    /// Adds the histories of many issues. An issue without any is not in the answer, so that one which holds a row that cannot be
    /// read, or is of an unknown issue, says nothing of those that are absent.
    async fn bulk(&self, batch: &mut Batch, ids: &[&str], tries: Tries) -> Result<()> {
        batch.clear_histories(ids);
        let wanted: BTreeSet<&str> = ids.iter().copied().collect();
        let mut token: Option<Box<str>> = None;
        let mut used = BTreeSet::new();
        loop {
            let page = self.api.histories(ids, token.as_deref(), tries).await?;
            for (id, histories) in parts(page.issue_change_logs, &wanted)? {
                batch.append(self.reference, &id, histories);
            }
            let Some(next) = page.next_page_token else { return Ok(()) };
            if !used.insert(next.clone()) {
                return Err(Error::new(ErrorKind::Protocol, "the histories gave the same page token again"));
            }
            token = Some(next);
        }
    }

    async fn one_by_one(&self, batch: &mut Batch, ids: &[&str], failures: &mut Failures) -> Result<()> {
        for ids in ids.chunks(ALONE_AT_ONCE) {
            batch.clear_histories(ids);
            let asked = ids.iter().map(|id| self.api.history(id, self.api.tries()));
            for (id, history) in ids.iter().zip(join_all(asked).await) {
                match failures.patiently(history, self.api, id).await {
                    Ok(histories) => {
                        failures.succeeded();
                        batch.append(self.reference, id, histories);
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => batch.forget(id),
                    Err(error) => {
                        let reason = error.full();
                        failures.add(error)?;
                        batch.give_up(id, reason);
                    }
                }
            }
        }
        Ok(())
    }

    /// Data Center writes whole histories; where one is absent or shorter than it says, it is asked for alone.
    async fn server_histories(&self, batch: &mut Batch, inline: Vec<(Box<str>, Inline)>) -> Result<()> {
        let mut failures = Failures::default();
        for (id, inline) in inline {
            let log = match inline.changelog.filter(Changelog::is_whole) {
                Some(log) => Ok(Some(log)),
                None => self.api.server_history(&id, failures.tries(self.api)).await,
            };
            match log.map(|log| log.filter(Changelog::is_whole)) {
                Ok(Some(log)) => {
                    failures.succeeded();
                    batch.append(self.reference, &id, log.histories.unwrap_or_default());
                }
                Ok(None) => batch.give_up(&id, "its history is absent or shorter than it says".to_owned()),
                Err(error) if error.kind() == ErrorKind::NotFound => batch.forget(&id),
                Err(error) => {
                    let reason = error.full();
                    failures.add(error)?;
                    batch.give_up(&id, reason);
                }
            }
        }
        Ok(())
    }

    /// Search gives only some comments of an issue; the others are asked for. An issue whose comments cannot be had is kept, and
    /// read again. Where they fail for issue after issue, no more are asked for.
    async fn comments(&self, batch: &mut Batch) -> Result<()> {
        let (mut failures, mut torn) = (0, Vec::new());
        for issue in batch.issues_mut() {
            let (Some(id), Some(comments)) = (&issue.id, &mut issue.fields.comment) else { continue };
            if comments.is_whole() {
                continue;
            }
            if failures == FAILURES {
                torn.push((id.clone(), "they failed for other issues".to_owned()));
                continue;
            }
            match self.more_comments(id, comments).await {
                Err(error) if api::is_bearable(error.kind()) => {
                    failures += usize::from(error.kind() == ErrorKind::Unavailable);
                    torn.push((id.clone(), error.full()));
                }
                result => {
                    result?;
                    failures = 0;
                }
            }
        }
        for (id, reason) in torn {
            batch.read_again(&id, format!("not all of its comments could be read, the others are kept: {reason}"));
        }
        Ok(())
    }

    /// Reads the list of an issue's comments, the oldest first, until none is missing. Search leaves out the oldest, so that is
    /// as many pages as are missing; were it to leave out others, it would be the whole list.
    async fn more_comments(&self, id: &str, known: &mut Comments) -> Result<()> {
        let mut from = 0;
        while !known.is_whole() {
            let mut page = self.api.comments(self.site, id, from).await?;
            page.trim(self.settings.comments.has_texts());
            if from == 0 {
                // The list has those that search gave as well.
                known.comments.odd = 0;
            }
            let rows = page.comments.count();
            let end = rows == 0;
            from += rows;
            known.merge(page);
            if end || from >= known.total {
                break;
            }
        }
        if known.is_whole() {
            return Ok(());
        }
        let missing = known.total - known.comments.count();
        Err(Error::new(ErrorKind::Protocol, "their list is shorter than it says").with("missing", missing))
    }
}

/// The histories of the answer, by the id of their issue.
///
/// # Errors
/// When it is not known of which issue some of them are, or when those of an issue did not come.
fn parts(
    answered: Option<Entries<IssueHistories>>,
    wanted: &BTreeSet<&str>,
) -> Result<Vec<(Box<str>, Entries<History>)>> {
    let odd = |text: &'static str| Error::new(ErrorKind::Protocol, text);
    let Entries { kept, odd: unread } = answered.ok_or_else(|| odd("the histories of issues did not come"))?;
    if unread > 0 {
        return Err(odd("the histories of an issue cannot be read"));
    }
    let part = |IssueHistories { issue_id, change_histories }: IssueHistories| {
        let id = issue_id.filter(|id| wanted.contains(&**id));
        let id = id.ok_or_else(|| odd("histories came without the id of an issue that was asked for"))?;
        match change_histories {
            Some(histories) => Ok((id, histories)),
            None => Err(odd("the history of an issue did not come").with("issue", id)),
        }
    };
    kept.into_iter().map(part).collect()
}

/// Issues that failed one after the other.
#[derive(Debug, Default)]
struct Failures(usize);

impl Failures {
    fn succeeded(&mut self) {
        self.0 = 0;
    }

    /// How often a call is tried: with patience when it looks as if all of them failed.
    fn tries(&self, api: &Api) -> Tries {
        if self.0 + 1 == FAILURES { PATIENT } else { api.tries() }
    }

    /// A history, asked for once more with patience when it looks as if all of them failed.
    async fn patiently(&self, history: Result<Entries<History>>, api: &Api, id: &str) -> Result<Entries<History>> {
        let is_last = self.0 + 1 == FAILURES;
        match history {
            Err(error) if is_last && error.kind() == ErrorKind::Unavailable => api.history(id, PATIENT).await,
            history => history,
        }
    }

    /// Counts the failure of an issue.
    ///
    /// # Errors
    /// The failure, when it is about us, or when too many issues have failed for it to be about them.
    fn add(&mut self, error: Error) -> Result<()> {
        self.0 += usize::from(error.kind() == ErrorKind::Unavailable);
        if self.0 >= FAILURES || !is_about_the_object(error.kind()) { Err(error) } else { Ok(()) }
    }
}

/// Whether the call as such is refused, by a proxy or by an older site, and not for what it asks for.
fn is_call_refused(error: &Error) -> bool {
    error.kind() == ErrorKind::Gone || error.context("status").is_some_and(|status| status.starts_with("405"))
}
