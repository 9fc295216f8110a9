//! The questions people ask, each put to the servers that can answer it and to `tasks` and `sprints`.
//!
//! Read [`Case`] first. Every method is one question: it gives a short account of what was compared, or says what
//! differs. The queries are those of the documentation; nothing here knows how the product computes its numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ask::{Range, Sample, Span};
use crate::product::{Product, Sprint, Task};
use crate::servers::Stack;
use crate::timeline::{Expected, Finals};

pub(crate) const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;
/// The grid of the metrics' history, `export.metrics.history_step`.
pub(crate) const STEP: i64 = 6 * HOUR;
/// How long what was sent may take to be found.
const VISIBLE: Duration = Duration::from_secs(90);
/// How long to wait before the same is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// What `tasks` and `sprints` say after a run, beside the servers that took the run's telemetry.
pub(crate) struct Case<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) expected: &'a Expected,
    pub(crate) source: String,
    /// Projects, commerce and platform.
    pub(crate) projects: [String; 2],
    /// The moment of the run.
    pub(crate) tick: i64,
}

impl<'a> Case<'a> {
    /// Finds the run's moment, and waits until all of its history is found.
    pub(crate) async fn settled(stack: &'a Stack, product: &Product, expected: &'a Expected, now: i64) -> Result<Self> {
        let case = Self::at_newest(stack, product, expected, now).await?;
        case.settle().await?;
        Ok(case)
    }

    /// Finds the run's moment.
    pub(crate) async fn at_newest(
        stack: &'a Stack,
        product: &Product,
        expected: &'a Expected,
        now: i64,
    ) -> Result<Self> {
        let projects = [product.commerce(), product.platform()];
        let source = product.source.clone();
        let newest = format!("max(timestamp(task_wip{{project_id=~\"{source}-.*\"}})) * 1000");
        let newest = stack.prometheus.instant(&newest, now).await?;
        let tick = newest.first().context("no metric of the run is there")?.value.round() as i64;
        Ok(Self { stack, expected, source, projects, tick })
    }

    /// All of the past, and the snapshot of the run.
    fn ever(&self) -> Range {
        Range { from: self.tick - 400 * DAY, to: self.tick + HOUR }
    }

    /// The last two hours, for questions about now.
    fn lately(&self) -> Range {
        Range { from: self.tick - 2 * HOUR, to: self.tick + SECOND }
    }

    /// A TraceQL condition on the role.
    fn role(&self, role: &str) -> String {
        format!("resource.source.name=\"{}\" && span.contextcore.role=\"{role}\"", self.source)
    }

    /// A PromQL or LogQL selector of the project metrics.
    fn scope(&self) -> String {
        format!("project_id=~\"{}-.*\"", self.source)
    }

    /// Series exported by the newest run only: a series that ended stays visible for five minutes.
    fn newest(&self, metric: &str) -> String {
        let scope = self.scope();
        format!(
            "{metric}{{{scope}}} and (timestamp({metric}{{{scope}}}) == on (project_id) group_left () \
             max by (project_id) (timestamp(task_wip{{{scope}}})))"
        )
    }

    async fn promql(&self, query: &str, at: i64) -> Result<Vec<Sample>> {
        self.stack.prometheus.instant(query, at).await
    }

    /// Final spans there must be, by role.
    fn finals(&self) -> BTreeMap<String, i64> {
        let finals = self.expected.tasks.iter().map(Task::finals).fold(Finals::default(), Finals::plus);
        let closed = self.expected.sprints.iter().filter(|sprint| sprint.state == "closed").count();
        let counts =
            [("phase", finals.phases), ("task", finals.tasks), ("completion", finals.completions), ("sprint", closed)];
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(role, count)| (role.to_owned(), count as i64))
            .collect()
    }

    /// Waits until Tempo finds every final span in both of its ways, and Loki every record.
    async fn settle(&self) -> Result<()> {
        self.stack.tempo()?.flush().await?;
        let began = Instant::now();
        loop {
            let verdict = self.everything_is_there().await;
            if verdict.is_ok() || began.elapsed() > VISIBLE {
                return verdict.map(drop);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until spans that were sent a second time are in Tempo's blocks. Only TraceQL metrics show it: they count a span in
    /// every block it is in, until compaction makes one of two. On a busy machine it has done so for some roles before it is asked.
    pub(crate) async fn found_again(&self) -> Result<()> {
        self.stack.tempo()?.flush().await?;
        let once = self.finals();
        let began = Instant::now();
        loop {
            let counted = self.counted_finals().await?;
            if once.iter().any(|(role, count)| counted.get(role).is_some_and(|counted| counted > count)) {
                return Ok(());
            }
            ensure!(began.elapsed() < VISIBLE, "what was sent again is not found: {counted:?}, once {once:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Final spans by role, as TraceQL metrics count them.
    async fn counted_finals(&self) -> Result<BTreeMap<String, i64>> {
        let query = format!("{{{}}} | count_over_time() by (span.contextcore.role)", self.final_roles());
        Ok(whole(self.stack.tempo()?.metric(&query, self.ever()).await?))
    }

    /// A TraceQL condition on the roles of what is final.
    fn final_roles(&self) -> String {
        format!("resource.source.name=\"{}\" && span.contextcore.role=~\"phase|task|completion|sprint\"", self.source)
    }

    /// Totals: spans by role in TraceQL metrics and in search, records by event in LogQL.
    pub(crate) async fn everything_is_there(&self) -> Result<String> {
        let expected = self.finals();
        same(&self.counted_finals().await?, &expected).context("spans counted by TraceQL metrics")?;
        let query = format!("{{{}}} | by(span:id)", self.final_roles());
        let spans = self.stack.tempo()?.search(&query, self.ever()).await?;
        let found = tally(spans.iter().map(|span| span.get("contextcore.role").to_owned()));
        same(&found, &expected).context("spans found by search")?;
        let records = self.records(self.tick + SECOND, "400d").await?;
        same(&records, &self.events(i64::MIN, i64::MAX)).context("records counted by LogQL")?;
        Ok(format!("{} final spans, {} records", spans.len(), records.values().sum::<i64>()))
    }

    /// Which tasks are blocked now, and since when.
    pub(crate) async fn blocked_now(&self) -> Result<String> {
        let mut blocked = 0;
        for project in &self.projects {
            let expected = self.expected.in_status(project, "blocked");
            let found = self.snapshot(project, "span.task.status=\"blocked\"").await?;
            let found: BTreeSet<String> = found
                .iter()
                .filter(|span| span.get("task.status") == "blocked")
                .map(|span| span.get("task.id").to_owned())
                .collect();
            same_set(&found, &expected).with_context(|| format!("TraceQL, {project}"))?;
            blocked += expected.len();
        }
        self.blocked_gauges().await?;
        Ok(format!("{blocked} tasks"))
    }

    /// How many tasks are blocked now, and for how long, by PromQL.
    pub(crate) async fn blocked_gauges(&self) -> Result<String> {
        for project in &self.projects {
            let expected = self.expected.in_status(project, "blocked").len();
            let gauge = self.promql(&format!("task_blocked{{project_id=\"{project}\"}}"), self.tick).await?;
            ensure!(one(&gauge)? == expected as f64, "task_blocked of {project}: {gauge:?}");
        }
        let found = self.promql(&self.newest("task_blocked_age_seconds"), self.tick).await?;
        let found = found.iter().map(|sample| (sample.get("task_id").to_owned(), millis(sample.value))).collect();
        let expected = self.expected.alive().filter(|task| task.status == "blocked");
        let expected = expected.map(|task| (task.id.clone(), self.tick - task.since())).collect();
        same(&found, &expected).context("task_blocked_age_seconds")?;
        Ok(format!("{} tasks", found.len()))
    }

    /// The newest snapshot of a project: the spans that hold, and those at the top. Those are asked for besides because a
    /// snapshot in which nothing holds would not be found at all, and the one before it would answer.
    async fn snapshot(&self, project: &str, condition: &str) -> Result<Vec<Span>> {
        let query = format!(
            "{{resource.project.id=\"{project}\" && {} && ({condition} || nestedSetParent < 0)}} \
             | select(span.task.id, span.task.status) with (most_recent=true)",
            self.role("snapshot")
        );
        self.stack.tempo()?.search_limited(&query, self.lately(), 1).await
    }

    /// When the newest snapshot of a project was taken.
    async fn newest_snapshot(&self, project: &str) -> Result<i64> {
        let spans = self.snapshot(project, "false").await?;
        spans.first().map(|span| span.start).with_context(|| format!("{project} has no snapshot"))
    }

    /// What is blocked for longer than a day below each epic, now.
    pub(crate) async fn blocked_below_epics(&self) -> Result<String> {
        let mut blocked = 0;
        for epic in self.epics() {
            let query = format!(
                "{{{} && span.task.id=\"{}\"}} >> {{span.task.status=\"blocked\" && span.task.status_age_s > 86400.0}} \
                 | select(span.task.id) with (most_recent=true)",
                self.role("snapshot"),
                epic.id
            );
            let newest = self.newest_snapshot(&epic.project_id).await?;
            let spans = self.stack.tempo()?.search_limited(&query, self.lately(), 1).await?;
            // An older one answers when nothing is blocked any more.
            let now = spans.iter().filter(|span| span.start == newest);
            let found = now.map(|span| span.get("task.id").to_owned()).collect();
            let old = |task: &&Task| task.status == "blocked" && newest - task.since() > DAY;
            let expected: BTreeSet<String> = self.open_below(epic).filter(old).map(|task| task.id.clone()).collect();
            same_set(&found, &expected).with_context(|| format!("below {}", epic.id))?;
            blocked += expected.len();
        }
        Ok(format!("{blocked} tasks below {} epics", self.epics().count()))
    }

    /// What was done in the last thirty days: which tasks, and how many completions by TraceQL metrics and by PromQL.
    pub(crate) async fn done_lately(&self) -> Result<String> {
        let since = (self.tick - 30 * DAY).div_euclid(SECOND) * SECOND;
        let query = format!(
            "{{{} && span.task.status=\"done\" && span.task.completed_at >= {}}} | by(span.task.id)",
            self.role("task"),
            since / SECOND
        );
        let spans = self.stack.tempo()?.search(&query, self.ever()).await?;
        let found: BTreeSet<String> = spans.iter().map(|span| self.key_now(span.get("by(span.task.id)"))).collect();
        let done = |task: &&Task| task.completed.is_some_and(|at| at.as_millisecond() >= since);
        let mut expected: BTreeSet<String> =
            self.expected.tasks.iter().filter(done).map(|task| task.id.clone()).collect();
        let total = expected.len();
        // History is final: what was done and taken up again since is still found.
        let again = |task: &&Task| task.status != "done" && task.times("completed").any(|at| at >= since);
        expected.extend(self.expected.tasks.iter().filter(again).map(|task| task.id.clone()));
        same_set(&found, &expected).context("TraceQL")?;
        let range = Range { from: since, to: self.tick };
        let counted =
            self.stack.tempo()?.metric(&format!("{{{}}} | count_over_time()", self.role("completion")), range).await?;
        let completions = self.completions(since, self.tick);
        ensure!(
            counted.values().sum::<f64>() == completions as f64,
            "TraceQL metrics count {counted:?}, not {completions}"
        );
        self.completed_counter().await?;
        Ok(format!("{total} tasks, {} taken up again, {completions} completions", expected.len() - total))
    }

    /// The key that the task of a former key has now: history has the key of its time.
    pub(crate) fn key_now(&self, key: &str) -> String {
        self.expected.task(key).map_or_else(|| format!("unknown {key}"), |task| task.id.clone())
    }

    fn completions(&self, from: i64, to: i64) -> usize {
        self.expected
            .tasks
            .iter()
            .flat_map(|task| task.times("completed"))
            .filter(|at| (from..=to).contains(at))
            .count()
    }

    /// Counters are compared at moments of the grid, because between them there is no sample.
    pub(crate) async fn completed_counter(&self) -> Result<String> {
        let then = (self.tick - 30 * DAY).div_euclid(STEP) * STEP;
        let sum = format!("sum(task_completed_total{{{}}})", self.scope());
        let (before, now) = (one(&self.promql(&sum, then).await?)?, one(&self.promql(&sum, self.tick).await?)?);
        let expected = self.completions(then + 1, self.tick);
        ensure!(now - before == expected as f64, "task_completed_total went from {before} to {now}, not by {expected}");
        Ok(format!("{expected} completions"))
    }

    /// How long every task was in review, as far as that is over.
    pub(crate) async fn time_in_review(&self) -> Result<String> {
        let query = format!(
            "{{{} && span.phase.status=\"in_review\"}} | sum_over_time(duration) by (span.task.id)",
            self.role("phase")
        );
        let mut found: BTreeMap<String, i64> = BTreeMap::new();
        for (key, seconds) in self.stack.tempo()?.metric(&query, self.ever()).await? {
            *found.entry(self.key_now(&key)).or_default() += millis(seconds);
        }
        let over = |task: &Task| match task.status.as_str() {
            "in_review" => millis(task.over("in_review")),
            _ => millis(task.status_time.get("in_review").copied().unwrap_or(0.0)),
        };
        let expected = self
            .expected
            .tasks
            .iter()
            .map(|task| (task.id.clone(), over(task)))
            .filter(|(_, time)| *time > 0)
            .collect();
        same(&found, &expected)?;
        Ok(format!("{} tasks", found.len()))
    }

    fn epics(&self) -> impl Iterator<Item = &Task> {
        self.expected.tasks.iter().filter(|task| task.task_type == "epic")
    }

    /// The open tasks below an epic that are exported with it: a snapshot is of one project.
    fn open_below<'s>(&'s self, epic: &'s Task) -> impl Iterator<Item = &'s Task> {
        let below = self.expected.below(&epic.id).into_iter();
        below.filter(|task| task.is_open() && task.project_id == epic.project_id)
    }

    /// Everything below each epic: what is finished in its history, what is open in the newest snapshot.
    pub(crate) async fn epic_trees(&self) -> Result<String> {
        let (mut whole, mut tasks) = (0, 0);
        for epic in self.epics() {
            let finished = self.finished_below(epic).await.with_context(|| format!("history of {}", epic.id))?;
            let open = self.snapshot_below(epic).await.with_context(|| format!("snapshot of {}", epic.id))?;
            let below = self.expected.below(&epic.id);
            if self.is_settled(epic, &below) {
                let all: BTreeSet<String> = finished.union(&open).cloned().collect();
                let expected = below.iter().map(|task| task.native_id.clone()).collect();
                same_set(&all, &expected).with_context(|| format!("the tree of {}", epic.id))?;
                whole += 1;
            }
            tasks += finished.len() + open.len();
        }
        ensure!(whole > 0, "no epic kept its tasks: no whole tree was compared");
        Ok(format!("{tasks} tasks below {} epics", self.epics().count()))
    }

    /// Whether nothing ever came to or left an epic, and all is in its project.
    fn is_settled(&self, epic: &Task, below: &[&Task]) -> bool {
        let family: BTreeSet<&str> = below.iter().map(|task| task.id.as_str()).chain([epic.id.as_str()]).collect();
        let moves =
            self.expected.tasks.iter().flat_map(|task| &task.timeline).filter(|entry| entry.kind == "parent_changed");
        let mut ends = moves.flat_map(|entry| [&entry.from, &entry.to]).filter_map(|end| end.as_str());
        let here = |task: &&Task| task.project_id == epic.project_id && task.task_type != "epic";
        !below.is_empty() && below.iter().all(here) && !ends.any(|end| family.contains(end))
    }

    /// Native ids of the tasks that were finished below an epic.
    async fn finished_below(&self, epic: &Task) -> Result<BTreeSet<String>> {
        let query = format!(
            "{{{} && span.task.key_native_id=\"{}\"}} >> {{{}}} | by(span:id) | select(span.task.key_native_id)",
            self.role("anchor"),
            epic.native_id,
            self.role("task")
        );
        let spans = self.stack.tempo()?.search(&query, self.ever()).await?;
        let below = spans.iter().filter(|span| span.get("task.key_native_id") != epic.native_id);
        let found = tally(below.map(|span| span.get("task.key_native_id").to_owned()));
        let others = self.expected.tasks.iter().filter(|task| task.native_id != epic.native_id);
        let there = others.flat_map(|task| {
            let finishes = task.finishes().filter(|at| self.expected.root_at(task, *at) == epic.id);
            finishes.map(|_| task.native_id.clone()).collect::<Vec<_>>()
        });
        same(&found, &tally(there))?;
        let name = format!("{} ", epic.id);
        ensure!(spans.iter().all(|span| span.root_name.starts_with(&name)), "a trace has lost its root: {spans:?}");
        Ok(found.into_keys().collect())
    }

    /// Native ids of what is open below an epic now. While the epic is open itself its tree can be asked for; the attribute
    /// answers always.
    async fn snapshot_below(&self, epic: &Task) -> Result<BTreeSet<String>> {
        let newest = self.newest_snapshot(&epic.project_id).await?;
        let (snapshot, select) = (self.role("snapshot"), "| select(span.task.key_native_id) with (most_recent=true)");
        let natives = |spans: Vec<Span>| -> BTreeSet<String> {
            let now = spans.into_iter().filter(|span| span.start == newest);
            now.map(|span| span.get("task.key_native_id").to_owned()).collect()
        };
        let tree = format!("{{{snapshot} && span.task.id=\"{}\"}} >> {{{snapshot}}} {select}", epic.id);
        let tree = natives(self.stack.tempo()?.search_limited(&tree, self.lately(), 1).await?);
        let open = self.open_below(epic).filter(|_| epic.is_open());
        same_set(&tree, &open.map(|task| task.native_id.clone()).collect()).context(">>")?;
        let rooted = format!(
            "{{resource.project.id=\"{}\" && {snapshot} && span.task.epic=\"{}\"}} {select}",
            epic.project_id, epic.id
        );
        let rooted = natives(self.stack.tempo()?.search_limited(&rooted, self.lately(), 1).await?);
        let open = self.expected.alive().filter(|task| task.is_open() && task.project_id == epic.project_id);
        let open = open.filter(|task| task.root == epic.id && task.id != epic.id);
        same_set(&rooted, &open.map(|task| task.native_id.clone()).collect()).context("task.epic")?;
        Ok(rooted)
    }

    /// The whole trace of each epic by its id: as many spans as became final in it, and no span twice.
    pub(crate) async fn epic_traces(&self) -> Result<String> {
        let mut total = 0;
        for epic in self.epics() {
            let spans = self.stack.tempo()?.trace(&epic.trace_id).await?;
            let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
            ensure!(ids.len() == spans.len(), "{}: {} spans, {} of them distinct", epic.id, spans.len(), ids.len());
            let here = |task: &Task, at: i64| self.expected.root_at(task, at) == epic.id;
            let mut expected: BTreeMap<String, i64> = BTreeMap::new();
            for task in self.expected.tasks.iter() {
                let ends = task.closed_phases().filter_map(|phase| phase.to).map(|at| ("phase", at));
                let ends = ends.chain(task.finishes().map(|at| ("task", at)));
                for (role, _) in
                    ends.chain(task.times("completed").map(|at| ("completion", at))).filter(|(_, at)| here(task, *at))
                {
                    *expected.entry(role.to_owned()).or_default() += 1;
                }
            }
            let finals =
                spans.iter().map(|span| span.get("contextcore.role").to_owned()).filter(|role| role != "anchor");
            same(&tally(finals), &expected).with_context(|| format!("trace {} of {}", epic.trace_id, epic.id))?;
            let lost = spans.iter().find(|span| !span.parent_id.is_empty() && !ids.contains(span.parent_id.as_str()));
            ensure!(lost.is_none(), "{}: a span without its parent: {lost:?}", epic.id);
            total += spans.len();
        }
        Ok(format!("{total} spans of {} epics", self.epics().count()))
    }

    /// The burndown of every past sprint, day by day, and what is left of the running ones.
    pub(crate) async fn burndowns(&self) -> Result<String> {
        let (mut sprints, mut values) = (0, 0);
        for sprint in self.expected.sprints.iter().filter(|sprint| sprint.state == "closed") {
            for (metric, pick) in DAILY {
                let found = self.daily(metric, sprint).await?;
                let expected = sprint.burndown.iter().map(|day| (day.date.clone(), billionths(pick(day)))).collect();
                same(&found, &expected).with_context(|| format!("{metric} of {}", sprint.name))?;
                values += found.len();
            }
            sprints += 1;
        }
        ensure!(sprints > 0, "there is no past sprint");
        Ok(format!("{values} values of {sprints} sprints"))
    }

    /// A sprint's values at 24:00 UTC of each day, and at its completion.
    async fn daily(&self, metric: &str, sprint: &Sprint) -> Result<BTreeMap<String, i64>> {
        let (Some(last), Some(completed)) = (sprint.burndown.last(), sprint.completed) else {
            bail!("{} has no burndown", sprint.name)
        };
        let query = format!("{metric}{{sprint_id=\"{}\",{}}}", sprint.id, self.scope());
        let completed = completed.as_millisecond();
        let mut values = BTreeMap::new();
        if let (Some(first), Some(end)) = (sprint.burndown.first(), sprint.burndown.iter().rev().nth(1)) {
            let (from, to) = (midnight_after(&first.date)?, midnight_after(&end.date)?);
            for sample in self.stack.prometheus.range(&query, from, to, DAY / SECOND).await? {
                values.insert(date_before(sample.at), billionths(sample.value));
            }
        }
        values.insert(last.date.clone(), billionths(one(&self.promql(&query, completed).await?)?));
        Ok(values)
    }

    /// Velocity and the other numbers of every sprint that has begun.
    pub(crate) async fn sprint_numbers(&self) -> Result<String> {
        let begun: Vec<&Sprint> = self.expected.sprints.iter().filter(|sprint| sprint.state != "future").collect();
        let closed = || begun.iter().filter(|sprint| sprint.state == "closed");
        let of = |pick: fn(&Sprint) -> f64, some: Vec<&&Sprint>| -> BTreeMap<String, f64> {
            some.into_iter().map(|sprint| (sprint.id.clone(), pick(sprint))).collect()
        };
        let expected = [
            ("sprint_velocity", of(|sprint| sprint.completed_points, closed().collect())),
            ("sprint_carried_over_points", of(|sprint| sprint.carried_over, closed().collect())),
            ("sprint_planned_points", of(|sprint| sprint.committed, begun.iter().collect())),
            ("sprint_added_points", of(|sprint| sprint.added, begun.iter().collect())),
            ("sprint_removed_points", of(|sprint| sprint.removed, begun.iter().collect())),
            ("sprint_completed_points", of(|sprint| sprint.completed_points, begun.iter().collect())),
        ];
        for (metric, expected) in expected {
            let found = self.promql(&format!("last_over_time({metric}{{{}}}[400d])", self.scope()), self.tick).await?;
            let found = found.iter().map(|sample| (sample.get("sprint_id").to_owned(), sample.value)).collect();
            same(&found, &expected).context(metric)?;
        }
        Ok(format!("{} sprints", begun.len()))
    }

    /// Past sprints as spans: their outcome, their velocity, and that each is found in the middle of its own time.
    pub(crate) async fn sprint_spans(&self) -> Result<String> {
        let query = format!(
            "{{{}}} | select(span.sprint.id, span.sprint.velocity, span.sprint.planned_points)",
            self.role("sprint")
        );
        let course = |id: &str, from: i64, to: i64, velocity: &str, planned: &str| -> Result<_> {
            let numbers = (millis(velocity.parse()?), millis(planned.parse()?));
            Ok((id.to_owned(), (from, to, numbers)))
        };
        let spans = self.stack.tempo()?.search(&query, self.ever()).await?;
        let found = spans.iter().map(|span| {
            course(
                span.get("sprint.id"),
                span.start,
                span.end,
                span.get("sprint.velocity"),
                span.get("sprint.planned_points"),
            )
        });
        let found = found.collect::<Result<BTreeMap<_, _>>>()?;
        let mut expected = BTreeMap::new();
        for (sprint, from, to) in self.past_sprints() {
            let (velocity, planned) = (sprint.completed_points.to_string(), sprint.committed.to_string());
            expected.extend([course(&sprint.id, from, to, &velocity, &planned)?]);
        }
        same(&found, &expected)?;
        for (_, from, to) in self.past_sprints().step_by(5) {
            let middle = (from + to) / 2;
            let spans = self.stack.tempo()?.search(&query, Range { from: middle, to: middle + HOUR }).await?;
            let found = spans.iter().map(|span| span.get("sprint.id").to_owned()).collect();
            let running = self.past_sprints().filter(|(_, from, to)| (from..=to).contains(&&middle));
            same_set(&found, &running.map(|(sprint, ..)| sprint.id.clone()).collect()).context("at its own time")?;
        }
        Ok(format!("{} sprints", found.len()))
    }

    pub(crate) fn past_sprints(&self) -> impl Iterator<Item = (&Sprint, i64, i64)> {
        let closed = self.expected.sprints.iter().filter(|sprint| sprint.state == "closed");
        closed.filter_map(|sprint| Some((sprint, sprint.start?.as_millisecond(), sprint.completed?.as_millisecond())))
    }

    /// How many tasks are in each status, and the status of each open task.
    pub(crate) async fn statuses(&self) -> Result<String> {
        for project in &self.projects {
            let query = format!("sum by (task_status) (task_count{{project_id=\"{project}\"}}) > 0");
            let found = self.promql(&query, self.tick).await?;
            let found =
                found.iter().map(|sample| (sample.get("task_status").to_owned(), sample.value as i64)).collect();
            let tasks = self.expected.alive().filter(|task| task.project_id == *project);
            same(&found, &tally(tasks.map(|task| task.status.clone())))
                .with_context(|| format!("task_count of {project}"))?;
        }
        let found = self.promql(&self.newest("task_info"), self.tick).await?;
        let found = found.iter().map(|sample| (sample.get("task_id").to_owned(), sample.get("task_status").to_owned()));
        let open = self.expected.tasks.iter().filter(|task| task.is_open());
        let expected: BTreeMap<_, _> = open.map(|task| (task.id.clone(), task.status.clone())).collect();
        same(&found.collect(), &expected).context("task_info")?;
        Ok(format!("{} tasks, {} of them open", self.expected.tasks.len(), expected.len()))
    }

    /// Records by event in intervals of the past, and where a record points to.
    pub(crate) async fn event_log(&self) -> Result<String> {
        let now = self.tick.div_euclid(SECOND) * SECOND;
        for (until, window, length) in [(now, "30d", 30 * DAY), (now - 100 * DAY, "7d", 7 * DAY), (now, "1h", HOUR)] {
            let found = self.records(until, window).await?;
            same(&found, &self.events(until - length, until)).with_context(|| format!("{window} until {until}"))?;
        }
        let query = format!("{{source_name=\"{}\"}} | event_name=\"task.completed\"", self.source);
        let lines = self.stack.loki()?.lines(&query, Range { from: now - 60 * DAY, to: self.tick + SECOND }).await?;
        ensure!(!lines.is_empty(), "no record of a completed task");
        for line in lines.iter().step_by(lines.len().div_ceil(5)) {
            let label = |name: &str| line.labels.get(name).cloned().unwrap_or_default();
            ensure!(line.text.starts_with(&format!("{} completed", label("task_id"))), "{line:?} does not read well");
            let spans = self.stack.tempo()?.trace(&label("trace_id")).await?;
            let span = spans.iter().find(|span| span.span_id == label("span_id"));
            let right = span.is_some_and(|span| span.get("task.id") == label("task_id") && span.end == line.at);
            ensure!(right, "{line:?} points to {span:?}");
        }
        Ok(format!("{} completions in 60 days", lines.len()))
    }

    /// Records in `(until - window, until]` by event.
    async fn records(&self, until: i64, window: &str) -> Result<BTreeMap<String, i64>> {
        let query = format!("sum by (event_name) (count_over_time({{source_name=\"{}\"}}[{window}]))", self.source);
        let found = self.stack.loki()?.instant(&query, until).await?;
        Ok(found.iter().map(|sample| (sample.get("event_name").to_owned(), sample.value as i64)).collect())
    }

    /// What happened in `(from, to]` by event.
    pub(crate) fn events(&self, from: i64, to: i64) -> BTreeMap<String, i64> {
        let entries = self.expected.tasks.iter().flat_map(|task| &task.timeline);
        let mut events: Vec<(&str, i64)> = entries.map(|entry| (event_of(&entry.kind), entry.when())).collect();
        events.extend(
            self.expected.tasks.iter().flat_map(|task| self.scope_changes(task)).map(|at| ("sprint.scope_changed", at)),
        );
        for sprint in self.expected.sprints.iter().filter(|sprint| sprint.state != "future") {
            events.extend(sprint.start.map(|at| ("sprint.started", at.as_millisecond())));
            events.extend(sprint.completed.map(|at| ("sprint.closed", at.as_millisecond())));
        }
        let within = events.into_iter().filter(|(_, at)| *at > from && *at <= to);
        tally(within.map(|(event, _)| event.to_owned()))
    }

    /// When a task entered or left a sprint that was running.
    pub(crate) fn scope_changes(&self, task: &Task) -> Vec<i64> {
        let ids = |value: &serde_json::Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
        };
        let running = |id: &String, at: i64| {
            let sprint = self.expected.sprints.iter().find(|sprint| sprint.id == *id);
            let started = sprint.and_then(|sprint| sprint.start).is_some_and(|start| start.as_millisecond() < at);
            let over = sprint.and_then(|sprint| sprint.completed).is_some_and(|end| at >= end.as_millisecond());
            started && !over && sprint.is_some_and(|sprint| sprint.state != "future")
        };
        let changes = task.timeline.iter().filter(|entry| entry.kind == "sprint_changed");
        changes
            .flat_map(|entry| {
                let (from, to) = (ids(&entry.from), ids(&entry.to));
                let turned: Vec<String> = from.symmetric_difference(&to).cloned().collect();
                turned.into_iter().filter(|id| running(id, entry.when())).map(|_| entry.when()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Old phases are found at their own time, with their own times.
    pub(crate) async fn own_times(&self) -> Result<String> {
        let with_phases = self.expected.tasks.iter().filter(|task| task.closed_phases().next().is_some());
        let some: Vec<&Task> = with_phases.step_by(29).collect();
        for task in &some {
            let Some((phase, to)) = task.closed_phases().next().and_then(|phase| Some((phase.clone(), phase.to?)))
            else {
                continue;
            };
            let query = format!(
                "{{{} && span.task.key_native_id=\"{}\" && span.phase.seq=0}} | select(span.phase.status)",
                self.role("phase"),
                task.native_id
            );
            let spans = self.stack.tempo()?.search(&query, Range { from: phase.from, to }).await?;
            let found: Vec<_> = spans.iter().map(|span| (span.get("phase.status"), span.start, span.end)).collect();
            ensure!(found == [(phase.status.as_str(), phase.from, to)], "{}: {found:?}, not {phase:?}", task.id);
        }
        Ok(format!("{} phases", some.len()))
    }

    /// Span events and links can be asked for.
    pub(crate) async fn events_and_links(&self) -> Result<String> {
        let query = format!("{{{} && event:name=\"task.blocked\"}} | by(span:id)", self.role("task"));
        let found = self.stack.tempo()?.search(&query, self.ever()).await?.len();
        let blocked = |task: &Task, finish: i64| task.times("blocked").any(|at| at <= finish);
        let expected: usize =
            self.expected.tasks.iter().map(|task| task.finishes().filter(|at| blocked(task, *at)).count()).sum();
        ensure!(found == expected, "{found} finished tasks with a task.blocked event, not {expected}");
        let links = self.links().await?;
        Ok(format!("{found} blocked once, {links} links"))
    }

    /// Finished tasks, each with one that blocked it and has the one anchor that `tasks` names.
    pub(crate) fn blockers(&self) -> Vec<(&Task, &Task)> {
        let done = self.expected.alive().filter(|task| task.status == "done");
        let pairs =
            done.flat_map(|task| task.blocked_by.iter().filter_map(move |key| Some((task, self.expected.task(key)?))));
        pairs.filter(|(task, other)| self.expected.has_one_anchor(other) && task.was_blocked_by(&other.id)).collect()
    }

    /// A finished task links to the anchors of those that blocked it.
    async fn links(&self) -> Result<usize> {
        let some: Vec<_> = self.blockers().into_iter().take(6).collect();
        ensure!(!some.is_empty(), "nothing was blocked by anything");
        for (task, blocker) in &some {
            let (role, anchor) = (self.role("task"), &blocker.span_id);
            // Tempo 2.9 returns ids without their leading zeros; which form it compares with is not documented.
            let bare = anchor.trim_start_matches('0');
            let link = format!("(link:spanID=\"{anchor}\" || link:spanID=\"{bare}\")");
            let query = format!("{{{role} && {link}}} | by(span:id) | select(span.task.id)");
            let spans = self.stack.tempo()?.search(&query, self.ever()).await?;
            let linked = spans.iter().any(|span| self.key_now(span.get("task.id")) == task.id);
            ensure!(linked, "no link from {} to {}: {spans:?}", task.id, blocker.id);
        }
        Ok(some.len())
    }

    /// Nothing was dropped behind an "ok".
    pub(crate) async fn nothing_lost(&self) -> Result<String> {
        let (tempo, loki) = (self.stack.tempo()?, self.stack.loki()?);
        let mut lost = BTreeMap::new();
        for name in
            ["tempo_discarded_spans_total", "tempo_metrics_generator_spans_discarded_total", "tempo_warnings_total"]
        {
            lost.insert(name, tempo.counter(name).await?);
        }
        lost.insert("loki_discarded_samples_total", loki.counter("loki_discarded_samples_total").await?);
        ensure!(lost.values().all(|count| *count == 0.0), "{lost:?}");
        self.no_sample_lost().await?;
        Ok(format!("{} counters", lost.len() + 3))
    }

    /// The same of Prometheus alone.
    pub(crate) async fn no_sample_lost(&self) -> Result<String> {
        let mut lost = BTreeMap::new();
        for name in [
            "prometheus_tsdb_too_old_samples_total",
            "prometheus_tsdb_out_of_order_samples_total",
            "prometheus_tsdb_out_of_bound_samples_total",
        ] {
            lost.insert(name, self.stack.prometheus.counter(name).await?);
        }
        ensure!(lost.values().all(|count| *count == 0.0), "{lost:?}");
        Ok(format!("{} counters", lost.len()))
    }
}

type Pick = fn(&crate::product::Day) -> f64;

/// The lines of a burndown.
const DAILY: [(&str, Pick); 4] = [
    ("sprint_remaining_points", |day| day.remaining),
    ("sprint_scope_points", |day| day.scope),
    ("sprint_completed_points", |day| day.completed),
    ("sprint_ideal_points", |day| day.ideal),
];

/// The name of the record of a kind of entry.
pub(crate) fn event_of(kind: &str) -> &'static str {
    match kind {
        "created" => "task.created",
        "status_changed" => "task.status_changed",
        "blocked" => "task.blocked",
        "unblocked" => "task.unblocked",
        "assigned" => "task.assigned",
        "estimate_changed" => "task.estimate_changed",
        "sprint_changed" => "task.sprint_changed",
        "parent_changed" => "task.parent_changed",
        "title_changed" => "task.renamed",
        "type_changed" => "task.retyped",
        "priority_changed" => "task.reprioritised",
        "labels_changed" => "task.relabelled",
        "due_changed" => "task.due_changed",
        "moved" => "task.moved",
        "commented" => "task.commented",
        "linked" => "task.linked",
        "completed" => "task.completed",
        "cancelled" => "task.cancelled",
        "reopened" => "task.reopened",
        "deleted" => "task.deleted",
        _ => "unknown",
    }
}

/// The end of a day, in epoch milliseconds.
fn midnight_after(date: &str) -> Result<i64> {
    let day: jiff::civil::Date = date.parse()?;
    Ok(day.tomorrow()?.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond())
}

/// The day that ends at a moment.
pub(crate) fn date_before(at: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(at - 1).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// The value of the one series there must be.
fn one(samples: &[Sample]) -> Result<f64> {
    match samples {
        [sample] => Ok(sample.value),
        _ => bail!("not one series but {samples:?}"),
    }
}

/// Seconds as whole milliseconds, the finest that is kept.
pub(crate) fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

/// The ideal line has no end of digits, and the last one gets lost where JSON is read.
fn billionths(points: f64) -> i64 {
    (points * 1e9).round() as i64
}

fn whole(values: BTreeMap<String, f64>) -> BTreeMap<String, i64> {
    values.into_iter().map(|(name, value)| (name, value as i64)).collect()
}

pub(crate) fn tally(items: impl IntoIterator<Item = String>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Fails with what differs.
pub(crate) fn same<V: PartialEq + Debug>(found: &BTreeMap<String, V>, expected: &BTreeMap<String, V>) -> Result<()> {
    let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let differ = keys.into_iter().filter(|key| found.get(*key) != expected.get(*key));
    let differ: Vec<String> =
        differ.map(|key| format!("  {key}: {:?}, not {:?}", found.get(key), expected.get(key))).collect();
    ensure!(
        differ.is_empty(),
        "{} of {} differ:\n{}",
        differ.len(),
        expected.len(),
        differ[..differ.len().min(12)].join("\n")
    );
    Ok(())
}

pub(crate) fn same_set(found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Result<()> {
    let (more, less): (Vec<_>, Vec<_>) = (found.difference(expected).collect(), expected.difference(found).collect());
    ensure!(more.is_empty() && less.is_empty(), "too many: {more:?}, missing: {less:?}");
    Ok(())
}
