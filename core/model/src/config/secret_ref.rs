//! References to secrets: where a secret is, read only when it is needed.
//!
//! The file never holds a secret itself, so the parsed configuration can be logged, compared and passed about without
//! care.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::secret::Secret;

/// Where a secret is, written `{env: NAME}` or `{file: PATH}`. `Debug` and `Display` show this reference only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file; a relative one is taken from the working directory. Fits mounted secrets.
    File(PathBuf),
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    /// `writeOnly` marks secrets for the check of the file; editors learn that exactly one of the two keys is wanted.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret: `{env: NAME}` or `{file: PATH}`, never a literal.",
            "type": "object",
            "properties": {
                "env": {"description": "Name of the environment variable that holds it.", "type": "string"},
                "file": {"description": "Path of the file that holds it.", "type": "string"}
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "writeOnly": true
        })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "{{env: {name}}}"),
            Self::File(path) => write!(f, "{{file: {}}}", path.display()),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a header: given in the open, or a reference. Never printed, since either may be sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// Written in the file or in `OTEL_EXPORTER_OTLP_HEADERS`.
    Given(Secret),
    /// To be read when the first request is built.
    Ref(SecretRef),
}
