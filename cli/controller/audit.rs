//! Records of changed contexts on their way to the backend: those that it did not take are kept, as far as there is room, and sent
//! again. The process waits for them a few seconds at its end; what is not sent then is in its log only, and counted there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contextcore_core::export::otlp::{Batch, Outcome, Sink};
use contextcore_core::lock;
use contextcore_core::model::error::Retry;
use contextcore_core::model::semconv::CONTEXT_CHANGED as CHANGED;
use contextcore_core::model::signal::Signal;
use contextcore_operator::controller::ContextChange;
use jiff::Timestamp;
use prost::Message as _;
use tokio::task::JoinSet;

use super::records::request;

/// So many records wait. The oldest goes when there are more.
const MOST_WAITING: usize = 2000;
/// So many are sent at a time.
const AT_ONCE: usize = 100;
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

type Record = (ContextChange, Timestamp);

/// The records and where they go.
pub(super) struct Audit {
    sink: Box<dyn Sink>,
    queue: Mutex<Queue>,
    /// The task that sends, while one does. It ends with this process.
    sender: Mutex<JoinSet<()>>,
    /// Records that nobody will have, since somebody asked last.
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Record>,
    /// Whether a task sends them.
    is_sending: bool,
    /// So many are being sent.
    in_flight: usize,
}

impl Audit {
    pub(super) fn new(sink: Box<dyn Sink>) -> Arc<Self> {
        Arc::new(Self { sink, queue: Mutex::default(), sender: Mutex::default(), lost: AtomicU64::new(0) })
    }

    /// Sends records soon, and later what the backend does not take at once.
    pub(super) fn record(self: &Arc<Self>, changes: Vec<ContextChange>, now: Timestamp) {
        let mut queue = lock(&self.queue);
        queue.waiting.extend(changes.into_iter().map(|change| (change, now)));
        let over = queue.waiting.len().saturating_sub(MOST_WAITING);
        queue.waiting.drain(..over);
        if !queue.is_sending && !queue.waiting.is_empty() {
            queue.is_sending = true;
            let mut sender = lock(&self.sender);
            while sender.try_join_next().is_some() {}
            sender.spawn(Arc::clone(self).send());
        }
        drop(queue);
        self.lose(over, "more records wait than there is room for");
    }

    /// Records that were lost since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Waits until what was recorded is sent, at most this long. The rest is lost, and the log says how much.
    pub(super) async fn finish(&self, patience: Duration) {
        let mut sender = std::mem::take(&mut *lock(&self.sender));
        let all = async { while sender.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            // Before it is counted: a batch that came back late would be counted twice.
            sender.shutdown().await;
            let mut queue = lock(&self.queue);
            let left = std::mem::take(&mut queue.waiting).len() + std::mem::take(&mut queue.in_flight);
            drop(queue);
            self.lose(left, "the backend did not take them before the process ended");
        }
    }

    /// Sends all that wait. The task ends with the last of them.
    async fn send(self: Arc<Self>) {
        let mut wait = SHORTEST_WAIT;
        while let Some(batch) = self.next() {
            let encoded = Batch::decode(Signal::Logs, &request(&batch).encode_to_vec());
            match self.sink.export(&encoded).await {
                Ok(Outcome::Accepted) => wait = SHORTEST_WAIT,
                Ok(Outcome::Partial { rejected, reason }) => {
                    wait = SHORTEST_WAIT;
                    self.lose(usize::try_from(rejected).unwrap_or(usize::MAX), &reason);
                }
                Err(error) if error.retry() == Retry::Never => self.lose(batch.len(), &error.full()),
                Err(error) => {
                    let asked = if let Retry::After(asked) = error.retry() { asked } else { wait };
                    let (records, to) = (batch.len(), self.sink.describe());
                    tracing::warn!(error = %error.full(), to, "{records} records {CHANGED} wait to be sent again");
                    self.put_back(batch);
                    tokio::time::sleep(asked.min(LONGEST_WAIT)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// The next to send; nothing ends the task.
    fn next(&self) -> Option<Vec<Record>> {
        let mut queue = lock(&self.queue);
        let count = queue.waiting.len().min(AT_ONCE);
        (queue.is_sending, queue.in_flight) = (count > 0, count);
        queue.is_sending.then(|| queue.waiting.drain(..count).collect())
    }

    fn put_back(&self, batch: Vec<Record>) {
        let mut queue = lock(&self.queue);
        queue.in_flight = 0;
        for record in batch.into_iter().rev() {
            queue.waiting.push_front(record);
        }
        let over = queue.waiting.len().saturating_sub(MOST_WAITING);
        queue.waiting.drain(..over);
        drop(queue);
        self.lose(over, "more records wait than there is room for");
    }

    fn lose(&self, count: usize, reason: &str) {
        if count > 0 {
            self.lost.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(to = self.sink.describe(), "{count} records {CHANGED} are lost: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use contextcore_core::{Error, ErrorKind};

    use super::super::records::tests::change;
    use super::*;

    /// A backend that gives these answers, then accepts; it counts what it accepted.
    struct Backend {
        answers: Mutex<VecDeque<Option<Retry>>>,
        accepted: Arc<AtomicU64>,
    }

    #[async_trait]
    impl Sink for Backend {
        async fn export(&self, batch: &Batch) -> contextcore_core::Result<Outcome> {
            let answer = lock(&self.answers).pop_front().flatten();
            if let Some(retry) = answer {
                return Err(Error::new(ErrorKind::Export, "no").with_retry(retry));
            }
            self.accepted.fetch_add(u64::try_from(batch.items()).unwrap(), Ordering::Relaxed);
            Ok(Outcome::Accepted)
        }

        fn describe(&self) -> String {
            "a backend".to_owned()
        }
    }

    /// A backend that never answers.
    struct Silent;

    #[async_trait]
    impl Sink for Silent {
        async fn export(&self, _: &Batch) -> contextcore_core::Result<Outcome> {
            std::future::pending().await
        }

        fn describe(&self) -> String {
            "a silent backend".to_owned()
        }
    }

    fn audit(answers: impl IntoIterator<Item = Option<Retry>>) -> (Arc<Audit>, Arc<AtomicU64>) {
        let accepted = Arc::new(AtomicU64::new(0));
        let answers = Mutex::new(answers.into_iter().collect());
        (Audit::new(Box::new(Backend { answers, accepted: Arc::clone(&accepted) })), accepted)
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_does_not_take_at_once_is_sent_again() {
        let (audit, accepted) =
            audit([Some(Retry::Backoff), Some(Retry::After(Duration::from_secs(7))), Some(Retry::Backoff)]);
        audit.record(vec![change()], Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_millis(500)).await;
        audit.record(vec![change()], Timestamp::UNIX_EPOCH);
        assert_eq!(accepted.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((accepted.load(Ordering::Relaxed), audit.take_lost()), (2, 0));
        audit.record(vec![change()], Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(accepted.load(Ordering::Relaxed), 3, "another task sends it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_the_backend_takes_soon() {
        let (audit, accepted) = audit([Some(Retry::Backoff)]);
        audit.record(vec![change()], Timestamp::UNIX_EPOCH);
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (0, 1));
        let (audit, accepted) = self::audit([Some(Retry::After(Duration::from_secs(60)))]);
        audit.record(vec![change(), change()], Timestamp::UNIX_EPOCH);
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (2, 0));
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!(audit.take_lost(), 0, "counted once");
        // What is under way then counts as well.
        let silent = Audit::new(Box::new(Silent));
        silent.record(vec![change(); 3], Timestamp::UNIX_EPOCH);
        silent.finish(Duration::from_secs(5)).await;
        assert_eq!(silent.take_lost(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_will_have_is_counted() {
        let (audit, accepted) = audit([Some(Retry::Never)]);
        audit.record(vec![change(), change()], Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((audit.take_lost(), audit.take_lost(), accepted.load(Ordering::Relaxed)), (2, 0, 0));
        let (audit, accepted) = self::audit([Some(Retry::Backoff)]);
        audit.record(vec![change(); MOST_WAITING + 5], Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (5, 2000));
    }
}
