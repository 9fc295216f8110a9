//! What the configuration says about the export: resources, and people and titles as privacy allows.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::business;
use super::message::{Attributes, cut};
use crate::config::{AssigneePrivacy, Config, TitlePrivacy};
use crate::lock;
use crate::model::semconv as names;
use crate::model::time::DAY;

/// Identifies a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceKey {
    /// The portfolio project's id, or the native project.
    pub(crate) project_id: Arc<str>,
    /// The source; empty for what combines several, as metrics do.
    pub(crate) source: Arc<str>,
    /// Whether it holds log records older than an hour when sent.
    pub(crate) backfill: bool,
    /// Whether it holds anchors. They are sent again for years with the same ids, so their resource has only what never changes:
    /// not the project's name, criticality or owner, and not the version of this program.
    pub(crate) is_lasting: bool,
}

/// The configuration of projects and privacy, prepared for rendering.
pub(crate) struct ExportContext<'a> {
    pub(crate) config: &'a Config,
    tools: BTreeMap<&'a str, &'a str>,
    /// Resource keys by source and native project, each created once.
    keys: Mutex<HashMap<String, HashMap<String, ResourceKey>>>,
}

impl<'a> ExportContext<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        let tools = config.sources.iter().map(|source| (source.name.as_str(), source.kind.as_str())).collect();
        Self { config, tools, keys: Mutex::default() }
    }

    /// The id of the project that a native project belongs to.
    pub(crate) fn project_id(&self, source: &str, native_project: &str) -> String {
        self.config
            .project_of(source, native_project)
            .map_or_else(|| native_project.to_owned(), |project| project.id.clone())
    }

    /// The resource of a native project of a source.
    pub(crate) fn resource_key(&self, source: &str, native_project: &str) -> ResourceKey {
        let mut keys = lock(&self.keys);
        if let Some(key) = keys.get(source).and_then(|of_source| of_source.get(native_project)) {
            return key.clone();
        }
        let project_id = self.project_id(source, native_project).into();
        let key = ResourceKey { project_id, source: source.into(), backfill: false, is_lasting: false };
        keys.entry(source.to_owned()).or_default().insert(native_project.to_owned(), key.clone());
        key
    }

    /// The resource of a project across its sources.
    pub(crate) fn project_key(project_id: &str) -> ResourceKey {
        ResourceKey { project_id: project_id.into(), source: "".into(), backfill: false, is_lasting: false }
    }

    /// A resource with all its attributes, encoded.
    pub(crate) fn resource(&self, key: &ResourceKey) -> Bytes {
        let who = Attributes::new()
            .text(names::SERVICE_NAME, "contextcore")
            .text(names::SERVICE_NAMESPACE, &key.project_id)
            .text(names::PROJECT_ID, &key.project_id)
            .maybe(names::SOURCE_NAME, Some(&*key.source))
            .maybe(names::SOURCE_TOOL, self.tools.get(&*key.source).copied())
            .maybe(names::REPLAY, key.backfill.then_some("backfill"))
            .text(names::SDK_NAME, "contextcore")
            .text(names::SDK_LANGUAGE, "rust");
        if key.is_lasting {
            return who.into_resource();
        }
        let project = self.config.projects.iter().find(|project| *project.id == *key.project_id);
        let now = who
            .text(names::PROJECT_NAME, project.map_or(&*key.project_id, |project| project.name.as_str()))
            .text(names::SDK_VERSION, env!("CARGO_PKG_VERSION"));
        project.map_or(now.clone(), |project| now.and(&business::attributes(project))).into_resource()
    }

    /// The number of milliseconds without activity after which an open task of a source is stale.
    pub(crate) fn stale_after(&self, source: &str) -> i64 {
        let after = self.config.source(source).map(|source| source.stale_after);
        after.and_then(|after| i64::try_from(after.as_millis()).ok()).unwrap_or(14 * DAY)
    }

    /// A person's name, as privacy allows.
    pub(crate) fn person<'n>(&self, name: Option<&'n str>) -> Option<Cow<'n, str>> {
        let name = name?;
        match self.config.privacy.assignee {
            AssigneePrivacy::Plain => Some(Cow::Borrowed(name)),
            AssigneePrivacy::Hash => Some(Cow::Owned(blake3::hash(name.as_bytes()).to_hex()[..12].to_owned())),
            AssigneePrivacy::Omit => None,
        }
    }

    /// A title, as privacy allows.
    pub(crate) fn title<'t>(&self, title: &'t str) -> Option<&'t str> {
        (self.config.privacy.title == TitlePrivacy::Plain).then_some(title)
    }

    /// `PROJ-123 Implement checkout`, or the key alone when titles are left out.
    pub(crate) fn label(&self, key: &str, title: &str) -> String {
        match self.title(title) {
            Some(title) => cut(&format!("{key} {title}")).into_owned(),
            None => key.to_owned(),
        }
    }
}
