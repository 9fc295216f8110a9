//! What the open servers received: [`Spans`] reads back the file that the Collector wrote, [`Records`] asks VictoriaLogs.
//! [`Received`] holds both against `tasks` and `sprints`, span by span and record by record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ask::{self, Range, attributes, items, nanos, text};
use crate::product::{Event, Task};
use crate::questions::{Case, DAY, SECOND, event_of, same, same_set, tally};
use crate::servers::OpenStack;
use crate::timeline::Phase;

/// The file of a Collector's `file` exporter: OTLP JSON, a request a line.
pub(crate) struct Spans {
    file: PathBuf,
}

/// A span as the Collector wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty for a root.
    parent_id: String,
    start: i64,
    end: i64,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    outcome: i64,
    resource: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
    /// What happened to it, and when.
    events: Vec<(String, i64)>,
    /// Trace and span of each link.
    links: Vec<(String, String)>,
    /// All of it, as it came.
    whole: Value,
}

impl Span {
    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn role(&self) -> &str {
        self.get("contextcore.role")
    }

    fn id(&self) -> (&str, &str) {
        (&self.trace_id, &self.span_id)
    }

    fn read(resource: &BTreeMap<String, String>, span: &Value) -> Self {
        let at = |value: &Value| nanos(value) / 1_000_000;
        let events = items(&span["events"]).iter();
        let links = items(&span["links"]).iter();
        Self {
            trace_id: text(&span["traceId"]),
            span_id: text(&span["spanId"]),
            parent_id: text(&span["parentSpanId"]),
            start: at(&span["startTimeUnixNano"]),
            end: at(&span["endTimeUnixNano"]),
            outcome: span["status"]["code"].as_i64().unwrap_or(0),
            resource: resource.clone(),
            attributes: attributes(&span["attributes"]),
            events: events.map(|event| (text(&event["name"]), at(&event["timeUnixNano"]))).collect(),
            links: links.map(|link| (text(&link["traceId"]), text(&link["spanId"]))).collect(),
            whole: span.clone(),
        }
    }
}

impl Spans {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Every span of a source that is in the file by now, in the order of arrival.
    pub(crate) fn of_source(&self, source: &str) -> Result<Vec<Span>> {
        let file = std::fs::read_to_string(&self.file).unwrap_or_default();
        // The Collector may be in the middle of the last line.
        let whole = file.rfind('\n').map_or("", |end| &file[..end]);
        let mut spans = Vec::new();
        for line in whole.lines() {
            let request: Value = serde_json::from_str(line).context("a line of the Collector's file is no JSON")?;
            for part in items(&request["resourceSpans"]) {
                let resource = attributes(&part["resource"]["attributes"]);
                let scopes = items(&part["scopeSpans"]).iter();
                spans.extend(scopes.flat_map(|scope| items(&scope["spans"])).map(|span| Span::read(&resource, span)));
            }
        }
        spans.retain(|span| span.resource.get("source.name").is_some_and(|name| name == source));
        Ok(spans)
    }
}

/// VictoriaLogs' query API, in LogsQL.
pub(crate) struct Records {
    client: reqwest::Client,
    base: String,
}

impl Records {
    pub(crate) fn new(client: reqwest::Client, base: String) -> Self {
        Self { client, base }
    }

    /// The rows that a LogsQL query gives for records of a half-open interval.
    pub(crate) async fn rows(&self, query: &str, range: Range) -> Result<Vec<BTreeMap<String, String>>> {
        let nano = |at: i64| format!("{at}000000");
        let parameters = [("query", query.to_owned()), ("start", nano(range.from)), ("end", nano(range.to))];
        let answer = ask::get(&self.client, &format!("{}/select/logsql/query", self.base), &parameters).await?;
        let rows = answer.lines().filter(|line| !line.is_empty());
        rows.map(|line| serde_json::from_str(line).with_context(|| format!("{query} answers {line}"))).collect()
    }

    /// Numbers of records of a source by event.
    async fn by_event(&self, source: &str, range: Range) -> Result<BTreeMap<String, i64>> {
        let query = format!("{} | stats by (\"event.name\") count() as records", of_source(source));
        let count = |row: &BTreeMap<String, String>| {
            let field = |name: &str| row.get(name).map_or("", String::as_str);
            Ok((field("event.name").to_owned(), field("records").parse()?))
        };
        self.rows(&query, range).await?.iter().map(count).collect()
    }
}

fn times_each(counts: BTreeMap<String, i64>, times: i64) -> BTreeMap<String, i64> {
    counts.into_iter().map(|(name, count)| (name, count * times)).collect()
}

/// A filter of LogsQL for the records of a source.
fn of_source(source: &str) -> String {
    format!("\"source.name\":=\"{source}\"")
}

/// What the servers received of one source, beside what `tasks` and `sprints` print.
pub(crate) struct Received<'a> {
    open: &'a OpenStack,
    case: &'a Case<'a>,
}

impl<'a> Received<'a> {
    pub(crate) fn new(open: &'a OpenStack, case: &'a Case<'a>) -> Self {
        Self { open, case }
    }

    /// All of the past, and the records of the run.
    fn ever(&self) -> Range {
        Range { from: self.case.tick - 420 * DAY, to: self.case.tick + DAY }
    }

    /// The spans that were sent, each once. Anchors are sent with whatever hangs under them, always the same.
    fn distinct(&self) -> Result<Vec<Span>> {
        let mut seen: HashMap<(String, String), Span> = HashMap::new();
        let mut distinct = Vec::new();
        for span in self.open.spans.of_source(&self.case.source)? {
            match seen.get(&(span.trace_id.clone(), span.span_id.clone())) {
                Some(first) => {
                    ensure!(span.role() == "anchor", "sent a second time: {}", span.whole);
                    let same = first.whole == span.whole && first.resource == span.resource;
                    ensure!(same, "an anchor was sent with other contents: {} and {}", first.whole, span.whole);
                }
                None => {
                    seen.insert((span.trace_id.clone(), span.span_id.clone()), span.clone());
                    distinct.push(span);
                }
            }
        }
        Ok(distinct)
    }

    /// Every span of history: which, from when to when, how it ended, in which trace.
    pub(crate) async fn every_span(&self) -> Result<String> {
        let spans = self.distinct()?;
        let finals = spans.iter().filter(|span| !matches!(span.role(), "anchor" | "snapshot" | "insight"));
        let tasks: HashMap<&str, &Task> =
            self.case.expected.tasks.iter().map(|task| (task.native_id.as_str(), task)).collect();
        let found = tally(finals.map(|span| {
            let task = tasks.get(span.get("task.key_native_id")).copied();
            // Of a task that got another parent `tasks` names only the newest trace; that all of them are trees is asked apart.
            let trace =
                task.filter(|task| self.case.expected.has_one_anchor(task)).map_or("", |_| span.trace_id.as_str());
            Self::line_of(span, trace)
        }));
        let mut expected = Vec::new();
        for task in &self.case.expected.tasks {
            expected
                .extend(task.phases().iter().enumerate().filter_map(|(seq, phase)| self.phase_line(task, seq, phase)));
            expected.extend(task.timeline.iter().flat_map(|entry| self.finish_lines(task, entry)));
        }
        expected.extend(self.case.past_sprints().map(|(sprint, from, to)| {
            format!("sprint {} {from} {to} {} of {}", sprint.id, sprint.completed_points, sprint.committed)
        }));
        same(&found, &tally(expected))?;
        Ok(format!("{} spans of history, {} of all", found.len(), spans.len()))
    }

    /// A span of history in a line. Ids of spans are left out: `tasks` says only those of anchors.
    fn line_of(span: &Span, trace: &str) -> String {
        let (role, start, end) = (span.role(), span.start, span.end);
        if role == "sprint" {
            let number = |name: &str| span.get(name).parse::<f64>().unwrap_or(f64::NAN);
            let (done, planned) = (number("sprint.velocity"), number("sprint.planned_points"));
            return format!("sprint {} {start} {end} {done} of {planned}", span.get("sprint.id"));
        }
        let seq = span.get("phase.seq");
        let (native, status) = (span.get("task.key_native_id"), span.get("task.status"));
        format!("{role}{seq} {native} {start} {end} {status} {} {trace}", span.outcome)
    }

    fn phase_line(&self, task: &Task, seq: usize, phase: &Phase) -> Option<String> {
        let (to, status) = (phase.to?, &phase.status);
        let outcome = if status == "blocked" { 2 } else { 0 };
        let trace = self.trace_of(task);
        Some(format!("phase{seq} {} {} {to} {status} {outcome} {trace}", task.native_id, phase.from))
    }

    fn finish_lines(&self, task: &Task, entry: &Event) -> Vec<String> {
        let (native, end, trace) = (&task.native_id, entry.when(), self.trace_of(task));
        let created = task.timeline.first().map_or(end, Event::when);
        match entry.kind.as_str() {
            "completed" => vec![
                format!("task {native} {created} {end} done 1 {trace}"),
                format!("completion {native} {end} {end} done 1 {trace}"),
            ],
            "cancelled" => vec![format!("task {native} {created} {end} cancelled 0 {trace}")],
            _ => Vec::new(),
        }
    }

    /// The one trace of a task's history, if it has but one.
    fn trace_of<'t>(&self, task: &'t Task) -> &'t str {
        if self.case.expected.has_one_anchor(task) { &task.trace_id } else { "" }
    }

    /// Every trace is a tree: parents are there, and what is final hangs under an anchor of its own task.
    pub(crate) async fn trees(&self) -> Result<String> {
        let spans = self.distinct()?;
        let by_id: HashMap<(&str, &str), &Span> = spans.iter().map(|span| (span.id(), span)).collect();
        for span in &spans {
            let parent = by_id.get(&(span.trace_id.as_str(), span.parent_id.as_str()));
            ensure!(parent.is_some() || span.parent_id.is_empty(), "no parent: {}", span.whole);
            if matches!(span.role(), "phase" | "task" | "completion") {
                let parent = parent.with_context(|| format!("a root: {}", span.whole))?;
                let own =
                    parent.role() == "anchor" && parent.get("task.key_native_id") == span.get("task.key_native_id");
                ensure!(own, "{} hangs under {}", span.whole, parent.whole);
            }
        }
        for task in self.case.expected.alive().filter(|task| self.case.expected.has_one_anchor(task)) {
            let Some(anchor) = by_id.get(&(task.trace_id.as_str(), task.span_id.as_str())) else { continue };
            let right = anchor.role() == "anchor" && anchor.get("task.key_native_id") == task.native_id;
            ensure!(right, "the anchor of {} is {}", task.id, anchor.whole);
        }
        Ok(format!("{} spans", spans.len()))
    }

    /// A finished task links to the anchors of those that blocked it.
    pub(crate) async fn links(&self) -> Result<String> {
        let spans = self.distinct()?;
        let mut linked: HashMap<&str, HashSet<&str>> = HashMap::new();
        for span in spans.iter().filter(|span| span.role() == "task") {
            let links = span.links.iter().map(|(_, anchor)| anchor.as_str());
            linked.entry(span.get("task.key_native_id")).or_default().extend(links);
        }
        let pairs = self.case.blockers();
        ensure!(!pairs.is_empty(), "nothing was blocked by anything");
        for (task, blocker) in &pairs {
            let there =
                linked.get(task.native_id.as_str()).is_some_and(|links| links.contains(blocker.span_id.as_str()));
            ensure!(there, "no link from {} to {}", task.id, blocker.id);
        }
        Ok(format!("{} links", pairs.len()))
    }

    /// A finished task has an event for everything that had happened to it by then.
    pub(crate) async fn span_events(&self) -> Result<String> {
        let (mut compared, mut events) = (0, 0);
        for span in self.distinct()?.iter().filter(|span| span.role() == "task") {
            let task = self.case.expected.tasks.iter().find(|task| task.native_id == span.get("task.key_native_id"));
            let task = task.with_context(|| format!("nobody knows the task of {}", span.whole))?;
            let line = |name: &str, at: i64| format!("{name} {at}");
            let past = task.timeline.iter().filter(|entry| entry.when() <= span.end);
            let expected = tally(past.map(|entry| line(event_of(&entry.kind), entry.when())));
            let found = tally(span.events.iter().map(|(name, at)| line(name, *at)));
            same(&found, &expected).with_context(|| format!("events of {}", task.id))?;
            (compared, events) = (compared + 1, events + span.events.len());
        }
        ensure!(compared > 0, "no task was finished");
        Ok(format!("{events} events of {compared} tasks"))
    }

    /// The newest snapshot of each project: what is open, and in which status.
    pub(crate) async fn snapshots(&self) -> Result<String> {
        let spans = self.distinct()?;
        let mut open = 0;
        for project in &self.case.projects {
            let here = |span: &&Span| span.role() == "snapshot" && span.resource.get("project.id") == Some(project);
            let newest = spans.iter().filter(here).map(|span| span.start).max().context("there is no snapshot")?;
            let those = spans.iter().filter(here).filter(|span| span.start == newest);
            let found = those.map(|span| format!("{} {}", span.get("task.id"), span.get("task.status"))).collect();
            let tasks = self.case.expected.alive().filter(|task| task.is_open() && task.project_id == *project);
            let expected: BTreeSet<String> = tasks.map(|task| format!("{} {}", task.id, task.status)).collect();
            same_set(&found, &expected).with_context(|| project.clone())?;
            open += expected.len();
        }
        Ok(format!("{open} open tasks"))
    }

    /// History that was sent twice is the same both times, byte for byte.
    pub(crate) async fn sent_again(&self, before: &[Span]) -> Result<String> {
        let all = self.open.spans.of_source(&self.case.source)?;
        let again = all.get(before.len()..).context("the file became shorter")?;
        let is_final = |span: &&Span| !matches!(span.role(), "anchor" | "snapshot" | "insight");
        let contents = |spans: &[Span]| tally(spans.iter().filter(is_final).map(|span| span.whole.to_string()));
        same(&contents(again), &contents(before))?;
        Ok(format!("{} spans", again.len()))
    }

    /// Every record of history: which event, of what, and when.
    pub(crate) async fn every_record(&self) -> Result<String> {
        self.records_times(1).await
    }

    /// The same, when history was sent so many times: VictoriaLogs keeps each.
    pub(crate) async fn records_times(&self, times: i64) -> Result<String> {
        let query =
            format!("{} | fields _time, \"event.name\", \"task.id\", \"sprint.id\"", of_source(&self.case.source));
        let rows = self.open.records.rows(&query, self.ever()).await?;
        let found = rows.iter().map(|row| self.record_line(row)).collect::<Result<Vec<_>>>()?;
        let expected = times_each(tally(self.record_lines()), times);
        same(&tally(found), &expected)?;
        self.records_by_time(times).await?;
        Ok(format!("{} records", rows.len()))
    }

    /// A record in a line. It names its task by the key of then, and a change of scope its task besides its sprint.
    fn record_line(&self, row: &BTreeMap<String, String>) -> Result<String> {
        let field = |name: &str| row.get(name).map_or("", String::as_str);
        let of = match (field("task.id"), field("sprint.id")) {
            ("", sprint) => sprint,
            (key, _) => self.case.expected.task(key).map_or("unknown", |task| task.native_id.as_str()),
        };
        let at: jiff::Timestamp = field("_time").parse().with_context(|| format!("{row:?} has no time"))?;
        Ok(format!("{} {of} {}", field("event.name"), at.as_millisecond()))
    }

    fn record_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for task in &self.case.expected.tasks {
            let line = |event: &str, at: i64| format!("{event} {} {at}", task.native_id);
            lines.extend(task.timeline.iter().map(|entry| line(event_of(&entry.kind), entry.when())));
            lines.extend(self.case.scope_changes(task).iter().map(|at| line("sprint.scope_changed", *at)));
        }
        for sprint in self.case.expected.sprints.iter().filter(|sprint| sprint.state != "future") {
            let line = |event: &str, at: jiff::Timestamp| format!("{event} {} {}", sprint.id, at.as_millisecond());
            lines.extend(sprint.start.map(|at| line("sprint.started", at)));
            lines.extend(sprint.completed.map(|at| line("sprint.closed", at)));
        }
        lines
    }

    /// Counts by event in intervals of the past, as the server counts them.
    async fn records_by_time(&self, times: i64) -> Result<()> {
        let tick = self.case.tick.div_euclid(SECOND) * SECOND;
        for (until, length) in [(tick + SECOND, 410 * DAY), (tick, 30 * DAY), (tick - 100 * DAY, 7 * DAY)] {
            // LogsQL leaves out the end, `events` the start.
            let range = Range { from: until - length + 1, to: until + 1 };
            let found = self.open.records.by_event(&self.case.source, range).await?;
            let expected = times_each(self.case.events(until - length, until), times);
            same(&found, &expected).with_context(|| format!("{} days until {until}", length / DAY))?;
        }
        Ok(())
    }

    /// A record of a completion reads well, is dated when it happened, and points to the span of that task.
    pub(crate) async fn records_point_to_spans(&self) -> Result<String> {
        let query = format!("{} \"event.name\":=\"task.completed\"", of_source(&self.case.source));
        let rows = self.open.records.rows(&query, self.ever()).await?;
        ensure!(!rows.is_empty(), "no record of a completed task");
        let spans = self.distinct()?;
        let by_id: HashMap<(&str, &str), &Span> = spans.iter().map(|span| (span.id(), span)).collect();
        for row in &rows {
            let field = |name: &str| row.get(name).map_or("", String::as_str);
            ensure!(
                field("_msg").starts_with(&format!("{} completed", field("task.id"))),
                "{row:?} does not read well"
            );
            let at: jiff::Timestamp = field("_time").parse()?;
            let span = by_id.get(&(field("trace_id"), field("span_id")));
            let right = span.is_some_and(|span| {
                span.get("task.id") == field("task.id") && span.end == at.as_millisecond() && span.role() == "task"
            });
            ensure!(right, "{row:?} points to {span:?}");
        }
        Ok(format!("{} completions", rows.len()))
    }
}
