//! The Linear connector.
//!
//! [`Linear`] is the [`Connector`]. The rest is by concern: [`settings`] (what the configuration says), [`api`] (the calls,
//! with their documents in `queries/`), [`dialect`] (limits and refusals) and [`sizes`] (what a question costs), [`mod@reference`]
//! (what a workspace is like), [`paged_scan`] (reading by what changed), [`issues`], [`plan`] and [`ids`] (the streams), [`histories`]
//! (whole issues), [`wire`] (the shapes of answers and records), and [`normalise`] with [`mapping`] (what they mean). All
//! knowledge of Linear's habits is in one of these.
//!
//! A poll without changes is three requests: who we are, what changed around the issues, what changed in them. How many
//! a first sync is, and what it costs, is planned in [`sizes`].

mod api;
mod check;
mod dialect;
mod histories;
mod ids;
mod issues;
mod mapping;
mod normalise;
mod paged_scan;
mod plan;
mod reference;
mod settings;
mod sizes;
mod wire;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use contextcore_core::config::{Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{CheckReport, Connector, Cursor, Page, RawRecord, Registration, Run, Stream};
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use tracing::{info, warn};

use api::Api;
use reference::Reference;
use settings::Settings;
use sizes::Sizes;
use wire::User;

/// Linear's line in the registry.
pub(crate) const REGISTRATION: Registration = Registration { kind: "linear", about: "Linear", build };

/// Cycles, projects, initiatives and attachments.
const PLAN: &str = "plan";
/// Changed issues with their histories.
const ISSUES: &str = "issues";
/// The ids of everything.
const IDS: &str = "ids";

const STREAMS: &[Stream] = &[
    Stream { name: PLAN, complete: false },
    Stream { name: ISSUES, complete: false },
    Stream { name: IDS, complete: true },
];

/// Ids of deleted things that are remembered, so that they are not looked for again.
const MISSING: usize = 5_000;
/// Pages of reference data after which its lists are taken to be endless.
const MAX_PAGES: usize = 1_000;

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    Ok(Box::new(Linear::new(Settings::new(config, privacy)?)?))
}

/// A Linear source.
struct Linear {
    settings: Settings,
    api: Api,
    /// What the last `begin` found.
    live: RwLock<Option<Arc<Live>>>,
    /// What was learned of how much can be asked for at once.
    sizes: Mutex<Sizes>,
    /// State changes in histories that the spans of states contradict.
    disputes: AtomicU64,
}

/// What a run knows of the workspace.
#[derive(Debug, Clone)]
struct Live {
    /// Who the token is, for people.
    shown: String,
    reference: Reference,
    /// Keys of the teams to read; empty means all.
    teams: Vec<String>,
    /// Configured teams that the workspace does not list.
    unknown_teams: Vec<String>,
}

impl Live {
    fn new(settings: &Settings, shown: String, reference: Reference) -> Self {
        let (teams, unknown_teams) = reference.configured(settings);
        Self { shown, reference, teams, unknown_teams }
    }
}

impl Linear {
    fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            api: Api::new(&settings)?,
            settings,
            live: RwLock::default(),
            sizes: Mutex::default(),
            disputes: AtomicU64::new(0),
        })
    }

    fn live(&self) -> Result<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        live.ok_or_else(|| Error::new(ErrorKind::Internal, "use Linear before a run has begun"))
    }

    fn install(&self, live: Live) -> Arc<Live> {
        let live = Arc::new(live);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
        live
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an earlier process learned, unless this one knows better.
    fn adopt(&self, kept: Option<Sizes>) {
        let mut sizes = self.sizes();
        if let Some(kept) = kept.filter(|_| *sizes == Sizes::default()) {
            *sizes = kept;
        }
    }

    /// Opens a run with what was kept of the last one: one request, either for who we are or for that and everything else.
    async fn open(&self, kept: Option<Reference>, run: &Run) -> Result<Arc<Live>> {
        let reference = self.newest(kept);
        if run.full || reference.is_due(run.now, &BTreeSet::new()) {
            return self.fetch(reference, run.now).await;
        }
        let named = reference.named(&self.settings);
        let identity = self.api.whoami(&named).await?;
        let seen = identity.teams.into_iter().flat_map(|teams| teams.nodes).map(|team| team.id).collect();
        let named: Vec<Box<str>> = named.into_iter().map(Box::from).collect();
        let mut reference = Reference { organization: identity.organization, ..reference };
        reference.note_visible(&named, &seen);
        Ok(self.install(Live::new(&self.settings, shown(&identity.viewer)?, reference)))
    }

    /// What was kept, unless this process has learned more since.
    fn newest(&self, kept: Option<Reference>) -> Reference {
        let Some(kept) = kept else { return Reference::default() };
        let learned = self.live().ok().filter(|live| live.reference.fetched_at >= kept.fetched_at);
        learned.map_or(kept, |live| live.reference.clone())
    }

    /// Fetches the reference data: a page of every list in one request, then of those that go on.
    async fn fetch(&self, mut reference: Reference, now: Millis) -> Result<Arc<Live>> {
        info!(source = self.settings.source, "fetching the workspace's teams, states, labels and people");
        reference.listed.clear();
        reference.fetched_at = now;
        let mut from = Reference::from_start();
        for _ in 0..MAX_PAGES {
            let page = self.api.reference(&from).await?;
            let shown = shown(&page.viewer)?;
            from = reference.take(page);
            if from.is_empty() {
                return Ok(self.install(Live::new(&self.settings, shown, reference)));
            }
        }
        Err(Error::new(ErrorKind::Protocol, "the lists of reference data do not end"))
    }

    /// Makes sure that these names (`state:…`, `label:…`) are known: the first time one is not, the workspace is asked again.
    async fn explain(&self, live: &Arc<Live>, names: BTreeSet<String>, run: &Run) -> Result<Arc<Live>> {
        let unknown: BTreeSet<String> = names.into_iter().filter(|name| !live.reference.knows(name)).collect();
        if !live.reference.is_due(run.now, &unknown) {
            return Ok(live.clone());
        }
        let fetched = self.fetch(live.reference.clone(), run.now).await?;
        let mut next = Live::clone(&fetched);
        let gone = unknown.into_iter().filter(|name| !next.reference.knows(name)).collect::<Vec<_>>();
        next.reference.missing.extend(gone.into_iter().take(MISSING));
        Ok(self.install(next))
    }

    /// What people should know about the configured teams.
    fn teams_warning(&self, live: &Live) -> Result<Vec<String>> {
        check::missing_teams(live)
    }

    /// Says once how often histories and spans disagreed since the last time.
    fn take_disputes(&self) -> Option<String> {
        let disputes = self.disputes.swap(0, Ordering::Relaxed);
        (disputes > 0)
            .then(|| format!("{disputes} state changes of histories are not in the spans of states, which count"))
    }
}

/// Who the token is. Its absence means that we are nobody, and that an empty answer is not to be believed.
fn shown(viewer: &User) -> Result<String> {
    if viewer.id.as_deref().is_none_or(str::is_empty) {
        return Err(Error::new(ErrorKind::Auth, "the token belongs to nobody, make a new one"));
    }
    let name = viewer.name.as_deref().unwrap_or_default();
    Ok(match viewer.email.as_deref() {
        Some(email) if !email.is_empty() => format!("{name} <{email}>"),
        _ => name.to_owned(),
    })
}

#[async_trait]
impl Connector for Linear {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn check(&self, run: &Run) -> Result<CheckReport> {
        let live = self.open(None, run).await?;
        check::report(self, &live)
    }

    async fn begin(&self, state: Option<serde_json::Value>, run: &Run) -> Result<serde_json::Value> {
        let kept = state.and_then(|state| match serde_json::from_value(state) {
            Ok(reference) => Some(reference),
            Err(error) => {
                warn!(%error, "what was kept of the workspace cannot be read, will be fetched again");
                None
            }
        });
        let live = self.open(kept, run).await?;
        let state = serde_json::to_value(&live.reference);
        state.map_err(|error| Error::new(ErrorKind::Internal, "write what is known of the workspace").caused_by(error))
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
        let live = self.live()?;
        match stream {
            PLAN => plan::poll(self, live, cursor, run).await,
            ISSUES => issues::poll(self, live, cursor, run).await,
            IDS => ids::poll(self, live, cursor, run).await,
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that Linear does not have").with("stream", other))
            }
        }
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let live = self.live()?;
        let context = normalise::Context { settings: &self.settings, reference: &live.reference };
        let read = normalise::record(&context, &record.json);
        let read = read.map_err(|error| error.with("record", &record.native_id))?;
        self.disputes.fetch_add(read.disputes, Ordering::Relaxed);
        Ok(read.observations)
    }

    fn lost(&self) -> Vec<String> {
        let Ok(live) = self.live() else { return Vec::new() };
        let known = |wanted: &&String| live.reference.teams.values().any(|team| team.key.eq_ignore_ascii_case(wanted));
        live.unknown_teams.iter().filter(known).cloned().collect()
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}
