//! What reading a configuration needs to know of a kind of source: its name, the keys it has of its own, and their rules.
//!
//! A connector writes its keys as a type that implements [`KindSettings`]; [`KindKeys::of`] makes of it the schema that is
//! published and the check that runs when a file is read.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::problems::Problems;
use crate::model::config::SourceConfig;
use crate::model::error::{Error, ErrorKind, Result};

/// A kind of source.
#[derive(Clone, Copy)]
pub struct SourceKind {
    /// Its word in the file.
    pub name: &'static str,
    /// Its own keys.
    pub keys: KindKeys,
}

/// The keys that sources of one kind have besides the common ones, as a type. Every key must have a default, and secrets must
/// be [`super::SecretRef`].
pub trait KindSettings: DeserializeOwned + JsonSchema {
    /// Whether its tool answers at an address, so that `url` is required. Without one, `url` is unknown.
    const HAS_URL: bool = true;

    /// Checks what a schema cannot express. `source` has the common keys.
    fn check(&self, source: &SourceConfig, problems: &mut KeyProblems<'_>);

    /// Native scopes that are read besides `projects`, such as repositories.
    fn extra_scopes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where the work is, when that is no address, such as the path of a file.
    fn location(&self) -> Option<String> {
        None
    }
}

/// A [`KindSettings`] type as a value.
#[derive(Clone, Copy)]
pub struct KindKeys {
    pub(super) has_url: bool,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
    pub(super) read: fn(&mut SourceConfig, &mut KeyProblems<'_>),
}

impl KindKeys {
    /// The keys of this type.
    pub const fn of<T: KindSettings>() -> Self {
        Self { has_url: T::HAS_URL, schema: T::json_schema, read: read::<T> }
    }
}

/// Checks the settings of a source and takes over what they mean to the engine.
fn read<T: KindSettings>(source: &mut SourceConfig, problems: &mut KeyProblems<'_>) {
    let Ok(settings) = settings::<T>(source) else {
        // What does not fit the schema was reported and taken out; a source of no known kind may have keys of another.
        if !source.kind.is_empty() {
            problems.add("", "does not fit the schema of its kind");
        }
        return;
    };
    settings.check(source, problems);
    source.extra_scopes = settings.extra_scopes();
    source.location = settings.location();
}

/// The settings of a source, typed.
///
/// # Errors
/// [`ErrorKind::Config`] when they do not fit; a configuration that was read without problems always fits.
pub fn settings<T: KindSettings>(source: &SourceConfig) -> Result<T> {
    T::deserialize(&source.settings).map_err(|error| {
        // Its text may quote a value.
        let text = format!("the keys of the source do not fit its kind (at column {})", error.column());
        Error::new(ErrorKind::Config, text).with("source", &source.name)
    })
}

/// Collects what is wrong with the keys of one source.
pub struct KeyProblems<'a> {
    pub(super) source: &'a str,
    pub(super) problems: &'a mut Problems,
}

impl KeyProblems<'_> {
    /// Notes a problem with a key such as `auth.token`; the message is a fragment that says what to do and repeats no secret.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        let dot = if key.is_empty() { "" } else { "." };
        self.problems.add(&format!("{}{dot}{key}", self.source), message);
    }
}

/// A kind whose keys are not checked, for tests that name no vendor.
#[cfg(test)]
pub const fn unchecked(name: &'static str) -> SourceKind {
    SourceKind { name, keys: KindKeys::of::<Unchecked>() }
}

#[cfg(test)]
#[derive(Default, serde::Deserialize, JsonSchema)]
#[serde(default)]
struct Unchecked {
    #[serde(rename = "auth")]
    _auth: UncheckedAuth,
}

#[cfg(test)]
#[derive(Default, serde::Deserialize, JsonSchema)]
#[serde(default)]
struct UncheckedAuth {
    #[serde(rename = "token")]
    _token: Option<super::SecretRef>,
}

#[cfg(test)]
impl KindSettings for Unchecked {
    fn check(&self, _: &SourceConfig, _: &mut KeyProblems<'_>) {}
}
