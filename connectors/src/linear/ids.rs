//! The `ids` stream: the ids of everything there is, so that absence means something, and the open issues once more.
//!
//! Linear lists trashed issues for a month, then they are gone. Not everything that concerns an issue counts as a change of it
//! (a renamed state, a cycle that rolls over), so this pass, once a day, reads the open issues again, without those that this run
//! has read already. A deleted cycle is only missed here, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, Run};
use contextcore_core::{Error, ErrorKind, Result, Retry};
use serde::{Deserialize, Serialize};

use super::api::{ALL_TRIES, FEW_TRIES};
use super::histories;
use super::parts::may_be_one;
use super::plan_rows::{self, record_of};
use super::reference::Cursors;
use super::requests::{ChangesRequest, PlanRequest};
use super::rows::{Odd, Row};
use super::session::{IDS, Linear, SiteContext};
use super::sizes;
use crate::cursor::{self, PageInfo};
use crate::refusal::{Notes, confirmed, is_refused};

/// Pages of cycles after which their list is taken to be endless.
const MAX_PAGES: usize = 1_000;
/// What is said of a row that may be of anything.
const NO_ID: &str = "a row has no id";

/// What a pass lists, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    Issues,
    Projects,
    Initiatives,
    Cycles,
}

impl Phase {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Issues => Some(Self::Projects),
            Self::Projects => Some(Self::Initiatives),
            Self::Initiatives => Some(Self::Cycles),
            Self::Cycles => None,
        }
    }
}

/// How far a pass has come. A finished pass leaves none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct IdCursor {
    phase: Phase,
    after: Option<Box<str>>,
}

/// Fetches the next page of ids; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's; an answer with errors beside its data is one too, since an incomplete list would look like deletions.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, stored: Option<&Cursor>, run: &Run) -> Result<Page> {
    // Where no configured team is left, the list of all teams would be the wrong one.
    live.missing_teams()?;
    let position: IdCursor = cursor::read(stored, IDS);
    let (mut page, next) = match position.phase {
        Phase::Issues => issues(linear, live, &position, run).await?,
        Phase::Projects | Phase::Initiatives => surroundings(linear, &live, &position, run).await?,
        Phase::Cycles => cycles(linear).await?,
    };
    let IdCursor { phase, mut after } = position;
    let next = match next.step(&mut after, "ids")? {
        false => Some(IdCursor { phase, after }),
        true => phase.next().map(|phase| IdCursor { phase, after: None }),
    };
    page.more = next.is_some();
    page.cursor = cursor::write(&next.unwrap_or_default(), IDS)?;
    Ok(page)
}

async fn issues(linear: &Linear, live: Arc<SiteContext>, position: &IdCursor, run: &Run) -> Result<(Page, PageInfo)> {
    let request = ChangesRequest {
        teams: &live.teams,
        since: None,
        first: sizes::IDS,
        after: position.after.as_deref(),
        all: true,
        skips: false,
        links: None,
        comments: None,
    };
    let answer = linear.api.changed(&request, ALL_TRIES).await?;
    if answer.is_incomplete("issues") {
        return Err(incomplete("issues", &answer.refusal().full()));
    }
    let list = answer.data.issues.filter(|list| !list.is_null()).ok_or_else(|| no_list("issues"))?;
    let (mut seen, mut open) = (Vec::new(), Vec::new());
    for row in list.nodes {
        let (id, is_open) = match row {
            Row::Known(issue) => (issue.id.clone(), issue.is_open()),
            Row::Odd(Odd { id, .. }) => (id.ok_or_else(|| incomplete("issues", NO_ID))?, true),
        };
        if is_open && !linear.was_read(&id) {
            open.push(id.clone());
        }
        seen.push(id.into());
    }
    let fetched = histories::read(linear, &open).await?;
    let live = linear.explain(&live, fetched.names(), run).await?;
    if !fetched.postponed.is_empty() {
        // The next run continues here, when there is quota again.
        let text = "the quota was spent before all open issues were read again";
        return Err(Error::new(ErrorKind::RateLimited, text).with_retry(Retry::Backoff));
    }
    let (unreadable, Notes { warnings, withheld }) = (fetched.unreadable(), linear.take_notes());
    let records = fetched.records(linear, &live, IDS)?;
    Ok((Page { records, unreadable, seen, warnings, withheld, ..Page::default() }, list.page_info))
}

/// Projects or initiatives, each with its record.
async fn surroundings(
    linear: &Linear,
    live: &Arc<SiteContext>,
    position: &IdCursor,
    run: &Run,
) -> Result<(Page, PageInfo)> {
    let name = if position.phase == Phase::Projects { "projects" } else { "initiatives" };
    let from = (None, position.after.clone().map(Into::into));
    let request = PlanRequest { first: sizes::PLAN, outline: false, lists: [(name, from)].into() };
    let listed = match confirmed(|| plan_rows::page(linear, &request), || linear.probe()).await {
        // What could never be read has no tasks here that could be missing.
        Err(error) if is_refused(&error) && !linear.was_listed(name) => {
            return Ok((Page::default(), PageInfo::default()));
        }
        listed => listed?,
    };
    if let Some(reason) = listed.incomplete.as_deref().or((listed.nameless > 0).then_some(NO_ID)) {
        return Err(incomplete(name, reason));
    }
    let mut page = Page { unreadable: listed.unreadable().collect(), ..Page::default() };
    page.seen.extend(listed.unreadable.keys().map(ToString::to_string));
    for row in &plan_rows::widen(linear, name, listed.rows).await? {
        match row {
            Row::Known(row) if !row.is_wanted(linear, live) => {
                page.out_of_scope += 1;
                continue;
            }
            Row::Known(row) => page.seen.push(row.id().to_owned()),
            Row::Odd(odd) => page.seen.extend(odd.id.as_deref().map(str::to_owned)),
        }
        page.records.push(record_of(row, name, IDS)?);
    }
    linear.explain(live, BTreeSet::new(), run).await?;
    Ok((page, listed.page_info))
}

/// Every cycle that there is: those that are not among them were deleted. What is archived before its end was deleted too.
async fn cycles(linear: &Linear) -> Result<(Page, PageInfo)> {
    let (mut open, mut from) = (Vec::new(), Cursors::from([("cycles", None)]));
    for _ in 0..MAX_PAGES {
        let answer = linear.api.reference(&from, FEW_TRIES).await;
        let (error, data) = match answer {
            Ok(answer) if answer.errors.is_empty() => (None, Some(answer.data)),
            Ok(answer) => (Some(answer.refusal()), None),
            Err(error) if may_be_one(&error) => (Some(error), None),
            Err(error) => return Err(error),
        };
        let Some(list) = data.and_then(|data| data.cycles).filter(|list| !list.is_null()) else {
            let reason = error.map_or_else(String::new, |error| format!(": {error}"));
            let warnings = vec![format!("the list of cycles cannot be read, deleted ones are not noticed{reason}")];
            return Ok((Page { warnings, ..Page::default() }, PageInfo::default()));
        };
        let mut after = from.remove("cycles").flatten().map(String::into_boxed_str);
        let is_last = list.page_info.step(&mut after, "cycles")?;
        for row in list.nodes {
            match row {
                Row::Known(cycle) => open.extend(cycle.alive().map(str::to_owned)),
                Row::Odd(odd) => open.extend(odd.id.map(String::from)),
            }
        }
        if is_last {
            return Ok((Page { open_sprints: Some(open), ..Page::default() }, PageInfo::default()));
        }
        from.insert("cycles", after.map(String::from));
    }
    Err(Error::new(ErrorKind::Protocol, "the list of cycles does not end"))
}

/// The error of a list that would look like deletions.
fn incomplete(name: &str, reason: &str) -> Error {
    let text = format!("the list of all {name} is incomplete: {reason}");
    Error::new(ErrorKind::Unavailable, text).with_retry(Retry::Backoff)
}

fn no_list(name: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "the answer lacks the list that was requested").with("list", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cursors_are_read_and_written_as_before() {
        cursor::golden::assert_unchanged::<IdCursor>(include_str!("fixtures/cursors.json"), "ids");
    }
}
