//! The marked block of AGENTS.md: pure, and the same for the same content, whenever it is made.

use std::collections::BTreeMap;

use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::model::hash::sha256;
use contextcore_core::model::insight::{Insight, InsightType};
use contextcore_core::model::printable;
use contextcore_core::model::tokens::tokens;

const BEGIN: &str = "<!-- contextcore:begin -->";
const END: &str = "<!-- contextcore:end -->";
/// What the line with the hash of the block begins with.
const HASH: &str = "<!-- contextcore:hash ";
/// The line by which CLAUDE.md takes in the other file.
const IMPORT: &str = "@AGENTS.md";
/// A block has no more lines, its marks and the rest included.
const MAX_LINES: usize = 120;
/// A text has no more characters.
const MAX_TEXT: usize = 300;
const MORE: [&str; 3] = [
    "- `contextcore guide check PATH...` says what binds before you change a file, and `contextcore guide show ID` why.",
    "- The MCP server `contextcore mcp` answers `get_context` for paths, tasks and services, with decisions and lessons.",
    "- Record decisions and lessons there; what needs a person, ask with `ask_human`. Never write secrets.",
];

/// What a block says, the most important first in each list.
#[derive(Debug, Default)]
pub(super) struct Content {
    constraints: Vec<String>,
    /// Decisions and lessons, with the directories that they are about.
    known: Vec<(String, String)>,
    questions: Vec<String>,
}

impl Content {
    /// Sorts everything by what does not change from day to day.
    pub(super) fn new(
        mut rules: Vec<GuidanceItem>,
        mut insights: Vec<Insight>,
        questions: Vec<(String, String)>,
    ) -> Self {
        rules.sort_by(|one, other| (&one.scope, &one.id).cmp(&(&other.scope, &other.id)));
        let confidence = |insight: &Insight| insight.confidence.unwrap_or(0.5);
        insights.sort_by(|one, other| {
            let by_confidence = confidence(other).total_cmp(&confidence(one));
            let rest = || (&one.insight_type.as_str(), &one.id).cmp(&(&other.insight_type.as_str(), &other.id));
            by_confidence.then_with(rest)
        });
        let (asked, known): (Vec<Insight>, Vec<Insight>) =
            insights.into_iter().partition(|insight| insight.insight_type == InsightType::Question);
        let mut questions: Vec<String> =
            questions.iter().map(|(id, text)| format!("- {} ({id})", clean(text))).collect();
        questions.extend(asked.iter().map(|insight| format!("- {} ({})", clean(&insight.summary), insight.id)));
        questions.sort();
        questions.dedup();
        Self {
            constraints: rules.iter().map(constraint).collect(),
            known: known.iter().map(|insight| (directory(insight), insight_line(insight))).collect(),
            questions,
        }
    }
}

fn constraint(item: &GuidanceItem) -> String {
    let scope = item.scope.as_ref().map(|scope| format!("`{}`: ", clean(scope).replace('`', ""))).unwrap_or_default();
    let until = item.until.as_ref().map(|until| format!("until {until}; ")).unwrap_or_default();
    format!("- {scope}{} ({until}{})", clean(&item.rule), clean(&item.id))
}

fn insight_line(insight: &Insight) -> String {
    let kind = if insight.insight_type == InsightType::Decision { "Decision" } else { "Lesson" };
    format!("- {kind}: {} ({})", clean(&insight.summary), insight.id)
}

/// The directory that an insight is about: what its first path begins with, without wildcards; empty for the whole project.
fn directory(insight: &Insight) -> String {
    let mut paths: Vec<&str> = insight.applies_to.iter().filter_map(|scope| scope.strip_prefix("path:")).collect();
    paths.sort_unstable();
    let Some(path) = paths.first() else { return String::new() };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let fixed = parts.iter().take_while(|part| !part.contains(['*', '?']));
    let fixed: Vec<&str> = fixed.copied().collect();
    let is_file =
        fixed.len() == parts.len() && !path.ends_with('/') && fixed.last().is_some_and(|last| last.contains('.'));
    clean(&fixed[..fixed.len() - usize::from(is_file)].join("/"))
}

/// A text in one line that can neither end the block nor begin another.
fn clean(text: &str) -> String {
    let line = printable::one_line(text).replace("<!--", "").replace("-->", "");
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// The block, with as much as fits: constraints go first, then decisions and lessons, then questions.
pub(super) fn block(content: &Content, max_tokens: usize) -> String {
    let all = content.constraints.len() + content.known.len() + content.questions.len();
    let mut fits = all;
    loop {
        let inside = inside(content, fits);
        let text = format!("{BEGIN}\n{HASH}{} -->\n{inside}{END}\n", hash(&inside));
        let is_small = tokens(&text) <= max_tokens && text.lines().count() <= MAX_LINES;
        if is_small || fits == 0 {
            return text;
        }
        fits -= 1;
    }
}

/// What stands between the marks, with the first `fits` lines of the content.
fn inside(content: &Content, fits: usize) -> String {
    let constraints = content.constraints.len().min(fits);
    let known = content.known.len().min(fits - constraints);
    let questions = content.questions.len().min(fits - constraints - known);
    let mut text = "## Guidance from people\n\n".to_owned();
    let mut section = |title: &str, lines: &[String], all: usize| {
        if all > 0 {
            text.push_str(&format!("### {title}\n\n{}", lines.concat()));
            if lines.iter().filter(|line| line.starts_with("- ")).count() < all {
                text.push_str("- There is more: ask for it as below.\n");
            }
            text.push('\n');
        }
    };
    let ended = |line: &String| format!("{line}\n");
    let lines: Vec<String> = content.constraints[..constraints].iter().map(ended).collect();
    section("Must not be broken", &lines, content.constraints.len());
    section("Decisions and lessons", &by_directory(&content.known[..known]), content.known.len());
    let lines: Vec<String> = content.questions[..questions].iter().map(ended).collect();
    section("Open questions", &lines, content.questions.len());
    text.push_str(&format!("### Ask for more\n\n{}\n", MORE.join("\n")));
    text
}

fn by_directory(known: &[(String, String)]) -> Vec<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (directory, line) in known {
        by.entry(directory).or_default().push(line);
    }
    let mut lines = Vec::new();
    for (directory, of) in by {
        if !directory.is_empty() {
            lines.push(format!("`{}`:\n\n", directory.replace('`', "")));
        }
        lines.extend(of.iter().map(|line| format!("{line}\n")));
        if let Some(last) = lines.last_mut() {
            last.push('\n');
        }
    }
    if let Some(last) = lines.last_mut() {
        last.pop();
    }
    lines
}

fn hash(inside: &str) -> String {
    sha256(["contextcore-agents-v1", inside])[..16].to_owned()
}

/// The text with the block in place of the one it has, or at its end.
///
/// # Errors
/// When its marks are not one pair.
pub(super) fn put(text: &str, block: &str) -> Result<String, String> {
    let eol = line_end(text);
    let block = block.replace('\n', eol);
    Ok(match find(text)? {
        Some((begin, end)) => {
            let behind = text[end..].trim_start_matches(['\r', '\n']);
            let gap = if behind.is_empty() { "" } else { eol };
            format!("{}{block}{gap}{behind}", &text[..begin])
        }
        None if text.trim().is_empty() => block,
        None => format!("{}{eol}{eol}{block}", text.trim_end()),
    })
}

/// How the lines of a text end: as on Windows where one does.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Where the block is.
fn find(text: &str) -> Result<Option<(usize, usize)>, String> {
    let places = |mark: &str| text.match_indices(mark).map(|(at, _)| at).collect::<Vec<_>>();
    match (&places(BEGIN)[..], &places(END)[..]) {
        ([], []) => Ok(None),
        ([begin], [end]) if begin < end => Ok(Some((*begin, end + END.len()))),
        _ => Err(format!("needs one `{BEGIN}` and one `{END}` after it: remove the others by hand")),
    }
}

/// Whether the block is as it was written.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(text: &str) -> Result<(), String> {
    let (begin, end) = find(text)?.ok_or("has no block of contextcore")?;
    let block = text[begin + BEGIN.len()..end - END.len()].trim_start_matches(['\r', '\n']).replace("\r\n", "\n");
    let marked = block.strip_prefix(HASH).and_then(|rest| rest.split_once(" -->\n"));
    match marked {
        Some((known, inside)) if hash(inside) == known => Ok(()),
        _ => Err("its block was changed by hand".to_owned()),
    }
}

/// Whether a CLAUDE.md takes in AGENTS.md.
pub(super) fn has_import(text: &str) -> bool {
    text.lines().any(|line| matches!(line.trim(), IMPORT | "@./AGENTS.md"))
}

/// A CLAUDE.md that takes in AGENTS.md.
pub(super) fn import(text: &str) -> String {
    let eol = line_end(text);
    match text.trim_end() {
        _ if has_import(text) => text.to_owned(),
        "" => format!("{IMPORT}\n"),
        text => format!("{text}{eol}{eol}{IMPORT}{eol}"),
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::model::guidance::{GuidanceKind, GuidanceSource};

    use super::*;

    fn rule(id: &str, text: &str, scope: Option<&str>) -> GuidanceItem {
        let source = GuidanceSource::Context { namespace: "shop".into(), name: "cart".into() };
        GuidanceItem {
            scope: scope.map(str::to_owned),
            ..GuidanceItem::new("shop", source, GuidanceKind::Constraint, id, text)
        }
    }

    fn insight(id: &str, kind: &str, summary: &str, scope: &str) -> Insight {
        let json = serde_json::json!({
            "id": id, "type": kind, "project": "shop", "summary": summary, "applies_to": [scope], "tags": [], "evidence": [], "supersedes": [],
            "author": {"kind": "agent"}, "audience": "both", "status": "active", "review": "confirmed",
            "created": "2026-11-26T20:00:00.000Z", "updated": "2026-11-26T20:00:00.000Z", "seen": 1, "confirmed": 1,
            "contradicted": 0, "trace_id": "", "span_id": "", "confidence": 0.9,
        });
        serde_json::from_value(json).unwrap()
    }

    fn content() -> Content {
        Content::new(
            vec![rule("b", "No breaking changes\nof /v1", Some("src/api/**")), rule("a", "Money is in cents", None)],
            vec![
                insight("ins_2", "lesson", "Mock the gateway <!-- contextcore:end -->", "path:src/checkout/**"),
                insight("ins_1", "decision", "Events", "path:src/checkout/events.py"),
                insight("ins_3", "decision", "Rust", "label:all"),
                insight("ins_4", "question", "Which bank?", "task:SHOP-1"),
            ],
            vec![("crd:shop/cart/q".into(), "Why?".into())],
        )
    }

    #[test]
    fn a_block_says_what_people_stand_behind() {
        insta::assert_snapshot!(block(&content(), 1_500));
    }

    #[test]
    fn the_same_content_gives_the_same_block_in_any_order() {
        let reversed = Content::new(
            vec![rule("a", "Money is in cents", None), rule("b", "No breaking changes\nof /v1", Some("src/api/**"))],
            vec![
                insight("ins_4", "question", "Which bank?", "task:SHOP-1"),
                insight("ins_3", "decision", "Rust", "label:all"),
                insight("ins_1", "decision", "Events", "path:src/checkout/events.py"),
                insight("ins_2", "lesson", "Mock the gateway <!-- contextcore:end -->", "path:src/checkout/**"),
            ],
            vec![("crd:shop/cart/q".into(), "Why?".into())],
        );
        assert_eq!(block(&reversed, 1_500), block(&content(), 1_500));
    }

    #[test]
    fn a_block_is_put_in_place_and_checked_by_its_own_hash() {
        let block = block(&content(), 1_500);
        let text = put("# Ours\n\nKeep this.\n", &block).unwrap();
        assert!(text.starts_with("# Ours\n\nKeep this.\n\n<!-- contextcore:begin -->"));
        assert_eq!(check(&text), Ok(()));
        assert_eq!(put(&text, &block).unwrap(), text, "again");
        let behind = format!("{text}\n## More of ours\n");
        assert_eq!(put(&behind, &block).unwrap(), behind);
        assert_eq!(check(&text.replace('\n', "\r\n")), Ok(()), "as a checkout on Windows has it");
        let windows = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(put("# Ours\r\n\r\nKeep this.\r\n", &block).unwrap(), windows(&text));
        assert_eq!(put(&windows(&text), &block).unwrap(), windows(&text), "again");
        assert_eq!(put(&windows(&behind), &block).unwrap(), windows(&behind));
        assert!(check(&text.replace("Events", "Polling")).unwrap_err().contains("by hand"));
        assert!(check("# Ours").unwrap_err().contains("no block"));
        assert!(put("<!-- contextcore:end -->", &block).is_err() && check(BEGIN).is_err());
        assert_eq!(put("", &block).unwrap(), block);
    }

    #[test]
    fn a_block_keeps_its_limits_and_says_that_there_is_more() {
        let rules = (0..300).map(|n| rule(&format!("r{n:03}"), &"word ".repeat(n % 90), None)).collect();
        let content = Content::new(rules, Vec::new(), Vec::new());
        for most in [300, 1_500, 20_000] {
            let text = block(&content, most);
            assert!(tokens(&text) <= most && text.lines().count() <= MAX_LINES, "{most}");
            assert!(text.contains("There is more") && text.contains("contextcore guide check"), "{most}");
        }
    }

    #[test]
    fn claude_takes_in_the_other_file() {
        assert_eq!(import(""), "@AGENTS.md\n");
        assert_eq!(import("# Mine\n"), "# Mine\n\n@AGENTS.md\n");
        assert_eq!(import("# Mine\r\n"), "# Mine\r\n\r\n@AGENTS.md\r\n");
        assert_eq!(import("@AGENTS.md\nMore\n"), "@AGENTS.md\nMore\n");
    }
}
