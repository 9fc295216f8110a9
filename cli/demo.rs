//! `contextcore demo`: everything on a sample world, without a token or network. Fakes on this machine speak the tools' real APIs,
//! so the demo runs the same code as a real sync.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::config::{self, Config, SourceConfig};
use contextcore_core::engine::Engine;
use contextcore_core::export::Destinations;
use contextcore_core::ingest::sync::Options;
use contextcore_core::query::{PortfolioView, Viewer};
use contextcore_core::{Error, Millis, clock};
use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::world::{Foreign, GithubDemo, World};
use serde_json::json;

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::portfolio;
use crate::report::RunReport;
use crate::{host, output, progress, self_metrics, stop, sync, terminal};

/// The files of a demo inside its directory, with names that collide with no files of a user.
const DATA: &str = "demo-data";
const TOKENS: &str = "demo-tokens";
const CONFIG: &str = "demo.yaml";

/// For each Jira task that the repositories work on, this many are left alone.
const WORKED_ON: usize = 4;

/// The running fakes of the tools.
struct Tools {
    jira: JiraHandle,
    github: GithubHandle,
    linear: LinearHandle,
}

impl Tools {
    /// Three teams in Jira, a code host whose pull requests also name Jira tasks, and a team that uses Linear.
    async fn start(now: Millis, months: u32, seed: u64) -> io::Result<Self> {
        let clock = || Clock::fixed(now.0);
        let world = World::demo(now.0, months, seed);
        // The code host has whole seconds, so its world must have them too.
        let whole = now.0 - now.0.rem_euclid(1_000);
        let github = GithubDemo::new(whole, months, seed).with_foreign(Foreign::of(&world, whole, WORKED_ON)).build();
        let mut apps = World::demo(now.0, months, seed.wrapping_add(1));
        apps.rename_project("SHOP", "APP", "Apps");
        Ok(Self {
            jira: Jira::start(world, jira::Options { clock: clock(), ..jira::Options::cloud() }).await?,
            github: Github::start(github, github::Options { clock: clock(), ..github::Options::dot_com() }).await?,
            linear: Linear::start(apps, linear::Options { clock: clock(), ..linear::Options::default() }).await?,
        })
    }

    async fn shutdown(self) {
        self.jira.shutdown().await;
        self.github.shutdown().await;
        self.linear.shutdown().await;
    }
}

/// The tools, and the configuration to sync them.
struct Sample {
    tools: Tools,
    /// The directory of the store, the tokens and the configuration.
    directory: PathBuf,
    config: Config,
}

pub(crate) async fn run(context: &Context, arguments: &args::Demo) -> Outcome {
    let json = context.is_json("demo")?;
    app::warn_of_flags([("--endpoint", arguments.endpoint.as_ref())]);
    let scratch = sync::scratch()?;
    let directory = arguments.store.clone().unwrap_or_else(|| scratch.path().to_owned());
    let now = clock::now();
    // Signals are received from here on: whatever ends it, the temporary directory goes.
    let sample = stop::interruptible(start(arguments, &directory, now)).await??;
    let store = app::open_store(&sample.config).await?;
    let engine = Arc::new(app::engine(sample.config.clone(), store, progress::watcher(&context.bars)));
    let sinks = match arguments.endpoint {
        Some(_) => engine.sinks()?,
        None => Destinations::counting(&engine.cancel),
    };
    let sources: Vec<SourceConfig> = sample.config.sources.clone();
    let work = async {
        let report = sync::pass(&engine, &sources, Options { now: Some(now), ..Options::default() }, &sinks).await?;
        if arguments.endpoint.is_some() {
            self_metrics::push_after(&engine, &report).await;
        }
        Ok::<_, Error>(report)
    };
    let report = stop::stoppable(&engine.cancel, host::beside(&engine, work)).await??;
    progress::end(&context.bars);
    let portfolio = Viewer::new(&engine.store, &engine.config(), now).portfolio()?;
    let kept = arguments.store.is_some().then_some(sample.directory.as_path());
    output::print_compact(json, &json!({"portfolio": portfolio, "run": report}), |_| {
        render(&portfolio, &report, arguments.endpoint.as_deref(), kept)
    })?;
    eprint!("{}", report.problems());
    if arguments.stay && !engine.cancel.is_cancelled() {
        stop::stoppable(&engine.cancel, host::beside(&engine, stay(&engine, &sources, &sinks))).await??;
    }
    sample.tools.shutdown().await;
    Ok(report.exit())
}

/// How often the sample world is exported again with `--stay`.
const AGAIN: Duration = Duration::from_secs(60);

/// Keeps exporting the current state, so that dashboards stay fresh while blocked tasks grow older.
async fn stay(engine: &Arc<Engine>, sources: &[SourceConfig], sinks: &Destinations) -> Result<(), Error> {
    while engine.cancel.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_some() {
        let report = sync::pass(engine, sources, Options::default(), sinks).await?;
        self_metrics::push_after(engine, &report).await;
    }
    Ok(())
}

/// Starts the fakes and writes the configuration to sync them.
async fn start(arguments: &args::Demo, directory: &Path, now: Millis) -> Result<Sample, Failure> {
    let failed = |action: &str, error: io::Error| Failure::new(Exit::Internal, format!("{action}: {error}"));
    let data = directory.join(DATA);
    if data.exists() {
        let message =
            format!("{} already holds a store: remove it, or name another directory with --store", data.display());
        return Err(Failure::usage(message));
    }
    std::fs::create_dir_all(directory).map_err(|error| failed("create the store's directory", error))?;
    // The first thing to be seen: a debug build needs a second to read the vendors' schemas.
    eprintln!(
        "Starting fakes of Jira, GitHub and Linear on this machine, with {} months of history.",
        arguments.months
    );
    let tools = Tools::start(now, arguments.months, arguments.seed).await;
    let tools = tools.map_err(|error| failed("start the fakes of the tools", error))?;
    let tokens = directory.join(TOKENS);
    std::fs::create_dir_all(&tokens).map_err(|error| failed("create the directory of the sample tokens", error))?;
    for (name, token) in [("jira", Jira::TOKEN), ("github", Github::TOKEN), ("linear", Linear::KEY)] {
        write_secret(&tokens.join(name), token).map_err(|error| failed("write a sample token", error))?;
    }
    let file = directory.join(CONFIG);
    let text = config_text(arguments, directory, [tools.jira.url(), tools.github.url(), tools.linear.url()]);
    std::fs::write(&file, &text).map_err(|error| failed("write the configuration", error))?;
    let config = config::load(&file, &app::kinds())?;
    Ok(Sample { tools, directory: directory.to_owned(), config })
}

/// Writes a file that only this user can read, as a token should be.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // An older demo may have left it readable.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(secret.as_bytes())
}

/// The configuration of the sample world: native projects of three tools. The first portfolio project spans two of them. It works
/// from any directory.
fn config_text(arguments: &args::Demo, directory: &Path, urls: [&str; 3]) -> String {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let path = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let token = |name: &str| path(&directory.join(TOKENS).join(name));
    let [jira, github, linear] = urls;
    let mut text = format!(
        "# The sample world of `contextcore demo`. The fakes of its tools stopped with the demo; commands that read still work.
store: {{path: {}}}
projects:
  - id: commerce-platform
    name: Commerce Platform
    owner: commerce-team
    criticality: critical
    value: revenue-primary
    include: [{{source: sample-jira, project: SHOP}}, {{source: sample-github, project: acme/1}}]
  - id: platform
    name: Platform and operations
    owner: platform-team
    criticality: high
    include: [{{source: sample-jira, project: PLAT}}, {{source: sample-jira, project: OPS}}]
  - id: apps
    name: Apps
    owner: apps-team
    criticality: medium
    include: [{{source: sample-linear, project: APP}}]
sources:
  - name: sample-jira
    kind: jira
    url: {jira}
    auth: {{email: {}, token: {{file: {}}}}}
  - name: sample-github
    kind: github
    url: {github}
    auth: {{token: {{file: {}}}}}
    projects: [acme/1]
    repositories: [acme/web, acme/api]  # their commits, pull requests and CI also name tasks of Jira
  - name: sample-linear
    kind: linear
    url: {linear}
    auth: {{token: {{file: {}}}}}
    projects: [APP]
",
        path(&directory.join(DATA)),
        Jira::EMAIL,
        token("jira"),
        token("github"),
        token("linear"),
    );
    text.push_str(&export_text(arguments));
    text
}

fn export_text(arguments: &args::Demo) -> String {
    let history = i64::from(arguments.months) * 31 + 30;
    let mut text = format!("export:\n  history: {history}d\n  give_up: 30s\n");
    if let Some(endpoint) = &arguments.endpoint {
        let endpoint = serde_json::Value::from(endpoint.as_str());
        text.push_str(&format!("  otlp:\n    endpoint: {endpoint}\n"));
        if let Some(protocol) = &arguments.protocol {
            text.push_str(&format!("    protocol: {protocol}\n"));
        }
    }
    text
}

fn render(portfolio: &PortfolioView, report: &RunReport, endpoint: Option<&str>, kept: Option<&Path>) -> String {
    let sent = match endpoint {
        Some(endpoint) => format!("Exported to {endpoint}:"),
        None => "Counted but not exported (--endpoint URL exports to your backend):".to_owned(),
    };
    let sources = report.lines().replace('\n', "\n  ");
    format!(
        "\n{}\n{sent}\n  {}\n\nWhere to look next\n{}",
        portfolio::render(portfolio, terminal::width()),
        sources.trim_end(),
        next_steps(endpoint, kept)
    )
}

fn next_steps(endpoint: Option<&str>, kept: Option<&Path>) -> String {
    let mut steps = Vec::new();
    match kept {
        Some(directory) => {
            let file = directory.join(CONFIG);
            steps.push(format!("contextcore tasks --status blocked --config {}", file.display()));
            steps.push(format!("contextcore sprints --config {}", file.display()));
        }
        None => steps.push(
            "contextcore demo --store ./demo                       keep the store, for tasks, sprints and show".into(),
        ),
    }
    match endpoint {
        Some(_) => steps.push(
            "in Tempo: {span.task.status=\"blocked\"}    in Prometheus: task_blocked, sprint_remaining_points".into(),
        ),
        None => steps.push("contextcore demo --endpoint http://127.0.0.1:4317     export to an OTLP backend".into()),
    }
    steps.push("contextcore init                                      configure your own tools".into());
    steps.iter().map(|step| format!("  {step}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(endpoint: Option<&str>) -> args::Demo {
        args::Demo {
            months: 3,
            seed: 42,
            endpoint: endpoint.map(str::to_owned),
            protocol: endpoint.map(|_| "http/protobuf".to_owned()),
            store: None,
            stay: false,
        }
    }

    #[test]
    fn the_configuration_of_the_sample_world_is_valid() {
        let dir = Path::new("/tmp/with \"quotes\"");
        for endpoint in [None, Some("http://127.0.0.1:4318")] {
            let text = config_text(&arguments(endpoint), dir, ["http://127.0.0.1:1"; 3]);
            let config = config::parse(&text, "demo", &app::kinds()).unwrap();
            assert_eq!(config.store.path(), Some(&*dir.join(DATA)));
            assert_eq!(config.sources.len(), 3);
            if let Some(endpoint) = endpoint {
                assert!(config.export.otlp.targets.values().all(|target| target.url.starts_with(endpoint)));
            }
        }
    }

    #[test]
    fn the_sample_world_works_from_any_directory() {
        let text = config_text(&arguments(None), Path::new("demo"), ["http://127.0.0.1:1"; 3]);
        let config = config::parse(&text, "demo", &app::kinds()).unwrap();
        assert_eq!(config.store.path(), Some(&*std::env::current_dir().unwrap().join("demo").join(DATA)));
    }

    #[test]
    fn the_next_steps_depend_on_the_arguments() {
        insta::assert_snapshot!(
            "next_steps",
            format!(
                "{}\n{}",
                next_steps(None, None),
                next_steps(Some("http://127.0.0.1:4317"), Some(Path::new("demo")))
            )
        );
    }
}
