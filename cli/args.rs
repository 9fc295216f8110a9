//! The command line: commands, flags and help texts. The file of each command has what it does. Each group of commands has
//! its arguments in a file of this folder.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::terminal::Colour;

mod agents;
#[cfg(feature = "kubernetes")]
mod controller;
mod dashboards;
mod find;
mod git;
mod guide;
mod insight;
mod lists;
#[cfg(feature = "mcp")]
mod mcp;
mod setup;
mod store;
mod work;

pub(crate) use agents::{Agents, AgentsExport, AgentsFlow};
#[cfg(feature = "kubernetes")]
pub(crate) use controller::{Cluster, ClusterDoctor, Controller, Prune, Render, Run, SettingsPlace};
pub(crate) use dashboards::{Dashboards, DashboardsExport, Provision};
pub(crate) use find::{Export, Filter, Find, Handoffs, Questions, ReadPlace, ShowInsight};
pub(crate) use git::{Git, GitHook, GitInstall};
pub(crate) use guide::{Guide, GuideAdd, GuideCommand};
pub(crate) use insight::{Answer, Change, Emit, Handoff, Insight, Revert, Review, Speaker};
pub(crate) use lists::{Show, Sprints, Status, Tasks};
#[cfg(feature = "mcp")]
pub(crate) use mcp::Mcp;
#[cfg(feature = "demo")]
pub(crate) use setup::Demo;
pub(crate) use setup::{Check, Doctor, Init};
pub(crate) use store::{DeadLetters, MoveSource, Replay, Sources, SourcesCommand, Store, Sync};
pub(crate) use work::{Drain, Given, Place, Task, TaskOperation};

#[cfg(feature = "demo")]
const FIRST_STEP: &str = "Start with `contextcore demo`, or with `contextcore init` and your own tools.";
#[cfg(not(feature = "demo"))]
const FIRST_STEP: &str = "Start with `contextcore init` and your own tools.";
const EXIT_CODES: &str = "\
Exit codes: 0 all done; 1 internal error; 2 usage or config; 3 a source failed (others were still synced), or a check \
found something; 4 the backend \
did not accept everything (what remains is still in the journal); 130 and 143 stopped cleanly by SIGINT and SIGTERM.";

/// Project management as telemetry: Jira, GitHub Projects and Linear as OpenTelemetry.
#[derive(Debug, Parser)]
#[command(name = "contextcore", version, max_term_width = 100, after_help = format!("{EXIT_CODES}\n\n{FIRST_STEP}"))]
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
    /// A JSON object a line (`insight export` only)
    Jsonl,
    /// Markdown (`insight export` only)
    Md,
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
    /// Those of `insight export`.
    const EXPORTED: &[Self] = &[Self::Jsonl, Self::Md];
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
    /// Say what binds agents: constraints, preferences, focus
    Guide(Box<Guide>),
    /// Link commits to tasks: hooks, and a check for CI
    #[command(subcommand)]
    Git(Git),
    /// Write what agents must know into AGENTS.md
    #[command(subcommand)]
    Agents(Agents),
    /// Record and find what agents and people decided, learned and ask
    #[command(subcommand)]
    Insight(Box<Insight>),
    /// Hand work over to another agent or to a person
    #[command(subcommand)]
    Handoff(Box<Handoff>),
    /// Answer a question
    Answer(Answer),
    /// List the questions that nobody has answered
    Questions(Questions),
    /// List the work that is handed over
    Handoffs(Handoffs),
    /// Send what `task`, `insight` and the SDK reported on this machine
    Drain(Drain),
    /// Answer an agent over the Model Context Protocol, on stdin and stdout
    #[cfg(feature = "mcp")]
    Mcp(Box<Mcp>),
    /// List tasks
    Tasks(Tasks),
    /// List sprints with their numbers
    Sprints(Sprints),
    /// Show one task: facts, timeline, children, trace id and span id, links
    Show(Show),
    /// Show what is wrong and what to do, and the state of each source and backend
    Status(Status),
    /// List the sources and the replicas that have them, or move one
    Sources(Sources),
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
    /// That of .contextcore/guidance.yaml instead
    #[arg(long, conflicts_with = "projects")]
    pub(crate) guidance: bool,
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

    #[test]
    fn the_commands_about_insights_have_help() {
        let mut root = Cli::command().term_width(100);
        root.build();
        let mut help = Vec::new();
        for name in ["insight", "handoff"] {
            for command in root.find_subcommand_mut(name).into_iter().flat_map(|group| group.get_subcommands_mut()) {
                let text = command.render_help();
                help.push(format!("=== {name} {}\n{text}", command.get_name()));
            }
        }
        insta::assert_snapshot!("help_of_insights", help.join("\n"));
    }
}
