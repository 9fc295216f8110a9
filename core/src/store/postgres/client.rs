//! The connections to the database, on a thread and a runtime of their own.
//!
//! Whoever asks waits: the seam above is synchronous. On a runtime with several threads the others go on meanwhile.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, SimpleQueryMessage};

use super::failure::{Failure, Reason};
use super::hosts::Hosts;
use super::url::Target;
use crate::model::error::{Error, ErrorKind, Result};

/// Connections of one process. One more is for the lease, which must not wait for them, and one for what is read as of one moment.
const CONNECTIONS: usize = 6;
/// How long a statement may take before its connection counts as broken.
const STATEMENT: Duration = Duration::from_secs(60);
/// How long a statement waits for a connection.
const WAIT: Duration = Duration::from_secs(30);
/// How often a statement that changes nothing is tried.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// How often an open transaction shows that its process lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A value of a statement, with its type, so that nobody has to ask the server for it first.
pub(super) type Value = (Box<dyn ToSql + Sync + Send>, Type);

/// A text.
pub(super) fn text(value: String) -> Value {
    (Box::new(value), Type::TEXT)
}

/// Some texts.
pub(super) fn texts(values: Vec<String>) -> Value {
    (Box::new(values), Type::TEXT_ARRAY)
}

/// The connections to one database.
pub(super) struct Client {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    queries: Arc<Connections>,
    lease: Arc<Connections>,
    target: Arc<Target>,
}

/// A pool of connections. Nothing here waits for good: a server may accept connections, and say nothing.
pub(super) struct Connections {
    pool: Pool,
    /// How long a statement may take.
    limit: Duration,
}

impl Client {
    /// Connects when the first statement is sent. What concerns a lease is given up after its `length`, when it is of no use any more.
    pub(super) fn new(url: &str, length: Duration) -> Result<Self> {
        Self::at(Arc::new(Target::parse(url)?), CONNECTIONS, length.min(STATEMENT))
    }

    /// A connection of its own, in a transaction that reads everything as of one moment.
    pub(super) fn frozen(&self) -> Result<Self, Failure> {
        let broken = |error: Error| Failure::NotSent(Reason::Connection(error.full()));
        let frozen = Self::at(Arc::clone(&self.target), 1, STATEMENT).map_err(broken)?;
        frozen.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned())?;
        Ok(frozen)
    }

    fn at(target: Arc<Target>, connections: usize, limit: Duration) -> Result<Self> {
        let failed = |error| Error::new(ErrorKind::Internal, "start the thread of the database").caused_by(error);
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("postgres").enable_all().build();
        let queries = Connections::new(&target, connections, STATEMENT)?;
        let lease = Connections::new(&target, 1, limit)?;
        let (queries, lease) = (Arc::new(queries), Arc::new(lease));
        Ok(Self { runtime: Some(runtime.map_err(failed)?), queries, lease, target })
    }

    /// Where the database is, without user and password.
    pub(super) fn place(&self) -> &str {
        &self.target.place
    }

    /// The connection for the lease.
    pub(super) fn lease(&self) -> Arc<Connections> {
        Arc::clone(&self.lease)
    }

    pub(super) fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    /// Does work on the thread of the connections, and waits for it.
    pub(super) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let ended = || Error::new(ErrorKind::Internal, "the thread of the database has ended");
        let (sender, answer) = sync_channel(1);
        self.handle().ok_or_else(ended)?.spawn(async move { drop(sender.send(work.await)) });
        blocking(|| answer.recv()).map_err(|_| ended())
    }

    /// The rows of a statement that changes nothing. It is sent again when its connection breaks.
    pub(super) fn read(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        let (queries, sql) = (Arc::clone(&self.queries), sql.to_owned());
        let rows = self.wait(async move { queries.read(&sql, &values).await })?;
        rows.map_err(|failure| failure.into_error("read the store", self.place()))
    }

    /// The rows of a statement, which is sent once.
    pub(super) fn once(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, Failure> {
        let (queries, sql) = (Arc::clone(&self.queries), sql.to_owned());
        let rows = self.wait(async move { queries.query(&sql, &values).await });
        rows.unwrap_or_else(|error| Err(Failure::NotSent(Reason::Connection(error.full()))))
    }

    /// Begins a transaction that lasts until what is returned is dropped, or this process stands still. Returns the last value that
    /// its statements read as well.
    pub(super) fn transaction(&self, sql: &str) -> Result<(Option<String>, Open), Failure> {
        let (queries, sql) = (Arc::clone(&self.queries), sql.to_owned());
        let begun = self.wait(async move { queries.transaction(&sql).await });
        begun.unwrap_or_else(|error| Err(Failure::NotSent(Reason::Connection(error.full()))))
    }

    /// Runs several statements that are one text.
    pub(super) fn script(&self, sql: String) -> Result<(), Failure> {
        let queries = Arc::clone(&self.queries);
        let done = self.wait(async move { queries.script(&sql).await });
        done.unwrap_or_else(|error| Err(Failure::NotSent(Reason::Connection(error.full()))))
    }
}

impl Drop for Client {
    /// Async code must not wait for the thread.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connections {
    fn new(target: &Target, number: usize, limit: Duration) -> Result<Self> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(target.config.clone(), Hosts::new(target)?, config);
        let builder = Pool::builder(manager).max_size(number).runtime(PoolRuntime::Tokio1);
        let builder = builder.wait_timeout(Some(WAIT.min(limit))).create_timeout(Some(target.patience()));
        let failed = |error| Error::new(ErrorKind::Internal, "set up the connections").caused_by(error);
        Ok(Self { pool: builder.build().map_err(failed)?, limit })
    }

    /// A connection that nobody uses.
    async fn client(&self) -> Result<Object, Failure> {
        self.pool.get().await.map_err(Failure::of_pool)
    }

    /// The rows of a statement that may be repeated.
    pub(super) async fn read(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let mut tries = 1;
        loop {
            match self.query(sql, values).await {
                Err(failure) if failure.may_end_at_once() && tries < TRIES => {
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// The rows of a statement, which is sent once, as a whole and in one round trip.
    pub(super) async fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let client = self.client().await?;
        self.ask(client, Instant::now() + self.limit, sql, values).await
    }

    /// The same, given up at some moment. A connection whose answer nobody waits for any more is closed: the next statement would wait
    /// behind it.
    pub(super) async fn query_until(&self, until: Instant, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let silent = |_| Failure::NotSent(Reason::Silence("no connection in time".to_owned()));
        let client = timeout_at(until, self.client()).await.map_err(silent)??;
        self.ask(client, until, sql, values).await
    }

    /// It is not prepared under a name: behind a pooler the name could be that of another client's statement.
    async fn ask(&self, client: Object, until: Instant, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let plain = values.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()));
        let typed: Vec<(&(dyn ToSql + Sync), Type)> = plain.collect();
        let answer = timeout_at(until, client.query_typed(sql, &typed)).await;
        self.finish(client, answer)
    }

    /// Begins a transaction, on another connection when one was broken: it has changed nothing.
    async fn transaction(&self, sql: &str) -> Result<(Option<String>, Open), Failure> {
        let mut tries = 1;
        loop {
            match self.begin(sql).await {
                Err(failure) if failure.may_end_at_once() && tries < TRIES => {
                    tokio::time::sleep(PAUSE * tries).await;
                    tries += 1;
                }
                begun => return begun,
            }
        }
    }

    async fn begin(&self, sql: &str) -> Result<(Option<String>, Open), Failure> {
        let client = self.client().await?;
        let messages = match timeout(self.limit, client.simple_query(sql)).await {
            Ok(Ok(messages)) => messages,
            failed => {
                if failed.is_ok() {
                    self.roll_back(&client).await;
                }
                return self.finish(client, failed).map(|_| (None, Open(oneshot::channel().0)));
            }
        };
        let value = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).filter(|text| !text.is_empty()).map(str::to_owned),
            _ => None,
        });
        let (sender, dropped) = oneshot::channel();
        Handle::current().spawn(keep_open(client, dropped));
        Ok((value, Open(sender)))
    }

    async fn script(&self, sql: &str) -> Result<(), Failure> {
        let client = self.client().await?;
        let answer = timeout(self.limit, client.batch_execute(sql)).await;
        if matches!(answer, Ok(Err(_))) {
            self.roll_back(&client).await;
        }
        self.finish(client, answer)
    }

    /// Ends a transaction that failed and is still open.
    async fn roll_back(&self, client: &Object) {
        drop(timeout(self.limit, client.batch_execute("ROLLBACK")).await);
    }

    /// What an answer means. A connection that gave none, or that shall not be used again, is closed.
    fn finish<T>(
        &self,
        client: Object,
        answer: Result<Result<T, tokio_postgres::Error>, Elapsed>,
    ) -> Result<T, Failure> {
        let failure = match answer {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => Failure::of_statement(&error),
            Err(_) => Failure::Unknown(Reason::Silence("no answer in time".to_owned())),
        };
        if failure.is_of_the_connection() {
            drop(Object::take(client));
            self.forget();
        }
        Err(failure)
    }

    /// Closes the connections that nobody uses: what broke one may have broken all.
    fn forget(&self) {
        drop(self.pool.retain(|_, _| false));
    }
}

/// An open transaction. It changes nothing and ends when this is dropped.
pub(super) struct Open(#[expect(dead_code, reason = "it counts that it is there")] oneshot::Sender<()>);

/// Keeps a transaction open until nobody needs it any more.
async fn keep_open(client: Object, mut dropped: oneshot::Receiver<()>) {
    let mut is_open = true;
    while is_open && timeout(SIGN_OF_LIFE, &mut dropped).await.is_err() {
        is_open = matches!(timeout(STATEMENT, client.batch_execute("SELECT 1")).await, Ok(Ok(())));
    }
    if !is_open || !matches!(timeout(STATEMENT, client.batch_execute("ROLLBACK")).await, Ok(Ok(()))) {
        drop(Object::take(client));
    }
}

/// Waits. Where the runtime has further threads, they continue meanwhile.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
