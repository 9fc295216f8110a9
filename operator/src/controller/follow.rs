//! Follows one watch for ever: what it brings goes to a [`Sink`], and how it fares is known.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::core::Resource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};

use super::backoff;
use super::lease;
use super::trouble::{self, WatchTrouble};

/// The longest pause between two attempts to watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a failure a list counts when its watch has not failed for this long: who may list and not watch would be well and unwell in
/// turn.
const DOUBT: Duration = Duration::from_secs(2);

/// Takes what a watch brings.
pub(super) trait Sink<K>: Send + std::marker::Sync {
    type Item: Send;

    fn read(&self, object: K) -> Option<Self::Item>;
    /// The complete list.
    fn replace(&self, list: Vec<Self::Item>);
    fn put(&self, item: Self::Item);
    fn remove(&self, item: Self::Item);
    fn failed(&self, message: String);
}

/// Follows a watch for ever. A watch that does not start begins anew with a list: one that is resumed says nothing, so that nobody
/// would learn that it works again.
pub(super) async fn follow<K, S>(api: Api<K>, config: Config, sink: &S)
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
    S: Sink<K>,
{
    let mut health = Health::default();
    loop {
        let error = attempt(api.clone(), config.clone(), sink, &mut health).await;
        let pause = health.failed();
        if health.is_worth_saying(&error) {
            sink.failed(error.message);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Follows a watch until it fails. Only what is worth an attempt of its own ends it.
async fn attempt<K, S>(api: Api<K>, config: Config, sink: &S, health: &mut Health) -> WatchTrouble
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
    S: Sink<K>,
{
    let mut events = watcher(api, config).default_backoff().map_err(|error| trouble::of_watch(&error)).boxed();
    let mut list = Vec::new();
    // A list that came after a failure, and whose watch may fail again.
    let mut is_doubtful = false;
    loop {
        let next = match tokio::time::timeout(if is_doubtful { DOUBT } else { Duration::MAX }, events.next()).await {
            Ok(next) => next,
            Err(_) => {
                is_doubtful = false;
                health.works();
                sink.replace(std::mem::take(&mut list));
                continue;
            }
        };
        if is_doubtful && matches!(next, Some(Ok(Event::Apply(_) | Event::Delete(_)))) {
            is_doubtful = false;
            health.works();
            sink.replace(std::mem::take(&mut list));
        }
        match next {
            Some(Ok(Event::Init)) => {
                is_doubtful = false;
                list.clear();
            }
            Some(Ok(Event::InitApply(object))) => list.extend(sink.read(object)),
            Some(Ok(Event::InitDone)) if health.is_failing() => is_doubtful = true,
            Some(Ok(Event::InitDone)) => {
                health.works();
                sink.replace(std::mem::take(&mut list));
            }
            Some(Ok(Event::Apply(object))) => sink.read(object).into_iter().for_each(|item| sink.put(item)),
            Some(Ok(Event::Delete(object))) => sink.read(object).into_iter().for_each(|item| sink.remove(item)),
            // The API server closes watches now and then; that they go on is what counts.
            Some(Err(None)) => {}
            Some(Err(Some(error))) => return error,
            None => return WatchTrouble { message: "the watch ended".to_owned(), is_answer: false },
        }
    }
}

/// How a watch fares.
#[derive(Debug, Default)]
struct Health {
    /// Whether it ever worked.
    worked: bool,
    failures: u32,
    since: Option<Instant>,
}

impl Health {
    const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    const fn works(&mut self) {
        *self = Self { worked: true, failures: 0, since: None };
    }

    /// It failed; returns how long to wait.
    fn failed(&mut self) -> Duration {
        self.failures += 1;
        self.since.get_or_insert_with(Instant::now);
        backoff::delay(self.failures).min(LONGEST_PAUSE)
    }

    /// Whether a failure is news. That the API server cannot be reached for some seconds, as when it starts anew, changes nothing
    /// about what is known; what it answers does.
    fn is_worth_saying(&self, error: &WatchTrouble) -> bool {
        error.is_answer || !self.worked || self.since.is_some_and(|since| since.elapsed() >= lease::RENEW_DEADLINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(is_answer: bool) -> WatchTrouble {
        WatchTrouble { message: "m".into(), is_answer }
    }

    #[test]
    fn a_short_outage_is_no_news_once_a_watch_worked() {
        let mut health = Health::default();
        health.failed();
        assert!(health.is_worth_saying(&trouble(false)), "it never worked");
        health.works();
        health.failed();
        assert!(!health.is_worth_saying(&trouble(false)));
        assert!(health.is_worth_saying(&trouble(true)), "a refusal is an answer");
        health.since = Instant::now().checked_sub(lease::RENEW_DEADLINE);
        assert!(health.is_worth_saying(&trouble(false)));
    }

    #[test]
    fn pauses_grow_to_half_a_minute_and_begin_anew() {
        let mut health = Health::default();
        let pauses: Vec<Duration> = (0..9).map(|_| health.failed()).collect();
        assert!(pauses[0] < Duration::from_secs(2) && pauses[8] == LONGEST_PAUSE, "{pauses:?}");
        health.works();
        assert!(!health.is_failing() && health.failed() < Duration::from_secs(2));
    }
}
