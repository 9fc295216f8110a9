//! `contextcore insight query`, `questions` and `handoffs`: lists of insights, the best first.

use std::io::{self, Write};

use contextcore_core::model::insight::search::Wanted;
use contextcore_core::model::insight::{AuthorKind, Insight, InsightStatus, InsightType};
use contextcore_core::model::printable;
use contextcore_core::query::{Cursor, Fields, Found, FoundInsight, InsightQuery};
use contextcore_core::{Millis, clock};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::source::{self, Source, agents};
use crate::app::Context;
use crate::args::{Filter, Find, Handoffs, Output, Questions};
use crate::failure::{Exit, Failure, Outcome};
use crate::table::{Cell, Column, Table};
use crate::tone::Tone;
use crate::{humanize, lanes, list, moment, terminal};
use contextcore_core::config::nearest_known;

/// What a list asks for.
struct Asked {
    query: InsightQuery,
    /// What else must hold of an insight.
    keep: Box<dyn Fn(&Insight) -> bool>,
    /// The flag that shows every state.
    all: &'static str,
}

/// Finds insights.
pub(super) async fn query(context: &Context, arguments: Find) -> Outcome {
    let Find { words, text, filter, limit, cursor, fields, place } = arguments;
    let source = source::open(context, &place).await?;
    let query = InsightQuery {
        text: words.or(text),
        limit: Some(limit),
        cursor: cursor.map(Cursor::from),
        reader: lanes::variable("CONTEXTCORE_AGENT"),
        ..asked(filter, "open")?
    };
    let asked = Asked { query, keep: Box::new(|_| true), all: "--status all" };
    let table = |found: &Found| table(&found.insights, found.as_of, source.project.is_none());
    let shown = print(context, &source, &asked, fields, table).await?;
    source.note_served(shown.insights.iter().map(|found| &found.insight)).await;
    Ok(Exit::Done)
}

/// What is asked for; without a state, `states` are meant.
pub(super) fn asked(filter: Filter, states: &str) -> Result<InsightQuery, Failure> {
    let Filter { types, paths, task, service, tags, agent, audience, status, since, min_confidence } = filter;
    let since = since.map(|text| moment::past(&text, clock::now())).transpose()?;
    if min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        return Err(Failure::usage("--min-confidence: write a number from 0 to 1"));
    }
    Ok(InsightQuery {
        types,
        paths,
        task,
        service,
        tags,
        agent,
        audience,
        status: wanted(status.as_deref().unwrap_or(states))?,
        since: since.map(|at| at.to_string()),
        min_confidence,
        ..InsightQuery::default()
    })
}

/// States by their names. An unknown one is answered with the nearest.
fn wanted(text: &str) -> Result<Wanted, Failure> {
    let known: Vec<&str> =
        ["open", "all"].into_iter().chain(InsightStatus::ALL.iter().map(|each| each.as_str())).collect();
    let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(word) = words.find(|word| !known.contains(word)) {
        let near = nearest_known(word, &known).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| format!("known: {}", known.join(", ")));
        return Err(Failure::usage(format!("--status: insights have no state `{word}`; {hint}")));
    }
    text.parse().map_err(Failure::usage)
}

/// Lists questions.
pub(super) async fn questions(context: &Context, arguments: Questions) -> Outcome {
    let source = source::open(context, &arguments.place).await?;
    let states = if arguments.all { "all" } else { "open,suggested" };
    let query = InsightQuery { types: vec![InsightType::Question], status: wanted(states)?, ..InsightQuery::default() };
    let keep = move |insight: &Insight| !arguments.blocking || insight.blocking;
    let asked = Asked { query, keep: Box::new(keep), all: "--all" };
    let table = |found: &Found| {
        let mut table = Table::new(&QUESTIONS);
        found.insights.iter().for_each(|each| table.row(question(&each.insight, found.as_of)));
        table
    };
    print(context, &source, &asked, Vec::new(), table).await.map(|_| Exit::Done)
}

/// Lists handoffs.
pub(super) async fn handoffs(context: &Context, arguments: Handoffs) -> Outcome {
    let source = source::open(context, &arguments.place).await?;
    let states = if arguments.all { "all" } else { "open" };
    let query = InsightQuery { types: vec![InsightType::Handoff], status: wanted(states)?, ..InsightQuery::default() };
    let is_for = |insight: &Insight, who: &str| insight.to.as_deref().is_some_and(|to| to == who || to == "any");
    let keep = move |insight: &Insight| arguments.to.as_deref().is_none_or(|who| is_for(insight, who));
    let asked = Asked { query, keep: Box::new(keep), all: "--all" };
    let table = |found: &Found| {
        let mut table = Table::new(&HANDOFFS);
        found.insights.iter().for_each(|each| table.row(handoff(&each.insight, found.as_of)));
        table
    };
    print(context, &source, &asked, Vec::new(), table).await.map(|_| Exit::Done)
}

/// Prints what was found in the form that is asked for; on stderr the next page, or why there is nothing.
async fn print(
    context: &Context,
    source: &Source<'_>,
    asked: &Asked,
    fields: Vec<String>,
    table: impl FnOnce(&Found) -> Table,
) -> Result<Found, Failure> {
    let mut found = source.find(&asked.query).await?;
    found.insights.retain(|each| (asked.keep)(&each.insight));
    let chosen = (!fields.is_empty()).then(|| Fields::new(fields));
    let text = match context.global.output {
        Output::Json => json(&found, chosen.as_ref())?,
        Output::Csv => csv(&found, chosen.as_ref())?,
        _ if found.insights.is_empty() => String::new(),
        _ => match &chosen {
            Some(fields) => chosen_table(&found, fields)?.render(terminal::width()),
            None => table(&found).render(terminal::width()),
        },
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    drop(out);
    if found.insights.is_empty() && asked.query.cursor.is_none() {
        let why = source.why_nothing(&asked.query, &asked.keep, asked.all).await?;
        eprintln!("{}{}", printable::one_line(&why), printable::one_line(&slip(source, &asked.query).await?));
    }
    if let Some(cursor) = &found.next {
        eprintln!("there are more insights ({} in all): --cursor {cursor} continues here", found.total);
    }
    Ok(found)
}

/// The agent that was meant, if nothing was found because nobody has that name.
async fn slip(source: &Source<'_>, query: &InsightQuery) -> Result<String, Failure> {
    let Some(agent) = &query.agent else { return Ok(String::new()) };
    let all = source.find(&source::everything()).await?;
    let known: Vec<&str> = agents(&all).into_iter().collect();
    let near = nearest_known(agent, &known).filter(|near| !near.eq_ignore_ascii_case(agent));
    Ok(near.map(|near| format!("; did you mean the agent `{near}`?")).unwrap_or_default())
}

/// An array with a line for each insight.
fn json(found: &Found, fields: Option<&Fields>) -> Result<String, Failure> {
    let mut lines = Vec::new();
    for each in &found.insights {
        let item = match fields {
            Some(fields) => selected(each, fields)?,
            None => serde_json::to_string(each)?,
        };
        lines.push(printable::json(&item).into_owned());
    }
    Ok(if lines.is_empty() { "[\n]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) })
}

/// Some fields of an insight as a JSON object, in their order.
fn selected(found: &FoundInsight, fields: &Fields) -> Result<String, Failure> {
    let all = serde_json::to_value(&found.insight)?;
    let pair = |name: &String| Some(format!("\"{name}\":{}", all.get(name)?));
    Ok(format!("{{{}}}", fields.names().iter().filter_map(pair).collect::<Vec<_>>().join(",")))
}

/// The fields of a record of CSV.
const RECORD: [&str; 25] = [
    "id",
    "type",
    "project",
    "status",
    "review",
    "summary",
    "rationale",
    "confidence",
    "category",
    "tags",
    "applies_to",
    "task",
    "severity",
    "author",
    "on_behalf_of",
    "audience",
    "to",
    "answer",
    "supersedes",
    "superseded_by",
    "expires_at",
    "created",
    "updated",
    "seen",
    "blocking",
];

/// A record for each insight: who says it and the answer are texts, the rest as for `tasks`.
fn csv(found: &Found, fields: Option<&Fields>) -> Result<String, Failure> {
    let usual = Fields::new(RECORD);
    let fields = fields.unwrap_or(&usual);
    let mut records = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    records.write_record(fields.names()).map_err(io::Error::from)?;
    for each in &found.insights {
        records.write_record(list::csv_cells(&flat(&each.insight)?, fields)?).map_err(io::Error::from)?;
    }
    let bytes = records.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn flat(insight: &Insight) -> Result<Box<RawValue>, Failure> {
    let Value::Object(mut fields) = serde_json::to_value(insight)? else { return Ok(to_raw_value(&Value::Null)?) };
    fields.insert("author".to_owned(), insight.author.id.clone().into());
    fields.insert("on_behalf_of".to_owned(), insight.author.on_behalf_of.clone().into());
    fields.insert("answer".to_owned(), insight.answer.as_ref().map(|answer| answer.text.clone()).into());
    Ok(to_raw_value(&fields)?)
}

/// A table of chosen fields; any of its columns may be cut.
fn chosen_table(found: &Found, fields: &Fields) -> Result<Table, Failure> {
    let mut table = list::plain_table(fields);
    for each in &found.insights {
        table.row(list::named_cells(&flat(&each.insight)?, fields, &list::SprintNames::new())?);
    }
    Ok(table)
}

const INSIGHTS: [(&str, Column); 9] = [
    ("ID", Column::Left),
    ("TYPE", Column::Left),
    ("STATUS", Column::SpareLeft(4)),
    ("REVIEW", Column::SpareLeft(1)),
    ("SURE", Column::SpareRight(2)),
    ("AGE", Column::Right),
    ("BY", Column::SpareLeft(3)),
    ("PROJECT", Column::SpareLeft(5)),
    ("SUMMARY", Column::Flexible),
];
/// Where the project stands, which is left out where all insights are in one.
const PROJECT: usize = 7;

/// The table of insights.
pub(super) fn table(insights: &[FoundInsight], now: Millis, with_project: bool) -> Table {
    let is_shown = |place: usize| with_project || place != PROJECT;
    let columns: Vec<_> = (0..INSIGHTS.len()).filter(|place| is_shown(*place)).map(|place| INSIGHTS[place]).collect();
    let mut table = Table::new(&columns);
    for FoundInsight { insight, .. } in insights {
        let cells = row(insight, now).into_iter().enumerate();
        table.row(cells.filter(|(place, _)| is_shown(*place)).map(|(_, cell)| cell));
    }
    table
}

fn row(insight: &Insight, now: Millis) -> Vec<Cell> {
    vec![
        insight.id.clone().into(),
        insight.insight_type.to_string().into(),
        Cell::new(insight.status.as_str(), tone(insight)),
        insight.review.to_string().into(),
        insight.confidence.map(|sure| format!("{:.0}%", sure * 100.0)).unwrap_or_default().into(),
        age(insight, now).into(),
        author(insight).into(),
        insight.project.clone().into(),
        insight.summary.clone().into(),
    ]
}

fn age(insight: &Insight, now: Millis) -> String {
    humanize::duration(now.seconds_since(insight.created))
}

/// Who says it, and for whom.
pub(super) fn author(insight: &Insight) -> String {
    let author = &insight.author;
    let who = author.id.clone().or_else(|| author.name.clone());
    let who =
        who.unwrap_or_else(|| if author.kind == AuthorKind::Agent { "an agent".to_owned() } else { String::new() });
    author.on_behalf_of.as_ref().map_or(who.clone(), |person| format!("{who} for {person}"))
}

/// What a state means to who reads it.
pub(super) fn tone(insight: &Insight) -> Tone {
    match insight.status {
        InsightStatus::Open if insight.blocking || insight.insight_type == InsightType::Blocker => Tone::Bad,
        InsightStatus::Open | InsightStatus::Offered | InsightStatus::Suggested => Tone::Warning,
        InsightStatus::Accepted => Tone::Active,
        InsightStatus::Answered | InsightStatus::Completed | InsightStatus::Resolved | InsightStatus::Mitigated => {
            Tone::Good
        }
        InsightStatus::Active | InsightStatus::Noted => Tone::Plain,
        InsightStatus::Occurred => Tone::Bad,
        _ => Tone::Faint,
    }
}

const QUESTIONS: [(&str, Column); 7] = [
    ("ID", Column::Left),
    ("STATUS", Column::Left),
    ("BLOCKS", Column::SpareLeft(3)),
    ("AGE", Column::Right),
    ("BY", Column::SpareLeft(1)),
    ("PROJECT", Column::SpareLeft(2)),
    ("QUESTION", Column::Wrapped),
];

fn question(insight: &Insight, now: Millis) -> Vec<Cell> {
    let blocks =
        if insight.blocking { insight.task.clone().unwrap_or_else(|| "yes".to_owned()) } else { String::new() };
    vec![
        insight.id.clone().into(),
        Cell::new(insight.status.as_str(), tone(insight)),
        Cell::new(&blocks, Tone::Bad),
        age(insight, now).into(),
        author(insight).into(),
        insight.project.clone().into(),
        asked_and_answered(insight).into(),
    ]
}

/// A question with the answers it allows, and what was answered.
fn asked_and_answered(insight: &Insight) -> String {
    let options =
        if insight.options.is_empty() { String::new() } else { format!(" [{}]", insight.options.join(" | ")) };
    let answer = insight.answer.as_ref().map(|answer| format!(" → {}", answer.text)).unwrap_or_default();
    format!("{}{options}{answer}", insight.summary)
}

const HANDOFFS: [(&str, Column); 8] = [
    ("ID", Column::Left),
    ("STATUS", Column::Left),
    ("TO", Column::Left),
    ("FROM", Column::SpareLeft(3)),
    ("TASK", Column::SpareLeft(4)),
    ("AGE", Column::Right),
    ("PROJECT", Column::SpareLeft(1)),
    ("SUMMARY", Column::Flexible),
];

fn handoff(insight: &Insight, now: Millis) -> Vec<Cell> {
    vec![
        insight.id.clone().into(),
        Cell::new(insight.status.as_str(), tone(insight)),
        insight.to.clone().unwrap_or_default().into(),
        author(insight).into(),
        insight.task.clone().unwrap_or_default().into(),
        age(insight, now).into(),
        insight.project.clone().into(),
        insight.summary.clone().into(),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::NOW;

    /// Insights as a store gives them, to print.
    pub(in crate::insight) fn samples() -> Vec<FoundInsight> {
        let base = json!({
            "id": "ins_7f3c0a9be2d14c55", "type": "decision", "project": "commerce-platform",
            "summary": "Selected event-driven architecture for order processing", "rationale": "Decouples payment from fulfilment",
            "confidence": 0.92, "category": "architecture", "tags": ["events"], "applies_to": ["path:src/checkout/**", "task:PROJ-123"],
            "evidence": [{"kind": "commit", "ref": "9fceb02"}], "audience": "both", "status": "active", "review": "confirmed",
            "author": {"kind": "agent", "id": "claude", "name": "claude-code", "session": "s-81", "on_behalf_of": "ada"},
            "supersedes": [], "superseded_by": null, "expires_at": null, "created": "2026-11-08T09:30:00Z",
            "updated": "2026-11-09T09:30:00Z", "seen": 2, "confirmed": 1, "contradicted": 0,
            "trace_id": "eef6bcbc97a64c8f462784cce72cadcd", "span_id": "eef6bcbc97a64c8f", "score": 4_000,
        });
        let changed = |fields: Value| {
            let mut insight = base.clone();
            insight.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            serde_json::from_value(insight).unwrap()
        };
        vec![
            changed(json!({})),
            changed(json!({
                "id": "ins_00000000000000f1", "type": "question", "status": "suggested", "review": "unreviewed", "confidence": null,
                "summary": "Which region first?", "options": ["eu", "us"], "blocking": true, "task": "PROJ-123", "rationale": null,
                "answer": {"text": "eu", "by": "helper", "at": "2026-11-09T09:30:00Z"},
                "author": {"kind": "human", "id": "lin", "name": null, "session": null, "on_behalf_of": null},
            })),
            changed(json!({
                "id": "ins_00000000000000a1", "type": "handoff", "status": "offered", "review": "unreviewed", "confidence": null,
                "summary": "=Review\u{1b}[2J the change, \"all\" of it", "to": "reviewer", "task": "PROJ-9", "project": "blog",
            })),
        ]
    }

    fn found() -> Found {
        Found { insights: samples(), total: 3, next: None, as_of: NOW }
    }

    #[test]
    fn tables_fit_and_read_well() {
        let wide = table(&samples(), NOW, true).render(None);
        let narrow = table(&samples(), NOW, false).render(Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let mut questions = Table::new(&QUESTIONS);
        questions.row(question(&samples()[1].insight, NOW));
        let mut handoffs = Table::new(&HANDOFFS);
        handoffs.row(handoff(&samples()[2].insight, NOW));
        let all = [wide, narrow, questions.render(Some(100)), handoffs.render(Some(100))];
        insta::assert_snapshot!("insights", all.join("\n"));
    }

    #[test]
    fn csv_and_json_hold_what_is_asked_for() {
        insta::assert_snapshot!("insights_csv", csv(&found(), None).unwrap().replace('\r', "␍"));
        let fields = Fields::new(["type", "id"]);
        let text = json(&found(), Some(&fields)).unwrap();
        assert_eq!(text.lines().nth(1), Some(r#"{"type":"decision","id":"ins_7f3c0a9be2d14c55"},"#));
        let whole: Vec<FoundInsight> = serde_json::from_str(&json(&found(), None).unwrap()).unwrap();
        assert_eq!(whole, samples());
        assert_eq!(
            RECORD.iter().filter(|name| csv(&found(), Some(&Fields::new([**name]))).is_ok()).count(),
            RECORD.len()
        );
    }
}
