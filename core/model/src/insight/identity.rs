//! Which reports are the same insight: ids that follow from what is said. `docs/SPOOL.md` describes them for SDKs.

use std::collections::BTreeSet;

use icu_normalizer::ComposingNormalizerBorrowed;

use super::InsightType;
use super::scope;
use crate::hash;

/// The characters that separate words of a summary, by one list, because every language has its own idea of them.
const SPACES: &[std::ops::RangeInclusive<char>] = &[
    '\t'..='\r',
    '\u{1c}'..=' ',
    '\u{85}'..='\u{85}',
    '\u{a0}'..='\u{a0}',
    '\u{1680}'..='\u{1680}',
    '\u{2000}'..='\u{200a}',
    '\u{2028}'..='\u{2029}',
    '\u{202f}'..='\u{202f}',
    '\u{205f}'..='\u{205f}',
    '\u{3000}'..='\u{3000}',
];

/// Whether the same words about the same things are the same insight of this type. Others are new each time, unless they have
/// a key.
pub const fn is_by_content(insight_type: InsightType) -> bool {
    use InsightType::{Decision, Discovery, Lesson, Recommendation, Risk};
    matches!(insight_type, Decision | Lesson | Recommendation | Discovery | Risk)
}

/// A text in the composed form of Unicode.
pub(super) fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

/// A summary without differences of case, white space and Unicode form.
pub fn normalised(summary: &str) -> String {
    let folded = composed(&composed(summary).to_uppercase().to_lowercase());
    let is_space = |letter: char| SPACES.iter().any(|range| range.contains(&letter));
    folded.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The id that follows from what is said, or from the key; `None` for what is new each time.
pub fn id(
    project: &str,
    insight_type: InsightType,
    summary: &str,
    applies_to: &[String],
    key: Option<&str>,
) -> Option<String> {
    let what = match key.filter(|key| !key.is_empty()) {
        Some(key) => format!("key:{key}"),
        None if is_by_content(insight_type) => format!("summary:{}", normalised(summary)),
        None => return None,
    };
    let scopes: BTreeSet<String> = applies_to.iter().map(|word| scope::word(word)).collect();
    let fixed = ["contextcore-insight-v1", project, insight_type.as_str(), &what];
    let digest = hash::sha256(fixed.into_iter().chain(scopes.iter().map(String::as_str)));
    Some(format!("ins_{}", &digest[..16]))
}

/// An id for what is new each time, from eight random bytes.
pub fn random_id(random: [u8; 8]) -> String {
    format!("ins_{:016x}", u64::from_be_bytes(random))
}

/// Whether a text has the form of an id.
pub fn is_id(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("ins_").is_some_and(|digits| digits.len() == 16 && digits.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        insights: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        project: String,
        #[serde(rename = "type")]
        insight_type: InsightType,
        summary: String,
        applies_to: Vec<String>,
        key: Option<String>,
        id: String,
    }

    #[test]
    fn the_vectors_of_the_conformance_suite_hold() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/conformance/identity.json");
        let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(vectors.insights.len() >= 9);
        for Vector { project, insight_type, summary, applies_to, key, id: expected } in vectors.insights {
            let found = id(&project, insight_type, &summary, &applies_to, key.as_deref());
            assert_eq!(found.as_ref(), Some(&expected), "{summary}");
            assert!(is_id(&expected));
        }
    }

    #[test]
    fn what_is_new_each_time_has_no_id_of_its_own() {
        assert_eq!(id("p", InsightType::Question, "Which region?", &[], None), None);
        assert_eq!(random_id([0, 1, 2, 3, 4, 5, 6, 255]), "ins_00010203040506ff");
        for text in ["", "ins_", "ins_00010203040506fF", "ins_00010203040506f", "00010203040506ff"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
