//! From a tool to the backends: what is read, stored and exported agrees with the truth of the world, and it does not matter in
//! how many runs it was read.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Rig, Tool, events_from_github, facts};
use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github};
use contextcore_fakes::jira::{Jira, Options};
use contextcore_fakes::otlp::{Handle, Log, Point, Span};
use contextcore_fakes::world::{Draft, SprintState, StatusId, TypeId, World};

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const HOUR: i64 = 3_600_000;

fn role(span: &Span) -> &str {
    span.attributes.get("contextcore.role").and_then(|value| value.as_str()).unwrap_or_default()
}

/// The history spans, once each: the present is a snapshot and depends on when it was taken.
fn history(collector: &Handle) -> BTreeMap<(String, String), String> {
    let finals = collector.spans().into_iter().filter(|span| role(span) != "snapshot");
    finals.map(|span| ((span.trace_id.clone(), span.span_id.clone()), format!("{span:#?}"))).collect()
}

/// Log lines without the resource: whether a line is a backfill depends on when it was sent.
fn lines(collector: &Handle) -> BTreeSet<String> {
    let line = |log: &Log| {
        format!("{} {} {:?} {:?} {} {}", log.time, log.event_name, log.body, log.attributes, log.trace_id, log.span_id)
    };
    collector.logs().iter().map(line).collect()
}

/// The values of the last moment exported.
fn last_values(collector: &Handle) -> BTreeMap<String, String> {
    let points = collector.points();
    let last = points.iter().map(|point| point.time).max().unwrap_or(0);
    let name = |point: &Point| format!("{} {:?}", point.name, point.attributes);
    points.iter().filter(|point| point.time == last).map(|point| (name(point), format!("{:?}", point.value))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_or_fifty_with_the_clock_moving_between_export_the_same() {
    for kind in Tool::KINDS {
        one_run_or_fifty(kind).await;
    }
}

async fn one_run_or_fifty(kind: &str) {
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(NOW));
    let ticking = clock.clone();
    let ticking = Clock::of(move || ticking.load(std::sync::atomic::Ordering::Relaxed));
    let tool = Tool::start(kind, World::demo(NOW, 2, 7), ticking).await;
    let often = tool.rig().await;
    let mut now = NOW;
    for run in 0..50 {
        let (report, drained) = often.sync(now).await;
        assert!(report.error.is_none() && drained.errors.is_empty(), "{kind}, run {run}: {report:?} {drained:?}");
        for _ in 0..6 {
            now += 2 * HOUR + 7 * 60_000;
            tool.world().tick(now);
        }
        now += HOUR;
        clock.store(now, std::sync::atomic::Ordering::Relaxed);
    }
    often.sync(now).await;
    let once = tool.rig().await;
    once.sync(now).await;

    let (many, single) = (facts(&often.store), facts(&once.store));
    assert_eq!(many.keys().collect::<Vec<_>>(), single.keys().collect::<Vec<_>>());
    for (key, entries) in &single {
        assert_eq!(&many[key], entries, "{key}");
    }
    let (many, single) = (history(&often.collector), history(&once.collector));
    assert_eq!(many.keys().collect::<BTreeSet<_>>(), single.keys().collect::<BTreeSet<_>>());
    for (id, span) in &single {
        assert_eq!(&many[id], span);
    }
    assert_eq!(lines(&often.collector), lines(&once.collector));
    let (many, single) = (last_values(&often.collector), last_values(&once.collector));
    let other = |name: &&String| many.get(*name) != single.get(*name);
    let names: BTreeSet<_> = many.keys().chain(single.keys()).filter(other).collect();
    let differing: Vec<_> = names.into_iter().map(|name| (name, many.get(name), single.get(name))).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_agrees_with_the_world() {
    let options = Options { clock: Clock::fixed(NOW), ..Options::cloud() };
    let jira = Jira::start(World::demo(NOW, 6, 3), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    let (report, drained) = rig.sync(NOW).await;
    assert!(report.error.is_none() && drained.errors.is_empty(), "{report:?} {drained:?}");
    let world = jira.world();
    let truth = world.truth(NOW);

    let spans = rig.collector.spans();
    let key_of = |span: &Span| span.attributes["task.id"].as_str().unwrap().to_owned();
    let blocked: BTreeSet<String> = spans
        .iter()
        .filter(|span| role(span) == "snapshot" && span.attributes["task.status"].as_str() == Some("blocked"))
        .map(key_of)
        .collect();
    assert_eq!(blocked, truth.blocked().into_iter().map(|id| world.key_of(id)).collect());

    let done: usize = truth.issues().filter(|issue| truth.completed(issue.id).is_some()).count();
    let value = |name: &str, pick: &dyn Fn(&Point) -> bool| -> f64 {
        let points = rig.collector.points();
        let now = u64::try_from(NOW).unwrap() * 1_000_000;
        points
            .iter()
            .filter(|point| point.name == name && point.time == now && pick(point))
            .map(|point| point.value.as_f64())
            .sum()
    };
    let of_done = |point: &Point| point.attributes["task.status"].as_str() == Some("done");
    assert!((value("task.count", &of_done) - done as f64).abs() < 1e-9);
    assert!((value("task.blocked", &|_| true) - truth.blocked().len() as f64).abs() < 1e-9);
    assert!((value("task.count", &|_| true) - truth.issues().count() as f64).abs() < 1e-9);
}

/// An epic with so many stories that its history takes several requests.
fn one_large_epic() -> World {
    let mut world = World::empty();
    let project = world.add_project("SHOP", "Checkout", StatusId::TO_DO);
    let day = 24 * HOUR;
    let epic = world.edit(NOW - 90 * day).add_issue(Draft::new(project, TypeId::EPIC, "Guest checkout"));
    for n in 0..700 {
        let at = NOW - 80 * day + n * HOUR;
        let draft = Draft { parent: Some(epic), ..Draft::new(project, TypeId::STORY, "Pay by card") };
        let story = world.edit(at).add_issue(draft);
        world.edit(at + 2 * HOUR).transition(story, StatusId::IN_PROGRESS);
        world.edit(at + 9 * HOUR).transition(story, StatusId::DONE);
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_anchor_meets_itself_while_a_backend_holds_its_trace_in_memory() {
    let options = || Options { clock: Clock::fixed(NOW), ..Options::cloud() };
    let jira = Jira::start(one_large_epic(), options()).await.unwrap();
    let rig = Rig::new(&jira).await;
    rig.sync(NOW).await;
    let spans = rig.collector.spans();
    let history = spans.iter().filter(|span| role(span) != "snapshot");
    let ids: Vec<_> = history.map(|span| (&span.trace_id, &span.span_id)).collect();
    assert!(ids.len() > 2_500, "{} spans fit into one request", ids.len());
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_fits_goes_in_one_request_with_every_anchor_it_needs() {
    let options = Options { clock: Clock::fixed(NOW), ..Options::cloud() };
    let jira = Jira::start(World::demo(NOW, 12, 42), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    rig.sync(NOW).await;
    let (mut requests, mut traces) = (0, BTreeSet::new());
    for received in rig.collector.received() {
        let spans = &received.spans;
        requests += usize::from(!spans.is_empty());
        for trace in spans.iter().map(|span| span.trace_id.clone()).collect::<BTreeSet<_>>() {
            assert!(traces.insert(trace.clone()), "trace {trace} is split over requests");
        }
        let present: BTreeSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
        assert_eq!(present.len(), spans.len(), "a request holds a span twice");
        for span in spans.iter().filter(|span| !span.parent_span_id.is_empty()) {
            assert!(present.contains(&(&span.trace_id, &span.parent_span_id)), "{span:?} has lost its parent");
        }
    }
    assert!(requests > 3, "all in {requests} requests: nothing was split");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sprint_closed_between_two_runs_is_exported_at_the_moment_it_was_closed() {
    let options = Options { clock: Clock::fixed(NOW + 3 * HOUR), ..Options::cloud() };
    let jira = Jira::start(World::demo(NOW, 2, 7), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    rig.sync(NOW).await;
    let active = jira.world().sprints.iter().find(|sprint| sprint.state == SprintState::Active).unwrap().id;
    jira.world().edit(NOW + HOUR / 2).close_sprint(active, None);
    rig.sync(NOW + 2 * HOUR).await;
    let of_sprint = |point: &&Point| {
        point.name == "sprint.velocity" && point.attributes["sprint.id"].as_str() == Some(&active.to_string())
    };
    let points = rig.collector.points();
    let times: Vec<_> = points.iter().filter(of_sprint).map(|point| point.time / 1_000_000).collect();
    assert_eq!(times, [NOW + HOUR / 2, NOW + 2 * HOUR].map(|at| u64::try_from(at).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_below_finished_work_stays_in_the_tree_of_its_epic() {
    let mut world = World::empty();
    let project = world.add_project("SHOP", "Checkout", StatusId::TO_DO);
    let mut edit = world.edit(NOW - 9 * HOUR);
    let epic = edit.add_issue(Draft::new(project, TypeId::EPIC, "Guest checkout"));
    let below = |parent, kind| Draft { parent: Some(parent), ..Draft::new(project, kind, "Pay by card") };
    let story = edit.add_issue(below(epic, TypeId::STORY));
    let part = edit.add_issue(below(story, TypeId::SUBTASK));
    edit.transition(story, StatusId::DONE);
    let (epic, part) = (world.key_of(epic), world.key_of(part));
    let jira = Jira::start(world, Options { clock: Clock::fixed(NOW), ..Options::cloud() }).await.unwrap();
    let rig = Rig::new(&jira).await;
    rig.sync(NOW).await;
    let spans = rig.collector.spans();
    let snapshot = |key: &str| {
        let own = |span: &&Span| role(span) == "snapshot" && span.attributes["task.id"].as_str() == Some(key);
        spans.iter().find(own).unwrap()
    };
    assert_eq!(snapshot(&part).parent_span_id, snapshot(&epic).span_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_or_twenty_read_the_same_history_from_github() {
    let clock = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(NOW));
    let ticking = clock.clone();
    let options = github::Options {
        clock: Clock::of(move || ticking.load(std::sync::atomic::Ordering::Relaxed)),
        ..github::Options::dot_com()
    };
    let github = Github::start(World::demo(NOW, 2, 7), options).await.unwrap();
    let often = Rig::github(&github).await;
    let mut now = NOW;
    for run in 0..20 {
        let (report, drained) = often.sync(now).await;
        assert!(report.error.is_none() && drained.errors.is_empty(), "run {run}: {report:?} {drained:?}");
        assert_eq!(report.set_aside, 0, "run {run}");
        for _ in 0..6 {
            now += 2 * HOUR + 7 * 60_000;
            github.world().tick(now);
        }
        now += HOUR;
        clock.store(now, std::sync::atomic::Ordering::Relaxed);
    }
    often.sync(now).await;
    let once = Rig::github(&github).await;
    let (report, _) = once.sync(now).await;
    assert!(report.error.is_none() && report.set_aside == 0, "{report:?}");
    let (many, single) = (events_from_github(&often.store), events_from_github(&once.store));
    assert_eq!(many.keys().collect::<Vec<_>>(), single.keys().collect::<Vec<_>>());
    for (key, entries) in &single {
        assert_eq!(&many[key], entries, "{key}");
    }
    let values = |rig: &Rig| last_values(&rig.collector);
    let (many, single) = (values(&often), values(&once));
    let counted = |name: &&String| name.starts_with("task.count ");
    for name in single.keys().filter(counted) {
        assert_eq!(many.get(name), single.get(name), "{name}");
    }
}
