//! Lists: what is filtered, which page of it, and which fields of each item.
//!
//! [`List`] is a filter and the order of what it lists. [`Viewer::each`] visits the views of a page and gives the [`Cursor`]
//! of the next one; [`Viewer::each_json`] visits them as JSON with the chosen [`Fields`]. A cursor holds the place of the last
//! item, not a number: items that come or go between two pages shift nothing, and no page needs state on the server.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::value::{RawValue, to_raw_value};

use super::viewer::Viewer;
use crate::http::local::Refusal;
use crate::model::error::{Error, ErrorKind, Result};
use crate::store::TASKS_AT_ONCE;

/// A list of the read API: its filter, the order of its items and their view.
pub trait List: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What is listed.
    type View: Serialize + DeserializeOwned;
    /// Where an item stands in the list.
    type Place: Place;
    /// The name of the list, in the plural: `tasks`.
    const NAME: &'static str;

    /// The place of every item that matches, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store cannot be read.
    fn places(&self, viewer: &Viewer<'_>) -> Result<Vec<Self::Place>>;

    /// Checks the names in a filter that matched nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that nothing has, with the nearest ones; [`ErrorKind::Store`] when the store cannot be
    /// read.
    fn check_names(&self, viewer: &Viewer<'_>) -> Result<()>;

    /// The names of the fields of a view, in the order they are written.
    fn fields() -> &'static [&'static str] {
        fields_of::<Self::View>()
    }

    /// Reads at once what the views of these places need.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store cannot be read.
    fn read_ahead(viewer: &Viewer<'_>, places: &[Self::Place]) -> Result<()> {
        let _ = (viewer, places);
        Ok(())
    }

    /// The item at a place; `None` when the store no longer holds it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store cannot be read.
    fn view(viewer: &Viewer<'_>, place: &Self::Place) -> Result<Option<Self::View>>;
}

/// Where an item stands in its list: all that its order depends on, so that a [`Cursor`] made of it stays valid.
pub trait Place: Serialize + DeserializeOwned {
    /// The order of the list. Two different items are never equal.
    fn order(&self, other: &Self) -> Ordering;
}

/// Which page of a list, and which fields of its items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListOptions {
    /// At most this many items; all when absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub limit: Option<NonZeroUsize>,
    /// Only items after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Only these fields of each item, in this order; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
}

/// A filter and its options, as one flat set of query parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery<F> {
    /// What is listed.
    #[serde(flatten)]
    pub filter: F,
    /// Which part of it.
    #[serde(flatten)]
    pub options: ListOptions,
}

/// One line of a list that is sent as newline-delimited JSON. The last line is `End` or `Error`; an answer without it is torn.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListLine {
    /// An item.
    Item(Box<RawValue>),
    /// The end of the page.
    End {
        /// The cursor of the next page; absent at the end of the list.
        next_cursor: Option<Cursor>,
        /// How many items match, on whatever page.
        #[serde(default)]
        total: usize,
    },
    /// The list could not be read to its end.
    Error(Refusal),
}

/// The end of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    /// The cursor of the next page; absent at the end of the list.
    pub next: Option<Cursor>,
    /// How many items match, on whatever page.
    pub total: usize,
}

/// A position in a list, opaque to clients. It belongs to one list and filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    fn after<F: List>(place: &F::Place) -> Result<Self> {
        let json = serde_json::to_vec(&(F::NAME, place))
            .map_err(|error| Error::new(ErrorKind::Internal, "write a cursor").caused_by(error))?;
        Ok(Self(BASE64.encode(json)))
    }

    fn place<F: List>(&self) -> Result<F::Place> {
        let decoded = BASE64.decode(&self.0).ok();
        let read = decoded.and_then(|json| serde_json::from_slice::<(String, F::Place)>(&json).ok());
        let place = read.filter(|(list, _)| list == F::NAME).map(|(_, place)| place);
        place.ok_or_else(|| {
            let message = format!("`{self}` is not a cursor of {}: leave it out to begin at the first page", F::NAME);
            Error::new(ErrorKind::Config, message)
        })
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of fields, written with commas between them: `id,status,title`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Fields(Vec<String>);

impl Fields {
    /// These fields, in this order.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    fn check<F: List>(&self) -> Result<()> {
        let Some(unknown) = self.0.iter().find(|name| !F::fields().contains(&name.as_str())) else { return Ok(()) };
        let message = format!("{} have no field `{unknown}`; they have {}", F::NAME, F::fields().join(", "));
        Err(Error::new(ErrorKind::Config, message))
    }

    /// These fields of a view, as a JSON object that keeps their order.
    fn select(&self, view: &impl Serialize) -> serde_json::Result<Box<RawValue>> {
        let whole = serde_json::to_string(view)?;
        let values: BTreeMap<&str, &RawValue> = serde_json::from_str(&whole)?;
        let chosen = self.0.iter().filter_map(|name| Some(format!("\"{name}\":{}", values.get(name.as_str())?)));
        RawValue::from_string(format!("{{{}}}", chosen.collect::<Vec<_>>().join(",")))
    }
}

impl From<String> for Fields {
    fn from(text: String) -> Self {
        Self::new(text.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }
}

impl From<Fields> for String {
    fn from(fields: Fields) -> Self {
        fields.0.join(",")
    }
}

/// The names of the fields of a struct, as its derived `Deserialize` has them. Empty for what is no struct.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> std::result::Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("there is no value, only names"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
            seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    drop(T::deserialize(Names(&mut fields)));
    fields
}

/// Reads a limit out of a query string too, where `flatten` hands every value over as text.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<NonZeroUsize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Limit {
        Number(NonZeroUsize),
        Text(String),
    }
    match Option::<Limit>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Limit::Number(limit)) => Ok(Some(limit)),
        Some(Limit::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

impl Viewer<'_> {
    /// Visits the items of a page in order, one at a time, and gives the cursor of the next page.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the cursor or a field is not one of this list; [`ErrorKind::Store`] when the store cannot be
    /// read; else what `visit` returns.
    pub fn each<F: List, E: From<Error>>(
        &self,
        query: &ListQuery<F>,
        visit: impl FnMut(F::View) -> std::result::Result<(), E>,
    ) -> std::result::Result<Option<Cursor>, E> {
        self.each_of_page(query, visit).map(|end| end.next)
    }

    fn each_of_page<F: List, E: From<Error>>(
        &self,
        query: &ListQuery<F>,
        mut visit: impl FnMut(F::View) -> std::result::Result<(), E>,
    ) -> std::result::Result<PageEnd, E> {
        query.options.fields.as_ref().map_or(Ok(()), Fields::check::<F>)?;
        let places = query.filter.places(self)?;
        let total = places.len();
        let (places, next) = page::<F>(places, &query.options)?;
        for page in places.chunks(TASKS_AT_ONCE) {
            F::read_ahead(self, page)?;
            for place in page {
                if let Some(view) = F::view(self, place)? {
                    visit(view)?;
                }
            }
        }
        Ok(PageEnd { next, total })
    }

    /// Visits the items of a page as JSON, with the fields that the query names.
    ///
    /// # Errors
    /// As [`Viewer::each`]; [`ErrorKind::Config`] when nothing matches because the filter names what does not exist.
    pub fn each_json<F: List, E: From<Error>>(
        &self,
        query: &ListQuery<F>,
        mut visit: impl FnMut(Box<RawValue>) -> std::result::Result<(), E>,
    ) -> std::result::Result<PageEnd, E> {
        let mut found = false;
        let end = self.each_of_page(query, |view| {
            found = true;
            let json = match &query.options.fields {
                Some(fields) => fields.select(&view),
                None => to_raw_value(&view),
            };
            visit(json.map_err(|error| Error::new(ErrorKind::Internal, "write a view as JSON").caused_by(error))?)
        })?;
        if !found {
            query.filter.check_names(self)?;
        }
        Ok(end)
    }

    /// Everything that matches a filter.
    pub(super) fn all<F: List + Clone>(&self, filter: &F) -> Result<Vec<F::View>> {
        let mut views = Vec::new();
        let query = ListQuery { filter: filter.clone(), options: ListOptions::default() };
        self.each(&query, |view| {
            views.push(view);
            Ok::<_, Error>(())
        })?;
        Ok(views)
    }
}

/// The places of one page in order, and the cursor of the next.
fn page<F: List>(mut places: Vec<F::Place>, options: &ListOptions) -> Result<(Vec<F::Place>, Option<Cursor>)> {
    places.sort_by(Place::order);
    let after = options.cursor.as_ref().map(Cursor::place::<F>).transpose()?;
    let start = after.map_or(0, |after| places.partition_point(|place| place.order(&after).is_le()));
    let end = options.limit.map_or(places.len(), |limit| places.len().min(start.saturating_add(limit.get())));
    let next = match places.get(..end) {
        Some([.., last]) if end < places.len() => Some(Cursor::after::<F>(last)?),
        _ => None,
    };
    places.truncate(end);
    Ok((places.split_off(start), next))
}
