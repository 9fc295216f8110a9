//! What the controller asks of others than the API server. The binary has it; tests have their own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::changes::ContextChange;
use crate::settings::Settings;

/// Everything besides the API server.
#[async_trait]
pub trait Outside: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// The newest values of a query in PromQL at the Prometheus with this address.
    ///
    /// # Errors
    /// Words for a person when it cannot be asked or refuses.
    async fn query(&self, url: &str, promql: &str) -> Result<Vec<Sample>, String>;

    /// Records that specs changed. What cannot be sent is logged there.
    async fn record(&self, changes: Vec<ContextChange>);

    /// Provisions dashboards where Grafana is reached over HTTP. `None`: there are none to provision.
    async fn provision(&self, dashboards: &[Value], settings: &Settings) -> Option<Result<(), Provisioning>>;
}

/// Why dashboards could not be provisioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// Grafana does not answer.
    Unreachable(String),
    /// Grafana does not accept who we are.
    Unauthorized(String),
}

/// A series and its newest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}
