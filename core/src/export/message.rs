//! OTLP messages: attributes, spans and log records, encoded while they are rendered.
//!
//! A history has some ten attributes per event. As structs of `opentelemetry-proto` each would be three allocations,
//! traversed twice for encoding; here it is a few more bytes in a buffer. The field numbers are those of
//! opentelemetry-proto 1.x, and the tests decode the messages with that crate. Values over 2,000 bytes are cut visibly,
//! before a backend cuts them silently.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use prost::encoding::{WireType, decode_varint};

use crate::export::otlp::protobuf::{begin, field_len, fixed_len, put, put_fixed, put_varint, varint_len};
use crate::model::Facts;
use crate::model::ids::{SpanId, TraceId};
use crate::model::semconv as names;
use crate::model::time::Millis;

/// Tempo silently cuts attribute values at 2,048 bytes.
const MAX_VALUE_BYTES: usize = 2_000;
/// Enough for most lists of attributes.
const USUAL_BYTES: usize = 256;

/// The fields of `KeyValue`.
mod pair {
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

/// The fields of `AnyValue`, and that of `ArrayValue`.
mod value {
    pub(super) const TEXT: u32 = 1;
    pub(super) const FLAG: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const DOUBLE: u32 = 4;
    pub(super) const LIST: u32 = 5;
    pub(super) const MEMBER: u32 = 1;
}

/// The message that has the attributes: the field number differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// `Resource`.
    Resource,
    /// `Span.Event`.
    Event,
    /// `Span.Link`.
    Link,
    /// `LogRecord`.
    Record,
    /// `NumberDataPoint`.
    NumberPoint,
    /// `HistogramDataPoint`.
    HistogramPoint,
    /// `Span`.
    Span,
}

impl Owner {
    /// The field number. All are below 16, so that the field's key is one byte.
    const fn tag(self) -> u8 {
        match self {
            Self::Resource => 1,
            Self::Event => 3,
            Self::Link => 4,
            Self::Record => 6,
            Self::NumberPoint => 7,
            Self::HistogramPoint | Self::Span => 9,
        }
    }

    /// The field's key on the wire.
    const fn key(self) -> u8 {
        self.tag() << 3 | 2
    }
}

/// A list of attributes under construction. Absent values add nothing.
///
/// The bytes are the attributes of a `Resource`; [`Attributes::write`] turns them into those of another message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(USUAL_BYTES))
    }

    /// With this capacity in bytes, for long lists.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds an attribute whose `AnyValue` takes `len` bytes.
    fn push(mut self, key: &str, len: usize, value: impl FnOnce(&mut Vec<u8>)) -> Self {
        let to = &mut self.0;
        begin(Owner::Resource.tag().into(), field_len(pair::KEY, key.len()) + field_len(pair::VALUE, len), to);
        put(pair::KEY, key.as_bytes(), to);
        begin(pair::VALUE, len, to);
        value(to);
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        let value = cut(value);
        self.push(key, text_len(&value), |to| put_text(&value, to))
    }

    pub(crate) fn maybe(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) if !value.is_empty() => self.text(key, value),
            _ => self,
        }
    }

    /// The attributes that a task's source reports beside those of the model.
    pub(crate) fn own(self, facts: &Facts) -> Self {
        let own = facts.attributes.iter();
        own.fold(self, |all, (name, value)| all.maybe(&format!("{}.{name}", names::TASK_ATTR), Some(value)))
    }

    pub(crate) fn texts<S: AsRef<str>>(self, key: &str, values: &[S]) -> Self {
        if values.is_empty() {
            return self;
        }
        let values: Vec<Cow<'_, str>> = values.iter().map(|value| cut(value.as_ref())).collect();
        let members = values.iter().map(|value| field_len(value::MEMBER, text_len(value))).sum();
        self.push(key, field_len(value::LIST, members), |to| {
            begin(value::LIST, members, to);
            for value in &values {
                begin(value::MEMBER, text_len(value), to);
                put_text(value, to);
            }
        })
    }

    pub(crate) fn int(self, key: &str, number: i64) -> Self {
        let bits = number.cast_unsigned();
        self.push(key, varint_len(value::INT, bits), |to| put_varint(value::INT, bits, to))
    }

    pub(crate) fn double(self, key: &str, number: f64) -> Self {
        self.push(key, fixed_len(value::DOUBLE), |to| put_fixed(value::DOUBLE, number.to_bits(), to))
    }

    pub(crate) fn maybe_double(self, key: &str, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.double(key, number),
            None => self,
        }
    }

    pub(crate) fn flag(self, key: &str, flag: bool) -> Self {
        self.push(key, varint_len(value::FLAG, flag.into()), |to| put_varint(value::FLAG, flag.into(), to))
    }

    /// A moment as whole epoch seconds.
    pub(crate) fn moment(self, key: &str, at: Option<Millis>) -> Self {
        match at {
            Some(at) => self.int(key, at.as_seconds()),
            None => self,
        }
    }

    /// These attributes followed by `more`.
    pub(crate) fn and(mut self, more: &Self) -> Self {
        self.0.extend_from_slice(&more.0);
        self
    }

    /// Writes them as the attributes of another message.
    pub(crate) fn write(&self, owner: Owner, to: &mut Vec<u8>) {
        let mut place = to.len();
        to.extend_from_slice(&self.0);
        while let Some(key) = to.get_mut(place) {
            *key = owner.key();
            let mut rest = &to[place + 1..];
            let Ok(len) = decode_varint(&mut rest) else { return };
            place = to.len() - rest.len() + usize::try_from(len).unwrap_or(usize::MAX);
        }
    }

    /// A `Resource` with these attributes.
    pub(crate) fn into_resource(self) -> Bytes {
        self.0.into()
    }

    /// These attributes as structs of `opentelemetry-proto`.
    pub(crate) fn read(&self) -> Vec<KeyValue> {
        Resource::decode(self.0.as_slice()).unwrap_or_default().attributes
    }
}

/// The size of a text as an `AnyValue`.
fn text_len(text: &str) -> usize {
    field_len(value::TEXT, text.len())
}

/// Writes a text as an `AnyValue`.
fn put_text(text: &str, to: &mut Vec<u8>) {
    put(value::TEXT, text.as_bytes(), to);
}

/// Cuts a text at 2,000 bytes, visibly.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_VALUE_BYTES {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MAX_VALUE_BYTES - '…'.len_utf8());
    Cow::Owned(format!("{}…", &text[..end]))
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// `OK`.
    Done,
    /// `ERROR`, with the reason.
    Blocked(String),
}

/// A link to another span, and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    /// The attribute `link.type`.
    pub(crate) kind: &'static str,
}

/// The events of a span, encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Events(Vec<u8>);

impl Events {
    pub(crate) fn push(&mut self, at: Millis, name: &str, attributes: &Attributes) {
        let len = fixed_len(1) + field_len(2, name.len()) + attributes.0.len();
        begin(11, len, &mut self.0);
        put_fixed(1, at.as_nanos(), &mut self.0);
        put(2, name.as_bytes(), &mut self.0);
        attributes.write(Owner::Event, &mut self.0);
    }
}

/// A span that is not in a trace yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) start: Millis,
    pub(crate) end: Millis,
    pub(crate) attributes: Attributes,
    pub(crate) events: Events,
    pub(crate) links: Vec<Link>,
    pub(crate) outcome: Option<Outcome>,
}

impl Span {
    /// A span without attributes, events and links.
    pub(crate) fn new(id: SpanId, name: impl Into<String>, start: Millis, end: Millis) -> Self {
        Self {
            id,
            parent: None,
            name: name.into(),
            start,
            end,
            attributes: Attributes::default(),
            events: Events::default(),
            links: Vec::new(),
            outcome: None,
        }
    }

    /// Encodes the span, field by field as `trace.proto` numbers them. The trace id is filled in later.
    pub(crate) fn encode(&self) -> Traceless {
        let room = Traceless::HEAD + 64 + self.name.len() + self.attributes.0.len() + self.events.0.len();
        let mut to = Vec::with_capacity(room + self.links.len() * 64);
        put(1, &[0; 16], &mut to);
        put(2, &self.id.0, &mut to);
        if let Some(parent) = self.parent {
            put(4, &parent.0, &mut to);
        }
        put(5, self.name.as_bytes(), &mut to);
        put_varint(6, SpanKind::Internal as u64, &mut to);
        put_fixed(7, self.start.as_nanos(), &mut to);
        put_fixed(8, self.end.as_nanos(), &mut to);
        self.attributes.write(Owner::Span, &mut to);
        to.extend_from_slice(&self.events.0);
        self.links.iter().for_each(|link| link.write(&mut to));
        if let Some(outcome) = &self.outcome {
            outcome.write(&mut to);
        }
        Traceless(to)
    }
}

impl Link {
    fn write(&self, to: &mut Vec<u8>) {
        let kind = Attributes::new().text(names::LINK_TYPE, self.kind);
        begin(13, field_len(1, self.trace.0.len()) + field_len(2, self.span.0.len()) + kind.0.len(), to);
        put(1, &self.trace.0, to);
        put(2, &self.span.0, to);
        kind.write(Owner::Link, to);
    }
}

impl Outcome {
    fn write(&self, to: &mut Vec<u8>) {
        let (message, code) = match self {
            Self::Done => ("", StatusCode::Ok as u64),
            Self::Blocked(why) => (why.as_str(), StatusCode::Error as u64),
        };
        let message_len = if message.is_empty() { 0 } else { field_len(2, message.len()) };
        begin(15, message_len + varint_len(3, code), to);
        if !message.is_empty() {
            put(2, message.as_bytes(), to);
        }
        put_varint(3, code, to);
    }
}

/// An encoded span that lacks only its trace id, at the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traceless(Vec<u8>);

impl Traceless {
    /// The size of the trace id's field: key, length and id.
    const HEAD: usize = 18;

    /// The size of the span without its trace id.
    pub(crate) fn own_len(&self) -> usize {
        self.0.len() - Self::HEAD
    }

    /// The span in its trace.
    pub(crate) fn into_trace(mut self, trace: TraceId) -> Bytes {
        self.0[2..Self::HEAD].copy_from_slice(&trace.0);
        self.0.into()
    }
}

/// A log record.
pub(crate) struct Record<'a> {
    /// When it happened; also the observed time.
    pub(crate) at: Millis,
    pub(crate) severity: SeverityNumber,
    /// The event's name. Also written as an attribute, because Loki drops the field.
    pub(crate) name: &'a str,
    /// A sentence for people.
    pub(crate) body: &'a str,
    pub(crate) attributes: Attributes,
    /// The span it belongs to.
    pub(crate) span: Option<(TraceId, SpanId)>,
}

impl Record<'_> {
    /// Encodes it, field by field as `logs.proto` numbers them.
    pub(crate) fn encode(self) -> Bytes {
        let attributes = self.attributes.text(names::EVENT_NAME, self.name);
        let body = cut(self.body);
        let severity = if self.severity == SeverityNumber::Warn { "WARN" } else { "INFO" };
        let mut to = Vec::with_capacity(96 + self.name.len() + body.len() + attributes.0.len());
        put_fixed(1, self.at.as_nanos(), &mut to);
        put_varint(2, self.severity as u64, &mut to);
        put(3, severity.as_bytes(), &mut to);
        begin(5, text_len(&body), &mut to);
        put_text(&body, &mut to);
        attributes.write(Owner::Record, &mut to);
        if let Some((trace, span)) = self.span {
            put(9, &trace.0, &mut to);
            put(10, &span.0, &mut to);
        }
        put_fixed(11, self.at.as_nanos(), &mut to);
        put(12, self.name.as_bytes(), &mut to);
        to.into()
    }
}

/// The encoded instrumentation scope of everything exported.
pub(crate) fn scope() -> Bytes {
    let scope = InstrumentationScope {
        name: names::SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    scope.encode_to_vec().into()
}

/// The encoded time and value of a `NumberDataPoint`. A year of history has a million of them.
pub(crate) fn number_point(at: Millis, value: f64) -> [u8; 18] {
    let mut point = [0; 18];
    let (time, number) = point.split_at_mut(9);
    for (field, tag, bits) in [(time, 3, at.as_nanos()), (number, 4, value.to_bits())] {
        field[0] = tag << 3 | WireType::SixtyFourBit as u8;
        field[1..].copy_from_slice(&bits.to_le_bytes());
    }
    point
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
    use opentelemetry_proto::tonic::trace::v1::{self as proto, span};

    use super::*;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn text(key: &str, text: &str) -> KeyValue {
        pair(key, Value::StringValue(text.to_owned()))
    }

    /// Attributes of every kind, and what decoding must give.
    fn every_kind() -> (Attributes, Vec<KeyValue>) {
        let long = "long ".repeat(60);
        let attributes = Attributes::new()
            .text("text", &long)
            .text("empty", "")
            .maybe("absent", None)
            .maybe("absent", Some(""))
            .texts("none", &[] as &[&str])
            .texts("list", &["one", "zwei"])
            .int("zero", 0)
            .int("negative", -5)
            .double("double", 0.0)
            .flag("flag", false)
            .moment("moment", Some(Millis(1_500_000)))
            .and(&Attributes::new().text("more", "ü"));
        let member = |word: &str| AnyValue { value: Some(Value::StringValue(word.to_owned())) };
        let list = ArrayValue { values: vec![member("one"), member("zwei")] };
        let read = vec![
            text("text", &long),
            text("empty", ""),
            pair("list", Value::ArrayValue(list)),
            pair("zero", Value::IntValue(0)),
            pair("negative", Value::IntValue(-5)),
            pair("double", Value::DoubleValue(0.0)),
            pair("flag", Value::BoolValue(false)),
            pair("moment", Value::IntValue(1_500)),
            text("more", "ü"),
        ];
        (attributes, read)
    }

    #[test]
    fn attributes_can_be_decoded() {
        let (attributes, read) = every_kind();
        assert_eq!(attributes.read(), read);
        assert_eq!(Resource::decode(attributes.into_resource()).unwrap().attributes, read);
    }

    #[test]
    fn a_span_can_be_decoded() {
        let (attributes, read) = every_kind();
        let (trace, id, parent) = (TraceId([7; 16]), SpanId([8; 8]), SpanId([9; 8]));
        let mut events = Events::default();
        events.push(Millis(3), "task.blocked", &attributes);
        events.push(Millis(4), "task.unblocked", &Attributes::new());
        let link = Link { trace: TraceId([1; 16]), span: SpanId([2; 8]), kind: "blocked_by" };
        let outcome = Some(Outcome::Blocked("waits".to_owned()));
        let span = Span {
            id,
            parent: Some(parent),
            name: "PROJ-1".to_owned(),
            start: Millis(1),
            end: Millis(2),
            attributes,
            events,
            links: vec![link],
            outcome,
        };
        let traceless = span.encode();
        let own_len = traceless.own_len();
        let found = proto::Span::decode(traceless.into_trace(trace)).unwrap();
        let event = |at: u64, name: &str, attributes| span::Event {
            time_unix_nano: at * 1_000_000,
            name: name.to_owned(),
            attributes,
            ..span::Event::default()
        };
        let wanted = proto::Span {
            trace_id: vec![7; 16],
            span_id: vec![8; 8],
            parent_span_id: vec![9; 8],
            name: "PROJ-1".to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: 1_000_000,
            end_time_unix_nano: 2_000_000,
            attributes: read.clone(),
            events: vec![event(3, "task.blocked", read), event(4, "task.unblocked", vec![])],
            links: vec![span::Link {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                attributes: vec![text(names::LINK_TYPE, "blocked_by")],
                ..span::Link::default()
            }],
            status: Some(proto::Status { message: "waits".to_owned(), code: StatusCode::Error.into() }),
            ..proto::Span::default()
        };
        assert_eq!(found, wanted);
        assert_eq!(own_len, proto::Span { trace_id: vec![], ..wanted }.encoded_len(), "parts are cut by this number");
    }

    #[test]
    fn a_log_record_can_be_decoded() {
        let (attributes, mut read) = every_kind();
        read.push(text(names::EVENT_NAME, "task.blocked"));
        let record = Record {
            at: Millis(5),
            severity: SeverityNumber::Warn,
            name: "task.blocked",
            body: "PROJ-1 blocked",
            attributes,
            span: Some((TraceId([1; 16]), SpanId([2; 8]))),
        };
        let wanted = LogRecord {
            time_unix_nano: 5_000_000,
            observed_time_unix_nano: 5_000_000,
            severity_number: SeverityNumber::Warn.into(),
            severity_text: "WARN".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue("PROJ-1 blocked".to_owned())) }),
            attributes: read,
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            event_name: "task.blocked".to_owned(),
            ..LogRecord::default()
        };
        assert_eq!(LogRecord::decode(record.encode()).unwrap(), wanted);
    }

    #[test]
    fn long_values_are_cut_visibly_at_a_character_boundary() {
        let text = "ü".repeat(3_000);
        let short = cut(&text);
        assert!(short.len() <= MAX_VALUE_BYTES && short.ends_with('…'));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_number_point_can_be_decoded() {
        let point = NumberDataPoint::decode(number_point(Millis(1_500), -2.5).as_slice()).unwrap();
        assert_eq!(
            (point.time_unix_nano, point.value),
            (1_500_000_000, Some(number_data_point::Value::AsDouble(-2.5)))
        );
        assert_eq!(point.encode_to_vec(), number_point(Millis(1_500), -2.5));
    }
}
