//! Watches: what the API server says goes into the [`World`], and whoever waits for news is woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DynamicObject;
use kube::core::{ApiResource, PartialObjectMeta, Resource};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::child::Child;
use super::follow::{Sink, follow};
use super::guard;
use super::kinds::{Key, Kind, Place};
use super::options::Options;
use super::world::{Definition, SeenContext, Source, Stream, Sync, World};
use crate::derive::{GATEWAY, MANAGED_BY, MANAGER};
use crate::resource::ProjectContext;
use crate::settings::{CollectorMode, GrafanaMode, Settings};

/// Key of the settings in their ConfigMap.
pub const SETTINGS_KEY: &str = "settings.yaml";

/// How many objects of a list are in memory at a time, with all that is not kept of them.
const PAGE: u32 = 50;

/// The world, and a notification for whoever waits for a change of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedWorld {
    world: Arc<Mutex<World>>,
    pub(crate) news: Arc<Notify>,
}

impl SharedWorld {
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world and says so.
    fn write(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock());
        self.news.notify_one();
    }
}

/// The watches that run.
pub(crate) struct Watches {
    client: Client,
    world: SharedWorld,
    /// Where settings without a namespace have their shared outputs.
    namespace: String,
    tasks: JoinSet<()>,
    running: BTreeMap<Stream, AbortHandle>,
}

impl Watches {
    pub(crate) fn new(client: Client, world: SharedWorld, namespace: String) -> Self {
        Self { client, world, namespace, tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Starts what is wanted and does not run, and ends what runs and is not wanted.
    pub(crate) fn set(&mut self, wanted: BTreeSet<Stream>) {
        let gone: Vec<Stream> = self.running.keys().filter(|stream| !wanted.contains(stream)).cloned().collect();
        for stream in wanted {
            if !self.running.contains_key(&stream) {
                self.start(stream);
            }
        }
        // Last, so that what another stream of the kind brings as well is not forgotten: it may have to be removed.
        for stream in gone {
            if let Some(task) = self.running.remove(&stream) {
                task.abort();
            }
            self.world.write(|world| world.drop_stream(&stream));
        }
    }

    fn start(&mut self, stream: Stream) {
        self.world.write(|world| {
            world.streams.insert(stream.clone(), Sync::Pending);
        });
        let work = run(self.client.clone(), self.world.clone(), self.namespace.clone(), stream.clone());
        self.running.insert(stream, self.tasks.spawn(work));
    }
}

async fn run(client: Client, world: SharedWorld, namespace: String, stream: Stream) {
    let config = Config::default().page_size(PAGE);
    match &stream.source {
        Source::Definitions => {
            follow(
                Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client),
                config,
                &Definitions::new(world, stream),
            )
            .await;
        }
        Source::Settings(name) => {
            let config = config.fields(&format!("metadata.name={name}"));
            let api = Api::<ConfigMap>::namespaced(client, stream.namespace.as_deref().unwrap_or(&namespace));
            follow(api, config, &SettingsFile { world, stream: stream.clone(), namespace }).await;
        }
        Source::Contexts => {
            let resource = ApiResource::erase::<ProjectContext>(&());
            follow(api_of::<DynamicObject>(client, &stream, &resource), config, &Contexts { world, stream }).await;
        }
        Source::Children(kind) => {
            let config = config.labels(&format!("{MANAGED_BY}={MANAGER}"));
            children(client, config, world, *kind, stream.clone()).await;
        }
        Source::Collector(name) => {
            let config = config.fields(&format!("metadata.name={name}"));
            children(client, config, world, Kind::OpenTelemetryCollector, stream.clone()).await;
        }
    }
}

async fn children(client: Client, config: Config, world: SharedWorld, kind: Kind, stream: Stream) {
    let api = api_of::<PartialObjectMeta<DynamicObject>>(client, &stream, &kind.resource());
    follow(api, config, &Children { world, kind, stream }).await;
}

fn api_of<K>(client: Client, stream: &Stream, resource: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>,
{
    match &stream.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

struct Children {
    world: SharedWorld,
    kind: Kind,
    stream: Stream,
}

impl Sink<PartialObjectMeta<DynamicObject>> for Children {
    type Item = (Key, Child);

    fn read(&self, object: PartialObjectMeta<DynamicObject>) -> Option<Self::Item> {
        let metadata = object.metadata;
        let key = Key { kind: self.kind, namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
        Some((key, Child::of(&metadata)))
    }

    fn replace(&self, list: Vec<Self::Item>) {
        self.world.write(|world| world.replace_children(&self.stream, list));
    }

    fn put(&self, (key, child): Self::Item) {
        self.world.write(|world| world.put_child(key, child));
    }

    fn remove(&self, (key, _): Self::Item) {
        self.world.write(|world| world.remove_child(&key));
    }

    fn failed(&self, message: String) {
        fail(&self.world, &self.stream, message);
    }
}

fn fail(world: &SharedWorld, stream: &Stream, message: String) {
    let failed = Sync::Failed(message);
    if let Sync::Failed(message) = &failed
        && world.lock().streams.get(stream) != Some(&failed)
    {
        tracing::warn!("{message}");
    }
    world.write(|world| world.set_sync(stream, failed));
}

struct Contexts {
    world: SharedWorld,
    stream: Stream,
}

impl Sink<DynamicObject> for Contexts {
    type Item = (Place, SeenContext);

    fn read(&self, object: DynamicObject) -> Option<Self::Item> {
        guard::read(object)
    }

    fn replace(&self, list: Vec<Self::Item>) {
        self.world.write(|world| world.replace_contexts(&self.stream, list));
    }

    fn put(&self, (place, seen): Self::Item) {
        self.world.write(|world| world.put_context(place, seen));
    }

    fn remove(&self, (place, _): Self::Item) {
        self.world.write(|world| world.remove_context(&place));
    }

    fn failed(&self, message: String) {
        fail(&self.world, &self.stream, message);
    }
}

struct Definitions {
    world: SharedWorld,
    stream: Stream,
}

impl Definitions {
    const fn new(world: SharedWorld, stream: Stream) -> Self {
        Self { world, stream }
    }
}

impl Sink<PartialObjectMeta<CustomResourceDefinition>> for Definitions {
    type Item = (String, Definition);

    /// Only those that we use; a cluster has hundreds.
    fn read(&self, object: PartialObjectMeta<CustomResourceDefinition>) -> Option<Self::Item> {
        let name = object.metadata.name?;
        let known = Kind::ALL.into_iter().filter_map(Kind::definition).any(|kind| kind == name);
        (known || name == guard::DEFINITION)
            .then(|| (name, Definition { annotations: object.metadata.annotations.unwrap_or_default() }))
    }

    fn replace(&self, list: Vec<Self::Item>) {
        self.world.write(|world| world.replace_definitions(&self.stream, list.into_iter().collect()));
    }

    fn put(&self, (name, definition): Self::Item) {
        self.world.write(|world| {
            let mut all = world.definitions.clone();
            all.insert(name, definition);
            world.replace_definitions(&self.stream, all);
        });
    }

    fn remove(&self, (name, _): Self::Item) {
        self.world.write(|world| {
            let mut all = world.definitions.clone();
            all.remove(&name);
            world.replace_definitions(&self.stream, all);
        });
    }

    fn failed(&self, message: String) {
        fail(&self.world, &self.stream, message);
    }
}

struct SettingsFile {
    world: SharedWorld,
    stream: Stream,
    namespace: String,
}

impl SettingsFile {
    fn set(&self, text: &str, name: &str) {
        let read = Settings::parse_in(&format!("ConfigMap {name}"), text, &self.namespace);
        if let Err(lines) = &read {
            lines.iter().for_each(|line| tracing::error!("{line}; the settings before stay in force"));
        }
        self.world.write(|world| {
            world.set_settings(read);
            world.synced(&self.stream);
        });
    }
}

impl Sink<ConfigMap> for SettingsFile {
    type Item = (String, String);

    fn read(&self, object: ConfigMap) -> Option<Self::Item> {
        let text = object.data.unwrap_or_default().remove(SETTINGS_KEY).unwrap_or_default();
        Some((object.metadata.name?, text))
    }

    fn replace(&self, list: Vec<Self::Item>) {
        match list.first() {
            Some((name, text)) => self.set(text, name),
            None => {
                tracing::warn!("the ConfigMap with the settings does not exist: defaults are in force until it does");
                self.world.write(|world| world.synced(&self.stream));
            }
        }
    }

    fn put(&self, (name, text): Self::Item) {
        self.set(&text, &name);
    }

    /// It may be on its way to be replaced: what was in it stays in force.
    fn remove(&self, (name, _): Self::Item) {
        tracing::warn!("ConfigMap {name} with the settings was deleted: they stay in force until it is back");
    }

    fn failed(&self, message: String) {
        fail(&self.world, &self.stream, message);
    }
}

/// The streams that are wanted: pure, from what is known.
pub(crate) fn wanted(world: &World, options: &Options) -> BTreeSet<Stream> {
    let mut wanted = BTreeSet::from([Stream::new(Source::Definitions, None)]);
    if let Some(name) = &options.settings_config_map {
        wanted.insert(Stream::new(Source::Settings(name.clone()), Some(&options.namespace)));
    }
    let settings = &world.settings;
    let everywhere: Vec<Option<&str>> = match options.watch_namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let decided =
        world.streams.iter().any(|(stream, sync)| stream.source == Source::Definitions && *sync != Sync::Pending);
    let by_operator = settings.grafana.mode() == Some(GrafanaMode::GrafanaOperator);
    let installed = |name: &str| decided && (!world.knows_definitions() || world.definitions.contains_key(name));
    if installed(guard::DEFINITION) {
        wanted.extend(everywhere.iter().map(|namespace| Stream::new(Source::Contexts, *namespace)));
    }
    for kind in Kind::ALL {
        if kind.definition().is_some_and(|name| !installed(&name)) {
            continue;
        }
        let mut children = |namespace: Option<&str>| {
            wanted.insert(Stream::new(Source::Children(kind), namespace));
        };
        match kind {
            Kind::ConfigMap if settings.env.enabled && options.watch_namespaces.is_empty() => children(None),
            Kind::ConfigMap => {
                children(Some(&settings.namespace));
                if settings.env.enabled {
                    everywhere.iter().for_each(|namespace| children(*namespace));
                }
            }
            Kind::PrometheusRule | Kind::ServiceMonitor => everywhere.iter().for_each(|namespace| children(*namespace)),
            Kind::AlertmanagerConfig => wanted.extend(routes(world, &everywhere)),
            Kind::OpenTelemetryCollector => {
                wanted.extend(collector(settings));
            }
            Kind::GrafanaFolder if by_operator => children(Some(&settings.namespace)),
            Kind::GrafanaDashboard if by_operator => {
                everywhere.iter().for_each(|namespace| children(*namespace));
                if !options.watch_namespaces.is_empty() {
                    children(Some(&settings.namespace));
                }
            }
            Kind::GrafanaFolder | Kind::GrafanaDashboard => {}
        }
    }
    wanted
}

/// Where routes are. Once there were channels, they are watched until they are removed.
fn routes(world: &World, everywhere: &[Option<&str>]) -> Vec<Stream> {
    let settings = &world.settings;
    let stream = |namespace: Option<&str>| Stream::new(Source::Children(Kind::AlertmanagerConfig), namespace);
    let shared = [Some(settings.routing.namespace.as_str())];
    let places = if settings.routing.per_namespace { everywhere } else { &shared };
    let streams = places.iter().map(|place| stream(*place));
    let is_watched = |key: &Key| places.iter().any(|place| place.is_none_or(|namespace| namespace == key.namespace));
    let is_left = |known: &Stream, (key, child): (&Key, &Child)| {
        let is_ours = key.kind == Kind::AlertmanagerConfig && child.instance.as_ref() == Some(&settings.instance);
        is_ours && !is_watched(key) && known.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    };
    let left = |known: &&Stream| {
        let is_of_routes = known.source == Source::Children(Kind::AlertmanagerConfig);
        is_of_routes && world.children.iter().any(|child| is_left(known, child))
    };
    let is_wanted = |stream: &Stream| !settings.channels.is_empty() || world.streams.contains_key(stream);
    streams.filter(is_wanted).chain(world.streams.keys().filter(left).cloned()).collect()
}

fn collector(settings: &Settings) -> Option<Stream> {
    match settings.collector.mode {
        CollectorMode::ConfigMap => None,
        CollectorMode::Attach => {
            let (namespace, name) = settings.collector.attached(&settings.namespace);
            Some(Stream::new(Source::Collector(name.to_owned()), Some(namespace)))
        }
        CollectorMode::Managed => Some(Stream::new(Source::Collector(GATEWAY.to_owned()), Some(&settings.namespace))),
    }
}
