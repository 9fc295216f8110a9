//! Text from outside acts on no terminal: titles, names, reasons and errors that hold escapes, controls, marks of direction, characters
//! without width and line breaks are walked through every command, in every form, with the log at its loudest.
//!
//! The commands come from the program's own definition ([`commands`]), so that a new one is in [`RUNS`] or [`OWN_TEXT`], or fails the test.
//! What needs more than a line is beside this: [`service`], and with their features `contexts` (`controller`) and `agents` (`mcp`).

#[cfg(feature = "mcp")]
mod agents;
#[cfg(feature = "kubernetes")]
mod contexts;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::otlp::{self, Signal};
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{Installation, Ran, Running, Tool, sample};

/// Clears, renames, conceals, rings, turns around, hides, breaks lines: what a title may hold.
const BAD: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[8m\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{7f}\u{8}\r\nFORGED\u{2028}\u{85}y";

/// Every command that prints what others wrote: whether it does so on these arguments, and the arguments. `{bad}` is such a text,
/// `{server}` a server that answers with it, `{question}`, `{decision}` and `{handoff}` are ids.
const RUNS: &[(&str, bool, &[&str])] = &[
    ("agents export", false, &["agents export", "agents export --project {bad} --check"]),
    ("agents flow", false, &["agents flow", "agents flow --project {bad}"]),
    ("answer", true, &["answer {question} {bad} --by {bad}", "answer {bad} {bad}"]),
    (
        "check",
        true,
        &[
            "check",
            "check --grafana-url {server} --tempo-url {server} --loki-url {server} --prometheus-url {server} --wait 0",
            "check {bad}",
        ],
    ),
    ("dashboards export", true, &["dashboards export {bad} --folder {bad}"]),
    ("dashboards provision", true, &["dashboards provision --grafana-url {server}"]),
    ("dead-letters list", true, &["dead-letters list"]),
    ("dead-letters retry", true, &["dead-letters retry", "dead-letters retry {bad}"]),
    ("drain", false, &["drain --linger 0s", "drain --linger 0s --lane {bad}", "drain --linger 0s --endpoint {server}"]),
    ("git check", true, &["git check HEAD~1..HEAD", "git check {bad}"]),
    ("git hook", false, &["git hook commit-msg message", "git hook post-commit"]),
    ("git install", false, &["git install --key {bad}"]),
    ("git uninstall", false, &["git uninstall"]),
    ("guide add", false, &["guide add constraint {bad} --reason {bad} --scope {bad} --id own -p shop --actor {bad}"]),
    ("guide list", true, &["guide list", "guide list --all {bad}"]),
    ("guide show", true, &["guide show store:own", "guide show {bad}"]),
    ("guide check", true, &["guide check src/a.rs {bad}"]),
    ("guide end", true, &["guide end own --reason {bad} -p {bad}", "guide end {bad}"]),
    ("handoff create", true, &["handoff create any {bad} --remaining {bad} -p {bad}"]),
    ("handoffs", true, &["handoffs --all", "handoffs --to {bad}"]),
    ("handoff accept", true, &["handoff accept {handoff} --agent {bad}", "handoff accept {bad}"]),
    ("handoff complete", true, &["handoff complete {handoff} --agent {bad}", "handoff complete {bad}"]),
    ("handoff reject", true, &["handoff reject {handoff} {bad}", "handoff reject {bad}"]),
    ("init", true, &["init --kind file --name x --path {bad} --no-check --config fresh{bad}", "init --kind {bad}"]),
    (
        "insight emit",
        true,
        &[
            "insight emit decision {bad} --rationale {bad} --tag {bad} --evidence {bad} -p {bad}",
            "insight emit {bad} {bad}",
        ],
    ),
    ("insight query", true, &["insight query", "insight query {bad}", "insight query --fields id,summary,author,tags"]),
    ("insight show", true, &["insight show {decision}", "insight show {question}", "insight show {bad}"]),
    ("insight answer", true, &["insight answer {question} {bad} --agent {bad}", "insight answer {bad} {bad}"]),
    (
        "insight update",
        true,
        &["insight update confirm {decision} {bad}", "insight update confirm {bad}", "insight update {bad} {bad}"],
    ),
    ("insight review", true, &["insight review", "insight review --all", "insight review {decision} --reason {bad}"]),
    ("insight export", true, &["insight export", "insight export --format md"]),
    ("insight retract", true, &["insight retract {decision} {bad}", "insight retract {bad}"]),
    (
        "insight revert",
        true,
        &[
            "insight revert --agent {bad} --dry-run",
            "insight revert --agent {bad} --reason {bad}",
            "insight revert --agent z{bad}",
        ],
    ),
    ("questions", true, &["questions --all", "questions -p {bad}"]),
    ("replay", true, &["replay", "replay --source {bad}", "replay --project {bad}", "replay --since {bad}"]),
    ("show", true, &["show HOST-1", "show {task}", "show {bad}"]),
    ("sources", false, &["sources"]),
    ("sources move", true, &["sources move {bad} --to {bad}"]),
    ("sprints", true, &["sprints", "sprints --sprint {bad}", "sprints --fields id,name,goal"]),
    ("status", true, &["status", "status -v"]),
    ("store compact", false, &["store compact"]),
    ("store export", false, &["store export copy.ccx", "store export none/{bad}"]),
    ("store copy", false, &["store copy --to {bad}", "store copy --to there"]),
    ("store verify", false, &["store verify"]),
    ("store import", false, &["store import copy.ccx", "store import {bad}"]),
    ("sync", true, &["sync", "sync --full", "sync --dry-run", "sync {bad}"]),
    ("task block", true, &["task block {bad} --reason {bad} --by {bad} -p {bad}"]),
    ("task cancel", true, &["task cancel {bad} --reason {bad} -p {bad}"]),
    ("task comment", true, &["task comment {bad} {bad} --author {bad} -p {bad}"]),
    ("task complete", true, &["task complete {bad} -p {bad}"]),
    ("task event", true, &["task event {bad} deploy.started --attr {bad}={bad} -p {bad}"]),
    ("task link", true, &["task link {bad} url {bad} --url {bad} -p {bad}"]),
    ("task progress", true, &["task progress {bad} 5 -p {bad}", "task progress {bad} {bad}"]),
    ("task reopen", true, &["task reopen {bad} -p {bad}"]),
    ("task start", true, &["task start {bad} --title {bad} --type {bad} --status {bad} --label {bad} -p {bad}"]),
    ("task status", true, &["task status {bad} {bad} --reason {bad} -p {bad}"]),
    ("task unblock", true, &["task unblock {bad} -p {bad}"]),
    ("task update", true, &["task update {bad} --title {bad} -p {bad}"]),
    (
        "tasks",
        true,
        &[
            "tasks",
            "tasks --project {bad}",
            "tasks --assignee {bad}",
            "tasks --fields id,title,labels,assignee,sprints,timeline",
        ],
    ),
    // Last: it removes what others list.
    ("dead-letters drop", false, &["dead-letters drop", "dead-letters drop {bad}"]),
];

/// The commands that print nothing from outside, or are walked elsewhere.
const OWN_TEXT: &[(&str, &str)] = &[
    ("completions", "prints a script that is built in"),
    ("controller", "is a group, or is not in this build"),
    ("controller crd", "prints a file that is built in"),
    ("controller doctor", "in `contexts`"),
    ("controller prune", "in `contexts`"),
    ("controller run", "serves; its log is written as that of `serve`"),
    ("controller render", "in `contexts`"),
    ("controller validate", "in `contexts`"),
    ("demo", "reads a sample world of its own"),
    ("mcp", "in `agents`"),
    ("schema", "prints a file that is built in"),
    ("serve", "in `service`"),
];

/// The commands that have no commands below them, from the script for shells, which has the hidden ones too.
fn commands() -> BTreeSet<String> {
    let script = Command::new(env!("CARGO_BIN_EXE_contextcore")).args(["completions", "bash"]).output().unwrap();
    let script = String::from_utf8(script.stdout).unwrap();
    let mut names = BTreeMap::from([("contextcore".to_owned(), String::new())]);
    let (mut parents, mut lines) = (BTreeSet::new(), script.lines().map(str::trim));
    while let Some(line) = lines.next() {
        let Some((parent, name)) = line.strip_suffix(')').and_then(|line| line.split_once(',')) else { continue };
        let Some(id) = lines.next().and_then(|line| line.strip_prefix("cmd=\"")) else { continue };
        let Some(above) = names.get(parent) else { continue };
        let name = format!("{above} {name}").trim().to_owned();
        parents.insert(above.clone());
        // An alias comes after the name.
        names.entry(id.trim_end_matches('"').to_owned()).or_insert(name);
    }
    // What `help` prints is what `--help` prints.
    let is_help = |name: &String| name.split(' ').any(|part| part == "help");
    let runs_alone = |name: &String| (!parents.contains(name) || name == "sources") && !is_help(name);
    names.into_values().filter(runs_alone).collect()
}

#[test]
fn every_command_is_walked_or_says_why_not() {
    let all = commands();
    assert!(all.len() > 50 && all.contains("git hook") && all.contains("dead-letters list"), "{all:?}");
    let named: Vec<&str> = RUNS.iter().map(|run| run.0).chain(OWN_TEXT.iter().map(|own| own.0)).collect();
    let missing: Vec<_> = all.iter().filter(|name| !named.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "add to RUNS in tests/hostile.rs: {missing:?}");
    let is_optional = |name: &str| name.starts_with("controller") || ["demo", "mcp"].contains(&name);
    let unknown: Vec<_> = named.iter().filter(|name| !all.contains(**name) && !is_optional(name)).collect();
    assert!(unknown.is_empty(), "there is no such command: {unknown:?}");
}

/// Whether a character acts on a terminal, or hides. Written anew here: the program's own list may lack one.
fn acts(c: char) -> bool {
    let hides = ['\u{ad}', '\u{61c}', '\u{feff}', '\u{2028}', '\u{2029}'];
    let ranges = ['\u{200b}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    c != '\n' && c.is_control() || hides.contains(&c) || ranges.iter().any(|range| range.contains(&c))
}

/// The text without the colours that the program writes: it conceals nothing, and knows no other sequence.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        let is_colour = part[end..].starts_with('m') && !part[..end].split(';').any(|code| code == "8");
        plain.push_str(if is_colour { &part[end + 1..] } else { part });
        if !is_colour {
            plain.push('\u{1b}');
        }
    }
    plain
}

/// What is wrong with a printed text.
fn fault(text: &str, has_colours: bool, is_csv: bool) -> Option<String> {
    let text = if has_colours { without_colours(text) } else { text.to_owned() };
    let text = if is_csv { text.replace("\r\n", "\n") } else { text };
    let forged = !is_csv && text.lines().any(|line| line.starts_with("FORGED"));
    let found = text.chars().find(|c| acts(*c)).map(|c| format!("{c:?}"));
    let what = found.or_else(|| forged.then(|| "a forged line".to_owned()))?;
    Some(format!("{what} in:\n{}", text.escape_debug().to_string().replace("\\n", "\n")))
}

/// A store in which every text is hostile, with a backend and a tool that refuse with such texts.
struct Stage {
    tool: Tool,
    home: Installation,
    server: String,
    ids: BTreeMap<&'static str, String>,
    _serving: JoinSet<()>,
}

impl Stage {
    async fn new() -> Self {
        let (tool, mut home) = sample().await;
        let state = home.path().join("state").display().to_string();
        home.variables.push(("CONTEXTCORE_STATE_DIR".into(), state));
        home.variables.extend([("CONTEXTCORE_DRAIN".into(), "off".into()), ("GRAFANA_TOKEN".into(), "t".into())]);
        for name in ["AUTHOR", "COMMITTER"] {
            home.variables.push((format!("GIT_{name}_NAME"), "Ada".into()));
            home.variables.push((format!("GIT_{name}_EMAIL"), "ada@example.com".into()));
        }
        let task = hostile_world(&tool);
        configure(&home);
        for signal in Signal::ALL {
            home.collector.script_for(signal, [otlp::Fault::Partial { rejected: 2, reason: BAD.to_owned() }]);
        }
        let mut serving = JoinSet::new();
        let server = refusing_server(&mut serving).await;
        let mut stage = Self { tool, home, server, ids: BTreeMap::from([("task", task)]), _serving: serving };
        stage.populate();
        stage
    }

    /// Syncs, reports insights, and lets the tool fail.
    fn populate(&mut self) {
        drop(self.home.run(&["sync"]));
        self.repository();
        for (name, kind, more) in [
            ("question", "question", &["--option", BAD, "--to", "human"][..]),
            ("decision", "decision", &["--rationale", BAD, "--evidence", BAD]),
        ] {
            let emit = ["insight", "emit", kind, &format!("{kind} {BAD}"), "--agent", BAD, "-p", "shop"];
            self.ids.insert(name, self.home.run(&[&emit[..], more].concat()).expect(0).out.trim().to_owned());
        }
        let offer = ["handoff", "create", "any", BAD, "--done", BAD, "--agent", "a", "-p", "shop"];
        self.ids.insert("handoff", self.home.run(&offer).expect(0).out.trim().to_owned());
        drop(self.home.run(&["drain", "--linger", "0s"]));
        let body = json!({"errorMessages": [BAD], "errors": {"jql": BAD}}).to_string();
        let refused = Fault::Status { code: 400, headers: Vec::new(), body };
        self.tool.jira.faults().clear();
        self.tool.jira.faults().on("POST *", When::Always, refused);
        drop(self.home.run(&["sync"]).expect(3));
    }

    /// A git repository whose last commit and guidance are hostile.
    fn repository(&self) {
        let root = self.home.path();
        std::fs::create_dir_all(root.join(".contextcore")).unwrap();
        let guidance = json!({"constraints": [{"id": "file", "rule": BAD, "rationale": BAD, "scope": BAD}]});
        std::fs::write(root.join(".contextcore/guidance.yaml"), guidance.to_string()).unwrap();
        std::fs::write(root.join("message"), BAD).unwrap();
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", ".contextcore"],
            &["commit", "-qm", "chore: begin"],
            &["commit", "-q", "--allow-empty", "-m", BAD],
        ] {
            assert!(self.home.prepare(Command::new("git"), arguments).status().unwrap().success());
        }
    }

    fn filled(&self, word: &str) -> String {
        let word = word.replace("{bad}", BAD).replace("{server}", &self.server);
        self.ids.iter().fold(word, |word, (name, id)| word.replace(&format!("{{{name}}}"), id))
    }

    fn run(&self, line: &str, more: &[&str]) -> Ran {
        let words: Vec<String> = line.split(' ').chain(more.iter().copied()).map(|word| self.filled(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.home.command(&words);
        command.env("USER", "ada").env("COLUMNS", "200");
        Running::spawn(command).wait(Duration::from_secs(120))
    }
}

/// Gives the sample world's Jira names that act; returns the key of a task that has them.
fn hostile_world(tool: &Tool) -> String {
    let (id, key, sprint) = {
        let world = tool.jira.world();
        let issue = world.issues().find(|issue| !issue.fields.sprints.is_empty()).unwrap();
        (issue.id, world.key_of(issue.id), issue.fields.sprints[0])
    };
    tool.edit(|edit| {
        edit.rename(id, BAD);
        edit.set_labels(id, &[BAD]);
        edit.rename_sprint(sprint, BAD);
    });
    let named = serde_json::to_string(&format!("In Progress{BAD}")).unwrap();
    let rename = move |body: &str| body.replace("\"In Progress\"", &named);
    tool.jira.faults().on("*", When::Always, Fault::Rewrite(std::sync::Arc::new(rename)));
    key
}

/// A text in YAML, which takes few characters as they are.
fn quoted(text: &str) -> String {
    let escaped = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// Adds a source whose every value acts, and a project of such names.
fn configure(home: &Installation) {
    let task = |id: &str, status: &str| {
        json!({
            "id": id, "title": BAD, "status": status, "native_status": BAD, "project": BAD, "native_type": BAD,
            "priority": BAD, "assignee": BAD, "reporter": BAD, "labels": [BAD, "b"], "sprints": ["s"], "url": BAD,
            "parent": format!("p{BAD}"), "blocked_by": [BAD], "created": "2026-11-01T08:00:00Z",
            "timeline": [{"at": "2026-11-02T08:00:00Z", "kind": "assigned", "to": BAD, "actor": BAD}],
        })
    };
    let sprint = json!({"id": "s", "name": BAD, "goal": BAD, "project": BAD, "state": "active", "start": "2026-11-01T08:00:00Z"});
    let lines = [
        task("HOST-1", "in_progress"),
        task(&format!("HOST-2{BAD}"), "done"),
        task(&format!("HOST-3{BAD}"), BAD),
        json!({"id": "HOST-4", "title": BAD, "status": "todo", "created": BAD}),
        sprint,
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(home.path().join("work.jsonl"), text).unwrap();
    let config = home.config_text().replace("{id: commerce, ", &format!("{{id: commerce, name: {}, ", quoted(BAD)));
    home.write(&format!("{config}  - {{name: other, kind: file, path: work.jsonl}}\n"));
}

/// A server that answers everything with such a text.
async fn refusing_server(serving: &mut JoinSet<()>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = || async { (axum::http::StatusCode::BAD_REQUEST, json!({"message": BAD, "error": BAD}).to_string()) };
    serving.spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    url
}

/// The forms of a result. The first line of a command is printed in each of them, the others in the first.
const FORMS: [&[&str]; 4] = [&["-vvv"], &["--color", "always"], &["-o", "json"], &["-o", "csv"]];

/// Whether a command shows a hostile text, and what is wrong with what it prints.
fn walk(stage: &Stage, line: &str, form: &[&str]) -> (bool, Vec<String>) {
    let ran = stage.run(line, form);
    assert!(ran.code.is_some_and(|code| code < 100), "{line}: {:?}\n{}", ran.code, ran.err);
    let printed = [("stdout", &ran.out), ("stderr", &ran.err)];
    let shows = printed.iter().any(|(_, text)| text.contains("\\u{202e}") || text.contains("\\u202e"));
    let of = |(stream, text): (&str, &String)| {
        let what = fault(text, form == FORMS[1], form == FORMS[3])?;
        Some(format!("{line} {}: {stream} has {what}", form.join(" ")))
    };
    (shows, printed.into_iter().filter_map(of).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_from_outside_acts_on_a_terminal() {
    let stage = Stage::new().await;
    let mut faults = Vec::new();
    for (name, shows, lines) in RUNS {
        let mut shown = false;
        for (place, line) in lines.iter().enumerate() {
            for form in FORMS.iter().take(if place == 0 { FORMS.len() } else { 1 }) {
                let (shows, wrong) = walk(&stage, line, form);
                shown |= shows;
                faults.extend(wrong);
            }
        }
        assert!(shown || !shows, "`{name}` shows nothing of such a text: the test is blind for it");
    }
    assert!(faults.is_empty(), "{} faults:\n\n{}", faults.len(), faults.join("\n\n"));
}
