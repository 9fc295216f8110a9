//! A Linear workspace that was opened for a run: what the streams work with, and how they learn more of it as they go.
//!
//! [`Linear`] holds what lives as long as the process behind `Arc`s ([`Api`], [`Memory`]) and what belongs to this run
//! ([`SiteContext`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use contextcore_core::http::Tries;
use contextcore_core::ingest::connector::Run;
use contextcore_core::model::time::HOUR;
use contextcore_core::{Error, ErrorKind, Millis, Result, lock};
use tracing::{info, warn};

use super::api::{Api, FEW_TRIES, ONCE};
use super::parts::{Next, Part, Parts, may_be_one};
use super::reference::{Cursors, LISTS, Reference};
use super::settings::Settings;
use super::sizes::Sizes;
use super::wire::{User, is_absent};
use crate::reference_data;
use crate::refusal::{Notes, confirmed, is_refused};

/// Cycles, projects, initiatives and attachments.
pub(super) const PLAN: &str = "plan";
/// Changed issues with their histories.
pub(super) const ISSUES: &str = "issues";
/// The ids of everything.
pub(super) const IDS: &str = "ids";

/// Ids of deleted things that are remembered, so that they are not looked for again.
const MISSING: usize = 5_000;
/// Pages of reference data after which its lists are taken to be endless.
const MAX_PAGES: usize = 1_000;
/// How long reference data is good for of which a list could not be read.
const INCOMPLETE_AGE: i64 = HOUR;
/// How long it is good for when a list is refused: for this run.
const NEXT_RUN: i64 = 1;

/// What was learned of a workspace and is worth keeping from one run to the next.
#[derive(Default)]
pub(super) struct Memory {
    /// The newest context.
    newest: Mutex<Option<Arc<SiteContext>>>,
    /// How much can be asked for at once.
    sizes: Mutex<Sizes>,
}

/// What a run knows of the workspace.
#[derive(Debug, Clone)]
pub(super) struct SiteContext {
    /// Who the token is, for people.
    pub(super) shown: String,
    pub(super) reference: Reference,
    /// Keys of the teams to read; empty means all.
    pub(super) teams: Vec<String>,
    /// Configured teams that the workspace does not list.
    pub(super) unknown_teams: Vec<String>,
}

impl SiteContext {
    fn new(settings: &Settings, shown: String, reference: Reference) -> Self {
        let (teams, unknown_teams) = reference.configured(settings);
        Self { shown, reference, teams, unknown_teams }
    }

    /// Configured teams that were read once and that the workspace does not list any more.
    pub(super) fn lost(&self) -> Vec<String> {
        let known = |wanted: &&String| self.reference.teams.values().any(|team| team.key.eq_ignore_ascii_case(wanted));
        self.unknown_teams.iter().filter(known).cloned().collect()
    }

    /// What a person should know of configured teams that the workspace does not list.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when no team is left.
    pub(super) fn missing_teams(&self) -> Result<Vec<String>> {
        if self.teams.is_empty() && !self.unknown_teams.is_empty() {
            let text = "none of the configured teams exists for this token";
            return Err(Error::new(ErrorKind::Rejected, text).with("projects", self.unknown_teams.join(", ")));
        }
        let warn = |team: &String| {
            format!(
                "team {team} does not exist or is hidden from this token: correct `projects`, or let the token into it"
            )
        };
        Ok(self.unknown_teams.iter().map(warn).collect())
    }
}

/// An opened workspace.
pub(super) struct Linear {
    pub(super) settings: Arc<Settings>,
    pub(super) api: Arc<Api>,
    pub(super) run: Run,
    memory: Arc<Memory>,
    context: Mutex<Arc<SiteContext>>,
    /// State changes in histories that the spans of states contradict.
    disputes: AtomicU64,
    /// Entries of histories that were left out because they cannot be read.
    left_out: AtomicU64,
    /// Things that Linear cannot serve in this run, with what it said.
    unreadable: Mutex<BTreeMap<Box<str>, String>>,
    /// Issues that were read in this run.
    read: Mutex<BTreeSet<Box<str>>>,
    /// Lists around the issues that were read once, as far as this run knows.
    listed: Mutex<BTreeSet<String>>,
    /// What is to be said with the next page.
    notes: Mutex<Notes>,
    /// What was said in this run of what Linear does not know.
    said: Mutex<BTreeSet<String>>,
}

impl Linear {
    /// Opens the workspace with what was stored after the last run: one request, either for who we are or for that and all
    /// reference data.
    pub(super) async fn open(
        settings: Arc<Settings>,
        api: Arc<Api>,
        memory: Arc<Memory>,
        stored: Option<Reference>,
        run: &Run,
    ) -> Result<Self> {
        let last = lock(&memory.newest).clone();
        let known = last.as_deref().map(|last| &last.reference);
        let reference = reference_data::newest(stored, known, |reference| reference.fetched_at);
        let mut notes = Notes::default();
        let context = if run.full || reference.is_due(run.now, &BTreeSet::new()) {
            api.forget_missing();
            fetch(&api, &settings, reference, run.now, &mut notes).await?
        } else {
            let named = reference.named(&settings);
            let identity = api.whoami(&named).await?;
            if !named.is_empty() && is_absent(identity.teams.as_ref()) {
                return Err(Error::new(ErrorKind::Protocol, "the list of teams did not come"));
            }
            let seen = identity.teams.into_iter().flat_map(|teams| teams.nodes).map(|team| team.id).collect();
            let named: Vec<Box<str>> = named.into_iter().map(Box::from).collect();
            let mut reference = Reference { organization: identity.organization, ..reference };
            reference.note_visible(&named, &seen);
            SiteContext::new(&settings, shown(&identity.viewer)?, reference)
        };
        let context = Arc::new(context);
        *lock(&memory.newest) = Some(Arc::clone(&context));
        Ok(Self {
            settings,
            api,
            run: *run,
            memory,
            context: Mutex::new(context),
            disputes: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            unreadable: Mutex::default(),
            read: Mutex::default(),
            listed: Mutex::default(),
            notes: Mutex::new(notes),
            said: Mutex::default(),
        })
    }

    /// Makes sure that the tool serves anything at all, before one thing is blamed. Waits as long as that takes.
    pub(super) async fn probe(&self) -> Result<()> {
        self.api.whoami(&[]).await.map(drop)
    }

    /// Has those things of a part that did not come asked for again. Returns the one that is to blame, and for what.
    ///
    /// # Errors
    /// The failure, when it is nobody's fault; as [`Linear::probe`].
    pub(super) async fn retry<T>(
        &self,
        parts: &mut Parts<T>,
        part: &Part<T>,
        missing: Vec<T>,
        error: Error,
    ) -> Result<Option<(T, String)>> {
        if missing.len() < part.items.len() {
            parts.came();
        }
        match parts.failed(part, missing, is_refused(&error)) {
            Next::GoOn => Ok(None),
            Next::Probe => self.probe().await.map(|()| None),
            Next::Blame(item) => Ok(Some((item, error.full()))),
            Next::GiveUp => Err(error),
        }
    }

    /// Notes that something cannot be read in this run: it is not asked for again.
    pub(super) fn note_unreadable(&self, id: &str, reason: &str) {
        warn!(source = self.settings.source, id, reason, "cannot be read");
        lock(&self.unreadable).insert(id.into(), reason.to_owned());
    }

    /// What cannot be read in this run.
    pub(super) fn unreadable(&self) -> BTreeMap<Box<str>, String> {
        lock(&self.unreadable).clone()
    }

    /// Notes issues as read in this run.
    pub(super) fn note_read<'i>(&self, ids: impl Iterator<Item = &'i Box<str>>) {
        lock(&self.read).extend(ids.cloned());
    }

    /// Whether an issue was read in this run.
    pub(super) fn was_read(&self, id: &str) -> bool {
        lock(&self.read).contains(id)
    }

    /// Notes lists around the issues that were read once.
    pub(super) fn note_listed(&self, names: impl Iterator<Item = String>) {
        lock(&self.listed).extend(names);
    }

    /// Whether this list around the issues was read once.
    pub(super) fn was_listed(&self, name: &str) -> bool {
        lock(&self.listed).contains(name)
    }

    /// Says something to people, with the next page.
    pub(super) fn note(&self, text: String) {
        self.notes().warnings.push(text);
    }

    /// What is to be said with the next page.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    /// Takes what is to be said by now.
    pub(super) fn take_notes(&self) -> Notes {
        let mut notes = std::mem::take(&mut *self.notes());
        notes.warnings.extend(self.take_disputes());
        let mut said = lock(&self.said);
        notes.warnings.extend(self.api.lacks().into_iter().filter(|lack| said.insert(lack.clone())));
        notes
    }

    /// The latest moment that a change can have, by the tool's own clock.
    pub(super) fn latest(&self) -> Millis {
        self.api.stats().vendor_time.unwrap_or(self.run.now)
    }

    /// What is known of the workspace by now.
    pub(super) fn context(&self) -> Arc<SiteContext> {
        lock(&self.context).clone()
    }

    fn install(&self, context: SiteContext) -> Arc<SiteContext> {
        let context = Arc::new(context);
        *lock(&self.context) = Arc::clone(&context);
        *lock(&self.memory.newest) = Some(Arc::clone(&context));
        context
    }

    /// How much can be asked for at once.
    pub(super) fn sizes(&self) -> MutexGuard<'_, Sizes> {
        lock(self.learned_sizes())
    }

    /// The same, for whoever locks it by themselves.
    pub(super) fn learned_sizes(&self) -> &Mutex<Sizes> {
        &self.memory.sizes
    }

    /// Takes over what an earlier process learned, unless this one knows better.
    pub(super) fn adopt(&self, stored: Option<Sizes>) {
        let mut sizes = self.sizes();
        if let Some(stored) = stored.filter(|_| *sizes == Sizes::default()) {
            *sizes = stored;
        }
    }

    /// Makes sure that these names (`state:…`, `label:…`) are known: the first time one is not, the workspace is asked again.
    pub(super) async fn explain(
        &self,
        context: &Arc<SiteContext>,
        names: BTreeSet<String>,
        run: &Run,
    ) -> Result<Arc<SiteContext>> {
        let unknown: BTreeSet<String> = names.into_iter().filter(|name| !context.reference.knows(name)).collect();
        if !context.reference.is_due(run.now, &unknown) {
            return Ok(context.clone());
        }
        let mut notes = Notes::default();
        let mut next = fetch(&self.api, &self.settings, context.reference.clone(), run.now, &mut notes).await?;
        self.notes().append(notes);
        let gone = unknown.into_iter().filter(|name| !next.reference.knows(name)).collect::<Vec<_>>();
        next.reference.missing.extend(gone.into_iter().take(MISSING));
        Ok(self.install(next))
    }

    /// Counts state changes of histories that the spans of states contradict.
    pub(super) fn note_disputes(&self, disputes: u64) {
        self.disputes.fetch_add(disputes, Ordering::Relaxed);
    }

    /// Counts entries that were left out.
    pub(super) fn note_left_out(&self, left_out: usize) {
        self.left_out.fetch_add(left_out as u64, Ordering::Relaxed);
    }

    /// What was counted since the last time, as warnings.
    fn take_disputes(&self) -> impl Iterator<Item = String> {
        let said = |count: &AtomicU64, text: &str| {
            let count = count.swap(0, Ordering::Relaxed);
            (count > 0).then(|| format!("{count} {text}"))
        };
        let disputes = "state changes of histories are not in the spans of states, which count";
        let left_out = "entries of histories cannot be read and were left out";
        [said(&self.disputes, disputes), said(&self.left_out, left_out)].into_iter().flatten()
    }
}

/// Fetches the reference data: a page of every list in one request, then of those that go on. A list that fails costs its own
/// data: what was known of it stays, and `notes` says so.
async fn fetch(
    api: &Api,
    settings: &Settings,
    mut reference: Reference,
    now: Millis,
    notes: &mut Notes,
) -> Result<SiteContext> {
    info!(source = settings.source, "fetching the workspace's teams, states, labels and people");
    let all = Reference::from_start();
    match fetch_lists(api, all.clone(), FEW_TRIES).await {
        Ok((shown, read)) => {
            reference.merge(read, true);
            (reference.fetched_at, reference.refused, reference.absent) = (now, BTreeMap::new(), BTreeSet::new());
            return Ok(SiteContext::new(settings, shown, reference));
        }
        Err(error) if may_be_one(&error) => warn!(error = error.full(), "will ask for one list at a time"),
        Err(error) => return Err(error),
    }
    let mut found = shown(&api.whoami(&[]).await?.viewer)?;
    let mut failed = 0;
    for name in all.into_keys() {
        let ask = || fetch_lists(api, Cursors::from([(name, None)]), ONCE);
        match confirmed(ask, || async { api.whoami(&[]).await.map(drop) }).await {
            Ok((shown, read)) => {
                found = shown;
                reference.merge(read, name == "teams");
                reference.has(name);
            }
            Err(error) if may_be_one(&error) && failed + 1 < LISTS && !reference.needs(name, settings) => {
                failed += 1;
                reference.lacks(name);
                let text = format!("the list of {name} cannot be read, what was known of it stays: {error}");
                if is_refused(&error) {
                    notes.refused_since(reference.refuse(name, now), now, text);
                } else {
                    notes.warnings.push(text);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let age = if notes.withheld.is_empty() { INCOMPLETE_AGE } else { NEXT_RUN };
    reference.fetched_at = Reference::due_in(now, age);
    Ok(SiteContext::new(settings, found, reference))
}

/// Fetches these lists to their ends. Returns who the token is, and what was read.
async fn fetch_lists(api: &Api, mut from: Cursors, tries: Tries) -> Result<(String, Reference)> {
    let mut read = Reference::default();
    for _ in 0..MAX_PAGES {
        let answer = api.reference(&from, tries).await?;
        if !answer.errors.is_empty() {
            return Err(answer.refusal());
        }
        let shown = shown(&answer.data.viewer)?;
        if let Some(name) = answer.data.absent(&from) {
            return Err(Error::new(ErrorKind::Protocol, format!("the list of {name} did not come")));
        }
        from = read.take(answer.data);
        if from.is_empty() {
            return Ok((shown, read));
        }
    }
    Err(Error::new(ErrorKind::Protocol, "the lists of reference data do not end"))
}

/// Who the token is. Without anybody an empty answer is not to be believed.
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
