//! The labels of our monitoring objects, and whether a selector of somebody else matches them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::derive::{INSTANCE, MANAGED_BY, MANAGER};
use crate::settings::Settings;

/// Labels of all our monitoring objects.
pub(super) fn labels(settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = settings.object_labels.clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(INSTANCE.to_owned(), settings.instance.clone());
    labels
}

/// Why a selector does not match; `None`: it does. An absent selector selects nothing, an empty one everything.
pub(super) fn mismatch(selector: &Value, labels: &BTreeMap<String, String>) -> Option<String> {
    if selector.is_null() {
        return Some("is absent, which selects nothing".to_owned());
    }
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if labels.get(key).map(String::as_str) != Some(value) {
            return Some(format!("wants {key}: {value}"));
        }
    }
    selector["matchExpressions"].as_array().into_iter().flatten().find_map(|expression| unmet(expression, labels))
}

fn unmet(expression: &Value, labels: &BTreeMap<String, String>) -> Option<String> {
    let key = expression["key"].as_str().unwrap_or_default();
    let operator = expression["operator"].as_str().unwrap_or_default();
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = labels.get(key).map(String::as_str);
    let met = match operator {
        "In" => has.is_some_and(|value| values.contains(&value)),
        "NotIn" => !has.is_some_and(|value| values.contains(&value)),
        "Exists" => has.is_some(),
        "DoesNotExist" => has.is_none(),
        _ => true,
    };
    (!met).then(|| format!("wants {key} {operator} {}", values.join(", ")).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse("s.yaml", text).unwrap()
    }

    #[test]
    fn selectors_are_compared_with_our_labels() {
        let labels = labels(&settings("objectLabels: {release: stack}\n"));
        let matches = |selector: Value| mismatch(&selector, &labels);
        assert_eq!(matches(json!({})), None);
        assert_eq!(matches(json!({"matchLabels": {"release": "stack"}})), None);
        assert_eq!(matches(json!({"matchLabels": {"release": "other"}})).unwrap(), "wants release: other");
        assert!(matches(Value::Null).unwrap().contains("selects nothing"));
        let expression = |operator: &str| json!({"matchExpressions": [{"key": "release", "operator": operator, "values": ["stack"]}]});
        assert_eq!(matches(expression("In")), None);
        assert_eq!(matches(expression("NotIn")).unwrap(), "wants release NotIn stack");
        assert!(matches(json!({"matchExpressions": [{"key": "x", "operator": "Exists"}]})).is_some());
    }
}
