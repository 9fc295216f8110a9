//! Replicas that share a store in PostgreSQL: each source has one of them at a time, and whatever happens to them, what is known and
//! exported is what one process with a directory knows and exports.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::Options;
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::world::{Foreign, GithubDemo, World};
use contextcore_postgres::{Postgres, Proxy};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::database::{PATIENCE, SHORT, move_in};
use crate::rig::{Installation, NOW, Service, Setup, Tool};

/// So long that only a replica that gives it back can be followed by another.
const LONG: &str = "lease_ttl: 90s";
/// No run but the first falls due by itself.
const NEVER: &str = "schedule: '0 0 1 1 *'";
const TOKEN: &str = "secret-of-ci";

/// Tools of every kind.
struct Tools {
    jira: Tool,
    github: GithubHandle,
    linear: LinearHandle,
}

impl Tools {
    /// They answer slowly and in small pages, so that a run has a middle. Commits and pull requests of GitHub name tasks of Jira.
    async fn start() -> Self {
        let clock = || Clock::fixed(NOW);
        let world = World::demo(NOW, 2, 7);
        let github = GithubDemo::new(NOW, 2, 7).with_foreign(Foreign::of(&world, NOW, 4)).build();
        let mut apps = World::demo(NOW, 1, 8);
        apps.rename_project("SHOP", "APP", "Apps");
        let latency = Duration::from_millis(15);
        let slow = github::Options { clock: clock(), latency, ..github::Options::dot_com() };
        Self {
            jira: Tool::start(world, Options { latency, max_search_page: 20, ..Options::cloud() }).await,
            github: Github::start(github, slow).await.unwrap(),
            linear: Linear::start(apps, linear::Options { clock: clock(), ..linear::Options::default() })
                .await
                .unwrap(),
        }
    }

    /// An installation with seven sources, which names no backend that answers.
    async fn home(&self) -> Installation {
        let projects = "projects:\n  - {id: commerce, include: [{source: acme-jira, project: SHOP}]}\n";
        let setup = Setup {
            rest: projects,
            source: "projects: [SHOP]\n    schedule: '* * * * *'",
            export: "give_up: 1s",
            ..Setup::default()
        };
        let mut home = self.jira.home_with(&setup).await;
        for (name, secret) in [("GITHUB", Github::TOKEN), ("LINEAR", Linear::KEY), ("OPS", TOKEN)] {
            home.variables.push((name.to_owned(), secret.to_owned()));
        }
        let file = home.path().join("work.jsonl");
        let line = |number: i64| {
            json!({"id": format!("ENG-{number}"), "title": "Work", "status": "todo", "project": "ENG",
                "created": "2026-11-01T08:00:00Z"})
        };
        std::fs::write(&file, (0..50).map(|number| format!("{}\n", line(number))).collect::<String>()).unwrap();
        let more = format!(
            "  - {{name: ops-jira, kind: jira, url: '{jira}', auth: {{email: {email}, token: {{env: JIRA_TOKEN}}}}, projects: [OPS], {EACH}}}
  - {{name: plat-jira, kind: jira, url: '{jira}', auth: {{email: {email}, token: {{env: JIRA_TOKEN}}}}, projects: [PLAT], {EACH}}}
  - {{name: code, kind: github, url: '{github}', auth: {{token: {{env: GITHUB}}}}, projects: [acme/1], repositories: [acme/web, acme/api], {EACH}}}
  - {{name: apps, kind: linear, url: '{linear}', auth: {{token: {{env: LINEAR}}}}, projects: [APP], {EACH}}}
  - {{name: lines, kind: file, path: '{file}', {EACH}}}
  - {{name: agents, kind: sdk, path: state, {EACH}}}
ops: {{tokens: [{{name: ci, token: {{env: OPS}}, projects: ['*']}}]}}
",
            jira = self.jira.jira.url(),
            email = contextcore_fakes::jira::Jira::EMAIL,
            github = self.github.url(),
            linear = self.linear.url(),
            file = file.display(),
        );
        home.write(&(home.config_text() + &more));
        home
    }
}

const EACH: &str = "schedule: '* * * * *'";

/// Has an installation export to nobody: logs wait, and nothing else is begun.
fn without_backend(home: &Installation) -> String {
    let config = home.config_text();
    let line = config.lines().find(|line| line.trim_start().starts_with("otlp:")).unwrap();
    home.write(&config.replace(line, "  otlp: {endpoint: 'http://127.0.0.1:1', protocol: grpc, signals: [logs]}"));
    config
}

/// A replica, in a directory of its own as on a machine of its own.
pub(crate) struct Replica {
    pub(crate) service: Service,
    directory: PathBuf,
}

pub(crate) fn replica(home: &Installation, name: &str) -> Replica {
    let directory = home.path().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let own = directory.clone();
    let mut service = Service::start_by(home, |home| {
        std::fs::write(own.join("contextcore.yaml"), home.config_text()).unwrap();
        let mut command = home.command(&["serve"]);
        command.current_dir(&own);
        command
    });
    service.until("/healthz", "200");
    Replica { service, directory }
}

impl Replica {
    fn name(&self) -> String {
        format!("(pid {})", self.service.run.id())
    }

    /// Starts it again, on another machine: with nothing of its disk.
    fn replace(&mut self, home: &Installation, name: &str) {
        let _gone = std::fs::remove_dir_all(&self.directory);
        *self = replica(home, name);
    }

    /// Has it read its configuration again, as it is now.
    fn reload(&self, home: &Installation) {
        std::fs::write(self.directory.join("contextcore.yaml"), home.config_text()).unwrap();
        self.service.run.signal("HUP");
    }

    fn report(&self, number: u64) -> bool {
        report(&self.service, number)
    }
}

/// Reports the start of a task of its own; whether it was acknowledged.
fn report(service: &Service, number: u64) -> bool {
    let header = json!({"v": 1, "writer": format!("{number:032x}"), "project": "shop"});
    let time = "2026-11-17T10:00:00.000Z";
    let start =
        json!({"v": 1, "seq": 1, "t": time, "op": "task.start", "task": format!("A-{number}"), "title": "Agent"});
    let body = format!("{header}\n{start}\n");
    let headers = format!("authorization: Bearer {TOKEN}\r\n");
    let answer = service.request("POST", "/v1/ops", &headers, body.as_bytes());
    answer.is_some_and(|(status, _)| status.contains("200"))
}

fn status(home: &Installation) -> Value {
    let status = home.run(&["status", "-o", "json"]);
    if status.code == Some(0) { status.json() } else { Value::Null }
}

/// Which process has each source.
fn owners(status: &Value) -> Vec<(String, Option<String>)> {
    let sources = status["sources"].as_array().into_iter().flatten();
    let of = |source: &Value| {
        (source["name"].as_str().unwrap().to_owned(), source["lease"]["owner"].as_str().map(str::to_owned))
    };
    sources.map(of).collect()
}

#[track_caller]
fn until(home: &Installation, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let now = status(home);
        if holds(&now) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {now}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn is_read(status: &Value) -> bool {
    let sources = status["sources"].as_array();
    sources.is_some_and(|all| all.iter().all(|source| source["last_success"].is_string() && source["failures"] == 0))
}

fn is_exported(status: &Value) -> bool {
    let sources = status["sources"].as_array();
    let all_sent = |source: &Value| source["backlog"].as_object().unwrap().values().all(|items| *items == 0);
    sources.is_some_and(|all| all.iter().all(all_sent))
}

/// Notes every commit of every lease, as the database saw it.
fn watch(server: &Postgres, schema: &str) {
    drop(server.sql(&format!(
        "CREATE TABLE {schema}.seen (name text, token bigint, number bigint, nth bigserial);
         CREATE FUNCTION {schema}.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO {schema}.seen (name, token, number) VALUES (NEW.name, NEW.token, NEW.committed); RETURN NULL;
         END $$;
         CREATE TRIGGER see AFTER UPDATE OF committed ON {schema}.lease FOR EACH ROW
             WHEN (OLD.committed IS DISTINCT FROM NEW.committed) EXECUTE FUNCTION {schema}.see()"
    )));
}

/// Nobody wrote with a lease that another had taken over, and no journal number was given twice.
fn assert_one_writer(server: &Postgres, schema: &str) {
    let ask = |query: &str| server.sql(&query.replace("SEEN", &format!("{schema}.seen")));
    assert_eq!(ask("SELECT count(*) - count(DISTINCT number) FROM SEEN"), "0", "a number was given twice");
    let fell = "SELECT count(*) FROM (SELECT token < lag(token) OVER (PARTITION BY name ORDER BY number) AS fell FROM SEEN) a WHERE fell";
    assert_eq!(ask(fell), "0", "a lease was used after it had been taken over");
    let late = "SELECT count(*) FROM (SELECT number < lag(number) OVER (PARTITION BY name, token ORDER BY nth) AS fell FROM SEEN) a WHERE fell";
    assert_eq!(ask(late), "0", "an owner's commits are out of order");
    assert_eq!(ask("SELECT count(DISTINCT name) >= 7 FROM SEEN WHERE name LIKE 'source/%'"), "t");
    assert_eq!(ask("SELECT max(token) > 1 FROM SEEN WHERE name LIKE 'source/%'"), "t", "nothing was taken over");
}

/// What befalls replicas, `rounds` times: kills, pauses longer than a lease, stops, cut connections, moves, and one more that joins.
struct Misfortune<'a> {
    home: &'a Installation,
    proxy: &'a Proxy,
    chance: StdRng,
    replicas: Vec<Replica>,
    reported: u64,
}

impl Misfortune<'_> {
    fn befall(&mut self, rounds: usize) {
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(self.chance.random_range(0..1_500)));
            let at = self.chance.random_range(0..self.replicas.len());
            match round % 6 {
                0 => {
                    self.replicas[at].service.run.kill();
                    self.replicas[at].replace(self.home, &format!("killed-{round}-{}", self.reported));
                }
                1 => self.pause(at),
                2 => self.proxy.cut(),
                3 => {
                    let next = replica(self.home, &format!("joined-{round}-{}", self.reported));
                    drop(std::mem::replace(&mut self.replicas[at], next).service.stop());
                }
                4 => drop(self.home.run(&["sources", "move", "code"])),
                _ => self.replicas.push(replica(self.home, &format!("more-{round}-{}", self.reported))),
            }
            self.report();
        }
    }

    /// For longer than its leases last: others take over meanwhile, and then it goes on.
    fn pause(&self, at: usize) {
        let (replica, name) = (&self.replicas[at], self.replicas[at].name());
        replica.service.run.signal("STOP");
        let is_of = |owner: &Option<String>| owner.as_ref().is_some_and(|owner| owner.contains(&name));
        until(self.home, "others take over what a paused replica had", |status| {
            let owners = owners(status);
            owners.len() == 7 && owners.iter().all(|(_, owner)| owner.is_some() && !is_of(owner))
        });
        replica.service.run.signal("CONT");
    }

    /// Reports to any replica until one acknowledges.
    fn report(&mut self) {
        self.reported += 1;
        let begun = Instant::now();
        while !self.replicas.iter().any(|replica| replica.report(self.reported)) {
            assert!(begun.elapsed() < PATIENCE, "nobody takes a report");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(self) -> u64 {
        self.replicas.into_iter().for_each(|replica| drop(replica.service.stop()));
        self.reported
    }
}

fn befallen<'a>(home: &'a Installation, proxy: &'a Proxy, seed: u64, reported: u64) -> Misfortune<'a> {
    let replicas = (0..3).map(|number| replica(home, &format!("{seed}-{number}"))).collect();
    Misfortune { home, proxy, chance: StdRng::seed_from_u64(seed), replicas, reported }
}

/// Everything is read while no backend is there, and then exported: so what is exported does not depend on what was read first, and
/// both can be compared with one process to the last byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_replicas_nothing_is_lost_or_repeated() {
    let Some(server) = Postgres::shared() else { return };
    let tools = Tools::start().await;
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let mut home = tools.home().await;
    let schema = server.schema("shared");
    move_in(&mut home, &server.url_at(proxy.port()), &schema, SHORT);
    let config = without_backend(&home);
    let mut reading = befallen(&home, &proxy, 1, 0);
    watch(server, &schema);
    reading.befall(6);
    until(&home, "everything is read", is_read);
    let all = reading.reported;
    until(&home, "every report is stored", |_| {
        let stored =
            home.tasks().iter().filter(|task| task["id"].as_str().is_some_and(|id| id.starts_with("A-"))).count();
        stored as u64 == all
    });
    let reported = reading.stop();
    home.write(&config);
    let mut exporting = befallen(&home, &proxy, 2, reported);
    exporting.reported = reported;
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(300));
        match round % 3 {
            0 => {
                exporting.replicas[round % 3].service.run.kill();
                exporting.replicas[round % 3].replace(&home, &format!("again-{round}"));
            }
            1 => exporting.pause(round % 3),
            _ => proxy.cut(),
        }
    }
    until(&home, "everything is exported", is_exported);
    assert_eq!(exporting.stop(), reported);
    assert_one_writer(server, &schema);
    home.run(&["store", "verify"]).expect(0);

    let truth = tools.home().await;
    let config = without_backend(&truth);
    let mut alone = Service::start(&truth);
    alone.until("/healthz", "200");
    (1..=reported).for_each(|number| assert!(report(&alone, number)));
    until(&truth, "everything is read", is_read);
    drop(alone.stop());
    truth.run(&["sync"]);
    truth.write(&config);
    std::fs::create_dir_all(home.path().join("state")).unwrap();
    truth.sync();
    home.sync();
    home.outcome().assert_same(&truth.outcome());
}

/// Nothing but requests makes these replicas read, and nothing but a replica that gives back lets another take over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_move_on_request_and_any_replica_takes_reports_and_webhooks() {
    let Some(server) = Postgres::shared() else { return };
    let tools = Tools::start().await;
    let mut home = tools.home().await;
    move_in(&mut home, &server.url(), &server.schema("moves"), LONG);
    home.write(&home.config_text().replace(EACH, NEVER));
    let (mut one, mut two) = (replica(&home, "one"), replica(&home, "two"));
    until(&home, "both work", |status| {
        let owners = owners(status);
        let has =
            |replica: &Replica| owners.iter().flat_map(|(_, owner)| owner).any(|owner| owner.contains(&replica.name()));
        is_read(status) && has(&one) && has(&two) && status["store"]["replicas"].as_array().map(Vec::len) == Some(2)
    });
    for replica in [&mut one, &mut two] {
        replica.service.until("/readyz", "200");
    }
    until(&home, "each metric is at one replica", |status| metrics_are_shared(status, &one, &two));

    let owner_in = |status: &Value, name: &str| owners(status).into_iter().find(|(of, _)| of == name)?.1;
    let owner_of = |name: &str| {
        owner_in(&until(&home, "it has an owner", |status| owner_in(status, name).is_some()), name).unwrap()
    };
    let before = owner_of("agents");
    let moved = home.run(&["sources", "move", "agents", "-o", "json"]).expect(0).json();
    assert_eq!((moved["from"].as_str(), moved["to"].as_str()), (Some(&*before), Some(&*owner_of("agents"))));
    assert_ne!(before, owner_of("agents"));
    let back = home.run(&["sources", "move", "agents", "--to", &before]).expect(0).out;
    assert!(back.contains(&format!("to {before}")), "{back}");
    let listed = home.run(&["sources"]).expect(0).out;
    assert!(listed.contains("agents") && listed.contains(&before), "{listed}");
    for (arguments, expected) in [
        (&["sources", "move", "agents", "--to", "nobody"][..], "no replica nobody runs"),
        (&["sources", "move", "unknown"], "unknown"),
        (&["replay"], "another contextcore writes to it"),
    ] {
        let ran = home.run(arguments);
        assert!(ran.code != Some(0) && ran.err.contains(expected), "{arguments:?}: {}", ran.err);
    }

    assert!(one.report(1) && two.report(2), "each takes reports");
    until(&home, "what was reported to either is stored", |_| {
        let tasks = home.tasks();
        ["A-1", "A-2"].iter().all(|id| tasks.iter().any(|task| task["id"] == *id))
    });

    let file = home.path().join("work.jsonl");
    let more = format!("  - {{name: more, kind: file, path: '{}', {NEVER}}}\n", file.display());
    home.write(&home.config_text().replace("sources:\n", &format!("sources:\n{more}")));
    [&one, &two].into_iter().for_each(|replica| replica.reload(&home));
    until(&home, "a source that a reload brought is read", |status| {
        is_read(status) && owner_in(status, "more").is_some()
    });

    drop(one.service.stop());
    until(&home, "the other has everything", |status| {
        owners(status).iter().all(|(_, owner)| owner.as_ref().is_some_and(|owner| owner.contains(&two.name())))
    });
    assert!(two.report(3));
    until(&home, "and reads it", |_| home.tasks().iter().any(|task| task["id"] == "A-3"));
    drop(two.service.stop());
    home.run(&["store", "verify"]).expect(0);
}

/// Scraping all replicas counts nothing twice and leaves nothing out, once no unit moves between them.
fn metrics_are_shared(status: &Value, one: &Replica, two: &Replica) -> bool {
    let series = |replica: &Replica| -> Vec<String> {
        let page = replica.service.get("/metrics").unwrap_or_default().1;
        let lines = page.lines().filter(|line| !line.starts_with('#') && !line.contains("contextcore_mcp"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let (first, second) = (series(one), series(two));
    let is_twice = first.iter().any(|line| second.contains(line));
    let all = [first, second].concat();
    let sources = owners(status);
    let is_there = |start: &str, label: &str| {
        all.iter().filter(|line| line.starts_with(start) && line.contains(label)).count() == 1
    };
    !is_twice
        && !sources.is_empty()
        && sources.iter().all(|(source, _)| is_there("contextcore_sync_tasks", &format!("\"{source}\"")))
        && is_there("contextcore_store_size", "")
}
