//! Resolves a link to a task: by the tool's id where the link has one, else by any key that a task of the same source
//! has or had.

use crate::TaskKey;
use crate::error::Result;

/// Finds the task a link leads to. `named` returns the tasks that have or had the link's key; `held` returns what the
/// caller needs of a task, if it is in the store.
///
/// # Errors
/// Those of `named` and `held`.
pub fn target<T>(
    source: &str,
    native_id: Option<&str>,
    named: impl FnOnce() -> Result<Vec<TaskKey>>,
    mut held: impl FnMut(TaskKey) -> Result<Option<T>>,
) -> Result<Option<T>> {
    if let Some(id) = native_id {
        return held(TaskKey::new(source, id));
    }
    for key in named()?.into_iter().filter(|key| key.source == source) {
        if let Some(found) = held(key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(native_id: Option<&str>, held: &[&str]) -> Option<String> {
        let named = || Ok(vec![TaskKey::new("other", "1"), TaskKey::new("jira", "2"), TaskKey::new("jira", "3")]);
        let held = |key: TaskKey| Ok(held.contains(&&*key.native_id).then(|| key.to_string()));
        target("jira", native_id, named, held).unwrap()
    }

    #[test]
    fn an_id_selects_one_task_and_a_key_the_first_stored_one_of_the_source() {
        assert_eq!(target_of(Some("7"), &["7", "2"]).as_deref(), Some("jira/7"));
        assert_eq!(target_of(Some("7"), &["2"]), None, "who is called so is another one");
        assert_eq!(target_of(None, &["1", "2", "3"]).as_deref(), Some("jira/2"));
        assert_eq!(target_of(None, &["3"]).as_deref(), Some("jira/3"));
        assert_eq!(target_of(None, &["1"]), None);
    }
}
