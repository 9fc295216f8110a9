//! Any answer of a backend to a batch: only an empty or an OTLP answer may count as accepted, and the next answer is read as if
//! this one had never been.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use contextcore_core::export::otlp::{Batch, OtlpTarget, Outcome, Protocol, Signal, Sink, connect};
use contextcore_core::simulated::{self, Exchange, Surroundings};
use contextcore_core::{ErrorKind, Millis, Result};
use http::{Request, Response};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use super::edit::Input;
use super::source::NOW;

const STATUSES: [u16; 16] = [200, 202, 204, 299, 301, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504, 418];
const TYPES: [&str; 6] = [
    "application/x-protobuf",
    "application/json",
    "text/html; charset=utf-8",
    "application/grpc",
    "",
    "application/protobuf; x=y",
];

/// Answers every request with the same.
struct Backend(RefCell<Response<Bytes>>);

impl Surroundings for Backend {
    fn now(&self) -> Millis {
        Millis(NOW)
    }

    fn exchange(&self, _request: Request<Bytes>) -> Exchange {
        let answer = self.0.borrow().clone();
        Box::pin(async move { answer.map(reqwest::Body::from) })
    }
}

/// Answers a batch with a status, a content type, a `Retry-After` and a body out of `input`.
pub fn run(input: &[u8]) {
    let answer = answer(&mut Input(input));
    let may_accept = is_acceptance(&answer);
    let text = format!("{answer:?}");
    let backend = Rc::new(Backend(RefCell::new(answer)));
    let _entered = simulated::enter(Rc::clone(&backend) as _);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sink = connect(&OtlpTarget::new("http://backend.invalid", Protocol::HttpProtobuf), Signal::Logs).unwrap();
        match export(&*sink).await {
            Ok(_) => assert!(may_accept, "accepted: {text}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Export, "{text}"),
        }
        *backend.0.borrow_mut() = Response::new(Bytes::new());
        assert_eq!(export(&*sink).await.unwrap(), Outcome::Accepted, "after {text}");
    });
}

async fn export(sink: &dyn Sink) -> Result<Outcome> {
    sink.export(&Batch::empty(Signal::Logs)).await
}

fn answer(input: &mut Input<'_>) -> Response<Bytes> {
    let (status, kind, after) = (input.byte(), input.byte(), input.byte());
    let mut answer = Response::builder().status(STATUSES[usize::from(status) % STATUSES.len()]);
    answer = answer.header("content-type", TYPES[usize::from(kind) % TYPES.len()]);
    if after > 0 {
        let value = http::HeaderValue::from_bytes(input.take(usize::from(after % 32)));
        answer = answer.header("retry-after", value.unwrap_or(http::HeaderValue::from_static("1e9")));
    }
    answer.body(Bytes::copy_from_slice(input.0)).unwrap()
}

/// Whether an OTLP client may read this as an acceptance.
fn is_acceptance(answer: &Response<Bytes>) -> bool {
    let kind = answer.headers()["content-type"].to_str().unwrap();
    let body = answer.body();
    let is_otlp = match kind.split(';').next().unwrap() {
        "application/x-protobuf" | "application/protobuf" => ExportLogsServiceResponse::decode(body.as_ref()).is_ok(),
        "application/json" => serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body.is_object()),
        _ => false,
    };
    matches!(answer.status().as_u16(), 200 | 202 | 204)
        && kind != "text/html; charset=utf-8"
        && (body.is_empty() || is_otlp)
}
