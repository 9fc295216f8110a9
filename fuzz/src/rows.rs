//! One row of a vendor's answer is spoiled; every other task must be read as if it were whole.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use contextcore_core::config::SourceConfig;
use contextcore_core::simulated;
use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github};
use contextcore_fakes::jira::{self, Jira};
use contextcore_fakes::linear::{self, Linear};
use contextcore_fakes::world::{GithubDemo, World};
use serde_json::{Value, json};

use super::edit::{self, Input};
use super::network::{Key, Network};
use super::source::{self, NOW, Outcome, Source};

/// Addresses that answer with rows of records.
const RECORDS: [&str; 4] = ["/search", "/changelog", "/issue/", "/graphql"];

/// A source as it is read without trouble, and the rows that can be spoiled.
struct Rig {
    runtime: tokio::runtime::Runtime,
    network: Rc<Network>,
    config: SourceConfig,
    tasks: BTreeMap<String, String>,
    rows: Vec<Row>,
    _directory: tempfile::TempDir,
}

/// A row of an answer, and the task that it is about.
struct Row {
    request: Key,
    answer: Rc<Value>,
    path: String,
    task: String,
}

thread_local! {
    static RIG: RefCell<Option<(String, Rig)>> = const { RefCell::new(None) };
}

/// Reads a source of this kind while one row is spoiled as `input` says.
pub(crate) fn run(kind: &str, input: &[u8]) {
    RIG.with_borrow_mut(|rig| {
        if rig.as_ref().is_none_or(|(of, _)| of != kind) {
            *rig = Some((kind.to_owned(), Rig::new(kind)));
        }
        rig.as_ref().unwrap().1.check(input);
    });
}

impl Rig {
    fn new(kind: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (config, network) = runtime.block_on(start(kind, &directory));
        let mut rig =
            Self { runtime, network, config, tasks: BTreeMap::new(), rows: Vec::new(), _directory: directory };
        let whole = rig.read();
        assert!(whole.failures.is_empty() && whole.tasks.len() > 5, "{:?}, {}", whole.failures, whole.tasks.len());
        rig.tasks = described(&whole);
        rig.find_rows();
        rig
    }

    fn find_rows(&mut self) {
        for (request, body) in self.network.answers() {
            let Ok(answer) = serde_json::from_slice::<Value>(&body) else { continue };
            // Statuses have ids, too, and some are equal to those of issues.
            if !RECORDS.iter().any(|path| request.0.contains(path)) {
                continue;
            }
            let answer = Rc::new(answer);
            edit::each_row("", &answer, &mut |path, row| {
                let id = row.get("id").or_else(|| row.get("issueId"));
                let id = id.or_else(|| row.get("content")?.get("id")).and_then(Value::as_str);
                if let Some(task) = id.filter(|id| self.tasks.contains_key(*id)) {
                    let (request, answer) = (request.clone(), Rc::clone(&answer));
                    self.rows.push(Row { request, answer, path: path.to_owned(), task: task.to_owned() });
                }
            });
        }
        assert!(!self.rows.is_empty(), "no row can be spoiled");
    }

    /// One run of a new process over all streams. A list of all ids may fail: with one row that has none, absence means nothing.
    fn read(&self) -> Outcome {
        let _entered = simulated::enter(Rc::clone(&self.network) as _);
        let mut source = Source::new(self.config.clone());
        self.runtime.block_on(async {
            let streams = source.connector.streams();
            let names = |complete| streams.iter().filter(move |one| one.complete == complete).map(|one| one.name);
            let changes: Vec<_> = names(false).collect();
            let outcome = source.run(NOW, &changes).await.expect("a run with one spoiled row ends without an error");
            for stream in names(true) {
                _ = source.drain(stream, &mut Outcome::default()).await;
            }
            outcome
        })
    }

    /// A whole row in the input takes the place of the row it names; else the input says how a row is changed.
    fn check(&self, input: &[u8]) {
        let (row, bytes) = if input.starts_with(b"{") {
            if !edit::is_delimited(input) {
                return;
            }
            let text = String::from_utf8_lossy(input);
            let named = self.rows.iter().find(|row| text.contains(&quoted(&row.task)));
            (named.unwrap_or(&self.rows[0]), input.to_vec())
        } else {
            let mut input = Input(input);
            let row = &self.rows[input.below(self.rows.len())];
            (row, edit::spoil(row.answer.pointer(&row.path).unwrap(), &mut input))
        };
        self.network.spoil(Some((row.request.clone(), edit::replace(&row.answer, &row.path, &bytes))));
        let found = described(&self.read());
        self.network.spoil(None);
        let text = String::from_utf8_lossy(&bytes);
        for (id, whole) in &self.tasks {
            // A row may speak of the others: it can claim to be one of them, or the parent of one.
            if *id == row.task || text.contains(&quoted(id)) || whole.contains(&quoted(&row.task)) {
                continue;
            }
            assert_eq!(found.get(id), Some(whole), "{id} suffers from {}: {text}", row.task);
        }
    }
}

fn quoted(id: &str) -> String {
    format!("\"{id}\"")
}

fn described(outcome: &Outcome) -> BTreeMap<String, String> {
    outcome.tasks.iter().map(|(id, task)| (id.clone(), format!("{task:?}"))).collect()
}

async fn start(kind: &str, directory: &tempfile::TempDir) -> (SourceConfig, Rc<Network>) {
    let clock = Clock::fixed(NOW);
    let world = || World::history(NOW, 9, 5, 3, 12, 7);
    match kind {
        "jira" => {
            let jira = Jira::start(world(), jira::Options { clock, ..jira::Options::cloud() }).await.unwrap();
            let mut config = source::config(kind, jira.url(), directory, Jira::TOKEN, &[]);
            config.settings["auth"]["email"] = Jira::EMAIL.into();
            let network = Network::new(NOW, jira);
            (config, network)
        }
        "github" => {
            let options = github::Options { clock, ..github::Options::dot_com() };
            let github = Github::start(GithubDemo::new(NOW, 1, 7).build(), options).await.unwrap();
            let mut config = source::config(kind, github.url(), directory, Github::TOKEN, &["acme/1"]);
            config.settings["repositories"] = json!(["acme/shop"]);
            let network = Network::new(NOW, github);
            (config, network)
        }
        _ => {
            let options = linear::Options { clock, ..linear::Options::default() };
            let linear = Linear::start(world(), options).await.unwrap();
            let config = source::config(kind, linear.url(), directory, Linear::KEY, &[]);
            let network = Network::new(NOW, linear);
            (config, network)
        }
    }
}
