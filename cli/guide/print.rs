//! Guidance as people read it.

use contextcore_core::model::guidance::{GuidanceItem, Severity};
use serde::Serialize;

use super::found::Line;
use crate::table::{Column, Table};

/// What holds for a path.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) path: String,
    pub(super) blocked: bool,
    pub(super) guidance: Vec<GuidanceItem>,
}

pub(super) fn table(lines: &[Line], width: Option<usize>) -> String {
    if lines.is_empty() {
        return "no guidance\n".to_owned();
    }
    let columns = [
        ("ID", Column::Left),
        ("KIND", Column::Left),
        ("SEVERITY", Column::Left),
        ("SCOPE", Column::Left),
        ("UNTIL", Column::Left),
        ("GUIDANCE", Column::Flexible),
    ];
    let mut table = Table::new(&columns);
    for Line { item, ended } in lines {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let until = match ended {
            Some(ended) => format!("ended {}", ended.at.date()),
            None => text(&item.until),
        };
        let trust = if item.trust.as_str() == "binding" { String::new() } else { format!(" ({})", item.trust) };
        let severity = format!("{}{trust}", item.severity);
        table.row([item.id.clone(), item.kind.to_string(), severity, text(&item.scope), until, item.rule.clone()]);
    }
    table.render(width)
}

/// Every line with all that is known of it.
pub(super) fn whole(lines: &[Line]) -> String {
    let one = |Line { item, ended }: &Line| {
        let mut text = format!("{}\n  {}\n", printable(&item.id), printable(&item.rule));
        let declared = item.declared.map(|declared| format!(" (declared {declared})")).unwrap_or_default();
        let mut row = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("  {name:<9} {}\n", printable(&value)));
            }
        };
        row("kind", Some(item.kind.to_string()));
        row("severity", Some(format!("{}{declared}", item.severity)));
        row("project", Some(item.project.clone()).filter(|project| !project.is_empty()));
        row("scope", item.scope.clone());
        row("until", item.until.clone());
        row("reason", item.reason.clone());
        row("from", Some(format!("{} ({})", item.source, item.trust)));
        row(
            "ended",
            ended.as_ref().map(|ended| {
                let by = ended.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
                let why = ended.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{}{by}{why}", ended.at.date())
            }),
        );
        text
    };
    lines.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What covers each path. Advice that is not for some paths alone would be the same at each, so it is said once, at the end.
pub(super) fn checked(paths: &[Checked]) -> String {
    let mut text = String::new();
    let mut everywhere: Vec<&GuidanceItem> = Vec::new();
    for Checked { path, guidance, .. } in paths {
        let (general, own): (Vec<_>, Vec<_>) = guidance.iter().partition(|item| is_general_advice(item));
        own.into_iter().for_each(|item| text.push_str(&format!("{}: {}", printable(path), covers(item))));
        general.into_iter().for_each(|item| {
            if !everywhere.contains(&item) {
                everywhere.push(item);
            }
        });
    }
    everywhere.into_iter().for_each(|item| text.push_str(&covers(item)));
    let blocked = paths.iter().filter(|path| path.blocked).count();
    let all = crate::humanize::plural(paths.len() as u64, "path");
    text.push_str(&match blocked {
        0 => format!("{all}: none is blocked\n"),
        blocked => format!("{all}: {blocked} blocked\n"),
    });
    text
}

fn is_general_advice(item: &GuidanceItem) -> bool {
    item.scope.is_none() && item.severity == Severity::Advisory
}

fn covers(item: &GuidanceItem) -> String {
    let word = match item.severity {
        Severity::Blocking => "blocked by",
        Severity::Warning => "warning of",
        Severity::Advisory => "advice of",
    };
    let (id, rule, source) = (printable(&item.id), printable(&item.rule), item.source.to_string());
    format!("{word} {id}: {rule} ({})\n", printable(&source))
}

fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    contextcore_core::model::printable::one_line(text)
}
