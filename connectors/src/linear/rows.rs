//! Rows of lists, as Linear may send them: too many, null, or of an odd shape. One such row never spoils its neighbours.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::left_out::{Fits, mend};

use super::wire::{Act, Comment, Issue, Link, Named, Record, Ref, Span};

/// A row of a list.
#[derive(Debug, Clone)]
pub(super) enum Row<T> {
    /// As it should be.
    Known(T),
    /// Of an odd shape, as it came.
    Odd(Odd),
}

/// A row that cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Odd {
    /// Its id, as far as it has one.
    pub(super) id: Option<Box<str>>,
    pub(super) json: Box<RawValue>,
}

impl<T> Row<T> {
    /// The row, if it can be read.
    pub(super) fn known(self) -> Option<T> {
        match self {
            Self::Known(row) => Some(row),
            Self::Odd(_) => None,
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Row<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let odd = |json: Box<RawValue>| Self::Odd(Odd { id: id_of(&json), json });
        Ok(serde_json::from_str(json.get()).map_or_else(|_| odd(json), Self::Known))
    }
}

/// The id of a row, as far as it can be read.
pub(super) fn id_of(json: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Outline {
        id: Option<Box<str>>,
    }
    serde_json::from_str::<Outline>(json.get()).ok()?.id.filter(|id| !id.is_empty())
}

/// Reads an issue, without the entries of its lists that cannot be read. How many those were.
///
/// # Errors
/// When it cannot be read without them either.
pub(super) fn issue(json: &str) -> serde_json::Result<(Issue, usize)> {
    lenient(json, mend_issue)
}

/// Reads a record in the same way.
///
/// # Errors
/// When it cannot be read without them either.
pub(super) fn record(json: &str) -> serde_json::Result<Record> {
    lenient(json, |record| record.get_mut("issue").map_or(0, mend_record)).map(|(record, _)| record)
}

/// Nearly every text can be read as it is; only what cannot is looked into.
fn lenient<T: DeserializeOwned>(json: &str, mend: impl FnOnce(&mut Value) -> usize) -> serde_json::Result<(T, usize)> {
    serde_json::from_str(json).map(|read| (read, 0)).or_else(|error| {
        let mut value: Value = serde_json::from_str(json)?;
        let before = value.clone();
        let left_out = mend(&mut value);
        if value == before { Err(error) } else { Ok((serde_json::from_value(value)?, left_out)) }
    })
}

/// Who did something, as the entries of the lists name them.
const ACTORS: [&str; 4] = ["actorId", "actor", "botActor", "user"];

/// Takes the entries that cannot be read out of the lists of an issue. How many there were.
fn mend_issue(issue: &mut Value) -> usize {
    let lists: [(&str, Fits); 6] = [
        ("history", is_act),
        ("stateHistory", is::<Span>),
        ("inverseRelations", is::<Link>),
        ("comments", is::<Comment>),
        ("children", is::<Ref>),
        ("labels", is::<Named>),
    ];
    lists.into_iter().map(|(list, fits)| mend(issue.pointer_mut(&format!("/{list}/nodes")), &ACTORS, fits)).sum()
}

/// The same of a record of an issue, which holds the rests of its lists beside it.
fn mend_record(record: &mut Value) -> usize {
    let lists: [(&str, Fits); 4] =
        [("history", is_act), ("spans", is::<Span>), ("links", is::<Link>), ("comments", is::<Comment>)];
    let rests: usize = lists.into_iter().map(|(list, fits)| mend(record.get_mut(list), &ACTORS, fits)).sum();
    rests + record.get_mut("issue").map_or(0, mend_issue)
}

fn is<T: DeserializeOwned>(row: &Value) -> bool {
    T::deserialize(row.clone()).is_ok()
}

/// An act needs an id and a moment.
fn is_act(row: &Value) -> bool {
    Act::deserialize(row.clone()).is_ok_and(|act| act.is_dated())
}

#[cfg(test)]
mod tests {

    use super::super::wire::Connection;
    use super::*;

    #[test]
    fn null_and_odd_rows_cost_themselves() {
        let text = r#"{"nodes": [{"id": "a"}, null, {"id": 7}, {"id": "d", "name": 7}, {"id": "b", "name": "B"}]}"#;
        let page: Connection<Row<Named>> = serde_json::from_str(text).unwrap();
        let shown = page.nodes.iter().map(|row| match row {
            Row::Known(row) => format!("{}", row.id),
            Row::Odd(odd) => format!("odd {:?}", odd.id.as_deref()),
        });
        assert_eq!(shown.collect::<Vec<_>>(), ["a", "odd None", "odd None", "odd Some(\"d\")", "b"]);
    }
}
