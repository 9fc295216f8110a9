//! The arguments of the commands that set a project up: the demo, a first configuration, and its check.

use std::path::PathBuf;

use clap::Args;

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Months of history in the sample world
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) months: u32,
    /// Seed of the sample world
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Export to this OTLP backend, e.g. http://127.0.0.1:4317
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Protocol of the endpoint
    #[arg(long, value_name = "PROTOCOL", requires = "endpoint", value_parser = ["grpc", "http/protobuf"])]
    pub(crate) protocol: Option<String>,
    /// Keep the store in this directory, for the commands that read
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Keep exporting the current state every minute until stopped
    #[arg(long, requires = "endpoint")]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The tool to read
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Name of the source; becomes part of every id
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// URL of the tool, e.g. https://acme.atlassian.net
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file to read (kind `file`)
    #[arg(long, value_name = "FILE")]
    pub(crate) path: Option<String>,
    /// Account of the token (Jira Cloud); without it the token is a bearer token
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Environment variable that holds the token
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// Project to read; repeat for several [default: all that the token can see]
    #[arg(long = "project", value_name = "KEY")]
    pub(crate) projects: Vec<String>,
    /// OTLP backend [default: http://127.0.0.1:4317]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Overwrite an existing file
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not run `check` afterwards
    #[arg(long)]
    pub(crate) no_check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Check only these sources
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    #[command(flatten)]
    pub(crate) doctor: Doctor,
}

/// The query addresses of the backends, where `check` looks up the canaries it sends.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Doctor {
    /// Look up a back-dated canary in this Tempo, and name each wrong setting
    #[arg(long, value_name = "URL", help_heading = "Doctor")]
    pub(crate) tempo_url: Option<String>,
    /// The same in this Loki
    #[arg(long, value_name = "URL", help_heading = "Doctor")]
    pub(crate) loki_url: Option<String>,
    /// The same in this Prometheus
    #[arg(long, value_name = "URL", help_heading = "Doctor")]
    pub(crate) prometheus_url: Option<String>,
    /// Check the dashboards and data sources of this Grafana
    #[arg(long, value_name = "URL", help_heading = "Doctor")]
    pub(crate) grafana_url: Option<String>,
    /// File with a token for Grafana [default: GRAFANA_TOKEN, or GRAFANA_USER and GRAFANA_PASSWORD]
    #[arg(long, value_name = "FILE", help_heading = "Doctor")]
    pub(crate) token_file: Option<PathBuf>,
    /// File with USER:TOKEN, or a bearer token, for Tempo [default: the variable TEMPO_TOKEN]
    #[arg(long, value_name = "FILE", requires = "tempo_url", help_heading = "Doctor")]
    pub(crate) tempo_token_file: Option<PathBuf>,
    /// The same for Loki [default: the variable LOKI_TOKEN]
    #[arg(long, value_name = "FILE", requires = "loki_url", help_heading = "Doctor")]
    pub(crate) loki_token_file: Option<PathBuf>,
    /// The same for Prometheus [default: the variable PROMETHEUS_TOKEN]
    #[arg(long, value_name = "FILE", requires = "prometheus_url", help_heading = "Doctor")]
    pub(crate) prometheus_token_file: Option<PathBuf>,
    /// Tenant in Tempo, Loki and Mimir [default: X-Scope-OrgID of `export.otlp.headers`]
    #[arg(long, value_name = "TENANT", help_heading = "Doctor")]
    pub(crate) org_id: Option<String>,
    /// PEM file of certificates to trust besides those of the platform [default: `export.otlp.tls.ca_file`]
    #[arg(long, value_name = "FILE", help_heading = "Doctor")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Seconds to wait until a canary is found; Tempo takes up to 10 minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 30, help_heading = "Doctor")]
    pub(crate) wait: u64,
}

impl Doctor {
    /// Whether any backend is named.
    pub(crate) fn is_asked(&self) -> bool {
        [&self.tempo_url, &self.loki_url, &self.prometheus_url, &self.grafana_url].into_iter().any(Option::is_some)
    }
}
