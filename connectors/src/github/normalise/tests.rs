//! Real answers and made-up histories, read.

use std::collections::BTreeSet;

use contextcore_core::model::diff;
use contextcore_core::model::observation::{Observation, TaskObservation};
use contextcore_core::model::time::DAY;
use contextcore_core::model::{Change, Facts, ParentRef, Status, TaskType};
use serde_json::{Value, json};

use super::super::reference::Reference;
use super::super::reference::tests::scrum_board;
use super::super::settings::Settings;
use super::super::settings::tests::plain;
use super::super::transfers::Transfers;
use super::*;

/// A project whose fields are those of the captured scrum board.
fn reference(settings: &Settings) -> Reference {
    Reference {
        reduced: Some(false),
        login: "bot".into(),
        projects: vec![scrum_board(settings)],
        ..Reference::default()
    }
}

fn read_with(settings: &Settings, record: &Value) -> Result<Vec<Observation>> {
    let reference = reference(settings);
    task(&Context { settings, reference: &reference, transfers: &Transfers::default() }, &record.to_string())
        .map(|read| read.observations)
}

fn task_of(observations: Vec<Observation>) -> TaskObservation {
    let task = observations.into_iter().find_map(|observation| match observation {
        Observation::Task(task) => Some(*task),
        _ => None,
    });
    task.unwrap()
}

fn read(record: &Value) -> TaskObservation {
    task_of(read_with(&plain(), record).unwrap())
}

/// The project's node id on the captured board.
const BOARD: &str = "PVT_kwHOAmfLjc4BWiTt";

/// The item captured in 2026, as a record.
fn captured() -> Value {
    let mut node: Value = serde_json::from_str(include_str!("../fixtures/project_item_2026.json")).unwrap();
    node["__typename"] = "ProjectV2Item".into();
    json!({"project": BOARD, "node": node})
}

/// An issue of the board with these values and events; all dates are in January 2026, by day.
fn issue(facts: &Value, values: &Value, events: &[Value]) -> Value {
    let mut issue = json!({
        "__typename": "Issue", "id": "I_1", "number": 12, "title": "Pay by card", "url": "https://github.com/acme/web/issues/12",
        "state": "OPEN", "createdAt": day(1), "updatedAt": day(20), "repository": {"nameWithOwner": "acme/web"},
        "author": {"login": "ada"}, "timelineItems": {"nodes": events},
    });
    for (key, value) in facts.as_object().unwrap() {
        issue[key] = value.clone();
    }
    json!({"project": BOARD, "node": {
        "__typename": "ProjectV2Item", "id": "PVTI_1", "createdAt": day(1), "updatedAt": day(21),
        "content": issue, "fieldValues": {"nodes": values},
    }})
}

fn day(day: u32) -> String {
    format!("2026-01-{day:02}T10:00:00Z")
}

fn at(n: u32) -> Millis {
    Millis::parse(&day(n)).unwrap()
}

fn event(kind: &str, on: u32, more: &Value) -> Value {
    let mut event =
        json!({"__typename": kind, "id": format!("{kind}_{on}"), "createdAt": day(on), "actor": {"login": "lin"}});
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

fn moved(on: u32, from: &str, to: &str) -> Value {
    event(
        "ProjectV2ItemStatusChangedEvent",
        on,
        &json!({"project": {"id": BOARD}, "previousStatus": from, "status": to}),
    )
}

const STATUS: &str = "PVTSSF_lAHOAmfLjc4BWiTtzhR1seY";
const POINTS: &str = "PVTF_lAHOAmfLjc4BWiTtzhR1soI";

fn status(name: &str, since: u32) -> Value {
    json!({"__typename": "ProjectV2ItemFieldSingleSelectValue", "name": name, "updatedAt": day(since), "field": {"id": STATUS}})
}

/// Days and what happened, without the creation.
fn events_of(task: &TaskObservation) -> Vec<(i64, Change)> {
    task.history[1..].iter().map(|entry| ((entry.at.0 - at(1).0) / DAY + 1, entry.change.clone())).collect()
}

fn created(task: &TaskObservation) -> &Facts {
    let Change::Created(facts) = &task.history[0].change else { panic!("{:?}", task.history[0]) };
    facts
}

fn to(status: Status, native: &str) -> Change {
    Change::Status { status, native: native.into() }
}

/// A history that is folded must lead to the present, else the engine would note changes that never were.
fn leads_to_present(task: &TaskObservation) {
    let mut facts = created(task).clone();
    for entry in &task.history[1..] {
        facts.apply(&entry.change);
    }
    assert_eq!(diff::changes(&facts, &task.present), []);
}

#[test]
fn a_captured_item() {
    let task = read(&captured());
    leads_to_present(&task);
    insta::assert_debug_snapshot!(task);
}

#[test]
fn a_history_is_rewound_and_replayed() {
    let events = [
        event("LabeledEvent", 2, &json!({"label": {"name": "bug"}})),
        event("AssignedEvent", 2, &json!({"assignee": {"login": "ada"}})),
        moved(3, "", "Backlog"),
        moved(5, "Backlog", "In Progress"),
        event("RenamedTitleEvent", 6, &json!({"previousTitle": "Pay", "currentTitle": "Pay by card"})),
        event("LabeledEvent", 7, &json!({"label": {"name": "blocked"}})),
        event("UnlabeledEvent", 8, &json!({"label": {"name": "blocked"}})),
        event("UnassignedEvent", 9, &json!({"assignee": {"login": "ada"}})),
        event("AssignedEvent", 9, &json!({"assignee": {"login": "lin"}, "id": "other"})),
        moved(10, "In Progress", "In Review"),
        event("ClosedEvent", 12, &json!({"stateReason": "COMPLETED"})),
        moved(12, "In Review", "Done"),
    ];
    let facts = json!({"state": "CLOSED", "stateReason": "COMPLETED", "closedAt": day(12),
        "labels": {"nodes": [{"name": "bug"}]}, "assignees": {"nodes": [{"login": "lin"}]}});
    let task = read(&issue(&facts, &json!([status("Done", 12)]), &events));
    leads_to_present(&task);
    let first = created(&task);
    assert_eq!((first.title.as_str(), first.status, first.task_type), ("Pay", Status::Backlog, TaskType::Task));
    assert!(first.labels.is_empty() && first.assignee.is_none());
    assert_eq!(
        events_of(&task),
        [
            (2, Change::Typed { task_type: TaskType::Bug, native: "bug".into() }),
            (2, Change::Labelled(vec!["bug".into()])),
            (2, Change::Assigned(Some("ada".into()))),
            (3, to(Status::Backlog, "Backlog")),
            (5, to(Status::InProgress, "In Progress")),
            (6, Change::Titled("Pay by card".into())),
            (7, Change::Labelled(vec!["blocked".into(), "bug".into()])),
            (7, Change::Blocked(Some("label blocked".into()))),
            (8, Change::Labelled(vec!["bug".into()])),
            (8, Change::Unblocked),
            (9, Change::Assigned(None)),
            (9, Change::Assigned(Some("lin".into()))),
            (10, to(Status::InReview, "In Review")),
            (12, to(Status::Done, "In Review")),
            (12, to(Status::Done, "Done")),
        ]
    );
    let ids: BTreeSet<_> = task.history.iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), task.history.len(), "every fact has its own id");
}

#[test]
fn a_reason_decides_between_done_and_cancelled_and_reopening_takes_it_back() {
    let events = [
        moved(2, "", "In Progress"),
        event("ClosedEvent", 3, &json!({"stateReason": "NOT_PLANNED"})),
        event("ReopenedEvent", 5, &json!({})),
        event("ClosedEvent", 8, &json!({"stateReason": null})),
    ];
    let closed = json!({"state": "CLOSED", "stateReason": null, "closedAt": day(8)});
    let task = read(&issue(&closed, &json!([status("In Progress", 2)]), &events));
    leads_to_present(&task);
    assert_eq!(
        events_of(&task)[1..],
        [
            (3, to(Status::Cancelled, "In Progress")),
            (5, to(Status::InProgress, "In Progress")),
            (8, to(Status::Done, "In Progress")),
        ]
    );
}

#[test]
fn an_open_issue_in_a_finished_column_is_finished_unless_it_was_reopened_there() {
    let events = [moved(2, "", "Done")];
    let open = json!({"state": "OPEN"});
    let task = read(&issue(&open, &json!([status("Done", 2)]), &events));
    assert_eq!(task.present.status, Status::Done);
    let events = [
        moved(2, "", "Done"),
        event("ClosedEvent", 3, &json!({"stateReason": "COMPLETED"})),
        event("ReopenedEvent", 5, &json!({})),
    ];
    let task = read(&issue(&open, &json!([status("Done", 2)]), &events));
    leads_to_present(&task);
    assert_eq!((task.present.status, events_of(&task).len()), (Status::Todo, 2));
}

#[test]
fn a_closed_issue_without_the_event_is_closed_when_it_says() {
    let closed = json!({"state": "CLOSED", "stateReason": "DUPLICATE", "closedAt": day(4)});
    let mut record = issue(&closed, &json!([]), &[]);
    record = json!({"node": record["node"]["content"]});
    let task = read(&record);
    leads_to_present(&task);
    assert_eq!(events_of(&task), [(4, to(Status::Cancelled, "Closed"))]);
    assert_eq!((task.present.project.as_str(), task.present.key.as_str()), ("acme/web", "acme/web#12"));
}

#[test]
fn values_without_a_history_are_observed_when_they_were_set() {
    let values = json!([
        status("Ready", 4),
        {"__typename": "ProjectV2ItemFieldNumberValue", "number": 5.0, "updatedAt": day(6), "field": {"id": POINTS}},
        {"__typename": "ProjectV2ItemFieldIterationValue", "iterationId": "07155ad6", "updatedAt": day(7),
         "field": {"id": "PVTIF_lAHOAmfLjc4BWiTtzhR1soM"}},
    ]);
    let task = read(&issue(&json!({}), &values, &[]));
    leads_to_present(&task);
    let iteration = "PVTIF_lAHOAmfLjc4BWiTtzhR1soM:07155ad6".to_owned();
    assert_eq!(
        events_of(&task),
        [
            (4, to(Status::Todo, "Ready")),
            (6, Change::Estimated(Some(5.0))),
            (7, Change::Sprints(vec![iteration.into()])),
        ]
    );
    assert!(task.history[1..].iter().all(|entry| entry.observed) && !task.history[0].observed);
    assert_eq!((created(&task).status, created(&task).estimate), (Status::Backlog, None));
}

#[test]
fn moves_in_other_projects_are_not_ours() {
    let mut elsewhere = moved(3, "Backlog", "Done");
    elsewhere["project"]["id"] = "PVT_other".into();
    let task = read(&issue(&json!({}), &json!([status("Ready", 2)]), &[moved(2, "", "Ready"), elsewhere]));
    assert_eq!(events_of(&task), [(2, to(Status::Todo, "Ready"))]);
}

#[test]
fn a_parent_a_transfer_and_a_blocker_become_events() {
    let other = |number: u32| json!({"id": format!("I_{number}"), "number": number, "repository": {"nameWithOwner": "acme/web"}});
    let events = [
        event("TransferredEvent", 2, &json!({"fromRepository": {"nameWithOwner": "acme/old"}})),
        event("ParentIssueAddedEvent", 3, &json!({"parent": other(7)})),
        event("BlockedByAddedEvent", 4, &json!({"blockingIssue": other(8)})),
    ];
    let mut blocking = other(8);
    blocking["state"] = "CLOSED".into();
    let facts = json!({"parent": other(7), "blockedBy": {"nodes": [blocking, null]}});
    let record = json!({"node": issue(&facts, &json!([]), &events)["node"]["content"]});
    let task = read(&record);
    leads_to_present(&task);
    assert_eq!(created(&task).project, "acme/old");
    let parent = ParentRef { native_id: "I_7".into(), key: Some("acme/web#7".into()) };
    assert_eq!(
        events_of(&task),
        [
            (2, Change::Moved { key: "acme/web#12".into(), project: "acme/web".into() }),
            (3, Change::Parent(Some(parent))),
            (
                4,
                Change::Linked {
                    text: "is blocked by acme/web#8".into(),
                    blocker: Some("acme/web#8".into()),
                    added: true
                }
            ),
        ]
    );
    let blocker = &task.blockers[0];
    assert!(blocker.finished && blocker.native_id.as_deref() == Some("I_8") && task.blockers.len() == 1);
}

#[test]
fn issue_types_and_fields_of_the_organisation_have_a_history() {
    let field = |name: &str| json!({"__typename": "IssueFieldSingleSelect", "name": name});
    let events = [
        event("IssueTypeAddedEvent", 2, &json!({"issueType": {"name": "Task"}})),
        event("IssueTypeChangedEvent", 3, &json!({"issueType": {"name": "Bug"}, "prevIssueType": {"name": "Task"}})),
        event("IssueFieldAddedEvent", 4, &json!({"issueField": field("Severity"), "value": "Low"})),
        event(
            "IssueFieldChangedEvent",
            5,
            &json!({"issueField": field("Severity"), "previousValue": "Low", "newValue": "Critical"}),
        ),
    ];
    let facts = json!({"issueType": {"name": "Bug"},
        "issueFieldValues": {"nodes": [{"__typename": "IssueFieldSingleSelectValue", "selected": "Critical", "field": field("Severity")}]}});
    let task = read(&issue(&facts, &json!([]), &events));
    leads_to_present(&task);
    assert_eq!(
        events_of(&task),
        [
            (2, Change::Typed { task_type: TaskType::Task, native: "Task".into() }),
            (3, Change::Typed { task_type: TaskType::Bug, native: "Bug".into() }),
            (4, Change::Prioritised(Some("low".into()))),
            (5, Change::Prioritised(Some("highest".into()))),
        ]
    );
}

#[test]
fn a_pull_request_is_a_task_only_when_it_closes_none() {
    let pull = |closes: u64| {
        json!({"project": BOARD, "node": {"__typename": "ProjectV2Item", "id": "PVTI_2", "createdAt": day(2),
            "content": {"__typename": "PullRequest", "id": "PR_1", "number": 3, "title": "Tidy", "url": "u", "state": "MERGED",
                "createdAt": day(1), "mergedAt": day(4), "repository": {"nameWithOwner": "acme/web"},
                "closingIssuesReferences": {"totalCount": closes}},
            "fieldValues": {"nodes": []}}})
    };
    assert_eq!(read_with(&plain(), &pull(1)).unwrap(), [Observation::Gone { native_id: "PR_1".into() }]);
    let task = read(&pull(0));
    leads_to_present(&task);
    assert_eq!(events_of(&task), [(4, to(Status::Done, "Closed"))]);
    assert_eq!((created(&task).status, created(&task).native_type.as_str()), (Status::InReview, "Pull request"));
}

#[test]
fn drafts_and_hidden_items_stand_in_their_columns() {
    let item = |content: Value| {
        json!({"project": BOARD, "node": {"__typename": "ProjectV2Item", "id": "PVTI_3", "fullDatabaseId": "4711",
            "createdAt": day(2), "updatedAt": day(3), "content": content, "fieldValues": {"nodes": [status("Ready", 3)]}}})
    };
    let draft = read(&item(json!({"__typename": "DraftIssue", "id": "DI_1", "title": "Ideas", "createdAt": day(2)})));
    assert_eq!((draft.native_id.as_str(), draft.present.key.as_str()), ("DI_1", "acme/1#draft-4711"));
    assert_eq!((draft.present.status, draft.present.title.as_str()), (Status::Todo, "Ideas"));
    let hidden = read(&item(Value::Null));
    assert_eq!((hidden.native_id.as_str(), hidden.present.status), ("PVTI_3", Status::Todo));
    leads_to_present(&hidden);
}

#[test]
fn an_issue_that_was_a_draft_began_as_one() {
    let facts = json!({"createdAt": day(9)});
    let converted = event("ConvertedFromDraftEvent", 9, &json!({"project": {"id": BOARD}}));
    let task = read(&issue(&facts, &json!([]), &[converted]));
    assert_eq!(task.history[0].at, at(1));
    assert_eq!(events_of(&task).len(), 1);
}

#[test]
fn linked_pull_requests_become_activities() {
    let pulls = json!({"nodes": [{"id": "PR_9", "number": 9, "title": "Card", "url": "u", "headRefName": "card",
        "createdAt": day(3), "mergedAt": day(4), "repository": {"nameWithOwner": "acme/web"}, "author": {"login": "ada"}}]});
    let facts = json!({"closedByPullRequestsReferences": pulls});
    let observations = read_with(&plain(), &issue(&facts, &json!([]), &[])).unwrap();
    let kinds: Vec<_> = observations
        .iter()
        .filter_map(|observation| match observation {
            Observation::Activity(activity) => Some((activity.artifact.kind.as_str(), activity.tasks[0].as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [("pull_request", "I_1"), ("merged", "I_1")]);
}

#[test]
fn a_record_that_lacks_what_it_needs_is_an_error() {
    for record in [
        json!({"node": {"__typename": "Issue", "id": "I_1"}}),
        json!({"node": {"__typename": "Milestone", "id": "M_1"}}),
        json!({"project": "PVT_gone", "node": issue(&json!({}), &json!([]), &[])["node"]}),
        issue(&json!({}), &json!([]), &[json!({"__typename": "LabeledEvent", "id": "L"})]),
    ] {
        let error = read_with(&plain(), &record).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{record}");
    }
}

#[test]
fn an_odd_entry_of_a_history_costs_itself_and_an_odd_actor_nothing_else() {
    let labelled = |day: u32, more: Value| {
        let mut event = event("LabeledEvent", day, &json!({"label": {"name": "ui"}, "actor": {"login": "ada"}}));
        more.as_object().unwrap().iter().for_each(|(name, value)| event[name] = value.clone());
        event
    };
    let read = |events: &[Value]| {
        let record = issue(&json!({"labels": {"nodes": [{"name": "ui"}]}}), &json!([]), events);
        let (settings, reference) = (plain(), reference(&plain()));
        let transfers = Transfers::default();
        task(&Context { settings: &settings, reference: &reference, transfers: &transfers }, &record.to_string())
    };
    let actors =
        |read: Read| task_of(read.observations).history.into_iter().map(|event| event.actor).collect::<Vec<_>>();
    for actor in [json!(7), json!({"login": 7}), json!("ada")] {
        let read = read(&[labelled(5, json!({"actor": actor}))]).unwrap();
        assert_eq!((read.left_out, read.key()), (0, Some("acme/web#12")));
        assert_eq!(actors(read), [Some("ada".to_owned()), None], "the author of the issue, and nobody: {actor}");
    }
    for odd in [json!({"label": 7}), json!({"id": {}}), json!({"assignee": "x"})] {
        let read = read(&[labelled(5, odd.clone()), labelled(6, json!({"id": "other"}))]).unwrap();
        assert_eq!(read.left_out, 1, "{odd}");
        assert_eq!(actors(read).len(), 2);
    }
    for time in [json!("soon"), json!("99999-01-01T00:00:00Z"), json!(7), json!(null)] {
        let error = read(&[labelled(5, json!({"createdAt": time, "label": 7}))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{time}");
    }
}

#[test]
fn a_list_that_is_null_costs_the_record() {
    for list in ["timelineItems", "labels", "assignees"] {
        let error = read_with(&plain(), &issue(&json!({list: {"nodes": null}}), &json!([]), &[])).unwrap_err();
        assert!(error.full().contains(list), "{}", error.full());
    }
    let mut record = captured();
    record["node"]["fieldValues"]["nodes"] = Value::Null;
    assert!(read_with(&plain(), &record).unwrap_err().full().contains("fieldValues"));
}

#[test]
fn events_of_one_second_are_ordered_by_what_they_change() {
    let same_second = |events: Vec<Value>| {
        let dated = events.into_iter().enumerate().map(|(n, mut event)| {
            event["createdAt"] = day(5).into();
            event["id"] = format!("{}{n}", event["__typename"]).into();
            event
        });
        dated.collect::<Vec<Value>>()
    };
    let label = |kind: &str| event(kind, 5, &json!({"label": {"name": "blocked"}}));
    let title =
        |from: &str, to: &str| event("RenamedTitleEvent", 5, &json!({"previousTitle": from, "currentTitle": to}));
    let events = same_second(vec![
        moved(5, "", "Backlog"),
        moved(5, "Backlog", "In Progress"),
        moved(5, "In Progress", "In Review"),
        label("LabeledEvent"),
        label("UnlabeledEvent"),
        title("A", "B"),
        title("B", "Pay by card"),
    ]);
    let of = |events: &[Value]| events_of(&read(&issue(&json!({}), &json!([status("In Review", 5)]), events)));
    let want = of(&events);
    let statuses: Vec<_> = want.iter().filter(|(_, change)| matches!(change, Change::Status { .. })).collect();
    assert_eq!(statuses.len(), 3, "none is lost: {want:?}");
    let mut reversed = events.clone();
    reversed.reverse();
    let mut turned = events.clone();
    turned.rotate_left(3);
    for other in [reversed, turned] {
        let found = of(&other);
        let same = |kind: fn(&Change) -> bool| {
            let of = |all: &[(i64, Change)]| {
                all.iter().filter(|(_, change)| kind(change)).map(|(_, change)| change.clone()).collect::<Vec<_>>()
            };
            assert_eq!(of(&found), of(&want));
        };
        same(|change| matches!(change, Change::Status { .. }));
        same(|change| matches!(change, Change::Titled(_)));
        same(|change| matches!(change, Change::Labelled(_) | Change::Blocked(_) | Change::Unblocked));
    }
}

#[test]
fn rows_of_later_pages_count_as_those_of_the_first() {
    let mut record = issue(&json!({"labels": {"nodes": [{"name": "a"}]}}), &json!([]), &[]);
    record["rest"] = json!({
        "labels": [{"name": "blocked"}],
        "assignees": [{"login": "lin"}],
        "blockedBy": [{"id": "I_9", "number": 9, "state": "OPEN", "repository": {"nameWithOwner": "acme/web"}}],
        "fieldValues": [status("In Progress", 3),
            {"__typename": "ProjectV2ItemFieldNumberValue", "number": 5.0, "updatedAt": day(3), "field": {"id": POINTS}}],
    });
    let task = read(&record);
    assert_eq!(task.present.labels, ["a", "blocked"]);
    assert_eq!((task.present.estimate, task.present.assignee.as_deref()), (Some(5.0), Some("lin")));
    assert_eq!((task.present.status, task.blockers.len()), (Status::InProgress, 1));
}

#[test]
fn what_was_archived_while_open_is_a_task_that_is_gone() {
    let mut record = issue(&json!({}), &json!([]), &[]);
    record["archived"] = true.into();
    let observations = read_with(&plain(), &record).unwrap();
    assert!(matches!(observations.as_slice(),
        [Observation::Task(task), Observation::Gone { native_id }] if task.native_id == *native_id));
}

#[test]
fn a_label_that_was_deleted_from_the_repository_leaves_a_readable_history() {
    // GitHub takes it off without an event, and forgets its name in those that there are.
    for label in [json!(null), json!({"name": "blocked"})] {
        let events = [event("LabeledEvent", 3, &json!({"label": label}))];
        let task = read(&issue(&json!({"labels": {"nodes": []}}), &json!([]), &events));
        assert!(task.present.labels.is_empty() && task.present.flag.is_none(), "{:?}", task.present);
    }
}
