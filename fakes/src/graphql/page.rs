//! Connections: the fields that give a list page by page, with `first`, `after`, `last` and `before`.

use super::value::{Answer, Arguments, Failure, Object, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::ops::Range;

/// A page of a list. Beside what the window says it has the fields given with [`Connection::with`].
pub struct Connection<'w, T> {
    kind: &'static str,
    total: usize,
    range: Range<usize>,
    /// The cursor of each entry of the page, and the entry.
    entries: Vec<(String, T)>,
    node: Box<dyn Fn(&T) -> Value<'w> + 'w>,
    more: Map<String, Json>,
}

/// Pages through `items` as the arguments say; without `first` and `last` the page has `default` entries.
///
/// `kind` is the connection's type. `key` identifies an item: a cursor finds its item again even when others
/// came or went meanwhile, and when the item itself is gone it goes on at its old place. A `last` page comes in the order of
/// the list.
///
/// # Errors
/// `INVALID_CURSOR` for a cursor this did not give out, in words that name it.
pub fn connection<'w, T: 'w>(
    kind: &'static str,
    items: Vec<T>,
    arguments: &Arguments<'_>,
    default: usize,
    key: impl Fn(&T) -> String,
    node: impl Fn(&T) -> Value<'w> + 'w,
) -> Result<Connection<'w, T>, Failure> {
    let place = |name| arguments.text(name).map(|text| find(text, &items, &key)).transpose();
    let (after, before) = (place("after")?, place("before")?);
    let size = |name| arguments.int(name).map(|size| usize::try_from(size).unwrap_or(0));
    let range = window(items.len(), (after, before), (size("first"), size("last")), default);
    let total = items.len();
    let entries = items.into_iter().enumerate().skip(range.start).take(range.len());
    let entries = entries.map(|(index, item)| (cursor(index, &key(&item)), item)).collect();
    Ok(Connection { kind, total, range, entries, node: Box::new(node), more: Map::new() })
}

/// Where a page begins and ends. `after` and `before` say where the item of a cursor is, or (exclusive) was.
pub(super) fn window(
    length: usize,
    (after, before): (Option<Found>, Option<Found>),
    (first, last): (Option<usize>, Option<usize>),
    default: usize,
) -> Range<usize> {
    let start = after.map_or(0, |found| found.index + usize::from(found.present)).min(length);
    let end = before.map_or(length, |found| found.index).clamp(start, length);
    match (first, last) {
        (None, Some(last)) => end.saturating_sub(last).max(start)..end,
        (first, _) => start..end.min(start.saturating_add(first.unwrap_or(default))),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) index: usize,
    /// Whether the item is still there; if not, the index is where it was.
    pub(super) present: bool,
}

pub(super) fn find<T>(text: &str, items: &[T], key: &impl Fn(&T) -> String) -> Result<Found, Failure> {
    let read = |text| {
        let plain = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (index, key) = plain.strip_prefix("cursor:v2:")?.split_once(':')?;
        Some((index.parse::<usize>().ok()?, key.to_owned()))
    };
    let Some((index, wanted)) = read(text) else {
        return Err(Failure::new("INVALID_CURSOR", format!("`{text}` does not appear to be a valid cursor.")));
    };
    // Mostly it is where it was.
    if items.get(index).is_some_and(|item| key(item) == wanted) {
        return Ok(Found { index, present: true });
    }
    let moved = items.iter().position(|item| key(item) == wanted);
    Ok(moved.map_or(Found { index, present: false }, |index| Found { index, present: true }))
}

pub(super) fn cursor(index: usize, key: &str) -> String {
    STANDARD.encode(format!("cursor:v2:{index}:{key}"))
}

impl<T> Connection<'_, T> {
    /// Adds a field of this connection's own.
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// How many entries the page has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the page has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn page_info(&self) -> Json {
        json!({
            "hasNextPage": self.range.end < self.total,
            "hasPreviousPage": self.range.start > 0,
            "startCursor": self.entries.first().map(|(cursor, _)| cursor),
            "endCursor": self.entries.last().map(|(cursor, _)| cursor),
        })
    }
}

impl<T> Object for Connection<'_, T> {
    fn type_name(&self) -> &str {
        self.kind
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        Ok(match name {
            "totalCount" => self.total.into(),
            "pageInfo" => Value::Json(self.page_info()),
            "nodes" => Value::List(self.entries.iter().map(|(_, item)| (self.node)(item)).collect()),
            "edges" => Value::objects((0..self.entries.len()).map(|index| Edge::new(self, index))),
            _ => Value::Json(self.more.get(name).cloned().unwrap_or_default()),
        })
    }
}

struct Edge<'c, 'w, T> {
    kind: String,
    connection: &'c Connection<'w, T>,
    index: usize,
}

impl<'c, 'w, T> Edge<'c, 'w, T> {
    fn new(connection: &'c Connection<'w, T>, index: usize) -> Self {
        let kind = connection.kind.strip_suffix("Connection").unwrap_or(connection.kind);
        Self { kind: format!("{kind}Edge"), connection, index }
    }
}

impl<T> Object for Edge<'_, '_, T> {
    fn type_name(&self) -> &str {
        &self.kind
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        let (cursor, item) = &self.connection.entries[self.index];
        Ok(match name {
            "cursor" => cursor.as_str().into(),
            "node" => (self.connection.node)(item),
            _ => Value::NULL,
        })
    }
}
