//! Which guidance holds, of all that people gave.

use std::collections::BTreeMap;

use super::item::{GuidanceItem, Severity, Trust};
use crate::time::Millis;

/// The guidance that has not ended, the strictest first. Of several with the same kind and id from different sources, the strictest
/// severity counts for each, and each says what it declared; but what is not proven can neither become blocking by that, nor make
/// anything stricter that is proven, and what two repositories say at their forge leaves each other as it is. Filter by [`covering`]
/// first: a rule for other paths is no stricter one of this.
#[must_use]
pub fn in_force(items: Vec<GuidanceItem>, now: Millis) -> Vec<GuidanceItem> {
    let mut items: Vec<GuidanceItem> = items.into_iter().filter(|item| !item.has_ended(now)).collect();
    let strictest = strictest_of_all(&items);
    for (item, strictest) in items.iter_mut().zip(strictest) {
        if strictest > item.severity {
            item.declared.get_or_insert(item.severity);
            item.severity = strictest;
        }
    }
    items.sort_by(|one, other| order(one).cmp(&order(other)));
    items.dedup();
    items
}

/// For each line the strictest severity that counts for it.
fn strictest_of_all(items: &[GuidanceItem]) -> Vec<Severity> {
    let mut same: BTreeMap<_, Vec<&GuidanceItem>> = BTreeMap::new();
    for item in items {
        same.entry(key(item)).or_default().push(item);
    }
    items.iter().map(|item| strictest(item, &same[&key(item)])).collect()
}

/// The strictest of these lines of one id, as far as it counts for one of them.
fn strictest(item: &GuidanceItem, same: &[&GuidanceItem]) -> Severity {
    let may_be_together = |other: &GuidanceItem| match (item.repository(), other.repository()) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let is_as_sure = |other: &GuidanceItem| item.trust != Trust::Binding || other.trust == Trust::Binding;
    let counting = same.iter().filter(|other| may_be_together(other) && is_as_sure(other));
    let any = counting.map(|other| other.severity).max().unwrap_or(item.severity);
    if item.trust == Trust::Binding { any } else { any.min(item.ceiling()) }
}

fn key(item: &GuidanceItem) -> (&str, &'static str, &str) {
    (&item.project, item.kind.as_str(), item.local_id())
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
