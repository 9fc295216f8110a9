//! A Jira site that was opened for a run: what the streams work with, and how they learn more of the site as they go.
//!
//! [`Jira`] holds what lives as long as the process behind `Arc`s ([`Api`], [`Memory`]) and what belongs to this run
//! ([`SiteContext`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use contextcore_core::ingest::connector::Run;
use contextcore_core::model::SmolStr;
use contextcore_core::{Result, lock};
use jiff::tz::TimeZone;
use tracing::{info, warn};

use super::api::{self, Api, ServerInfo, Site};
use super::history::Item;
use super::listed::Listed;
use super::mapping::{self, Mapping};
use super::reference::Reference;
use super::settings::Settings;
use super::site::{self, Account, Fetched};
use super::wire::Issue;
use crate::reference_data;
use crate::refusal::Notes;

/// Sprints of our boards.
pub(super) const SPRINTS: &str = "sprints";
/// Changed issues with their histories.
pub(super) const ISSUES: &str = "issues";
/// The ids of all issues.
pub(super) const IDS: &str = "ids";

/// Ids of deleted things that are remembered, so that they are not looked for again.
const MISSING: usize = 1_000;

/// What was learned of a site and is worth keeping from one run to the next.
#[derive(Default)]
pub(super) struct Memory {
    /// The newest context.
    newest: Mutex<Option<Arc<SiteContext>>>,
    /// Ids in records that the reference data does not know.
    unknown: Mutex<BTreeSet<String>>,
    /// Boards whose sprints cannot be listed.
    unreadable: Mutex<Arc<BTreeSet<u64>>>,
    /// The call for many histories is refused here.
    no_bulk: AtomicBool,
}

/// What a run knows of the site.
#[derive(Debug)]
pub(super) struct SiteContext {
    pub(super) site: Site,
    pub(super) account: Account,
    pub(super) reference: Reference,
    pub(super) mapping: Mapping,
    /// The reference data was fetched by this very run: what it does not know, the site does not either.
    fresh: bool,
}

impl SiteContext {
    /// The zone in which the account's JQL is read.
    pub(super) fn zone(&self) -> Option<&TimeZone> {
        self.account.zone.as_ref()
    }
}

/// Statuses and types that histories name: ids, and their names as of then.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub(super) statuses: BTreeMap<SmolStr, SmolStr>,
    pub(super) types: BTreeMap<SmolStr, SmolStr>,
}

impl Mentions {
    /// Takes in what others name.
    pub(super) fn absorb(&mut self, other: Self) {
        for (all, more) in [(&mut self.statuses, other.statuses), (&mut self.types, other.types)] {
            more.into_iter().for_each(|(id, name)| _ = all.entry(id).or_insert(name));
        }
    }

    pub(super) fn note(&mut self, item: &Item) {
        let named = match item.field_id.as_deref().unwrap_or(&item.field) {
            "status" => &mut self.statuses,
            "issuetype" => &mut self.types,
            _ => return,
        };
        for (id, name) in [(&item.from, &item.from_string), (&item.to, &item.to_string)] {
            if let Some(id) = id.as_ref().filter(|id| !named.contains_key(*id)) {
                named.insert(id.clone(), name.clone().unwrap_or_default());
            }
        }
    }
}

/// An opened Jira site.
pub(super) struct Jira {
    pub(super) settings: Arc<Settings>,
    pub(super) api: Arc<Api>,
    pub(super) run: Run,
    memory: Arc<Memory>,
    context: Mutex<Arc<SiteContext>>,
    /// What is to be said with the next page.
    notes: Mutex<Notes>,
}

impl Jira {
    /// Opens the site with what was stored after the last run.
    pub(super) async fn open(
        settings: Arc<Settings>,
        api: Arc<Api>,
        memory: Arc<Memory>,
        stored: Option<Reference>,
        run: &Run,
    ) -> Result<Self> {
        api.begin();
        let mut info = None;
        let site = match site::known_site(&settings, stored.as_ref()) {
            Some(site) => site,
            None => info.insert(api.server_info().await?).site(),
        };
        let account = site::account(&api, site).await?;
        let last = lock(&memory.newest).clone();
        let known = last.as_deref().map(|last| &last.reference);
        let mut reference = reference_data::newest(stored, known, |reference| reference.fetched_at);
        let unknown = std::mem::take(&mut *lock(&memory.unknown));
        if last.is_some_and(|last| last.fresh) {
            reference.missing.extend(unknown.iter().take(MISSING).cloned());
        }
        let fresh = reference.is_due(run.now, &unknown);
        let mut notes = Notes::default();
        if fresh {
            let fetched = fetch(&api, &settings, site, info, reference, run).await?;
            (reference, notes) = (fetched.reference, fetched.notes);
            reference.missing.extend(unknown.into_iter().take(MISSING));
            // Rights may have changed as well.
            memory.no_bulk.store(false, Ordering::Relaxed);
        }
        let mapping = Mapping::new(&settings, &reference);
        let context = Arc::new(SiteContext { site, account, reference, mapping, fresh });
        *lock(&memory.newest) = Some(Arc::clone(&context));
        let (context, notes) = (Mutex::new(context), Mutex::new(notes));
        Ok(Self { settings, api, run: *run, memory, context, notes })
    }

    /// What is known of the site by now.
    pub(super) fn context(&self) -> Arc<SiteContext> {
        lock(&self.context).clone()
    }

    /// What is to be said with the next page.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    fn install(&self, context: SiteContext) -> Arc<SiteContext> {
        let context = Arc::new(context);
        *lock(&self.context) = Arc::clone(&context);
        *lock(&self.memory.newest) = Some(Arc::clone(&context));
        context
    }

    /// Remembers ids that the reference data does not know: the next run looks them up.
    pub(super) fn note_unknown(&self, ids: BTreeSet<String>) {
        if !ids.is_empty() {
            lock(&self.memory.unknown).extend(ids);
        }
    }

    /// Boards whose sprints cannot be listed.
    pub(super) fn unreadable(&self) -> Arc<BTreeSet<u64>> {
        lock(&self.memory.unreadable).clone()
    }

    /// The sprints of these boards are known from the issues in them.
    pub(super) fn note_unreadable(&self, boards: BTreeSet<u64>) {
        *lock(&self.memory.unreadable) = Arc::new(boards);
    }

    /// Whether the call for many histories is refused here.
    pub(super) fn no_bulk(&self) -> &AtomicBool {
        &self.memory.no_bulk
    }

    /// Issue types usually explain themselves by level or name. The first time one does not, perhaps because it is translated,
    /// the site is asked for all of them.
    pub(super) async fn explain<'a>(
        &self,
        context: &Arc<SiteContext>,
        issues: impl Iterator<Item = &'a Issue>,
    ) -> Result<Arc<SiteContext>> {
        let issues: Vec<&Issue> = issues.collect();
        let explained = |issue: &&Issue| {
            issue.fields.issuetype.as_ref().is_none_or(|kind| {
                let untranslated = kind.untranslated_name.as_deref().unwrap_or(&kind.name);
                let names = [kind.id.as_deref().unwrap_or_default(), &kind.name, untranslated];
                mapping::type_of(&self.settings, names, kind.hierarchy_level, kind.subtask).1
            })
        };
        let unexplained: Vec<&Issue> = issues.iter().copied().filter(|issue| !explained(issue)).collect();
        let epics = context.reference.epics_among(&issues, &unexplained);
        let context = match epics.is_subset(&context.reference.epic_types) {
            true => context.clone(),
            false => {
                let mut reference = context.reference.clone();
                reference.epic_types.extend(epics);
                self.relearned(context, reference, context.fresh)
            }
        };
        match context.reference.types.is_some() || unexplained.is_empty() {
            true => Ok(context),
            false => self.learn_types(&context).await,
        }
    }

    async fn learn_types(&self, context: &SiteContext) -> Result<Arc<SiteContext>> {
        let types = match self.api.issue_types(context.site).await {
            Err(error) if api::is_bearable(error.kind()) => {
                warn!(error = error.full(), "issue types cannot be listed, their names on the issues are used instead");
                Listed::of(Vec::new())
            }
            types => types?,
        };
        let mut reference = context.reference.clone();
        if let Some(lacks) = types.lacks() {
            self.notes().warnings.push(site::torn("the issue types", &lacks));
            reference.ask_again_soon(self.run.now);
        }
        reference.learn_types(types.rows);
        Ok(self.relearned(context, reference, context.fresh))
    }

    fn relearned(&self, context: &SiteContext, reference: Reference, fresh: bool) -> Arc<SiteContext> {
        let mapping = Mapping::new(&self.settings, &reference);
        let account = Account { shown: context.account.shown.clone(), zone: context.account.zone.clone() };
        self.install(SiteContext { site: context.site, account, reference, mapping, fresh })
    }

    /// A status or type that issues passed through since the reference data was fetched is in no list of ours, and a guess
    /// would be exported for good. So the lists are fetched again before such histories are read; what they do not have any
    /// more is kept in `unlisted`. Fields and boards stay as they were when the issues were asked for.
    pub(super) async fn explain_past(
        &self,
        context: &Arc<SiteContext>,
        mentions: &Mentions,
        unlisted: &mut BTreeSet<String>,
        run: &Run,
    ) -> Result<()> {
        let mut context = context.clone();
        let is_new = |ids: &BTreeSet<String>, unlisted: &BTreeSet<String>| !ids.is_subset(unlisted);
        if context.reference.types.is_none() && is_new(&self.unknown_types(&context, mentions), unlisted) {
            context = self.learn_types(&context).await?;
        }
        if !context.fresh && is_new(&self.unknown_ids(&context, mentions), unlisted) {
            let old = context.reference.clone();
            let fetched = fetch(&self.api, &self.settings, context.site, None, old.clone(), run).await?;
            self.notes().append(fetched.notes);
            let Reference { statuses, types, .. } = fetched.reference;
            context = self.relearned(&context, Reference { statuses, types, ..old }, true);
        }
        unlisted.extend(self.unknown_ids(&context, mentions));
        while unlisted.len() > MISSING {
            unlisted.pop_first();
        }
        Ok(())
    }

    /// What histories name and neither the site's lists nor the configuration know.
    fn unknown_ids(&self, context: &SiteContext, mentions: &Mentions) -> BTreeSet<String> {
        let known = |id: &str, name: &str| {
            context.mapping.status_by_id(id).is_some() || self.settings.rules.status(&[name, id]).is_some()
        };
        let statuses = mentions.statuses.iter().filter(|(id, name)| !known(id, name));
        let statuses = statuses.map(|(id, _)| format!("status:{id}"));
        statuses.chain(self.unknown_types(context, mentions)).collect()
    }

    fn unknown_types(&self, context: &SiteContext, mentions: &Mentions) -> BTreeSet<String> {
        let by_name = |id: &str, name: &str| mapping::type_of(&self.settings, [id, name, name], None, false).1;
        let known = |id: &str, name: &str| context.mapping.type_by_id(id).is_some() || by_name(id, name);
        let types = mentions.types.iter().filter(|(id, name)| !known(id, name));
        types.map(|(id, _)| format!("type:{id}")).collect()
    }
}

async fn fetch(
    api: &Api,
    settings: &Settings,
    site: Site,
    info: Option<ServerInfo>,
    old: Reference,
    run: &Run,
) -> Result<Fetched> {
    info!(source = settings.source, "fetching the site's fields, statuses and boards");
    let wanted = site == Site::DataCenter || site::is_gateway(settings);
    let info = match info {
        None if wanted => Some(api.server_info().await?),
        info => info,
    };
    site::fetch(api, settings, site, info.as_ref(), old, run.now).await
}
