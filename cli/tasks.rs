//! `contextcore tasks`: normalised tasks, as a table, JSON or CSV.

use std::io::{self, BufWriter, Seek, Write};

use contextcore_core::query::{TaskFilter, TaskView};
use serde_json::Value;
use tempfile::SpooledTempFile;

use crate::app::Context;
use crate::args::Output;
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;
use crate::reader::Reader;
use crate::table::{Column, Table, csv_record};
use crate::terminal;

/// The columns of the CSV: the facts of the contract that fit into a cell, in its order.
const CSV: &[&str] = &[
    "source",
    "tool",
    "native_id",
    "id",
    "url",
    "project",
    "project_id",
    "type",
    "native_type",
    "title",
    "status",
    "native_status",
    "blocked",
    "priority",
    "assignee",
    "reporter",
    "labels",
    "estimate",
    "parent",
    "root",
    "sprint",
    "sprints",
    "due",
    "created",
    "started",
    "completed",
    "cancelled",
    "updated",
    "deleted",
    "lead_time",
    "cycle_time",
    "blocked_time",
    "waiting_time",
    "blocked_by",
    "waiting_on",
    "percent_complete",
    "trace_id",
    "span_id",
];

/// A result is gathered before it is printed, so that a pager at the other end does not hold the store for us; what does not
/// fit here goes through a temporary file.
const IN_MEMORY: usize = 16 << 20;

pub(crate) async fn run(context: &Context, filter: &TaskFilter) -> Outcome {
    let reader = Reader::open(context.config()?).await?;
    let mut result = BufWriter::new(SpooledTempFile::new(IN_MEMORY));
    match context.global.output {
        Output::Json => json(&reader, filter, &mut result).await?,
        Output::Csv => csv(&reader, filter, &mut result).await?,
        Output::Table => {
            let mut table = table();
            let mut visit = |task: TaskView| {
                add(&mut table, &task);
                Ok(())
            };
            reader.each_task(filter, &mut visit).await?;
            if table.is_empty() {
                eprintln!("no task fits; `contextcore status` shows what the store holds");
            } else {
                result.write_all(table.render(terminal::width()).as_bytes())?;
            }
        }
    }
    drop(reader);
    let mut result = result.into_inner().map_err(io::IntoInnerError::into_error)?;
    result.rewind()?;
    let mut out = io::stdout().lock();
    io::copy(&mut result, &mut out)?;
    out.flush()?;
    Ok(Exit::Done)
}

/// An array with a line for each task, written as they come: there may be many.
async fn json(reader: &Reader, filter: &TaskFilter, out: &mut impl Write) -> Result<(), Failure> {
    let mut between = "\n";
    out.write_all(b"[")?;
    reader
        .each_task(filter, &mut |task| {
            out.write_all(between.as_bytes())?;
            between = ",\n";
            Ok(serde_json::to_writer(&mut *out, &task)?)
        })
        .await?;
    Ok(out.write_all(b"\n]\n")?)
}

async fn csv(reader: &Reader, filter: &TaskFilter, out: &mut impl Write) -> Result<(), Failure> {
    out.write_all(csv_record(CSV.iter().copied()).as_bytes())?;
    reader
        .each_task(filter, &mut |task| Ok(out.write_all(csv_row(&serde_json::to_value(&task)?, CSV).as_bytes())?))
        .await
}

/// A record of CSV from a JSON object. Lists are joined with `;`, what is absent is empty.
pub(crate) fn csv_row(object: &Value, columns: &[&str]) -> String {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(";"),
        other => other.to_string(),
    };
    let cells: Vec<String> = columns.iter().map(|name| cell(&object[*name])).collect();
    csv_record(cells.iter().map(String::as_str))
}

pub(crate) fn table() -> Table {
    Table::new(&[
        ("KEY", Column::Left),
        ("TYPE", Column::Left),
        ("STATUS", Column::Left),
        ("PRIORITY", Column::Left),
        ("ASSIGNEE", Column::Left),
        ("POINTS", Column::Right),
        ("DONE", Column::Right),
        ("AGE", Column::Right),
        ("TITLE", Column::Flexible),
    ])
}

/// Adds the row of a task. Its age is how long it has been what it is: open since its creation, or finished in that time.
pub(crate) fn add(table: &mut Table, task: &TaskView) {
    let status = if task.deleted.is_some() { "deleted" } else { task.status.as_str() };
    let age = task.lead_time.unwrap_or_else(|| task.status_time.values().sum());
    table.row([
        task.id.clone(),
        task.task_type.to_string(),
        status.to_owned(),
        task.priority.clone().unwrap_or_default(),
        task.assignee.clone().unwrap_or_default(),
        task.estimate.map(humanize::points).unwrap_or_default(),
        if task.subtasks.total > 0 { format!("{:.0}%", task.percent_complete) } else { String::new() },
        humanize::duration(age),
        task.title.clone(),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_table_reads_well() {
        let mut table = table();
        for task in fixture::tasks() {
            add(&mut table, &task);
        }
        insta::assert_snapshot!("tasks_wide", table.render(None));
        insta::assert_snapshot!("tasks_narrow", table.render(Some(80)));
    }

    #[test]
    fn the_csv_has_every_fact_that_fits_into_a_cell() {
        let value = serde_json::to_value(&fixture::tasks()[0]).unwrap();
        let left_out: Vec<_> =
            value.as_object().unwrap().keys().map(String::as_str).filter(|name| !CSV.contains(name)).collect();
        assert_eq!(left_out, ["status_time", "subtasks", "timeline"]);
        assert!(CSV.iter().all(|name| value.get(name).is_some()));
        insta::assert_snapshot!("tasks_csv", csv_row(&value, CSV));
    }

    #[tokio::test]
    async fn json_is_one_array_whatever_there_is() {
        let (reader, _dir) = fixture::reader();
        let mut out = Vec::new();
        json(&reader, &TaskFilter::default(), &mut out).await.unwrap();
        let tasks: Vec<TaskView> = serde_json::from_slice(&out).unwrap();
        assert_eq!(tasks.len(), fixture::tasks().len());
        let mut out = Vec::new();
        let none = TaskFilter { source: Some("nowhere".into()), ..TaskFilter::default() };
        json(&reader, &none, &mut out).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), serde_json::json!([]));
    }
}
