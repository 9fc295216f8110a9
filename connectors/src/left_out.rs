//! Entries of histories that cannot be read, and what is said of them.
//!
//! An entry of an odd shape costs itself: its task is read without it, and a warning names the task. An entry of which only the actor
//! is odd costs nothing but the actor. One whose time cannot be read costs the record, unless it is a comment: what it changed
//! happened, and the task would have another past, which is final once it is exported.

use std::collections::BTreeMap;

use contextcore_core::lock;
use serde_json::Value;
use std::sync::Mutex;

/// Tasks that a warning names.
const NAMED: usize = 5;

/// How many entries were left out, by task.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(Mutex<BTreeMap<String, usize>>);

impl LeftOut {
    /// Notes how many entries of a task were left out. The same task may be read more than once.
    pub(crate) fn note(&self, task: &str, entries: usize) {
        if entries > 0 {
            lock(&self.0).insert(task.to_owned(), entries);
        }
    }

    /// What is to be said of those that were noted since the last call.
    pub(crate) fn take(&self) -> Option<String> {
        let tasks = std::mem::take(&mut *lock(&self.0));
        let entries: usize = tasks.values().sum();
        let names: Vec<&str> = tasks.keys().take(NAMED).map(String::as_str).collect();
        let more = match tasks.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (entries > 0).then(|| {
            format!(
                "{entries} entries of histories cannot be read and were left out, of {}{more}: the past of these lacks them",
                names.join(", ")
            )
        })
    }
}

/// Whether an entry of a list can be read.
pub(crate) type Fits = fn(&Value) -> bool;

/// Takes the entries that cannot be read out of a list, and off the others an actor that cannot be. How many entries those were.
pub(crate) fn mend(rows: Option<&mut Value>, actors: &[&str], fits: impl Fn(&Value) -> bool) -> usize {
    let Some(rows) = rows.and_then(Value::as_array_mut) else { return 0 };
    let before = rows.len();
    rows.retain_mut(|row| fits(row) || fits_without(row, actors, &fits));
    before - rows.len()
}

fn fits_without(row: &mut Value, actors: &[&str], fits: impl Fn(&Value) -> bool) -> bool {
    let Some(entry) = row.as_object_mut() else { return false };
    actors.iter().for_each(|actor| drop(entry.remove(*actor)));
    fits(row)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_warning_names_the_tasks() {
        let left_out = LeftOut::default();
        assert_eq!(left_out.take(), None);
        left_out.note("A-0", 0);
        left_out.note("A-1", 2);
        left_out.note("A-1", 2);
        let said = left_out.take().unwrap();
        assert!(said.starts_with("2 entries") && said.contains("of A-1: the past"), "{said}");
        (2..9).for_each(|n| left_out.note(&format!("A-{n}"), 1));
        let said = left_out.take().unwrap();
        assert!(said.starts_with("7 entries") && said.contains("A-6 and 2 more"), "{said}");
        assert_eq!(left_out.take(), None);
    }

    #[test]
    fn an_odd_actor_costs_the_actor_and_an_odd_entry_itself() {
        let fits: Fits = |row| row["at"].is_i64() && (row["who"].is_string() || row["who"].is_null());
        let mut rows = json!([{"at": 1, "who": "ada"}, {"at": 2, "who": 7}, {"at": "soon"}, null, {"who": 7}]);
        assert_eq!(mend(Some(&mut rows), &["who"], fits), 3);
        assert_eq!(rows, json!([{"at": 1, "who": "ada"}, {"at": 2}]));
        assert_eq!(mend(Some(&mut json!(7)), &["who"], fits), 0);
    }
}
