//! The `plan` stream: what surrounds the issues. Cycles are sprints, projects and initiatives are epics, and attachments that
//! lead to a pull request or a commit are activities.
//!
//! One request lists all four, each from where its [`PagedScan`] is. A cycle begins without being changed, so the running
//! cycles are listed whenever anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use super::api::{Answer, FEW_TRIES, PlanPage};
use super::paged_scan::PagedScan;
use super::parts::may_be_one;
use super::plan_rows::{self, Listed, record_of};
use super::requests::{PLAN_LISTS, PlanRequest};
use super::rows::Row;
use super::session::{Linear, PLAN, SiteContext};
use super::sizes;
use crate::cursor;
use crate::refusal::{self, LeftOut, confirmed};

/// The list that only some workspaces have.
const PAID: &str = "initiatives";

/// How far each list has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PlanCursor {
    #[serde(rename = "feeds")]
    scans: BTreeMap<String, PagedScan>,
    /// Lists that are refused and should not be, and since when. They are asked for all the same.
    refused: BTreeMap<String, Millis>,
    /// Lists that this workspace does not have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<String, LeftOut>,
    /// Lists of names that could not be read yet when these were.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    absent: BTreeSet<Box<str>>,
}

impl PlanCursor {
    /// Starts again when a list of names can be read that could not be.
    fn take_lists(&mut self, absent: &BTreeSet<Box<str>>) {
        if !self.absent.is_subset(absent) {
            self.scans.clear();
        }
        self.absent.clone_from(absent);
    }

    fn open(&mut self, now: Millis) {
        let under_way = self.is_open();
        let is_left_out = |name: &str| self.left_out.get(name).is_some_and(|left_out| !left_out.is_due(now));
        for name in PLAN_LISTS.into_iter().filter(|name| !is_left_out(name)) {
            let scan = self.scans.entry(name.to_owned()).or_default();
            if !under_way || scan.is_open() {
                scan.open(now);
            }
        }
    }

    /// What to request: the lists that have pages left and are not refused, or those that are.
    fn request(&self, refused: bool) -> PlanRequest {
        let names = PLAN_LISTS.into_iter().filter(|name| self.is_refused(name) == refused);
        let known = names.filter_map(|name| Some((name, self.scans.get(name)?)));
        let open: Vec<(&'static str, &PagedScan)> = known.filter(|(_, scan)| scan.is_open()).collect();
        let many = open.iter().any(|(_, scan)| scan.is_first() || !scan.is_at_start());
        let from = |scan: &PagedScan| (scan.since(), scan.after().map(str::to_owned));
        PlanRequest {
            first: if many { sizes::PLAN } else { sizes::PLAN_PROBE },
            outline: false,
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

    fn is_refused(&self, name: &str) -> bool {
        self.refused.contains_key(name) || self.left_out.contains_key(name)
    }

    /// A list is refused: one that the workspace may not have, and that was never read, is left out. Returns since when, if it is
    /// another one.
    fn refuse(&mut self, name: &str, now: Millis) -> Option<Millis> {
        let scan = self.scans.get_mut(name).filter(|scan| name != PAID || !scan.is_first());
        let Some(scan) = scan else {
            self.scans.remove(name);
            let before = self.left_out.get(name).copied();
            self.left_out.insert(name.to_owned(), LeftOut::note(before, now));
            return None;
        };
        scan.mark_incomplete();
        scan.cut();
        Some(*self.refused.entry(name.to_owned()).or_insert(now))
    }

    /// A list is not refused, or not any more.
    fn serves(&mut self, name: &str) {
        self.refused.remove(name);
        self.left_out.remove(name);
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

/// Fetches the next page of records. A list that cannot be had costs its own rows, never the issues.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a list that does not end.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    let mut cursor: PlanCursor = cursor::read(stored, PLAN);
    cursor.take_lists(&live.reference.absent);
    cursor.open(run.now);
    let mut gathered = Gathered { linear, live: &live, page: Page::default(), names: BTreeSet::new() };
    let refused = cursor.request(true);
    gathered.all_at_once(&mut cursor, run.now).await?;
    gathered.one_by_one(&mut cursor, &refused, run.now).await?;
    let Gathered { mut page, names, .. } = gathered;
    linear.explain(&live, names, run).await?;
    cursor.scans.values_mut().for_each(|scan| scan.settle(linear.latest()));
    linear.note_listed(cursor.scans.iter().filter(|(_, scan)| !scan.is_first()).map(|(name, _)| name.clone()));
    linear.take_notes().add_to(&mut page);
    page.more = cursor.is_open();
    page.cursor = cursor::write(&cursor, PLAN)?;
    Ok(page)
}

/// Whether a failure of a list is worth going on without it: the issues do not need it.
fn may_cost_a_list(error: &Error) -> bool {
    may_be_one(error) || error.kind() == ErrorKind::Rejected
}

/// What a page gathers.
struct Gathered<'a> {
    linear: &'a Linear,
    live: &'a SiteContext,
    page: Page,
    names: BTreeSet<String>,
}

impl Gathered<'_> {
    /// Requests all lists at once; where that fails, each by itself.
    async fn all_at_once(&mut self, cursor: &mut PlanCursor, now: Millis) -> Result<()> {
        let mut request = cursor.request(false);
        if request.lists.is_empty() {
            return Ok(());
        }
        let mut answer = self.linear.api.plan(&request, FEW_TRIES).await;
        if let Err(error) = answer {
            answer = match cursor.restart(error, now) {
                Ok(()) => {
                    request = cursor.request(false);
                    self.linear.api.plan(&request, FEW_TRIES).await
                }
                Err(error) => Err(error),
            };
        }
        match answer {
            Ok(answer) => self.take(cursor, &request, answer).await,
            Err(error) if may_cost_a_list(&error) => {
                self.linear.probe().await?;
                self.one_by_one(cursor, &cursor.request(false), now).await
            }
            Err(error) => Err(error),
        }
    }

    /// Requests each of these lists by itself and leaves out what cannot be had: initiatives, for one, are a paid feature.
    async fn one_by_one(&mut self, cursor: &mut PlanCursor, request: &PlanRequest, now: Millis) -> Result<()> {
        for (name, from) in &request.lists {
            let one = PlanRequest { lists: [(*name, from.clone())].into(), ..request.clone() };
            match self.list(cursor, name, &one).await {
                Ok(listed) => {
                    cursor.serves(name);
                    self.give(cursor.scans.get_mut(*name), name, listed).await?;
                }
                Err(error) if refusal::is_refused(&error) => self.refuse(cursor, name, &error, now),
                Err(error) if may_cost_a_list(&error) => {
                    self.warn(format!("{name} cannot be read, the next run tries again: {error}"));
                    if let Some(scan) = cursor.scans.get_mut(*name) {
                        scan.mark_incomplete();
                        scan.cut();
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Requests one list. What is known to be refused is not confirmed again.
    async fn list(&self, cursor: &PlanCursor, name: &str, one: &PlanRequest) -> Result<Listed> {
        let ask = || plan_rows::page(self.linear, one);
        if cursor.is_refused(name) { ask().await } else { confirmed(ask, || self.linear.probe()).await }
    }

    fn refuse(&mut self, cursor: &mut PlanCursor, name: &str, error: &Error, now: Millis) {
        let known = cursor.is_refused(name);
        match cursor.refuse(name, now) {
            Some(since) => {
                let text = format!("{name} cannot be read: {error}");
                self.linear.notes().refused_since(since, now, text);
            }
            None if known => {}
            None => self.warn(format!("{name} cannot be read and are left out until they can: {error}")),
        }
    }

    /// Takes a page of each of the lists that were requested.
    async fn take(
        &mut self,
        cursor: &mut PlanCursor,
        request: &PlanRequest,
        mut answer: Answer<PlanPage>,
    ) -> Result<()> {
        for name in PLAN_LISTS {
            let listed = Listed::of(name, &mut answer);
            if cursor.requested(request, name).is_some() {
                let listed = listed.complete(self.linear, name).await?;
                self.give(cursor.scans.get_mut(name), name, listed).await?;
            }
        }
        Ok(())
    }

    /// Gives those rows of a list that are new, and moves past the page.
    async fn give(&mut self, scan: Option<&mut PagedScan>, name: &str, mut listed: Listed) -> Result<()> {
        let Some(scan) = scan else { return Ok(()) };
        if let Some(reason) = &listed.incomplete {
            self.warn(format!("the list of {name} is incomplete, the same changes will be read again: {reason}"));
            scan.mark_incomplete();
        }
        if listed.nameless > 0 {
            self.warn(format!("{} rows of the list of {name} have no id and are left out", listed.nameless));
        }
        self.page.unreadable.extend(listed.unreadable());
        listed.rows.retain(|row| match row {
            Row::Known(row) => scan.take(row.id(), row.updated_at()) || row.is_running(),
            Row::Odd(_) => true,
        });
        for row in plan_rows::widen(self.linear, name, listed.rows).await? {
            match &row {
                Row::Known(known) if !known.is_wanted(self.linear, self.live) => continue,
                Row::Known(known) => self.names.extend(known.names()),
                Row::Odd(_) => {}
            }
            self.page.records.push(record_of(&row, name, PLAN)?);
        }
        scan.step(&listed.page_info).map(drop)
    }

    fn warn(&mut self, text: String) {
        self.page.warnings.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<PlanCursor>(include_str!("fixtures/cursors.json"), "plan");
    }
}
