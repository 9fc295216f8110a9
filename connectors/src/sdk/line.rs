//! What a line of a spool reports, in the words of the model. Pure.
//!
//! Words of the caller's own are kept: a status that none of ours means becomes the native status, a type the native type.

use std::collections::BTreeMap;

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::agents::{self, AgentAssisted};
use contextcore_core::model::guidance::{self, stored::GuidanceReport};
use contextcore_core::model::insight::{InsightReport, Said, record};
use contextcore_core::model::observation::{Activity, InsightReported, Observation, Operations};
use contextcore_core::model::operation::{
    self, Attributes, Line, Operation, Parsed, Scalar, Sprint, TaskFields, TaskLink,
};
use contextcore_core::model::report::{Fields, Report, Reported, SprintReport};
use contextcore_core::model::{Artifact, SmolStr, Status, TaskType};
use contextcore_core::{Error, ErrorKind, Millis, Result};
use contextcore_spool::{Origin, Resource};
use serde::Deserialize;

use crate::vocabulary;

/// How lines are to be read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Projects wanted; empty means all.
    pub(super) projects: Vec<String>,
    /// Configured statuses by name in lower case.
    pub(super) statuses: BTreeMap<String, Status>,
    /// Configured types by name in lower case.
    pub(super) types: BTreeMap<String, TaskType>,
    /// What is kept of comments.
    pub(super) comments: CommentPrivacy,
}

/// Attributes that a task keeps, and the bytes of each value.
const MOST_ATTRIBUTES: usize = 32;
const MOST_BYTES: usize = 2_000;

impl Reading {
    /// The common status for a word, if it means one: the configuration's say goes first, then our words, then those of people.
    fn status(&self, word: &str) -> Option<Status> {
        let name = word.trim().to_lowercase();
        self.statuses.get(&name).copied().or_else(|| vocabulary::ours(&name)).or_else(|| vocabulary::status(&name))
    }

    fn task_type(&self, word: &str) -> TaskType {
        let name = word.trim().to_lowercase();
        self.types.get(&name).copied().or_else(|| vocabulary::ours(&name)).unwrap_or(TaskType::Task)
    }

    /// A text that is kept as comments are.
    fn comment(&self, text: Option<String>) -> Option<String> {
        text.filter(|text| self.comments.has_texts() && !text.is_empty())
    }

    /// Why a task was given up, unless nothing is to be read that people write.
    fn why(&self, text: Option<String>) -> Option<String> {
        text.filter(|text| self.comments.is_read() && !text.trim().is_empty())
    }

    fn fields(&self, fields: TaskFields) -> Box<Fields> {
        let word =
            |value: Option<Option<String>>| value.map(|value| value.filter(|text| !text.is_empty()).map(SmolStr::new));
        let list = |value: Option<Option<Vec<String>>>| {
            value.map(|value| value.unwrap_or_default().iter().map(SmolStr::new).collect::<Vec<SmolStr>>())
        };
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Box::new(Fields {
            title: given(fields.title).map(SmolStr::new),
            task_type: given(fields.task_type).map(|word| (self.task_type(&word), word.trim().into())),
            status: given(fields.status).map(|word| (self.status(&word), word.trim().into())),
            parent: word(fields.parent),
            priority: fields.priority.map(|name| name.and_then(|name| vocabulary::priority(&name)).map(Into::into)),
            assignee: word(fields.assignee),
            estimate: fields.estimate.map(|points| points.filter(|points| points.is_finite())),
            labels: list(fields.labels),
            sprint: word(fields.sprint),
            due: fields.due.map(|due| due.filter(|due| is_date(due)).map(SmolStr::new)),
            url: fields.url,
            depends_on: list(fields.depends_on),
            attributes: own(fields.attributes),
        })
    }

    /// What an operation reports of a task; `None` for one that is about something else, or is not to be read.
    fn report(&self, operation: Operation) -> Option<Report> {
        let finished =
            |status: Status, reason| Report::Status { status: Some(status), native: status.as_str().into(), reason };
        Some(match operation {
            Operation::Start(fields) => Report::Started(self.fields(fields)),
            Operation::Update(fields) => Report::Updated(self.fields(fields)),
            Operation::Status(to) => {
                let status = self.status(&to.status);
                // Why it is blocked is no comment: it is the impediment.
                let reason = if status == Some(Status::Blocked) {
                    to.reason.filter(|text| !text.trim().is_empty())
                } else {
                    self.comment(to.reason)
                };
                Report::Status { status, native: to.status.trim().into(), reason }
            }
            Operation::Block(block) => {
                let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(SmolStr::new);
                Report::Blocked { reason: text(block.reason), by: text(block.blocked_by) }
            }
            Operation::Unblock(_) => Report::Unblocked,
            Operation::Complete(_) => finished(Status::Done, None),
            Operation::Cancel(cancel) => finished(Status::Cancelled, self.why(cancel.reason)),
            Operation::Reopen(_) => Report::Reopened,
            Operation::Progress(progress) => Report::Progress(progress.percent.clamp(0.0, 100.0)),
            Operation::Comment(_) if !self.comments.is_read() => return None,
            Operation::Comment(comment) => Report::Commented(self.comment(Some(comment.text))),
            Operation::Event(event) => Report::Artifact(event.agent_evidence().unwrap_or_else(|| Artifact {
                kind: "event".to_owned(),
                reference: event.name,
                url: String::new(),
                summary: pairs(&event.attributes),
            })),
            Operation::Link(link) => Report::Artifact(artifact(link)),
            Operation::SprintStart(_)
            | Operation::SprintEnd(_)
            | Operation::GuidanceAdd(_)
            | Operation::GuidanceEnd(_)
            | Operation::InsightEmit(_)
            | Operation::InsightUpdate(_) => return None,
        })
    }
}

/// What belongs to a task, under the names that artifacts of other tools have.
fn artifact(link: TaskLink) -> Artifact {
    let kind = match link.kind.as_str() {
        "pr" => "pull_request",
        kind => kind,
    };
    let (kind, url) = (kind.to_owned(), link.url.unwrap_or_default());
    Artifact { kind, reference: link.reference, url, summary: String::new() }
}

/// Attributes as texts.
fn own(attributes: Attributes) -> Vec<(SmolStr, Option<SmolStr>)> {
    let text = |value: operation::Scalar| {
        let mut text = value.to_string();
        text.truncate(text.floor_char_boundary(MOST_BYTES));
        SmolStr::new(text)
    };
    let named = attributes.0.into_iter().filter(|(name, _)| !name.trim().is_empty());
    named.take(MOST_ATTRIBUTES).map(|(name, value)| (name.into(), value.map(text))).collect()
}

/// Attributes of an event in a line: `duration=3, host=a`.
fn pairs(attributes: &Attributes) -> String {
    let given = attributes.0.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    given.collect::<Vec<_>>().join(", ")
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok()
}

/// What a record reports; nothing of a project that is not wanted.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it cannot be understood.
pub(super) fn observations(reading: &Reading, record: &str) -> Result<Vec<Observation>> {
    let bad = |why: String| Error::new(ErrorKind::Protocol, "understand an operation").caused_by(why);
    let mut parts = record.splitn(3, '\t');
    let (writer, place, text) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let place = serde_json::from_str(place).map_err(|error| bad(error.to_string()))?;
    let (project, origin, resource) = match place {
        Place::Bare(project) => (project, None, Resource::new()),
        Place::Full { project, origin, resource } => (project, origin, resource),
    };
    let Parsed::Line(mut line) = operation::parse(text).map_err(bad)? else { return Ok(Vec::new()) };
    if !reading.projects.is_empty() && !reading.projects.contains(&project) {
        return Ok(Vec::new());
    }
    describe(&mut line.operation, &resource);
    let writer = writer.unwrap_or_default();
    let evidence = evidence(writer, &project, &line, origin.as_ref());
    let mut observation = observation(reading, writer, project, *line).map_err(bad)?;
    match (&mut observation, origin) {
        (Some(Observation::Insight(reported)), Some(origin)) => {
            reported.report.origin = Some(origin.who);
            reported.report.human = origin.human;
        }
        (Some(Observation::Guidance(report)), Some(origin)) => report.person = origin.human.then_some(origin.who),
        _ => {}
    }
    Ok(observation.into_iter().chain(evidence).collect())
}

/// What an insight shows of agents: the one that says it works on the insight's task. The name that a token stands for comes before what
/// a client calls itself.
fn evidence(writer: &str, project: &str, line: &Line, origin: Option<&Origin>) -> Option<Observation> {
    let Operation::InsightEmit(insight) = &line.operation else { return None };
    let task = insight.task.as_deref().map(str::trim).filter(|task| !task.is_empty())?;
    let proven = insight.agent.as_ref().filter(|agent| origin.is_some_and(|origin| origin.who == **agent));
    let agent = proven.or(insight.agent_name.as_ref()).or(insight.agent.as_ref()).filter(|agent| !agent.is_empty())?;
    let artifact = agents::artifact(AgentAssisted::Assisted, agent, "");
    Some(Observation::Activity(Box::new(Activity {
        native_id: format!("{}:op:{writer}:{}", agents::AGENT, line.seq),
        at: line.counts_at(),
        actor: None,
        artifact,
        tasks: vec![operation::native_id(project, task)],
        mentions: vec![task.to_uppercase()],
        author: None,
    })))
}

/// Where a line was written: on this machine, or by somebody who proved to a service who it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    /// By a process that says nothing of itself.
    Bare(String),
    Full {
        project: String,
        /// Who proved to have sent it to this service.
        #[serde(default)]
        origin: Option<Origin>,
        /// What the process says of itself.
        #[serde(default)]
        resource: Resource,
    },
}

/// Adds what the process says of itself to what it starts, and to insights. The caller's own attributes go before it.
fn describe(operation: &mut Operation, resource: &Resource) {
    let own = match operation {
        Operation::Start(fields) => &mut fields.attributes.0,
        Operation::InsightEmit(insight) => &mut insight.context.0,
        _ => return,
    };
    for (name, value) in resource {
        if !own.iter().any(|(known, _)| known == name) {
            own.push((name.clone(), Some(Scalar::Text(value.clone()))));
        }
    }
}

fn observation(reading: &Reading, writer: &str, project: String, line: Line) -> Result<Option<Observation>, String> {
    if guidance::stored::id_of(&line.operation).is_some() {
        let report = GuidanceReport { project, writer: writer.to_owned(), person: None, line };
        return Ok(Some(Observation::Guidance(Box::new(report))));
    }
    let (at, seq) = (line.counts_at(), line.seq);
    let actor = match &line.operation {
        Operation::Comment(comment) => comment.author.clone().or(line.actor),
        _ => line.actor,
    };
    let said = match line.operation {
        Operation::SprintStart(sprint) => {
            return Ok(Some(sprint_observation(writer, project, (at, seq, actor), sprint, false)));
        }
        Operation::SprintEnd(sprint) => {
            return Ok(Some(sprint_observation(writer, project, (at, seq, actor), sprint, true)));
        }
        Operation::InsightEmit(insight) => Said::Emit(Box::new(record::accepted(*insight)?)),
        Operation::InsightUpdate(update) => Said::Update(Box::new(record::accepted_update(*update)?)),
        operation => {
            let Some(id) = operation.task().map(|id| id.trim().to_owned()) else { return Ok(None) };
            let Some(report) = reading.report(operation) else { return Ok(None) };
            let report = Reported { writer: writer.into(), seq, at, actor, report };
            return Ok(Some(Observation::Operations(Box::new(Operations { project, id, reports: vec![report] }))));
        }
    };
    let id = said.id().to_owned();
    let report = InsightReport { traceparent: line.traceparent, ..InsightReport::new(writer, seq, at, actor, said) };
    Ok(Some(Observation::Insight(Box::new(InsightReported { project, id, report }))))
}

fn sprint_observation(
    writer: &str,
    project: String,
    (at, seq, actor): (Millis, u64, Option<String>),
    sprint: Sprint,
    ended: bool,
) -> Observation {
    let time = |text: Option<String>| text.and_then(|text| Millis::parse_date_or_time(&text));
    let report =
        SprintReport { ended, name: sprint.name, goal: sprint.goal, start: time(sprint.start), end: time(sprint.end) };
    let reports = vec![Reported { writer: writer.into(), seq, at, actor, report }];
    Observation::SprintOperations(Box::new(Operations { project, id: sprint.id, reports }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(comments: CommentPrivacy) -> Reading {
        let statuses = BTreeMap::from([("baking".to_owned(), Status::InProgress)]);
        Reading { projects: vec!["shop".into()], statuses, types: BTreeMap::new(), comments }
    }

    fn read(comments: CommentPrivacy, fields: &str) -> Option<Report> {
        let record = format!("0f\t\"shop\"\t{{\"v\":1,\"seq\":3,\"t\":\"2026-11-26T20:51:06.000Z\",{fields}}}");
        match observations(&reading(comments), &record).unwrap().pop()? {
            Observation::Operations(mut of) => Some(of.reports.pop()?.report),
            other => panic!("{other:?}"),
        }
    }

    fn status(word: &str) -> (Option<Status>, String) {
        let fields = format!(r#""op":"task.status","task":"a","status":"{word}""#);
        match read(CommentPrivacy::Count, &fields) {
            Some(Report::Status { status, native, .. }) => (status, native.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_of_the_caller_are_understood_or_kept() {
        assert_eq!(status("in_progress"), (Some(Status::InProgress), "in_progress".into()));
        assert_eq!(status("In Review"), (Some(Status::InReview), "In Review".into()));
        assert_eq!(status("baking"), (Some(Status::InProgress), "baking".into()));
        assert_eq!(status("erledigt"), (Some(Status::Done), "erledigt".into()));
        assert_eq!(status("mooning"), (None, "mooning".into()));
    }

    #[test]
    fn comments_and_reasons_are_kept_as_privacy_says() {
        let comment = r#""op":"task.comment","task":"a","text":"shipped","author":"Lin""#;
        assert_eq!(read(CommentPrivacy::Omit, comment), None);
        assert_eq!(read(CommentPrivacy::Count, comment), Some(Report::Commented(None)));
        assert_eq!(read(CommentPrivacy::Plain, comment), Some(Report::Commented(Some("shipped".into()))));
        let cancel = r#""op":"task.cancel","task":"a","reason":"too dear""#;
        let reason = |comments| match read(comments, cancel) {
            Some(Report::Status { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!((reason(CommentPrivacy::Omit), reason(CommentPrivacy::Count)), (None, Some("too dear".into())));
        let of_status = |status: &str| {
            let fields = format!(r#""op":"task.status","task":"a","status":"{status}","reason":"vendor""#);
            match read(CommentPrivacy::Count, &fields) {
                Some(Report::Status { reason, .. }) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((of_status("blocked"), of_status("done")), (Some("vendor".into()), None));
    }

    #[test]
    fn what_is_cleared_differs_from_what_is_not_given() {
        let update = r#""op":"task.update","task":"a","assignee":null,"due":"soon","estimate":null,"priority":"Blocker","attributes":{"n":5,"x":null}"#;
        let Some(Report::Updated(fields)) = read(CommentPrivacy::Count, update) else { panic!("no update") };
        assert_eq!(
            (fields.assignee, fields.due, fields.estimate, fields.parent),
            (Some(None), Some(None), Some(None), None)
        );
        assert_eq!(fields.priority, Some(Some("highest".into())));
        assert_eq!(fields.attributes, [("n".into(), Some("5".into())), ("x".into(), None)]);
    }

    #[test]
    fn other_projects_are_left_out_and_nonsense_is_an_error() {
        let line = r#"{"v":1,"seq":3,"t":"2026-11-26T20:51:06.000Z","op":"task.complete","task":"a"}"#;
        let all = reading(CommentPrivacy::Count);
        assert_eq!(observations(&all, &format!("0f\t\"other\"\t{line}")).unwrap(), []);
        assert_eq!(observations(&all, &format!("0f\t\"shop\"\t{line}")).unwrap().len(), 1);
        for text in ["{", r#"{"v":1,"seq":1,"t":"2026-11-26T20:51:06.000Z","op":"task.progress","task":"a"}"#] {
            assert_eq!(observations(&all, &format!("0f\t\"shop\"\t{text}")).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn who_proved_to_send_an_insight_is_kept_with_it() {
        let line = r#"{"v":1,"seq":3,"t":"2026-11-26T20:51:06.000Z","op":"insight.update","id":"ins_00000000000000d1","action":"confirm","by":"Ada"}"#;
        let origin = |place: &str| match observations(&reading(CommentPrivacy::Count), &format!("0f\t{place}\t{line}"))
        {
            Ok(mut found) => match found.pop() {
                Some(Observation::Insight(reported)) => (reported.report.origin, reported.report.human),
                other => panic!("{other:?}"),
            },
            Err(error) => panic!("{error}"),
        };
        assert_eq!(origin(r#""shop""#), (None, false));
        let received = |who: &str| origin(&format!(r#"{{"project":"shop","origin":{who}}}"#));
        assert_eq!(received(r#"{"who":"ci"}"#), (Some("ci".into()), false));
        assert_eq!(received(r#"{"who":"ada","human":true}"#), (Some("ada".into()), true));
    }

    #[test]
    fn guidance_binds_where_a_person_proved_to_send_it() {
        let line = r#"{"v":1,"seq":3,"t":"2026-11-26T20:51:06.000Z","op":"guidance.add","id":"api","kind":"constraint","text":"Keep it","actor":"ada"}"#;
        let person = |place: &str| {
            let mut found = observations(&reading(CommentPrivacy::Count), &format!("0f\t{place}\t{line}")).unwrap();
            match found.pop() {
                Some(Observation::Guidance(report)) => report.person,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(person(r#""shop""#), None);
        assert_eq!(person(r#"{"project":"shop","origin":{"who":"ci"}}"#), None);
        assert_eq!(person(r#"{"project":"shop","origin":{"who":"ada","human":true}}"#), Some("ada".into()));
    }

    #[test]
    fn what_a_process_says_of_itself_is_said_of_what_it_starts() {
        let read = |fields: &str| {
            let place = r#"{"project":"shop","origin":null,"resource":{"region":"eu","service.name":"checkout"}}"#;
            let line = format!(r#"{{"v":1,"seq":3,"t":"2026-11-26T20:51:06.000Z",{fields}}}"#);
            observations(&reading(CommentPrivacy::Count), &format!("0f\t{place}\t{line}")).unwrap().remove(0)
        };
        let of_task = |fields: &str| match read(fields) {
            Observation::Operations(mut of) => match of.reports.remove(0).report {
                Report::Started(fields) | Report::Updated(fields) => fields.attributes,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let pair = |name: &str, value: &str| (SmolStr::new(name), Some(SmolStr::new(value)));
        let started = of_task(r#""op":"task.start","task":"a","attributes":{"region":"us"}"#);
        assert_eq!(started, [pair("region", "us"), pair("service.name", "checkout")], "the caller's go first");
        assert_eq!(of_task(r#""op":"task.update","task":"a","title":"x""#), []);
        let insight = r#""op":"insight.emit","id":"ins_00000000000000d1","type":"lesson","summary":"x""#;
        let Observation::Insight(reported) = read(insight) else { panic!("no insight") };
        let Said::Emit(emit) = reported.report.said else { panic!("no insight") };
        assert_eq!(emit.context.0.len(), 2);
    }

    #[test]
    fn sprints_are_reported_with_dates_or_times() {
        let record = r#"0f	"shop"	{"v":1,"seq":3,"t":"2026-11-26T20:51:06.000Z","op":"sprint.start","id":"s12","name":"Sprint 12","start":"2026-11-16","end":"2026-11-29T16:00:00Z"}"#;
        let Some(Observation::SprintOperations(of)) =
            observations(&reading(CommentPrivacy::Count), record).unwrap().pop()
        else {
            panic!("no sprint")
        };
        let report = &of.reports[0].report;
        assert_eq!(
            (of.id.as_str(), report.start, report.end),
            ("s12", Millis::parse("2026-11-16T00:00:00Z"), Millis::parse("2026-11-29T16:00:00Z"))
        );
    }
}
