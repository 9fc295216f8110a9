//! Lists with `startAt`, page by page.

use contextcore_core::http::Tries;
use contextcore_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::Api;
use super::dialect::HISTORY;
use super::lenient::{self, List, given};
use super::listed::Listed;

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
