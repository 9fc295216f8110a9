//! Lists with `startAt`, page by page, and how much of one did not come.
//!
//! [`Listed`] says what is missing: a list that ends before its own total, or holds rows that cannot be read, is not the whole
//! list. What that costs is decided where the list is used.

use contextcore_core::http::Tries;
use contextcore_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::Api;
use super::dialect::HISTORY;
use super::lenient::{self, Entries, List, given};

/// Pages that no list we read has: an endless one ends here.
const MAX_PAGES: usize = 1_000;

/// A page of one of the lists with `startAt`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
struct Rows<T> {
    values: Option<List<T>>,
    #[serde(default, deserialize_with = "lenient::known_flag")]
    is_last: Option<bool>,
    #[serde(default, deserialize_with = "lenient::whole")]
    total: Option<usize>,
}

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
    fn take(&mut self, values: List<T>, is_last: Option<bool>, total: Option<usize>) -> bool {
        let empty = values.rows.len() + values.odd == 0;
        self.rows.extend(values.rows);
        self.odd += values.odd;
        let missing = total.map(|total| total.saturating_sub(self.seen()));
        self.missing = missing.unwrap_or_default();
        is_last.unwrap_or(missing == Some(0)) || empty
    }

    /// Rows that came, in whatever shape.
    const fn seen(&self) -> usize {
        self.rows.len() + self.odd
    }
}

impl Api {
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
        rows: u64,
    ) -> Result<Listed<T>> {
        self.confirmed(|| self.rows_with(bucket, path, query, rows, self.tries())).await
    }

    /// All rows of a list with `startAt`.
    pub(super) async fn rows_with<T: DeserializeOwned>(
        &self,
        bucket: &'static str,
        path: &str,
        query: &[(&str, &str)],
        rows: u64,
        tries: Tries,
    ) -> Result<Listed<T>> {
        let mut all = Listed::of(Vec::new());
        for _ in 0..MAX_PAGES {
            let (from, most) = (all.seen().to_string(), rows.to_string());
            let mut query = query.to_vec();
            query.extend([("startAt", from.as_str()), ("maxResults", most.as_str())]);
            // A history is not mended: a value that is not read would be a false fact.
            let answer = match bucket {
                HISTORY => self.session.get_with(bucket, path, &query, tries).await,
                _ => self.session.get_mended(bucket, path, &query, tries).await,
            };
            let page: Rows<T> = self.note(answer)?;
            if all.take(given(page.values, path)?, page.is_last, page.total) {
                return Ok(all);
            }
        }
        Err(Error::new(ErrorKind::Protocol, "a list does not end").with("path", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &[u8], odd: usize) -> List<u8> {
        List { rows: rows.to_vec(), odd }
    }

    #[test]
    fn a_list_that_ends_before_its_total_is_not_whole() {
        let mut list = Listed::of(Vec::new());
        assert!(!list.take(page(&[1, 2], 0), None, Some(4)));
        assert!(list.take(page(&[3], 0), Some(true), Some(4)));
        assert_eq!((list.rows.len(), list.lacks().is_some()), (3, true));
        assert_eq!(list.into_entries("x").unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn rows_that_cannot_be_read_count_as_rows() {
        let mut list = Listed::of(Vec::new());
        assert!(!list.take(page(&[1], 1), Some(false), Some(3)));
        assert!(list.take(page(&[3], 0), None, Some(3)));
        assert!(list.lacks().is_some_and(|text| text.starts_with("1 of 3")));
        assert_eq!(list.into_entries("x").unwrap().odd, 1);
        // Without a total an empty page is the end, as it always was.
        assert!(Listed::of(vec![1]).take(page(&[], 0), None, None));
    }
}
