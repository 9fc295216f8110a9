//! The same calls give the same lines in every language: `sdk/conformance`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contextcore_sdk::agent::{InsightDraft, InsightEmitter, Reference};
use contextcore_sdk::{Builder, Clears, SprintTracker, TaskDraft, TaskTracker, Value as Attribute};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

type Fields = Map<String, Value>;

#[derive(Deserialize)]
struct Case {
    name: String,
    client: String,
    options: Fields,
    calls: Vec<Call>,
    lines: Vec<String>,
}

#[derive(Deserialize)]
struct Call {
    method: String,
    args: Vec<Value>,
    #[serde(default)]
    options: BTreeMap<String, Box<RawValue>>,
}

impl Call {
    fn options(&self) -> Value {
        let known =
            self.options.iter().map(|(name, raw)| (name.clone(), value(&serde_json::from_str(raw.get()).unwrap())));
        Value::Object(known.collect())
    }

    /// Names and values of an option, in the order of the file.
    fn pairs(&self, name: &str) -> Vec<(String, Value)> {
        let Some(raw) = self.options.get(name) else { return Vec::new() };
        let pairs: Ordered = serde_json::from_str(raw.get()).unwrap();
        pairs.0.iter().map(|(name, each)| (name.clone(), value(each))).collect()
    }
}

/// An object, in order.
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A value of the file; `$` marks what JSON cannot say.
fn value(given: &Value) -> Value {
    match given {
        Value::Array(list) => list.iter().map(value).collect(),
        Value::Object(object) => marked(object).unwrap_or_else(|| {
            object.iter().map(|(name, each)| (name.clone(), value(each))).collect::<Fields>().into()
        }),
        other => other.clone(),
    }
}

fn marked(object: &Fields) -> Option<Value> {
    let (mark, given) = object.iter().next().filter(|(name, _)| name.starts_with('$'))?;
    let times = |index: usize| usize::try_from(given[index].as_u64().unwrap()).unwrap();
    Some(match mark.as_str() {
        "$repeat" => given[0].as_str().unwrap().repeat(times(1)).into(),
        "$repeat_list" => vec![given[0].clone(); times(1)].into(),
        "$units" => {
            let units: Vec<u16> = serde_json::from_value(given.clone()).unwrap();
            String::from_utf16_lossy(&units).into()
        }
        // Times and numbers stay marked: see `time` and `number`.
        _ => Value::Object(object.clone()),
    })
}

fn text(given: &Value) -> &str {
    given.as_str().unwrap_or_else(|| panic!("{given} is no text"))
}

fn time(given: &Value) -> SystemTime {
    let given: contextcore_model::Millis = serde_json::from_value(given["$time"].clone()).unwrap();
    UNIX_EPOCH + Duration::from_millis(u64::try_from(given.0).unwrap())
}

fn number(given: &Value) -> f64 {
    match given.get("$number").map(text) {
        Some(named) => named.parse().unwrap(),
        None => given.as_f64().unwrap(),
    }
}

fn list(given: &Value) -> Vec<String> {
    match given {
        Value::Array(list) => list.iter().map(|each| text(each).to_owned()).collect(),
        one => vec![text(one).to_owned()],
    }
}

fn attribute(given: &Value) -> Attribute {
    match given {
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => number.as_f64().unwrap().into(),
        // What a program in Rust writes itself.
        Value::Array(_) | Value::Object(_) => given.to_string().into(),
        other => text(other).into(),
    }
}

/// What differs from run to run: the time, and ids that are random. Runs of one letter are written as `<N x>`.
fn redacted(line: &str) -> String {
    let mut operation: Value = serde_json::from_str(line).unwrap();
    let mut line = line.replacen(&format!(r#""t":{}"#, operation["t"]), r#""t":"<t>""#, 1);
    let kind = operation["type"].take();
    let random = ["question", "handoff", "blocker", "progress", "analysis"].iter().any(|random| kind == *random);
    if operation["op"] == "insight.emit" && random && operation.get("key").is_none() {
        line = line.replacen(text(&operation["id"]), "<id>", 1);
    }
    shortened(&line)
}

fn shortened(line: &str) -> String {
    let (mut found, mut letters) = (String::new(), line.chars().peekable());
    while let Some(letter) = letters.next() {
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        let is_long = count >= 100 && letter.is_alphabetic();
        found += &if is_long { format!("<{count} {letter}>") } else { letter.to_string().repeat(count) };
    }
    found
}

#[test]
fn calls_give_these_lines() {
    let cases: Vec<Case> = serde_json::from_str(&data("calls.json")).unwrap();
    assert!(cases.len() >= 60);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let found = run(case);
            (found != case.lines)
                .then(|| format!("{}:\n  {}\n  {}", case.name, found.join("\n  "), case.lines.join("\n  ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(case: &Case) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let options = value(&case.options.clone().into());
    let project = options.get("project_id").map_or("p", text);
    let mut builder: Builder = TaskTracker::builder().project(project).state_dir(dir.path()).drain(false);
    if let Some(actor) = options.get("actor") {
        builder = builder.actor(text(actor));
    }
    match case.client.as_str() {
        "tracker" => {
            let tracker = builder.build().unwrap();
            case.calls.iter().for_each(|call| call_tracker(&tracker, call));
        }
        "sprints" => {
            let sprints = builder.sprints().unwrap();
            case.calls.iter().for_each(|call| call_sprints(&sprints, call));
        }
        _ => {
            let emitter = builder.emitter(text(&options["agent_id"])).unwrap();
            let emitter = with_who(emitter, &options);
            case.calls.iter().for_each(|call| call_emitter(&emitter, call));
        }
    }
    let lines = segments(dir.path()).into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    lines.flat_map(|text| text.lines().skip(1).map(redacted).collect::<Vec<_>>()).collect()
}

fn segments(under: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| if path.is_dir() { segments(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect()
}

fn call_tracker(tracker: &TaskTracker, call: &Call) {
    let args: Vec<Value> = call.args.iter().map(value).collect();
    let options = call.options();
    let tracker = &options.get("at").map_or_else(|| tracker.clone(), |at| tracker.at(time(at)));
    let given = |name: &str| options.get(name).map(text);
    let arg = |place: usize| text(&args[place]);
    match (call.method.as_str(), given("reason")) {
        ("start_task", _) => drop(fields(tracker.task(arg(0)).title(arg(1)), call).start()),
        ("update_task", _) => fields(tracker.task(arg(0)), call).update(),
        ("update_status", Some(reason)) => tracker.update_status_because(arg(0), arg(1), reason),
        ("update_status", None) => tracker.update_status(arg(0), arg(1)),
        ("block_task", _) => match given("blocked_by") {
            Some(by) => tracker.block_task_by(arg(0), arg(1), by),
            None => tracker.block_task(arg(0), arg(1)),
        },
        ("unblock_task", _) => match given("new_status") {
            Some(status) => tracker.unblock_task_into(arg(0), status),
            None => tracker.unblock_task(arg(0)),
        },
        ("complete_task", _) => tracker.complete_task(arg(0)),
        ("cancel_task", Some(reason)) => tracker.cancel_task_because(arg(0), reason),
        ("cancel_task", None) => tracker.cancel_task(arg(0)),
        ("reopen_task", _) => tracker.reopen_task(arg(0)),
        ("assign_task", _) => tracker.assign_task(arg(0), arg(1)),
        ("set_progress", _) => tracker.set_progress(arg(0), number(&args[1])),
        ("add_comment", _) => tracker.add_comment(arg(0), arg(1), arg(2)),
        ("add_event", _) => {
            let pairs = call.pairs("attributes");
            tracker.add_event_with(arg(0), arg(1), pairs.iter().map(|(name, each)| (name.clone(), attribute(each))));
        }
        ("run", _) => {
            let entered = tracker.task(arg(0)).title(arg(1)).enter();
            if arg(2) == "fails" {
                entered.fail("Refused");
            }
        }
        ("link", _) => match given("url") {
            Some(url) => tracker.link_with_url(arg(0), arg(1), arg(2), url),
            None => tracker.link(arg(0), arg(1), arg(2)),
        },
        (other, _) => panic!("no method {other}"),
    }
}

fn fields(draft: TaskDraft, call: &Call) -> TaskDraft {
    let options = call.options();
    let draft = options.as_object().into_iter().flatten().fold(draft, |draft, (name, given)| field(draft, name, given));
    call.pairs("attributes").iter().fold(draft, |draft, (name, each)| match each {
        Value::Null => draft.clear_attribute(name),
        each => draft.attribute(name, attribute(each)),
    })
}

fn field(draft: TaskDraft, name: &str, given: &Value) -> TaskDraft {
    match (name, given.is_null()) {
        ("at" | "attributes", _) | ("title" | "task_type", true) => draft,
        ("title", _) => draft.title(text(given)),
        ("task_type", _) => draft.task_type(text(given)),
        ("status", _) => draft.status(text(given)),
        ("priority", _) => draft.priority(text(given)),
        ("assignee", true) => draft.clear(Clears::Assignee),
        ("assignee", _) => draft.assignee(text(given)),
        ("story_points", true) => draft.clear(Clears::StoryPoints),
        ("story_points", _) => draft.story_points(number(given)),
        ("labels", true) => draft.clear(Clears::Labels),
        ("labels", _) => draft.labels(list(given)),
        ("parent_id", true) => draft.clear(Clears::Parent),
        ("parent_id", _) => draft.parent(text(given)),
        ("depends_on", _) => draft.depends_on(list(given)),
        ("url", true) => draft.clear(Clears::Url),
        ("url", _) => draft.url(text(given)),
        ("due_date", true) => draft.clear(Clears::Due),
        ("due_date", _) => draft.due(text(given)),
        ("sprint_id", _) => draft.sprint(text(given)),
        (other, _) => panic!("no field {other}"),
    }
}

fn call_sprints(sprints: &SprintTracker, call: &Call) {
    let args: Vec<Value> = call.args.iter().map(value).collect();
    let options = call.options();
    let given = options.as_object().into_iter().flatten();
    let draft =
        given.fold(sprints.sprint(text(&args[0])), |draft, (name, given)| match (name.as_str(), given.is_string()) {
            ("name", _) => draft.name(text(given)),
            ("goal", _) => draft.goal(text(given)),
            ("start_date", true) => draft.starts(text(given)),
            ("start_date", false) => draft.starts(time(given)),
            ("end_date", true) => draft.ends(text(given)),
            ("end_date", false) => draft.ends(time(given)),
            (other, _) => panic!("no field {other}"),
        });
    match call.method.as_str() {
        "start_sprint" => draft.start(),
        "end_sprint" => draft.end(),
        "add_task" => sprints.add_task(text(&args[0]), text(&args[1])),
        "remove_task" => sprints.remove_task(text(&args[0])),
        other => panic!("no method {other}"),
    }
}

fn with_who(emitter: InsightEmitter, options: &Value) -> InsightEmitter {
    let given = |name: &str| options.get(name).map(text);
    let emitter = given("agent_name").map_or(emitter.clone(), |name| emitter.agent_name(name));
    let emitter = given("session_id").map_or(emitter.clone(), |session| emitter.session(session));
    given("on_behalf_of").map_or(emitter.clone(), |person| emitter.on_behalf_of(person))
}

fn call_emitter(emitter: &InsightEmitter, call: &Call) {
    let args: Vec<Value> = call.args.iter().map(value).collect();
    let options = call.options();
    let arg = |place: usize| text(&args[place]);
    let given = |name: &str| options.get(name).map_or("", text);
    let evidence = || options.get("evidence").and_then(Value::as_array).into_iter().flatten().map(reference);
    let draft = match call.method.as_str() {
        "emit" => emitter.insight(arg(0), arg(1)),
        "emit_decision" => emitter.decision(arg(0)),
        "emit_lesson" => emitter.lesson(arg(0)),
        "emit_question" => emitter.question(arg(0)),
        "emit_blocker" => emitter.blocker(arg(0)),
        "emit_risk" => emitter.risk(arg(0), arg(1)),
        "emit_progress" => emitter.progress(arg(0)),
        "emit_analysis" => emitter.analysis(arg(0)),
        "emit_recommendation" => emitter.recommendation(arg(0)),
        "emit_discovery" => emitter.discovery(arg(0)),
        "emit_handoff" => emitter.handoff(arg(0), arg(1)),
        "answer" => return emitter.answer(arg(0), arg(1), given("by")),
        "retract" => return emitter.retract(arg(0), given("reason")),
        "accept_handoff" => return emitter.accept_handoff(arg(0), given("text")),
        "complete_handoff" => return emitter.complete_handoff(arg(0), given("text")),
        "reject_handoff" => return emitter.reject_handoff(arg(0), given("reason")),
        "confirm" => return emitter.confirm(arg(0), evidence()),
        "contradict" => return emitter.contradict(arg(0), arg(1), evidence()),
        "resolve" => return emitter.resolve(arg(0), given("text")),
        other => panic!("no method {other}"),
    };
    let all = options.as_object().into_iter().flatten();
    let draft = all.fold(draft, |draft, (name, given)| insight_field(draft, name, given));
    // What it applies to comes before the files of its context.
    let draft = call.pairs("context").iter().fold(draft, |draft, (name, each)| match each {
        Value::Array(files) => files.iter().fold(draft, |draft, file| draft.context(name, text(file))),
        each => draft.context(name, attribute(each)),
    });
    let id = call.pairs("inputs").iter().fold(draft, |draft, (name, each)| draft.input(name, attribute(each))).emit();
    assert!(id.starts_with("ins_"));
}

fn reference(given: &Value) -> Reference {
    match given {
        Value::String(reference) => Reference::from(reference.as_str()),
        given => {
            let reference = Reference::new(text(&given["kind"]), text(&given["ref"]));
            given.get("description").map_or(reference.clone(), |description| reference.described(text(description)))
        }
    }
}

fn insight_field(draft: InsightDraft, name: &str, given: &Value) -> InsightDraft {
    match name {
        "context" | "inputs" => draft,
        "confidence" => draft.confidence(number(given)),
        "rationale" => draft.rationale(text(given)),
        "category" => draft.category(text(given)),
        "audience" => draft.audience(text(given)),
        "severity" => draft.severity(text(given)),
        "applies_to" => draft.applies_to(list(given)),
        "tags" => draft.tags(list(given)),
        "evidence" => given.as_array().into_iter().flatten().fold(draft, |draft, each| draft.evidence(reference(each))),
        "supersedes" => list(given).into_iter().fold(draft, InsightDraft::supersedes),
        "expires_at" => draft.expires(time(given)),
        "task_id" => draft.task(text(given)),
        "key" => draft.key(text(given)),
        "options" => draft.options(list(given)),
        "blocking" => draft.blocking(),
        "to" => draft.to(text(given)),
        "done" => draft.done(list(given)),
        "remaining" => draft.remaining(list(given)),
        "percent" => draft.percent(number(given)),
        other => panic!("no field {other}"),
    }
}
