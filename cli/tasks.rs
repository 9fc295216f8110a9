//! The list of `contextcore tasks`.

use std::collections::BTreeMap;

use contextcore_core::Millis;
use contextcore_core::model::{Status, TaskType};
use contextcore_core::query::{Subtasks, TaskFilter};
use serde::Deserialize;

use crate::humanize;
use crate::list::Printed;
use crate::table::{Cell, Column};
use crate::tone::Tone;

/// What a row of the table is made of.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    id: String,
    #[serde(rename = "type")]
    task_type: TaskType,
    status: Status,
    deleted: Option<Millis>,
    priority: Option<String>,
    assignee: Option<String>,
    estimate: Option<f64>,
    percent_complete: f64,
    subtasks: Subtasks,
    lead_time: Option<f64>,
    status_time: BTreeMap<Status, f64>,
    title: String,
}

impl Printed for TaskFilter {
    type Row = Row;
    const COLUMNS: &'static [(&'static str, Column)] = &[
        ("KEY", Column::Left),
        ("TYPE", Column::SpareLeft(2)),
        ("STATUS", Column::Left),
        ("PRIORITY", Column::SpareLeft(0)),
        ("ASSIGNEE", Column::SpareLeft(4)),
        ("POINTS", Column::SpareRight(3)),
        ("DONE", Column::SpareRight(1)),
        ("AGE", Column::Right),
        ("TITLE", Column::Flexible),
    ];
    const NESTED: &'static [&'static str] = &["status_time", "subtasks", "timeline"];
    const INDENTED: bool = false;

    /// The age of a finished task is its lead time; that of an open one is the time since its creation.
    fn cells(task: Row) -> Vec<Cell> {
        let status = match task.deleted {
            Some(_) => Cell::new("deleted", Tone::Faint),
            None => Cell::new(task.status.as_str(), Tone::of_status(task.status)),
        };
        let is_open = task.deleted.is_none() && !task.status.is_finished();
        let age = task.lead_time.unwrap_or_else(|| task.status_time.values().sum());
        vec![
            task.id.into(),
            task.task_type.to_string().into(),
            status,
            task.priority.unwrap_or_default().into(),
            task.assignee.unwrap_or_default().into(),
            task.estimate.map(humanize::points).unwrap_or_default().into(),
            if task.subtasks.total > 0 { format!("{:.0}%", task.percent_complete) } else { String::new() }.into(),
            Cell::new(&humanize::duration(age), if is_open { Tone::of_age(age) } else { Tone::Plain }),
            task.title.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::table::Table;

    #[test]
    fn the_table_reads_well() {
        let mut table = Table::new(TaskFilter::COLUMNS);
        for task in fixture::tasks() {
            table.row(TaskFilter::cells(serde_json::from_value(serde_json::to_value(task).unwrap()).unwrap()));
        }
        insta::assert_snapshot!("tasks_wide", table.render(None));
        insta::assert_snapshot!("tasks_narrow", table.render(Some(80)));
    }
}
