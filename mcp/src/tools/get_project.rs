//! `get_project`: is it on track?

use contextcore_core::query::{ProjectQuery, ProjectReport};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Call;
use crate::answer::{Answer, Problem};
use crate::budget;

#[derive(Deserialize)]
struct Arguments {
    project: Option<String>,
    sprint: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// How many projects an answer has at most.
const MOST: usize = 50;

pub(super) fn answer(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Arguments = crate::arguments::read(arguments)?;
    if given.project.is_none() && given.sprint.is_none() {
        return all(call, given.limit.unwrap_or(MOST), given.cursor.as_deref());
    }
    let project = call.project(given.project.as_deref())?;
    let beside = call.reads.reported_beside(&project);
    let report = call.reads.project(&ProjectQuery { project, sprint: given.sprint })?;
    let mut shown = whole(&report);
    if beside > 0 {
        // They are in another store on this machine, and in none of these numbers.
        shown["reported_beside"] = json!(beside);
    }
    Ok(Answer::new(json!({"project": shown}), &[]))
}

/// The projects in sight in the order of their ids, from the one after `cursor` on, as many as fit.
fn all(call: &Call<'_>, limit: usize, cursor: Option<&str>) -> Result<Answer, Problem> {
    let mut projects = call.reads.projects()?;
    projects.retain(|project| call.caller.sees(&project.id));
    projects.sort_by(|one, other| one.id.cmp(&other.id));
    let total = projects.len();
    projects.retain(|project| cursor.is_none_or(|last| project.id.as_str() > last));
    let mut lines: Vec<Value> = projects.iter().map(line).collect();
    let fitting = super::fitting(&lines, budget::DEFAULT).clamp(1, limit.max(1));
    let next = (fitting < lines.len()).then(|| projects.get(fitting - 1).map(|project| &project.id)).flatten();
    lines.truncate(fitting);
    Ok(Answer::new(json!({"projects": lines, "total": total, "next": next}), &["projects"]))
}

fn line(project: &ProjectReport) -> Value {
    json!({
        "id": project.id, "health": project.health.state, "because": project.health.because,
        "percent": project.progress.percent.round(), "open": project.progress.open, "wip": project.wip.now,
        "blocked": project.blocked.count, "sprint": project.sprint.as_ref().map(|sprint| &sprint.name),
        "done_30d": project.flow.done_lately,
    })
}

fn days(seconds: f64) -> f64 {
    (seconds / 8_640.0).round() / 10.0
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

pub(super) fn whole(project: &ProjectReport) -> Value {
    let sprint = project.sprint.as_ref().map(|sprint| {
        json!({
            "name": sprint.name, "state": sprint.state, "start": sprint.start, "end": sprint.end,
            "committed": sprint.committed, "done": sprint.done, "remaining": sprint.remaining,
            "ideal": tenth(sprint.ideal), "scope_change": sprint.scope_change,
        })
    });
    let blocked = project.blocked.oldest.as_ref().map(|oldest| {
        json!({"key": oldest.id, "title": oldest.title, "reason": oldest.reason, "days": days(oldest.seconds)})
    });
    let cycle = project.flow.cycle_time.as_ref();
    json!({
        "id": project.id,
        "name": Some(&project.name).filter(|name| **name != project.id),
        "owner": project.owner, "criticality": project.criticality, "value": project.value,
        "health": {"state": project.health.state, "because": project.health.because, "rule": RULE},
        "progress": {
            "percent": tenth(project.progress.percent), "by": project.progress.by,
            "done": project.progress.done, "open": project.progress.open,
        },
        "sprint": sprint,
        "forecast": project.flow.forecast,
        "wip": {"now": project.wip.now, "mean_4w": tenth(project.wip.mean)},
        "blocked": {"count": project.blocked.count, "oldest": blocked},
        "cycle_time_days": cycle.map(|cycle| json!({"p50": days(cycle.p50), "p85": days(cycle.p85), "tasks": cycle.tasks})),
        "done_30d": project.flow.done_lately,
        "read_seconds_ago": project.lag.map(f64::round),
    })
}

const RULE: &str = "red: blocked over 3 d, sprint over 25 % behind, or data over 1 h old; yellow: any blocked, scope change over 20 %, \
or WIP over 1.5 times its 4-week mean; else green";
