//! Reading what Jira writes in several forms, and lists of which one row may be odd.
//!
//! An odd row costs itself and never its neighbours, and no list may hold more rows than any page does: what a server sends in
//! millions of empty rows would take far more memory than the answer did.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use contextcore_core::model::SmolStr;
use contextcore_core::{Error, ErrorKind, Millis};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tracing::warn;

use crate::rewind::number;

/// Rows that no page holds: more than any call of ours asks for.
const MAX_ROWS: usize = 20_000;
/// Entries that no history of one issue has.
const MAX_ENTRIES: usize = 200_000;

/// What is said of a list that is null.
const NO_LIST: &str = "a list did not come";

/// A key of an object. It is borrowed from the answer unless it holds an escape, which a plain `Cow` never is.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A list of an answer. Rows that cannot be read are left out.
#[derive(Debug)]
pub(super) struct List<T> {
    pub(super) rows: Vec<T>,
    /// Rows that cannot be read.
    pub(super) odd: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), odd: 0 }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |row: Box<RawValue>| {
            let read = serde_json::from_str(row.get());
            read.inspect_err(|error| warn!(%error, "a row of an odd shape is left out")).ok()
        };
        let raw = deserializer.deserialize_any(Rows { may_be_null: true, ..Rows::most(MAX_ROWS) })?;
        let all = raw.len();
        let rows: Vec<T> = raw.into_iter().filter_map(read).collect();
        Ok(Self { odd: all - rows.len(), rows })
    }
}

/// Entries whose own fields are read leniently. Whatever is no object is left out and counted.
#[derive(Debug)]
pub(super) struct Entries<T> {
    pub(super) kept: Vec<T>,
    /// Entries that are no objects.
    pub(super) odd: usize,
}

impl<T> Entries<T> {
    /// How many there are, whether they can be read or not.
    pub(super) const fn count(&self) -> usize {
        self.kept.len() + self.odd
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), odd: 0 }
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

/// Null is no empty list: where a list may be null, its type is an `Option`.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let maybes = deserializer.deserialize_seq(Rows::<Maybe<T>>::most(MAX_ENTRIES))?;
        let all = maybes.len();
        let kept: Vec<T> = maybes.into_iter().filter_map(|maybe| maybe.0).collect();
        Ok(Self { odd: all - kept.len(), kept })
    }
}

/// The rows of a list.
///
/// # Errors
/// [`ErrorKind::Protocol`] where it did not come: that is not an empty list.
pub(super) fn given<T>(list: Option<List<T>>, path: &str) -> contextcore_core::Result<List<T>> {
    list.ok_or_else(|| Error::new(ErrorKind::Protocol, "the answer holds no list").with("path", path))
}

/// Reads a list row by row as it came, without those that are nothing.
pub(super) fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    let rows = Rows { may_be_null: true, ..Rows::most(MAX_ROWS) };
    deserializer.deserialize_any(rows).map(without_nothing)
}

/// The same of a list that has to be there.
///
/// # Errors
/// When it is null: that is not an empty list.
pub(super) fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    deserializer.deserialize_any(Rows::most(MAX_ROWS)).map(without_nothing)
}

fn without_nothing(mut raw: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
    let all = raw.len();
    raw.retain(|row| row.get() != "null");
    if raw.len() < all {
        warn!(
            rows = all - raw.len(),
            "rows that are null are left out; the next complete pass looks for what they were"
        );
    }
    raw
}

struct Rows<T> {
    most: usize,
    /// Null counts as a list without rows.
    may_be_null: bool,
    row: PhantomData<T>,
}

impl<T> Rows<T> {
    const fn most(most: usize) -> Self {
        Self { most, may_be_null: false, row: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        if self.may_be_null { Ok(Vec::new()) } else { Err(de::Error::custom(NO_LIST)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element()? {
            if rows.len() == self.most {
                return Err(de::Error::custom(format_args!("a list of more than {} rows", self.most)));
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

/// An object or a text that may be a `T`; anything else is none.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaybeVisitor(PhantomData)).map(Self)
    }
}

/// Reads an object or a text that may be a `T`; anything else is none.
pub(super) fn maybe<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Maybe::deserialize(deserializer)?.0)
}

struct MaybeVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MaybeVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::deserialize(StrDeserializer::<E>::new(text)).ok())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|()| None)
    }
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a text or a number as text; anything else as nothing.
pub(super) fn text<'de, D: Deserializer<'de>, T: Text<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(TextVisitor(PhantomData))
}

/// Reads a text or a number as text; anything else as an empty text.
pub(super) fn word<'de, D: Deserializer<'de>, T: Text<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(text(deserializer)?.unwrap_or_default())
}

/// What a text is kept as: of histories, of which there are many, small texts in place.
pub(super) trait Text<'de>: From<String> {
    fn copied(text: &str) -> Self;

    /// A text that is in the answer as it is.
    fn borrowed(text: &'de str) -> Self {
        Self::copied(text)
    }
}

macro_rules! owned_text {
    ($($kind:ty),+) => {
        $(impl Text<'_> for $kind {
            fn copied(text: &str) -> Self {
                text.into()
            }
        })+
    };
}
owned_text!(String, SmolStr, Box<str>);

impl<'de> Text<'de> for Cow<'de, str> {
    fn copied(text: &str) -> Self {
        text.to_owned().into()
    }

    fn borrowed(text: &'de str) -> Self {
        text.into()
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<'de, T: Text<'de>> Visitor<'de> for TextVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(T::copied(text)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(T::borrowed(text)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| None)
    }
}

/// Reads a whole number in any form Jira writes: a number or its text. Anything else is none.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text: Option<String> = text(deserializer)?;
    let number = text.and_then(|text| match text.trim().parse::<i64>() {
        Ok(number) => Some(number),
        Err(_) => {
            let number = number(&text).filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and not too large")]
            Some(number as i64)
        }
    });
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

/// Reads how many there are; zero where that is no number.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(whole(deserializer)?.unwrap_or_default())
}

/// Reads the number that identifies something.
///
/// # Errors
/// When it is none.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole(deserializer)?.ok_or_else(|| de::Error::custom("an id that is no number"))
}

/// Reads a finite number, or its text. Anything else is none.
pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text: Option<String> = text(deserializer)?;
    Ok(text.as_deref().and_then(number))
}

/// Reads yes or no; anything else is no.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(known_flag(deserializer)?.unwrap_or_default())
}

/// Reads yes or no; anything else is none.
pub(super) fn known_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Bool(flag) => Some(flag),
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// Reads a person (or anything with this name in it) as the text that `name` takes out of it.
pub(super) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    name: impl FnOnce(T) -> SmolStr,
) -> Result<Option<SmolStr>, D::Error> {
    Ok(Maybe::<T>::deserialize(deserializer)?.0.map(name).filter(|name| !name.is_empty()))
}

/// From here on a number is milliseconds; below it is seconds. The bulk answer is said to be a text, shows seconds in its own
/// example and gives milliseconds in practice.
const MILLIS_FROM: i64 = 100_000_000_000;
/// The first and the last moment of the calendar.
const CALENDAR: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Reads a moment in any form Jira writes; what cannot be read is nothing, and whoever needs it says so.
pub(super) fn stamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    let read = deserializer.deserialize_any(StampVisitor)?;
    Ok(read.filter(|at| CALENDAR.contains(&at.0)))
}

struct StampVisitor;

impl<'de> Visitor<'de> for StampVisitor {
    type Value = Option<Millis>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a moment")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Millis::parse(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        let far = number.unsigned_abs() >= MILLIS_FROM.unsigned_abs();
        Ok(Some(Millis(if far { number } else { number.saturating_mul(1_000) })))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        i64::try_from(number).map_or(Ok(None), |number| self.visit_i64(number))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float saturates, and no moment is near the ends")]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.abs() >= 1e11 { Ok(Some(Millis(number as i64))) } else { Ok(Some(Millis((number * 1e3) as i64))) }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Row {
        id: u64,
    }

    #[test]
    fn an_odd_row_costs_itself() {
        let list: List<Row> = serde_json::from_str(r#"[{"id":1},null,7,{"id":"x"},[],{"id":2}]"#).unwrap();
        assert_eq!(list.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(list.odd, 4);
        assert!(serde_json::from_str::<List<Row>>("null").unwrap().rows.is_empty());
    }

    #[test]
    fn entries_that_are_none_are_counted_and_null_is_no_list() {
        let entries: Entries<Row> = serde_json::from_str(r#"[{"id":1},null,7,[]]"#).unwrap();
        assert_eq!((entries.kept.len(), entries.odd, entries.count()), (1, 3, 4));
        assert!(serde_json::from_str::<Entries<Row>>("null").is_err());
        assert!(serde_json::from_str::<Option<Entries<Row>>>("null").unwrap().is_none());
    }

    #[test]
    fn a_list_holds_no_more_rows_than_any_page() {
        let many = format!("[{}{{}}]", "{},".repeat(MAX_ROWS));
        let error = serde_json::from_str::<List<Row>>(&many).unwrap_err();
        assert!(error.to_string().contains("more than 20000 rows"), "{error}");
    }

    #[test]
    fn a_broken_number_is_none() {
        #[derive(Deserialize)]
        struct Numbers {
            #[serde(deserialize_with = "whole")]
            whole: Option<i32>,
        }
        #[derive(Deserialize)]
        struct Finite {
            #[serde(deserialize_with = "finite")]
            finite: Option<f64>,
        }
        let read = |json: &str| {
            let whole = serde_json::from_str::<Numbers>(&format!(r#"{{"whole":{json}}}"#)).unwrap().whole;
            (whole, serde_json::from_str::<Finite>(&format!(r#"{{"finite":{json}}}"#)).unwrap().finite)
        };
        for (json, expected) in [
            ("7", (Some(7), Some(7.0))),
            ("-1", (Some(-1), Some(-1.0))),
            ("\"12\"", (Some(12), Some(12.0))),
            ("3.0", (Some(3), Some(3.0))),
            ("1.5", (None, Some(1.5))),
            ("9999999999", (None, Some(9_999_999_999.0))),
            ("18446744073709551615", (None, Some(1.844_674_407_370_955_2e19))),
            ("\"NaN\"", (None, None)),
            ("\"soon\"", (None, None)),
            ("null", (None, None)),
            ("true", (None, None)),
            ("[1]", (None, None)),
            ("{}", (None, None)),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[test]
    fn a_moment_outside_the_calendar_is_none() {
        #[derive(Deserialize)]
        struct At {
            #[serde(deserialize_with = "stamp")]
            at: Option<Millis>,
        }
        let at = |json: &str| serde_json::from_str::<At>(&format!(r#"{{"at":{json}}}"#)).unwrap().at;
        for odd in ["9223372036854775807", "-9223372036854775808", "1e300", "{}", "[1]", "true", "\"99999-01-01\""] {
            assert_eq!(at(odd), None, "{odd}");
        }
        assert_eq!(at("1492070429"), Some(Millis(1_492_070_429_000)));
    }
}
