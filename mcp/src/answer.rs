//! What a tool answers: an object, or a problem in words that help.

use std::fmt;

use contextcore_core::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::clean;

/// The longest text of a problem, in characters.
const LONGEST: usize = 500;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What kind it is, for the log.
    pub(crate) kind: &'static str,
    text: String,
}

impl Problem {
    /// The call is wrong.
    pub(crate) fn usage(text: impl AsRef<str>) -> Self {
        Self::new("usage", text.as_ref())
    }

    /// There is no such thing.
    pub(crate) fn not_found(text: impl AsRef<str>) -> Self {
        Self::new("not_found", text.as_ref())
    }

    /// It is not allowed.
    pub(crate) fn refused(text: impl AsRef<str>) -> Self {
        Self::new("refused", text.as_ref())
    }

    fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: clean::cut(&clean::one_line(text), LONGEST) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Config => "usage",
            ErrorKind::NotFound => "not_found",
            _ => "failed",
        };
        Self::new(kind, &error.full())
    }
}

/// An answer before it is cleaned and cut.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Its fields.
    pub(crate) fields: Map<String, Value>,
    /// Its lists, the most important first: what is too long is cut from the last.
    pub(crate) lists: &'static [&'static str],
    /// In how many tokens it must fit.
    pub(crate) budget: Option<usize>,
    /// Fenced texts, which are added after the rest was cleaned.
    pub(crate) untrusted: Vec<crate::fence::Fenced>,
    /// The project that it is about, where the caller's next step needs to know.
    pub(crate) project: Option<String>,
}

impl Answer {
    /// An answer of these fields, with these lists.
    pub(crate) fn new(value: Value, lists: &'static [&'static str]) -> Self {
        let fields = match value {
            Value::Object(fields) => fields,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { fields, lists, ..Self::default() }
    }
}

/// A JSON value of what can always be one.
pub(crate) fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
