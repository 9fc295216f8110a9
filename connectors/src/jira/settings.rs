//! The settings of a Jira source, checked: what [`SourceConfig`] says, in the form the connector asks for.

use contextcore_core::config::Resolve;
use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::model::{SmolStr, Status, TaskType};
use contextcore_core::{Error, ErrorKind, Result, Secret};

use crate::vocabulary;

/// The names that `fields` may have.
const FIELDS: [&str; 5] = ["story_points", "sprint", "epic_link", "parent_link", "flagged"];

/// A Jira source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where Jira answers, without a trailing slash.
    pub(super) url: String,
    /// The account of an API token. With one it is Cloud; without, the token is a bearer and the site says what it is.
    pub(super) email: Option<String>,
    /// The API token or personal access token.
    pub(super) token: Secret,
    /// A private CA to trust besides the usual ones.
    pub(super) tls_ca_file: Option<PathBuf>,
    /// Project keys; empty means all that the token can see.
    pub(super) projects: Vec<String>,
    /// Configured field ids by our name for them.
    fields: BTreeMap<String, String>,
    /// Status names that mean blocked; `None` for those that usually do.
    blocked_statuses: Option<Vec<String>>,
    /// Labels that mean blocked, in lower case.
    blocked_labels: Vec<String>,
    /// Configured statuses by id or name in lower case.
    statuses: BTreeMap<String, Status>,
    /// Configured types by id or name in lower case.
    types: BTreeMap<String, TaskType>,
    /// What is asked for and kept of comments.
    pub(super) comments: CommentPrivacy,
}

impl Settings {
    /// Checks the settings and reads the token.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unknown name in `fields`, for an App, and when the token cannot be read.
    pub(super) fn new(config: &SourceConfig, privacy: &Privacy) -> Result<Self> {
        if let Some(unknown) = config.fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let text = format!("fields: `{unknown}` is none of {}", FIELDS.join(", "));
            return Err(Error::new(ErrorKind::Config, text).with("source", &config.name));
        }
        if config.app.is_some() {
            let text = "auth.app is for github: use {email, token} for Cloud, or {token} for Data Center";
            return Err(Error::new(ErrorKind::Config, text).with("source", &config.name));
        }
        Ok(Self {
            source: config.name.clone(),
            url: config.url.trim_end_matches('/').to_owned(),
            email: config.email.clone(),
            token: config.token.resolve()?,
            tls_ca_file: config.tls_ca_file.clone(),
            projects: config.projects.clone(),
            fields: config.fields.clone(),
            blocked_statuses: config.blocked.statuses.clone(),
            blocked_labels: lower(config.blocked.labels.as_deref().unwrap_or_default()),
            statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            comments: privacy.comments,
        })
    }

    /// The configured id of one of our fields.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// What the configuration says of a status.
    pub(super) fn status(&self, id: &str, name: &str) -> Option<Status> {
        let known = |word: &str| self.statuses.get(&word.to_lowercase()).copied();
        if self.statuses.is_empty() { None } else { known(name).or_else(|| known(id)) }
    }

    /// What the configuration says of a type.
    pub(super) fn task_type(&self, name: &str) -> Option<TaskType> {
        if self.types.is_empty() { None } else { self.types.get(&name.to_lowercase()).copied() }
    }

    /// Whether a status of this name is an impediment: one of the configured names, else named like those that usually are.
    pub(super) fn means_blocked(&self, name: &str) -> bool {
        match &self.blocked_statuses {
            Some(names) => names.iter().any(|blocked| blocked.eq_ignore_ascii_case(name.trim())),
            None => vocabulary::says(name, &vocabulary::BLOCKED),
        }
    }

    /// The first of these labels that means blocked.
    pub(super) fn blocking_label<'a>(&self, labels: &'a [SmolStr]) -> Option<&'a str> {
        if self.blocked_labels.is_empty() {
            return None;
        }
        labels.iter().find(|label| self.blocked_labels.contains(&label.to_lowercase())).map(SmolStr::as_str)
    }

    /// Whether this project is to be read.
    pub(super) fn wants(&self, project: &str) -> bool {
        self.projects.is_empty() || self.projects.iter().any(|key| key.eq_ignore_ascii_case(project))
    }
}

fn lower(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Settings of a Cloud source without any wishes.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-jira".into(),
            url: "https://acme.atlassian.net".into(),
            email: Some("bot@acme.io".into()),
            token: Secret::new("token"),
            tls_ca_file: None,
            projects: Vec::new(),
            fields: BTreeMap::new(),
            blocked_statuses: None,
            blocked_labels: Vec::new(),
            statuses: BTreeMap::new(),
            types: BTreeMap::new(),
            comments: CommentPrivacy::Omit,
        }
    }

    impl Settings {
        pub(in super::super) fn with_comments(self, comments: CommentPrivacy) -> Self {
            Self { comments, ..self }
        }

        pub(in super::super) fn with_status(mut self, name: &str, to: Status) -> Self {
            self.statuses.insert(name.to_lowercase(), to);
            self
        }

        pub(in super::super) fn with_type(mut self, name: &str, to: TaskType) -> Self {
            self.types.insert(name.to_lowercase(), to);
            self
        }

        pub(in super::super) fn with_blocked(mut self, statuses: &[&str], labels: &[&str]) -> Self {
            self.blocked_statuses = Some(statuses.iter().map(ToString::to_string).collect());
            self.blocked_labels = labels.iter().map(|label| label.to_lowercase()).collect();
            self
        }

        pub(in super::super) fn with_field(mut self, name: &str, id: &str) -> Self {
            self.fields.insert(name.into(), id.into());
            self
        }
    }

    #[test]
    fn blocked_goes_by_whole_words_unless_names_are_configured() {
        let usual = plain();
        for (name, want) in [("Blocked", true), ("On-Hold (vendor)", true), ("Unblocked", false), ("Doing", false)] {
            assert_eq!(usual.means_blocked(name), want, "{name}");
        }
        let own = plain().with_blocked(&["Waiting"], &[]);
        assert!(own.means_blocked("waiting") && !own.means_blocked("Blocked"));
    }
}
