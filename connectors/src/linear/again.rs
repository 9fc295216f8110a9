//! Reading what could not be read before, by its id: an issue, or a row of one of the lists around the issues.

use contextcore_core::Result;
use contextcore_core::ingest::connector::{Page, Unreadable};

use super::histories;
use super::parts::may_be_one;
use super::plan_rows::{self, PlanRow, record_of};
use super::requests::PLAN_LISTS;
use super::rows::Row;
use super::session::{ISSUES, Linear, PLAN};
use crate::refusal::{confirmed, is_refused};

/// Reads these again. An id that no list has is that of nothing.
///
/// # Errors
/// As the session's.
pub(super) async fn read(linear: &Linear, ids: &[String]) -> Result<Page> {
    let ids: Vec<Box<str>> = ids.iter().map(|id| id.as_str().into()).collect();
    let live = linear.context();
    let fetched = histories::read_suspects(linear, &ids).await?;
    let live = linear.explain(&live, fetched.names(), &linear.run).await?;
    let mut left = ids;
    left.retain(|id| !fetched.has(id));
    let mut page = Page { unreadable: fetched.unreadable(), ..Page::default() };
    page.records = fetched.records(linear, &live, ISSUES)?;
    let mut refused = Vec::new();
    for name in PLAN_LISTS {
        if left.is_empty() {
            break;
        }
        match confirmed(|| plan_rows::by_ids(linear, name, &left), || linear.probe()).await {
            Ok(listed) => {
                left.retain(|id| !listed.rows.iter().any(|row| plan_rows::id_of(row).as_ref() == Some(id)));
                refused.extend(listed.unreadable().collect::<Vec<_>>());
                let wanted = |row: &&Row<PlanRow>| !matches!(row, Row::Known(row) if !row.is_wanted(linear, &live));
                for row in plan_rows::widen(linear, name, listed.rows).await?.iter().filter(wanted) {
                    page.records.push(record_of(row, name, PLAN)?);
                }
            }
            // Nothing of a list that could never be read is ours.
            Err(error) if is_refused(&error) && !linear.was_listed(name) => {}
            Err(error) if may_be_one(&error) => {
                let unreadable = |id: &str| Unreadable { native_id: id.to_owned(), reason: error.full() };
                refused.extend(left.iter().map(|id| unreadable(id)));
            }
            Err(error) => return Err(error),
        }
    }
    // What one list refused another may have had.
    refused.retain(|one| left.iter().any(|id| **id == *one.native_id));
    page.unreadable.extend(refused);
    linear.take_notes().add_to(&mut page);
    Ok(page)
}
