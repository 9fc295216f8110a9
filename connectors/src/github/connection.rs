//! Lists as GraphQL connections give them, and how many rows of one are read.

use std::marker::PhantomData;

use contextcore_core::{Error, ErrorKind};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cursor::{Came, PageInfo};

/// The most rows of a page: GitHub gives no more of any list. More would only fill our memory.
const MAX_ROWS: usize = 100;

/// Reads the rows of a page.
pub(super) fn capped<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(deserializer.deserialize_any(Page(PhantomData))?.unwrap_or_default())
}

/// Reads the rows of a page; none where it is null.
struct Page<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Page<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "a page of at most {MAX_ROWS} rows")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element()? {
            if rows.len() == MAX_ROWS {
                return Err(serde::de::Error::invalid_length(MAX_ROWS + 1, &self));
            }
            rows.push(row);
        }
        Ok(Some(rows))
    }
}

/// A list as GraphQL connections give it. Null nodes are things hidden from the token.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Answered<T>", bound = "T: Deserialize<'de>")]
pub(super) struct Rows<T> {
    pub(super) total_count: Option<u64>,
    pub(super) page_info: PageInfo,
    pub(super) nodes: Vec<Option<T>>,
    came: Came,
}

/// A list as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
struct Answered<T> {
    total_count: Option<u64>,
    #[serde(default)]
    page_info: PageInfo,
    #[serde(default = "not_asked")]
    nodes: Nodes<T>,
}

/// The rows of a list, and whether they came.
struct Nodes<T>(Vec<Option<T>>, Came);

const fn not_asked<T>() -> Nodes<T> {
    Nodes(Vec::new(), Came::NotAsked)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nodes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = deserializer.deserialize_any(Page(PhantomData))?;
        let came = if rows.is_some() { Came::Listed } else { Came::Null };
        Ok(Self(rows.unwrap_or_default(), came))
    }
}

impl<T> From<Answered<T>> for Rows<T> {
    fn from(Answered { total_count, page_info, nodes: Nodes(nodes, came) }: Answered<T>) -> Self {
        Self { total_count, page_info, nodes, came }
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { total_count: None, page_info: PageInfo::default(), nodes: Vec::new(), came: Came::NotAsked }
    }
}

impl<T> Rows<T> {
    /// Whether the rows came.
    pub(super) fn is_given(&self) -> bool {
        self.came == Came::Listed
    }

    /// Whether there is a list, and null instead of its rows.
    pub(super) fn is_null(&self) -> bool {
        self.came == Came::Null
    }

    /// The list, unless its rows were asked for and did not come.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] then: what is not listed may exist all the same.
    pub(super) fn whole(self, asked: bool, what: &str) -> Result<Self, Error> {
        if self.is_given() || !asked {
            return Ok(self);
        }
        Err(Error::new(ErrorKind::Protocol, format!("the list of {what} did not come")))
    }

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
    }

    #[test]
    fn a_list_that_did_not_come_is_not_an_empty_one() {
        let read = |json: &str| serde_json::from_str::<Rows<Named>>(json).unwrap();
        let null = read(r#"{"nodes":null}"#);
        assert!(null.nodes.is_empty() && null.is_null() && !null.is_given());
        assert!(null.whole(true, "items").is_err());
        assert!(read("{}").whole(true, "items").is_err() && read("{}").whole(false, "items").is_ok());
        assert!(read(r#"{"nodes":[]}"#).whole(true, "items").is_ok());
    }
}
