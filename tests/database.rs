//! The store in PostgreSQL: every command works on it as on a directory, and whatever happens to the
//! database, what is known and exported is what one process with a directory knows and exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use contextcore_postgres::{Bouncer, Postgres, Proxy};
use serde_json::{Value, json};

use crate::rig::{Installation, Service, Setup, Tool, sample, until};

/// So short that a test need not wait long for a dead replica.
pub(crate) const SHORT: &str = "lease_ttl: 5s";
/// So long that a busy machine renews it.
pub(crate) const LONG: &str = "lease_ttl: 60s";
/// How long a takeover may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Moves an installation into a schema of its own.
pub(crate) fn move_in(home: &mut Installation, url: &str, schema: &str, lease: &str) {
    let keys = format!("store: {{postgres: {{url: {{env: DATABASE}}, schema: {schema}, {lease}}}}}");
    home.write(&home.config_text().replace("store: {path: ./data}", &keys));
    home.variables.push(("DATABASE".to_owned(), url.to_owned()));
}

/// The lease as `status` shows it.
pub(crate) fn lease(home: &Installation) -> Value {
    let status = home.run(&["status", "-o", "json"]);
    // There may be no store yet, or no database.
    if status.code == Some(0) { status.json()["store"]["lease"].clone() } else { Value::Null }
}

/// One more replica. The next one is configured in the same file, so it has to be read first.
pub(crate) fn replica(home: &Installation) -> Service {
    let mut service = Service::start(home);
    service.until("/healthz", "200");
    service
}

/// Waits until a process that is not `former` has the lease; returns its name.
pub(crate) fn next_owner(home: &Installation, former: &str) -> String {
    let begun = Instant::now();
    loop {
        let lease = lease(home);
        if let Some(owner) = lease["owner"].as_str().filter(|owner| *owner != former) {
            return owner.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "nobody took over from {former}: {lease}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_on_it_as_on_a_directory() {
    let Some(server) = Postgres::shared() else { return };
    let (tool, in_directory) = sample().await;
    in_directory.sync();
    let projects = "projects:\n  - {id: commerce, include: [{source: acme-jira, project: SHOP}]}\n";
    let mut home = tool.home_with(&Setup { export: "give_up: 1s", rest: projects, ..Setup::default() }).await;
    move_in(&mut home, &server.url(), &server.schema("commands"), LONG);
    for command in [&["tasks"][..], &["status"], &["replay"], &["store", "verify"], &["store", "compact"]] {
        let ran = home.run(command);
        assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.err);
    }
    home.run(&["sync", "--dry-run"]).expect(0);
    assert_eq!(home.run(&["tasks"]).code, Some(2), "a dry run makes none");
    home.sync();
    home.outcome().assert_same(&in_directory.outcome());
    assert!(!home.store().exists(), "no directory is made");
    home.run(&["sync", "--dry-run"]).expect(0);
    assert_eq!(home.run(&["check"]).code, Some(0));
    for command in [&["tasks"][..], &["sprints"], &["show", "SHOP-1"], &["dead-letters", "list"]] {
        let (ours, theirs) = (home.run(command).expect(0), in_directory.run(command).expect(0));
        assert_eq!(
            ours.out.replace(&home.collector.grpc_url(), ""),
            theirs.out.replace(&in_directory.collector.grpc_url(), "")
        );
    }
    let status = home.run(&["status"]).expect(0);
    assert!(
        status.out.contains("postgres://127.0.0.1:") && status.out.contains("written by nobody now"),
        "{}",
        status.out
    );
    home.run(&["store", "verify"]).expect(0);
    home.run(&["replay"]).expect(0);
    home.outcome().assert_same(&in_directory.outcome());
    let said = home.run(&["status", "-vv", "-o", "json"]);
    assert!(![said.out, said.err].iter().any(|text| text.contains("a-password")), "the password is printed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_between_a_directory_and_a_database() {
    let Some(server) = Postgres::shared() else { return };
    let (tool, mut home) = sample().await;
    home.sync();
    let before = home.outcome();
    let exported = |home: &Installation| home.run(&["store", "export", "-"]).expect(0).out;
    let text = exported(&home);
    std::fs::copy(home.path().join("contextcore.yaml"), home.path().join("old.yaml")).unwrap();
    move_in(&mut home, &server.url(), &server.schema("moved"), LONG);
    let copied = home.run(&["store", "copy", "--from", "old.yaml", "--to", "contextcore.yaml"]).expect(0);
    assert!(copied.out.contains("read them back"), "{}", copied.out);
    assert_eq!(exported(&home), text);
    home.sync();
    home.outcome().assert_same(&before);
    let again = home.run(&["store", "copy", "--from", "old.yaml", "--to", "contextcore.yaml"]);
    assert!(again.code == Some(1) && again.last_error().contains("already holds tasks"), "{}", again.err);
    home.run(&["store", "copy", "--to", "back"]).expect(0);
    home.run(&["store", "export", "file"]).expect(0);
    home.write(&home.config_text().replace("schema: moved_", "schema: imported_"));
    home.run(&["store", "import", "file"]).expect(0);
    let imported = exported(&home);
    std::fs::write(home.path().join("back.yaml"), "store: {path: ./back}\n").unwrap();
    assert_eq!(home.run(&["--config", "back.yaml", "store", "export", "-"]).expect(0).out, imported);
    drop(tool);
}

/// Four connections for two replicas and the commands beside them: each transaction may get another one than the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_changes_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let Some(bouncer) = Bouncer::start(server, 4) else { return };
    let tool = Tool::sample().await;
    // The clock stands still, so metrics before and after a change would be two values of one moment.
    let setup = Setup { otlp: "signals: [traces, logs]", ..Setup::default() };
    let (truth, mut home) = (tool.home_with(&setup).await, tool.home_with(&setup).await);
    let schema = server.schema("pooled");
    move_in(&mut home, &server.url_at(bouncer.port()), &schema, LONG);
    [&truth, &home].into_iter().for_each(|home| drop(home.sync()));
    home.outcome().assert_same(&truth.outcome());
    home.write(&home.config_text().replace(LONG, SHORT));
    let mut replicas = [replica(&home), replica(&home)];
    let before = next_owner(&home, "");
    let some: Vec<_> = tool.jira.world().issues().take(5).map(|issue| issue.id).collect();
    tool.edit(|edit| some.iter().for_each(|id| edit.set_points(*id, Some(13.0))));
    let logs = home.collector.counts().logs;
    assert!(home.run(&["sync"]).expect(0).out.contains("acme-jira"), "it is polled by a replica");
    until("the change is exported", || home.collector.counts().logs > logs);
    let dies = replicas.iter_mut().find(|replica| before.contains(&format!("(pid {})", replica.run.id()))).unwrap();
    dies.run.kill();
    next_owner(&home, &before);
    replicas.into_iter().filter_map(|mut replica| replica.run.is_running().then(|| replica.stop())).for_each(drop);
    home.write(&home.config_text().replace(SHORT, LONG));
    [&truth, &home].into_iter().for_each(|home| drop(home.sync()));
    home.outcome().assert_same(&truth.outcome());
    home.run(&["store", "verify"]).expect(0);
    home.run(&["store", "copy", "--to", "back"]).expect(0);
    home.run(&["store", "export", "file"]).expect(0);
    home.write(&home.config_text().replace(&schema, &format!("{schema}_imported")));
    home.run(&["store", "import", "file"]).expect(0);
    home.run(&["store", "verify"]).expect(0);
    assert!(!bouncer.log().contains("closing because: query_timeout"), "{}", bouncer.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_outlives_its_database() {
    let Some(server) = Postgres::start(&[]) else { return };
    let (_tool, mut home) = sample().await;
    move_in(&mut home, &server.url(), "gone", SHORT);
    let mut service = Service::start(&home);
    let owner = next_owner(&home, "");
    server.stop();
    service.run.wait_for("the lease of the store was lost", PATIENCE);
    service.until("/healthz", "200");
    let ready = service.until("/readyz", "503");
    assert!(ready.contains("PostgreSQL"), "{ready}");
    let ran = home.run(&["tasks"]);
    assert!(ran.code == Some(1) && ran.last_error().contains("PostgreSQL does not answer"), "{}", ran.err);
    server.restart();
    assert_eq!(next_owner(&home, ""), owner, "the same process goes on");
    service.until("/readyz", "200");
    service.stop();
    home.sync();
    assert!(!home.tasks().is_empty());
}

/// It accepts connections and says nothing, as behind a balancer without a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_outlives_a_database_that_says_nothing_and_can_be_stopped_meanwhile() {
    let Some(server) = Postgres::shared() else { return };
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let (_tool, mut home) = sample().await;
    let url = format!("{}?connect_timeout=1", server.url_at(proxy.port()));
    move_in(&mut home, &url, &server.schema("silent"), SHORT);
    let mut service = Service::start(&home);
    let owner = next_owner(&home, "");
    service.until("/readyz", "200");
    proxy.set_silent(true);
    service.run.wait_for("the lease of the store was lost", PATIENCE);
    let ready = service.until("/readyz", "503");
    assert!(ready.contains("says nothing"), "{ready}");
    for command in ["status", "sync"] {
        let ran = home.run(&[command]);
        assert!(ran.code == Some(1) && ran.last_error().contains("says nothing"), "{command}: {}", ran.err);
    }
    proxy.set_silent(false);
    assert_eq!(next_owner(&home, ""), owner, "the same process goes on");
    service.until("/readyz", "200");
    proxy.set_silent(true);
    service.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_every_write_makes_the_service_not_ready() {
    let Some(server) = Postgres::shared() else { return };
    let (_tool, mut home) = sample().await;
    let schema = server.schema("refuses");
    move_in(&mut home, &server.url(), &schema, SHORT);
    let mut service = Service::start(&home);
    next_owner(&home, "");
    service.until("/readyz", "200");
    let poll = || {
        drop(server.sql(&format!("INSERT INTO {schema}.wakes (source) VALUES ('acme-jira') ON CONFLICT DO NOTHING")))
    };
    drop(server.sql(&format!(
        "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON {schema}.kv FOR EACH ROW EXECUTE FUNCTION {schema}.no_room()"
    )));
    poll();
    let ready = service.until("/readyz", "503");
    assert!(ready.contains("the disk of PostgreSQL is full"), "{ready}");
    until("status says why", || {
        let status = home.run(&["status", "-o", "json"]).json();
        status["sources"][0]["last_error"]
            .as_str()
            .is_some_and(|error| error.contains("the disk of PostgreSQL is full"))
    });
    drop(server.sql(&format!("DROP TRIGGER no_room ON {schema}.kv")));
    poll();
    service.until("/readyz", "200");
    service.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_learns_who_writes() {
    let Some(server) = Postgres::shared() else { return };
    let (_tool, mut home) = sample().await;
    move_in(&mut home, &server.url(), &server.schema("second"), LONG);
    let mut service = Service::start(&home);
    let owner = next_owner(&home, "");
    service.until("/readyz", "200");
    let replay = home.run(&["replay"]);
    assert!(replay.code == Some(1) && replay.last_error().contains(&owner), "{}", replay.err);
    let status = home.run(&["status"]).expect(0).out;
    assert!(status.contains(&format!("written by {owner}")), "{status}");
    service.stop();
    home.sync();
}

/// As beside a directory: the `serve` that has the lease polls. A process that has it and never looks is named instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_beside_a_service_asks_it_to_poll() {
    let Some(server) = Postgres::shared() else { return };
    let (tool, mut home) = sample().await;
    let schema = server.schema("asked");
    move_in(&mut home, &server.url(), &schema, LONG);
    let mut service = Service::start(&home);
    let owner = next_owner(&home, "");
    service.until("/readyz", "200");
    tool.jira.take_requests();
    let asked = home.run(&["sync"]).expect(0);
    assert!(asked.out.contains(&owner) && asked.out.contains("acme-jira"), "{}", asked.out);
    until("it is polled", || tool.jira.requests().iter().any(|request| request.path().contains("jql")));
    assert_eq!(home.run(&["sync", "-o", "json"]).expect(0).json(), json!({"polled_by_serve": ["acme-jira"]}));
    assert!(home.run(&["sync", "--full"]).expect(1).last_error().contains("stop it first"));
    service.stop();
    // A lease that somebody renews who never looks.
    let renew = format!("UPDATE {schema}.lease SET owner = 'somebody', expires = clock_timestamp() + interval '60s'");
    let stop = Arc::new(AtomicBool::new(false));
    let renewing = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                drop(server.sql(&renew));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    });
    let refused = home.run(&["sync"]);
    stop.store(true, Ordering::Relaxed);
    renewing.join().unwrap();
    assert!(refused.code == Some(1) && refused.last_error().contains("somebody"), "{}", refused.err);
    assert_eq!(
        server.sql(&format!("SELECT count(*) FROM {schema}.wakes")),
        "0",
        "a request that nobody took is withdrawn"
    );
}

/// The statements on the table of keys and values that a server has logged so far, and the ends of transactions: everything but what
/// replicas ask of each other by the clock.
fn statements(server: &Postgres) -> Vec<String> {
    let (log, mut all) = (server.log(), Vec::<String>::new());
    for line in log.lines() {
        match line.split_once("execute <unnamed>: ").or_else(|| line.split_once("statement: ")) {
            Some((_, statement)) => all.push(statement.to_owned()),
            // The parameters follow, and the rest of a statement that has several lines.
            None => all.last_mut().into_iter().for_each(|last| last.push_str(line)),
        }
    }
    all.retain(|statement| statement.contains(".kv") || statement.starts_with("ROLLBACK"));
    all
}

/// Waits until a server was asked for nothing more for a while; returns how many statements there were.
fn settled(server: &Postgres) -> usize {
    let mut seen = (usize::MAX, Instant::now());
    until("it never ends", || {
        let now = statements(server).len();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        seen.1.elapsed() > Duration::from_secs(3)
    });
    seen.0
}

/// One question of the journal, and one transaction of three statements: its turn, what it writes, and its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_news_asks_the_database_little() {
    let Some(server) = Postgres::start(&["fsync=off", "log_statement=all"]) else { return };
    let (tool, mut home) = sample().await;
    move_in(&mut home, &server.url(), "quiet", LONG);
    // What is exported by the clock does not belong to a poll.
    let by_the_clock = "metrics: {history_step: 48h, interval: 24h}\n  snapshot: {interval: 24h}";
    home.write(&home.config_text().replace("metrics: {history_step: 48h}", by_the_clock));
    let mut service = Service::start(&home);
    service.until("/readyz", "200");
    let poll = || {
        tool.jira.take_requests();
        assert!(server.sql("INSERT INTO quiet.wakes (source) VALUES ('acme-jira') ON CONFLICT DO NOTHING").is_empty());
        until("it is polled", || tool.jira.requests().iter().any(|request| request.path().contains("jql")));
        settled(&server)
    };
    settled(&server);
    let (polls, before) = (4, poll());
    for _ in 0..polls {
        poll();
    }
    let asked = statements(&server).split_off(before);
    assert!((1..=5 * polls).contains(&asked.len()), "{} in {polls} polls:\n{}", asked.len(), asked.join("\n"));
    service.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_is_one_error_that_says_what_to_do() {
    let Some(server) = Postgres::shared() else { return };
    let (_tool, mut home) = sample().await;
    move_in(&mut home, "", &server.schema("wrong"), LONG);
    let url = server.url();
    let cases = [
        ("", "DATABASE"),
        (&url.replace("a-password", "hunter2"), "does not let this user in"),
        (&format!("{url}?sslmode=require"), "the server has no TLS"),
        ("mysql://root:hunter2@127.0.0.1/x", "must begin with postgres://"),
    ];
    for (url, expected) in cases {
        home.variables.last_mut().unwrap().1 = url.to_owned();
        for command in [&["sync"][..], &["tasks"], &["serve"], &["status"]] {
            let ran = home.run(command);
            assert!(ran.code != Some(0) && ran.err.contains(expected), "{command:?}: {}", ran.err);
            assert!(!ran.err.contains("hunter2") && !ran.err.contains("a-password"), "{}", ran.err);
        }
    }
}
