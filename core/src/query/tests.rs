//! A small world in a store, and the views of it.

use std::num::NonZeroUsize;
use std::str::FromStr;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::{self, Config};
use crate::model::agents::{AgentAssisted, artifact};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::{InsightRecord, InsightReport, Said};
use crate::model::operation::InsightEmit;
use crate::model::samples::{facts, stored, to};
use crate::model::time::{DAY, HOUR, Millis};
use crate::model::{
    Blocker, Change, Facts, ParentRef, SprintFacts, SprintRecord, SprintState, Status, StoredEvent, TaskKey,
    TaskRecord, TaskType,
};
use crate::store::Store;

const CONFIG: &str = "
projects:
  - {id: commerce, include: [{source: acme, project: PROJ}, {source: strict, project: PROJ}]}
sources:
  - {name: acme, kind: jira, url: 'http://127.0.0.1:1', auth: {token: {env: T}}}
  - {name: strict, kind: jira, url: 'http://127.0.0.1:1', auth: {token: {env: T}}, blocked: {links: true}}
";

struct World {
    _dir: TempDir,
    store: Store,
    config: Config,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self {
            _dir: dir,
            store,
            config: config::parse(CONFIG, "test.yaml", &[config::kind::unchecked("jira")]).unwrap(),
        }
    }

    fn put(&self, key: &TaskKey, timeline: Vec<StoredEvent>, blockers: Vec<Blocker>) {
        let record = TaskRecord {
            url: format!("https://example.com/{}", key.native_id),
            reporter: Some("Lin".into()),
            updated: timeline.last().unwrap().event.at,
            blockers,
            absences: 0,
            timeline,
        };
        let mut transaction = self.store.begin().unwrap();
        transaction.put_task(key, None, &record, true).unwrap();
        transaction.commit().unwrap();
    }

    /// A task of source `acme` with the facts `first` at its creation and the events `rest` after it.
    fn task(&self, native_id: &str, first: Facts, rest: Vec<StoredEvent>) -> TaskKey {
        let key = TaskKey::new("acme", native_id);
        self.put(&key, born(first, rest), vec![]);
        key
    }

    fn sprint(&self, id: &str, state: SprintState, start: i64) {
        self.sprint_of("acme", id, state, start);
    }

    fn sprint_of(&self, source: &str, id: &str, state: SprintState, start: i64) {
        let facts = SprintFacts {
            name: format!("Sprint {id}"),
            goal: None,
            project: Some("PROJ".into()),
            state,
            start: Some(Millis(start)),
            end: Some(Millis(start + 2 * DAY)),
            completed: (state == SprintState::Closed).then_some(Millis(start + 2 * DAY)),
            exact: true,
        };
        let mut transaction = self.store.begin().unwrap();
        let record = SprintRecord { facts, started_seq: None, closed_seq: None };
        transaction.put_sprint(&TaskKey::new(source, id), &record, false).unwrap();
        transaction.commit().unwrap();
    }

    fn at(&self, now: i64) -> Viewer<'_> {
        Viewer::new(&self.store, &self.config, Millis(now))
    }

    fn ids(&self, filter: &TaskFilter) -> Vec<String> {
        self.at(10 * DAY).tasks(filter).unwrap().into_iter().map(|task| task.id).collect()
    }
}

fn born(first: Facts, rest: Vec<StoredEvent>) -> Vec<StoredEvent> {
    std::iter::once(stored(0, Change::Created(Box::new(first)))).chain(rest).collect()
}

fn named(key: &str, status: Status) -> Facts {
    Facts { key: key.into(), ..facts(status) }
}

fn under(native_id: &str, key: Option<&str>) -> Option<ParentRef> {
    Some(ParentRef { native_id: native_id.into(), key: key.map(Into::into) })
}

fn blocker(key: &str, finished: bool) -> Blocker {
    Blocker { native_id: None, key: key.into(), finished }
}

fn link(at: i64, key: &str, added: bool) -> StoredEvent {
    stored(at, Change::Linked { text: format!("is blocked by {key}"), blocker: Some(key.into()), added })
}

fn close_to(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

#[test]
fn a_task_reads_as_the_contract_says() {
    let world = World::new();
    world.sprint("42", SprintState::Active, 0);
    let first = Facts { sprints: vec!["42".into()], estimate: Some(5.0), ..named("PROJ-1", Status::Todo) };
    let key = world.task("10042", first, vec![stored(2 * HOUR, to(Status::InProgress))]);
    let view = serde_json::to_value(world.at(3 * HOUR).task(&key).unwrap().unwrap()).unwrap();
    let keys: Vec<&str> = view.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = TASK.split(' ').filter(|name| *name != "attributes").collect::<Vec<_>>();
    wanted.sort_unstable();
    assert_eq!(keys, wanted, "a JSON value sorts its keys, and a task without attributes has none");
    let some = |names: &[&str]| names.iter().map(|name| view[name].clone()).collect::<Vec<Value>>();
    assert_eq!(
        some(&["tool", "project_id", "status", "blocked", "priority", "root", "sprint", "percent_complete"]),
        [
            json!("jira"),
            json!("commerce"),
            json!("in_progress"),
            json!(false),
            Value::Null,
            json!("PROJ-1"),
            json!("42"),
            json!(0.0)
        ]
    );
    let ids = [&view["trace_id"], &view["span_id"]].map(|id| id.as_str().unwrap().len());
    assert_eq!(ids, [32, 16]);
    assert_eq!(view["status_time"], json!({"todo": 7200.0, "in_progress": 3600.0}));
    assert_eq!(
        view["timeline"][1],
        json!({"at": "1970-01-01T02:00:00.000Z", "kind": "status_changed", "from": "todo", "to": "in_progress", "actor": null})
    );
    let back: TaskView = serde_json::from_value(view.clone()).unwrap();
    assert_eq!(serde_json::to_value(back).unwrap(), view);
}

const TASK: &str = "source tool native_id id url project project_id type native_type title status native_status blocked priority \
    assignee reporter labels estimate parent root sprint sprints due created started completed cancelled updated \
    deleted lead_time cycle_time blocked_time waiting_time status_time blocked_by waiting_on percent_complete \
    attributes agent_assisted subtasks trace_id span_id timeline";
const SPRINT: &str = "source native_id id name goal project project_id state start end completed committed added removed reestimated \
    scope completed_points carried_over remaining committed_tasks added_tasks removed_tasks completed_tasks \
    carried_over_tasks exact burndown";

#[test]
fn fields_are_written_in_the_order_of_the_contract() {
    let world = World::new();
    let own = Change::Attributes(vec![("team".into(), Some("web".into()))]);
    let key = world.task("1", named("PROJ-1", Status::Todo), vec![stored(HOUR, own)]);
    world.sprint("42", SprintState::Active, 0);
    let viewer = world.at(DAY);
    let task = serde_json::to_string(&viewer.task(&key).unwrap().unwrap()).unwrap();
    let sprint = serde_json::to_string(&viewer.sprints(&SprintFilter::default()).unwrap()[0]).unwrap();
    for (json, known, fields) in [(task, TaskFilter::fields(), TASK), (sprint, SprintFilter::fields(), SPRINT)] {
        assert_eq!(known.join(" "), fields);
        let places: Vec<_> = fields.split(' ').map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{json}");
    }
}

#[test]
fn status_transitions_follow_the_change_that_caused_them() {
    let world = World::new();
    let later = vec![
        stored(HOUR, to(Status::Done)),
        stored(2 * HOUR, to(Status::Todo)),
        stored(3 * HOUR, to(Status::Cancelled)),
    ];
    let key = world.task("1", named("PROJ-1", Status::Todo), later);
    let kinds: Vec<_> =
        world.at(DAY).task(&key).unwrap().unwrap().timeline.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["created", "status_changed", "completed", "status_changed", "reopened", "status_changed", "cancelled"]
    );
}

#[test]
fn an_impediment_names_the_status_it_follows_from_and_a_flag_names_none() {
    let world = World::new();
    let on_hold = Change::Status { status: Status::Blocked, native: "On Hold".into() };
    let flagged = Facts { flag: Some("vendor".into()), ..named("PROJ-1", Status::Todo) };
    let key = world.task("1", flagged, vec![stored(HOUR, on_hold), stored(2 * HOUR, to(Status::Done))]);
    let timeline = world.at(DAY).task(&key).unwrap().unwrap().timeline;
    let events: Vec<_> = timeline
        .iter()
        .map(|event| (event.kind.as_str(), event.from.clone(), event.to.clone(), event.derived.as_deref()))
        .collect();
    let because = Some("status On Hold");
    let expected = [
        ("created", Value::Null, json!("todo"), None),
        ("blocked", Value::Null, json!("vendor"), None),
        ("status_changed", json!("todo"), json!("blocked"), None),
        ("blocked", Value::Null, json!("On Hold"), because),
        ("status_changed", json!("blocked"), json!("done"), None),
        ("unblocked", json!("On Hold"), Value::Null, because),
        ("completed", json!("blocked"), json!("done"), None),
    ];
    assert_eq!(events, expected);
}

#[test]
fn an_artifact_is_listed_and_what_follows_names_it() {
    let world = World::new();
    let merged = crate::model::samples::artifact("merged", "acme/checkout#12");
    let key = world.task("1", named("PROJ-1", Status::Todo), vec![stored(HOUR, Change::StatusArtifact(merged))]);
    let task = world.at(DAY).task(&key).unwrap().unwrap();
    let events: Vec<_> = task.timeline.iter().map(|event| (event.kind.as_str(), event.derived.as_deref())).collect();
    let because = Some("merged acme/checkout#12");
    let expected = [("created", None), ("artifact", None), ("status_changed", because), ("completed", because)];
    assert_eq!(events, expected);
    assert_eq!(task.timeline[1].to["reference"], "acme/checkout#12");
    assert_eq!((task.timeline[2].from.clone(), task.timeline[2].to.clone()), (json!("todo"), json!("done")));
    assert_eq!((task.status, task.completed), (Status::Done, Some(Millis(HOUR))));
}

#[test]
fn values_before_a_change_come_from_the_timeline() {
    let world = World::new();
    let seen = |mut stored: StoredEvent| {
        stored.event.observed = true;
        stored
    };
    let later = vec![
        stored(1, Change::Estimated(Some(3.0))),
        seen(stored(2, Change::Estimated(Some(8.0)))),
        stored(3, Change::Blocked(Some("vendor".into()))),
        stored(4, Change::Unblocked),
        stored(5, Change::Parent(under("7", Some("PROJ-7")))),
        link(6, "OPS-1", true),
        link(7, "OPS-1", false),
    ];
    let key = world.task("1", named("PROJ-1", Status::Todo), later);
    let events = world.at(DAY).task(&key).unwrap().unwrap().timeline;
    let changes: Vec<_> = events[1..].iter().map(|event| (event.from.clone(), event.to.clone())).collect();
    let link = json!("is blocked by OPS-1");
    assert_eq!(
        changes,
        [
            (Value::Null, json!(3.0)),
            (json!(3.0), json!(8.0)),
            (Value::Null, json!("vendor")),
            (json!("vendor"), Value::Null),
            (Value::Null, json!("PROJ-7")),
            (Value::Null, link.clone()),
            (link, Value::Null),
        ]
    );
    let observed: Vec<_> = events.iter().map(|event| event.observed).collect();
    assert_eq!(observed, [false, false, true, false, false, false, false, false]);
    assert!(!serde_json::to_string(&events[0]).unwrap().contains("observed"));
}

#[test]
fn the_root_is_the_nearest_epic_else_the_topmost_ancestor() {
    let world = World::new();
    let of = |key: &str, task_type, parent| Facts { task_type, parent, ..named(key, Status::Todo) };
    world.task("1", of("PROJ-1", TaskType::Epic, under("9", Some("TOP-9"))), vec![]);
    world.task("2", of("PROJ-2", TaskType::Story, under("1", None)), vec![]);
    let leaf = world.task("3", of("PROJ-3", TaskType::Subtask, under("2", Some("OLD-2"))), vec![]);
    let orphan = world.task("4", of("PROJ-4", TaskType::Story, under("77", Some("HID-7"))), vec![]);
    let nameless = world.task("5", of("PROJ-5", TaskType::Story, under("78", None)), vec![]);
    let viewer = world.at(DAY);
    let places = |key| {
        let view = viewer.task(key).unwrap().unwrap();
        (view.parent.unwrap(), view.root)
    };
    assert_eq!(places(&leaf), ("PROJ-2".into(), "PROJ-1".into()));
    assert_eq!(places(&orphan), ("HID-7".into(), "HID-7".into()));
    assert_eq!(places(&nameless), ("78".into(), "78".into()));
    assert_eq!(viewer.task(&TaskKey::new("acme", "1")).unwrap().unwrap().root, "PROJ-1");
}

#[test]
fn a_cycle_of_parents_ends() {
    let world = World::new();
    let a = world.task("1", Facts { parent: under("2", None), ..named("PROJ-1", Status::Todo) }, vec![]);
    world.task("2", Facts { parent: under("1", None), ..named("PROJ-2", Status::Todo) }, vec![]);
    assert!(world.at(DAY).task(&a).unwrap().is_some());
}

#[test]
fn percent_and_subtasks_are_those_of_the_descendants() {
    let world = World::new();
    let child = |key: &str, status| Facts { parent: under("1", None), estimate: Some(2.0), ..named(key, status) };
    let parent = world.task("1", named("PROJ-1", Status::Todo), vec![]);
    let done = world.task("2", child("PROJ-10", Status::Done), vec![]);
    world.task("3", child("PROJ-9", Status::Todo), vec![]);
    world.task("4", child("PROJ-8", Status::Todo), vec![stored(5, Change::Deleted)]);
    let viewer = world.at(DAY);
    let view = viewer.task(&parent).unwrap().unwrap();
    assert_eq!((view.percent_complete, view.subtasks), (50.0, Subtasks { total: 2, completed: 1 }));
    assert!(close_to(viewer.task(&done).unwrap().unwrap().percent_complete, 100.0));
    let children: Vec<_> = viewer.children(&parent).unwrap().into_iter().map(|child| child.id).collect();
    assert_eq!(children, ["PROJ-9", "PROJ-10"]);
}

#[test]
fn waiting_counts_once_from_the_link_to_the_end_of_the_blocker() {
    let world = World::new();
    world.task("8", named("OPS-8", Status::Todo), vec![stored(4 * HOUR, to(Status::Done))]);
    world.task("9", named("OPS-9", Status::Todo), vec![]);
    let key = TaskKey::new("acme", "1");
    let links = vec![link(HOUR, "OPS-8", true), link(3 * HOUR, "OPS-9", true)];
    world.put(&key, born(named("PROJ-1", Status::Todo), links), vec![blocker("OPS-8", false), blocker("OPS-9", true)]);
    let view = world.at(10 * HOUR).task(&key).unwrap().unwrap();
    assert_eq!(view.blocked_by, ["OPS-8", "OPS-9"]);
    assert_eq!(view.waiting_on, ["OPS-9"], "its own record is better than what the link said");
    assert!(close_to(view.waiting_time, 9.0 * 3600.0), "one to ten o'clock: {}", view.waiting_time);
    assert_eq!((view.blocked, view.blocked_time), (false, 0.0));
}

#[test]
fn waiting_ends_with_the_task_and_with_the_link() {
    let world = World::new();
    world.task("9", named("OPS-9", Status::Todo), vec![]);
    let finished = TaskKey::new("acme", "1");
    let later = vec![stored(6 * HOUR, to(Status::Done))];
    world.put(&finished, born(named("PROJ-1", Status::Todo), later), vec![blocker("OPS-9", false)]);
    let unlinked = TaskKey::new("acme", "2");
    let later = vec![link(HOUR, "OPS-9", true), link(3 * HOUR, "OPS-9", false)];
    world.put(&unlinked, born(named("PROJ-2", Status::Todo), later), vec![]);
    let viewer = world.at(10 * HOUR);
    let waited = |key| viewer.task(key).unwrap().unwrap().waiting_time;
    assert!(close_to(waited(&finished), 6.0 * 3600.0));
    assert!(close_to(waited(&unlinked), 2.0 * 3600.0));
}

#[test]
fn where_links_block_waiting_is_blocked() {
    let world = World::new();
    let key = TaskKey::new("strict", "1");
    let waits = stored(2 * HOUR, Change::BlockedByLinks("waits for OPS-9".into()));
    let later = vec![stored(HOUR, to(Status::InProgress)), link(2 * HOUR, "OPS-9", true), waits];
    world.put(&key, born(named("PROJ-1", Status::Todo), later), vec![blocker("OPS-9", false)]);
    let view = world.at(5 * HOUR).task(&key).unwrap().unwrap();
    assert_eq!((view.status, view.blocked), (Status::Blocked, true));
    assert_eq!((view.blocked_time, view.waiting_time), (3.0 * 3600.0, 0.0));
    let times: Vec<_> = view.status_time.into_iter().collect();
    assert_eq!(times, [(Status::Todo, 3600.0), (Status::InProgress, 3600.0), (Status::Blocked, 3.0 * 3600.0)]);
    let blocked = TaskFilter { status: Some(StatusFilter::Is(Status::Blocked)), ..TaskFilter::default() };
    assert_eq!(world.ids(&blocked), ["PROJ-1"]);
}

#[test]
fn an_event_dated_after_now_by_a_fast_clock_counts() {
    let world = World::new();
    let key = world.task("1", named("PROJ-1", Status::Todo), vec![stored(HOUR + 5_000, to(Status::Done))]);
    assert_eq!(world.at(HOUR).task(&key).unwrap().unwrap().status, Status::Done);
}

#[test]
fn the_current_sprint_is_the_active_one_then_the_next_then_the_last() {
    let world = World::new();
    world.sprint("40", SprintState::Closed, 0);
    world.sprint("41", SprintState::Closed, 3 * DAY);
    world.sprint("42", SprintState::Active, 6 * DAY);
    world.sprint("43", SprintState::Future, 9 * DAY);
    for (number, (sprints, wanted)) in [
        (vec!["41", "42", "43"], Some("42")),
        (vec!["41", "43"], Some("43")),
        (vec!["41", "40"], Some("41")),
        (vec!["99"], Some("99")),
        (vec![], None),
    ]
    .into_iter()
    .enumerate()
    {
        let sprints = sprints.into_iter().map(Into::into).collect();
        let first = Facts { sprints, ..named(&format!("PROJ-{number}"), Status::Todo) };
        let key = world.task(&number.to_string(), first, vec![]);
        assert_eq!(world.at(7 * DAY).task(&key).unwrap().unwrap().sprint.as_deref(), wanted);
    }
}

#[test]
fn of_two_active_sprints_of_a_project_the_portfolio_shows_the_one_that_began_last() {
    let world = World::new();
    world.sprint_of("acme", "1", SprintState::Active, 6 * DAY);
    world.sprint_of("strict", "2", SprintState::Active, 5 * DAY);
    let portfolio = world.at(7 * DAY).portfolio().unwrap();
    assert_eq!(portfolio.projects[0].sprint.as_ref().unwrap().name, "Sprint 1");
}

#[test]
fn a_project_without_insights_is_no_slip_of_the_pen() {
    let world = World::new();
    world.task("1", named("PROJ-1", Status::Todo), vec![]);
    let emit = InsightEmit {
        id: "ins_00000000000000d1".to_owned(),
        insight_type: "decision".to_owned(),
        summary: "Use an index".to_owned(),
        ..InsightEmit::default()
    };
    let mut record = InsightRecord::new("agents", "shop", &emit.id);
    record.add([InsightReport::new("0a", 1, Millis(0), None, Said::Emit(Box::new(emit)))]);
    let mut transaction = world.store.begin().unwrap();
    transaction.put_insight(None, &record).unwrap();
    transaction.commit().unwrap();
    let found = |project: &str| {
        let query = InsightQuery { project: Some(project.to_owned()), ..InsightQuery::default() };
        world.at(0).find_insights(&query).map(|found| found.insights.len()).map_err(|error| error.to_string())
    };
    assert_eq!((found("shop"), found("PROJ")), (Ok(1), Ok(0)));
    assert!(found("shup").unwrap_err().contains("did you mean `shop`?"));
}

#[test]
fn filters_choose_and_order() {
    let world = World::new();
    world.sprint("42", SprintState::Active, 0);
    let in_sprint =
        Facts { sprints: vec!["42".into()], assignee: Some("Ada".into()), ..named("PROJ-10", Status::Todo) };
    world.task("1", in_sprint, vec![]);
    world.task("2", named("PROJ-9", Status::Done), vec![]);
    world.task("3", Facts { project: "OPS".into(), ..named("OPS-1", Status::InReview) }, vec![]);
    world.task("4", named("PROJ-2", Status::Todo), vec![stored(5, Change::Deleted)]);
    world.put(&TaskKey::new("strict", "1"), born(named("A-1", Status::Cancelled), vec![]), vec![]);
    let status = |name: &str| TaskFilter { status: Some(name.parse().unwrap()), ..TaskFilter::default() };
    assert_eq!(world.ids(&TaskFilter::default()), ["OPS-1", "PROJ-2", "PROJ-9", "PROJ-10", "A-1"]);
    assert_eq!(world.ids(&status("open")), ["OPS-1", "PROJ-10"]);
    assert_eq!(world.ids(&status("todo")), ["PROJ-10"]);
    assert_eq!(world.ids(&status("done")), ["PROJ-9"]);
    assert_eq!(world.ids(&TaskFilter { project: Some("Commerce".into()), ..status("open") }), ["PROJ-10"]);
    assert_eq!(world.ids(&TaskFilter { sprint: Some("sprint 42".into()), ..TaskFilter::default() }), ["PROJ-10"]);
    assert_eq!(world.ids(&TaskFilter { assignee: Some("ada".into()), ..TaskFilter::default() }), ["PROJ-10"]);
    assert_eq!(world.ids(&TaskFilter { source: Some("strict".into()), ..TaskFilter::default() }), ["A-1"]);
    assert!(StatusFilter::from_str("opened").unwrap_err().ends_with("cancelled, open"));
}

#[test]
fn a_key_finds_its_current_task_before_a_former_one() {
    let world = World::new();
    let moved = Change::Moved { key: "OPS-5".into(), project: "OPS".into() };
    world.task("1", named("PROJ-1", Status::Todo), vec![stored(5, moved)]);
    let ids = |name: &str| {
        let found = world.at(DAY).find(name, None, None).unwrap();
        found.into_iter().map(|view| view.native_id).collect::<Vec<_>>()
    };
    assert_eq!(ids("proj-1"), ["1"], "an old key still finds it");
    world.task("2", named("PROJ-1", Status::Todo), vec![]);
    assert_eq!(ids("PROJ-1"), ["2"]);
    assert_eq!(ids("1"), ["1"], "a native id finds it as well");
    assert!(ids("NONE-1").is_empty());
}

#[test]
fn a_key_of_two_projects_in_one_source_is_chosen_by_its_project() {
    let world = World::new();
    world.task("1", Facts { project: "PROJ".into(), ..named("A-1", Status::Todo) }, vec![]);
    world.task("2", Facts { project: "OPS".into(), ..named("A-1", Status::Todo) }, vec![]);
    let ask = |selector: TaskSelector| world.at(DAY).show(&selector).map(|view| view.task.native_id);
    let error = ask(TaskSelector::of("A-1")).unwrap_err().full();
    assert!(error.contains("each of the projects OPS, commerce: choose one with --project"), "{error}");
    for (project, want) in [("proj", "1"), ("commerce", "1"), ("OPS", "2")] {
        assert_eq!(ask(TaskSelector::of("a-1").in_project(project)).unwrap(), want, "{project}");
    }
    let moved = Change::Moved { key: "OPS-5".into(), project: "OPS".into() };
    world.task("3", named("PROJ-8", Status::Todo), vec![stored(5, moved)]);
    world.task("4", named("PROJ-8", Status::Todo), vec![]);
    assert_eq!(ask(TaskSelector::of("PROJ-8").in_project("OPS")).unwrap(), "3", "by its former key");
    let error = ask(TaskSelector::of("A-1").in_project("OPPS")).unwrap_err().full();
    assert!(error.contains("did you mean `OPS`?"), "{error}");
    let error = ask(TaskSelector::of("PROJ-9").in_project("OPS")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_move_shows_what_changed() {
    let world = World::new();
    let moved = |key: &str, project: &str| Change::Moved { key: key.into(), project: project.into() };
    world.task(
        "1",
        named("PROJ-1", Status::Todo),
        vec![stored(5, moved("PROJ-1", "OPS")), stored(6, moved("OPS-5", "OPS"))],
    );
    let view = world.at(DAY).find("OPS-5", None, None).unwrap().pop().unwrap();
    let moves: Vec<_> = view.timeline.iter().skip(1).map(|event| (event.from.clone(), event.to.clone())).collect();
    assert_eq!(moves, [(json!("PROJ"), json!("OPS")), (json!("PROJ-1"), json!("OPS-5"))]);
}

#[test]
fn a_sprint_reads_as_the_contract_says() {
    let world = World::new();
    world.sprint("42", SprintState::Closed, 8 * HOUR);
    let member =
        |key: &str, points| Facts { estimate: Some(points), sprints: vec!["42".into()], ..named(key, Status::Todo) };
    world.task("1", member("PROJ-1", 5.0), vec![stored(DAY, to(Status::Done))]);
    world.task("2", member("PROJ-2", 3.0), vec![]);
    let sprints =
        world.at(9 * DAY).sprints(&SprintFilter { project: Some("commerce".into()), ..SprintFilter::default() });
    let view = sprints.unwrap().pop().unwrap();
    assert_eq!((view.committed, view.completed_points, view.carried_over, view.remaining), (8.0, 5.0, 3.0, 3.0));
    assert_eq!((view.committed_tasks, view.completed_tasks, view.carried_over_tasks), (2, 1, 1));
    assert_eq!(
        view.burndown.iter().map(|day| &*day.date).collect::<Vec<_>>(),
        ["1970-01-01", "1970-01-02", "1970-01-03"]
    );
    assert_eq!(view.burndown.last().map(|day| (day.remaining, day.ideal)), Some((3.0, 0.0)));
    let back: SprintView = serde_json::from_value(serde_json::to_value(&view).unwrap()).unwrap();
    assert_eq!(back, view);
    let none = SprintFilter { state: Some(SprintState::Active), ..SprintFilter::default() };
    assert!(world.at(9 * DAY).sprints(&none).unwrap().is_empty());
}

fn page(world: &World, limit: usize, cursor: Option<Cursor>) -> (Vec<String>, Option<Cursor>) {
    let options = ListOptions { limit: NonZeroUsize::new(limit), cursor, fields: None };
    let mut ids = Vec::new();
    let query = ListQuery { filter: TaskFilter::default(), options };
    let next = world.at(DAY).each(&query, |task| {
        ids.push(task.id);
        Ok::<_, Error>(())
    });
    let next = next.unwrap();
    (ids, next)
}

#[test]
fn pages_of_any_size_are_the_whole_list() {
    let world = World::new();
    for number in 1..=7 {
        world.task(&number.to_string(), named(&format!("PROJ-{}", number * 3), Status::Todo), vec![]);
    }
    let whole = world.ids(&TaskFilter::default());
    for limit in 1..=9 {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let (ids, next) = page(&world, limit, cursor);
            assert!(ids.len() == limit || next.is_none());
            all.extend(ids);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, whole, "limit {limit}");
    }
}

#[test]
fn tasks_that_come_or_go_between_two_pages_shift_nothing() {
    let world = World::new();
    for number in [1, 3, 5, 7] {
        world.task(&number.to_string(), named(&format!("PROJ-{number}"), Status::Todo), vec![]);
    }
    let (first, cursor) = page(&world, 2, None);
    world.task("2", named("PROJ-2", Status::Todo), vec![]);
    world.task("6", named("PROJ-6", Status::Todo), vec![]);
    let (second, end) = page(&world, 9, cursor);
    assert_eq!(
        (first, second),
        (vec!["PROJ-1".into(), "PROJ-3".into()], vec!["PROJ-5".into(), "PROJ-6".into(), "PROJ-7".into()])
    );
    assert_eq!(end, None);
}

#[test]
fn a_cursor_of_another_list_and_an_unknown_field_are_refused() {
    let world = World::new();
    world.task("1", named("PROJ-1", Status::Todo), vec![]);
    world.task("2", named("PROJ-2", Status::Todo), vec![]);
    let (_, cursor) = page(&world, 1, None);
    let refuse = |options: ListOptions| {
        let query = ListQuery { filter: SprintFilter::default(), options };
        let result: Result<_> = world.at(DAY).each_json(&query, |_| Ok(()));
        result.unwrap_err().to_string()
    };
    assert!(refuse(ListOptions { cursor, ..ListOptions::default() }).contains("is not a cursor of sprints"));
    let fields = Some(Fields::new(["id", "title"]));
    assert!(
        refuse(ListOptions { fields, ..ListOptions::default() })
            .starts_with("sprints have no field `title`; they have source,")
    );
}

#[test]
fn work_with_agents_is_grouped_by_project_and_small_groups_only_counted() {
    let world = World::new();
    let work = |number: i64, project: &str, person: i64| {
        let first = Facts {
            project: project.into(),
            assignee: Some(format!("person {person}").into()),
            ..named(&format!("{project}-{number}"), Status::Todo)
        };
        let evidence = Change::Artifact(artifact(AgentAssisted::Assisted, "Claude", ""));
        let rest =
            vec![stored(DAY, to(Status::InProgress)), stored(DAY + 1, evidence), stored(2 * DAY, to(Status::Done))];
        world.task(&format!("{project}-{number}"), first, rest);
    };
    (0..20).for_each(|number| work(number, "PROJ", number % 5));
    (0..3).for_each(|number| work(number, "LONE", number));
    let flow =
        |project: Option<&str>| world.at(10 * DAY).agent_flow(&AgentFlowQuery { project: project.map(Into::into) });
    let all = flow(None).unwrap();
    let of = |id: &str| all.iter().find(|found| found.project == id).unwrap();
    let (large, small) = (of("commerce"), of("LONE"));
    assert_eq!((large.completed, large.coverage, large.hidden), (20, Some(100.0), 0));
    let group = &large.groups[0];
    assert_eq!((group.agent_assisted, group.tasks), (AgentAssisted::Assisted, 20));
    assert!(group.cycle_time.is_some_and(|time| close_to(time.p50, 86_400.0)));
    assert_eq!((small.completed, small.hidden, small.groups.len()), (3, 3, 0));
    assert_eq!(flow(Some("Commerce")).unwrap(), std::slice::from_ref(large));
    assert_eq!(world.at(200 * DAY).agent_flow(&AgentFlowQuery::default()).unwrap(), []);
    assert!(flow(Some("comerce")).unwrap_err().to_string().contains("did you mean `commerce`?"));
}
