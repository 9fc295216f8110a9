//! A list of Linear that is read by what changed in it: an incremental scan with page cursors. Pure.
//!
//! Linear lists the newest change first and takes "changed since". So the watermark becomes the latest change of the sweep's
//! *first* page ([`crate::scan`] says why): whatever changes meanwhile moves in front of the pages still to be read, and is in
//! the next sweep.

use contextcore_core::model::time::{DAY, HOUR, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use crate::cursor::PageInfo;
use crate::scan::{IncrementalScan, SeenVersions, Sweep};

/// How far before the watermark a sweep begins: several writes share a moment, and clocks differ.
pub(super) const OVERLAP: i64 = 2 * MINUTE;
/// A page cursor older than this is not used any more.
const CURSOR_AGE: i64 = HOUR;
/// Pages after which a sweep counts as endless.
const MAX_PAGES: u32 = 50_000;

/// How far a list has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PagedScan {
    #[serde(flatten)]
    scan: IncrementalScan,
    /// A sweep has ended, even without rows.
    swept: bool,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<PagedSweep>,
}

/// A sweep under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PagedSweep {
    /// When it began.
    began: Millis,
    /// The page cursor.
    after: Option<Box<str>>,
    #[serde(flatten, with = "StoredSweep")]
    listed: Sweep,
    pages: u32,
    /// A page cursor was refused once, and the sweep started again.
    restarted: bool,
    /// Its last page was read.
    done: bool,
}

/// The names that cursors of Linear store a sweep under.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Sweep")]
struct StoredSweep {
    #[serde(rename = "candidate")]
    high: Option<Millis>,
    fresh: SeenVersions,
    #[serde(rename = "spoilt")]
    incomplete: bool,
}

impl PagedScan {
    /// Continues the sweep under way, or begins one. A watermark in the future, which older versions took from a row that was
    /// dated so, hides what changed since: then everything is read again.
    pub(super) fn open(&mut self, now: Millis) {
        if self.scan.watermark.is_some_and(|watermark| watermark > now.plus(DAY)) {
            *self = Self::default();
        }
        let young = |sweep: &PagedSweep| now.0 - sweep.began.0 < CURSOR_AGE;
        if !self.sweep.as_ref().is_some_and(young) {
            self.begin(now, false);
        }
    }

    fn begin(&mut self, began: Millis, restarted: bool) {
        let listed = Sweep::default();
        self.sweep = Some(PagedSweep { began, after: None, listed, pages: 0, restarted, done: false });
    }

    /// Whether a sweep is under way that has pages left.
    pub(super) fn is_open(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| !sweep.done)
    }

    /// Whether no sweep has ended yet.
    pub(super) fn is_first(&self) -> bool {
        !self.swept
    }

    /// Whether the next page is the first of its sweep.
    pub(super) fn is_at_start(&self) -> bool {
        self.after().is_none()
    }

    /// The change from which on rows are requested; none at first.
    pub(super) fn since(&self) -> Option<Millis> {
        self.scan.since(OVERLAP)
    }

    /// The page cursor.
    pub(super) fn after(&self) -> Option<&str> {
        self.sweep.as_ref()?.after.as_deref()
    }

    /// Takes a row. Whether it is new: this version of it was not given before.
    pub(super) fn take(&mut self, id: &str, updated: Millis) -> bool {
        let Some(PagedSweep { pages, listed, .. }) = &mut self.sweep else { return true };
        // Rows of a first page that cannot be listed are newer than all that follow.
        if *pages == 0 || listed.high.is_none() {
            listed.raise(updated);
        }
        if !self.scan.is_new(listed, id, updated) {
            return false;
        }
        listed.remember(id, updated);
        true
    }

    /// Notes that some rows could not be read: the watermark stays, so that they are listed again.
    pub(super) fn mark_incomplete(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.listed.incomplete = true;
        }
    }

    /// Moves past a page. Whether it was the last one.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when there is another page but no new cursor for it, and for too many pages.
    pub(super) fn step(&mut self, page: &PageInfo) -> Result<bool> {
        let Some(sweep) = &mut self.sweep else { return Ok(true) };
        sweep.pages += 1;
        if sweep.pages > MAX_PAGES {
            return Err(Error::new(ErrorKind::Protocol, "the list does not end").with("pages", sweep.pages));
        }
        sweep.listed.trim(OVERLAP);
        sweep.done = page.step(&mut sweep.after, "changes")?;
        Ok(sweep.done)
    }

    /// Recovers from a refused page: starts the sweep again, once, where the page cursor may be the cause.
    ///
    /// # Errors
    /// The refusal, when starting again would not help.
    pub(super) fn recover(&mut self, refusal: Error, now: Millis) -> Result<()> {
        let Some(sweep) = &self.sweep else { return Err(refusal) };
        if refusal.kind() != ErrorKind::Rejected || sweep.after.is_none() || sweep.restarted {
            return Err(refusal);
        }
        self.begin(now, true);
        Ok(())
    }

    /// Ends the reading of a list without a filter: the rest of it is older than the watermark.
    pub(super) fn cut(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.done = true;
        }
    }

    /// Ends a sweep whose last page was read, once all its records are at hand: now the watermark moves, to `latest` at most,
    /// which is now by Linear's own clock: a row that is dated later hides nothing.
    pub(super) fn settle(&mut self, latest: Millis) {
        let Some(sweep) = self.sweep.take_if(|sweep| sweep.done) else { return };
        self.swept |= !sweep.listed.incomplete;
        self.scan.settle(sweep.listed, latest, OVERLAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_000_000_000);

    fn at(seconds: i64) -> Millis {
        NOW.plus(seconds * 1_000)
    }

    fn more(cursor: Option<&str>) -> PageInfo {
        PageInfo { has_next_page: true, end_cursor: cursor.map(Into::into) }
    }

    fn end() -> PageInfo {
        PageInfo::default()
    }

    /// A list of which a row was read that changed now.
    fn read() -> PagedScan {
        let mut scan = PagedScan::default();
        scan.open(NOW);
        assert!(scan.is_first() && scan.take("a", NOW) && scan.step(&end()).unwrap());
        scan.settle(at(900));
        scan
    }

    #[test]
    fn the_watermark_moves_to_the_newest_of_the_first_page_after_the_last() {
        let mut scan = PagedScan::default();
        scan.open(NOW);
        assert_eq!(scan.since(), None);
        scan.take("b", at(-10));
        assert!(!scan.step(&more(Some("c1"))).unwrap());
        assert_eq!((scan.since(), scan.after()), (None, Some("c1")), "not before the last page was stored");
        scan.take("late", at(5));
        assert!(scan.step(&end()).unwrap() && scan.since().is_none());
        scan.settle(at(10));
        assert_eq!(scan.since(), Some(at(-10).plus(-OVERLAP)), "a later change of another page does not count");
    }

    #[test]
    fn a_version_that_was_given_is_not_new() {
        let mut scan = read();
        scan.open(at(300));
        assert!(!scan.take("a", NOW));
        assert!(scan.take("tie", NOW) && scan.take("a", at(1)));
        scan.step(&end()).unwrap();
        scan.settle(at(900));
        scan.open(at(600));
        assert!(!scan.take("tie", NOW) && !scan.take("a", at(1)));
    }

    #[test]
    fn an_incomplete_sweep_is_read_again() {
        let mut scan = read();
        scan.open(at(300));
        assert!(scan.take("b", at(200)));
        scan.mark_incomplete();
        scan.step(&end()).unwrap();
        scan.settle(at(900));
        assert_eq!(scan.since(), Some(NOW.plus(-OVERLAP)));
        scan.open(at(600));
        assert!(!scan.take("b", at(200)) && scan.take("hidden", at(200)));
    }

    #[test]
    fn a_row_dated_in_the_future_hides_nothing_and_is_given_once() {
        let (mut scan, future) = (PagedScan::default(), NOW.plus(400 * DAY));
        scan.open(NOW);
        assert!(scan.take("future", future) && scan.take("a", at(-5)));
        scan.step(&end()).unwrap();
        scan.settle(at(3));
        assert_eq!(scan.since(), Some(at(3).plus(-OVERLAP)));
        scan.open(at(300));
        assert!(!scan.take("future", future) && scan.take("b", at(200)));
    }

    #[test]
    fn a_watermark_that_a_row_in_the_future_left_behind_is_given_up() {
        let mut scan = PagedScan::default();
        scan.open(NOW);
        scan.take("future", NOW.plus(400 * DAY));
        scan.step(&end()).unwrap();
        scan.settle(NOW.plus(500 * DAY));
        scan.open(at(300));
        assert!(scan.since().is_none() && scan.is_first());
    }

    #[test]
    fn an_old_page_cursor_is_not_used_and_a_refused_one_restarts_once() {
        let mut scan = read();
        scan.open(at(10));
        scan.step(&more(Some("c1"))).unwrap();
        scan.open(at(20));
        assert_eq!(scan.after(), Some("c1"));
        let refusal = || Error::new(ErrorKind::Rejected, "Argument Validation Error");
        scan.recover(refusal(), at(30)).unwrap();
        assert_eq!(scan.after(), None);
        scan.step(&more(Some("c2"))).unwrap();
        assert!(scan.recover(refusal(), at(40)).is_err(), "once only");
        scan.open(at(30 + 3_600));
        assert_eq!(scan.after(), None);
    }
}
