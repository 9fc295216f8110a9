//! Replicas that share a store in PostgreSQL: each source has one of them at a time, and goes from one to the other in known times.
//!
//! `CONTEXTCORE_LEASE_TTL=25s` has a replica killed and another paused at the value of production, instead of at three seconds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::Options;
use contextcore_fakes::linear::{self, Linear, LinearHandle};
use contextcore_fakes::world::{Foreign, GithubDemo, World};
use contextcore_postgres::Postgres;
use serde_json::{Value, json};

use crate::database::{PATIENCE, move_in};
use crate::rig::{Installation, NOW, Service, Setup, Tool};
use crate::webhooks::{self, sign};

/// So long that only a replica that gives it back can be followed by another.
const LONG: &str = "lease_ttl: 90s";
/// What a takeover takes at most beyond the length of a lease.
const SLACK: Duration = Duration::from_secs(5);
/// No run but the first falls due by itself.
const NEVER: &str = "schedule: '0 0 1 1 *'";
pub(crate) const TOKEN: &str = "secret-of-ci";

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
        for (name, secret) in
            [("GITHUB", Github::TOKEN), ("LINEAR", Linear::KEY), ("OPS", TOKEN), ("HOOK", webhooks::SECRET)]
        {
            home.variables.push((name.to_owned(), secret.to_owned()));
        }
        let file = home.path().join("work.jsonl");
        let line = |number: i64| {
            json!({"id": format!("ENG-{number}"), "title": "Work", "status": "todo", "project": "ENG",
                "created": "2026-11-01T08:00:00Z"})
        };
        std::fs::write(&file, (0..50).map(|number| format!("{}\n", line(number))).collect::<String>()).unwrap();
        let more = format!(
            "  - {{name: ops-jira, kind: jira, url: '{jira}', auth: {{email: {email}, token: {{env: JIRA_TOKEN}}}}, projects: [OPS], webhook: {{secret: {{env: HOOK}}}}, {EACH}}}
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

pub(crate) const EACH: &str = "schedule: '* * * * *'";

/// Has an installation export to nobody: logs wait, and nothing else is begun.
pub(crate) fn without_backend(home: &Installation) -> String {
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
    pub(crate) fn name(&self) -> String {
        format!("(pid {})", self.service.run.id())
    }

    /// Has it read its configuration again, as it is now.
    fn reload(&self, home: &Installation) {
        std::fs::write(self.directory.join("contextcore.yaml"), home.config_text()).unwrap();
        self.service.run.signal("HUP");
    }

    pub(crate) fn report(&self, number: u64) -> bool {
        report(&self.service, number)
    }
}

/// Reports the start of a task of its own; whether it was acknowledged.
pub(crate) fn report(service: &Service, number: u64) -> bool {
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
pub(crate) fn until(home: &Installation, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
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

pub(crate) fn is_read(status: &Value) -> bool {
    let sources = status["sources"].as_array();
    sources.is_some_and(|all| all.iter().all(|source| source["last_success"].is_string() && source["failures"] == 0))
}

pub(crate) fn is_exported(status: &Value) -> bool {
    let sources = status["sources"].as_array();
    let all_sent = |source: &Value| source["backlog"].as_object().unwrap().values().all(|items| *items == 0);
    sources.is_some_and(|all| all.iter().all(all_sent))
}

/// Notes every commit of every lease, as the database saw it.
pub(crate) fn watch(server: &Postgres, schema: &str) {
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
pub(crate) fn assert_one_writer(server: &Postgres, schema: &str, sources: usize) {
    let ask = |query: &str| server.sql(&query.replace("SEEN", &format!("{schema}.seen")));
    assert_eq!(ask("SELECT count(*) - count(DISTINCT number) FROM SEEN"), "0", "a number was given twice");
    let fell = "SELECT count(*) FROM (SELECT token < lag(token) OVER (PARTITION BY name ORDER BY number) AS fell FROM SEEN) a WHERE fell";
    assert_eq!(ask(fell), "0", "a lease was used after it had been taken over");
    let late = "SELECT count(*) FROM (SELECT number < lag(number) OVER (PARTITION BY name, token ORDER BY nth) AS fell FROM SEEN) a WHERE fell";
    assert_eq!(ask(late), "0", "an owner's commits are out of order");
    let all = ask("SELECT count(DISTINCT name) FROM SEEN WHERE name LIKE 'source/%'");
    assert_eq!(all, sources.to_string());
    assert_eq!(ask("SELECT max(token) > 1 FROM SEEN WHERE name LIKE 'source/%'"), "t", "nothing was taken over");
}

/// How long others take until they have every source of a replica, from when something happened to it.
fn taken_over(server: &Postgres, schema: &str, former: &Replica, since: Instant) -> Duration {
    let is_past = format!(
        "SELECT count(*) = 7 FROM {schema}.lease WHERE name LIKE 'source/%' AND expires > clock_timestamp() AND owner <> ''
         AND strpos(owner, '{}') = 0",
        former.name()
    );
    while server.sql(&is_past) != "t" {
        assert!(since.elapsed() < PATIENCE, "nobody takes over from {}", former.name());
        std::thread::sleep(Duration::from_millis(20));
    }
    since.elapsed()
}

/// Waits until every source has a replica. Returns the place of the one that has the first source: with two replicas, one may have none.
fn busy(home: &Installation, replicas: &[Replica; 2]) -> usize {
    let is_owned = |status: &Value| {
        let owners = owners(status);
        owners.len() == 7 && owners.iter().all(|(_, owner)| owner.is_some())
    };
    let (_, owner) = owners(&until(home, "every source has a replica", is_owned)).swap_remove(0);
    replicas.iter().position(|replica| owner.as_ref().is_some_and(|owner| owner.contains(&replica.name()))).unwrap()
}

/// When a lease ends, another replica sees it within a second. What is above that is for a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_of_a_dead_or_paused_replica_are_taken_over_when_its_leases_end() {
    let Some(server) = Postgres::shared() else { return };
    let tools = Tools::start().await;
    let mut home = tools.home().await;
    let schema = server.schema("dead");
    let length =
        std::env::var_os("CONTEXTCORE_LEASE_TTL").map_or("3s".to_owned(), |value| value.to_string_lossy().into_owned());
    move_in(&mut home, &server.url(), &schema, &format!("lease_ttl: {length}"));
    let length = Duration::from_secs(length.trim_end_matches('s').parse().unwrap());
    let mut replicas = [replica(&home, "one"), replica(&home, "two")];
    let at = busy(&home, &replicas);
    let since = Instant::now();
    replicas[at].service.run.signal("STOP");
    let paused = taken_over(server, &schema, &replicas[at], since);
    replicas[at].service.run.signal("CONT");
    let at = busy(&home, &replicas);
    let since = Instant::now();
    replicas[at].service.run.kill();
    let killed = taken_over(server, &schema, &replicas[at], since);
    println!("with leases of {length:?}: taken over {paused:.1?} after a pause, {killed:.1?} after a kill");
    assert!(paused.max(killed) <= length + SLACK, "{paused:?} {killed:?}");
}

/// In the middle of a first sync, and with leases that would last much longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_hands_over_within_five_seconds() {
    let Some(server) = Postgres::shared() else { return };
    let tools = Tools::start().await;
    let mut home = tools.home().await;
    let schema = server.schema("stops");
    move_in(&mut home, &server.url(), &schema, LONG);
    let replicas = [replica(&home, "one"), replica(&home, "two")];
    let at = busy(&home, &replicas);
    let since = Instant::now();
    replicas[at].service.run.signal("TERM");
    let taken = taken_over(server, &schema, &replicas[at], since);
    println!("handed over after {taken:.1?}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    let mut replicas = Vec::from(replicas);
    drop(replicas.swap_remove(at).service.run.wait(PATIENCE).expect(0));
    drop(replicas.swap_remove(0).service.stop());
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

    let has_hooked = owner_of("ops-jira");
    for (name, replica) in [("one", &one), ("two", &two)] {
        let whose = if has_hooked.contains(&replica.name()) { "its own" } else { "another's" };
        tools.jira.jira.take_requests();
        let headers =
            format!("X-Hub-Signature: {}\r\nX-Atlassian-Webhook-Identifier: {name}\r\n", sign(webhooks::EVENT));
        let answer = replica.service.request("POST", "/webhooks/ops-jira", &headers, webhooks::EVENT);
        assert!(answer.is_some_and(|(status, _)| status.contains("202")), "{name} takes a webhook of {whose} source");
        crate::rig::until(&format!("a webhook at {name}, of {whose} source, has it read"), || {
            tools.jira.jira.requests().iter().any(|request| request.path().contains("/search"))
        });
    }

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
