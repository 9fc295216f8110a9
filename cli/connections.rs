//! Accepting connections so that nobody who can reach a listener can keep the service from its work: few at once, a short time for each request,
//! HTTP/1 only, and one request for a connection.
//!
//! When there is no room, the connection that has waited longest without sending a request gives way. So half-open connections,
//! however many, do not shut out a health check.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use contextcore_core::lock;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// File descriptors that are not for connections: the store, the tools, the backends.
const RESERVED: u64 = 128;
/// Connections that are always possible, and those that are never exceeded.
const CONNECTIONS: (u64, u64) = (8, 256);
/// The largest head of a request.
const HEAD: usize = 64 << 10;

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// The time until the head of the request has come.
    pub(crate) header: Duration,
    /// The time for everything.
    pub(crate) whole: Duration,
    /// How long a response under way may still take after a stop.
    pub(crate) grace: Duration,
}

impl Limits {
    /// For an address that others can reach.
    pub(crate) fn public() -> Self {
        let connections = connections(getrlimit(Resource::Nofile).current);
        let [header, whole, grace] = [5, 30, 2].map(Duration::from_secs);
        Self { connections, header, whole, grace }
    }

    /// For the socket in the store's directory, where a whole store may be read at the pace of a reader.
    pub(crate) fn local() -> Self {
        let [whole, grace] = [3_600, 10].map(Duration::from_secs);
        Self { whole, grace, ..Self::public() }
    }
}

/// How many connections a listener may have when the process may open this many files: four listeners share what is left.
fn connections(open_files: Option<u64>) -> usize {
    let (least, most) = CONNECTIONS;
    let left = open_files.map_or(most, |limit| limit.saturating_sub(RESERVED) / 4);
    usize::try_from(left.clamp(least, most)).unwrap_or(usize::MAX)
}

/// Connections that have sent no whole request yet, the oldest first.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<(u64, CancellationToken)>>);

impl Waiting {
    fn enter(&self, number: u64) -> CancellationToken {
        let dropped = CancellationToken::new();
        lock(&self.0).push_back((number, dropped.clone()));
        dropped
    }

    fn leave(&self, number: u64) {
        lock(&self.0).retain(|(other, _)| *other != number);
    }

    fn drop_oldest(&self) {
        if let Some((_, dropped)) = lock(&self.0).pop_front() {
            dropped.cancel();
        }
    }
}

/// Answers on a listener until `closing`; then responses under way end.
pub(crate) async fn serve<L: Listener>(mut listener: L, router: Router, limits: Limits, closing: CancellationToken) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let waiting = Arc::new(Waiting::default());
    let mut open = JoinSet::new();
    for number in 0.. {
        let accepted = closing.run_until_cancelled(listener.accept()).await;
        let Some((io, _)) = accepted else { break };
        if room.available_permits() == 0 {
            waiting.drop_oldest();
        }
        let Some(Ok(permit)) = closing.run_until_cancelled(Arc::clone(&room).acquire_owned()).await else { break };
        // Known before its task runs: a flood must not find nothing that gives way.
        let dropped = waiting.enter(number);
        let connection = Connection { number, waiting: Arc::clone(&waiting), dropped, limits, _permit: permit };
        open.spawn(connection.answer(io, router.clone(), closing.clone()));
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

struct Connection {
    number: u64,
    waiting: Arc<Waiting>,
    dropped: CancellationToken,
    limits: Limits,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Reads one request and answers it.
    async fn answer<I>(self, io: I, router: Router, closing: CancellationToken)
    where
        I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (waiting, number) = (Arc::clone(&self.waiting), self.number);
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: Request<Incoming>| {
            waiting.leave(number);
            router.call(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.header);
        builder.keep_alive(false).half_close(true).max_buf_size(HEAD);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.dropped.cancelled() => None,
            () = tokio::time::sleep(self.limits.whole) => None,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(self.limits.grace, connection).await.ok()
            }
        };
        self.waiting.leave(self.number);
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use axum::routing::get;

    use super::*;

    /// A server that ends with the set it is in.
    async fn listening(limits: Limits) -> (SocketAddr, JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "ok"));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, router, limits, CancellationToken::new()));
        (address, server)
    }

    /// The whole answer to some bytes; empty when there is none.
    fn ask(address: SocketAddr, bytes: &'static [u8]) -> impl Future<Output = String> {
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            String::from_utf8_lossy(&answer).into_owned()
        });
        async { asked.await.unwrap() }
    }

    const GRACE: Duration = Duration::from_secs(2);
    const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

    fn limits(connections: usize, header: u64) -> Limits {
        Limits { connections, header: Duration::from_millis(header), whole: Duration::from_secs(10), grace: GRACE }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn half_open_connections_shut_nobody_out() {
        let (address, _server) = listening(limits(8, 60_000)).await;
        let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        for mut stream in &silent {
            drop(stream.write_all(b"GET / HT"));
        }
        let answer = tokio::time::timeout(Duration::from_secs(5), ask(address, GET)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        drop(silent);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_that_does_not_come_in_time_is_cut_off() {
        let (address, _server) = listening(limits(8, 200)).await;
        for slow in [&b""[..], b"GET /healthz HTTP/1.1\r\nhost:"] {
            let begun = std::time::Instant::now();
            let answer = ask(address, slow).await;
            assert!(!answer.contains("200 OK"), "{answer}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_http_1_is_spoken() {
        let (address, _server) = listening(limits(8, 2_000)).await;
        let answer = ask(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert!(!answer.contains("200 OK"), "{answer}");
        assert!(ask(address, GET).await.contains("connection: close"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn closing_ends_silent_connections_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, closing) = (listener.local_addr().unwrap(), CancellationToken::new());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Router::new(), limits(8, 60_000), closing.clone()));
        let _silent = TcpStream::connect(address).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        closing.cancel();
        tokio::time::timeout(GRACE * 2, server.join_all()).await.unwrap();
    }

    #[test]
    fn descriptors_stay_for_the_work() {
        assert_eq!(connections(Some(1_024)), 224);
        assert_eq!(connections(Some(256)), 32);
        assert_eq!(connections(Some(64)), 8);
        assert_eq!(connections(None), 256);
    }
}
