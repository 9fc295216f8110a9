//! The three real servers as child processes, each started from the configuration that users get (`deploy/backends/`).
//!
//! Read [`Stack`] first. `README.md` beside this file has the command lines and how they were measured. What is asked of
//! the servers is in [`crate::ask`].

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::ask::{Loki, Prometheus, Tempo};

/// How long a server may take to become ready.
const START: Duration = Duration::from_secs(60);
/// How often a stack is started again, with other ports, when a server ends at once: another process took a port.
const ATTEMPTS: usize = 3;
/// Lines of a server's output that are shown when something failed.
const TAIL: usize = 25;

/// Says where the binaries are, if they were built: `$CONTEXTCORE_STACK`, else `target/stack`.
pub(crate) fn binaries() -> Option<PathBuf> {
    let given = std::env::var_os("CONTEXTCORE_STACK").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| repository().join("target/stack"));
    ["tempo", "loki", "prometheus"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
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
        let began = Instant::now();
        while began.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.tail());
            }
            if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
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
    /// By handle and by SIGKILL: Tempo 2.9 may wait for ever on SIGTERM, and the data is thrown away anyhow.
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// A Tempo, a Loki and a Prometheus on free loopback ports, with their data in a temporary folder.
pub(crate) struct Stack {
    // Servers first: they must be gone before their folder is.
    servers: Vec<Server>,
    pub(crate) tempo: Tempo,
    pub(crate) loki: Loki,
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
    /// Starts the three servers and waits until all are ready.
    pub(crate) async fn start(binaries: &Path) -> Result<Self> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            match Self::attempt(binaries).await {
                Ok(stack) => return Ok(stack),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.context("start nothing")?)
    }

    async fn attempt(binaries: &Path) -> Result<Self> {
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
        let mut servers = vec![
            Server::spawn("tempo", tempo_command(binaries, data.path(), &tempo_ports), data.path())?,
            Server::spawn("loki", loki_command(binaries, data.path(), loki_port, loki_grpc), data.path())?,
            Server::spawn("prometheus", prometheus_command(binaries, data.path(), prometheus_port), data.path())?,
        ];
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let client = crate::ask::client()?;
        let urls = [at(tempo_port) + "/ready", at(loki_port) + "/ready", at(prometheus_port) + "/-/ready"];
        for (server, url) in servers.iter_mut().zip(urls) {
            server.ready(&client, &url).await?;
        }
        let tempo = Tempo::new(client.clone(), at(tempo_port));
        let loki = Loki::new(client.clone(), at(loki_port));
        let prometheus = Prometheus::new(client, at(prometheus_port));
        // As in every Prometheus that scrapes at least itself: then history is out of order, and its window is needed.
        prometheus.tell_now().await?;
        Ok(Self {
            servers,
            tempo,
            loki,
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

    /// The last lines of every server.
    pub(crate) fn tails(&self) -> String {
        self.servers.iter().map(Server::tail).collect()
    }
}

/// Loopback ports nobody listens on. All are held at once, so that they differ.
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

/// Tempo with the shipped configuration; everything that makes found sooner what was sent is shortened.
fn tempo_command(binaries: &Path, data: &Path, ports: &[(&str, u16)]) -> Command {
    let mut command = Command::new(binaries.join("tempo"));
    command.arg(flag("-config.file", &config("tempo-2.yaml"))).arg("-config.expand-env=true");
    command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
    command.env("TEMPO_DATA_DIR", data.join("tempo")).env("TEMPO_LOG_LEVEL", "warn");
    command.env("TEMPO_TRACE_IDLE_PERIOD", "1s").env("TEMPO_FLUSH_CHECK_PERIOD", "1s");
    command.env("TEMPO_MAX_BLOCK_DURATION", "2s").env("TEMPO_BLOCKLIST_POLL", "1s");
    command
}

/// Loki with the shipped configuration; the flags only make it ready sooner.
fn loki_command(binaries: &Path, data: &Path, http: u16, grpc: u16) -> Command {
    let mut command = Command::new(binaries.join("loki"));
    command.arg(flag("-config.file", &config("loki.yaml"))).arg("-config.expand-env=true");
    command.args(["-frontend.scheduler-dns-lookup-period=1s", "-querier.dns-lookup-period=1s"]);
    command.env("LOKI_HTTP_PORT", http.to_string()).env("LOKI_GRPC_PORT", grpc.to_string());
    command.env("LOKI_DATA_DIR", data.join("loki"));
    command
}

/// Prometheus with the shipped configuration and the two flags its README names.
fn prometheus_command(binaries: &Path, data: &Path, port: u16) -> Command {
    let mut command = Command::new(binaries.join("prometheus"));
    command.arg(flag("--config.file", &config("prometheus.yml")));
    command.args(["--web.enable-otlp-receiver", "--storage.tsdb.retention.time=5y"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(flag("--storage.tsdb.path", &data.join("prometheus")));
    command
}
