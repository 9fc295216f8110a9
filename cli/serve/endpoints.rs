//! The addresses on which `serve` answers, each on a thread and a runtime of its own: polls and exports compute for long and
//! wait for the disk, and a health check must not wait for them.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use contextcore_core::config::Config;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::current::Current;
use super::{http, webhook};
use crate::connections::{self, Limits};
use crate::failure::{Exit, Failure};

/// How long a stop waits for the responses under way.
const CLOSING: Duration = Duration::from_secs(3);

/// What is answered on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Health checks and scrapes; webhooks too, unless they have an address of their own.
    Health,
    Webhooks,
}

/// The addresses of a configuration.
fn wanted(config: &Config) -> Vec<(Purpose, SocketAddr)> {
    let webhooks = config.webhooks.listen.map(|address| (Purpose::Webhooks, address));
    std::iter::once((Purpose::Health, config.listen)).chain(webhooks).collect()
}

/// One address on which a thread answers.
struct Endpoint {
    purpose: Purpose,
    address: SocketAddr,
    closing: CancellationToken,
    thread: JoinHandle<()>,
}

/// Listeners that nothing answers on yet.
#[derive(Default)]
pub(super) struct Bound(Vec<(Purpose, SocketAddr, std::net::TcpListener)>);

/// All of them.
#[derive(Default)]
pub(super) struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Takes the addresses that a configuration names and nothing answers on yet.
    pub(super) async fn bind(&self, config: &Config) -> Result<Bound, Failure> {
        let mut bound = Vec::new();
        for (purpose, address) in wanted(config) {
            if self.0.iter().all(|open| (open.purpose, open.address) != (purpose, address)) {
                bound.push((purpose, address, listen(purpose, address).await?));
            }
        }
        Ok(Bound(bound))
    }

    /// Answers on the new listeners, and no longer on the addresses that the configuration does not name.
    pub(super) fn open(&mut self, bound: Bound, current: &Current) -> Result<(), Failure> {
        for (purpose, address, listener) in bound.0 {
            let closing = CancellationToken::new();
            let router = match purpose {
                Purpose::Health => http::public(current.clone()),
                Purpose::Webhooks => webhook::router(current.clone()),
            };
            let thread = answer(listener, router, closing.clone())
                .map_err(|error| Failure::new(Exit::Internal, format!("answer on {address}: {error}")))?;
            self.0.push(Endpoint { purpose, address, closing, thread });
        }
        let wanted = wanted(&current.engine().config());
        let gone = self.0.extract_if(.., |open| !wanted.contains(&(open.purpose, open.address)));
        gone.for_each(|open| open.closing.cancel());
        Ok(())
    }

    /// Ends all of them, with the responses under way.
    pub(super) async fn close(self) {
        self.0.iter().for_each(|open| open.closing.cancel());
        let begun = Instant::now();
        while self.0.iter().any(|open| !open.thread.is_finished()) && begun.elapsed() < CLOSING {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn listen(purpose: Purpose, address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let key = match purpose {
        Purpose::Health => "listen",
        Purpose::Webhooks => "webhooks.listen",
    };
    let failed = |error| Failure::usage(format!("listen on {address}: {error}; set `{key}` to a free address"));
    TcpListener::bind(address).await.and_then(TcpListener::into_std).map_err(failed)
}

fn answer(
    listener: std::net::TcpListener,
    router: Router,
    closing: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let work = move || runtime.block_on(connections::serve(listener, router, Limits::public(), closing));
    std::thread::Builder::new().name("listen".to_owned()).spawn(work)
}
