//! What the watches have seen of the cluster, and what the controller knows besides. Nothing here does I/O: watches and passes
//! write into it, and what has to happen next is read from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::child::Child;
use super::kinds::{Key, Kind, Place};
use super::later::{Later, Matter};
use super::results::{Results, Verdict};
use super::sli::Finding;
use super::unrecorded::Unrecorded;
use super::workload::{Annotated, Owners};
use crate::resource::{ProjectContext, ProjectContextStatus};
use crate::settings::Settings;

/// A stream of the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stream {
    pub(crate) source: Source,
    /// `None`: all namespaces, or an object of the cluster.
    pub(crate) namespace: Option<String>,
}

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Custom resource definitions, metadata only.
    Definitions,
    /// The ConfigMap with the settings, by name.
    Settings(String),
    /// All contexts.
    Contexts,
    /// Objects of ours, metadata only.
    Children(Kind),
    /// The collector to attach to, by name, metadata only.
    Collector(String),
}

/// How a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Its first list has not arrived.
    Pending,
    /// What it brought is complete.
    Done,
    /// Why it does not work; it is tried again.
    Failed(String),
}

/// A context as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenContext {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) created: Option<Time>,
    /// Without status; what is wrong when it cannot be read.
    pub(crate) context: Result<Arc<ProjectContext>, String>,
    pub(crate) status: Arc<ProjectContextStatus>,
    /// Who changed the spec last, as a field manager.
    pub(crate) manager: Option<String>,
    /// It is being deleted.
    pub(crate) is_leaving: bool,
}

/// A definition as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What a kind can be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It is installed, and we see our objects of it.
    Ready,
    /// It is installed, and the first list has not arrived.
    Pending,
    /// Nobody installed it.
    NotInstalled,
    /// We cannot see our objects of it.
    Failed(String),
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) streams: BTreeMap<Stream, Sync>,
    pub(crate) definitions: BTreeMap<String, Definition>,
    pub(crate) contexts: BTreeMap<Place, SeenContext>,
    pub(crate) children: BTreeMap<Key, Child>,
    pub(crate) settings: Arc<Settings>,
    /// What is wrong with the newest settings; those before are in force.
    pub(crate) settings_problem: Option<String>,
    /// The newest spec of each context that was accepted, as long as the context exists.
    pub(crate) last_good: BTreeMap<Place, Arc<ProjectContext>>,
    /// The spec of each context that the audit knows.
    pub(crate) audited: BTreeMap<Place, Arc<ProjectContext>>,
    /// Contexts that were deleted, for the audit.
    pub(crate) departed: Vec<(Place, Arc<ProjectContext>)>,
    /// Records that the audit's backend does not have yet.
    pub(crate) unrecorded: Unrecorded,
    /// Workloads that were annotated for each context.
    pub(crate) annotated: BTreeMap<Place, Annotated>,
    pub(crate) owners: Owners,
    pub(crate) results: Results,
    pub(crate) later: Later,
    /// Whether Grafana has the dashboards that are sent to it.
    pub(crate) sent: Option<Verdict>,
    /// Contexts whose dashboard was left as somebody changed it, and why.
    pub(crate) left: BTreeMap<Place, String>,
    /// What the Prometheus operator says of rules, by the version that was asked about.
    pub(crate) bindings: BTreeMap<Key, (String, Option<String>)>,
    pub(crate) findings: BTreeMap<Place, (i64, Finding)>,
    /// Counts changes that matter for the contexts and for what they share, and those that matter for the status only.
    pub(crate) changes: u64,
    pub(crate) status_changes: u64,
    pub(crate) is_leader: bool,
}

impl World {
    /// A complete list of a stream. What is not in it is gone.
    pub(crate) fn replace_children(&mut self, stream: &Stream, list: Vec<(Key, Child)>) {
        let Some(kind) = stream.kind() else { return };
        let names: BTreeSet<&Key> = list.iter().map(|(key, _)| key).collect();
        let gone = |key: &Key, stream: &Stream| {
            let within = stream.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
            let named = match &stream.source {
                Source::Collector(name) => key.name == *name,
                _ => true,
            };
            key.kind == kind && within && named && !names.contains(key)
        };
        let gone: Vec<Key> = self.children.keys().filter(|key| gone(key, stream)).cloned().collect();
        for key in gone {
            self.remove_child(&key);
        }
        for (key, child) in list {
            self.put_child(key, child);
        }
        self.synced(stream);
    }

    /// A child appeared or changed. Our own writes come back here too, and are no news.
    pub(crate) fn put_child(&mut self, key: Key, child: Child) {
        let is_ours = self.results.wrote(&key, &child);
        let known = self.children.insert(key, child.clone());
        if !is_ours && known.as_ref() != Some(&child) {
            self.changes += 1;
        }
    }

    pub(crate) fn remove_child(&mut self, key: &Key) {
        if self.children.remove(key).is_some() {
            self.results.forget(key);
            self.later.settle(&Matter::Removal(key.clone()));
            self.bindings.remove(key);
            self.changes += 1;
        }
    }

    /// A complete list of contexts.
    pub(crate) fn replace_contexts(&mut self, stream: &Stream, list: Vec<(Place, SeenContext)>) {
        let names: BTreeSet<&Place> = list.iter().map(|(place, _)| place).collect();
        let within = |place: &Place| stream.namespace.as_ref().is_none_or(|namespace| *namespace == place.namespace);
        let gone: Vec<Place> =
            self.contexts.keys().filter(|place| within(place) && !names.contains(place)).cloned().collect();
        for place in gone {
            self.remove_context(&place);
        }
        for (place, seen) in list {
            self.put_context(place, seen);
        }
        self.synced(stream);
    }

    /// A context appeared or changed. A status is ours and no news.
    pub(crate) fn put_context(&mut self, place: Place, seen: SeenContext) {
        let before = self.contexts.get(&place);
        let same = before.is_some_and(|before| {
            (&before.uid, before.generation, before.is_leaving, before.context.is_ok())
                == (&seen.uid, seen.generation, seen.is_leaving, seen.context.is_ok())
        });
        if let Some(before) = before.filter(|before| before.uid != seen.uid) {
            self.unrecorded.forget(&before.uid);
            self.last_good.remove(&place);
        }
        self.contexts.insert(place, seen);
        if !same {
            self.changes += 1;
        }
    }

    pub(crate) fn remove_context(&mut self, place: &Place) {
        if let Some(seen) = self.contexts.remove(place) {
            self.unrecorded.forget(&seen.uid);
            self.last_good.remove(place);
            if let Some(context) = self.audited.remove(place).filter(|_| self.is_leader) {
                self.departed.push((place.clone(), context));
            }
            self.findings.remove(place);
            self.results.forget_context(place);
            self.later.forget_context(place);
            self.changes += 1;
        }
    }

    pub(crate) fn replace_definitions(&mut self, stream: &Stream, list: BTreeMap<String, Definition>) {
        if self.definitions != list {
            self.definitions = list;
            self.changes += 1;
        }
        self.synced(stream);
    }

    /// New settings, or what is wrong with them.
    pub(crate) fn set_settings(&mut self, read: Result<Settings, Vec<String>>) {
        match read {
            Ok(settings) => {
                self.settings_problem = None;
                if *self.settings != settings {
                    self.settings = Arc::new(settings);
                    self.changes += 1;
                }
            }
            Err(lines) => self.settings_problem = Some(lines.join("; ")),
        }
    }

    pub(crate) fn synced(&mut self, stream: &Stream) {
        self.set_sync(stream, Sync::Done);
    }

    /// A stream works, or does not.
    pub(crate) fn set_sync(&mut self, stream: &Stream, sync: Sync) {
        let Some(known) = self.streams.get_mut(stream).filter(|known| **known != sync) else { return };
        let is_back = matches!(known, Sync::Failed(_)) && sync == Sync::Done;
        *known = sync;
        self.changes += 1;
        if is_back {
            // What failed meanwhile need not wait for its time.
            self.later.hasten();
            if let Some(kind) = stream.kind() {
                self.results.hasten(kind);
            }
        }
    }

    /// Whether contexts are to be watched and none can be.
    pub(crate) fn is_blind(&self) -> bool {
        let mut watches = self.streams.iter().filter(|(stream, _)| stream.source == Source::Contexts).peekable();
        watches.peek().is_some() && watches.all(|(_, sync)| matches!(sync, Sync::Failed(_)))
    }

    /// Somebody else writes now, and the audit of what happens meanwhile is theirs.
    pub(crate) fn step_down(&mut self) {
        self.is_leader = false;
        self.audited.clear();
        self.departed.clear();
    }

    /// A stream is wanted no more; what it brought is forgotten.
    pub(crate) fn drop_stream(&mut self, stream: &Stream) {
        self.streams.remove(stream);
        if let Some(kind) = stream.kind()
            && !self.streams.keys().any(|other| other.kind() == Some(kind))
        {
            self.children.retain(|key, _| key.kind != kind);
            self.results.forget_kind(kind);
        }
        self.changes += 1;
    }

    /// Whether every stream has said something.
    pub(crate) fn is_complete(&self) -> bool {
        !self.streams.is_empty() && self.streams.values().all(|sync| *sync != Sync::Pending)
    }

    /// Whether objects of a kind can be written in a namespace.
    pub(crate) fn availability(&self, kind: Kind, namespace: &str) -> Availability {
        if kind.definition().is_some_and(|name| !self.definitions.contains_key(&name)) && self.knows_definitions() {
            return Availability::NotInstalled;
        }
        let of_kind = |(stream, _): &(&Stream, &Sync)| {
            stream.kind() == Some(kind) && stream.namespace.as_deref().is_none_or(|within| within == namespace)
        };
        match self.streams.iter().find(of_kind).map(|(_, sync)| sync) {
            Some(Sync::Done) => Availability::Ready,
            Some(Sync::Failed(message)) => Availability::Failed(message.clone()),
            Some(Sync::Pending) | None => Availability::Pending,
        }
    }

    /// Whether what is installed is known, or was before its watch failed. Without the right to list definitions, everything counts
    /// as installed.
    pub(crate) fn knows_definitions(&self) -> bool {
        !self.definitions.is_empty()
            || self.streams.iter().any(|(stream, sync)| stream.source == Source::Definitions && *sync == Sync::Done)
    }
}

impl Stream {
    pub(crate) fn new(source: Source, namespace: Option<&str>) -> Self {
        Self { source, namespace: namespace.map(str::to_owned) }
    }

    /// The kind of children that it brings.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.source {
            Source::Children(kind) => Some(*kind),
            Source::Collector(_) => Some(Kind::OpenTelemetryCollector),
            Source::Definitions | Source::Settings(_) | Source::Contexts => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_watch_no_context_is_blind() {
        let mut world = World::default();
        assert!(!world.is_blind());
        let (a, b) = (Stream::new(Source::Contexts, Some("a")), Stream::new(Source::Contexts, Some("b")));
        world.streams.insert(a.clone(), Sync::Failed("x".into()));
        world.streams.insert(b.clone(), Sync::Pending);
        assert!(!world.is_blind(), "one may still come");
        world.set_sync(&b, Sync::Failed("y".into()));
        assert!(world.is_blind());
        world.synced(&a);
        assert!(!world.is_blind());
    }

    #[test]
    fn what_failed_is_due_at_once_when_a_watch_is_back() {
        let mut world = World::default();
        let stream = Stream::new(Source::Contexts, None);
        let place = Place { namespace: "a".into(), name: "b".into() };
        let now = std::time::Duration::from_secs(60);
        world.later.put_off(Matter::Status(place.clone()), now);
        world.streams.insert(stream.clone(), Sync::Failed("x".into()));
        assert!(!world.later.is_due(&Matter::Status(place.clone()), now));
        world.synced(&stream);
        assert!(world.later.is_due(&Matter::Status(place), now));
    }
}
