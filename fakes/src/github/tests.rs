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

#[tokio::test]
async fn prices_follow_the_rule() {
    let github = demo().await;
    let cost = async |query: &str| data(&github, query, json!({})).await["rateLimit"]["cost"].as_i64().unwrap();
    let head = "{ rateLimit { cost nodeCount } organization(login: \"acme\") { projectV2(number: 1) ";
    assert_eq!(cost(&format!("{head} {{ id }} }} }}")).await, 1);
    let nested = |inner: &str| format!("{head} {{ items(first: 100) {{ nodes {{ id {inner} }} }} }} }} }}");
    assert_eq!(cost(&nested("fieldValues(first: 30) { totalCount }")).await, 1, "101 connections");
    let three = "content { ... on Issue { labels(first: 5) { totalCount } assignees(first: 5) { totalCount } } } \
                 fieldValues(first: 30) { totalCount }";
    let plan = nested(three);
    assert!(ask(&github, &plan, json!({})).await["data"]["organization"]["projectV2"]["items"]["nodes"][0].is_null());
    let free = with(World::demo(NOW, 6, 1), Options { heavy_page: 100, ..Options::dot_com() }).await;
    let found = data(&free, &plan, json!({})).await;
    assert_eq!(found["rateLimit"], json!({"cost": 3, "nodeCount": 100 + 3_000 + 500 + 500}));
    assert_eq!(free.points_spent(), 3);
}

#[tokio::test]
async fn pages_need_a_size_that_github_gives() {
    let github = demo().await;
    let refused = async |query: &str| {
        let answer = ask(&github, query, json!({})).await;
        assert!(answer.get("data").is_none());
        answer["errors"][0].clone()
    };
    let project = |inner: &str| format!("{{ organization(login: \"acme\") {{ projectV2(number: 1) {{ {inner} }} }} }}");
    let missing = refused(&project("items { totalCount }")).await;
    assert_eq!(
        (&missing["type"], &missing["path"]),
        (&json!("MISSING_PAGINATION_BOUNDARIES"), &json!(["organization", "projectV2", "items"]))
    );
    assert_eq!(refused(&project("items(first: 101) { totalCount }")).await["type"], "EXCESSIVE_PAGINATION");
    let many = project("items(first: 100) { nodes { content { ... on Issue { timelineItems(first: 100) { totalCount nodes { __typename }
        } subIssues(first: 100) { nodes { labels(first: 100) { totalCount } } } } } } }");
    assert_eq!(refused(&many).await["type"], "MAX_NODE_LIMIT_EXCEEDED");
    let ids: Vec<_> = (0..101).map(|n| format!("I_kwDO0000z{n:08X}")).collect();
    let answer = ask(&github, ISSUES, json!({"ids": ids})).await;
    assert_eq!(answer["errors"][0]["type"], "ARGUMENT_LIMIT");
}

#[tokio::test]
async fn what_the_schema_does_not_know_is_refused_as_a_whole() {
    let github = demo().await;
    let answer = ask(&github, "{ viewer { login colour } }", json!({})).await;
    assert!(answer.get("data").is_none());
    let error = &answer["errors"][0];
    assert_eq!(error["message"], "Field 'colour' doesn't exist on type 'User'");
    assert_eq!(error["extensions"], json!({"code": "undefinedField", "typeName": "User", "fieldName": "colour"}));
    let answer =
        ask(&github, "query($n: Int!) { organization(login: \"acme\") { projectV2(number: $n) { id } } }", json!({}))
            .await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "variableInvalid");
}

#[tokio::test]
async fn an_older_server_refuses_the_whole_document_and_says_what_it_knows() {
    let github = with(World::demo(NOW, 6, 1), Options::enterprise()).await;
    let probe =
        "{ a: __type(name: \"ProjectV2ItemStatusChangedEvent\") { name } b: __type(name: \"ClosedEvent\") { name }
        rateLimit { limit remaining cost } }";
    let found = data(&github, probe, json!({})).await;
    assert_eq!((&found["a"], &found["b"]["name"]), (&Value::Null, &json!("ClosedEvent")));
    assert_eq!((&found["rateLimit"]["limit"], &found["rateLimit"]["remaining"]), (&json!(0), &json!(0)));
    let id = Github::issue_id(&github.world(), IssueId::FIRST);
    let answer = ask(&github, HISTORIES, json!({"ids": [id]})).await;
    assert!(answer.get("data").is_none());
    let events: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect();
    let wanted = "No such type ProjectV2ItemStatusChangedEvent, so it can't be a fragment condition";
    assert!(events.contains(&wanted), "{events:?}");
    let plain = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Issue { stateReason timelineItems(first: 50, itemTypes: [CLOSED_EVENT, LABELED_EVENT]) {
        nodes { __typename ... on ClosedEvent { createdAt stateReason } } } } } }";
    data(&github, plain, json!({"ids": [id]})).await;
    let elsewhere = send(&github, "/graphql", Github::TOKEN, "{}").await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn too_large_a_page_comes_back_empty_and_a_smaller_one_full() {
    let github = demo().await;
    let ids: Vec<_> = {
        let world = github.world();
        world.issues().take(51).map(|issue| Github::issue_id(&world, issue.id)).collect()
    };
    let answer = ask(&github, ISSUES, json!({"ids": ids})).await;
    assert!(answer["data"]["nodes"].as_array().unwrap().iter().all(Value::is_null));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 51);
    assert_eq!(answer["errors"][0]["type"], "RESOURCE_LIMITS_EXCEEDED");
    assert_eq!(answer["errors"][50]["path"], json!(["nodes", 50]));
    let half = data(&github, ISSUES, json!({"ids": ids[..25]})).await;
    assert!(half["nodes"].as_array().unwrap().iter().all(Value::is_object));
    github.set_heavy_page(20);
    let now = ask(&github, ISSUES, json!({"ids": ids[..25]})).await;
    assert!(now["data"]["nodes"].as_array().unwrap().iter().all(Value::is_null));
}

#[tokio::test]
async fn points_are_limited_by_the_hour() {
    let github = with(small(), Options { points: 2, ..Options::dot_com() }).await;
    let probe = async || ask_as(&github, Github::TOKEN, "{ viewer { login } }", json!({})).await;
    assert_eq!(probe().await.header("x-ratelimit-remaining"), Some("1"));
    let last = probe().await;
    assert_eq!(last.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(last.json()["data"]["viewer"]["login"], Github::LOGIN, "the last one is still answered");
    let over = probe().await;
    assert_eq!((over.status, &over.json()["errors"][0]["type"]), (200, &json!("RATE_LIMITED")));
    assert!(over.json().get("data").is_none());
    assert_eq!(over.header("x-ratelimit-reset"), Some(((NOW + HOUR) / 1_000).to_string().as_str()));
}

#[tokio::test]
async fn tokens_see_what_they_may() {
    let tokens = vec![
        Token::classic("classic").without("projects"),
        Token::fine_grained("fine").without("projects"),
        Token::app("app").without("checks"),
    ];
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let mut edit = world.edit(NOW - HOUR);
    let pull = edit.open_pull(PullDraft::new(shop, "a", "A"));
    let commit = edit.push(pull, "A");
    edit.check(commit, "build", true);
    let github = with(world, Options { tokens, ..Options::dot_com() }).await;
    let project = async |token: &str| ask_as(&github, token, CONFIG, json!({"org": "acme", "n": 1})).await;
    let classic = project("classic").await;
    assert_eq!((classic.status, &classic.json()["errors"][0]["type"]), (200, &json!("INSUFFICIENT_SCOPES")));
    assert_eq!(classic.header("x-oauth-scopes"), Some("repo"));
    let fine = project("fine").await.json();
    assert_eq!(fine["errors"][0]["type"], "FORBIDDEN");
    assert_eq!(fine["errors"][0]["path"], json!(["organization", "projectV2"]));
    assert_eq!(fine["data"]["rateLimit"]["cost"], 1, "the rest arrives");
    let app = ask_as(&github, "app", PULLS, json!({"ids": [Github::pull_id(pull)]})).await.json();
    assert_eq!(app["data"]["nodes"][0]["commits"]["nodes"][0]["commit"]["statusCheckRollup"], Value::Null);
    assert_eq!(app["errors"][0]["message"], "Resource not accessible by integration");
    let body = json!({"query": SWEEP, "variables": {"project": Github::project_id(SHOP)}}).to_string();
    github.set_tokens(vec![Token::fine_grained("blind").without("issues")]);
    github.world().edit(NOW - HOUR).add_issue(Draft::new(shop, TypeId::TASK, "Unseen"));
    let blind = send(&github, "/graphql", "blind", &body).await.json();
    assert_eq!(blind["data"]["node"]["items"]["nodes"][0]["type"], "REDACTED");
    let nobody = project("wrong").await;
    assert_eq!((nobody.status, &nobody.json()["message"]), (401, &json!("Bad credentials")));
    assert!(nobody.json().get("errors").is_none());
    let silent = send_as(&github, "/graphql", "blind", "{}", "").await;
    assert_eq!(silent.status, 403, "without a user agent");
}

#[tokio::test]
async fn missing_and_forbidden_projects_differ_by_error_type() {
    let github = demo().await;
    let answer = ask(&github, CONFIG, json!({"org": "acme", "n": 99})).await;
    assert_eq!(answer["data"]["organization"]["projectV2"], Value::Null);
    assert_eq!(answer["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(answer["errors"][0]["message"], "Could not resolve to a ProjectV2 with the number 99.");
    github.world().boards[0].trouble = Some(403);
    assert_eq!(ask(&github, CONFIG, json!({"org": "acme", "n": 1})).await["errors"][0]["type"], "FORBIDDEN");
    let user = "query($n: Int!) { user(login: \"acme\") { projectV2(number: $n) { id } } }";
    assert_eq!(ask(&github, user, json!({"n": 1})).await["errors"][0]["type"], "NOT_FOUND");
    let options = Options {
        owner_is_user: true,
        tokens: vec![Token::classic("c"), Token::fine_grained("f")],
        ..Options::dot_com()
    };
    let theirs = with(World::demo(NOW, 6, 1), options).await;
    let found = ask_as(&theirs, "c", user, json!({"n": 1})).await.json();
    assert_eq!(found["data"]["user"]["projectV2"]["id"], Github::project_id(SHOP));
    assert_eq!(ask_as(&theirs, "f", user, json!({"n": 1})).await.json()["errors"][0]["type"], "NOT_FOUND");
}

#[tokio::test]
async fn an_app_mints_a_token_for_an_hour() {
    let github = with(small(), Options { prefix: "/gh".to_owned(), ..Options::dot_com() }).await;
    let jwt = |expires: i64| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iat": NOW / 1_000 - 60, "exp": NOW / 1_000 + expires, "iss": 1});
        format!("{}.{}.c2ln", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims))
    };
    let path = format!("/gh/app/installations/{}/access_tokens", Github::INSTALLATION);
    let minted = send(&github, &path, &jwt(500), "").await;
    assert_eq!(minted.status, 201, "{}", minted.body);
    assert_eq!(minted.json()["expires_at"], view::time(NOW + HOUR));
    let token = minted.json()["token"].as_str().unwrap().to_owned();
    let body = json!({"query": "{ viewer { login } }"}).to_string();
    assert_eq!(send(&github, "/gh/graphql", &token, &body).await.status, 200);
    assert_eq!(send(&github, &path, &jwt(5_000), "").await.status, 401, "too long a life");
    assert_eq!(send(&github, &path, &jwt(-1), "").await.status, 401, "expired");
    assert_eq!(send(&github, &path, "not.a.token", "").await.status, 401);
    assert_eq!(send(&github, "/gh/app/installations/1/access_tokens", &jwt(500), "").await.status, 404);
}

#[tokio::test]
async fn faults_look_like_githubs() {
    let github = demo().await;
    let script = [
        (trouble::bad_credentials(), 401, "Bad credentials"),
        (trouble::rate_limited(1_795_000_060), 200, "RATE_LIMITED"),
        (trouble::secondary(403, Some(7)), 403, "secondary rate limit"),
        (trouble::secondary(429, None), 429, "secondary rate limit"),
        (trouble::too_slow(), 502, "Something went wrong while executing your query"),
        (trouble::single_sign_on(), 403, "SAML"),
    ];
    for (fault, status, message) in script {
        github.faults().clear();
        github.faults().on("POST */graphql", When::Nth(1), fault);
        let answer = ask_as(&github, Github::TOKEN, "{ viewer { login } }", json!({})).await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(message), "{}", answer.body);
        assert_eq!(answer.header("retry-after").is_some(), status == 403 && message.starts_with("secondary"));
    }
    assert_eq!(ask(&github, "{ viewer { login } }", json!({})).await["data"]["viewer"]["login"], Github::LOGIN);
}

#[tokio::test]
async fn a_hidden_repository_redacts_its_items() {
    let github = demo().await;
    let before = sweep(&github, SHOP).await.len();
    let shop = github.world().find_project("SHOP").unwrap();
    github.world().projects[usize::from(shop.0)].visibility = Visibility::Hidden;
    let after = sweep(&github, SHOP).await;
    assert_eq!(after.len(), before);
    assert!(after.iter().all(|item| item["type"] == "REDACTED" && item["content"].is_null()));
    let query = "{ repository(owner: \"acme\", name: \"shop\") { id } }";
    assert_eq!(ask(&github, query, json!({})).await["errors"][0]["type"], "NOT_FOUND");
}

#[tokio::test]
async fn items_that_come_while_the_caller_pages_are_on_a_later_page() {
    let github = demo().await;
    github.after("POST */graphql", When::Nth(1), |world| {
        add(world, "Late", NOW - MINUTE);
    });
    let items = sweep(&github, SHOP).await;
    let ids: BTreeSet<_> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), items.len());
    let late = github.world().issues().last().unwrap().id;
    assert!(ids.contains(Github::item_id(SHOP, Content::Issue(late)).as_str()));
}

#[tokio::test]
async fn a_card_dragged_up_while_the_caller_pages_is_missed_this_time() {
    let github = demo().await;
    let all = sweep(&github, SHOP).await;
    let last = github.world().issues().rfind(|issue| issue.project().0 == 2).unwrap().id;
    github.after("POST */graphql", When::Nth(1), move |world| {
        world.edit(NOW).drag_card(SHOP, Content::Issue(last), 0);
    });
    let first = data(&github, SWEEP, json!({"project": Github::project_id(SHOP), "after": null})).await;
    let after = &first["node"]["items"]["pageInfo"]["endCursor"];
    let second = data(&github, SWEEP, json!({"project": Github::project_id(SHOP), "after": after})).await;
    let seen = [&first, &second].map(|page| page["node"]["items"]["nodes"].as_array().unwrap().len());
    assert_eq!(seen.iter().sum::<usize>(), all.len().min(200) - usize::from(all.len() < 200));
    let again = sweep(&github, SHOP).await;
    assert_eq!(again[0]["content"]["id"], Github::issue_id(&github.world(), last));
}

#[tokio::test]
async fn nodes_behind_single_sign_on_are_null_with_an_error_while_the_others_arrive() {
    let mut world = small();
    let ids = [1, 2].map(|n| add(&mut world, "One", NOW - n * HOUR));
    let github = with(world, Options::dot_com()).await;
    let nodes = ids.map(|id| Github::issue_id(&github.world(), id));
    github.forbid(vec![nodes[0].clone()]);
    let answer = ask(&github, ISSUES, json!({"ids": nodes})).await;
    assert_eq!((&answer["data"]["nodes"][0], &answer["data"]["nodes"][1]["id"]), (&Value::Null, &json!(nodes[1])));
    assert_eq!(answer["errors"][0]["type"], "FORBIDDEN");
    assert_eq!(answer["errors"][0]["extensions"], json!({"saml_failure": true}));
    let answer = ask(&github, SWEEP, json!({"project": Github::project_id(SHOP)})).await;
    assert_eq!(answer["errors"][0]["path"], json!(["node", "items", "nodes", 1, "content"]));
    assert_eq!(answer["data"]["node"]["items"]["totalCount"], 2);
}

#[tokio::test]
async fn an_estimate_among_the_organisations_fields_has_a_history() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).set_points(id, Some(3.0));
    world.edit(NOW - 7 * HOUR).set_points(id, Some(5.0));
    let query = "query($id: ID!) { node(id: $id) { ... on Issue {
        issueFieldValues(first: 5) { nodes { ... on IssueFieldNumberValue { value field { ... on IssueFieldNumber { name } } } } }
        timelineItems(first: 9, itemTypes: [ISSUE_FIELD_ADDED_EVENT, ISSUE_FIELD_CHANGED_EVENT]) { nodes { __typename
          ... on IssueFieldAddedEvent { value } ... on IssueFieldChangedEvent { previousValue newValue } } } } } }";
    for (estimate_on_issue, count) in [(false, 0), (true, 2)] {
        let github = with(world.clone(), Options { estimate_on_issue, ..Options::dot_com() }).await;
        let node = Github::issue_id(&github.world(), id);
        let found = data(&github, query, json!({"id": node})).await;
        let events = found["node"]["timelineItems"]["nodes"].as_array().unwrap();
        assert_eq!(events.len(), count);
        if estimate_on_issue {
            let field = json!({"value": 5.0, "field": {"name": "Estimate"}});
            assert_eq!(found["node"]["issueFieldValues"]["nodes"][0], field);
            assert_eq!((&events[1]["previousValue"], &events[1]["newValue"]), (&json!("3"), &json!("5")));
        }
    }
}

#[tokio::test]
async fn a_card_and_its_issue_may_disagree() {
    let mut world = small();
    let [open, closed] = [1, 2].map(|n| add(&mut world, "One", NOW - (9 - n) * HOUR));
    world.edit(NOW - 6 * HOUR).finish_card_only(open);
    world.edit(NOW - 5 * HOUR).finish_issue_only(closed);
    let github = with(world, Options::dot_com()).await;
    let nodes = [open, closed].map(|id| Github::issue_id(&github.world(), id));
    let found = data(&github, ISSUES, json!({"ids": nodes})).await;
    assert_eq!(texts(&found["nodes"], "state"), ["OPEN", "CLOSED"]);
    let items = [open, closed].map(|id| Github::item_id(SHOP, Content::Issue(id)));
    let values = data(&github, VALUES, json!({"ids": items})).await;
    let status = |at: usize| {
        let values = values["nodes"][at]["fieldValues"]["nodes"].as_array().unwrap();
        values.iter().find(|value| value["field"]["name"] == "Status").unwrap()["name"].clone()
    };
    assert_eq!((status(0), status(1)), (json!("Done"), json!("To Do")));
    let events = data(&github, HISTORIES, json!({"ids": nodes})).await;
    let kinds =
        |at: usize| texts(&events["nodes"][at]["timelineItems"]["nodes"], "__typename").pop().unwrap().to_owned();
    assert_eq!([kinds(0), kinds(1)], ["ProjectV2ItemStatusChangedEvent", "ClosedEvent"]);
}

#[tokio::test]
async fn a_renamed_option_leaves_old_names_in_the_history() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    world.edit(NOW - 7 * HOUR).rename_status(StatusId::IN_PROGRESS, "Doing");
    world.edit(NOW - 6 * HOUR).transition(id, StatusId::IN_REVIEW);
    let github = with(world, Options::dot_com()).await;
    let node = Github::issue_id(&github.world(), id);
    let found = data(&github, HISTORIES, json!({"ids": [node]})).await;
    let events = found["nodes"][0]["timelineItems"]["nodes"].as_array().unwrap().clone();
    let names: Vec<_> = events.iter().filter_map(|event| event["status"].as_str()).collect();
    assert_eq!(names, ["To Do", "In Progress", "In Review"]);
    assert_eq!(events.last().unwrap()["previousStatus"], "Doing");
}
