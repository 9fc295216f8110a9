//! The `plan` stream: what surrounds the issues. Cycles are sprints, projects and initiatives are epics, and attachments that
//! lead to a pull request or a commit are activities.
//!
//! One request lists all four, each from where its [`PagedScan`] is. A cycle begins without being changed, so the running
//! cycles are listed whenever anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Run};
use contextcore_core::model::time::DAY;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use super::api::{Answer, PlanPage, PlanRequest};
use super::histories::record;
use super::paged_scan::PagedScan;
use super::session::{Linear, PLAN, SiteContext};
use super::wire::{Attachment, Connection, Cycle, Initiative, OneOf, Project, TeamRef};
use super::{mapping, sizes};
use crate::cursor;

/// The lists, as the request and the answer name them.
const NAMES: [&str; 4] = ["cycles", "projects", "initiatives", "attachments"];

/// How long a list that was refused is left out.
const REFUSED: i64 = DAY;

/// How far each list has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PlanCursor {
    #[serde(rename = "feeds")]
    scans: BTreeMap<String, PagedScan>,
    /// Lists that this workspace or token may not read, and since when that is known.
    refused: BTreeMap<String, Millis>,
}

impl PlanCursor {
    fn open(&mut self, now: Millis) {
        let under_way = self.is_open();
        self.refused.retain(|_, since| now.0 - since.0 < REFUSED);
        for name in NAMES.into_iter().filter(|name| !self.refused.contains_key(*name)) {
            let scan = self.scans.entry(name.to_owned()).or_default();
            if !under_way || scan.is_open() {
                scan.open(now);
            }
        }
    }

    /// What to request: the lists that have pages left.
    fn request(&self) -> PlanRequest {
        let known = NAMES.into_iter().filter_map(|name| Some((name, self.scans.get(name)?)));
        let open: Vec<(&'static str, &PagedScan)> = known.filter(|(_, scan)| scan.is_open()).collect();
        let many = open.iter().any(|(_, scan)| scan.is_first() || !scan.is_at_start());
        let from = |scan: &PagedScan| (scan.since(), scan.after().map(str::to_owned));
        PlanRequest {
            first: if many { sizes::PLAN } else { sizes::PLAN_PROBE },
            lists: open.into_iter().map(|(name, scan)| (name, from(scan))).collect(),
        }
    }

    /// A list that was requested and has pages left.
    fn requested(&mut self, request: &PlanRequest, name: &str) -> Option<&mut PagedScan> {
        self.scans.get_mut(name).filter(|scan| request.lists.contains_key(name) && scan.is_open())
    }

    fn is_open(&self) -> bool {
        self.scans.values().any(PagedScan::is_open)
    }

    /// Starts all sweeps under way again: a refused page may be refused for any of its cursors.
    fn restart(&mut self, refusal: Error, now: Millis) -> Result<()> {
        let mut refusal = Some(refusal);
        for scan in self.scans.values_mut().filter(|scan| !scan.is_at_start()) {
            let other = || Error::new(ErrorKind::Rejected, "a page of another list was refused");
            scan.recover(refusal.take().unwrap_or_else(other), now)?;
        }
        refusal.map_or(Ok(()), Err)
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a list that does not end.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut cursor: PlanCursor = cursor::read(stored, PLAN);
    cursor.open(run.now);
    let (records, names, warnings) = Default::default();
    let mut gathered = Gathered { linear, live: &live, records, names, warnings };
    let request = cursor.request();
    match linear.api.plan(&request).await {
        Ok(answer) => gathered.take(&mut cursor, &request, answer)?,
        Err(error) if error.kind() == ErrorKind::Permission => gathered.one_by_one(&mut cursor, run.now).await?,
        Err(error) => {
            cursor.restart(error, run.now)?;
            let request = cursor.request();
            gathered.take(&mut cursor, &request, linear.api.plan(&request).await?)?;
        }
    }
    let Gathered { records, names, warnings, .. } = gathered;
    linear.explain(&live, names, run).await?;
    let records = records.into_iter().collect::<Result<Vec<RawRecord>>>()?;
    cursor.scans.values_mut().for_each(PagedScan::settle);
    let more = cursor.is_open();
    Ok(Page { records, cursor: cursor::write(&cursor, PLAN)?, more, warnings, ..Page::default() })
}

/// What a page gathers.
struct Gathered<'a> {
    linear: &'a Linear,
    live: &'a SiteContext,
    records: Vec<Result<RawRecord>>,
    names: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Gathered<'_> {
    /// Requests each list by itself and leaves out what is refused: initiatives, for one, are a paid feature.
    async fn one_by_one(&mut self, cursor: &mut PlanCursor, now: Millis) -> Result<()> {
        let PlanRequest { first, lists } = cursor.request();
        for (name, from) in lists {
            let one = PlanRequest { first, lists: [(name, from)].into() };
            match self.linear.api.plan(&one).await {
                Ok(answer) => self.take(cursor, &one, answer)?,
                Err(error) if error.kind() == ErrorKind::Permission => {
                    self.warnings.push(format!("{name} cannot be read and are left out for a day: {error}"));
                    cursor.scans.remove(name);
                    cursor.refused.insert(name.to_owned(), now);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the rows of a page of the lists that were requested.
    fn take(&mut self, cursor: &mut PlanCursor, request: &PlanRequest, mut answer: Answer<PlanPage>) -> Result<()> {
        self.warnings.extend(answer.errors.iter().map(|error| {
            format!(
                "the list of cycles and projects is incomplete, the same changes will be read again: {}",
                error.text
            )
        }));
        let PlanPage { cycles, projects, initiatives, attachments } = std::mem::take(&mut answer.data);
        for name in NAMES.into_iter().filter(|name| answer.touches(name)) {
            cursor.requested(request, name).into_iter().for_each(PagedScan::mark_incomplete);
        }
        let [a, b, c, d] = NAMES;
        rows(cursor.requested(request, a), cycles, |scan, cycle| self.cycle(scan, &cycle))?;
        rows(cursor.requested(request, b), projects, |scan, project| self.project(scan, &project))?;
        rows(cursor.requested(request, c), initiatives, |scan, row| self.initiative(scan, &row))?;
        rows(cursor.requested(request, d), attachments, |scan, row| self.attachment(scan, &row))
    }

    /// Takes a cycle. A running one is always given. A sub-team's copy counts only where its original is not read.
    fn cycle(&mut self, scan: &mut PagedScan, cycle: &Cycle) {
        let given = scan.take(&cycle.id, cycle.updated_at) || cycle.is_active;
        let reads = |team: &str| self.live.reference.wants(&self.linear.settings, team);
        let own = cycle.team.as_ref().is_none_or(|team| reads(&team.id));
        let original = cycle.inherited_from.as_ref().and_then(|original| original.team.as_ref());
        let is_copy = cycle.inherited_from.is_some() && original.is_none_or(|team| reads(&team.id));
        if given && own && !is_copy {
            self.name("team", cycle.team.as_ref().map(|team| &*team.id));
            self.records.push(record(PLAN, &cycle.id, "cycle", cycle));
        }
    }

    fn project(&mut self, scan: &mut PagedScan, project: &Project) {
        let teams = project.teams.iter().flat_map(|teams| &teams.nodes);
        if scan.take(&project.id, project.updated_at) && wants(self.linear, self.live, teams) {
            [&project.lead, &project.creator].into_iter().for_each(|who| self.person(who.as_ref()));
            self.records.push(record(PLAN, &project.id, "project", project));
        }
    }

    fn initiative(&mut self, scan: &mut PagedScan, initiative: &Initiative) {
        if scan.take(&initiative.id, initiative.updated_at) && wants(self.linear, self.live, initiative.teams()) {
            [&initiative.owner, &initiative.creator].into_iter().for_each(|who| self.person(who.as_ref()));
            self.records.push(record(PLAN, &initiative.id, "initiative", initiative));
        }
    }

    /// Takes an attachment that leads to a pull request or a commit. Others say nothing about the work.
    fn attachment(&mut self, scan: &mut PagedScan, attachment: &Attachment) {
        if scan.take(&attachment.id, attachment.updated_at) && mapping::artifact(&attachment.url).is_some() {
            self.person(attachment.creator.as_ref());
            self.records.push(record(PLAN, &attachment.id, "attachment", attachment));
        }
    }

    fn person(&mut self, who: Option<&OneOf>) {
        self.name("user", who.and_then(|who| who.id.as_deref()));
    }

    fn name(&mut self, kind: &str, id: Option<&str>) {
        self.names.extend(id.map(|id| format!("{kind}:{id}")));
    }
}

/// Takes the rows of one list, and moves past the page.
fn rows<T>(
    scan: Option<&mut PagedScan>,
    page: Option<Connection<T>>,
    mut take: impl FnMut(&mut PagedScan, T),
) -> Result<()> {
    let Some(scan) = scan else { return Ok(()) };
    let page = page.unwrap_or_default();
    page.nodes.into_iter().for_each(|row| take(scan, row));
    scan.step(&page.page_info).map(drop)
}

/// Whether something that these teams work on is read.
pub(super) fn wants<'t>(linear: &Linear, live: &SiteContext, mut teams: impl Iterator<Item = &'t TeamRef>) -> bool {
    let read = |team: &TeamRef| team.id.as_deref().is_some_and(|id| live.reference.wants(&linear.settings, id));
    linear.settings.teams.is_empty() || teams.any(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<PlanCursor>(include_str!("fixtures/cursors.json"), "plan");
    }
}
