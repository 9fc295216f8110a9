//! What people do on GitHub moves the work in Jira: found by its key, exported with the task's own source, once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod common;

use std::collections::BTreeMap;

use contextcore_core::Millis;
use contextcore_core::config::{self, Config};
use contextcore_core::export::otlp::RetryPolicy;
use contextcore_core::export::{Destinations, Exporter, Present};
use contextcore_core::ingest::sync::{Options, Source, sync_source};
use contextcore_core::progress::Quiet;
use contextcore_core::query::{TaskFilter, TaskView, Viewer};
use contextcore_core::store::Store;
use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github, GithubHandle};
use contextcore_fakes::jira::{self, Jira, JiraHandle};
use contextcore_fakes::otlp::{Collector, Handle, Span};
use contextcore_fakes::world::{Draft, Edit, PullDraft, PullId, StatusId, TypeId, UserId, World};
use tokio_util::sync::CancellationToken;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

struct Rig {
    jira: JiraHandle,
    github: GithubHandle,
    collector: Handle,
    config: Config,
    store: Store,
    sinks: Destinations,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// Three open tasks in Jira, and a repository that is quiet so far.
    async fn new() -> Self {
        let mut tracker = World::empty();
        let project = tracker.add_project("PROJ", "Project", StatusId::TO_DO);
        for number in 1..=3 {
            tracker.edit(NOW - 48 * HOUR).add_issue(Draft::new(project, TypeId::STORY, format!("Story {number}")));
        }
        let mut forge = World::empty();
        forge.add_project("WEB", "web", StatusId::TO_DO);
        let jira = Jira::start(tracker, jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() });
        let github = github::Options { clock: Clock::fixed(NOW), ..github::Options::dot_com() };
        let (jira, github) = (jira.await.unwrap(), Github::start(forge, github).await.unwrap());
        let collector = Collector::start(contextcore_fakes::otlp::Options::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let secret = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("token: {{file: {}}}", path.display())
        };
        let (jira_token, github_token) = (secret("jira", Jira::TOKEN), secret("github", Github::TOKEN));
        let (email, owner) = (Jira::EMAIL, Github::OWNER);
        let text = format!(
            "store: {{path: {store}}}\nexport: {{history: all, give_up: 5s, otlp: {{endpoint: '{otlp}'}}}}\nsources:\n  \
             - {{name: jira, kind: jira, url: '{}', auth: {{email: {email}, {jira_token}}}, derive_status: true}}\n  \
             - {{name: github, kind: github, url: '{}', auth: {{{github_token}}}, repositories: [{owner}/web]}}\n",
            jira.url(),
            github.url(),
            store = dir.path().join("data").display(),
            otlp = collector.grpc_url(),
        );
        let config = config::parse(&text, "test.yaml", &contextcore_connectors::kinds()).unwrap();
        let store = Store::open(config.store.path().unwrap()).unwrap();
        let stop = CancellationToken::new();
        let sinks = Destinations::connect(&config.export.otlp, &stop, &RetryPolicy::default()).unwrap();
        Self { jira, github, collector, config, store, sinks, stop, _dir: dir }
    }

    async fn sync(&self, name: &str, now: i64) -> u64 {
        let config = self.config.source(name).unwrap().clone();
        let kind = contextcore_connectors::ALL.iter().find(|registration| registration.kind == config.kind).unwrap();
        let connector = (kind.build)(&config, &self.config.privacy).unwrap();
        let options = Options { now: Some(Millis(now)), ..Options::default() };
        let report = sync_source(
            &self.store,
            &Source { config, connector, portfolio: std::sync::Mutex::default(), insights: Default::default() },
            &options,
            &Quiet,
            &self.stop,
        )
        .await;
        assert!(report.error.is_none() && report.set_aside == 0, "{report:?}");
        report.changes
    }

    async fn export(&self, now: i64) {
        let replayer = Exporter::new(&self.store, &self.config, &self.sinks, &Quiet, &self.stop, false);
        let drained = replayer.drain(Millis(now), Present { snapshots: true, metrics: false }).await;
        assert!(drained.errors.is_empty() && drained.rejected == 0, "{drained:?}");
    }

    fn task(&self, id: &str, now: i64) -> TaskView {
        let tasks = Viewer::new(&self.store, &self.config, Millis(now)).tasks(&TaskFilter::default()).unwrap();
        tasks.into_iter().find(|task| task.id == id).unwrap()
    }

    /// History spans by id; one exported twice must be the same.
    fn history(&self) -> BTreeMap<String, Span> {
        let mut history: BTreeMap<String, Span> = BTreeMap::new();
        for span in self.collector.spans() {
            let role = span.attributes.get("contextcore.role").and_then(|role| role.as_str()).unwrap_or_default();
            if role == "snapshot" {
                continue;
            }
            let (id, text) = (span.span_id.clone(), format!("{span:?}"));
            if let Some(before) = history.insert(id, span) {
                assert_eq!(format!("{before:?}"), text, "what is exported is final");
            }
        }
        history
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.history().into_values().map(|span| span.name).collect();
        names.sort();
        names
    }

    /// A branch and a pull request that name a task, opened a while ago.
    fn work(&self, key: &str, at: i64) -> PullId {
        let mut forge = self.github.world();
        let web = forge.find_project("WEB").unwrap();
        let mut edit = forge.edit(at);
        let pull = edit.open_pull(PullDraft::new(web, format!("feature/{key}"), format!("{key}: build it")));
        edit.push(pull, "begin");
        pull
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_moves_the_task_it_names_and_is_exported_once() {
    let rig = Rig::new().await;
    rig.sync("jira", NOW).await;
    rig.export(NOW).await;
    assert!(rig.history().is_empty(), "nothing is final yet");

    let pull = rig.work("PROJ-1", NOW + MINUTE);
    rig.sync("github", NOW + 2 * MINUTE).await;
    assert_eq!(rig.task("PROJ-1", NOW + 2 * MINUTE).status.as_str(), "in_progress");
    rig.export(NOW + 2 * MINUTE).await;
    assert_eq!(rig.names(), ["PROJ-1 Story 1", "todo"], "its anchor and the phase that ended");

    rig.github.world().edit(NOW + 3 * MINUTE).request_review(pull, UserId(0));
    rig.github.world().edit(NOW + 4 * MINUTE).merge(pull);
    rig.sync("github", NOW + 5 * MINUTE).await;
    // Jira is polled between and says what it always said.
    assert_eq!(rig.sync("jira", NOW + 5 * MINUTE).await, 0);
    let task = rig.task("PROJ-1", NOW + 5 * MINUTE);
    assert_eq!((task.status.as_str(), task.completed), ("done", Some(Millis(NOW + 4 * MINUTE))));
    let derived: Vec<_> = task.timeline.iter().filter_map(|entry| entry.derived.clone()).collect();
    assert!(derived.iter().any(|because| because == "merged acme/web#1"), "{derived:?}");
    for minute in 5..8 {
        rig.export(NOW + minute * MINUTE).await;
        rig.sync("github", NOW + minute * MINUTE).await;
        rig.sync("jira", NOW + minute * MINUTE).await;
    }
    let expected = ["PROJ-1 Story 1", "PROJ-1 Story 1", "PROJ-1 done", "in_progress", "in_review", "todo"];
    assert_eq!(rig.names(), expected);
    let merged: Vec<_> = rig
        .collector
        .logs()
        .into_iter()
        .filter(|log| log.event_name == "task.artifact" && format!("{:?}", log.body).contains("merged"))
        .collect();
    assert_eq!(merged.len(), 1, "{merged:?}");
    let done = rig.history().into_values().find(|span| span.name == "PROJ-1 done").unwrap();
    assert!(done.attributes.contains_key("task.last_commit_sha") && done.attributes.contains_key("task.reviewer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_read_after_its_time_was_exported_changes_nothing_exported() {
    let rig = Rig::new().await;
    let proj = rig.jira.world().find("PROJ-2").unwrap();
    rig.jira.world().edit(NOW - HOUR).transition(proj, StatusId::DONE);
    let pull = rig.work("PROJ-2", NOW - 3 * HOUR);
    rig.github.world().edit(NOW - 2 * HOUR).merge(pull);
    rig.sync("jira", NOW).await;
    rig.export(NOW).await;
    let before = rig.history();
    assert!(before.values().any(|span| span.name == "PROJ-2 done"));

    rig.sync("github", NOW + MINUTE).await;
    rig.export(NOW + MINUTE).await;
    let after = rig.history();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    let artifacts = rig.collector.logs().into_iter().filter(|log| log.event_name == "task.artifact").count();
    assert_eq!(artifacts, 3, "the logs show that it was opened, committed and merged");
    assert_eq!(rig.task("PROJ-2", NOW + MINUTE).completed, Some(Millis(NOW - 2 * HOUR)), "and the views know better");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_in_which_tools_are_asked_does_not_show() {
    let mut seen = Vec::new();
    for order in [["jira", "github"], ["github", "jira"]] {
        let rig = Rig::new().await;
        let pull = rig.work("PROJ-3", NOW - HOUR);
        rig.github.world().edit(NOW - MINUTE).merge(pull);
        for name in order {
            rig.sync(name, NOW).await;
        }
        rig.export(NOW).await;
        let task = rig.task("PROJ-3", NOW);
        assert_eq!(task.status.as_str(), "done");
        let history: Vec<String> =
            rig.history().into_values().map(|span| format!("{} {}", span.name, span.span_id)).collect();
        seen.push((format!("{:?}", task.timeline), history));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_name_tasks_that_no_branch_or_title_names() {
    let rig = Rig::new().await;
    let open = |branch: &str, body: &str, message: &str| {
        let mut forge = rig.github.world();
        let web = forge.find_project("WEB").unwrap();
        let mut edit = forge.edit(NOW - HOUR);
        let draft = PullDraft { body: body.into(), ..PullDraft::new(web, branch, "Build it") };
        let pull = edit.open_pull(draft);
        edit.push(pull, message);
    };
    open("one", "", "feat: begin\n\nTask: proj-1\nCo-authored-by: Bob <bob@example.com>");
    // A body as GitHub gives it: as plain text, without empty lines.
    open("two", "Why it is.\nCloses: proj-2\nPart-of: PROJ-9", "feat: begin");
    open("three", "Refs: see proj-3 for it\nand more", "feat: proj-3 in prose is no key");
    for name in ["github", "jira"] {
        rig.sync(name, NOW).await;
    }
    let statuses = ["PROJ-1", "PROJ-2", "PROJ-3"].map(|key| rig.task(key, NOW).status.as_str().to_owned());
    assert_eq!(statuses, ["in_progress", "in_progress", "todo"]);
}

/// What a task's spans say of agents, by their role.
fn said_of_agents(rig: &Rig, key: &str) -> BTreeMap<String, String> {
    let text = |span: &Span, name: &str| span.attributes.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let own = |span: &Span| text(span, "task.id").as_deref() == Some(key);
    let spans = rig.collector.spans().into_iter().filter(own);
    spans.filter_map(|span| Some((text(&span, "contextcore.role")?, text(&span, "task.agent_assisted")?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_and_pull_requests_show_of_agents_reaches_the_task() {
    let rig = Rig::new().await;
    {
        let mut forge = rig.github.world();
        let web = forge.find_project("WEB").unwrap();
        let (agent, updater) = {
            let mut edit = forge.edit(NOW - 3 * HOUR);
            (edit.add_bot("copilot-swe-agent"), edit.add_bot("dependabot"))
        };
        let open = |edit: &mut Edit<'_>, key: &str, message: &str| {
            let pull = edit.open_pull(PullDraft::new(web, format!("feature/{key}"), "Build it"));
            edit.push(pull, message);
            pull
        };
        let trailer = "Pay\n\nCo-Authored-By: Claude Opus 4.5 <noreply@anthropic.com>";
        let pull = open(&mut forge.edit(NOW - 2 * HOUR), "PROJ-1", trailer);
        forge.edit(NOW - HOUR).merge(pull);
        // The squashed commit on the default branch has lost the trailer.
        forge.edit(NOW - HOUR).commit(web, "PROJ-1: build it (#1)");
        open(&mut forge.edit(NOW - 2 * HOUR).by(agent), "PROJ-2", "Pay");
        open(
            &mut forge.edit(NOW - 2 * HOUR).by(updater),
            "PROJ-3",
            "Bump it\n\nSigned-off-by: dependabot[bot] <support@github.com>",
        );
    }
    for name in ["jira", "github"] {
        rig.sync(name, NOW).await;
    }
    let found = ["PROJ-1", "PROJ-2", "PROJ-3"].map(|key| rig.task(key, NOW).agent_assisted.as_str());
    assert_eq!(found, ["assisted", "delegated", "unknown"]);
    rig.export(NOW).await;
    let finished = said_of_agents(&rig, "PROJ-1");
    assert_eq!(finished["task"], "assisted");
    assert_eq!(finished["completion"], "assisted");
    assert_eq!(said_of_agents(&rig, "PROJ-2")["snapshot"], "delegated");
    assert_eq!(said_of_agents(&rig, "PROJ-3")["snapshot"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_what_a_pull_request_declares() {
    let rig = Rig::new().await;
    {
        let mut forge = rig.github.world();
        let web = forge.find_project("WEB").unwrap();
        let mut edit = forge.edit(NOW - HOUR);
        let draft =
            PullDraft { body: "Why it is.\nAssisted-by: none".into(), ..PullDraft::new(web, "PROJ-1", "Build it") };
        let pull = edit.open_pull(draft);
        edit.push(pull, "begin");
        let pull = edit.open_pull(PullDraft::new(web, "PROJ-2", "Build it"));
        edit.push(pull, "begin\n\nAssisted-by: none");
        edit.push(pull, "go on");
    }
    for name in ["jira", "github"] {
        rig.sync(name, NOW).await;
    }
    let found = ["PROJ-1", "PROJ-2", "PROJ-3"].map(|key| rig.task(key, NOW).agent_assisted.as_str());
    assert_eq!(found, ["none", "unknown", "unknown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_what_people_did_is_read_again_once() {
    let rig = Rig::new().await;
    rig.work("PROJ-1", NOW - HOUR);
    rig.sync("jira", NOW).await;
    rig.sync("github", NOW).await;
    let lists =
        || rig.github.requests().iter().filter(|request| format!("{request:?}").contains("PullRequests")).count();
    let quiet = lists();
    rig.sync("github", NOW + MINUTE).await;
    assert_eq!(lists(), quiet, "nothing changed");
    // As a program that knew nothing of agents left it.
    let mut status = rig.store.source_status("github").unwrap();
    assert_eq!(std::mem::take(&mut status.readings).len(), 3);
    let mut transaction = rig.store.begin().unwrap();
    transaction.put_source_status("github", &status).unwrap();
    transaction.commit().unwrap();
    assert_eq!(rig.sync("github", NOW + 2 * MINUTE).await, 0, "nothing is new");
    assert!(lists() > quiet);
    let once = lists();
    rig.sync("github", NOW + 3 * MINUTE).await;
    assert_eq!(lists(), once);
}
