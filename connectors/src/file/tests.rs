//! From lines to observations, as the engine sees them.

use std::path::Path;

use contextcore_core::Millis;
use contextcore_core::config;
use contextcore_core::model::{Change, Facts, Status, TaskType};

use super::*;

fn source(path: &Path, more: &str) -> Box<dyn Connector> {
    let text = format!("sources: [{{name: other, kind: file, path: {}{more}}}]", path.display());
    let config = config::parse(&text, "test.yaml", &[REGISTRATION.source_kind()]).unwrap();
    build(&config.sources[0], &config.privacy).unwrap()
}

const RUN: Run = Run { now: Millis(9), full: false };

struct Fixture {
    connector: Box<dyn Connector>,
    path: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn fixture(lines: &str, more: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.jsonl");
    std::fs::write(&path, lines).unwrap();
    Fixture { connector: source(&path, more), path, _dir: dir }
}

impl Fixture {
    async fn session(&self) -> Box<dyn SourceSession> {
        self.connector.open(None, &RUN).await.unwrap()
    }

    async fn page(&self, stream: &'static str) -> Page {
        self.session().await.poll(stream, None).await.unwrap()
    }

    async fn observations(&self) -> Vec<Observation> {
        let session = self.session().await;
        let page = session.poll(LINES, None).await.unwrap();
        page.records.iter().flat_map(|record| session.normalise(record).unwrap()).collect()
    }
}

fn folded(observation: &Observation) -> (Facts, Facts) {
    let Observation::Task(task) = observation else { panic!("{observation:?}") };
    let Change::Created(first) = &task.history[0].change else { panic!("{task:?}") };
    let mut facts = (**first).clone();
    task.history.iter().for_each(|entry| facts.apply(&entry.change));
    (facts, task.present.clone())
}

const WHOLE: &str = r#"{"id": "ENG-1", "title": "Checkout", "project": "ENG", "type": "bug", "native_type": "Defect",
 "status": "blocked", "native_status": "Doing", "assignee": "Ada", "labels": ["web", "api"], "estimate": 5,
 "parent": "ENG-7", "sprints": ["42"], "created": "2026-11-01T08:00:00Z", "blocked_by": ["OPS-1", "OPS-2"],
 "waiting_on": ["OPS-2"], "timeline": [
 {"at": "2026-11-01T08:00:00Z", "kind": "created", "to": "backlog", "actor": "Lin"},
 {"at": "2026-11-02T08:00:00Z", "kind": "status_changed", "from": "backlog", "to": "in_progress", "actor": "Ada"},
 {"at": "2026-11-02T08:00:00Z", "kind": "estimate_changed", "from": null, "to": 5},
 {"at": "2026-11-03T08:00:00Z", "kind": "blocked", "to": "vendor"},
 {"at": "2026-11-04T08:00:00Z", "kind": "artifact", "to": {"kind": "commit", "reference": "a1", "url": "", "summary": "x"}},
 {"at": "2026-11-04T08:00:00Z", "kind": "status_changed", "from": "todo", "to": "in_progress", "derived": "commit a1"}]}"#;

#[tokio::test]
async fn a_whole_line_folds_to_its_own_present() {
    let fixture = fixture(&(WHOLE.replace('\n', " ") + "\n"), "");
    let observations = fixture.observations().await;
    let (folded, present) = folded(&observations[0]);
    assert_eq!(folded, present);
    assert_eq!((present.status, present.flag.as_deref()), (Status::InProgress, Some("vendor")));
    assert_eq!((present.native_status.as_str(), present.task_type), ("Doing", TaskType::Bug));
    let Observation::Task(task) = &observations[0] else { panic!() };
    let Change::Created(first) = &task.history[0].change else { panic!() };
    assert_eq!((first.status, first.estimate, first.flag.as_deref()), (Status::Backlog, None, None));
    assert_eq!(task.history.len(), 4, "what was derived will follow again");
    let finished: Vec<bool> = task.blockers.iter().map(|blocker| blocker.finished).collect();
    assert_eq!(finished, [true, false]);
    let Observation::Activity(commit) = &observations[1] else { panic!() };
    assert_eq!((commit.tasks.as_slice(), commit.artifact.kind.as_str()), (["ENG-1".to_owned()].as_slice(), "commit"));
}

#[tokio::test]
async fn a_short_line_is_enough_and_its_times_are_its_history() {
    let line = r#"{"id": "A-1", "title": "x", "status": "done", "created": "2026-11-01T00:00:00Z",
        "started": "2026-11-02T00:00:00Z", "completed": "2026-11-03T00:00:00Z"}"#;
    let fixture = fixture(&(line.replace('\n', " ") + "\n"), "");
    let observations = fixture.observations().await;
    let (folded, present) = folded(&observations[0]);
    assert_eq!(folded, present);
    let Observation::Task(task) = &observations[0] else { panic!() };
    let days: Vec<i64> = task.history.iter().map(|entry| (entry.at.0 - task.history[0].at.0) / 86_400_000).collect();
    assert_eq!(days, [0, 1, 2]);
}

#[tokio::test]
async fn a_sprint_has_the_dates_of_its_state() {
    let fixture = fixture("{\"id\": \"42\", \"name\": \"Sprint 12\", \"state\": \"closed\"}\n", "");
    let Observation::Sprint { native_id, facts } = &fixture.observations().await[0] else { panic!() };
    assert_eq!((native_id.as_str(), facts.name.as_str(), facts.exact), ("42", "Sprint 12", false));
}

#[tokio::test]
async fn a_bad_line_is_an_error_that_names_it_and_the_rest_goes_on() {
    let good = r#"{"id": "A-1", "title": "x", "status": "todo", "created": "2026-11-01T00:00:00Z"}"#;
    let odd = r#"{"id": "A-2", "title": "x", "status": "Dancing", "created": "2026-11-01T00:00:00Z"}"#;
    let fixture = fixture(&format!("{good}\nnot JSON\n{odd}\n"), "");
    let page = fixture.page(LINES).await;
    let session = fixture.session().await;
    let read: Vec<_> = page.records.iter().map(|record| session.normalise(record)).collect();
    assert!(read[0].is_ok());
    assert_eq!(page.records[1].native_id, "line 2");
    assert!(read[1].as_ref().unwrap_err().full().contains("line=2"), "{}", read[1].as_ref().unwrap_err().full());
    let odd = read[2].as_ref().unwrap_err();
    assert!(odd.full().contains("`Dancing`") && odd.full().contains("line=3"), "{}", odd.full());
}

/// A line in the middle that cannot be read as what its tool meant.
const ODD: [&[u8]; 10] = [
    b"{\"id\": \"A-2\", \"title\": \"\xff\xfe\", \"status\": \"\xff\"}",
    b"{\"id\": \"A-2\", \"title\": \"a\x01b\", \"status\": \"todo\", \"created\": \"2026-11-01T00:00:00Z\"}",
    b"{\"id\": \"A-2\", \"title\": \"x\", \"status\": \"todo\", \"estimate\": NaN, \"created\": \"2026-11-01T00:00:00Z\"}",
    b"{\"id\": \"A-2\", \"title\": \"\\x41\", \"status\": \"todo\", \"created\": \"2026-11-01T00:00:00Z\"}",
    b"{\"id\": \"A-2\", \"title\": \"\\ud800\", \"status\": \"todo\", \"created\": \"2026-11-01T00:00:00Z\"}",
    b"{\"id\": \"A-2\", \"title\": \"x\", \"status\": \"todo\", \"created\": \"+292277026-12-04T00:00:00Z\"}",
    b"{\"id\": \"A-2\", \"title\": \"x\", \"status\": \"todo\", \"created\": \"2026-11-01T00:00:00Z\", \"timeline\": 7}",
    b"null",
    b"[]",
    b"{\"id\": 7}",
];

#[tokio::test]
async fn whatever_is_wrong_with_a_line_its_neighbours_survive() {
    let line =
        |id: &str| format!(r#"{{"id": "{id}", "title": "x", "status": "todo", "created": "2026-11-01T00:00:00Z"}}"#);
    for odd in ODD {
        let shown = String::from_utf8_lossy(odd).into_owned();
        let text = [line("A-1").as_bytes(), odd, line("A-3").as_bytes(), b""].join(&b'\n');
        let fixture = fixture("", "");
        std::fs::write(&fixture.path, text).unwrap();
        let session = fixture.session().await;
        let page = fixture.page(LINES).await;
        let read: Vec<bool> = page.records.iter().map(|record| session.normalise(record).is_ok()).collect();
        assert_eq!(read, [true, false, true], "{shown}");
        let seen = fixture.page(IDS).await.seen;
        assert!(["A-1", "A-3"].iter().all(|id| seen.iter().any(|seen| seen == id)), "{shown}: {seen:?}");
        // It goes by its id where it gives one, so that a better line of that id clears it.
        let name = &page.records[1].native_id;
        assert!(name == "line 2" || (name == "A-2" && shown.contains("A-2")), "{shown}: {name}");
        let again = session.read_again(&[name.clone(), "A-1".into(), "gone".into()]).await.unwrap();
        let names: Vec<&str> = again.records.iter().map(|record| record.native_id.as_str()).collect();
        assert_eq!(names, ["A-1", name.as_str()], "{shown}");
        assert!(again.unreadable.is_empty());
    }
}

#[tokio::test]
async fn a_line_that_was_bad_is_read_again_by_its_number_or_id() {
    let good = r#"{"id": "A-1", "title": "x", "status": "todo", "created": "2026-11-01T00:00:00Z"}"#;
    let fixture = fixture(&format!("{good}\n"), "");
    let session = fixture.session().await;
    // An older version, or another file before, knew its line by the number only.
    let page = session.read_again(&["line 1".to_owned()]).await.unwrap();
    assert_eq!(page.records[0].native_id, "A-1");
    std::fs::write(&fixture.path, format!("{good}\n{}\n", good.replace("todo", "done"))).unwrap();
    let page = session.read_again(&["A-1".to_owned()]).await.unwrap();
    assert_eq!(page.records.len(), 1, "the newest line of an id counts");
    assert!(page.records[0].json().unwrap().starts_with("2:"), "{:?}", page.records[0]);
}

#[tokio::test]
async fn words_of_another_tool_are_mapped_and_other_projects_left_out() {
    let line = |id: &str, project: &str| {
        format!(
            "{{\"id\": \"{id}\", \"title\": \"x\", \"status\": \"Dancing\", \"type\": \"Idea\", \"project\": \"{project}\", \"created\": \"2026-11-01T00:00:00Z\"}}\n"
        )
    };
    let lines = line("A-1", "A") + &line("B-1", "B");
    let fixture = fixture(&lines, ", projects: [A], statuses: {dancing: in_progress}, types: {idea: story}");
    let observations = fixture.observations().await;
    assert_eq!(observations.len(), 1);
    let (_, present) = folded(&observations[0]);
    assert_eq!(
        (present.status, present.task_type, present.native_status.as_str()),
        (Status::InProgress, TaskType::Story, "Dancing")
    );
    assert_eq!(fixture.page(IDS).await.seen, ["A-1"]);
    let report = fixture.session().await.check().await.unwrap();
    assert_eq!(report.projects, [("A".to_owned(), "A".to_owned())]);
}

#[tokio::test]
async fn our_words_are_read_however_people_write_them() {
    let line = |id: usize, status: &str, kind: &str| {
        format!(
            "{{\"id\": \"A-{id}\", \"title\": \"x\", \"status\": \"{status}\", \"type\": \"{kind}\", \"created\": \"2026-11-01T00:00:00Z\"}}\n"
        )
    };
    let written = [("In Progress", "Story"), ("in-review", "Sub-task"), ("DONE", "Task"), (" todo ", "sub task")];
    let lines: String = written.iter().enumerate().map(|(id, (status, kind))| line(id, status, kind)).collect();
    let observations = fixture(&lines, "").observations().await;
    let read: Vec<_> = observations.iter().map(|observation| folded(observation).1).collect();
    let common: Vec<_> = read.iter().map(|facts| (facts.status, facts.task_type)).collect();
    let subtask = TaskType::Subtask;
    assert_eq!(
        common,
        [
            (Status::InProgress, TaskType::Story),
            (Status::InReview, subtask),
            (Status::Done, TaskType::Task),
            (Status::Todo, subtask)
        ]
    );
    assert_eq!((read[0].native_status.as_str(), read[1].native_type.as_str()), ("In Progress", "Sub-task"));
}

#[tokio::test]
async fn what_is_gone_is_not_among_the_ids() {
    let line = |id: &str, deleted: &str| {
        format!(
            "{{\"id\": \"{id}\", \"title\": \"x\", \"status\": \"todo\", \"created\": \"2026-11-01T00:00:00Z\", \"deleted\": {deleted}}}\n"
        )
    };
    let lines = line("A-1", "null") + &line("A-2", "null") + &line("A-2", "\"2026-11-02T00:00:00Z\"");
    let fixture = fixture(&lines, "");
    let page = fixture.page(IDS).await;
    assert_eq!((page.seen.as_slice(), page.total), (["A-1".to_owned()].as_slice(), Some(1)));
    let Observation::Task(gone) = fixture.observations().await.pop().unwrap() else { panic!() };
    assert_eq!(gone.history.last().unwrap().change, Change::Deleted);
    let session = fixture.session().await;
    std::fs::remove_file(&fixture.path).unwrap();
    assert_eq!(session.poll(IDS, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fixture.connector.open(None, &RUN).await.err().unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn without_a_path_it_says_what_is_missing() {
    let text = "sources: [{name: other, kind: file, url: 'https://example.com', auth: {token: {env: T}}}]";
    let errors = config::parse(text, "test.yaml", &[REGISTRATION.source_kind()]).unwrap_err().to_string();
    for want in ["sources[0].path: is missing: add `path: FILE`", "unknown key `url`", "unknown key `auth`"] {
        assert!(errors.contains(want), "{errors}");
    }
}

#[tokio::test]
async fn an_odd_entry_costs_itself_and_is_counted() {
    let change = r#"{"at": "2026-11-02T08:00:00Z", "kind": "status_changed", "from": "todo", "to": "in_progress"}"#;
    let line = |id: &str, more: &str| {
        let same = r#""title": "x", "status": "in_progress", "created": "2026-11-01T00:00:00Z""#;
        format!("{{\"id\": \"{id}\", {same}, {more}}}\n")
    };
    let timeline = |odd: &str| format!("\"timeline\": [{change}, {odd}]");
    let at = r#""at": "2026-11-03T08:00:00Z""#;
    let odd = [
        timeline("null"),
        timeline(&format!("{{{at}, \"kind\": 7}}")),
        timeline(&format!("{{{at}, \"kind\": \"status_changed\", \"to\": \"Dancing\"}}")),
        timeline("{\"kind\": \"commented\"}"),
        format!("\"labels\": [\"a\", null], \"timeline\": [{change}]"),
    ];
    let lines: String = odd.iter().enumerate().map(|(n, more)| line(&format!("A-{n}"), more)).collect();
    let nulls = line("A-9", "\"timeline\": null, \"labels\": null, \"sprints\": null, \"blocked_by\": null");
    let fixture = fixture(&(lines + &nulls), "");
    let session = fixture.session().await;
    let page = session.poll(LINES, None).await.unwrap();
    for (n, record) in page.records.iter().enumerate() {
        let read = session.normalise(record).unwrap();
        let Observation::Task(task) = &read[0] else { panic!("{n}") };
        assert_eq!(
            (task.history.len(), task.present.labels.len()),
            (if n < 5 { 2 } else { 1 }, usize::from(n == 4)),
            "{n}"
        );
    }
    assert_eq!(page.records.len(), 6);
    let remarks = session.remarks();
    assert!(remarks.len() == 1 && remarks[0].starts_with("5 entries"), "{remarks:?}");
    assert!(session.remarks().is_empty());
    // A change at a time that nobody knows happened all the same: without it the task would have another past.
    let undated = timeline("{\"at\": \"soon\", \"kind\": \"unblocked\"}");
    std::fs::write(&fixture.path, line("A-1", &undated)).unwrap();
    let session = fixture.session().await;
    let page = session.poll(LINES, None).await.unwrap();
    assert!(session.normalise(&page.records[0]).is_err());
}
