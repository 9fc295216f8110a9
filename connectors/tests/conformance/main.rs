//! The same questions to every connector: pages, ties, faults of every kind, doubled deliveries, clocks that differ, lost
//! permissions, deletions.
//!
//! A connector takes part with an [`Adapter`]: how its fake is started, and through [`Scenario`] how the work there is changed
//! and how the tool is made to fail in its own way. Nothing here knows a vendor, and a kind in the registry without an
//! adapter fails [`every_kind_takes_part`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod file;
mod github;
mod jira;
mod linear;
mod rig;
mod sdk;
mod site;

use std::collections::BTreeMap;
use std::pin::Pin;

use contextcore_core::ErrorKind;

use rig::Rig;

/// 2026-11-18, when every scene begins.
const NOW: i64 = 1_795_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// What goes wrong, each in the tool's own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The credential is refused, until [`Scenario::mend`].
    Unauthorised,
    /// The tool asks to slow down, once.
    RateLimited,
    /// The tool answers that it is unwell, once.
    Unwell,
    /// The tool cannot be reached or answers nothing but errors, until [`Scenario::mend`].
    Down,
    /// An answer breaks off in its middle, once.
    Torn,
    /// An answer holds data and errors, once (GraphQL).
    Partial,
}

/// A tool with work in it, as the suite changes it. Times are epoch milliseconds.
trait Scenario: Send {
    /// The keys of the source's configuration, besides its name, as a YAML flow mapping without braces.
    fn config(&self) -> String;

    /// Creates a task and returns its native id.
    fn add(&mut self, title: &str, at: i64) -> String;

    /// Renames a task.
    fn rename(&mut self, id: &str, title: &str, at: i64);

    /// Deletes a task. `false` when this tool deletes none.
    fn delete(&mut self, id: &str) -> bool;

    /// Takes away the right to see any task, or gives it back.
    fn hide(&mut self, hidden: bool);

    /// Sets the tool's own clock.
    fn set_clock(&mut self, now: i64);

    /// Makes the tool fail from its next answers with tasks on. `false` when this tool cannot fail like that.
    fn spoil(&mut self, trouble: Trouble) -> bool;

    /// Ends all trouble.
    fn mend(&mut self);
}

type Start = fn() -> Pin<Box<dyn Future<Output = Box<dyn Scenario>> + Send>>;

/// A connector's part in the suite.
struct Adapter {
    /// Its kind in the registry.
    kind: &'static str,
    /// How many tasks are more than a page.
    many: usize,
    /// Starts its tool, without any work in it, at [`NOW`].
    start: Start,
}

/// Every connector's part.
const ADAPTERS: &[Adapter] = &[file::ADAPTER, github::ADAPTER, jira::ADAPTER, linear::ADAPTER, sdk::ADAPTER];

/// A scene with some tasks, and an empty installation before it.
async fn scene(adapter: &Adapter, tasks: usize) -> (Box<dyn Scenario>, Rig, Titles) {
    let mut scene = (adapter.start)().await;
    let mut titles = Titles::new();
    for number in 0..tasks {
        let title = format!("task {number}");
        // Several a second: tools cut times, and those of one second or minute are ties.
        let at = NOW - HOUR + i64::try_from(number).unwrap() * 100;
        titles.insert(scene.add(&title, at), title);
    }
    let rig = Rig::new(adapter.kind, &scene.config());
    (scene, rig, titles)
}

/// Titles by native id.
type Titles = BTreeMap<String, String>;

#[test]
fn every_kind_takes_part() {
    let kinds = |all: Vec<&'static str>| all.into_iter().collect::<std::collections::BTreeSet<_>>();
    let registered = contextcore_connectors::ALL.iter().map(|registration| registration.kind).collect();
    assert_eq!(kinds(ADAPTERS.iter().map(|adapter| adapter.kind).collect()), kinds(registered));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_over_several_pages_and_nothing_twice() {
    for adapter in ADAPTERS {
        let (_scene, rig, titles) = scene(adapter, adapter.many).await;
        let report = rig.sync(NOW).await;
        assert!(report.error.is_none() && report.set_aside == 0, "{}: {report:?}", adapter.kind);
        assert!(rig.pages() > 1, "{}: one page is no paging", adapter.kind);
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
        assert_eq!(rig.creations(), adapter.many, "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tool_is_no_error_and_later_work_is_read() {
    for adapter in ADAPTERS {
        let (mut scene, rig, _) = scene(adapter, 0).await;
        let report = rig.sync(NOW).await;
        assert!(report.error.is_none(), "{}: {report:?}", adapter.kind);
        assert!(rig.titles().is_empty());
        scene.set_clock(NOW + MINUTE);
        scene.add("the first", NOW + MINUTE);
        let report = rig.sync(NOW + 2 * MINUTE).await;
        assert!(report.error.is_none(), "{}: {report:?}", adapter.kind);
        assert_eq!(rig.titles().into_values().collect::<Vec<_>>(), ["the first"], "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_moment_of_the_cursor_are_read() {
    for adapter in ADAPTERS {
        let (mut scene, rig, mut titles) = scene(adapter, 5).await;
        let at = NOW - MINUTE;
        titles.insert(scene.add("before", at), "before".to_owned());
        rig.sync(NOW).await;
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
        // The tool's index lags, or its clock ticks slowly: the same moment goes on after we asked.
        titles.insert(scene.add("after", at), "after".to_owned());
        let first = titles.keys().next().unwrap().clone();
        scene.rename(&first, "renamed", at);
        titles.insert(first, "renamed".to_owned());
        let report = rig.sync(NOW + MINUTE).await;
        assert!(report.error.is_none(), "{}: {report:?}", adapter.kind);
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_delivered_again_is_no_news() {
    for adapter in ADAPTERS {
        let (_scene, rig, titles) = scene(adapter, 12).await;
        rig.sync(NOW).await;
        let (poll, full) = (rig.sync(NOW + MINUTE).await, rig.full(NOW + 2 * MINUTE).await);
        assert!(full.error.is_none() && full.records >= 12, "{}: {full:?}", adapter.kind);
        assert_eq!((poll.changes, full.changes), (0, 0), "{}", adapter.kind);
        assert_eq!((rig.titles(), rig.creations()), (titles, 12), "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_ends_the_run_says_so_and_moves_nothing() {
    for adapter in ADAPTERS {
        let (mut scene, rig, mut titles) = scene(adapter, 12).await;
        if !scene.spoil(Trouble::Unauthorised) {
            continue;
        }
        let error = rig.sync(NOW).await.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Auth, "{}: {}", adapter.kind, error.full());
        assert!(rig.titles().is_empty(), "{}", adapter.kind);
        scene.mend();
        rig.sync(NOW).await;
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
        scene.spoil(Trouble::Unauthorised);
        scene.set_clock(NOW + MINUTE);
        titles.insert(scene.add("meanwhile", NOW + SECOND), "meanwhile".to_owned());
        let failed = rig.full(NOW + MINUTE).await;
        assert!(failed.error.is_some() && rig.gone() == 0, "{}: nothing is closed", adapter.kind);
        scene.mend();
        rig.sync(NOW + 2 * MINUTE).await;
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_is_sat_out() {
    for adapter in ADAPTERS {
        for trouble in [Trouble::RateLimited, Trouble::Unwell, Trouble::Torn, Trouble::Partial] {
            let (mut scene, rig, titles) = scene(adapter, 12).await;
            if !scene.spoil(trouble) {
                continue;
            }
            let report = rig.sync(NOW).await;
            for (id, title) in rig.titles() {
                assert_eq!(titles.get(&id), Some(&title), "{} {trouble:?}: nothing is half kept", adapter.kind);
            }
            if trouble == Trouble::RateLimited {
                assert!(report.error.is_none(), "{} {trouble:?}: {report:?}", adapter.kind);
                assert!(rig.waits() > 0, "{}: it was asked to wait", adapter.kind);
            }
            scene.mend();
            let report = rig.sync(NOW + MINUTE).await;
            assert!(report.error.is_none(), "{} {trouble:?}: {report:?}", adapter.kind);
            assert_eq!(rig.titles(), titles, "{} {trouble:?}", adapter.kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_down_ends_the_run_and_the_next_one_goes_on() {
    for adapter in ADAPTERS {
        let (mut scene, rig, mut titles) = scene(adapter, 12).await;
        rig.sync(NOW).await;
        assert!(scene.spoil(Trouble::Down), "{}: anything can be down", adapter.kind);
        let error = rig.sync(NOW + MINUTE).await.error.unwrap();
        let expected = [ErrorKind::Unavailable, ErrorKind::NotFound];
        assert!(expected.contains(&error.kind()), "{}: {}", adapter.kind, error.full());
        assert_eq!((rig.titles(), rig.gone()), (titles.clone(), 0), "{}", adapter.kind);
        scene.mend();
        scene.set_clock(NOW + MINUTE);
        titles.insert(scene.add("meanwhile", NOW + SECOND), "meanwhile".to_owned());
        rig.sync(NOW + 2 * MINUTE).await;
        assert_eq!(rig.titles(), titles, "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_lose_nothing() {
    for adapter in ADAPTERS {
        for skew in [-10 * MINUTE, 10 * MINUTE] {
            let (mut scene, rig, mut titles) = scene(adapter, 5).await;
            for round in 1..=3 {
                let ours = NOW + round * 5 * MINUTE;
                let theirs = ours + skew;
                scene.set_clock(theirs);
                let title = format!("round {round}");
                titles.insert(scene.add(&title, theirs - SECOND), title);
                let report = rig.sync(ours).await;
                assert!(report.error.is_none(), "{} {skew}: {report:?}", adapter.kind);
                assert_eq!(rig.titles(), titles, "{} skew {skew} round {round}", adapter.kind);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_permission_closes_nothing_and_says_so() {
    for adapter in ADAPTERS {
        let (mut scene, rig, titles) = scene(adapter, 12).await;
        rig.sync(NOW).await;
        scene.hide(true);
        for day in 1..=3 {
            let error = rig.full(NOW + day * 24 * HOUR).await.error;
            let error = error.unwrap_or_else(|| panic!("{}: a whole project vanished without a word", adapter.kind));
            // A tool may also say itself that it shows nothing any more.
            let expected = [ErrorKind::Coverage, ErrorKind::Permission, ErrorKind::NotFound];
            assert!(expected.contains(&error.kind()), "{}: {}", adapter.kind, error.full());
            assert_eq!(rig.gone(), 0, "{}", adapter.kind);
        }
        scene.hide(false);
        let report = rig.full(NOW + 4 * 24 * HOUR).await;
        assert!(report.error.is_none(), "{}: {report:?}", adapter.kind);
        assert_eq!((rig.titles(), rig.gone()), (titles, 0), "{}", adapter.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_task_is_gone_after_two_absences() {
    for adapter in ADAPTERS {
        let (mut scene, rig, titles) = scene(adapter, 12).await;
        rig.sync(NOW).await;
        let id = titles.keys().nth(3).unwrap();
        if !scene.delete(id) {
            continue;
        }
        rig.sync(NOW + MINUTE).await;
        assert_eq!(rig.gone(), 0, "{}: absence from a list is not deletion", adapter.kind);
        rig.full(NOW + HOUR).await;
        assert_eq!(rig.gone(), 0, "{}: once is a lagging index", adapter.kind);
        let report = rig.full(NOW + 25 * HOUR).await;
        assert!(report.error.is_none(), "{}: {report:?}", adapter.kind);
        assert_eq!(rig.gone(), 1, "{}: twice is gone", adapter.kind);
        assert!(!rig.titles().contains_key(id), "{}", adapter.kind);
    }
}
