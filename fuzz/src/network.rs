//! A network without sockets or time: requests reach a fake, or whatever the target answers.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use contextcore_core::simulated::{Exchange, Surroundings};
use contextcore_core::{Millis, lock};
use contextcore_fakes::github::GithubHandle;
use contextcore_fakes::jira::JiraHandle;
use contextcore_fakes::linear::LinearHandle;
use http::{Request, Response};

/// An answer on its way.
type Answer = std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
/// What makes two requests the same.
pub(crate) type Key = (String, Bytes);

/// Requests that one run may make: more is a connector that asks without end.
const REQUESTS: usize = 3_000;
/// Answers that are remembered.
const REMEMBERED: usize = 5_000;

/// What answers requests.
pub(crate) trait Host {
    fn answer(&self, request: Request<Bytes>) -> Answer;
}

macro_rules! host {
    ($($handle:ty),*) => {
        $(impl Host for $handle {
            fn answer(&self, request: Request<Bytes>) -> Answer {
                Box::pin(Self::answer(self, request))
            }
        })*
    };
}
host!(JiraHandle, GithubHandle, LinearHandle);

/// The network of one thread. A fake that nobody changes gives the same answer to the same request, so each is asked for once.
pub(crate) struct Network {
    now: i64,
    host: Box<dyn Host>,
    known: Arc<Mutex<HashMap<Key, Response<Bytes>>>>,
    spoiled: Mutex<Option<(Key, Bytes)>>,
    requests: Mutex<usize>,
}

impl Network {
    /// A network at this moment, in epoch milliseconds, in which every request reaches `host`.
    pub(crate) fn new(now: i64, host: impl Host + 'static) -> Rc<Self> {
        Rc::new(Self {
            now,
            host: Box::new(host),
            known: Arc::default(),
            spoiled: Mutex::default(),
            requests: Mutex::default(),
        })
    }

    /// From now on this request is answered with another body; `None` with the true one.
    pub(crate) fn spoil(&self, spoiled: Option<(Key, Vec<u8>)>) {
        *lock(&self.requests) = 0;
        *lock(&self.spoiled) = spoiled.map(|(key, body)| (key, body.into()));
    }

    /// The bodies of all answers so far.
    pub(crate) fn answers(&self) -> Vec<(Key, Bytes)> {
        let known = lock(&self.known);
        let mut answers: Vec<_> = known.iter().map(|(key, answer)| (key.clone(), answer.body().clone())).collect();
        answers.sort();
        answers
    }
}

impl Surroundings for Network {
    fn now(&self) -> Millis {
        Millis(self.now)
    }

    fn exchange(&self, request: Request<Bytes>) -> Exchange {
        *lock(&self.requests) += 1;
        assert!(*lock(&self.requests) < REQUESTS, "it asks without end: {} {:?}", request.uri(), request.body());
        let key = (request.uri().to_string(), request.body().clone());
        let spoiled = lock(&self.spoiled).as_ref().filter(|(spoiled, _)| *spoiled == key).map(|(_, body)| body.clone());
        let known = Arc::clone(&self.known);
        let answer = if lock(&known).contains_key(&key) { None } else { Some(self.host.answer(request)) };
        Box::pin(async move {
            if let Some(answer) = answer {
                let answer = whole(answer.await).await;
                let mut known = lock(&known);
                if known.len() > REMEMBERED {
                    known.clear();
                }
                known.insert(key.clone(), answer);
            }
            let mut answer = lock(&known)[&key].clone();
            if let Some(body) = spoiled {
                *answer.body_mut() = body;
            }
            answer.map(reqwest::Body::from)
        })
    }
}

async fn whole(answer: Response<Body>) -> Response<Bytes> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, axum::body::to_bytes(body, usize::MAX).await.unwrap())
}
