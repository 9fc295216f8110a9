//! The `repositories` stream: issues of the configured repositories that are in none of our projects.
//!
//! A repository can be asked for what changed since. `begin` has learned when an issue changed last, so that a repository in
//! which nothing happened is not asked at all. [`Position`] is the cursor: the watermark moves only when a sweep came to its
//! end, and what was given at the very moment of the watermark is remembered, since it will be met again.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::api::{self, Api, Fate, Kind, Sizes};
use super::items;
use super::session::{GitHub, MOMENT, Members, REPOSITORIES, SiteContext};
use super::settings::RepositoryName;
use super::wire::{RepositoryActivity, Rows};

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

/// Where the stream stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    repositories: BTreeMap<String, Ledger>,
    sizes: Sizes,
}

/// Where one repository stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Ledger {
    /// Everything that changed before this has been read.
    watermark: Option<Millis>,
    /// What was given of the overlap before the watermark: by id, when it changed.
    recent: BTreeMap<Box<str>, Millis>,
    /// Its issues that are in our projects: whatever leaves them comes home, though it may not have changed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    away: BTreeSet<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// A sweep under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Sweep {
    since: Option<Millis>,
    after: Option<Box<str>>,
    /// The latest change seen.
    high: Option<Millis>,
    /// Something could not be read whole: the watermark stays.
    incomplete: bool,
}

impl Ledger {
    /// Whether there is anything to ask for.
    fn is_due(&self, pulse: &RepositoryActivity) -> bool {
        let news = |last: Millis| self.watermark.is_none_or(|watermark| last > watermark);
        self.sweep.is_some() || pulse.issues().is_some_and(news)
    }

    fn begin(&mut self) -> Sweep {
        let since = self.watermark.map(|watermark| watermark.plus(-OVERLAP));
        self.sweep.take().unwrap_or(Sweep { since, ..Sweep::default() })
    }

    /// The sweep came to its end.
    fn end(&mut self, sweep: Sweep, now: Millis) {
        if sweep.incomplete {
            return;
        }
        // An issue dated in the future must not hide those of today, nor one of this moment those that follow within it.
        self.watermark = self.watermark.max(sweep.high.map(|high| high.min(now.plus(-MOMENT))));
    }

    /// Remembers only what the next sweep will meet again.
    fn forget_old(&mut self, high: Option<Millis>) {
        if let Some(high) = self.watermark.max(high) {
            self.recent.retain(|_, updated| *updated >= high.plus(-OVERLAP));
        }
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's.
pub(super) async fn poll(github: &GitHub, live: &SiteContext, cursor: Option<&Cursor>, now: Millis) -> Result<Page> {
    let kept = cursor.and_then(|cursor| serde_json::from_value::<Position>(cursor.0.clone()).ok());
    let mut position = kept.unwrap_or_default();
    let members = github.members(live)?;
    let mut page = Page {
        records: Vec::new(),
        seen: Vec::new(),
        cursor: Cursor(serde_json::Value::Null),
        more: false,
        total: None,
        warnings: Vec::new(),
    };
    for repository in &live.repositories {
        let name = repository.name.to_string();
        let mut ledger = position.repositories.remove(&name).unwrap_or_default();
        ledger.away.extend(members.issues.get(&name).into_iter().flatten().cloned());
        welcome(github, &mut ledger, &mut position.sizes, &members, &mut page).await?;
        if !page.more && ledger.is_due(&repository.activity) {
            let sizes = &mut position.sizes;
            page.more = read(github, &repository.name, &mut ledger, sizes, &members, now, &mut page).await?;
        }
        position.repositories.insert(name, ledger);
    }
    page.total = tasks(live, &members);
    let cursor = serde_json::to_value(position).map(Cursor);
    page.cursor =
        cursor.map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of repositories").caused_by(error))?;
    Ok(page)
}

/// How many tasks GitHub counts: in our projects, and of our repositories those outside. What is out of sight nobody counts, and
/// we hold it, so then there is no saying.
fn tasks(live: &SiteContext, members: &Members) -> Option<u64> {
    if live.repositories.is_empty() || !live.lost().is_empty() {
        return None;
    }
    let inside = |name: &RepositoryName| members.issues.get(&name.to_string()).map_or(0, BTreeSet::len);
    let outside = live.repositories.iter().map(|repository| repository.activity.outside(inside(&repository.name)));
    outside.sum::<Option<u64>>()?.checked_add(members.tasks?)
}

/// Gives the issues that left our projects since the last run.
async fn welcome(
    github: &GitHub,
    ledger: &mut Ledger,
    sizes: &mut Sizes,
    members: &Members,
    into: &mut Page,
) -> Result<()> {
    let home: Vec<Box<str>> = ledger.away.iter().filter(|id| !members.has(id)).take(BATCH).cloned().collect();
    for (id, fate) in github.api.nodes(Kind::Issues, &home, sizes).await? {
        match fate {
            Fate::Whole(node) => {
                into.records.push(items::whole(&github.api, REPOSITORIES, &id, None, &node).await?);
                ledger.away.remove(&id);
            }
            Fate::Gone | Fate::Hidden(_) => drop(ledger.away.remove(&id)),
            Fate::Torn => {}
        }
    }
    Ok(())
}

/// Reads on in one repository. Whether there is more.
async fn read(
    github: &GitHub,
    name: &RepositoryName,
    ledger: &mut Ledger,
    sizes: &mut Sizes,
    members: &Members,
    now: Millis,
    into: &mut Page,
) -> Result<bool> {
    let mut sweep = ledger.begin();
    let mut changed: Vec<Row> = Vec::new();
    let mut more = true;
    for _ in 0..SWEEPS {
        let rows = page(&github.api, name, sweep.since, &mut sweep.after, sizes).await?;
        let last = rows.iter().map(|row| row.updated_at).max();
        sweep.high = sweep.high.max(last);
        let ours = |row: &&Row| !members.has(&row.id) && ledger.recent.get(&row.id) != Some(&row.updated_at);
        changed.extend(rows.iter().filter(ours).cloned());
        more = rows.page_info.has_next_page;
        if !more || changed.len() >= BATCH {
            break;
        }
    }
    let ids: Vec<Box<str>> = changed.iter().map(|row| row.id.clone()).collect();
    let when: BTreeMap<Box<str>, Millis> = changed.into_iter().map(|row| (row.id, row.updated_at)).collect();
    for (id, fate) in github.api.nodes(Kind::Issues, &ids, sizes).await? {
        match fate {
            Fate::Whole(node) => {
                into.records.push(items::whole(&github.api, REPOSITORIES, &id, None, &node).await?);
                let settled = when.get(&id).filter(|at| at.plus(MOMENT) < now);
                ledger.recent.extend(settled.map(|at| (id.clone(), *at)));
            }
            Fate::Gone => {}
            Fate::Hidden(why) => into.warnings.push(format!("{id} cannot be read, its task stays as it was: {why}")),
            Fate::Torn => {
                into.warnings.push(format!("{id} could not be read whole, the next run asks for it again"));
                sweep.incomplete = true;
            }
        }
    }
    ledger.forget_old(sweep.high);
    match more {
        true => ledger.sweep = Some(sweep),
        false => ledger.end(sweep, now),
    }
    Ok(more)
}

/// The next page of a repository's issues; `after` moves on. It is made smaller until it is answered.
pub(super) async fn page(
    api: &Api,
    name: &RepositoryName,
    since: Option<Millis>,
    after: &mut Option<Box<str>>,
    sizes: &mut Sizes,
) -> Result<Rows<Row>> {
    loop {
        match api.repository_issues::<Row>(name, since, after.as_deref(), sizes.sweep).await {
            Err(error) if api::is_too_much(&error) && sizes.sweep > 1 => {
                sizes.sweep = sizes.sweep.div_ceil(2);
                info!(rows = sizes.sweep, "will list fewer issues at once");
            }
            Err(error) => return Err(error),
            Ok(answer) => {
                let Some(page) = answer.data else {
                    let text = answer.errors.first().map(api::GraphError::text).unwrap_or_default();
                    let text = format!("the repository is not there any more: {text}");
                    return Err(Error::new(ErrorKind::NotFound, text).with("repository", name));
                };
                items::step(&page.issues.page_info, after, &name.to_string())?;
                return Ok(page.issues);
            }
        }
    }
}
