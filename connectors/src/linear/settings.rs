//! The settings of a Linear source: the keys that only Linear has, and all settings in the form the connector uses.

use std::path::PathBuf;

use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::{Result, Secret};
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credential::{Credential, TokenAuth, require_token};
use crate::rules::{self, MappingRules, UsualLabels};

/// What personal API keys begin with. They go into the header as they are; anything else is an OAuth access token.
const KEY_PREFIX: &str = "lin_api_";

/// The keys that only Linear sources have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "LinearKeys", extend("required" = ["auth"]))]
pub(super) struct LinearKeys {
    /// The credential: a personal API key or an OAuth access token.
    auth: TokenAuth,
}

impl KindSettings for LinearKeys {
    fn check(&self, source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        require_token(self.auth.token.as_ref(), problems);
        for name in source.fields.keys() {
            problems.add(&format!("fields.{name}"), "means nothing here: Linear has no fields to choose from");
        }
    }
}

/// The credential, in the header that its kind wants: with a personal key in front, "Bearer" is refused.
pub(super) fn auth(token: &Secret) -> Auth {
    if token.expose().starts_with(KEY_PREFIX) {
        Auth::Header { name: AUTHORIZATION, value: token.clone() }
    } else {
        Auth::Bearer(token.clone())
    }
}

/// A Linear source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where Linear answers, without a trailing slash.
    pub(super) url: String,
    /// A private CA to trust besides the usual ones.
    pub(super) tls_ca_file: Option<PathBuf>,
    /// Team keys; empty means all that the token can see.
    pub(super) teams: Vec<String>,
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
        let LinearKeys { auth } = kind::settings(config)?;
        let settings = Self {
            source: config.name.clone(),
            url: base(&config.url).to_owned(),
            tls_ca_file: config.tls_ca_file.clone(),
            teams: config.projects.clone(),
            rules: MappingRules::new(config, UsualLabels::Blocked),
            comments: privacy.comments,
        };
        Ok((settings, Credential::of(auth.token, &config.name)?))
    }

    /// Whether the team of this key is to be read.
    pub(super) fn wants(&self, team: &str) -> bool {
        rules::includes(&self.teams, team)
    }
}

/// The address without the path of the API, which people copy along.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/graphql").unwrap_or(url)
}

#[cfg(test)]
pub(super) mod tests {
    use contextcore_core::model::{Status, TaskType};

    use super::*;

    /// Settings of a source with defaults.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-linear".into(),
            url: "https://api.linear.app".into(),
            tls_ca_file: None,
            teams: Vec::new(),
            rules: MappingRules::usual(UsualLabels::Blocked),
            comments: CommentPrivacy::Omit,
        }
    }

    /// The same for these teams.
    pub(in super::super) fn with_teams(teams: &[&str]) -> Settings {
        Settings { teams: teams.iter().map(ToString::to_string).collect(), ..plain() }
    }

    /// The same with so much of comments.
    pub(in super::super) fn with_comments(comments: CommentPrivacy) -> Settings {
        Settings { comments, ..plain() }
    }

    /// The same with a type for a label and a status for a state.
    pub(in super::super) fn with_words(label: (&str, TaskType), state: (&str, Status)) -> Settings {
        let mut settings = plain();
        settings.rules.set_type(label.0, label.1);
        settings.rules.set_status(state.0, state.1);
        settings
    }

    #[test]
    fn a_personal_key_goes_without_bearer_and_an_access_token_with_it() {
        let (key, access) = (Secret::new("lin_api_sample"), Secret::new("lin_oauth_sample"));
        assert!(matches!(auth(&key), Auth::Header { name, value } if name == AUTHORIZATION && value == key));
        assert!(matches!(auth(&access), Auth::Bearer(token) if token == access));
    }

    #[test]
    fn the_path_of_the_api_may_be_copied_along() {
        for url in ["https://api.linear.app", "https://api.linear.app/", "https://api.linear.app/graphql"] {
            assert_eq!(base(url), "https://api.linear.app");
        }
    }
}
