//! Prices, limits, and who sees what.

use super::*;

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
