//! A small store for tests of what the commands print.

use contextcore_core::Millis;
use contextcore_core::config::{self, Config};
use contextcore_core::model::time::{DAY, HOUR};
use contextcore_core::model::{
    Blocker, Change, Event, EventId, Facts, ParentRef, SprintFacts, SprintRecord, SprintState, Status, StoredEvent,
    TaskKey, TaskRecord, TaskType,
};
use contextcore_core::query::{TaskFilter, TaskView, Viewer};
use contextcore_core::store::Store;
use tempfile::TempDir;

use crate::reader::Reader;

/// 2026-11-10 09:30 UTC.
pub(crate) const NOW: Millis = Millis(1_794_303_000_000);

const CONFIG: &str = "
projects:
  - {id: commerce-platform, name: Commerce Platform, include: [{source: acme, project: PROJ}]}
sources:
  - {name: acme, kind: jira, url: 'https://acme.example', auth: {token: {env: T}}}
";

fn facts(key: &str, title: &str, task_type: TaskType) -> Facts {
    Facts {
        key: key.into(),
        project: "PROJ".into(),
        task_type,
        native_type: task_type.as_str().into(),
        title: title.into(),
        status: Status::Todo,
        native_status: "To Do".into(),
        flag: None,
        priority: Some("medium".into()),
        assignee: None,
        labels: vec![],
        estimate: None,
        parent: None,
        sprints: vec![],
        due: None,
        blocked_by_links: None,
        progress: None,
        attributes: Vec::new(),
    }
}

fn put(store: &Store, native_id: &str, first: Facts, rest: &[(i64, Change)], blockers: Vec<Blocker>) {
    let key = TaskKey::new("acme", native_id);
    let created = (NOW.plus(-5 * DAY), Change::Created(Box::new(first)));
    let rest = rest.iter().map(|(before, change)| (NOW.plus(-before), change.clone()));
    let timeline: Vec<StoredEvent> = std::iter::once(created)
        .chain(rest)
        .enumerate()
        .map(|(place, (at, change))| {
            let actor = (place > 0).then(|| "Ada".to_owned());
            StoredEvent {
                event: Event { id: EventId::of(&key, &place.to_string()), at, actor, observed: false, change },
                seq: 1,
            }
        })
        .collect();
    let record = TaskRecord {
        url: format!("https://acme.example/browse/{native_id}"),
        reporter: Some("Lin".into()),
        updated: timeline.last().unwrap().event.at,
        blockers,
        absences: 0,
        timeline,
    };
    let mut transaction = store.begin().unwrap();
    transaction.put_task(&key, None, &record, false).unwrap();
    transaction.commit().unwrap();
}

fn to(status: Status, native: &str) -> Change {
    Change::Status { status, native: native.into() }
}

fn fill(store: &Store) {
    let mut transaction = store.begin().unwrap();
    for (id, state, start) in [("42", SprintState::Active, -3 * DAY), ("43", SprintState::Future, 11 * DAY)] {
        let facts = SprintFacts {
            name: format!("Sprint {id}"),
            goal: None,
            project: Some("PROJ".into()),
            state,
            start: Some(NOW.plus(start)),
            end: Some(NOW.plus(start + 14 * DAY)),
            completed: None,
            exact: true,
        };
        let record = SprintRecord { facts, started_seq: None, closed_seq: None };
        transaction.put_sprint(&TaskKey::new("acme", id), &record, false).unwrap();
    }
    transaction.commit().unwrap();
    let under = Some(ParentRef { native_id: "7".into(), key: Some("PROJ-7".into()) });
    let sprint = || vec!["42".into()];
    put(store, "7", facts("PROJ-7", "Checkout", TaskType::Epic), &[], vec![]);
    let done = Facts {
        assignee: Some("Ada".into()),
        estimate: Some(3.0),
        parent: under.clone(),
        sprints: sprint(),
        ..facts("PROJ-9", "Cart page", TaskType::Story)
    };
    let life = [(4 * DAY, to(Status::InProgress, "In Development")), (2 * DAY, to(Status::Done, "Done"))];
    put(store, "9", done, &life, vec![]);
    let blocked = Facts {
        assignee: Some("Grace".into()),
        priority: Some("high".into()),
        labels: vec!["frontend".into(), "payment".into()],
        estimate: Some(5.0),
        parent: under,
        sprints: sprint(),
        ..facts("PROJ-12", "Pay by card, \"one click\" and invoice, in every currency we sell in", TaskType::Story)
    };
    let link = Change::Linked { text: "is blocked by OPS-4".into(), blocker: Some("OPS-4".into()), added: true };
    let life = [
        (4 * DAY, to(Status::InProgress, "In Development")),
        (3 * DAY, link),
        (DAY, Change::Blocked(Some("waiting for the vendor".into()))),
        (6 * HOUR, Change::Estimated(Some(8.0))),
    ];
    let blocker = Blocker { native_id: None, key: "OPS-4".into(), finished: false };
    put(store, "12", blocked, &life, vec![blocker]);
    put(store, "13", facts("PROJ-13", "Old idea", TaskType::Task), &[(HOUR, Change::Deleted)], vec![]);
}

/// A store with a few tasks, and its configuration. The directory is removed when the guard is dropped.
pub(crate) fn world() -> (Store, Config, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    fill(&store);
    (store, config::parse(CONFIG, "fixture.yaml", &crate::app::kinds()).unwrap(), dir)
}

/// A reader of that store.
pub(crate) fn reader() -> (Reader, TempDir) {
    let (store, config, dir) = world();
    (Reader::Here { store: std::sync::Arc::new(store), config: Box::new(config), now: NOW }, dir)
}

/// Its tasks at [`NOW`].
pub(crate) fn tasks() -> Vec<TaskView> {
    let (store, config, _dir) = world();
    Viewer::new(&store, &config, NOW).tasks(&TaskFilter::default()).unwrap()
}
