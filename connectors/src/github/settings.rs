//! The settings of a GitHub source: the keys that only GitHub has, and all settings in the form the connector uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::kind::{self, KeyProblems, KindSettings};
use contextcore_core::config::{CommentPrivacy, Privacy, SecretRef, SourceConfig};
use contextcore_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credential::{Credential, require_known_fields, require_token};
use crate::rules::{MappingRules, UsualLabels};

/// The names that `fields` may have.
const FIELDS: [&str; 6] = ["status", "estimate", "iteration", "priority", "type", "due"];

/// The keys that only GitHub sources have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "GithubKeys", extend("required" = ["auth"]))]
pub(super) struct GithubKeys {
    /// The credential: a token, or an App.
    auth: GithubAuth,
    /// Repositories to read besides projects, each OWNER/NAME.
    repositories: Vec<String>,
}

/// The credential of a GitHub source.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct GithubAuth {
    /// The token.
    token: Option<SecretRef>,
    /// An App that mints its own tokens, in place of a token.
    app: Option<App>,
}

/// An App and where it is installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id", "installation", "private_key"]))]
struct App {
    /// The App's id, or its client id.
    #[schemars(required)]
    id: Option<AppId>,
    /// The number of the installation whose projects are read.
    #[schemars(required)]
    installation: Option<u32>,
    /// The App's private key in PEM form.
    #[schemars(required)]
    private_key: Option<SecretRef>,
}

/// The id of an App: a number, or the text of a client id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum AppId {
    /// The number.
    Number(u32),
    /// The client id.
    Text(String),
}

impl KindSettings for GithubKeys {
    fn check(&self, source: &SourceConfig, problems: &mut KeyProblems<'_>) {
        match &self.auth {
            GithubAuth { token: Some(_), app: Some(_) } => {
                problems.add("auth", "has both `token` and `app`: keep one of them");
            }
            GithubAuth { app: Some(app), .. } => app.check(problems),
            GithubAuth { token, app: None } => require_token(token.as_ref(), problems),
        }
        for (index, text) in source.projects.iter().enumerate() {
            if let Err(message) = ProjectName::parse(text) {
                problems.add(&format!("projects[{index}]"), message);
            }
        }
        for (index, text) in self.repositories.iter().enumerate() {
            if let Err(message) = RepositoryName::parse(text) {
                problems.add(&format!("repositories[{index}]"), message);
            }
        }
        require_known_fields(source.fields.keys(), &FIELDS, problems);
    }

    fn extra_scopes(&self) -> Vec<String> {
        self.repositories.clone()
    }
}

impl App {
    fn check(&self, problems: &mut KeyProblems<'_>) {
        let has_id = self.id.as_ref().is_some_and(|id| !matches!(id, AppId::Text(text) if text.trim().is_empty()));
        let missing = [
            ("id", has_id, "is missing: add `id: NUMBER`"),
            (
                "installation",
                self.installation.is_some(),
                "is missing: add `installation: NUMBER`, the end of the installation's address",
            ),
            ("private_key", self.private_key.is_some(), "is missing: add `private_key: {file: PATH}`, or {env: NAME}"),
        ];
        for (key, _, message) in missing.into_iter().filter(|(_, there, _)| !there) {
            problems.add(&format!("auth.app.{key}"), message);
        }
    }
}

/// An App that mints its own short-lived tokens, and where it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppSettings {
    /// The App's id or client id; never empty.
    pub(super) id: String,
    /// The installation whose projects are read.
    pub(super) installation: u32,
}

/// A project as the configuration names it: `OWNER/NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ProjectName {
    /// The organisation or user.
    pub(super) owner: String,
    /// The number in the project's address.
    pub(super) number: u32,
}

impl std::fmt::Display for ProjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.number)
    }
}

impl ProjectName {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.trim().split_once('/').filter(|(owner, _)| !owner.is_empty());
        let number = parts.and_then(|(owner, number)| Some((owner, number.parse().ok().filter(|number| *number > 0)?)));
        let (owner, number) = number
            .ok_or_else(|| format!("`{text}` is not OWNER/NUMBER, as in github.com/orgs/OWNER/projects/NUMBER"))?;
        Ok(Self { owner: owner.to_owned(), number })
    }
}

/// A repository as the configuration names it: `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct RepositoryName {
    /// The organisation or user.
    pub(super) owner: String,
    /// The repository's own name.
    pub(super) name: String,
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl RepositoryName {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.trim().split_once('/');
        let good = parts.filter(|(owner, name)| !owner.is_empty() && !name.is_empty() && !name.contains('/'));
        let (owner, name) = good.ok_or_else(|| format!("`{text}` is not OWNER/NAME"))?;
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// A GitHub source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where GitHub's API answers, without a trailing slash: `https://api.github.com`, or `https://HOST/api`.
    pub(super) url: String,
    /// The App whose private key the credential is; `None`: it is a token.
    pub(super) app: Option<AppSettings>,
    /// A private CA to trust besides the usual ones.
    pub(super) tls_ca_file: Option<PathBuf>,
    /// Projects, in the order that decides where an issue belongs that is in several; empty with no repositories either
    /// means all that the token can see.
    pub(super) projects: Vec<ProjectName>,
    /// Repositories that are read besides.
    pub(super) repositories: Vec<RepositoryName>,
    /// Configured field names by our name for them.
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
    /// [`ErrorKind::Config`] for a configuration that was not checked.
    pub(super) fn new(config: &SourceConfig, privacy: &Privacy) -> Result<(Self, Credential)> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text).with("source", &config.name);
        let GithubKeys { auth, repositories } = kind::settings(config)?;
        let (secret, app) = auth.app.map_or((auth.token, None), |app| (app.private_key, app.id.zip(app.installation)));
        let app = app.map(|(id, installation)| match id {
            AppId::Number(number) => AppSettings { id: number.to_string(), installation },
            AppId::Text(id) => AppSettings { id, installation },
        });
        let settings = Self {
            source: config.name.clone(),
            url: config.url.trim_end_matches('/').to_owned(),
            app,
            tls_ca_file: config.tls_ca_file.clone(),
            projects: config
                .projects
                .iter()
                .map(|text| ProjectName::parse(text).map_err(wrong))
                .collect::<Result<_>>()?,
            repositories: repositories
                .iter()
                .map(|text| RepositoryName::parse(text).map_err(wrong))
                .collect::<Result<_>>()?,
            fields: config.fields.clone(),
            rules: MappingRules::new(config, UsualLabels::ByWords),
            comments: privacy.comments,
        };
        Ok((settings, Credential::of(secret, &config.name)?))
    }

    /// The configured name of one of our fields.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use contextcore_core::model::{Status, TaskType};

    use super::*;

    /// Settings of a source with defaults.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-github".into(),
            url: "https://api.github.com".into(),
            app: None,
            tls_ca_file: None,
            projects: vec![ProjectName { owner: "acme".into(), number: 1 }],
            repositories: Vec::new(),
            fields: BTreeMap::new(),
            rules: MappingRules::usual(UsualLabels::ByWords),
            comments: CommentPrivacy::Omit,
        }
    }

    impl Settings {
        pub(in super::super) fn with_status(mut self, name: &str, to: Status) -> Self {
            self.rules.set_status(name, to);
            self
        }

        pub(in super::super) fn with_type(mut self, name: &str, to: TaskType) -> Self {
            self.rules.set_type(name, to);
            self
        }

        pub(in super::super) fn with_field(mut self, name: &str, to: &str) -> Self {
            self.fields.insert(name.into(), to.into());
            self
        }
    }

    #[test]
    fn names_are_read_or_refused() {
        let number = |text: &str| ProjectName::parse(text).ok().map(|name| (name.owner, name.number));
        assert_eq!(number("acme/12"), Some(("acme".into(), 12)));
        for text in ["acme", "acme/x", "/3", "acme/0", "acme/1/2", ""] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(RepositoryName::parse("acme/web").map(|name| name.to_string()).as_deref(), Ok("acme/web"));
        assert!(RepositoryName::parse("acme/web/x").is_err() && RepositoryName::parse("web").is_err());
    }
}
