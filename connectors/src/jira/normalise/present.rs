//! What an issue's fields of today leave open: which of them holds the estimate, and what the resolution is called in histories.

use contextcore_core::model::SmolStr;

use super::super::reference::Reference;
use super::super::wire::Record;

/// The field an issue's estimate is in: the first candidate that has a value or a history here, else the first one.
pub(super) fn points_field(reference: &Reference, record: &Record, project: &str) -> Option<Box<str>> {
    let first = reference.points_for(project).next()?;
    let known = |id: &str| reference.fields.points.iter().find(|field| *field.id == *id);
    let has_value = |id: &str| record.issue.custom.contains_key(id);
    // A name that two fields share says nothing of the one that has no value.
    let is_shared = |id: &str, name: &str| {
        let mut points = reference.fields.points.iter();
        points.any(|field| *field.id != *id && field.is_named(name) && has_value(&field.id))
    };
    let changed = |id: &str| {
        let mut items = record.histories.iter().flat_map(|history| history.items.iter());
        items.any(|item| match item.field_id.as_deref() {
            Some(field) => field == id,
            None => known(id).is_some_and(|field| field.is_named(&item.field)) && !is_shared(id, &item.field),
        })
    };
    let mut candidates = reference.points_for(project);
    let used = candidates.find(|id| has_value(id) || changed(id));
    Some(used.unwrap_or(first).into())
}

/// Today's resolution as the history wrote it, else as the issue shows it.
pub(super) fn resolution_in_history(record: &Record) -> Option<SmolStr> {
    let today = record.issue.fields.resolution.as_ref()?;
    let items = record.histories.iter().flat_map(|history| history.items.iter());
    let mut same = items.filter(|item| {
        // Data Center sends no ids.
        let field = item.field_id.as_ref().unwrap_or(&item.field);
        field.eq_ignore_ascii_case("resolution") && item.to.is_some() && item.to.as_deref() == today.id.as_deref()
    });
    Some(same.find_map(|item| item.to_string.clone()).unwrap_or_else(|| SmolStr::new(&today.name)))
}
