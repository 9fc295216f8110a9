//! Simulated surroundings: another clock and another network for everything that runs on one thread.
//!
//! A test that lives through thousands of faulty histories has no time for sockets and sleeps. It [enters](enter) surroundings
//! of its own, runs the engine on a single-threaded runtime whose time is paused, and answers every HTTP request itself.
//! Without them the system's clock and the real network are used.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use ::http::HeaderValue;
use ::http::header::USER_AGENT;
use bytes::Bytes;
use reqwest::{RequestBuilder, Response};

use crate::model::time::Millis;

/// The answer to a request, once it is there. A body that ends with an error is a connection that broke.
pub type Exchange = Pin<Box<dyn Future<Output = ::http::Response<reqwest::Body>> + Send>>;

/// What surrounds the program.
pub trait Surroundings {
    /// The present.
    fn now(&self) -> Millis;

    /// Answers a request to a tool or to an OTLP backend over HTTP.
    fn exchange(&self, request: ::http::Request<Bytes>) -> Exchange;
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn Surroundings>>> = const { RefCell::new(None) };
}

/// Leaves the surroundings when it is dropped.
#[derive(Debug)]
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Enters surroundings on this thread.
pub fn enter(surroundings: Rc<dyn Surroundings>) -> Entered {
    CURRENT.set(Some(surroundings));
    Entered(())
}

/// The present in simulated surroundings.
pub(crate) fn now() -> Option<Millis> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| current.now()))
}

/// Sends a request, over the network unless there are simulated surroundings.
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Response> {
    match exchange(&request) {
        Some(answer) => Ok(answer.await.into()),
        None => request.send().await,
    }
}

/// The answer of simulated surroundings. Requests have bodies of bytes, so each can be copied.
fn exchange(request: &RequestBuilder) -> Option<Exchange> {
    let surroundings = CURRENT.with_borrow(Clone::clone)?;
    let request = request.try_clone()?.build().ok()?;
    let mut copy =
        ::http::Request::new(request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec().into());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.url().as_str().parse().ok()?;
    *copy.headers_mut() = request.headers().clone();
    // A client adds its own name only to what it sends itself.
    copy.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static("contextcore/simulated"));
    Some(surroundings.exchange(copy))
}
