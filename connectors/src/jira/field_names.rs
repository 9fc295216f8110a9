//! What custom fields were called before, and what an issue's own history says of a name: pure.
//!
//! A field is renamed, and the changes before that keep its old name. Those of Cloud have the field's id as well, but not all of
//! them; those of Data Center never. Three things say what such a name meant:
//!
//! - the names that the list of fields had when we read it before ([`FieldNames`]),
//! - the histories of a few issues, asked for once before the first issue is read ([`super::renamed`]),
//! - the other changes of the same issue: one that has the old name and the id ([`NamesInHistory`]).
//!
//! Nothing is learned from one issue for another while issues are read. What a page teaches would be missing in the pages before
//! it, so the facts of an issue would depend on the order of reading, and what is exported is final. An issue's own history
//! always comes whole. It only grows, and what is added to it bears the name that the list of fields has then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contextcore_core::model::SmolStr;
use serde::{Deserialize, Serialize};

use super::history::Item;

/// The name of a configured field that the site does not have.
pub(super) const NOT_HERE: &str = "not on this site";

/// Names that fields had, by the field's id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FieldNames(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl FieldNames {
    /// What a field is or was called.
    pub(super) fn of(&self, id: &str) -> impl Iterator<Item = &str> {
        self.0.get(id).into_iter().flatten().map(|name| &**name)
    }

    /// Remembers what a field is called.
    pub(super) fn note(&mut self, id: &str, name: &str) {
        if !name.is_empty() && name != NOT_HERE {
            self.0.entry(id.into()).or_default().insert(name.into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which field each name meant in the history of one issue; none where it meant several.
#[derive(Debug, Default)]
pub(super) struct NamesInHistory(HashMap<SmolStr, Option<SmolStr>>);

impl NamesInHistory {
    /// Takes in a change that has both the name and the id of a custom field.
    pub(super) fn note(&mut self, item: &Item) {
        let Some(id) = item.field_id.as_ref().filter(|id| id.starts_with("customfield_") && **id != item.field) else {
            return;
        };
        match self.0.get_mut(&item.field) {
            Some(known) if known.as_ref() == Some(id) => {}
            Some(known) => *known = None,
            None => _ = self.0.insert(item.field.clone(), Some(id.clone())),
        }
    }

    /// Which field a change without an id is of, by its name.
    pub(super) fn id_of(&self, item: &Item) -> Option<SmolStr> {
        self.0.get(&item.field).cloned().flatten().filter(|_| item.is_custom_without_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: &str) -> Item {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_name_means_the_field_that_had_it_in_the_same_history() {
        let mut names = NamesInHistory::default();
        for id in ["customfield_1", "customfield_1", "customfield_2"] {
            let name = if id == "customfield_2" { "Size" } else { "Iteration" };
            names.note(&item(&format!(r#"{{"field":"{name}","fieldId":"{id}","fieldtype":"custom"}}"#)));
        }
        names.note(&item(r#"{"field":"Size","fieldId":"customfield_3","fieldtype":"custom"}"#));
        let old = |name: &str| names.id_of(&item(&format!(r#"{{"field":"{name}","fieldtype":"custom"}}"#)));
        assert_eq!(old("Iteration").as_deref(), Some("customfield_1"));
        assert_eq!(old("Size"), None, "two fields had that name");
        assert_eq!(old("Takt"), None);
        let link = item(r#"{"field":"Iteration","fieldtype":"jira"}"#);
        assert_eq!(names.id_of(&link), None, "not a custom field");
    }
}
