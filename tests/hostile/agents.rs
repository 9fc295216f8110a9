//! An agent reads the hostile store over MCP, and asks in hostile words: nothing in an answer is invisible or changes the order of
//! reading, every line break is in a fence or where several lines are meant, and the log acts on no terminal.

use std::collections::BTreeSet;
use std::fs::{self, File};

use serde_json::{Value, json};

use super::{BAD, Stage, acts, fault};
use crate::mcp::{Agent, each_text};

/// Every tool with what it is asked. `true` where the answer shows a text of the store.
fn calls(stage: &Stage) -> Vec<(&'static str, bool, Value)> {
    let id = |name: &str| stage.ids[name].clone();
    let parts = json!(["timeline", "children", "blockers", "artifacts", "insights", "text"]);
    let fields = json!(["key", "title", "status", "type", "assignee", "labels", "sprint", "parent", "url", "priority"]);
    vec![
        ("get_context", true, json!({"project": "shop", "question": "decision x", "budget": 6_000})),
        ("get_context", false, json!({"project": BAD, "question": BAD, "paths": [BAD], "service": BAD, "task": BAD})),
        ("get_context", true, json!({"task": "HOST-1", "paths": ["src/a.rs"], "budget": 6_000})),
        ("find_tasks", true, json!({"project": BAD, "fields": fields, "limit": 50, "budget": 6_000})),
        ("find_tasks", true, json!({"text": "FORGED", "limit": 50, "budget": 6_000})),
        ("find_tasks", false, json!({"assignee": BAD, "sprint": BAD, "epic": BAD, "text": BAD, "cursor": BAD})),
        ("find_tasks", false, json!({BAD: BAD, "fields": [BAD], "status": [BAD], "sort": BAD})),
        ("get_task", true, json!({"key": "HOST-1", "include": parts, "budget": 6_000})),
        ("get_task", true, json!({"key": id("task"), "include": parts, "budget": 6_000})),
        ("get_task", true, json!({"key": format!("HOST-2{BAD}"), "include": parts, "budget": 6_000})),
        ("get_task", false, json!({"key": BAD, "include": [BAD]})),
        ("get_project", true, json!({"project": BAD, "sprint": BAD, "limit": 50})),
        ("get_project", true, json!({"project": BAD})),
        ("get_project", true, json!({"project": "commerce"})),
        ("get_project", false, json!({"project": format!("z{BAD}"), "cursor": BAD})),
        ("find_insights", true, json!({"status": "all", "limit": 30, "budget": 6_000})),
        ("find_insights", true, json!({"id": id("decision"), "budget": 6_000})),
        ("find_insights", true, json!({"id": id("question")})),
        ("find_insights", false, json!({"agent": BAD, "text": BAD, "tags": [BAD], "type": [BAD], "since": BAD})),
        ("record_insight", false, json!({"type": "lesson", "summary": BAD, "rationale": BAD, "applies_to": [BAD]})),
        (
            "record_insight",
            false,
            json!({"type": BAD, "summary": BAD, "evidence": [{"kind": BAD, "ref": BAD}], BAD: 1}),
        ),
        ("update_insight", false, json!({"id": id("decision"), "action": "confirm", "text": BAD})),
        ("update_insight", false, json!({"id": BAD, "action": BAD})),
        ("ask_human", false, json!({"question": BAD, "options": [BAD, BAD], "task": BAD, "applies_to": [BAD]})),
        (
            "hand_off",
            false,
            json!({"to": BAD, "summary": BAD, "done": [BAD], "remaining": [BAD], "inputs": {BAD: BAD}}),
        ),
        ("hand_off", false, json!({"id": id("handoff"), "action": "accept"})),
        ("hand_off", false, json!({"id": BAD, "action": BAD})),
        (
            "report_task",
            false,
            json!({"key": BAD, "op": "start", "title": BAD, "labels": [BAD], "attributes": {BAD: BAD}}),
        ),
        ("report_task", false, json!({"key": BAD, "op": BAD, "status": BAD})),
        ("report_task", false, json!({"key": BAD, "op": "link", "kind": BAD, "ref": BAD, "url": BAD})),
    ]
}

/// What is wrong with a text of an answer. Only a fence, and what an author wrote in paragraphs, has several lines.
fn wrong(name: &str, text: &str) -> Option<String> {
    let hidden = text.chars().find(|c| acts(*c));
    let fence = text.strip_prefix("<<<untrusted ").filter(|rest| rest.len() > 8).map(|rest| &rest[..8]);
    let holds = match fence {
        Some(nonce) => {
            let end = format!("\n{nonce} untrusted>>>");
            text.ends_with(&end) && text.matches("<<<").count() == 1 && text.matches(">>>").count() == 1
        }
        None => !text.contains("<<<") && !text.contains(">>>"),
    };
    let is_one_line = !text.contains('\n') || fence.is_some() || ["rationale", "answer"].contains(&name);
    (hidden.is_some() || !holds || !is_one_line).then(|| format!("{name}: {text:?}"))
}

/// The texts of an answer: those of its structure, which its text repeats as JSON, or the text of a refusal.
fn faults(what: &str, result: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let content = result["content"].as_array().into_iter().flatten();
    for text in content.filter_map(|part| part["text"].as_str()) {
        match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() => {
                found.extend((value != result["structuredContent"]).then(|| text.to_owned()))
            }
            _ => found.extend(wrong("refusal", text)),
        }
        found.extend(text.chars().any(acts).then(|| format!("raw: {text:?}")));
    }
    let mut rest = result.clone();
    rest.as_object_mut().map(|fields| fields.remove("content"));
    each_text(&rest, &mut |name, text| found.extend(wrong(name, text)));
    found.into_iter().map(|fault| format!("{what}: {fault}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_in_an_answer_to_an_agent_is_hidden_or_leaves_its_place() {
    let stage = Stage::new().await;
    // What was reported is in the store that the agent reads.
    stage.home.write(&format!("{}  - {{name: agents, kind: sdk, path: state}}\n", stage.home.config_text()));
    stage.run("sync", &[]);
    let log = stage.home.path().join("mcp.log");
    let mut command = stage.home.command(&["mcp", "--agent", &format!("tester{BAD}"), "-vvv"]);
    command.stderr(File::create(&log).unwrap());
    let mut agent = Agent::logging(command);
    let mut found = Vec::new();

    let listed = agent.request("tools/list", json!({}))["result"]["tools"].clone();
    let tools: BTreeSet<&str> = listed.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let calls = calls(&stage);
    assert_eq!(tools, calls.iter().map(|call| call.0).collect(), "each tool is called");
    for (tool, shows, arguments) in calls {
        let what = format!("{tool} {}", arguments.to_string().escape_debug());
        let result = agent.result(tool, arguments);
        assert!(result["content"][0]["text"].is_string(), "{what}: {result}");
        let is_blind = shows && !result.to_string().contains("FORGED");
        found.extend(is_blind.then(|| format!("{what} shows nothing of such a text: {result}")));
        found.extend(faults(&what, &result));
    }

    let key = &stage.ids["task"];
    let mut uris =
        vec![format!("contextcore://task/{key}"), format!("contextcore://insight/{}", stage.ids["decision"])];
    uris.extend(
        ["project/commerce", "guidance/shop", "task/HOST-1", "task/x%1b%e2%80%aey"]
            .map(|uri| format!("contextcore://{uri}")),
    );
    uris.push(format!("contextcore://{BAD}/{BAD}"));
    let read = uris.iter().map(|uri| ("resources/read", json!({"uri": uri})));
    let prompts = [
        json!({"name": "prepare_task", "arguments": {"key": BAD}}),
        json!({"name": BAD, "arguments": {BAD: BAD}}),
        json!({"name": "session_start", "arguments": {"project": BAD}}),
    ];
    let more = [
        ("resources/list", json!({})),
        (BAD, json!({"x": BAD})),
        ("tools/call", json!({"name": BAD, "arguments": {}})),
    ];
    for (method, params) in read.chain(prompts.into_iter().map(|prompt| ("prompts/get", prompt))).chain(more) {
        let answer = agent.request(method, params.clone());
        each_text(&answer, &mut |name, text| {
            let hidden = text.chars().any(acts).then(|| format!("{method} {params}: {name}: {text:?}"));
            found.extend(hidden);
        });
    }
    drop(agent);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("mcp.call") || log.contains("get_context"), "{log}");
    found.extend(fault(&log, false, false).map(|what| format!("the log has {what}")));
    assert!(found.is_empty(), "{} faults:\n\n{}", found.len(), found.join("\n\n"));
}
