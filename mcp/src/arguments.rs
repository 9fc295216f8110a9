//! Arguments of a call, checked against the input schema of its tool before anything reads them. An unknown name is an error that
//! gives the nearest one: an argument that is silently ignored is an answer to another question.

use contextcore_core::config::nearest_known;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::answer::Problem;

/// The longest text in an argument, in characters, and the longest list, where a schema says nothing. Nothing that a tool keeps is
/// longer.
const LONGEST: usize = 8_000;
const MOST: usize = 200;

/// Checks `arguments` against a schema, and reads them.
pub(crate) fn read<T: DeserializeOwned>(arguments: &Map<String, Value>) -> Result<T, Problem> {
    let given: Map<String, Value> = arguments
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    serde_json::from_value(Value::Object(given)).map_err(|error| Problem::usage(error.to_string()))
}

/// Checks `arguments` against the input schema of a tool.
pub(crate) fn check(schema: &Map<String, Value>, arguments: &Map<String, Value>) -> Result<(), Problem> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, value) in arguments.iter().filter(|(_, value)| !value.is_null()) {
        let Some(property) = properties.get(name) else { return Err(unknown(name, properties)) };
        check_length(name, value)?;
        check_value(name, property, value)?;
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    match required.into_iter().find(|name| arguments.get(*name).is_none_or(Value::is_null)) {
        Some(missing) => Err(Problem::usage(format!("the argument `{missing}` is missing"))),
        None => Ok(()),
    }
}

fn unknown(name: &str, properties: &Map<String, Value>) -> Problem {
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let hint = match nearest_known(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    Problem::usage(format!("there is no argument `{name}`; {hint}"))
}

/// Refuses what is too long to be looked at, however deep it stands.
fn check_length(name: &str, value: &Value) -> Result<(), Problem> {
    match value {
        // Every character has a byte at least, so most texts are not counted.
        Value::String(text) if text.len() > LONGEST && text.chars().nth(LONGEST).is_some() => {
            Err(Problem::usage(format!("`{name}` has more than {LONGEST} characters: name where it is instead")))
        }
        Value::Array(items) if items.len() > MOST => {
            Err(Problem::usage(format!("`{name}` has {} entries, and at most {MOST}", items.len())))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_length(name, item)),
        Value::Object(fields) if fields.len() > MOST => {
            Err(Problem::usage(format!("`{name}` has {} fields, and at most {MOST}", fields.len())))
        }
        Value::Object(fields) => fields.values().try_for_each(|field| check_length(name, field)),
        _ => Ok(()),
    }
}

fn check_value(name: &str, schema: &Value, value: &Value) -> Result<(), Problem> {
    let wrong = |text: String| Err(Problem::usage(format!("`{name}` {text}")));
    let is_of_type = match schema.get("type").and_then(Value::as_str) {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    if !is_of_type {
        return wrong(format!("is no {}", schema["type"].as_str().unwrap_or("value")));
    }
    if let Some(known) = schema.get("enum").and_then(Value::as_array)
        && !known.contains(value)
    {
        return wrong(not_one_of(value, known));
    }
    let number = value.as_f64();
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let (Some(number), Some(least)) = (number, limit("minimum"))
        && number < least
    {
        return wrong(format!("is {number}, and at least {least}"));
    }
    if let (Some(number), Some(most)) = (number, limit("maximum"))
        && number > most
    {
        return wrong(format!("is {number}, and at most {most}"));
    }
    let length = value.as_str().map(|text| text.chars().count());
    if let (Some(length), Some(most)) = (length, limit("maxLength"))
        && length as f64 > most
    {
        return wrong(format!("has {length} characters, and at most {most}"));
    }
    let Some(items) = value.as_array() else { return Ok(()) };
    if let Some(most) = limit("maxItems")
        && items.len() as f64 > most
    {
        return wrong(format!("has {} entries, and at most {most}", items.len()));
    }
    let of_items = schema.get("items").unwrap_or(&Value::Null);
    items.iter().try_for_each(|item| check_value(name, of_items, item))
}

fn not_one_of(value: &Value, known: &[Value]) -> String {
    let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
    let typed = value.as_str().unwrap_or_default();
    let hint = match nearest_known(typed, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", names.join(", ")),
    };
    format!("has no `{typed}`; {hint}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(arguments: &Value) -> Option<String> {
        let schema = json!({"properties": {
            "status": {"type": "array", "items": {"type": "string", "enum": ["open", "blocked"]}, "maxItems": 2},
            "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            "key": {"type": "string", "maxLength": 5},
        }, "required": ["key"]});
        let empty = Map::new();
        let of = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
        check(&of(&schema), arguments.as_object().unwrap_or(&empty)).err().map(|problem| problem.to_string())
    }

    #[test]
    fn what_a_schema_does_not_allow_is_refused_with_a_hint() {
        let table = [
            (json!({"key": "A-1", "status": ["open"], "limit": 50}), None),
            (json!({"key": "A-1", "limit": null}), None),
            (json!({"key": "A-1", "stauts": []}), Some("there is no argument `stauts`; did you mean `status`?")),
            (json!({"key": "A-1", "zzz": 1}), Some("known: key, limit, status")),
            (json!({"limit": 5}), Some("the argument `key` is missing")),
            (json!({"key": "A-1", "limit": 51}), Some("`limit` is 51, and at most 50")),
            (json!({"key": "A-1", "limit": "5"}), Some("`limit` is no integer")),
            (json!({"key": "A-1", "status": ["opne"]}), Some("`status` has no `opne`; did you mean `open`?")),
            (json!({"key": "A-1", "status": ["open", "open", "open"]}), Some("`status` has 3 entries, and at most 2")),
            (json!({"key": "a".repeat(1_000_000)}), Some("`key` has more than 8000 characters")),
            (json!({"key": "A-1", "status": vec!["open"; 201]}), Some("`status` has 201 entries, and at most 200")),
            (json!({"key": "A-12345"}), Some("`key` has 7 characters, and at most 5")),
        ];
        for (arguments, want) in table {
            let refused = refused(&arguments);
            assert!(
                want.map_or(refused.is_none(), |want| refused.as_deref().is_some_and(|text| text.contains(want))),
                "{arguments}: {refused:?}"
            );
        }
    }
}
