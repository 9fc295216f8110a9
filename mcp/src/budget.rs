//! How long an answer may be: counted in tokens, cut at the end of its lists, and what was cut is counted in it.
//! [`tokens`] says how they are counted.

pub(crate) use contextcore_core::model::tokens::tokens;
use serde_json::{Map, Value, json};

/// What an answer has without a budget.
pub(crate) const DEFAULT: usize = 1_500;
/// The smallest and the largest budget.
pub(crate) const LIMITS: (i64, i64) = (300, 6_000);
/// A whole result, with the JSON both as an object and as text, is no longer than this in bytes.
const LONGEST: usize = 24_000;

/// The parts of an answer that are one object, and what they keep however short the answer must be.
const OBJECTS: [&str; 4] = ["task", "insight", "handoff", "project"];
const KEPT: [&str; 8] = ["key", "id", "title", "status", "type", "summary", "health", "blocked"];

/// Leaves the milliseconds out of times that have none: they cost a token or two each.
pub(crate) fn shorten_times(value: &mut Value) {
    match value {
        Value::String(text) if text.len() == 24 && text.ends_with(".000Z") && text.as_bytes()[10] == b'T' => {
            text.replace_range(19..23, "");
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_times),
        Value::Object(fields) => fields.values_mut().for_each(shorten_times),
        _ => {}
    }
}

/// The bytes of a result that carries `json` twice: as an object, and escaped inside a string.
fn twice(json: &str) -> usize {
    let escaped = json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 * json.len() + escaped + 300
}

fn fits(value: &Value, budget: usize) -> bool {
    let json = value.to_string();
    tokens(&json) <= budget && twice(&json) <= LONGEST
}

/// Cuts the ends of `lists` until the answer fits, from the last list on: the first is the most important. What was cut is counted in
/// `omitted`. A list keeps its first items as long as one of less importance has some.
pub(crate) fn fit(answer: &mut Map<String, Value>, budget: usize, lists: &[&str]) {
    for list in lists.iter().rev() {
        while !fits(&Value::Object(answer.clone()), budget) {
            if !cut(answer, list) {
                break;
            }
        }
    }
    for object in OBJECTS {
        while !fits(&Value::Object(answer.clone()), budget) {
            if !cut_object(answer, object) {
                break;
            }
        }
    }
}

/// Takes the longest field from an object, unless it is one that says what the object is. `false` when there is no other.
fn cut_object(answer: &mut Map<String, Value>, object: &str) -> bool {
    let Some(Value::Object(fields)) = answer.get_mut(object) else { return false };
    let others = fields.iter().filter(|(name, _)| !KEPT.contains(&name.as_str()));
    let longest = others.max_by_key(|(_, value)| value.to_string().len()).map(|(name, _)| name.clone());
    let Some(name) = longest else { return false };
    fields.remove(&name);
    omit(answer, object, 1);
    true
}

/// Takes about a tenth off a list. `false` when nothing is left of it.
fn cut(answer: &mut Map<String, Value>, list: &str) -> bool {
    let Some(Value::Array(items)) = answer.get_mut(list) else { return false };
    let less = (items.len() / 10).max(1);
    let left = items.len().saturating_sub(less);
    items.truncate(left);
    if left == 0 {
        answer.remove(list);
    }
    omit(answer, list, less);
    true
}

/// Counts items that are left out.
pub(crate) fn omit(answer: &mut Map<String, Value>, list: &str, count: usize) {
    if count == 0 {
        return;
    }
    let omitted = answer.entry("omitted").or_insert_with(|| json!({}));
    if let Value::Object(omitted) = omitted {
        let before = omitted.get(list).and_then(Value::as_u64).unwrap_or(0);
        omitted.insert(list.to_owned(), json!(before + count as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let mut value = json!({"at": "2026-11-26T21:04:00.000Z", "all": ["2026-11-26T21:04:00.120Z", "x.000Z"]});
        shorten_times(&mut value);
        assert_eq!(value, json!({"at": "2026-11-26T21:04:00Z", "all": ["2026-11-26T21:04:00.120Z", "x.000Z"]}));
    }

    #[test]
    fn what_is_cut_is_counted_and_the_important_stays() {
        let list = |n: usize| Value::Array((0..n).map(|i| json!({"n": i, "text": "x".repeat(30)})).collect());
        let Value::Object(mut answer) = json!({"first": list(5), "second": list(80)}) else { unreachable!() };
        fit(&mut answer, 300, &["first", "second"]);
        let whole = Value::Object(answer.clone()).to_string();
        assert!(tokens(&whole) <= 300, "{whole}");
        assert_eq!(answer["first"].as_array().map(Vec::len), Some(5));
        let left = answer["second"].as_array().map_or(0, Vec::len) as u64;
        assert_eq!(answer["omitted"]["second"].as_u64().map(|cut| cut + left), Some(80));
    }

    #[test]
    fn an_object_keeps_what_it_is() {
        let Value::Object(mut answer) =
            json!({"insight": {"id": "ins_1", "summary": "s", "rationale": "x".repeat(2_000), "tags": ["a"]}})
        else {
            unreachable!()
        };
        fit(&mut answer, 300, &[]);
        assert_eq!(
            Value::Object(answer),
            json!({"insight": {"id": "ins_1", "summary": "s", "tags": ["a"]}, "omitted": {"insight": 1}})
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
        #[test]
        fn an_answer_fits_whatever_it_holds(items in proptest::collection::vec(".{0,200}", 0..60), budget in 300_usize..6_000) {
            let Value::Object(mut answer) = json!({"items": items}) else { unreachable!() };
            fit(&mut answer, budget, &["items"]);
            let json = Value::Object(answer).to_string();
            proptest::prop_assert!(tokens(&json) <= budget && twice(&json) <= LONGEST);
        }
    }
}
