//! `contextcore controller run`: the controller in a cluster, and what it reads from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contextcore_operator::controller::{self, End, Options, SettingsUpdates, connect};
use contextcore_operator::settings::Settings;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::outside::Others;
use super::{problems, read};
use crate::args::{Cluster, Run, SettingsPlace};
use crate::failure::{Exit, Failure, Outcome};
use crate::stop;

/// How often a file with settings is read.
const REREAD: Duration = Duration::from_secs(5);
/// How long the end waits for records of changes that the backend has not taken yet. A pod is killed after 30 s.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// The end of a random name.
const SUFFIX: usize = 8;

pub(super) async fn run(arguments: &Run) -> Outcome {
    let others = Arc::new(Others::new(arguments.otlp_endpoint.as_deref())?);
    let (client, namespace) = connect::connect(&target(&arguments.cluster)).await.map_err(Failure::usage)?;
    // Without its settings it would write to the wrong places: it does not begin.
    let settings = settings_of(&client, &arguments.settings, &namespace).await?;
    let mut files = JoinSet::new();
    let updates = updates(arguments.settings.file.clone(), &namespace, &mut files);
    let options = Options {
        namespace,
        watch_namespaces: arguments.watch_namespaces.clone(),
        settings_config_map: arguments.settings.config_map.clone(),
        settings,
        listen: arguments.listen.clone(),
        identity: arguments.identity.clone().unwrap_or_else(identity),
    };
    let cancel = CancellationToken::new();
    let stopped = cancel.clone().cancelled_owned();
    let work = controller::run(client, options, Arc::clone(&others) as _, updates, stopped);
    let end = stop::stoppable(&cancel, work).await?.map_err(Failure::usage)?;
    others.finish(LAST_RECORDS).await;
    match end {
        End::Stopped => Ok(Exit::Done),
        End::LostLease(why) => Err(Failure::new(Exit::Internal, format!("stopped writing: {why}"))),
    }
}

/// The cluster that the arguments name.
pub(super) fn target(arguments: &Cluster) -> connect::Target {
    connect::Target {
        kubeconfig: arguments.kubeconfig.clone(),
        context: arguments.context.clone(),
        namespace: arguments.namespace.clone(),
        impersonate: None,
    }
}

/// The settings of the platform, wherever they are.
pub(super) async fn settings_of(
    client: &connect::Client,
    place: &SettingsPlace,
    namespace: &str,
) -> Result<Settings, Failure> {
    match &place.config_map {
        Some(name) => connect::settings(client, namespace, name).await.map_err(problems),
        None => settings(place.file.as_deref(), namespace),
    }
}

/// The settings of a file, or the default ones.
pub(super) fn settings(file: Option<&Path>, namespace: &str) -> Result<Settings, Failure> {
    let text = file.map(read).transpose()?.unwrap_or_default();
    let name = file.map(|file| file.display().to_string()).unwrap_or_default();
    Settings::parse_in(&name, &text, namespace).map_err(problems)
}

/// Reads the file again and again: a ConfigMap that is mounted changes without a word.
fn updates(file: Option<PathBuf>, namespace: &str, tasks: &mut JoinSet<()>) -> SettingsUpdates {
    let (send, receive) = mpsc::channel(1);
    if let Some(file) = file {
        tasks.spawn(follow(file, namespace.to_owned(), send));
    }
    receive
}

async fn follow(file: PathBuf, namespace: String, send: mpsc::Sender<Result<Settings, Vec<String>>>) {
    let mut before = tokio::fs::read_to_string(&file).await.unwrap_or_default();
    loop {
        tokio::time::sleep(REREAD).await;
        // A file that is being replaced may be missing for a moment.
        let Ok(text) = tokio::fs::read_to_string(&file).await else { continue };
        if text == before {
            continue;
        }
        let read = Settings::parse_in(&file.display().to_string(), &text, &namespace);
        if let Err(lines) = &read {
            lines.iter().for_each(|line| tracing::error!("{line}; the settings before stay in force"));
        }
        before = text;
        if send.send(read).await.is_err() {
            return;
        }
    }
}

/// A name that no other process has.
fn identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let seed = format!("{host} {} {}", std::process::id(), contextcore_core::clock::now());
    format!("{host}_{}", &blake3::hash(seed.as_bytes()).to_hex().as_str()[..SUFFIX])
}
