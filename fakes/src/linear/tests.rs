//! Tests of the fake: what it answers, refuses and charges.

use super::*;
use crate::world::{Draft, StatusId, TypeId};

const NOW: i64 = 1_795_000_000_000;
const DAY: i64 = 24 * 3_600_000;

fn site(world: World, options: Options) -> Site {
    Site::new(world, Options { clock: Clock::fixed(NOW), ..options }).unwrap()
}

fn demo() -> Site {
    site(World::demo(NOW, 3, 7), Options::default())
}

fn post_as(site: &Site, auth: Option<&str>, query: &str, variables: Json) -> (u16, Json, Reply) {
    let mut headers = http::HeaderMap::new();
    if let Some(auth) = auth {
        headers.insert(http::header::AUTHORIZATION, auth.parse().unwrap());
    }
    let body = json!({"query": query, "variables": variables}).to_string().into();
    let (method, path) = (http::Method::POST, "/graphql".to_owned());
    let reply = site.answer(&Call { method, path, query: vec![], headers, body, base: "".into() });
    (reply.status, serde_json::from_slice(&reply.body).unwrap(), reply)
}

fn post(site: &Site, query: &str) -> Json {
    let (status, body, _) = post_as(site, Some(Linear::KEY), query, json!({}));
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

fn refused(site: &Site, query: &str) -> (u16, String) {
    let (status, body, _) = post_as(site, Some(Linear::KEY), query, json!({}));
    (status, body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned())
}

fn header(reply: &Reply, name: &str) -> f64 {
    let found = reply.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name}")).1.parse().unwrap()
}

#[test]
fn only_the_credential_in_its_own_form_is_let_in() {
    let site = demo();
    let bearer = format!("Bearer {}", Linear::KEY);
    for auth in [None, Some("wrong"), Some(bearer.as_str())] {
        let (status, body, _) = post_as(&site, auth, "{ viewer { id } }", json!({}));
        assert_eq!(
            (status, &body["errors"][0]["extensions"]["code"]),
            (401, &json!("AUTHENTICATION_ERROR")),
            "{auth:?}"
        );
    }
    *lock(&site.credentials) = vec![Credential::Token("t".into())];
    assert_eq!(post_as(&site, Some("Bearer t"), "{ viewer { id } }", json!({})).0, 200);
    assert_eq!(post_as(&site, Some("t"), "{ viewer { id } }", json!({})).0, 401);
}

#[test]
fn what_the_vendor_would_refuse_is_refused() {
    let site = demo();
    assert_eq!(refused(&site, "{ issues { nodes { colour } } }"), (400, "GRAPHQL_VALIDATION_FAILED".into()));
    assert_eq!(refused(&site, "{ issues(first: 251) { nodes { id } } }"), (400, "INPUT_ERROR".into()));
    assert_eq!(refused(&site, "{ issue(id: \"nope\") { id } }"), (400, "INPUT_ERROR".into()));
    let greedy = "{ issues { nodes { history { nodes { id createdAt actor { id name } fromState { id name } toState { id name } } } } } }";
    assert_eq!(refused(&site, greedy), (400, "INPUT_ERROR".into()), "50 times 50 rows are too many");
}

#[test]
fn queries_are_charged_by_what_they_ask_for() {
    let price = |query: &str| Linear::price(&json!({"query": query})).unwrap();
    assert!((price("{ viewer { id } }") - 1.1).abs() < 1e-9);
    assert!((price("{ issues(first: 10) { nodes { id team { id } } pageInfo { hasNextPage } } }") - 23.1).abs() < 1e-9);
    let nested = "{ issues(first: 25) { nodes { id history(first: 25) { nodes { id } } } } }";
    assert!((price(nested) - 25.0 * (1.1 + 25.0 * 1.1)).abs() < 1e-9);
    assert!((price("{ issues { nodes { id } } }") - 55.0).abs() < 1e-9, "50 rows unless the query says how many");
    assert!(price(nested) < 10_000.0 && price("query($f: Int) { issues(first: $f) { nodes { id } } }") > 0.0);
}

#[test]
fn a_spent_quota_is_a_bad_request_that_says_when_it_is_full_again() {
    let site = site(World::demo(NOW, 2, 7), Options { points: 100.0, ..Options::default() });
    let (_, _, reply) = post_as(&site, Some(Linear::KEY), "{ issues(first: 50) { nodes { id } } }", json!({}));
    assert!((header(&reply, "X-Complexity") - 55.0).abs() < 1e-9);
    assert!((header(&reply, "X-RateLimit-Complexity-Remaining") - 45.0).abs() < 1e-9);
    let (status, body, reply) = post_as(&site, Some(Linear::KEY), "{ issues(first: 50) { nodes { id } } }", json!({}));
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("RATELIMITED")));
    assert!(header(&reply, "X-RateLimit-Complexity-Remaining") < 1.0);
    assert!(header(&reply, "X-RateLimit-Complexity-Reset") > NOW as f64);
    let mut pools = lock(&site.pools);
    pools.refill(NOW + DAY);
    assert!(pools.charge(100.0, &site.options).is_ok(), "an hour fills it");
}

#[test]
fn the_newest_change_comes_first_and_archived_issues_only_when_asked_for() {
    let site = demo();
    let list = |more: &str| {
        let query =
            format!("{{ issues(first: 250, orderBy: updatedAt{more}) {{ nodes {{ updatedAt archivedAt }} }} }}");
        post(&site, &query)["issues"]["nodes"].as_array().unwrap().clone()
    };
    let (all, some) = (list(", includeArchived: true"), list(""));
    assert!(all.len() > some.len() && some.iter().all(|issue| issue["archivedAt"].is_null()));
    assert!(all.is_sorted_by_key(|issue| std::cmp::Reverse(issue["updatedAt"].as_str().map(str::to_owned))));
}

#[test]
fn filters_take_what_they_name_and_unknown_ones_are_errors() {
    let site = demo();
    let count = |filter: &str| {
        let query = format!(
            "{{ issues(first: 250, includeArchived: true, filter: {filter}) {{ nodes {{ team {{ id }} }} }} }}"
        );
        post(&site, &query)["issues"]["nodes"].as_array().unwrap().len()
    };
    let id = Linear::id(lock(&site.world).find("PLAT-4").unwrap());
    assert_eq!(count(&format!("{{ id: {{ in: [\"{id}\"] }} }}")), 1);
    assert_eq!(count("{ updatedAt: { gte: \"2030-01-01T00:00:00.000Z\" } }"), 0);
    assert!(count("{ team: { key: { in: [\"PLAT\"] } } }") < count("{ team: { key: { in: [\"PLAT\", \"SHOP\"] } } }"));
    let teams =
        |filter: &str| post(&site, &format!("{{ teams{filter} {{ nodes {{ id }} }} }}"))["teams"]["nodes"].clone();
    let last = teams("").as_array().unwrap().last().unwrap().clone();
    let one = teams(&format!("(first: 1, filter: {{ id: {{ in: [{}] }} }})", last["id"]));
    assert_eq!(one, json!([last]), "a filter comes before the page");
    assert_eq!(refused(&site, "{ issues(filter: { priority: { eq: 1 } }) { nodes { id } } }").0, 400);
}

#[test]
fn the_history_has_no_first_values_and_the_spans_have_the_first_state() {
    let mut world = World::empty();
    let team = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    let id = world.edit(NOW - DAY).add_issue(Draft::new(team, TypeId::BUG, "It breaks"));
    let mut edit = world.edit(NOW - DAY / 2);
    edit.transition(id, StatusId::IN_PROGRESS);
    edit.flag(id);
    let site = site(world, Options::default());
    let data = post(
        &site,
        "{ issues { nodes { labelIds history { nodes { fromStateId toStateId addedLabelIds actorId } } \
         stateHistory { nodes { stateId startedAt endedAt } } } } }",
    );
    let issue = &data["issues"]["nodes"][0];
    let acts = issue["history"]["nodes"].as_array().unwrap();
    assert_eq!(acts.len(), 2);
    assert_eq!(acts[0]["addedLabelIds"], json!([workspace::label_id("Blocked")]), "the newest first");
    assert_eq!(acts[1]["fromStateId"], json!(workspace::state_id(team, Some(StatusId::TO_DO))));
    let spans = issue["stateHistory"]["nodes"].as_array().unwrap();
    assert_eq!((spans.len(), &spans[0]["stateId"]), (2, &acts[1]["fromStateId"]));
    assert!(spans[0]["endedAt"] == spans[1]["startedAt"] && spans[1]["endedAt"].is_null());
    assert_eq!(issue["labelIds"].as_array().unwrap().len(), 2, "Bug and Blocked");
}

#[test]
fn a_failed_field_is_null_with_an_error() {
    let site = demo();
    let id = lock(&site.world).find("PLAT-4").unwrap();
    *lock(&site.spoilt) = Some((id, "assignee"));
    let query = "{ issues(first: 250, includeArchived: true) { nodes { id assignee { id } } } }";
    let (status, body, _) = post_as(&site, Some(Linear::KEY), query, json!({}));
    let path = body["errors"][0]["path"].as_array().unwrap();
    assert_eq!((status, path.len(), &path[3]), (200, 4, &json!("assignee")));
    let row = path[2].as_u64().unwrap() as usize;
    assert_eq!(body["data"]["issues"]["nodes"][row]["id"], json!(Linear::id(id)));
}

#[test]
fn what_is_trashed_is_shown_for_a_month() {
    let mut world = World::demo(NOW, 2, 7);
    let id = world.find("PLAT-4").unwrap();
    world.edit(NOW - DAY).delete(id);
    let shown = |site: &Site| {
        let query = format!(
            "{{ issues(includeArchived: true, filter: {{ id: {{ eq: \"{}\" }} }}) {{ nodes {{ trashed archivedAt }} }} }}",
            Linear::id(id)
        );
        post(site, &query)["issues"]["nodes"].as_array().unwrap().clone()
    };
    let fresh = shown(&site(world.clone(), Options::default()));
    assert_eq!((fresh.len(), &fresh[0]["trashed"]), (1, &json!(true)));
    let late = Site::new(world, Options { clock: Clock::fixed(NOW + 40 * DAY), ..Options::default() }).unwrap();
    assert!(shown(&late).is_empty());
}
