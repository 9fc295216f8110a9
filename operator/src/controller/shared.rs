//! The pass over what all contexts share: the collector, routing, the projects of the sync service; and what nobody wants any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;

use super::apply;
use super::kinds::{Key, Kind};
use super::later::Matter;
use super::means::Passes;
use super::passes::{self, Effective, Input};
use super::plan::{Step, Wanted};
use super::results::{ObjectState, SharedConditions, Verdict};
use super::trouble;
use super::world::{Availability, World};
use crate::derive::{FORWARD, FRAGMENT, GATEWAY, Judged, ROUTING, SAMPLING, TRANSFORM, marker_of};
use crate::settings::{CollectorMode, GrafanaMode, Settings, Strategy};

/// What ConfigMaps for the sync service begin with.
const PROJECTS: &str = "contextcore-projects-";
/// What ConfigMaps with dashboards begin with.
const DASHBOARD: &str = "contextcore-dashboard-";
/// Which fragments the collectors have loaded. A policy is called after its processor as well (`contextcore.fragment-…`); where
/// sampling is consistent it is a processor that has the name.
const LOADED: &str = "group by (fragment) (label_replace({__name__=~\"otelcol_processor_tail_sampling_.+\",\
                      policy=~\"(.+[.])?fragment-.+\"}, \"fragment\", \"$1\", \"policy\", \"(?:.+[.])?(fragment-.+)\")) or \
                      group by (fragment) (label_replace({__name__=~\"otelcol_processor_.+\",\
                      processor=~\"transform/fragment-.+\"}, \"fragment\", \"$1\", \"processor\", \"transform/(.+)\"))";
/// A collector is changed at most this often, because it restarts.
pub(crate) const ROLL: Duration = Duration::from_secs(60);

/// `RoutingReady` by namespace.
type Routes = BTreeMap<String, Verdict>;

impl Passes {
    /// Brings what all contexts share into force, then removes what nobody wants.
    pub(crate) async fn shared(&self) {
        let input = self.input();
        let effective = passes::effective(&input);
        if !self.world.lock().is_leader {
            return;
        }
        let begun = std::time::Instant::now();
        let objects = {
            let judged = Judged::new(effective.contexts.iter().map(AsRef::as_ref), &input.settings);
            judged.shared()
        };
        let mut conditions = SharedConditions::default();
        let mut routes = routes_of(&effective, &input.settings);
        let mut keys = BTreeSet::new();
        for object in &objects {
            keys.extend(Key::of(object));
            self.shared_object(&input, object, &mut conditions, &mut routes).await;
        }
        conditions.dashboard = self.dashboard_objects(&input, &keys);
        let failed = [&conditions.sampling, &conditions.routing, &conditions.dashboard];
        let failed = failed.into_iter().flatten().chain(routes.values()).any(|verdict| verdict.status == "False");
        self.finish_shared(&input, conditions, routes, keys);
        self.sweep(&input, &effective).await;
        self.metrics.reconciled(begun.elapsed(), if failed { "error" } else { "ok" });
    }

    /// The contexts hear of it through their status.
    fn finish_shared(&self, input: &Input, conditions: SharedConditions, routes: Routes, keys: BTreeSet<Key>) {
        let mut world = self.world.lock();
        let covered = Self::generations(input);
        let known = &world.results;
        if known.conditions != conditions || known.routes != routes || known.covered != covered {
            world.results.conditions = conditions;
            world.results.routes = routes;
            world.results.covered = covered;
            world.status_changes += 1;
        }
        world.results.shared = keys;
        drop(world);
        self.world.news.notify_one();
    }

    async fn shared_object(
        &self,
        input: &Input,
        object: &Value,
        conditions: &mut SharedConditions,
        routes: &mut Routes,
    ) {
        match Kind::of(object) {
            Some(Kind::OpenTelemetryCollector) if input.settings.collector.mode == CollectorMode::Attach => {
                let verdict = self.attach(&input.settings, object).await;
                self.attach_later(verdict.as_ref());
                conditions.sampling = Some(self.rolled_out(input, verdict));
            }
            Some(Kind::OpenTelemetryCollector) => {
                let verdict = self.managed(input, object).await;
                conditions.sampling = Some(self.rolled_out(input, verdict));
            }
            Some(Kind::AlertmanagerConfig) => {
                let Some(wanted) = Wanted::of(object) else { return };
                let verdict = verdict_of(self.ensure(input, &wanted, object).await);
                match routes.get_mut(&wanted.key.namespace) {
                    Some(known) => *known = verdict,
                    None => conditions.routing = Some(verdict),
                }
            }
            Some(_) => {
                let Some(wanted) = Wanted::of(object) else { return };
                let state = self.ensure(input, &wanted, object).await;
                if wanted.key.name == FRAGMENT {
                    conditions.sampling = Some(self.fragment(input, object, state).await);
                } else if state != ObjectState::Applied && wanted.key.name.starts_with(PROJECTS) {
                    // The entries for the sync service have no condition of their own.
                    conditions.sampling.get_or_insert(verdict_of(state));
                }
            }
            None => {}
        }
    }

    /// The fragment is in its ConfigMap. Whether a collector has loaded it is seen in the collector's own metrics.
    async fn fragment(&self, input: &Input, object: &Value, state: ObjectState) -> Verdict {
        let settings = &input.settings;
        if state != ObjectState::Applied {
            return verdict_of(state);
        }
        let (namespace, key) = (&settings.namespace, "contextcore.yaml");
        let in_pipelines = match settings.sampling.strategy {
            Strategy::Consistent => {
                format!(
                    "name {TRANSFORM} in the pipelines, export traces to {ROUTING} and receive them again from {FORWARD}"
                )
            }
            Strategy::Tail | Strategy::Head => format!("name {TRANSFORM} and {SAMPLING} in the pipelines"),
        };
        let mount = format!(
            "mount ConfigMap {namespace}/{FRAGMENT}, give the collector a second --config with its {key}, and {in_pipelines}"
        );
        let (Some(url), Some(marker)) = (&settings.prometheus.url, marker_of(object)) else {
            return Verdict::new(
                "Unknown",
                "NotAttached",
                format!("whether a collector reads it is not known: {mount}"),
            );
        };
        let loaded = match self.outside.query(url, LOADED).await {
            Ok(samples) => samples,
            Err(message) => {
                let message =
                    format!("whether a collector reads it is not known, Prometheus at {url} was not asked: {message}");
                return Verdict::new("Unknown", "NotAttached", message);
            }
        };
        let mut fragments = loaded.iter().filter_map(|sample| sample.labels.get("fragment"));
        match (fragments.any(|fragment| *fragment == marker), loaded.is_empty()) {
            (true, _) => Verdict::new("True", "Applied", ""),
            (false, true) => Verdict::new("Unknown", "NotAttached", format!("no collector has it: {mount}")),
            (false, false) => Verdict::new(
                "Unknown",
                "NotAttached",
                "a collector has an older fragment: reload it (SIGHUP), or wait for its next trace",
            ),
        }
    }

    /// Remembers which contexts the collector has. While a change waits, what was said before holds for the others.
    fn rolled_out(&self, input: &Input, verdict: Option<Verdict>) -> Verdict {
        let mut world = self.world.lock();
        let Some(verdict) = verdict else {
            return world.results.conditions.sampling.clone().unwrap_or_else(Verdict::rolling);
        };
        let generations = Self::generations(input);
        if world.results.rolled != generations {
            world.results.rolled = generations;
            world.status_changes += 1;
        }
        verdict
    }

    /// Adds both processors to the collector of somebody else. `None`: that waits, because it restarts the collector.
    async fn attach(&self, settings: &Settings, object: &Value) -> Option<Verdict> {
        let Some(key) = Key::of(object) else { return Some(Verdict::new("False", "ApplyFailed", "")) };
        if let Some(verdict) = unusable(&self.world.lock(), &key) {
            return Some(verdict);
        }
        let live = match apply::get(&self.client, &key).await {
            Ok(Some(live)) => live,
            Ok(None) => {
                let message = format!("{key} does not exist: create it, or correct collector.name in the settings");
                return Some(Verdict::new("False", "CollectorNotFound", message));
            }
            Err(error) => return Some(Verdict::new("False", "ApplyFailed", trouble::of_write(&key, &error))),
        };
        let is_there =
            |name: &&str| live["spec"]["config"]["processors"][*name] == object["spec"]["config"]["processors"][*name];
        if ![TRANSFORM, SAMPLING].iter().all(is_there) {
            if self.must_wait() {
                return None;
            }
            let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
            if let Err(error) = apply::attach(&self.client, &key, uid, object).await {
                self.metrics.error("attach");
                return Some(Verdict::new("False", "ApplyFailed", trouble::of_write(&key, &error)));
            }
            self.rolled_now();
        }
        Some(attached(&live, settings))
    }

    /// Attaching failed by an answer of the API server, and no watch says when it would go well.
    fn attach_later(&self, verdict: Option<&Verdict>) {
        let mut world = self.world.lock();
        if verdict.is_some_and(|verdict| verdict.reason == "ApplyFailed") {
            world.later.put_off(Matter::Collector, self.clock());
        } else {
            world.later.settle(&Matter::Collector);
        }
    }

    /// Our own gateway. `None`: its change waits.
    async fn managed(&self, input: &Input, object: &Value) -> Option<Verdict> {
        let Some(wanted) = Wanted::of(object) else { return Some(Verdict::new("False", "ApplyFailed", "")) };
        let sends = matches!(self.step(&wanted, &|_| false), Step::Send);
        if sends && self.must_wait() {
            return None;
        }
        let before = self.world.lock().children.get(&wanted.key).map(|child| child.version.clone());
        let state = self.ensure(input, &wanted, object).await;
        let after = self.world.lock().children.get(&wanted.key).map(|child| child.version.clone());
        if state == ObjectState::Applied && before != after {
            self.rolled_now();
        }
        Some(verdict_of(state))
    }

    fn must_wait(&self) -> bool {
        let rolled = *self.rolled.lock().unwrap_or_else(PoisonError::into_inner);
        rolled.is_some_and(|at| self.clock() < at + ROLL)
    }

    fn rolled_now(&self) {
        *self.rolled.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock());
    }

    /// The dashboards that are objects of the cluster: folders, and what the sidecar of Grafana's chart reads. `None`: there are none.
    fn dashboard_objects(&self, input: &Input, keys: &BTreeSet<Key>) -> Option<Verdict> {
        let is_one = |key: &&Key| match input.settings.grafana.mode() {
            Some(GrafanaMode::GrafanaOperator) => matches!(key.kind, Kind::GrafanaDashboard | Kind::GrafanaFolder),
            Some(GrafanaMode::Sidecar) => key.name.starts_with(DASHBOARD),
            _ => false,
        };
        let world = self.world.lock();
        let states: Vec<ObjectState> = keys.iter().filter(is_one).map(|key| world.results.state(key)).collect();
        let missing = states.iter().find(|state| **state != ObjectState::Applied).cloned();
        let provisioned = || Verdict::new("True", "Provisioned", "");
        (!states.is_empty()).then(|| missing.map_or_else(provisioned, verdict_of))
    }

    /// Removes objects of this installation that nobody wants, once two passes saw them so.
    async fn sweep(&self, input: &Input, effective: &Effective) {
        let protected = Self::protected(input, effective);
        let orphans: Vec<(Key, String)> = {
            let mut world = self.world.lock();
            let now = self.clock();
            let mut found = unwanted(&world, &protected);
            found.retain(|key| world.later.is_due(&Matter::Removal(key.clone()), now));
            let old = world.results.orphans(found);
            old.into_iter().filter_map(|key| Some((key.clone(), world.children.get(&key)?.uid.clone()))).collect()
        };
        for (key, uid) in orphans {
            match apply::delete(&self.client, &key, &uid).await {
                Ok(()) => {
                    tracing::info!("removed {key}, which nothing asks for any more");
                    self.world.lock().remove_child(&key);
                }
                Err(error) => {
                    self.metrics.error("delete");
                    let (why, matter) = (trouble::of_write(&key, &error), Matter::Removal(key));
                    let mut world = self.world.lock();
                    if !world.later.is_known(&matter) {
                        tracing::warn!("{why}");
                    }
                    world.later.put_off(matter, self.clock());
                }
            }
        }
    }
}

/// What is said of routing in each namespace with contexts, as long as no object there says otherwise: one whose channels nobody set
/// up needs none. Empty where all share one.
fn routes_of(effective: &Effective, settings: &Settings) -> Routes {
    if !settings.routing.per_namespace || settings.channels.is_empty() {
        return Routes::new();
    }
    let namespaces = effective.contexts.iter().filter_map(|context| context.metadata.namespace.clone());
    namespaces.map(|namespace| (namespace, Verdict::new("True", "Applied", ""))).collect()
}

/// Objects of this installation that nobody wants: pure.
fn unwanted(world: &World, protected: &BTreeSet<String>) -> Vec<Key> {
    // Before every context was looked at once, everything would seem unwanted.
    let mut staying = world.contexts.iter().filter(|(_, seen)| !seen.is_leaving);
    if !world.is_complete() || staying.any(|(place, _)| !world.results.own.contains_key(place)) {
        return Vec::new();
    }
    let instance = &world.settings.instance;
    let of_ours = world.children.iter().filter(|(_, child)| child.instance.as_ref() == Some(instance));
    let unwanted = of_ours.filter(|(key, child)| {
        let living = child.owners.iter().any(|owner| protected.contains(owner));
        // A pipeline may name what is in these: they go with `controller prune` only.
        let kept = matches!(key.name.as_str(), FRAGMENT | GATEWAY);
        let left = is_left(world, child);
        (!world.results.is_wanted(key) || left) && !living && !kept
    });
    unwanted.map(|(key, _)| key.clone()).collect()
}

/// Whether it goes with a context that is gone, although one of the same name may want its name.
fn is_left(world: &World, child: &super::child::Child) -> bool {
    !child.owners.is_empty() && !child.owners.iter().any(|owner| world.contexts.values().any(|seen| seen.uid == *owner))
}

fn verdict_of(state: ObjectState) -> Verdict {
    match state {
        ObjectState::Applied => Verdict::new("True", "Applied", ""),
        ObjectState::NotInstalled(message) => Verdict::new("False", "KindNotInstalled", message),
        ObjectState::Taken(message) | ObjectState::Failed(message) => Verdict::new("False", "ApplyFailed", message),
        ObjectState::Pending => Verdict::new("Unknown", "Pending", "not applied yet"),
    }
}

fn unusable(world: &World, key: &Key) -> Option<Verdict> {
    match world.availability(key.kind, &key.namespace) {
        Availability::NotInstalled => {
            let name = key.kind.definition().unwrap_or_default();
            let message = format!("{name} is not installed: install the {}", key.kind.operator());
            Some(Verdict::new("False", "CollectorNotFound", message))
        }
        Availability::Failed(message) => Some(Verdict::new("False", "ApplyFailed", message)),
        Availability::Ready | Availability::Pending => None,
    }
}

/// Whether a pipeline of traces names both processors.
pub(crate) fn attached(live: &Value, settings: &Settings) -> Verdict {
    let names = |pipeline: &Value, name: &str| {
        pipeline["processors"].as_array().is_some_and(|processors| processors.iter().any(|processor| processor == name))
    };
    let pipelines = live["spec"]["config"]["service"]["pipelines"].as_object();
    let of_traces = pipelines.into_iter().flatten().filter(|(name, _)| name.starts_with("traces"));
    let mut of_traces = of_traces.map(|(_, pipeline)| pipeline);
    if of_traces.any(|pipeline| names(pipeline, TRANSFORM) && names(pipeline, SAMPLING)) {
        return Verdict::new("True", "Applied", "");
    }
    let (namespace, name) = settings.collector.attached(&settings.namespace);
    Verdict::new(
        "Unknown",
        "NotAttached",
        format!(
            "name {TRANSFORM} and {SAMPLING}, in this order and before batch, in a pipeline of traces of {namespace}/{name}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::child::Child;
    use super::super::kinds::Place;
    use super::super::world::{Source, Stream, Sync};
    use super::*;

    fn key(name: &str) -> Key {
        Key { kind: Kind::ConfigMap, namespace: "contextcore".into(), name: name.into() }
    }

    fn child(owners: &[&str]) -> Child {
        Child {
            instance: Some("contextcore".into()),
            owners: owners.iter().map(|owner| (*owner).to_owned()).collect(),
            ..Child::default()
        }
    }

    fn world(children: &[(&str, Child)]) -> World {
        let mut world = World::default();
        world.streams.insert(Stream::new(Source::Contexts, None), Sync::Done);
        world.children = children.iter().map(|(name, child)| (key(name), child.clone())).collect();
        world
    }

    #[test]
    fn only_what_is_ours_and_unwanted_is_removed() {
        let foreign = Child { instance: Some("other".into()), ..child(&[]) };
        let mut world = world(&[
            ("contextcore-projects-a", child(&[])),
            ("wanted", child(&[])),
            ("contextcore-collector", child(&[])),
            ("foreign", foreign),
            ("kept", child(&["u1"])),
        ]);
        world.results.shared.insert(key("wanted"));
        let protected = BTreeSet::from(["u1".to_owned()]);
        assert_eq!(unwanted(&world, &protected), [key("contextcore-projects-a")]);
        world.streams.insert(Stream::new(Source::Children(Kind::ServiceMonitor), None), Sync::Pending);
        assert_eq!(unwanted(&world, &protected), []);
    }

    #[test]
    fn what_a_deleted_context_left_is_removed_although_its_successor_wants_the_name() {
        let mut world = world(&[("contextcore-a-env", child(&["old"]))]);
        let place = Place { namespace: "contextcore".into(), name: "a".into() };
        world.results.own.insert(place, BTreeSet::from([key("contextcore-a-env")]));
        assert_eq!(unwanted(&world, &BTreeSet::new()), [key("contextcore-a-env")]);
    }

    #[test]
    fn a_collector_is_attached_once_a_pipeline_names_both_processors() {
        let settings = Settings::default();
        let live = |processors: Value| json!({"spec": {"config": {"service": {"pipelines": {"traces": {"processors": processors}}}}}});
        assert_eq!(attached(&live(json!([TRANSFORM, SAMPLING, "batch"])), &settings).status, "True");
        let verdict = attached(&live(json!([TRANSFORM])), &settings);
        assert_eq!((verdict.status, verdict.reason), ("Unknown", "NotAttached"));
        assert_eq!(attached(&json!({}), &settings).reason, "NotAttached");
    }
}
