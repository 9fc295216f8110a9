//! Where the doctor looks: with which settings, and in which namespaces.

use kube::Client;
use serde_json::Value;

use super::super::kinds::Kind;
use super::super::listing;
use crate::settings::Settings;

/// Where to look.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Settings,
    /// Of the installation.
    pub(super) namespace: &'a str,
    /// Namespaces with contexts. Empty: all.
    pub(super) watched: &'a [String],
}

impl<'a> Scope<'a> {
    /// Whether nothing beyond some namespaces may be asked for.
    pub(super) const fn is_narrow(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Each namespace to look into; `None`: the whole cluster.
    pub(super) fn places(&self) -> Vec<Option<&'a str>> {
        match self.watched {
            [] => vec![None],
            some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
        }
    }

    /// Objects of a kind where contexts are.
    ///
    /// # Errors
    /// A message for a person.
    pub(super) async fn of_kind(&self, kind: Kind, labels: &str) -> Result<Vec<Value>, String> {
        let mut all = Vec::new();
        for place in self.places() {
            all.extend(listing::within(self.client, &kind.resource(), place, labels).await?.unwrap_or_default());
        }
        Ok(all)
    }

    /// The same for a kind that we do not write. `None`: the kind is not installed.
    ///
    /// # Errors
    /// A message for a person.
    pub(super) async fn of_others(
        &self,
        group: &str,
        kind: &str,
        places: &[Option<&str>],
    ) -> Result<Option<Vec<Value>>, String> {
        let mut all = None;
        for place in places {
            let found = listing::within(self.client, &listing::resource(group, "v1", kind), *place, "").await?;
            if let Some(found) = found {
                all.get_or_insert_with(Vec::new).extend(found);
            }
        }
        Ok(all)
    }

    /// The contexts.
    ///
    /// # Errors
    /// A message for a person.
    pub(super) async fn contexts(&self) -> Result<Option<Vec<Value>>, String> {
        self.of_others("contextcore.io", "ProjectContext", &self.places()).await
    }

    /// Where Prometheus is looked for: beside Alertmanager and the contexts, where not everywhere.
    pub(super) fn monitoring(&self) -> Vec<Option<&'a str>> {
        let mut places = self.places();
        let routing = Some(self.settings.routing.namespace.as_str());
        if self.is_narrow() && !places.contains(&routing) {
            places.push(routing);
        }
        places
    }
}
