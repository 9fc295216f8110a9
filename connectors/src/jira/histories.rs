//! From found issues to whole records: every issue gets its complete history, or the page is an error.
//!
//! Cloud gives the histories of a thousand issues in a few large pages. Each page is cut down to what is read and written into
//! the records at once, so that never more than one page is held; an issue's history may begin on one page and end on the
//! next. Where that call is refused, issues are asked one by one. Data Center writes the history into the issue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use contextcore_core::ingest::connector::RawRecord;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use tracing::warn;

use super::api::{self, Api, Changelog, Inline, Outline, Site};
use super::reference::Reference;
use super::search::{self, PageRequest, Search};
use super::session::Mentions;
use super::settings::Settings;
use super::wire::{Comments, History, Issue, IssueRef};

/// Keys that one search asks for.
const KEYS_PER_CALL: usize = 100;

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
}

#[derive(Debug)]
struct Row {
    found: FoundIssue,
    /// Histories as JSON, separated by commas.
    histories: Vec<u8>,
    /// It vanished while we asked.
    gone: bool,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
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
        let row = |found| Row { found, histories: Vec::new(), gone: false };
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

    /// Ids of issues whose history is to be asked for.
    fn ids(&self) -> Vec<&str> {
        self.rows.iter().filter_map(|row| row.found.id()).collect()
    }

    /// Adds histories of an issue to those it has.
    fn append(&mut self, reference: &Reference, id: &str, histories: Vec<History>) -> Result<()> {
        let Some(row) = self.places.get(id).and_then(|place| self.rows.get_mut(*place)) else { return Ok(()) };
        for mut history in histories {
            history.items.retain(|item| reference.reads(item));
            if history.items.is_empty() {
                continue;
            }
            history.items.iter().for_each(|item| self.mentions.note(item));
            if !row.histories.is_empty() {
                row.histories.push(b',');
            }
            serde_json::to_writer(&mut row.histories, &history).map_err(unwritable)?;
        }
        Ok(())
    }

    fn forget(&mut self, id: &str) {
        if let Some(row) = self.places.get(id).and_then(|place| self.rows.get_mut(*place)) {
            row.gone = true;
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
        json.extend_from_slice(b"]}");
        json.shrink_to_fit();
        let json = String::from_utf8(json)
            .map_err(|error| Error::new(ErrorKind::Internal, "write a record").caused_by(error))?;
        Ok(RawRecord { stream, native_id, json })
    }
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
    /// Whole records, and what their histories name.
    ///
    /// # Errors
    /// When a history cannot be had: half a record is none.
    pub(super) async fn complete(
        &self,
        mut batch: Batch,
        inline: Vec<(Box<str>, Inline)>,
        stream: &'static str,
    ) -> Result<(Vec<RawRecord>, Mentions)> {
        match self.site {
            Site::Cloud => self.cloud_histories(&mut batch).await?,
            Site::DataCenter => self.server_histories(&mut batch, inline).await?,
        }
        if self.settings.comments.is_read() {
            self.comments(&mut batch).await?;
        }
        self.parents(&mut batch).await?;
        let mentions = std::mem::take(&mut batch.mentions);
        Ok((batch.into_records(stream)?, mentions))
    }

    async fn cloud_histories(&self, batch: &mut Batch) -> Result<()> {
        let ids: Vec<Box<str>> = batch.ids().into_iter().map(Into::into).collect();
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        let mut calls: Vec<&[&str]> = ids.chunks(api::IDS_PER_CALL).rev().collect();
        while let Some(ids) = calls.pop() {
            if !self.no_bulk.load(Ordering::Relaxed) {
                match self.bulk(batch, ids).await {
                    Err(error) if is_too_large(&error) && ids.len() > 1 => {
                        let (first, second) = ids.split_at(ids.len() / 2);
                        calls.extend([second, first]);
                        continue;
                    }
                    Err(error) if is_bulk_refused(&error) => {
                        warn!(error = error.full(), "bulk histories are refused, will ask issue by issue");
                        self.no_bulk.store(true, Ordering::Relaxed);
                    }
                    result => {
                        result?;
                        continue;
                    }
                }
            }
            self.one_by_one(batch, ids).await?;
        }
        Ok(())
    }

    async fn bulk(&self, batch: &mut Batch, ids: &[&str]) -> Result<()> {
        let mut token: Option<Box<str>> = None;
        let mut used = BTreeSet::new();
        loop {
            let page = self.api.histories(ids, token.as_deref()).await?;
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

    async fn one_by_one(&self, batch: &mut Batch, ids: &[&str]) -> Result<()> {
        for id in ids {
            match self.api.history(id).await {
                Ok(histories) => batch.append(self.reference, id, histories)?,
                Err(error) if error.kind() == ErrorKind::NotFound => batch.forget(id),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Data Center writes whole histories; where one is absent or shorter than it says, it is asked for alone.
    async fn server_histories(&self, batch: &mut Batch, inline: Vec<(Box<str>, Inline)>) -> Result<()> {
        for (id, inline) in inline {
            let log = match inline.changelog.filter(Changelog::is_whole) {
                Some(log) => Some(log),
                None => match self.api.server_history(&id).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        batch.forget(&id);
                        continue;
                    }
                    log => log?.filter(Changelog::is_whole),
                },
            };
            let Some(log) = log else {
                let text = "the history of an issue is absent or shorter than it says";
                return Err(Error::new(ErrorKind::Protocol, text).with("issue", id));
            };
            batch.append(self.reference, &id, log.histories)?;
        }
        Ok(())
    }

    /// Search gives only some comments of an issue; the others are asked for. Where that is refused, some must do.
    async fn comments(&self, batch: &mut Batch) -> Result<()> {
        for row in &mut batch.rows {
            let FoundIssue::Issue(issue) = &mut row.found else { continue };
            let (Some(id), Some(comments)) = (&issue.id, &mut issue.fields.comment) else { continue };
            match self.more_comments(id, comments).await {
                Err(error) if api::is_refusal(error.kind()) || error.kind() == ErrorKind::Protocol => {
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

    /// Where the parent is only a key (the old epic link, Data Center's parent link), its id is looked for: among the issues
    /// at hand, else with one more search.
    async fn parents(&self, batch: &mut Batch) -> Result<()> {
        let wanted: BTreeSet<String> = batch.issues().filter_map(|issue| self.parent_key(issue)).collect();
        let mut ids: BTreeMap<String, Box<str>> = batch
            .issues()
            .filter_map(|issue| Some((issue.key.as_deref()?.to_owned(), issue.id.clone()?)))
            .filter(|(key, _)| wanted.contains(key))
            .collect();
        let missing: Vec<&str> = wanted.iter().filter(|key| !ids.contains_key(*key)).map(String::as_str).collect();
        for keys in missing.chunks(KEYS_PER_CALL) {
            ids.extend(self.ids_of(keys).await?);
        }
        for row in &mut batch.rows {
            let FoundIssue::Issue(issue) = &mut row.found else { continue };
            let Some(key) = self.parent_key(issue) else { continue };
            if let Some(id) = ids.get(&key) {
                let parent = IssueRef { id: Some(id.clone()), key: Some(key.into()), fields: Default::default() };
                issue.fields.parent = Some(parent);
            }
        }
        Ok(())
    }

    /// The key of a parent of which only the key is known.
    fn parent_key(&self, issue: &Issue) -> Option<String> {
        let mut fields = self.reference.fields.parent_keys().filter(|_| issue.fields.parent.is_none());
        fields.find_map(|field| serde_json::from_str(issue.custom.get(&field.id)?.get()).ok())
    }

    /// The ids of these keys, as far as we may see them.
    async fn ids_of(&self, keys: &[&str]) -> Result<BTreeMap<String, Box<str>>> {
        let search = Search::of_keys(keys);
        let mut request = PageRequest::new(["id"].into(), KEYS_PER_CALL as u64);
        let found = match search::page(self.api, self.site, &search, &mut request).await {
            Err(error) if api::is_refusal(error.kind()) => {
                warn!(error = error.full(), "the ids of parents cannot be had");
                return Ok(BTreeMap::new());
            }
            found => found?,
        };
        let issues = found.issues.iter().filter_map(|json| Issue::from_answer(json.get()).ok());
        Ok(issues.filter_map(|issue| Some((issue.key?.to_string(), issue.id?))).collect())
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

/// Whether the call as such is refused: by a proxy, by an older site, or for want of a scope.
fn is_bulk_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound | ErrorKind::Gone)
        || error.context("status").is_some_and(|status| status.starts_with("405"))
}

/// Whether something on the way takes only smaller requests.
fn is_too_large(error: &Error) -> bool {
    error.context("status").is_some_and(|status| status.starts_with("413"))
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
