//! What the controller asks of others than the API server. The binary has it; tests have their own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::changes::{ContextChange, RecordId};
use crate::grafana::{Left, ProvisionError, ServiceDashboard};
use crate::settings::Settings;

/// Everything besides the API server.
#[async_trait]
pub trait Outside: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// The newest values of a query in PromQL at the Prometheus with this address.
    ///
    /// # Errors
    /// A message for a person when it cannot be asked or refuses.
    async fn query(&self, url: &str, promql: &str) -> Result<Vec<Sample>, String>;

    /// Records that specs changed. What cannot be sent at once is kept and sent later.
    async fn record(&self, changes: Vec<ContextChange>);

    /// Whether records go to a backend, so that statuses keep them until it has them.
    fn has_backend(&self) -> bool {
        false
    }

    /// Waits for the backend. Returns the records that it has, or that nobody will have, since the last call.
    async fn settled(&self) -> Vec<RecordId> {
        std::future::pending().await
    }

    /// How many records were lost since the last call: the backend refused them, or too many waited.
    fn lost_records(&self) -> u64 {
        0
    }

    /// Brings dashboards to the Grafana of the settings. `None`: they name none to send to.
    async fn provision(
        &self,
        dashboards: &[ServiceDashboard],
        settings: &Settings,
    ) -> Option<Result<Vec<Left>, ProvisionError>>;
}

/// A series and its newest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}
