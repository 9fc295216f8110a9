//! What an issue has from other issues: the id of its parent, and a sub-task the sprints of its parent.
//!
//! Jira writes a sub-task's sprints nowhere but into the history of its parent, and moves a sub-task without a sign on the
//! sub-task itself. So a sub-task's record holds its parent's changes of sprints, and a parent that changed its sprint brings its
//! sub-tasks along.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde_json::value::RawValue;
use tracing::warn;

use super::api::{Inline, Outline, Site, is_about_the_object};
use super::batch::{Batch, FoundIssue};
use super::histories::{Completer, FAILURES};
use super::history::History;
use super::issues::requested_fields;
use super::search::{self, Answer, PageRequest, Search};
use super::wire::{Issue, IssueRef};

/// Keys that one search asks for.
const KEYS_PER_CALL: usize = 100;
/// Pages of one search for keys.
const PAGES: usize = 50;

/// What a search for keys gave.
type Ids = BTreeMap<String, Box<str>>;

/// What searches for keys found.
#[derive(Default)]
struct KeyRows {
    rows: Vec<Box<RawValue>>,
    /// Ids of rows that the server cannot serve, and why.
    refused: BTreeMap<Box<str>, String>,
    /// Keys that could not be asked for, and why.
    unknown: BTreeMap<String, String>,
}

impl Completer<'_> {
    /// Adds the sub-tasks of issues whose sprints changed after this moment. An issue whose sub-tasks could not be asked for is
    /// read again, and they with it.
    pub(super) async fn followers(&self, batch: &mut Batch, moment: Millis) -> Result<()> {
        let moved: BTreeMap<String, Box<str>> = batch.moved_after(moment);
        let keys: Vec<&str> = moved.keys().map(String::as_str).collect();
        let fields = requested_fields(self.settings, self.reference);
        for keys in keys.chunks(KEYS_PER_CALL) {
            let (mut more, mut inline) = (Batch::default(), Vec::new());
            let KeyRows { rows, refused, unknown } = self.by_keys(keys, Search::of_children, &fields).await?;
            for json in rows {
                let (found, _) = FoundIssue::of(json.get(), self.settings.comments.has_texts());
                let FoundIssue::Issue(issue) = &found else { continue };
                let Some(id) = issue.id.clone().filter(|id| issue.is_subtask() && !batch.has(id)) else { continue };
                inline.push((id, serde_json::from_str::<Inline>(json.get()).unwrap_or_default()));
                more.add(found);
            }
            self.histories(&mut more, inline).await?;
            for (id, reason) in refused.into_iter().filter(|(id, _)| !batch.has(id)) {
                more.give_up(&id, reason);
            }
            batch.absorb(more);
            for (key, reason) in unknown {
                let reason = format!("its sprint changed, and its sub-tasks could not be asked for: {reason}");
                batch.read_again(&moved[&key], reason);
            }
        }
        Ok(())
    }

    /// Gives sub-tasks without changes of sprints of their own those of their parents. One whose parent could not be read is
    /// unreadable: without them it would have another past.
    pub(super) async fn inherit(&self, batch: &mut Batch) -> Result<()> {
        if self.reference.fields.sprint.is_none() {
            return Ok(());
        }
        let heirs = heirs(batch);
        let missing: BTreeMap<Box<str>, Option<Box<str>>> = heirs
            .iter()
            .filter_map(|(_, parent)| Some((parent.id.clone()?, parent.key.clone())))
            .filter(|(id, _)| !batch.has(id))
            .collect();
        let others = self.parents_alone(missing).await?;
        for (id, parent) in heirs {
            let parent = parent.id.unwrap_or_default();
            if let Some(reason) = batch.refusal(&parent).or_else(|| others.refusal(&parent)) {
                let reason = format!("the history of its parent could not be read: {reason}");
                batch.give_up(&id, reason);
                continue;
            }
            let sprints = batch.sprints_of(&parent).or_else(|| others.sprints_of(&parent)).map(<[History]>::to_vec);
            batch.inherit(&id, sprints.unwrap_or_default());
        }
        Ok(())
    }

    /// Parents that are not at hand, with nothing but their histories. Those that could not be asked for are given up.
    async fn parents_alone(&self, wanted: BTreeMap<Box<str>, Option<Box<str>>>) -> Result<Batch> {
        let (mut parents, mut inline) = (Batch::default(), Vec::new());
        for id in wanted.keys() {
            parents.add(FoundIssue::Odd { id: Some(id.clone()), json: "{}".into() });
        }
        if self.site == Site::DataCenter {
            let ids: BTreeMap<&str, &str> =
                wanted.iter().filter_map(|(id, key)| Some((key.as_deref()?, &**id))).collect();
            let keys: Vec<&str> = ids.keys().copied().collect();
            let KeyRows { rows, refused, unknown } = self.by_keys(&keys, Search::of_keys, &["updated"].into()).await?;
            for json in rows {
                let (found, _) = FoundIssue::odd(json.get(), false);
                let id = found.id().map(Box::from).filter(|id| wanted.contains_key(id));
                inline.extend(id.map(|id| (id, serde_json::from_str::<Inline>(json.get()).unwrap_or_default())));
            }
            refused.into_iter().for_each(|(id, reason)| parents.give_up(&id, reason));
            unknown.into_iter().for_each(|(key, reason)| parents.give_up(ids[&*key], reason));
        }
        self.histories(&mut parents, inline).await?;
        Ok(parents)
    }

    /// What searches for keys find, with the histories that the product writes into the rows. One key that does not exist makes
    /// Jira refuse the others of its search, so a search that fails is made in halves. When key after key fails, what fails then is
    /// not made in halves.
    async fn by_keys(
        &self,
        keys: &[&str],
        search: impl Fn(&[&str]) -> Search,
        fields: &BTreeSet<&str>,
    ) -> Result<KeyRows> {
        let mut found = KeyRows::default();
        let mut calls: Vec<&[&str]> = keys.chunks(KEYS_PER_CALL).rev().collect();
        let mut failures = 0;
        while let Some(keys) = calls.pop() {
            match self.search(search(keys), fields, &mut found).await {
                Ok(()) => failures = 0,
                Err(error) if !is_about_the_object(error.kind()) => return Err(error),
                Err(error) if failures == FAILURES => found.unknown.extend(reasons(keys, &error)),
                Err(_) if keys.len() > 1 => {
                    let (first, second) = keys.split_at(keys.len() / 2);
                    calls.extend([second, first]);
                }
                Err(error) if does_not_exist(keys[0], &error) => {
                    warn!(key = keys[0], error = error.full(), "a parent does not exist or is hidden");
                }
                Err(error) => {
                    failures += 1;
                    found.unknown.extend(reasons(keys, &error));
                }
            }
        }
        Ok(found)
    }

    /// Adds all rows of a search to those that were found.
    async fn search(&self, mut search: Search, fields: &BTreeSet<&str>, found: &mut KeyRows) -> Result<()> {
        let mut request = PageRequest::new(fields.clone(), KEYS_PER_CALL as u64);
        request.histories = self.site == Site::DataCenter;
        let mut all = KeyRows::default();
        for _ in 0..PAGES {
            let Answer { found, refused } = search::page(self.api, self.site, &search, &mut request).await?;
            let last = match self.site {
                Site::Cloud => search.step(&found)?,
                Site::DataCenter => search.step_rows(&found, None, None)?,
            };
            match refused {
                None => all.rows.extend(found.issues),
                Some(error) => {
                    let ids = found.issues.iter().filter_map(|json| Outline::of(json.get()).id);
                    all.refused.extend(ids.map(|id| (id, error.full())));
                }
            }
            if last {
                break;
            }
        }
        found.rows.extend(all.rows);
        found.refused.extend(all.refused);
        Ok(())
    }

    /// Where the parent is only a key (the old epic link, Data Center's parent link), its id is looked for: among the issues
    /// at hand, else with one more search. An issue whose parent could not be asked for is unreadable: its parent would change
    /// with the next answer.
    pub(super) async fn parents(&self, batch: &mut Batch) -> Result<()> {
        let wanted: BTreeSet<String> = batch.issues().filter_map(|issue| self.parent_key(issue)).collect();
        let mut ids: Ids = batch
            .issues()
            .filter_map(|issue| Some((issue.key.as_deref()?.to_owned(), issue.id.clone()?)))
            .filter(|(key, _)| wanted.contains(key))
            .collect();
        let missing: Vec<&str> = wanted.iter().filter(|key| !ids.contains_key(*key)).map(String::as_str).collect();
        let unknown = self.ids_of(&missing, &mut ids).await?;
        let mut orphans = Vec::new();
        for issue in batch.issues_mut() {
            let Some(key) = self.parent_key(issue) else { continue };
            if let Some(id) = ids.get(&key) {
                let parent = IssueRef { id: Some(id.clone()), key: Some(key.into()), fields: Default::default() };
                issue.fields.parent = Some(parent);
            } else if let Some(reason) = unknown.get(&key) {
                orphans.extend(
                    issue.id.clone().map(|id| (id, format!("its parent {key} could not be asked for: {reason}"))),
                );
            }
        }
        orphans.into_iter().for_each(|(id, reason)| batch.give_up(&id, reason));
        Ok(())
    }

    /// The key of a parent of which only the key is known.
    fn parent_key(&self, issue: &Issue) -> Option<String> {
        let mut fields = self.reference.fields.parent_keys().filter(|_| issue.fields.parent.is_none());
        fields.find_map(|field| serde_json::from_str(issue.custom.get(&field.id)?.get()).ok())
    }

    /// Adds the ids of these keys, as far as we may see them. Returns those that could not be asked for, and why. One key that
    /// does not exist makes Jira refuse the others of the search, so they are asked for in halves.
    async fn ids_of(&self, keys: &[&str], ids: &mut Ids) -> Result<BTreeMap<String, String>> {
        let mut unknown = BTreeMap::new();
        let mut calls: Vec<&[&str]> = keys.chunks(KEYS_PER_CALL).rev().collect();
        while let Some(keys) = calls.pop() {
            match self.search_ids(keys).await {
                Ok(found) => ids.extend(found),
                Err(error) if !is_about_the_object(error.kind()) => return Err(error),
                Err(_) if keys.len() > 1 => {
                    let (first, second) = keys.split_at(keys.len() / 2);
                    calls.extend([second, first]);
                }
                Err(error) if does_not_exist(keys[0], &error) => {
                    warn!(key = keys[0], error = error.full(), "a parent does not exist or is hidden");
                }
                Err(error) => unknown.extend(reasons(keys, &error)),
            }
        }
        Ok(unknown)
    }

    async fn search_ids(&self, keys: &[&str]) -> Result<Ids> {
        let search = Search::of_keys(keys);
        let found = search::whole(self.api, self.site, &search, ["id"].into(), KEYS_PER_CALL as u64).await?;
        let issues = found.issues.iter().filter_map(|json| Issue::from_answer(json.get()).ok());
        Ok(issues.filter_map(|issue| Some((issue.key?.to_string(), issue.id?))).collect())
    }
}

/// Sub-tasks that have their sprints from their parent.
fn heirs(batch: &Batch) -> Vec<(Box<str>, IssueRef)> {
    let subtasks = batch.issues().filter(|issue| issue.is_subtask());
    let heirs = subtasks.filter_map(|issue| {
        let id = issue.id.clone().filter(|id| !batch.has_sprint_history(id))?;
        Some((id, issue.fields.parent.clone().filter(|parent| parent.id.is_some())?))
    });
    heirs.collect()
}

/// Whether a refusal of one key says that nobody has it, or not for us: then it names the key, in whatever language. Any other is
/// about the search.
fn does_not_exist(key: &str, error: &Error) -> bool {
    error.kind() == ErrorKind::Rejected && error.full().contains(key)
}

/// The same reason for each of these keys.
fn reasons(keys: &[&str], error: &Error) -> impl Iterator<Item = (String, String)> {
    keys.iter().map(|key| ((*key).to_owned(), error.full()))
}
