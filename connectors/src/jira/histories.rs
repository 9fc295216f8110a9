//! From found issues to whole records: every issue gets its complete history, or is unreadable.
//!
//! Cloud gives the histories of a thousand issues in a few large pages. Each page is cut down to what is read and written into
//! the records at once, so that never more than one page is held; an issue's history may begin on one page and end on the
//! next. A call that fails is made in halves, down to one issue, which is then asked for by itself. Where that kind of call is
//! refused altogether, or fails for one issue after the other whose history comes alone, issues are asked one by one, some at a
//! time. Data Center writes the history into the issue.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use contextcore_core::http::Tries;
use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use futures::future::join_all;
use tracing::warn;

use super::api::{self, Api, Changelog, Inline, Outline, Site, is_about_the_object};
use super::reference::Reference;
use super::session::Mentions;
use super::settings::Settings;
use super::wire::{Comments, History, Issue};

/// Issues that may fail one after the other before it is the call that fails, and not they.
const FAILURES: usize = 3;
/// Tries of a call when it fails for issue after issue.
const PATIENT: Tries = Tries(5);

/// Histories that are asked for at once where each is asked for by itself.
const ALONE_AT_ONCE: usize = 8;
/// Issues in a row whose history comes alone and not by the call for many, after which that call is not made any more.
const ONLY_ALONE: usize = 3;

/// An issue that a search found.
#[derive(Debug)]
pub(super) enum FoundIssue {
    /// An issue we can read.
    Issue(Box<Issue>),
    /// One that has an odd shape: kept as it came, to be quarantined with the reason.
    Odd { id: Option<Box<str>>, json: Box<str> },
}

impl FoundIssue {
    /// Reads a row of a search, and when it was changed last. Texts of comments, which Jira sends in any case, go no further
    /// than here where they are not to be kept.
    pub(super) fn of(json: &str, texts: bool) -> (Self, Option<Millis>) {
        match Issue::from_answer(json) {
            Ok(mut issue) => {
                let updated = issue.fields.updated;
                issue.fields.comment.iter_mut().for_each(|comments| comments.trim(texts));
                (Self::Issue(Box::new(issue)), updated)
            }
            Err(_) => Self::odd(json, texts),
        }
    }

    /// Keeps a row as it came.
    pub(super) fn odd(json: &str, texts: bool) -> (Self, Option<Millis>) {
        let outline = Outline::of(json);
        let updated = outline.updated();
        let json = if texts { json.into() } else { without_comments(json) };
        (Self::Odd { id: outline.id, json }, updated)
    }

    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Issue(issue) => issue.id.as_deref(),
            Self::Odd { id, .. } => id.as_deref(),
        }
    }
}

/// The issues of a page, each once, and what of their histories is known.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Row>,
    places: HashMap<Box<str>, usize>,
    mentions: Mentions,
    unreadable: Vec<Unreadable>,
}

#[derive(Debug)]
struct Row {
    found: FoundIssue,
    /// Histories as JSON, separated by commas.
    histories: Vec<u8>,
    /// The changes of sprints among them, in the same form.
    sprints: Vec<u8>,
    /// When the sprints last changed.
    moved: Option<Millis>,
    /// Those changes of the parent, where they are this issue's as well.
    inherited: Vec<u8>,
    /// It vanished while we asked, or cannot be served.
    gone: bool,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) records: Vec<RawRecord>,
    /// What could not be served.
    pub(super) unreadable: Vec<Unreadable>,
    /// What the histories name.
    pub(super) mentions: Mentions,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether an issue of this id is here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    /// Issues that can be read, to be completed.
    pub(super) fn issues_mut(&mut self) -> impl Iterator<Item = &mut Issue> {
        self.rows.iter_mut().filter_map(|row| match &mut row.found {
            FoundIssue::Issue(issue) => Some(&mut **issue),
            FoundIssue::Odd { .. } => None,
        })
    }

    /// Issues that can be read.
    pub(super) fn issues(&self) -> impl Iterator<Item = &Issue> {
        self.rows.iter().filter_map(|row| match &row.found {
            FoundIssue::Issue(issue) => Some(&**issue),
            FoundIssue::Odd { .. } => None,
        })
    }

    /// Takes an issue; a newer version of one replaces the older.
    pub(super) fn add(&mut self, found: FoundIssue) {
        let row = |found| Row {
            found,
            histories: Vec::new(),
            sprints: Vec::new(),
            moved: None,
            inherited: Vec::new(),
            gone: false,
        };
        match found.id() {
            Some(id) if self.places.contains_key(id) => {
                let place = self.places[id];
                self.rows[place] = row(found);
            }
            Some(id) => {
                self.places.insert(id.into(), self.rows.len());
                self.rows.push(row(found));
            }
            None => self.rows.push(row(found)),
        }
    }

    /// Takes an issue of a wanted project.
    pub(super) fn add_if(&mut self, found: FoundIssue, wants: impl Fn(&str) -> bool) {
        let key = match &found {
            FoundIssue::Issue(issue) => issue.fields.project.as_ref().and_then(|project| project.key.as_deref()),
            FoundIssue::Odd { .. } => None,
        };
        if key.is_none_or(wants) {
            self.add(found);
        }
    }

    /// Ids of issues whose history is to be asked for.
    fn ids(&self) -> Vec<&str> {
        self.rows.iter().filter_map(|row| row.found.id()).collect()
    }

    fn row(&mut self, id: &str) -> Option<&mut Row> {
        self.places.get(id).and_then(|place| self.rows.get_mut(*place))
    }

    /// Adds histories of an issue to those it has.
    pub(super) fn append(&mut self, reference: &Reference, id: &str, histories: Vec<History>) -> Result<()> {
        let Some(row) = self.places.get(id).and_then(|place| self.rows.get_mut(*place)) else { return Ok(()) };
        for mut history in histories {
            history.items.retain(|item| reference.reads(item));
            if history.items.is_empty() {
                continue;
            }
            history.items.iter().for_each(|item| self.mentions.note(item));
            write_into(&mut row.histories, &history)?;
            history.items.retain(|item| reference.is_sprint(item));
            if !history.items.is_empty() {
                row.moved = row.moved.max(history.created);
                history.id = history.id.map(|id| format!("parent:{id}").into());
                write_into(&mut row.sprints, &history)?;
            }
        }
        Ok(())
    }

    /// Forgets the histories of these issues, which are asked for again.
    fn clear_histories(&mut self, ids: &[&str]) {
        for id in ids {
            if let Some(row) = self.row(id) {
                (row.histories, row.sprints, row.moved) = (Vec::new(), Vec::new(), None);
            }
        }
    }

    /// The issue does not exist any more.
    fn forget(&mut self, id: &str) {
        if let Some(row) = self.row(id) {
            row.gone = true;
        }
    }

    /// The issue cannot be served whole.
    pub(super) fn give_up(&mut self, id: &str, reason: String) {
        self.forget(id);
        warn!(issue = id, reason, "an issue is unreadable");
        self.unreadable.push(Unreadable { native_id: id.to_owned(), reason });
    }

    /// Whether an issue has changes of sprints of its own.
    pub(super) fn has_sprint_history(&self, id: &str) -> bool {
        self.places.get(id).is_some_and(|place| !self.rows[*place].sprints.is_empty())
    }

    /// Keys of the issues whose sprints changed after this moment.
    pub(super) fn moved_after(&self, moment: Millis) -> Vec<&str> {
        let moved = self.rows.iter().filter(|row| row.moved.is_some_and(|at| at > moment));
        let keys = moved.filter_map(|row| match &row.found {
            FoundIssue::Issue(issue) if !issue.is_subtask() => issue.key.as_deref(),
            _ => None,
        });
        keys.collect()
    }

    /// The changes of sprints of an issue, as they are inherited.
    pub(super) fn sprints_of(&self, id: &str) -> Option<&[u8]> {
        self.places.get(id).map(|place| &*self.rows[*place].sprints)
    }

    /// Gives an issue the changes of its parent's sprints.
    pub(super) fn inherit(&mut self, id: &str, sprints: Vec<u8>) {
        if let Some(row) = self.row(id) {
            row.inherited = sprints;
        }
    }

    /// Takes in the issues of another batch that are not here.
    pub(super) fn absorb(&mut self, other: Self) {
        self.unreadable.extend(other.unreadable);
        self.mentions.absorb(other.mentions);
        for row in other.rows {
            let Some(id) = row.found.id().map(Box::from).filter(|id| !self.places.contains_key(id)) else { continue };
            self.places.insert(id, self.rows.len());
            self.rows.push(row);
        }
    }

    fn into_records(self, stream: &'static str) -> Result<Vec<RawRecord>> {
        self.rows.into_iter().filter(|row| !row.gone).map(|row| row.into_record(stream)).collect()
    }
}

impl Row {
    fn into_record(self, stream: &'static str) -> Result<RawRecord> {
        let native_id = self.found.id().unwrap_or_default().to_owned();
        let mut json = Vec::with_capacity(self.histories.len() + 1_024);
        json.extend_from_slice(b"{\"issue\":");
        match &self.found {
            FoundIssue::Issue(issue) => serde_json::to_writer(&mut json, issue).map_err(unwritable)?,
            FoundIssue::Odd { json: odd, .. } => json.extend_from_slice(odd.as_bytes()),
        }
        json.extend_from_slice(b",\"histories\":[");
        json.extend_from_slice(&self.histories);
        if !self.inherited.is_empty() {
            json.extend_from_slice(b"],\"inherited\":[");
            json.extend_from_slice(&self.inherited);
        }
        json.extend_from_slice(b"]}");
        json.shrink_to_fit();
        let json = String::from_utf8(json)
            .map_err(|error| Error::new(ErrorKind::Internal, "write a record").caused_by(error))?;
        Ok(RawRecord { stream, native_id, json })
    }
}

/// Adds a history to a list of them.
fn write_into(list: &mut Vec<u8>, history: &History) -> Result<()> {
    if !list.is_empty() {
        list.push(b',');
    }
    serde_json::to_writer(list, history).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "write a record").caused_by(error)
}

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
        let (mentions, unreadable) = (std::mem::take(&mut batch.mentions), std::mem::take(&mut batch.unreadable));
        Ok(Completed { records: batch.into_records(stream)?, unreadable, mentions })
    }

    /// Fetches the histories of a batch.
    pub(super) async fn histories(&self, batch: &mut Batch, inline: Vec<(Box<str>, Inline)>) -> Result<()> {
        match self.site {
            Site::Cloud => self.cloud_histories(batch).await,
            Site::DataCenter => self.server_histories(batch, inline).await,
        }
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
                    let given_up = batch.unreadable.len();
                    self.one_by_one(batch, ids, &mut failures).await?;
                    only_alone = if batch.unreadable.len() == given_up { only_alone + 1 } else { 0 };
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

    async fn bulk(&self, batch: &mut Batch, ids: &[&str], tries: Tries) -> Result<()> {
        batch.clear_histories(ids);
        let mut token: Option<Box<str>> = None;
        let mut used = BTreeSet::new();
        loop {
            let page = self.api.histories(ids, token.as_deref(), tries).await?;
            for part in page.issue_change_logs {
                let id = part.issue_id.unwrap_or_default();
                batch.append(self.reference, &id, part.change_histories)?;
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
                        batch.append(self.reference, id, histories)?;
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
                    batch.append(self.reference, &id, log.histories)?;
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

    /// Search gives only some comments of an issue; the others are asked for. Where that is refused, some must do.
    async fn comments(&self, batch: &mut Batch) -> Result<()> {
        for row in &mut batch.rows {
            let FoundIssue::Issue(issue) = &mut row.found else { continue };
            let (Some(id), Some(comments)) = (&issue.id, &mut issue.fields.comment) else { continue };
            match self.more_comments(id, comments).await {
                Err(error) if api::is_bearable(error.kind()) => {
                    warn!(issue = &**id, error = error.full(), "not all comments can be had");
                }
                result => result?,
            }
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
            let end = page.comments.is_empty();
            from += page.comments.len();
            known.merge(page);
            if end || from >= known.total {
                break;
            }
        }
        Ok(())
    }
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
    async fn patiently(&self, history: Result<Vec<History>>, api: &Api, id: &str) -> Result<Vec<History>> {
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

/// An issue of an odd shape without its comments, whose texts may not be stored.
fn without_comments(json: &str) -> Box<str> {
    let Ok(mut issue) = serde_json::from_str::<serde_json::Value>(json) else { return json.into() };
    let Some(fields) = issue.get_mut("fields").and_then(serde_json::Value::as_object_mut) else { return json.into() };
    match fields.remove("comment") {
        Some(_) => issue.to_string().into(),
        None => json.into(),
    }
}

/// Whether the call as such is refused, by a proxy or by an older site, and not for what it asks for.
fn is_call_refused(error: &Error) -> bool {
    error.kind() == ErrorKind::Gone || error.context("status").is_some_and(|status| status.starts_with("405"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(json: &str) -> Vec<History> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_issue_is_kept_once_and_its_history_grows_page_by_page() {
        let mut batch = Batch::default();
        batch.add(FoundIssue::of(r#"{"id":"1","key":"A-1","fields":{"summary":"old"}}"#, false).0);
        batch.add(FoundIssue::of(r#"{"id":"2","key":"A-2","fields":{}}"#, false).0);
        batch.add(FoundIssue::of(r#"{"id":"1","key":"A-1","fields":{"summary":"new"}}"#, false).0);
        let reference = Reference::default();
        let page = r#"[{"id":"7","created":1700000000000,"items":[{"field":"summary","fieldId":"summary"},
            {"field":"Size","fieldId":"customfield_1","fieldtype":"custom"}]},{"id":"8","items":[]}]"#;
        batch.append(&reference, "1", history(page)).unwrap();
        batch.append(&reference, "1", history(&page.replace("\"7\"", "\"9\""))).unwrap();
        batch.append(&reference, "99", history(page)).unwrap();
        let records = batch.into_records("issues").unwrap();
        let ids: Vec<&str> = records.iter().map(|record| record.native_id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        let first: crate::jira::wire::Record = serde_json::from_str(&records[0].json).unwrap();
        assert_eq!(first.issue.fields.summary.as_deref(), Some("new"));
        let kept: Vec<_> = first.histories.iter().map(|history| (history.id.as_deref(), history.items.len())).collect();
        assert_eq!(kept, [(Some("7"), 1), (Some("9"), 1)]);
    }

    #[test]
    fn an_odd_issue_is_kept_as_it_came_with_what_can_be_read_of_it() {
        let odd = r#"{"id":"5","fields":{"summary":["?"],"updated":"2026-01-05T10:00:00.000+0000"}}"#;
        let (found, updated) = FoundIssue::of(odd, false);
        assert_eq!((found.id(), updated), (Some("5"), Millis::parse("2026-01-05T10:00:00Z")));
        let mut batch = Batch::default();
        batch.add(found);
        let records = batch.into_records("issues").unwrap();
        assert_eq!(records[0].json, format!(r#"{{"issue":{odd},"histories":[]}}"#));
    }

    #[test]
    fn texts_of_comments_go_no_further_than_the_answer_unless_they_may() {
        let issue = |summary: &str| {
            format!(
                r#"{{"id":"5","key":"A-5","fields":{{"summary":{summary},"comment":{{"total":2,"comments":[
                {{"id":"8","created":"2026-01-06T10:00:00.000+0000","body":"secret words"}},
                {{"id":"9","body":{{"a form":["nobody knows"]}}}}]}}}}}}"#
            )
        };
        for (summary, texts) in [("\"fine\"", false), ("\"fine\"", true), ("[\"odd\"]", false), ("[\"odd\"]", true)] {
            let mut batch = Batch::default();
            batch.add(FoundIssue::of(&issue(summary), texts).0);
            let record = batch.into_records("issues").unwrap().remove(0);
            assert_eq!(record.json.contains("secret words"), texts, "{summary}");
            assert!(record.json.contains(summary));
        }
    }
}
