//! Records of changed contexts on their way to the backend: those that it did not take are kept, as far as there is room, and sent
//! again. The process waits for them a few seconds at its end. What is not sent then is sent by the next controller, if the status of
//! its context keeps it; else it is in the log only, and counted there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contextcore_core::export::otlp::{Batch, Outcome, Sink};
use contextcore_core::model::error::Retry;
use contextcore_core::model::semconv::CONTEXT_CHANGED as CHANGED;
use contextcore_core::model::signal::Signal;
use contextcore_core::{Error, lock};
use contextcore_operator::controller::{ContextChange, RecordId};
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::records::request;

/// So many records wait. The oldest goes when there are more.
const MOST_WAITING: usize = 2000;
/// So many are sent at a time, while both specs in them have less bytes than this: a Collector takes 4 MiB.
const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 1024 * 1024;
const NO_ROOM: &str = "more records wait than there is room for";
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The records and where they go.
pub(super) struct Audit {
    sink: Box<dyn Sink>,
    queue: Mutex<Queue>,
    /// The task that sends, while one does. It ends with this process.
    sender: Mutex<JoinSet<()>>,
    /// Records that nobody will have, since somebody asked last.
    lost: AtomicU64,
    /// Records that need not be kept any more, since somebody asked last.
    settled: Mutex<Vec<RecordId>>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ContextChange>,
    /// Whether a task sends them.
    is_sending: bool,
    /// Those that are being sent.
    in_flight: Vec<ContextChange>,
}

impl Audit {
    pub(super) fn new(sink: Box<dyn Sink>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            queue: Mutex::default(),
            sender: Mutex::default(),
            lost: AtomicU64::new(0),
            settled: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Sends records soon, and later what the backend does not take at once.
    pub(super) fn record(self: &Arc<Self>, changes: Vec<ContextChange>) {
        let mut queue = lock(&self.queue);
        queue.waiting.extend(changes);
        let over = queue.over();
        if !queue.is_sending && !queue.waiting.is_empty() {
            queue.is_sending = true;
            let mut sender = lock(&self.sender);
            while sender.try_join_next().is_some() {}
            sender.spawn(Arc::clone(self).send());
        }
        drop(queue);
        self.lose(over.len(), NO_ROOM);
        self.settle(&over);
    }

    /// Waits until the backend took records or refused them for good. Returns those since the last call.
    pub(super) async fn settled(&self) -> Vec<RecordId> {
        loop {
            let news = self.news.notified();
            let settled = std::mem::take(&mut *lock(&self.settled));
            if !settled.is_empty() {
                return settled;
            }
            news.await;
        }
    }

    /// Records that were lost since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Waits until what was recorded is sent, at most this long. The log says what becomes of the rest.
    pub(super) async fn finish(&self, patience: Duration) {
        let mut sender = std::mem::take(&mut *lock(&self.sender));
        let all = async { while sender.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            // Before it is counted: a batch that came back late would be counted twice.
            sender.shutdown().await;
            let mut queue = lock(&self.queue);
            let mut left = std::mem::take(&mut queue.in_flight);
            left.extend(std::mem::take(&mut queue.waiting));
            drop(queue);
            let kept = left.iter().filter(|change| change.is_kept).count();
            if kept > 0 {
                tracing::warn!(
                    "{kept} records {CHANGED} are in the statuses of their contexts: the next controller sends them"
                );
            }
            self.lose(left.len() - kept, "the backend did not take them before the process ended");
        }
    }

    /// Sends all that wait. The task ends with the last of them.
    async fn send(self: Arc<Self>) {
        let (mut wait, mut most) = (SHORTEST_WAIT, AT_ONCE);
        while let Some(batch) = self.next(most) {
            let encoded = Batch::decode(Signal::Logs, &request(&batch).encode_to_vec());
            match self.sink.export(&encoded).await {
                Ok(Outcome::Accepted) => {
                    (wait, most) = (SHORTEST_WAIT, AT_ONCE);
                    self.settle(&batch);
                }
                Ok(Outcome::Partial { rejected, reason }) => {
                    (wait, most) = (SHORTEST_WAIT, AT_ONCE);
                    self.lose(usize::try_from(rejected).unwrap_or(usize::MAX), &reason);
                    self.settle(&batch);
                }
                // One of them, or their size: the others are no worse for it.
                Err(error) if is_refusal(&error) && batch.len() > 1 => {
                    most = batch.len() / 2;
                    self.put_back(batch);
                }
                Err(error) if is_refusal(&error) => {
                    self.lose(batch.len(), &error.full());
                    self.settle(&batch);
                }
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
    fn next(&self, most: usize) -> Option<Vec<ContextChange>> {
        let mut queue = lock(&self.queue);
        let mut bytes = 0;
        let fits = |change: &&ContextChange| {
            let before = bytes;
            bytes += change.values.as_ref().map_or(0, |values| values.before.len() + values.after.len());
            before == 0 || bytes <= BYTES_AT_ONCE
        };
        let count = queue.waiting.iter().take(most).take_while(fits).count();
        queue.is_sending = count > 0;
        queue.in_flight = queue.waiting.drain(..count).collect();
        queue.is_sending.then(|| queue.in_flight.clone())
    }

    fn put_back(&self, batch: Vec<ContextChange>) {
        let mut queue = lock(&self.queue);
        queue.in_flight.clear();
        for change in batch.into_iter().rev() {
            queue.waiting.push_front(change);
        }
        let over = queue.over();
        drop(queue);
        self.lose(over.len(), NO_ROOM);
        self.settle(&over);
    }

    /// Nobody has to keep these any more.
    fn settle(&self, changes: &[ContextChange]) {
        if !changes.is_empty() {
            lock(&self.settled).extend(changes.iter().map(ContextChange::id));
            self.news.notify_one();
        }
    }

    fn lose(&self, count: usize, reason: &str) {
        if count > 0 {
            self.lost.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(to = self.sink.describe(), "{count} records {CHANGED} are lost: {reason}");
        }
    }
}

/// Whether the backend will never take them. An address or a credential that is wrong can be mended meanwhile.
fn is_refusal(error: &Error) -> bool {
    error.retry() == Retry::Never && error.context("verdict") != Some("stop")
}

impl Queue {
    /// Takes out the oldest that are too many.
    fn over(&mut self) -> Vec<ContextChange> {
        let over = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..over).collect()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use contextcore_core::ErrorKind;
    use contextcore_operator::resource::ChangedValues;

    use super::super::records::tests::change;
    use super::*;

    /// A backend that gives these answers, then accepts; it counts what it accepted.
    struct Backend {
        answers: Mutex<VecDeque<Option<Retry>>>,
        accepted: Arc<AtomicU64>,
        /// What its errors say of the batch.
        verdict: &'static str,
    }

    #[async_trait]
    impl Sink for Backend {
        async fn export(&self, batch: &Batch) -> contextcore_core::Result<Outcome> {
            let answer = lock(&self.answers).pop_front().flatten();
            if let Some(retry) = answer {
                return Err(Error::new(ErrorKind::Export, "no").with_retry(retry).with("verdict", self.verdict));
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
        audit_that_says("dead_letter", answers)
    }

    fn audit_that_says(
        verdict: &'static str,
        answers: impl IntoIterator<Item = Option<Retry>>,
    ) -> (Arc<Audit>, Arc<AtomicU64>) {
        let accepted = Arc::new(AtomicU64::new(0));
        let answers = Mutex::new(answers.into_iter().collect());
        (Audit::new(Box::new(Backend { answers, accepted: Arc::clone(&accepted), verdict })), accepted)
    }

    fn numbered(generation: i64) -> ContextChange {
        ContextChange { generation: Some(generation), is_kept: true, ..change() }
    }

    fn numbers(settled: &[RecordId]) -> Vec<i64> {
        settled.iter().filter_map(|id| id.generation).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_does_not_take_at_once_is_sent_again() {
        let (audit, accepted) =
            audit([Some(Retry::Backoff), Some(Retry::After(Duration::from_secs(7))), Some(Retry::Backoff)]);
        audit.record(vec![change()]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        audit.record(vec![change()]);
        assert_eq!(accepted.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((accepted.load(Ordering::Relaxed), audit.take_lost()), (2, 0));
        audit.record(vec![change()]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(accepted.load(Ordering::Relaxed), 3, "another task sends it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_the_backend_takes_soon() {
        let (audit, accepted) = audit([Some(Retry::Backoff)]);
        audit.record(vec![change()]);
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (0, 1));
        let (audit, accepted) = self::audit([Some(Retry::After(Duration::from_secs(60)))]);
        audit.record(vec![change(), change()]);
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (2, 0));
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!(audit.take_lost(), 0, "counted once");
        // What is under way then counts as well.
        let silent = Audit::new(Box::new(Silent));
        silent.record(vec![change(); 3]);
        silent.finish(Duration::from_secs(5)).await;
        assert_eq!(silent.take_lost(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_settled_once_the_backend_has_it() {
        let (audit, _) = audit([Some(Retry::Backoff)]);
        audit.record(vec![numbered(1), numbered(2)]);
        let early = tokio::time::timeout(Duration::from_millis(500), audit.settled()).await;
        assert!(early.is_err(), "{early:?}");
        assert_eq!(numbers(&audit.settled().await), [1, 2]);
        audit.record(vec![numbered(3)]);
        assert_eq!(numbers(&audit.settled().await), [3]);
        // What a status keeps is not lost with the process.
        let (audit, _) = self::audit([Some(Retry::After(Duration::from_secs(60)))]);
        audit.record(vec![numbered(1), change()]);
        audit.finish(Duration::from_secs(5)).await;
        assert_eq!(audit.take_lost(), 1);
        assert!(lock(&audit.settled).is_empty());
    }

    /// A credential that has expired is renewed some time.
    #[tokio::test(start_paused = true)]
    async fn a_backend_that_refuses_the_sender_gets_them_later() {
        let (audit, accepted) = audit_that_says("stop", [Some(Retry::Never), Some(Retry::Never)]);
        audit.record(vec![change(), change()]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn long_records_are_not_sent_together() {
        let audit = Audit::new(Box::new(Silent));
        let values = ChangedValues { before: "x".repeat(64 * 1024), after: "y".repeat(64 * 1024) };
        let long = ContextChange { values: Some(values), ..change() };
        lock(&audit.queue).waiting.extend(vec![long; 20]);
        assert_eq!((audit.next(AT_ONCE).unwrap().len(), audit.next(3).unwrap().len()), (8, 3));
        lock(&audit.queue).waiting.clear();
        let values = ChangedValues { before: String::new(), after: "y".repeat(2 * BYTES_AT_ONCE) };
        lock(&audit.queue).waiting.push_back(ContextChange { values: Some(values), ..change() });
        assert_eq!(audit.next(AT_ONCE).unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_will_have_is_counted() {
        let never = || Some(Retry::Never);
        let (audit, accepted) = audit([never(), never()]);
        audit.record(vec![change(), change()]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((audit.take_lost(), audit.take_lost(), accepted.load(Ordering::Relaxed)), (1, 0, 1));
        let (audit, accepted) = self::audit([Some(Retry::Backoff)]);
        audit.record(vec![change(); MOST_WAITING + 5]);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((audit.take_lost(), accepted.load(Ordering::Relaxed)), (5, 2000));
    }
}
