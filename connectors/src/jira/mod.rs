//! The Jira connector: Cloud and Data Center.
//!
//! [`Jira`] is the [`Connector`]. The rest is by concern: [`settings`] (what the configuration says), [`api`] (the calls) and
//! [`dialect`] (limits and refusals), [`site`] and [`mod@reference`] (what a site is like), [`search`] and [`jql`] (searching),
//! [`issues`], [`sprints`] and [`ids`] (the streams), [`histories`] (whole records), [`wire`] (the shapes of answers and
//! records), and [`normalise`] with [`mapping`] (what they mean). All knowledge of Jira's habits is in one of these.

mod api;
mod check;
mod dialect;
mod histories;
mod ids;
mod issues;
mod jql;
mod mapping;
mod normalise;
mod reference;
mod search;
mod settings;
mod site;
mod sprints;
mod wire;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use contextcore_core::config::{Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{CheckReport, Connector, Cursor, Page, RawRecord, Registration, Run, Stream};
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Result};
use jiff::tz::TimeZone;
use tracing::{info, warn};

use api::{Api, ServerInfo, Site};
use histories::Mentions;
use mapping::Mapping;
use reference::Reference;
use settings::Settings;
use site::Account;
use wire::Issue;

/// Jira's line in the registry.
pub(crate) const REGISTRATION: Registration = Registration { kind: "jira", about: "Jira Cloud and Data Center", build };

/// Sprints of our boards.
const SPRINTS: &str = "sprints";
/// Changed issues with their histories.
const ISSUES: &str = "issues";
/// The ids of all issues.
const IDS: &str = "ids";

const STREAMS: &[Stream] = &[
    Stream { name: SPRINTS, complete: false },
    Stream { name: ISSUES, complete: false },
    Stream { name: IDS, complete: true },
];

/// Ids of deleted things that are remembered, so that they are not looked for again.
const MISSING: usize = 1_000;

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    Ok(Box::new(Jira::new(Settings::new(config, privacy)?)?))
}

/// A Jira source.
struct Jira {
    settings: Settings,
    api: Api,
    /// What the last `begin` found.
    live: RwLock<Option<Arc<Live>>>,
    /// Ids met in records that the reference data does not know.
    unknown: Mutex<BTreeSet<String>>,
    /// Boards whose sprints cannot be listed.
    unreadable: RwLock<Arc<BTreeSet<u64>>>,
    /// The call for many histories is refused here.
    no_bulk: AtomicBool,
}

/// What a run knows of the site.
#[derive(Debug)]
struct Live {
    site: Site,
    account: Account,
    reference: Reference,
    mapping: Mapping,
    /// The reference data was fetched by this very run: what it does not know, the site does not either.
    fresh: bool,
}

impl Live {
    /// The zone in which the account's JQL is read.
    fn zone(&self) -> Option<&TimeZone> {
        self.account.zone.as_ref()
    }
}

impl Jira {
    fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            api: Api::new(&settings)?,
            settings,
            live: RwLock::default(),
            unknown: Mutex::default(),
            unreadable: RwLock::default(),
            no_bulk: AtomicBool::new(false),
        })
    }

    fn live(&self) -> Result<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        live.ok_or_else(|| Error::new(ErrorKind::Internal, "use Jira before a run has begun"))
    }

    fn install(&self, live: Live) -> Arc<Live> {
        let live = Arc::new(live);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
        live
    }

    fn unknown(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreadable(&self) -> Arc<BTreeSet<u64>> {
        self.unreadable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sprints of these boards are told by the issues that are in them.
    fn note_unreadable(&self, boards: &BTreeSet<u64>) {
        if *self.unreadable() != *boards {
            *self.unreadable.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(boards.clone());
        }
    }

    /// Opens a run with what was kept of the last one.
    async fn open(&self, kept: Option<Reference>, run: &Run) -> Result<Arc<Live>> {
        let mut info = None;
        let site = match site::known_site(&self.settings, kept.as_ref()) {
            Some(site) => site,
            None => info.insert(self.api.server_info().await?).site(),
        };
        let account = site::account(&self.api, site).await?;
        let mut reference = self.newest(kept);
        let unknown = std::mem::take(&mut *self.unknown());
        if self.live().is_ok_and(|live| live.fresh) {
            reference.missing.extend(unknown.iter().take(MISSING).cloned());
        }
        let fresh = reference.is_due(run.now, &unknown);
        if fresh {
            reference = self.fetch(site, info, reference, run).await?;
            reference.missing.extend(unknown.into_iter().take(MISSING));
        }
        let mapping = Mapping::new(&self.settings, &reference);
        Ok(self.install(Live { site, account, reference, mapping, fresh }))
    }

    /// What was kept, unless this process has learned more since.
    fn newest(&self, kept: Option<Reference>) -> Reference {
        let Some(kept) = kept else { return Reference::default() };
        let learned = self.live().ok().filter(|live| live.reference.fetched_at >= kept.fetched_at);
        learned.map_or(kept, |live| live.reference.clone())
    }

    async fn fetch(&self, site: Site, info: Option<ServerInfo>, old: Reference, run: &Run) -> Result<Reference> {
        info!(source = self.settings.source, "fetching the site's fields, statuses and boards");
        let wanted = site == Site::DataCenter || site::is_gateway(&self.settings);
        let info = match info {
            None if wanted => Some(self.api.server_info().await?),
            info => info,
        };
        site::fetch(&self.api, &self.settings, site, info.as_ref(), old, run.now).await
    }

    /// Issue types usually explain themselves by level or name. The first time one does not, perhaps because it is translated,
    /// the site is asked for all of them.
    async fn explain<'a>(&self, live: &Arc<Live>, issues: impl Iterator<Item = &'a Issue>) -> Result<Arc<Live>> {
        let explained = |issue: &Issue| {
            issue.fields.issuetype.as_ref().is_none_or(|kind| {
                let untranslated = kind.untranslated_name.as_deref().unwrap_or(&kind.name);
                let names = [kind.id.as_deref().unwrap_or_default(), &kind.name, untranslated];
                mapping::type_of(&self.settings, names, kind.hierarchy_level, kind.subtask).1
            })
        };
        if live.reference.types.is_some() || { issues }.all(explained) {
            return Ok(live.clone());
        }
        self.learn_types(live).await
    }

    async fn learn_types(&self, live: &Live) -> Result<Arc<Live>> {
        let types = match self.api.issue_types(live.site).await {
            Err(error) if api::is_refusal(error.kind()) => {
                warn!(error = error.full(), "issue types cannot be listed, their names on the issues must do");
                Vec::new()
            }
            types => types?,
        };
        let mut reference = live.reference.clone();
        reference.learn_types(types);
        Ok(self.relearned(live, reference, live.fresh))
    }

    fn relearned(&self, live: &Live, reference: Reference, fresh: bool) -> Arc<Live> {
        let mapping = Mapping::new(&self.settings, &reference);
        let account = Account { shown: live.account.shown.clone(), zone: live.account.zone.clone() };
        self.install(Live { site: live.site, account, reference, mapping, fresh })
    }

    /// A status or type that issues passed through since the site was last learned is in no list of ours, and a guess would be
    /// told for good. So the site is learned anew before such histories are read; what it does not list any more is kept in
    /// `unlisted`. Fields and boards stay as they were when the issues were asked for.
    async fn explain_past(
        &self,
        live: &Arc<Live>,
        mentions: &Mentions,
        unlisted: &mut BTreeSet<String>,
        run: &Run,
    ) -> Result<()> {
        let mut live = live.clone();
        let strange = |live: &Live| self.strange(live, mentions);
        let is_new = |ids: &BTreeSet<String>, unlisted: &BTreeSet<String>| !ids.is_subset(unlisted);
        if live.reference.types.is_none() && is_new(&self.strange_types(&live, mentions), unlisted) {
            live = self.learn_types(&live).await?;
        }
        if !live.fresh && is_new(&strange(&live), unlisted) {
            let Reference { statuses, types, .. } = self.fetch(live.site, None, live.reference.clone(), run).await?;
            live = self.relearned(&live, Reference { statuses, types, ..live.reference.clone() }, true);
        }
        unlisted.extend(strange(&live));
        while unlisted.len() > MISSING {
            unlisted.pop_first();
        }
        Ok(())
    }

    /// What histories name and neither the site's lists nor the configuration know.
    fn strange(&self, live: &Live, mentions: &Mentions) -> BTreeSet<String> {
        let known = |id: &str, name: &str| {
            live.mapping.status_by_id(id).is_some() || self.settings.rules.status(&[name, id]).is_some()
        };
        let statuses = mentions.statuses.iter().filter(|(id, name)| !known(id, name));
        let statuses = statuses.map(|(id, _)| format!("status:{id}"));
        statuses.chain(self.strange_types(live, mentions)).collect()
    }

    fn strange_types(&self, live: &Live, mentions: &Mentions) -> BTreeSet<String> {
        let by_name = |id: &str, name: &str| mapping::type_of(&self.settings, [id, name, name], None, false).1;
        let known = |id: &str, name: &str| live.mapping.type_by_id(id).is_some() || by_name(id, name);
        let types = mentions.types.iter().filter(|(id, name)| !known(id, name));
        types.map(|(id, _)| format!("type:{id}")).collect()
    }
}

#[async_trait]
impl Connector for Jira {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn check(&self, run: &Run) -> Result<CheckReport> {
        let live = self.open(None, run).await?;
        check::report(self, &live).await
    }

    async fn begin(&self, state: Option<serde_json::Value>, run: &Run) -> Result<serde_json::Value> {
        let kept = state.and_then(|state| match serde_json::from_value(state) {
            Ok(reference) => Some(reference),
            Err(error) => {
                warn!(%error, "what was kept of the site cannot be read, will be fetched again");
                None
            }
        });
        let live = self.open(kept, run).await?;
        let state = serde_json::to_value(&live.reference);
        state.map_err(|error| Error::new(ErrorKind::Internal, "write what is known of the site").caused_by(error))
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
        let live = self.live()?;
        match stream {
            SPRINTS => sprints::poll(self, &live, cursor).await,
            ISSUES => issues::poll(self, &live, cursor, run).await,
            IDS => ids::poll(self, &live, cursor).await,
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that Jira does not have").with("stream", other))
            }
        }
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let live = self.live()?;
        let unreadable = self.unreadable();
        let context = normalise::Context {
            settings: &self.settings,
            reference: &live.reference,
            mapping: &live.mapping,
            unreadable: &unreadable,
        };
        let read = match record.stream {
            SPRINTS => normalise::sprint(&context, &record.json),
            _ => normalise::issue(&context, &record.json),
        };
        let read = read.map_err(|error| error.with("record", &record.native_id))?;
        if !read.unknown.is_empty() {
            self.unknown().extend(read.unknown);
        }
        Ok(read.observations)
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}
