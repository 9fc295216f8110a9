//! Guidance as it is reported from the command line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guidance::GuidanceKind;

/// Somebody adds guidance for agents; it replaces what has the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuidanceAdd {
    /// A short id, unique within the project.
    pub id: String,
    /// `constraint`, `preference`, `focus` or `context`.
    #[serde(rename = "kind")]
    pub word: String,
    /// What it says, in a sentence.
    pub text: String,
    /// The paths it holds for, as a glob. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `blocking`, `warning` or `advisory`. What is reported here is never more than a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Until when: a date or a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl GuidanceAdd {
    /// Its kind. A word that is none is good to know.
    #[must_use]
    pub fn kind(&self) -> GuidanceKind {
        self.word.trim().to_lowercase().parse().unwrap_or(GuidanceKind::Context)
    }
}

/// Guidance holds no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuidanceEnd {
    /// Its id within the project.
    pub id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
