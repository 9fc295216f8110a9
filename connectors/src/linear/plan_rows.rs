//! Rows of the lists around the issues: reading a page of one list, or rows by their ids, such that a row that cannot be served
//! costs itself.
//!
//! A page that fails is asked for as an outline (ids and times only), then its rows by their ids, in halves down to the one that
//! is to blame.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Millis, Result};
use tracing::warn;

use super::api::{Answer, ONCE, PlanPage};
use super::histories::record;
use super::mapping;
use super::parts::{Parts, may_be_one};
use super::requests::PlanRequest;
use super::rows::Row;
use super::session::{Linear, SiteContext};
use super::sizes::{NARROW, WIDE, Width};
use super::wire::{Attachment, Connection, Cycle, Initiative, OneOf, Project, TeamRef, is_absent};
use crate::cursor::PageInfo;

/// A row of one of the lists.
#[derive(Debug)]
pub(super) enum PlanRow {
    Cycle(Box<Cycle>),
    Project(Box<Project>),
    Initiative(Box<Initiative>),
    Attachment(Box<Attachment>),
}

/// A page of one list.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Rows with an id.
    pub(super) rows: Vec<Row<PlanRow>>,
    /// Rows that an error beside the data is about: they are to be read by their ids.
    suspects: Vec<Box<str>>,
    /// Rows that cannot be served, with what Linear said.
    pub(super) unreadable: BTreeMap<Box<str>, String>,
    /// Rows without an id: nothing is known of them.
    pub(super) nameless: usize,
    /// Why the list as a whole is incomplete.
    pub(super) incomplete: Option<String>,
    pub(super) page_info: PageInfo,
}

impl PlanRow {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Cycle(row) => &row.id,
            Self::Project(row) => &row.id,
            Self::Initiative(row) => &row.id,
            Self::Attachment(row) => &row.id,
        }
    }

    pub(super) fn updated_at(&self) -> Millis {
        match self {
            Self::Cycle(row) => row.updated_at,
            Self::Project(row) => row.updated_at,
            Self::Initiative(row) => row.updated_at,
            Self::Attachment(row) => row.updated_at,
        }
    }

    /// Whether it is given whenever it is listed: a cycle begins and ends without being changed.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Cycle(row) if row.is_active)
    }

    /// Whether there may be more in its own lists that matters: a project is of any of its teams, and its parent the first of its
    /// initiatives; an initiative matters where any of its projects' teams is read.
    fn is_short(&self, linear: &Linear, live: &SiteContext) -> bool {
        fn holds<T>(list: Option<&Connection<T>>, first: u32) -> bool {
            list.is_some_and(|list| list.nodes.len() >= first as usize)
        }
        match self {
            Self::Project(row) => {
                holds(row.teams.as_ref(), NARROW.teams) || holds(row.initiatives.as_ref(), NARROW.initiatives)
            }
            Self::Initiative(row) => {
                let mut projects = row.projects.iter().flat_map(|list| &list.nodes);
                let full = holds(row.projects.as_ref(), NARROW.projects)
                    || projects.any(|one| holds(one.teams.as_ref(), NARROW.project_teams));
                full && !self.is_wanted(linear, live)
            }
            Self::Cycle(_) | Self::Attachment(_) => false,
        }
    }

    /// Whether it is something of this source. A sub-team's copy of a cycle counts only where its original is not read; of
    /// attachments those that lead to a pull request or a commit do.
    pub(super) fn is_wanted(&self, linear: &Linear, live: &SiteContext) -> bool {
        let reads = |team: &str| live.reference.wants(&linear.settings, team);
        match self {
            Self::Cycle(row) => {
                let original = row.inherited_from.as_ref().and_then(|original| original.team.as_ref());
                let is_copy = row.inherited_from.is_some() && original.is_none_or(|team| reads(&team.id));
                row.team.as_ref().is_none_or(|team| reads(&team.id)) && !is_copy
            }
            Self::Project(row) => wants(linear, live, row.teams.iter().flat_map(|teams| &teams.nodes)),
            Self::Initiative(row) => wants(linear, live, row.teams()),
            Self::Attachment(row) => mapping::artifact(&row.url).is_some(),
        }
    }

    /// What it names in reference data.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let person = |who: &Option<OneOf>| Some(format!("user:{}", who.as_ref()?.id.as_deref()?));
        let names = match self {
            Self::Cycle(row) => [row.team.as_ref().map(|team| format!("team:{}", team.id)), None],
            Self::Project(row) => [person(&row.lead), person(&row.creator)],
            Self::Initiative(row) => [person(&row.owner), person(&row.creator)],
            Self::Attachment(row) => [person(&row.creator), None],
        };
        names.into_iter().flatten().collect()
    }

    fn record(&self, stream: &'static str) -> Result<RawRecord> {
        match self {
            Self::Cycle(row) => record(stream, &row.id, "cycle", row),
            Self::Project(row) => record(stream, &row.id, "project", row),
            Self::Initiative(row) => record(stream, &row.id, "initiative", row),
            Self::Attachment(row) => record(stream, &row.id, "attachment", row),
        }
    }
}

/// The record of a row. One of an odd shape is kept as it came, to be quarantined with the reason.
pub(super) fn record_of(row: &Row<PlanRow>, name: &str, stream: &'static str) -> Result<RawRecord> {
    let kind = match name {
        "cycles" => "cycle",
        "projects" => "project",
        "initiatives" => "initiative",
        _ => "attachment",
    };
    match row {
        Row::Known(row) => row.record(stream),
        Row::Odd(odd) => record(stream, odd.id.as_deref().unwrap_or_default(), kind, &odd.json),
    }
}

/// Whether something that these teams work on is read.
fn wants<'t>(linear: &Linear, live: &SiteContext, mut teams: impl Iterator<Item = &'t TeamRef>) -> bool {
    let read = |team: &TeamRef| team.id.as_deref().is_some_and(|id| live.reference.wants(&linear.settings, id));
    linear.settings.teams.is_empty() || teams.any(read)
}

impl Listed {
    /// What an answer holds of one list.
    pub(super) fn of(name: &str, answer: &mut Answer<PlanPage>) -> Self {
        let (flawed, all) = (answer.incomplete_rows(name), answer.is_incomplete(name));
        let page = rows(name, &mut answer.data);
        let incomplete = (all || is_absent(page.as_ref())).then(|| answer.refusal().full());
        let page = page.unwrap_or_default();
        let mut listed = Self { page_info: page.page_info, incomplete, ..Self::default() };
        for (n, row) in page.nodes.into_iter().enumerate() {
            match id_of(&row) {
                None => listed.nameless += 1,
                Some(id) if flawed.contains(&n) => listed.suspects.push(id),
                Some(_) => listed.rows.push(row),
            }
        }
        listed
    }

    /// Reads the rows by their ids that an error was about.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn complete(mut self, linear: &Linear, name: &str) -> Result<Self> {
        let suspects = std::mem::take(&mut self.suspects);
        self.extend(by_ids(linear, name, &suspects).await?);
        Ok(self)
    }

    fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.unreadable.extend(other.unreadable);
    }

    /// What could not be read, as a page names it.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = Unreadable> {
        self.unreadable.iter().map(|(id, reason)| Unreadable { native_id: id.to_string(), reason: reason.clone() })
    }
}

/// The id of a row, if it has one.
pub(super) fn id_of(row: &Row<PlanRow>) -> Option<Box<str>> {
    match row {
        Row::Known(row) => Some(row.id().into()),
        Row::Odd(odd) => odd.id.clone(),
    }
}

/// The rows of one list of an answer.
fn rows(name: &str, page: &mut PlanPage) -> Option<Connection<Row<PlanRow>>> {
    fn wrap<T>(page: Option<Connection<Row<T>>>, of: fn(Box<T>) -> PlanRow) -> Option<Connection<Row<PlanRow>>> {
        Some(page?.map(|row| match row {
            Row::Known(row) => Row::Known(of(Box::new(row))),
            Row::Odd(odd) => Row::Odd(odd),
        }))
    }
    match name {
        "cycles" => wrap(page.cycles.take(), PlanRow::Cycle),
        "projects" => wrap(page.projects.take(), PlanRow::Project),
        "initiatives" => wrap(page.initiatives.take(), PlanRow::Initiative),
        _ => wrap(page.attachments.take(), PlanRow::Attachment),
    }
}

/// A page of the one list that is requested; where it cannot be had, what can be had of it row by row.
///
/// # Errors
/// As the session's, when the list cannot be had in any way.
pub(super) async fn page(linear: &Linear, request: &PlanRequest) -> Result<Listed> {
    let Some(name) = request.lists.keys().next() else { return Ok(Listed::default()) };
    let error = match linear.api.plan(request, ONCE).await {
        Ok(mut answer) => return Listed::of(name, &mut answer).complete(linear, name).await,
        Err(error) if may_be_one(&error) => error,
        Err(error) => return Err(error),
    };
    let outline = PlanRequest { outline: true, ..request.clone() };
    let Ok(mut answer) = linear.api.plan(&outline, ONCE).await else { return Err(error) };
    warn!(error = error.full(), name, "will read the rows of the list by their ids");
    let mut listed = Listed::of(name, &mut answer);
    let ids: Vec<Box<str>> = std::mem::take(&mut listed.rows).iter().filter_map(id_of).collect();
    listed.extend(by_ids(linear, name, &ids).await?);
    Ok(listed)
}

/// Those of these rows of a list that there are.
///
/// # Errors
/// As the session's.
pub(super) async fn by_ids(linear: &Linear, name: &str, ids: &[Box<str>]) -> Result<Listed> {
    by_ids_with(linear, name, ids, &NARROW).await
}

/// Reads those rows of a list whole whose own lists are full: there may be more in them.
///
/// # Errors
/// As the session's. A row that cannot be read whole stays as it is.
pub(super) async fn widen(linear: &Linear, name: &str, rows: Vec<Row<PlanRow>>) -> Result<Vec<Row<PlanRow>>> {
    let live = linear.context();
    let is_short = |row: &Row<PlanRow>| matches!(row, Row::Known(row) if row.is_short(linear, &live));
    let (full, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_short);
    if full.is_empty() {
        return Ok(rows);
    }
    let ids: Vec<Box<str>> = full.iter().filter_map(id_of).collect();
    let mut whole = match by_ids_with(linear, name, &ids, &WIDE).await {
        Ok(listed) => listed.rows,
        Err(error) if may_be_one(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    for row in full {
        let id = id_of(&row);
        match whole.iter().position(|other| id_of(other) == id) {
            Some(at) => rows.push(whole.swap_remove(at)),
            None => {
                linear.note(format!("of {name} {} not all teams and parents can be read", id.unwrap_or_default()));
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

async fn by_ids_with(linear: &Linear, name: &str, ids: &[Box<str>], width: &Width) -> Result<Listed> {
    let (mut listed, mut parts) = (Listed::default(), Parts::default());
    ids.chunks(width.most(name)).for_each(|ids| parts.push(ids.to_vec()));
    while let Some(part) = parts.pop() {
        let (missing, error) = match linear.api.plan_rows(name, &part.items, width).await {
            Ok(mut answer) => (listed.take(name, &mut answer, &part.items), answer.refusal()),
            Err(error) if may_be_one(&error) => (part.items.clone(), error),
            Err(error) => return Err(error),
        };
        if let Some((id, reason)) = linear.retry(&mut parts, &part, missing, error).await? {
            listed.unreadable.insert(id, reason);
        }
    }
    Ok(listed)
}

impl Listed {
    /// Takes those rows in that were asked for. Returns those that did not come for a reason.
    fn take(&mut self, name: &str, answer: &mut Answer<PlanPage>, asked: &[Box<str>]) -> Vec<Box<str>> {
        let came = Self::of(name, answer);
        let is_whole = answer.errors.is_empty() && came.incomplete.is_none();
        let mut missing: BTreeSet<&Box<str>> = asked.iter().collect();
        for row in came.rows {
            if id_of(&row).is_some_and(|id| missing.remove(&id)) {
                self.rows.push(row);
            }
        }
        if is_whole && came.nameless == 0 { Vec::new() } else { missing.into_iter().cloned().collect() }
    }
}
