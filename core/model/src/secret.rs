//! A secret in memory: a text that cannot be printed by accident.
//!
//! [`Secret`] has no `Serialize`, and its `Debug` and `Display` say `[redacted]`, so it may sit inside any struct that is
//! logged. Where it comes from (an environment variable, a file) is the configuration's matter; what is masked in texts that
//! come from the other side is [`crate::http`]'s.

use std::fmt;

/// What is printed in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// A token or password. Only [`Secret::expose`] gives the text, so every use can be found by that name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for building a header, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all, which is nearly always a configuration mistake.
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
    fn no_way_of_printing_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "[redacted] [redacted] Some(\n    [redacted],\n)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }
}
