//! Where the listing of a long list goes on, and how a row is passed that GitHub cannot even step over.
//!
//! A page that fails in every form, down to the mere place where the next row begins, hides all that follows it. So the list is then
//! read from its other end, until it fails there as well or all its rows were listed. What lies between is a [`Gap`].

use contextcore_core::ingest::connector::Unreadable;
use contextcore_core::{Error, Result};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::cursor::PageInfo;

/// Where the listing goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// The cursor of the page before.
    pub(super) after: Option<Box<str>>,
    /// It is read from its other end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    back: bool,
    /// Rows that were listed from either end.
    #[serde(skip_serializing_if = "is_zero")]
    listed: u64,
    /// How many rows GitHub counts.
    #[serde(rename = "of", skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Rows that cannot be listed from either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) rows: u64,
    reason: String,
}

impl Gap {
    /// The record of it: an id that no node has.
    pub(super) fn unreadable(&self, list: &str) -> Unreadable {
        let Self { rows, reason } = self;
        let reason = format!("GitHub cannot list {rows} rows of it, nor what is before or after them: {reason}");
        Unreadable { native_id: format!("{list}:unlisted"), reason }
    }
}

impl Place {
    /// The order in which the list is asked for.
    pub(super) const fn direction(&self) -> &'static str {
        if self.back { "DESC" } else { "ASC" }
    }

    /// How many rows GitHub counted last.
    pub(super) const fn total(&self) -> Option<u64> {
        self.total
    }

    /// How many of so many rows of a page are new: the others were listed from the first end.
    pub(super) fn fresh(&self, rows: usize, total: Option<u64>) -> usize {
        let left = total.or(self.total).filter(|_| self.back).map(|total| total.saturating_sub(self.listed));
        left.map_or(rows, |left| usize::try_from(left).unwrap_or(rows).min(rows))
    }

    /// Goes on after a page with so many new rows. Whether there is more.
    ///
    /// # Errors
    /// As [`PageInfo::step`].
    pub(super) fn pass(&mut self, page: &PageInfo, rows: usize, total: Option<u64>, list: &str) -> Result<bool> {
        self.listed += rows as u64;
        self.total = total.or(self.total);
        let ended = page.step(&mut self.after, list)?;
        let is_all = self.back && self.total.is_some_and(|total| self.listed >= total);
        Ok(!ended && !is_all)
    }

    /// Goes on where a page cannot be listed in any form: at the other end, else nowhere.
    ///
    /// # Errors
    /// The failure, when nothing could be listed at all.
    pub(super) fn turn(&mut self, error: Error, list: &str) -> Result<Option<Gap>> {
        if !self.back {
            info!(list, error = error.full(), "a page cannot be passed, listing from the other end");
            (self.after, self.back) = (None, true);
            return Ok(None);
        }
        if self.listed == 0 {
            return Err(error);
        }
        let rows = self.total.map_or(1, |total| total.saturating_sub(self.listed).max(1));
        Ok(Some(Gap { rows, reason: error.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;

    use super::*;

    fn page(end: &str) -> PageInfo {
        PageInfo { has_next_page: true, end_cursor: Some(end.into()) }
    }

    fn failure() -> Error {
        Error::new(ErrorKind::Unavailable, "boom")
    }

    #[test]
    fn a_list_that_is_stuck_is_read_from_its_other_end_until_all_is_listed() {
        let mut place = Place::default();
        assert!(place.pass(&page("a"), 4, Some(10), "P").unwrap());
        assert_eq!((place.direction(), place.turn(failure(), "P").unwrap()), ("ASC", None));
        assert_eq!((place.direction(), place.after.as_deref()), ("DESC", None));
        assert!(place.pass(&page("z"), place.fresh(4, Some(10)), Some(10), "P").unwrap());
        // The rest overlaps with what was listed.
        assert_eq!(place.fresh(4, Some(10)), 2);
        assert!(!place.clone().pass(&page("y"), 2, Some(10), "P").unwrap());
        // Or it is stuck from there as well.
        let gap = place.turn(failure(), "P").unwrap().unwrap();
        assert_eq!(gap.rows, 2);
        assert!(gap.unreadable("P").native_id.starts_with("P:"));
    }

    #[test]
    fn a_list_of_which_nothing_comes_is_a_failure() {
        let mut place = Place::default();
        assert_eq!(place.turn(failure(), "P").unwrap(), None);
        assert!(place.turn(failure(), "P").is_err());
    }

    #[test]
    fn what_is_stored_is_as_before_until_a_list_is_stuck() {
        let stored = |place: &Place| serde_json::to_value(place).unwrap();
        assert_eq!(stored(&Place { after: Some("x".into()), ..Place::default() }), serde_json::json!({"after": "x"}));
    }
}
