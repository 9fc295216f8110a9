//! The settings of a Linear source, checked: what [`SourceConfig`] says, in the form the connector asks for.

use contextcore_core::config::Resolve;
use std::path::PathBuf;

use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::{Error, ErrorKind, Result, Secret};
use http::header::AUTHORIZATION;

use crate::rules::{self, MappingRules, UsualLabels};

/// What personal API keys begin with. They go into the header as they are; anything else is an OAuth access token.
const KEY_PREFIX: &str = "lin_api_";

/// A Linear source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where Linear answers, without a trailing slash.
    pub(super) url: String,
    /// The personal API key or OAuth access token.
    token: Secret,
    /// A private CA to trust besides the usual ones.
    pub(super) tls_ca_file: Option<PathBuf>,
    /// Team keys; empty means all that the token can see.
    pub(super) teams: Vec<String>,
    /// What statuses, types and impediments are configured.
    pub(super) rules: MappingRules,
    /// What is asked for and kept of comments.
    pub(super) comments: CommentPrivacy,
}

impl Settings {
    /// Checks the settings and reads the token.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for anything in `fields`, of which Linear has none to choose, and when the token cannot be read.
    pub(super) fn new(config: &SourceConfig, privacy: &Privacy) -> Result<Self> {
        if let Some(name) = config.fields.keys().next() {
            let text = format!("fields: `{name}` means nothing here, Linear has no fields to choose from");
            return Err(Error::new(ErrorKind::Config, text).with("source", &config.name));
        }
        if config.app.is_some() {
            // Or the App's private key would be sent as the token.
            let text = "auth.app is for github: use {token}";
            return Err(Error::new(ErrorKind::Config, text).with("source", &config.name));
        }
        Ok(Self {
            source: config.name.clone(),
            url: base(&config.url).to_owned(),
            token: config.token.resolve()?,
            tls_ca_file: config.tls_ca_file.clone(),
            teams: config.projects.clone(),
            rules: MappingRules::new(config, UsualLabels::Blocked),
            comments: privacy.comments,
        })
    }

    /// The credential, in the header that its kind wants: with a personal key in front, "Bearer" is refused.
    pub(super) fn auth(&self) -> Auth {
        if self.token.expose().starts_with(KEY_PREFIX) {
            Auth::Header { name: AUTHORIZATION, value: self.token.clone() }
        } else {
            Auth::Bearer(self.token.clone())
        }
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

    /// Settings of a source without any wishes.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-linear".into(),
            url: "https://api.linear.app".into(),
            token: Secret::new("lin_api_sample"),
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
        let key = plain();
        assert!(matches!(key.auth(), Auth::Header { name, value } if name == AUTHORIZATION && value == key.token));
        let access = Settings { token: Secret::new("lin_oauth_sample"), ..plain() };
        assert!(matches!(access.auth(), Auth::Bearer(token) if token == access.token));
    }

    #[test]
    fn the_path_of_the_api_may_be_copied_along() {
        for url in ["https://api.linear.app", "https://api.linear.app/", "https://api.linear.app/graphql"] {
            assert_eq!(base(url), "https://api.linear.app");
        }
    }
}
