//! Tests of the fake over real sockets, with a client that shows what is on the wire.

use super::*;
use crate::faults::When;
use crate::wire::{self, Answer};
use crate::world::{
    BoardKind, Draft, GithubDemo, HOUR, MINUTE, PullDraft, StatusId, TypeId, UserId, Verdict, Visibility,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod access;
mod boards;

const NOW: i64 = 1_795_000_000_000;
const SHOP: BoardId = BoardId(1);

const CONFIG: &str = "query ProjectConfig($org: String!, $n: Int!) {
  rateLimit { cost limit remaining used nodeCount resetAt }
  organization(login: $org) { projectV2(number: $n) {
    id number title url closed shortDescription createdAt updatedAt
    items(first: 1, archivedStates: [ARCHIVED, NOT_ARCHIVED]) { totalCount }
    fields(first: 60) { pageInfo { hasNextPage endCursor } nodes { __typename
      ... on ProjectV2FieldCommon { id name dataType }
      ... on ProjectV2SingleSelectField { options { id name color description } }
      ... on ProjectV2IterationField { configuration { duration startDay
        iterations { id title startDate duration }
        completedIterations { id title startDate duration } } } } }
  } } }";

const SWEEP: &str = "query ItemSweep($project: ID!, $after: String) {
  rateLimit { cost }
  node(id: $project) { ... on ProjectV2 {
    items(first: 100, after: $after, archivedStates: [ARCHIVED, NOT_ARCHIVED], orderBy: {field: POSITION, direction: ASC}) {
      totalCount pageInfo { hasNextPage endCursor }
      nodes { id fullDatabaseId type isArchived createdAt updatedAt
        content { __typename
          ... on Issue { id number updatedAt repository { nameWithOwner } }
          ... on PullRequest { id number updatedAt repository { nameWithOwner } }
          ... on DraftIssue { id updatedAt } } } } } } }";

const VALUES: &str = "query ItemValues($ids: [ID!]!) {
  nodes(ids: $ids) { ... on ProjectV2Item { id updatedAt
    fieldValues(first: 30) { pageInfo { hasNextPage } nodes { __typename
      ... on ProjectV2ItemFieldValueCommon { createdAt updatedAt field { ... on ProjectV2FieldCommon { id name } } }
      ... on ProjectV2ItemFieldSingleSelectValue { name optionId }
      ... on ProjectV2ItemFieldIterationValue { iterationId title startDate duration }
      ... on ProjectV2ItemFieldNumberValue { number }
      ... on ProjectV2ItemFieldDateValue { date }
      ... on ProjectV2ItemFieldTextValue { text } } } } } }";

const ISSUES: &str = "query Issues($ids: [ID!]!) {
  rateLimit { cost }
  nodes(ids: $ids) { ... on Issue {
    id fullDatabaseId number title url state stateReason(enableDuplicate: true) createdAt updatedAt closedAt
    repository { nameWithOwner isArchived } author { login }
    issueType { id name } parent { id number repository { nameWithOwner } }
    subIssuesSummary { total completed percentCompleted }
    issueDependenciesSummary { blockedBy blocking totalBlockedBy totalBlocking }
    assignees(first: 10) { nodes { login } } labels(first: 30) { nodes { name } }
    milestone { id number title state dueOn }
    blockedBy(first: 20) { pageInfo { hasNextPage } nodes { id number state repository { nameWithOwner } } }
    duplicateOf { ... on Issue { id } }
    closedByPullRequestsReferences(first: 10, includeClosedPrs: true) { nodes { id number state isDraft mergedAt url } }
    timelineItems(first: 1) { totalCount updatedAt } } } }";

const HISTORIES: &str = "query Histories($ids: [ID!]!, $since: DateTime) {
  rateLimit { cost }
  nodes(ids: $ids) { ... on Issue { id timelineItems(first: 50, since: $since, itemTypes: [
      PROJECT_V2_ITEM_STATUS_CHANGED_EVENT, ADDED_TO_PROJECT_V2_EVENT, REMOVED_FROM_PROJECT_V2_EVENT,
      CLOSED_EVENT, REOPENED_EVENT, ASSIGNED_EVENT, UNASSIGNED_EVENT, LABELED_EVENT, UNLABELED_EVENT,
      MILESTONED_EVENT, DEMILESTONED_EVENT, PARENT_ISSUE_ADDED_EVENT, PARENT_ISSUE_REMOVED_EVENT,
      SUB_ISSUE_ADDED_EVENT, SUB_ISSUE_REMOVED_EVENT, BLOCKED_BY_ADDED_EVENT, BLOCKED_BY_REMOVED_EVENT,
      ISSUE_TYPE_ADDED_EVENT, ISSUE_TYPE_CHANGED_EVENT, ISSUE_TYPE_REMOVED_EVENT,
      ISSUE_FIELD_ADDED_EVENT, ISSUE_FIELD_CHANGED_EVENT, ISSUE_FIELD_REMOVED_EVENT,
      RENAMED_TITLE_EVENT, TRANSFERRED_EVENT, CROSS_REFERENCED_EVENT, CONNECTED_EVENT, DISCONNECTED_EVENT]) {
    totalCount pageInfo { hasNextPage endCursor } nodes { __typename ... on Node { id }
      ... on ProjectV2ItemStatusChangedEvent { createdAt actor { login } project { id } previousStatus status wasAutomated }
      ... on ClosedEvent { createdAt actor { login } stateReason closer { __typename ... on PullRequest { number } } }
      ... on ReopenedEvent { createdAt stateReason }
      ... on LabeledEvent { createdAt label { name } }
      ... on AssignedEvent { createdAt assignee { ... on User { login } } }
      ... on BlockedByAddedEvent { createdAt blockingIssue { id } }
      ... on ParentIssueAddedEvent { createdAt parent { id } }
      ... on SubIssueAddedEvent { createdAt subIssue { id } }
      ... on MilestonedEvent { createdAt milestoneTitle }
      ... on TransferredEvent { createdAt fromRepository { nameWithOwner } }
      ... on RenamedTitleEvent { createdAt previousTitle currentTitle } } } } } }";

const PULLS: &str = "query PrState($ids: [ID!]!) {
  nodes(ids: $ids) { ... on PullRequest { id number title body headRefName isDraft state reviewDecision
    createdAt mergedAt closedAt updatedAt
    latestReviews(first: 10) { nodes { state submittedAt author { login } } }
    closingIssuesReferences(first: 10) { nodes { id number repository { nameWithOwner } } }
    commits(last: 1) { nodes { commit { oid committedDate statusCheckRollup { state } } } } } } }";

async fn send(github: &GithubHandle, path: &str, token: &str, body: &str) -> Answer {
    send_as(github, path, token, body, "User-Agent: test\r\n").await
}

async fn send_as(github: &GithubHandle, path: &str, token: &str, body: &str, agent: &str) -> Answer {
    let headers = format!("{agent}Authorization: Bearer {token}\r\n");
    wire::send(github.address(), "POST", path, &headers, body).await.unwrap()
}

async fn ask_as(github: &GithubHandle, token: &str, query: &str, variables: Value) -> Answer {
    let path = if github.site.options.is_enterprise() { "/api/graphql" } else { "/graphql" };
    send(github, path, token, &json!({"query": query, "variables": variables}).to_string()).await
}

async fn ask(github: &GithubHandle, query: &str, variables: Value) -> Value {
    let answer = ask_as(github, Github::TOKEN, query, variables).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// The data, which must come without errors.
async fn data(github: &GithubHandle, query: &str, variables: Value) -> Value {
    let mut answer = ask(github, query, variables).await;
    assert!(answer.get("errors").is_none(), "{}", answer["errors"]);
    answer["data"].take()
}

async fn with(world: World, options: Options) -> GithubHandle {
    Github::start(world, Options { clock: Clock::fixed(NOW), ..options }).await.unwrap()
}

async fn demo() -> GithubHandle {
    with(World::demo(NOW, 6, 1), Options::dot_com()).await
}

/// One repository `shop` with one scrum project.
fn small() -> World {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    world.add_board("Shop", BoardKind::Scrum, shop);
    world
}

fn add(world: &mut World, title: &str, at: i64) -> IssueId {
    let project = world.find_project("SHOP").unwrap();
    world.edit(at).add_issue(Draft::new(project, TypeId::STORY, title))
}

async fn sweep(github: &GithubHandle, board: BoardId) -> Vec<Value> {
    let (mut items, mut after) = (vec![], Value::Null);
    loop {
        let found = data(github, SWEEP, json!({"project": Github::project_id(board), "after": after})).await;
        let page = &found["node"]["items"];
        items.extend(page["nodes"].as_array().unwrap().iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], items.len());
            return items;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn texts<'a>(nodes: &'a Value, key: &str) -> Vec<&'a str> {
    nodes.as_array().unwrap().iter().map(|node| node[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_project_has_fields_options_and_iterations() {
    let github = demo().await;
    let found = data(&github, CONFIG, json!({"org": "acme", "n": 1})).await;
    let project = &found["organization"]["projectV2"];
    assert_eq!(project["id"], Github::project_id(SHOP));
    assert_eq!(project["title"], "Checkout squad");
    let fields = project["fields"]["nodes"].as_array().unwrap();
    let named = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(named("Status")["options"].as_array().unwrap().len(), 6);
    assert_eq!((&named("Estimate")["dataType"], &named("Sprint")["dataType"]), (&json!("NUMBER"), &json!("ITERATION")));
    let iterations = &named("Sprint")["configuration"];
    assert_eq!(texts(&iterations["iterations"], "title"), ["Checkout Sprint 3", "Checkout Sprint 4"]);
    assert_eq!(texts(&iterations["completedIterations"], "title"), ["Checkout Sprint 2", "Checkout Sprint 1"]);
    assert_eq!(iterations["iterations"][0]["duration"], 14);
    assert_eq!(found["rateLimit"]["cost"], 1);
    let kanban = data(&github, CONFIG, json!({"org": "ACME", "n": 2})).await;
    let kanban = kanban["organization"]["projectV2"]["fields"]["nodes"].as_array().unwrap().clone();
    assert!(kanban.iter().all(|field| field["dataType"] != "ITERATION"), "a kanban board has none");
}

#[tokio::test]
async fn a_sweep_finds_every_issue_once() {
    let github = demo().await;
    let items = sweep(&github, SHOP).await;
    assert!(items.len() > 100, "more than a page");
    let found: BTreeSet<_> = items.iter().map(|item| item["content"]["id"].as_str().unwrap().to_owned()).collect();
    let world = github.world();
    let shop = world.find_project("SHOP").unwrap();
    let wanted = world.issues().filter(|issue| issue.project() == shop).map(|issue| Github::issue_id(&world, issue.id));
    assert_eq!(found, wanted.collect());
}

#[tokio::test]
async fn a_history_leads_to_the_truth() {
    let github = demo().await;
    let ids: Vec<_> = {
        let world = github.world();
        world.issues().map(|issue| issue.id).collect()
    };
    for batch in ids.chunks(25) {
        let nodes: Vec<_> = batch.iter().map(|id| Github::issue_id(&github.world(), *id)).collect();
        let found = data(&github, HISTORIES, json!({"ids": nodes})).await;
        assert_eq!(found["rateLimit"]["cost"], 1);
        let world = github.world();
        for (id, node) in batch.iter().zip(found["nodes"].as_array().unwrap()) {
            check_history(&world, *id, &node["timelineItems"]["nodes"]);
        }
    }
}

/// The moves on the board lead from nothing to the issue's present status, and show when it was started.
fn check_history(world: &World, id: IssueId, events: &Value) {
    let moved = |event: &&Value| event["__typename"] == "ProjectV2ItemStatusChangedEvent";
    let moves: Vec<_> = events.as_array().unwrap().iter().filter(moved).collect();
    let mut statuses = std::collections::BTreeMap::new();
    let mut status = "";
    for step in &moves {
        let held = statuses.entry(step["project"]["id"].as_str().unwrap()).or_insert("");
        assert_eq!(step["previousStatus"], *held, "{}", world.key_of(id));
        status = step["status"].as_str().unwrap();
        *held = status;
    }
    assert_eq!(status, world.status(world.issue(id).fields.status).name, "{}", world.key_of(id));
    let working = |step: &&&Value| step["status"] == "In Progress" || step["status"] == "In Review";
    let started = moves.iter().find(working).map(|step| step["createdAt"].as_str().unwrap().to_owned());
    assert_eq!(started, world.truth(NOW).started(id).map(view::time));
    let closed = events.as_array().unwrap().iter().rfind(|event| event["__typename"] == "ClosedEvent");
    let truth = world.truth(NOW);
    let finished = truth.completed(id).or(truth.cancelled(id)).map(view::time);
    if finished.is_some() {
        assert_eq!(closed.map(|event| event["createdAt"].as_str().unwrap().to_owned()), finished);
        let reason = if truth.cancelled(id).is_some() { ["NOT_PLANNED", "DUPLICATE"] } else { ["COMPLETED"; 2] };
        assert!(reason.contains(&closed.unwrap()["stateReason"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn the_world_of_a_code_host_is_shown_unchanged() {
    let github = with(GithubDemo::new(NOW, 3, 7).build(), Options::dot_com()).await;
    let items = sweep(&github, SHOP).await;
    let count = |kind: &str| items.iter().filter(|item| item["type"] == kind).count();
    assert_eq!((count("DRAFT_ISSUE"), count("PULL_REQUEST")), (2, 1));
    assert_eq!(count("ISSUE"), github.world().issues().count());
    let repositories: BTreeSet<_> =
        items.iter().filter_map(|item| item["content"]["repository"]["nameWithOwner"].as_str()).collect();
    assert_eq!(repositories, BTreeSet::from(["acme/api", "acme/web"]));
    let ids: Vec<_> = github.world().issues().map(|issue| issue.id).collect();
    for batch in ids.chunks(25) {
        let nodes: Vec<_> = batch.iter().map(|id| Github::issue_id(&github.world(), *id)).collect();
        let found = data(&github, HISTORIES, json!({"ids": nodes})).await;
        let world = github.world();
        for (id, node) in batch.iter().zip(found["nodes"].as_array().unwrap()) {
            check_history(&world, *id, &node["timelineItems"]["nodes"]);
        }
    }
}

#[tokio::test]
async fn issues_and_values_match_the_world() {
    let mut world = small();
    let (one, two) = (add(&mut world, "One", NOW - 9 * HOUR), add(&mut world, "Two", NOW - 8 * HOUR));
    let shop = world.find_project("SHOP").unwrap();
    let sprint = world.add_sprint(SHOP, "First", "", NOW - 9 * HOUR);
    let milestone = world.edit(NOW - 9 * HOUR).add_milestone(shop, "Launch", None);
    let mut edit = world.edit(NOW - 7 * HOUR).by(UserId(1));
    edit.start_sprint(sprint, NOW + 13 * 24 * HOUR);
    edit.set_sprint(one, Some(sprint));
    edit.set_points(one, Some(3.0));
    edit.assign(one, Some(UserId(2)));
    edit.set_labels(one, &["payments"]);
    edit.set_milestone(one, Some(milestone));
    edit.flag(one);
    edit.link(two, one);
    edit.set_parent(two, Some(one));
    let github = with(world, Options::dot_com()).await;
    let ids = [one, two].map(|id| Github::issue_id(&github.world(), id));
    let found = data(&github, ISSUES, json!({"ids": ids})).await;
    let (first, second) = (&found["nodes"][0], &found["nodes"][1]);
    assert_eq!((&first["number"], &first["state"], &first["stateReason"]), (&json!(1), &json!("OPEN"), &Value::Null));
    assert_eq!(first["repository"]["nameWithOwner"], "acme/shop");
    assert_eq!(first["issueType"]["name"], "Story");
    assert_eq!(texts(&first["labels"]["nodes"], "name"), ["payments", "blocked"]);
    assert_eq!(texts(&first["assignees"]["nodes"], "login"), ["chen"]);
    assert_eq!((&first["milestone"]["title"], &first["milestone"]["state"]), (&json!("Launch"), &json!("OPEN")));
    assert_eq!(texts(&first["blockedBy"]["nodes"], "id"), [ids[1].as_str()]);
    assert_eq!(first["issueDependenciesSummary"]["blockedBy"], 1);
    assert_eq!(first["subIssuesSummary"], json!({"total": 1, "completed": 0, "percentCompleted": 0}));
    assert_eq!(second["parent"]["id"], ids[0].as_str());
    let item = Github::item_id(SHOP, Content::Issue(one));
    let values = data(&github, VALUES, json!({"ids": [item]})).await;
    let values = values["nodes"][0]["fieldValues"]["nodes"].as_array().unwrap().clone();
    let of = |kind: &str| values.iter().find(|value| value["__typename"] == kind).unwrap();
    let estimate = of("ProjectV2ItemFieldNumberValue");
    assert_eq!((&estimate["number"], &estimate["field"]["name"]), (&json!(3.0), &json!("Estimate")));
    assert_eq!(estimate["updatedAt"], view::time(NOW - 7 * HOUR));
    assert_eq!(of("ProjectV2ItemFieldIterationValue")["title"], "First");
    let status = values.iter().find(|value| value["field"]["name"] == "Status").unwrap();
    assert_eq!((&status["name"], &status["updatedAt"]), (&json!("To Do"), &json!(view::time(NOW - 9 * HOUR))));
}

#[tokio::test]
async fn what_changes_an_item_does_not_change_its_issue_and_the_other_way_round() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let github = with(world, Options::dot_com()).await;
    let times = async || {
        let item = sweep(&github, SHOP).await.remove(0);
        [&item["updatedAt"], &item["content"]["updatedAt"]].map(|at| at.as_str().unwrap().to_owned())
    };
    let at = [9, 8, 7, 6].map(|hours| view::time(NOW - hours * HOUR));
    assert_eq!(times().await, [at[0].clone(), at[0].clone()]);
    github.world().edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    assert_eq!(times().await, [at[1].clone(), at[0].clone()]);
    github.world().edit(NOW - 7 * HOUR).set_labels(id, &["a"]);
    assert_eq!(times().await, [at[1].clone(), at[2].clone()]);
    github.world().edit(NOW - 6 * HOUR).transition(id, StatusId::DONE);
    assert_eq!(times().await, [at[3].clone(), at[3].clone()]);
}

#[tokio::test]
async fn a_long_timeline_is_read_on_alone_and_since_a_time() {
    let world = World::history(NOW, 4, 20, 4, 150, 1);
    let github = with(world, Options::dot_com()).await;
    let id = Github::issue_id(&github.world(), IssueId::FIRST);
    let first = data(&github, HISTORIES, json!({"ids": [id]})).await;
    let page = &first["nodes"][0]["timelineItems"];
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let mut seen: BTreeSet<_> = texts(&page["nodes"], "id").into_iter().map(str::to_owned).collect();
    let rest =
        "query($id: ID!, $after: String) { node(id: $id) { ... on Issue { timelineItems(first: 100, after: $after) {
        totalCount pageInfo { hasNextPage endCursor } nodes { ... on Node { id } } } } } }";
    let (mut after, mut all) = (Value::Null, BTreeSet::new());
    loop {
        let found = data(&github, rest, json!({"id": id, "after": after})).await;
        let page = &found["node"]["timelineItems"];
        all.extend(texts(&page["nodes"], "id").into_iter().map(str::to_owned));
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], all.len());
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    seen.retain(|id| !all.contains(id));
    assert!(seen.is_empty(), "the filtered page is part of the whole: {seen:?}");
    let late = data(&github, HISTORIES, json!({"ids": [id], "since": view::time(NOW - 48 * HOUR)})).await;
    let late = &late["nodes"][0]["timelineItems"];
    assert!(late["totalCount"].as_u64().unwrap() < page["totalCount"].as_u64().unwrap());
}

#[tokio::test]
async fn a_pull_request_moves_what_it_closes() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let shop = world.find_project("SHOP").unwrap();
    let draft = PullDraft {
        closes: vec![id],
        draft: true,
        body: "Closes #1".to_owned(),
        ..PullDraft::new(shop, "fix/PROJ-7-pay", "PROJ-7: pay")
    };
    let mut edit = world.edit(NOW - 8 * HOUR).by(UserId(1));
    let pull = edit.open_pull(draft);
    let commit = edit.push(pull, "PROJ-7 pay\n\nwith care");
    edit.check(commit, "build", false);
    let mut edit = world.edit(NOW - 7 * HOUR).by(UserId(1));
    edit.ready(pull);
    edit.request_review(pull, UserId(2));
    let github = with(world, Options::dot_com()).await;
    let state = async || data(&github, PULLS, json!({"ids": [Github::pull_id(pull)]})).await["nodes"][0].clone();
    let found = state().await;
    assert_eq!((&found["number"], &found["headRefName"]), (&json!(2), &json!("fix/PROJ-7-pay")));
    assert_eq!((&found["state"], &found["reviewDecision"]), (&json!("OPEN"), &json!("REVIEW_REQUIRED")));
    assert_eq!(found["commits"]["nodes"][0]["commit"]["statusCheckRollup"]["state"], "FAILURE");
    {
        let mut world = github.world();
        world.edit(NOW - 6 * HOUR).check(commit, "build", true);
        world.edit(NOW - 5 * HOUR).by(UserId(2)).review(pull, Verdict::Approved);
        let mut edit = world.edit(NOW - 4 * HOUR).by(UserId(2));
        edit.merge(pull);
        edit.deploy(commit, "production");
    }
    let found = state().await;
    assert_eq!((&found["state"], &found["reviewDecision"]), (&json!("MERGED"), &json!("APPROVED")));
    assert_eq!(found["commits"]["nodes"][0]["commit"]["statusCheckRollup"]["state"], "SUCCESS");
    assert_eq!(found["mergedAt"], view::time(NOW - 4 * HOUR));
    let node = Github::issue_id(&github.world(), id);
    let events = data(&github, HISTORIES, json!({"ids": [node]})).await;
    let events = events["nodes"][0]["timelineItems"]["nodes"].as_array().unwrap().clone();
    let closed = events.iter().find(|event| event["__typename"] == "ClosedEvent").unwrap();
    assert_eq!(closed["closer"], json!({"__typename": "PullRequest", "number": 2}));
    assert!(events.iter().any(|event| event["__typename"] == "CrossReferencedEvent"));
    let activity = "query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { pushedAt
        pullRequests(first: 10, orderBy: {field: UPDATED_AT, direction: DESC}) { nodes { number
          timelineItems(first: 20, itemTypes: [REVIEW_REQUESTED_EVENT, READY_FOR_REVIEW_EVENT, MERGED_EVENT]) { nodes { __typename
            ... on ReviewRequestedEvent { requestedReviewer { ... on User { login } } } } } } }
        defaultBranchRef { name target { ... on Commit { history(first: 10) { nodes { message oid author { user { login } } } } } } }
        deployments(first: 5) { nodes { environment state commitOid latestStatus { state } } }
        issues(first: 10, filterBy: {since: \"2020-01-01T00:00:00Z\"}, orderBy: {field: UPDATED_AT, direction: ASC}) { nodes { number } } } }";
    let found = data(&github, activity, json!({"owner": "acme", "name": "shop"})).await;
    let repository = &found["repository"];
    let events = texts(&repository["pullRequests"]["nodes"][0]["timelineItems"]["nodes"], "__typename");
    assert_eq!(events, ["ReadyForReviewEvent", "ReviewRequestedEvent", "MergedEvent"]);
    assert_eq!(repository["defaultBranchRef"]["target"]["history"]["nodes"][0]["message"], "PROJ-7 pay\n\nwith care");
    assert_eq!(repository["deployments"]["nodes"][0]["latestStatus"]["state"], "IN_PROGRESS");
    assert_eq!(repository["issues"]["nodes"], json!([{"number": 1}]));
}

#[tokio::test]
async fn drafts_archived_redacted_transferred_and_deleted_items_look_like_themselves() {
    let mut world = small();
    let depot = world.add_project("DEPOT", "Depot", StatusId::TO_DO);
    world.boards[0].also_shows.push(depot);
    let ids = [1, 2, 3, 4].map(|n| add(&mut world, &format!("Issue {n}"), NOW - (20 - n) * HOUR));
    let [archived, hidden, moved, deleted] = ids;
    let old = Github::issue_id(&world, moved);
    let note = world.edit(NOW - 10 * HOUR).note(SHOP, "Maybe later");
    let mut edit = world.edit(NOW - 9 * HOUR);
    edit.archive_card(SHOP, Content::Issue(archived), true);
    edit.hide(hidden, true);
    edit.move_project(moved, depot);
    edit.delete(deleted);
    let github = with(world, Options::dot_com()).await;
    let items = sweep(&github, SHOP).await;
    let kinds: Vec<_> = items.iter().map(|item| (item["type"].as_str().unwrap(), item["isArchived"] == true)).collect();
    assert_eq!(kinds, [("ISSUE", true), ("REDACTED", false), ("ISSUE", false), ("DRAFT_ISSUE", false)]);
    assert_eq!(items[1]["content"], Value::Null);
    assert_eq!(items[2]["content"]["repository"]["nameWithOwner"], "acme/depot");
    assert_ne!(items[2]["content"]["id"], old.as_str());
    let [gone, dark] = [deleted, hidden].map(|id| Github::issue_id(&github.world(), id));
    let answer = ask(&github, ISSUES, json!({"ids": [old, gone, dark]})).await;
    assert_eq!(answer["data"]["nodes"][0]["id"], items[2]["content"]["id"], "the old id finds it");
    assert_eq!((&answer["data"]["nodes"][1], &answer["data"]["nodes"][2]), (&Value::Null, &Value::Null));
    assert_eq!(answer["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(answer["errors"][1]["path"], json!(["nodes", 2]));
    let shop = github.world().find_project("SHOP").unwrap();
    let made = github.world().edit(NOW - HOUR).convert_note(note, shop, TypeId::TASK);
    let after = sweep(&github, SHOP).await;
    assert_eq!(after.len(), 4, "the card stays the same card");
    assert_eq!((&after[3]["id"], &after[3]["type"]), (&items[3]["id"], &json!("ISSUE")));
    let node = Github::issue_id(&github.world(), made);
    let query = "query($id: ID!) { node(id: $id) { ... on Issue { timelineItems(first: 9, itemTypes: [CONVERTED_FROM_DRAFT_EVENT]) {
        nodes { __typename ... on ConvertedFromDraftEvent { wasAutomated project { id } } } } } } }";
    let events = data(&github, query, json!({"id": node})).await;
    assert_eq!(events["node"]["timelineItems"]["nodes"][0]["project"]["id"], Github::project_id(SHOP));
}
