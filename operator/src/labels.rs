//! Names and values of labels, as the API server has them.

use std::collections::BTreeMap;

use crate::resource::ProjectContext;

/// Whether it may be the value of a label.
pub(crate) fn is_value(value: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let fits = value.starts_with(is_end) && value.ends_with(is_end) && value.len() <= 63;
    value.is_empty() || fits && value.chars().all(|c| is_end(c) || "-_.".contains(c))
}

/// Whether it may be the name of a label: a name, or a domain and a name.
pub(crate) fn is_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("a", key));
    !name.is_empty() && is_value(name) && prefix.len() <= 253 && prefix.split('.').all(is_dns_label)
}

/// Whether it may be a part of a domain, or the name of a namespace.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.starts_with(is_end) && name.ends_with(is_end) && name.len() <= 63;
    fits && name.chars().all(|c| is_end(c) || c == '-')
}

/// Selectors of a context that the API server would refuse: field, and what to do. The schema has a pattern for values; keys of a map
/// are too long for a rule within the cost that the API server allows.
pub(crate) fn problems(context: &ProjectContext) -> Vec<(String, String)> {
    let targets = context.spec.targets.iter().enumerate();
    let of_targets = targets.filter_map(|(at, target)| {
        Some((format!("spec.targets[{at}].selector.matchLabels"), &target.selector.as_ref()?.match_labels))
    });
    let scrape = context.spec.observability.as_ref().and_then(|observability| observability.scrape.as_ref());
    let of_scrape = scrape.map(|scrape| ("spec.observability.scrape.selector".to_owned(), &scrape.selector));
    of_targets.chain(of_scrape).flat_map(|(path, labels)| wrong(&path, labels)).collect()
}

fn wrong(path: &str, labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let what = |key: &str, value: &str| {
        if !is_key(key) {
            return Some(format!("`{key}` is not the name of a label: write one such as app.kubernetes.io/name"));
        }
        (!is_value(value)).then(|| {
            format!("`{value}` of {key} is not the value of a label: write up to 63 letters, digits, -, _ and .")
        })
    };
    labels.iter().filter_map(|(key, value)| Some((path.to_owned(), what(key, value)?))).collect()
}
