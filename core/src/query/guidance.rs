//! Guidance for agents, from everywhere it can come from.

use super::viewer::Viewer;
use crate::config::Config;
use crate::model::error::Result;
use crate::model::guidance::stored::AllGuidance;
use crate::model::guidance::{GuidanceItem, of_project};
use crate::repository::Repository;

/// The guidance there is, ended or not, each line as its source has it. [`crate::model::guidance::in_force`] says what holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuidanceFound {
    /// The lines.
    pub items: Vec<GuidanceItem>,
    /// What a person should know, such as a file that cannot be used.
    pub warnings: Vec<String>,
}

impl Viewer<'_> {
    /// The guidance that the command line reported.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn guidance(&self) -> Result<AllGuidance> {
        self.store.guidance()
    }
}

/// The guidance of a project, or of all: from the configuration's projects, from a repository on this machine, and from what was
/// reported. What a repository says is about `project`, or about the one that it names itself.
pub fn guidance(
    config: Option<&Config>,
    repository: Option<&Repository>,
    stored: &AllGuidance,
    project: Option<&str>,
) -> GuidanceFound {
    let projects = config.iter().flat_map(|config| &config.projects);
    let wanted = projects.filter(|known| project.is_none_or(|project| known.id == project));
    let mut found = GuidanceFound { items: wanted.flat_map(of_project).collect(), warnings: Vec::new() };
    if let Some(repository) = repository {
        let refs = config.map(|config| config.guidance.trusted_refs.as_slice()).unwrap_or_default();
        let named = project.map(str::to_owned).or_else(|| repository.project()).unwrap_or_default();
        let of_repository = repository.guidance(&named, refs);
        found.items.extend(of_repository.items);
        found.warnings = of_repository.warnings;
    }
    found.items.extend(stored.items(project));
    found
}
