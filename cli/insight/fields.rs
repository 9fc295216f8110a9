//! From what was typed, or from JSON, to an insight: names checked, values in the words of the spool, limits kept. Pure.
//!
//! Both ways go through the same map of fields, so that a flag can stand beside a file and comes before it.

use contextcore_core::Millis;
use contextcore_core::config::nearest_known;
use contextcore_core::model::insight::{InsightAction, InsightType, identity, limits};
use contextcore_core::model::leak;
use contextcore_core::model::operation::{InsightEmit, InsightUpdate, Support};
use serde_json::{Map, Value, json};

use crate::args::{Emit, Speaker};
use crate::moment;

/// The fields of an insight by name.
pub(crate) type Fields = Map<String, Value>;

/// The names of the fields, in the order of a line.
const NAMES: [&str; 25] = [
    "type",
    "summary",
    "confidence",
    "agent",
    "applies_to",
    "agent_name",
    "session",
    "on_behalf_of",
    "task",
    "key",
    "rationale",
    "category",
    "tags",
    "audience",
    "severity",
    "evidence",
    "context",
    "supersedes",
    "expires_at",
    "options",
    "blocking",
    "to",
    "inputs",
    "done",
    "remaining",
];
const PERCENT: &str = "percent";
/// Names that the SDK has for some of them.
const ALIASES: [(&str, &str); 4] =
    [("insight_type", "type"), ("agent_id", "agent"), ("session_id", "session"), ("task_id", "task")];
/// Context under these names is what an insight is about.
const FILES: [&str; 3] = ["file", "path", "files"];
/// Values of context.
const MOST_CONTEXT: usize = 16;
/// Bytes of what a handoff brings along.
const MOST_INPUTS: usize = 4_096;

/// A new insight, and what was cut of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Emission {
    pub(crate) insight: InsightEmit,
    pub(crate) cut: Vec<String>,
}

/// The fields that were typed. What was not given is left out.
pub(crate) fn typed(emit: Emit) -> Result<Fields, String> {
    let Emit { words, insight_type, summary, fields, .. } = emit;
    let mut words = words.into_iter();
    let insight_type = insight_type.or_else(|| words.next());
    let summary = summary.or_else(|| words.next());
    if let Some(rest) = words.next() {
        return Err(format!("`{rest}` is one argument too many: quote the summary"));
    }
    let evidence: Vec<Value> = fields.evidence.into_iter().map(Value::String).collect();
    let pairs = |pairs: Vec<(String, String)>| {
        Value::Object(pairs.into_iter().map(|(name, text)| (name, text.into())).collect())
    };
    let all = json!({
        "type": insight_type, "summary": summary, "confidence": fields.confidence, "applies_to": fields.applies_to,
        "task": fields.task, "key": fields.key, "rationale": fields.rationale, "category": fields.category,
        "tags": fields.tags, "audience": fields.audience, "severity": fields.severity, "evidence": evidence,
        "context": pairs(fields.context), "supersedes": fields.supersedes, "expires_at": fields.expires_at,
        "options": fields.options, "blocking": fields.blocking, "to": fields.to, "inputs": pairs(fields.inputs),
        "done": fields.done, "remaining": fields.remaining, PERCENT: fields.percent,
    });
    let Value::Object(all) = all else { return Ok(Fields::new()) };
    Ok(all.into_iter().filter(|(_, value)| is_given(value)).collect())
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

/// The fields of objects, one after the other. A list of objects is the same.
pub(crate) fn read(text: &str) -> Result<Vec<Fields>, String> {
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|error| format!("this is no JSON: {error}"))? {
            Value::Array(list) => list.into_iter().try_for_each(|each| named(each).map(|fields| all.push(fields)))?,
            value => all.push(named(value)?),
        }
    }
    if all.is_empty() { Err("there is no JSON object".to_owned()) } else { Ok(all) }
}

/// An object with the names of the spool. `null` is not given.
fn named(value: Value) -> Result<Fields, String> {
    let Value::Object(given) = value else { return Err("an insight is a JSON object".to_owned()) };
    let mut fields = Fields::new();
    for (name, value) in given {
        let known = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, known)| known);
        if known != PERCENT && !NAMES.contains(&known) {
            let near = nearest_known(known, &NAMES).map(|near| format!("did you mean `{near}`?"));
            return Err(format!("an insight has no field `{name}`; {}", near.unwrap_or_else(|| NAMES.join(", "))));
        }
        if is_given(&value) {
            fields.insert(known.to_owned(), value);
        }
    }
    Ok(fields)
}

/// The insight of these fields, with its id; `random` is for those that are new each time.
pub(crate) fn emission(
    project: &str,
    mut fields: Fields,
    speaker: &Speaker,
    now: Millis,
    random: [u8; 8],
) -> Result<Emission, String> {
    check_type(&fields)?;
    for (name, value) in [
        ("agent", &speaker.agent),
        ("agent_name", &speaker.agent_name),
        ("session", &speaker.session),
        ("on_behalf_of", &speaker.on_behalf_of),
    ] {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.as_str().into());
        }
    }
    refuse_secrets(&fields)?;
    let mut insight = insight(fields, now)?;
    check_numbers(&insight)?;
    if insight.insight_type == InsightType::Question.as_str() && insight.to.is_none() {
        insight.to = Some("human".to_owned());
    }
    insight.id = id(project, &insight, random)?;
    let cut = cut(&mut insight);
    check(&insight)?;
    Ok(Emission { insight, cut })
}

fn check_type(fields: &Fields) -> Result<(), String> {
    let known: Vec<&str> = InsightType::ALL.iter().map(|each| each.as_str()).collect();
    match fields.get("type").and_then(Value::as_str) {
        None => Err(format!("the type is missing: one of {}", known.join(", "))),
        Some(name) if known.contains(&name) => Ok(()),
        Some(name) => {
            let near = nearest_known(name, &known).map(|near| format!("did you mean `{near}`?"));
            let hint = near.unwrap_or_else(|| format!("known: {}", known.join(", ")));
            Err(format!("there is no type `{name}` of insights; {hint}"))
        }
    }
}

/// Refuses what looks like a secret, by the name of the field and never with its text.
pub(crate) fn refuse_secrets(fields: &Fields) -> Result<(), String> {
    fields.iter().try_for_each(|(name, value)| refuse_in(name, value))
}

fn refuse_in(name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => match leak::looks_like_secret(text) {
            Some(kind) => Err(format!("{name}: looks like a secret ({kind}), so nothing was recorded; leave it out")),
            None => Ok(()),
        },
        Value::Array(list) => list.iter().try_for_each(|each| refuse_in(name, each)),
        Value::Object(map) => map.iter().try_for_each(|(inner, each)| {
            refuse_in(name, &Value::String(inner.clone()))?;
            // A value alone may be one by its name: `{"password": "…"}`.
            each.as_str().map_or(Ok(()), |text| refuse_in(name, &Value::String(format!("{inner}={text}"))))?;
            refuse_in(name, each)
        }),
        _ => Ok(()),
    }
}

/// Reads the fields into an insight without an id.
fn insight(mut fields: Fields, now: Millis) -> Result<InsightEmit, String> {
    fields.insert("id".to_owned(), "".into());
    fields.entry("summary").or_insert_with(|| "".into());
    for name in ["applies_to", "tags", "evidence", "supersedes", "options", "done", "remaining"] {
        let Some(value) = fields.get_mut(name) else { continue };
        if !value.is_array() {
            *value = Value::Array(vec![value.take()]);
        }
    }
    split_context(&mut fields);
    if let Some(Value::Array(list)) = fields.get_mut("evidence") {
        list.iter_mut().try_for_each(|each| {
            if let Value::String(text) = each {
                *each = serde_json::to_value(support(text)?).map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        })?;
    }
    if let Some(text) = fields.get("expires_at").and_then(Value::as_str) {
        let at = expiry(text, now)?;
        fields.insert("expires_at".to_owned(), at.into());
    }
    if fields.get("audience").is_some_and(|audience| audience == "both") {
        fields.remove("audience");
    }
    let path = serde_path_to_error::deserialize::<_, InsightEmit>(Value::Object(fields));
    path.map_err(|error| format!("{}: {}", error.path(), error.inner()))
}

/// A date stays a date; everything else is a time.
fn expiry(text: &str, now: Millis) -> Result<String, String> {
    let text = text.trim();
    let at = moment::future(text, now).map_err(|failure| format!("expires_at: {}", failure.lines.join("; ")))?;
    let is_date = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    Ok(if is_date { text.to_owned() } else { at.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string() })
}

/// Files of the context are what the insight is about.
fn split_context(fields: &mut Fields) {
    let Some(Value::Object(context)) = fields.get_mut("context") else { return };
    let mut files: Vec<Value> = Vec::new();
    for name in FILES {
        match context.remove(name) {
            Some(Value::Array(list)) => files.extend(list),
            Some(value) => files.push(value),
            None => {}
        }
    }
    let scopes = fields.entry("applies_to").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(scopes) = scopes {
        for file in files {
            if !scopes.contains(&file) {
                scopes.push(file);
            }
        }
    }
}

/// Evidence as text: `commit:9fceb02`, an address, or a document.
pub(crate) fn support(text: &str) -> Result<Support, String> {
    let text = text.trim();
    let of = |kind: &str, reference: &str| Support {
        kind: kind.to_owned(),
        reference: reference.to_owned(),
        description: None,
    };
    match text.split_once(':') {
        _ if text.is_empty() => Err("evidence: a reference is empty".to_owned()),
        Some((_, rest)) if rest.starts_with("//") => Ok(of("url", text)),
        Some((kind, rest)) if limits::SUPPORT_KINDS.contains(&kind) && !rest.trim().is_empty() => {
            Ok(of(kind, rest.trim()))
        }
        Some((kind, _)) if nearest_known(kind, &limits::SUPPORT_KINDS).is_some() => Err(unknown_kind(kind)),
        _ => Ok(of("doc", text)),
    }
}

fn unknown_kind(kind: &str) -> String {
    let known = limits::SUPPORT_KINDS;
    let near = nearest_known(kind, &known).map(|near| format!("did you mean `{near}`?"));
    format!("evidence: there is no kind `{kind}`; {}", near.unwrap_or_else(|| format!("known: {}", known.join(", "))))
}

/// The id follows from what was said, before it is cut.
fn id(project: &str, insight: &InsightEmit, random: [u8; 8]) -> Result<String, String> {
    let insight_type: InsightType = insight.insight_type.parse()?;
    let found = identity::id(project, insight_type, &insight.summary, &insight.applies_to, insight.key.as_deref());
    Ok(found.unwrap_or_else(|| identity::random_id(random)))
}

/// Cuts what is over a limit, and says what that was.
fn cut(insight: &mut InsightEmit) -> Vec<String> {
    let whole = insight.clone();
    limits::cut(insight);
    insight.context.0.truncate(MOST_CONTEXT);
    let mut cut = Vec::new();
    let texts = [
        ("summary", Some(&whole.summary), Some(&insight.summary), limits::SUMMARY),
        ("rationale", whole.rationale.as_ref(), insight.rationale.as_ref(), limits::RATIONALE),
    ];
    for (name, before, after, most) in texts {
        if before != after {
            let had = before.map_or(0, |text| text.chars().count());
            cut.push(format!("{name}: cut from {had} to {most} characters"));
        }
    }
    let lists = [
        ("applies_to", whole.applies_to.len(), insight.applies_to.len()),
        ("evidence", whole.evidence.len(), insight.evidence.len()),
        ("tags", whole.tags.len(), insight.tags.len()),
        ("options", whole.options.len(), insight.options.len()),
        ("done", whole.done.len(), insight.done.len()),
        ("remaining", whole.remaining.len(), insight.remaining.len()),
        ("supersedes", whole.supersedes.len(), insight.supersedes.len()),
        ("context", whole.context.0.len(), insight.context.0.len()),
    ];
    cut.extend(cut_entries(&whole, insight));
    let shorter = lists.into_iter().filter(|(_, before, after)| after < before);
    cut.extend(shorter.map(|(name, before, after)| format!("{name}: cut from {before} to {after} entries")));
    cut
}

/// Which lists have an entry that was cut.
fn cut_entries(whole: &InsightEmit, cut: &InsightEmit) -> Vec<String> {
    let lists = [
        ("applies_to", &whole.applies_to, &cut.applies_to),
        ("tags", &whole.tags, &cut.tags),
        ("options", &whole.options, &cut.options),
        ("done", &whole.done, &cut.done),
        ("remaining", &whole.remaining, &cut.remaining),
    ];
    let is_cut = |(_, before, after): &(&str, &Vec<String>, &Vec<String>)| !before.starts_with(after);
    let line = |name: &str| format!("{name}: an entry was cut to {} characters", limits::SHORT);
    lists.into_iter().filter(is_cut).map(|(name, ..)| line(name)).collect()
}

/// Numbers are in their ranges.
fn check_numbers(insight: &InsightEmit) -> Result<(), String> {
    let outside = |number: Option<f64>, most: f64| number.is_some_and(|number| !(0.0..=most).contains(&number));
    if outside(insight.confidence, 1.0) {
        return Err("confidence: write a number from 0 to 1".to_owned());
    }
    if outside(insight.percent, 100.0) {
        return Err("percent: write a number from 0 to 100".to_owned());
    }
    Ok(())
}

/// What cannot be cut must be right.
fn check(insight: &InsightEmit) -> Result<(), String> {
    if let Some(support) = insight.evidence.iter().find(|each| !limits::SUPPORT_KINDS.contains(&each.kind.as_str())) {
        return Err(unknown_kind(&support.kind));
    }
    limits::check(insight)?;
    if insight.audience.as_deref().is_some_and(|audience| !["agent", "human", "both"].contains(&audience)) {
        return Err("audience: one of agent, human, both".to_owned());
    }
    if insight.task.as_deref().is_some_and(|task| task.trim().is_empty()) {
        return Err("task: the key is empty".to_owned());
    }
    let inputs = serde_json::to_string(&insight.inputs).map_or(0, |text| text.len());
    if inputs > MOST_INPUTS {
        return Err(format!("inputs: {inputs} bytes are more than {MOST_INPUTS}"));
    }
    if insight.insight_type == InsightType::Handoff.as_str()
        && insight.to.as_deref().is_none_or(|to| to.trim().is_empty())
    {
        return Err("to: say who takes over: an agent's id, human or any".to_owned());
    }
    Ok(())
}

/// A change of an insight, and what was cut of it.
pub(crate) fn change(mut update: InsightUpdate) -> Result<(InsightUpdate, Vec<String>), String> {
    let said = serde_json::to_value(&update).map_err(|error| error.to_string())?;
    if let Value::Object(fields) = said {
        refuse_secrets(&fields)?;
    }
    let is_answer = [InsightAction::Answer, InsightAction::SuggestAnswer].map(|each| each.to_string());
    if is_answer.contains(&update.action) && update.text.as_deref().is_none_or(|text| text.trim().is_empty()) {
        return Err("the answer is empty: write it after the id".to_owned());
    }
    let mut cut = Vec::new();
    if let Some(text) = &mut update.text {
        let had = text.chars().count();
        limits::cut_text(text, limits::RATIONALE);
        if had > limits::RATIONALE {
            cut.push(format!("text: cut from {had} to {} characters", limits::RATIONALE));
        }
    }
    Ok((update, cut))
}

#[cfg(test)]
mod tests;
