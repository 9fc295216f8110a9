//! What a site calls its fields, now and in the past, and the option of its flag.
//!
//! A field has the name of [`super::fields`] until it is renamed. A history names a field as it was called at that time.

use super::JiraHandle;
use crate::lock;

/// The names of a site.
#[derive(Debug, Default)]
pub(super) struct Names {
    renamed: Vec<Renamed>,
    /// Histories before this moment have no ids of fields.
    ids_since: Option<i64>,
    /// What the option of the flag is called, where it is not `Impediment`.
    flag: Option<String>,
}

#[derive(Debug)]
struct Renamed {
    /// The name it came with.
    field: &'static str,
    name: String,
    at: i64,
}

impl Names {
    /// What a field is called at a moment.
    pub(super) fn at<'n>(&'n self, field: &'n str, at: i64) -> &'n str {
        let renamed = self.renamed.iter().rev().find(|renamed| renamed.field == field && renamed.at <= at);
        renamed.map_or(field, |renamed| &renamed.name)
    }

    /// Whether histories of this moment have the ids of fields.
    pub(super) fn has_ids(&self, at: i64) -> bool {
        self.ids_since.is_none_or(|since| at >= since)
    }

    /// What the option of the flag is called.
    pub(super) fn flag(&self) -> &str {
        self.flag.as_deref().unwrap_or("Impediment")
    }
}

impl JiraHandle {
    /// From this moment on a field is called otherwise. `field` is the name it came with.
    pub fn rename_field(&self, field: &'static str, name: &str, at: i64) {
        lock(&self.site.names).renamed.push(Renamed { field, name: name.to_owned(), at });
    }

    /// Histories before this moment name fields without their ids, as old ones of Cloud do.
    pub fn leave_out_field_ids(&self, before: i64) {
        lock(&self.site.names).ids_since = Some(before);
    }

    /// The option of the flag is called so, also in histories.
    pub fn name_flag(&self, option: &str) {
        lock(&self.site.names).flag = Some(option.to_owned());
    }
}
