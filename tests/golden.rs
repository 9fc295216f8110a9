//! A store that an older release wrote opens with today's program, and every id in it is still the same. `golden/README.md`
//! says how the files were made.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contextcore_fakes::Clock;
use contextcore_fakes::github::{self, Github};
use contextcore_fakes::jira::{self, Jira};
use contextcore_fakes::linear::{self, Linear};
use contextcore_fakes::otlp::{self, Collector};
use contextcore_fakes::world::{Foreign, GithubDemo, World};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::role;

/// 2026-11-18T12:26:40Z: when the store was written.
const NOW: i64 = 1_795_004_800_000;
const NOW_TEXT: &str = "2026-11-18T12:26:40Z";
/// What `demo` made its world from.
const MONTHS: u32 = 1;
const SEED: u64 = 42;
const WORKED_ON: usize = 4;
/// Files of the store that are committed as they are.
const PLAIN: [&str; 3] = ["conf", "head", "snap.0000000000107B29"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    zstd::decode_all(std::fs::File::open(file(name)).unwrap()).unwrap()
}

/// What the older release printed.
fn golden(name: &str) -> Value {
    serde_json::from_slice(&unpacked(name)).unwrap()
}

/// An installation with the configuration of the sample world.
struct Installation {
    dir: TempDir,
}

impl Installation {
    /// Beside tools at these addresses, with a backend at another.
    fn new([jira, github, linear]: [&str; 3], backend: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, token) in [("jira", Jira::TOKEN), ("github", Github::TOKEN), ("linear", Linear::KEY)] {
            std::fs::write(dir.path().join(name), token).unwrap();
        }
        let text = std::fs::read_to_string(file("demo.yaml")).unwrap();
        let values = [
            ("DIR", dir.path().to_str().unwrap()),
            ("JIRA", jira),
            ("GITHUB", github),
            ("LINEAR", linear),
            ("OTLP", backend),
        ];
        let text = values.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
        std::fs::write(dir.path().join("contextcore.yaml"), text).unwrap();
        Self { dir }
    }

    /// Without tools and a backend.
    fn offline() -> Self {
        Self::new(["http://127.0.0.1:9"; 3], "http://127.0.0.1:9")
    }

    /// Puts the store of the older release in place.
    fn with_golden_store(self) -> Self {
        let store = self.dir.path().join("data");
        std::fs::create_dir_all(store.join("blobs")).unwrap();
        for name in PLAIN {
            std::fs::copy(file(name), store.join(name)).unwrap();
        }
        std::fs::write(store.join("db"), unpacked("db.zst")).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_contextcore"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env("CONTEXTCORE_NOW", NOW_TEXT)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.run(&[arguments, &["--output", "json"]].concat()).stdout).unwrap()
    }

    /// Checks that the store is sound and that every task and sprint is as it was printed, ids and numbers included.
    fn check(&self) {
        let found = self.json(&["store", "verify"]);
        assert_eq!((&found["tasks"], &found["sprints"]), (&Value::from(247), &Value::from(12)), "{found}");
        assert_eq!(found["problems"], Value::Array(vec![]));
        for (command, name) in [("tasks", "tasks.json.zst"), ("sprints", "sprints.json.zst")] {
            let (now, then) = (masked(&self.json(&[command])), masked(&golden(name)));
            assert_eq!(now.len(), then.len(), "{command}");
            for (now, then) in now.iter().zip(&then) {
                assert_eq!(now, then, "{command}");
            }
        }
    }
}

/// The items of a list. The fakes' addresses are different in every run, and nothing showed the older release an agent.
fn masked(list: &Value) -> Vec<Value> {
    let address = regex::Regex::new(r"http://127\.0\.0\.1:\d+").unwrap();
    let text = address.replace_all(&list.to_string(), "http://fake").into_owned();
    let mut items: Vec<Value> = serde_json::from_str(&text).unwrap();
    for item in &mut items {
        let assisted = item.as_object_mut().unwrap().remove("agent_assisted");
        assert!(assisted.is_none_or(|assisted| assisted == "unknown"));
    }
    items
}

/// A task without the reviews of pull requests, which the older release did not read.
fn without_reviews(task: &Value) -> Value {
    let mut task = task.clone();
    let timeline = task["timeline"].as_array_mut().unwrap();
    timeline.retain(|entry| entry["to"]["kind"] != "review");
    task
}

#[test]
fn a_store_of_an_older_release_opens_with_the_same_ids() {
    Installation::offline().with_golden_store().check();
}

#[test]
fn an_export_of_an_older_release_is_imported_with_the_same_ids() {
    let installation = Installation::offline();
    std::fs::write(installation.dir.path().join("old.export"), unpacked("export.zst")).unwrap();
    let imported = installation.run(&["store", "import", "old.export"]);
    let warnings = String::from_utf8(imported.stderr).unwrap();
    assert!(warnings.contains("cannot be verified"), "{warnings}");
    installation.check();
    // The header is of another version, and the counts and the hash are new; between them every byte is the same.
    let exported = String::from_utf8(installation.run(&["store", "export", "-"]).stdout).unwrap();
    let golden = String::from_utf8(unpacked("export.zst")).unwrap();
    let (exported, golden): (Vec<_>, Vec<_>) = (exported.lines().collect(), golden.lines().collect());
    assert_eq!((exported[0], golden[0]), ("contextcore-store 2", "contextcore-store 1"));
    assert!(exported[2..exported.len() - 1] == golden[1..], "every key and value is the same, byte by byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_same_world_again_adds_nothing_to_a_store_of_an_older_release() {
    let clock = || Clock::fixed(NOW);
    let world = World::demo(NOW, MONTHS, SEED);
    let code = GithubDemo::new(NOW, MONTHS, SEED).with_foreign(Foreign::of(&world, NOW, WORKED_ON)).build();
    let mut apps = World::demo(NOW, MONTHS, SEED + 1);
    apps.rename_project("SHOP", "APP", "Apps");
    let jira = Jira::start(world, jira::Options { clock: clock(), ..jira::Options::cloud() }).await.unwrap();
    let github = Github::start(code, github::Options { clock: clock(), ..github::Options::dot_com() }).await.unwrap();
    let linear = Linear::start(apps, linear::Options { clock: clock(), ..linear::Options::default() }).await.unwrap();
    let backend = Collector::start(otlp::Options::default()).await.unwrap();
    let urls = [jira.url(), github.url(), linear.url()];
    let installation = Installation::new(urls, &backend.grpc_url()).with_golden_store();
    tokio::task::block_in_place(|| {
        // The addresses of the tools are new, so everything is read again.
        let report = installation.json(&["sync"]);
        let sources = report["sources"].as_array().unwrap();
        assert_eq!(sources.len(), 3);
        for source in sources {
            assert!(source["records"].as_u64().unwrap() > 20 && source["error"].is_null(), "{source}");
            assert_eq!((&source["set_aside"], &source["unreadable"]), (&Value::from(0), &Value::from(0)), "{source}");
        }
        let (now, then) = (masked(&installation.json(&["tasks"])), masked(&golden("tasks.json.zst")));
        for (now, then) in now.iter().zip(&then) {
            let now = without_reviews(now);
            let (ours, theirs) = (now["timeline"].as_array().unwrap(), then["timeline"].as_array().unwrap());
            let entry = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
            assert_eq!((entry, ours.len()), (None, theirs.len()), "{}", now["id"]);
            assert_eq!(&now, then);
        }
        assert_eq!(now.len(), then.len());
    });
    // A snapshot shows the present and is taken on every run; the history is exported already.
    let history: Vec<_> = backend.spans().into_iter().filter(|span| role(span) != "snapshot").collect();
    assert!(history.is_empty(), "{history:?}");
    for log in backend.logs() {
        assert_eq!(log.event_name, "task.artifact", "{log:?}");
    }
    jira.shutdown().await;
    github.shutdown().await;
    linear.shutdown().await;
}
