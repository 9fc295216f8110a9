//! Replicas on one database through what happens to the database and to them: a failover to a standby that has everything, and to one
//! that lagged; a recovery to an earlier moment; kills, pauses and cuts at random, with faults of tools and backends. In the end, what
//! is known and exported is what one process with a directory knows and exports.
//!
//! The last test is small in every run. `CONTEXTCORE_KILLS`, `CONTEXTCORE_PAUSES` and `CONTEXTCORE_CUTS` make it as long as wanted:
//!
//! ```sh
//! CONTEXTCORE_KILLS=200 CONTEXTCORE_PAUSES=50 CONTEXTCORE_CUTS=50 cargo test --test binary replicas::at_random -- --nocapture
//! ```

use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, Faults, When};
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::Options;
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::otlp::{self, Signal};
use contextcore_fakes::world::{GithubDemo, World};
use contextcore_postgres::{Postgres, Proxy};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::database::{LONG, PATIENCE, SHORT, lease, move_in, replica};
use crate::rig::{Installation, NOW, Outcome, Service, Setup, Tool, until};

/// Answers of the tools take this long, so that a first sync has a beginning, a middle and an end.
const LATENCY: Duration = Duration::from_millis(15);
const LOST: &str = "the database lost commits that it had confirmed";

async fn slow_tool() -> (Tool, Outcome) {
    let options = Options { latency: LATENCY, max_search_page: 20, ..Options::cloud() };
    let tool = Tool::start(World::demo(NOW, 2, 7), options).await;
    let truth = tool.home().await;
    truth.sync();
    let truth = truth.outcome();
    (tool, truth)
}

/// How many tasks a store has so far; none without a store.
fn tasks(server: &Postgres, schema: &str) -> u64 {
    let kv = format!("{schema}.kv");
    if server.sql(&format!("SELECT to_regclass('{kv}') IS NULL")) == "t" {
        return 0;
    }
    server.sql(&format!("SELECT count(*) FROM {kv} WHERE key >= 't' AND key < 'u'")).parse().unwrap()
}

/// Waits until a process that is not `former` has a lease; returns its name. The database is asked, since there may be many such waits.
fn owner_after(server: &Postgres, schema: &str, former: &str) -> String {
    let owner = format!("SELECT owner FROM {schema}.lease WHERE expires > clock_timestamp() ORDER BY name LIMIT 1");
    let begun = Instant::now();
    loop {
        let found = server.sql(&owner);
        if !found.is_empty() && found != former {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody took over from {former}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks whoever polls for a poll, as a webhook does that reaches a replica which stands by.
fn wake(server: &Postgres, schema: &str) {
    let request = format!("INSERT INTO {schema}.wakes (source) VALUES ('acme-jira') ON CONFLICT DO NOTHING");
    assert!(server.sql(&request).is_empty());
}

/// A primary and a standby, which has every commit that the primary has confirmed: the standby takes over while a first sync goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(primary) = Postgres::start(&[]) else { return };
    let standby = primary.standby("second");
    primary.commit_on("second");
    let (tool, truth) = slow_tool().await;
    let mut home = tool.home().await;
    move_in(&mut home, &primary.url_with(&standby), "failover", SHORT);
    let service = replica(&home);
    until("some tasks are stored", || tasks(&primary, "failover") >= 20);
    primary.stop();
    standby.promote();
    let found = tasks(&standby, "failover");
    assert!(found >= 20, "{found}");
    finish(&home, service, &standby, "failover", truth.tasks.len());
    home.write(&home.config_text().replace(SHORT, LONG));
    let last = home.run(&["sync"]).expect(0);
    assert!(!last.err.contains(LOST), "{}", last.err);
    home.outcome().assert_same(&truth);
    home.run(&["store", "verify"]).expect(0);
}

/// Waits until a service has stored everything, and stops it. Nothing may have been lost.
fn finish(home: &Installation, mut service: Service, server: &Postgres, schema: &str, all: usize) {
    let begun = Instant::now();
    while tasks(server, schema) < all as u64 {
        assert!(begun.elapsed() < PATIENCE && service.run.is_running(), "{:?}", lease(home));
        std::thread::sleep(Duration::from_millis(100));
    }
    let stopped = service.stop();
    assert!(!stopped.err.contains(LOST), "{}", stopped.err);
}

/// Where a test has the database go back to.
enum Earlier {
    Standby(Box<Postgres>),
    Backup(contextcore_postgres::Backup),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_standby_does_not_have_is_said_and_read_again() {
    let Some(primary) = Postgres::start(&[]) else { return };
    let standby = primary.standby("second");
    let url = primary.url_with(&standby);
    goes_back(&primary, &url, || {
        standby.detach();
        Earlier::Standby(Box::new(standby))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_recovery_to_an_earlier_moment_took_away_is_said_and_read_again() {
    let Some(server) = Postgres::start(&[]) else { return };
    goes_back(&server, &server.url(), || Earlier::Backup(server.backup())).await;
}

/// A service works on, and exports, after the moment to which its database goes back.
async fn goes_back(server: &Postgres, url: &str, at_this_moment: impl FnOnce() -> Earlier) {
    const SCHEMA: &str = "back";
    let tool = Tool::sample().await;
    // The clock stands still, so metrics before and after the loss would be two values of one moment.
    let setup = Setup { otlp: "signals: [traces, logs]", ..Setup::default() };
    let (truth, mut home) = (tool.home_with(&setup).await, tool.home_with(&setup).await);
    move_in(&mut home, url, SCHEMA, LONG);
    let mut service = replica(&home);
    service.until("/readyz", "200");
    truth.sync();
    let logs = truth.collector.counts().logs;
    until("the first sync is exported", || home.collector.counts().logs >= logs);
    // A moment at which an export is under way would be one more thing that comes twice.
    until("it is stored that it was", || backlog(&home) == 0);
    let earlier = at_this_moment();
    let some: Vec<_> = tool.jira.world().issues().take(5).map(|issue| issue.id).collect();
    tool.edit(|edit| some.iter().for_each(|id| edit.set_points(*id, Some(13.0))));
    wake(server, SCHEMA);
    truth.sync();
    let logs = truth.collector.counts().logs;
    until("the changes are exported", || home.collector.counts().logs >= logs);
    let now = match &earlier {
        Earlier::Standby(standby) => {
            server.stop();
            standby.promote();
            standby
        }
        Earlier::Backup(_) => server,
    };
    if let Earlier::Backup(backup) = &earlier {
        server.restore(backup);
    }
    wake(now, SCHEMA);
    service.run.wait_for(LOST, PATIENCE);
    until("the service has the lease again", || lease(&home)["owner"].is_string());
    // What it lost it has to read again, and to send again.
    wake(now, SCHEMA);
    let changed = || home.collector.counts().logs > logs;
    until("the changes are exported again", changed);
    service.stop();
    home.sync();
    home.outcome().assert_same(&truth.outcome());
    home.run(&["store", "verify"]).expect(0);
}

/// What one source still has to export of log records.
fn backlog(home: &Installation) -> u64 {
    let status = home.run(&["status", "--output", "json"]).expect(0).json();
    status["sources"][0]["backlog"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum()
}

/// How much of each kind happens.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    kills: usize,
    pauses: usize,
    cuts: usize,
}

impl Events {
    fn wanted() -> Self {
        let number =
            |name: &str, usual| std::env::var_os(name).map_or(usual, |value| value.to_string_lossy().parse().unwrap());
        Self {
            kills: number("CONTEXTCORE_KILLS", 4),
            pauses: number("CONTEXTCORE_PAUSES", 1),
            cuts: number("CONTEXTCORE_CUTS", 2),
        }
    }

    fn all(self) -> usize {
        self.kills + self.pauses + self.cuts
    }

    /// Splits them among so many.
    fn share(self, of: usize) -> Self {
        Self { kills: self.kills.div_ceil(of), pauses: self.pauses.div_ceil(of), cuts: self.cuts.div_ceil(of) }
    }

    /// Takes one of those that are left.
    fn take(&mut self, chance: &mut StdRng) -> Option<Event> {
        let left = [(Event::Kill, self.kills), (Event::Pause, self.pauses), (Event::Cut, self.cuts)];
        let all: Vec<Event> = left.iter().flat_map(|(event, number)| std::iter::repeat_n(*event, *number)).collect();
        let event = *all.choose(chance)?;
        match event {
            Event::Kill => self.kills -= 1,
            Event::Pause => self.pauses -= 1,
            Event::Cut => self.cuts -= 1,
        }
        Some(event)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Kill,
    /// For longer than the lease.
    Pause,
    Cut,
}

/// The tools of all kinds, and what they have.
struct Tools {
    jira: Tool,
    github: GithubHandle,
    linear: LinearHandle,
}

impl Tools {
    async fn start() -> Self {
        let options = Options { latency: LATENCY, max_search_page: 20, ..Options::cloud() };
        let jira = Tool::start(World::demo(NOW, 2, 7), options).await;
        let options = github::Options { clock: Clock::fixed(NOW), latency: LATENCY, ..github::Options::dot_com() };
        let github = Github::start(GithubDemo::new(NOW, 1, 7).build(), options).await.unwrap();
        // A clock that stands still refills no quota. Its keys are not those of Jira.
        let usual = linear::Options::default();
        let points = 100.0 * usual.points;
        let options = linear::Options { clock: Clock::fixed(NOW), latency: LATENCY, points, ..usual };
        let linear = Linear::start(World::history(NOW, 60, 6, 20, 30, 1), options).await.unwrap();
        Self { jira, github, linear }
    }

    /// An installation with all of them, and Jira twice.
    async fn home(&self) -> Installation {
        let mut home = self.jira.home().await;
        let jira = self.jira.jira.url();
        let email = contextcore_fakes::jira::Jira::EMAIL;
        home.write(&format!(
            "{}    projects: [SHOP]
  - {{name: more-jira, kind: jira, url: '{jira}', auth: {{email: {email}, token: {{env: JIRA_TOKEN}}}}, projects: [PLAT]}}
  - {{name: acme-github, kind: github, url: '{}', auth: {{token: {{env: GITHUB_TOKEN}}}}, projects: [acme/1]}}
  - {{name: acme-linear, kind: linear, url: '{}', auth: {{token: {{env: LINEAR_API_KEY}}}}}}
",
            home.config_text(),
            self.github.url(),
            self.linear.url(),
        ));
        for (name, value) in [("GITHUB_TOKEN", Github::TOKEN), ("LINEAR_API_KEY", Linear::KEY)] {
            home.variables.push((name.to_owned(), value.to_owned()));
        }
        home
    }

    fn faults(&self) -> [&Faults; 3] {
        [self.jira.jira.faults(), self.github.faults(), self.linear.faults()]
    }

    /// Something goes wrong with one of the next requests of a tool, and sometimes with a batch: each costs a growing pause.
    fn disturb(&self, home: &Installation, chance: &mut StdRng) {
        let faults = [Fault::Reset, Fault::unavailable(Some(1)), Fault::status(500, "{}"), Fault::Html(502)];
        let fault = faults.choose(chance).unwrap().clone();
        self.faults().choose(chance).unwrap().on("*", When::Nth(chance.random_range(1..10)), fault);
        if chance.random_bool(0.7) {
            return;
        }
        let faults = [otlp::Fault::Drop, otlp::Fault::unavailable(None), otlp::Fault::StoreThenDrop];
        let signal = [Signal::Logs, Signal::Metrics].choose(chance).copied().unwrap();
        home.collector.script_for(signal, [faults.choose(chance).unwrap().clone()]);
    }
}

/// Replicas are killed, paused for longer than their lease and cut off at random, while tools and backends have faults of their own.
/// Each first sync that was treated so must end as that of one process with a directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_random_killed_paused_and_cut_off_they_lose_and_repeat_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let (tools, wanted, begun) = (Tools::start().await, Events::wanted(), Instant::now());
    let truth = tools.home().await;
    truth.sync();
    let truth = truth.outcome();
    let lanes = if wanted.all() > 20 { 4 } else { 1 };
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (tools, truth, runtime, left) = (&tools, &truth, &runtime, wanted.share(lanes));
            scope.spawn(move || {
                let (mut chance, mut left, mut lives) = (StdRng::seed_from_u64(lane as u64), left, 0);
                while left.all() > 0 {
                    let mut home = runtime.block_on(tools.home());
                    life(server, tools, &mut home, &mut left, &mut chance).assert_same(truth);
                    lives += 1;
                    println!("lane {lane}: {lives} first syncs, {left:?} left after {:.0?}", begun.elapsed());
                }
            });
        }
    });
    println!("{wanted:?} in {:.0?}", begun.elapsed());
}

/// One first sync by two replicas, with a few events until it is done.
fn life(server: &Postgres, tools: &Tools, home: &mut Installation, left: &mut Events, chance: &mut StdRng) -> Outcome {
    const TTL: &str = "lease_ttl: 3s";
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let schema = server.schema("life");
    move_in(home, &server.url_at(proxy.port()), &schema, TTL);
    let mut replicas: Vec<Service> = (0..2).map(|_| replica(home)).collect();
    let mut owner = owner_after(server, &schema, "");
    for _ in 0..7 {
        let Some(event) = left.take(chance) else { break };
        tools.disturb(home, chance);
        std::thread::sleep(Duration::from_millis(chance.random_range(0..500)));
        let at = replicas.iter().position(|replica| owner.contains(&format!("(pid {})", replica.run.id())));
        // Under load the lease may be lost without an event.
        let at = at.unwrap_or_else(|| chance.random_range(0..replicas.len()));
        match event {
            Event::Kill => {
                replicas[at].run.kill();
                replicas[at] = replica(home);
            }
            Event::Pause => {
                replicas[at].run.signal("STOP");
                owner = owner_after(server, &schema, &owner);
                replicas[at].run.signal("CONT");
                replicas[at].until("/healthz", "200");
            }
            Event::Cut if chance.random_bool(0.5) => proxy.cut(),
            Event::Cut => proxy.cut_before_next_answer(),
        }
        owner = owner_after(server, &schema, if event == Event::Kill { &owner } else { "" });
    }
    replicas.into_iter().for_each(|replica| drop(replica.stop()));
    home.write(&home.config_text().replace(TTL, LONG));
    // A fault that was meant for a run before may hit this one.
    let whole = |_| home.spawn(&["sync"]).wait(3 * PATIENCE).code == Some(0);
    assert!((0..5).any(whole), "no sync has everything");
    home.run(&["store", "verify"]).expect(0);
    home.outcome()
}
