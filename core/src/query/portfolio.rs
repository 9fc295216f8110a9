//! The portfolio: every project, its open epics and its blocked tasks at a glance.

use serde::{Deserialize, Serialize};

use super::events::EventKind;
use super::filter::{SprintFilter, StatusFilter, TaskFilter};
use super::sprint::SprintView;
use super::task::TaskView;
use super::viewer::Viewer;
use crate::model::error::Result;
use crate::model::time::{DAY, Millis};
use crate::model::{SprintState, Status, TaskType};

/// How far back `done_lately` looks.
const LATELY: i64 = 30 * DAY;

/// Everything at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortfolioView {
    /// The projects, by id.
    pub projects: Vec<ProjectView>,
    /// Epics that are not finished.
    pub epics: Vec<EpicView>,
    /// Blocked tasks, the longest blocked first.
    pub blocked: Vec<BlockedView>,
}

/// A project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectView {
    /// The portfolio project, or the tool's project when none includes it.
    pub id: String,
    /// Tasks neither finished nor deleted.
    pub open: usize,
    /// Tasks in progress.
    pub in_progress: usize,
    /// Blocked tasks.
    pub blocked: usize,
    /// Seconds since the longest blocked task was blocked.
    pub oldest_blocked: Option<f64>,
    /// Tasks done in the last 30 days.
    pub done_lately: usize,
    /// The active sprint.
    pub sprint: Option<ProjectSprint>,
}

/// The active sprint of a project, in points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectSprint {
    /// Its name.
    pub name: String,
    /// In the sprint when it started.
    pub committed: f64,
    /// In the sprint and done.
    pub completed: f64,
    /// In the sprint and unfinished.
    pub remaining: f64,
}

/// An epic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpicView {
    /// The key people use.
    pub id: String,
    /// The title.
    pub title: String,
    /// How much of its descendants is done.
    pub percent_complete: f64,
    /// The number of direct children.
    pub children: i64,
    /// The number of done children.
    pub children_done: i64,
}

/// A blocked task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockedView {
    /// The key people use.
    pub id: String,
    /// The title.
    pub title: String,
    /// Who it is assigned to.
    pub assignee: Option<String>,
    /// Why it is blocked.
    pub reason: String,
    /// Since when it is blocked.
    pub since: Millis,
    /// For how many seconds it has been blocked.
    pub seconds: f64,
}

impl Viewer<'_> {
    /// Every project at a glance.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn portfolio(&self) -> Result<PortfolioView> {
        let with = |status| TaskFilter { status: Some(status), ..TaskFilter::default() };
        let open = self.tasks(&with(StatusFilter::Open))?;
        let mut done = self.tasks(&with(StatusFilter::Is(Status::Done)))?;
        done.retain(|task| task.completed.is_some_and(|at| self.now.0 - at.0 <= LATELY));
        let active = self.sprints(&SprintFilter { state: Some(SprintState::Active), ..SprintFilter::default() })?;
        Ok(portfolio(&open, &done, &active, self.now))
    }
}

fn portfolio(open: &[TaskView], done: &[TaskView], active: &[SprintView], now: Millis) -> PortfolioView {
    let mut portfolio = PortfolioView::default();
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
    // Of two active sprints the one that began last is shown, as on the dashboards.
    let mut active: Vec<&SprintView> = active.iter().collect();
    active.sort_by_key(|sprint| sprint.start);
    for sprint in active {
        let Some(id) = &sprint.project_id else { continue };
        project(&mut portfolio.projects, id).sprint = Some(ProjectSprint {
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

fn project<'a>(projects: &'a mut Vec<ProjectView>, id: &str) -> &'a mut ProjectView {
    let place = projects.iter().position(|project| project.id == id).unwrap_or_else(|| {
        projects.push(ProjectView { id: id.to_owned(), ..ProjectView::default() });
        projects.len() - 1
    });
    &mut projects[place]
}

fn epic(task: &TaskView) -> Option<EpicView> {
    (task.task_type == TaskType::Epic).then(|| EpicView {
        id: task.id.clone(),
        title: task.title.clone(),
        percent_complete: task.percent_complete,
        children: task.subtasks.total,
        children_done: task.subtasks.completed,
    })
}

/// Since when a task is blocked, and why; `None` when it is not.
pub fn blocked(task: &TaskView, now: Millis) -> Option<BlockedView> {
    if !task.blocked {
        return None;
    }
    let cause = task.timeline.iter().rev().find(|event| {
        event.kind == EventKind::Blocked
            || (event.kind == EventKind::StatusChanged && event.to == Status::Blocked.as_str())
    });
    // Without a cause it was created blocked, or an open link blocks it.
    let since = cause.map_or(task.created, |event| event.at);
    let given = cause.filter(|event| event.kind == EventKind::Blocked).and_then(|event| event.to.as_str());
    let by_links = || match task.waiting_on.as_slice() {
        [] => "no reason given".to_owned(),
        keys => format!("waiting on {}", keys.join(", ")),
    };
    Some(BlockedView {
        id: task.id.clone(),
        title: task.title.clone(),
        assignee: task.assignee.clone(),
        reason: given.map_or_else(by_links, str::to_owned),
        since,
        seconds: now.seconds_since(since).max(0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_store_has_an_empty_portfolio() {
        assert_eq!(portfolio(&[], &[], &[], Millis(0)), PortfolioView::default());
    }
}
