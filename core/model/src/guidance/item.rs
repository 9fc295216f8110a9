//! One line of guidance: what it says, where it holds, how binding it is, and where it comes from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path_glob::PathGlob;
use crate::string_enum;
use crate::time::{DAY, Millis};

string_enum! {
    /// What kind of guidance it is. Constraints bind, so they are first.
    GuidanceKind {
        /// What must not be done.
        Constraint = "constraint",
        /// How people like it done.
        Preference = "preference",
        /// What matters at the moment.
        Focus = "focus",
        /// What is good to know.
        Context = "context",
        /// What people would like to know.
        Question = "question",
    }
}

string_enum! {
    /// How binding it is; the last is the strictest.
    Severity {
        /// Good to know.
        Advisory = "advisory",
        /// Should not be broken.
        Warning = "warning",
        /// Must not be broken.
        Blocking = "blocking",
    }
}

impl Severity {
    /// That of a constraint as it is written. Without one, or with a word that is none, it is blocking: a rule is not weakened by a
    /// typing error.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| text.trim().to_lowercase().parse().ok()).unwrap_or(Self::Blocking)
    }
}

string_enum! {
    /// How far its origin is proven; the last is the surest.
    Trust {
        /// Anybody who can write to a branch or to this directory may have written it.
        Untrusted = "untrusted",
        /// Somebody said it on the command line, which agents can run too.
        Unproven = "unproven",
        /// People laid it down where only they can.
        Binding = "binding",
    }
}

/// Where guidance comes from. Prints as people read it, such as `crd commerce/checkout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceSource {
    /// A `ProjectContext` of Kubernetes.
    Context {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An entry of the projects file that no `ProjectContext` is behind.
    Projects {
        /// The project of the entry.
        project: String,
    },
    /// The `.contextcore/guidance.yaml` of a repository.
    File {
        /// The trusted ref that it was read from; none for that of a local checkout.
        trusted_ref: Option<String>,
    },
    /// The same file, as a source read it from the forge.
    Forge {
        /// The repository.
        repository: String,
        /// The branch.
        branch: String,
    },
    /// The store, to which the command line reports.
    Store {
        /// Who said it, as the command line has it.
        by: Option<String>,
    },
    /// The store, to which a person reported with a token.
    Person {
        /// The name of the token.
        who: String,
    },
}

impl GuidanceSource {
    /// What its ids begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        match self {
            Self::Context { namespace, name } => format!("crd:{namespace}/{name}/"),
            Self::Projects { project } => format!("projects:{project}/"),
            Self::File { trusted_ref: Some(_) } => "file:".to_owned(),
            Self::File { trusted_ref: None } => "checkout:".to_owned(),
            Self::Forge { repository, .. } => format!("forge:{repository}/"),
            Self::Store { .. } => "store:".to_owned(),
            Self::Person { .. } => "person:".to_owned(),
        }
    }

    /// How far it is proven.
    #[must_use]
    pub const fn trust(&self) -> Trust {
        match self {
            Self::Context { .. }
            | Self::Projects { .. }
            | Self::File { trusted_ref: Some(_) }
            | Self::Forge { .. }
            | Self::Person { .. } => Trust::Binding,
            Self::Store { .. } => Trust::Unproven,
            Self::File { trusted_ref: None } => Trust::Untrusted,
        }
    }
}

impl fmt::Display for GuidanceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context { namespace, name } => write!(f, "crd {namespace}/{name}"),
            Self::Projects { project } => write!(f, "projects file, {project}"),
            Self::File { trusted_ref: Some(trusted) } => write!(f, ".contextcore/guidance.yaml at {trusted}"),
            Self::File { trusted_ref: None } => write!(f, ".contextcore/guidance.yaml of this checkout"),
            Self::Forge { repository, branch } => write!(f, ".contextcore/guidance.yaml of {repository} at {branch}"),
            Self::Store { by: Some(by) } => write!(f, "local, by {by}"),
            Self::Store { by: None } => write!(f, "local"),
            Self::Person { who } => write!(f, "token of {who}"),
        }
    }
}

/// One line of guidance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuidanceItem {
    /// Its id, which begins with its source.
    pub id: String,
    /// The project.
    pub project: String,
    /// What kind it is.
    pub kind: GuidanceKind,
    /// What it says.
    pub rule: String,
    /// How binding it is: what it says of itself, as far as its source allows, or what another of the same id says.
    pub severity: Severity,
    /// What it says of itself, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<Severity>,
    /// The paths it holds for, as a glob. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when: the end of a day, or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Where it comes from.
    #[serde(rename = "from", serialize_with = "as_text")]
    pub source: GuidanceSource,
    /// How far that is proven.
    pub trust: Trust,
}

fn as_text<S: serde::Serializer>(source: &GuidanceSource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(source)
}

impl GuidanceItem {
    /// An advisory line for every path and for ever. `id` is that within its source.
    pub fn new(project: &str, source: GuidanceSource, kind: GuidanceKind, id: &str, rule: &str) -> Self {
        Self {
            id: format!("{}{id}", source.prefix()),
            project: project.to_owned(),
            kind,
            rule: rule.to_owned(),
            severity: Severity::Advisory,
            declared: None,
            scope: None,
            reason: None,
            until: None,
            trust: source.trust(),
            source,
        }
    }

    /// The same with the severity that it says of itself, as far as its source allows.
    #[must_use]
    pub fn with_severity(self, said: Severity) -> Self {
        let severity = said.min(self.ceiling());
        Self { severity, declared: (said != severity).then_some(said), ..self }
    }

    /// The strictest that its source allows.
    pub(super) fn ceiling(&self) -> Severity {
        if self.trust == Trust::Binding { Severity::Blocking } else { Severity::Warning }
    }

    /// Whether another says the same, word for word.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        let said = |item: &Self| {
            let severity = item.declared.unwrap_or(item.severity);
            (item.kind, item.local_id().to_owned(), item.rule.clone(), severity, item.scope.clone(), item.until.clone())
        };
        said(self) == said(other)
    }

    /// The repository that a forge has it in, if one has.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        match &self.source {
            GuidanceSource::Forge { repository, .. } => Some(repository),
            _ => None,
        }
    }

    /// Its id within its source.
    #[must_use]
    pub fn local_id(&self) -> &str {
        self.id.strip_prefix(&self.source.prefix()).unwrap_or(&self.id)
    }

    /// Whether people mean it by this id: the whole one, or that within its source.
    #[must_use]
    pub fn is_named(&self, id: &str) -> bool {
        self.id == id || self.local_id() == id
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now: Millis) -> bool {
        self.until.as_deref().and_then(until).is_some_and(|end| end <= now)
    }

    /// Whether it holds for a path. One that ends in `/` is a directory, for which everything under it counts.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        let Some(scope) = &self.scope else { return true };
        let glob = PathGlob::new(scope.strip_prefix("path:").unwrap_or(scope));
        glob.matches(path) || (path.ends_with('/') && glob.reaches_into(path))
    }
}

/// The moment at which guidance `until` a day or a time ends: a day counts to its end, in UTC. `None` for what is neither.
#[must_use]
pub fn until(text: &str) -> Option<Millis> {
    let text = text.trim();
    let day = || Some(Millis::parse(&format!("{text}T00:00:00Z"))?.plus(DAY));
    Millis::parse(text).or_else(day)
}

/// The longest id that is made from words.
const LONGEST: usize = 48;

/// An id made from words: lower case, digits and hyphens. The same words give the same id, and different ones another.
#[must_use]
pub fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let whole = words.join("-");
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-'));
    if !whole.is_empty() && whole.len() <= LONGEST && is_plain {
        return whole;
    }
    let digest = crate::hash::of([text]).to_hex();
    let mut short = String::new();
    for word in words.iter().take_while(|word| word.len() <= LONGEST / 2) {
        if short.len() + word.len() > LONGEST - 8 {
            break;
        }
        short.push_str(word);
        short.push('-');
    }
    short + &digest[..6]
}
