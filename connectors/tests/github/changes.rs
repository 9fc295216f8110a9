//! What people do to items, drafts, iterations and repositories between two polls.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_away_hidden_or_deleted_is_missing_from_a_complete_pass() {
    let mut world = small();
    let [open, done, gone, hidden, kept] =
        ["Open", "Done", "Gone", "Hidden", "Kept"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
    world.edit(NOW - 8 * HOUR).transition(done, StatusId::DONE);
    let mut rig = Rig::shop(world).await;
    assert_eq!(rig.sync().await.tasks.len(), 5);
    let id = |issue| Github::issue_id(&rig.github.world(), issue);
    let ids = [open, done, gone, hidden, kept].map(id);
    assert_eq!(rig.ids().await, ids.iter().cloned().collect());
    rig.edit(NOW - HOUR, |edit| {
        edit.archive_card(SHOP, Content::Issue(open), true);
        edit.archive_card(SHOP, Content::Issue(done), true);
        edit.delete(gone);
        edit.hide(hidden, true);
    });
    let after = rig.sync().await;
    assert!(after.failures.is_empty(), "{:?}", after.failures);
    assert_eq!(after.gone, [ids[0].clone()].into(), "put away while open");
    assert!(!after.tasks.contains_key(&ids[3]), "{:?}", keys(&after));
    let seen = rig.ids().await;
    assert!(!seen.contains(&ids[0]) && !seen.contains(&ids[2]) && !seen.contains(&ids[3]));
    assert!(
        seen.contains(&ids[1]) && seen.contains(&ids[4]),
        "what was finished is only tidied away: {seen:?} of {ids:?}"
    );
    rig.edit(NOW, |edit| edit.archive_card(SHOP, Content::Issue(open), false));
    assert_eq!(keys(&rig.sync().await), ["acme/shop#1"], "and is back when it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_become_issues_and_pull_requests_are_tasks_when_they_close_none() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let issue = add(&mut world, "One", NOW - 9 * HOUR);
    let note = world.edit(NOW - 9 * HOUR).note(SHOP, "Ideas");
    let mut edit = world.edit(NOW - 8 * HOUR);
    let closing = edit.open_pull(PullDraft { closes: vec![issue], ..PullDraft::new(shop, "one", "One") });
    let free = edit.open_pull(PullDraft::new(shop, "tidy", "Tidy"));
    edit.place_card(SHOP, Content::Pull(closing), true);
    edit.place_card(SHOP, Content::Pull(free), true);
    let mut rig = Rig::shop(world).await;
    let first = rig.sync().await;
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    let kinds: BTreeSet<_> = first.tasks.values().map(|task| task.present.native_type.as_str()).collect();
    assert_eq!(kinds, ["Draft issue", "Pull request", "Story"].into());
    assert!(
        first.activities.iter().any(|activity| activity.tasks == [rig.id(issue)]),
        "the linked pull request is given"
    );
    let draft = |task: &&TaskObservation| task.present.native_type == "Draft issue";
    let draft = first.tasks.values().find(draft).unwrap().native_id.clone();
    let mut became = None;
    rig.edit(NOW - HOUR, |edit| became = Some(edit.convert_note(note, shop, TypeId::TASK)));
    let next = rig.sync().await;
    assert_eq!(next.gone, [draft].into(), "the draft is no more, and need not be missed first");
    assert!(rig.sync().await.gone.is_empty(), "that is said once");
    let task = &next.tasks[&rig.id(became.unwrap())];
    leads_to_present(task);
    assert_eq!((task.present.title.as_str(), task.history[0].at.0), ("Ideas", NOW - 9 * HOUR), "it began as a draft");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_give_issues_outside_projects_and_what_people_did() {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    let tools = world.add_project("TOOLS", "Tools", StatusId::TO_DO);
    world.add_board("Shop", BoardKind::Scrum, shop);
    let inside = world.edit(NOW - 9 * HOUR).add_issue(Draft::new(shop, TypeId::STORY, "Inside"));
    let outside = world.edit(NOW - 9 * HOUR).add_issue(Draft::new(tools, TypeId::BUG, "Outside"));
    let mut edit = world.edit(NOW - 8 * HOUR);
    let pull = edit.open_pull(PullDraft { closes: vec![inside], ..PullDraft::new(shop, "PROJ-7-card", "Card") });
    let commit = edit.push(pull, "PROJ-7: card");
    edit.check(commit, "test", false);
    edit.request_review(pull, UserId(2));
    let mut rig = Rig::start(world, dot_com(), |config| {
        set_repositories(config, &["acme/shop".into(), "acme/tools".into()]);
    })
    .await;
    let first = rig.sync().await;
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    let projects: BTreeMap<_, _> =
        first.tasks.values().map(|task| (task.present.title.as_str(), task.present.project.as_str())).collect();
    assert_eq!(projects, [("Inside", "acme/1"), ("Outside", "acme/tools")].into());
    let kinds: BTreeSet<_> = first.activities.iter().map(|activity| activity.artifact.kind.as_str()).collect();
    assert_eq!(kinds, ["ci_failed", "commit", "pull_request", "review_requested"].into());
    assert!(first.activities.iter().all(|activity| activity.tasks == [rig.id(inside)]));
    let quiet = rig.sync().await;
    // The checks had failed, and may be run again.
    assert!(quiet.tasks.is_empty() && quiet.requests <= 5, "{} requests", quiet.requests);
    rig.edit(NOW - HOUR, |edit| edit.check(commit, "test", true));
    let mended = rig.sync().await;
    assert!(mended.activities.iter().any(|activity| activity.artifact.kind == "ci_passed"));
    rig.edit(NOW - HOUR / 2, |edit| edit.rename(outside, "Out there"));
    rig.edit(NOW - HOUR / 2, |edit| edit.merge(pull));
    let next = rig.sync().await;
    assert!(next.tasks.contains_key(&rig.id(outside)));
    assert!(next.activities.iter().any(|activity| activity.artifact.kind == "merged"));
    // What leaves the project moves back, however much else changed since and though it may not look changed itself.
    let board = BoardId(1);
    rig.edit(NOW - HOUR / 4, |edit| edit.place_card(board, Content::Issue(inside), false));
    assert!(!rig.sync().await.tasks.contains_key(&rig.id(inside)), "one absence says nothing");
    rig.edit(NOW, |edit| edit.rename(outside, "Far out"));
    let home = rig.sync().await;
    assert_eq!(home.tasks[&rig.id(inside)].present.project, "acme/shop");
    let seen = rig.ids().await;
    assert!([inside, outside].iter().all(|issue| seen.contains(&rig.id(*issue))));
    assert!(rig.session().lost().is_empty());
    rig.github.world().projects[usize::from(tools.0)].visibility = contextcore_fakes::world::Visibility::Hidden;
    assert!(rig.sync().await.tasks.is_empty());
    assert_eq!(rig.session().lost(), ["acme/tools"], "a hidden repository is reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_away_in_a_project_comes_home_once() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/1");
    let quiet = rig.sync().await.requests;
    rig.edit(NOW - 3 * HOUR, |edit| edit.archive_card(SHOP, Content::Issue(id), true));
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/shop");
    let after = rig.sync().await;
    assert_eq!((after.tasks.len(), after.requests), (0, quiet), "and is not asked for again");
    rig.edit(NOW - HOUR, |edit| edit.archive_card(SHOP, Content::Issue(id), false));
    assert_eq!(rig.sync().await.tasks[&rig.id(id)].present.project, "acme/1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_in_two_projects_is_one_task_of_the_first() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let other = world.add_board("All", BoardKind::Kanban, shop);
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let number = |board: BoardId| format!("acme/{}", board.0);
    let mut rig = Rig::start(world, dot_com(), |config| config.projects = vec![number(other), number(SHOP)]).await;
    let run = rig.sync().await;
    assert_eq!((run.tasks.len(), run.records.len()), (1, 1));
    assert_eq!(run.tasks[&rig.id(id)].present.project, number(other));
    assert_eq!(rig.sync().await.records.len(), 0);
    rig.edit(NOW - HOUR, |edit| edit.place_card(other, Content::Issue(id), false));
    // One absence says nothing; after the second it is the other project's.
    assert_eq!(rig.sync().await.records.len(), 0);
    let moved = rig.sync().await;
    assert_eq!(moved.tasks.values().map(|task| task.present.project.clone()).collect::<Vec<_>>(), [number(SHOP)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iterations_are_given_when_they_change_and_old_names_of_a_status_are_understood() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 20 * DAY);
    world.edit(NOW - 19 * DAY).transition(id, StatusId::IN_PROGRESS);
    let sprint = world.add_sprint(SHOP, "First", "", NOW - 20 * DAY);
    world.edit(NOW - 18 * DAY).start_sprint(sprint, NOW + DAY);
    world.edit(NOW - 18 * DAY).set_sprint(id, Some(sprint));
    let mut rig = Rig::shop(world).await;
    let first = rig.sync().await;
    let (native, facts) = first.sprints.iter().next().unwrap();
    assert_eq!((facts.name.as_str(), facts.state, facts.exact), ("First", SprintState::Active, false));
    assert_eq!(first.tasks[&rig.id(id)].present.sprints, std::slice::from_ref(native));
    assert!(rig.sync().await.sprints.is_empty(), "nothing new");
    rig.now = NOW + 2 * DAY;
    let later = rig.sync().await;
    assert_eq!(later.sprints[native].state, SprintState::Closed);
    rig.edit(NOW + DAY, |edit| edit.rename_status(StatusId::IN_PROGRESS, "Doing"));
    rig.edit(NOW + DAY, |edit| edit.rename(id, "Renamed"));
    let task = rig.sync().await.tasks.remove(&rig.id(id)).unwrap();
    leads_to_present(&task);
    let entered: Vec<_> = task
        .history
        .iter()
        .filter_map(|entry| match &entry.change {
            Change::Status { status, native } => Some((*status, native.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(entered.last(), Some(&(Status::InProgress, "Doing")), "the old name stands for the option: {entered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_counts_the_tasks_that_there_are() {
    let hub = || GithubDemo::new(NOW, 6, 7).build();
    let repositories = || vec!["acme/web".to_owned(), "acme/api".to_owned()];
    for (projects, repositories) in
        [(vec!["acme/1".to_owned()], vec![]), (vec!["acme/1".to_owned()], repositories()), (vec![], repositories())]
    {
        let named = format!("{projects:?} {repositories:?}");
        let mut rig = Rig::start(hub(), dot_com(), |config| {
            config.projects = projects;
            set_repositories(config, &repositories);
        })
        .await;
        for restarted in [false, true] {
            let mut run = rig.sync().await;
            let held = rig.ids().await;
            assert!(run.failures.is_empty() && !held.is_empty(), "{named}: {:?}", run.failures);
            run.tasks.retain(|id, _| !held.contains(id));
            assert!(run.tasks.is_empty(), "{named}: what is held is listed");
            assert_eq!(run.total, Some(held.len() as u64), "{named}, restarted: {restarted}");
            rig.restart(CommentPrivacy::default());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_github_counts_and_is_no_task_is_not_counted_and_what_is_missing_is() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let other = world.add_board("All", BoardKind::Kanban, shop);
    let [one, two, hidden] = ["One", "Two", "Hidden"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
    let mut edit = world.edit(NOW - 8 * HOUR);
    let tidy = edit.open_pull(PullDraft::new(shop, "tidy", "Tidy"));
    edit.place_card(SHOP, Content::Pull(tidy), true);
    let mut rig = Rig::start(world, dot_com(), |config| {
        config.projects = [SHOP, other].map(|board| format!("acme/{}", board.0)).into()
    })
    .await;
    let first = rig.sync().await;
    assert_eq!((first.tasks.len(), first.total), (4, Some(4)), "what is in both projects is one task");
    let pull = first.tasks.values().find(|task| task.present.native_type == "Pull request").unwrap().native_id.clone();

    rig.edit(NOW - HOUR, |edit| {
        edit.archive_card(SHOP, Content::Issue(one), true);
        edit.archive_card(other, Content::Issue(one), true);
        edit.close_with(tidy, two);
    });
    let put_away = rig.sync().await;
    assert_eq!(put_away.total, Some(2), "neither what was put away while open nor an issue's own pull request");
    assert_eq!(put_away.gone, [pull, rig.id(one)].into(), "the pull request was a task until it closed one");
    assert_eq!(rig.ids().await, [rig.id(two), rig.id(hidden)].into());

    rig.edit(NOW, |edit| edit.hide(hidden, true));
    assert_eq!(rig.sync().await.total, Some(2), "that one of them cannot be read does not take it away");
    assert!(!rig.ids().await.contains(&rig.id(hidden)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_while_open_is_the_same_after_one_run_as_after_many() {
    let world = || {
        let mut world = small();
        let [open, done] = ["Open", "Done"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
        world.edit(NOW - 8 * HOUR).transition(done, StatusId::DONE);
        (world, open, done)
    };
    let archive = |world: &mut World, open, done| {
        let mut edit = world.edit(NOW - HOUR);
        edit.archive_card(SHOP, Content::Issue(open), true);
        edit.archive_card(SHOP, Content::Issue(done), true);
    };
    let (mut late, open, done) = world();
    archive(&mut late, open, done);
    let mut once = Rig::shop(late).await;
    let first = once.sync().await;
    let (mut early, ..) = world();
    let mut often = Rig::shop(early.clone()).await;
    assert!(often.sync().await.gone.is_empty());
    archive(&mut often.github.world(), open, done);
    archive(&mut early, open, done);
    let last = often.sync().await;
    let id = once.id(open);
    assert_eq!((&first.gone, &last.gone), (&[id.clone()].into(), &[id.clone()].into()));
    assert_eq!(first.tasks[&id], last.tasks[&id]);
    assert!(first.tasks.contains_key(&once.id(done)), "what is finished is only put away");
    often.edit(NOW, |edit| edit.rename(open, "Later"));
    let after = often.sync().await;
    assert!(after.gone.is_empty() && !after.tasks.contains_key(&id), "it is gone once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iterations_made_anew_go_on_and_those_that_are_deleted_end() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 20 * DAY);
    let [first, second] = ["First", "Second"].map(|name| world.add_sprint(SHOP, name, "", NOW - 20 * DAY));
    world.edit(NOW - 8 * DAY).start_sprint(first, NOW + 6 * DAY);
    world.edit(NOW - 8 * DAY).set_sprint(id, Some(first));
    let _ = second;
    let mut rig = Rig::shop(world).await;
    let before = rig.sync().await;
    assert_eq!(before.sprints.len(), 2);
    rig.github.remake_iterations();
    rig.edit(NOW, |edit| edit.rename(id, "Renamed"));
    let after = rig.sync().await;
    assert!(after.sprints.keys().all(|id| before.sprints.contains_key(id)), "{:?}", after.sprints);
    assert_eq!(after.tasks[&rig.id(id)].present.sprints, before.tasks[&rig.id(id)].present.sprints);
    assert_eq!(after.open_sprints.as_ref().map(BTreeSet::len), Some(2));
    rig.github.world().sprints.pop();
    let last = rig.sync().await;
    let open = last.open_sprints.unwrap();
    assert_eq!(open.len(), 1);
    assert!(open.iter().all(|id| before.sprints[id].name == "First"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_github_does_not_report_again_outlives_a_change_of_settings() {
    let mut world = small();
    let id = add(&mut world, "One", NOW - 20 * DAY);
    let sprint = world.add_sprint(SHOP, "First", "", NOW - 20 * DAY);
    world.edit(NOW - 8 * DAY).start_sprint(sprint, NOW + 6 * DAY);
    world.edit(NOW - 8 * DAY).set_sprint(id, Some(sprint));
    world.edit(NOW - 7 * DAY).transition(id, StatusId::IN_PROGRESS);
    let mut rig = Rig::shop(world).await;
    let before = rig.sync().await;
    rig.github.remake_iterations();
    rig.edit(NOW, |edit| edit.rename_status(StatusId::IN_PROGRESS, "Whatever"));
    let after = rig.sync().await;
    assert_eq!(after.sprints.keys().next(), before.sprints.keys().next());
    rig.reconfigure();
    let again = rig.sync().await;
    assert_eq!(again.sprints.keys().collect::<Vec<_>>(), before.sprints.keys().collect::<Vec<_>>());
    let task = &again.tasks[&rig.id(id)];
    let sprints = |task: &TaskObservation| task.present.sprints.clone();
    assert_eq!(sprints(task), sprints(&before.tasks[&rig.id(id)]));
    let entered = task
        .history
        .iter()
        .filter(|entry| matches!(&entry.change, Change::Status { native, .. } if native == "Whatever"));
    assert_eq!(entered.count(), 1, "{:?}", task.history);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_that_were_given_are_activities() {
    let mut world = small();
    let shop = world.find_project("SHOP").unwrap();
    let id = add(&mut world, "One", NOW - 9 * HOUR);
    let pull =
        world.edit(NOW - 8 * HOUR).open_pull(PullDraft { closes: vec![id], ..PullDraft::new(shop, "b", "Pull") });
    let verdicts = [Verdict::Commented, Verdict::ChangesRequested, Verdict::Approved];
    for (n, verdict) in verdicts.into_iter().enumerate() {
        world.edit(NOW - 7 * HOUR + n as i64 * HOUR).by(UserId(2)).review(pull, verdict);
    }
    let mut rig = Rig::start(world, dot_com(), |config| set_repositories(config, &["acme/shop".into()])).await;
    let outcome = rig.sync().await;
    let given: Vec<_> = outcome
        .activities
        .iter()
        .filter(|activity| activity.artifact.kind == "review")
        .map(|activity| (activity.at.0, activity.artifact.summary.as_str()))
        .collect();
    assert_eq!(
        given,
        [(NOW - 7 * HOUR, "commented"), (NOW - 6 * HOUR, "changes requested"), (NOW - 5 * HOUR, "approved")]
    );
    assert!(outcome.activities.iter().all(|activity| activity.tasks == [rig.id(id)]));
}

/// A board that shows two repositories, and on it an issue with a sub-issue, blocked by another.
fn family() -> (World, [IssueId; 3]) {
    let mut world = small();
    let depot = world.add_project("DEPOT", "Depot", StatusId::TO_DO);
    world.boards[0].also_shows.push(depot);
    let all = ["Blocker", "Moves", "Child"].map(|title| add(&mut world, title, NOW - 9 * HOUR));
    let [blocker, moves, child] = all;
    let mut edit = world.edit(NOW - 8 * HOUR);
    edit.set_parent(child, Some(moves));
    edit.link(blocker, moves);
    edit.transition(moves, StatusId::IN_PROGRESS);
    (world, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_that_is_transferred_stays_the_task_that_it_was() {
    let (world, [blocker, moves, child]) = family();
    let mut rig = Rig::shop(world).await;
    let first = rig.sync().await;
    let [old, of_child, of_blocker] = [moves, child, blocker].map(|issue| rig.id(issue));
    let depot = rig.github.world().find_project("DEPOT").unwrap();
    rig.edit(NOW - HOUR, |edit| {
        edit.move_project(moves, depot);
        edit.link(moves, blocker);
    });
    let new = rig.id(moves);
    assert_ne!(old, new, "GitHub gives it another id");

    let after = rig.sync().await;
    assert!(after.failures.is_empty() && after.gone.is_empty(), "{:?} {:?}", after.failures, after.gone);
    assert!(!after.tasks.contains_key(&new), "{:?}", after.tasks.keys());
    let task = &after.tasks[&old];
    leads_to_present(task);
    assert_eq!(task.present.key, "acme/depot#1");
    let before = &first.tasks[&old].history;
    assert!(before.iter().all(|event| task.history.iter().any(|other| other.id == event.id)), "its past is the same");
    assert!(task.history.iter().any(|event| event.at.0 == NOW - HOUR && matches!(event.change, Change::Moved { .. })));
    // What refers to it refers to the same task.
    let parent = |task: &TaskObservation| task.present.parent.as_ref().map(|parent| parent.native_id.to_string());
    assert_eq!(parent(&after.tasks[&of_child]).as_ref(), Some(&old));
    let blockers = after.tasks[&of_blocker].blockers.iter().filter_map(|blocker| blocker.native_id.clone());
    assert_eq!(blockers.collect::<Vec<_>>(), std::slice::from_ref(&old));
    let listed: BTreeSet<_> = [&old, &of_child, &of_blocker].map(Clone::clone).into();
    assert_eq!(rig.ids().await, listed, "and it is not missing from a complete pass");
    assert_eq!(rig.read_again(&[&old]).await.tasks.keys().collect::<Vec<_>>(), [&old]);
    assert!(rig.sync().await.tasks.is_empty(), "nothing changes any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_in_no_project_that_is_transferred_becomes_another_task() {
    let (world, [_, moves, _]) = family();
    let mut rig = Rig::start(world, dot_com(), |config| {
        config.projects.clear();
        set_repositories(config, &["acme/shop".into(), "acme/depot".into()]);
    })
    .await;
    let first = rig.sync().await;
    let old = rig.id(moves);
    let depot = rig.github.world().find_project("DEPOT").unwrap();
    rig.edit(NOW - HOUR, |edit| edit.move_project(moves, depot));
    let (new, after) = (rig.id(moves), rig.sync().await);
    let task = &after.tasks[&new];
    assert_eq!((task.present.key.as_str(), after.tasks.contains_key(&old)), ("acme/depot#1", false));
    assert_eq!(task.history[0].at, first.tasks[&old].history[0].at, "its history comes with it");
    // The old one is not listed any more, nor found by its id: two complete passes delete it.
    let ids = rig.ids().await;
    assert!(ids.contains(&new) && !ids.contains(&old), "{ids:?}");
    assert!(rig.read_again(&[&old]).await.tasks.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learnt_of_transfers_outlives_a_change_of_settings() {
    let (world, [_, moves, child]) = family();
    let mut rig = Rig::shop(world).await;
    rig.sync().await;
    let (old, of_child) = (rig.id(moves), rig.id(child));
    for (hours, name) in [(3, "DEPOT"), (2, "SHOP"), (1, "DEPOT")] {
        let to = rig.github.world().find_project(name).unwrap();
        rig.edit(NOW - hours * HOUR, |edit| edit.move_project(moves, to));
        assert!(rig.sync().await.tasks.contains_key(&old), "{name}");
    }
    rig.reconfigure();
    let all = rig.sync().await;
    assert!(all.tasks.contains_key(&old) && !all.tasks.contains_key(&rig.id(moves)), "{:?}", all.tasks.keys());
    assert_eq!(all.tasks[&of_child].present.parent.as_ref().map(|parent| &*parent.native_id), Some(&*old));
}
