//! The portfolio as text, which `contextcore demo` prints.

use contextcore_core::query::{PortfolioView, ProjectSprint, ProjectView};

use crate::humanize;
use crate::table::{Cell, Column, Table};
use crate::tone::Tone;

/// How many epics and blocked tasks are shown.
const SHOWN: usize = 12;

/// Three tables: projects, open epics, blocked tasks.
pub(crate) fn render(portfolio: &PortfolioView, width: Option<usize>) -> String {
    let mut text = projects_table(portfolio).render(width);
    let lists = [(epics_table(portfolio), portfolio.epics.len()), (blocked_table(portfolio), portfolio.blocked.len())];
    for (table, all) in lists.into_iter().filter(|(table, _)| !table.is_empty()) {
        text.push('\n');
        text.push_str(&table.render(width));
        text.push_str(&more(all));
    }
    text
}

fn projects_table(portfolio: &PortfolioView) -> Table {
    let mut table = Table::new(&[
        ("PROJECT", Column::Flexible),
        ("OPEN", Column::Right),
        ("WIP", Column::Right),
        ("BLOCKED", Column::Left),
        ("DONE 30D", Column::SpareRight(1)),
        ("SPRINT", Column::Flexible),
        ("COMMIT", Column::SpareRight(0)),
        ("DONE", Column::Right),
        ("LEFT", Column::Right),
    ]);
    for project in &portfolio.projects {
        let sprint = project.sprint.as_ref();
        let points =
            |pick: fn(&ProjectSprint) -> f64| sprint.map(|sprint| humanize::points(pick(sprint))).unwrap_or_default();
        table.row([
            project.id.clone(),
            project.open.to_string(),
            project.in_progress.to_string(),
            blocked_count(project),
            project.done_lately.to_string(),
            sprint.map_or_else(|| "none".to_owned(), |sprint| sprint.name.clone()),
            points(|sprint| sprint.committed),
            points(|sprint| sprint.completed),
            points(|sprint| sprint.remaining),
        ]);
    }
    table
}

fn epics_table(portfolio: &PortfolioView) -> Table {
    let columns =
        [("EPIC", Column::Left), ("", Column::Left), ("COMPLETE", Column::Right), ("CHILDREN", Column::Right)];
    let mut table = Table::new(&[&columns[..], &[("TITLE", Column::Flexible)]].concat());
    for epic in portfolio.epics.iter().take(SHOWN) {
        table.row([
            epic.id.clone(),
            gauge(epic.percent_complete),
            format!("{:.0}%", epic.percent_complete),
            format!("{}/{}", epic.children_done, epic.children),
            epic.title.clone(),
        ]);
    }
    table
}

fn blocked_table(portfolio: &PortfolioView) -> Table {
    let mut table = Table::new(&[
        ("BLOCKED", Column::Left),
        ("FOR", Column::Right),
        ("ASSIGNEE", Column::SpareLeft(0)),
        ("REASON", Column::Flexible),
        ("TITLE", Column::Flexible),
    ]);
    for blocked in portfolio.blocked.iter().take(SHOWN) {
        table.row([
            Cell::from(blocked.id.clone()),
            Cell::new(&humanize::duration(blocked.seconds), Tone::of_blocked(blocked.seconds)),
            Cell::from(blocked.assignee.clone().unwrap_or_default()),
            Cell::from(blocked.reason.clone()),
            Cell::from(blocked.title.clone()),
        ]);
    }
    table
}

/// How many are blocked, and in brackets for how long the oldest has been.
fn blocked_count(project: &ProjectView) -> String {
    let oldest = project.oldest_blocked.map(|seconds| format!(" ({})", humanize::duration(seconds)));
    format!("{}{}", project.blocked, oldest.unwrap_or_default())
}

/// A line with the number of items that are not shown.
fn more(all: usize) -> String {
    match all.saturating_sub(SHOWN) {
        0 => String::new(),
        rest => format!("and {rest} more\n"),
    }
}

/// A percentage as a bar of ten marks.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10")]
fn gauge(percent: f64) -> String {
    let full = (percent.clamp(0.0, 100.0) / 10.0).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(10 - full))
}

#[cfg(test)]
mod tests {
    use contextcore_core::query::Viewer;

    use super::*;
    use crate::fixture;

    #[test]
    fn the_portfolio_reads_well() {
        let (store, config, _dir) = fixture::world();
        let portfolio = Viewer::new(&store, &config, fixture::NOW).portfolio().unwrap();
        insta::assert_snapshot!("portfolio", render(&portfolio, None));
        let narrow = render(&portfolio, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    }

    #[test]
    fn long_lists_say_how_much_they_leave_out() {
        assert_eq!(more(SHOWN), "");
        assert_eq!(more(SHOWN + 3), "and 3 more\n");
        assert_eq!(gauge(27.3), "███░░░░░░░");
    }
}
