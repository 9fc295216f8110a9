//! What GitHub cannot or does not want to serve: it costs itself, and little time.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_failures_are_retried_without_loss() {
    let world = || World::history(NOW, 150, 6, 10, 130, 3);
    let calm = Rig::shop(world()).await.sync().await;
    let faults = [
        trouble::rate_limited(NOW / 1_000 + 1),
        trouble::secondary(403, Some(1)),
        trouble::too_slow(),
        Fault::Reset,
        Fault::Truncate { bytes: 40, chunked: false },
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let mut rig = Rig::shop(world()).await;
        rig.github.faults().on("POST */graphql", When::Nth(3 + n), fault.clone());
        let outcome = rig.sync().await;
        assert_eq!(rig.github.faults().fired(), 1, "{n}");
        assert!(outcome.failures.is_empty() && outcome.tasks == calm.tasks, "fault {n} lost something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_too_heavy_is_halved_and_its_size_remembered() {
    let options = Options { heavy_page: 10, ..dot_com() };
    let mut rig = Rig::start(World::history(NOW, 120, 6, 0, 0, 3), options, |_| {}).await;
    let first = rig.sync().await;
    assert_eq!(first.tasks.len(), 120, "{:?}", first.warnings);
    assert!(first.requests < 30, "{} requests", first.requests);
    let ids: Vec<IssueId> = rig.github.world().issues().map(|issue| issue.id).collect();
    ids.iter().for_each(|id| rig.edit(NOW, |edit| edit.rename(*id, "Again")));
    rig.restart(CommentPrivacy::default());
    let next = rig.sync().await;
    assert_eq!(next.tasks.len(), 120);
    assert!(next.requests < first.requests + 3, "{} requests after {}", next.requests, first.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_halve_the_page_after_the_second() {
    let mut rig = Rig::shop(World::history(NOW, 60, 6, 0, 0, 3)).await;
    rig.github.faults().on("POST */graphql", When::Range(4..=5), trouble::too_slow());
    assert_eq!(rig.sync().await.tasks.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_what_to_do() {
    let table: [(Fault, ErrorKind, &str); 2] = [
        (trouble::bad_credentials(), ErrorKind::Auth, "make a new one"),
        (trouble::single_sign_on(), ErrorKind::Permission, "orgs/acme/sso"),
    ];
    for (fault, kind, text) in table {
        let mut rig = Rig::shop(small()).await;
        rig.github.faults().on("POST */graphql", When::Always, fault);
        let error = rig.run(&[]).await.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.full().contains(text), "{}", error.full());
    }
    for (token, kind) in [
        (Token::classic(Github::TOKEN).without("projects"), ErrorKind::Permission),
        (Token::fine_grained(Github::TOKEN).without("projects"), ErrorKind::Permission),
        (Token::classic("another"), ErrorKind::Auth),
    ] {
        let mut rig = Rig::start(small(), Options { tokens: vec![token], ..dot_com() }, |_| {}).await;
        assert_eq!(rig.run(&[]).await.err().unwrap().kind(), kind);
    }
    let mut rig = Rig::start(small(), dot_com(), |config| config.projects = vec!["acme/99".into()]).await;
    let error = rig.run(&[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.full().contains("acme/99"), "{}", error.full());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_out_of_sight_closes_nothing() {
    let mut world = small();
    add(&mut world, "One", NOW - 9 * HOUR);
    let mut rig = Rig::shop(world).await;
    assert_eq!(rig.sync().await.tasks.len(), 1);
    rig.github.world().projects[0].visibility = contextcore_fakes::world::Visibility::Hidden;
    let after = rig.sync().await;
    assert!(after.tasks.is_empty() && after.failures.is_empty(), "its task stays as it was");
}

/// A node that the fake cannot serve.
fn ailing(id: String, part: Part, sign: Sign) -> Ailing {
    Ailing { id, part, sign }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_item_costs_itself_and_little_time_and_is_read_again() {
    for (part, sign) in [
        (Part::Timeline, Sign::Gateway),
        (Part::Timeline, Sign::GaveUp),
        (Part::Timeline, Sign::EmptyRow),
        (Part::Look, Sign::Gateway),
        (Part::Look, Sign::GaveUp),
        (Part::Look, Sign::EmptyRow),
        (Part::Look, Sign::OddRow),
    ] {
        let named = format!("{part:?} {sign:?}");
        let mut world = small();
        let ids: Vec<IssueId> = (1..=30).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
        let mut rig = Rig::shop(world).await;
        let bad = rig.id(ids[20]);
        rig.github.set_ailing(vec![ailing(bad.clone(), part, sign)]);
        let begin = std::time::Instant::now();
        let first = rig.sync().await;
        assert_eq!(first.tasks.len(), 29, "{named}: {:?}", first.failures);
        assert!(!first.tasks.contains_key(&bad), "{named}");
        assert_eq!(first.unreadable.keys().collect::<Vec<_>>(), [&bad], "{named}: {:?}", first.warnings);
        assert!(rig.ids().await.contains(&bad), "{named}: it is listed all the same");
        assert!(begin.elapsed().as_secs() < 10, "{named}: {:?}", begin.elapsed());
        assert!(first.requests < 40, "{named}: {} requests", first.requests);
        let again = rig.read_again(&[&bad]).await;
        assert_eq!((again.tasks.len(), again.unreadable.len()), (0, 1), "{named}: {:?}", again.unreadable);
        rig.github.set_ailing(vec![]);
        let healed = rig.read_again(&[&bad]).await;
        assert_eq!((healed.tasks.contains_key(&bad), healed.unreadable.len()), (true, 0), "{named}");
        assert!(rig.sync().await.unreadable.is_empty(), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_node_does_not_make_the_next_requests_small() {
    let mut world = small();
    let ids: Vec<IssueId> = (1..=120).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
    let mut calm = Rig::shop(world.clone()).await;
    let usual = calm.sync().await.requests;
    let mut rig = Rig::shop(world).await;
    let bad = rig.id(ids[60]);
    rig.github.set_ailing(vec![ailing(bad, Part::Look, Sign::GaveUp)]);
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.unreadable.len()), (119, 1));
    assert!(first.requests < usual + 40, "{} requests, usually {usual}", first.requests);
    ids.iter().for_each(|id| rig.edit(NOW, |edit| edit.rename(*id, "Again")));
    rig.github.set_ailing(vec![]);
    let next = rig.sync().await;
    assert!(next.tasks.len() == 120 && next.requests <= usual + 1, "{} requests", next.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_that_cannot_be_served_cost_themselves() {
    for sign in [Sign::Gateway, Sign::GaveUp] {
        let mut world = small();
        let (good, bad) = (add(&mut world, "Good", NOW - HOUR), add(&mut world, "Bad", NOW - HOUR));
        world.edit(NOW - HOUR).comment(bad);
        let mut rig = Rig::shop(world).await;
        rig.github.set_ailing(vec![ailing(rig.id(bad), Part::Comments, sign)]);
        let outcome = rig.sync().await;
        assert_eq!(outcome.tasks.keys().cloned().collect::<BTreeSet<_>>(), [good, bad].map(|id| rig.id(id)).into());
        // The task is kept, and read again for what it lacks.
        let id = rig.id(bad);
        assert_eq!(outcome.unreadable.keys().collect::<Vec<_>>(), [&id], "{sign:?}");
        assert!(outcome.unreadable[&id].contains("comments"), "{:?}", outcome.unreadable);
        rig.github.set_ailing(vec![]);
        let healed = rig.read_again(&[&id]).await;
        let comments = healed.tasks[&id].history.iter().filter(|entry| matches!(entry.change, Change::Commented(_)));
        assert_eq!((comments.count(), healed.unreadable.len()), (1, 0), "{sign:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_commit_and_a_bad_deployment_cost_themselves() {
    for (part, sign) in [
        (Part::Look, Sign::Gateway),
        (Part::Look, Sign::GaveUp),
        (Part::Look, Sign::EmptyRow),
        (Part::Row, Sign::Gateway),
        (Part::Row, Sign::GaveUp),
    ] {
        let named = format!("{part:?} {sign:?}");
        let mut world = small();
        let shop = world.find_project("SHOP").unwrap();
        let commits: Vec<_> =
            (1..=9).map(|n| world.edit(NOW - 9 * HOUR + n * 60_000).commit(shop, format!("SHOP-{n}: go"))).collect();
        let deployments: Vec<_> = commits
            .iter()
            .map(|commit| {
                let deployment = world.edit(NOW - HOUR).deploy(*commit, "production");
                world.edit(NOW - HOUR + 60_000).deployed(deployment, true);
                deployment
            })
            .collect();
        let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
        let calm = rig.sync().await;
        let of = |outcome: &Outcome, kind: &str| {
            let all = outcome.activities.iter().filter(|activity| activity.artifact.kind == kind);
            all.map(|activity| activity.native_id.clone()).collect::<Vec<_>>()
        };
        let [commit, deployment] = ["commit", "deployment"].map(|kind| of(&calm, kind)[4].clone());
        let ids = [&commit, &deployment].map(|id| id.split_once(':').unwrap().1.to_owned());
        assert_eq!((commits.len(), deployments.len(), of(&calm, "deployment").len()), (9, 9, 9));
        rig.cursors.remove("activity");
        rig.github.set_ailing(ids.iter().map(|id| ailing(id.clone(), part, sign)).collect());
        let begin = std::time::Instant::now();
        let torn = rig.sync().await;
        assert!(begin.elapsed().as_secs() < 10, "{named}: {:?}", begin.elapsed());
        assert_eq!((of(&torn, "commit").len(), of(&torn, "deployment").len()), (8, 8), "{named}: {:?}", torn.warnings);
        assert!(!of(&torn, "commit").contains(&commit) && !of(&torn, "deployment").contains(&deployment), "{named}");
        match part {
            Part::Row => assert_eq!(torn.warnings.len(), 2, "{named}: {:?}", torn.warnings),
            _ => assert_eq!(torn.unreadable.keys().collect::<BTreeSet<_>>(), ids.iter().collect(), "{named}"),
        }
        // What is new is read all the same.
        rig.edit(NOW, |edit| _ = edit.commit(shop, "SHOP-10: go"));
        assert!(of(&rig.sync().await, "commit").iter().any(|id| !of(&calm, "commit").contains(id)), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_torn_only_where_its_status_may_be_what_is_missing() {
    let spoil = |which: fn(&serde_json::Value) -> bool| {
        Fault::rewrite(move |body: &str| {
            let mut answer: serde_json::Value = serde_json::from_str(body).unwrap();
            spoil_fields(&mut answer, which);
            answer.to_string()
        })
    };
    let mut calm = Rig::shop(World::history(NOW, 12, 6, 0, 0, 3)).await;
    let calm = calm.sync().await;
    // A field that means nothing to us.
    let mut rig = Rig::shop(World::history(NOW, 12, 6, 0, 0, 3)).await;
    rig.github.faults().on("POST */graphql", When::Always, spoil(|field| field["name"] == "Title"));
    let torn = rig.sync().await;
    assert_eq!(torn.tasks, calm.tasks);
    assert!(torn.warnings.iter().any(|text| text.starts_with("not all fields of project")), "{:?}", torn.warnings);
    // The status.
    let mut rig = Rig::shop(World::history(NOW, 12, 6, 0, 0, 3)).await;
    rig.github.faults().on("POST */graphql", When::Always, spoil(|field| field["name"] == "Status"));
    let error = rig.run(&["items"]).await.err().unwrap();
    assert!(
        error.full().contains("cannot be read now") && !error.full().contains("correct `projects`"),
        "{}",
        error.full()
    );
    rig.github.faults().clear();
    assert_eq!(rig.sync().await.tasks, calm.tasks);
}

/// Makes fields of projects null.
fn spoil_fields(json: &mut serde_json::Value, which: fn(&serde_json::Value) -> bool) {
    match json {
        serde_json::Value::Array(rows) => rows.iter_mut().for_each(|row| spoil_fields(row, which)),
        serde_json::Value::Object(fields) => {
            if let Some(nodes) = fields.get_mut("fields").and_then(|list| list.get_mut("nodes")?.as_array_mut()) {
                nodes.iter_mut().filter(|field| which(field)).for_each(|field| *field = serde_json::Value::Null);
            }
            fields.values_mut().for_each(|value| spoil_fields(value, which));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_issue_of_a_repository_and_a_bad_pull_request_cost_themselves() {
    for sign in [Sign::Gateway, Sign::GaveUp, Sign::EmptyRow] {
        let mut world = small();
        let shop = world.find_project("SHOP").unwrap();
        let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
        let issues: Vec<IssueId> = (1..=9)
            .map(|n| world.edit(NOW - 9 * HOUR).add_issue(Draft::new(tools, TypeId::TASK, n.to_string())))
            .collect();
        let pulls: Vec<_> = (1..=9)
            .map(|n| world.edit(NOW - 8 * HOUR + n).open_pull(PullDraft::new(shop, format!("b-{n}"), format!("P{n}"))))
            .collect();
        let set = |config: &mut SourceConfig| set_repositories(config, &["acme/shop".into(), "acme/tools".into()]);
        let mut rig = Rig::start(world, dot_com(), set).await;
        let bad = rig.id(issues[4]);
        let pull = Github::pull_id(pulls[4]);
        rig.github
            .set_ailing(vec![ailing(bad.clone(), Part::Timeline, sign), ailing(pull.clone(), Part::Timeline, sign)]);
        let first = rig.sync().await;
        assert_eq!((first.tasks.len(), first.activities.len()), (8, 8), "{sign:?}: {:?}", first.warnings);
        let wanted: BTreeSet<&String> = [&bad, &pull].into();
        assert_eq!(first.unreadable.keys().collect::<BTreeSet<_>>(), wanted, "{sign:?}");
        assert_eq!(rig.read_again(&[&bad, &pull]).await.unreadable.len(), 2, "{sign:?}");
        rig.github.set_ailing(vec![]);
        let healed = rig.read_again(&[&bad, &pull]).await;
        assert_eq!((healed.tasks.len(), healed.activities.len(), healed.unreadable.len()), (1, 1, 0), "{sign:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_no_more_is_not_mentioned_when_it_is_read_again() {
    let mut world = small();
    let (kept, gone) = (add(&mut world, "Kept", NOW - HOUR), add(&mut world, "Gone", NOW - HOUR));
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    rig.sync().await;
    let ids = [kept, gone].map(|id| rig.id(id));
    rig.edit(NOW, |edit| edit.delete(gone));
    let again = rig.read_again(&[&ids[0], &ids[1], "I_kwDO0000z0000FFFF", "F1:nothing"]).await;
    assert_eq!((again.tasks.keys().collect::<Vec<_>>(), again.unreadable.len()), (vec![&ids[0]], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_no_bad_node() {
    let mut world = small();
    add(&mut world, "One", NOW - HOUR);
    let mut rig = Rig::shop(world).await;
    // The requests of the opening and of the listing go through, then nothing does.
    rig.github.faults().on(
        "POST */graphql",
        When::From(4),
        Fault::Status { code: 404, headers: vec![], body: String::new() },
    );
    let error = rig.run(&["items"]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    rig.github.faults().clear();
    rig.github.faults().on("POST */graphql", When::Range(3..=5), trouble::too_slow());
    let outcome = rig.sync().await;
    assert_eq!((outcome.tasks.len(), outcome.unreadable.len()), (1, 0), "{:?}", outcome.unreadable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_refused_is_read_once_permission_returns() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let commit = world.edit(NOW - 9 * HOUR).commit(shop, "SHOP-1: go");
    let deployment = world.edit(NOW - 8 * HOUR).deploy(commit, "production");
    world.edit(NOW - 7 * HOUR).deployed(deployment, true);
    let without = Token::fine_grained(Github::TOKEN).without("deployments");
    let options = Options { tokens: vec![without], ..dot_com() };
    let mut rig = Rig::start(world, options, |config| set_repositories(config, &["acme/shop".into()])).await;
    let first = rig.sync().await;
    let deployed = |outcome: &Outcome| outcome.activities.iter().any(|activity| activity.artifact.kind == "deployment");
    assert!(!deployed(&first) && first.warnings.iter().any(|warning| warning.contains("deployments")));
    let second = rig.sync().await;
    assert!(!deployed(&second) && second.warnings.is_empty(), "said once: {:?}", second.warnings);
    rig.github.set_tokens(vec![Token::fine_grained(Github::TOKEN)]);
    assert!(deployed(&rig.sync().await), "though nothing happened in the repository since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_does_not_come_is_not_an_empty_one() {
    let null = |list: &'static str| {
        Fault::rewrite(move |body: &str| {
            let (items, null) = (format!("\"{list}\":["), format!("\"{list}\":null,\"odd\":["));
            body.replace(&items, &null)
        })
    };
    let world = || World::history(NOW, 12, 6, 0, 0, 3);
    let calm = Rig::shop(world()).await.sync().await;
    // Iterations: a warning, and what was known stays.
    let mut rig = Rig::shop(world()).await;
    let first = rig.sync().await;
    rig.github.faults().on("POST */graphql", When::Always, null("completedIterations"));
    let torn = rig.sync().await;
    assert!(torn.warnings.iter().any(|text| text.contains("iterations of")), "{:?}", torn.warnings);
    assert_eq!((torn.open_sprints, torn.tasks.len()), (first.open_sprints, 0));
    // A list of tasks: nothing is gone, and all of it is read later.
    let mut rig = Rig::shop(world()).await;
    rig.github.faults().on("POST */graphql", When::Range(2..=40), null("nodes"));
    let torn = rig.run(&["items", "ids"]).await;
    assert!(torn.as_ref().is_err() || torn.is_ok_and(|torn| torn.tasks.is_empty() && torn.nameless));
    rig.github.faults().clear();
    assert_eq!(rig.sync().await.tasks, calm.tasks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_behind_a_row_that_cannot_be_passed_is_read_from_the_other_end() {
    for bad in [&[20][..], &[0], &[29], &[12, 17]] {
        let mut world = small();
        let ids: Vec<IssueId> = (1..=30).map(|n| add(&mut world, &n.to_string(), NOW - 9 * HOUR)).collect();
        let mut rig = Rig::shop(world).await;
        let stuck = |n: &usize| ailing(Github::item_id(SHOP, Content::Issue(ids[*n])), Part::Place, Sign::GaveUp);
        rig.github.set_ailing(bad.iter().map(stuck).collect());
        let first = rig.sync().await;
        let (from, to) = (bad[0], bad[bad.len() - 1]);
        let reached: BTreeSet<String> =
            ids.iter().enumerate().filter(|(n, _)| *n < from || *n > to).map(|(_, id)| rig.id(*id)).collect();
        assert_eq!(first.tasks.keys().cloned().collect::<BTreeSet<_>>(), reached, "{bad:?}");
        let unlisted: Vec<_> = first.unreadable.iter().collect();
        let rows = format!("cannot list {} rows", to - from + 1);
        assert!(
            matches!(&unlisted[..], [(id, why)] if id.ends_with(":unlisted") && why.contains(&rows)),
            "{unlisted:?}"
        );
        let pass = rig.run(&["ids"]).await.unwrap();
        assert!(pass.nameless && pass.unreadable.len() == 1, "{bad:?}: {:?}", pass.unreadable);
        assert_eq!(pass.seen.iter().filter(|id| !id.ends_with(":unlisted")).cloned().collect::<BTreeSet<_>>(), reached);
        // The next sweeps give nothing anew, and say it again.
        let again = rig.sync().await;
        assert_eq!((again.tasks.len(), again.unreadable.len()), (0, 1), "{bad:?}");
        let unlisted: Vec<&str> = unlisted.iter().map(|(id, _)| id.as_str()).collect();
        assert!(rig.read_again(&unlisted).await.unreadable.is_empty(), "no node has this id: the next sweep decides");
        rig.github.set_ailing(vec![]);
        let healed = rig.sync().await;
        assert_eq!((healed.tasks.len(), healed.unreadable.len()), (to - from + 1, 0), "{bad:?}");
        let whole = rig.run(&["ids"]).await.unwrap();
        assert_eq!((whole.seen.len(), whole.nameless, whole.unreadable.len()), (30, false, 0), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_of_a_repository_behind_one_that_cannot_be_passed_are_read_from_the_other_end() {
    let mut world = small();
    let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
    let ids: Vec<IssueId> = (1..=30)
        .map(|n| world.edit(NOW - 9 * HOUR + n * 60_000).add_issue(Draft::new(tools, TypeId::TASK, n.to_string())))
        .collect();
    let set = |config: &mut SourceConfig| set_repositories(config, &["acme/tools".into()]);
    let mut rig = Rig::start(world, dot_com(), set).await;
    rig.github.set_ailing(vec![ailing(rig.id(ids[11]), Part::Place, Sign::GaveUp)]);
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.tasks.contains_key(&rig.id(ids[11]))), (29, false), "{:?}", first.warnings);
    assert!(first.unreadable.keys().all(|id| id.ends_with(":unlisted")) && first.unreadable.len() == 1);
    let pass = rig.run(&["ids"]).await.unwrap();
    assert!(pass.nameless && pass.seen.len() == 30, "{:?}", pass.seen);
    rig.github.set_ailing(vec![]);
    let healed = rig.sync().await;
    assert!(healed.tasks.contains_key(&rig.id(ids[11])) && healed.unreadable.is_empty(), "{:?}", healed.unreadable);
}

/// Of nine pull requests and deployments one cannot be passed. `times` says when each was made.
async fn behind_a_row_that_cannot_be_passed(times: fn(i64) -> i64, expected: usize) {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    for n in 1..=9 {
        let pull = PullDraft::new(shop, format!("b-{n}"), format!("P{n}"));
        world.edit(times(n)).open_pull(pull);
        let commit = world.edit(times(n)).commit(shop, format!("SHOP-{n}: go"));
        let deployment = world.edit(times(n)).deploy(commit, "production");
        world.edit(times(n) + 1_000).deployed(deployment, true);
    }
    let set = |config: &mut SourceConfig| set_repositories(config, &["acme/shop".into()]);
    let mut rig = Rig::start(world, dot_com(), set).await;
    let of = |outcome: &Outcome, kind: &str| {
        let recent = outcome.activities.iter().filter(|activity| activity.at.0 > NOW - 400 * 24 * HOUR);
        let all = recent.filter(|activity| activity.artifact.kind == kind);
        all.map(|activity| activity.native_id.clone()).collect::<BTreeSet<_>>()
    };
    let kinds = ["pull_request", "deployment"];
    let calm = rig.sync().await;
    assert_eq!(kinds.map(|kind| of(&calm, kind).len()), [expected, expected]);
    rig.cursors.remove("activity");
    let [pull, deployment] = kinds.map(|kind| of(&calm, kind).into_iter().nth(expected / 2).unwrap());
    let stuck = |id: &String| ailing(id.split_once(':').unwrap().1.to_owned(), Part::Place, Sign::GaveUp);
    rig.github.set_ailing([&pull, &deployment].map(stuck).into());
    let torn = rig.sync().await;
    for (kind, bad) in kinds.iter().zip([&pull, &deployment]) {
        let mut all = of(&calm, kind);
        all.remove(bad);
        assert_eq!(of(&torn, kind), all, "{:?}", torn.warnings);
    }
    assert_eq!(torn.warnings.len(), 2, "{:?}", torn.warnings);
    assert!(torn.warnings.iter().all(|text| text.contains("neither them nor what is before or after")));
    // It is tried again on every run, and the other end is not read again.
    rig.github.take_requests();
    let again = rig.sync().await;
    assert_eq!((again.activities.len(), again.warnings.len()), (0, 2), "{:?}", again.warnings);
    let mut bodies = rig.github.take_requests().into_iter().map(|request| request.body);
    let from_other_end = |body: &String| !body.contains("ItemSweep") && body.contains("\"direction\":\"ASC\"");
    assert_eq!(bodies.find(from_other_end), None);
    // What is new is read all the same.
    rig.edit(NOW, |edit| _ = edit.open_pull(PullDraft::new(shop, "b-new", "new")));
    assert!(of(&rig.sync().await, "pull_request").iter().any(|id| !of(&calm, "pull_request").contains(id)));
    rig.github.set_ailing(vec![]);
    let healed = rig.sync().await;
    assert!(of(&healed, "pull_request").contains(&pull) && of(&healed, "deployment").contains(&deployment));
    assert!(healed.warnings.is_empty(), "{:?}", healed.warnings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_did_behind_a_row_that_cannot_be_passed_is_read_from_the_other_end() {
    behind_a_row_that_cannot_be_passed(|n| NOW - 9 * HOUR + n * 60_000, 9).await;
    // Three of them are too old, and passed.
    behind_a_row_that_cannot_be_passed(|n| NOW - 9 * HOUR - if n <= 3 { 500 * 24 * HOUR } else { 0 } + n * 60_000, 6)
        .await;
}
