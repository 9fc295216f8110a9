//! Checks a value against a structural schema, as the API server does before it runs the rules, and says what to do.

use regex::Regex;
use serde_json::{Map, Value};

use crate::nearest;

/// A key path and what is wrong there.
pub(crate) type Problem = (String, String);

/// Everything in a value that the schema does not allow. Keys that it does not know are wrong too: the API server would drop
/// them silently, and they are mostly typing errors.
#[must_use]
pub(crate) fn problems(schema: &Value, value: &Value, path: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    check(schema, value, path, &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Problem>) {
    let wanted = schema["type"].as_str().unwrap_or_default();
    match (wanted, value) {
        ("object", Value::Object(map)) => object(schema, map, path, found),
        ("array", Value::Array(items)) => array(schema, items, path, found),
        ("string", Value::String(text)) => found.extend(string(schema, text).map(|message| (path.to_owned(), message))),
        ("integer" | "number", Value::Number(number)) => {
            let whole = wanted == "number" || number.is_i64() || number.is_u64();
            let message =
                if whole { range(schema, number.as_f64()) } else { Some("must be a whole number".to_owned()) };
            found.extend(message.map(|message| (path.to_owned(), message)));
        }
        ("boolean", Value::Bool(_)) => {}
        _ => found.push((path.to_owned(), wrong_type(schema, wanted, value))),
    }
}

fn wrong_type(schema: &Value, wanted: &str, value: &Value) -> String {
    let is = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping (`key: value`)",
    };
    match wanted {
        "string" if value.is_number() || value.is_boolean() => {
            format!("needs text, not {is}: put it in quotes, \"{value}\"")
        }
        "string" => format!("needs text, not {is}{}", example(schema, ": write one such as ")),
        "array" => format!("needs a list, not {is}: begin each item with `- `"),
        "object" => format!("needs a mapping (`key: value`), not {is}"),
        "integer" => format!("needs a whole number, not {is}"),
        "number" => format!("needs a number, not {is}: write it without quotes"),
        _ => format!("must not be {is}"),
    }
}

fn example(schema: &Value, before: &str) -> String {
    schema["example"].as_str().map(|text| format!("{before}\"{text}\"")).unwrap_or_default()
}

fn object(schema: &Value, map: &Map<String, Value>, path: &str, found: &mut Vec<Problem>) {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let properties = schema["properties"].as_object();
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            let hint = properties.map(|all| example(&all[key], ", such as ")).unwrap_or_default();
            found.push((at(key), format!("is missing: add `{key}`{hint}")));
        }
    }
    for (key, value) in map {
        match properties.and_then(|all| all.get(key)) {
            Some(child) => check(child, value, &at(key), found),
            None if schema["additionalProperties"].is_object() => {
                check(&schema["additionalProperties"], value, &at(key), found);
            }
            // `metadata` is described by nobody, and anything may be in it.
            None if properties.is_none() => {}
            None => {
                let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                found.push((at(key), format!("unknown key `{key}`: {}", nearest::hint(key, &known))));
            }
        }
    }
    if schema["minProperties"].as_u64().is_some_and(|min| map.len() < usize::try_from(min).unwrap_or(usize::MAX)) {
        found.push((path.to_owned(), "is empty: write at least one".to_owned()));
    }
    found.extend(too_many(schema, "maxProperties", map.len()).map(|message| (path.to_owned(), message)));
}

fn array(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Problem>) {
    found.extend(too_many(schema, "maxItems", items.len()).map(|message| (path.to_owned(), message)));
    let is_set = schema["x-kubernetes-list-type"] == "set";
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if is_set && items[..index].contains(item) {
            found.push((path.clone(), format!("{item} is listed twice: keep one")));
        }
        check(&schema["items"], item, &path, found);
    }
}

fn too_many(schema: &Value, key: &str, count: usize) -> Option<String> {
    let max = schema[key].as_u64().and_then(|max| usize::try_from(max).ok())?;
    (count > max).then(|| format!("has {count} items: at most {max} are allowed"))
}

fn string(schema: &Value, text: &str) -> Option<String> {
    if let Some(known) = schema["enum"].as_array() {
        let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        return (!known.contains(&text)).then(|| format!("`{text}` is none of {}", known.join(", ")));
    }
    let length = text.chars().count();
    if schema["maxLength"].as_u64().is_some_and(|max| length as u64 > max) {
        return Some(format!("has {length} characters: at most {} are allowed", schema["maxLength"]));
    }
    if schema["minLength"].as_u64().is_some_and(|min| (length as u64) < min) {
        return Some(format!("is empty: write something, or leave the key out{}", example(schema, ", such as ")));
    }
    let pattern = schema["pattern"].as_str()?;
    // An expression that does not compile is a bug of ours, which a test of the definition finds.
    let fits = Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
    (!fits).then(|| match schema["example"].as_str() {
        Some(example) => format!("`{text}` does not fit: write one such as \"{example}\" (it must match {pattern})"),
        None => format!("`{text}` does not fit: it must match {pattern}"),
    })
}

fn range(schema: &Value, number: Option<f64>) -> Option<String> {
    let number = number?;
    let (low, high) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let outside = low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high);
    let text = |bound: Option<f64>, none: &str| bound.map_or_else(|| none.to_owned(), |bound| bound.to_string());
    outside.then(|| format!("{number} is not between {} and {}", text(low, "anything"), text(high, "anything")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_problem_is_named() {
        let schema = json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3, "minLength": 1, "example": "abc"},
            "level": {"type": "string", "enum": ["high", "low"]},
            "share": {"type": "number", "minimum": 0.0, "maximum": 1.0},
            "count": {"type": "integer"},
            "on": {"type": "boolean"},
            "names": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "labels": {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "string"}},
        }});
        let cases = [
            (json!({}), "id: is missing: add `id`, such as \"abc\""),
            (json!({"id": "A"}), "id: `A` does not fit: write one such as \"abc\" (it must match ^[a-z]+$)"),
            (json!({"id": "abcd"}), "id: has 4 characters: at most 3 are allowed"),
            (json!({"id": ""}), "id: is empty: write something, or leave the key out, such as \"abc\""),
            (json!({"id": 1}), "id: needs text, not a number: put it in quotes, \"1\""),
            (json!({"id": ["a"]}), "id: needs text, not a list: write one such as \"abc\""),
            (json!({"id": "a", "level": "hi"}), "level: `hi` is none of high, low"),
            (json!({"id": "a", "share": 2}), "share: 2 is not between 0 and 1"),
            (json!({"id": "a", "share": "1"}), "share: needs a number, not text: write it without quotes"),
            (json!({"id": "a", "count": 1.5}), "count: must be a whole number"),
            (json!({"id": "a", "on": "yes"}), "on: must not be text"),
            (json!({"id": "a", "names": ["x", "x"]}), "names[1]: \"x\" is listed twice: keep one"),
            (json!({"id": "a", "names": ["x", "y", "z"]}), "names: has 3 items: at most 2 are allowed"),
            (json!({"id": "a", "names": "x"}), "names: needs a list, not text: begin each item with `- `"),
            (json!({"id": "a", "labels": {}}), "labels: is empty: write at least one"),
            (json!({"id": "a", "labels": {"a": "b", "c": "d"}}), "labels: has 2 items: at most 1 are allowed"),
            (json!({"id": "a", "labels": {"a": 1}}), "labels.a: needs text, not a number: put it in quotes, \"1\""),
            (json!({"id": "a", "lable": "x"}), "lable: unknown key `lable`: did you mean labels?"),
            (json!("x"), ": needs a mapping (`key: value`), not text"),
        ];
        for (value, wanted) in cases {
            let found: Vec<String> =
                problems(&schema, &value, "").iter().map(|(path, message)| format!("{path}: {message}")).collect();
            assert_eq!(found, [wanted], "{value}");
        }
        let good = json!({"id": "abc", "level": "low", "share": 0.5, "count": 3, "on": true, "names": ["x"], "labels": {"a": "b"}});
        assert_eq!(problems(&schema, &good, ""), []);
    }
}
