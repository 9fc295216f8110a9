//! The arguments of the commands that read: lists of tasks and sprints, one task, the state of all.

use std::num::NonZeroUsize;

use clap::Args;
use clap::builder::PossibleValuesParser;
use contextcore_core::model::{SprintState, TaskType};
use contextcore_core::query::{Cursor, Fields, List, ListOptions, ListQuery, SprintFilter, StatusFilter, TaskFilter};

/// Which page of a list.
#[derive(Debug, Args)]
struct Page {
    /// Print at most this many; stderr then has the cursor of the next page
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Continue where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Page {
    fn options(self, fields: Vec<String>) -> ListOptions {
        let fields = (!fields.is_empty()).then(|| Fields::new(fields));
        ListOptions { limit: self.limit, cursor: self.cursor.map(Cursor::from), fields }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// In this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// In this status, or `open`: backlog, todo, in_progress, in_review, blocked, done, cancelled
    #[arg(long, value_name = "STATUS")]
    status: Option<StatusFilter>,
    /// Of this type: epic, story, task, subtask, bug, spike, incident
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<TaskType>,
    /// In this sprint (id or name)
    #[arg(long, value_name = "SPRINT")]
    sprint: Option<String>,
    /// Assigned to this person
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// From this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    page: Page,
    /// Print only these fields, in this order, e.g. id,status,title: the names are those of the JSON output
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(TaskFilter::fields()))]
    fields: Vec<String>,
}

impl Tasks {
    pub(crate) fn query(self) -> ListQuery<TaskFilter> {
        let Self { project, status, task_type, sprint, assignee, source, page, fields } = self;
        ListQuery {
            filter: TaskFilter { project, status, task_type, sprint, assignee, source, ..TaskFilter::default() },
            options: page.options(fields),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Sprints {
    /// In this project: one of the portfolio, or the tool's own
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// In this state: future, active, closed
    #[arg(long, alias = "status", value_name = "STATE")]
    state: Option<SprintState>,
    /// This one (id or name)
    #[arg(long, value_name = "SPRINT")]
    sprint: Option<String>,
    /// From this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    page: Page,
    /// Print only these fields, in this order, e.g. id,name,state: the names are those of the JSON output
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(SprintFilter::fields()))]
    fields: Vec<String>,
}

impl Sprints {
    pub(crate) fn query(self) -> ListQuery<SprintFilter> {
        let Self { project, state, sprint, source, page, fields } = self;
        ListQuery { filter: SprintFilter { project, state, sprint, source }, options: page.options(fields) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The key people use (PROJ-123), or the tool's own id
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// From this source, when several have this key
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Of this project, when several have this key
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Exit with 3 when a source has a problem, or 4 when only a backend has
    #[arg(long)]
    pub(crate) exit_code: bool,
}
