//! Which task a link means: of those we hold, the one with the tool's id, when that was told; else the one of the same source
//! that is, or ever was, called so.

use crate::TaskKey;
use crate::error::Result;

/// Finds the task a link means. `named` gives the tasks that are or were called as the link says, `held` what is wanted of one
/// if we hold it.
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
    fn an_id_means_that_task_alone_and_a_name_the_first_of_its_source_that_is_held() {
        assert_eq!(target_of(Some("7"), &["7", "2"]).as_deref(), Some("jira/7"));
        assert_eq!(target_of(Some("7"), &["2"]), None, "who is called so is another one");
        assert_eq!(target_of(None, &["1", "2", "3"]).as_deref(), Some("jira/2"));
        assert_eq!(target_of(None, &["3"]).as_deref(), Some("jira/3"));
        assert_eq!(target_of(None, &["1"]), None);
    }
}
