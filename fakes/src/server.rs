//! The part of a fake that knows no vendor: an HTTP server on a free local port that logs every request, lets [`Faults`]
//! spoil answers, and stops at once on request.
//!
//! A vendor implements [`Vendor`], [`Server::start`] does the rest, and [`Handle`] is what tests and the demo hold. Requests are
//! answered whole, not streamed.

use crate::faults::{Fault, Faults, Twist, When};
use crate::message::{Call, Reply, Request};
use crate::world::World;
use crate::{Clock, lock};
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The largest request body taken, in bytes.
const BODY_CAP: usize = 16 << 20;

/// What the fake of a vendor answers.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, call: &Call) -> Reply;

    /// Answers a request in a way that only this vendor can get wrong. None when the twist does not fit the request.
    fn twisted(&self, call: &Call, twist: Twist) -> Option<Reply>;
}

/// How to run a fake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// A context path such as `/jira`, empty for none.
    pub(crate) prefix: String,
    pub(crate) clock: Clock,
    /// How long every answer takes.
    pub(crate) latency: Duration,
}

/// A running server. It stops, and its connections are cut, when this is dropped.
struct Server {
    address: SocketAddr,
    base: Arc<str>,
    log: Arc<Mutex<Log>>,
    faults: Faults,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

struct Shared {
    vendor: Arc<dyn Vendor>,
    settings: Settings,
    base: Arc<str>,
    log: Arc<Mutex<Log>>,
    faults: Faults,
}

#[derive(Default)]
struct Log {
    entries: Vec<Request>,
    /// How many were taken out before the first entry.
    taken: usize,
}

impl Server {
    /// Starts on a free port of the loopback address, on the current runtime.
    async fn start(vendor: Arc<dyn Vendor>, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let base: Arc<str> = format!("http://{address}{}", settings.prefix).into();
        let (log, faults, stop) = (Arc::<Mutex<Log>>::default(), Faults::default(), CancellationToken::new());
        let shared =
            Shared { vendor, settings, base: Arc::clone(&base), log: Arc::clone(&log), faults: faults.clone() };
        let shared = Arc::new(shared);
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let app = app.into_make_service_with_connect_info::<Wire>();
        let listener = CuttableListener { listener, stop: stop.clone() };
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
        Ok(Self { address, base, log, faults, shared, stop, tasks })
    }

    /// Stops and waits until the port is free again.
    async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A running fake: its address, its world, its log of requests and its script of faults, whatever the vendor. `S` is the
/// vendor's site, which adds methods of its own. Dropping it stops the fake.
pub struct Handle<S> {
    server: Server,
    world: Arc<Mutex<World>>,
    pub(crate) site: Arc<S>,
}

impl<S> Handle<S> {
    /// Starts a site over `world`, which must be the site's own.
    pub(crate) async fn start(site: S, world: Arc<Mutex<World>>, settings: Settings) -> io::Result<Self>
    where
        S: Vendor,
    {
        let site = Arc::new(site);
        let server = Server::start(Arc::clone(&site) as Arc<dyn Vendor>, settings).await?;
        Ok(Self { server, world, site })
    }

    /// The base address, prefix included, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.server.base
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The world, to look at or to change between two requests. Answers wait while the guard is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.server.log).entries.clone()
    }

    /// Every request since the last call; the log is empty afterwards.
    pub fn take_requests(&self) -> Vec<Request> {
        let log = &mut *lock(&self.server.log);
        log.taken += log.entries.len();
        std::mem::take(&mut log.entries)
    }

    /// The script of faults.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Changes the world right after a matching request has been answered, as if somebody worked while the caller pages.
    pub fn after(&self, pattern: &str, when: When, change: impl Fn(&mut World) + Send + Sync + 'static) {
        let world = Arc::clone(&self.world);
        self.faults().on(pattern, when, Fault::after(move || change(&mut lock(&world))));
    }

    /// Answers a request that comes by no connection, for simulations. A body that ends with an error is a connection that was
    /// cut.
    pub fn answer(&self, request: http::Request<Bytes>) -> impl Future<Output = http::Response<Body>> + Send + use<S> {
        let shared = Arc::clone(&self.server.shared);
        async move {
            let wire = Wire(CancellationToken::new());
            let response = handle(State(shared), ConnectInfo(wire.clone()), request.map(Body::from)).await;
            if wire.0.is_cancelled() { response.map(|_| broken()) } else { response }
        }
    }

    /// Stops, cuts all connections and waits until the port is free.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: axum::extract::Request,
) -> Response {
    let at = shared.settings.clock.now();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_CAP).await.unwrap_or_default();
    let entry = Request {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: 0,
        at,
    };
    let number = shared.record(entry);
    let call = shared.call(parts, body);
    if !shared.settings.latency.is_zero() {
        tokio::time::sleep(shared.settings.latency).await;
    }
    let (reply, cut) = shared.reply(&call).await;
    shared.record_status(number, if matches!(cut, Cut::Reset) { 0 } else { reply.status });
    respond(reply, cut, &wire, at)
}

/// Where an answer breaks off.
enum Cut {
    Not,
    /// Before the first byte.
    Reset,
    /// After so many bytes of the body; the announced length is the full one unless chunked.
    Body {
        bytes: usize,
        chunked: bool,
    },
}

impl Shared {
    /// Logs a request; gives its number.
    fn record(&self, entry: Request) -> usize {
        let log = &mut *lock(&self.log);
        log.entries.push(entry);
        log.taken + log.entries.len() - 1
    }

    /// Adds the status to a request of the log, unless it was taken out meanwhile.
    fn record_status(&self, number: usize, status: u16) {
        let log = &mut *lock(&self.log);
        let index = number.checked_sub(log.taken);
        if let Some(entry) = index.and_then(|index| log.entries.get_mut(index)) {
            entry.status = status;
        }
    }

    fn call(&self, parts: http::request::Parts, body: Bytes) -> Call {
        let path = parts.uri.path();
        let path = path.strip_prefix(self.settings.prefix.as_str()).map_or_else(String::new, decode);
        let query = parts.uri.query().unwrap_or_default();
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        });
        let query = query.collect();
        Call { method: parts.method, path, query, headers: parts.headers, body, base: Arc::clone(&self.base) }
    }

    /// The vendor's answer, changed by the fault that is due, if any.
    async fn reply(&self, call: &Call) -> (Reply, Cut) {
        let Some(fault) = self.faults.due(call.method.as_str(), &call.path) else {
            return (self.vendor.answer(call), Cut::Not);
        };
        match fault {
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                (self.vendor.answer(call), Cut::Not)
            }
            Fault::Timeout(time) => {
                tokio::time::sleep(time).await;
                (self.vendor.answer(call), Cut::Reset)
            }
            Fault::Reset => (self.vendor.answer(call), Cut::Reset),
            Fault::Truncate { bytes, chunked } => (self.vendor.answer(call), Cut::Body { bytes, chunked }),
            Fault::RepeatToken => (self.twisted(call, Twist::RepeatToken), Cut::Not),
            Fault::AnonymousEmpty => (self.twisted(call, Twist::AnonymousEmpty), Cut::Not),
            Fault::Rewrite(change) => {
                let reply = self.vendor.answer(call);
                let body = change(&String::from_utf8_lossy(&reply.body)).into();
                (Reply { body, ..reply }, Cut::Not)
            }
            Fault::After(hook) => {
                let reply = self.vendor.answer(call);
                hook();
                (reply, Cut::Not)
            }
            canned => (canned.reply(self.settings.clock.now()), Cut::Not),
        }
    }

    fn twisted(&self, call: &Call, twist: Twist) -> Reply {
        self.vendor.twisted(call, twist).unwrap_or_else(|| self.vendor.answer(call))
    }
}

fn respond(reply: Reply, cut: Cut, wire: &Wire, at: i64) -> Response {
    let length = reply.body.len();
    let (body, length) = match cut {
        Cut::Not => (Body::from(reply.body), None),
        Cut::Reset => {
            wire.cut();
            (Body::empty(), None)
        }
        Cut::Body { bytes, chunked } => (torn(reply.body, bytes), (!chunked).then_some(length)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    set(headers, "date", &http_date(at));
    for (name, value) in &reply.headers {
        set(headers, name, value);
    }
    response
}

/// The body of a connection that was cut.
pub(crate) fn broken() -> Body {
    Body::from_stream(stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) }))
}

/// A body that breaks off after so many bytes.
fn torn(body: Bytes, bytes: usize) -> Body {
    let part = body.slice(..bytes.min(body.len()));
    let broken = stream::once(async {
        // Let the part reach the client before the line goes dead.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(stream::once(async { Ok(part) }).chain(broken))
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn http_date(at: i64) -> String {
    crate::world::timestamp(at).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Decodes percent escapes; what is no valid escape stays.
fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escape = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Cuts one connection, as its request's handler knows it.
#[derive(Clone)]
struct Wire(CancellationToken);

impl Wire {
    fn cut(&self) {
        self.0.cancel();
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().wire.clone()
    }
}

/// Accepts connections that can be cut, without delay of small packets.
struct CuttableListener {
    listener: TcpListener,
    stop: CancellationToken,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (CuttableStream::new(stream, self.stop.child_token()), address),
                // Out of file handles, or the peer gave up: the next one may work.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends with a reset when its wire is cut.
struct CuttableStream {
    stream: TcpStream,
    wire: Wire,
    cut: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
}

impl CuttableStream {
    fn new(stream: TcpStream, token: CancellationToken) -> Self {
        // Failing to set it costs time, nothing else.
        stream.set_nodelay(true).unwrap_or_default();
        let cut = Box::pin(token.clone().cancelled_owned());
        Self { stream, wire: Wire(token), cut }
    }

    /// An error once the wire is cut; wakes the task when that happens.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // Without lingering, closing sends a reset.
        self.stream.set_zero_linger().unwrap_or_default();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
