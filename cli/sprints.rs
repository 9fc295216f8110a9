//! `contextcore sprints`: sprints with their numbers, as a table, JSON or CSV.

use std::io::{self, BufWriter, Write};

use contextcore_core::model::SprintState;
use contextcore_core::query::{SprintFilter, SprintView};

use crate::app::Context;
use crate::args::Output;
use crate::failure::{Exit, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table, csv_record};
use crate::tasks::csv_row;
use crate::{humanize, terminal};

/// The columns of the CSV: all of the contract but the burndown.
const CSV: &[&str] = &[
    "source",
    "native_id",
    "id",
    "name",
    "goal",
    "project",
    "project_id",
    "state",
    "start",
    "end",
    "completed",
    "committed",
    "added",
    "removed",
    "reestimated",
    "scope",
    "completed_points",
    "carried_over",
    "remaining",
    "committed_tasks",
    "added_tasks",
    "removed_tasks",
    "completed_tasks",
    "carried_over_tasks",
    "exact",
];

pub(crate) async fn run(context: &Context, filter: &SprintFilter) -> Outcome {
    let sprints = Reader::open(context.config()?).await?.sprints(filter).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    match context.global.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &sprints)?;
            out.write_all(b"\n")?;
        }
        Output::Csv => {
            out.write_all(csv_record(CSV.iter().copied()).as_bytes())?;
            for sprint in &sprints {
                out.write_all(csv_row(&serde_json::to_value(sprint)?, CSV).as_bytes())?;
            }
        }
        Output::Table if sprints.is_empty() => {
            eprintln!("no sprint fits; `contextcore status` shows what the store holds");
        }
        Output::Table => out.write_all(table(&sprints).render(terminal::width()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn table(sprints: &[SprintView]) -> Table {
    let mut table = Table::new(&[
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
    ]);
    for sprint in sprints {
        add(&mut table, sprint);
    }
    table
}

/// Adds the row of a sprint. One to come has no numbers yet; one that is not exact is marked.
fn add(table: &mut Table, sprint: &SprintView) {
    let number = |points: f64| match sprint.state {
        SprintState::Future => String::new(),
        _ => humanize::points(points),
    };
    let tasks = match sprint.state {
        SprintState::Future => String::new(),
        _ => {
            let all = sprint.committed_tasks + sprint.added_tasks - sprint.removed_tasks;
            format!("{}/{all}", sprint.completed_tasks)
        }
    };
    let about = if sprint.exact { "" } else { " (from what we saw)" };
    table.row([
        sprint.id.clone(),
        format!("{}{about}", sprint.name),
        sprint.project_id.clone().unwrap_or_default(),
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
        tasks,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn the_table_reads_well_and_the_csv_has_all_but_the_burndown() {
        let (reader, _dir) = fixture::reader();
        let sprints = reader.sprints(&SprintFilter::default()).await.unwrap();
        insta::assert_snapshot!("sprints", table(&sprints).render(None));
        let value = serde_json::to_value(&sprints[0]).unwrap();
        let left_out: Vec<_> = value.as_object().unwrap().keys().filter(|name| !CSV.contains(&name.as_str())).collect();
        assert_eq!(left_out, ["burndown"]);
        assert!(CSV.iter().all(|name| value.get(name).is_some()));
    }
}
