//! OTLP over gRPC: one channel per sink, opened when first needed and reopened automatically.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, Uri};
use async_trait::async_trait;
use bytes::{BufMut, Bytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{ConnectError, Request, Status};

use super::answer::{self, Refusal};
use super::batch::Batch;
use super::sink::{self, Outcome, Sink, outcome};
use super::target::{self, OtlpTarget};
use crate::http::redact::KnownSecrets;
use crate::http::tls;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::signal::{Protocol, Signal};

/// The longest time for opening a connection. Less than for a request, so that the two failures can be distinguished.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval of pings while a request waits, so that a dead connection is closed with the request and does not fail
/// its retries too. Rare enough for Go servers, which allow two pings between their answers.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer we read, in bytes. A success is a few bytes. The odd number distinguishes our own refusal to read more from a
/// server's refusal of a request that is too large, which has the same code and text.
const MAX_ANSWER: usize = 64 * 1024 - 1;

/// Sends one signal by gRPC.
pub(super) struct GrpcSink {
    channel: Channel,
    metadata: MetadataMap,
    known: KnownSecrets,
    timeout: Duration,
    gzip: bool,
    url: Uri,
    endpoint: String,
    signal: Signal,
    /// The other side has answered in gRPC.
    answered: AtomicBool,
}

impl GrpcSink {
    /// A sink for `signal` at `url`.
    pub(super) fn new(target: &OtlpTarget, url: &Uri, headers: HeaderMap, signal: Signal) -> Result<Self> {
        Ok(Self {
            channel: channel(target, url)?,
            metadata: MetadataMap::from_headers(headers),
            known: target::known_secrets(target),
            timeout: target.timeout,
            gzip: target.gzip,
            url: url.clone(),
            endpoint: url.to_string().trim_end_matches('/').to_owned(),
            signal,
            answered: AtomicBool::new(false),
        })
    }

    /// What a failed call means. A web server may close the connection before its answer in HTTP/1 is read: so where nothing ever
    /// answered in gRPC, the port is asked once what it speaks.
    async fn refusal(&self, status: &Status) -> Refusal {
        let refusal = refusal(status, &self.known);
        if status.source().is_none() {
            self.answered.store(true, Ordering::Relaxed);
        } else if refusal.ambiguous && !self.answered.load(Ordering::Relaxed) && answers_in_http1(&self.url).await {
            return answer::other_protocol(Protocol::HttpProtobuf);
        }
        refusal
    }

    /// One attempt; `partial_success` as count and message.
    async fn send(&self, batch: &Batch) -> Result<Option<(i64, String)>, Status> {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let mut request = Request::new(batch.encode());
        *request.metadata_mut() = self.metadata.clone();
        let path = PathAndQuery::from_static(method(self.signal));
        Ok(client.unary(request, path, Encoded).await?.into_inner())
    }
}

/// The full name of the method that takes a signal.
const fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// Sends requests that are already encoded, and reads `partial_success` from the answers.
#[derive(Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Option<(i64, String)>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Option<(i64, String)>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let answer = sink::partial(from);
        answer.map(Some).ok_or_else(|| Status::internal("the answer is not one of OTLP"))
    }
}

#[async_trait]
impl Sink for GrpcSink {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        let refusal = match tokio::time::timeout(self.timeout, self.send(batch)).await {
            Ok(Ok(partial)) => {
                self.answered.store(true, Ordering::Relaxed);
                return Ok(outcome(partial, &self.known));
            }
            Ok(Err(status)) => self.refusal(&status).await,
            Err(_) => answer::timed_out(self.timeout),
        };
        Err(refusal.into_error(self.signal, &self.endpoint))
    }

    fn describe(&self) -> String {
        format!("otlp/grpc {}", self.endpoint)
    }
}

/// The channel to `url`. The caller limits the time of requests.
pub(super) fn channel(target: &OtlpTarget, url: &Uri) -> Result<Channel> {
    Ok(endpoint(target, url)?.connect_lazy())
}

fn endpoint(target: &OtlpTarget, url: &Uri) -> Result<Endpoint> {
    let endpoint = Endpoint::from(url.clone())
        .connect_timeout(CONNECT_TIMEOUT.min(target.timeout))
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let refused = |error: tonic::transport::Error| {
        Error::new(ErrorKind::Config, "set up the OTLP endpoint").with("url", url).caused_by(error)
    };
    let endpoint = endpoint.user_agent(target::USER_AGENT).map_err(refused)?;
    if url.scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    tls::install_provider();
    let mut tls = ClientTlsConfig::new().with_native_roots();
    if let Some(path) = &target.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(tls::ca_pem(path)?));
    }
    endpoint.tls_config(tls).map_err(refused)
}

/// Whether a port answers a plain request in HTTP/1. Not asked behind TLS, where the protocol is agreed on.
async fn answers_in_http1(url: &Uri) -> bool {
    let (Some(host), Some(port), Some("http")) = (url.host(), url.port_u16(), url.scheme_str()) else { return false };
    let mut answer = [0; 7];
    let asked = async {
        let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        stream.read_exact(&mut answer).await
    };
    tokio::time::timeout(CONNECT_TIMEOUT, asked).await.is_ok_and(|read| read.is_ok()) && answer == *b"HTTP/1."
}

/// What a failed call means: the server's own status, or a connection that failed before or after the request was sent.
fn refusal(status: &Status, known: &KnownSecrets) -> Refusal {
    let cause = status.source();
    if answer::speaks_http(&cause.map_or_else(|| status.message().to_owned(), answer::texts)) {
        return answer::other_protocol(Protocol::HttpProtobuf);
    }
    if status.message().ends_with(&format!("the limit is: {MAX_ANSWER} bytes")) {
        return Refusal::stop("the answer is too large to read, so it is not one of OTLP");
    }
    let Some(cause) = cause else {
        return answer::grpc(status.code(), &known.mask(status.message()), status.details());
    };
    let unsent = answer::chain(cause).any(|error| error.is::<ConnectError>());
    answer::no_answer(cause, !unsent)
}
