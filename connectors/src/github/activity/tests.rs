//! Records of what people did, read.

use contextcore_core::model::observation::{Activity, Observation};

use super::*;

#[test]
fn stored_cursors_are_read_and_written_as_before() {
    cursor::golden::assert_unchanged::<ActivityCursor>(include_str!("../fixtures/cursors.json"), "activity");
}

const PULL: &str = r#"{"of":"pull_request","node":{
    "id":"PR_1","number":7,"title":"Pay by card","bodyText":"Closes #3, see OPS-9","url":"https://github.com/acme/web/pull/7",
    "headRefName":"feature/PROJ-12-card","state":"OPEN","createdAt":"2026-03-01T10:00:00Z","updatedAt":"2026-03-03T10:00:00Z",
    "mergedAt":"2026-03-03T10:00:00Z","repository":{"nameWithOwner":"acme/web"},"author":{"login":"ada"},
    "mergedBy":{"login":"lin"},"closingIssuesReferences":{"nodes":[{"id":"I_3"}]},
    "timelineItems":{"nodes":[{"__typename":"ReviewRequestedEvent","id":"RRE_1","createdAt":"2026-03-02T09:00:00Z",
        "actor":{"login":"ada"},"requestedReviewer":{"__typename":"Team","name":"payments"}},{"__typename":"ReadyForReviewEvent"},
        {"__typename":"PullRequestReview","id":"PRR_1","submittedAt":"2026-03-02T11:00:00Z","state":"CHANGES_REQUESTED",
        "url":"r","author":{"login":"lin"}},{"__typename":"PullRequestReview","id":"PRR_2","submittedAt":null,
        "state":"PENDING","author":{"login":"ada"}}]},
    "commits":{"nodes":[{"commit":{"oid":"abc","url":"u","messageHeadline":"Add it","message":"Add it\n\nfor SHOP-1",
        "committedDate":"2026-03-01T09:00:00Z","author":{"name":"Ada","user":null}}}]},
    "head":{"nodes":[{"commit":{"oid":"abc","statusCheckRollup":{"state":"FAILURE","contexts":{"nodes":[
        {"__typename":"CheckRun","name":"build","conclusion":"SUCCESS","completedAt":"2026-03-01T09:05:00Z"},
        {"__typename":"CheckRun","name":"test","conclusion":"FAILURE","completedAt":"2026-03-01T09:07:00Z"},
        {"__typename":"StatusContext","context":"lint","state":"ERROR","createdAt":"2026-03-01T09:06:00Z"}]}}}}]}}}"#;

fn activities(json: &str) -> Vec<Activity> {
    let of = |observation| match observation {
        Observation::Activity(activity) => *activity,
        other => panic!("{other:?}"),
    };
    read(json).unwrap().into_iter().map(of).collect()
}

#[test]
fn a_pull_request_gives_an_activity_for_each_thing_people_did() {
    let found = activities(PULL);
    let shown: Vec<_> = found
        .iter()
        .map(|activity| {
            let artifact = &activity.artifact;
            (artifact.kind.as_str(), artifact.reference.as_str(), activity.actor.as_deref(), artifact.summary.as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("pull_request", "acme/web#7", Some("ada"), "Pay by card"),
            ("review_requested", "acme/web#7", Some("ada"), "payments"),
            ("review", "acme/web#7", Some("lin"), "changes requested"),
            ("merged", "acme/web#7", Some("lin"), "Pay by card"),
            ("commit", "abc", Some("Ada"), "Add it"),
            ("ci_failed", "abc", None, "lint"),
        ]
    );
    assert!(found.iter().all(|activity| activity.tasks == ["I_3"] && activity.mentions[0].contains("PROJ-12")));
    assert_eq!(found[5].at, Millis::parse("2026-03-01T09:06:00Z").unwrap());
}

#[test]
fn unfinished_checks_give_no_activity_and_are_watched() {
    let pending = PULL.replace(r#""state":"FAILURE","contexts""#, r#""state":"PENDING","contexts""#);
    assert!(activities(&pending).iter().all(|activity| !activity.artifact.kind.starts_with("ci_")));
    let node: serde_json::Value = serde_json::from_str(&pending).unwrap();
    let outline: Outline = serde_json::from_value(node["node"].clone()).unwrap();
    assert!(outline.is_unsettled());
}

#[test]
fn a_branch_in_lower_case_names_tasks() {
    let pull = PULL.replace("feature/PROJ-12-card", "ada/eng-12-card");
    let found = activities(&pull);
    assert!(found.iter().all(|activity| contextcore_core::model::activity::names("gh", activity).contains("ENG-12")));
}

#[test]
fn a_failure_without_a_listed_check_is_dated_when_it_was_seen() {
    let nodes = PULL.find(r#"{"__typename":"CheckRun""#).unwrap();
    let end = PULL.find("]}}}}]}}}").unwrap();
    let of = |state: &str| {
        let pull = format!("{}{}", &PULL[..nodes], &PULL[end..]).replace("OPEN", state);
        format!(r#"{},"seen":"2026-03-01T21:20:00Z"}}"#, &pull[..pull.len() - 1])
    };
    let found = activities(&of("OPEN"));
    let failed = found.last().unwrap();
    assert_eq!(
        (&*failed.artifact.kind, &*failed.native_id, failed.at),
        ("ci_failed", "ci_failed:abc", Millis::parse("2026-03-01T21:20:00Z").unwrap())
    );
    assert!(activities(&of("MERGED")).iter().all(|activity| activity.artifact.kind != "ci_failed"));
}

#[test]
fn a_deployment_counts_once_it_succeeded() {
    let of = |state: &str| {
        format!(
            r#"{{"of":"deployment","node":{{"id":"D1","environment":"production","commitOid":"abc","ref":{{"name":"main"}},
            "commit":{{"message":"PROJ-1: go"}},"latestStatus":{{"state":"{state}","createdAt":"2026-03-01T09:00:00Z"}}}}}}"#
        )
    };
    assert!(activities(&of("IN_PROGRESS")).is_empty());
    let found = activities(&of("SUCCESS"));
    assert_eq!((found[0].artifact.kind.as_str(), found[0].artifact.summary.as_str()), ("deployment", "to production"));
    assert_eq!(found[0].mentions, ["MAIN", "PROJ-1: go"]);
}

#[test]
fn a_sweep_that_fails_still_gives_way_to_what_is_new() {
    let now = Millis(1_795_000_000_000);
    let mut list = ListCursor::default();
    let mut first = list.begin(ActivityList::Commits, Some(Millis(1)), now);
    assert!(first.after.is_none() && !list.has_news(Some(Millis(1))));
    first.after = Some("stuck".into());
    list.sweep = Some(first);
    // Nothing happened since: what failed is asked for again, and nothing else.
    assert_eq!(list.begin(ActivityList::Commits, Some(Millis(1)), now).after.as_deref(), Some("stuck"));
    assert!(list.has_news(Some(Millis(2))) && !list.has_news(None));
    // The sweep was taken, so the next begins with the newest row.
    assert!(list.begin(ActivityList::Commits, Some(Millis(2)), now).after.is_none());
    assert!(!list.has_news(Some(Millis(2))));
}

#[test]
fn a_list_that_is_stuck_is_read_from_its_other_end_once() {
    let now = Millis(1_795_000_000_000);
    let mut list = ListCursor::default();
    let mut sweep = list.begin(ActivityList::Deployments, Some(Millis(1)), now);
    assert!(!sweep.clone().turn(ActivityList::Commits), "commits come in one order only");
    let (until, listed) = (sweep.until, now.plus(-60_000));
    assert!(!sweep.covers([now, listed].into_iter()));
    sweep.after = Some("stuck".into());
    assert!(sweep.turn(ActivityList::Deployments) && sweep.is_passing() && sweep.after.is_none());
    // What is too old is passed; the first page that holds anything else is read from its beginning.
    sweep.after = Some("two".into());
    sweep.pass(Some("one".into()), [until.plus(-1)].into_iter(), true);
    assert!(sweep.is_passing() && sweep.after.as_deref() == Some("two"));
    let stored: ListSweep = serde_json::from_value(serde_json::to_value(&sweep).unwrap()).unwrap();
    assert!(stored.is_passing(), "it goes on in the next run");
    sweep.pass(Some("two".into()), [until.plus(-1), until].into_iter(), true);
    assert_eq!((sweep.is_passing(), sweep.direction(), sweep.after.as_deref()), (false, "ASC", Some("two")));
    assert!(!sweep.wants(Some(until.plus(-1))) && sweep.wants(Some(until)));
    assert!(!sweep.covers([listed].into_iter()), "one of the same time may not be listed yet");
    assert!(sweep.clone().covers([listed.plus(1)].into_iter()));
    // It is stuck from there as well.
    sweep.leave_other_end();
    assert_eq!((sweep.direction(), sweep.after.as_deref()), ("DESC", Some("stuck")));
    assert!(!sweep.turn(ActivityList::Deployments) && sweep.is_read_from_both_ends());
    assert!(sweep.anew().is_read_from_both_ends());
}
