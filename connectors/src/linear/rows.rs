//! Rows of lists, as Linear may send them: too many, null, or of an odd shape. One such row never spoils its neighbours.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{Act, Comment, Issue, Link, Named, Record, Ref, Span};

/// Rows of a page at most: Linear gives no more, and no request asks for more.
const MOST: usize = 250;
/// Errors of an answer that are read.
const MOST_ERRORS: usize = 100;

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

/// Reads the rows of a page, and stops at the first that no page can hold: an answer may be without end. A list that is null
/// has no rows.
pub(super) fn limited<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Limited { most: MOST, strict: true, row: PhantomData })
}

/// Reads the errors of an answer: the first of them, whatever their shape.
pub(super) fn errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    let json = Box::<RawValue>::deserialize(deserializer)?;
    let list = Limited { most: MOST_ERRORS, strict: false, row: PhantomData };
    let read = serde_json::Deserializer::from_str(json.get()).deserialize_any(list);
    Ok(read.unwrap_or_else(|_| serde_json::from_str(json.get()).into_iter().collect()))
}

/// Reads so many elements of a list. If strict, more are an error, else they are passed over.
struct Limited<T> {
    most: usize,
    strict: bool,
    row: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Limited<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} rows", self.most)
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < self.most {
            match list.next_element()? {
                Some(row) => rows.push(row),
                None => return Ok(rows),
            }
        }
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
            if self.strict {
                return Err(A::Error::custom(format!("a page of more than {} rows", self.most)));
            }
        }
        Ok(rows)
    }
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
        match mend(&mut value) {
            0 => Err(error),
            left_out => Ok((serde_json::from_value(value)?, left_out)),
        }
    })
}

/// Whether an entry of a list can be read.
type Fits = fn(&Value) -> bool;

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
    lists.into_iter().map(|(list, fits)| keep(issue.pointer_mut(&format!("/{list}/nodes")), fits)).sum()
}

/// The same of a record of an issue, which holds the rests of its lists beside it.
fn mend_record(record: &mut Value) -> usize {
    let lists: [(&str, Fits); 4] =
        [("history", is_act), ("spans", is::<Span>), ("links", is::<Link>), ("comments", is::<Comment>)];
    let rests: usize = lists.into_iter().map(|(list, fits)| keep(record.get_mut(list), fits)).sum();
    rests + record.get_mut("issue").map_or(0, mend_issue)
}

fn keep(rows: Option<&mut Value>, fits: Fits) -> usize {
    let Some(rows) = rows.and_then(Value::as_array_mut) else { return 0 };
    let before = rows.len();
    rows.retain(fits);
    before - rows.len()
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
    use serde_json::json;

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

    #[test]
    fn a_page_of_more_rows_than_any_page_has_is_not_read_on() {
        let page = |rows: usize| {
            let rows = vec!["{}"; rows].join(",");
            serde_json::from_str::<Connection<Value>>(&format!(r#"{{"nodes": [{rows}]}}"#)).map(|page| page.nodes.len())
        };
        assert_eq!(page(MOST).unwrap(), MOST);
        let error = page(MOST + 1).unwrap_err();
        assert!(error.is_data() && error.to_string().contains("more than 250 rows"), "{error}");
        assert_eq!(serde_json::from_str::<Connection<Value>>(r#"{"nodes": null}"#).unwrap().nodes.len(), 0);
    }

    #[test]
    fn errors_of_any_shape_are_read() {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "errors")]
            errors: Vec<Value>,
        }
        let count = |errors: Value| serde_json::from_value::<Answer>(json!({"errors": errors})).unwrap().errors.len();
        let table = [
            (json!(null), 0),
            (json!([]), 0),
            (json!(["no", null]), 2),
            (json!({"message": "no"}), 1),
            (json!("no"), 1),
        ];
        for (given, want) in table {
            assert_eq!(count(given.clone()), want, "{given}");
        }
        assert_eq!(count(vec![json!({}); 5_000].into()), MOST_ERRORS);
    }
}
