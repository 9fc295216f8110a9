//! The environment, read in one place and replaceable in tests (setting variables of a running process is unsound).

use std::collections::BTreeMap;

/// A view of environment variables. An empty variable counts as not set, as the OpenTelemetry specification asks.
#[derive(Debug, Clone)]
pub(crate) struct Env(Option<BTreeMap<String, String>>);

impl Env {
    /// The variables of this process, read when asked for.
    pub(crate) const fn process() -> Self {
        Self(None)
    }

    /// None at all.
    pub(crate) const fn none() -> Self {
        Self(Some(BTreeMap::new()))
    }

    /// These variables and no others.
    #[cfg(test)]
    pub(crate) fn fixed<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(Some(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    /// The value of a variable, unless it is unset, empty or not text.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            None => std::env::var(name).ok(),
            Some(fixed) => fixed.get(name).cloned(),
        };
        value.filter(|text| !text.trim().is_empty())
    }
}
