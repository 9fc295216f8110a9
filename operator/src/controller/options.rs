//! How the controller runs.

use crate::settings::Settings;

/// How the controller runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace of the Lease, and of the shared outputs where the settings name none.
    pub namespace: String,
    /// The only namespaces whose contexts count. Empty: all.
    pub watch_namespaces: Vec<String>,
    /// ConfigMap with the settings, in `namespace`.
    pub settings_config_map: Option<String>,
    /// Settings to begin with.
    pub settings: Settings,
    /// Where to listen for probes.
    pub listen: String,
    /// Name of this process in the Lease.
    pub identity: String,
}
