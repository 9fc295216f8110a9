//! `contextcore insight export`: everything that a filter leaves, as JSON lines or Markdown, in an order that does not change.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use contextcore_core::model::insight::{Insight, InsightType};
use contextcore_core::model::printable;
use contextcore_core::query::InsightView;

use super::source::Source;
use super::{find, source};
use crate::app::Context;
use crate::args::{Export, Output};
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;

pub(super) async fn run(context: &Context, arguments: &Export) -> Outcome {
    let form = match context.global.output {
        Output::Md | Output::Jsonl => context.global.output,
        _ => arguments.format,
    };
    let source = source::open(context, &arguments.place).await?;
    let query = find::asked(arguments.filter.clone(), "all")?;
    let mut insights: Vec<Insight> =
        source.find(&query).await?.insights.into_iter().map(|found| found.insight).collect();
    insights.sort_by(|one, other| place(one).cmp(&place(other)));
    let text = if form == Output::Md { markdown(&insights) } else { lines(&source, &insights).await? };
    if insights.is_empty() {
        eprintln!("{}", printable::one_line(&source.why_nothing(&query, |_| true, "--status all").await?));
    }
    write(arguments.file.as_deref(), &text)?;
    Ok(Exit::Done)
}

fn place(insight: &Insight) -> impl Ord + '_ {
    (&insight.project, insight.insight_type, insight.created, &insight.id)
}

fn write(file: Option<&Path>, text: &str) -> Result<(), Failure> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    };
    let failed = |error| Failure::new(Exit::Usage, format!("write {}: {error}", path.display()));
    std::fs::write(path, text).map_err(failed)
}

/// A JSON object a line, with its history.
async fn lines(source: &Source<'_>, insights: &[Insight]) -> Result<String, Failure> {
    let mut text = String::new();
    for insight in insights {
        let view: InsightView = source.insight(&insight.id, Some(&insight.project)).await?;
        text.push_str(&printable::json(&serde_json::to_string(&view)?));
        text.push('\n');
    }
    Ok(text)
}

/// A section for each project and type, an item for each insight.
fn markdown(insights: &[Insight]) -> String {
    let mut text = "# Insights\n".to_owned();
    let (mut project, mut kind): (&str, Option<InsightType>) = ("", None);
    for insight in insights {
        if insight.project != project {
            (project, kind) = (&insight.project, None);
            let _infallible = writeln!(text, "\n## {}", escaped(project));
        }
        if kind != Some(insight.insight_type) {
            kind = Some(insight.insight_type);
            let _infallible = writeln!(text, "\n### {}\n", heading(insight.insight_type));
        }
        item(insight, &mut text);
    }
    text
}

const fn heading(insight_type: InsightType) -> &'static str {
    match insight_type {
        InsightType::Decision => "Decisions",
        InsightType::Lesson => "Lessons",
        InsightType::Question => "Questions",
        InsightType::Blocker => "Blockers",
        InsightType::Risk => "Risks",
        InsightType::Handoff => "Handoffs",
        InsightType::Recommendation => "Recommendations",
        InsightType::Discovery => "Discoveries",
        InsightType::Analysis => "Analyses",
        InsightType::Progress => "Progress",
    }
}

fn item(insight: &Insight, text: &mut String) {
    let sure = insight.confidence.map(|sure| format!(", {:.0}% sure", sure * 100.0)).unwrap_or_default();
    let (by, on) = (escaped(&find::author(insight)), insight.created.timestamp().strftime("%Y-%m-%d").to_string());
    let _infallible = writeln!(text, "- **{}** (`{}`)", escaped(&insight.summary), insight.id);
    let state = format!("{}, {}{sure}, by {by} on {on}", insight.status, insight.review);
    let about = insight.applies_to.iter().map(|scope| escaped(scope)).collect::<Vec<_>>().join(", ");
    let evidence = insight.evidence.iter().map(|each| escaped(&format!("{}:{}", each.kind, each.reference)));
    let rationale = insight.rationale.as_deref().map(escaped).unwrap_or_default();
    let answer = insight.answer.as_ref().map(|answer| escaped(&answer.text)).unwrap_or_default();
    let expires = insight.expires_at.map(humanize::moment).unwrap_or_default();
    for (name, value) in [
        ("", state),
        ("Why: ", rationale),
        ("Answer: ", answer),
        ("About: ", about),
        ("Evidence: ", evidence.collect::<Vec<_>>().join(", ")),
        ("Replaced by: ", insight.superseded_by.clone().unwrap_or_default()),
        ("Expires: ", expires),
    ] {
        if !value.is_empty() {
            let _infallible = writeln!(text, "  - {name}{value}");
        }
    }
}

/// A text on one line that Markdown shows as it is: no link, no image, no HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in printable::one_line(text).chars() {
        if "\\`*_[]<>|!#&~".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_a_text_as_it_is() {
        assert_eq!(escaped("![x](y)\n<b>#1 a_b`c`"), "\\!\\[x\\](y) \\<b\\>\\#1 a\\_b\\`c\\`");
    }
}
