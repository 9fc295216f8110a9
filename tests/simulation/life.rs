//! One simulated life: the real engine, connectors and store between a tool that people work in and a backend, while faults of
//! every kind happen, drawn from a seed.
//!
//! After each step the backend holds nothing twice with different content, and at least what was acknowledged. At the end
//! every fault is mended, and the installation must know and have exported exactly what a new one does that never saw a fault.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use contextcore_connectors::{ALL, kinds};
use contextcore_core::config::{self, Config};
use contextcore_core::engine::Engine;
use contextcore_core::export::{Present, export_counters};
use contextcore_core::ingest::sync::Options;
use contextcore_core::model::signal::Signal;
use contextcore_core::progress::Quiet;
use contextcore_core::query::{TaskFilter, Viewer};
use contextcore_core::store::Store;
use contextcore_core::{Error, clock, simulated};
use contextcore_fakes::faults::{Fault, Faults, Reset, When};
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::otlp::{self, Collector};
use contextcore_fakes::world::{GithubDemo, World};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::disk::{Death, Disk, Process};
use crate::machine::Machine;
use crate::network::{Answer, Network};
use crate::outcome::Outcome;

/// 2026-11-18, when nothing special is going on with any clock.
const NOW: i64 = 1_795_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Lives through the life of this seed; fails when anything was lost or doubled.
pub(crate) fn live(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let began = std::time::Instant::now();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(Life::lived(seed))));
    say(|| format!("seed {seed}: {:?}", began.elapsed()));
    if let Err(panic) = lived {
        eprintln!("the life of seed {seed} failed");
        std::panic::resume_unwind(panic);
    }
}

/// Prints what happens, with `CONTEXTCORE_SIMULATION_VERBOSE` set.
fn say(text: impl FnOnce() -> String) {
    if std::env::var_os("CONTEXTCORE_SIMULATION_VERBOSE").is_some() {
        eprintln!("{}", text());
    }
}

/// What is read: a tool of one of the three vendors, or the spools of a machine.
enum Tool {
    Jira(JiraHandle, jira::Edition),
    Github(GithubHandle),
    Linear(LinearHandle),
    Sdk(Box<Machine>),
}

impl Tool {
    /// A tool, by turns of every vendor; each tenth is a machine.
    async fn start(seed: u64, network: &Network) -> Self {
        if seed % 10 == 5 {
            return Self::Sdk(Box::new(Machine::new(seed)));
        }
        let clock = network.clock();
        let world = || World::history(NOW, 14, 5, 7, 20, seed);
        match seed % 3 {
            0 => {
                let edition =
                    if seed.is_multiple_of(2) { jira::Options::cloud() } else { jira::Options::data_center() };
                let options = jira::Options { clock, max_search_page: 5, ..edition };
                let edition = options.edition;
                Self::Jira(Jira::start(world(), options).await.unwrap(), edition)
            }
            1 => {
                let options = github::Options { clock, ..github::Options::dot_com() };
                Self::Github(Github::start(GithubDemo::new(NOW, 1, seed).build(), options).await.unwrap())
            }
            _ => {
                let options = linear::Options { clock, ..linear::Options::default() };
                Self::Linear(Linear::start(world(), options).await.unwrap())
            }
        }
    }

    fn url(&self) -> &str {
        match self {
            Self::Jira(tool, _) => tool.url(),
            Self::Github(tool) => tool.url(),
            Self::Linear(tool) => tool.url(),
            Self::Sdk(_) => "",
        }
    }

    fn faults(&self) -> &Faults {
        match self {
            Self::Jira(tool, _) => tool.faults(),
            Self::Github(tool) => tool.faults(),
            Self::Linear(tool) => tool.faults(),
            Self::Sdk(machine) => &machine.faults,
        }
    }

    /// The source of the installation of this number: no two read one spool.
    fn source(&self, token: &Path, number: usize) -> String {
        let (url, token) = (self.url(), token.display());
        match self {
            Self::Jira(_, jira::Edition::Cloud) => format!(
                "{{name: acme, kind: jira, url: '{url}', auth: {{email: {}, token: {{file: '{token}'}}}}}}",
                Jira::EMAIL
            ),
            Self::Jira(..) => format!("{{name: acme, kind: jira, url: '{url}', auth: {{token: {{file: '{token}'}}}}}}"),
            Self::Github(_) => {
                format!(
                    "{{name: acme, kind: github, url: '{url}', auth: {{token: {{file: '{token}'}}}}, projects: [acme/1]}}"
                )
            }
            Self::Linear(_) => {
                format!("{{name: acme, kind: linear, url: '{url}', auth: {{token: {{file: '{token}'}}}}}}")
            }
            Self::Sdk(machine) => machine.source(number),
        }
    }

    fn answer(&self, request: http::Request<bytes::Bytes>) -> Answer {
        match self {
            Self::Jira(tool, _) => Box::pin(tool.answer(request)),
            Self::Github(tool) => Box::pin(tool.answer(request)),
            Self::Linear(tool) => Box::pin(tool.answer(request)),
            Self::Sdk(_) => unreachable!("nothing is asked of a spool"),
        }
    }

    fn secret(&self) -> &'static str {
        match self {
            Self::Jira(..) => Jira::TOKEN,
            Self::Github(_) => Github::TOKEN,
            Self::Linear(_) => Linear::KEY,
            Self::Sdk(_) => "",
        }
    }

    /// Lets people work. Of the vendors only Jira keeps a history of everything, so only there is the past the same for who saw
    /// it and who did not.
    fn work(&self, changes: usize) {
        match self {
            Self::Jira(jira, _) => {
                for _ in 0..changes {
                    let now = clock::now().0;
                    jira.world().tick(now);
                }
            }
            Self::Sdk(machine) => machine.work(changes),
            Self::Github(_) | Self::Linear(_) => {}
        }
    }
}

/// An installation: its disk, its backend and, while it runs, its process.
struct Installation {
    disk: Arc<Disk>,
    collector: Rc<otlp::Handle>,
    config: Config,
    running: Option<(Arc<Engine>, Arc<Process>)>,
    /// How far each signal was exported when it was last looked at.
    exported: [u64; 3],
}

impl Installation {
    async fn new(tool: &Tool, network: &Network, directory: &Path, number: usize) -> Self {
        let collector = Rc::new(Collector::start(otlp::Options::default()).await.unwrap());
        let (url, token) = (collector.http_url(), directory.join("token"));
        std::fs::write(&token, tool.secret()).unwrap();
        let text = format!(
            "export:\n  history: all\n  metrics: {{history_step: 240h}}\n  give_up: 30s\n  \
             otlp: {{endpoint: '{url}', protocol: http/protobuf}}\nsources:\n  - {}\n",
            tool.source(&token, number)
        );
        let config = config::parse(&text, "simulation.yaml", &kinds()).unwrap();
        let answering = Rc::clone(&collector);
        network.add(&url, move |request| Box::pin(answering.answer(request)));
        Self { disk: Arc::default(), collector, config, running: None, exported: [0; 3] }
    }

    /// The process that runs now; a new one after a death. None when the disk does not even let it start.
    fn process(&mut self, network: &Network) -> Option<(Arc<Engine>, Arc<Process>)> {
        if let Some((engine, process)) = self.running.as_ref().filter(|(_, process)| !process.is_dead()) {
            return Some((Arc::clone(engine), Arc::clone(process)));
        }
        // With a process its locks end.
        self.running = None;
        let process = self.disk.process();
        let store = Store::over(Arc::clone(&process) as _).ok()?;
        let engine = Arc::new(Engine::new(self.config.clone(), store, Box::new(Quiet), ALL));
        network.used_by(&process);
        self.running = Some((Arc::clone(&engine), Arc::clone(&process)));
        Some((engine, process))
    }

    /// One sync as the command does it, unless the process dies. Returns the errors.
    async fn sync(&mut self, network: &Network, full: bool, death: Option<Death>) -> Vec<String> {
        let Some((engine, process)) = self.process(network) else { return vec!["it does not start".to_owned()] };
        process.dies(death);
        let work = async {
            let options = Options { full, ..Options::default() };
            let config = engine.config();
            let reports = engine.sync(&config.sources, options).await;
            let destinations = engine.sinks().unwrap();
            let sent = engine.replayer(&config, &destinations, false).drain(clock::now(), Present::ALL).await;
            let of_sources = reports.iter().filter_map(|report| report.error.as_ref());
            of_sources.chain(sent.errors.iter().map(|(_, error)| error)).map(Error::full).collect()
        };
        let ended: Vec<String> = tokio::select! {
            biased;
            () = process.dying.cancelled() => vec!["it died".to_owned()],
            ended = work => ended,
        };
        process.dies(None);
        ended
    }

    /// What must hold at any moment.
    fn check(&mut self, network: &Network) {
        let Some((engine, _)) = self.process(network) else { return };
        let store = &engine.store;
        for signal in Signal::ALL {
            let done = store.position(signal, "acme").unwrap().done;
            let before = std::mem::replace(&mut self.exported[signal as usize], done);
            assert!(before <= done, "the position of {signal} went back from {before} to {done}");
            assert!(done <= store.sealed("acme").unwrap(), "{signal} was exported beyond the seal");
        }
        let dead = store.dead_letters().unwrap();
        assert!(dead.is_empty(), "no backend names an item as bad here: {dead:?}");
        let status = store.source_status("acme").unwrap();
        assert!(status.listed.is_none_or(|listed| listed.missing == 0), "{:?}", status.listed);
        // What is sent again after a write that failed counts twice on both sides. The end of the life looks at what it was.
        let received = self.collector.counts();
        for (signal, received) in Signal::ALL.into_iter().zip([received.spans, received.logs, received.points]) {
            let claimed = export_counters(store, signal).unwrap().sent;
            assert!(claimed <= received, "{claimed} {signal} are said to be exported, the backend has {received}");
        }
    }

    fn tasks(&self) -> Vec<serde_json::Value> {
        let (engine, _) = self.running.as_ref().unwrap();
        let tasks = Viewer::new(&engine.store, &self.config, clock::now()).tasks(&TaskFilter::default()).unwrap();
        tasks.iter().map(|task| serde_json::to_value(task).unwrap()).collect()
    }

    fn outcome(&self, tool: &Tool) -> Outcome {
        Outcome::of(&self.tasks(), &self.collector, tool.url())
    }

    fn backlog(&self) -> u64 {
        let (engine, _) = self.running.as_ref().unwrap();
        Signal::ALL.iter().map(|signal| engine.store.backlog(*signal, "acme").unwrap()).sum()
    }
}

struct Life {
    chance: StdRng,
    network: Rc<Network>,
    tool: Rc<Tool>,
    installation: Installation,
    directory: tempfile::TempDir,
}

impl Life {
    async fn lived(seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::new(NOW, seed);
        let tool = Rc::new(Tool::start(seed, &network).await);
        serve(&network, &tool);
        let _entered = simulated::enter(Rc::clone(&network) as _);
        let installation = Installation::new(&tool, &network, directory.path(), 0).await;
        if let Tool::Sdk(machine) = &*tool {
            machine.work(8);
        }
        let mut life = Self { chance: StdRng::seed_from_u64(seed), network, tool, installation, directory };
        for _ in 0..life.chance.random_range(2..7) {
            life.step().await;
        }
        life.end().await;
    }

    /// Some time passes, people work, something breaks, and a sync runs into it.
    async fn step(&mut self) {
        tokio::time::sleep(MINUTE * self.chance.random_range(1..900)).await;
        self.tool.work(self.chance.random_range(0..6));
        let broken = self.break_something();
        let death = self.chance.random_bool(0.5).then(|| self.death());
        let full = self.chance.random_bool(0.1);
        let errors = self.installation.sync(&self.network, full, death).await;
        say(|| format!("{broken}, full: {full}, {death:?}: {errors:?}"));
        self.mend();
        self.installation.check(&self.network);
    }

    fn death(&mut self) -> Death {
        match self.chance.random_range(0..3) {
            0 => Death::BeforeWrite(self.chance.random_range(1..30)),
            1 => Death::AfterWrite(self.chance.random_range(1..30)),
            _ => Death::Request(self.chance.random_range(1..40)),
        }
    }

    /// Breaks none, some or all of the tool, the backend and the disk. Says what.
    fn break_something(&mut self) -> String {
        let mut broken = String::new();
        if self.chance.random_bool(0.5) {
            let (when, fault) = (self.when(), self.tool_fault());
            broken += &format!("tool: {fault:?} {when:?}; ");
            self.tool.faults().on("*", when, fault);
        }
        if self.chance.random_bool(0.5) {
            for _ in 0..self.chance.random_range(1..6) {
                let fault = self.backend_fault();
                broken += &format!("backend: {fault:?}; ");
                self.installation.collector.script([fault]);
            }
        }
        if self.chance.random_bool(0.2) {
            let writes = self.chance.random_range(1..10);
            broken += &format!("disk full for {writes} writes; ");
            self.installation.disk.fill(writes);
        }
        broken
    }

    fn mend(&mut self) {
        self.tool.faults().clear();
        self.installation.disk.fill(0);
    }

    fn when(&mut self) -> When {
        match self.chance.random_range(0..4) {
            0 => When::Nth(self.chance.random_range(1..15)),
            1 => When::Every(self.chance.random_range(2..6)),
            2 => When::From(self.chance.random_range(2..15)),
            _ => When::Range(3..=self.chance.random_range(4..12)),
        }
    }

    fn tool_fault(&mut self) -> Fault {
        let seconds = Some(self.chance.random_range(0..900));
        let bytes = self.chance.random_range(0..2_000);
        let chunked = self.chance.random_bool(0.5);
        let status = |code| Fault::Status { code, headers: Vec::new(), body: String::new() };
        let faults = [
            Fault::RateLimited { retry_after: seconds, reset: Reset::None, reason: None },
            status(500),
            status(503),
            // Not entries of their own: kept seeds draw what they drew.
            status(if chunked { 401 } else { 403 }),
            status(if chunked { 502 } else { 403 }),
            Fault::Html(502),
            Fault::Html(200),
            Fault::Reset,
            Fault::Truncate { bytes, chunked },
            Fault::NotJson,
            Fault::RepeatToken,
            Fault::AnonymousEmpty,
            Fault::Delay(MINUTE),
        ];
        faults.choose(&mut self.chance).unwrap().clone()
    }

    fn backend_fault(&mut self) -> otlp::Fault {
        let pause = Duration::from_millis(self.chance.random_range(1..8_000));
        let faults = [
            otlp::Fault::unavailable(None),
            otlp::Fault::unavailable(Some(pause)),
            otlp::Fault::rate_limited(Some(pause)),
            otlp::Fault::server_error("upstream failed"),
            otlp::Fault::unauthenticated(),
            otlp::Fault::StoreThenDrop,
            otlp::Fault::Drop,
            otlp::Fault::Slow(pause),
            otlp::Fault::Late(pause),
        ];
        faults.choose(&mut self.chance).unwrap().clone()
    }

    /// Everything is mended: after some syncs the installation is as one that saw no fault.
    async fn end(mut self) {
        for round in 1.. {
            tokio::time::sleep(MINUTE * 16).await;
            let errors = self.installation.sync(&self.network, false, None).await;
            if errors.is_empty() && self.installation.backlog() == 0 {
                break;
            }
            assert!(round < 12, "it does not recover: {errors:?}, {} in the journal", self.installation.backlog());
        }
        self.installation.check(&self.network);
        if let Tool::Sdk(machine) = &*self.tool {
            machine.assert_exported(&self.installation.tasks(), &self.installation.collector);
        }
        let mut untouched = Installation::new(&self.tool, &self.network, self.directory.path(), 1).await;
        assert_eq!(untouched.sync(&self.network, false, None).await, [""; 0], "a new installation works");
        let (mut ours, mut theirs) = (self.installation.outcome(&self.tool), untouched.outcome(&self.tool));
        // Which moments have a value depends on when it ran, but not which value.
        ours.values.retain(|moment, _| theirs.values.contains_key(moment));
        theirs.values.retain(|moment, _| ours.values.contains_key(moment));
        ours.assert_same(&theirs);
    }
}

/// Lets the network reach the tool.
fn serve(network: &Network, tool: &Rc<Tool>) {
    let tool = Rc::clone(tool);
    let url = tool.url().to_owned();
    if url.is_empty() {
        return;
    }
    network.add(&url, move |request| tool.answer(request));
}
