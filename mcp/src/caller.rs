//! Who calls, and what they may see and do. We set it: from the command line and the user of the machine over stdio, from the token
//! over HTTP. What a caller says of itself is kept beside it as claimed.

/// A caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The agent, as whoever started the server named it.
    pub agent: String,
    /// The person it works for.
    pub on_behalf_of: Option<String>,
    /// The project that is meant when a call names none.
    pub project: Option<String>,
    /// The projects that it may see; all when absent.
    pub projects: Option<Vec<String>>,
    /// Whether it may report and record.
    pub write: bool,
    /// Whether paths of this machine mean anything to it: over stdio.
    pub is_local: bool,
    /// What it says its name is.
    pub claimed: Option<String>,
}

impl Caller {
    /// Whether there are projects that it may not see.
    pub(crate) fn is_restricted(&self) -> bool {
        self.projects.as_ref().is_some_and(|known| known.iter().all(|name| name != "*"))
    }

    /// Whether it may see a project.
    pub fn sees(&self, project: &str) -> bool {
        self.projects
            .as_ref()
            .is_none_or(|known| known.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(project)))
    }
}
