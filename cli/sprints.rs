//! The list of `contextcore sprints`.

use contextcore_core::model::SprintState;
use contextcore_core::query::{SprintFilter, SprintView};

use crate::humanize;
use crate::list::Printed;
use crate::table::Column;

impl Printed for SprintFilter {
    type Row = SprintView;
    const COLUMNS: &'static [(&'static str, Column)] = &[
        ("ID", Column::Left),
        ("NAME", Column::Flexible),
        ("PROJECT", Column::Left),
        ("STATE", Column::Left),
        ("START", Column::Left),
        ("END", Column::Left),
        ("COMMITTED", Column::Right),
        ("ADDED", Column::Right),
        ("REMOVED", Column::Right),
        ("REEST.", Column::Right),
        ("SCOPE", Column::Right),
        ("DONE", Column::Right),
        ("LEFT", Column::Right),
        ("TASKS", Column::Right),
    ];
    const NESTED: &'static [&'static str] = &["burndown"];
    const INDENTED: bool = true;

    /// A future sprint has no numbers yet. One that is not exact is marked.
    fn cells(sprint: SprintView) -> Vec<String> {
        let unless_future = |text: String| if sprint.state == SprintState::Future { String::new() } else { text };
        let number = |points: f64| unless_future(humanize::points(points));
        let tasks = sprint.committed_tasks + sprint.added_tasks - sprint.removed_tasks;
        let mark = if sprint.exact { "" } else { " (as observed)" };
        vec![
            sprint.id,
            format!("{}{mark}", sprint.name),
            sprint.project_id.unwrap_or_default(),
            sprint.state.to_string(),
            sprint.start.map(|at| at.date()).unwrap_or_default(),
            sprint.completed.or(sprint.end).map(|at| at.date()).unwrap_or_default(),
            number(sprint.committed),
            number(sprint.added),
            number(sprint.removed),
            number(sprint.reestimated),
            number(sprint.scope),
            number(sprint.completed_points),
            number(sprint.remaining),
            unless_future(format!("{}/{tasks}", sprint.completed_tasks)),
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
        insta::assert_snapshot!("sprints", table.render(None));
    }
}
