//! A list that came page by page, and how much of it did not come.
//!
//! A list that ends before its own total, or holds rows that cannot be read, is not the whole list. What that costs is decided where
//! the list is used.

use contextcore_core::{Error, ErrorKind, Result};

use super::lenient::{Entries, List};

/// A list, as much of it as came.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) rows: Vec<T>,
    /// Rows that cannot be read.
    odd: usize,
    /// Rows that the list counts and did not give.
    missing: usize,
}

impl<T> Listed<T> {
    /// A list that came whole.
    pub(super) const fn of(rows: Vec<T>) -> Self {
        Self { rows, odd: 0, missing: 0 }
    }

    /// A list that came in one answer.
    pub(super) fn at_once(list: List<T>) -> Self {
        Self { rows: list.rows, odd: list.odd, missing: 0 }
    }

    /// The list without rows that lack what every row has: they cannot be read.
    pub(super) fn only(mut self, fits: impl Fn(&T) -> bool) -> Self {
        let all = self.rows.len();
        self.rows.retain(fits);
        self.odd += all - self.rows.len();
        self
    }

    /// What did not come of it, for people; none when it is whole.
    pub(super) fn lacks(&self) -> Option<String> {
        let lost = self.odd + self.missing;
        (lost > 0).then(|| format!("{lost} of {} did not come or cannot be read", self.rows.len() + lost))
    }

    /// The entries of a history, which has to be as long as it says.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when it is shorter.
    pub(super) fn into_entries(self, path: &str) -> Result<Entries<T>> {
        match self.missing {
            0 => Ok(Entries { kept: self.rows, odd: self.odd }),
            missing => {
                let text = "the history is shorter than it says";
                Err(Error::new(ErrorKind::Protocol, text).with("missing", missing).with("path", path))
            }
        }
    }

    /// Takes a page. Whether it was the last one: where the answer says so, at `isLast`, else at `total`, else at an empty page;
    /// a short page alone means nothing.
    pub(super) fn take(&mut self, values: List<T>, is_last: Option<bool>, total: Option<usize>) -> bool {
        let empty = values.rows.len() + values.odd == 0;
        self.rows.extend(values.rows);
        self.odd += values.odd;
        let missing = total.map(|total| total.saturating_sub(self.seen()));
        self.missing = missing.unwrap_or_default();
        is_last.unwrap_or(missing == Some(0)) || empty
    }

    /// Rows that came, in whatever shape.
    pub(super) const fn seen(&self) -> usize {
        self.rows.len() + self.odd
    }
}
