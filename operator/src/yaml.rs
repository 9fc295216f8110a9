//! YAML: objects as text, and files as documents whose keys know their lines.

use serde_json::Value;

pub(crate) use contextcore_model::yaml::{Lines, documents};

/// A value as a YAML document. Texts that an older YAML would read as something else are quoted, and lines stay as long as they
/// are: a folded query is hard to read.
#[must_use]
pub fn text(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

/// Several documents in one stream.
#[must_use]
pub fn stream(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join("---\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn any_text_comes_back_as_it_was(text in "\\PC*", control in "[\\x00-\\x7f\u{85}\u{2028}]*") {
            let value = serde_json::json!({"k": [text, control, {"nested": format!("{control}\n{text}\n")}]});
            let (read, _) = documents(&super::text(&value)).unwrap().remove(0);
            prop_assert_eq!(read, value);
        }
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for word in
            ["yes", "on", "1e3", "0x12", "012", "~", "null", "1:30", "2026-01-01", "99.95", "", "- a", "# b", "{", "&a"]
        {
            let (read, _) = documents(&text(&serde_json::json!([word]))).unwrap().remove(0);
            assert_eq!(read, serde_json::json!([word]));
        }
        assert!(text(&serde_json::json!({"a": "yes"})).contains('"'), "{}", text(&serde_json::json!({"a": "yes"})));
    }
}
