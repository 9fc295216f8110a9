//! The arguments of `contextcore dashboards`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Dashboards {
    /// Create or update folder, data sources, dashboards and alert rules in a Grafana (11 or newer)
    Provision(Provision),
    /// Write them as files, for GitOps, Grafana's file provisioning, its Kubernetes sidecar, and Prometheus
    Export(DashboardsExport),
}

#[derive(Debug, Args)]
pub(crate) struct Provision {
    /// URL of Grafana, e.g. https://grafana.acme.example
    #[arg(long, value_name = "URL")]
    pub(crate) grafana_url: String,
    /// File with a service-account token [default: GRAFANA_TOKEN, or GRAFANA_USER and GRAFANA_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of certificates to trust besides those of the platform
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Folder in Grafana
    #[arg(long, value_name = "NAME", default_value = "ContextCore")]
    pub(crate) folder: String,
    #[command(flatten)]
    pub(crate) sources: SourceUrls,
    /// Overwrite changes made in Grafana
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DashboardsExport {
    /// The directory; created when missing
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Folder in Grafana
    #[arg(long, value_name = "NAME", default_value = "ContextCore")]
    pub(crate) folder: String,
    #[command(flatten)]
    pub(crate) sources: SourceUrls,
}

/// The addresses of the backends, as Grafana reaches them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SourceUrls {
    /// URL of Prometheus for Grafana [default: an existing data source]
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus_url: Option<String>,
    /// URL of Tempo for Grafana [default: an existing data source]
    #[arg(long, value_name = "URL")]
    pub(crate) tempo_url: Option<String>,
    /// URL of Loki for Grafana [default: an existing data source]
    #[arg(long, value_name = "URL")]
    pub(crate) loki_url: Option<String>,
}

impl SourceUrls {
    /// The given ones, by kind.
    pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
        let all = [("prometheus", &self.prometheus_url), ("loki", &self.loki_url), ("tempo", &self.tempo_url)];
        all.into_iter().filter_map(|(kind, url)| Some((kind, url.clone()?))).collect()
    }
}
