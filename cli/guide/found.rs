//! Gathers guidance: from the configuration's projects, the repository around the working directory, the stores on this machine, and
//! what was said and is still in the spool. What is not there is left out.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;

use contextcore_core::clock;
use contextcore_core::config::{self, Config, nearest_known};
use contextcore_core::model::guidance::forge::ForgeGuidance;
use contextcore_core::model::guidance::stored::{AllGuidance, Reported};
use contextcore_core::model::guidance::{GuidanceItem, covering, in_force};
use contextcore_core::model::trailers;
use contextcore_core::query::{ListOptions, ListQuery, Repositories, TaskFilter, guidance};
use contextcore_core::repository::{Repository, as_meant};
use contextcore_spool::StateDir;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::Context;
use crate::args::Place;
use crate::failure::{Exit, Failure};
use crate::reader::Reader;
use crate::{lanes, project};

/// All guidance, ended or not.
pub(crate) struct Found {
    /// The lines, each as its source has it. Those that were ended are last.
    pub(crate) items: Vec<GuidanceItem>,
    /// The project that is meant, if one is.
    pub(crate) project: Option<String>,
    /// The projects that have guidance.
    known: BTreeSet<String>,
    stored: AllGuidance,
    repository: Option<Repository>,
    repositories: Repositories,
}

/// A line as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) item: GuidanceItem,
    /// Who ended it, when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Reported>,
}

impl Found {
    /// When a line was ended by somebody, if it was.
    pub(crate) fn end_of(&self, item: &GuidanceItem) -> Option<&Reported> {
        self.stored.0.get(&item.project)?.get(item.local_id())?.end_of(&item.source)
    }

    /// Paths as the repository has them; those outside stay as they are.
    pub(crate) fn relative(&self, paths: &[String]) -> Vec<String> {
        let inside = |path: &str| self.repository.as_ref()?.relative(Path::new(path));
        let meant = paths.iter().map(|path| as_meant(path));
        meant.map(|path| inside(&path).unwrap_or(path)).collect()
    }

    /// What a path of a list may be called in the repository: git prints most from its top, wherever it runs, and some from the working
    /// directory.
    pub(crate) fn either(&self, path: &str) -> Vec<String> {
        let Some(repository) = &self.repository else { return vec![path.to_owned()] };
        let from_top = repository.relative(&repository.root().join(path));
        let mut all: Vec<String> = from_top.into_iter().chain(repository.relative(Path::new(path))).collect();
        all.dedup();
        if all.is_empty() { vec![path.to_owned()] } else { all }
    }

    /// The same where paths are in a repository that is named.
    pub(crate) fn meaning(self, repository: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = repository else { return Ok(self) };
        let repositories = self.repositories.clone().meaning(name)?;
        Ok(Self { repositories, ..self })
    }

    /// Whether a line is about paths here.
    pub(crate) fn is_here(&self, item: &GuidanceItem) -> bool {
        self.repositories.holds(item)
    }

    /// What covers one of the paths; without paths, everything.
    pub(crate) fn covering(&self, paths: &[String]) -> Vec<GuidanceItem> {
        let items = self.items.iter().filter(|item| paths.is_empty() || self.is_here(item)).cloned();
        covering(items, paths).collect()
    }

    /// Lines to print: what holds, and with `all` what has ended behind it.
    pub(crate) fn lines(&self, items: Vec<GuidanceItem>, all: bool) -> Vec<Line> {
        let now = clock::now();
        let has_ended = |item: &GuidanceItem| item.has_ended(now) || self.end_of(item).is_some();
        let (ended, current): (Vec<_>, Vec<_>) = items.into_iter().partition(has_ended);
        let current = in_force(current, now).into_iter().map(|item| Line { item, ended: None });
        let ended = ended.into_iter().filter(|_| all);
        let ended = ended.map(|item| Line { ended: self.end_of(&item).cloned(), item });
        current.chain(ended).collect()
    }
}

/// Gathers it for the project that the arguments, the environment, the repository or the configuration names; without one, for all.
pub(crate) async fn gather(context: &Context, place: &Place) -> Result<Found, Failure> {
    let config = configuration(context)?;
    let repository = std::env::current_dir().ok().and_then(|here| Repository::around(&here));
    let project = project_of(place, config.as_ref(), repository.as_ref());
    let (stored, forges) = stored(config.as_ref(), place.state.as_deref()).await;
    let found = guidance(config.as_ref(), repository.as_ref(), (&stored, &forges), project.as_deref());
    found.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let wanted = |name: &str| project.as_deref().is_none_or(|project| project == name);
    let ended = stored.0.iter().filter(|(name, _)| wanted(name)).flat_map(|(name, all)| {
        let said = all.values().flat_map(move |known| known.said(name).into_iter().map(move |item| (known, item)));
        said.filter(|(known, item)| known.end_of(&item.source).is_some()).map(|(_, item)| item)
    });
    let items: Vec<GuidanceItem> = found.items.into_iter().chain(ended).collect();
    let mut known: BTreeSet<String> = stored.0.keys().map(ToString::to_string).collect();
    known.extend(items.iter().map(|item| item.project.clone()));
    Ok(Found { items, project, known, stored, repository, repositories: found.repositories })
}

/// Fails for a project of which nothing is known here. A slip of the pen must not look like "there is no guidance".
pub(crate) async fn check_project(context: &Context, place: &Place, found: &Found) -> Result<(), Failure> {
    let Some(typed) = place.project.as_deref().map(str::trim) else { return Ok(()) };
    let mut known = found.known.clone();
    known.extend(found.repository.as_ref().and_then(Repository::project));
    if let Ok(state) = lanes::state_dir(place.state.as_deref()) {
        known.extend(project::known(context, &state));
    }
    let config = configuration(context)?;
    known.extend(config.iter().flat_map(|config| &config.sources).flat_map(|source| source.projects.iter().cloned()));
    known.retain(|name| !name.trim().is_empty());
    if known.contains(typed) {
        return Ok(());
    }
    match of_tasks(config, typed).await? {
        Held::Some => Ok(()),
        Held::Unknown if known.is_empty() => Ok(()),
        Held::None(failure) if known.is_empty() => Err(failure),
        _ => Err(unknown(typed, &known)),
    }
}

/// What the store says of a project.
enum Held {
    /// It has tasks of it.
    Some,
    /// It has none, and knows other projects.
    None(Failure),
    /// There is no store, or nothing in it.
    Unknown,
}

async fn of_tasks(config: Option<Config>, project: &str) -> Result<Held, Failure> {
    let Some(config) = config else { return Ok(Held::Unknown) };
    let Some(reader) = Reader::open_if_any(config).await? else { return Ok(Held::Unknown) };
    let filter = TaskFilter { project: Some(project.to_owned()), ..TaskFilter::default() };
    let options = ListOptions { limit: NonZeroUsize::new(1), ..ListOptions::default() };
    let mut held = Held::Unknown;
    let visit = &mut |_: &RawValue| {
        held = Held::Some;
        Ok(())
    };
    let listed = reader.list(&ListQuery { filter, options }, visit).await;
    match listed {
        Ok(_) => Ok(held),
        Err(failure) if failure.exit == Exit::Usage => Ok(Held::None(failure)),
        Err(failure) => Err(failure),
    }
}

fn unknown(typed: &str, known: &BTreeSet<String>) -> Failure {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = nearest_known(typed, &known).map(|near| format!("did you mean `{near}`?"));
    let hint = hint.unwrap_or_else(|| format!("known: {}", known.join(", ")));
    Failure::usage(format!("there is no project `{typed}`; {hint}"))
}

/// The configuration. Nobody needs one for guidance, but one that is named or here must be right.
pub(crate) fn configuration(context: &Context) -> Result<Option<Config>, Failure> {
    match config::locate(context.global.config.as_deref()) {
        Ok(_) => context.config().map(Some),
        Err(_) => Ok(None),
    }
}

/// The project that is meant.
pub(crate) fn project_of(place: &Place, config: Option<&Config>, repository: Option<&Repository>) -> Option<String> {
    let named = place.project.clone().or_else(|| lanes::variable("CONTEXTCORE_PROJECT"));
    let named = named.or_else(|| repository.and_then(Repository::project));
    named.or_else(|| of_remote(config?, repository?)).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The project that has the repository, by the address of its `origin`.
fn of_remote(config: &Config, repository: &Repository) -> Option<String> {
    if config.projects.iter().all(|project| project.repositories.is_empty()) {
        return None;
    }
    let url = repository.git(&["config", "--get", "remote.origin.url"])?;
    let name = trailers::repository_of_remote(url.trim())?;
    let has = |known: &&String| known.eq_ignore_ascii_case(&name);
    let mut found = config.projects.iter().filter(|project| project.repositories.iter().any(|known| has(&known)));
    found.next().filter(|_| found.next().is_none()).map(|project| project.id.clone())
}

/// What the stores and the spools on this machine hold. Guidance of people at other places must not wait for one that is broken.
/// The spools come first: a helper stores a line before it removes it, so that it is found in one of the two.
async fn stored(config: Option<&Config>, state: Option<&Path>) -> (AllGuidance, Vec<ForgeGuidance>) {
    let state = lanes::state_dir(state).ok();
    let (mut all, mut forges) = (state.as_ref().map(of_spools).unwrap_or_default(), Vec::new());
    if let Some(config) = config {
        let (reported, files) = of_store(config.clone()).await;
        all.merge(reported);
        forges = files;
    }
    for lane in state.and_then(|state| state.lanes().ok()).unwrap_or_default() {
        if let Ok(config) = lane_config(&lane.engine()) {
            // Whoever has a shell can write there.
            all.merge(of_store(config).await.0.unproven());
        }
    }
    (all, forges)
}

/// What was said and may not be stored yet.
pub(crate) fn of_spools(state: &StateDir) -> AllGuidance {
    let mut all = AllGuidance::default();
    if let Err(error) = contextcore_spool::add_guidance(state, &mut all) {
        tracing::warn!(%error, "could not read the spool");
    }
    all
}

/// A configuration that only has the store of a lane.
fn lane_config(store: &Path) -> Result<Config, Failure> {
    let text = serde_json::json!({"store": {"path": store}}).to_string();
    Ok(config::parse(&text, "the lane", &[])?)
}

async fn of_store(config: Config) -> (AllGuidance, Vec<ForgeGuidance>) {
    let place = config.store.path().map_or_else(|| "PostgreSQL".to_owned(), |path| path.display().to_string());
    let read = async {
        let Some(reader) = Reader::open_if_any(config).await? else { return Ok(<_>::default()) };
        Ok((reader.guidance().await?, reader.guidance_files().await?))
    };
    read.await.unwrap_or_else(|failure: Failure| {
        tracing::warn!(store = %place, "guidance of this store is left out: {}", failure.lines.join("; "));
        <_>::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn a_project_is_looked_for_among_the_tasks() {
        let (store, mut config, dir) = fixture::world();
        drop(store);
        config.store =
            config::parse(&serde_json::json!({"store": {"path": dir.path()}}).to_string(), "x", &[]).unwrap().store;
        let ask = async |project| of_tasks(Some(config.clone()), project).await.unwrap();
        assert!(matches!(ask("PROJ").await, Held::Some));
        assert!(matches!(ask("PROG").await, Held::None(_)));
        assert!(matches!(of_tasks(None, "PROJ").await.unwrap(), Held::Unknown));
    }

    #[test]
    fn an_unknown_project_gives_the_nearest() {
        let known: BTreeSet<String> = ["shop", "blog"].map(str::to_owned).into();
        assert_eq!(unknown("shpo", &known).lines, ["there is no project `shpo`; did you mean `shop`?"]);
        assert_eq!(unknown("zzzz", &known).exit, Exit::Usage);
    }
}
