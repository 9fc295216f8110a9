//! `get_context`: what must be known before a file, a service or a task is touched, from every source, the binding first.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use contextcore_core::ErrorKind;
use contextcore_core::model::Status;
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::config::project::{ServiceContext, Slo};
use contextcore_core::model::guidance::{GuidanceItem, GuidanceKind, Trust, covering, in_force};
use contextcore_core::model::insight::{Insight, InsightType, Review, lifecycle};
use contextcore_core::query::{
    AnyOf, FoundInsight, InsightQuery, ListOptions, ListQuery, ProjectQuery, StatusFilter, TaskFilter, TaskSort,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, budget_of, diverse, hint, insight, task};
use crate::answer::{Answer, Problem};
use crate::backend::BudgetLeft;
use crate::budget;

/// The lists, the most important first, and how many of each a context of the default length has at most.
const LISTS: &[&str] = &["guidance", "decisions", "questions", "lessons", "handoffs", "tasks", "risks", "slos", "text"];
const MOST: [usize; 8] = [12, 7, 4, 7, 3, 5, 5, 5];
/// The same where a question was asked.
const MOST_ASKED: [usize; 8] = [12, 10, 4, 10, 3, 4, 5, 4];
/// How many insights are looked at, and how many of each kind that may answer a question.
const SCOPED: usize = 150;
const WORDED: usize = 20;
/// The kinds of insights that have a list of their own: a good lesson is not hidden by decisions that fit less.
const KINDS: [&[InsightType]; 5] = [
    &[InsightType::Decision, InsightType::Recommendation],
    &[InsightType::Question],
    &[InsightType::Lesson, InsightType::Discovery, InsightType::Analysis],
    &[InsightType::Handoff],
    &[InsightType::Blocker, InsightType::Risk],
];
/// How many lines of guidance that nobody vouches for are shown.
const UNTRUSTED: usize = 3;
/// How many tasks near a path are looked up.
const NEAR: usize = 12;

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    paths: Vec<String>,
    task: Option<String>,
    service: Option<String>,
    question: Option<String>,
    project: Option<String>,
    budget: Option<i64>,
}

pub(super) fn answer(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let mut given: Arguments = crate::arguments::read(arguments)?;
    call.make_relative(&mut given.paths);
    let project = context_project(call, &given)?;
    let config = call.reads.project_config(&project);
    let (insights, beyond) = insights(call, &project, &given)?;
    let of = |types: &[InsightType], view: fn(&Insight) -> Value| {
        insights.iter().filter(|insight| types.contains(&insight.insight_type)).map(view).collect::<Vec<Value>>()
    };
    let (tasks, more_tasks, near) = tasks(call, &project, &given, &insights)?;
    let guidance = guidance(call, &project, &given.paths)?;
    // Anybody who can write to a branch may have written these: they are text, not guidance.
    let (untrusted, guidance): (Vec<_>, Vec<_>) = guidance.into_iter().partition(|item| item.trust == Trust::Untrusted);
    let more_untrusted = untrusted.len().saturating_sub(UNTRUSTED);
    let untrusted = untrusted
        .iter()
        .take(UNTRUSTED)
        .map(|item| call.fence.around(&item.source.to_string(), "", &format!("{}: {}", item.kind, item.rule)));
    let (asked, guidance): (Vec<_>, Vec<_>) =
        guidance.into_iter().partition(|item| item.kind == GuidanceKind::Question);
    let mut questions = of(&[InsightType::Question], insight::question);
    questions
        .extend(asked.iter().map(|item| json!({"id": item.id, "summary": item.rule, "from": item.source.to_string()})));
    let contexts = contexts(config.as_ref(), given.service.as_deref());
    let mut risks: Vec<Value> = of(&[InsightType::Blocker, InsightType::Risk], insight::risk);
    risks.extend(contexts.iter().flat_map(|context| &context.risks).map(|risk| {
        json!({"id": risk.id, "risk": risk.risk, "priority": risk.priority, "mitigation": risk.mitigation, "owner": risk.owner})
    }));
    let lists = [
        guidance.iter().map(guidance_row).collect(),
        of(&[InsightType::Decision, InsightType::Recommendation], insight::finding),
        questions,
        of(&[InsightType::Lesson, InsightType::Discovery, InsightType::Analysis], insight::finding),
        handoffs(call, &insights),
        tasks,
        risks,
        slos(call, config.as_ref().map_or(&project, |known| &known.id), &contexts),
    ];
    if config.is_none() && lists.iter().all(Vec::is_empty) {
        // Nothing is known of it: a slip of the pen is an error that names what is near.
        call.reads.project(&ProjectQuery { project: project.clone(), sprint: None })?;
    }
    let mut fields = Map::from_iter([("project".to_owned(), about(&project, config.as_ref()))]);
    let budget = budget_of(given.budget);
    cap(&mut fields, lists, if given.question.is_some() { MOST_ASKED } else { MOST }, budget);
    let more = beyond.into_iter().chain([("tasks", more_tasks), ("text", more_untrusted)]);
    more.for_each(|(list, count)| budget::omit(&mut fields, list, count));
    fields.insert("near".to_owned(), json!(near));
    fields.insert(
        "hint".to_owned(),
        json!(hint::of_unknown(call, &project, (&given.task, &given.service), config.as_ref())?),
    );
    let untrusted = untrusted.collect();
    Ok(Answer { budget: Some(budget), untrusted, ..Answer::new(Value::Object(fields), LISTS) })
}

/// The project that is meant: the one that is named, else that of the task.
fn context_project(call: &Call<'_>, given: &Arguments) -> Result<String, Problem> {
    let of_task = || given.task.as_deref().and_then(|key| call.task(key).ok()).map(|view| view.task.project_id);
    if given.project.is_none()
        && call.caller.project.is_none()
        && let Some(project) = of_task()
    {
        return Ok(project);
    }
    call.project(given.project.as_deref())
}

/// Puts the lists in, each no longer than its share of the budget.
fn cap(fields: &mut Map<String, Value>, lists: [Vec<Value>; 8], most: [usize; 8], tokens: usize) {
    for ((name, most), mut items) in LISTS.iter().zip(most).zip(lists) {
        let most = (most * tokens / budget::DEFAULT).max(2);
        let omitted = items.len().saturating_sub(most);
        items.truncate(most);
        fields.insert((*name).to_owned(), Value::Array(items));
        budget::omit(fields, name, omitted);
    }
}

fn about(project: &str, config: Option<&ProjectConfig>) -> Value {
    let Some(known) = config else { return json!({"id": project}) };
    json!({"id": known.id, "owner": known.owner, "criticality": known.criticality, "value": known.value, "goal": known.epic})
}

/// The guidance that holds for these paths now, the strictest first.
fn guidance(call: &Call<'_>, project: &str, paths: &[String]) -> Result<Vec<GuidanceItem>, Problem> {
    let all = call.reads.guidance(project)?;
    Ok(in_force(covering(all, paths).collect(), call.now))
}

pub(crate) fn guidance_row(item: &GuidanceItem) -> Value {
    let is_rule = item.kind == GuidanceKind::Constraint;
    json!({
        "id": item.id, "rule": item.rule, "severity": item.severity, "scope": item.scope, "until": item.until, "why": item.reason,
        "from": item.source.to_string(), "kind": (!is_rule).then_some(item.kind),
        "trust": (item.trust != Trust::Binding).then_some(item.trust),
    })
}

/// The contexts of a service, or all of them.
fn contexts<'a>(config: Option<&'a ProjectConfig>, service: Option<&str>) -> Vec<&'a ServiceContext> {
    let all = || config.into_iter().flat_map(|config| &config.contexts);
    let is_about = |context: &&ServiceContext, service: &str| {
        let target = |target: &contextcore_core::model::config::project::Target| {
            [&target.service, &target.name].into_iter().flatten().any(|name| name.eq_ignore_ascii_case(service))
        };
        context.origin.as_ref().is_some_and(|origin| origin.name.eq_ignore_ascii_case(service))
            || context.targets.iter().any(target)
    };
    let of_service: Vec<_> =
        service.map(|service| all().filter(|context| is_about(context, service)).collect()).unwrap_or_default();
    if of_service.is_empty() { all().collect() } else { of_service }
}

fn slos(call: &Call<'_>, project: &str, contexts: &[&ServiceContext]) -> Vec<Value> {
    let has_any = contexts.iter().any(|context| !context.slos.is_empty());
    let left = if has_any { call.reads.budgets_left(project) } else { Vec::new() };
    let of = |context: &&ServiceContext| {
        let row = |slo: &Slo| {
            let left = left.iter().find(|left| left.slo == slo.name && is_of(context, left));
            json!({
                "name": slo.name, "objective": objective(context, slo), "window": slo.window, "service": context.place(),
                "budget_left": left.map(|left| (left.left * 10_000.0).round() / 10_000.0),
            })
        };
        context.slos.iter().map(row).collect::<Vec<_>>()
    };
    contexts.iter().flat_map(of).collect()
}

/// Whether a budget is that of a service.
fn is_of(context: &ServiceContext, left: &BudgetLeft) -> bool {
    let names = context.targets.iter().flat_map(|target| [&target.service, &target.name]).flatten();
    let place = context.origin.as_ref();
    place.is_none_or(|place| place.namespace == left.namespace)
        && names.chain(place.map(|place| &place.name)).any(|name| *name == left.service)
}

/// `99.95`, or `99% < 200ms` where a limit belongs to it.
fn objective(context: &ServiceContext, slo: &Slo) -> Value {
    let is_for = |quantile: &str| match quantile {
        "0.5" => slo.name == "latency_p50",
        "0.9" => slo.name == "latency_p90",
        quantile => slo.name == format!("latency_p{}", quantile.trim_start_matches("0.")),
    };
    let limit = context.requirements.latency_texts().find(|(_, quantile, _)| is_for(quantile));
    match limit {
        Some((_, _, limit)) => json!(format!("{}% < {limit}", slo.objective)),
        None => slo.objective.parse::<f64>().map_or_else(|_| json!(slo.objective), |number| json!(number)),
    }
}

/// The lists of [`KINDS`] that are counted. Handoffs to others are none of a context's.
const COUNTED: [(&str, usize); 4] = [("decisions", 0), ("questions", 1), ("lessons", 2), ("risks", 4)];

/// The insights of a context, and how many more there are for each list.
type Insights = (Vec<Insight>, Vec<(&'static str, usize)>);

/// The open insights that apply to what is about to be touched, and those that answer the question, the best first.
fn insights(call: &Call<'_>, project: &str, given: &Arguments) -> Result<Insights, Problem> {
    let near = InsightQuery {
        project: Some(project.to_owned()),
        reader: Some(call.caller.agent.clone()),
        status: "open,suggested,noted".parse().unwrap_or_default(),
        paths: given.paths.clone(),
        task: given.task.clone(),
        service: given.service.clone(),
        limit: NonZeroUsize::new(SCOPED),
        ..InsightQuery::default()
    };
    let mut all = Vec::new();
    for kinds in given.question.iter().flat_map(|_| KINDS) {
        let mut answers = Vec::new();
        for kind in kinds {
            let limit = NonZeroUsize::new(WORDED);
            // What a person answered is an answer to who asks the same.
            let status = "open,suggested,answered,noted".parse().unwrap_or_default();
            let text = given.question.clone();
            let worded = InsightQuery { text, types: vec![*kind], status, limit, ..near.clone() };
            answers.extend(call.insights_or_none(&worded)?);
        }
        all.extend(diverse::ordered(answers));
    }
    // What is merely on record is an answer to who asks, and otherwise in the way.
    let near = InsightQuery { status: "open,suggested".parse().unwrap_or_default(), ..near };
    let scoped = call.insights_or_none(&near)?;
    let beyond = if scoped.len() < SCOPED { Vec::new() } else { beyond(call, &near, all.iter().chain(&scoped))? };
    all.extend(scoped);
    let mut seen = BTreeSet::new();
    // What rests on words that anybody may have written waits until somebody has looked at it.
    let is_safe = |insight: &Insight| !insight.from_untrusted || insight.review != Review::Unreviewed;
    let insights = all.into_iter().map(|found| found.insight);
    Ok((insights.filter(|insight| is_safe(insight) && seen.insert(insight.id.clone())).collect(), beyond))
}

/// How many insights there are for each list besides those that were looked at.
fn beyond<'a>(
    call: &Call<'_>,
    near: &InsightQuery,
    looked_at: impl Iterator<Item = &'a FoundInsight>,
) -> Result<Vec<(&'static str, usize)>, Problem> {
    let is_counted = |insight: &&Insight| lifecycle::is_live(insight.insight_type, insight.status);
    let seen: BTreeMap<&str, InsightType> = looked_at
        .map(|found| &found.insight)
        .filter(is_counted)
        .map(|insight| (insight.id.as_str(), insight.insight_type))
        .collect();
    let mut counts = Vec::new();
    for (list, kinds) in COUNTED {
        let kinds = KINDS[kinds].to_vec();
        let seen = seen.values().filter(|kind| kinds.contains(kind)).count();
        let all = InsightQuery { types: kinds, limit: NonZeroUsize::new(1), ..near.clone() };
        let total = usize::try_from(call.reads.insights(&all)?.total).unwrap_or(usize::MAX);
        counts.push((list, total.saturating_sub(seen)));
    }
    Ok(counts)
}

/// The handoffs to this agent, or to anybody.
fn handoffs(call: &Call<'_>, insights: &[Insight]) -> Vec<Value> {
    let is_mine = |insight: &&Insight| {
        let to = insight.to.as_deref().unwrap_or("any");
        insight.insight_type == InsightType::Handoff && (to == "any" || to == call.caller.agent)
    };
    insights.iter().filter(is_mine).map(insight::handoff).collect()
}

/// The tasks near what is about to be touched that are in progress or blocked, how many more there are, and what to know about how they
/// were found.
fn tasks(
    call: &Call<'_>,
    project: &str,
    given: &Arguments,
    insights: &[Insight],
) -> Result<(Vec<Value>, usize, Option<&'static str>), Problem> {
    let mut keys: Vec<String> = given.task.iter().cloned().collect();
    let from_git = if given.paths.is_empty() { Some(Vec::new()) } else { call.backend.tasks_near(&given.paths) };
    let note = (from_git.is_none())
        .then_some("the history of these paths is not known here; tasks are those that insights name");
    let is_targeted = given.task.is_some() || !given.paths.is_empty() || given.service.is_some();
    if !is_targeted {
        let (busy, more) = busy(call, project)?;
        return Ok((busy, more, None));
    }
    let named = insights.iter().filter(|_| !given.paths.is_empty() || given.service.is_some());
    let named = named
        .flat_map(|insight| insight.applies_to.iter().filter_map(|word| word.strip_prefix("task:")).map(str::to_owned));
    keys.extend(from_git.unwrap_or_default());
    keys.extend(named);
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(key.to_lowercase()));
    let found = keys.iter().take(NEAR).filter_map(|key| Some((key, call.task(key).ok()?)));
    let is_near = |key: &str, status: Status| {
        given.task.as_deref() == Some(key) || matches!(status, Status::InProgress | Status::InReview | Status::Blocked)
    };
    let rows = found
        .filter(|(key, view)| is_near(key, view.task.status))
        .map(|(_, view)| task::row(&view.task, &task::DEFAULT, call.now));
    Ok((rows.collect(), 0, note))
}

/// What is blocked or in progress in the project, the last changed first.
fn busy(call: &Call<'_>, project: &str) -> Result<(Vec<Value>, usize), Problem> {
    let busy = [Status::Blocked, Status::InProgress, Status::InReview].map(StatusFilter::Is);
    let filter = TaskFilter {
        project: Some(project.to_owned()),
        statuses: AnyOf(busy.to_vec()),
        sort: TaskSort::Updated,
        ..TaskFilter::default()
    };
    let options = ListOptions { limit: NonZeroUsize::new(NEAR), ..ListOptions::default() };
    match call.reads.tasks(&ListQuery { filter, options }) {
        Ok(page) => {
            let rows = page.tasks.iter().map(|found| task::row(found, &task::DEFAULT, call.now));
            Ok((rows.collect(), page.total.saturating_sub(page.tasks.len())))
        }
        // A project that has insights or guidance and no task yet, or a machine that has no store yet.
        Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::NotFound) => Ok((Vec::new(), 0)),
        Err(error) => Err(error.into()),
    }
}
