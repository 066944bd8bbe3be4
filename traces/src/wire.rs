//! Spans as OTLP writes them: the messages of `opentelemetry/proto/trace/v1/trace.proto`, as far as
//! they are used.

use prost::Message;

use crate::{Attribute, Span, SpanKind};

/// What a collector is sent.
#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// What a collector did not take.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 3")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// The code of a status that says that something failed.
const STATUS_ERROR: i32 = 2;
/// Names who made the spans.
const SCOPE: &str = "everlog";

/// Encodes spans as one request of a service with this name and version.
pub(crate) fn encode(service: &str, version: &str, spans: Vec<Span>) -> Vec<u8> {
    let attributes = vec![
        key_value("service.name", service.into()),
        key_value("service.version", version.into()),
    ];
    let scope = Scope { name: SCOPE.into(), version: version.into() };
    let spans = spans.into_iter().map(WireSpan::from).collect();
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    };
    request.encode_to_vec()
}

impl From<Span> for WireSpan {
    fn from(span: Span) -> Self {
        let attributes = span.attributes.into_iter().map(|(key, value)| key_value(key, value));
        Self {
            trace_id: span.context.trace.to_bytes().to_vec(),
            span_id: span.context.span.to_bytes().to_vec(),
            parent_span_id: span.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            name: span.name,
            kind: match span.kind {
                SpanKind::Internal => 1,
                SpanKind::Server => 2,
                SpanKind::Client => 3,
                SpanKind::Producer => 4,
            },
            start_time_unix_nano: span.start.0,
            end_time_unix_nano: span.end.max(span.start).0,
            attributes: attributes.collect(),
            status: span.is_error.then_some(Status { code: STATUS_ERROR }),
            flags: span.context.flags().into(),
        }
    }
}

fn key_value(key: &str, value: Attribute) -> KeyValue {
    let value = match value {
        Attribute::Text(text) => OneValue::Text(text),
        Attribute::Number(number) => OneValue::Number(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1 as theirs;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
    use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

    use super::*;
    use crate::{SpanId, TraceContext, UnixNanos};

    fn span(kind: SpanKind) -> Span {
        let context: TraceContext =
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        Span {
            context,
            parent: Some(SpanId::from_number(0x0102)),
            name: "call Greeter/greet".into(),
            kind,
            start: UnixNanos(1_700_000_000_000_000_001),
            end: UnixNanos(1_700_000_000_000_000_002),
            attributes: vec![("everlog.service", "Greeter".into()), ("status", 470_u16.into())],
            is_error: true,
        }
    }

    #[test]
    fn others_read_what_is_written() {
        let kinds = [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer];
        let mut spans = kinds.map(span);
        spans[0].is_error = false;
        spans[0].parent = None;
        spans[0].end = UnixNanos(7);
        let bytes = encode("shop", "1.2.3", spans.to_vec());
        let request = theirs::ExportTraceServiceRequest::decode(&*bytes).unwrap();
        let [of_resource] = &*request.resource_spans else { panic!("{request:?}") };
        let resource = of_resource.resource.as_ref().unwrap();
        let names: Vec<_> = resource.attributes.iter().map(|about| &*about.key).collect();
        assert_eq!(names, ["service.name", "service.version"]);
        let [of_scope] = &*of_resource.scope_spans else { panic!("{request:?}") };
        assert_eq!(of_scope.scope.as_ref().unwrap().name, "everlog");
        let read: Vec<_> = of_scope.spans.iter().map(opentelemetry_proto_kind).collect();
        assert_eq!(read, [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer]);

        let [root, second, ..] = &*of_scope.spans else { panic!("{request:?}") };
        assert!(root.parent_span_id.is_empty() && root.status.is_none());
        assert_eq!(root.end_time_unix_nano, root.start_time_unix_nano, "never before its start");
        assert_eq!(second.trace_id[..4], [0x0A, 0xF7, 0x65, 0x19]);
        assert_eq!(second.span_id, [0xB7, 0xAD, 0x6B, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!(second.parent_span_id, [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((&*second.name, second.flags), ("call Greeter/greet", 1));
        assert_eq!(second.start_time_unix_nano, 1_700_000_000_000_000_001);
        assert_eq!(second.end_time_unix_nano, 1_700_000_000_000_000_002);
        assert_eq!(second.status.as_ref().unwrap().code(), StatusCode::Error);
        let value = |at: usize| second.attributes[at].value.clone().unwrap().value;
        assert_eq!(value(0), Some(Value::StringValue("Greeter".into())));
        assert_eq!(value(1), Some(Value::IntValue(470)));
    }

    fn opentelemetry_proto_kind(span: &opentelemetry_proto::tonic::trace::v1::Span) -> Kind {
        span.kind()
    }

    #[test]
    fn what_others_refuse_is_read() {
        let theirs = theirs::ExportTraceServiceResponse {
            partial_success: Some(theirs::ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "no room".into(),
            }),
        };
        let read = ExportResponse::decode(&*theirs.encode_to_vec()).unwrap();
        let refused = read.partial_success.unwrap();
        assert_eq!((refused.rejected_spans, &*refused.error_message), (3, "no room"));
    }
}
