//! Three replicas and twelve sources of every kind, through everything that may happen at once: kills, pauses longer than a lease, cut
//! connections, a database that stops and starts again, tools and backends that fail. Nothing is lost or doubled, nobody writes with a lease
//! that another has taken over, and what is known and exported in the end is what one process with a directory knows and exports.
//!
//! It is small in every run. These make it as long as wanted, with `CONTEXTCORE_SEED` for another course of events:
//!
//! ```sh
//! CONTEXTCORE_KILLS=200 CONTEXTCORE_PAUSES=50 CONTEXTCORE_CUTS=50 CONTEXTCORE_RESTARTS=20 \
//!     cargo test --test binary misfortunes -- --nocapture
//! ```

use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, Faults, When};
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::{Jira, Options};
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::{Foreign, GithubDemo, World};
use contextcore_postgres::{Postgres, Proxy};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::database::{LONG, PATIENCE, move_in};
use crate::rig::{Installation, NOW, Outcome, Service, Setup, Tool};
use crate::shares::{
    EACH, Replica, TOKEN, assert_one_writer, is_exported, is_read, replica, report, until, watch, without_backend,
};

/// How many sources there are.
const SOURCES: usize = 12;
/// Answers of the tools take this long, so that a first sync has a beginning, a middle and an end.
const LATENCY: Duration = Duration::from_millis(15);
const TTL: &str = "lease_ttl: 3s";
/// Longer than that.
const LONGER: Duration = Duration::from_millis(3_500);
/// What is reported during each life.
const REPORTS: u64 = 8;
/// What happens at most while everything is read, and again while everything is exported.
const AT_ONCE: usize = 7;
/// More than this is the long run, in which some lives go on side by side.
const USUAL: usize = 20;
const SIDE_BY_SIDE: usize = 3;

/// How much of each kind happens.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    kills: usize,
    pauses: usize,
    cuts: usize,
    restarts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Kill,
    /// For longer than the lease.
    Pause,
    /// Of all connections, or of one between a commit and its answer.
    Cut,
    /// Of the database, as after a crash.
    Restart,
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var_os(name).map_or(usual, |value| value.to_string_lossy().parse().unwrap())
}

impl Events {
    fn wanted() -> Self {
        Self {
            kills: number("CONTEXTCORE_KILLS", 5),
            pauses: number("CONTEXTCORE_PAUSES", 2),
            cuts: number("CONTEXTCORE_CUTS", 3),
            restarts: number("CONTEXTCORE_RESTARTS", 1),
        }
    }

    fn all(self) -> usize {
        self.kills + self.pauses + self.cuts + self.restarts
    }

    /// Splits them among so many.
    fn share(self, of: usize) -> Self {
        Self {
            kills: self.kills.div_ceil(of),
            pauses: self.pauses.div_ceil(of),
            cuts: self.cuts.div_ceil(of),
            restarts: self.restarts.div_ceil(of),
        }
    }

    /// Takes one of those that are left.
    fn take(&mut self, chance: &mut StdRng) -> Option<Event> {
        let left = [
            (Event::Kill, &mut self.kills),
            (Event::Pause, &mut self.pauses),
            (Event::Cut, &mut self.cuts),
            (Event::Restart, &mut self.restarts),
        ];
        let all: Vec<Event> = left.iter().flat_map(|(event, number)| std::iter::repeat_n(*event, **number)).collect();
        let event = *all.choose(chance)?;
        left.into_iter().filter(|(kind, _)| *kind == event).for_each(|(_, number)| *number -= 1);
        Some(event)
    }
}

/// The tools of all kinds, and what they have.
struct Tools {
    jira: Tool,
    second: Tool,
    github: GithubHandle,
    linear: LinearHandle,
}

/// The sample world with other names of its projects.
fn renamed(seed: u64, names: [&str; 3]) -> World {
    let mut world = World::demo(NOW, 1, seed);
    for (key, name) in ["SHOP", "OPS", "PLAT"].into_iter().zip(names) {
        world.rename_project(key, name, name);
    }
    world
}

impl Tools {
    /// Commits and pull requests of GitHub name tasks of Jira.
    async fn start() -> Self {
        let clock = || Clock::fixed(NOW);
        let slow = || Options { latency: LATENCY, max_search_page: 20, ..Options::cloud() };
        let world = World::demo(NOW, 2, 7);
        let github = GithubDemo::new(NOW, 2, 7).with_foreign(Foreign::of(&world, NOW, 4)).build();
        let options = github::Options { clock: clock(), latency: LATENCY, ..github::Options::dot_com() };
        // A clock that stands still refills no quota.
        let usual = linear::Options::default();
        let points = 100.0 * usual.points;
        let linear = linear::Options { clock: clock(), latency: LATENCY, points, ..usual };
        Self {
            jira: Tool::start(world, slow()).await,
            second: Tool::start(renamed(9, ["PAY", "NET", "LAB"]), slow()).await,
            github: Github::start(github, options).await.unwrap(),
            linear: Linear::start(renamed(8, ["APP", "WWW", "DOC"]), linear).await.unwrap(),
        }
    }

    /// An installation with all sources.
    async fn home(&self) -> Installation {
        let projects = "projects:
  - {id: commerce, include: [{source: acme-jira, project: SHOP}]}
  - {id: payments, include: [{source: pay-jira, project: PAY}, {source: apps, project: APP}]}
";
        let source = format!("projects: [SHOP]\n    {EACH}");
        let setup = Setup { rest: projects, source: &source, export: "give_up: 1s", ..Setup::default() };
        let mut home = self.jira.home_with(&setup).await;
        for (name, secret) in [("GITHUB", Github::TOKEN), ("LINEAR", Linear::KEY), ("OPS", TOKEN)] {
            home.variables.push((name.to_owned(), secret.to_owned()));
        }
        home.write(&(home.config_text() + &self.sources(&home)));
        home
    }

    fn sources(&self, home: &Installation) -> String {
        let (jira, second, github, linear) =
            (self.jira.jira.url(), self.second.jira.url(), self.github.url(), self.linear.url());
        let atlassian = |name: &str, url: &str, project: &str| {
            let auth = format!("{{email: {}, token: {{env: JIRA_TOKEN}}}}", Jira::EMAIL);
            format!("{{name: {name}, kind: jira, url: '{url}', auth: {auth}, projects: [{project}], {EACH}}}")
        };
        let code = |name: &str| {
            let auth = "auth: {token: {env: GITHUB}}";
            format!("{{name: {name}, kind: github, url: '{github}', {auth}, repositories: [acme/{name}], {EACH}}}")
        };
        let team = |name: &str, project: &str| {
            let auth = "auth: {token: {env: LINEAR}}";
            format!("{{name: {name}, kind: linear, url: '{linear}', {auth}, projects: [{project}], {EACH}}}")
        };
        let all = [
            atlassian("ops-jira", jira, "OPS"),
            atlassian("plat-jira", jira, "PLAT"),
            atlassian("pay-jira", second, "PAY"),
            atlassian("net-jira", second, "NET"),
            code("web"),
            code("api"),
            team("apps", "APP"),
            team("pages", "WWW"),
            lines(home, "ENG"),
            lines(home, "LEGAL"),
            format!("{{name: agents, kind: sdk, path: state, {EACH}}}"),
        ];
        assert_eq!(all.len() + 1, SOURCES);
        let all: String = all.iter().map(|source| format!("  - {source}\n")).collect();
        all + "ops: {tokens: [{name: ci, token: {env: OPS}, projects: ['*']}]}\n"
    }

    /// What one process with a directory knows and exports, which reads everything before it exports.
    async fn truth(&self) -> Outcome {
        let home = self.home().await;
        let config = without_backend(&home);
        let mut alone = Service::start(&home);
        alone.until("/healthz", "200");
        (1..=REPORTS).for_each(|number| assert!(report(&alone, number)));
        until(&home, "everything is read", is_read);
        drop(alone.stop());
        home.run(&["sync"]);
        home.write(&config);
        home.sync();
        home.outcome()
    }

    fn faults(&self) -> [&Faults; 4] {
        [self.jira.jira.faults(), self.second.jira.faults(), self.github.faults(), self.linear.faults()]
    }

    /// Something goes wrong with one of the next requests of a tool, and sometimes with a batch: each costs a growing pause.
    fn disturb(&self, home: &Installation, chance: &mut StdRng) {
        let faults = [Fault::Reset, Fault::unavailable(Some(1)), Fault::status(500, "{}"), Fault::Html(502)];
        let fault = faults.choose(chance).unwrap().clone();
        self.faults().choose(chance).unwrap().on("*", When::Nth(chance.random_range(1..10)), fault);
        if chance.random_bool(0.5) {
            return;
        }
        let faults = [otlp::Fault::Drop, otlp::Fault::unavailable(None), otlp::Fault::StoreThenDrop];
        let signal = [Signal::Logs, Signal::Metrics, Signal::Traces].choose(chance).copied().unwrap();
        home.collector.script_for(signal, [faults.choose(chance).unwrap().clone()]);
    }
}

/// A source of a file with some tasks of one project.
fn lines(home: &Installation, project: &str) -> String {
    let file = home.path().join(format!("{project}.jsonl"));
    let line = |number: u32| {
        let id = format!("{project}-{number}");
        json!({"id": id, "title": "Work", "status": "todo", "project": project, "created": "2026-11-01T08:00:00Z"})
    };
    std::fs::write(&file, (0..50).map(|number| format!("{}\n", line(number))).collect::<String>()).unwrap();
    format!("{{name: lines-{}, kind: file, path: '{}', {EACH}}}", project.to_lowercase(), file.display())
}

/// Three replicas of one installation, and what befalls them.
struct Life<'a> {
    server: &'a Postgres,
    proxy: &'a Proxy,
    schema: &'a str,
    tools: &'a Tools,
    home: &'a Installation,
    chance: &'a mut StdRng,
    replicas: Vec<Replica>,
    started: usize,
    reported: u64,
    /// The longest time until others had all sources of a replica that was paused.
    longest: Duration,
}

impl Life<'_> {
    fn join(&mut self) -> Replica {
        self.started += 1;
        replica(self.home, &format!("machine-{}", self.started))
    }

    fn start(&mut self) {
        self.replicas = (0..3).map(|_| self.join()).collect();
    }

    fn stop(&mut self) {
        self.replicas.drain(..).for_each(|replica| drop(replica.service.stop()));
    }

    fn befall(&mut self, left: &mut Events) {
        for _ in 0..AT_ONCE {
            let Some(event) = left.take(self.chance) else { return };
            self.tools.disturb(self.home, self.chance);
            self.wake();
            std::thread::sleep(Duration::from_millis(self.chance.random_range(0..700)));
            let at = self.chance.random_range(0..self.replicas.len());
            match event {
                Event::Kill => {
                    self.replicas[at].service.run.kill();
                    self.replicas[at] = self.join();
                }
                Event::Pause => self.pause(at),
                Event::Cut if self.chance.random_bool(0.5) => self.proxy.cut(),
                Event::Cut => self.proxy.cut_before_next_answer(),
                Event::Restart => {
                    self.server.stop();
                    std::thread::sleep(Duration::from_millis(self.chance.random_range(0..4_000)));
                    self.server.restart();
                }
            }
            self.report();
        }
    }

    /// Has every source read again, as webhooks do.
    fn wake(&self) {
        let schema = self.schema;
        let requests = format!(
            "INSERT INTO {schema}.wakes SELECT substring(name FROM 8) FROM {schema}.lease WHERE name LIKE 'source/%'
             ON CONFLICT DO NOTHING"
        );
        assert!(self.server.sql(&requests).is_empty());
    }

    /// For longer than its leases last: others have all sources before it goes on.
    fn pause(&mut self, at: usize) {
        let replica = &self.replicas[at];
        replica.service.run.signal("STOP");
        let begun = Instant::now();
        let is_past = format!(
            "SELECT count(*) = {SOURCES} FROM {}.lease WHERE name LIKE 'source/%' AND expires > clock_timestamp()
             AND owner <> '' AND strpos(owner, '{}') = 0",
            self.schema,
            replica.name()
        );
        let taken = loop {
            if self.server.sql(&is_past) == "t" {
                break begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "nobody takes over what a paused replica had");
            std::thread::sleep(Duration::from_millis(50));
        };
        self.longest = self.longest.max(taken);
        // One that had no source yet is paused for as long.
        std::thread::sleep(LONGER.saturating_sub(taken));
        replica.service.run.signal("CONT");
    }

    /// Reports to any replica until one acknowledges.
    fn report(&mut self) {
        if self.reported == REPORTS {
            return;
        }
        self.reported += 1;
        let begun = Instant::now();
        while !self.replicas.iter().any(|replica| replica.report(self.reported)) {
            assert!(begun.elapsed() < PATIENCE, "nobody takes a report");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn has_every_report(&self) -> bool {
        let tasks = self.home.tasks();
        let is_reported = |task: &&serde_json::Value| task["id"].as_str().is_some_and(|id| id.starts_with("A-"));
        tasks.iter().filter(is_reported).count() as u64 == REPORTS
    }
}

/// Reads everything while no backend is there, and then exports it: so what is exported does not depend on what was read first, and can be
/// compared to the last byte.
fn live(
    server: &Postgres,
    tools: &Tools,
    home: &mut Installation,
    left: &mut Events,
    chance: &mut StdRng,
) -> (Outcome, Duration) {
    let (proxy, schema) = (Proxy::start(server.port(), Duration::ZERO), server.schema("life"));
    move_in(home, &server.url_at(proxy.port()), &schema, TTL);
    let config = without_backend(home);
    let mut life = Life {
        server,
        proxy: &proxy,
        schema: &schema,
        tools,
        home,
        chance,
        replicas: Vec::new(),
        started: 0,
        reported: 0,
        longest: Duration::ZERO,
    };
    life.start();
    watch(server, &schema);
    life.befall(left);
    while life.reported < REPORTS {
        life.report();
    }
    until(home, "everything is read", is_read);
    until(home, "every report is stored", |_| life.has_every_report());
    life.stop();
    home.write(&config);
    life.start();
    life.befall(left);
    until(home, "everything is exported", is_exported);
    life.stop();
    let longest = life.longest;
    assert_one_writer(server, &schema, SOURCES);
    home.run(&["store", "verify"]).expect(0);
    home.write(&home.config_text().replace(TTL, LONG));
    // A fault that was meant for a run before may hit this one.
    let whole = |_| home.spawn(&["sync"]).wait(3 * PATIENCE).code == Some(0);
    assert!((0..5).any(whole), "no sync has everything");
    (home.outcome(), longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_with_twelve_sources_lose_and_repeat_nothing_whatever_happens() {
    if Postgres::shared().is_none() {
        return;
    }
    let (tools, wanted, begun) = (Tools::start().await, Events::wanted(), Instant::now());
    let truth = tools.truth().await;
    let lanes = if wanted.all() > USUAL { SIDE_BY_SIDE } else { 1 };
    let seed = number("CONTEXTCORE_SEED", 0) as u64;
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (tools, truth, runtime, mut left) = (&tools, &truth, &runtime, wanted.share(lanes));
            scope.spawn(move || {
                let server = Postgres::start(&["fsync=off", "max_connections=300"]).unwrap();
                let (mut chance, mut lives) = (StdRng::seed_from_u64(seed + lane as u64), 0);
                while left.all() > 0 {
                    let mut home = runtime.block_on(tools.home());
                    let (outcome, longest) = live(&server, tools, &mut home, &mut left, &mut chance);
                    outcome.assert_same(truth);
                    lives += 1;
                    println!(
                        "lane {lane}: {lives} lives, {left:?} left after {:.0?}, a takeover in at most {longest:.1?}",
                        begun.elapsed()
                    );
                }
            });
        }
    });
    println!("{wanted:?} in {:.0?}", begun.elapsed());
}
