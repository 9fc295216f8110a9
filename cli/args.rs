//! The command line: commands, flags and help texts. The file of each command has what it does.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use contextcore_core::model::{SprintState, TaskType};
use contextcore_core::query::{Cursor, Fields, List, ListOptions, ListQuery, SprintFilter, StatusFilter, TaskFilter};
use contextcore_core::store::DeadId;

use crate::terminal::Colour;

mod work;

pub(crate) use work::{Drain, Given, Place, Task, TaskOperation};

#[cfg(feature = "demo")]
const FIRST_STEP: &str = "Start with `contextcore demo`, or with `contextcore init` and your own tools.";
#[cfg(not(feature = "demo"))]
const FIRST_STEP: &str = "Start with `contextcore init` and your own tools.";
const EXIT_CODES: &str = "\
Exit codes: 0 all done; 1 internal error; 2 usage or config; 3 a source failed (others were still synced); 4 the backend \
did not take everything (what remains is still in the journal); 130 and 143 stopped cleanly by SIGINT and SIGTERM.";

/// Project management as telemetry: Jira, GitHub Projects and Linear as OpenTelemetry.
#[derive(Debug, Parser)]
#[command(name = "contextcore", version, max_term_width = 100, after_help = format!("{EXIT_CODES}\n\n{FIRST_STEP}"))]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Accepted before or after the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Configuration file [default: $CONTEXTCORE_CONFIG, else ./contextcore.yaml]
    #[arg(long, short = 'c', global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, alias = "format", short = 'o', global = true, value_name = "FORMAT", help_heading = "Global options")]
    #[arg(default_value = "table", hide_default_value = true, value_parser = one_of(Output::GENERAL))]
    pub(crate) output: Output,
    /// When to use colours: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(long, global = true, value_name = "WHEN", help_heading = "Global options")]
    #[arg(default_value = "auto", hide_default_value = true, hide_possible_values = true)]
    pub(crate) color: Colour,
    /// Log more to stderr: -v info, -vv debug, -vvv trace (or set CONTEXTCORE_LOG)
    #[arg(long, short = 'v', global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// The form of a command's result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people (default)
    #[value(alias = "text")]
    Table,
    /// For programs
    Json,
    /// For spreadsheets (lists only)
    Csv,
    /// Kubernetes objects (`controller render` only)
    #[cfg(feature = "kubernetes")]
    Yaml,
    /// The `projects` of a configuration file (`controller render` only)
    #[cfg(feature = "kubernetes")]
    Projects,
    /// Values and where each comes from (`controller render` only)
    #[cfg(feature = "kubernetes")]
    Explain,
    /// The ProjectContexts themselves, such as those made by `--from` (`controller render` only)
    #[cfg(feature = "kubernetes")]
    Contexts,
    /// The dashboards that the controller sends to `grafana.url`, with their folders (`controller render` only)
    #[cfg(feature = "kubernetes")]
    Dashboards,
}

impl Output {
    /// The forms that any command may have.
    const GENERAL: &[Self] = &[Self::Table, Self::Json, Self::Csv];
    /// Those of `controller render`.
    #[cfg(feature = "kubernetes")]
    const RENDERED: &[Self] =
        &[Self::Yaml, Self::Json, Self::Projects, Self::Explain, Self::Contexts, Self::Dashboards];
}

/// Accepts some of the forms, under all of their names.
fn one_of(forms: &'static [Output]) -> impl TypedValueParser<Value = Output> {
    let names = forms.iter().filter_map(Output::to_possible_value);
    PossibleValuesParser::new(names).try_map(|name| Output::from_str(&name, false))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on a sample world: no token, no network
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Write a commented contextcore.yaml
    Init(Init),
    /// Test each token, show what a sync would read, ping the backend
    Check(Check),
    /// Read all sources once, export what is new, and exit
    Sync(Sync),
    /// Sync on schedule until stopped
    Serve,
    /// Report work on a task: starts, statuses, comments, links
    Task(Box<Task>),
    /// Send what `task` and the SDK reported on this machine
    Drain(Drain),
    /// List tasks
    Tasks(Tasks),
    /// List sprints with their numbers
    Sprints(Sprints),
    /// Show one task: facts, timeline, children, trace id and span id, links
    Show(Show),
    /// Show what is wrong and what to do, and the state of each source and backend
    Status(Status),
    /// Export history again, to a new or wiped backend; ids stay the same
    Replay(Replay),
    /// List, send again or drop what a backend permanently refused
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Provision or export the Grafana dashboards and alert rules
    #[command(subcommand)]
    Dashboards(Dashboards),
    /// Maintain the store
    #[command(subcommand)]
    Store(Store),
    /// Check and render ProjectContexts of Kubernetes
    #[cfg(feature = "kubernetes")]
    #[command(subcommand)]
    Controller(Box<Controller>),
    /// Check and render ProjectContexts of Kubernetes (not in this build)
    #[cfg(not(feature = "kubernetes"))]
    #[command(disable_help_flag = true)]
    Controller(Unavailable),
    /// Print the JSON Schema of the configuration file
    Schema(Schema),
    /// Print shell completions
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// That of the projects file instead (`projects_file`)
    #[arg(long)]
    pub(crate) projects: bool,
}

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

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Sync only these sources
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Read everything again, not only changes
    #[arg(long)]
    pub(crate) full: bool,
    /// Read and report, but write and export nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which page of a list.
#[derive(Debug, Args)]
struct Page {
    /// Print at most this many; stderr then has the cursor of the next page
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Continue where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Page {
    fn options(self, fields: Vec<String>) -> ListOptions {
        let fields = (!fields.is_empty()).then(|| Fields::new(fields));
        ListOptions { limit: self.limit, cursor: self.cursor.map(Cursor::from), fields }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// In this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// In this status, or `open`: backlog, todo, in_progress, in_review, blocked, done, cancelled
    #[arg(long, value_name = "STATUS")]
    status: Option<StatusFilter>,
    /// Of this type: epic, story, task, subtask, bug, spike, incident
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<TaskType>,
    /// In this sprint (id or name)
    #[arg(long, value_name = "SPRINT")]
    sprint: Option<String>,
    /// Assigned to this person
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// From this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    page: Page,
    /// Print only these fields, in this order, e.g. id,status,title: the names are those of the JSON output
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(TaskFilter::fields()))]
    fields: Vec<String>,
}

impl Tasks {
    pub(crate) fn query(self) -> ListQuery<TaskFilter> {
        let Self { project, status, task_type, sprint, assignee, source, page, fields } = self;
        ListQuery {
            filter: TaskFilter { project, status, task_type, sprint, assignee, source },
            options: page.options(fields),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sprints {
    /// In this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// In this state: future, active, closed
    #[arg(long, alias = "status", value_name = "STATE")]
    state: Option<SprintState>,
    /// This one (id or name)
    #[arg(long, value_name = "SPRINT")]
    sprint: Option<String>,
    /// From this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    page: Page,
    /// Print only these fields, in this order, e.g. id,name,state: the names are those of the JSON output
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(SprintFilter::fields()))]
    fields: Vec<String>,
}

impl Sprints {
    pub(crate) fn query(self) -> ListQuery<SprintFilter> {
        let Self { project, state, sprint, source, page, fields } = self;
        ListQuery { filter: SprintFilter { project, state, sprint, source }, options: page.options(fields) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The key people use (PROJ-123), or the tool's own id
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// From this source, when several have this key
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Exit with 3 when a source has a problem, or 4 when only a backend has
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Only events since this date, time (RFC 3339) or age such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Only this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List them, with the backend's reason and what to do
    List,
    /// Send them again, each once; those that are accepted are removed
    Retry(ChosenLetters),
    /// Remove them without sending; `replay` can still export their history
    Drop(ChosenLetters),
}

#[derive(Debug, Args)]
pub(crate) struct ChosenLetters {
    /// Ids as `list` prints them [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<DeadId>,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Rewrite it to reclaim unused space
    Compact,
    /// Write all of it to a file, with a hash (`-` for stdout)
    Export {
        /// The file
        file: PathBuf,
    },
    /// Make the store from a whole export (`-` for stdin)
    Import {
        /// The file
        file: PathBuf,
    },
    /// Read all of it and check that it is consistent
    Verify,
}

#[cfg(feature = "kubernetes")]
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
#[cfg(feature = "kubernetes")]
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
#[cfg(feature = "kubernetes")]
#[derive(Debug, Args)]
pub(crate) struct SettingsPlace {
    /// File with the settings of the platform; `run` reads it again when it changes [default: none]
    #[arg(id = "settings", long = "settings", value_name = "FILE", conflicts_with = "settings_config_map")]
    pub(crate) file: Option<PathBuf>,
    /// ConfigMap with the settings under the key settings.yaml, in the namespace of the installation; `run` watches it
    #[arg(id = "settings_config_map", long = "settings-config-map", value_name = "NAME")]
    pub(crate) config_map: Option<String>,
}

#[cfg(feature = "kubernetes")]
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

#[cfg(feature = "kubernetes")]
#[derive(Debug, Args)]
pub(crate) struct ContextFiles {
    /// YAML with ProjectContexts; other objects are passed over (`-` for stdin)
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Settings of the platform: limits, channels, the table of criticalities [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

#[cfg(feature = "kubernetes")]
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
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[cfg(feature = "kubernetes")]
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

#[cfg(feature = "kubernetes")]
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

#[cfg(feature = "kubernetes")]
impl Render {
    /// How to print the result.
    pub(crate) fn form(&self) -> Output {
        if self.explain { Output::Explain } else { self.output }
    }
}

/// Whatever is typed after a command that this build does not have.
#[cfg(not(feature = "kubernetes"))]
#[derive(Debug, Args)]
pub(crate) struct Unavailable {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_work_before_and_after_the_command() {
        let before =
            Cli::try_parse_from(["contextcore", "--output", "json", "-vv", "--config", "x.yaml", "tasks"]).unwrap();
        let after =
            Cli::try_parse_from(["contextcore", "tasks", "--output", "json", "-vv", "--config", "x.yaml"]).unwrap();
        for cli in [before, after] {
            assert_eq!((cli.global.output, cli.global.verbose), (Output::Json, 2));
            assert_eq!(cli.global.config, Some(PathBuf::from("x.yaml")));
        }
    }

    /// The output format of a parsed command line, or the exit code of the error.
    fn output(arguments: &[&str]) -> Result<Output, i32> {
        let line = ["contextcore"].iter().chain(arguments);
        Cli::try_parse_from(line).map(|cli| cli.global.output).map_err(|error| error.exit_code())
    }

    #[test]
    fn forms_belong_to_their_commands() {
        assert_eq!(output(&["tasks"]), Ok(Output::Table));
        assert_eq!(output(&["tasks", "-o", "text"]), Ok(Output::Table));
        assert_eq!(output(&["-o", "csv", "tasks"]), Ok(Output::Csv));
        assert_eq!(output(&["tasks", "-o", "yaml"]), Err(2));
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn render_has_forms_of_its_own() {
        let rendered = |arguments: &[&str]| {
            let line = ["contextcore"].iter().chain(arguments);
            match Cli::try_parse_from(line).map(|cli| cli.command) {
                Ok(Command::Controller(command)) => match *command {
                    Controller::Render(render) => Ok(render.form()),
                    _ => Err(0),
                },
                Ok(_) => Err(0),
                Err(error) => Err(error.exit_code()),
            }
        };
        assert_eq!(rendered(&["controller", "render", "f"]), Ok(Output::Yaml));
        assert_eq!(rendered(&["controller", "render", "f", "-o", "projects"]), Ok(Output::Projects));
        assert_eq!(rendered(&["controller", "render", "--output", "explain", "f"]), Ok(Output::Explain));
        assert_eq!(rendered(&["controller", "render", "--explain", "f"]), Ok(Output::Explain));
        assert_eq!(rendered(&["controller", "render", "--explain", "-o", "yaml", "f"]), Err(2));
        assert_eq!(rendered(&["-o", "json", "controller", "render", "f"]), Ok(Output::Json));
        assert_eq!(rendered(&["controller", "render", "f", "-o", "csv"]), Err(2));
        assert_eq!(rendered(&["controller", "render"]), Err(2));
    }

    #[cfg(not(feature = "kubernetes"))]
    #[test]
    fn what_follows_a_command_that_is_not_built_is_accepted() {
        for arguments in [&["controller"][..], &["controller", "render", "-o", "yaml", "f"], &["controller", "--help"]]
        {
            assert!(output(arguments).is_ok(), "{arguments:?}");
        }
    }

    #[test]
    fn filters_and_fields_accept_only_known_names() {
        assert!(Cli::try_parse_from(["contextcore", "tasks", "--status", "open"]).is_ok());
        let error = Cli::try_parse_from(["contextcore", "tasks", "--status", "doing"]).unwrap_err();
        assert!(error.to_string().contains("in_progress"), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(Cli::try_parse_from(["contextcore", "tasks", "--fields", "id,title", "--limit", "5"]).is_ok());
        let error = Cli::try_parse_from(["contextcore", "sprints", "--fields", "id,titel"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(Cli::try_parse_from(["contextcore", "tasks", "--limit", "0"]).is_err());
    }

    #[cfg(all(feature = "demo", feature = "kubernetes"))]
    #[test]
    fn every_command_has_help() {
        let mut help = Vec::new();
        let mut root = Cli::command().term_width(100);
        root.build();
        help.push(root.render_long_help().to_string());
        for command in root.get_subcommands_mut() {
            let text = command.render_help();
            help.push(format!("=== {}\n{text}", command.get_name()));
        }
        insta::assert_snapshot!("help", help.join("\n"));
    }
}
