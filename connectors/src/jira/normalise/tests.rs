//! Real answers of real sites, and one hand-made issue for what they do not show.

use std::fmt::Write as _;

use contextcore_core::ErrorKind;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::{EventId, SprintState, Status, TaskType};
use serde_json::{Value, json};

use super::super::api::Inline;
use super::super::boards::{BoardConfiguration, Columns};
use super::super::fields::Fields;
use super::super::settings::tests::plain;
use super::super::wire::{IssueType, StatusValue};
use super::*;

const SP_1: &str = include_str!("../fixtures/issue_SP-1.json");
const SP_10: &str = include_str!("../fixtures/issue_SP-10.json");
const SP_13: &str = include_str!("../fixtures/issue_SP-13.json");
const SP_STATUSES: &str = include_str!("../fixtures/statuses_SP.json");
const SP_BOARD: &str = include_str!("../fixtures/board_configuration_kanban.json");
const CHINESE: &str = include_str!("../fixtures/board_issues_changelog.json");
const CHINESE_STATUSES: &str = include_str!("../fixtures/status.json");
const CHINESE_TYPES: &str = include_str!("../fixtures/issue_types.json");
const SERVER: &str = include_str!("../fixtures/dc_issues_with_links.json");

fn field(id: &str, name: &str) -> Field {
    Field { id: id.into(), name: name.into(), why: "test".into(), former: Vec::new() }
}

/// The fields of the sample sites.
fn fields() -> Fields {
    Fields {
        sprint: Some(field("customfield_10020", "Sprint")),
        points: vec![field("customfield_10036", "Story Points"), field("customfield_10016", "Story point estimate")],
        epic_link: Some(field("customfield_10014", "Epic Link")),
        parent_link: None,
        flagged: Some(field("customfield_10021", "Flagged")),
        epic_name: None,
    }
}

fn site(statuses: &str, board: Option<&str>, types: Option<&str>) -> Reference {
    let mut reference = Reference { fields: fields(), ..Reference::default() };
    let mut columns = Columns::default();
    if let Some(board) = board {
        columns.learn(&serde_json::from_str::<BoardConfiguration>(board).unwrap());
    }
    reference.learn_statuses(serde_json::from_str::<Vec<StatusValue>>(statuses).unwrap(), &columns);
    if let Some(types) = types {
        reference.learn_types(serde_json::from_str::<Vec<IssueType>>(types).unwrap());
    }
    reference
}

/// A record as the stream makes it from an issue with its history inside.
fn record(answer: &str) -> String {
    let issue = Issue::from_answer(answer).unwrap();
    let inline: Inline = serde_json::from_str(answer).unwrap();
    serde_json::to_string(&Record {
        issue,
        histories: inline.changelog.unwrap().histories.unwrap().kept,
        inherited: Vec::new(),
    })
    .unwrap()
}

fn read(settings: &Settings, reference: &Reference, answer: &str) -> Result<Read> {
    let mapping = Mapping::new(settings, reference);
    let context = Context { settings, reference, mapping: &mapping, unreadable: &BTreeSet::new() };
    issue(&context, &super::record(&record(answer))?)
}

fn task(settings: &Settings, reference: &Reference, answer: &str) -> TaskObservation {
    let read = read(settings, reference, answer).unwrap();
    match read.observations.into_iter().next_back() {
        Some(Observation::Task(task)) => *task,
        other => panic!("no task but {other:?}"),
    }
}

/// The issue of this key on a page.
fn on_page(page: &str, key: &str) -> String {
    let page: Value = serde_json::from_str(page).unwrap();
    page["issues"].as_array().unwrap().iter().find(|issue| issue["key"] == key).unwrap().to_string()
}

/// A task as people read it.
fn shown(task: &TaskObservation) -> String {
    let mut text = format!("{} {}\n", task.native_id, task.url);
    writeln!(text, "reporter {:?}, updated {}", task.reporter, task.updated).unwrap();
    for entry in &task.history {
        let actor = entry.actor.as_deref().unwrap_or("somebody");
        match &entry.change {
            Change::Created(facts) => writeln!(text, "{} {actor}: created {}", entry.at, brief(facts)),
            what => writeln!(text, "{} {actor}: {what:?}", entry.at),
        }
        .unwrap();
    }
    write!(text, "now {}\nblockers {:?}", brief(&task.present), task.blockers).unwrap();
    text
}

fn brief(facts: &Facts) -> String {
    let Facts { key, task_type, native_type, status, native_status, flag, priority, assignee, .. } = facts;
    let Facts { labels, estimate, parent, sprints, due, title, project, .. } = facts;
    let parent = parent.as_ref().map(|parent| format!("{}={:?}", parent.native_id, parent.key));
    format!(
        "{key} in {project} {task_type} ({native_type}) {status} ({native_status}) flag={flag:?} {priority:?} to {assignee:?} \
         labels={labels:?} points={estimate:?} parent={parent:?} sprints={sprints:?} due={due:?} {title:?}"
    )
}

/// What must hold for every task: the facts of the first day and all changes lead to the facts of today.
fn assert_closed(task: &TaskObservation) {
    let mut facts = None;
    for entry in &task.history {
        match (&entry.change, &mut facts) {
            (Change::Created(first), None) => facts = Some((**first).clone()),
            (Change::Created(_), Some(_)) => panic!("created twice"),
            (_, None) => panic!("something happened before the creation"),
            (what, Some(facts)) => facts.apply(what),
        }
    }
    let facts = facts.expect("a creation");
    // An epic that was deleted leaves no trace in the history of its children.
    let unknown_to_history = |what: &Change| *what == Change::Parent(None);
    let changes = contextcore_core::model::diff::changes(&facts, &task.present);
    assert!(changes.iter().all(unknown_to_history), "{changes:?}\n{}", shown(task));
    assert!(task.history.is_sorted_by_key(|entry| entry.at));
    let ids: BTreeSet<EventId> = task.history.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), task.history.len(), "every fact has an id of its own");
}

#[test]
fn every_real_issue_leads_from_its_first_day_to_today() {
    let english = site(SP_STATUSES, Some(SP_BOARD), None);
    for answer in [SP_1, SP_10, SP_13] {
        assert_closed(&task(&plain(), &english, answer));
    }
    let chinese = site(CHINESE_STATUSES, None, Some(CHINESE_TYPES));
    for page in [CHINESE, SERVER] {
        let page: Value = serde_json::from_str(page).unwrap();
        for issue in page["issues"].as_array().unwrap() {
            assert_closed(&task(&plain(), &chinese, &issue.to_string()));
        }
    }
}

#[test]
fn statuses_flags_and_priorities_of_a_company_managed_project() {
    let english = site(SP_STATUSES, Some(SP_BOARD), None);
    insta::assert_snapshot!("flagged", shown(&task(&plain(), &english, SP_1)));
    insta::assert_snapshot!("reviewed", shown(&task(&plain(), &english, SP_10)));
    insta::assert_snapshot!("in_a_sprint", shown(&task(&plain(), &english, SP_13)));
}

#[test]
fn translated_names_go_by_their_ids() {
    let chinese = site(CHINESE_STATUSES, None, Some(CHINESE_TYPES));
    insta::assert_snapshot!("chinese_story", shown(&task(&plain(), &chinese, &on_page(CHINESE, "EE-1"))));
    insta::assert_snapshot!("chinese_subtask", shown(&task(&plain(), &chinese, &on_page(CHINESE, "EE-25"))));
    insta::assert_snapshot!("epic_child", shown(&task(&plain(), &chinese, &on_page(CHINESE, "K5-2"))));
}

#[test]
fn data_center_names_blockers_by_links() {
    let site = site(SP_STATUSES, None, None);
    insta::assert_snapshot!("server_blocked_by", shown(&task(&plain(), &site, &on_page(SERVER, "DZFNK0168-1"))));
    insta::assert_snapshot!("server_blocks", shown(&task(&plain(), &site, &on_page(SERVER, "DZFNK0168-5"))));
}

#[test]
fn an_unknown_status_is_reported_once_and_taken_for_work() {
    let read = read(&plain(), &site(CHINESE_STATUSES, None, None), &on_page(CHINESE, "EE-1")).unwrap();
    let unknown: Vec<&str> = read.unknown.iter().map(String::as_str).collect();
    assert_eq!(unknown, ["status:Inbox", "status:Ready for Dev", "type:故事"]);
}

#[test]
fn a_status_without_a_category_goes_by_its_name() {
    let listed = r#"[{"id": "9", "name": "Erledigt", "statusCategory": {"key": "undefined"}}]"#;
    for (id, name, want) in [("9", "Erledigt", Status::Done), ("10", "In Arbeit", Status::InProgress)] {
        let status = json!({"id": id, "name": name, "statusCategory": {"key": "undefined"}});
        let task = task(&plain(), &site(listed, None, None), &made(json!({"status": status}), json!([])));
        assert_eq!(task.present.status, want, "{name}");
    }
}

#[test]
fn the_configuration_has_the_last_word() {
    let settings = plain()
        .with_status("已完成", Status::InReview)
        .with_status("10029", Status::Backlog)
        .with_type("故事", TaskType::Spike);
    let chinese = site(CHINESE_STATUSES, None, Some(CHINESE_TYPES));
    let task = task(&settings, &chinese, &on_page(CHINESE, "EE-1"));
    assert_eq!((task.present.status, task.present.task_type), (Status::InReview, TaskType::Spike));
    let backlog = |entry: &&Event| matches!(entry.change, Change::Status { status: Status::Backlog, .. });
    assert_eq!(task.history.iter().filter(backlog).count(), 1);
    assert_closed(&task);
}

/// An issue with this history: `(id, created, items)`.
fn made(fields: Value, histories: Value) -> String {
    let mut all = json!({
        "summary": "Made", "issuetype": {"id": "10001", "name": "Story", "hierarchyLevel": 0},
        "status": {"id": "3", "name": "In Progress", "statusCategory": {"key": "indeterminate"}},
        "project": {"key": "SP"}, "created": "2026-01-05T10:00:00.000+0000", "updated": "2026-02-01T10:00:00.000+0000"
    });
    let changes = fields.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(changes);
    json!({"id": "1", "key": "SP-1", "fields": all, "changelog": {"total": 0, "histories": histories}}).to_string()
}

fn whats(task: &TaskObservation) -> Vec<&Change> {
    task.history.iter().map(|entry| &entry.change).collect()
}

#[test]
fn a_resolution_decides_between_done_and_cancelled_as_of_then() {
    let done = json!({"id": "10002", "name": "Done", "statusCategory": {"key": "done"}});
    let answer = made(
        json!({"status": done, "resolution": {"id": "7", "name": "不做"}}),
        json!([
            {"id": "1", "created": "2026-01-06T10:00:00.000+0000", "items": [
                {"field": "status", "fieldId": "status", "from": "3", "fromString": "In Progress", "to": "10002", "toString": "Done"},
                {"field": "resolution", "fieldId": "resolution", "to": "1", "toString": "Fixed"}]},
            {"id": "2", "created": "2026-01-07T10:00:00.000+0000", "items": [
                {"field": "resolution", "fieldId": "resolution", "from": "1", "fromString": "Fixed"},
                {"field": "status", "fieldId": "status", "from": "10002", "fromString": "Done", "to": "3", "toString": "In Progress"}]},
            {"id": "3", "created": "2026-01-08T10:00:00.000+0000", "items": [
                {"field": "status", "fieldId": "status", "from": "3", "fromString": "In Progress", "to": "10002", "toString": "Done"}]},
            {"id": "4", "created": "2026-01-08T10:00:05.000+0000", "items": [
                {"field": "resolution", "fieldId": "resolution", "to": "7", "toString": "Won't Do"}]}
        ]),
    );
    let task = task(&plain(), &site(SP_STATUSES, None, None), &answer);
    assert_closed(&task);
    let statuses: Vec<Status> = whats(&task)
        .into_iter()
        .filter_map(|what| match what {
            Change::Status { status, .. } => Some(*status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [Status::Done, Status::InProgress, Status::Done, Status::Cancelled]);
}

/// The search comes before the history, and its index may lag behind: the next run reads what it does not know yet.
#[test]
fn a_change_that_search_has_not_seen_yet_is_left_to_the_next_run() {
    let status = |id: &str, at: &str, from: (&str, &str), to: (&str, &str)| {
        json!({"id": id, "created": at, "items": [{"field": "status", "fieldId": "status",
            "from": from.0, "fromString": from.1, "to": to.0, "toString": to.1}]})
    };
    let (backlog, work, review) = (("10000", "Backlog"), ("3", "In Progress"), ("10011", "Review"));
    // The issue's own date is that of the second change, give or take; it is in progress there.
    let histories = json!([
        status("1", "2026-01-30T10:00:00.000+0000", backlog, review),
        status("2", "2026-02-01T10:00:00.002+0000", review, work),
        {"id": "3", "created": "2026-02-01T10:00:04.000+0000", "items": [
            {"field": "Link", "to": "SP-2", "toString": "This issue blocks SP-2"}]},
        status("4", "2026-02-01T10:00:05.000+0000", work, review),
        {"id": "5", "created": "2026-02-01T10:00:06.000+0000", "items": [
            {"field": "labels", "fieldId": "labels", "fromString": "", "toString": "late"}]},
    ]);
    let task = task(&plain(), &site(SP_STATUSES, None, None), &made(json!({}), histories));
    assert_closed(&task);
    let statuses: Vec<&str> = task
        .history
        .iter()
        .filter_map(|entry| match &entry.change {
            Change::Status { native, .. } => Some(native.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, ["Review", "In Progress"]);
    assert!(whats(&task).iter().any(|what| matches!(what, Change::Linked { .. })));
    assert!(!whats(&task).iter().any(|what| matches!(what, Change::Labelled(_))));
}

#[test]
fn moves_sprints_points_labels_and_dates_have_their_first_values() {
    let answer = made(
        json!({
            "labels": ["b", "a"], "duedate": "2026-03-01", "customfield_10036": 8,
            "customfield_10020": [{"id": 9, "name": "Nine", "state": "active"}, {"id": 7, "name": "Seven", "state": "closed"}],
            "assignee": {"accountId": "a1", "displayName": "Ada Lovelace"}
        }),
        json!([
            {"id": 2, "created": 1_767_780_000_000_i64, "author": {"displayName": "Lin"}, "items": [
                {"field": "Key", "fromString": "OLD-4", "toString": "SP-1"},
                {"field": "project", "fieldId": "project", "from": "1", "fromString": "Old", "to": "2", "toString": "Sample"},
                {"field": "Sprint", "fieldId": "customfield_10020", "from": "7", "to": "7, 9", "toString": "Seven, Nine"},
                {"field": "Punkte", "fieldId": "customfield_10036", "fromString": "5", "toString": "8"},
                {"field": "labels", "fieldId": "labels", "fromString": "", "toString": "a b"},
                {"field": "duedate", "fieldId": "duedate", "to": "2026-03-01", "toString": "2026-03-01 00:00:00.0"},
                {"field": "assignee", "fieldId": "assignee", "from": "l1", "fromString": "Lin", "to": "a1", "toString": "Ada"},
                {"field": "summary", "fieldId": "summary", "fromString": "Draft", "toString": "Made"},
                {"field": "Rank", "fieldId": "customfield_10019", "toString": "Ranked higher"}]}
        ]),
    );
    let task = task(&plain(), &site(SP_STATUSES, None, None), &answer);
    assert_closed(&task);
    insta::assert_snapshot!("moved", shown(&task));
}

#[test]
fn labels_raise_the_flag_when_they_are_configured_to() {
    let answer = made(
        json!({"labels": ["urgent"]}),
        json!([
            {"id": "1", "created": "2026-01-06T10:00:00.000+0000", "items": [
                {"field": "labels", "fieldId": "labels", "fromString": "urgent", "toString": "Stuck urgent"}]},
            {"id": "2", "created": "2026-01-07T10:00:00.000+0000", "items": [
                {"field": "Flagged", "fieldId": "customfield_10021", "to": "[10019]", "toString": "Impediment"}]},
            {"id": "3", "created": "2026-01-08T10:00:00.000+0000", "items": [
                {"field": "labels", "fieldId": "labels", "fromString": "Stuck urgent", "toString": "urgent"}]},
            {"id": "4", "created": "2026-01-09T10:00:00.000+0000", "items": [
                {"field": "Flagged", "fieldId": "customfield_10021", "from": "[10019]", "fromString": "Impediment", "to": "", "toString": ""}]}
        ]),
    );
    let settings = plain().with_blocked(&[], &["stuck"]);
    let task = task(&settings, &site(SP_STATUSES, None, None), &answer);
    assert_closed(&task);
    let flags: Vec<&Change> =
        whats(&task).into_iter().filter(|what| matches!(what, Change::Blocked(_) | Change::Unblocked)).collect();
    assert_eq!(flags, [&Change::Blocked(Some("label Stuck".into())), &Change::Unblocked]);
}

#[test]
fn estimates_are_hours_where_the_site_has_no_points() {
    let answer = made(
        json!({"timeoriginalestimate": 7_200}),
        json!([{"id": "1", "created": "2026-01-06T10:00:00.000+0000", "items": [
            {"field": "timeoriginalestimate", "fieldId": "timeoriginalestimate", "from": "3600", "fromString": "3600", "to": "7200", "toString": "7200"}]}]),
    );
    let mut site = site(SP_STATUSES, None, None);
    let with_points = task(&plain(), &site, &answer);
    assert_eq!((with_points.present.estimate, with_points.history.len()), (None, 1));
    site.fields.points.clear();
    let with_hours = task(&plain(), &site, &answer);
    assert_eq!(whats(&with_hours)[1], &Change::Estimated(Some(2.0)));
    assert_closed(&with_hours);
}

#[test]
fn sprints_are_read_in_every_form_and_given_when_no_board_lists_them() {
    let texts = json!({"customfield_10020": ["com.atlassian.greenhopper.service.sprint.Sprint@1f[id=7,state=CLOSED,name=Sprint, the 7th]"]});
    let site = site(SP_STATUSES, None, None);
    assert_eq!(task(&plain(), &site, &made(texts, json!([]))).present.sprints, ["7"]);

    let read = read(&plain(), &site, SP_13).unwrap();
    let Some(Observation::Sprint { native_id, facts }) = read.observations.first() else { panic!("a sprint first") };
    assert_eq!((native_id.as_str(), &*facts.name, facts.state), ("3", "Scrum Sprint 3", SprintState::Active));
}

#[test]
fn a_record_without_what_matters_says_what_is_missing() {
    let site = site(SP_STATUSES, None, None);
    let whole: Value = serde_json::from_str(&made(json!({}), json!([]))).unwrap();
    let without = |path: &str| {
        let mut issue = whole.clone();
        *issue.pointer_mut(path).unwrap() = Value::Null;
        read(&plain(), &site, &issue.to_string()).unwrap_err()
    };
    for (path, want) in
        [("/id", "readable id"), ("/key", "readable key"), ("/fields/created", "readable fields.created")]
    {
        let error = without(path);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().ends_with(want), "{error}");
    }
    let undated =
        made(json!({}), json!([{"id": "5", "created": "soon", "items": [{"field": "status", "fieldId": "status"}]}]));
    let error = read(&plain(), &site, &undated).unwrap_err();
    assert!(error.to_string().contains("history date (history=5)"), "{error}");
}

#[test]
fn comments_are_given_only_where_privacy_allows() {
    let comment = json!({"total": 1, "comments": [{"id": "8", "author": {"displayName": "Ada"},
        "created": "2026-01-06T10:00:00.000+0000", "body": {"type": "doc", "content": [{"type": "text", "text": "Why?"}]}}]});
    let answer = made(json!({"comment": comment}), json!([]));
    let site = site(SP_STATUSES, None, None);
    assert_eq!(task(&plain(), &site, &answer).history.len(), 1);
    for (comments, text) in [(CommentPrivacy::Count, None), (CommentPrivacy::Plain, Some("Why?".to_owned()))] {
        let task = task(&plain().with_comments(comments), &site, &answer);
        assert_eq!(task.history[1].actor.as_deref(), Some("Ada"));
        assert_eq!(whats(&task)[1], &Change::Commented(text));
    }
}

/// Natives of the statuses a task went through.
fn statuses(task: &TaskObservation) -> Vec<&str> {
    fn native(change: &Change) -> Option<&str> {
        if let Change::Status { native, .. } = change { Some(native) } else { None }
    }
    whats(task).into_iter().filter_map(native).collect()
}

#[test]
fn transitions_of_one_moment_follow_each_other_in_whatever_order_they_come() {
    let item = |from: (&str, &str), to: (&str, &str)| json!({"field": "status", "fieldId": "status", "from": from.0, "fromString": from.1, "to": to.0, "toString": to.1});
    let (backlog, ready, work, review) =
        (("10000", "Backlog"), ("10001", "Selected for Development"), ("3", "In Progress"), ("10011", "Review"));
    let at = "2026-01-06T10:00:00.000+0000";
    let acts = [item(backlog, ready), item(ready, work), item(work, review)];
    let status = json!({"id": "10011", "name": "Review", "statusCategory": {"key": "indeterminate"}});
    let want = ["Selected for Development", "In Progress", "Review"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        // As three acts whose ids do not count upwards, and as three changes of one act.
        let apart: Vec<Value> =
            (0..3).map(|n| json!({"id": n.to_string(), "created": at, "items": [acts[order[n]]]})).collect();
        let together = json!([{"id": "1", "created": at, "items": order.map(|n| acts[n].clone())}]);
        for histories in [json!(apart), together] {
            let task = task(&plain(), &site(SP_STATUSES, None, None), &made(json!({"status": status}), histories));
            assert_eq!(statuses(&task), want, "{order:?}");
            assert_closed(&task);
        }
    }
}

#[test]
fn a_sub_task_has_the_changes_of_its_parents_sprints() {
    let fields = |sprints: Value| json!({"customfield_10020": sprints, "created": "2026-01-10T10:00:00.000+0000"});
    let act = |id: &str, at: &str, from: &str, to: &str| {
        let item = json!({"field": "Sprint", "fieldId": "customfield_10020", "n": 0, "from": from, "to": to});
        json!({"id": id, "created": at, "items": [item]})
    };
    let (early, late) = (
        act("parent:1", "2026-01-08T10:00:00.000+0000", "", "7"),
        act("parent:2", "2026-01-20T10:00:00.000+0000", "7", "9"),
    );
    let observe = |sprints: Value, inherited: Value| {
        let mut record: Value = serde_json::from_str(&record(&made(fields(sprints), json!([])))).unwrap();
        record["inherited"] = inherited;
        let (settings, reference) = (plain(), site(SP_STATUSES, None, None));
        let mapping = Mapping::new(&settings, &reference);
        let context =
            Context { settings: &settings, reference: &reference, mapping: &mapping, unreadable: &BTreeSet::new() };
        match issue(&context, &super::record(&record.to_string()).unwrap()).unwrap().observations.pop() {
            Some(Observation::Task(task)) => *task,
            other => panic!("no task but {other:?}"),
        }
    };
    let moved = observe(json!([{"id": 9, "state": "active"}]), json!([late, early]));
    assert_eq!(whats(&moved)[1..], [&Change::Sprints(vec!["9".into()])]);
    let Change::Created(first) = whats(&moved)[0] else { panic!("created first") };
    assert_eq!(first.sprints, ["7"]);
    // Where its own field says something else, its parent's changes are not its own.
    let alone = observe(Value::Null, json!([early, late]));
    assert_eq!((alone.history.len(), alone.present.sprints.len()), (1, 0));
}

#[test]
fn links_block_by_their_type_whatever_its_words_are() {
    let other = json!({"id": "2", "key": "SP-2"});
    let link = |kind: Value| json!({"issuelinks": [{"type": kind, "inwardIssue": other}]});
    let mut site = site(SP_STATUSES, None, None);
    let kinds = json!([
        {"id": "5", "name": "Blocks", "inward": "hindert etwas"}, {"id": "6", "name": "Klon", "inward": "ist geklont von"}]);
    site.learn_links(&serde_json::from_value::<Vec<wire::LinkKind>>(kinds).unwrap());
    for (kind, blocks) in [
        (json!({"id": "5", "name": "Blockieren", "inward": "hindert"}), true),
        (json!({"name": "Blocks", "inward": "?"}), true),
        (json!({"id": "7", "inward": "wird blockiert von"}), true),
        (json!({"id": "6", "name": "Klon", "inward": "ist geklont von"}), false),
    ] {
        assert_eq!(
            task(&plain(), &site, &made(link(kind.clone()), json!([]))).blockers.len(),
            usize::from(blocks),
            "{kind}"
        );
    }
    let said = json!([{"id": "1", "created": "2026-01-06T10:00:00.000+0000", "items": [
        {"field": "Link", "to": "SP-2", "toString": "Dieser Vorgang hindert etwas SP-2"}]}]);
    let task = task(&plain(), &site, &made(json!({}), said));
    assert!(matches!(whats(&task)[1], Change::Linked { blocker: Some(key), .. } if key == "SP-2"));
}

#[test]
fn of_two_fields_of_one_name_the_one_with_a_value_has_the_history() {
    let mut site = site(SP_STATUSES, None, None);
    site.fields.points = vec![field("customfield_1", "Story Points"), field("customfield_2", "Story Points")];
    let histories = json!([{"id": "1", "created": "2026-01-06T10:00:00.000+0000", "items": [
        {"field": "Story Points", "fieldtype": "custom", "fromString": "3", "toString": "5"}]}]);
    let task = task(&plain(), &site, &made(json!({"customfield_2": 5}), histories));
    assert_eq!((task.present.estimate, whats(&task)[1]), (Some(5.0), &Change::Estimated(Some(5.0))));
}

#[test]
fn an_odd_comment_costs_itself_and_an_odd_author_nothing_else() {
    let at = "2026-01-06T10:00:00.000+0000";
    let comment = json!({"total": 5, "comments": [null, 7, {"id": "7", "created": "soon"}, {"created": at},
        {"id": "8", "author": 7, "created": at}]});
    let site = site(SP_STATUSES, None, None);
    let settings = plain().with_comments(CommentPrivacy::Count);
    let read = task(&settings, &site, &made(json!({"comment": comment}), json!([])));
    assert!(matches!(whats(&read)[1..], [Change::Commented(_)]), "{:?}", read.history);
    assert_eq!(read.history[1].actor, None);
}

#[test]
fn odd_parts_of_a_history_cost_themselves_and_an_impossible_time_its_record() {
    let histories = json!([null, 7, {"id": "1", "author": 5, "created": "2026-01-06T10:00:00.000+0000", "items": [
        null, [], "x", {"field": null}, {"field": "labels", "fieldId": "labels", "fromString": "", "toString": "a"}]}]);
    let site = site(SP_STATUSES, None, None);
    let odd = task(&plain(), &site, &made(json!({"labels": ["a"]}), histories));
    assert_eq!(whats(&odd)[1..], [&Change::Labelled(vec!["a".into()])]);
    let error =
        read(&plain(), &site, &made(json!({"created": "99999-01-01T00:00:00.000+0000"}), json!([]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let undated = json!([{"id": "1", "created": "99999-01-01T00:00:00.000+0000", "items": [
        {"field": "labels", "fieldId": "labels", "fromString": "", "toString": "a"}]}]);
    let error = read(&plain(), &site, &made(json!({"labels": ["a"]}), undated)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "what it changed happened: the past would be another one");
}
