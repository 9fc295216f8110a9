//! The network: every request takes its time, and reaches the fake it is for without a socket.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use contextcore_core::Millis;
use contextcore_core::simulated::{Exchange, Surroundings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::disk::Process;

/// An answer on its way.
pub(crate) type Answer = std::pin::Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;
type Host = Box<dyn Fn(http::Request<Bytes>) -> Answer>;

/// The clock and the network of one simulated life.
pub(crate) struct Network {
    began: Instant,
    epoch: i64,
    hosts: RefCell<BTreeMap<String, Host>>,
    process: RefCell<Option<Arc<Process>>>,
    chance: RefCell<StdRng>,
}

impl Network {
    /// A network at this moment, in epoch milliseconds.
    pub(crate) fn new(epoch: i64, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            began: Instant::now(),
            epoch,
            hosts: RefCell::default(),
            process: RefCell::default(),
            chance: RefCell::new(StdRng::seed_from_u64(seed ^ 0x006e_6574)),
        })
    }

    /// A clock for fakes that shows the same time.
    pub(crate) fn clock(&self) -> contextcore_fakes::Clock {
        let (began, epoch) = (self.began, self.epoch);
        contextcore_fakes::Clock::of(move || epoch + i64::try_from(began.elapsed().as_millis()).unwrap())
    }

    /// Adds a host by its address, without scheme.
    pub(crate) fn add(&self, url: &str, host: impl Fn(http::Request<Bytes>) -> Answer + 'static) {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        self.hosts.borrow_mut().insert(authority, Box::new(host));
    }

    /// From now on this process makes the requests.
    pub(crate) fn used_by(&self, process: &Arc<Process>) {
        *self.process.borrow_mut() = Some(Arc::clone(process));
    }
}

impl Surroundings for Network {
    fn now(&self) -> Millis {
        Millis(self.clock().now())
    }

    fn exchange(&self, request: http::Request<Bytes>) -> Exchange {
        let is_dead = self.process.borrow().as_ref().is_some_and(|process| process.request());
        let on_the_way = Duration::from_millis(self.chance.borrow_mut().random_range(1..40));
        let hosts = self.hosts.borrow();
        let host = &hosts[request.uri().authority().unwrap().as_str()];
        let answer = host(request);
        Box::pin(async move {
            tokio::time::sleep(on_the_way).await;
            let response = answer.await;
            if is_dead {
                std::future::pending::<()>().await;
            }
            response.map(|body| reqwest::Body::wrap_stream(body.into_data_stream()))
        })
    }
}
