//! The built binary beside the fake of a tool and a local collector, and what its runs cost.
//!
//! [`Installation::compare`] is the measurement: the product and the floor ([`crate::floor`]) in turns.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use contextcore_fakes::Request;
use contextcore_fakes::github::{Github, GithubHandle};
use contextcore_fakes::jira::{Jira, JiraHandle};
use contextcore_fakes::linear::{Linear, LinearHandle};
use contextcore_fakes::otlp::{Collector, Handle, Options, Signal};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::Value;

use crate::floor::{self, Plan};

/// [`crate::worlds::NOW`].
const NOW_TEXT: &str = "2026-11-18T12:26:40Z";
/// How often product and floor take turns where a run is short.
pub(crate) const TURNS: usize = 5;
const TOKEN_VARIABLE: &str = "BENCH_TOKEN";

/// The fake of a tool, as far as all are alike.
pub(crate) trait Tool {
    const TOKEN: &str;
    fn address(&self) -> SocketAddr;
    fn take_requests(&self) -> Vec<Request>;
    /// The inside of its source in the configuration, where `TOKEN` stands for the token.
    fn source(&self) -> String;
    /// What was charged so far in the tool's own points; not a number where it has none.
    fn points(&self) -> f64;
}

/// The three handles have the same methods, and no trait.
macro_rules! tool {
    ($handle:ident, $token:expr, $source:literal, $points:expr) => {
        impl Tool for $handle {
            const TOKEN: &str = $token;

            fn address(&self) -> SocketAddr {
                self.address()
            }

            fn take_requests(&self) -> Vec<Request> {
                self.take_requests()
            }

            fn source(&self) -> String {
                format!($source, self.url())
            }

            fn points(&self) -> f64 {
                $points(self)
            }
        }
    };
}
tool!(
    JiraHandle,
    Jira::TOKEN,
    "kind: jira, url: '{}', auth: {{email: bot@example.com, token: TOKEN}}, projects: [LOAD]",
    |_: &Self| f64::NAN
);
tool!(
    GithubHandle,
    Github::TOKEN,
    "kind: github, url: '{}', auth: {{token: TOKEN}}, projects: [acme/1]",
    |github: &Self| github.points_spent() as f64
);
tool!(LinearHandle, Linear::KEY, "kind: linear, url: '{}', auth: {{token: TOKEN}}", Self::charged);

/// What a process used, start-up included.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
}

impl Used {
    fn over(self, floor: Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds / floor.cpu_seconds, wall_seconds: self.wall_seconds / floor.wall_seconds }
    }
}

/// What one run of the product did.
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) used: Used,
    pub(crate) requests: Vec<Request>,
    messages: Vec<(Signal, Bytes)>,
}

impl Run {
    /// A number of the JSON that it printed; not a number when it is missing, which no budget holds.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let report: Value = serde_json::from_str(&self.out).expect("a report as JSON");
        report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    pub(crate) fn peak_megabytes(&self) -> f64 {
        self.number("/process/peak_memory_bytes") / (1024.0 * 1024.0)
    }
}

/// The product against the floor.
pub(crate) struct Comparison {
    /// The product's first run.
    pub(crate) run: Run,
    /// Of each turn, what the product and the floor used.
    turns: Vec<(Used, Used)>,
}

impl Comparison {
    fn new(turns: Vec<(Run, Used)>) -> Self {
        let used = turns.iter().map(|(run, floor)| (run.used, *floor)).collect();
        Self { run: turns.into_iter().next().expect("a turn").0, turns: used }
    }

    /// The product's CPU over the floor's: the median of the turns.
    ///
    /// The two runs of a turn follow each other at once, so whatever else the machine does is in both, and cancels out.
    pub(crate) fn cpu(&self) -> f64 {
        self.median(|(product, floor)| product.over(*floor).cpu_seconds)
    }

    /// The same of seconds on the clock.
    pub(crate) fn wall(&self) -> f64 {
        self.median(|(product, floor)| product.over(*floor).wall_seconds)
    }

    /// The absolute numbers, for people; they say as much about the machine as about the product.
    pub(crate) fn print(&self, what: &str) {
        let product = self.median(|(product, _)| product.cpu_seconds);
        let floor = self.median(|(_, floor)| floor.cpu_seconds);
        let (wall, floor_wall) = (self.median(|turn| turn.0.wall_seconds), self.median(|turn| turn.1.wall_seconds));
        let requests = self.run.requests.len();
        println!(
            "({what}, {requests} requests: {product:.3} s of CPU in {wall:.2} s, the floor {floor:.3} s in {floor_wall:.2} s)"
        );
    }

    fn median(&self, of: impl Fn(&(Used, Used)) -> f64) -> f64 {
        let mut all: Vec<f64> = self.turns.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        if all.len() % 2 == 1 { all[middle] } else { f64::midpoint(all[middle - 1], all[middle]) }
    }
}

/// A configuration of the binary with its store, a tool and a collector.
pub(crate) struct Installation<T> {
    dir: tempfile::TempDir,
    pub(crate) tool: T,
    collector: Handle,
}

impl<T: Tool> Installation<T> {
    pub(crate) async fn beside(tool: T) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = Options { keep: false, record: true, ..Default::default() };
        let collector = Collector::start(options).await.expect("a collector");
        let new = Self { dir, tool, collector };
        let config = format!(
            "store: {{path: {}}}\nexport: {{otlp: {{endpoint: '{}'}}}}\nsources:\n  - {{name: bench, {}}}\n",
            new.store().display(),
            new.collector.grpc_url(),
            new.tool.source().replace("TOKEN", &format!("{{env: {TOKEN_VARIABLE}}}")),
        );
        std::fs::write(new.config(), config).expect("a configuration");
        new
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("contextcore.yaml")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn plan(&self) -> PathBuf {
        self.dir.path().join("floor")
    }

    /// Forgets what was synced, so that the next sync is a first one.
    pub(crate) fn forget(&self) {
        if self.store().exists() {
            std::fs::remove_dir_all(self.store()).expect("an unused store");
        }
    }

    /// Keeps the store as it is, for [`Installation::restore`].
    pub(crate) fn keep(&self) {
        copy(&self.store(), &self.kept()).expect("a copy of the store");
    }

    /// Puts the store back to what was kept.
    pub(crate) fn restore(&self) {
        self.forget();
        copy(&self.kept(), &self.store()).expect("the store's copy");
    }

    fn kept(&self) -> PathBuf {
        self.dir.path().join("kept")
    }

    /// Runs the binary to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        self.forget_requests();
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.args(arguments).arg("--config").arg(self.config());
        command.env(TOKEN_VARIABLE, T::TOKEN).env("CONTEXTCORE_NOW", NOW_TEXT);
        let (out, used) = finish(command).await;
        Run { out, used, requests: self.tool.take_requests(), messages: self.collector.take_messages() }
    }

    pub(crate) async fn sync(&self) -> Run {
        self.run(&["sync", "--output", "json"]).await
    }

    /// Runs the product and the floor of that run in turns; `prepare` comes before each run of the product.
    pub(crate) async fn compare(&self, turns: usize, arguments: &[&str], prepare: impl Fn(&Self)) -> Comparison {
        let mut all = Vec::with_capacity(turns);
        for _ in 0..turns {
            prepare(self);
            let run = self.run(arguments).await;
            let floor = self.floor(&run).await;
            all.push((run, floor));
        }
        Comparison::new(all)
    }

    /// The same against the last floor of another installation.
    pub(crate) async fn compare_with<O: Tool>(
        &self,
        other: &Installation<O>,
        arguments: &[&str],
        prepare: impl Fn(&Self),
    ) -> Comparison {
        let mut all = Vec::with_capacity(TURNS);
        for _ in 0..TURNS {
            prepare(self);
            let run = self.run(arguments).await;
            all.push((run, other.floor_again().await));
        }
        Comparison::new(all)
    }

    /// Does what `run` did, without what the product is for.
    async fn floor(&self, run: &Run) -> Used {
        let tool = format!("http://{}", self.tool.address());
        let plan = Plan::new(tool, self.collector.grpc_url(), &run.requests);
        plan.write(&self.plan(), &run.messages).expect("the floor's plan");
        let used = self.floor_again().await;
        let (requests, messages) = (self.tool.take_requests(), self.collector.take_messages());
        let essence = |requests: &[Request]| -> Vec<_> {
            requests.iter().map(|one| (one.target.clone(), one.body.clone(), one.status)).collect()
        };
        assert_eq!(essence(&requests), essence(&run.requests), "the floor asked for something else");
        assert!(messages == run.messages, "the floor sent something else");
        used
    }

    /// The floor of the last comparison once more.
    pub(crate) async fn floor_again(&self) -> Used {
        self.forget_requests();
        let mut command = Command::new(std::env::current_exe().expect("the bench's own path"));
        command.arg(floor::ARGUMENT).arg(self.plan());
        finish(command).await.1
    }

    fn forget_requests(&self) {
        drop((self.tool.take_requests(), self.collector.take_messages()));
    }

    /// The bytes of the store's files.
    pub(crate) fn store_bytes(&self) -> u64 {
        size(&self.store())
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to)? } else { std::fs::copy(entry.path(), to).map(drop)? }
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.path() {
        path if path.is_dir() => size(&path),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// Runs a process to its end; gives its stdout and what it used.
async fn finish(mut command: Command) -> (String, Used) {
    // The fakes live in this process: the child must not hold up their threads.
    let work = tokio::task::spawn_blocking(move || {
        let (clock, before) = (Instant::now(), children());
        let output = command.output().expect("the process");
        let used = Used { wall_seconds: clock.elapsed().as_secs_f64(), cpu_seconds: children() - before };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8_lossy(&output.stdout).into_owned(), used)
    });
    work.await.expect("the process's run")
}

/// The CPU time, in seconds, of all processes that this one has waited for: good to a microsecond, where `/proc` gives
/// hundredths of a second, a tenth of what the floor takes. One child runs at a time, so a difference is what it used.
fn children() -> f64 {
    let used: Usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what the children used");
    (used.user_time() + used.system_time()).num_microseconds() as f64 / 1e6
}
