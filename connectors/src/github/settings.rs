//! The settings of a GitHub source, checked: what [`SourceConfig`] says, in the form the connector asks for.

use contextcore_core::config::Resolve;
use std::collections::BTreeMap;
use std::path::PathBuf;

use contextcore_core::config::{AppConfig, CommentPrivacy, Privacy, SourceConfig};
use contextcore_core::{Error, ErrorKind, Result, Secret};
use serde::{Deserialize, Serialize};

use crate::rules::{MappingRules, UsualLabels};

/// The names that `fields` may have.
const FIELDS: [&str; 6] = ["status", "estimate", "iteration", "priority", "type", "due"];

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
    fn parse(text: &str) -> Option<Self> {
        let (owner, number) = text.trim().split_once('/')?;
        let number = number.parse().ok().filter(|number| *number > 0 && !owner.is_empty())?;
        Some(Self { owner: owner.to_owned(), number })
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
    fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.trim().split_once('/')?;
        let good = !owner.is_empty() && !name.is_empty() && !name.contains('/');
        good.then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// A GitHub source, ready to be used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The source's name, part of every id.
    pub(super) source: String,
    /// Where GitHub's API answers, without a trailing slash: `https://api.github.com`, or `https://HOST/api`.
    pub(super) url: String,
    /// The token, or the App's private key.
    pub(super) token: Secret,
    /// The App that mints tokens with the key.
    pub(super) app: Option<AppConfig>,
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
    /// What is asked for and kept of comments.
    pub(super) comments: CommentPrivacy,
}

impl Settings {
    /// Checks the settings and reads the credential.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a project or repository that is not written as such, for an unknown name in `fields`, for an
    /// e-mail address, and when the credential cannot be read.
    pub(super) fn new(config: &SourceConfig, privacy: &Privacy) -> Result<Self> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text).with("source", &config.name);
        if let Some(unknown) = config.fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(wrong(format!("fields: `{unknown}` is none of {}", FIELDS.join(", "))));
        }
        if config.email.is_some() {
            return Err(wrong("auth.email: a GitHub token stands alone, take the address out".into()));
        }
        let project = |text: &String| {
            ProjectName::parse(text).ok_or_else(|| {
                wrong(format!("projects: `{text}` is not OWNER/NUMBER, as in github.com/orgs/OWNER/projects/NUMBER"))
            })
        };
        let repository = |text: &String| {
            RepositoryName::parse(text).ok_or_else(|| wrong(format!("repositories: `{text}` is not OWNER/NAME")))
        };
        Ok(Self {
            source: config.name.clone(),
            url: config.url.trim_end_matches('/').to_owned(),
            token: config.token.resolve()?,
            app: config.app.clone(),
            tls_ca_file: config.tls_ca_file.clone(),
            projects: config.projects.iter().map(project).collect::<Result<_>>()?,
            repositories: config.repositories.iter().map(repository).collect::<Result<_>>()?,
            fields: config.fields.clone(),
            rules: MappingRules::new(config, UsualLabels::ByWords),
            comments: privacy.comments,
        })
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

    /// Settings of a source without any wishes.
    pub(in super::super) fn plain() -> Settings {
        Settings {
            source: "acme-github".into(),
            url: "https://api.github.com".into(),
            token: Secret::new("token"),
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
        let number = |text: &str| ProjectName::parse(text).map(|name| (name.owner, name.number));
        assert_eq!(number("acme/12"), Some(("acme".into(), 12)));
        for text in ["acme", "acme/x", "/3", "acme/0", "acme/1/2", ""] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(RepositoryName::parse("acme/web").map(|name| name.to_string()).as_deref(), Some("acme/web"));
        assert!(RepositoryName::parse("acme/web/x").is_none() && RepositoryName::parse("web").is_none());
    }
}
