//! Cursors as text and back, and the page cursors of GraphQL lists.

use contextcore_core::ingest::connector::Cursor;
use contextcore_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Reads the cursor of a stream. One that this version cannot read is worth a new start, not an error.
pub(crate) fn read<T: Default + DeserializeOwned>(cursor: Option<&Cursor>, stream: &'static str) -> T {
    let Some(cursor) = cursor else { return T::default() };
    serde_json::from_value(cursor.0.clone()).unwrap_or_else(|error| {
        warn!(stream, %error, "the cursor cannot be read, the stream is read again from its start");
        T::default()
    })
}

/// Writes the cursor of a stream.
///
/// # Errors
/// [`ErrorKind::Internal`] when it cannot be written as JSON.
pub(crate) fn write(cursor: &impl Serialize, stream: &'static str) -> Result<Cursor> {
    let written = serde_json::to_value(cursor).map(Cursor);
    written.map_err(|error| Error::new(ErrorKind::Internal, "write a cursor").with("stream", stream).caused_by(error))
}

/// Whether the rows of a list came at all. A list that did not come is not an empty one: what it would name may exist all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Came {
    /// They are not in the answer.
    #[default]
    NotAsked,
    /// There is null instead of them.
    Null,
    Listed,
}

/// Whether a list has another page, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    pub(crate) end_cursor: Option<Box<str>>,
}

impl PageInfo {
    /// The cursor of the next page, if there is one.
    pub(crate) fn next(&self) -> Option<&str> {
        self.end_cursor.as_deref().filter(|_| self.has_next_page)
    }

    /// Moves `after` to the next page. Whether this was the last one; then `after` stays.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when there is another page but no new cursor: reading on would not end.
    pub(crate) fn step(&self, after: &mut Option<Box<str>>, list: &str) -> Result<bool> {
        if !self.has_next_page {
            return Ok(true);
        }
        if self.end_cursor.is_none() || self.end_cursor == *after {
            let text = "a list has another page but gives no new cursor for it";
            return Err(Error::new(ErrorKind::Protocol, text).with("list", list));
        }
        after.clone_from(&self.end_cursor);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cursor_moves_to_the_end_and_never_in_circles() {
        let page = |next, cursor: Option<&str>| PageInfo { has_next_page: next, end_cursor: cursor.map(Into::into) };
        let mut after = None;
        assert!(!page(true, Some("a")).step(&mut after, "issues").unwrap());
        for circle in [page(true, Some("a")), page(true, None)] {
            assert_eq!(circle.step(&mut after, "issues").unwrap_err().kind(), ErrorKind::Protocol);
        }
        assert!(page(false, Some("b")).step(&mut after, "issues").unwrap());
        assert_eq!(after.as_deref(), Some("a"));
    }

    #[test]
    fn a_cursor_that_cannot_be_read_starts_again() {
        let cursor = Cursor(serde_json::json!({"has_next_page": 7, "hasNextPage": "?"}));
        assert_eq!(read::<PageInfo>(Some(&cursor), "issues"), PageInfo::default());
        assert_eq!(read::<PageInfo>(None, "issues"), PageInfo::default());
    }
}

/// Stored cursors, held against what today's code makes of them.
#[cfg(test)]
pub(crate) mod golden {
    use serde_json::Value;

    use super::{DeserializeOwned, Serialize};

    /// Reads the cursors that an older version stored of a stream, and writes them again: nothing may be lost or renamed.
    #[track_caller]
    pub(crate) fn assert_unchanged<T: DeserializeOwned + Serialize>(file: &str, stream: &str) -> Vec<T> {
        let stored: Value = serde_json::from_str(file).unwrap();
        let read = |cursor: &Value| {
            let read: T = serde_json::from_value(cursor.clone()).unwrap();
            assert_eq!(sorted(serde_json::to_value(&read).unwrap()), sorted(cursor.clone()), "{stream}");
            read
        };
        let cursors: Vec<T> = stored[stream].as_array().unwrap().iter().map(read).collect();
        assert!(!cursors.is_empty(), "no cursor of {stream}");
        cursors
    }

    /// Lists of pairs are sets.
    fn sorted(mut value: Value) -> Value {
        match &mut value {
            Value::Array(rows) if rows.iter().all(Value::is_array) => rows.sort_by_key(Value::to_string),
            Value::Object(fields) => fields.values_mut().for_each(|field| *field = sorted(field.take())),
            _ => {}
        }
        value
    }
}
