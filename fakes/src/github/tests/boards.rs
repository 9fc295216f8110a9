//! What people do to a board, and how its cards and values look then.

use super::*;

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
