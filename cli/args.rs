//! The command line: what can be typed and what it says about itself. What the words do is in the file of each command.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use contextcore_core::model::{SprintState, TaskType};
use contextcore_core::query::{SprintFilter, StatusFilter, TaskFilter};

#[cfg(feature = "demo")]
const FIRST_STEP: &str = "Start with `contextcore demo`, or with `contextcore init` and your own tools.";
#[cfg(not(feature = "demo"))]
const FIRST_STEP: &str = "Start with `contextcore init` and your own tools.";
const EXIT_CODES: &str = "\
Exit codes: 0 all done; 1 internal error; 2 usage or config; 3 a source failed (others were still synced); 4 the backend \
did not take everything (what remains is still in the journal).";

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
    #[arg(long, short = 'o', global = true, value_name = "FORMAT", help_heading = "Global options")]
    #[arg(default_value = "table", hide_default_value = true)]
    pub(crate) output: Output,
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it at work on a sample world: no token, no network
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Write a commented contextcore.yaml
    Init(Init),
    /// Prove each token, show what a sync would read, ping the backend
    Check(Check),
    /// Read all sources once, send what is new, and exit
    Sync(Sync),
    /// Keep syncing on schedule until stopped
    Serve,
    /// List tasks
    Tasks(Tasks),
    /// List sprints with their numbers
    Sprints(Sprints),
    /// Show one task: facts, timeline, children, trace id and span id, links
    Show(Show),
    /// Show where each source and each backend stands
    Status,
    /// Send history again: to a new backend, or a wiped one. Ids stay the same
    Replay(Replay),
    /// Give Grafana the dashboards and alert rules
    #[command(subcommand)]
    Dashboards(Dashboards),
    /// Look after the store
    #[command(subcommand)]
    Store(Store),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Print shell completions
    Completions(Completions),
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Months of history in the sample world
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) months: u32,
    /// Another seed makes another world
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Send it to this OTLP backend, e.g. http://127.0.0.1:4317
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// How to speak to it
    #[arg(long, value_name = "PROTOCOL", requires = "endpoint", value_parser = ["grpc", "http/protobuf"])]
    pub(crate) protocol: Option<String>,
    /// Keep the store in this directory, to look at it afterwards
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Stay, and tell the backend every minute how things stand, until stopped
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
    /// Where the tool answers, e.g. https://acme.atlassian.net
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file to read (kind `file`)
    #[arg(long, value_name = "FILE")]
    pub(crate) path: Option<String>,
    /// The account the token belongs to (Jira Cloud); without it the token stands alone
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Environment variable that holds the token
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// Project to read; give it once for each [default: all the token can see]
    #[arg(long = "project", value_name = "KEY")]
    pub(crate) projects: Vec<String>,
    /// OTLP backend [default: http://127.0.0.1:4317]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Overwrite the file if it is there
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

/// Where the backends answer queries, for `check` to find again what it sends.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Doctor {
    /// Look a back-dated canary up in this Tempo, and name each wrong setting
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
    /// File that holds a token for Grafana [default: the variable GRAFANA_TOKEN]
    #[arg(long, value_name = "FILE", help_heading = "Doctor")]
    pub(crate) token_file: Option<PathBuf>,
    /// File that holds USER:TOKEN, or a bearer token, for Tempo [default: the variable TEMPO_TOKEN]
    #[arg(long, value_name = "FILE", requires = "tempo_url", help_heading = "Doctor")]
    pub(crate) tempo_token_file: Option<PathBuf>,
    /// The same for Loki [default: the variable LOKI_TOKEN]
    #[arg(long, value_name = "FILE", requires = "loki_url", help_heading = "Doctor")]
    pub(crate) loki_token_file: Option<PathBuf>,
    /// The same for Prometheus [default: the variable PROMETHEUS_TOKEN]
    #[arg(long, value_name = "FILE", requires = "prometheus_url", help_heading = "Doctor")]
    pub(crate) prometheus_token_file: Option<PathBuf>,
    /// Tenant to ask Tempo, Loki and Mimir for [default: X-Scope-OrgID of `export.otlp.headers`]
    #[arg(long, value_name = "TENANT", help_heading = "Doctor")]
    pub(crate) org_id: Option<String>,
    /// Certificates to trust beside the platform's, in PEM form [default: `export.otlp.tls.ca_file`]
    #[arg(long, value_name = "FILE", help_heading = "Doctor")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Seconds to wait for a canary to be found: Tempo takes up to 10 minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 30, help_heading = "Doctor")]
    pub(crate) wait: u64,
}

impl Doctor {
    /// Whether there is anything to look into.
    pub(crate) fn is_asked(&self) -> bool {
        [&self.tempo_url, &self.loki_url, &self.prometheus_url, &self.grafana_url].into_iter().any(Option::is_some)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Sync only these sources
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Read everything again, not only what changed
    #[arg(long)]
    pub(crate) full: bool,
    /// Read and report, but write and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Of this project: one of the portfolio, or the tool's own
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
    /// Of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

impl Tasks {
    pub(crate) fn filter(&self) -> TaskFilter {
        let Self { project, status, task_type, sprint, assignee, source } = self;
        TaskFilter {
            project: project.clone(),
            status: *status,
            task_type: *task_type,
            sprint: sprint.clone(),
            assignee: assignee.clone(),
            source: source.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sprints {
    /// Of this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// In this state: future, active, closed
    #[arg(long, alias = "status", value_name = "STATE")]
    state: Option<SprintState>,
    /// This one (id or name)
    #[arg(long, value_name = "SPRINT")]
    sprint: Option<String>,
    /// Of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

impl Sprints {
    pub(crate) fn filter(&self) -> SprintFilter {
        let Self { project, state, sprint, source } = self;
        SprintFilter { project: project.clone(), state: *state, sprint: sprint.clone(), source: source.clone() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The key people say (PROJ-123), or the tool's own id
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// Of this source, when two hold the same key
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Only what happened since: a date, a time (RFC 3339) or an age such as 30d
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
pub(crate) enum Dashboards {
    /// Create or update folder, data sources, dashboards and alert rules in a Grafana (11 or newer)
    Provision(Provision),
    /// Write them as files: for GitOps, Grafana's file provisioning, its Kubernetes sidecar, and Prometheus
    Export(DashboardsExport),
}

#[derive(Debug, Args)]
pub(crate) struct Provision {
    /// Where Grafana answers, e.g. https://grafana.acme.example
    #[arg(long, value_name = "URL")]
    pub(crate) grafana_url: String,
    /// File that holds a service-account token [default: the variable GRAFANA_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates to trust beside the platform's, in PEM form
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Folder in Grafana
    #[arg(long, value_name = "NAME", default_value = "ContextCore")]
    pub(crate) folder: String,
    #[command(flatten)]
    pub(crate) sources: SourceUrls,
    /// Overwrite what people changed in Grafana
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DashboardsExport {
    /// The directory, made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Folder in Grafana
    #[arg(long, value_name = "NAME", default_value = "ContextCore")]
    pub(crate) folder: String,
    #[command(flatten)]
    pub(crate) sources: SourceUrls,
}

/// Where Grafana reaches the backends.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SourceUrls {
    /// Prometheus as Grafana reaches it; without it, the data source that is there
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus_url: Option<String>,
    /// Tempo as Grafana reaches it; without it, the data source that is there
    #[arg(long, value_name = "URL")]
    pub(crate) tempo_url: Option<String>,
    /// Loki as Grafana reaches it; without it, the data source that is there
    #[arg(long, value_name = "URL")]
    pub(crate) loki_url: Option<String>,
}

impl SourceUrls {
    /// Those that were given, by kind.
    pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
        let all = [("prometheus", &self.prometheus_url), ("loki", &self.loki_url), ("tempo", &self.tempo_url)];
        all.into_iter().filter_map(|(kind, url)| Some((kind, url.clone()?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Rewrite it without the space that changes left behind
    Compact,
    /// Write everything to a file (`-` for stdout)
    Export {
        /// The file
        file: PathBuf,
    },
    /// Read an export into an empty store (`-` for stdin)
    Import {
        /// The file
        file: PathBuf,
    },
    /// Read everything and check that it holds together
    Verify,
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
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_are_taken_before_and_after_the_command() {
        let before =
            Cli::try_parse_from(["contextcore", "--output", "json", "-vv", "--config", "x.yaml", "tasks"]).unwrap();
        let after =
            Cli::try_parse_from(["contextcore", "tasks", "--output", "json", "-vv", "--config", "x.yaml"]).unwrap();
        for cli in [before, after] {
            assert_eq!((cli.global.output, cli.global.verbose), (Output::Json, 2));
            assert_eq!(cli.global.config, Some(PathBuf::from("x.yaml")));
        }
    }

    #[test]
    fn filters_take_only_words_there_are() {
        assert!(Cli::try_parse_from(["contextcore", "tasks", "--status", "open"]).is_ok());
        let error = Cli::try_parse_from(["contextcore", "tasks", "--status", "doing"]).unwrap_err();
        assert!(error.to_string().contains("in_progress"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[cfg(feature = "demo")]
    #[test]
    fn every_command_explains_itself() {
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
