//! `ask_human` and `hand_off`: what goes from an agent to a person or to another agent.

use contextcore_core::model::insight::{ANSWERED_VIA, InsightAction, InsightType};
use contextcore_core::model::operation::{Attributes, InsightEmit, InsightUpdate, Operation, Scalar};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, insight};
use crate::answer::{Answer, Problem};
use crate::clean;

/// How much the inputs of a handoff may hold, in bytes of JSON.
const MOST_INPUTS: usize = 4_096;
/// How many tokens a handoff has that was accepted: who takes over needs all that it brings along.
const WITH_INPUTS: usize = 3_000;

#[derive(Deserialize)]
struct Ask {
    question: String,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    blocking: bool,
    #[serde(default)]
    applies_to: Vec<String>,
    task: Option<String>,
    project: Option<String>,
}

/// Puts a question on record. Whether the client asks it at once is up to the server.
pub(super) fn ask(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Ask = crate::arguments::read(arguments)?;
    let project = call.project(given.project.as_deref())?;
    let id = call.random_id();
    let similar = similar(call, &project, &given.question)?;
    call.emit(
        &project,
        InsightEmit {
            id: id.clone(),
            insight_type: InsightType::Question.as_str().to_owned(),
            summary: clean::one_line(&given.question),
            options: lines(&given.options),
            blocking: given.blocking,
            applies_to: lines(&given.applies_to),
            task: given.task.map(|task| clean::one_line(&task)),
            audience: Some("human".to_owned()),
            to: Some("human".to_owned()),
            evidence: call.taint().into_iter().collect(),
            ..call.said()
        },
    )?;
    let fields = json!({"id": id, "status": "open", "similar": similar});
    Ok(Answer { project: Some(project), ..Answer::new(fields, &["similar"]) })
}

/// Questions that ask nearly the same, with what was answered: the caller may not have to wait.
fn similar(call: &Call<'_>, project: &str, question: &str) -> Result<Vec<Value>, Problem> {
    let found = call.similar(project, InsightType::Question, question, "open,suggested,answered")?;
    Ok(found.iter().map(|found| insight::question(&found.insight)).collect())
}

/// Keeps the answer that a client collected. It is a suggestion: nothing proves that a person gave it.
pub(super) fn answered(call: &Call<'_>, (project, id): (&str, &str), text: &str) -> Result<Answer, Problem> {
    let text = clean::cut(&clean::lines(text), 2_000);
    let update = InsightUpdate {
        id: id.to_owned(),
        action: InsightAction::SuggestAnswer.as_str().to_owned(),
        text: Some(text.clone()),
        agent: Some(call.caller.agent.clone()),
        session: Some(format!("{ANSWERED_VIA}client")),
        ..InsightUpdate::default()
    };
    call.write(project, Operation::InsightUpdate(Box::new(update)))?;
    Ok(Answer::new(json!({"id": id, "status": "suggested", "answer": text, "answered_via": "client"}), &[]))
}

fn lines(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| clean::one_line(text)).filter(|text| !text.is_empty()).collect()
}

#[derive(Deserialize)]
struct HandOff {
    to: Option<String>,
    summary: Option<String>,
    task: Option<String>,
    #[serde(default)]
    done: Vec<String>,
    #[serde(default)]
    remaining: Vec<String>,
    #[serde(default)]
    inputs: Map<String, Value>,
    id: Option<String>,
    action: Option<InsightAction>,
    project: Option<String>,
}

pub(super) fn hand_off(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: HandOff = crate::arguments::read(arguments)?;
    match (&given.id, given.action, &given.to, &given.summary) {
        (Some(id), Some(action), ..) => take(call, id, action),
        (None, None, Some(_), Some(_)) => offer(call, given),
        _ => Err(Problem::usage("give `to` and `summary` to offer work, or `id` and `action` to answer an offer")),
    }
}

fn offer(call: &Call<'_>, given: HandOff) -> Result<Answer, Problem> {
    if Value::Object(given.inputs.clone()).to_string().len() > MOST_INPUTS {
        return Err(Problem::usage("`inputs` is larger than 4 kB: name where it is instead"));
    }
    let project = call.project(given.project.as_deref())?;
    let id = call.random_id();
    let text = |value: Value| match value {
        Value::String(text) => clean::one_line(&text),
        other => other.to_string(),
    };
    let inputs =
        given.inputs.into_iter().map(|(name, value)| (clean::one_line(&name), Some(Scalar::Text(text(value)))));
    call.emit(
        &project,
        InsightEmit {
            id: id.clone(),
            insight_type: InsightType::Handoff.as_str().to_owned(),
            summary: clean::one_line(&given.summary.unwrap_or_default()),
            to: given.to.map(|to| clean::one_line(&to)),
            task: given.task.map(|task| clean::one_line(&task)),
            remaining: lines(&given.remaining),
            inputs: Attributes(inputs.collect()),
            done: lines(&given.done),
            evidence: call.taint().into_iter().collect(),
            ..call.said()
        },
    )?;
    Ok(Answer::new(json!({"id": id, "status": "offered"}), &[]))
}

fn take(call: &Call<'_>, id: &str, action: InsightAction) -> Result<Answer, Problem> {
    let view = call.insight(id)?;
    if view.insight.insight_type != InsightType::Handoff {
        return Err(Problem::usage(format!("`{id}` is a {}, no handoff", view.insight.insight_type)));
    }
    let to = view.insight.to.as_deref().unwrap_or("any");
    if to != "any" && to != call.caller.agent {
        return Err(Problem::refused(format!("this handoff is for `{to}`")));
    }
    let after = call.update(&view, action, None, Vec::new())?;
    let mut handoff = insight::whole(&view.insight);
    handoff["status"] = json!(after);
    let fields = json!({"id": view.insight.id, "status": after, "handoff": handoff});
    Ok(Answer { budget: Some(WITH_INPUTS), ..Answer::new(fields, &[]) })
}
