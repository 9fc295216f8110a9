//! `get_task`: what `contextcore show` prints, in parts that a caller chooses.

use contextcore_core::query::{InsightQuery, ShowView};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, budget_of, history, task};
use crate::answer::{Answer, Problem};
use crate::budget;
use crate::fence::Fenced;

/// How many blockers are looked up.
const BLOCKERS: usize = 10;
/// How many insights are shown, and how many are looked at.
const INSIGHTS: usize = 10;
const LOOKED_AT: usize = 150;
/// How many untrusted texts are handed over, the latest first.
const TEXTS: usize = 10;

#[derive(Deserialize)]
struct Arguments {
    key: String,
    #[serde(default)]
    include: Vec<String>,
    project: Option<String>,
    budget: Option<i64>,
}

pub(super) fn answer(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Arguments = crate::arguments::read(arguments)?;
    let view = call.task_of(&given.key, given.project.as_deref())?;
    let wants = |part: &str| given.include.iter().any(|name| name == part);
    let mut fields = Map::from_iter([("task".to_owned(), task::whole(&view, call.now))]);
    let mut put = |name: &str, (items, omitted): (Vec<Value>, usize)| {
        fields.insert(name.to_owned(), Value::Array(items));
        budget::omit(&mut fields, name, omitted);
    };
    if wants("blockers") {
        put("blockers", blockers(call, &view));
    }
    if wants("timeline") {
        put("timeline", (history::timeline(&view), 0));
    }
    if wants("children") {
        put("children", (children(&view), 0));
    }
    if wants("artifacts") {
        put("artifacts", (history::artifacts(&view), 0));
    }
    if wants("insights") {
        put("insights", insights(call, &view)?);
    }
    let (untrusted, omitted) = if wants("text") { texts(call, &view) } else { Default::default() };
    budget::omit(&mut fields, "text", omitted);
    let lists = &["blockers", "timeline", "insights", "children", "artifacts", "text"];
    Ok(Answer { budget: Some(budget_of(given.budget)), untrusted, ..Answer::new(Value::Object(fields), lists) })
}

/// The first of a list, and how many are left out.
fn first<T>(mut all: Vec<T>, most: usize) -> (Vec<T>, usize) {
    let omitted = all.len().saturating_sub(most);
    all.truncate(most);
    (all, omitted)
}

/// The open blockers. One that is out of sight, or that no source has, is its key alone.
fn blockers(call: &Call<'_>, view: &ShowView) -> (Vec<Value>, usize) {
    // One of the same project is meant before one of another.
    let found = |key: &str| call.task_of(key, Some(&view.task.project_id)).or_else(|_| call.task(key));
    let known = |key: String| match found(&key) {
        Ok(found) => task::row(&found.task, &["key", "title", "status", "assignee", "blocked"], call.now),
        Err(_) => json!({"key": key}),
    };
    let (keys, omitted) = first(view.task.waiting_on.iter().map(ToString::to_string).collect(), BLOCKERS);
    (keys.into_iter().map(known).collect(), omitted)
}

/// The open insights about the task.
fn insights(call: &Call<'_>, view: &ShowView) -> Result<(Vec<Value>, usize), Problem> {
    let query = InsightQuery {
        project: Some(view.task.project_id.clone()),
        task: Some(view.task.id.clone()),
        limit: std::num::NonZeroUsize::new(LOOKED_AT),
        ..InsightQuery::default()
    };
    let mut found = call.insights_or_none(&query)?;
    found.retain(|found| {
        let named =
            |word: &String| word.strip_prefix("task:").is_some_and(|key| key.eq_ignore_ascii_case(&view.task.id));
        found.insight.task.as_ref() == Some(&view.task.id) || found.insight.applies_to.iter().any(named)
    });
    let (found, omitted) = first(found, INSIGHTS);
    Ok((found.iter().map(|found| super::insight::row(&found.insight)).collect(), omitted))
}

fn children(view: &ShowView) -> Vec<Value> {
    let row = |child: &contextcore_core::query::ChildView| {
        json!({
            "key": child.id, "type": child.task_type, "title": child.title, "status": child.status,
            "assignee": child.assignee, "percent": child.percent_complete.round(),
        })
    };
    view.children.iter().map(row).collect()
}

/// What people and programs wrote, fenced.
fn texts(call: &Call<'_>, view: &ShowView) -> (Vec<Fenced>, usize) {
    let key = &view.task.id;
    let written = view.task.timeline.iter().rev().filter_map(|event| Some((event, history::written(event)?)));
    let fenced = written.map(|(event, (what, text))| {
        let by = event.actor.as_deref().unwrap_or("somebody");
        call.fence.around(&format!("{what} by {by} on {key}"), &event.at.to_string(), &text)
    });
    first(fenced.collect(), TEXTS)
}
