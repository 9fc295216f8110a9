//! Dashboards that go to Grafana over HTTP, and what brings them there. This crate knows no client: the program that runs the
//! controller hands one in.

use async_trait::async_trait;
use serde_json::Value;

/// The dashboard of a context, for a Grafana that is given to us by its address.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceDashboard {
    /// Namespace of the context.
    pub namespace: String,
    /// Name of the context.
    pub name: String,
    /// Uid of the dashboard.
    pub uid: String,
    /// Uid of the folder it belongs into, which is within that of all our dashboards.
    pub folder_uid: String,
    /// Title of that folder.
    pub folder_title: String,
    /// The dashboard.
    pub json: Value,
}

/// A dashboard that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its uid.
    pub uid: String,
    /// Why, and what to do.
    pub why: String,
}

/// Why Grafana could not be brought to the wanted state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionError {
    /// Reason of the condition `DashboardReady`: `GrafanaUnreachable` or `Unauthorized`.
    pub reason: &'static str,
    /// What happened and what to do, for a person.
    pub message: String,
}

/// Brings dashboards to a Grafana.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Makes folders, creates and updates these dashboards and those that are shipped, and deletes the Service dashboards of this
    /// installation that are not listed. What did not change is not sent. Returns what was left alone because somebody changed
    /// it.
    ///
    /// # Errors
    /// When Grafana cannot be reached, or refuses the token.
    async fn provision(&self, wanted: &[ServiceDashboard]) -> Result<Vec<Left>, ProvisionError>;
}
