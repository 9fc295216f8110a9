//! Passes: everything is decided anew from all contexts, and what differs from what was seen is written. The pass over the contexts
//! is here; what they share is in [`super::shared`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _};
use kube::core::ObjectMeta;
use serde_json::Value;

use super::annotate;
use super::apply;
use super::bindings;
use super::changes::{self, ContextChange};
use super::events::{self, Notice, Subject};
use super::http;
use super::kinds::Place;
use super::later::Matter;
use super::means::Passes;
use super::plan::{self, Step, Wanted};
use super::results::{ObjectState, Verdict};
use super::status::{self, Known};
use super::world::SeenContext;
use crate::derive::{Judged, Outcome};
use crate::resource::{Criticality, ProjectContext, ProjectContextStatus};
use crate::settings::{CollectorMode, Settings};

/// How many contexts are written at a time.
const AT_ONCE: usize = 16;
/// So many objects could a status name in definitions of earlier versions.
const MOST_RESOURCES_BEFORE: usize = 32;
/// The refusal after which nothing of a context stays.
const NOT_PERMITTED: &str = "NotPermitted";

/// What was seen when a pass began.
pub(crate) struct Input {
    pub(crate) settings: Arc<Settings>,
    seen: Vec<(Place, SeenContext)>,
    last_good: BTreeMap<Place, Arc<ProjectContext>>,
    /// UIDs of all contexts.
    living: BTreeSet<String>,
    is_leader: bool,
}

/// The contexts to derive from, and what to say of those that were refused.
pub(crate) struct Effective {
    pub(crate) contexts: Vec<Arc<ProjectContext>>,
    refused: BTreeMap<Place, Refused>,
}

struct Refused {
    outcome: Outcome,
    /// Whether what was there before stays.
    keeps: bool,
}

impl Passes {
    pub(crate) fn input(&self) -> Input {
        let world = self.world.lock();
        let seen = world.contexts.iter().filter(|(_, seen)| !seen.is_leaving);
        Input {
            settings: Arc::clone(&world.settings),
            seen: seen.map(|(place, seen)| (place.clone(), seen.clone())).collect(),
            last_good: world.last_good.clone(),
            living: world.contexts.values().map(|seen| seen.uid.clone()).collect(),
            is_leader: world.is_leader,
        }
    }

    /// Brings every context into force, and its status up to date.
    pub(crate) async fn contexts(&self) {
        let input = self.input();
        let effective = effective(&input);
        self.remember(&input, &effective);
        if !input.is_leader {
            return;
        }
        self.begin().await;
        self.see_unrecorded();
        let judged = Judged::new(effective.contexts.iter().map(Arc::as_ref), &input.settings);
        let by_place: BTreeMap<Place, usize> = (0..judged.len()).map(|at| (place_of(judged.context(at)), at)).collect();
        self.metrics.queued(input.seen.len());
        let mut work = Vec::new();
        for (place, seen) in &input.seen {
            let index = by_place.get(place).copied();
            work.push(self.context(&input, &judged, index, place, seen, effective.refused.get(place)).boxed());
        }
        let changes: Vec<Option<ContextChange>> = futures::stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
        let mut changes: Vec<ContextChange> = changes.into_iter().flatten().collect();
        changes.extend(self.departed().await);
        changes.extend(self.world.lock().unrecorded.take_waiting());
        if !changes.is_empty() {
            self.outside.record(changes).await;
        }
        self.metrics.errors("audit_lost", self.outside.lost_records() + self.without_room());
    }

    /// Tries again what failed and is due.
    async fn begin(&self) {
        let now = self.clock();
        let due = self.world.lock().later.releases(now);
        self.world.lock().later.begin(now);
        for workload in due {
            annotate::release_or_later(self, &workload).await;
        }
    }

    /// Keeps the specs that are good, for when the next ones are not.
    fn remember(&self, input: &Input, effective: &Effective) {
        let mut world = self.world.lock();
        for (place, seen) in &input.seen {
            let Ok(context) = &seen.context else { continue };
            if !effective.refused.contains_key(place) && world.contexts.contains_key(place) {
                world.last_good.insert(place.clone(), Arc::clone(context));
            }
        }
    }

    async fn departed(&self) -> Vec<ContextChange> {
        let departed = std::mem::take(&mut self.world.lock().departed);
        for (place, _) in &departed {
            annotate::release_all(self, place).await;
        }
        let now = self.outside.now();
        departed.iter().map(|(place, context)| ContextChange::deleted(place, context, now)).collect()
    }

    async fn context(
        &self,
        input: &Input,
        judged: &Judged<'_>,
        index: Option<usize>,
        place: &Place,
        seen: &SeenContext,
        refused: Option<&Refused>,
    ) -> Option<ContextChange> {
        let begun = Instant::now();
        let own = index.map(|index| judged.own(index)).unwrap_or_default();
        let objects = self.own_objects(input, place, &own).await;
        let failed = objects.iter().any(|(_, state)| *state != ObjectState::Applied);
        let change = match (refused, index) {
            (Some(refused), _) => {
                let new = status::refused(&refused.outcome, &seen.status, refused.keeps);
                self.write_status(place, seen, new, None).await
            }
            (None, Some(index)) => {
                let outcome = judged.outcome(index, &own);
                self.accepted(input, place, seen, &outcome, objects).await
            }
            (None, None) => None,
        };
        self.metrics.dequeued();
        self.metrics.reconciled(begun.elapsed(), if failed { "error" } else { "ok" });
        change
    }

    /// Brings the objects of one context into force.
    async fn own_objects(&self, input: &Input, place: &Place, own: &[Value]) -> Vec<(String, ObjectState)> {
        let mut objects = Vec::new();
        let mut keys = BTreeSet::new();
        for object in own {
            let Some(wanted) = Wanted::of(object) else { continue };
            keys.insert(wanted.key.clone());
            let state = self.ensure(input, &wanted, object).await;
            objects.push((wanted.key.to_string(), state));
        }
        let mut world = self.world.lock();
        if world.contexts.contains_key(place) {
            world.results.own.insert(place.clone(), keys);
        }
        objects
    }

    async fn accepted(
        &self,
        input: &Input,
        place: &Place,
        seen: &SeenContext,
        outcome: &Outcome,
        mut objects: Vec<(String, ObjectState)>,
    ) -> Option<ContextChange> {
        let context = seen.context.as_ref().ok()?;
        if outcome.is_accepted() {
            let mut outcome = outcome.clone();
            let mut conflict = None;
            if input.settings.annotate.enabled {
                let report = annotate::bring(self, place, context, &outcome).await;
                objects.extend(report.states);
                outcome.status.resources.extend(report.resources);
                conflict = report.conflict;
                self.restarted(place, seen, &report.restarted).await;
            }
            let known = self.known(place, seen, context, objects).await?;
            let new = status::accepted(&outcome, Known { conflict, ..known });
            let new = status::with_last_accepted(new, &seen.status);
            return self.write_status(place, seen, new, Some(context)).await;
        }
        // An older one kept its last good outputs, and they claim the same.
        let new = status::refused(outcome, &seen.status, true);
        self.write_status(place, seen, new, None).await
    }

    async fn restarted(&self, place: &Place, seen: &SeenContext, workloads: &[String]) {
        if !workloads.is_empty() {
            let note = format!("annotated the pod template, so the pods start anew: {}", workloads.join(", "));
            let about = Subject { place: place.clone(), uid: seen.uid.clone(), identity: self.identity.clone() };
            events::post(&self.client, &about, &Notice::normal("PodsRestarted", note), self.outside.now()).await;
        }
    }

    /// What is known besides what was derived. `None` while the shared outputs do not hold this generation yet: the status is
    /// written once they do, and not twice.
    async fn known(
        &self,
        place: &Place,
        seen: &SeenContext,
        context: &ProjectContext,
        objects: Vec<(String, ObjectState)>,
    ) -> Option<Known> {
        let bindings = bindings::of(self, place).await;
        let world = self.world.lock();
        if world.results.covered.get(place) != Some(&seen.generation) {
            return None;
        }
        let mut shared = world.results.conditions.clone();
        if world.settings.routing.per_namespace {
            shared.routing = world.results.routes.get(&place.namespace).cloned();
        }
        let restarts = world.settings.collector.mode != CollectorMode::ConfigMap;
        let waits = restarts && world.results.rolled.get(place) != Some(&seen.generation);
        if waits && shared.sampling.as_ref().is_some_and(|verdict| verdict.status == "True") {
            shared.sampling = Some(Verdict::rolling());
        }
        if let Some(sent) = &world.sent {
            let mut sent = sent.clone();
            if let Some(why) = world.left.get(place).filter(|_| sent.status == "True") {
                sent.message.clone_from(why);
            }
            shared.dashboard = Some(sent);
        }
        let finding = world.findings.get(place).map(|(_, finding)| finding.clone());
        let waits = || Verdict::new("Unknown", "NotChecked", "Prometheus has not been asked yet");
        let mut known = Known {
            objects,
            bindings,
            shared,
            finding,
            digest: Some(changes::digest(context)),
            spec: Some(changes::stored(context)),
            conflict: None,
            waits: None,
        };
        if known.finding.is_none() && world.settings.prometheus.url.is_some() {
            known.waits = Some(waits());
        }
        Some(known)
    }

    /// Writes a status that differs, with what the audit's backend does not have yet, and says in Events what changed. Returns a
    /// change that no status keeps.
    async fn write_status(
        &self,
        place: &Place,
        seen: &SeenContext,
        new: ProjectContextStatus,
        accepted: Option<&Arc<ProjectContext>>,
    ) -> Option<ContextChange> {
        let now = self.outside.now();
        let mut new = new;
        let mut change = accepted.and_then(|context| self.change(place, seen, &new, context, now));
        self.keep(seen, &mut new, change.as_mut());
        if http::schema_difference(&self.world.lock()).is_some() {
            // A definition of an earlier version refuses the whole status for a field that it does not know.
            new.accepted_spec = None;
            new.resources.truncate(MOST_RESOURCES_BEFORE);
            new.unrecorded.clear();
            change = change.map(|change| ContextChange { is_kept: false, ..change });
        }
        // Times in a status have seconds.
        let text = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Some(new) = status::to_write(&seen.status, new, &text) else {
            self.settled(place, seen, accepted);
            return None;
        };
        if let Err(error) = apply::write_status(&self.client, place, &new).await {
            self.metrics.error("status");
            tracing::warn!(context = %place, "the status was not written: {}", super::trouble::of_status(&error));
            self.world.lock().later.put_off(Matter::Status(place.clone()), self.clock());
            return None;
        }
        let mut notices = events::transitions(&seen.status, &new);
        if let Some(derived) = &new.derived {
            let cost = changes::cost(seen.status.derived.as_ref(), derived);
            notices.extend(cost.map(|cost| Notice::normal("CostRaised", cost)));
        }
        let change = self.written(place, seen, &new, accepted, change);
        let about = Subject { place: place.clone(), uid: seen.uid.clone(), identity: self.identity.clone() };
        for notice in notices {
            events::post(&self.client, &about, &notice, now).await;
        }
        change
    }

    /// Brings one object into force, and says how it is.
    pub(crate) async fn ensure(&self, input: &Input, wanted: &Wanted, object: &Value) -> ObjectState {
        let key = &wanted.key;
        let is_living = |uid: &str| input.living.contains(uid);
        let step = self.step(wanted, &is_living);
        let sent = match step {
            Step::Nothing => {
                self.unchanged(wanted);
                return ObjectState::Applied;
            }
            Step::Wait => return self.world.lock().results.state(key),
            Step::Report(state) => {
                self.world.lock().results.reported(key, &wanted.hash, state.clone(), self.clock());
                return state;
            }
            Step::Send => apply::send(&self.client, key, object).await,
            Step::Create => apply::create(&self.client, wanted, object, &is_living).await,
        };
        self.sent(wanted, sent)
    }

    /// What to do about an object.
    pub(crate) fn step(&self, wanted: &Wanted, is_living: &dyn Fn(&str) -> bool) -> Step {
        let world = self.world.lock();
        let key = &wanted.key;
        let availability = world.availability(key.kind, &key.namespace);
        plan::step(wanted, world.children.get(key), &availability, world.results.record(key), self.clock(), is_living)
    }

    fn unchanged(&self, wanted: &Wanted) {
        let mut world = self.world.lock();
        if let Some(child) = world.children.get(&wanted.key).cloned() {
            world.results.unchanged(&wanted.key, &wanted.hash, &child, self.clock());
        }
    }

    fn sent(&self, wanted: &Wanted, sent: Result<super::child::Child, ObjectState>) -> ObjectState {
        let mut world = self.world.lock();
        match sent {
            Ok(child) => {
                world.results.applied(&wanted.key, &wanted.hash, &child, self.clock());
                world.children.insert(wanted.key.clone(), child);
                ObjectState::Applied
            }
            Err(state) => {
                let (error_type, message) = match &state {
                    ObjectState::Taken(message) => ("name_taken", message),
                    ObjectState::NotInstalled(message) => ("not_installed", message),
                    ObjectState::Failed(message) => ("apply", message),
                    ObjectState::Applied | ObjectState::Pending => ("none", &wanted.hash),
                };
                self.metrics.error(error_type);
                tracing::warn!("{message}");
                world.results.failed(&wanted.key, &wanted.hash, state.clone(), self.clock());
                state
            }
        }
    }

    /// Contexts whose outputs stay although they were refused, as UIDs.
    pub(crate) fn protected(input: &Input, effective: &Effective) -> BTreeSet<String> {
        let seen =
            input.seen.iter().filter(|(place, _)| effective.refused.get(place).is_some_and(|refused| refused.keeps));
        seen.map(|(_, seen)| seen.uid.clone()).collect()
    }

    /// Generations that were seen.
    pub(crate) fn generations(input: &Input) -> BTreeMap<Place, i64> {
        input.seen.iter().map(|(place, seen)| (place.clone(), seen.generation)).collect()
    }
}

pub(crate) fn place_of(context: &ProjectContext) -> Place {
    let metadata = &context.metadata;
    Place { namespace: metadata.namespace.clone().unwrap_or_default(), name: metadata.name.clone().unwrap_or_default() }
}

/// Chooses for each context the spec to derive from: the newest that was accepted.
pub(crate) fn effective(input: &Input) -> Effective {
    let readable = input.seen.iter().filter_map(|(_, seen)| seen.context.as_ref().ok());
    let readable: Vec<&Arc<ProjectContext>> = readable.collect();
    let judged = Judged::new(readable.iter().map(|context| context.as_ref()), &input.settings);
    let mut refused: BTreeMap<Place, Refused> = BTreeMap::new();
    for index in 0..judged.len() {
        if let Some(reason) = judged.refusal(index) {
            let outcome = judged.outcome(index, &[]);
            refused.insert(place_of(judged.context(index)), Refused { outcome, keeps: reason != NOT_PERMITTED });
        }
    }
    for (place, seen) in &input.seen {
        if let Err(message) = &seen.context {
            refused.insert(place.clone(), Refused { outcome: unreadable(place, seen, message), keeps: true });
        }
    }
    let mut contexts = Vec::new();
    for (place, seen) in &input.seen {
        match (refused.get(place), &seen.context) {
            (None, Ok(context)) => contexts.push(Arc::clone(context)),
            (Some(Refused { keeps: true, .. }), _) => {
                contexts.extend(input.last_good.get(place).cloned().or_else(|| recovered(place, seen)));
            }
            _ => {}
        }
    }
    Effective { contexts, refused }
}

/// The spec that was accepted last, by another process or an earlier one.
pub(super) fn recovered(place: &Place, seen: &SeenContext) -> Option<Arc<ProjectContext>> {
    let spec = serde_json::from_str(seen.status.accepted_spec.as_deref()?).ok()?;
    let metadata = ObjectMeta {
        name: Some(place.name.clone()),
        namespace: Some(place.namespace.clone()),
        uid: Some(seen.uid.clone()),
        creation_timestamp: seen.created.clone(),
        ..ObjectMeta::default()
    };
    Some(Arc::new(ProjectContext { metadata, spec, status: None }))
}

fn unreadable(place: &Place, seen: &SeenContext, message: &str) -> Outcome {
    let verdict = || Verdict::new("False", "InvalidSpec", message);
    let generation = Some(seen.generation);
    let conditions = ["Accepted", "Ready"].map(|kind| verdict().into_condition(kind, generation));
    let status = ProjectContextStatus {
        observed_generation: generation,
        conditions: conditions.to_vec(),
        ..ProjectContextStatus::default()
    };
    Outcome {
        namespace: place.namespace.clone(),
        name: place.name.clone(),
        criticality: Criticality::default(),
        status,
        notes: Vec::new(),
    }
}
