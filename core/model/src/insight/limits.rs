//! How much an insight may hold. Tools refuse what is over a limit; what libraries wrote is cut.

use super::{InsightType, identity, lifecycle, scope};
use crate::operation::{InsightEmit, Support};

/// Characters of a summary.
pub const SUMMARY: usize = 200;
/// Characters of a rationale, an answer or a reason.
pub const RATIONALE: usize = 2_000;
/// Scopes.
pub const SCOPES: usize = 16;
/// References that support it.
pub const SUPPORTS: usize = 16;
/// Characters of a tag, a scope, a reference and every other short text.
pub const SHORT: usize = 300;
/// Tags, options, steps that remain, and insights that are superseded.
const LISTED: usize = 32;
/// What can support an insight.
pub const SUPPORT_KINDS: [&str; 10] =
    ["commit", "pr", "task", "trace", "log", "file", "adr", "doc", "url", "agent_trace"];

/// Checks an insight before it is written.
///
/// # Errors
/// The first limit that it is over, or value that it may not have, as a sentence.
pub fn check(insight: &InsightEmit) -> Result<(), String> {
    let kind = insight.insight_type.parse::<InsightType>().map_err(|error| format!("type: {error}"))?;
    if insight.expires_at.is_some() && !lifecycle::can_expire(kind, lifecycle::first(kind)) {
        return Err(format!("expires_at: a {kind} does not expire; leave it out"));
    }
    if insight.summary.trim().is_empty() {
        return Err("summary: say in a sentence what it is".to_owned());
    }
    characters("summary", &insight.summary, SUMMARY)?;
    characters("rationale", insight.rationale.as_deref().unwrap_or_default(), RATIONALE)?;
    entries("applies_to", insight.applies_to.len(), SCOPES)?;
    let InsightEmit { tags, options, done, remaining, .. } = insight;
    for (name, list) in [("tags", tags), ("options", options), ("done", done), ("remaining", remaining)] {
        entries(name, list.len(), LISTED)?;
        each(name, list)?;
    }
    each("applies_to", &insight.applies_to)?;
    insight.applies_to.iter().try_for_each(|word| scope::check(word)).map_err(|why| format!("applies_to: {why}"))?;
    check_evidence(&insight.evidence)?;
    if insight.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
        return Err("confidence: write a number from 0 to 1".to_owned());
    }
    match insight.supersedes.iter().find(|id| !identity::is_id(id)) {
        Some(id) => Err(format!("supersedes: `{id}` is not the id of an insight")),
        None => Ok(()),
    }
}

/// Checks what supports an insight, or a change of one.
///
/// # Errors
/// The first kind that is not known, or text that is too long, as a sentence.
pub fn check_evidence(evidence: &[Support]) -> Result<(), String> {
    entries("evidence", evidence.len(), SUPPORTS)?;
    for Support { kind, reference, description } in evidence {
        if !SUPPORT_KINDS.contains(&kind.as_str()) {
            return Err(format!("evidence: `{kind}` is none of {}", SUPPORT_KINDS.join(", ")));
        }
        each("evidence", [reference].into_iter().chain(description))?;
    }
    Ok(())
}

/// The entries of a list are short.
fn each<'a>(name: &str, texts: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    let longest = texts.into_iter().map(|text| text.chars().count()).max().unwrap_or(0);
    if longest > SHORT {
        Err(format!("{name}: {longest} characters of an entry are more than {SHORT}"))
    } else {
        Ok(())
    }
}

fn characters(name: &str, text: &str, most: usize) -> Result<(), String> {
    let found = text.chars().count();
    if found > most { Err(format!("{name}: {found} characters are more than {most}")) } else { Ok(()) }
}

fn entries(name: &str, found: usize, most: usize) -> Result<(), String> {
    if found > most { Err(format!("{name}: {found} entries are more than {most}")) } else { Ok(()) }
}

/// Cuts what is over a limit, with `…` at the end of a text.
pub fn cut(insight: &mut InsightEmit) {
    cut_text(&mut insight.summary, SUMMARY);
    insight.rationale.iter_mut().for_each(|text| cut_text(text, RATIONALE));
    insight.applies_to.truncate(SCOPES);
    insight.evidence.truncate(SUPPORTS);
    let InsightEmit { tags, options, done, remaining, supersedes, .. } = insight;
    for list in [tags, options, done, remaining, supersedes] {
        list.truncate(LISTED);
        list.iter_mut().for_each(|text| cut_text(text, SHORT));
    }
    insight.applies_to.iter_mut().for_each(|text| cut_text(text, SHORT));
    insight.confidence = insight.confidence.filter(|number| number.is_finite()).map(|number| number.clamp(0.0, 1.0));
}

/// Cuts a text to so many characters.
pub fn cut_text(text: &mut String, most: usize) {
    if text.chars().nth(most).is_some() {
        let place = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(place, _)| place);
        text.truncate(place);
        text.push('…');
    }
}
