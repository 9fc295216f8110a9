//! What a caller with a token reads: only its projects, and no word about others. Filters of queries see to most of it; here is what
//! they do not reach: names in errors, the children of a task, sources that are late, and ids that begin alike.

use std::collections::BTreeMap;

use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::query::{
    ChildView, Found, Freshness, InsightQuery, InsightSelector, InsightView, ListQuery, ProjectQuery, ProjectReport,
    ShowView, TaskFilter, TaskSelector,
};
use contextcore_core::{Error, ErrorKind, Result};

use crate::backend::{BudgetLeft, Reads, TaskPage};
use crate::caller::Caller;

/// How many children of a task are looked up.
const CHILDREN: usize = 50;

/// What a caller may read of what there is.
pub(crate) struct Scoped<'a> {
    pub(crate) all: &'a dyn Reads,
    pub(crate) caller: &'a Caller,
}

impl Scoped<'_> {
    fn sees_child(&self, child: &ChildView, source: &str) -> bool {
        let of = |project: &String| TaskSelector {
            key: child.id.clone(),
            source: Some(source.to_owned()),
            project: Some(project.clone()),
        };
        !self.caller.is_restricted()
            || self.caller.projects.iter().flatten().any(|project| self.all.task(&of(project)).is_ok())
    }

    /// Whether a source is known to feed a project in sight; `None` where nothing says what feeds them.
    fn feeds(&self, source: &str) -> Option<bool> {
        let named = self.caller.projects.iter().flatten();
        let configs: Vec<ProjectConfig> = named.filter_map(|project| self.all.project_config(project)).collect();
        let mut included = configs.iter().flat_map(|config| &config.include).peekable();
        included.peek()?;
        Some(included.any(|(name, _)| name == source))
    }
}

/// Whether an error says that a name is not known, and so which are.
fn names_others(error: &Error) -> bool {
    error.kind() == ErrorKind::Config && error.full().contains("there is no ")
}

impl Reads for Scoped<'_> {
    fn tasks(&self, query: &ListQuery<TaskFilter>) -> Result<TaskPage> {
        match self.all.tasks(query) {
            // A name that only others have finds nothing either.
            Err(error) if names_others(&error) => Ok(TaskPage::default()),
            page => page,
        }
    }

    fn sprint_names(&self) -> Result<BTreeMap<(String, String), String>> {
        self.all.sprint_names()
    }

    fn task(&self, selector: &TaskSelector) -> Result<ShowView> {
        let mut view = self.all.task(selector)?;
        let source = view.task.source.to_string();
        view.children.truncate(CHILDREN);
        view.children.retain(|child| self.sees_child(child, &source));
        Ok(view)
    }

    fn project(&self, query: &ProjectQuery) -> Result<ProjectReport> {
        self.all.project(query).map_err(|error| match &query.sprint {
            // The same words for a sprint of others and for none.
            Some(sprint) if error.kind() == ErrorKind::Config => {
                Error::new(ErrorKind::Config, format!("project `{}` has no sprint `{sprint}`", query.project))
            }
            None if names_others(&error) => {
                Error::new(ErrorKind::Config, format!("nothing is known yet of `{}`", query.project))
            }
            _ => error,
        })
    }

    fn projects(&self) -> Result<Vec<ProjectReport>> {
        let mut all = self.all.projects()?;
        all.retain(|project| self.caller.sees(&project.id));
        Ok(all)
    }

    fn freshness(&self) -> Result<Freshness> {
        let mut all = self.all.freshness()?;
        all.stale.retain_mut(|lag| {
            let feeds = self.feeds(&lag.source);
            if feeds.is_none() {
                lag.source = "a source".to_owned();
            }
            feeds.unwrap_or(true)
        });
        all.stale.dedup_by(|one, other| one.source == other.source);
        Ok(all)
    }

    fn insights(&self, query: &InsightQuery) -> Result<Found> {
        match self.all.insights(query) {
            Err(error) if names_others(&error) => Ok(Found { as_of: self.all.freshness()?.as_of, ..Found::default() }),
            found => found,
        }
    }

    fn insight(&self, selector: &InsightSelector) -> Result<InsightView> {
        match self.all.insight(selector) {
            // Several begin like that, in whatever project.
            Err(error) if error.kind() == ErrorKind::Config => self.insight_among(selector),
            found => found,
        }
    }

    fn relative(&self, path: &str) -> String {
        self.all.relative(path)
    }

    fn project_config(&self, project: &str) -> Option<ProjectConfig> {
        self.all.project_config(project)
    }

    fn budgets_left(&self, project: &str) -> Vec<BudgetLeft> {
        self.all.budgets_left(project)
    }

    fn guidance(&self, project: &str) -> Result<Vec<GuidanceItem>> {
        self.all.guidance(project)
    }
}

impl Scoped<'_> {
    /// The insight whose id begins like this in one of the caller's projects.
    fn insight_among(&self, selector: &InsightSelector) -> Result<InsightView> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no insight `{}`", selector.id));
        let mut found = Err(missing());
        for project in self.caller.projects.iter().flatten() {
            let of = InsightSelector { id: selector.id.clone(), project: Some(project.clone()) };
            match (self.all.insight(&of), &found) {
                (Ok(one), Err(_)) => found = Ok(one),
                (Err(error), _) if error.kind() == ErrorKind::NotFound => {}
                _ => {
                    let text = format!("several insights begin with `{}`: write more of it", selector.id);
                    return Err(Error::new(ErrorKind::Config, text));
                }
            }
        }
        found
    }
}
