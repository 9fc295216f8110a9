//! The dashboards on the filled servers: every query of every panel gives data, and the numbers that people look at first
//! are those of `tasks` and `sprints`.
//!
//! Read [`Gallery`] first: the three dashboards, looked at with the projects of one [`Case`]. Panels are named by the
//! numbers they have in their dashboards, which never change. What Grafana does with the JSON is in [`crate::grafana`].

use contextcore_core::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::grafana::{Dashboard, Query, View};
use crate::product::{Day, Event, Sprint, Task};
use crate::questions::{Case, DAY, SECOND, STEP, date_before, same, same_set};

/// Queries that may find nothing in a world without failures, and why.
const MAY_BE_EMPTY: &[(&str, u64, &str, &str)] = &[
    ("contextcore-health", 20, "F", "no run failed"),
    ("contextcore-health", 20, "J", "the fake sends no headers about what is left of a limit"),
    ("contextcore-health", 22, "A", "no run failed"),
    ("contextcore-health", 17, "A", "no complete pass has run"),
    ("contextcore-health", 24, "N", "no complete pass has run"),
    ("contextcore-health", 24, "O", "no complete pass has run"),
    ("contextcore-health", 24, "P", "no complete pass has run"),
    ("contextcore-health", 25, "A", "the projects file can be used"),
    ("contextcore-health", 34, "A", "nothing was refused"),
    ("contextcore-health", 23, "A", "the fake sends no headers about what is left of a limit"),
    ("contextcore-project", 6, "B", "the sprint is running, so that its planned end is known"),
    ("contextcore-project", 90, "A", "no agent reported anything"),
    ("contextcore-project", 97, "A", "nobody reported an insight"),
    ("contextcore-project", 59, "A", "no group is large enough"),
    ("contextcore-project", 59, "B", "no group is large enough"),
    ("contextcore-project", 59, "C", "no group is large enough"),
    ("contextcore-project", 59, "D", "no group is large enough"),
    ("contextcore-project", 59, "E", "no group is large enough"),
    ("contextcore-project", 59, "F", "no group is large enough"),
    ("contextcore-portfolio", 33, "A", "no group is large enough"),
    ("contextcore-portfolio", 33, "B", "no group is large enough"),
    ("contextcore-portfolio", 33, "C", "no group is large enough"),
    ("contextcore-portfolio", 33, "D", "no group is large enough"),
    ("contextcore-portfolio", 33, "E", "no group is large enough"),
    ("contextcore-portfolio", 33, "F", "no group is large enough"),
];
/// The upper bounds of the buckets of durations, in days.
const BOUNDS: [f64; 14] =
    [0.25 / 24.0, 1.0 / 24.0, 4.0 / 24.0, 8.0 / 24.0, 1.0, 2.0, 3.0, 5.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0];
/// Its uid, as those below.
pub(crate) const PORTFOLIO: &str = "contextcore-portfolio";
const PROJECT: &str = "contextcore-project";
const HEALTH: &str = "contextcore-health";

/// A number of something.
type Of<T> = fn(&T) -> f64;

/// The dashboards, looked at right after a run.
pub(crate) struct Gallery<'a> {
    case: &'a Case<'a>,
    dashboards: &'a [Dashboard],
    /// The moment they are looked at: a minute after the last export, because the end of a range is rounded down to the
    /// step, and by then no step of a minute ends before it.
    now: i64,
    /// Both projects of the case.
    portfolio: View<'a>,
    /// The commerce project and its running sprint.
    project: View<'a>,
    /// The source of the case.
    health: View<'a>,
}

impl<'a> Gallery<'a> {
    pub(crate) async fn open(dashboards: &'a [Dashboard], case: &'a Case<'a>) -> Result<Self> {
        let projects = case.projects.each_ref().map(String::as_str);
        let now = clock::now().0 + 61 * SECOND;
        let look = |uid: &'static str, choices| look(dashboards, case, now, uid, choices);
        Ok(Self {
            portfolio: look(PORTFOLIO, &[("project", &projects)]).await?,
            project: look(PROJECT, &[("project", &projects[..1])]).await?,
            health: look(HEALTH, &[("source", &[case.source.as_str()])]).await?,
            case,
            dashboards,
            now,
        })
    }

    /// The project whose details are looked at.
    fn commerce(&self) -> &str {
        &self.case.projects[0]
    }

    fn alive(&self) -> impl Iterator<Item = &Task> {
        self.case.expected.alive()
    }

    fn blocked(&self) -> impl Iterator<Item = &Task> {
        self.alive().filter(|task| task.status == "blocked")
    }

    /// Puts every query of every panel; says which gave nothing although they should, and how long the slowest took.
    pub(crate) async fn every_query(&self) -> Result<String> {
        self.every_query_that(|_| true).await
    }

    /// The same with those in PromQL alone.
    pub(crate) async fn every_promql_query(&self) -> Result<String> {
        self.every_query_that(Query::is_promql).await
    }

    async fn every_query_that(&self, wanted: impl Fn(&Query) -> bool) -> Result<String> {
        let (mut wrong, mut asked, mut slowest) = (Vec::new(), 0, (0.0, String::new()));
        for view in [&self.portfolio, &self.project, &self.health] {
            let queries = view.queries()?;
            ensure!(queries.len() == view.asking_targets(), "{}: not every query was found", view.uid());
            for query in queries.into_iter().filter(&wanted) {
                let began = Instant::now();
                let answer = view.ask(&query).await;
                let took = began.elapsed().as_secs_f64();
                let may = |(uid, panel, letter, _): &(&str, u64, &str, &str)| {
                    *uid == view.uid() && *panel == query.panel && *letter == query.letter
                };
                match answer {
                    Err(error) => wrong.push(format!("{}, {}: {error:#}", view.uid(), query.name())),
                    Ok(answer) if answer.len() == 0 && !MAY_BE_EMPTY.iter().any(may) => {
                        wrong.push(format!("{}, {}: nothing", view.uid(), query.name()));
                    }
                    Ok(_) => asked += 1,
                }
                if took > slowest.0 {
                    slowest = (took, format!("{}, panel {}, {}", view.uid(), query.panel, query.letter));
                }
            }
        }
        ensure!(wrong.is_empty(), "{} queries:\n{}", wrong.len(), wrong.join("\n"));
        Ok(format!("{asked} queries, the slowest {:.2} s ({})", slowest.0, slowest.1))
    }

    /// What is blocked, and for how long.
    pub(crate) async fn what_is_blocked(&self) -> Result<String> {
        let age = |task: &Task| (self.case.tick - task.since()) as f64 / 1_000.0 / 86_400.0;
        let ages = |project: Option<&str>| -> BTreeMap<String, f64> {
            let those = self.blocked().filter(|task| project.is_none_or(|project| task.project_id == project));
            those.map(|task| (task.id.clone(), age(task))).collect()
        };
        same(&self.portfolio.column(30, "A", "task_id").await?, &ages(None)).context("portfolio, blocked tasks")?;
        let here = ages(Some(self.commerce()));
        same(&self.project.column(30, "A", "task_id").await?, &here).context("project, blockers")?;
        let all = ages(None).len() as f64;
        equal("portfolio, blocked", self.portfolio.number(4, "A").await?, all)?;
        equal("project, blocked", self.project.number(4, "A").await?, here.len() as f64)?;
        let oldest = ages(None).into_values().fold(0.0, f64::max);
        equal("portfolio, oldest block", self.portfolio.number(4, "B").await?, oldest)?;
        let by_project = self.by_project(|task| task.status == "blocked");
        same(&self.portfolio.column(10, "D", "project_id").await?, &by_project).context("matrix, blocked")?;
        let oldest = |project: &String| ages(Some(project)).into_values().reduce(f64::max);
        let oldest = self.case.projects.iter().filter_map(|project| Some((project.clone(), oldest(project)?)));
        same(&self.portfolio.column(10, "E", "project_id").await?, &oldest.collect())
            .context("matrix, oldest block")?;
        Ok(format!("{all} tasks"))
    }

    /// How many tasks of each project are so.
    fn by_project(&self, so: impl Fn(&Task) -> bool) -> BTreeMap<String, f64> {
        let count = |project: &str| self.alive().filter(|task| task.project_id == project && so(task)).count() as f64;
        self.case.projects.iter().map(|project| (project.clone(), count(project))).collect()
    }

    /// Work by status, and how much of it is done.
    pub(crate) async fn work_by_status(&self) -> Result<String> {
        let columns = [("A", "backlog"), ("B", "todo"), ("C", "in_progress"), ("D", "in_review"), ("E", "blocked")];
        for (letter, status) in columns {
            let found = self.portfolio.column(31, letter, "project_id").await?;
            let expected = self.by_project(|task| task.status == status && task.task_type != "epic");
            same(&found, &expected).with_context(|| format!("portfolio, {status}"))?;
        }
        let story = |task: &Task| task.task_type == "story";
        let other = |task: &Task| !matches!(task.task_type.as_str(), "story" | "epic" | "initiative");
        let here = |so: &dyn Fn(&Task) -> bool| {
            self.alive().filter(|task| task.project_id == self.commerce() && so(task)).count() as f64
        };
        let expected = [
            ("A", here(&|task| story(task) && task.status == "done")),
            ("B", here(&|task| story(task) && task.status != "cancelled")),
            ("C", here(&|task| other(task) && task.status == "done")),
            ("D", here(&|task| other(task) && task.status != "cancelled")),
        ];
        for (letter, expected) in expected {
            equal(&format!("project, done of all, {letter}"), self.project.number(3, letter).await?, expected)?;
        }
        Ok(format!("{} columns", columns.len() + 4))
    }

    /// The open tasks of the project's board, which asks in TraceQL.
    pub(crate) async fn board(&self) -> Result<String> {
        let board = self.project.panel(20, "A").await?;
        let found = board.spans()?.iter().map(|span| span.get("task.id").to_owned()).collect();
        let open = self.alive().filter(|task| task.project_id == self.commerce() && task.is_open());
        let open: BTreeSet<String> = open.map(|task| task.id.clone()).collect();
        same_set(&found, &open).context("project, board")?;
        Ok(format!("{} open tasks on the board", open.len()))
    }

    /// How much was completed in a week, and how long what was completed in a month had taken.
    pub(crate) async fn what_was_completed(&self) -> Result<String> {
        let week = self.leads_since(7 * DAY).len();
        equal("throughput", self.portfolio.number(5, "A").await?, week as f64)?;
        let leads = self.leads_since(30 * DAY);
        ensure!(leads.len() > 20, "only {} completions in a month", leads.len());
        for (letter, share) in [("A", 0.5), ("B", 0.85), ("C", 0.95)] {
            let found = self.portfolio.number(24, letter).await?;
            let rank = ((share * leads.len() as f64).ceil() as usize).max(1) - 1;
            let place = BOUNDS.partition_point(|bound| *bound < leads[rank]);
            let low = place.checked_sub(1).map_or(0.0, |place| BOUNDS[place]);
            let high = BOUNDS.get(place).copied().unwrap_or(BOUNDS[13]);
            let right = (low - 1e-9..=high + 1e-9).contains(&found);
            ensure!(
                right,
                "lead time, {share}: {found} days, not between {low} and {high}, where {} lies",
                leads[rank]
            );
        }
        Ok(format!("{week} in a week, {} in a month", leads.len()))
    }

    /// Lead times in days of what was completed since the moment of the grid before `back` ago, shortest first; epics aside.
    fn leads_since(&self, back: i64) -> Vec<f64> {
        let since = (self.now - back).div_euclid(STEP) * STEP;
        let tasks = self.case.expected.tasks.iter().filter(|task| task.task_type != "epic");
        let leads = tasks.flat_map(|task| {
            let created = task.timeline.first().map_or(0, Event::when);
            task.times("completed").filter(|at| *at > since).map(move |at| (at - created) as f64 / DAY as f64)
        });
        let mut leads: Vec<f64> = leads.collect();
        leads.sort_by(f64::total_cmp);
        leads
    }

    /// Sprints of the commerce project in a state.
    fn sprints(&self, state: &str) -> impl Iterator<Item = &Sprint> {
        let here = |sprint: &&Sprint| sprint.project_id.as_deref() == Some(self.commerce());
        self.case.expected.sprints.iter().filter(here).filter(move |sprint| sprint.state == state)
    }

    /// The running sprint, velocity and say / do of those closed in a month, and the burndown of the last one day by day.
    pub(crate) async fn sprints_in_numbers(&self) -> Result<String> {
        let running = self.sprints("active").next().context("no sprint is running")?;
        equal("sprint points done", self.project.number(5, "A").await?, running.completed_points)?;
        equal("sprint points committed", self.project.number(5, "B").await?, running.committed)?;
        let recent = |sprint: &&Sprint| {
            sprint.completed.is_some_and(|at| at.as_millisecond() > self.now - 30 * DAY && sprint.committed > 0.0)
        };
        let closed: Vec<&Sprint> = self.sprints("closed").filter(recent).collect();
        let by_id = |pick: Of<Sprint>| -> BTreeMap<String, f64> {
            closed.iter().map(|sprint| (sprint.id.clone(), pick(sprint))).collect()
        };
        let columns: [(u64, &str, Of<Sprint>); 3] = [
            (13, "A", |sprint| sprint.committed),
            (13, "B", |sprint| sprint.completed_points),
            (12, "F", |sprint| 100.0 * sprint.completed_points / sprint.committed),
        ];
        for (panel, letter, pick) in columns {
            let found = self.project.column(panel, letter, "sprint_id").await?;
            same(&found, &by_id(pick)).with_context(|| format!("panel {panel}, {letter}"))?;
        }
        let said = self.portfolio.column(21, "A", "sprint_id").await?;
        let missing = closed
            .iter()
            .find(|sprint| said.get(&sprint.id) != Some(&(100.0 * sprint.completed_points / sprint.committed)));
        ensure!(missing.is_none(), "portfolio, say / do: {missing:?} not in {said:?}");
        let last = closed.iter().max_by_key(|sprint| sprint.completed).context("no sprint was closed in a month")?;
        let days = self.burndown(last).await?;
        Ok(format!("{} sprints closed in a month, {days} days of a burndown", closed.len()))
    }

    /// The burndown panel with a past sprint chosen, at the end of each day.
    async fn burndown(&self, sprint: &Sprint) -> Result<usize> {
        let (project, id) = ([self.commerce()], [sprint.id.as_str()]);
        let choices: [(&str, &[&str]); 2] = [("project", &project), ("sprint", &id)];
        let view = look(self.dashboards, self.case, self.now, PROJECT, &choices).await?;
        let picks: [(&str, Of<Day>); 3] = [("A", |day| day.remaining), ("B", |day| day.ideal), ("C", |day| day.scope)];
        let mut days = 0;
        for (letter, pick) in picks {
            let answer = view.panel(10, letter).await?;
            let midnights = answer.samples()?.iter().filter(|sample| sample.at % DAY == 0);
            let found: BTreeMap<String, i64> =
                midnights.map(|sample| (date_before(sample.at), billionths(sample.value))).collect();
            let (_, whole) = sprint.burndown.split_last().context("an empty burndown")?;
            for day in whole {
                let (found, expected) = (found.get(&day.date), billionths(pick(day)));
                ensure!(found == Some(&expected), "burndown {letter}, {}: {found:?}, not {expected}", day.date);
                days += 1;
            }
        }
        ensure!(days > 20, "only {days} values of a burndown were compared");
        Ok(days / picks.len())
    }

    /// The colour of each project by the rule that the panel states, from what `tasks` and `sprints` say.
    pub(crate) async fn colours(&self) -> Result<String> {
        let found = self.portfolio.column(10, "B", "project_id").await?;
        let (behind, scope) =
            (self.portfolio.column(10, "M", "project_id").await?, self.portfolio.column(10, "N", "project_id").await?);
        let wip = self.portfolio.column(10, "G", "project_id").await?;
        let mut expected = BTreeMap::new();
        for project in &self.case.projects {
            let share = |of: fn(&Sprint) -> Option<f64>| {
                let here =
                    self.case.expected.sprints.iter().filter(|sprint| sprint.project_id.as_ref() == Some(project));
                here.filter(|sprint| sprint.state == "active").filter_map(of).reduce(f64::max)
            };
            let is_behind = share(|sprint| {
                let now = sprint.burndown.last()?;
                (now.scope > 0.0).then(|| 100.0 * (now.remaining - now.ideal) / now.scope)
            });
            let changed = share(|sprint| {
                (sprint.committed > 0.0).then(|| 100.0 * (sprint.added + sprint.removed) / sprint.committed)
            });
            close(&format!("behind, {project}"), behind.get(project).copied(), is_behind)?;
            close(&format!("scope change, {project}"), scope.get(project).copied(), changed)?;
            let ages = self.blocked().filter(|task| task.project_id == *project);
            let oldest = ages.map(|task| self.case.tick - task.since()).max();
            let red = oldest.is_some_and(|age| age > 3 * DAY) || is_behind.is_some_and(|share| share > 25.0);
            let wip = wip.get(project).is_some_and(|times| *times > 1.5);
            let yellow = oldest.is_some() || changed.is_some_and(|share| share > 20.0) || wip;
            expected.insert(project.clone(), if red { 2.0 } else { f64::from(u8::from(yellow)) });
        }
        same(&found, &expected).context("matrix, health")?;
        equal("project, health", self.project.number(1, "A").await?, expected[self.commerce()])?;
        Ok(format!("{:?}", expected.values().collect::<Vec<_>>()))
    }

    /// Work in progress is what was begun and is not finished, blocked or not, and its age is of the same tasks.
    pub(crate) async fn work_in_progress(&self) -> Result<String> {
        let is_wip = |task: &&Task| match task.status.as_str() {
            "in_progress" | "in_review" => true,
            "blocked" => task.started.is_some(),
            _ => false,
        };
        let here =
            |project: &str| self.alive().filter(is_wip).filter(|task| task.project_id == project).collect::<Vec<_>>();
        let counts = self.case.projects.iter().map(|project| (project.clone(), here(project).len() as f64));
        let counts: BTreeMap<String, f64> = counts.collect();
        same(&self.portfolio.column(10, "F", "project_id").await?, &counts).context("matrix, work in progress")?;
        let mut ages = BTreeMap::new();
        for project in &self.case.projects {
            let begun = here(project).into_iter().filter(|task| task.task_type != "epic");
            let oldest = begun.filter_map(|task| task.started).min().context("nothing is in progress")?;
            ages.insert(project.clone(), (self.case.tick - oldest.as_millisecond()) as f64 / 1_000.0);
        }
        // The panel draws it every six hours, so the present is asked for by itself.
        let oldest = "max by (project_id) (task_wip_age_seconds{quantile=\"1\"})";
        for sample in self.case.stack.prometheus.instant(oldest, self.case.tick).await? {
            if let Some(age) = ages.get(sample.get("project_id")) {
                close("the oldest in progress", Some(sample.value), Some(*age))?;
                ages.remove(sample.get("project_id"));
            }
        }
        ensure!(ages.is_empty(), "no age is exported of {ages:?}");
        Ok(format!("{counts:?}"))
    }

    /// What is held of what the tool counts.
    pub(crate) async fn completeness(&self) -> Result<String> {
        equal("held", self.health.number(5, "A").await?, 100.0)?;
        let held = self.health.column(24, "H", "source_name").await?;
        let expected = BTreeMap::from([(self.case.source.clone(), self.alive().count() as f64)]);
        same(&held, &expected).context("health, held")?;
        equal("histories", self.health.number(6, "A").await?, 1.0)?;
        let whole = self.health.column(24, "L", "source_name").await?;
        same(&whole, &BTreeMap::from([(self.case.source.clone(), 1.0)])).context("health, histories")?;
        Ok(format!("{held:?}"))
    }
}

async fn look<'a>(
    dashboards: &'a [Dashboard],
    case: &'a Case<'a>,
    now: i64,
    uid: &str,
    choices: &[(&str, &[&str])],
) -> Result<View<'a>> {
    let dashboard = dashboards.iter().find(|dashboard| dashboard.uid() == uid);
    let dashboard = dashboard.with_context(|| format!("no dashboard {uid}"))?;
    dashboard.view(case.stack, now, choices).await.with_context(|| uid.to_owned())
}

fn equal(what: &str, found: f64, expected: f64) -> Result<()> {
    ensure!(found == expected, "{what}: {found}, not {expected}");
    Ok(())
}

/// What is reckoned with moments a little apart.
fn close(what: &str, found: Option<f64>, expected: Option<f64>) -> Result<()> {
    let near = found.zip(expected).map_or(found == expected, |(found, expected)| (found - expected).abs() < 0.1);
    ensure!(near, "{what}: {found:?}, not {expected:?}");
    Ok(())
}

/// The ideal line has no end of digits.
fn billionths(points: f64) -> i64 {
    (points * 1e9).round() as i64
}
