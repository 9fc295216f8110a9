//! The floor: a bare client that does what a run of the product did to the outside, and nothing else.
//!
//! [`Plan`] is what the fakes recorded of a run: each request with its path, page token and body, and each OTLP message. The
//! bench executes itself as `budgets floor DIR` ([`main`]), so that the floor is a process with a start-up of its own, and
//! both are measured in the same way from outside. It uses the crates of the product: reqwest, serde_json and tonic on a
//! current-thread runtime.
//!
//! Each answer is parsed into a [`Tree`]: all values are in memory, strings borrow from the body where they can. A syntax
//! check alone (`IgnoredAny`) would leave nothing that a client could use, and `serde_json::Value` copies every string
//! and key, which no careful client does. So this is the least that whoever wants to look at the answers has to pay.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use bytes::{BufMut, Bytes};
use contextcore_fakes::Request;
use contextcore_fakes::otlp::Signal;
use http::uri::PathAndQuery;
use reqwest::{Client, ClientBuilder, Method};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;

/// The argument that makes the bench the floor's process.
pub(crate) const ARGUMENT: &str = "floor";
const REQUESTS: &str = "requests.json";
const MESSAGES: &str = "messages.otlp";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the floor has to do, as files in a directory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The addresses of the tool and of the collector.
    pub(crate) tool: String,
    pub(crate) collector: String,
    requests: Vec<Step>,
}

/// A request to the tool.
#[derive(Serialize, Deserialize)]
struct Step {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Plan {
    /// The plan that repeats these requests.
    pub(crate) fn new(tool: String, collector: String, requests: &[Request]) -> Self {
        Self { tool, collector, requests: requests.iter().map(Step::new).collect() }
    }

    /// Writes the plan and the messages to send into a directory.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, dir: &Path, messages: &[(Signal, Bytes)]) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join(REQUESTS), serde_json::to_vec(self)?)?;
        let mut file = std::io::BufWriter::new(File::create(dir.join(MESSAGES))?);
        for (signal, message) in messages {
            file.write_all(&[*signal as u8])?;
            file.write_all(&u64::try_from(message.len())?.to_le_bytes())?;
            file.write_all(message)?;
        }
        Ok(file.flush()?)
    }
}

impl Step {
    /// What the client set by itself; the rest (`host`, `content-length`) the HTTP stack adds again.
    fn new(request: &Request) -> Self {
        let sent = ["accept", "authorization", "content-type", "user-agent"];
        let header = |name: &str| Some((name.to_owned(), request.headers.get(name)?.to_str().ok()?.to_owned()));
        Self {
            method: request.method.clone(),
            target: request.target.clone(),
            headers: sent.into_iter().filter_map(header).collect(),
            body: request.body.clone(),
        }
    }

    async fn run(&self, client: &Client, tool: &str) -> Result<()> {
        let mut request = client.request(Method::from_bytes(self.method.as_bytes())?, format!("{tool}{}", self.target));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        }
        let body = request.send().await?.error_for_status()?.bytes().await?;
        std::hint::black_box(serde_json::from_str::<Tree<'_>>(std::str::from_utf8(&body)?)?);
        Ok(())
    }
}

/// The floor's process: carries out the plan in `dir`.
pub(crate) fn main(dir: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(dir))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the floor failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(dir: &Path) -> Result<()> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(dir.join(REQUESTS))?)?;
    // The client wants to know who would do TLS, though no address here needs it. Chosen already is chosen well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = ClientBuilder::new().no_proxy().tls_certs_only([]).build()?;
    for step in &plan.requests {
        step.run(&client, &plan.tool).await?;
    }
    let mut file = BufReader::new(File::open(dir.join(MESSAGES))?);
    let mut sender = Grpc::new(Endpoint::from_shared(plan.collector)?.connect_lazy());
    while let Some((path, message)) = next_message(&mut file)? {
        sender.ready().await?;
        sender.unary(tonic::Request::new(message), PathAndQuery::from_static(path), Verbatim).await?;
    }
    Ok(())
}

/// The next message with the method that takes its signal.
fn next_message(file: &mut impl Read) -> Result<Option<(&'static str, Bytes)>> {
    let mut signal = [0];
    match file.read_exact(&mut signal) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u64::from_le_bytes(length))?];
    file.read_exact(&mut message)?;
    let signal = Signal::ALL.into_iter().find(|one| *one as u8 == signal[0]).ok_or("a signal that does not exist")?;
    Ok(Some((method(signal), message.into())))
}

const fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// Sends a message as it is, and does not look at the answer.
#[derive(Default)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> std::result::Result<(), tonic::Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<()>, tonic::Status> {
        bytes::Buf::advance(from, bytes::Buf::remaining(from));
        Ok(Some(()))
    }
}

/// A parsed answer that borrows from its body.
#[expect(dead_code, reason = "nobody looks at the values, that is the point")]
enum Tree<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Map(Vec<(Key<'a>, Self)>),
}

/// A key of an object, borrowed when it holds no escape.
#[derive(Deserialize)]
#[expect(dead_code, reason = "as the values")]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Trees)
    }
}

struct Trees;

impl<'de> Visitor<'de> for Trees {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Tree<'de>, E> {
        Ok(i64::try_from(value).map_or(Tree::Number(value as f64), Tree::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> std::result::Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> std::result::Result<Tree<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = from.next_element()? {
            list.push(value);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> std::result::Result<Tree<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = from.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
