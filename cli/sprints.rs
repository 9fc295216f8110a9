//! The list of `contextcore sprints`.

use contextcore_core::model::SprintState;
use contextcore_core::query::{SprintFilter, SprintView};

use crate::humanize;
use crate::list::Printed;
use crate::table::{Cell, Column};
use crate::tone::Tone;

impl Printed for SprintFilter {
    type Row = SprintView;
    const COLUMNS: &'static [(&'static str, Column)] = &[
        ("NAME", Column::Flexible),
        ("PROJECT", Column::SpareLeft(8)),
        ("STATE", Column::Left),
        ("START", Column::SpareLeft(5)),
        ("END", Column::SpareLeft(7)),
        ("COMMITTED", Column::SpareRight(6)),
        ("ADDED", Column::SpareRight(1)),
        ("REMOVED", Column::SpareRight(2)),
        ("REEST.", Column::SpareRight(0)),
        ("SCOPE", Column::SpareRight(3)),
        ("DONE", Column::Right),
        ("LEFT", Column::Right),
        ("TASKS", Column::SpareRight(4)),
    ];
    const NESTED: &'static [&'static str] = &["burndown"];
    const INDENTED: bool = true;

    /// A future sprint has no numbers yet. One that is not exact is marked. People know a sprint by its name, and some tools'
    /// ids are long: they are in JSON and CSV, and in `--fields id`.
    fn cells(sprint: SprintView) -> Vec<Cell> {
        let unless_future = |text: String| if sprint.state == SprintState::Future { String::new() } else { text };
        let number = |points: f64| Cell::from(unless_future(humanize::points(points)));
        let tone = match sprint.state {
            SprintState::Active => Tone::Good,
            SprintState::Closed => Tone::Faint,
            SprintState::Future => Tone::Plain,
        };
        let tasks = sprint.committed_tasks + sprint.added_tasks - sprint.removed_tasks;
        let mark = if sprint.exact { "" } else { " (as observed)" };
        vec![
            format!("{}{mark}", sprint.name).into(),
            sprint.project_id.unwrap_or_default().into(),
            Cell::new(sprint.state.as_str(), tone),
            sprint.start.map(|at| at.date()).unwrap_or_default().into(),
            sprint.completed.or(sprint.end).map(|at| at.date()).unwrap_or_default().into(),
            number(sprint.committed),
            number(sprint.added),
            number(sprint.removed),
            number(sprint.reestimated),
            number(sprint.scope),
            number(sprint.completed_points),
            number(sprint.remaining),
            unless_future(format!("{}/{tasks}", sprint.completed_tasks)).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::query::Viewer;

    use super::*;
    use crate::fixture;
    use crate::table::Table;

    #[test]
    fn the_table_reads_well() {
        let (store, config, _dir) = fixture::world();
        let mut table = Table::new(SprintFilter::COLUMNS);
        for sprint in Viewer::new(&store, &config, fixture::NOW).sprints(&SprintFilter::default()).unwrap() {
            table.row(SprintFilter::cells(sprint));
        }
        insta::assert_snapshot!("sprints", format!("{}\n{}", table.render(None), table.render(Some(80))));
    }
}
