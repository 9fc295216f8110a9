//! Which guidance holds, of all that people gave.

use std::collections::BTreeMap;

use super::item::{GuidanceItem, Severity, Trust};
use crate::time::Millis;

/// The guidance that has not ended, the strictest first. Of several with the same kind and id from different sources, the strictest
/// severity counts for each, and each says what it declared; but what is not proven can neither become blocking by that, nor make
/// anything stricter that is proven. Filter by [`covering`] first: a rule for other paths is no stricter one of this.
#[must_use]
pub fn in_force(items: Vec<GuidanceItem>, now: Millis) -> Vec<GuidanceItem> {
    let mut items: Vec<GuidanceItem> = items.into_iter().filter(|item| !item.has_ended(now)).collect();
    let mut strictest: BTreeMap<(String, &str, String), (Severity, Severity)> = BTreeMap::new();
    for item in &items {
        let (binding, any) = strictest.entry(key(item)).or_insert((Severity::Advisory, Severity::Advisory));
        *any = item.severity.max(*any);
        if item.trust == Trust::Binding {
            *binding = item.severity.max(*binding);
        }
    }
    for item in &mut items {
        let (binding, any) = strictest[&key(item)];
        let strictest = if item.trust == Trust::Binding { binding } else { any.min(item.ceiling()) };
        if strictest > item.severity {
            item.declared.get_or_insert(item.severity);
            item.severity = strictest;
        }
    }
    items.sort_by(|one, other| order(one).cmp(&order(other)));
    items.dedup();
    items
}

fn key(item: &GuidanceItem) -> (String, &'static str, String) {
    (item.project.clone(), item.kind.as_str(), item.local_id().to_owned())
}

fn order(item: &GuidanceItem) -> impl Ord {
    let (severity, trust) = (std::cmp::Reverse(item.severity), std::cmp::Reverse(item.trust));
    (severity, item.kind, trust, item.id.clone(), item.rule.clone())
}

/// The guidance that holds for one of these paths; without paths, all of it.
pub fn covering<'a>(
    items: impl IntoIterator<Item = GuidanceItem> + 'a,
    paths: &'a [String],
) -> impl Iterator<Item = GuidanceItem> + 'a {
    items.into_iter().filter(move |item| paths.is_empty() || paths.iter().any(|path| item.covers(path)))
}

/// Whether any of it is a constraint that must not be broken.
#[must_use]
pub fn is_blocked(items: &[GuidanceItem]) -> bool {
    items.iter().any(|item| item.severity == Severity::Blocking)
}
