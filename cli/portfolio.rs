//! The portfolio: every project at a glance. Made from views, printed as text; pure but for [`gather`].

use contextcore_core::Millis;
use contextcore_core::model::time::DAY;
use contextcore_core::model::{SprintState, Status, TaskType};
use contextcore_core::query::{EventKind, SprintFilter, SprintView, StatusFilter, TaskFilter, TaskView, Viewer};
use serde::Serialize;

use crate::humanize;
use crate::table::{Column, Table};

/// What counts as lately.
const LATELY: i64 = 30 * DAY;
/// Epics and blocked tasks shown to people.
const SHOWN: usize = 12;

/// Everything at a glance.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Portfolio {
    projects: Vec<Project>,
    /// Epics that are not finished.
    epics: Vec<Epic>,
    /// Blocked tasks, the longest blocked first.
    blocked: Vec<Blocked>,
}

/// A project.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Project {
    id: String,
    open: usize,
    in_progress: usize,
    blocked: usize,
    /// Seconds since the longest blocked task was blocked.
    oldest_blocked: Option<f64>,
    /// Tasks done in the last 30 days.
    done_lately: usize,
    sprint: Option<Sprint>,
}

/// The active sprint of a project.
#[derive(Debug, PartialEq, Serialize)]
struct Sprint {
    name: String,
    committed: f64,
    completed: f64,
    remaining: f64,
}

/// An epic.
#[derive(Debug, PartialEq, Serialize)]
struct Epic {
    id: String,
    title: String,
    percent_complete: f64,
    children: i64,
    children_done: i64,
}

/// A blocked task.
#[derive(Debug, PartialEq, Serialize)]
struct Blocked {
    id: String,
    title: String,
    assignee: Option<String>,
    reason: String,
    since: Millis,
    seconds: f64,
}

/// Looks at everything.
pub(crate) fn gather(viewer: &Viewer<'_>, now: Millis) -> contextcore_core::Result<Portfolio> {
    let of = |status| TaskFilter { status: Some(status), ..TaskFilter::default() };
    let open = viewer.tasks(&of(StatusFilter::Open))?;
    let mut done = viewer.tasks(&of(StatusFilter::Is(Status::Done)))?;
    done.retain(|task| task.completed.is_some_and(|at| now.0 - at.0 <= LATELY));
    let active = viewer.sprints(&SprintFilter { state: Some(SprintState::Active), ..SprintFilter::default() })?;
    Ok(portfolio(&open, &done, &active, now))
}

fn portfolio(open: &[TaskView], done: &[TaskView], active: &[SprintView], now: Millis) -> Portfolio {
    let mut portfolio = Portfolio::default();
    for task in open {
        let project = project(&mut portfolio.projects, &task.project_id);
        project.open += 1;
        project.in_progress += usize::from(task.status.is_wip(task.started.is_some()));
        if let Some(blocked) = blocked(task, now) {
            project.blocked += 1;
            project.oldest_blocked = Some(project.oldest_blocked.unwrap_or(0.0).max(blocked.seconds));
            portfolio.blocked.push(blocked);
        }
        portfolio.epics.extend(epic(task));
    }
    for task in done {
        project(&mut portfolio.projects, &task.project_id).done_lately += 1;
    }
    for sprint in active {
        let Some(id) = &sprint.project_id else { continue };
        project(&mut portfolio.projects, id).sprint = Some(Sprint {
            name: sprint.name.clone(),
            committed: sprint.committed,
            completed: sprint.completed_points,
            remaining: sprint.remaining,
        });
    }
    portfolio.projects.sort_by(|a, b| a.id.cmp(&b.id));
    portfolio.blocked.sort_by_key(|blocked| blocked.since);
    portfolio
}

fn project<'a>(projects: &'a mut Vec<Project>, id: &str) -> &'a mut Project {
    let place = projects.iter().position(|project| project.id == id).unwrap_or_else(|| {
        projects.push(Project { id: id.to_owned(), ..Project::default() });
        projects.len() - 1
    });
    &mut projects[place]
}

fn epic(task: &TaskView) -> Option<Epic> {
    (task.task_type == TaskType::Epic).then(|| Epic {
        id: task.id.clone(),
        title: task.title.clone(),
        percent_complete: task.percent_complete,
        children: task.subtasks.total,
        children_done: task.subtasks.completed,
    })
}

/// Since when a task is blocked, and why; `None` when it is not.
fn blocked(task: &TaskView, now: Millis) -> Option<Blocked> {
    if !task.blocked {
        return None;
    }
    let cause = task.timeline.iter().rev().find(|entry| {
        entry.kind == EventKind::Blocked
            || (entry.kind == EventKind::StatusChanged && entry.to == Status::Blocked.as_str())
    });
    // Blocked from the start, or by an open link.
    let since = cause.map_or(task.created, |entry| entry.at);
    let told = cause.filter(|entry| entry.kind == EventKind::Blocked).and_then(|entry| entry.to.as_str());
    let waits = || match task.waiting_on.as_slice() {
        [] => "no reason given".to_owned(),
        keys => format!("waiting on {}", keys.join(", ")),
    };
    Some(Blocked {
        id: task.id.clone(),
        title: task.title.clone(),
        assignee: task.assignee.clone(),
        reason: told.map_or_else(waits, str::to_owned),
        since,
        seconds: now.seconds_since(since).max(0.0),
    })
}

impl Portfolio {
    /// For people.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let mut text = self.projects_table().render(width);
        let epics = self.epics_table();
        if !epics.is_empty() {
            text.push('\n');
            text.push_str(&epics.render(width));
            text.push_str(&more(self.epics.len()));
        }
        let blocked = self.blocked_table();
        if !blocked.is_empty() {
            text.push('\n');
            text.push_str(&blocked.render(width));
            text.push_str(&more(self.blocked.len()));
        }
        text
    }

    fn projects_table(&self) -> Table {
        let mut table = Table::new(&[
            ("PROJECT", Column::Flexible),
            ("OPEN", Column::Right),
            ("WIP", Column::Right),
            ("BLOCKED", Column::Left),
            ("DONE 30D", Column::Right),
            ("SPRINT", Column::Flexible),
            ("COMMIT", Column::Right),
            ("DONE", Column::Right),
            ("LEFT", Column::Right),
        ]);
        for project in &self.projects {
            let sprint = project.sprint.as_ref();
            let points =
                |pick: fn(&Sprint) -> f64| sprint.map(|sprint| humanize::points(pick(sprint))).unwrap_or_default();
            table.row([
                project.id.clone(),
                project.open.to_string(),
                project.in_progress.to_string(),
                blocked_count(project),
                project.done_lately.to_string(),
                sprint.map_or_else(|| "none".to_owned(), |sprint| sprint.name.clone()),
                points(|sprint| sprint.committed),
                points(|sprint| sprint.completed),
                points(|sprint| sprint.remaining),
            ]);
        }
        table
    }

    fn epics_table(&self) -> Table {
        let columns =
            [("EPIC", Column::Left), ("", Column::Left), ("COMPLETE", Column::Right), ("CHILDREN", Column::Right)];
        let mut table = Table::new(&[&columns[..], &[("TITLE", Column::Flexible)]].concat());
        for epic in self.epics.iter().take(SHOWN) {
            table.row([
                epic.id.clone(),
                gauge(epic.percent_complete),
                format!("{:.0}%", epic.percent_complete),
                format!("{}/{}", epic.children_done, epic.children),
                epic.title.clone(),
            ]);
        }
        table
    }

    fn blocked_table(&self) -> Table {
        let mut table = Table::new(&[
            ("BLOCKED", Column::Left),
            ("FOR", Column::Right),
            ("ASSIGNEE", Column::Left),
            ("REASON", Column::Flexible),
            ("TITLE", Column::Flexible),
        ]);
        for blocked in self.blocked.iter().take(SHOWN) {
            table.row([
                blocked.id.clone(),
                humanize::duration(blocked.seconds),
                blocked.assignee.clone().unwrap_or_default(),
                blocked.reason.clone(),
                blocked.title.clone(),
            ]);
        }
        table
    }
}

/// How many are blocked, and in brackets for how long the oldest has been.
fn blocked_count(project: &Project) -> String {
    let oldest = project.oldest_blocked.map(|seconds| format!(" ({})", humanize::duration(seconds)));
    format!("{}{}", project.blocked, oldest.unwrap_or_default())
}

/// A line that says how many are not shown.
fn more(all: usize) -> String {
    match all.saturating_sub(SHOWN) {
        0 => String::new(),
        rest => format!("and {rest} more\n"),
    }
}

/// Ten marks that show a percentage.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10")]
fn gauge(percent: f64) -> String {
    let full = (percent.clamp(0.0, 100.0) / 10.0).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(10 - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_portfolio_reads_well() {
        let (store, config, _dir) = fixture::world();
        let portfolio = gather(&Viewer::new(&store, &config, fixture::NOW), fixture::NOW).unwrap();
        insta::assert_snapshot!("portfolio", portfolio.render(None));
        let narrow = portfolio.render(Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    }

    #[test]
    fn an_empty_store_has_an_empty_portfolio() {
        assert_eq!(portfolio(&[], &[], &[], fixture::NOW), Portfolio::default());
    }

    #[test]
    fn long_lists_say_what_they_leave_out() {
        assert_eq!(more(SHOWN), "");
        assert_eq!(more(SHOWN + 3), "and 3 more\n");
        assert_eq!(gauge(27.3), "███░░░░░░░");
    }
}
