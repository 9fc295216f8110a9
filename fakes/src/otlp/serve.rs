//! The two servers: OTLP over HTTP and over gRPC. Both hand their messages to [`State::receive`] and word its reply.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Status};

use super::port::{ClosablePort, Cut};
use super::view::Export;
use super::{Protocol, Reply, Seen, Signal, State};

/// The most either server reads, far above what it then refuses as too large.
const MAX_READ: usize = 256 * 1024 * 1024;

/// Serves OTLP over HTTP until dropped.
pub(super) async fn http(port: ClosablePort, state: Arc<State>) {
    run(port, Router::new().fallback(export).with_state(state)).await;
}

/// Serves OTLP over gRPC until dropped.
pub(super) async fn grpc(port: ClosablePort, state: Arc<State>) {
    /// The three generated servers share no trait.
    macro_rules! service {
        ($server:ident) => {
            $server::new(Service(state.clone())).accept_compressed(Gzip).max_decoding_message_size(MAX_READ)
        };
    }
    const PREFIX: &str = "/opentelemetry.proto.collector";
    let app = Router::new()
        .route_service(&format!("{PREFIX}.trace.v1.TraceService/Export"), service!(TraceServiceServer))
        .route_service(&format!("{PREFIX}.logs.v1.LogsService/Export"), service!(LogsServiceServer))
        .route_service(&format!("{PREFIX}.metrics.v1.MetricsService/Export"), service!(MetricsServiceServer));
    run(port, app.layer(from_fn(any_answer))).await;
}

/// Any answer instead of the usual one ([`super::Fault::Answer`]).
#[derive(Clone)]
pub(super) struct AnyAnswer {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Bytes,
}

impl IntoResponse for AnyAnswer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Body::from(self.body)).into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        if let Some(kind) = self.content_type {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response
    }
}

/// Where a gRPC service leaves what it shall answer instead.
type Instead = Arc<Mutex<Option<AnyAnswer>>>;

async fn any_answer(mut request: Request, next: Next) -> Response {
    let instead = Instead::default();
    request.extensions_mut().insert(Arc::clone(&instead));
    let usual = next.run(request).await;
    let instead = instead.lock().unwrap_or_else(PoisonError::into_inner).take();
    instead.map_or(usual, AnyAnswer::into_response)
}

async fn run(port: ClosablePort, app: Router) {
    // It ends only by being dropped: the port hides every error of accepting.
    drop(axum::serve(port, app.into_make_service_with_connect_info::<Cut>()).await);
}

/// Answers a request to the HTTP port that comes by no connection.
pub(super) async fn detached(state: Arc<State>, request: Request) -> Response {
    let cut = Cut::none();
    let response = export(Shared(state), ConnectInfo(cut.clone()), request).await;
    if cut.is_broken() { response.map(|_| crate::server::broken()) } else { response }
}

async fn export(Shared(state): Shared<Arc<State>>, ConnectInfo(cut): ConnectInfo<Cut>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some(signal) = Signal::ALL.into_iter().find(|signal| path.ends_with(&format!("/v1/{}", signal.as_str())))
    else {
        return (StatusCode::NOT_FOUND, "404 page not found").into_response();
    };
    if parts.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let zipped = parts.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let body = match read(body, zipped).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let seen = |bytes, items| Seen {
        signal,
        protocol: Protocol::Http,
        path: path.to_owned(),
        headers: parts.headers.clone(),
        bytes,
        items,
        at: Instant::now(),
    };
    match signal {
        Signal::Traces => answer::<ExportTraceServiceRequest>(&state, body, seen, &cut).await,
        Signal::Logs => answer::<ExportLogsServiceRequest>(&state, body, seen, &cut).await,
        Signal::Metrics => answer::<ExportMetricsServiceRequest>(&state, body, seen, &cut).await,
    }
}

async fn read(body: Body, zipped: bool) -> std::io::Result<Bytes> {
    let body = to_bytes(body, MAX_READ).await.map_err(std::io::Error::other)?;
    if !zipped {
        return Ok(body);
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body.as_ref()).read_to_end(&mut plain)?;
    Ok(plain.into())
}

async fn answer<M: Export>(state: &State, body: Bytes, seen: impl Fn(usize, usize) -> Seen, cut: &Cut) -> Response {
    let bytes = body.len();
    let message = match M::decode(body) {
        Ok(message) => message,
        Err(error) => return refusal(400, Code::InvalidArgument, &error.to_string(), None),
    };
    let seen = seen(bytes, message.items());
    match state.receive(message, seen, Some(cut)).await {
        Reply::Taken => protobuf(StatusCode::OK, M::reply(None)),
        Reply::Partial { rejected, reason } => protobuf(StatusCode::OK, M::reply(Some((rejected, reason)))),
        Reply::Refused { http, grpc, text, after } => refusal(http, grpc, &text, after),
        Reply::Any(answer) => answer.into_response(),
    }
}

fn protobuf(status: StatusCode, body: Vec<u8>) -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    (status, [kind], body).into_response()
}

/// An error as OTLP over HTTP words it: a protobuf `google.rpc.Status`, and whole seconds in `Retry-After`.
fn refusal(http: u16, grpc: Code, text: &str, after: Option<Duration>) -> Response {
    let status = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = protobuf(status, rpc_status(grpc, text, None));
    if let Some(after) = after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    response
}

/// The OTLP services over gRPC.
struct Service(Arc<State>);

impl Service {
    async fn receive<M: Export>(
        &self,
        signal: Signal,
        request: tonic::Request<M>,
    ) -> Result<Option<(i64, String)>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let seen = Seen {
            signal,
            protocol: Protocol::Grpc,
            path: String::new(),
            headers: metadata.into_headers(),
            bytes: message.encoded_len(),
            items: message.items(),
            at: Instant::now(),
        };
        let cut = extensions.get::<ConnectInfo<Cut>>().map(|ConnectInfo(cut)| cut);
        match self.0.receive(message, seen, cut).await {
            Reply::Taken => Ok(None),
            Reply::Partial { rejected, reason } => Ok(Some((rejected, reason))),
            Reply::Any(answer) => {
                if let Some(instead) = extensions.get::<Instead>() {
                    *instead.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                }
                Ok(None)
            }
            Reply::Refused { grpc, text, after, .. } => {
                let details = after.map(|after| rpc_status(grpc, &text, Some(after))).unwrap_or_default();
                Err(Status::with_details(grpc, text, details.into()))
            }
        }
    }
}

/// The generated traits differ in nothing but names.
macro_rules! grpc_service {
    ($service:ident, $signal:ident, $request:ident, $response:ident) => {
        #[tonic::async_trait]
        impl $service for Service {
            async fn export(&self, request: tonic::Request<$request>) -> Result<tonic::Response<$response>, Status> {
                let partial = self.receive(Signal::$signal, request).await?;
                let partial_success = partial.map($request::partial);
                Ok(tonic::Response::new($response { partial_success }))
            }
        }
    };
}
grpc_service!(TraceService, Traces, ExportTraceServiceRequest, ExportTraceServiceResponse);
grpc_service!(LogsService, Logs, ExportLogsServiceRequest, ExportLogsServiceResponse);
grpc_service!(MetricsService, Metrics, ExportMetricsServiceRequest, ExportMetricsServiceResponse);

/// An encoded `google.rpc.Status`, with a `google.rpc.RetryInfo` if there is a time to come back.
fn rpc_status(code: Code, text: &str, after: Option<Duration>) -> Vec<u8> {
    let details = after.map(|after| Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: RetryInfo { retry_delay: Some(delay(after)) }.encode_to_vec(),
    });
    RpcStatus { code: code as i32, message: text.to_owned(), details: details.into_iter().collect() }.encode_to_vec()
}

fn delay(after: Duration) -> ProtoDuration {
    let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    ProtoDuration { seconds, nanos: i32::try_from(after.subsec_nanos()).unwrap_or(0) }
}

/// `google.rpc.Status` (googleapis `google/rpc/status.proto`).
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo` (`google/rpc/error_details.proto`).
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
