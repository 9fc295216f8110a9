//! The settings of a Linear source: the keys that only Linear has, and all settings in the form the connector uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::model::{SmolStr, Status, TaskType};
use contextcore_core::{Result, Secret};
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credential::{Credential, TokenAuth, require_token};
use crate::vocabulary;

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
    /// State names that mean blocked; `None` for those that usually do.
    blocked_states: Option<Vec<String>>,
    /// Labels that mean blocked, in lower case.
    blocked_labels: Vec<String>,
    /// Configured states by id or name in lower case.
    statuses: BTreeMap<String, Status>,
    /// Configured types by the name of a label, in lower case.
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
        let LinearKeys { auth } = kind::settings(config)?;
        let settings = Self {
            source: config.name.clone(),
            url: base(&config.url).to_owned(),
            tls_ca_file: config.tls_ca_file.clone(),
            teams: config.projects.clone(),
            blocked_states: config.blocked.statuses.clone(),
            blocked_labels: lower(config.blocked.labels.as_deref().unwrap_or(&["blocked".to_owned()])),
            statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            comments: privacy.comments,
        };
        Ok((settings, Credential::of(auth.token, &config.name)?))
    }

    /// The configured status for one of the tool's states.
    pub(super) fn status(&self, id: &str, name: &str) -> Option<Status> {
        let known = |word: &str| self.statuses.get(&word.to_lowercase()).copied();
        if self.statuses.is_empty() { None } else { known(name).or_else(|| known(id)) }
    }

    /// The configured type for a label.
    pub(super) fn task_type(&self, label: &str) -> Option<TaskType> {
        if self.types.is_empty() { None } else { self.types.get(&label.to_lowercase()).copied() }
    }

    /// Whether a state of this name is an impediment: one of the configured names, else named like those that usually are.
    pub(super) fn means_blocked(&self, name: &str) -> bool {
        match &self.blocked_states {
            Some(names) => names.iter().any(|blocked| blocked.eq_ignore_ascii_case(name.trim())),
            None => vocabulary::says(name, &vocabulary::BLOCKED),
        }
    }

    /// The first of these labels that means blocked.
    pub(super) fn blocking_label<'a>(&self, labels: &'a [SmolStr]) -> Option<&'a str> {
        labels.iter().find(|label| self.blocked_labels.contains(&label.to_lowercase())).map(SmolStr::as_str)
    }

    /// Whether the team of this key is to be read.
    pub(super) fn wants(&self, team: &str) -> bool {
        self.teams.is_empty() || self.teams.iter().any(|key| key.eq_ignore_ascii_case(team))
    }
}

/// The address without the path of the API, which people copy along.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/graphql").unwrap_or(url)
}

fn lower(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Settings of a source with defaults.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-linear".into(),
            url: "https://api.linear.app".into(),
            tls_ca_file: None,
            teams: Vec::new(),
            blocked_states: None,
            blocked_labels: vec!["blocked".into()],
            statuses: BTreeMap::new(),
            types: BTreeMap::new(),
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
        let (types, statuses) = ([(label.0.into(), label.1)].into(), [(state.0.into(), state.1)].into());
        Settings { types, statuses, ..plain() }
    }

    #[test]
    fn a_personal_key_goes_without_bearer_and_an_access_token_with_it() {
        let (key, access) = (Secret::new("lin_api_sample"), Secret::new("lin_oauth_sample"));
        assert!(matches!(auth(&key), Auth::Header { name, value } if name == AUTHORIZATION && value == key));
        assert!(matches!(auth(&access), Auth::Bearer(token) if token == access));
    }

    #[test]
    fn a_label_named_blocked_raises_the_flag_unless_others_are_configured() {
        let labels = |names: &[&str]| names.iter().map(SmolStr::new).collect::<Vec<_>>();
        assert_eq!(plain().blocking_label(&labels(&["ui", "Blocked"])), Some("Blocked"));
        let other = Settings { blocked_labels: vec!["waiting".into()], ..plain() };
        assert_eq!(other.blocking_label(&labels(&["blocked"])), None);
        assert_eq!(other.blocking_label(&labels(&["Waiting"])), Some("Waiting"));
    }

    #[test]
    fn the_path_of_the_api_may_be_copied_along() {
        for url in ["https://api.linear.app", "https://api.linear.app/", "https://api.linear.app/graphql"] {
            assert_eq!(base(url), "https://api.linear.app");
        }
    }

    #[test]
    fn no_team_means_all_of_them() {
        assert!(plain().wants("ENG"));
        let one = Settings { teams: vec!["eng".into()], ..plain() };
        assert!(one.wants("ENG") && !one.wants("OPS"));
    }
}
