//! The settings of a Jira source: the keys that only Jira has, and all settings in the form the connector uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{CommentPrivacy, Privacy, SecretRef, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::model::{SmolStr, Status, TaskType};
use contextcore_core::{Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credential::{Credential, require_known_fields, require_token};
use crate::vocabulary;

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
    /// Status names that mean blocked; `None` for those that usually do.
    blocked_statuses: Option<Vec<String>>,
    /// Labels that mean blocked, in lower case.
    blocked_labels: Vec<String>,
    /// Configured statuses by id or name in lower case.
    statuses: BTreeMap<String, Status>,
    /// Configured types by id or name in lower case.
    types: BTreeMap<String, TaskType>,
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
            blocked_statuses: config.blocked.statuses.clone(),
            blocked_labels: lower(config.blocked.labels.as_deref().unwrap_or_default()),
            statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
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

    /// The configured status of the tool's.
    pub(super) fn status(&self, id: &str, name: &str) -> Option<Status> {
        let known = |word: &str| self.statuses.get(&word.to_lowercase()).copied();
        if self.statuses.is_empty() { None } else { known(name).or_else(|| known(id)) }
    }

    /// The configured type.
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

    /// Settings of a Cloud source with defaults.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-jira".into(),
            url: "https://acme.atlassian.net".into(),
            email: Some("bot@acme.io".into()),
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
