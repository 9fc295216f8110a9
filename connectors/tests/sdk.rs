//! Reported work in a store: several processes, several runs, and the same task in a tool that is synced.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use contextcore_core::Millis;
use contextcore_core::config::{self, Config};
use contextcore_core::ingest::sync::{Options, Source, SourceReport, sync_source};
use contextcore_core::model::operation::{
    GuidanceAdd, GuidanceEnd, Operation, TaskComment, TaskFields, TaskOnly, TaskStatus,
};
use contextcore_core::progress::Quiet;
use contextcore_core::query::{TaskFilter, TaskSelector, TaskView, Viewer};
use contextcore_core::store::{Destination, Quarantined, Store};
use contextcore_spool::{LaneDir, StateDir, Writer};
use tokio_util::sync::CancellationToken;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const DAY: i64 = 86_400_000;

struct Installation {
    dir: tempfile::TempDir,
    store: Store,
    config: Config,
    lane: LaneDir,
}

impl Installation {
    fn new(derive: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(dir.path().join("tasks.jsonl"), "").unwrap();
        let text = format!(
            "sources:\n  - {{name: jira, kind: file, path: {}, derive_status: {derive}}}\n  - {{name: sdk, kind: sdk, path: {}}}\n\
             projects: [{{id: commerce, include: [{{source: jira, project: PROJ}}, {{source: sdk, project: shop}}]}}]\n",
            at("tasks.jsonl"),
            at("state")
        );
        let config = config::parse(&text, "test.yaml", &contextcore_connectors::kinds()).unwrap();
        let lane = StateDir::open(dir.path().join("state")).unwrap().lane_to(None).unwrap();
        let store = Store::open(&dir.path().join("data")).unwrap();
        Self { dir, store, config, lane }
    }

    fn writer(&self) -> Writer {
        Writer::new(&self.lane, "shop", "rust", "laptop")
    }

    async fn sync(&self, name: &str, now: i64) -> SourceReport {
        let config = self.config.source(name).unwrap().clone();
        let registration = contextcore_connectors::registration(&config.kind).unwrap();
        let connector = (registration.build)(&config, &self.config.privacy).unwrap();
        let source =
            Source { config, connector, portfolio: self.config.projects.clone().into(), insights: Default::default() };
        let options = Options { now: Some(Millis(now)), ..Options::default() };
        let report = sync_source(&self.store, &source, &options, &Quiet, &CancellationToken::new()).await;
        assert!(report.error.is_none(), "{report:?}");
        report
    }

    fn tasks(&self, now: i64) -> Vec<TaskView> {
        Viewer::new(&self.store, &self.config, Millis(now)).tasks(&TaskFilter::default()).unwrap()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.lane.spool().join("shop")).unwrap().count()
    }
}

fn start(task: &str, title: &str) -> Operation {
    let (title, parent) = (Some(title.to_owned()), Some(Some("EPIC-42".to_owned())));
    Operation::Start(TaskFields { task: task.into(), title, parent, ..TaskFields::default() })
}

fn status(task: &str, status: &str) -> Operation {
    Operation::Status(TaskStatus { task: task.into(), status: status.into(), reason: None })
}

fn complete(task: &str) -> Operation {
    Operation::Complete(TaskOnly { task: task.into() })
}

fn kinds(task: &TaskView) -> Vec<&'static str> {
    task.timeline.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn a_process_completes_what_another_began_a_day_before_and_all_files_are_gone() {
    let home = Installation::new(false);
    let mut first = home.writer();
    first.append(Millis(NOW), None, start("T-1", "Checkout"), Some("ada".into())).unwrap();
    first.append(Millis(NOW + 1_000), None, status("T-1", "in_progress"), None).unwrap();
    drop(first);
    home.sync("sdk", NOW + 2_000).await;
    assert_eq!(home.files(), 1, "the store has it, and the next run marks it");
    home.sync("sdk", NOW + 3_000).await;
    home.sync("sdk", NOW + 4_000).await;
    assert_eq!(home.files(), 0, "marked, then removed");
    let mut second = home.writer();
    second.append(Millis(NOW + DAY), None, complete("T-1"), None).unwrap();
    let report = home.sync("sdk", NOW + DAY + 1_000).await;
    assert_eq!((report.records, report.changes), (1, 1));
    let tasks = home.tasks(NOW + DAY + 1_000);
    assert_eq!(tasks.len(), 1);
    let task = &tasks[0];
    assert_eq!((&*task.title, &*task.project_id, task.native_id.as_str()), ("Checkout", "commerce", "shop/T-1"));
    assert_eq!(task.parent.as_deref(), Some("EPIC-42"));
    assert_eq!(
        (task.created, task.started, task.completed),
        (Millis(NOW), Some(Millis(NOW + 1_000)), Some(Millis(NOW + DAY)))
    );
    assert_eq!(kinds(task), ["created", "status_changed", "status_changed", "completed"]);
    assert!(home.store.verify().unwrap().problems.is_empty());
}

#[tokio::test]
async fn two_processes_on_one_task_and_a_bad_line_between_them() {
    let home = Installation::new(false);
    let (mut one, mut two) = (home.writer(), home.writer());
    one.append(Millis(NOW), None, start("T-1", "Checkout"), None).unwrap();
    home.sync("sdk", NOW).await;
    for step in 0..20 {
        let comment = Operation::Comment(TaskComment { task: "T-1".into(), text: "x".into(), author: None });
        let writer = if step % 2 == 0 { &mut two } else { &mut one };
        writer.append(Millis(NOW + 1_000 + step), None, comment, None).unwrap();
        if step == 9 {
            let path = home.lane.spool().join("shop").join(format!("{}.1.jsonl", two.id()));
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, b"{broken\n").unwrap();
            home.sync("sdk", NOW + 2_000).await;
        }
    }
    one.append(Millis(NOW + 3_000), None, complete("T-1"), None).unwrap();
    two.append(Millis(NOW + 3_001), None, complete("T-1"), None).unwrap();
    home.sync("sdk", NOW + 4_000).await;
    let tasks = home.tasks(NOW + 4_000);
    let all = kinds(&tasks[0]);
    assert_eq!(all.iter().filter(|kind| **kind == "commented").count(), 20);
    assert_eq!(all.iter().filter(|kind| **kind == "completed").count(), 1);
    assert!(tasks[0].timeline.is_sorted_by_key(|event| event.at));
    assert_eq!(home.store.quarantined_records(Some("sdk")).unwrap().len(), 1);
    let again = home.sync("sdk", NOW + 5_000).await;
    assert_eq!((again.records, again.changes), (0, 0));
}

/// What happens after an upgrade: records that were quarantined are tried again.
async fn sync_as_another_version(home: &Installation, now: i64, quarantined: Option<Quarantined>) -> Vec<Quarantined> {
    let mut status = home.store.source_status("sdk").unwrap();
    status.reread_by = "0.0.1".into();
    let mut transaction = home.store.begin().unwrap();
    transaction.put_source_status("sdk", &status).unwrap();
    if let Some(quarantined) = quarantined {
        let id = quarantined.native_id.clone();
        transaction.put_quarantined("sdk", &id, Some(quarantined)).unwrap();
    }
    transaction.commit().unwrap();
    home.sync("sdk", now).await;
    home.store.quarantined_records(Some("sdk")).unwrap()
}

#[tokio::test]
async fn a_line_that_was_not_understood_outlives_its_file_until_a_version_understands_it() {
    let home = Installation::new(false);
    let mut writer = home.writer();
    writer.append(Millis(NOW), None, start("T-1", "Checkout"), None).unwrap();
    let path = home.lane.spool().join("shop").join(format!("{}.1.jsonl", writer.id()));
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, b"{broken\n").unwrap();
    drop((file, writer));
    for run in 1..4 {
        home.sync("sdk", NOW + run).await;
    }
    assert_eq!(home.files(), 0);
    let kept = sync_as_another_version(&home, NOW + 10, None).await;
    assert!(kept.len() == 1 && kept[0].json.ends_with("{broken"), "{kept:?}");
    // An earlier version did not know this operation.
    let line = format!(r#"{{"v":1,"seq":9,"t":"{}","op":"task.complete","task":"T-1"}}"#, Millis(NOW + 5));
    let unknown = Quarantined { json: format!("0f\t\"shop\"\t{line}"), ..kept[0].clone() };
    assert_eq!(sync_as_another_version(&home, NOW + 20, Some(unknown)).await, []);
    assert_eq!(home.tasks(NOW + 20)[0].completed, Some(Millis(NOW + 5)));
}

#[tokio::test]
async fn work_on_a_task_of_a_synced_tool_becomes_artifacts_of_that_task() {
    for derive in [false, true] {
        let home = Installation::new(derive);
        let line = "{\"id\": \"1\", \"key\": \"PROJ-1\", \"project\": \"PROJ\", \"title\": \"In the tool\", \"status\": \"todo\", \"created\": \"2026-11-17T08:00:00Z\"}\n";
        std::fs::write(home.dir.path().join("tasks.jsonl"), line.replace("\"id\": \"1\"", "\"id\": \"PROJ-1\""))
            .unwrap();
        home.sync("jira", NOW).await;
        let mut writer = home.writer();
        writer.append(Millis(NOW), None, status("PROJ-1", "in_progress"), Some("claude".into())).unwrap();
        writer.append(Millis(NOW), None, status("OTHER-9", "in_progress"), None).unwrap();
        home.sync("sdk", NOW + 1_000).await;
        home.sync("sdk", NOW + 2_000).await;
        let tasks = home.tasks(NOW + 3_000);
        let of =
            |source: &str| tasks.iter().filter(|task| task.source == source).map(|task| &*task.id).collect::<Vec<_>>();
        assert_eq!((of("jira"), of("sdk")), (vec!["PROJ-1"], vec!["OTHER-9"]));
        let task = tasks.iter().find(|task| task.id == "PROJ-1").unwrap();
        let artifact = task.timeline.iter().find(|event| event.kind.as_str() == "artifact").unwrap();
        assert_eq!((&artifact.to["kind"], artifact.actor.as_deref()), (&"reported".into(), Some("claude")));
        assert_eq!(task.status.as_str(), if derive { "in_progress" } else { "todo" });
    }
}

/// The line of one task of the tool.
fn in_the_tool(home: &Installation, key: &str) {
    let created = "2026-11-17T08:00:00Z";
    let line = format!(
        "{{\"id\": \"{key}\", \"project\": \"PROJ\", \"title\": \"In the tool\", \"status\": \"todo\", \"created\": \"{created}\"}}\n"
    );
    std::fs::write(home.dir.path().join("tasks.jsonl"), line).unwrap();
}

#[tokio::test]
async fn work_that_was_reported_before_the_tool_had_the_task_becomes_artifacts_of_that_task_too() {
    let home = Installation::new(false);
    let mut writer = home.writer();
    writer.append(Millis(NOW), None, start("PROJ-1", "Checkout"), Some("claude".into())).unwrap();
    writer.append(Millis(NOW), None, start("OTHER-9", "Other"), None).unwrap();
    home.sync("sdk", NOW + 1_000).await;
    in_the_tool(&home, "PROJ-1");
    home.sync("jira", NOW + 2_000).await;
    writer.append(Millis(NOW + 3_000), None, status("PROJ-1", "done"), Some("claude".into())).unwrap();
    home.sync("sdk", NOW + 4_000).await;
    let tasks = |now: i64| {
        let tasks = home.tasks(now);
        let mut open: Vec<(String, String)> =
            tasks.into_iter().filter(|task| task.deleted.is_none()).map(|task| (task.source, task.id)).collect();
        open.sort();
        open
    };
    let both = [("jira".to_owned(), "PROJ-1".to_owned()), ("sdk".to_owned(), "OTHER-9".to_owned())];
    assert_eq!(tasks(NOW + 5_000), both);
    let viewer = Viewer::new(&home.store, &home.config, Millis(NOW + 5_000));
    let task = viewer.show(&TaskSelector::of("PROJ-1")).unwrap().task;
    assert_eq!(task.source, "jira");
    let artifacts = task.timeline.iter().filter(|event| event.kind.as_str() == "artifact");
    assert_eq!(artifacts.map(|event| event.to["kind"].clone()).collect::<Vec<_>>(), ["reported", "reported"]);
    assert!(home.store.verify().unwrap().problems.is_empty());
    // The tool loses it: what is reported then is a task of its own again.
    let file = home.dir.path().join("tasks.jsonl");
    let line = std::fs::read_to_string(&file).unwrap();
    let deleted = "\"deleted\": \"2026-11-18T12:26:45Z\"";
    std::fs::write(&file, line.replace("\"status\"", &format!("{deleted}, \"status\""))).unwrap();
    home.sync("jira", NOW + 6_000).await;
    writer.append(Millis(NOW + 7_000), None, status("PROJ-1", "in_progress"), None).unwrap();
    home.sync("sdk", NOW + 8_000).await;
    assert!(tasks(NOW + 9_000).contains(&("sdk".to_owned(), "PROJ-1".to_owned())));
}

#[tokio::test]
async fn a_lane_that_a_helper_drains_is_left_to_it() {
    let home = Installation::new(false);
    home.writer().append(Millis(NOW), None, start("T-1", "Checkout"), None).unwrap();
    let held = home.lane.lock().unwrap().unwrap();
    let report = home.sync("sdk", NOW).await;
    assert!(report.records == 0 && report.warnings.len() == 1, "{report:?}");
    drop(held);
    assert_eq!(home.sync("sdk", NOW).await.records, 1);
}

#[tokio::test]
async fn guidance_is_stored_once_whoever_wrote_it_and_is_in_an_export() {
    let home = Installation::new(false);
    let add = |id: &str, text: &str| {
        let (id, word, text) = (id.to_owned(), "constraint".to_owned(), text.to_owned());
        Operation::GuidanceAdd(Box::new(GuidanceAdd { id, word, text, ..GuidanceAdd::default() }))
    };
    let (mut one, mut two) = (home.writer(), home.writer());
    two.append(Millis(NOW + 2), None, add("api", "The later one"), Some("bob".into())).unwrap();
    home.sync("sdk", NOW + 10).await;
    one.append(Millis(NOW + 1), None, add("api", "The earlier one"), Some("ada".into())).unwrap();
    one.append(Millis(NOW + 1), None, add("old", "Ended"), None).unwrap();
    let end = GuidanceEnd { id: "old".into(), reason: None };
    one.append(Millis(NOW + 2), None, Operation::GuidanceEnd(Box::new(end)), None).unwrap();
    home.sync("sdk", NOW + 20).await;
    home.sync("sdk", NOW + 30).await;
    let said = |store: &Store| {
        let items = store.guidance().unwrap().items(Some("shop"));
        items
            .iter()
            .map(|item| format!("{} {} {} {}", item.id, item.severity, item.source, item.rule))
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&home.store), ["store:api warning local, by bob The later one"]);
    drop((one, two));
    for step in 4..8 {
        home.sync("sdk", NOW + step * 10).await;
    }
    assert_eq!(home.files(), 0, "nothing of it waits in the spool");
    let mut text = Vec::new();
    home.store.export(&mut text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Store::import(&Destination::Directory(&dir.path().join("data")), &mut text.as_slice()).unwrap();
    assert_eq!(said(&Store::open(&dir.path().join("data")).unwrap()), said(&home.store));
}
