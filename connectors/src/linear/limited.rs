//! Lists of an answer, which may be without end: so many elements are read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Rows of a page at most: Linear gives no more, and no request asks for more.
const MOST: usize = 250;
/// Errors of an answer that are read.
const MOST_ERRORS: usize = 100;

/// Reads the rows of a page, and stops at the first that no page can hold: an answer may be without end. Null is none.
pub(super) fn limited<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
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
    Ok(read.map(Option::unwrap_or_default).unwrap_or_else(|_| serde_json::from_str(json.get()).into_iter().collect()))
}

/// Reads so many elements of a list. If strict, more are an error, else they are passed over.
struct Limited<T> {
    most: usize,
    strict: bool,
    row: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Limited<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} rows", self.most)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < self.most {
            match list.next_element()? {
                Some(row) => rows.push(row),
                None => return Ok(Some(rows)),
            }
        }
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
            if self.strict {
                return Err(A::Error::custom(format!("a page of more than {} rows", self.most)));
            }
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Connection {
        #[serde(deserialize_with = "limited")]
        nodes: Option<Vec<Value>>,
    }

    #[test]
    fn a_page_of_more_rows_than_any_page_has_is_not_read_on() {
        let page = |rows: usize| {
            let rows = vec!["{}"; rows].join(",");
            serde_json::from_str::<Connection>(&format!(r#"{{"nodes": [{rows}]}}"#))
                .map(|page| page.nodes.unwrap().len())
        };
        assert_eq!(page(MOST).unwrap(), MOST);
        let error = page(MOST + 1).unwrap_err();
        assert!(error.is_data() && error.to_string().contains("more than 250 rows"), "{error}");
        assert!(serde_json::from_str::<Connection>(r#"{"nodes": null}"#).unwrap().nodes.is_none());
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
