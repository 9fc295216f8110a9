//! The settings of a Jira source, checked: what [`SourceConfig`] says, in the form the connector asks for.

use contextcore_core::config::Resolve;
use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::{Error, ErrorKind, Result, Secret};

use crate::rules::{self, MappingRules, UsualLabels};

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
    /// What statuses, types and impediments are configured.
    pub(super) rules: MappingRules,
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
            rules: MappingRules::new(config, UsualLabels::None),
            comments: privacy.comments,
        })
    }

    /// The configured id of one of our fields.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Whether this project is to be read.
    pub(super) fn wants(&self, project: &str) -> bool {
        rules::includes(&self.projects, project)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use contextcore_core::model::{Status, TaskType};

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
            rules: MappingRules::usual(UsualLabels::None),
            comments: CommentPrivacy::Omit,
        }
    }

    impl Settings {
        pub(in super::super) fn with_comments(self, comments: CommentPrivacy) -> Self {
            Self { comments, ..self }
        }

        pub(in super::super) fn with_status(mut self, name: &str, to: Status) -> Self {
            self.rules.set_status(name, to);
            self
        }

        pub(in super::super) fn with_type(mut self, name: &str, to: TaskType) -> Self {
            self.rules.set_type(name, to);
            self
        }

        pub(in super::super) fn with_blocked(mut self, statuses: &[&str], labels: &[&str]) -> Self {
            self.rules.set_blocked(statuses, labels);
            self
        }

        pub(in super::super) fn with_field(mut self, name: &str, id: &str) -> Self {
            self.fields.insert(name.into(), id.into());
            self
        }
    }
}
