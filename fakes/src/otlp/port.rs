//! A port that can be closed for a while, with connections that can be broken, to test clients.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Protocol;

/// What Go's HTTP server answers to the preface of HTTP/2.
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";
/// What Go's gRPC server sends to everyone before it reads: its settings, a frame of HTTP/2.
const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0x40, 0];

/// Opens a free port of 127.0.0.1 for one protocol; the switch closes it for a while, and for good when dropped.
pub(super) async fn open(protocol: Protocol) -> io::Result<(ClosablePort, Switch)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (closed_until, until) = watch::channel(None);
    let (is_open, opened) = watch::channel(true);
    let connections = Arc::new(Mutex::new(CancellationToken::new()));
    let port =
        ClosablePort { protocol, listener: Some(listener), address, until, is_open, connections: connections.clone() };
    Ok((port, Switch { closed_until, opened, connections }))
}

/// The listening side, for [`axum::serve()`].
pub(super) struct ClosablePort {
    protocol: Protocol,
    listener: Option<TcpListener>,
    address: SocketAddr,
    until: watch::Receiver<Option<Instant>>,
    is_open: watch::Sender<bool>,
    connections: Arc<Mutex<CancellationToken>>,
}

impl ClosablePort {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port while it is meant to be closed.
    async fn keep_shut(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return };
            self.listener = None;
            self.is_open.send_replace(false);
            tokio::time::sleep_until(until).await;
        }
    }

    /// The next connection; nothing when the port is to be closed or could not be opened again yet.
    async fn next(&mut self) -> Option<TcpStream> {
        if self.listener.is_none() {
            self.listener = TcpListener::bind(self.address).await.ok();
        }
        let Some(listener) = &self.listener else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return None;
        };
        self.is_open.send_replace(true);
        tokio::select! {
            accepted = listener.accept() => accepted.ok().map(|(stream, _)| stream),
            Ok(()) = self.until.changed() => None,
        }
    }
}

impl Listener for ClosablePort {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            self.keep_shut().await;
            let Some(stream) = self.next().await else { continue };
            let Ok(peer) = stream.peer_addr() else { continue };
            // Small answers wait for nothing; should this fail, they are merely later.
            drop(stream.set_nodelay(true));
            let cut = current(&self.connections).child_token();
            let broken = Box::pin(cut.clone().cancelled_owned());
            return (Line { stream, greeting: Greeting::Expected(self.protocol), broken, cut: Cut(cut) }, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Closes a [`ClosablePort`] and breaks its connections.
pub(super) struct Switch {
    closed_until: watch::Sender<Option<Instant>>,
    opened: watch::Receiver<bool>,
    connections: Arc<Mutex<CancellationToken>>,
}

impl Switch {
    /// Closes the port for `pause` and breaks every connection. Returns once that has happened.
    pub(super) async fn close_for(&self, pause: Duration) {
        // Long enough for the port to notice.
        let pause = pause.max(Duration::from_millis(50));
        self.closed_until.send_replace(Some(Instant::now() + pause));
        let closed = self.opened.clone().wait_for(|open| !open).await.is_ok();
        if closed {
            std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        current(&self.connections).cancel();
    }
}

fn current(connections: &Mutex<CancellationToken>) -> CancellationToken {
    connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Breaks one connection; handlers find it as [`axum::extract::ConnectInfo`].
#[derive(Clone)]
pub(super) struct Cut(CancellationToken);

impl Cut {
    /// Of a request that comes by no connection.
    pub(super) fn none() -> Self {
        Self(CancellationToken::new())
    }

    /// Whether the connection was broken.
    pub(super) fn is_broken(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Breaks the connection: not one byte more is read or written.
    pub(super) fn now(cut: Option<&Self>) {
        if let Some(Self(token)) = cut {
            token.cancel();
        }
    }
}

impl Connected<IncomingStream<'_, ClosablePort>> for Cut {
    fn connect_info(stream: IncomingStream<'_, ClosablePort>) -> Self {
        stream.io().cut.clone()
    }
}

/// What a client said first. A server speaks one protocol, like Tempo's receivers and unlike [`axum::serve()`].
enum Greeting {
    Expected(Protocol),
    Understood,
    /// In the other protocol: it was answered, and the rest is skipped until the client leaves.
    Refused,
}

/// A TCP connection that fails once it was cut, and refuses the other protocol.
pub(super) struct Line {
    stream: TcpStream,
    greeting: Greeting,
    cut: Cut,
    broken: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    /// Fails if cut; otherwise the task is woken when it happens.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.broken.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Line {
    /// Judges the first bytes of a client, and answers those in the other protocol.
    fn greet(&mut self, first: &[u8]) {
        let Greeting::Expected(protocol) = self.greeting else { return };
        let spoken = if first.starts_with(b"PRI") { Protocol::Grpc } else { Protocol::Http };
        self.greeting = if spoken == protocol { Greeting::Understood } else { Greeting::Refused };
        if spoken != protocol {
            let answer = if protocol == Protocol::Http { BAD_REQUEST } else { SETTINGS };
            // A new connection has room for a few bytes; a client that is already gone misses nothing.
            drop(self.stream.try_write(answer));
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            self.check(cx)?;
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let is_end = buffer.filled().len() == before;
            if !is_end {
                self.greet(&buffer.filled()[before..]);
            }
            if is_end || !matches!(self.greeting, Greeting::Refused) {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
