//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::guard::DEFINITION;
use super::metrics::{CONTENT_TYPE, Metrics};
use super::watch::SharedWorld;
use super::world::{Source, Sync, World};
use crate::crd;

/// What the answers are made from.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) world: SharedWorld,
    pub(crate) metrics: Arc<Metrics>,
}

/// Opens the listener.
///
/// # Errors
/// A message for a person.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))?;
    let local = listener.local_addr().map_or_else(|_| address.to_owned(), |local: SocketAddr| local.to_string());
    tracing::info!("serving /healthz, /readyz and /metrics on http://{local}");
    Ok(listener)
}

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, probes: Probes) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("answering probes ended: {error}");
    }
}

async fn readyz(State(probes): State<Probes>) -> Response {
    match readiness(&probes.world.lock()) {
        Ok(lines) => lines.into_response(),
        Err(line) => (StatusCode::SERVICE_UNAVAILABLE, format!("{line}\n")).into_response(),
    }
}

async fn metrics(State(probes): State<Probes>) -> Response {
    let text = probes.metrics.text(&probes.world.lock());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// Whether the controller sees what it needs, on every replica alike; else why not.
pub(crate) fn readiness(world: &World) -> Result<String, String> {
    let contexts: Vec<_> = world.streams.iter().filter(|(stream, _)| stream.source == Source::Contexts).collect();
    if world.knows_definitions() && !world.definitions.contains_key(DEFINITION) {
        return Err(format!(
            "{DEFINITION} is not installed: `contextcore controller crd | kubectl apply --server-side --force-conflicts -f -`"
        ));
    }
    if contexts.is_empty() {
        return Err("what is installed in the cluster is not known yet".to_owned());
    }
    for (_, sync) in contexts {
        match sync {
            Sync::Pending => return Err("the contexts have not been read yet".to_owned()),
            Sync::Failed(message) => return Err(message.clone()),
            Sync::Done => {}
        }
    }
    let mut text = "ok\n".to_owned();
    for line in schema_difference(world).into_iter().chain(world.settings_problem.clone()) {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// What to do when the definition in the cluster is not the one that this program was made with.
pub(crate) fn schema_difference(world: &World) -> Option<String> {
    let served = world.definitions.get(DEFINITION)?.annotations.get(crd::HASH_ANNOTATION);
    let own = crd::schema_hash();
    (served.map(String::as_str) != Some(own)).then(|| {
        format!(
            "the definition of ProjectContext in the cluster ({}) is not that of this program ({own}): \
             `contextcore controller crd | kubectl apply --server-side --force-conflicts -f -`",
            served.map_or("without a hash", String::as_str)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::world::{Definition, Stream};
    use super::*;

    fn world(hash: Option<&str>, contexts: Sync) -> World {
        let mut world = World::default();
        world.streams.insert(Stream::new(Source::Definitions, None), Sync::Done);
        world.streams.insert(Stream::new(Source::Contexts, None), contexts);
        if let Some(hash) = hash {
            let annotations = BTreeMap::from([(crd::HASH_ANNOTATION.to_owned(), hash.to_owned())]);
            world.definitions.insert(DEFINITION.to_owned(), Definition { annotations });
        }
        world
    }

    #[test]
    fn a_replica_is_ready_once_it_sees_the_contexts() {
        assert!(readiness(&World::default()).unwrap_err().contains("not known yet"));
        assert!(readiness(&world(None, Sync::Done)).unwrap_err().contains("is not installed"));
        assert!(readiness(&world(Some("x"), Sync::Pending)).unwrap_err().contains("not been read"));
        assert_eq!(readiness(&world(Some("x"), Sync::Failed("grant it".into()))), Err("grant it".to_owned()));
        let hash = crd::definition()["metadata"]["annotations"][crd::HASH_ANNOTATION].as_str().unwrap().to_owned();
        assert_eq!(readiness(&world(Some(&hash), Sync::Done)).unwrap(), "ok\n");
    }

    #[test]
    fn another_schema_is_said_and_no_reason_to_restart() {
        let text = readiness(&world(Some("older"), Sync::Done)).unwrap();
        assert!(text.starts_with("ok\n") && text.contains("kubectl apply --server-side --force-conflicts"), "{text}");
    }
}
