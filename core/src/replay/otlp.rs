//! Small builders for OTLP messages. Values over 2,000 bytes are cut here, visibly, before a backend cuts them silently.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::semconv as names;
use crate::config::{AssigneePrivacy, Config, TitlePrivacy};
use crate::time::{DAY, Millis};

/// Tempo cuts attribute values at 2,048 bytes without a word.
const MAX_VALUE_BYTES: usize = 2_000;

/// A list of attributes under construction; absent values leave nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With room for this many, where it is known that there will be many.
    pub(crate) fn with_room(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    fn push(mut self, key: &str, value: Value) -> Self {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.push(key, Value::StringValue(cut(value)))
    }

    pub(crate) fn maybe(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) if !value.is_empty() => self.text(key, value),
            _ => self,
        }
    }

    pub(crate) fn texts<S: AsRef<str>>(self, key: &str, values: &[S]) -> Self {
        if values.is_empty() {
            return self;
        }
        let one = |value: &S| AnyValue { value: Some(Value::StringValue(cut(value.as_ref()))) };
        self.push(key, Value::ArrayValue(ArrayValue { values: values.iter().map(one).collect() }))
    }

    pub(crate) fn int(self, key: &str, value: i64) -> Self {
        self.push(key, Value::IntValue(value))
    }

    pub(crate) fn double(self, key: &str, value: f64) -> Self {
        self.push(key, Value::DoubleValue(value))
    }

    pub(crate) fn maybe_double(self, key: &str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.double(key, value),
            None => self,
        }
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.push(key, Value::BoolValue(value))
    }

    /// A moment as whole epoch seconds.
    pub(crate) fn moment(self, key: &str, value: Option<Millis>) -> Self {
        match value {
            Some(value) => self.int(key, value.as_seconds()),
            None => self,
        }
    }

    /// These, and then those.
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(crate) fn build(self) -> Vec<KeyValue> {
        self.0
    }
}

/// A text value.
pub(crate) fn text_value(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(cut(text))) }
}

/// Cuts a text at 2,000 bytes, visibly.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= MAX_VALUE_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_VALUE_BYTES - '…'.len_utf8());
    format!("{}…", &text[..end])
}

/// The scope of everything replayed, encoded.
pub(crate) fn scope() -> Bytes {
    let scope = InstrumentationScope {
        name: names::SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    scope.encode_to_vec().into()
}

/// Which resource something belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceKey {
    /// The portfolio project's id, or the native project.
    pub(crate) project_id: Arc<str>,
    /// The source; empty for what unites several, as metrics do.
    pub(crate) source: Arc<str>,
    /// A log record older than an hour when sent.
    pub(crate) backfill: bool,
}

/// What the configuration says about projects and privacy, looked up while rendering.
pub(crate) struct Setting<'a> {
    pub(crate) config: &'a Config,
    tools: BTreeMap<&'a str, &'a str>,
    /// Resource keys by source and native project, made once each.
    keys: Mutex<HashMap<String, HashMap<String, ResourceKey>>>,
}

impl<'a> Setting<'a> {
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

    /// The resource of something in a native project.
    pub(crate) fn resource_key(&self, source: &str, native_project: &str) -> ResourceKey {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(source).and_then(|of_source| of_source.get(native_project)) {
            return key.clone();
        }
        let project_id = self.project_id(source, native_project).into();
        let key = ResourceKey { project_id, source: source.into(), backfill: false };
        keys.entry(source.to_owned()).or_default().insert(native_project.to_owned(), key.clone());
        key
    }

    /// The resource of what unites all sources of a project.
    pub(crate) fn project_key(project_id: &str) -> ResourceKey {
        ResourceKey { project_id: project_id.into(), source: "".into(), backfill: false }
    }

    /// A resource with everything known of it, encoded.
    pub(crate) fn resource(&self, key: &ResourceKey) -> Bytes {
        let project = self.config.projects.iter().find(|project| *project.id == *key.project_id);
        let attributes = Attributes::new()
            .text(names::SERVICE_NAME, "contextcore")
            .text(names::SERVICE_NAMESPACE, &key.project_id)
            .text(names::PROJECT_ID, &key.project_id)
            .text(names::PROJECT_NAME, project.map_or(&*key.project_id, |project| project.name.as_str()))
            .maybe(
                names::BUSINESS_CRITICALITY,
                project.and_then(|project| project.criticality).map(|word| word.as_str()),
            )
            .maybe(names::BUSINESS_OWNER, project.and_then(|project| project.owner.as_deref()))
            .maybe(names::BUSINESS_VALUE, project.and_then(|project| project.value.as_deref()))
            .maybe(names::SOURCE_NAME, Some(&*key.source))
            .maybe(names::SOURCE_TOOL, self.tools.get(&*key.source).copied())
            .maybe(names::REPLAY, key.backfill.then_some("backfill"))
            .text(names::SDK_NAME, "contextcore")
            .text(names::SDK_LANGUAGE, "rust")
            .text(names::SDK_VERSION, env!("CARGO_PKG_VERSION"));
        Resource { attributes: attributes.build(), ..Resource::default() }.encode_to_vec().into()
    }

    /// After how many milliseconds without anything happening a source's open task is stale.
    pub(crate) fn stale_after(&self, source: &str) -> i64 {
        let after = self.config.source(source).map(|source| source.stale_after);
        after.and_then(|after| i64::try_from(after.as_millis()).ok()).unwrap_or(14 * DAY)
    }

    /// A person's name as privacy allows.
    pub(crate) fn person(&self, name: Option<&str>) -> Option<String> {
        let name = name?;
        match self.config.privacy.assignee {
            AssigneePrivacy::Plain => Some(name.to_owned()),
            AssigneePrivacy::Hash => Some(blake3::hash(name.as_bytes()).to_hex()[..12].to_owned()),
            AssigneePrivacy::Omit => None,
        }
    }

    /// A title as privacy allows.
    pub(crate) fn title<'t>(&self, title: &'t str) -> Option<&'t str> {
        (self.config.privacy.title == TitlePrivacy::Plain).then_some(title)
    }

    /// `PROJ-123 Implement checkout`, or the key alone when titles are left out.
    pub(crate) fn label(&self, key: &str, title: &str) -> String {
        match self.title(title) {
            Some(title) => cut(&format!("{key} {title}")),
            None => key.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_visibly_and_between_characters() {
        let text = "ü".repeat(3_000);
        let short = cut(&text);
        assert!(short.len() <= MAX_VALUE_BYTES && short.ends_with('…'));
        assert_eq!(cut("short"), "short");
    }
}
