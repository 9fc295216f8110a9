//! What tools read: the store of the configuration and those of the helpers on this machine, each directly or through the process
//! that holds it. A question about a project, a task or an insight goes to the store that knows it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use contextcore_core::config::{self, Config};
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::model::guidance::GuidanceItem;
use contextcore_core::query::{
    self, Cursor, Found, Freshness, InsightQuery, InsightSelector, InsightView, ListOptions, ListQuery, ProjectQuery,
    ProjectReport, ShowView, TaskFilter, TaskSelector, TaskView,
};
use contextcore_core::repository::{Repository, as_meant};
use contextcore_core::store::Copies;
use contextcore_core::{Error, ErrorKind, clock};
use contextcore_mcp::backend::TaskPage;
use contextcore_mcp::{BudgetLeft, Reads};
use contextcore_spool::StateDir;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::{error_of, prometheus};
use crate::app;
use crate::failure::Failure;
use crate::guide::found::of_spools;
use crate::list;
use crate::reader::Reader;

/// What the number of a store stands between in a cursor; no cursor of a store has it.
const STORE: char = '.';

/// The stores of this machine.
pub(crate) struct Stores {
    readers: Vec<Reader>,
    /// Whether the first is that of the configuration. The others are of helpers, and whoever has a shell can write there.
    has_configured: bool,
    config: Option<Config>,
    state: StateDir,
}

impl Stores {
    /// Opens the store of the configuration, and that of each lane. A store that is not there yet holds nothing.
    pub(super) async fn open(config: Option<Config>, state: &StateDir, copies: &Copies) -> Result<Self, Error> {
        let mut readers = Vec::new();
        // A source of kind `sdk` takes the lanes over: what they held is in the store then.
        let takes_lanes =
            config.as_ref().is_some_and(|config| config.sources.iter().any(|source| source.kind == "sdk"));
        if let Some(config) = config.clone() {
            readers.extend(Reader::open_kept(config, copies).await?);
        }
        let has_configured = !readers.is_empty();
        let failed = |error| Error::new(ErrorKind::Store, format!("read {}", state.path().display())).caused_by(error);
        let lanes = if takes_lanes { Vec::new() } else { state.lanes().map_err(failed)? };
        for lane in lanes {
            let text = json!({"store": {"path": lane.engine()}}).to_string();
            let config = config::parse(&text, "the lane", &app::kinds());
            let config = config.map_err(|errors| error_of(Failure::from(errors)))?;
            readers.extend(Reader::open_kept(config, copies).await?);
        }
        Ok(Self { readers, has_configured, config, state: state.clone() })
    }

    /// The store that this reads, of a process whose configuration this is.
    pub(crate) fn of(reader: Reader, config: Config, state: StateDir) -> Self {
        Self { readers: vec![reader], has_configured: true, config: Some(config), state }
    }

    /// The same for code that blocks.
    pub(crate) fn on(self, runtime: &Handle, repository: Option<Repository>) -> Blocking {
        Blocking { stores: self, runtime: runtime.clone(), repository, meant: None }
    }

    /// The first answer of a store that knows what is asked for.
    async fn first<T>(&self, ask: impl AsyncFn(&Reader) -> Result<T, Error>) -> Result<T, Error> {
        let mut unknown = None;
        for reader in &self.readers {
            match ask(reader).await {
                // The first refusal is of the store that most is in, and names what is near.
                Err(error) if is_unknown(&error) => drop(unknown.get_or_insert(error)),
                answer => return answer,
            }
        }
        Err(unknown.unwrap_or_else(nothing))
    }

    /// A page of the tasks of every store, those of the configuration's first: what agents report into the store of a helper is listed after
    /// them.
    async fn tasks(&self, query: &ListQuery<TaskFilter>) -> Result<TaskPage, Error> {
        let (mut all, mut unknown, mut is_known) = (TaskPage::default(), None, false);
        let (begin, mut cursor) = split(query.options.cursor.as_ref());
        let limit = query.options.limit;
        for (number, reader) in self.readers.iter().enumerate() {
            let left = limit.map(|limit| limit.get() - all.tasks.len().min(limit.get()));
            // Of a store before the cursor, or after a full page, only the number counts.
            let counts_only = number < begin || all.next.is_some() || left == Some(0);
            let options = ListOptions {
                limit: if counts_only { NonZeroUsize::new(1) } else { left.and_then(NonZeroUsize::new) },
                cursor: if number == begin { cursor.take() } else { None },
                ..query.options.clone()
            };
            match page(reader, &ListQuery { filter: query.filter.clone(), options }).await {
                Ok(found) => {
                    is_known = true;
                    all.total += found.total;
                    if counts_only {
                        let is_next = number > begin && all.next.is_none() && found.total > 0;
                        all.next = if is_next { Some(joined(number, "")) } else { all.next };
                    } else {
                        all.tasks.extend(found.tasks);
                        all.next = found.next.map(|next| joined(number, &next));
                    }
                }
                // The first refusal is of the store that most is in, and names what is near.
                Err(error) if is_unknown(&error) => drop(unknown.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        if is_known { Ok(all) } else { Err(unknown.unwrap_or_else(nothing)) }
    }
}

/// A cursor and the number of the store that it is of.
fn split(cursor: Option<&Cursor>) -> (usize, Option<Cursor>) {
    let Some(text) = cursor.map(ToString::to_string) else { return (0, None) };
    let of_store = text.strip_prefix(STORE).and_then(|rest| rest.split_once(STORE));
    match of_store.and_then(|(number, rest)| Some((number.parse().ok()?, rest))) {
        Some((number, "")) => (number, None),
        Some((number, rest)) => (number, Some(Cursor::from(rest.to_owned()))),
        None => (0, Some(Cursor::from(text))),
    }
}

/// The cursor of a store as one of all stores.
fn joined(number: usize, cursor: &str) -> String {
    if number == 0 { cursor.to_owned() } else { format!("{STORE}{number}{STORE}{cursor}") }
}

fn nothing() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "nothing is stored yet: `contextcore sync` reads the tools, and `report_task` reports work",
    )
}

/// Whether another store may hold what this one does not.
fn is_unknown(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Config)
}

async fn page(reader: &Reader, query: &ListQuery<TaskFilter>) -> Result<TaskPage, Error> {
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut visit = |item: &RawValue| {
        tasks.push(serde_json::from_str(item.get())?);
        Ok(())
    };
    let end = reader.page(query, &mut visit).await.map_err(error_of)?;
    Ok(TaskPage { tasks, next: end.next.map(|next| next.to_string()), total: end.total })
}

/// The stores, for code that blocks.
pub(crate) struct Blocking {
    stores: Stores,
    runtime: Handle,
    /// The repository around the working directory, of a client on this machine.
    repository: Option<Repository>,
    /// The repository that a call names.
    meant: Option<String>,
}

impl Reads for Blocking {
    fn is_reported(&self, source: &str) -> bool {
        let mut sources = self.stores.config.iter().flat_map(|config| &config.sources);
        let known = sources.find(|known| known.name == source);
        known.is_none_or(|source| source.kind == "sdk")
    }

    fn tasks(&self, query: &ListQuery<TaskFilter>) -> Result<TaskPage, Error> {
        self.runtime.block_on(self.stores.tasks(query))
    }

    fn sprint_names(&self) -> Result<BTreeMap<(String, String), String>, Error> {
        let mut all = BTreeMap::new();
        for reader in &self.stores.readers {
            all.extend(self.runtime.block_on(list::sprint_names(reader)).map_err(error_of)?);
        }
        Ok(all)
    }

    fn task(&self, selector: &TaskSelector) -> Result<ShowView, Error> {
        let ask = async |reader: &Reader| reader.view("show", selector, |viewer| viewer.show(selector)).await;
        let found = self.runtime.block_on(self.stores.first(ask));
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no task `{}`", selector.key));
        found.map_err(|error| if error.kind() == ErrorKind::NotFound { missing() } else { error })
    }

    fn project(&self, query: &ProjectQuery) -> Result<ProjectReport, Error> {
        let ask = async |reader: &Reader| reader.view("project", query, |viewer| viewer.project(query)).await;
        self.runtime.block_on(self.stores.first(ask))
    }

    fn reported_beside(&self, project: &str) -> usize {
        let filter = TaskFilter { project: Some(project.to_owned()), ..TaskFilter::default() };
        let options = ListOptions { limit: NonZeroUsize::new(1), ..ListOptions::default() };
        let query = ListQuery { filter, options };
        let totals = self.stores.readers.iter().filter_map(|reader| self.runtime.block_on(page(reader, &query)).ok());
        // The first store that has some is the one whose numbers are shown.
        totals.map(|page| page.total).filter(|total| *total > 0).skip(1).sum()
    }

    fn projects(&self) -> Result<Vec<ProjectReport>, Error> {
        let mut all: Vec<ProjectReport> = Vec::new();
        for reader in &self.stores.readers {
            let some = self.runtime.block_on(reader.view("projects", &(), |viewer| viewer.projects()))?;
            all.extend(
                some.into_iter().filter(|project| all.iter().all(|known| known.id != project.id)).collect::<Vec<_>>(),
            );
        }
        Ok(all)
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        let mut all = Freshness { as_of: clock::now(), stale: Vec::new() };
        for (place, reader) in self.stores.readers.iter().enumerate() {
            let fresh = self.runtime.block_on(reader.view("freshness", &(), |viewer| viewer.freshness()))?;
            // The store of the configuration comes first; helpers have no source that could be late.
            if place == 0 && self.stores.config.is_some() {
                all = fresh;
            }
        }
        Ok(all)
    }

    fn insights(&self, query: &InsightQuery) -> Result<Found, Error> {
        let (mut all, mut unknown): (Option<Found>, Option<Error>) = (None, None);
        for reader in &self.stores.readers {
            match self.runtime.block_on(reader.insights(query)) {
                Ok(found) => all = Some(all.map_or(found.clone(), |all| all.and(found, query.limit))),
                Err(error) if is_unknown(&error) => drop(unknown.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        match (all, unknown) {
            (Some(found), _) => Ok(found),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Found { as_of: clock::now(), ..Found::default() }),
        }
    }

    fn insight(&self, selector: &InsightSelector) -> Result<InsightView, Error> {
        let found = self.runtime.block_on(self.stores.first(async |reader| reader.insight(selector).await));
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no insight `{}`", selector.id));
        found.map_err(|error| if error.kind() == ErrorKind::NotFound { missing() } else { error })
    }

    fn relative(&self, path: &str) -> String {
        let path = as_meant(path);
        let inside = self.repository.as_ref().and_then(|repository| repository.relative(Path::new(&path)));
        inside.unwrap_or(path)
    }

    fn project_config(&self, project: &str) -> Option<ProjectConfig> {
        let config = self.stores.config.as_ref()?;
        config.projects.iter().find(|known| known.id.eq_ignore_ascii_case(project)).cloned()
    }

    fn budgets_left(&self, project: &str) -> Vec<BudgetLeft> {
        let asked = self.stores.config.as_ref().and_then(|config| config.prometheus.as_ref());
        asked.map(|asked| self.runtime.block_on(prometheus::budgets_left(asked, project))).unwrap_or_default()
    }

    fn guidance(&self, project: &str) -> Result<Vec<GuidanceItem>, Error> {
        // The spools come first: a helper stores a line before it removes it, so that it is found in one of the two.
        let (mut stored, mut forges) = (of_spools(&self.stores.state), Vec::new());
        for (number, reader) in self.stores.readers.iter().enumerate() {
            let theirs = self.runtime.block_on(reader.guidance()).map_err(error_of)?;
            let is_configured = number == 0 && self.stores.has_configured;
            stored.merge(if is_configured { theirs } else { theirs.unproven() });
            if is_configured {
                forges = self.runtime.block_on(reader.guidance_files()).map_err(error_of)?;
            }
        }
        let repository = self.repository.as_ref();
        let known = self.project_config(project).map_or_else(|| project.to_owned(), |known| known.id);
        let found = query::guidance(self.stores.config.as_ref(), repository, (&stored, &forges), Some(&known));
        found.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let mut here = found.repositories;
        if let Some(name) = &self.meant {
            here = here.meaning(name)?;
        }
        Ok(found.items.into_iter().filter(|item| here.holds(item)).collect())
    }

    fn mean_repository(&mut self, name: &str) {
        self.meant = Some(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_knows_its_store() {
        let round = |number, text: &str| {
            let (found, cursor) = split(Some(&Cursor::from(joined(number, text))));
            (found, cursor.map(|cursor| cursor.to_string()))
        };
        assert_eq!(round(0, "WyJ0YXNr"), (0, Some("WyJ0YXNr".to_owned())));
        assert_eq!(round(2, "WyJ0YXNr"), (2, Some("WyJ0YXNr".to_owned())));
        assert_eq!(round(1, ""), (1, None));
        assert_eq!(split(None), (0, None));
    }
}
