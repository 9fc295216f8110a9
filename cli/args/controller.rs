//! The arguments of `contextcore controller`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, one_of};

#[derive(Debug, Subcommand)]
pub(crate) enum Controller {
    /// Bring what follows from the ProjectContexts of a cluster into it, and keep it there
    Run(Run),
    /// Print the custom resource definition
    Crd,
    /// Check files with ProjectContexts as the API server would, and their PromQL
    Validate(ContextFiles),
    /// Print what follows from the ProjectContexts of files
    Render(Render),
    /// Check that a cluster has what the controller needs, and that others take up what it writes
    Doctor(ClusterDoctor),
    /// Remove everything that the controller put into a cluster
    Prune(Prune),
}

/// Which cluster, as kubectl names it.
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// File with clusters and credentials [default: $KUBECONFIG, else ~/.kube/config, else the service account of the pod]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace of the installation [default: that of the pod or of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE", env = "POD_NAMESPACE", hide_env_values = true)]
    pub(crate) namespace: Option<String>,
}

/// Where the settings of the platform are: which installation, and where its objects are.
#[derive(Debug, Args)]
pub(crate) struct SettingsPlace {
    /// File with the settings of the platform; `run` reads it again when it changes [default: none]
    #[arg(id = "settings", long = "settings", value_name = "FILE", conflicts_with = "settings_config_map")]
    pub(crate) file: Option<PathBuf>,
    /// ConfigMap with the settings under the key settings.yaml, in the namespace of the installation; `run` watches it
    #[arg(id = "settings_config_map", long = "settings-config-map", value_name = "NAME")]
    pub(crate) config_map: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) settings: SettingsPlace,
    /// Only the ProjectContexts of this namespace; can be repeated [default: all namespaces]
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", env = "CONTEXTCORE_WATCH_NAMESPACES")]
    #[arg(value_delimiter = ',', hide_env_values = true)]
    pub(crate) watch_namespaces: Vec<String>,
    /// Address and port for /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(crate) listen: String,
    /// OTLP backend that gets a log record for each change of a spec [default: none]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// Name of this process in the Lease [default: made from the name of the host]
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide_env_values = true)]
    pub(crate) identity: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContextFiles {
    /// YAML with ProjectContexts; other objects are passed over (`-` for stdin)
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Settings of the platform: limits, channels, the table of criticalities [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// YAML with ProjectContexts; other objects are passed over (`-` for stdin)
    #[arg(value_name = "FILE", required_unless_present = "from")]
    pub(crate) files: Vec<PathBuf>,
    /// Settings of the platform: limits, channels, the table of criticalities [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// YAML with objectives of Sloth or OpenSLO, read as ProjectContexts; can be repeated (`-` for stdin)
    #[arg(id = "from", long = "from", value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
    /// How to print the result; it takes the place of the global option
    #[arg(long, alias = "format", short = 'o', value_name = "FORMAT", default_value = "yaml")]
    #[arg(value_parser = one_of(Output::RENDERED))]
    pub(crate) output: Output,
    /// The same as `--output explain`
    #[arg(long, conflicts_with = "output")]
    pub(crate) explain: bool,
    /// Print what would change in a cluster, with the contexts that are there already; the exit code is 1 when something would
    #[arg(long, conflicts_with_all = ["output", "explain"])]
    pub(crate) diff: bool,
    /// With --diff: settings from a ConfigMap in the namespace of the controller, key settings.yaml
    #[arg(long, value_name = "NAME", requires = "diff", conflicts_with = "settings")]
    pub(crate) settings_config_map: Option<String>,
    /// With --diff: only the contexts of this namespace count besides those of the files; can be repeated [default: all namespaces]
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", requires = "diff", value_delimiter = ',')]
    pub(crate) watch_namespaces: Vec<String>,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterDoctor {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) settings: SettingsPlace,
    /// The controller runs for this namespace only, and nothing beyond is asked for; can be repeated [default: all namespaces]
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", env = "CONTEXTCORE_WATCH_NAMESPACES")]
    #[arg(value_delimiter = ',', hide_env_values = true)]
    pub(crate) watch_namespaces: Vec<String>,
    /// Whose rights to check, e.g. system:serviceaccount:contextcore:contextcore-controller [default: your own]
    #[arg(long = "as", value_name = "USER")]
    pub(crate) impersonate: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) settings: SettingsPlace,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Render {
    /// How to print the result.
    pub(crate) fn form(&self) -> Output {
        if self.explain { Output::Explain } else { self.output }
    }
}
