//! The Jira connector where something of a site cannot be served: one issue, one history, one side list. That costs itself, and
//! everything else is read.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use contextcore_core::model::time::MINUTE;
use contextcore_core::model::{Change, Event};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::{Edition, Jira, JiraHandle, Options, Trouble};
use contextcore_fakes::world::{BoardKind, Draft, IssueId, SprintId, StatusId, TypeId, World};
use source::{NOW, Source, config, rig_of_source};

struct Rig {
    jira: JiraHandle,
    source: Source,
    _token: tempfile::TempDir,
}

rig_of_source!(Rig);

fn editions() -> [Options; 2] {
    [Options::cloud(), Options::data_center()].map(|options| Options { clock: Clock::fixed(NOW), ..options })
}

impl Rig {
    async fn start(world: World, options: Options) -> Self {
        let (token, edition) = (tempfile::tempdir().unwrap(), options.edition);
        let jira = Jira::start(world, options).await.unwrap();
        let mut config = config("jira", jira.url(), &token, Jira::TOKEN, &[]);
        if edition == Edition::Cloud {
            config.settings["auth"]["email"] = Jira::EMAIL.into();
        }
        Self { jira, source: Source::new(config), _token: token }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.jira.world().issues().map(|issue| issue.id.0.to_string()).collect()
    }

    fn nth(&self, n: usize) -> IssueId {
        self.jira.world().issues().nth(n).unwrap().id
    }
}

/// The ids without this one.
fn without(mut ids: BTreeSet<String>, one: IssueId) -> BTreeSet<String> {
    ids.remove(&one.0.to_string());
    ids
}

fn keys<V>(map: &std::collections::BTreeMap<String, V>) -> BTreeSet<String> {
    map.keys().cloned().collect()
}

#[tokio::test]
async fn a_page_that_holds_a_bad_issue_costs_that_issue() {
    for options in editions() {
        for trouble in [Trouble::Status(500), Trouble::Status(400), Trouble::Status(404), Trouble::Garbled] {
            let mut rig = Rig::start(World::history(NOW, 130, 2, 50, 2, 1), options.clone()).await;
            let bad = rig.nth(77);
            rig.jira.spoil(bad, "/search", trouble);
            let begun = Instant::now();
            let outcome = rig.run(NOW, &["issues", "ids"]).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
            assert_eq!(keys(&outcome.unreadable), [bad.0.to_string()].into(), "{trouble:?}");
            assert_eq!(keys(&outcome.tasks), without(rig.ids(), bad));
            assert_eq!((outcome.seen, outcome.failures.len()), (rig.ids(), 0));
            // Nothing is read twice, and the bad one is named once.
            let again = rig.run(NOW + 5 * MINUTE, &["issues"]).await.unwrap();
            assert_eq!((again.tasks.len(), again.unreadable.len()), (0, 0));
        }
    }
}

#[tokio::test]
async fn an_issue_in_broken_json_costs_itself_whatever_is_asked_of_it() {
    for options in editions() {
        let mut rig = Rig::start(World::history(NOW, 30, 2, 50, 2, 1), options).await;
        let bad = rig.nth(17);
        let id = format!("\"id\":\"{}\"", bad.0);
        let spoil = move |body: &str| body.replace(&id, &format!("\"odd\":NaN,{id}"));
        rig.jira.faults().on("*/search*", When::Always, Fault::rewrite(spoil));
        let outcome = rig.run(NOW, &["issues", "ids"]).await.unwrap();
        assert_eq!(keys(&outcome.unreadable), [bad.0.to_string()].into());
        assert_eq!(keys(&outcome.tasks), without(rig.ids(), bad));
        rig.jira.faults().clear();
        let served = rig.read_again(NOW + MINUTE, &[bad.0.to_string()]).await.unwrap();
        assert!(served.tasks.contains_key(&bad.0.to_string()) && served.unreadable.is_empty());
    }
}

#[tokio::test]
async fn an_issue_that_cannot_even_be_listed_costs_itself() {
    for options in editions() {
        for crowd in [false, true] {
            let mut world = World::history(NOW, 130, 2, 50, 2, 1);
            let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
            let bad = ids[77];
            for (n, id) in ids.iter().enumerate() {
                // Some change in one minute with it, before it and after it; or none does.
                let minute = if crowd && (70..85).contains(&n) { 70 } else { i64::try_from(n).unwrap() };
                let at = NOW - 86_400_000 + minute * MINUTE + i64::try_from(n).unwrap() * 100;
                world.edit(at).rename(*id, format!("Renamed {n}"));
            }
            let mut rig = Rig::start(world, options.clone()).await;
            rig.jira.spoil(bad, "/search", Trouble::Unlisted(if crowd { 400 } else { 500 }));
            let begun = Instant::now();
            let outcome = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
            assert_eq!(keys(&outcome.tasks), without(rig.ids(), bad), "{crowd}");
            let named = keys(&outcome.unreadable);
            assert!(
                named.len() == 1 && outcome.unreadable.values().all(|why| why.contains("not even its id")),
                "{named:?}"
            );
            // The complete pass lists it by that name, and takes nothing for deleted.
            let pass = rig.run(NOW, &["ids"]).await.unwrap();
            assert_eq!((pass.seen, pass.nameless), (&without(rig.ids(), bad) | &named, true));
            assert_eq!(keys(&pass.unreadable), named);
            // By that name it is asked for on every run, and read once it is served, although it did not change.
            let named: Vec<String> = named.into_iter().collect();
            let still = rig.read_again(NOW + MINUTE, &named).await.unwrap();
            assert_eq!((still.tasks.len(), still.unreadable.len()), (0, 1));
            rig.jira.heal();
            let served = rig.read_again(NOW + 2 * MINUTE, &named).await.unwrap();
            assert!(served.tasks.contains_key(&bad.0.to_string()) && served.unreadable.is_empty());
            let later = rig.run(NOW + 5 * MINUTE, &["issues", "ids"]).await.unwrap();
            assert_eq!((later.seen, later.nameless), (rig.ids(), false));
        }
    }
}

#[tokio::test]
async fn what_was_unreadable_is_read_by_its_id_as_it_would_have_been() {
    for options in editions() {
        let mut rig = Rig::start(World::demo(NOW, 3, 7), options.clone()).await;
        let whole = rig.run(NOW, &["issues"]).await.unwrap();
        let bad = rig.nth(5).0.to_string();
        let page = rig.session().read_again(&[bad.clone(), "999999".into(), "../x".into()]).await.unwrap();
        let ids: Vec<&str> = page.records.iter().map(|record| record.native_id.as_str()).collect();
        assert_eq!((ids, page.unreadable.len()), (vec![bad.as_str()], 0));
        let known = whole.records.iter().find(|record| record.native_id == bad).unwrap();
        let read = |record| rig.session().normalise(record).unwrap();
        assert_eq!(read(&page.records[0]).pop(), read(known).pop());
        // One that still fails stays unreadable, with what the tool said.
        rig.jira.spoil(IssueId(bad.parse().unwrap()), "/issue/", Trouble::Status(400));
        let page = rig.session().read_again(std::slice::from_ref(&bad)).await.unwrap();
        assert_eq!((page.records.len(), page.unreadable[0].native_id.as_str()), (0, bad.as_str()));
        assert!(page.unreadable[0].reason.contains("Something is wrong"), "{:?}", page.unreadable);
    }
}

#[tokio::test]
async fn a_bad_history_costs_its_issue_unless_it_can_be_had_alone() {
    let [cloud, _] = editions();
    for (trouble, alone) in [(Trouble::Status(400), true), (Trouble::Status(500), false), (Trouble::Garbled, false)] {
        let mut rig = Rig::start(World::history(NOW, 60, 4, 50, 4, 1), cloud.clone()).await;
        let bad = rig.nth(33);
        rig.jira.spoil(bad, "/bulkfetch", trouble);
        if !alone {
            rig.jira.spoil(bad, "/issue/", trouble);
        }
        let begun = Instant::now();
        let outcome = rig.run(NOW, &["issues"]).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let want = if alone { rig.ids() } else { without(rig.ids(), bad) };
        assert_eq!(keys(&outcome.tasks), want, "{trouble:?}");
        assert_eq!(outcome.unreadable.len(), usize::from(!alone));
        let events = |id: &str| outcome.tasks[id].history.len();
        assert!(want.iter().all(|id| events(id) > 4), "histories are whole");
    }
}

#[tokio::test]
async fn a_rate_limit_among_the_halves_is_waited_for() {
    let [cloud, _] = editions();
    let mut rig = Rig::start(World::history(NOW, 60, 2, 50, 2, 1), cloud).await;
    let bad = rig.nth(20);
    rig.jira.spoil(bad, "/search", Trouble::Status(400));
    rig.jira.faults().on("*/search/jql", When::Range(3..=4), Fault::rate_limited(Some(1)));
    let outcome = rig.run(NOW, &["issues"]).await.unwrap();
    assert_eq!(
        (keys(&outcome.unreadable), keys(&outcome.tasks)),
        ([bad.0.to_string()].into(), without(rig.ids(), bad))
    );
}

#[tokio::test]
async fn a_side_list_that_fails_costs_its_own_data() {
    let [cloud, _] = editions();
    for path in ["*/board", "*/configuration", "*/board/*/sprint", "*/issueLinkType"] {
        for (status, body) in [
            (500, "{}"),
            (401, r#"{"code":401,"message":"Unauthorized; scope does not match"}"#),
            (400, "{}"),
            (403, "{}"),
            (404, "{}"),
            (200, "[7]"),
        ] {
            let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud.clone()).await;
            rig.jira.faults().on(path, When::Always, Fault::status(status, body));
            let begun = Instant::now();
            let outcome = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(10), "{path} {status}: {:?}", begun.elapsed());
            assert_eq!(keys(&outcome.tasks), rig.ids(), "{path} {status}");
            let in_use: BTreeSet<String> =
                rig.jira.world().issues().flat_map(|issue| &issue.fields.sprints).map(|id| id.0.to_string()).collect();
            assert!(in_use.iter().all(|id| outcome.sprints.contains_key(id)), "{path} {status}");
        }
    }
}

#[tokio::test]
async fn lists_that_fail_later_leave_what_was_known() {
    let [cloud, _] = editions();
    let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud).await;
    let first = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
    for path in ["*/field", "*/status", "*/board", "*/configuration"] {
        rig.jira.faults().on(path, When::Always, Fault::status(400, "{}"));
    }
    rig.cursors.clear();
    let later = rig.run(NOW + 2 * 86_400_000, &["sprints", "issues"]).await.unwrap();
    let present = |outcome: &source::Outcome| {
        outcome.tasks.values().map(|task| (task.native_id.clone(), task.present.clone())).collect::<Vec<_>>()
    };
    assert_eq!(present(&first), present(&later));
}

#[tokio::test]
async fn a_sprint_ends_when_it_is_deleted_and_not_when_it_cannot_be_asked_for() {
    let [cloud, _] = editions();
    let mut world = World::demo(NOW, 3, 7);
    let board = world.sprints[0].board;
    let SprintId(id) = world.add_sprint(board, "Never started", "", NOW - 1);
    let mut rig = Rig::start(world, cloud).await;
    let first = rig.run(NOW, &["sprints"]).await.unwrap();
    assert!(first.sprints.contains_key(&id.to_string()));
    rig.jira.world().sprints.pop();
    rig.jira.faults().on("*/agile/1.0/sprint/*", When::Range(1..=3), Fault::status(403, "{}"));
    let refused = rig.run(NOW + MINUTE, &["sprints"]).await.unwrap();
    assert!(refused.gone_sprints.is_empty());
    let deleted = rig.run(NOW + 2 * MINUTE, &["sprints"]).await.unwrap();
    let asked: Vec<_> = rig.jira.requests().iter().map(|request| (request.path().to_owned(), request.status)).collect();
    assert_eq!(deleted.gone_sprints, [id.to_string()].into(), "{asked:?}");
    assert!(rig.run(NOW + 3 * MINUTE, &["sprints"]).await.unwrap().gone_sprints.is_empty());
}

#[tokio::test]
async fn a_board_that_cannot_have_sprints_is_no_warning() {
    let [cloud, _] = editions();
    let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud).await;
    let body = r#"{"errorMessages":["The board does not support sprints"],"errors":{}}"#;
    rig.jira.faults().on("*/board/*/sprint", When::Always, Fault::status(400, body));
    assert!(rig.run(NOW, &["sprints"]).await.unwrap().warnings.is_empty());
}

/// Values that are no JSON, or none that fits where it stands.
const BROKEN: [&str; 6] = ["NaN", "-Infinity", "1e999", "01", "\"a\u{1}b\"", "\"\\x \\ud800\""];

/// The lists that come whole or not at all.
const LISTS: [&str; 9] = [
    "*/myself",
    "*/serverInfo",
    "*/field",
    "*/status",
    "*/issuetype",
    "*/issueLinkType",
    "*/board",
    "*/configuration",
    "*/board/*/sprint",
];

fn presents(outcome: &source::Outcome) -> Vec<(String, contextcore_core::model::Facts)> {
    outcome.tasks.values().map(|task| (task.native_id.clone(), task.present.clone())).collect()
}

#[tokio::test]
async fn a_broken_value_in_a_list_of_the_site_costs_itself_also_in_the_first_run() {
    for options in editions() {
        let mut world = World::demo(NOW, 3, 7);
        world.types[3].name = "Aufgabe".into();
        let mut clean = Rig::start(world.clone(), options.clone()).await;
        let clean = clean.run(NOW, &["sprints", "issues"]).await.unwrap();
        for broken in BROKEN {
            let mut rig = Rig::start(world.clone(), options.clone()).await;
            for list in LISTS {
                let spoil = move |body: &str| body.replace("{\"", &format!("{{\"odd\":{broken},\""));
                rig.jira.faults().on(list, When::Always, Fault::rewrite(spoil));
            }
            for now in [NOW, NOW + 2 * 86_400_000] {
                let outcome = rig.run(now, &["sprints", "issues"]).await.unwrap();
                assert_eq!((outcome.failures.len(), outcome.unreadable.len()), (0, 0), "{broken}");
                assert!(outcome.warnings.is_empty() && outcome.withheld.is_empty(), "{broken}: {:?}", outcome.warnings);
                assert_eq!((presents(&outcome), &outcome.sprints), (presents(&clean), &clean.sprints), "{broken}");
                rig.cursors.clear();
            }
        }
    }
}

/// The answer with these numbers written otherwise.
fn with_numbers(body: &str, broken: &str) -> String {
    let names = ["total", "maxResults", "startAt", "hierarchyLevel", "originBoardId", "timeoriginalestimate"];
    names.into_iter().fold(body.to_owned(), |body, name| {
        let name = format!("\"{name}\":");
        let parts = body.split(&name).enumerate().map(|(n, part)| {
            let rest = part.trim_start_matches(|one: char| one.is_ascii_digit() || matches!(one, '-' | '.'));
            if n > 0 && rest.len() < part.len() { format!("{broken}{rest}") } else { part.to_owned() }
        });
        parts.collect::<Vec<_>>().join(&name)
    })
}

#[tokio::test]
async fn a_number_that_is_none_costs_itself() {
    for options in editions() {
        let world = World::demo(NOW, 3, 7);
        let mut clean = Rig::start(world.clone(), options.clone()).await;
        let clean = clean.run(NOW, &["sprints", "issues", "ids"]).await.unwrap();
        for broken in ["-1", "1.5", "\"many\"", "null", "{}", "99999999999999999999"] {
            let mut rig = Rig::start(world.clone(), options.clone()).await;
            rig.jira.faults().on("*", When::Always, Fault::rewrite(|body| with_numbers(body, broken)));
            let outcome = rig.run(NOW, &["sprints", "issues", "ids"]).await.unwrap();
            assert_eq!(
                (outcome.failures.len(), &outcome.unreadable),
                (0, &BTreeMap::new()),
                "{broken}: {:?}",
                outcome.failures
            );
            assert_eq!((keys(&outcome.tasks), &outcome.seen), (keys(&clean.tasks), &clean.seen), "{broken}");
            assert_eq!(keys(&outcome.sprints), keys(&clean.sprints), "{broken}");
        }
    }
}

/// Replaces the lists of this name in answers by another value, or takes them out.
fn without_lists(name: &'static str, by: Option<&'static str>) -> Fault {
    Fault::rewrite(move |body: &str| {
        let mut answer: serde_json::Value = serde_json::from_str(body).unwrap();
        let Some(fields) = answer.as_object_mut().filter(|fields| fields.contains_key(name)) else {
            return body.into();
        };
        match by {
            Some(text) => drop(fields.insert(name.into(), serde_json::from_str(text).unwrap())),
            None => drop(fields.remove(name)),
        }
        answer.to_string()
    })
}

#[tokio::test]
async fn a_list_that_does_not_come_is_not_an_empty_one() {
    let lists = [("*/board", "values"), ("*/board/*/sprint", "values"), ("*/issueLinkType", "issueLinkTypes")];
    for options in editions() {
        for (path, list) in lists {
            for by in [None, Some("null")] {
                let mut rig = Rig::start(World::demo(NOW, 3, 7), options.clone()).await;
                let first = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
                rig.cursors.remove("sprints");
                rig.jira.faults().on(path, When::Always, without_lists(list, by));
                let torn = rig.run(NOW + 2 * 86_400_000, &["sprints", "issues"]).await.unwrap();
                assert!(torn.gone_sprints.is_empty(), "{path}");
                assert!(!torn.warnings.is_empty(), "{path} {by:?}");
                rig.jira.faults().clear();
                rig.cursors.clear();
                let healed = rig.run(NOW + 4 * 86_400_000, &["sprints", "issues"]).await.unwrap();
                assert_eq!((presents(&healed), &healed.sprints), (presents(&first), &first.sprints), "{path} {by:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_issue_whose_history_does_not_come_is_unreadable() {
    let [cloud, server] = editions();
    let lists = [(cloud.clone(), "issueChangeLogs"), (cloud, "changeHistories"), (server, "histories")];
    for (options, list) in lists {
        let mut rig = Rig::start(World::history(NOW, 4, 6, 0, 0, 1), options).await;
        let calm = rig.run(NOW, &["issues"]).await.unwrap();
        rig.cursors.clear();
        let (wanted, null) = (format!("\"{list}\":["), format!("\"{list}\":null,\"odd\":["));
        let spoil = move |body: &str| body.replace(&wanted, &null);
        rig.jira.faults().on("*", When::Always, Fault::rewrite(spoil));
        // Cloud has each of them by another call as well.
        let torn = rig.run(NOW, &["issues"]).await.unwrap();
        let is_whole = torn.tasks.iter().all(|(id, task)| task.history == calm.tasks[id].history);
        assert!(is_whole && torn.tasks.len() + torn.unreadable.len() == 4, "{list}: {:?}", torn.unreadable);
        rig.jira.faults().clear();
        rig.cursors.clear();
        assert_eq!(rig.run(NOW + MINUTE, &["issues"]).await.unwrap().tasks.len(), 4);
    }
}

#[tokio::test]
async fn a_search_without_its_list_finds_nothing_out() {
    for options in editions() {
        for by in [None, Some("null")] {
            let mut rig = Rig::start(World::history(NOW, 4, 6, 0, 0, 1), options.clone()).await;
            rig.jira.faults().on("*/search*", When::Always, without_lists("issues", by));
            assert!(rig.run(NOW, &["issues"]).await.is_err());
            assert!(rig.run(NOW, &["ids"]).await.is_err());
        }
    }
}

/// Answers with this done to them as JSON.
fn changed(change: impl Fn(&mut serde_json::Value) + Send + Sync + 'static) -> Fault {
    Fault::rewrite(move |body: &str| {
        let mut answer = serde_json::from_str(body).unwrap_or_default();
        change(&mut answer);
        answer.to_string()
    })
}

/// Whatever is asked for the histories of many issues at once, this site has no such call.
fn refuse_bulk(jira: &JiraHandle) {
    jira.faults().on("*/bulkfetch", When::Always, Fault::status(405, "{}"));
}

#[tokio::test]
async fn a_torn_answer_for_many_histories_is_no_answer_about_the_issues_it_lacks() {
    let [cloud, _] = editions();
    for tear in ["null", "text", "no id", "another id"] {
        let mut rig = Rig::start(World::history(NOW, 12, 6, 0, 0, 1), cloud.clone()).await;
        let calm = rig.run(NOW, &["issues"]).await.unwrap();
        rig.cursors.clear();
        let bad = rig.nth(5).0.to_string();
        rig.jira.faults().on(
            "*/bulkfetch",
            When::Always,
            changed(move |answer| {
                for row in answer["issueChangeLogs"].as_array_mut().unwrap() {
                    if row["issueId"].as_str() == Some(&bad) {
                        match tear {
                            "null" => *row = serde_json::Value::Null,
                            "text" => *row = "?".into(),
                            "no id" => row["issueId"] = serde_json::Value::Null,
                            _ => row["issueId"] = "1".into(),
                        }
                    }
                }
            }),
        );
        let torn = rig.run(NOW, &["issues"]).await.unwrap();
        assert_eq!((torn.unreadable.len(), keys(&torn.tasks)), (0, rig.ids()), "{tear}");
        for (id, task) in &torn.tasks {
            assert_eq!(task.history, calm.tasks[id].history, "{tear}");
        }
    }
}

#[tokio::test]
async fn an_entry_that_is_none_costs_itself_and_is_counted() {
    for (options, path, alone) in [
        (Options::cloud(), "*/bulkfetch", false),
        (Options::cloud(), "*/issue/*/changelog", true),
        (Options::data_center(), "*/search", false),
    ] {
        let mut rig =
            Rig::start(World::history(NOW, 3, 6, 0, 0, 1), Options { clock: Clock::fixed(NOW), ..options }).await;
        if alone {
            refuse_bulk(&rig.jira);
        }
        rig.jira.faults().on(
            path,
            When::Always,
            changed(|answer| {
                let lists = ["/values", "/issueChangeLogs/0/changeHistories", "/issues/0/changelog/histories"];
                let list = lists.iter().find(|list| answer.pointer(list).is_some_and(|list| list.is_array())).unwrap();
                answer.pointer_mut(list).unwrap()[0] = serde_json::Value::Null;
            }),
        );
        let outcome = rig.run(NOW, &["issues"]).await.unwrap();
        assert_eq!((outcome.unreadable.len(), keys(&outcome.tasks)), (0, rig.ids()), "{path}");
        let wanted = if alone { "3 entries" } else { "1 entries" };
        assert!(outcome.warnings.iter().any(|text| text.starts_with(wanted)), "{path}: {:?}", outcome.warnings);
    }
}

#[tokio::test]
async fn a_history_that_is_shorter_than_it_says_is_unreadable() {
    let [cloud, _] = editions();
    for pages in [false, true] {
        let mut rig = Rig::start(World::history(NOW, 4, 6, 0, 0, 1), cloud.clone()).await;
        refuse_bulk(&rig.jira);
        let bad = rig.nth(2).0.to_string();
        let path = format!("*/issue/{bad}/changelog");
        // Either the first page ends the list, or the second holds nothing.
        rig.jira.faults().on(
            &path,
            When::Always,
            changed(move |answer| {
                let rows = answer["values"].as_array_mut().unwrap();
                rows.truncate(usize::from(pages && rows.len() == 6));
                answer["isLast"] = (!pages || rows_are_none(answer)).into();
            }),
        );
        let outcome = rig.run(NOW, &["issues"]).await.unwrap();
        assert_eq!(keys(&outcome.unreadable), [bad.clone()].into(), "{pages}");
        assert!(outcome.unreadable[&bad].contains("shorter than it says"), "{:?}", outcome.unreadable);
        assert_eq!(outcome.tasks.len(), 3);
        rig.jira.faults().clear();
        let served = rig.read_again(NOW + MINUTE, std::slice::from_ref(&bad)).await.unwrap();
        assert!(served.tasks[&bad].history.len() > 4 && served.unreadable.is_empty());
    }
}

fn rows_are_none(answer: &serde_json::Value) -> bool {
    answer["values"].as_array().unwrap().is_empty()
}

#[tokio::test]
async fn boards_and_sprints_of_a_list_that_is_not_whole_stay_as_they_were() {
    for path in ["*/board", "*/board/*/sprint"] {
        for tear in ["short", "null", "odd"] {
            let [cloud, _] = editions();
            let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud).await;
            let first = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
            rig.cursors.remove("sprints");
            rig.jira.faults().on(
                path,
                When::Always,
                changed(move |answer| {
                    let rows = answer["values"].as_array_mut().unwrap();
                    let all = rows.len();
                    match tear {
                        "short" => drop(rows.pop()),
                        "null" => rows[0] = serde_json::Value::Null,
                        _ => rows[0]["id"] = "?".into(),
                    }
                    answer["total"] = all.into();
                    answer["isLast"] = true.into();
                }),
            );
            let torn = rig.run(NOW + 2 * 86_400_000, &["sprints", "issues"]).await.unwrap();
            assert!(torn.warnings.iter().any(|text| text.contains("not complete")), "{tear}: {:?}", torn.warnings);
            assert!(torn.gone_sprints.is_empty());
            rig.jira.faults().clear();
            rig.cursors.remove("issues");
            if path == "*/board" {
                rig.cursors.remove("sprints");
            }
            let healed = rig.run(NOW + 4 * 86_400_000, &["sprints", "issues"]).await.unwrap();
            assert_eq!((presents(&healed), &healed.sprints), (presents(&first), &first.sprints), "{path} {tear}");
            let again = rig.run(NOW + 4 * 86_400_000 + MINUTE, &["sprints"]).await.unwrap();
            assert!(again.warnings.is_empty());
        }
    }
}

#[tokio::test]
async fn a_board_of_an_odd_name_place_or_column_is_a_board() {
    let [cloud, _] = editions();
    let mut rig = Rig::start(World::demo(NOW, 3, 7), cloud.clone()).await;
    let first = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
    for odd in [
        serde_json::json!({"name": null}),
        serde_json::json!({"name": 7, "type": null}),
        serde_json::json!({"location": "P"}),
        serde_json::json!({"location": {"projectKey": []}}),
    ] {
        rig.cursors.clear();
        let shown = odd.clone();
        let spoil = move |answer: &mut serde_json::Value| {
            for board in answer["values"].as_array_mut().unwrap() {
                board.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
            }
        };
        rig.jira.faults().on("*/board", When::Always, changed(spoil));
        let later = rig.run(NOW + 2 * 86_400_000, &["sprints", "issues"]).await.unwrap();
        assert_eq!((presents(&later), &later.sprints), (presents(&first), &first.sprints), "{shown}");
        rig.jira.faults().clear();
        rig.state = None;
        rig.restart(Default::default());
    }
    // What an odd column showed stays as it was, and that is said.
    rig.cursors.clear();
    rig.run(NOW, &["sprints", "issues"]).await.unwrap();
    let spoil = |answer: &mut serde_json::Value| answer["columnConfig"]["columns"][1] = serde_json::Value::Null;
    rig.jira.faults().on("*/configuration", When::Always, changed(spoil));
    rig.cursors.clear();
    let later = rig.run(NOW + 2 * 86_400_000, &["sprints", "issues"]).await.unwrap();
    assert_eq!(presents(&later), presents(&first));
    assert!(later.warnings.iter().any(|text| text.contains("columns of board")), "{:?}", later.warnings);
}

/// A story that was put into a sprint, and a sub-task of it that is in the sprint because the story is.
fn family() -> (World, IssueId, IssueId) {
    let mut world = World::empty();
    let project = world.add_project("SHOP", "Checkout", StatusId::TO_DO);
    let board = world.add_board("Shop", BoardKind::Scrum, project);
    let sprint = world.add_sprint(board, "One", "", NOW - 9 * 86_400_000);
    let mut edit = world.edit(NOW - 8 * 86_400_000);
    let story = edit.add_issue(Draft::new(project, TypeId::STORY, "Guest checkout"));
    let part =
        Draft { parent: Some(story), sprint: Some(sprint), ..Draft::new(project, TypeId::SUBTASK, "Pay by card") };
    let part = edit.add_issue(part);
    for n in 0..4 {
        edit.add_issue(Draft::new(project, TypeId::TASK, format!("Another {n}")));
    }
    world.edit(NOW - 6 * 86_400_000).set_sprint(story, Some(sprint));
    (world, story, part)
}

#[tokio::test]
async fn a_sub_task_of_an_issue_without_history_is_unreadable_and_read_again_by_itself() {
    for options in editions() {
        let (world, story, part) = family();
        let mut calm = Rig::start(world.clone(), options.clone()).await;
        let calm = calm.run(NOW, &["issues"]).await.unwrap();
        let [story, part] = [story.0.to_string(), part.0.to_string()];
        let of = |outcome: &source::Outcome| outcome.tasks[&part].history.clone();
        let cloud = options.edition == Edition::Cloud;
        // The parent is on the page of the sub-task, or it is asked for alone.
        for with_parent in [true, false] {
            let mut rig = Rig::start(world.clone(), options.clone()).await;
            let id = IssueId(story.parse().unwrap());
            if cloud {
                rig.jira.spoil(id, "/bulkfetch", Trouble::Status(500));
                rig.jira.spoil(id, "/changelog", Trouble::Status(500));
            } else {
                let wanted = story.clone();
                let shorten = move |answer: &mut serde_json::Value| {
                    for issue in answer["issues"].as_array_mut().into_iter().flatten() {
                        if issue["id"].as_str() == Some(&wanted) {
                            issue["changelog"]["total"] = 99.into();
                        }
                    }
                };
                rig.jira.faults().on("*/search", When::Always, changed(shorten));
                rig.jira.faults().on(&format!("*/issue/{story}"), When::Always, Fault::status(500, "{}"));
            }
            let outcome = match with_parent {
                true => rig.run(NOW, &["issues"]).await.unwrap(),
                false => rig.read_again(NOW, std::slice::from_ref(&part)).await.unwrap(),
            };
            let mut named: BTreeSet<String> = [part.clone()].into();
            named.extend(with_parent.then(|| story.clone()));
            assert_eq!(keys(&outcome.unreadable), named, "{cloud} {with_parent}");
            assert!(outcome.unreadable[&part].contains("the history of its parent"), "{:?}", outcome.unreadable);
            rig.jira.heal();
            rig.jira.faults().clear();
            let served = rig.read_again(NOW + MINUTE, &[story.clone(), part.clone()]).await.unwrap();
            assert_eq!((of(&served), served.unreadable.len()), (of(&calm), 0), "{cloud} {with_parent}");
        }
    }
}

#[tokio::test]
async fn an_issue_whose_sub_tasks_could_not_be_asked_for_is_read_again_with_them() {
    for options in editions() {
        let (mut world, story, part) = family();
        let board = world.boards[0].id;
        let next = world.add_sprint(board, "Two", "", NOW);
        let mut rig = Rig::start(world, options).await;
        rig.run(NOW, &["issues"]).await.unwrap();
        rig.jira.world().edit(NOW + MINUTE).set_sprint(story, Some(next));
        // The sweep is one search; the next asks for the sub-tasks.
        rig.jira.faults().on("POST */search*", When::From(2), Fault::status(400, "{}"));
        let torn = rig.run(NOW + 2 * MINUTE, &["issues"]).await.unwrap();
        let [story, part] = [story.0.to_string(), part.0.to_string()];
        assert!(torn.tasks.contains_key(&story) && !torn.tasks.contains_key(&part));
        assert!(torn.unreadable[&story].contains("its sub-tasks could not be asked for"), "{:?}", torn.unreadable);
        rig.jira.faults().clear();
        let served = rig.read_again(NOW + 3 * MINUTE, std::slice::from_ref(&story)).await.unwrap();
        assert!(served.tasks.contains_key(&part) && served.unreadable.is_empty());
    }
}

#[tokio::test]
async fn an_issue_whose_comments_fail_is_kept_and_read_again() {
    let [cloud, _] = editions();
    let mut world = World::history(NOW, 8, 2, 0, 0, 1);
    let ids: Vec<IssueId> = world.issues().map(|issue| issue.id).collect();
    for id in &ids[..5] {
        (0..4).for_each(|n| world.edit(NOW - 9 * MINUTE + n).comment(*id));
    }
    let mut rig = Rig::start(world, Options { inline_comments: 1, ..cloud }).await;
    let comments = |outcome: &source::Outcome, id: &IssueId| {
        let is_comment = |change: &Change| matches!(change, Change::Commented(_));
        outcome.tasks[&id.0.to_string()].history.iter().filter(|entry| is_comment(&entry.change)).count()
    };
    rig.jira.faults().on("*/comment", When::Always, Fault::status(500, "{}"));
    let torn = rig.run(NOW, &["issues"]).await.unwrap();
    assert_eq!(torn.tasks.len(), 8);
    let named: Vec<String> = ids[..5].iter().map(|id| id.0.to_string()).collect();
    assert_eq!(keys(&torn.unreadable), named.iter().cloned().collect());
    assert!(torn.unreadable.values().all(|why| why.contains("comments")), "{:?}", torn.unreadable);
    assert!(ids[..5].iter().all(|id| comments(&torn, id) == 1));
    // Where they fail for one issue after the other, no more are asked for.
    let asked = rig.jira.requests().iter().filter(|request| request.path().ends_with("/comment")).count();
    assert!(asked <= 4, "{asked}");
    rig.jira.faults().clear();
    let served = rig.read_again(NOW + MINUTE, &named).await.unwrap();
    assert!(served.unreadable.is_empty() && ids[..5].iter().all(|id| comments(&served, id) == 4));
}

#[tokio::test]
async fn comments_that_are_fewer_than_their_total_are_asked_for_again() {
    // Data Center gives all of them with the issue.
    let [cloud, _] = editions();
    for tear in ["fewer", "none", "null"] {
        let options = Options { inline_comments: 5, ..cloud.clone() };
        let mut rig = Rig::start(World::history(NOW, 6, 2, 0, 0, 1), options).await;
        let bad = rig.nth(3);
        (0..9).for_each(|n| rig.jira.world().edit(NOW - 60_000 + n).comment(bad));
        let shorten = move |answer: &mut serde_json::Value| {
            let begins = answer["startAt"] == 0;
            let rows = answer["comments"].as_array_mut().unwrap();
            match tear {
                "fewer" if begins => drop(rows.remove(2)),
                "fewer" => {}
                "none" => rows.clear(),
                _ => answer["comments"] = serde_json::Value::Null,
            }
        };
        rig.jira.faults().on("*/comment", When::Always, changed(shorten));
        let bad = bad.0.to_string();
        let torn = rig.run(NOW, &["issues"]).await.unwrap();
        assert_eq!((keys(&torn.unreadable), keys(&torn.tasks)), ([bad.clone()].into(), rig.ids()), "{tear}");
        assert!(torn.unreadable[&bad].contains("not all of its comments"), "{:?}", torn.unreadable);
        rig.jira.faults().clear();
        let served = rig.read_again(NOW + MINUTE, std::slice::from_ref(&bad)).await.unwrap();
        assert!(served.unreadable.is_empty());
        let comments = |entry: &&Event| matches!(entry.change, Change::Commented(_));
        assert_eq!(served.tasks[&bad].history.iter().filter(comments).count(), 9, "{tear}");
    }
}

/// A row of a list that the site gives whole, spoiled: it is nothing, or has no id.
fn spoil_row(answer: &mut serde_json::Value, how: &str) {
    let list = if answer.is_array() { answer } else { &mut answer["issueLinkTypes"] };
    let row = list.as_array_mut().and_then(|rows| rows.last_mut()).unwrap();
    match how {
        "null" => *row = serde_json::Value::Null,
        _ => drop(row.as_object_mut().unwrap().remove("id")),
    }
}

#[tokio::test]
async fn a_list_of_the_site_with_a_row_that_is_none_is_said_and_asked_for_again() {
    for options in editions() {
        for (path, what) in [
            ("*/field", "the fields"),
            ("*/status", "the statuses"),
            ("*/issuetype", "the issue types"),
            ("*/issueLinkType", "the types of links"),
        ] {
            for how in ["null", "no id"] {
                if how == "no id" && what == "the types of links" {
                    // Their words say enough.
                    continue;
                }
                // A type without a name we know is what the types are asked for.
                let mut world = World::demo(NOW, 1, 7);
                world.types[3].name = "Wunsch".into();
                let mut rig = Rig::start(world, options.clone()).await;
                let first = rig.run(NOW, &["sprints", "issues"]).await.unwrap();
                rig.jira.faults().on(path, When::Always, changed(move |answer| spoil_row(answer, how)));
                let day = NOW + 86_400_000;
                rig.cursors.clear();
                let torn = rig.run(day, &["sprints", "issues"]).await.unwrap();
                let says = |text: &&String| text.starts_with(what) && text.contains("not complete");
                assert!(torn.warnings.iter().any(|text| says(&text)), "{what} {how}: {:?}", torn.warnings);
                assert_eq!(presents(&torn), presents(&first), "{what} {how}: what was known stays");
                let next = rig.run(day + 5 * MINUTE, &["issues"]).await.unwrap();
                assert!(next.warnings.is_empty(), "{what} {how}: {:?}", next.warnings);
                rig.jira.faults().clear();
                rig.jira.take_requests();
                let healed = rig.run(day + 61 * MINUTE, &["issues"]).await.unwrap();
                let wanted = path.trim_start_matches('*');
                assert!(rig.jira.take_requests().iter().any(|request| request.path().ends_with(wanted)), "{what}");
                assert!(healed.warnings.is_empty(), "{what} {how}: {:?}", healed.warnings);
            }
        }
    }
}
