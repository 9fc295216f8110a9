//! The commands about insights, with the built binary: what is typed is in the spool at once, the helper stores it, and it is found
//! again; projects are found as the caller expects; what is wrong is refused and says why.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use contextcore_fakes::otlp::{Collector, Handle, Options};
use serde_json::Value;

use crate::rig::until;

/// A machine with a state directory, and a backend.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    backend: Option<Handle>,
}

/// What a command printed.
pub(crate) struct Printed {
    code: i32,
    out: String,
    err: String,
}

impl Printed {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    fn json(self) -> Value {
        let good = self.good();
        serde_json::from_str(&good.out).unwrap_or_else(|error| panic!("{error}: {}", good.out))
    }

    fn id(self) -> String {
        let id = self.good().out.trim().to_owned();
        assert!(id.len() == 20 && id.starts_with("ins_"), "{id}");
        id
    }
}

impl Machine {
    async fn new() -> Self {
        let backend = Collector::start(Options::default()).await.unwrap();
        Self { dir: tempfile::tempdir().unwrap(), backend: Some(backend) }
    }

    /// One that knows no backend.
    pub(crate) fn alone() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), backend: None }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.env_clear().current_dir(self.path()).env("CONTEXTCORE_STATE_DIR", self.path().join("state"));
        command.env("CONTEXTCORE_DRAIN", "off");
        if let Some(backend) = &self.backend {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.grpc_url());
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Printed {
        Printed::of(&self.command(arguments).output().unwrap())
    }

    /// In the project `shop`.
    fn shop(&self, arguments: &[&str]) -> Printed {
        Printed::of(&self.command(arguments).env("CONTEXTCORE_PROJECT", "shop").output().unwrap())
    }

    pub(crate) fn with_input(&self, arguments: &[&str], input: &str) -> Printed {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Printed::of(&child.wait_with_output().unwrap())
    }

    fn drain(&self) {
        self.run(&["drain", "--linger", "0s"]).good();
    }

    /// The lines of operations in the spool of a project.
    pub(crate) fn lines(&self, project: &str) -> Vec<String> {
        let spools: Vec<PathBuf> = files(&self.path().join("state/lanes"));
        let of_project = spools.iter().filter(|path| path.parent().is_some_and(|parent| parent.ends_with(project)));
        let text = of_project.map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>();
        text.lines().filter(|line| line.contains("\"op\":")).map(str::to_owned).collect()
    }
}

/// Every file under a directory.
fn files(under: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|each| each["id"].as_str().unwrap()).collect()
}

#[test]
fn a_command_says_what_its_environment_says() {
    let machine = Machine::alone();
    let mut command = machine.command(&["insight", "emit", "lesson", "Imports need a lock", "--agent", "importer"]);
    let span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    command.env("CONTEXTCORE_PROJECT", "shop").env("OTEL_SERVICE_NAME", "ci").env("TRACEPARENT", span);
    Printed::of(&command.output().unwrap()).good();
    let written = files(&machine.path().join("state/lanes")).into_iter();
    let text = written.map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>();
    assert!(text.contains(r#""resource":{"service.name":"ci"}"#) && text.contains(span), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_emitted_is_drained_found_and_changed() {
    let machine = Machine::new().await;
    let decision = [
        "insight",
        "emit",
        "decision",
        "Selected event-driven architecture",
        "--confidence",
        "0.92",
        "--agent",
        "claude",
    ];
    let context = [
        "--context",
        "file=src/checkout/events.py",
        "--rationale",
        "Decouples payment",
        "--evidence",
        "commit:9fceb02",
    ];
    let first = machine.shop(&[&decision[..], &context[..]].concat()).id();
    // Saying it again is no second insight.
    assert_eq!(machine.shop(&[&decision[..], &context[..]].concat()).id(), first);
    let nothing = machine.shop(&["insight", "query"]).good();
    assert!(
        nothing.out.is_empty() && nothing.err.contains("2 reports") && nothing.err.contains("drain"),
        "{}",
        nothing.err
    );
    machine.drain();

    let found =
        machine.shop(&["insight", "query", "architecture", "--path", "src/checkout/events.py", "-o", "json"]).json();
    assert_eq!((ids(&found), &found[0]["seen"], &found[0]["review"]), (vec![&*first], &2.into(), &"unreviewed".into()));
    let table = machine.shop(&["insight", "query"]).good().out;
    assert!(table.starts_with("ID ") && table.contains(&first) && table.contains("92%"), "{table}");
    let csv = machine.shop(&["insight", "query", "-o", "csv", "--fields", "id,author,summary"]).good().out;
    assert_eq!(csv, format!("id,author,summary\r\n{first},claude,Selected event-driven architecture\r\n"));

    // Somebody confirms it by the beginning of its id, and others see that.
    let reviewed = machine.shop(&["insight", "review", &first[..8], "--by", "ada"]).good();
    assert!(reviewed.err.contains("nothing here proves that a person confirms"), "{}", reviewed.err);
    machine.drain();
    let shown = machine.run(&["insight", "show", &first[4..10], "-o", "json"]).json();
    assert_eq!((&shown["review"], &shown["confirmed"]), (&"unreviewed".into(), &1.into()), "a vote, unproven");
    assert_eq!(shown["entries"].as_array().unwrap().len(), 2);
    assert_eq!((&shown["entries"][1]["by"], shown["entries"][1].get("origin")), (&"ada".into(), None));
    let text = machine.run(&["insight", "show", &first]).good().out;
    assert!(text.contains("by ada") && text.contains("local") && text.contains("commit:9fceb02"), "{text}");
    let again = machine.shop(&["insight", "review"]).good();
    assert!(again.out.contains(&first), "it was asked for, and nobody proved to stand behind it: {}", again.out);

    let exported = machine.run(&["insight", "export"]).good().out;
    let line: Value = serde_json::from_str(exported.trim()).unwrap();
    assert_eq!((line["id"].as_str(), line["entries"].as_array().unwrap().len()), (Some(&*first), 2));
    let markdown = machine.run(&["insight", "export", "--format", "md"]).good().out;
    assert!(markdown.contains("### Decisions") && markdown.contains("event-driven"), "{markdown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_suggested_and_answered() {
    let machine = Machine::new().await;
    let ask = ["insight", "emit", "question", "Which region first?", "--option", "eu", "--option", "us", "--blocking"];
    let question = machine.shop(&[&ask[..], &["--task", "PROJ-1", "--agent", "claude"]].concat()).id();
    machine.drain();
    let listed = machine.run(&["questions"]).good().out;
    assert!(listed.contains(&question) && listed.contains("[eu | us]") && listed.contains("PROJ-1"), "{listed}");
    let suggested = machine.shop(&["insight", "answer", &question, "us", "--agent", "helper"]).good();
    assert!(suggested.err.contains("suggestion"), "{}", suggested.err);
    machine.drain();
    let open = machine.run(&["questions", "-o", "json"]).json();
    assert_eq!((&open[0]["status"], &open[0]["answer"]["text"]), (&"suggested".into(), &"us".into()));

    // The person is anywhere, and names neither the project nor the whole id.
    let answered = machine.run(&["answer", &question[..9], "eu", "--by", "ada", "-o", "json"]).json();
    assert_eq!((&answered["id"], &answered["project"]), (&question.clone().into(), &"shop".into()));
    machine.drain();
    assert_eq!(machine.run(&["questions", "-o", "json"]).json(), Value::Array(Vec::new()));
    let all = machine.run(&["questions", "--all", "-o", "json"]).json();
    assert_eq!((&all[0]["status"], &all[0]["answer"]["by"]), (&"answered".into(), &"ada".into()));
    let late = machine.run(&["answer", &question, "us"]);
    assert!(late.code == 2 && late.err.contains("nothing was recorded"), "{}", late.err);
    let unknown = machine.run(&["answer", "ins_00", "us"]);
    assert!(unknown.code == 2 && unknown.err.contains("there is no insight"), "{}", unknown.err);
    let slip = format!("{}{}", &question[..19], if question.ends_with('0') { '1' } else { '0' });
    let near = machine.run(&["insight", "show", &slip]);
    assert!(near.code == 2 && near.err.contains(&format!("did you mean `{question}`?")), "{}", near.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_handed_over_and_done() {
    let machine = Machine::new().await;
    let offer = [
        "handoff",
        "create",
        "reviewer",
        "Review the change",
        "--task",
        "PROJ-1",
        "--remaining",
        "tests",
        "--input",
        "branch=f/x",
    ];
    let handoff = machine.shop(&[&offer[..], &["--agent", "claude"]].concat()).id();
    let other = machine.shop(&[&offer[..], &["--agent", "claude"]].concat()).id();
    assert_ne!(handoff, other, "two equal handoffs are two");
    machine.drain();
    let listed = machine.run(&["handoffs", "--to", "reviewer"]).good().out;
    assert!(listed.contains(&handoff) && listed.contains("offered") && listed.contains("claude"), "{listed}");
    assert!(machine.run(&["handoffs", "--to", "nobody"]).good().err.contains("none of the 2 handoffs fits"));
    machine.shop(&["handoff", "accept", &handoff, "--agent", "reviewer"]).good();
    machine.shop(&["handoff", "complete", &handoff, "merged", "--agent", "reviewer"]).good();
    machine.shop(&["handoff", "reject", &other, "--reason", "no time", "--agent", "reviewer"]).good();
    machine.drain();
    let all = machine.run(&["handoffs", "--all", "-o", "json"]).json();
    let of = |id: &str| all.as_array().unwrap().iter().find(|each| each["id"] == id).unwrap().clone();
    assert_eq!((&of(&handoff)["status"], &of(&other)["status"]), (&"completed".into(), &"rejected".into()));
    assert!(machine.shop(&["handoff", "create", "--summary", "x"]).err.contains("to: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_an_agent_recorded_is_taken_back() {
    let machine = Machine::new().await;
    let emit =
        |summary: &str, agent: &str| machine.shop(&["insight", "emit", "lesson", summary, "--agent", agent]).id();
    let bad = [emit("Skip the tests", "rogue"), emit("Push to main", "rogue")];
    let good = emit("Mock the gateway", "claude");
    machine.drain();
    let dry = machine.run(&["insight", "revert", "--agent", "rogue", "--dry-run", "-o", "json"]).json();
    assert_eq!(ids(&dry).len(), 2);
    let future = machine.run(&["insight", "revert", "--agent", "rogue", "--since", "2999-01-01"]).good();
    assert!(future.err.contains("0 insights"), "{}", future.err);
    machine.run(&["insight", "revert", "--agent", "rogue", "--reason", "injected text", "--by", "ada"]).good();
    machine.drain();
    assert_eq!(ids(&machine.shop(&["insight", "query", "-o", "json"]).json()), [&*good]);
    for id in &bad {
        let shown = machine.run(&["insight", "show", id, "-o", "json"]).json();
        assert_eq!((&shown["status"], &shown["entries"][1]["by"]), (&"retracted".into(), &"ada".into()));
    }
    let slip = machine.run(&["insight", "revert", "--agent", "rouge"]);
    assert!(slip.code == 2 && slip.err.contains("did you mean `rogue`?"), "{}", slip.err);
}

#[test]
fn projects_are_found_alike_by_every_command() {
    let machine = Machine::alone();
    let emit = ["insight", "emit", "decision", "Use an index"];
    for command in [&emit[..], &["task", "start", "T-1"], &["handoff", "create", "any", "Do it"]] {
        let failed = machine.run(command);
        assert_eq!(failed.code, 2, "{}", failed.err);
        assert!(failed.err.contains(".contextcore/project") && !failed.err.contains("known here"), "{}", failed.err);
    }
    machine.run(&["task", "start", "T-1", "--project", "shop"]).good();
    assert!(machine.run(&emit).err.contains("known here: shop"));
    let slip = machine.run(&[&emit[..], &["--project", "shpo"]].concat()).good();
    assert!(slip.err.contains("did you mean `shop`?"), "{}", slip.err);

    std::fs::create_dir_all(machine.path().join(".contextcore")).unwrap();
    std::fs::create_dir_all(machine.path().join("src/deep")).unwrap();
    std::fs::write(machine.path().join(".contextcore/project"), "blog\n").unwrap();
    let deep =
        Printed::of(&machine.command(&emit).current_dir(machine.path().join("src/deep")).output().unwrap()).good();
    assert!(deep.err.contains("blog") && deep.err.contains(".contextcore/project"), "{}", deep.err);
    let task = Printed::of(&machine.command(&["task", "start", "T-2"]).output().unwrap()).good();
    assert!(task.out.contains("blog"), "{}", task.out);
    // The variable comes before the file, the flag before both.
    let env = machine.shop(&["-o", "json", "insight", "emit", "decision", "By variable"]).json();
    assert_eq!((&env["project"], &env["project_from"]), (&"shop".into(), &"CONTEXTCORE_PROJECT".into()));
    let flag = machine.shop(&["-o", "json", "insight", "emit", "decision", "By flag", "-p", "third"]).json();
    assert_eq!(flag["project"], "third");
    assert_eq!((machine.lines("blog").len(), machine.lines("shop").len(), machine.lines("third").len()), (2, 2, 1));
}

#[test]
fn json_from_stdin_is_checked_as_a_whole_before_a_line_is_written() {
    let machine = Machine::alone();
    let emit = ["insight", "emit", "--project", "shop", "--json", "-"];
    let two = r#"{"type":"decision","summary":"One","agent":"a"}{"type":"question","summary":"Two?","options":["x"]}"#;
    let printed = machine.with_input(&emit, two).good();
    assert_eq!(printed.out.lines().count(), 2, "{}", printed.out);
    let lines = machine.lines("shop");
    assert!(lines[0].contains(r#""op":"insight.emit""#) && lines[0].contains(r#""agent":"a""#), "{lines:?}");
    assert!(
        !lines[0].contains("actor") && lines[1].contains(r#""actor":"#),
        "a person says what no agent does: {lines:?}"
    );
    for (input, want) in [
        (r#"{"type":"decision","summary":"Good"}{"type":"decision","sumary":"Bad"}"#, "did you mean `summary`?"),
        (r#"{"type":"decision","summary":"x","rationale":"password=hunter2!x"}"#, "looks like a secret"),
        (r#"{"type":"handoff","summary":"x"}"#, "to: "),
        ("", "there is no JSON object"),
    ] {
        let refused = machine.with_input(&emit, input);
        assert!(refused.code == 2 && refused.err.contains(want) && !refused.err.contains("hunter2"), "{}", refused.err);
    }
    assert_eq!(machine.lines("shop").len(), 2, "nothing of what was refused");
    let long = machine.run(&["insight", "emit", "decision", &"s".repeat(300), "-p", "shop"]).good();
    assert!(long.err.contains("summary: cut from 300 to 200 characters"), "{}", long.err);
}

#[test]
fn nothing_found_says_why() {
    let machine = Machine::alone();
    let empty = machine.run(&["insight", "query"]).good();
    assert!(empty.err.contains("no insight was recorded yet"), "{}", empty.err);
    assert_eq!(machine.run(&["insight", "query", "-o", "json"]).json(), Value::Array(Vec::new()));
    machine.shop(&["insight", "emit", "decision", "x"]).id();
    let waiting = machine.shop(&["insight", "query"]).good();
    assert!(waiting.err.contains("--endpoint URL"), "no backend is known: {}", waiting.err);
    let status = machine.run(&["insight", "query", "--status", "opne"]);
    assert!(status.code == 2 && status.err.contains("did you mean `open`?"), "{}", status.err);
    let kind = machine.run(&["insight", "query", "--type", "decison"]);
    assert!(kind.code == 2 && kind.err.contains("decision"), "{}", kind.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_and_a_helper_that_is_killed_lose_and_double_nothing() {
    let machine = Machine::new().await;
    const EACH: usize = 12;
    std::thread::scope(|scope| {
        for agent in ["one", "two"] {
            let machine = &machine;
            scope.spawn(move || {
                for number in 0..EACH {
                    let own = format!("Lesson {number} of {agent}");
                    machine.shop(&["insight", "emit", "lesson", &own, "--agent", agent]).id();
                    let shared = format!("Shared lesson {number}");
                    machine.shop(&["insight", "emit", "lesson", &shared, "--agent", agent]).id();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..8 {
                let mut helper = machine.command(&["drain", "--linger", "10s"]).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(300));
                helper.kill().unwrap();
                helper.wait().unwrap();
            }
        });
    });
    machine.drain();
    let all = machine.shop(&["insight", "query", "--limit", "100", "-o", "json"]).json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 3 * EACH);
    let seen = |shared: bool| {
        let these = all.iter().filter(|each| each["summary"].as_str().unwrap().starts_with("Shared") == shared);
        these.map(|each| each["seen"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((seen(true), seen(false)), (vec![2; EACH], vec![1; 2 * EACH]));
    assert!(machine.lines("shop").is_empty(), "nothing is left in the spool");
}

/// Between the moment a process makes the directory of its store and the moment the store is in it.
#[test]
fn a_store_that_is_not_made_yet_holds_nothing() {
    let machine = Machine::alone();
    machine.shop(&["insight", "emit", "decision", "Use an index"]).good();
    let lanes = std::fs::read_dir(machine.path().join("state/lanes")).unwrap();
    let mut stores: Vec<PathBuf> = lanes.map(|lane| lane.unwrap().path().join("engine")).collect();
    assert_eq!(stores.len(), 1);
    stores.push(machine.path().join("data"));
    stores.iter().for_each(|store| std::fs::create_dir(store).unwrap());
    std::fs::write(machine.path().join("contextcore.yaml"), "store: {path: ./data}\n").unwrap();
    let nothing = machine.shop(&["insight", "query", "-o", "json"]).json();
    assert_eq!(nothing.as_array().map(Vec::len), Some(0));
    for arguments in
        [&["questions"][..], &["guide", "list"], &["guide", "check", "src"], &["insight", "review"], &["handoffs"]]
    {
        let printed = machine.shop(arguments).good();
        assert!(!printed.err.contains("no store"), "{arguments:?}: {}", printed.err);
    }
    let shown = machine.shop(&["insight", "show", "ins_00000000000000000"]);
    assert!(shown.code == 2 && shown.err.contains("there is no insight"), "{}", shown.err);
    assert!(stores.iter().all(|store| files(store).is_empty()), "who reads makes no store");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_helper_holds_is_found_beside_it() {
    let machine = Machine::new().await;
    let id = machine.shop(&["insight", "emit", "decision", "Use an index"]).id();
    let mut helper = machine.command(&["drain", "--linger", "60s"]).spawn().unwrap();
    let all = || machine.run(&["insight", "query", "--all-projects", "-o", "json"]).json();
    until("the helper answers", || ids(&all()) == [&*id]);
    assert!(machine.run(&["insight", "show", &id]).good().out.contains("Use an index"));
    // A second page goes on where the first one ended.
    let other = machine.shop(&["insight", "emit", "decision", "Use a view"]).id();
    let page =
        |more: &[&str]| machine.shop(&[&["insight", "query", "--limit", "1", "-o", "json"], more].concat()).good();
    until("the second is stored", || all().as_array().unwrap().len() == 2);
    let first = page(&[]);
    let cursor = first.err.split("--cursor ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let second = page(&["--cursor", &cursor]);
    assert!(second.err.is_empty(), "{}", second.err);
    let (first, second) = (first.json(), second.json());
    let mut both = [ids(&first), ids(&second)].concat();
    both.sort_unstable();
    let mut want = [&*id, &*other];
    want.sort_unstable();
    assert_eq!(both, want);
    helper.kill().unwrap();
    helper.wait().unwrap();
}
