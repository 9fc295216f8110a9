//! What a server of this protocol reads from and writes to. The binary answers it with the queries of its own commands.

use std::collections::BTreeMap;

use contextcore_core::export::calls::Call;
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::model::operation::Operation;
use contextcore_core::query::{
    Found, Freshness, InsightQuery, InsightSelector, InsightView, ListQuery, ProjectQuery, ProjectReport, ShowView,
    TaskFilter, TaskSelector, TaskView,
};
use contextcore_core::{Millis, Result};

/// A page of tasks.
#[derive(Debug, Clone, Default)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// The cursor of the next page; absent at the end.
    pub next: Option<String>,
    /// How many match, on whatever page.
    pub total: usize,
}

/// Access to what is stored, and the way to report.
pub trait Backend: Send + Sync + 'static {
    /// Opens what is stored for the questions of one call. May block.
    ///
    /// # Errors
    /// When there is nothing to read, or it cannot be read.
    fn open(&self) -> Result<Box<dyn Reads + '_>>;

    /// Writes an operation of a project, durably, and sees to it that it is taken in. May block.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, project: &str, operation: Operation, by: &str) -> Result<Written>;

    /// The keys of tasks that the history of these paths names, the latest first; `None` where no history is at hand. May block.
    fn tasks_near(&self, paths: &[String]) -> Option<Vec<String>>;

    /// Changes what is remembered of an agent between processes: `change` gets what there is, and gives what there shall be. One that
    /// remembers nothing gives `None`. May block.
    ///
    /// # Errors
    /// When it cannot be read or written.
    fn remember(&self, agent: &str, change: &mut dyn FnMut(Option<String>) -> String) -> Result<()> {
        let _ = agent;
        change(None);
        Ok(())
    }

    /// The key that forms are sealed with: the same for all servers of one store. `None` where a form can only come back to the server
    /// that sent it. May block.
    ///
    /// # Errors
    /// When it cannot be read or written.
    fn form_key(&self) -> Result<Option<[u8; 32]>> {
        Ok(None)
    }

    /// Notes that the form of a question came back, which ends at `until`. False when it did before, to whatever server. May block.
    ///
    /// # Errors
    /// When it cannot be written.
    fn use_form(&self, id: &str, until: Millis) -> Result<bool> {
        let _ = (id, until);
        Ok(true)
    }

    /// A call has ended.
    fn called(&self, call: Call) {
        drop(call);
    }

    /// Counts that these insights were given to an agent. May block; what cannot be counted is not.
    fn served(&self, _ids: Vec<String>, _agent: &str) {}

    /// The time.
    fn now(&self) -> Millis;
}

/// What became of an operation that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Whether what is stored shows it already.
    pub is_visible: bool,
}

/// How much is left of an error budget.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetLeft {
    /// The namespace of the service in Kubernetes.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The name of the objective.
    pub slo: String,
    /// The part that is left: 1 is all of it, and less than 0 more than there was.
    pub left: f64,
}

/// The questions that tools ask. Each is answered as the command of its name is.
pub trait Reads {
    /// A page of tasks.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::each_json`].
    fn tasks(&self, query: &ListQuery<TaskFilter>) -> Result<TaskPage>;

    /// The names of sprints by source and native id: people and agents read names.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::each_json`].
    fn sprint_names(&self) -> Result<BTreeMap<(String, String), String>>;

    /// One task with its neighbourhood.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::show`].
    fn task(&self, selector: &TaskSelector) -> Result<ShowView>;

    /// Whether tasks of a source are made of what is reported, so that they show it. Those of a tool have it as work on them.
    fn is_reported(&self, _source: &str) -> bool {
        true
    }

    /// One project in numbers.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::project`].
    fn project(&self, query: &ProjectQuery) -> Result<ProjectReport>;

    /// How many tasks of a project are in stores whose numbers are not in [`Self::project`]: what agents reported into that of a helper.
    fn reported_beside(&self, _project: &str) -> usize {
        0
    }

    /// Every project in numbers.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::projects`].
    fn projects(&self) -> Result<Vec<ProjectReport>>;

    /// How old the data is.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::freshness`].
    fn freshness(&self) -> Result<Freshness>;

    /// The insights that fit a question.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::find_insights`].
    fn insights(&self, query: &InsightQuery) -> Result<Found>;

    /// One insight with its history.
    ///
    /// # Errors
    /// As [`contextcore_core::query::Viewer::insight`].
    fn insight(&self, selector: &InsightSelector) -> Result<InsightView>;

    /// A path as insights and guidance have it: from the root of its repository, where one is at hand.
    fn relative(&self, path: &str) -> String;

    /// What is said about a project and its services, if anything is.
    fn project_config(&self, project: &str) -> Option<ProjectConfig>;

    /// How much is left of the error budgets of a project's objectives, where somebody measures them.
    fn budgets_left(&self, project: &str) -> Vec<BudgetLeft>;

    /// The guidance for agents in a project, from every source, in no order.
    ///
    /// # Errors
    /// When a source of it cannot be read.
    fn guidance(&self, project: &str) -> Result<Vec<GuidanceItem>>;

    /// The paths of the call are in this repository, such as `acme/shop`, and not in that of the working directory.
    fn mean_repository(&mut self, _name: &str) {}
}
