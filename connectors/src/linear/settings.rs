//! The settings of a Linear source, checked: what [`SourceConfig`] says, in the form the connector asks for.

use contextcore_core::config::Resolve;
use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::{CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::http::Auth;
use contextcore_core::model::{SmolStr, Status, TaskType};
use contextcore_core::{Error, ErrorKind, Result, Secret};
use http::header::AUTHORIZATION;

use crate::vocabulary;

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
    /// State names that mean blocked; `None` for those that usually do.
    blocked_states: Option<Vec<String>>,
    /// Labels that mean blocked, in lower case.
    blocked_labels: Vec<String>,
    /// Configured states by id or name in lower case.
    statuses: BTreeMap<String, Status>,
    /// Configured types by the name of a label, in lower case.
    types: BTreeMap<String, TaskType>,
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
            blocked_states: config.blocked.statuses.clone(),
            blocked_labels: lower(config.blocked.labels.as_deref().unwrap_or(&["blocked".to_owned()])),
            statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
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

    /// What the configuration says of a state.
    pub(super) fn status(&self, id: &str, name: &str) -> Option<Status> {
        let known = |word: &str| self.statuses.get(&word.to_lowercase()).copied();
        if self.statuses.is_empty() { None } else { known(name).or_else(|| known(id)) }
    }

    /// What the configuration says of a label as a type.
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

    /// Settings of a source without any wishes.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-linear".into(),
            url: "https://api.linear.app".into(),
            token: Secret::new("lin_api_sample"),
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
        let key = plain();
        assert!(matches!(key.auth(), Auth::Header { name, value } if name == AUTHORIZATION && value == key.token));
        let access = Settings { token: Secret::new("lin_oauth_sample"), ..plain() };
        assert!(matches!(access.auth(), Auth::Bearer(token) if token == access.token));
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
