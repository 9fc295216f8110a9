//! The `items` stream: the items of our projects that changed, with their whole histories.
//!
//! GitHub cannot list changed items, so each run lists all of them with few fields (a point for a hundred) and compares them
//! with what is remembered of each ([`super::fingerprints`]). [`ItemCursor`] is the cursor. A fingerprint moves only with the page that
//! holds the record, so a crash in the middle of a sweep loses nothing. An item that GitHub cannot serve is named with the page.
//!
//! - An issue that is in several projects belongs to the first of them, in the order of the configuration.
//! - An item that is archived while open is gone, as on GitHub's own boards, unless another project or a configured repository
//!   shows it; one that is finished is only put away.
//! - An issue that was transferred keeps its item and gets another id: it stays the task that it was ([`super::transfers`]).
//! - A pull request that closes an issue belongs to that issue and is not a task.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Unreadable};
use contextcore_core::{Millis, Result};

use super::answer::FetchOutcome;
use super::api::Api;
use super::batch::Kind;
use super::features::Missing;
use super::fingerprints::Short;
use super::records::{About, complete, unreadable};
use super::rows::{self, Row};
use super::session::{CONVERTED, GitHub, ITEMS, SiteContext};
use crate::cursor;
use progress::{BATCH, ChangedItem, ItemCursor, PutAway, Sweep, Taken};

mod progress;

/// Requests of the sweep in one page of records, when hardly anything changed.
const SWEEPS: usize = 40;
/// Kinds of items, in the order they are requested.
const KINDS: [Kind; 3] = [Kind::IssueItems, Kind::PullRequestItems, Kind::OtherItems];

/// One poll of the stream.
struct Poll<'a> {
    api: &'a Api,
    order: Vec<&'a str>,
    /// Hidden projects: their issues stay theirs.
    lost: Vec<&'a str>,
    cursor: ItemCursor,
    sweep: Sweep,
    changes: Vec<ChangedItem>,
    /// Drafts that became issues.
    converted: Vec<Box<str>>,
    /// Issues that were listed, each with the name of its repository.
    issues: Vec<(Box<str>, Box<str>)>,
    /// Items that GitHub cannot serve.
    unreadable: Vec<Unreadable>,
    warnings: Vec<String>,
    /// How many items GitHub counts in a project, by the last page.
    counted: Option<(Box<str>, u64)>,
    /// An issue was found to have been transferred.
    has_moved: bool,
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`contextcore_core::ErrorKind::NotFound`] when a project vanishes during the sweep.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>) -> Result<Page> {
    let order: Vec<&str> = live.reference.projects.iter().map(|project| &*project.id).collect();
    let mut cursor: ItemCursor = cursor::read(stored, ITEMS);
    let lost: Vec<&str> = live.reference.lost.iter().map(|project| &*project.id).collect();
    let known_before = || if live.reference.reduced == Some(true) { Missing::all() } else { Missing::default() };
    cursor.relearn(github.api.missing(), known_before);
    // A cursor that was forgotten knows of no transfer.
    cursor.transfers.extend(&github.transfers());
    let sweep = cursor.begin(&order, &lost, github.api.now());
    let mut poll = Poll {
        api: &github.api,
        order,
        lost,
        cursor,
        sweep,
        changes: Vec::new(),
        converted: Vec::new(),
        issues: Vec::new(),
        unreadable: Vec::new(),
        warnings: Vec::new(),
        counted: None,
        has_moved: false,
    };
    poll.gather().await?;
    if poll.has_moved && poll.sweep.has_given {
        poll.cursor.give_again();
    }
    github.note_transfers(&poll.cursor.transfers);
    let mut records = poll.records().await?;
    if poll.sweep.left.is_empty() {
        let names = live.repositories.iter().map(|repository| repository.name.to_string().to_lowercase());
        records.extend(poll.put_away(&names.collect()).await?);
    }
    poll.sweep.has_given |= !records.is_empty();
    let Poll { order, mut cursor, sweep, issues, unreadable, warnings, counted, .. } = poll;
    github.note_issues(live, issues);
    let more = !sweep.left.is_empty() || !sweep.put_away.is_empty();
    let known = cursor.tasks(&order, None);
    if !more {
        let all = cursor.projects.values().flat_map(|tracked| tracked.fingerprints.contents()).collect();
        github.note_members(all, known);
    }
    // With repositories, the `repositories` stream gives the count. Until it has one, that of the items shows the progress.
    let total = match known {
        Some(tasks) => (live.repositories.is_empty() && live.lost().is_empty()).then_some(tasks),
        None => cursor.tasks(&order, counted.as_ref()),
    };
    cursor.sweep = more.then_some(sweep);
    let cursor = cursor::write(&cursor, ITEMS)?;
    Ok(Page { records, unreadable, cursor, more, total, warnings, ..Page::default() })
}

impl Poll<'_> {
    /// Lists items until there are enough for a page.
    async fn gather(&mut self) -> Result<()> {
        let mut elsewhere: Option<(Box<str>, BTreeSet<Short>)> = None;
        for _ in 0..SWEEPS {
            let Some(project) = self.sweep.left.front().cloned() else { return Ok(()) };
            let home = elsewhere.take().filter(|(known, _)| *known == project);
            let home = home.unwrap_or_else(|| (project.clone(), self.cursor.before(&self.order, &self.lost, &project)));
            let now = self.api.now();
            let listed = rows::page(self.api, &project, &mut self.sweep.place, &mut self.cursor.sizes).await?;
            self.warnings.extend(listed.warnings);
            self.counted = listed.total.map(|total| (project.clone(), total));
            self.sweep.hidden += listed.hidden + listed.gap.as_ref().map_or(0, |gap| gap.rows);
            self.unreadable.extend(listed.gap.map(|gap| gap.unreadable(&project)));
            for bad in &listed.bad {
                let is_known = bad.item.as_deref().is_some_and(|item| self.cursor.touch(&project, item));
                self.sweep.hidden += u64::from(!is_known);
                match bad.unreadable() {
                    Some(unreadable) => self.unreadable.push(unreadable),
                    None => self.warnings.push(format!("an item of a project cannot be listed: {}", bad.reason())),
                }
            }
            for row in &listed.rows {
                self.row(&project, row, &home.1, now);
            }
            elsewhere = Some(home);
            if !listed.more {
                self.cursor.end(&mut self.sweep, listed.total);
            }
            if self.changes.len() >= BATCH {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes a row of a project.
    fn row(&mut self, project: &str, row: &Row, elsewhere: &BTreeSet<Short>, now: Millis) {
        self.converted.extend(self.cursor.convert(project, row));
        self.has_moved |= self.cursor.follow(project, row);
        let issue = row.issue().filter(|_| !row.is_put_away());
        self.issues.extend(issue.map(|(id, repository)| (id.into(), repository.into())));
        match self.cursor.take(project, row, elsewhere, self.sweep.blocked.is_some()) {
            Taken::Given => {
                let fresh = row.is_fresh(now);
                self.changes.push(ChangedItem { project: project.into(), row: row.clone(), fresh });
            }
            Taken::PutAway => self.sweep.put_away.push(PutAway {
                project: project.into(),
                item: row.id.clone(),
                native_id: row.native_id().into(),
                kind: row.kind(),
                repository: row.issue().map(|(_, repository)| repository.into()),
            }),
            Taken::Nothing => {}
        }
    }

    /// Whole records of what was put away: as it was then, and gone.
    async fn put_away(&mut self, repositories: &BTreeSet<String>) -> Result<Vec<RawRecord>> {
        let some = self.cursor.put_away(&mut self.sweep, repositories);
        let mut records = Vec::new();
        for kind in KINDS {
            let by_id: BTreeMap<Box<str>, &PutAway> =
                some.iter().filter(|one| one.kind == kind).map(|one| (one.item.clone(), one)).collect();
            let ids: Vec<Box<str>> = by_id.keys().cloned().collect();
            for (id, outcome) in self.api.nodes(kind, &ids, &mut self.cursor.sizes).await? {
                let (Some(one), FetchOutcome::Whole(node)) = (by_id.get(&id), outcome) else { continue };
                let about =
                    About { stream: ITEMS, native_id: &one.native_id, project: Some(&one.project), archived: true };
                records.extend(complete(self.api, about, &node).await?.parts().0);
            }
        }
        Ok(records)
    }

    /// Whole records of what changed.
    async fn records(&mut self) -> Result<Vec<RawRecord>> {
        let converted = |id: Box<str>| RawRecord::new(CONVERTED, id, "{}");
        let mut records: Vec<RawRecord> = std::mem::take(&mut self.converted).into_iter().map(converted).collect();
        let mut changes = std::mem::take(&mut self.changes);
        changes.dedup_by(|a, b| a.row.id == b.row.id);
        for kind in KINDS {
            let wanted: Vec<&ChangedItem> = changes.iter().filter(|change| change.row.kind() == kind).collect();
            let ids: Vec<Box<str>> = wanted.iter().map(|change| change.row.id.clone()).collect();
            let outcomes = self.api.nodes(kind, &ids, &mut self.cursor.sizes).await?;
            let by_id: BTreeMap<&str, &ChangedItem> = wanted.iter().map(|change| (&*change.row.id, *change)).collect();
            for (id, outcome) in outcomes {
                if let Some(change) = by_id.get(&*id) {
                    records.extend(self.record(change, outcome).await?);
                }
            }
        }
        Ok(records)
    }

    async fn record(&mut self, change: &ChangedItem, outcome: FetchOutcome) -> Result<Option<RawRecord>> {
        let id = change.row.native_id();
        match outcome {
            FetchOutcome::Whole(node) => {
                let about = About { stream: ITEMS, native_id: id, project: Some(&change.project), archived: false };
                let (record, unreadable) = complete(self.api, about, &node).await?.parts();
                self.cursor.settle(change);
                self.unreadable.extend(unreadable);
                return Ok(record);
            }
            FetchOutcome::Hidden(why) => {
                self.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}"));
                self.cursor.settle(change);
            }
            FetchOutcome::Gone => {}
            FetchOutcome::Torn(reason) => {
                self.unreadable.push(unreadable(id, &reason));
                self.cursor.settle(change);
            }
        }
        Ok(None)
    }
}
