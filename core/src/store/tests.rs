//! The store on each of its engines: every test of `on_each_engine` runs on disk, in memory, and in PostgreSQL with and without a pooler.

use std::sync::Arc;

use super::kv::{PAGE, Pages};
use super::prefetch::Wanted;
use super::*;
use crate::model::activity::StoredActivity;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::samples::{artifact, facts, record, stored};
use crate::model::time::Millis;
use crate::model::{Change, Facts, ParentRef, Status, TaskKey, TaskRecord};

/// Makes of each function a test on each engine.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {
        mod on_disk {
            $(#[test] fn $test() {
                let dir = tempfile::tempdir().unwrap();
                super::$test(&super::on_disk(dir.path()).unwrap());
            })+
        }
        mod in_postgres {
            $(#[test] fn $test() {
                let Some(engine) = super::postgres::tests::engine(stringify!($test)) else { return };
                super::$test(&engine);
            })+
        }
        mod behind_a_pooler {
            $(#[test] fn $test() {
                let Some(engine) = super::postgres::tests::engine_behind_a_pooler(stringify!($test)) else { return };
                super::$test(&engine);
            })+
        }
        mod in_memory {
            $(#[test] fn $test() {
                super::$test(&(std::sync::Arc::new(super::MemoryKv::default()) as _));
            })+
        }
    };
}

on_each_engine! {
    a_range_holds_its_first_key_and_not_its_end,
    pages_return_every_pair_once_and_in_order,
    a_batch_puts_and_removes_and_its_values_are_read_in_order,
    a_batch_of_an_overtaken_writer_changes_nothing,
    a_long_journal_is_cut_in_steps_and_completely,
    an_export_restores_the_same_store_on_disk,
    reading_ahead_never_changes_an_answer,
    a_missing_index_is_found,
    a_record_that_was_understood_leaves_quarantine,
}

type Engine = Arc<dyn Kv>;

fn put(kv: &Engine, keys: impl IntoIterator<Item = Vec<u8>>) {
    let batch = keys.into_iter().map(|key| (key.clone(), Some(key))).collect();
    kv.write_batch(batch, &Guard::at(0)).unwrap();
}

fn keys(pairs: Vec<Pair>) -> Vec<Vec<u8>> {
    assert!(pairs.iter().all(|(key, value)| key == value));
    pairs.into_iter().map(|(key, _)| key).collect()
}

fn a_range_holds_its_first_key_and_not_its_end(kv: &Engine) {
    let all = [vec![1], vec![1, 0], vec![1, 255], vec![1, 255, 255], vec![2], vec![255], vec![255, 255]];
    put(kv, all.clone());
    let read = |range: KeyRange, limit| keys(kv.range(&range, limit).unwrap());
    assert_eq!(read(KeyRange::between(vec![1, 0], vec![2]), 9), all[1..4]);
    assert_eq!(read(KeyRange::prefix(vec![1, 255]), 9), all[2..4]);
    assert_eq!(read(KeyRange::prefix(vec![255]), 9), all[5..]);
    assert_eq!(read(KeyRange::all(), 2), all[..2]);
    assert!(read(KeyRange::between(vec![2], vec![1]), 9).is_empty() && read(KeyRange::prefix(vec![3]), 9).is_empty());
    let many =
        kv.range_many(&[KeyRange::prefix(vec![2]), KeyRange::prefix(vec![3]), KeyRange::prefix(vec![1])]).unwrap();
    let many: Vec<_> = many.into_iter().map(keys).collect();
    assert_eq!(many, [all[4..5].to_vec(), vec![], all[..4].to_vec()]);
}

fn pages_return_every_pair_once_and_in_order(kv: &Engine) {
    for size in [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE] {
        let all: Vec<Vec<u8>> = (0_u16..).take(size).map(|n| [&[b'x'][..], &n.to_be_bytes()].concat()).collect();
        put(kv, all.clone());
        let pages = Pages::new(kv, KeyRange::prefix(vec![b'x']));
        assert_eq!(keys(pages.map(Result::unwrap).collect()), all, "{size}");
    }
}

fn a_batch_puts_and_removes_and_its_values_are_read_in_order(kv: &Engine) {
    put(kv, [vec![1], vec![2]]);
    kv.write_batch(vec![(vec![1], None), (vec![3], Some(vec![9])), (vec![7], None)], &Guard::at(0)).unwrap();
    assert_eq!(kv.get_many(&[vec![3], vec![1], vec![2]]).unwrap(), [Some(vec![9]), None, Some(vec![2])]);
    assert_eq!((kv.get(&[3]).unwrap(), kv.get(&[1]).unwrap()), (Some(vec![9]), None));
}

fn a_batch_of_an_overtaken_writer_changes_nothing(kv: &Engine) {
    let (first, second) = (Store::over(Arc::clone(kv)).unwrap(), Store::over(Arc::clone(kv)).unwrap());
    let mut overtaken = second.begin().unwrap();
    overtaken.put_metadata("test", "writer", &"second").unwrap();
    let mut transaction = first.begin().unwrap();
    transaction.put_metadata("test", "writer", &"first").unwrap();
    assert_eq!(transaction.commit().unwrap(), 1);
    let error = overtaken.commit().unwrap_err();
    assert_eq!((error.kind(), error.context("conflict")), (ErrorKind::Store, Some("true")), "{error}");
    assert_eq!(first.metadata::<String>("test", "writer").unwrap().as_deref(), Some("first"));
    assert_eq!(first.head().unwrap(), 1);
    let mut again = second.begin().unwrap();
    again.put_metadata("test", "writer", &"second").unwrap();
    assert_eq!(again.commit().unwrap(), 2);
}

fn a_long_journal_is_cut_in_steps_and_completely(kv: &Engine) {
    let store = Store::over(Arc::clone(kv)).unwrap();
    let mut transaction = store.begin().unwrap();
    for n in 0..2 * transaction::PRUNED_AT_ONCE + 1 {
        let key = TaskKey::new("jira", n.to_string());
        transaction.journal("jira", &Item::Task(key)).unwrap();
    }
    transaction.journal("other", &Item::Task(TaskKey::new("other", "1"))).unwrap();
    let upto = transaction.seq();
    transaction.commit().unwrap();
    let left = |source| store.journal(source, 0, u64::MAX).count();
    let mut cuts = 0;
    let mut more = true;
    while more {
        let mut transaction = store.begin().unwrap();
        more = transaction.prune("jira", upto).unwrap();
        transaction.commit().unwrap();
        cuts += 1;
        assert_eq!(store.pruned("jira").unwrap(), upto, "from the first cut on the journal is incomplete");
    }
    assert_eq!((cuts, left("jira"), left("other")), (3, 0, 1));
}

fn task(parent: Option<&str>, name: &str, status: Status) -> TaskRecord {
    let parent = parent.map(|id| ParentRef { native_id: id.into(), key: None });
    let first = Facts { key: name.into(), parent, estimate: Some(2.0), ..facts(status) };
    record(vec![stored(1, Change::Created(Box::new(first)))])
}

pub(super) fn of(id: &str) -> TaskKey {
    TaskKey::new("jira", id)
}

fn activity(id: &str) -> StoredActivity {
    StoredActivity {
        source: "github".into(),
        native_id: id.into(),
        at: Millis(5),
        actor: None,
        artifact: artifact("commit", id),
    }
}

/// A store with a hierarchy of three levels, names and pending activities.
pub(super) fn filled(kv: &Engine) -> Store {
    let store = Store::over(Arc::clone(kv)).unwrap();
    let mut transaction = store.begin().unwrap();
    for (id, parent) in [("1", None), ("2", Some("1")), ("3", Some("2")), ("4", Some("missing"))] {
        let record = task(parent, &format!("PROJ-{id}"), Status::Todo);
        transaction.put_task(&of(id), None, &record, true).unwrap();
    }
    transaction.put_pending("PROJ-9", &activity("a1")).unwrap();
    transaction.commit().unwrap();
    store
}

pub(super) fn exported(store: &Store) -> Vec<u8> {
    let mut text = Vec::new();
    store.export(&mut text).unwrap();
    text
}

fn an_export_restores_the_same_store_on_disk(kv: &Engine) {
    let text = exported(&filled(kv));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let imported = Store::import(&Destination::Directory(&path), &mut text.as_slice()).unwrap();
    assert_eq!((imported.counts.tasks, imported.verified, imported.problems), (4, true, vec![]));
    let error = reopen::patiently(|| Store::import(&Destination::Directory(&path), &mut text.as_slice())).unwrap_err();
    assert!(error.to_string().contains("already holds tasks"), "{error}");
    let other = reopen::opened(&path).unwrap();
    assert!(exported(&other) == text);
    let found = other.verify().unwrap();
    assert_eq!((found.tasks, found.journal, found.problems), (4, 4, vec![]));
    // A store that was imported is written to like any other.
    let mut transaction = other.begin().unwrap();
    transaction.put_seen(&of("1"), 1).unwrap();
    assert_eq!(transaction.commit().unwrap(), 2);
}

fn reading_ahead_never_changes_an_answer(kv: &Engine) {
    let store = filled(kv);
    let change = |ahead: bool| {
        let mut transaction = store.begin().unwrap();
        if ahead {
            let mut wanted = Wanted::default();
            ["1", "3", "5"].into_iter().for_each(|id| wanted.task(of(id)));
            ["PROJ-9", "PROJ-8"].into_iter().for_each(|name| wanted.pending(name));
            wanted.named("PROJ-3");
            transaction.load(wanted).unwrap();
            transaction.load_lineage(["3", "5"].into_iter().map(of).collect()).unwrap();
        }
        // A task moves to another parent, a new one takes its place, and one is written twice.
        let known = transaction.task(&of("3")).unwrap();
        transaction.put_task(&of("3"), known.as_deref(), &task(Some("1"), "OPS-3", Status::Done), true).unwrap();
        transaction.put_task(&of("5"), None, &task(Some("3"), "PROJ-5", Status::Todo), true).unwrap();
        let known = transaction.task(&of("5")).unwrap();
        transaction.put_task(&of("5"), known.as_deref(), &task(Some("2"), "PROJ-3", Status::Done), true).unwrap();
        transaction.put_pending("PROJ-9", &activity("b2")).unwrap();
        let answers = (transaction.named("PROJ-3").unwrap(), transaction.pending("PROJ-9").unwrap());
        let writes: std::collections::BTreeMap<_, _> = transaction.writes.clone().into_iter().collect();
        (answers, writes)
    };
    let (one_by_one, ahead) = (change(false), change(true));
    assert_eq!((one_by_one.0.0.len(), one_by_one.0.1.len()), (2, 2));
    assert!(one_by_one == ahead);
}

fn a_missing_index_is_found(kv: &Engine) {
    let store = filled(kv);
    let open = key::Key::new(key::Kind::Open).task(&of("2")).build();
    kv.write_batch(vec![(open, None)], &Guard::at(1)).unwrap();
    assert_eq!(store.verify().unwrap().problems, ["jira/2: missing from an index"]);
}

fn a_record_that_was_understood_leaves_quarantine(kv: &Engine) {
    let store = Store::over(Arc::clone(kv)).unwrap();
    let quarantined = |json: &str| Quarantined {
        source: "jira".into(),
        native_id: "1".into(),
        reason: "no key".into(),
        at: Millis(1),
        json: json.into(),
    };
    let put = |record| {
        let mut transaction = store.begin().unwrap();
        transaction.put_quarantined("jira", "1", record).unwrap();
        transaction.commit().unwrap();
        store.quarantined_records(Some("jira")).unwrap()
    };
    let long = "x".repeat(20 << 10);
    assert_eq!(put(Some(quarantined(&long))), [quarantined(&long[..16 << 10])]);
    assert!(put(None).is_empty());
    // Within one transaction, too.
    let mut transaction = store.begin().unwrap();
    transaction.put_quarantined("jira", "1", Some(quarantined("{}"))).unwrap();
    transaction.put_quarantined("jira", "1", None).unwrap();
    transaction.commit().unwrap();
    assert!(store.quarantined_records(None).unwrap().is_empty());
}

#[test]
fn pages_end_after_an_error() {
    struct Broken;
    impl Kv for Broken {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>> {
            Ok(None)
        }
        fn get_many(&self, _: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
            Ok(vec![])
        }
        fn range(&self, _: &KeyRange, _: usize) -> Result<Vec<Pair>> {
            Err(Error::new(ErrorKind::Store, "read the store"))
        }
        fn range_many(&self, _: &[KeyRange]) -> Result<Vec<Vec<Pair>>> {
            Ok(vec![])
        }
        fn write_batch(&self, _: Batch, _: &Guard) -> Result<()> {
            Ok(())
        }
        fn size(&self) -> Result<u64> {
            Ok(0)
        }
    }
    let pages = Pages::new(&(Arc::new(Broken) as Engine), KeyRange::all());
    assert_eq!(pages.take(9).map(|pair| pair.is_err()).collect::<Vec<_>>(), [true]);
}
