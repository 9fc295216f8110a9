//! Where exports stop and continue.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::config;
use crate::config::kind::unchecked;
use crate::model::samples::{facts, stored};
use crate::model::time::HOUR;
use crate::model::{Change, Status, StoredEvent, TaskKey, TaskRecord};
use crate::progress::Quiet;
use crate::store::MemoryKv;

/// Stores a task that is finished and seals its source.
fn finish_a_task(store: &Store, id: &str, at: i64) {
    let mut transaction = store.begin().unwrap();
    let change = Change::Status { status: Status::Done, native: "Done".into() };
    let events = [stored(at, Change::Created(Box::new(facts(Status::Todo)))), stored(at + HOUR, change)];
    let seq = transaction.seq();
    let record = TaskRecord {
        url: String::new(),
        reporter: None,
        updated: Millis(at),
        blockers: vec![],
        absences: 0,
        timeline: events.into_iter().map(|event| StoredEvent { seq, ..event }).collect(),
    };
    transaction.put_task(&TaskKey::new("acme", id), None, &record, true).unwrap();
    transaction.seal("acme").unwrap();
    transaction.commit().unwrap();
}

/// A kill between the last request of an export and its end leaves a position under way. The next run has to finish that
/// export, and to send what was sealed since.
#[tokio::test]
async fn an_interrupted_export_does_not_hold_back_what_was_sealed_since() {
    let text = "{export: {otlp: {endpoint: 'http://127.0.0.1:9'}}, sources: [{name: acme, kind: any, url: 'https://a.example'}]}";
    let config = config::parse(text, "x.yaml", &[unchecked("any")]).unwrap();
    let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
    finish_a_task(&store, "1", 0);
    let upto = store.sealed("acme").unwrap();
    let mut transaction = store.begin().unwrap();
    for signal in [Signal::Traces, Signal::Logs] {
        let under_way = Position { done: 0, upto: Some(upto), after: Some(vec![0xff; 17]) };
        transaction.put_position(signal, "acme", &under_way).unwrap();
    }
    transaction.commit().unwrap();
    finish_a_task(&store, "2", 10 * HOUR);

    let cancel = CancellationToken::new();
    let destinations = Destinations::counting(&cancel);
    let exporter = Exporter::new(&store, &config, &destinations, &Quiet, &cancel, false);
    let sent = exporter.drain(Millis(20 * HOUR), Present::default()).await.total();
    for signal in [Signal::Traces, Signal::Logs] {
        let position = store.position(signal, "acme").unwrap();
        assert_eq!((position.done, position.upto), (store.sealed("acme").unwrap(), None), "{signal}");
    }
    // Created, changed, completed; what the first export had sent is not sent again.
    assert_eq!(sent.logs, 3, "{sent:?}");
    assert!(sent.spans > 0, "{sent:?}");
    // It was counted, and no backend has it.
    for signal in [Signal::Traces, Signal::Logs] {
        assert_eq!(exported_to(&store, signal).unwrap().as_deref(), Some(""), "{signal}");
    }
    let targets = &config.export.otlp.targets;
    let somewhere = Destinations::connect(&config.export.otlp, &cancel, &Default::default()).unwrap();
    for (signal, target) in targets {
        assert_eq!(somewhere.new_place(*signal), Some(&*target.url), "{signal}");
        assert_eq!(somewhere.new_place(*signal), None, "stored once");
    }
}

/// The counters are in every store, as JSON.
#[test]
fn the_stored_names_of_the_counters_do_not_change() {
    let text = r#"{"sent":1,"rejected":2,"reasons":{"too_old":2},"retries":3}"#;
    let counters: ExportCounters = serde_json::from_str(text).unwrap();
    let ExportCounters { sent: 1, rejected: 2, reasons: _, retries: 3 } = &counters else { panic!("{counters:?}") };
    assert_eq!(serde_json::to_string(&counters).unwrap(), text);
    assert!(
        serde_json::from_str::<ExportCounters>(r#"{"sent":1,"rejected":2,"retries":3}"#).is_ok(),
        "without reasons"
    );
}
