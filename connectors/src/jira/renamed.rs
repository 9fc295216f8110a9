//! Fields that are recognised by nothing but their name, and were renamed: what histories called them.
//!
//! Points and the flag are such fields. Where the list of fields has none of that name, a few issues that have a value in one of
//! the possible fields are asked for their histories, whose changes have the field's id and the name as of then (Cloud only). This
//! happens once, before the first issue is read, so that every issue is read with the same fields. Afterwards the names count that
//! the list of fields had before.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Result;
use tracing::warn;

use super::api::{Api, Outline, Site, is_bearable};
use super::field_names::FieldNames;
use super::fields::{FieldAnswer, Unnamed};
use super::history::Item;
use super::search::{self, Search};

/// Possible fields that are looked at, those that the site made first.
const FIELDS: usize = 10;
/// Issues of each that are asked for their histories, the oldest.
const ISSUES: u64 = 20;

/// Adds the names that histories have for fields that could be what the list of fields does not name. Whether there are any.
///
/// # Errors
/// As the session's, when it is not about the fields or issues: what is not learned now is not learned later.
pub(super) async fn learn(
    api: &Api,
    answers: &[FieldAnswer],
    unnamed: Unnamed,
    names: &mut FieldNames,
) -> Result<bool> {
    let mut possible: BTreeMap<u64, &FieldAnswer> = BTreeMap::new();
    for answer in answers.iter().filter(|answer| unnamed.may_be(answer)) {
        possible.extend(number(&answer.id).map(|number| (number, answer)));
    }
    let mut ids: BTreeSet<Box<str>> = BTreeSet::new();
    for number in possible.keys().take(FIELDS) {
        ids.extend(issues_with(api, *number).await?);
    }
    let mut learned = false;
    for item in changes(api, &ids).await? {
        let id = item.field_id.as_deref().unwrap_or_default();
        let field = number(id).and_then(|number| possible.get(&number));
        if field.is_some_and(|field| unnamed.is_named(field, &item.field)) {
            names.note(id, &item.field);
            learned = true;
        }
    }
    Ok(learned)
}

/// What changed in these issues, as far as one answer holds it.
async fn changes(api: &Api, ids: &BTreeSet<Box<str>>) -> Result<Vec<Item>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
    match api.histories(&ids, None, api.tries()).await {
        Err(error) if is_bearable(error.kind()) => {
            warn!(error = error.full(), "what histories call the fields cannot be read");
            Ok(Vec::new())
        }
        answer => {
            let issues = answer?.issue_change_logs.into_iter().flat_map(|issues| issues.kept);
            let histories = issues.filter_map(|issue| issue.change_histories).flat_map(|histories| histories.kept);
            Ok(histories.flat_map(|mut history| std::mem::take(&mut *history.items)).collect())
        }
    }
}

/// The number of a custom field.
fn number(id: &str) -> Option<u64> {
    id.strip_prefix("customfield_")?.parse().ok()
}

/// The oldest issues that have a value in a field. A field that cannot be searched has none.
async fn issues_with(api: &Api, field: u64) -> Result<Vec<Box<str>>> {
    let search = Search::with_value(field);
    match search::whole(api, Site::Cloud, &search, ["id"].into(), ISSUES).await {
        Err(error) if is_bearable(error.kind()) => {
            warn!(error = error.full(), field, "issues with a value in a field cannot be searched");
            Ok(Vec::new())
        }
        found => Ok(found?.issues.iter().filter_map(|row| Outline::of(row.get()).id).collect()),
    }
}
