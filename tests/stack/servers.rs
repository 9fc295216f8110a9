//! The real servers as child processes, each started from the configuration that users get (`deploy/backends/`).
//!
//! Read [`Stack`] first: the reference backends. [`OpenStack`] is the other set, of servers that `build.sh` builds. `README.md`
//! beside this file has the command lines and how they were measured. What is asked of the servers is in [`crate::ask`] and
//! [`crate::received`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::ask::{Loki, Prometheus, Tempo};
use crate::received::{Records, Spans};

/// How long a server may take to become ready.
const START: Duration = Duration::from_secs(60);
/// How often a stack is started again, with other ports, when a server ends at once: another process took a port.
const ATTEMPTS: usize = 3;
/// Lines of a server's output that are shown when something failed.
const TAIL: usize = 25;

/// The programs of a [`Stack`].
pub(crate) struct Reference {
    tempo: PathBuf,
    loki: PathBuf,
    prometheus: PathBuf,
}

impl Reference {
    /// Finds them: Tempo and Loki where the user says, Prometheus where it was built.
    ///
    /// # Errors
    ///
    /// A variable that names no file: what was to be tested would be skipped.
    pub(crate) fn find() -> Result<Option<Self>> {
        Self::at(std::env::var_os("CONTEXTCORE_TEMPO_BIN"), std::env::var_os("CONTEXTCORE_LOKI_BIN"))
    }

    fn at(tempo: Option<OsString>, loki: Option<OsString>) -> Result<Option<Self>> {
        let (tempo, loki) = (given("CONTEXTCORE_TEMPO_BIN", tempo)?, given("CONTEXTCORE_LOKI_BIN", loki)?);
        Ok(tempo.zip(loki).zip(built("prometheus")).map(|((tempo, loki), prometheus)| Self { tempo, loki, prometheus }))
    }
}

/// The programs of an [`OpenStack`].
pub(crate) struct Open {
    collector: PathBuf,
    victoria_logs: PathBuf,
    prometheus: PathBuf,
}

impl Open {
    /// Finds them where they were built.
    pub(crate) fn find() -> Option<Self> {
        let (collector, victoria_logs) = built("otelcol").zip(built("victoria-logs"))?;
        Some(Self { collector, victoria_logs, prometheus: built("prometheus")? })
    }
}

/// The folder with what `build.sh` made: `$CONTEXTCORE_STACK`, else `target/stack`.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("CONTEXTCORE_STACK").map_or_else(|| repository().join("target/stack"), PathBuf::from)
}

fn built(name: &str) -> Option<PathBuf> {
    // Servers are started in a directory of their own.
    std::path::absolute(folder().join(name)).ok().filter(|path| path.is_file())
}

/// A program that a variable of the environment names.
fn given(variable: &str, value: Option<OsString>) -> Result<Option<PathBuf>> {
    let Some(path) = value.filter(|value| !value.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    let path = std::path::absolute(path)?;
    ensure!(path.is_file(), "{variable} names {}, which is no file", path.display());
    Ok(Some(path))
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One running server. It is killed when this is dropped, whatever happened.
struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn spawn(name: &'static str, mut command: Command, data: &Path) -> Result<Self> {
        let log = data.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command.current_dir(data).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits until the server answers 200 at `url`.
    async fn ready(&mut self, client: &reqwest::Client, url: &str) -> Result<()> {
        self.answers(client, url, 200).await
    }

    /// Waits until the server answers with a status at `url`.
    async fn answers(&mut self, client: &reqwest::Client, url: &str, status: u16) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START {
            if let Some(end) = self.child.try_wait()? {
                bail!("{} ended with {end}\n{}", self.name, self.tail());
            }
            if client.get(url).send().await.is_ok_and(|answer| answer.status() == status) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} is not ready after {} s\n{}", self.name, START.as_secs(), self.tail())
    }

    /// The last lines it wrote.
    fn tail(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        format!("--- the last lines of {} ---\n{last}\n", self.name)
    }
}

impl Drop for Server {
    /// By handle and by SIGKILL: Tempo 2.9 may never end on SIGTERM, and the data is not needed.
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// Running servers on free loopback ports, with their data in a temporary folder: a Prometheus, and, when they are the
/// reference backends, a Tempo and a Loki.
pub(crate) struct Stack {
    // Servers first: they must be gone before their folder is.
    servers: Vec<Server>,
    tempo: Option<Tempo>,
    loki: Option<Loki>,
    pub(crate) prometheus: Prometheus,
    /// Where to send each signal.
    pub(crate) endpoints: Endpoints,
    _data: TempDir,
}

/// Addresses as a configuration wants them.
pub(crate) struct Endpoints {
    pub(crate) traces_grpc: String,
    pub(crate) traces_http: String,
    pub(crate) logs: String,
    pub(crate) metrics: String,
}

impl Stack {
    /// Starts the reference backends and waits until all are ready.
    pub(crate) async fn start(programs: &Reference) -> Result<Self> {
        again(async || Self::attempt(programs).await).await
    }

    async fn attempt(programs: &Reference) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("contextcore-stack-").tempdir()?;
        let [tempo_port, tempo_grpc, otlp_grpc, otlp_http, memberlist, loki_port, loki_grpc, prometheus_port] =
            free_ports()?;
        let tempo_ports = [
            ("TEMPO_HTTP_PORT", tempo_port),
            ("TEMPO_GRPC_PORT", tempo_grpc),
            ("TEMPO_OTLP_GRPC_PORT", otlp_grpc),
            ("TEMPO_OTLP_HTTP_PORT", otlp_http),
            ("TEMPO_MEMBERLIST_PORT", memberlist),
        ];
        let prometheus = prometheus_command(&programs.prometheus, data.path(), prometheus_port);
        let mut servers = vec![
            Server::spawn("tempo", tempo_command(&programs.tempo, data.path(), &tempo_ports)?, data.path())?,
            Server::spawn("loki", loki_command(&programs.loki, data.path(), loki_port, loki_grpc), data.path())?,
            Server::spawn("prometheus", prometheus, data.path())?,
        ];
        let client = crate::ask::client()?;
        let urls = [at(tempo_port) + "/ready", at(loki_port) + "/ready", at(prometheus_port) + "/-/ready"];
        for (server, url) in servers.iter_mut().zip(urls) {
            server.ready(&client, &url).await?;
        }
        let tempo = Tempo::new(client.clone(), at(tempo_port));
        let loki = Loki::new(client.clone(), at(loki_port));
        let prometheus = Prometheus::new(client, at(prometheus_port));
        // As in every Prometheus that scrapes at least itself: then history is out of order, and its window is needed.
        prometheus.send_now().await?;
        Ok(Self {
            servers,
            tempo: Some(tempo),
            loki: Some(loki),
            prometheus,
            endpoints: Endpoints {
                traces_grpc: at(otlp_grpc),
                traces_http: at(otlp_http),
                logs: at(loki_port) + "/otlp",
                metrics: at(prometheus_port) + "/api/v1/otlp",
            },
            _data: data,
        })
    }

    /// Tempo, if it is there.
    pub(crate) fn tempo(&self) -> Result<&Tempo> {
        self.tempo.as_ref().context("there is no Tempo among these servers")
    }

    /// Loki, if it is there.
    pub(crate) fn loki(&self) -> Result<&Loki> {
        self.loki.as_ref().context("there is no Loki among these servers")
    }

    /// The last lines of every server.
    pub(crate) fn tails(&self) -> String {
        self.servers.iter().map(Server::tail).collect()
    }
}

/// Servers under licences that let us build them here: a Prometheus, a VictoriaLogs and a Collector. The Collector takes all
/// three signals, writes spans into a file and passes the rest on; over HTTP the other two are sent to directly.
pub(crate) struct OpenStack {
    /// All three servers, and where each signal is taken over HTTP.
    pub(crate) stack: Stack,
    /// Where the Collector takes all three signals over gRPC.
    pub(crate) grpc: String,
    pub(crate) spans: Spans,
    pub(crate) records: Records,
}

impl OpenStack {
    /// Starts the three servers and waits until all are ready.
    pub(crate) async fn start(programs: &Open) -> Result<Self> {
        again(async || Self::attempt(programs).await).await
    }

    async fn attempt(programs: &Open) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("contextcore-stack-").tempdir()?;
        let [grpc, http, logs, prometheus_port] = free_ports()?;
        let (grpc, http, logs, metrics) = (at(grpc), at(http), at(logs), at(prometheus_port));
        let endpoints = Endpoints {
            traces_grpc: grpc.clone(),
            traces_http: http.clone(),
            logs: format!("{logs}/insert/opentelemetry"),
            metrics: format!("{metrics}/api/v1/otlp"),
        };
        let file = data.path().join("spans.jsonl");
        let prometheus = prometheus_command(&programs.prometheus, data.path(), prometheus_port);
        let mut servers = vec![
            Server::spawn(
                "victoria-logs",
                victoria_logs_command(&programs.victoria_logs, data.path(), &logs),
                data.path(),
            )?,
            Server::spawn("prometheus", prometheus, data.path())?,
            Server::spawn("otelcol", collector_command(&programs.collector, &endpoints, &file), data.path())?,
        ];
        let client = crate::ask::client()?;
        // The Collector has no page that says it is ready. It answers once it listens, and a GET is no export.
        let ready =
            [(format!("{logs}/health"), 200), (format!("{metrics}/-/ready"), 200), (format!("{http}/v1/traces"), 405)];
        for (server, (url, status)) in servers.iter_mut().zip(ready) {
            server.answers(&client, &url, status).await?;
        }
        let prometheus = Prometheus::new(client.clone(), metrics);
        // As in every Prometheus that scrapes at least itself: then history is out of order, and its window is needed.
        prometheus.send_now().await?;
        Ok(Self {
            grpc,
            spans: Spans::new(file),
            records: Records::new(client, logs),
            stack: Stack { servers, tempo: None, loki: None, prometheus, endpoints, _data: data },
        })
    }
}

/// A Prometheus that evaluates rules each second.
pub(crate) struct Alone {
    // First: it must be gone before its folder is.
    _server: Server,
    url: String,
    _data: TempDir,
}

impl Alone {
    /// Starts it with these rules and waits until it is ready.
    pub(crate) async fn start(programs: &Open, rules: &serde_json::Value) -> Result<Self> {
        again(async || Self::attempt(programs, rules).await).await
    }

    async fn attempt(programs: &Open, rules: &serde_json::Value) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("contextcore-stack-").tempdir()?;
        let [port] = free_ports()?;
        let config = data.path().join("prometheus.yml");
        fs::write(data.path().join("rules.yml"), rules.to_string())?;
        fs::write(&config, "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n")?;
        let command = prometheus_with(&config, &programs.prometheus, data.path(), port);
        let mut server = Server::spawn("prometheus", command, data.path())?;
        server.ready(&crate::ask::client()?, &(at(port) + "/-/ready")).await?;
        Ok(Self { _server: server, url: at(port), _data: data })
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Starts servers, and again with other ports when that fails.
async fn again<T>(attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        match attempt().await {
            Ok(stack) => return Ok(stack),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.context("start nothing")?)
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Free loopback ports. All are held at once, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let held: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn config(name: &str) -> PathBuf {
    repository().join("deploy/backends").join(name)
}

fn flag(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}

/// The shipped configuration for a Tempo that says this of its version: each major version refuses the other's file.
fn tempo_config(version: &str) -> &'static str {
    if version.contains("version 2.") || version.contains("version v2.") { "tempo-2.yaml" } else { "tempo.yaml" }
}

/// Tempo with the shipped configuration; everything that makes found sooner what was sent is shortened.
fn tempo_command(program: &Path, data: &Path, ports: &[(&str, u16)]) -> Result<Command> {
    let version = Command::new(program).arg("-version").output().context("ask Tempo for its version")?;
    let file = tempo_config(&String::from_utf8_lossy(&[version.stdout, version.stderr].concat()));
    let mut command = Command::new(program);
    command.arg(flag("-config.file", &config(file))).arg("-config.expand-env=true");
    command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
    command.env("TEMPO_DATA_DIR", data.join("tempo")).env("TEMPO_LOG_LEVEL", "warn");
    command.env("TEMPO_TRACE_IDLE_PERIOD", "1s").env("TEMPO_FLUSH_CHECK_PERIOD", "1s");
    command.env("TEMPO_MAX_BLOCK_DURATION", "2s").env("TEMPO_BLOCKLIST_POLL", "1s");
    Ok(command)
}

/// Loki with the shipped configuration; the flags only make it ready sooner.
fn loki_command(program: &Path, data: &Path, http: u16, grpc: u16) -> Command {
    let mut command = Command::new(program);
    command.arg(flag("-config.file", &config("loki.yaml"))).arg("-config.expand-env=true");
    command.args(["-frontend.scheduler-dns-lookup-period=1s", "-querier.dns-lookup-period=1s"]);
    command.env("LOKI_HTTP_PORT", http.to_string()).env("LOKI_GRPC_PORT", grpc.to_string());
    command.env("LOKI_DATA_DIR", data.join("loki"));
    command
}

/// Prometheus with the shipped configuration and the two flags its README names.
fn prometheus_command(program: &Path, data: &Path, port: u16) -> Command {
    prometheus_with(&config("prometheus.yml"), program, data, port)
}

fn prometheus_with(config: &Path, program: &Path, data: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.arg(flag("--config.file", config));
    command.args(["--web.enable-otlp-receiver", "--storage.tsdb.retention.time=5y"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(flag("--storage.tsdb.path", &data.join("prometheus")));
    command
}

/// VictoriaLogs, which needs nothing but to keep what is old.
fn victoria_logs_command(program: &Path, data: &Path, url: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("-httpListenAddr={}", address(url)));
    command.arg(flag("-storageDataPath", &data.join("victoria-logs")));
    command.args(["-retentionPeriod=10y", "-loggerLevel=WARN"]);
    command
}

/// The Collector with the configuration beside its program.
fn collector_command(program: &Path, endpoints: &Endpoints, spans: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(flag("--config", &repository().join("tests/stack/collector/otelcol.yaml")));
    command.env("OTLP_GRPC", address(&endpoints.traces_grpc)).env("OTLP_HTTP", address(&endpoints.traces_http));
    command.env("LOGS_URL", &endpoints.logs).env("METRICS_URL", &endpoints.metrics).env("SPANS_FILE", spans);
    command
}

/// Host and port of a URL of ours.
fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tempo_gets_the_file_of_its_major_version() {
        assert_eq!(tempo_config("tempo, version 2.9.0 (branch: , revision: unknown)"), "tempo-2.yaml");
        assert_eq!(tempo_config("tempo, version v2.10.1 (branch: HEAD)"), "tempo-2.yaml");
        assert_eq!(tempo_config("tempo, version 3.0.3 (branch: main)"), "tempo.yaml");
    }

    #[test]
    fn a_variable_that_names_no_file_is_an_error() {
        assert!(Reference::at(Some("/nowhere/tempo".into()), None).is_err());
        assert!(Reference::at(None, None).is_ok_and(|found| found.is_none()));
    }
}
