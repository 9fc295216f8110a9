//! `contextcore insight show ID`: one insight with everything that happened to it.

use contextcore_core::model::insight::{AuthorKind, Insight, InsightEvent};
use contextcore_core::model::printable;
use contextcore_core::query::InsightView;
use contextcore_core::{Millis, clock};

use super::{find, source};
use crate::app::Context;
use crate::args::ShowInsight;
use crate::failure::{Exit, Outcome};
use crate::table::{Cell, Column, Facts, Table};
use crate::tone::Tone;
use crate::{humanize, output, terminal};

pub(super) async fn run(context: &Context, arguments: &ShowInsight) -> Outcome {
    let json = context.is_json("insight show")?;
    let source = source::open(context, &arguments.place).await?;
    // Only a flag restricts: an id names one insight, wherever it is.
    let view = source.insight(&arguments.id, arguments.place.project.as_deref()).await?;
    output::print(json, &view, |view| render(view, clock::now(), terminal::width()))?;
    source.note_served([&view.insight]).await;
    Ok(Exit::Done)
}

fn render(view: &InsightView, now: Millis, width: Option<usize>) -> String {
    let insight = &view.insight;
    let mut text = format!("{}  {}\n", insight.id, printable::one_line(&insight.summary));
    if let Some(rationale) = &insight.rationale {
        // Indented: a line of somebody else looks like none of ours.
        let mut table = Table::new(&[("", Column::Left), ("", Column::Wrapped)]);
        rationale.lines().for_each(|line| table.row([String::new(), line.to_owned()]));
        text.push_str(&format!("\n{}", table.render(width)));
    }
    text.push_str(&format!("\n{}", facts(insight, now).render(width)));
    text.push_str(&format!("\nHistory\n{}", history(&view.entries).render(width)));
    text.push_str(&format!("\nTrace {}, span {}\n", insight.trace_id, insight.span_id));
    text
}

fn facts(insight: &Insight, now: Millis) -> Facts {
    let mut facts = Facts::new();
    facts.row("type", insight.insight_type.to_string());
    facts.toned("status", insight.status.to_string(), find::tone(insight));
    facts.row("review", review(insight));
    let caution = || "rests on a ticket or an address, which anybody may have written".to_owned();
    facts.toned("caution", insight.from_untrusted.then(caution), Tone::Warning);
    facts.row("project", insight.project.clone());
    facts.row("by", by(insight));
    facts.row("confidence", insight.confidence.map(|sure| format!("{:.0}%", sure * 100.0)));
    exchange(insight, &mut facts);
    context(insight, &mut facts);
    facts.row("key", insight.key.clone());
    facts.row("expires", insight.expires_at.map(humanize::moment));
    facts.row("created", humanize::ago(insight.created, now));
    let is_changed = insight.updated != insight.created;
    facts.row("updated", is_changed.then(|| humanize::ago(insight.updated, now)));
    facts.row("reported", (insight.seen > 1).then(|| format!("{} times", insight.seen)));
    facts
}

/// What a question or a handoff asks of whom, and what came of it.
fn exchange(insight: &Insight, facts: &mut Facts) {
    facts.row("to", insight.to.clone());
    facts.row("task", insight.task.clone());
    facts.row("blocking", insight.blocking.then(|| "yes".to_owned()));
    facts.row("options", insight.options.join(" | "));
    let answer = insight.answer.as_ref().map(|answer| {
        let by = answer.by.as_ref().map(|by| format!(" (by {by})")).unwrap_or_default();
        format!("{}{by}", answer.text)
    });
    facts.row("answer", answer);
    facts.row("done", insight.done.join("; "));
    facts.row("remaining", insight.remaining.join("; "));
    facts.row("inputs", pairs(&insight.inputs));
    facts.row("done", insight.percent.map(|percent| format!("{}%", humanize::points(percent))));
}

/// What an insight is about, and what it rests on.
fn context(insight: &Insight, facts: &mut Facts) {
    facts.row("category", insight.category.clone());
    facts.row("severity", insight.severity.clone());
    facts.row("tags", insight.tags.join(", "));
    let scope =
        if insight.applies_to.is_empty() { "the whole project".to_owned() } else { insight.applies_to.join(", ") };
    facts.row("applies to", scope);
    let evidence = insight.evidence.iter().map(|each| format!("{}:{}", each.kind, each.reference));
    facts.row("evidence", evidence.collect::<Vec<_>>().join(", "));
    facts.row("context", pairs(&insight.context));
    facts.row("for", Some(insight.audience.clone()).filter(|audience| audience != "both"));
    facts.row("supersedes", insight.supersedes.join(", "));
    facts.row("superseded by", insight.superseded_by.clone());
}

fn pairs(attributes: &contextcore_core::model::operation::Attributes) -> String {
    let pair = |(name, value): &(String, Option<_>)| {
        let value: &Option<contextcore_core::model::operation::Scalar> = value;
        format!("{name}={}", value.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    attributes.0.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn review(insight: &Insight) -> String {
    let votes = match (insight.confirmed, insight.contradicted) {
        (0, 0) => String::new(),
        (held, not) => format!(" (held for {held}, not for {not})"),
    };
    format!("{}{votes}", insight.review)
}

fn by(insight: &Insight) -> String {
    let author = &insight.author;
    let kind = if author.kind == AuthorKind::Human { " (a person)" } else { "" };
    let name = author.name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    let session = author.session.as_ref().map(|session| format!(", session {session}")).unwrap_or_default();
    format!("{}{kind}{name}{session}", find::author(insight))
}

/// What happened, with where it came from: without a token it is what somebody on this machine says.
fn history(entries: &[InsightEvent]) -> Table {
    let mut table = Table::new(&[
        ("", Column::Left),
        ("", Column::Left),
        ("", Column::Left),
        ("", Column::SpareLeft(0)),
        ("", Column::Wrapped),
    ]);
    for entry in entries {
        let origin = entry.origin.as_ref().map_or_else(|| "local".to_owned(), |token| format!("token {token}"));
        let why = entry.text.clone().unwrap_or_default();
        let (text, tone) = match &entry.refused {
            Some(refused) => (format!("refused: {refused}"), Tone::Warning),
            None => (why, Tone::Plain),
        };
        table.row([
            Cell::from(format!("  {}", humanize::moment(entry.at))),
            Cell::from(entry.action.clone()),
            Cell::from(entry.by.as_ref().map(|by| format!("by {by}")).unwrap_or_default()),
            Cell::new(&origin, Tone::Faint),
            Cell::new(&text, tone),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::NOW;

    #[test]
    fn an_insight_reads_well() {
        let entry = |fields: serde_json::Value| serde_json::from_value(fields).unwrap();
        let entries = vec![
            entry(
                json!({"at": "2026-11-08T09:30:00Z", "action": "emit", "by": "claude", "kind": "agent", "status": "active"}),
            ),
            entry(json!({
                "at": "2026-11-09T09:30:00Z", "action": "confirm", "by": "ada", "kind": "human", "status": "active",
                "text": "it held", "origin": "ci",
            })),
            entry(json!({
                "at": "2026-11-09T09:40:00Z", "action": "answer", "by": "bob", "kind": "human", "status": "active",
                "refused": "answer is nothing that can be done with a decision",
            })),
        ];
        let insight = super::super::find::tests::samples().remove(0).insight;
        insta::assert_snapshot!("insight", render(&InsightView { insight, entries }, NOW, Some(100)));
    }
}
