//! How long an answer may be: counted in tokens, cut at the end of its lists, and what was cut is counted in it.
//!
//! A token is counted as three bytes of ASCII or one character of anything else; digits, and letters that make no words, are counted higher,
//! as tokenizers do.

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

/// An upper bound of the tokens of a text, as `o200k_base` makes them.
pub(crate) fn tokens(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut plain, mut odd, mut at) = (0, text.chars().filter(|c| !c.is_ascii()).count(), 0);
    while let Some(byte) = bytes.get(at) {
        let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if word > 0 {
            let (even, more) = of_word(&bytes[at..at + word]);
            (plain, odd, at) = (plain + even, odd + more, at + word);
            continue;
        }
        let is_digit = |place: Option<usize>| place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_digit);
        if b"-_:.+/#".contains(byte) && (is_digit(at.checked_sub(1)) || is_digit(Some(at + 1))) {
            odd += 1;
        } else if byte.is_ascii() {
            plain += 1;
        }
        at += 1;
    }
    plain.div_ceil(3) + odd
}

/// The letters of a word that count as text, and the tokens of the rest: digits, and letters that make no words, as in hashes, ids and
/// cursors.
fn of_word(word: &[u8]) -> (usize, usize) {
    let class = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let humps = word.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    let is_odd = word.len() > 16 || humps > 1 || word.iter().any(u8::is_ascii_digit);
    let (mut plain, mut odd) = (0, 0);
    for run in word.chunk_by(|one, other| class(one) == class(other)) {
        let length = run.len();
        match class(&run[0]) {
            (true, _) => odd += length.div_ceil(3),
            _ if is_odd => odd += (3 * length).div_ceil(4),
            (_, true) if length > 1 => odd += (3 * length).div_ceil(5),
            _ => plain += length,
        }
    }
    (plain, odd)
}

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
    fn tokens_are_counted_from_above() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("abcd"), 2);
        assert_eq!(tokens("日本語"), 3);
        assert_eq!(tokens("aé"), 2);
    }

    const SAMPLES: &[(&str, usize)] = &[
        (r#"{"key":"PROJ-1234","created":"2026-11-26T21:04:00Z","updated":"2026-11-27T08:15:31.204Z"}"#, 43),
        (r#"{"id":"ins_7f3c0a9be2d14c55","evidence":"9fceb02d0ae598e95dc970b74767f19372d61af8"}"#, 45),
        (r#""next":"WyJ0YXNrcyIsWyJQUk9KLTEyMzQiLDE3MzI2NTQyMTBdXQ""#, 35),
        (r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}"#, 34),
        (r#""SHOP-1","SHOP-22","SHOP-333","PAY-4444""#, 18),
        (r#"The payment service retries three times with backoff (2026-11-20)."#, 17),
        (r#"{"percent":66.7,"done":12,"open":6,"cycle_time_days":{"p50":3.2,"p85":11.9,"tasks":41}}"#, 37),
    ];

    /// What `o200k_base` makes of them, by gpt-tokenizer 3.
    #[test]
    fn times_hashes_keys_and_cursors_are_counted_from_above() {
        for (text, real) in SAMPLES {
            assert!(tokens(text) >= *real, "{text}: {} of {real}", tokens(text));
        }
    }

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
