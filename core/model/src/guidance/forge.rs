//! The `.contextcore/guidance.yaml` of repositories, as a forge has it on their default branch: what a connector read, and what is
//! stored of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a connector found in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeFile {
    /// The repository, such as `acme/shop`.
    pub repository: String,
    /// What is there.
    pub content: ForgeContent,
}

/// What is at the place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgeContent {
    /// The file, as this branch has it.
    Text {
        /// The default branch.
        branch: String,
        /// Its text.
        text: String,
    },
    /// There is no such file.
    Absent,
    /// The forge did not say: what was known before still counts.
    Unknown,
}

/// A file as it is stored, for a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// The default branch.
    pub branch: String,
    /// The text.
    pub text: String,
}

/// The files of a source, by repository.
pub type StoredFiles = BTreeMap<String, StoredFile>;

/// What is stored once a run has found this. A repository that the source does not have any more is forgotten.
#[must_use]
pub fn stored(known: &StoredFiles, found: Vec<ForgeFile>) -> StoredFiles {
    let file = |ForgeFile { repository, content }| {
        let file = match content {
            ForgeContent::Text { branch, text } => StoredFile { branch, text },
            ForgeContent::Absent => return None,
            ForgeContent::Unknown => known.get(&repository)?.clone(),
        };
        Some((repository, file))
    };
    found.into_iter().filter_map(file).collect()
}

/// A file with the project that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgeGuidance {
    /// The project.
    pub project: String,
    /// The repository.
    pub repository: String,
    /// The file.
    #[serde(flatten)]
    pub file: StoredFile,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_forge_does_not_say_is_kept_and_what_it_denies_is_forgotten() {
        let text = |text: &str| ForgeContent::Text { branch: "main".into(), text: text.into() };
        let file = |repository: &str, content| ForgeFile { repository: repository.into(), content };
        let first =
            stored(&StoredFiles::new(), vec![file("a/a", text("1")), file("a/b", text("2")), file("a/c", text("3"))]);
        let then = stored(&first, vec![file("a/a", ForgeContent::Unknown), file("a/b", ForgeContent::Absent)]);
        assert_eq!(then.keys().collect::<Vec<_>>(), ["a/a"], "a/c is not read any more");
        assert_eq!(stored(&then, vec![file("a/a", text("4"))])["a/a"].text, "4");
    }
}
