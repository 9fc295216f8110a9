//! Agents at `/mcp` of `serve`: a token sees its projects and no word about others, what others could misuse is refused, and each call is
//! telemetry without its arguments.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use contextcore_postgres::Postgres;
use serde_json::{Value, json};

use crate::database::{LONG, move_in};
use crate::rig::{Installation, LIMIT, Service, Tool, sample};
use crate::shares::replica;

const META: &str = "io.modelcontextprotocol/protocolVersion";

/// Two projects in one file, a token for one of them, one that writes there, and one for all.
async fn serving() -> (Tool, Installation, Service) {
    let (tool, home) = configured().await;
    let mut service = Service::start(&home);
    service.until("/readyz", "200");
    (tool, home, service)
}

async fn configured() -> (Tool, Installation) {
    let (tool, home) = sample().await;
    let created = "2026-11-01T08:00:00Z";
    let lines = [
        json!({"id": "SHOP-1", "title": "Basket", "status": "in_progress", "project": "SHOP", "assignee": "Ada", "created": created}),
        json!({"id": "SHOP-2", "title": "Card", "status": "todo", "project": "SHOP", "blocked_by": ["BLOG-1"], "sprints": ["s1"], "created": created}),
        json!({"id": "BLOG-1", "title": "Secret plan", "status": "todo", "project": "BLOG", "assignee": "Zoe", "parent": "SHOP-1", "sprints": ["s2"], "created": created}),
        json!({"id": "s1", "name": "Shop sprint", "state": "active", "project": "SHOP", "start": created}),
        json!({"id": "s2", "name": "Blog sprint", "state": "active", "project": "BLOG", "start": created}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(home.path().join("work.jsonl"), text).unwrap();
    std::fs::create_dir(home.path().join("state")).unwrap();
    let token = |name: &str, projects: &str, write: bool| {
        std::fs::write(home.path().join(name), format!("token-of-{name}\n")).unwrap();
        format!(
            "    - {{name: {name}, token: {{file: '{}/{name}'}}, projects: {projects}, write: {write}}}\n",
            home.path().display()
        )
    };
    let tokens =
        [token("shop", "[SHOP]", false), token("writer", "[SHOP]", true), token("all", "['*']", true)].concat();
    home.write(&format!(
        "store: {{path: ./data}}\nexport:\n  history: all\n  otlp: {{endpoint: '{otlp}', protocol: grpc}}\n\
         mcp:\n  enabled: true\n  hosts: [x]\n  tokens:\n{tokens}\
         sources:\n  - {{name: work, kind: file, path: '{0}/work.jsonl'}}\n  \
         - {{name: agents, kind: sdk, path: '{0}/state'}}\n",
        home.path().display(),
        otlp = home.collector.grpc_url(),
    ));
    (tool, home)
}

struct Client<'a>(&'a Service, &'a str);

impl Client<'_> {
    fn send(&self, method: &str, params: Value, more: &str) -> (String, String) {
        let mut params = params;
        params["_meta"] = json!({
            META: "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "http", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).map(|name| format!("mcp-name: {name}\r\n"));
        let headers = format!(
            "authorization: Bearer {}\r\naccept: application/json, text/event-stream\r\ncontent-type: application/json\r\n\
             mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{}{more}",
            self.1,
            name.unwrap_or_default(),
        );
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.0.request("POST", "/mcp", &headers, body.as_bytes()).unwrap()
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        let (status, body) = self.send(method, params.clone(), "");
        // A chunked body has its lengths around it.
        let json = body.find('{').zip(body.rfind('}')).map(|(start, end)| &body[start..=end]);
        json.and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_else(|| panic!("{method} {params}: {status} {body}"))
    }

    /// The text of an answer, whether or not it is an error.
    fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_comes_back_once_to_whichever_replica() {
    let Some(server) = Postgres::shared() else { return };
    let (_tool, mut home) = configured().await;
    move_in(&mut home, &server.url(), &server.schema("forms"), LONG);
    let mut replicas = ["one", "two"].map(|name| replica(&home, name));
    replicas.iter_mut().for_each(|replica| drop(replica.service.until("/readyz", "200")));
    let [one, two] = replicas.each_ref().map(|replica| Client(&replica.service, "token-of-writer"));
    let call = json!({"name": "ask_human", "arguments": {"question": "Which bank?", "wait": true, "project": "SHOP"}});
    let asked = one.ask("tools/call", call.clone())["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let mut returned = call;
    returned["requestState"] = asked["requestState"].clone();
    returned["inputResponses"] = json!({"answer": {"action": "accept", "content": {"answer": "The blue one"}}});
    let answer = two.ask("tools/call", returned.clone());
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    assert!(answer["result"]["structuredContent"].to_string().contains("The blue one"), "{answer}");
    for client in [&one, &two] {
        let again = client.ask("tools/call", returned.clone()).to_string();
        assert!(again.contains("was brought back before"), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_its_projects_and_no_word_about_others() {
    let (_tool, _home, mut service) = serving().await;
    let begun = Instant::now();
    while !Client(&service, "token-of-all").text("get_project", json!({})).contains("BLOG") {
        assert!(begun.elapsed() < LIMIT && service.run.is_running(), "the file is not read");
        std::thread::sleep(Duration::from_millis(200));
    }
    let shop = Client(&service, "token-of-shop");
    let mut said = Vec::new();
    for (tool, arguments) in [
        ("get_project", json!({})),
        ("get_project", json!({"project": "SHOP"})),
        ("get_project", json!({"sprint": "Blog sprnt"})),
        ("find_tasks", json!({"fields": ["title", "assignee", "sprint", "project"]})),
        ("find_tasks", json!({"assignee": "Zoee"})),
        ("find_tasks", json!({"sprint": "Blog sprnt"})),
        (
            "get_task",
            json!({"key": "SHOP-1", "include": ["timeline", "children", "blockers", "artifacts", "insights", "text"]}),
        ),
        ("get_context", json!({"question": "what is the secret plan"})),
        ("find_insights", json!({"text": "secret"})),
    ] {
        said.push((format!("{tool} {arguments}"), shop.text(tool, arguments)));
    }
    let listed = shop.ask("resources/list", json!({}));
    said.push(("resources/list".to_owned(), listed.to_string()));
    for (asked, text) in &said {
        for word in ["BLOG", "Zoe\"", "`Zoe`", "Secret", "`Blog sprint`"] {
            assert!(!text.contains(word), "{asked}: {text}");
        }
    }
    assert!(said[3].1.contains("Shop sprint") && said[3].1.contains("\"total\":2"), "{}", said[3].1);
    // What exists elsewhere is answered as what exists nowhere.
    for (tool, there, nowhere) in [
        ("get_task", json!({"key": "BLOG-1"}), json!({"key": "BLOG-9"})),
        ("find_tasks", json!({"assignee": "Zoe"}), json!({"assignee": "Nob"})),
        ("find_tasks", json!({"sprint": "Blog sprint"}), json!({"sprint": "None"})),
        ("find_tasks", json!({"epic": "BLOG-1"}), json!({"epic": "BLOG-9"})),
        ("find_tasks", json!({"project": "BLOG"}), json!({"project": "NONE"})),
        ("get_context", json!({"project": "BLOG"}), json!({"project": "NONE"})),
        ("get_project", json!({"sprint": "Blog sprint"}), json!({"sprint": "None"})),
    ] {
        let without = |arguments: &Value, text: String| {
            let typed = arguments.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
            let time = timeless(&text);
            time.replace(&typed, "…")
        };
        let (one, other) = (shop.text(tool, there.clone()), shop.text(tool, nowhere.clone()));
        assert_eq!(without(&there, one), without(&nowhere, other), "{tool} {there}");
    }
    for uri in ["contextcore://task/BLOG-1", "contextcore://project/BLOG", "contextcore://guidance/BLOG"] {
        let answer = shop.ask("resources/read", json!({"uri": uri}));
        assert!(answer["error"].is_object() && !answer.to_string().contains("Secret"), "{uri}: {answer}");
    }
    assert_eq!(shop.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len(), 5);
    let write = json!({"name": "record_insight", "arguments": {"type": "lesson", "summary": "x"}});
    assert_eq!(shop.ask("tools/call", write)["error"]["code"], -32602);
    service.stop();
}

/// The answer without the time of it.
fn timeless(text: &str) -> String {
    let Some(at) = text.find("\"as_of\":\"") else { return text.to_owned() };
    let end = text[at + 9..].find('"').map_or(text.len(), |length| at + 9 + length);
    format!("{}{}", &text[..at], &text[end..])
}

/// Waits until a tool answers with a text that holds `part`.
fn until(client: &Client<'_>, tool: &str, arguments: &Value, part: &str) -> String {
    let begun = Instant::now();
    loop {
        let text = client.text(tool, arguments.clone());
        if text.contains(part) {
            return text;
        }
        assert!(begun.elapsed() < LIMIT, "{tool} {arguments}: {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_reports_is_its_agents_and_a_key_that_others_have_is_its_own() {
    let (_tool, _home, service) = serving().await;
    let (writer, all) = (Client(&service, "token-of-writer"), Client(&service, "token-of-all"));
    writer.text("report_task", json!({"key": "A-1", "op": "start", "title": "Pay"}));
    all.text("report_task", json!({"key": "A-1", "op": "start", "title": "Write", "project": "BLOG"}));
    writer.text("report_task", json!({"key": "A-2", "op": "link", "kind": "pr", "ref": "7"}));
    let key = |key: &str| json!({"key": key});
    let paid = until(&writer, "get_task", &key("A-1"), r#""agent_assisted":"assisted""#);
    assert!(paid.contains("Pay") && !paid.contains("Write"), "{paid}");
    until(&all, "get_task", &json!({"key": "A-1", "project": "BLOG"}), "Write");
    until(&all, "get_task", &key("A-1"), "a task of each of BLOG, SHOP: name one with `project`");
    let linked = until(&writer, "get_task", &json!({"key": "A-2", "include": ["artifacts"]}), "assisted");
    assert!(
        linked.contains("writer") && !linked.contains("\"http\""),
        "the name of the token, not of the client: {linked}"
    );
    let again = writer.text("report_task", json!({"key": "A-1", "op": "progress", "percent": 50}));
    assert!(again.contains(r#""visible":true"#), "{again}");
    let read = writer.ask("resources/read", json!({"uri": "contextcore://task/A-1"})).to_string();
    assert!(read.contains("Pay"), "{read}");
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_telemetry_without_its_arguments() {
    let (_tool, home, mut service) = serving().await;
    let writer = Client(&service, "token-of-writer");
    writer.text("find_tasks", json!({"text": "whatIsAsked"}));
    writer.text("get_task", json!({"key": "whatIsAsked"}));
    let begun = Instant::now();
    let records = loop {
        let logs = home.collector.logs();
        let records: Vec<String> =
            logs.iter().map(|log| format!("{log:?}")).filter(|log| log.contains("mcp.call")).collect();
        if records.len() >= 2 {
            break records;
        }
        assert!(begun.elapsed() < LIMIT && service.run.is_running(), "{records:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(records.iter().any(|record| record.contains("not_found")), "{records:?}");
    let spans: Vec<String> = home.collector.spans().iter().map(|span| format!("{span:?}")).collect();
    assert!(spans.iter().any(|span| span.contains("tools/call get_task")), "{spans:?}");
    let points = home.collector.points().iter().map(|point| format!("{point:?}")).collect::<String>();
    let metrics = service.get("/metrics").unwrap().1;
    assert!(
        metrics.contains("mcp_server_operation_duration_seconds_count{mcp_method_name=\"tools/call\""),
        "{metrics}"
    );
    assert!(!(records.concat() + &spans.concat() + &points + &metrics).contains("whatIsAsked"));
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_comes_whole_is_ended() {
    let (_tool, _home, service) = serving().await;
    let mut stream = service.connect().unwrap();
    let head = "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer token-of-shop\r\ncontent-type: application/json\r\n\
                accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: ping\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        Client(&service, "token-of-shop").ask("tools/list", json!({}))["result"].is_object(),
        "others are answered"
    );
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_could_misuse_is_refused() {
    let (_tool, _home, service) = serving().await;
    let shop = Client(&service, "token-of-shop");
    let status = |client: &Client<'_>, more: &str| client.send("ping", json!({}), more).0;
    assert!(status(&Client(&service, "token-of-nobody"), "").contains("401"));
    assert!(status(&shop, "origin: http://evil.example\r\n").contains("403"));
    let large = json!({"name": "find_tasks", "arguments": {"text": "x".repeat(2 << 20)}});
    let refused = shop.send("tools/call", large, "").0;
    assert!(refused.contains("413") || refused.contains("400"), "{refused}");
    let answers: Vec<String> = (0..70).map(|_| status(&shop, "")).collect();
    assert!(answers.iter().any(|answer| answer.contains("429")), "{answers:?}");
    assert!(!status(&Client(&service, "token-of-all"), "").contains("429"), "another token has its own");
    service.stop();
}
