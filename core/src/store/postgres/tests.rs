//! What only this engine has: leases, fences, lost answers, and what goes over the network. On a real server.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use contextcore_postgres::{Bouncer, Postgres, Proxy};

use super::super::kv::{Batch, Guard, Kv};
use super::super::{Destination, MemoryKv, Store, Unit, tests as store_tests};
use super::PgKv;
use crate::model::config::{PostgresConfig, SecretRef};
use crate::model::error::{Error, ErrorKind};
use crate::model::secret::Secret;

/// Long enough that no test meets its end.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// An engine with the lease of an empty schema.
pub(crate) fn engine(name: &str) -> Option<Arc<dyn Kv>> {
    let server = Postgres::shared()?;
    Some(engine_at(server, server.port(), name))
}

/// The same through a pooler in transaction mode, which all tests share.
pub(crate) fn engine_behind_a_pooler(name: &str) -> Option<Arc<dyn Kv>> {
    let port = bouncer()?.port();
    Some(engine_at(Postgres::shared()?, port, name))
}

/// It has few connections: one process needs two, of which one is in a transaction that is open for its turn.
fn bouncer() -> Option<&'static Bouncer> {
    static SHARED: OnceLock<Option<Bouncer>> = OnceLock::new();
    SHARED.get_or_init(|| Bouncer::start(Postgres::shared()?, 4)).as_ref()
}

/// The same through another port.
pub(crate) fn engine_at(server: &Postgres, port: u16, name: &str) -> Arc<dyn Kv> {
    Arc::new(writer(server, port, &server.schema(name)))
}

fn writer(server: &Postgres, port: u16, schema: &str) -> PgKv {
    let kv = PgKv::prepare(&server.url_at(port), schema, LONG).unwrap();
    assert!(kv.lease().acquire().unwrap());
    kv
}

pub(super) fn config(schema: &str) -> PostgresConfig {
    PostgresConfig { url: SecretRef::Env("UNUSED".into()), schema: schema.to_owned(), lease_ttl: LONG }
}

pub(super) fn connected(server: &Postgres, schema: &str) -> Store {
    Store::connect_to_write(&config(schema), &Secret::new(server.url())).unwrap()
}

fn batch(keys: impl IntoIterator<Item = u8>) -> Batch {
    keys.into_iter().map(|key| (vec![key], Some(vec![key]))).collect()
}

/// Ends the lease of a schema without a word to its owner, as the clock of the database does.
pub(super) fn expire(server: &Postgres, schema: &str) {
    drop(server.sql(&format!("UPDATE {schema}.lease SET expires = 'epoch'")));
}

#[test]
fn an_owner_that_was_taken_over_changes_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("takeover");
    let (first, second) =
        (writer(server, server.port(), &schema), PgKv::prepare(&server.url(), &schema, LONG).unwrap());
    first.write_batch(batch([1]), &Guard::at(0)).unwrap();
    assert!(!second.lease().acquire().unwrap(), "it is held");
    let holder = second.lease().holder().unwrap();
    assert!(!holder.is_ours && holder.owner.contains("pid") && holder.left > Duration::from_secs(60), "{holder:?}");
    let error = second.write_batch(batch([2]), &Guard::at(0)).unwrap_err();
    assert_eq!(error.context("standby"), Some("true"), "{error}");
    expire(server, &schema);
    assert!(second.lease().acquire().unwrap());
    second.write_batch(batch([3]), &Guard::at(0)).unwrap();
    // The first one still believes that it holds the lease.
    assert!(first.lease().is_held());
    let error = first.write_batch(batch([4]), &Guard::at(0)).unwrap_err();
    assert_eq!((error.kind(), error.context("standby")), (ErrorKind::Store, Some("true")), "{error}");
    assert!(!first.lease().is_held());
    assert_eq!(
        first.get_many(&[vec![1], vec![2], vec![3], vec![4]]).unwrap(),
        [Some(vec![1]), None, Some(vec![3]), None]
    );
    for source in ["jira", "github", "jira"] {
        first.lease().wake(source).unwrap();
    }
    let sources = ["github", "jira", "linear"].map(str::to_owned);
    let (mut woken, _) = second.lease().woken(&sources).unwrap();
    woken.sort();
    assert_eq!((woken, second.lease().woken(&sources).unwrap().0), (sources[..2].to_vec(), vec![]));
    second.lease().release();
    assert!(first.lease().acquire().unwrap(), "it was given back");
    assert_eq!(first.lease().holder().unwrap().token, 3);
}

/// A write that waits for the lock of a takeover sees the new owner, not the one of when it began.
#[test]
fn a_write_that_waits_for_a_takeover_fails() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("waiting");
    let kv = Arc::new(writer(server, server.port(), &schema));
    let before = server.sql(&format!("SELECT token FROM {schema}.lease WHERE name = ''"));
    let takeover =
        format!("BEGIN; UPDATE {schema}.lease SET token = token + 1, nonce = 1; SELECT pg_advisory_lock(4711); COMMIT");
    let barrier = server.session("SELECT pg_advisory_lock(4711)");
    std::thread::scope(|scope| {
        scope.spawn(|| server.sql(&takeover));
        server.until("SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%4711%' AND wait_event = 'advisory'");
        let write = scope.spawn(|| kv.write_batch(batch([1]), &Guard::at(0)));
        server.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')");
        drop(barrier);
        let error = write.join().unwrap().unwrap_err();
        assert_eq!(error.context("standby"), Some("true"), "{error}");
    });
    assert_eq!(kv.get(&[1]).unwrap(), None);
    assert_ne!(server.sql(&format!("SELECT token FROM {schema}.lease WHERE name = ''")), before);
}

#[test]
fn a_write_whose_answer_is_lost_is_stored_once() {
    let Some(server) = Postgres::shared() else { return };
    stores_once(server, server.port());
}

#[test]
fn a_write_whose_answer_is_lost_on_the_way_to_a_pooler_is_stored_once() {
    let (Some(server), Some(bouncer)) = (Postgres::shared(), bouncer()) else { return };
    stores_once(server, bouncer.port());
}

fn stores_once(server: &Postgres, port: u16) {
    let proxy = Proxy::start(port, Duration::ZERO);
    let schema = server.schema("unknown");
    let store = Store::over(Arc::new(writer(server, proxy.port(), &schema))).unwrap();
    let nonce = || server.sql(&format!("SELECT nonce FROM {schema}.lease"));
    for number in 1..=20_u64 {
        let mut transaction = store.begin().unwrap();
        assert_eq!(transaction.metadata::<u64>("test", "number").unwrap().unwrap_or(0), number - 1);
        transaction.put_metadata("test", "number", &number).unwrap();
        let before = nonce();
        proxy.cut_before_next_answer();
        assert_eq!(transaction.commit().unwrap(), number);
        assert_ne!(nonce(), before, "nothing that was sent before may take effect later");
    }
    assert_eq!(store.head().unwrap(), 20);
}

#[test]
fn connections_that_are_cut_and_a_database_that_is_away_lose_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let schema = server.schema("cuts");
    let store = Store::over(Arc::new(writer(server, proxy.port(), &schema))).unwrap();
    let write = |number: u64| -> Result<u64, Error> {
        let mut transaction = store.begin()?;
        transaction.put_metadata("test", "number", &number)?;
        transaction.commit()
    };
    for number in 1..=10 {
        proxy.cut();
        assert_eq!(write(number).unwrap(), number, "a new connection is made");
    }
    proxy.set_down(true);
    let error = write(11).unwrap_err();
    assert!(
        error.to_string().contains("PostgreSQL does not answer") && error.to_string().contains("nothing was lost"),
        "{error}"
    );
    proxy.set_down(false);
    assert_eq!(write(11).unwrap(), 11, "without a restart");
    assert_eq!(store.metadata::<u64>("test", "number").unwrap(), Some(11));
}

/// As after a failover to a standby that lagged: the head is an older one.
#[test]
fn a_database_that_lost_commits_is_noticed_by_who_writes_and_by_who_stands_by() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("lost");
    let (writing, standing) = (connected(server, &schema), connected(server, &schema));
    assert!(writing.take_lease().unwrap());
    let write = |store: &Store, number: u64| -> Result<u64, Error> {
        let mut transaction = store.begin()?;
        transaction.put_metadata("test", "number", &number)?;
        transaction.commit()
    };
    write(&writing, 1).unwrap();
    let kept = server.sql(&format!("CREATE TABLE {schema}.kept AS SELECT * FROM {schema}.kv"));
    for number in 2..=5 {
        assert_eq!(write(&writing, number).unwrap(), number);
    }
    assert!(!standing.take_lease().unwrap(), "it reads the head and stands by");
    let go_back = format!("TRUNCATE {schema}.kv; INSERT INTO {schema}.kv SELECT * FROM {schema}.kept");
    assert_eq!((kept.as_str(), server.sql(&go_back).as_str()), ("", ""));
    let error = write(&writing, 6).unwrap_err();
    assert!(error.to_string().contains("lost commits") && error.context("standby") == Some("true"), "{error}");
    assert!(writing.is_standby(), "it gave the lease back, so that everything is read again");
    assert_eq!(standing.lease().unwrap().last_seen(), 5);
    assert!(standing.take_lease().unwrap());
    assert_eq!(standing.lease().unwrap().last_seen(), 1, "it goes on from what there is");
    assert_eq!(write(&standing, 6).unwrap(), 2);
    assert!(!writing.take_lease().unwrap());
    standing.lease().unwrap().release();
    assert!(writing.take_lease().unwrap());
    assert_eq!(write(&writing, 7).unwrap(), 3);
}

/// A write that began before the database went back does not say that somebody else writes.
#[test]
fn commits_that_are_lost_under_a_transaction_are_noticed_too() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("lost_under");
    let store = connected(server, &schema);
    assert!(store.take_lease().unwrap());
    let transaction = |number: u64| {
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", "number", &number).unwrap();
        transaction
    };
    transaction(1).commit().unwrap();
    let kept = format!("CREATE TABLE {schema}.kept AS SELECT * FROM {schema}.kv");
    assert!(server.sql(&kept).is_empty());
    transaction(2).commit().unwrap();
    let open = transaction(3);
    let go_back = format!("TRUNCATE {schema}.kv; INSERT INTO {schema}.kv SELECT * FROM {schema}.kept");
    assert!(server.sql(&go_back).is_empty());
    let error = open.commit().unwrap_err();
    assert!(error.to_string().contains("lost commits"), "{error}");
    assert!(store.take_lease().unwrap());
    assert_eq!(store.metadata::<u64>("test", "number").unwrap(), Some(1));
    assert_eq!(transaction(4).commit().unwrap(), 2);
}

/// The server says that its disk is full, here by a trigger.
#[test]
fn a_full_disk_there_is_said_and_nothing_is_lost() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("full");
    let kv = writer(server, server.port(), &schema);
    kv.write_batch(batch([1]), &Guard::at(0)).unwrap();
    drop(server.sql(&format!(
        "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON {schema}.kv FOR EACH ROW EXECUTE FUNCTION {schema}.no_room()"
    )));
    let error = kv.write_batch(batch([2]), &Guard::at(0)).unwrap_err();
    assert!(error.to_string().contains("the disk of PostgreSQL is full"), "{error}");
    assert_eq!(kv.get_many(&[vec![1], vec![2]]).unwrap(), [Some(vec![1]), None]);
    assert!(kv.trouble().unwrap().contains("the disk of PostgreSQL is full"), "who asks learns why");
    kv.check_writable().unwrap();
    drop(server.sql(&format!("DROP TRIGGER no_room ON {schema}.kv")));
    kv.write_batch(batch([2]), &Guard::at(0)).unwrap();
    assert_eq!(kv.trouble(), None);
}

#[test]
fn a_database_in_another_encoding_is_refused_at_the_beginning() {
    let Some(server) = Postgres::shared() else { return };
    drop(server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"));
    let url = format!("{}latin", server.url().strip_suffix("postgres").unwrap());
    let error = PgKv::prepare(&url, "encoding", LONG).map(drop).unwrap_err();
    assert!(error.full().contains("ENCODING 'UTF8'") && error.full().contains("LATIN1"), "{}", error.full());
}

/// One that accepts connections and then says nothing, as behind a load balancer without a server, or one that hangs.
#[test]
fn a_silent_database_is_an_error_soon_and_is_worked_with_again_once_it_answers() {
    let Some(server) = Postgres::shared() else { return };
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let url = format!("{}?connect_timeout=1", server.url_at(proxy.port()));
    let config = PostgresConfig { lease_ttl: Duration::from_secs(3), ..config(&server.schema("silent")) };
    let store = Store::connect_to_write(&config, &Secret::new(url.clone())).unwrap();
    assert!(store.join(&[Unit::source("a")]).unwrap());
    proxy.set_silent(true);
    let begun = Instant::now();
    while !store.is_standby() {
        assert!(begun.elapsed() < Duration::from_secs(10), "its lease never ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    let error = store.join(&[Unit::source("a")]).unwrap_err();
    assert!(error.to_string().contains("says nothing"), "{error}");
    assert!(store.trouble().unwrap().contains("says nothing"));
    let opened = Store::connect(&config, &Secret::new(url)).map(drop).unwrap_err();
    assert!(opened.to_string().contains("says nothing"), "{opened}");
    store.lease().unwrap().release();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    proxy.set_silent(false);
    while !store.join(&[Unit::source("a")]).unwrap_or(false) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never joins again");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(store.trouble(), None);
}

#[test]
fn a_host_that_says_nothing_is_passed_over() {
    let Some(server) = Postgres::shared() else { return };
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    proxy.set_silent(true);
    let both = format!("127.0.0.1:{},127.0.0.1:{}", proxy.port(), server.port());
    let url = server.url().replace(&format!("127.0.0.1:{}", server.port()), &both);
    let url = format!("{url}?connect_timeout=1&target_session_attrs=read-write");
    drop(PgKv::prepare(&url, &server.schema("passed"), LONG).unwrap());
}

#[test]
fn each_call_is_one_statement_also_on_a_slow_network() {
    let Some(server) = Postgres::shared() else { return };
    for delay in [Duration::ZERO, Duration::from_millis(1)] {
        let proxy = Proxy::start(server.port(), delay);
        let kv = writer(server, proxy.port(), &server.schema("statements"));
        kv.write_batch(batch(0..=200), &Guard::at(0)).unwrap();
        let _before = proxy.take_statements();
        let keys: Vec<Vec<u8>> = (0..=255).map(|key| vec![key]).collect();
        let ranges: Vec<_> = (0..=100).map(|key| super::KeyRange::prefix(vec![key])).collect();
        assert_eq!(kv.get_many(&keys).unwrap().iter().flatten().count(), 201);
        assert_eq!(kv.range(&super::KeyRange::all(), 50).unwrap().len(), 50);
        assert_eq!(kv.range_many(&ranges).unwrap().iter().flatten().count(), 101);
        kv.write_batch(batch(100..=255), &Guard::at(0)).unwrap();
        assert_eq!(proxy.take_statements(), 4);
        assert!(proxy.connections() <= 8);
    }
}

fn without_password(url: &str) -> String {
    let (start, rest) = (url.find("postgres:").unwrap(), url.find('@').unwrap());
    let user = url[start..].find("//").unwrap() + start + 2;
    format!("{}postgres{}", &url[..user], &url[rest..])
}

/// What was acknowledged is in a copy and in an export, and waits wherever it is brought.
#[test]
fn what_was_delivered_and_is_not_stored_yet_moves_with_the_store() {
    let Some(server) = Postgres::shared() else { return };
    let at = |name: &str| {
        let store = connected(server, &server.schema(name));
        assert!(store.take_lease().unwrap());
        store
    };
    let from = at("delivered");
    let ids = [9, 1].map(|number| format!("00000000-0000-0000-0000-00000000000{number}"));
    for id in &ids {
        from.lease().unwrap().deliver(id, "agents", &format!("a \"line\" of ä {id}\n")).unwrap();
    }
    let waiting = |store: &Store| store.lease().unwrap().delivered("agents", 9).unwrap();
    let before = waiting(&from);
    assert_eq!(before.iter().map(|(id, _)| id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    let export = store_tests::exported(&from);
    let (copied, imported, dir) = (at("copied"), at("imported"), tempfile::tempdir().unwrap());
    from.copy(&Destination::Database(&copied)).unwrap();
    Store::import(&Destination::Database(&imported), &mut export.as_slice()).unwrap();
    for store in [&copied, &imported] {
        assert_eq!((waiting(store), store.waiting_deliveries().unwrap()), (before.clone(), 2));
        assert!(store.brought().unwrap().is_empty() && store_tests::exported(store) == export);
    }
    let path = dir.path().join("data");
    from.copy(&Destination::Directory(&path)).unwrap();
    let directory = super::super::reopen::opened(&path).unwrap();
    let found: Vec<_> = directory.brought().unwrap().into_iter().map(|(_, found)| (found.id, found.body)).collect();
    assert_eq!((found, directory.waiting_deliveries().unwrap()), (before.clone(), 2));
    assert!(directory.verify().unwrap().problems.is_empty() && store_tests::exported(&directory) == export);
    let back = at("back");
    directory.copy(&Destination::Database(&back)).unwrap();
    assert_eq!(waiting(&back), before);
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let Some(server) = Postgres::shared() else { return };
    let opened =
        |url: &str, schema: &str| PgKv::open(url, schema, LONG).err().map(|error| error.full()).unwrap_or_default();
    let (url, schema) = (server.url(), server.schema("errors"));
    let wrong = url.replace("a-password", "hunter2");
    let cases = [
        (wrong, "does not let this user in"),
        (url.replace("//postgres:", "//stranger:"), "does not let this user in"),
        (without_password(&url), "asks for a password"),
        (format!("{}no_such_database", url.strip_suffix("postgres").unwrap()), "there is no such database"),
        (format!("{url}?sslmode=require"), "the server has no TLS"),
        (url.replace(&server.port().to_string(), "1"), "PostgreSQL does not answer"),
        (url.clone(), "there is no store in this schema"),
    ];
    for (url, expected) in cases {
        let text = opened(&url, &schema);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("hunter2") && !text.contains("a-password"), "{text}");
    }
    drop(writer(server, server.port(), &schema));
    drop(server.sql(&format!("UPDATE {schema}.lease SET min_writer = 3")));
    assert!(opened(&url, &schema).contains("a newer version of this program"));
}

#[test]
fn tls_is_used_where_it_is_required_and_its_certificate_is_verified() {
    let Some(server) = Postgres::start(&["fsync=off"]) else { return };
    let Some(ca) = server.enable_tls() else { return };
    let url = server.url().replace("127.0.0.1", "localhost");
    let opened =
        |query: &str| PgKv::prepare(&format!("{url}{query}"), "tls", LONG).map(drop).map_err(|error| error.full());
    assert_eq!(opened(&format!("?sslmode=verify-full&sslrootcert={}", ca.display())), Ok(()));
    assert_eq!(opened(&format!("?sslmode=prefer&sslrootcert={}", ca.display())), Ok(()));
    let untrusted = opened("?sslmode=require").unwrap_err();
    assert!(untrusted.contains("name its CA with sslrootcert"), "{untrusted}");
    let hba = server.folder().join("data/pg_hba.conf");
    std::fs::write(hba, "hostssl all all all scram-sha-256\n").unwrap();
    // The server reads the file anew a moment later; psql uses TLS if it can.
    assert_eq!(server.sql("SELECT pg_reload_conf()"), "t");
    let refused = || {
        opened("?sslmode=disable").err().or_else(|| {
            std::thread::sleep(Duration::from_millis(50));
            None
        })
    };
    let plain = std::iter::repeat_with(refused).take(1_000).find_map(|refused| refused).unwrap();
    assert!(plain.contains("may require TLS: sslmode=require"), "{plain}");
}

/// A replica of an older version stops with the first write after a newer one changed the tables.
#[test]
fn an_older_program_stops_when_the_tables_change() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("older");
    let kv = writer(server, server.port(), &schema);
    kv.write_batch(batch([1]), &Guard::at(0)).unwrap();
    drop(server.sql(&format!("UPDATE {schema}.lease SET min_writer = 3")));
    assert!(kv.write_batch(batch([2]), &Guard::at(0)).is_err());
    assert!(!kv.lease().acquire().unwrap_or(false));
    assert_eq!(kv.get(&[2]).unwrap(), None);
}

#[test]
fn what_is_exported_is_of_one_moment_while_another_process_writes() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("moment");
    let writing = connected(server, &schema);
    assert!(writing.take_lease().unwrap());
    let write = |number: u64| {
        let mut transaction = writing.begin().unwrap();
        for part in 0..5 {
            transaction.put_metadata("test", &format!("{number} {part}"), &number).unwrap();
        }
        transaction.commit().unwrap();
    };
    write(0);
    let reading = Store::connect(&config(&schema), &Secret::new(server.url())).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| (1..).take_while(|_| !is_done.load(std::sync::atomic::Ordering::SeqCst)).for_each(write));
        for _ in 0..5 {
            let head = reading.head().unwrap();
            let text = store_tests::exported(&reading);
            let counts = Store::check_export(&mut text.as_slice()).unwrap();
            // The format, the head, and whole transactions.
            assert_eq!((counts.keys - 2) % 5, 0, "{counts:?}");
            while reading.head().unwrap() == head {
                std::thread::yield_now();
            }
        }
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

#[test]
fn several_processes_may_make_the_tables_at_once() {
    let Some(server) = Postgres::shared() else { return };
    let (url, schema) = (server.url(), server.schema("at_once"));
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..4).map(|_| scope.spawn(|| PgKv::prepare(&url, &schema, LONG).map(drop))).collect();
        made.into_iter().for_each(|made| made.join().unwrap().unwrap());
    });
}

#[test]
fn a_store_is_copied_both_ways_and_an_import_fills_a_database() {
    let Some(server) = Postgres::shared() else { return };
    let source = store_tests::filled(&(Arc::new(MemoryKv::default()) as _));
    let text = store_tests::exported(&source);
    let (schema, dir) = (server.schema("copies"), tempfile::tempdir().unwrap());
    let there = connected(server, &schema);
    assert!(there.copy(&Destination::Database(&there)).is_err(), "without the lease");
    assert!(there.take_lease().unwrap());
    assert_eq!(source.copy(&Destination::Database(&there)).unwrap().tasks, 4);
    assert!(store_tests::exported(&there) == text);
    let path = dir.path().join("data");
    assert_eq!(there.copy(&Destination::Directory(&path)).unwrap().tasks, 4);
    assert!(store_tests::exported(&super::super::reopen::opened(&path).unwrap()) == text);
    let error = source.copy(&Destination::Database(&there)).unwrap_err();
    assert!(error.to_string().contains("already holds tasks"), "{error}");
    // A store that was copied is written to like any other.
    let mut transaction = there.begin().unwrap();
    transaction.put_seen(&store_tests::of("1"), 1).unwrap();
    assert_eq!(transaction.commit().unwrap(), 2);
    let other = connected(server, &server.schema("imports"));
    assert!(other.take_lease().unwrap());
    let broken = &text[..text.len() / 2];
    assert!(Store::import(&Destination::Database(&other), &mut &*broken).is_err());
    assert_eq!(other.task_keys(None).count(), 0, "nothing was imported");
    assert_eq!(Store::import(&Destination::Database(&other), &mut text.as_slice()).unwrap().counts.tasks, 4);
    assert!(store_tests::exported(&other) == text);
}

/// The address for a role that may do nothing yet but log in.
fn role(server: &Postgres, name: &str) -> String {
    drop(server.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'a-password:of@tests'")));
    server.url().replacen("//postgres:", &format!("//{name}:"), 1)
}

#[test]
fn users_need_no_more_than_is_documented_and_an_import_keeps_what_they_were_granted() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("least");
    let (owner, service) = (format!("{schema}_owner"), format!("{schema}_service"));
    let (owner_url, service_url) = (role(server, &owner), role(server, &service));
    let open = |url: &str| Store::connect_to_write(&config(&schema), &Secret::new(url.to_owned()));
    let error = open(&owner_url).map(drop).unwrap_err();
    assert!(error.to_string().contains("lacks a privilege"), "without a schema: {error}");
    drop(server.sql(&format!("CREATE SCHEMA {schema} AUTHORIZATION {owner}")));
    let filled = store_tests::exported(&store_tests::filled(&(Arc::new(MemoryKv::default()) as _)));
    let store = open(&owner_url).unwrap();
    drop(server.sql(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO {service};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {service}"
    )));
    assert!(store.take_lease().unwrap());
    drop(server.sql(&format!("ALTER TABLE {schema}.kv SET (autovacuum_vacuum_threshold = 7)")));
    let options = || server.sql(&format!("SELECT reloptions FROM pg_class WHERE oid = '{schema}.kv'::regclass"));
    let before = options();
    assert!(before.contains("fillfactor=80") && before.contains("autovacuum_vacuum_threshold=7"), "{before}");
    Store::import(&Destination::Database(&store), &mut filled.as_slice()).unwrap();
    assert_eq!(options(), before, "how the table is kept is what it was");
    store.lease().unwrap().release();
    let service = open(&service_url).unwrap();
    assert!(service.take_lease().unwrap());
    assert!(store_tests::exported(&service) == filled);
    let mut transaction = service.begin().unwrap();
    transaction.put_seen(&store_tests::of("1"), 1).unwrap();
    transaction.commit().unwrap();
}
