//! The rig: starts a scripted Jira ([`Tool`]), sets up installations of the product beside it ([`Home`]), runs the real
//! binary in them ([`Running`], [`Ran`]), and gathers what an installation knows and has told ([`Told`]).
//!
//! Tests run on a runtime of several threads, so that a test may block on a child while the stand-ins answer it. Every child
//! has a time limit and is killed when its handle is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::otlp::{self, Attributes, Collector, Handle, Log, Point, Span};
use contextcore_fakes::world::{Edit, World};
use serde_json::Value;

/// 2026-11-18, when nothing special is going on with any clock.
pub(crate) const NOW: i64 = 1_795_000_000_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// The longest a child may run unless a test says otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The name of the one source.
pub(crate) const SOURCE: &str = "acme-jira";

/// The tool: a Jira with a world of its own, and the clock that it and the installations go by.
pub(crate) struct Tool {
    pub(crate) jira: JiraHandle,
    now: Arc<AtomicI64>,
}

impl Tool {
    /// Two months of the sample world: three projects, some two hundred issues.
    pub(crate) async fn sample() -> Self {
        Self::start(World::demo(NOW, 2, 7), Options::cloud()).await
    }

    pub(crate) async fn start(world: World, options: Options) -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let ticking = Arc::clone(&now);
        let clock = Clock::of(move || ticking.load(Ordering::Relaxed));
        let jira = Jira::start(world, Options { clock, ..options }).await.unwrap();
        Self { jira, now }
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Lets time pass, for the tool and for the binary.
    pub(crate) fn pass(&self, milliseconds: i64) {
        self.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Somebody changes something, now.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Edit<'_>)) {
        let now = self.now();
        change(&mut self.jira.world().edit(now));
    }

    /// An installation beside this tool, with a backend of its own.
    pub(crate) async fn home(&self) -> Home {
        self.home_with(&Setup::default()).await
    }

    pub(crate) async fn home_with(&self, setup: &Setup<'_>) -> Home {
        let collector = Collector::start(setup.backend.clone()).await.unwrap();
        let home = Home {
            dir: tempfile::tempdir().unwrap(),
            collector,
            url: self.jira.url().to_owned(),
            now: Arc::clone(&self.now),
            variables: vec![("JIRA_TOKEN".to_owned(), Jira::TOKEN.to_owned())],
        };
        home.configure(setup);
        home
    }
}

impl Home {
    /// An installation beside any tool, with a backend of its own; `source` is the inside of its source in the configuration,
    /// where `{url}` stands for the address.
    pub(crate) async fn beside(url: &str, now: &Arc<AtomicI64>, source: &str, secret: (&str, &str)) -> Self {
        let collector = Collector::start(otlp::Options::default()).await.unwrap();
        let variables = vec![(secret.0.to_owned(), secret.1.to_owned())];
        let home =
            Self { dir: tempfile::tempdir().unwrap(), collector, url: url.to_owned(), now: Arc::clone(now), variables };
        home.write(&format!(
            "store: {{path: ./data}}\n\
             export: {{history: all, metrics: {{history_step: 48h}}, otlp: {{endpoint: '{}'}}}}\n\
             sources:\n  - {{{}}}\n",
            home.collector.grpc_url(),
            source.replace("{url}", url),
        ));
        home
    }
}

/// What a test changes of the usual configuration: YAML for the inside of each part.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Keys of `export`, for example `give_up: 2s`.
    pub(crate) export: &'a str,
    /// Keys of `export.otlp`; the endpoint is gRPC unless `http` is set.
    pub(crate) otlp: &'a str,
    pub(crate) http: bool,
    /// Keys of the source.
    pub(crate) source: &'a str,
    /// Further keys of the file.
    pub(crate) rest: &'a str,
    /// How the backend behaves.
    pub(crate) backend: otlp::Options,
}

/// One installation: a directory with a configuration and a store, and the backend it tells.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) collector: Handle,
    url: String,
    now: Arc<AtomicI64>,
    /// The environment of the binary, beside the clock.
    pub(crate) variables: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, setup: &Setup<'_>) {
        let endpoint = if setup.http { self.collector.http_url() } else { self.collector.grpc_url() };
        let protocol = if setup.http { "http/protobuf" } else { "grpc" };
        let join = |keys: &str| if keys.is_empty() { String::new() } else { format!(", {keys}") };
        self.write(&format!(
            "store: {{path: ./data}}\n\
             export: {{history: all, metrics: {{history_step: 48h}}, otlp: {{endpoint: '{endpoint}', protocol: {protocol}{}}}{}}}\n\
             sources:\n  - {{name: {SOURCE}, kind: jira, url: '{}', auth: {{email: {}, token: {{env: JIRA_TOKEN}}}}{}}}\n{}\n",
            join(setup.otlp),
            join(setup.export),
            self.url,
            Jira::EMAIL,
            join(setup.source),
            setup.rest,
        ));
    }

    /// Writes a whole configuration file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.path().join("contextcore.yaml"), text).unwrap();
    }

    pub(crate) fn config_text(&self) -> String {
        std::fs::read_to_string(self.path().join("contextcore.yaml")).unwrap()
    }

    /// The binary in this installation, with nothing of the test's own environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.dress(Command::new(env!("CARGO_BIN_EXE_contextcore")), arguments)
    }

    /// Any program in this installation's directory and environment.
    pub(crate) fn dress(&self, mut command: Command, arguments: &[&str]) -> Command {
        let now = jiff::Timestamp::from_millisecond(self.now.load(Ordering::Relaxed)).unwrap();
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CONTEXTCORE_NOW", now.to_string());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        Running::spawn(self.command(arguments))
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.spawn(arguments).wait(LIMIT)
    }

    /// A sync that must go well.
    pub(crate) fn sync(&self) -> Ran {
        self.run(&["sync"]).expect(0)
    }

    /// The summary of a sync that must end with `code`.
    pub(crate) fn summary(&self, code: i32, arguments: &[&str]) -> Value {
        self.run(&[&["sync", "--output", "json"], arguments].concat()).expect(code).json()
    }

    /// What `tasks` prints.
    pub(crate) fn tasks(&self) -> Vec<Value> {
        let Value::Array(tasks) = self.run(&["tasks", "--output", "json"]).expect(0).json() else { panic!("no list") };
        tasks
    }

    /// The task of this key.
    pub(crate) fn task(&self, key: &str) -> Value {
        let tasks = self.tasks();
        tasks.into_iter().find(|task| task["id"] == key).unwrap_or_else(|| panic!("{key} is not in the list"))
    }

    /// What it knows and has told.
    pub(crate) fn told(&self) -> Told {
        Told {
            tasks: self.told_tasks(),
            history: history(&self.collector, &self.url),
            lines: lines(&self.collector, &self.url),
            values: values(&self.collector, &self.url),
        }
    }

    /// The points about the work, without those the program tells about itself.
    pub(crate) fn points(&self) -> Vec<Point> {
        points(&self.collector)
    }

    /// Whether the backend was told nothing about the work.
    pub(crate) fn is_untold(&self) -> bool {
        self.collector.spans().is_empty() && self.collector.logs().is_empty() && self.points().is_empty()
    }

    fn told_tasks(&self) -> BTreeMap<String, String> {
        let text = |task: &Value| task.to_string().replace(&self.url, "JIRA");
        self.tasks().iter().map(|task| (task["native_id"].to_string(), text(task))).collect()
    }
}

/// A child at work. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    out: Capture,
    err: Capture,
    name: String,
    since: Instant,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (out, err) = (Capture::of(child.stdout.take().unwrap()), Capture::of(child.stderr.take().unwrap()));
        Self { child, out, err, name, since: Instant::now() }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Asks it to stop, with a signal such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        // Not reaped yet, so the number is still the child's.
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success(), "{}", self.name);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until stderr contains a text.
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) {
        let heard = self.err.wait(limit, |held| held.text.contains(text) || held.ended);
        assert!(heard.text.contains(text), "{} never said `{text}`:\n{}", self.name, heard.text);
    }

    /// Waits for the end; one that takes longer than `limit` is killed and fails the test.
    pub(crate) fn wait(mut self, limit: Duration) -> Ran {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let (out, err) = (self.out.wait(left(), |held| held.ended), self.err.wait(left(), |held| held.ended));
        assert!(out.ended && err.ended, "{} took longer than {limit:?}:\n{}\n{}", self.name, out.text, err.text);
        let code = self.child.wait().unwrap().code();
        Ran { code, out: out.text, err: err.text, took: self.since.elapsed(), name: self.name.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a stream of a child has said so far.
#[derive(Clone, Default)]
struct Held {
    text: String,
    ended: bool,
}

/// Reads a stream to its end on a thread of its own.
struct Capture(Arc<(Mutex<Held>, Condvar)>);

impl Capture {
    fn of(mut stream: impl std::io::Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Held>, Condvar)>::default();
        let (held, changed) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = stream.read(&mut buffer).unwrap_or(0);
                let mut held = held.0.lock().unwrap();
                held.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                held.ended = count == 0;
                changed.1.notify_all();
                if held.ended {
                    return;
                }
            }
        });
        Self(shared)
    }

    /// Waits until `enough` holds or the time is up; gives what is held then.
    fn wait(&self, limit: Duration, enough: impl Fn(&Held) -> bool) -> Held {
        let (held, changed) = &*self.0;
        let waited = changed.wait_timeout_while(held.lock().unwrap(), limit, |held| !enough(held));
        waited.unwrap().0.clone()
    }
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
    name: String,
}

impl Ran {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.name, self.out, self.err);
        self
    }

    /// Checks that the one error told is a single line with all of these words in it.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let errors = self.errors();
        let [error] = errors.as_slice() else { panic!("not one error line: {}\n{}", self.name, self.err) };
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        self
    }

    /// The lines that tell errors.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.err.lines().filter(|line| line.starts_with("error: ")).collect()
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.out))
    }
}

/// What an installation knows and has told for good, by identity: two that are equal have told the same, each thing once.
/// The tool's address is masked, so that installations beside different stand-ins of the same world compare.
#[derive(PartialEq)]
pub(crate) struct Told {
    /// `tasks --output json`, by native id.
    pub(crate) tasks: BTreeMap<String, String>,
    /// Every span but snapshots, by trace and span id.
    pub(crate) history: BTreeMap<String, String>,
    /// Every log record.
    pub(crate) lines: BTreeMap<String, String>,
    /// Every value of every series at every moment, but for what the program says about itself.
    pub(crate) values: BTreeMap<String, String>,
}

impl Told {
    /// Fails with what differs, if anything does.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        assert!(!other.tasks.is_empty() && !other.history.is_empty() && !other.lines.is_empty());
        assert_same("tasks", &self.tasks, &other.tasks);
        assert_same("history spans", &self.history, &other.history);
        assert_same("log records", &self.lines, &other.lines);
        assert_same("metric values", &self.values, &other.values);
    }

    /// The values on the history grid only (`export.metrics.history_step` is two days here): they are the same whenever
    /// one looks.
    pub(crate) fn on_grid(mut self) -> Self {
        let time = |name: &str| name.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap();
        self.values.retain(|name, _| time(name) % nanos(48 * HOUR) == 0);
        assert!(!self.values.is_empty(), "no value was told on the grid");
        self
    }

    /// The values at one moment only: what was told about earlier moments on the way differs with the moments one looked.
    pub(crate) fn at(mut self, moment: i64) -> Self {
        let stamp = format!("{} ", nanos(moment));
        self.values.retain(|name, _| name.starts_with(&stamp));
        assert!(!self.values.is_empty(), "no value was told for {moment}");
        self
    }
}

/// Compares two maps and fails with the first few differences.
#[track_caller]
pub(crate) fn assert_same(what: &str, ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing: Vec<_> = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)).collect();
    let shown =
        differing.iter().take(3).map(|name| format!("{name}\n  {:?}\n  {:?}", ours.get(*name), theirs.get(*name)));
    assert!(
        differing.is_empty(),
        "{} {what} differ, such as\n{}",
        differing.len(),
        shown.collect::<Vec<_>>().join("\n")
    );
}

/// As OTLP counts.
pub(crate) fn nanos(moment: i64) -> u64 {
    u64::try_from(moment).unwrap() * 1_000_000
}

fn word<'a>(attributes: &'a Attributes, name: &str) -> &'a str {
    attributes.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn role(span: &Span) -> &str {
    word(&span.attributes, "contextcore.role")
}

/// Keeps one thing under its identity; the same identity with another content is a contradiction.
#[track_caller]
fn keep(into: &mut BTreeMap<String, String>, identity: String, content: String) {
    let told = into.entry(identity).or_insert_with(|| content.clone());
    assert_eq!(told, &content, "told twice, and differently");
}

fn history(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for span in collector.spans().iter().filter(|span| role(span) != "snapshot") {
        keep(&mut all, format!("{} {}", span.trace_id, span.span_id), format!("{span:?}").replace(url, "JIRA"));
    }
    all
}

/// Without the resource: whether a line is a backfill depends on when it was sent.
fn lines(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for Log { time, event_name, body, attributes, trace_id, span_id, .. } in &collector.logs() {
        let identity = format!("{time} {event_name} {} {body}", word(attributes, "task.id"));
        keep(&mut all, identity, format!("{attributes:?} {trace_id} {span_id}").replace(url, "JIRA"));
    }
    all
}

fn points(collector: &Handle) -> Vec<Point> {
    let about_itself = |point: &Point| point.name.starts_with("contextcore.");
    collector.points().into_iter().filter(|point| !about_itself(point)).collect()
}

fn values(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for point in &points(collector) {
        let Point { time, name, resource, attributes, start, value, .. } = point;
        let series = format!("{time} {name} {} {attributes:?}", word(resource, "project.id")).replace(url, "JIRA");
        keep(&mut all, series, format!("{start} {value:?}"));
    }
    all
}

#[test]
fn a_child_that_takes_too_long_is_killed() {
    let mut command = Command::new("sleep");
    command.arg("600");
    let child = Running::spawn(command);
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| child.wait(Duration::from_millis(50))));
    assert!(waited.is_err());
}
