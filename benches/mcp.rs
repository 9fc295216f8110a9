//! What an agent waits for: `cargo bench --bench mcp`. Each row is held to its budget, and one above it fails the run.
//!
//! 100,000 insights and 20,000 tasks are stored; the built binary answers on stdin and stdout, with nothing else running. Measured are
//! `find_insights`, every tool with eight kinds of arguments (each answer within its budget of tokens, 24 kB and one line), and the
//! memory of the process. `CONTEXTCORE_BENCH_BIN` names another binary, and an argument another number of
//! insights: `cargo bench --bench mcp -- 20000`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall fail at once")]

mod rows;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use contextcore_core::model::insight::{InsightRecord, InsightReport, Said, identity};
use contextcore_core::model::operation::InsightEmit;
use contextcore_core::model::time::DAY;
use contextcore_core::store::Store;
use contextcore_core::{Millis, clock};
use rows::Rows;
use serde_json::{Value, json};

const TASKS: usize = 20_000;
const QUESTIONS: usize = 200;
const WORDS: &str = "checkout payment retry latency queue invoice export cache index session token webhook migration schema \
    rollback deploy cluster replica shard trace metric alert dashboard budget vendor contract estimate sprint story review branch \
    merge test mock timeout backoff currency locale upload search";

/// One of the [`WORDS`], of which there are 40.
fn word(number: usize) -> &'static str {
    WORDS.split(' ').nth(number % 40).unwrap()
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn number(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn sample_text(&mut self, count: usize) -> String {
        (0..count).map(|_| word(self.number(40))).collect::<Vec<_>>().join(" ")
    }
}

fn binary() -> PathBuf {
    std::env::var_os("CONTEXTCORE_BENCH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_contextcore").into(), PathBuf::from)
}

fn insights() -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000)
}

fn main() -> ExitCode {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    measure(dir.path()).verdict()
}

/// Reads the tasks as a source, and then stores the insights.
fn prepare(dir: &Path) {
    std::fs::create_dir(dir.join("state")).unwrap();
    let text = format!(
        "store: {{path: '{0}/store'}}\nexport: {{give_up: 1s, otlp: {{endpoint: 'http://127.0.0.1:9', signals: [traces]}}}}\n\
         sources:\n  - {{name: tracker, kind: file, path: '{0}/tasks.jsonl'}}\n  - {{name: agents, kind: sdk, path: '{0}/state'}}\n",
        dir.display()
    );
    std::fs::write(dir.join("contextcore.yaml"), text).unwrap();
    let mut dice = Dice(1);
    let tasks: Vec<String> = (0..TASKS).map(|number| task(number, &mut dice).to_string()).collect();
    std::fs::write(dir.join("tasks.jsonl"), tasks.join("\n") + "\n").unwrap();
    // The backend is not there, which is no matter here.
    let _status = command(dir).arg("sync").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let store = Store::open(&dir.join("store")).unwrap();
    let all: Vec<usize> = (0..insights()).collect();
    for part in all.chunks(2_000) {
        let mut transaction = store.begin().unwrap();
        part.iter().for_each(|number| transaction.put_insight(None, &insight(*number, &mut dice)).unwrap());
        transaction.commit().unwrap();
    }
}

fn task(number: usize, dice: &mut Dice) -> Value {
    let created = clock::now().plus(-DAY * i64::try_from(number % 300).unwrap());
    let status = ["done", "done", "done", "todo", "in_progress"][number % 5];
    let assignee = ["Ada", "Lin"][number % 2];
    json!({
        "id": format!("SHOP-{number}"), "title": dice.sample_text(6), "project": "shop", "type": "story", "created": created,
        "status": status, "assignee": assignee,
        "labels": [dice.sample_text(1)], "parent": format!("SHOP-{}", number % 200),
        "blocked_by": if number % 50 == 3 { vec![format!("SHOP-{}", number + 1)] } else { Vec::new() },
    })
}

fn insight(number: usize, dice: &mut Dice) -> InsightRecord {
    let id = identity::random_id((number as u64).to_be_bytes());
    let emit = InsightEmit {
        id: id.clone(),
        insight_type: ["decision", "lesson", "discovery", "risk"][number % 4].to_owned(),
        summary: dice.sample_text(8),
        rationale: Some(dice.sample_text(15)),
        tags: vec![dice.sample_text(1)],
        applies_to: vec![format!("path:src/{}/**", word(number))],
        confidence: Some(0.8),
        agent: Some("bench".to_owned()),
        ..InsightEmit::default()
    };
    let mut record = InsightRecord::new("agents", "shop", &id);
    let at: Millis = clock::now().plus(-DAY * i64::try_from(number % 400).unwrap());
    record.add([InsightReport::new("0f", number as u64, at, None, Said::Emit(Box::new(emit)))]);
    record
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(dir);
    command.env("CONTEXTCORE_STATE_DIR", dir.join("state")).env("CONTEXTCORE_DRAIN", "off");
    command.arg("--config").arg(dir.join("contextcore.yaml"));
    command
}

struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Agent {
    fn start(dir: &Path) -> Self {
        let mut command = command(dir);
        command.args(["mcp", "--agent", "bench", "--project", "shop"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, last: 0 }
    }

    /// The line of an answer, and how long it took in milliseconds.
    fn call(&mut self, tool: &str, arguments: &Value) -> (String, f64) {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        self.last += 1;
        let begun = Instant::now();
        writeln!(
            self.input,
            "{}",
            json!({"jsonrpc": "2.0", "id": self.last, "method": "tools/call", "params": params})
        )
        .unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (line, begun.elapsed().as_secs_f64() * 1_000.0)
    }

    fn peak_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn measure(dir: &Path) -> Rows {
    let mut rows = Rows::default();
    let mut agent = Agent::start(dir);
    let mut dice = Dice(99);
    let (_, first) = agent.call("find_insights", &json!({"text": "checkout"}));
    rows.add("first find_insights, which reads the store", first / 1_000.0, 10.0, "s");
    let mut times: Vec<f64> =
        (0..QUESTIONS).map(|_| agent.call("find_insights", &json!({"text": dice.sample_text(5)})).1).collect();
    times.sort_by(f64::total_cmp);
    rows.add("find_insights, half of the questions", times[QUESTIONS / 2], 50.0, "ms");
    rows.add("find_insights, 95 % of the questions", times[QUESTIONS * 95 / 100], 50.0, "ms");
    rows.add("memory after them", agent.peak_megabytes(), 120.0, "MB");
    let (slowest, over) = every_tool(&mut agent);
    rows.add("slowest call of any tool", slowest / 1_000.0, 10.0, "s");
    rows.add("answers over their budget", over, 0.0, "");
    rows
}

/// Each reading tool with eight kinds of arguments: the slowest call, and how many answers are too long.
fn every_tool(agent: &mut Agent) -> (f64, f64) {
    let (mut slowest, mut over): (f64, f64) = (0.0, 0.0);
    for (tool, arguments) in questions() {
        let (line, took) = agent.call(tool, &arguments);
        let answer: Value = serde_json::from_str(&line).unwrap();
        let result = &answer["result"];
        assert_eq!(result["isError"], false, "{tool} {arguments}: {line}");
        let text = result["content"][0]["text"].as_str().unwrap();
        let used =
            text.bytes().filter(u8::is_ascii).count().div_ceil(3) + text.chars().filter(|c| !c.is_ascii()).count();
        let budget = usize::try_from(arguments["budget"].as_u64().unwrap_or(1_500)).unwrap();
        if used > budget || line.len() > 24_000 {
            println!("{tool} {arguments}: {used} tokens, {} bytes", line.len());
            over += 1.0;
        }
        slowest = slowest.max(took);
    }
    (slowest, over)
}

fn questions() -> Vec<(&'static str, Value)> {
    let budgets = [300, 600, 900, 1_500, 2_000, 3_000, 4_500, 6_000];
    let sorts = ["key", "updated", "created", "points"];
    let each = budgets.iter().enumerate().flat_map(|(number, budget)| {
        let word = word(number);
        let parts = &["timeline", "children", "blockers", "artifacts", "insights", "text"][..number.min(6)];
        [
            ("get_context", json!({"paths": [format!("src/{word}/a.rs")], "question": format!("what is slow in {word}"), "budget": budget})),
            ("find_tasks", json!({"text": word, "sort": sorts[number % 4], "limit": 50, "budget": budget})),
            ("get_task", json!({"key": format!("SHOP-{number}"), "include": parts, "budget": budget})),
            ("find_insights", json!({"text": word, "limit": 30, "budget": budget})),
            ("get_project", if number % 2 == 0 { json!({}) } else { json!({"project": "shop"}) }),
        ]
    });
    each.collect()
}
