//! The settings of a Jira source: the keys that only Jira has, and all settings in the form the connector uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{CommentPrivacy, Privacy, SecretRef, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::{Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credential::{Credential, require_known_fields, require_token};
use crate::rules::{self, MappingRules, UsualLabels};

/// The names that `fields` may have.
const FIELDS: [&str; 5] = ["story_points", "sprint", "epic_link", "parent_link", "flagged"];

/// The keys that only Jira sources have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "JiraKeys", extend("required" = ["auth"]))]
pub(super) struct JiraKeys {
    /// The credential: for Cloud the account and its API token, for Data Center a personal access token alone.
    auth: JiraAuth,
}

/// The credential of a Jira source.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["token"]))]
struct JiraAuth {
    /// The account that the API token belongs to (Cloud). Absent: the token is sent as a bearer.
    email: Option<String>,
    /// The token.
    #[schemars(required)]
    token: Option<SecretRef>,
}

impl KindSettings for JiraKeys {
    fn check(&self, source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        require_token(self.auth.token.as_ref(), problems);
        require_known_fields(source.fields.keys(), &FIELDS, problems);
    }
}

/// A Jira source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where Jira answers, without a trailing slash.
    pub(super) url: String,
    /// The account of an API token. With one it is Cloud; without, the token is a bearer and the site says what it is.
    pub(super) email: Option<String>,
    /// A private CA to trust besides the usual ones.
    pub(super) tls_ca_file: Option<PathBuf>,
    /// Project keys; empty means all that the token can see.
    pub(super) projects: Vec<String>,
    /// Configured field ids by our name for them.
    fields: BTreeMap<String, String>,
    /// What statuses, types and impediments are configured.
    pub(super) rules: MappingRules,
    /// How much of comments is read and stored.
    pub(super) comments: CommentPrivacy,
}

impl Settings {
    /// The settings, and the credential, which is not read yet.
    ///
    /// # Errors
    /// [`contextcore_core::ErrorKind::Config`] for a configuration that was not checked.
    pub(super) fn new(config: &SourceConfig, privacy: &Privacy) -> Result<(Self, Credential)> {
        let JiraAuth { email, token } = kind::settings::<JiraKeys>(config)?.auth;
        let settings = Self {
            source: config.name.clone(),
            url: config.url.trim_end_matches('/').to_owned(),
            email: email.filter(|email| !email.trim().is_empty()),
            tls_ca_file: config.tls_ca_file.clone(),
            projects: config.projects.clone(),
            fields: config.fields.clone(),
            rules: MappingRules::new(config, UsualLabels::None),
            comments: privacy.comments,
        };
        Ok((settings, Credential::of(token, &config.name)?))
    }

    /// How a token is sent.
    pub(super) fn auth(&self, token: &Secret) -> Auth {
        match &self.email {
            Some(user) => Auth::Basic { user: user.clone(), password: token.clone() },
            None => Auth::Bearer(token.clone()),
        }
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

    /// Settings of a Cloud source with defaults.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-jira".into(),
            url: "https://acme.atlassian.net".into(),
            email: Some("bot@acme.io".into()),
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
