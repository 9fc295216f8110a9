//! Whether a document has the shape that the published JSON Schema describes.
//!
//! The schema comes from the types in [`super::raw`], so what an editor underlines and what the program refuses are the
//! same. A general validator would do for that, but not for its messages: here every problem is found at once, each
//! names the nearest known key, and none repeats a value that may be a secret. Only the parts of JSON Schema that
//! schemars writes for our types are understood. What has a problem is taken out of the document, so that the rest can
//! still be checked.

use serde_json::{Map, Value};

use super::problems::{Problems, hint, nearest_known};
use crate::model::yaml::join;

pub(super) const LITERAL_SECRET: &str = "is a literal secret, and a configuration file gets copied and committed: \
                                         write {env: NAME} or {file: PATH} instead";

/// Checks a document from its root and takes out what does not fit.
pub(super) fn check(schema: &Value, document: &mut Value, problems: &mut Problems) {
    if document.is_null() {
        *document = Value::Object(Map::new());
    }
    if !(Shape { root: schema }).fits(schema, document, "", problems) {
        *document = Value::Object(Map::new());
    }
}

struct Shape<'a> {
    root: &'a Value,
}

impl<'a> Shape<'a> {
    /// Whether `value` is worth keeping; problems are noted, those inside it taken out.
    fn fits(&self, schema: &'a Value, value: &mut Value, path: &str, problems: &mut Problems) -> bool {
        if let Some(kinds) = self.kinds(schema) {
            return self.fits_kind(&kinds, value, path, problems);
        }
        let schema = self.alternative(schema, value);
        if schema["writeOnly"] == true {
            return fits_secret(value, path, problems);
        }
        if let Some(words) = self.choices(schema) {
            return fits_words(&words, value, path, problems);
        }
        match (kind(schema), value) {
            ("object", Value::Object(entries)) => self.fits_object(schema, entries, path, problems),
            ("array", Value::Array(items)) => return self.fits_array(schema, items, path, problems),
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => {}
            ("integer", Value::Number(number)) if number.as_u64().is_some_and(|n| n <= u32::MAX.into()) => {}
            (_, value) => {
                problems.add(path, mismatch(schema, value));
                return false;
            }
        }
        true
    }

    /// The alternatives of a mapping that its `kind` chooses from.
    fn kinds(&self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        let alternatives = schema["oneOf"].as_array()?.iter().map(|one| self.resolve(one));
        let kinds: Vec<_> = alternatives.filter(|one| !one["properties"]["kind"]["const"].is_null()).collect();
        (!kinds.is_empty()).then_some(kinds)
    }

    /// Checks a mapping against the alternative of its kind. One of no known kind may have the keys of all, read as the first
    /// kind does that has them: that the kind is wrong is said elsewhere.
    fn fits_kind(&self, kinds: &[&'a Value], value: &mut Value, path: &str, problems: &mut Problems) -> bool {
        let own = kinds.iter().find(|one| one["properties"]["kind"]["const"] == value["kind"]);
        let Some(own) = own else {
            return Shape { root: self.root }.fits(&any_kind(kinds), value, path, problems);
        };
        if let Value::Object(entries) = value {
            entries.retain(|key, value| is_of_kind(own, kinds, key, value, path, problems));
        }
        self.fits(own, value, path, problems)
    }

    fn fits_object(&self, schema: &'a Value, entries: &mut Map<String, Value>, path: &str, problems: &mut Problems) {
        let properties = schema["properties"].as_object();
        let others = Some(&schema["additionalProperties"]).filter(|others| others.is_object());
        entries.retain(|key, value| match properties.and_then(|known| known.get(key)).or(others) {
            // A key without a value is most often one whose children were all commented out: it counts as absent.
            Some(_) if value.is_null() => false,
            Some(schema) => self.fits(schema, value, &join(path, key), problems),
            None => {
                self.unknown_key(properties, path, key, problems);
                false
            }
        });
    }

    /// Names the key and the nearest known one. Beside a secret, though, what resembles no known key may be the secret
    /// itself, put into the wrong place.
    fn unknown_key(&self, properties: Option<&'a Map<String, Value>>, path: &str, key: &str, problems: &mut Problems) {
        let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let beside_secret = properties.is_some_and(|known| known.values().any(|schema| self.may_be_secret(schema)));
        let near = nearest_known(key, &known);
        if beside_secret && near.is_none() {
            return problems.add(path, format!("has an unknown key: {}", hint(key, &known)));
        }
        problems.add(&join(path, key), format!("unknown key `{key}`: {}", hint(key, &known)));
        if let Some(meant) = near {
            problems.settle(&join(path, meant));
        }
    }

    /// A list of mappings keeps its length, so that the indices in later messages stay right; any other is dropped
    /// whole.
    fn fits_array(&self, schema: &'a Value, items: &mut [Value], path: &str, problems: &mut Problems) -> bool {
        let mut all_fit = true;
        for (index, item) in items.iter_mut().enumerate() {
            if !self.fits(&schema["items"], item, &format!("{path}[{index}]"), problems) {
                all_fit = false;
                *item = Value::Object(Map::new());
            }
        }
        all_fit || self.kinds(&schema["items"]).is_some() || kind(self.resolve(&schema["items"])) == "object"
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }

    /// The schema itself, or the one of its alternatives that has the value's type (else the first).
    fn alternative(&self, schema: &'a Value, value: &Value) -> &'a Value {
        let mut alternatives = Vec::new();
        self.collect_alternatives(schema, &mut alternatives);
        let fitting = alternatives.iter().find(|alternative| kind(alternative) == type_of(value));
        fitting.or(alternatives.first()).copied().unwrap_or(schema)
    }

    fn may_be_secret(&self, schema: &'a Value) -> bool {
        let mut alternatives = Vec::new();
        self.collect_alternatives(schema, &mut alternatives);
        alternatives.iter().any(|schema| schema["writeOnly"] == true)
    }

    fn collect_alternatives(&self, schema: &'a Value, into: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        match schema["anyOf"].as_array() {
            Some(alternatives) => alternatives.iter().for_each(|one| self.collect_alternatives(one, into)),
            None => into.push(schema),
        }
    }

    /// The members of a closed set of words; schemars writes `enum`, or `oneOf` when the members have docs.
    fn choices(&self, schema: &'a Value) -> Option<Vec<&'a str>> {
        if let Some(words) = schema["enum"].as_array() {
            return Some(words.iter().filter_map(Value::as_str).collect());
        }
        Some(schema["oneOf"].as_array()?.iter().filter_map(|word| word["const"].as_str()).collect())
    }
}

fn fits_words(words: &[&str], value: &Value, path: &str, problems: &mut Problems) -> bool {
    match value {
        Value::String(word) if words.contains(&word.as_str()) => return true,
        Value::String(word) => problems.add(path, format!("`{word}` is none of {}", words.join(", "))),
        other => problems.add(path, format!("needs one of {}, not {}", words.join(", "), name(type_of(other)))),
    }
    false
}

/// The keys of all kinds in one schema.
fn any_kind(kinds: &[&Value]) -> Value {
    let mut merged = kinds.first().map_or(Value::Null, |first| (*first).clone());
    for (key, schema) in kinds.iter().filter_map(|one| one["properties"].as_object()).flatten() {
        if merged["properties"].get(key).is_none() {
            merged["properties"][key] = schema.clone();
        }
    }
    merged
}

/// Whether a key may stay in a mapping of its kind. One that only other kinds have is reported with their names; without
/// content it is dropped in silence, as it stands in configurations that were copied from an example of all keys.
fn is_of_kind(own: &Value, kinds: &[&Value], key: &str, value: &Value, path: &str, problems: &mut Problems) -> bool {
    let has = |one: &Value| one["properties"].get(key).is_some();
    let name = |one: &Value| one["properties"]["kind"]["const"].as_str().unwrap_or_default().to_owned();
    let others: Vec<String> = kinds.iter().filter(|one| has(one)).map(|one| name(one)).collect();
    if has(own) || others.is_empty() {
        return true;
    }
    if !value.as_array().is_some_and(Vec::is_empty) && !value.is_null() {
        let (own, others) = (name(own), others.join(", "));
        problems.add(&join(path, key), format!("is a key of {others}, not of {own}: take it out, or correct `kind`"));
    }
    false
}

/// A secret must be a reference with exactly one of its keys, and not itself the secret by mistake. Neither its value nor its
/// keys are repeated in the message: with a slip of the pen (`token: {abc}`) the secret is the key.
fn fits_secret(value: &Value, path: &str, problems: &mut Problems) -> bool {
    let Value::Object(entries) = value else {
        problems.add(path, LITERAL_SECRET);
        return false;
    };
    let only = entries.iter().next().filter(|_| entries.len() == 1);
    match only.map(|(key, value)| (key.as_str(), value.as_str())) {
        Some(("env", Some(name))) if is_variable_name(name) => return true,
        Some(("env", Some(_))) => {
            let message =
                "names no environment variable, and may be the secret itself: write {env: NAME} and export NAME";
            problems.add(path, message);
        }
        Some(("file", Some(file))) if !file.trim().is_empty() => return true,
        _ => problems.add(path, "needs exactly one of {env: NAME} and {file: PATH}"),
    }
    false
}

/// Whether a text can be the name of a variable and does not look like a token, many of which could be one: those are
/// long and mix small letters with digits.
fn is_variable_name(text: &str) -> bool {
    let spelled = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    let like_token =
        text.len() >= 20 && text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_digit());
    !text.is_empty() && spelled && !like_token
}

fn mismatch(schema: &Value, value: &Value) -> String {
    let wanted = kind(schema);
    match (wanted, value) {
        ("string", Value::Number(_)) if schema["pattern"].is_string() => "needs a unit, such as 15m or 400d".to_owned(),
        ("string", Value::Number(_) | Value::Bool(_)) => {
            format!("needs text, not {}: put it in quotes", name(type_of(value)))
        }
        ("array", Value::String(_)) => "needs a list, not text: put it in brackets, [...]".to_owned(),
        ("integer", Value::Number(_)) => format!("needs a whole number from 0 to {}", u32::MAX),
        _ => format!("needs {}, not {}", name(wanted), name(type_of(value))),
    }
}

/// The type a schema asks for; one that may also be null is written as a pair.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(either) => either.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null"),
        one => one.as_str().unwrap_or("any"),
    }
}

/// The word of JSON Schema for a value's type.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The same for people.
fn name(kind: &str) -> &'static str {
    match kind {
        "null" => "nothing",
        "boolean" => "true or false",
        "integer" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping (`key: value`)",
        _ => "something else",
    }
}
