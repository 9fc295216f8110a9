//! The `repositories` stream: issues of the configured repositories that are in none of our projects.
//!
//! A repository can be asked for what changed since ([`crate::scan`]), the oldest change first. The run knows when an issue
//! changed last, so that a repository in which nothing happened is not asked at all. [`RepositoriesCursor`] is the cursor.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::{Cursor, Page, Unreadable};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::info;

use super::answer::{FetchOutcome, GraphError, Node, is_divisible};
use super::api::Api;
use super::batch::{Kind, Sizes};
use super::calls::Detail;
use super::features::Missing;
use super::place::{Gap, Place};
use super::records::{About, complete, unreadable};
use super::rows::Attempt;
use super::session::{GitHub, MOMENT, Members, REPOSITORIES, SiteContext};
use super::settings::RepositoryName;
use super::wire::RepositoryActivity;
use crate::cursor;
use crate::scan::{self, IncrementalScan, SeenVersions, Sweep};

/// How far before the watermark a sweep begins: GitHub's own replicas lag behind each other.
const OVERLAP: i64 = 2 * contextcore_core::model::time::MINUTE;
/// Requests of the sweep in one page of records.
const SWEEPS: usize = 40;
/// Changed issues of one page of records.
const BATCH: usize = 100;

/// An issue as the sweep sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) id: Box<str>,
    #[serde(default)]
    updated_at: Millis,
}

/// How far the stream has been read, by repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct RepositoriesCursor {
    repositories: BTreeMap<String, RepositoryCursor>,
    sizes: Sizes,
    /// What the server did not know when the issues were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
}

/// How far one repository has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct RepositoryCursor {
    #[serde(flatten, with = "StoredScan")]
    scan: IncrementalScan,
    /// Its issues that are in our projects. One that leaves them is given here, though it may not have changed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    away: BTreeSet<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<RepositorySweep>,
}

/// A sweep under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct RepositorySweep {
    since: Option<Millis>,
    #[serde(flatten)]
    place: Place,
    #[serde(flatten, with = "StoredSweep")]
    listed: Sweep,
}

/// The form in which cursors of repositories store a scan.
#[derive(Serialize, Deserialize)]
#[serde(remote = "IncrementalScan")]
struct StoredScan {
    watermark: Option<Millis>,
    #[serde(default, with = "scan::by_id")]
    recent: SeenVersions,
}

/// The form in which they store a sweep: each page moves what it gave to the scan.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Sweep")]
struct StoredSweep {
    high: Option<Millis>,
    #[serde(skip)]
    fresh: SeenVersions,
    #[serde(default)]
    incomplete: bool,
}

impl RepositoriesCursor {
    /// Forgets what was read when the server has learnt something since: all issues are given again, with more in them.
    fn relearn(&mut self, now: Missing, was_reduced: bool) {
        let before = if was_reduced { Missing::all() } else { Missing::default() };
        if self.missing.take().unwrap_or(before).has_shrunk_to(&now) {
            for repository in self.repositories.values_mut() {
                (repository.scan, repository.sweep) = (IncrementalScan::default(), None);
            }
        }
        self.missing = Some(now);
    }
}

impl RepositoryCursor {
    /// Whether there is anything to request.
    fn is_due(&self, activity: &RepositoryActivity) -> bool {
        let later = |last: Millis| self.scan.watermark.is_none_or(|watermark| last > watermark);
        self.sweep.is_some() || activity.issues().is_some_and(later)
    }

    fn begin(&mut self) -> RepositorySweep {
        let since = self.scan.since(OVERLAP);
        self.sweep.take().unwrap_or(RepositorySweep { since, ..RepositorySweep::default() })
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, stored: Option<&Cursor>, now: Millis) -> Result<Page> {
    let mut cursor: RepositoriesCursor = cursor::read(stored, REPOSITORIES);
    cursor.relearn(github.api.missing(), live.reference.reduced == Some(true));
    let members = github.members(live)?;
    let mut page = Page { total: tasks(live, &members), ..Page::default() };
    for repository in &live.repositories {
        let name = repository.name.to_string();
        let mut one = cursor.repositories.remove(&name).unwrap_or_default();
        one.away.extend(members.issues.get(&name).into_iter().flatten().cloned());
        let mut poll = Poll { api: &github.api, cursor: &mut one, sizes: &mut cursor.sizes, members: &members, now };
        poll.give_moved_back(&mut page).await?;
        if !page.more && poll.cursor.is_due(&repository.activity) {
            page.more = poll.read(&repository.name, &mut page).await?;
        }
        cursor.repositories.insert(name, one);
    }
    page.cursor = cursor::write(&cursor, REPOSITORIES)?;
    Ok(page)
}

/// How many tasks GitHub counts: those in our projects, and those of our repositories outside. Unknown while a project or
/// repository is hidden: GitHub does not count its tasks, and the store holds them.
fn tasks(live: &SiteContext, members: &Members) -> Option<u64> {
    if live.repositories.is_empty() || !live.lost().is_empty() {
        return None;
    }
    let inside = |name: &RepositoryName| members.issues.get(&name.to_string()).map_or(0, BTreeSet::len);
    let outside = live.repositories.iter().map(|repository| repository.activity.outside(inside(&repository.name)));
    outside.sum::<Option<u64>>()?.checked_add(members.tasks?)
}

/// One poll of one repository.
struct Poll<'a> {
    api: &'a Api,
    cursor: &'a mut RepositoryCursor,
    sizes: &'a mut Sizes,
    members: &'a Members,
    now: Millis,
}

impl Poll<'_> {
    /// Gives the issues that left our projects since the last run.
    async fn give_moved_back(&mut self, into: &mut Page) -> Result<()> {
        let left = self.cursor.away.iter().filter(|id| !self.members.has(id));
        let left: Vec<Box<str>> = left.take(BATCH).cloned().collect();
        for (id, outcome) in self.api.nodes(Kind::Issues, &left, self.sizes).await? {
            self.cursor.away.remove(&id);
            match outcome {
                FetchOutcome::Whole(node) => self.give(&id, &node, into).await?,
                FetchOutcome::Gone | FetchOutcome::Hidden(_) => {}
                FetchOutcome::Torn(reason) => into.unreadable.push(unreadable(&id, &reason)),
            }
        }
        Ok(())
    }

    /// Lists changes and reads the issues that are new. Whether there is more.
    async fn read(&mut self, name: &RepositoryName, into: &mut Page) -> Result<bool> {
        let mut sweep = self.cursor.begin();
        let mut changed: BTreeMap<Box<str>, Millis> = BTreeMap::new();
        let mut more = true;
        for _ in 0..SWEEPS {
            let Listed { rows, unreadable, incomplete, gap, more: next } =
                page(self.api, name, sweep.since, &mut sweep.place, self.sizes).await?;
            into.unreadable.extend(unreadable);
            sweep.listed.incomplete |= gap.is_some();
            into.unreadable.extend(gap.map(|gap| gap.unreadable(&name.to_string())));
            if let Some(reason) = incomplete {
                into.warnings.push(format!("an issue of {name} cannot be listed: {reason}"));
                sweep.listed.incomplete = true;
            }
            rows.iter().for_each(|row| sweep.listed.raise(row.updated_at));
            let is_new = |row: &&Row| self.cursor.scan.is_new(&sweep.listed, &row.id, row.updated_at);
            let ours = rows.iter().filter(|row| !self.members.has(&row.id)).filter(is_new);
            changed.extend(ours.map(|row| (row.id.clone(), row.updated_at)));
            more = next;
            if !more || changed.len() >= BATCH {
                break;
            }
        }
        self.fetch(&changed, &mut sweep.listed, into).await?;
        self.cursor.scan.absorb(&mut sweep.listed, OVERLAP);
        match more {
            true => self.cursor.sweep = Some(sweep),
            // An issue of this moment does not hide those that follow within it.
            false => self.cursor.scan.settle(sweep.listed, self.api.limit(self.now).plus(-MOMENT), OVERLAP),
        }
        Ok(more)
    }

    /// Reads these issues whole.
    async fn fetch(&mut self, changed: &BTreeMap<Box<str>, Millis>, listed: &mut Sweep, into: &mut Page) -> Result<()> {
        let ids: Vec<Box<str>> = changed.keys().cloned().collect();
        for (id, outcome) in self.api.nodes(Kind::Issues, &ids, self.sizes).await? {
            if let Some(at) = changed.get(&id).filter(|at| at.plus(MOMENT) < self.now) {
                listed.remember(&id, *at);
            }
            match outcome {
                FetchOutcome::Whole(node) => self.give(&id, &node, into).await?,
                FetchOutcome::Gone => {}
                FetchOutcome::Hidden(why) => {
                    into.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}"));
                }
                FetchOutcome::Torn(reason) => into.unreadable.push(unreadable(&id, &reason)),
            }
        }
        Ok(())
    }

    async fn give(&self, id: &str, node: &Node, into: &mut Page) -> Result<()> {
        let about = About { stream: REPOSITORIES, native_id: id, project: None, archived: false };
        let (record, unreadable) = complete(self.api, about, node).await?.parts();
        into.records.extend(record);
        into.unreadable.extend(unreadable);
        Ok(())
    }
}

/// A page of a repository's issues.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) rows: Vec<Row>,
    /// Issues that are listed in a way that cannot be understood.
    pub(super) unreadable: Vec<Unreadable>,
    /// An issue of which not even the id was listed: why.
    incomplete: Option<String>,
    /// Rows that cannot be listed from either end.
    pub(super) gap: Option<Gap>,
    /// There is another page.
    pub(super) more: bool,
}

/// The next page of a repository's issues; `place` moves on. It is made smaller until it is answered, and one that cannot be
/// listed at all is stepped over.
pub(super) async fn page(
    api: &Api,
    name: &RepositoryName,
    since: Option<Millis>,
    place: &mut Place,
    sizes: &mut Sizes,
) -> Result<Listed> {
    let (mut size, mut attempt) = (sizes.sweep, Attempt::default());
    loop {
        match api.repository_issues(name, since, place, size, attempt.detail).await {
            Err(error) if is_divisible(&error) && size > 1 => {
                api.note_failure(&error);
                size = size.div_ceil(2);
                info!(rows = size, error = error.full(), "listing fewer issues at once");
            }
            Err(error) if is_divisible(&error) => {
                api.answers_still(&error).await?;
                attempt = match attempt.next(error) {
                    Ok(next) => next,
                    Err(error) => {
                        let gap = place.turn(error, &name.to_string())?;
                        return Ok(Listed { more: gap.is_none(), gap, ..Listed::default() });
                    }
                };
            }
            Err(error) => return Err(error),
            Ok(answer) => {
                let Some(mut page) = answer.data else {
                    let text = answer.errors.first().map(GraphError::text).unwrap_or_default();
                    let text = format!("the repository is not there any more: {text}");
                    return Err(Error::new(ErrorKind::NotFound, text).with("repository", name));
                };
                sizes.sweep = if attempt.detail == Detail::Whole { size } else { Sizes::default().sweep };
                let rows = if attempt.detail == Detail::Nothing { 1 } else { page.issues.nodes.len() };
                let fresh = place.fresh(rows, page.issues.total_count);
                page.issues.nodes.truncate(fresh);
                let total = page.issues.total_count;
                let more = place.pass(&page.issues.page_info, fresh, total, &name.to_string())?;
                let mut listed = read(page.issues.nodes.iter().map(Option::as_deref), &answer.errors);
                listed.more = more;
                if attempt.detail == Detail::Nothing {
                    listed.incomplete = Some(attempt.reason().to_owned());
                }
                return Ok(listed);
            }
        }
    }
}

/// Reads rows, each by itself.
fn read<'a>(rows: impl Iterator<Item = Option<&'a RawValue>>, errors: &[GraphError]) -> Listed {
    let mut listed = Listed::default();
    for (index, row) in rows.enumerate() {
        let about = errors.iter().find(|error| error.row() == Some(index));
        let Some(row) = row.filter(|row| row.get() != "null") else {
            if about.is_none_or(|error| !error.is_refusal()) {
                listed.incomplete = Some(about.map_or_else(|| "an empty row".to_owned(), GraphError::text));
            }
            continue;
        };
        match serde_json::from_str::<Row>(row.get()) {
            Ok(read) => listed.rows.push(read),
            Err(error) => {
                let value: Value = serde_json::from_str(row.get()).unwrap_or_default();
                match value["id"].as_str() {
                    Some(id) => listed.unreadable.push(unreadable(id, &format!("an unexpected shape: {error}"))),
                    None => listed.incomplete = Some(error.to_string()),
                }
            }
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<RepositoriesCursor>(include_str!("fixtures/cursors.json"), "repositories");
    }
}
