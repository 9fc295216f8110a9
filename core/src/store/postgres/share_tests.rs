//! Processes that share a store: who gets which lease, what each may write, and how their writes meet. On a real server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contextcore_postgres::{Postgres, Proxy};

use super::super::{Cursor, LeaseRow, Quarantined, Store, Unit};
use super::tests::{LONG, config, connected, expire};
use crate::model::error::{Error, Result};
use crate::model::secret::Secret;
use crate::model::time::Millis;

fn source(name: &str) -> Unit {
    Unit::source(name)
}

fn units() -> Vec<Unit> {
    Unit::all(["a", "b"])
}

/// A process that has joined and holds these sources.
fn joined(server: &Postgres, schema: &str, sources: &[&str]) -> Store {
    let store = connected(server, schema);
    assert!(store.join(&units()).unwrap());
    take(&store, sources);
    store
}

fn take(store: &Store, sources: &[&str]) {
    store.lease().unwrap().take(&sources.iter().map(|name| source(name)).collect::<Vec<_>>()).unwrap();
}

fn held(store: &Store) -> BTreeSet<Unit> {
    store.lease().unwrap().units()
}

/// Adds one to a number, as a write of a source.
fn count(store: &Store, of: &str, name: &str) -> Result<u64, Error> {
    let store = store.of(source(of));
    let mut transaction = store.begin()?;
    let next = transaction.metadata::<u64>("test", name)?.unwrap_or(0) + 1;
    transaction.put_metadata("test", name, &next)?;
    transaction.commit()
}

/// Which lock is that of the turn of this store.
fn turn(schema: &str) -> String {
    let lock = super::sql::turn_of(schema);
    format!("locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = {lock}")
}

#[test]
fn one_process_at_a_time_has_a_source_and_only_it_writes_for_it() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("units");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["a", "b"]));
    assert_eq!((held(&one), held(&two)), (BTreeSet::from([source("a")]), BTreeSet::from([source("b")])));
    count(&one, "a", "x").unwrap();
    count(&two, "b", "x").unwrap();
    let error = count(&two, "a", "x").unwrap_err();
    assert_eq!(error.context("standby"), Some("true"), "{error}");
    one.lease().unwrap().give_back(&[source("a")]);
    assert!(count(&one, "a", "x").is_err(), "it gave the source back");
    take(&two, &["a"]);
    count(&two, "a", "x").unwrap();
    assert_eq!((one.head().unwrap(), one.metadata::<u64>("test", "x").unwrap()), (3, Some(3)));
    let rows = one.lease().unwrap().survey().unwrap();
    let token = |unit: &Unit| rows.iter().find(|row| row.unit.as_ref() == Some(unit)).map(|row| row.token);
    assert_eq!((token(&source("a")), token(&source("b"))), (Some(2), Some(1)), "a token grows with every owner");
    let names: BTreeSet<&str> = rows.iter().filter(|row| row.is_live_replica()).map(|row| row.owner.as_str()).collect();
    assert_eq!(names.len(), 2, "two of one name differ: {names:?}");
}

#[test]
fn an_owner_that_was_taken_over_writes_nothing_for_that_source_and_keeps_the_others() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("fence");
    let one = joined(server, &schema, &["a", "b"]);
    count(&one, "a", "x").unwrap();
    drop(server.sql(&format!("UPDATE {schema}.lease SET expires = 'epoch' WHERE name = 'source/a'")));
    let two = joined(server, &schema, &["a"]);
    // It still believes that it has both.
    assert_eq!(held(&one).len(), 2);
    let error = count(&one, "a", "x").unwrap_err();
    assert_eq!(error.context("standby"), Some("true"), "{error}");
    assert_eq!(held(&one), BTreeSet::from([source("b")]));
    count(&one, "b", "x").unwrap();
    count(&two, "a", "x").unwrap();
    assert_eq!(two.metadata::<u64>("test", "x").unwrap(), Some(3));
}

/// As after a pause that is longer than a lease, in which the other kind of owner took over.
#[test]
fn who_had_everything_writes_nothing_once_others_share_it() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("whole_stale");
    let one = connected(server, &schema);
    assert!(one.take_lease().unwrap());
    count(&one, "a", "x").unwrap();
    expire(server, &schema);
    let two = joined(server, &schema, &["a"]);
    count(&two, "a", "x").unwrap();
    assert!(one.lease().unwrap().is_exclusive(), "it still believes that it has everything");
    assert!(!renews(&one), "what it asks for more time for is another's");
    let error = count(&one, "a", "x").unwrap_err();
    assert_eq!(error.context("standby"), Some("true"), "{error}");
    assert!(one.is_standby());
    count(&two, "a", "x").unwrap();
    assert_eq!(two.metadata::<u64>("test", "x").unwrap(), Some(3));
}

#[test]
fn who_shared_a_store_writes_nothing_once_another_has_everything() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("share_stale");
    let (one, two) = (joined(server, &schema, &["a", "b"]), connected(server, &schema));
    count(&one, "a", "x").unwrap();
    expire(server, &schema);
    assert!(two.take_lease().unwrap());
    count(&two, "a", "x").unwrap();
    assert_eq!(held(&one).len(), 2, "it still believes that it has both");
    assert!(!renews(&one), "what it asks for more time for is another's");
    take(&one, &["c"]);
    assert!(!held(&one).contains(&source("c")), "it takes nothing more");
    for of in ["a", "b"] {
        let error = count(&one, of, "x").unwrap_err();
        assert_eq!(error.context("standby"), Some("true"), "{error}");
    }
    let unfenced = one.begin().and_then(|mut transaction| {
        transaction.put_metadata("test", "x", &9_u64)?;
        transaction.commit()
    });
    assert_eq!(unfenced.unwrap_err().context("standby"), Some("true"), "nor what belongs to no unit");
    count(&two, "a", "x").unwrap();
    assert_eq!(two.metadata::<u64>("test", "x").unwrap(), Some(3));
}

/// Whether anything that a process believes to hold can be renewed.
fn renews(store: &Store) -> bool {
    let lease = store.lease().unwrap();
    let (state, held) = (Arc::clone(&lease.state), lease.state.current().unwrap());
    !lease.client.wait(async move { state.extend(&held).await }).unwrap().unwrap().is_empty()
}

/// Many take the store and share it at once, as when `sync` runs while replicas start: one kind gets it, and no statement fails.
#[test]
fn taking_everything_and_sharing_it_at_once_never_fails() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("race");
    let stores: Vec<Store> = (0..4).map(|_| connected(server, &schema)).collect();
    std::thread::scope(|scope| {
        for (at, store) in stores.iter().enumerate() {
            scope.spawn(move || {
                for _ in 0..40 {
                    let is_whole = at % 2 == 0;
                    let has = if is_whole { store.take_lease().unwrap() } else { store.join(&units()).unwrap() };
                    if has && !is_whole {
                        take(store, &["a", "b"]);
                    }
                    if has {
                        count(store, "a", "x")
                            .map(drop)
                            .or_else(|error| match error.context("standby") {
                                Some(_) if !is_whole => Ok(()),
                                _ => Err(error),
                            })
                            .unwrap();
                    }
                    store.lease().unwrap().release();
                }
            });
        }
    });
}

/// What each process reads in a transaction nobody changes before it commits, whichever source it writes for.
#[test]
fn writes_of_several_processes_lose_nothing_and_their_order_is_one() {
    const EACH: u64 = 40;
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("together");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["b"]));
    let write =
        |store: &Store, of: &str| -> Vec<u64> { (0..EACH).map(|_| count(store, of, "both").unwrap()).collect() };
    let (mine, theirs) = std::thread::scope(|scope| {
        let first = scope.spawn(|| write(&one, "a"));
        let second = scope.spawn(|| write(&two, "b"));
        (first.join().unwrap(), second.join().unwrap())
    });
    let numbers: BTreeSet<u64> = mine.into_iter().chain(theirs).collect();
    assert_eq!(numbers, (1..=2 * EACH).collect(), "no journal number twice and none left out");
    assert_eq!(one.metadata::<u64>("test", "both").unwrap(), Some(2 * EACH));
    server.until(&format!("SELECT count(*) = 0 FROM pg_locks WHERE {}", turn(&schema)));
}

/// A writer that stands still loses its turn; what it writes then fails as a whole, because others wrote meanwhile.
#[test]
fn a_writer_without_its_turn_meets_the_others_at_the_head() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("paused");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["b"]));
    let slow = one.of(source("a"));
    let mut transaction = slow.begin().unwrap();
    transaction.put_metadata("test", "mine", &1_u64).unwrap();
    drop(server.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND {}", turn(&schema))));
    count(&two, "b", "theirs").unwrap();
    let error = transaction.commit().unwrap_err();
    assert_eq!(error.context("conflict"), Some("true"), "{error}");
    assert_eq!(one.metadata::<u64>("test", "mine").unwrap(), None);
    count(&one, "a", "mine").unwrap();
}

#[test]
fn a_write_of_a_sharing_process_whose_answer_is_lost_is_stored_once() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("lost");
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let one = Store::connect_to_write(&config(&schema), &Secret::new(server.url_at(proxy.port()))).unwrap();
    assert!(one.join(&units()).unwrap());
    take(&one, &["a"]);
    let two = joined(server, &schema, &["b"]);
    for number in 1..=10_u64 {
        let store = one.of(source("a"));
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", "number", &number).unwrap();
        proxy.cut_before_next_answer();
        // The connection of its turn is cut as well, so that another may write in between.
        match transaction.commit() {
            Ok(_) => {}
            Err(error) => assert_eq!(error.context("conflict"), Some("true"), "{error}"),
        }
        count(&two, "b", "theirs").unwrap();
        count(&one, "a", "mine").unwrap();
    }
    let number = |name: &str| one.metadata::<u64>("test", name).unwrap();
    assert_eq!((number("mine"), number("theirs")), (Some(10), Some(10)));
}

fn put_cursor(store: &Store, of: &str, place: u64) -> Result<u64, Error> {
    let store = store.of(source(of));
    let mut transaction = store.begin()?;
    transaction.put_cursor(of, "issues", Some(&Cursor(place.into())))?;
    transaction.commit()
}

fn cursor(store: &Store, of: &str) -> Option<u64> {
    store.cursor(of, "issues").unwrap().and_then(|cursor| cursor.0.as_u64())
}

/// What only the owner of a source writes costs no statement while it is the owner, and is read anew once it is not.
#[test]
fn what_is_remembered_of_a_source_ends_with_its_lease() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("remembered");
    let proxy = Proxy::start(server.port(), Duration::ZERO);
    let one = Store::connect_to_write(&config(&schema), &Secret::new(server.url_at(proxy.port()))).unwrap();
    assert!(one.join(&units()).unwrap());
    take(&one, &["a"]);
    let statements = |what: &dyn Fn()| {
        // The turn of the last writer ends a moment after its write.
        while proxy.take_statements() > 0 {
            std::thread::sleep(Duration::from_millis(200));
        }
        what();
        proxy.take_statements()
    };
    put_cursor(&one, "a", 1).unwrap();
    assert_eq!(statements(&|| assert_eq!(cursor(&one, "a"), Some(1))), 0, "it was written here");
    let quarantined = || one.quarantined_records(Some("a")).unwrap().len();
    assert_eq!([1, 2].map(|_| statements(&|| assert_eq!(quarantined(), 0))), [1, 0], "it was read here");
    assert_eq!([1, 2].map(|_| statements(&|| assert_eq!(cursor(&one, "b"), None))), [1, 1], "it is not ours");
    assert_eq!([1, 2].map(|_| statements(&|| assert_eq!(one.sealed("a").unwrap(), 0))), [1, 1], "others write it too");
    // Another one takes over without a word, as after a long pause.
    drop(server.sql(&format!("UPDATE {schema}.lease SET expires = 'epoch' WHERE name = 'source/a'")));
    let two = joined(server, &schema, &["a"]);
    put_cursor(&two, "a", 2).unwrap();
    let error = put_cursor(&one, "a", 3).unwrap_err();
    assert_eq!(error.context("standby"), Some("true"), "what is written from an old value is refused: {error}");
    assert_eq!(cursor(&one, "a"), Some(2), "it is read anew");
    two.lease().unwrap().give_back(&[source("a")]);
    take(&one, &["a"]);
    assert_eq!([1, 2].map(|_| statements(&|| assert_eq!(cursor(&one, "a"), Some(2)))), [1, 0]);
    one.lease().unwrap().give_back(&[source("a")]);
    take(&two, &["a"]);
    put_cursor(&two, "a", 4).unwrap();
    two.lease().unwrap().give_back(&[source("a")]);
    take(&one, &["a"]);
    assert_eq!(cursor(&one, "a"), Some(4), "also when it comes back under the same nonce");
}

/// A list follows what is written to it, and a write that failed makes nothing of it remembered.
#[test]
fn what_is_remembered_follows_the_writes_of_this_process() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("follows");
    let one = joined(server, &schema, &["a"]);
    let put = |id: &str, is_there: bool| -> Result<u64, Error> {
        let store = one.of(source("a"));
        let mut transaction = store.begin()?;
        let (native_id, json) = (id.to_owned(), "{}".to_owned());
        let quarantined = Quarantined { source: "a".into(), native_id, reason: "no".into(), at: Millis(1), json };
        transaction.put_quarantined("a", id, is_there.then_some(quarantined))?;
        transaction.commit()
    };
    let ids = || -> Vec<String> {
        one.quarantined_records(Some("a")).unwrap().into_iter().map(|record| record.native_id).collect()
    };
    assert!(ids().is_empty());
    put("1", true).unwrap();
    assert_eq!(ids(), ["1"]);
    put("2", true).unwrap();
    put("1", false).unwrap();
    assert_eq!(ids(), ["2"]);
    drop(server.sql(&format!(
        "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON {schema}.kv FOR EACH ROW EXECUTE FUNCTION {schema}.no_room()"
    )));
    put("3", true).unwrap_err();
    assert_eq!(ids(), ["2"]);
}

/// As after a failover to a standby that lagged, where the other replicas have committed more since than was lost.
#[test]
fn lost_commits_of_an_owner_are_noticed_however_many_others_have_committed_since() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("behind");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["b"]));
    put_cursor(&one, "a", 1).unwrap();
    for table in ["kv", "lease"] {
        drop(server.sql(&format!("CREATE TABLE {schema}.kept_{table} AS SELECT * FROM {schema}.{table}")));
    }
    put_cursor(&one, "a", 2).unwrap();
    drop(server.sql(&format!(
        "TRUNCATE {schema}.kv; INSERT INTO {schema}.kv SELECT * FROM {schema}.kept_kv;
         UPDATE {schema}.lease SET committed = kept.committed FROM {schema}.kept_lease kept WHERE kept.name = lease.name"
    )));
    for _ in 0..5 {
        count(&two, "b", "x").unwrap();
    }
    let error = put_cursor(&one, "a", 3).unwrap_err();
    assert!(error.to_string().contains("lost commits") && error.context("standby") == Some("true"), "{error}");
    assert!(one.is_standby(), "it gave everything back, so that everything is read again");
    assert!(one.join(&units()).unwrap());
    take(&one, &["a"]);
    assert_eq!(cursor(&one, "a"), Some(1));
    put_cursor(&one, "a", 2).unwrap();
}

#[test]
fn nobody_joins_a_store_that_one_process_has_and_nobody_takes_one_that_is_shared() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("whole");
    let (one, two) = (connected(server, &schema), connected(server, &schema));
    assert!(one.take_lease().unwrap() && !two.join(&units()).unwrap());
    one.lease().unwrap().release();
    assert!(two.join(&units()).unwrap());
    assert!(!one.take_lease().unwrap());
    let holder = one.lease().unwrap().holder().unwrap();
    assert!(holder.owner.contains("pid") && !holder.is_ours, "{holder:?}");
    two.lease().unwrap().release();
    assert!(one.take_lease().unwrap());
    expire(server, &schema);
    assert!(two.join(&units()).unwrap(), "its lease has ended");
}

#[test]
fn a_process_that_works_on_a_unit_gives_it_back_afterwards() {
    let Some(server) = Postgres::shared() else { return };
    let one = joined(server, &server.schema("leaving"), &["a"]);
    let lease = Arc::clone(one.lease().unwrap());
    let working = one.enter(&source("a")).unwrap();
    assert!(one.enter(&source("b")).is_none());
    lease.leave(&source("a"));
    assert!(!one.owns(&source("a")) && one.enter(&source("a")).is_none(), "nobody begins");
    count(&one, "a", "x").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let is_over =
        |limit| runtime.block_on(async { tokio::time::timeout(limit, lease.left(&source("a"))).await.is_ok() });
    assert!(!is_over(Duration::from_millis(10)));
    drop(working);
    assert!(is_over(LONG));
    lease.give_back(&[source("a")]);
    take(&one, &["a"]);
    assert!(one.owns(&source("a")));
}

#[test]
fn what_is_delivered_waits_for_the_owner_and_is_forgotten_once() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("inbox");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["b"]));
    let (mine, theirs) = (one.lease().unwrap(), two.lease().unwrap());
    let id = "00000000-0000-0000-0000-00000000000a";
    for _ in 0..2 {
        theirs.deliver(id, "a", "line").unwrap();
    }
    theirs.wake("a").unwrap();
    theirs.wake_export("a").unwrap();
    theirs.wake("b").unwrap();
    assert_eq!(mine.woken(&["a".to_owned()]).unwrap(), (vec!["a".to_owned()], true));
    assert_eq!(mine.woken(&["a".to_owned()]).unwrap(), (vec![], false));
    assert_eq!(mine.delivered("a", 9).unwrap(), [(id.to_owned(), "line".to_owned())]);
    assert!(!theirs.is_taken_in(id).unwrap());
    mine.taken_in(vec![id.to_owned()]).unwrap();
    assert!(theirs.is_taken_in(id).unwrap() && mine.delivered("a", 9).unwrap().is_empty());
}

/// What a replica could not write, the others and `status` see.
#[test]
fn a_replica_that_cannot_write_says_why_with_its_lease() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("trouble");
    let one = joined(server, &schema, &["a"]);
    let said = || -> Vec<String> {
        assert!(renews(&one));
        let rows = one.lease().unwrap().survey().unwrap();
        rows.into_iter().filter(LeaseRow::is_live_replica).map(|row| row.wanted).collect()
    };
    count(&one, "a", "x").unwrap();
    assert_eq!(said(), [""]);
    drop(server.sql(&format!(
        "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
         END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON {schema}.kv FOR EACH ROW EXECUTE FUNCTION {schema}.no_room()"
    )));
    count(&one, "a", "x").unwrap_err();
    let try_to_write = || {
        let lease = one.lease().unwrap();
        let state = Arc::clone(&lease.state);
        lease.client.wait(async move { state.try_to_write().await }).unwrap();
    };
    try_to_write();
    assert!(said()[0].contains("the disk of PostgreSQL is full"), "{:?}", said());
    drop(server.sql(&format!("DROP TRIGGER no_room ON {schema}.kv")));
    try_to_write();
    assert_eq!(said(), [""], "also without a write of its own");
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {schema}.kv WHERE source <> ''")), "0");
    count(&one, "a", "x").unwrap();
}

/// A store of the version before has its tables brought up to date; its program may not write any more.
#[test]
fn tables_of_the_version_before_are_brought_up_to_date() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("before");
    let one = connected(server, &schema);
    assert!(one.take_lease().unwrap());
    count(&one, "a", "x").unwrap();
    drop(one);
    drop(server.sql(&format!(
        "ALTER TABLE {schema}.lease DROP COLUMN committed, DROP COLUMN units, DROP COLUMN wanted; DROP TABLE {schema}.inbox;
         UPDATE {schema}.lease SET format = 1, min_writer = 1"
    )));
    let two = joined(server, &schema, &["a"]);
    count(&two, "a", "x").unwrap();
    assert_eq!(two.metadata::<u64>("test", "x").unwrap(), Some(2));
    assert_eq!(server.sql(&format!("SELECT format, min_writer FROM {schema}.lease WHERE name = ''")), "2|2");
}

#[test]
fn a_replica_that_has_joined_says_what_else_it_knows() {
    let Some(server) = Postgres::shared() else { return };
    let schema = server.schema("reloads");
    let (one, two) = (joined(server, &schema, &["a"]), joined(server, &schema, &["b"]));
    let known = |of: &Store| {
        let name = of.lease().unwrap().name();
        two.lease()
            .unwrap()
            .survey()
            .unwrap()
            .into_iter()
            .find(|row| row.unit.is_none() && row.owner == name)
            .unwrap()
            .units
    };
    let more = Unit::all(["a", "c"]);
    assert!(one.join(&more).unwrap());
    assert_eq!(known(&one), more.into_iter().collect(), "the database knows it");
    assert_eq!(known(&two), units().into_iter().collect(), "others are as they were");
    assert_eq!(held(&one), BTreeSet::from([source("a")]), "what it holds stays");
    count(&one, "a", "x").unwrap();
    expire(server, &schema);
    drop(server.sql(&format!("DELETE FROM {schema}.lease WHERE name LIKE 'replica/%'")));
    assert!(!one.join(&units()).unwrap(), "it has lost its lease without knowing");
}
