//! A secret in memory: a text that cannot be printed by accident.
//!
//! [`Secret`] has no `Serialize`, and its `Debug` and `Display` print `[redacted]`, so it may be part of any struct
//! that is logged. Reading secrets (from an environment variable or a file) is left to the configuration; masking
//! secrets in texts that vendors return is left to the HTTP client.

use std::fmt;

/// Printed in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// A token or password. Only [`Secret::expose`] returns the text, so every use can be found by that name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for building a header. Never put it into a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty, which is nearly always a configuration mistake.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "[redacted] [redacted] Some(\n    [redacted],\n)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }
}
