//! GitHub as it was opened for a run: the projects and repositories that are read, and what the streams share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use contextcore_core::ingest::connector::Run;
use contextcore_core::model::guidance::forge::{ForgeContent, ForgeFile};
use contextcore_core::model::time::{DAY, SECOND};
use contextcore_core::{Error, ErrorKind, Result, lock};

use super::api::Api;
use super::features::Missing;
use super::fingerprints::Short;
use super::reference::{Project, ProjectAnswer, Reference};
use super::settings::{ProjectName, RepositoryName, Settings};
use super::transfers::Transfers;
use super::wire::RepositoryActivity;
use crate::left_out::LeftOut;

/// Iterations of our projects.
pub(super) const SPRINTS: &str = "sprints";
/// Changed items of our projects with their histories.
pub(super) const ITEMS: &str = "items";
/// Changed issues of our repositories that are in no project of ours.
pub(super) const REPOSITORIES: &str = "repositories";
/// What people did in our repositories.
pub(super) const ACTIVITY: &str = "activity";
/// The ids of all tasks.
pub(super) const IDS: &str = "ids";
/// Records (of the `items` stream) of drafts that became issues; their id is all they hold.
pub(super) const CONVERTED: &str = "converted";

/// GitHub's times are whole seconds: what changed as lately as this may change again and look the same, so it is read again.
pub(super) const MOMENT: i64 = 2 * SECOND;

/// GitHub, opened.
pub(super) struct GitHub {
    pub(super) settings: Arc<Settings>,
    pub(super) api: Arc<Api>,
    pub(super) run: Run,
    pub(super) context: SiteContext,
    /// What the items of our projects wrap, once a sweep has come to its end.
    members: Mutex<Option<Arc<Members>>>,
    /// Issues that the sweep has seen so far.
    issues: Mutex<Issues>,
    transfers: Mutex<Arc<Transfers>>,
    /// Entries of histories that were left out.
    pub(super) left_out: LeftOut,
}

/// What the items of our projects wrap.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: BTreeSet<Short>,
    /// The issues among them that this run has seen, for those whose repository is configured.
    pub(super) issues: Issues,
    /// How many tasks GitHub counts in our projects.
    pub(super) tasks: Option<u64>,
}

impl Members {
    pub(super) fn has(&self, id: &str) -> bool {
        self.all.contains(&Short::of(&[id]))
    }
}

/// Ids of issues by the name of their repository, as the configuration writes it.
type Issues = BTreeMap<String, BTreeSet<Box<str>>>;

/// What a run knows of GitHub.
#[derive(Debug)]
pub(super) struct SiteContext {
    pub(super) reference: Reference,
    pub(super) repositories: Vec<Repository>,
    /// What is configured and was not found.
    pub(super) missing: Vec<String>,
    /// What of our projects could not be read, and stays as it was.
    pub(super) unread: Vec<String>,
    /// The same, and what the server lacks.
    pub(super) warnings: Vec<String>,
}

impl SiteContext {
    /// Projects and repositories that were read once and are out of sight.
    pub(super) fn lost(&self) -> Vec<String> {
        let projects = self.reference.lost.iter().map(|project| project.name.to_string());
        let is_here = |name: &String| self.repositories.iter().any(|repository| repository.name.to_string() == *name);
        let repositories = self.reference.repositories.iter().filter(|name| !is_here(name)).cloned();
        projects.chain(repositories).collect()
    }
}

/// A configured repository.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) name: RepositoryName,
    pub(super) activity: RepositoryActivity,
}

impl Repository {
    /// Why its guidance for agents is not used, if it is not.
    pub(super) fn unusable_guidance(&self) -> Option<String> {
        let why = self.activity.guidance().err()?;
        Some(format!("the guidance of {} is not used: {why}", self.name))
    }
}

impl GitHub {
    /// Opens GitHub with what was stored after the last run.
    pub(super) async fn open(settings: Arc<Settings>, api: Arc<Api>, stored: Reference, run: &Run) -> Result<Self> {
        api.set_now(run.now);
        let mut reference = stored;
        let fresh = reference.login.is_empty();
        learn(&api, &mut reference, run).await?;
        let (mut missing, mut unread, mut torn) = (Vec::new(), Vec::new(), false);
        projects(&api, &settings, &mut reference, fresh, (&mut missing, &mut unread, &mut torn)).await?;
        let repositories = repositories(&api, &settings, &mut missing).await?;
        let found = repositories.iter().map(|repository| repository.name.to_string());
        reference.repositories.extend(found);
        if reference.projects.is_empty() && repositories.is_empty() {
            let (kind, text) = match torn {
                true => {
                    (ErrorKind::Protocol, "nothing of what is configured can be read now: the next run tries again")
                }
                false => (
                    ErrorKind::NotFound,
                    "nothing of what is configured exists for this token: correct `projects` and `repositories`, or give \
                     the token access",
                ),
            };
            return Err(Error::new(kind, text).with("missing", missing.join("; ")));
        }
        reference.missing = Some(api.missing());
        let unusable = repositories.iter().filter_map(Repository::unusable_guidance);
        let lacks = api.missing();
        let warnings = missing.iter().cloned().chain(lacks.sentences()).chain(unusable);
        let warnings = warnings.chain(unread.iter().cloned()).collect();
        let context = SiteContext { reference, repositories, missing, unread, warnings };
        let transfers = Mutex::new(Arc::new(context.reference.transfers.clone()));
        let (members, issues, left_out) = Default::default();
        Ok(Self { settings, api, run: *run, context, members, issues, transfers, left_out })
    }

    /// What the configured repositories say to agents. Of one that is hidden what was known still counts.
    pub(super) fn guidance_files(&self) -> Vec<ForgeFile> {
        let content = |name: &RepositoryName| {
            let found = self.context.repositories.iter().find(|repository| repository.name == *name);
            // One that cannot be used is a warning.
            found.map_or(ForgeContent::Unknown, |found| found.activity.guidance().unwrap_or(ForgeContent::Absent))
        };
        let names = self.settings.repositories.iter();
        names.map(|name| ForgeFile { repository: name.to_string(), content: content(name) }).collect()
    }

    /// Issues that were transferred, as far as it is known.
    pub(super) fn transfers(&self) -> Arc<Transfers> {
        lock(&self.transfers).clone()
    }

    /// Notes which issues were transferred, as the sweep knows it.
    pub(super) fn note_transfers(&self, known: &Transfers) {
        let mut transfers = lock(&self.transfers);
        if **transfers != *known {
            *transfers = Arc::new(known.clone());
        }
    }

    /// Notes issues that the sweep has seen, each with the name of its repository.
    pub(super) fn note_issues(&self, context: &SiteContext, seen: Vec<(Box<str>, Box<str>)>) {
        let mut issues = lock(&self.issues);
        for (id, name) in seen {
            let mut names = context.repositories.iter().map(|repository| repository.name.to_string());
            if let Some(name) = names.find(|ours| ours.eq_ignore_ascii_case(&name)) {
                issues.entry(name).or_default().insert(id);
            }
        }
    }

    /// Notes what the items wrap: the sweep came to its end.
    pub(super) fn note_members(&self, all: BTreeSet<Short>, tasks: Option<u64>) {
        let issues = std::mem::take(&mut *lock(&self.issues));
        *lock(&self.members) = Some(Arc::new(Members { all, issues, tasks }));
    }

    /// What the items of our projects wrap.
    pub(super) fn members(&self, context: &SiteContext) -> Result<Arc<Members>> {
        if context.reference.projects.is_empty() && context.reference.lost.is_empty() {
            return Ok(Arc::new(Members { tasks: Some(0), ..Members::default() }));
        }
        let members = lock(&self.members).clone();
        members.ok_or_else(|| Error::new(ErrorKind::Internal, "poll repositories before the items of projects"))
    }
}

/// Learns what the server knows: at first, and daily while something is missing, since a server is upgraded now and then.
async fn learn(api: &Api, reference: &mut Reference, run: &Run) -> Result<()> {
    let is_complete = reference.missing.as_ref().is_some_and(Missing::is_empty);
    let is_due = reference.asked.is_none_or(|asked| asked.plus(DAY) <= run.now);
    match reference.missing.clone().filter(|_| is_complete || !(is_due || run.full)) {
        // What this process learnt from a refusal counts as well.
        Some(missing) => api.know(missing),
        None => {
            reference.login = api.start().await?.login;
            reference.asked = Some(run.now);
        }
    }
    Ok(())
}

/// Brings the projects up to date: those known in one request, which proves the credential as well, the others by name.
async fn projects(
    api: &Api,
    settings: &Settings,
    reference: &mut Reference,
    fresh: bool,
    (missing, unread, torn): (&mut Vec<String>, &mut Vec<String>, &mut bool),
) -> Result<()> {
    let mut known = std::mem::take(&mut reference.projects);
    known.append(&mut reference.lost);
    let mut answers: Vec<ProjectAnswer> = Vec::new();
    if !fresh {
        let ids = known.iter().map(|project| project.id.to_string()).collect();
        let (viewer, found) = api.reference(ids).await?;
        reference.login = viewer.login;
        answers.extend(found.into_iter().flatten());
    }
    for name in wanted(api, settings).await? {
        let old = known.iter().find(|project| project.name == name);
        let answer = match old.and_then(|old| answers.iter().find(|answer| answer.id == old.id)) {
            Some(answer) => Some(answer.clone()),
            None => api.find_project(&name).await?,
        };
        match answer {
            // What is exported is final.
            Some(answer) if old.is_none() && answer.lacks_status(settings) => {
                *torn = true;
                missing.push(format!(
                    "project {name} cannot be read now, its status is not among the fields that came: the next run tries again"
                ));
            }
            Some(answer) => {
                let project = Project::new(settings, name, &answer, old);
                unread.extend(project.unread(&answer));
                reference.projects.push(project);
            }
            None => {
                missing.push(format!(
                    "project {name} does not exist or is hidden from this token: correct `projects`, or give the token access"
                ));
                // Only this has its iterations and the former names of its statuses.
                reference.lost.extend(old.cloned());
            }
        }
    }
    Ok(())
}

async fn wanted(api: &Api, settings: &Settings) -> Result<Vec<ProjectName>> {
    if settings.projects.is_empty() && settings.repositories.is_empty() {
        return api.visible_projects().await;
    }
    Ok(settings.projects.clone())
}

async fn repositories(api: &Api, settings: &Settings, warnings: &mut Vec<String>) -> Result<Vec<Repository>> {
    let mut found = Vec::new();
    for name in &settings.repositories {
        match api.find_repository(name).await? {
            Some(activity) => found.push(Repository { name: name.clone(), activity }),
            None => warnings.push(format!(
                "repository {name} does not exist or is hidden from this token: correct `repositories`, or give the token access"
            )),
        }
    }
    Ok(found)
}
