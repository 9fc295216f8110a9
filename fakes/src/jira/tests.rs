//! Tests of the fake over real sockets, with a client that shows what is on the wire.

use super::*;
use crate::faults::{Fault, When};
use crate::wire::{self, Answer};
use crate::world::{Draft, IssueId, SprintId, StatusId, TypeId, UserId, Visibility};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const NOW: i64 = 1_795_000_000_000;
const LIST: &str = "project in (\"OPS\", \"PLAT\", \"SHOP\") AND updated >= 0 ORDER BY updated ASC, key ASC";

/// The first error message of an answer.
fn error(answer: &Answer) -> String {
    answer.json()["errorMessages"][0].as_str().unwrap_or_default().to_owned()
}

/// Sends one request; an error when the connection breaks before the head.
async fn send(
    jira: &JiraHandle,
    method: &str,
    path: &str,
    auth: Option<&str>,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let auth = auth.map(|auth| format!("Authorization: {auth}\r\n")).unwrap_or_default();
    wire::send(jira.address(), method, path, &auth, &body).await
}

fn basic() -> String {
    let shown = format!("{}:{}", Jira::EMAIL, Jira::TOKEN);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(shown))
}

async fn get(jira: &JiraHandle, path: &str) -> Answer {
    let auth = if jira.site.is_cloud() { basic() } else { format!("Bearer {}", Jira::TOKEN) };
    send(jira, "GET", path, Some(&auth), None).await.unwrap()
}

async fn post(jira: &JiraHandle, path: &str, body: Value) -> Answer {
    let auth = if jira.site.is_cloud() { basic() } else { format!("Bearer {}", Jira::TOKEN) };
    send(jira, "POST", path, Some(&auth), Some(&body)).await.unwrap()
}

async fn search(jira: &JiraHandle, body: Value) -> Answer {
    post(jira, "/rest/api/3/search/jql", body).await
}

async fn cloud() -> JiraHandle {
    with(Options::cloud()).await
}

async fn with(options: Options) -> JiraHandle {
    Jira::start(World::demo(NOW, 6, 1), Options { clock: Clock::fixed(NOW), ..options }).await.unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn ids(answer: &Value) -> Vec<String> {
    answer["issues"].as_array().unwrap().iter().map(|issue| issue["id"].as_str().unwrap().to_owned()).collect()
}

/// All ids of a query, page by page.
async fn sweep(jira: &JiraHandle, jql: &str, size: usize) -> Vec<String> {
    let mut found = vec![];
    let mut token = Value::Null;
    loop {
        let page = search(jira, json!({"jql": jql, "fields": ["updated"], "maxResults": size, "nextPageToken": token}))
            .await
            .json();
        found.extend(ids(&page));
        if page["isLast"] == json!(true) {
            return found;
        }
        token = page["nextPageToken"].clone();
    }
}

#[tokio::test]
async fn an_issue_looks_like_a_recorded_one() {
    let jira = cloud().await;
    let fields = ["summary", "status", "issuetype", "assignee", "parent", "customfield_10020", "created", "priority"];
    let body = json!({"jql": "sprint = 2 AND parent is not empty AND assignee is not empty", "fields": fields, "maxResults": 1});
    let page = search(&jira, body).await.json();
    let issue = &page["issues"][0];
    assert_eq!(keys(issue), ["expand", "fields", "id", "key", "self"].into());
    assert_eq!(keys(&issue["fields"]), fields.into());
    let status = &issue["fields"]["status"];
    assert_eq!(keys(status), ["self", "description", "iconUrl", "name", "id", "statusCategory"].into());
    assert_eq!(keys(&status["statusCategory"]), ["self", "id", "key", "colorName", "name"].into());
    let person = ["self", "accountId", "avatarUrls", "displayName", "active", "timeZone", "accountType"];
    assert_eq!(keys(&issue["fields"]["assignee"]), person.into());
    let sprint = &issue["fields"]["customfield_10020"][0];
    assert!(["id", "name", "state", "boardId", "goal"].iter().all(|key| keys(sprint).contains(key)), "{sprint}");
    assert_eq!(keys(&issue["fields"]["parent"]), ["id", "key", "self", "fields"].into());
    let created = issue["fields"]["created"].as_str().unwrap();
    assert_eq!((created.len(), &created[created.len() - 5..]), (28, "+0000"), "{created}");
}

#[tokio::test]
async fn only_ids_come_without_a_list_of_fields() {
    let jira = cloud().await;
    let page = search(&jira, json!({"jql": LIST, "maxResults": 5000})).await.json();
    assert_eq!(page["isLast"], json!(true));
    assert!(page.get("nextPageToken").is_none());
    assert_eq!(page["issues"].as_array().unwrap().len(), jira.world().issues().count());
    assert_eq!(keys(&page["issues"][0]), ["id"].into());
    // With fields a page is short whatever was asked for.
    let page = search(&jira, json!({"jql": LIST, "fields": ["summary"], "maxResults": 5000})).await.json();
    assert_eq!(page["issues"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn pages_hold_every_issue_once_in_order() {
    let jira = cloud().await;
    let found = sweep(&jira, LIST, 33).await;
    let world = jira.world();
    let mut expected: Vec<_> =
        world.issues().map(|issue| (issue.updated, world.key_order(issue.fields.key), issue.id)).collect();
    expected.sort();
    assert_eq!(found, expected.iter().map(|(.., id)| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_issue_that_changes_while_paging_is_seen_again_at_the_end() {
    let jira = cloud().await;
    let first = search(&jira, json!({"jql": LIST, "fields": ["id", "key"], "maxResults": 10})).await.json();
    let moved: IssueId = IssueId(ids(&first)[3].parse().unwrap());
    jira.after("*/search/jql", When::Nth(1), move |world| world.edit(NOW + 1).comment(moved));
    let found = sweep(&jira, LIST, 50).await;
    let places: Vec<_> =
        found.iter().enumerate().filter(|(_, id)| **id == moved.to_string()).map(|(at, _)| at).collect();
    assert_eq!(places, [3, found.len() - 1]);
}

#[tokio::test]
async fn a_token_is_bound_to_its_query_and_grows_old() {
    let jira = cloud().await;
    let first = search(&jira, json!({"jql": LIST, "maxResults": 2})).await.json();
    let token = first["nextPageToken"].as_str().unwrap();
    for (jql, token) in [(format!("{LIST} "), token), (LIST.to_owned(), "nonsense"), (LIST.to_owned(), "")] {
        let answer = search(&jira, json!({"jql": jql, "nextPageToken": token})).await;
        assert_eq!(answer.status, 400);
        assert!(error(&answer).contains("nextPageToken"), "{}", answer.body);
    }
    let week = 7 * 24 * 60 * 60 * 1_000;
    assert_eq!(search::Token::read(token, LIST, NOW + week), None);
    assert!(search::Token::read(token, LIST, NOW + week - 1).is_some());
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_vendors_words() {
    let jira = cloud().await;
    let refused = [
        (json!({"jql": "order by created"}), "Unbounded JQL queries are not allowed here"),
        (json!({"jql": "project = NOPE"}), "The value 'NOPE' does not exist for the field 'project'."),
        (json!({"jql": "key in (SHOP-99999)"}), "An issue with key 'SHOP-99999' does not exist"),
        (json!({"jql": "project = SHOP and"}), "Error in the JQL Query"),
        (json!({"jql": "project = SHOP", "startAt": 50}), "Invalid request payload"),
        (json!({"jql": "project = SHOP", "expand": ["changelog"]}), "Invalid request payload"),
        (json!({"jql": "project = SHOP", "fields": "summary"}), "Invalid request payload"),
        (json!({"jql": "project = SHOP", "maxResults": 0}), "maxResults"),
    ];
    for (body, message) in refused {
        let answer = search(&jira, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(error(&answer).starts_with(message), "{body}: {}", answer.body);
    }
    let gone = get(&jira, "/rest/api/3/search?jql=project%20%3D%20SHOP").await;
    assert_eq!(gone.status, 410);
    assert!(error(&gone).contains("/rest/api/3/search/jql"));
    assert_eq!(get(&jira, "/rest/api/3/changelog/bulkfetch").await.status, 405);
    assert_eq!(get(&jira, "/rest/api/3/nothing").await.status, 404);
}

#[tokio::test]
async fn the_get_form_answers_like_the_post_form() {
    let jira = cloud().await;
    let path = "/rest/api/3/search/jql?jql=project+%3D+OPS+ORDER+BY+key&fields=summary,status&maxResults=3";
    let one = get(&jira, path).await.json();
    let other =
        search(&jira, json!({"jql": "project = OPS ORDER BY key", "fields": ["summary", "status"], "maxResults": 3}))
            .await;
    assert_eq!(one, other.json());
}

#[tokio::test]
async fn jql_is_read_in_the_accounts_zone_and_times_are_written_in_it() {
    let jira = with(Options { time_zone: "America/New_York".into(), ..Options::cloud() }).await;
    let cut = {
        let world = jira.world();
        let mut times: Vec<_> = world.issues().map(|issue| issue.updated).collect();
        times.sort();
        // A minute that some issue was updated in.
        times[times.len() / 2].div_euclid(60_000) * 60_000
    };
    let expected = jira.world().issues().filter(|issue| issue.updated >= cut).count();
    let zone = TimeZone::get("America/New_York").unwrap();
    let local = crate::world::timestamp(cut).to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string();
    let count = |jql: String| search_count(&jira, jql);
    assert_eq!(count(format!("updated >= \"{local}\"")).await, expected);
    assert_eq!(count(format!("updated >= {cut}")).await, expected);
    let utc = crate::world::timestamp(cut).strftime("%Y-%m-%d %H:%M").to_string();
    assert_ne!(count(format!("updated >= \"{utc}\"")).await, expected);
    let mine = get(&jira, "/rest/api/3/myself").await.json();
    assert_eq!(mine["timeZone"], "America/New_York");
    let page = search(&jira, json!({"jql": "project = SHOP", "fields": ["updated"], "maxResults": 1})).await.json();
    let updated = page["issues"][0]["fields"]["updated"].as_str().unwrap().to_owned();
    assert!(updated.ends_with("-0400") || updated.ends_with("-0500"), "{updated}");
}

#[tokio::test]
async fn the_newest_comments_come_with_an_issue_and_all_in_pages() {
    let (path, fields) = ("/rest/api/3/issue/SHOP-1/comment", json!({"jql": "key = SHOP-1", "fields": ["comment"]}));
    let numbers = |list: &Value| -> Vec<u64> {
        list["comments"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let jira = cloud().await;
    let id = jira.world().find("SHOP-1").unwrap();
    (0..150).for_each(|n| jira.world().edit(NOW + n).comment(id));
    let written: Vec<u64> = jira.world().issue(id).comments.iter().map(|comment| comment.id.into()).collect();
    let inline = search(&jira, fields).await.json()["issues"][0]["fields"]["comment"].clone();
    assert_eq!((numbers(&inline), &inline["total"]), (written[written.len() - 100..].to_vec(), &json!(written.len())));
    let mut paged = numbers(&get(&jira, path).await.json());
    assert_eq!(paged.len(), 100);
    paged.extend(numbers(&get(&jira, &format!("{path}?startAt=100&maxResults=500")).await.json()));
    assert_eq!(paged, written);
    assert_eq!(get(&jira, "/rest/api/3/issue/NONE-1/comment").await.status, 404);
}

async fn search_count(jira: &JiraHandle, jql: String) -> usize {
    let answer = post(jira, "/rest/api/3/search/approximate-count", json!({"jql": jql})).await.json();
    answer["count"].as_u64().unwrap() as usize
}

#[tokio::test]
async fn histories_come_in_bulk_page_by_page() {
    for order in [BulkOrder::Date, BulkOrder::Issue] {
        let jira = with(Options { bulk_order: order, ..Options::cloud() }).await;
        let names: Vec<_> = jira.world().issues().map(|issue| issue.id.to_string()).collect();
        let mut seen = BTreeSet::new();
        let mut token = Value::Null;
        let mut pages = 0;
        loop {
            let body = json!({"issueIdsOrKeys": names, "maxResults": 500, "nextPageToken": token});
            let page = post(&jira, "/rest/api/3/changelog/bulkfetch", body).await.json();
            for issue in page["issueChangeLogs"].as_array().unwrap() {
                for history in issue["changeHistories"].as_array().unwrap() {
                    assert!(history["created"].is_i64());
                    assert!(seen.insert(history["id"].as_str().unwrap().to_owned()), "{history} came twice");
                }
            }
            pages += 1;
            token = page["nextPageToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(seen.len(), jira.world().history_entries());
        assert_eq!(pages, seen.len().div_ceil(500));
    }
}

#[tokio::test]
async fn bulk_histories_have_their_limits() {
    let jira = cloud().await;
    let bulk = async |body: Value| post(&jira, "/rest/api/3/changelog/bulkfetch", body).await.status;
    let many: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    assert_eq!(bulk(json!({"issueIdsOrKeys": many})).await, 400);
    assert_eq!(bulk(json!({"issueIdsOrKeys": []})).await, 400);
    assert_eq!(bulk(json!({"issueIdsOrKeys": ["SHOP-1"], "maxResults": 10_001})).await, 400);
    assert_eq!(bulk(json!({"issueIdsOrKeys": ["SHOP-1"], "startAt": 0})).await, 400);
    assert_eq!(bulk(json!({"issueIdsOrKeys": ["SHOP-1"], "fieldIds": many[..11]})).await, 400);
    assert_eq!(bulk(json!({"issueIdsOrKeys": many[..1_000]})).await, 200);
    let answer = post(&jira, "/rest/api/3/issue/bulkfetch", json!({"issueIdsOrKeys": many[..101]})).await;
    assert_eq!(answer.status, 400);
}

/// A world with one issue that went through everything.
fn busy() -> (World, IssueId) {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    let ops = world.add_project("OPS", "Operations", StatusId::BACKLOG);
    let board = world.add_board("Squad", crate::world::BoardKind::Scrum, shop);
    let one = world.add_sprint(board, "One", "", NOW);
    let two = world.add_sprint(board, "Two", "", NOW);
    let epic = world.edit(NOW).add_issue(Draft::new(shop, TypeId::EPIC, "Epic"));
    let id = world.edit(NOW).add_issue(Draft::new(shop, TypeId::STORY, "Story"));
    let mut edit = world.edit(NOW + 1_000).by(UserId(1));
    edit.set_sprint(id, Some(one));
    edit.start_sprint(one, NOW + 5_000);
    edit.close_sprint(one, Some(two));
    edit.set_points(id, Some(3.0));
    edit.set_points(id, Some(0.5));
    edit.set_parent(id, Some(epic));
    edit.assign(id, Some(UserId(2)));
    edit.flag(id);
    edit.unflag(id);
    edit.flag(id);
    edit.transition(id, StatusId::DONE);
    edit.link(epic, id);
    edit.set_labels(id, &["a", "b"]);
    edit.set_due(id, Some(jiff::civil::date(2026, 1, 2)));
    edit.move_project(id, ops);
    (world, id)
}

/// The items of an issue's history, each with the number of items in its entry.
async fn items(jira: &JiraHandle, path: String) -> Vec<Value> {
    let page = get(jira, &path).await.json();
    let histories = page.get("values").unwrap_or(&page["changelog"]["histories"]).as_array().unwrap().clone();
    histories.iter().flat_map(|history| history["items"].as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn history_items_have_the_recorded_shapes() {
    let (world, id) = busy();
    let jira = Jira::start(world, Options::cloud()).await.unwrap();
    let items = items(&jira, format!("/rest/api/3/issue/{id}/changelog")).await;
    let of = |field: &str| items.iter().filter(|item| item["field"] == field).cloned().collect::<Vec<_>>();
    let sprint = json!({"field": "Sprint", "fieldtype": "custom", "fieldId": "customfield_10020",
        "from": "1", "fromString": "One", "to": "1, 2", "toString": "One, Two"});
    assert_eq!(of("Sprint")[1], sprint);
    assert_eq!(of("Sprint")[0]["from"], "");
    let points = json!({"field": "Story Points", "fieldtype": "custom", "fieldId": "customfield_10036",
        "from": null, "fromString": "3", "to": null, "toString": "0.5"});
    assert_eq!(of("Story Points")[1], points);
    let parent = json!({"field": "IssueParentAssociation", "fieldtype": "jira",
        "from": null, "fromString": null, "to": "10001", "toString": "SHOP-1"});
    assert_eq!(of("IssueParentAssociation"), [parent]);
    let flags = of("Flagged");
    assert_eq!(
        (&flags[0]["from"], &flags[0]["to"], &flags[0]["toString"]),
        (&json!(null), &json!("[10019]"), &json!("Impediment"))
    );
    assert_eq!(
        (&flags[1]["from"], &flags[1]["to"], &flags[1]["toString"]),
        (&json!("[10019]"), &json!(""), &json!(""))
    );
    assert_eq!(flags[2]["from"], "");
    assert_eq!(of("resolution")[0]["toString"], "Done");
    assert_eq!(of("Link")[0]["toString"], "This issue is blocked by SHOP-1");
    assert!(of("Link")[0].get("fieldId").is_none());
    assert_eq!(of("labels")[0]["toString"], "a b");
    assert_eq!(
        (&of("duedate")[0]["to"], &of("duedate")[0]["toString"]),
        (&json!("2026-01-02"), &json!("2026-01-02 00:00:00.0"))
    );
    assert_eq!((&of("Key")[0]["fromString"], &of("Key")[0]["toString"]), (&json!("SHOP-2"), &json!("OPS-1")));
    assert_eq!((&of("project")[0]["from"], &of("project")[0]["to"]), (&json!("10000"), &json!("10001")));
    assert_eq!(of("assignee")[0]["to"], of("assignee")[0]["tmpToAccountId"]);
}

#[tokio::test]
async fn a_moved_issue_is_found_by_its_old_key_and_a_deleted_one_is_not() {
    let (world, id) = busy();
    let jira = Jira::start(world, Options::cloud()).await.unwrap();
    assert_eq!(get(&jira, "/rest/api/3/issue/SHOP-2").await.json()["key"], "OPS-1");
    let body = json!({"issueIdsOrKeys": ["shop-2", "10002", "77777"], "fields": ["summary"]});
    let answer = post(&jira, "/rest/api/3/issue/bulkfetch", body).await.json();
    assert_eq!(ids(&answer), ["10002"]);
    jira.world().edit(NOW + 9_000).delete(id);
    assert_eq!(get(&jira, "/rest/api/3/issue/OPS-1").await.status, 404);
    let left = search(&jira, json!({"jql": "project in (SHOP, OPS)"})).await.json();
    assert_eq!(ids(&left), ["10001"]);
    assert_eq!(search(&jira, json!({"jql": "id = 10002"})).await.status, 400);
}

#[tokio::test]
async fn the_side_of_the_other_issue_gives_the_direction_of_a_link() {
    let (world, id) = busy();
    let jira = Jira::start(world, Options::cloud()).await.unwrap();
    let blocked = get(&jira, &format!("/rest/api/3/issue/{id}?fields=issuelinks")).await.json();
    let link = &blocked["fields"]["issuelinks"][0];
    assert_eq!(link["inwardIssue"]["key"], "SHOP-1");
    assert!(link.get("outwardIssue").is_none());
    assert_eq!((&link["type"]["name"], &link["type"]["inward"]), (&json!("Blocks"), &json!("is blocked by")));
    let blocker = get(&jira, "/rest/api/3/issue/SHOP-1?fields=issuelinks").await.json();
    assert_eq!(blocker["fields"]["issuelinks"][0]["outwardIssue"]["key"], "OPS-1");
}

#[tokio::test]
async fn a_wrong_token_is_refused_or_sees_nothing() {
    let jira = cloud().await;
    let body = json!({"jql": LIST});
    let path = "/rest/api/3/search/jql";
    assert_eq!(send(&jira, "POST", path, Some("Basic bm86bm8="), Some(&body)).await.unwrap().status, 401);
    assert_eq!(send(&jira, "GET", "/rest/api/3/serverInfo", None, None).await.unwrap().status, 200);
    let open = with(Options { anonymous: true, ..Options::cloud() }).await;
    let answer = send(&open, "POST", path, Some("Basic bm86bm8="), Some(&body)).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({"issues": [], "isLast": true})));
    assert_eq!(send(&open, "GET", "/rest/api/3/myself", None, None).await.unwrap().status, 401);
    open.set_credentials(vec![Credential::Bearer("new".into())]);
    assert_eq!(get(&open, "/rest/api/3/myself").await.status, 401);
    assert_eq!(send(&open, "GET", "/rest/api/3/myself", Some("Bearer new"), None).await.unwrap().status, 200);
}

#[tokio::test]
async fn hidden_and_archived_projects_vanish_in_their_own_ways() {
    let jira = cloud().await;
    let ops = jira.world().find_project("OPS").unwrap();
    let set = |visibility| jira.world().projects[usize::from(ops.0)].visibility = visibility;
    set(Visibility::Archived);
    assert_eq!(search_count(&jira, "project = OPS".into()).await, 0);
    assert_eq!(get(&jira, "/rest/api/3/issue/OPS-2").await.status, 200);
    set(Visibility::Hidden);
    assert_eq!(search(&jira, json!({"jql": "project = OPS"})).await.status, 400);
    assert_eq!(get(&jira, "/rest/api/3/issue/OPS-2").await.status, 404);
    let may = "/rest/api/3/mypermissions?permissions=BROWSE_PROJECTS&projectKey=";
    assert_eq!(get(&jira, &format!("{may}OPS")).await.status, 404);
    let shop = get(&jira, &format!("{may}SHOP")).await.json();
    assert_eq!(shop["permissions"]["BROWSE_PROJECTS"]["havePermission"], json!(true));
    let listed = get(&jira, "/rest/api/3/project/search?maxResults=1").await.json();
    assert_eq!((&listed["total"], &listed["isLast"]), (&json!(2), &json!(false)));
}

#[tokio::test]
async fn boards_and_sprints_are_paged_and_refuse_what_they_lack() {
    let jira = Jira::start(World::demo(NOW, 12, 1), Options::cloud()).await.unwrap();
    let boards = get(&jira, "/rest/agile/1.0/board?projectKeyOrId=SHOP").await.json();
    assert_eq!((&boards["total"], &boards["values"][0]["type"]), (&json!(1), &json!("scrum")));
    let sprints = get(&jira, "/rest/agile/1.0/board/1/sprint?maxResults=10&startAt=20").await.json();
    let states: Vec<_> = sprints["values"].as_array().unwrap().iter().map(|sprint| sprint["state"].clone()).collect();
    assert_eq!(states, ["closed", "closed", "closed", "closed", "active", "future"]);
    assert_eq!(sprints["isLast"], json!(true));
    let future = get(&jira, "/rest/agile/1.0/board/1/sprint?state=future").await.json();
    assert!(future["values"][0].get("startDate").is_none());
    let kanban = get(&jira, "/rest/agile/1.0/board/2/sprint").await;
    assert_eq!((kanban.status, error(&kanban)), (400, "The board does not support sprints".to_owned()));
    let configuration = get(&jira, "/rest/agile/1.0/board/1/configuration").await.json();
    assert_eq!(configuration["estimation"]["field"]["fieldId"], "customfield_10036");
    assert_eq!(configuration["columnConfig"]["columns"][1]["statuses"][0]["id"], "3");
    jira.world().boards[1].trouble = Some(422);
    assert_eq!(get(&jira, "/rest/agile/1.0/board/2/configuration").await.status, 422);
    assert_eq!(get(&jira, "/rest/agile/1.0/board/9").await.status, 404);
    assert_eq!(get(&jira, "/rest/agile/1.0/sprint/3").await.json()["originBoardId"], json!(1));
}

#[tokio::test]
async fn data_center_answers_with_the_older_api() {
    let (world, id) = busy();
    let jira = Jira::start(world, Options { prefix: "/jira".into(), ..Options::data_center() }).await.unwrap();
    assert!(jira.url().ends_with("/jira"));
    assert_eq!(get(&jira, "/rest/api/2/myself").await.status, 404);
    assert_eq!(get(&jira, "/jira/rest/api/3/myself").await.status, 404);
    assert!(!keys(&get(&jira, "/jira/rest/api/2/myself").await.json()).contains("accountId"));
    assert_eq!(get(&jira, "/jira/rest/api/2/serverInfo").await.json()["deploymentType"], "Server");
    assert_eq!(post(&jira, "/jira/rest/api/2/search/jql", json!({"jql": "project = SHOP"})).await.status, 404);
    let found =
        get(&jira, "/jira/rest/api/2/search?jql=&expand=changelog&fields=*all&maxResults=1&startAt=0").await.json();
    assert_eq!((&found["total"], &found["startAt"], &found["maxResults"]), (&json!(2), &json!(0), &json!(1)));
    let issue = &found["issues"][0];
    assert_eq!(issue["id"], id.to_string());
    let fields = &issue["fields"];
    assert!(fields.get("parent").is_none());
    assert_eq!(fields["customfield_10101"], "SHOP-1");
    assert_eq!(fields["assignee"]["name"], "chen");
    let sprint = fields["customfield_10105"][0].as_str().unwrap();
    assert!(
        sprint.starts_with("com.atlassian.greenhopper.service.sprint.Sprint@")
            && sprint.contains("[id=1,rapidViewId=1,state=CLOSED,name=One,"),
        "{sprint}"
    );
    let items = items(&jira, format!("/jira/rest/api/2/issue/{id}?expand=changelog")).await;
    assert_eq!(items.len(), jira.world().issue(id).events().len() + 1);
    assert!(
        items.iter().any(|item| item["field"] == "Epic Link" && item["to"] == "10001" && item["toString"] == "SHOP-1")
    );
    assert!(items.iter().all(|item| item.get("fieldId").is_none()));
}

#[tokio::test]
async fn faults_come_as_scripted() {
    let jira = cloud().await;
    let path = "/rest/api/3/serverInfo";
    let faults = jira.faults();
    faults.on("*/serverInfo", When::Nth(1), Fault::rate_limited(Some(3)));
    faults.on("*/serverInfo", When::Nth(2), Fault::Html(502));
    faults.on("*/serverInfo", When::Nth(3), Fault::Reset);
    faults.on("*/serverInfo", When::Nth(4), Fault::Truncate { bytes: 20, chunked: false });
    faults.on("*/serverInfo", When::Nth(5), Fault::Truncate { bytes: 20, chunked: true });
    faults.on("*/serverInfo", When::Nth(6), Fault::NotJson);
    faults.on("*/serverInfo", When::Nth(7), Fault::Timeout(Duration::from_millis(30)));
    let limited = get(&jira, path).await;
    assert_eq!(limited.status, 429);
    assert!(limited.head.to_lowercase().contains("retry-after: 3"), "{}", limited.head);
    let gateway = get(&jira, path).await;
    assert_eq!((gateway.status, gateway.body.starts_with("<html>")), (502, true));
    let error = send(&jira, "GET", path, None, None).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let cut = get(&jira, path).await;
    let length =
        cut.head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    assert!(length.unwrap().parse::<usize>().unwrap() > 100);
    assert_eq!(cut.body.len(), 20);
    let chunked = get(&jira, path).await;
    assert!(chunked.head.to_lowercase().contains("transfer-encoding: chunked"), "{}", chunked.head);
    assert!(chunked.body.starts_with("14\r\n") && !chunked.body.contains("0\r\n\r\n"), "{:?}", chunked.body);
    let odd = get(&jira, path).await;
    assert_eq!((odd.status, odd.body.starts_with("<!DOCTYPE")), (200, true));
    assert!(send(&jira, "GET", path, None, None).await.is_err());
    assert_eq!(get(&jira, path).await.status, 200);
    assert_eq!(faults.fired(), 7);
    let statuses: Vec<_> = jira.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [429, 502, 0, 200, 200, 200, 0, 200]);
}

#[tokio::test]
async fn faults_repeat_a_token_and_make_a_caller_anonymous() {
    let jira = cloud().await;
    jira.faults().on("*/search/jql", When::Nth(2), Fault::RepeatToken);
    jira.faults().on("*/search/jql", When::Nth(3), Fault::AnonymousEmpty);
    let first = search(&jira, json!({"jql": LIST, "maxResults": 2})).await.json();
    let token = &first["nextPageToken"];
    let second = search(&jira, json!({"jql": LIST, "maxResults": 5000, "nextPageToken": token})).await.json();
    assert_eq!((&second["nextPageToken"], &second["isLast"]), (token, &json!(false)));
    let third = search(&jira, json!({"jql": LIST})).await.json();
    assert_eq!(third["issues"], json!([]));
}

#[tokio::test]
async fn requests_are_logged_with_what_they_said() {
    let jira = cloud().await;
    search(&jira, json!({"jql": "project = SHOP"})).await;
    let log = jira.take_requests();
    assert_eq!((log.len(), log[0].path(), log[0].status, log[0].at), (1, "/rest/api/3/search/jql", 200, NOW));
    assert_eq!(log[0].json()["jql"], "project = SHOP");
    assert!(jira.requests().is_empty());
}

#[tokio::test]
async fn it_stops_on_shutdown_and_when_dropped() {
    let jira = cloud().await;
    let address = jira.address();
    let mut held = TcpStream::connect(address).await.unwrap();
    jira.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    let mut byte = [0];
    assert!(!matches!(held.read(&mut byte).await, Ok(1..)));
    let jira = cloud().await;
    let mut held = TcpStream::connect(jira.address()).await.unwrap();
    drop(jira);
    assert!(!matches!(held.read(&mut byte).await, Ok(1..)));
}

#[tokio::test]
async fn closing_a_sprint_carries_its_open_issues_over() {
    let jira = cloud().await;
    let (active, next) = (SprintId(3), SprintId(4));
    let open = {
        let mut world = jira.world();
        let open = world.truth(NOW).sprint(active);
        world.edit(NOW + 1).close_sprint(active, Some(next));
        (open.remaining, world.truth(NOW + 2).sprint(active))
    };
    assert_eq!((open.0, open.0), (open.1.remaining, open.1.carried_over));
    let sprint = get(&jira, "/rest/agile/1.0/sprint/3").await.json();
    assert_eq!(sprint["state"], "closed");
}

#[tokio::test]
async fn every_order_pages_through_all() {
    let jira = cloud().await;
    let all = |order: &str| format!("project in (OPS, PLAT, SHOP) ORDER BY {order}");
    let by_id = sweep(&jira, &all("id ASC"), 40).await;
    assert!(by_id.is_sorted());
    assert_eq!(by_id.len(), jira.world().issues().count());
    for order in ["updated ASC, id ASC", "key", "created DESC, key ASC", "updated DESC"] {
        let mut found = sweep(&jira, &all(order), 40).await;
        found.sort();
        assert_eq!(found, by_id, "{order}");
    }
}

#[test]
fn a_handle_can_be_shared_between_tasks() {
    fn shared<T: Send + Sync>() {}
    shared::<JiraHandle>();
}
