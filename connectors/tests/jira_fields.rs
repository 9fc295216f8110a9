//! Jira's fields under other names: renamed before the first run or between two, without ids in histories, and a flag whose option
//! is translated. Whatever the names, the same issues have the same facts.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

#[path = "common/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::time::DAY;
use contextcore_core::model::{Change, Event, Facts};
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::{Edition, Jira, JiraHandle, Options};
use contextcore_fakes::world::World;
use source::{NOW, Outcome, Source, config, rig_of_source};

/// A site, and a source that reads it.
struct Rig {
    jira: JiraHandle,
    source: Source,
    clock: Arc<AtomicI64>,
    now: i64,
    _token: tempfile::TempDir,
}

rig_of_source!(Rig);

/// The history and the present of every task.
type Known = BTreeMap<String, (Vec<Event>, Facts)>;

impl Rig {
    /// A site whose boards do not say what they estimate in.
    async fn start(edition: Edition) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let read = Arc::clone(&clock);
        let options = if edition == Edition::Cloud { Options::cloud() } else { Options::data_center() };
        let options = Options { clock: Clock::of(move || read.load(Ordering::Relaxed)), ..options };
        let token = tempfile::tempdir().unwrap();
        let mut world = World::demo(NOW, 3, 7);
        let issue = world.issues().map(|issue| issue.id).next().unwrap();
        world.edit(NOW - 3).flag(issue);
        let jira = Jira::start(world, options).await.unwrap();
        jira.faults().on("*/configuration", When::Always, Fault::status(403, "{}"));
        let mut config = config("jira", jira.url(), &token, Jira::TOKEN, &[]);
        if edition == Edition::Cloud {
            config.settings["auth"]["email"] = Jira::EMAIL.into();
        }
        Self { jira, source: Source::new(config), clock, now: NOW, _token: token }
    }

    async fn sync(&mut self) -> Outcome {
        self.source.run(self.now, &["sprints", "issues"]).await.unwrap()
    }

    /// Everything, read from its beginning by a source that knows the site.
    async fn read_all(&mut self) -> Known {
        self.cursors.clear();
        known(&self.sync().await)
    }

    /// A day passes, so that the site is learned anew.
    fn next_day(&mut self) {
        self.now += DAY + 1;
        self.clock.store(self.now, Ordering::Relaxed);
    }
}

fn known(outcome: &Outcome) -> Known {
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let facts = |(id, task): (&String, &contextcore_core::model::observation::TaskObservation)| {
        (id.clone(), (task.history.clone(), task.present.clone()))
    };
    outcome.tasks.iter().map(facts).collect()
}

/// What a site of this edition gives whose fields have the names they came with.
async fn usual(edition: Edition) -> Known {
    let known = known(&Rig::start(edition).await.sync().await);
    let count = |is_it: fn(&Change) -> bool| {
        known.values().flat_map(|(history, _)| history).filter(|event| is_it(&event.change)).count()
    };
    assert!(count(|change| matches!(change, Change::Estimated(_))) > 10);
    assert!(count(|change| matches!(change, Change::Sprints(_))) > 10);
    assert!(count(|change| matches!(change, Change::Blocked(_))) > 0);
    known
}

#[track_caller]
fn assert_same(found: &Known, usual: &Known, what: &str) {
    assert_eq!(found.len(), usual.len(), "{what}");
    for (id, task) in usual {
        assert_eq!(&found[id], task, "{what}: {id}");
    }
}

#[tokio::test]
async fn fields_that_are_renamed_between_two_runs_keep_their_past() {
    for edition in [Edition::Cloud, Edition::DataCenter] {
        let usual = usual(edition).await;
        let mut rig = Rig::start(edition).await;
        // Data Center's histories name a field as it was called then, and by nothing else.
        for (field, name) in [("Sprint", "Takt"), ("Flagged", "Markiert"), ("Story Points", "Story-Punkte")] {
            rig.jira.rename_field(field, name, 0);
        }
        assert_same(&known(&rig.sync().await), &usual, "first");
        for (field, name) in [("Sprint", "Runde"), ("Flagged", "Achtung"), ("Story Points", "Größe")] {
            rig.jira.rename_field(field, name, NOW);
        }
        rig.next_day();
        assert_same(&rig.read_all().await, &usual, "renamed");
        // Each run of `sync` is a process of its own.
        rig.restart(CommentPrivacy::default());
        rig.next_day();
        assert_same(&rig.read_all().await, &usual, "in a new process");
        rig.reconfigure();
        assert_same(&rig.read_all().await, &usual, "under other settings");
    }
}

#[tokio::test]
async fn fields_that_were_renamed_before_the_first_run_are_known_by_their_histories() {
    let usual = usual(Edition::Cloud).await;
    let mut rig = Rig::start(Edition::Cloud).await;
    for (field, name) in [("Sprint", "Takt"), ("Flagged", "Achtung"), ("Story Points", "Größe")] {
        rig.jira.rename_field(field, name, NOW - 1);
    }
    assert_same(&known(&rig.sync().await), &usual, "first");
    rig.next_day();
    rig.jira.take_requests();
    assert_same(&rig.read_all().await, &usual, "again");
    let asked = rig.jira.take_requests();
    assert!(asked.iter().all(|request| !request.body.contains("is not EMPTY")), "the histories are asked once");
}

/// The fields are looked for in histories before the first issue is read, or not at all.
#[tokio::test]
async fn a_site_that_does_not_say_what_histories_call_its_fields_is_read_without_them() {
    let mut rig = Rig::start(Edition::Cloud).await;
    rig.jira.rename_field("Story Points", "Größe", NOW - 1);
    rig.jira.faults().on("POST */changelog/bulkfetch", When::Nth(1), Fault::status(403, "{}"));
    let first = known(&rig.sync().await);
    assert!(first.values().all(|(_, facts)| facts.estimate.is_none()));
    rig.next_day();
    assert_same(&rig.read_all().await, &first, "the same later");
}

#[tokio::test]
async fn changes_without_ids_are_known_by_other_changes_of_the_same_issue() {
    let usual = usual(Edition::Cloud).await;
    let mut rig = Rig::start(Edition::Cloud).await;
    rig.jira.rename_field("Sprint", "Runde", 0);
    rig.jira.rename_field("Sprint", "Takt", NOW - 1);
    // Half of what happened has no ids.
    let mut moves: Vec<i64> = usual.values().flat_map(|(history, _)| history).map(|event| event.at.0).collect();
    moves.sort_unstable();
    rig.jira.leave_out_field_ids(moves[moves.len() / 2]);
    let found = known(&rig.sync().await);
    let has_both = |history: &[Event]| {
        let moved = |event: &&Event| matches!(event.change, Change::Sprints(_));
        let mut times = history.iter().filter(moved).map(|event| event.at.0);
        times.clone().any(|at| at < moves[moves.len() / 2]) && times.any(|at| at >= moves[moves.len() / 2])
    };
    let mut checked = 0;
    for (id, task) in usual.iter().filter(|(_, (history, _))| has_both(history)) {
        assert_eq!(&found[id], task, "{id}");
        checked += 1;
    }
    assert!(checked > 3, "{checked}");
}

#[tokio::test]
async fn a_flag_is_one_in_every_language() {
    for edition in [Edition::Cloud, Edition::DataCenter] {
        let mut rig = Rig::start(edition).await;
        rig.jira.name_flag("Hindernis");
        let known = known(&rig.sync().await);
        let flagged = known.values().find(|(_, facts)| facts.flag.as_deref() == Some("Hindernis"));
        let (history, _) = flagged.unwrap();
        assert!(history.iter().any(|event| event.change == Change::Blocked(Some("Hindernis".into()))));
    }
}
