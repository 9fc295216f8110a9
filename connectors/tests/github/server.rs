//! Credentials, older servers, and what a check says.

use contextcore_core::config::guidance::{MAX_BYTES, PATH};
use contextcore_core::model::guidance::forge::{ForgeContent, ForgeFile};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guidance_is_that_of_the_default_branch_and_what_is_refused_stays_known() {
    let mut rig = Rig::start(small(), dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    let run = Run { now: Millis(NOW), full: false };
    let shop = rig.github.world().find_project("shop").unwrap();
    let expect = async |rig: &mut Rig, want: ForgeContent, warned: bool| {
        rig.open(&run).await.unwrap();
        assert_eq!(rig.session().guidance(), [ForgeFile { repository: "acme/shop".into(), content: want }]);
        let warnings = rig.session().check().await.unwrap().warnings;
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("the guidance of acme/shop")),
            warned,
            "{warnings:?}"
        );
    };
    let text = |text: &str| ForgeContent::Text { branch: "main".into(), text: text.into() };
    expect(&mut rig, ForgeContent::Absent, false).await;
    rig.edit(NOW, |edit| edit.commit_file(shop, PATH, "constraints: []\n"));
    expect(&mut rig, text("constraints: []\n"), false).await;
    rig.github.set_tokens(vec![Token::fine_grained(Github::TOKEN).without("contents")]);
    expect(&mut rig, ForgeContent::Unknown, false).await;
    rig.github.set_tokens(vec![Token::fine_grained(Github::TOKEN)]);
    rig.edit(NOW + HOUR, |edit| edit.commit_file(shop, PATH, "#".repeat(MAX_BYTES + 1)));
    expect(&mut rig, ForgeContent::Absent, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_of_a_user_is_found_and_one_that_is_missing_is_left_out() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let options = Options { owner_is_user: true, ..dot_com() };
    let mut rig = Rig::start(world, options, |config| config.projects.push("acme/99".into())).await;
    let outcome = rig.sync().await;
    assert_eq!(outcome.tasks.len(), 1);
    assert!(outcome.warnings.iter().any(|warning| warning.contains("acme/99")), "{:?}", outcome.warnings);
    let mut rig = Rig::start(small(), dot_com(), |config| config.projects.clear()).await;
    rig.edit(NOW - HOUR, |_| {});
    assert!(rig.run(&["items"]).await.is_ok(), "nothing configured means all that is visible");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_mints_its_token_keeps_it_and_mints_another_when_it_is_refused() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/src/github/fixtures/app_key.pem");
    let app = |installation| {
        move |config: &mut SourceConfig| {
            let app = json!({"id": 1, "installation": installation, "private_key": {"file": key}});
            config.settings = json!({"auth": {"app": app}});
        }
    };
    let options = Options { tokens: vec![], ..dot_com() };
    let installation = u32::try_from(Github::INSTALLATION).unwrap();
    let mut rig = Rig::start(world, options.clone(), app(installation)).await;
    assert_eq!(rig.sync().await.tasks.len(), 1);
    let minted = |rig: &Rig| {
        rig.github.take_requests().iter().filter(|request| request.path().ends_with("access_tokens")).count()
    };
    assert_eq!(minted(&rig), 1);
    rig.sync().await;
    assert_eq!(minted(&rig), 0, "it is kept");
    rig.github.set_tokens(vec![]);
    rig.sync().await;
    assert_eq!(minted(&rig), 1, "it was revoked");
    let mut wrong = Rig::start(small(), options, app(1)).await;
    let error = wrong.run(&[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.full().contains("auth.app.installation"), "{}", error.full());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_enterprise_server_is_asked_for_less() {
    let options = Options { clock: Clock::fixed(NOW), ..Options::enterprise() };
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    world.edit(NOW - 7 * HOUR).note(SHOP, "Ideas");
    let mut rig = Rig::start(world, options, |config| set_repositories(config, &["acme/shop".into()])).await;
    let outcome = rig.sync().await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(outcome.tasks.len(), 2, "{:?} {:?}", outcome.tasks, outcome.warnings);
    let task = &outcome.tasks[&rig.id(id)];
    leads_to_present(task);
    assert_eq!(task.present.status, Status::InProgress);
    let moved = task.history.last().unwrap();
    assert!(moved.observed && moved.at.0 == NOW - 8 * HOUR, "the value says since when: {moved:?}");
    rig.restart(CommentPrivacy::default());
    assert_eq!(rig.sync().await.records.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_who_what_and_how() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let rig = Rig::start(world, dot_com(), |config| config.projects.push("acme/99".into())).await;
    let report = rig.connector.open(None, &Run { now: Millis(NOW), full: false }).await.unwrap().check().await.unwrap();
    assert_eq!((report.identity.as_str(), report.product.as_str()), (Github::LOGIN, "GitHub"));
    assert_eq!(report.scopes, ["read:org", "read:project", "repo"]);
    assert_eq!(report.projects, [("acme/1".to_owned(), "Shop".to_owned())]);
    let meanings: BTreeSet<_> = report.fields.iter().map(|(meaning, _, _)| meaning.as_str()).collect();
    assert!(meanings.is_superset(&["status", "estimate", "iteration"].into()), "{meanings:?}");
    assert!(report.statuses.iter().any(|(name, to, _)| name.starts_with("In Review") && to == "in_review"));
    assert!(report.problems.iter().any(|problem| problem.contains("acme/99")), "{:?}", report.problems);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_feature_costs_itself() {
    let lacks = |what: Without<'static>| Options { lacks: Some(what), ..dot_com() };
    let world = || {
        let mut world = small();
        let (parent, child) = (add(&mut world, "Parent", NOW - 9 * HOUR), add(&mut world, "Child", NOW - 9 * HOUR));
        world.edit(NOW - 8 * HOUR).set_parent(child, Some(parent));
        world.edit(NOW - 7 * HOUR).transition(child, StatusId::IN_PROGRESS);
        world.edit(NOW - 6 * HOUR).link(parent, child);
        (world, child)
    };
    let states = Without { arguments: &[("ProjectV2", "items", "archivedStates")], ..Without::default() };
    let dependencies = Without { fields: &[("Issue", "blockedBy")], ..Without::default() };
    let parents = Without { fields: &[("Issue", "parent")], ..Without::default() };
    for (what, word, has_parent, has_blocker) in [
        (states, "archived", true, true),
        (dependencies, "dependencies", true, false),
        (parents, "sub-issues", false, true),
    ] {
        let (world, child) = world();
        let mut rig = Rig::start(world, lacks(what), |_| {}).await;
        let first = rig.sync().await;
        assert!(first.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", first.warnings);
        let task = &first.tasks[&rig.id(child)];
        assert_eq!(task.present.parent.is_some(), has_parent, "{word}");
        assert_eq!(!task.blockers.is_empty(), has_blocker, "{word}");
        let started = task
            .history
            .iter()
            .find(|entry| matches!(&entry.change, Change::Status { status: Status::InProgress, .. }));
        assert_eq!(started.map(|entry| (entry.at.0, entry.observed)), Some((NOW - 7 * HOUR, false)), "{word}");
        let run = Run { now: Millis(NOW), full: false };
        let report = rig.connector.open(None, &run).await.unwrap().check().await.unwrap();
        assert!(report.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", report.warnings);
        let quiet = rig.sync().await;
        assert!(quiet.requests <= 3, "{word}: {} requests", quiet.requests);
        assert!(quiet.warnings.iter().any(|warning| warning.contains(word)), "every run says it, so `status` does");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_say_what_it_knows_says_it_by_refusing() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let parents = Without { fields: &[("Issue", "parent")], ..Without::default() };
    let mut rig = Rig::start(world, Options { lacks: Some(parents), ..dot_com() }, |_| {}).await;
    let refusal =
        r#"{"errors": [{"message": "GraphQL introspection is not allowed, but the query contained __type"}]}"#;
    rig.github.faults().on("POST */graphql", When::Nth(1), Fault::status(200, refusal));
    let first = rig.sync().await;
    assert!(first.failures.is_empty() && first.tasks.contains_key(&rig.id(id)), "{:?}", first.failures);
    // Each run of `sync` is a process of its own: nothing but the state and the cursors is kept.
    rig.restart(CommentPrivacy::default());
    let second = rig.sync().await;
    assert!(second.warnings.iter().any(|warning| warning.contains("sub-issues")), "{:?}", second.warnings);
    assert!(second.requests <= 3, "{} requests", second.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_learns_something_is_read_again_within_a_day() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    world.edit(NOW - 8 * HOUR).transition(id, StatusId::IN_PROGRESS);
    let old = Options { clock: Clock::fixed(NOW), ..Options::enterprise() };
    let set = |config: &mut SourceConfig| set_repositories(config, &["acme/shop".into()]);
    let mut rig = Rig::start(world.clone(), old, set).await;
    let history =
        |outcome: &Outcome, id: &str| outcome.tasks[id].history.iter().filter(|entry| !entry.observed).count();
    let first = rig.sync().await;
    let key = rig.id(id);
    assert_eq!(history(&first, &key), 1, "its status has no history there");
    // The same server after an upgrade.
    let mut upgraded = Rig::start(world, dot_com(), set).await;
    (upgraded.source.state, upgraded.source.cursors) = (rig.source.state.clone(), rig.source.cursors.clone());
    assert!(upgraded.sync().await.tasks.is_empty(), "it is not asked on every run");
    upgraded.now = NOW + DAY;
    assert!(history(&upgraded.sync().await, &key) > 1, "nothing looks changed, and there is more to know");
    assert!(upgraded.sync().await.tasks.is_empty(), "that is said once");
}
