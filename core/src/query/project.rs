//! One project in numbers: is it on track? The rules are those of the dashboards, computed from timelines instead of metrics.

use serde::{Deserialize, Serialize};

use super::filter::{AnyOf, SprintFilter, StatusFilter, TaskFilter};
use super::portfolio::{BlockedView, blocked};
use super::sprint::SprintView;
use super::task::TaskView;
use super::viewer::Viewer;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::health::{BEHIND_TOO_FAR, BLOCKED_TOO_LONG, CROWDED, SCOPE_MOVED, TOO_OLD};
use crate::model::time::{DAY, Millis};
use crate::model::{SprintState, Status, TaskType, string_enum};

/// How far back a forecast looks: twelve weeks.
const WEEKS: i64 = 12;
const WEEK: i64 = 7 * DAY;
/// How far back cycle times are taken from.
const LATELY: i64 = 30 * DAY;
/// How far back the mean of work in progress looks, in days.
const WIP_DAYS: i64 = 28;
/// The quantile of the normal distribution at 85 %.
const Z85: f64 = 1.0364;

/// Which project, and which of its sprints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectQuery {
    /// A portfolio project or a native one; case does not matter.
    pub project: String,
    /// A sprint, by native id or name; absent: the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprint: Option<String>,
}

string_enum! {
    /// How a project is.
    HealthState {
        /// Nothing is wrong.
        Green = "green",
        /// Something needs a look.
        Yellow = "yellow",
        /// Something needs a hand.
        Red = "red",
    }
}

/// How a project is, and by which rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthView {
    /// The state.
    pub state: HealthState,
    /// What made it so; empty when it is green.
    #[serde(default)]
    pub because: Vec<String>,
}

/// How much is done, without epics and cancelled work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// In percent; by points where everything is estimated, else by number of tasks.
    pub percent: f64,
    /// What that counts: `points` or `tasks`.
    pub by: String,
    /// Tasks done.
    pub done: usize,
    /// Tasks neither finished nor deleted.
    pub open: usize,
}

/// A sprint in points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SprintReport {
    /// Its name.
    pub name: String,
    /// Future, active or closed.
    pub state: SprintState,
    /// When it started or is planned to.
    pub start: Option<Millis>,
    /// When it is planned to end.
    pub end: Option<Millis>,
    /// In it when it started.
    pub committed: f64,
    /// In it now.
    #[serde(default)]
    pub scope: f64,
    /// In it and done.
    pub done: f64,
    /// In it and unfinished.
    pub remaining: f64,
    /// What would remain now on a straight line to its end.
    pub ideal: f64,
    /// Added and removed since it started.
    pub scope_change: f64,
}

/// Work in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WipView {
    /// Now.
    pub now: usize,
    /// The mean of the last four weeks.
    pub mean: f64,
}

/// Blocked tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockedCount {
    /// How many.
    pub count: usize,
    /// The one that has been blocked longest.
    pub oldest: Option<BlockedView>,
}

/// The middle and the long end of durations, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them are no longer.
    pub p50: f64,
    /// 85 % of them are no longer.
    pub p85: f64,
    /// How many there are.
    pub tasks: usize,
}

/// When all open work will be done if the coming weeks are like the last twelve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastView {
    /// The date with an even chance.
    pub p50: String,
    /// The date with a chance of 85 %.
    pub p85: String,
}

/// How work flows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowView {
    /// Start to completion, of tasks completed in the last 30 days.
    pub cycle_time: Option<Spread>,
    /// When the open work will be done.
    pub forecast: Option<ForecastView>,
    /// Tasks completed in the last 30 days.
    pub done_lately: usize,
}

/// One project in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectReport {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How much hangs on it.
    pub criticality: Option<String>,
    /// What it is worth.
    pub value: Option<String>,
    /// How it is.
    pub health: HealthView,
    /// How much is done.
    pub progress: ProgressView,
    /// The sprint that was asked for, else the active one.
    pub sprint: Option<SprintReport>,
    /// Work in progress.
    pub wip: WipView,
    /// Blocked tasks.
    pub blocked: BlockedCount,
    /// How work flows.
    pub flow: FlowView,
    /// Seconds since the least fresh of its sources was read.
    pub lag: Option<f64>,
}

impl Viewer<'_> {
    /// One project in numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is no such project or sprint, [`ErrorKind::Store`] when the store cannot be read.
    pub fn project(&self, query: &ProjectQuery) -> Result<ProjectReport> {
        let in_project = TaskFilter { project: Some(query.project.clone()), ..TaskFilter::default() };
        let tasks = self.tasks(&TaskFilter {
            statuses: AnyOf(vec![StatusFilter::Open, StatusFilter::Is(Status::Done)]),
            ..in_project.clone()
        })?;
        if tasks.is_empty() {
            let none = TaskFilter { sprint: None, ..in_project };
            self.check_task_names(&none)?;
        }
        let id = self.portfolio_id(&query.project, &tasks);
        let project = Some(query.project.clone());
        let active = SprintFilter { project, state: Some(SprintState::Active), ..SprintFilter::default() };
        let running = self.sprints(&active)?;
        let sprint = match &query.sprint {
            Some(sprint) => Some(self.named_sprint(&query.project, sprint)?),
            None => latest(running.iter()).cloned(),
        };
        let lag = self.lag_of(&tasks)?;
        Ok(self.report(id, &tasks, sprint.as_ref(), running.iter(), lag))
    }

    /// Every project that has tasks or is configured, in numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] when the store cannot be read.
    pub fn projects(&self) -> Result<Vec<ProjectReport>> {
        let both = AnyOf(vec![StatusFilter::Open, StatusFilter::Is(Status::Done)]);
        let tasks = self.tasks(&TaskFilter { statuses: both, ..TaskFilter::default() })?;
        let active = self.sprints(&SprintFilter { state: Some(SprintState::Active), ..SprintFilter::default() })?;
        let mut ids: Vec<String> = self.config.projects.iter().map(|project| project.id.clone()).collect();
        ids.extend(tasks.iter().map(|task| task.project_id.clone()));
        ids.sort();
        ids.dedup();
        let report = |id: String| {
            let own: Vec<TaskView> = tasks.iter().filter(|task| task.project_id == id).cloned().collect();
            let running: Vec<_> = active.iter().filter(|sprint| sprint.project_id.as_deref() == Some(&id)).collect();
            let lag = self.lag_of(&own)?;
            Ok(self.report(id, &own, latest(running.iter().copied()), running.iter().copied(), lag))
        };
        ids.into_iter().map(report).collect()
    }

    /// The id of the portfolio project that a typed name means.
    fn portfolio_id(&self, typed: &str, tasks: &[TaskView]) -> String {
        let configured = self.config.projects.iter().find(|project| project.id.eq_ignore_ascii_case(typed));
        let of_task = || tasks.first().map(|task| task.project_id.clone());
        configured.map(|project| project.id.clone()).or_else(of_task).unwrap_or_else(|| typed.to_owned())
    }

    fn named_sprint(&self, project: &str, sprint: &str) -> Result<SprintView> {
        let (project, sprint) = (project.to_owned(), sprint.to_owned());
        let filter = SprintFilter { project: Some(project), sprint: Some(sprint), ..SprintFilter::default() };
        if let Some(found) = latest(self.sprints(&filter)?.iter()) {
            return Ok(found.clone());
        }
        self.check_sprint_names(&filter)?;
        let [project, sprint] = [filter.project, filter.sprint].map(Option::unwrap_or_default);
        Err(Error::new(ErrorKind::Config, format!("project `{project}` has no sprint `{sprint}`")))
    }

    /// Seconds since the least fresh of the sources of these tasks was read.
    fn lag_of(&self, tasks: &[TaskView]) -> Result<Option<f64>> {
        let mut sources: Vec<&str> = tasks.iter().map(|task| task.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        let lags = sources.into_iter().map(|source| self.lag(source)).collect::<Result<Vec<_>>>()?;
        Ok(lags.into_iter().flatten().reduce(f64::max))
    }

    fn report<'a>(
        &self,
        id: String,
        tasks: &[TaskView],
        sprint: Option<&SprintView>,
        running: impl Iterator<Item = &'a SprintView>,
        lag: Option<f64>,
    ) -> ProjectReport {
        let known = self.config.projects.iter().find(|project| project.id == id);
        let now = self.now;
        let open: Vec<&TaskView> = tasks.iter().filter(|task| !task.status.is_finished()).collect();
        let done: Vec<&TaskView> = tasks.iter().filter(|task| task.status == Status::Done).collect();
        let blocked = blocked_count(&open, now);
        let wip = wip(tasks, &open, now);
        let sprint = sprint.map(|sprint| sprint_report(sprint, now));
        let running: Vec<SprintReport> = running.map(|sprint| sprint_report(sprint, now)).collect();
        ProjectReport {
            name: known.map_or_else(|| id.clone(), |known| known.name.clone()),
            owner: known.and_then(|known| known.owner.clone()),
            criticality: known.and_then(|known| known.criticality).map(|level| level.as_str().to_owned()),
            value: known.and_then(|known| known.value.clone()),
            health: health(&blocked, &wip, &running, lag),
            progress: progress(&open, &done),
            flow: flow(&open, &done, now),
            id,
            sprint,
            wip,
            blocked,
            lag,
        }
    }
}

/// Of several sprints the one that began last, as on the dashboards.
fn latest<'a>(sprints: impl Iterator<Item = &'a SprintView>) -> Option<&'a SprintView> {
    sprints.max_by_key(|sprint| sprint.start)
}

fn sprint_report(sprint: &SprintView, now: Millis) -> SprintReport {
    let line = match (sprint.start, sprint.end) {
        (Some(start), Some(end)) if end > start => {
            let passed = now.seconds_since(start).max(0.0) / end.seconds_since(start);
            sprint.committed * (1.0 - passed).max(0.0)
        }
        _ => 0.0,
    };
    SprintReport {
        name: sprint.name.clone(),
        state: sprint.state,
        start: sprint.start,
        end: sprint.end,
        committed: sprint.committed,
        scope: sprint.scope,
        done: sprint.completed_points,
        remaining: sprint.remaining,
        ideal: line,
        scope_change: sprint.added + sprint.removed,
    }
}

fn blocked_count(open: &[&TaskView], now: Millis) -> BlockedCount {
    let all: Vec<BlockedView> = open.iter().filter_map(|task| blocked(task, now)).collect();
    BlockedCount { count: all.len(), oldest: all.into_iter().min_by_key(|one| one.since) }
}

/// Work in progress now and, at the end of each of the last 28 days, what had been started and not ended.
fn wip(tasks: &[TaskView], open: &[&TaskView], now: Millis) -> WipView {
    let is_wip = |task: &&&TaskView| task.status.is_wip(task.started.is_some());
    let at = |moment: Millis| {
        let runs = |task: &&TaskView| {
            let ended = task.completed.or(task.cancelled).is_some_and(|end| end <= moment);
            task.started.is_some_and(|start| start <= moment) && !ended
        };
        tasks.iter().filter(runs).count()
    };
    let sum: usize = (1..=WIP_DAYS).map(|day| at(now.plus(-day * DAY))).sum();
    WipView { now: open.iter().filter(is_wip).count(), mean: sum as f64 / WIP_DAYS as f64 }
}

fn progress(open: &[&TaskView], done: &[&TaskView]) -> ProgressView {
    let counts = |task: &&&TaskView| task.task_type != TaskType::Epic;
    let all = || open.iter().chain(done).filter(counts);
    let points = |tasks: &[&TaskView]| tasks.iter().filter(counts).filter_map(|task| task.estimate).sum::<f64>();
    let is_estimated = all().all(|task| task.estimate.is_some());
    let total = points(open) + points(done);
    let (by, share) = if is_estimated && total > 0.0 {
        ("points", points(done) / total)
    } else {
        let finished = done.iter().filter(counts).count();
        ("tasks", if all().next().is_none() { 0.0 } else { finished as f64 / all().count() as f64 })
    };
    ProgressView { percent: 100.0 * share, by: by.to_owned(), done: done.len(), open: open.len() }
}

/// The rule of the dashboards: of several running sprints the worst counts.
fn health(blocked: &BlockedCount, wip: &WipView, running: &[SprintReport], lag: Option<f64>) -> HealthView {
    let is_behind =
        |sprint: &SprintReport| sprint.scope > 0.0 && sprint.remaining - sprint.ideal > BEHIND_TOO_FAR * sprint.scope;
    let has_changed =
        |sprint: &SprintReport| sprint.committed > 0.0 && sprint.scope_change > SCOPE_MOVED * sprint.committed;
    let red = [
        (
            blocked.oldest.as_ref().is_some_and(|oldest| oldest.seconds > f64::from(BLOCKED_TOO_LONG)),
            "a task is blocked for over 3 days",
        ),
        (running.iter().any(is_behind), "a running sprint is behind its ideal line by over 25 % of its scope"),
        (lag.is_some_and(|lag| lag > f64::from(TOO_OLD)), "the data is older than 1 h"),
    ];
    let yellow = [
        (blocked.count > 0, "a task is blocked"),
        (running.iter().any(has_changed), "the scope of a running sprint changed by over 20 % of the commitment"),
        (wip.mean > 0.0 && wip.now as f64 > CROWDED * wip.mean, "work in progress is over 1.5 times its 4-week mean"),
    ];
    let of = |rules: &[(bool, &str)]| rules.iter().filter(|rule| rule.0).map(|rule| rule.1.to_owned()).collect();
    let (red, yellow): (Vec<String>, Vec<String>) = (of(&red), of(&yellow));
    match (red.is_empty(), yellow.is_empty()) {
        (false, _) => HealthView { state: HealthState::Red, because: red },
        (true, false) => HealthView { state: HealthState::Yellow, because: yellow },
        (true, true) => HealthView { state: HealthState::Green, because: Vec::new() },
    }
}

fn flow(open: &[&TaskView], done: &[&TaskView], now: Millis) -> FlowView {
    let lately = |task: &&&TaskView| task.completed.is_some_and(|at| now.0 - at.0 <= LATELY);
    let cycles = done.iter().filter(lately).filter(|task| task.task_type != TaskType::Epic);
    FlowView {
        cycle_time: spread(cycles.filter_map(|task| task.cycle_time).collect()),
        forecast: forecast(open, done, now),
        done_lately: done.iter().filter(lately).count(),
    }
}

fn spread(mut seconds: Vec<f64>) -> Option<Spread> {
    seconds.sort_by(f64::total_cmp);
    let at = |percent: usize| seconds.get((seconds.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(Spread { p50: at(50)?, p85: at(85)?, tasks: seconds.len() })
}

/// When the open work is done: `W` weeks complete `mean·W − z·spread·√W` tasks at least, by the share `z` of all futures.
fn forecast(open: &[&TaskView], done: &[&TaskView], now: Millis) -> Option<ForecastView> {
    let counts = |task: &&&TaskView| task.task_type != TaskType::Epic;
    let remaining = open.iter().filter(counts).count() as f64;
    let mut weeks = [0.0_f64; WEEKS as usize];
    for at in done.iter().filter(counts).filter_map(|task| task.completed) {
        let ago = usize::try_from((now.0 - at.0).max(0) / WEEK).unwrap_or(usize::MAX);
        if let Some(week) = weeks.get_mut(ago) {
            *week += 1.0;
        }
    }
    let mean = weeks.iter().sum::<f64>() / WEEKS as f64;
    if mean == 0.0 {
        return None;
    }
    let spread = (weeks.iter().map(|week| (week - mean).powi(2)).sum::<f64>() / WEEKS as f64).sqrt();
    let date = |z: f64| {
        let root = ((z * spread).powi(2) + 4.0 * mean * remaining).sqrt();
        let weeks = ((z * spread + root) / (2.0 * mean)).powi(2);
        now.plus((weeks * WEEK as f64) as i64).date()
    };
    Some(ForecastView { p50: date(0.0), p85: date(Z85) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_long_end_of_durations() {
        assert_eq!(spread(Vec::new()), None);
        let all = (1..=20).map(f64::from).collect();
        assert_eq!(spread(all), Some(Spread { p50: 10.0, p85: 17.0, tasks: 20 }));
    }

    #[test]
    fn health_follows_the_rule_of_the_dashboards() {
        let none = BlockedCount { count: 0, oldest: None };
        let wip = |now, mean| WipView { now, mean };
        let sprint = |remaining, ideal, change| SprintReport {
            name: "S".into(),
            state: SprintState::Active,
            start: None,
            end: None,
            committed: 20.0,
            scope: 20.0,
            done: 20.0 - remaining,
            remaining,
            ideal,
            scope_change: change,
        };
        let state = |wip, running: &[SprintReport], lag| health(&none, &wip, running, lag).state;
        assert_eq!(state(wip(3, 2.0), &[], None), HealthState::Green);
        assert_eq!(state(wip(4, 2.0), &[], Some(60.0)), HealthState::Yellow);
        let (good, late, moved) = (sprint(10.0, 5.0, 0.0), sprint(10.0, 4.9, 0.0), sprint(5.0, 5.0, 4.1));
        assert_eq!(state(wip(1, 1.0), std::slice::from_ref(&good), None), HealthState::Green);
        assert_eq!(state(wip(1, 1.0), &[late, good.clone()], None), HealthState::Red, "the worst counts");
        assert_eq!(state(wip(1, 1.0), &[good, moved], None), HealthState::Yellow);
        let halved = SprintReport { scope: 10.0, ..sprint(9.0, 6.0, 0.0) };
        assert_eq!(state(wip(1, 1.0), &[halved], None), HealthState::Red, "of what is in it, not of the commitment");
        assert_eq!(state(wip(1, 1.0), &[], Some(3_601.0)), HealthState::Red);
    }
}
