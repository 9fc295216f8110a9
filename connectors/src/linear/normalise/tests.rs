//! Answers of Linear, real ones and such as we ask for, and what becomes of them.

use std::fmt::Write as _;

use contextcore_core::ErrorKind;
use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::timeline;
use contextcore_core::model::{SprintState, StoredEvent, diff};
use serde_json::{Value, json};

use super::super::reference::tests::workspace;
use super::super::settings::Settings;
use super::super::settings::tests::{plain, with_comments};
use super::*;

const ISSUES: &str = include_str!("../fixtures/issues.json");
const HISTORY: &str = include_str!("../fixtures/issue_history.json");
const SDK_HISTORY: &str = include_str!("../fixtures/issue_history_sdk.json");
const PROJECTS: &str = include_str!("../fixtures/projects.json");
const CYCLE: &str = include_str!("../fixtures/cycle_details.json");

fn read_with(settings: &Settings, record: &Value) -> Result<Read> {
    super::record(&Context { settings, reference: &workspace() }, &record.to_string())
}

fn task_of(read: Read) -> TaskObservation {
    match read.observations.into_iter().next() {
        Some(Observation::Task(task)) => *task,
        other => panic!("no task: {other:?}"),
    }
}

fn task(record: &Value) -> TaskObservation {
    task_of(read_with(&plain(), record).unwrap())
}

/// An issue as we ask for it, with these fields set otherwise.
fn issue(changes: Value) -> Value {
    let mut issue = json!({
        "id": "i1", "identifier": "ENG-7", "previousIdentifiers": [], "title": "Pay by card",
        "url": "https://linear.app/acme/issue/ENG-7", "priority": 2, "estimate": 3,
        "createdAt": "2026-05-01T08:00:00.000Z", "updatedAt": "2026-05-09T08:00:00.000Z",
        "trashed": null, "archivedAt": null, "dueDate": "2026-06-01", "labelIds": ["l-ui"],
        "state": {"id": "todo"}, "team": {"id": "t1"}, "cycle": null, "project": null, "projectMilestone": null,
        "parent": null, "assignee": {"id": "u1"}, "creator": {"id": "u2"},
        "children": {"nodes": []}, "history": {"nodes": []}, "stateHistory": {"nodes": []},
        "inverseRelations": {"nodes": []},
    });
    for (name, value) in changes.as_object().unwrap() {
        issue[name] = value.clone();
    }
    json!({"issue": {"issue": issue}})
}

fn act(id: &str, at: &str, changes: Value) -> Value {
    let mut act = json!({"id": id, "createdAt": at, "actorId": "u1"});
    for (name, value) in changes.as_object().unwrap() {
        act[name] = value.clone();
    }
    act
}

fn span(id: &str, state: &str, at: &str) -> Value {
    json!({"id": id, "stateId": state, "startedAt": at})
}

/// A task as people read it, a line for each event.
fn shown(task: &TaskObservation) -> String {
    let mut text = format!("{} {} by {:?}, {:?}\n", task.native_id, task.url, task.reporter, task.blockers);
    for entry in &task.history {
        writeln!(text, "{} {:?} {:?}", entry.at, entry.actor, entry.change).unwrap();
    }
    write!(text, "now {:?}", task.present).unwrap();
    text
}

/// The history must lead to the present.
fn assert_sound(task: &TaskObservation) {
    let timeline: Vec<StoredEvent> =
        task.history.iter().map(|entry| StoredEvent { event: entry.clone(), seq: 1 }).collect();
    let last = timeline::last(&timeline).unwrap();
    assert_eq!(diff::changes(&last.facts, &task.present), []);
}

#[test]
fn answers_that_others_recorded_are_read() {
    let answer: Value = serde_json::from_str(ISSUES).unwrap();
    let history: Value = serde_json::from_str(HISTORY).unwrap();
    let mut all = String::new();
    for (n, issue) in answer["data"]["issues"]["nodes"].as_array().unwrap().iter().enumerate() {
        let mut issue = issue.clone();
        if n == 0 {
            issue["history"] = history["data"]["issue"]["history"].clone();
        }
        let task = task(&json!({"issue": {"issue": issue}}));
        assert!(n == 0 || task.history.len() == 1, "{task:?}");
        all += &shown(&task);
        all += "\n\n";
    }
    insta::assert_snapshot!("recorded_issues", all);
}

#[test]
fn acts_that_say_little_say_nothing() {
    let history: Value = serde_json::from_str(SDK_HISTORY).unwrap();
    let task = task(&issue(json!({"history": history})));
    let changes: Vec<_> = task.history.iter().map(|event| &event.change).collect();
    assert_eq!(changes.len(), 1, "the same id twice is one act, and neither has a change by ids we know: {changes:?}");
}

#[test]
fn projects_are_epics_by_the_moments_of_their_turns() {
    let answer: Value = serde_json::from_str(PROJECTS).unwrap();
    let projects = answer["data"]["projects"]["nodes"].as_array().unwrap();
    let all: Vec<String> = projects.iter().map(|project| shown(&task(&json!({"project": project})))).collect();
    insta::assert_snapshot!("recorded_projects", all.join("\n\n"));
}

#[test]
fn cycles_are_sprints() {
    let answer: Value = serde_json::from_str(CYCLE).unwrap();
    let sprint = |changes: Value| {
        let mut cycle = answer["data"]["cycle"].clone();
        for (name, value) in changes.as_object().unwrap() {
            cycle[name] = value.clone();
        }
        let read = read_with(&plain(), &json!({"cycle": cycle})).unwrap();
        let Some(Observation::Sprint { native_id, facts }) = read.observations.into_iter().next() else { panic!() };
        (native_id, facts)
    };
    let (id, facts) = sprint(json!({"team": {"id": "t1"}}));
    assert_eq!((id.as_str(), facts.name.as_str(), facts.state), ("cycle-2", "Sprint 13", SprintState::Active));
    assert_eq!(
        (facts.goal.as_deref(), facts.project.as_deref()),
        (Some("Focus on performance improvements"), Some("ENG"))
    );
    assert!(facts.exact && facts.end == Millis::parse("2026-03-10T00:00:00Z"));
    let late = json!({"name": null, "isActive": false, "isPast": true});
    assert_eq!((sprint(late.clone()).1.name.as_str(), sprint(late).1.state), ("Cycle 13", SprintState::Active));
    let closed = json!({"completedAt": "2026-03-09T10:00:00.000Z", "isActive": false});
    assert_eq!(sprint(closed).1.state, SprintState::Closed);
    let copy = json!({"id": "c1-copy", "inheritedFrom": {"id": "c1"}, "isFuture": true, "isActive": false});
    assert_eq!((sprint(copy.clone()).0.as_str(), sprint(copy).1.state), ("c1", SprintState::Future));
}

#[test]
fn one_act_may_change_many_fields_and_first_values_are_walked_back_to() {
    let task = task(&issue(json!({
        "state": {"id": "doing"}, "labelIds": ["l-ui", "l-blocked", "l-bug"], "cycle": {"id": "c1-copy"},
        "estimate": 8, "priority": 1, "title": "Pay by card or by invoice", "projectMilestone": {"id": "m1"},
        "parent": {"id": "i0", "identifier": "ENG-1"}, "project": {"id": "p1"}, "assignee": {"id": "u2"},
        "history": {"nodes": [
            act("h3", "2026-05-03T08:00:00.000Z", json!({"addedLabelIds": ["l-blocked"], "actorId": null,
                "botActor": {"name": "GitHub"}})),
            act("h2", "2026-05-02T08:00:00.000Z", json!({
                "fromStateId": "todo", "toStateId": "doing", "toCycleId": "c1-copy", "fromEstimate": 3, "toEstimate": 8,
                "fromPriority": 0, "toPriority": 1, "fromTitle": "Pay by card", "toTitle": "Pay by card or by invoice",
                "toParentId": "i0", "toAssigneeId": "u2", "toProjectMilestone": {"id": "m1"},
                "addedLabelIds": ["l-bug"], "removedLabelIds": [], "fromDueDate": "2026-05-20", "toDueDate": "2026-06-01",
            })),
        ]},
        "stateHistory": {"nodes": [span("s1", "todo", "2026-05-01T08:00:00.000Z"), span("s2", "doing", "2026-05-02T08:00:00.003Z")]},
    })));
    assert_sound(&task);
    insta::assert_snapshot!("many_fields_at_once", shown(&task));
}

#[test]
fn a_move_to_another_team_keeps_the_task_and_its_former_key() {
    let task = task(&issue(json!({
        "identifier": "OPS-3", "previousIdentifiers": ["ENG-7"], "team": {"id": "t2"},
        "history": {"nodes": [act("h1", "2026-05-02T08:00:00.000Z", json!({"fromTeamId": "t1", "toTeamId": "t2"}))]},
    })));
    assert_sound(&task);
    let Change::Created(first) = &task.history[0].change else { panic!() };
    assert_eq!((first.key.as_str(), first.project.as_str()), ("ENG-7", "ENG"));
    assert_eq!(task.history[1].change, Change::Moved { key: "OPS-3".into(), project: "OPS".into() });
}

#[test]
fn spans_of_states_count_where_the_history_says_otherwise() {
    let record = issue(json!({
        "state": {"id": "done"},
        "history": {"nodes": [
            act("h2", "2026-05-05T08:00:00.000Z", json!({"fromStateId": "doing", "toStateId": "done"})),
            act("h1", "2026-05-02T08:00:00.000Z", json!({"fromStateId": "todo", "toStateId": "canceled"})),
        ]},
        "stateHistory": {"nodes": [
            span("s1", "backlog", "2026-05-01T08:00:00.000Z"), span("s2", "doing", "2026-05-03T08:00:00.000Z"),
            span("s3", "done", "2026-05-05T08:02:00.000Z"),
        ]},
    }));
    let read = read_with(&plain(), &record).unwrap();
    assert_eq!(read.disputes, 1);
    let task = task_of(read);
    assert_sound(&task);
    let states: Vec<_> = task.history[1..].iter().map(|entry| (entry.at.to_string(), entry.actor.as_deref())).collect();
    let want = [("2026-05-03T08:00:00.000Z", None), ("2026-05-05T08:02:00.000Z", Some("Ada"))];
    assert_eq!(states, want.map(|(at, who)| (at.to_owned(), who)));
    let Change::Created(first) = &task.history[0].change else { panic!() };
    assert_eq!((first.status, first.native_status.as_str()), (Status::Backlog, "Backlog"));
}

#[test]
fn what_lies_before_the_first_span_comes_from_the_history() {
    let read = read_with(
        &plain(),
        &issue(json!({
            "state": {"id": "done"},
            "history": {"nodes": [
                act("h2", "2026-05-05T08:00:00.000Z", json!({"fromStateId": "doing", "toStateId": "done"})),
                act("h1", "2026-05-02T08:00:00.000Z", json!({"fromStateId": "todo", "toStateId": "doing"})),
            ]},
            "stateHistory": {"nodes": [span("s3", "done", "2026-05-05T08:00:00.000Z")]},
        })),
    )
    .unwrap();
    assert_eq!(read.disputes, 0);
    let task = task_of(read);
    assert_sound(&task);
    assert_eq!(task.history.len(), 3, "{}", shown(&task));
}

#[test]
fn an_act_that_was_added_to_keeps_the_ids_of_its_facts() {
    let with = |extra: Value| {
        let mut changes = json!({"fromEstimate": 1, "toEstimate": 3});
        extra.as_object().unwrap().iter().for_each(|(name, value)| changes[name] = value.clone());
        task(&issue(json!({"history": {"nodes": [act("h1", "2026-05-02T08:00:00.000Z", changes)]}})))
    };
    let (before, after) = (with(json!({})), with(json!({"toAssigneeId": "u1"})));
    let ids = |task: &TaskObservation| task.history.iter().map(|entry| entry.id).collect::<BTreeSet<_>>();
    assert!(ids(&before).is_subset(&ids(&after)) && ids(&after).len() == ids(&before).len() + 1);
}

#[test]
fn the_bin_is_deletion_and_the_archive_only_for_what_is_unfinished() {
    let archive = |state: &str| json!({"archivedAt": "2026-05-08T08:00:00.000Z", "state": {"id": state}});
    let archived = task(&issue(archive("todo")));
    assert_eq!(
        (archived.history.len(), &archived.history[1].change, archived.history[1].at),
        (2, &Change::Deleted, Millis::parse("2026-05-08T08:00:00Z").unwrap())
    );
    for state in ["done", "canceled"] {
        assert!(task(&issue(archive(state))).history.iter().all(|event| event.change != Change::Deleted));
    }
    let binned = json!({"trashed": true, "archivedAt": "2026-05-08T08:00:00.000Z"});
    let silent = task(&issue(binned.clone()));
    assert_eq!(
        (&silent.history[1].change, silent.history[1].at),
        (&Change::Deleted, Millis::parse("2026-05-08T08:00:00Z").unwrap())
    );
    let acts = json!({"nodes": [act("h1", "2026-05-08T07:00:00.000Z", json!({"trashed": true}))]});
    let mut with_acts = binned;
    with_acts["history"] = acts.clone();
    let deleted = task(&issue(with_acts));
    assert_eq!((deleted.history.len(), deleted.history[1].actor.as_deref()), (2, Some("Ada")));
    let back = task(&issue(json!({"history": acts})));
    assert_eq!(back.history.len(), 1, "out of the bin again, whenever that was: the engine notes that it is back");
}

#[test]
fn an_issue_made_into_a_project_is_cancelled() {
    let task = task(&issue(json!({
        "history": {"nodes": [act("h1", "2026-05-08T07:00:00.000Z", json!({"toConvertedProjectId": "p9"}))]},
    })));
    assert_sound(&task);
    assert_eq!((task.present.status, task.present.native_status.as_str()), (Status::Cancelled, CONVERTED));
}

#[test]
fn links_say_who_blocks_and_the_history_since_when() {
    let link = |kind: &str, key: &str, state: &str, archived: Value| json!({"type": kind, "archivedAt": archived, "issue": {"id": key, "identifier": key, "state": {"id": state}}});
    let changes = json!([{"identifier": "ENG-1", "type": "ab"}, {"identifier": "ENG-2", "type": "ar"},
        {"identifier": "ENG-1", "type": "br"}, {"identifier": "ENG-4", "type": "rb"}]);
    let task = task(&issue(json!({
        "history": {"nodes": [act("h1", "2026-05-02T08:00:00.000Z", json!({"relationChanges": changes}))]},
        "inverseRelations": {"nodes": [
            link("blocks", "ENG-1", "doing", json!(null)), link("blocks", "ENG-3", "done", json!(null)),
            link("blocks", "ENG-4", "todo", json!("2026-05-04T08:00:00.000Z")), link("related", "ENG-2", "todo", json!(null)),
        ]},
    })));
    let blockers: Vec<_> = task.blockers.iter().map(|other| (other.key.as_str(), other.finished)).collect();
    assert_eq!(blockers, [("ENG-1", false), ("ENG-3", true)]);
    let links: Vec<_> = task.history[1..].iter().map(|entry| entry.change.clone()).collect();
    let linked = |text: &str, blocker: Option<&str>, added| Change::Linked {
        text: text.into(),
        blocker: blocker.map(str::to_owned),
        added,
    };
    assert_eq!(
        links,
        [
            linked("is blocked by ENG-1", Some("ENG-1"), true),
            linked("link ar ENG-2", None, true),
            linked("is blocked by ENG-4", Some("ENG-4"), false),
        ]
    );
}

#[test]
fn rests_of_long_lists_belong_to_the_issue() {
    let mut record = issue(json!({"estimate": 5, "history": {"nodes": [
        act("h2", "2026-05-03T08:00:00.000Z", json!({"fromEstimate": 3, "toEstimate": 5}))]}}));
    record["issue"]["history"] = json!([act("h1", "2026-05-02T08:00:00.000Z", json!({"toEstimate": 3}))]);
    record["issue"]["comments"] =
        json!([{"id": "c1", "createdAt": "2026-05-04T08:00:00.000Z", "body": "Done soon", "user": {"id": "u2"}}]);
    let quiet = task(&record);
    assert_eq!(quiet.history.len(), 3);
    for (comments, text) in [(CommentPrivacy::Count, None), (CommentPrivacy::Plain, Some("Done soon".to_owned()))] {
        let loud = task_of(read_with(&with_comments(comments), &record).unwrap());
        assert_eq!(loud.history[3].change, Change::Commented(text));
    }
}

#[test]
fn initiatives_are_epics_above_projects() {
    let task = task(&json!({"initiative": {
        "id": "n1", "identifier": null, "name": "Grow", "slugId": "grow-1", "url": "https://linear.app/acme/initiative/grow-1",
        "status": "Active", "createdAt": "2026-04-01T08:00:00.000Z", "updatedAt": "2026-05-01T08:00:00.000Z",
        "startedAt": "2026-04-02T08:00:00.000Z", "owner": {"id": "u1"}, "parentInitiative": {"id": "n0"},
        "projects": {"nodes": [{"teams": {"nodes": [{"id": "t2"}, {"id": "t1"}]}}]},
    }}));
    assert_sound(&task);
    let facts = &task.present;
    assert_eq!((facts.key.as_str(), facts.project.as_str(), facts.status), ("grow-1", "ENG", Status::InProgress));
    assert_eq!(facts.parent.as_ref().map(|parent| parent.native_id.as_str()), Some("n0"));
}

#[test]
fn attachments_that_lead_to_code_are_activities() {
    let attachment = |url: &str| {
        json!({"attachment": {"id": "a1", "url": url, "title": "ENG-7 Pay by card", "sourceType": "github",
            "createdAt": "2026-05-02T08:00:00.000Z", "updatedAt": "2026-05-03T08:00:00.000Z", "creator": {"id": "u1"},
            "issue": {"id": "i1"}}})
    };
    let read = read_with(&plain(), &attachment("https://github.com/acme/checkout/pull/42")).unwrap();
    let Some(Observation::Activity(activity)) = read.observations.into_iter().next() else { panic!() };
    assert_eq!((activity.artifact.kind.as_str(), activity.artifact.reference.as_str()), ("pull_request", "42"));
    assert_eq!((activity.tasks, activity.mentions), (vec!["i1".to_owned()], vec!["ENG-7 Pay by card".to_owned()]));
    assert!(read_with(&plain(), &attachment("https://acme.slack.com/p1")).unwrap().observations.is_empty());
}

#[test]
fn an_entry_of_a_list_that_cannot_be_read_costs_itself() {
    let entry =
        json!({"id": "h2", "createdAt": "2026-05-02T08:00:00.000Z", "fromTitle": "Pay", "toTitle": "Pay by card"});
    let history = |entries: &[Value]| issue(json!({"history": {"nodes": entries}}));
    let want = read_with(&plain(), &history(std::slice::from_ref(&entry))).unwrap().observations;
    for odd in [
        json!(null),
        json!({"id": "h1"}),
        json!({"createdAt": "2026-05-02T08:00:00.000Z"}),
        json!({"id": 1}),
        json!([]),
    ] {
        let read = read_with(&plain(), &history(&[odd.clone(), entry.clone()])).unwrap();
        assert_eq!(read.observations, want, "{odd}");
    }
    for list in ["stateHistory", "inverseRelations", "comments"] {
        let record = issue(json!({list: {"nodes": [null, {"id": 7}]}}));
        assert_eq!(read_with(&plain(), &record).unwrap().observations.len(), 1, "{list}");
    }
}

#[test]
fn a_record_that_lacks_what_it_needs_is_an_error() {
    let broken = [
        issue(json!({"id": null})),
        issue(json!({"identifier": ""})),
        issue(json!({"createdAt": null})),
        issue(json!({"createdAt": "+292277026-12-04T00:00:00Z"})),
        issue(json!({"title": 5})),
        json!({"something": {}}),
    ];
    for record in broken {
        let error = read_with(&plain(), &record).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{record}");
    }
}
