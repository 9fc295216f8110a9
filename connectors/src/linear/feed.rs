//! A resource that is read by what changed in it: where the reading stands, and how it takes the next step. Pure.
//!
//! Linear lists the newest change first and takes "changed since". So a sweep reads from the newest change down to the
//! watermark less an overlap, and the watermark then becomes the *largest* change of the sweep's first page, and only after
//! its last page was kept: whatever changed meanwhile jumped ahead of the pages still to be read, and is in the next sweep.
//! Rows inside the overlap that were given already, with the same time of change, are not given again.

use contextcore_core::model::time::{HOUR, MINUTE};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use super::wire::PageInfo;

/// How far before the watermark a sweep begins: several writes share a moment, and clocks differ.
const OVERLAP: i64 = 2 * MINUTE;
/// Rows of the overlap that are remembered.
const REMEMBERED: usize = 2_000;
/// A cursor older than this is not gone on with.
const CURSOR_AGE: i64 = HOUR;
/// Pages after which a sweep is taken to be endless.
const MAX_PAGES: u32 = 50_000;

/// Rows and when they were changed, in milliseconds.
type Sights = Vec<(Box<str>, i64)>;

/// Where the reading of a resource stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Feed {
    /// Everything that changed before this has been read.
    watermark: Option<Millis>,
    /// What was given within the overlap before the watermark.
    recent: Sights,
    /// A sweep came to its end, be it without finding anything.
    swept: bool,
    /// The sweep under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
}

/// One reading of everything since the watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sweep {
    /// When it began.
    began: Millis,
    /// The page cursor.
    after: Option<Box<str>>,
    /// What the watermark becomes: the largest change of the first page.
    candidate: Option<Millis>,
    /// What was given within the overlap before that.
    fresh: Sights,
    pages: u32,
    /// Something could not be read: the watermark stays.
    spoilt: bool,
    /// A cursor was refused once, and the sweep began anew.
    restarted: bool,
    /// Its last page was read.
    done: bool,
}

impl Feed {
    /// Goes on with the sweep under way, or begins one.
    pub(super) fn open(&mut self, now: Millis) {
        let young = |sweep: &Sweep| now.0 - sweep.began.0 < CURSOR_AGE;
        if !self.sweep.as_ref().is_some_and(young) {
            self.begin(now, false);
        }
    }

    fn begin(&mut self, began: Millis, restarted: bool) {
        let (after, candidate, fresh, pages, spoilt) = (None, None, Vec::new(), 0, false);
        self.sweep = Some(Sweep { began, after, candidate, fresh, pages, spoilt, restarted, done: false });
    }

    /// Whether a sweep is under way that has pages left.
    pub(super) fn is_open(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| !sweep.done)
    }

    /// Whether it never came to an end before.
    pub(super) fn is_first(&self) -> bool {
        !self.swept
    }

    /// Whether the next page is the first of its sweep.
    pub(super) fn is_at_start(&self) -> bool {
        self.sweep.as_ref().is_none_or(|sweep| sweep.after.is_none())
    }

    /// The change from which on rows are asked for; none at first.
    pub(super) fn since(&self) -> Option<Millis> {
        self.watermark.map(|watermark| watermark.plus(-OVERLAP))
    }

    /// The page cursor.
    pub(super) fn after(&self) -> Option<&str> {
        self.sweep.as_ref()?.after.as_deref()
    }

    /// Takes a row in. Whether it is news: it was not given with this very change before.
    pub(super) fn take(&mut self, id: &str, updated: Millis) -> bool {
        let Some(sweep) = &mut self.sweep else { return true };
        if sweep.pages == 0 {
            sweep.candidate = sweep.candidate.max(Some(updated));
        }
        let given = |sights: &Sights| sights.iter().any(|(known, at)| **known == *id && *at == updated.0);
        if given(&self.recent) || given(&sweep.fresh) {
            return false;
        }
        if sweep.candidate.is_some_and(|candidate| updated.0 >= candidate.0 - OVERLAP) {
            sweep.fresh.push((id.into(), updated.0));
        }
        true
    }

    /// Some rows could not be had: the watermark stays, so that they come again.
    pub(super) fn spoil(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.spoilt = true;
        }
    }

    /// Steps over a page. Whether it was the last.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when there is more but no cursor, or the same one again, and for too many pages.
    pub(super) fn step(&mut self, page: &PageInfo) -> Result<bool> {
        let Some(sweep) = &mut self.sweep else { return Ok(true) };
        sweep.pages += 1;
        if !page.has_next_page {
            sweep.done = true;
            return Ok(true);
        }
        let circles = page.end_cursor.is_none() || page.end_cursor == sweep.after || sweep.pages > MAX_PAGES;
        if circles {
            let text = "there is more, but no way to it: the page cursor is missing or the same again";
            return Err(Error::new(ErrorKind::Protocol, text).with("pages", sweep.pages));
        }
        sweep.after.clone_from(&page.end_cursor);
        Ok(false)
    }

    /// What to do about a refused page: begin anew, once, when it may be for its cursor.
    ///
    /// # Errors
    /// The refusal, when beginning anew would not help.
    pub(super) fn recover(&mut self, refusal: Error, now: Millis) -> Result<()> {
        let Some(sweep) = &self.sweep else { return Err(refusal) };
        if refusal.kind() != ErrorKind::Rejected || sweep.after.is_none() || sweep.restarted {
            return Err(refusal);
        }
        self.begin(now, true);
        Ok(())
    }

    /// Enough was read: what is left of a list without a filter is older than the watermark.
    pub(super) fn cut(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.done = true;
        }
    }

    /// Closes a sweep that was read to its end, once everything it gave is at hand: now the watermark moves.
    pub(super) fn settle(&mut self) {
        let Some(sweep) = self.sweep.take_if(|sweep| sweep.done) else { return };
        self.recent.retain(|(id, _)| !sweep.fresh.iter().any(|(fresh, _)| fresh == id));
        self.recent.extend(sweep.fresh);
        if !sweep.spoilt {
            self.swept = true;
            self.watermark = self.watermark.max(sweep.candidate);
        }
        let from = self.watermark.map_or(i64::MIN, |watermark| watermark.0 - OVERLAP);
        self.recent.retain(|(_, updated)| *updated >= from);
        if self.recent.len() > REMEMBERED {
            self.recent.sort_by_key(|(_, updated)| *updated);
            self.recent.drain(..self.recent.len() - REMEMBERED);
        }
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

    /// A feed that has read a row changed now.
    fn read() -> Feed {
        let mut feed = Feed::default();
        feed.open(NOW);
        assert!(feed.is_first() && feed.take("a", NOW) && feed.step(&end()).unwrap());
        feed.settle();
        feed
    }

    #[test]
    fn the_watermark_moves_to_the_newest_of_the_first_page_after_the_last() {
        let mut feed = Feed::default();
        feed.open(NOW);
        assert_eq!(feed.since(), None);
        feed.take("b", at(-10));
        assert!(!feed.step(&more(Some("c1"))).unwrap());
        assert_eq!((feed.since(), feed.after()), (None, Some("c1")), "not before the last page was kept");
        feed.take("late", at(5));
        assert!(feed.step(&end()).unwrap() && feed.since().is_none());
        feed.settle();
        assert_eq!(feed.since(), Some(at(-10).plus(-OVERLAP)), "a later change seen on the way does not count");
    }

    #[test]
    fn what_was_given_with_the_same_change_is_not_news() {
        let mut feed = read();
        feed.open(at(300));
        assert!(!feed.take("a", NOW));
        assert!(feed.take("tie", NOW) && feed.take("a", at(1)));
        feed.step(&end()).unwrap();
        feed.settle();
        feed.open(at(600));
        assert!(!feed.take("tie", NOW) && !feed.take("a", at(1)));
    }

    #[test]
    fn a_spoilt_sweep_is_read_again() {
        let mut feed = read();
        feed.open(at(300));
        assert!(feed.take("b", at(200)));
        feed.spoil();
        feed.step(&end()).unwrap();
        feed.settle();
        assert_eq!(feed.since(), Some(NOW.plus(-OVERLAP)));
        feed.open(at(600));
        assert!(!feed.take("b", at(200)) && feed.take("hidden", at(200)));
    }

    #[test]
    fn an_old_cursor_is_not_gone_on_with_and_a_refused_one_once() {
        let mut feed = read();
        feed.open(at(10));
        feed.step(&more(Some("c1"))).unwrap();
        feed.open(at(20));
        assert_eq!(feed.after(), Some("c1"));
        let refusal = || Error::new(ErrorKind::Rejected, "Argument Validation Error");
        feed.recover(refusal(), at(30)).unwrap();
        assert_eq!(feed.after(), None);
        feed.step(&more(Some("c2"))).unwrap();
        assert!(feed.recover(refusal(), at(40)).is_err(), "once only");
        feed.open(at(30 + 3_600));
        assert_eq!(feed.after(), None);
    }

    #[test]
    fn a_cursor_that_leads_nowhere_is_an_error() {
        let mut feed = read();
        feed.open(NOW);
        feed.step(&more(Some("c1"))).unwrap();
        assert_eq!(feed.clone().step(&more(Some("c1"))).unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(feed.step(&more(None)).unwrap_err().kind(), ErrorKind::Protocol);
    }
}
