//! Files with ProjectContexts, settings and objectives in which every text is hostile, and a cluster that answers with such texts:
//! `controller validate`, `render`, `doctor` and `prune`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BAD, fault, refusing_server};
use crate::rig::{Ran, Running};

/// JSON whose every character can be in a file of YAML. No character of the text is above U+FFFF.
fn yaml(value: &Value) -> String {
    let escaped = |c: char| if (' '..='~').contains(&c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    value.to_string().chars().map(escaped).collect()
}

/// A context that is accepted, with a hostile text wherever the definition takes one.
fn context() -> Value {
    let address = format!("https://x/{}", BAD.replace(char::is_whitespace, ""));
    json!({
        "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
        "metadata": {"name": "checkout", "namespace": "commerce", "annotations": {"note": BAD}},
        "spec": {
            "project": {"id": "shop", "name": BAD, "epic": BAD, "include": [{"source": BAD, "project": BAD}]},
            "business": {"criticality": "critical", "owner": "team", "value": "revenue"},
            "requirements": {"availability": "99.95", "latencyP99": "200ms"},
            "risks": [{"risk": BAD, "priority": "P1", "mitigation": BAD}],
            "design": {"adr": BAD, "adrs": [BAD], "doc": address},
            "targets": [{"kind": "Deployment", "selector": {"matchLabels": {"a": "c"}}}],
            "observability": {
                "runbook": address,
                "scrape": {"port": BAD, "selector": {"a": "b"}},
                "disableAlerts": {"until": "2999-01-01", "reason": BAD},
            },
            "agentGuidance": {
                "focus": {"areas": [BAD], "reason": BAD},
                "constraints": [{"id": "c", "rule": BAD, "scope": format!("src/{BAD}"), "reason": BAD}],
                "preferences": [{"id": "p", "preference": BAD, "reason": BAD}],
                "questions": [{"id": "q", "question": BAD, "context": BAD}],
                "context": [{"topic": BAD, "content": BAD, "source": BAD}],
            },
        },
    })
}

/// The same with one more field, which is refused.
fn with(pointer: &str, value: Value) -> Value {
    let mut context = context();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    context.pointer_mut(parent).unwrap()[name] = value;
    context
}

/// Writes the files; returns the names of those that are refused.
fn files(folder: &Path) -> Vec<String> {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("good.yaml", &yaml(&context()));
    let sloth = json!({
        "version": "prometheus/v1", "service": "s", "labels": {"owner": BAD, BAD: BAD},
        "slos": [{
            "name": "availability", "objective": 99.9, "description": BAD, "alerting": {"name": BAD, "labels": {BAD: BAD}},
            "sli": {"events": {"error_query": "sum(rate(a[{{.window}}]))", "total_query": "sum(rate(b[{{.window}}]))"}},
        }],
    });
    write("sloth.yaml", &yaml(&sloth));
    write("settings.yaml", &yaml(&json!({"instance": BAD, BAD: BAD, "projects": {BAD: {"namespaces": [BAD]}}})));
    write(
        "kube.yaml",
        &yaml(&json!({"apiVersion": "v1", "kind": "Config", "current-context": BAD, "clusters": [{"name": BAD}]})),
    );
    let refused = [
        with("/metadata/name", json!(BAD)),
        with("/metadata/namespace", json!(BAD)),
        with(&format!("/spec/{BAD}"), json!(BAD)),
        with("/spec/project/id", json!(BAD)),
        with("/spec/targets/0/selector/matchLabels/a", json!(BAD)),
        with(&format!("/spec/targets/0/selector/matchLabels/b{BAD}"), json!("c")),
        with("/spec/observability/scrape/selector/a", json!(BAD)),
        with("/spec/project/repositories", json!([BAD])),
        with("/spec/business/owner", json!(BAD)),
        with("/spec/business/criticality", json!(BAD)),
        with("/spec/requirements/availability", json!(BAD)),
        with("/spec/requirements/sli", json!({"profile": "custom", "errors": BAD, "total": BAD})),
        with("/spec/requirements/sli", json!({"matchers": format!("{{a=\"{BAD}\", b=~\"({BAD}\"}}")})),
        with("/spec/observability/alertChannels", json!([BAD])),
        with("/spec/observability/runbook", json!(BAD)),
        with("/spec/targets", json!([{"kind": BAD, "name": BAD}])),
        with("/spec/risks", json!([{"risk": "r", "priority": BAD, "id": BAD, "due": BAD}])),
        with("/spec/agentGuidance/focus", json!({"areas": [BAD, BAD], "until": BAD})),
        with("/kind", json!(BAD)),
        json!({"kind": "List", "items": [with("/spec/design/doc", json!(BAD))]}),
        json!([BAD]),
    ];
    let mut names = vec![format!("none{BAD}.yaml")];
    for (number, context) in refused.iter().enumerate() {
        names.push(format!("{number}{BAD}.yaml"));
        write(names.last().unwrap(), &yaml(context));
    }
    write("torn.yaml", &format!("a: \"{BAD}\nb: ["));
    names
}

struct Folder {
    dir: tempfile::TempDir,
    faults: Vec<String>,
}

impl Folder {
    /// Runs a command of the controller; what it prints may act on nothing.
    fn run(&mut self, arguments: &[&str], has_colours: bool) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        let colours: &[&str] = if has_colours { &["--color", "always"] } else { &[] };
        command.arg("controller").args(arguments).args(colours).current_dir(self.dir.path()).env_clear();
        let ran = Running::spawn(command).wait(Duration::from_secs(60));
        assert!(ran.code.is_some_and(|code| code < 100), "{arguments:?}: {:?}\n{}", ran.code, ran.err);
        for (stream, text) in [("stdout", &ran.out), ("stderr", &ran.err)] {
            let what = fault(text, has_colours, false);
            self.faults.extend(what.map(|what| format!("{arguments:?}: {stream} has {what}")));
        }
        ran
    }

    /// The same in both forms of the log, for arguments that must name what they refuse.
    fn refused(&mut self, arguments: &[&str]) {
        for has_colours in [false, true] {
            let ran = self.run(arguments, has_colours);
            assert_ne!(ran.code, Some(0), "{arguments:?}");
            let shows = |text: &str| text.contains("\\u{202e}") || text.contains("\\u202e");
            assert!(shows(&ran.err) || shows(&ran.out), "{arguments:?} shows no such text:\n{}{}", ran.out, ran.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_context_acts_on_a_terminal() {
    let mut folder = Folder { dir: tempfile::tempdir().unwrap(), faults: Vec::new() };
    let refused = files(folder.dir.path());
    let valid = folder.run(&["validate", "good.yaml"], false);
    assert_eq!(valid.code, Some(0), "{}", valid.err);
    for name in &refused {
        // Some kinds of objects are passed over.
        let ran = folder.run(&["validate", name], false);
        if ran.code != Some(0) {
            folder.refused(&["validate", name]);
        }
        folder.run(&["render", name], false);
    }
    // What is no YAML is never quoted.
    assert_eq!(folder.run(&["validate", "torn.yaml"], false).code, Some(2));
    for form in ["yaml", "projects", "explain", "json", "contexts", "dashboards"] {
        for from in [&["good.yaml"][..], &["--from", "sloth.yaml"], &["good.yaml", "--settings", "settings.yaml"]] {
            folder.run(&[&["render", "-o", form], from].concat(), form == "explain");
        }
    }
    assert!(folder.faults.is_empty(), "{} faults:\n\n{}", folder.faults.len(), folder.faults.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_for_programs_keeps_every_character() {
    let mut folder = Folder { dir: tempfile::tempdir().unwrap(), faults: Vec::new() };
    files(folder.dir.path());
    let contexts = folder.run(&["render", "good.yaml", "-o", "contexts"], false);
    let read: Value = serde_saphyr::from_str(&contexts.out).unwrap();
    let written = context();
    assert_eq!(read["metadata"], written["metadata"]);
    for part in ["project", "risks", "design", "targets", "agentGuidance"] {
        assert_eq!(read["spec"][part], written["spec"][part], "{part}");
    }
    let objects: Value = folder.run(&["render", "good.yaml", "-o", "json"], false).json();
    let text = folder.run(&["render", "good.yaml", "-o", "yaml"], false).out;
    let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert_eq!(json!(read), objects["items"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_cluster_acts_on_a_terminal() {
    let mut serving = JoinSet::new();
    let server = refusing_server(&mut serving).await;
    let mut folder = Folder { dir: tempfile::tempdir().unwrap(), faults: Vec::new() };
    files(folder.dir.path());
    let cluster = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    });
    fs::write(folder.dir.path().join("cluster.yaml"), cluster.to_string()).unwrap();
    for kubeconfig in ["cluster.yaml", "kube.yaml"] {
        for command in [&["doctor"][..], &["prune"], &["render", "--diff", "good.yaml"]] {
            folder.refused(&[command, &["--kubeconfig", kubeconfig]].concat());
        }
    }
    for place in [["--namespace", BAD], ["--context", BAD], ["--settings", "settings.yaml"]] {
        folder.refused(&[&["doctor", "--kubeconfig", "cluster.yaml"], &place[..]].concat());
    }
    assert!(folder.faults.is_empty(), "{} faults:\n\n{}", folder.faults.len(), folder.faults.join("\n\n"));
}
