//! What passes work with.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::RwLock;

use super::metrics::Metrics;
use super::outside::Outside;
use super::watch::SharedWorld;

/// Everything a pass needs. The passes themselves are in [`super::passes`], [`super::shared`] and [`super::look`].
pub(crate) struct Passes {
    pub(crate) client: Client,
    pub(crate) world: SharedWorld,
    pub(crate) outside: Arc<dyn Outside>,
    pub(crate) metrics: Arc<Metrics>,
    /// Name of this process.
    pub(crate) identity: String,
    pub(crate) started: Instant,
    /// When a collector was last changed, which restarts it.
    pub(crate) rolled: Mutex<Option<Duration>>,
    /// Passes hold it to read while they run; who gives the Lease back waits for them.
    pub(crate) running: RwLock<()>,
}

impl Passes {
    /// Time since the start, the clock of everything that waits.
    pub(crate) fn clock(&self) -> Duration {
        self.started.elapsed()
    }
}
