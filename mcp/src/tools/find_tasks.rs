//! `find_tasks`: the list that `contextcore tasks` prints, with the fields that are asked for.

use contextcore_core::config::nearest_known;
use std::collections::BTreeMap;

use contextcore_core::query::{
    AnyOf, Condition, Cursor, ListOptions, ListQuery, StatusFilter, TaskFilter, TaskSort, TaskView,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, budget_of, moment, task};
use crate::answer::{Answer, Problem};

const DEFAULT_LIMIT: usize = 15;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    status: Vec<StatusFilter>,
    #[serde(default, rename = "type")]
    types: Vec<contextcore_core::model::TaskType>,
    assignee: Option<String>,
    sprint: Option<String>,
    epic: Option<String>,
    text: Option<String>,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    stale: bool,
    updated_since: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
    sort: Option<TaskSort>,
    limit: Option<usize>,
    cursor: Option<String>,
    budget: Option<i64>,
    project: Option<String>,
}

pub(super) fn answer(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Arguments = crate::arguments::read(arguments)?;
    let fields = fields(&given.fields)?;
    let budget = budget_of(given.budget);
    let mut query = query(call, given)?;
    let mut page = call.reads.tasks(&query)?;
    let sprints = if fields.contains(&"sprint") { call.reads.sprint_names()? } else { BTreeMap::new() };
    let row = |found: &TaskView| {
        let mut row = task::row(found, &fields, call.now);
        if let Some(name) = found
            .sprint
            .as_ref()
            .filter(|_| fields.contains(&"sprint"))
            .and_then(|id| sprints.get(&(found.source.clone(), id.clone())))
        {
            row["sprint"] = json!(name);
        }
        row
    };
    let rows = |page: &crate::backend::TaskPage| page.tasks.iter().map(row).collect::<Vec<Value>>();
    let mut shown = rows(&page);
    // A page that is too long for the budget is asked for again, shorter, so that its cursor is right.
    let fitting = super::fitting(&shown, budget);
    if fitting < shown.len() {
        query.options.limit = std::num::NonZeroUsize::new(fitting.max(1));
        page = call.reads.tasks(&query)?;
        shown = rows(&page);
    }
    let fields = json!({"tasks": shown, "total": page.total, "next": page.next});
    Ok(Answer { budget: Some(budget), ..Answer::new(fields, &["tasks"]) })
}

fn fields(chosen: &[String]) -> Result<Vec<&'static str>, Problem> {
    if chosen.is_empty() {
        return Ok(task::DEFAULT.to_vec());
    }
    let known = |name: &String| {
        task::FIELDS.iter().copied().find(|field| field == name).ok_or_else(|| {
            let hint = match nearest_known(name, &task::FIELDS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", task::FIELDS.join(", ")),
            };
            Problem::usage(format!("tasks have no field `{name}`; {hint}"))
        })
    };
    let mut fields = vec!["key"];
    for name in chosen {
        let name = known(name)?;
        if !fields.contains(&name) {
            fields.push(name);
        }
    }
    Ok(fields)
}

fn query(call: &Call<'_>, given: Arguments) -> Result<ListQuery<TaskFilter>, Problem> {
    let conditions =
        [(given.blocked, Condition::Blocked), (given.ready, Condition::Ready), (given.stale, Condition::Stale)];
    let since = given.updated_since.as_deref().map(|text| moment("updated_since", text)).transpose()?;
    let filter = TaskFilter {
        project: Some(call.project(given.project.as_deref())?),
        statuses: AnyOf(given.status),
        types: AnyOf(given.types),
        assignee: given.assignee,
        sprint: given.sprint,
        epic: given.epic,
        text: given.text,
        is: AnyOf(conditions.into_iter().filter_map(|(wanted, condition)| wanted.then_some(condition)).collect()),
        updated_since: since,
        sort: given.sort.unwrap_or_default(),
        ..TaskFilter::default()
    };
    let limit = std::num::NonZeroUsize::new(given.limit.unwrap_or(DEFAULT_LIMIT));
    Ok(ListQuery { filter, options: ListOptions { limit, cursor: given.cursor.map(Cursor::from), fields: None } })
}
