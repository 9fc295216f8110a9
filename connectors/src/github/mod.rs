//! The GitHub connector: Projects v2, issues and what people do in repositories, on github.com and Enterprise Server.
//!
//! [`GitHub`] is the [`Connector`]. The rest is by concern: [`settings`] (what the configuration says), [`queries`] (the
//! documents, checked against GitHub's schema), [`api`] (the calls) with [`dialect`] (limits and refusals) and [`app`]
//! (tokens of an App), [`mod@reference`] (what the projects are like), [`items`] with [`fingerprints`], [`repositories`], [`sprints`],
//! [`activity`] and [`ids`] (the streams), [`wire`] (the shapes of records), and [`normalise`] with [`mapping`] (what they mean).

mod activity;
mod api;
mod app;
mod check;
mod dialect;
mod fingerprints;
mod ids;
mod items;
mod mapping;
mod normalise;
mod queries;
mod reference;
mod repositories;
mod settings;
mod sprints;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use contextcore_core::config::{Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{CheckReport, Connector, Cursor, Page, RawRecord, Registration, Run, Stream};
use contextcore_core::model::observation::Observation;
use contextcore_core::model::time::SECOND;
use contextcore_core::{Error, ErrorKind, Result};
use tracing::warn;

use api::Api;
use fingerprints::Short;
use reference::{Project, ProjectAnswer, Reference};
use settings::{ProjectName, RepositoryName, Settings};
use wire::RepositoryActivity;

/// GitHub's line in the registry.
pub(crate) const REGISTRATION: Registration =
    Registration { kind: "github", about: "GitHub Projects, issues and pull requests", build };

/// Iterations of our projects.
const SPRINTS: &str = "sprints";
/// Changed items of our projects with their histories.
const ITEMS: &str = "items";
/// Changed issues of our repositories that are in no project of ours.
const REPOSITORIES: &str = "repositories";
/// What people did in our repositories.
const ACTIVITY: &str = "activity";
/// All there is.
const IDS: &str = "ids";
/// Records (of the `items` stream) of drafts that became issues; their id says it all.
const CONVERTED: &str = "converted";

/// GitHub tells whole seconds: what changed as lately as this may change again and not look different, so it is read again.
const MOMENT: i64 = 2 * SECOND;

/// `items` comes before `repositories`: it learns which issues are in our projects.
const STREAMS: &[Stream] = &[
    Stream { name: SPRINTS, complete: false },
    Stream { name: ITEMS, complete: false },
    Stream { name: REPOSITORIES, complete: false },
    Stream { name: ACTIVITY, complete: false },
    Stream { name: IDS, complete: true },
];

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    Ok(Box::new(GitHub::new(Settings::new(config, privacy)?)?))
}

/// A GitHub source.
struct GitHub {
    settings: Settings,
    api: Api,
    /// What the last `begin` found.
    live: RwLock<Option<Arc<Live>>>,
    /// What the items of our projects wrap, once a sweep has come to its end.
    members: Mutex<Option<Arc<Members>>>,
    /// Issues that the sweep met until now.
    issues: Mutex<Issues>,
}

/// What the items of our projects wrap.
#[derive(Debug, Default)]
struct Members {
    all: BTreeSet<Short>,
    /// The issues among them that this process met, for those whose repository is configured.
    issues: Issues,
    /// How many tasks GitHub counts in our projects.
    tasks: Option<u64>,
}

impl Members {
    fn has(&self, id: &str) -> bool {
        self.all.contains(&Short::of(&[id]))
    }
}

/// Ids of issues by the name of their repository, as the configuration writes it.
type Issues = BTreeMap<String, BTreeSet<Box<str>>>;

/// What a run knows of GitHub.
#[derive(Debug)]
struct Live {
    reference: Reference,
    repositories: Vec<Repository>,
    /// What a person should know of what was not found.
    warnings: Vec<String>,
}

impl Live {
    /// Projects and repositories that were read once and are out of sight.
    fn lost(&self) -> Vec<String> {
        let projects = self.reference.lost.iter().map(|project| project.name.to_string());
        let is_here = |name: &String| self.repositories.iter().any(|repository| repository.name.to_string() == *name);
        let repositories = self.reference.repositories.iter().filter(|name| !is_here(name)).cloned();
        projects.chain(repositories).collect()
    }
}

/// A configured repository.
#[derive(Debug, Clone)]
struct Repository {
    name: RepositoryName,
    activity: RepositoryActivity,
}

impl GitHub {
    fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            api: Api::new(&settings)?,
            settings,
            live: RwLock::default(),
            members: Mutex::default(),
            issues: Mutex::default(),
        })
    }

    fn live(&self) -> Result<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        live.ok_or_else(|| Error::new(ErrorKind::Internal, "use GitHub before a run has begun"))
    }

    /// Notes issues that the sweep met, each with the name of its repository.
    fn note_issues(&self, live: &Live, met: Vec<(Box<str>, Box<str>)>) {
        let mut issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, name) in met {
            let names = live.repositories.iter().map(|repository| repository.name.to_string());
            if let Some(name) = names.into_iter().find(|ours| ours.eq_ignore_ascii_case(&name)) {
                issues.entry(name).or_default().insert(id);
            }
        }
    }

    /// Notes what the items wrap: the sweep came to its end.
    fn note_members(&self, all: BTreeSet<Short>, tasks: Option<u64>) {
        let issues = std::mem::take(&mut *self.issues.lock().unwrap_or_else(PoisonError::into_inner));
        let members = Members { all, issues, tasks };
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(members));
    }

    /// What the items of our projects wrap.
    fn members(&self, live: &Live) -> Result<Arc<Members>> {
        if live.reference.projects.is_empty() && live.reference.lost.is_empty() {
            return Ok(Arc::new(Members { tasks: Some(0), ..Members::default() }));
        }
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        members.ok_or_else(|| Error::new(ErrorKind::Internal, "poll repositories before the items of projects"))
    }

    /// Opens a run with what was kept of the last one.
    async fn open(&self, kept: Reference, run: &Run) -> Result<Arc<Live>> {
        self.api.set_now(run.now);
        let mut reference = match kept.reduced {
            Some(reduced) => {
                self.api.set_reduced(reduced || self.api.is_reduced());
                kept
            }
            None => Reference { login: self.api.start().await?.login, ..kept },
        };
        let fresh = reference.reduced.is_none();
        reference.reduced = Some(self.api.is_reduced());
        let mut warnings = Vec::new();
        self.projects(&mut reference, fresh, &mut warnings).await?;
        let repositories = self.repositories(&mut warnings).await?;
        let found = repositories.iter().map(|repository| repository.name.to_string());
        reference.repositories.extend(found);
        if reference.projects.is_empty() && repositories.is_empty() {
            let text = "nothing of what is configured exists for this token: correct `projects` and `repositories`, or give \
                        the token access";
            return Err(Error::new(ErrorKind::NotFound, text).with("missing", warnings.join("; ")));
        }
        let live = Arc::new(Live { reference, repositories, warnings });
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
        Ok(live)
    }

    /// Brings the projects up to date: those known in one request, which proves the credential as well, the others by name.
    async fn projects(&self, reference: &mut Reference, fresh: bool, warnings: &mut Vec<String>) -> Result<()> {
        let mut known = std::mem::take(&mut reference.projects);
        known.append(&mut reference.lost);
        let mut answers: Vec<ProjectAnswer> = Vec::new();
        if !fresh {
            let ids = known.iter().map(|project| project.id.to_string()).collect();
            let (viewer, found) = self.api.reference(ids).await?;
            reference.login = viewer.login;
            answers.extend(found.into_iter().flatten());
        }
        for name in self.wanted().await? {
            let old = known.iter().find(|project| project.name == name);
            let answer = match old.and_then(|old| answers.iter().find(|answer| answer.id == old.id)) {
                Some(answer) => Some(answer.clone()),
                None => self.api.find_project(&name).await?,
            };
            match answer {
                Some(answer) => reference.projects.push(Project::new(&self.settings, name, &answer, old)),
                None => {
                    warnings.push(format!(
                        "project {name} does not exist or is hidden from this token: correct `projects`, or give the token access"
                    ));
                    // Its iterations and the former names of its statuses are told by nobody else.
                    reference.lost.extend(old.cloned());
                }
            }
        }
        Ok(())
    }

    async fn wanted(&self) -> Result<Vec<ProjectName>> {
        if self.settings.projects.is_empty() && self.settings.repositories.is_empty() {
            return self.api.visible_projects().await;
        }
        Ok(self.settings.projects.clone())
    }

    async fn repositories(&self, warnings: &mut Vec<String>) -> Result<Vec<Repository>> {
        let mut found = Vec::new();
        for name in &self.settings.repositories {
            match self.api.find_repository(name).await? {
                Some(activity) => found.push(Repository { name: name.clone(), activity }),
                None => warnings.push(format!(
                    "repository {name} does not exist or is hidden from this token: correct `repositories`, or give the token access"
                )),
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Connector for GitHub {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn check(&self, run: &Run) -> Result<CheckReport> {
        let live = self.open(Reference::default(), run).await?;
        Ok(check::report(self, &live))
    }

    async fn begin(&self, state: Option<serde_json::Value>, run: &Run) -> Result<serde_json::Value> {
        let kept = state.and_then(|state| match serde_json::from_value(state) {
            Ok(reference) => Some(reference),
            Err(error) => {
                warn!(%error, "what was kept of GitHub cannot be read, will be fetched again");
                None
            }
        });
        let live = self.open(kept.unwrap_or_default(), run).await?;
        let state = serde_json::to_value(&live.reference);
        state.map_err(|error| Error::new(ErrorKind::Internal, "write what is known of the projects").caused_by(error))
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
        let live = self.live()?;
        match stream {
            SPRINTS => sprints::poll(&live, cursor, run),
            ITEMS => items::poll(self, &live, cursor).await,
            REPOSITORIES => repositories::poll(self, &live, cursor, run.now).await,
            ACTIVITY => activity::poll(self, &live, cursor, run.now).await,
            IDS => ids::poll(self, &live, cursor).await,
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that GitHub does not have").with("stream", other))
            }
        }
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let live = self.live()?;
        let context = normalise::Context { settings: &self.settings, reference: &live.reference };
        let read = match record.stream {
            SPRINTS => normalise::sprint(&record.json),
            ACTIVITY => activity::read(&record.json),
            CONVERTED => Ok(vec![Observation::Gone { native_id: record.native_id.clone() }]),
            _ => normalise::task(&context, &record.json),
        };
        read.map_err(|error| error.with("record", &record.native_id))
    }

    fn lost(&self) -> Vec<String> {
        self.live().map(|live| live.lost()).unwrap_or_default()
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}
