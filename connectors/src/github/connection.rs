//! Lists as GraphQL connections give them, and how many rows of one are read.

use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cursor::PageInfo;

/// The most rows of a page: GitHub gives no more of any list. More would only fill our memory.
const MAX_ROWS: usize = 100;

/// Reads the rows of a page.
pub(super) fn capped<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Page<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Page<T> {
        type Value = Vec<T>;

        fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(to, "a page of at most {MAX_ROWS} rows")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut rows = Vec::new();
            while let Some(row) = list.next_element()? {
                if rows.len() == MAX_ROWS {
                    return Err(serde::de::Error::invalid_length(MAX_ROWS + 1, &self));
                }
                rows.push(row);
            }
            Ok(rows)
        }
    }
    deserializer.deserialize_any(Page(PhantomData))
}

/// A list as GraphQL connections give it. Null nodes are things hidden from the token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(super) struct Rows<T> {
    pub(super) total_count: Option<u64>,
    #[serde(default)]
    pub(super) page_info: PageInfo,
    #[serde(default = "Vec::new", deserialize_with = "capped")]
    pub(super) nodes: Vec<Option<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { total_count: None, page_info: PageInfo::default(), nodes: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.nodes.iter().flatten()
    }

    /// Adds the rows of the pages that follow.
    pub(super) fn extend(&mut self, rows: &mut Vec<T>) {
        self.nodes.extend(rows.drain(..).map(Some));
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Named;
    use super::*;

    #[test]
    fn a_page_holds_no_more_rows_than_github_gives() {
        let page = |rows: usize| format!(r#"{{"nodes":[{}]}}"#, vec!["null"; rows].join(","));
        assert_eq!(serde_json::from_str::<Rows<Named>>(&page(MAX_ROWS)).unwrap().nodes.len(), MAX_ROWS);
        let error = serde_json::from_str::<Rows<Named>>(&page(MAX_ROWS + 1)).unwrap_err();
        assert!(error.to_string().contains("at most 100 rows"), "{error}");
        assert!(serde_json::from_str::<Rows<Named>>(r#"{"nodes":null}"#).unwrap().nodes.is_empty());
    }
}
