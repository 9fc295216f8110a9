//! The issues of a page on their way into records: each once, with as much of its history as came so far.
//!
//! Histories are cut down to what is read while they come. They stay as they were parsed, so that nothing is parsed again to be
//! normalised.

use std::collections::{BTreeMap, HashMap};

use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Millis, Result};
use tracing::warn;

use super::api::Outline;
use super::comments::Comments;
use super::field_names::NamesInHistory;
use super::history::History;
use super::lenient::Entries;
use super::reference::Reference;
use super::session::Mentions;
use super::wire::{Issue, Record};
use crate::left_out::LeftOut;
use crate::rewind::unwritable;

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
    histories: Vec<History>,
    /// The changes of sprints among them, as they are inherited.
    sprints: Vec<History>,
    /// When the sprints last changed.
    moved: Option<Millis>,
    /// What its own changes call the fields.
    names: NamesInHistory,
    /// Some of its changes have names that only the whole history may explain.
    has_unknown: bool,
    /// Those changes of the parent, where they are this issue's as well.
    inherited: Vec<History>,
    /// It vanished while we asked, or cannot be served.
    gone: bool,
    /// Entries of its history that cannot be read.
    left_out: usize,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Completed {
    pub(super) records: Vec<RawRecord>,
    /// What could not be served.
    pub(super) unreadable: Vec<Unreadable>,
    /// What the histories name.
    pub(super) mentions: Mentions,
    /// What is to be said of entries that cannot be read.
    pub(super) warning: Option<String>,
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
            names: NamesInHistory::default(),
            has_unknown: false,
            inherited: Vec::new(),
            gone: false,
            left_out: 0,
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
    pub(super) fn ids(&self) -> Vec<&str> {
        self.rows.iter().filter_map(|row| row.found.id()).collect()
    }

    fn row(&mut self, id: &str) -> Option<&mut Row> {
        self.places.get(id).and_then(|place| self.rows.get_mut(*place))
    }

    /// Adds histories of an issue to those it has.
    pub(super) fn append(&mut self, reference: &Reference, id: &str, histories: Entries<History>) {
        let Some(row) = self.places.get(id).and_then(|place| self.rows.get_mut(*place)) else { return };
        row.left_out += histories.odd;
        for mut history in histories.kept {
            history.items.iter().for_each(|item| row.names.note(item));
            history.items.retain(|item| reference.may_read(item));
            row.left_out += history.items.odd as usize;
            if history.items.is_empty() {
                continue;
            }
            history.items.iter().for_each(|item| self.mentions.note(item));
            row.has_unknown |= history.items.iter().any(|item| item.is_custom_without_id() && !reference.reads(item));
            row.note_sprints(reference, &history);
            row.histories.push(history);
        }
    }

    /// Finds out by the whole history of each issue what fields its changes without ids are of.
    pub(super) fn name_fields(&mut self, reference: &Reference) {
        self.rows.iter_mut().filter(|row| row.has_unknown).for_each(|row| row.name_fields(reference));
    }

    /// Forgets the histories of these issues, which are asked for again.
    pub(super) fn clear_histories(&mut self, ids: &[&str]) {
        for id in ids {
            if let Some(row) = self.row(id) {
                (row.histories, row.sprints, row.moved, row.left_out) = (Vec::new(), Vec::new(), None, 0);
                (row.names, row.has_unknown) = (NamesInHistory::default(), false);
            }
        }
    }

    /// The issue does not exist any more.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(row) = self.row(id) {
            row.gone = true;
        }
    }

    /// The issue cannot be served whole.
    pub(super) fn give_up(&mut self, id: &str, reason: String) {
        if self.row(id).is_some_and(|row| std::mem::replace(&mut row.gone, true)) {
            return;
        }
        warn!(issue = id, reason, "an issue is unreadable");
        self.unreadable.push(Unreadable { native_id: id.to_owned(), reason });
    }

    /// Something that belongs to the issue could not be had. What there is of it is kept, and it is read again.
    pub(super) fn read_again(&mut self, id: &str, reason: String) {
        if self.row(id).is_some_and(|row| !row.gone) {
            warn!(issue = id, reason, "not all of an issue could be read");
            self.unreadable.push(Unreadable { native_id: id.to_owned(), reason });
        }
    }

    /// Why an issue cannot be served, if it was given up.
    pub(super) fn refusal(&self, id: &str) -> Option<&str> {
        self.places.get(id).filter(|place| self.rows[**place].gone)?;
        self.unreadable.iter().find(|one| one.native_id == id).map(|one| one.reason.as_str())
    }

    /// Whether an issue has changes of sprints of its own.
    pub(super) fn has_sprint_history(&self, id: &str) -> bool {
        self.places.get(id).is_some_and(|place| !self.rows[*place].sprints.is_empty())
    }

    /// Issues whose sprints changed after this moment, by key, with their ids.
    pub(super) fn moved_after(&self, moment: Millis) -> BTreeMap<String, Box<str>> {
        let moved = self.rows.iter().filter(|row| row.moved.is_some_and(|at| at > moment));
        let named = moved.filter_map(|row| match &row.found {
            FoundIssue::Issue(issue) if !issue.is_subtask() => {
                Some((issue.key.as_deref()?.to_owned(), issue.id.clone()?))
            }
            _ => None,
        });
        named.collect()
    }

    /// The changes of sprints of an issue, as they are inherited.
    pub(super) fn sprints_of(&self, id: &str) -> Option<&[History]> {
        self.places.get(id).map(|place| &*self.rows[*place].sprints)
    }

    /// Gives an issue the changes of its parent's sprints.
    pub(super) fn inherit(&mut self, id: &str, sprints: Vec<History>) {
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

    /// How many issues cannot be served.
    pub(super) fn given_up(&self) -> usize {
        self.unreadable.len()
    }

    /// The records, and what was learned on the way.
    pub(super) fn complete(mut self, stream: &'static str) -> Result<Completed> {
        let (mentions, unreadable) = (std::mem::take(&mut self.mentions), std::mem::take(&mut self.unreadable));
        let left_out = LeftOut::default();
        for row in self.rows.iter().filter(|row| !row.gone) {
            left_out.note(row.name(), row.left_out + row.odd_comments());
        }
        Ok(Completed { records: self.into_records(stream)?, unreadable, mentions, warning: left_out.take() })
    }

    fn into_records(self, stream: &'static str) -> Result<Vec<RawRecord>> {
        self.rows.into_iter().filter(|row| !row.gone).map(|row| row.into_record(stream)).collect()
    }
}

impl Row {
    /// Takes in the changes of sprints of an act.
    fn note_sprints(&mut self, reference: &Reference, history: &History) {
        if let Some(inherited) = history.inherited(|item| reference.is_sprint(item)) {
            self.moved = self.moved.max(history.created);
            self.sprints.push(inherited);
        }
    }

    /// Gives changes without the id of their field the one that other changes name so. What is not read then is dropped.
    fn name_fields(&mut self, reference: &Reference) {
        let mut histories = std::mem::take(&mut self.histories);
        for history in &mut histories {
            for item in history.items.iter_mut().filter(|item| !reference.reads(item)) {
                item.field_id = self.names.id_of(item);
            }
            history.items.retain(|item| reference.reads(item));
        }
        histories.retain(|history| !history.items.is_empty());
        (self.sprints, self.moved, self.has_unknown) = (Vec::new(), None, false);
        histories.iter().for_each(|history| self.note_sprints(reference, history));
        self.histories = histories;
    }

    /// What people call it.
    fn name(&self) -> &str {
        let key = match &self.found {
            FoundIssue::Issue(issue) => issue.key.as_deref(),
            FoundIssue::Odd { .. } => None,
        };
        key.or_else(|| self.found.id()).unwrap_or_default()
    }

    fn odd_comments(&self) -> usize {
        let FoundIssue::Issue(issue) = &self.found else { return 0 };
        let Some(Comments { comments, .. }) = &issue.fields.comment else { return 0 };
        comments.odd + comments.kept.iter().filter(|comment| !comment.is_dated()).count()
    }

    fn into_record(self, stream: &'static str) -> Result<RawRecord> {
        let native_id = self.found.id().unwrap_or_default().to_owned();
        let Self { histories, inherited, .. } = self;
        match self.found {
            FoundIssue::Issue(issue) => {
                Ok(RawRecord::parsed(stream, native_id, Record { issue: *issue, histories, inherited }))
            }
            FoundIssue::Odd { json, .. } => {
                let histories = serde_json::to_string(&histories).map_err(unwritable)?;
                Ok(RawRecord::new(stream, native_id, format!("{{\"issue\":{json},\"histories\":{histories}}}")))
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn history(json: &str) -> Entries<History> {
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
        batch.append(&reference, "1", history(page));
        batch.append(&reference, "1", history(&page.replace("\"7\"", "\"9\"")));
        batch.append(&reference, "99", history(page));
        let records = batch.into_records("issues").unwrap();
        let ids: Vec<&str> = records.iter().map(|record| record.native_id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        let first: &Record = records[0].as_parsed().unwrap();
        assert_eq!(first.issue.fields.summary.as_deref(), Some("new"));
        let kept: Vec<_> = first.histories.iter().map(|history| (history.id.as_deref(), history.items.len())).collect();
        assert_eq!(kept, [(Some("7"), 1), (Some("9"), 1)]);
    }

    #[test]
    fn odd_changes_and_comments_are_counted_by_issue() {
        let mut batch = Batch::default();
        let comments =
            r#"{"total":3,"comments":[{"id":"8"},null,{"id":"9","created":"2026-01-06T10:00:00.000+0000"}]}"#;
        let issue = format!(r#"{{"id":"1","key":"A-1","fields":{{"comment":{comments}}}}}"#);
        batch.add(FoundIssue::of(&issue, false).0);
        let page = r#"[{"id":"7","created":1700000000000,"items":[null,7]},{"id":"8","created":1700000000000,"items":null},
            {"id":"9","author":["?"],"created":1700000000000,"items":[{"field":"summary","fieldId":"summary"}]},null]"#;
        batch.append(&Reference::default(), "1", history(page));
        let Completed { warning, records, .. } = batch.complete("issues").unwrap();
        assert!(warning.is_some_and(|text| text.starts_with("6 entries") && text.contains("A-1")));
        let record: &Record = records[0].as_parsed().unwrap();
        assert_eq!(record.histories.len(), 1);
    }

    #[test]
    fn an_odd_issue_is_kept_as_it_came_with_what_can_be_read_of_it() {
        let odd = r#"{"id":"5","fields":{"summary":["?"],"updated":"2026-01-05T10:00:00.000+0000"}}"#;
        let (found, updated) = FoundIssue::of(odd, false);
        assert_eq!((found.id(), updated), (Some("5"), Millis::parse("2026-01-05T10:00:00Z")));
        let mut batch = Batch::default();
        batch.add(found);
        let records = batch.into_records("issues").unwrap();
        assert_eq!(records[0].json().unwrap(), format!(r#"{{"issue":{odd},"histories":[]}}"#));
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
            let json = record.json().unwrap();
            assert_eq!(json.contains("secret words"), texts, "{summary}");
            assert!(json.contains(summary));
        }
    }
}
