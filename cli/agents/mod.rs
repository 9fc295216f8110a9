//! `contextcore agents`: what agents must know, in a file that they read at their start ([`block`] makes the text, which is pure), and
//! how work flowed with them ([`flow`]).
//!
//! Only what people stand behind gets in: binding guidance, and insights that a person confirmed.

mod block;
mod flow;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use contextcore_core::clock;
use contextcore_core::config::Config;
use contextcore_core::model::guidance::{GuidanceItem, GuidanceKind, Severity, Trust, covering, in_force};
use contextcore_core::model::insight::{AuthorKind, Insight, InsightType, Review};
use contextcore_core::query::InsightQuery;
use serde_json::json;

use self::block::Content;
use crate::app::Context;
use crate::args::{self, AgentsExport, Place};
use crate::failure::{Exit, Failure, Outcome};
use crate::guide::found::{Found, configuration, gather};
use crate::insights::InsightReader;
use crate::{lanes, output};

pub(crate) async fn run(context: &Context, command: &args::Agents) -> Outcome {
    match command {
        args::Agents::Export(arguments) => export(context, arguments).await,
        args::Agents::Flow(arguments) => flow::run(context, arguments).await,
    }
}

async fn export(context: &Context, arguments: &AgentsExport) -> Outcome {
    let json = context.is_json("agents export")?;
    let file = file(arguments);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.map_err(|error| failed(&file, &error))?),
    };
    if arguments.check {
        return check(json, &file, text.as_deref());
    }
    let known = text.clone().unwrap_or_default();
    let written = if is_claude(&file) {
        block::import(&known)
    } else {
        let content = content(context, arguments).await?;
        block::put(&known, &block::block(&content, arguments.max_tokens as usize))
            .map_err(|problem| wrong(&file, &problem))?
    };
    let changed = text.as_deref() != Some(&*written);
    if changed {
        fs::write(&file, &written).map_err(|error| failed(&file, &error))?;
    }
    output::print_compact(json, &json!({"file": file, "changed": changed}), |_| {
        format!("{} {}\n", if changed { "wrote" } else { "nothing new for" }, file.display())
    })?;
    Ok(Exit::Done)
}

/// The file: in `--path`, unless it names a directory itself.
fn file(arguments: &AgentsExport) -> PathBuf {
    let is_name = arguments.file.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    match &arguments.path {
        Some(directory) if is_name => directory.join(&arguments.file),
        _ => arguments.file.clone(),
    }
}

fn is_claude(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.eq_ignore_ascii_case("CLAUDE.md"))
}

fn check(json: bool, file: &Path, text: Option<&str>) -> Outcome {
    let problem = match text {
        None => Some("is missing".to_owned()),
        Some(text) if is_claude(file) => (!block::has_import(text)).then(|| "has no line `@AGENTS.md`".to_owned()),
        Some(text) => block::check(text).err(),
    };
    output::print_compact(json, &json!({"file": file, "problem": problem}), |_| match &problem {
        Some(problem) => format!("{}: {problem}; run `contextcore agents export`\n", file.display()),
        None => format!("{}: as it was written\n", file.display()),
    })?;
    Ok(if problem.is_some() { Exit::Found } else { Exit::Done })
}

/// What goes into the block.
async fn content(context: &Context, arguments: &AgentsExport) -> Result<Content, Failure> {
    let place = Place {
        project: arguments.project.clone(),
        actor: None,
        at: None,
        state: None,
        endpoint: None,
        protocol: None,
        no_drain: true,
    };
    let found = gather(context, &place).await?;
    let paths: Vec<String> = arguments.path.iter().map(|path| path.display().to_string()).collect();
    let paths = found.relative(&paths);
    let insights = insights(configuration(context)?, &found, &paths).await?;
    let is_ours = |item: &&GuidanceItem| item.trust == Trust::Binding && found.end_of(item).is_none();
    let binding = found.items.iter().filter(is_ours).filter(|item| found.is_here(item));
    let binding = in_force(covering(binding.cloned(), &paths).collect(), clock::now());
    let (asked, rules): (Vec<_>, Vec<_>) = binding.into_iter().partition(|item| item.kind == GuidanceKind::Question);
    let rules = rules.into_iter().filter(|item| item.severity == Severity::Blocking).collect();
    Ok(Content::new(rules, insights, asked.into_iter().map(|item| (item.id, item.rule)).collect()))
}

/// The decisions and lessons that a person confirmed, and the open questions of people.
async fn insights(config: Option<Config>, found: &Found, paths: &[String]) -> Result<Vec<Insight>, Failure> {
    let Ok(state) = lanes::state_dir(None) else { return Ok(Vec::new()) };
    let reader = InsightReader::open(config, Some(&state)).await?;
    let types = [InsightType::Decision, InsightType::Lesson, InsightType::Question];
    let mut query = InsightQuery {
        project: found.project.clone(),
        paths: paths.to_vec(),
        types: types.to_vec(),
        limit: Some(PAGE),
        ..InsightQuery::default()
    };
    let mut confirmed = Vec::new();
    loop {
        let page = reader.find(&query).await?;
        let of_page = page.insights.into_iter().map(|found| found.insight);
        confirmed.extend(of_page.filter(|insight| is_of_people(insight) && !insight.from_untrusted));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(confirmed),
        }
    }
}

/// Whether a person stands behind an insight. A question cannot be confirmed: it has to be a person's own.
fn is_of_people(insight: &Insight) -> bool {
    let is_own = insight.insight_type == InsightType::Question && insight.author.kind == AuthorKind::Human;
    is_own || insight.review == Review::Confirmed
}

/// Insights read at once.
const PAGE: NonZeroUsize = NonZeroUsize::new(200).unwrap();

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Internal, format!("{}: {error}", path.display()))
}

fn wrong(path: &Path, problem: &str) -> Failure {
    Failure::usage(format!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_people_are_exported_and_those_of_agents_are_not() {
        let of = |kind: &str, author: &str, review: &str| {
            let json = json!({
                "id": "ins_1", "type": kind, "project": "shop", "summary": "s", "applies_to": [], "tags": [], "evidence": [],
                "supersedes": [], "author": {"kind": author}, "audience": "both", "status": "open", "review": review,
                "created": "2026-11-26T20:00:00.000Z", "updated": "2026-11-26T20:00:00.000Z", "seen": 1, "confirmed": 0,
                "contradicted": 0, "trace_id": "", "span_id": "", "confidence": 0.9,
            });
            is_of_people(&serde_json::from_value(json).unwrap())
        };
        assert!(of("question", "human", "unreviewed"));
        assert!(!of("question", "agent", "unreviewed"));
        assert!(!of("lesson", "human", "unreviewed"), "that is to be confirmed");
        assert!(of("lesson", "agent", "confirmed"));
    }
}
