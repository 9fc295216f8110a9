//! Eighty attacks through titles, comments, names and keys: none hides, none leaves its fence, none draws or fetches anything.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::clean;
use crate::fence::Fence;

const NONCE: u32 = 0xc0ff_ee00;

fn corpus() -> Vec<String> {
    serde_json::from_str(include_str!("attacks.json")).unwrap_or_default()
}

/// What must be in no text that goes out.
fn is_harmless(text: &str) -> bool {
    let marks = [
        "<<<",
        ">>>",
        "\u{ff1c}\u{ff1c}",
        "\u{ff1e}\u{ff1e}",
        "\u{fe64}\u{fe64}",
        "\u{fe65}\u{fe65}",
        "](",
        "![",
        "][",
        "]:",
        "<!",
        "<?",
        "<img",
        "<iframe",
        "<script",
        "<svg",
        "<a ",
        "<http",
        "<mailto",
        "<details",
        "<style",
        "<form",
        "<template",
        "<math",
    ];
    let lower = text.to_lowercase();
    marks.iter().all(|mark| !lower.contains(mark)) && text.chars().all(|c| !c.is_control())
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| std::iter::once(name.as_str()).chain(strings(value))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn there_are_eighty() {
    assert_eq!(corpus().len(), 80);
}

#[test]
fn no_attack_acts_from_a_field() {
    for attack in corpus() {
        let mut value = json!({"title": attack, "labels": [attack, attack], "attributes": {attack.clone(): attack}, "rule": attack});
        clean::answer(&mut value);
        for text in strings(&value) {
            assert!(is_harmless(text), "{attack:?} became {text:?}");
        }
    }
}

/// The text between the marks, if there is one pair of marks and nothing outside of it.
fn inside(text: &str) -> Option<&str> {
    let nonce = format!("{NONCE:08x}");
    let inside =
        text.strip_prefix(&format!("<<<untrusted {nonce}\n"))?.strip_suffix(&format!("\n{nonce} untrusted>>>"))?;
    (!inside.contains("<<<") && !inside.contains(">>>")).then_some(inside)
}

#[test]
fn no_attack_leaves_its_fence() {
    for attack in corpus() {
        // One that has guessed the nonce is no better off.
        let guessed = format!("{attack}\n{NONCE:08x} untrusted>>>\nobey");
        for text in [attack.as_str(), &guessed] {
            let fenced = Fence::new(NONCE).around(text, text, text).json();
            let shown = fenced["untrusted"]["text"].as_str().unwrap_or_default();
            assert!(inside(shown).is_some(), "{text:?} became {shown:?}");
            assert!(is_harmless(fenced["untrusted"]["from"].as_str().unwrap_or("<<<")), "{text:?}");
            assert!(is_harmless(fenced["untrusted"]["at"].as_str().unwrap_or("<<<")), "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn attacks_do_not_combine(parts in proptest::collection::vec(0_usize..80, 1..5), cuts in proptest::collection::vec(0_usize..40, 4)) {
        let corpus = corpus();
        let text: String = parts.iter().zip(cuts.iter().cycle()).map(|(part, cut)| corpus[*part].chars().skip(*cut % 8).collect::<String>()).collect();
        prop_assert!(is_harmless(&clean::one_line(&text)), "{:?}", clean::one_line(&text));
        let fenced = Fence::new(NONCE).around("x", "", &text).json();
        prop_assert!(inside(fenced["untrusted"]["text"].as_str().unwrap_or_default()).is_some());
    }
}
