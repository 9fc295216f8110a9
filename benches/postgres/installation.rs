//! The built binary with its store in a directory or a database, beside a tool and a collector.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use contextcore_fakes::jira::{Jira, JiraHandle};
use contextcore_fakes::otlp::{Collector, Handle, Options};
use contextcore_postgres::{Postgres, Proxy};
use serde_json::Value;

use crate::worlds::NOW;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(1_800);
const PAUSE: Duration = Duration::from_millis(50);
/// A poll is over so long after its last request.
const SETTLED: Duration = Duration::from_secs(2);

/// Where the store is.
pub(crate) enum Place<'a> {
    Directory,
    Database { server: &'a Postgres, schema: String, proxy: Option<Proxy> },
}

impl<'a> Place<'a> {
    pub(crate) fn near(server: &'a Postgres, name: &str) -> Self {
        Self::Database { server, schema: server.schema(name), proxy: None }
    }

    pub(crate) fn far(server: &'a Postgres, proxy: Proxy, name: &str) -> Self {
        Self::Database { server, schema: server.schema(name), proxy: Some(proxy) }
    }
}

/// What one run did.
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) seconds: f64,
}

impl Run {
    /// A number of the JSON that it printed; not a number when it is missing, which no budget holds.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let report: Value = serde_json::from_str(&self.out).unwrap();
        report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}

/// A configuration of the binary with its store.
pub(crate) struct Installation<'a> {
    dir: tempfile::TempDir,
    place: Place<'a>,
    url: String,
    pub(crate) collector: Handle,
    /// The moment of the next runs.
    pub(crate) now: Cell<i64>,
}

/// A service that ends with its handle.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl<'a> Installation<'a> {
    pub(crate) async fn new(tool: &JiraHandle, place: Place<'a>) -> Self {
        let options = Options { keep: false, ..Options::default() };
        let collector = Collector::start(options).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let new = Self { dir, place, url: tool.url().to_owned(), collector, now: Cell::new(NOW) };
        new.configure(1);
        new
    }

    /// Writes the configuration with so many sources: `bench0` and following.
    pub(crate) fn configure(&self, sources: usize) {
        let store = match &self.place {
            Place::Directory => "path: ./data".to_owned(),
            Place::Database { schema, .. } => format!("postgres: {{url: {{env: DATABASE}}, schema: {schema}}}"),
        };
        let source = |n: usize| {
            format!(
                "  - {{name: bench{n}, kind: jira, url: '{}', auth: {{email: {}, token: {{env: TOKEN}}}}, projects: [LOAD]}}\n",
                self.url,
                Jira::EMAIL
            )
        };
        let sources: String = (0..sources).map(source).collect();
        let text = format!(
            "listen: 127.0.0.1:{}\nstore: {{{store}}}\nexport: {{otlp: {{endpoint: '{}'}}}}\nsources:\n{sources}",
            free_port(),
            self.collector.grpc_url(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Leaves out what is exported by the clock.
    pub(crate) fn export_by_polls_alone(&self) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let slowly = "export: {metrics: {interval: 24h}, snapshot: {interval: 24h}, ";
        std::fs::write(self.config(), text.replace("export: {", slowly)).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("contextcore.yaml")
    }

    /// The schema of the store and its server.
    pub(crate) fn database(&self) -> (&Postgres, &str) {
        match &self.place {
            Place::Database { server, schema, .. } => (server, schema),
            Place::Directory => panic!("its store is a directory"),
        }
    }

    /// Statements that went through its proxy since the last time.
    pub(crate) fn take_statements(&self) -> f64 {
        match &self.place {
            Place::Database { proxy: Some(proxy), .. } => proxy.take_statements() as f64,
            _ => f64::NAN,
        }
    }

    /// The bytes of its tables.
    pub(crate) fn stored_bytes(&self) -> f64 {
        let (server, schema) = self.database();
        server.sql(&format!("SELECT pg_total_relation_size('{schema}.kv')")).parse().unwrap()
    }

    fn command(&self, arguments: &[&str], config: &Path, through: Option<&Proxy>) -> Command {
        let binary = std::env::var_os("CONTEXTCORE_BENCH_BIN");
        let mut command = Command::new(binary.map_or_else(|| env!("CARGO_BIN_EXE_contextcore").into(), PathBuf::from));
        command.args(arguments).arg("--config").arg(config).current_dir(self.dir.path());
        command.env("TOKEN", Jira::TOKEN).env("CONTEXTCORE_NOW", moment(self.now.get()));
        if let Place::Database { server, proxy, .. } = &self.place {
            let port = through.or(proxy.as_ref()).map_or(server.port(), Proxy::port);
            command.env("DATABASE", server.url_at(port));
        }
        command
    }

    /// Runs the binary to its end.
    pub(crate) async fn run(&self, arguments: &[&str], config: &Path) -> Run {
        let mut command = self.command(arguments, config, None);
        // The fakes live in this process: the child must not hold up their threads.
        let work = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let seconds = begun.elapsed().as_secs_f64();
            Run { out: String::from_utf8_lossy(&output.stdout).into_owned(), seconds }
        });
        work.await.unwrap()
    }

    pub(crate) async fn sync(&self) -> Run {
        self.run(&["sync", "--output", "json"], &self.config()).await
    }

    /// A service whose statements go through this proxy.
    pub(crate) async fn serve_through(&self, proxy: &Proxy) -> Service {
        self.start(Some(proxy)).await
    }

    pub(crate) async fn serve(&self) -> Service {
        self.start(None).await
    }

    async fn start(&self, through: Option<&Proxy>) -> Service {
        let mut command = self.command(&["serve"], &self.config(), through);
        let service = Service(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("nobody has the lease", || self.is_owned()).await;
        service
    }

    fn is_owned(&self) -> bool {
        let (server, schema) = self.database();
        server.sql(&format!("SELECT bool_or(expires > clock_timestamp()) FROM {schema}.lease")) == "t"
    }

    /// Has the service poll its source, and waits until it has.
    pub(crate) async fn poll(&self, tool: &JiraHandle, asking: &Path) {
        drop(tool.take_requests());
        self.run(&["sync"], asking).await;
        until("no poll came", || !tool.requests().is_empty()).await;
        let mut seen = 0;
        while seen != tool.requests().len() {
            seen = tool.requests().len();
            tokio::time::sleep(SETTLED).await;
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap().to_string()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
