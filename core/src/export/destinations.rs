//! Where each signal goes, and what its backend may still hold in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::otlp::{self, Admission, CountingSink, Delivery, OtlpTarget, RetryPolicy, TRACE_WINDOW, TraceBudget};
use crate::config::OtlpConfig;
use crate::lock;
use crate::model::error::Result;
use crate::model::ids::{SpanId, TraceId};
use crate::model::signal::Signal;
use crate::model::time::Millis;

/// The destination of each signal, and what it may still hold in memory.
pub struct Destinations {
    deliveries: BTreeMap<Signal, Delivery>,
    /// The address of each; none where nothing is sent.
    places: BTreeMap<Signal, String>,
    /// Signals of which the store knows where they are exported.
    noted: Mutex<BTreeSet<Signal>>,
    budget: Mutex<TraceBudget>,
    pub(super) recent_anchors: Mutex<RecentAnchors>,
    since: Instant,
}

impl Destinations {
    /// The destinations in the configuration. Contacts nothing yet. Cancelling `stop` ends every wait.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] when an address, header or certificate cannot be used.
    pub fn connect(config: &OtlpConfig, stop: &CancellationToken, policy: &RetryPolicy) -> Result<Self> {
        let (mut deliveries, mut places) = (BTreeMap::new(), BTreeMap::new());
        for signal in config.targets.keys() {
            let Some(target) = OtlpTarget::of(config, *signal)? else { continue };
            let sink = otlp::connect(&target, *signal)?;
            deliveries.insert(*signal, Delivery::with_policy(sink, stop.clone(), policy.clone()));
            places.extend(config.targets.get(signal).map(|target| (*signal, target.url.clone())));
        }
        Ok(Self { places, ..Self::of(deliveries) })
    }

    /// Destinations that accept and count everything, and send nothing.
    pub fn counting(stop: &CancellationToken) -> Self {
        let one = |signal: &Signal| (*signal, Delivery::new(Box::new(CountingSink::default()), stop.clone()));
        let deliveries = Signal::ALL.iter().map(one).collect();
        Self::of(deliveries)
    }

    pub(super) fn of(deliveries: BTreeMap<Signal, Delivery>) -> Self {
        let (places, noted) = (BTreeMap::new(), Mutex::default());
        let (budget, recent_anchors) = (Mutex::default(), Mutex::default());
        Self { deliveries, places, noted, budget, recent_anchors, since: Instant::now() }
    }

    /// Where a signal goes, the first time that this is asked; empty where nothing is sent.
    pub(super) fn new_place(&self, signal: Signal) -> Option<&str> {
        let place = self.places.get(&signal).map_or("", String::as_str);
        lock(&self.noted).insert(signal).then_some(place)
    }

    /// Whether a signal has a destination.
    pub(super) fn has(&self, signal: Signal) -> bool {
        self.deliveries.contains_key(&signal)
    }

    /// The delivery of a signal, if it has a destination.
    pub(super) fn delivery(&self, signal: Signal) -> Option<&Delivery> {
        self.deliveries.get(&signal)
    }

    /// Whether a batch with these traces may be sent now. If so, they are counted.
    pub(super) fn admit(&self, traces: &HashSet<otlp::TraceId>) -> Admission {
        lock(&self.budget).admit(traces, self.time())
    }

    /// The time for what backends hold in memory. It is monotonic, unlike the wall clock.
    pub(super) fn time(&self) -> Millis {
        Millis(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// The signals that have a destination.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.deliveries.keys().copied()
    }
}

/// A span's trace and span id.
pub(super) type Id = (TraceId, SpanId);

/// The anchors sent so recently that the backend may still hold their traces in memory.
#[derive(Debug, Default)]
pub(super) struct RecentAnchors(HashMap<Id, Millis>);

impl RecentAnchors {
    /// Whether the backend may still hold an anchor.
    pub(super) fn holds(&self, anchor: &Id, now: Millis) -> bool {
        self.0.get(anchor).is_some_and(|at| now.seconds_since(*at) < TRACE_WINDOW.as_secs_f64())
    }

    /// Adds anchors that were accepted at `now`, and removes old ones.
    pub(super) fn extend(&mut self, anchors: impl IntoIterator<Item = Id>, now: Millis) {
        self.0.retain(|_, at| now.seconds_since(*at) < TRACE_WINDOW.as_secs_f64());
        self.0.extend(anchors.into_iter().map(|anchor| (anchor, now)));
    }
}
